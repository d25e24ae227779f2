// Picks the copy of the CPU engine for this processor, once, when first used.
#include <cstdlib>
#include <cstring>

#include "../core/schedule.h"
#include "engine.h"

namespace scatcuda {

Status shape_of(const Problem& p, Shape* shape) {
  // limits far beyond use, within which no size below can overflow
  constexpr int64_t most_angles = 1 << 12, longest_side = 1 << 24;
  if (p.J < 1 || p.J > max_scales || p.L < 1 || p.L > most_angles || p.M > longest_side ||
      p.N > longest_side || p.max_order < 0 || p.max_order > 2) {
    return Status::bad_problem;
  }
  const int64_t scale = int64_t{1} << p.J;
  if (p.pre_pad ? p.M % scale != 0 || p.N % scale != 0 || p.M / scale < 3 || p.N / scale < 3
                : p.M < scale || p.N < scale) {
    return Status::bad_problem;
  }
  const Schedule s = schedule_of(p);
  *shape = {s.Mp, s.Np, s.m, s.n, s.channels};
  return Status::ok;
}

int64_t angle_lanes(int64_t L) { return schedule_of({1, L, 0, 2, 2, false}).lanes; }
int64_t psi_tables(const Problem& problem) { return schedule_of(problem).wavelet_tables(); }
int64_t phi_entries(const Problem& problem) { return schedule_of(problem).phi_offset(problem.J); }

namespace cpu {
namespace {

struct Chosen {
  const char* isa;
  const Engine<float>* of_float;
  const Engine<double>* of_double;
};

Chosen choose() {
#if defined(SCATCUDA_X86_64)
  const char* wanted = std::getenv("SCATCUDA_CPU_ISA");
  const auto may = [wanted](const char* isa, bool supported) {
    return supported && (wanted == nullptr || *wanted == '\0' || std::strcmp(wanted, isa) == 0);
  };
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("avx512bw");
  if (may("avx512", avx512)) return {"avx512", &engine_avx512_float, &engine_avx512_double};
  if (may("avx2", avx2)) return {"avx2", &engine_avx2_float, &engine_avx2_double};
#endif
  return {"baseline", &engine_baseline_float, &engine_baseline_double};
}

const Chosen& chosen() {
  static const Chosen c = choose();
  return c;
}

template <class T>
const Engine<T>& engine() {
  if constexpr (sizeof(T) == sizeof(float)) {
    return *chosen().of_float;
  } else {
    return *chosen().of_double;
  }
}

}  // namespace

const char* isa() { return chosen().isa; }

template <class T>
int64_t workspace_bytes(const Problem& problem, int64_t B, int64_t threads) {
  return engine<T>().workspace_bytes(problem, B, threads);
}
template <class T>
Status scattering2d(const Problem& problem, const Bank<T>& bank, int64_t B, const T* x, T* S,
                    void* workspace, int64_t bytes, const Executor& executor) {
  return engine<T>().scattering2d(problem, bank, B, x, S, workspace, bytes, executor);
}
template <class T>
void filter_fold(int64_t B, int64_t L, int64_t M, int64_t N, int64_t k, const T* x_hat,
                 const T* psi, T* out, const Executor& executor) {
  engine<T>().filter_fold(B, L, M, N, k, x_hat, psi, out, executor);
}
template <class T>
void modulus(int64_t count, const T* z, T* out, const Executor& executor) {
  engine<T>().modulus(count, z, out, executor);
}

#define SCATCUDA_INSTANTIATE(T)                                                                 \
  template int64_t workspace_bytes<T>(const Problem&, int64_t, int64_t);                        \
  template Status scattering2d<T>(const Problem&, const Bank<T>&, int64_t, const T*, T*, void*, \
                                  int64_t, const Executor&);                                    \
  template void filter_fold<T>(int64_t, int64_t, int64_t, int64_t, int64_t, const T*, const T*, \
                               T*, const Executor&);                                            \
  template void modulus<T>(int64_t, const T*, T*, const Executor&);
SCATCUDA_INSTANTIATE(float)
SCATCUDA_INSTANTIATE(double)

}  // namespace cpu
}  // namespace scatcuda
