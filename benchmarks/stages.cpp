// The CPU engine, compiled with its stopwatch; see stages.py, which compiles this and says what the
// arguments are.
//
//   stages FOLDER BATCH SECONDS   program, x, g and the tables in files of FOLDER; prints, for
//                                 forward and backward, "pass microseconds", then lines
//                                 "step stage microseconds", of an image
//   stages radices                for every butterfly: radix, picoseconds a point of a pass with
//                                 twiddles, and of a last one
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include "../csrc/cpu/engine.h"
#include "../csrc/cpu/fft_line.h"

namespace scatcuda {
namespace {

using T = SCATCUDA_REAL;

#define SCATCUDA_WORDS(...) #__VA_ARGS__
#define SCATCUDA_TEXT(words) SCATCUDA_WORDS(words)
#define SCATCUDA_PASTE(isa, real) engine_##isa##_##real
#define SCATCUDA_ENGINE(isa, real) SCATCUDA_PASTE(isa, real)
const Engine<T>& engine = SCATCUDA_ENGINE(SCATCUDA_ISA, SCATCUDA_REAL);

double seconds() {
  using clock = std::chrono::steady_clock;
  return std::chrono::duration<double>(clock::now().time_since_epoch()).count();
}

// At a multiple of a cache line
template <class U>
U* room(int64_t count) {
  const int64_t bytes = (count * static_cast<int64_t>(sizeof(U)) + 63) / 64 * 64;
  void* memory = std::aligned_alloc(64, static_cast<size_t>(std::max<int64_t>(bytes, 64)));
  if (memory == nullptr) std::exit(1);
  std::memset(memory, 0, static_cast<size_t>(bytes));
  return static_cast<U*>(memory);
}

std::string read(const std::string& name) {
  std::ifstream file(name, std::ios::binary);
  if (!file) std::fprintf(stderr, "stages: cannot read %s\n", name.c_str()), std::exit(1);
  return {std::istreambuf_iterator<char>(file), {}};
}
template <class U>
U* read_array(const std::string& name) {
  const std::string bytes = read(name);
  U* array = room<U>(static_cast<int64_t>(bytes.size() / sizeof(U)));
  std::memcpy(array, bytes.data(), bytes.size());
  return array;
}

template <class F>
void watch(const char* pass, int64_t images, double least, F&& run) {
  std::vector<std::string> names;
  std::istringstream list(SCATCUDA_TEXT(SCATCUDA_STAGES));
  for (std::string name; std::getline(list >> std::ws, name, ',');) names.push_back(name);
  run();
  int64_t runs = 0;
  const double start = seconds();
  stopwatch.start();
  const int64_t first = stopwatch.since;
  for (; seconds() - start < least; ++runs) run();
  stopwatch.turn_to(stopwatch.now);
  const double time = 1e6 * (seconds() - start) / static_cast<double>(runs * images);
  const double tick = time / static_cast<double>(stopwatch.since - first);
  std::printf("%s %.3f\n", pass, time);
  for (int step = 0; step <= Stopwatch::most_steps; ++step) {
    for (int stage = 0; stage < Stopwatch::stages; ++stage) {
      const int64_t ticks = stopwatch.ticks[step][stage];
      if (ticks > 0) {
        std::printf("%d %s %.4f\n", step - 1, names[static_cast<size_t>(stage)].c_str(),
                    static_cast<double>(ticks) * tick);
      }
    }
  }
}

void run_here(void*, int64_t tasks, void (*body)(void*, int64_t), void* closure) {
  for (int64_t task = 0; task < tasks; ++task) body(closure, task);
}

int stages(const std::string& folder, int64_t B, double least) {
  std::string why;
  const ProgramPointer program = parse_program(read(folder + "/program"), &why);
  if (program == nullptr) return std::fprintf(stderr, "stages: %s\n", why.c_str()), 1;
  const Program& p = *program;
  const Executor here{1, run_here, nullptr};
  Bank<T> bank{read_array<T>(folder + "/psi"), read_array<int64_t>(folder + "/psi_support"),
               read_array<T>(folder + "/phi"), read_array<int64_t>(folder + "/phi_support")};
  if (const int64_t numbers = engine.laid_out_numbers(p, bank)) {
    T* laid_out = room<T>(numbers);
    engine.lay_out(p, bank, laid_out);
    bank.laid_out = laid_out;
  }
  const T *x = read_array<T>(folder + "/x"), *g = read_array<T>(folder + "/g");
  T *S = room<T>(B * p.channels * p.unit), *grad = room<T>(B * points_of(p.signal));
  const int64_t bytes =
      std::max(engine.workspace_bytes(p, B, 1, bank.laid_out != nullptr),
               engine.backward_workspace_bytes(p, 0, false, B, 1, bank.laid_out != nullptr));
  char* workspace = room<char>(bytes);
  watch("forward", B, least, [&] { engine.scattering(p, bank, B, x, S, workspace, bytes, here); });
  watch("backward", B, least, [&] {
    engine.scattering_backward(p, bank, 0, B, x, g, {grad, nullptr, nullptr}, workspace, bytes,
                               here);
  });
  return 0;
}

// Lines of about as many points as the transforms of images have, in the first-level cache
int radices() {
  constexpr int64_t points = 192, W = full_lanes<T>;
  T *line = room<T>(4 * points * W), *work = room<T>(4 * points * W);
  T* spare = room<T>(4 * points * W);
  for (int64_t i = 0; i < 2 * points * W; ++i) line[i] = static_cast<T>(std::sin(double(i)));
  for (const Cost& cost : pass_costs) {
    const int R = cost.radix, n = static_cast<int>(points) / R * R;
    std::vector<T> twiddles;
    for (int k = 0; k < n; ++k) {
      const double angle = 2 * trig::pi * k / n;
      twiddles.push_back(static_cast<T>(std::cos(angle)));
      twiddles.push_back(static_cast<T>(std::sin(angle)));
    }
    LineTransform<T> f{n, 1, {}, twiddles.data()};
    const auto picoseconds = [&](int first, int last, auto&& pass) {
      f.radices.count = 2, f.radices.radix[0] = first, f.radices.radix[1] = last;
      double best = 1e9;
      for (int round = 0; round < 25; ++round) {
        const double start = seconds();
        for (int i = 0; i < 500; ++i) pass();
        best = std::min(best, (seconds() - start) / 500);
      }
      return 1e12 * best / n;
    };
    const auto twiddled = [&] {
      return picoseconds(R, n / R, [&] { one_pass<1>(f, R, Line<T>{line}, work, spare, 0, n); });
    };
    const double last = picoseconds(n / R, R, [&] {
      with_radix(R, [&](auto r) { last_pass<decltype(r)::value, 1>(f, line, Line<T>{work}); });
    });
    if (has_twiddles(R)) {
      std::printf("%d %.0f %.0f\n", R, twiddled(), last);
    } else {
      std::printf("%d - %.0f\n", R, last);
    }
  }
  return 0;
}

}  // namespace
}  // namespace scatcuda

int main(int count, char** argument) {
  if (count == 2 && std::strcmp(argument[1], "radices") == 0) return scatcuda::radices();
  if (count != 4) return std::fprintf(stderr, "stages FOLDER BATCH SECONDS | radices\n"), 2;
  return scatcuda::stages(argument[1], std::atoll(argument[2]), std::atof(argument[3]));
}
