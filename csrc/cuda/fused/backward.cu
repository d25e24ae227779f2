// Kernels of the fused tier backward.
#include "backward.cuh"

namespace scatcuda {
inline namespace SCATCUDA_ISA {
namespace {

template <int N, int K>
SecondKernel found_backward() {
  return {second_backward_kernel<N, K>, second_backward_bounds(N)};
}

}  // namespace

// Of the sides in families.cu and second.cu those that are met most
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
  if (side == 18 && k == 2) return found_backward<18, 2>();
  if (side == 20 && k == 2) return found_backward<20, 2>();
  if (side == 20) return found_backward<20, 0>();
  if (side == 32) return found_backward<32, 0>();
  if (side == 36) return found_backward<36, 0>();
  if (side == 40) return found_backward<40, 0>();
  if (side == 60 && k == 2) return found_backward<60, 2>();
  if (side == 60) return found_backward<60, 0>();
  if (side == 64) return found_backward<64, 0>();
  if (side == 72 && k == 2) return found_backward<72, 2>();
  if (side == 120 && k == 2) return found_backward<120, 2>();
  if (side == 128 && k == 2) return found_backward<128, 2>();
  return found_backward<0, 0>();
}

FusedKernel image_backward_kernel_of() { return image_backward_kernel; }

}  // namespace SCATCUDA_ISA
}  // namespace scatcuda
