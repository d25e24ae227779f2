// Means of products of planes, mean U_a conj U_b, and the adjoint. Without weights they are scalar
// products over the points. With weights ψ̂ over Fourier bins they are taken there, by Parseval,
//
//   C = Σ_k Û_a(k) conj Û_b(k) ψ̂(k) e^{−2πi k·h/side} / points²,    side: the signal's,
//
// of real planes (a complex one is two of them), whose bins k and −k are taken together: with
// z = Û_a conj Û_b, that of −k is conj z, and the sum over half a plane is
//
//   Σ (ψ̂(k) + ψ̂(−k)) Re z + i (ψ̂(k) − ψ̂(−k)) Im z.
//
// Twins: reference._products, reference._weighted_products.
#pragma once

#include "group.h"

namespace scatcuda {
inline namespace SCATCUDA_ISA {

// The half of a set's bins that carry weight, as entries: columns (k1, k2), |k1| ≤ reach and
// 0 ≤ k2 ≤ reach, and in each the rows 0 … reach and −reach … −1 of the first axis. Where a side is
// even, ±side/2 both are there: finer planes may tell them apart, and ψ̂ belongs to −side/2.
template <class T>
struct Weights {
  Grid grid{};
  int64_t reach[3] = {};  // of the first, middle and last axis
  int64_t filters = 0;
  int64_t apart = 0;  // numbers from one part of one filter to the next
  T* table = nullptr;

  // Numbers of the table, whatever the filters keep
  static int64_t most_numbers(const Grid& g, int64_t filters) {
    const auto all = [](int64_t side) { return side / 2 * 2 + 1; };
    const int64_t entries = all(g.first) * all(g.middle) * (g.last / 2 + 1);
    return 2 * filters * round_up(entries + full_lanes<T>, full_lanes<T>);
  }

  int64_t rows() const { return 2 * reach[0] + 1; }
  int64_t columns() const { return (2 * reach[1] + 1) * (reach[2] + 1); }

  void take_box(const Grid& g, int64_t count, const int64_t* const (&ends)[3]) {
    grid = g, filters = count;
    const int64_t sides[] = {g.first, g.middle, g.last};
    for (int axis = 0; axis < 3; ++axis) {
      const int64_t head = ends[axis][0], tail = ends[axis][1], side = sides[axis];
      reach[axis] = max(0, min(side / 2, max(head - 1, side - tail)));
    }
    apart = round_up(rows() * columns() + full_lanes<T>, full_lanes<T>);
  }

  // f(entry, k1, k2, k0, rows): the runs of rows from k0 on that entries [first, last) consist of
  template <class F>
  void runs(int64_t first, int64_t last, F&& f) const {
    const int64_t n = rows(), middles = 2 * reach[1] + 1;
    for (int64_t e = first; e < last;) {
      const int64_t column = e / n, row = e % n, k1 = column % middles;
      const int64_t end = min(last, column * n + (row <= reach[0] ? reach[0] + 1 : n));
      f(e, k1 <= reach[1] ? k1 : k1 - middles, column / middles, row <= reach[0] ? row : row - n,
        end - e);
      e = end;
    }
  }

  static bool holds(int64_t k, int64_t side) { return -(side / 2) <= k && k < (side + 1) / 2; }
  // Where ψ̂(k) of the first filter is in the box; −1 where it is not, or k is no bin of the set
  int64_t place(const Box<T>& box, int64_t k0, int64_t k1, int64_t k2) const {
    if (!holds(k0, grid.first) || !holds(k1, grid.middle) || !holds(k2, grid.last)) return -1;
    const auto at = [](const int64_t* ends, int64_t k, int64_t side) {
      return place_of(ends, k < 0 ? k + side : k);
    };
    const int64_t c2 = at(box.ends[2], k2, grid.last), c1 = at(box.ends[1], k1, grid.middle);
    const int64_t c0 = at(box.ends[0], k0, grid.first);
    if (c0 < 0 || c1 < 0 || c2 < 0) return -1;
    const auto kept = [](const int64_t* ends, int64_t side) { return side - ends[1] + ends[0]; };
    const int64_t middles = kept(box.ends[1], grid.middle);
    return ((c2 * middles + c1) * kept(box.ends[0], grid.first) + c0) * box.lanes;
  }

  // The table's columns [first, last): for each filter ψ̂(k) + ψ̂(−k), then ψ̂(k) − ψ̂(−k)
  void fill(const Box<T>& box, int64_t first, int64_t last) const {
    const T scale = static_cast<T>(points_of(grid));  // by which tables are divided
    runs(first * rows(), last * rows(),
         [&](int64_t e, int64_t k1, int64_t k2, int64_t k0, int64_t count) {
           for (int64_t i = 0; i < count; ++i) {
             const int64_t here = place(box, k0 + i, k1, k2);
             const int64_t there = k2 > 0 ? place(box, -k0 - i, -k1, -k2) : -1;
             for (int64_t f = 0; f < filters; ++f) {
               const T a = here < 0 ? T(0) : scale * box.psi[here + f];
               const T b = there < 0 ? T(0) : scale * box.psi[there + f];
               table[2 * f * apart + e + i] = a + b;
               table[(2 * f + 1) * apart + e + i] = a - b;
             }
           }
         });
    if (last < columns()) return;
    for (int64_t part = 0; part < 2 * filters; ++part) {
      for (int64_t e = rows() * columns(); e < apart; ++e) table[part * apart + e] = 0;
    }
  }
};

// sums[2 f], sums[2 f + 1] += Σ s_f Re z, Σ d_f Im z over n entries, z = a conj b; `half` numbers
// on are imaginary parts
template <int F, class T>
SCATCUDA_KERNEL void correlate(const T* a, const T* b, int64_t half, const T* weights,
                               int64_t apart, int64_t n, T* sums) {
  constexpr int W = full_lanes<T>;
  using V = Vector<T, W>;
  V re[F], im[F];
  SCATCUDA_UNROLL
  for (int f = 0; f < F; ++f) re[f] = V{}, im[f] = V{};
  for (int64_t i = 0; i < n; i += W) {
    const V a_re = held(load<W>(a + i)), a_im = held(load<W>(a + half + i));
    const V b_re = held(load<W>(b + i)), b_im = held(load<W>(b + half + i));
    const V z_re = a_re * b_re + a_im * b_im, z_im = a_im * b_re - a_re * b_im;
    SCATCUDA_UNROLL
    for (int f = 0; f < F; ++f) {
      re[f] += z_re * load<W>(weights + 2 * f * apart + i);
      im[f] += z_im * load<W>(weights + (2 * f + 1) * apart + i);
    }
  }
  SCATCUDA_UNROLL
  for (int f = 0; f < F; ++f) {
    T sum = 0, sum_im = 0;
    for (int l = 0; l < W; ++l) sum += re[f][l], sum_im += im[f][l];
    sums[2 * f] += sum, sums[2 * f + 1] += sum_im;
  }
}

// What the gradients g [F][2] of these sums send back to a and to b, added there
template <int F, class T>
SCATCUDA_KERNEL void correlate_adjoint(const T* a, const T* b, int64_t half, const T* weights,
                                       int64_t apart, int64_t n, const T* g, T* to_a, T* to_b) {
  constexpr int W = full_lanes<T>;
  using V = Vector<T, W>;
  for (int64_t i = 0; i < n; i += W) {
    V re{}, im{};
    SCATCUDA_UNROLL
    for (int f = 0; f < F; ++f) {
      re += g[2 * f] * load<W>(weights + 2 * f * apart + i);
      im += g[2 * f + 1] * load<W>(weights + (2 * f + 1) * apart + i);
    }
    const V a_re = load<W>(a + i), a_im = load<W>(a + half + i);
    const V b_re = load<W>(b + i), b_im = load<W>(b + half + i);
    store(to_a + i, load<W>(to_a + i) + (re * b_re - im * b_im));
    store(to_a + half + i, load<W>(to_a + half + i) + (re * b_im + im * b_re));
    store(to_b + i, load<W>(to_b + i) + (re * a_re + im * a_im));
    store(to_b + half + i, load<W>(to_b + half + i) + (re * a_im - im * a_re));
  }
}

// f(first filter, constant number of filters) for filters up to four at a time
template <class F>
SCATCUDA_INLINE void by_fours(int64_t filters, F&& f) {
  int64_t first = 0;
  for (; first + 4 <= filters; first += 4) f(first, std::integral_constant<int, 4>{});
  switch (filters - first) {
    case 3:
      return f(first, std::integral_constant<int, 3>{});
    case 2:
      return f(first, std::integral_constant<int, 2>{});
    case 1:
      return f(first, std::integral_constant<int, 1>{});
    default:
      return;
  }
}

template <class T>
struct Pair {
  struct Side {
    Planes<T> planes;
    HalfSpectra<T> spectra;
  };
  const Step& step;
  const Grid& signal;         // of whose samples shifts are, with weights
  const Weights<T>* weights;  // null without
  Box<T> filters;
  Side a, b;
  T* room;  // pair_numbers

  int64_t filter_count() const { return weights == nullptr ? 1 : weights->filters; }
  int64_t shift_count() const { return max(1, step.shifts); }
  int64_t place(int64_t pair, int64_t f, int64_t shift) const {
    return ((pair * filter_count() + f) * shift_count() + shift) * step.parts;
  }
  int64_t numbers() const { return step.pairs * filter_count() * shift_count() * step.parts; }

  void run(T* S) const {
    if (weights != nullptr) return run_weighted(S);
    const int64_t count = a.planes.points;
    const T scale = T(1) / static_cast<T>(count);
    T* turned = room;
    for (int64_t shift = 0; shift < shift_count(); ++shift) {
      int64_t there = -1;
      for (int64_t i = 0; i < step.pairs; ++i) {
        const int64_t* pair = step.pair + 2 * i;
        if (pair[1] != there) turn_plane(there = pair[1], shift, turned);
        const bool real = a.planes.parts == 1;
        const T *re = a.planes.of(pair[0], 0), *im = re + count;
        T* to = S + place(i, 0, shift);
        to[0] = scale * (dot(re, turned, count) + (real ? T(0) : dot(im, turned + count, count)));
        if (step.parts == 2) {
          to[1] = scale * ((real ? T(0) : dot(im, turned, count)) - dot(re, turned + count, count));
        }
      }
    }
  }

  // Adds to the gradients of the planes
  void run_adjoint(const T* gS, const Planes<T>& grad_a, const Planes<T>& grad_b) const {
    const T scale = T(1) / static_cast<T>(a.planes.points);
    for (int64_t shift = 0; shift < shift_count(); ++shift) {
      for (int64_t i = 0; i < step.pairs; ++i) {
        const T* from = gS + place(i, 0, shift);
        const int64_t* pair = step.pair + 2 * i;
        const T re = from[0] * scale, im = (step.parts == 2 ? from[1] : T(0)) * scale;
        for_points(shift, [&](int64_t u, int64_t v) {
          const auto at = [](const Planes<T>& planes, int64_t k, int64_t place) {
            return Complex<T>{planes.of(k, 0)[place],
                              planes.parts == 2 ? planes.of(k, 1)[place] : T(0)};
          };
          const auto add = [](const Planes<T>& planes, int64_t k, int64_t place, Complex<T> z) {
            planes.of(k, 0)[place] += z.re;
            if (planes.parts == 2) planes.of(k, 1)[place] += z.im;
          };
          add(grad_a, pair[0], u, times(at(b.planes, pair[1], v), re, im));
          add(grad_b, pair[1], v, times(at(a.planes, pair[0], u), re, -im));
        });
      }
    }
  }

  // The same with weights, of columns [first, last) of their entries: adds to the gradients of the
  // spectra and, where it is wanted, of the set
  void run_weighted_adjoint(const T* gS, const HalfSpectra<T>& to_a, const HalfSpectra<T>& to_b,
                            T* grad_psi, int64_t first, int64_t last) const {
    const Blocks on(*this);
    const int64_t rows = weights->rows();
    for (int64_t e = first * rows; e < last * rows; e += on.length) {
      const int64_t end = min(e + on.length, last * rows);
      on.gather(a.spectra, e, end, on.of_a), on.gather(b.spectra, e, end, on.of_b);
      on.clear(on.back_a, a.spectra.count), on.clear(on.back_b, b.spectra.count);
      for (int64_t shift = 0; shift < shift_count(); ++shift) {
        const T* of_b = on.turned(shift, e, end);
        T* back_b = of_b == on.of_b ? on.back_b : on.back_turned;
        if (of_b != on.of_b) on.clear(back_b, b.spectra.count);
        each_pair([&](int64_t i, int64_t x, int64_t y, int turns) {
          by_fours(filter_count(), [&](int64_t f, auto count) {
            T g[2 * decltype(count)::value];
            for (int64_t k = 0; k < count; ++k)
              part_of_gradient(gS, i, f + k, shift, turns, g + 2 * k);
            correlate_adjoint<decltype(count)::value>(on.at(on.of_a, x), on.at(of_b, y), on.length,
                                                      weights->table + 2 * f * weights->apart + e,
                                                      weights->apart, end - e, g,
                                                      on.at(on.back_a, x), on.at(back_b, y));
          });
          if (grad_psi != nullptr) {
            filter_gradient(gS, i, shift, turns, on.at(on.of_a, x), on.at(of_b, y), on.length, e,
                            end, grad_psi);
          }
        });
        if (of_b != on.of_b) on.turn_back(shift, e, end);
      }
      on.scatter(to_a, e, end, on.back_a), on.scatter(to_b, e, end, on.back_b);
    }
  }

 private:
  // Entries, some at a time, of the spectra of both sides: [planes][2][length]
  struct Blocks {
    const Pair& pair;
    int64_t length;
    T *of_a, *of_b, *of_turned, *back_a, *back_b, *back_turned, *row_turns;

    explicit Blocks(const Pair& pair_)
        : pair(pair_), length(block_length<T>(pair_.a.spectra.count + pair_.b.spectra.count)) {
      T* next = pair.room;
      const auto take = [&](int64_t planes) {
        T* p = next;
        next += planes * 2 * length;
        return p;
      };
      of_a = take(pair.a.spectra.count), of_b = take(pair.b.spectra.count);
      of_turned = take(pair.b.spectra.count);
      row_turns = next, next += round_up(2 * pair.weights->rows(), full_lanes<T>);
      back_a = take(pair.a.spectra.count), back_b = take(pair.b.spectra.count);
      back_turned = take(pair.b.spectra.count);
    }
    T* at(const T* block, int64_t plane) const {
      return const_cast<T*>(block) + plane * 2 * length;
    }
    void clear(T* block, int64_t planes) const {
      for (int64_t i = 0; i < planes * 2 * length; ++i) block[i] = 0;
    }

    // Of planes the entries behind so many
    void clear_behind(T* block, int64_t planes, int64_t count) const {
      for (int64_t plane = 0; plane < planes; ++plane) {
        T* to = at(block, plane);
        for (int64_t i = count; i < length; ++i) to[i] = to[length + i] = 0;
      }
    }
    // Behind the last entry they are 0
    void gather(const HalfSpectra<T>& from, int64_t first, int64_t last, T* block) const {
      for (int64_t plane = 0; plane < from.count; ++plane) {
        T* to = at(block, plane);
        runs(from, first, last, plane, [&](int64_t i, const T* p, int64_t count) {
          for (int64_t k = 0; k < count; ++k) to[i + k] = p[k];
          for (int64_t k = 0; k < count; ++k) to[length + i + k] = p[from.grid.first + k];
        });
      }
      clear_behind(block, from.count, last - first);
    }
    void scatter(const HalfSpectra<T>& to, int64_t first, int64_t last, const T* block) const {
      for (int64_t plane = 0; plane < to.count; ++plane) {
        const T* from = at(block, plane);
        runs(to, first, last, plane, [&](int64_t i, T* p, int64_t count) {
          for (int64_t k = 0; k < count; ++k) p[k] += from[i + k];
          for (int64_t k = 0; k < count; ++k) p[to.grid.first + k] += from[length + i + k];
        });
      }
    }
    template <class F>
    void runs(const HalfSpectra<T>& of, int64_t first, int64_t last, int64_t plane, F&& f) const {
      const Grid& g = of.grid;
      pair.weights->runs(first, last,
                         [&](int64_t e, int64_t k1, int64_t k2, int64_t k0, int64_t count) {
                           T* column = of.at(plane, k1 < 0 ? k1 + g.middle : k1, k2);
                           f(e - first, column + (k0 < 0 ? k0 + g.first : k0), count);
                         });
    }

    // Û_b e^{2πi k·h/side}, or what there is
    const T* turned(int64_t shift, int64_t first, int64_t last) const {
      if (!moves(shift)) return of_b;
      turn<1>(shift, first, last, of_b,
              [&](int64_t at, T re, T im) { of_turned[at] = re, of_turned[at + length] = im; });
      return of_turned;
    }
    void turn_back(int64_t shift, int64_t first, int64_t last) const {
      turn<-1>(shift, first, last, back_turned,
               [&](int64_t at, T re, T im) { back_b[at] += re, back_b[at + length] += im; });
    }
    bool moves(int64_t shift) const {
      const int64_t* h = pair.step.shift + 3 * shift;
      return pair.step.shifts > 0 && (h[0] != 0 || h[1] != 0 || h[2] != 0);
    }
    template <int Sign, class F>
    void turn(int64_t shift, int64_t first, int64_t last, const T* block, F&& put) const {
      const Weights<T>& w = *pair.weights;
      const int64_t *h = pair.step.shift + 3 * shift, n = w.rows();
      const auto part = [](int64_t k, int64_t by, int64_t side) {
        return static_cast<double>(((k % side + side) % side) * by % side) /
               static_cast<double>(side);
      };
      for (int64_t i = 0; i < n; ++i) {
        const double angle =
            2 * trig::pi * part(i <= w.reach[0] ? i : i - n, h[0], pair.signal.first);
        row_turns[2 * i] = static_cast<T>(cos(angle));
        row_turns[2 * i + 1] = static_cast<T>(Sign * sin(angle));
      }
      w.runs(first, last, [&](int64_t e, int64_t k1, int64_t k2, int64_t k0, int64_t count) {
        const double angle =
            2 * trig::pi * (part(k1, h[1], pair.signal.middle) + part(k2, h[2], pair.signal.last));
        const T c = static_cast<T>(cos(angle)), s = static_cast<T>(Sign * sin(angle));
        const T* rows = row_turns + 2 * (k0 < 0 ? k0 + n : k0);
        for (int64_t plane = 0; plane < pair.b.spectra.count; ++plane) {
          const T* from = at(block, plane);
          for (int64_t i = 0, at = e - first; i < count; ++i, ++at) {
            const T re = rows[2 * i] * c - rows[2 * i + 1] * s;
            const T im = rows[2 * i] * s + rows[2 * i + 1] * c;
            put(plane * 2 * length + at, from[at] * re - from[at + length] * im,
                from[at] * im + from[at + length] * re);
          }
        }
      });
    }
  };

  void run_weighted(T* S) const {
    const Blocks on(*this);
    const int64_t entries = weights->rows() * weights->columns();
    for (int64_t i = 0; i < numbers(); ++i) S[i] = 0;
    for (int64_t e = 0; e < entries; e += on.length) {
      const int64_t end = min(e + on.length, entries);
      on.gather(a.spectra, e, end, on.of_a), on.gather(b.spectra, e, end, on.of_b);
      for (int64_t shift = 0; shift < shift_count(); ++shift) {
        const T* of_b = on.turned(shift, e, end);
        if (of_b != on.of_b) on.clear_behind(on.of_turned, b.spectra.count, end - e);
        each_pair([&](int64_t i, int64_t x, int64_t y, int turns) {
          by_fours(filter_count(), [&](int64_t f, auto count) {
            T sums[2 * decltype(count)::value] = {};
            correlate<decltype(count)::value>(on.at(on.of_a, x), on.at(of_b, y), on.length,
                                              weights->table + 2 * f * weights->apart + e,
                                              weights->apart, end - e, sums);
            for (int64_t k = 0; k < count; ++k) {
              T* to = S + place(i, f + k, shift);
              const Complex<T> z = turned_by(turns, {sums[2 * k], sums[2 * k + 1]});
              to[0] += z.re;
              if (step.parts == 2) to[1] += z.im;
            }
          });
        });
      }
    }
  }

  // f(pair, real plane of a, real plane of b, n): of a pair's planes all parts, whose products are
  // to be multiplied by i^n
  template <class F>
  void each_pair(F&& f) const {
    for (int64_t i = 0; i < step.pairs; ++i) {
      const int64_t* pair = step.pair + 2 * i;
      for (int x = 0; x < a.planes.parts; ++x) {
        for (int y = 0; y < b.planes.parts; ++y) {
          f(i, pair[0] * a.planes.parts + x, pair[1] * b.planes.parts + y, (x - y) & 3);
        }
      }
    }
  }
  static Complex<T> turned_by(int turns, Complex<T> z) {
    for (; turns > 0; --turns) z = {-z.im, z.re};
    return z;
  }
  // of Re <g, i^n s>
  void part_of_gradient(const T* gS, int64_t i, int64_t f, int64_t shift, int turns, T* g) const {
    const T* from = gS + place(i, f, shift);
    const Complex<T> z = turned_by(4 - turns, {from[0], step.parts == 2 ? from[1] : T(0)});
    g[0] = z.re, g[1] = z.im;
  }

  void filter_gradient(const T* gS, int64_t i, int64_t shift, int turns, const T* x, const T* y,
                       int64_t half, int64_t first, int64_t last, T* grad_psi) const {
    const T scale = static_cast<T>(points_of(weights->grid));
    weights->runs(first, last, [&](int64_t e, int64_t k1, int64_t k2, int64_t k0, int64_t count) {
      for (int64_t k = 0; k < count; ++k) {
        const int64_t at = e - first + k;
        const T re = x[at] * y[at] + x[half + at] * y[half + at];
        const T im = x[half + at] * y[at] - x[at] * y[half + at];
        const int64_t here = weights->place(filters, k0 + k, k1, k2);
        const int64_t there = k2 > 0 ? weights->place(filters, -k0 - k, -k1, -k2) : -1;
        for (int64_t f = 0; f < filter_count(); ++f) {
          T g[2];
          part_of_gradient(gS, i, f, shift, turns, g);
          if (here >= 0) grad_psi[here + f] += scale * (g[0] * re + g[1] * im);
          if (there >= 0) grad_psi[there + f] += scale * (g[0] * re - g[1] * im);
        }
      }
    });
  }

  // f(u, u + shift) for every point
  template <class F>
  void for_points(int64_t shift, F&& f) const {
    static const int64_t nowhere[3] = {};
    const Grid& g = step.grid;
    const int64_t* by = step.shifts > 0 ? step.shift + 3 * shift : nowhere;
    for (int64_t r0 = 0, u = 0; r0 < g.first; ++r0) {
      for (int64_t r1 = 0; r1 < g.middle; ++r1) {
        const int64_t row = (r0 + by[0]) % g.first * g.middle + (r1 + by[1]) % g.middle;
        for (int64_t c = 0; c < g.last; ++c, ++u) f(u, row * g.last + (c + by[2]) % g.last);
      }
    }
  }
  // U_b(u + shift)
  void turn_plane(int64_t i, int64_t shift, T* to) const {
    const int64_t points = b.planes.points;
    for_points(shift, [&](int64_t u, int64_t v) {
      to[u] = b.planes.of(i, 0)[v];
      to[points + u] = b.planes.parts == 2 ? b.planes.of(i, 1)[v] : T(0);
    });
  }
};

// --- spectra of planes, and back ---

// Of one real plane [first][middle][last], over its points
template <class T>
void take_spectrum(const T* plane, const Lines<T>& lines, const PlaneRoom<T>& room,
                   const HalfSpectra<T>& to, int64_t number, const ThreadBuffers<T>& own) {
  const Grid& g = to.grid;
  const int64_t width = round_up(g.last, 2 * full_lanes<T>);
  for (int64_t r = 0; r < g.first * g.middle; ++r) {
    for (int64_t c = 0; c < width; ++c) {
      room.padded[r * width + c] = c < g.last ? plane[r * g.last + c] : T(0);
    }
  }
  const Spectrum<T> whole = spectrum_at(room.spectrum, g);
  plane_spectrum(lines, room.padded, width, room.half, whole, own);
  const T scale = T(1) / static_cast<T>(points_of(g));
  for (int64_t k2 = 0; k2 <= g.last / 2; ++k2) {
    for (int64_t k1 = 0; k1 < g.middle; ++k1) {
      const T* from = whole.at(k1, k2);
      T* column = to.at(number, k1, k2);
      for (int64_t k = 0; k < g.first; ++k) column[k] = scale * from[k];
      for (int64_t k = 0; k < g.first; ++k) column[g.first + k] = scale * from[whole.im + k];
    }
  }
}

// plane += what the gradient of its spectrum sends back
template <class T>
void return_spectrum(const HalfSpectra<T>& from, int64_t number, const Lines<T>& lines,
                     const PlaneRoom<T>& room, T* plane, const ThreadBuffers<T>& own) {
  const Grid& g = from.grid;
  const int64_t width = round_up(g.last, 2 * full_lanes<T>), kept = g.first / 2 + 1;
  const Spectrum<T> whole = spectrum_at(room.spectrum, g);
  // the Hermitian part, of rows 0 … first/2: a bin that has no mirror image of its own is whole
  const T scale = T(0.5) / static_cast<T>(points_of(g));
  for (int64_t k2 = 0; k2 < g.last; ++k2) {
    const int64_t opposite = k2 > 0 ? g.last - k2 : 0;
    for (int64_t k1 = 0; k1 < g.middle; ++k1) {
      const int64_t back = k1 > 0 ? g.middle - k1 : 0;
      T* to = whole.at(k1, k2);
      const T* one = k2 <= g.last / 2 ? from.at(number, k1, k2) : nullptr;
      const T* two = opposite <= g.last / 2 ? from.at(number, back, opposite) : nullptr;
      for (int64_t k = 0; k < kept; ++k) {
        const int64_t mirror = k > 0 ? g.first - k : 0;
        to[k] = scale * ((one == nullptr ? T(0) : one[k]) + (two == nullptr ? T(0) : two[mirror]));
        to[whole.im + k] = scale * ((one == nullptr ? T(0) : one[g.first + k]) -
                                    (two == nullptr ? T(0) : two[g.first + mirror]));
      }
    }
  }
  plane_spectrum_adjoint(lines, whole, room.half, width, room.padded, own);
  for (int64_t r = 0; r < g.first * g.middle; ++r) {
    for (int64_t c = 0; c < g.last; ++c) plane[r * g.last + c] += room.padded[r * width + c];
  }
}

}  // namespace SCATCUDA_ISA
}  // namespace scatcuda
