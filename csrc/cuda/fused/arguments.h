// What the launches of the fused tier hand to its kernels, and the shared memory these take.
#pragma once

#include "../bank.cuh"
#include "cascade.h"
#include "tile.cuh"

namespace scatcuda {
inline namespace SCATCUDA_ISA {

// Threads of a block at most, and how many such blocks nvcc has to leave registers for; by the side
// of the planes, 0 where it is known only at run time. Left to itself nvcc goes down to 64
// registers, for more blocks than shared memory allows, and spills.
struct Bounds {
  int threads, blocks;
};
constexpr Bounds family_bounds(int side, int architecture = compiled_for) {
  // two blocks of 64² pixels share a processor
  if (side == 72 || side == 80) return {320, 2};
  // with the registers of five blocks it would spill from sm_100 on
  return side == 36 || side == 40 ? Bounds{160, architecture < 100 ? 5 : 4} : Bounds{512, 1};
}
constexpr Bounds second_bounds(int side) {
  if (side == 18 || side == 20) return {160, 5};
  if (side == 60) return {320, 3};
  if (side == 120) return {736, 1};
  if (side == 128) return {704, 1};
  return side > 0 ? Bounds{256, 3} : Bounds{512, 1};
}

// Backward: more registers, and shared memory for fewer blocks
constexpr Bounds family_backward_bounds(int side) {
  return side == 36 || side == 40 ? Bounds{160, 3} : Bounds{384, 1};
}
constexpr Bounds second_backward_bounds(int side) {
  if (side == 18 || side == 20) return {160, 4};
  if (side == 120 || side == 128) return {640, 1};
  return side > 0 ? Bounds{256, 2} : Bounds{512, 1};
}

struct FusedArguments {
  const void* x;        // [B, M, N]
  cuda::Pixels pixels;  // what x holds
  Point* x_hat;         // [B, Np, Mp/2 + 1]
  const Point* u_hat;   // `second` only: [B · planes, outer, inner/2 + 1] at resolution fine
  float* S;             // [B, channels, m, n], or null where only x̂ is wanted

  // backward
  const float* grad;  // of S
  float* grad_x;      // [B, M, N]
  Point* g_hat;  // ĝW1 of all resolutions, of `wave` images; `second`: [B · planes, filters, outer,
                 // inner]
  int wave;

  const float* psi;  // the bank as it came
  int64_t psi_entries;
  const int64_t* psi_support;
  const float* phi;
  const int64_t* phi_support;

  // the bank as `arrange` leaves it, the wavelets with all their zeros: a test for each costs more
  // than to multiply by it
  float* psi_first;   // of (0, to), to < family_steps: [lanes][outer, inner]
  float* psi_second;  // of (from, to), to > from: [lanes / group][outer, inner][group]
  float* taps;        // low-pass of every resolution: [outer, n4], [inner, m4], zeros to four
  int2* bands;        // of each four outputs, as band_of() gives them: [n4 / 4], [m4 / 4]
  Point* roots;       // e^{2πi k/Np}, then e^{2πi k/Mp}

  Cascade cascade;
  int levels, filters, depth, lanes, M, N, Mp, Np, m, n, channels;  // of it
  int B;                                                            // images of the wave
  int family_steps;            // that `families` does, the first
  int log_group[most_levels];  // of the filters side by side at resolution coarse
  int area;                    // bytes of shared memory for planes of the second steps

  // `second` only: from resolution fine to coarse; planes an image, where their channels begin and
  // how far they are apart
  int fine, coarse, planes, first_channel, channel_step;
  Passes outer[most_levels], inner[most_levels];
};

SCATCUDA_HD constexpr int four(int n) { return (n + 3) / 4 * 4; }
// columns start in different banks
SCATCUDA_HD constexpr int pitch_of(int inner) { return inner | 1; }
SCATCUDA_HD constexpr int tile_bytes(int outer, int inner, int group) {
  return (outer * pitch_of(inner) * group * static_cast<int>(sizeof(Point)) + 15) / 16 * 16;
}
SCATCUDA_HD constexpr int roots_bytes(int outer, int inner) {
  return (outer + inner) * static_cast<int>(sizeof(Point));
}
// the two matrices of the low-pass of planes [outer, inner], their bands, and places
SCATCUDA_HD constexpr int lowpass_bytes(int outer, int inner, int m, int n) {
  return ((outer * four(n) + inner * four(m)) * static_cast<int>(sizeof(float)) +
          (four(n) + four(m)) / 4 * static_cast<int>(sizeof(int2)) +
          (outer + inner) * static_cast<int>(sizeof(short)) + 15) /
         16 * 16;
}
// what lies between the two products of the low-pass of one plane
SCATCUDA_HD constexpr int between_bytes(int outer, int m) {
  return (outer * four(m) * static_cast<int>(sizeof(float)) + 15) / 16 * 16;
}

// backward: the two matrices by samples, their places and what reaches them; gS and gS Q of a group
SCATCUDA_HD constexpr int spread_bytes(int outer, int inner, int m, int n) {
  return ((outer * four(n) + inner * four(m)) * static_cast<int>(sizeof(float)) +
          (outer + inner) * static_cast<int>(2 * sizeof(short)) + 15) /
         16 * 16;
}
SCATCUDA_HD constexpr int given_bytes(int outer, int m, int n, int group) {
  return (four(n) + outer) * four(m) * group * static_cast<int>(sizeof(float));
}

// Offsets of resolution res in taps and bands
SCATCUDA_HD inline int taps_offset(const FusedArguments& a, int res) {
  int offset = 0;
  for (int r = 0; r < res; ++r) offset += (a.Np >> r) * four(a.n) + (a.Mp >> r) * four(a.m);
  return offset;
}
SCATCUDA_HD inline int bands_offset(const FusedArguments& a, int res) {
  return res * (four(a.n) + four(a.m)) / 4;
}
// Offsets of tables in psi_first and psi_second
SCATCUDA_HD inline int64_t first_offset(const FusedArguments& a, int to) {
  return int64_t{a.Np} * a.Mp * a.lanes * to;
}
SCATCUDA_HD inline int64_t second_offset(const FusedArguments& a, int from, int to) {
  int64_t bins = 0;
  for (int r = 0; r < from; ++r) bins += int64_t{a.levels - 1 - r} * (a.Np >> r) * (a.Mp >> r);
  return (bins + int64_t{to - from - 1} * (a.Np >> from) * (a.Mp >> from)) * a.lanes;
}
// Offset of resolution fine in g_hat
SCATCUDA_HD inline int64_t g_offset(const FusedArguments& a, int fine) {
  int64_t bins = 0;
  for (int r = 0; r < fine; ++r) bins += int64_t{a.Np >> r} * (a.Mp >> r);
  return bins * a.filters * a.wave;
}

// --- kernels, each in the file that compiles it ---

using FusedKernel = void (*)(FusedArguments);

constexpr int arrange_threads = 256;
__global__ void arrange_kernel(const __grid_constant__ FusedArguments a);

struct FamilyKernels {
  FusedKernel spectrum, families;
};
// For planes of `side` squared, or of any sides where there are none of their own; second steps
// take eight filters side by side, or any number of them
FamilyKernels family_kernels(int64_t side, bool by_eight);
// For planes of `side` squared at resolution coarse, k = 2^(coarse − fine), 2^log filters side by
// side; likewise
struct SecondKernel {
  FusedKernel kernel;
  Bounds bounds;
};
SecondKernel second_kernel_for(int64_t side, int64_t k, int64_t log);

// Backward, likewise
FusedKernel families_backward_kernel_for(int64_t side);
SecondKernel second_backward_kernel_for(int64_t side, int64_t k);
FusedKernel image_backward_kernel_of();

}  // namespace SCATCUDA_ISA
}  // namespace scatcuda
