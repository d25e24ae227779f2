// csrc/cuda/engine.cu for the emulated device, and the shared memory of its kernels.
#include "cuda/engine.cu"

namespace scatcuda {
inline namespace SCATCUDA_ISA {
SCATCUDA_EMULATION_SHARED_MEMORY;
}  // namespace SCATCUDA_ISA
}  // namespace scatcuda
