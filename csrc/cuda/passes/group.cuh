// Filters along an axis of planes, and the adjoints:
//
//   Y(g, ψ, k) = Σ_i h_ψ(ks − i) X(g, i),  h = IDFT ψ̂ modulo the period of the set's grid
//   gX(g, i)   = Σ conj h_ψ(ks − i) gY(g, ψ, k)
//   gψ̂(ω)      = Re Σ_t gh_ψ(t) e^{−2πi ωt/period},  gh_ψ(t) = Σ gY(g, ψ, k) conj X(g, ks − t)
//
// X(g, i) are planes of earlier steps, which a table names; their gradients are gathered from gX.
#pragma once

#include "average.cuh"

namespace scatcuda {
inline namespace SCATCUDA_ISA {

// A plane of the workspace, or nothing (at = −1): that of the first signal begins at complex number
// at / 2, those of the others `step` further each; odd where its conjugate is taken
struct Gathered {
  int64_t at, step;
};
// Entries [first, last) of `order` name places of the table that take this plane.
struct Taken {
  int64_t at, step;
  int first, last;
};

template <class T>
struct GroupArguments {
  Complex<T>* base;       // of the workspace
  const Gathered* table;  // [groups, length]
  const Taken* taken;
  const int* order;
  Complex<T>* taps;  // h or gh, [count, period]
  Complex<T>* y;     // [images, groups, count, places, points]
  Complex<T>* x;     // gX [images, groups, length, points]
  int64_t images, points;
  int groups, length, count, places, every, period;

  __device__ __forceinline__ Complex<T> gathered(int64_t image, int entry, int64_t u) const {
    const Gathered from = table[entry];
    if (from.at < 0) return {T(0), T(0)};
    const Complex<T> z = base[from.at / 2 + image * from.step + u];
    return {z.re, from.at % 2 == 0 ? z.im : -z.im};
  }
};

// h from its table, or backward what gh gives to the gradient of the table
template <class T>
struct GroupFilters {
  const T* psi;
  const int64_t* support;
  int64_t psi_entries;
  int lanes, count, period;
  T* grad_psi;
};
template <class T>
__device__ __forceinline__ Complex<T> root(int64_t k, int period) {
  double sine, cosine;
  sincospi(2.0 * static_cast<double>(k % period) / period, &sine, &cosine);
  return {static_cast<T>(cosine), static_cast<T>(sine)};
}
template <class T>
__global__ void __launch_bounds__(stage_threads) taps_kernel(GroupFilters<T> a, Complex<T>* taps) {
  const Box box(a.support, 1, {a.period, 1, 1}, a.lanes, a.psi_entries);
  each_item(int64_t{a.count} * a.period, [&](int64_t i) {
    const int filter = static_cast<int>(i / a.period), t = static_cast<int>(i % a.period);
    Complex<T> sum{};
    for (int k = 0; k < box.inner.count; ++k) {
      const T w = a.psi[box.first + int64_t{k} * a.lanes + filter];
      const Complex<T> e = root<T>(int64_t{t} * box.inner.bin(k), a.period);
      sum = {sum.re + w * e.re, sum.im + w * e.im};
    }
    const T scale = static_cast<T>(box.scale);
    taps[i] = {sum.re * scale, sum.im * scale};
  });
}
template <class T>
__global__ void __launch_bounds__(stage_threads)
    taps_backward_kernel(GroupFilters<T> a, const Complex<T>* taps) {
  const Box box(a.support, 1, {a.period, 1, 1}, a.lanes, a.psi_entries);
  each_item(int64_t{box.inner.count} * a.count, [&](int64_t i) {
    const int k = static_cast<int>(i / a.count), filter = static_cast<int>(i % a.count);
    T sum = 0;
    for (int t = 0; t < a.period; ++t) {
      const Complex<T> e = root<T>(int64_t{t} * box.inner.bin(k), a.period);
      const Complex<T> g = taps[int64_t{filter} * a.period + t];
      sum += g.re * e.re + g.im * e.im;
    }
    a.grad_psi[box.first + int64_t{k} * a.lanes + filter] += sum;
  });
}

// Y, or with Adjoint gX. A thread computes so many planes at so many points, from taps that the
// block keeps; where nothing is gathered nothing is added. Blocks: points × planes × groups ×
// images.
constexpr int mixed_together = 8, mixed_points = 2, mixed_kept = 32, mix_threads = 128;
inline int64_t mix_tiles(int64_t points) { return ceil_div(points, mix_threads * mixed_points); }
template <class T, bool Adjoint>
__global__ void __launch_bounds__(mix_threads, sizeof(T) == 4 ? 6 : 4)
    mix_kernel(GroupArguments<T> a) {
  __shared__ __align__(16) Complex<T> taps[mixed_kept][mixed_together];
  __shared__ Gathered from[mixed_kept];
  const int ins = Adjoint ? a.count * a.places : a.length;
  const int outs = Adjoint ? a.length : a.count * a.places;
  const int64_t tiles = ceil_div(a.points, mix_threads * mixed_points);
  const int64_t chunks = ceil_div(outs, mixed_together), line = blockIdx.x / tiles / chunks;
  const int64_t u = blockIdx.x % tiles * (mix_threads * mixed_points) + threadIdx.x;
  const int first = static_cast<int>(blockIdx.x / tiles % chunks) * mixed_together;
  const int64_t image = line / a.groups;
  const int group = static_cast<int>(line - image * a.groups);
  Complex<T> sum[mixed_points][mixed_together] = {};
  for (int begin = 0; begin < ins; begin += mixed_kept) {
    const int count = min(mixed_kept, ins - begin);
    __syncthreads();
    for (int j = threadIdx.x; j < count * mixed_together; j += mix_threads) {
      const int in = begin + j / mixed_together;
      const int out = min(first + j % mixed_together, outs - 1);
      const int i = Adjoint ? out : in, y = Adjoint ? in : out;  // plane of X, and of Y
      const int t = y % a.places * a.every - i;
      const Complex<T> h = a.taps[y / a.places * a.period + (t < 0 ? t + a.period : t)];
      taps[j / mixed_together][j % mixed_together] = {h.re, Adjoint ? -h.im : h.im};
    }
    for (int j = threadIdx.x; j < count; j += mix_threads) {
      const int64_t at = 2 * (line * ins + begin + j) * a.points;
      from[j] = Adjoint ? Gathered{at, 0} : a.table[group * a.length + begin + j];
    }
    __syncthreads();
    for (int j = 0; j < count; ++j) {
      const int64_t at = from[j].at;
      if (at < 0) continue;
      const Complex<T>* source =
          (Adjoint ? a.y : a.base) + at / 2 + (Adjoint ? 0 : image * from[j].step) + u;
      const T sign = at % 2 == 0 ? T(1) : T(-1);
#pragma unroll
      for (int p = 0; p < mixed_points; ++p) {
        Complex<T> x{};
        if (u + p * mix_threads < a.points) x = source[p * mix_threads];
        x.im *= sign;
#pragma unroll
        for (int q = 0; q < mixed_together; ++q) {
          const Complex<T> h = taps[j][q];
          Complex<T>& to = sum[p][q];
          to = {to.re + h.re * x.re - h.im * x.im, to.im + h.re * x.im + h.im * x.re};
        }
      }
    }
  }
  Complex<T>* out = Adjoint ? a.x : a.y;
#pragma unroll
  for (int q = 0; q < mixed_together; ++q) {
    if (first + q >= outs) continue;
#pragma unroll
    for (int p = 0; p < mixed_points; ++p) {
      const int64_t at = u + p * mix_threads;
      if (at < a.points) out[(line * outs + first + q) * a.points + at] = sum[p][q];
    }
  }
}

// gX to the gradients of the planes that were gathered, on top of what is there. Blocks: points ×
// planes × images.
template <class T>
__global__ void __launch_bounds__(stage_threads) give_back_kernel(GroupArguments<T> a, int planes) {
  const int64_t tiles = ceil_div(a.points, stage_threads), image = blockIdx.x / tiles / planes;
  const int64_t u = blockIdx.x % tiles * stage_threads + threadIdx.x;
  if (u >= a.points) return;
  const Taken to = a.taken[blockIdx.x / tiles % planes];
  const int64_t entries = int64_t{a.groups} * a.length;
  Complex<T> sum{};
  for (int i = to.first; i < to.last; ++i) {
    const int entry = a.order[i];
    const Complex<T> g = a.x[(image * entries + entry) * a.points + u];
    sum = {sum.re + g.re, a.table[entry].at % 2 == 0 ? sum.im + g.im : sum.im - g.im};
  }
  Complex<T>& g = a.base[to.at + image * to.step + u];
  g = g + sum;
}

// gh. Blocks: count × period.
template <class T>
__global__ void __launch_bounds__(stage_threads) group_filter_kernel(GroupArguments<T> a) {
  __shared__ T memory[2][stage_threads];
  const int filter = blockIdx.x / a.period, t = blockIdx.x % a.period;
  Complex<T> sum{};
  for (int64_t line = 0; line < a.images * a.groups; ++line) {
    const int group = static_cast<int>(line % a.groups);
    for (int k = 0; k < a.places; ++k) {
      int i = k * a.every - t;
      if (i < 0) i += a.period;
      if (i >= a.length) continue;
      const Complex<T>* y = a.y + ((line * a.count + filter) * a.places + k) * a.points;
      for (int64_t u = threadIdx.x; u < a.points; u += stage_threads) {
        const Complex<T> x = a.gathered(line / a.groups, group * a.length + i, u), g = y[u];
        sum = {sum.re + g.re * x.re + g.im * x.im, sum.im + g.im * x.re - g.re * x.im};
      }
    }
  }
  sum.re = sum_of_block(sum.re, memory[0]);
  sum.im = sum_of_block(sum.im, memory[1]);
  if (threadIdx.x == 0) a.taps[blockIdx.x] = sum;
}

}  // namespace SCATCUDA_ISA
}  // namespace scatcuda
