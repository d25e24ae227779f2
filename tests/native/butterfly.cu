// The butterflies of csrc/core/fft.h on the GPU: compiled, in the tests, for all architectures.
#include "core/fft.h"

namespace scatcuda {
inline namespace SCATCUDA_ISA {

template <int R>
__global__ void butterfly_kernel(Complex<float>* x) {
  Complex<float> v[R];
  for (int i = 0; i < R; ++i) v[i] = x[threadIdx.x * R + i];
  butterfly<R, 1>(v);
  for (int i = 0; i < R; ++i) x[threadIdx.x * R + i] = v[i];
}

template __global__ void butterfly_kernel<8>(Complex<float>*);
template __global__ void butterfly_kernel<11>(Complex<float>*);
template __global__ void butterfly_kernel<15>(Complex<float>*);
template __global__ void butterfly_kernel<16>(Complex<float>*);

}  // namespace SCATCUDA_ISA
}  // namespace scatcuda
