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
    SCATCUDA_UNROLL
    for (int a = 0; a < R; ++a) x[a] = source(c + Q * a);
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
    SCATCUDA_UNROLL
    for (int i = 0; i < n; ++i) x[i] = source(i);
    butterfly<n, Sign>(x);
    SCATCUDA_UNROLL
    for (int i = 0; i < n; ++i) target(i, x[i]);
  } else {
    constexpr int R = first_radix(n), Q = n / R;
    alignas(alignment) Element<T> between[n];
    first_pass<R, Sign, T>(n, factors, source, between);
    for (int q = 0; q < R; ++q) {
      Element<T> x[Q];
      SCATCUDA_UNROLL
      for (int c = 0; c < Q; ++c) x[c] = between[q * Q + c];
      butterfly<Q, Sign>(x);
      SCATCUDA_UNROLL
      for (int s = 0; s < Q; ++s) target(q + R * s, x[s]);
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
// f with the constant, or 0 for more
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

// The transforms of lines of n points, chosen once by n: the passes around them are compiled once
// for all n. N is n or, where that is 0, one that is not known here. Where a line is read and where
// its transform goes may be the same place. `room` has n elements.
template <class T>
struct SideTransforms {
  int n = 1;
  const T* const* factors = nullptr;  // by the logarithm of n: w_n^{qc}, see few()
  // points of bins, and bins of points, times w̄
  void (*to_time)(const SideTransforms&, const Element<T>* x, Element<T>* y, Element<T>* room);
  void (*to_bins)(const SideTransforms&, const Element<T>* y, const T* w, Element<T>* x,
                  Element<T>* room);
  // The same with `pitch` from element to element, in place, the points times w
  void (*column_to_time)(const SideTransforms&, Element<T>* x, int64_t pitch, const T* w,
                         Element<T>* room);
  void (*column_to_bins)(const SideTransforms&, Element<T>* x, int64_t pitch, Element<T>* room);
  // |z| of the points z, at u[2 s]; z in the place of x, or left out
  void (*modulus)(const SideTransforms&, Element<T>* x, Lanes<T>* u, Element<T>* room);
  void (*modulus_stays)(const SideTransforms&, Element<T>* x, Lanes<T>* u, Element<T>* room);
  // z g / |z| of the points z, 0 where z is, g at [2 s]
  void (*turn)(const SideTransforms&, const Element<T>* x, const Lanes<T>* g, Element<T>* y,
               Element<T>* room);
};
template <class T>
SCATCUDA_INLINE Element<T> turned(const Element<T>& z, const Lanes<T>& g) {
  const Lanes<T> square = z.re * z.re + z.im * z.im;
  const Lanes<T> by = square == T(0) ? Lanes<T>{} : g / square_root(square);
  return {z.re * by, z.im * by};
}
template <int N, class T>
struct Side {
  using F = SideTransforms<T>;
  using E = Element<T>;

  template <int Sign, class Source, class Target>
  static SCATCUDA_INLINE void transform(const F& f, E* room, Source&& source, Target&& target) {
    if constexpr (N > 0) {
      few<N, Sign, T>(f.factors, source, target);
    } else {
      many<Sign, T>(f.n, f.factors, room, source, target);
    }
  }
  static void to_time(const F& f, const E* x, E* y, E* room) {
    transform<1>(
        f, room, [&](int c) SCATCUDA_LAMBDA { return x[c]; },
        [&](int s, const E& z) SCATCUDA_LAMBDA { y[s] = z; });
  }
  static void to_bins(const F& f, const E* y, const T* w, E* x, E* room) {
    transform<-1>(
        f, room, [&](int s) SCATCUDA_LAMBDA { return y[s]; },
        [&](int c, const E& z) SCATCUDA_LAMBDA { x[c] = times(z, w[2 * c], -w[2 * c + 1]); });
  }
  static void column_to_time(const F& f, E* x, int64_t pitch, const T* w, E* room) {
    transform<1>(
        f, room, [&](int a) SCATCUDA_LAMBDA { return x[a * pitch]; },
        [&](int q, const E& z)
            SCATCUDA_LAMBDA { x[q * pitch] = times(z, w[2 * q], w[2 * q + 1]); });
  }
  static void column_to_bins(const F& f, E* x, int64_t pitch, E* room) {
    transform<-1>(
        f, room, [&](int q) SCATCUDA_LAMBDA { return x[q * pitch]; },
        [&](int a, const E& z) SCATCUDA_LAMBDA { x[a * pitch] = z; });
  }
  template <bool Stays>
  static void modulus(const F& f, E* x, Lanes<T>* u, E* room) {
    transform<1>(
        f, room, [&](int c) SCATCUDA_LAMBDA { return x[c]; },
        [&](int s, const E& z) SCATCUDA_LAMBDA {
          u[2 * s] = square_root(z.re * z.re + z.im * z.im);
          if constexpr (Stays) x[s] = z;
        });
  }
  static void turn(const F& f, const E* x, const Lanes<T>* g, E* y, E* room) {
    transform<1>(
        f, room, [&](int c) SCATCUDA_LAMBDA { return x[c]; },
        [&](int s, const E& z) SCATCUDA_LAMBDA { y[s] = turned<T>(z, g[2 * s]); });
  }
};
template <class T>
SideTransforms<T> side_transforms(int n, const T* const* factors) {
  SideTransforms<T> f;
  f.n = n, f.factors = factors;
  with_side(n, [&](auto N) {
    using Own = Side<decltype(N)::value, T>;
    f.to_time = Own::to_time, f.to_bins = Own::to_bins;
    f.column_to_time = Own::column_to_time, f.column_to_bins = Own::column_to_bins;
    f.modulus = Own::template modulus<false>, f.modulus_stays = Own::template modulus<true>;
    f.turn = Own::turn;
  });
  return f;
}

// Room for lines of the passes
template <class T>
struct LineRoom {
  Element<T>*first, *second, *third;
};

// What is fixed for lines of P points
template <class T>
struct SplitLine {
  int64_t P = 0, M = 0, pitch = 0;
  int A = 1, B = 1;
  SideTransforms<T> down, along;  // of the A points of a column, of the B of a row
  const T* turn = nullptr;        // w_P^{mk} at [block of k < M][m > 0][2][pieces]; few points:
                                  // at [k < P][2][m]
  const T* inner = nullptr;       // w_M^{cq} at [c][q][2]
  const T* outer = nullptr;       // at [q][c][2]

  int64_t elements() const { return A * pitch; }  // of a buffer
  bool few() const { return M < pieces<T>; }      // points, for blocks of k
};

// --- columns: bins in, bins out ---

// The transforms over the rows of `pieces` columns, in place
template <class T>
SCATCUDA_INLINE void columns_to_time(const SplitLine<T>& f, int64_t first, Element<T>* x,
                                     const LineRoom<T>& lines) {
  for (int64_t c = first; f.A > 1 && c < first + pieces<T>; ++c) {
    f.down.column_to_time(f.down, x + c, f.pitch, f.inner + 2 * f.A * c, lines.third);
  }
}
template <class T>
SCATCUDA_INLINE void columns_to_bins(const SplitLine<T>& f, int64_t first, Element<T>* x,
                                     const LineRoom<T>& lines) {
  for (int64_t c = first; f.A > 1 && c < first + pieces<T>; ++c) {
    f.down.column_to_bins(f.down, x + c, f.pitch, lines.third);
  }
}

// y_m = Σ_r x_r w_S^{mr} over r < R, all that there are
template <int R, int S, class E>
SCATCUDA_INLINE void widen(const E* x, E* y) {
  using T = Scalar<decltype(x->re)>;
  if constexpr (R == S) {
    SCATCUDA_UNROLL
    for (int r = 0; r < S; ++r) y[r] = x[r];
    butterfly<S, 1>(y);
  } else {
    E turned[R], even[S / 2], odd[S / 2];
    unroll<R>([&](auto r_) SCATCUDA_LAMBDA {
      constexpr int r = decltype(r_)::value;
      constexpr T c = static_cast<T>(trig::cosine(r, S)), s = static_cast<T>(trig::sine(r, S));
      turned[r] = r == 0 ? x[0] : 4 * r == S ? times_i<1>(x[r]) : times(x[r], c, s);
    });
    widen<R, S / 2>(x, even);
    widen<R, S / 2>(turned, odd);
    SCATCUDA_UNROLL
    for (int m = 0; m < S / 2; ++m) y[2 * m] = even[m], y[2 * m + 1] = odd[m];
  }
}
// Its adjoint
template <int R, int S, class E>
SCATCUDA_INLINE void narrow(const E* y, E* x) {
  using T = Scalar<decltype(x->re)>;
  if constexpr (R == S) {
    SCATCUDA_UNROLL
    for (int r = 0; r < S; ++r) x[r] = y[r];
    butterfly<S, -1>(x);
  } else {
    E even[S / 2], odd[S / 2], turned[R];
    SCATCUDA_UNROLL
    for (int m = 0; m < S / 2; ++m) even[m] = y[2 * m], odd[m] = y[2 * m + 1];
    narrow<R, S / 2>(even, x);
    narrow<R, S / 2>(odd, turned);
    unroll<R>([&](auto r_) SCATCUDA_LAMBDA {
      constexpr int r = decltype(r_)::value;
      constexpr T c = static_cast<T>(trig::cosine(r, S)), s = static_cast<T>(-trig::sine(r, S));
      x[r] = x[r] + (r == 0       ? turned[0]
                     : 4 * r == S ? times_i<-1>(turned[r])
                                  : times(turned[r], c, s));
    });
  }
}
// f with the least of 1, 2, … S that is not below n
template <int S, int R = 1, class F>
SCATCUDA_INLINE void with_legs(int64_t n, F&& f) {
  if constexpr (R == S) {
    f(std::integral_constant<int, S>{});
  } else {
    n <= R ? f(std::integral_constant<int, R>{}) : with_legs<S, 2 * R>(n, f);
  }
}

// The blocks of bins that lie M apart -> the pieces of both halves at `pieces` neighbours k < M
template <int R, class T, class Bins>
SCATCUDA_INLINE void bins_to_pieces(const T* turn, Bins&& bins, Element<T>* first,
                                    Element<T>* second) {
  constexpr int p = pieces<T>, S = 2 * p;
  Element<T> x[R], y[S];
  SCATCUDA_UNROLL
  for (int r = 0; r < R; ++r) x[r] = bins(r);
  widen<R, S>(x, y);
  Lanes<T> re[S], im[S];
  unroll<S>([&](auto m_) SCATCUDA_LAMBDA {
    constexpr int m = decltype(m_)::value;
    if constexpr (m > 0) {
      const T* w = turn + (m - 1) * S;
      y[m] = times(y[m], spread_pieces(w), spread_pieces(w + p));
    }
    re[m] = y[m].re, im[m] = y[m].im;
  });
  turn_pieces<T>(re), turn_pieces<T>(im), turn_pieces<T>(re + p), turn_pieces<T>(im + p);
  SCATCUDA_UNROLL
  for (int i = 0; i < p; ++i) first[i] = {re[i], im[i]}, second[i] = {re[p + i], im[p + i]};
}
// Its adjoint
template <int R, class T, class Bins>
SCATCUDA_INLINE void pieces_to_bins(const T* turn, const Element<T>* first,
                                    const Element<T>* second, Bins&& bins) {
  constexpr int p = pieces<T>, S = 2 * p;
  Lanes<T> re[S], im[S];
  SCATCUDA_UNROLL
  for (int i = 0; i < p; ++i)
    re[i] = first[i].re, im[i] = first[i].im, re[p + i] = second[i].re, im[p + i] = second[i].im;
  turn_pieces<T>(re), turn_pieces<T>(im), turn_pieces<T>(re + p), turn_pieces<T>(im + p);
  Element<T> x[R], y[S];
  unroll<S>([&](auto m_) SCATCUDA_LAMBDA {
    constexpr int m = decltype(m_)::value;
    y[m] = {re[m], im[m]};
    if constexpr (m > 0) {
      const T* w = turn + (m - 1) * S;
      y[m] = times(y[m], spread_pieces(w), -spread_pieces(w + p));
    }
  });
  narrow<R, S>(y, x);
  SCATCUDA_UNROLL
  for (int r = 0; r < R; ++r) bins(r, x[r]);
}

// Both halves of a real plane are a + i b, x of the bins k and y of −k: a twice, and b twice.
template <class E>
SCATCUDA_INLINE void part(const E& x, const E& y, E& a, E& b) {
  a = {x.re + y.re, x.im - y.im}, b = {x.im + y.im, y.re - x.re};
}

// By the definition, of lines of few points: both halves of all k < M
template <class T>
SCATCUDA_KERNEL void split_few(const SplitLine<T>& f, const Element<T>* bins, int64_t head,
                               int64_t tail, Element<T>* a, Element<T>* b) {
  constexpr int p = pieces<T>, W = full_lanes<T>, S = 2 * p;
  std::fill_n(a, f.M, Element<T>{}), std::fill_n(b, f.M, Element<T>{});
  for (int64_t block = 0; block < f.P / p; ++block) {
    if (block >= head && block < tail) continue;
    unroll<p>([&](auto i) SCATCUDA_LAMBDA {
      using Lane = arrange::Same<p, decltype(i)::value>;
      const Element<T>& x = bins[block];
      const Element<T> z{arrange::shuffle<Lane, W>(x.re, x.re),
                         arrange::shuffle<Lane, W>(x.im, x.im)};
      const int64_t bin = p * block + i, k = bin & (f.M - 1);
      const T* w = f.turn + 2 * S * bin;
      a[k] = a[k] + times(z, spread_pieces(w), spread_pieces(w + S));
      b[k] = b[k] + times(z, spread_pieces(w + p), spread_pieces(w + S + p));
    });
  }
}
template <class T>
SCATCUDA_KERNEL void unite_few(const SplitLine<T>& f, const Element<T>* a, const Element<T>* b,
                               int64_t count, Element<T>* bins) {
  constexpr int p = pieces<T>, S = 2 * p;
  for (int64_t block = 0; block < count; ++block) {
    Lanes<T> re[p], im[p];
    SCATCUDA_UNROLL
    for (int i = 0; i < p; ++i) {
      const int64_t bin = p * block + i, k = bin & (f.M - 1);
      const T* w = f.turn + 2 * S * bin;
      const Element<T> z = times(a[k], spread_pieces(w), -spread_pieces(w + S)) +
                           times(b[k], spread_pieces(w + p), -spread_pieces(w + S + p));
      re[i] = z.re, im[i] = z.im;
    }
    bins[block] = {gather_pieces<T>(re), gather_pieces<T>(im)};
  }
}

// Blocks 0 … head − 1 and tail … of bins, of which there are P / pieces. Into both halves of the
// pieces, a and b, or, of a spectrum of real points, into a + i b.
template <bool Real, class T>
SCATCUDA_KERNEL void split_columns(const SplitLine<T>& f, const Element<T>* bins, int64_t head,
                                   int64_t tail, Element<T>* half_a, Element<T>* half_b,
                                   const LineRoom<T>& lines) {
  using E = Element<T>;
  constexpr int p = pieces<T>, S = 2 * p;
  const int64_t apart = f.M / p, total = f.P / p;
  for (int64_t c = 0; c < f.B; c += p) {
    for (int a = 0; a < f.A; ++a) {
      const int64_t k = (c + int64_t{a} * f.B) / p;
      const T* turn = f.turn + k * (S - 1) * S;
      E first[p], second[p];
      const int64_t legs = tail < total ? S : ceil_div(head - k, apart);
      with_legs<S>(legs, [&](auto R) SCATCUDA_LAMBDA {
        bins_to_pieces<decltype(R)::value>(
            turn,
            [&](auto r) SCATCUDA_LAMBDA {
              const int64_t block = k + r * apart;
              return block < head || block >= tail ? bins[block] : E{};
            },
            first, second);
      });
      const int64_t at = a * f.pitch + c;
      SCATCUDA_UNROLL
      for (int i = 0; i < p; ++i) {
        if constexpr (Real) {
          half_a[at + i] = {first[i].re - second[i].im, first[i].im + second[i].re};
        } else {
          half_a[at + i] = first[i], half_b[at + i] = second[i];
        }
      }
    }
    columns_to_time(f, c, half_a, lines);
    if constexpr (!Real) columns_to_time(f, c, half_b, lines);
  }
}
template <bool Real, class T>
void split(const SplitLine<T>& f, const Element<T>* bins, int64_t head, int64_t tail, Element<T>* a,
           Element<T>* b, const LineRoom<T>& lines) {
  if (!f.few()) {
    split_columns<Real>(f, bins, head, tail, a, b, lines);
    return;
  }
  if constexpr (Real) b = lines.first;
  split_few(f, bins, head, tail, a, b);
  for (int64_t k = 0; Real && k < f.M; ++k) a[k] = a[k] + times_i<1>(b[k]);
}

// The other way: blocks 0 … count − 1 of bins, from both halves of the pieces or, of real ones,
// from a + i b. The halves do not stay what they are.
template <bool Real, class T>
SCATCUDA_KERNEL void unite_columns(const SplitLine<T>& f, Element<T>* half_a, Element<T>* half_b,
                                   int64_t count, Element<T>* bins, const LineRoom<T>& lines) {
  using E = Element<T>;
  constexpr int p = pieces<T>, S = 2 * p;
  const int64_t apart = f.M / p, A = f.A, B = f.B;
  for (int64_t c = 0; Real && c < B; c += p) columns_to_bins(f, c, half_a, lines);
  for (int64_t c = 0; c < B; c += p) {
    if constexpr (!Real) {
      columns_to_bins(f, c, half_a, lines);
      columns_to_bins(f, c, half_b, lines);
    }
    for (int64_t a = 0; a < A; ++a) {
      const int64_t k = (c + a * B) / p;
      if (k >= count) break;
      E first[p], second[p];
      const E* x = half_a + a * f.pitch + c;
      if constexpr (Real) {
        // −k is in column B − c, one row less far from the other end but for those of column 0
        const E* y = half_a + (A - 1 - a) * f.pitch + B - c;
        const E* y0 = c > 0 ? y : half_a + ((A - a) & (A - 1)) * f.pitch;
        SCATCUDA_UNROLL
        for (int i = 0; i < p; ++i) part(x[i], i == 0 ? *y0 : y[-i], first[i], second[i]);
      } else {
        const E* y = half_b + a * f.pitch + c;
        SCATCUDA_UNROLL
        for (int i = 0; i < p; ++i) first[i] = x[i], second[i] = y[i];
      }
      with_legs<S>(ceil_div(count - k, apart), [&](auto R) SCATCUDA_LAMBDA {
        pieces_to_bins<decltype(R)::value>(
            f.turn + k * (S - 1) * S, first, second, [&](auto r, const E& z) SCATCUDA_LAMBDA {
              const int64_t block = k + r * apart;
              if (block >= count) return;
              bins[block] = Real ? E{z.re * T(0.5), z.im * T(0.5)} : z;
            });
      });
    }
  }
}
template <bool Real, class T>
void unite(const SplitLine<T>& f, Element<T>* a, Element<T>* b, int64_t count, Element<T>* bins,
           const LineRoom<T>& lines) {
  if (!f.few()) {
    unite_columns<Real>(f, a, b, count, bins, lines);
    return;
  }
  if constexpr (Real) {
    b = lines.second;
    for (int64_t k = 0; k < f.M; ++k) {
      lines.first[k] = a[k];
    }
    for (int64_t k = 0; k < f.M; ++k) {
      part(lines.first[k], lines.first[(f.M - k) & (f.M - 1)], a[k], b[k]);
      a[k] = {a[k].re * T(0.5), a[k].im * T(0.5)}, b[k] = {b[k].re * T(0.5), b[k].im * T(0.5)};
    }
  }
  unite_few(f, a, b, count, bins);
}

// --- rows ---

// Points in time: vectors 2 t and 2 t + 1 have the first and the other pieces, together 2 · pieces
// neighbours of each plane.

// Real points -> a + i b, along the rows
template <class T>
SCATCUDA_KERNEL void forward_rows(const SplitLine<T>& f, const Lanes<T>* points, Element<T>* to,
                                  const LineRoom<T>& lines) {
  Element<T>* line = lines.first;
  for (int64_t q = 0; q < f.A; ++q) {
    for (int s = 0; s < f.B; ++s) {
      const Lanes<T>* u = points + 2 * (q + f.A * s);
      line[s] = {u[0], u[1]};
    }
    f.along.to_bins(f.along, line, f.outer + 2 * f.B * q, to + q * f.pitch, lines.third);
  }
}

// Its adjoint
template <class T>
SCATCUDA_KERNEL void inverse_rows(const SplitLine<T>& f, const Element<T>* from, Lanes<T>* points,
                                  const LineRoom<T>& lines) {
  Element<T>* line = lines.first;
  for (int64_t q = 0; q < f.A; ++q) {
    f.along.to_time(f.along, from + q * f.pitch, line, lines.third);
    for (int s = 0; s < f.B; ++s) {
      Lanes<T>* u = points + 2 * (q + f.A * s);
      u[0] = line[s].re, u[1] = line[s].im;
    }
  }
}

// U = |W|, its points, and a + i b along the rows, in the place of a or elsewhere; null where it is
// not wanted. The halves of W may be left in time, in their place.
template <class T>
SCATCUDA_KERNEL void modulus_rows(const SplitLine<T>& f, Element<T>* a, Element<T>* b, bool stay,
                                  Lanes<T>* points, Element<T>* to, const LineRoom<T>& lines) {
  Element<T>* line = lines.first;
  const auto modulus = stay ? f.along.modulus_stays : f.along.modulus;
  for (int64_t q = 0; q < f.A; ++q) {
    modulus(f.along, a + q * f.pitch, &line[0].re, lines.third);
    modulus(f.along, b + q * f.pitch, &line[0].im, lines.third);
    for (int s = 0; points != nullptr && s < f.B; ++s) {
      Lanes<T>* u = points + 2 * (q + f.A * s);
      u[0] = line[s].re, u[1] = line[s].im;
    }
    if (to == nullptr) continue;
    f.along.to_bins(f.along, line, f.outer + 2 * f.B * q, to + q * f.pitch, lines.third);
  }
}

// W in time as it is, to a place of each plane and back: of each of them the parts re and im
template <class T>
SCATCUDA_KERNEL void stored_rows(const SplitLine<T>& f, const Element<T>* a, const Element<T>* b,
                                 T* const* re, T* const* im, const LineRoom<T>& lines) {
  constexpr int p = pieces<T>, W = full_lanes<T>;
  Element<T>* line = lines.first;
  for (int64_t q = 0; q < f.A; ++q) {
    for (int half = 0; half < 2; ++half) {
      f.along.to_time(f.along, (half == 0 ? a : b) + q * f.pitch, line, lines.third);
      for (int s = 0; s < f.B; ++s) {
        const int64_t at = 2 * p * (q + f.A * s) + half * p;
        store_slots<W, beside<T>>(re, at, line[s].re);
        store_slots<W, beside<T>>(im, at, line[s].im);
      }
    }
  }
}
// Its adjoint
template <class T>
SCATCUDA_KERNEL void stored_rows_adjoint(const SplitLine<T>& f, T* const* re, T* const* im,
                                         Element<T>* a, Element<T>* b, const LineRoom<T>& lines) {
  constexpr int p = pieces<T>, W = full_lanes<T>;
  Element<T>* line = lines.first;
  for (int64_t q = 0; q < f.A; ++q) {
    for (int half = 0; half < 2; ++half) {
      for (int s = 0; s < f.B; ++s) {
        const int64_t at = 2 * p * (q + f.A * s) + half * p;
        line[s] = {load_slots<W, beside<T>>(re, at), load_slots<W, beside<T>>(im, at)};
      }
      f.along.to_bins(f.along, line, f.outer + 2 * f.B * q, (half == 0 ? a : b) + q * f.pitch,
                      lines.third);
    }
  }
}

// U of what is in time already
template <class T>
SCATCUDA_KERNEL void points_of_rows(const SplitLine<T>& f, const Element<T>* a, const Element<T>* b,
                                    Lanes<T>* points) {
  const auto size = [](const Element<T>& z)
                        SCATCUDA_LAMBDA { return square_root(z.re * z.re + z.im * z.im); };
  for (int64_t q = 0; q < f.A; ++q) {
    for (int s = 0; s < f.B; ++s) {
      Lanes<T>* u = points + 2 * (q + f.A * s);
      u[0] = size(a[q * f.pitch + s]), u[1] = size(b[q * f.pitch + s]);
    }
  }
}

// The adjoint of modulus_rows: W ← W gU / U, 0 where U is, along the rows. W may have stayed in
// time. gU is `points` and what came `back` of a + i b; one of them may be null.
template <class T>
SCATCUDA_KERNEL void turn_rows(const SplitLine<T>& f, Element<T>* a, Element<T>* b, bool stayed,
                               const Lanes<T>* points, const Element<T>* back,
                               const LineRoom<T>& lines) {
  using E = Element<T>;
  E *g = lines.first, *line = lines.second;
  for (int64_t q = 0; q < f.A; ++q) {
    if (back != nullptr) f.along.to_time(f.along, back + q * f.pitch, g, lines.third);
    for (int s = 0; points != nullptr && s < f.B; ++s) {
      const Lanes<T>* u = points + 2 * (q + f.A * s);
      g[s] = back != nullptr ? E{g[s].re + u[0], g[s].im + u[1]} : E{u[0], u[1]};
    }
    for (int half = 0; half < 2; ++half) {
      E* x = (half == 0 ? a : b) + q * f.pitch;
      const Lanes<T>* sent = &g[0].re + half;
      if (stayed) {
        for (int s = 0; s < f.B; ++s) line[s] = turned<T>(x[s], sent[2 * s]);
      } else {
        f.along.turn(f.along, x, sent, line, lines.third);
      }
      f.along.to_bins(f.along, line, f.outer + 2 * f.B * q, x, lines.third);
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
  while (4 * int64_t{f.A} * f.A <= f.M && 2 * pieces<T> * f.A <= f.M) f.A *= 2;
  f.B = static_cast<int>(f.M / f.A);
  f.pitch = f.B + 1;
  return f;
}

template <class T>
SplitLine<T> split_line(int64_t P, const T* const* factors, Arena& arena) {
  constexpr int p = pieces<T>, S = 2 * p;
  SplitLine<T> f = split_shape<T>(P);
  f.down = side_transforms(f.A, factors), f.along = side_transforms(f.B, factors);
  const Turns turns(P, arena);
  T* turn = arena.take<T>(f.few() ? 2 * S * P : f.M / p * (S - 1) * S);
  T *inner = arena.take<T>(2 * f.M), *outer = arena.take<T>(2 * f.M);
  f.turn = turn, f.inner = inner, f.outer = outer;
  if (turn == nullptr) return f;
  const auto put = [](const Complex<double>& z, T* re, T* im) {
    *re = static_cast<T>(z.re), *im = static_cast<T>(z.im);
  };
  for (int64_t k = 0; k < (f.few() ? P : 0); ++k) {
    for (int m = 0; m < S; ++m) put(turns(m * k), turn + 2 * S * k + m, turn + 2 * S * k + S + m);
  }
  using Doubles = Vector<double, p>;
  const auto store_as_t = [](T* to, const Doubles& v) SCATCUDA_LAMBDA {
    store(to, __builtin_convertvector(v, Vector<T, p>));
  };
  for (int64_t k = 0; k < (f.few() ? 0 : f.M); k += p) {
    double re[p], im[p];
    for (int i = 0; i < p; ++i) {
      const Complex<double> z = turns(k + i);
      re[i] = z.re, im[i] = z.im;
    }
    const Complex<Doubles> w{load<p>(re), load<p>(im)};
    Complex<Doubles> power = w;
    T* to = turn + k / p * (S - 1) * S;
    for (int m = 1; m < S; ++m, to += S, power = times(power, w.re, w.im)) {
      store_as_t(to, power.re), store_as_t(to + p, power.im);
    }
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
