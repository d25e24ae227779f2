// What the fused kernels of signals are handed: steps of a program of rank 1 whose planes fit into
// the shared memory of a block.
#pragma once

#include "../../core/fft.h"
#include "../bank.cuh"
#include "../passes/lowpass.cuh"

namespace scatcuda {
inline namespace SCATCUDA_ISA {

using Point = Complex<float>;

constexpr int family_threads = 512;  // of a block at most

// A wavelet step, from planes of `from` points, and its average
struct FamilyStep {
  const int64_t* support;  // of its set
  AxisTaps<float> taps;    // of a mean none
  float scale;             // of what they give
  int64_t first;           // of its coefficients among those of a signal
  Channels to;
  int from, points, filters, lanes;
  int every;                   // of its matrix
  int next_first, next_count;  // the steps that follow: these of a list
};

struct FamilyArguments {
  const Point* u_hat;  // [planes, from / 2 + 1], spectra of the planes of the source
  Point* g_hat;        // ĝW [planes, filters, points]; backward
  float* S;
  const float* grad;
  const float* psi;
  int64_t psi_entries;
  const Point* roots;  // e^{2πi k / sides}
  int sides;
  const FamilyStep* steps;
  const int* next;
  int step;
};

// A block: a plane of the source and a filter. Of a step and, forward, of all that follow it.
__global__ void family_kernel(const __grid_constant__ FamilyArguments a);
__global__ void end_backward_kernel(const __grid_constant__ FamilyArguments a);
// sides roots
__global__ void roots_kernel(Point* roots, int sides);

}  // namespace SCATCUDA_ISA
}  // namespace scatcuda
