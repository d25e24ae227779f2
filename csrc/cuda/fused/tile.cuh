// Fourier transforms of planes in shared memory, in place.
//
// A tile holds complex planes [outer, inner], `group` of them side by side: filters of one set. A
// line of n points is transformed in passes, one butterfly a thread and a barrier after each. The
// inverse transform decimates in frequency: frequencies enter in their natural order, and sample k
// comes out at place(k), its digits reversed. The forward transform decimates in time, from there
// back to natural order. What lies between them, modulus and low-pass, takes the samples where they
// are; so no pass moves a point, and every butterfly writes where it has read.
//
// Twiddles come from a table of the roots e^{2πi k/n}, computed once a call in double precision.
#pragma once

#include "../../core/fft.h"
#include "../runtime.h"

namespace scatcuda {
inline namespace SCATCUDA_ISA {

using Point = Complex<float>;

// --- how a line is split into passes ---

// Radices in the order of the inverse transform. The last is even wherever the size is, so that a
// butterfly of the last pass holds whole pairs of lines. A prime that has no butterfly goes by the
// definition; a pass of radix 1 before it brings the line into the tile.
struct Passes {
  short size = 1;
  unsigned char count = 0;
  unsigned char radix[13] = {};
};

// Every radix is one more copy of every pass: a kernel for any side has few, a kernel for one side
// has what suits it. Planes of first steps keep two lines in registers at a time, planes of
// second ones one. Larger radices would save passes and cost registers (`make kernels`), which
// blocks that wait for memory need more.
constexpr int largest_radix = 16;
template <class... R>
SCATCUDA_HD constexpr unsigned set_of(R... radices) {
  return ((1u << radices) | ...);
}
constexpr unsigned any_side = set_of(2, 3, 4, 5, 7, 8, 9, 11, 13);
constexpr unsigned in_pairs = any_side | set_of(6, 10);
constexpr unsigned side_by_side = in_pairs | set_of(12, 15, 16);

// n as a product of `passes` radices in falling order, the first as small as can be
SCATCUDA_HD constexpr bool split(int n, int passes, unsigned radices, int largest, Passes& out) {
  if (passes == 1) {
    if (n > largest || (radices >> n & 1) == 0) return false;
    out.radix[out.count++] = static_cast<unsigned char>(n);
    return true;
  }
  for (int r = 2; r <= largest; ++r) {
    if (n % r != 0 || (radices >> r & 1) == 0) continue;
    const unsigned char before = out.count;
    out.radix[out.count++] = static_cast<unsigned char>(r);
    if (split(n / r, passes - 1, radices, r, out)) return true;
    out.count = before;
  }
  return false;
}

// 2 ≤ n ≤ 256, even
SCATCUDA_HD constexpr Passes passes_of(int n, unsigned radices) {
  Passes out;
  out.size = static_cast<short>(n);
  int smooth = n;
  for (int p = 17; p <= smooth; ++p) {  // p divides only where it is prime: less went before
    if (smooth % p != 0) continue;
    bool prime = true;
    for (int d = 2; d * d <= p; ++d) prime = prime && p % d != 0;
    if (!prime) continue;
    if (out.count == 0) out.radix[out.count++] = 1;
    out.radix[out.count++] = static_cast<unsigned char>(p);
    smooth /= p--;
  }
  const unsigned char before = out.count;
  for (int passes = 1; !split(smooth, passes, radices, largest_radix, out); ++passes) {
    out.count = before;
  }
  for (int i = before; i < out.count; ++i) {
    const unsigned char r = out.radix[i];
    if (r % 2 == 0) {
      out.radix[i] = out.radix[out.count - 1];
      out.radix[out.count - 1] = r;
    }
  }
  return out;
}

// A side: known when the kernel is compiled (N > 0), or only when it runs
template <int N, unsigned Radices = any_side>
struct Side {
  static constexpr int known = N;
  static constexpr unsigned radices = Radices;
  static constexpr Passes passes = passes_of(N, Radices);
  __device__ static constexpr int size() { return N; }
  __device__ static constexpr int count() { return passes.count; }
  __device__ static constexpr int radix(int i) {
    constexpr Passes p = passes_of(N, Radices);
    return p.radix[i];
  }
};
template <unsigned Radices>
struct Side<0, Radices> {
  static constexpr int known = 0;
  static constexpr unsigned radices = Radices;
  const Passes* passes;
  __device__ int size() const { return passes->size; }
  __device__ int count() const { return passes->count; }
  __device__ int radix(int i) const { return passes->radix[i]; }
};

// Where the inverse transform leaves sample k
template <class Side>
__device__ __forceinline__ int place(Side side, int k) {
  int at = 0, stride = side.size();
  for (int i = 0; i < side.count(); ++i) {
    const int radix = side.radix(i);
    stride /= radix;
    at += k % radix * stride;
    k /= radix;
  }
  return at;
}

// --- passes ---

// The roots of a side: e^{2πi k/n} = table[k · step]
struct Roots {
  const Point* table;
  int step;
};
// x · e^{±2πi k/n}
template <int Sign>
__device__ __forceinline__ Point rotate(const Point& x, Roots roots, int k) {
  const Point w = roots.table[k * roots.step];
  return times(x, w.re, Sign > 0 ? w.im : -w.im);
}

// Where point k of a line lies in a tile of 2^log planes side by side: along the outer dimension
// the next line is the next element, along the inner one it is the next column.
struct AlongOuter {
  int pitch, log;
  __device__ __forceinline__ int at(int line, int plane, int k) const {
    return ((k * pitch + line) << log) + plane;
  }
};
struct AlongInner {
  int pitch, log;
  __device__ __forceinline__ int at(int line, int plane, int k) const {
    return ((line * pitch + k) << log) + plane;
  }
};

// Lines of n points, `count` in each of 2^log planes, transformed in blocks of `length` points.
// Neighbouring threads take neighbouring planes, then lines.
struct Lines {
  int count, log, n;

  __device__ __forceinline__ int butterflies(int radix) const { return count * (n / radix) << log; }
};
struct Butterfly {
  int plane, line, first, stride, b;  // first of its points, how far apart they are; twiddle

  __device__ __forceinline__ Butterfly(const Lines& lines, int length, int radix, int i) {
    plane = i & ((1 << lines.log) - 1);
    i >>= lines.log;
    line = i % lines.count;
    i /= lines.count;
    stride = length / radix;
    b = i % stride;
    first = i / stride * length + b;
  }
};

// One pass over them. load(line, plane, k) gives a point, store(line, plane, k, x) takes it.
// Inverse: butterfly, then twiddle; forward the other way round.
template <int R, int Sign, class Load, class Store>
__device__ __forceinline__ void pass(const Lines& lines, int length, Roots roots, Load load,
                                     Store store) {
  const int turn = lines.n / length;
  for (int i = threadIdx.x; i < lines.butterflies(R); i += blockDim.x) {
    const Butterfly of(lines, length, R, i);
    Point x[R];
#pragma unroll
    for (int q = 0; q < R; ++q) {
      x[q] = load(of.line, of.plane, of.first + q * of.stride);
      if (Sign < 0 && q > 0 && length > R) x[q] = rotate<Sign>(x[q], roots, q * of.b * turn);
    }
    butterfly<R, Sign>(x);
#pragma unroll
    for (int q = 0; q < R; ++q) {
      if (Sign > 0 && q > 0 && length > R) x[q] = rotate<Sign>(x[q], roots, q * of.b * turn);
      store(of.line, of.plane, of.first + q * of.stride, x[q]);
    }
  }
}

// The same for a prime R by the definition. A thread computes one output; all of a butterfly's are
// read before any is written.
template <int Sign, class Load, class Store>
__device__ void prime_pass(int R, const Lines& lines, int length, Roots roots, Load load,
                           Store store) {
  const int turn = lines.n / length, at_once = blockDim.x / R, all = lines.butterflies(R);
  const int mine = threadIdx.x / R, k = threadIdx.x % R;
  for (int start = 0; start < all; start += at_once) {
    const int i = start + mine;
    const bool busy = mine < at_once && i < all;
    const Butterfly of(lines, length, R, i);
    Point sum{0.0f, 0.0f};
    for (int q = 0; busy && q < R; ++q) {
      Point x = load(of.line, of.plane, of.first + q * of.stride);
      if (Sign < 0) x = rotate<Sign>(x, roots, q * of.b * turn);
      sum = sum + rotate<Sign>(x, roots, q * k % R * (lines.n / R));
    }
    if (Sign > 0) sum = rotate<Sign>(sum, roots, k * of.b * turn);
    __syncthreads();
    if (busy) store(of.line, of.plane, of.first + k * of.stride, sum);
    __syncthreads();
  }
}

// Runs f with radix number i as a constant: f(std::integral_constant<int, R>); for a prime without
// a butterfly f(std::integral_constant<int, 0>).
template <int R>
using Radix = std::integral_constant<int, R>;

template <int I, class Side, class F>
__device__ __forceinline__ void with_radix(Side side, int i, F f) {
  if constexpr (Side::known > 0) {
    if constexpr (I < Side::count()) {
      constexpr int R = Side::radix(I);
      f(Radix<R <= largest_radix ? R : 0>{});
    }
  } else {
    switch (side.radix(i)) {
      case 1:
        return f(Radix<1>{});
      case 2:
        return f(Radix<2>{});
      case 3:
        return f(Radix<3>{});
      case 4:
        return f(Radix<4>{});
      case 5:
        return f(Radix<5>{});
      case 7:
        return f(Radix<7>{});
      case 8:
        return f(Radix<8>{});
      case 9:
        return f(Radix<9>{});
      case 11:
        return f(Radix<11>{});
      case 13:
        return f(Radix<13>{});
      default:
        return f(Radix<0>{});
    }
  }
}

// Pass number i of a transform in place, and a barrier
template <int I, int Sign, class Side, class Along>
__device__ __forceinline__ void pass_in_place(Side side, int i, const Lines& lines, Roots roots,
                                              Point* tile, Along along) {
  const auto load = [&](int line, int plane, int k) { return tile[along.at(line, plane, k)]; };
  const auto store = [&](int line, int plane, int k, const Point& x) {
    tile[along.at(line, plane, k)] = x;
  };
  int length = side.size();
  for (int before = 0; before < i; ++before) length /= side.radix(before);
  with_radix<I>(side, i, [&](auto radix) {
    constexpr int R = decltype(radix)::value;
    if constexpr (R > 0) {
      pass<R, Sign>(lines, length, roots, load, store);
    } else {
      prime_pass<Sign>(side.radix(i), lines, length, roots, load, store);
    }
  });
  __syncthreads();
}

// Passes I … last − 1 of the inverse transform
template <int I, class Side, class Along>
__device__ __forceinline__ void inverse_passes(Side side, int last, const Lines& lines, Roots roots,
                                               Point* tile, Along along) {
  if constexpr (Side::known == 0) {
    for (int i = I; i < last; ++i) pass_in_place<0, 1>(side, i, lines, roots, tile, along);
  } else if constexpr (I < Side::count()) {
    if (I >= last) return;
    pass_in_place<I, 1>(side, I, lines, roots, tile, along);
    inverse_passes<I + 1>(side, last, lines, roots, tile, along);
  }
}

// The pass that the forward transform begins with, number count − 1
template <int Sign, class Side, class Along>
__device__ __forceinline__ void last_pass_in_place(Side side, const Lines& lines, Roots roots,
                                                   Point* tile, Along along) {
  constexpr int I = Side::known > 0 ? passes_of(Side::known, Side::radices).count - 1 : 0;
  pass_in_place<I, Sign>(side, side.count() - 1, lines, roots, tile, along);
}

// All passes of the forward transform but the one it begins with, number count − 1
template <int I = -1, class Side, class Along>
__device__ __forceinline__ void forward_passes(Side side, const Lines& lines, Roots roots,
                                               Point* tile, Along along) {
  if constexpr (Side::known == 0) {
    for (int i = side.count() - 2; i >= 0; --i) {
      pass_in_place<0, -1>(side, i, lines, roots, tile, along);
    }
  } else {
    constexpr int i = I < 0 ? Side::count() - 2 : I;
    if constexpr (i >= 0) pass_in_place<i, -1>(side, i, lines, roots, tile, along);
    if constexpr (i > 0) forward_passes<i - 1>(side, lines, roots, tile, along);
  }
}

// Runs f with the radix of the last pass of the inverse transform, the first of the forward one
template <class Side, class F>
__device__ __forceinline__ void with_last_radix(Side side, F f) {
  if constexpr (Side::known > 0) {
    with_radix<Side::count() - 1>(side, 0, f);
  } else {
    switch (side.radix(side.count() - 1)) {
      case 2:
        return f(Radix<2>{});
      case 4:
        return f(Radix<4>{});
      default:
        return f(Radix<8>{});
    }
  }
}

}  // namespace SCATCUDA_ISA
}  // namespace scatcuda
