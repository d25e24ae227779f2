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
#include "group.h"
#include "line.h"

namespace scatcuda {
inline namespace SCATCUDA_ISA {

// Sums of gradients of filters, which may be taken at the same time as others: of each the blocks
// of its band, once it was touched; and those of phi. Null where they are not wanted.
template <class T>
struct FilterSums {
  Vector<T, pieces<T>>* blocks;
  bool* touched;
  T* phi;
};

// The planes of a bundle: which they are, and where the coefficients of their signals are
template <class T>
struct Bundle {
  int64_t count;  // of them; what follows the last repeats it
  int64_t plane[beside<T>];
  T* S[beside<T>];
  const T* gS[beside<T>];
  T* stored[beside<T>];           // planes that groups gather or, backward, their gradients
  FilterSums<T>* sums = nullptr;  // for the gradients of filters, where they are wanted
};

// So many signals side by side, from x on
template <class T>
struct SignalGroup {
  int64_t count;
  const T* x;
  T* S;
  const T* gS;
  T* grad_x;
  Element<T>* spectrum;       // x̂
  Element<T>* grad_spectrum;  // sums of its gradient, one for each strand
  T *stored, *grad_stored;    // [beside, numbers of a signal]: planes that groups gather
};

// Of a thread. Of one level there is W, in halves, and its spectrum; forward all levels share W.
template <class T>
struct SignalRoom {
  LineRoom<T> lines;
  Lanes<T>*points, *lanes;
  GroupRoom<T> group;
  T* padded;            // [beside, P]
  Element<T>* product;  // of a band with a filter
  Element<T>* back;     // backward: U or its gradient before the rows
  struct Level {
    Element<T>*a, *b, *spectrum, *grad_spectrum;
  } level[max_level];
};

template <class T>
class SignalWalk {
  static constexpr int n = beside<T>, p = pieces<T>;

 public:
  // Sums of gradients of one x̂ that may be taken at the same time
  static constexpr int64_t most_strands = 8, strands_bytes = int64_t{64} << 20;

  // `with_psi`, `with_phi`: the gradients of the filters are wanted, of every number of theirs
  SignalWalk(const Program& p, const Bank<T>& bank, bool backward, bool with_psi, bool with_phi,
             Arena& arena)
      : p_(p),
        bank_(bank),
        gathering_(p, bank, arena),
        backward_(backward),
        with_psi_(with_psi),
        with_phi_(with_phi) {
    factors_ = arena.take<const T*>(side_logs);
    int64_t longest = 1;
    for (int i = 0; i <= max_level; ++i) {
      if (has_side(int64_t{1} << i)) longest = max(longest, split_shape<T>(int64_t{1} << i).B);
    }
    for (int i = 4; i < side_logs && int64_t{1} << i <= longest; ++i) {
      T* table = arena.take<T>(int64_t{2} << i);
      if (table != nullptr) few_factors(i, table), factors_[i] = table;
    }
    lines_ = arena.take<SplitLine<T>>(max_level + 1);
    for (int i = 0; i <= max_level; ++i) {
      if (!has_side(int64_t{1} << i)) continue;
      const SplitLine<T> line = split_line<T>(int64_t{1} << i, factors_, arena);
      if (lines_ != nullptr) lines_[i] = line;
    }
    if (backward) {
      spreads_ = arena.take<Spread<T>>(p.matrix_count);
      for (int i = 0; i < p.step_count; ++i) {
        const Step& s = p.steps[i];
        if (s.average < 0) continue;
        const int index = p.steps[s.average].matrix[2];
        if (index < 0 || has_spread(i, index)) continue;
        const Spread<T> spread(matrix(index), arena, p.matrices[index].inputs);
        if (spreads_ != nullptr) spreads_[index] = spread;
      }
    }
    int64_t filters = 0;
    for (int i = 0; i < p.set_count; ++i) filters += p.sets[i].count;
    first_filter_ = arena.take<int64_t>(p.set_count);
    filter_count_ = filters;
    filters_ = arena.take<Filter>(filters);
    longest_ = arena.take<int64_t>(p.set_count);
    spectra_ = arena.take<Kept>(p.step_count + 1);
    costs_ = arena.take<double>(p.step_count);
    if (filters_ == nullptr) return;
    filters = 0;
    int64_t blocks = 0;
    for (int i = 0; i < p.set_count; ++i) {
      first_filter_[i] = filters;
      find_filters(i);
      for (int64_t k = 0; k < p.sets[i].count; ++k, blocks += most_blocks(i)) {
        filters_[filters + k].place = blocks;
      }
      longest_[i] = 0;
      for (int64_t k = 0; k < p.sets[i].count; ++k) {
        longest_[i] = max(longest_[i], blocks_of(filter_of(i, k)));
      }
      filters += p.sets[i].count;
    }
    for (int i = 0; i < p.child_count; ++i) costs_[p.children[i]] = cost_of(p.children[i]);
    for (int i = -1; i < p.step_count; ++i) {
      if (i < 0 || p.steps[i].kind == Kind::wavelet) spectra_[i + 1] = kept_of(i);
    }
  }

  int64_t strands() const {
    const int64_t spectrum = blocks() * int64_t{sizeof(Element<T>)};
    const int64_t numbers = (with_psi_ ? sum_blocks() * p : 0) + (with_phi_ ? p_.phi_numbers : 0);
    const int64_t sums = numbers * int64_t{sizeof(T)};
    return max(1, min(most_strands, strands_bytes / max(spectrum, sums)));
  }
  FilterSums<T> filter_sums(Arena& arena) const {
    FilterSums<T> sums{};
    if (with_psi_) {
      sums.blocks = arena.take<Vector<T, p>>(sum_blocks());
      sums.touched = arena.take<bool>(filter_count_);
      if (sums.touched != nullptr) std::fill_n(sums.touched, filter_count_, false);
    }
    if (with_phi_) {
      sums.phi = arena.take<T>(p_.phi_numbers);
      if (sums.phi != nullptr) std::fill_n(sums.phi, p_.phi_numbers, T(0));
    }
    return sums;
  }
  int64_t blocks() const { return p_.padded.last / p; }  // of a signal's spectrum
  const GroupWalk<T>& gathering() const { return gathering_; }

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
    if (gathering_.steps() > 0) room.group = gathering_.room(backward_, arena);
    room.padded = arena.take<T>(n * P);
    room.product = arena.take<Element<T>>(product / p + 1);
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
      level.spectrum = arena.take<Element<T>>(bins / p);
      if (backward_) level.grad_spectrum = arena.take<Element<T>>(bins / p);
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
    forward_rows(f, room.points, a, room.lines);
    unite_real(f, -1, a, group.spectrum, room);
    if (!backward_) return;
    clear(group.grad_spectrum, -1);
    for (int64_t i = 1; i < strands(); ++i) {
      strand_of(group, i).for_blocks(blocks(), [&](int64_t block) SCATCUDA_LAMBDA {
        group.grad_spectrum[i * blocks() + block] = Element<T>{};
      });
    }
  }

  // All that follows from the index-th bundle of a group
  void forward(const SignalGroup<T>& group, int64_t index, const SignalRoom<T>& room) const {
    Bundle<T> bundle;
    First first = first_of(group, index, group.stored, &bundle);
    const int64_t length = take(first, group.spectrum, room.product);
    propagate(first.step, length, bundle, room);
  }

  // The gradients of the planes that a signal's groups of a family gather
  void gather_back(const SignalGroup<T>& group, int64_t signal, int family,
                   const SignalRoom<T>& room) const {
    const int64_t at = signal * gathering_.numbers();
    for (int step = family; step < gathering_.steps(); ++step) {
      if (gathering_.family_of(step) != family) continue;
      gathering_.backward(step, group.stored + at, group.gS + signal * p_.channels * p_.unit,
                          group.grad_stored + at, spreads_, room.group);
    }
  }

  // The gradients of x̂ that a strand's bundles send back
  void backward(const SignalGroup<T>& group, int64_t strand, FilterSums<T>* sums,
                const SignalRoom<T>& room) const {
    Element<T>* sum = group.grad_spectrum + strand * blocks();
    const Strand own = strand_of(group, strand);
    if (with_phi_ && strand == 0) add_signals(group, *sums, room);
    for (int64_t index = own.first; index < own.last; ++index) {
      Bundle<T> bundle;
      bundle.sums = sums;
      First first = first_of(group, index, group.grad_stored, &bundle);
      const int64_t length = take(first, group.spectrum, room.product);
      back(first.step, length, bundle, room);
      if (with_psi_) add_first(first, bundle, group.spectrum, room.product);
      give(first, bundle.count, room.product, sum);
    }
  }

  // The gradients of a set's filters from the sums of `count` strands; the others stay as they are
  void filters(int set, const FilterSums<T>* sums, int64_t count, T* grad_psi) const {
    const SetBand band = band_of(set);
    T* to = grad_psi + (band.psi - bank_.psi);
    for (int64_t i = 0; i < p_.sets[set].count; ++i) {
      const int64_t number = first_filter_[set] + i;
      const Filter& own = filters_[number];
      for (int64_t bin = own.first; bin < own.last; ++bin) {
        const int64_t block = own.place + bin / p - own.first / p;
        T sum = 0;
        for (int64_t strand = 0; strand < count; ++strand) {
          if (sums[strand].touched[number]) sum += sums[strand].blocks[block][bin % p];
        }
        to[band.row(bin) * band.lanes + i] = sum;
      }
    }
  }

  // The gradient of x from those of x̂, and from the signals' own average
  void end(const SignalGroup<T>& group, const SignalRoom<T>& room) const {
    const int64_t P = p_.padded.last;
    if (p_.child_count > 0) {
      Element<T>* sum = group.grad_spectrum;
      for (int64_t i = 1; i < strands(); ++i) {
        strand_of(group, i).for_blocks(blocks(), [&](int64_t block) SCATCUDA_LAMBDA {
          sum[block] = sum[block] + sum[i * blocks() + block];
        });
      }
      const SplitLine<T>& f = line(P);
      split_real(f, -1, sum, room.back, room);
      inverse_rows(f, room.back, room.points, room.lines);
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
  struct Filter {  // the bins first … last − 1 that it has of its set's band, see SetBand
    int64_t first = 0, last = 0;
    int64_t place = 0;  // of its blocks in FilterSums
  };
  // What the blocks of a filter of a set may be at most, and those of all
  int64_t most_blocks(int set) const { return p_.sets[set].side[0] / p + 1; }
  int64_t sum_blocks() const {
    int64_t sum = 0;
    for (int i = 0; i < p_.set_count; ++i) sum += p_.sets[i].count * most_blocks(i);
    return sum;
  }
  static int64_t blocks_of(const Filter& own) {
    return own.first < own.last ? ceil_div(own.last, p) - own.first / p : 0;
  }
  struct Kept {  // of the blocks of a real plane's spectrum: the first and the last ones
    int64_t head = 0, tail = 0, total = 0;
    template <class F>
    SCATCUDA_INLINE void for_blocks(F&& f) const {
      for (int64_t i = 0; i < head; ++i) f(i);
      for (int64_t i = max(head, total - tail); i < total; ++i) f(i);
    }
  };
  // Bundles first … last − 1, and the blocks low … high − 1 of x̂, counted on, that they take
  struct Strand {
    int64_t first = 0, last = 0, low = 0, high = 0;
    template <class F>
    SCATCUDA_INLINE void for_blocks(int64_t total, F&& f) const {
      for (int64_t i = low; i < min(high, total); ++i) f(i);
      const int64_t from = max(low, total) - total;
      for (int64_t i = from; i < min(high - total, high - low < total ? total : low); ++i) f(i);
    }
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
      for (int q = 0; q < R; ++q) put_turn(int64_t{c} * q, size, table + 2 * (c * R + q));
    }
  }
  // e^{2πi k/n}
  static void put_turn(int64_t k, int64_t side, T* to) {
    const double angle = 2 * trig::pi * static_cast<double>(k) / static_cast<double>(side);
    to[0] = static_cast<T>(cos(angle)), to[1] = static_cast<T>(sin(angle));
  }
  int64_t source_of(const Step& s) const {
    return s.source < 0 ? p_.padded.last : p_.steps[s.source].grid.last;
  }
  // Whether a step before averages by the same matrix
  bool has_spread(int step, int index) const {
    for (int i = 0; i < step; ++i) {
      const int average = p_.steps[i].average;
      if (average >= 0 && p_.steps[average].matrix[2] == index) return true;
    }
    return false;
  }
  bool has_side(int64_t P) const {
    if (P == p_.padded.last) return true;
    for (int i = 0; i < p_.step_count; ++i) {
      if (p_.steps[i].kind == Kind::wavelet && p_.steps[i].grid.last == P) return true;
    }
    return false;
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

  // A set keeps the bins tail … side − 1 and 0 … head − 1: its band, tail … side + head − 1 where
  // bins are counted on. Their rows in the table begin with bin 0.
  struct SetBand {
    const T* psi;
    int64_t lanes, head, tail, side;
    int64_t length() const { return head + side - tail; }
    int64_t row(int64_t bin) const { return bin < side ? head + bin - tail : bin - side; }
  };
  SetBand band_of(int set) const {
    const Set& s = p_.sets[set];
    const int64_t* row = bank_.psi_support + s.row;
    return {bank_.psi + row[0], s.lanes, row[1], row[2], s.side[0]};
  }
  const Filter& filter_of(int set, int64_t index) const {
    return filters_[first_filter_[set] + index];
  }

  // What of the band of several filters, or of all bins, is a filter's own: what is negligible
  // beside its peak is not
  void find_filters(int set) {
    const SetBand band = band_of(set);
    const int64_t count = p_.sets[set].count, end = band.side + band.head;
    Filter* filters = filters_ + first_filter_[set];
    for (int64_t i = 0; i < count; ++i) filters[i] = {band.tail, end};
    if (with_psi_ || (count == 1 && band.length() < band.side)) return;
    constexpr int W = full_lanes<T>;
    using Bins = decltype(Lanes<T>{} < Lanes<T>{});
    using Number = Scalar<Bins>;
    const T negligible = sizeof(T) == 4 ? T(0x1p-24) : T(0x1p-53);
    const int64_t together = min(W, band.lanes),
                  rows = W / together;  // filters and bins of a vector
    Bins row{};
    for (int64_t lane = 0; lane < W; ++lane) row[lane] = static_cast<Number>(lane / together);
    for (int64_t i = 0; i < count; i += together) {
      // f(bins, sizes there)
      const auto each = [&](auto f) SCATCUDA_LAMBDA {
        const auto part = [&](int64_t entry, int64_t last, int64_t bin) SCATCUDA_LAMBDA {
          for (; entry < last; entry += rows, bin += rows) {
            const T* from = band.psi + entry * band.lanes + i;
            Lanes<T> v{};
            if (entry + rows <= last) {
              v = load<W>(from);
            } else {
              std::memcpy(&v, from, static_cast<size_t>((last - entry) * band.lanes) * sizeof(T));
            }
            f(row + static_cast<Number>(bin), v < T(0) ? -v : v);
          }
        };
        part(0, band.head, band.side);
        part(band.head, band.length(), band.tail);
      };
      Lanes<T> peak{};
      each([&](const Bins&, const Lanes<T>& size)
               SCATCUDA_LAMBDA { peak = size > peak ? size : peak; });
      for (int64_t lane = together; lane < W; ++lane) {
        const int64_t filter = lane % together;
        if (peak[filter] < peak[lane]) peak[filter] = peak[lane];
      }
      for (int64_t lane = together; lane < W; ++lane) peak[lane] = peak[lane % together];
      Bins first = Bins{} + static_cast<Number>(end), last{};
      each([&](const Bins& bin, const Lanes<T>& size) SCATCUDA_LAMBDA {
        const Bins own = ~(size <= negligible * peak);  // what is not a number is kept
        first = own & (bin < first) ? bin : first;
        last = own & (bin >= last) ? bin + 1 : last;
      });
      for (int64_t filter = 0; filter < min(together, count - i); ++filter) {
        Filter& to = filters[i + filter] = {end, 0};
        for (int64_t lane = filter; lane < W; lane += together) {
          to.first = min(to.first, first[lane]), to.last = max(to.last, last[lane]);
        }
        to.first = min(to.first, to.last);
      }
    }
  }

  // Which blocks of a step's planes, or of the signal (−1), the next wavelets take
  Kept kept_of(int index) const {
    const int children = index < 0 ? p_.child_count : p_.steps[index].child_count;
    const int* child = index < 0 ? p_.children : p_.steps[index].children;
    Kept kept;
    kept.total = (index < 0 ? p_.padded.last : p_.steps[index].grid.last) / p;
    for (int c = 0; c < children; ++c) {
      const int set = p_.steps[child[c]].set;
      const int64_t side = p_.sets[set].side[0], half = side / 2;
      for (int64_t i = 0; i < p_.sets[set].count; ++i) {
        const Filter& own = filter_of(set, i);
        if (own.first == own.last) continue;
        // of the bins above half the side, those below it are kept that mirror them
        int64_t farthest = 0, nearest = side;
        const auto reach = [&](int64_t first, int64_t last) {  // bins of the spectrum
          if (first >= last) return;
          farthest = max(farthest, last - 1 <= half ? last - 1
                                   : first <= half  ? half
                                                    : side - first);
          if (last - 1 > half) nearest = min(nearest, max(first, half + 1));
        };
        reach(own.first, min(own.last, side));
        reach(max(own.first, side) - side, own.last - side);
        kept.tail = max(kept.tail, ceil_div(side - nearest, p));
        kept.head = max(kept.head, max(farthest / p, kept.tail) + 1);
      }
    }
    kept.head = min(kept.head, kept.total);
    return kept;
  }

  // f(block of the spectrum, block of the product, ψ̂ there) in the band of a filter; the number of
  // its blocks
  template <class F>
  SCATCUDA_INLINE int64_t for_products(int set, int64_t index, F&& f) const {
    const SetBand band = band_of(set);
    const Filter own = filter_of(set, index);
    const int64_t total = band.side / p, first = own.first / p;
    int64_t block = first;
    for (; block * p < own.last; ++block) {
      const int64_t bin = block * p;
      Vector<T, p> psi{};
      if (bin >= own.first && bin + p <= own.last) {
        const T* row = band.psi + band.row(bin) * band.lanes + index;
        SCATCUDA_UNROLL
        for (int i = 0; i < p; ++i) psi[i] = row[i * band.lanes];
      } else {
        SCATCUDA_UNROLL
        for (int i = 0; i < p; ++i) {
          if (bin + i < own.first || bin + i >= own.last) continue;
          psi[i] = band.psi[band.row(bin + i) * band.lanes + index];
        }
      }
      f(block < total ? block : block - total, block - first, psi);
    }
    return block - first;
  }
  // product = X ψ̂, for all planes of X; and X += product ψ̂. Products are as long as the longest of
  // their set, so that a filter's are the same whatever lies beside them.
  int64_t multiply(int set, int64_t index, const Element<T>* X, Element<T>* product) const {
    const int64_t own = for_products(
        set, index, [&](int64_t from, int64_t to, const Vector<T, p>& psi_) SCATCUDA_LAMBDA {
          const Lanes<T> psi = spread_pieces<T>(psi_);
          product[to] = {X[from].re * psi, X[from].im * psi};
        });
    std::fill(product + own, product + longest_[set], Element<T>{});
    return longest_[set];
  }
  void multiply_adjoint(int set, int64_t index, const Element<T>* product, Element<T>* X) const {
    for_products(set, index,
                 [&](int64_t to, int64_t from, const Vector<T, p>& psi_) SCATCUDA_LAMBDA {
                   const Lanes<T> psi = spread_pieces<T>(psi_);
                   X[to] = {X[to].re + product[from].re * psi, X[to].im + product[from].im * psi};
                 });
  }

  // --- the first wavelets, of planes that may come from any signal and filter ---

  int64_t bundles_of(int step, int64_t signals) const {
    return ceil_div(p_.sets[p_.steps[step].set].count * signals, n);
  }
  First first_of(const SignalGroup<T>& group, int64_t index, T* stored, Bundle<T>* bundle) const {
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
      bundle->stored[plane] = stored + first.signal[plane] * gathering_.numbers();
    }
    return first;
  }
  static T* lanes_of(Lanes<T>& v, int64_t plane) { return reinterpret_cast<T*>(&v) + plane * p; }
  static const T* lanes_of(const Lanes<T>& v, int64_t plane) {
    return reinterpret_cast<const T*>(&v) + plane * p;
  }
  // The work on a plane of a step and on all that follows from it
  double cost_of(int index) const {
    const Step& s = p_.steps[index];
    double cost = static_cast<double>(s.grid.last);
    for (int c = 0; c < s.child_count; ++c) {
      cost +=
          static_cast<double>(p_.sets[p_.steps[s.children[c]].set].count) * cost_of(s.children[c]);
    }
    return cost;
  }
  // Strands are neighbours, which share few bins with others, of about as much work each.
  Strand strand_of(const SignalGroup<T>& group, int64_t strand) const {
    double all = 0, before = 0;
    for (int c = 0; c < p_.child_count; ++c) {
      const int step = p_.children[c];
      all += static_cast<double>(bundles_of(step, group.count)) * costs_[step];
    }
    Strand own;
    int64_t index = 0;
    for (int c = 0; c < p_.child_count; ++c) {
      const int step = p_.children[c], set = p_.steps[step].set;
      const int64_t pairs = p_.sets[set].count * group.count;
      for (int64_t i = 0; i < bundles_of(step, group.count); ++i, ++index) {
        const double middle = before + costs_[step] / 2;
        before += costs_[step];
        const auto place = static_cast<int64_t>(middle / all * static_cast<double>(strands()));
        if (min(place, strands() - 1) != strand) continue;
        if (own.last == 0) own.first = index;
        own.last = index + 1;
        for (int64_t k = i * n / group.count; k <= (min(i * n + n, pairs) - 1) / group.count; ++k) {
          const Filter& filter = filter_of(set, k);
          if (filter.first == filter.last) continue;
          const int64_t low = filter.first / p, high = ceil_div(filter.last, p);
          own.low = own.low < own.high ? min(own.low, low) : low;
          own.high = max(own.high, high);
        }
      }
    }
    return own;
  }
  int64_t take(const First& first, const Element<T>* X, Element<T>* product) const {
    const int set = p_.steps[first.step].set;
    if (first.together) return multiply(set, first.filter[0], X, product);
    for (int i = 0; i < n; ++i) {
      const int64_t own = for_products(
          set, first.filter[i],
          [&](int64_t from, int64_t to, const Vector<T, p>& psi) SCATCUDA_LAMBDA {
            const Element<T>& x = X[from];
            store(lanes_of(product[to].re, i), load<p>(lanes_of(x.re, first.signal[i])) * psi);
            store(lanes_of(product[to].im, i), load<p>(lanes_of(x.im, first.signal[i])) * psi);
          });
      for (int64_t k = own; k < longest_[set]; ++k) {
        store(lanes_of(product[k].re, i), Vector<T, p>{});
        store(lanes_of(product[k].im, i), Vector<T, p>{});
      }
    }
    return longest_[set];
  }
  void give(const First& first, int64_t count, const Element<T>* product, Element<T>* X) const {
    const int set = p_.steps[first.step].set;
    if (first.together) return multiply_adjoint(set, first.filter[0], product, X);
    for (int i = 0; i < count; ++i) {
      for_products(set, first.filter[i],
                   [&](int64_t to, int64_t from, const Vector<T, p>& psi) SCATCUDA_LAMBDA {
                     T *re = lanes_of(X[to].re, first.signal[i]),
                       *im = lanes_of(X[to].im, first.signal[i]);
                     store(re, load<p>(re) + load<p>(lanes_of(product[from].re, i)) * psi);
                     store(im, load<p>(im) + load<p>(lanes_of(product[from].im, i)) * psi);
                   });
    }
  }

  // --- gradients of filters: Re conj X g, of the gradient g of the product ---

  static Lanes<T> conformed(const Element<T>& x, const Element<T>& g) {
    return x.re * g.re + x.im * g.im;
  }
  static Vector<T, p> sum_planes(const Lanes<T>& v, int64_t count) {
    Vector<T, p> sum{};
    for (int64_t i = 0; i < count; ++i) sum += load<p>(lanes_of(v, i));
    return sum;
  }
  // f(block of the spectrum, block of the product) -> what is added there
  template <class F>
  void add_gradient(FilterSums<T>& sums, int set, int64_t index, F&& f) const {
    const int64_t number = first_filter_[set] + index;
    Vector<T, p>* to = sums.blocks + filters_[number].place;
    const bool more = sums.touched[number];
    sums.touched[number] = true;
    for_products(set, index, [&](int64_t at, int64_t k, const Vector<T, p>&) SCATCUDA_LAMBDA {
      const Vector<T, p> g = f(at, k);
      to[k] = more ? to[k] + g : g;
    });
  }
  void add_first(const First& first, const Bundle<T>& bundle, const Element<T>* X,
                 const Element<T>* product) const {
    const int set = p_.steps[first.step].set;
    if (first.together) {
      return add_gradient(*bundle.sums, set, first.filter[0],
                          [&](int64_t at, int64_t k) SCATCUDA_LAMBDA {
                            return sum_planes(conformed(X[at], product[k]), bundle.count);
                          });
    }
    for (int64_t i = 0; i < bundle.count; ++i) {
      add_gradient(*bundle.sums, set, first.filter[i], [&](int64_t at, int64_t k) SCATCUDA_LAMBDA {
        const auto part = [&](const Lanes<T>& x, const Lanes<T>& g) SCATCUDA_LAMBDA {
          return load<p>(lanes_of(x, first.signal[i])) * load<p>(lanes_of(g, i));
        };
        return part(X[at].re, product[k].re) + part(X[at].im, product[k].im);
      });
    }
  }

  // gP[o, c] += Σ g[plane][o] U[plane][c], of the taps that are kept; `g` of each output in all
  // lanes of its plane
  void add_taps(const FilterSums<T>& sums, int matrix_index, const Lanes<T>* g, const Lanes<T>* u,
                int64_t count) const {
    const RowLowpass<T> a = matrix(matrix_index);
    for (int64_t o = 0; o < a.outputs; ++o) {
      T* row = sums.phi + (a.row(o) - bank_.phi);
      for (Band b = a.span(o); b.left(); b.go_round()) {
        const int64_t first = b.first, end = b.end();
        for (int64_t c = first / p; c * p < end; ++c) {
          const Vector<T, p> sum = sum_planes(u[c] * g[o], count);
          if (c * p >= first && c * p + p <= end) {
            store(row + c * p, load<p>(row + c * p) + sum);
            continue;
          }
          for (int64_t i = max(first, c * p); i < min(end, c * p + p); ++i) row[i] += sum[i % p];
        }
      }
    }
  }
  // The same of the signals themselves
  void add_signals(const SignalGroup<T>& group, const FilterSums<T>& sums,
                   const SignalRoom<T>& room) const {
    if (p_.average < 0 || p_.steps[p_.average].mean == Mean::mean) return;
    const Step& average = p_.steps[p_.average];
    const RowLowpass<T> a = matrix(average.matrix[2]);
    for (int64_t i = 0; i < group.count; ++i) {
      pad(p_, group.x + i * p_.signal.last, p_.padded.last, room.padded);
      const T* g = group.gS + (i * p_.channels + average.channel) * p_.unit;
      for (int64_t o = 0; o < a.outputs; ++o) {
        T* row = sums.phi + (a.row(o) - bank_.phi);
        for (Band b = a.span(o); b.left(); b.go_round()) {
          for (int64_t c = b.first, end = b.end(); c < end; ++c) row[c] += g[o] * room.padded[c];
        }
      }
    }
  }

  // --- spectra of real planes ---

  // a + i b after its rows -> the blocks that are kept
  void unite_real(const SplitLine<T>& f, int index, Element<T>* ab, Element<T>* X,
                  const SignalRoom<T>& room) const {
    const Kept& kept = spectra_[index + 1];
    unite<true>(f, ab, static_cast<Element<T>*>(nullptr), kept.head, X, room.lines);
    for (int64_t i = 0; i < min(kept.tail, kept.total - kept.head); ++i) {
      X[kept.total - 1 - i] = mirrored<T>(X[i], X[i + 1]);
    }
  }
  void clear(Element<T>* X, int index) const {
    spectra_[index + 1].for_blocks([&](int64_t i) { X[i] = Element<T>{}; });
  }
  // The gradient of a real plane feels of its spectrum's (g + conj g(−·)) / 2: -> a + i b before
  // its rows
  void split_real(const SplitLine<T>& f, int index, const Element<T>* g, Element<T>* ab,
                  const SignalRoom<T>& room) const {
    const Kept& kept = spectra_[index + 1];
    const int64_t total = kept.total, head = min(kept.head, total / 2);
    const auto at = [&](int64_t i) SCATCUDA_LAMBDA {
      i = i < total ? i : i - total;
      return i < kept.head || i >= total - kept.tail ? g[i] : Element<T>{};
    };
    const auto both = [&](int64_t i) SCATCUDA_LAMBDA {
      const Element<T> z = at(i) + mirrored<T>(at(total - 1 - i), at(total - i));
      room.product[i] = {z.re * T(0.5), z.im * T(0.5)};
    };
    for (int64_t i = 0; i < head; ++i) both(i), both(total - 1 - i);
    split<true>(f, room.product, head, total - head, ab, static_cast<Element<T>*>(nullptr),
                room.lines);
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
      const Spread<T>& spread = spreads_[average.matrix[2]];
      spread_outputs(spread, gS, room.lanes);
      if (with_phi_) {
        add_taps(*bundle.sums, average.matrix[2], room.lanes, room.points, bundle.count);
      }
      average_pieces_adjoint(spread, room.lanes, room.points);
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
    const bool averages = s.average >= 0 && bundle.S[0] != nullptr;
    if (!averages && s.child_count == 0 && !s.stored) return;
    const SplitLine<T>& f = line(s.grid.last);
    const auto& level = room.level[s.level - 1];
    const int64_t folded = fold(f, length, room.product), total = f.P / p;
    if (s.stored) {
      std::fill(room.product + folded, room.product + total, Element<T>{});
      std::rotate(room.product, room.product + total - shift_of(s, bundle), room.product + total);
      split<false>(f, room.product, total, total, level.a, level.b, room.lines);
      const Parts parts = parts_of(index, bundle);
      return stored_rows(f, level.a, level.b, parts.re, parts.im, room.lines);
    }
    split<false>(f, room.product, folded, total, level.a, level.b, room.lines);
    modulus_rows(f, level.a, level.b, false, averages ? room.points : nullptr,
                 s.child_count == 0 ? nullptr : level.a, room.lines);
    if (averages) average(s, bundle, room);
    if (s.child_count == 0) return;
    unite_real(f, index, level.a, level.spectrum, room);
    for_children(s, bundle, [&](int child, int64_t i) {
      const int64_t band = multiply(p_.steps[child].set, i, level.spectrum, room.product);
      propagate(child, band, bundle, room);
    });
  }
  // By how many blocks the band of a bundle's filter, not of the first level, begins behind bin 0
  int64_t shift_of(const Step& s, const Bundle<T>& bundle) const {
    const int64_t filter = bundle.plane[0] % p_.sets[s.set].count;
    return filter_of(s.set, filter).first / p % (s.grid.last / p);
  }
  struct Parts {  // of the planes of a bundle that are stored
    T *re[n], *im[n];
  };
  Parts parts_of(int index, const Bundle<T>& bundle) const {
    Parts parts;
    for (int i = 0; i < n; ++i) {
      parts.re[i] = gathering_.plane(bundle.stored[i], index, bundle.plane[i]);
      parts.im[i] = parts.re[i] + gathering_.pitch(p_.steps[index]);
    }
    return parts;
  }
  // Of a band that is longer than the line what lies P bins apart is one bin: the blocks that are
  // left
  static int64_t fold(const SplitLine<T>& f, int64_t length, Element<T>* product) {
    const int64_t total = f.P / p;
    for (int64_t i = length - 1; i >= total; --i) {
      product[i - total] = product[i - total] + product[i];
    }
    return min(length, total);
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
    if (s.stored) {
      const Parts parts = parts_of(index, bundle);
      stored_rows_adjoint(f, parts.re, parts.im, level.a, level.b, room.lines);
      const int64_t total = f.P / p;
      send_back(f, level, total, room);
      std::rotate(room.product, room.product + shift_of(s, bundle), room.product + total);
      for (int64_t i = total; i < length; ++i) room.product[i] = room.product[i - total];
      return;
    }
    if (!further && s.average < 0) {
      std::fill_n(room.product, length, Element<T>{});
      return;
    }
    split<false>(f, room.product, fold(f, length, room.product), f.P / p, level.a, level.b,
                 room.lines);
    const bool needs_u = with_phi_ && s.average >= 0 && p_.steps[s.average].mean != Mean::mean;
    const bool stays = further || needs_u;  // W, in time
    if (stays) {
      modulus_rows(f, level.a, level.b, true, static_cast<Lanes<T>*>(nullptr),
                   further ? room.back : nullptr, room.lines);
    }
    if (further) {
      unite_real(f, index, room.back, level.spectrum, room);
      clear(level.grad_spectrum, index);
      for_children(s, bundle, [&](int child, int64_t i) {
        const int set = p_.steps[child].set;
        const int64_t band = multiply(set, i, level.spectrum, room.product);
        back(child, band, bundle, room);
        if (with_psi_) {
          add_gradient(*bundle.sums, set, i, [&](int64_t at, int64_t from) SCATCUDA_LAMBDA {
            return sum_planes(conformed(level.spectrum[at], room.product[from]), bundle.count);
          });
        }
        multiply_adjoint(set, i, room.product, level.grad_spectrum);
      });
      split_real(f, index, level.grad_spectrum, room.back, room);
    }
    if (needs_u) points_of_rows(f, level.a, level.b, room.points);
    if (s.average >= 0) average_adjoint(s, bundle, room);
    const Lanes<T>* points = s.average < 0 ? nullptr : room.points;
    const Element<T>* sent = further ? room.back : nullptr;
    turn_rows(f, level.a, level.b, stays, points, sent, room.lines);
    send_back(f, level, length, room);
  }
  // The gradient of W along its rows -> that of the band's products
  void send_back(const SplitLine<T>& f, const typename SignalRoom<T>::Level& level, int64_t length,
                 const SignalRoom<T>& room) const {
    const int64_t total = f.P / p;
    unite<false>(f, level.a, level.b, min(length, total), room.product, room.lines);
    for (int64_t i = total; i < length; ++i) room.product[i] = room.product[i - total];
  }

  const Program& p_;
  const Bank<T>& bank_;
  const GroupWalk<T> gathering_;
  const bool backward_, with_psi_, with_phi_;
  int64_t filter_count_ = 0;
  const T** factors_;
  SplitLine<T>* lines_;
  Spread<T>* spreads_ = nullptr;
  int64_t* first_filter_;
  Filter* filters_;
  int64_t* longest_;  // the most blocks of a filter, by sets
  Kept* spectra_;
  double* costs_;  // of the first wavelets
};

}  // namespace SCATCUDA_ISA
}  // namespace scatcuda
