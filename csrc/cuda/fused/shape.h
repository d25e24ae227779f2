// What the blocks of the fused tier take: shared memory, threads and registers.
#pragma once

#include "arguments.h"

namespace scatcuda {
namespace cuda {

inline int64_t bins(const Cascade& s, int64_t res) { return s.rows(res) * s.columns(res); }
inline int64_t half_bins(const Cascade& s, int64_t res) {
  return s.columns(res) * (s.rows(res) / 2 + 1);
}
inline bool goes_on(const Cascade& s, int64_t fine) { return s.depth > 1 && fine + 1 < s.levels; }
// Points of planes of the resolutions from `first` on
inline int64_t bins_from(const Cascade& s, int64_t first) {
  int64_t sum = 0;
  for (int64_t res = first; res < s.levels; ++res) sum += bins(s, res);
  return sum;
}

// --- shared memory ---

// Of the fused tier's blocks
struct Shared {
  int64_t area = 0;    // families: planes of second steps, before or after them a low-pass
  int64_t block = 0;   // of families or, where they are not whole, of second at coarse = 1
  int64_t before = 0;  // of spectrum
  int64_t image = 0;   // of image_backward
};

// Whether planes of resolution res are short enough for passes_of
inline bool fits(const Cascade& s, int64_t res) {
  return s.rows(res) <= 256 && s.columns(res) <= 256;
}

// Bytes for planes of resolution res side by side, backward with the gradients that come to them
inline int64_t planes_bytes(const Cascade& s, Task task, int64_t res, int64_t group) {
  const int outer = static_cast<int>(s.columns(res)), inner = static_cast<int>(s.rows(res));
  const int m = static_cast<int>(s.m), n = static_cast<int>(s.n), planes = static_cast<int>(group);
  return tile_bytes(outer, inner, planes) +
         (task == Task::forward ? 0 : given_bytes(outer, m, n, planes));
}
// Bytes for the low-pass of planes of resolution res
inline int64_t matrices_bytes(const Cascade& s, Task task, int64_t res) {
  const int outer = static_cast<int>(s.columns(res)), inner = static_cast<int>(s.rows(res));
  const int m = static_cast<int>(s.m), n = static_cast<int>(s.n);
  return task == Task::forward ? lowpass_bytes(outer, inner, m, n)
                               : spread_bytes(outer, inner, m, n);
}
inline int64_t roots_bytes_of(const Cascade& s, int64_t res) {
  return roots_bytes(static_cast<int>(s.columns(res)), static_cast<int>(s.rows(res)));
}

// Bytes of a block of `second` for planes of resolution res
inline int64_t second_bytes(const Cascade& s, Task task, int64_t res, int64_t group) {
  return planes_bytes(s, task, res, group) + matrices_bytes(s, task, res) + roots_bytes_of(s, res);
}

inline Shared shared_of(const Cascade& s, Task task, bool whole, int64_t group) {
  if (!whole) return {0, second_bytes(s, task, 1, group), 0, 0};
  const int outer = static_cast<int>(s.columns(0)), inner = static_cast<int>(s.rows(0));
  const int m = static_cast<int>(s.m), n = static_cast<int>(s.n);
  const int64_t tile = tile_bytes(outer, inner, 1), roots = round_up(roots_bytes_of(s, 0), 16);
  const int64_t between = between_bytes(outer, m);
  const int64_t given = task == Task::forward ? 0 : given_bytes(outer, m, n, 1);
  Shared shared;
  shared.before = tile + matrices_bytes(s, Task::forward, 0) + roots + between;
  shared.image = tile + matrices_bytes(s, task, 0) + roots + given;
  shared.area = task == Task::forward ? between : given;
  shared.block = tile + matrices_bytes(s, task, 0) + roots;
  if (goes_on(s, 0)) {
    shared.area = max(shared.area, planes_bytes(s, task, 1, group));
    shared.block += matrices_bytes(s, task, 1);
    if (task != Task::forward) shared.block += tile;  // Û1 and its gradient
  }
  shared.block += shared.area;
  return shared;
}

// Filters side by side where `bytes` are there for planes of resolution res: a power of two, for
// the bank's lanes to be whole groups
inline int64_t group_of(const Cascade& s, Task task, int64_t res, int64_t bytes) {
  int64_t group = 1;
  while (group < s.filters && group < 16 && planes_bytes(s, task, res, 2 * group) <= bytes)
    group *= 2;
  return group;
}

// First steps that families do: no chain goes on from the coarsest one, which, where the bank is
// arranged for second steps, is done like one.
inline int64_t family_steps(const Cascade& s, const Launch& launch) {
  return !launch.whole ? 0 : goes_on(s, 0) ? s.levels - 1 : s.levels;
}

// --- threads and registers ---

// The kernel for second steps to one resolution
inline SecondKernel second_of(const Cascade& s, Task task, int64_t fine, int64_t coarse,
                              int64_t log) {
  const int64_t side = s.rows(coarse) == s.columns(coarse) ? s.rows(coarse) : 0,
                k = int64_t{1} << (coarse - fine);
  return task == Task::forward ? second_kernel_for(side, k, log)
                               : second_backward_kernel_for(side, k);
}
// Bounds of families or, where they are not whole, of second at coarse = 1
inline Bounds bounds_of(const Cascade& s, Task task, bool whole, int architecture) {
  if (!whole) return second_of(s, task, 0, 1, 0).bounds;
  const int side = s.Mp == s.Np ? static_cast<int>(s.Mp) : 0;  // others take what they may
  return task == Task::forward ? family_bounds(side, architecture) : family_backward_bounds(side);
}

// A processor has 65536 registers in four parts, each of which holds whole warps; a thread takes
// them by eight.
constexpr int64_t parts = 4, part_registers = 65536 / parts / 32;
// What a thread may have at most where nvcc keeps the bounds
constexpr int64_t registers_of(const Bounds& b) {
  return part_registers / ceil_div(ceil_div(b.threads, 32) * b.blocks, parts) / 8 * 8;
}
constexpr int64_t blocks_in_registers(const Bounds& b, int64_t threads) {
  return parts * (part_registers / registers_of(b)) / ceil_div(threads, 32);
}
constexpr int64_t threads_of_processor(int architecture) {
  if (architecture < 80) return 1024;
  const bool workstation = architecture < 90 ? architecture > 80 : architecture >= 120;
  return workstation ? 1536 : 2048;
}

}  // namespace cuda
}  // namespace scatcuda
