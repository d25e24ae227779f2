// The fused tier's launches: whole cascades, or of a cascade the steps that end a chain.
#pragma once

#include "../general/walk.cuh"
#include "shape.h"

namespace scatcuda {
namespace cuda {

class Fused : public Ends<float> {
 public:
  // What all waves share is made ready: the bank in the order in which the kernels read it
  Fused(const Cascade& cascade, const Program& program, const Launch& launch,
        const Bank<float>& bank, int64_t psi_entries, Queue& queue, Workspace& workspace)
      : s_(cascade), p_(program), launch_(launch), queue_(queue), workspace_(workspace) {
    a_.psi = bank.psi, a_.psi_entries = psi_entries, a_.psi_support = bank.psi_support;
    a_.phi = bank.phi, a_.phi_support = bank.phi_support;
    fill_in();
    take_room();
    const int64_t jobs = s_.sets() + 2 * s_.levels + 1;  // tables, matrices, roots
    queue_.run(arrange_kernel, {64, jobs}, arrange_threads, 0, a_);
  }

  // The signals of a wave; S or, backward, g and the gradient of x
  void begin(int64_t images, const void* x, Pixels pixels, float* S, const float* g,
             float* grad_x) {
    a_.B = static_cast<int>(images), a_.x = x, a_.pixels = pixels;
    a_.S = S, a_.grad = g, a_.grad_x = grad_x;
  }

  // Whole families; backward `general` sums up what they give to x̂
  void families(Walk<float>& general) {
    const Workspace::Scope scope(workspace_);
    const bool forward = launch_.task == Task::forward;
    if (s_.depth > 0) a_.x_hat = workspace_.take<Point>(launch_.wave * half_bins(s_, 0));
    std::vector<Point*> w;
    if (s_.depth > 0 && !forward) {
      a_.g_hat = workspace_.take<Point>(launch_.wave * s_.filters * bins_from(s_, 0));
      for (int r = 0; r < s_.levels; ++r) w.push_back(a_.g_hat + g_offset(a_, r));
    }
    const Shared shared = shared_of(s_, launch_.task, true, launch_.group);
    const int64_t side = s_.Mp == s_.Np ? s_.Mp : 0;
    bool by_eight = true;
    for (int res = 1; res < a_.levels; ++res) by_eight = by_eight && a_.log_group[res] == 3;
    const FamilyKernels kernels = family_kernels(side, by_eight);
    if (forward || s_.depth > 0) {
      queue_.run(kernels.spectrum, {a_.B}, launch_.threads, shared.before, a_);
    }
    if (s_.depth > 0) {
      queue_.run(forward ? kernels.families : families_backward_kernel_for(side),
                 {a_.B * a_.family_steps * s_.filters}, launch_.threads, shared.block, a_);
      if (a_.family_steps < s_.levels) {
        run(p_.children[s_.levels - 1], a_.B, a_.x_hat, forward ? nullptr : w.back());
      }
    }
    if (forward) return;
    if (s_.depth > 0) general.unfold(a_.B, w, a_.x_hat);
    queue_.run(image_backward_kernel_of(), {a_.B}, launch_.threads, shared.image, a_);
  }

  // Of the cascade the steps that end a chain. Of a filter that is folded by eight or more nearly
  // all is zero: the general tier knows where.
  bool takes(int step) const override {
    const Step& s = p_.steps[step];
    return s.child_count == 0 && level(step) - level(s.source) < 3;
  }
  void run(int step, int64_t images, const Point* u_hat, Point* g_hat) const override {
    const Step& s = p_.steps[step];
    const Step& average = p_.steps[s.average];
    FusedArguments a = a_;
    a.u_hat = u_hat, a.g_hat = g_hat;
    a.fine = level(s.source), a.coarse = level(step);
    a.planes = s.source < 0 ? 1 : static_cast<int>(p_.steps[s.source].planes);
    a.first_channel = static_cast<int>(average.channel);
    a.channel_step = s.source < 0 ? 0 : static_cast<int>(average.stride[0]);
    const int64_t group = int64_t{1} << a.log_group[a.coarse];
    const SecondKernel found = second_of(s_, launch_.task, a.fine, a.coarse, a.log_group[a.coarse]);
    queue_.run(found.kernel, {images * a.planes * ceil_div(s_.filters, group)},
               min(launch_.threads, found.bounds.threads),
               second_bytes(s_, launch_.task, a.coarse, group), a);
  }

 private:
  // By how often the sides of a step's planes are halved
  int level(int step) const {
    int level = 0;
    while (step >= 0 && p_.steps[step].grid.last < s_.columns(level)) ++level;
    return level;
  }

  void fill_in() {
    const auto to_int = [](int64_t value) { return static_cast<int>(value); };
    a_.cascade = s_;
    a_.levels = to_int(s_.levels), a_.filters = to_int(s_.filters), a_.depth = to_int(s_.depth);
    a_.lanes = to_int(s_.lanes), a_.M = to_int(s_.M), a_.N = to_int(s_.N);
    a_.Mp = to_int(s_.Mp), a_.Np = to_int(s_.Np), a_.m = to_int(s_.m), a_.n = to_int(s_.n);
    a_.channels = to_int(s_.channels);
    a_.family_steps = to_int(family_steps(s_, launch_)), a_.wave = to_int(launch_.wave);
    const Shared shared = shared_of(s_, launch_.task, launch_.whole, launch_.group);
    a_.area = to_int(shared.area);
    const int64_t room = launch_.whole || !goes_on(s_, 0)
                             ? shared.area
                             : planes_bytes(s_, launch_.task, 1, launch_.group);
    for (int64_t res = 0; res < s_.levels; ++res) {
      int log = 0;
      while (res > 0 && int64_t{1} << log < group_of(s_, launch_.task, res, room)) ++log;
      a_.log_group[res] = log;
      if (fits(s_, res)) {
        a_.outer[res] = passes_of(to_int(s_.columns(res)), any_side);
        a_.inner[res] = passes_of(to_int(s_.rows(res)), any_side);
      }
    }
  }

  void take_room() {
    int64_t taps = 0, second = 0;
    for (int64_t res = 0; res < s_.levels; ++res) {
      taps += s_.columns(res) * four(a_.n) + s_.rows(res) * four(a_.m);
      if (s_.depth > 1) second += (s_.levels - 1 - res) * bins(s_, res);
    }
    a_.psi_first = workspace_.take<float>(a_.family_steps * bins(s_, 0) * s_.lanes);
    a_.psi_second = workspace_.take<float>(second * s_.lanes);
    a_.taps = workspace_.take<float>(taps);
    a_.bands = workspace_.take<int2>(s_.levels * (four(a_.n) + four(a_.m)));
    a_.roots = workspace_.take<Point>(s_.Mp + s_.Np);
  }

  const Cascade s_;
  const Program& p_;
  const Launch& launch_;
  Queue& queue_;
  Workspace& workspace_;
  FusedArguments a_{};
};

}  // namespace cuda
}  // namespace scatcuda
