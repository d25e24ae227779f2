// The walk of signals of one axis (signals/walk.h) over a batch. Compiled as engine.cpp is, beside
// it.
#include <new>

#include "signals/walk.h"
#include "team.h"

namespace scatcuda {
inline namespace SCATCUDA_ISA {
namespace {

using T = SCATCUDA_REAL;

// Signals go side by side in groups. So many of these at a time that the threads have enough to do
// and the rest waits outside the cache: first their spectra are made, then all bundles, group by
// group.
struct Groups {
  static constexpr int64_t points = int64_t{1} << 15;  // for a thread
  const SignalWalk<T>& walk;
  int64_t B, count, at_once, threads;
  SignalGroup<T>* groups;
  SignalRoom<T>* rooms;

  Groups(const Program& p, const SignalWalk<T>& walk_, int64_t B_, bool backward, int64_t threads_,
         Arena& arena)
      : walk(walk_), B(B_), count(ceil_div(B, beside<T>)), threads(max(threads_, 1)) {
    at_once = min(count, threads * max(1, points / (p.padded.last * beside<T>)));
    groups = arena.take<SignalGroup<T>>(at_once);
    rooms = arena.take<SignalRoom<T>>(threads);
    for (int64_t i = 0; i < at_once; ++i) {
      SignalGroup<T> group{};
      group.spectrum = arena.take<Element<T>>(walk.blocks());
      if (backward) group.grad_spectrum = arena.take<Element<T>>(walk.strands() * walk.blocks());
      const int64_t numbers = min(beside<T>, B) * walk.gathering().numbers();
      group.stored = arena.take<T>(numbers);
      if (backward) group.grad_stored = arena.take<T>(numbers);
      if (groups != nullptr) new (groups + i) SignalGroup<T>(group);
    }
    for (int64_t i = 0; i < threads; ++i) {
      const SignalRoom<T> room = walk.room(arena);
      if (rooms != nullptr) new (rooms + i) SignalRoom<T>(room);
    }
  }

  // f(signals, the number of one among them, the number of a group step, a room) for all of these
  template <class F>
  void each_step(const Executor& executor, int64_t now, F&& f) const {
    const int64_t steps = walk.gathering().steps();
    const int64_t signals = (now - 1) * beside<T> + groups[now - 1].count, total = signals * steps;
    in_turn(executor, min(threads, total), total, [&](int64_t t, int64_t i) {
      const int64_t signal = i % signals;
      f(groups[signal / beside<T>], signal % beside<T>, static_cast<int>(i / signals), rooms[t]);
    });
  }

  // f(group, its first signal, the number of its signals)
  template <class F>
  void place(int64_t first, F&& f) const {
    for (int64_t i = first; i < min(first + at_once, count); ++i) {
      SignalGroup<T>& group = groups[i - first];
      group.count = min(beside<T>, B - i * beside<T>);
      f(group, i * beside<T>);
    }
  }
};

}  // namespace

int64_t forward_signals(const Program& p, const Bank<T>& bank, int64_t B, const T* x, T* S,
                        void* workspace, const Executor& executor) {
  Arena arena(workspace);
  const SignalWalk<T> walk(p, bank, false, false, false, arena);
  const Groups all(p, walk, B, false, executor.threads, arena);
  if (workspace == nullptr) return arena.used();
  const int64_t numbers = walk.gathering().numbers();
  for (int64_t first = 0; first < all.count; first += all.at_once) {
    all.place(first, [&](SignalGroup<T>& group, int64_t b) {
      group.x = x + b * p.signal.last;
      group.S = S + b * p.channels * p.unit;
    });
    const int64_t now = min(all.at_once, all.count - first);
    in_turn(executor, min(all.threads, now), now,
            [&](int64_t t, int64_t i) { walk.begin(all.groups[i], all.rooms[t]); });
    // the last group may be smaller
    const int64_t each = walk.bundles(all.groups[0].count);
    const int64_t total = (now - 1) * each + walk.bundles(all.groups[now - 1].count);
    if (total == 0) continue;  // no wavelets
    in_turn(executor, min(all.threads, total), total, [&](int64_t t, int64_t i) {
      walk.forward(all.groups[i / each], i % each, all.rooms[t]);
    });
    if (numbers > 0)
      all.each_step(executor, now, [&](const auto& group, int64_t i, int step, const auto& room) {
        walk.gathering().forward(step, group.stored + i * numbers,
                                 group.S + i * p.channels * p.unit, room.group);
      });
  }
  return arena.used();
}

// Where filters' gradients are wanted a strand goes through all signals: what it sums up is the
// same however many threads there are.
int64_t backward_signals(const Program& p, const Bank<T>& bank, int64_t psi_entries, bool with_phi,
                         int64_t B, const T* x, const T* g, const Gradients<T>& gradients,
                         void* workspace, const Executor& executor) {
  const bool with_psi = psi_entries > 0, filters = with_psi || with_phi;
  Arena arena(workspace);
  const SignalWalk<T> walk(p, bank, true, with_psi, with_phi, arena);
  const Groups all(p, walk, B, true, executor.threads, arena);
  const int64_t strands = walk.strands(), numbers = walk.gathering().numbers();
  FilterSums<T>* sums = filters ? arena.take<FilterSums<T>>(strands) : nullptr;
  for (int64_t i = 0; filters && i < strands; ++i) {
    const FilterSums<T> sum = walk.filter_sums(arena);
    if (sums != nullptr) sums[i] = sum;
  }
  if (workspace == nullptr || (gradients.x == nullptr && !filters)) return arena.used();
  for (int64_t first = 0; first < all.count; first += all.at_once) {
    all.place(first, [&](SignalGroup<T>& group, int64_t b) {
      group.x = x + b * p.signal.last;
      group.gS = g + b * p.channels * p.unit;
      group.grad_x = gradients.x == nullptr ? nullptr : gradients.x + b * p.signal.last;
    });
    const int64_t now = min(all.at_once, all.count - first), total = now * strands;
    const auto of = [&](int64_t i) -> const SignalGroup<T>& { return all.groups[i]; };
    in_turn(executor, min(all.threads, now), now,
            [&](int64_t t, int64_t i) { walk.begin(of(i), all.rooms[t]); });
    if (numbers > 0) {
      // What groups gather, once more; then what S sends back to it
      const int64_t each = walk.bundles(all.groups[0].count);
      const int64_t bundles = (now - 1) * each + walk.bundles(all.groups[now - 1].count);
      in_turn(executor, min(all.threads, bundles), bundles,
              [&](int64_t t, int64_t i) { walk.forward(of(i / each), i % each, all.rooms[t]); });
      for (int64_t i = 0; i < now; ++i) {
        std::fill_n(all.groups[i].grad_stored, all.groups[i].count * numbers, T(0));
      }
      all.each_step(executor, now, [&](const auto& group, int64_t i, int step, const auto& room) {
        walk.gather_back(group, i, step, room);
      });
    }
    if (filters) {
      in_turn(executor, min(all.threads, strands), strands, [&](int64_t t, int64_t strand) {
        for (int64_t i = 0; i < now; ++i) {
          walk.backward(of(i), strand, sums + strand, all.rooms[t]);
        }
      });
    } else {
      in_turn(executor, min(all.threads, total), total, [&](int64_t t, int64_t i) {
        walk.backward(of(i / strands), i % strands, nullptr, all.rooms[t]);
      });
    }
    if (gradients.x == nullptr) continue;
    in_turn(executor, min(all.threads, now), now,
            [&](int64_t t, int64_t i) { walk.end(of(i), all.rooms[t]); });
  }
  for (int64_t i = 0; with_phi && i < p.phi_numbers; ++i) {
    gradients.phi[i] = sums[0].phi[i];
    for (int64_t strand = 1; strand < strands; ++strand) gradients.phi[i] += sums[strand].phi[i];
  }
  if (!with_psi) return arena.used();
  std::fill_n(gradients.psi, psi_entries, T(0));
  in_turn(executor, min(all.threads, p.set_count), p.set_count, [&](int64_t, int64_t set) {
    walk.filters(static_cast<int>(set), sums, strands, gradients.psi);
  });
  return arena.used();
}

}  // namespace SCATCUDA_ISA
}  // namespace scatcuda
