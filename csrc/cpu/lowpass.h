// The low-pass A_j U = P_j U Q_jᵀ as two small real products, pad crop included: along a row while it
// is in the cache, then down the columns. Only the non-zero band of each matrix row is visited.
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

// u: real vectors, 2 W numbers apart; target[slot][o · Q + lane] = Σ_c Q[o, c] u[c]
template <class T, int Slots>
void lowpass_row(const RowLowpass<T>& a, const T* u, T* const* target) {
  constexpr int W = full_lanes<T>, Q = W / Slots, Block = 4;
  using V = Vector<T, W>;
  int64_t o = 0;
  for (; o + Block <= a.outputs; o += Block) {
    int64_t low = a.band[2 * o], high = a.band[2 * o + 1];
    for (int i = 1; i < Block; ++i) {
      low = min(low, a.band[2 * (o + i)]);
      high = max(high, a.band[2 * (o + i) + 1]);
    }
    V sum[Block] = {};
    const T* row = a.matrix + o * a.inputs;
    for (int64_t c = low; c < high; ++c) {
      const V v = load<W>(u + 2 * W * c);
      unroll<Block>([&](auto i) { sum[i] += row[i * a.inputs + c] * v; });
    }
    unroll<Block>([&](auto i) { store_slots<W, Slots>(target, (o + i) * Q, sum[i]); });
  }
  for (; o < a.outputs; ++o) {
    V sum{};
    for (int64_t c = a.band[2 * o]; c < a.band[2 * o + 1]; ++c) {
      sum += a.matrix[o * a.inputs + c] * load<W>(u + 2 * W * c);
    }
    store_slots<W, Slots>(target, o * Q, sum);
  }
}

// out[o, c] = Σ_r P[o, r] in[r, c] for `width` contiguous numbers c (whole vectors)
template <class T>
void lowpass_columns(const RowLowpass<T>& a, const T* in, int64_t in_stride, int64_t width, T* out,
                     int64_t out_stride) {
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
        unroll<Block>([&](auto i) { sum[i] += row[r] * load<W>(p + i * W); });
      }
      unroll<Block>([&](auto i) { store(out + o * out_stride + c + i * W, sum[i]); });
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

// Down the columns of `reduced` [inputs, n · Q], then the first `angles` lanes to S [angles, m, n]
template <int Q, class T>
void finish(const RowLowpass<T>& a, const Plane<T>& reduced, int64_t n, int64_t angles, T* tile,
            T* S) {
  lowpass_columns(a, reduced.p, reduced.stride, reduced.stride, tile, reduced.stride);
  for (int64_t theta = 0; theta < angles; ++theta) {
    for (int64_t o = 0; o < a.outputs; ++o) {
      const T* from = tile + o * reduced.stride + theta;
      for (int64_t i = 0; i < n; ++i) *S++ = from[i * Q];
    }
  }
}

}  // namespace SCATCUDA_ISA
}  // namespace scatcuda
