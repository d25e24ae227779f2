// The scheduler behind cuda_emulation.h.
//
// A block is run by up to 1024 fibers, one a thread. A thread runs until it must wait; then the
// next one that can run does, round robin. Where none can, the block waits for itself: run_grid()
// throws what each thread waits for. Shared memory is the thread-local storage of this module (see
// __shared__): before a block it is filled with NaN, and when the launch is over everything
// thread-local is put back, for the host's code in this module may have variables there too.
#include <dlfcn.h>
#include <link.h>
#include <sys/mman.h>

#include <algorithm>
#include <new>
#include <stdexcept>
#include <utility>

#include "cuda_emulation.h"

#if defined(__x86_64__) && !defined(SCATCUDA_EMULATION_UCONTEXT)
#define SCATCUDA_EMULATION_ASSEMBLY
#else
#include <ucontext.h>
#endif
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace scatcuda::emulation {
namespace {

constexpr size_t page = 4096, stack_bytes = size_t{256} << 10;  // the lowest page of each is closed
constexpr unsigned char nan_byte = 0xff;

// --- contexts: where a fiber goes on -----------------------------------------------------------

#if defined(SCATCUDA_EMULATION_ASSEMBLY)

using Context = void*;  // its stack pointer; what a callee must preserve lies on top of its stack

extern "C" void scatcuda_emulation_switch(Context* from, Context* to);
__asm__(
    ".pushsection .text\n"
    ".type scatcuda_emulation_switch, @function\n"
    "scatcuda_emulation_switch:\n"
    "  pushq %rbp\n  pushq %rbx\n  pushq %r12\n  pushq %r13\n  pushq %r14\n  pushq %r15\n"
    "  movq %rsp, (%rdi)\n"
    "  movq (%rsi), %rsp\n"
    "  popq %r15\n  popq %r14\n  popq %r13\n  popq %r12\n  popq %rbx\n  popq %rbp\n"
    "  ret\n"
    ".size scatcuda_emulation_switch, .-scatcuda_emulation_switch\n"
    ".popsection\n");

void switch_context(Context* from, Context* to) { scatcuda_emulation_switch(from, to); }

void make_context(Context* context, char* /*bottom*/, char* top, void (*entry)()) {
  void** sp = reinterpret_cast<void**>(top);  // on a boundary of 64 bytes
  *--sp = nullptr;                            // the return address that entry() finds
  *--sp = reinterpret_cast<void*>(entry);     // where the first switch returns to
  for (int i = 0; i < 6; ++i) *--sp = nullptr;
  *context = sp;
}

#else

using Context = ucontext_t;

void switch_context(Context* from, Context* to) { swapcontext(from, to); }

void make_context(Context* context, char* bottom, char* top, void (*entry)()) {
  getcontext(context);
  context->uc_stack.ss_sp = bottom;
  context->uc_stack.ss_size = static_cast<size_t>(top - bottom);
  context->uc_link = nullptr;
  makecontext(context, entry, 0);
}

#endif

// --- the block that runs -----------------------------------------------------------------------

struct Thread {
  Context context;
  int rank;
  uint3 index;
  const char* file;  // of the call in which it waits
  int line;
  uint32_t mask;  // of the warp operation in which it waits
  int source;     // of the shuffle; −1 where it is none
  unsigned char give[8], take[8];
#if defined(__SANITIZE_ADDRESS__)
  void* fake_stack;
#endif
};

struct Block {
  Thread threads[most_threads];
  int count, warps;
  // of each warp, a bit a lane
  uint32_t live[most_threads / warp_size];     // has not returned
  uint32_t ready[most_threads / warp_size];    // waits for nothing
  uint32_t arrived[most_threads / warp_size];  // at a warp operation
  int alive, at_barrier;
  const char* barrier_file;
  int barrier_line;
  int64_t barriers;

  Thread* running;  // null outside of kernels
  Context launcher;
  std::string failure;
  void (*call)(const void*);
  const void* arguments;
#if defined(__SANITIZE_ADDRESS__)
  void* launcher_fake_stack;
  const void* launcher_bottom;
  size_t launcher_bytes;
#endif
};
Block block;

char* stacks = nullptr;
unsigned char* (*dynamic_shared)() = nullptr;

char* stack_of(int rank) { return stacks + static_cast<size_t>(rank) * stack_bytes; }

void make_stacks() {
  if (stacks != nullptr) return;
  const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  void* p = mmap(nullptr, most_threads * stack_bytes, PROT_NONE, flags, -1, 0);
  if (p == MAP_FAILED) throw std::bad_alloc();
  stacks = static_cast<char*>(p);
  for (int rank = 0; rank < most_threads; ++rank) {
    if (mprotect(stack_of(rank) + page, stack_bytes - page, PROT_READ | PROT_WRITE) != 0) {
      throw std::bad_alloc();
    }
  }
}

// `ends`: the thread that runs now never goes on
void switch_to(Thread* to, bool ends = false) {
  Thread* from = block.running;
  block.running = to;
  if (to != nullptr) threadIdx = to->index;
  Context* here = from != nullptr ? &from->context : &block.launcher;
  Context* there = to != nullptr ? &to->context : &block.launcher;
#if defined(__SANITIZE_ADDRESS__)
  void** fake = from != nullptr ? &from->fake_stack : &block.launcher_fake_stack;
  const void* bottom = to != nullptr ? stack_of(to->rank) : block.launcher_bottom;
  const size_t bytes = to != nullptr ? stack_bytes : block.launcher_bytes;
  __sanitizer_start_switch_fiber(ends ? nullptr : fake, bottom, bytes);
  switch_context(here, there);
  __sanitizer_finish_switch_fiber(*fake, nullptr, nullptr);
#else
  (void)ends;
  switch_context(here, there);
#endif
}

std::string place(const char* file, int line) {
  const std::string path = file;
  return path.substr(path.rfind('/') + 1) + ":" + std::to_string(line);
}

// Gives the launch up: run_grid() throws, the fibers are left where they are.
[[noreturn]] void fail(const std::string& what) {
  const auto waits = [](int rank) {
    const int warp = rank / warp_size;
    return (block.live[warp] & ~block.ready[warp]) >> rank % warp_size & 1;
  };
  block.failure = what + "; block (" + std::to_string(blockIdx.x) + ", " +
                  std::to_string(blockIdx.y) + ", " + std::to_string(blockIdx.z) + ")";
  for (int rank = 0; rank < block.count; ++rank) {
    if (!waits(rank)) continue;
    const Thread& t = block.threads[rank];
    const int first = rank;  // neighbours mostly wait together
    while (rank + 1 < block.count && waits(rank + 1) && block.threads[rank + 1].line == t.line) {
      ++rank;
    }
    block.failure += "\n  threads " + std::to_string(first) + " to " + std::to_string(rank) +
                     " wait at " + place(t.file, t.line);
  }
  switch_to(nullptr, true);
  __builtin_unreachable();
}

// The thread to run after `rank`; null where all wait
Thread* next_ready(int rank) {
  const bool reversed = device.threads_reversed;
  const int step = reversed ? block.warps - 1 : 1, lane = rank % warp_size;
  int warp = rank / warp_size;
  uint32_t candidates = block.ready[warp] & (reversed ? ~(~0u << lane) : ~1u << lane);
  for (int i = 0; i <= block.warps; ++i) {
    if (candidates != 0) {
      const int first = __builtin_ctz(candidates), last = 31 - __builtin_clz(candidates);
      return &block.threads[warp * warp_size + (reversed ? last : first)];
    }
    warp = (warp + step) % block.warps;
    candidates = block.ready[warp];
  }
  return nullptr;
}

void wait(const char* what) {
  Thread* me = block.running;
  Thread* to = next_ready(me->rank);
  if (to == nullptr) fail(std::string("deadlock: every thread waits, the last one at ") + what);
  if (to != me) switch_to(to);
}

void release_block() {
  block.at_barrier = 0;
  ++block.barriers;
  std::copy_n(block.live, block.warps, block.ready);
  if (observer != nullptr) observer->block_barrier();
}

// Lets the lanes of `mask` go on when all that still live have arrived. Threads that have returned
// are not waited for.
bool release_lanes(int warp, uint32_t mask) {
  const uint32_t wanted = mask & block.live[warp];
  if (wanted == 0 || (block.arrived[warp] & wanted) != wanted) return false;
  Thread* lanes = block.threads + warp * warp_size;
  const Thread& first = lanes[__builtin_ctz(wanted)];
  const bool is_shuffle = first.source >= 0;
  for (uint32_t left = wanted; left != 0; left &= left - 1) {
    Thread& lane = lanes[__builtin_ctz(left)];
    if (lane.mask != mask || lane.line != first.line || lane.file != first.file) {
      fail("lanes of one warp meet in different warp operations or with different masks");
    }
    if (!is_shuffle) continue;
    if (wanted >> lane.source & 1) {
      std::copy_n(lanes[lane.source].give, sizeof lane.take, lane.take);
    } else {
      std::fill_n(lane.take, sizeof lane.take, nan_byte);
    }
  }
  block.arrived[warp] &= ~wanted;
  block.ready[warp] |= wanted;
  // a shuffle exchanges registers; it does not order memory
  if (!is_shuffle && observer != nullptr) observer->warp_barrier(warp, wanted);
  return true;
}

void meet_lanes(uint32_t mask, int source, const char* file, int line, const char* what) {
  Thread& me = *block.running;
  const int warp = me.rank / warp_size;
  const uint32_t bit = 1u << me.rank % warp_size;
  me.file = file, me.line = line, me.mask = mask, me.source = source;
  if (!(mask & bit)) fail("a lane is not in the mask of its own warp operation");
  block.arrived[warp] |= bit;
  block.ready[warp] &= ~bit;
  if (!release_lanes(warp, mask)) wait(what);
}

// The life of a fiber
void thread_main() {
#if defined(__SANITIZE_ADDRESS__)
  // the first thread of a launch comes from the launcher and learns what stack that has
  const bool first = block.launcher_bottom == nullptr;
  __sanitizer_finish_switch_fiber(nullptr, first ? &block.launcher_bottom : nullptr,
                                  first ? &block.launcher_bytes : nullptr);
#endif
  block.call(block.arguments);
  const int rank = block.running->rank, warp = rank / warp_size;
  const uint32_t bit = 1u << rank % warp_size;
  block.ready[warp] &= ~bit;
  block.live[warp] &= ~bit;
  --block.alive;
  if (block.alive > 0 && block.at_barrier == block.alive) release_block();
  for (uint32_t left = block.arrived[warp]; left != 0; left &= left - 1) {
    const int lane = __builtin_ctz(left);
    const bool waits = block.arrived[warp] >> lane & 1;  // still, after those before it
    if (waits) release_lanes(warp, block.threads[warp * warp_size + lane].mask);
  }
  Thread* to = next_ready(rank);
  if (to == nullptr && block.alive > 0)
    fail("deadlock: the others wait for a thread that returned");
  switch_to(to, true);
  __builtin_unreachable();
}

// --- shared memory -----------------------------------------------------------------------------

// The thread-local storage of this module: all static shared arrays, and the dynamic one
Span find_shared() {
  if (dynamic_shared != nullptr) dynamic_shared();  // makes it exist
  Span found{nullptr, 0};
  dl_iterate_phdr(
      [](dl_phdr_info* module, size_t, void* result) {
        const uintptr_t here = reinterpret_cast<uintptr_t>(&block) - module->dlpi_addr;
        bool mine = false;
        size_t bytes = 0;
        for (int i = 0; i < module->dlpi_phnum; ++i) {
          const auto& header = module->dlpi_phdr[i];
          if (header.p_type == PT_LOAD && here - header.p_vaddr < header.p_memsz) mine = true;
          if (header.p_type == PT_TLS) bytes = header.p_memsz;
        }
        if (mine && module->dlpi_tls_data != nullptr) {
          *static_cast<Span*>(result) = {static_cast<char*>(module->dlpi_tls_data), bytes};
        }
        return mine ? 1 : 0;
      },
      &found);
  return found;
}

// Shared memory for one launch
class SharedMemory {
 public:
  explicit SharedMemory(size_t bytes) : all_(find_shared()), bytes_(bytes) {
    dynamic_ = dynamic_shared != nullptr ? reinterpret_cast<char*>(dynamic_shared()) : all_.begin;
    capacity_ = dynamic_shared != nullptr ? most_shared : 0;
    host_.assign(all_.begin, all_.begin + all_.bytes);
#if defined(__SANITIZE_ADDRESS__)
    ASAN_POISON_MEMORY_REGION(dynamic_ + bytes_, capacity_ - bytes_);
#endif
  }
  ~SharedMemory() {
#if defined(__SANITIZE_ADDRESS__)
    ASAN_UNPOISON_MEMORY_REGION(dynamic_, capacity_);
#endif
    std::copy(host_.begin(), host_.end(), all_.begin);
  }
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;

  void spoil() {
    memset(all_.begin, nan_byte, static_cast<size_t>(dynamic_ - all_.begin));
    memset(dynamic_, nan_byte, bytes_);
    char* after = dynamic_ + capacity_;
    memset(after, nan_byte, static_cast<size_t>(all_.begin + all_.bytes - after));
  }

 private:
  Span all_;
  size_t bytes_, capacity_;
  char* dynamic_;
  std::vector<char> host_;
};

void run_block() {
  block.alive = block.count;
  block.at_barrier = 0;
  for (int warp = 0; warp < block.warps; ++warp) {
    const int lanes = std::min(warp_size, block.count - warp * warp_size);
    block.live[warp] = block.ready[warp] = lanes == warp_size ? ~0u : (1u << lanes) - 1;
    block.arrived[warp] = 0;
  }
  for (int rank = 0; rank < block.count; ++rank) {
    // the tops are staggered: at one offset in all pages they would share few lines of the cache
    char* top = stack_of(rank + 1) - rank * 13 % 61 * 64;
    make_context(&block.threads[rank].context, stack_of(rank) + page, top, thread_main);
  }
  if (observer != nullptr) observer->block_begins();
  switch_to(&block.threads[device.threads_reversed ? block.count - 1 : 0]);
}

}  // namespace

int running_thread() { return block.running != nullptr ? block.running->rank : -1; }
int lane() { return block.running->rank % warp_size; }

const char* module_base() {
  static const char* const base = [] {
    Dl_info info{};
    dladdr(&block, &info);
    return static_cast<const char*>(info.dli_fbase);
  }();
  return base;
}

Span shared_span() { return find_shared(); }
Span stack_span() { return {stacks, most_threads * stack_bytes}; }

void set_dynamic_shared(unsigned char* (*address)()) { dynamic_shared = address; }

void block_barrier(const char* file, int line) {
  Thread& me = *block.running;
  me.file = file, me.line = line;
  block.ready[me.rank / warp_size] &= ~(1u << me.rank % warp_size);
  if (block.at_barrier > 0 && (block.barrier_line != line || block.barrier_file != file)) {
    fail("threads of one block wait at different __syncthreads()");
  }
  block.barrier_file = file, block.barrier_line = line;
  if (++block.at_barrier == block.alive) release_block();
  wait("__syncthreads()");
}

void warp_barrier(uint32_t mask, const char* file, int line) {
  meet_lanes(mask, -1, file, line, "__syncwarp()");
}

void shuffle(uint32_t mask, int source, const void* give, void* take, size_t bytes,
             const char* file, int line) {
  Thread& me = *block.running;
  memcpy(me.give, give, bytes);
  meet_lanes(mask, source, file, line, "a shuffle");
  memcpy(take, me.take, bytes);
}

int64_t run_grid(dim3 grid, dim3 threads, size_t shared, void (*call)(const void*),
                 const void* arguments) {
  if (shared > 0 && dynamic_shared == nullptr) {
    throw std::logic_error("SCATCUDA_EMULATION_SHARED_MEMORY stands nowhere");
  }
  make_stacks();
#if defined(__SANITIZE_ADDRESS__)
  block.launcher_bottom = nullptr;
#endif
  block.count = static_cast<int>(threads.x * threads.y * threads.z);
  block.warps = (block.count + warp_size - 1) / warp_size;
  block.barriers = 0;
  block.call = call;
  block.arguments = arguments;
  for (int rank = 0; rank < block.count; ++rank) {
    const unsigned r = static_cast<unsigned>(rank);
    block.threads[rank].rank = rank;
    block.threads[rank].index = {r % threads.x, r / threads.x % threads.y,
                                 r / threads.x / threads.y};
  }
  gridDim = grid;
  blockDim = threads;
  SharedMemory shared_memory(shared);
  const uint64_t blocks = uint64_t{grid.x} * grid.y * grid.z;
  for (uint64_t i = 0; i < blocks && block.failure.empty(); ++i) {
    const uint64_t b = device.blocks_reversed ? blocks - 1 - i : i;
    blockIdx = {static_cast<unsigned>(b % grid.x), static_cast<unsigned>(b / grid.x % grid.y),
                static_cast<unsigned>(b / grid.x / grid.y)};
    shared_memory.spoil();
    run_block();
  }
  if (!block.failure.empty()) throw std::runtime_error(std::exchange(block.failure, {}));
  return block.barriers;
}

}  // namespace scatcuda::emulation
