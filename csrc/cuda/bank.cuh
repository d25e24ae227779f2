// Reading images and banks on the GPU, in both tiers.
#pragma once

#include <cstring>

#include "cascade.h"
#include "runtime.h"

namespace scatcuda {
inline namespace SCATCUDA_ISA {

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

// The box of frequencies of a wavelet table. A box that reaches outside is not followed: nothing
// is kept and `scale` is NaN, which all its coefficients become.
struct Box {
  int64_t first;
  int head, tail, left, right, rows, columns;
  float scale;

  __device__ Box(const int64_t* support, int outer, int inner, int lanes, int64_t psi_entries)
      : Box(outer, inner) {
    const auto inside = [](int64_t low, int64_t high, int64_t size) {
      return 0 <= low && low <= high && high <= size;
    };
    bool fits = inside(support[1], support[2], inner) && inside(support[3], support[4], outer);
    if (fits) {  // only now can the product not overflow
      const int64_t kept = (inner - support[2] + support[1]) * (outer - support[4] + support[3]);
      fits = 0 <= support[0] && support[0] <= psi_entries - kept * lanes;
    }
    first = fits ? support[0] : 0;
    head = fits ? static_cast<int>(support[1]) : 0;
    tail = fits ? static_cast<int>(support[2]) : inner;
    left = fits ? static_cast<int>(support[3]) : 0;
    right = fits ? static_cast<int>(support[4]) : outer;
    rows = inner - tail + head, columns = outer - right + left;
    scale = fits ? 1.0f : nanf("");
  }
  // everything is kept
  __device__ Box(int outer, int inner)
      : first(0),
        head(inner),
        tail(inner),
        left(outer),
        right(outer),
        rows(inner),
        columns(outer),
        scale(1.0f) {}
  // a kept entry's number within the box, −1 if it is not kept
  __device__ __forceinline__ int column(int c) const {
    return c < left ? c : c >= right ? c - right + left : -1;
  }
  __device__ __forceinline__ int row(int r) const {
    return r < head ? r : r >= tail ? r - tail + head : -1;
  }
};

// The points of a line of `size` that some outputs of a low-pass need: [x, y) modulo size, x
// inside, y − x at most size; all of them without a table. To go through them:
//
//   for (int first = band.x, last = band.y; last > 0; first = 0, last -= size)
//     for (int k = first; k < min(last, size); ++k) …
//
// A band in the table that reaches outside is not followed: all is needed, and the taps are NaN.
__device__ __forceinline__ int2 band_of(const int64_t* support, int size, int first, int last) {
  if (support == nullptr) return make_int2(0, size);
  int low = size, high = -size;
  for (int o = first; o < last; ++o) {
    const int64_t l = support[2 * o], h = support[2 * o + 1];
    if (!is_band(l, h, size)) return make_int2(0, size);
    if (l == h) continue;
    low = min(low, static_cast<int>(l)), high = max(high, static_cast<int>(h));
  }
  if (high - low >= size) return make_int2(0, size);
  if (low >= high) return make_int2(0, 0);
  const int turn = low < 0 ? size : low < size ? 0 : -size;
  return make_int2(low + turn, high + turn);
}
// Whether a band has some of the points [first, last) of the line
__device__ __forceinline__ bool meets(int2 band, int first, int last, int size) {
  return (first < band.y && last > band.x) || first + size < band.y;
}

}  // namespace SCATCUDA_ISA
}  // namespace scatcuda
