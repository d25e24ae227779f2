// Hostile plan files and programs: whatever bytes come, scatcuda_plan_read or, with tables that
// fit, scatcuda_plan_create refuses them or makes a plan that is safe to execute.
//
// The entry point is libFuzzer's; `make fuzz` builds it so, with clang. Other compilers get a
// main() that mutates a corpus by a seed (SCATCUDA_FUZZ_MAIN):
//
//   fuzz_plan RUNS SEED corpus/
#include <scatcuda/scatcuda.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "programs.h"

namespace {

// zlib's CRC-32, bit by bit
uint32_t crc32(const uint8_t* data, size_t size) {
  uint32_t crc = ~0u;
  for (size_t i = 0; i < size; ++i) {
    crc ^= data[i];
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (crc & 1 ? 0xEDB88320u : 0);
  }
  return ~crc;
}

// Arrays of exactly the documented sizes, so that AddressSanitizer sees the first byte too many
struct Free {
  void operator()(void* p) const { std::free(p); }
};
std::unique_ptr<void, Free> memory(int64_t bytes, size_t alignment) {
  void* p = nullptr;
  REQUIRE(posix_memalign(&p, alignment, static_cast<size_t>(bytes)) == 0);
  std::memset(p, 0, static_cast<size_t>(bytes));
  return std::unique_ptr<void, Free>(p);
}

void execute(const scatcuda_plan* plan) {
  scatcuda_description d{};
  d.size = sizeof d;
  REQUIRE(scatcuda_plan_describe(plan, &d, nullptr) == SCATCUDA_OK);
  const std::string text = scatcuda_plan_program(plan);
  // whatever a hostile program asks for, it is told; only small ones are computed
  const int64_t forward = scatcuda_workspace_bytes(plan, SCATCUDA_FORWARD, 1, 1);
  const int64_t backward = scatcuda_workspace_bytes(plan, SCATCUDA_BACKWARD_WITH_FILTERS, 1, 1);
  REQUIRE(forward >= 0 && backward >= 0);
  Random any(1);
  const Tables tables(any, text);
  if (tables.most_filters > 64 || d.result_numbers > 8000 || d.signal_numbers > 2000 ||
      backward > 1 << 22 || text.size() > 2000) {
    return;
  }
  const int64_t size = d.type;
  const auto x = memory(d.signal_numbers * size, 8), grad_x = memory(d.signal_numbers * size, 8);
  const auto S = memory(d.result_numbers * size, 8);
  const auto psi = memory(d.psi_entries * size, 8), phi = memory(d.phi_entries * size, 8);
  const scatcuda_gradients gradients{sizeof gradients, grad_x.get(), psi.get(), phi.get()};
  {
    const auto workspace = memory(forward, SCATCUDA_ALIGNMENT);
    REQUIRE(scatcuda_forward(plan, 1, x.get(), S.get(), workspace.get(), forward, nullptr,
                             nullptr) == SCATCUDA_OK);
  }
  const auto workspace = memory(backward, SCATCUDA_ALIGNMENT);
  REQUIRE(scatcuda_backward(plan, 1, x.get(), S.get(), &gradients, workspace.get(), backward,
                            nullptr, nullptr) == SCATCUDA_OK);
}

// make(plan, message) -> status
template <class Make>
void check(Make&& make) {
  scatcuda_plan* plan = nullptr;
  scatcuda_message message;
  std::memset(&message, '?', sizeof message);
  const scatcuda_status status = make(&plan, &message);
  REQUIRE((status == SCATCUDA_OK) == (plan != nullptr));
  if (plan != nullptr) {
    execute(plan);
  } else {
    REQUIRE(std::memchr(message.text, 0, sizeof message.text) != nullptr && message.text[0] != 0);
  }
  scatcuda_plan_destroy(plan);
}

void read(const uint8_t* data, size_t size) {
  // a copy of this very size: what lies behind its end is nobody's
  std::unique_ptr<uint8_t[]> exact(new uint8_t[size]);
  std::memcpy(exact.get(), data, size);
  check([&](auto... out) { return scatcuda_plan_read(exact.get(), size, out...); });
}

void create(const std::string& text) {
  Random random(text.size());
  const Tables tables(random, text);
  const std::vector<double> psi(static_cast<size_t>(tables.psi_entries), 1e-3);
  const std::vector<double> phi(static_cast<size_t>(tables.sound ? tables.phi_entries : 0), 1e-3);
  scatcuda_tables t{};
  t.size = sizeof t;
  t.type = SCATCUDA_FLOAT64;
  t.program = text.c_str();
  if (tables.sound) {
    t.psi_entries = tables.psi_entries;
    t.psi = psi.data(), t.psi_support = tables.psi_support.data();
    t.phi = phi.data(), t.phi_support = tables.phi_support.data();
  }
  check([&](auto... out) { return scatcuda_plan_create(&t, out...); });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 8 || std::memcmp(data, "scatplan", 8) != 0) {
    create({reinterpret_cast<const char*>(data), size});
  }
  read(data, size);
  // once more as if whoever altered it had repaired size and checksum
  if (size < 64) return 0;
  std::vector<uint8_t> repaired(data, data + size);
  const auto written = static_cast<uint64_t>(size);
  std::memcpy(&repaired[16], &written, 8);
  const uint32_t crc = crc32(&repaired[16], size - 16);
  std::memcpy(&repaired[12], &crc, 4);
  read(repaired.data(), size);
  return 0;
}

#ifdef SCATCUDA_FUZZ_MAIN
#include <filesystem>

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  using Bytes = std::vector<uint8_t>;
  std::vector<Bytes> corpus;
  for (const auto& entry : std::filesystem::directory_iterator(argv[3])) {
    std::ifstream file(entry.path(), std::ios::binary);
    corpus.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    LLVMFuzzerTestOneInput(corpus.back().data(), corpus.back().size());
  }
  if (corpus.empty()) return 2;
  Random random(std::strtoull(argv[2], nullptr, 10));
  const auto below = [&](size_t n) {
    return static_cast<size_t>(random.below(static_cast<int64_t>(n)));
  };
  const long runs = std::strtol(argv[1], nullptr, 10);
  for (long run = 0; run < runs; ++run) {
    Bytes input = corpus[below(corpus.size())];
    const bool text = input[0] != 's';
    for (size_t left = 1 + below(4); left > 0; --left) {
      if (text) {
        const std::string other = mutated(random, {input.begin(), input.end()});
        input.assign(other.begin(), other.end());
        continue;
      }
      if (input.size() < 65) break;
      // the header, the program and the support tables more often than the numbers
      const size_t near = below(2) ? std::min<size_t>(input.size(), 1024) : input.size();
      const int64_t value = random.hostile();
      switch (below(5)) {
        case 0:
          input[below(near)] ^= static_cast<uint8_t>(1 << below(8));
          break;
        case 1:
          input[below(near)] = static_cast<uint8_t>(below(256));
          break;
        case 2:
          input.resize(below(input.size()));
          break;
        case 3:
          input.resize(input.size() + 8 * below(9));
          break;
        default:
          std::memcpy(&input[8 * below(near / 8)], &value, 8);
          break;
      }
    }
    LLVMFuzzerTestOneInput(input.data(), input.size());
  }
  std::printf("%ld mutations of %zu files\n", runs, corpus.size());
}
#endif
