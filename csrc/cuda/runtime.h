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
  const void* function = reinterpret_cast<const void*>(kernel);
  if (shared > 0) {
    // All that a block of this device may have, not what this launch takes: the limit belongs to
    // the kernel, and another thread may be about to launch it with more.
    int device = 0, most = 0;
    cudaError_t error = cudaGetDevice(&device);
    if (error == cudaSuccess) {
      error = cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
    }
    if (error == cudaSuccess) {
      error = cudaFuncSetAttribute(function, cudaFuncAttributeMaxDynamicSharedMemorySize, most);
    }
    if (error == cudaSuccess) {
      error = cudaFuncSetAttribute(function, cudaFuncAttributePreferredSharedMemoryCarveout,
                                   cudaSharedmemCarveoutMaxShared);
    }
    if (error != cudaSuccess) return error;
  }
  std::tuple<Parameters...> values(arguments...);
  return std::apply(
      [&](auto&... value) {
        void* addresses[] = {&value...};
        return cudaLaunchKernel(function, grid, block, addresses, shared, stream);
      },
      values);
}

}  // namespace scatcuda
#endif
