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

// Blocks: planes
template <class T>
__global__ void __launch_bounds__(power_threads) power_kernel(PowerArguments<T> a) {
  __shared__ T memory[2][power_threads];
  const T* u = a.u + blockIdx.x * a.points;
  T* to = a.S + a.to.place(blockIdx.x);
  for (int q = 0; q < a.powers; ++q) {
    T sum = 0;
    for (int64_t i = threadIdx.x; i < a.points; i += power_threads) {
      sum += a.mean ? u[i] : pow(fabs(u[i]), a.power[q]);
    }
    sum = sum_of_block(sum, memory[q % 2]);
    if (threadIdx.x == 0) to[q] = a.mean ? sum / static_cast<T>(a.points) : sum;
  }
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
        g += sign * grad[q] * a.power[q] * pow(size, a.power[q] - 1);
      }
    }
    a.u[i] = g;
  });
}

}  // namespace SCATCUDA_ISA
}  // namespace scatcuda
