// What the CUDA engine asks of CUDA: kernels are launched through here, so that the same sources
// run without a GPU in tests/emulation, where a header of that folder stands in for CUDA's own.
#pragma once

#if defined(SCATCUDA_EMULATION)
#include "cuda_emulation.h"
#else
#include <cuda_runtime.h>

#include <cstddef>
#include <tuple>

namespace scatcuda {

// kernel<<<grid, block, shared, stream>>>(arguments...)
template <class... Parameters, class... Arguments>
cudaError_t launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared,
                   cudaStream_t stream, Arguments... arguments) {
  // what fits a block of any device needs no leave
  if (shared > 48 * 1024) {
    const cudaError_t error =
        cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                             cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared));
    if (error != cudaSuccess) return error;
  }
  std::tuple<Parameters...> values(arguments...);
  return std::apply(
      [&](auto&... value) {
        void* addresses[] = {&value...};
        return cudaLaunchKernel(reinterpret_cast<const void*>(kernel), grid, block, addresses,
                                shared, stream);
      },
      values);
}

}  // namespace scatcuda
#endif
