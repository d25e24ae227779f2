// CUDA on a CPU, as much of it as csrc/cuda uses: stands in for <cuda_runtime.h> in tests.
//
// Every thread of a block is a fiber that runs until it meets a barrier or a shuffle; blocks run
// one after another (emulator.cpp; driver.cpp has the host's calls). Nothing is modelled but the
// meaning of the language: not speed, not the order in which a weak memory shows its writes, no
// atomics, no asynchronous copies.
//
// Kernels may use static shared memory and one dynamic array,
//
//   extern __shared__ __align__(16) unsigned char shared_memory[];
//
// whose emulation SCATCUDA_EMULATION_SHARED_MEMORY must stand once in the namespace of the kernels.
#pragma once

#include <math.h>  // not <cmath>: CUDA has the overloads for float in the global namespace

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>  // says __noinline__ itself: before the macros
#include <string>
#include <tuple>
#include <type_traits>

#include "emulator.h"

// --- the language ------------------------------------------------------------------------------

#define __global__
#define __device__
#define __host__
#define __constant__
#define __grid_constant__
#define __launch_bounds__(...)
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __align__(n) __attribute__((aligned(n)))
// One thread of the CPU runs one block at a time, so thread-local is block-local. Inside a function
// it implies static, as __shared__ does, and may follow extern.
#define __shared__ thread_local

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
inline uint3 threadIdx, blockIdx;
inline dim3 blockDim, gridDim;
constexpr int warpSize = scatcuda::emulation::warp_size;

// vectors, aligned as the GPU wants them
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(16) double2 {
  double x, y;
};
struct alignas(8) int2 {
  int x, y;
};
struct alignas(16) int4 {
  int x, y, z, w;
};
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline double2 make_double2(double x, double y) { return {x, y}; }
inline int2 make_int2(int x, int y) { return {x, y}; }
inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }

template <class T>
T __ldg(const T* p) {
  return *p;
}
template <class A, class B>
constexpr std::common_type_t<A, B> min(A a, B b) {
  return b < a ? b : a;
}
template <class A, class B>
constexpr std::common_type_t<A, B> max(A a, B b) {
  return a < b ? b : a;
}
inline double rsqrt(double x) { return 1 / sqrt(x); }
inline float rsqrtf(float x) { return 1 / sqrtf(x); }
inline float rsqrt(float x) { return rsqrtf(x); }
// sin and cos of πx: whole quarter turns are taken off first, without rounding
inline void sincospi(double x, double* sine, double* cosine) {
  const double quarters = rint(2 * remainder(x, 2));
  const double angle = M_PI * (remainder(x, 2) - quarters / 2);
  const double s = sin(angle), c = cos(angle);
  const int turned = static_cast<int>(quarters) & 3;
  *sine = turned == 0 ? s : turned == 1 ? c : turned == 2 ? -s : -c;
  *cosine = turned == 0 ? c : turned == 1 ? -s : turned == 2 ? -c : s;
}
inline void sincospif(float x, float* sine, float* cosine) {
  double s, c;
  sincospi(x, &s, &c);
  *sine = static_cast<float>(s);
  *cosine = static_cast<float>(c);
}
inline int __clz(int x) { return x == 0 ? 32 : __builtin_clz(static_cast<unsigned>(x)); }
inline unsigned __brev(unsigned x) {
  unsigned y = 0;
  for (int i = 0; i < 32; ++i) y |= (x >> i & 1u) << (31 - i);
  return y;
}
inline float __int_as_float(int bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}
inline double __longlong_as_double(long long bits) {
  double x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

// --- what makes threads wait for each other ----------------------------------------------------

namespace scatcuda::emulation {

void block_barrier(const char* file, int line);
void warp_barrier(uint32_t mask, const char* file, int line);
// Each lane gives a value and takes that of lane `source`
void shuffle(uint32_t mask, int source, const void* give, void* take, size_t bytes,
             const char* file, int line);
int lane();

template <class T>
T shuffled(uint32_t mask, T value, int source, int width, const char* file, int line) {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= 8);
  // outside its segment of `width` lanes a lane finds its own value
  const int first = lane() / width * width;
  if (source < first || source >= first + width) source = lane();
  T taken;
  shuffle(mask, source, &value, &taken, sizeof(T), file, line);
  return taken;
}

}  // namespace scatcuda::emulation

// the place of the call, for messages
#define SCATCUDA_CALL_PLACE const char *file = __builtin_FILE(), int line = __builtin_LINE()

inline void __syncthreads(SCATCUDA_CALL_PLACE) { scatcuda::emulation::block_barrier(file, line); }
inline void __syncwarp(unsigned mask = ~0u, SCATCUDA_CALL_PLACE) {
  scatcuda::emulation::warp_barrier(mask, file, line);
}
template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32, SCATCUDA_CALL_PLACE) {
  const int lane = scatcuda::emulation::lane(), first = lane / width * width;
  return scatcuda::emulation::shuffled(mask, value, first + (source & (width - 1)), width, file,
                                       line);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32, SCATCUDA_CALL_PLACE) {
  // unlike the others it may reach into earlier segments
  const int lane = scatcuda::emulation::lane(), source = lane ^ bits;
  const bool later = source / width > lane / width;
  return scatcuda::emulation::shuffled(mask, value, later ? lane : source, 32, file, line);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = 32, SCATCUDA_CALL_PLACE) {
  const int source = scatcuda::emulation::lane() - static_cast<int>(by);
  return scatcuda::emulation::shuffled(mask, value, source, width, file, line);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = 32, SCATCUDA_CALL_PLACE) {
  const int source = scatcuda::emulation::lane() + static_cast<int>(by);
  return scatcuda::emulation::shuffled(mask, value, source, width, file, line);
}

#undef SCATCUDA_CALL_PLACE

// --- the host's calls --------------------------------------------------------------------------

#define CUDART_VERSION 13000

// CUDA's own names and numbers
enum cudaError_t : int {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorInvalidConfiguration = 9,
  cudaErrorInsufficientDriver = 35,
  cudaErrorInvalidDeviceFunction = 98,
  cudaErrorNoDevice = 100,
  cudaErrorInvalidDevice = 101,
  cudaErrorInvalidKernelImage = 200,
  cudaErrorNoKernelImageForDevice = 209,
  cudaErrorUnsupportedPtxVersion = 222,
  cudaErrorInvalidResourceHandle = 400,
  cudaErrorStreamCaptureUnsupported = 900,
};
struct cudaDeviceProp {
  int major, minor, multiProcessorCount, l2CacheSize;
  size_t sharedMemPerBlockOptin, sharedMemPerMultiprocessor, totalGlobalMem;
};
enum cudaMemcpyKind : int { cudaMemcpyHostToDevice = 1, cudaMemcpyDeviceToDevice = 3 };
enum cudaMemoryType : int {
  cudaMemoryTypeUnregistered = 0,
  cudaMemoryTypeHost = 1,
  cudaMemoryTypeDevice = 2,
  cudaMemoryTypeManaged = 3,
};
struct cudaPointerAttributes {
  cudaMemoryType type;
  int device;
};
enum cudaStreamCaptureMode : int {
  cudaStreamCaptureModeGlobal = 0,
  cudaStreamCaptureModeThreadLocal = 1,
  cudaStreamCaptureModeRelaxed = 2,
};
struct CUstream_st;
using cudaStream_t = CUstream_st*;
constexpr unsigned cudaStreamNonBlocking = 1;

cudaError_t cudaGetLastError();
const char* cudaGetErrorString(cudaError_t error);
cudaError_t cudaDriverGetVersion(int* version);
cudaError_t cudaGetDevice(int* index);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* found, int index);
cudaError_t cudaMalloc(void** p, size_t bytes);
cudaError_t cudaFree(void* p);
cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* found, const void* p);
cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* mode);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* made, unsigned flags);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaMemsetAsync(void* p, int value, size_t bytes, cudaStream_t stream);
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream);

namespace scatcuda {
namespace emulation {

// Runs call(arguments) as every thread of the grid and returns how often whole blocks met at a
// barrier. Throws std::runtime_error where threads wait for each other forever.
int64_t run_grid(dim3 grid, dim3 block, size_t shared, void (*call)(const void* arguments),
                 const void* arguments);

// The same as a driver does it: refuses what no device, or not this one, can do.
cudaError_t launch(const void* kernel, dim3 grid, dim3 block, size_t shared, cudaStream_t stream,
                   void (*call)(const void* arguments), const void* arguments);

// The one dynamic array of shared memory, `most_shared` bytes
void set_dynamic_shared(unsigned char* (*address)());

}  // namespace emulation

// kernel<<<grid, block, shared, stream>>>(arguments...)
template <class... Parameters, class... Arguments>
cudaError_t launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared,
                   cudaStream_t stream, Arguments... arguments) {
  using Call = std::tuple<void (*)(Parameters...), Parameters...>;
  static_assert(sizeof(Call) <= 4096, "parameters of a kernel take at most 4 KiB");
  const Call call(kernel, static_cast<Parameters>(arguments)...);
  const auto run = [](const void* p) {
    std::apply([](auto* function, auto... values) { function(values...); },
               *static_cast<const Call*>(p));
  };
  return emulation::launch(reinterpret_cast<const void*>(kernel), grid, block, shared, stream, run,
                           &call);
}

}  // namespace scatcuda

#define SCATCUDA_EMULATION_SHARED_MEMORY                                                          \
  alignas(128) thread_local unsigned char shared_memory[scatcuda::emulation::most_shared];        \
  [[maybe_unused]] static const bool shared_memory_is_known =                                     \
      (scatcuda::emulation::set_dynamic_shared([]() -> unsigned char* { return shared_memory; }), \
       true)
