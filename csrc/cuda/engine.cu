// The CUDA engine: how a program is run on a device, and wave after wave of its signals.
#include <optional>

#include "fused/choose.h"
#include "fused/tier.cuh"
#include "instantiate.h"
#include "signals/tier.cuh"

namespace scatcuda {
namespace cuda {
namespace {

// Whether choose() may have made this launch
template <class T>
bool is_possible(const Program& program, const Launch& launch) {
  if (launch.wave < 1) return false;
  if (launch.tier == Tier::general) return true;
  if (launch.tier != Tier::fused || sizeof(T) != 4) return false;
  if (program.rank == 1) return are_families(program, launch);
  Cascade cascade;
  return match(program, &cascade) && is_possible(cascade, launch);
}

// What a call is given; in a dry run nothing but how many signals
template <class T>
struct Given {
  int64_t B;
  const void* x = nullptr;
  Pixels pixels = Pixels::as_bank;
  T* S = nullptr;
  const T* g = nullptr;
  Gradients<T> gradients{};
};

template <class T>
void execute(const Program& program, const Launch& launch, const Bank<T>& bank, int64_t psi_entries,
             const Given<T>& given, Queue& queue, Workspace& workspace) {
  const Gradients<T>& gradients = given.gradients;
  const int64_t number = sizeof(T);
  if (gradients.psi != nullptr) queue.clear(gradients.psi, psi_entries * number);
  if (given.B == 0) {
    if (gradients.phi != nullptr) queue.clear(gradients.phi, program.phi_numbers * number);
    return;
  }
  std::optional<Fused> fused;
  std::optional<Families> families;
  const Ends<T>* ends = nullptr;
  if constexpr (sizeof(T) == 4) {
    Cascade cascade;
    if (launch.tier == Tier::fused && program.rank == 1) {
      families.emplace(program, launch, bank, psi_entries, queue, workspace);
      ends = &*families;
    } else if (launch.tier == Tier::fused && match(program, &cascade)) {
      fused.emplace(cascade, program, launch, bank, psi_entries, queue, workspace);
      ends = &*fused;
    }
  }
  Walk<T> walk(program, launch, bank, psi_entries, queue, workspace, ends);
  if (gradients.phi != nullptr) walk.averages().clear_filters();
  const int64_t bytes = given.pixels == Pixels::as_bank ? number
                        : given.pixels == Pixels::uint8 ? 1
                                                        : 2;
  const int64_t points = points_of(program.signal), numbers = program.channels * program.unit;
  const auto after = [](auto* all, int64_t count) { return all == nullptr ? all : all + count; };
  for (int64_t first = 0; first < given.B; first += launch.wave) {
    const int64_t images = min(launch.wave, given.B - first);
    const void* x = after(static_cast<const unsigned char*>(given.x), first * points * bytes);
    T* S = after(given.S, first * numbers);
    const T* g = after(given.g, first * numbers);
    T* grad_x = after(gradients.x, first * points);
    if constexpr (sizeof(T) == 4) {
      if (families) families->begin(S, g);
      if (fused) fused->begin(images, x, given.pixels, S, g, grad_x);
      if (fused && launch.whole) {
        fused->families(walk);
        continue;
      }
    }
    if (launch.task == Task::forward) {
      walk.forward(images, x, given.pixels, S);
    } else {
      walk.backward(images, x, given.pixels, g, {grad_x, gradients.psi, gradients.phi});
    }
  }
  if (gradients.phi != nullptr) walk.averages().sum_filters(gradients.phi);
}

// What one wave takes, of a call as large as there are
struct Needs {
  Status status;
  int64_t fft_bytes, bytes, largest;  // with those of the FFT; blocks of a grid
};
template <class T>
Needs needs_of(const Program& program, const Launch& launch, const Fft* fft, void* stream,
               Queue::Mode mode) {
  Queue queue(fft, stream, mode);
  Workspace workspace(nullptr);
  execute<T>(program, launch, {}, 0, {launch.wave}, queue, workspace);
  const int64_t fft_bytes = round_up(queue.fft_bytes(), 256);
  return {queue.status(), fft_bytes, fft_bytes + workspace.most(), queue.largest()};
}

template <class T>
Status call(const Program& program, const Launch& launch, const Bank<T>& bank, int64_t psi_entries,
            const Given<T>& given, void* memory, int64_t bytes, const Fft* fft, void* stream) {
  if (given.B < 0) return Status::bad_problem;
  if (!is_possible<T>(program, launch)) return Status::tier_impossible;
  const Needs needs = needs_of<T>(program, launch, fft, stream, Queue::Mode::ask);
  if (needs.status != Status::ok) return needs.status;
  if (needs.bytes > bytes) return Status::workspace_too_small;
  Queue queue(fft, stream);
  queue.give(memory);
  Workspace workspace(static_cast<unsigned char*>(memory) + needs.fft_bytes);
  execute(program, launch, bank, psi_entries, given, queue, workspace);
  return queue.status();
}

}  // namespace

template <class T>
Status choose(const Program& program, int64_t B, const Device& device, Tier wanted, int64_t budget,
              const Fft* fft, Launch* launch, Task task) {
  if (B < 0 || B > most_signals(program)) return Status::bad_problem;
  *launch = {Tier::general, false, 0, stage_threads, 0, 1, task};
  if (task == Task::backward_with_filters && sizeof(T) == 4) wanted = Tier::general;
  Cascade cascade;
  const bool fused =
      wanted != Tier::general && sizeof(T) == 4 &&
      (program.rank == 1 ? choose_families(program, device, launch)
                         : match(program, &cascade) && choose_fused(cascade, device, launch));
  if (wanted == Tier::fused && !fused) return Status::tier_impossible;
  // As many signals at a time as the budget holds, and no grid beyond 2^30 blocks
  const auto needs = [&](int64_t wave) {
    Launch l = *launch;
    l.wave = wave;
    return needs_of<T>(program, l, fft, nullptr, Queue::Mode::estimate);
  };
  const Needs one = needs(1);
  if (one.status != Status::ok) return one.status;
  const int64_t signal = needs(2).bytes - one.bytes, bank = one.bytes - signal;
  const int64_t most = max((int64_t{1} << 30) / max(one.largest, 1), 1);
  const int64_t wave = max(min(min(B, most), (budget - bank) / max(signal, 1)), 1);
  launch->wave = max(ceil_div(B, max(ceil_div(B, wave), 1)), 1);  // as even as can be
  return Status::ok;
}

template <class T>
Status workspace_bytes(const Program& program, const Launch& launch, const Fft* fft, void* stream,
                       int64_t* bytes) {
  if (!is_possible<T>(program, launch)) return Status::tier_impossible;
  const Needs needs = needs_of<T>(program, launch, fft, stream, Queue::Mode::ask);
  *bytes = needs.bytes;
  return needs.status;
}

template <class T>
Status scattering(const Program& program, const Launch& launch, const Bank<T>& bank,
                  int64_t psi_entries, int64_t B, const void* x, T* S, void* workspace,
                  int64_t bytes, const Fft* fft, void* stream, Pixels pixels) {
  if (launch.task != Task::forward) return Status::bad_problem;
  return call<T>(program, launch, bank, psi_entries, {B, x, pixels, S}, workspace, bytes, fft,
                 stream);
}

template <class T>
Status scattering_backward(const Program& program, const Launch& launch, const Bank<T>& bank,
                           int64_t psi_entries, int64_t B, const void* x, const T* g,
                           const Gradients<T>& gradients, void* workspace, int64_t bytes,
                           const Fft* fft, void* stream, Pixels pixels) {
  const bool filters = gradients.psi != nullptr || gradients.phi != nullptr;
  if (launch.task == Task::forward ||
      (launch.task == Task::backward && (filters || gradients.x == nullptr))) {
    return Status::bad_problem;
  }
  return call<T>(program, launch, bank, psi_entries, {B, x, pixels, nullptr, g, gradients},
                 workspace, bytes, fft, stream);
}

SCATCUDA_INSTANTIATE_ENGINE(float)
SCATCUDA_INSTANTIATE_ENGINE(double)

}  // namespace cuda
}  // namespace scatcuda
