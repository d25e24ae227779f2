// The operators on CUDA: checks, and PyTorch's device, stream and allocator around csrc/cuda.
//
// Nothing here waits for the device or reads its memory. The workspace belongs to the current
// stream, in whose order the allocator hands it on. Without a CUDA engine in the build the
// operators are there all the same, and say so.
#include <torch/csrc/stable/accelerator.h>

#include <map>
#include <mutex>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include "checks.h"
#include "tier.h"

// Weak, so that one library loads beside every PyTorch: the first is in PyTorch for CUDA only, the
// second since 2.13.
extern "C" {
AOTI_TORCH_EXPORT __attribute__((weak)) AOTITorchError
aoti_torch_get_current_cuda_stream(int32_t device_index, void** stream);
AOTI_TORCH_EXPORT __attribute__((weak)) const char* torch_exception_get_what_without_backtrace();
}

namespace scatcuda {
namespace {

using cuda::Pixels;
using torch::stable::contiguous;
using torch::stable::new_empty;
using torch::stable::new_zeros;

struct OutOfMemory : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// The GPU of a tensor, current as long as this lives
class Gpu {
 public:
  Gpu(const char* op, const char* name, const Tensor& t)
      : op_(op), index_(index_of(op, name, t)), guard_(index_) {
    STD_TORCH_CHECK(aoti_torch_get_current_cuda_stream != nullptr, op,
                    ": this PyTorch has no CUDA: install PyTorch for CUDA");
    TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(index_, &stream_));
    limits_ = limits_of(index_);
  }

  void* stream() const { return stream_; }
  const cuda::Device& limits() const { return limits_; }

  // what() names what the engine was to do, where it did not
  template <class What>
  void check(Status status, What&& what, bool has_cufft = true) const {
    STD_TORCH_CHECK(status == Status::ok, op_, ": ",
                    sentence_of(status, what(), limits_, has_cufft));
  }

  // A tensor on the GPU. Of an exception in PyTorch the stable ABI keeps the message at most.
  Tensor allocate(const char* what, const Tensor& like, const std::vector<int64_t>& sizes,
                  ScalarType dtype) const {
    try {
      return new_empty(like, sizes, dtype);
    } catch (const std::exception&) {
      const char* said = torch_exception_get_what_without_backtrace != nullptr
                             ? torch_exception_get_what_without_backtrace()
                             : "CUDA out of memory, as far as this version of PyTorch tells.";
      const std::string message = std::string(op_) + ": no memory for its " + what + " of shape " +
                                  shape_text(sizes) + ", " + name_of(dtype) + ": " + said;
      if (message.find("out of memory") == std::string::npos) throw std::runtime_error(message);
      throw OutOfMemory(message);
    }
  }

 private:
  static int32_t index_of(const char* op, const char* name, const Tensor& t) {
    STD_TORCH_CHECK(has_cuda_engine, op, ": ", sentence_of(Status::no_kernel, "", {}, false));
    STD_TORCH_CHECK(t.is_cuda(), op, ": ", name,
                    " must be on the GPU, where the other arguments are");
    return t.get_device_index();
  }

  // asked for once a device
  cuda::Device limits_of(int index) const {
    static std::mutex mutex;
    static std::map<int, cuda::Device> known;
    const std::lock_guard<std::mutex> lock(mutex);
    const auto found = known.find(index);
    if (found != known.end()) return found->second;
    cuda::Device device{};
    check(cuda::device_limits(index, &device),
          [&] { return "the limits of device " + std::to_string(index); });
    return known[index] = device;
  }

  const char* op_;
  int32_t index_;
  torch::stable::accelerator::DeviceGuard guard_;
  void* stream_ = nullptr;
  cuda::Device limits_{};
};

std::string described(const char* name, const Tensor& t) {
  return std::string(name) + " of shape " + shape_of(t) + ", " + name_of(t.scalar_type());
}

// How the engine is to read the pixels of x: in the type of the bank or a shorter one
Pixels pixels_of(const char* op, const Tensor& x, const Tensor& psi) {
  const ScalarType type = x.scalar_type(), bank = psi.scalar_type();
  if (type == ScalarType::Half) return Pixels::half;
  if (type == ScalarType::BFloat16) return Pixels::bfloat16;
  if (type == ScalarType::Byte) return Pixels::uint8;
  STD_TORCH_CHECK(type == bank, op, ": x must be ", name_of(bank),
                  " as psi is, or Half, BFloat16 or Byte; got ", name_of(type));
  return Pixels::as_bank;
}

// Lets the engine choose how to do its task and run(launch, workspace, bytes, cuFFT) it
template <class T, class Run>
void run_task(const Gpu& gpu, const Scattering& s, cuda::Task task, const Wish& wish,
              const Tensor& x, Run&& run) {
  const cuda::Fft* fft = cuda::cufft(nullptr);
  const auto check = [&](Status status) {
    gpu.check(status, [&] { return described("x", x) + ", by this program"; }, fft != nullptr);
  };
  cuda::Launch launch{};
  check(cuda::choose<T>(*s.program, s.B, gpu.limits(), wish.tier, budget_of(wish, gpu.limits()),
                        fft, &launch, task));
  // where memory is short, fewer signals at a time
  Tensor workspace;
  int64_t bytes = 0;
  for (;; launch.wave = (launch.wave + 1) / 2) {
    check(cuda::workspace_bytes<T>(*s.program, launch, fft, gpu.stream(), &bytes));
    try {
      workspace = gpu.allocate("workspace", x, {bytes}, ScalarType::Byte);
      break;
    } catch (const OutOfMemory&) {
      if (launch.wave <= 1) throw;
    }
  }
  check(run(launch, workspace.mutable_data_ptr(), bytes, fft));
}

Tensor scattering_cuda(const Tensor& x, const Tensor& psi, const Tensor& psi_support,
                       const Tensor& phi, const Tensor& phi_support, StringHandle program_text,
                       StringHandle tier_text, int64_t workspace_limit) {
  const char* op = "scattering";
  const std::string text = take(program_text), tier = take(tier_text);
  const Gpu gpu(op, "x", x);
  const Scattering s = check_scattering(op, x, text);
  const Wish wish = wish_of("scattering: ", tier, workspace_limit);
  Tensor S;
  with_real(op, "psi", psi, false, [&](auto real) {
    using T = decltype(real);
    const Pixels pixels = pixels_of(op, x, psi);
    const Bank<T> bank = check_bank<T>(s, x, psi, psi_support, phi, phi_support);
    const Tensor input = contiguous(x);
    S = gpu.allocate("output", x, s.sizes, real_type<T>);
    if (s.B == 0) return;
    run_task<T>(gpu, s, cuda::Task::forward, wish, x,
                [&](const cuda::Launch& launch, void* memory, int64_t bytes, const cuda::Fft* fft) {
                  return cuda::scattering<T>(*s.program, launch, bank, psi.numel(), s.B,
                                             input.const_data_ptr(), mutable_data_of<T>(S), memory,
                                             bytes, fft, gpu.stream(), pixels);
                });
  });
  return S;
}

std::tuple<Tensor, Tensor, Tensor> scattering_backward_cuda(
    const Tensor& grad, const Tensor& x, const Tensor& psi, const Tensor& psi_support,
    const Tensor& phi, const Tensor& phi_support, StringHandle program_text, bool with_x,
    bool with_psi, bool with_phi, StringHandle tier_text, int64_t workspace_limit) {
  const char* op = "scattering_backward";
  const std::string text = take(program_text), tier = take(tier_text);
  const Gpu gpu(op, "x", x);
  const Scattering s = check_scattering(op, x, text);
  const Wish wish = wish_of("scattering_backward: ", tier, workspace_limit);
  check_like(op, "grad", grad, s.sizes, x, phi.scalar_type());
  std::tuple<Tensor, Tensor, Tensor> found;
  with_real(op, "psi", psi, false, [&](auto real) {
    using T = decltype(real);
    const Pixels pixels = pixels_of(op, x, psi);
    const Bank<T> bank = check_bank<T>(s, x, psi, psi_support, phi, phi_support);
    const Tensor input = contiguous(x), g = contiguous(grad);
    const auto allocate = [&](bool wanted, const Tensor& like) {
      return gpu.allocate("gradient", x, wanted ? sizes_of(like, 0, {}) : nothing, real_type<T>);
    };
    found = {allocate(with_x, x), allocate(with_psi, psi), allocate(with_phi, phi)};
    auto& [grad_x, grad_psi, grad_phi] = found;
    if (s.B == 0) torch::stable::zero_(grad_psi), torch::stable::zero_(grad_phi);
    const bool filters = with_psi || with_phi;
    if (s.B == 0 || !(with_x || filters)) return;
    const auto into = [](bool wanted, const Tensor& t) {
      return wanted ? mutable_data_of<T>(t) : nullptr;
    };
    const Gradients<T> gradients{into(with_x, grad_x), into(with_psi, grad_psi),
                                 into(with_phi, grad_phi)};
    run_task<T>(gpu, s, filters ? cuda::Task::backward_with_filters : cuda::Task::backward, wish, x,
                [&](const cuda::Launch& launch, void* memory, int64_t bytes, const cuda::Fft* fft) {
                  return cuda::scattering_backward<T>(
                      *s.program, launch, bank, psi.numel(), s.B, input.const_data_ptr(),
                      data_of<T>(g), gradients, memory, bytes, fft, gpu.stream(), pixels);
                });
  });
  return found;
}

Tensor filter_fold_cuda(const Tensor& x_hat, const Tensor& psi, int64_t k) {
  const char* op = "filter_fold";
  const Gpu gpu(op, "x_hat", x_hat);
  const FilterFold s = check_filter_fold(x_hat, psi, k);
  Tensor out;
  with_real(op, "x_hat", x_hat, true, [&](auto real) {
    using T = decltype(real);
    check_dtype(op, "psi", psi, real_type<T>);
    const Tensor input = contiguous(x_hat), filters = contiguous(psi);
    out = gpu.allocate("output", x_hat, s.sizes, x_hat.scalar_type());
    if (out.numel() == 0) return;
    gpu.check(cuda::filter_fold<T>(s.B, s.L, s.M, s.N, k, data_of<T>(input), data_of<T>(filters),
                                   mutable_data_of<T>(out), gpu.stream()),
              [&] { return described("x_hat", x_hat); });
  });
  return out;
}

std::tuple<Tensor, Tensor> filter_fold_backward_cuda(const Tensor& grad, const Tensor& x_hat,
                                                     const Tensor& psi, int64_t k, bool with_x,
                                                     bool with_psi) {
  const char* op = "filter_fold_backward";
  const Gpu gpu(op, "x_hat", x_hat);
  const FilterFold s = check_filter_fold(x_hat, psi, k);
  check_like(op, "grad", grad, s.sizes, x_hat, x_hat.scalar_type());
  std::tuple<Tensor, Tensor> found;
  with_real(op, "x_hat", x_hat, true, [&](auto real) {
    using T = decltype(real);
    check_dtype(op, "psi", psi, real_type<T>);
    const Tensor g = contiguous(grad), input = contiguous(x_hat), filters = contiguous(psi);
    const auto allocate = [&](bool wanted, const Tensor& like) {
      return gpu.allocate("gradient", like, wanted ? sizes_of(like, 0, {}) : nothing,
                          like.scalar_type());
    };
    found = {allocate(with_x, x_hat), allocate(with_psi, psi)};
    auto& [grad_x, grad_psi] = found;
    gpu.check(cuda::filter_fold_backward<T>(
                  s.B, s.L, s.M, s.N, k, data_of<T>(g), data_of<T>(input), data_of<T>(filters),
                  with_x ? mutable_data_of<T>(grad_x) : nullptr,
                  with_psi ? mutable_data_of<T>(grad_psi) : nullptr, gpu.stream()),
              [&] { return described("x_hat", x_hat); });
  });
  return found;
}

Tensor modulus_cuda(const Tensor& z) {
  const char* op = "modulus";
  const Gpu gpu(op, "z", z);
  Tensor out;
  with_real(op, "z", z, true, [&](auto real) {
    using T = decltype(real);
    const Tensor input = contiguous(z);
    out = gpu.allocate("output", z, sizes_of(z, 0, {}), real_type<T>);
    if (out.numel() == 0) return;
    gpu.check(cuda::modulus<T>(z.numel(), data_of<T>(input), mutable_data_of<T>(out), gpu.stream()),
              [&] { return described("z", z); });
  });
  return out;
}

Tensor modulus_backward_cuda(const Tensor& grad, const Tensor& z) {
  const char* op = "modulus_backward";
  const Gpu gpu(op, "z", z);
  Tensor out;
  with_real(op, "z", z, true, [&](auto real) {
    using T = decltype(real);
    check_like(op, "grad", grad, sizes_of(z, 0, {}), z, real_type<T>);
    const Tensor g = contiguous(grad), input = contiguous(z);
    out = gpu.allocate("gradient", z, sizes_of(z, 0, {}), z.scalar_type());
    if (out.numel() == 0) return;
    gpu.check(cuda::modulus_backward<T>(z.numel(), data_of<T>(g), data_of<T>(input),
                                        mutable_data_of<T>(out), gpu.stream()),
              [&] { return described("z", z); });
  });
  return out;
}

Tensor lowpass_cuda(const Tensor& u, const Tensor& a_m, const Tensor& a_n) {
  const char* op = "lowpass";
  const Gpu gpu(op, "u", u);
  const Lowpass s = check_lowpass(u, a_m, a_n);
  Tensor out;
  with_real(op, "u", u, false, [&](auto real) {
    using T = decltype(real);
    check_dtype(op, "a_m", a_m, real_type<T>);
    check_dtype(op, "a_n", a_n, real_type<T>);
    if (u.numel() == 0) {  // sums of nothing
      out = new_zeros(u, s.sizes);
      return;
    }
    const Tensor input = contiguous(u), rows = contiguous(a_m), columns = contiguous(a_n);
    out = gpu.allocate("output", u, s.sizes, real_type<T>);
    if (out.numel() == 0) return;
    gpu.check(cuda::lowpass<T>(s.B, s.M, s.N, s.m, s.n, data_of<T>(input), data_of<T>(rows),
                               data_of<T>(columns), mutable_data_of<T>(out), gpu.stream()),
              [&] { return described("u", u); });
  });
  return out;
}

}  // namespace
}  // namespace scatcuda

STABLE_TORCH_LIBRARY_IMPL(scatcuda, CUDA, m) {
  m.impl("scattering", TORCH_BOX(&scatcuda::scattering_cuda));
  m.impl("scattering_backward", TORCH_BOX(&scatcuda::scattering_backward_cuda));
  m.impl("filter_fold", TORCH_BOX(&scatcuda::filter_fold_cuda));
  m.impl("filter_fold_backward", TORCH_BOX(&scatcuda::filter_fold_backward_cuda));
  m.impl("modulus", TORCH_BOX(&scatcuda::modulus_cuda));
  m.impl("modulus_backward", TORCH_BOX(&scatcuda::modulus_backward_cuda));
  m.impl("lowpass", TORCH_BOX(&scatcuda::lowpass_cuda));
}
