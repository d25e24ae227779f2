// Group steps: filters along an axis of stored planes, and back.
#pragma once

#include "../passes/group.cuh"
#include "wave.cuh"

namespace scatcuda {
namespace cuda {

template <class T>
class Groups {
 public:
  using Bins = Complex<T>*;

  explicit Groups(Wave<T>& wave) : w_(wave) {
    for (int i = 0; i < w_.p.step_count; ++i) {
      if (w_.p.steps[i].kind == Kind::group) prepare(i);
    }
  }

  // Y, before ρ
  void forward(int i, Bins y) const {
    const GroupArguments<T> a = arguments(i, y);
    w_.queue.run(mix_kernel<T, false>, blocks(i, a.count * a.places), mix_threads, 0, a);
  }
  // From gY to the gradients of the planes that were taken, and of the filters
  void backward(int i, Bins grad_y) const {
    const Workspace::Scope scope(w_.workspace);
    const Step& s = w_.p.steps[i];
    const Prepared& table = prepared(i);
    GroupArguments<T> a = arguments(i, grad_y);
    a.x = w_.template take<Complex<T>>(w_.size * s.groups * s.length * a.points);
    w_.queue.run(mix_kernel<T, true>, blocks(i, s.length), mix_threads, 0, a);
    w_.queue.run(give_back_kernel<T>,
                 {w_.images * table.planes * ceil_div(a.points, stage_threads)}, stage_threads, 0,
                 a, static_cast<int>(table.planes));
    if (w_.task != Task::backward_with_filters) return;
    const int64_t taps = int64_t{a.count} * a.period;
    a.taps = w_.template take<Complex<T>>(taps);
    if (w_.gradients.psi == nullptr) return;
    w_.queue.run(group_filter_kernel<T>, {taps}, stage_threads, 0, a);
    w_.queue.run(taps_backward_kernel<T>, items(taps), stage_threads, 0, filters(i), a.taps);
  }

 private:
  // What the waves share
  struct Prepared {
    int step;
    Bins taps;
    const Gathered* gathered;
    const Taken* taken;
    const int* order;
    int64_t planes;  // that are taken
  };

  const Prepared& prepared(int i) const {
    size_t at = 0;
    while (prepared_[at].step != i) ++at;
    return prepared_[at];
  }
  int64_t place(const Complex<T>* planes) const {
    return planes - static_cast<const Complex<T>*>(w_.workspace.base());
  }
  Blocks blocks(int i, int64_t planes) const {
    return {w_.images * w_.p.steps[i].groups * ceil_div(planes, mixed_together) *
            mix_tiles(w_.plane(i).points())};
  }

  void prepare(int i) {
    const Step& s = w_.p.steps[i];
    const Set& set = w_.p.sets[s.set];
    const int64_t entries = s.groups * s.length, points = w_.plane(i).points();
    std::vector<Gathered> gathered(static_cast<size_t>(entries), Gathered{-1, 0});
    std::vector<Taken> taken;
    std::vector<int> order;
    // entries by the planes that they take
    std::vector<std::vector<int>> by_plane;
    int64_t first = 0;
    for (int k = 0; k < s.source_count; ++k) {
      const auto& from = *w_.stored_of(s.sources[k]);
      const int64_t count = w_.planes(s.sources[k]);
      by_plane.assign(static_cast<size_t>(count), {});
      for (int64_t e = 0; e < entries; ++e) {
        const int64_t plane = s.table[e] / 2 - first;
        if (s.table[e] < 0 || plane < 0 || plane >= count) continue;
        const int64_t at = place(from.values) + plane * points;
        gathered[static_cast<size_t>(e)] = {2 * at + s.table[e] % 2, from.numbers};
        by_plane[static_cast<size_t>(plane)].push_back(static_cast<int>(e));
      }
      for (size_t plane = 0; plane < by_plane.size(); ++plane) {
        if (by_plane[plane].empty()) continue;
        const int begin = static_cast<int>(order.size());
        order.insert(order.end(), by_plane[plane].begin(), by_plane[plane].end());
        taken.push_back({place(from.gradients) + static_cast<int64_t>(plane) * points, from.numbers,
                         begin, static_cast<int>(order.size())});
      }
      first += count;
    }
    Prepared made{i,
                  w_.template take<Complex<T>>(set.count * set.points),
                  w_.upload(gathered),
                  w_.upload(taken),
                  w_.upload(order),
                  static_cast<int64_t>(taken.size())};
    w_.queue.run(taps_kernel<T>, items(set.count * set.points), stage_threads, 0, filters(i),
                 made.taps);
    prepared_.push_back(made);
  }

  GroupFilters<T> filters(int i) const {
    const Set& set = w_.p.sets[w_.p.steps[i].set];
    return {w_.bank.psi,
            w_.bank.psi_support + set.row,
            w_.psi_entries,
            static_cast<int>(set.lanes),
            static_cast<int>(set.count),
            static_cast<int>(set.points),
            w_.gradients.psi};
  }
  GroupArguments<T> arguments(int i, Bins y) const {
    const Step& s = w_.p.steps[i];
    const Prepared& table = prepared(i);
    const auto to_int = [](int64_t value) { return static_cast<int>(value); };
    GroupArguments<T> a{};
    a.base = static_cast<Bins>(w_.workspace.base());
    a.table = table.gathered, a.taken = table.taken, a.order = table.order, a.taps = table.taps;
    a.y = y, a.images = w_.images, a.points = w_.plane(i).points();
    a.groups = to_int(s.groups), a.length = to_int(s.length), a.every = to_int(s.every);
    a.count = to_int(s.digit[1]), a.places = to_int(places_of(s));
    a.period = to_int(w_.p.sets[s.set].points);
    return a;
  }

  Wave<T>& w_;
  std::vector<Prepared> prepared_;
};

}  // namespace cuda
}  // namespace scatcuda
