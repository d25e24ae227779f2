// The first half of a wavelet transform, W = IDFT fold_k( spectrum · ψ̂ ), for all filters of a
// chunk at once: down each output column, multiply by ψ̂ where it is not zero, add the aliases of
// every axis (or crop), inverse DFT; and its adjoint. Twin: reference.filter_fold.
//
// Work is cut into groups of as many columns as fit side by side in a vector; any range of groups
// may run on any thread, and every number is summed in an order that does not depend on them.
#pragma once

#include "../../core/engines.h"
#include "spectrum.h"

namespace scatcuda {
inline namespace SCATCUDA_ISA {

// One set's table (see Bank) from its chunk of filters on
template <class T>
struct Box {
  const T* psi;
  int64_t lanes;
  const int64_t* ends[3];  // head, tail of the first, middle and last axis
};

// A step's, from a filter on
template <class T>
Box<T> box_of(const Program& p, const Bank<T>& bank, const Step& s, int64_t first_lane) {
  static const int64_t whole[] = {1, 1};
  const Set& set = p.sets[s.set];
  const int64_t* row = bank.psi_support + set.row + 1;
  return {bank.psi + row[-1] + first_lane,
          set.lanes,
          {p.rank > 1 ? row : whole, p.rank > 2 ? row + 2 : whole, row + 2 * (p.rank - 1)}};
}

// How an axis of `side` bins becomes one of `kept`: side/kept aliases fall together, or the lowest
// are cropped.
struct Folding {
  int64_t side, kept;
  bool crop;

  int64_t low() const { return (kept + 1) / 2; }  // bins from 0 on that a crop keeps
  // The bins that fall on bin c: alias(c) and every apart() from there, below side
  int64_t alias(int64_t c) const { return !crop || c < low() ? c : c + side - kept; }
  int64_t apart() const { return crop ? side : kept; }
  // The bin that bin k falls on, −1 where it is cropped, and the next k that is not its neighbour's
  int64_t bin(int64_t k) const {
    return !crop ? k % kept : k < low() ? k : k < side - kept + low() ? -1 : k - side + kept;
  }
  int64_t until(int64_t k) const {
    const int64_t high = side - kept + low();
    return !crop ? k - k % kept + kept : k < low() ? low() : k < high ? high : side;
  }
  // Whether a bin that falls on bin c is kept: before head, or from tail on
  bool meets(const int64_t* ends, int64_t c) const {
    for (int64_t k = alias(c); k < side; k += apart()) {
      if (k < ends[0] || k >= ends[1]) return true;
    }
    return false;
  }
  // The first bin c, beyond 0, where a cropped box that begins or ends at bin k does so
  int64_t edge(int64_t k) const {
    if (!crop) return k % kept;
    return k < low() ? k : max(low(), k - side + kept);
  }
};

// The aliases of a segment of one output column, `most` of them at a time: first those of the
// stored half of the spectrum, then the mirrored ones, whose walk goes up the rows of the
// conjugate.
template <class T>
struct Terms {
  static constexpr int most = 4;
  int plain = 0, mirrored = 0;
  const T *psi[most + 1], *spectrum[most + 1];
};

// slot[i] = (or += unless `begin`) Σ_terms spectrum · ψ̂ over `rows` rows, Q lanes; the imaginary
// parts lie `part` numbers after the real ones
template <int Plain, int Mirrored, int Q, class T>
SCATCUDA_KERNEL void add_terms(const Terms<T>& terms, int64_t part, int64_t lanes, int64_t rows,
                               bool begin, T* slot) {
  constexpr int W = full_lanes<T>, count = Plain + Mirrored;
  using H = Vector<T, Q>;
  const T *psi[count + 1], *spectrum[count + 1];  // which no store can change
  SCATCUDA_UNROLL
  for (int n = 0; n < count; ++n) psi[n] = terms.psi[n], spectrum[n] = terms.spectrum[n];
  for (int64_t i = 0; i < rows; ++i) {
    H re{}, im{};
    if (!begin) re = load<Q>(slot), im = load<Q>(slot + W);
    unroll<count>([&](auto n_) SCATCUDA_LAMBDA {
      constexpr int n = decltype(n_)::value;
      const H w = held(load<Q>(psi[n] + i * lanes));
      if constexpr (n < Plain) {
        re += spectrum[n][i] * w, im += spectrum[n][i + part] * w;
      } else {
        re += spectrum[n][-i] * w, im -= spectrum[n][part - i] * w;
      }
    });
    store(slot, re), store(slot + W, im);
    slot += 2 * W;
  }
}

template <int Q, class T>
void add_terms(Terms<T>& terms, int64_t part, int64_t lanes, int64_t rows, bool begin, T* slot) {
  constexpr int some = Terms<T>::most + 1;
  const int kind = terms.plain * some + terms.mirrored;
  unroll<some * some>([&](auto kind_) SCATCUDA_LAMBDA {
    constexpr int plain = kind_ / some, mirrored = kind_ % some;
    if constexpr (plain + mirrored < some) {
      if (kind == kind_) add_terms<plain, mirrored, Q>(terms, part, lanes, rows, begin, slot);
    }
  });
  terms.plain = terms.mirrored = 0;
}

// How all axes are folded. (Images, which have no
// middle axis and no crop, are mirror.h's, unless their filters are too many to lay out.)
struct Fold {
  Folding first, middle, last;
  int64_t edges[3];  // rows where what falls on them changes: the box begins or ends, or the crop
  const int64_t *middle_ends, *last_ends;  // of the box

  // `ends` as a Box has them: of a middle axis of one line a box may have kept none
  Fold(const Grid& from, const Step& s, const int64_t* const (&ends)[3])
      : first{from.first, s.grid.first, s.crop_first},
        middle{from.middle, s.grid.middle, s.crop_middle},
        last{from.last, s.grid.last, s.crop_last},
        edges{first.edge(ends[0][0]), first.edge(ends[0][1]), s.crop_first ? first.low() : 0},
        middle_ends(ends[1]),
        last_ends(ends[2]) {}
  // Whether a filter reaches column (c1, c2), or any of c2: elsewhere W is 0, and need not be
  // transformed.
  bool meets(int64_t c1, int64_t c2) const {
    return middle.meets(middle_ends, c1) && last.meets(last_ends, c2);
  }
  bool meets(int64_t c2) const { return last.meets(last_ends, c2); }
};

// Where a kept bin of an axis is stored; −1 where it is not
SCATCUDA_INLINE int64_t place_of(const int64_t* ends, int64_t k) {
  return k < ends[0] ? k : k < ends[1] ? -1 : k - ends[1] + ends[0];
}

// slot[i] = Σ over the aliases of (i, c1, c2): spectrum · ψ̂, Q lanes
template <int Q, class T>
void fold_column(const Spectrum<T>& spectrum, const Box<T>& box, const Fold& fold, int64_t c1,
                 int64_t c2, T* slot) {
  constexpr int W = full_lanes<T>;
  // All in locals: asked of `box` and `fold` for every alias they cost a third of the pass.
  const Grid grid = spectrum.grid;
  const int64_t head = box.ends[0][0], tail = box.ends[0][1], gap = tail - head;
  const int64_t front = box.ends[1][0], back = box.ends[1][1];
  const int64_t left = box.ends[2][0], right = box.ends[2][1];
  const int64_t side1 = grid.middle, middles = side1 - back + front;
  const int64_t height = grid.first - gap, lanes = box.lanes, rows = fold.first.kept;
  const int64_t apart0 = fold.first.apart();
  const int64_t apart1 = fold.middle.apart(), from1 = fold.middle.alias(c1);
  const int64_t apart2 = fold.last.apart(), from2 = fold.last.alias(c2);
  for (int64_t first = 0, last; first < rows; first = last) {
    last = rows;
    for (int64_t edge : fold.edges) {
      if (edge > first) last = min(last, edge);
    }
    bool begin = true;
    Terms<T> terms;
    const auto add = [&] {
      add_terms<Q>(terms, spectrum.im, lanes, last - first, begin, slot + 2 * W * first);
      begin = false;
    };
    const int64_t from0 = fold.first.alias(first);
    for (int64_t k2 = from2; k2 < grid.last; k2 += apart2) {
      if (k2 >= left && k2 < right) continue;
      const int64_t at2 = k2 < left ? k2 : k2 - right + left;
      const bool mirrored = k2 > grid.last / 2;
      for (int64_t k1 = from1; k1 < side1; k1 += apart1) {
        if (k1 >= front && k1 < back) continue;
        const int64_t at1 = k1 < front ? k1 : k1 - back + front;
        const int64_t of2 = mirrored ? grid.last - k2 : k2;
        const int64_t of1 = mirrored && k1 > 0 ? grid.middle - k1 : k1;
        const T* psi = box.psi + (at2 * middles + at1) * height * lanes;
        const T* column = spectrum.p + (of2 * side1 + of1) * spectrum.column;
        for (int64_t k0 = from0; k0 < grid.first; k0 += apart0) {
          if (k0 >= head && k0 < tail) continue;
          const int n = terms.plain + terms.mirrored;
          terms.psi[n] = psi + (k0 < head ? k0 : k0 - gap) * lanes;
          terms.spectrum[n] = column + (mirrored ? grid.first - k0 : k0);
          ++(mirrored ? terms.mirrored : terms.plain);
          if (n + 1 == Terms<T>::most) add();
        }
      }
    }
    if (terms.plain + terms.mirrored > 0 || begin) add();
  }
}

// Columns c1 · last + c2 of W, from `first` on
template <class T, int Slots>
void wavelet_columns(const Spectrum<T>& spectrum, const Box<T>& box, const Fold& fold,
                     const LineTransform<T>& down, const Plane<T>& out, int64_t first, int64_t last,
                     const ThreadBuffers<T>& own) {
  constexpr int Q = full_lanes<T> / Slots;
  const int64_t columns = fold.last.kept, count = fold.middle.kept * columns;
  const int64_t middle = middle_of_tiles<T>({0, 0, columns}, Q);
  for (int64_t group = first; group < last; ++group) {
    TiledColumns<T, Slots> target(out.stride);
    bool met = false;
    for (int i = 0; i < Slots && !met; ++i) {
      const int64_t c = min(group * Slots + i, count - 1);
      met = fold.meets(c / columns, c % columns);
    }
    for (int i = 0; i < Slots; ++i) {
      const int64_t c = min(group * Slots + i, count - 1), c1 = count == columns ? 0 : c / columns;
      const int64_t c2 = c - c1 * columns;
      target.p[i] = out.p + c1 * middle + c2 * tile_rows * 2 * Q;
      if (!met) continue;
      SCATCUDA_STAGE(fold);
      fold_column<Q>(spectrum, box, fold, c1, c2, own.line + i * Q);
    }
    SCATCUDA_STAGE(columns);
    if (met) {
      transform_line<1>(down, Line<T>{own.line}, target, own.work, own.spare);
    } else {
      for (int64_t k = 0; k < down.n; ++k) target.store(k, Complex<Vector<T, full_lanes<T>>>{});
    }
  }
}

// --- the adjoint ---

// out[i] += Σ_lane slot[i] ψ̂[i] for the first `count` of Q rows, real and imaginary parts
template <int Q, class T>
SCATCUDA_INLINE void unfold_rows(const T* slot, const T* psi, int64_t lanes, int64_t count, T* out,
                                 int64_t part) {
  constexpr int W = full_lanes<T>;
  using H = Vector<T, Q>;
  H sums[2];
  for (int p = 0; p < 2; ++p) {
    H rows[Q];
    SCATCUDA_UNROLL
    for (int i = 0; i < Q; ++i)
      rows[i] = i < count ? load<Q>(slot + 2 * W * i + p * W) * load<Q>(psi + i * lanes) : H{};
    sums[p] = lane_sums<Q>(rows);
  }
  for (int p = 0; p < 2; ++p, out += part) {
    if (count >= Q) {
      store(out, load<Q>(out) + sums[p]);
    } else {
      for (int64_t i = 0; i < count; ++i) out[i] += sums[p][i];
    }
  }
}

// f(k1, k2, k0, row, count, entry) for every run of bins (k0 …, k1, k2) of the box that falls on
// rows row … row + count − 1 of column (c1, c2); `entry` is its first one in the table
template <class T, class F>
SCATCUDA_INLINE void for_runs(const Box<T>& box, const Fold& fold, int64_t c1, int64_t c2, F&& f) {
  const int64_t side = fold.first.side, head = box.ends[0][0], tail = box.ends[0][1];
  const int64_t front = box.ends[1][0], back = box.ends[1][1];
  const int64_t left = box.ends[2][0], right = box.ends[2][1];
  const int64_t ends[2][2] = {{0, head}, {tail, side}};
  const int64_t side1 = fold.middle.side, middles = side1 - back + front;
  const int64_t height = side - tail + head, side2 = fold.last.side;
  const int64_t apart1 = fold.middle.apart(), from1 = fold.middle.alias(c1);
  const int64_t apart2 = fold.last.apart(), from2 = fold.last.alias(c2);
  for (int64_t k2 = from2; k2 < side2; k2 += apart2) {
    if (k2 >= left && k2 < right) continue;
    const int64_t at2 = k2 < left ? k2 : k2 - right + left;
    for (int64_t k1 = from1; k1 < side1; k1 += apart1) {
      if (k1 >= front && k1 < back) continue;
      const int64_t at1 = k1 < front ? k1 : k1 - back + front;
      int64_t entry = (at2 * middles + at1) * height;
      for (const auto& [begin, end] : ends) {
        for (int64_t k0 = begin, count; k0 < end; k0 += count, entry += count) {
          const int64_t row = fold.first.bin(k0);
          count = min(end, fold.first.until(k0)) - k0;
          if (row >= 0) f(k1, k2, k0, row, count, entry);
        }
      }
    }
  }
}

template <int Q, class T>
SCATCUDA_KERNEL void unfold_column(const T* slot, const Box<T>& box, const Fold& fold, int64_t c1,
                                   int64_t c2, const Spectrum<T>& out) {
  constexpr int W = full_lanes<T>;
  for_runs(box, fold, c1, c2,
           [&](int64_t k1, int64_t k2, int64_t k0, int64_t row, int64_t count, int64_t entry)
               SCATCUDA_LAMBDA {
                 const T* psi = box.psi + entry * box.lanes;
                 T* to = out.at(k1, k2) + k0;
                 int64_t i = 0;
                 for (; i + Q <= count; i += Q) {
                   unfold_rows<Q>(slot + 2 * W * (row + i), psi + i * box.lanes, box.lanes, Q,
                                  to + i, out.im);
                 }
                 if (i < count) {
                   unfold_rows<Q>(slot + 2 * W * (row + i), psi + i * box.lanes, box.lanes,
                                  count - i, to + i, out.im);
                 }
               });
}

// gψ̂(k) += Re(conj spectrum(k) · slot(alias of k)), the filters apart
template <int Q, class T>
SCATCUDA_KERNEL void filter_column(const T* slot, const Spectrum<T>& spectrum, const Box<T>& box,
                                   const Fold& fold, T* grad, int64_t c1, int64_t c2) {
  constexpr int W = full_lanes<T>;
  const Grid& grid = spectrum.grid;
  for_runs(box, fold, c1, c2,
           [&](int64_t k1, int64_t k2, int64_t k0, int64_t row, int64_t count, int64_t entry)
               SCATCUDA_LAMBDA {
                 const bool mirrored = k2 > grid.last / 2;
                 const int64_t step = mirrored ? -1 : 1;
                 const T* s = mirrored
                                  ? spectrum.at(k1 > 0 ? grid.middle - k1 : 0, grid.last - k2) +
                                        grid.first - k0
                                  : spectrum.at(k1, k2) + k0;
                 for (int64_t i = 0; i < count; ++i) {
                   const T* z = slot + 2 * W * (row + i);
                   T* to = grad + (entry + i) * box.lanes;
                   const T re = s[i * step], im = static_cast<T>(step) * s[i * step + spectrum.im];
                   store(to, load<Q>(to) + (re * load<Q>(z) + im * load<Q>(z + W)));
                 }
               });
}

// `out`, the gradient of the spectrum, takes its part; so does `grad_psi`, the table's gradient.
// Each may be null.
template <class T, int Slots>
void wavelet_columns_adjoint(const Plane<T>& wavelet, const Box<T>& box, const Fold& fold,
                             const LineTransform<T>& down, const Spectrum<T>& out,
                             const Spectrum<T>& spectrum, T* grad_psi, int64_t first, int64_t last,
                             const ThreadBuffers<T>& own) {
  constexpr int Q = full_lanes<T> / Slots;
  const int64_t columns = fold.last.kept, total = fold.middle.kept * columns;
  const int64_t middle = middle_of_tiles<T>({0, 0, columns}, Q);
  for (int64_t group = first; group < last; ++group) {
    TiledColumns<T, Slots> source(wavelet.stride);
    bool met = false;
    for (int i = 0; i < Slots; ++i) {
      const int64_t c = min(group * Slots + i, total - 1), c1 = c / columns;
      source.p[i] = wavelet.p + c1 * middle + (c - c1 * columns) * tile_rows * 2 * Q;
      met = met || fold.meets(c1, c - c1 * columns);
    }
    if (!met) continue;
    {
      SCATCUDA_STAGE(columns_adjoint);
      transform_line<-1>(down, source, Line<T>{own.line}, own.work, own.spare);
    }
    SCATCUDA_STAGE(unfold);
    for (int i = 0; i < Slots && group * Slots + i < total; ++i) {
      const int64_t c = group * Slots + i, c1 = c / columns, c2 = c % columns;
      T* slot = own.line + i * Q;
      if (out.p != nullptr) unfold_column<Q>(slot, box, fold, c1, c2, out);
      if (grad_psi != nullptr) filter_column<Q>(slot, spectrum, box, fold, grad_psi, c1, c2);
    }
  }
}

}  // namespace SCATCUDA_ISA
}  // namespace scatcuda
