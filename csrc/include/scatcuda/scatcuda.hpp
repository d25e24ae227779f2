// scatcuda.h in C++: plans and workspaces that free themselves, statuses as exceptions.
//
//   scatcuda::Plan plan("plan.scat");
//   scatcuda::Workspace workspace = plan.workspace(SCATCUDA_FORWARD, batch);
//   plan.forward(batch, x, S, workspace);
//
// Header only, so that no C++ type crosses the library's boundary. Sizes of structs are set here,
// but for those of an executor and an FFT of the caller's own.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <type_traits>

#include "scatcuda.h"

namespace scatcuda {

class Error : public std::runtime_error {
 public:
  Error(scatcuda_status status, const char* what) : std::runtime_error(what), status_(status) {}
  scatcuda_status status() const { return status_; }

 private:
  scatcuda_status status_;
};

// Calls f(message) and throws what it says where it fails.
template <class F>
void check(F&& f) {
  scatcuda_message message{};
  const scatcuda_status status = f(&message);
  if (status != SCATCUDA_OK) throw Error(status, message.text);
}

// Memory of the host for one call at a time
class Workspace {
 public:
  explicit Workspace(int64_t bytes) : bytes_(bytes) {
    if (bytes < 0) throw Error(SCATCUDA_BAD_ARGUMENT, "a workspace of less than no bytes");
    void* memory = nullptr;
    if (posix_memalign(&memory, SCATCUDA_ALIGNMENT, static_cast<size_t>(bytes)) != 0) {
      throw std::bad_alloc();
    }
    memory_.reset(memory);
  }
  void* data() const { return memory_.get(); }
  int64_t bytes() const { return bytes_; }

 private:
  struct Free {
    void operator()(void* p) const { std::free(p); }
  };
  std::unique_ptr<void, Free> memory_;
  int64_t bytes_;
};

// float or double, as the plan has it
template <class T>
constexpr scatcuda_type type_of() {
  static_assert(std::is_same_v<T, float> || std::is_same_v<T, double>, "float or double");
  return std::is_same_v<T, float> ? SCATCUDA_FLOAT32 : SCATCUDA_FLOAT64;
}

// A program and its filters. Does not change: any number of threads may use one.
class Plan {
 public:
  explicit Plan(const std::string& path) {
    if (path.find('\0') != path.npos) throw Error(SCATCUDA_BAD_ARGUMENT, "a path has no NUL");
    make([&](auto... out) { return scatcuda_plan_load(path.c_str(), out...); });
  }
  Plan(const void* bytes, size_t size) {
    make([&](auto... out) { return scatcuda_plan_read(bytes, size, out...); });
  }
  explicit Plan(scatcuda_tables tables) {
    tables.size = sizeof tables;
    make([&](auto... out) { return scatcuda_plan_create(&tables, out...); });
  }

  const scatcuda_plan* get() const { return plan_.get(); }
  scatcuda_description describe() const {
    scatcuda_description description{};
    description.size = sizeof description;
    check([&](auto* message) { return scatcuda_plan_describe(get(), &description, message); });
    return description;
  }
  std::string program() const {
    const char* text = scatcuda_plan_program(get());
    if (!text) throw Error(SCATCUDA_BAD_ARGUMENT, "there is no plan");  // of one that was moved
    return text;
  }

  int64_t workspace_bytes(scatcuda_task task, int64_t batch, int64_t threads = 1) const {
    const int64_t bytes = scatcuda_workspace_bytes(get(), task, batch, threads);
    if (bytes < 0) throw Error(SCATCUDA_BAD_ARGUMENT, "no such task, batch or number of threads");
    return bytes;
  }
  Workspace workspace(scatcuda_task task, int64_t batch, int64_t threads = 1) const {
    return Workspace(workspace_bytes(task, batch, threads));
  }

  // x [batch, sides of the signal] -> S [batch, channels, sides of a channel]
  template <class T>
  void forward(int64_t batch, const T* x, T* S, const Workspace& workspace,
               const scatcuda_executor* executor = nullptr) const {
    require<T>();
    check([&](auto* message) {
      return scatcuda_forward(get(), batch, x, S, workspace.data(), workspace.bytes(), executor,
                              message);
    });
  }
  // x, and g as S -> gradients of <g, S x>; null where not wanted
  template <class T>
  void backward(int64_t batch, const T* x, const T* g, T* grad_x, T* grad_psi, T* grad_phi,
                const Workspace& workspace, const scatcuda_executor* executor = nullptr) const {
    require<T>();
    const scatcuda_gradients gradients{sizeof gradients, grad_x, grad_psi, grad_phi};
    check([&](auto* message) {
      return scatcuda_backward(get(), batch, x, g, &gradients, workspace.data(), workspace.bytes(),
                               executor, message);
    });
  }

  template <class T>
  void require() const {
    const scatcuda_type type = describe().type;
    if (type != type_of<T>()) {
      throw Error(SCATCUDA_BAD_ARGUMENT, type == SCATCUDA_FLOAT32
                                             ? "the plan is float, the arrays are double"
                                             : "the plan is double, the arrays are float");
    }
  }

 private:
  struct Destroy {
    void operator()(scatcuda_plan* plan) const { scatcuda_plan_destroy(plan); }
  };
  template <class Make>
  void make(Make&& f) {
    scatcuda_plan* plan = nullptr;
    check([&](auto* message) { return f(&plan, message); });
    plan_.reset(plan);
  }

  std::unique_ptr<scatcuda_plan, Destroy> plan_;
};

// A plan on the current device of CUDA. Pointers are to its memory, streams are cudaStream_t.
class CudaPlan {
 public:
  explicit CudaPlan(const Plan& plan, scatcuda_cuda_options options = {})
      : type_(plan.describe().type) {
    options.size = sizeof options;
    scatcuda_cuda_plan* made = nullptr;
    check([&](auto* message) {
      return scatcuda_cuda_plan_create(plan.get(), &options, &made, message);
    });
    plan_.reset(made);
  }
  const scatcuda_cuda_plan* get() const { return plan_.get(); }

  int64_t workspace_bytes(scatcuda_task task, int64_t batch, void* stream = nullptr) const {
    int64_t bytes = 0;
    check([&](auto* message) {
      return scatcuda_cuda_workspace_bytes(get(), task, batch, stream, &bytes, message);
    });
    return bytes;
  }
  // x is T, or what `pixels` says.
  template <class T>
  void forward(int64_t batch, const void* x, T* S, void* workspace, int64_t bytes,
               void* stream = nullptr, scatcuda_pixels pixels = SCATCUDA_PIXELS_AS_PLAN) const {
    require<T>();
    check([&](auto* message) {
      return scatcuda_cuda_forward(get(), batch, pixels, x, S, workspace, bytes, stream, message);
    });
  }
  template <class T>
  void backward(int64_t batch, const void* x, const T* g, T* grad_x, T* grad_psi, T* grad_phi,
                void* workspace, int64_t bytes, void* stream = nullptr,
                scatcuda_pixels pixels = SCATCUDA_PIXELS_AS_PLAN) const {
    require<T>();
    const scatcuda_gradients gradients{sizeof gradients, grad_x, grad_psi, grad_phi};
    check([&](auto* message) {
      return scatcuda_cuda_backward(get(), batch, pixels, x, g, &gradients, workspace, bytes,
                                    stream, message);
    });
  }

 private:
  template <class T>
  void require() const {
    if (type_ != type_of<T>()) {
      throw Error(SCATCUDA_BAD_ARGUMENT, "the plan's numbers and the arrays' differ in type");
    }
  }
  struct Destroy {
    void operator()(scatcuda_cuda_plan* plan) const { scatcuda_cuda_plan_destroy(plan); }
  };
  std::unique_ptr<scatcuda_cuda_plan, Destroy> plan_;
  scatcuda_type type_;
};

}  // namespace scatcuda
