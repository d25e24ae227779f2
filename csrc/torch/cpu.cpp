// The operators on the CPU: checks, allocation and PyTorch's thread pool around csrc/cpu.
#include "checks.h"
#include "tier.h"
#include "workspace.h"

namespace scatcuda {
namespace {

using torch::stable::new_empty;

Executor torch_threads() {
  return {static_cast<int64_t>(torch::stable::get_num_threads()),
          [](void*, int64_t tasks, void (*body)(void*, int64_t), void* closure) {
            torch::stable::parallel_for(0, tasks, 1, [&](int64_t first, int64_t last) {
              for (int64_t task = first; task < last; ++task) body(closure, task);
            });
          }};
}

// The tables of filters, which the engine trusts
template <class T>
Bank<T> sound_bank(const Scattering& s, const Tensor& x, const Tensor& psi,
                   const Tensor& psi_support, const Tensor& phi, const Tensor& phi_support) {
  const Bank<T> bank = check_bank<T>(s, x, psi, psi_support, phi, phi_support);
  const char* error = support_error(*s.program, psi.numel(), bank.psi_support, bank.phi_support);
  STD_TORCH_CHECK(error == nullptr, s.op, ": ", error);
  return bank;
}

void check_done(const char* op, Status status) {
  STD_TORCH_CHECK(status == Status::ok, op, ": the engine refused, status ",
                  static_cast<int>(status));
}

Tensor scattering_cpu(const Tensor& x, const Tensor& psi, const Tensor& psi_support,
                      const Tensor& phi, const Tensor& phi_support, StringHandle program_text,
                      StringHandle tier_text, int64_t workspace_limit) {
  const char* op = "scattering";
  const std::string text = take(program_text), tier = take(tier_text);
  const Scattering s = check_scattering(op, x, text);
  check_wish("scattering: ", tier, workspace_limit);
  Tensor input = dense(x);
  Tensor S = empty_on_cpu(s.sizes, x.scalar_type());
  with_real(op, "x", x, false, [&](auto real) {
    using T = decltype(real);
    const Bank<T> bank = sound_bank<T>(s, x, psi, psi_support, phi, phi_support);
    if (s.B == 0) return;
    const Executor executor = torch_threads();
    const int64_t bytes = cpu::workspace_bytes<T>(*s.program, s.B, executor.threads);
    const Workspace workspace(bytes);
    check_done(op,
               cpu::scattering<T>(*s.program, bank, s.B, data_of<T>(input), mutable_data_of<T>(S),
                                  workspace.data(), bytes, executor));
  });
  return S;
}

std::tuple<Tensor, Tensor, Tensor> scattering_backward_cpu(
    const Tensor& grad, const Tensor& x, const Tensor& psi, const Tensor& psi_support,
    const Tensor& phi, const Tensor& phi_support, StringHandle program_text, bool with_x,
    bool with_psi, bool with_phi, StringHandle tier_text, int64_t workspace_limit) {
  const char* op = "scattering_backward";
  const std::string text = take(program_text), tier = take(tier_text);
  const Scattering s = check_scattering(op, x, text);
  check_wish("scattering_backward: ", tier, workspace_limit);
  check_like(op, "grad", grad, s.sizes, x, x.scalar_type());
  const Tensor input = dense(x), g = dense(grad);
  Tensor grad_x = new_empty(x, with_x ? sizes_of(x, 0, {}) : nothing);
  Tensor grad_psi = new_empty(psi, with_psi ? sizes_of(psi, 0, {}) : nothing);
  Tensor grad_phi = new_empty(phi, with_phi ? sizes_of(phi, 0, {}) : nothing);
  with_real(op, "x", x, false, [&](auto real) {
    using T = decltype(real);
    const Bank<T> bank = sound_bank<T>(s, x, psi, psi_support, phi, phi_support);
    const Executor executor = torch_threads();
    const int64_t entries = with_psi ? psi.numel() : 0;
    const int64_t bytes =
        cpu::backward_workspace_bytes<T>(*s.program, entries, with_phi, s.B, executor.threads);
    const Workspace workspace(bytes);
    const auto into = [](bool wanted, const Tensor& t) {
      return wanted ? mutable_data_of<T>(t) : nullptr;
    };
    const Gradients<T> gradients{into(with_x, grad_x), into(with_psi, grad_psi),
                                 into(with_phi, grad_phi)};
    check_done(op, cpu::scattering_backward<T>(*s.program, bank, entries, s.B, data_of<T>(input),
                                               data_of<T>(g), gradients, workspace.data(), bytes,
                                               executor));
  });
  return {grad_x, grad_psi, grad_phi};
}

Tensor filter_fold_cpu(const Tensor& x_hat, const Tensor& psi, int64_t k) {
  const char* op = "filter_fold";
  const FilterFold s = check_filter_fold(x_hat, psi, k);
  Tensor input = dense(x_hat), filters = dense(psi);
  Tensor out = new_empty(x_hat, s.sizes);
  with_real(op, "x_hat", x_hat, true, [&](auto real) {
    using T = decltype(real);
    check_dtype(op, "psi", psi, real_type<T>);
    if (out.numel() == 0) return;
    cpu::filter_fold<T>(s.B, s.L, s.M, s.N, k, data_of<T>(input), data_of<T>(filters),
                        mutable_data_of<T>(out), torch_threads());
  });
  return out;
}

std::tuple<Tensor, Tensor> filter_fold_backward_cpu(const Tensor& grad, const Tensor& x_hat,
                                                    const Tensor& psi, int64_t k, bool with_x,
                                                    bool with_psi) {
  const char* op = "filter_fold_backward";
  const FilterFold s = check_filter_fold(x_hat, psi, k);
  check_like(op, "grad", grad, s.sizes, x_hat, x_hat.scalar_type());
  const Tensor input = dense(x_hat), filters = dense(psi), g = dense(grad);
  Tensor grad_x = new_empty(x_hat, with_x ? sizes_of(x_hat, 0, {}) : nothing);
  Tensor grad_psi = new_empty(psi, with_psi ? sizes_of(psi, 0, {}) : nothing);
  with_real(op, "x_hat", x_hat, true, [&](auto real) {
    using T = decltype(real);
    check_dtype(op, "psi", psi, real_type<T>);
    if (grad_x.numel() == 0 && grad_psi.numel() == 0) return;  // be there rows of no columns
    cpu::filter_fold_backward<T>(s.B, s.L, s.M, s.N, k, data_of<T>(g), data_of<T>(input),
                                 data_of<T>(filters), with_x ? mutable_data_of<T>(grad_x) : nullptr,
                                 with_psi ? mutable_data_of<T>(grad_psi) : nullptr,
                                 torch_threads());
  });
  return {grad_x, grad_psi};
}

Tensor modulus_cpu(const Tensor& z) {
  Tensor input = dense(z), out;
  with_real("modulus", "z", z, true, [&](auto real) {
    using T = decltype(real);
    out = new_empty(z, sizes_of(z, 0, {}), real_type<T>);
    if (out.numel() == 0) return;
    cpu::modulus<T>(z.numel(), data_of<T>(input), mutable_data_of<T>(out), torch_threads());
  });
  return out;
}

Tensor modulus_backward_cpu(const Tensor& grad, const Tensor& z) {
  const char* op = "modulus_backward";
  const Tensor input = dense(z), g = dense(grad);
  Tensor out = new_empty(z, sizes_of(z, 0, {}));
  with_real(op, "z", z, true, [&](auto real) {
    using T = decltype(real);
    check_like(op, "grad", grad, sizes_of(z, 0, {}), z, real_type<T>);
    if (out.numel() == 0) return;
    cpu::modulus_backward<T>(z.numel(), data_of<T>(g), data_of<T>(input), mutable_data_of<T>(out),
                             torch_threads());
  });
  return out;
}

}  // namespace
}  // namespace scatcuda

STABLE_TORCH_LIBRARY_IMPL(scatcuda, CPU, m) {
  m.impl("scattering", TORCH_BOX(&scatcuda::scattering_cpu));
  m.impl("filter_fold", TORCH_BOX(&scatcuda::filter_fold_cpu));
  m.impl("scattering_backward", TORCH_BOX(&scatcuda::scattering_backward_cpu));
  m.impl("filter_fold_backward", TORCH_BOX(&scatcuda::filter_fold_backward_cpu));
  m.impl("modulus", TORCH_BOX(&scatcuda::modulus_cpu));
  m.impl("modulus_backward", TORCH_BOX(&scatcuda::modulus_backward_cpu));
}
