// Short axes of groups, by the definition: place i of a filter h = a + i b (axis.h) is
//
//   y(i) = Σ_p h(i − p) z_p = A + i B,   A = Σ a z,   B = Σ b z.
//
// Wavelets of angles see half a turn of a real signal: the other half is its conjugate, z_{p + n} =
// conj z_p for p < n. Such groups are taken as their first half. With a± = a(d) ± a(d + n), and b±,
//
//   A = Σ a+ Re z + i Σ a− Im z,   B = Σ b+ Re z + i Σ b− Im z,
//   y(i) = A + i B,   y(i + n) = conj A + i conj B.
#pragma once

#include "axis.h"

namespace scatcuda {
inline namespace SCATCUDA_ISA {

template <class V>
SCATCUDA_INLINE V modulus_of(const Complex<V>& z) {
  return square_root(V(z.re * z.re + z.im * z.im));
}
// g z / |z|, 0 where z is
template <class V>
SCATCUDA_INLINE Complex<V> along(const Complex<V>& z, const V& g) {
  const V square = z.re * z.re + z.im * z.im;
  const V turn = square == Scalar<V>(0) ? V{} : g / square_root(square);
  return {z.re * turn, z.im * turn};
}

template <class T>
struct Mixture {
  static constexpr int W = full_lanes<T>;
  static constexpr int together = vector_bytes == 64 ? 4 : 2;  // places, in registers at a time
  static constexpr int64_t longest = 64;  // of axes that are taken by the definition
  using V = Vector<T, W>;

  bool mirrored = false;            // its second half is the conjugate of the first
  int64_t sources = 0, places = 0;  // of a group: planes, and of a filter
  T* factors = nullptr;             // [filters, places / together][sources][4][together]

  Mixture() = default;
  // Without filters it only counts
  Mixture(const Step& s, const Set& set, const AxisFilters<T>* filters, Arena& arena) {
    const int64_t side = set.points, count = set.count;
    mirrored = is_mirrored(s) && side == s.length && s.length / 2 % s.every == 0;
    sources = mirrored ? s.length / 2 : s.length, places = ceil_div(sources, s.every);
    factors = arena.take<T>(count * ceil_div(places, together) * block());
    if (filters == nullptr) return;
    T* to = factors;
    for (int64_t k = 0; k < count; ++k) {
      const T *a = filters->even + k * side, *b = filters->odd + k * side;
      for (int64_t i = 0; i < places; i += together) {
        for (int64_t p = 0; p < sources; ++p) {
          for (int r = 0; r < together; ++r, ++to) {
            const bool some = i + r < places;
            const int64_t d = some ? modulo((i + r) * s.every - p, side) : 0;
            const int64_t other = modulo(d - sources, side);
            const T a_other = mirrored ? a[other] : T(0), b_other = mirrored ? b[other] : T(0);
            to[0] = some ? a[d] + a_other : T(0), to[together] = some ? b[d] + b_other : T(0);
            to[2 * together] = some ? a[d] - a_other : T(0);
            to[3 * together] = some ? b[d] - b_other : T(0);
          }
          to += 3 * together;
        }
      }
    }
  }

  // Σ |y| over all places of filter k, of planes z [sources][2]
  V moduli(int64_t k, const T* z) const {
    V sum{};
    const auto add = [&](auto both) SCATCUDA_LAMBDA {
      for (int64_t i = 0; i < places; i += together) {
        mixed(taps(k, i), z,
              [&](int, const Complex<V>& y, const Complex<V>& other) SCATCUDA_LAMBDA {
                sum += modulus_of(y);
                if constexpr (decltype(both)::value) sum += modulus_of(other);
              });
      }
    };
    mirrored ? add(std::true_type{}) : add(std::false_type{});
    return sum;
  }
  // f(i, y(i)) for all places of filter k
  template <class F>
  void each(int64_t k, const T* z, F&& f) const {
    for (int64_t i = 0; i < places; i += together) {
      mixed(taps(k, i), z, [&](int r, const Complex<V>& y, const Complex<V>& other) {
        if (i + r >= places) return;
        f(i + r, y);
        if (mirrored) f(i + r + places, other);
      });
    }
  }
  // to += what all places give back, each of which is given g
  void moduli_adjoint(int64_t k, const T* z, const V& g, T* to) const {
    const auto add = [&](auto both) SCATCUDA_LAMBDA {
      for (int64_t i = 0; i < places; i += together) {
        mixed_adjoint(taps(k, i), z, to,
                      [&](int, const Complex<V>& y, const Complex<V>& other) SCATCUDA_LAMBDA {
                        return Both{along(y, g), decltype(both)::value ? along(other, g) : zero()};
                      });
      }
    };
    mirrored ? add(std::true_type{}) : add(std::false_type{});
  }
  // to += what every place i gives back, which is given f(i, y(i))
  template <class F>
  void each_adjoint(int64_t k, const T* z, T* to, F&& f) const {
    for (int64_t i = 0; i < places; i += together) {
      mixed_adjoint(taps(k, i), z, to, [&](int r, const Complex<V>& y, const Complex<V>& other) {
        if (i + r >= places) return Both{zero(), zero()};
        return Both{f(i + r, y), mirrored ? f(i + r + places, other) : zero()};
      });
    }
  }

 private:
  struct Both {
    Complex<V> y, other;
  };
  static Complex<V> zero() { return {V{}, V{}}; }
  static int64_t modulo(int64_t d, int64_t n) { return (d % n + n) % n; }
  static bool is_mirrored(const Step& s) {
    const int64_t half = s.length / 2;
    bool so = s.length % 2 == 0;
    for (int64_t g = 0; so && g < s.groups; ++g) {
      const int64_t* entries = s.table + g * s.length;
      for (int64_t i = 0; so && i < half; ++i) {
        so = entries[i + half] == (entries[i] < 0 ? -1 : entries[i] ^ 1);
      }
    }
    return so;
  }

  int64_t block() const { return sources * 4 * together; }
  // Those of places i … i + together − 1 of filter k
  const T* taps(int64_t k, int64_t i) const {
    return factors + (k * ceil_div(places, together) + i / together) * block();
  }

  // f(r, y(i + r), y(i + r + n))
  template <class F>
  SCATCUDA_INLINE void mixed(const T* w, const T* z, F&& f) const {
    V a_re[together] = {}, a_im[together] = {}, b_re[together] = {}, b_im[together] = {};
    for (int64_t p = 0; p < sources; ++p, z += 2 * W, w += 4 * together) {
      const V re = load<W>(z), im = load<W>(z + W);
      SCATCUDA_UNROLL
      for (int r = 0; r < together; ++r) {
        a_re[r] += w[r] * re, b_re[r] += w[together + r] * re;
        a_im[r] += w[2 * together + r] * im, b_im[r] += w[3 * together + r] * im;
      }
    }
    SCATCUDA_UNROLL
    for (int r = 0; r < together; ++r)
      f(r, Complex<V>{a_re[r] - b_im[r], a_im[r] + b_re[r]},
        Complex<V>{a_re[r] + b_im[r], b_re[r] - a_im[r]});
  }
  // f gives what the two are given
  template <class F>
  SCATCUDA_INLINE void mixed_adjoint(const T* w, const T* z, T* to, F&& f) const {
    V a_re[together], a_im[together], b_re[together], b_im[together];
    mixed(w, z, [&](auto r, const Complex<V>& y, const Complex<V>& other) SCATCUDA_LAMBDA {
      const Both given = f(r, y, other);
      a_re[r] = given.y.re + given.other.re, b_re[r] = given.y.im + given.other.im;
      a_im[r] = given.y.im - given.other.im, b_im[r] = given.other.re - given.y.re;
    });
    for (int64_t p = 0; p < sources; ++p, to += 2 * W, w += 4 * together) {
      V re = load<W>(to), im = load<W>(to + W);
      SCATCUDA_UNROLL
      for (int r = 0; r < together; ++r) {
        re += w[r] * a_re[r] + w[together + r] * b_re[r];
        im += w[2 * together + r] * a_im[r] + w[3 * together + r] * b_im[r];
      }
      store(to, re), store(to + W, im);
    }
  }
};

}  // namespace SCATCUDA_ISA
}  // namespace scatcuda
