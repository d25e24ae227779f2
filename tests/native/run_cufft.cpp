// Drives csrc/cuda/cufft.cpp by lines on its input, without CUDA: the device, the state of capture
// and the thread's mode of it are what they were last said to be. A mode that a command does not
// leave as it was prints BROKEN.
//
//   version                                 prints the version of cuFFT, or that there is none
//   device D | capture 0|1 | mode 0|1 | middle M     the middle side of what follows
//   plan KIND outer inner batch             prints the bytes of its work area; KIND: r2c d2z c2r
//                                           z2d, c2c z2z inverse, C2C Z2Z forward
//   run KIND outer inner batch in out workspace stream     addresses as numbers; prints a failure
//   threads T KIND outer inner batch R      T threads that each run it R times at T sizes
#include <cstdint>
#include <iostream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "../../csrc/core/engines.h"

using scatcuda::cuda::Direction;
using scatcuda::cuda::Fft;
using scatcuda::cuda::Transform;

static int device = 0, capture = 0, middle = 1;
extern "C" int cudaGetDevice(int* current) {
  *current = device;
  return device < 0;
}
extern "C" int cudaStreamIsCapturing(void*, int* status) {
  *status = capture;
  return 0;
}

static thread_local int mode = 0;  // cudaStreamCaptureModeGlobal
extern "C" int cudaThreadExchangeStreamCaptureMode(int* other) {
  std::swap(mode, *other);
  return 0;
}
// for the library
extern "C" __attribute__((visibility("default"))) int fake_capture_mode() { return mode; }

static Transform read_transform() {
  std::string kind;
  Transform t{};
  std::cin >> kind >> t.outer >> t.inner >> t.batch;
  t.middle = middle;
  t.direction = kind == "r2c" || kind == "d2z"   ? Direction::real_forward
                : kind == "c2r" || kind == "z2d" ? Direction::real_inverse
                : kind == "C2C" || kind == "Z2Z" ? Direction::forward
                                                 : Direction::inverse;
  t.wide = kind == "d2z" || kind == "z2d" || kind == "z2z" || kind == "Z2Z";
  return t;
}

static void* read_address() {
  intptr_t address = 0;
  std::cin >> address;
  return reinterpret_cast<void*>(address);
}

int main() {
  int version = 0;
  int said = mode;
  const Fft* fft = scatcuda::cuda::cufft(&version);
  for (std::string command; std::cin >> command;) {
    if (command == "version") {
      std::printf("%s %d\n", fft == nullptr ? "none" : "cuFFT", version);
    } else if (command == "device") {
      std::cin >> device;
    } else if (command == "capture") {
      std::cin >> capture;
    } else if (command == "middle") {
      std::cin >> middle;
    } else if (command == "mode") {
      std::cin >> mode;
      said = mode;
    } else if (command == "plan") {
      const long bytes = fft->workspace_bytes(fft->self, read_transform(), nullptr);
      std::printf("%ld bytes%s%s\n", bytes, bytes < 0 ? ": " : "",
                  bytes < 0 ? scatcuda::cuda::cufft_error() : "");
    } else if (command == "run") {
      const Transform t = read_transform();
      void *in = read_address(), *out = read_address(), *work = read_address();
      if (!fft->run(fft->self, t, in, out, work, read_address())) {
        std::printf("failed: %s\n", scatcuda::cuda::cufft_error());
      }
    } else if (command == "threads") {
      int count = 0, repeats = 0;
      std::cin >> count;
      const Transform t = read_transform();
      std::cin >> repeats;
      std::vector<std::thread> threads;
      for (int i = 0; i < count; ++i) {
        threads.emplace_back([=] {
          for (int r = 0; r < repeats; ++r) {
            Transform one = t;
            one.batch += (i + r) % count;
            int scratch = 0;
            if (!fft->run(fft->self, one, &scratch, &scratch, nullptr, nullptr)) {
              std::printf("failed\n");
            }
            if (mode != 0) std::printf("BROKEN mode %d\n", mode);
          }
        });
      }
      for (std::thread& thread : threads) thread.join();
    }
    if (mode != said) std::printf("BROKEN mode %d after %s\n", mode, command.c_str());
  }
  return 0;
}
