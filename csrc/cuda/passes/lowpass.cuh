// The low-pass of planes and its adjoints, with a matrix for each axis:
//
//   S  = P U Qᵀ              P along the inner side, Q along the outer one; so the middle one
//   gU = Pᵀ gS Q
//   gP = Σ gS Q Uᵀ,  gQ = Σ gSᵀ P U
//
// With Modulus U = |W|, and gW is what comes back. Of rank 1 planes are lines: they are taken eight
// at a time.
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
  const int2 *inner_reach, *outer_reach;  // of planes, backward
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
  if constexpr (Modulus) return root_of(square_of(static_cast<const Complex<T>*>(u)[i]));
  return static_cast<const T*>(u)[i];
}

// Σ_p tap(row, p) t(p) over those of the points [start, start + points) of a line that are in the
// row's band; t begins with the first of them
template <class T>
__device__ __forceinline__ T dot_in_band(const AxisTaps<T>& a, int2 band, int side, int row,
                                         int start, int points, const T* t) {
  const T* taps = a.taps + row * a.stride;
  T sum = 0;
  for (int first = band.x, last = band.y; last > 0; first = 0, last -= side) {
    const int end = min(min(last, side), start + points);
#pragma unroll 4
    for (int p = max(first, start); p < end; ++p) sum += __ldg(taps + p) * t[p - start];
  }
  return sum;
}

constexpr int lowpass_threads = 128;
constexpr int chunk_m = 32;  // outputs along the inner side of a block at most

// A block has so many threads for the points of a row; the others take further outputs.
SCATCUDA_HD constexpr int lanes_of(int inner) { return inner <= 32 ? 32 : inner <= 64 ? 64 : 128; }
SCATCUDA_HD constexpr int groups_of(int inner) { return lowpass_threads / lanes_of(inner); }
// Outputs along the outer side that a thread sums at a time: few where their bands are short, and
// where most of a band is zeros of their neighbours; many where every point is in most bands, for
// each is read, and its modulus taken, once for them all.
inline int outputs_together(int inner, int outer, int outputs) {
  const int mine = static_cast<int>(ceil_div(outputs, groups_of(inner)));
  return mine <= 4 || outer > 6 * outputs ? 4 : mine <= 8 ? 8 : 16;
}

// Blocks of a processor that it is to leave registers for
constexpr int lowpass_blocks(int rank, int together, bool wide) {
  const int many = compiled_for < 100 ? 4 : 2;
  if (wide) return together == 16 ? 2 : 3;
  return rank == 3 || together == 8 ? 5 : together == 16 ? many : 6;
}

// t = U Qᵀ, S = P t: a thread has a point of the inner side and goes along the outer one, in the
// band of its outputs, whose taps the block keeps; what comes of a tile of points goes through P.
// Blocks: chunks × planes, 1, steps.
template <class T, bool Modulus, int Rank, int Together>
__global__ void __launch_bounds__(lowpass_threads, lowpass_blocks(Rank, Together, sizeof(T) == 8))
    lowpass_kernel(LowpassArguments<T> a) {
  constexpr int most_groups = lowpass_threads / 32, tap_room = 2048 / Together;
  constexpr int mine = chunk_m * most_groups * Together / lowpass_threads;
  __shared__ __align__(16) T taps[tap_room][Together];
  __shared__ T t[most_groups * Together * 33];
  __shared__ int2 bands[most_groups * Together + chunk_m];
  const LowpassStep<T>& s = a.steps[blockIdx.z];
  Plane from = s.from;
  if (Rank < 3) from.middle = 1;
  const int lanes = lanes_of(from.inner), groups = groups_of(from.inner);
  const int outputs = groups * Together;
  const int chunks_n = static_cast<int>(ceil_div(s.outer.outputs, outputs));
  const int chunks_m = static_cast<int>(ceil_div(s.inner.outputs, chunk_m));
  const int chunks = chunks_n * (Rank < 3 ? 1 : s.middle.outputs) * chunks_m;
  const int64_t plane = blockIdx.x / chunks;
  if (plane >= a.images * s.to.planes) return;
  const int chunk = static_cast<int>(blockIdx.x % chunks);
  const int n0 = chunk % chunks_n * outputs, m0 = chunk / chunks_n % chunks_m * chunk_m;
  const int n1 = min(n0 + outputs, s.outer.outputs), m1 = min(m0 + chunk_m, s.inner.outputs);
  const int o_middle = Rank < 3 ? 0 : chunk / chunks_n / chunks_m;
  const int lane = threadIdx.x % lanes, group = threadIdx.x / lanes;

  // The bands of all outputs, each read by a thread of its own
  int2* bands_m = bands + outputs;
  static_assert(most_groups * Together + chunk_m <= lowpass_threads);
  if (const int o = static_cast<int>(threadIdx.x); o < outputs) {
    bands[o] = n0 + o < n1 ? band_in(s.outer.support, from.outer, n0 + o) : make_int2(0, 0);
  } else if (const int row = o - outputs; row < m1 - m0) {
    bands_m[row] = band_in(s.inner.support, from.inner, m0 + row);
  }
  __syncthreads();
  const int2 outer = band_of(bands + group * Together, Together, from.outer);
  int longest = 0;
  for (int i = 0; i < groups; ++i) {
    const int2 band = band_of(bands + i * Together, Together, from.outer);
    longest = max(longest, band.y - band.x);
  }
  const int2 inner = band_of(bands_m, m1 - m0, from.inner);
  const int2 middle =
      Rank < 3 ? make_int2(0, 1) : band_of(s.middle.support, from.middle, o_middle, o_middle + 1);
  const int64_t origin = plane * from.points();
  const int64_t step = from.index(0, 0, 1);

  // outputs of this thread: one of n, some of m
  const int q = threadIdx.x % outputs, i = threadIdx.x / outputs;
  const int apart = lowpass_threads / outputs, room = tap_room / groups;
  T sum[mine] = {};
  int kept = -1;  // the first of the taps that are there
  for (int start = 0; start < from.inner; start += lanes) {
    if (!meets(inner, start, start + lanes, from.inner)) continue;
    const int r = start + lane;
    T column[Together] = {};
    for (int first = 0; first < longest; first += room) {
      if (kept != first) {
        __syncthreads();
        for (int j = lane; j < room * Together; j += lanes) {
          const int o = n0 + group * Together + j % Together, k = outer.x + first + j / Together;
          const int c = k < from.outer ? k : k - from.outer;
          const bool there = o < n1 && k < outer.y;
          taps[group * room + j / Together][j % Together] =
              there ? __ldg(s.outer.taps + o * s.outer.stride + c) : T(0);
        }
        __syncthreads();
        kept = first;
      }
      if (r >= from.inner) continue;
      const int begin = outer.x + first, end = min(begin + room, outer.y);
      for (int k = middle.x; k < middle.y; ++k) {
        const int b = k < from.middle ? k : k - from.middle;
        const T tap = Rank < 3 ? T(1) : tap_of(s.middle, o_middle, b);
        int64_t at = origin + from.index(r, b, begin < from.outer ? begin : begin - from.outer);
        const T(*w)[Together] = taps + group * room;
        // up to the edge and round it
        for (int c = begin, edge = begin < from.outer ? from.outer : end; c < end; edge = end) {
          const int last = min(edge, end);
#pragma unroll(Together == 4 ? 8 : 4)
          for (; c < last; ++c, at += step, ++w) {
            const T u = tap * real_at<T, Modulus>(s.u, at);
#pragma unroll
            for (int o = 0; o < Together; ++o) column[o] += (*w)[o] * u;
          }
          at -= from.outer * step;
        }
      }
    }
    T* of_group = t + group * Together * (lanes + 1) + lane;
#pragma unroll
    for (int o = 0; o < Together; ++o) of_group[o * (lanes + 1)] = column[o];
    __syncthreads();
    const int points = min(lanes, from.inner - start);
#pragma unroll
    for (int j = 0; j < mine; ++j) {
      const int row = i + j * apart;
      if (row >= m1 - m0) continue;
      sum[j] += dot_in_band(s.inner, band_of(bands_m + row, 1, from.inner), from.inner, m0 + row,
                            start, points, t + q * (lanes + 1));
    }
    __syncthreads();
  }
  if (n0 + q >= n1) return;
  T* out = s.S + s.to.place(plane) + o_middle * s.middle.step + (n0 + q) * s.outer.step;
  T outside = Rank < 3 ? T(1) : tap_scale(s.middle, from.middle, o_middle);
  outside *= tap_scale(s.outer, from.outer, n0 + q);
#pragma unroll
  for (int j = 0; j < mine; ++j) {
    const int row = m0 + i + j * apart;
    if (row < m1) out[row * s.inner.step] = sum[j] * outside * tap_scale(s.inner, from.inner, row);
  }
}

// That of planes for so many outputs together
template <class T, bool Modulus>
auto planes_kernel(int together) {
  return together == 4   ? lowpass_kernel<T, Modulus, 2, 4>
         : together == 8 ? lowpass_kernel<T, Modulus, 2, 8>
                         : lowpass_kernel<T, Modulus, 2, 16>;
}

// The same of lines, so many at a time, in tiles of as many points as there are threads. Blocks:
// chunks × lines, 1, steps.
constexpr int lines_together = 8;
template <class T, bool Modulus>
__global__ void __launch_bounds__(lowpass_threads, 8) lowpass_lines_kernel(LowpassArguments<T> a) {
  __shared__ T t[lines_together][lowpass_threads + 1];
  __shared__ int2 bands[chunk_m];
  const LowpassStep<T>& s = a.steps[blockIdx.z];
  const int size = s.from.inner;
  const int chunks = static_cast<int>(ceil_div(s.inner.outputs, chunk_m));
  const int64_t planes = a.images * s.to.planes, plane = blockIdx.x / chunks * lines_together;
  if (plane >= planes) return;
  const int m0 = blockIdx.x % chunks * chunk_m, m1 = min(m0 + chunk_m, s.inner.outputs);
  const int lines = static_cast<int>(min(lines_together, planes - plane));
  if (const int row = static_cast<int>(threadIdx.x); m0 + row < m1 && row < chunk_m) {
    bands[row] = band_in(s.inner.support, size, m0 + row);
  }
  __syncthreads();
  const int2 inner = band_of(bands, m1 - m0, size);

  // outputs of this thread: of one line every 16th
  constexpr int apart = lowpass_threads / lines_together, mine = chunk_m / apart;
  const int q = threadIdx.x % lines_together, i = threadIdx.x / lines_together;
  T sum[mine] = {};
  for (int start = 0; start < size; start += lowpass_threads) {
    const int points = min(lowpass_threads, size - start), at = start + threadIdx.x;
    if (!meets(inner, start, start + points, size)) continue;
    if (at < size) {
#pragma unroll
      for (int l = 0; l < lines_together; ++l) {
        const int64_t line = (plane + l) * size;
        t[l][threadIdx.x] = l < lines ? real_at<T, Modulus>(s.u, line + at) : T(0);
      }
    }
    __syncthreads();
#pragma unroll
    for (int j = 0; j < mine; ++j) {
      const int row = i + j * apart;
      if (m0 + row >= m1) continue;
      sum[j] +=
          dot_in_band(s.inner, band_of(bands + row, 1, size), size, m0 + row, start, points, t[q]);
    }
    __syncthreads();
  }
  if (q >= lines) return;
  T* out = s.S + s.to.place(plane + q);
#pragma unroll
  for (int j = 0; j < mine; ++j) {
    const int row = m0 + i + j * apart;
    if (row < m1) out[row * s.inner.step] = sum[j] * tap_scale(s.inner, size, row);
  }
}

// A thread's points: columns of one row, so many; outputs along the outer side that it takes at a
// time
constexpr int spread_columns = 8, spread_outputs = 4;

// g = Pᵀ gS Q + more, in place of u, of lines or of volumes; with Modulus g u/|u|. Blocks: tiles ×
// planes, 1, steps. By itself nvcc spills, on sm_100, for more blocks than these.
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

constexpr int reach_points = 8;  // of a run, see reach.cuh
// gU = Pᵀ h, h = gS Q, of the columns that one run has: h of some outputs at a time is kept by the
// block, whose threads go along the inner side. With Modulus g u/|u|. Blocks: runs × planes, 1,
// steps.
constexpr int spread_kept = 64;
template <class T, bool Modulus>
__global__ void __launch_bounds__(lowpass_threads, sizeof(T) == 4 ? 6 : 4)
    planes_backward_kernel(LowpassArguments<T> a) {
  constexpr int warp = 32;
  __shared__ __align__(16) T h[spread_kept][reach_points];
  const LowpassStep<T>& s = a.steps[blockIdx.z];
  const Plane from{s.from.inner, 1, s.from.outer};
  const int runs = static_cast<int>(ceil_div(from.outer, reach_points));
  const int64_t plane = blockIdx.x / runs;
  if (plane >= a.images * s.to.planes) return;
  const int run = static_cast<int>(blockIdx.x % runs), c0 = run * reach_points;
  const int2 across = s.outer_reach[run];
  const T* grad = s.grad + s.to.place(plane);
  int kept = -1;
  for (int start = 0; start < from.inner; start += lowpass_threads) {
    const int r = start + threadIdx.x;
    // the same for a warp: of other points the taps are 0
    int2 down = make_int2(s.inner.outputs, 0);
    const int first_run = r / warp * (warp / reach_points);
    for (int i = 0; i < warp / reach_points; ++i) {
      if ((first_run + i) * reach_points >= from.inner) continue;
      const int2 reach = s.inner_reach[first_run + i];
      if (reach.x < reach.y) down = make_int2(min(down.x, reach.x), max(down.y, reach.y));
    }
    T sum[reach_points] = {};
    for (int first = 0; first < s.inner.outputs; first += spread_kept) {
      const int count = min(spread_kept, s.inner.outputs - first);
      if (kept != first) {
        __syncthreads();
        for (int j = threadIdx.x; j < count * reach_points; j += lowpass_threads) {
          const int o = first + j / reach_points, c = c0 + j % reach_points;
          T value = 0;
          for (int q = across.x; q < across.y && c < from.outer; ++q) {
            const T tap = __ldg(s.outer.taps + q * s.outer.stride + c);
            value += tap * tap_scale(s.outer, from.outer, q) *
                     __ldg(grad + o * s.inner.step + q * s.outer.step);
          }
          h[j / reach_points][j % reach_points] = value * tap_scale(s.inner, from.inner, o);
        }
        __syncthreads();
        kept = first;
      }
      if (r >= from.inner) continue;
      const int last = min(down.y, first + count);
      const T* taps = s.inner.taps + r;
#pragma unroll 4
      for (int o = max(down.x, first); o < last; ++o) {
        const T tap = __ldg(taps + o * s.inner.stride);
#pragma unroll
        for (int i = 0; i < reach_points; ++i) sum[i] += tap * h[o - first][i];
      }
    }
    if (r >= from.inner) continue;
    const int64_t origin = plane * from.points() + from.index(r, 0, c0);
    const int columns = min(reach_points, from.outer - c0);
#pragma unroll
    for (int i = 0; i < reach_points; ++i) {
      if (i >= columns) continue;
      const int64_t at = origin + int64_t{i} * from.inner;
      const T g = sum[i] + (s.more == nullptr ? T(0) : s.more[at]);
      if constexpr (Modulus) {
        Complex<T>* w = static_cast<Complex<T>*>(s.u) + at;
        *w = directed(*w, g);
      } else {
        static_cast<T*>(s.u)[at] = g;
      }
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
constexpr int summed_outputs = 8;
template <class T, bool Modulus>
__global__ void __launch_bounds__(lowpass_threads, 3) lowpass_filter_kernel(LowpassArguments<T> a) {
  __shared__ T t[summed_outputs][lowpass_threads];
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
  if (blockIdx.x >= across * ceil_div(own.taps.outputs, summed_outputs)) return;
  const int i = blockIdx.x % across * lowpass_threads + threadIdx.x;
  const int o0 = blockIdx.x / across * summed_outputs, outputs = own.taps.outputs;
  const int64_t length = int64_t{x.side} * y.side, size = from.points();
  T sum[summed_outputs] = {};
  for (int64_t plane = blockIdx.y; plane < a.images * s.to.planes; plane += gridDim.y) {
    const T* grad = s.grad + s.to.place(plane) + o0 * own.taps.step;
    const int64_t origin = plane * size + i * own.step;
    for (int64_t k0 = 0; k0 < length; k0 += lowpass_threads) {
      const int64_t k = k0 + threadIdx.x;
      const int kx = static_cast<int>(k % x.side), ky = static_cast<int>(k / x.side);
      T value[summed_outputs] = {};
#pragma unroll 1
      for (int py = 0; py < y.taps.outputs && k < length; ++py) {
        const T tap_y = tap_of(y.taps, py, ky);
#pragma unroll 1
        for (int px = 0; px < x.taps.outputs; ++px) {
          const T tap = tap_y * tap_of(x.taps, px, kx);
          const T* at = grad + px * x.taps.step + py * y.taps.step;
#pragma unroll
          for (int o = 0; o < summed_outputs; ++o) {
            if (o0 + o < outputs) value[o] += tap * __ldg(at + o * own.taps.step);
          }
        }
      }
#pragma unroll
      for (int o = 0; o < summed_outputs; ++o) t[o][threadIdx.x] = value[o];
      __syncthreads();
      const int count = i < own.side ? static_cast<int>(min(length - k0, lowpass_threads)) : 0;
      int left = x.side - static_cast<int>(k0 % x.side);  // of this line of the others' points
      int64_t at = origin + k0 % x.side * x.step + k0 / x.side * y.step;
#pragma unroll 2
      for (int j = 0; j < count; ++j) {
        const T u = real_at<T, Modulus>(s.u, at);
#pragma unroll
        for (int o = 0; o < summed_outputs; ++o) sum[o] += t[o][j] * u;
        at += x.step;
        if (--left == 0) left = x.side, at += y.step - x.side * x.step;
      }
      __syncthreads();
    }
  }
  if (i >= own.side) return;
  T* partial = a.partial + blockIdx.y * a.phi_numbers + own.taps.first;
#pragma unroll
  for (int o = 0; o < summed_outputs; ++o) {
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
