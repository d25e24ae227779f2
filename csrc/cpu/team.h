// Threads that work on one signal together.
#pragma once

#include "../core/engines.h"

namespace scatcuda {
inline namespace SCATCUDA_ISA {

// Runs f(first, last, thread) on pieces of [0, count): here, or on all threads of the executor.
class Team {
 public:
  Team(const Executor* executor, int64_t home) : executor_(executor), home_(home) {}
  int64_t home() const { return home_; }
  int64_t threads() const { return executor_ == nullptr ? 1 : executor_->threads; }
  template <class F>
  void over(int64_t count, F&& f) const {
    if (executor_ == nullptr) {
      f(int64_t{0}, count, home_);
      return;
    }
    struct Closure {
      F* f;
      int64_t count, tasks;
    } closure{&f, count, min(executor_->threads, count)};
    executor_->run(
        executor_->self, closure.tasks,
        [](void* p, int64_t task) {
          const auto [f, count, tasks] = *static_cast<Closure*>(p);
          (*f)(share_of(task, tasks, count), share_of(task + 1, tasks, count), task);
        },
        &closure);
  }

 private:
  const Executor* executor_;  // null: stay on this thread
  int64_t home_;
};

// f(thread, i) for every i in [0, count), the threads taking the next one in turn
template <class F>
void in_turn(const Executor& executor, int64_t threads, int64_t count, F&& f) {
  int64_t next = 0;
  auto body = [&](int64_t thread) {
    for (;;) {
      const int64_t i = __atomic_fetch_add(&next, 1, __ATOMIC_RELAXED);
      if (i >= count) return;
      f(thread, i);
    }
  };
  executor.run(
      executor.self, threads,
      [](void* p, int64_t task) { (*static_cast<decltype(body)*>(p))(task); }, &body);
}

// Threads share a signal where the batch has too few to keep them evenly busy and a signal is work
// enough to pay for meeting after every stage; and where one is so large that the buffers of one
// for each thread would be too much memory.
inline bool share_signals(const Program& p, int64_t B, int64_t threads) {
  const int64_t points = points_of(p.padded);
  return threads > 1 && ((B < 4 * threads && points >= 64 * 64) || points >= 512 * 512);
}

}  // namespace SCATCUDA_ISA
}  // namespace scatcuda
