// The first half of a wavelet transform of images, and its adjoint, as fold.h has it for any rank.
// The planes are real, x̂(−k) = conj x̂(k), so that over the aliases k of the bin (r, c)
//
//   W(r, c) = Σ x̂(k) ψ̂(k)        conj W(−r, −c) = Σ x̂(k) ψ̂(−k) :
//
// columns c and −c are made together, of the same numbers of the spectrum, the latter as its
// conjugate, and send back what belongs to k and to −k in one sum. The filters are first laid out
// in the order in which this reads them. Twin: reference.filter_fold.
#pragma once

#include "../team.h"
#include "fold.h"

namespace scatcuda {
inline namespace SCATCUDA_ISA {

// Some aliases (k1 + r, k2) of the bins (r, c) of a column: first those of the stored half of the
// spectrum, then the mirrored ones, whose walk goes up the rows of the conjugate.
struct Aliases {
  static constexpr int most = 4;
  int plain = 0, mirrored = 0;
  int64_t k1[most], k2[most];
  int count() const { return plain + mirrored; }
};

// How the columns of a step's W are made in pairs
template <class T>
struct Mirrored {
  Grid from{}, to{};
  int64_t lanes = 0;
  // The box of its filters and their mirror images
  int64_t head = 0, tail = 0, left = 0, right = 0;
  int64_t* before = nullptr;  // [pairs + 1]: aliases of the columns before c
  // The filters as for_aliases goes: for all r, of all aliases at a time, ψ̂(k) and ψ̂(−k), each as
  // in the table, 0 where the box keeps none
  const T* psi = nullptr;

  // Of a program; beyond that its filters stay as they are: they would be there twice, and take a
  // good part of a call to lay out
  static constexpr int64_t most_numbers_laid_out = (int64_t{16} << 20) / sizeof(T);

  Mirrored() = default;
  Mirrored(const Grid& from_, const Step& s, const Set& set)
      : from(from_), to(s.grid), lanes(set.lanes) {}

  int64_t pairs() const { return to.last / 2 + 1; }
  int64_t opposite(int64_t c) const { return c > 0 ? to.last - c : 0; }
  // At most so many numbers, whatever the box
  int64_t most_numbers() const { return pairs() * (from.last / to.last) * from.first * 2 * lanes; }
  const T* of(int64_t c) const { return psi + before[c] * to.first * 2 * lanes; }

  static void widen(int64_t side, const int64_t* ends, int64_t& head, int64_t& tail) {
    const bool none = ends[0] == 0 && ends[1] == side;
    head = none ? 0 : max(ends[0], side - ends[1] + 1);
    tail = none ? side : side - head + 1;
    if (tail <= head) head = tail = side;
  }
  // `ends` as a Box has them; returns the numbers of the filters
  int64_t take_box(const int64_t* const (&ends)[3]) {
    widen(from.first, ends[0], head, tail), widen(from.last, ends[2], left, right);
    int64_t sum = 0;
    for (int64_t c = 0; c < pairs(); ++c) {
      if (before != nullptr) before[c] = sum;
      sum += aliases(c);
    }
    if (before != nullptr) before[pairs()] = sum;
    return sum * to.first * 2 * lanes;
  }
  // Those of column c of which anything is kept
  int64_t aliases(int64_t c) const {
    int64_t down = 0, along = 0;
    for (int64_t k1 = 0; k1 < from.first; k1 += to.first) down += k1 < head || k1 + to.first > tail;
    for (int64_t k2 = c; k2 < from.last; k2 += to.last) along += k2 < left || k2 >= right;
    return down * along;
  }

  // f(begin, aliases) for all aliases of column c of which anything is kept, at most Aliases::most
  // of them at once; the first time there may be none
  template <class F>
  SCATCUDA_INLINE void for_aliases(int64_t c, F&& f) const {
    // All in locals: asked of others for every alias they cost a third of the pass.
    const int64_t M = from.first, N = from.last, down = to.first, along = to.last;
    const int64_t h = head, t = tail, l = left, r = right;
    bool begin = true;
    Aliases some;
    for (int64_t k2 = c; k2 < N; k2 += along) {
      if (k2 >= l && k2 < r) continue;
      for (int64_t k1 = 0; k1 < M; k1 += down) {
        if (k1 >= h && k1 + down <= t) continue;
        const int n = some.count();
        some.k1[n] = k1, some.k2[n] = k2;
        ++(k2 > N / 2 ? some.mirrored : some.plain);
        if (n + 1 < Aliases::most) continue;
        f(begin, some);
        some = Aliases(), begin = false;
      }
    }
    if (begin || some.count() > 0) f(begin, some);
  }

  // Lays column c out there, Q filters from one on
  template <int Q>
  SCATCUDA_KERNEL void lay_out(const Box<T>& box, int64_t filter, int64_t c, T* out) const {
    const int64_t M = from.first, N = from.last, apart = lanes, rows = to.first;
    const int64_t first = box.ends[0][0], second = box.ends[0][1], gap = second - first;
    const T* const table = box.psi + filter;
    out += filter;
    for_aliases(c, [&](bool, const Aliases& some) {
      const T *column[Aliases::most], *mirror[Aliases::most];  // null where the box has none
      const auto at = [&](int64_t k2) {
        const int64_t place = place_of(box.ends[2], k2);
        return place < 0 ? nullptr : table + place * (M - gap) * apart;
      };
      for (int n = 0; n < some.count(); ++n) {
        column[n] = at(some.k2[n]), mirror[n] = at(some.k2[n] > 0 ? N - some.k2[n] : 0);
      }
      const auto bin = [&](const T* of, int64_t k) SCATCUDA_LAMBDA {
        if (of == nullptr || (k >= first && k < second)) return Vector<T, Q>{};
        return load<Q>(of + (k < first ? k : k - gap) * apart);
      };
      for (int64_t r = 0; r < rows; ++r) {
        for (int n = 0; n < some.count(); ++n, out += 2 * apart) {
          const int64_t k1 = some.k1[n] + r;
          store(out, bin(column[n], k1));
          store(out + apart, bin(mirror[n], k1 > 0 ? M - k1 : 0));
        }
      }
    });
  }
};

// f(step, how its columns are made in pairs) for the wavelet steps of a program of images
template <class T, class F>
void for_mirrored(const Program& p, F&& f) {
  for (int i = 0; i < p.step_count; ++i) {
    const Step& s = p.steps[i];
    if (s.kind != Kind::wavelet) continue;
    f(i, Mirrored<T>(s.source < 0 ? p.padded : p.steps[s.source].grid, s, p.sets[s.set]));
  }
}

// The numbers of all filters as folds read them, whatever the boxes, at most; 0 where the columns
// of a program are not made in pairs
template <class T>
int64_t most_laid_out(const Program& p) {
  int64_t sum = 0;
  bool crop = false;
  for_mirrored<T>(p, [&](int i, const Mirrored<T>& fold) {
    sum = min(sum + fold.most_numbers(), Mirrored<T>::most_numbers_laid_out + 1);
    crop = crop || p.steps[i].crop_first || p.steps[i].crop_last;
  });
  return p.rank != 2 || crop || sum > Mirrored<T>::most_numbers_laid_out ? 0 : sum;
}

// The same of these filters
template <class T>
int64_t laid_out_numbers(const Program& p, const Bank<T>& bank) {
  int64_t sum = 0;
  if (most_laid_out<T>(p) == 0) return 0;
  for_mirrored<T>(p, [&](int i, Mirrored<T> fold) {
    sum += fold.take_box(box_of(p, bank, p.steps[i], 0).ends);
  });
  return sum;
}

// Lays column c of a step's filters out there
template <class T>
void lay_out(const Mirrored<T>& fold, const Box<T>& box, int64_t c, T* out) {
  if (fold.lanes == 4) return fold.template lay_out<4>(box, 0, c, out);
  if (fold.lanes == 8) return fold.template lay_out<8>(box, 0, c, out);
  for (int64_t f = 0; f < fold.lanes; f += 16) fold.template lay_out<16>(box, f, c, out);
}

// Of the pair of columns that one line, or with one slot two, takes: the lanes of both in a vector
template <class T, int Slots>
struct PairVectors {
  static constexpr int W = full_lanes<T>, Q = W / Slots;
  static constexpr int vectors = Slots == 1 ? 2 : 1, lanes = 2 * Q / vectors;
};

// line[i] = (or += unless `begin`) Σ_terms spectrum · (ψ̂(k), ψ̂(−k)) over `rows` rows; of the
// filters there are `stored` numbers a bin. The same of as many spectra, `apart` numbers from each
// other, as there are lines, or pairs of them.
template <int Plain, int Mirrored, int Slots, int Spectra, class T>
SCATCUDA_KERNEL void add_aliases(const T* psi, int64_t stored, const T* const* spectra,
                                 int64_t part, int64_t apart, int64_t rows, bool begin,
                                 T* const* lines) {
  using Pair = PairVectors<T, Slots>;
  constexpr int W = Pair::W, count = Plain + Mirrored, vectors = Pair::vectors, Q2 = Pair::lanes;
  constexpr int sums = Spectra * vectors;
  using H = Vector<T, Q2>;
  if constexpr (vectors == 1) stored = Q2;  // they fill the vector: known to the compiler
  const T* spectrum[count + 1];             // which no store can change
  T* line[sums];
  SCATCUDA_UNROLL
  for (int n = 0; n < count; ++n) spectrum[n] = spectra[n];
  SCATCUDA_UNROLL
  for (int v = 0; v < sums; ++v) line[v] = lines[v];
  for (int64_t i = 0; i < rows; ++i) {
    H re[sums] = {}, im[sums] = {};
    if (!begin) {
      SCATCUDA_UNROLL
      for (int v = 0; v < sums; ++v)
        re[v] = load<Q2>(line[v] + 2 * W * i), im[v] = load<Q2>(line[v] + 2 * W * i + W);
    }
    unroll<count>([&](auto n_) SCATCUDA_LAMBDA {
      constexpr int n = decltype(n_)::value;
      constexpr bool plain = n < Plain;
      H w[vectors];
      SCATCUDA_UNROLL
      for (int v = 0; v < vectors; ++v) w[v] = held(load<Q2>(psi + v * (stored / 2)));
      unroll<Spectra>([&](auto s) SCATCUDA_LAMBDA {
        const T* at = spectrum[n] + s * apart;
        const T a = at[plain ? i : -i], b = at[plain ? i + part : part - i];
        unroll<vectors>([&](auto v_) SCATCUDA_LAMBDA {
          constexpr int v = decltype(v_)::value, to = decltype(s)::value * vectors + v;
          re[to] += a * w[v];
          im[to] = plain ? im[to] + b * w[v] : im[to] - b * w[v];
        });
      });
      psi += stored;
    });
    SCATCUDA_UNROLL
    for (int v = 0; v < sums; ++v)
      store(line[v] + 2 * W * i, re[v]), store(line[v] + 2 * W * i + W, im[v]);
  }
}

// That of so many aliases; chosen while the program runs, of a list: comparisons, one after
// the other, were no faster
template <class T, int Slots, int Spectra>
struct AddAliases {
  static constexpr int some = Aliases::most + 1;
  template <int Kind>
  static constexpr auto one() {
    constexpr int plain = Kind / some, mirrored = plain + Kind % some < some ? Kind % some : 0;
    return add_aliases<plain, mirrored, Slots, Spectra, T>;
  }
  template <int... Kinds>
  static auto among(int kind, std::integer_sequence<int, Kinds...>) {
    static constexpr decltype(one<0>()) list[] = {one<Kinds>()...};
    return list[kind];
  }
  static auto of(int plain, int mirrored) {
    return among(plain * some + mirrored, std::make_integer_sequence<int, some * some>{});
  }
};

// The first: W(·, c), and conj W(−·, −c) beside it or, with one slot, in the second line; of one
// spectrum or of two, `apart` numbers from each other, which share what is read of the filters
template <int Slots, int Spectra, class T>
SCATCUDA_KERNEL void fold_pair(const Spectrum<T>& spectrum, int64_t apart, const Mirrored<T>& fold,
                               int64_t filter, int64_t c, T* const* lines) {
  const int64_t M = spectrum.grid.first, N = spectrum.grid.last, rows = fold.to.first;
  const int64_t column = spectrum.column, part = spectrum.im;
  const T* const p = spectrum.p;
  const T* psi = fold.of(c) + filter;
  fold.for_aliases(c, [&](bool begin, const Aliases& aliases) SCATCUDA_LAMBDA {
    const T* spectra[Aliases::most];
    for (int n = 0; n < aliases.count(); ++n) {
      const int64_t k1 = aliases.k1[n], k2 = aliases.k2[n];
      spectra[n] = p + (n < aliases.plain ? k2 * column + k1 : (N - k2) * column + M - k1);
    }
    const auto add = AddAliases<T, Slots, Spectra>::of(aliases.plain, aliases.mirrored);
    add(psi, 2 * fold.lanes, spectra, part, apart, rows, begin, lines);
    psi += rows * aliases.count() * 2 * fold.lanes;
  });
}

// Columns of W in groups, each of as many pairs as fill a vector
template <class T, int Slots>
struct PairGroups {
  static constexpr int Q = full_lanes<T> / Slots, pairs = Slots == 1 ? 1 : Slots / 2;
  const Mirrored<T>& fold;

  static int64_t count(const Mirrored<T>& fold) { return ceil_div(fold.pairs(), pairs); }
  // The column of the i-th pair of a group; the last one is repeated
  int64_t column(int64_t group, int i) const { return min(group * pairs + i, fold.pairs() - 1); }

  // f(columns, line) for the lines of a group: one, or with one slot two. The second column of a
  // pair is the conjugate of what is there.
  template <class F>
  SCATCUDA_INLINE void for_lines(const Plane<T>& plane, int64_t group, T* const (&lines)[2],
                                 F&& f) const {
    const auto at = [&](int64_t c) { return plane.p + c * tile_rows * 2 * Q; };
    for (int line = 0; line < (Slots == 1 ? 2 : 1); ++line) {
      TiledColumns<T, Slots> columns(plane.stride);
      for (int i = 0; i < Slots; ++i) {
        const bool second = (Slots == 1 ? line : i % 2) == 1;
        const int64_t c = column(group, i / 2);
        columns.p[i] = at(second ? fold.opposite(c) : c);
        for (int lane = i * Q; second && lane < (i + 1) * Q; ++lane) columns.sign[lane] = -1;
      }
      f(columns, lines[line]);
    }
  }
  // f(c, slot, mirror) for the pairs of a group
  template <class F>
  SCATCUDA_INLINE void for_pairs(int64_t group, T* const (&lines)[2], F&& f) const {
    for (int i = 0; i < pairs; ++i) {
      T* slot = lines[0] + 2 * i * Q;
      f(column(group, i), slot, Slots == 1 ? lines[1] : slot + Q);
    }
  }
};

// Groups of pairs of columns of W, from `first` on; of one spectrum, or of two, `apart` numbers
// from each other
template <class T, int Slots, int Spectra>
void mirrored_columns(const Spectrum<T>& spectrum, int64_t apart, const Mirrored<T>& fold,
                      int64_t filter, const LineTransform<T>& down, const Plane<T>* out,
                      int64_t first, int64_t last, const ThreadBuffers<T>& own) {
  const PairGroups<T, Slots> groups{fold};
  T* const lines[2][2] = {{own.line, own.mirror}, {own.line_2, own.mirror_2}};
  for (int64_t group = first; group < last; ++group) {
    groups.for_pairs(group, lines[0], [&](int64_t c, T* slot, T* mirror) {
      SCATCUDA_STAGE(fold);
      T* slot_2 = own.line_2 + (slot - own.line);
      T* side_by_side[] = {slot, slot_2};                    // a pair fills one vector,
      T* opposite[] = {slot, mirror, slot_2, own.mirror_2};  // or two
      fold_pair<Slots, Spectra>(spectrum, apart, fold, filter, c,
                                Slots == 1 ? opposite : side_by_side);
    });
    SCATCUDA_STAGE(columns);
    for (int s = 0; s < Spectra; ++s) {
      groups.for_lines(out[s], group, lines[s], [&](const auto& columns, T* line) {
        transform_line<1>(down, Line<T>{line}, columns, own.work, own.spare);
      });
    }
  }
}

// --- the adjoint ---

// out[i] += ½ Σ_lane (slot[i] ψ̂(k) + mirror[i] ψ̂(−k)) for `count` of at most Q bins k but the first
// `done`, real and imaginary parts; where the bins are `Turned`, from the last to the first, the
// sums conjugates
template <int Q, bool Turned, class T>
SCATCUDA_INLINE void unfold_rows(const T* slot, const T* mirror, const T* psi, int64_t lanes,
                                 int64_t apart, int64_t count, int64_t done, T* out, int64_t part) {
  constexpr int W = full_lanes<T>;
  using H = Vector<T, Q>;
  H rows[2][Q];
  SCATCUDA_UNROLL
  for (int i = 0; i < Q; ++i) {
    const int64_t from = Turned ? count - 1 - i : i, at = 2 * W * from;
    rows[0][i] = rows[1][i] = H{};
    if (i >= count) continue;
    const T* w = psi + from * apart;
    const H here = held(load<Q>(w)), there = held(load<Q>(w + lanes));
    rows[0][i] = load<Q>(slot + at) * here + load<Q>(mirror + at) * there;
    rows[1][i] = load<Q>(slot + at + W) * here + load<Q>(mirror + at + W) * there;
  }
  H sums[2] = {lane_sums<Q>(rows[0]) * T(0.5), lane_sums<Q>(rows[1]) * T(Turned ? -0.5 : 0.5)};
  for (int p = 0; p < 2; ++p, out += part) {
    if (count < Q) {
      for (int64_t i = 0; i < count; ++i) out[i] += sums[p][i];
      continue;
    }
    for (int i = 0; done > 0 && i < Q; ++i) {
      if ((Turned ? Q - 1 - i : i) < done) sums[p][i] = 0;
    }
    store(out, load<Q>(out) + sums[p]);
  }
}

template <int Q, bool Turned, class T>
SCATCUDA_KERNEL void unfold_alias(const T* slot, const T* mirror, const T* psi, int64_t lanes,
                                  int64_t apart, int64_t rows, T* out, int64_t part) {
  constexpr int W = full_lanes<T>;
  const auto block = [&](int64_t i, int64_t count, int64_t done) SCATCUDA_LAMBDA {
    unfold_rows<Q, Turned>(slot + 2 * W * i, mirror + 2 * W * i, psi + i * apart, lanes, apart,
                           count, done, out + (Turned ? 1 - i - count : i), part);
  };
  if (rows < Q) return block(0, rows, 0);
  int64_t i = 0;
  for (; i + Q <= rows; i += Q) block(i, Q, 0);
  if (i < rows) block(rows - Q, Q, Q - rows + i);
}

// gψ̂ += Re(conj spectrum[step i] slot[i]), the filters apart, in the bins k1 ± i that the box keeps
template <int Q, int Direction, class T>
SCATCUDA_KERNEL void filter_rows(const T* slot, const T* spectrum, int64_t part, int step,
                                 const Box<T>& box, const Grid& grid, int64_t k1, int64_t k2,
                                 int64_t rows, T* grad) {
  constexpr int W = full_lanes<T>;
  const int64_t head = box.ends[0][0], tail = box.ends[0][1], side = grid.first;
  const int64_t at2 = place_of(box.ends[2], k2), lanes = box.lanes;
  if (at2 < 0) return;
  T* const column = grad + at2 * (side - tail + head) * lanes;
  for (int64_t i = 0, k = k1, run; i < rows; i += run, k = (k + Direction * run + side) % side) {
    // rows whose bins lie side by side: before the gap, in it or behind it
    const int64_t first = k < head ? 0 : k < tail ? head : tail;
    const int64_t last = k < head ? head : k < tail ? tail : side;
    run = min(rows - i, Direction > 0 ? last - k : k - first + 1);
    if (k >= head && k < tail) continue;
    T* to = column + place_of(box.ends[0], k) * lanes;
    for (int64_t r = i; r < i + run; ++r, to += Direction * lanes) {
      const T re = spectrum[step * r], im = static_cast<T>(step) * spectrum[step * r + part];
      const T* w = slot + 2 * W * r;
      store(to, load<Q>(to) + (re * load<Q>(w) + im * load<Q>(w + W)));
    }
  }
}

// What one pair sends back: to `out`, of which only columns 0 … last/2 are written, and to the
// table's gradient; each may be null. Row `first` of a column of `out` belongs to row 0.
template <int Slots, class T>
SCATCUDA_KERNEL void unfold_pair(const T* slot, const T* mirror, const Box<T>& box,
                                 const Mirrored<T>& fold, int64_t filter, int64_t c,
                                 const Spectrum<T>& out, const Spectrum<T>& spectrum, T* grad_psi) {
  constexpr int Q = full_lanes<T> / Slots;
  const Grid grid = spectrum.grid;
  const int64_t rows = fold.to.first;
  const bool own_mirror = fold.opposite(c) == c;  // then it meets k and −k both
  const int64_t lanes = fold.lanes;
  const T* psi = fold.of(c) + filter;
  fold.for_aliases(c, [&](bool, const Aliases& some) SCATCUDA_LAMBDA {
    for (int n = 0; n < some.count(); ++n) {
      const int64_t k1 = some.k1[n], k2 = some.k2[n];
      const bool turned = n >= some.plain;
      const int64_t at =
          turned ? (grid.last - k2) * spectrum.column + grid.first - k1 : k2 * spectrum.column + k1;
      if (out.p != nullptr && !(turned && own_mirror)) {
        const auto unfold = turned ? unfold_alias<Q, true, T> : unfold_alias<Q, false, T>;
        unfold(slot, mirror, psi + n * 2 * lanes, lanes, some.count() * 2 * lanes, rows, out.p + at,
               out.im);
      }
      if (grad_psi == nullptr) continue;
      const int step = turned ? -1 : 1;
      const T* x = spectrum.p + at;
      filter_rows<Q, 1>(slot, x, spectrum.im, step, box, grid, k1, k2, rows, grad_psi);
      if (own_mirror) continue;
      filter_rows<Q, -1>(mirror, x, spectrum.im, step, box, grid, k1 > 0 ? grid.first - k1 : 0,
                         k2 > 0 ? grid.last - k2 : 0, rows, grad_psi);
    }
    psi += rows * some.count() * 2 * lanes;
  });
}

// The same of groups of pairs
template <class T, int Slots>
void mirrored_columns_adjoint(const Plane<T>& wavelet, const Box<T>& box, const Mirrored<T>& fold,
                              int64_t filter, const LineTransform<T>& down, const Spectrum<T>& out,
                              const Spectrum<T>& spectrum, T* grad_psi, int64_t first, int64_t last,
                              const ThreadBuffers<T>& own) {
  const PairGroups<T, Slots> groups{fold};
  T* const lines[] = {own.line, own.mirror};
  for (int64_t group = first; group < last; ++group) {
    groups.for_lines(wavelet, group, lines, [&](const auto& columns, T* line) {
      SCATCUDA_STAGE(columns_adjoint);
      transform_line<-1>(down, columns, Line<T>{line}, own.work, own.spare);
    });
    SCATCUDA_STAGE(unfold);
    int64_t done = group * groups.pairs;
    groups.for_pairs(group, lines, [&](int64_t c, const T* slot, const T* mirror) {
      if (c < done++) return;  // a last one that is repeated
      unfold_pair<Slots>(slot, mirror, box, fold, filter, c, out, spectrum, grad_psi);
    });
  }
}

}  // namespace SCATCUDA_ISA
}  // namespace scatcuda
