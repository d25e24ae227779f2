// Where a call's time goes, by step of the program and by stage, in builds that ask for it
// (SCATCUDA_STOPWATCH: benchmarks/stages.py). Elsewhere it is nothing.
//
//   SCATCUDA_STEP(index);     what follows in this scope is of this step
//   SCATCUDA_STAGE(columns);  and of this stage, but for what stages within it take
#pragma once

#if defined(SCATCUDA_STOPWATCH)
#include <chrono>
#include <cstdint>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

namespace scatcuda {

#define SCATCUDA_STAGES                                                                            \
  layout, pad, signal_spectrum, fold, columns, rows, lowpass_rows, rows_forward, spectra_columns,  \
      spectra, lowpass_columns, coefficients, spectra_columns_inverse, rows_inverse, spread, turn, \
      rows_adjoint, columns_adjoint, unfold, gradient_spectra, signal_adjoint, rest
enum class Stage { SCATCUDA_STAGES };

inline int64_t ticks_now() {
#if defined(__x86_64__)
  return static_cast<int64_t>(__rdtsc());
#else
  return std::chrono::steady_clock::now().time_since_epoch().count();
#endif
}

// Of one thread. Row 0 is the signal's, row i + 1 that of step i.
struct Stopwatch {
  static constexpr int most_steps = 256, stages = static_cast<int>(Stage::rest) + 1;
  int64_t ticks[most_steps + 1][stages] = {};
  int64_t* now = &ticks[0][stages - 1];
  int64_t since = 0;
  int step = 0;

  Stopwatch() = default;
  Stopwatch(const Stopwatch&) = delete;  // it points into itself
  Stopwatch& operator=(const Stopwatch&) = delete;

  void start() {
    for (auto& row : ticks) {
      for (int64_t& sum : row) sum = 0;
    }
    now = &ticks[0][stages - 1], since = ticks_now();
  }
  int64_t* turn_to(int64_t* next) {
    const int64_t time = ticks_now();
    *now += time - since, since = time;
    int64_t* before = now;
    now = next;
    return before;
  }
};
inline Stopwatch stopwatch;

struct StageScope {
  int64_t* before;
  explicit StageScope(Stage stage)
      : before(stopwatch.turn_to(stopwatch.ticks[stopwatch.step] + static_cast<int>(stage))) {}
  ~StageScope() { stopwatch.turn_to(before); }
};
struct StepScope {
  int before = stopwatch.step;
  explicit StepScope(int step) {
    stopwatch.step = step + 1 < Stopwatch::most_steps ? step + 1 : Stopwatch::most_steps;
  }
  ~StepScope() { stopwatch.step = before; }
};
#define SCATCUDA_JOIN(a, b) a##b
#define SCATCUDA_SCOPE(line) SCATCUDA_JOIN(scope_, line)
#define SCATCUDA_STAGE(name) \
  const ::scatcuda::StageScope SCATCUDA_SCOPE(__LINE__)(::scatcuda::Stage::name)
#define SCATCUDA_STEP(index) const ::scatcuda::StepScope SCATCUDA_SCOPE(__LINE__)(index)

}  // namespace scatcuda
#else
#define SCATCUDA_STAGE(name)
#define SCATCUDA_STEP(index)
#endif
