// Sizes and paths of a scattering problem: which filters at which resolution, which channel where.
// The Python twin is scatcuda/plan.py.
#pragma once

#include "common.h"
#include "engines.h"

namespace scatcuda {
inline namespace SCATCUDA_ISA {

// How large a problem may be: far beyond use, and so that no size of one overflows. A table of
// filters is one wavelet's at full resolution, with its angles in lanes, or the whole of phi.
// scatcuda/limits.py has the same.
constexpr int64_t max_scales = 24, most_angles = 1 << 12, longest_side = 1 << 24;
constexpr int64_t most_channels = 1 << 20;
constexpr int64_t most_numbers = int64_t{1} << 40;        // of a table of filters
constexpr int64_t most_batch_numbers = int64_t{1} << 58;  // of images and coefficients of a batch

// Whether a band [low, high) of points modulo `side` is one: it may begin before the first point or
// end behind the last.
SCATCUDA_HD constexpr bool is_band(int64_t low, int64_t high, int64_t side) {
  return -side <= low && low <= side && low <= high && high <= low + side;
}

struct Schedule {
  int64_t J, L, max_order, M, N, Mp, Np, m, n, channels, lanes;
  bool pre_pad;

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

inline Schedule schedule_of(const Problem& p) {
  const int64_t scale = int64_t{1} << p.J;
  Schedule s{};
  s.J = p.J, s.L = p.L, s.max_order = p.max_order, s.M = p.M, s.N = p.N, s.pre_pad = p.pre_pad;
  s.Mp = p.pre_pad ? p.M : (p.M / scale + 2) * scale;
  s.Np = p.pre_pad ? p.N : (p.N / scale + 2) * scale;
  s.m = s.Mp / scale - 2;
  s.n = s.Np / scale - 2;
  s.channels = 1;
  if (p.max_order >= 1) s.channels += p.J * p.L;
  if (p.max_order >= 2) s.channels += p.L * p.L * p.J * (p.J - 1) / 2;
  s.lanes = p.L <= 4 ? 4 : p.L <= 8 ? 8 : round_up(p.L, 16);
  return s;
}

}  // namespace SCATCUDA_ISA
}  // namespace scatcuda
