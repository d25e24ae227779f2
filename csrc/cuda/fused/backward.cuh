// The fused tier backward: families of paths in the shared memory of one block, float32.
//
//   families_backward  one block a family (image, fine, ψ1): W1, Û1, then for all (coarse, ψ2) W2
//   and
//                      back to ĝW2, summed up to ĝÛ1, from there ĝW1
//   second_backward    ĝW2 of one coarse from Û1 in global memory, a block a (image, fine, ψ1, some
//   ψ2);
//                      and ĝW1 of the coarsest first step from x̂
//   image_backward     one block an image: gx from the sum ĝx̂ over all families
//
// A plane goes through its inverse transform, is multiplied by g/|W| where the samples are, and
// goes back through the forward one; the last pass there and the first pass back are one.
// Everything is computed again from x̂; formulas as in passes, kernels forward in forward.cuh.
#pragma once

#include "../passes/pad.cuh"
#include "../passes/rho.cuh"
#include "forward.cuh"

namespace scatcuda {
inline namespace SCATCUDA_ISA {

// --- the low-pass backward ---

// One of the two matrices of a low-pass, a row of outputs for the sample at each place
struct Taps {
  float4* taps;           // [size, fours]
  unsigned short* place;  // of sample k
  unsigned short* fours;  // [size]: of outputs that see the sample at a place, first and last + 1;
                          // at the edges of a plane with those between, whose taps are zero
  int size, stride;

  // Σ_o tap(at, o) · v(o), o in fours: add(w, four) takes four taps
  template <class F>
  __device__ __forceinline__ void each_four(int at, F add) const {
#pragma unroll 1
    for (int i = fours[at] & 255; i < fours[at] >> 8; ++i) add(taps[at * stride + i], i);
  }
};

// gU = Pᵀ gS Q of 2^log planes side by side at resolution res. What it takes from the gradient of S
// stands in memory by fours of rows: gS as [n, m/4, planes], v = gS Q as [outer, m/4, planes].
struct Spread {
  Taps outer, inner;
  float4 *given, *v;
  int log;

  template <class Side>
  __device__ Spread(unsigned char* memory, unsigned char* given_memory, const FusedArguments& a,
                    int res, Side outer_side, Side inner_side, int log_planes)
      : log(log_planes) {
    outer.size = outer_side.size(), outer.stride = four(a.n) / 4;
    inner.size = inner_side.size(), inner.stride = four(a.m) / 4;
    outer.taps = reinterpret_cast<float4*>(memory);
    inner.taps = outer.taps + outer.size * outer.stride;
    outer.place = reinterpret_cast<unsigned short*>(inner.taps + inner.size * inner.stride);
    inner.place = outer.place + outer.size;
    outer.fours = inner.place + inner.size;
    inner.fours = outer.fours + outer.size;
    given = reinterpret_cast<float4*>(given_memory);
    v = given + (four(a.n) * inner.stride << log);
    const float4* from = reinterpret_cast<const float4*>(a.taps + taps_offset(a, res));
    const int2* bands = a.bands + bands_offset(a, res);
    load(outer, outer_side, from, bands);
    load(inner, inner_side, from + outer.size * outer.stride, bands + outer.stride);
  }

  template <class Side>
  __device__ static void load(Taps& to, Side side, const float4* from, const int2* bands) {
    for (int k = threadIdx.x; k < to.size; k += blockDim.x) {
      const int at = place(side, k);
      to.place[k] = static_cast<unsigned short>(at);
      int low = to.stride, high = 0;
      for (int i = 0; i < to.stride; ++i) {
        to.taps[at * to.stride + i] = from[k * to.stride + i];
        if (!meets(bands[i], k, k + 1, to.size)) continue;
        low = min(low, i), high = i + 1;
      }
      to.fours[at] = static_cast<unsigned short>(low | high << 8);
    }
  }

  // v of the gradients of channels [2^log, m, n], the first `planes` of which there are
  __device__ void take(const FusedArguments& a, const float* grad, int planes) const {
    float* to = reinterpret_cast<float*>(given);
    const int rows = 4 * inner.stride, columns = 4 * outer.stride;
    for (int i = threadIdx.x; i < rows * columns << log; i += blockDim.x) {
      const int q = i % columns, o = i / columns % rows, plane = i / columns / rows;
      const bool there = q < a.n && o < a.m && plane < planes;
      const float value = there ? grad[(plane * a.m + o) * a.n + q] : 0.0f;
      to[((((q * inner.stride + o / 4) << log) + plane) << 2) + o % 4] = value;
    }
    __syncthreads();
    const int step = inner.stride << log;
    for (int i = threadIdx.x; i < outer.size * step; i += blockDim.x) {
      const int at = i / step, rest = i % step;
      float4 sum = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
      outer.each_four(at, [&](const float4& w, int q4) {
        const float4* g = given + 4 * q4 * step + rest;
        add_product(sum, g[0], w.x);
        add_product(sum, g[step], w.y);
        add_product(sum, g[2 * step], w.z);
        add_product(sum, g[3 * step], w.w);
      });
      v[i] = sum;
    }
    __syncthreads();
  }

  // gU at a place of a line
  __device__ __forceinline__ float at(int line, int plane, int at) const {
    const float4* of = v + (line * inner.stride << log) + plane;
    float sum = 0.0f;
    inner.each_four(at, [&](const float4& w, int o4) {
      const float4 g = of[o4 << log];
      sum += w.x * g.x + w.y * g.y + w.z * g.z + w.w * g.w;
    });
    return sum;
  }

  static __device__ __forceinline__ void add_product(float4& sum, const float4& x, float w) {
    sum.x += x.x * w, sum.y += x.y * w, sum.z += x.z * w, sum.w += x.w * w;
  }
};

// --- planes ---

// From all but the last inverse pass along the inner dimension to the first forward one, between
// them f(line, plane, place, sample) for every sample
template <class Side, class F>
__device__ __forceinline__ void at_samples(Side inner, int lines, int log, Point* tile, F f) {
  const AlongInner across{pitch_of(inner.size()), log};
  with_last_radix(inner, [&](auto radix) {
    constexpr int R = decltype(radix)::value;
    const Lines rows{lines, log, inner.size()};
    for (int i = threadIdx.x; i < rows.butterflies(R); i += blockDim.x) {
      const Butterfly of(rows, R, R, i);
      Point x[R];
#pragma unroll
      for (int q = 0; q < R; ++q) x[q] = tile[across.at(of.line, of.plane, of.first + q)];
      butterfly<R, 1>(x);
#pragma unroll
      for (int q = 0; q < R; ++q) x[q] = f(of.line, of.plane, of.first + q, x[q]);
      butterfly<R, -1>(x);
#pragma unroll
      for (int q = 0; q < R; ++q) tile[across.at(of.line, of.plane, of.first + q)] = x[q];
    }
  });
  __syncthreads();
}

// The inverse transform in place, all but the last pass along the inner dimension
template <class Side>
__device__ __forceinline__ void inverse_start(Side outer, Side inner, const PlaneRoots& roots,
                                              int step, int log, Point* tile) {
  const int pitch = pitch_of(inner.size());
  inverse_passes<0>(outer, outer.count(), Lines{inner.size(), log, outer.size()},
                    {roots.outer, step}, tile, AlongOuter{pitch, log});
  inverse_passes<0>(inner, inner.count() - 1, Lines{outer.size(), log, inner.size()},
                    {roots.inner, step}, tile, AlongInner{pitch, log});
}

// What is left of the forward transform after at_samples: frequencies in their natural order
template <class Side>
__device__ __forceinline__ void forward_rest(Side outer, Side inner, const PlaneRoots& roots,
                                             int step, int log, Point* tile) {
  const int pitch = pitch_of(inner.size());
  const Lines columns{inner.size(), log, outer.size()};
  forward_passes(inner, Lines{outer.size(), log, inner.size()}, {roots.inner, step}, tile,
                 AlongInner{pitch, log});
  const Roots outer_roots{roots.outer, step};
  last_pass_in_place<-1>(outer, columns, outer_roots, tile, AlongOuter{pitch, log});
  forward_passes(outer, columns, outer_roots, tile, AlongOuter{pitch, log});
}

// A pass of a side that is known only at run time holds every radix. Of such passes kernels have
// one copy each, as functions: nvcc takes many times as long where they are inlined.
__device__ __noinline__ void inverse_start_of_any(Side<0> outer, Side<0> inner, PlaneRoots roots,
                                                  int step, int log, Point* tile) {
  inverse_start(outer, inner, roots, step, log, tile);
}
__device__ __noinline__ void forward_rest_of_any(Side<0> outer, Side<0> inner, PlaneRoots roots,
                                                 int step, int log, Point* tile) {
  forward_rest(outer, inner, roots, step, log, tile);
}
template <class Side>
__device__ __forceinline__ void inverse_start_of(Side outer, Side inner, const PlaneRoots& roots,
                                                 int step, int log, Point* tile) {
  if constexpr (Side::known == 0) {
    inverse_start_of_any({outer.passes}, {inner.passes}, roots, step, log, tile);
  } else {
    inverse_start(outer, inner, roots, step, log, tile);
  }
}
template <class Side>
__device__ __forceinline__ void forward_rest_of(Side outer, Side inner, const PlaneRoots& roots,
                                                int step, int log, Point* tile) {
  if constexpr (Side::known == 0) {
    forward_rest_of_any({outer.passes}, {inner.passes}, roots, step, log, tile);
  } else {
    forward_rest(outer, inner, roots, step, log, tile);
  }
}

// W as wavelet() leaves it, which begins with the first pass where the sides are known
template <class Source, class Side>
__device__ __forceinline__ void wavelet_of(Side outer, Side inner, const Source& folded,
                                           const PlaneRoots& roots, int step, Point* tile) {
  if constexpr (Side::known > 0) {
    wavelet(outer, inner, folded, roots, step, tile);
  } else {
    const int log = folded.log, pitch = pitch_of(inner.size());
    for (int i = threadIdx.x; i < outer.size() * inner.size() << log; i += blockDim.x) {
      const int filter = i & ((1 << log) - 1), r = (i >> log) % inner.size();
      const int c = (i >> log) / inner.size();
      tile[((c * pitch + r) << log) + filter] = folded(r, filter, c);
    }
    __syncthreads();
    inverse_start_of(outer, inner, roots, step, log, tile);
  }
}

// ĝW of a wavelet's planes in the tile, from where W came from and with gU as it spreads
template <class Source, class Side>
__device__ __forceinline__ void wavelet_backward(Side outer, Side inner, const Source& folded,
                                                 const Spread& spread, const PlaneRoots& roots,
                                                 int step, Point* tile) {
  wavelet_of(outer, inner, folded, roots, step, tile);
  at_samples(inner, outer.size(), folded.log, tile,
             [&](int line, int plane, int at, const Point& w) {
               return directed(w, spread.at(line, plane, at));
             });
  forward_rest_of(outer, inner, roots, step, folded.log, tile);
}

// The tile to [outer, inner] in memory, planes `bins` apart
__device__ __forceinline__ void write_plane(const Point* tile, int outer, int inner, int log,
                                            int planes, Point* to) {
  const int bins = outer * inner, pitch = pitch_of(inner);
  for (int i = threadIdx.x; i < planes * bins; i += blockDim.x) {
    const int plane = i / bins, bin = i % bins;
    to[i] = tile[((bin / inner * pitch + bin % inner) << log) + plane];
  }
}

__device__ __forceinline__ const float* grad_channel(const FusedArguments& a, int image,
                                                     int64_t c) {
  return a.grad + (static_cast<int64_t>(image) * a.channels + c) * a.m * a.n;
}

// --- kernels ---

// ĝÛ += Σ_ψ ψ̂ ĝW_ψ, in tiles; psi and planes by 2^log filters, side by side
__device__ __forceinline__ void unfold(const float* psi, int log, const Point* planes, int outer,
                                       int inner, Point* sum, int fine_outer, int fine_inner) {
  const int pitch = pitch_of(inner), fine_pitch = pitch_of(fine_inner);
  for (int i = threadIdx.x; i < fine_outer * fine_inner; i += blockDim.x) {
    const int c = i / fine_inner, r = i % fine_inner;
    const Point* g = planes + ((c % outer * pitch + r % inner) << log);
    const float* w = psi + (i << log);
    Point total = sum[c * fine_pitch + r];
    for (int filter = 0; filter < 1 << log; ++filter) {
      const float weight = __ldg(w + filter);
      total.re += weight * g[filter].re, total.im += weight * g[filter].im;
    }
    sum[c * fine_pitch + r] = total;
  }
  __syncthreads();
}

// ĝÛ1 by all filters to `coarse` and beyond
template <int N, int Fine, int Coarse>
__device__ __forceinline__ void second_steps_backward(const FusedArguments& a, int fine, int coarse,
                                                      int image, int filter,
                                                      const Spectrum& spectrum,
                                                      const PlaneRoots& roots, unsigned char* rest,
                                                      unsigned char* area, Point* sum) {
  if constexpr (N == 0 || ((N >> Coarse) % 2 == 0 && (N >> Coarse) >= 6)) {
    if (coarse >= a.levels) return;
    const auto outer = side_at<N, Coarse, side_by_side>(a.outer, coarse);
    const auto inner = side_at<N, Coarse, side_by_side>(a.inner, coarse);
    const int log = a.log_group[coarse], k = 1 << (coarse - fine);
    Point* planes = reinterpret_cast<Point*>(area);
    const Spread spread(rest, area + tile_bytes(outer.size(), inner.size(), 1 << log), a, coarse,
                        outer, inner, log);
    constexpr int K = N > 0 && Coarse == Fine + 1 ? 2 : 0;
    const float* psi = a.psi_second + second_offset(a, fine, coarse);
    const float* grad = grad_channel(a, image, a.cascade.channel(fine, filter, coarse));
    for (int first = 0; first < a.filters; first += 1 << log) {
      const float* weights = psi + first * spectrum.outer * spectrum.inner;
      spread.take(a, grad + static_cast<int64_t>(first) * a.m * a.n, a.filters - first);
      const Folded<K, K == 2 ? 2 : 1> folded{spectrum, weights, outer.size(), inner.size(), log, k};
      wavelet_backward(outer, inner, folded, spread, roots, k, planes);
      unfold(weights, log, planes, outer.size(), inner.size(), sum, spectrum.outer, spectrum.inner);
    }
    if constexpr (N > 0) {
      second_steps_backward<N, Fine, Coarse + 1>(a, fine, coarse + 1, image, filter, spectrum,
                                                 roots, rest, area, sum);
    }
  }
}

template <int N, int Fine>
__device__ __forceinline__ void family_backward(const FusedArguments& a, int fine, int image,
                                                int filter) {
  const auto outer = side_at<N, Fine, in_pairs>(a.outer, fine);
  const auto inner = side_at<N, Fine, in_pairs>(a.inner, fine);
  const int bins = outer.size() * inner.size(),
            tile_size = tile_bytes(outer.size(), inner.size(), 1);
  const bool second = a.depth > 1 && fine + 1 < a.levels;
  Point* tile = reinterpret_cast<Point*>(shared_memory);
  unsigned char* area = shared_memory + (second ? 2 : 1) * tile_size;
  unsigned char* rest = area + a.area;
  const Spread spread(rest, area, a, fine, outer, inner, 0);
  rest += spread_bytes(outer.size(), inner.size(), a.m, a.n);
  const PlaneRoots roots(rest, a, fine, outer.size(), inner.size());
  rest += (roots_bytes(outer.size(), inner.size()) + 15) / 16 * 16;
  __syncthreads();

  const int half = a.Mp / 2 + 1;
  const Spectrum x_hat{a.x_hat + static_cast<int64_t>(image) * a.Np * half, half, a.Np, a.Mp};
  const float* psi = a.psi_first + first_offset(a, fine) + filter * a.Np * a.Mp;
  constexpr int K = N > 0 && Fine < 2 ? 1 << Fine : 0;
  const Folded<K, K == 2 ? 2 : 1> folded{x_hat, psi, outer.size(), inner.size(), 0, 1 << fine};
  const float* grad = grad_channel(a, image, 1 + fine * a.filters + filter);
  Point* g_hat =
      a.g_hat + g_offset(a, fine) + (static_cast<int64_t>(image) * a.filters + filter) * bins;
  if (!second) {
    spread.take(a, grad, 1);
    wavelet_backward(outer, inner, folded, spread, roots, 1, tile);
    write_plane(tile, outer.size(), inner.size(), 0, 1, g_hat);
    return;
  }
  // W1 waits where ĝW1 will be
  wavelet_of(outer, inner, folded, roots, 1, tile);
  modulus_pairs(inner, outer.size(), tile, true,
                [&](int line, int at, const Point& w) { g_hat[line * inner.size() + at] = w; });
  __syncthreads();
  forward_plane(outer, inner, roots, tile);
  const int pitch = pitch_of(inner.size());
  const Spectrum u1_hat{tile, pitch, outer.size(), inner.size()};
  Point* sum = reinterpret_cast<Point*>(shared_memory + tile_size);
  for (int i = threadIdx.x; i < outer.size() * pitch; i += blockDim.x) sum[i] = {0.0f, 0.0f};
  if constexpr (N > 0) {
    second_steps_backward<N, Fine, Fine + 1>(a, fine, fine + 1, image, filter, u1_hat, roots, rest,
                                             area, sum);
  } else {
    for (int coarse = fine + 1; coarse < a.levels; ++coarse) {
      second_steps_backward<0, 0, 0>(a, fine, coarse, image, filter, u1_hat, roots, rest, area,
                                     sum);
    }
  }
  // gU1 is the real part of the inverse of the sum
  spread.take(a, grad, 1);
  inverse_start_of(outer, inner, roots, 1, 0, sum);
  at_samples(inner, outer.size(), 0, sum, [&](int line, int, int at, const Point& g) {
    return directed(g_hat[line * inner.size() + at], g.re + spread.at(line, 0, at));
  });
  forward_rest_of(outer, inner, roots, 1, 0, sum);
  write_plane(sum, outer.size(), inner.size(), 0, 1, g_hat);
}
template <int N, int Fine>
__device__ __forceinline__ void family_backward_of(const FusedArguments& a, int fine, int image,
                                                   int filter) {
  if constexpr (N == 0) {
    family_backward<0, 0>(a, fine, image, filter);
  } else if constexpr ((N >> Fine) % 2 == 0 && (N >> Fine) >= 6) {
    if (fine == Fine) {
      family_backward<N, Fine>(a, fine, image, filter);
    } else {
      family_backward_of<N, Fine + 1>(a, fine, image, filter);
    }
  }
}

// Blocks in the order fine, image, ψ1: the dearest families begin first.
template <int N>
__global__ void __launch_bounds__(family_backward_bounds(N).threads,
                                  family_backward_bounds(N).blocks)
    families_backward_kernel(const __grid_constant__ FusedArguments a) {
  const int filter = blockIdx.x % a.filters, image = blockIdx.x / a.filters % a.B;
  family_backward_of<N, 0>(a, blockIdx.x / a.filters / a.B, image, filter);
}

// N, K as in second_kernel
template <int N, int K>
__global__ void __launch_bounds__(second_backward_bounds(N).threads,
                                  second_backward_bounds(N).blocks)
    second_backward_kernel(const __grid_constant__ FusedArguments a) {
  const auto outer = side_at<N, 0, side_by_side>(a.outer, a.coarse);
  const auto inner = side_at<N, 0, side_by_side>(a.inner, a.coarse);
  const int log = a.log_group[a.coarse], group = 1 << log, groups = (a.filters + group - 1) / group;
  const int first = blockIdx.x % groups * group, plane = blockIdx.x / groups;
  Point* tile = reinterpret_cast<Point*>(shared_memory);
  unsigned char* rest = shared_memory + tile_bytes(outer.size(), inner.size(), group);
  unsigned char* given = rest + spread_bytes(outer.size(), inner.size(), a.m, a.n);
  const Spread spread(rest, given, a, a.coarse, outer, inner, log);
  const PlaneRoots roots(given + given_bytes(outer.size(), a.m, a.n, group), a, a.coarse,
                         outer.size(), inner.size());
  __syncthreads();
  const int fine_outer = a.Np >> a.fine, fine_inner = a.Mp >> a.fine, half = fine_inner / 2 + 1;
  const Spectrum spectrum{a.u_hat + static_cast<int64_t>(plane) * fine_outer * half, half,
                          fine_outer, fine_inner};
  const float* psi =
      a.psi_second + second_offset(a, a.fine, a.coarse) + first * fine_outer * fine_inner;
  const Folded<K, 1> folded{spectrum,     psi, outer.size(),
                            inner.size(), log, 1 << (a.coarse - a.fine)};
  const int c = a.first_channel + plane % a.planes * a.channel_step + first;
  spread.take(a, grad_channel(a, plane / a.planes, c), a.filters - first);
  wavelet_backward(outer, inner, folded, spread, roots, 1, tile);
  const int64_t bins = outer.size() * inner.size();
  write_plane(tile, outer.size(), inner.size(), log, min(group, a.filters - first),
              a.g_hat + (static_cast<int64_t>(plane) * a.filters + first) * bins);
}

// ĝx̂ lies where x̂ did, as half a spectrum.
__global__ void __launch_bounds__(family_backward_bounds(0).threads,
                                  family_backward_bounds(0).blocks)
    image_backward_kernel(const __grid_constant__ FusedArguments a) {
  const Side<0> outer{a.outer}, inner{a.inner};
  const int image = blockIdx.x, pitch = pitch_of(a.Mp), half = a.Mp / 2 + 1;
  Point* tile = reinterpret_cast<Point*>(shared_memory);
  unsigned char* rest = shared_memory + tile_bytes(a.Np, a.Mp, 1);
  unsigned char* given = rest + spread_bytes(a.Np, a.Mp, a.m, a.n);
  const Spread spread(rest, given, a, 0, outer, inner, 0);
  const PlaneRoots roots(given + given_bytes(a.Np, a.m, a.n, 1), a, 0, a.Np, a.Mp);
  const Point* g_hat = a.x_hat + static_cast<int64_t>(image) * a.Np * half;
  for (int i = threadIdx.x; i < a.Np * a.Mp; i += blockDim.x) {
    const int c = i / a.Mp, r = i % a.Mp;
    Point g{0.0f, 0.0f};
    if (a.depth > 0) {
      const bool other = 2 * r > a.Mp;
      g = g_hat[(other && c > 0 ? a.Np - c : c) * half + (other ? a.Mp - r : r)];
      if (other) g.im = -g.im;
    }
    tile[c * pitch + r] = g;
  }
  __syncthreads();
  spread.take(a, grad_channel(a, image, 0), 1);
  inverse_start_of(outer, inner, roots, 1, 0, tile);
  last_pass_in_place<1>(inner, Lines{a.Np, 0, a.Mp}, {roots.inner, 1}, tile, AlongInner{pitch, 0});
  const PaddedAxis columns{a.N, (a.Np - a.N) / 2, a.Np, Pad::reflect};
  const PaddedAxis rows{a.M, (a.Mp - a.M) / 2, a.Mp, Pad::reflect};
  for (int i = threadIdx.x; i < a.M * a.N; i += blockDim.x) {
    float sum = 0.0f;
    each_showing(i % a.N, columns, [&](int c) {
      const int line = spread.outer.place[c];
      each_showing(i / a.N, rows, [&](int r) {
        const int at = spread.inner.place[r];
        sum += tile[line * pitch + at].re + spread.at(line, 0, at);
      });
    });
    a.grad_x[static_cast<int64_t>(image) * a.M * a.N + i] = sum;
  }
}

}  // namespace SCATCUDA_ISA
}  // namespace scatcuda
