// A pool of threads for scatcuda_forward and scatcuda_backward, for who has none.
//
//   scatcuda::Threads threads(8);
//   scatcuda::Workspace workspace = plan.workspace(SCATCUDA_FORWARD, batch, threads.count());
//   plan.forward(batch, x, S, workspace, threads.executor());
//
// The calling thread is one of them. A pool serves one call at a time: others wait for their turn.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

#include "scatcuda.hpp"

namespace scatcuda {

class Threads {
 public:
  explicit Threads(int64_t count) : executor_{sizeof executor_, count, run, this} {
    if (count < 1) throw Error(SCATCUDA_BAD_ARGUMENT, "a pool must have at least one thread");
    try {
      for (int64_t i = 1; i < count; ++i) others_.emplace_back([this] { work(); });
    } catch (...) {
      stop();
      throw;
    }
  }
  ~Threads() { stop(); }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

  int64_t count() const { return executor_.threads; }
  const scatcuda_executor* executor() const { return &executor_; }

 private:
  using Body = void (*)(void* closure, int64_t task);

  static void run(void* self, int64_t tasks, Body body, void* closure) {
    auto& pool = *static_cast<Threads*>(self);
    const std::lock_guard<std::mutex> one_at_a_time(pool.turn_);
    std::unique_lock<std::mutex> lock(pool.mutex_);
    pool.body_ = body, pool.closure_ = closure;
    pool.next_ = 0, pool.tasks_ = pool.unfinished_ = tasks;
    if (tasks > 1) pool.wake_.notify_all();
    while (pool.take_one(lock)) {
    }
    pool.done_.wait(lock, [&] { return pool.unfinished_ == 0; });
  }

  void work() {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      wake_.wait(lock, [&] { return stopped_ || next_ < tasks_; });
      if (stopped_) return;
      take_one(lock);
    }
  }

  // Runs a task without the lock, if there is one left.
  bool take_one(std::unique_lock<std::mutex>& lock) {
    if (next_ == tasks_) return false;
    const int64_t task = next_++;
    const Body body = body_;
    void* const closure = closure_;
    lock.unlock();
    body(closure, task);
    lock.lock();
    if (--unfinished_ == 0) done_.notify_one();
    return true;
  }

  void stop() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      stopped_ = true;
    }
    wake_.notify_all();
    for (std::thread& other : others_) other.join();
  }

  std::mutex turn_, mutex_;
  std::condition_variable wake_, done_;
  Body body_ = nullptr;
  void* closure_ = nullptr;
  int64_t next_ = 0, tasks_ = 0, unfinished_ = 0;
  bool stopped_ = false;
  scatcuda_executor executor_;
  std::vector<std::thread> others_;
};

}  // namespace scatcuda
