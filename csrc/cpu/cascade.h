// S x = [A x, A|W1 x|, A|W2|W1 x||] of a batch of real images on the CPU, the angles in the lanes.
//
// One image (or one family of it) is in the cache at a time. A large batch is cut over its images;
// a small one has every stage of each image cut over columns, rows and second-order families.
// Either way each number comes from the same operations in the same order, whatever the number of
// threads. The twin is reference.scattering2d.
#pragma once

#include "wavelet.h"

namespace scatcuda {
inline namespace SCATCUDA_ISA {

// Runs f(first, last, thread) on pieces of [0, count): here, or on all threads of the executor.
class Team {
 public:
  Team(const Executor* executor, int64_t home) : executor_(executor), home_(home) {}
  int64_t home() const { return home_; }
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

// Threads share an image where the batch has too few to keep them evenly busy and an image is work
// enough to pay for meeting after every stage; and where an image is so large that the buffers of
// one for each thread would be too much memory.
inline bool share_images(const Schedule& s, int64_t B, int64_t threads) {
  const int64_t area = s.Mp * s.Np;
  return threads > 1 && ((B < 4 * threads && area >= 64 * 64) || area >= 512 * 512);
}

template <class T, int Slots>
class Cascade {
 public:
  static constexpr int Q = full_lanes<T> / Slots;
  using Image = ImageBuffers<T, Slots>;
  using Own = ThreadBuffers<T, Slots>;

  Cascade(const Schedule& s, const Bank<T>& bank, Arena& arena) : s_(s), bank_(bank) {
    T* down = arena.template take<T>(2 * s.Mp);
    T* across = s.Mp == s.Np ? down : arena.template take<T>(2 * s.Np);
    if (down == nullptr) return;
    turn(s.Mp, down);
    if (across != down) turn(s.Np, across);
    for (int64_t res = 0; res < s.J; ++res) {
      down_[res] = {s.rows(res), int64_t{1} << res, factorize(static_cast<int>(s.rows(res))), down};
      across_[res] = {s.columns(res), int64_t{1} << res,
                      factorize(static_cast<int>(s.columns(res))), across};
      const T* P = bank.phi + s.phi_offset(res);
      const int64_t* band = bank.phi_support + 2 * res * (s.m + s.n);
      vertical_[res] = {P, band, s.m, s.rows(res)};
      horizontal_[res] = {P + s.m * s.rows(res), band + 2 * s.m, s.n, s.columns(res)};
    }
  }

  void operator()(const T* x, T* S, const Image& image, const Own* own, const Team& team) const {
    pad(s_, x, image.width, image.padded);
    order_0(image, S);
    if (s_.max_order < 1) return;
    image_spectrum(s_, down_[0], across_[0], image, own[team.home()]);
    const Spectrum<T> x_hat = spectrum_of(image.spectrum, image, 0);
    for (int64_t j1 = 0; j1 < s_.J; ++j1) {
      const bool further = s_.max_order > 1 && j1 + 1 < s_.J;
      for (int64_t chunk = 0; chunk * Q < s_.L; ++chunk) {
        order_1(x_hat, j1, chunk, further, image, own, team, S);
      }
      if (!further) continue;
      const int64_t chunks = ceil_div(s_.L, Q), above = s_.J - 1 - j1;
      team.over(s_.L * above * chunks, [&](int64_t first, int64_t last, int64_t t) {
        for (int64_t i = first; i < last; ++i) {
          const int64_t theta1 = i / (above * chunks), j2 = j1 + 1 + i / chunks % above;
          order_2(j1, theta1, j2, i % chunks, image, own[t], S);
        }
      });
    }
  }

 protected:
  // e^{2πi k/n}
  static void turn(int64_t n, T* out) {
    for (int64_t k = 0; k < n; ++k) {
      const double angle = 2 * trig::pi * static_cast<double>(k) / static_cast<double>(n);
      out[2 * k] = static_cast<T>(cos(angle));
      out[2 * k + 1] = static_cast<T>(sin(angle));
    }
  }

  Wavelets<T> wavelets(int64_t res, int64_t j, int64_t chunk) const {
    const int64_t* box = bank_.psi_support + 5 * s_.wavelet_table(res, j);
    const T* psi = bank_.psi + box[0] * s_.lanes + chunk * Q;
    return {psi, s_.lanes, box[1], box[2], box[3], box[4]};
  }

  Spectrum<T> spectrum_of(T* p, const Image& image, int64_t res) const {
    return {p, image.spec_rows, 2 * image.spec_rows, s_.rows(res), s_.columns(res)};
  }
  Spectrum<T> u_hat_of(const Image& image, int64_t j1, int64_t theta1) const {
    return spectrum_of(image.u_hat + theta1 * image.u_hat_angle, image, j1);
  }

  // S0 = P_0 x Q_0ᵀ
  void order_0(const Image& image, T* S) const {
    const RowLowpass<T>& down = vertical_[0];
    const RowLowpass<T>& across = horizontal_[0];
    lowpass_columns(down, image.padded, image.width, image.width, image.lowpassed, image.width);
    for (int64_t o = 0; o < s_.m; ++o) {
      const T* row = image.lowpassed + o * image.width;
      for (int64_t i = 0; i < s_.n; ++i) {
        const T* taps = across.matrix + i * across.inputs;
        Band b = across.span(i);
        *S = dot(taps + b.first, row + b.first, b.end() - b.first);
        b.go_round();
        if (b.left()) *S += dot(taps, row, b.end());
        ++S;
      }
    }
  }

  // U1 = |IDFT fold(x̂ ψ̂)|, S1 = A U1 and, for the next order, Û1
  void order_1(const Spectrum<T>& x_hat, int64_t j1, int64_t chunk, bool further,
               const Image& image, const Own* own, const Team& team, T* S) const {
    const int64_t rows = s_.rows(j1), columns = s_.columns(j1);
    const Plane<T> u_hat = further ? image.across : Plane<T>{};
    const Wavelets<T> psi = wavelets(0, j1, chunk);
    team.over(ceil_div(columns, Slots), [&](int64_t first, int64_t last, int64_t t) {
      wavelet_columns<T, Slots>(x_hat, psi, int64_t{1} << j1, down_[j1], image.wavelet, first, last,
                                own[t]);
    });
    team.over(ceil_div(rows, 2 * Slots), [&](int64_t first, int64_t last, int64_t t) {
      wavelet_rows<T, Slots>(image.wavelet, rows, across_[j1], horizontal_[j1], image.reduced,
                             u_hat, first, last, own[t]);
    });
    finish<Q>(vertical_[j1], image.reduced, s_.n, min(Q, s_.L - chunk * Q), own[team.home()].tile,
              S + (s_.channel(j1) + chunk * Q) * s_.m * s_.n);
    if (!further) return;
    team.over(ceil_div(columns / 2 + 1, Slots), [&](int64_t first, int64_t last, int64_t t) {
      spectrum_columns<T, Slots>(u_hat, columns / 2 + 1, down_[j1], u_hat_of(image, j1, 0),
                                 image.u_hat_angle, image.u_hat + chunk * Q * image.u_hat_angle,
                                 first, last, own[t]);
    });
  }

  // S2 = A |IDFT fold(Û1 ψ̂)| of one family (j1, θ1), one scale j2, one chunk of angles θ2
  void order_2(int64_t j1, int64_t theta1, int64_t j2, int64_t chunk, const Image& image,
               const Own& own, T* S) const {
    wavelet_columns<T, Slots>(u_hat_of(image, j1, theta1), wavelets(j1, j2, chunk),
                              int64_t{1} << (j2 - j1), down_[j2], own.wavelet, 0,
                              ceil_div(s_.columns(j2), Slots), own);
    wavelet_rows<T, Slots>(own.wavelet, s_.rows(j2), across_[j2], horizontal_[j2], own.reduced, {},
                           0, ceil_div(s_.rows(j2), 2 * Slots), own);
    finish<Q>(vertical_[j2], own.reduced, s_.n, min(Q, s_.L - chunk * Q), own.tile,
              S + (s_.channel(j1, theta1, j2) + chunk * Q) * s_.m * s_.n);
  }

  const Schedule& s_;
  const Bank<T>& bank_;
  LineTransform<T> down_[max_scales], across_[max_scales];
  RowLowpass<T> vertical_[max_scales], horizontal_[max_scales];
};

}  // namespace SCATCUDA_ISA
}  // namespace scatcuda
