// Means of products of planes, and the adjoints:
//
//   s = Σ_u U_a(u) conj U_b(u + h) / points
//   s = Σ_k Û_a conj Û_b ψ̂ e^{−2πi kh/side} / points²     Weighted, for every filter ψ̂ of a set;
//                                                         the signal's side
//
// With G the gradient of s, gU_a(u) = G U_b(u + h) / points and gU_b(u) = conj G U_a(u − h) /
// points; likewise those of the spectra, of which the lowest bins are taken, those of the set.
#pragma once

#include "fold.cuh"
#include "group.cuh"

namespace scatcuda {
inline namespace SCATCUDA_ISA {

// The bin of a finer side where bin i of a coarser one is; and back, −1 where it is none of its
__device__ __forceinline__ int bin_in(int i, int coarse, int fine) {
  return i < (coarse + 1) / 2 ? i : i + fine - coarse;
}
__device__ __forceinline__ int bin_from(int i, int coarse, int fine) {
  return i < (coarse + 1) / 2 ? i : i >= fine - coarse / 2 ? i - fine + coarse : -1;
}

// What a pair takes of one of its two sources, planes or spectra
template <class T>
struct PairSide {
  const Complex<T>* planes;  // [images, count, points]
  int64_t count;
  Plane of;

  __device__ __forceinline__ const Complex<T>* plane(int64_t image, int i) const {
    return planes + (image * count + i) * of.points();
  }
};
template <class T>
struct PairArguments {
  PairSide<T> side[2];
  Plane grid;               // the planes', or the set's
  Plane signal;             // of whose samples shifts are
  const int *pair, *shift;  // [pairs, 2]; [shifts, 3] from the inner side on
  int64_t images, pairs;
  int filters, shifts, parts;
  const T* psi;
  const int64_t* support;
  int64_t psi_entries;
  int axes, lanes;
  T scale;
  T* S;
  const T* grad;
  int64_t numbers;  // of the coefficients of a signal
  T* grad_psi;

  // the first part of a mean
  __device__ __forceinline__ int64_t place(int64_t image, int64_t q, int filter, int shift) const {
    return image * numbers + ((q * filters + filter) * shifts + shift) * parts;
  }
  __device__ __forceinline__ Complex<T> grad_at(int64_t at) const {
    return {grad[at], parts > 1 ? grad[at + 1] : T(0)};
  }
  __device__ __forceinline__ Place shift_at(int i) const {
    return {shift[3 * i], shift[3 * i + 1], shift[3 * i + 2]};
  }
  // u + h, or with sign −1 u − h
  __device__ __forceinline__ int64_t moved(const Place& u, const Place& h, int sign) const {
    const auto along = [&](int i, int by, int side) {
      const int at = i + sign * by;
      return at < 0 ? at + side : at < side ? at : at - side;
    };
    return grid.index(along(u.r, h.r, grid.inner), along(u.b, h.b, grid.middle),
                      along(u.c, h.c, grid.outer));
  }
  // e^{−2πi kh/side}
  __device__ __forceinline__ Complex<T> turn(const Place& k, const Place& h) const {
    if (h.r == 0 && h.b == 0 && h.c == 0) return {T(1), T(0)};
    const auto part = [](int i, int by, int bins, int side) {
      const int64_t frequency = i < (bins + 1) / 2 ? i : i - bins;
      return static_cast<double>(frequency * by % side) / side;
    };
    double sine, cosine;
    sincospi(-2.0 * (part(k.r, h.r, grid.inner, signal.inner) +
                     part(k.b, h.b, grid.middle, signal.middle) +
                     part(k.c, h.c, grid.outer, signal.outer)),
             &sine, &cosine);
    return {static_cast<T>(cosine), static_cast<T>(sine)};
  }
  __device__ __forceinline__ int64_t index_in(const Plane& fine, const Place& k) const {
    return fine.index(bin_in(k.r, grid.inner, fine.inner), bin_in(k.b, grid.middle, fine.middle),
                      bin_in(k.c, grid.outer, fine.outer));
  }
  // Û_a conj Û_b e^{−2πi kh/side} at bin k of the set
  __device__ __forceinline__ Complex<T> product(int64_t image, int64_t q, const Place& k,
                                                const Place& h) const {
    const Complex<T> x = side[0].plane(image, pair[2 * q])[index_in(side[0].of, k)];
    const Complex<T> y = side[1].plane(image, pair[2 * q + 1])[index_in(side[1].of, k)];
    const Complex<T> e = turn(k, h);
    return times(times_conjugate(x, y), e.re, e.im);
  }
  static __device__ __forceinline__ Complex<T> times_conjugate(const Complex<T>& x,
                                                               const Complex<T>& y) {
    return {x.re * y.re + x.im * y.im, x.im * y.re - x.re * y.im};
  }
};

// Blocks: filters by so many × shifts × pairs × images
constexpr int paired_filters = 4, pair_threads = 128;
template <class T, bool Weighted>
__global__ void __launch_bounds__(pair_threads, 4)  // see below
    pair_kernel(PairArguments<T> a) {
  constexpr int together = Weighted ? paired_filters : 1;
  __shared__ T memory[2][pair_threads];
  const int chunks = static_cast<int>(ceil_div(a.filters, together));
  const int first = blockIdx.x % chunks * together, shift = blockIdx.x / chunks % a.shifts;
  const int64_t q = blockIdx.x / chunks / a.shifts % a.pairs;
  const int64_t image = blockIdx.x / chunks / a.shifts / a.pairs;
  const Place h = a.shift_at(shift);
  Complex<T> sum[together] = {};
  float outside = 1.0f;
  if constexpr (Weighted) {
    const Box box(a.support, a.axes, a.grid, a.lanes, a.psi_entries);
    outside = box.scale;
    for (int64_t i = threadIdx.x; i < box.entries(); i += pair_threads) {
      const Complex<T> z = a.product(image, q, box.bin(i), h);
      const T* psi = a.psi + box.first + i * a.lanes + first;
#pragma unroll
      for (int f = 0; f < together; ++f) {  // lanes are whole fours
        sum[f] = {sum[f].re + psi[f] * z.re, sum[f].im + psi[f] * z.im};
      }
    }
  } else {
    const Complex<T>* x = a.side[0].plane(image, a.pair[2 * q]);
    const Complex<T>* y = a.side[1].plane(image, a.pair[2 * q + 1]);
    for (int64_t i = threadIdx.x; i < a.grid.points(); i += pair_threads) {
      sum[0] = sum[0] + a.times_conjugate(x[i], y[a.moved(place_in(a.grid, i), h, 1)]);
    }
  }
  for (int f = 0; f < together; ++f) {
    const T re = sum_of_block(sum[f].re, memory[0]), im = sum_of_block(sum[f].im, memory[1]);
    if (threadIdx.x != 0 || first + f >= a.filters) continue;
    T* to = a.S + a.place(image, q, first + f, shift);
    const T scale = a.scale * static_cast<T>(outside);
    to[0] = re * scale;
    if (a.parts > 1) to[1] = im * scale;
  }
}

// Which pairs a plane is in: entries [row[plane], row[plane + 1]) of `list` are 2 · pair + side
struct PairRows {
  const int *row, *list;
  int64_t planes;
};

// Gradients of the planes of one source, [images, planes, of], or with Weighted those of their
// spectra: added to what is there. Blocks: points × planes × images.
template <class T, bool Weighted>
__global__ void __launch_bounds__(pair_threads, 4)  // or ptxas would rather spill
    pair_backward_kernel(PairArguments<T> a, PairRows rows, Plane of, Complex<T>* out) {
  const int64_t points = of.points(), tiles = ceil_div(points, pair_threads);
  const int64_t i = blockIdx.x % tiles * pair_threads + threadIdx.x, plane = blockIdx.x / tiles;
  if (i >= points) return;
  const int64_t image = plane / rows.planes, own = plane % rows.planes;
  Place at = place_in(of, i);
  Complex<T> sum{};
  int64_t entry = 0;
  T scale = a.scale;
  const T* psi = nullptr;
  if constexpr (Weighted) {
    const Box box(a.support, a.axes, a.grid, a.lanes, a.psi_entries);
    at = {bin_from(at.r, a.grid.inner, of.inner), bin_from(at.b, a.grid.middle, of.middle),
          bin_from(at.c, a.grid.outer, of.outer)};
    entry = at.r < 0 || at.b < 0 || at.c < 0 ? -1 : box.entry(at.r, at.b, at.c);
    psi = a.psi + box.first + entry * a.lanes;
    scale *= static_cast<T>(box.scale);
  }
  for (int l = rows.row[own]; entry >= 0 && l < rows.row[own + 1]; ++l) {
    const int q = rows.list[l] / 2, side = rows.list[l] % 2;
    const PairSide<T>& others = a.side[1 - side];
    const Complex<T>* other = others.plane(image, a.pair[2 * q + 1 - side]);
    for (int shift = 0; shift < a.shifts; ++shift) {
      const Place h = a.shift_at(shift);
      Complex<T> g{}, z;
      if constexpr (Weighted) {
        for (int f = 0; f < a.filters; ++f) {
          const Complex<T> of_filter = a.grad_at(a.place(image, q, f, shift));
          g = {g.re + psi[f] * of_filter.re, g.im + psi[f] * of_filter.im};
        }
        z = other[a.index_in(others.of, at)];
        Complex<T> e = a.turn(at, h);
        if (side == 0) e.im = -e.im;
        z = times(z, e.re, e.im);
      } else {
        g = a.grad_at(a.place(image, q, 0, shift));
        z = other[a.moved(at, h, side == 0 ? 1 : -1)];
      }
      if (side == 1) g.im = -g.im;
      sum = sum + times(z, g.re, g.im);
    }
  }
  sum = {sum.re * scale, sum.im * scale};
  Complex<T>& to = out[plane * points + i];
  to = to + sum;
}

// gψ̂, added to what is there. Blocks: numbers of the table.
template <class T>
__global__ void __launch_bounds__(pair_threads, 4) pair_filter_kernel(PairArguments<T> a) {
  const Box box(a.support, a.axes, a.grid, a.lanes, a.psi_entries);
  const int64_t i = static_cast<int64_t>(blockIdx.x) * pair_threads + threadIdx.x;
  if (i >= box.entries() * a.filters) return;
  const int64_t entry = i / a.filters;
  const int filter = static_cast<int>(i % a.filters);
  const Place k = box.bin(entry);
  T sum = 0;
  for (int64_t image = 0; image < a.images; ++image) {
    for (int64_t q = 0; q < a.pairs; ++q) {
      for (int shift = 0; shift < a.shifts; ++shift) {
        const Complex<T> g = a.grad_at(a.place(image, q, filter, shift));
        const Complex<T> z = a.product(image, q, k, a.shift_at(shift));
        sum += g.re * z.re + g.im * z.im;
      }
    }
  }
  a.grad_psi[box.first + entry * a.lanes + filter] += sum * a.scale;
}

// to += from
template <class T>
__global__ void __launch_bounds__(stage_threads)
    add_planes_kernel(int64_t count, const Complex<T>* from, Complex<T>* to) {
  each_item(count, [&](int64_t i) { to[i] = to[i] + from[i]; });
}

}  // namespace SCATCUDA_ISA
}  // namespace scatcuda
