// Kernels for second steps by themselves.
#include "forward.cuh"

namespace scatcuda {
inline namespace SCATCUDA_ISA {
namespace {

template <int N, int K>
SecondKernel found() {
  return {second_kernel<N, K>, second_bounds(N)};
}
template <int N>
SecondKernel known(int64_t k) {
  return k == 2 ? found<N, 2>() : k == 4 ? found<N, 4>() : found<0, 0>();
}

}  // namespace

// Planes of images of 28² (18), 32² (20), 64² (20), 128² (36, 72; 80) and 224² (60, 120) pixels at
// usual scales
SecondKernel second_kernel_for(int64_t side, int64_t k) {
  switch (side) {
    case 18:
      return known<18>(k);
    case 20:
      return known<20>(k);
    case 36:
      return known<36>(k);
    case 60:
      return known<60>(k);
    case 72:
      return known<72>(k);
    case 80:
      return known<80>(k);
    case 120:
      return k == 2 ? found<120, 2>() : found<0, 0>();
    default:
      return found<0, 0>();
  }
}

}  // namespace SCATCUDA_ISA
}  // namespace scatcuda
