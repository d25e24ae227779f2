// What a thread may do while others capture CUDA graphs.
//
// Under the usual mode of capture, cudaMalloc and its like spoil every capture of the process, from
// whichever thread they are called, although they do nothing to the stream that is captured. A
// thread in relaxed mode is not asked about them.
#pragma once

namespace scatcuda {
namespace cuda {

// This thread in relaxed mode for as long as this lives; afterwards in the mode that it was in.
// `exchange` is cudaThreadExchangeStreamCaptureMode, from CUDA's header or declared without it.
template <class Answer, class Mode>
class Relaxed {
 public:
  explicit Relaxed(Answer (*exchange)(Mode*)) : exchange_(exchange) { exchange_(&mode_); }
  ~Relaxed() { exchange_(&mode_); }
  Relaxed(const Relaxed&) = delete;
  Relaxed& operator=(const Relaxed&) = delete;

 private:
  Answer (*const exchange_)(Mode*);
  Mode mode_ = static_cast<Mode>(2);  // cudaStreamCaptureModeRelaxed, then the former one
};

}  // namespace cuda
}  // namespace scatcuda
