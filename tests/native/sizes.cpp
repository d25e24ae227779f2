// Every size that the engines compute, of programs at and beyond the limits of csrc/core/program.h,
// for UndefinedBehaviorSanitizer: nothing overflows, what is too large is refused. No array is
// touched.
//
//   sizes COUNT SEED PROGRAMS
//
// With SCATCUDA_EMULATED it is the CUDA engine's sizes and launches, in tests/emulation.
#include "core/engines.h"
#include "programs.h"

#ifdef SCATCUDA_EMULATED
#include "no_cufft.h"
#endif

namespace {

using namespace scatcuda;

constexpr int64_t too_many_bytes = int64_t{1} << 62;

// A size from the smallest to the limit, on all scales alike
int64_t up_to(Random& random, int64_t least, int64_t most) {
  if (random.one_in(3)) return random.one_in(2) ? least : most;
  int64_t top = most;
  while (top > least && random.one_in(2)) top /= 1 + random.below(16);
  return top <= least ? least : least + random.below(top - least + 1);
}

#ifdef SCATCUDA_EMULATED
const cuda::Fft fft{
    nullptr,
    [](void*, const cuda::Transform& t, void*) {
      return t.batch * t.outer * t.middle * t.inner * (t.wide ? 16 : 8);
    },
    [](void*, const cuda::Transform&, const void*, void*, void*, void*) { return false; }};

template <class T>
void check(Random& random, const Program& program, int64_t B) {
  const cuda::Device devices[] = {{75, 40, 64 << 10, 64 << 10, 4 << 20, int64_t{16} << 30},
                                  {90, 132, 227 << 10, 228 << 10, 50 << 20, int64_t{80} << 30},
                                  {120, 170, 99 << 10, 100 << 10, 96 << 20, int64_t{32} << 30}};
  const cuda::Device& device = devices[random.below(3)];
  const auto wanted = static_cast<cuda::Tier>(random.below(3));
  const auto task = static_cast<cuda::Task>(random.below(3));
  const int64_t budget = random.one_in(3)   ? INT64_MAX
                         : random.one_in(2) ? 1
                                            : cuda::default_budget(device);
  cuda::Launch launch{};
  const Status status = cuda::choose<T>(program, B, device, wanted, budget, &fft, &launch, task);
  REQUIRE(B <= most_signals(program) || status == Status::bad_problem);
  if (status != Status::ok) return;
  REQUIRE(launch.wave >= 1 && launch.wave <= max(B, 1));
  int64_t bytes = -1;
  REQUIRE(cuda::workspace_bytes<T>(program, launch, &fft, nullptr, &bytes) == Status::ok);
  REQUIRE(bytes >= 0 && bytes < too_many_bytes);
}
#else
template <class T>
void check(Random& random, const Program& program, int64_t B) {
  if (B > most_signals(program)) return;  // the floors above refuse it
  const int64_t threads = up_to(random, 1, 4096);
  const int64_t forward = cpu::workspace_bytes<T>(program, B, threads);
  const int64_t backward = cpu::backward_workspace_bytes<T>(
      program, random.one_in(2) ? 0 : up_to(random, 0, most_numbers), random.one_in(2), B, threads);
  REQUIRE(forward >= 0 && forward < too_many_bytes);
  REQUIRE(backward >= 0 && backward < too_many_bytes);
}
#endif

void check_shares(Random& random, int64_t count) {
  const int64_t parts = random.one_in(2) ? max(count, 1) : up_to(random, 1, 4096);
  const int64_t i = random.below(parts);
  const auto exact = static_cast<__int128>(i) * count / parts;
  REQUIRE(share_of(i, parts, count) == static_cast<int64_t>(exact));
  REQUIRE(share_of(parts, parts, count) == count);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  Random random(std::strtoull(argv[2], nullptr, 10));
  const long count = std::strtol(argv[1], nullptr, 10);
  const std::vector<std::string> texts = texts_in(argv[3]);
  long possible = 0;
  for (long i = 0; i < count; ++i) {
    std::string text = texts[static_cast<size_t>(i) % texts.size()];
    const bool altered = random.one_in(2);
    if (altered) text = mutated(random, text);
    std::string why;
    const ProgramPointer made = parse_program(text, &why);
    REQUIRE(made != nullptr || (altered && !why.empty()));
    if (made == nullptr) continue;
    ++possible;
    const Program& program = *made;
    REQUIRE(program.phi_numbers <= most_numbers && program.channels * program.unit <= most_numbers);
    for (int set = 0; set < program.set_count; ++set) {
      REQUIRE(program.sets[set].lanes * program.sets[set].points <= most_numbers);
    }
    const int64_t most = most_signals(program);
    REQUIRE(most >= 1);
    // signals and coefficients, in bytes
    REQUIRE(most <= INT64_MAX / 8 / points_of(program.signal));
    REQUIRE(most <= INT64_MAX / 8 / (program.channels * program.unit));
    const int64_t batches[] = {0, 1, most, up_to(random, 1, most), INT64_MAX};
    for (const int64_t B : batches) {
      check<float>(random, program, B);
      check<double>(random, program, B);
    }
    check_shares(random, up_to(random, 0, most));
  }
  std::printf("%ld of %ld\n", possible, count);
}
