// Padding and its adjoint: x [B, first, middle, last] -> planes [B, outer, middle, inner] of type
// T, where the first axis of the signal is the innermost of its plane (Plane), and back to the
// gradient of x.
#pragma once

#include "../bank.cuh"

namespace scatcuda {
inline namespace SCATCUDA_ISA {

// An axis of the signal and how it is padded
struct PaddedAxis {
  int size, before, padded;
  Pad pad;
};
struct PadArguments {
  PaddedAxis inner, middle, outer;
  int64_t inner_step, middle_step, outer_step, image_step;  // in x
};

// The point of a line that a padded position shows, −1 for zero
__device__ __forceinline__ int shown(int position, const PaddedAxis& a) {
  const int i = position - a.before;
  if (i >= 0 && i < a.size) return i;
  if (a.pad == Pad::reflect) return reflect(i, a.size);
  const int period = a.pad == Pad::symmetric ? 2 * a.size : a.size;
  int j = i % period;
  if (j < 0) j += period;
  if (a.pad == Pad::symmetric) return j < a.size ? j : period - 1 - j;
  return a.pad == Pad::periodic ? j : -1;
}

// f(p) of every padded position p that shows point i of a line
template <class F>
__device__ __forceinline__ void each_showing(int i, const PaddedAxis& a, F f) {
  int period = a.padded, straight = a.before + i, mirrored = straight;
  if (a.pad == Pad::reflect) period = max(2 * (a.size - 1), 1), mirrored = a.before - i;
  if (a.pad == Pad::symmetric) period = 2 * a.size, mirrored = a.before - 1 - i;
  if (a.pad == Pad::periodic) period = a.size;
  straight %= period, mirrored %= period;
  if (mirrored < 0) mirrored += period;
  // those that go on and those that come back, in one loop: f stands here once
  for (int way = 0; way < (mirrored == straight ? 1 : 2); ++way) {
    for (int p = way == 0 ? straight : mirrored; p < a.padded; p += period) f(p);
  }
}

// One block of 32 × 8 threads a tile of 32 × 32 points of the inner and the outer side
constexpr int pad_tile = 32, pad_rows = 8;
struct PadTile {
  int64_t image;
  int b, c0, r0, lane, row;

  __device__ PadTile(int inner, int middle, int outer)
      : lane(threadIdx.x % pad_tile), row(threadIdx.x / pad_tile) {
    const int down = static_cast<int>(ceil_div(inner, pad_tile));
    const int across = static_cast<int>(ceil_div(outer, pad_tile));
    r0 = blockIdx.x % down * pad_tile, c0 = blockIdx.x / down % across * pad_tile;
    const int64_t line = blockIdx.x / down / across;
    b = static_cast<int>(line % middle), image = line / middle;
  }
};

template <class T>
__global__ void __launch_bounds__(pad_tile* pad_rows)
    pad_kernel(PadArguments a, const void* x, cuda::Pixels type, T* out) {
  __shared__ T tile[pad_tile][pad_tile + 1];
  const Plane to{a.inner.padded, a.middle.padded, a.outer.padded};
  const PadTile at(to.inner, to.middle, to.outer);
  const int line = shown(at.b, a.middle);
  for (int i = at.row; i < pad_tile; i += pad_rows) {
    const int r = at.r0 + i, c = at.c0 + at.lane;
    if (r >= to.inner || c >= to.outer) continue;
    const int row = shown(r, a.inner), column = shown(c, a.outer);
    const int64_t from =
        at.image * a.image_step + row * a.inner_step + line * a.middle_step + column * a.outer_step;
    tile[i][at.lane] = row < 0 || line < 0 || column < 0 ? T(0) : pixel<T>(x, type, from);
  }
  __syncthreads();
  for (int i = at.row; i < pad_tile; i += pad_rows) {
    const int r = at.r0 + at.lane, c = at.c0 + i;
    if (r < to.inner && c < to.outer) {
      out[at.image * to.points() + to.index(r, at.b, c)] = tile[at.lane][i];
    }
  }
}

// The same of lines
template <class T>
__global__ void __launch_bounds__(stage_threads)
    pad_lines_kernel(PaddedAxis axis, int64_t count, const void* x, cuda::Pixels type, T* out) {
  each_item(count, [&](int64_t i) {
    const int64_t line = i / axis.padded;
    const int at = shown(static_cast<int>(i - line * axis.padded), axis);
    out[i] = at < 0 ? T(0) : pixel<T>(x, type, line * axis.size + at);
  });
}

// Every point the sum of the positions that show it
template <class T>
__global__ void __launch_bounds__(pad_tile* pad_rows, 4)  // or ptxas would rather spill
    unpad_kernel(PadArguments a, const T* u, T* out) {
  __shared__ T tile[pad_tile][pad_tile + 1];
  const Plane from{a.inner.padded, a.middle.padded, a.outer.padded};
  const PadTile at(a.inner.size, a.middle.size, a.outer.size);
  u += at.image * from.points();
  for (int i = at.row; i < pad_tile; i += pad_rows) {
    const int r = at.r0 + at.lane, c = at.c0 + i;
    if (r >= a.inner.size || c >= a.outer.size) continue;
    T sum = 0;
    each_showing(c, a.outer, [&](int column) SCATCUDA_LAMBDA {
      each_showing(at.b, a.middle, [&](int line) SCATCUDA_LAMBDA {
        each_showing(r, a.inner,
                     [&](int row) SCATCUDA_LAMBDA { sum += u[from.index(row, line, column)]; });
      });
    });
    tile[i][at.lane] = sum;
  }
  __syncthreads();
  for (int i = at.row; i < pad_tile; i += pad_rows) {
    const int r = at.r0 + i, c = at.c0 + at.lane;
    if (r < a.inner.size && c < a.outer.size) {
      out[at.image * a.image_step + r * a.inner_step + at.b * a.middle_step + c * a.outer_step] =
          tile[at.lane][i];
    }
  }
}

// The same of lines
template <class T>
__global__ void __launch_bounds__(stage_threads)
    unpad_lines_kernel(PaddedAxis axis, int64_t count, const T* u, T* out) {
  each_item(count, [&](int64_t i) {
    const int64_t line = i / axis.size;
    T sum = 0;
    each_showing(static_cast<int>(i - line * axis.size), axis,
                 [&](int at) SCATCUDA_LAMBDA { sum += u[line * axis.padded + at]; });
    out[i] = sum;
  });
}

}  // namespace SCATCUDA_ISA
}  // namespace scatcuda
