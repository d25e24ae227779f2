// The operators on the CPU: checks, allocation and PyTorch's thread pool around csrc/cpu.
#include <vector>

#include "../include/scatcuda/engine.h"
#include "checks.h"
#include "workspace.h"

namespace scatcuda {
namespace {

using torch::stable::contiguous;
using torch::stable::new_empty;

Executor torch_threads() {
  return {static_cast<int64_t>(torch::stable::get_num_threads()),
          [](int64_t tasks, void (*body)(void*, int64_t), void* closure) {
            torch::stable::parallel_for(0, tasks, 1, [&](int64_t first, int64_t last) {
              for (int64_t task = first; task < last; ++task) body(closure, task);
            });
          }};
}

// Runs f(float()) or f(double()) for a real (or, as = complex, a complex) tensor
template <class F>
void with_real(const char* op, const char* name, const Tensor& t, bool complex, F&& f) {
  const ScalarType single = complex ? ScalarType::ComplexFloat : ScalarType::Float;
  const ScalarType wide = complex ? ScalarType::ComplexDouble : ScalarType::Double;
  if (t.scalar_type() == single) {
    f(float());
  } else if (t.scalar_type() == wide) {
    f(double());
  } else {
    STD_TORCH_CHECK(false, op, ": ", name, " must be ", name_of(single), " or ", name_of(wide),
                    "; got ", name_of(t.scalar_type()));
  }
}

template <class T>
constexpr ScalarType real_type = sizeof(T) == 4 ? ScalarType::Float : ScalarType::Double;

// The support tables address the others: they are checked before anything is read through them.
void check_support(const Problem& problem, const Tensor& psi, const Tensor& psi_support,
                   const Tensor& phi_support, const Shape& shape) {
  const auto outside = [](int64_t low, int64_t high, int64_t size) {
    return low < 0 || low > high || high > size;
  };
  const int64_t entries = psi.numel() / angle_lanes(problem.L);
  const auto* box = static_cast<const int64_t*>(psi_support.const_data_ptr());
  const auto check_box = [&](int64_t res) {
    const int64_t rows = shape.Mp >> res, columns = shape.Np >> res;
    bool fits = !outside(box[1], box[2], rows) && !outside(box[3], box[4], columns) && box[0] >= 0;
    if (fits) {  // only now can the product not overflow
      const int64_t kept = (rows - box[2] + box[1]) * (columns - box[4] + box[3]);
      fits = box[0] <= entries - kept;
    }
    STD_TORCH_CHECK(fits, "scattering2d: psi_support has a box that reaches outside psi");
    box += 5;
  };
  for (int64_t j = 0; problem.max_order > 0 && j < problem.J; ++j) check_box(0);
  for (int64_t res = 1; problem.max_order > 1 && res < problem.J; ++res) {
    for (int64_t j = res + 1; j < problem.J; ++j) check_box(res);
  }
  const auto* band = static_cast<const int64_t*>(phi_support.const_data_ptr());
  for (int64_t res = 0; res < problem.J; ++res) {
    for (int64_t o = 0; o < shape.m + shape.n; ++o, band += 2) {
      STD_TORCH_CHECK(!outside(band[0], band[1], (o < shape.m ? shape.Mp : shape.Np) >> res),
                      "scattering2d: phi_support has a row that reaches outside phi");
    }
  }
}

Tensor scattering2d_cpu(const Tensor& x, const Tensor& psi, const Tensor& psi_support,
                        const Tensor& phi, const Tensor& phi_support, int64_t J, int64_t L,
                        int64_t max_order, bool pre_pad) {
  const char* op = "scattering2d";
  STD_TORCH_CHECK(x.dim() >= 2, op, ": x must have at least two dimensions; got shape ",
                  shape_of(x));
  const Problem problem{J, L, max_order, x.size(-2), x.size(-1), pre_pad};
  Shape shape;
  STD_TORCH_CHECK(shape_of(problem, &shape) == Status::ok, op, ": no scattering of x of shape ",
                  shape_of(x), " with J = ", J, ", L = ", L, ", max_order = ", max_order,
                  pre_pad ? ", padded beforehand" : "");
  const int64_t B = batch_of(x, 2);
  Tensor input = contiguous(x);
  Tensor S = new_empty(x, sizes_of(x, 2, {shape.channels, shape.m, shape.n}));
  with_real(op, "x", x, false, [&](auto real) {
    using T = decltype(real);
    check_table(op, "psi", psi, x, real_type<T>, -1);
    check_table(op, "psi_support", psi_support, x, ScalarType::Long, 5 * psi_tables(problem));
    check_table(op, "phi", phi, x, real_type<T>, phi_entries(problem));
    check_table(op, "phi_support", phi_support, x, ScalarType::Long, 2 * J * (shape.m + shape.n));
    check_support(problem, psi, psi_support, phi_support, shape);
    if (B == 0) return;
    const Bank<T> bank{static_cast<const T*>(psi.const_data_ptr()),
                       static_cast<const int64_t*>(psi_support.const_data_ptr()),
                       static_cast<const T*>(phi.const_data_ptr()),
                       static_cast<const int64_t*>(phi_support.const_data_ptr())};
    const Executor executor = torch_threads();
    const int64_t bytes = cpu::workspace_bytes<T>(problem, B, executor.threads);
    const Workspace workspace(bytes);
    const Status status = cpu::scattering2d<T>(
        problem, bank, B, static_cast<const T*>(input.const_data_ptr()),
        static_cast<T*>(S.mutable_data_ptr()), workspace.data(), bytes, executor);
    STD_TORCH_CHECK(status == Status::ok, op, ": the engine refused, status ",
                    static_cast<int>(status));
  });
  return S;
}

Tensor filter_fold_cpu(const Tensor& x_hat, const Tensor& psi, int64_t k) {
  const char* op = "filter_fold";
  STD_TORCH_CHECK(x_hat.dim() >= 2 && psi.dim() == 3 && psi.size(1) == x_hat.size(-2) &&
                      psi.size(2) == x_hat.size(-1),
                  op, ": x_hat must be [..., M, N] and psi [L, M, N]; got shapes ", shape_of(x_hat),
                  " and ", shape_of(psi));
  const int64_t B = batch_of(x_hat, 2), L = psi.size(0), M = psi.size(1), N = psi.size(2);
  STD_TORCH_CHECK(k >= 1 && M % k == 0 && N % k == 0, op, ": k must divide M = ", M, " and N = ", N,
                  "; got ", k);
  Tensor input = contiguous(x_hat), filters = contiguous(psi);
  Tensor out = new_empty(x_hat, sizes_of(x_hat, 2, {L, M / k, N / k}));
  with_real(op, "x_hat", x_hat, true, [&](auto real) {
    using T = decltype(real);
    check_dtype(op, "psi", psi, real_type<T>);
    if (out.numel() == 0) return;
    cpu::filter_fold<T>(B, L, M, N, k, static_cast<const T*>(input.const_data_ptr()),
                        static_cast<const T*>(filters.const_data_ptr()),
                        static_cast<T*>(out.mutable_data_ptr()), torch_threads());
  });
  return out;
}

Tensor modulus_cpu(const Tensor& z) {
  Tensor input = contiguous(z), out;
  with_real("modulus", "z", z, true, [&](auto real) {
    using T = decltype(real);
    out = new_empty(z, sizes_of(z, 0, {}), real_type<T>);
    if (out.numel() == 0) return;
    cpu::modulus<T>(z.numel(), static_cast<const T*>(input.const_data_ptr()),
                    static_cast<T*>(out.mutable_data_ptr()), torch_threads());
  });
  return out;
}

}  // namespace
}  // namespace scatcuda

STABLE_TORCH_LIBRARY_IMPL(scatcuda, CPU, m) {
  m.impl("scattering2d", TORCH_BOX(&scatcuda::scattering2d_cpu));
  m.impl("filter_fold", TORCH_BOX(&scatcuda::filter_fold_cpu));
  m.impl("modulus", TORCH_BOX(&scatcuda::modulus_cpu));
}
