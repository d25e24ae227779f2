// What XLA calls for scatcuda.jax: the C library behind XLA's foreign functions, on CPUs and GPUs.
//
//   x [..., sides of the signal] -> S [..., channels, sides of a channel]
//   x, g as S -> the gradient of <g, S x>, as x
//
// A compiled program of XLA names a plan by the fingerprint of its program and filters, so that it
// means the same in every process; scatcuda_jax_keep says which plan that is. Plans that were kept
// stay: a compiled program may outlive every object of Python.
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

#include "scatcuda/scatcuda.h"
#include "xla/ffi/api/ffi.h"

namespace {

namespace ffi = xla::ffi;

std::mutex mutex;
std::unordered_map<int64_t, const scatcuda_plan*> plans;
std::map<std::pair<int64_t, int32_t>, const scatcuda_cuda_plan*> cuda_plans;

const scatcuda_plan* plan_of(int64_t fingerprint) {
  const std::lock_guard<std::mutex> lock(mutex);
  const auto found = plans.find(fingerprint);
  return found == plans.end() ? nullptr : found->second;
}

ffi::Error failed(scatcuda_status status, const scatcuda_message& message) {
  const auto code =
      status == SCATCUDA_NO_MEMORY ? ffi::ErrorCode::kResourceExhausted : ffi::ErrorCode::kInternal;
  return ffi::Error(code, std::string("scatcuda.jax: ") + message.text);
}

// A call: its plan, and how many signals it is given.
struct Call {
  const scatcuda_plan* plan = nullptr;
  int64_t batch = 0;
};

ffi::Error begin(int64_t fingerprint, const ffi::AnyBuffer& x, const ffi::AnyBuffer& S,
                 Call* call) {
  call->plan = plan_of(fingerprint);
  if (!call->plan) {
    return ffi::Error(ffi::ErrorCode::kNotFound,
                      "scatcuda.jax: this process has no such transform: make it and call it once, "
                      "in numbers of this type, before a program that was compiled for it is run");
  }
  scatcuda_description d = {};
  d.size = sizeof d;
  scatcuda_message message;
  if (const auto status = scatcuda_plan_describe(call->plan, &d, &message)) {
    return failed(status, message);
  }
  const auto type = d.type == SCATCUDA_FLOAT32 ? ffi::F32 : ffi::F64;
  call->batch = static_cast<int64_t>(x.element_count()) / d.signal_numbers;
  if (x.element_type() != type || S.element_type() != type ||
      static_cast<int64_t>(x.element_count()) != call->batch * d.signal_numbers ||
      static_cast<int64_t>(S.element_count()) != call->batch * d.result_numbers) {
    return ffi::Error(ffi::ErrorCode::kInvalidArgument,
                      "scatcuda.jax: buffers of another shape or type than the plan's");
  }
  return ffi::Error::Success();
}

// Tasks on XLA's threads. Whoever comes takes the next one, the calling thread first: it never
// waits for a task that nobody has begun, so that calls which fill the pool do not wait for
// themselves.
struct Tasks {
  using Body = void (*)(void* closure, int64_t task);
  Body body;
  void* closure;
  int64_t count;
  std::atomic<int64_t> next{0};
  std::mutex mutex = {};
  std::condition_variable finished = {};
  int64_t done = 0;

  void work() {
    for (int64_t task; (task = next.fetch_add(1)) < count;) {
      body(closure, task);
      const std::lock_guard<std::mutex> lock(mutex);
      if (++done == count) finished.notify_all();
    }
  }
};

void run_on_pool(void* self, int64_t count, Tasks::Body body, void* closure) {
  auto& pool = *static_cast<ffi::ThreadPool*>(self);
  const auto tasks = std::make_shared<Tasks>();
  tasks->body = body, tasks->closure = closure, tasks->count = count;
  for (int64_t i = 1; i < count; ++i) pool.Schedule([tasks] { tasks->work(); });
  tasks->work();
  std::unique_lock<std::mutex> lock(tasks->mutex);
  tasks->finished.wait(lock, [&] { return tasks->done == count; });
}

struct Freed {
  void operator()(void* memory) const { std::free(memory); }
};

template <typename Run>
ffi::Error on_cpu(const Call& call, scatcuda_task task, ffi::ThreadPool& pool, Run run) {
  const int64_t threads = std::max<int64_t>(1, pool.num_threads());
  scatcuda_executor executor = {sizeof executor, threads, run_on_pool, &pool};
  const int64_t bytes = scatcuda_workspace_bytes(call.plan, task, call.batch, threads);
  const int64_t whole = (bytes + SCATCUDA_ALIGNMENT - 1) / SCATCUDA_ALIGNMENT * SCATCUDA_ALIGNMENT;
  scatcuda_message message = {"the batch is too large"};
  if (bytes < 0) return failed(SCATCUDA_BAD_ARGUMENT, message);
  const std::unique_ptr<void, Freed> workspace(
      std::aligned_alloc(SCATCUDA_ALIGNMENT, std::max<int64_t>(whole, SCATCUDA_ALIGNMENT)));
  if (!workspace) return failed(SCATCUDA_NO_MEMORY, {"no memory for the workspace"});
  const scatcuda_status status = run(workspace.get(), bytes, &executor, &message);
  return status == SCATCUDA_OK ? ffi::Error::Success() : failed(status, message);
}

ffi::Error forward(ffi::ThreadPool pool, ffi::AnyBuffer x, ffi::Result<ffi::AnyBuffer> S,
                   int64_t plan) {
  Call call;
  if (auto wrong = begin(plan, x, *S, &call); wrong.failure()) return wrong;
  return on_cpu(call, SCATCUDA_FORWARD, pool,
                [&](void* workspace, int64_t bytes, const scatcuda_executor* executor,
                    scatcuda_message* message) {
                  return scatcuda_forward(call.plan, call.batch, x.untyped_data(),
                                          S->untyped_data(), workspace, bytes, executor, message);
                });
}

ffi::Error backward(ffi::ThreadPool pool, ffi::AnyBuffer x, ffi::AnyBuffer g,
                    ffi::Result<ffi::AnyBuffer> gradient, int64_t plan) {
  Call call;
  if (auto wrong = begin(plan, x, g, &call); wrong.failure()) return wrong;
  const scatcuda_gradients wanted = {sizeof wanted, gradient->untyped_data(), nullptr, nullptr};
  return on_cpu(call, SCATCUDA_BACKWARD, pool,
                [&](void* workspace, int64_t bytes, const scatcuda_executor* executor,
                    scatcuda_message* message) {
                  return scatcuda_backward(call.plan, call.batch, x.untyped_data(),
                                           g.untyped_data(), &wanted, workspace, bytes, executor,
                                           message);
                });
}

// ---- on a GPU ---------------------------------------------------------------------------------

ffi::Error cuda_plan_of(int64_t fingerprint, int32_t device, const scatcuda_plan* plan,
                        const scatcuda_cuda_plan** found) {
  const std::lock_guard<std::mutex> lock(mutex);
  auto& kept = cuda_plans[{fingerprint, device}];
  if (!kept) {
    scatcuda_cuda_plan* made = nullptr;
    scatcuda_message message;
    if (const auto status = scatcuda_cuda_plan_create(plan, nullptr, &made, &message)) {
      return failed(status, message);
    }
    kept = made;
  }
  *found = kept;
  return ffi::Error::Success();
}

template <typename Run>
ffi::Error on_cuda(const Call& call, int64_t fingerprint, int32_t device, scatcuda_task task,
                   void* stream, ffi::ScratchAllocator& scratch, Run run) {
  const scatcuda_cuda_plan* plan = nullptr;
  if (auto wrong = cuda_plan_of(fingerprint, device, call.plan, &plan); wrong.failure()) {
    return wrong;
  }
  int64_t bytes = 0;
  scatcuda_message message;
  if (const auto status =
          scatcuda_cuda_workspace_bytes(plan, task, call.batch, stream, &bytes, &message)) {
    return failed(status, message);
  }
  void* workspace = nullptr;
  if (bytes > 0) {
    const auto memory = scratch.Allocate(static_cast<size_t>(bytes), SCATCUDA_CUDA_ALIGNMENT);
    if (!memory) return failed(SCATCUDA_NO_MEMORY, {"no memory for the workspace"});
    workspace = *memory;
  }
  const scatcuda_status status = run(plan, workspace, bytes, &message);
  return status == SCATCUDA_OK ? ffi::Error::Success() : failed(status, message);
}

ffi::Error cuda_forward(void* stream, int32_t device, ffi::ScratchAllocator scratch,
                        ffi::AnyBuffer x, ffi::Result<ffi::AnyBuffer> S, int64_t plan) {
  Call call;
  if (auto wrong = begin(plan, x, *S, &call); wrong.failure()) return wrong;
  return on_cuda(call, plan, device, SCATCUDA_FORWARD, stream, scratch,
                 [&](const scatcuda_cuda_plan* on_device, void* workspace, int64_t bytes,
                     scatcuda_message* message) {
                   return scatcuda_cuda_forward(on_device, call.batch, SCATCUDA_PIXELS_AS_PLAN,
                                                x.untyped_data(), S->untyped_data(), workspace,
                                                bytes, stream, message);
                 });
}

ffi::Error cuda_backward(void* stream, int32_t device, ffi::ScratchAllocator scratch,
                         ffi::AnyBuffer x, ffi::AnyBuffer g, ffi::Result<ffi::AnyBuffer> gradient,
                         int64_t plan) {
  Call call;
  if (auto wrong = begin(plan, x, g, &call); wrong.failure()) return wrong;
  const scatcuda_gradients wanted = {sizeof wanted, gradient->untyped_data(), nullptr, nullptr};
  return on_cuda(call, plan, device, SCATCUDA_BACKWARD, stream, scratch,
                 [&](const scatcuda_cuda_plan* on_device, void* workspace, int64_t bytes,
                     scatcuda_message* message) {
                   return scatcuda_cuda_backward(on_device, call.batch, SCATCUDA_PIXELS_AS_PLAN,
                                                 x.untyped_data(), g.untyped_data(), &wanted,
                                                 workspace, bytes, stream, message);
                 });
}

}  // namespace

extern "C" {

// Takes a plan over, for as long as the process lives; one that is there already is destroyed.
SCATCUDA_API void scatcuda_jax_keep(int64_t fingerprint, scatcuda_plan* plan) {
  const std::lock_guard<std::mutex> lock(mutex);
  if (!plans.emplace(fingerprint, plan).second) scatcuda_plan_destroy(plan);
}

SCATCUDA_API XLA_FFI_Error* scatcuda_jax_forward(XLA_FFI_CallFrame* frame) {
  static const auto* handler = ffi::Ffi::Bind()
                                   .Ctx<ffi::ThreadPool>()
                                   .Arg<ffi::AnyBuffer>()
                                   .Ret<ffi::AnyBuffer>()
                                   .Attr<int64_t>("plan")
                                   .To(forward)
                                   .release();
  return handler->Call(frame);
}

SCATCUDA_API XLA_FFI_Error* scatcuda_jax_backward(XLA_FFI_CallFrame* frame) {
  static const auto* handler = ffi::Ffi::Bind()
                                   .Ctx<ffi::ThreadPool>()
                                   .Arg<ffi::AnyBuffer>()
                                   .Arg<ffi::AnyBuffer>()
                                   .Ret<ffi::AnyBuffer>()
                                   .Attr<int64_t>("plan")
                                   .To(backward)
                                   .release();
  return handler->Call(frame);
}

SCATCUDA_API XLA_FFI_Error* scatcuda_jax_cuda_forward(XLA_FFI_CallFrame* frame) {
  static const auto* handler = ffi::Ffi::Bind()
                                   .Ctx<ffi::PlatformStream<void*>>()
                                   .Ctx<ffi::DeviceOrdinal>()
                                   .Ctx<ffi::ScratchAllocator>()
                                   .Arg<ffi::AnyBuffer>()
                                   .Ret<ffi::AnyBuffer>()
                                   .Attr<int64_t>("plan")
                                   .To(cuda_forward)
                                   .release();
  return handler->Call(frame);
}

SCATCUDA_API XLA_FFI_Error* scatcuda_jax_cuda_backward(XLA_FFI_CallFrame* frame) {
  static const auto* handler = ffi::Ffi::Bind()
                                   .Ctx<ffi::PlatformStream<void*>>()
                                   .Ctx<ffi::DeviceOrdinal>()
                                   .Ctx<ffi::ScratchAllocator>()
                                   .Arg<ffi::AnyBuffer>()
                                   .Arg<ffi::AnyBuffer>()
                                   .Ret<ffi::AnyBuffer>()
                                   .Attr<int64_t>("plan")
                                   .To(cuda_backward)
                                   .release();
  return handler->Call(frame);
}

}  // extern "C"
