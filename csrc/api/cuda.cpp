// The CUDA engine as the public functions have it.
#include <initializer_list>
#include <new>

#include "plan.h"

// Architectures of this build, "75 80 …"; none where it has no CUDA engine
#ifndef SCATCUDA_ARCHS
#define SCATCUDA_ARCHS ""
#endif

// The tables are one block of device memory.
struct scatcuda_cuda_plan : scatcuda::Filtered {
  int index;  // of the device
  scatcuda::cuda::Device device;
  scatcuda::cuda::Tier tier;
  int64_t budget;
  scatcuda_fft given;  // the caller's FFT, where `own`
  scatcuda::cuda::Fft own;
  void* memory;
};

namespace scatcuda {
namespace {

scatcuda_status answer(Status status, scatcuda_message* message) {
  switch (status) {
    case Status::ok:
      return SCATCUDA_OK;
    case Status::tier_impossible:
      return fail(message, SCATCUDA_BAD_ARGUMENT,
                  "the fused tier does not do this program on this GPU; SCATCUDA_TIER_AUTO finds "
                  "one that does");
    case Status::fft_failed:
      return fail(message, SCATCUDA_NO_FFT, "the FFT did not do a transform; cuFFT: %s",
                  cuda::cufft_error());
    case Status::no_kernel:
      return *SCATCUDA_ARCHS == '\0'
                 ? fail(message, SCATCUDA_NO_CUDA, "this build of scatcuda has no CUDA engine")
                 : fail(message, SCATCUDA_NO_CUDA,
                        "this GPU is older than every architecture of this build, " SCATCUDA_ARCHS
                        ", or its driver than %s",
                        cuda::driver_needed());
    case Status::no_device:
      return fail(message, SCATCUDA_NO_CUDA, "CUDA: %s", cuda::last_error());
    case Status::launch_failed:
      return fail(message, SCATCUDA_CUDA_FAILED, "CUDA: %s", cuda::last_error());
    case Status::workspace_too_small:
      return fail(
          message, SCATCUDA_WORKSPACE_TOO_SMALL,
          "the workspace is smaller than scatcuda_cuda_workspace_bytes says for this batch");
    case Status::bad_problem:
      break;
  }
  return fail(message, SCATCUDA_BAD_ARGUMENT, "the CUDA engine does not do this program");
}

// The engine's words for a transform, in those of the public header
scatcuda_transform described(const cuda::Transform& t) {
  return {sizeof(scatcuda_transform),
          static_cast<scatcuda_direction>(t.direction),
          t.wide ? SCATCUDA_FLOAT64 : SCATCUDA_FLOAT32,
          t.outer,
          t.middle,
          t.inner,
          t.batch};
}

cuda::Fft adapted(scatcuda_fft* given) {
  return {given,
          [](void* self, const cuda::Transform& t, void* stream) {
            const auto* fft = static_cast<const scatcuda_fft*>(self);
            const scatcuda_transform transform = described(t);
            return fft->workspace_bytes(fft->self, &transform, stream);
          },
          [](void* self, const cuda::Transform& t, const void* in, void* out, void* workspace,
             void* stream) {
            const auto* fft = static_cast<const scatcuda_fft*>(self);
            const scatcuda_transform transform = described(t);
            return fft->run(fft->self, &transform, in, out, workspace, stream) == 0;
          }};
}

const cuda::Fft* fft_of(const scatcuda_cuda_plan& plan) {
  return plan.own.run != nullptr ? &plan.own : cuda::cufft(nullptr);
}

scatcuda_status check_device(const scatcuda_cuda_plan& plan, scatcuda_message* message) {
  int index = 0;
  const Status status = cuda::current_device(&index);
  if (status != Status::ok) return answer(status, message);
  if (index == plan.index) return SCATCUDA_OK;
  return fail(message, SCATCUDA_BAD_ARGUMENT,
              "the plan is for device %d, and device %d is the current one", plan.index, index);
}

// An array of the caller's, null where there is none, and what it is called
struct Memory {
  const void* address;
  const char* name;
};

// Whether the kernels of the plan's device can be given these arrays
scatcuda_status check_memory(const scatcuda_cuda_plan& plan, std::initializer_list<Memory> arrays,
                             scatcuda_message* message) {
  for (const Memory& array : arrays) {
    int index = plan.index;
    const Status status =
        array.address == nullptr ? Status::ok : cuda::memory_of(array.address, &index);
    if (status != Status::ok) return answer(status, message);
    if (index == plan.index || index == cuda::every_device) continue;
    if (index == cuda::no_device) {
      return fail(message, SCATCUDA_BAD_ARGUMENT,
                  "%s must be in memory of device %d, the plan's; it is no memory of a GPU",
                  array.name, plan.index);
    }
    return fail(message, SCATCUDA_BAD_ARGUMENT,
                "%s must be in memory of device %d, the plan's; it is in that of device %d",
                array.name, plan.index, index);
  }
  return SCATCUDA_OK;
}

// How a batch is run, and the workspace that it takes
scatcuda_status choose(const scatcuda_cuda_plan& plan, cuda::Task task, int64_t batch, void* stream,
                       cuda::Launch* launch, int64_t* bytes, scatcuda_message* message) {
  const scatcuda_status here = check_device(plan, message);
  if (here != SCATCUDA_OK) return here;
  const cuda::Fft* fft = fft_of(plan);
  const Status status = with_type(plan.type, [&](auto number) {
    using T = decltype(number);
    const Status chosen = cuda::choose<T>(*plan.program, batch, plan.device, plan.tier, plan.budget,
                                          fft, launch, task);
    if (chosen != Status::ok) return chosen;
    return cuda::workspace_bytes<T>(*plan.program, *launch, fft, stream, bytes);
  });
  return answer(status, message);
}

// The host's side of cuFFT takes memory of C++, whose exceptions end here.
template <class F>
scatcuda_status caught(scatcuda_message* message, F&& f) {
  try {
    return f();
  } catch (const std::bad_alloc&) {
    return fail(message, SCATCUDA_NO_MEMORY, "no memory for cuFFT's plans");
  } catch (...) {
    return fail(message, SCATCUDA_NO_FFT, "the FFT failed in a way that is not its own");
  }
}

// A plan whose tables are still those of the host
scatcuda_status configure(const scatcuda_plan& plan, const scatcuda_cuda_options* given,
                          scatcuda_cuda_plan* made, scatcuda_message* message) {
  scatcuda_cuda_options options{};
  if (given != nullptr) {
    const scatcuda_status taken = take(*given, "options", &options, message);
    if (taken != SCATCUDA_OK) return taken;
  }
  if (options.tier < SCATCUDA_TIER_AUTO || options.tier > SCATCUDA_TIER_FUSED ||
      options.workspace < 0) {
    return fail(message, SCATCUDA_BAD_ARGUMENT,
                "options: no tier %d, or no workspace of %lld bytes",
                static_cast<int>(options.tier), static_cast<long long>(options.workspace));
  }
  static_cast<Filtered&>(*made) = plan;
  made->tier = static_cast<cuda::Tier>(options.tier);
  if (options.fft != nullptr) {
    const scatcuda_status taken = take(*options.fft, "the FFT", &made->given, message);
    if (taken != SCATCUDA_OK) return taken;
    if (made->given.workspace_bytes == nullptr || made->given.run == nullptr) {
      return fail(message, SCATCUDA_BAD_ARGUMENT, "options: a function of the FFT is NULL");
    }
    made->own = adapted(&made->given);
  }
  Status status = cuda::current_device(&made->index);
  if (status == Status::ok) status = cuda::device_limits(made->index, &made->device);
  if (status != Status::ok) return answer(status, message);
  made->budget = options.workspace > 0 ? options.workspace : cuda::default_budget(made->device);
  // what cannot be run is said now
  return caught(message, [&] {
    cuda::Launch launch{};
    int64_t bytes = 0;
    return choose(*made, cuda::Task::forward, 1, nullptr, &launch, &bytes, message);
  });
}

Status upload_tables(scatcuda_cuda_plan* plan) {
  const Places places(plan->sizes);
  const Status status = cuda::allocate(places.end, &plan->memory);
  if (status != Status::ok) return status;
  Status so_far = Status::ok;
  const auto upload = [&](const void* table, int64_t place, int64_t bytes) -> const void* {
    void* to = static_cast<char*>(plan->memory) + place;
    if (bytes > 0 && so_far == Status::ok) so_far = cuda::upload(to, table, bytes);
    return to;
  };
  const auto upload_support = [&](const int64_t* table, int64_t place, int64_t bytes) {
    return static_cast<const int64_t*>(upload(table, place, bytes));
  };
  const Sizes& sizes = plan->sizes;
  plan->psi = upload(plan->psi, places.psi, sizes.psi);
  plan->phi = upload(plan->phi, places.phi, sizes.phi);
  plan->psi_support = upload_support(plan->psi_support, places.psi_support, sizes.psi_support);
  plan->phi_support = upload_support(plan->phi_support, places.phi_support, sizes.phi_support);
  return so_far;
}

// Checks what a call was given, `gradients` where it is to write some, and runs it:
// run(launch, fft, T{}) -> Status
template <class Run>
scatcuda_status execute(const scatcuda_cuda_plan& plan, cuda::Task task, int64_t batch,
                        scatcuda_pixels pixels, const void* x, const void* coefficients,
                        const scatcuda_gradients& gradients, const void* workspace, int64_t bytes,
                        void* stream, scatcuda_message* message, Run&& run) {
  if (pixels < SCATCUDA_PIXELS_AS_PLAN || pixels > SCATCUDA_PIXELS_UINT8) {
    return fail(message, SCATCUDA_BAD_ARGUMENT, "pixels must be from 0 to 3; got %d",
                static_cast<int>(pixels));
  }
  scatcuda_status status = check_batch(plan, batch, x, coefficients, message);
  if (status != SCATCUDA_OK || batch == 0) return status;
  return caught(message, [&] {
    cuda::Launch launch{};
    int64_t needed = 0;
    scatcuda_status ready = choose(plan, task, batch, stream, &launch, &needed, message);
    if (ready != SCATCUDA_OK) return ready;
    ready = check_workspace(workspace, bytes, needed, SCATCUDA_CUDA_ALIGNMENT, message);
    if (ready != SCATCUDA_OK) return ready;
    ready = check_memory(plan,
                         {{x, "the array of signals"},
                          {coefficients, "the array of coefficients"},
                          {gradients.x, "the gradient of x"},
                          {plan.sizes.psi > 0 ? gradients.psi : nullptr, "the gradient of psi"},
                          {plan.sizes.phi > 0 ? gradients.phi : nullptr, "the gradient of phi"},
                          {needed > 0 ? workspace : nullptr, "the workspace"}},
                         message);
    if (ready != SCATCUDA_OK) return ready;
    const auto execute = [&](auto number) { return run(launch, fft_of(plan), number); };
    return answer(with_type(plan.type, execute), message);
  });
}

}  // namespace
}  // namespace scatcuda

using namespace scatcuda;

const char* scatcuda_cuda_architectures(void) { return SCATCUDA_ARCHS; }

scatcuda_status scatcuda_cuda_plan_create(const scatcuda_plan* plan,
                                          const scatcuda_cuda_options* options,
                                          scatcuda_cuda_plan** cuda_plan,
                                          scatcuda_message* message) {
  if (cuda_plan == nullptr) return fail(message, SCATCUDA_BAD_ARGUMENT, "cuda_plan is NULL");
  *cuda_plan = nullptr;
  if (plan == nullptr) return fail(message, SCATCUDA_BAD_ARGUMENT, "plan is NULL");
  auto* made = new (std::nothrow) scatcuda_cuda_plan{};
  if (made == nullptr) return fail(message, SCATCUDA_NO_MEMORY, "no memory for a plan");
  scatcuda_status status = configure(*plan, options, made, message);
  if (status == SCATCUDA_OK) status = answer(upload_tables(made), message);
  if (status == SCATCUDA_OK) {
    *cuda_plan = made;
  } else {
    scatcuda_cuda_plan_destroy(made);
  }
  return status;
}

void scatcuda_cuda_plan_destroy(scatcuda_cuda_plan* plan) {
  if (plan == nullptr) return;
  cuda::release(plan->memory);
  delete plan;
}

scatcuda_status scatcuda_cuda_workspace_bytes(const scatcuda_cuda_plan* plan, scatcuda_task task,
                                              int64_t batch, void* stream, int64_t* bytes,
                                              scatcuda_message* message) {
  if (plan == nullptr || bytes == nullptr) {
    return fail(message, SCATCUDA_BAD_ARGUMENT, "%s is NULL", plan == nullptr ? "plan" : "bytes");
  }
  *bytes = 0;
  if (task < SCATCUDA_FORWARD || task > SCATCUDA_BACKWARD_WITH_FILTERS) {
    return fail(message, SCATCUDA_BAD_ARGUMENT, "task must be from 0 to 2; got %d",
                static_cast<int>(task));
  }
  const scatcuda_status status = check_batch(*plan, batch, plan, plan, message);
  if (status != SCATCUDA_OK || batch == 0) return status;
  return caught(message, [&] {
    cuda::Launch launch{};
    return choose(*plan, static_cast<cuda::Task>(task), batch, stream, &launch, bytes, message);
  });
}

scatcuda_status scatcuda_cuda_forward(const scatcuda_cuda_plan* plan, int64_t batch,
                                      scatcuda_pixels pixels, const void* x, void* S,
                                      void* workspace, int64_t bytes, void* stream,
                                      scatcuda_message* message) {
  if (plan == nullptr) return fail(message, SCATCUDA_BAD_ARGUMENT, "plan is NULL");
  return execute(*plan, cuda::Task::forward, batch, pixels, x, S, {}, workspace, bytes, stream,
                 message, [&](const cuda::Launch& launch, const cuda::Fft* fft, auto number) {
                   using T = decltype(number);
                   return cuda::scattering<T>(*plan->program, launch, plan->bank<T>(),
                                              plan->psi_entries, batch, x, static_cast<T*>(S),
                                              workspace, bytes, fft, stream,
                                              static_cast<cuda::Pixels>(pixels));
                 });
}

scatcuda_status scatcuda_cuda_backward(const scatcuda_cuda_plan* plan, int64_t batch,
                                       scatcuda_pixels pixels, const void* x, const void* g,
                                       const scatcuda_gradients* gradients, void* workspace,
                                       int64_t bytes, void* stream, scatcuda_message* message) {
  if (plan == nullptr) return fail(message, SCATCUDA_BAD_ARGUMENT, "plan is NULL");
  if (gradients == nullptr) return fail(message, SCATCUDA_BAD_ARGUMENT, "gradients is NULL");
  scatcuda_gradients to{};
  const scatcuda_status taken = take(*gradients, "gradients", &to, message);
  if (taken != SCATCUDA_OK) return taken;
  const bool filters = to.psi != nullptr || to.phi != nullptr;
  const cuda::Task task = filters ? cuda::Task::backward_with_filters : cuda::Task::backward;
  if (batch == 0) {  // sums of nothing
    scatcuda_status ready = check_device(*plan, message);
    if (ready == SCATCUDA_OK) {
      ready = check_memory(*plan,
                           {{plan->sizes.psi > 0 ? to.psi : nullptr, "the gradient of psi"},
                            {plan->sizes.phi > 0 ? to.phi : nullptr, "the gradient of phi"}},
                           message);
    }
    if (ready != SCATCUDA_OK) return ready;
    Status status = Status::ok;
    const auto clear = [&](void* to, int64_t size) {
      if (to != nullptr && status == Status::ok) status = cuda::clear(to, size, stream);
    };
    clear(to.psi, plan->sizes.psi);
    clear(to.phi, plan->sizes.phi);
    return answer(status, message);
  }
  return execute(*plan, task, batch, pixels, x, g, to, workspace, bytes, stream, message,
                 [&](const cuda::Launch& launch, const cuda::Fft* fft, auto number) {
                   using T = decltype(number);
                   return cuda::scattering_backward<T>(
                       *plan->program, launch, plan->bank<T>(), plan->psi_entries, batch, x,
                       static_cast<const T*>(g), typed<T>(to), workspace, bytes, fft, stream,
                       static_cast<cuda::Pixels>(pixels));
                 });
}
