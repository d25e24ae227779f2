// Fourier transforms of lines in pieces, between a band of bins and the points in time:
//
//   z[S t + m] = Σ_k Z[k] w_P^{k (S t + m)} = IDFT_M( Z[k] w_P^{mk} )[t],   w_P = e^{2πi/P},
//
// P = S M points as S transforms of M, the piece m those of t at a distance of S (pieces.h). |z|
// does not see by how much Z is shifted, so that a band may begin at bin 0: of the P bins only
// those of the band are multiplied, and the first levels of the transform are not there.
//
// M = A · B, in two passes that meet in a buffer of A rows: columns, which take bins in or give
// them out, and rows, which stay in the first-level cache from the inverse transform through the
// modulus to the next forward one. Two real pieces make one complex transform. Every pass stands
// beside its adjoint. The reference is torch.fft.
#pragma once

#include "../buffers.h"
#include "engine.h"
#include "pieces.h"

namespace scatcuda {
inline namespace SCATCUDA_ISA {

constexpr int side_logs = 12;  // of A and B, up to most_side

// What is fixed for lines of P points
template <class T>
struct SplitLine {
  int64_t P = 0, M = 0, pitch = 0;
  int A = 1, B = 1;
  const T* turn = nullptr;            // w_P^{mk} of the first pieces m, [M][2][pieces]
  const T* half = nullptr;            // w_P^{pieces k}: the others are by this further, [M][2]
  const T* inner = nullptr;           // w_M^{cq} at [c][q][2]
  const T* outer = nullptr;           // at [q][c][2]
  const T* roots = nullptr;           // w_S^{mr} at [r][2][pieces]
  const T* const* factors = nullptr;  // by the logarithm of n: w_n^{qc}, see few()

  int64_t elements() const { return A * pitch; }  // of a buffer
};

template <class T>
using Element = Complex<Lanes<T>>;  // the real parts, then the imaginary ones

constexpr int log2_of(int64_t n) { return n <= 1 ? 0 : 1 + log2_of(n / 2); }
constexpr int first_radix(int n) { return n == 16 ? 4 : n >= 128 ? 16 : 8; }
constexpr int most_few = 256;  // points of a transform in two passes

// The first radix of n points: into `between`, [R][n / R]
template <int R, int Sign, class T, class Source>
SCATCUDA_INLINE void first_pass(int n, const T* const* factors, Source&& source,
                                Element<T>* between) {
  const T* w = factors[log2_of(n)];
  const int Q = n / R;
  for (int c = 0; c < Q; ++c, w += 2 * R) {
    Element<T> x[R];
    unroll<R>([&](auto a) SCATCUDA_LAMBDA { x[a] = source(c + Q * a); });
    butterfly<R, Sign>(x);
    unroll<R>([&](auto q_) SCATCUDA_LAMBDA {
      constexpr int q = decltype(q_)::value;
      if constexpr (q > 0) x[q] = times(x[q], w[2 * q], Sign * w[2 * q + 1]);
      between[q * Q + c] = x[q];
    });
  }
}

// Σ_c x_c w_n^{±ck} for n points, a power of two. w_n^{qc} lies at [c][q] for q < R.
template <int n, int Sign, class T, class Source, class Target>
SCATCUDA_INLINE void few(const T* const* factors, Source&& source, Target&& target) {
  if constexpr (n <= 8) {
    Element<T> x[n];
    unroll<n>([&](auto i) SCATCUDA_LAMBDA { x[i] = source(i); });
    butterfly<n, Sign>(x);
    unroll<n>([&](auto i) SCATCUDA_LAMBDA { target(i, x[i]); });
  } else {
    constexpr int R = first_radix(n), Q = n / R;
    alignas(alignment) Element<T> between[n];
    first_pass<R, Sign, T>(n, factors, source, between);
    for (int q = 0; q < R; ++q) {
      Element<T> x[Q];
      unroll<Q>([&](auto c) SCATCUDA_LAMBDA { x[c] = between[q * Q + c]; });
      butterfly<Q, Sign>(x);
      unroll<Q>([&](auto s) SCATCUDA_LAMBDA { target(q + R * s, x[s]); });
    }
  }
}
template <int n, int Sign, class T>
SCATCUDA_KERNEL void few_here(const T* const* factors, Element<T>* x) {
  few<n, Sign, T>(
      factors, [&](int c) SCATCUDA_LAMBDA { return x[c]; },
      [&](int k, const Element<T>& z) SCATCUDA_LAMBDA { x[k] = z; });
}
// More of them, which are rare: a pass more, through `room`
template <int Sign, class T, class Source, class Target>
SCATCUDA_INLINE void many(int n, const T* const* factors, Element<T>* room, Source&& source,
                          Target&& target) {
  constexpr int R = 16;
  const int Q = n / R;
  first_pass<R, Sign, T>(n, factors, source, room);
  const auto rest = Q == 32   ? few_here<32, Sign, T>
                    : Q == 64 ? few_here<64, Sign, T>
                              : few_here<128, Sign, T>;
  for (int q = 0; q < R; ++q) {
    rest(factors, room + q * Q);
    for (int s = 0; s < Q; ++s) target(q + R * s, room[q * Q + s]);
  }
}
// n is N or, where that is 0, one that is not known here
template <int N, int Sign, class T, class Source, class Target>
SCATCUDA_INLINE void transform(int n, const T* const* factors, Element<T>* room, Source&& source,
                               Target&& target) {
  if constexpr (N > 0) {
    few<N, Sign, T>(factors, source, target);
  } else {
    many<Sign, T>(n, factors, room, source, target);
  }
}

// f with the constant, or 0
template <class F>
SCATCUDA_INLINE void with_side(int side, F&& f) {
  switch (side) {
#define SCATCUDA_SIDE(n) \
  case n:                \
    return f(std::integral_constant<int, n>{});
    SCATCUDA_SIDE(1)
    SCATCUDA_SIDE(2)
    SCATCUDA_SIDE(4)
    SCATCUDA_SIDE(8)
    SCATCUDA_SIDE(16)
    SCATCUDA_SIDE(32)
    SCATCUDA_SIDE(64)
    SCATCUDA_SIDE(128)
    SCATCUDA_SIDE(256)
#undef SCATCUDA_SIDE
    default:
      f(std::integral_constant<int, 0>{});
  }
}

// Room for lines of the passes
template <class T>
struct LineRoom {
  Element<T>*first, *second, *third;
};

// --- columns: bins in, bins out ---

// Bins 0 … head − 1 and tail … P − 1, or more of them: all are taken modulo P. Into both halves of
// the pieces, a and b, or, of a spectrum of real points, into a + i b.
template <bool Real, int FixedA, class T>
SCATCUDA_KERNEL void split_columns(const SplitLine<T>& f, const T* bins, int64_t head, int64_t tail,
                                   Element<T>* half_a, Element<T>* half_b,
                                   const LineRoom<T>& lines) {
  using E = Element<T>;
  constexpr int p = pieces<T>, S = 2 * p;
  const int64_t M = f.M, B = f.B;
  const int A = FixedA > 0 ? FixedA : f.A;
  for (int64_t c = 0; c < B; ++c) {
    for (int a = 0; a < A; ++a) {
      const int64_t k0 = c + B * a;
      E even{}, odd{};
      const auto leg = [&](int64_t k, int r) SCATCUDA_LAMBDA {
        E z = spread_bin(bins + k * bin_numbers<T>);
        if (r > 0) {
          const T* root = f.roots + r * S;
          const auto re = spread_pieces(root), im = spread_pieces(root + p);
          z = {z.re * re - z.im * im, z.re * im + z.im * re};
        }
        if (r & 1) {
          odd = odd + z;
        } else {
          even = even + z;
        }
      };
      int r = 0;
      for (int64_t k = k0; k < head; k += M, r = (r + 1) & (S - 1)) leg(k, r);
      if constexpr (Real) {
        const int64_t skipped = k0 < tail ? ceil_div(tail - k0, M) : 0;
        r = static_cast<int>(skipped) & (S - 1);
        for (int64_t k = k0 + skipped * M; k < f.P; k += M, r = (r + 1) & (S - 1)) leg(k, r);
      }
      const T* turn = f.turn + k0 * S;
      const auto re = spread_pieces(turn), im = spread_pieces(turn + p);
      const E x = even + odd, y = times(even - odd, f.half[2 * k0], f.half[2 * k0 + 1]);
      const E first{x.re * re - x.im * im, x.re * im + x.im * re};
      const E second{y.re * re - y.im * im, y.re * im + y.im * re};
      if constexpr (Real) {
        lines.first[a] = {first.re - second.im, first.im + second.re};
      } else {
        lines.first[a] = first, lines.second[a] = second;
      }
    }
    const T* w = f.inner + 2 * A * c;
    const E* line = lines.first;
    E* out = half_a + c;
    for (int half = 0; half < (Real ? 1 : 2); ++half, line = lines.second, out = half_b + c) {
      transform<FixedA, 1>(
          A, f.factors, lines.third, [&](int a) SCATCUDA_LAMBDA { return line[a]; },
          [&](int q, const E& z)
              SCATCUDA_LAMBDA { out[q * f.pitch] = times(z, w[2 * q], w[2 * q + 1]); });
    }
  }
}
template <bool Real, class T>
void split(const SplitLine<T>& f, const T* bins, int64_t head, int64_t tail, Element<T>* a,
           Element<T>* b, const LineRoom<T>& lines) {
  with_side(f.A, [&](auto A) { split_columns<Real, A>(f, bins, head, tail, a, b, lines); });
}

// The other way: bins 0 … count − 1, from both halves of the pieces or, of real ones, from a + i b.
// Two real sequences a, b transformed as a + i b have their spectra in F_k and F_{−k}.
template <bool Real, int FixedA, class T>
SCATCUDA_KERNEL void unite_columns(const SplitLine<T>& f, const Element<T>* half_a,
                                   const Element<T>* half_b, int64_t count, T* bins,
                                   const LineRoom<T>& lines) {
  using E = Element<T>;
  constexpr int p = pieces<T>, S = 2 * p;
  const int64_t B = f.B;
  const int A = FixedA > 0 ? FixedA : f.A;
  // one or two columns
  const auto columns = [&](const E* in, const E* in_2, int count) SCATCUDA_LAMBDA {
    E* line = lines.first;
    for (int i = 0; i < count; ++i, in = in_2, line = lines.second) {
      transform<FixedA, -1>(
          A, f.factors, lines.third, [&](int q) SCATCUDA_LAMBDA { return in[q * f.pitch]; },
          [&](int a, const E& z) SCATCUDA_LAMBDA { line[a] = z; });
    }
  };
  const auto put = [&](int64_t k0, const E& x, E y) SCATCUDA_LAMBDA {
    y = times(y, f.half[2 * k0], -f.half[2 * k0 + 1]);
    const T* turn = f.turn + k0 * S;
    const auto c = spread_pieces(turn), s = spread_pieces(turn + p);
    const auto back = [&](const E& z, const Lanes<T>& re, const Lanes<T>& im) SCATCUDA_LAMBDA {
      return E{z.re * re + z.im * im, z.im * re - z.re * im};
    };
    const E even = back(x + y, c, s), odd = back(x - y, c, s);
    int r = 0;
    for (int64_t k = k0; k < count; k += f.M, r = (r + 1) & (S - 1)) {
      E z = r & 1 ? odd : even;
      if (r > 0) {
        const T* root = f.roots + r * S;
        z = back(z, spread_pieces(root), spread_pieces(root + p));
      }
      Bin<T> bin = gather_bin<T>(z);
      if constexpr (Real) bin *= T(0.5);
      store(bins + k * bin_numbers<T>, bin);
    }
  };
  if constexpr (Real) {
    for (int64_t c = 0; c <= B / 2; ++c) {
      const int64_t d = (B - c) & (B - 1);
      columns(half_a + c, half_a + d, d == c ? 1 : 2);
      const int shift = c == 0 ? A : A - 1;  // −k is row shift − a of the other column
      const E *g = lines.first, *h = d == c ? lines.first : lines.second;
      for (int i = 0; i < (d == c ? 1 : 2); ++i, std::swap(g, h)) {
        for (int64_t a = 0, k = i == 0 ? c : d; a < A && k < count; ++a, k += B) {
          const E u = g[a], v = h[(shift - a) & (A - 1)];
          put(k, {u.re + v.re, u.im - v.im}, {u.im + v.im, v.re - u.re});
        }
      }
    }
  } else {
    for (int64_t c = 0; c < B; ++c) {
      columns(half_a + c, half_b + c, 2);
      for (int a = 0; a < A && c + B * a < count; ++a) {
        put(c + B * a, lines.first[a], lines.second[a]);
      }
    }
  }
}
template <bool Real, class T>
void unite(const SplitLine<T>& f, const Element<T>* a, const Element<T>* b, int64_t count, T* bins,
           const LineRoom<T>& lines) {
  with_side(f.A, [&](auto A) { unite_columns<Real, A>(f, a, b, count, bins, lines); });
}

// --- rows ---

// Points in time: vectors 2 t and 2 t + 1 have the first and the other pieces, together 2 · pieces
// neighbours of each plane.

// Real points -> a + i b, along the rows
template <int FixedB, class T>
SCATCUDA_KERNEL void forward_rows(const SplitLine<T>& f, const Lanes<T>* points, Element<T>* to,
                                  const LineRoom<T>& lines) {
  const int B = FixedB > 0 ? FixedB : f.B;
  for (int64_t q = 0; q < f.A; ++q) {
    Element<T>* x = to + q * f.pitch;
    const T* w = f.outer + 2 * B * q;
    transform<FixedB, -1>(
        B, f.factors, lines.third,
        [&](int s) SCATCUDA_LAMBDA {
          const Lanes<T>* u = points + 2 * (q + f.A * s);
          return Element<T>{u[0], u[1]};
        },
        [&](int c, const Element<T>& z)
            SCATCUDA_LAMBDA { x[c] = times(z, w[2 * c], -w[2 * c + 1]); });
  }
}

// Its adjoint
template <int FixedB, class T>
SCATCUDA_KERNEL void inverse_rows(const SplitLine<T>& f, const Element<T>* from, Lanes<T>* points,
                                  const LineRoom<T>& lines) {
  const int B = FixedB > 0 ? FixedB : f.B;
  for (int64_t q = 0; q < f.A; ++q) {
    const Element<T>* x = from + q * f.pitch;
    transform<FixedB, 1>(
        B, f.factors, lines.third, [&](int c) SCATCUDA_LAMBDA { return x[c]; },
        [&](int s, const Element<T>& z) SCATCUDA_LAMBDA {
          Lanes<T>* u = points + 2 * (q + f.A * s);
          u[0] = z.re, u[1] = z.im;
        });
  }
}

// U = |W|, its points, and a + i b along the rows, in the place of a or elsewhere; null where it is
// not wanted
template <int FixedB, class T>
SCATCUDA_KERNEL void modulus_rows(const SplitLine<T>& f, const Element<T>* a, const Element<T>* b,
                                  Lanes<T>* points, Element<T>* to, const LineRoom<T>& lines) {
  using E = Element<T>;
  const int B = FixedB > 0 ? FixedB : f.B;
  for (int64_t q = 0; q < f.A; ++q) {
    E* line = lines.first;
    const E* x = a + q * f.pitch;
    for (int half = 0; half < 2; ++half, x = b + q * f.pitch) {
      Lanes<T>* u = &line[0].re + half;
      transform<FixedB, 1>(
          B, f.factors, lines.third, [&](int c) SCATCUDA_LAMBDA { return x[c]; },
          [&](int s, const E& z)
              SCATCUDA_LAMBDA { u[2 * s] = square_root(z.re * z.re + z.im * z.im); });
    }
    for (int s = 0; points != nullptr && s < B; ++s) {
      Lanes<T>* u = points + 2 * (q + f.A * s);
      u[0] = line[s].re, u[1] = line[s].im;
    }
    if (to == nullptr) continue;
    E* out = to + q * f.pitch;
    const T* w = f.outer + 2 * B * q;
    transform<FixedB, -1>(
        B, f.factors, lines.third, [&](int s) SCATCUDA_LAMBDA { return line[s]; },
        [&](int c, const E& z) SCATCUDA_LAMBDA { out[c] = times(z, w[2 * c], -w[2 * c + 1]); });
  }
}

// Its adjoint: W ← W gU / U, 0 where U is, along the rows. gU is `points` and what came `back` of
// a + i b; one of them may be null.
template <int FixedB, class T>
SCATCUDA_KERNEL void turn_rows(const SplitLine<T>& f, Element<T>* a, Element<T>* b,
                               const Lanes<T>* points, const Element<T>* back,
                               const LineRoom<T>& lines) {
  using E = Element<T>;
  const int B = FixedB > 0 ? FixedB : f.B;
  for (int64_t q = 0; q < f.A; ++q) {
    E *g = lines.first, *line = lines.second;
    const T* w = f.outer + 2 * B * q;
    if (back != nullptr) {
      const E* row = back + q * f.pitch;
      transform<FixedB, 1>(
          B, f.factors, lines.third, [&](int c) SCATCUDA_LAMBDA { return row[c]; },
          [&](int s, const E& z) SCATCUDA_LAMBDA { g[s] = z; });
    }
    for (int s = 0; points != nullptr && s < B; ++s) {
      const Lanes<T>* u = points + 2 * (q + f.A * s);
      g[s] = back != nullptr ? E{g[s].re + u[0], g[s].im + u[1]} : E{u[0], u[1]};
    }
    E* x = a + q * f.pitch;
    for (int half = 0; half < 2; ++half, x = b + q * f.pitch) {
      const Lanes<T>* sent = &g[0].re + half;
      transform<FixedB, 1>(
          B, f.factors, lines.third, [&](int c) SCATCUDA_LAMBDA { return x[c]; },
          [&](int s, const E& z) SCATCUDA_LAMBDA {
            const Lanes<T> square = z.re * z.re + z.im * z.im;
            const Lanes<T> turn = square == T(0) ? Lanes<T>{} : sent[2 * s] / square_root(square);
            line[s] = {z.re * turn, z.im * turn};
          });
      transform<FixedB, -1>(
          B, f.factors, lines.third, [&](int s) SCATCUDA_LAMBDA { return line[s]; },
          [&](int c, const E& z) SCATCUDA_LAMBDA { x[c] = times(z, w[2 * c], -w[2 * c + 1]); });
    }
  }
}

// --- tables ---

// e^{2πi k/n} for any k, from two short tables: none is longer than √n
struct Turns {
  int64_t n = 1, fine = 1;
  const double *coarse = nullptr, *small = nullptr;

  Turns(int64_t n_, Arena& arena) : n(n_) {
    while (fine * fine < n) fine *= 2;
    double* low = arena.take<double>(2 * fine);
    double* high = arena.take<double>(2 * (n / fine + 1));
    small = low, coarse = high;
    if (low == nullptr) return;
    const auto fill = [&](double* to, int64_t count, int64_t step) {
      for (int64_t k = 0; k < count; ++k) {
        const double angle = 2 * trig::pi * static_cast<double>(k * step) / static_cast<double>(n);
        to[2 * k] = cos(angle), to[2 * k + 1] = sin(angle);
      }
    };
    fill(low, fine, 1);
    fill(high, n / fine, fine);
  }
  Complex<double> operator()(int64_t k) const {
    k &= n - 1;
    const double *a = coarse + 2 * (k / fine), *b = small + 2 * (k & (fine - 1));
    return {a[0] * b[0] - a[1] * b[1], a[0] * b[1] + a[1] * b[0]};
  }
};

// Without tables
template <class T>
SplitLine<T> split_shape(int64_t P) {
  SplitLine<T> f;
  f.P = P, f.M = P / (2 * pieces<T>);
  while (4 * int64_t{f.A} * f.A <= f.M) f.A *= 2;
  f.B = static_cast<int>(f.M / f.A);
  f.pitch = f.B + 1;
  return f;
}

template <class T>
SplitLine<T> split_line(int64_t P, const T* const* factors, const T* roots, Arena& arena) {
  constexpr int p = pieces<T>, S = 2 * p;
  SplitLine<T> f = split_shape<T>(P);
  f.factors = factors, f.roots = roots;
  const Turns turns(P, arena);
  T *turn = arena.take<T>(f.M * S), *half = arena.take<T>(2 * f.M);
  T *inner = arena.take<T>(2 * f.M), *outer = arena.take<T>(2 * f.M);
  f.turn = turn, f.half = half, f.inner = inner, f.outer = outer;
  if (turn == nullptr) return f;
  const auto put = [](const Complex<double>& z, T* re, T* im) {
    *re = static_cast<T>(z.re), *im = static_cast<T>(z.im);
  };
  for (int64_t k = 0; k < f.M; ++k) {
    for (int m = 0; m < p; ++m) put(turns(m * k), turn + k * S + m, turn + k * S + p + m);
    put(turns(p * k), half + 2 * k, half + 2 * k + 1);
  }
  for (int64_t c = 0; c < f.B; ++c) {
    for (int64_t q = 0; q < f.A; ++q) {
      T *i = inner + 2 * (c * f.A + q), *o = outer + 2 * (q * f.B + c);
      put(turns(S * c * q), i, i + 1);
      o[0] = i[0], o[1] = i[1];
    }
  }
  return f;
}

}  // namespace SCATCUDA_ISA
}  // namespace scatcuda
