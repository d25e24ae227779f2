// The average of planes that lie in pieces (pieces.h), and its adjoint: a low-pass matrix in its
// bands, or the mean. Vector i has the points pieces · i … of every plane.
#pragma once

#include "../passes/lowpass.h"
#include "pieces.h"

namespace scatcuda {
inline namespace SCATCUDA_ISA {

// f(i) for every vector that reaches into a band, once
template <class T, class F>
SCATCUDA_INLINE void for_vectors(const Band& b, F&& f) {
  constexpr int p = pieces<T>;
  const int64_t first = b.first / p, round = b.last - b.size;
  for (int64_t i = first, end = ceil_div(b.end(), p); i < end; ++i) f(i);
  for (int64_t i = 0, end = round > 0 ? min(ceil_div(round, p), first) : 0; i < end; ++i) f(i);
}

// S[plane][o] = Σ_c P[o, c] u[c], to `count` places
template <class T>
SCATCUDA_KERNEL void average_pieces(const RowLowpass<T>& a, const Lanes<T>* u, T* const* S,
                                    int64_t count) {
  constexpr int p = pieces<T>;
  for (int64_t o = 0; o < a.outputs; o += p) {
    const int64_t block = min(p, a.outputs - o);
    const T* row[p];
    SCATCUDA_UNROLL
    for (int i = 0; i < p; ++i) row[i] = a.row(min(o + i, a.outputs - 1));
    Lanes<T> sum[p] = {};
    for_vectors<T>(a.span(o, block), [&](int64_t c) SCATCUDA_LAMBDA {
      SCATCUDA_UNROLL
      for (int i = 0; i < p; ++i) sum[i] += spread_pieces(row[i] + p * c) * u[c];
    });
    const Lanes<T> all = gather_pieces<T>(sum);
    if (block == p && count == beside<T>) {
      store_slots<full_lanes<T>, beside<T>>(S, o, all);
      continue;
    }
    T numbers[full_lanes<T>];
    store(numbers, all);
    for (int64_t plane = 0; plane < count; ++plane) {
      for (int64_t i = 0; i < block; ++i) S[plane][o + i] = numbers[plane * p + i];
    }
  }
}

template <class T>
void mean_pieces(int64_t P, const Lanes<T>* u, T* const* S, int64_t count) {
  constexpr int p = pieces<T>;
  Lanes<T> sum[p] = {};
  for (int64_t i = 0; i < P / p; ++i) sum[0] += u[i];
  T numbers[full_lanes<T>];
  store(numbers, gather_pieces<T>(sum));
  for (int64_t plane = 0; plane < count; ++plane) {
    *S[plane] = numbers[plane * p] / static_cast<T>(P);
  }
}

// g[plane][o] of every output in all lanes of its plane
template <class T>
SCATCUDA_KERNEL void spread_outputs(const Spread<T>& a, const T* const* gS, Lanes<T>* g) {
  constexpr int p = pieces<T>;
  int64_t o = 0;
  for (; o + p <= a.outputs; o += p) {
    const auto all = load_slots<full_lanes<T>, beside<T>>(gS, o);
    unroll<p>([&](auto i) SCATCUDA_LAMBDA {
      g[o + i] = arrange::shuffle<arrange::Same<p, i>, full_lanes<T>>(all, all);
    });
  }
  for (; o < a.outputs; ++o) {
    for (int lane = 0; lane < full_lanes<T>; ++lane) g[o][lane] = gS[lane / p][o];
  }
}
// u[c] = Σ_o P[o, c] g[o]
template <class T>
SCATCUDA_KERNEL void average_pieces_adjoint(const Spread<T>& a, const Lanes<T>* g, Lanes<T>* u) {
  constexpr int p = pieces<T>;
  for (int64_t c = 0; c < a.inputs / p; ++c) {
    Lanes<T> sum{};
    for (Band b = a.reached(p * c); b.left(); b.go_round()) {
      for (int64_t o = b.first, end = b.end(); o < end; ++o) {
        sum += spread_pieces(a.row(o) + p * c) * g[o];
      }
    }
    u[c] = sum;
  }
}

template <class T>
void mean_pieces_adjoint(int64_t P, const T* const* gS, Lanes<T>* u) {
  Lanes<T> g;
  for (int lane = 0; lane < full_lanes<T>; ++lane) {
    g[lane] = gS[lane / pieces<T>][0] / static_cast<T>(P);
  }
  for (int64_t c = 0; c < P / pieces<T>; ++c) u[c] = g;
}

}  // namespace SCATCUDA_ISA
}  // namespace scatcuda
