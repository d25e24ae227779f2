// Stands for the CUDA engine, and for the parts of PyTorch that know CUDA, so that
// csrc/torch/cuda.cpp runs on tensors of the CPU: the operators are computed by their definition,
// scattering only adds the pixels of an image up, and the gradients of filters are 2 and 3. What
// the engine was asked is kept as text; what it answers can be set.
#include <torch/csrc/stable/tensor.h>

#include <cmath>
#include <cstdio>
#include <cstring>
#include <string>

#include "../../csrc/cuda/instantiate.h"

namespace {

using scatcuda::Status;

std::string calls;
int answers[6];  // of the functions in the order of engine.h: device_limits, choose …
bool has_cufft = true;
int architecture = 90;          // sm_90
int64_t most_wave = INT64_MAX;  // beyond it a workspace is too large for any machine

template <class... Values>
void record(const char* format, Values... values) {
  char line[200];
  std::snprintf(line, sizeof line, format, values...);
  calls += std::string(line) + "\n";
}
Status answer(int function) { return static_cast<Status>(answers[function]); }

int no_stream;

}  // namespace

// --- what PyTorch for CUDA has
// --------------------------------------------------------------------

extern "C" {
int32_t aoti_torch_device_type_cuda() { return aoti_torch_device_type_cpu(); }
AOTITorchError aoti_torch_create_device_guard(int32_t index, DeviceGuardHandle* guard) {
  record("guard %d", index);
  *guard = reinterpret_cast<DeviceGuardHandle>(&no_stream);
  return 0;
}
AOTITorchError aoti_torch_delete_device_guard(DeviceGuardHandle) {
  record("guard ends");
  return 0;
}
__attribute__((visibility("default"))) AOTITorchError
aoti_torch_get_current_cuda_stream(int32_t, void** stream) {
  *stream = &no_stream;
  return 0;
}
__attribute__((visibility("default"))) const char* torch_exception_get_what_without_backtrace() {
  return "CUDA out of memory. Tried to allocate too much.";
}

// --- what a test sets and reads
// ---------------------------------------------------------------------

__attribute__((visibility("default"))) void standin_answer(int function, int status) {
  answers[function] = status;
}
__attribute__((visibility("default"))) void standin_cufft(bool present) { has_cufft = present; }
__attribute__((visibility("default"))) void standin_architecture(int value) {
  architecture = value;
}
__attribute__((visibility("default"))) void standin_most_wave(int64_t wave) { most_wave = wave; }
// the calls since the last reading
__attribute__((visibility("default"))) const char* standin_calls() {
  static std::string read;
  read.swap(calls);
  calls.clear();
  return read.c_str();
}
}

namespace scatcuda {
namespace cuda {

Status device_limits(int, Device* device) {
  record("device_limits");
  *device = {architecture, 132, 232448, 233472, 50 << 20, int64_t{80} << 30};
  return answer(0);
}

const Fft* cufft(int*) {
  static const Fft fft{};
  return has_cufft ? &fft : nullptr;
}
const char* cufft_error() { return "it answered 5 when making a plan"; }
const char* last_error() { return "an illegal memory access was encountered"; }
const char* driver_needed() { return "CUDA 13.0, NVIDIA driver 580 or newer"; }

template <class T>
Status choose(const Program& p, int64_t B, const Device& device, Tier tier, int64_t budget,
              const Fft*, Launch* launch, Task task) {
  record("choose%s%s rank %d, %ld channels, %ld images, sm_%d, tier %d, budget %ld",
         task == Task::forward    ? ""
         : task == Task::backward ? " backward"
                                  : " backward with filters",
         sizeof(T) == 8 ? " double" : "", p.rank, p.channels, B, device.architecture,
         static_cast<int>(tier), budget);
  *launch = {Tier::general, false, 0, 0, 0, B, task};
  return answer(1);
}

template <class T>
Status workspace_bytes(const Program&, const Launch& launch, const Fft*, void*, int64_t* bytes) {
  record("workspace_bytes wave %ld", launch.wave);
  *bytes = launch.wave > most_wave ? INT64_MAX / 2 : 100 * launch.wave;
  return answer(2);
}

void record_run(const char* function, const Launch& launch, const void* workspace, int64_t bytes,
                const void* stream, Pixels pixels) {
  record("%s wave %ld, %ld bytes%s%s%s", function, launch.wave, bytes,
         workspace == nullptr ? " nowhere" : "", stream == &no_stream ? "" : ", wrong stream",
         pixels == Pixels::half       ? ", half"
         : pixels == Pixels::bfloat16 ? ", bfloat16"
         : pixels == Pixels::uint8    ? ", uint8"
                                      : "");
}

template <class T>
Status scattering(const Program& p, const Launch& launch, const Bank<T>&, int64_t, int64_t B,
                  const void* x, T* S, void* workspace, int64_t bytes, const Fft*, void* stream,
                  Pixels pixels) {
  record_run("scattering", launch, workspace, bytes, stream, pixels);
  const auto pixel = [&](int64_t i) {
    switch (pixels) {
      case Pixels::as_bank:
        return static_cast<const T*>(x)[i];
      case Pixels::half:
        return static_cast<T>(static_cast<const torch::headeronly::Half*>(x)[i]);
      case Pixels::bfloat16:
        return static_cast<T>(static_cast<const torch::headeronly::BFloat16*>(x)[i]);
      case Pixels::uint8:
        return static_cast<T>(static_cast<const uint8_t*>(x)[i]);
    }
    return T(0);
  };
  const int64_t outputs = p.channels * p.unit, points = points_of(p.signal);
  for (int64_t b = 0; b < B; ++b) {
    T sum = 0;
    for (int64_t i = 0; i < points; ++i) sum += pixel(b * points + i) * static_cast<T>(i);
    for (int64_t i = 0; i < outputs; ++i) S[b * outputs + i] = sum;
  }
  return answer(3);
}

template <class T>
Status scattering_backward(const Program& p, const Launch& launch, const Bank<T>&,
                           int64_t psi_entries, int64_t B, const void*, const T* g,
                           const Gradients<T>& gradients, void* workspace, int64_t bytes,
                           const Fft*, void* stream, Pixels pixels) {
  record_run("scattering_backward", launch, workspace, bytes, stream, pixels);
  const int64_t outputs = p.channels * p.unit, points = points_of(p.signal);
  for (int64_t b = 0; gradients.x != nullptr && b < B; ++b) {
    T sum = 0;
    for (int64_t i = 0; i < outputs; ++i) sum += g[b * outputs + i];
    for (int64_t i = 0; i < points; ++i) {
      gradients.x[b * points + i] = sum * static_cast<T>(i);
    }
  }
  for (int64_t i = 0; gradients.psi != nullptr && i < psi_entries; ++i) gradients.psi[i] = 2;
  for (int64_t i = 0; gradients.phi != nullptr && i < p.phi_numbers; ++i) gradients.phi[i] = 3;
  return answer(3);
}

template <class T>
Status filter_fold_backward(int64_t B, int64_t L, int64_t M, int64_t N, int64_t k, const T* g,
                            const T* x_hat, const T* psi, T* grad_x, T* grad_psi, void*) {
  record("filter_fold_backward");
  for (int64_t i = 0; grad_x != nullptr && i < 2 * B * M * N; ++i) grad_x[i] = 0;
  for (int64_t i = 0; grad_psi != nullptr && i < L * M * N; ++i) grad_psi[i] = 0;
  for (int64_t i = 0; i < B * L * M * N; ++i) {
    const int64_t column = i % N, row = i / N % M, l = i / N / M % L, b = i / N / M / L;
    const int64_t from = ((b * L + l) * (M / k) + row % (M / k)) * (N / k) + column % (N / k);
    const int64_t bin = (b * M + row) * N + column, entry = (l * M + row) * N + column;
    for (int part = 0; part < 2; ++part) {
      const T share = g[2 * from + part] / static_cast<T>(k * k);
      if (grad_x != nullptr) grad_x[2 * bin + part] += share * psi[entry];
      if (grad_psi != nullptr) grad_psi[entry] += share * x_hat[2 * bin + part];
    }
  }
  return answer(4);
}

template <class T>
Status modulus_backward(int64_t count, const T* g, const T* z, T* out, void*) {
  record("modulus_backward");
  for (int64_t i = 0; i < 2 * count; ++i) {
    const T length = std::hypot(z[i / 2 * 2], z[i / 2 * 2 + 1]);
    out[i] = length == 0 ? 0 : g[i / 2] * z[i] / length;
  }
  return answer(4);
}

template <class T>
Status filter_fold(int64_t B, int64_t L, int64_t M, int64_t N, int64_t k, const T* x_hat,
                   const T* psi, T* out, void*) {
  record("filter_fold");
  std::memset(out, 0, sizeof(T) * static_cast<size_t>(2 * B * L * (M / k) * (N / k)));
  for (int64_t i = 0; i < B * L * M * N; ++i) {
    const int64_t column = i % N, row = i / N % M, l = i / N / M % L, b = i / N / M / L;
    const int64_t to = ((b * L + l) * (M / k) + row % (M / k)) * (N / k) + column % (N / k);
    for (int part = 0; part < 2; ++part) {
      out[2 * to + part] += x_hat[2 * ((b * M + row) * N + column) + part] *
                            psi[(l * M + row) * N + column] / static_cast<T>(k * k);
    }
  }
  return answer(4);
}

template <class T>
Status modulus(int64_t count, const T* z, T* out, void*) {
  record("modulus");
  for (int64_t i = 0; i < count; ++i) out[i] = std::hypot(z[2 * i], z[2 * i + 1]);
  return answer(4);
}

template <class T>
Status lowpass(int64_t B, int64_t M, int64_t N, int64_t m, int64_t n, const T* u, const T* a_m,
               const T* a_n, T* out, void*) {
  record("lowpass");
  for (int64_t i = 0; i < B * m * n; ++i) {
    const int64_t column = i % n, row = i / n % m, b = i / n / m;
    T sum = 0;
    for (int64_t j = 0; j < M * N; ++j) {
      sum += a_m[row * M + j / N] * u[b * M * N + j] * a_n[column * N + j % N];
    }
    out[i] = sum;
  }
  return answer(4);
}

SCATCUDA_INSTANTIATE_ENGINE(float)
SCATCUDA_INSTANTIATE_ENGINE(double)
SCATCUDA_INSTANTIATE_STAGES(float)
SCATCUDA_INSTANTIATE_STAGES(double)

}  // namespace cuda
}  // namespace scatcuda
