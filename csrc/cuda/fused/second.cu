// Kernels for second steps by themselves.
#include "forward.cuh"

namespace scatcuda {
inline namespace SCATCUDA_ISA {
namespace {

// Log: the usual number of filters side by side, where the kernel is worth another one for it.
// Folds by eight and more are left to the general tier, or to the kernel for any side.
template <int N, int K, int Log = -1>
SecondKernel found(int64_t log) {
  if (Log >= 0 && log == Log) return {second_kernel<N, K, Log>, second_bounds(N)};
  return {second_kernel<N, K, -1>, second_bounds(N)};
}
template <int N, int Log = -1>
SecondKernel known(int64_t k, int64_t log) {
  return k == 2 ? found<N, 2, Log>(log) : k == 4 ? found<N, 4, Log>(log) : found<0, 0>(log);
}
// A plane that leaves no room for a second one
template <int N>
SecondKernel alone(int64_t k, int64_t log) {
  return k == 2 && log == 0 ? SecondKernel{second_kernel<N, 2, 0>, second_bounds(N)}
                            : found<0, 0>(log);
}

}  // namespace

// Planes of images of 28² (18), 32² (20), 64² (20), 128² (36, 72; 80) and 224² (60, 120; 32, 64,
// 128) pixels at usual scales
SecondKernel second_kernel_for(int64_t side, int64_t k, int64_t log) {
  switch (side) {
    case 18:
      return k == 2 ? found<18, 2, 3>(log) : known<18>(k, log);
    case 20:
      return k == 2 ? found<20, 2, 3>(log) : known<20>(k, log);
    case 32:
      return known<32>(k, log);
    case 36:
      return known<36>(k, log);
    case 60:
      return known<60, 1>(k, log);
    case 64:
      return known<64>(k, log);
    case 72:
      return known<72>(k, log);
    case 80:
      return known<80>(k, log);
    case 120:
      return alone<120>(k, log);
    case 128:
      return alone<128>(k, log);
    default:
      return found<0, 0>(log);
  }
}

}  // namespace SCATCUDA_ISA
}  // namespace scatcuda
