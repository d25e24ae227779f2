// One wavelet transform and modulus, U = |IDFT fold_k( spectrum · ψ̂ )|, for all angles at once:
//
//   wavelet_columns   down each output column: multiply by ψ̂ where it is not zero, add the k²
//                     aliases, inverse DFT
//   wavelet_rows      along each output row: inverse DFT, modulus, low-pass and, where another
//                     order follows, forward DFT
//   spectrum_columns  forward DFT down the columns of Û
//
// The twins are reference.filter_fold and reference.modulus. Work is cut into groups of as many
// columns or rows as fit side by side in a vector; any range of groups may run on any thread.
#pragma once

#include "lowpass.h"
#include "spectrum.h"

namespace scatcuda {
inline namespace SCATCUDA_ISA {

// The spectrum of a real image, columns k2 = 0 … columns/2 of it: in each the real parts of all
// rows and, `im` numbers on, the imaginary parts. The other columns are mirrored conjugates; row
// `rows` repeats row 0, so that a mirrored walk up the rows may begin there.
template <class T>
struct Spectrum {
  T* p;
  int64_t im, column;  // numbers to the imaginary part, and to the next column
  int64_t rows, columns;
};

// One wavelet table (see Bank) from its chunk of angles on.
template <class T>
struct Wavelets {
  const T* psi;
  int64_t lanes, head, tail, left, right;
};

// The aliases of a segment of one output column, `most` of them at a time: first those of the
// stored half of the spectrum, then the mirrored ones, whose walk goes up the rows of the
// conjugate.
template <class T>
struct Terms {
  static constexpr int most = 4;
  int plain = 0, mirrored = 0;
  const T *psi[most + 1], *spectrum[most + 1];
};

// slot[i] = (or += unless `begin`) Σ_terms spectrum · ψ̂ over `rows` rows, Q lanes; the imaginary
// parts lie `part` numbers after the real ones
template <int Plain, int Mirrored, int Q, class T>
SCATCUDA_KERNEL void add_terms(const Terms<T>& terms, int64_t part, int64_t lanes, int64_t rows,
                               bool begin, T* slot) {
  constexpr int W = full_lanes<T>;
  using H = Vector<T, Q>;
  for (int64_t i = 0; i < rows; ++i) {
    H re{}, im{};
    if (!begin) re = load<Q>(slot), im = load<Q>(slot + W);
    unroll<Plain>([&](auto n) SCATCUDA_LAMBDA {
      const H w = load<Q>(terms.psi[n] + i * lanes);
      re += terms.spectrum[n][i] * w;
      im += terms.spectrum[n][i + part] * w;
    });
    unroll<Mirrored>([&](auto n) SCATCUDA_LAMBDA {
      const H w = load<Q>(terms.psi[Plain + n] + i * lanes);
      re += terms.spectrum[Plain + n][-i] * w;
      im -= terms.spectrum[Plain + n][part - i] * w;
    });
    store(slot, re), store(slot + W, im);
    slot += 2 * W;
  }
}

template <int Q, class T>
void add_terms(Terms<T>& terms, int64_t part, int64_t lanes, int64_t rows, bool begin, T* slot) {
  constexpr int some = Terms<T>::most + 1;
  const int kind = terms.plain * some + terms.mirrored;
  unroll<some * some>([&](auto kind_) SCATCUDA_LAMBDA {
    constexpr int plain = kind_ / some, mirrored = kind_ % some;
    if constexpr (plain + mirrored < some) {
      if (kind == kind_) add_terms<plain, mirrored, Q>(terms, part, lanes, rows, begin, slot);
    }
  });
  terms.plain = terms.mirrored = 0;
}

// Sizes after folding by k, and the rows where the box of the wavelets begins and ends: between
// them every row has the same aliases.
struct Fold {
  int64_t rows, columns, edges[2];
};

// slot[i] = Σ over the aliases (k1, k2) of (i, c): spectrum · ψ̂, Q lanes
template <int Q, class T>
void fold_column(const Spectrum<T>& spectrum, const Wavelets<T>& box, const Fold& fold, int64_t c,
                 T* slot) {
  constexpr int W = full_lanes<T>;
  const int64_t rows = fold.rows, columns = fold.columns;
  const int64_t gap = box.tail - box.head, height = spectrum.rows - gap;
  for (int64_t first = 0, last; first < rows; first = last) {
    last = rows;
    for (int64_t edge : fold.edges) {
      if (edge > first) last = min(last, edge);
    }
    T* to = slot + 2 * W * first;
    bool begin = true;
    Terms<T> terms;
    const auto add = [&] {
      add_terms<Q>(terms, spectrum.im, box.lanes, last - first, begin, to);
      begin = false;
    };
    for (int64_t k2 = c; k2 < spectrum.columns; k2 += columns) {
      if (k2 >= box.left && k2 < box.right) continue;
      const int64_t entry = (k2 < box.left ? k2 : k2 - box.right + box.left) * height;
      const bool mirrored = k2 > spectrum.columns / 2;
      const T* column = spectrum.p + (mirrored ? spectrum.columns - k2 : k2) * spectrum.column;
      for (int64_t k1 = first; k1 < spectrum.rows; k1 += rows) {
        if (k1 >= box.head && k1 < box.tail) continue;
        const int n = terms.plain + terms.mirrored;
        terms.psi[n] = box.psi + (entry + (k1 < box.head ? k1 : k1 - gap)) * box.lanes;
        terms.spectrum[n] = column + (mirrored ? spectrum.rows - k1 : k1);
        ++(mirrored ? terms.mirrored : terms.plain);
        if (n + 1 == Terms<T>::most) add();
      }
    }
    if (terms.plain + terms.mirrored > 0 || begin) add();
  }
}

template <class T, int Slots>
void wavelet_columns(const Spectrum<T>& spectrum, const Wavelets<T>& wavelets, int64_t k,
                     const LineTransform<T>& down, const Plane<T>& out, int64_t first, int64_t last,
                     const ThreadBuffers<T, Slots>& own) {
  constexpr int Q = full_lanes<T> / Slots;
  const int64_t rows = spectrum.rows / k, columns = spectrum.columns / k;
  const Fold fold{rows, columns, {wavelets.head % rows, wavelets.tail % rows}};
  for (int64_t group = first; group < last; ++group) {
    TiledColumns<T, Slots> target;
    target.stride = out.stride;
    for (int i = 0; i < Slots; ++i) {
      const int64_t c = min(group * Slots + i, columns - 1);
      fold_column<Q>(spectrum, wavelets, fold, c, own.line + i * Q);
      target.p[i] = out.p + c * tile_rows * 2 * Q;
    }
    transform_line<1>(down, Line<T>{own.line}, target, own.work, own.spare);
  }
}

// `reduced` takes the low-pass along the rows, `u_hat` columns 0 … columns/2 of the rows' DFT; null
// where they are not wanted.
template <class T, int Slots>
void wavelet_rows(const Plane<T>& wavelet, int64_t rows, const LineTransform<T>& across,
                  const RowLowpass<T>& lowpass, const Plane<T>& reduced, const Plane<T>& u_hat,
                  int64_t first, int64_t last, const ThreadBuffers<T, Slots>& own) {
  constexpr int W = full_lanes<T>, Q = W / Slots;
  using V = Vector<T, W>;
  const Line<T> line{own.line};
  for (int64_t group = first; group < last; ++group) {
    SlotLines<T, Slots> spectra[2];
    T* target[2][Slots];
    const int halves = 2 * group * Slots + Slots < rows ? 2 : 1;
    for (int half = 0; half < 2; ++half) {
      SlotLines<T, Slots> source;
      source.stride = tile_rows * 2 * Q;
      spectra[half].stride = u_hat.stride;
      for (int i = 0; i < Slots; ++i) {
        const int64_t r = min((2 * group + half) * Slots + i, rows - 1);
        source.p[i] = wavelet.p + r / tile_rows * wavelet.stride + r % tile_rows * 2 * Q;
        target[half][i] = reduced.p == nullptr ? nullptr : reduced.p + r * reduced.stride;
        if (u_hat.p != nullptr) spectra[half].p[i] = u_hat.p + r * 2 * Q;
      }
      // a half beyond the last row repeats it, and only where its spectrum shares the transform
      if (half < halves || u_hat.p != nullptr) {
        transform_line<1>(across, source, ModulusLine<T>{own.line + half * W}, own.work, own.spare);
      }
    }
    if (reduced.p != nullptr) {
      const auto along = halves == 2 ? lowpass_rows<2, T, Slots> : lowpass_rows<1, T, Slots>;
      along(lowpass, own.line, target);
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

// DFT down columns 0 … columns/2 of the rows' DFT, then each angle's spectrum apart: `out[lane]`
// begins `angle` numbers after its predecessor, its columns as Spectrum has them.
template <class T, int Slots>
void spectrum_columns(const Plane<T>& u_hat, int64_t columns, const LineTransform<T>& down,
                      const Spectrum<T>& out, int64_t angle, T* first_out, int64_t first,
                      int64_t last, const ThreadBuffers<T, Slots>& own) {
  constexpr int W = full_lanes<T>, Q = W / Slots;
  using V = Vector<T, W>;
  const Line<T> line{own.line};
  for (int64_t group = first; group < last; ++group) {
    SlotLines<T, Slots> source;
    source.stride = 2 * Q;
    T* target[W];
    for (int i = 0; i < W; ++i) {
      const int64_t c = min(group * Slots + i / Q, columns - 1);
      if (i % Q == 0) source.p[i / Q] = u_hat.p + c * u_hat.stride;
      target[i] = first_out + i % Q * angle + c * out.column;
    }
    transform_line<-1>(down, source, line, own.work, own.spare);
    line.store(down.n, line.load(0));
    for (int64_t k = 0; k <= down.n; k += W) {
      for (int part = 0; part < 2; ++part) {
        V rows[W];
        unroll<W>([&](auto i) SCATCUDA_LAMBDA {
          rows[i] = load<W>(own.line + 2 * W * (k + i) + part * W);
        });
        transpose<W>(rows);
        unroll<W>([&](auto i) SCATCUDA_LAMBDA { store(target[i] + part * out.im + k, rows[i]); });
      }
    }
  }
}

}  // namespace SCATCUDA_ISA
}  // namespace scatcuda
