// Where averages go, and those that need no matrices, with their adjoint:
//
//   mean    S = Σ_u U(u) / points            gU = gS / points
//   powers  S_q = Σ_u |U(u)|^q, for each q   gU = Σ_q gS_q q |U|^{q − 1} sign U, 0 where U is
#pragma once

#include "rho.cuh"

namespace scatcuda {
inline namespace SCATCUDA_ISA {

// Digit i of a plane's number leads stride[i] numbers further in the coefficients of a signal
struct Channels {
  int64_t planes, numbers;  // of a signal
  int digits;
  int digit[max_digits];
  int64_t stride[max_digits];

  // Of plane number so many of all signals
  __device__ __forceinline__ int64_t place(int64_t plane) const {
    const int64_t image = plane / planes;
    unsigned rest = static_cast<unsigned>(plane - image * planes);
    int64_t at = image * numbers;
    for (int i = digits; i-- > 0;) {
      const unsigned range = static_cast<unsigned>(digit[i]), before = rest / range;
      at += (rest - before * range) * stride[i];
      rest = before;
    }
    return at;
  }
};

constexpr int most_powers = 64, power_threads = 256;
template <class T>
struct PowerArguments {
  T* u;                   // [planes, points]; backward replaced by its gradient
  const T* more;          // gradients of u by another way, or null
  int64_t points, count;  // of all planes: backward
  T* S;
  T* partial;  // [planes, powers, slices]; where there is one slice none
  int slices;
  const T* grad;
  Channels to;
  bool mean;
  int powers;
  T power[most_powers];
};

// The sum over a block, in a fixed order, for its first thread; for the others a part of it. Two in
// a row need no barrier where they take turns in `memory`.
template <class T>
__device__ __forceinline__ T sum_of_block(T value, T* memory) {
  memory[threadIdx.x] = value;
  for (unsigned step = blockDim.x / 2; step > 0; step /= 2) {
    __syncthreads();
    if (threadIdx.x < step) memory[threadIdx.x] = value += memory[threadIdx.x + step];
  }
  return value;
}

// x^p, 0 < x or 0 ≤ p
template <class T>
__device__ __forceinline__ T power_of(T x, T p) {
  if (p == T(0)) return T(1);
  if (p == T(1)) return x;
  if (p == T(2)) return x * x;
  if (p == T(0.5)) return root_of(x);
  return pow(x, p);
}

// Of a plane in slices the sums of each. Blocks: slices × planes
template <class T>
__global__ void __launch_bounds__(power_threads) power_kernel(PowerArguments<T> a) {
  __shared__ T memory[2][power_threads];
  const int64_t plane = blockIdx.x / a.slices, slice = blockIdx.x - plane * a.slices;
  const int64_t length = ceil_div(a.points, a.slices);
  const int64_t first = slice * length, last = min(first + length, a.points);
  const T* u = a.u + plane * a.points;
  T* to = a.slices > 1 ? a.partial + plane * a.powers * a.slices + slice : a.S + a.to.place(plane);
  for (int q = 0; q < a.powers; ++q) {
    T sum = 0;
    for (int64_t i = first + threadIdx.x; i < last; i += power_threads) {
      sum += a.mean ? u[i] : power_of(fabs(u[i]), a.power[q]);
    }
    sum = sum_of_block(sum, memory[q % 2]);
    if (threadIdx.x != 0) continue;
    to[q * a.slices] = a.mean && a.slices == 1 ? sum / static_cast<T>(a.points) : sum;
  }
}
// … and their sums, in a fixed order: a thread each, of `count` planes
template <class T>
__global__ void __launch_bounds__(stage_threads) power_sums_kernel(PowerArguments<T> a) {
  each_item(a.count * a.powers, [&](int64_t i) {
    const T* partial = a.partial + i * a.slices;
    T sum = 0;
    for (int slice = 0; slice < a.slices; ++slice) sum += partial[slice];
    a.S[a.to.place(i / a.powers) + i % a.powers] = a.mean ? sum / static_cast<T>(a.points) : sum;
  });
}

template <class T>
__global__ void __launch_bounds__(stage_threads) power_backward_kernel(PowerArguments<T> a) {
  each_item(a.count, [&](int64_t i) {
    T g = a.more == nullptr ? T(0) : a.more[i];
    const T* grad = a.grad + (a.powers > 0 ? a.to.place(i / a.points) : 0);
    if (a.mean) {
      g += grad[0] / static_cast<T>(a.points);
    } else if (a.powers > 0 && a.u[i] != T(0)) {
      const T size = fabs(a.u[i]), sign = a.u[i] < T(0) ? T(-1) : T(1);
      for (int q = 0; q < a.powers; ++q) {
        g += sign * grad[q] * a.power[q] * power_of(size, a.power[q] - 1);
      }
    }
    a.u[i] = g;
  });
}

}  // namespace SCATCUDA_ISA
}  // namespace scatcuda
