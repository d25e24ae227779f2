// The cascade (walk.h) of signals of one axis whose sides are powers of two: U[p] = ρ(U[p'] ⋆ ψ)
// and S[p] x = A U[p] x along a tree of wavelets, of `beside` planes at a time, which lie in pieces
// (pieces.h). The planes of a bundle come from the same step, and go the same way together: of one
// filter on several signals, or of several filters on one.
//
// A bundle's way is depth first, in the cache: its band of bins, the product with ψ̂, to W; U, its
// average; its spectrum, of which the bands of the next wavelets are taken. Backwards the same way
// once more and back. Each coefficient comes from the same operations whatever lies beside it, and
// each gradient however many threads there are. The twins are reference.scattering and
// scattering_backward.
#pragma once

#include <algorithm>

#include "../passes/pad.h"
#include "average.h"
#include "line.h"

namespace scatcuda {
inline namespace SCATCUDA_ISA {

// The planes of a bundle: which they are, and where the coefficients of their signals are
template <class T>
struct Bundle {
  int64_t count;  // of them; what follows the last repeats it
  int64_t plane[beside<T>];
  T* S[beside<T>];
  const T* gS[beside<T>];
};

// So many signals side by side, from x on
template <class T>
struct SignalGroup {
  int64_t count;
  const T* x;
  T* S;
  const T* gS;
  T* grad_x;
  T* spectrum;       // x̂, [P] bins
  T* grad_spectrum;  // sums of its gradient, one for each strand
};

// Of a thread. Of one level there is W, in halves, and its spectrum; forward all levels share W.
template <class T>
struct SignalRoom {
  LineRoom<T> lines;
  Lanes<T>*points, *lanes;
  T* padded;         // [beside, P]
  T* product;        // of a band with a filter
  Element<T>* back;  // backward: U or its gradient before the rows
  struct Level {
    Element<T>*a, *b;
    T *spectrum, *grad_spectrum;
  } level[max_level];
};

template <class T>
class SignalWalk {
  static constexpr int n = beside<T>, numbers = bin_numbers<T>;

 public:
  // Sums of gradients of one x̂ that may be taken at the same time
  static constexpr int64_t most_strands = 8, strands_bytes = int64_t{64} << 20;

  SignalWalk(const Program& p, const Bank<T>& bank, bool backward, Arena& arena)
      : p_(p), bank_(bank), backward_(backward) {
    factors_ = arena.take<const T*>(side_logs);
    for (int i = 4; i < side_logs; ++i) {
      T* table = arena.take<T>(int64_t{2} << i);
      if (table != nullptr) few_factors(i, table), factors_[i] = table;
    }
    T* roots = arena.take<T>(4 * pieces<T> * pieces<T>);
    if (roots != nullptr) fill_roots(roots);
    lines_ = arena.take<SplitLine<T>>(max_level + 1);
    for (int i = 0; i <= max_level; ++i) {
      if (!has_side(int64_t{1} << i)) continue;
      const SplitLine<T> line = split_line<T>(int64_t{1} << i, factors_, roots, arena);
      if (lines_ != nullptr) lines_[i] = line;
    }
    if (backward) {
      spreads_ = arena.take<Spread<T>>(p.matrix_count);
      for (int i = 0; i < p.step_count; ++i) {
        const Step& s = p.steps[i];
        if (s.kind != Kind::wavelet || s.average < 0) continue;
        const int index = p.steps[s.average].matrix[2];
        if (index < 0) continue;
        const Spread<T> spread(matrix(index), arena, p.matrices[index].inputs);
        if (spreads_ != nullptr) spreads_[index] = spread;
      }
    }
    int64_t filters = 0;
    for (int i = 0; i < p.set_count; ++i) filters += p.sets[i].count;
    first_filter_ = arena.take<int64_t>(p.set_count);
    filters_ = arena.take<Filter>(filters);
    T* peaks = arena.take<T>(max_lanes());
    spectra_ = arena.take<Kept>(p.step_count + 1);
    if (filters_ == nullptr) return;
    filters = 0;
    for (int i = 0; i < p.set_count; ++i) {
      first_filter_[i] = filters;
      find_filters(i, peaks);
      filters += p.sets[i].count;
    }
    for (int i = -1; i < p.step_count; ++i) {
      if (i < 0 || p.steps[i].kind == Kind::wavelet) spectra_[i + 1] = kept_of(i);
    }
  }

  int64_t strands() const {
    return max(1,
               min(most_strands, strands_bytes / (p_.padded.last * numbers * int64_t{sizeof(T)})));
  }
  int64_t spectrum_numbers() const { return p_.padded.last * numbers; }

  SignalRoom<T> room(Arena& arena) const {
    SignalRoom<T> room{};
    const int64_t P = p_.padded.last;
    int64_t points = P, outputs = 1, longest = split_shape<T>(P).elements(), product = P;
    for (int i = 0; i < p_.step_count; ++i) {
      const Step& s = p_.steps[i];
      if (s.kind != Kind::wavelet) continue;
      longest = max(longest, split_shape<T>(s.grid.last).elements());
      points = max(points, s.grid.last);
      product = max(product, source_of(s));
      if (s.average >= 0) outputs = max(outputs, p_.steps[s.average].outputs.last);
    }
    room.lines = {arena.take<Element<T>>(most_side), arena.take<Element<T>>(most_side),
                  arena.take<Element<T>>(most_side)};
    room.points = arena.take<Lanes<T>>(points / pieces<T>);
    room.lanes = arena.take<Lanes<T>>(outputs);
    room.padded = arena.take<T>(n * P);
    room.product = arena.take<T>(product * numbers);
    if (backward_) room.back = arena.take<Element<T>>(longest);
    for (int i = 0; i < max(p_.levels, 1); ++i) {
      int64_t elements = 0, bins = 0;
      for (int k = 0; k < p_.step_count; ++k) {
        const Step& s = p_.steps[k];
        if (s.kind != Kind::wavelet || s.level != i + 1) continue;
        elements = max(elements, split_shape<T>(s.grid.last).elements());
        if (s.child_count > 0) bins = max(bins, s.grid.last);
      }
      auto& level = room.level[i];
      if (i == 0 || backward_) {
        if (!backward_ || i == 0) elements = longest;
        level.a = arena.take<Element<T>>(elements), level.b = arena.take<Element<T>>(elements);
      } else {
        level.a = room.level[0].a, level.b = room.level[0].b;
      }
      level.spectrum = arena.take<T>(bins * numbers);
      if (backward_) level.grad_spectrum = arena.take<T>(bins * numbers);
    }
    return room;
  }

  // How many bundles the signals of a group make
  int64_t bundles(int64_t signals) const {
    int64_t total = 0;
    for (int i = 0; i < p_.child_count; ++i) total += bundles_of(p_.children[i], signals);
    return total;
  }

  // x̂ of a group's signals, and their own average
  void begin(const SignalGroup<T>& group, const SignalRoom<T>& room) const {
    const int64_t P = p_.padded.last;
    for (int64_t i = 0; i < n; ++i) {
      T* padded = room.padded + i * P;
      pad(p_, group.x + min(i, group.count - 1) * p_.signal.last, P, padded);
      T* points = reinterpret_cast<T*>(room.points) + i * pieces<T>;
      for (int64_t t = 0; t < P; t += pieces<T>, points += full_lanes<T>) {
        std::memcpy(points, padded + t, pieces<T> * sizeof(T));
      }
      if (i >= group.count || p_.average < 0 || group.S == nullptr) continue;
      const Step& average = p_.steps[p_.average];
      T* S = group.S + i * p_.channels * p_.unit + average.channel * p_.unit;
      average_plane(lowpass_of(average, P), padded, P, static_cast<T*>(nullptr),
                    static_cast<T*>(nullptr), S);
    }
    if (p_.child_count == 0) return;
    const SplitLine<T>& f = line(P);
    Element<T>* a = room.level[0].a;
    with_side(f.B, [&](auto B) { forward_rows<B>(f, room.points, a, room.lines); });
    unite_real(f, -1, a, group.spectrum, room);
    for (int64_t i = 0; backward_ && i < strands(); ++i) {
      clear(group.grad_spectrum + i * spectrum_numbers(), P, -1);
    }
  }

  // All that follows from the index-th bundle of a group
  void forward(const SignalGroup<T>& group, int64_t index, const SignalRoom<T>& room) const {
    Bundle<T> bundle;
    First first = first_of(group, index, &bundle);
    const int64_t length = take(first, group.spectrum, room.product);
    propagate(first.step, length, bundle, room);
  }

  // The gradients of x̂ that the bundles strand, strand + strands(), … send back
  void backward(const SignalGroup<T>& group, int64_t strand, const SignalRoom<T>& room) const {
    T* sum = group.grad_spectrum + strand * spectrum_numbers();
    for (int64_t index = strand; index < bundles(group.count); index += strands()) {
      Bundle<T> bundle;
      First first = first_of(group, index, &bundle);
      const int64_t length = take(first, group.spectrum, room.product);
      back(first.step, length, bundle, room);
      give(first, bundle.count, room.product, sum);
    }
  }

  // The gradient of x from those of x̂, and from the signals' own average
  void end(const SignalGroup<T>& group, const SignalRoom<T>& room) const {
    const int64_t P = p_.padded.last;
    if (p_.child_count > 0) {
      T* sum = group.grad_spectrum;
      const Kept& kept = spectra_[0];
      const auto add = [&](int64_t first, int64_t last) {
        for (int64_t strand = 1; strand < strands(); ++strand) {
          const T* from = sum + strand * spectrum_numbers();
          for (int64_t i = first * numbers; i < last * numbers; ++i) sum[i] += from[i];
        }
      };
      add(0, kept.count);
      add(P - kept.mirrored, P);
      const SplitLine<T>& f = line(P);
      split_real(f, -1, sum, room.back, room);
      with_side(f.B, [&](auto B) { inverse_rows<B>(f, room.back, room.points, room.lines); });
    }
    for (int64_t i = 0; i < group.count; ++i) {
      T* padded = room.padded + i * P;
      const T* points = reinterpret_cast<const T*>(room.points) + i * pieces<T>;
      for (int64_t t = 0; t < P; t += pieces<T>, points += full_lanes<T>) {
        if (p_.child_count > 0) {
          std::memcpy(padded + t, points, pieces<T> * sizeof(T));
        } else {
          for (int m = 0; m < pieces<T>; ++m) padded[t + m] = 0;
        }
      }
      if (p_.average >= 0) average_adjoint(group.gS + i * p_.channels * p_.unit, padded);
      pad_adjoint(p_, padded, P, group.grad_x + i * p_.signal.last);
    }
  }

 private:
  struct Filter {  // the part of its set's band that it has
    int64_t first = 0, length = 0;
  };
  struct Kept {  // of a real plane's spectrum: bins 0 … count − 1 and P − mirrored … P − 1
    int64_t count = 0, mirrored = 0;
  };
  struct First {  // what the planes of a bundle are made of
    int step;
    bool together;  // one filter on all signals, in their order
    int64_t filter[n], signal[n];
  };

  // --- tables ---

  static void few_factors(int log, T* table) {
    const int size = 1 << log, R = size > most_few ? 16 : first_radix(size);
    for (int c = 0; c < size / R; ++c) {
      for (int q = 0; q < R; ++q) put_turn(int64_t{c} * q, size, table + 2 * (c * R + q), 1);
    }
  }
  static void fill_roots(T* table) {
    constexpr int p = pieces<T>, S = 2 * p;
    for (int r = 0; r < S; ++r) {
      for (int m = 0; m < p; ++m) put_turn(m * r, S, table + r * S + m, p);
    }
  }
  // e^{2πi k/n}, the imaginary part `apart` behind
  static void put_turn(int64_t k, int64_t side, T* to, int apart) {
    const double angle = 2 * trig::pi * static_cast<double>(k) / static_cast<double>(side);
    to[0] = static_cast<T>(cos(angle)), to[apart] = static_cast<T>(sin(angle));
  }
  int64_t source_of(const Step& s) const {
    return s.source < 0 ? p_.padded.last : p_.steps[s.source].grid.last;
  }
  bool has_side(int64_t P) const {
    if (P == p_.padded.last) return true;
    for (int i = 0; i < p_.step_count; ++i) {
      if (p_.steps[i].kind == Kind::wavelet && p_.steps[i].grid.last == P) return true;
    }
    return false;
  }
  int64_t max_lanes() const {
    int64_t lanes = 0;
    for (int i = 0; i < p_.set_count; ++i) lanes = max(lanes, p_.sets[i].lanes);
    return lanes;
  }
  const SplitLine<T>& line(int64_t P) const { return lines_[log2_of(P)]; }
  RowLowpass<T> matrix(int index) const {
    if (index < 0) return {};
    const Matrix& m = p_.matrices[index];
    return {bank_.phi + m.first_row(), bank_.phi_support + 2 * m.row, m.outputs, m.inputs,
            m.stride()};
  }
  PlaneLowpass<T> lowpass_of(const Step& average, int64_t P) const {
    static const double once = 1;
    PlaneLowpass<T> a{{1, 1, P}, average.outputs, {}, {}, matrix(average.matrix[2])};
    if (average.mean == Mean::mean) {
      a.mean = true, a.powers = &once, a.power_count = 1, a.scale = T(1) / static_cast<T>(P);
    }
    return a;
  }

  // --- bands ---

  // A set keeps the bins tail … side − 1 and 0 … head − 1: its band, in this order
  struct SetBand {
    const T* psi;
    int64_t lanes, head, tail, side;
    int64_t length() const { return head + side - tail; }
  };
  SetBand band_of(int set) const {
    const Set& s = p_.sets[set];
    const int64_t* row = bank_.psi_support + s.row;
    return {bank_.psi + row[0], s.lanes, row[1], row[2], s.side[0]};
  }
  // f(number of bins, of the filter's first, of the first bin, of its place in the table) for each
  // of the two parts of its band
  template <class F>
  SCATCUDA_INLINE static void for_parts(const SetBand& band, const Filter& filter, F&& f) {
    const int64_t below = band.side - band.tail, end = filter.first + filter.length;
    const int64_t middle = min(max(filter.first, below), end);
    if (middle > filter.first) {
      f(middle - filter.first, int64_t{0}, band.tail + filter.first, band.head + filter.first);
    }
    if (end > middle) f(end - middle, middle - filter.first, middle - below, middle - below);
  }
  const Filter& filter_of(int set, int64_t index) const {
    return filters_[first_filter_[set] + index];
  }

  // What of the band of several filters is one's own: what is negligible beside its peak is not
  void find_filters(int set, T* peaks) {
    const SetBand band = band_of(set);
    const int64_t count = p_.sets[set].count, length = band.length();
    Filter* filters = filters_ + first_filter_[set];
    filters[0] = {0, length};
    if (count == 1) return;
    const auto size = [](T v) { return v < 0 ? -v : v; };
    for (int64_t i = 0; i < band.lanes; ++i) peaks[i] = 0;
    for (int64_t k = 0; k < length; ++k) {
      const T* row = band.psi + k * band.lanes;
      for (int64_t i = 0; i < band.lanes; ++i)
        peaks[i] = peaks[i] < size(row[i]) ? size(row[i]) : peaks[i];
    }
    const T negligible = sizeof(T) == 4 ? T(0x1p-24) : T(0x1p-53);
    const int64_t below = band.side - band.tail;
    for (int64_t i = 0; i < count; ++i) {
      const auto small = [&](int64_t k) {
        const int64_t entry = k < below ? band.head + k : k - below;
        return size(band.psi[entry * band.lanes + i]) <= negligible * peaks[i];
      };
      int64_t first = 0, last = length;
      while (first < last && small(first)) ++first;
      while (last > first && small(last - 1)) --last;
      filters[i] = {first, last - first};
    }
  }

  // Which bins of a step's planes, or of the signal (−1), the next wavelets take
  Kept kept_of(int index) const {
    const int children = index < 0 ? p_.child_count : p_.steps[index].child_count;
    const int* child = index < 0 ? p_.children : p_.steps[index].children;
    Kept kept;
    for (int c = 0; c < children; ++c) {
      const int set = p_.steps[child[c]].set;
      const SetBand band = band_of(set);
      for (int64_t i = 0; i < p_.sets[set].count; ++i) {
        for_parts(band, filter_of(set, i), [&](int64_t count, int64_t, int64_t bin, int64_t) {
          const int64_t last = bin + count - 1, half = band.side / 2;
          const int64_t farthest = last <= half ? last : bin <= half ? half : band.side - bin;
          kept.count = max(kept.count, farthest + 1);
          if (last > half) kept.mirrored = max(kept.mirrored, band.side - max(bin, half + 1));
        });
      }
    }
    return kept;
  }

  // f(bin of X, bin of the product, ψ̂ there) in the band of a filter; how many bins it has
  template <class X, class Product, class F>
  SCATCUDA_INLINE int64_t for_products(int set, int64_t index, X* x, Product* product,
                                       F&& f) const {
    const SetBand band = band_of(set);
    const Filter& filter = filter_of(set, index);
    for_parts(band, filter, [&](int64_t count, int64_t k, int64_t bin, int64_t entry) {
      const T* psi = band.psi + entry * band.lanes + index;
      for (int64_t i = 0; i < count; ++i, psi += band.lanes) {
        f(x + (bin + i) * numbers, product + (k + i) * numbers, *psi);
      }
    });
    return filter.length;
  }
  // product = X ψ̂, for all planes of X; and X += product ψ̂
  int64_t multiply(int set, int64_t index, const T* X, T* product) const {
    return for_products(set, index, X, product, [](const T* x, T* to, T psi) SCATCUDA_LAMBDA {
      store(to, load<numbers>(x) * psi);
    });
  }
  void multiply_adjoint(int set, int64_t index, const T* product, T* X) const {
    for_products(set, index, X, product, [](T* to, const T* from, T psi) SCATCUDA_LAMBDA {
      store(to, load<numbers>(to) + load<numbers>(from) * psi);
    });
  }

  // --- the first wavelets, of planes that may come from any signal and filter ---

  int64_t bundles_of(int step, int64_t signals) const {
    return ceil_div(p_.sets[p_.steps[step].set].count * signals, n);
  }
  First first_of(const SignalGroup<T>& group, int64_t index, Bundle<T>* bundle) const {
    First first;
    int i = 0;
    for (; index >= bundles_of(p_.children[i], group.count); ++i) {
      index -= bundles_of(p_.children[i], group.count);
    }
    first.step = p_.children[i];
    first.together = group.count == n;
    const int64_t pairs = p_.sets[p_.steps[first.step].set].count * group.count;
    bundle->count = min(n, pairs - index * n);
    for (int64_t plane = 0; plane < n; ++plane) {
      const int64_t pair = min(index * n + plane, pairs - 1);
      first.filter[plane] = bundle->plane[plane] = pair / group.count;
      first.signal[plane] = pair % group.count;
      const int64_t offset = first.signal[plane] * p_.channels * p_.unit;
      bundle->S[plane] = group.S == nullptr ? nullptr : group.S + offset;
      bundle->gS[plane] = group.gS == nullptr ? nullptr : group.gS + offset;
    }
    return first;
  }
  int64_t take(const First& first, const T* X, T* product) const {
    const int set = p_.steps[first.step].set;
    if (first.together) return multiply(set, first.filter[0], X, product);
    int64_t longest = 0;
    for (int i = 0; i < n; ++i) longest = max(longest, filter_of(set, first.filter[i]).length);
    for (int i = 0; i < n; ++i) {
      const auto from = X + 2 * first.signal[i];
      const auto one = [](const T* x, T* to, T psi)
                           SCATCUDA_LAMBDA { to[0] = x[0] * psi, to[1] = x[1] * psi; };
      for (int64_t k = for_products(set, first.filter[i], from, product + 2 * i, one); k < longest;
           ++k) {
        product[k * numbers + 2 * i] = product[k * numbers + 2 * i + 1] = 0;
      }
    }
    return longest;
  }
  void give(const First& first, int64_t count, const T* product, T* X) const {
    const int set = p_.steps[first.step].set;
    if (first.together) return multiply_adjoint(set, first.filter[0], product, X);
    for (int i = 0; i < count; ++i) {
      for_products(set, first.filter[i], X + 2 * first.signal[i], product + 2 * i,
                   [](T* to, const T* from, T psi)
                       SCATCUDA_LAMBDA { to[0] += from[0] * psi, to[1] += from[1] * psi; });
    }
  }

  // --- spectra of real planes ---

  // a + i b after its rows -> the bins that are kept
  void unite_real(const SplitLine<T>& f, int index, const Element<T>* ab, T* X,
                  const SignalRoom<T>& room) const {
    const Kept& kept = spectra_[index + 1];
    unite<true>(f, ab, static_cast<const Element<T>*>(nullptr), kept.count, X, room.lines);
    for (int64_t k = 1; k <= kept.mirrored; ++k) {
      store(X + (f.P - k) * numbers, conjugate<T>(load<numbers>(X + k * numbers)));
    }
  }
  void clear(T* X, int64_t P, int index) const {
    const Kept& kept = spectra_[index + 1];
    std::fill_n(X, kept.count * numbers, T(0));
    std::fill_n(X + (P - kept.mirrored) * numbers, kept.mirrored * numbers, T(0));
  }
  // The gradient of a real plane feels of its spectrum's (g + conj g(−·)) / 2, in whose place that
  // is left: -> a + i b before its rows
  void split_real(const SplitLine<T>& f, int index, T* g, Element<T>* ab,
                  const SignalRoom<T>& room) const {
    const Kept& kept = spectra_[index + 1];
    for (int64_t k = 0; k < kept.count; ++k) {
      const int64_t mirror = (f.P - k) & (f.P - 1);
      Bin<T> bin = load<numbers>(g + k * numbers) * T(0.5);
      if (k <= kept.mirrored || mirror == k) {
        bin += conjugate<T>(load<numbers>(g + mirror * numbers)) * T(0.5);
      }
      store(g + k * numbers, bin);
      if (mirror != k) store(g + mirror * numbers, conjugate<T>(bin));
    }
    split<true>(f, g, kept.count, max(f.P - kept.count + 1, kept.count), ab,
                static_cast<Element<T>*>(nullptr), room.lines);
  }

  // --- averages ---

  int64_t place_of(const Step& s, int64_t plane) const {
    return channel_of(p_.steps[s.average], &s, plane) * p_.unit;
  }
  void average(const Step& s, const Bundle<T>& bundle, const SignalRoom<T>& room) const {
    T* S[n];
    for (int i = 0; i < n; ++i) S[i] = bundle.S[i] + place_of(s, bundle.plane[i]);
    const Step& average = p_.steps[s.average];
    if (average.mean == Mean::mean) {
      mean_pieces(s.grid.last, room.points, S, bundle.count);
    } else {
      average_pieces(matrix(average.matrix[2]), room.points, S, bundle.count);
    }
  }
  void average_adjoint(const Step& s, const Bundle<T>& bundle, const SignalRoom<T>& room) const {
    const T* gS[n];
    for (int i = 0; i < n; ++i) gS[i] = bundle.gS[i] + place_of(s, bundle.plane[i]);
    const Step& average = p_.steps[s.average];
    if (average.mean == Mean::mean) {
      mean_pieces_adjoint(s.grid.last, gS, room.points);
    } else {
      average_pieces_adjoint(spreads_[average.matrix[2]], gS, room.lanes, room.points);
    }
  }
  // padded += what a signal's own average sends back
  void average_adjoint(const T* gS, T* padded) const {
    const Step& average = p_.steps[p_.average];
    const T* g = gS + average.channel * p_.unit;
    const int64_t P = p_.padded.last;
    if (average.mean == Mean::mean) {
      for (int64_t t = 0; t < P; ++t) padded[t] += *g / static_cast<T>(P);
      return;
    }
    const RowLowpass<T> a = matrix(average.matrix[2]);
    for (int64_t o = 0; o < a.outputs; ++o) {
      for (Band b = a.span(o); b.left(); b.go_round()) {
        for (int64_t c = b.first, end = b.end(); c < end; ++c) {
          padded[c] += g[o] * a.row(o)[c];
        }
      }
    }
  }

  // --- the walk ---

  // A step on a bundle of planes, of which there are the band's products, and all that follows
  void propagate(int index, int64_t length, Bundle<T>& bundle, const SignalRoom<T>& room) const {
    const Step& s = p_.steps[index];
    if (s.average < 0 && s.child_count == 0) return;
    const SplitLine<T>& f = line(s.grid.last);
    const auto& level = room.level[s.level - 1];
    split<false>(f, room.product, length, f.P, level.a, level.b, room.lines);
    modulus(f, level, s.average < 0 ? nullptr : room.points, s.child_count == 0 ? nullptr : level.a,
            room);
    if (s.average >= 0) average(s, bundle, room);
    if (s.child_count == 0) return;
    unite_real(f, index, level.a, level.spectrum, room);
    for_children(s, bundle, [&](int child, int64_t i) {
      const int64_t band = multiply(p_.steps[child].set, i, level.spectrum, room.product);
      propagate(child, band, bundle, room);
    });
  }
  void modulus(const SplitLine<T>& f, const typename SignalRoom<T>::Level& level, Lanes<T>* points,
               Element<T>* to, const SignalRoom<T>& room) const {
    with_side(f.B, [&](auto B) { modulus_rows<B>(f, level.a, level.b, points, to, room.lines); });
  }
  // f(step, filter) for all wavelets of a step's planes, which are then the bundle's
  template <class F>
  void for_children(const Step& s, Bundle<T>& bundle, F&& f) const {
    int64_t planes[n];
    std::copy_n(bundle.plane, n, planes);
    for (int c = 0; c < s.child_count; ++c) {
      const int64_t family = p_.sets[p_.steps[s.children[c]].set].count;
      for (int64_t i = 0; i < family; ++i) {
        for (int plane = 0; plane < n; ++plane) bundle.plane[plane] = planes[plane] * family + i;
        f(s.children[c], i);
      }
    }
    std::copy_n(planes, n, bundle.plane);
  }

  // The gradient of the band's products, in whose place it is left
  void back(int index, int64_t length, Bundle<T>& bundle, const SignalRoom<T>& room) const {
    const Step& s = p_.steps[index];
    const SplitLine<T>& f = line(s.grid.last);
    const auto& level = room.level[s.level - 1];
    const bool further = s.child_count > 0;
    if (!further && s.average < 0) {
      std::fill_n(room.product, length * numbers, T(0));
      return;
    }
    split<false>(f, room.product, length, f.P, level.a, level.b, room.lines);
    if (further) {
      modulus(f, level, nullptr, room.back, room);
      unite_real(f, index, room.back, level.spectrum, room);
      clear(level.grad_spectrum, f.P, index);
      for_children(s, bundle, [&](int child, int64_t i) {
        const int set = p_.steps[child].set;
        const int64_t band = multiply(set, i, level.spectrum, room.product);
        back(child, band, bundle, room);
        multiply_adjoint(set, i, room.product, level.grad_spectrum);
      });
      split_real(f, index, level.grad_spectrum, room.back, room);
    }
    if (s.average >= 0) average_adjoint(s, bundle, room);
    const Lanes<T>* points = s.average < 0 ? nullptr : room.points;
    const Element<T>* sent = further ? room.back : nullptr;
    with_side(f.B, [&](auto B) { turn_rows<B>(f, level.a, level.b, points, sent, room.lines); });
    unite<false>(f, level.a, level.b, length, room.product, room.lines);
  }

  const Program& p_;
  const Bank<T>& bank_;
  const bool backward_;
  const T** factors_;
  SplitLine<T>* lines_;
  Spread<T>* spreads_ = nullptr;
  int64_t* first_filter_;
  Filter* filters_;
  Kept* spectra_;
};

}  // namespace SCATCUDA_ISA
}  // namespace scatcuda
