// The CPU engine as the public functions have it.
#include "plan.h"

namespace scatcuda {
namespace {

constexpr int64_t most_threads = 4096;

void run_here(void*, int64_t tasks, void (*body)(void*, int64_t), void* closure) {
  for (int64_t task = 0; task < tasks; ++task) body(closure, task);
}

scatcuda_status executor_of(const scatcuda_executor* given, Executor* executor,
                            scatcuda_message* message) {
  *executor = {1, run_here, nullptr};
  if (given == nullptr) return SCATCUDA_OK;
  scatcuda_executor taken{};
  const scatcuda_status status = take(*given, "an executor", &taken, message);
  if (status != SCATCUDA_OK) return status;
  if (taken.threads < 1 || taken.threads > most_threads || taken.run == nullptr) {
    return fail(message, SCATCUDA_BAD_ARGUMENT,
                "an executor must have from 1 to %lld threads and a function to run them; got "
                "%lld threads and %s",
                static_cast<long long>(most_threads), static_cast<long long>(taken.threads),
                taken.run == nullptr ? "no function" : "a function");
  }
  *executor = {taken.threads, taken.run, taken.self};
  return SCATCUDA_OK;
}

int64_t bytes_for(const scatcuda_plan& plan, bool forward, bool psi, bool phi, int64_t batch,
                  int64_t threads) {
  return with_type(plan.type, [&](auto number) {
    using T = decltype(number);
    const Program& program = *plan.program;
    if (forward) return cpu::workspace_bytes<T>(program, batch, threads, plan.laid_out != nullptr);
    return cpu::backward_workspace_bytes<T>(program, psi ? plan.psi_entries : 0, phi, batch,
                                            threads, plan.laid_out != nullptr);
  });
}

// The engine's arguments were checked here: what it refuses is a mistake of ours.
scatcuda_status answer(Status status, scatcuda_message* message) {
  if (status == Status::ok) return SCATCUDA_OK;
  return fail(message, SCATCUDA_BAD_ARGUMENT, "the engine refused, status %d",
              static_cast<int>(status));
}

}  // namespace
}  // namespace scatcuda

using namespace scatcuda;

const char* scatcuda_cpu_isa(void) { return cpu::isa(); }

int64_t scatcuda_workspace_bytes(const scatcuda_plan* plan, scatcuda_task task, int64_t batch,
                                 int64_t threads) {
  const bool known = task == SCATCUDA_FORWARD || task == SCATCUDA_BACKWARD ||
                     task == SCATCUDA_BACKWARD_WITH_FILTERS;
  if (plan == nullptr || !known || threads < 1 || threads > most_threads ||
      check_batch(*plan, batch, plan, plan, nullptr) != SCATCUDA_OK) {
    return -1;
  }
  const bool filters = task == SCATCUDA_BACKWARD_WITH_FILTERS;
  return bytes_for(*plan, task == SCATCUDA_FORWARD, filters, filters, batch, threads);
}

scatcuda_status scatcuda_forward(const scatcuda_plan* plan, int64_t batch, const void* x, void* S,
                                 void* workspace, int64_t bytes, const scatcuda_executor* executor,
                                 scatcuda_message* message) {
  if (plan == nullptr) return fail(message, SCATCUDA_BAD_ARGUMENT, "plan is NULL");
  Executor threads{};
  scatcuda_status status = executor_of(executor, &threads, message);
  if (status == SCATCUDA_OK) status = check_batch(*plan, batch, x, S, message);
  if (status != SCATCUDA_OK || batch == 0) return status;
  const int64_t needed = bytes_for(*plan, true, false, false, batch, threads.threads);
  status = check_workspace(workspace, bytes, needed, SCATCUDA_ALIGNMENT, message);
  if (status != SCATCUDA_OK) return status;
  return with_type(plan->type, [&](auto number) {
    using T = decltype(number);
    return answer(
        cpu::scattering<T>(*plan->program, plan->bank<T>(), batch, static_cast<const T*>(x),
                           static_cast<T*>(S), workspace, bytes, threads),
        message);
  });
}

scatcuda_status scatcuda_backward(const scatcuda_plan* plan, int64_t batch, const void* x,
                                  const void* g, const scatcuda_gradients* gradients,
                                  void* workspace, int64_t bytes, const scatcuda_executor* executor,
                                  scatcuda_message* message) {
  if (plan == nullptr) return fail(message, SCATCUDA_BAD_ARGUMENT, "plan is NULL");
  if (gradients == nullptr) return fail(message, SCATCUDA_BAD_ARGUMENT, "gradients is NULL");
  scatcuda_gradients to{};
  Executor threads{};
  scatcuda_status status = take(*gradients, "gradients", &to, message);
  if (status == SCATCUDA_OK) status = executor_of(executor, &threads, message);
  if (status == SCATCUDA_OK) status = check_batch(*plan, batch, x, g, message);
  if (status != SCATCUDA_OK) return status;
  const bool psi = to.psi != nullptr, phi = to.phi != nullptr;
  const int64_t needed = batch == 0 ? 0 : bytes_for(*plan, false, psi, phi, batch, threads.threads);
  status = check_workspace(workspace, bytes, needed, SCATCUDA_ALIGNMENT, message);
  if (status != SCATCUDA_OK) return status;
  return with_type(plan->type, [&](auto number) {
    using T = decltype(number);
    return answer(
        cpu::scattering_backward<T>(*plan->program, plan->bank<T>(), psi ? plan->psi_entries : 0,
                                    batch, static_cast<const T*>(x), static_cast<const T*>(g),
                                    typed<T>(to), workspace, bytes, threads),
        message);
  });
}
