// A wave of signals in the general tier: what its steps run with, and where their planes are.
#pragma once

#include <cstring>
#include <vector>

#include "../passes/rho.cuh"
#include "../passes/table.cuh"
#include "../queue.h"

namespace scatcuda {
namespace cuda {

inline Plane plane_of(int rank, const Grid& g) {
  const auto to_int = [](int64_t side) { return static_cast<int>(side); };
  if (rank == 1) return {to_int(g.last), 1, 1};
  return {to_int(g.first), to_int(g.middle), to_int(g.last)};
}

// A table of the host's in the workspace
template <class X>
X* upload(const std::vector<X>& from, Queue& queue, Workspace& workspace) {
  const int64_t words = static_cast<int64_t>(from.size() * sizeof(X) / 4);
  unsigned* to = workspace.take<unsigned>(words);
  for (int64_t first = 0; first < words && !queue.dry(); first += words_together) {
    Words some;
    some.count = static_cast<int>(min(words_together, words - first));
    std::memcpy(some.word, reinterpret_cast<const unsigned*>(from.data()) + first,
                4 * static_cast<size_t>(some.count));
    queue.run(write_kernel, {1}, write_threads, 0, some, to + first);
  }
  return reinterpret_cast<X*>(to);
}

inline Blocks items(int64_t count) { return {item_blocks(count)}; }  // for each_item

template <class T>
struct Wave {
  using Bins = Complex<T>*;
  template <class N>
  static constexpr int64_t bytes = static_cast<int64_t>(sizeof(N));

  // Planes of a step, −1: of the signal, that groups and pairs take, as complex ones: so many
  // numbers of a signal, and their spectra where pairs with weights take those. They are there
  // until the wave is done.
  struct Stored {
    int step;
    int64_t numbers;
    bool spectral;
    Bins values, gradients, spectra, of_spectra;  // the last: their gradients
  };

  const Program& p;
  const Bank<T>& bank;
  const int64_t psi_entries, size;  // signals at most
  const Task task;
  const bool walks;  // not all of it is fused
  Queue& queue;
  Workspace& workspace;
  std::vector<Stored> stored;

  // of the signals now
  int64_t images = 0;
  T* S = nullptr;
  const T* grad = nullptr;
  Gradients<T> gradients{};

  Wave(const Program& program, const Launch& launch, const Bank<T>& of, int64_t entries, Queue& q,
       Workspace& w)
      : p(program),
        bank(of),
        psi_entries(entries),
        size(launch.wave),
        task(launch.task),
        walks(!launch.whole),
        queue(q),
        workspace(w) {
    for (int i = -1; i < p.step_count; ++i) {
      if (!(i < 0 ? p.stored : p.steps[i].stored)) continue;
      const int64_t numbers = planes(i) * plane(i).points();
      const bool spectral = i < 0 ? p.spectral : p.steps[i].spectral, back = task != Task::forward;
      const auto room = [&](bool wanted) {
        return wanted ? take<Complex<T>>(size * numbers) : nullptr;
      };
      stored.push_back(
          {i, numbers, spectral, room(true), room(back), room(spectral), room(spectral && back)});
    }
  }

  template <class X>
  X* take(int64_t count) const {
    return workspace.template take<X>(count);
  }

  // Of a step, or of the signal
  Plane plane(int i) const { return plane_of(p.rank, i < 0 ? p.padded : p.steps[i].grid); }
  int64_t planes(int i) const { return i < 0 ? 1 : p.steps[i].planes; }
  const Step* average(int i) const {
    const int average = i < 0 ? p.average : p.steps[i].average;
    return average < 0 ? nullptr : p.steps + average;
  }
  const Stored* stored_of(int i) const {
    for (const Stored& s : stored) {
      if (s.step == i) return &s;
    }
    return nullptr;
  }

  void transform(Direction direction, const Plane& of, int64_t count, const void* in,
                 void* out) const {
    queue.transform({direction, sizeof(T) == 8, of.outer, of.middle, of.inner, size * count}, in,
                    out);
  }

  template <class X>
  X* upload(const std::vector<X>& from) const {
    return cuda::upload(from, queue, workspace);
  }
};

}  // namespace cuda
}  // namespace scatcuda
