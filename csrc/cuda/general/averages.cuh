// Averages of the planes of steps, or of the signal, and back: which kernels, with what.
#pragma once

#include <algorithm>

#include "../passes/reach.cuh"
#include "wave.cuh"

namespace scatcuda {
namespace cuda {

// Gradients of phi are summed by slices of planes: enough blocks for a GPU, few enough sums
inline int slices_of(const Program& p) {
  constexpr int64_t most = 32, numbers = 1 << 24;
  return static_cast<int>(max(min(most, numbers / max(p.phi_numbers, 1)), 1));
}

// Planes of a step, T or, before the modulus, Complex<T>; and gradients of them by another way
struct Planes {
  int step;
  void* u;
  const void* more = nullptr;
};

// Where the planes of a step, null: of the signal, go. Digits that lead on where the one before
// them ends are one.
inline Channels channels_of(const Program& p, const Step* s, const Step& average) {
  Channels to{s == nullptr ? 1 : s->planes, p.channels * p.unit, 0, {}, {}};
  for (int d = 0; s != nullptr && d < s->digits; ++d) {
    const int64_t range = s->digit[d], stride = average.stride[d] * p.unit;
    if (range == 1) continue;
    if (to.digits > 0 && to.stride[to.digits - 1] == range * stride) {
      to.digit[to.digits - 1] *= static_cast<int>(range);
      to.stride[to.digits - 1] = stride;
    } else {
      to.digit[to.digits] = static_cast<int>(range), to.stride[to.digits++] = stride;
    }
  }
  return to;
}

template <class T>
class Averages {
 public:
  explicit Averages(Wave<T>& wave) : w_(wave) {
    if (w_.task == Task::backward_with_filters) {
      partial_ = w_.template take<T>(slices_of(w_.p) * w_.p.phi_numbers);
    }
    if (w_.p.rank == 2 && w_.task != Task::forward && w_.walks) find_reaches();
  }

  bool has_matrices(int i) const {
    const Step* average = w_.average(i);
    return average != nullptr && average->mean == Mean::matrices;
  }
  // Whether the gradient needs the planes themselves
  bool has_powers(int i) const {
    const Step* average = w_.average(i);
    return average != nullptr && average->mean == Mean::powers;
  }

  // S of real planes
  void forward(int i, T* u) const {
    if (w_.average(i) == nullptr) return;
    if (has_matrices(i)) return lowpass<false>({{i, u}});
    PowerArguments<T> a = powers(i, u, nullptr);
    const int64_t planes = w_.images * w_.planes(i);
    a.slices = static_cast<int>(max(min(a.points / 4096, 64), 1));
    const Workspace::Scope scope(w_.workspace);
    if (a.slices > 1) a.partial = w_.template take<T>(w_.size * w_.planes(i) * a.powers * a.slices);
    w_.queue.run(power_kernel<T>, {planes * a.slices}, power_threads, 0, a);
    if (a.slices == 1) return;
    a.count = planes;
    w_.queue.run(power_sums_kernel<T>, items(planes * a.powers), stage_threads, 0, a);
  }
  // gU of real planes, in place; `more` may be they where there are no powers
  void backward(int i, T* u, const T* more) const {
    if (has_matrices(i)) return lowpass_backward<false>({{i, u, more}});
    const PowerArguments<T> a = powers(i, u, more);
    w_.queue.run(power_backward_kernel<T>, items(a.count), stage_threads, 0, a);
  }

  // The low-pass of the planes of several steps, at most `most_together`
  template <bool Modulus>
  void lowpass(const std::vector<Planes>& of) const {
    for (const int together : {4, 8, 16}) {
      std::vector<Planes> some;
      for (const Planes& planes : of) {
        if (outputs_together(planes.step) == together) some.push_back(planes);
      }
      if (some.empty()) continue;
      int64_t blocks = 0;
      const LowpassArguments<T> a = arguments(some, [&](const LowpassStep<T>& s, int64_t planes) {
        const int outputs = groups_of(s.from.inner) * together;
        const int64_t across = ceil_div(s.outer.outputs, outputs) * s.middle.outputs;
        blocks = max(blocks, ceil_div(s.inner.outputs, chunk_m) *
                                 (lines() ? ceil_div(planes, lines_together) : planes * across));
      });
      run(of_rank(lowpass_lines_kernel<T, Modulus>, planes_kernel<T, Modulus>(together),
                  lowpass_kernel<T, Modulus, 3, 4>),
          {blocks, 1, static_cast<int64_t>(some.size())}, a);
    }
  }
  template <bool Modulus>
  void lowpass_backward(const std::vector<Planes>& of) const {
    int64_t blocks = 0;
    const LowpassArguments<T> a = arguments(of, [&](const LowpassStep<T>& s, int64_t planes) {
      const int64_t points = int64_t{s.from.inner} * s.from.middle;
      const int64_t columns = ceil_div(s.from.outer, spread_columns);
      blocks = max(blocks,
                   w_.p.rank == 2 ? planes * ceil_div(s.from.outer, reach_points)
                   : lines() ? ceil_div(points, lowpass_threads) * ceil_div(planes, spread_columns)
                             : ceil_div(points * columns, lowpass_threads) * planes);
    });
    run(of_rank(lowpass_backward_kernel<T, Modulus, 1>, planes_backward_kernel<T, Modulus>,
                lowpass_backward_kernel<T, Modulus, 3>),
        {blocks, 1, static_cast<int64_t>(of.size())}, a);
  }
  // What the planes give to the gradients of their matrices, where these are wanted
  template <bool Modulus>
  void filters(const std::vector<Planes>& of) const {
    if (w_.gradients.phi == nullptr) return;
    int64_t tiles = 0, turned = 0;  // of matrices, and of the numbers of those of turned rows
    LowpassArguments<T> a = arguments(of, [&](const LowpassStep<T>& s, int64_t) {
      if (s.inner.stride < 0) {
        const int64_t numbers = s.from.inner - s.inner.stride * (s.inner.outputs - 1);
        turned = max(turned, ceil_div(numbers, lowpass_threads));
      }
      const auto tiles_of = [](const AxisTaps<T>& m, int side) {
        return ceil_div(side, lowpass_threads) * ceil_div(m.outputs, summed_outputs);
      };
      tiles =
          max(tiles, max(tiles_of(s.inner, s.from.inner),
                         max(tiles_of(s.middle, s.from.middle), tiles_of(s.outer, s.from.outer))));
    });
    // Sums of one matrix are taken one after the other.
    const int64_t jobs = static_cast<int64_t>(of.size()) * w_.p.rank;
    const int64_t together = shares_matrices(of) ? 1 : jobs;
    for (; a.first_job < jobs; a.first_job += static_cast<int>(together)) {
      run(lowpass_filter_kernel<T, Modulus>, {tiles, slices_of(w_.p), together}, a);
    }
    if (turned == 0) return;
    for (a.first_job = 0; a.first_job < jobs; a.first_job += static_cast<int>(together)) {
      run(turned_filter_kernel<T, Modulus>, {turned, slices_of(w_.p), together}, a);
    }
  }

  // Before the first wave, and after the last one
  void clear_filters() const {
    w_.queue.clear(partial_, slices_of(w_.p) * w_.p.phi_numbers * Wave<T>::template bytes<T>);
  }
  void sum_filters(T* grad_phi) const {
    w_.queue.run(sum_slices_kernel<T>, {ceil_div(w_.p.phi_numbers, stage_threads)}, stage_threads,
                 0, w_.p.phi_numbers, slices_of(w_.p), partial_, grad_phi);
  }

 private:
  // Whether two steps, or two axes of one, take the same matrix
  bool shares_matrices(const std::vector<Planes>& of) const {
    std::vector<int> taken;
    for (const Planes& planes : of) {
      for (const int matrix : w_.average(planes.step)->matrix) {
        if (matrix >= 0) taken.push_back(matrix);
      }
    }
    std::sort(taken.begin(), taken.end());
    return std::adjacent_find(taken.begin(), taken.end()) != taken.end();
  }
  // Planes of rank 1 are lines
  bool lines() const { return w_.p.rank == 1; }
  // See lowpass.cuh
  int outputs_together(int i) const {
    if (w_.p.rank != 2) return 4;
    const Plane from = w_.plane(i);
    return scatcuda::outputs_together(from.inner, from.outer,
                                      static_cast<int>(w_.average(i)->outputs.last));
  }

  template <class Kernel>
  Kernel of_rank(Kernel one, Kernel two, Kernel three) const {
    return w_.p.rank == 1 ? one : w_.p.rank == 2 ? two : three;
  }
  template <class Kernel>
  void run(Kernel kernel, Blocks blocks, const LowpassArguments<T>& a) const {
    w_.queue.run(kernel, blocks, lowpass_threads, 0, a);
  }

  // Backward, of planes: which outputs of each matrix reach where
  void find_reaches() {
    for (int first = 0; first < w_.p.matrix_count; first += reaches_together) {
      Reaches some{};
      int64_t most = 0, count = min(reaches_together, w_.p.matrix_count - first);
      for (int i = 0; i < count; ++i) {
        const Matrix& m = w_.p.matrices[first + i];
        const int64_t runs = ceil_div(m.inputs, reach_points);
        reaches_.push_back(w_.template take<int2>(runs));
        some.of[i] = {w_.bank.phi_support + 2 * m.row, static_cast<int>(m.outputs),
                      static_cast<int>(m.inputs), reaches_.back()};
        most = max(most, runs);
      }
      w_.queue.run(reach_kernel, {ceil_div(most, stage_threads), count}, stage_threads, 0, some);
    }
  }
  const int2* reach(int matrix) const {
    return matrix < 0 || reaches_.empty() ? nullptr : reaches_[static_cast<size_t>(matrix)];
  }

  Channels channels(int i) const {
    return channels_of(w_.p, i < 0 ? nullptr : w_.p.steps + i, *w_.average(i));
  }
  int64_t first_number(int i) const { return w_.average(i)->channel * w_.p.unit; }

  AxisTaps<T> taps(int matrix, int64_t step) const {
    if (matrix < 0) return {};
    const Matrix& m = w_.p.matrices[matrix];
    return {w_.bank.phi + m.first_row(),
            w_.bank.phi_support + 2 * m.row,
            static_cast<int>(m.outputs),
            step,
            m.first_row(),
            m.stride()};
  }

  // each(step, planes of all signals)
  template <class F>
  LowpassArguments<T> arguments(const std::vector<Planes>& of, F each) const {
    LowpassArguments<T> a{};
    a.images = w_.images, a.axes = w_.p.rank;
    a.partial = partial_, a.phi_numbers = w_.p.phi_numbers;
    int n = 0;
    for (const Planes& planes : of) {
      const Step& average = *w_.average(planes.step);
      const Grid& outputs = average.outputs;
      LowpassStep<T>& s = a.steps[n++];
      s.u = planes.u, s.more = static_cast<const T*>(planes.more);
      s.from = w_.plane(planes.step);
      const AxisTaps<T> first = taps(average.matrix[0], outputs.middle * outputs.last);
      const AxisTaps<T> last = taps(average.matrix[2], 1);
      s.inner = lines() ? last : first, s.outer = lines() ? AxisTaps<T>{} : last;
      s.middle = taps(average.matrix[1], outputs.last);
      s.inner_reach = reach(average.matrix[0]), s.outer_reach = reach(average.matrix[2]);
      s.S = w_.S + first_number(planes.step), s.grad = w_.grad + first_number(planes.step);
      s.to = channels(planes.step);
      each(s, w_.images * s.to.planes);
    }
    return a;
  }

  PowerArguments<T> powers(int i, T* u, const T* more) const {
    PowerArguments<T> a{};
    a.u = u, a.more = more;
    a.points = w_.plane(i).points(), a.count = w_.images * w_.planes(i) * a.points;
    const Step* average = w_.average(i);
    if (average == nullptr) return a;
    a.S = w_.S + first_number(i), a.grad = w_.grad + first_number(i), a.to = channels(i);
    a.mean = average->mean == Mean::mean, a.powers = a.mean ? 1 : average->power_count;
    for (int q = 0; !a.mean && q < a.powers; ++q) a.power[q] = static_cast<T>(average->powers[q]);
    return a;
  }

  Wave<T>& w_;
  T* partial_ = nullptr;
  std::vector<int2*> reaches_;
};

}  // namespace cuda
}  // namespace scatcuda
