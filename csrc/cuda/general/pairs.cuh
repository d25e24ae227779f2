// Pair steps: means of products of stored planes, and back.
#pragma once

#include "../passes/pair.cuh"
#include "wave.cuh"

namespace scatcuda {
namespace cuda {

template <class T>
class Pairs {
 public:
  explicit Pairs(Wave<T>& wave) : w_(wave) {
    for (int i = 0; i < w_.p.step_count; ++i) {
      if (w_.p.steps[i].kind == Kind::pair) prepare(i);
    }
  }

  // Those of all planes that pairs with weights take; to be called before them
  void take_spectra() const {
    for (const auto& s : w_.stored) {
      if (!s.spectral) continue;
      const int64_t size = w_.size * s.numbers * Wave<T>::template bytes<Complex<T>>;
      w_.queue.copy(s.spectra, s.values, size);
      w_.transform(Direction::forward, w_.plane(s.step), w_.planes(s.step), s.spectra, s.spectra);
      if (w_.task != Task::forward) w_.queue.clear(s.of_spectra, size);
    }
  }

  void forward(int i) const {
    const PairArguments<T> a = arguments(i);
    const int together = weighted(i) ? paired_filters : 1;
    w_.queue.run(weighted(i) ? pair_kernel<T, true> : pair_kernel<T, false>,
                 {a.images * a.pairs * a.shifts * ceil_div(a.filters, together)}, pair_threads, 0,
                 a);
  }

  // The gradients of the planes of both sources, or of their spectra, on top of what is there, and
  // those of the weights
  void backward(int i) const {
    const Step& s = w_.p.steps[i];
    const PairArguments<T> a = arguments(i);
    for (const int side : {0, 1}) {
      const int source = side == 0 ? s.source : s.other;
      if (side == 1 && s.other == s.source) break;
      const auto& planes = *w_.stored_of(source);
      const Plane of = w_.plane(source);
      w_.queue.run(weighted(i) ? pair_backward_kernel<T, true> : pair_backward_kernel<T, false>,
                   {w_.images * w_.planes(source) * ceil_div(of.points(), pair_threads)},
                   pair_threads, 0, a, prepared(i).rows[side], of,
                   weighted(i) ? planes.of_spectra : planes.gradients);
    }
    if (!weighted(i) || a.grad_psi == nullptr) return;
    w_.queue.run(pair_filter_kernel<T>, {ceil_div(a.grid.points() * a.filters, pair_threads)},
                 pair_threads, 0, a);
  }

  // From the gradients of a source's spectra, when all pairs have given to them, to its planes'
  void return_spectra(int source) const {
    const auto* planes = w_.stored_of(source);
    if (planes == nullptr || !planes->spectral) return;
    const int64_t count = w_.images * planes->numbers;
    w_.transform(Direction::inverse, w_.plane(source), w_.planes(source), planes->of_spectra,
                 planes->of_spectra);
    w_.queue.run(add_planes_kernel<T>, items(count), stage_threads, 0, count, planes->of_spectra,
                 planes->gradients);
  }

 private:
  // What the waves share
  struct Prepared {
    int step;
    const int *pair, *shift;
    PairRows rows[2];
  };

  bool weighted(int i) const { return w_.p.steps[i].set >= 0; }
  const Prepared& prepared(int i) const {
    size_t at = 0;
    while (prepared_[at].step != i) ++at;
    return prepared_[at];
  }

  void prepare(int i) {
    const Step& s = w_.p.steps[i];
    const bool lines = w_.p.rank == 1;
    std::vector<int> pair(s.pair, s.pair + 2 * s.pairs), shift;
    for (int64_t k = 0; k < max(s.shifts, 1); ++k) {
      const int64_t none[3] = {}, *by = s.shifts > 0 ? s.shift + 3 * k : none;
      for (const int part : {lines ? 2 : 0, 1, lines ? 0 : 2}) {
        shift.push_back(static_cast<int>(by[part]));
      }
    }
    Prepared made{i, w_.upload(pair), w_.upload(shift), {}};
    const bool one = s.source == s.other;
    for (int side = 0; side < (one ? 1 : 2) && w_.task != Task::forward; ++side) {
      const int64_t planes = w_.planes(side == 0 ? s.source : s.other);
      std::vector<std::vector<int>> of(static_cast<size_t>(planes));
      for (size_t k = 0; k < pair.size(); ++k) {
        if (one || static_cast<int>(k % 2) == side) {
          of[static_cast<size_t>(pair[k])].push_back(static_cast<int>(k));
        }
      }
      std::vector<int> row{0}, list;
      for (const auto& entries : of) {
        list.insert(list.end(), entries.begin(), entries.end());
        row.push_back(static_cast<int>(list.size()));
      }
      made.rows[side] = {w_.upload(row), w_.upload(list), planes};
    }
    prepared_.push_back(made);
  }

  // Planes, or their spectra, of one source
  PairSide<T> side(int source, bool spectra) const {
    const auto& planes = *w_.stored_of(source);
    return {spectra ? planes.spectra : planes.values, w_.planes(source), w_.plane(source)};
  }
  PairArguments<T> arguments(int i) const {
    const Step& s = w_.p.steps[i];
    PairArguments<T> a{};
    a.side[0] = side(s.source, weighted(i));
    a.side[1] = s.other == s.source ? a.side[0] : side(s.other, weighted(i));
    a.grid = plane_of(w_.p.rank, s.grid), a.signal = plane_of(w_.p.rank, w_.p.padded);
    a.pair = prepared(i).pair, a.shift = prepared(i).shift;
    a.images = w_.images, a.pairs = s.pairs, a.filters = 1;
    a.shifts = static_cast<int>(max(s.shifts, 1)), a.parts = s.parts;
    a.scale = T(1) / static_cast<T>(a.grid.points());
    if (weighted(i)) {  // the table is divided by the points of its grid
      const Set& set = w_.p.sets[s.set];
      a.filters = static_cast<int>(set.count), a.lanes = static_cast<int>(set.lanes);
      a.psi = w_.bank.psi, a.support = w_.bank.psi_support + set.row;
      a.psi_entries = w_.psi_entries, a.axes = w_.p.rank, a.grad_psi = w_.gradients.psi;
      a.scale = static_cast<T>(static_cast<double>(a.grid.points()) / a.side[0].of.points() /
                               a.side[1].of.points());
    }
    a.numbers = w_.p.channels;
    const int64_t first = s.channel;
    a.S = w_.S + first, a.grad = w_.grad + first;
    return a;
  }

  Wave<T>& w_;
  std::vector<Prepared> prepared_;
};

}  // namespace cuda
}  // namespace scatcuda
