// The fused tier of signals: which steps of a program of rank 1 it does, and its launches. The
// general tier does the others, and what comes before: padding, x̂, the signal's own average.
#pragma once

#include <vector>

#include "../general/walk.cuh"
#include "family.h"

namespace scatcuda {
namespace cuda {

// What a block has besides the planes
constexpr int64_t family_memory = family_threads * 3 * int64_t{sizeof(float)} + 256;

inline int64_t line_bytes(const Step& s) { return s.grid.last * int64_t{sizeof(Point)}; }

// Whether a block can do a step, leaving out what follows
inline bool is_line(const Program& p, int i) {
  const Step& s = p.steps[i];
  const int64_t P = s.grid.last, from = s.source < 0 ? p.padded.last : p.steps[s.source].grid.last;
  if (s.kind != Kind::wavelet || s.rho != Rho::modulus || s.stored || s.average < 0) return false;
  const Step& average = p.steps[s.average];
  return P >= 2 && (P & (P - 1)) == 0 && from % 2 == 0 && from <= INT32_MAX / 8 &&
         (!s.crop_last || s.fold.last == 1) &&
         (average.mean == Mean::mean || (average.mean == Mean::matrices && average.matrix[2] >= 0));
}
// Whether a family of that many bytes may begin with a step. Backward it is the step alone, and
// what reaches a point is found where rows are turned, or few.
inline bool is_family(const Program& p, int i, Task task, int64_t bytes) {
  if (p.rank != 1 || p.gathered || p.stored || !is_line(p, i)) return false;
  const Step& s = p.steps[i];
  if (line_bytes(s) > bytes) return false;
  if (task != Task::forward) {
    const int matrix = p.steps[s.average].matrix[2];
    const bool found =
        matrix < 0 || p.matrices[matrix].every > 0 || p.matrices[matrix].outputs <= 8;
    return s.child_count == 0 && found;
  }
  for (int c = 0; c < s.child_count; ++c) {
    const Step& next = p.steps[s.children[c]];
    const bool fits =
        is_line(p, s.children[c]) && next.child_count == 0 && 2 * next.grid.last <= s.grid.last;
    if (!fits) return false;
  }
  return true;
}
// The shared memory of the largest family, 0: there is none
inline int64_t families_bytes(const Program& p, Task task, int64_t most) {
  int64_t bytes = 0;
  for (int i = 0; i < p.step_count; ++i) {
    if (is_family(p, i, task, most)) bytes = max(bytes, line_bytes(p.steps[i]));
  }
  return bytes;
}

inline bool choose_families(const Program& p, const Device& device, Launch* launch) {
  const int64_t most = device.shared_per_block - family_memory;
  const int64_t bytes =
      launch->task == Task::backward_with_filters ? 0 : families_bytes(p, launch->task, most);
  if (bytes <= 0) return false;
  launch->tier = Tier::fused, launch->whole = false, launch->group = 1;
  launch->threads = family_threads, launch->shared_bytes = bytes;
  return true;
}
// Whether choose_families may have made this launch
inline bool are_families(const Program& p, const Launch& launch) {
  return launch.task != Task::backward_with_filters && !launch.whole && launch.group == 1 &&
         launch.threads == family_threads && launch.shared_bytes > 0 &&
         families_bytes(p, launch.task, launch.shared_bytes) == launch.shared_bytes;
}

class Families : public Ends<float> {
 public:
  // What all waves share: the steps, and roots of unity
  Families(const Program& program, const Launch& launch, const Bank<float>& bank,
           int64_t psi_entries, Queue& queue, Workspace& workspace)
      : p_(program), launch_(launch), queue_(queue) {
    a_.psi = bank.psi, a_.psi_entries = psi_entries;
    std::vector<FamilyStep> steps(static_cast<size_t>(p_.step_count));
    std::vector<int> next;
    for (int i = 0; i < p_.step_count; ++i) {
      const Step& s = p_.steps[i];
      if (!is_line(p_, i) || line_bytes(s) > launch.shared_bytes) continue;
      steps[static_cast<size_t>(i)] = step_of(s, bank, static_cast<int>(next.size()));
      next.insert(next.end(), s.children, s.children + s.child_count);
      a_.sides = max(a_.sides, static_cast<int>(s.grid.last));
    }
    a_.steps = upload(steps, queue, workspace);
    a_.next = upload(next, queue, workspace);
    Point* roots = workspace.take<Point>(a_.sides);
    a_.roots = roots;
    queue.run(roots_kernel, items(a_.sides), stage_threads, 0, roots, a_.sides);
  }

  // The coefficients of a wave's signals or, backward, their gradients
  void begin(float* S, const float* g) { a_.S = S, a_.grad = g; }

  bool takes(int step) const override {
    return is_family(p_, step, launch_.task, launch_.shared_bytes);
  }

  void run(int step, int64_t images, const Point* u_hat, Point* g_hat) const override {
    const Step& s = p_.steps[step];
    FamilyArguments a = a_;
    a.u_hat = u_hat, a.g_hat = g_hat, a.step = step;
    // a thread takes eight points in a pass
    const int64_t threads = max(64, min(s.grid.last / 8, family_threads));
    queue_.run(launch_.task == Task::forward ? family_kernel : end_backward_kernel,
               {images * s.planes}, threads, line_bytes(s), a);
  }

 private:
  FamilyStep step_of(const Step& s, const Bank<float>& bank, int next) const {
    const Set& set = p_.sets[s.set];
    const Step& average = p_.steps[s.average];
    const auto to_int = [](int64_t value) { return static_cast<int>(value); };
    FamilyStep to{};
    to.support = bank.psi_support + set.row;
    if (average.mean == Mean::mean) {
      to.scale = 1.0f / static_cast<float>(s.grid.last);
    } else {
      const Matrix& m = p_.matrices[average.matrix[2]];
      to.scale = 1.0f, to.every = to_int(m.every);
      to.taps = {bank.phi + m.first_row(),
                 bank.phi_support + 2 * m.row,
                 to_int(m.outputs),
                 1,
                 m.first_row(),
                 m.stride()};
    }
    to.first = average.channel * p_.unit;
    to.to = channels_of(p_, &s, average);
    to.from = to_int(s.source < 0 ? p_.padded.last : p_.steps[s.source].grid.last);
    to.points = to_int(s.grid.last);
    to.filters = to_int(set.count), to.lanes = to_int(set.lanes);
    to.next_first = next, to.next_count = s.child_count;
    return to;
  }

  const Program& p_;
  const Launch& launch_;
  Queue& queue_;
  FamilyArguments a_{};
};

}  // namespace cuda
}  // namespace scatcuda
