// Transforms of planes by cuFFT, which is opened when it is first needed.
//
//   real_forward      real [batch, outer, middle, inner] -> half a spectrum, inner/2 + 1 bins
//   real_inverse      the way back, after which its input is lost
//   forward, inverse  complex [batch, outer, middle, inner], in place
//
// all of them unscaled, of as many axes as there are: the others have one point.
//
// The copy that PyTorch has loaded is taken where there is one. Plans are kept: making one takes
// milliseconds, and memory of cuFFT's own for its tables, the only thing here that is not the
// caller's. A plan serves every stream: all that a run needs beside those tables is its work area.
// No header of CUDA or cuFFT is needed, what is used of them is declared here; the twin for a
// machine without a GPU is the transform that tests/emulation brings.
#include <dlfcn.h>

#include <cstdio>
#include <list>
#include <memory>
#include <mutex>
#include <type_traits>

#include "../core/engines.h"
#include "capture.h"

extern "C" {
int cudaGetDevice(int* device);
int cudaThreadExchangeStreamCaptureMode(int* mode);
int cudaStreamIsCapturing(void* stream, int* status);
}

namespace scatcuda {
namespace cuda {
namespace {

constexpr int most_plans = 128;  // a device; one problem takes about four a scale, backward eight

using Handle = int;
enum Type : int {
  r2c = 0x2a,
  c2r = 0x2c,
  c2c = 0x29,
  d2z = 0x6a,
  z2d = 0x6c,
  z2z = 0x69,
};
Type type_of(const Transform& t) {
  if (t.direction == Direction::real_forward) return t.wide ? d2z : r2c;
  if (t.direction == Direction::real_inverse) return t.wide ? z2d : c2r;
  return t.wide ? z2z : c2c;
}

// The functions that are used, all of which return 0 for success
struct Library {
  int (*cufftGetVersion)(int* version);
  int (*cufftCreate)(Handle* plan);
  int (*cufftDestroy)(Handle plan);
  int (*cufftSetAutoAllocation)(Handle plan, int automatic);
  int (*cufftMakePlanMany64)(Handle plan, int rank, long long* n, long long* inembed,
                             long long istride, long long idist, long long* onembed,
                             long long ostride, long long odist, Type type, long long batch,
                             size_t* work_bytes);
  int (*cufftSetStream)(Handle plan, void* stream);
  int (*cufftSetWorkArea)(Handle plan, void* workspace);
  int (*cufftExecR2C)(Handle plan, void* in, void* out);
  int (*cufftExecD2Z)(Handle plan, void* in, void* out);
  int (*cufftExecC2R)(Handle plan, void* in, void* out);
  int (*cufftExecZ2D)(Handle plan, void* in, void* out);
  int (*cufftExecC2C)(Handle plan, void* in, void* out, int direction);
  int (*cufftExecZ2Z)(Handle plan, void* in, void* out, int direction);
  int version;
};

thread_local char said[128] = "";

bool succeeded(int result, const char* doing) {
  if (result == 0) return true;
  constexpr int alloc_failed = 2;
  std::snprintf(said, sizeof said, "it answered %d when %s%s", result, doing,
                result == alloc_failed ? ", which is that its tables found no memory" : "");
  return false;
}

bool open(Library* library) {
  void* handle = nullptr;
  for (const int flags : {RTLD_NOW | RTLD_NOLOAD, RTLD_NOW}) {
    for (const char* name : {"libcufft.so.12", "libcufft.so.11"}) {
      if (handle == nullptr) handle = dlopen(name, flags);
    }
  }
  if (handle == nullptr) return false;
  bool complete = true;
  const auto find = [&](auto* function, const char* name) {
    *function = reinterpret_cast<std::remove_pointer_t<decltype(function)>>(dlsym(handle, name));
    complete = complete && *function != nullptr;
  };
  find(&library->cufftGetVersion, "cufftGetVersion");
  find(&library->cufftCreate, "cufftCreate");
  find(&library->cufftDestroy, "cufftDestroy");
  find(&library->cufftSetAutoAllocation, "cufftSetAutoAllocation");
  find(&library->cufftMakePlanMany64, "cufftMakePlanMany64");
  find(&library->cufftSetStream, "cufftSetStream");
  find(&library->cufftSetWorkArea, "cufftSetWorkArea");
  find(&library->cufftExecR2C, "cufftExecR2C");
  find(&library->cufftExecD2Z, "cufftExecD2Z");
  find(&library->cufftExecC2R, "cufftExecC2R");
  find(&library->cufftExecZ2D, "cufftExecZ2D");
  find(&library->cufftExecC2C, "cufftExecC2C");
  find(&library->cufftExecZ2Z, "cufftExecZ2Z");
  return complete && library->cufftGetVersion(&library->version) == 0;
}

bool capturing(void* stream) {
  int status = 0;  // cudaStreamCaptureStatusNone
  return stream != nullptr && cudaStreamIsCapturing(stream, &status) == 0 && status != 0;
}

// Made and destroyed in relaxed mode: cuFFT allocates and frees its tables there, while other
// threads may capture.
class Plan {
 public:
  Plan(const Library& library, int device, const Transform& transform)
      : library_(library), device_(device), transform_(transform) {
    const Relaxed relaxed(cudaThreadExchangeStreamCaptureMode);
    if (!succeeded(library_.cufftCreate(&handle_), "asked for a plan")) return;
    long long n[3];
    int rank = 0;  // of the sides that are not one point
    for (const int64_t side : {transform.outer, transform.middle}) {
      if (side > 1) n[rank++] = side;
    }
    n[rank++] = transform.inner;
    made_ =
        succeeded(library_.cufftSetAutoAllocation(handle_, 0), "told not to allocate") &&
        succeeded(library_.cufftMakePlanMany64(handle_, rank, n, nullptr, 1, 0, nullptr, 1, 0,
                                               type_of(transform), transform.batch, &work_bytes_),
                  "making a plan");
    if (!made_) library_.cufftDestroy(handle_);
  }
  ~Plan() {
    if (!made_) return;
    const Relaxed relaxed(cudaThreadExchangeStreamCaptureMode);
    library_.cufftDestroy(handle_);
  }
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;

  bool made() const { return made_; }
  int device() const { return device_; }
  int64_t work_bytes() const { return static_cast<int64_t>(work_bytes_); }
  bool is_for(int device, const Transform& t) const {
    return device == device_ && type_of(t) == type_of(transform_) && t.outer == transform_.outer &&
           t.middle == transform_.middle && t.inner == transform_.inner &&
           t.batch == transform_.batch;
  }

  // Stream and work area are the plan's until its kernels are launched. One that wants no work area
  // is given none: cuFFT refuses to run where data begins in it. A complex plan serves both
  // directions.
  bool run(Direction direction, const void* in, void* out, void* workspace, void* stream) {
    const std::lock_guard<std::mutex> lock(mutex_);
    void* work = work_bytes_ > 0 ? workspace : nullptr;
    if (!succeeded(library_.cufftSetStream(handle_, stream), "given a stream") ||
        !succeeded(library_.cufftSetWorkArea(handle_, work), "given a work area")) {
      return false;
    }
    return succeeded(execute(direction, const_cast<void*>(in), out), "run");
  }

 private:
  int execute(Direction direction, void* in, void* out) const {
    const bool wide = transform_.wide;
    switch (direction) {
      case Direction::real_forward:
        return (wide ? library_.cufftExecD2Z : library_.cufftExecR2C)(handle_, in, out);
      case Direction::real_inverse:
        return (wide ? library_.cufftExecZ2D : library_.cufftExecC2R)(handle_, in, out);
      case Direction::forward:
      case Direction::inverse:
        break;
    }
    const int sign = direction == Direction::forward ? -1 : 1;
    return (wide ? library_.cufftExecZ2Z : library_.cufftExecC2C)(handle_, in, out, sign);
  }

  const Library& library_;
  const int device_;
  const Transform transform_;
  std::mutex mutex_;
  Handle handle_ = 0;
  bool made_ = false;
  size_t work_bytes_ = 0;
};

// Plans of every device, the most recently used first
class Plans {
 public:
  explicit Plans(const Library& library) : library_(library) {}

  // The plan for a transform on the current device, or null. A plan that a CUDA graph has captured
  // is never destroyed, for the graph reads its tables whenever it is launched; and none is made or
  // destroyed during a capture, which forbids what that takes.
  std::shared_ptr<Plan> find(const Transform& transform, void* stream) {
    int device = 0;
    if (cudaGetDevice(&device) != 0) {
      std::snprintf(said, sizeof said, "there is no current device");
      return nullptr;
    }
    const bool in_capture = capturing(stream);
    std::shared_ptr<Plan> dropped;  // destroyed after the lock is released
    const std::lock_guard<std::mutex> lock(mutex_);
    auto entry = entries_.begin();
    while (entry != entries_.end() && !entry->plan->is_for(device, transform)) ++entry;
    if (entry == entries_.end()) {
      if (in_capture) {
        std::snprintf(said, sizeof said,
                      "a CUDA graph captures plans that exist: run it once before the capture");
        return nullptr;
      }
      auto plan = std::make_shared<Plan>(library_, device, transform);
      if (!plan->made()) return nullptr;
      dropped = make_room(device);
      entries_.push_front({plan, false});
    } else {
      entries_.splice(entries_.begin(), entries_, entry);
    }
    entries_.front().captured |= in_capture;
    return entries_.front().plan;
  }

 private:
  struct Entry {
    std::shared_ptr<Plan> plan;
    bool captured;
  };

  std::shared_ptr<Plan> make_room(int device) {
    int count = 0;
    auto oldest = entries_.end();
    for (auto entry = entries_.begin(); entry != entries_.end(); ++entry) {
      if (entry->plan->device() != device || entry->captured) continue;
      oldest = entry;
      ++count;
    }
    if (count < most_plans) return nullptr;
    std::shared_ptr<Plan> plan = oldest->plan;
    entries_.erase(oldest);
    return plan;
  }

  const Library& library_;
  std::mutex mutex_;
  std::list<Entry> entries_;
};

int64_t workspace_bytes_of(void* self, const Transform& transform, void* stream) {
  const std::shared_ptr<Plan> plan = static_cast<Plans*>(self)->find(transform, stream);
  return plan == nullptr ? -1 : plan->work_bytes();
}

bool run(void* self, const Transform& transform, const void* in, void* out, void* workspace,
         void* stream) {
  const std::shared_ptr<Plan> plan = static_cast<Plans*>(self)->find(transform, stream);
  return plan != nullptr && plan->run(transform.direction, in, out, workspace, stream);
}

}  // namespace

const Fft* cufft(int* version) {
  // never destroyed: when the process ends, CUDA may be gone before
  static const Library* const library = [] {
    auto* opened = new Library{};
    return open(opened) ? opened : nullptr;
  }();
  if (library == nullptr) return nullptr;
  static const Fft* const fft = new Fft{new Plans(*library), workspace_bytes_of, run};
  if (version != nullptr) *version = library->version;
  return fft;
}

const char* cufft_error() { return said; }

}  // namespace cuda
}  // namespace scatcuda
