// The CUDA engine: which tier and launch shape a program takes, and the launches in their order.
#include <algorithm>
#include <atomic>

#include "backward.cuh"
#include "capture.h"
#include "driver.h"
#include "layout.h"

namespace scatcuda {
namespace cuda {
namespace {

std::atomic<const char*> failure{"no error"};
std::atomic<int64_t> launched{0};

Status status_of(cudaError_t error) {
  if (error == cudaSuccess) return Status::ok;
  failure = said_of(error);
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
  void clear(void* p, int64_t bytes) {
    if (status_ != Status::ok || bytes == 0) return;
    ++launched;
    status_ = cuda::clear(p, bytes, stream_);
  }
  Status status() const { return status_; }

 private:
  const Fft* fft_;
  void* stream_;
  Status status_ = Status::ok;
};

// --- the fused tier ---

int arrange_jobs(const Cascade& s) {  // tables, matrices, roots
  return static_cast<int>(s.wavelet_tables() + 2 * s.J + 1);
}

int log_of(int64_t group) {
  int log = 0;
  while (int64_t{1} << log < group) ++log;
  return log;
}

FusedArguments fused_arguments(const Cascade& s, const Launch& launch, const Bank<float>& bank,
                               int64_t psi_entries, const Workspace<float>& w) {
  FusedArguments a{};
  a.psi = bank.psi, a.psi_entries = psi_entries, a.psi_support = bank.psi_support;
  a.phi = bank.phi, a.phi_support = bank.phi_support;
  a.psi_first = w.psi_first, a.psi_second = w.psi_second;
  a.taps = w.taps, a.bands = w.bands, a.roots = w.roots;
  a.x_hat = w.x_hat;
  a.cascade = s;
  const auto to_int = [](int64_t value) { return static_cast<int>(value); };
  a.J = to_int(s.J), a.L = to_int(s.L), a.max_order = to_int(s.max_order);
  a.lanes = to_int(s.lanes), a.M = to_int(s.M), a.N = to_int(s.N);
  a.Mp = to_int(s.Mp), a.Np = to_int(s.Np), a.m = to_int(s.m), a.n = to_int(s.n);
  a.channels = to_int(s.channels);
  a.family_scales = to_int(family_scales(s, launch));
  a.wave = to_int(launch.wave);
  const Shared shared = shared_of(s, launch.task, launch.first_order_fused, launch.group);
  a.area = to_int(shared.area);
  const int64_t room = launch.first_order_fused || !has_second(s, 0)
                           ? shared.area
                           : planes_bytes(s, launch.task, 1, launch.group);
  for (int64_t res = 0; res < s.J; ++res) {
    a.log_group[res] = res == 0 ? 0 : log_of(group_of(s, launch.task, res, room));
    if (fits(s, res)) {
      a.outer[res] = passes_of(to_int(s.columns(res)), any_side);
      a.inner[res] = passes_of(to_int(s.rows(res)), any_side);
    }
  }
  return a;
}

constexpr int64_t most_blocks = INT32_MAX;  // of a grid
// Sides, angles and folds are ints in the kernels.
bool are_ints(std::initializer_list<int64_t> sizes) { return std::max(sizes) <= INT32_MAX; }
unsigned to_grid(int64_t blocks) { return static_cast<unsigned>(blocks); }

// Planes of scale j2 from `planes` spectra û an image at resolution j1, of channels from `channel`
// on in steps of `step`
void run_second(const Cascade& s, const Launch& launch, FusedArguments a, int64_t images,
                const Point* u_hat, int64_t j1, int64_t j2, int64_t planes, int64_t channel,
                int64_t step, Queue& queue) {
  a.u_hat = u_hat;
  a.j1 = static_cast<int>(j1), a.j2 = static_cast<int>(j2), a.planes = static_cast<int>(planes);
  a.first_channel = static_cast<int>(channel), a.channel_step = static_cast<int>(step);
  const int64_t group = int64_t{1} << a.log_group[j2];
  const SecondKernel found = second_of(s, launch.task, j1, j2);
  queue.run(found.kernel, dim3(to_grid(images * planes * ceil_div(s.L, group))),
            min(launch.threads, found.bounds.threads), second_bytes(s, launch.task, j2, group), a);
}

// The last scale, like a second order
void run_last_scale(const Cascade& s, const Launch& launch, FusedArguments a, int64_t images,
                    Queue& queue) {
  if (launch.task != Task::forward) a.g_hat += g_offset(a, a.J - 1);
  run_second(s, launch, a, images, a.x_hat, 0, s.J - 1, 1, s.channel(s.J - 1), 0, queue);
}

void run_families(const Cascade& s, const Launch& launch, const FusedArguments& a, int64_t images,
                  Queue& queue) {
  const Shared shared = shared_of(s, launch.task, true, launch.group);
  const int64_t side = s.Mp == s.Np ? s.Mp : 0;
  const FamilyKernels kernels = family_kernels(side);
  const bool forward = launch.task == Task::forward;
  if (forward || s.max_order > 0) {
    queue.run(kernels.spectrum, dim3(to_grid(images)), launch.threads, shared.before, a);
  }
  if (s.max_order == 0) return;
  queue.run(forward ? kernels.families : families_backward_kernel_for(side),
            dim3(to_grid(images * a.family_scales * s.L)), launch.threads, shared.block, a);
  if (a.family_scales < s.J) run_last_scale(s, launch, a, images, queue);
}

void run_image_backward(const Cascade& s, const Launch& launch, const FusedArguments& a,
                        int64_t images, Queue& queue) {
  queue.run(image_backward_kernel_of(), dim3(to_grid(images)), launch.threads,
            shared_of(s, launch.task, true, launch.group).image, a);
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
  const Cascade& s;
  const Launch& launch;
  const Bank<T>& bank;
  const int64_t psi_entries;
  const Workspace<T>& w;
  const int64_t images;
  Queue& queue;

  // Of `a` the general tier takes the images alone.
  void run(const FusedArguments& a, T* S) const {
    const bool fused = launch.tier == Tier::fused;
    pad(a.x, a.pixels);
    lowpass<false>(0, 1, 1, 1, w.u0, 0, S);
    if (s.max_order == 0) return;
    transform(Direction::real_forward, 0, 1, w.u0, w.x_hat);
    for (int64_t j1 = 0; j1 < s.J; ++j1) {
      if (fused && j1 + 1 == s.J) return last_scale(a);
      filter_fold(0, j1, j1 + 1, 1, w.x_hat, w.w1);
      transform(Direction::inverse, j1, s.L, w.w1, w.w1);
      run_modulus(images * s.L * bins(s, j1), w.w1, w.u1, queue);
      lowpass<false>(j1, j1 + 1, 1, s.L, w.u1, s.channel(j1), S);
      if (!has_second(s, j1)) continue;
      transform(Direction::real_forward, j1, s.L, w.u1, w.u1_hat);
      if (fused) {
        second_fused(a, j1);
        continue;
      }
      filter_fold(j1, j1 + 1, s.J, s.L, w.u1_hat, w.w2);
      second_transforms(Direction::inverse, j1);
      lowpass<true>(j1 + 1, s.J, s.L, s.L, w.w2, s.channel(j1, 0, j1 + 1), S);
    }
  }

  // The same path and back: W1 of all scales, then j1 by j1 the second order up to gU1 and the
  // first one up to ĝW1, at last ĝx̂.
  void run_backward(const FusedArguments& a, const T* g, const Gradients<T>& gradients) const {
    const bool fused = launch.tier == Tier::fused, phi = gradients.phi != nullptr;
    if (s.max_order > 0 || phi) pad(a.x, a.pixels);
    if (phi) lowpass_filters<false>(0, 1, 1, 1, w.u0, 0, g);
    if (s.max_order > 0) {
      const int64_t scales = fused ? s.J - 1 : s.J;
      transform(Direction::real_forward, 0, 1, w.u0, w.x_hat);
      filter_fold(0, 0, scales, 1, w.x_hat, w.w1);
      for (int64_t j1 = 0; j1 < scales; ++j1) {
        Complex<T>* w1 = w.w1 + launch.wave * s.L * (bins_from(s, 0) - bins_from(s, j1));
        transform(Direction::inverse, j1, s.L, w1, w1);
        const T* more = has_second(s, j1) ? second_backward(a, j1, w1, g, gradients) : nullptr;
        if (phi) lowpass_filters<true>(j1, j1 + 1, 1, s.L, w1, s.channel(j1), g);
        lowpass_backward<true>(j1, j1 + 1, 1, s.L, w1, more, s.channel(j1), g);
        transform(Direction::forward, j1, s.L, w1, w1);
      }
      if (fused) last_scale(a);
      if (gradients.psi != nullptr) {
        filter_gradient(0, 0, s.J, 1, w.x_hat, w.w1, gradients.psi);
      }
    }
    if (gradients.x == nullptr) return;
    if (s.max_order > 0) {
      unfold(0, 0, s.J, 1, w.w1, w.x_hat);
      transform(Direction::real_inverse, 0, 1, w.x_hat, w.u0);
    }
    lowpass_backward<false>(0, 1, 1, 1, w.u0, s.max_order > 0 ? w.u0 : nullptr, 0, g);
    unpad(gradients.x);
  }

  // What of gU1 comes from the second order, in the place of U1
  const T* second_backward(const FusedArguments& a, int64_t j1, const Complex<T>* w1, const T* g,
                           const Gradients<T>& gradients) const {
    const int64_t j2 = j1 + 1, channel = s.channel(j1, 0, j2);
    const bool psi = gradients.psi != nullptr, phi = gradients.phi != nullptr;
    run_modulus(images * s.L * bins(s, j1), w1, w.u1, queue);
    transform(Direction::real_forward, j1, s.L, w.u1, w.u1_hat);
    if (launch.tier == Tier::fused) {
      second_fused(a, j1);
    } else {
      filter_fold(j1, j2, s.J, s.L, w.u1_hat, w.w2);
      second_transforms(Direction::inverse, j1);
      if (phi) lowpass_filters<true>(j2, s.J, s.L, s.L, w.w2, channel, g);
      lowpass_backward<true>(j2, s.J, s.L, s.L, w.w2, nullptr, channel, g);
      second_transforms(Direction::forward, j1);
      if (psi) filter_gradient(j1, j2, s.J, s.L, w.u1_hat, w.w2, gradients.psi);
    }
    unfold(j1, j2, s.J, s.L, w.w2, w.u1_hat);
    transform(Direction::real_inverse, j1, s.L, w.u1_hat, w.u1);
    return w.u1;
  }

  void pad(const void* x, Pixels pixels) const {
    const int64_t tiles = ceil_div(s.Np, pad_tile) * ceil_div(s.Mp, pad_tile);
    queue.run(pad_kernel<T>, dim3(to_grid(images * tiles)), pad_tile * pad_rows, 0, x, pixels, w.u0,
              static_cast<int>(s.M), static_cast<int>(s.N), static_cast<int>(s.Mp),
              static_cast<int>(s.Np));
  }
  void unpad(T* grad_x) const {
    const int64_t tiles = ceil_div(s.N, pad_tile) * ceil_div(s.M, pad_tile);
    queue.run(unpad_kernel<T>, dim3(to_grid(images * tiles)), pad_tile * pad_rows, 0, w.u0, grad_x,
              static_cast<int>(s.M), static_cast<int>(s.N), static_cast<int>(s.Mp),
              static_cast<int>(s.Np));
  }

  // `planes` an image, at resolution res
  void transform(Direction direction, int64_t res, int64_t planes, const void* in,
                 void* out) const {
    queue.transform(transform_of<T>(s, launch, direction, res, planes), in, out, w.fft);
  }
  void second_transforms(Direction direction, int64_t j1) const {
    Complex<T>* w2 = w.w2;
    for (int64_t j2 = j1 + 1; j2 < s.J; ++j2) {
      transform(direction, j2, s.L * s.L, w2, w2);
      w2 += launch.wave * s.L * s.L * bins(s, j2);
    }
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
  UnfoldArguments<T> unfolding(int64_t res, int64_t first, int64_t last, int64_t planes,
                               const Complex<T>* g, T* grad_psi) const {
    UnfoldArguments<T> a{};
    a.planes = images * planes, a.psi_entries = psi_entries;
    a.outer = static_cast<int>(s.columns(res)), a.inner = static_cast<int>(s.rows(res));
    a.L = static_cast<int>(s.L), a.lanes = static_cast<int>(s.lanes), a.scale = T(1);
    a.count = static_cast<int>(last - first);
    for (int64_t j = first; j < last; ++j) {
      const int64_t* support = bank.psi_support + 5 * s.wavelet_table(res, j);
      a.scales[j - first] = {1 << (j - res), bank.psi, support, g, grad_psi};
      g += launch.wave * planes * s.L * bins(s, j);
    }
    return a;
  }
  // ĝW of scales first … last − 1 to the gradients of the spectra that filter_fold took
  void unfold(int64_t res, int64_t first, int64_t last, int64_t planes, const Complex<T>* g,
              Complex<T>* g_hat) const {
    UnfoldArguments<T> a = unfolding(res, first, last, planes, g, nullptr);
    a.g_hat = g_hat;
    const int64_t tiles = ceil_div(half_bins(s, res), stage_threads);
    queue.run(unfold_kernel<T, true, true>, dim3(to_grid(a.planes * tiles)), stage_threads, 0, a);
  }
  // … and to those of the wavelets, on top of what is there
  void filter_gradient(int64_t res, int64_t first, int64_t last, int64_t planes,
                       const Complex<T>* u_hat, const Complex<T>* g, T* grad_psi) const {
    UnfoldArguments<T> a = unfolding(res, first, last, planes, g, grad_psi);
    a.u_hat = u_hat;
    queue.run(filter_gradient_kernel<T, true, true>,
              dim3(to_grid(ceil_div(bins(s, res), filter_entries)),
                   to_grid(ceil_div(s.L, filter_warps)), to_grid(last - first)),
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
  template <bool Modulus>
  LowpassGradientArguments<T> spreading(int64_t first, int64_t last, int64_t across, int64_t down,
                                        void* u, const T* more, int64_t channel,
                                        const T* grad) const {
    LowpassGradientArguments<T> a{};
    a.planes = images * across * down, a.across = across, a.down = down;
    const int64_t plane = s.m * s.n;
    a.image_step = s.channels * plane;
    a.m = static_cast<int>(s.m), a.n = static_cast<int>(s.n);
    a.phi_entries = s.phi_offset(s.J), a.partial = w.partial;
    T* at = static_cast<T*>(u);
    for (int64_t j = first; j < last; ++j) {
      LowpassGradient<T>& scale = a.scales[j - first];
      scale.u = at, scale.more = more;
      scale.outer = static_cast<int>(s.columns(j)), scale.inner = static_cast<int>(s.rows(j));
      scale.phi_offset = s.phi_offset(j);
      scale.to_m = bank.phi + scale.phi_offset;
      scale.to_n = scale.to_m + s.m * s.rows(j);
      scale.to_m_support = bank.phi_support + 2 * j * (s.m + s.n);
      scale.to_n_support = scale.to_m_support + 2 * s.m;
      scale.grad = grad + (channel + (j - first) * down) * plane;
      scale.a_step = down * (last - first) * plane, scale.d_step = plane;
      at += launch.wave * across * down * bins(s, j) * (Modulus ? 2 : 1);
    }
    return a;
  }
  // gU of the same planes; of complex ones gW
  template <bool Modulus>
  void lowpass_backward(int64_t first, int64_t last, int64_t across, int64_t down, void* u,
                        const T* more, int64_t channel, const T* grad) const {
    const auto a = spreading<Modulus>(first, last, across, down, u, more, channel, grad);
    const int64_t items = ceil_div(s.columns(first), spread_columns) * s.rows(first);
    queue.run(lowpass_backward_kernel<T, Modulus>,
              dim3(to_grid(a.planes * ceil_div(items, lowpass_threads)), 1, to_grid(last - first)),
              lowpass_threads, 0, a);
  }
  // … and what they give to gP and gQ
  template <bool Modulus>
  void lowpass_filters(int64_t first, int64_t last, int64_t across, int64_t down, void* u,
                       int64_t channel, const T* grad) const {
    const auto a = spreading<Modulus>(first, last, across, down, u, nullptr, channel, grad);
    const int64_t tiles = max(ceil_div(s.rows(first), lowpass_threads) * ceil_div(s.m, chunk_n),
                              ceil_div(s.columns(first), lowpass_threads) * ceil_div(s.n, chunk_n));
    queue.run(lowpass_filter_kernel<T, Modulus>,
              dim3(to_grid(tiles), slices, to_grid(2 * (last - first))), lowpass_threads, 0, a);
  }

  // What the fused tier does of them
  void last_scale(const FusedArguments& a) const {
    if constexpr (sizeof(T) == 4) run_last_scale(s, launch, a, images, queue);
  }
  void second_fused(FusedArguments a, int64_t j1) const {
    if constexpr (sizeof(T) == 4) {
      a.g_hat = w.w2;
      for (int64_t j2 = j1 + 1; j2 < s.J; ++j2) {
        run_second(s, launch, a, images, w.u1_hat, j1, j2, s.L, s.channel(j1, 0, j2),
                   s.L * (s.J - 1 - j1), queue);
        a.g_hat += launch.wave * s.L * s.L * bins(s, j2);
      }
    }
  }
};

// Whether choose() may have made this launch; all that follows relies on it
template <class T>
bool valid(const Cascade& s, const Launch& launch) {
  if (launch.wave < 1) return false;
  if (launch.tier == Tier::general) return true;
  const int64_t group = launch.group;
  return launch.tier == Tier::fused && sizeof(T) == 4 &&
         launch.task != Task::backward_with_filters &&
         (launch.first_order_fused ? fits(s, 0) : has_second(s, 0) && fits(s, 1)) && group >= 1 &&
         group <= min(s.lanes, 16) && (group & (group - 1)) == 0 && launch.threads >= 128 &&
         launch.threads <= bounds_of(s, launch.task, launch.first_order_fused, 0).threads &&
         launch.threads % 32 == 0;
}

// One call: the bank arranged where the fused tier needs it, and wave after wave of images
template <class T>
struct Call {
  const Program& program;
  const Launch& launch;
  const Bank<T>& bank;
  const int64_t psi_entries, B;
  const Fft* fft;
  void* stream;
  Queue queue{fft, stream};
  Cascade s{};
  Workspace<T> w{};

  Status begin(void* workspace, int64_t bytes) {
    if (B < 0 || !match(program, &s)) return Status::bad_problem;
    if (!valid<T>(s, launch)) return Status::tier_impossible;
    const int64_t fft_bytes = fft_bytes_of<T>(s, launch, fft, stream);
    if (fft_bytes < 0) return Status::fft_failed;
    w = workspace_of<T>(s, launch, fft_bytes, workspace);
    return w.bytes > bytes ? Status::workspace_too_small : Status::ok;
  }

  // The fused tier's arguments, all but what a wave sets; the general tier needs none of them
  FusedArguments arrange() {
    FusedArguments a{};
    if constexpr (sizeof(T) == 4) {
      if (launch.tier == Tier::fused && B > 0) {
        a = fused_arguments(s, launch, bank, psi_entries, w);
        queue.run(arrange_kernel, dim3(64, static_cast<unsigned>(arrange_jobs(s))), arrange_threads,
                  0, a);
      }
    }
    return a;
  }

  // The wave that begins with image `first` of x
  Stages<T> wave(const void* x, Pixels pixels, int64_t first, FusedArguments& a) {
    const int64_t bytes = pixels == Pixels::as_bank ? static_cast<int64_t>(sizeof(T))
                          : pixels == Pixels::uint8 ? 1
                                                    : 2;
    const int64_t images = min(launch.wave, B - first);
    a.x = static_cast<const unsigned char*>(x) + first * s.M * s.N * bytes;
    a.pixels = pixels, a.B = static_cast<int>(images);
    return {s, launch, bank, psi_entries, w, images, queue};
  }
};

}  // namespace

// --- the engine ---

Status current_device(int* index) { return status_of(cudaGetDevice(index)); }
Status allocate(int64_t bytes, void** memory) {
  const Relaxed relaxed(cudaThreadExchangeStreamCaptureMode);
  return status_of(cudaMalloc(memory, static_cast<size_t>(bytes)));
}
// On a stream of its own: the default one, cudaMemcpy's, is forbidden to all while others capture.
Status upload(void* to, const void* from, int64_t bytes) {
  const Relaxed relaxed(cudaThreadExchangeStreamCaptureMode);
  cudaStream_t own;
  const Status made = status_of(cudaStreamCreateWithFlags(&own, cudaStreamNonBlocking));
  if (made != Status::ok) return made;
  cudaError_t error =
      cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyHostToDevice, own);
  if (error == cudaSuccess) error = cudaStreamSynchronize(own);
  cudaStreamDestroy(own);
  return status_of(error);
}
void release(void* memory) {
  const Relaxed relaxed(cudaThreadExchangeStreamCaptureMode);
  cudaFree(memory);
}
Status memory_of(const void* address, int* device) {
  const Relaxed relaxed(cudaThreadExchangeStreamCaptureMode);
  cudaPointerAttributes found{};
  const Status status = status_of(cudaPointerGetAttributes(&found, address));
  *device = found.type == cudaMemoryTypeDevice    ? found.device
            : found.type == cudaMemoryTypeManaged ? every_device
                                                  : no_device;
  return status;
}
Status clear(void* memory, int64_t bytes, void* stream) {
  return status_of(
      cudaMemsetAsync(memory, 0, static_cast<size_t>(bytes), static_cast<cudaStream_t>(stream)));
}

const char* last_error() { return failure; }
const char* driver_needed() {
  static const std::string words = words_for_driver(false);
  return words.c_str();
}
int64_t launches() { return launched; }

Status device_limits(int index, Device* device) {
  const Relaxed relaxed(cudaThreadExchangeStreamCaptureMode);
  cudaDeviceProp found{};
  if (status_of(cudaGetDeviceProperties(&found, index)) != Status::ok) return Status::launch_failed;
  *device = {10 * found.major + found.minor,
             found.multiProcessorCount,
             static_cast<int64_t>(found.sharedMemPerBlockOptin),
             static_cast<int64_t>(found.sharedMemPerMultiprocessor),
             found.l2CacheSize,
             static_cast<int64_t>(found.totalGlobalMem)};
  return Status::ok;
}

template <class T>
Status choose(const Program& program, int64_t B, const Device& device, Tier wanted, int64_t budget,
              const Fft* fft, Launch* launch, Task task) {
  Cascade s;
  if (B < 0 || B > most_signals(program) || !match(program, &s)) return Status::bad_problem;
  // How many blocks of so much shared memory a processor holds; one more kilobyte each is CUDA's
  const auto in_shared = [&](int64_t bytes) {
    return bytes > device.shared_per_block ? 0 : device.shared_per_processor / (bytes + 1024);
  };
  // The largest group with which two blocks share a processor, while one waits the other computes;
  // with `alone`, the largest that a block can have. 0: none.
  const auto group_for = [&](bool first_order, bool alone) -> int64_t {
    int64_t best = 0;
    const int64_t most = has_second(s, 0) ? group_of(s, task, 1, INT32_MAX / 32) : 1;
    for (int64_t group = 1; group <= most; group *= 2) {
      const Shared shared = shared_of(s, task, first_order, group);
      const int64_t bytes = max(shared.block, max(shared.before, shared.image));
      if (in_shared(bytes) >= (alone ? 1 : 2)) best = group;
    }
    return best;
  };

  *launch = {Tier::general, false, 0, stage_threads, 0, 1, task};
  if (task == Task::backward_with_filters && sizeof(T) == 4) wanted = Tier::general;
  const bool families = sizeof(T) == 4 && fits(s, 0) && wanted != Tier::general;
  const bool seconds = sizeof(T) == 4 && has_second(s, 0) && fits(s, 1) && wanted != Tier::general;
  const auto fused = [&](bool first_order, int64_t group) {
    const int64_t lines = has_second(s, 0) ? s.columns(1) * group : s.columns(0);
    launch->tier = Tier::fused;
    launch->first_order_fused = first_order;
    launch->group = group;
    launch->shared_bytes = shared_of(s, task, first_order, group).block;
    // Whole lines, until a processor has enough to do while others wait; halves of them where else
    // there were no registers for the second block; and at least as many threads as the longest
    // prime has points
    const Bounds bounds = bounds_of(s, task, first_order, device.architecture);
    const int64_t in_memory = in_shared(launch->shared_bytes);
    const auto rounded = [&](int64_t threads) {
      return min(max(round_up(threads, 32), 128), bounds.threads);
    };
    const auto resident = [&](int64_t threads) {
      return min(min(in_memory, blocks_in_registers(bounds, threads)),
                 threads_of_processor(device.architecture) / threads);
    };
    const int64_t wanted = min(in_memory, 2);
    int64_t step = lines, busy = 0;
    while (step > 128 && resident(rounded(step)) < wanted) step = ceil_div(step, 2);
    for (int64_t k = 1, threads = 0; busy < 768 && threads < bounds.threads; ++k) {
      threads = rounded(k * step);
      const int64_t blocks = resident(threads);
      if (k > 1 && blocks < wanted) break;
      if (threads * blocks > busy) launch->threads = threads, busy = threads * blocks;
    }
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
  // no grid of any kernel grows beyond 2^31 blocks, be it that of one image
  const int64_t largest_plane = max(ceil_div(bins(s, 0), stage_threads),
                                    ceil_div(s.Np, spread_columns) * s.Mp / lowpass_threads) +
                                ceil_div(s.m * s.n, 256) + 1;
  const int64_t planes = s.J * s.L * (has_second(s, 0) ? s.L : 1);
  if (planes * largest_plane > most_blocks) return Status::bad_problem;
  const int64_t most = max((int64_t{1} << 30) / (planes * largest_plane), 1);
  const int64_t wave = max(min(min(B, most), (budget - bank) / max(image, 1)), 1);
  launch->wave = max(ceil_div(B, max(ceil_div(B, wave), 1)), 1);  // as even as can be
  return Status::ok;
}

template <class T>
Status workspace_bytes(const Program& program, const Launch& launch, const Fft* fft, void* stream,
                       int64_t* bytes) {
  Cascade s;
  if (!match(program, &s)) return Status::bad_problem;
  if (!valid<T>(s, launch)) return Status::tier_impossible;
  const int64_t fft_bytes = fft_bytes_of<T>(s, launch, fft, stream);
  if (fft_bytes < 0) return Status::fft_failed;
  *bytes = workspace_of<T>(s, launch, fft_bytes, nullptr).bytes;
  return Status::ok;
}

template <class T>
Status scattering(const Program& program, const Launch& launch, const Bank<T>& bank,
                  int64_t psi_entries, int64_t B, const void* x, T* S, void* workspace,
                  int64_t bytes, const Fft* fft, void* stream, Pixels pixels) {
  if (launch.task != Task::forward) return Status::bad_problem;
  Call<T> call{program, launch, bank, psi_entries, B, fft, stream};
  const Status status = call.begin(workspace, bytes);
  if (status != Status::ok) return status;
  const Cascade& s = call.s;
  FusedArguments a = call.arrange();
  for (int64_t first = 0; first < B; first += launch.wave) {
    const Stages<T> stages = call.wave(x, pixels, first, a);
    T* out = S + first * s.channels * s.m * s.n;
    if constexpr (sizeof(T) == 4) a.S = out;
    if (launch.first_order_fused) {
      run_families(s, launch, a, stages.images, call.queue);
    } else {
      stages.run(a, out);
    }
  }
  return call.queue.status();
}

template <class T>
Status scattering_backward(const Program& program, const Launch& launch, const Bank<T>& bank,
                           int64_t psi_entries, int64_t B, const void* x, const T* g,
                           const Gradients<T>& gradients, void* workspace, int64_t bytes,
                           const Fft* fft, void* stream, Pixels pixels) {
  const bool filters = gradients.psi != nullptr || gradients.phi != nullptr;
  if (launch.task == Task::forward ||
      (launch.task == Task::backward && (filters || gradients.x == nullptr))) {
    return Status::bad_problem;
  }
  Call<T> call{program, launch, bank, psi_entries, B, fft, stream};
  const Status status = call.begin(workspace, bytes);
  if (status != Status::ok) return status;
  const Cascade& s = call.s;
  const int64_t phi_entries = s.phi_offset(s.J), number = sizeof(T);
  if (gradients.psi != nullptr) call.queue.clear(gradients.psi, psi_entries * number);
  if (gradients.phi != nullptr) call.queue.clear(call.w.partial, slices * phi_entries * number);
  FusedArguments a = call.arrange();
  for (int64_t first = 0; first < B; first += launch.wave) {
    const Stages<T> stages = call.wave(x, pixels, first, a);
    const T* given = g + first * s.channels * s.m * s.n;
    T* out = gradients.x == nullptr ? nullptr : gradients.x + first * s.M * s.N;
    if constexpr (sizeof(T) == 4) a.grad = given, a.g_hat = call.w.w1, a.grad_x = out;
    if (launch.first_order_fused) {
      run_families(s, launch, a, stages.images, call.queue);
      if (s.max_order > 0) stages.unfold(0, 0, s.J, 1, call.w.w1, call.w.x_hat);
      run_image_backward(s, launch, a, stages.images, call.queue);
    } else {
      stages.run_backward(a, given, {out, gradients.psi, gradients.phi});
    }
  }
  if (gradients.phi != nullptr) {
    call.queue.run(sum_slices_kernel<T>, dim3(to_grid(ceil_div(phi_entries, stage_threads))),
                   stage_threads, 0, phi_entries, call.w.partial, gradients.phi);
  }
  return call.queue.status();
}

template <class T>
Status filter_fold(int64_t B, int64_t L, int64_t M, int64_t N, int64_t k, const T* x_hat,
                   const T* psi, T* out, void* stream) {
  if (!are_ints({L, M, N, k})) return Status::bad_problem;
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
Status filter_fold_backward(int64_t B, int64_t L, int64_t M, int64_t N, int64_t k, const T* g,
                            const T* x_hat, const T* psi, T* grad_x, T* grad_psi, void* stream) {
  if (!are_ints({L, M, N, k})) return Status::bad_problem;
  UnfoldArguments<T> a{};
  a.u_hat = reinterpret_cast<const Complex<T>*>(x_hat);
  a.g_hat = reinterpret_cast<Complex<T>*>(grad_x), a.planes = B;
  a.outer = static_cast<int>(M), a.inner = static_cast<int>(N), a.L = static_cast<int>(L);
  a.count = 1, a.scale = T(1) / static_cast<T>(k * k);
  a.scales[0] = {static_cast<int>(k), psi, nullptr, reinterpret_cast<const Complex<T>*>(g),
                 grad_psi};
  const int64_t blocks = B * ceil_div(M * N, stage_threads), groups = ceil_div(L, filter_warps);
  const int64_t entries = ceil_div(M * N, filter_entries);
  if (max(blocks, entries) > most_blocks || groups > 65535) return Status::bad_problem;
  Queue queue(nullptr, stream);
  if (grad_x != nullptr) {
    queue.run(unfold_kernel<T, false, false>, dim3(to_grid(blocks)), stage_threads, 0, a);
  }
  if (grad_psi != nullptr) {
    queue.clear(grad_psi, L * M * N * static_cast<int64_t>(sizeof(T)));
    queue.run(filter_gradient_kernel<T, false, false>, dim3(to_grid(entries), to_grid(groups)),
              stage_threads, 0, a);
  }
  return queue.status();
}

template <class T>
Status modulus(int64_t count, const T* z, T* out, void* stream) {
  Queue queue(nullptr, stream);
  run_modulus(count, reinterpret_cast<const Complex<T>*>(z), out, queue);
  return queue.status();
}

template <class T>
Status modulus_backward(int64_t count, const T* g, const T* z, T* out, void* stream) {
  const int64_t blocks = min(ceil_div(count, stage_threads), int64_t{1} << 20);
  Queue queue(nullptr, stream);
  queue.run(modulus_backward_kernel<T>, dim3(to_grid(blocks)), stage_threads, 0, count, g,
            reinterpret_cast<const Complex<T>*>(z), reinterpret_cast<Complex<T>*>(out));
  return queue.status();
}

template <class T>
Status lowpass(int64_t B, int64_t M, int64_t N, int64_t m, int64_t n, const T* u, const T* a_m,
               const T* a_n, T* out, void* stream) {
  if (!are_ints({M, N, m, n})) return Status::bad_problem;
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
