// Devices, their memory and their errors.
#include <atomic>
#include <mutex>
#include <set>
#include <utility>

#include "capture.h"
#include "driver.h"
#include "status.h"

namespace scatcuda {
namespace cuda {
namespace {

std::atomic<const char*> failure{"no error"};
std::atomic<int64_t> launched{0};

}  // namespace
}  // namespace cuda

#if !defined(SCATCUDA_EMULATION)
// Told once: a call takes longer than many a kernel.
cudaError_t allow_shared(const void* kernel) {
  static std::mutex mutex;
  static std::set<std::pair<const void*, int>> told;
  int device = 0, most = 0;
  cudaError_t error = cudaGetDevice(&device);
  if (error != cudaSuccess) return error;
  const std::lock_guard<std::mutex> lock(mutex);
  if (told.count({kernel, device}) > 0) return cudaSuccess;
  cudaFuncAttributes own{};
  error = cudaFuncGetAttributes(&own, kernel);
  if (error == cudaSuccess) {
    error = cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
  }
  if (error == cudaSuccess) {
    error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                 most - static_cast<int>(own.sharedSizeBytes));
  }
  if (error == cudaSuccess) {
    error = cudaFuncSetAttribute(kernel, cudaFuncAttributePreferredSharedMemoryCarveout,
                                 cudaSharedmemCarveoutMaxShared);
  }
  if (error == cudaSuccess) told.insert({kernel, device});
  return error;
}
#endif

namespace cuda {

Status status_of(cudaError_t error) {
  if (error == cudaSuccess) return Status::ok;
  failure = said_of(error);
  switch (error) {
    case cudaErrorNoKernelImageForDevice:
    case cudaErrorInvalidDeviceFunction:
      return Status::no_kernel;
    case cudaErrorNoDevice:
      return Status::no_device;
    case cudaErrorInsufficientDriver:
      return driver_here() == 0 ? Status::no_device : Status::launch_failed;
    default:
      return Status::launch_failed;
  }
}
void note_launch() { ++launched; }

Status current_device(int* index) { return status_of(cudaGetDevice(index)); }
Status allocate(int64_t bytes, void** memory) {
  const Relaxed relaxed(cudaThreadExchangeStreamCaptureMode);
  return status_of(cudaMalloc(memory, static_cast<size_t>(bytes)));
}
// On a stream of its own: the default one, cudaMemcpy's, is forbidden to all while others capture.
Status upload(void* to, const void* from, int64_t bytes) {
  const Relaxed relaxed(cudaThreadExchangeStreamCaptureMode);
  cudaStream_t own;
  const Status made = status_of(cudaStreamCreateWithFlags(&own, cudaStreamNonBlocking));
  if (made != Status::ok) return made;
  cudaError_t error =
      cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyHostToDevice, own);
  if (error == cudaSuccess) error = cudaStreamSynchronize(own);
  cudaStreamDestroy(own);
  return status_of(error);
}
void release(void* memory) {
  const Relaxed relaxed(cudaThreadExchangeStreamCaptureMode);
  cudaFree(memory);
}
Status memory_of(const void* address, int* device) {
  const Relaxed relaxed(cudaThreadExchangeStreamCaptureMode);
  cudaPointerAttributes found{};
  const Status status = status_of(cudaPointerGetAttributes(&found, address));
  *device = found.type == cudaMemoryTypeDevice    ? found.device
            : found.type == cudaMemoryTypeManaged ? every_device
                                                  : no_device;
  return status;
}
Status clear(void* memory, int64_t bytes, void* stream) {
  return status_of(
      cudaMemsetAsync(memory, 0, static_cast<size_t>(bytes), static_cast<cudaStream_t>(stream)));
}

const char* last_error() { return failure; }
const char* driver_needed() {
  static const std::string words = words_for_driver(false);
  return words.c_str();
}
int64_t launches() { return launched; }

Status device_limits(int index, Device* device) {
  const Relaxed relaxed(cudaThreadExchangeStreamCaptureMode);
  cudaDeviceProp found{};
  const Status status = status_of(cudaGetDeviceProperties(&found, index));
  if (status != Status::ok) return status;
  *device = {10 * found.major + found.minor,
             found.multiProcessorCount,
             static_cast<int64_t>(found.sharedMemPerBlockOptin),
             static_cast<int64_t>(found.sharedMemPerMultiprocessor),
             found.l2CacheSize,
             static_cast<int64_t>(found.totalGlobalMem)};
  return Status::ok;
}

}  // namespace cuda
}  // namespace scatcuda
