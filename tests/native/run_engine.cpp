// Runs the CPU engine without PyTorch on one problem, for the sanitizers.
//
//   run_engine problem result
//
// A problem is "scatter1", then as int64: operation, bytes of a number, threads, count of sizes,
// the sizes, count of arrays; then each array: bytes of an element, count of elements, the
// elements. The result is the output array. Every array lies in a heap block of exactly its size,
// once aligned as malloc does and once only as its elements are, and both runs must agree to the
// bit, though the second finds the workspace as the first left it.
//
// operation               sizes                     arrays
// 0 scattering            B                         the program's text, x, psi, psi_support, phi,
//                                                   phi_support
// 1 filter_fold           B, L, M, N, k             x_hat, psi
// 2 modulus               count                     z
// 3 scattering_backward   B, and which of the       as 0, and g
//                         gradients of x, psi, phi
//                         are wanted
// 4 filter_fold_backward  as 1                      as 1, and g
// 5 modulus_backward      as 2                      as 2, and g
// 6                       a data race, to see that ThreadSanitizer reports one
//
// Gradients follow each other in the result.
#include <sanitizer/asan_interface.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "core/engines.h"

namespace {

using namespace scatcuda;

void run_on_threads(void*, int64_t tasks, void (*body)(void*, int64_t), void* closure) {
  std::vector<std::thread> others;
  for (int64_t task = 1; task < tasks; ++task) others.emplace_back(body, closure, task);
  if (tasks > 0) body(closure, 0);
  for (std::thread& other : others) other.join();
}

struct Free {
  void operator()(void* p) const { std::free(p); }
};

// `count` elements that end where their heap block ends. With `shift` they begin three floats or
// one double after its start, on no boundary but their own; what lies before is poisoned.
template <class T>
class Array {
 public:
  Array(int64_t count, bool shift) : count_(count), offset_(shift ? 16 - sizeof(T) : 0) {
    block_.reset(std::malloc(offset_ + bytes()));
    if (block_ == nullptr) throw std::runtime_error("out of memory");
    ASAN_POISON_MEMORY_REGION(block_.get(), offset_ / 8 * 8);
    std::memset(data(), 0xff, bytes());  // NaN
  }
  T* data() const { return reinterpret_cast<T*>(static_cast<char*>(block_.get()) + offset_); }
  int64_t count() const { return count_; }
  size_t bytes() const { return static_cast<size_t>(count_) * sizeof(T); }
  Array moved(bool shift) const {
    Array copy(count_, shift);
    std::memcpy(copy.data(), data(), bytes());
    return copy;
  }

 private:
  int64_t count_;
  size_t offset_;
  std::unique_ptr<void, Free> block_;
};

class Reader {
 public:
  explicit Reader(const char* path) : path_(path), file_(std::fopen(path, "rb")) {
    if (file_ == nullptr) throw std::runtime_error(path_ + ": cannot be opened");
    char magic[8];
    read(magic, sizeof magic, "the magic word");
    if (std::memcmp(magic, "scatter1", 8) != 0) throw std::runtime_error(path_ + ": no problem");
  }
  ~Reader() { std::fclose(file_); }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  void read(void* to, size_t bytes, const char* what) {
    const size_t got = std::fread(to, 1, bytes, file_);
    if (got != bytes) {
      throw std::runtime_error(path_ + ": truncated, " + what + " should take " +
                               std::to_string(bytes) + " bytes, " + std::to_string(got) + " left");
    }
  }
  int64_t integer(const char* what, int64_t most) {
    int64_t value;
    read(&value, sizeof value, what);
    if (value < 0 || value > most) {
      throw std::runtime_error(path_ + ": " + what + " is " + std::to_string(value));
    }
    return value;
  }
  template <class T>
  Array<T> array(const char* what) {
    if (integer("bytes of an element", 8) != sizeof(T)) {
      throw std::runtime_error(path_ + ": " + what + " has another element type");
    }
    Array<T> array(integer("count of elements", int64_t{1} << 32), false);
    read(array.data(), array.bytes(), what);
    return array;
  }
  std::string text(const char* what) {
    const Array<char> letters = array<char>(what);
    return {letters.data(), letters.bytes()};
  }

 private:
  std::string path_;
  std::FILE* file_;
};

// An aligned block; the engine checks its size, so a byte less must be refused.
std::unique_ptr<void, Free> aligned(int64_t bytes) {
  const int64_t room = round_up(max(bytes, 1), 64);
  std::unique_ptr<void, Free> block(std::aligned_alloc(64, static_cast<size_t>(room)));
  if (block == nullptr) throw std::runtime_error("out of memory");
  std::memset(block.get(), 0xff, static_cast<size_t>(bytes));
  return block;
}

// run(shift, output) twice, see above
template <class T, class F>
Array<T> twice(int64_t count, F&& run) {
  Array<T> first(count, false), second(count, true);
  run(false, first.data());
  run(true, second.data());
  if (std::memcmp(first.data(), second.data(), first.bytes()) != 0) {
    throw std::runtime_error("the result depends on alignment or on what the workspace held");
  }
  return first;
}

template <class T>
struct Scattering {
  std::string text;
  ProgramPointer program;
  int64_t B;
  Array<T> x, psi;
  Array<int64_t> boxes;
  Array<T> phi;
  Array<int64_t> bands;

  Scattering(Reader& in, const std::vector<int64_t>& size)
      : text(in.text("the program")),
        B(size.at(0)),
        x(in.array<T>("x")),
        psi(in.array<T>("psi")),
        boxes(in.array<int64_t>("psi_support")),
        phi(in.array<T>("phi")),
        bands(in.array<int64_t>("phi_support")) {
    std::string why;
    program = parse_program(text, &why);
    if (program == nullptr) throw std::runtime_error("no program: " + why);
    if (x.count() != B * points_of(program->signal) ||
        boxes.count() != program->psi_support_numbers || phi.count() != program->phi_numbers ||
        bands.count() != 2 * program->phi_rows) {
      throw std::runtime_error("arrays do not fit the program");
    }
  }
  int64_t outputs() const { return B * program->channels * program->unit; }

  // run(workspace, bytes) with the bytes it needs, and with one less, which it must refuse
  template <class F>
  void run(int64_t bytes, void* workspace, F&& f) const {
    if (B > 0 && f(workspace, bytes - 1) != Status::workspace_too_small) {
      throw std::runtime_error("a workspace one byte too small was taken");
    }
    if (f(workspace, bytes) != Status::ok) throw std::runtime_error("the engine refused");
  }
};

template <class T>
Array<T> scattering(Reader& in, const std::vector<int64_t>& size, const Executor& executor) {
  const Scattering<T> s(in, size);
  const int64_t bytes = cpu::workspace_bytes<T>(*s.program, s.B, executor.threads);
  const auto workspace = aligned(bytes);
  return twice<T>(s.outputs(), [&](bool shift, T* S) {
    const Array<T> x = s.x.moved(shift), psi = s.psi.moved(shift), phi = s.phi.moved(shift);
    const Bank<T> bank{psi.data(), s.boxes.data(), phi.data(), s.bands.data()};
    s.run(bytes, workspace.get(), [&](void* p, int64_t given) {
      return cpu::scattering<T>(*s.program, bank, s.B, x.data(), S, p, given, executor);
    });
  });
}

template <class T>
Array<T> scattering_backward(Reader& in, const std::vector<int64_t>& size,
                             const Executor& executor) {
  const Scattering<T> s(in, size);
  const Array<T> g = in.array<T>("g");
  if (g.count() != s.outputs()) throw std::runtime_error("g does not fit the program");
  const bool with_x = size.at(1) != 0, with_psi = size.at(2) != 0, with_phi = size.at(3) != 0;
  const int64_t entries = with_psi ? s.psi.count() : 0;
  const int64_t bytes =
      cpu::backward_workspace_bytes<T>(*s.program, entries, with_phi, s.B, executor.threads);
  const auto workspace = aligned(bytes);
  const int64_t counts[] = {with_x ? s.x.count() : 0, entries, with_phi ? s.phi.count() : 0};
  return twice<T>(counts[0] + counts[1] + counts[2], [&](bool shift, T* out) {
    const Array<T> x = s.x.moved(shift), psi = s.psi.moved(shift), phi = s.phi.moved(shift);
    const Array<T> g_ = g.moved(shift);
    const Bank<T> bank{psi.data(), s.boxes.data(), phi.data(), s.bands.data()};
    const Array<T> of_x(counts[0], shift), of_psi(counts[1], shift), of_phi(counts[2], shift);
    const Gradients<T> gradients{with_x ? of_x.data() : nullptr, with_psi ? of_psi.data() : nullptr,
                                 with_phi ? of_phi.data() : nullptr};
    s.run(bytes, workspace.get(), [&](void* p, int64_t given) {
      return cpu::scattering_backward<T>(*s.program, bank, s.psi.count(), s.B, x.data(), g_.data(),
                                         gradients, p, given, executor);
    });
    for (const Array<T>* array : {&of_x, &of_psi, &of_phi}) {
      std::memcpy(out, array->data(), array->bytes());
      out += array->count();
    }
  });
}

template <class T>
Array<T> filter_fold(Reader& in, const std::vector<int64_t>& size, const Executor& executor) {
  const int64_t B = size.at(0), L = size.at(1), M = size.at(2), N = size.at(3), k = size.at(4);
  const Array<T> x_hat = in.array<T>("x_hat"), psi = in.array<T>("psi");
  return twice<T>(2 * B * L * (M / k) * (N / k), [&](bool shift, T* out) {
    cpu::filter_fold<T>(B, L, M, N, k, x_hat.moved(shift).data(), psi.moved(shift).data(), out,
                        executor);
  });
}

template <class T>
Array<T> filter_fold_backward(Reader& in, const std::vector<int64_t>& size,
                              const Executor& executor) {
  const int64_t B = size.at(0), L = size.at(1), M = size.at(2), N = size.at(3), k = size.at(4);
  const Array<T> x_hat = in.array<T>("x_hat"), psi = in.array<T>("psi"), g = in.array<T>("g");
  return twice<T>(x_hat.count() + psi.count(), [&](bool shift, T* out) {
    const Array<T> of_x(x_hat.count(), shift), of_psi(psi.count(), shift);
    cpu::filter_fold_backward<T>(B, L, M, N, k, g.moved(shift).data(), x_hat.moved(shift).data(),
                                 psi.moved(shift).data(), of_x.data(), of_psi.data(), executor);
    std::memcpy(out, of_x.data(), of_x.bytes());
    std::memcpy(out + of_x.count(), of_psi.data(), of_psi.bytes());
  });
}

template <class T>
Array<T> modulus(Reader& in, const std::vector<int64_t>& size, const Executor& executor) {
  const Array<T> z = in.array<T>("z");
  return twice<T>(size.at(0), [&](bool shift, T* out) {
    cpu::modulus<T>(size.at(0), z.moved(shift).data(), out, executor);
  });
}

template <class T>
Array<T> modulus_backward(Reader& in, const std::vector<int64_t>& size, const Executor& executor) {
  const Array<T> z = in.array<T>("z"), g = in.array<T>("g");
  return twice<T>(2 * size.at(0), [&](bool shift, T* out) {
    cpu::modulus_backward<T>(size.at(0), g.moved(shift).data(), z.moved(shift).data(), out,
                             executor);
  });
}

template <class T>
Array<T> race(Reader&, const std::vector<int64_t>&, const Executor& executor) {
  Array<T> sum(1, false);
  *sum.data() = 0;
  executor.run(
      executor.self, executor.threads, [](void* p, int64_t) { *static_cast<T*>(p) += 1; },
      sum.data());
  return sum;
}

template <class T>
void solve(Reader& in, int64_t operation, const char* result) {
  const Executor executor{in.integer("threads", 64), run_on_threads};
  std::vector<int64_t> sizes(static_cast<size_t>(in.integer("count of sizes", 16)));
  for (int64_t& size : sizes) size = in.integer("a size", int64_t{1} << 40);
  in.integer("count of arrays", 7);
  Array<T> (*const operations[])(Reader&, const std::vector<int64_t>&, const Executor&) = {
      scattering<T>,           filter_fold<T>,      modulus<T>, scattering_backward<T>,
      filter_fold_backward<T>, modulus_backward<T>, race<T>};
  const Array<T> out = operations[operation](in, sizes, executor);
  std::FILE* file = std::fopen(result, "wb");
  if (file == nullptr || std::fwrite(out.data(), 1, out.bytes(), file) != out.bytes() ||
      std::fclose(file) != 0) {
    throw std::runtime_error(std::string(result) + ": cannot be written");
  }
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 3) {
    std::fprintf(stderr, "usage: run_engine problem result\n");
    return 2;
  }
  try {
    Reader in(arguments[1]);
    const int64_t operation = in.integer("operation", 6);
    if (in.integer("bytes of a number", 8) == 4) {
      solve<float>(in, operation, arguments[2]);
    } else {
      solve<double>(in, operation, arguments[2]);
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "run_engine: %s\n", error.what());
    return 1;
  }
  std::printf("%s\n", scatcuda::cpu::isa());
  return 0;
}
