// Kernels for second steps by themselves.
#include "forward.cuh"

namespace scatcuda {
inline namespace SCATCUDA_ISA {
namespace {

// Log: the usual number of filters side by side, where the kernel is worth another one for it
template <int N, int K, int Log = -1>
SecondKernel found(int64_t log) {
  if (Log >= 0 && log == Log) return {second_kernel<N, K, Log>, second_bounds(N)};
  return {second_kernel<N, K, -1>, second_bounds(N)};
}
template <int N, int Log2, int Log4>
SecondKernel known(int64_t k, int64_t log) {
  return k == 2 ? found<N, 2, Log2>(log) : k == 4 ? found<N, 4, Log4>(log) : found<N, 0>(log);
}

}  // namespace

// Planes of images of 28² (18), 32² (20), 64² (20), 128² (36, 72; 80) and 224² (60, 120; 32, 64,
// 128) pixels at usual scales
SecondKernel second_kernel_for(int64_t side, int64_t k, int64_t log) {
  switch (side) {
    case 18:
      return known<18, 3, -1>(k, log);
    case 20:
      return known<20, 3, -1>(k, log);
    case 32:
      return known<32, -1, -1>(k, log);
    case 36:
      return known<36, -1, -1>(k, log);
    case 60:
      return known<60, 1, 1>(k, log);
    case 64:
      return known<64, -1, -1>(k, log);
    case 72:
      return known<72, -1, -1>(k, log);
    case 80:
      return known<80, -1, -1>(k, log);
    case 120:
      return k == 2 ? found<120, 2, 0>(log) : found<120, 0>(log);
    case 128:
      return k == 2 ? found<128, 2, 0>(log) : found<128, 0>(log);
    default:
      return found<0, 0>(log);
  }
}

}  // namespace SCATCUDA_ISA
}  // namespace scatcuda
