// The engines as plain C++: raw pointers and sizes, no PyTorch. They run programs (program.h) on
// batches of real signals; the reference twin is scatcuda/ops/reference.py.
#pragma once

#include "program.h"

namespace scatcuda {

enum class Status : int {
  ok = 0,
  bad_problem = 1,  // a step that the engine does not do
  workspace_too_small = 2,
  tier_impossible = 3,  // the tier asked for does not do this problem on this device
  fft_failed = 4,       // the FFT library is missing or refused
  no_kernel = 5,        // for this GPU: it is older than every architecture, or its driver is
  launch_failed = 6,    // cuda::last_error() says why
  no_device = 7,        // likewise: no GPU, or no driver
};

// The filters of a program as the engines read them; T is float or double.
//
// Each set has a table of the box of frequencies that its filters reach: along every axis the bins
// [0, head) and [tail, side), the first axis innermost, in each bin the filters side by side in
// `lanes`, divided by the number of points of the grid.
template <class T>
struct Bank {
  const T* psi;
  const int64_t* psi_support;  // of each set: its first number in psi; head, tail of every axis
  const T* phi;                // the matrices one after the other
  const int64_t* phi_support;  // of each matrix row first and last + 1 non-zero, modulo its length
  // psi once more, as the CPU engine's folds of images read it (cpu::lay_out); where it is null,
  // they lay it out anew in every call
  const T* laid_out = nullptr;
};

// run(self, tasks, body, closure) runs body(closure, 0), …, body(closure, tasks − 1), at once where
// it can; at most `threads` tasks.
struct Executor {
  int64_t threads;
  void (*run)(void* self, int64_t tasks, void (*body)(void* closure, int64_t task), void* closure);
  void* self = nullptr;
};

// Where the gradients of <g, S x> go: x [B, signal], psi and phi as in the Bank, null where not
// wanted
template <class T>
struct Gradients {
  T *x, *psi, *phi;
};

namespace cpu {

// "avx512", "avx2" or "baseline": the best this processor has, or what SCATCUDA_CPU_ISA asks for.
const char* isa();

// Else nothing of this may be called: the library is compiled for other processors than this one.
bool available();
constexpr const char* unavailable =
    "this library is compiled for instructions that this processor does not have: build it here, "
    "or without SCATCUDA_ISA";

// `laid_out`: the bank will have that. Else there is room for it, more than most boxes need.
template <class T>
int64_t workspace_bytes(const Program& program, int64_t B, int64_t threads, bool laid_out = false);

// The numbers of Bank::laid_out for the boxes of a bank; 0 where the engine does not want it. The
// same on all processors.
template <class T>
int64_t laid_out_numbers(const Program& program, const Bank<T>& bank);
template <class T>
void lay_out(const Program& program, const Bank<T>& bank, T* out);

// x [B, signal] -> S [B, channels, sides], both contiguous. The workspace is 64-byte aligned.
template <class T>
Status scattering(const Program& program, const Bank<T>& bank, int64_t B, const T* x, T* S,
                  void* workspace, int64_t bytes, const Executor& executor);

// `psi_entries`: the length of bank.psi where its gradient is wanted, else 0
template <class T>
int64_t backward_workspace_bytes(const Program& program, int64_t psi_entries, bool with_phi,
                                 int64_t B, int64_t threads, bool laid_out = false);

// x [B, signal], g [B, channels, sides] -> gradients of <g, S x>
template <class T>
Status scattering_backward(const Program& program, const Bank<T>& bank, int64_t psi_entries,
                           int64_t B, const T* x, const T* g, const Gradients<T>& gradients,
                           void* workspace, int64_t bytes, const Executor& executor);

// x̂ [B, M, N] complex, ψ̂ [L, M, N] real -> [B, L, M/k, N/k] complex (interleaved)
template <class T>
void filter_fold(int64_t B, int64_t L, int64_t M, int64_t N, int64_t k, const T* x_hat,
                 const T* psi, T* out, const Executor& executor);

// g [B, L, M/k, N/k] complex -> gradients of x̂ and of ψ̂; null where not wanted
template <class T>
void filter_fold_backward(int64_t B, int64_t L, int64_t M, int64_t N, int64_t k, const T* g,
                          const T* x_hat, const T* psi, T* grad_x, T* grad_psi,
                          const Executor& executor);

// z [count] complex (interleaved) -> |z| [count]
template <class T>
void modulus(int64_t count, const T* z, T* out, const Executor& executor);

// g, z [count] -> g z / |z|, 0 where z is
template <class T>
void modulus_backward(int64_t count, const T* g, const T* z, T* out, const Executor& executor);

}  // namespace cpu

// Present where csrc/cuda was compiled. Executing a problem neither allocates nor waits for the
// device; pointers are to device memory unless said otherwise, `stream` is a cudaStream_t of the
// current device.
//
// The support tables are not read by the host. A box or band in them that reaches outside its table
// is never followed; the coefficients that need it are NaN.
namespace cuda {

// The limits of a GPU that decide how a problem is run on it
struct Device {
  int architecture;          // 90 for sm_90
  int processors;            // streaming multiprocessors
  int64_t shared_per_block;  // bytes a block may ask for
  int64_t shared_per_processor;
  int64_t l2_bytes;
  int64_t memory_bytes;
};
// Fills in the limits of device `index`; launch_failed where there is no such device.
Status device_limits(int index, Device* device);

// What the workspace may take by default: a sixteenth of the memory, which leaves a network and its
// gradients theirs, and no more than large waves gain by: on an H200 they did up to 4 GB, for
// launches that fill the GPU help more than intermediates that stay in its L2 cache.
inline int64_t default_budget(const Device& device) {
  const int64_t most = int64_t{4} << 30, part = device.memory_bytes / 16;
  return part < most ? part : most;
}

// Two ways to the same result. `general`: every size, one kernel a stage, cuFFT between them.
// `fused`: a family of paths stays in the shared memory of one block; float32, where that fits.
enum class Tier : int { automatic = 0, general = 1, fused = 2 };

// What is computed: S, or from its gradient that of x, or those of psi and phi as well
enum class Task : int { forward = 0, backward = 1, backward_with_filters = 2 };

// How a program is run. The fused tier does the `whole` of it or, where the planes of the first
// steps are too large, the steps that end a chain, and the general tier the others.
struct Launch {
  Tier tier;  // general or fused
  bool whole;
  int64_t group;         // filters side by side in one block
  int64_t threads;       // of such a block
  int64_t shared_bytes;  // of such a block
  int64_t wave;          // signals at a time
  Task task = Task::forward;
};

// A batch of unscaled transforms of [outer, middle, inner], of fewer axes where the first are 1
enum class Direction : int {
  real_forward = 0,  // real to half a spectrum, [outer, middle, inner/2 + 1]
  real_inverse = 1,  // the way back, after which the spectrum is lost
  forward = 2,       // complex, in place
  inverse = 3,       // likewise
};
struct Transform {
  Direction direction;
  bool wide;  // double
  int64_t outer, middle, inner, batch;
};

// cuFFT, or a library of the caller's own
struct Fft {
  void* self;
  // Bytes of workspace that a transform needs, −1 where the library cannot do it
  int64_t (*workspace_bytes)(void* self, const Transform& transform, void* stream);
  bool (*run)(void* self, const Transform& transform, const void* in, void* out, void* workspace,
              void* stream);
};
// cuFFT, opened when first asked for; null where it is not found. `version` may be null.
const Fft* cufft(int* version);
// What cuFFT said of this thread's last transform that it did not do
const char* cufft_error();

// Chooses tier, launch shape and wave. `wanted` forces the tier; `budget` is what the workspace
// may take, in bytes; one image is always let through. The gradients of filters are the general
// tier's, whatever was wanted.
template <class T>
Status choose(const Program& program, int64_t B, const Device& device, Tier wanted, int64_t budget,
              const Fft* fft, Launch* launch, Task task = Task::forward);

template <class T>
Status workspace_bytes(const Program& program, const Launch& launch, const Fft* fft, void* stream,
                       int64_t* bytes);

// What pixels are stored as; all are computed in the bank's type
enum class Pixels : int { as_bank = 0, half = 1, bfloat16 = 2, uint8 = 3 };

// x [B, signal] -> S [B, channels, sides], both contiguous; psi_entries is the length of bank.psi.
// The workspace is 256-byte aligned.
template <class T>
Status scattering(const Program& program, const Launch& launch, const Bank<T>& bank,
                  int64_t psi_entries, int64_t B, const void* x, T* S, void* workspace,
                  int64_t bytes, const Fft* fft, void* stream, Pixels pixels = Pixels::as_bank);

// x [B, signal], g [B, channels, sides] -> gradients of <g, S x>; those of psi and phi only of a
// launch with filters. They are 0 where a table keeps nothing; boxes of two tables must not
// overlap. What a table that reaches outside makes of the coefficients, NaN, it makes of the
// gradient of x. Sums are taken in a fixed order: the same launch gives the same bits.
template <class T>
Status scattering_backward(const Program& program, const Launch& launch, const Bank<T>& bank,
                           int64_t psi_entries, int64_t B, const void* x, const T* g,
                           const Gradients<T>& gradients, void* workspace, int64_t bytes,
                           const Fft* fft, void* stream, Pixels pixels = Pixels::as_bank);

// x̂ [B, M, N] complex, ψ̂ [L, M, N] real -> [B, L, M/k, N/k] complex (interleaved; here and below
// aligned to whole complex numbers)
template <class T>
Status filter_fold(int64_t B, int64_t L, int64_t M, int64_t N, int64_t k, const T* x_hat,
                   const T* psi, T* out, void* stream);

// g [B, L, M/k, N/k] complex -> gradients of x̂ and of ψ̂; null where not wanted
template <class T>
Status filter_fold_backward(int64_t B, int64_t L, int64_t M, int64_t N, int64_t k, const T* g,
                            const T* x_hat, const T* psi, T* grad_x, T* grad_psi, void* stream);

// z [count] complex (interleaved) -> |z| [count]
template <class T>
Status modulus(int64_t count, const T* z, T* out, void* stream);

// g, z [count] -> g z / |z|, 0 where z is
template <class T>
Status modulus_backward(int64_t count, const T* g, const T* z, T* out, void* stream);

// u [B, M, N], a_m [m, M], a_n [n, N] -> a_m u a_nᵀ [B, m, n]
template <class T>
Status lowpass(int64_t B, int64_t M, int64_t N, int64_t m, int64_t n, const T* u, const T* a_m,
               const T* a_n, T* out, void* stream);

// For what outlives a call: memory on the current device, filled from the host's. They wait for the
// device; a null pointer is released by doing nothing. Other threads may capture CUDA graphs.
Status current_device(int* index);
Status allocate(int64_t bytes, void** memory);
Status upload(void* to, const void* from, int64_t bytes);
void release(void* memory);
// Which device's memory lies at an address
constexpr int no_device = -1, every_device = -2;
Status memory_of(const void* address, int* device);
// Fills memory with zeros, in the order of the stream
Status clear(void* memory, int64_t bytes, void* stream);

// What CUDA said of the last launch_failed, whichever thread's it was
const char* last_error();

// The toolkit of this build and the driver it needs, as in "CUDA 13.0, NVIDIA driver 580 or newer"
const char* driver_needed();

// Kernels launched and transforms run so far, by all threads
int64_t launches();

}  // namespace cuda
}  // namespace scatcuda
