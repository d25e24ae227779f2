// The program that the fused kernels do: images reflected at their edges, all filters at every
// scale, at most two of them in a row. What a kernel needs to know of it, in plain numbers.
#pragma once

#include "../../core/engines.h"

namespace scatcuda {
inline namespace SCATCUDA_ISA {

constexpr int most_levels = 7;  // of resolution: 256 = 2^7 · 2

struct Cascade {
  int64_t J, L, max_order, M, N, Mp, Np, m, n, channels, lanes;

  SCATCUDA_HD int64_t rows(int64_t res) const { return Mp >> res; }
  SCATCUDA_HD int64_t columns(int64_t res) const { return Np >> res; }

  // Wavelet tables: (res, j) = (0, 0 … J − 1), (1, 2 … J − 1), (2, 3 … J − 1), …
  SCATCUDA_HD int64_t wavelet_table(int64_t res, int64_t j) const {
    if (res == 0) return j;
    return J + (res - 1) * (J - 1) - res * (res - 1) / 2 + (j - res - 1);
  }
  SCATCUDA_HD int64_t wavelet_tables() const {
    return max_order < 1 ? 0 : max_order < 2 ? J : J + (J - 1) * (J - 2) / 2;
  }
  // First element of P_j in phi; Q_j follows it
  SCATCUDA_HD int64_t phi_offset(int64_t res) const {
    int64_t offset = 0;
    for (int64_t r = 0; r < res; ++r) offset += m * rows(r) + n * columns(r);
    return offset;
  }

  // Output channels: order 0; order 1 by (j1, θ1); order 2 by (j1, θ1), then (j2, θ2)
  SCATCUDA_HD int64_t channel(int64_t j1) const { return 1 + j1 * L; }
  SCATCUDA_HD int64_t channel(int64_t j1, int64_t theta1, int64_t j2) const {
    int64_t c = 1 + J * L;
    for (int64_t j = 0; j < j1; ++j) c += L * L * (J - 1 - j);
    return c + theta1 * L * (J - 1 - j1) + (j2 - j1 - 1) * L;
  }
};

}  // namespace SCATCUDA_ISA

namespace cuda {

// Whether a program is one
bool match(const Program& program, Cascade* cascade);

}  // namespace cuda
}  // namespace scatcuda
