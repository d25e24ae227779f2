// Kernels that are wrong on purpose, beside some that are right: the tests of the tests.
//
// All have the same parameters: out and in [n], and a number whose use is each kernel's own.
#pragma once

#include "cuda/runtime.h"

namespace scatcuda {

using Kernel = void(float* out, const float* in, int n);

// --- right ones --------------------------------------------------------------------------------

// Sums of neighbours in a circle of one block, through dynamic shared memory
__global__ void neighbours(float* __restrict__ out, const float* __restrict__ in, int n) {
  extern __shared__ __align__(16) unsigned char shared_memory[];
  float* s = reinterpret_cast<float*>(shared_memory);
  const int t = threadIdx.x;
  s[t] = in[t];
  __syncthreads();
  out[t] = s[t] + s[(t + 1) % n];
}

// The sum of each row of `n` by one warp, first with shuffles, then in shared memory
__global__ void sums(float* __restrict__ out, const float* __restrict__ in, int n) {
  __shared__ float s[32];
  const int lane = threadIdx.x;
  float sum = 0;
  for (int i = lane; i < n; i += warpSize) sum += __ldg(in + blockIdx.x * n + i);
  float again = sum;
  for (int step = 16; step > 0; step /= 2) again += __shfl_xor_sync(~0u, again, step);
  s[lane] = sum;
  __syncwarp();
  for (int step = 16; step > 0; step /= 2) {
    if (lane < step) s[lane] += s[lane + step];
    __syncwarp();
  }
  if (lane == 0) out[blockIdx.x] = (s[0] + again) / 2;
}

// What every lane gets from each of the shuffles; a lane that has returned is not waited for
__global__ void shuffles(float* __restrict__ out, const float* __restrict__ in, int) {
  const int t = threadIdx.y * blockDim.x + threadIdx.x, lane = t % 32;
  float* row = out + t * 8;
  const float v = in[t];
  row[0] = __shfl_sync(~0u, v, 5);
  row[1] = __shfl_sync(~0u, v, 9, 8);
  row[2] = __shfl_up_sync(~0u, v, 1);
  row[3] = __shfl_down_sync(~0u, v, 2, 16);
  row[4] = __shfl_xor_sync(~0u, v, 3);
  row[5] = lane < 16 ? __shfl_xor_sync(0xffffu, v, 8) : __shfl_xor_sync(0xffff0000u, v, 1);
  row[6] = static_cast<float>(__shfl_sync(~0u, static_cast<double>(v), lane / 2));
  if (lane == 7) return;
  __syncwarp();
  __syncthreads();
  row[7] = 1;
}

// One lane's word reaches the last of three by way of the second; then a word that all have read is
// written again.
__global__ void relay(float* __restrict__ out, const float* __restrict__ in, int) {
  __shared__ float s;
  const int lane = threadIdx.x;
  if (lane == 0) s = in[0];
  if (lane < 2) __syncwarp(0b011);
  if (lane == 1 || lane == 2) __syncwarp(0b110);
  if (lane == 2) out[0] = s;
  __syncwarp();
  const float v = s;
  __syncwarp();
  if (lane == 5) s = s + v;
  __syncwarp();
  if (lane > 0) out[lane] = s;
}

// The first and the last thread return; the others do not wait for them.
__global__ void returns(float* __restrict__ out, const float* __restrict__ in, int n) {
  const int t = threadIdx.x;
  if (t == 0 || t == n - 1) return;
  __syncthreads();
  out[t] = in[t];
}

// Neighbours that share a word of 32 bits
__global__ void halves(float* __restrict__ out, const float* __restrict__ in, int n) {
  __shared__ short s[64];
  const int t = threadIdx.x;
  s[t] = static_cast<short>(in[t]);
  __syncthreads();
  out[t] = s[(t + 1) % n];
}

// A vector of four a thread
__global__ void vectors(float* __restrict__ out, const float* __restrict__ in, int) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  reinterpret_cast<float4*>(out)[i] = reinterpret_cast<const float4*>(in)[i];
}

// One thread copies n numbers.
__global__ void copies(float* __restrict__ out, const float* __restrict__ in, int n) {
  if (threadIdx.x == 0) memcpy(out, in, sizeof(float) * static_cast<size_t>(n));
}

// Every thread of a block reads all of `n`, and writes one
__global__ void reread(float* __restrict__ out, const float* __restrict__ in, int n) {
  float sum = 0;
  for (int i = 0; i < n; ++i) sum += in[i];
  out[blockIdx.x * blockDim.x + threadIdx.x] = sum;
}

// --- wrong ones --------------------------------------------------------------------------------

__global__ void missing_barrier(float* __restrict__ out, const float* __restrict__ in, int n) {
  extern __shared__ __align__(16) unsigned char shared_memory[];
  float* s = reinterpret_cast<float*>(shared_memory);
  const int t = threadIdx.x;
  s[t] = in[t];
  out[t] = s[t] + s[(t + 1) % n];
}

// What follows overwrites what slower threads still read.
__global__ void missing_second_barrier(float* out, const float* in, int n) {
  __shared__ float s[64];
  const int t = threadIdx.x;
  float v = in[t];
  for (int i = 0; i < 2; ++i) {
    s[t] = v;
    __syncthreads();
    v = s[(t + 1) % n];
  }
  out[t] = v;
}

__global__ void missing_warp_barrier(float* out, const float* in, int) {
  __shared__ float s[32];
  s[threadIdx.x] = in[threadIdx.x];  // of this lane
  out[threadIdx.x] = s[31 - threadIdx.x];
}

// Two halves of a warp meet, each by itself, and then read each other's.
__global__ void narrow_warp_barrier(float* out, const float* in, int) {
  __shared__ float s[32];
  s[threadIdx.x] = in[threadIdx.x];
  __syncwarp(threadIdx.x < 16 ? 0xffffu : 0xffff0000u);
  out[threadIdx.x] = s[31 - threadIdx.x];
}

// A warp that has met writes what another one may still read.
__global__ void other_warp_reads(float* out, const float* in, int) {
  __shared__ float s;
  if (threadIdx.x == 0) s = in[0];
  __syncthreads();
  out[threadIdx.x] = s;
  __syncwarp();
  if (threadIdx.x == 0) s = in[1];
}

// A shuffle makes lanes meet, but orders no memory.
__global__ void shuffle_for_barrier(float* out, const float* in, int) {
  __shared__ float s[32];
  s[threadIdx.x] = in[threadIdx.x];
  const float v = __shfl_sync(~0u, in[threadIdx.x], 0);
  out[threadIdx.x] = s[31 - threadIdx.x] + v;
}

__global__ void blocks_write_one_word(float* out, const float* in, int) {
  out[threadIdx.x] = in[threadIdx.x];
}

// In which order threads get there
__global__ void arrival(float* out, const float*, int) {
  __shared__ int count;
  if (threadIdx.x == 0) count = 0;
  __syncthreads();
  out[threadIdx.x] = static_cast<float>(count++);
}

// The last block's number stays.
__global__ void last_block(float* out, const float*, int) {
  out[0] = static_cast<float>(blockIdx.x);
}

// All blocks read what the first one writes, it too.
__global__ void first_block_writes(float* out, const float* in, int) {
  const float v = out[threadIdx.x];
  out[blockIdx.x * blockDim.x + threadIdx.x] = v + in[threadIdx.x];
}

// The result depends on which block comes first.
__global__ void block_reads_anothers(float* out, const float* in, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  out[i] = in[i];
  if (n > 0) out[i] += out[(i + blockDim.x) % n];
}

__global__ void beyond_dynamic(float* out, const float* in, int) {
  extern __shared__ __align__(16) unsigned char shared_memory[];
  float* s = reinterpret_cast<float*>(shared_memory);
  s[threadIdx.x + 1] = in[threadIdx.x];
  __syncthreads();
  out[threadIdx.x] = s[threadIdx.x + 1];
}

__global__ void beyond_static(float* out, const float* in, int n) {
  __shared__ float s[32];
  s[threadIdx.x + n] = in[threadIdx.x];
  __syncthreads();
  out[threadIdx.x] = s[threadIdx.x + n];
}

__global__ void reads_beyond_global(float* out, const float* in, int) {
  out[threadIdx.x] = in[threadIdx.x + 1];
}

__global__ void writes_beyond_global(float* out, const float* in, int n) {
  out[static_cast<int>(threadIdx.x) + n] = in[threadIdx.x];
}

__global__ void writes_input(float* out, const float* in, int) {
  const_cast<float*>(in)[threadIdx.x] = 1;
  out[threadIdx.x] = 1;
}

__global__ void misaligned(float* out, const float* in, int) {
  const int i = threadIdx.x;
  const float4 v = *reinterpret_cast<const float4*>(in + 4 * i + 1);
  out[i] = v.x + v.y + v.z + v.w;
}

__global__ void unwritten(float* out, const float* in, int n) {
  if (static_cast<int>(threadIdx.x) != n) out[threadIdx.x] = in[threadIdx.x];
}

// The first block writes n elements and reads all, the next ones write fewer.
__global__ void uninitialised(float* out, const float* in, int n) {
  __shared__ float s[64];
  if (static_cast<int>(threadIdx.x) < n - 12 * static_cast<int>(blockIdx.x)) {
    s[threadIdx.x] = in[threadIdx.x];
  }
  __syncthreads();
  out[threadIdx.x] = s[threadIdx.x];
}

__global__ void divergent_barrier(float* out, const float* in, int n) {
  if (static_cast<int>(threadIdx.x) < n) {
    __syncthreads();
    out[threadIdx.x] = in[threadIdx.x];
  } else {
    out[threadIdx.x] = 0;
    __syncthreads();
  }
}

// Half a warp waits for the other half, which waits for all.
__global__ void deadlock(float* out, const float* in, int) {
  float v = in[threadIdx.x];
  if (threadIdx.x < 16) {
    v = __shfl_xor_sync(~0u, v, 1);
  } else {
    __syncthreads();
  }
  out[threadIdx.x] = v;
}

// A lane asks one that has returned.
__global__ void asks_returned_lane(float* out, const float* in, int) {
  if (threadIdx.x == 3) return;
  out[threadIdx.x] = __shfl_xor_sync(~0u, in[threadIdx.x], 1);
}

__global__ void wrong_mask(float* out, const float* in, int) {
  out[threadIdx.x] = __shfl_sync(0xffffu, in[threadIdx.x], 0);
}

}  // namespace scatcuda
