// The bank in the order in which the fused tier reads it.
#include "../bank.cuh"
#include "arguments.h"

namespace scatcuda {
inline namespace SCATCUDA_ISA {

// blockIdx.y is a wavelet table, or after all tables a low-pass matrix, or at last the roots.
__global__ void __launch_bounds__(arrange_threads)
    arrange_kernel(const __grid_constant__ FusedArguments a) {
  const int thread = blockIdx.x * blockDim.x + threadIdx.x, threads = gridDim.x * blockDim.x;
  int job = blockIdx.y;
  const int first_tables = a.depth > 0 ? a.levels : 0;
  for (int res = 0; res < a.levels; ++res) {  // tables of resolution res
    const int first_to = res == 0 ? 0 : res + 1;
    const int tables = res == 0 ? first_tables : a.depth > 1 ? max(a.levels - first_to, 0) : 0;
    if (job >= tables) {
      job -= tables;
      continue;
    }
    const int to = first_to + job, outer = a.Np >> res, inner = a.Mp >> res;
    const Box box(a.psi_support + 5 * a.cascade.set(res, to), 2, {inner, 1, outer}, a.lanes,
                  a.psi_entries);
    const float* from = a.psi + box.first;
    const bool first = res == 0 && to<a.family_steps, second = to> res && a.depth > 1;
    float* planar = first ? a.psi_first + first_offset(a, to) : nullptr;
    float* grouped = second ? a.psi_second + second_offset(a, res, to) : nullptr;
    const int bins = outer * inner, group = 1 << a.log_group[to];
    for (int i = thread; i < bins * a.lanes; i += threads) {
      const int bin = i / a.lanes, filter = i % a.lanes;
      const int64_t entry = box.entry(bin % inner, 0, bin / inner);
      const float value = entry >= 0 ? from[entry * a.lanes + filter] : 0.0f;
      if (first) planar[filter * bins + bin] = value * box.scale;
      if (second) {
        grouped[(filter / group * bins + bin) * group + filter % group] = value * box.scale;
      }
    }
    return;
  }
  if (job < 2 * a.levels) {  // matrix [outputs, size] of phi to [size, outputs in fours]
    const int res = job / 2, size = (job % 2 == 0 ? a.Np : a.Mp) >> res;
    const int outputs = job % 2 == 0 ? a.n : a.m, stride = four(outputs);
    const float* from = a.phi + a.cascade.phi_offset(res);
    const int64_t* support = a.phi_support + 2 * res * (a.m + a.n);
    float* to = a.taps + taps_offset(a, res);
    int2* bands = a.bands + bands_offset(a, res);
    if (job % 2 == 0) {
      from += a.m * (a.Mp >> res), support += 2 * a.m;
    } else {
      to += (a.Np >> res) * four(a.n), bands += four(a.n) / 4;
    }
    for (int i = thread; i < size * stride; i += threads) {
      const int k = i / stride, o = i % stride;
      float tap = 0.0f;
      if (o < outputs) {
        const bool fits = is_band(support[2 * o], support[2 * o + 1], size);
        const bool inside = meets(band_of(support, size, o, o + 1), k, k + 1, size);
        tap = !fits ? nanf("") : inside ? from[o * size + k] : 0.0f;
      }
      to[i] = tap;
    }
    for (int i = thread; i < stride / 4; i += threads) {
      bands[i] = band_of(support, size, 4 * i, min(4 * i + 4, outputs));
    }
    return;
  }
  for (int i = thread; i < a.Np + a.Mp; i += threads) {
    const int k = i < a.Np ? i : i - a.Np, size = i < a.Np ? a.Np : a.Mp;
    double sine, cosine;
    sincospi(2.0 * k / size, &sine, &cosine);
    a.roots[i] = {static_cast<float>(cosine), static_cast<float>(sine)};
  }
}

}  // namespace SCATCUDA_ISA
}  // namespace scatcuda
