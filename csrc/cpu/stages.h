// Stages as operators of their own, on arrays as PyTorch has them: for networks of other shapes
// than the cascade. Twins: reference.filter_fold, reference.modulus. The low-pass is two matrix
// products, which PyTorch's BLAS does best.
#pragma once

#include "simd.h"
#include "team.h"

namespace scatcuda {
inline namespace SCATCUDA_ISA {

// out[b, l] = fold_k( x̂[b] ψ̂[l] ): the mean over the k² aliases
template <class T>
void filter_fold(int64_t B, int64_t L, int64_t M, int64_t N, int64_t k, const T* x_hat,
                 const T* psi, T* out, const Executor& executor) {
  const int64_t rows = M / k, columns = N / k;
  const T mean = T(1) / static_cast<T>(k * k);
  Team(&executor, 0).over(B * L * rows, [&](int64_t first, int64_t last, int64_t) {
    for (int64_t i = first; i < last; ++i) {
      const int64_t b = i / (L * rows), l = i / rows % L, r = i % rows;
      T* to = out + 2 * i * columns;
      for (int64_t c = 0; c < 2 * columns; ++c) to[c] = 0;
      for (int64_t k1 = r; k1 < M; k1 += rows) {
        for (int64_t alias = 0; alias < N; alias += columns) {
          const T* x = x_hat + 2 * ((b * M + k1) * N + alias);
          const T* w = psi + (l * M + k1) * N + alias;
          for (int64_t c = 0; c < columns; ++c) {
            to[2 * c] += x[2 * c] * w[c];
            to[2 * c + 1] += x[2 * c + 1] * w[c];
          }
        }
      }
      for (int64_t c = 0; c < 2 * columns; ++c) to[c] *= mean;
    }
  });
}

// Gradients of Re <g, filter_fold(x̂, ψ̂)> for g [B, L, M/k, N/k]: of x̂ the sum over the angles, of ψ̂
// the sum over the images; null where not wanted
template <class T>
void filter_fold_backward(int64_t B, int64_t L, int64_t M, int64_t N, int64_t k, const T* g,
                          const T* x_hat, const T* psi, T* grad_x, T* grad_psi,
                          const Executor& executor) {
  const int64_t rows = M / k, columns = N / k;
  const T mean = T(1) / static_cast<T>(k * k);
  const auto row_of_g = [&](int64_t b, int64_t l, int64_t k1) {
    return g + 2 * ((b * L + l) * rows + k1 % rows) * columns;
  };
  const auto over_rows = [&](int64_t count, auto&& f) {  // f(index, row)
    Team(&executor, 0).over(count * M, [&](int64_t first, int64_t last, int64_t) {
      for (int64_t i = first; i < last; ++i) f(i / M, i % M);
    });
  };
  if (grad_x != nullptr) {
    over_rows(B, [&](int64_t b, int64_t k1) {
      T* to = grad_x + 2 * (b * M + k1) * N;
      for (int64_t c = 0; c < 2 * N; ++c) to[c] = 0;
      for (int64_t l = 0; l < L; ++l) {
        const T* from = row_of_g(b, l, k1);
        const T* w = psi + (l * M + k1) * N;
        for (int64_t alias = 0; alias < N; alias += columns) {
          for (int64_t c = 0; c < columns; ++c) {
            to[2 * (alias + c)] += from[2 * c] * w[alias + c];
            to[2 * (alias + c) + 1] += from[2 * c + 1] * w[alias + c];
          }
        }
      }
      for (int64_t c = 0; c < 2 * N; ++c) to[c] *= mean;
    });
  }
  if (grad_psi != nullptr) {
    over_rows(L, [&](int64_t l, int64_t k1) {
      T* to = grad_psi + (l * M + k1) * N;
      for (int64_t c = 0; c < N; ++c) to[c] = 0;
      for (int64_t b = 0; b < B; ++b) {
        const T* from = row_of_g(b, l, k1);
        const T* x = x_hat + 2 * (b * M + k1) * N;
        for (int64_t alias = 0; alias < N; alias += columns) {
          for (int64_t c = 0; c < columns; ++c) {
            const T* z = x + 2 * (alias + c);
            to[alias + c] += z[0] * from[2 * c] + z[1] * from[2 * c + 1];
          }
        }
      }
      for (int64_t c = 0; c < N; ++c) to[c] *= mean;
    });
  }
}

// |z|, scaled by the larger part, so that no square overflows or vanishes; infinity wins over NaN.
template <class T>
void modulus(int64_t count, const T* z, T* out, const Executor& executor) {
  constexpr int64_t piece = 4096;
  constexpr T largest = static_cast<T>(sizeof(T) == 4 ? __FLT_MAX__ : __DBL_MAX__);
  Team(&executor, 0).over(ceil_div(count, piece), [&](int64_t first, int64_t last, int64_t) {
    const int64_t end = min(last * piece, count);
    for (int64_t i = first * piece; i < end; ++i) {
      const T re = z[2 * i] < 0 ? -z[2 * i] : z[2 * i];
      const T im = z[2 * i + 1] < 0 ? -z[2 * i + 1] : z[2 * i + 1];
      const T large = re < im ? im : re, small = re < im ? re : im;
      const T ratio = small / (large > 0 ? large : T(1));
      const T root = large * static_cast<T>(__builtin_sqrt(1 + ratio * ratio));
      const T infinite = re > largest || im > largest ? T(__builtin_inf()) : re + im;
      out[i] = large - large == 0 ? root : infinite;
    }
  });
}

// g z / |z|, 0 where z is; scaled as modulus is
template <class T>
void modulus_backward(int64_t count, const T* g, const T* z, T* out, const Executor& executor) {
  constexpr int64_t piece = 4096;
  Team(&executor, 0).over(ceil_div(count, piece), [&](int64_t first, int64_t last, int64_t) {
    const int64_t end = min(last * piece, count);
    for (int64_t i = first * piece; i < end; ++i) {
      const T re = z[2 * i], im = z[2 * i + 1];
      const T a = re < 0 ? -re : re, b = im < 0 ? -im : im;
      const T large = a > b ? a : b;
      const T c = re / large, s = im / large;
      const T turn = g[i] / static_cast<T>(__builtin_sqrt(c * c + s * s));
      const bool none = re == 0 && im == 0;
      out[2 * i] = none ? T(0) : c * turn;
      out[2 * i + 1] = none ? T(0) : s * turn;
    }
  });
}

}  // namespace SCATCUDA_ISA
}  // namespace scatcuda
