// x̂, the DFT of one real plane, and its adjoint. Along the first axis first, a vector of
// neighbouring columns as the real parts and the next as the imaginary parts; then along the
// others, a vector of rows at a time. Reference: torch.fft.fftn.
#pragma once

#include "../buffers.h"

namespace scatcuda {
inline namespace SCATCUDA_ISA {

// The transforms along the axes of a grid, by part
template <class T>
struct Lines {
  const LineTransform<T>&first, &middle, &last;
};

// Two real sequences a, b transformed as a + i b: their spectra from F_k and F_{−k}.
template <class V>
SCATCUDA_INLINE void part_reals(const Complex<V>& f, const Complex<V>& g, Complex<V>& a,
                                Complex<V>& b) {
  using S = Scalar<V>;
  constexpr S h = static_cast<S>(0.5);
  a = {(f.re + g.re) * h, (f.im - g.im) * h};
  b = {(f.im + g.im) * h, (g.re - f.re) * h};
}

// The middle axis of half [kept rows, 2, middle, width], in place: a vector of neighbours along the
// last axis at a time
template <int Sign, class T>
void half_spectrum_middle(const Grid& grid, int64_t width, const LineTransform<T>& line_transform,
                          T* half, const ThreadBuffers<T>& own) {
  constexpr int W = full_lanes<T>;
  const int64_t plane = grid.middle * width;
  for (int64_t row = 0; row < grid.first / 2 + 1; ++row) {
    T* re = half + 2 * row * plane;
    for (int64_t c = 0; c < width; c += W) {
      const Line<T> line{own.line};
      for (int64_t k = 0; k < grid.middle; ++k) {
        line.store(k, {load<W>(re + k * width + c), load<W>(re + plane + k * width + c)});
      }
      transform_line<Sign>(line_transform, line, line, own.work, own.spare);
      for (int64_t k = 0; k < grid.middle; ++k) {
        const auto z = line.load(k);
        store(re + k * width + c, z.re), store(re + plane + k * width + c, z.im);
      }
    }
  }
}

// padded [first, middle, width] -> spectrum, every column of it
template <class T>
void plane_spectrum(const Lines<T>& lines, const T* padded, int64_t width, T* half,
                    const Spectrum<T>& spectrum, const ThreadBuffers<T>& own) {
  constexpr int W = full_lanes<T>;
  using V = Vector<T, W>;
  const Line<T> line{own.line};
  const Grid& g = spectrum.grid;
  const int64_t row = g.middle * width, kept = g.first / 2 + 1;
  for (int64_t c = 0; c < row; c += 2 * W) {
    for (int64_t r = 0; r < g.first; ++r) {
      const T* p = padded + r * row + c;
      line.store(r, {load<W>(p), load<W>(p + W)});
    }
    transform_line<-1>(lines.first, line, line, own.work, own.spare);
    for (int64_t k = 0; k < kept; ++k) {
      Complex<V> a, b;
      part_reals(line.load(k), line.load(k > 0 ? g.first - k : 0), a, b);
      T* p = half + k * 2 * row + c;
      store(p, a.re), store(p + W, b.re);
      store(p + row, a.im), store(p + row + W, b.im);
    }
  }
  if (g.middle > 1) half_spectrum_middle<-1>(g, width, lines.middle, half, own);
  for (int64_t r = 0; r < kept; r += W) {
    for (int64_t k1 = 0; k1 < g.middle; ++k1) {
      for (int64_t c = 0; c < g.last; c += W) {
        for (int part = 0; part < 2; ++part) {
          V rows[W];
          SCATCUDA_UNROLL
          for (int i = 0; i < W; ++i)
            rows[i] = load<W>(half + (2 * min(r + i, kept - 1) + part) * row + k1 * width + c);
          transpose<W>(rows);
          SCATCUDA_UNROLL
          for (int i = 0; i < W; ++i) store(own.line + 2 * W * (c + i) + part * W, rows[i]);
        }
      }
      transform_line<-1>(lines.last, line, line, own.work, own.spare);
      for (int64_t k = 0; k < g.last; ++k) {
        const Complex<V> z = line.load(k);
        T* p = spectrum.at(k1, k) + r;
        store(p, z.re), store(p + spectrum.im, z.im);
      }
    }
  }
  // x is real: x̂(k) = conj x̂(−k); Spectrum wants no column beyond the middle
  for (int64_t k2 = 0; k2 <= g.last / 2; ++k2) {
    for (int64_t k1 = 0; k1 < g.middle; ++k1) {
      T* to = spectrum.at(k1, k2);
      const T* from = spectrum.at(k1 > 0 ? g.middle - k1 : 0, k2 > 0 ? g.last - k2 : 0);
      for (int64_t k0 = kept; k0 < g.first; ++k0) {
        to[k0] = from[g.first - k0];
        to[k0 + spectrum.im] = -from[g.first - k0 + spectrum.im];
      }
      to[g.first] = to[0];
      to[g.first + spectrum.im] = to[spectrum.im];
    }
  }
}

// Rows 0 … first/2 of the spectrum -> padded [first, middle, width]
template <class T>
void plane_spectrum_adjoint(const Lines<T>& lines, const Spectrum<T>& spectrum, T* half,
                            int64_t width, T* padded, const ThreadBuffers<T>& own) {
  constexpr int W = full_lanes<T>;
  using V = Vector<T, W>;
  const Line<T> line{own.line};
  const Grid& g = spectrum.grid;
  const int64_t row = g.middle * width, kept = g.first / 2 + 1;
  for (int64_t r = 0; r < kept; r += W) {
    for (int64_t k1 = 0; k1 < g.middle; ++k1) {
      for (int64_t k = 0; k < g.last; ++k) {
        const T* p = spectrum.at(k1, k) + r;
        line.store(k, {load<W>(p), load<W>(p + spectrum.im)});
      }
      transform_line<1>(lines.last, line, line, own.work, own.spare);
      for (int64_t c = g.last; c < width; ++c) line.store(c, Complex<V>{});
      for (int64_t c = 0; c < width; c += W) {
        for (int part = 0; part < 2; ++part) {
          V rows[W];
          SCATCUDA_UNROLL
          for (int i = 0; i < W; ++i) rows[i] = load<W>(own.line + 2 * W * (c + i) + part * W);
          transpose<W>(rows);
          SCATCUDA_UNROLL
          for (int i = 0; i < W; ++i)
            store(half + (2 * (r + i) + part) * row + k1 * width + c, rows[i]);
        }
      }
    }
  }
  if (g.middle > 1) half_spectrum_middle<1>(g, width, lines.middle, half, own);
  for (int64_t c = 0; c < row; c += 2 * W) {
    for (int64_t k = 0; k < kept; ++k) {
      const T* p = half + k * 2 * row + c;
      const Complex<V> a{load<W>(p), load<W>(p + row)};
      const Complex<V> b{load<W>(p + W), load<W>(p + row + W)};
      if (k > 0) line.store(g.first - k, {a.re + b.im, b.re - a.im});
      line.store(k, {a.re - b.im, a.im + b.re});
    }
    transform_line<1>(lines.first, line, line, own.work, own.spare);
    for (int64_t r = 0; r < g.first; ++r) {
      const Complex<V> z = line.load(r);
      T* p = padded + r * row + c;
      store(p, z.re), store(p + W, z.im);
    }
  }
}

// h = g, of which columns 0 … last/2 are there and which belongs to a real plane, in rows
// 0 … rows − 1 of columns 0 … columns − 1; without a middle axis. A part of row 0 is in row
// `first`.
template <class T>
void take_half(const Spectrum<T>& g, const Spectrum<T>& h, int64_t rows, int64_t columns) {
  const Grid& grid = g.grid;
  for (int64_t k2 = 0; k2 < columns; ++k2) {
    const bool mirrored = k2 > grid.last / 2;
    const T* a = g.at(0, mirrored ? grid.last - k2 : k2);
    T* to = h.at(0, k2);
    for (int64_t part = 0; part < 2; ++part, a += g.im, to += h.im) {
      if (!mirrored) {
        to[0] = a[0] + a[grid.first];
        for (int64_t k0 = 1; k0 < rows; ++k0) to[k0] = a[k0];
        continue;
      }
      const T sign = part == 0 ? T(1) : T(-1);
      to[0] = sign * (a[0] + a[grid.first]);
      for (int64_t k0 = 1; k0 < rows; ++k0) to[k0] = sign * a[grid.first - k0];
    }
  }
}

// Every column of a sum of gradients, or those that a spectrum keeps, become 0.
template <class T>
void clear(const Spectrum<T>& sum, bool kept = false) {
  for (int64_t c = 0; c < (kept ? sum.kept() : sum.grid.middle * sum.grid.last); ++c) {
    for (int64_t part = 0; part < 2; ++part) {
      T* to = sum.p + c * sum.column + part * sum.im;
      for (int64_t r = 0; r <= sum.grid.first; ++r) to[r] = 0;
    }
  }
}

// What a real plane feels of its spectrum's gradient: h = (g + conj g(−·)) / 2 in rows
// 0 … rows − 1 of columns (·, 0 … columns − 1)
template <class T>
void hermitian_part(const Spectrum<T>& g, const Spectrum<T>& h, int64_t rows, int64_t columns) {
  const Grid& grid = g.grid;
  for (int64_t k2 = 0; k2 < columns; ++k2) {
    for (int64_t k1 = 0; k1 < grid.middle; ++k1) {
      const T* a = g.at(k1, k2);
      const T* b = g.at(k1 > 0 ? grid.middle - k1 : 0, k2 > 0 ? grid.last - k2 : 0);
      T* to = h.at(k1, k2);
      for (int64_t part = 0; part < 2; ++part, a += g.im, b += g.im, to += h.im) {
        const T sign = part == 0 ? T(0.5) : T(-0.5);
        to[0] = T(0.5) * a[0] + sign * b[0];
        for (int64_t k0 = 1; k0 < rows; ++k0) {
          to[k0] = T(0.5) * a[k0] + sign * b[grid.first - k0];
        }
      }
    }
  }
}

}  // namespace SCATCUDA_ISA
}  // namespace scatcuda
