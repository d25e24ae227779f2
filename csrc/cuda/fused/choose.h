// Whether and how the fused tier does a cascade on a device.
#pragma once

#include "shape.h"

namespace scatcuda {
namespace cuda {

// Whether choose_fused may have made this launch; all that follows relies on it
inline bool is_possible(const Cascade& s, const Launch& launch) {
  const int64_t group = launch.group;
  return launch.task != Task::backward_with_filters &&
         (launch.whole ? fits(s, 0) : goes_on(s, 0) && fits(s, 1)) && group >= 1 &&
         group <= min(s.lanes, 16) && (group & (group - 1)) == 0 && launch.threads >= 128 &&
         launch.threads <= bounds_of(s, launch.task, launch.whole, 0).threads &&
         launch.threads % 32 == 0;
}

// Fills in all but the wave
inline bool choose_fused(const Cascade& s, const Device& device, Launch* launch) {
  const Task task = launch->task;
  // How many blocks of so much shared memory a processor holds; one more kilobyte each is CUDA's
  const auto in_shared = [&](int64_t bytes) {
    return bytes > device.shared_per_block ? 0 : device.shared_per_processor / (bytes + 1024);
  };
  // The largest group with which so many blocks share a processor: while one waits the others
  // compute. 0: none.
  const auto group_for = [&](bool whole, int64_t blocks) -> int64_t {
    int64_t best = 0;
    const int64_t most = goes_on(s, 0) ? group_of(s, task, 1, INT32_MAX / 32) : 1;
    for (int64_t group = 1; group <= most; group *= 2) {
      const Shared shared = shared_of(s, task, whole, group);
      const int64_t bytes = max(shared.block, max(shared.before, shared.image));
      if (in_shared(bytes) >= blocks) best = group;
    }
    return best;
  };
  const auto fill_in = [&](bool whole, int64_t group) {
    const int64_t lines = goes_on(s, 0) ? s.columns(1) * group : s.columns(0);
    launch->tier = Tier::fused;
    launch->whole = whole;
    launch->group = group;
    launch->shared_bytes = shared_of(s, task, whole, group).block;
    // Whole lines, until a processor has enough to do while others wait; halves of them where else
    // there were no registers for the second block; and at least as many threads as the longest
    // prime has points
    const Bounds bounds = bounds_of(s, task, whole, device.architecture);
    const int64_t in_memory = in_shared(launch->shared_bytes);
    const auto rounded = [&](int64_t threads) {
      return min(max(round_up(threads, 32), 128), bounds.threads);
    };
    const auto resident = [&](int64_t threads) {
      return min(min(in_memory, blocks_in_registers(bounds, threads)),
                 threads_of_processor(device.architecture) / threads);
    };
    const int64_t wanted = min(in_memory, 2);
    int64_t step = lines, busy = 0;
    while (step > 128 && resident(rounded(step)) < wanted) step = ceil_div(step, 2);
    for (int64_t k = 1, threads = 0; busy < 768 && threads < bounds.threads; ++k) {
      threads = rounded(k * step);
      const int64_t blocks = resident(threads);
      if (k > 1 && blocks < wanted) break;
      if (threads * blocks > busy) launch->threads = threads, busy = threads * blocks;
    }
    return true;
  };
  const bool families = fits(s, 0), seconds = goes_on(s, 0) && fits(s, 1);
  int64_t group = 0;
  if (families && (group = group_for(true, 2)) > 0) return fill_in(true, group);
  for (const int64_t blocks : {3, 2, 1}) {
    if (seconds && (group = group_for(false, blocks)) > 0) return fill_in(false, group);
  }
  if (families && (group = group_for(true, 1)) > 0) return fill_in(true, group);
  return false;
}

}  // namespace cuda
}  // namespace scatcuda
