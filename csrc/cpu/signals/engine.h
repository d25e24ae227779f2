// Batches of signals of one axis by the walk of signals/walk.h, which signals.cpp compiles.
#pragma once

#include "../../core/engines.h"
#include "../simd.h"

namespace scatcuda {
inline namespace SCATCUDA_ISA {

// Of A and B, into which the pieces of a line are cut (line.h)
constexpr int64_t most_side = 2048;

// Whether all of a program is wavelets, moduli and averages of lines that can be cut into pieces
template <class T>
bool are_signals(const Program& p) {
  constexpr int64_t least = full_lanes<T> < 4 ? 2 * full_lanes<T> : 8;
  const auto can = [](int64_t P) {
    return (P & (P - 1)) == 0 && least <= P && P <= least * most_side * most_side;
  };
  bool fit = p.rank == 1 && !p.gathered && can(p.padded.last);
  for (int i = 0; fit && i < p.step_count; ++i) {
    const Step& s = p.steps[i];
    if (s.kind == Kind::wavelet) {
      const bool folded = !s.crop_last || s.fold.last == 1;
      fit = s.rho == Rho::modulus && folded && can(s.grid.last);
    } else {
      fit = s.mean != Mean::powers;
    }
  }
  return fit;
}

// As forward() and backward() of engine.cpp: without a workspace they count its bytes.
int64_t forward_signals(const Program& p, const Bank<float>& bank, int64_t B, const float* x,
                        float* S, void* workspace, const Executor& executor);
int64_t forward_signals(const Program& p, const Bank<double>& bank, int64_t B, const double* x,
                        double* S, void* workspace, const Executor& executor);
int64_t backward_signals(const Program& p, const Bank<float>& bank, int64_t psi_entries,
                         bool with_phi, int64_t B, const float* x, const float* g,
                         const Gradients<float>& gradients, void* workspace,
                         const Executor& executor);
int64_t backward_signals(const Program& p, const Bank<double>& bank, int64_t psi_entries,
                         bool with_phi, int64_t B, const double* x, const double* g,
                         const Gradients<double>& gradients, void* workspace,
                         const Executor& executor);

}  // namespace SCATCUDA_ISA
}  // namespace scatcuda
