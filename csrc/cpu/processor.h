// Which instruction sets the processor that runs this has, for which there may be an engine. CMake
// asks too: cmake/native.cpp.
#pragma once

#include <cstring>

namespace scatcuda {
namespace cpu {

inline bool processor_has(const char* isa) {
#if defined(__x86_64__)
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (std::strcmp(isa, "avx2") == 0) return avx2;
  if (std::strcmp(isa, "avx512") == 0) {
    return avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw");
  }
#endif
  return std::strcmp(isa, "baseline") == 0;
}

}  // namespace cpu
}  // namespace scatcuda
