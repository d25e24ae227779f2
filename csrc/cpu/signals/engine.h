// Batches of signals of one axis by the walk of signals/walk.h, which signals.cpp compiles.
#pragma once

#include "../../core/engines.h"
#include "../simd.h"

namespace scatcuda {
inline namespace SCATCUDA_ISA {

// Of A and B, into which the pieces of a line are cut (line.h)
constexpr int64_t most_side = 2048;

// Whether a group is of planes that wavelets leave as they are, and is averaged
inline bool is_along(const Program& p, const Step& s) {
  constexpr int64_t longest = 1024;  // whose filters are taken by the definition
  bool fit = s.rho == Rho::modulus && s.average >= 0 && p.sets[s.set].side[0] <= longest;
  fit = fit && p.steps[s.average].mean != Mean::powers;
  for (int i = 0; i < s.source_count; ++i) {
    const Step& source = p.steps[s.sources[i]];
    fit = fit && source.kind == Kind::wavelet && source.rho == Rho::none && source.child_count == 0;
  }
  for (int64_t i = 0; i < s.groups * s.length; ++i)
    fit = fit && (s.table[i] < 0 || s.table[i] % 2 == 0);
  return fit;
}

// Whether all of a program is wavelets, moduli, averages of lines that can be cut into pieces, and
// groups of them
template <class T>
bool are_signals(const Program& p) {
  constexpr int64_t least = full_lanes<T> < 4 ? 2 * full_lanes<T> : 8;
  const auto can = [](int64_t P) {
    return (P & (P - 1)) == 0 && least <= P && P <= least * most_side * most_side;
  };
  bool fit = p.rank == 1 && can(p.padded.last);
  for (int i = 0; fit && i < p.step_count; ++i) {
    const Step& s = p.steps[i];
    if (s.kind == Kind::wavelet) {
      const bool folded = !s.crop_last || s.fold.last == 1,
                 left = s.rho == Rho::none && s.stored && s.level > 1;
      fit = (left || (s.rho == Rho::modulus && !s.stored)) && folded && can(s.grid.last);
    } else if (s.kind == Kind::group) {
      fit = is_along(p, s);
    } else if (s.kind == Kind::pair) {
      fit = false;
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
