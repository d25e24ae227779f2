// The transform in C++ for consumer.py, which times it beside the Python call.
//
//   consumer plan.scat images.raw batch threads coefficients.raw
//
// Writes the coefficients of a batch once; then, for each number that comes on standard input, runs
// the transform so many times, after one run that is not timed, and prints the seconds of one.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <fstream>
#include <iostream>
#include <scatcuda/threads.hpp>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

void transfer(std::ios& file, const std::string& path) {
  if (!file) throw std::runtime_error(path + " cannot be read or written whole");
}

void run(const scatcuda::Plan& plan, const std::string& images, int64_t batch, int64_t threads,
         const std::string& coefficients) {
  const scatcuda_description d = plan.describe();
  std::vector<float> x(static_cast<size_t>(batch * d.signal_numbers));
  std::vector<float> S(static_cast<size_t>(batch * d.result_numbers));
  std::ifstream in(images, std::ios::binary);
  in.read(reinterpret_cast<char*>(x.data()),
          static_cast<std::streamsize>(x.size() * sizeof(float)));
  transfer(in, images);

  scatcuda::Threads pool(threads);
  const auto workspace = plan.workspace(SCATCUDA_FORWARD, batch, threads);
  const auto transform = [&] {
    plan.forward(batch, x.data(), S.data(), workspace, pool.executor());
  };
  transform();
  std::ofstream out(coefficients, std::ios::binary);
  out.write(reinterpret_cast<const char*>(S.data()),
            static_cast<std::streamsize>(S.size() * sizeof(float)));
  out.close();
  transfer(out, coefficients);

  using Clock = std::chrono::steady_clock;
  for (int64_t repeats; std::cin >> repeats;) {
    transform();
    const auto start = Clock::now();
    for (int64_t i = 0; i < repeats; ++i) transform();
    const std::chrono::duration<double> took = Clock::now() - start;
    std::printf("%.9g\n", took.count() / static_cast<double>(repeats));
    std::fflush(stdout);
  }
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc != 6) {
      throw std::invalid_argument("usage: consumer plan images batch threads coefficients");
    }
    run(scatcuda::Plan(argv[1]), argv[2], std::stoll(argv[3]), std::stoll(argv[4]), argv[5]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "consumer: %s\n", error.what());
    return 1;
  }
}
