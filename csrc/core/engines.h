// The engines as plain C++: raw pointers and sizes, no PyTorch.
//
// Scattering of a batch of real images, S x = [A x, A|W1 x|, A|W2|W1 x||]:
//
//   x̂      = DFT of the image, reflected at its edges to Mp × Np
//   W1     = IDFT fold_{2^j1}( x̂ · ψ̂(j1, θ1) )
//   U1     = |W1|
//   W2     = IDFT fold_{2^(j2−j1)}( Û1 · ψ̂(j2, θ2) ),  j2 > j1
//   U2     = |W2|
//   A_j U  = P_j U Q_jᵀ, the low-pass, subsampling by 2^(J−j) and crop as two real matrices
//
// Letters: B images, J scales, L angles, M N pixels, Mp Np padded sides, m n output sides;
// resolution j means sides Mp/2^j × Np/2^j. The reference twin is scatcuda/reference.py; the
// tensors that describe a bank are made by scatcuda/plan.py.
#pragma once

#include <cstdint>

namespace scatcuda {

enum class Status : int {
  ok = 0,
  bad_problem = 1,  // no such transform
  workspace_too_small = 2,
  tier_impossible = 3,  // the tier asked for does not do this problem on this device
  fft_failed = 4,       // the FFT library is missing or refused
  no_kernel = 5,        // for this GPU: it is older than every architecture, or its driver is
  launch_failed = 6,    // cuda::last_error() says why
};

// What is computed. Mp = M, Np = N and no reflection when pre_pad.
struct Problem {
  int64_t J, L, max_order;
  int64_t M, N;
  bool pre_pad;
};

// A filter bank as the engines read it; T is float or double.
//
// Wavelet tables stand in the order of wavelet_table() in core/schedule.h: all scales at resolution
// 0, then for second order those above j1 at resolution j1. A table keeps the box of frequencies
// that its wavelets reach: columns [0, left) and [right, columns), in each of them rows [0, head)
// and [tail, rows), in each `angle_lanes(L)` angles side by side, divided by the number of bins of
// the resolution.
template <class T>
struct Bank {
  const T* psi;                // [entries, lanes]
  const int64_t* psi_support;  // [tables, 5]: first entry, head, tail, left, right
  const T* phi;                // P_0 [m, Mp], Q_0 [n, Np], P_1 [m, Mp/2], Q_1 …
  const int64_t* phi_support;  // [J · (m + n), 2]: first and last + 1 non-zero of each matrix row,
                               // modulo its length
};

// run(self, tasks, body, closure) runs body(closure, 0), …, body(closure, tasks − 1), at once where
// it can; at most `threads` tasks.
struct Executor {
  int64_t threads;
  void (*run)(void* self, int64_t tasks, void (*body)(void* closure, int64_t task), void* closure);
  void* self = nullptr;
};

// Sides after padding and of the output, number of output channels.
struct Shape {
  int64_t Mp, Np, m, n, channels;
};

// bad_problem where it is none, or a larger one than schedule.h allows: what follows relies on it
Status shape_of(const Problem& problem, Shape* shape);
int64_t most_images(const Problem& problem);  // of a batch

int64_t angle_lanes(int64_t L);
int64_t psi_tables(const Problem& problem);   // rows of psi_support
int64_t phi_entries(const Problem& problem);  // elements of phi

// The support tables address the others: which of them leads outside, in a few words, or null.
// `psi_entries` is the length of bank.psi. The CPU engine trusts its tables.
const char* support_error(const Problem& problem, int64_t psi_entries, const int64_t* psi_support,
                          const int64_t* phi_support);

// Where the gradients of <g, S x> go: x [B, M, N], psi and phi as in the Bank, null where not
// wanted
template <class T>
struct Gradients {
  T *x, *psi, *phi;
};

namespace cpu {

// "avx512", "avx2" or "baseline": the best this processor has, or what SCATCUDA_CPU_ISA asks for.
const char* isa();

template <class T>
int64_t workspace_bytes(const Problem& problem, int64_t B, int64_t threads);

// x [B, M, N] -> S [B, channels, m, n], both contiguous. The workspace is 64-byte aligned.
template <class T>
Status scattering2d(const Problem& problem, const Bank<T>& bank, int64_t B, const T* x, T* S,
                    void* workspace, int64_t bytes, const Executor& executor);

// `psi_entries`: the length of bank.psi where its gradient is wanted, else 0
template <class T>
int64_t backward_workspace_bytes(const Problem& problem, int64_t psi_entries, bool with_phi,
                                 int64_t B, int64_t threads);

// x [B, M, N], g [B, channels, m, n] -> gradients of <g, S x>
template <class T>
Status scattering2d_backward(const Problem& problem, const Bank<T>& bank, int64_t psi_entries,
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

// What the workspace may take by default: what keeps the intermediates of a wave in the L2 cache,
// more or less, but enough to keep a GPU with little of it busy; and never more than an eighth of
// the memory, which leaves a network and its gradients theirs.
inline int64_t default_budget(const Device& device) {
  const int64_t in_cache = 2 * device.l2_bytes, least = int64_t{64} << 20;
  const int64_t wanted = in_cache > least ? in_cache : least;
  return wanted < device.memory_bytes / 8 ? wanted : device.memory_bytes / 8;
}

// Two ways to the same result. `general`: every size, one kernel a stage, cuFFT between them.
// `fused`: a family of paths stays in the shared memory of one block; float32, where that fits.
enum class Tier : int { automatic = 0, general = 1, fused = 2 };

// What is computed: S, or from its gradient that of x, or those of psi and phi as well
enum class Task : int { forward = 0, backward = 1, backward_with_filters = 2 };

// How a problem is run. In the fused tier the first order is in it too (`first_order_fused`) or,
// where its planes are too large, left to the general tier.
struct Launch {
  Tier tier;  // general or fused
  bool first_order_fused;
  int64_t group;         // angles of the second order side by side in one block
  int64_t threads;       // of such a block
  int64_t shared_bytes;  // of such a block
  int64_t wave;          // images at a time
  Task task = Task::forward;
};

// A batch of unscaled transforms of planes [outer, inner]
enum class Direction : int {
  real_forward = 0,  // real to half a spectrum, [outer, inner/2 + 1]
  real_inverse = 1,  // the way back, after which the spectrum is lost
  forward = 2,       // complex, in place
  inverse = 3,       // likewise
};
struct Transform {
  Direction direction;
  bool wide;  // double
  int64_t outer, inner, batch;
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
Status choose(const Problem& problem, int64_t B, const Device& device, Tier wanted, int64_t budget,
              const Fft* fft, Launch* launch, Task task = Task::forward);

template <class T>
Status workspace_bytes(const Problem& problem, const Launch& launch, const Fft* fft, void* stream,
                       int64_t* bytes);

// What pixels are stored as; all are computed in the bank's type
enum class Pixels : int { as_bank = 0, half = 1, bfloat16 = 2, uint8 = 3 };

// x [B, M, N] -> S [B, channels, m, n], both contiguous; psi_entries is the length of bank.psi. The
// workspace is 256-byte aligned.
template <class T>
Status scattering2d(const Problem& problem, const Launch& launch, const Bank<T>& bank,
                    int64_t psi_entries, int64_t B, const void* x, T* S, void* workspace,
                    int64_t bytes, const Fft* fft, void* stream, Pixels pixels = Pixels::as_bank);

// x [B, M, N], g [B, channels, m, n] -> gradients of <g, S x>; those of psi and phi only of a
// launch with filters. They are 0 where a table keeps nothing; boxes of two tables must not
// overlap. What a table that reaches outside makes of the coefficients, NaN, it makes of the
// gradient of x. Sums are taken in a fixed order: the same launch gives the same bits.
template <class T>
Status scattering2d_backward(const Problem& problem, const Launch& launch, const Bank<T>& bank,
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
