#include "planted.h"

#include <map>

#include "planted.cuh"

namespace scatcuda {

SCATCUDA_EMULATION_SHARED_MEMORY;

namespace planted {
namespace {

#define SCATCUDA_KERNEL(name) {#name, name}
const std::map<std::string, Kernel*> kernels = {
    SCATCUDA_KERNEL(neighbours),
    SCATCUDA_KERNEL(sums),
    SCATCUDA_KERNEL(shuffles),
    SCATCUDA_KERNEL(relay),
    SCATCUDA_KERNEL(returns),
    SCATCUDA_KERNEL(halves),
    SCATCUDA_KERNEL(vectors),
    SCATCUDA_KERNEL(copies),
    SCATCUDA_KERNEL(reread),
    SCATCUDA_KERNEL(missing_barrier),
    SCATCUDA_KERNEL(missing_second_barrier),
    SCATCUDA_KERNEL(missing_warp_barrier),
    SCATCUDA_KERNEL(narrow_warp_barrier),
    SCATCUDA_KERNEL(other_warp_reads),
    SCATCUDA_KERNEL(shuffle_for_barrier),
    SCATCUDA_KERNEL(blocks_write_one_word),
    SCATCUDA_KERNEL(arrival),
    SCATCUDA_KERNEL(last_block),
    SCATCUDA_KERNEL(first_block_writes),
    SCATCUDA_KERNEL(block_reads_anothers),
    SCATCUDA_KERNEL(beyond_dynamic),
    SCATCUDA_KERNEL(beyond_static),
    SCATCUDA_KERNEL(reads_beyond_global),
    SCATCUDA_KERNEL(writes_beyond_global),
    SCATCUDA_KERNEL(writes_input),
    SCATCUDA_KERNEL(misaligned),
    SCATCUDA_KERNEL(unwritten),
    SCATCUDA_KERNEL(uninitialised),
    SCATCUDA_KERNEL(divergent_barrier),
    SCATCUDA_KERNEL(deadlock),
    SCATCUDA_KERNEL(asks_returned_lane),
    SCATCUDA_KERNEL(wrong_mask),
};

cudaStream_t the_stream() {
  return static_cast<cudaStream_t>(const_cast<void*>(emulation::stream));
}

// Thread-local like shared memory, but the host's: launches leave it alone.
thread_local int calls = 0;

// What was returned must also be what is remembered.
std::string in_words(cudaError_t error) {
  if (cudaGetLastError() != error) return "another error is remembered";
  return error == cudaSuccess ? "" : cudaGetErrorString(error);
}

}  // namespace

std::string run(const std::string& name, std::array<unsigned, 3> grid,
                std::array<unsigned, 3> block, size_t shared, float* out, const float* in, int n) {
  ++calls;
  return in_words(launch(kernels.at(name), dim3(grid[0], grid[1], grid[2]),
                         dim3(block[0], block[1], block[2]), shared, the_stream(), out, in, n));
}

int count_calls() { return calls; }

std::string set(float* out, int value, size_t bytes, bool on_default_stream) {
  return in_words(cudaMemsetAsync(out, value, bytes, on_default_stream ? nullptr : the_stream()));
}

std::string copy(float* out, const float* in, size_t bytes) {
  return in_words(cudaMemcpyAsync(out, in, bytes, cudaMemcpyDeviceToDevice, the_stream()));
}

}  // namespace planted
}  // namespace scatcuda
