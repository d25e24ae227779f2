// The gradient of <g, S x> for the image and for the filters: the cascade once more, then back
// through it, from the last order to the first. Nothing of the forward pass is kept; one family of
// paths (j1, θ1) is in the cache at a time. The twin is reference.scattering2d_backward.
#pragma once

#include "adjoint.h"
#include "cascade.h"

namespace scatcuda {
inline namespace SCATCUDA_ISA {

template <class T, int Slots>
class Backward : private Cascade<T, Slots> {
  using Base = Cascade<T, Slots>;
  using Base::across_, Base::bank_, Base::down_, Base::horizontal_, Base::s_, Base::vertical_;
  using Base::Q;

 public:
  using Image = ImageBuffers<T, Slots>;
  using Own = ThreadBuffers<T, Slots>;

  Backward(const Schedule& s, const Bank<T>& bank, Arena& arena) : Base(s, bank, arena) {
    for (int64_t res = 0; res < s.J; ++res) {
      up_[res] = Spread<T>(vertical_[res], arena, s.rows(res));
      along_[res] = Spread<T>(horizontal_[res], arena, s.columns(res));
    }
  }

  // gS [channels, m, n] -> grad.x [M, N]; what the image gives to the filters' gradients is added
  // to grad.psi and grad.phi. Each may be null.
  void operator()(const T* x, const T* gS, const Gradients<T>& grad, const Image& image,
                  const Own* own, const Team& team) const {
    pad(s_, x, image.width, image.padded);
    if (grad.phi != nullptr) order_0_filters(image, gS, grad);
    if (s_.max_order > 0) {
      const Spectrum<T> x_hat = this->spectrum_of(image.spectrum, image, 0);
      const Spectrum<T> to_x_hat =
          this->spectrum_of(grad.x == nullptr ? nullptr : image.grad_spectrum, image, 0);
      image_spectrum(s_, down_[0], across_[0], image, own[team.home()]);
      if (grad.x != nullptr) clear(to_x_hat, s_.Np);
      for (int64_t j1 = 0; j1 < s_.J; ++j1) {
        const bool further = s_.max_order > 1 && j1 + 1 < s_.J;
        forward_1(x_hat, j1, further, image, own, team);
        if (further) {
          team.over(s_.L, [&](int64_t first, int64_t last, int64_t t) {
            for (int64_t i = first; i < last; ++i) order_2(j1, i, gS, grad, image, own[t]);
          });
          // the filters of the lanes beside the angles may be anything: they take no part
          for (int64_t i = s_.L; i < ceil_div(s_.L, Q) * Q; ++i) {
            clear(this->u_hat_of(image, j1, i), s_.columns(j1) / 2 + 1);
          }
        }
        order_1(x_hat, j1, further, gS, grad, to_x_hat, image, own, team);
      }
      if (grad.x == nullptr) return;
      hermitian_part(to_x_hat, x_hat, s_.Mp / 2 + 1, s_.Np);
      image_spectrum_adjoint(s_, down_[0], across_[0], image, own[team.home()]);
    }
    if (grad.x == nullptr) return;
    order_0(image, gS);
    pad_adjoint(s_, image.padded, image.width, grad.x);
  }

 private:
  static void clear(const Spectrum<T>& sum, int64_t columns) {
    for (int64_t c = 0; c < columns; ++c) {
      for (int64_t part = 0; part < 2; ++part) {
        T* to = sum.p + c * sum.column + part * sum.im;
        for (int64_t r = 0; r < sum.rows; ++r) to[r] = 0;
      }
    }
  }

  // W1 after its columns' inverse DFT, all angles, and Û1 where the second order needs it
  void forward_1(const Spectrum<T>& x_hat, int64_t j1, bool further, const Image& image,
                 const Own* own, const Team& team) const {
    const int64_t rows = s_.rows(j1), columns = s_.columns(j1);
    for (int64_t chunk = 0; chunk * Q < s_.L; ++chunk) {
      const Plane<T> wavelet = image.wavelet_of(chunk);
      const Wavelets<T> psi = this->wavelets(0, j1, chunk);
      team.over(ceil_div(columns, Slots), [&](int64_t first, int64_t last, int64_t t) {
        wavelet_columns<T, Slots>(x_hat, psi, int64_t{1} << j1, down_[j1], wavelet, first, last,
                                  own[t]);
      });
      if (!further) continue;
      team.over(ceil_div(rows, 2 * Slots), [&](int64_t first, int64_t last, int64_t t) {
        wavelet_rows<T, Slots>(wavelet, rows, across_[j1], horizontal_[j1], {}, image.across, first,
                               last, own[t]);
      });
      team.over(ceil_div(columns / 2 + 1, Slots), [&](int64_t first, int64_t last, int64_t t) {
        spectrum_columns<T, Slots>(
            image.across, columns / 2 + 1, down_[j1], this->u_hat_of(image, j1, 0),
            image.u_hat_angle, image.u_hat + chunk * Q * image.u_hat_angle, first, last, own[t]);
      });
    }
  }

  // One family: what S2 sends back to Û1(θ1), in whose place it is left
  void order_2(int64_t j1, int64_t theta1, const T* gS, const Gradients<T>& grad,
               const Image& image, const Own& own) const {
    const Spectrum<T> u_hat = this->u_hat_of(image, j1, theta1);
    const Spectrum<T> to_u_hat = this->spectrum_of(own.grad_spectrum, image, j1);
    clear(to_u_hat, s_.columns(j1));
    for (int64_t j2 = j1 + 1; j2 < s_.J; ++j2) {
      const int64_t rows = s_.rows(j2), columns = s_.columns(j2), k = int64_t{1} << (j2 - j1);
      for (int64_t chunk = 0; chunk * Q < s_.L; ++chunk) {
        const Wavelets<T> psi = this->wavelets(j1, j2, chunk);
        spread_down(j2, chunk, s_.channel(j1, theta1, j2), gS, own.reduced, own);
        wavelet_columns<T, Slots>(u_hat, psi, k, down_[j2], own.wavelet, 0,
                                  ceil_div(columns, Slots), own);
        turn_rows(own.wavelet, j2, own.reduced, {}, grad, 0, ceil_div(rows, 2 * Slots), own);
        gradient_columns<T, Slots>(own.wavelet, psi, k, down_[j2], to_u_hat, u_hat,
                                   of_psi(psi, grad), 0, ceil_div(columns, Slots), own);
      }
    }
    hermitian_part(to_u_hat, u_hat, s_.rows(j1), s_.columns(j1) / 2 + 1);
  }

  // What S1 and the families send back to x̂
  void order_1(const Spectrum<T>& x_hat, int64_t j1, bool further, const T* gS,
               const Gradients<T>& grad, const Spectrum<T>& to_x_hat, const Image& image,
               const Own* own, const Team& team) const {
    const int64_t rows = s_.rows(j1), columns = s_.columns(j1);
    const Plane<T> u_hat = further ? image.across : Plane<T>{};
    for (int64_t chunk = 0; chunk * Q < s_.L; ++chunk) {
      const Plane<T> wavelet = image.wavelet_of(chunk);
      const Wavelets<T> psi = this->wavelets(0, j1, chunk);
      spread_down(j1, chunk, s_.channel(j1), gS, image.reduced, own[team.home()]);
      if (further) {
        team.over(ceil_div(columns / 2 + 1, Slots), [&](int64_t first, int64_t last, int64_t t) {
          spectrum_columns_adjoint<T, Slots>(
              this->u_hat_of(image, j1, 0), columns / 2 + 1, down_[j1], image.u_hat_angle,
              image.u_hat + chunk * Q * image.u_hat_angle, u_hat, first, last, own[t]);
        });
      }
      team.over(ceil_div(rows, 2 * Slots), [&](int64_t first, int64_t last, int64_t t) {
        turn_rows(wavelet, j1, image.reduced, u_hat, grad, first, last, own[t]);
      });
      team.over(ceil_div(columns, Slots), [&](int64_t first, int64_t last, int64_t t) {
        gradient_columns<T, Slots>(wavelet, psi, int64_t{1} << j1, down_[j1], to_x_hat, x_hat,
                                   of_psi(psi, grad), first, last, own[t]);
      });
    }
  }

  // padded (+)= P_0ᵀ gS0 Q_0
  void order_0(const Image& image, const T* gS) const {
    spread_across(image, gS);
    const auto spread = s_.max_order > 0 ? spread_columns<true, T> : spread_columns<false, T>;
    spread(up_[0], image.lowpassed, image.width, image.width, image.padded, image.width);
  }

  // lowpassed = gS0 Q_0
  void spread_across(const Image& image, const T* gS) const {
    const RowLowpass<T>& across = horizontal_[0];
    for (int64_t o = 0; o < s_.m; ++o) {
      T* row = image.lowpassed + o * image.width;
      for (int64_t c = 0; c < image.width; ++c) row[c] = 0;
      for (int64_t i = 0; i < s_.n; ++i) {
        const T* taps = across.matrix + i * across.inputs;
        const T g = gS[o * s_.n + i];
        for (Band b = across.span(i); b.left(); b.go_round()) {
          for (int64_t c = b.first, end = b.end(); c < end; ++c) row[c] += g * taps[c];
        }
      }
    }
  }

  // What S0 = P_0 x Q_0ᵀ gives to P_0 and Q_0
  void order_0_filters(const Image& image, const T* gS, const Gradients<T>& grad) const {
    const RowLowpass<T>& down = vertical_[0];
    const RowLowpass<T>& across = horizontal_[0];
    lowpass_columns(down, image.padded, image.width, image.width, image.lowpassed, image.width);
    T* to = of_phi(across, grad);
    for (int64_t i = 0; i < s_.n; ++i) {
      for (int64_t o = 0; o < s_.m; ++o) {
        const T* row = image.lowpassed + o * image.width;
        const T g = gS[o * s_.n + i];
        for (Band b = across.span(i); b.left(); b.go_round()) {
          for (int64_t c = b.first, end = b.end(); c < end; ++c) {
            to[i * across.inputs + c] += g * row[c];
          }
        }
      }
    }
    spread_across(image, gS);
    lowpass_gradient_columns(down, image.lowpassed, image.width, image.padded, image.width,
                             image.width, of_phi(down, grad));
  }

  // tile = gS of the chunk, its angles side by side; reduced = Pᵀ tile
  void spread_down(int64_t res, int64_t chunk, int64_t channel, const T* gS,
                   const Plane<T>& reduced, const Own& own) const {
    gather_angles<Q>(gS + (channel + chunk * Q) * s_.m * s_.n, min(Q, s_.L - chunk * Q), s_.m, s_.n,
                     reduced.stride, own.tile);
    spread_columns<false>(up_[res], own.tile, reduced.stride, reduced.stride, reduced.p,
                          reduced.stride);
  }

  // W ← DFT along the rows of (W gU / |W|); the low-pass' gradient on the way, where it is wanted
  void turn_rows(const Plane<T>& wavelet, int64_t res, const Plane<T>& reduced,
                 const Plane<T>& u_hat, const Gradients<T>& grad, int64_t first, int64_t last,
                 const Own& own) const {
    const RowLowpass<T>& across = horizontal_[res];
    const int64_t rows = s_.rows(res);
    gradient_rows<T, Slots>(wavelet, rows, across_[res], along_[res], reduced, u_hat, first, last,
                            own, [&](int64_t r, T* const(&g)[Slots]) {
                              if (grad.phi == nullptr) return;
                              T* target[Slots];
                              for (int i = 0; i < Slots; ++i) {
                                target[i] =
                                    own.lowpassed.p + min(r + i, rows - 1) * own.lowpassed.stride;
                              }
                              lowpass_gradient_row(across, Line<T>{own.line}, g, rows - r, own.work,
                                                   target, of_phi(across, grad));
                            });
    if (grad.phi == nullptr) return;
    const RowLowpass<T>& down = vertical_[res];
    lowpass_gradient_columns(down, own.tile, reduced.stride, own.lowpassed.p, own.lowpassed.stride,
                             reduced.stride, of_phi(down, grad));
  }

  // where the gradient of a table lies, or null
  T* of_psi(const Wavelets<T>& wavelets, const Gradients<T>& grad) const {
    return grad.psi == nullptr ? nullptr : grad.psi + (wavelets.psi - bank_.psi);
  }
  T* of_phi(const RowLowpass<T>& a, const Gradients<T>& grad) const {
    return grad.phi + (a.matrix - bank_.phi);
  }

  Spread<T> up_[max_scales], along_[max_scales];
};

}  // namespace SCATCUDA_ISA
}  // namespace scatcuda
