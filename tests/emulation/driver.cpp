// The driver behind cuda_emulation.h: what a device can do and refuses, what ran on it.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

#include "cuda_emulation.h"

namespace scatcuda::emulation {
namespace {

cudaError_t last_error = cudaSuccess;

cudaError_t failed(cudaError_t error) {
  if (error != cudaSuccess) last_error = error;
  return error;
}

std::vector<cudaStream_t> own_streams;  // beside the one there is

bool is_own(cudaStream_t on) {
  return std::find(own_streams.begin(), own_streams.end(), on) != own_streams.end();
}

// What a driver says of a call that spoils the captures of other threads
cudaError_t unless_it_spoils() {
  if (!device.capturing || device.mode == cudaStreamCaptureModeRelaxed) return cudaSuccess;
  ++device.spoiled;
  return failed(cudaErrorStreamCaptureUnsupported);
}

// What a driver would say of a launch
cudaError_t check_launch(dim3 grid, dim3 threads, size_t shared, const void* on) {
  const uint64_t count = uint64_t{threads.x} * threads.y * threads.z;
  if (!device.has_kernels) return cudaErrorNoKernelImageForDevice;
  if (device.refusal != 0) return static_cast<cudaError_t>(device.refusal);
  if (on != stream) return cudaErrorInvalidResourceHandle;
  if (count < 1 || threads.x > 1024 || threads.y > 1024 || threads.z > 64 || count > most_threads ||
      grid.x < 1 || grid.y < 1 || grid.z < 1 || grid.x > 0x7fffffff || grid.y > 65535 ||
      grid.z > 65535) {
    return cudaErrorInvalidConfiguration;
  }
  if (shared > device.shared_per_block || shared > most_shared) return cudaErrorInvalidValue;
  return cudaSuccess;
}

}  // namespace

// To the race detector it is a launch of one thread
bool record_operation(const char* name, const void* from, size_t from_bytes, const void* to,
                      size_t to_bytes, const void* on) {
  if (on != stream) return false;
  Launch record{name};
  if (observer != nullptr) {
    observer->launch_begins();
    observer->block_begins();
    observer->driver_access(from, from_bytes, false);
    observer->driver_access(to, to_bytes, true);
    observer->launch_ends(record);
  }
  launches.push_back(record);
  return true;
}

cudaError_t launch(const void* kernel, dim3 grid, dim3 block, size_t shared, cudaStream_t on,
                   void (*call)(const void*), const void* arguments) {
  const cudaError_t error = check_launch(grid, block, shared, on);
  if (error != cudaSuccess) return failed(error);
  if (observer != nullptr) observer->launch_begins();
  Launch record{"kernel", kernel, {grid.x, grid.y, grid.z}, {block.x, block.y, block.z}, shared};
  if (!device.counts_only) record.barriers = run_grid(grid, block, shared, call, arguments);
  if (observer != nullptr) observer->launch_ends(record);
  launches.push_back(record);
  return cudaSuccess;
}

}  // namespace scatcuda::emulation

using namespace scatcuda;

cudaError_t cudaGetLastError() { return std::exchange(emulation::last_error, cudaSuccess); }

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "no error";
    case cudaErrorInvalidValue:
      return "invalid argument";
    case cudaErrorInvalidConfiguration:
      return "invalid configuration argument";
    case cudaErrorInsufficientDriver:
      return "CUDA driver version is insufficient for CUDA runtime version";
    case cudaErrorInvalidKernelImage:
      return "device kernel image is invalid";
    case cudaErrorUnsupportedPtxVersion:
      return "the provided PTX was compiled with an unsupported toolchain.";
    case cudaErrorInvalidDeviceFunction:
      return "invalid device function";
    case cudaErrorNoDevice:
      return "no CUDA-capable device is detected";
    case cudaErrorInvalidDevice:
      return "invalid device ordinal";
    case cudaErrorNoKernelImageForDevice:
      return "no kernel image is available for execution on the device";
    case cudaErrorInvalidResourceHandle:
      return "invalid resource handle";
    case cudaErrorStreamCaptureUnsupported:
      return "operation not permitted when stream is capturing";
  }
  return "unrecognized error code";
}

cudaError_t cudaDriverGetVersion(int* version) {
  *version = 12040;
  return cudaSuccess;
}

cudaError_t cudaGetDevice(int* index) {
  *index = emulation::device.current;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* found, int index) {
  const emulation::Device& d = emulation::device;
  if (index < 0 || index >= d.count) return emulation::failed(cudaErrorInvalidDevice);
  *found = {d.architecture / 10,          d.architecture % 10, d.processors,
            static_cast<int>(d.l2_bytes), d.shared_per_block,  d.shared_per_processor,
            d.memory_bytes >> index};
  return emulation::unless_it_spoils();
}

cudaError_t cudaMalloc(void** p, size_t bytes) {
  *p = aligned_alloc(256, (bytes + 255) / 256 * 256);
  emulation::buffers.push_back(
      {"cudaMalloc", static_cast<char*>(*p), bytes, emulation::device.current});
  return emulation::unless_it_spoils();
}

cudaError_t cudaFree(void* p) {
  const auto is_this = [p](const emulation::Buffer& b) { return b.begin == p; };
  auto& all = emulation::buffers;
  all.erase(std::remove_if(all.begin(), all.end(), is_this), all.end());
  free(p);
  return emulation::unless_it_spoils();
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* found, const void* p) {
  const emulation::Buffer* buffer = emulation::buffer_of(p, 1);
  *found = {buffer == nullptr ? cudaMemoryTypeUnregistered : cudaMemoryTypeDevice,
            buffer == nullptr ? -2 : buffer->device};
  return cudaSuccess;
}

cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* mode) {
  const int former = std::exchange(emulation::device.mode, *mode);
  *mode = static_cast<cudaStreamCaptureMode>(former);
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* made, unsigned flags) {
  if (flags != cudaStreamNonBlocking) return emulation::failed(cudaErrorInvalidValue);
  *made = reinterpret_cast<cudaStream_t>(new char);
  emulation::own_streams.push_back(*made);
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t on) {
  if (!emulation::is_own(on)) return emulation::failed(cudaErrorInvalidResourceHandle);
  return emulation::unless_it_spoils();
}

cudaError_t cudaStreamDestroy(cudaStream_t on) {
  if (!emulation::is_own(on)) return emulation::failed(cudaErrorInvalidResourceHandle);
  auto& all = emulation::own_streams;
  all.erase(std::remove(all.begin(), all.end(), on), all.end());
  delete reinterpret_cast<char*>(on);
  return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void* p, int value, size_t bytes, cudaStream_t on) {
  if (!emulation::record_operation("memset", nullptr, 0, p, bytes, on)) {
    return emulation::failed(cudaErrorInvalidResourceHandle);
  }
  memset(p, value, bytes);
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t on) {
  if (kind == cudaMemcpyHostToDevice) {  // to fill memory, on a stream of the caller's
    if (!emulation::is_own(on) || emulation::buffer_of(to, bytes) == nullptr) {
      return emulation::failed(cudaErrorInvalidValue);
    }
    memcpy(to, from, bytes);
    return cudaSuccess;
  }
  if (!emulation::record_operation("memcpy", from, bytes, to, bytes, on)) {
    return emulation::failed(cudaErrorInvalidResourceHandle);
  }
  memcpy(to, from, bytes);
  return cudaSuccess;
}
