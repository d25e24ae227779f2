// The general tier of the cascade S x = A ρ W_J … ρ W_1 x, U[p] and S[p] along all paths p (J.
// Bruna and S. Mallat, "Invariant scattering convolution networks", PAMI 2013, section 2.2): the
// steps of a program (core/program.h), one kernel a stage, with cuFFT between them; every size,
// float and double. The twin is reference.scattering, the CPU's walk cpu/walk.h.
//
// Wavelet steps are walked depth first, a wave of signals at a time: of a chain of steps there is
// the spectrum of each in the workspace, and the planes of the last. Of steps of one source those
// that end a chain go together. Planes that a group or a pair takes are stored until the wave is
// done.
//
// Backward everything is computed again from x: first the stored planes and, in reverse, what
// groups and pairs give back to them; then every chain down to its end and up again, where a
// gradient lies in the place of what it is of.
#pragma once

#include "../passes/pad.cuh"
#include "averages.cuh"
#include "groups.cuh"
#include "pairs.cuh"

namespace scatcuda {
namespace cuda {

// A fused kernel that does steps and all that follows them, from the spectra of their source to the
// coefficients or, backward, to ĝW.
template <class T>
struct Ends {
  virtual ~Ends() = default;
  virtual bool takes(int step) const = 0;
  virtual void run(int step, int64_t images, const Complex<T>* u_hat, Complex<T>* g_hat) const = 0;
};

template <class T>
class Walk {
 public:
  Walk(const Program& program, const Launch& launch, const Bank<T>& bank, int64_t psi_entries,
       Queue& queue, Workspace& workspace, const Ends<T>* ends = nullptr)
      : p_(program),
        w_(program, launch, bank, psi_entries, queue, workspace),
        averages_(w_),
        groups_(w_),
        pairs_(w_),
        ends_(ends) {}

  // x [images, signal] -> S [images, channels, sides]
  void forward(int64_t images, const void* x, Pixels pixels, T* S) {
    w_.images = images, w_.S = S;
    const Plane padded = w_.plane(-1);
    const Workspace::Scope scope(w_.workspace);
    Bins u_hat = p_.child_count > 0 ? spectra(-1) : nullptr;
    {
      const Workspace::Scope inner(w_.workspace);
      T* u = reals(-1);
      pad(x, pixels, u);
      finish(-1, u, u_hat);
    }
    descend(p_.children, p_.child_count, u_hat, padded, 1);
    for (int i = 0; i < p_.step_count; ++i) {
      if (p_.steps[i].kind == Kind::group) go_on(i, [&](Bins y) { groups_.forward(i, y); });
    }
    if (values_alone_) return;
    pairs_.take_spectra();
    for (int i = 0; i < p_.step_count; ++i) {
      if (p_.steps[i].kind == Kind::pair) pairs_.forward(i);
    }
  }

  // x, g [images, channels, sides] -> gradients; those of psi and phi are added to what is there
  void backward(int64_t images, const void* x, Pixels pixels, const T* g,
                const Gradients<T>& gradients) {
    w_.grad = g, w_.gradients = gradients;
    if (!w_.stored.empty()) {
      values_alone_ = true;
      forward(images, x, pixels, nullptr);
      values_alone_ = false;
      stored_backward();
    }
    w_.images = images;
    const Plane padded = w_.plane(-1);
    const Workspace::Scope scope(w_.workspace);
    Bins u_hat = p_.child_count > 0 ? spectra(-1) : nullptr;
    T *u = reals(-1), *more = nullptr;
    pad(x, pixels, u);
    if (averages_.has_matrices(-1)) averages_.template filters<false>({{-1, u}});
    if (p_.child_count > 0) {
      w_.transform(Direction::real_forward, padded, 1, u, u_hat);
      ascend(p_.children, p_.child_count, u_hat, padded, 1);
    }
    if (gradients.x == nullptr && !w_.queue.dry()) return;
    if (p_.child_count > 0) more = inverse(-1, u_hat, u);
    real_backward(-1, u, more);
    unpad(u);
  }

  Averages<T>& averages() { return averages_; }

  // From ĝW of the steps that begin with the signal to the gradient of its spectra
  void unfold(int64_t images, const std::vector<Complex<T>*>& w, Complex<T>* u_hat) {
    w_.images = images;
    std::vector<Child> children;
    for (size_t i = 0; i < w.size(); ++i) children.push_back({p_.children[i], w[i]});
    unfold(children, u_hat, w_.plane(-1), 1);
  }

 private:
  using Bins = Complex<T>*;
  // A wavelet step and its W, or gradients of it
  struct Child {
    int step;
    Bins w;
  };

  const Step& step(int i) const { return p_.steps[i]; }
  const Set& set(int i) const { return p_.sets[step(i).set]; }
  static bool is_complex(const Step& s) { return s.rho == Rho::none || s.rho == Rho::phase; }
  int children(int i) const { return i < 0 ? p_.child_count : step(i).child_count; }
  // Nothing needs the moduli but the low-pass, which takes them itself
  bool is_averaged_alone(int i) const {
    return step(i).rho == Rho::modulus && !step(i).stored && averages_.has_matrices(i);
  }
  bool is_end(int i) const { return is_averaged_alone(i) && children(i) == 0; }
  bool is_fused(int i) const { return ends_ != nullptr && ends_->takes(i); }
  // Where only stored values are wanted: whether it has some, or what follows
  bool is_wanted(int i) const {
    bool wanted = !values_alone_ || step(i).stored;
    for (int c = 0; c < step(i).child_count && !wanted; ++c)
      wanted = is_wanted(step(i).children[c]);
    return wanted;
  }

  // Room for the planes of a step in a wave: real ones, their spectra, what they are made of
  T* reals(int i) { return w_.template take<T>(w_.size * w_.planes(i) * w_.plane(i).points()); }
  Bins spectra(int i) {
    return w_.template take<Complex<T>>(w_.size * w_.planes(i) * w_.plane(i).half().points());
  }
  Bins complexes(int i) {
    const int64_t points = w_.plane(i).points();
    return w_.template take<Complex<T>>(w_.size * w_.planes(i) * filters(i) * points);
  }
  // Planes of W that make one of its own
  int64_t filters(int i) const {
    const Step& s = step(i);
    return s.rho == Rho::norm ? set(i).count : s.rho == Rho::mean ? places_of(s) : 1;
  }

  // --- padding ---

  PadArguments padding() const {
    const auto axis = [&](int part, int64_t padded) {
      const Axis& a = p_.padding[part];
      return PaddedAxis{static_cast<int>(a.size), static_cast<int>(a.before),
                        static_cast<int>(padded), a.pad};
    };
    const Grid& padded = p_.padded;
    const PaddedAxis first = axis(0, padded.first), last = axis(2, padded.last);
    const int64_t step = p_.padding[1].size * last.size;
    if (p_.rank == 1) return {last, first, first, 1, 0, 0, last.size};
    return {first, axis(1, padded.middle), last, step, last.size, 1, first.size * step};
  }
  static Blocks tiles(int64_t images, int inner, int middle, int outer) {
    return {images * middle * ceil_div(inner, pad_tile) * ceil_div(outer, pad_tile)};
  }
  void pad(const void* x, Pixels pixels, T* u) {
    const PadArguments a = padding();
    if (p_.rank == 1) {
      const int64_t count = w_.images * a.inner.padded;
      return w_.queue.run(pad_lines_kernel<T>, items(count), stage_threads, 0, a.inner, count, x,
                          pixels, u);
    }
    w_.queue.run(pad_kernel<T>, tiles(w_.images, a.inner.padded, a.middle.padded, a.outer.padded),
                 pad_tile * pad_rows, 0, a, x, pixels, u);
  }
  void unpad(const T* u) {
    const PadArguments a = padding();
    if (p_.rank == 1) {
      const int64_t count = w_.images * a.inner.size;
      return w_.queue.run(unpad_lines_kernel<T>, items(count), stage_threads, 0, a.inner, count, u,
                          w_.gradients.x);
    }
    w_.queue.run(unpad_kernel<T>, tiles(w_.images, a.inner.size, a.middle.size, a.outer.size),
                 pad_tile * pad_rows, 0, a, u, w_.gradients.x);
  }

  // --- filter and fold ---

  FoldArguments<T> folding(const Child* children, int count, Bins u_hat, const Plane& from,
                           int64_t planes) {
    FoldArguments<T> a{};
    a.u_hat = u_hat, a.planes = w_.images * planes, a.psi_entries = w_.psi_entries;
    a.from = from, a.axes = p_.rank, a.count = count, a.scale = T(1);
    for (int i = 0; i < count && i < most_together; ++i) {  // they are: compilers do not see it
      const Step& s = step(children[i].step);
      const Set& of = p_.sets[s.set];
      const auto k = [](int64_t by, bool crop) { return Folding{static_cast<int>(by), crop}; };
      const Folding first = k(s.fold.first, s.crop_first), last = k(s.fold.last, s.crop_last);
      FoldedStep<T>& to = a.steps[i];
      to.inner = p_.rank == 1 ? last : first, to.outer = p_.rank == 1 ? first : last;
      to.middle = k(s.fold.middle, s.crop_middle);
      to.count = static_cast<int>(of.count), to.lanes = static_cast<int>(of.lanes);
      to.psi = w_.bank.psi, to.support = w_.bank.psi_support + of.row;
      to.w = children[i].w, to.grad_psi = w_.gradients.psi;
    }
    return a;
  }
  // launch(children, count) of as many at a time as go together
  template <class Together, class F>
  static void in_launches(const std::vector<Child>& all, Together together, F launch) {
    for (size_t first = 0, last; first < all.size(); first = last) {
      for (last = first + 1; last < all.size() && last - first < most_together; ++last) {
        bool goes = true;
        for (size_t i = first; i < last; ++i) goes = goes && together(all[i].step, all[last].step);
        if (!goes) break;
      }
      launch(all.data() + first, static_cast<int>(last - first));
    }
  }

  template <bool Middle>
  static auto fold_kernel(int together) {
    return together == 4 ? filter_fold_kernel<T, true, true, Middle, 4>
                         : filter_fold_kernel<T, true, true, Middle, 8>;
  }
  // Ŵ of steps of one source, which has so many planes a signal
  void fold(const std::vector<Child>& all, Bins u_hat, const Plane& from, int64_t planes) {
    const auto read = [&](int i) { return filters_together(static_cast<int>(set(i).lanes)); };
    in_launches(
        all, [&](int a, int b) { return read(a) == read(b); },
        [&](const Child* some, int count) {
          const FoldArguments<T> a = folding(some, count, u_hat, from, planes);
          const int together = read(some[0].step);
          Blocks blocks{0, 0, count};
          for (int i = 0; i < count; ++i) {
            const int64_t bins = w_.plane(some[i].step).points();
            blocks.x = max(blocks.x, a.planes * ceil_div(bins, stage_threads));
            blocks.y = max(blocks.y, ceil_div(set(some[i].step).count, together));
          }
          const auto kernel =
              p_.rank == 3 ? fold_kernel<true>(together) : fold_kernel<false>(together);
          w_.queue.run(kernel, blocks, stage_threads, 0, a);
        });
  }
  // ĝW to the gradients of the spectra that fold took
  void unfold(const std::vector<Child>& all, Bins u_hat, const Plane& from, int64_t planes) {
    const int64_t tiles = ceil_div(from.half().points(), stage_threads);
    bool more = false;
    in_launches(
        all, [](int, int) { return true; },
        [&](const Child* some, int count) {
          FoldArguments<T> a = folding(some, count, u_hat, from, planes);
          a.more = more;
          w_.queue.run(unfold_kernel<T, true, true>, {a.planes * tiles}, stage_threads, 0, a);
          more = true;
        });
  }
  // … and to those of the filters, on top of what is there
  void filter_gradients(const std::vector<Child>& all, Bins u_hat, const Plane& from,
                        int64_t planes) {
    if (w_.gradients.psi == nullptr) return;
    in_launches(
        all, [&](int a, int b) { return step(a).set != step(b).set; },
        [&](const Child* some, int count) {
          int64_t filters = 0;
          for (int i = 0; i < count; ++i) filters = max(filters, set(some[i].step).count);
          w_.queue.run(
              filter_gradient_kernel<T, true, true>,
              {ceil_div(from.points(), filter_entries), ceil_div(filters, filter_warps), count},
              stage_threads, 0, folding(some, count, u_hat, from, planes));
        });
  }

  // --- ρ ---

  // U of W
  void modulus(int i, const Complex<T>* w, T* u) {
    const int64_t points = w_.plane(i).points(), count = w_.images * w_.planes(i) * points;
    if (step(i).rho == Rho::modulus) {
      w_.queue.run(modulus_kernel<T>, items(count), stage_threads, 0, count, w, u);
    } else {
      w_.queue.run(step(i).rho == Rho::norm ? norm_kernel<T> : mean_kernel<T>, items(count),
                   stage_threads, 0, count, static_cast<int>(filters(i)), points, w, u);
    }
  }
  // W is replaced by its gradient, from that of U
  void modulus_backward(int i, const T* grad, Bins w) {
    const int64_t points = w_.plane(i).points(), count = w_.images * w_.planes(i) * points;
    if (step(i).rho == Rho::modulus) {
      w_.queue.run(modulus_backward_kernel<T>, items(count), stage_threads, 0, count, grad, w, w);
    } else {
      w_.queue.run(step(i).rho == Rho::norm ? norm_backward_kernel<T> : mean_backward_kernel<T>,
                   items(count), stage_threads, 0, count, static_cast<int>(filters(i)), points,
                   grad, w);
    }
  }

  // --- down ---

  // Real planes are averaged and stored, and their spectra taken
  void finish(int i, T* u, Bins u_hat) {
    if (!values_alone_) averages_.forward(i, u);
    if (const auto* stored = w_.stored_of(i)) {
      const int64_t count = w_.images * stored->numbers;
      w_.queue.run(store_kernel<T>, items(count), stage_threads, 0, count, u, stored->values);
    }
    if (children(i) > 0) {
      w_.transform(Direction::real_forward, w_.plane(i), w_.planes(i), u, u_hat);
    }
  }

  // Steps of one source from its spectra on
  void descend(const int* steps, int count, Bins u_hat, const Plane& from, int64_t planes) {
    for (int i = 0; i < count;) {
      if (is_fused(steps[i])) {
        if (!w_.queue.dry()) ends_->run(steps[i], w_.images, u_hat, nullptr);
        ++i;
        continue;
      }
      std::vector<int> ends;
      while (i < count && is_end(steps[i]) && !is_fused(steps[i]) && ends.size() < most_together)
        ends.push_back(steps[i++]);
      if (!ends.empty()) {
        if (!values_alone_) end(ends, u_hat, from, planes);
        continue;
      }
      const int s = steps[i++];
      if (!is_wanted(s)) continue;
      go_on(s, [&](Bins w) {
        fold({{s, w}}, u_hat, from, planes);
        w_.transform(Direction::inverse, w_.plane(s), w_.planes(s) * filters(s), w, w);
      });
    }
  }
  void end(const std::vector<int>& steps, Bins u_hat, const Plane& from, int64_t planes) {
    const Workspace::Scope scope(w_.workspace);
    std::vector<Child> all;
    std::vector<Planes> averaged;
    for (const int s : steps) {
      all.push_back({s, complexes(s)});
      averaged.push_back({s, all.back().w});
    }
    fold(all, u_hat, from, planes);
    for (const Child& c : all) {
      w_.transform(Direction::inverse, w_.plane(c.step), w_.planes(c.step), c.w, c.w);
    }
    averages_.template lowpass<true>(averaged);
  }

  // The planes of a wavelet or a group step, W of which `make` computes, and what follows
  template <class Make>
  void go_on(int i, Make make) {
    const Step& s = step(i);
    const Workspace::Scope scope(w_.workspace);
    Bins u_hat = s.child_count > 0 ? spectra(i) : nullptr;
    {
      const Workspace::Scope inner(w_.workspace);
      Bins w = is_complex(s) && s.stored ? w_.stored_of(i)->values : complexes(i);
      make(w);
      if (s.rho == Rho::phase) {
        const int64_t count = w_.images * s.planes * w_.plane(i).points();
        w_.queue.run(phase_kernel<T>, items(count), stage_threads, 0, count,
                     static_cast<T>(s.phase), w);
      }
      if (!is_complex(s) && is_end(i)) {
        if (!values_alone_) averages_.template lowpass<true>({{i, w}});
      } else if (!is_complex(s)) {
        T* u = reals(i);
        modulus(i, w, u);
        finish(i, u, u_hat);
      }
    }
    if (s.child_count > 0) descend(s.children, s.child_count, u_hat, w_.plane(i), s.planes);
  }

  // --- and up again ---

  // What groups and pairs give back to stored planes
  void stored_backward() {
    for (const auto& s : w_.stored) {
      w_.queue.clear(s.gradients, w_.images * s.numbers * Wave<T>::template bytes<Complex<T>>);
    }
    pairs_.take_spectra();
    for (int i = p_.step_count; i-- > 0;) {
      if (step(i).kind == Kind::pair) pairs_.backward(i);
      pairs_.return_spectra(i);
      if (step(i).kind != Kind::group) continue;
      const Workspace::Scope scope(w_.workspace);
      Bins w = step(i).rho == Rho::none ? gradient(i) : complexes(i);
      if (step(i).rho != Rho::none) {
        groups_.forward(i, w);
        before_modulus(i, w);
      }
      groups_.backward(i, w);
    }
    pairs_.return_spectra(-1);
  }
  // Of a step whose planes are complex. Nothing is lost where it is replaced: whatever gives to it
  // has done so.
  Bins gradient(int i) {
    if (const auto* stored = w_.stored_of(i)) return stored->gradients;
    Bins zeros = complexes(i);
    w_.queue.clear(zeros, w_.images * step(i).planes * w_.plane(i).points() *
                              Wave<T>::template bytes<Complex<T>>);
    return zeros;
  }

  // gU, in place, from gS and `more`
  void real_backward(int i, T* u, const T* more) {
    averages_.backward(i, u, more);
    if (const auto* stored = w_.stored_of(i)) {
      const int64_t count = w_.images * stored->numbers;
      w_.queue.run(add_stored_kernel<T>, items(count), stage_threads, 0, count, stored->gradients,
                   u);
    }
  }
  // Gradients of real planes by way of their spectra, in the place of the planes where they are no
  // longer needed
  T* inverse(int i, Bins u_hat, T* u) {
    T* more = averages_.has_powers(i) ? reals(i) : u;
    w_.transform(Direction::real_inverse, w_.plane(i), w_.planes(i), u_hat, more);
    return more;
  }

  // W, where U = ρ W is real, is replaced by its gradient
  void before_modulus(int i, Bins w) {
    const Step& s = step(i);
    const Workspace::Scope scope(w_.workspace);
    const bool alone = is_averaged_alone(i);
    T *u = nullptr, *more = nullptr;
    if (!alone || s.child_count > 0) {
      u = reals(i);
      modulus(i, w, u);
    }
    if (averages_.has_matrices(i) && s.rho == Rho::modulus) {
      averages_.template filters<true>({{i, w}});
    } else if (averages_.has_matrices(i)) {
      averages_.template filters<false>({{i, u}});
    }
    if (s.child_count > 0) {
      Bins u_hat = spectra(i);
      w_.transform(Direction::real_forward, w_.plane(i), s.planes, u, u_hat);
      ascend(s.children, s.child_count, u_hat, w_.plane(i), s.planes);
      more = inverse(i, u_hat, u);
    }
    if (alone) return averages_.template lowpass_backward<true>({{i, w, more}});
    real_backward(i, u, more);
    modulus_backward(i, u, w);
  }

  // Û is replaced by its gradient
  void ascend(const int* steps, int count, Bins u_hat, const Plane& from, int64_t planes) {
    const Workspace::Scope scope(w_.workspace);
    std::vector<Child> all, computed, ends;
    for (int i = 0; i < count; ++i) {
      const int s = steps[i];
      const bool given = step(s).rho == Rho::none;
      all.push_back({s, given ? gradient(s) : complexes(s)});
      if (is_fused(s)) {
        if (!w_.queue.dry()) ends_->run(s, w_.images, u_hat, all.back().w);
      } else if (!given) {
        computed.push_back(all.back());
        if (is_end(s)) ends.push_back(all.back());
      }
    }
    fold(computed, u_hat, from, planes);
    for (const Child& c : computed) {
      w_.transform(Direction::inverse, w_.plane(c.step), w_.planes(c.step) * filters(c.step), c.w,
                   c.w);
    }
    in_launches(
        ends, [](int, int) { return true; },
        [&](const Child* some, int n) {
          std::vector<Planes> averaged;
          for (int i = 0; i < n; ++i) averaged.push_back({some[i].step, some[i].w});
          averages_.template filters<true>(averaged);
          averages_.template lowpass_backward<true>(averaged);
        });
    for (const Child& c : all) {
      const Step& s = step(c.step);
      if (s.rho == Rho::phase) {
        const Workspace::Scope inner(w_.workspace);
        const int64_t numbers = w_.images * s.planes * w_.plane(c.step).points();
        w_.queue.run(phase_backward_kernel<T>, items(numbers), stage_threads, 0, numbers,
                     static_cast<T>(s.phase), gradient(c.step), c.w);
      } else if (s.rho != Rho::none && !is_end(c.step) && !is_fused(c.step)) {
        before_modulus(c.step, c.w);
      }
      if (!is_fused(c.step)) {
        w_.transform(Direction::forward, w_.plane(c.step), w_.planes(c.step) * filters(c.step), c.w,
                     c.w);
      }
    }
    filter_gradients(all, u_hat, from, planes);
    unfold(all, u_hat, from, planes);
  }

  const Program& p_;
  Wave<T> w_;
  Averages<T> averages_;
  Groups<T> groups_;
  Pairs<T> pairs_;
  const Ends<T>* ends_;
  bool values_alone_ = false;
};

}  // namespace cuda
}  // namespace scatcuda
