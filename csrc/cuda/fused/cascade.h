// The program that the fused kernels do: images reflected at their edges, wavelets to every
// resolution, and at most one more after each, to every coarser one. What a kernel needs to know of
// it, in plain numbers.
#pragma once

#include "../../core/engines.h"

namespace scatcuda {
inline namespace SCATCUDA_ISA {

constexpr int most_levels = 7;  // of resolution: 256 = 2^7 · 2

// Steps are named by the resolutions that they lead from and to, 0 … levels − 1; planes of
// resolution r have sides Mp/2^r × Np/2^r. All have as many filters; depth is how many follow each
// other.
struct Cascade {
  int64_t levels, filters, depth, M, N, Mp, Np, m, n, channels, lanes;

  SCATCUDA_HD int64_t rows(int64_t res) const { return Mp >> res; }
  SCATCUDA_HD int64_t columns(int64_t res) const { return Np >> res; }

  // The set of a step: (from, to) = (0, 0 … levels − 1), (1, 2 … levels − 1), (2, 3 … levels − 1),
  // …
  SCATCUDA_HD int64_t set(int64_t from, int64_t to) const {
    if (from == 0) return to;
    return levels + (from - 1) * (levels - 1) - from * (from - 1) / 2 + (to - from - 1);
  }
  SCATCUDA_HD int64_t sets() const {
    return depth < 1 ? 0 : depth < 2 ? levels : levels + (levels - 1) * (levels - 2) / 2;
  }
  // First element of the rows' matrix of a resolution in phi; the columns' follows it
  SCATCUDA_HD int64_t phi_offset(int64_t res) const {
    int64_t offset = 0;
    for (int64_t r = 0; r < res; ++r) offset += m * rows(r) + n * columns(r);
    return offset;
  }

  // Output channels: the image's; those of first steps by (fine, filter); then those of second
  // steps by the first one's (fine, filter) and their own (coarse, filter)
  SCATCUDA_HD int64_t channel(int64_t fine) const { return 1 + fine * filters; }
  SCATCUDA_HD int64_t channel(int64_t fine, int64_t filter, int64_t coarse) const {
    int64_t c = 1 + levels * filters;
    for (int64_t r = 0; r < fine; ++r) c += filters * filters * (levels - 1 - r);
    return c + filter * filters * (levels - 1 - fine) + (coarse - fine - 1) * filters;
  }
};

}  // namespace SCATCUDA_ISA

namespace cuda {

// Whether a program is one
bool match(const Program& program, Cascade* cascade);

}  // namespace cuda
}  // namespace scatcuda
