// One compiled copy of the CPU engine: the functions of one instruction set and one number type.
#pragma once

#include "../core/engines.h"

namespace scatcuda {

template <class T>
struct Engine {
  int64_t (*workspace_bytes)(const Program&, int64_t B, int64_t threads, bool laid_out);
  Status (*scattering)(const Program&, const Bank<T>&, int64_t B, const T* x, T* S, void* workspace,
                       int64_t bytes, const Executor&);
  int64_t (*backward_workspace_bytes)(const Program&, int64_t psi_entries, bool with_phi, int64_t B,
                                      int64_t threads, bool laid_out);
  Status (*scattering_backward)(const Program&, const Bank<T>&, int64_t psi_entries, int64_t B,
                                const T* x, const T* g, const Gradients<T>&, void* workspace,
                                int64_t bytes, const Executor&);
  void (*filter_fold)(int64_t B, int64_t L, int64_t M, int64_t N, int64_t k, const T* x_hat,
                      const T* psi, T* out, const Executor&);
  void (*filter_fold_backward)(int64_t B, int64_t L, int64_t M, int64_t N, int64_t k, const T* g,
                               const T* x_hat, const T* psi, T* grad_x, T* grad_psi,
                               const Executor&);
  void (*modulus)(int64_t count, const T* z, T* out, const Executor&);
  void (*modulus_backward)(int64_t count, const T* g, const T* z, T* out, const Executor&);
  int64_t (*laid_out_numbers)(const Program&, const Bank<T>&);
  void (*lay_out)(const Program&, const Bank<T>&, T* out);
};

extern const Engine<float> engine_baseline_float, engine_avx2_float, engine_avx512_float;
extern const Engine<double> engine_baseline_double, engine_avx2_double, engine_avx512_double;

}  // namespace scatcuda
