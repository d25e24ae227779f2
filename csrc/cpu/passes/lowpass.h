// The average A U: along the last axis while a row is in the cache, then down the others. Low-pass
// matrices of every axis, pad crop included, P U Qᵀ for images: only the non-zero band of each
// matrix row is visited, in two ranges where it reaches round an edge. Or sums of powers. And their
// adjoints. Reference: reference.lowpass.
#pragma once

#include "../buffers.h"

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
  int64_t outputs, inputs, stride;  // from a row to the next

  const T* row(int64_t o) const { return matrix + o * stride; }

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

// What a step that averages does to planes of a grid: matrices of its axes, or, where the first has
// none, a sum over it and the middle one
template <class T>
struct PlaneLowpass {
  Grid grid, outputs;
  RowLowpass<T> down, middle, across;
  bool mean = false;               // of numbers of any sign
  const double* powers = nullptr;  // of which sums are taken along the last axis
  int power_count = 0;
  T scale = 1;
};

// u: `Pair` real vectors side by side, 2 W numbers to the next; for each of the pair its own
// targets, target[slot][o · Q + lane] = Σ_c Q[o, c] u[c]
template <int Pair, int Block, class T, int Slots>
SCATCUDA_INLINE void lowpass_block(const RowLowpass<T>& a, int64_t o, const T* u,
                                   T* const (*target)[Slots]) {
  constexpr int W = full_lanes<T>, Q = W / Slots;
  using V = Vector<T, W>;
  V sum[Pair][Block] = {};
  const T* row = a.row(o);
  for (Band b = a.span(o, Block); b.left(); b.go_round()) {
    for (int64_t c = b.first, end = b.end(); c < end; ++c) {
      V v[Pair];
      SCATCUDA_UNROLL
      for (int p = 0; p < Pair; ++p) v[p] = load<W>(u + 2 * W * c + p * W);
      SCATCUDA_UNROLL
      for (int i = 0; i < Block; ++i) {
        const T q = row[i * a.stride + c];
        SCATCUDA_UNROLL
        for (int p = 0; p < Pair; ++p) sum[p][i] += q * v[p];
      }
    }
  }
  SCATCUDA_UNROLL
  for (int p = 0; p < Pair; ++p) {
    SCATCUDA_UNROLL
    for (int i = 0; i < Block; ++i) store_slots<W, Slots>(target[p], (o + i) * Q, sum[p][i]);
  }
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
  const T* row = a.row(o);
  for (Band b = a.span(o, Block); b.left(); b.go_round()) {
    for (int64_t r = b.first, end = b.end(); r < end; ++r) {
      SCATCUDA_UNROLL
      for (int v = 0; v < Vectors; ++v) {
        const Vector<T, W> u = load<W>(in + r * in_stride + v * W);
        SCATCUDA_UNROLL
        for (int i = 0; i < Block; ++i) sum[i][v] += row[i * a.stride + r] * u;
      }
    }
  }
  SCATCUDA_UNROLL
  for (int i = 0; i < Block; ++i) {
    SCATCUDA_UNROLL
    for (int v = 0; v < Vectors; ++v) store(out + (o + i) * out_stride + v * W, sum[i][v]);
  }
}

// out[o, c] = Σ_r P[o, r] in[r, c] for c < width, whole vectors
template <class T>
SCATCUDA_KERNEL void lowpass_columns(const RowLowpass<T>& a, const T* in, int64_t in_stride,
                                     int64_t width, T* out, int64_t out_stride) {
  constexpr int W = full_lanes<T>;
  int64_t c = 0;
  // all outputs of some columns, which stay in the first-level cache
  const auto vectors = [&](auto count) SCATCUDA_LAMBDA {
    int64_t o = 0;
    const auto rows = [&](auto block) SCATCUDA_LAMBDA {
      lowpass_columns_block<block, count>(a, o, in + c, in_stride, out + c, out_stride);
      o += block;
    };
    while (o + 4 <= a.outputs) rows(std::integral_constant<int, 4>{});
    while (o + 2 <= a.outputs) rows(std::integral_constant<int, 2>{});
    while (o < a.outputs) rows(std::integral_constant<int, 1>{});
    c += count * W;
  };
  while (c + 4 * W <= width) vectors(std::integral_constant<int, 4>{});
  if (c + 2 * W <= width) vectors(std::integral_constant<int, 2>{});
  if (c < width) vectors(std::integral_constant<int, 1>{});
}

// f(v ↦ v^q) of what is not negative: small multiples of ½ by products and a root
template <class T, class F>
SCATCUDA_INLINE void with_power(double q, F&& f) {
  using V = Vector<T, full_lanes<T>>;
  if (q == 1) return f([](V v) SCATCUDA_LAMBDA { return v; });
  if (q == 2) return f([](V v) SCATCUDA_LAMBDA { return V(v * v); });
  if (q == 0.5) return f([](V v) SCATCUDA_LAMBDA { return square_root(v); });
  const double twice = 2 * __builtin_fabs(q);
  if (twice <= 16 && twice == __builtin_floor(twice)) {
    const int halves = static_cast<int>(twice);
    return f([q, halves](V v) SCATCUDA_LAMBDA {
      V power = V{} + 1;
      if (halves % 2 == 1) power = square_root(v);
      for (int i = 0; i < halves / 2; ++i) power *= v;
      return q < 0 ? V(1 / power) : power;
    });
  }
  f([q](V v) SCATCUDA_LAMBDA {
    for (int i = 0; i < full_lanes<T>; ++i) v[i] = static_cast<T>(__builtin_pow(v[i], q));
    return v;
  });
}

// Σ_c u[c]^q for every power q, of `Pair` vectors side by side as above; times `scale`
template <int Pair, class T, int Slots>
SCATCUDA_KERNEL void power_rows(const double* powers, int count, T scale, const T* u, int64_t side,
                                T* const (*target)[Slots]) {
  constexpr int W = full_lanes<T>, Q = W / Slots;
  using V = Vector<T, W>;
  for (int i = 0; i < count; ++i) {
    V sum[Pair] = {};
    with_power<T>(powers[i], [&](auto power) SCATCUDA_LAMBDA {
      for (int64_t c = 0; c < side; ++c) {
        SCATCUDA_UNROLL
        for (int p = 0; p < Pair; ++p) sum[p] += power(load<W>(u + 2 * W * c + p * W));
      }
    });
    SCATCUDA_UNROLL
    for (int p = 0; p < Pair; ++p) store_slots<W, Slots>(target[p], i * Q, V(sum[p] * scale));
  }
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

// out = Σ_r in[r]
template <class T>
void sum_rows(const Plane<T>& in, int64_t rows, T* out) {
  constexpr int W = full_lanes<T>;
  for (int64_t c = 0; c < in.stride; c += W) {
    Vector<T, W> sum{};
    for (int64_t first = 0; first < rows; first += 32) {  // few at a time, for their last digits
      Vector<T, W> some{};
      for (int64_t r = first; r < min(first + 32, rows); ++r) {
        some += load<W>(in.p + r * in.stride + c);
      }
      sum += some;
    }
    store(out + c, sum);
  }
}

// Down the first and the middle axis of `reduced` [middle, first, n · Q], then the first `filters`
// lanes to S, their planes `apart` numbers from each other. Squares of Q outputs by Q filters
// change places; the last one of a row overlaps its predecessor or, in short rows, runs into the
// next one before that is written.
template <int Q, class T>
SCATCUDA_KERNEL void finish(const PlaneLowpass<T>& a, const Plane<T>& reduced, int64_t filters,
                            int64_t apart, const ThreadBuffers<T>& own, T* S) {
  const int64_t stride = reduced.stride, n = a.outputs.last, rows = a.outputs.first;
  SCATCUDA_STAGE(lowpass_columns);
  if (a.down.matrix == nullptr) sum_rows(reduced, a.grid.first * a.grid.middle, own.tile);
  for (int64_t r = 0; a.down.matrix != nullptr && r < a.grid.middle; ++r) {
    lowpass_columns(a.down, reduced.p + r * a.grid.first * stride, stride, stride,
                    own.tile + r * rows * stride, stride);
  }
  const T* tile = own.tile;
  if (a.middle.matrix != nullptr) {
    lowpass_columns(a.middle, tile, rows * stride, rows * stride, own.tile_2, rows * stride);
    tile = own.tile_2;
  }
  const int64_t area = rows * a.outputs.middle * n;
  SCATCUDA_STAGE(coefficients);
  for (int64_t o = 0; o < rows * a.outputs.middle; ++o) {
    const T* from = tile + (o % a.outputs.middle * rows + o / a.outputs.middle) * stride;
    for (int64_t i = 0; i < n; i += Q) {
      const int64_t at = n < Q ? 0 : min(i, n - Q);
      Vector<T, Q> square[Q];
      SCATCUDA_UNROLL
      for (int r = 0; r < Q; ++r) square[r] = load<Q>(from + min(at + r, n - 1) * Q);
      transpose<Q>(square);
      const int64_t first = o * n + at;
      const int64_t count = min(Q, area - first);
      SCATCUDA_UNROLL
      for (int r = 0; r < Q; ++r) {
        if (r >= filters) continue;
        if (count == Q) {
          store(S + r * apart + first, square[r]);
        } else {
          std::memcpy(S + r * apart + first, &square[r], static_cast<size_t>(count) * sizeof(T));
        }
      }
    }
  }
}

// Σ |u|^q of a plane [first, middle, width], or Σ u; times the scale. Of each row by vectors, of
// the rows in double precision.
template <class T>
T plane_sum(const PlaneLowpass<T>& a, double q, const T* plane, int64_t width) {
  constexpr int W = full_lanes<T>;
  using V = Vector<T, W>;
  double total = 0;
  with_power<T>(q, [&](auto power) SCATCUDA_LAMBDA {
    for (int64_t r = 0; r < a.grid.first * a.grid.middle; ++r) {
      V sum{};
      for (int64_t c = 0; c < a.grid.last; c += W) {
        const int64_t left = a.grid.last - c;
        V u{};
        for (int64_t i = 0; i < min(int64_t(W), left); ++i) u[i] = plane[r * width + c + i];
        V v = a.mean ? u : power(V(u < T(0) ? -u : u));
        for (int64_t i = left; i < W; ++i) v[i] = 0;  // 0^0 is 1
        sum += v;
      }
      for (int i = 0; i < W; ++i) total += sum[i];
    }
  });
  return static_cast<T>(total) * a.scale;
}

// A real plane that lies as it is, [first, middle, width], to S
template <class T>
void average_plane(const PlaneLowpass<T>& a, const T* plane, int64_t width, T* lowpassed,
                   T* lowpassed_2, T* S) {
  const int64_t row = a.grid.middle * width, rows = a.outputs.first;
  if (a.powers != nullptr) {
    for (int i = 0; i < a.power_count; ++i) S[i] = plane_sum(a, a.powers[i], plane, width);
    return;
  }
  const T* from = plane;
  if (a.down.matrix != nullptr) {
    lowpass_columns(a.down, plane, row, row, lowpassed, row);
    from = lowpassed;
  }
  if (a.middle.matrix != nullptr) {
    for (int64_t o = 0; o < rows; ++o) {
      lowpass_columns(a.middle, lowpassed + o * row, width, width,
                      lowpassed_2 + o * a.outputs.middle * width, width);
    }
    from = lowpassed_2;
  }
  const RowLowpass<T>& across = a.across;
  for (int64_t o = 0; o < rows * a.outputs.middle; ++o) {
    const T* u = from + o * width;
    for (int64_t i = 0; i < a.outputs.last; ++i) {
      const T* taps = across.row(i);
      Band b = across.span(i);
      *S = dot(taps + b.first, u + b.first, b.end() - b.first);
      b.go_round();
      if (b.left()) *S += dot(taps, u, b.end());
      ++S;
    }
  }
}

// --- adjoints ---

// A RowLowpass the other way: inputs 4 b … 4 b + 3 are met by the outputs reach[2 b] … reach[2 b +
// 1] modulo `outputs`.
template <class T>
struct Spread {
  static constexpr int block = 4;
  const T* matrix = nullptr;  // [outputs, inputs]
  const int64_t* reach = nullptr;
  int64_t outputs = 0, inputs = 0, stride = 0;

  const T* row(int64_t o) const { return matrix + o * stride; }

  Spread() = default;
  Spread(const RowLowpass<T>& a, Arena& arena, int64_t size)
      : matrix(a.matrix), outputs(a.outputs), inputs(size), stride(a.stride) {
    const int64_t blocks = ceil_div(inputs, block);
    auto* met = arena.take<int64_t>(2 * blocks);
    reach = met;
    if (met == nullptr) return;
    // as if outputs and inputs went on beyond the edges: lap −1 is what lies before them
    for (int64_t b = 0; b < blocks; ++b) met[2 * b] = outputs, met[2 * b + 1] = -outputs;
    for (int64_t o = 0; o < outputs; ++o) {
      for (int64_t lap = -1; lap <= 1; ++lap) {
        const int64_t first = max(a.band[2 * o] - lap * inputs, 0);
        const int64_t last = min(a.band[2 * o + 1] - lap * inputs, inputs);
        for (int64_t b = first / block; first < last && b <= (last - 1) / block; ++b) {
          met[2 * b] = min(met[2 * b], o - lap * outputs);
          met[2 * b + 1] = max(met[2 * b + 1], o - lap * outputs + 1);
        }
      }
    }
    for (int64_t b = 0; b < blocks; ++b) met[2 * b] = min(met[2 * b], met[2 * b + 1]);
  }
  Band reached(int64_t input) const {
    if (outputs == 0) return {0, 0, 0};  // no low-pass at all
    const int64_t* met = reach + input / block * 2;
    return {met[0], met[1], outputs};
  }
};

// gS of `filters` planes, `apart` numbers from each other -> tile [outputs of the middle, of the
// first axis, n · Q], the filters side by side; 0 in the lanes without one
template <int Q, class T>
void gather_filters(const T* gS, int64_t filters, int64_t apart, const Grid& outputs,
                    int64_t stride, T* tile) {
  for (int64_t o = 0; o < outputs.first * outputs.middle; ++o) {
    T* to = tile + (o % outputs.middle * outputs.first + o / outputs.middle) * stride;
    for (int64_t i = 0; i < stride; ++i) to[i] = 0;
    for (int64_t a = 0; a < filters; ++a) {
      const T* from = gS + a * apart + o * outputs.last;
      for (int64_t i = 0; i < outputs.last; ++i) to[i * Q + a] = from[i];
    }
  }
}

// out[r + i, c] = (or += where `Add`) Σ_o P[o, r + i] in[o, c] for Block rows and Vectors vectors
template <bool Add, int Block, int Vectors, class T>
SCATCUDA_INLINE void spread_columns_block(const Spread<T>& a, int64_t r, const T* in,
                                          int64_t in_stride, T* out, int64_t out_stride) {
  constexpr int W = full_lanes<T>;
  Vector<T, W> sum[Block][Vectors] = {};
  for (Band b = a.reached(r); b.left(); b.go_round()) {
    for (int64_t o = b.first, end = b.end(); o < end; ++o) {
      const T* row = a.row(o) + r;
      SCATCUDA_UNROLL
      for (int v = 0; v < Vectors; ++v) {
        const Vector<T, W> g = load<W>(in + o * in_stride + v * W);
        SCATCUDA_UNROLL
        for (int i = 0; i < Block; ++i) sum[i][v] += row[i] * g;
      }
    }
  }
  SCATCUDA_UNROLL
  for (int i = 0; i < Block; ++i) {
    SCATCUDA_UNROLL
    for (int v = 0; v < Vectors; ++v) {
      T* to = out + (r + i) * out_stride + v * W;
      store(to, Add ? load<W>(to) + sum[i][v] : sum[i][v]);
    }
  }
}

// out [inputs, width] (+)= Pᵀ in, in [outputs, width]; whole vectors
template <bool Add, class T>
SCATCUDA_KERNEL void spread_columns(const Spread<T>& a, const T* in, int64_t in_stride,
                                    int64_t width, T* out, int64_t out_stride) {
  constexpr int W = full_lanes<T>;
  int64_t r = 0;
  const auto rows = [&](auto block) SCATCUDA_LAMBDA {
    int64_t c = 0;
    const auto vectors = [&](auto count) SCATCUDA_LAMBDA {
      spread_columns_block<Add, block, count>(a, r, in + c, in_stride, out + c, out_stride);
      c += count * W;
    };
    while (c + 4 * W <= width) vectors(std::integral_constant<int, 4>{});
    while (c < width) vectors(std::integral_constant<int, 1>{});
    r += block;
  };
  while (r + a.block <= a.inputs) rows(std::integral_constant<int, Spread<T>::block>{});
  while (r < a.inputs) rows(std::integral_constant<int, 1>{});
}

// gP[o, r] += Σ_c g[o, c] u[r, c] inside the bands; whole vectors, whose lanes are summed for as
// many r at once as there are
template <class T>
SCATCUDA_KERNEL void lowpass_gradient_columns(const RowLowpass<T>& a, const T* g, int64_t g_stride,
                                              const T* u, int64_t u_stride, int64_t width,
                                              T* grad) {
  constexpr int W = full_lanes<T>;
  for (int64_t o = 0; o < a.outputs; ++o) {
    for (Band b = a.span(o); b.left(); b.go_round()) {
      for (int64_t r = b.first, end = b.end(); r < end; r += W) {
        const int64_t count = min(W, end - r);
        Vector<T, W> products[W] = {};
        for (int64_t c = 0; c < width; c += W) {
          const Vector<T, W> v = load<W>(g + o * g_stride + c);
          SCATCUDA_UNROLL
          for (int i = 0; i < W; ++i)
            products[i] += v * load<W>(u + (r + min(i, count - 1)) * u_stride + c);
        }
        const Vector<T, W> sums = lane_sums<W>(products);
        for (int64_t i = 0; i < count; ++i) grad[o * a.stride + r + i] += sums[i];
      }
    }
  }
}

}  // namespace SCATCUDA_ISA
}  // namespace scatcuda
