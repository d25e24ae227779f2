// log(1 + S x): an operator of another package, in C++, that calls scatcuda's.
//
// It asks PyTorch's dispatcher for scatcuda::scattering by name: no header and no library of
// scatcuda is needed to compile it, it runs on the device of x, and it has gradients because what
// it calls has.
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/log1p.h>
#include <torch/library.h>

#include <string_view>

namespace {

using at::Tensor;

// x, the bank, program, tier, workspace: as in scatcuda.ops.scattering
using Scattering = Tensor(const Tensor&, const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                          std::string_view, std::string_view, int64_t);

// x [..., M, N] -> [..., C, m, n]; bank and program as in scatcuda.program.plan
Tensor features(const Tensor& x, const Tensor& psi, const Tensor& psi_support, const Tensor& phi,
                const Tensor& phi_support, std::string_view program) {
  static const auto scattering = c10::Dispatcher::singleton()
                                     .findSchemaOrThrow("scatcuda::scattering", "")
                                     .typed<Scattering>();
  return at::log1p(scattering.call(x, psi, psi_support, phi, phi_support, program, "auto", 0));
}

}  // namespace

// No key is named, so that PyTorch sees through it, to the operators that it calls.
TORCH_LIBRARY(log_scattering, m) {
  m.def(
      "features(Tensor x, Tensor psi, Tensor psi_support, Tensor phi, Tensor phi_support, "
      "str program) -> Tensor",
      &features);
}
