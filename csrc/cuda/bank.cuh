// Planes, signals and banks as both tiers read them.
#pragma once

#include <cstring>

#include "../core/engines.h"
#include "runtime.h"

namespace scatcuda {
inline namespace SCATCUDA_ISA {

constexpr int stage_threads = 256;  // of a block, where nothing else is said

// What nvcc leaves registers for may depend on it.
#if defined(__CUDA_ARCH__)
constexpr int compiled_for = __CUDA_ARCH__ / 10;  // 90 for sm_90
#else
constexpr int compiled_for = 0;  // the host
#endif

// √x, on a GPU to 2^-23 of it: the exact one takes eight instructions more
template <class T>
__device__ __forceinline__ T root_of(T x) {
#if defined(__CUDA_ARCH__)
  if constexpr (sizeof(T) == 4) {
    asm("sqrt.approx.f32 %0, %1;" : "=f"(x) : "f"(x));
    return x;
  }
#endif
  return sqrt(x);
}

// Pixel i of a line of `size`, reflected at its ends without repeating them
__device__ __forceinline__ int reflect(int i, int size) {
  if (i >= 0 && i < size) return i;
  if (size == 1) return 0;
  const int period = 2 * (size - 1);
  i %= period;
  if (i < 0) i += period;
  return i < size ? i : period - i;
}

// Pixel i of the images
template <class T>
__device__ __forceinline__ T pixel(const void* x, cuda::Pixels type, int64_t i) {
  if (type == cuda::Pixels::as_bank) return static_cast<const T*>(x)[i];
  if (type == cuda::Pixels::uint8) return static_cast<T>(static_cast<const unsigned char*>(x)[i]);
  const unsigned stored = static_cast<const unsigned short*>(x)[i];
  unsigned bits = stored << 16;  // bfloat16 is the upper half of a float
  float scale = 1.0f;
  if (type == cuda::Pixels::half) {  // 5 bits of exponent where a float has 8
    bits = (stored & 0x8000u) << 16 | (stored & 0x7fffu) << 13;
    if ((stored & 0x7c00u) == 0x7c00u) bits |= 0x7f800000u;  // infinite or not a number
    scale = 5.192296858534828e33f;                           // 2^112, between the two biases
  }
  float value;
  memcpy(&value, &bits, sizeof(value));
  return static_cast<T>(value * scale);
}

// Sides of planes from the innermost one, which is along the first axis of the signal: so the
// bank's tables lie too. Signals of fewer axes have fewer; what they lack is 1.
struct Plane {
  int inner, middle, outer;

  SCATCUDA_HD int64_t points() const { return int64_t{outer} * middle * inner; }
  SCATCUDA_HD int64_t index(int r, int b, int c) const {
    return (int64_t{c} * middle + b) * inner + r;
  }
  // of the spectrum of a real one the half that is kept
  SCATCUDA_HD Plane half() const { return {inner / 2 + 1, middle, outer}; }
};
struct Place {
  int r, b, c;  // along the inner, the middle and the outer side
};
__device__ __forceinline__ Place place_in(const Plane& p, int64_t i) {
  const int64_t line = i / p.inner;
  const int r = static_cast<int>(i - line * p.inner);
  if (p.middle == 1) return {r, 0, static_cast<int>(line)};
  return {r, static_cast<int>(line % p.middle), static_cast<int>(line / p.middle)};
}

// The bins [0, head) and [tail, side) of an axis
struct Kept {
  int head, tail, count;

  // a bin's number among them, −1 if it is not kept; and back
  __device__ __forceinline__ int number(int bin) const {
    return bin < head ? bin : bin >= tail ? bin - tail + head : -1;
  }
  __device__ __forceinline__ int bin(int number) const {
    return number < head ? number : number - head + tail;
  }
};

// The box of frequencies of a set's table. A box that reaches outside is not followed: nothing is
// kept and `scale` is NaN, which all that it gives becomes.
struct Box {
  int64_t first;
  Kept inner, middle, outer;
  float scale;

  __device__ Box(const int64_t* support, int axes, const Plane& of, int lanes, int64_t psi_entries)
      : Box(of) {
    bool fits = support[0] >= 0;
    int64_t kept = lanes;
    const auto take = [&](int axis, int side, Kept& of_axis) {
      const int64_t head = support[1 + 2 * axis], tail = support[2 + 2 * axis];
      fits = fits && 0 <= head && head <= tail && tail <= side;
      if (!fits) return;  // else the product may overflow
      kept *= side - tail + head;
      of_axis = {static_cast<int>(head), static_cast<int>(tail),
                 static_cast<int>(side - tail + head)};
    };
    take(0, of.inner, inner);
    if (axes == 3) take(1, of.middle, middle);
    if (axes > 1) take(axes - 1, of.outer, outer);
    fits = fits && support[0] <= psi_entries - kept;
    first = fits ? support[0] : 0;
    if (fits) return;
    inner = {0, of.inner, 0};
    scale = nanf("");
  }
  // everything is kept
  __device__ explicit Box(const Plane& of)
      : first(0),
        inner{of.inner, of.inner, of.inner},
        middle{of.middle, of.middle, of.middle},
        outer{of.outer, of.outer, of.outer},
        scale(1.0f) {}

  __device__ __forceinline__ int64_t entries() const {
    return int64_t{outer.count} * middle.count * inner.count;
  }
  // the number of a bin in the table, −1 if it is not kept
  __device__ __forceinline__ int64_t entry(int r, int b, int c) const {
    const int row = inner.number(r), line = middle.number(b), column = outer.number(c);
    if (row < 0 || line < 0 || column < 0) return -1;
    return (int64_t{column} * middle.count + line) * inner.count + row;
  }
  __device__ __forceinline__ Place bin(int64_t entry) const {
    const Place at = place_in({inner.count, middle.count, outer.count}, entry);
    return {inner.bin(at.r), middle.bin(at.b), outer.bin(at.c)};
  }
};

// Output o's band of a low-pass as the table has it, all of a line of `size` without a table. One
// that reaches outside is not followed: all is needed, and the taps are NaN.
__device__ __forceinline__ int2 band_in(const int64_t* support, int size, int o) {
  if (support == nullptr) return make_int2(0, size);
  const int64_t low = support[2 * o], high = support[2 * o + 1];
  if (!is_band(low, high, size)) return make_int2(0, size);
  return make_int2(static_cast<int>(low), static_cast<int>(high));
}
// The points of a line of `size` that some outputs of a low-pass need: [x, y) modulo size, x
// inside, y − x at most size; all of them without a table. To go through them:
//
//   for (int first = band.x, last = band.y; last > 0; first = 0, last -= size)
//     for (int k = first; k < min(last, size); ++k) …
//
// Here of `count` bands as the table has them, band(0) …
template <class F>
__device__ __forceinline__ int2 band_of(int count, int size, F band) {
  int low = size, high = -size;
  for (int o = 0; o < count; ++o) {
    const int2 one = band(o);
    if (one.x == one.y) continue;
    low = min(low, one.x), high = max(high, one.y);
  }
  if (high - low >= size) return make_int2(0, size);
  if (low >= high) return make_int2(0, 0);
  const int turn = low < 0 ? size : low < size ? 0 : -size;
  return make_int2(low + turn, high + turn);
}
__device__ __forceinline__ int2 band_of(const int64_t* support, int size, int first, int last) {
  return band_of(last - first, size,
                 [&](int o) SCATCUDA_LAMBDA { return band_in(support, size, first + o); });
}
__device__ __forceinline__ int2 band_of(const int2* bands, int count, int size) {
  return band_of(count, size, [&](int o) SCATCUDA_LAMBDA { return bands[o]; });
}
// Whether a band has some of the points [first, last) of the line
__device__ __forceinline__ bool meets(int2 band, int first, int last, int size) {
  return (first < band.y && last > band.x) || first + size < band.y;
}

}  // namespace SCATCUDA_ISA
}  // namespace scatcuda
