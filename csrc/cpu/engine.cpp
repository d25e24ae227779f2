// Compiled once for each instruction set (SCATCUDA_ISA: baseline, avx2, avx512, with the compiler
// flags to match) and number type (SCATCUDA_REAL: float, double); see setup.py.
#include "engine.h"

#include <algorithm>
#include <new>

#include "backward.h"
#include "stages.h"

namespace scatcuda {
inline namespace SCATCUDA_ISA {
namespace {

using T = SCATCUDA_REAL;

// f(thread, i) for every i in [0, count), the threads taking the next one in turn
template <class F>
void in_turn(const Executor& executor, int64_t threads, int64_t count, F&& f) {
  int64_t next = 0;
  auto body = [&](int64_t thread) {
    for (;;) {
      const int64_t i = __atomic_fetch_add(&next, 1, __ATOMIC_RELAXED);
      if (i >= count) return;
      f(thread, i);
    }
  };
  executor.run(
      executor.self, threads,
      [](void* p, int64_t task) { (*static_cast<decltype(body)*>(p))(task); }, &body);
}

// How a batch is cut: over its images, or over the stages of each; and the buffers for that.
template <int Slots>
struct Crew {
  using Image = ImageBuffers<T, Slots>;
  using Own = ThreadBuffers<T, Slots>;
  bool share;
  int64_t threads;
  Image* images;
  Own* own;

  Crew(const Schedule& s, Pass pass, bool share_, int64_t threads_, Arena& arena)
      : share(share_), threads(threads_) {
    const int64_t count = share ? 1 : threads;
    images = arena.take<Image>(count);
    own = arena.take<Own>(threads);
    for (int64_t i = 0; i < count; ++i) {
      const Image buffers(s, pass, arena);
      if (images != nullptr) new (images + i) Image(buffers);
    }
    for (int64_t i = 0; i < threads; ++i) {
      const Own buffers(s, pass, arena);
      if (own != nullptr) new (own + i) Own(buffers);
    }
  }

  // f(i, image buffers, threads' buffers, team) for every i in [0, count)
  template <class F>
  void each(const Executor& executor, int64_t count, F&& f) const {
    if (share) {
      for (int64_t i = 0; i < count; ++i) f(i, *images, own, Team(&executor, 0));
    } else {
      in_turn(executor, threads, count,
              [&](int64_t thread, int64_t i) { f(i, images[thread], own, Team(nullptr, thread)); });
    }
  }
};

// What a call works on; with a null workspace only its bytes are counted.
struct Forward {
  const Schedule& s;
  const Bank<T>& bank;
  int64_t B;
  const T* x;
  T* S;
  void* workspace;
  const Executor& executor;

  template <int Slots>
  int64_t run() const {
    Arena arena(workspace);
    const Cascade<T, Slots> cascade(s, bank, arena);
    const bool share = share_images(s, B, executor.threads);
    const int64_t threads = share ? executor.threads : max(1, min(executor.threads, B));
    const Crew<Slots> crew(s, Pass::forward, share, threads, arena);
    if (workspace == nullptr) return arena.used();
    const int64_t pixels = s.M * s.N, area = s.channels * s.m * s.n;
    crew.each(executor, B, [&](int64_t b, const auto& image, const auto* own, const Team& team) {
      cascade(x + b * pixels, S + b * area, image, own, team);
    });
    return arena.used();
  }
};

struct Reverse {
  const Schedule& s;
  const Bank<T>& bank;
  int64_t psi_entries;  // 0 where the gradient of psi is not wanted
  bool with_phi;
  int64_t B;
  const T *x, *g;
  const Gradients<T>& gradients;
  void* workspace;
  const Executor& executor;

  // The filters' gradients are sums over the images. These are cut into groups, as many as the
  // problem has room for, whatever the number of threads; the groups' sums are added in their
  // order.
  template <int Slots>
  int64_t run() const {
    constexpr int64_t most_groups = 16, sums_bytes = int64_t{32} << 20;
    const bool filters = psi_entries > 0 || with_phi;
    const int64_t entries = psi_entries + (with_phi ? s.phi_offset(s.J) : 0);
    const int64_t room = sums_bytes / (max(entries, 1) * static_cast<int64_t>(sizeof(T)));
    const int64_t groups = filters ? max(1, min(B, min(room, most_groups))) : B;
    Arena arena(workspace);
    const Backward<T, Slots> backward(s, bank, arena);
    const bool share = !filters && share_images(s, B, executor.threads);
    const int64_t threads = share ? executor.threads : max(1, min(executor.threads, groups));
    const Pass pass = with_phi ? Pass::backward_with_phi : Pass::backward;
    const Crew<Slots> crew(s, pass, share, threads, arena);
    T* sums = filters ? arena.take<T>(groups * entries) : nullptr;
    if (workspace == nullptr) return arena.used();

    const int64_t pixels = s.M * s.N, area = s.channels * s.m * s.n;
    crew.each(executor, groups,
              [&](int64_t group, const auto& image, const auto* own, const Team& team) {
                Gradients<T> to{nullptr, nullptr, nullptr};
                if (filters) {
                  T* sum = sums + group * entries;
                  for (int64_t i = 0; i < entries; ++i) sum[i] = 0;
                  if (psi_entries > 0) to.psi = sum;
                  if (with_phi) to.phi = sum + psi_entries;
                }
                const int64_t first = share_of(group, groups, B);
                for (int64_t b = first; b < share_of(group + 1, groups, B); ++b) {
                  if (gradients.x != nullptr) to.x = gradients.x + b * pixels;
                  backward(x + b * pixels, g + b * area, to, image, own, team);
                }
              });
    for (int64_t i = 0; filters && i < entries; ++i) {
      T total = sums[i];
      for (int64_t group = 1; group < groups; ++group) total += sums[group * entries + i];
      (i < psi_entries ? gradients.psi[i] : gradients.phi[i - psi_entries]) = total;
    }
    return arena.used();
  }
};

// With as many slots as the angles leave room for
template <class Call>
int64_t run(const Call& call) {
  constexpr int W = full_lanes<T>;
  if constexpr (W >= 16) {
    if (call.s.lanes == 4) return call.template run<W / 4>();
  }
  if constexpr (W >= 8) {
    if (call.s.lanes <= W / 2) return call.template run<2>();
  }
  return call.template run<1>();
}

int64_t workspace_bytes(const Problem& problem, int64_t B, int64_t threads) {
  const Schedule s = schedule_of(problem);
  return run(Forward{s, {}, B, nullptr, nullptr, nullptr, {threads, nullptr}});
}

Status scattering2d(const Problem& problem, const Bank<T>& bank, int64_t B, const T* x, T* S,
                    void* workspace, int64_t bytes, const Executor& executor) {
  Shape shape;
  const Status status = shape_of(problem, &shape);
  if (status != Status::ok || B == 0) return status;
  if (workspace == nullptr || bytes < workspace_bytes(problem, B, executor.threads)) {
    return Status::workspace_too_small;
  }
  run(Forward{schedule_of(problem), bank, B, x, S, workspace, executor});
  return Status::ok;
}

int64_t backward_workspace_bytes(const Problem& problem, int64_t psi_entries, bool with_phi,
                                 int64_t B, int64_t threads) {
  const Schedule s = schedule_of(problem);
  return run(
      Reverse{s, {}, psi_entries, with_phi, B, nullptr, nullptr, {}, nullptr, {threads, nullptr}});
}

Status scattering2d_backward(const Problem& problem, const Bank<T>& bank, int64_t psi_entries,
                             int64_t B, const T* x, const T* g, const Gradients<T>& gradients,
                             void* workspace, int64_t bytes, const Executor& executor) {
  Shape shape;
  const Status status = shape_of(problem, &shape);
  if (status != Status::ok) return status;
  const bool with_phi = gradients.phi != nullptr;
  if (gradients.psi == nullptr) psi_entries = 0;
  if (B == 0) {
    std::fill_n(gradients.psi, psi_entries, T(0));
    std::fill_n(gradients.phi, with_phi ? phi_entries(problem) : 0, T(0));
    return Status::ok;
  }
  if (workspace == nullptr ||
      bytes < backward_workspace_bytes(problem, psi_entries, with_phi, B, executor.threads)) {
    return Status::workspace_too_small;
  }
  run(Reverse{schedule_of(problem), bank, psi_entries, with_phi, B, x, g, gradients, workspace,
              executor});
  return Status::ok;
}

}  // namespace
}  // namespace SCATCUDA_ISA

#define SCATCUDA_PASTE(isa, real) engine_##isa##_##real
#define SCATCUDA_ENGINE(isa, real) SCATCUDA_PASTE(isa, real)
const Engine<T> SCATCUDA_ENGINE(SCATCUDA_ISA, SCATCUDA_REAL) = {workspace_bytes,
                                                                scattering2d,
                                                                backward_workspace_bytes,
                                                                scattering2d_backward,
                                                                filter_fold<T>,
                                                                filter_fold_backward<T>,
                                                                modulus<T>,
                                                                modulus_backward<T>};

}  // namespace scatcuda
