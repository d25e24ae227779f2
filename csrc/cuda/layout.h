// Where a call keeps what: the shared memory of the fused tier's blocks, the intermediates of a
// wave in the workspace, and the transforms that it runs.
#pragma once

#include "backward.cuh"
#include "cascade.h"
#include "fused.h"

namespace scatcuda {
namespace cuda {

inline int64_t bins(const Cascade& s, int64_t res) { return s.rows(res) * s.columns(res); }
inline int64_t half_bins(const Cascade& s, int64_t res) {
  return s.columns(res) * (s.rows(res) / 2 + 1);
}
inline bool has_second(const Cascade& s, int64_t j1) { return s.max_order > 1 && j1 + 1 < s.J; }
// W of scales first … J − 1: of the first order from 0 on, of the second from j1 + 1 on
inline int64_t bins_from(const Cascade& s, int64_t first) {
  int64_t sum = 0;
  for (int64_t j = first; j < s.J; ++j) sum += bins(s, j);
  return sum;
}

// --- shared memory ---

// Of the fused tier's blocks
struct Shared {
  int64_t area = 0;    // families: planes of the second order, before or after them a low-pass
  int64_t block = 0;   // of families or, without the first order, of second at j2 = 1
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

inline Shared shared_of(const Cascade& s, Task task, bool first_order, int64_t group) {
  if (!first_order) return {0, second_bytes(s, task, 1, group), 0, 0};
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
  if (has_second(s, 0)) {
    shared.area = max(shared.area, planes_bytes(s, task, 1, group));
    shared.block += matrices_bytes(s, task, 1);
    if (task != Task::forward) shared.block += tile;  // Û1 and its gradient
  }
  shared.block += shared.area;
  return shared;
}

// Angles side by side where `bytes` are there for planes of resolution res: a power of two, for
// the bank's lanes to be whole groups
inline int64_t group_of(const Cascade& s, Task task, int64_t res, int64_t bytes) {
  int64_t group = 1;
  while (group < s.L && group < 16 && planes_bytes(s, task, res, 2 * group) <= bytes) group *= 2;
  return group;
}

// First scales that families do: no path goes on from the last one, which, where the bank is
// arranged for a second order, is done like one.
inline int64_t family_scales(const Cascade& s, const Launch& launch) {
  return !launch.first_order_fused ? 0 : has_second(s, 0) ? s.J - 1 : s.J;
}

// --- threads and registers ---

// The kernel for the second order of one scale
inline SecondKernel second_of(const Cascade& s, Task task, int64_t j1, int64_t j2) {
  const int64_t side = s.rows(j2) == s.columns(j2) ? s.rows(j2) : 0, k = int64_t{1} << (j2 - j1);
  return task == Task::forward ? second_kernel_for(side, k) : second_backward_kernel_for(side, k);
}
// Bounds of families or, without the first order, of second at j2 = 1
inline Bounds bounds_of(const Cascade& s, Task task, bool first_order, int architecture) {
  if (!first_order) return second_of(s, task, 0, 1).bounds;
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

// --- the workspace ---

// Hands out 256-byte aligned parts of the workspace; of none, it only counts.
class Parts {
 public:
  explicit Parts(void* workspace) : base_(static_cast<unsigned char*>(workspace)) {}
  template <class T>
  T* take(int64_t count) {
    unsigned char* part = base_ == nullptr ? nullptr : base_ + used_;
    used_ += round_up(count * static_cast<int64_t>(sizeof(T)), 256);
    return reinterpret_cast<T*>(part);
  }
  int64_t used() const { return used_; }

 private:
  unsigned char* base_;
  int64_t used_ = 0;
};

// What one wave keeps in the workspace, and where; backward, a gradient lies where what it is of
// has lain
template <class T>
struct Workspace {
  // fused: the bank arranged
  float *psi_first, *psi_second, *taps;
  int2* bands;
  Point* roots;
  // general
  T* u0;              // [wave, Np, Mp]
  Complex<T>* x_hat;  // [wave, Np, Mp/2 + 1]
  Complex<T>* w1;     // of one j1, backward of all
  Complex<T>* w2;     // of all j2; forward it begins where w1 does
  T* u1;              // of one j1
  Complex<T>* u1_hat;
  unsigned char* fft;
  T* partial;  // gradients of phi by slices of planes, of all waves together
  int64_t bytes;
};

template <class T>
Workspace<T> workspace_of(const Cascade& s, const Launch& launch, int64_t fft_bytes, void* memory) {
  Workspace<T> w{};
  Parts parts(memory);
  const int64_t wave = launch.wave;
  const bool fused = launch.tier == Tier::fused, forward = launch.task == Task::forward;
  if (fused) {
    int64_t taps = 0;
    for (int64_t res = 0; res < s.J; ++res) {
      taps +=
          s.columns(res) * four(static_cast<int>(s.n)) + s.rows(res) * four(static_cast<int>(s.m));
    }
    int64_t second = 0;
    for (int64_t res = 0; s.max_order > 1 && res < s.J; ++res) {
      second += (s.J - 1 - res) * bins(s, res);
    }
    w.psi_first = parts.take<float>(family_scales(s, launch) * bins(s, 0) * s.lanes);
    w.psi_second = parts.take<float>(second * s.lanes);
    w.taps = parts.take<float>(taps);
    w.bands = parts.take<int2>(s.J * (four(static_cast<int>(s.n)) + four(static_cast<int>(s.m))));
    w.roots = parts.take<Point>(s.Mp + s.Np);
  }
  if (s.max_order > 0) w.x_hat = parts.take<Complex<T>>(wave * half_bins(s, 0));
  const bool families = fused && launch.first_order_fused;
  // the fused tier leaves of the second order what backward is summed up afterwards
  const int64_t second = has_second(s, 0) && (!fused || !forward) ? s.L * bins_from(s, 1) : 0;
  if (!forward && s.max_order > 0) w.w1 = parts.take<Complex<T>>(wave * s.L * bins_from(s, 0));
  if (!families) {
    w.u0 = parts.take<T>(wave * bins(s, 0));
    if (s.max_order > 0) {
      if (forward) {
        w.w1 = w.w2 = parts.take<Complex<T>>(wave * s.L * max(bins(s, 0), second));
      } else {
        w.w2 = parts.take<Complex<T>>(wave * s.L * second);
      }
      w.u1 = parts.take<T>(wave * s.L * bins(s, 0));
      if (has_second(s, 0)) w.u1_hat = parts.take<Complex<T>>(wave * s.L * half_bins(s, 0));
      w.fft = parts.take<unsigned char>(fft_bytes);
    }
  }
  if (launch.task == Task::backward_with_filters) {
    w.partial = parts.take<T>(slices * s.phi_offset(s.J));
  }
  w.bytes = parts.used();
  return w;
}

// --- transforms ---

// Of a full wave, `planes` an image at resolution res
template <class T>
Transform transform_of(const Cascade& s, const Launch& launch, Direction direction, int64_t res,
                       int64_t planes) {
  return {direction, sizeof(T) == 8, s.columns(res), s.rows(res), launch.wave * planes};
}

// All transforms of a wave, in any order. The last wave may have fewer images, but is transformed
// as if it were full: one set of plans, and no doubt about the room that they need.
template <class T, class F>
void each_transform(const Cascade& s, const Launch& launch, F f) {
  const bool fused = launch.tier == Tier::fused, backward = launch.task != Task::forward;
  if (s.max_order == 0 || (fused && launch.first_order_fused)) return;
  // there, and backward the way back
  const auto real = [&](int64_t res, int64_t planes) {
    f(transform_of<T>(s, launch, Direction::real_forward, res, planes));
    if (backward) f(transform_of<T>(s, launch, Direction::real_inverse, res, planes));
  };
  const auto complex = [&](int64_t res, int64_t planes) {
    f(transform_of<T>(s, launch, Direction::inverse, res, planes));
    if (backward) f(transform_of<T>(s, launch, Direction::forward, res, planes));
  };
  real(0, 1);
  for (int64_t j1 = 0; j1 < s.J; ++j1) {
    if (fused && j1 + 1 == s.J) continue;  // the last scale is fused too
    complex(j1, s.L);
    if (!has_second(s, j1)) continue;
    real(j1, s.L);
    for (int64_t j2 = j1 + 1; !fused && j2 < s.J; ++j2) complex(j2, s.L * s.L);
  }
}

// What the FFT wants for the largest of them, −1 where it cannot do one
template <class T>
int64_t fft_bytes_of(const Cascade& s, const Launch& launch, const Fft* fft, void* stream) {
  int64_t bytes = 0;
  each_transform<T>(s, launch, [&](const Transform& transform) {
    const int64_t wants = fft == nullptr ? -1 : fft->workspace_bytes(fft->self, transform, stream);
    bytes = wants < 0 || bytes < 0 ? -1 : max(bytes, wants);
  });
  return bytes;
}

}  // namespace cuda
}  // namespace scatcuda
