// Kernels of the fused tier backward.
#include "fused_backward.cuh"

namespace scatcuda {
inline namespace SCATCUDA_ISA {
namespace {

template <int N, int K>
SecondKernel found_backward() {
  return {second_backward_kernel<N, K>, second_backward_bounds(N).threads};
}

}  // namespace

// Sides as in families.cu and second.cu, the most usual of them
FusedKernel families_backward_kernel_for(int64_t side) {
  switch (side) {
    case 36:
      return families_backward_kernel<36>;
    case 40:
      return families_backward_kernel<40>;
    default:
      return families_backward_kernel<0>;
  }
}

SecondKernel second_backward_kernel_for(int64_t side, int64_t k) {
  switch (k == 2 || k == 4 ? side : 0) {
    case 18:
      return k == 2 ? found_backward<18, 2>() : found_backward<0, 0>();
    case 20:
      return k == 2 ? found_backward<20, 2>() : found_backward<20, 4>();
    case 60:
      return k == 2 ? found_backward<60, 2>() : found_backward<60, 4>();
    case 120:
      return k == 2 ? found_backward<120, 2>() : found_backward<0, 0>();
    default:
      return found_backward<0, 0>();
  }
}

FusedKernel image_backward_kernel_of() { return image_backward_kernel; }

}  // namespace SCATCUDA_ISA
}  // namespace scatcuda
