// Kernels for whole families.
#include "forward.cuh"

namespace scatcuda {
inline namespace SCATCUDA_ISA {
namespace {

template <int N>
bool found(int64_t side, bool by_eight, FamilyKernels& kernels) {
  if (side != N) return false;
  kernels = {spectrum_kernel<N>, families_kernel<N, -1>};
  if constexpr (N <= 40) {
    if (by_eight) kernels.families = families_kernel<N, 3>;
  }
  return true;
}

}  // namespace

// What images of 28², 32² and 64² pixels are padded to at usual scales
FamilyKernels family_kernels(int64_t side, bool by_eight) {
  FamilyKernels kernels{spectrum_kernel<0>, families_kernel<0, -1>};
  found<36>(side, by_eight, kernels) || found<40>(side, by_eight, kernels) ||
      found<48>(side, by_eight, kernels) || found<72>(side, by_eight, kernels) ||
      found<80>(side, by_eight, kernels);
  return kernels;
}

}  // namespace SCATCUDA_ISA
}  // namespace scatcuda
