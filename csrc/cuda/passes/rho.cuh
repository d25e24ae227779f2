// What follows a wavelet, ρ, and its adjoint:
//
//   modulus  U = |W|              gW = g W/|W|
//   norm     U = ( Σ |W_ψ|² )^½   gW_ψ = g W_ψ/U, over the filters ψ of a set
//   mean     U = Σ |W_k| / n      gW_k = g W_k/|W_k| / n, over the n places k of a group
//   phase    V = |W| e^{ip arg W}
//
// Gradients are 0 where U is.
#pragma once

#include "../../core/fft.h"
#include "../bank.cuh"

namespace scatcuda {
inline namespace SCATCUDA_ISA {

// f(i) for i < count, and the blocks for it
inline int64_t item_blocks(int64_t count) {
  return min(ceil_div(count, stage_threads), int64_t{1} << 20);
}
template <class F>
__device__ __forceinline__ void each_item(int64_t count, F f) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * stage_threads;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * stage_threads + threadIdx.x; i < count;
       i += step) {
    f(i);
  }
}

template <class T>
__device__ __forceinline__ T square_of(const Complex<T>& z) {
  return z.re * z.re + z.im * z.im;
}

template <class T>
__global__ void __launch_bounds__(stage_threads)
    modulus_kernel(int64_t count, const Complex<T>* z, T* out) {
  each_item(count, [&](int64_t i) { out[i] = root_of(square_of(z[i])); });
}

// z [planes, filters, points] -> out [planes, points], of which there are `count`
template <class T>
__global__ void __launch_bounds__(stage_threads)
    norm_kernel(int64_t count, int filters, int64_t points, const Complex<T>* z, T* out) {
  each_item(count, [&](int64_t i) {
    const Complex<T>* from = z + i / points * filters * points + i % points;
    T sum = 0;
    for (int q = 0; q < filters; ++q) sum += square_of(from[q * points]);
    out[i] = root_of(sum);
  });
}

// z [planes, places, points] -> out [planes, points], of which there are `count`
template <class T>
__global__ void __launch_bounds__(stage_threads)
    mean_kernel(int64_t count, int places, int64_t points, const Complex<T>* z, T* out) {
  each_item(count, [&](int64_t i) {
    const Complex<T>* from = z + i / points * places * points + i % points;
    T sum = 0;
    for (int k = 0; k < places; ++k) sum += root_of(square_of(from[k * points]));
    out[i] = sum / static_cast<T>(places);
  });
}

// in place
template <class T>
__global__ void __launch_bounds__(stage_threads)
    phase_kernel(int64_t count, T power, Complex<T>* z) {
  each_item(count, [&](int64_t i) {
    const T size = sqrt(square_of(z[i])), angle = power * atan2(z[i].im, z[i].re);
    z[i] = {size * cos(angle), size * sin(angle)};
  });
}

// Real planes as complex ones, for what takes planes of both kinds; and the adjoint, added
template <class T>
__global__ void __launch_bounds__(stage_threads)
    store_kernel(int64_t count, const T* u, Complex<T>* out) {
  each_item(count, [&](int64_t i) { out[i] = {u[i], T(0)}; });
}
template <class T>
__global__ void __launch_bounds__(stage_threads)
    add_stored_kernel(int64_t count, const Complex<T>* g, T* out) {
  each_item(count, [&](int64_t i) { out[i] += g[i].re; });
}

// Where the squares of z leave the range of T, a power of two that brings them into it
template <class T>
__device__ __forceinline__ T scale_for(T square) {
  constexpr bool wide = sizeof(T) == 8;
  constexpr T small = static_cast<T>(wide ? 1e-240 : 1e-30), large = 1 / small;
  constexpr T power = static_cast<T>(wide ? 0x1p600 : 0x1p100);
  return square >= small && square <= large ? T(1) : square < small ? power : 1 / power;
}

// g z/|z|, 0 where z is
template <class T>
__device__ __forceinline__ Complex<T> directed(const Complex<T>& z, T g) {
  T re = z.re, im = z.im, square = re * re + im * im;
  const T scale = scale_for(square);
  if (scale != T(1)) re *= scale, im *= scale, square = re * re + im * im;
  const T factor = square == T(0) ? T(0) : g * rsqrt(square);
  return {re * factor, im * factor};
}

template <class T>
__global__ void __launch_bounds__(stage_threads)
    modulus_backward_kernel(int64_t count, const T* grad, const Complex<T>* z, Complex<T>* out) {
  each_item(count, [&](int64_t i) { out[i] = directed(z[i], grad[i]); });
}

// z [planes, filters, points] is replaced by its gradient; grad [planes, points]
template <class T>
__global__ void __launch_bounds__(stage_threads)
    norm_backward_kernel(int64_t count, int filters, int64_t points, const T* grad, Complex<T>* z) {
  each_item(count, [&](int64_t i) {
    Complex<T>* from = z + i / points * filters * points + i % points;
    T sum = 0;
    for (int q = 0; q < filters; ++q) sum += square_of(from[q * points]);
    const T scale = scale_for(sum);
    if (scale != T(1)) {
      sum = 0;
      for (int q = 0; q < filters; ++q) {
        const Complex<T> w = from[q * points];
        sum += square_of(Complex<T>{scale * w.re, scale * w.im});
      }
    }
    const T factor = sum == T(0) ? T(0) : grad[i] * rsqrt(sum);
    for (int q = 0; q < filters; ++q) {
      Complex<T>& w = from[q * points];
      w = {scale * w.re * factor, scale * w.im * factor};
    }
  });
}

// z [planes, places, points] is replaced by its gradient; grad [planes, points]
template <class T>
__global__ void __launch_bounds__(stage_threads)
    mean_backward_kernel(int64_t count, int places, int64_t points, const T* grad, Complex<T>* z) {
  each_item(count, [&](int64_t i) {
    Complex<T>* from = z + i / points * places * points + i % points;
    const T g = grad[i] / static_cast<T>(places);
    for (int k = 0; k < places; ++k) from[k * points] = directed(from[k * points], g);
  });
}

// z is replaced by its gradient. With G that of V, E = e^{ip arg z} and Ḡ its conjugate:
//
//   gz = (Re Ḡ E + i p Re iḠ E) z/|z|
template <class T>
__global__ void __launch_bounds__(stage_threads)
    phase_backward_kernel(int64_t count, T power, const Complex<T>* grad, Complex<T>* z) {
  each_item(count, [&](int64_t i) {
    const T angle = power * atan2(z[i].im, z[i].re), e_re = cos(angle), e_im = sin(angle);
    const Complex<T> g = grad[i];
    const T along = g.re * e_re + g.im * e_im, across = power * (g.im * e_re - g.re * e_im);
    const Complex<T> one = directed(z[i], T(1));
    z[i] = {along * one.re - across * one.im, along * one.im + across * one.re};
  });
}

}  // namespace SCATCUDA_ISA
}  // namespace scatcuda
