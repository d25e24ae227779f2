// The operators on every device: checks and allocation around the engine of a Device, Cpu in
// cpu.cpp or Gpu in cuda.cpp, which is made for one call and tells where its first tensor is.
#pragma once

#include "checks.h"
#include "tier.h"

namespace scatcuda {

// Where a gradient goes: nowhere if it is not wanted
template <class T>
T* into(bool wanted, const Tensor& t) {
  return wanted ? mutable_data_of<T>(t) : nullptr;
}

template <class Device>
Tensor allocate_gradient(const Device& device, bool wanted, const Tensor& like, ScalarType type) {
  return device.allocate("gradient", wanted ? sizes_of(like, 0, {}) : std::vector<int64_t>{0},
                         type);
}

template <class Device>
Tensor scattering(const Tensor& x, const Tensor& psi, const Tensor& psi_support, const Tensor& phi,
                  const Tensor& phi_support, StringHandle program, StringHandle tier,
                  int64_t workspace) {
  const std::string text = take(program), wanted = take(tier);
  Device device("scattering", "x", x);
  const Scattering s = check_scattering(device.op, x, text);
  const Wish wish = device.wish(wanted, workspace);
  Tensor S;
  device.with_type(x, psi, [&](auto real) {
    using T = decltype(real);
    Bank<T> bank = check_bank<T>(s, x, psi, psi_support, phi, phi_support);
    device.check_support(s, psi, bank);
    const Tensor input = dense(x);
    S = device.allocate("output", s.sizes, real_type<T>);
    if (s.B > 0) {
      device.template scattering<T>(s, wish, bank, psi.numel(), input, mutable_data_of<T>(S));
    }
  });
  return S;
}

template <class Device>
std::tuple<Tensor, Tensor, Tensor> scattering_backward(const Tensor& grad, const Tensor& x,
                                                       const Tensor& psi, const Tensor& psi_support,
                                                       const Tensor& phi, const Tensor& phi_support,
                                                       StringHandle program, bool with_x,
                                                       bool with_psi, bool with_phi,
                                                       StringHandle tier, int64_t workspace) {
  const std::string text = take(program), wanted = take(tier);
  Device device("scattering_backward", "x", x);
  const Scattering s = check_scattering(device.op, x, text);
  const Wish wish = device.wish(wanted, workspace);
  check_like(device.op, "grad", grad, s.sizes, x, phi.scalar_type());
  std::tuple<Tensor, Tensor, Tensor> found;
  device.with_type(x, psi, [&](auto real) {
    using T = decltype(real);
    Bank<T> bank = check_bank<T>(s, x, psi, psi_support, phi, phi_support);
    device.check_support(s, psi, bank);
    const Tensor input = dense(x), g = dense(grad);
    found = {allocate_gradient(device, with_x, x, real_type<T>),
             allocate_gradient(device, with_psi, psi, real_type<T>),
             allocate_gradient(device, with_phi, phi, real_type<T>)};
    const auto& [grad_x, grad_psi, grad_phi] = found;
    if (s.B == 0)
      torch::stable::zero_(std::get<1>(found)), torch::stable::zero_(std::get<2>(found));
    if (s.B == 0 || !(with_x || with_psi || with_phi)) return;
    const Gradients<T> gradients{into<T>(with_x, grad_x), into<T>(with_psi, grad_psi),
                                 into<T>(with_phi, grad_phi)};
    device.template scattering_backward<T>(s, wish, bank, psi.numel(), input, data_of<T>(g),
                                           gradients);
  });
  return found;
}

template <class Device>
Tensor filter_fold(const Tensor& x_hat, const Tensor& psi, int64_t k) {
  Device device("filter_fold", "x_hat", x_hat);
  const FilterFold s = check_filter_fold(x_hat, psi, k);
  Tensor out;
  with_real(device.op, "x_hat", x_hat, true, [&](auto real) {
    using T = decltype(real);
    check_dtype(device.op, "psi", psi, real_type<T>);
    const Tensor input = dense(x_hat), filters = dense(psi);
    out = device.allocate("output", s.sizes, x_hat.scalar_type());
    if (out.numel() == 0) return;
    device.template filter_fold<T>(s.B, s.L, s.M, s.N, k, data_of<T>(input), data_of<T>(filters),
                                   mutable_data_of<T>(out));
  });
  return out;
}

template <class Device>
std::tuple<Tensor, Tensor> filter_fold_backward(const Tensor& grad, const Tensor& x_hat,
                                                const Tensor& psi, int64_t k, bool with_x,
                                                bool with_psi) {
  Device device("filter_fold_backward", "x_hat", x_hat);
  const FilterFold s = check_filter_fold(x_hat, psi, k);
  check_like(device.op, "grad", grad, s.sizes, x_hat, x_hat.scalar_type());
  std::tuple<Tensor, Tensor> found;
  with_real(device.op, "x_hat", x_hat, true, [&](auto real) {
    using T = decltype(real);
    check_dtype(device.op, "psi", psi, real_type<T>);
    const Tensor g = dense(grad), input = dense(x_hat), filters = dense(psi);
    found = {allocate_gradient(device, with_x, x_hat, x_hat.scalar_type()),
             allocate_gradient(device, with_psi, psi, real_type<T>)};
    const auto& [grad_x, grad_psi] = found;
    if (grad_x.numel() == 0 && grad_psi.numel() == 0) return;  // be there rows of no columns
    device.template filter_fold_backward<T>(s.B, s.L, s.M, s.N, k, data_of<T>(g), data_of<T>(input),
                                            data_of<T>(filters), into<T>(with_x, grad_x),
                                            into<T>(with_psi, grad_psi));
  });
  return found;
}

template <class Device>
Tensor modulus(const Tensor& z) {
  Device device("modulus", "z", z);
  Tensor out;
  with_real(device.op, "z", z, true, [&](auto real) {
    using T = decltype(real);
    const Tensor input = dense(z);
    out = device.allocate("output", sizes_of(z, 0, {}), real_type<T>);
    if (out.numel() == 0) return;
    device.template modulus<T>(z.numel(), data_of<T>(input), mutable_data_of<T>(out));
  });
  return out;
}

template <class Device>
Tensor modulus_backward(const Tensor& grad, const Tensor& z) {
  Device device("modulus_backward", "z", z);
  Tensor out;
  with_real(device.op, "z", z, true, [&](auto real) {
    using T = decltype(real);
    check_like(device.op, "grad", grad, sizes_of(z, 0, {}), z, real_type<T>);
    const Tensor g = dense(grad), input = dense(z);
    out = device.allocate("gradient", sizes_of(z, 0, {}), z.scalar_type());
    if (out.numel() == 0) return;
    device.template modulus_backward<T>(z.numel(), data_of<T>(g), data_of<T>(input),
                                        mutable_data_of<T>(out));
  });
  return out;
}

template <class Device>
void implement(torch::stable::detail::StableLibrary& m) {
  m.impl("scattering", TORCH_BOX(&scattering<Device>));
  m.impl("scattering_backward", TORCH_BOX(&scattering_backward<Device>));
  m.impl("filter_fold", TORCH_BOX(&filter_fold<Device>));
  m.impl("filter_fold_backward", TORCH_BOX(&filter_fold_backward<Device>));
  m.impl("modulus", TORCH_BOX(&modulus<Device>));
  m.impl("modulus_backward", TORCH_BOX(&modulus_backward<Device>));
}

}  // namespace scatcuda
