// The stage operators: single passes of the general tier, whose filters and matrices keep
// everything.
#include <algorithm>

#include "instantiate.h"
#include "passes/lowpass.cuh"
#include "queue.h"

namespace scatcuda {
namespace cuda {
namespace {

// Sides, filters and folds are ints in the kernels.
bool are_ints(std::initializer_list<int64_t> sizes) { return std::max(sizes) <= INT32_MAX; }

// One step from planes [M, N] by k along both sides
template <class T>
FoldArguments<T> folding(int64_t B, int64_t L, int64_t M, int64_t N, int64_t k, const T* x_hat,
                         const T* psi, const T* w) {
  const auto to_int = [](int64_t value) { return static_cast<int>(value); };
  FoldArguments<T> a{};
  a.u_hat = reinterpret_cast<Complex<T>*>(const_cast<T*>(x_hat)), a.planes = B;
  a.from = {to_int(N), 1, to_int(M)}, a.count = 1, a.scale = T(1) / static_cast<T>(k * k);
  FoldedStep<T>& s = a.steps[0];
  s.inner.k = s.outer.k = to_int(k), s.count = to_int(L), s.psi = psi;
  s.w = reinterpret_cast<Complex<T>*>(const_cast<T*>(w));
  return a;
}

}  // namespace

template <class T>
Status filter_fold(int64_t B, int64_t L, int64_t M, int64_t N, int64_t k, const T* x_hat,
                   const T* psi, T* out, void* stream) {
  if (!are_ints({L, M, N, k})) return Status::bad_problem;
  Queue queue(nullptr, stream);
  queue.run(filter_fold_kernel<T, false, false, false, 8>,
            {B * ceil_div(M / k * (N / k), stage_threads), ceil_div(L, 8)}, stage_threads, 0,
            folding(B, L, M, N, k, x_hat, psi, out));
  return queue.status();
}

template <class T>
Status filter_fold_backward(int64_t B, int64_t L, int64_t M, int64_t N, int64_t k, const T* g,
                            const T* x_hat, const T* psi, T* grad_x, T* grad_psi, void* stream) {
  if (!are_ints({L, M, N, k})) return Status::bad_problem;
  Queue queue(nullptr, stream);
  if (grad_x != nullptr) {
    queue.run(unfold_kernel<T, false, false>, {B * ceil_div(M * N, stage_threads)}, stage_threads,
              0, folding(B, L, M, N, k, grad_x, psi, g));
  }
  if (grad_psi != nullptr) {
    queue.clear(grad_psi, L * M * N * static_cast<int64_t>(sizeof(T)));
    FoldArguments<T> a = folding(B, L, M, N, k, x_hat, psi, g);
    a.steps[0].grad_psi = grad_psi;
    queue.run(filter_gradient_kernel<T, false, false>,
              {ceil_div(M * N, filter_entries), ceil_div(L, filter_warps)}, stage_threads, 0, a);
  }
  return queue.status();
}

template <class T>
Status modulus(int64_t count, const T* z, T* out, void* stream) {
  Queue queue(nullptr, stream);
  queue.run(modulus_kernel<T>, {item_blocks(count)}, stage_threads, 0, count,
            reinterpret_cast<const Complex<T>*>(z), out);
  return queue.status();
}

template <class T>
Status modulus_backward(int64_t count, const T* g, const T* z, T* out, void* stream) {
  Queue queue(nullptr, stream);
  queue.run(modulus_backward_kernel<T>, {item_blocks(count)}, stage_threads, 0, count, g,
            reinterpret_cast<const Complex<T>*>(z), reinterpret_cast<Complex<T>*>(out));
  return queue.status();
}

template <class T>
Status lowpass(int64_t B, int64_t M, int64_t N, int64_t m, int64_t n, const T* u, const T* a_m,
               const T* a_n, T* out, void* stream) {
  if (!are_ints({M, N, m, n})) return Status::bad_problem;
  const auto to_int = [](int64_t value) { return static_cast<int>(value); };
  LowpassArguments<T> a{};
  a.images = B;
  LowpassStep<T>& s = a.steps[0];
  s.u = const_cast<T*>(u), s.from = {to_int(N), 1, to_int(M)}, s.S = out;
  s.outer = {a_m, nullptr, to_int(m), n, 0, M};
  s.inner = {a_n, nullptr, to_int(n), 1, 0, N};
  s.to.planes = 1, s.to.numbers = m * n;
  const int together = outputs_together(s.from.inner, s.from.outer, s.outer.outputs);
  const int outputs = groups_of(s.from.inner) * together;
  Queue queue(nullptr, stream);
  queue.run(planes_kernel<T, false>(together), {B * ceil_div(m, outputs) * ceil_div(n, chunk_m)},
            lowpass_threads, 0, a);
  return queue.status();
}

SCATCUDA_INSTANTIATE_STAGES(float)
SCATCUDA_INSTANTIATE_STAGES(double)

}  // namespace cuda
}  // namespace scatcuda
