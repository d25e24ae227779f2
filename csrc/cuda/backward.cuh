// The general tier backward: the adjoint of every stage in general.cuh, float and double.
//
// With g the gradient of a loss, ĝ that of a spectrum, which is the unscaled DFT of what it came
// to:
//
//   gW   = (Pᵀ gS Q + gU) · W/|W|, 0 where W is
//   ĝÛ(k) = Σ_θ ψ̂(k, θ) ĝW_θ(k mod sides), summed over all scales that Û went to
//   gψ̂(k, θ) = Σ Re( conj Û(k) ĝW_θ(k mod sides) ), summed over all planes
//
// Nothing is scattered: each thread owns what it writes and gathers what belongs to it, always in
// the same order, so that gradients are the same bits from run to run.
#pragma once

#include "general.cuh"

namespace scatcuda {
inline namespace SCATCUDA_ISA {

// --- modulus ---

// g z/|z|, the gradient of the modulus, 0 where z is. Where squares would leave the range of T, z
// is brought into it by a power of two, which changes no direction.
template <class T>
__device__ __forceinline__ Complex<T> directed(const Complex<T>& z, T g) {
  constexpr bool wide = sizeof(T) == 8;
  constexpr T small = static_cast<T>(wide ? 1e-240 : 1e-30), large = 1 / small;
  constexpr T power = static_cast<T>(wide ? 0x1p600 : 0x1p100);
  T re = z.re, im = z.im, square = re * re + im * im;
  if (!(square >= small && square <= large)) {
    const T scale = square < small ? power : 1 / power;
    re *= scale, im *= scale, square = re * re + im * im;
  }
  const T factor = square == T(0) ? T(0) : g * rsqrt(square);
  return {re * factor, im * factor};
}

template <class T>
__global__ void __launch_bounds__(stage_threads)
    modulus_backward_kernel(int64_t count, const T* grad, const Complex<T>* z, Complex<T>* out) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * stage_threads;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * stage_threads + threadIdx.x; i < count;
       i += step) {
    out[i] = directed(z[i], grad[i]);
  }
}

// --- low-pass ---

// Planes of one resolution that a launch takes, with the gradients of their low-pass
template <class T>
struct LowpassGradient {
  void* u;        // [planes, outer, inner], T or Complex<T>
  const T* more;  // [planes, outer, inner], gradients of u by another way, or null
  int outer, inner;
  const T *to_n, *to_m;  // [n, outer], [m, inner]
  const int64_t *to_n_support, *to_m_support;
  const T* grad;  // plane (i · across + a) · down + d at i · image + a · a_step + d · d_step
  int64_t a_step, d_step;
  int64_t phi_offset;  // of to_m in the bank; to_n follows
};
template <class T>
struct LowpassGradientArguments {
  int64_t planes, across, down, image_step;
  int m, n;
  int64_t phi_entries;
  T* partial;                                // [slices, phi_entries]
  LowpassGradient<T> scales[most_together];  // as many as gridDim.z, or half as many

  __device__ const T* grad_of(const LowpassGradient<T>& s, int64_t plane) const {
    const int64_t image = plane / (across * down), a = plane / down % across, d = plane % down;
    return s.grad + image * image_step + a * s.a_step + d * s.d_step;
  }
};

// A thread's points: columns of one row, so many; outputs along n that it takes at a time
constexpr int spread_columns = 8, spread_outputs = 4;

// g = Pᵀ gS Q + more, in place of u; where u is complex, g u/|u|. Blocks: tiles × planes, 1,
// scales. By itself nvcc spills, on sm_100, for more blocks than these.
template <class T, bool Modulus>
__global__ void __launch_bounds__(lowpass_threads, 6)
    lowpass_backward_kernel(LowpassGradientArguments<T> a) {
  const LowpassGradient<T> s = a.scales[blockIdx.z];
  const int64_t items = ceil_div(s.outer, spread_columns) * s.inner;
  const int64_t tiles = ceil_div(items, lowpass_threads);
  if (blockIdx.x >= tiles * a.planes) return;
  const int64_t plane = blockIdx.x / tiles, first = blockIdx.x % tiles * lowpass_threads;
  const int64_t last = min(first + lowpass_threads, items) - 1, item = first + threadIdx.x;
  // columns and rows of the block's points, which outputs elsewhere do not reach
  const int column0 = static_cast<int>(first / s.inner) * spread_columns;
  const int column1 = static_cast<int>(last / s.inner + 1) * spread_columns;
  const bool one_line = first / s.inner == last / s.inner;
  const int row0 = one_line ? static_cast<int>(first % s.inner) : 0;
  const int row1 = one_line ? static_cast<int>(last % s.inner) + 1 : s.inner;
  if (item > last) return;

  const int c0 = static_cast<int>(item / s.inner) * spread_columns;
  const int r = static_cast<int>(item % s.inner);
  const T* grad = a.grad_of(s, plane);
  T sum[spread_columns] = {};
  for (int q0 = 0; q0 < a.n; q0 += spread_outputs) {
    const int q1 = min(q0 + spread_outputs, a.n);
    if (!meets(band_of(s.to_n_support, s.outer, q0, q1), column0, column1, s.outer)) continue;
    T t[spread_outputs] = {};
    for (int o = 0; o < a.m; ++o) {
      if (!meets(band_of(s.to_m_support, s.inner, o, o + 1), row0, row1, s.inner)) continue;
      const T tap = __ldg(s.to_m + static_cast<int64_t>(o) * s.inner + r) *
                    tap_scale<T>(s.to_m_support, s.inner, o);
#pragma unroll
      for (int p = 0; p < spread_outputs; ++p) {
        if (q0 + p < q1) t[p] += tap * __ldg(grad + static_cast<int64_t>(o) * a.n + q0 + p);
      }
    }
#pragma unroll
    for (int p = 0; p < spread_outputs; ++p) {
      if (q0 + p >= q1) continue;
      t[p] *= tap_scale<T>(s.to_n_support, s.outer, q0 + p);
      const T* taps = s.to_n + static_cast<int64_t>(q0 + p) * s.outer + c0;
#pragma unroll
      for (int i = 0; i < spread_columns; ++i) {
        if (c0 + i < s.outer) sum[i] += __ldg(taps + i) * t[p];
      }
    }
  }
#pragma unroll
  for (int i = 0; i < spread_columns; ++i) {
    if (c0 + i >= s.outer) continue;
    const int64_t at = (plane * s.outer + c0 + i) * s.inner + r;
    const T g = sum[i] + (s.more == nullptr ? T(0) : s.more[at]);
    if constexpr (Modulus) {
      Complex<T>* w = static_cast<Complex<T>*>(s.u) + at;
      *w = directed(*w, g);
    } else {
      static_cast<T*>(s.u)[at] = g;
    }
  }
}

// Of planes in slices, each summed by blocks of its own: enough blocks for a GPU, few enough sums
constexpr int slices = 32;

// gP = Σ gS Q Uᵀ, gQ = Σ gSᵀ P U inside their bands, added to the partial sums of each slice of
// planes. Blocks: tiles of the matrix, slices, scales × (P, Q).
// Told that four blocks are enough nvcc leaves them their registers; by itself it spills.
template <class T, bool Modulus>
__global__ void __launch_bounds__(lowpass_threads, 4)
    lowpass_filter_kernel(LowpassGradientArguments<T> a) {
  __shared__ T t[chunk_n][lowpass_threads];
  const LowpassGradient<T>& s = a.scales[blockIdx.z / 2];
  const bool rows = blockIdx.z % 2 == 0;
  // the matrix [outputs, points] and the other one, [others, length]; their steps in a plane u
  const int outputs = rows ? a.m : a.n, points = rows ? s.inner : s.outer;
  const int others = rows ? a.n : a.m, length = rows ? s.outer : s.inner;
  const int step = rows ? 1 : s.inner, other_step = rows ? s.inner : 1;
  const int o_step = rows ? a.n : 1, p_step = rows ? 1 : a.n;
  const T* taps = rows ? s.to_n : s.to_m;
  const int64_t* support = rows ? s.to_m_support : s.to_n_support;
  const int across = static_cast<int>(ceil_div(points, lowpass_threads));
  if (blockIdx.x >= across * ceil_div(outputs, chunk_n)) return;
  const int i = blockIdx.x % across * lowpass_threads + threadIdx.x;
  const int o0 = blockIdx.x / across * chunk_n;
  T sum[chunk_n] = {};
  for (int64_t plane = blockIdx.y; plane < a.planes; plane += slices) {
    const T* grad = a.grad_of(s, plane);
    const int64_t origin = plane * s.outer * s.inner + static_cast<int64_t>(i) * step;
    for (int k0 = 0; k0 < length; k0 += lowpass_threads) {
      const int k = k0 + threadIdx.x;
      T value[chunk_n] = {};
#pragma unroll 1
      for (int p = 0; p < others && k < length; ++p) {
        const T tap = __ldg(taps + static_cast<int64_t>(p) * length + k);
        const T* from = grad + static_cast<int64_t>(o0) * o_step + static_cast<int64_t>(p) * p_step;
#pragma unroll
        for (int o = 0; o < chunk_n; ++o) {
          if (o0 + o < outputs) value[o] += tap * __ldg(from + o * o_step);
        }
      }
#pragma unroll
      for (int o = 0; o < chunk_n; ++o) t[o][threadIdx.x] = value[o];
      __syncthreads();
      const int count = i < points ? static_cast<int>(min(length - k0, lowpass_threads)) : 0;
#pragma unroll 2
      for (int j = 0; j < count; ++j) {
        const int64_t at = origin + static_cast<int64_t>(k0 + j) * other_step;
        T u;
        if constexpr (Modulus) {
          const Complex<T> z = static_cast<const Complex<T>*>(s.u)[at];
          u = sqrt(z.re * z.re + z.im * z.im);
        } else {
          u = static_cast<const T*>(s.u)[at];
        }
#pragma unroll
        for (int o = 0; o < chunk_n; ++o) sum[o] += t[o][j] * u;
      }
      __syncthreads();
    }
  }
  if (i >= points) return;
  T* partial = a.partial + blockIdx.y * a.phi_entries + s.phi_offset;
  if (!rows) partial += static_cast<int64_t>(a.m) * s.inner;
#pragma unroll
  for (int o = 0; o < chunk_n; ++o) {
    if (o0 + o >= outputs) continue;
    const int2 band = band_of(support, points, o0 + o, o0 + o + 1);
    if (meets(band, i, i + 1, points)) partial[static_cast<int64_t>(o0 + o) * points + i] += sum[o];
  }
}

// out = Σ of all slices
template <class T>
__global__ void __launch_bounds__(stage_threads)
    sum_slices_kernel(int64_t count, const T* partial, T* out) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * stage_threads + threadIdx.x;
  if (i >= count) return;
  T sum = 0;
  for (int slice = 0; slice < slices; ++slice) sum += partial[slice * count + i];
  out[i] = sum;
}

// --- filter and fold ---

// One scale that spectra [outer, inner] went to
template <class T>
struct UnfoldedScale {
  int k;
  const T* psi;            // the whole bank, or the filters of the stage operator
  const int64_t* support;  // its box, null where everything is kept
  const Complex<T>* g;     // [planes, L, outer/k, inner/k]
  T* grad_psi;             // as psi is
};
template <class T>
struct UnfoldArguments {
  const Complex<T>* u_hat;  // [planes, outer, inner], or half of it
  Complex<T>* g_hat;        // likewise; may be the same
  int64_t planes, psi_entries;
  int outer, inner, L, lanes, count;
  T scale;
  UnfoldedScale<T> scales[most_together];  // `count`
};

// ĝÛ at frequency (c, r)
template <class T, bool Packed>
__device__ __forceinline__ Complex<T> unfolded(const UnfoldArguments<T>& a, int64_t plane, int c,
                                               int r) {
  Complex<T> all{};
  for (int i = 0; i < a.count; ++i) {
    const UnfoldedScale<T>& s = a.scales[i];
    const Box box =
        Packed ? Box(s.support, a.outer, a.inner, a.lanes, a.psi_entries) : Box(a.outer, a.inner);
    const int column = box.column(c), row = box.row(r);
    Complex<T> sum{};
    if (column >= 0 && row >= 0) {
      const int outer = a.outer / s.k, inner = a.inner / s.k;
      const int64_t bins = static_cast<int64_t>(outer) * inner;
      const Complex<T>* g =
          s.g + plane * a.L * bins + static_cast<int64_t>(c % outer) * inner + r % inner;
      const int64_t entry = static_cast<int64_t>(column) * box.rows + row;
      const T* psi = Packed ? s.psi + box.first + entry * a.lanes : s.psi + entry;
      const int64_t step = Packed ? 1 : static_cast<int64_t>(a.outer) * a.inner;
#pragma unroll 4
      for (int theta = 0; theta < a.L; ++theta) {
        const T w = __ldg(psi + theta * step);
        sum = {sum.re + w * g[theta * bins].re, sum.im + w * g[theta * bins].im};
      }
    }
    const T scale = a.scale * static_cast<T>(box.scale);
    all = {all.re + scale * sum.re, all.im + scale * sum.im};
  }
  return all;
}

// Half: of real planes, whose gradient is the real part of the inverse DFT: of that spectrum
// (ĝ(k) + conj ĝ(−k))/2, one half. Blocks: bins × planes.
template <class T, bool Half, bool Packed>
__global__ void __launch_bounds__(stage_threads) unfold_kernel(UnfoldArguments<T> a) {
  const int width = Half ? a.inner / 2 + 1 : a.inner;
  const int64_t bins = static_cast<int64_t>(a.outer) * width, tiles = ceil_div(bins, stage_threads);
  const int64_t plane = blockIdx.x / tiles;
  const int64_t bin = blockIdx.x % tiles * stage_threads + threadIdx.x;
  if (bin >= bins) return;
  const int c = static_cast<int>(bin / width), r = static_cast<int>(bin % width);
  Complex<T> g = unfolded<T, Packed>(a, plane, c, r);
  if constexpr (Half) {
    const int cc = c == 0 ? 0 : a.outer - c, rr = r == 0 ? 0 : a.inner - r;
    const Complex<T> other = unfolded<T, Packed>(a, plane, cc, rr);
    g = {T(0.5) * (g.re + other.re), T(0.5) * (g.im - other.im)};
  }
  a.g_hat[plane * bins + bin] = g;
}

// gψ̂, added to what is there. A block takes so many entries of a table and eight angles of each;
// its warps share the planes. Blocks: entries, angles, scales.
constexpr int filter_entries = 32, filter_warps = stage_threads / filter_entries;
template <class T, bool Half, bool Packed>
__global__ void __launch_bounds__(stage_threads) filter_gradient_kernel(UnfoldArguments<T> a) {
  constexpr int together = 8;
  __shared__ T partial[filter_warps][together][filter_entries];
  const UnfoldedScale<T>& s = a.scales[blockIdx.z];
  const Box box =
      Packed ? Box(s.support, a.outer, a.inner, a.lanes, a.psi_entries) : Box(a.outer, a.inner);
  const int64_t entries = static_cast<int64_t>(box.columns) * box.rows;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * filter_entries;
  if (first >= entries) return;
  const int lane = threadIdx.x % filter_entries, warp = threadIdx.x / filter_entries;
  const int theta0 = blockIdx.y * together;
  const int64_t entry = first + lane;
  T sum[together] = {};
  if (entry < entries) {
    int c = static_cast<int>(entry / box.rows), r = static_cast<int>(entry % box.rows);
    if (c >= box.left) c += box.right - box.left;
    if (r >= box.head) r += box.tail - box.head;
    const bool other = Half && 2 * r > a.inner;  // in the half that is not kept
    const int width = Half ? a.inner / 2 + 1 : a.inner;
    const int cc = other && c > 0 ? a.outer - c : c, rr = other ? a.inner - r : r;
    const int outer = a.outer / s.k, inner = a.inner / s.k;
    const int64_t bins = static_cast<int64_t>(outer) * inner, step = width * int64_t{a.outer};
    const Complex<T>* u_hat = a.u_hat + static_cast<int64_t>(cc) * width + rr;
    const Complex<T>* g = s.g + static_cast<int64_t>(c % outer) * inner + r % inner;
    for (int64_t plane = warp; plane < a.planes; plane += filter_warps) {
      Complex<T> x = u_hat[plane * step];
      if (other) x.im = -x.im;
#pragma unroll
      for (int q = 0; q < together; ++q) {
        if (theta0 + q >= a.L) continue;
        const Complex<T> y = g[(plane * a.L + theta0 + q) * bins];
        sum[q] += x.re * y.re + x.im * y.im;
      }
    }
  }
#pragma unroll
  for (int q = 0; q < together; ++q) partial[warp][q][lane] = sum[q];
  __syncthreads();
  const int theta = theta0 + warp;  // a warp an angle
  static_assert(filter_warps == together);
  if (entry >= entries || theta >= a.L) return;
  T total = 0;
#pragma unroll
  for (int i = 0; i < filter_warps; ++i) total += partial[i][warp][lane];
  T* to = Packed ? s.grad_psi + box.first + entry * a.lanes + theta
                 : s.grad_psi + theta * entries + entry;
  *to += a.scale * total;
}

// --- padding ---

// f(p) of every padded position p that shows pixel i of a line of `size`
template <class F>
__device__ __forceinline__ void each_mirror(int i, int size, int before, int padded, F f) {
  const int period = max(2 * (size - 1), 1);
  int straight = (before + i) % period, mirrored = (before - i) % period;
  if (mirrored < 0) mirrored += period;
  for (int p = straight; p < padded; p += period) f(p);
  if (mirrored == straight) return;
  for (int p = mirrored; p < padded; p += period) f(p);
}

// [B, Np, Mp] -> [B, M, N]: every pixel the sum of the positions that show it
template <class T>
__global__ void __launch_bounds__(pad_tile* pad_rows)
    unpad_kernel(const T* u, T* out, int M, int N, int Mp, int Np) {
  __shared__ T tile[pad_tile][pad_tile + 1];
  const int across = static_cast<int>(ceil_div(N, pad_tile));
  const int down = static_cast<int>(ceil_div(M, pad_tile));
  const int64_t image = blockIdx.x / down / across;
  const int j0 = blockIdx.x / down % across * pad_tile, i0 = blockIdx.x % down * pad_tile;
  const int above = (Mp - M) / 2, before = (Np - N) / 2;
  const int lane = threadIdx.x % pad_tile, line = threadIdx.x / pad_tile;
  for (int k = line; k < pad_tile; k += pad_rows) {
    const int i = i0 + lane, j = j0 + k;
    if (i >= M || j >= N) continue;
    T sum = 0;
    each_mirror(j, N, before, Np, [&](int c) {
      each_mirror(i, M, above, Mp, [&](int r) { sum += u[(image * Np + c) * Mp + r]; });
    });
    tile[k][lane] = sum;
  }
  __syncthreads();
  for (int k = line; k < pad_tile; k += pad_rows) {
    const int i = i0 + k, j = j0 + lane;
    if (i < M && j < N) out[(image * M + i) * N + j] = tile[lane][k];
  }
}

}  // namespace SCATCUDA_ISA
}  // namespace scatcuda
