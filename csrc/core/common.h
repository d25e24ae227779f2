// What every floor of csrc shares: where code may run, and a loop unrolled at compile time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

// One source serves host and device.
#if defined(__CUDACC__)
#define SCATCUDA_HD __host__ __device__
#else
#define SCATCUDA_HD
#endif
#define SCATCUDA_INLINE SCATCUDA_HD inline __attribute__((always_inline))
// Before a loop of a few turns, whose number is a constant: unrolled, so that arrays are registers.
#if defined(__CUDACC__)
#define SCATCUDA_UNROLL _Pragma("unroll")
#elif defined(__clang__)
#define SCATCUDA_UNROLL _Pragma("clang loop unroll(full)")
#else
#define SCATCUDA_UNROLL _Pragma("GCC unroll 32")
#endif
// The body of a loop that `unroll` unrolls; without it compilers leave large bodies as calls,
// through memory.
#define SCATCUDA_LAMBDA __attribute__((always_inline))
// One pass over data, kept apart from its callers so that each has the registers to itself.
#define SCATCUDA_KERNEL __attribute__((noinline))

// The CPU engine is compiled once for each instruction set. Each copy lives in a namespace of its
// own, so that the linker never merges an inline function built for AVX-512 with its namesake in
// code that must run anywhere.
#ifndef SCATCUDA_ISA
#define SCATCUDA_ISA portable
#endif

namespace scatcuda {
inline namespace SCATCUDA_ISA {

template <class F, std::size_t... I>
SCATCUDA_INLINE void unroll(F&& f, std::index_sequence<I...>) {
  (f(std::integral_constant<int, static_cast<int>(I)>{}), ...);
}

// f(0), f(1), …, f(N − 1), the index a compile-time constant of the type of the argument. Where it
// need not be one, a loop behind SCATCUDA_UNROLL is the same code and quicker to compile.
template <int N, class F>
SCATCUDA_INLINE void unroll(F&& f) {
  unroll(f, std::make_index_sequence<static_cast<std::size_t>(N)>{});
}

SCATCUDA_HD constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
SCATCUDA_HD constexpr int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }
// i · count / parts, 0 ≤ i ≤ parts: where the i-th of so many parts begins. The product itself may
// be too large; without it, parts² must not be.
SCATCUDA_HD constexpr int64_t share_of(int64_t i, int64_t parts, int64_t count) {
  return i * (count / parts) + i * (count % parts) / parts;
}
SCATCUDA_HD constexpr int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }
SCATCUDA_HD constexpr int64_t max(int64_t a, int64_t b) { return a > b ? a : b; }

}  // namespace SCATCUDA_ISA
}  // namespace scatcuda
