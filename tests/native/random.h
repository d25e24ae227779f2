// Random sizes for the programs of this folder: small ones that make sense, and hostile ones.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>

// Ends the program where something does not hold, for the test that runs it to see
#define REQUIRE(holds)                                               \
  if (!(holds)) {                                                    \
    std::fprintf(stderr, "%s:%d: " #holds "\n", __FILE__, __LINE__); \
    std::abort();                                                    \
  }

class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}
  // from 0 to n − 1
  int64_t below(int64_t n) { return static_cast<int64_t>(engine_() % static_cast<uint64_t>(n)); }
  bool one_in(int64_t n) { return below(n) == 0; }
  // at or beside what limits, overflows or is nothing
  int64_t hostile() {
    if (one_in(4)) return static_cast<int64_t>(engine_());
    constexpr int64_t values[] = {0,
                                  1,
                                  2,
                                  24,
                                  64,
                                  4096,
                                  1 << 20,
                                  1 << 24,
                                  1 << 30,
                                  INT32_MAX,
                                  int64_t{1} << 32,
                                  int64_t{1} << 40,
                                  int64_t{1} << 58,
                                  INT64_MAX - 1};
    const int64_t value = values[below(std::size(values))] + (below(3) - 1);
    return one_in(4) ? -value : value;
  }

 private:
  std::mt19937_64 engine_;
};
