// The CUDA engine: which tier and launch shape a problem takes, where its intermediates lie in the
// workspace, and the launches in their order.
#include <atomic>

#include "../core/schedule.h"
#include "fused.h"
#include "general.cuh"

namespace scatcuda {
namespace cuda {
namespace {

std::atomic<const char*> failure{"no error"};
std::atomic<int64_t> launched{0};

Status status_of(cudaError_t error) {
  if (error == cudaSuccess) return Status::ok;
  failure = cudaGetErrorString(error);
  const bool missing =
      error == cudaErrorNoKernelImageForDevice || error == cudaErrorInvalidDeviceFunction;
  return missing ? Status::no_kernel : Status::launch_failed;
}

// Launches and transforms of one call, one after the other; after a failure the rest is left out.
class Queue {
 public:
  Queue(const Fft* fft, void* stream) : fft_(fft), stream_(stream) {}

  template <class... Parameters, class... Arguments>
  void run(void (*kernel)(Parameters...), dim3 grid, int64_t threads, int64_t shared,
           Arguments... arguments) {
    if (status_ != Status::ok || grid.x == 0 || grid.y == 0 || grid.z == 0) return;
    ++launched;
    status_ = status_of(launch(kernel, grid, dim3(static_cast<unsigned>(threads)),
                               static_cast<size_t>(shared), static_cast<cudaStream_t>(stream_),
                               arguments...));
  }
  void transform(const Transform& transform, const void* in, void* out, void* workspace) {
    if (status_ != Status::ok) return;
    ++launched;
    if (fft_ == nullptr || !fft_->run(fft_->self, transform, in, out, workspace, stream_)) {
      status_ = Status::fft_failed;
    }
  }
  Status status() const { return status_; }

 private:
  const Fft* fft_;
  void* stream_;
  Status status_ = Status::ok;
};

// --- sizes ---

// Hands out 256-byte aligned parts of the workspace; of none, it only counts.
class Parts {
 public:
  explicit Parts(void* workspace) : base_(static_cast<unsigned char*>(workspace)) {}
  template <class T>
  T* take(int64_t count) {
    unsigned char* part = base_ == nullptr ? nullptr : base_ + used_;
    used_ += round_up(count * static_cast<int64_t>(sizeof(T)), 256);
    return reinterpret_cast<T*>(part);
  }
  int64_t used() const { return used_; }

 private:
  unsigned char* base_;
  int64_t used_ = 0;
};

int64_t bins(const Schedule& s, int64_t res) { return s.rows(res) * s.columns(res); }
int64_t half_bins(const Schedule& s, int64_t res) { return s.columns(res) * (s.rows(res) / 2 + 1); }
bool has_second(const Schedule& s, int64_t j1) { return s.max_order > 1 && j1 + 1 < s.J; }
// W2 of all scales above j1
int64_t second_bins(const Schedule& s, int64_t j1) {
  int64_t sum = 0;
  for (int64_t j2 = j1 + 1; j2 < s.J; ++j2) sum += bins(s, j2);
  return sum;
}

// Shared memory of the fused tier's blocks
struct Shared {
  int64_t area = 0;    // families: planes of the second order, before them a low-pass
  int64_t block = 0;   // of families or, without the first order, of second at j2 = 1
  int64_t before = 0;  // of spectrum
};

// Whether planes of resolution res are short enough for passes_of
bool fits(const Schedule& s, int64_t res) { return s.rows(res) <= 256 && s.columns(res) <= 256; }

// Bytes of a block of `second` for planes of resolution res
int64_t second_bytes(const Schedule& s, int64_t res, int64_t group) {
  const int outer = static_cast<int>(s.columns(res)), inner = static_cast<int>(s.rows(res));
  const int m = static_cast<int>(s.m), n = static_cast<int>(s.n);
  return tile_bytes(outer, inner, static_cast<int>(group)) + lowpass_bytes(outer, inner, m, n) +
         roots_bytes(outer, inner);
}

Shared shared_of(const Schedule& s, bool first_order, int64_t group) {
  if (!first_order) return {0, second_bytes(s, 1, group), 0};
  const int outer = static_cast<int>(s.columns(0)), inner = static_cast<int>(s.rows(0));
  const int m = static_cast<int>(s.m), n = static_cast<int>(s.n);
  const int64_t between = between_bytes(outer, m);
  Shared shared;
  shared.area = between;
  shared.block = tile_bytes(outer, inner, 1) + lowpass_bytes(outer, inner, m, n) +
                 round_up(roots_bytes(outer, inner), 16);
  shared.before = shared.block + between;
  if (has_second(s, 0)) {
    shared.area = max(between, tile_bytes(outer / 2, inner / 2, static_cast<int>(group)));
    shared.block += lowpass_bytes(outer / 2, inner / 2, m, n);
  }
  shared.block += shared.area;
  return shared;
}

int64_t most_threads(const Schedule& s, bool first_order) {
  if (!first_order) return second_bounds(120).threads;  // others take what they may
  return family_bounds(s.Mp == s.Np ? static_cast<int>(s.Mp) : 0).threads;
}

// Angles side by side where `bytes` are there for planes of resolution res: a power of two, for
// the bank's lanes to be whole groups
int64_t group_of(const Schedule& s, int64_t res, int64_t bytes) {
  int64_t group = 1;
  while (group < s.L && group < 16 &&
         tile_bytes(static_cast<int>(s.columns(res)), static_cast<int>(s.rows(res)),
                    static_cast<int>(2 * group)) <= bytes) {
    group *= 2;
  }
  return group;
}

// First scales that families do: no path goes on from the last one, which, where the bank is
// arranged for a second order, is done like one.
int64_t family_scales(const Schedule& s, const Launch& launch) {
  return !launch.first_order_fused ? 0 : has_second(s, 0) ? s.J - 1 : s.J;
}

// What one wave keeps in the workspace, and where
template <class T>
struct Workspace {
  // fused: the bank arranged
  float *psi_first, *psi_second, *taps;
  int2* bands;
  Point* roots;
  // general
  T* u0;              // [wave, Np, Mp]
  Complex<T>* x_hat;  // [wave, Np, Mp/2 + 1]
  Complex<T>* w;      // W1 of one j1, then W2 of all j2
  T* u1;              // of one j1
  Complex<T>* u1_hat;
  unsigned char* fft;
  int64_t bytes;
};

template <class T>
Workspace<T> workspace_of(const Schedule& s, const Launch& launch, int64_t fft_bytes,
                          void* memory) {
  Workspace<T> w{};
  Parts parts(memory);
  const int64_t wave = launch.wave;
  const bool fused = launch.tier == Tier::fused;
  if (fused) {
    int64_t taps = 0;
    for (int64_t res = 0; res < s.J; ++res) {
      taps +=
          s.columns(res) * four(static_cast<int>(s.n)) + s.rows(res) * four(static_cast<int>(s.m));
    }
    int64_t second = 0;
    for (int64_t res = 0; s.max_order > 1 && res < s.J; ++res) {
      second += (s.J - 1 - res) * bins(s, res);
    }
    w.psi_first = parts.take<float>(family_scales(s, launch) * bins(s, 0) * s.lanes);
    w.psi_second = parts.take<float>(second * s.lanes);
    w.taps = parts.take<float>(taps);
    w.bands = parts.take<int2>(s.J * (four(static_cast<int>(s.n)) + four(static_cast<int>(s.m))));
    w.roots = parts.take<Point>(s.Mp + s.Np);
  }
  if (s.max_order > 0) w.x_hat = parts.take<Complex<T>>(wave * half_bins(s, 0));
  if (!(fused && launch.first_order_fused)) {
    w.u0 = parts.take<T>(wave * bins(s, 0));
    if (s.max_order > 0) {
      const int64_t second = has_second(s, 0) && !fused ? s.L * second_bins(s, 0) : 0;
      w.w = parts.take<Complex<T>>(wave * s.L * max(bins(s, 0), second));
      w.u1 = parts.take<T>(wave * s.L * bins(s, 0));
      if (has_second(s, 0)) w.u1_hat = parts.take<Complex<T>>(wave * s.L * half_bins(s, 0));
      w.fft = parts.take<unsigned char>(fft_bytes);
    }
  }
  w.bytes = parts.used();
  return w;
}

// All transforms of a wave, in any order. The last wave may have fewer images, but is transformed
// as if it were full: one set of plans, and no doubt about the room that they need.
template <class T, class F>
void each_transform(const Schedule& s, const Launch& launch, F f) {
  if (s.max_order == 0 || (launch.tier == Tier::fused && launch.first_order_fused)) return;
  constexpr bool wide = sizeof(T) == 8;
  const auto planes = [&](bool forward, int64_t res, int64_t batch) {
    f(Transform{forward, wide, s.columns(res), s.rows(res), batch});
  };
  planes(true, 0, launch.wave);
  for (int64_t j1 = 0; j1 < s.J; ++j1) {
    if (launch.tier == Tier::fused && j1 + 1 == s.J) continue;  // the last scale is fused too
    planes(false, j1, launch.wave * s.L);
    if (!has_second(s, j1)) continue;
    planes(true, j1, launch.wave * s.L);
    if (launch.tier == Tier::fused) continue;
    for (int64_t j2 = j1 + 1; j2 < s.J; ++j2) planes(false, j2, launch.wave * s.L * s.L);
  }
}

// What the FFT wants for the largest of them, −1 where it cannot do one
template <class T>
int64_t fft_bytes_of(const Schedule& s, const Launch& launch, const Fft* fft, void* stream) {
  int64_t bytes = 0;
  each_transform<T>(s, launch, [&](const Transform& transform) {
    const int64_t wants = fft == nullptr ? -1 : fft->workspace_bytes(fft->self, transform, stream);
    bytes = wants < 0 || bytes < 0 ? -1 : max(bytes, wants);
  });
  return bytes;
}

// --- the fused tier ---

int arrange_jobs(const Schedule& s) {  // tables, matrices, roots
  return static_cast<int>(s.wavelet_tables() + 2 * s.J + 1);
}

int log_of(int64_t group) {
  int log = 0;
  while (int64_t{1} << log < group) ++log;
  return log;
}

FusedArguments fused_arguments(const Schedule& s, const Launch& launch, const Bank<float>& bank,
                               int64_t psi_entries, const Workspace<float>& w) {
  FusedArguments a{};
  a.psi = bank.psi, a.psi_entries = psi_entries, a.psi_support = bank.psi_support;
  a.phi = bank.phi, a.phi_support = bank.phi_support;
  a.psi_first = w.psi_first, a.psi_second = w.psi_second;
  a.taps = w.taps, a.bands = w.bands, a.roots = w.roots;
  a.x_hat = w.x_hat;
  a.schedule = s;
  const auto to_int = [](int64_t value) { return static_cast<int>(value); };
  a.J = to_int(s.J), a.L = to_int(s.L), a.max_order = to_int(s.max_order);
  a.lanes = to_int(s.lanes), a.M = to_int(s.M), a.N = to_int(s.N);
  a.Mp = to_int(s.Mp), a.Np = to_int(s.Np), a.m = to_int(s.m), a.n = to_int(s.n);
  a.channels = to_int(s.channels);
  a.family_scales = to_int(family_scales(s, launch));
  const Shared shared = shared_of(s, launch.first_order_fused, launch.group);
  a.area = to_int(shared.area);
  const int64_t room = launch.first_order_fused || !has_second(s, 0)
                           ? shared.area
                           : tile_bytes(a.Np / 2, a.Mp / 2, to_int(launch.group));
  for (int64_t res = 0; res < s.J; ++res) {
    a.log_group[res] = res == 0 ? 0 : log_of(group_of(s, res, room));
    if (fits(s, res)) {
      a.outer[res] = passes_of(to_int(s.columns(res)), any_side);
      a.inner[res] = passes_of(to_int(s.rows(res)), any_side);
    }
  }
  return a;
}

constexpr int64_t most_blocks = INT32_MAX;  // of a grid
unsigned to_grid(int64_t blocks) { return static_cast<unsigned>(blocks); }

// Planes of scale j2 from `planes` spectra an image at resolution j1, to channels from `channel` on
// in steps of `step`
void run_second(const Schedule& s, const Launch& launch, FusedArguments a, int64_t images,
                const Point* u_hat, int64_t j1, int64_t j2, int64_t planes, int64_t channel,
                int64_t step, float* S, Queue& queue) {
  a.S = S, a.u_hat = u_hat, a.B = static_cast<int>(images);
  a.j1 = static_cast<int>(j1), a.j2 = static_cast<int>(j2), a.planes = static_cast<int>(planes);
  a.first_channel = static_cast<int>(channel), a.channel_step = static_cast<int>(step);
  const int64_t group = int64_t{1} << a.log_group[j2];
  const SecondKernel found =
      second_kernel_for(s.rows(j2) == s.columns(j2) ? s.rows(j2) : 0, int64_t{1} << (j2 - j1));
  queue.run(found.kernel, dim3(to_grid(images * planes * ceil_div(s.L, group))),
            min(launch.threads, found.threads), second_bytes(s, j2, group), a);
}

// U1, S1 of the last scale, like a second order
void run_last_scale(const Schedule& s, const Launch& launch, const FusedArguments& a,
                    int64_t images, float* S, Queue& queue) {
  run_second(s, launch, a, images, a.x_hat, 0, s.J - 1, 1, s.channel(s.J - 1), 0, S, queue);
}

void run_families(const Schedule& s, const Launch& launch, FusedArguments a, int64_t images,
                  const void* x, Pixels pixels, float* S, Queue& queue) {
  const Shared shared = shared_of(s, true, launch.group);
  const FamilyKernels kernels = family_kernels(s.Mp == s.Np ? s.Mp : 0);
  a.x = x, a.pixels = pixels, a.S = S, a.B = static_cast<int>(images);
  queue.run(kernels.spectrum, dim3(to_grid(images)), launch.threads, shared.before, a);
  if (s.max_order == 0) return;
  queue.run(kernels.families, dim3(to_grid(images * a.family_scales * s.L)), launch.threads,
            shared.block, a);
  if (a.family_scales < s.J) run_last_scale(s, launch, a, images, S, queue);
}

// --- the general tier ---

template <class T>
void run_modulus(int64_t count, const Complex<T>* z, T* out, Queue& queue) {
  const int64_t blocks = min(ceil_div(count, stage_threads), int64_t{1} << 20);
  queue.run(modulus_kernel<T>, dim3(to_grid(blocks)), stage_threads, 0, count, z, out);
}

// One wave of images through the cascade, stage by stage. Of several scales in one launch, each has
// room for a full wave.
template <class T>
struct Stages {
  const Schedule& s;
  const Launch& launch;
  const Bank<T>& bank;
  const int64_t psi_entries;
  const Workspace<T>& w;
  const int64_t images;
  Queue& queue;

  // The second order is the fused tier's where `arranged` is given.
  void run(const void* x, Pixels pixels, T* S, const FusedArguments* arranged) const {
    queue.run(pad_kernel<T>,
              dim3(to_grid(images * ceil_div(s.Np, pad_tile) * ceil_div(s.Mp, pad_tile))),
              pad_tile * pad_rows, 0, x, pixels, w.u0, static_cast<int>(s.M), static_cast<int>(s.N),
              static_cast<int>(s.Mp), static_cast<int>(s.Np));
    lowpass<false>(0, 1, 1, 1, w.u0, 0, S);
    if (s.max_order == 0) return;
    transform(true, 0, 1, w.u0, w.x_hat);
    for (int64_t j1 = 0; j1 < s.J; ++j1) {
      if (arranged != nullptr && j1 + 1 == s.J) return last_scale(*arranged, S);
      filter_fold(0, j1, j1 + 1, 1, w.x_hat, w.w);
      transform(false, j1, s.L, w.w, w.w);
      run_modulus(images * s.L * bins(s, j1), w.w, w.u1, queue);
      lowpass<false>(j1, j1 + 1, 1, s.L, w.u1, s.channel(j1), S);
      if (!has_second(s, j1)) continue;
      transform(true, j1, s.L, w.u1, w.u1_hat);
      if (arranged != nullptr) {
        second_fused(*arranged, j1, S);
        continue;
      }
      filter_fold(j1, j1 + 1, s.J, s.L, w.u1_hat, w.w);
      Complex<T>* w2 = w.w;
      for (int64_t j2 = j1 + 1; j2 < s.J; ++j2) {
        transform(false, j2, s.L * s.L, w2, w2);
        w2 += launch.wave * s.L * s.L * bins(s, j2);
      }
      lowpass<true>(j1 + 1, s.J, s.L, s.L, w.w, s.channel(j1, 0, j1 + 1), S);
    }
  }

  // `planes` an image, at resolution res
  void transform(bool forward, int64_t res, int64_t planes, const void* in, void* out) const {
    const int64_t batch = launch.wave * planes;
    queue.transform({forward, sizeof(T) == 8, s.columns(res), s.rows(res), batch}, in, out, w.fft);
  }

  // `planes` spectra an image at resolution res, with the wavelets of scales first … last − 1
  void filter_fold(int64_t res, int64_t first, int64_t last, int64_t planes,
                   const Complex<T>* u_hat, Complex<T>* out) const {
    FilterFoldArguments<T> a{};
    a.u_hat = u_hat, a.planes = images * planes, a.psi_entries = psi_entries;
    a.outer = static_cast<int>(s.columns(res)), a.inner = static_cast<int>(s.rows(res));
    a.L = static_cast<int>(s.L), a.lanes = static_cast<int>(s.lanes), a.scale = T(1);
    for (int64_t j = first; j < last; ++j) {
      const int64_t* support = bank.psi_support + 5 * s.wavelet_table(res, j);
      a.scales[j - first] = {1 << (j - res), bank.psi, support, out};
      out += launch.wave * planes * s.L * bins(s, j);
    }
    const int together = angles_together(a.lanes);
    const auto kernel =
        together == 4 ? filter_fold_kernel<T, true, true, 4> : filter_fold_kernel<T, true, true, 8>;
    const int64_t tiles = ceil_div(bins(s, first), stage_threads);
    queue.run(
        kernel,
        dim3(to_grid(a.planes * tiles), to_grid(ceil_div(s.L, together)), to_grid(last - first)),
        stage_threads, 0, a);
  }

  // Planes (image, a, d), a < across, d < down, of scales first … last − 1, to channels from
  // `channel` on in the order a, scale, d
  template <bool Modulus>
  void lowpass(int64_t first, int64_t last, int64_t across, int64_t down, const void* u,
               int64_t channel, T* S) const {
    LowpassArguments<T> a{};
    a.planes = images * across * down, a.across = across, a.down = down;
    const int64_t plane = s.m * s.n;
    a.image_step = s.channels * plane;
    a.m = static_cast<int>(s.m), a.n = static_cast<int>(s.n), a.m_step = a.n, a.n_step = 1;
    const T* from = static_cast<const T*>(u);
    for (int64_t j = first; j < last; ++j) {
      LowpassScale<T>& scale = a.scales[j - first];
      scale.u = from;
      scale.outer = static_cast<int>(s.columns(j)), scale.inner = static_cast<int>(s.rows(j));
      scale.to_m = bank.phi + s.phi_offset(j);
      scale.to_n = scale.to_m + s.m * s.rows(j);
      scale.to_m_support = bank.phi_support + 2 * j * (s.m + s.n);
      scale.to_n_support = scale.to_m_support + 2 * s.m;
      scale.out = S + (channel + (j - first) * down) * plane;
      scale.a_step = down * (last - first) * plane, scale.d_step = plane;
      from += launch.wave * across * down * bins(s, j) * (Modulus ? 2 : 1);
    }
    const int64_t chunks = ceil_div(s.n, chunk_n) * ceil_div(s.m, chunk_m);
    queue.run(lowpass_kernel<T, Modulus>,
              dim3(to_grid(a.planes * chunks), 1, to_grid(last - first)), lowpass_threads, 0, a);
  }

  // What the fused tier does of them
  void last_scale(const FusedArguments& a, T* S) const {
    if constexpr (sizeof(T) == 4) run_last_scale(s, launch, a, images, S, queue);
  }
  void second_fused(const FusedArguments& a, int64_t j1, T* S) const {
    if constexpr (sizeof(T) == 4) {
      for (int64_t j2 = j1 + 1; j2 < s.J; ++j2) {
        run_second(s, launch, a, images, w.u1_hat, j1, j2, s.L, s.channel(j1, 0, j2),
                   s.L * (s.J - 1 - j1), S, queue);
      }
    }
  }
};

bool valid(const Problem& problem) {
  Shape shape;
  return shape_of(problem, &shape) == Status::ok;
}
// Whether choose() may have made this launch; all that follows relies on it
template <class T>
bool valid(const Schedule& s, const Launch& launch) {
  if (launch.wave < 1) return false;
  if (launch.tier == Tier::general) return true;
  const int64_t group = launch.group;
  return launch.tier == Tier::fused && sizeof(T) == 4 &&
         (launch.first_order_fused ? fits(s, 0) : has_second(s, 0) && fits(s, 1)) && group >= 1 &&
         group <= min(s.lanes, 16) && (group & (group - 1)) == 0 && launch.threads >= 128 &&
         launch.threads <= most_threads(s, launch.first_order_fused) && launch.threads % 32 == 0;
}

}  // namespace

// --- the engine ---

const char* last_error() { return failure; }
int64_t launches() { return launched; }

Status device_limits(int index, Device* device) {
  const auto attribute = [&](cudaDeviceAttr which, auto* value) {
    int found = 0;
    const Status status = status_of(cudaDeviceGetAttribute(&found, which, index));
    *value = found;
    return status == Status::ok;
  };
  int major = 0, minor = 0;
  size_t available = 0, all = 0;
  if (!attribute(cudaDevAttrComputeCapabilityMajor, &major) ||
      !attribute(cudaDevAttrComputeCapabilityMinor, &minor) ||
      !attribute(cudaDevAttrMultiProcessorCount, &device->processors) ||
      !attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin, &device->shared_per_block) ||
      !attribute(cudaDevAttrMaxSharedMemoryPerMultiprocessor, &device->shared_per_processor) ||
      !attribute(cudaDevAttrL2CacheSize, &device->l2_bytes) ||
      status_of(cudaMemGetInfo(&available, &all)) != Status::ok) {
    return Status::launch_failed;
  }
  device->architecture = 10 * major + minor;
  device->memory_bytes = static_cast<int64_t>(all);
  return Status::ok;
}

template <class T>
Status choose(const Problem& problem, int64_t B, const Device& device, Tier wanted, int64_t budget,
              const Fft* fft, Launch* launch) {
  if (!valid(problem) || B < 0) return Status::bad_problem;
  const Schedule s = schedule_of(problem);
  // How many blocks of so much shared memory a processor holds; one more kilobyte each is CUDA's
  const auto resident = [&](int64_t bytes) {
    return bytes > device.shared_per_block ? 0 : device.shared_per_processor / (bytes + 1024);
  };
  // The largest group with which two blocks share a processor, while one waits the other computes;
  // with `alone`, the largest that a block can have. 0: none.
  const auto group_for = [&](bool first_order, bool alone) -> int64_t {
    int64_t best = 0;
    const int64_t most = has_second(s, 0) ? group_of(s, 1, INT32_MAX / 32) : 1;
    for (int64_t group = 1; group <= most; group *= 2) {
      const Shared shared = shared_of(s, first_order, group);
      const int64_t bytes = max(shared.block, shared.before);
      if (resident(bytes) >= (alone ? 1 : 2)) best = group;
    }
    return best;
  };

  *launch = {Tier::general, false, 0, stage_threads, 0, 1};
  const bool families = sizeof(T) == 4 && fits(s, 0) && wanted != Tier::general;
  const bool seconds = sizeof(T) == 4 && has_second(s, 0) && fits(s, 1) && wanted != Tier::general;
  const auto fused = [&](bool first_order, int64_t group) {
    const int64_t lines = has_second(s, 0) ? s.columns(1) * group : s.columns(0);
    launch->tier = Tier::fused;
    launch->first_order_fused = first_order;
    launch->group = group;
    launch->shared_bytes = shared_of(s, first_order, group).block;
    // Whole lines, until a processor has enough to do while others wait; and at least as many
    // threads as the longest prime has points
    const int64_t most = most_threads(s, first_order), blocks = resident(launch->shared_bytes);
    int64_t threads = max(round_up(lines, 32), 128);
    for (int64_t k = 2; threads * blocks < 768 && round_up(k * lines, 32) <= most; ++k) {
      threads = max(round_up(k * lines, 32), 128);
    }
    launch->threads = min(threads, most);
  };
  int64_t group = 0;
  if (families && (group = group_for(true, false)) > 0) {
    fused(true, group);
  } else if (seconds && (group = group_for(false, false)) > 0) {
    fused(false, group);
  } else if (seconds && (group = group_for(false, true)) > 0) {
    fused(false, group);
  } else if (families && (group = group_for(true, true)) > 0) {
    fused(true, group);
  } else if (wanted == Tier::fused) {
    return Status::tier_impossible;
  }
  const bool transforms = s.max_order > 0 && !launch->first_order_fused;
  if (transforms && fft == nullptr) return Status::fft_failed;

  // As many images at a time as the budget holds; the FFT may want as much again as it transforms.
  const auto bytes = [&](int64_t wave) {
    Launch l = *launch;
    l.wave = wave;
    int64_t fft_bytes = 0;
    each_transform<T>(s, l, [&](const Transform& t) {
      fft_bytes = max(fft_bytes,
                      t.outer * (t.inner / 2 + 1) * t.batch * 4 * static_cast<int64_t>(sizeof(T)));
    });
    return workspace_of<T>(s, l, fft_bytes, nullptr).bytes;
  };
  const int64_t image = bytes(2) - bytes(1), bank = bytes(1) - image;
  // no grid of any kernel grows beyond 2^31 blocks
  const int64_t largest_plane = ceil_div(bins(s, 0), stage_threads) + ceil_div(s.m * s.n, 256) + 1;
  const int64_t most = max((int64_t{1} << 30) / (s.J * s.L * s.L * largest_plane), 1);
  const int64_t wave = max(min(min(B, most), (budget - bank) / max(image, 1)), 1);
  launch->wave = max(ceil_div(B, max(ceil_div(B, wave), 1)), 1);  // as even as can be
  return Status::ok;
}

template <class T>
Status workspace_bytes(const Problem& problem, const Launch& launch, const Fft* fft, void* stream,
                       int64_t* bytes) {
  if (!valid(problem)) return Status::bad_problem;
  const Schedule s = schedule_of(problem);
  if (!valid<T>(s, launch)) return Status::tier_impossible;
  const int64_t fft_bytes = fft_bytes_of<T>(s, launch, fft, stream);
  if (fft_bytes < 0) return Status::fft_failed;
  *bytes = workspace_of<T>(s, launch, fft_bytes, nullptr).bytes;
  return Status::ok;
}

template <class T>
Status scattering2d(const Problem& problem, const Launch& launch, const Bank<T>& bank,
                    int64_t psi_entries, int64_t B, const void* x, T* S, void* workspace,
                    int64_t bytes, const Fft* fft, void* stream, Pixels pixels) {
  if (!valid(problem) || B < 0) return Status::bad_problem;
  const Schedule s = schedule_of(problem);
  if (!valid<T>(s, launch)) return Status::tier_impossible;
  const bool fused = launch.tier == Tier::fused;
  const int64_t fft_bytes = fft_bytes_of<T>(s, launch, fft, stream);
  if (fft_bytes < 0) return Status::fft_failed;
  const Workspace<T> w = workspace_of<T>(s, launch, fft_bytes, workspace);
  if (w.bytes > bytes) return Status::workspace_too_small;

  Queue queue(fft, stream);
  FusedArguments arranged{};
  if constexpr (sizeof(T) == 4) {
    if (fused && B > 0) {
      arranged = fused_arguments(s, launch, bank, psi_entries, w);
      queue.run(arrange_kernel, dim3(64, static_cast<unsigned>(arrange_jobs(s))), arrange_threads,
                0, arranged);
    }
  }
  const int64_t pixel_bytes = pixels == Pixels::as_bank ? static_cast<int64_t>(sizeof(T))
                              : pixels == Pixels::uint8 ? 1
                                                        : 2;
  for (int64_t first = 0; first < B; first += launch.wave) {
    const int64_t images = min(launch.wave, B - first);
    const void* in = static_cast<const unsigned char*>(x) + first * s.M * s.N * pixel_bytes;
    T* out = S + first * s.channels * s.m * s.n;
    if constexpr (sizeof(T) == 4) {
      if (fused && launch.first_order_fused) {
        run_families(s, launch, arranged, images, in, pixels, out, queue);
        continue;
      }
    }
    const Stages<T> stages{s, launch, bank, psi_entries, w, images, queue};
    stages.run(in, pixels, out, fused ? &arranged : nullptr);
  }
  return queue.status();
}

template <class T>
Status filter_fold(int64_t B, int64_t L, int64_t M, int64_t N, int64_t k, const T* x_hat,
                   const T* psi, T* out, void* stream) {
  FilterFoldArguments<T> a{};
  a.u_hat = reinterpret_cast<const Complex<T>*>(x_hat), a.planes = B;
  a.outer = static_cast<int>(M), a.inner = static_cast<int>(N), a.L = static_cast<int>(L);
  a.scale = T(1) / static_cast<T>(k * k);
  a.scales[0] = {static_cast<int>(k), psi, nullptr, reinterpret_cast<Complex<T>*>(out)};
  const int64_t blocks = B * ceil_div(M / k * (N / k), stage_threads), groups = ceil_div(L, 8);
  if (blocks > most_blocks || groups > 65535) return Status::bad_problem;
  Queue queue(nullptr, stream);
  queue.run(filter_fold_kernel<T, false, false, 8>, dim3(to_grid(blocks), to_grid(groups)),
            stage_threads, 0, a);
  return queue.status();
}

template <class T>
Status modulus(int64_t count, const T* z, T* out, void* stream) {
  Queue queue(nullptr, stream);
  run_modulus(count, reinterpret_cast<const Complex<T>*>(z), out, queue);
  return queue.status();
}

template <class T>
Status lowpass(int64_t B, int64_t M, int64_t N, int64_t m, int64_t n, const T* u, const T* a_m,
               const T* a_n, T* out, void* stream) {
  LowpassArguments<T> a{};
  a.planes = B, a.across = 1, a.down = 1, a.image_step = m * n;
  a.n = static_cast<int>(m), a.m = static_cast<int>(n), a.n_step = a.m, a.m_step = 1;
  a.scales[0] = {u, static_cast<int>(M), static_cast<int>(N), a_m, a_n, nullptr, nullptr, out, 0,
                 0};
  const int64_t blocks = B * ceil_div(m, chunk_n) * ceil_div(n, chunk_m);
  if (blocks > most_blocks) return Status::bad_problem;
  Queue queue(nullptr, stream);
  queue.run(lowpass_kernel<T, false>, dim3(to_grid(blocks)), lowpass_threads, 0, a);
  return queue.status();
}

}  // namespace cuda
}  // namespace scatcuda

#include "instantiate.h"
