// The fused tier's kernels for the emulated device, and their shared memory.
#include "cuda/fused/arrange.cu"
#include "cuda/fused/backward.cu"
#include "cuda/fused/families.cu"
#include "cuda/fused/second.cu"

namespace scatcuda {
inline namespace SCATCUDA_ISA {
SCATCUDA_EMULATION_SHARED_MEMORY;
}  // namespace SCATCUDA_ISA
}  // namespace scatcuda
