// Compiled once for each instruction set (SCATCUDA_ISA: baseline, avx2, avx512, with the compiler
// flags to match) and number type (SCATCUDA_REAL: float, double); see setup.py.
#include "engine.h"

#include <algorithm>
#include <new>

#include "signals/engine.h"
#include "stages.h"
#include "walk_back.h"

namespace scatcuda {
inline namespace SCATCUDA_ISA {
namespace {

using T = SCATCUDA_REAL;

// How a batch is cut: over its signals, or over the stages of each; and the buffers for that.
struct Crew {
  using Signal = SignalBuffers<T>;
  using Own = ThreadBuffers<T>;
  bool share;
  int64_t threads;
  Signal* signals;
  Own* own;

  Crew(const Program& p, Pass pass, bool share_, int64_t threads_, Arena& arena)
      : share(share_), threads(threads_) {
    const int64_t count = share ? 1 : threads;
    signals = arena.take<Signal>(count);
    own = arena.take<Own>(threads);
    for (int64_t i = 0; i < count; ++i) {
      const Signal buffers(p, pass, arena);
      if (signals != nullptr) new (signals + i) Signal(buffers);
    }
    for (int64_t i = 0; i < threads; ++i) {
      Own buffers(p, pass, arena);
      if (own == nullptr) continue;
      buffers.stored = signals[share ? 0 : i].stored;
      buffers.grad_stored = signals[share ? 0 : i].grad_stored;
      new (own + i) Own(buffers);
    }
  }

  // f(i, signal's buffers, threads' buffers, team) for every i in [0, count)
  template <class F>
  void each(const Executor& executor, int64_t count, F&& f) const {
    if (share) {
      for (int64_t i = 0; i < count; ++i) f(i, *signals, own, Team(&executor, 0));
    } else {
      in_turn(executor, threads, count, [&](int64_t thread, int64_t i) {
        f(i, signals[thread], own, Team(nullptr, thread));
      });
    }
  }
};

// Both work in a workspace, and return its bytes; where there is none they only count them.
int64_t forward(const Program& p, const Bank<T>& bank, int64_t B, const T* x, T* S, void* workspace,
                const Executor& executor) {
  if (are_signals<T>(p)) return forward_signals(p, bank, B, x, S, workspace, executor);
  Arena arena(workspace);
  const Walk<T> walk(p, bank, Pass::forward, arena);
  const bool share = share_signals(p, B, executor.threads);
  const int64_t threads = share ? executor.threads : max(1, min(executor.threads, B));
  const Crew crew(p, Pass::forward, share, threads, arena);
  if (workspace == nullptr) return arena.used();
  walk.lay_out(executor);
  const int64_t points = points_of(p.signal), results = p.channels * p.unit;
  crew.each(executor, B, [&](int64_t b, const auto& signal, const auto* own, const Team& team) {
    walk(x + b * points, S + b * results, signal, own, team);
  });
  return arena.used();
}

// The filters' gradients are sums over the signals. These are cut into groups, as many as the
// program has room for, whatever the number of threads; the groups' sums are added in their order.
// Where signals are fewer than four fifths of the threads all of these share each large one:
// working together costs a fifth. `psi_entries` is 0 where the gradient of psi is not wanted.
int64_t backward(const Program& p, const Bank<T>& bank, int64_t psi_entries, bool with_phi,
                 int64_t B, const T* x, const T* g, const Gradients<T>& gradients, void* workspace,
                 const Executor& executor) {
  constexpr int64_t most_groups = 16, sums_bytes = int64_t{32} << 20;
  const bool filters = psi_entries > 0 || with_phi;
  if (are_signals<T>(p) && !(p.gathered && filters)) {
    return backward_signals(p, bank, psi_entries, with_phi, B, x, g, gradients, workspace,
                            executor);
  }
  const int64_t entries = psi_entries + (with_phi ? p.phi_numbers : 0);
  const int64_t room = sums_bytes / (max(entries, 1) * static_cast<int64_t>(sizeof(T)));
  const int64_t groups = filters ? max(1, min(B, min(room, most_groups))) : B;
  const bool large = filters && !p.gathered && points_of(p.padded) >= 64 * 64;
  const int64_t pieces = large && with_phi ? 4 : 1;
  const Pass pass = with_phi ? Pass::backward_with_phi : Pass::backward;
  Arena arena(workspace);
  const WalkBack<T> walk(p, bank, pass, arena);
  const bool share =
      filters ? large && 5 * groups < 4 * executor.threads : share_signals(p, B, executor.threads);
  const int64_t threads = share ? executor.threads : max(1, min(executor.threads, groups));
  const Crew crew(p, pass, share, threads, arena);
  T* sums = filters ? arena.take<T>(groups * entries) : nullptr;
  T* rest = arena.take<T>(groups * (pieces - 1) * p.phi_numbers);
  if (workspace == nullptr) return arena.used();
  walk.lay_out(executor);

  const int64_t points = points_of(p.signal), results = p.channels * p.unit;
  crew.each(executor, groups,
            [&](int64_t group, const auto& signal, const auto* own, const Team& team) {
              Sums<T> to{};
              if (filters) {
                T* sum = sums + group * entries;
                for (int64_t i = 0; i < entries; ++i) sum[i] = 0;
                if (psi_entries > 0) to.psi = sum;
                if (with_phi) to.phi = sum + psi_entries;
                to.pieces = pieces, to.numbers = p.phi_numbers;
                to.rest = rest + group * (pieces - 1) * p.phi_numbers;
                to.clear();
              }
              const int64_t first = share_of(group, groups, B);
              for (int64_t b = first; b < share_of(group + 1, groups, B); ++b) {
                if (gradients.x != nullptr) to.x = gradients.x + b * points;
                walk(x + b * points, g + b * results, to, signal, own, team);
              }
              to.add();
            });
  constexpr int64_t block = 1024;  // which stay in the cache
  for (int64_t first = 0; filters && first < entries; first += block) {
    const int64_t last = min(first + block, entries);
    for (int64_t group = 1; group < groups; ++group) {
      const T* sum = sums + group * entries;
      for (int64_t i = first; i < last; ++i) sums[i] += sum[i];
    }
    for (int64_t i = first; i < last; ++i) {
      (i < psi_entries ? gradients.psi[i] : gradients.phi[i - psi_entries]) = sums[i];
    }
  }
  return arena.used();
}

int64_t numbers_to_lay_out(const Program& p, const Bank<T>& bank) {
  return are_signals<T>(p) ? 0 : laid_out_numbers(p, bank);
}

void lay_all_out(const Program& p, const Bank<T>& bank, T* out) {
  for_mirrored<T>(p, [&](int i, Mirrored<T> fold) {
    const Box<T> psi = box_of(p, bank, p.steps[i], 0);
    fold.take_box(psi.ends);
    for (int64_t c = 0; c < fold.pairs(); ++c) {
      lay_out(fold, psi, c, out);
      out += fold.aliases(c) * fold.to.first * 2 * fold.lanes;
    }
  });
}

// A bank of which is only known whether it is laid out
Bank<T> unread(bool laid_out) {
  static const T some{};
  Bank<T> bank{};
  if (laid_out) bank.laid_out = &some;
  return bank;
}

int64_t workspace_bytes(const Program& p, int64_t B, int64_t threads, bool laid_out) {
  return forward(p, unread(laid_out), B, nullptr, nullptr, nullptr, {threads, nullptr});
}

Status scattering(const Program& p, const Bank<T>& bank, int64_t B, const T* x, T* S,
                  void* workspace, int64_t bytes, const Executor& executor) {
  if (B == 0) return Status::ok;
  if (workspace == nullptr ||
      bytes < workspace_bytes(p, B, executor.threads, bank.laid_out != nullptr)) {
    return Status::workspace_too_small;
  }
  forward(p, bank, B, x, S, workspace, executor);
  return Status::ok;
}

int64_t backward_workspace_bytes(const Program& p, int64_t psi_entries, bool with_phi, int64_t B,
                                 int64_t threads, bool laid_out) {
  return backward(p, unread(laid_out), psi_entries, with_phi, B, nullptr, nullptr, {}, nullptr,
                  {threads, nullptr});
}

Status scattering_backward(const Program& p, const Bank<T>& bank, int64_t psi_entries, int64_t B,
                           const T* x, const T* g, const Gradients<T>& gradients, void* workspace,
                           int64_t bytes, const Executor& executor) {
  const bool with_phi = gradients.phi != nullptr;
  if (gradients.psi == nullptr) psi_entries = 0;
  if (B == 0) {
    std::fill_n(gradients.psi, psi_entries, T(0));
    std::fill_n(gradients.phi, with_phi ? p.phi_numbers : 0, T(0));
    return Status::ok;
  }
  if (workspace == nullptr ||
      bytes < backward_workspace_bytes(p, psi_entries, with_phi, B, executor.threads,
                                       bank.laid_out != nullptr)) {
    return Status::workspace_too_small;
  }
  backward(p, bank, psi_entries, with_phi, B, x, g, gradients, workspace, executor);
  return Status::ok;
}

}  // namespace
}  // namespace SCATCUDA_ISA

#define SCATCUDA_PASTE(isa, real) engine_##isa##_##real
#define SCATCUDA_ENGINE(isa, real) SCATCUDA_PASTE(isa, real)
const Engine<T> SCATCUDA_ENGINE(SCATCUDA_ISA, SCATCUDA_REAL) = {
    workspace_bytes,     scattering,          backward_workspace_bytes,
    scattering_backward, filter_fold<T>,      filter_fold_backward<T>,
    modulus<T>,          modulus_backward<T>, numbers_to_lay_out,
    lay_all_out};

}  // namespace scatcuda
