// The fused tier of signals, float32: an octave's planes stay in the shared memory of one block.
//
//   family        one block a plane of the source and a filter ψ1: W1, U1, S1, Û1, then for all ψ2
//                 of the steps that follow W2, U2, S2, in the half that Û1 leaves free
//   end_backward  the same of a step that nothing follows, backward: W, g W/|W|, ĝW
//
// A transform of P = 2^n points to time goes by halves, quarters, …: it leaves point t where the
// bits of t are in reverse order. So the points 2 t and 2 t + 1 of U stand P/2 apart, as the real
// and the imaginary part of point t of half as long a line, and the way back begins there.
#include "family.h"

#include "../passes/rho.cuh"

namespace scatcuda {
inline namespace SCATCUDA_ISA {

extern __shared__ __align__(16) unsigned char shared_memory[];

namespace {

// Where point p lies, so that neither neighbours nor points a power of two apart share their banks
__device__ __forceinline__ int place_of(int p) { return p ^ ((p >> 5) & 31) ^ ((p >> 10) & 31); }

__device__ __forceinline__ int log_of(int n) { return 31 - __clz(n); }
__device__ __forceinline__ int reversed(int t, int log) {
  return log == 0 ? 0 : static_cast<int>(__brev(static_cast<unsigned>(t)) >> (32 - log));
}
SCATCUDA_HD constexpr int reversed_of(int q, int R) {
  int r = 0;
  for (int bit = 1; bit < R; bit *= 2) r = 2 * r + ((q & bit) != 0 ? 1 : 0);
  return r;
}

struct Roots {
  const Point* table;  // e^{2πi k / sides}
  int sides;
};

// One pass of radix R over blocks of `span` points: to time from the widest span down, back from
// the narrowest up
template <int R, int Sign>
__device__ __forceinline__ void family_pass(Point* line, int P, int span, const Roots& roots) {
  const int apart = span / R, turn = roots.sides / span;
  for (int i = threadIdx.x; i < P / R; i += blockDim.x) {
    const int c = i & (apart - 1), first = (i - c) * R + c;
    Point x[R];
    if constexpr (Sign > 0) {
#pragma unroll
      for (int q = 0; q < R; ++q) x[q] = line[place_of(first + q * apart)];
      butterfly<R, 1>(x);
    }
#pragma unroll
    for (int q = 0; q < R; ++q) {
      Point* at = line + place_of(first + reversed_of(q, R) * apart);
      Point z = Sign > 0 ? x[q] : *at;
      if (q > 0 && apart > 1) {
        const Point w = roots.table[q * c * turn];
        z = times(z, w.re, Sign * w.im);
      }
      if constexpr (Sign > 0) {
        *at = z;
      } else {
        x[q] = z;
      }
    }
    if constexpr (Sign < 0) {
      butterfly<R, -1>(x);
#pragma unroll
      for (int q = 0; q < R; ++q) line[place_of(first + q * apart)] = x[q];
    }
  }
  __syncthreads();
}
template <int Sign>
__device__ void last_passes(Point* line, int P, int span, const Roots& roots) {
  if (span == 2) family_pass<2, Sign>(line, P, 2, roots);
  if (span == 4) family_pass<4, Sign>(line, P, 4, roots);
}
// Bins in order -> points in reverse order of their bits
__device__ void to_time(Point* line, int P, const Roots& roots) {
  int span = P;
  for (; span >= 8; span /= 8) family_pass<8, 1>(line, P, span, roots);
  last_passes<1>(line, P, span, roots);
}
// … and back
__device__ void to_bins(Point* line, int P, const Roots& roots) {
  int span = P;
  while (span >= 8) span /= 8;
  last_passes<-1>(line, P, span, roots);
  for (span *= 8; span <= P; span *= 8) family_pass<8, -1>(line, P, span, roots);
}

// Half the spectrum of a real plane: as it lies in memory, and as to_spectrum leaves it
struct HalfInMemory {
  const Point* bins;
  __device__ __forceinline__ Point operator()(int k, int) const { return bins[k]; }
};
struct HalfInBlock {
  const Point* line;  // the last bin's real part in place of the first one's imaginary one
  __device__ __forceinline__ Point operator()(int k, int half) const {
    const Point z = line[place_of(k == half ? 0 : k)];
    return k == 0 ? Point{z.re, 0.0f} : k == half ? Point{z.im, 0.0f} : z;
  }
};

// W of a filter
template <class Half>
__device__ __forceinline__ void wavelet(const FamilyArguments& a, const FamilyStep& s,
                                        const Half& u_hat, int filter, Point* line) {
  const Box box(s.support, 1, {s.from, 1, 1}, s.lanes, a.psi_entries);
  const float* psi = a.psi + box.first + filter;
  for (int k = threadIdx.x; k < s.points; k += blockDim.x) {
    Point sum{0.0f, 0.0f};
    for (int bin = k; bin < s.from; bin += s.points) {
      const int kept = box.inner.number(bin);
      if (kept < 0) continue;
      const bool other = 2 * bin > s.from;
      const Point x = u_hat(other ? s.from - bin : bin, s.from / 2);
      const float weight = __ldg(psi + int64_t{kept} * s.lanes);
      sum.re += x.re * weight;
      sum.im += (other ? -x.im : x.im) * weight;
    }
    line[place_of(k)] = {sum.re * box.scale, sum.im * box.scale};
  }
  __syncthreads();
  to_time(line, s.points, {a.roots, a.sides});
}

// U of W, two points in each of the first half
__device__ __forceinline__ void modulus_pairs(int P, Point* line) {
  const int half = P / 2;
  for (int p = threadIdx.x; p < half; p += blockDim.x) {
    const Point a = line[place_of(p)], b = line[place_of(p + half)];
    line[place_of(p)] = {root_of(square_of(a)), root_of(square_of(b))};
  }
  __syncthreads();
}

// S of U. Where there are fewer outputs than threads some of these share one.
__device__ __forceinline__ void average(const FamilyArguments& a, const FamilyStep& s,
                                        int64_t plane, const Point* line) {
  __shared__ float sums[family_threads];
  const int outputs = s.taps.outputs, log = log_of(s.points), half = s.points / 2;
  const int threads = static_cast<int>(blockDim.x), thread = static_cast<int>(threadIdx.x);
  const int parts = max(threads / outputs, 1);
  float* S = a.S + s.first + s.to.place(plane);
  for (int first = 0; first < outputs; first += threads) {
    const int count = min(outputs - first, threads), o = first + thread % count;
    const int part = thread / count;
    float sum = 0.0f;
    if (part < parts) {
      const int2 band = band_of(s.taps.support, s.points, o, o + 1);
      const int share = (band.y - band.x + parts - 1) / parts;
      const int begin = band.x + part * share, end = min(begin + share, band.y);
      for (int i = begin; i < end; ++i) {
        const int t = i < s.points ? i : i - s.points, p = reversed(t, log);
        const Point z = line[place_of(p < half ? p : p - half)];
        sum += tap_of(s.taps, o, t) * (p < half ? z.re : z.im);
      }
    }
    sums[thread] = sum;
    __syncthreads();
    if (thread < count) {
      for (int i = 1; i < parts; ++i) sum += sums[i * count + thread];
      S[o] = sum * s.scale * tap_scale(s.taps, s.points, o);
    }
    __syncthreads();
  }
}

// Û of U, see HalfInBlock
__device__ __forceinline__ void to_spectrum(int P, const Roots& roots, Point* line) {
  const int half = P / 2, turn = roots.sides / P;
  to_bins(line, half, roots);
  for (int k = threadIdx.x; k <= half / 2; k += blockDim.x) {
    Point &x = line[place_of(k)], &y = line[place_of(k == 0 ? 0 : half - k)];
    const Point u = x, v = y;
    if (k == 0) {
      x = {u.re + u.im, u.re - u.im};
      continue;
    }
    const Point w = roots.table[k * turn];
    const Point even{0.5f * (u.re + v.re), 0.5f * (u.im - v.im)};
    const Point odd = times(Point{0.5f * (u.im + v.im), 0.5f * (v.re - u.re)}, w.re, -w.im);
    x = even + odd;
    y = {even.re - odd.re, odd.im - even.im};
  }
  __syncthreads();
}

// Where rows are turned: the points that output 0, or another one turned back to its place, may
// need; all where there is no such band. For every thread.
__device__ __forceinline__ int2 band_of_all(const FamilyStep& s, int2* memory) {
  const int P = s.points;
  int2 all = make_int2(2 * P, 0);
  for (int o = threadIdx.x; o < s.taps.outputs; o += blockDim.x) {
    const int2 band = band_of(s.taps.support, P, o, o + 1);
    if (band.x == band.y) continue;
    const int first = (band.x + P - static_cast<int>(int64_t{o} * s.every % P)) % P;
    all = make_int2(min(all.x, first), max(all.y, first + band.y - band.x));
  }
  memory[threadIdx.x] = all;
  for (int step = static_cast<int>(blockDim.x) / 2; step > 0; step /= 2) {
    __syncthreads();
    if (static_cast<int>(threadIdx.x) >= step) continue;
    const int2 a = memory[threadIdx.x], b = memory[threadIdx.x + step];
    memory[threadIdx.x] = make_int2(min(a.x, b.x), max(a.y, b.y));
  }
  __syncthreads();
  return memory[0].y - memory[0].x < P ? memory[0] : make_int2(0, P);
}

}  // namespace

__global__ void __launch_bounds__(family_threads)
    family_kernel(const __grid_constant__ FamilyArguments a) {
  Point* line = reinterpret_cast<Point*>(shared_memory);
  const FamilyStep& s = a.steps[a.step];
  const int64_t plane = blockIdx.x, source = plane / s.filters;
  const HalfInMemory u_hat{a.u_hat + source * (s.from / 2 + 1)};
  wavelet(a, s, u_hat, static_cast<int>(plane - source * s.filters), line);
  modulus_pairs(s.points, line);
  average(a, s, plane, line);
  if (s.next_count == 0) return;
  to_spectrum(s.points, {a.roots, a.sides}, line);
  Point* rest = line + s.points / 2;
  for (int i = 0; i < s.next_count; ++i) {
    const FamilyStep& next = a.steps[a.next[s.next_first + i]];
    for (int filter = 0; filter < next.filters; ++filter) {
      wavelet(a, next, HalfInBlock{line}, filter, rest);
      modulus_pairs(next.points, rest);
      average(a, next, plane * next.filters + filter, rest);
    }
  }
}

__global__ void __launch_bounds__(family_threads)
    end_backward_kernel(const __grid_constant__ FamilyArguments a) {
  __shared__ float memory[family_threads];
  __shared__ int2 bands[family_threads];
  Point* line = reinterpret_cast<Point*>(shared_memory);
  const FamilyStep& s = a.steps[a.step];
  const int P = s.points, log = log_of(P), outputs = s.taps.outputs;
  const int64_t plane = blockIdx.x, source = plane / s.filters;
  // NaN where a band reaches outside
  float scale = 1.0f;
  for (int o = threadIdx.x; o < outputs; o += blockDim.x) scale *= tap_scale(s.taps, P, o);
  scale = sum_of_block(scale, memory);
  if (threadIdx.x == 0) memory[0] = scale == scale ? 1.0f : scale;
  __syncthreads();
  scale = memory[0];
  const HalfInMemory u_hat{a.u_hat + source * (s.from / 2 + 1)};
  wavelet(a, s, u_hat, static_cast<int>(plane - source * s.filters), line);
  const float* grad = a.grad + s.first + s.to.place(plane);
  const int2 band = s.every > 0 ? band_of_all(s, bands) : make_int2(0, P);
  const bool near = band.y - band.x < P;
  for (int t = threadIdx.x; t < P; t += blockDim.x) {
    float g = 0.0f;
    // The outputs that may need t, as often as the line goes round under their rows
    const int64_t turned = int64_t{s.every} * (outputs - 1);
    for (int64_t at = near ? t - P : t; at <= (near ? turned + band.y : t); at += P) {
      const int64_t low = near && at >= band.y ? (at - band.y) / s.every + 1 : 0;
      const int64_t high = !near ? outputs - 1 : at < band.x ? -1 : (at - band.x) / s.every;
      for (int o = static_cast<int>(low); o <= min(high, int64_t{outputs} - 1); ++o) {
        if (!meets(band_of(s.taps.support, P, o, o + 1), t, t + 1, P)) continue;
        g += tap_of(s.taps, o, t) * __ldg(grad + o);
      }
    }
    Point& w = line[place_of(reversed(t, log))];
    w = directed(w, g * s.scale * scale);
  }
  __syncthreads();
  to_bins(line, P, {a.roots, a.sides});
  for (int k = threadIdx.x; k < P; k += blockDim.x) a.g_hat[plane * P + k] = line[place_of(k)];
}

__global__ void __launch_bounds__(stage_threads) roots_kernel(Point* roots, int sides) {
  each_item(sides, [&](int64_t k) {
    double sine, cosine;
    sincospi(2.0 * static_cast<double>(k) / sides, &sine, &cosine);
    roots[k] = {static_cast<float>(cosine), static_cast<float>(sine)};
  });
}

}  // namespace SCATCUDA_ISA
}  // namespace scatcuda
