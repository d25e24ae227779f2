// The CPU engine's workspace, kept from call to call.
//
// PyTorch's CPU allocator returns large blocks to the system, and every call would fault its pages
// in again. Here a block goes back to a small pool instead, and large ones ask for huge pages, of
// which a walk down a column needs far fewer.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <new>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace scatcuda {

class Workspace {
 public:
  explicit Workspace(int64_t bytes) : block_(Pool::instance().take(bytes)) {}
  ~Workspace() { Pool::instance().give(block_); }
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;
  void* data() const { return block_.data; }

 private:
  static constexpr int64_t huge_page = int64_t{2} << 20;
  static constexpr int64_t most_kept = int64_t{256} << 20;  // in all, while no call is running

  struct Block {
    void* data;
    int64_t bytes;
  };

  class Pool {
   public:
    // never destroyed: a call may still run while the process ends
    static Pool& instance() {
      static Pool* pool = new Pool;
      return *pool;
    }

    // the smallest kept block that is large enough, else a new one
    Block take(int64_t bytes) {
      {
        const std::lock_guard<std::mutex> lock(mutex_);
        auto best = kept_.end();
        for (auto it = kept_.begin(); it != kept_.end(); ++it) {
          if (it->bytes >= bytes && (best == kept_.end() || it->bytes < best->bytes)) best = it;
        }
        if (best != kept_.end()) {
          const Block block = *best;
          kept_.erase(best);
          kept_bytes_ -= block.bytes;
          return block;
        }
      }
      const int64_t unit = bytes < huge_page ? 4096 : huge_page;
      bytes = (bytes + unit - 1) / unit * unit;
      void* data = nullptr;
      if (posix_memalign(&data, static_cast<size_t>(unit), static_cast<size_t>(bytes)) != 0) {
        throw std::bad_alloc();
      }
#if defined(__linux__)
      if (unit == huge_page) madvise(data, static_cast<size_t>(bytes), MADV_HUGEPAGE);
#endif
      return {data, bytes};
    }

    void give(Block block) {
      {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (kept_bytes_ + block.bytes <= most_kept) {
          kept_.push_back(block);
          kept_bytes_ += block.bytes;
          return;
        }
      }
      std::free(block.data);
    }

   private:
    std::mutex mutex_;
    std::vector<Block> kept_;
    int64_t kept_bytes_ = 0;
  };

  Block block_;
};

}  // namespace scatcuda
