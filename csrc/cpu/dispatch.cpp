// Picks the copy of the CPU engine for this processor, once, when first used, among those that were
// compiled: SCATCUDA_HAS_avx512 and so on say which.
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "engine.h"
#include "processor.h"

namespace scatcuda {
namespace cpu {
namespace {

struct Chosen {
  const char* isa;
  const Engine<float>* of_float;
  const Engine<double>* of_double;
};

// The best first
constexpr Chosen compiled[] = {
#if defined(SCATCUDA_HAS_avx512)
    {"avx512", &engine_avx512_float, &engine_avx512_double},
#endif
#if defined(SCATCUDA_HAS_avx2)
    {"avx2", &engine_avx2_float, &engine_avx2_double},
#endif
#if defined(SCATCUDA_HAS_baseline)
    {"baseline", &engine_baseline_float, &engine_baseline_double},
#endif
};

// The best one; what is wanted; where that cannot be had, the least
Chosen choose() {
  const char* wanted = std::getenv("SCATCUDA_CPU_ISA");
  Chosen found{"none", nullptr, nullptr};
  for (const Chosen& c : compiled) {
    if (!processor_has(c.isa)) continue;
    found = c;
    if (wanted == nullptr || *wanted == '\0' || std::strcmp(wanted, c.isa) == 0) break;
  }
  return found;
}

const Chosen& chosen() {
  static const Chosen c = choose();
  return c;
}

template <class T>
const Engine<T>& engine() {
  if (!available()) {  // Python and plans of the C interface have said so before
    std::fprintf(stderr, "scatcuda: %s\n", unavailable);
    std::abort();
  }
  if constexpr (sizeof(T) == sizeof(float)) {
    return *chosen().of_float;
  } else {
    return *chosen().of_double;
  }
}

}  // namespace

const char* isa() { return chosen().isa; }
bool available() { return chosen().of_float != nullptr; }

template <class T>
int64_t workspace_bytes(const Program& program, int64_t B, int64_t threads, bool laid_out) {
  return engine<T>().workspace_bytes(program, B, threads, laid_out);
}
template <class T>
Status scattering(const Program& program, const Bank<T>& bank, int64_t B, const T* x, T* S,
                  void* workspace, int64_t bytes, const Executor& executor) {
  return engine<T>().scattering(program, bank, B, x, S, workspace, bytes, executor);
}
template <class T>
int64_t backward_workspace_bytes(const Program& program, int64_t psi_entries, bool with_phi,
                                 int64_t B, int64_t threads, bool laid_out) {
  return engine<T>().backward_workspace_bytes(program, psi_entries, with_phi, B, threads, laid_out);
}
template <class T>
Status scattering_backward(const Program& program, const Bank<T>& bank, int64_t psi_entries,
                           int64_t B, const T* x, const T* g, const Gradients<T>& gradients,
                           void* workspace, int64_t bytes, const Executor& executor) {
  return engine<T>().scattering_backward(program, bank, psi_entries, B, x, g, gradients, workspace,
                                         bytes, executor);
}
template <class T>
void filter_fold(int64_t B, int64_t L, int64_t M, int64_t N, int64_t k, const T* x_hat,
                 const T* psi, T* out, const Executor& executor) {
  engine<T>().filter_fold(B, L, M, N, k, x_hat, psi, out, executor);
}
template <class T>
void filter_fold_backward(int64_t B, int64_t L, int64_t M, int64_t N, int64_t k, const T* g,
                          const T* x_hat, const T* psi, T* grad_x, T* grad_psi,
                          const Executor& executor) {
  engine<T>().filter_fold_backward(B, L, M, N, k, g, x_hat, psi, grad_x, grad_psi, executor);
}
template <class T>
void modulus(int64_t count, const T* z, T* out, const Executor& executor) {
  engine<T>().modulus(count, z, out, executor);
}
template <class T>
void modulus_backward(int64_t count, const T* g, const T* z, T* out, const Executor& executor) {
  engine<T>().modulus_backward(count, g, z, out, executor);
}
template <class T>
int64_t laid_out_numbers(const Program& program, const Bank<T>& bank) {
  return engine<T>().laid_out_numbers(program, bank);
}
template <class T>
void lay_out(const Program& program, const Bank<T>& bank, T* out) {
  engine<T>().lay_out(program, bank, out);
}

#define SCATCUDA_INSTANTIATE(T)                                                                   \
  template int64_t workspace_bytes<T>(const Program&, int64_t, int64_t, bool);                    \
  template Status scattering<T>(const Program&, const Bank<T>&, int64_t, const T*, T*, void*,     \
                                int64_t, const Executor&);                                        \
  template int64_t backward_workspace_bytes<T>(const Program&, int64_t, bool, int64_t, int64_t,   \
                                               bool);                                             \
  template Status scattering_backward<T>(const Program&, const Bank<T>&, int64_t, int64_t,        \
                                         const T*, const T*, const Gradients<T>&, void*, int64_t, \
                                         const Executor&);                                        \
  template void filter_fold<T>(int64_t, int64_t, int64_t, int64_t, int64_t, const T*, const T*,   \
                               T*, const Executor&);                                              \
  template void filter_fold_backward<T>(int64_t, int64_t, int64_t, int64_t, int64_t, const T*,    \
                                        const T*, const T*, T*, T*, const Executor&);             \
  template int64_t laid_out_numbers<T>(const Program&, const Bank<T>&);                           \
  template void lay_out<T>(const Program&, const Bank<T>&, T*);                                   \
  template void modulus<T>(int64_t, const T*, T*, const Executor&);                               \
  template void modulus_backward<T>(int64_t, const T*, const T*, T*, const Executor&);
SCATCUDA_INSTANTIATE(float)
SCATCUDA_INSTANTIATE(double)

}  // namespace cpu
}  // namespace scatcuda
