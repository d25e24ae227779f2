// Filter and fold, and its adjoints, for the planes of several steps of one source:
//
//   Ŵ(k)   = Σ Û(k') ψ̂(k') over the bins k' that come to k: all aliases, or the lowest bins alone
//   ĝÛ(k') = Σ_ψ ψ̂(k') ĝW(k), over the filters of all steps
//   gψ̂(k') = Σ Re( conj Û(k') ĝW(k) ), over all planes
//
// Nothing is scattered: each thread owns what it writes and gathers what belongs to it, always in
// the same order, so that gradients are the same bits from run to run. Planes lie [outer, middle,
// inner]; of spectra of real planes the half [outer, middle, inner/2 + 1] is kept.
#pragma once

#include "../../core/fft.h"
#include "../bank.cuh"

namespace scatcuda {
inline namespace SCATCUDA_ISA {

constexpr int most_together = 6;  // steps in one launch

// How a side comes to side/k bins
struct Folding {
  int k = 1;
  bool crop = false;

  // The bins that come to bin i: `count` of them from `first` on, side/k apart
  struct Aliases {
    int first, count;
  };
  __device__ __forceinline__ Aliases aliases(int i, int side) const {
    if (!crop) return {i, k};
    const int kept = side / k;
    return {i < (kept + 1) / 2 ? i : i + side - kept, 1};
  }
  // Where a bin goes, −1: nowhere
  __device__ __forceinline__ int to(int bin, int side) const {
    const int kept = side / k;
    if (!crop) return bin % kept;
    return bin < (kept + 1) / 2 ? bin : bin >= side - kept / 2 ? bin - side + kept : -1;
  }
};

template <class T>
struct FoldedStep {
  Folding inner, middle, outer;
  int count, lanes;        // of its set
  const T* psi;            // the whole bank, or the filters of the stage operator
  const int64_t* support;  // of its set, null where everything is kept
  Complex<T>* w;           // [planes, count, sides/k]
  T* grad_psi;             // as psi is

  SCATCUDA_HD Plane to(const Plane& from) const {
    return {from.inner / inner.k, from.middle / middle.k, from.outer / outer.k};
  }
};
template <class T>
struct FoldArguments {
  Complex<T>* u_hat;  // [planes, from], or half of it; backward ĝÛ
  int64_t planes, psi_entries;
  Plane from;
  int axes, count;  // steps
  bool more;        // ĝÛ is added to what is there
  T scale;
  FoldedStep<T> steps[most_together];

  template <bool Packed>
  __device__ __forceinline__ Box box(const FoldedStep<T>& s) const {
    if constexpr (Packed) {
      return Box(s.support, axes, from, s.lanes, psi_entries);
    } else {
      return Box(from);
    }
  }
};

// A bin of a spectrum of which, with Half, one half is kept
template <class T, bool Half>
__device__ __forceinline__ Complex<T> bin_of(const Complex<T>* u_hat, const Plane& of, int r, int b,
                                             int c) {
  if constexpr (!Half) return u_hat[of.index(r, b, c)];
  const Plane half = of.half();
  if (2 * r <= of.inner) return u_hat[half.index(r, b, c)];
  const Complex<T> x =
      u_hat[half.index(of.inner - r, b == 0 ? 0 : of.middle - b, c == 0 ? 0 : of.outer - c)];
  return {x.re, -x.im};
}

// Four numbers of a table one after the other, read at once where they lie so
template <class T>
struct Four {
  T x[4];
};
template <class T>
__device__ __forceinline__ bool lies_by_fours(const T* p, int64_t lanes) {
  return reinterpret_cast<uintptr_t>(p) % 16 == 0 && lanes % 4 == 0;
}
template <class T>
__device__ __forceinline__ Four<T> four_at(const T* p, bool by_fours) {
  if (!by_fours) return {__ldg(p), __ldg(p + 1), __ldg(p + 2), __ldg(p + 3)};
  if constexpr (sizeof(T) == 4) {
    const float4 w = __ldg(reinterpret_cast<const float4*>(p));
    return {w.x, w.y, w.z, w.w};
  } else {
    const double2 v = __ldg(reinterpret_cast<const double2*>(p));
    const double2 w = __ldg(reinterpret_cast<const double2*>(p) + 1);
    return {v.x, v.y, w.x, w.y};
  }
}

// Filters that a thread computes from one reading of the spectrum
constexpr int filters_together(int lanes) { return lanes < 8 ? 4 : 8; }

// Blocks of a processor that it is to leave registers for
constexpr int fold_blocks(bool middle, bool wide) {
  return wide || (middle && compiled_for == 75) ? 2 : 3;
}

// Packed: psi is [kept, lanes], a bank's table, otherwise [count, from]. Middle: there is such a
// side; without it there are registers for more blocks. Blocks: bins × planes, filters, steps.
template <class T, bool Half, bool Packed, bool Middle, int Filters>
__global__ void __launch_bounds__(stage_threads, fold_blocks(Middle, sizeof(T) == 8))
    filter_fold_kernel(FoldArguments<T> a) {
  const FoldedStep<T>& s = a.steps[blockIdx.z];
  Plane from = a.from, to = s.to(from);
  if (!Middle) from.middle = to.middle = 1;
  const int64_t bins = to.points(), tiles = ceil_div(bins, stage_threads);
  const int first = blockIdx.y * Filters;
  if (blockIdx.x >= tiles * a.planes || first >= s.count) return;
  const int64_t plane = blockIdx.x / tiles;
  const int64_t bin = blockIdx.x % tiles * stage_threads + threadIdx.x;
  if (bin >= bins) return;
  const Place at = place_in(to, bin);
  const Box box = a.template box<Packed>(s);
  const int64_t points = from.points();
  const Complex<T>* u_hat = a.u_hat + plane * (Half ? from.half().points() : points);
  const T* psi = s.psi + (Packed ? box.first + first : first * points);
  using Aliases = Folding::Aliases;
  const Aliases outer = s.outer.aliases(at.c, from.outer);
  const Aliases middle = Middle ? s.middle.aliases(at.b, from.middle) : Aliases{0, 1};
  const Aliases inner = s.inner.aliases(at.r, from.inner);
  const int lines = Middle ? box.middle.count : 1;
  const bool by_fours = lies_by_fours(psi, s.lanes);
  Complex<T> sum[Filters] = {};
  for (int i = 0; i < outer.count; ++i) {
    const int c = outer.first + i * to.outer, column = box.outer.number(c);
    if (column < 0) continue;
    for (int l = 0; l < middle.count; ++l) {
      const int b = middle.first + l * to.middle, line = Middle ? box.middle.number(b) : 0;
      if (line < 0) continue;
      for (int j = 0; j < inner.count; ++j) {
        const int r = inner.first + j * to.inner, row = box.inner.number(r);
        if (row < 0) continue;
        const Complex<T> x = bin_of<T, Half>(u_hat, from, r, b, c);
        const int64_t entry = (int64_t{column} * lines + line) * box.inner.count + row;
        Four<T> w{};
#pragma unroll
        for (int q = 0; q < Filters; ++q) {
          if constexpr (Packed) {
            if (q % 4 == 0) w = four_at(psi + entry * s.lanes + q, by_fours);
          } else {
            w.x[q % 4] = first + q < s.count ? __ldg(psi + q * points + entry) : T(0);
          }
          sum[q] = {sum[q].re + x.re * w.x[q % 4], sum[q].im + x.im * w.x[q % 4]};
        }
      }
    }
  }
  const T factor = a.scale * static_cast<T>(box.scale);
#pragma unroll
  for (int q = 0; q < Filters; ++q) {
    if (first + q < s.count) {
      s.w[(plane * s.count + first + q) * bins + bin] = {sum[q].re * factor, sum[q].im * factor};
    }
  }
}

// ĝÛ at one bin
template <class T, bool Packed>
__device__ __forceinline__ Complex<T> unfolded(const FoldArguments<T>& a, const Box* boxes,
                                               int64_t plane, int r, int b, int c) {
  Complex<T> all{};
  for (int i = 0; i < a.count; ++i) {
    const FoldedStep<T>& s = a.steps[i];
    const Box& box = boxes[i];
    const int64_t entry = box.entry(r, b, c);
    const int row = s.inner.to(r, a.from.inner), line = s.middle.to(b, a.from.middle);
    const int column = s.outer.to(c, a.from.outer);
    Complex<T> sum{};
    if (entry >= 0 && row >= 0 && line >= 0 && column >= 0) {
      const Plane to = s.to(a.from);
      const int64_t bins = to.points();
      const Complex<T>* g = s.w + plane * s.count * bins + to.index(row, line, column);
      const T* psi = s.psi + (Packed ? box.first + entry * s.lanes : entry);
      const int64_t step = a.from.points();
      const bool by_fours = lies_by_fours(psi, s.lanes);
      for (int first = 0; first < s.count; first += 4) {
        Four<T> w{};
        if constexpr (Packed) w = four_at(psi + first, by_fours);
#pragma unroll
        for (int q = 0; q < 4; ++q) {
          if (first + q >= s.count) continue;
          if constexpr (!Packed) w.x[q] = __ldg(psi + (first + q) * step);
          const Complex<T> z = g[(first + q) * bins];
          sum = {sum.re + w.x[q] * z.re, sum.im + w.x[q] * z.im};
        }
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
__global__ void __launch_bounds__(stage_threads, sizeof(T) == 4 ? 4 : 2)
    unfold_kernel(FoldArguments<T> a) {
  __shared__ __align__(8) unsigned char memory[most_together * sizeof(Box)];
  Box* boxes = reinterpret_cast<Box*>(memory);
  if (const int i = static_cast<int>(threadIdx.x); i < a.count) {
    boxes[i] = a.template box<Packed>(a.steps[i]);
  }
  __syncthreads();
  const Plane kept = Half ? a.from.half() : a.from;
  const int64_t bins = kept.points(), tiles = ceil_div(bins, stage_threads);
  const int64_t plane = blockIdx.x / tiles;
  const int64_t bin = blockIdx.x % tiles * stage_threads + threadIdx.x;
  if (bin >= bins) return;
  const auto [r, b, c] = place_in(kept, bin);
  Complex<T> g = unfolded<T, Packed>(a, boxes, plane, r, b, c);
  if constexpr (Half) {
    const Complex<T> other =
        unfolded<T, Packed>(a, boxes, plane, r == 0 ? 0 : a.from.inner - r,
                            b == 0 ? 0 : a.from.middle - b, c == 0 ? 0 : a.from.outer - c);
    g = {T(0.5) * (g.re + other.re), T(0.5) * (g.im - other.im)};
  }
  Complex<T>& to = a.u_hat[plane * bins + bin];
  to = a.more ? to + g : g;
}

// gψ̂, added to what is there. A block takes so many entries of a table and eight filters of each;
// its warps share the planes. Blocks: entries, filters, steps, of which no two have the same set.
constexpr int filter_entries = 32, filter_warps = stage_threads / filter_entries;
template <class T, bool Half, bool Packed>
__global__ void __launch_bounds__(stage_threads) filter_gradient_kernel(FoldArguments<T> a) {
  constexpr int together = 8;
  __shared__ T partial[filter_warps][together][filter_entries];
  const FoldedStep<T>& s = a.steps[blockIdx.z];
  const Box box = a.template box<Packed>(s);
  const int64_t entries = box.entries();
  const int64_t first = static_cast<int64_t>(blockIdx.x) * filter_entries;
  const int lane = threadIdx.x % filter_entries, warp = threadIdx.x / filter_entries;
  const int filter0 = blockIdx.y * together;
  if (first >= entries || filter0 >= s.count) return;
  const int64_t entry = first + lane;
  T sum[together] = {};
  if (entry < entries) {
    const auto [r, b, c] = box.bin(entry);
    const int row = s.inner.to(r, a.from.inner), line = s.middle.to(b, a.from.middle);
    const int column = s.outer.to(c, a.from.outer);
    const Plane to = s.to(a.from);
    const int64_t bins = to.points(), step = Half ? a.from.half().points() : a.from.points();
    const bool goes = row >= 0 && line >= 0 && column >= 0;
    const Complex<T>* g = s.w + (goes ? to.index(row, line, column) : 0);
    for (int64_t plane = warp; goes && plane < a.planes; plane += filter_warps) {
      const Complex<T> x = bin_of<T, Half>(a.u_hat + plane * step, a.from, r, b, c);
#pragma unroll
      for (int q = 0; q < together; ++q) {
        if (filter0 + q >= s.count) continue;
        const Complex<T> y = g[(plane * s.count + filter0 + q) * bins];
        sum[q] += x.re * y.re + x.im * y.im;
      }
    }
  }
#pragma unroll
  for (int q = 0; q < together; ++q) partial[warp][q][lane] = sum[q];
  __syncthreads();
  const int filter = filter0 + warp;  // a warp a filter
  static_assert(filter_warps == together);
  if (entry >= entries || filter >= s.count) return;
  T total = 0;
#pragma unroll
  for (int i = 0; i < filter_warps; ++i) total += partial[i][warp][lane];
  T* to = s.grad_psi + (Packed ? box.first + entry * s.lanes + filter : filter * entries + entry);
  *to += a.scale * total;
}

}  // namespace SCATCUDA_ISA
}  // namespace scatcuda
