// NVIDIA's occupancy calculator, a header of the toolkit. Each line of input is an architecture, a
// multiprocessor's threads and shared memory, what the driver reserves of it for a block, then a
// block's threads, registers and shared memory; each line of output the number of blocks that fit,
// −1 where the calculator refuses.
#include <cuda_occupancy.h>

#include <cstdio>

int main() {
  int arch, threads, reserved, block, registers;
  size_t shared, asked;
  while (std::scanf("%d %d %zu %d %d %d %zu", &arch, &threads, &shared, &reserved, &block,
                    &registers, &asked) == 7) {
    cudaOccDeviceProp device;
    device.computeMajor = arch / 10;
    device.computeMinor = arch % 10;
    device.maxThreadsPerBlock = 1024;
    device.maxThreadsPerMultiprocessor = threads;
    device.regsPerBlock = device.regsPerMultiprocessor = 1 << 16;
    device.warpSize = 32;
    device.numSms = 1;
    device.sharedMemPerBlock = 48 << 10;
    device.sharedMemPerMultiprocessor = shared;
    device.sharedMemPerBlockOptin = shared - reserved;
    device.reservedSharedMemPerBlock = reserved;
    cudaOccFuncAttributes kernel;
    kernel.maxThreadsPerBlock = 1024;
    kernel.numRegs = registers;
    kernel.sharedSizeBytes = 0;
    kernel.partitionedGCConfig = PARTITIONED_GC_OFF;
    kernel.shmemLimitConfig = FUNC_SHMEM_LIMIT_OPTIN;
    kernel.maxDynamicSharedSizeBytes = device.sharedMemPerBlockOptin;
    cudaOccDeviceState state;
    state.carveoutConfig = SHAREDMEM_CARVEOUT_MAX_SHARED;
    cudaOccResult result;
    const auto error =
        cudaOccMaxActiveBlocksPerMultiprocessor(&result, &device, &kernel, &state, block, asked);
    std::printf("%d\n", error == CUDA_OCC_SUCCESS ? result.activeBlocksPerMultiprocessor : -1);
  }
}
