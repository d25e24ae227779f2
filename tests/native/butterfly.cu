// The butterflies of csrc/core/fft.h on the GPU: compiled, in the tests, for all architectures, and
// run from their PTX.
#include "core/fft.h"

namespace scatcuda {
inline namespace SCATCUDA_ISA {

template <int R, int Sign>
__global__ void butterfly_kernel(Complex<float>* x) {
  Complex<float> v[R];
  SCATCUDA_UNROLL
  for (int i = 0; i < R; ++i) v[i] = x[threadIdx.x * R + i];
  butterfly<R, Sign>(v);
  SCATCUDA_UNROLL
  for (int i = 0; i < R; ++i) x[threadIdx.x * R + i] = v[i];
}

#define SCATCUDA_BUTTERFLY(R)                                        \
  template __global__ void butterfly_kernel<R, -1>(Complex<float>*); \
  template __global__ void butterfly_kernel<R, 1>(Complex<float>*);
SCATCUDA_BUTTERFLY(2)
SCATCUDA_BUTTERFLY(3)
SCATCUDA_BUTTERFLY(4)
SCATCUDA_BUTTERFLY(5)
SCATCUDA_BUTTERFLY(6)
SCATCUDA_BUTTERFLY(7)
SCATCUDA_BUTTERFLY(8)
SCATCUDA_BUTTERFLY(9)
SCATCUDA_BUTTERFLY(10)
SCATCUDA_BUTTERFLY(11)
SCATCUDA_BUTTERFLY(12)
SCATCUDA_BUTTERFLY(13)
SCATCUDA_BUTTERFLY(15)
SCATCUDA_BUTTERFLY(16)

}  // namespace SCATCUDA_ISA
}  // namespace scatcuda
