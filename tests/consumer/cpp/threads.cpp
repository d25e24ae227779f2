// One plan, many threads: coefficients and gradients in C++, and that all ways agree.
//
//   threads plan.scat [threads]
//
// Each thread transforms signals of its own with a workspace of its own; then all of them share one
// batch. Prints the largest coefficient and |gradient| of ½ |S x|².
#include <algorithm>
#include <cstdio>
#include <exception>
#include <random>
#include <scatcuda/threads.hpp>
#include <string>
#include <thread>
#include <vector>

namespace {

template <class T>
bool run(const scatcuda::Plan& plan, int64_t count) {
  const scatcuda_description d = plan.describe();
  const size_t samples = static_cast<size_t>(d.signal_numbers);
  const size_t numbers = static_cast<size_t>(d.result_numbers);
  const int64_t batch = 2 * count;
  std::vector<T> x(static_cast<size_t>(batch) * samples), S(static_cast<size_t>(batch) * numbers);
  std::mt19937 random(7);
  for (T& sample : x) sample = static_cast<T>(random() % 256) / 255;

  // threads of ours: two signals each
  std::vector<std::thread> threads;
  for (int64_t i = 0; i < count; ++i) {
    threads.emplace_back([&, i] {
      const auto workspace = plan.workspace(SCATCUDA_FORWARD, 2);
      const auto at = static_cast<size_t>(2 * i);
      plan.forward(2, &x[at * samples], &S[at * numbers], workspace);
    });
  }
  for (std::thread& thread : threads) thread.join();

  // a pool: the whole batch in one call
  scatcuda::Threads pool(count);
  std::vector<T> again(S.size()), gradient(x.size());
  plan.forward(batch, x.data(), again.data(), plan.workspace(SCATCUDA_FORWARD, batch, pool.count()),
               pool.executor());
  T* const not_wanted = nullptr;
  plan.backward(batch, x.data(), S.data(), gradient.data(), not_wanted, not_wanted,
                plan.workspace(SCATCUDA_BACKWARD, batch, pool.count()), pool.executor());

  const auto largest = [](const std::vector<T>& v) {
    T most = 0;
    for (const T value : v) most = std::max(most, std::abs(value));
    return static_cast<double>(most);
  };
  std::printf("%.9g %.9g\n", largest(S), largest(gradient));
  return S == again;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc < 2) throw std::invalid_argument("usage: threads plan.scat [threads]");
    const scatcuda::Plan plan(argv[1]);
    const int64_t count = argc > 2 ? std::stoll(argv[2]) : 8;
    const bool equal = plan.describe().type == SCATCUDA_FLOAT64 ? run<double>(plan, count)
                                                                : run<float>(plan, count);
    if (!equal) throw std::runtime_error("a pool of threads gave other bits than one thread");
  } catch (const std::exception& error) {
    std::fprintf(stderr, "threads: %s\n", error.what());
    return 1;
  }
}
