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

// Lets a kernel have all the shared memory that a block of the current device may, beside what it
// declares itself. Not what one launch takes: the limit belongs to the kernel, and another thread
// may be about to launch it with more.
cudaError_t allow_shared(const void* kernel);

// kernel<<<grid, block, shared, stream>>>(arguments...)
template <class... Parameters, class... Arguments>
cudaError_t launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared,
                   cudaStream_t stream, Arguments... arguments) {
  const void* function = reinterpret_cast<const void*>(kernel);
  if (shared > 0) {
    const cudaError_t error = allow_shared(function);
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
