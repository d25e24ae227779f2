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

#include "operators.h"

// Weak, so that one library loads beside every PyTorch: the first is in PyTorch for CUDA only, the
// second since 2.13.
extern "C" {
AOTI_TORCH_EXPORT __attribute__((weak)) AOTITorchError
aoti_torch_get_current_cuda_stream(int32_t device_index, void** stream);
AOTI_TORCH_EXPORT __attribute__((weak)) const char* torch_exception_get_what_without_backtrace();
}

namespace scatcuda {
namespace {

using torch::stable::new_empty;
using torch::stable::new_zeros;

struct OutOfMemory : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// The GPU of a tensor, current as long as this lives
class Gpu {
 public:
  const char* const op;

  Gpu(const char* op_name, const char* name, const Tensor& t)
      : op(op_name), name_(name), first_(t), index_(index_of()), guard_(index_) {
    STD_TORCH_CHECK(aoti_torch_get_current_cuda_stream != nullptr, op,
                    ": this PyTorch has no CUDA: install PyTorch for CUDA");
    TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(index_, &stream_));
    limits_ = limits_of(index_);
  }

  // A tensor on the GPU. Of an exception in PyTorch the stable ABI keeps the message at most.
  Tensor allocate(const char* what, const std::vector<int64_t>& sizes, ScalarType dtype) const {
    try {
      return new_empty(first_, sizes, dtype);
    } catch (const std::exception&) {
      const char* said = torch_exception_get_what_without_backtrace != nullptr
                             ? torch_exception_get_what_without_backtrace()
                             : "CUDA out of memory, as far as this version of PyTorch tells.";
      const std::string message = std::string(op) + ": no memory for its " + what + " of shape " +
                                  shape_text(sizes) + ", " + name_of(dtype) + ": " + said;
      if (message.find("out of memory") == std::string::npos) throw std::runtime_error(message);
      throw OutOfMemory(message);
    }
  }

  Wish wish(const std::string& tier, int64_t workspace) const {
    return wish_of(op, tier, workspace);
  }

  // Pixels are read in the type of the bank or a shorter one.
  template <class F>
  void with_type(const Tensor& x, const Tensor& psi, F&& f) {
    with_real(op, "psi", psi, false, [&](auto real) {
      const ScalarType type = x.scalar_type(), bank = psi.scalar_type();
      pixels_ = type == ScalarType::Half       ? cuda::Pixels::half
                : type == ScalarType::BFloat16 ? cuda::Pixels::bfloat16
                : type == ScalarType::Byte     ? cuda::Pixels::uint8
                                               : cuda::Pixels::as_bank;
      STD_TORCH_CHECK(pixels_ != cuda::Pixels::as_bank || type == bank, op, ": x must be ",
                      name_of(bank), " as psi is, or Half, BFloat16 or Byte; got ", name_of(type));
      f(real);
    });
  }

  template <class T>
  void check_support(const Scattering&, const Tensor&, Bank<T>&) const {}

  template <class T>
  void scattering(const Scattering& s, const Wish& wish, const Bank<T>& bank, int64_t psi_entries,
                  const Tensor& x, T* S) const {
    run_task<T>(s, cuda::Task::forward, wish,
                [&](const cuda::Launch& launch, void* memory, int64_t bytes, const cuda::Fft* fft) {
                  return cuda::scattering<T>(*s.program, launch, bank, psi_entries, s.B,
                                             x.const_data_ptr(), S, memory, bytes, fft, stream_,
                                             pixels_);
                });
  }

  template <class T>
  void scattering_backward(const Scattering& s, const Wish& wish, const Bank<T>& bank,
                           int64_t psi_entries, const Tensor& x, const T* g,
                           const Gradients<T>& gradients) const {
    const bool filters = gradients.psi != nullptr || gradients.phi != nullptr;
    run_task<T>(s, filters ? cuda::Task::backward_with_filters : cuda::Task::backward, wish,
                [&](const cuda::Launch& launch, void* memory, int64_t bytes, const cuda::Fft* fft) {
                  return cuda::scattering_backward<T>(*s.program, launch, bank, psi_entries, s.B,
                                                      x.const_data_ptr(), g, gradients, memory,
                                                      bytes, fft, stream_, pixels_);
                });
  }

  template <class T, class... A>
  void filter_fold(A... a) const {
    check(cuda::filter_fold<T>(a..., stream_));
  }
  template <class T, class... A>
  void filter_fold_backward(A... a) const {
    check(cuda::filter_fold_backward<T>(a..., stream_));
  }
  template <class T, class... A>
  void modulus(A... a) const {
    check(cuda::modulus<T>(a..., stream_));
  }
  template <class T, class... A>
  void modulus_backward(A... a) const {
    check(cuda::modulus_backward<T>(a..., stream_));
  }
  template <class T, class... A>
  void lowpass(A... a) const {
    check(cuda::lowpass<T>(a..., stream_));
  }

 private:
  int32_t index_of() const {
    STD_TORCH_CHECK(has_cuda_engine, op, ": ", sentence_of(Status::no_kernel, "", {}, false));
    STD_TORCH_CHECK(first_.is_cuda(), op, ": ", name_,
                    " must be on the GPU, where the other arguments are");
    return first_.get_device_index();
  }

  // asked for once a device
  cuda::Device limits_of(int index) const {
    static std::mutex mutex;
    static std::map<int, cuda::Device> known;
    const std::lock_guard<std::mutex> lock(mutex);
    const auto found = known.find(index);
    if (found != known.end()) return found->second;
    cuda::Device device{};
    const Status status = cuda::device_limits(index, &device);
    STD_TORCH_CHECK(
        status == Status::ok, op, ": ",
        sentence_of(status, "the limits of device " + std::to_string(index), device, true));
    return known[index] = device;
  }

  void check(Status status, const char* by = "", bool has_cufft = true) const {
    if (status == Status::ok) return;
    const std::string what = std::string(name_) + " of shape " + shape_of(first_) + ", " +
                             name_of(first_.scalar_type()) + by;
    STD_TORCH_CHECK(false, op, ": ", sentence_of(status, what, limits_, has_cufft));
  }

  // Lets the engine choose how to do its task and run(launch, workspace, bytes, cuFFT) it
  template <class T, class Run>
  void run_task(const Scattering& s, cuda::Task task, const Wish& wish, Run&& run) const {
    const cuda::Fft* fft = cuda::cufft(nullptr);
    const auto checked = [&](Status status) { check(status, ", by this program", fft != nullptr); };
    cuda::Launch launch{};
    checked(cuda::choose<T>(*s.program, s.B, limits_, wish.tier, budget_of(wish, limits_), fft,
                            &launch, task));
    // where memory is short, fewer signals at a time
    Tensor workspace;
    int64_t bytes = 0;
    for (;; launch.wave = (launch.wave + 1) / 2) {
      checked(cuda::workspace_bytes<T>(*s.program, launch, fft, stream_, &bytes));
      try {
        workspace = allocate("workspace", {bytes}, ScalarType::Byte);
        break;
      } catch (const OutOfMemory&) {
        if (launch.wave <= 1) throw;
      }
    }
    checked(run(launch, workspace.mutable_data_ptr(), bytes, fft));
  }

  const char* name_;
  const Tensor& first_;
  int32_t index_;
  torch::stable::accelerator::DeviceGuard guard_;
  void* stream_ = nullptr;
  cuda::Device limits_{};
  cuda::Pixels pixels_ = cuda::Pixels::as_bank;
};

Tensor lowpass_cuda(const Tensor& u, const Tensor& a_m, const Tensor& a_n) {
  const Gpu gpu("lowpass", "u", u);
  const Lowpass s = check_lowpass(u, a_m, a_n);
  Tensor out;
  with_real(gpu.op, "u", u, false, [&](auto real) {
    using T = decltype(real);
    check_dtype(gpu.op, "a_m", a_m, real_type<T>);
    check_dtype(gpu.op, "a_n", a_n, real_type<T>);
    if (u.numel() == 0) {  // sums of nothing
      out = new_zeros(u, s.sizes);
      return;
    }
    const Tensor input = dense(u), rows = dense(a_m), columns = dense(a_n);
    out = gpu.allocate("output", s.sizes, real_type<T>);
    if (out.numel() == 0) return;
    gpu.lowpass<T>(s.B, s.M, s.N, s.m, s.n, data_of<T>(input), data_of<T>(rows),
                   data_of<T>(columns), mutable_data_of<T>(out));
  });
  return out;
}

}  // namespace
}  // namespace scatcuda

STABLE_TORCH_LIBRARY_IMPL(scatcuda, CUDA, m) {
  scatcuda::implement<scatcuda::Gpu>(m);
  m.impl("lowpass", TORCH_BOX(&scatcuda::lowpass_cuda));
}
