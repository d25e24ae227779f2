// Padding at the edges, and its adjoint. Reference: reference.pad.
#pragma once

#include "../buffers.h"

namespace scatcuda {
inline namespace SCATCUDA_ISA {

// Which point of an axis is shown `i` points after its first, −1 where there is none. A margin goes
// round once at most, which the program's reader sees to.
SCATCUDA_INLINE int64_t shown(Pad pad, int64_t N, int64_t i) {
  switch (pad) {
    case Pad::reflect:  // −a is a and N − 1 + a is N − 1 − a
      if (i < 0) i = -i;
      if (i < N) return i;
      i = 2 * (N - 1) - i;
      return i < 0 ? -i : i;
    case Pad::symmetric:
      return i < 0 ? -1 - i : i < N ? i : 2 * N - 1 - i;
    case Pad::periodic:
      return i < 0 ? i + N : i < N ? i : i - N;
    default:
      return i >= 0 && i < N ? i : -1;
  }
}
inline int64_t shown(const Axis& axis, int64_t i) { return shown(axis.pad, axis.size, i); }

// f(pad) with the constant: a loop then does not ask for it
template <class F>
SCATCUDA_INLINE void with_pad(Pad pad, F&& f) {
  switch (pad) {
    case Pad::reflect:
      return f(std::integral_constant<Pad, Pad::reflect>{});
    case Pad::symmetric:
      return f(std::integral_constant<Pad, Pad::symmetric>{});
    case Pad::periodic:
      return f(std::integral_constant<Pad, Pad::periodic>{});
    default:
      return f(std::integral_constant<Pad, Pad::zeros>{});
  }
}

// f(row of the padded signal, row of the signal or −1) for every row along the last axis
template <class F>
SCATCUDA_INLINE void for_rows(const Program& p, F&& f) {
  const Axis &first = p.padding[0], &middle = p.padding[1];
  for (int64_t r = 0; r < p.padded.first; ++r) {
    const int64_t from = shown(first, r - first.before);
    for (int64_t m = 0; m < p.padded.middle; ++m) {
      const int64_t of = shown(middle, m - middle.before);
      f(r * p.padded.middle + m, from < 0 || of < 0 ? -1 : from * p.signal.middle + of);
    }
  }
}

// padded [first, middle, width]
template <class T>
void pad(const Program& p, const T* x, int64_t width, T* padded) {
  const Axis& last = p.padding[2];
  const int64_t left = last.before, N = last.size, Np = p.padded.last;
  with_pad(last.pad, [&](auto pad) {
    for_rows(p, [&](int64_t row, int64_t source) SCATCUDA_LAMBDA {
      T* to = padded + row * width;
      if (source < 0) {
        for (int64_t c = 0; c < width; ++c) to[c] = 0;
        return;
      }
      const T* from = x + source * N;
      const auto margin = [&](int64_t c) SCATCUDA_LAMBDA {
        const int64_t at = shown(pad, N, c - left);
        to[c] = at < 0 ? T(0) : from[at];
      };
      for (int64_t c = 0; c < left; ++c) margin(c);
      std::memcpy(to + left, from, static_cast<size_t>(N) * sizeof(T));
      for (int64_t c = left + N; c < Np; ++c) margin(c);
      for (int64_t c = Np; c < width; ++c) to[c] = 0;
    });
  });
}

// Every point takes the places that show it.
template <class T>
void pad_adjoint(const Program& p, const T* padded, int64_t width, T* x) {
  const Axis& last = p.padding[2];
  const int64_t left = last.before, N = last.size;
  for (int64_t i = 0; i < points_of(p.signal); ++i) x[i] = 0;
  with_pad(last.pad, [&](auto pad) {
    for_rows(p, [&](int64_t row, int64_t source) SCATCUDA_LAMBDA {
      if (source < 0) return;
      T* to = x + source * N;
      const T* from = padded + row * width;
      const auto margin = [&](int64_t c) SCATCUDA_LAMBDA {
        const int64_t at = shown(pad, N, c - left);
        if (at >= 0) to[at] += from[c];
      };
      for (int64_t c = 0; c < left; ++c) margin(c);
      for (int64_t c = 0; c < N; ++c) to[c] += from[left + c];
      for (int64_t c = left + N; c < p.padded.last; ++c) margin(c);
    });
  });
}

}  // namespace SCATCUDA_ISA
}  // namespace scatcuda
