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

enum class Status : int { ok = 0, bad_problem = 1, workspace_too_small = 2 };

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
  const int64_t* phi_support;  // [J · (m + n), 2]: first and last + 1 non-zero of each matrix row
};

// Runs body(closure, 0), …, body(closure, tasks − 1), at once where it can.
struct Executor {
  int64_t threads;
  void (*run)(int64_t tasks, void (*body)(void* closure, int64_t task), void* closure);
};

// Sides after padding and of the output, number of output channels.
struct Shape {
  int64_t Mp, Np, m, n, channels;
};

Status shape_of(const Problem& problem, Shape* shape);

int64_t angle_lanes(int64_t L);
int64_t psi_tables(const Problem& problem);   // rows of psi_support
int64_t phi_entries(const Problem& problem);  // elements of phi

namespace cpu {

// "avx512", "avx2" or "baseline": the best this processor has, or what SCATCUDA_CPU_ISA asks for.
const char* isa();

template <class T>
int64_t workspace_bytes(const Problem& problem, int64_t B, int64_t threads);

// x [B, M, N] -> S [B, channels, m, n], both contiguous. The workspace is 64-byte aligned.
template <class T>
Status scattering2d(const Problem& problem, const Bank<T>& bank, int64_t B, const T* x, T* S,
                    void* workspace, int64_t bytes, const Executor& executor);

// x̂ [B, M, N] complex, ψ̂ [L, M, N] real -> [B, L, M/k, N/k] complex (interleaved)
template <class T>
void filter_fold(int64_t B, int64_t L, int64_t M, int64_t N, int64_t k, const T* x_hat,
                 const T* psi, T* out, const Executor& executor);

// z [count] complex (interleaved) -> |z| [count]
template <class T>
void modulus(int64_t count, const T* z, T* out, const Executor& executor);

}  // namespace cpu
}  // namespace scatcuda
