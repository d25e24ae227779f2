// The low-pass A_j U = P_j U Q_jᵀ as two small real products, pad crop included: along a row while
// it is in the cache, then down the columns. Only the non-zero band of each matrix row is visited.
// Reference: reference.lowpass.
#pragma once

#include "buffers.h"

namespace scatcuda {
inline namespace SCATCUDA_ISA {

// A matrix [outputs, inputs] whose row o is zero outside band[2 o] … band[2 o + 1].
template <class T>
struct RowLowpass {
  const T* matrix;
  const int64_t* band;
  int64_t outputs, inputs;
};

// u: `Pair` real vectors side by side, 2 W numbers to the next; for each of the pair its own
// targets, target[slot][o · Q + lane] = Σ_c Q[o, c] u[c]
template <int Pair, int Block, class T, int Slots>
SCATCUDA_INLINE void lowpass_block(const RowLowpass<T>& a, int64_t o, const T* u,
                                   T* const (*target)[Slots]) {
  constexpr int W = full_lanes<T>, Q = W / Slots;
  using V = Vector<T, W>;
  int64_t low = a.band[2 * o], high = a.band[2 * o + 1];
  for (int i = 1; i < Block; ++i) {
    low = min(low, a.band[2 * (o + i)]);
    high = max(high, a.band[2 * (o + i) + 1]);
  }
  V sum[Pair][Block] = {};
  const T* row = a.matrix + o * a.inputs;
  for (int64_t c = low; c < high; ++c) {
    V v[Pair];
    unroll<Pair>([&](auto p) SCATCUDA_LAMBDA { v[p] = load<W>(u + 2 * W * c + p * W); });
    unroll<Block>([&](auto i) SCATCUDA_LAMBDA {
      const T q = row[i * a.inputs + c];
      unroll<Pair>([&](auto p) SCATCUDA_LAMBDA { sum[p][i] += q * v[p]; });
    });
  }
  unroll<Pair>([&](auto p) SCATCUDA_LAMBDA {
    unroll<Block>(
        [&](auto i) SCATCUDA_LAMBDA { store_slots<W, Slots>(target[p], (o + i) * Q, sum[p][i]); });
  });
}

template <int Pair, class T, int Slots>
SCATCUDA_KERNEL void lowpass_rows(const RowLowpass<T>& a, const T* u, T* const (*target)[Slots]) {
  constexpr int Block = 4;
  int64_t o = 0;
  for (; o + Block <= a.outputs; o += Block) lowpass_block<Pair, Block>(a, o, u, target);
  for (; o < a.outputs; ++o) lowpass_block<Pair, 1>(a, o, u, target);
}

// out[o, c] = Σ_r P[o, r] in[r, c] for `width` contiguous numbers c (whole vectors)
template <class T>
SCATCUDA_KERNEL void lowpass_columns(const RowLowpass<T>& a, const T* in, int64_t in_stride,
                                     int64_t width, T* out, int64_t out_stride) {
  constexpr int W = full_lanes<T>, Block = 4;
  using V = Vector<T, W>;
  for (int64_t o = 0; o < a.outputs; ++o) {
    const T* row = a.matrix + o * a.inputs;
    const int64_t low = a.band[2 * o], high = a.band[2 * o + 1];
    int64_t c = 0;
    for (; c + Block * W <= width; c += Block * W) {
      V sum[Block] = {};
      for (int64_t r = low; r < high; ++r) {
        const T* p = in + r * in_stride + c;
        unroll<Block>([&](auto i) SCATCUDA_LAMBDA { sum[i] += row[r] * load<W>(p + i * W); });
      }
      unroll<Block>([&](auto i)
                        SCATCUDA_LAMBDA { store(out + o * out_stride + c + i * W, sum[i]); });
    }
    for (; c < width; c += W) {
      V sum{};
      for (int64_t r = low; r < high; ++r) sum += row[r] * load<W>(in + r * in_stride + c);
      store(out + o * out_stride + c, sum);
    }
  }
}

// Σ_c a[c] b[c]
template <class T>
T dot(const T* a, const T* b, int64_t count) {
  constexpr int W = full_lanes<T>;
  Vector<T, W> sum{};
  int64_t c = 0;
  for (; c + W <= count; c += W) sum += load<W>(a + c) * load<W>(b + c);
  T total = 0;
  for (int i = 0; i < W; ++i) total += sum[i];
  for (; c < count; ++c) total += a[c] * b[c];
  return total;
}

// Down the columns of `reduced` [inputs, n · Q], then the first `angles` lanes to S [angles, m, n].
// Squares of Q outputs by Q angles change places; the last one of a row overlaps its predecessor.
template <int Q, class T>
SCATCUDA_KERNEL void finish(const RowLowpass<T>& a, const Plane<T>& reduced, int64_t n,
                            int64_t angles, T* tile, T* S) {
  lowpass_columns(a, reduced.p, reduced.stride, reduced.stride, tile, reduced.stride);
  for (int64_t o = 0; o < a.outputs; ++o) {
    const T* from = tile + o * reduced.stride;
    if (n < Q) {
      for (int64_t i = 0; i < n * angles; ++i) {
        S[(i % angles * a.outputs + o) * n + i / angles] = from[i / angles * Q + i % angles];
      }
      continue;
    }
    for (int64_t i = 0; i < n; i += Q) {
      const int64_t at = min(i, n - Q);
      Vector<T, Q> square[Q];
      unroll<Q>([&](auto r) SCATCUDA_LAMBDA { square[r] = load<Q>(from + (at + r) * Q); });
      transpose<Q>(square);
      unroll<Q>([&](auto r) SCATCUDA_LAMBDA {
        if (r < angles) store(S + (r * a.outputs + o) * n + at, square[r]);
      });
    }
  }
}

}  // namespace SCATCUDA_ISA
}  // namespace scatcuda
