// Fourier transforms of lines in pieces, between a band of bins and the points in time:
//
//   z[S t + m] = Σ_k Z[k] w_P^{k (S t + m)} = IDFT_M( Z[k] w_P^{mk} )[t],   w_P = e^{2πi/P},
//
// P = S M points as S transforms of M, the piece m those of t at a distance of S (pieces.h). |z|
// does not see by how much Z is shifted, so that a band may begin at bin 0: of the P bins only those
// of the band are multiplied, and the first levels of the transform are not there.
//
// M = A · B, in two passes that meet in a buffer of A rows: columns, which take bins in or give them
// out, and rows, which stay in the first-level cache from the inverse transform through the modulus
// to the next forward one. Two real pieces make one complex transform. Every pass stands beside its
// adjoint. The reference is torch.fft.
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
using Element = Complex<Lanes<T>>;

constexpr int log2_of(int64_t n) { return n <= 1 ? 0 : 1 + log2_of(n / 2); }
constexpr int first_radix(int n) { return n == 16 ? 4 : n >= 128 ? 16 : 8; }

// Transforms of n points, a power of two: Σ_c x_c w_n^{±ck}. w_n^{qc} lies at [c][q] for q < R.
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
    const T* w = factors[log2_of(n)];
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
    for (int q = 0; q < R; ++q) {
      few<Q, Sign, T>(
          factors, [&](int c) SCATCUDA_LAMBDA { return between[q * Q + c]; },
          [&](int s, const Element<T>& z) SCATCUDA_LAMBDA { target(q + R * s, z); });
    }
  }
}

// f with the constant
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
    SCATCUDA_SIDE(512)
    SCATCUDA_SIDE(1024)
    SCATCUDA_SIDE(2048)
#undef SCATCUDA_SIDE
    default:
      __builtin_unreachable();
  }
}

// Buffers of a thread: the two halves of the pieces, what comes back to them, and lines
template <class T>
struct Halves {
  Element<T>*a, *b, *back;
  Element<T>*line, *line_2;
};

// --- columns: bins in, bins out ---

// Bins 0 … head − 1 and tail … P − 1, or more of them: all are taken modulo P. Into both halves of
// the pieces or, of a spectrum of real points, into a with b as its imaginary part.
template <bool Real, int A, class T>
SCATCUDA_KERNEL void split_columns(const SplitLine<T>& f, const T* bins, int64_t head, int64_t tail,
                                   const Halves<T>& to) {
  using E = Element<T>;
  constexpr int p = pieces<T>, S = 2 * p;
  const int64_t M = f.M, B = f.B;
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
        to.line[a] = {first.re - second.im, first.im + second.re};
      } else {
        to.line[a] = first, to.line_2[a] = second;
      }
    }
    const T* w = f.inner + 2 * A * c;
    const auto column = [&](const E* line, E* out) SCATCUDA_LAMBDA {
      few<A, 1, T>(
          f.factors, [&](int a) SCATCUDA_LAMBDA { return line[a]; },
          [&](int q, const E& z) SCATCUDA_LAMBDA {
            out[q * f.pitch + c] = times(z, w[2 * q], w[2 * q + 1]);
          });
    };
    column(to.line, to.a);
    if constexpr (!Real) column(to.line_2, to.b);
  }
}
template <bool Real, class T>
void split(const SplitLine<T>& f, const T* bins, int64_t head, int64_t tail, const Halves<T>& to) {
  with_side(f.A, [&](auto A) { split_columns<Real, A>(f, bins, head, tail, to); });
}

// The other way: bins 0 … count − 1, from both halves of the pieces or, of real ones, from a + i b.
// Two real sequences a, b transformed as a + i b have their spectra in F_k and F_{−k}.
template <bool Real, int A, class T>
SCATCUDA_KERNEL void unite_columns(const SplitLine<T>& f, const Halves<T>& from, int64_t count,
                                   T* bins) {
  using E = Element<T>;
  constexpr int p = pieces<T>, S = 2 * p;
  const int64_t B = f.B;
  const auto column = [&](const E* in, int64_t c, E* line) SCATCUDA_LAMBDA {
    few<A, -1, T>(
        f.factors, [&](int q) SCATCUDA_LAMBDA { return in[q * f.pitch + c]; },
        [&](int a, const E& z) SCATCUDA_LAMBDA { line[a] = z; });
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
    const auto part = [&](int64_t c, const E* g, const E* h, int shift) SCATCUDA_LAMBDA {
      for (int a = 0; a < A && c + B * a < count; ++a) {  // −k is row shift − a of h
        const E u = g[a], v = h[(shift - a) & (A - 1)];
        put(c + B * a, {u.re + v.re, u.im - v.im}, {u.im + v.im, v.re - u.re});
      }
    };
    for (int64_t c = 0; c <= B / 2; ++c) {
      const int64_t d = (B - c) & (B - 1);
      column(from.a, c, from.line);
      if (d == c) {
        part(c, from.line, from.line, c == 0 ? A : A - 1);
        continue;
      }
      column(from.a, d, from.line_2);
      part(c, from.line, from.line_2, A - 1);
      part(d, from.line_2, from.line, A - 1);
    }
  } else {
    for (int64_t c = 0; c < B; ++c) {
      column(from.a, c, from.line);
      column(from.b, c, from.line_2);
      for (int a = 0; a < A && c + B * a < count; ++a) {
        put(c + B * a, from.line[a], from.line_2[a]);
      }
    }
  }
}
template <bool Real, class T>
void unite(const SplitLine<T>& f, const Halves<T>& from, int64_t count, T* bins) {
  with_side(f.A, [&](auto A) { unite_columns<Real, A>(f, from, count, bins); });
}

// --- rows ---

// Points in time: vectors 2 t and 2 t + 1 have the first and the other pieces, together 2 · pieces
// neighbours of each plane.

// Real points -> a + i b, along the rows
template <int B, class T>
SCATCUDA_KERNEL void forward_rows(const SplitLine<T>& f, const Lanes<T>* points,
                                  const Halves<T>& to) {
  for (int64_t q = 0; q < f.A; ++q) {
    Element<T>* x = to.a + q * f.pitch;
    const T* w = f.outer + 2 * B * q;
    few<B, -1, T>(
        f.factors,
        [&](int s) SCATCUDA_LAMBDA {
          const Lanes<T>* u = points + 2 * (q + f.A * s);
          return Element<T>{u[0], u[1]};
        },
        [&](int c, const Element<T>& z)
            SCATCUDA_LAMBDA { x[c] = times(z, w[2 * c], -w[2 * c + 1]); });
  }
}

// Its adjoint
template <int B, class T>
SCATCUDA_KERNEL void inverse_rows(const SplitLine<T>& f, const Halves<T>& from, Lanes<T>* points) {
  for (int64_t q = 0; q < f.A; ++q) {
    const Element<T>* x = from.a + q * f.pitch;
    few<B, 1, T>(
        f.factors, [&](int c) SCATCUDA_LAMBDA { return x[c]; },
        [&](int s, const Element<T>& z) SCATCUDA_LAMBDA {
          Lanes<T>* u = points + 2 * (q + f.A * s);
          u[0] = z.re, u[1] = z.im;
        });
  }
}

// U = |W|, its points where they are wanted, and a + i b along the rows, where more follows
template <int B, class T>
SCATCUDA_KERNEL void modulus_rows(const SplitLine<T>& f, const Halves<T>& of, Lanes<T>* points,
                                  bool further) {
  using E = Element<T>;
  for (int64_t q = 0; q < f.A; ++q) {
    E *x = of.a + q * f.pitch, *y = of.b + q * f.pitch, *line = of.line;
    const T* w = f.outer + 2 * B * q;
    few<B, 1, T>(
        f.factors, [&](int c) SCATCUDA_LAMBDA { return x[c]; },
        [&](int s, const E& z)
            SCATCUDA_LAMBDA { line[s].re = square_root(z.re * z.re + z.im * z.im); });
    few<B, 1, T>(
        f.factors, [&](int c) SCATCUDA_LAMBDA { return y[c]; },
        [&](int s, const E& z)
            SCATCUDA_LAMBDA { line[s].im = square_root(z.re * z.re + z.im * z.im); });
    for (int s = 0; points != nullptr && s < B; ++s) {
      Lanes<T>* u = points + 2 * (q + f.A * s);
      u[0] = line[s].re, u[1] = line[s].im;
    }
    if (!further) continue;
    few<B, -1, T>(
        f.factors, [&](int s) SCATCUDA_LAMBDA { return line[s]; },
        [&](int c, const E& z) SCATCUDA_LAMBDA { x[c] = times(z, w[2 * c], -w[2 * c + 1]); });
  }
}

// Its adjoint: W ← W gU / U, 0 where U is, along the rows. gU is `points` and, where more followed,
// what came back as a + i b in `back`; null where there is none.
template <int B, class T>
SCATCUDA_KERNEL void turn_rows(const SplitLine<T>& f, const Halves<T>& of, const Lanes<T>* points,
                               bool further) {
  using E = Element<T>;
  for (int64_t q = 0; q < f.A; ++q) {
    E *g = of.line, *line = of.line_2;
    const T* w = f.outer + 2 * B * q;
    if (further) {
      const E* back = of.back + q * f.pitch;
      few<B, 1, T>(
          f.factors, [&](int c) SCATCUDA_LAMBDA { return back[c]; },
          [&](int s, const E& z) SCATCUDA_LAMBDA { g[s] = z; });
    }
    for (int s = 0; points != nullptr && s < B; ++s) {
      const Lanes<T>* u = points + 2 * (q + f.A * s);
      g[s] = further ? E{g[s].re + u[0], g[s].im + u[1]} : E{u[0], u[1]};
    }
    const auto half = [&](E* x, auto part) SCATCUDA_LAMBDA {
      few<B, 1, T>(
          f.factors, [&](int c) SCATCUDA_LAMBDA { return x[c]; },
          [&](int s, const E& z) SCATCUDA_LAMBDA {
            const Lanes<T> square = z.re * z.re + z.im * z.im;
            const Lanes<T> sent = decltype(part)::value == 0 ? g[s].re : g[s].im;
            const Lanes<T> turn = square == T(0) ? Lanes<T>{} : sent / square_root(square);
            line[s] = {z.re * turn, z.im * turn};
          });
      few<B, -1, T>(
          f.factors, [&](int s) SCATCUDA_LAMBDA { return line[s]; },
          [&](int c, const E& z) SCATCUDA_LAMBDA { x[c] = times(z, w[2 * c], -w[2 * c + 1]); });
    };
    half(of.a + q * f.pitch, std::integral_constant<int, 0>{});
    half(of.b + q * f.pitch, std::integral_constant<int, 1>{});
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
