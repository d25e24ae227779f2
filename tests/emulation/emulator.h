// The emulated GPU as a test sees it: its limits and habits, what ran on it, what went wrong.
//
// Kernels see cuda_emulation.h instead. One launch runs at a time, all of it on the calling thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace scatcuda::emulation {

constexpr int warp_size = 32;
constexpr int most_threads = 1024;
constexpr size_t most_shared = 227 << 10;  // dynamic shared memory of a block, on any device

// A device's limits, and how it goes about its work
struct Device {
  int architecture = 90;  // 90 for sm_90
  int processors = 132;   // streaming multiprocessors
  size_t shared_per_block = most_shared;
  size_t shared_per_processor = 228 << 10;
  size_t l2_bytes = 50 << 20;
  size_t memory_bytes = size_t{80} << 30;
  bool has_kernels = true;        // false: older than all architectures of the build
  int refusal = 0;                // what its driver, of CUDA 12.4, answers to every launch
  bool threads_reversed = false;  // the last thread of a block comes first
  bool blocks_reversed = false;   // the last block of a grid comes first
  bool counts_only = false;       // launches are checked and recorded, and do nothing
  int count = 1;                  // of such devices; each has half of its predecessor's memory
  int current = 0;
  bool capturing = false;  // another thread captures: what would spoil that is refused
  int spoiled = 0;         // how often it was
  int mode = 0;            // of capture, of this thread; 2: relaxed
};
inline Device device;

// The only stream there is; a launch on another one, the default stream too, is refused
inline constexpr char stream_tag = 0;
inline const void* const stream = &stream_tag;

// Global memory that a test handed to kernels
struct Buffer {
  std::string name;
  char* begin;
  size_t bytes;
  int device = 0;
};
inline std::vector<Buffer> buffers;

// The buffer that holds all of [p, p + bytes); null where none does
inline const Buffer* buffer_of(const void* p, size_t bytes) {
  const char* first = static_cast<const char*>(p);
  for (const Buffer& b : buffers) {
    if (first >= b.begin && first <= b.begin + b.bytes &&
        bytes <= static_cast<size_t>(b.begin + b.bytes - first)) {
      return &b;
    }
  }
  return nullptr;
}

// What a launch moved between one buffer and the processors, in bytes. The compiler may keep in a
// register what it has read; nothing else stands between a thread and the memory.
struct Traffic {
  // asked for by threads, each on its own
  int64_t read = 0, written = 0;
  // words that a block touched at all, summed over blocks
  int64_t read_once_a_block = 0, written_once_a_block = 0;
  // words that the launch touched at all
  int64_t read_once = 0, written_once = 0;
};

// One launch, or one operation of the driver
struct Launch {
  std::string operation;         // "kernel", "memset", "memcpy" or what a test adds, "fft"
  const void* kernel = nullptr;  // the function
  unsigned grid[3] = {}, block[3] = {};
  size_t shared = 0;                  // dynamic, bytes
  int64_t barriers = 0;               // __syncthreads() of whole blocks
  std::vector<Traffic> traffic = {};  // of each buffer; empty without the race detector
};
inline std::vector<Launch> launches;  // since a test last cleared it

// One of two accesses that nothing orders
struct Access {
  bool write;
  int thread;         // in its block
  bool other_block;   // not the block of the second access
  const void* place;  // of the instruction
};
struct Race {
  std::string memory;  // name of the buffer, or "shared memory"
  size_t offset;       // bytes, first of this pair of places
  Access first, second;
  int64_t words;  // how often it was seen, see race.cpp
};
inline std::vector<Race> races;  // one for each pair of places

// Told by the scheduler what orders accesses; implemented by race.cpp, null in the other builds
struct Observer {
  virtual void launch_begins() = 0;
  virtual void block_begins() = 0;
  virtual void block_barrier() = 0;
  virtual void warp_barrier(int warp, uint32_t lanes) = 0;
  virtual void driver_access(const void* p, size_t bytes, bool write) = 0;
  virtual void launch_ends(Launch& launch) = 0;

 protected:
  ~Observer() = default;
};
inline Observer* observer = nullptr;

// Records what a library or the driver does on the device: from one place to another, either may be
// null. False on any other stream than the one there is.
bool record_operation(const char* name, const void* from, size_t from_bytes, const void* to,
                      size_t to_bytes, const void* on);

// Where this module was loaded
const char* module_base();

// The thread that runs, −1 outside of kernels
int running_thread();
// Where the shared memory of the block lies, static and dynamic; where the threads' stacks lie
struct Span {
  char* begin;
  size_t bytes;
};
Span shared_span();
Span stack_span();

}  // namespace scatcuda::emulation
