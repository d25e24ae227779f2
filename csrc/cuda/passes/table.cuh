// Small tables of the host's in the workspace: they travel as parameters of kernels, which neither
// waits nor asks the host's memory to outlive the call.
#pragma once

#include "../runtime.h"

namespace scatcuda {
inline namespace SCATCUDA_ISA {

constexpr int words_together = 960, write_threads = 256;
struct Words {
  int count;
  unsigned word[words_together];
};
__global__ void __launch_bounds__(write_threads)
    write_kernel(const __grid_constant__ Words from, unsigned* to) {
  for (int i = threadIdx.x; i < from.count; i += write_threads) to[i] = from.word[i];
}

}  // namespace SCATCUDA_ISA
}  // namespace scatcuda
