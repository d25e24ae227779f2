// x̂: reflection at the edges, then the DFT of one real image. Vertical lines first, a vector of
// neighbouring columns as the real parts and the next as the imaginary parts; then horizontal
// lines, a vector of rows at a time. Reference: reference.pad, torch.fft.fft2.
#pragma once

#include "buffers.h"

namespace scatcuda {
inline namespace SCATCUDA_ISA {

// Index −a is a and N − 1 + a is N − 1 − a; a margin is never larger than the image, so that one
// reflection at each edge is enough.
inline int64_t reflect(int64_t i, int64_t N) {
  if (i < 0) i = -i;
  if (i < N) return i;
  i = 2 * (N - 1) - i;
  return i < 0 ? -i : i;
}

// padded [Mp, width]; the surplus is split floor before, ceil after
template <class T>
void pad(const Schedule& s, const T* x, int64_t width, T* padded) {
  const int64_t top = (s.Mp - s.M) / 2, left = (s.Np - s.N) / 2;
  for (int64_t r = 0; r < s.Mp; ++r) {
    const T* from = x + reflect(r - top, s.M) * s.N;
    T* to = padded + r * width;
    for (int64_t c = 0; c < left; ++c) to[c] = from[reflect(c - left, s.N)];
    std::memcpy(to + left, from, static_cast<size_t>(s.N) * sizeof(T));
    for (int64_t c = left + s.N; c < s.Np; ++c) to[c] = from[reflect(c - left, s.N)];
    for (int64_t c = s.Np; c < width; ++c) to[c] = 0;
  }
}

// Two real sequences a, b transformed as a + i b: their spectra from F_k and F_{−k}.
template <class V>
SCATCUDA_INLINE void part_reals(const Complex<V>& f, const Complex<V>& g, Complex<V>& a,
                                Complex<V>& b) {
  using S = Scalar<V>;
  constexpr S h = static_cast<S>(0.5);
  a = {(f.re + g.re) * h, (f.im - g.im) * h};
  b = {(f.im + g.im) * h, (g.re - f.re) * h};
}

// padded -> spectrum [Np, 2, spec_rows]: column k2, real then imaginary parts of all rows k1
template <class T, int Slots>
void image_spectrum(const Schedule& s, const LineTransform<T>& down, const LineTransform<T>& across,
                    const ImageBuffers<T, Slots>& image, const ThreadBuffers<T, Slots>& own) {
  constexpr int W = full_lanes<T>;
  using V = Vector<T, W>;
  const Line<T> line{own.line};
  const int64_t width = image.width, kept = s.Mp / 2 + 1;
  for (int64_t c = 0; c < width; c += 2 * W) {
    for (int64_t r = 0; r < s.Mp; ++r) {
      const T* p = image.padded + r * width + c;
      line.store(r, {load<W>(p), load<W>(p + W)});
    }
    transform_line<-1>(down, line, line, own.work, own.spare);
    for (int64_t k = 0; k < kept; ++k) {
      Complex<V> a, b;
      part_reals(line.load(k), line.load(k > 0 ? s.Mp - k : 0), a, b);
      T* p = image.half + k * 2 * width + c;
      store(p, a.re), store(p + W, b.re);
      store(p + width, a.im), store(p + width + W, b.im);
    }
  }
  for (int64_t r = 0; r < kept; r += W) {
    for (int64_t c = 0; c < s.Np; c += W) {
      for (int part = 0; part < 2; ++part) {
        V rows[W];
        unroll<W>([&](auto i) SCATCUDA_LAMBDA {
          rows[i] = load<W>(image.half + (2 * min(r + i, kept - 1) + part) * width + c);
        });
        transpose<W>(rows);
        unroll<W>([&](auto i)
                      SCATCUDA_LAMBDA { store(own.line + 2 * W * (c + i) + part * W, rows[i]); });
      }
    }
    transform_line<-1>(across, line, line, own.work, own.spare);
    for (int64_t k = 0; k < s.Np; ++k) {
      const Complex<V> z = line.load(k);
      T* p = image.spectrum + k * 2 * image.spec_rows + r;
      store(p, z.re), store(p + image.spec_rows, z.im);
    }
  }
  // x is real: x̂(k1, k2) = conj x̂(−k1, −k2); Spectrum wants no column beyond the middle
  for (int64_t k2 = 0; k2 <= s.Np / 2; ++k2) {
    T* to = image.spectrum + k2 * 2 * image.spec_rows;
    const T* from = image.spectrum + (k2 > 0 ? s.Np - k2 : 0) * 2 * image.spec_rows;
    for (int64_t k1 = kept; k1 < s.Mp; ++k1) {
      to[k1] = from[s.Mp - k1];
      to[k1 + image.spec_rows] = -from[s.Mp - k1 + image.spec_rows];
    }
    to[s.Mp] = to[0];
    to[s.Mp + image.spec_rows] = to[image.spec_rows];
  }
}

}  // namespace SCATCUDA_ISA
}  // namespace scatcuda
