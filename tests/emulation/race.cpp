// Finds accesses of kernels to shared and global memory that nothing orders, and counts the traffic
// with global memory.
//
// Kernels compiled with -fsanitize=thread call a function at every load and store; these are those
// functions, in place of ThreadSanitizer's own. Every word of memory remembers its last write and
// its last reads. Two accesses to a word, one of them a write, race when they are made by
//
//   two blocks of one launch,
//   two threads of a block with no __syncthreads() between them, or
//   two lanes of a warp with neither that nor a chain of __syncwarp() between them;
//
// and shuffles order nothing. This is so whatever order the scheduler chose. Words are two bytes in
// shared and four in global memory: neighbours inside a word would look like a race.
#include <cstring>

#include "emulator.h"

namespace scatcuda::emulation {
namespace {

// Who touched a word
struct Touch {
  uint32_t epoch;      // when, in block barriers; 0: never
  uint32_t time;       // when, in barriers of its warp
  uint32_t lanes;      // of its warp: those that no barrier orders, one in case of a write
  uint32_t place;      // in the code of this module
  uint8_t warp;        // of the latest
  bool several_warps;  // in this epoch
  bool other_blocks;   // of this launch, before
};
struct Word {
  Touch written, read;
};

struct Memory {
  std::string name;
  char* begin;
  size_t bytes, word;
  bool shared;
  Traffic traffic;
  std::vector<Word> words;

  bool holds(const char* p) const { return p >= begin && p < begin + bytes; }
};

class Detector final : public Observer {
 public:
  Detector() { observer = this; }

  void launch_begins() override {
    if (epoch_ > UINT32_MAX / 2) {  // long before it comes round
      memories_.clear();
      epoch_ = 1;
    }
    launch_start_ = ++epoch_;
    watch();
  }
  void block_begins() override { block_start_ = ++epoch_; }
  void block_barrier() override { ++epoch_; }

  // What one of the lanes knows to have happened, all know now.
  void warp_barrier(int warp, uint32_t lanes) override {
    Clocks& clocks = clocks_[warp];
    const uint32_t now = ++clocks.now;
    uint32_t joint[warp_size];
    for (int other = 0; other < warp_size; ++other) {
      joint[other] = lanes >> other & 1 ? now : 0;
      for (int lane = 0; lane < warp_size; ++lane) {
        const bool heard = (lanes >> lane & 1) && clocks.known[lane][other] > joint[other];
        if (heard) joint[other] = clocks.known[lane][other];
      }
    }
    for (int lane = 0; lane < warp_size; ++lane) {
      if (lanes >> lane & 1) memcpy(clocks.known[lane], joint, sizeof joint);
    }
  }

  void driver_access(const void* p, size_t bytes, bool write) override {
    if (p != nullptr) touch(p, bytes, write, 0, module_base());
  }

  void launch_ends(Launch& launch) override {
    for (const Buffer& buffer : buffers) {
      for (const Memory& m : memories_) {
        if (m.begin == buffer.begin && m.name == buffer.name) launch.traffic.push_back(m.traffic);
      }
    }
  }

  void kernel_access(const void* address, size_t bytes, bool write, const void* place) {
    const int thread = running_thread();
    if (thread < 0) return;
    const char* p = static_cast<const char*>(address);
    if (p >= stacks_.begin && p < stacks_.begin + stacks_.bytes) return;
    touch(p, bytes, write, thread, place);
  }

 private:
  // Of one warp: known[l][k] is the time before which what lane k did has happened to lane l
  struct Clocks {
    uint32_t now;
    uint32_t known[warp_size][warp_size];
  };

  // Keeps the memories in step with the buffers of the test. What was forgotten in between cannot
  // race: it was of earlier launches.
  void watch() {
    stacks_ = stack_span();
    std::vector<Memory> before;
    before.swap(memories_);
    const Span shared = shared_span();
    keep(before, {"shared memory", shared.begin, shared.bytes, 2, true, {}, {}});
    for (const Buffer& b : buffers) keep(before, {b.name, b.begin, b.bytes, 4, false, {}, {}});
    latest_ = nullptr;
  }
  void keep(std::vector<Memory>& before, Memory memory) {
    if (memory.bytes == 0) return;
    for (Memory& old : before) {
      if (old.begin == memory.begin && old.bytes == memory.bytes) memory.words.swap(old.words);
    }
    memory.words.resize(memory.bytes / memory.word + 2);
    memories_.push_back(std::move(memory));
  }

  Memory* memory_at(const char* p) {
    if (latest_ != nullptr && latest_->holds(p)) return latest_;
    for (Memory& m : memories_) {
      if (m.holds(p)) return latest_ = &m;
    }
    return nullptr;
  }

  void touch(const void* address, size_t bytes, bool write, int thread, const void* place) {
    const char* p = static_cast<const char*>(address);
    Memory* m = memory_at(p);
    if (m == nullptr) return;
    (write ? m->traffic.written : m->traffic.read) += static_cast<int64_t>(bytes);
    const size_t first = static_cast<size_t>(p - m->begin);
    for (size_t w = first / m->word; w * m->word < first + bytes && w < m->words.size(); ++w) {
      touch(*m, w, write, thread, place);
    }
  }

  void touch(Memory& m, size_t w, bool write, int thread, const void* place) {
    Word& word = m.words[w];
    if (unordered(word.written, m.shared, thread)) report(m, w, false, write, thread, place);
    if (write && unordered(word.read, m.shared, thread)) report(m, w, true, write, thread, place);
    Touch& t = write ? word.written : word.read;
    if (!m.shared) count(m, t, write);
    const uint8_t warp = static_cast<uint8_t>(thread / warp_size);
    const uint32_t bit = 1u << thread % warp_size, now = clocks_[warp].now;
    const bool earlier_block =
        t.epoch >= launch_start_ && (t.epoch < block_start_ || t.other_blocks);
    if (write || t.epoch != epoch_) {
      t = {epoch_, now, bit, 0, warp, false, earlier_block};
    } else if (t.warp != warp) {
      t.several_warps = true;
    } else {
      // readers that a barrier puts before this one need not be remembered
      if (t.time != now) t.lanes &= ~heard(t, warp, thread % warp_size);
      t.lanes |= bit;
      t.time = now;
    }
    t.place = static_cast<uint32_t>(static_cast<const char*>(place) - module_base());
  }

  // The lanes of t whose access has happened to `lane`
  uint32_t heard(const Touch& t, int warp, int lane) const {
    const uint32_t* known = clocks_[warp].known[lane];
    uint32_t found = 0;
    for (uint32_t left = t.lanes; left != 0; left &= left - 1) {
      const int other = __builtin_ctz(left);
      if (other == lane || known[other] > t.time) found |= 1u << other;
    }
    return found;
  }

  bool unordered(const Touch& t, bool shared, int thread) const {
    if (!shared && t.epoch >= launch_start_ && (t.epoch < block_start_ || t.other_blocks)) {
      return true;
    }
    if (t.epoch != epoch_) return false;
    const int warp = thread / warp_size;
    if (t.several_warps || t.warp != warp) return true;
    return (t.lanes & ~heard(t, warp, thread % warp_size)) != 0;
  }

  void count(Memory& m, const Touch& t, bool write) {
    const int64_t bytes = static_cast<int64_t>(m.word);
    if (t.epoch < block_start_) {
      (write ? m.traffic.written_once_a_block : m.traffic.read_once_a_block) += bytes;
    }
    if (t.epoch < launch_start_) {
      (write ? m.traffic.written_once : m.traffic.read_once) += bytes;
    }
  }

  void report(const Memory& m, size_t w, bool earlier_read, bool write, int thread,
              const void* place) {
    const Touch& t = earlier_read ? m.words[w].read : m.words[w].written;
    const uint32_t others = t.lanes & ~(1u << thread % warp_size);
    const int lane = __builtin_ctz(others != 0 ? others : t.lanes);
    const Access first{!earlier_read, t.warp * warp_size + lane,
                       t.epoch < block_start_ || t.other_blocks, module_base() + t.place};
    for (Race& known : races) {
      if (known.first.place == first.place && known.second.place == place) {
        ++known.words;
        return;
      }
    }
    races.push_back({m.name, w * m.word, first, {write, thread, false, place}, 1});
  }

  uint32_t epoch_ = 1, launch_start_ = 1, block_start_ = 1;
  Clocks clocks_[most_threads / warp_size] = {};
  std::vector<Memory> memories_;
  Memory* latest_ = nullptr;
  Span stacks_{nullptr, 0};
};

Detector detector;

}  // namespace
}  // namespace scatcuda::emulation

// --- what compiled kernels call ----------------------------------------------------------------

using scatcuda::emulation::detector;

extern "C" {

#define SCATCUDA_PLACE (static_cast<const char*>(__builtin_return_address(0)) - 1)
#define SCATCUDA_ACCESS(n)                                                                        \
  void __tsan_read##n(void* p) { detector.kernel_access(p, n, false, SCATCUDA_PLACE); }           \
  void __tsan_write##n(void* p) { detector.kernel_access(p, n, true, SCATCUDA_PLACE); }           \
  void __tsan_unaligned_read##n(void* p) { detector.kernel_access(p, n, false, SCATCUDA_PLACE); } \
  void __tsan_unaligned_write##n(void* p) { detector.kernel_access(p, n, true, SCATCUDA_PLACE); }
SCATCUDA_ACCESS(1)
SCATCUDA_ACCESS(2)
SCATCUDA_ACCESS(4)
SCATCUDA_ACCESS(8)
SCATCUDA_ACCESS(16)
void __tsan_read_range(void* p, size_t n) { detector.kernel_access(p, n, false, SCATCUDA_PLACE); }
void __tsan_write_range(void* p, size_t n) { detector.kernel_access(p, n, true, SCATCUDA_PLACE); }

// memcpy and memset as calls are not instrumented; the linker brings them here (--wrap).
void* __real_memcpy(void* to, const void* from, size_t n);
void* __real_memmove(void* to, const void* from, size_t n);
void* __real_memset(void* to, int value, size_t n);
void* __wrap_memcpy(void* to, const void* from, size_t n) {
  detector.kernel_access(from, n, false, SCATCUDA_PLACE);
  detector.kernel_access(to, n, true, SCATCUDA_PLACE);
  return __real_memcpy(to, from, n);
}
void* __wrap_memmove(void* to, const void* from, size_t n) {
  detector.kernel_access(from, n, false, SCATCUDA_PLACE);
  detector.kernel_access(to, n, true, SCATCUDA_PLACE);
  return __real_memmove(to, from, n);
}
void* __wrap_memset(void* to, int value, size_t n) {
  detector.kernel_access(to, n, true, SCATCUDA_PLACE);
  return __real_memset(to, value, n);
}

void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}

// atomics, of the host's code: performed, not watched
#define SCATCUDA_ATOMIC(bits)                                                                  \
  uint##bits##_t __tsan_atomic##bits##_load(const volatile uint##bits##_t* p, int) {           \
    return __atomic_load_n(p, __ATOMIC_SEQ_CST);                                               \
  }                                                                                            \
  void __tsan_atomic##bits##_store(volatile uint##bits##_t* p, uint##bits##_t v, int) {        \
    __atomic_store_n(p, v, __ATOMIC_SEQ_CST);                                                  \
  }                                                                                            \
  uint##bits##_t __tsan_atomic##bits##_fetch_add(volatile uint##bits##_t* p, uint##bits##_t v, \
                                                 int) {                                        \
    return __atomic_fetch_add(p, v, __ATOMIC_SEQ_CST);                                         \
  }
SCATCUDA_ATOMIC(8)
SCATCUDA_ATOMIC(32)
SCATCUDA_ATOMIC(64)

}  // extern "C"
