// Counts what the library allocates while it executes a plan: nothing.
//
//   allocations plan.scat batch threads
#include <cstdio>
#include <cstdlib>
#include <scatcuda/threads.hpp>
#include <vector>

// glibc's own, under another name
extern "C" void* __libc_malloc(size_t);
extern "C" void* __libc_calloc(size_t, size_t);
extern "C" void* __libc_realloc(void*, size_t);
extern "C" void* __libc_memalign(size_t, size_t);

namespace {
int64_t allocations = 0;  // by whatever thread
void count() { __atomic_fetch_add(&allocations, 1, __ATOMIC_RELAXED); }
}  // namespace

// Every library of the process finds these before glibc's.
extern "C" {
void* malloc(size_t size) { return count(), __libc_malloc(size); }
void* calloc(size_t n, size_t size) { return count(), __libc_calloc(n, size); }
void* realloc(void* p, size_t size) { return count(), __libc_realloc(p, size); }
void* memalign(size_t alignment, size_t size) { return count(), __libc_memalign(alignment, size); }
void* aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }
int posix_memalign(void** p, size_t alignment, size_t size) {
  return (*p = memalign(alignment, size)) == nullptr;
}
}

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  const int64_t batch = std::atoll(argv[2]);
  const int64_t loading = allocations;
  const scatcuda::Plan plan(argv[1]);
  if (allocations == loading) return 3;  // then nothing is counted
  const scatcuda_description d = plan.describe();
  scatcuda::Threads pool(std::atoll(argv[3]));
  std::vector<float> x(static_cast<size_t>(batch * d.signal_numbers), 0.5f), grad_x(x.size());
  std::vector<float> S(static_cast<size_t>(batch * d.result_numbers));
  std::vector<float> psi(static_cast<size_t>(d.psi_entries));
  std::vector<float> phi(static_cast<size_t>(d.phi_entries));
  const auto forward = plan.workspace(SCATCUDA_FORWARD, batch, pool.count());
  const auto backward = plan.workspace(SCATCUDA_BACKWARD_WITH_FILTERS, batch, pool.count());
  const int64_t before = allocations;
  plan.forward(batch, x.data(), S.data(), forward, pool.executor());
  plan.backward(batch, x.data(), S.data(), grad_x.data(), psi.data(), phi.data(), backward,
                pool.executor());
  std::printf("%lld\n", static_cast<long long>(allocations - before));
}
