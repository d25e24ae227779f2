// Kernels for whole families.
#include "forward.cuh"

namespace scatcuda {
inline namespace SCATCUDA_ISA {
namespace {

template <int N>
bool found(int64_t side, FamilyKernels& kernels) {
  if (side == N) kernels = {spectrum_kernel<N>, families_kernel<N>};
  return side == N;
}

}  // namespace

// What images of 28², 32² and 64² pixels are padded to at usual scales
FamilyKernels family_kernels(int64_t side) {
  FamilyKernels kernels{spectrum_kernel<0>, families_kernel<0>};
  found<36>(side, kernels) || found<40>(side, kernels) || found<48>(side, kernels) ||
      found<72>(side, kernels) || found<80>(side, kernels);
  return kernels;
}

}  // namespace SCATCUDA_ISA
}  // namespace scatcuda
