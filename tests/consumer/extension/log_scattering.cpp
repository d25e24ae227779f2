// log(1 + S x): an operator of another package, in C++, that calls scatcuda's.
//
// It asks PyTorch's dispatcher for scatcuda::scattering2d by name: no header and no library of
// scatcuda is needed to compile it, it runs on the device of x, and it has gradients because what
// it calls has.
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/log1p.h>
#include <torch/library.h>

#include <string_view>

namespace {

using at::Tensor;

// x, the bank, J, L, max_order, pre_pad, tier, workspace: as in scatcuda.ops.scattering2d
using Scattering2d = Tensor(const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                            const Tensor&, int64_t, int64_t, int64_t, bool, std::string_view,
                            int64_t);

// x [..., M, N] -> [..., C, m, n]; the bank as scatcuda.plan.pack makes it
Tensor features(const Tensor& x, const Tensor& psi, const Tensor& psi_support, const Tensor& phi,
                const Tensor& phi_support, int64_t J, int64_t L) {
  static const auto scattering2d = c10::Dispatcher::singleton()
                                       .findSchemaOrThrow("scatcuda::scattering2d", "")
                                       .typed<Scattering2d>();
  return at::log1p(
      scattering2d.call(x, psi, psi_support, phi, phi_support, J, L, 2, false, "auto", 0));
}

}  // namespace

// No key is named, so that PyTorch sees through it, to the operators that it calls.
TORCH_LIBRARY(log_scattering, m) {
  m.def(
      "features(Tensor x, Tensor psi, Tensor psi_support, Tensor phi, Tensor phi_support, int J, "
      "int L) -> Tensor",
      &features);
}
