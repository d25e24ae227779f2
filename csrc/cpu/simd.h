// SIMD vectors and the ways the cascade reads and writes them.
//
// The L angles of a scale are the lanes. A vector of W lanes holds `slots` rows (or columns) of
// Q = W / slots angles: with 8 angles and AVX-512 two rows share a register, so that no lane idles
// and only one image is in the cache. With more angles than lanes the angles go in chunks.
//
// An element of such an array is complex: Q real parts, then Q imaginary parts.
#pragma once

#include <math.h>

#include <cstring>

#include "../core/fft.h"
#include "stopwatch.h"

namespace scatcuda {
inline namespace SCATCUDA_ISA {

#if defined(__AVX512F__)
constexpr int vector_bytes = 64;
#elif defined(__AVX2__)
constexpr int vector_bytes = 32;
#else
constexpr int vector_bytes = 16;
#endif
constexpr int64_t alignment = 64;

template <class T, int Lanes>
struct VectorOf {
  typedef T type __attribute__((vector_size(sizeof(T) * Lanes)));
};
template <class T, int Lanes>
using Vector = typename VectorOf<T, Lanes>::type;

template <class T>
constexpr int full_lanes = vector_bytes / static_cast<int>(sizeof(T));

template <int Lanes, class T>
SCATCUDA_INLINE Vector<T, Lanes> load(const T* p) {
  Vector<T, Lanes> v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
template <class V, class T>
SCATCUDA_INLINE void store(T* p, const V& v) {
  std::memcpy(p, &v, sizeof v);
}

// A vector that is used more than once stays in a register: compilers may read it again for each
// use, as the operand of an instruction, where loads are what there is too much of.
template <class V>
SCATCUDA_INLINE V held(V v) {
#if defined(__AVX512F__)
  asm("" : "+v"(v));
#elif defined(__SSE2__)
  asm("" : "+x"(v));
#elif defined(__aarch64__)
  asm("" : "+w"(v));
#endif
  return v;
}

template <int Lanes, class T>
SCATCUDA_INLINE Vector<T, Lanes> concatenate(Vector<T, Lanes / 2> a, Vector<T, Lanes / 2> b) {
  if constexpr (Lanes == 16) {
    return __builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  } else {
    static_assert(Lanes == 8, "slots have at least four lanes");
    return __builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7);
  }
}
template <int Lanes, class T>
SCATCUDA_INLINE void halves(Vector<T, Lanes> v, Vector<T, Lanes / 2>& a, Vector<T, Lanes / 2>& b) {
  if constexpr (Lanes == 16) {
    a = __builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7);
    b = __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15);
  } else {
    static_assert(Lanes == 8, "slots have at least four lanes");
    a = __builtin_shufflevector(v, v, 0, 1, 2, 3);
    b = __builtin_shufflevector(v, v, 4, 5, 6, 7);
  }
}

// One vector from `Slots` places, and back.
template <int Lanes, int Slots, class T>
SCATCUDA_INLINE Vector<T, Lanes> load_slots(T* const* p, int64_t offset) {
  if constexpr (Slots == 1) {
    return load<Lanes>(p[0] + offset);
  } else {
    return concatenate<Lanes, T>(load_slots<Lanes / 2, Slots / 2>(p, offset),
                                 load_slots<Lanes / 2, Slots / 2>(p + Slots / 2, offset));
  }
}
template <int Lanes, int Slots, class T>
SCATCUDA_INLINE void store_slots(T* const* p, int64_t offset, Vector<T, Lanes> v) {
  if constexpr (Slots == 1) {
    store(p[0] + offset, v);
  } else {
    Vector<T, Lanes / 2> a, b;
    halves<Lanes, T>(v, a, b);
    store_slots<Lanes / 2, Slots / 2>(p, offset, a);
    store_slots<Lanes / 2, Slots / 2>(p + Slots / 2, offset, b);
  }
}

template <int Lanes, int Half, class V, std::size_t... I>
SCATCUDA_INLINE void exchange(V& a, V& b, std::index_sequence<I...>) {
  const V low = __builtin_shufflevector(
      a, b, ((I & Half) ? static_cast<int>(Lanes + I - Half) : static_cast<int>(I))...);
  b = __builtin_shufflevector(
      a, b, ((I & Half) ? static_cast<int>(Lanes + I) : static_cast<int>(I + Half))...);
  a = low;
}
// Transposes a square of Lanes × Lanes numbers in registers: swaps its off-diagonal quarters, then
// those of every quarter, and so on.
template <int Lanes, class V, int Half = Lanes / 2>
SCATCUDA_INLINE void transpose(V* rows) {
  unroll<Lanes>([&](auto i) SCATCUDA_LAMBDA {
    if constexpr ((decltype(i)::value & Half) == 0) {
      exchange<Lanes, Half>(rows[i], rows[i + Half], std::make_index_sequence<Lanes>{});
    }
  });
  if constexpr (Half > 1) transpose<Lanes, V, Half / 2>(rows);
}

// Sums of each row's lanes: sums[i] = Σ_lane rows[i][lane]. Halves of two rows are added and set
// side by side until one vector is left.
template <int Lanes, class V, int Half = Lanes / 2>
SCATCUDA_INLINE V lane_sums(V* rows) {
  SCATCUDA_UNROLL
  for (int i = 0; i < Half; ++i) {
    exchange<Lanes, Half>(rows[i], rows[i + Half], std::make_index_sequence<Lanes>{});
    rows[i] += rows[i + Half];
  }
  if constexpr (Half > 1) {
    return lane_sums<Lanes, V, Half / 2>(rows);
  } else {
    return rows[0];
  }
}

// Compilers make one instruction of this. (A reciprocal estimate and a Newton step were no faster.)
template <class V>
SCATCUDA_INLINE V square_root(V s) {
  V r{};
  for (unsigned i = 0; i < sizeof(V) / sizeof(s[0]); ++i)
    r[i] = static_cast<Scalar<V>>(__builtin_sqrt(s[i]));
  return r;
}

}  // namespace SCATCUDA_ISA
}  // namespace scatcuda
