// The general tier: one kernel a stage, every size, float and double. cuFFT runs between them.
//
// Planes lie [outer, inner] = [columns, rows], transposed, since that is how the bank does; of
// spectra of real planes the half [outer, inner/2 + 1] is kept.
#pragma once

#include "../core/fft.h"
#include "bank.cuh"
#include "cascade.h"

namespace scatcuda {
inline namespace SCATCUDA_ISA {

constexpr int most_together = max_level;  // problems of different size in one launch
constexpr int stage_threads = 256;

// --- padding ---

// x [B, M, N] -> [B, Np, Mp] of type T, reflected at the edges and transposed; one block of 32 × 8
// threads a tile of 32 × 32 pixels
constexpr int pad_tile = 32, pad_rows = 8;
template <class T>
__global__ void __launch_bounds__(pad_tile* pad_rows)
    pad_kernel(const void* x, cuda::Pixels type, T* out, int M, int N, int Mp, int Np) {
  __shared__ T tile[pad_tile][pad_tile + 1];
  const int across = static_cast<int>(ceil_div(Np, pad_tile));
  const int down = static_cast<int>(ceil_div(Mp, pad_tile));
  const int64_t image = blockIdx.x / down / across;
  const int c0 = blockIdx.x / down % across * pad_tile, r0 = blockIdx.x % down * pad_tile;
  const int above = (Mp - M) / 2, before = (Np - N) / 2;
  const int lane = threadIdx.x % pad_tile, row = threadIdx.x / pad_tile;
  for (int i = row; i < pad_tile; i += pad_rows) {
    const int r = r0 + i, c = c0 + lane;
    if (r < Mp && c < Np) {
      const int64_t at = (image * M + reflect(r - above, M)) * N + reflect(c - before, N);
      tile[i][lane] = pixel<T>(x, type, at);
    }
  }
  __syncthreads();
  for (int i = row; i < pad_tile; i += pad_rows) {
    const int c = c0 + i, r = r0 + lane;
    if (r < Mp && c < Np) out[(image * Np + c) * Mp + r] = tile[lane][i];
  }
}

// --- filter and fold ---

// One scale that a launch of filter_fold computes, from planes [outer, inner]
template <class T>
struct FoldedScale {
  int k;
  const T* psi;            // the whole bank, or the filters of the stage operator
  const int64_t* support;  // its box, null where everything is kept
  Complex<T>* out;         // [planes, L, outer/k, inner/k]
};
template <class T>
struct FilterFoldArguments {
  const Complex<T>* u_hat;  // [planes, outer, inner], or half of it
  int64_t planes, psi_entries;
  int outer, inner, L, lanes;
  T scale;
  FoldedScale<T> scales[most_together];  // as many as gridDim.z
};

// Angles that a thread computes from one reading of the spectrum
constexpr int angles_together(int lanes) { return lanes < 8 ? 4 : 8; }

// Half: the spectrum is that of a real plane. Packed: psi is [kept, lanes], a bank's table,
// otherwise [L, outer, inner]. Blocks: bins × planes, angles, scales.
template <class T, bool Half, bool Packed, int Angles>
__global__ void __launch_bounds__(stage_threads) filter_fold_kernel(FilterFoldArguments<T> a) {
  const FoldedScale<T> scale = a.scales[blockIdx.z];
  const int k = scale.k, outer = a.outer / k, inner = a.inner / k;
  const int64_t bins = static_cast<int64_t>(outer) * inner, tiles = ceil_div(bins, stage_threads);
  if (blockIdx.x >= tiles * a.planes) return;
  const int64_t plane = blockIdx.x / tiles;
  const int64_t bin = blockIdx.x % tiles * stage_threads + threadIdx.x;
  if (bin >= bins) return;
  const int c = static_cast<int>(bin / inner), r = static_cast<int>(bin % inner);
  const int first = blockIdx.y * Angles;
  const Box box =
      Packed ? Box(scale.support, a.outer, a.inner, a.lanes, a.psi_entries) : Box(a.outer, a.inner);
  const int width = Half ? a.inner / 2 + 1 : a.inner;
  const Complex<T>* u_hat = a.u_hat + plane * a.outer * width;
  const T* psi = Packed ? scale.psi + box.first + first
                        : scale.psi + static_cast<int64_t>(first) * a.outer * a.inner;
  Complex<T> sum[Angles] = {};
  for (int i = 0; i < k; ++i) {
    const int cc = c + i * outer, column = box.column(cc);
    if (column < 0) continue;
    for (int j = 0; j < k; ++j) {
      const int rr = r + j * inner, row = box.row(rr);
      if (row < 0) continue;
      Complex<T> x;
      if (!Half || 2 * rr <= a.inner) {
        x = u_hat[static_cast<int64_t>(cc) * width + rr];
      } else {
        x = u_hat[static_cast<int64_t>(cc == 0 ? 0 : a.outer - cc) * width + a.inner - rr];
        x.im = -x.im;
      }
      const int64_t entry = static_cast<int64_t>(column) * box.rows + row;
#pragma unroll
      for (int q = 0; q < Angles; ++q) {
        T w;
        if constexpr (Packed) {
          w = __ldg(psi + entry * a.lanes + q);
        } else {
          w = first + q < a.L ? __ldg(psi + q * static_cast<int64_t>(a.outer) * a.inner + entry)
                              : T(0);
        }
        sum[q] = {sum[q].re + x.re * w, sum[q].im + x.im * w};
      }
    }
  }
  const T factor = a.scale * static_cast<T>(box.scale);
#pragma unroll
  for (int q = 0; q < Angles; ++q) {
    if (first + q < a.L) {
      scale.out[(plane * a.L + first + q) * bins + bin] = {sum[q].re * factor, sum[q].im * factor};
    }
  }
}

// --- modulus ---

template <class T>
__global__ void __launch_bounds__(stage_threads)
    modulus_kernel(int64_t count, const Complex<T>* z, T* out) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * stage_threads;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * stage_threads + threadIdx.x; i < count;
       i += step) {
    out[i] = sqrt(z[i].re * z[i].re + z[i].im * z[i].im);
  }
}

// --- low-pass ---

// Planes of one resolution that a launch of lowpass takes
template <class T>
struct LowpassScale {
  const void* u;  // [planes, outer, inner], T or Complex<T>
  int outer, inner;
  const T *to_n, *to_m;                        // [n, outer], [m, inner]
  const int64_t *to_n_support, *to_m_support;  // null where everything is kept
  T* out;  // plane (i · across + a) · down + d at i · image + a · a_step + d · d_step
  int64_t a_step, d_step;
};
template <class T>
struct LowpassArguments {
  int64_t planes, across, down, image_step;
  int m, n, m_step, n_step;               // strides of an output plane
  LowpassScale<T> scales[most_together];  // as many as gridDim.z
};

// One block computes outputs [chunk_n, chunk_m] of a plane; it goes along the inner dimension in
// tiles of as many points as it has threads.
constexpr int lowpass_threads = 128, chunk_n = 8, chunk_m = 32;

// NaN for the taps of an output whose band reaches outside
template <class T>
__device__ __forceinline__ T tap_scale(const int64_t* support, int size, int o) {
  const bool fits = support == nullptr || is_band(support[2 * o], support[2 * o + 1], size);
  return fits ? T(1) : static_cast<T>(nanf(""));
}

// t = u to_nᵀ, S = to_m t, of |u| where u is complex. Blocks: chunks × planes, 1, scales.
template <class T, bool Modulus>
__global__ void __launch_bounds__(lowpass_threads, 8) lowpass_kernel(LowpassArguments<T> a) {
  __shared__ T t[chunk_n][lowpass_threads + 1];
  const LowpassScale<T> s = a.scales[blockIdx.z];
  const int chunks_n = static_cast<int>(ceil_div(a.n, chunk_n));
  const int chunks = chunks_n * static_cast<int>(ceil_div(a.m, chunk_m));
  const int64_t plane = blockIdx.x / chunks;
  const int chunk = static_cast<int>(blockIdx.x % chunks);
  const int n0 = chunk % chunks_n * chunk_n, m0 = chunk / chunks_n * chunk_m;
  const int n1 = min(n0 + chunk_n, a.n), m1 = min(m0 + chunk_m, a.m);
  const int2 outer = band_of(s.to_n_support, s.outer, n0, n1);
  const int2 inner = band_of(s.to_m_support, s.inner, m0, m1);
  const int64_t size = static_cast<int64_t>(s.outer) * s.inner;

  // outputs of this thread: one of n, every 16th of m
  constexpr int lanes = lowpass_threads / chunk_n, mine = chunk_m / lanes;
  const int q = threadIdx.x % chunk_n, i = threadIdx.x / chunk_n;
  T sum[mine] = {};
  for (int r0 = inner.x; r0 < inner.y; r0 += lowpass_threads) {
    const int r = r0 + threadIdx.x;
    T column[chunk_n] = {};
    if (r < inner.y) {
      const int64_t line = plane * size + (r < s.inner ? r : r - s.inner);
#pragma unroll 1
      for (int first = outer.x, last = outer.y; last > 0; first = 0, last -= s.outer) {
        for (int c = first; c < min(last, s.outer); ++c) {
          const int64_t at = line + static_cast<int64_t>(c) * s.inner;
          T u;
          if constexpr (Modulus) {
            const Complex<T> z = static_cast<const Complex<T>*>(s.u)[at];
            u = sqrt(z.re * z.re + z.im * z.im);
          } else {
            u = static_cast<const T*>(s.u)[at];
          }
#pragma unroll
          for (int o = 0; o < chunk_n; ++o) {
            if (n0 + o < n1)
              column[o] += __ldg(s.to_n + static_cast<int64_t>(n0 + o) * s.outer + c) * u;
          }
        }
      }
    }
#pragma unroll
    for (int o = 0; o < chunk_n; ++o) t[o][threadIdx.x] = column[o];
    __syncthreads();
    // points of this tile, up to the edge and round it
    const int points = min(lowpass_threads, inner.y - r0);
    const int start = r0 < s.inner ? r0 : r0 - s.inner, straight = min(points, s.inner - start);
#pragma unroll
    for (int j = 0; j < mine; ++j) {
      const int row = m0 + i + j * lanes;
      if (row >= m1) continue;
      const T* taps = s.to_m + static_cast<int64_t>(row) * s.inner + start;
      for (int p = 0; p < straight; ++p) sum[j] += __ldg(taps + p) * t[q][p];
      taps -= s.inner;
      for (int p = straight; p < points; ++p) sum[j] += __ldg(taps + p) * t[q][p];
    }
    __syncthreads();
  }
  if (n0 + q >= n1) return;
  const int64_t image = plane / (a.across * a.down), d = plane % a.down;
  const int64_t across = plane / a.down % a.across;
  T* out = s.out + image * a.image_step + across * s.a_step + d * s.d_step;
  const T scale_n = tap_scale<T>(s.to_n_support, s.outer, n0 + q);
#pragma unroll
  for (int j = 0; j < mine; ++j) {
    const int row = m0 + i + j * lanes;
    if (row >= m1) continue;
    const T scale = scale_n * tap_scale<T>(s.to_m_support, s.inner, row);
    out[static_cast<int64_t>(row) * a.m_step + static_cast<int64_t>(n0 + q) * a.n_step] =
        sum[j] * scale;
  }
}

}  // namespace SCATCUDA_ISA
}  // namespace scatcuda
