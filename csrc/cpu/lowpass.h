// The low-pass A_j U = P_j U Q_jᵀ as two small real products, pad crop included: along a row while
// it is in the cache, then down the columns. Only the non-zero band of each matrix row is visited,
// in two ranges where it reaches round an edge of the plane.
// Reference: reference.lowpass.
#pragma once

#include "buffers.h"

namespace scatcuda {
inline namespace SCATCUDA_ISA {

// The points of [low, high) modulo `size`, in one range or, round the edge, two:
//
//   for (Band b(low, high, size); b.left(); b.go_round())
//     for (int64_t c = b.first; c < b.end(); ++c) …
struct Band {
  int64_t first, last, size;

  Band(int64_t low, int64_t high, int64_t size_) : size(size_) {
    const bool all = high - low >= size;
    first = all ? 0 : low < 0 ? low + size : low < size ? low : low - size;
    last = all ? size : first + high - low;
  }
  bool left() const { return last > 0; }
  int64_t end() const { return min(last, size); }
  void go_round() { first = 0, last -= size; }
};

// A matrix [outputs, inputs] whose row o is zero outside band[2 o] … band[2 o + 1] modulo inputs.
template <class T>
struct RowLowpass {
  const T* matrix;
  const int64_t* band;
  int64_t outputs, inputs;

  // the span in which one of the rows o … o + block − 1 is not zero
  Band span(int64_t o, int64_t block = 1) const {
    int64_t low = band[2 * o], high = band[2 * o + 1];
    for (int64_t i = o + 1; i < o + block; ++i) {
      low = min(low, band[2 * i]);
      high = max(high, band[2 * i + 1]);
    }
    return {low, high, inputs};
  }
};

// u: `Pair` real vectors side by side, 2 W numbers to the next; for each of the pair its own
// targets, target[slot][o · Q + lane] = Σ_c Q[o, c] u[c]
template <int Pair, int Block, class T, int Slots>
SCATCUDA_INLINE void lowpass_block(const RowLowpass<T>& a, int64_t o, const T* u,
                                   T* const (*target)[Slots]) {
  constexpr int W = full_lanes<T>, Q = W / Slots;
  using V = Vector<T, W>;
  V sum[Pair][Block] = {};
  const T* row = a.matrix + o * a.inputs;
  for (Band b = a.span(o, Block); b.left(); b.go_round()) {
    for (int64_t c = b.first, end = b.end(); c < end; ++c) {
      V v[Pair];
      unroll<Pair>([&](auto p) SCATCUDA_LAMBDA { v[p] = load<W>(u + 2 * W * c + p * W); });
      unroll<Block>([&](auto i) SCATCUDA_LAMBDA {
        const T q = row[i * a.inputs + c];
        unroll<Pair>([&](auto p) SCATCUDA_LAMBDA { sum[p][i] += q * v[p]; });
      });
    }
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

// out[o + i, c] = Σ_r P[o + i, r] in[r, c] for Block rows o + i and Vectors vectors of numbers c
template <int Block, int Vectors, class T>
SCATCUDA_INLINE void lowpass_columns_block(const RowLowpass<T>& a, int64_t o, const T* in,
                                           int64_t in_stride, T* out, int64_t out_stride) {
  constexpr int W = full_lanes<T>;
  Vector<T, W> sum[Block][Vectors] = {};
  const T* row = a.matrix + o * a.inputs;
  for (Band b = a.span(o, Block); b.left(); b.go_round()) {
    for (int64_t r = b.first, end = b.end(); r < end; ++r) {
      unroll<Vectors>([&](auto v) SCATCUDA_LAMBDA {
        const Vector<T, W> u = load<W>(in + r * in_stride + v * W);
        unroll<Block>([&](auto i) SCATCUDA_LAMBDA { sum[i][v] += row[i * a.inputs + r] * u; });
      });
    }
  }
  unroll<Block>([&](auto i) SCATCUDA_LAMBDA {
    unroll<Vectors>([&](auto v)
                        SCATCUDA_LAMBDA { store(out + (o + i) * out_stride + v * W, sum[i][v]); });
  });
}

// out[o, c] = Σ_r P[o, r] in[r, c] for c < width, whole vectors
template <class T>
SCATCUDA_KERNEL void lowpass_columns(const RowLowpass<T>& a, const T* in, int64_t in_stride,
                                     int64_t width, T* out, int64_t out_stride) {
  constexpr int W = full_lanes<T>;
  int64_t o = 0;
  const auto rows = [&](auto block) SCATCUDA_LAMBDA {
    int64_t c = 0;
    const auto vectors = [&](auto count) SCATCUDA_LAMBDA {
      lowpass_columns_block<block, count>(a, o, in + c, in_stride, out + c, out_stride);
      c += count * W;
    };
    while (c + 4 * W <= width) vectors(std::integral_constant<int, 4>{});
    if (c + 2 * W <= width) vectors(std::integral_constant<int, 2>{});
    if (c < width) vectors(std::integral_constant<int, 1>{});
    o += block;
  };
  while (o + 2 <= a.outputs) rows(std::integral_constant<int, 2>{});
  while (o < a.outputs) rows(std::integral_constant<int, 1>{});
}

// Σ_c a[c] b[c]
template <class T>
T dot(const T* a, const T* b, int64_t count) {
  constexpr int W = full_lanes<T>;
  Vector<T, W> sum{}, odd{};
  int64_t c = 0;
  for (; c + 2 * W <= count; c += 2 * W) {
    sum += load<W>(a + c) * load<W>(b + c);
    odd += load<W>(a + c + W) * load<W>(b + c + W);
  }
  for (; c + W <= count; c += W) sum += load<W>(a + c) * load<W>(b + c);
  T part[W];
  store(part, sum + odd);
  for (int half = W / 2; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) part[i] += part[i + half];
  }
  T total = part[0];
  for (; c < count; ++c) total += a[c] * b[c];
  return total;
}

// Down the columns of `reduced` [inputs, n · Q], then the first `angles` lanes to S [angles, m, n].
// Squares of Q outputs by Q angles change places; the last one of a row overlaps its predecessor
// or, in short rows, runs into the next one before that is written.
template <int Q, class T>
SCATCUDA_KERNEL void finish(const RowLowpass<T>& a, const Plane<T>& reduced, int64_t n,
                            int64_t angles, T* tile, T* S) {
  lowpass_columns(a, reduced.p, reduced.stride, reduced.stride, tile, reduced.stride);
  const int64_t area = a.outputs * n;
  for (int64_t o = 0; o < a.outputs; ++o) {
    for (int64_t i = 0; i < n; i += Q) {
      const int64_t at = n < Q ? 0 : min(i, n - Q);
      Vector<T, Q> square[Q];
      unroll<Q>([&](auto r) SCATCUDA_LAMBDA {
        square[r] = load<Q>(tile + o * reduced.stride + min(at + r, n - 1) * Q);
      });
      transpose<Q>(square);
      const int64_t first = o * n + at;
      const int64_t count = min(Q, area - first);
      unroll<Q>([&](auto r) SCATCUDA_LAMBDA {
        if (r >= angles) return;
        if (count == Q) {
          store(S + r * area + first, square[r]);
        } else {
          std::memcpy(S + r * area + first, &square[r], static_cast<size_t>(count) * sizeof(T));
        }
      });
    }
  }
}

}  // namespace SCATCUDA_ISA
}  // namespace scatcuda
