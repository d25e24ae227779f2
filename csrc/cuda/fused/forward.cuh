// The fused tier: whole families of paths in the shared memory of one block, float32.
//
//   arrange    the bank in the order in which the others read it, roots of unity
//   spectrum   one block an image: reflection, S0, x̂
//   families   one block a family (image, fine, ψ1): W1, U1, S1, Û1, then for all (coarse, ψ2) W2,
//   U2,
//              S2
//   second     U2, S2 of one (fine, coarse) from Û1 in global memory, a block a (image, ψ1, some
//   ψ2);
//              and U1, S1 of the coarsest first step from x̂, since no chain goes on from there
//
// Letters as in engine.h. Planes lie [outer, inner] = [columns, rows], transposed, since that is
// how the bank does; of spectra of real planes the half [outer, inner/2 + 1] is kept.
#pragma once

#include "../bank.cuh"
#include "arguments.h"

namespace scatcuda {
inline namespace SCATCUDA_ISA {

extern __shared__ __align__(16) unsigned char shared_memory[];

// --- what the blocks share ---

// Roots of the sides of planes [outer, inner] at resolution res, copied to shared memory
struct PlaneRoots {
  Point *outer, *inner;

  __device__ PlaneRoots(unsigned char* memory, const FusedArguments& a, int res, int outer_size,
                        int inner_size)
      : outer(reinterpret_cast<Point*>(memory)), inner(outer + outer_size) {
    for (int k = threadIdx.x; k < outer_size; k += blockDim.x) outer[k] = a.roots[k << res];
    for (int k = threadIdx.x; k < inner_size; k += blockDim.x) {
      inner[k] = a.roots[a.Np + (k << res)];
    }
  }
};

// The spectrum of a real plane of which one half is kept
struct Spectrum {
  const Point* data;  // [outer, stride]
  int stride, outer, inner;
};

// fold_k( û ψ̂ ) of 2^log filters at row r, column c. K is k where that is known, else 0.
//
// Row r + j · inner lies in the other half of the spectrum, as a conjugate, wherever 2j ≥ k: of an
// even k only the middle row r = 0 is in both, where both are the same. So nothing here branches.
// Of known k, `Columns` are read at once: the better hidden, and the more registers.
template <int K, int Columns>
struct Folded {
  Spectrum spectrum;
  const float* psi;  // [outer, inner, 2^log]
  int outer, inner, log, k;

  __device__ __forceinline__ Point operator()(int r, int filter, int c) const {
    const int times_k = K > 0 ? K : k, fine_outer = outer * times_k, fine_inner = inner * times_k;
    Point sum{0.0f, 0.0f};
#pragma unroll(Columns)
    for (int i = 0; i < times_k; ++i) {
      const int cc = c + i * outer, mirrored = i == 0 && c == 0 ? 0 : fine_outer - cc;
      const Point* here = spectrum.data + cc * spectrum.stride + r;
      const Point* there = spectrum.data + mirrored * spectrum.stride + fine_inner - r;
      const float* w = psi + ((cc * fine_inner + r) << log) + filter;
#pragma unroll(K > 0 ? K : 2)
      for (int j = 0; j < times_k; ++j) {
        const bool other = times_k == 1 ? 2 * r > fine_inner : 2 * j >= times_k;
        const Point x = *(other ? there - j * inner : here + j * inner);
        const float weight = __ldg(w + (j * inner << log));
        sum.re += x.re * weight;
        sum.im += (other ? -x.im : x.im) * weight;
      }
    }
    return sum;
  }
};

// IDFT of fold_k( û ψ̂ ) in the tile, all but the last pass along the inner dimension
template <class Source, class Side>
__device__ __forceinline__ void wavelet(Side outer, Side inner, const Source& folded,
                                        const PlaneRoots& roots, int step, Point* tile) {
  const int log = folded.log, pitch = pitch_of(inner.size());
  const AlongOuter down{pitch, log};
  const AlongInner across{pitch, log};
  const Lines columns{inner.size(), log, outer.size()}, rows{outer.size(), log, inner.size()};
  with_radix<0>(outer, 0, [&](auto radix) {
    constexpr int R = decltype(radix)::value;  // never a prime without a butterfly
    pass<(R > 0 ? R : 1), 1>(
        columns, outer.size(), {roots.outer, step}, folded,
        [&](int line, int plane, int k, const Point& x) { tile[down.at(line, plane, k)] = x; });
  });
  __syncthreads();
  inverse_passes<1>(outer, outer.count(), columns, {roots.outer, step}, tile, down);
  inverse_passes<0>(inner, inner.count() - 1, rows, {roots.inner, step}, tile, across);
}

__device__ __forceinline__ float modulus(const Point& z) {
  return root_of(z.re * z.re + z.im * z.im);
}

// --- low-pass ---

__device__ __forceinline__ void add_product(float& sum, float x, float w) { sum += x * w; }
__device__ __forceinline__ void add_product(Point& sum, const Point& x, float w) {
  sum = {sum.re + x.re * w, sum.im + x.im * w};
}

// One of the two matrices of the low-pass of a resolution, by columns, in shared memory
struct Matrix {
  float* taps;  // [size, stride]
  int2* bands;  // [stride / 4]
  unsigned short* place;
  int size, stride;  // points in, outputs in fours

  // Σ_k tap(k, 4 chunk + q) · u(place(k)), q = 0 … 3
  template <class Value, class Load>
  __device__ __forceinline__ void dot(int chunk, Value (&sum)[4], Load u) const {
    const int2 band = bands[chunk];
#pragma unroll 1
    for (int first = band.x, last = band.y; last > 0; first = 0, last -= size) {
#pragma unroll 4
      for (int k = first; k < min(last, size); ++k) {
        const float4 w = *reinterpret_cast<const float4*>(taps + k * stride + 4 * chunk);
        const Value x = u(place[k]);
        add_product(sum[0], x, w.x);
        add_product(sum[1], x, w.y);
        add_product(sum[2], x, w.z);
        add_product(sum[3], x, w.w);
      }
    }
  }
};
struct Lowpass {
  Matrix outer, inner;

  template <class Side>
  __device__ Lowpass(unsigned char* memory, const FusedArguments& a, int res, Side outer_side,
                     Side inner_side) {
    outer.size = outer_side.size(), outer.stride = four(a.n);
    inner.size = inner_side.size(), inner.stride = four(a.m);
    outer.taps = reinterpret_cast<float*>(memory);
    inner.taps = outer.taps + outer.size * outer.stride;
    outer.bands = reinterpret_cast<int2*>(inner.taps + inner.size * inner.stride);
    inner.bands = outer.bands + outer.stride / 4;
    outer.place = reinterpret_cast<unsigned short*>(inner.bands + inner.stride / 4);
    inner.place = outer.place + outer.size;
    // both matrices lie one after the other in global memory too
    const int taps = outer.size * outer.stride + inner.size * inner.stride;
    const float* from = a.taps + taps_offset(a, res);
    for (int i = threadIdx.x; i < taps; i += blockDim.x) outer.taps[i] = from[i];
    const int2* bands = a.bands + bands_offset(a, res);
    for (int i = threadIdx.x; i < (outer.stride + inner.stride) / 4; i += blockDim.x) {
      outer.bands[i] = bands[i];
    }
    for (int k = threadIdx.x; k < outer.size; k += blockDim.x) {
      outer.place[k] = static_cast<unsigned short>(place(outer_side, k));
    }
    for (int k = threadIdx.x; k < inner.size; k += blockDim.x) {
      inner.place[k] = static_cast<unsigned short>(place(inner_side, k));
    }
  }
};

// S[i, 4 chunk …] of one channel
__device__ __forceinline__ void write_outputs(float* S, int i, int chunk, int n,
                                              const float (&sum)[4]) {
  float* to = S + i * n + 4 * chunk;
  if (n % 4 == 0 && reinterpret_cast<uintptr_t>(to) % sizeof(float4) == 0) {
    *reinterpret_cast<float4*>(to) = make_float4(sum[0], sum[1], sum[2], sum[3]);
    return;
  }
  for (int q = 0; q < 4 && 4 * chunk + q < n; ++q) to[q] = sum[q];
}

// --- first steps: pairs of real lines as one complex line ---

// Real lines 2p and 2p + 1 lie as real and imaginary part in line 2p + 1; t = A_inner u, by
// columns
__device__ __forceinline__ void lowpass_pairs(const FusedArguments& a, const Lowpass& lowpass,
                                              int outer, int pitch, const Point* tile, float* t) {
  const int pairs = outer / 2, chunks = four(a.m) / 4;
  for (int i = threadIdx.x; i < pairs * chunks; i += blockDim.x) {
    const int pair = i % pairs, chunk = i / pairs;
    const Point* line = tile + (2 * pair + 1) * pitch;
    Point sum[4] = {};
    lowpass.inner.dot(chunk, sum, [&](int at) { return line[at]; });
    float* even = t + 2 * pair * four(a.m) + 4 * chunk;
    float* odd = even + four(a.m);
#pragma unroll
    for (int q = 0; q < 4; ++q) even[q] = sum[q].re, odd[q] = sum[q].im;
  }
}
// S = t A_outerᵀ
__device__ __forceinline__ void lowpass_outputs(const FusedArguments& a, const Lowpass& lowpass,
                                                const float* t, float* S) {
  const int chunks = four(a.n) / 4, stride = four(a.m);
  for (int i = threadIdx.x; i < a.m * chunks; i += blockDim.x) {
    const int chunk = i % chunks, row = i / chunks;
    float sum[4] = {};
    lowpass.outer.dot(chunk, sum, [&](int at) { return t[at * stride + row]; });
    write_outputs(S, row, chunk, a.n, sum);
  }
}

// The last inverse pass along the inner dimension of lines 2p and 2p + 1, their moduli into line
// 2p + 1 as a pair; the first forward pass of the pair into line 2p. keep(line, k, w) sees W.
template <class Side, class Keep>
__device__ __forceinline__ void modulus_pairs(Side inner, int outer, Point* tile, bool forward,
                                              Keep keep) {
  const int pairs = outer / 2, pitch = pitch_of(inner.size());
  with_last_radix(inner, [&](auto radix) {
    constexpr int R = decltype(radix)::value;
    for (int i = threadIdx.x; i < pairs * (inner.size() / R); i += blockDim.x) {
      const int line = 2 * (i % pairs), first = i / pairs * R;
      Point* even = tile + line * pitch + first;
      Point* odd = even + pitch;
      Point x[R], u[R];
#pragma unroll
      for (int q = 0; q < R; ++q) x[q] = even[q];
      butterfly<R, 1>(x);
#pragma unroll
      for (int q = 0; q < R; ++q) {
        keep(line, first + q, x[q]);
        u[q].re = modulus(x[q]);
      }
#pragma unroll
      for (int q = 0; q < R; ++q) x[q] = odd[q];
      butterfly<R, 1>(x);
#pragma unroll
      for (int q = 0; q < R; ++q) {
        keep(line + 1, first + q, x[q]);
        odd[q] = u[q] = {u[q].re, modulus(x[q])};
      }
      if (!forward) continue;
      butterfly<R, -1>(u);
#pragma unroll
      for (int q = 0; q < R; ++q) even[q] = u[q];
    }
  });
}
// The first forward pass alone
template <class Side>
__device__ __forceinline__ void forward_pairs(Side inner, int outer, Point* tile) {
  const int pairs = outer / 2, pitch = pitch_of(inner.size());
  with_last_radix(inner, [&](auto radix) {
    constexpr int R = decltype(radix)::value;
    for (int i = threadIdx.x; i < pairs * (inner.size() / R); i += blockDim.x) {
      Point* even = tile + 2 * (i % pairs) * pitch + i / pairs * R;
      Point x[R];
#pragma unroll
      for (int q = 0; q < R; ++q) x[q] = even[pitch + q];
      butterfly<R, -1>(x);
#pragma unroll
      for (int q = 0; q < R; ++q) even[q] = x[q];
    }
  });
}

// From pairs of lines that went through the whole forward transform, in lines 2p, to the half
// spectrum: the two spectra of a pair are the even and the odd part of its own, and stand side by
// side in the butterflies of the first pass along the outer dimension. All of line 2p + 1 is free.
template <class Side>
__device__ __forceinline__ void forward_outer(Side outer, int inner, Roots roots, Point* tile) {
  const int lines = inner / 2 + 1, pitch = pitch_of(inner);
  with_last_radix(outer, [&](auto radix) {
    constexpr int R = decltype(radix)::value;
    for (int i = threadIdx.x; i < lines * (outer.size() / R); i += blockDim.x) {
      const int r = i % lines, mirrored = r == 0 ? 0 : inner - r;
      Point* block = tile + i / lines * R * pitch;
      Point x[R];
#pragma unroll
      for (int q = 0; q < R; q += 2) {
        const Point z = block[q * pitch + r], w = block[q * pitch + mirrored];
        x[q] = {0.5f * (z.re + w.re), 0.5f * (z.im - w.im)};
        x[q + 1] = {0.5f * (z.im + w.im), 0.5f * (w.re - z.re)};
      }
      butterfly<R, -1>(x);
#pragma unroll
      for (int q = 0; q < R; ++q) block[q * pitch + r] = x[q];
    }
  });
  __syncthreads();
  forward_passes(outer, Lines{lines, 0, outer.size()}, roots, tile, AlongOuter{pitch, 0});
}

// S = A u of real pairs of lines in lines 2p + 1. t is room for between_bytes().
__device__ __forceinline__ void lowpass_plane(const FusedArguments& a, const Lowpass& lowpass,
                                              int outer, int pitch, const Point* tile, float* t,
                                              float* S) {
  lowpass_pairs(a, lowpass, outer, pitch, tile, t);
  __syncthreads();
  lowpass_outputs(a, lowpass, t, S);
}

// û in the tile, of pairs of lines whose first forward pass is in lines 2p
template <class Side>
__device__ __forceinline__ void forward_plane(Side outer, Side inner, const PlaneRoots& roots,
                                              Point* tile) {
  forward_passes(inner, Lines{outer.size() / 2, 0, inner.size()}, {roots.inner, 1}, tile,
                 AlongInner{2 * pitch_of(inner.size()), 0});
  forward_outer(outer, inner.size(), {roots.outer, 1}, tile);
}

// --- second steps ---

// For 2^log filters from ψ2 = first on: |W2|, S2. The roots are those of sides `step` times as
// long.
template <class Source, class Side>
__device__ __forceinline__ void second_planes(const FusedArguments& a, Side outer, Side inner,
                                              const Source& folded, const Lowpass& lowpass,
                                              const PlaneRoots& roots, int step, int first,
                                              Point* tile, float* S) {
  const int log = folded.log, pitch = pitch_of(inner.size());
  wavelet(outer, inner, folded, roots, step, tile);
  const AlongInner across{pitch, log};
  with_last_radix(inner, [&](auto radix) {
    constexpr int R = decltype(radix)::value;
    pass<R, 1>(
        Lines{outer.size(), log, inner.size()}, R, {roots.inner, step},
        [&](int line, int plane, int k) { return tile[across.at(line, plane, k)]; },
        [&](int line, int plane, int k, const Point& z) {
          tile[across.at(line, plane, k)].re = modulus(z);
        });
  });
  __syncthreads();
  // t = A_inner u of two lines at a time, beside u in the imaginary parts
  const int pairs = outer.size() / 2;
  for (int i = threadIdx.x; i < pairs * (four(a.m) / 4) << log; i += blockDim.x) {
    const int filter = i & ((1 << log) - 1), line = (i >> log) % pairs, chunk = (i >> log) / pairs;
    Point* one = tile + across.at(line, filter, 0);
    Point* other = tile + across.at(line + pairs, filter, 0);
    Point sum[4] = {};
    lowpass.inner.dot(chunk, sum,
                      [&](int at) { return Point{one[at << log].re, other[at << log].re}; });
#pragma unroll
    for (int q = 0; q < 4; ++q) {
      const int row = 4 * chunk + q;
      if (row < a.m) one[row << log].im = sum[q].re, other[row << log].im = sum[q].im;
    }
  }
  __syncthreads();
  const int chunks = four(a.n) / 4;
  for (int i = threadIdx.x; i < a.m * chunks << log; i += blockDim.x) {
    const int filter = i & ((1 << log) - 1), chunk = (i >> log) % chunks, row = (i >> log) / chunks;
    if (first + filter >= a.filters) continue;
    float sum[4] = {};
    lowpass.outer.dot(chunk, sum,
                      [&](int at) { return tile[((at * pitch + row) << log) + filter].im; });
    write_outputs(S + static_cast<int64_t>(filter) * a.m * a.n, row, chunk, a.n, sum);
  }
  __syncthreads();
}

__device__ __forceinline__ float* channel(const FusedArguments& a, int image, int64_t c) {
  return a.S + (static_cast<int64_t>(image) * a.channels + c) * a.m * a.n;
}

// Filters side by side at resolution coarse: 2^Log, where that is known
template <int Log>
__device__ __forceinline__ int log_of(const FusedArguments& a, int coarse) {
  return Log >= 0 ? Log : a.log_group[coarse];
}

// The side at resolution res, where N is the side at resolution 0
template <int N, int Res, unsigned Radices>
__device__ __forceinline__ Side<(N >> Res), Radices> side_at(const Passes (&passes)[most_levels],
                                                             int res) {
  if constexpr (N == 0) {
    return {passes + res};
  } else {
    return {};
  }
}

// --- kernels ---

// N: the padded side where both are the same and known, else 0
template <int N>
__global__ void __launch_bounds__(family_bounds(0).threads, family_bounds(0).blocks)
    spectrum_kernel(const __grid_constant__ FusedArguments a) {
  const auto outer = side_at<N, 0, in_pairs>(a.outer, 0);
  const auto inner = side_at<N, 0, in_pairs>(a.inner, 0);
  const int pitch = pitch_of(inner.size()), image = blockIdx.x;
  Point* tile = reinterpret_cast<Point*>(shared_memory);
  unsigned char* rest = shared_memory + tile_bytes(outer.size(), inner.size(), 1);
  float* t = reinterpret_cast<float*>(rest);
  rest += between_bytes(outer.size(), a.m);
  const Lowpass lowpass(rest, a, 0, outer, inner);
  rest += lowpass_bytes(outer.size(), inner.size(), a.m, a.n);
  const PlaneRoots roots(rest, a, 0, outer.size(), inner.size());
  __syncthreads();
  const int64_t origin = static_cast<int64_t>(image) * a.M * a.N;
  const int above = (inner.size() - a.M) / 2, before = (outer.size() - a.N) / 2;
  for (int i = threadIdx.x; i < outer.size() * inner.size(); i += blockDim.x) {
    const int c = i % outer.size(), r = i / outer.size(), at = lowpass.outer.place[c];
    const int64_t from = origin + reflect(r - above, a.M) * a.N + reflect(c - before, a.N);
    const float value = pixel<float>(a.x, a.pixels, from);
    Point& pair = tile[(at | 1) * pitch + lowpass.inner.place[r]];
    if (at % 2 == 0) {
      pair.re = value;
    } else {
      pair.im = value;
    }
  }
  __syncthreads();
  const bool forward = a.depth > 0;
  if (forward) forward_pairs(inner, outer.size(), tile);
  if (a.S != nullptr) {
    lowpass_plane(a, lowpass, outer.size(), pitch, tile, t, channel(a, image, 0));
  } else {
    __syncthreads();
  }
  if (!forward) return;
  forward_plane(outer, inner, roots, tile);
  const int half = inner.size() / 2 + 1;
  Point* x_hat = a.x_hat + static_cast<int64_t>(image) * outer.size() * half;
  for (int i = threadIdx.x; i < outer.size() * half; i += blockDim.x) {
    x_hat[i] = tile[i / half * pitch + i % half];
  }
}

// All filters to `coarse` and beyond, from Û1 in shared memory; `rest` is room for a low-pass
template <int N, int Log, int Fine, int Coarse>
__device__ __forceinline__ void second_steps(const FusedArguments& a, int fine, int coarse,
                                             int image, int filter, const Spectrum& spectrum,
                                             const PlaneRoots& roots, unsigned char* rest,
                                             Point* tile) {
  if constexpr (N == 0 || ((N >> Coarse) % 2 == 0 && (N >> Coarse) >= 6)) {
    if (coarse >= a.levels) return;
    const auto outer = side_at<N, Coarse, side_by_side>(a.outer, coarse);
    const auto inner = side_at<N, Coarse, side_by_side>(a.inner, coarse);
    const Lowpass lowpass(rest, a, coarse, outer, inner);
    const int log = log_of<Log>(a, coarse), k = 1 << (coarse - fine);
    constexpr int K = N > 0 && Coarse == Fine + 1 ? 2 : 0;
    const float* psi = a.psi_second + second_offset(a, fine, coarse);
    float* S = channel(a, image, a.cascade.channel(fine, filter, coarse));
    for (int first = 0; first < a.filters; first += 1 << log) {
      const Folded<K, K == 2 ? 2 : 1> folded{
          spectrum, psi + first * spectrum.outer * spectrum.inner, outer.size(), inner.size(), log,
          k};
      second_planes(a, outer, inner, folded, lowpass, roots, k, first, tile,
                    S + static_cast<int64_t>(first) * a.m * a.n);
    }
    if constexpr (N > 0) {
      second_steps<N, Log, Fine, Coarse + 1>(a, fine, coarse + 1, image, filter, spectrum, roots,
                                             rest, tile);
    }
  }
}

template <int N, int Log, int Fine>
__device__ __forceinline__ void family(const FusedArguments& a, int fine, int image, int filter) {
  const auto outer = side_at<N, Fine, in_pairs>(a.outer, fine);
  const auto inner = side_at<N, Fine, in_pairs>(a.inner, fine);
  Point* tile = reinterpret_cast<Point*>(shared_memory);
  unsigned char* area = shared_memory + tile_bytes(outer.size(), inner.size(), 1);
  unsigned char* rest = area + a.area;
  const Lowpass lowpass(rest, a, fine, outer, inner);
  rest += lowpass_bytes(outer.size(), inner.size(), a.m, a.n);
  const PlaneRoots roots(rest, a, fine, outer.size(), inner.size());
  rest += (roots_bytes(outer.size(), inner.size()) + 15) / 16 * 16;
  __syncthreads();

  const int half = a.Mp / 2 + 1;
  const Spectrum x_hat{a.x_hat + static_cast<int64_t>(image) * a.Np * half, half, a.Np, a.Mp};
  const float* psi = a.psi_first + first_offset(a, fine) + filter * a.Np * a.Mp;
  constexpr int K = N > 0 && Fine < 2 ? 1 << Fine : 0;
  const Folded<K, K == 2 ? 2 : 1> folded{x_hat, psi, outer.size(), inner.size(), 0, 1 << fine};
  wavelet(outer, inner, folded, roots, 1, tile);
  const bool forward = a.depth > 1 && fine + 1 < a.levels;
  modulus_pairs(inner, outer.size(), tile, forward, [](int, int, const Point&) {});
  __syncthreads();
  lowpass_plane(a, lowpass, outer.size(), pitch_of(inner.size()), tile,
                reinterpret_cast<float*>(area), channel(a, image, 1 + fine * a.filters + filter));
  if (!forward) return;
  forward_plane(outer, inner, roots, tile);
  const Spectrum u1_hat{tile, pitch_of(inner.size()), outer.size(), inner.size()};
  Point* planes = reinterpret_cast<Point*>(area);
  if constexpr (N > 0) {
    second_steps<N, Log, Fine, Fine + 1>(a, fine, fine + 1, image, filter, u1_hat, roots, rest,
                                         planes);
  } else {
    for (int coarse = fine + 1; coarse < a.levels; ++coarse) {
      second_steps<0, Log, 0, 0>(a, fine, coarse, image, filter, u1_hat, roots, rest, planes);
    }
  }
}
template <int N, int Log, int Fine>
__device__ __forceinline__ void family_of(const FusedArguments& a, int fine, int image,
                                          int filter) {
  if constexpr (N == 0) {
    family<0, Log, 0>(a, fine, image, filter);
  } else if constexpr ((N >> Fine) % 2 == 0 && (N >> Fine) >= 6) {
    if (fine == Fine) {
      family<N, Log, Fine>(a, fine, image, filter);
    } else {
      family_of<N, Log, Fine + 1>(a, fine, image, filter);
    }
  }
}

// Blocks in the order fine, image, ψ1: the dearest families begin first.
template <int N, int Log>
__global__ void __launch_bounds__(family_bounds(N).threads, family_bounds(N).blocks)
    families_kernel(const __grid_constant__ FusedArguments a) {
  const int filter = blockIdx.x % a.filters, image = blockIdx.x / a.filters % a.B;
  family_of<N, Log, 0>(a, blockIdx.x / a.filters / a.B, image, filter);
}

// N: the side at resolution coarse where both are the same and known, else 0. K = 2^(coarse − fine)
// or 0.
template <int N, int K, int Log>
__global__ void __launch_bounds__(second_bounds(N).threads, second_bounds(N).blocks)
    second_kernel(const __grid_constant__ FusedArguments a) {
  const auto outer = side_at<N, 0, side_by_side>(a.outer, a.coarse);
  const auto inner = side_at<N, 0, side_by_side>(a.inner, a.coarse);
  const int log = log_of<Log>(a, a.coarse), group = 1 << log,
            groups = (a.filters + group - 1) / group;
  const int first = blockIdx.x % groups * group, plane = blockIdx.x / groups;
  Point* tile = reinterpret_cast<Point*>(shared_memory);
  unsigned char* rest = shared_memory + tile_bytes(outer.size(), inner.size(), group);
  const Lowpass lowpass(rest, a, a.coarse, outer, inner);
  rest += lowpass_bytes(outer.size(), inner.size(), a.m, a.n);
  const PlaneRoots roots(rest, a, a.coarse, outer.size(), inner.size());
  __syncthreads();
  constexpr int fine = N * K;  // the side of the source, 0: it is not known
  const int fine_outer = fine > 0 ? fine : a.Np >> a.fine;
  const int fine_inner = fine > 0 ? fine : a.Mp >> a.fine, half = fine_inner / 2 + 1;
  const Spectrum spectrum{a.u_hat + static_cast<int64_t>(plane) * fine_outer * half, half,
                          fine_outer, fine_inner};
  const float* psi =
      a.psi_second + second_offset(a, a.fine, a.coarse) + first * fine_outer * fine_inner;
  const Folded<K, 1> folded{spectrum,     psi, outer.size(),
                            inner.size(), log, 1 << (a.coarse - a.fine)};
  const int c = a.first_channel + plane % a.planes * a.channel_step + first;
  float* S = channel(a, plane / a.planes, c);
  second_planes(a, outer, inner, folded, lowpass, roots, 1, first, tile, S);
}

}  // namespace SCATCUDA_ISA
}  // namespace scatcuda
