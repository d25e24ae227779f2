// Which outputs of a matrix reach where.
#pragma once

#include "lowpass.cuh"

namespace scatcuda {
inline namespace SCATCUDA_ISA {

// The outputs [x, y) that may reach one of `reach_points` points of an axis, for each such run of
// them.
constexpr int reaches_together = 16;
struct Reaches {
  struct {
    const int64_t* support;
    int outputs, side;
    int2* reach;  // [runs]
  } of[reaches_together];
};

// Blocks: runs, matrices.
__global__ void __launch_bounds__(stage_threads)
    reach_kernel(const __grid_constant__ Reaches reaches) {
  const auto& m = reaches.of[blockIdx.y];
  const int run = blockIdx.x * stage_threads + threadIdx.x;
  if (run >= ceil_div(m.side, reach_points)) return;
  const int first = run * reach_points, last = min(first + reach_points, m.side);
  int low = m.outputs, high = 0;
  for (int o = 0; o < m.outputs; ++o) {
    if (!meets(band_of(m.support, m.side, o, o + 1), first, last, m.side)) continue;
    low = min(low, o), high = o + 1;
  }
  m.reach[run] = make_int2(min(low, high), high);
}

}  // namespace SCATCUDA_ISA
}  // namespace scatcuda
