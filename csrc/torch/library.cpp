// The operators' schemas. One operation has one name on every floor: scatcuda.reference.X,
// scatcuda::X here, the engines' X.
//
// All are functional: they write to no argument and return none. Shapes, B any leading dimensions:
//   scattering     x [B, sides] -> [B, C, sides of a channel], by a program (core/program.h), whose
//                  filters are packed as by scatcuda.packing. `tier` (auto, general, fused) and
//                  `workspace` (bytes, 0 for the default) say how the CUDA engine runs; on other
//                  devices they are checked and change nothing
//   lay_out        psi -> what to append to it for many calls on the CPU: what the engine makes of
//                  its tables else in every call; nothing where they are large, or no images'.
//                  Fixed filters alone are laid out: a gradient of psi is that of its tables
//   filter_fold    x_hat [B, M, N] complex, psi [L, M, N] real -> [B, L, M/k, N/k] complex
//   modulus        z complex -> |z| real
//   lowpass        u [B, M, N], a_m [m, M], a_n [n, N] -> a_m u a_nᵀ [B, m, n]; the CPU engine
//                  has none of its own, since two matrix products are PyTorch's trade
// A program is a str: its text is compared with that of the call before and parsed once. Like the
// strings and integers beside it, it needs no device, is not saved for a gradient and stays a
// constant of an exported graph. A call of 330 characters takes 3.3 µs until the engine begins, of
// 5000 (J = 10) 4.0 µs, with an int64 tensor of as much 3.1 and 3.4 µs, with the J, L, order and
// padding of images instead 4.1 µs.
//
// X_backward takes the gradient of X's result and gives those of its tensors, of size 0 where they
// were not asked for; the low-pass's are low-passes and matrix products themselves.
#include <torch/csrc/stable/library.h>

STABLE_TORCH_LIBRARY(scatcuda, m) {
  m.def(
      "scattering(Tensor x, Tensor psi, Tensor psi_support, Tensor phi, Tensor phi_support, "
      "str program, str tier='auto', int workspace=0) -> Tensor");
  m.def(
      "scattering_backward(Tensor grad, Tensor x, Tensor psi, Tensor psi_support, Tensor phi, "
      "Tensor phi_support, str program, bool with_x, bool with_psi, bool with_phi, "
      "str tier='auto', int workspace=0) -> (Tensor, Tensor, Tensor)");
  m.def("lay_out(Tensor psi, Tensor psi_support, str program) -> Tensor");
  m.def("filter_fold(Tensor x_hat, Tensor psi, int k) -> Tensor");
  m.def(
      "filter_fold_backward(Tensor grad, Tensor x_hat, Tensor psi, int k, bool with_x, "
      "bool with_psi) -> (Tensor, Tensor)");
  m.def("modulus(Tensor z) -> Tensor");
  m.def("modulus_backward(Tensor grad, Tensor z) -> Tensor");
  m.def("lowpass(Tensor u, Tensor a_m, Tensor a_n) -> Tensor");
}
