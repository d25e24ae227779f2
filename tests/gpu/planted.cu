// One wrong kernel for each of compute-sanitizer's tools: what they find here they would have found
// in ours. `planted memcheck|racecheck|initcheck|synccheck|nothing`; its own status is 0.
#include <cuda_runtime.h>

#include <cstring>

namespace scatcuda {

constexpr int threads = 64;

__global__ void right_kernel(float* out) { out[threadIdx.x] = 1; }

// one float beyond the end
__global__ void memcheck_kernel(float* out) { out[threadIdx.x + 1] = 1; }

// no barrier between a write and another thread's read
__global__ void racecheck_kernel(float* out) {
  __shared__ float shared[threads];
  shared[threadIdx.x] = static_cast<float>(threadIdx.x);
  out[threadIdx.x] = shared[threads - 1 - threadIdx.x];
}

// reads what nobody wrote
__global__ void initcheck_kernel(float* out) { out[threadIdx.x] += 1; }

// a barrier that half of a warp never reaches
__global__ void synccheck_kernel(float* out) {
  if (threadIdx.x % 2 == 0) __syncthreads();
  out[threadIdx.x] = 1;
}

}  // namespace scatcuda

int main(int count, char** arguments) {
  using namespace scatcuda;
  const char* wanted = count > 1 ? arguments[1] : "";
  const struct {
    const char* name;
    void (*kernel)(float*);
  } planted[] = {{"memcheck", memcheck_kernel},
                 {"racecheck", racecheck_kernel},
                 {"initcheck", initcheck_kernel},
                 {"synccheck", synccheck_kernel},
                 {"nothing", right_kernel}};
  float* out = nullptr;
  if (cudaMalloc(&out, threads * sizeof(float)) != cudaSuccess) return 2;
  for (const auto& [name, kernel] : planted) {
    if (std::strcmp(name, wanted) == 0) kernel<<<1, threads>>>(out);
  }
  cudaDeviceSynchronize();  // an error here is the planted one's
  return 0;
}
