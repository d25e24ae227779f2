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

// Columns of a plane [outer, columns], in place
inline void transform_columns(const LineFft& fft, int64_t outer, int64_t columns,
                              LineFft::Point* plane) {
  std::vector<LineFft::Point> in(static_cast<size_t>(outer)), out = in;
  for (int64_t c = 0; c < columns; ++c) {
    for (int64_t r = 0; r < outer; ++r) in[r] = plane[r * columns + c];
    fft(in.data(), out.data());
    for (int64_t r = 0; r < outer; ++r) plane[r * columns + c] = out[r];
  }
}

// in [batch, outer, inner] real -> out [batch, outer, inner/2 + 1] complex
template <class T>
void fft_forward(int64_t batch, int64_t outer, int64_t inner, const T* in, std::complex<T>* out) {
  const int64_t kept = inner / 2 + 1;
  const LineFft rows(inner, -1), columns(outer, -1);
  std::vector<LineFft::Point> line(static_cast<size_t>(inner)), spectrum = line;
  std::vector<LineFft::Point> plane(static_cast<size_t>(outer * kept));
  for (int64_t b = 0; b < batch; ++b) {
    for (int64_t r = 0; r < outer; ++r) {
      const T* source = in + (b * outer + r) * inner;
      for (int64_t c = 0; c < inner; ++c) line[c] = source[c];
      rows(line.data(), spectrum.data());
      for (int64_t c = 0; c < kept; ++c) plane[r * kept + c] = spectrum[c];
    }
    transform_columns(columns, outer, kept, plane.data());
    for (int64_t i = 0; i < outer * kept; ++i) {
      out[b * outer * kept + i] = static_cast<std::complex<T>>(plane[i]);
    }
  }
}

// data [batch, outer, inner] complex
template <class T>
void fft_complex(int sign, int64_t batch, int64_t outer, int64_t inner, std::complex<T>* data) {
  const LineFft rows(inner, sign), columns(outer, sign);
  std::vector<LineFft::Point> line(static_cast<size_t>(inner));
  std::vector<LineFft::Point> plane(static_cast<size_t>(outer * inner));
  for (int64_t b = 0; b < batch; ++b) {
    std::complex<T>* z = data + b * outer * inner;
    for (int64_t r = 0; r < outer; ++r) {
      for (int64_t c = 0; c < inner; ++c) line[c] = z[r * inner + c];
      rows(line.data(), plane.data() + r * inner);
    }
    transform_columns(columns, outer, inner, plane.data());
    for (int64_t i = 0; i < outer * inner; ++i) z[i] = static_cast<std::complex<T>>(plane[i]);
  }
}

// in [batch, outer, inner/2 + 1] complex, which is lost -> out [batch, outer, inner] real. What of
// a spectrum cannot be a real plane's is left out, as cuFFT does: whole columns go first.
template <class T>
void fft_real_inverse(int64_t batch, int64_t outer, int64_t inner, std::complex<T>* in, T* out) {
  const int64_t kept = inner / 2 + 1;
  const LineFft rows(inner, 1), columns(outer, 1);
  std::vector<LineFft::Point> line(static_cast<size_t>(inner)), sums = line;
  std::vector<LineFft::Point> plane(static_cast<size_t>(outer * kept));
  for (int64_t b = 0; b < batch; ++b) {
    std::complex<T>* z = in + b * outer * kept;
    for (int64_t i = 0; i < outer * kept; ++i) plane[i] = z[i];
    transform_columns(columns, outer, kept, plane.data());
    for (int64_t r = 0; r < outer; ++r) {
      for (int64_t c = 0; c < inner; ++c) {
        line[c] = c < kept ? plane[r * kept + c] : std::conj(plane[r * kept + inner - c]);
      }
      rows(line.data(), sums.data());
      for (int64_t c = 0; c < inner; ++c) {
        out[(b * outer + r) * inner + c] = static_cast<T>(sums[c].real());
      }
    }
    for (int64_t i = 0; i < outer * kept; ++i) z[i] = std::complex<T>(NAN, NAN);
  }
}

// What the engine (cuda::Transform) or the interface (scatcuda_transform) asks an FFT for; both
// number the four kinds alike.
template <class T, class Asked>
void transform(const Asked& t, const void* in, void* out) {
  auto* spectrum = static_cast<std::complex<T>*>(out);
  switch (static_cast<int>(t.direction)) {
    case 0:
      return fft_forward(t.batch, t.outer, t.inner, static_cast<const T*>(in), spectrum);
    case 1:
      return fft_real_inverse(t.batch, t.outer, t.inner,
                              static_cast<std::complex<T>*>(const_cast<void*>(in)),
                              static_cast<T*>(out));
    case 2:
      return fft_complex(-1, t.batch, t.outer, t.inner, spectrum);
    default:
      return fft_complex(1, t.batch, t.outer, t.inner, spectrum);
  }
}

}  // namespace scatcuda::emulation
