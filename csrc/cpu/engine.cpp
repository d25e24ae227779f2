// Compiled once for each instruction set (SCATCUDA_ISA: baseline, avx2, avx512, with the compiler
// flags to match) and number type (SCATCUDA_REAL: float, double); see setup.py.
#include "engine.h"

#include <new>

#include "stages.h"

namespace scatcuda {
inline namespace SCATCUDA_ISA {
namespace {

using T = SCATCUDA_REAL;

// Lays out the workspace and, unless it only counts the bytes, runs the batch.
template <int Slots>
int64_t run(const Schedule& s, const Bank<T>& bank, int64_t B, const T* x, T* S, void* workspace,
            const Executor& executor) {
  using Image = ImageBuffers<T, Slots>;
  using Own = ThreadBuffers<T, Slots>;
  Arena arena(workspace);
  const Cascade<T, Slots> cascade(s, bank, arena);
  const bool share = share_images(s, B, executor.threads);
  const int64_t tasks = share ? executor.threads : max(1, min(executor.threads, B));
  const int64_t images = share ? 1 : tasks;
  Image* image = arena.take<Image>(images);
  Own* own = arena.take<Own>(tasks);
  for (int64_t i = 0; i < images; ++i) {
    const Image buffers(s, arena);
    if (image != nullptr) new (image + i) Image(buffers);
  }
  for (int64_t i = 0; i < tasks; ++i) {
    const Own buffers(s, arena);
    if (own != nullptr) new (own + i) Own(buffers);
  }
  if (workspace == nullptr) return arena.used();

  const int64_t area = s.channels * s.m * s.n;
  if (share) {
    const Team team(&executor, 0);
    for (int64_t b = 0; b < B; ++b) cascade(x + b * s.M * s.N, S + b * area, *image, own, team);
    return arena.used();
  }
  int64_t next = 0;  // the threads take the next image in turn
  auto body = [&](int64_t task) {
    const Team team(nullptr, task);
    for (;;) {
      const int64_t b = __atomic_fetch_add(&next, 1, __ATOMIC_RELAXED);
      if (b >= B) return;
      cascade(x + b * s.M * s.N, S + b * area, image[task], own, team);
    }
  };
  executor.run(
      tasks, [](void* p, int64_t task) { (*static_cast<decltype(body)*>(p))(task); }, &body);
  return arena.used();
}

int64_t run_lanes(const Schedule& s, const Bank<T>& bank, int64_t B, const T* x, T* S,
                  void* workspace, const Executor& executor) {
  constexpr int W = full_lanes<T>;
  if constexpr (W >= 16) {
    if (s.lanes == 4) return run<W / 4>(s, bank, B, x, S, workspace, executor);
  }
  if constexpr (W >= 8) {
    if (s.lanes <= W / 2) return run<2>(s, bank, B, x, S, workspace, executor);
  }
  return run<1>(s, bank, B, x, S, workspace, executor);
}

int64_t workspace_bytes(const Problem& problem, int64_t B, int64_t threads) {
  const Bank<T> none{};
  return run_lanes(schedule_of(problem), none, B, nullptr, nullptr, nullptr, {threads, nullptr});
}

Status scattering2d(const Problem& problem, const Bank<T>& bank, int64_t B, const T* x, T* S,
                    void* workspace, int64_t bytes, const Executor& executor) {
  Shape shape;
  const Status status = shape_of(problem, &shape);
  if (status != Status::ok || B == 0) return status;
  if (workspace == nullptr || bytes < workspace_bytes(problem, B, executor.threads)) {
    return Status::workspace_too_small;
  }
  run_lanes(schedule_of(problem), bank, B, x, S, workspace, executor);
  return Status::ok;
}

}  // namespace
}  // namespace SCATCUDA_ISA

#define SCATCUDA_PASTE(isa, real) engine_##isa##_##real
#define SCATCUDA_ENGINE(isa, real) SCATCUDA_PASTE(isa, real)
const Engine<T> SCATCUDA_ENGINE(SCATCUDA_ISA, SCATCUDA_REAL) = {workspace_bytes, scattering2d,
                                                                filter_fold<T>, modulus<T>};

}  // namespace scatcuda
