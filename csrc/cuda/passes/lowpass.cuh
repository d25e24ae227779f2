// The low-pass of planes and its adjoints, with a matrix for each axis:
//
//   S  = P U Qᵀ              P along the inner side, Q along the outer one; so the middle one
//   gU = Pᵀ gS Q
//   gP = Σ gS Q Uᵀ,  gQ = Σ gSᵀ P U
//
// With Modulus U = |W|, and gW is what comes back. Of rank 1 planes are lines: they are taken eight
// at a time, in the place of the columns of one.
#pragma once

#include "average.cuh"
#include "fold.cuh"

namespace scatcuda {
inline namespace SCATCUDA_ISA {

// The matrix of an axis, [outputs, side], or none
template <class T>
struct AxisTaps {
  const T* taps = nullptr;
  const int64_t* support = nullptr;  // null where everything is kept
  int outputs = 1;
  int64_t step = 0;    // of its outputs among those of a plane
  int64_t first = 0;   // of its first row in phi
  int64_t stride = 0;  // from a row to the next; where rows are turned, back
};

// NaN for the taps of an output whose band reaches outside
template <class T>
__device__ __forceinline__ T tap_scale(const AxisTaps<T>& a, int side, int o) {
  const int64_t* band = a.support + 2 * o;
  const bool fits = a.support == nullptr || is_band(band[0], band[1], side);
  return fits ? T(1) : static_cast<T>(nanf(""));
}
template <class T>
__device__ __forceinline__ T tap_of(const AxisTaps<T>& a, int o, int i) {
  return a.taps == nullptr ? T(1) : __ldg(a.taps + o * a.stride + i);
}

// The planes of one step
template <class T>
struct LowpassStep {
  void* u;        // [planes, from], T or Complex<T>
  const T* more;  // gradients of u by another way, or null
  Plane from;
  AxisTaps<T> inner, middle, outer;
  T* S;
  const T* grad;
  Channels to;
};
template <class T>
struct LowpassArguments {
  int64_t images;
  int axes;
  T* partial;  // gradients of phi, [slices, phi_numbers]
  int64_t phi_numbers;
  LowpassStep<T> steps[most_together];
  int first_job;  // of steps × axes: filters
};

template <class T, bool Modulus>
__device__ __forceinline__ T real_at(const void* u, int64_t i) {
  if constexpr (Modulus) return sqrt(square_of(static_cast<const Complex<T>*>(u)[i]));
  return static_cast<const T*>(u)[i];
}

// One block computes outputs [chunk_n, chunk_m] of a plane; it goes along the inner side in tiles
// of as many points as it has threads.
constexpr int lowpass_threads = 128, chunk_n = 8, chunk_m = 32;

// Blocks of a processor that it is to leave registers for
constexpr int lowpass_blocks(int rank, bool wide) { return rank < 3 ? 8 : wide ? 3 : 4; }

// t = U Qᵀ, S = P t. Blocks: chunks × planes, 1, steps.
template <class T, bool Modulus, int Rank>
__global__ void __launch_bounds__(lowpass_threads, lowpass_blocks(Rank, sizeof(T) == 8))
    lowpass_kernel(LowpassArguments<T> a) {
  constexpr bool Lines = Rank == 1;
  __shared__ T t[chunk_n][lowpass_threads + 1];
  const LowpassStep<T>& s = a.steps[blockIdx.z];
  Plane from = s.from;
  if (Rank < 3) from.middle = 1;
  const int chunks_n = Lines ? 1 : static_cast<int>(ceil_div(s.outer.outputs, chunk_n));
  const int chunks_m = static_cast<int>(ceil_div(s.inner.outputs, chunk_m));
  const int chunks = chunks_n * (Rank < 3 ? 1 : s.middle.outputs) * chunks_m;
  const int64_t planes = a.images * s.to.planes;
  const int64_t plane = blockIdx.x / chunks * (Lines ? chunk_n : 1);
  if (plane >= planes) return;
  const int chunk = static_cast<int>(blockIdx.x % chunks);
  const int n0 = chunk % chunks_n * chunk_n, m0 = chunk / chunks_n % chunks_m * chunk_m;
  const int o_middle = Rank < 3 ? 0 : chunk / chunks_n / chunks_m;
  const int n1 =
      static_cast<int>(Lines ? min(chunk_n, planes - plane) : min(n0 + chunk_n, s.outer.outputs));
  const int m1 = min(m0 + chunk_m, s.inner.outputs);
  const int2 outer = band_of(s.outer.support, from.outer, n0, n1);
  const int2 middle =
      Rank < 3 ? make_int2(0, 1) : band_of(s.middle.support, from.middle, o_middle, o_middle + 1);
  const int2 inner = band_of(s.inner.support, from.inner, m0, m1);
  const int64_t size = from.points();

  // outputs of this thread: one of n, every 16th of m
  constexpr int lanes = lowpass_threads / chunk_n, mine = chunk_m / lanes;
  const int q = threadIdx.x % chunk_n, i = threadIdx.x / chunk_n;
  T sum[mine] = {};
  for (int r0 = inner.x; r0 < inner.y; r0 += lowpass_threads) {
    const int r = r0 + threadIdx.x;
    T column[chunk_n] = {};
    if (r < inner.y) {
      const int64_t line = plane * size + (r < from.inner ? r : r - from.inner);
      if constexpr (Lines) {
#pragma unroll
        for (int o = 0; o < chunk_n; ++o) {
          if (o < n1) column[o] = real_at<T, Modulus>(s.u, line + o * size);
        }
      } else {
#pragma unroll 1
        for (int k = middle.x; k < middle.y; ++k) {
          const int b = k < from.middle ? k : k - from.middle;
          const T tap = Rank < 3 ? T(1) : tap_of(s.middle, o_middle, b);
#pragma unroll 1
          for (int first = outer.x, last = outer.y; last > 0; first = 0, last -= from.outer) {
            for (int c = first; c < min(last, from.outer); ++c) {
              const T u = tap * real_at<T, Modulus>(s.u, line + from.index(0, b, c));
#pragma unroll
              for (int o = 0; o < chunk_n; ++o) {
                if (n0 + o < n1)
                  column[o] += __ldg(s.outer.taps + (n0 + o) * s.outer.stride + c) * u;
              }
            }
          }
        }
      }
    }
#pragma unroll
    for (int o = 0; o < chunk_n; ++o) t[o][threadIdx.x] = column[o];
    __syncthreads();
    // points of this tile, up to the edge and round it
    const int points = min(lowpass_threads, inner.y - r0);
    const int start = r0 < from.inner ? r0 : r0 - from.inner;
    const int straight = min(points, from.inner - start);
#pragma unroll
    for (int j = 0; j < mine; ++j) {
      const int row = m0 + i + j * lanes;
      if (row >= m1) continue;
      const T* taps = s.inner.taps + row * s.inner.stride + start;
      for (int p = 0; p < straight; ++p) sum[j] += __ldg(taps + p) * t[q][p];
      taps -= from.inner;
      for (int p = straight; p < points; ++p) sum[j] += __ldg(taps + p) * t[q][p];
    }
    __syncthreads();
  }
  if (n0 + q >= n1) return;
  T* out = s.S + s.to.place(Lines ? plane + q : plane) + o_middle * s.middle.step;
  T outside = Rank < 3 ? T(1) : tap_scale(s.middle, from.middle, o_middle);
  if constexpr (!Lines) {
    out += (n0 + q) * s.outer.step;
    outside *= tap_scale(s.outer, from.outer, n0 + q);
  }
#pragma unroll
  for (int j = 0; j < mine; ++j) {
    const int row = m0 + i + j * lanes;
    if (row >= m1) continue;
    out[row * s.inner.step] = sum[j] * outside * tap_scale(s.inner, from.inner, row);
  }
}

// A thread's points: columns of one row, so many; outputs along the outer side that it takes at a
// time
constexpr int spread_columns = 8, spread_outputs = 4;

// g = Pᵀ gS Q + more, in place of u; with Modulus g u/|u|. Blocks: tiles × planes, 1, steps. By
// itself nvcc spills, on sm_100, for more blocks than these.
template <class T, bool Modulus, int Rank>
__global__ void __launch_bounds__(lowpass_threads, sizeof(T) == 4 ? 6 : 5)
    lowpass_backward_kernel(LowpassArguments<T> a) {
  constexpr bool Lines = Rank == 1;
  const LowpassStep<T>& s = a.steps[blockIdx.z];
  Plane from = s.from;
  if (Rank < 3) from.middle = 1;
  const int64_t items =
      int64_t{from.inner} * from.middle * (Lines ? 1 : ceil_div(from.outer, spread_columns));
  const int64_t tiles = ceil_div(items, lowpass_threads), planes = a.images * s.to.planes;
  const int64_t plane = blockIdx.x / tiles * (Lines ? spread_columns : 1);
  if (plane >= planes) return;
  const int64_t first = blockIdx.x % tiles * lowpass_threads;
  const int64_t last = min(first + lowpass_threads, items) - 1, item = first + threadIdx.x;
  // columns and rows of the block's points, which outputs elsewhere do not reach
  const int64_t line0 = first / from.inner, line1 = last / from.inner;
  const int column0 = static_cast<int>(line0 / from.middle) * spread_columns;
  const int column1 = static_cast<int>(line1 / from.middle + 1) * spread_columns;
  const int row0 = line0 == line1 ? static_cast<int>(first - line0 * from.inner) : 0;
  const int row1 = line0 == line1 ? static_cast<int>(last - line0 * from.inner) + 1 : from.inner;
  if (item > last) return;

  const auto [r, b, line] = place_in({from.inner, from.middle, 1 << 30}, item);
  const int c0 = line * spread_columns;
  T sum[spread_columns] = {};
  if constexpr (Lines) {
    const T* grad[spread_columns];
#pragma unroll
    for (int i = 0; i < spread_columns; ++i) {
      grad[i] = s.grad + s.to.place(min(plane + i, planes - 1));
    }
    for (int o = 0; o < s.inner.outputs; ++o) {
      if (!meets(band_of(s.inner.support, from.inner, o, o + 1), row0, row1, from.inner)) continue;
      const T tap = tap_of(s.inner, o, r) * tap_scale(s.inner, from.inner, o);
#pragma unroll
      for (int i = 0; i < spread_columns; ++i) sum[i] += tap * __ldg(grad[i] + o * s.inner.step);
    }
  } else {
    for (int l = 0; l < s.middle.outputs; ++l) {
      if (!meets(band_of(s.middle.support, from.middle, l, l + 1), b, b + 1, from.middle)) continue;
      const T tap_middle = tap_of(s.middle, l, b) * tap_scale(s.middle, from.middle, l);
      const T* grad = s.grad + s.to.place(plane) + l * s.middle.step;
      for (int q0 = 0; q0 < s.outer.outputs; q0 += spread_outputs) {
        const int q1 = min(q0 + spread_outputs, s.outer.outputs);
        if (!meets(band_of(s.outer.support, from.outer, q0, q1), column0, column1, from.outer)) {
          continue;
        }
        T t[spread_outputs] = {};
        for (int o = 0; o < s.inner.outputs; ++o) {
          if (!meets(band_of(s.inner.support, from.inner, o, o + 1), row0, row1, from.inner)) {
            continue;
          }
          const T tap = tap_of(s.inner, o, r) * tap_scale(s.inner, from.inner, o);
          const T* at = grad + o * s.inner.step + q0 * s.outer.step;
#pragma unroll
          for (int p = 0; p < spread_outputs; ++p) {
            if (q0 + p < q1) t[p] += tap * __ldg(at + p * s.outer.step);
          }
        }
#pragma unroll
        for (int p = 0; p < spread_outputs; ++p) {
          if (q0 + p >= q1) continue;
          t[p] *= tap_middle * tap_scale(s.outer, from.outer, q0 + p);
#pragma unroll
          for (int i = 0; i < spread_columns; ++i) {
            if (c0 + i < from.outer) {
              sum[i] += __ldg(s.outer.taps + (q0 + p) * s.outer.stride + c0 + i) * t[p];
            }
          }
        }
      }
    }
  }
  const int64_t size = from.points(), origin = plane * size + from.index(r, b, c0);
  const int64_t step = Lines ? size : from.index(0, 0, 1);
  const int64_t count = Lines ? planes - plane : from.outer - c0;
#pragma unroll
  for (int i = 0; i < spread_columns; ++i) {
    if (i >= count) continue;
    const int64_t at = origin + i * step;
    const T g = sum[i] + (s.more == nullptr ? T(0) : s.more[at]);
    if constexpr (Modulus) {
      Complex<T>* w = static_cast<Complex<T>*>(s.u) + at;
      *w = directed(*w, g);
    } else {
      static_cast<T*>(s.u)[at] = g;
    }
  }
}

// An axis of planes whose matrix has a gradient, or one of the others
template <class T>
struct SummedAxis {
  AxisTaps<T> taps;
  int side;
  int64_t step;  // in a plane
};

// gP and gQ inside their bands, added to the partial sums of each slice of planes: those of a slice
// are summed by blocks of their own. Blocks: tiles of the matrix, slices, steps × axes.
// Told that three blocks are enough nvcc leaves them their registers; by itself it spills.
template <class T, bool Modulus>
__global__ void __launch_bounds__(lowpass_threads, 3) lowpass_filter_kernel(LowpassArguments<T> a) {
  __shared__ T t[chunk_n][lowpass_threads];
  const int job = blockIdx.z + a.first_job;
  const LowpassStep<T>& s = a.steps[job / a.axes];
  const Plane from = s.from;
  const SummedAxis<T> inner{s.inner, from.inner, 1};
  const SummedAxis<T> middle{s.middle, from.middle, from.inner};
  const SummedAxis<T> outer{s.outer, from.outer, from.index(0, 0, 1)};
  const int axis = job % a.axes;
  const bool is_inner = axis == 0, is_middle = axis == 1 && a.axes == 3;
  const SummedAxis<T> own = is_inner ? inner : is_middle ? middle : outer;
  const SummedAxis<T> x = is_inner ? outer : inner, y = is_middle ? outer : middle;
  const int across = static_cast<int>(ceil_div(own.side, lowpass_threads));
  if (own.taps.stride < 0) return;  // its rows are turned, see below
  if (blockIdx.x >= across * ceil_div(own.taps.outputs, chunk_n)) return;
  const int i = blockIdx.x % across * lowpass_threads + threadIdx.x;
  const int o0 = blockIdx.x / across * chunk_n, outputs = own.taps.outputs;
  const int64_t length = int64_t{x.side} * y.side, size = from.points();
  T sum[chunk_n] = {};
  for (int64_t plane = blockIdx.y; plane < a.images * s.to.planes; plane += gridDim.y) {
    const T* grad = s.grad + s.to.place(plane) + o0 * own.taps.step;
    const int64_t origin = plane * size + i * own.step;
    for (int64_t k0 = 0; k0 < length; k0 += lowpass_threads) {
      const int64_t k = k0 + threadIdx.x;
      const int kx = static_cast<int>(k % x.side), ky = static_cast<int>(k / x.side);
      T value[chunk_n] = {};
#pragma unroll 1
      for (int py = 0; py < y.taps.outputs && k < length; ++py) {
        const T tap_y = tap_of(y.taps, py, ky);
#pragma unroll 1
        for (int px = 0; px < x.taps.outputs; ++px) {
          const T tap = tap_y * tap_of(x.taps, px, kx);
          const T* at = grad + px * x.taps.step + py * y.taps.step;
#pragma unroll
          for (int o = 0; o < chunk_n; ++o) {
            if (o0 + o < outputs) value[o] += tap * __ldg(at + o * own.taps.step);
          }
        }
      }
#pragma unroll
      for (int o = 0; o < chunk_n; ++o) t[o][threadIdx.x] = value[o];
      __syncthreads();
      const int count = i < own.side ? static_cast<int>(min(length - k0, lowpass_threads)) : 0;
      int left = x.side - static_cast<int>(k0 % x.side);  // of this line of the others' points
      int64_t at = origin + k0 % x.side * x.step + k0 / x.side * y.step;
#pragma unroll 2
      for (int j = 0; j < count; ++j) {
        const T u = real_at<T, Modulus>(s.u, at);
#pragma unroll
        for (int o = 0; o < chunk_n; ++o) sum[o] += t[o][j] * u;
        at += x.step;
        if (--left == 0) left = x.side, at += y.step - x.side * x.step;
      }
      __syncthreads();
    }
  }
  if (i >= own.side) return;
  T* partial = a.partial + blockIdx.y * a.phi_numbers + own.taps.first;
#pragma unroll
  for (int o = 0; o < chunk_n; ++o) {
    if (o0 + o >= outputs) continue;
    const int2 band = band_of(own.taps.support, own.side, o0 + o, o0 + o + 1);
    if (meets(band, i, i + 1, own.side)) {
      partial[(o0 + o) * own.taps.stride + i] += sum[o];
    }
  }
}

// The same for lines and rows that are turned: taps of several outputs are one number. Blocks:
// tiles of the numbers, slices, steps.
template <class T, bool Modulus>
__global__ void __launch_bounds__(lowpass_threads) turned_filter_kernel(LowpassArguments<T> a) {
  const LowpassStep<T>& s = a.steps[blockIdx.z + a.first_job];
  const AxisTaps<T>& taps = s.inner;
  if (taps.stride >= 0) return;
  const int side = s.from.inner;
  const int64_t before = -taps.stride * (taps.outputs - 1);  // numbers before the first row
  const int64_t number = int64_t{blockIdx.x} * lowpass_threads + threadIdx.x;
  if (number >= side + before) return;
  T sum = 0;
  for (int64_t plane = blockIdx.y; plane < a.images * s.to.planes; plane += gridDim.y) {
    const T* grad = s.grad + s.to.place(plane);
    for (int o = 0; o < taps.outputs; ++o) {
      const int64_t i = number - before - o * taps.stride;
      if (i < 0 || i >= side) continue;
      const int2 band = band_of(taps.support, side, o, o + 1);
      const int at = static_cast<int>(i);
      if (!meets(band, at, at + 1, side)) continue;
      sum += __ldg(grad + o * taps.step) * real_at<T, Modulus>(s.u, plane * side + i);
    }
  }
  a.partial[blockIdx.y * a.phi_numbers + taps.first - before + number] += sum;
}

// out = Σ of all slices
template <class T>
__global__ void __launch_bounds__(stage_threads)
    sum_slices_kernel(int64_t count, int slices, const T* partial, T* out) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * stage_threads + threadIdx.x;
  if (i >= count) return;
  T sum = 0;
  for (int slice = 0; slice < slices; ++slice) sum += partial[slice * count + i];
  out[i] = sum;
}

}  // namespace SCATCUDA_ISA
}  // namespace scatcuda
