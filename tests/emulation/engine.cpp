// The CUDA engine for the emulated device, and the shared memory of its kernels.
#include "cuda/engine.cu"
#include "cuda/arrange.cu"
#include "cuda/backward.cu"
#include "cuda/families.cu"
#include "cuda/second.cu"

namespace scatcuda {
inline namespace SCATCUDA_ISA {
SCATCUDA_EMULATION_SHARED_MEMORY;
}  // namespace SCATCUDA_ISA
}  // namespace scatcuda
