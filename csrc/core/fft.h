// Discrete Fourier transforms of a few points, held in registers: X_k = Σ_n x_n e^{σ 2πi nk/R}.
//
// The number type T is a float on the GPU and a SIMD vector, one lane an angle, on the CPU; σ is −1
// for the forward and +1 for the inverse transform (unscaled). Longer transforms are made of these
// by csrc/cpu/fft_line.h. The reference is torch.fft.
#pragma once

#include "common.h"

namespace scatcuda {

// A transform of n points as at least two passes of one radix each; the radices multiply to n and
// the last one has a butterfly of its own, be it that of one point.
constexpr int max_passes = 24;
struct Radices {
  int count = 0;
  int radix[max_passes] = {};
};

inline namespace SCATCUDA_ISA {

// Of plain numbers it is aligned as a whole, so that a GPU moves it as a whole.
template <class T>
struct alignas(std::is_arithmetic_v<T> ? 2 * sizeof(T) : alignof(T)) Complex {
  T re, im;
};

template <class T>
SCATCUDA_INLINE Complex<T> operator+(const Complex<T>& a, const Complex<T>& b) {
  return {a.re + b.re, a.im + b.im};
}
template <class T>
SCATCUDA_INLINE Complex<T> operator-(const Complex<T>& a, const Complex<T>& b) {
  return {a.re - b.re, a.im - b.im};
}
// a · (c + i s), the factor a number of each lane's own kind or a plain scalar
template <class T, class S>
SCATCUDA_INLINE Complex<T> times(const Complex<T>& a, const S& c, const S& s) {
  return {a.re * c - a.im * s, a.re * s + a.im * c};
}
// σ i a
template <int Sign, class T>
SCATCUDA_INLINE Complex<T> times_i(const Complex<T>& a) {
  if constexpr (Sign > 0) {
    return {-a.im, a.re};
  } else {
    return {a.im, -a.re};
  }
}

// cos and sin of 2π k/n at compile time, to the last bit or two: reduced to an octant, then Taylor.
namespace trig {
constexpr double pi = 3.14159265358979323846;
SCATCUDA_HD constexpr double taylor(double x, double term, int first) {
  double sum = term;
  for (int i = first; i < first + 20; i += 2) {
    term *= -x * x / (i * (i + 1));
    sum += term;
  }
  return sum;
}
SCATCUDA_HD constexpr double cos_octant(double x) { return taylor(x, 1, 1); }
SCATCUDA_HD constexpr double sin_octant(double x) { return taylor(x, x, 2); }
// Angle k/n of a turn, 0 ≤ k < n: eighths of a turn decide which function of which remainder.
SCATCUDA_HD constexpr double cosine(long k, long n) {
  k = ((k % n) + n) % n;
  if (2 * k > n) k = n - k;
  if (4 * k > n) return -cosine(n - 2 * k, 2 * n);
  if (8 * k > n) return sin_octant(2 * pi * static_cast<double>(n - 4 * k) / (4.0 * n));
  return cos_octant(2 * pi * static_cast<double>(k) / n);
}
SCATCUDA_HD constexpr double sine(long k, long n) { return cosine(4 * k - n, 4 * n); }
}  // namespace trig

// The scalar that multiplies T: T itself on the GPU, the lane's type for a SIMD vector.
template <class T>
auto scalar_of(int) -> std::remove_reference_t<decltype(std::declval<T&>()[0])>;
template <class T>
auto scalar_of(...) -> T;
template <class T>
using Scalar = decltype(scalar_of<T>(0));

// Roots of one are constants of constant indices, not a table: where that is static, nvcc compiles
// zeros into kernels without a word.
template <int R, int Sign, class T>
SCATCUDA_INLINE void butterfly(Complex<T>* x);

// Odd R by the definition, the two halves of each conjugate pair together: (R − 1)² products.
template <int R, int Sign, class T>
SCATCUDA_INLINE void butterfly_odd(Complex<T>* x) {
  using S = Scalar<T>;
  constexpr int H = (R - 1) / 2;
  Complex<T> even[H], odd[H], sum = x[0];
  SCATCUDA_UNROLL
  for (int m = 1; m <= H; ++m) {
    even[m - 1] = x[m] + x[R - m];
    odd[m - 1] = x[m] - x[R - m];
    sum = sum + even[m - 1];
  }
  unroll<H>([&](auto k_) SCATCUDA_LAMBDA {
    constexpr int k = decltype(k_)::value + 1;
    Complex<T> p = x[0], q{};
    unroll<H>([&](auto m_) SCATCUDA_LAMBDA {
      constexpr int m = decltype(m_)::value + 1;
      constexpr S c = static_cast<S>(trig::cosine(k * m, R));
      constexpr S s = static_cast<S>(trig::sine(k * m, R));
      p = {p.re + even[m - 1].re * c, p.im + even[m - 1].im * c};
      if constexpr (m == 1) {
        q = {odd[0].re * s, odd[0].im * s};
      } else {
        q = {q.re + odd[m - 1].re * s, q.im + odd[m - 1].im * s};
      }
    });
    q = times_i<Sign>(q);
    x[k] = p + q;
    x[R - k] = p - q;
  });
  x[0] = sum;
}

// R = A · B: columns, twiddles, rows (Cooley and Tukey).
template <int A, int B, int Sign, class T>
SCATCUDA_INLINE void butterfly_product(Complex<T>* x) {
  using S = Scalar<T>;
  Complex<T> rows[A * B];
  unroll<B>([&](auto b_) SCATCUDA_LAMBDA {
    constexpr int b = decltype(b_)::value;
    Complex<T> column[A];
    SCATCUDA_UNROLL
    for (int a = 0; a < A; ++a) column[a] = x[b + B * a];
    butterfly<A, Sign>(column);
    unroll<A>([&](auto a_) SCATCUDA_LAMBDA {
      constexpr int a = decltype(a_)::value;
      if constexpr (a * b == 0) {
        rows[a * B + b] = column[a];
      } else {
        rows[a * B + b] = times(column[a], static_cast<S>(trig::cosine(a * b, A * B)),
                                static_cast<S>(Sign * trig::sine(a * b, A * B)));
      }
    });
  });
  SCATCUDA_UNROLL
  for (int a = 0; a < A; ++a) {
    butterfly<B, Sign>(rows + a * B);
    SCATCUDA_UNROLL
    for (int b = 0; b < B; ++b) x[a + A * b] = rows[a * B + b];
  }
}

// R = A · B without a common factor: no twiddles. In at n = (B a + A b) mod R, out at the k that
// is k_a modulo A and k_b modulo B (Good and Thomas).
SCATCUDA_HD constexpr int chinese_remainder(int ka, int kb, int a, int b) {
  for (int k = ka;; k += a) {
    if (k % b == kb) return k;
  }
}
template <int A, int B, int Sign, class T>
SCATCUDA_INLINE void butterfly_coprime(Complex<T>* x) {
  constexpr int R = A * B, one_in_a = chinese_remainder(1, 0, A, B), one_in_b = R + 1 - one_in_a;
  Complex<T> rows[R];
  SCATCUDA_UNROLL
  for (int b = 0; b < B; ++b) {
    Complex<T> column[A];
    SCATCUDA_UNROLL
    for (int a = 0; a < A; ++a) column[a] = x[(B * a + A * b) % R];
    butterfly<A, Sign>(column);
    SCATCUDA_UNROLL
    for (int a = 0; a < A; ++a) rows[a * B + b] = column[a];
  }
  SCATCUDA_UNROLL
  for (int a = 0; a < A; ++a) {
    butterfly<B, Sign>(rows + a * B);
    SCATCUDA_UNROLL
    for (int b = 0; b < B; ++b) x[(one_in_a * a + one_in_b * b) % R] = rows[a * B + b];
  }
}

template <int Sign, class T>
SCATCUDA_INLINE void butterfly_8(Complex<T>* x) {
  using S = Scalar<T>;
  constexpr S h = static_cast<S>(0.70710678118654752440);
  Complex<T> e[4] = {x[0], x[2], x[4], x[6]}, o[4] = {x[1], x[3], x[5], x[7]};
  butterfly<4, Sign>(e);
  butterfly<4, Sign>(o);
  // multiplied by e^{σ iπ/4}, e^{σ iπ/2}, e^{σ 3iπ/4}: the first and last share their products
  const Complex<T> r1 = times_i<Sign>(o[1]), r3 = times_i<Sign>(o[3]);
  const Complex<T> t1 = {(o[1].re + r1.re) * h, (o[1].im + r1.im) * h};
  const Complex<T> t2 = times_i<Sign>(o[2]);
  const Complex<T> t3 = {(r3.re - o[3].re) * h, (r3.im - o[3].im) * h};
  x[0] = e[0] + o[0], x[4] = e[0] - o[0];
  x[1] = e[1] + t1, x[5] = e[1] - t1;
  x[2] = e[2] + t2, x[6] = e[2] - t2;
  x[3] = e[3] + t3, x[7] = e[3] - t3;
}

template <int R, int Sign, class T>
SCATCUDA_INLINE void butterfly(Complex<T>* x) {
  if constexpr (R == 1) {
  } else if constexpr (R == 2) {
    const Complex<T> a = x[0], b = x[1];
    x[0] = a + b, x[1] = a - b;
  } else if constexpr (R == 4) {
    const Complex<T> a = x[0] + x[2], b = x[0] - x[2], c = x[1] + x[3];
    const Complex<T> d = times_i<Sign>(x[1] - x[3]);
    x[0] = a + c, x[1] = b + d, x[2] = a - c, x[3] = b - d;
  } else if constexpr (R == 8) {
    butterfly_8<Sign>(x);
  } else if constexpr (R == 6 || R == 10) {
    butterfly_coprime<R / 2, 2, Sign>(x);
  } else if constexpr (R == 12 || R == 15) {
    butterfly_coprime<R / 3, 3, Sign>(x);
  } else if constexpr (R == 9) {
    butterfly_product<3, 3, Sign>(x);
  } else if constexpr (R == 16) {
    butterfly_product<4, 4, Sign>(x);
  } else {
    static_assert(R == 3 || R == 5 || R == 7 || R == 11 || R == 13, "no butterfly of this size");
    butterfly_odd<R, Sign>(x);
  }
}

// The butterflies, and what a pass of each takes with its twiddles and as the last one, without: in
// picoseconds a point of 16 floats, as `python -m benchmarks.stages --radices` has measured them
// (AVX-512, AMD Zen 5), but for 5, 15 and 16, which in whole transforms are dearer than alone. Each
// pass goes through the first-level cache, but the large ones spill registers, those with twiddles
// more: so a large radix comes last, and the two largest `never` elsewhere, where what they took
// was chosen for no length: that spares compiling them.
struct Cost {
  int radix, twiddled, last;
};
constexpr int never = 1 << 20;
constexpr Cost pass_costs[] = {
    {1, 800, 900},    {2, 810, 1140},   {3, 870, 1150},   {4, 1030, 1190},   {5, 1550, 1240},
    {6, 1280, 1050},  {7, 1410, 1230},  {8, 1160, 1220},  {9, 1660, 1160},   {10, 1670, 1310},
    {11, 2760, 2090}, {12, 1630, 1100}, {13, 3510, 3030}, {15, never, 1900}, {16, never, 1650}};

SCATCUDA_HD constexpr bool has_butterfly(int n) {
  for (const Cost& c : pass_costs) {
    if (c.radix == n) return true;
  }
  return false;
}
// Not the last pass alone
SCATCUDA_HD constexpr bool has_twiddles(int n) {
  for (const Cost& c : pass_costs) {
    if (c.radix == n) return c.twiddled < never;
  }
  return false;
}

// The cheapest passes for n points, small radices first; `passes` has those before them, whose
// `cost` it is. `best` holds what was found so far.
SCATCUDA_HD constexpr void search_radices(int n, int cost, Radices& passes, Radices& best,
                                          int& best_cost) {
  const int least = passes.count == 0 ? 2 : passes.radix[passes.count - 1];
  if (passes.count + 1 == max_passes) return;
  for (const Cost& c : pass_costs) {
    if (c.radix == n && passes.count > 0 && cost + c.last < best_cost) {
      best = passes, best_cost = cost + c.last;
      best.radix[best.count++] = n;
    }
    if (c.radix < least || n % c.radix != 0 || cost + c.twiddled >= best_cost) continue;
    passes.radix[passes.count++] = c.radix;
    search_radices(n / c.radix, cost + c.twiddled, passes, best, best_cost);
    --passes.count;
  }
}

// Primes without a butterfly come first, by the definition.
SCATCUDA_HD constexpr Radices factorize(int n) {
  Radices primes;
  int smooth = 1;  // the part of n that butterflies can do
  for (int p = 2; n > 1; ++p) {
    if (static_cast<int64_t>(p) * p > n) p = n;
    while (n % p == 0) {
      n /= p;
      if (p <= 13) {
        smooth *= p;
      } else {
        primes.radix[primes.count++] = p;
      }
    }
  }
  Radices best, passes;
  int cost = 1 << 30;
  if (smooth == 1 || (primes.count > 0 && has_butterfly(smooth))) {
    best.radix[best.count++] = smooth;
  } else {
    search_radices(smooth, 0, passes, best, cost);
  }
  for (int i = 0; i < best.count; ++i) primes.radix[primes.count++] = best.radix[i];
  return primes;
}

}  // namespace SCATCUDA_ISA
}  // namespace scatcuda
