// Reading images and banks on the GPU, in both tiers.
#pragma once

#include <cstring>

#include "../core/common.h"
#include "../core/engines.h"
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

  __device__ Box(const int64_t* support, int outer, int inner, int64_t entries)
      : Box(outer, inner) {
    const auto inside = [](int64_t low, int64_t high, int64_t size) {
      return 0 <= low && low <= high && high <= size;
    };
    bool fits = inside(support[1], support[2], inner) && inside(support[3], support[4], outer);
    if (fits) {  // only now can the product not overflow
      const int64_t kept = (inner - support[2] + support[1]) * (outer - support[4] + support[3]);
      fits = 0 <= support[0] && support[0] <= entries - kept;
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

}  // namespace SCATCUDA_ISA
}  // namespace scatcuda
