// Fourier transforms of planes on the host, in cuFFT's place: any length, in double precision.
//
// X_k = Σ_n x_n e^{σ 2πi nk/N}, unscaled, forward σ = −1, inverse σ = +1: from real numbers to half
// a spectrum and back, or complex and in place. Written for its shortness: a line of N points costs
// N times the sum of its prime factors.
#pragma once

#include <cmath>
#include <complex>
#include <cstdint>
#include <vector>

namespace scatcuda::emulation {

class LineFft {
 public:
  using Point = std::complex<double>;

  LineFft(int64_t n, int sign) : n_(n) {
    for (int64_t k = 0; k < n; ++k) {
      roots_.push_back(std::polar(1.0, sign * 2 * M_PI * static_cast<double>(k) / n));
    }
    for (int64_t p = 2; n > 1; ++p) {
      for (; n % p == 0; n /= p) primes_.push_back(p);
    }
  }
  void operator()(const Point* in, Point* out) const { pass(n_, 1, 0, in, out); }

 private:
  // The transform of n points `step` apart: of each p-th point, p times, then across (Cooley and
  // Tukey)
  void pass(int64_t n, int64_t step, size_t prime, const Point* in, Point* out) const {
    if (n == 1) {
      *out = *in;
      return;
    }
    const int64_t p = primes_[prime], m = n / p;
    for (int64_t r = 0; r < p; ++r) pass(m, step * p, prime + 1, in + r * step, out + r * m);
    std::vector<Point> column(static_cast<size_t>(p));
    for (int64_t k = 0; k < m; ++k) {
      for (int64_t r = 0; r < p; ++r) column[r] = out[r * m + k];
      for (int64_t q = 0; q < p; ++q) {
        Point sum = 0;
        for (int64_t r = 0; r < p; ++r) sum += column[r] * roots_[r * (q * m + k) % n * step];
        out[q * m + k] = sum;
      }
    }
  }

  int64_t n_;
  std::vector<Point> roots_;  // e^{σ 2πi k/N}
  std::vector<int64_t> primes_;
};

// Along an axis of [before, side, after], in place
inline void transform_axis(int sign, int64_t before, int64_t side, int64_t after,
                           LineFft::Point* data) {
  if (side == 1) return;
  const LineFft fft(side, sign);
  std::vector<LineFft::Point> in(static_cast<size_t>(side)), out = in;
  for (int64_t i = 0; i < before * after; ++i) {
    LineFft::Point* line = data + i / after * side * after + i % after;
    for (int64_t k = 0; k < side; ++k) in[k] = line[k * after];
    fft(in.data(), out.data());
    for (int64_t k = 0; k < side; ++k) line[k * after] = out[k];
  }
}

struct Sides {
  int64_t outer, middle, inner;
};

// in [batch, outer, middle, inner] real -> out [batch, outer, middle, inner/2 + 1] complex
template <class T>
void fft_forward(int64_t batch, const Sides& s, const T* in, std::complex<T>* out) {
  const int64_t lines = s.outer * s.middle, kept = s.inner / 2 + 1;
  std::vector<LineFft::Point> plane(static_cast<size_t>(lines * s.inner));
  for (int64_t b = 0; b < batch; ++b, in += lines * s.inner, out += lines * kept) {
    for (int64_t i = 0; i < lines * s.inner; ++i) plane[i] = in[i];
    transform_axis(-1, lines, s.inner, 1, plane.data());
    for (int64_t i = 0; i < lines * kept; ++i) plane[i] = plane[i / kept * s.inner + i % kept];
    transform_axis(-1, s.outer, s.middle, kept, plane.data());
    transform_axis(-1, 1, s.outer, s.middle * kept, plane.data());
    for (int64_t i = 0; i < lines * kept; ++i) out[i] = static_cast<std::complex<T>>(plane[i]);
  }
}

// data [batch, outer, middle, inner] complex
template <class T>
void fft_complex(int sign, int64_t batch, const Sides& s, std::complex<T>* data) {
  const int64_t points = s.outer * s.middle * s.inner;
  std::vector<LineFft::Point> plane(static_cast<size_t>(points));
  for (int64_t b = 0; b < batch; ++b, data += points) {
    for (int64_t i = 0; i < points; ++i) plane[i] = data[i];
    transform_axis(sign, s.outer * s.middle, s.inner, 1, plane.data());
    transform_axis(sign, s.outer, s.middle, s.inner, plane.data());
    transform_axis(sign, 1, s.outer, s.middle * s.inner, plane.data());
    for (int64_t i = 0; i < points; ++i) data[i] = static_cast<std::complex<T>>(plane[i]);
  }
}

// in [batch, outer, middle, inner/2 + 1] complex, which is lost -> out [batch, outer, middle,
// inner] real. What of a spectrum cannot be a real plane's is left out, as cuFFT does: lines go
// last.
template <class T>
void fft_real_inverse(int64_t batch, const Sides& s, std::complex<T>* in, T* out) {
  const int64_t lines = s.outer * s.middle, kept = s.inner / 2 + 1;
  const LineFft fft(s.inner, 1);
  std::vector<LineFft::Point> plane(static_cast<size_t>(lines * kept));
  std::vector<LineFft::Point> line(static_cast<size_t>(s.inner)), sums = line;
  for (int64_t b = 0; b < batch; ++b, in += lines * kept, out += lines * s.inner) {
    for (int64_t i = 0; i < lines * kept; ++i) plane[i] = in[i];
    transform_axis(1, s.outer, s.middle, kept, plane.data());
    transform_axis(1, 1, s.outer, s.middle * kept, plane.data());
    for (int64_t r = 0; r < lines; ++r) {
      const LineFft::Point* half = plane.data() + r * kept;
      for (int64_t c = 0; c < s.inner; ++c) {
        line[c] = c < kept ? half[c] : std::conj(half[s.inner - c]);
      }
      fft(line.data(), sums.data());
      for (int64_t c = 0; c < s.inner; ++c) out[r * s.inner + c] = static_cast<T>(sums[c].real());
    }
    for (int64_t i = 0; i < lines * kept; ++i) in[i] = std::complex<T>(NAN, NAN);
  }
}

// What the engine (cuda::Transform) or the interface (scatcuda_transform) asks an FFT for; both
// number the four kinds alike.
template <class T, class Asked>
void transform(const Asked& t, const void* in, void* out) {
  auto* spectrum = static_cast<std::complex<T>*>(out);
  const Sides sides{t.outer, t.middle, t.inner};
  switch (static_cast<int>(t.direction)) {
    case 0:
      return fft_forward(t.batch, sides, static_cast<const T*>(in), spectrum);
    case 1:
      return fft_real_inverse(t.batch, sides, static_cast<std::complex<T>*>(const_cast<void*>(in)),
                              static_cast<T*>(out));
    case 2:
      return fft_complex(-1, t.batch, sides, spectrum);
    default:
      return fft_complex(1, t.batch, sides, spectrum);
  }
}

}  // namespace scatcuda::emulation
