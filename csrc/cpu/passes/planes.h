// Between the axes: the middle axis of signals of rank 3, and the spectra Û of the planes that
// another wavelet follows, the filters parted; with the adjoints.
#pragma once

#include "rows.h"

namespace scatcuda {
inline namespace SCATCUDA_ISA {

// DFT of W along the middle axis, in place, for first-axis rows [first, last); where W is 0 it
// stays
template <int Sign, class T, int Slots>
void wavelet_middle(const Grid& grid, const Fold& fold, const Plane<T>& wavelet,
                    const LineTransform<T>& along, int64_t first, int64_t last,
                    const ThreadBuffers<T>& own) {
  constexpr int Q = full_lanes<T> / Slots;
  for (int64_t r = first; r < last; ++r) {
    T* row = wavelet.p + r / tile_rows * wavelet.stride + r % tile_rows * 2 * Q;
    for (int64_t c = 0; c < grid.last; c += Slots) {
      SlotLines<T, Slots> line;
      line.stride = middle_of_tiles<T>(grid, Q);
      bool met = false;
      for (int i = 0; i < Slots; ++i) {
        const int64_t column = min(c + i, grid.last - 1);
        line.p[i] = row + column * tile_rows * 2 * Q;
        met = met || fold.meets(column);
      }
      if (!met) continue;
      transform_line<Sign>(along, line, line, own.work, own.spare);
    }
  }
}

// The same of the last axis' DFT of U, for its columns [first, last)
template <int Sign, class T, int Slots>
void spectrum_middle(const Grid& grid, const Plane<T>& u_hat, const LineTransform<T>& along,
                     int64_t first, int64_t last, const ThreadBuffers<T>& own) {
  constexpr int Q = full_lanes<T> / Slots;
  for (int64_t k = first; k < last; ++k) {
    for (int64_t r = 0; r < grid.first; r += Slots) {
      SlotLines<T, Slots> line;
      line.stride = middle_across<T>(grid, Q);
      for (int i = 0; i < Slots; ++i) {
        line.p[i] = u_hat.p + k * u_hat.stride + min(r + i, grid.first - 1) * 2 * Q;
      }
      transform_line<Sign>(along, line, line, own.work, own.spare);
    }
  }
}

// Column c = k2 · middle + k1 of the other axes' DFT
template <class T>
T* column_of(const Plane<T>& u_hat, const Grid& grid, int64_t c, int64_t Q) {
  const int64_t k2 = c / grid.middle, k1 = c % grid.middle;
  return u_hat.p + k2 * u_hat.stride + k1 * middle_across<T>(grid, Q);
}

// DFT along the first axis of columns k2 · middle + k1 of the others' DFT, then each filter's
// spectrum apart: that of lane i begins `apart` numbers after its predecessor's.
template <class T, int Slots>
void spectrum_columns(const Plane<T>& u_hat, const LineTransform<T>& down, const Spectrum<T>& out,
                      int64_t apart, int64_t first, int64_t last, const ThreadBuffers<T>& own) {
  constexpr int W = full_lanes<T>, Q = W / Slots;
  using V = Vector<T, W>;
  const Line<T> line{own.line};
  const Grid& grid = out.grid;
  for (int64_t group = first; group < last; ++group) {
    SlotLines<T, Slots> source;
    source.stride = 2 * Q;
    T* target[W];
    for (int i = 0; i < W; ++i) {
      const int64_t c = min(group * Slots + i / Q, out.kept() - 1);
      if (i % Q == 0) source.p[i / Q] = column_of(u_hat, grid, c, Q);
      target[i] = out.p + i % Q * apart + c * out.column;
    }
    {
      SCATCUDA_STAGE(spectra_columns);
      transform_line<-1>(down, source, line, own.work, own.spare);
    }
    SCATCUDA_STAGE(spectra);
    line.store(down.n, line.load(0));
    for (int64_t k = 0; k <= down.n; k += W) {
      for (int part = 0; part < 2; ++part) {
        V rows[W];
        SCATCUDA_UNROLL
        for (int i = 0; i < W; ++i) rows[i] = load<W>(own.line + 2 * W * (k + i) + part * W);
        transpose<W>(rows);
        SCATCUDA_UNROLL
        for (int i = 0; i < W; ++i) store(target[i] + part * out.im + k, rows[i]);
      }
    }
  }
}

// The filters' spectra side by side, inverse DFT along the first axis
template <class T, int Slots>
void spectrum_columns_adjoint(const Spectrum<T>& spectra, int64_t apart,
                              const LineTransform<T>& down, const Plane<T>& u_hat, int64_t first,
                              int64_t last, const ThreadBuffers<T>& own) {
  constexpr int W = full_lanes<T>, Q = W / Slots;
  using V = Vector<T, W>;
  const Grid& grid = spectra.grid;
  for (int64_t group = first; group < last; ++group) {
    SlotLines<T, Slots> target;
    target.stride = 2 * Q;
    const T* source[W];
    for (int i = 0; i < W; ++i) {
      const int64_t c = min(group * Slots + i / Q, spectra.kept() - 1);
      if (i % Q == 0) target.p[i / Q] = column_of(u_hat, grid, c, Q);
      source[i] = spectra.p + i % Q * apart + c * spectra.column;
    }
    SCATCUDA_STAGE(spectra_columns_inverse);
    for (int64_t k = 0; k < down.n; k += W) {
      for (int part = 0; part < 2; ++part) {
        V rows[W];
        SCATCUDA_UNROLL
        for (int i = 0; i < W; ++i) rows[i] = load<W>(source[i] + part * spectra.im + k);
        transpose<W>(rows);
        SCATCUDA_UNROLL
        for (int i = 0; i < W; ++i) store(own.line + 2 * W * (k + i) + part * W, rows[i]);
      }
    }
    transform_line<1>(down, Line<T>{own.line}, target, own.work, own.spare);
  }
}

}  // namespace SCATCUDA_ISA
}  // namespace scatcuda
