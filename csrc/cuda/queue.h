// The launches and transforms of one call, and the workspace that they take.
//
// What a call launches, and where it keeps what lies between, is written down once, as the code
// that does it. To know beforehand what it takes, that code is run dry: nothing is launched, and
// Queue and Workspace only look at what would be.
#pragma once

#include "runtime.h"
#include "status.h"

namespace scatcuda {
namespace cuda {

// Hands out 256-byte aligned parts of the workspace like a stack; of none, it only counts.
class Workspace {
 public:
  explicit Workspace(void* memory) : base_(static_cast<unsigned char*>(memory)) {}

  template <class T>
  T* take(int64_t count) {
    unsigned char* part = base_ == nullptr ? nullptr : base_ + used_;
    used_ += round_up(count * static_cast<int64_t>(sizeof(T)), 256);
    most_ = max(most_, used_);
    return reinterpret_cast<T*>(part);
  }
  void* base() const { return base_; }
  int64_t most() const { return most_; }

  // Gives back at its end what was taken during its life
  class Scope {
   public:
    explicit Scope(Workspace& of) : of_(of), used_(of.used_) {}
    ~Scope() { of_.used_ = used_; }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Workspace& of_;
    const int64_t used_;
  };

 private:
  unsigned char* base_;
  int64_t used_ = 0, most_ = 0;
};

constexpr int64_t most_blocks = INT32_MAX;  // of a grid
struct Blocks {
  int64_t x, y = 1, z = 1;
};

// One after the other; after a failure the rest is left out.
class Queue {
 public:
  // dry: nothing is run. Then transforms are asked for the workspace that they want, or with
  // `estimate` it is as much again as they transform.
  enum class Mode { run, ask, estimate };
  Queue(const Fft* fft, void* stream, Mode mode = Mode::run)
      : fft_(fft), stream_(stream), mode_(mode) {}

  template <class... Parameters, class... Arguments>
  void run(void (*kernel)(Parameters...), Blocks blocks, int64_t threads, int64_t shared,
           Arguments... arguments) {
    if (status_ != Status::ok || blocks.x == 0 || blocks.y == 0 || blocks.z == 0) return;
    largest_ = max(largest_, blocks.x);
    if (blocks.x > most_blocks || max(blocks.y, blocks.z) > 65535) status_ = Status::bad_problem;
    if (skips()) return;
    note_launch();
    const dim3 grid(static_cast<unsigned>(blocks.x), static_cast<unsigned>(blocks.y),
                    static_cast<unsigned>(blocks.z));
    status_ = status_of(launch(kernel, grid, dim3(static_cast<unsigned>(threads)),
                               static_cast<size_t>(shared), static_cast<cudaStream_t>(stream_),
                               arguments...));
  }

  // Where transforms work, as many bytes as a dry run found
  void give(void* fft_workspace) { fft_workspace_ = fft_workspace; }
  void transform(const Transform& t, const void* in, void* out) {
    if (status_ != Status::ok) return;
    int64_t wants = 0;
    bool done = fft_ != nullptr;
    if (mode_ == Mode::estimate) {
      const int64_t number = t.wide ? sizeof(double) : sizeof(float);
      wants = t.outer * t.middle * (t.inner / 2 + 1) * t.batch * 4 * number;
    } else if (mode_ == Mode::ask) {
      wants = done ? fft_->workspace_bytes(fft_->self, t, stream_) : -1;
      done = wants >= 0;
    } else {
      note_launch();
      done = done && fft_->run(fft_->self, t, in, out, fft_workspace_, stream_);
    }
    fft_bytes_ = max(fft_bytes_, wants);
    if (!done) status_ = Status::fft_failed;
  }

  void clear(void* p, int64_t bytes) {
    if (skips() || bytes == 0) return;
    note_launch();
    status_ = cuda::clear(p, bytes, stream_);
  }
  void copy(void* to, const void* from, int64_t bytes) {
    if (skips() || bytes == 0) return;
    note_launch();
    status_ =
        status_of(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyDeviceToDevice,
                                  static_cast<cudaStream_t>(stream_)));
  }

  bool dry() const { return mode_ != Mode::run; }
  Status status() const { return status_; }
  int64_t fft_bytes() const { return fft_bytes_; }
  int64_t largest() const { return largest_; }  // grid

 private:
  bool skips() const { return dry() || status_ != Status::ok; }

  const Fft* fft_;
  void* stream_;
  const Mode mode_;
  Status status_ = Status::ok;
  void* fft_workspace_ = nullptr;
  int64_t fft_bytes_ = 0, largest_ = 0;
};

}  // namespace cuda
}  // namespace scatcuda
