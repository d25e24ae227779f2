// csrc/core/fft.h and csrc/cpu/fft_line.h as C functions, for one instruction set (SCATCUDA_ISA)
// and number type (SCATCUDA_REAL). Arrays are [points, 2 (real, imaginary), lanes].
#include <cmath>
#include <vector>

#include "cpu/fft_line.h"

namespace {

using namespace scatcuda;
using T = SCATCUDA_REAL;
constexpr int W = full_lanes<T>;

// e^{2πi k/n}, as the engine makes it
std::vector<T> twiddles_of(int64_t n) {
  std::vector<T> table;
  for (int64_t k = 0; k < n; ++k) {
    const double angle = 2 * trig::pi * static_cast<double>(k) / static_cast<double>(n);
    table.push_back(static_cast<T>(std::cos(angle)));
    table.push_back(static_cast<T>(std::sin(angle)));
  }
  return table;
}

// x = butterfly<R, sign>(x), every number a vector or, on its own, a scalar
template <class V, int Sign>
bool butterfly_of(int R, T* x) {
  return with_radix(R, [&](auto R_) {
    constexpr int points = decltype(R_)::value;
    for (int lane = 0; lane < W; lane += sizeof(V) / sizeof(T)) {
      Complex<V> z[points];
      for (int k = 0; k < points; ++k) {
        std::memcpy(&z[k].re, x + 2 * W * k + lane, sizeof(V));
        std::memcpy(&z[k].im, x + 2 * W * k + W + lane, sizeof(V));
      }
      butterfly<points, Sign>(z);
      for (int k = 0; k < points; ++k) {
        std::memcpy(x + 2 * W * k + lane, &z[k].re, sizeof(V));
        std::memcpy(x + 2 * W * k + W + lane, &z[k].im, sizeof(V));
      }
    }
  });
}

}  // namespace

#define FUNCTION(name, real) FUNCTION_(name, real)
#define FUNCTION_(name, real) extern "C" __attribute__((visibility("default"))) int name##_##real

FUNCTION(lanes, SCATCUDA_REAL)() { return W; }

// out = transform of in, which may be the same array; twiddles from a table of n · step points
FUNCTION(transform_line, SCATCUDA_REAL)(int64_t n, int64_t step, int sign, T* in, T* out) {
  const std::vector<T> twiddles = twiddles_of(n * step);
  std::vector<T> work(static_cast<size_t>(2 * W * n)), spare = work;
  const LineTransform<T> f{n, step, factorize(static_cast<int>(n)), twiddles.data()};
  if (sign > 0) {
    transform_line<1>(f, Line<T>{in}, Line<T>{out}, work.data(), spare.data());
  } else {
    transform_line<-1>(f, Line<T>{in}, Line<T>{out}, work.data(), spare.data());
  }
  return 0;
}

// 0 where there is no butterfly of R points
FUNCTION(butterfly, SCATCUDA_REAL)(int R, int sign, int scalar, T* x) {
  if (scalar) return sign > 0 ? butterfly_of<T, 1>(R, x) : butterfly_of<T, -1>(R, x);
  return sign > 0 ? butterfly_of<Vector<T, W>, 1>(R, x) : butterfly_of<Vector<T, W>, -1>(R, x);
}

FUNCTION(has_butterfly, SCATCUDA_REAL)(int n) { return has_butterfly(n); }

// The number of radices; radix [24]
FUNCTION(factorize, SCATCUDA_REAL)(int n, int* radix) {
  const Radices radices = factorize(n);
  for (int i = 0; i < radices.count; ++i) radix[i] = radices.radix[i];
  return radices.count;
}
