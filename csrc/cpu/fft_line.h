// DFT of one line of n vectors in the first-level cache: passes of csrc/core/fft.h's butterflies.
//
// With n = r_0 r_1 … r_p, pass 0 takes the butterflies of stride n/r_0 from the source, multiplies
// by the twiddles and leaves r_0 contiguous transforms of n/r_0 points in `work`; each further pass
// does the same in place, and the last one sends its results to the target in natural order.
// Sources and targets are small classes, so that the first pass gathers rows or columns of an image
// and the last one scatters them or takes the modulus, with no trip through memory in between.
#pragma once

#include "simd.h"

namespace scatcuda {
inline namespace SCATCUDA_ISA {

// A contiguous line of n elements of W lanes.
template <class T>
struct Line {
  static constexpr int W = full_lanes<T>;
  T* p;
  SCATCUDA_INLINE Complex<Vector<T, W>> load(int64_t k) const {
    return {scatcuda::load<W>(p + 2 * W * k), scatcuda::load<W>(p + 2 * W * k + W)};
  }
  SCATCUDA_INLINE void store(int64_t k, const Complex<Vector<T, W>>& z) const {
    scatcuda::store(p + 2 * W * k, z.re);
    scatcuda::store(p + 2 * W * k + W, z.im);
  }
};

// `Slots` rows or columns side by side, of elements of Q = W / Slots lanes, `stride` numbers apart.
template <class T, int Slots>
struct SlotLines {
  static constexpr int W = full_lanes<T>, Q = W / Slots;
  T* p[Slots];
  int64_t stride;
  SCATCUDA_INLINE Complex<Vector<T, W>> load(int64_t k) const {
    return {load_slots<W, Slots>(p, stride * k), load_slots<W, Slots>(p, stride * k + Q)};
  }
  SCATCUDA_INLINE void store(int64_t k, const Complex<Vector<T, W>>& z) const {
    store_slots<W, Slots>(p, stride * k, z.re);
    store_slots<W, Slots>(p, stride * k + Q, z.im);
  }
};

// Rows that share a tile of a plane.
constexpr int64_t tile_rows = 4;

// Columns side by side of a tiled plane (see Plane): element k lies in row k.
template <class T, int Slots>
struct TiledColumns {
  static constexpr int W = full_lanes<T>, Q = W / Slots;
  T* p[Slots];
  int64_t stride;       // from a tile to the next below
  Vector<T, W> sign{};  // −1 where the conjugate lies there, else 1

  explicit TiledColumns(int64_t stride_) : stride(stride_) { sign += 1; }
  SCATCUDA_INLINE Complex<Vector<T, W>> load(int64_t k) const {
    const int64_t offset = k / tile_rows * stride + k % tile_rows * 2 * Q;
    return {load_slots<W, Slots>(p, offset), load_slots<W, Slots>(p, offset + Q) * sign};
  }
  SCATCUDA_INLINE void store(int64_t k, const Complex<Vector<T, W>>& z) const {
    const int64_t offset = k / tile_rows * stride + k % tile_rows * 2 * Q;
    store_slots<W, Slots>(p, offset, z.re);
    store_slots<W, Slots>(p, offset + Q, z.im * sign);
  }
};

// What is fixed for transforms of n points: radices, and e^{2πi k/n} at twiddles[2 · step · k].
// Each also wants room for n elements (`work`) and, for primes without a butterfly, as many
// (`spare`).
template <class T>
struct LineTransform {
  int64_t n, step;
  Radices radices;
  const T* twiddles;
};

template <class T>
SCATCUDA_INLINE void twiddle(const LineTransform<T>& f, int64_t k, T& c, T& s) {
  c = f.twiddles[2 * f.step * k];
  s = f.twiddles[2 * f.step * k + 1];
}

// One radix-R pass over the blocks of `span` elements: in at k + (span/R) m, out at m (span/R) + k.
template <int R, int Sign, class T, class Source>
SCATCUDA_KERNEL void pass(const LineTransform<T>& f, const Source& source, T* work, int64_t first,
                          int64_t span) {
  using V = Vector<T, full_lanes<T>>;
  const Line<T> out{work};
  const int64_t apart = span / R, turn = f.n / span;
  for (int64_t k = 0; k < apart; ++k) {
    Complex<V> x[R];
    SCATCUDA_UNROLL
    for (int m = 0; m < R; ++m) x[m] = source.load(first + k + apart * m);
    butterfly<R, Sign>(x);
    if (k > 0) {
      SCATCUDA_UNROLL
      for (int m = 1; m < R; ++m) {
        T c, s;
        twiddle(f, turn * m * k, c, s);
        x[m] = times(x[m], c, Sign * s);
      }
    }
    SCATCUDA_UNROLL
    for (int m = 0; m < R; ++m) out.store(first + apart * m + k, x[m]);
  }
}

// The same for any odd R, by the definition.
template <int Sign, class T, class Source>
SCATCUDA_KERNEL void pass_any(const LineTransform<T>& f, int64_t R, const Source& source, T* work,
                              T* spare, int64_t first, int64_t span) {
  using V = Vector<T, full_lanes<T>>;
  const Line<T> out{work}, pairs{spare};
  const int64_t apart = span / R, turn = f.n / span, root = f.n / R;
  for (int64_t k = 0; k < apart; ++k) {
    const Complex<V> x0 = source.load(first + k);
    Complex<V> sum = x0;
    for (int64_t m = 1; m <= R / 2; ++m) {
      const Complex<V> a = source.load(first + k + apart * m);
      const Complex<V> b = source.load(first + k + apart * (R - m));
      pairs.store(2 * m - 2, a + b);
      pairs.store(2 * m - 1, a - b);
      sum = sum + (a + b);
    }
    out.store(first + k, sum);
    for (int64_t h = 1; h <= R / 2; ++h) {
      Complex<V> p = x0, q{};
      int64_t hm = 0;
      for (int64_t m = 1; m <= R / 2; ++m) {
        hm += h;
        if (hm >= R) hm -= R;
        T c, s;
        twiddle(f, root * hm, c, s);
        const Complex<V> even = pairs.load(2 * m - 2), odd = pairs.load(2 * m - 1);
        p = {p.re + even.re * c, p.im + even.im * c};
        q = {q.re + odd.re * s, q.im + odd.im * s};
      }
      q = times_i<Sign>(q);
      T c, s;
      twiddle(f, turn * h * k, c, s);
      out.store(first + apart * h + k, times(p + q, c, Sign * s));
      twiddle(f, turn * (R - h) * k, c, s);
      out.store(first + apart * (R - h) + k, times(p - q, c, Sign * s));
    }
  }
}

// The last pass: blocks of R contiguous elements; block q_0 q_1 … (digits in their radices, most
// significant first) holds the frequencies q_0 + r_0 (q_1 + r_1 (… )) + (n/R) s.
template <int R, int Sign, class T, class Target>
SCATCUDA_KERNEL void last_pass(const LineTransform<T>& f, T* work, const Target& target) {
  using V = Vector<T, full_lanes<T>>;
  const Line<T> in{work};
  const int64_t blocks = f.n / R;
  for (int64_t block = 0; block < blocks; ++block) {
    int64_t frequency = 0, rest = block;
    for (int i = f.radices.count - 2; i > 0; --i) {
      frequency = (frequency + rest % f.radices.radix[i]) * f.radices.radix[i - 1];
      rest /= f.radices.radix[i];
    }
    frequency += rest;
    Complex<V> x[R];
    SCATCUDA_UNROLL
    for (int s = 0; s < R; ++s) x[s] = in.load(block * R + s);
    butterfly<R, Sign>(x);
    SCATCUDA_UNROLL
    for (int s = 0; s < R; ++s) target.store(frequency + blocks * s, x[s]);
  }
}

template <class F>
SCATCUDA_INLINE bool with_radix(int radix, F&& f) {
  switch (radix) {
#define SCATCUDA_RADIX(R)                \
  case R:                                \
    f(std::integral_constant<int, R>{}); \
    return true;
    SCATCUDA_RADIX(1)
    SCATCUDA_RADIX(2)
    SCATCUDA_RADIX(3)
    SCATCUDA_RADIX(4)
    SCATCUDA_RADIX(5)
    SCATCUDA_RADIX(6)
    SCATCUDA_RADIX(7)
    SCATCUDA_RADIX(8)
    SCATCUDA_RADIX(9)
    SCATCUDA_RADIX(10)
    SCATCUDA_RADIX(11)
    SCATCUDA_RADIX(12)
    SCATCUDA_RADIX(13)
    SCATCUDA_RADIX(15)
    SCATCUDA_RADIX(16)
#undef SCATCUDA_RADIX
    default:
      return false;
  }
}

template <int Sign, class T, class Source>
void one_pass(const LineTransform<T>& f, int radix, const Source& source, T* work, T* spare,
              int64_t first, int64_t span) {
  const bool done = with_radix(radix, [&](auto R) SCATCUDA_LAMBDA {
    if constexpr (has_twiddles(decltype(R)::value)) {
      pass<decltype(R)::value, Sign>(f, source, work, first, span);
    }
  });
  if (!done) pass_any<Sign>(f, radix, source, work, spare, first, span);
}

// target_k = Σ_n source_n e^{Sign 2πi nk/n}. Source and target may be the same place.
template <int Sign, class T, class Source, class Target>
void transform_line(const LineTransform<T>& f, const Source& source, const Target& target, T* work,
                    T* spare) {
  const Radices& r = f.radices;
  one_pass<Sign>(f, r.radix[0], source, work, spare, 0, f.n);
  int64_t span = f.n / r.radix[0];
  for (int i = 1; i < r.count - 1; ++i) {
    for (int64_t first = 0; first < f.n; first += span) {
      one_pass<Sign>(f, r.radix[i], Line<T>{work}, work, spare, first, span);
    }
    span /= r.radix[i];
  }
  with_radix(r.radix[r.count - 1],
             [&](auto R) SCATCUDA_LAMBDA { last_pass<decltype(R)::value, Sign>(f, work, target); });
}

}  // namespace SCATCUDA_ISA
}  // namespace scatcuda
