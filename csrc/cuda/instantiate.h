// The functions of scatcuda::cuda for a type of numbers, for the files that define them.
#pragma once

#include "../core/engines.h"

#define SCATCUDA_INSTANTIATE_ENGINE(T)                                                            \
  template Status choose<T>(const Program&, int64_t, const Device&, Tier, int64_t, const Fft*,    \
                            Launch*, Task);                                                       \
  template Status workspace_bytes<T>(const Program&, const Launch&, const Fft*, void*, int64_t*); \
  template Status scattering<T>(const Program&, const Launch&, const Bank<T>&, int64_t, int64_t,  \
                                const void*, T*, void*, int64_t, const Fft*, void*, Pixels);      \
  template Status scattering_backward<T>(const Program&, const Launch&, const Bank<T>&, int64_t,  \
                                         int64_t, const void*, const T*, const Gradients<T>&,     \
                                         void*, int64_t, const Fft*, void*, Pixels);

#define SCATCUDA_INSTANTIATE_STAGES(T)                                                            \
  template Status filter_fold<T>(int64_t, int64_t, int64_t, int64_t, int64_t, const T*, const T*, \
                                 T*, void*);                                                      \
  template Status filter_fold_backward<T>(int64_t, int64_t, int64_t, int64_t, int64_t, const T*,  \
                                          const T*, const T*, T*, T*, void*);                     \
  template Status modulus<T>(int64_t, const T*, T*, void*);                                       \
  template Status modulus_backward<T>(int64_t, const T*, const T*, T*, void*);                    \
  template Status lowpass<T>(int64_t, int64_t, int64_t, int64_t, int64_t, const T*, const T*,     \
                             const T*, T*, void*);
