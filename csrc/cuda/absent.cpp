// Stands in for the CUDA engine where the build has none: the same names, all of which answer that
// there is no kernel. csrc/torch and csrc/api say what to do about it.
#include "instantiate.h"

namespace scatcuda {
namespace cuda {

Status device_limits(int, Device*) { return Status::no_kernel; }
const Fft* cufft(int*) { return nullptr; }
const char* cufft_error() { return ""; }
Status current_device(int*) { return Status::no_kernel; }
Status allocate(int64_t, void**) { return Status::no_kernel; }
Status upload(void*, const void*, int64_t) { return Status::no_kernel; }
void release(void*) {}
Status memory_of(const void*, int*) { return Status::no_kernel; }
Status clear(void*, int64_t, void*) { return Status::no_kernel; }
const char* last_error() { return ""; }
const char* driver_needed() { return ""; }
int64_t launches() { return 0; }

template <class T>
Status choose(const Program&, int64_t, const Device&, Tier, int64_t, const Fft*, Launch*, Task) {
  return Status::no_kernel;
}
template <class T>
Status workspace_bytes(const Program&, const Launch&, const Fft*, void*, int64_t*) {
  return Status::no_kernel;
}
template <class T>
Status scattering(const Program&, const Launch&, const Bank<T>&, int64_t, int64_t, const void*, T*,
                  void*, int64_t, const Fft*, void*, Pixels) {
  return Status::no_kernel;
}
template <class T>
Status scattering_backward(const Program&, const Launch&, const Bank<T>&, int64_t, int64_t,
                           const void*, const T*, const Gradients<T>&, void*, int64_t, const Fft*,
                           void*, Pixels) {
  return Status::no_kernel;
}
template <class T>
Status filter_fold_backward(int64_t, int64_t, int64_t, int64_t, int64_t, const T*, const T*,
                            const T*, T*, T*, void*) {
  return Status::no_kernel;
}
template <class T>
Status modulus_backward(int64_t, const T*, const T*, T*, void*) {
  return Status::no_kernel;
}
template <class T>
Status filter_fold(int64_t, int64_t, int64_t, int64_t, int64_t, const T*, const T*, T*, void*) {
  return Status::no_kernel;
}
template <class T>
Status modulus(int64_t, const T*, T*, void*) {
  return Status::no_kernel;
}
template <class T>
Status lowpass(int64_t, int64_t, int64_t, int64_t, int64_t, const T*, const T*, const T*, T*,
               void*) {
  return Status::no_kernel;
}

SCATCUDA_INSTANTIATE_ENGINE(float)
SCATCUDA_INSTANTIATE_ENGINE(double)
SCATCUDA_INSTANTIATE_STAGES(float)
SCATCUDA_INSTANTIATE_STAGES(double)

}  // namespace cuda
}  // namespace scatcuda
