// The operators on the CPU: PyTorch's thread pool around csrc/cpu.
#include "operators.h"
#include "workspace.h"

namespace scatcuda {
namespace {

// Where lay_out begins behind the tables, at a multiple of a cache line
template <class T>
int64_t place_of_laid_out(const Program& p, const Bank<T>& bank) {
  return round_up(table_numbers(p, bank.psi_support), 16);
}

struct Cpu {
  const char* const op;
  const Executor executor{static_cast<int64_t>(torch::stable::get_num_threads()),
                          [](void*, int64_t tasks, void (*body)(void*, int64_t), void* closure) {
                            torch::stable::parallel_for(
                                0, tasks, 1, [&](int64_t first, int64_t last) {
                                  for (int64_t task = first; task < last; ++task)
                                    body(closure, task);
                                });
                          }};

  Cpu(const char* op_name, const char*, const Tensor&) : op(op_name) {}

  // Without looking new_empty up by its name: see dense()
  Tensor allocate(const char*, const std::vector<int64_t>& sizes, ScalarType type) const {
    std::vector<int64_t> strides(sizes.size(), 1);
    for (size_t i = sizes.size(); i-- > 1;) {
      strides[i - 1] = strides[i] * std::max<int64_t>(sizes[i], 1);
    }
    const auto dtype = torch::stable::detail::to<int32_t>(torch::stable::detail::from(type));
    AtenTensorHandle handle = nullptr;
    TORCH_ERROR_CODE_CHECK(aoti_torch_empty_strided(static_cast<int64_t>(sizes.size()),
                                                    sizes.data(), strides.data(), dtype,
                                                    aoti_torch_device_type_cpu(), 0, &handle));
    return Tensor(handle);
  }

  Wish wish(const std::string& tier, int64_t workspace) const {
    return check_wish(op, tier, workspace);
  }

  template <class F>
  void with_type(const Tensor& x, const Tensor&, F&& f) const {
    with_real(op, "x", x, false, f);
  }

  // The engine trusts its tables. Behind those of psi may be what lay_out has given.
  template <class T>
  void check_support(const Scattering& s, const Tensor& psi, Bank<T>& bank) const {
    const char* error = support_error(*s.program, psi.numel(), bank.psi_support, bank.phi_support);
    STD_TORCH_CHECK(error == nullptr, op, ": ", error);
    const int64_t begin = place_of_laid_out(*s.program, bank);
    if (psi.numel() > begin && psi.numel() == begin + cpu::laid_out_numbers(*s.program, bank)) {
      bank.laid_out = bank.psi + begin;
    }
  }

  void check(Status status) const {
    STD_TORCH_CHECK(status == Status::ok, op, ": the engine refused, status ",
                    static_cast<int>(status));
  }

  template <class T>
  void scattering(const Scattering& s, const Wish&, const Bank<T>& bank, int64_t, const Tensor& x,
                  T* S) const {
    const int64_t bytes =
        cpu::workspace_bytes<T>(*s.program, s.B, executor.threads, bank.laid_out != nullptr);
    const Workspace workspace(bytes);
    check(cpu::scattering<T>(*s.program, bank, s.B, data_of<T>(x), S, workspace.data(), bytes,
                             executor));
  }

  template <class T>
  void scattering_backward(const Scattering& s, const Wish&, const Bank<T>& bank,
                           int64_t psi_entries, const Tensor& x, const T* g,
                           const Gradients<T>& gradients) const {
    const int64_t entries = gradients.psi != nullptr ? psi_entries : 0;
    const int64_t bytes =
        cpu::backward_workspace_bytes<T>(*s.program, entries, gradients.phi != nullptr, s.B,
                                         executor.threads, bank.laid_out != nullptr);
    const Workspace workspace(bytes);
    check(cpu::scattering_backward<T>(*s.program, bank, entries, s.B, data_of<T>(x), g, gradients,
                                      workspace.data(), bytes, executor));
  }

  template <class T, class... A>
  void filter_fold(A... a) const {
    cpu::filter_fold<T>(a..., executor);
  }
  template <class T, class... A>
  void filter_fold_backward(A... a) const {
    cpu::filter_fold_backward<T>(a..., executor);
  }
  template <class T, class... A>
  void modulus(A... a) const {
    cpu::modulus<T>(a..., executor);
  }
  template <class T, class... A>
  void modulus_backward(A... a) const {
    cpu::modulus_backward<T>(a..., executor);
  }
};

// What the engine wants to read behind psi instead: its filters in the order in which the folds of
// images take them. Nothing where it does not, or where something is there already.
Tensor lay_out(const Tensor& psi, const Tensor& psi_support, StringHandle program) {
  const Cpu device("lay_out", "psi", psi);
  const ProgramPointer p = check_program(device.op, take(program));
  Tensor out;
  with_real(device.op, "psi", psi, false, [&](auto real) {
    using T = decltype(real);
    check_table(device.op, "psi", psi, psi, real_type<T>, -1);
    check_table(device.op, "psi_support", psi_support, psi, ScalarType::Long,
                p->psi_support_numbers);
    const Bank<T> bank{data_of<T>(psi), data_of<int64_t>(psi_support), nullptr, nullptr};
    const char* error = psi_support_error(*p, psi.numel(), bank.psi_support);
    STD_TORCH_CHECK(error == nullptr, device.op, ": ", error);
    const int64_t begin = place_of_laid_out(*p, bank);
    const int64_t numbers = psi.numel() > begin ? 0 : cpu::laid_out_numbers(*p, bank);
    const int64_t gap = begin - psi.numel();
    out = device.allocate("output", {numbers > 0 ? gap + numbers : 0}, real_type<T>);
    if (numbers == 0) return;
    T* to = mutable_data_of<T>(out);
    std::fill_n(to, gap, T(0));
    cpu::lay_out(*p, bank, to + gap);
  });
  return out;
}

}  // namespace
}  // namespace scatcuda

STABLE_TORCH_LIBRARY_IMPL(scatcuda, CPU, m) {
  scatcuda::implement<scatcuda::Cpu>(m);
  m.impl("lay_out", TORCH_BOX(&scatcuda::lay_out));
}
