// Hostile plan files: whatever bytes come, scatcuda_plan_read refuses them or makes a plan that is
// safe to execute.
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
#include <vector>

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

void require(bool holds) {
  if (!holds) std::abort();
}

// Arrays of exactly the documented sizes, so that AddressSanitizer sees the first byte too many
struct Free {
  void operator()(void* p) const { std::free(p); }
};
std::unique_ptr<void, Free> memory(int64_t bytes, size_t alignment) {
  void* p = nullptr;
  require(posix_memalign(&p, alignment, static_cast<size_t>(bytes)) == 0);
  std::memset(p, 0, static_cast<size_t>(bytes));
  return std::unique_ptr<void, Free>(p);
}

void execute(const scatcuda_plan* plan) {
  const scatcuda_description d = scatcuda_plan_describe(plan);
  for (int64_t c = -1; c <= d.channels && c < 10000; ++c) {
    const scatcuda_path path = scatcuda_plan_path(plan, c);
    require((path.order < 0) == (c < 0 || c == d.channels));
    require(path.j1 < d.J && path.j2 < d.J && path.theta1 < d.L && path.theta2 < d.L);
    require(path.order < 2 || path.j1 < path.j2);
  }
  // whatever a hostile problem asks for, it is told; only small ones are computed
  const int64_t forward = scatcuda_workspace_bytes(plan, SCATCUDA_FORWARD, 1, 1);
  const int64_t backward = scatcuda_workspace_bytes(plan, SCATCUDA_BACKWARD_WITH_FILTERS, 1, 1);
  require(forward > 0 && backward > 0);
  if (d.channels > 500 || d.M * d.N > 2000 || backward > 1 << 22) return;
  const int64_t size = d.type;
  const auto x = memory(d.M * d.N * size, 8), grad_x = memory(d.M * d.N * size, 8);
  const auto S = memory(d.channels * d.m * d.n * size, 8);
  const auto psi = memory(d.psi_entries * size, 8), phi = memory(d.phi_entries * size, 8);
  const scatcuda_gradients gradients{grad_x.get(), psi.get(), phi.get()};
  {
    const auto workspace = memory(forward, SCATCUDA_ALIGNMENT);
    require(scatcuda_forward(plan, 1, x.get(), S.get(), workspace.get(), forward, nullptr,
                             nullptr) == SCATCUDA_OK);
  }
  const auto workspace = memory(backward, SCATCUDA_ALIGNMENT);
  require(scatcuda_backward(plan, 1, x.get(), S.get(), &gradients, workspace.get(), backward,
                            nullptr, nullptr) == SCATCUDA_OK);
}

void read(const uint8_t* data, size_t size) {
  // a copy of this very size: what lies behind its end is nobody's
  std::unique_ptr<uint8_t[]> exact(new uint8_t[size]);
  std::memcpy(exact.get(), data, size);
  scatcuda_plan* plan = nullptr;
  scatcuda_message message;
  std::memset(&message, '?', sizeof message);
  const scatcuda_status status = scatcuda_plan_read(exact.get(), size, &plan, &message);
  require((status == SCATCUDA_OK) == (plan != nullptr));
  if (plan != nullptr) {
    execute(plan);
  } else {
    require(std::memchr(message.text, 0, sizeof message.text) != nullptr && message.text[0] != 0);
  }
  scatcuda_plan_destroy(plan);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  read(data, size);
  // once more as if whoever altered it had repaired size and checksum
  if (size < 128) return 0;
  std::vector<uint8_t> repaired(data, data + size);
  const auto written = static_cast<uint64_t>(size);
  std::memcpy(&repaired[16], &written, 8);
  const uint32_t crc = crc32(&repaired[16], size - 16);
  std::memcpy(&repaired[12], &crc, 4);
  read(repaired.data(), size);
  return 0;
}

#ifdef SCATCUDA_FUZZ_MAIN
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <random>

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  std::vector<std::vector<uint8_t>> corpus;
  for (const auto& entry : std::filesystem::directory_iterator(argv[3])) {
    std::ifstream file(entry.path(), std::ios::binary);
    corpus.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    LLVMFuzzerTestOneInput(corpus.back().data(), corpus.back().size());
  }
  if (corpus.empty()) return 2;
  std::mt19937_64 random(std::strtoull(argv[2], nullptr, 10));
  const auto below = [&](uint64_t n) { return static_cast<size_t>(random() % n); };
  const long runs = std::strtol(argv[1], nullptr, 10);
  for (long run = 0; run < runs; ++run) {
    std::vector<uint8_t> input = corpus[below(corpus.size())];
    for (size_t left = 1 + below(4); left > 0; --left) {
      if (input.size() < 129) break;
      // the header and the support tables more often than the numbers
      const size_t near = below(2) ? std::min<size_t>(input.size(), 512) : input.size();
      const int64_t odd[] = {0,  1,  -1, -3,      -8,      2,         3,        24,
                             25, 63, 64, 1 << 12, 1 << 24, INT64_MAX, INT64_MIN};
      const int64_t value = below(2) ? odd[below(std::size(odd))] : static_cast<int64_t>(below(99));
      switch (below(5)) {
        case 0:
          input[below(near)] ^= static_cast<uint8_t>(1 << below(8));
          break;
        case 1:
          input[below(near)] = static_cast<uint8_t>(random());
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
