// One wavelet transform and modulus, U = |IDFT fold_k( spectrum · ψ̂ )|, for all angles at once:
//
//   wavelet_columns   each output column: multiply by ψ̂ where it is not zero, add the k² aliases,
//                     inverse DFT down the column
//   wavelet_rows      each output row: inverse DFT, modulus, low-pass along the row and, for the next
//                     order, forward DFT of the row
//   spectrum_columns  forward DFT down the columns of Û
//
// The twins are reference.filter_fold and reference.modulus. Work is cut into groups of as many
// columns or rows as fit side by side in a vector; any range of groups may run on any thread.
#pragma once

#include "lowpass.h"
#include "spectrum.h"

namespace scatcuda {
inline namespace SCATCUDA_ISA {

// The half k2 ≤ columns/2 of the spectrum of a real image; the rest is its mirrored conjugate.
template <class T>
struct Spectrum {
  const T *re, *im;
  int64_t row, column;  // numbers from an element to the next down, and to the next across
  int64_t rows, columns;
};

// One wavelet table (see Bank) from its chunk of angles on.
template <class T>
struct Wavelets {
  const T* psi;
  const int64_t* support;
  int64_t lanes;
};

// line[i] = Σ over the aliases (k1, k2) of (i, c): spectrum · ψ̂, in one slot of Q lanes
template <int Q, class T>
void fold_column(const Spectrum<T>& spectrum, const Wavelets<T>& wavelets, int64_t k, int64_t c,
                 T* slot) {
  constexpr int W = full_lanes<T>;
  using H = Vector<T, Q>;
  const int64_t rows = spectrum.rows / k, columns = spectrum.columns / k;
  for (int64_t i = 0; i < rows; ++i) {
    store(slot + 2 * W * i, H{});
    store(slot + 2 * W * i + W, H{});
  }
  for (int64_t k2 = c; k2 < spectrum.columns; k2 += columns) {
    const int64_t* support = wavelets.support + 3 * k2;
    const int64_t head = support[1], tail = support[2];
    const T* psi = wavelets.psi + support[0] * wavelets.lanes;
    const bool mirrored = k2 > spectrum.columns / 2;
    const T sign = mirrored ? T(-1) : T(1);
    const int64_t column = (mirrored ? spectrum.columns - k2 : k2) * spectrum.column;
    for (int64_t k1 = 0; k1 < spectrum.rows;) {
      if (k1 >= head && k1 < tail) {
        k1 = tail;
        continue;
      }
      // a run of rows without a gap, within one alias; row 0 is its own mirror image
      int64_t end = min((k1 / rows + 1) * rows, k1 < head ? head : spectrum.rows);
      int64_t from = k1, step = spectrum.row;
      if (mirrored) {
        if (k1 == 0) {
          end = 1;
        } else {
          from = spectrum.rows - k1;
        }
        step = -step;
      }
      const T* re = spectrum.re + column + from * spectrum.row;
      const T* im = spectrum.im + column + from * spectrum.row;
      T* to = slot + 2 * W * (k1 % rows);
      for (; k1 < end; ++k1) {
        const H w = load<Q>(psi);
        store(to, load<Q>(to) + *re * w);
        store(to + W, load<Q>(to + W) + sign * *im * w);
        psi += wavelets.lanes, re += step, im += step, to += 2 * W;
      }
    }
  }
}

template <class T, int Slots>
void wavelet_columns(const Spectrum<T>& spectrum, const Wavelets<T>& wavelets, int64_t k,
                     const LineTransform<T>& down, const Plane<T>& out, int64_t first, int64_t last,
                     const ThreadBuffers<T, Slots>& own) {
  constexpr int Q = full_lanes<T> / Slots;
  const int64_t columns = spectrum.columns / k;
  for (int64_t group = first; group < last; ++group) {
    SlotLines<T, Slots> target;
    target.stride = out.stride;
    for (int i = 0; i < Slots; ++i) {
      const int64_t c = min(group * Slots + i, columns - 1);
      fold_column<Q>(spectrum, wavelets, k, c, own.line + i * Q);
      target.p[i] = out.p + c * 2 * Q;
    }
    transform_line<1>(down, Line<T>{own.line}, target, own.work, own.spare);
  }
}

// `u_hat` (null where no further order follows) takes columns 0 … columns/2 of the rows' DFT.
template <class T, int Slots>
void wavelet_rows(const Plane<T>& wavelet, int64_t rows, const LineTransform<T>& across,
                  const RowLowpass<T>& lowpass, const Plane<T>& reduced, const Plane<T>& u_hat,
                  int64_t first, int64_t last, const ThreadBuffers<T, Slots>& own) {
  constexpr int W = full_lanes<T>, Q = W / Slots;
  using V = Vector<T, W>;
  const Line<T> line{own.line};
  for (int64_t group = first; group < last; ++group) {
    SlotLines<T, Slots> spectra[2];
    for (int half = 0; half < 2; ++half) {
      SlotLines<T, Slots> source;
      T* target[Slots];
      source.stride = 2 * Q;
      for (int i = 0; i < Slots; ++i) {
        const int64_t r = min((2 * group + half) * Slots + i, rows - 1);
        source.p[i] = wavelet.p + r * wavelet.stride;
        target[i] = reduced.p + r * reduced.stride;
        spectra[half].p[i] = u_hat.p + r * 2 * Q;
        spectra[half].stride = u_hat.stride;
      }
      if (u_hat.p == nullptr && (2 * group + half) * Slots >= rows) break;
      T* u = own.line + half * W;
      transform_line<1>(across, source, ModulusLine<T>{u}, own.work, own.spare);
      lowpass_row<T, Slots>(lowpass, u, target);
    }
    if (u_hat.p == nullptr) continue;
    transform_line<-1>(across, line, line, own.work, own.spare);
    for (int64_t k = 0; k <= across.n / 2; ++k) {
      Complex<V> a, b;
      part_reals(line.load(k), line.load(k > 0 ? across.n - k : 0), a, b);
      spectra[0].store(k, a);
      spectra[1].store(k, b);
    }
  }
}

template <class T, int Slots>
void spectrum_columns(const Plane<T>& u_hat, int64_t columns, const LineTransform<T>& down,
                      int64_t first, int64_t last, const ThreadBuffers<T, Slots>& own) {
  constexpr int Q = full_lanes<T> / Slots;
  for (int64_t group = first; group < last; ++group) {
    SlotLines<T, Slots> line;
    line.stride = 2 * Q;
    for (int i = 0; i < Slots; ++i) {
      line.p[i] = u_hat.p + min(group * Slots + i, columns - 1) * u_hat.stride;
    }
    transform_line<-1>(down, line, line, own.work, own.spare);
  }
}

}  // namespace SCATCUDA_ISA
}  // namespace scatcuda
