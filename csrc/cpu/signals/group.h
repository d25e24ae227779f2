// Groups of signals' planes: the filters along their axis as short convolutions, a vector of
// neighbouring points in time at a time, and the average over time at once, so that no plane of a
// group is ever written down. Twin: passes/group.h, which goes by Fourier transforms.
//
// With A = a * z and B = b * z a filter h = a + i b (passes/axis.h) gives A + i B, and the one of
// the other spin, h̄, A − i B.
#pragma once

#include <algorithm>

#include "../passes/axis.h"
#include "../passes/lowpass.h"
#include "engine.h"
#include "pieces.h"

namespace scatcuda {
inline namespace SCATCUDA_ISA {

constexpr int most_places = vector_bytes == 64 ? 6 : 3;  // of a group, in registers at a time
constexpr int64_t most_points = 2048;                    // in time, at a time
// From a row of them to the next: an odd number of vectors, so that rows do not meet in the cache
template <class T>
constexpr int64_t row_pitch = most_points + full_lanes<T>;

// The planes that some places of a filter are made of, and a and b of each
template <class T>
struct Taps {
  int64_t count = 0;
  const T **re, **im;
  T **grad_re, **grad_im;
  T* factors;  // [count][2][most_places]

  Taps() = default;
  Taps(int64_t length, Arena& arena)
      : re(arena.take<const T*>(length)),
        im(arena.take<const T*>(length)),
        grad_re(arena.take<T*>(length)),
        grad_im(arena.take<T*>(length)),
        factors(arena.take<T>(2 * most_places * length)) {}
};

// Of a thread
template <class T>
struct GroupRoom {
  Taps<T> taps;
  T* U;        // [2][most_places][row_pitch]: of a filter and of its partner
  T* outputs;  // backward: the gradients of their averages, [outputs][2][most_places]
};

// f(r, A + i B, A − i B) for the places r at a vector of points
template <class T, class F>
SCATCUDA_INLINE void convolved(const Taps<T>& taps, int64_t t, F&& f) {
  constexpr int W = full_lanes<T>;
  using V = Vector<T, W>;
  V a_re[most_places] = {}, a_im[most_places] = {}, b_re[most_places] = {}, b_im[most_places] = {};
  const T* a = taps.factors;
  for (int64_t i = 0; i < taps.count; ++i, a += 2 * most_places) {
    const V re = load<W>(taps.re[i] + t), im = load<W>(taps.im[i] + t);
    SCATCUDA_UNROLL
    for (int r = 0; r < most_places; ++r) {
      a_re[r] += a[r] * re, a_im[r] += a[r] * im;
      b_re[r] += a[most_places + r] * re, b_im[r] += a[most_places + r] * im;
    }
  }
  SCATCUDA_UNROLL
  for (int r = 0; r < most_places; ++r)
    f(r, Complex<V>{a_re[r] - b_im[r], a_im[r] + b_re[r]},
      Complex<V>{a_re[r] + b_im[r], a_im[r] - b_re[r]});
}

// U ← |A ± i B| at points first … first + count − 1, in whole vectors
template <bool Both, class T>
SCATCUDA_KERNEL void convolve(const Taps<T>& taps, int64_t first, int64_t count, T* U) {
  constexpr int W = full_lanes<T>;
  using V = Vector<T, W>;
  for (int64_t t = 0; t < count; t += W) {
    convolved(taps, first + t,
              [&](auto r, const Complex<V>& up, const Complex<V>& down) SCATCUDA_LAMBDA {
                store(U + r * row_pitch<T> + t, square_root(V(up.re * up.re + up.im * up.im)));
                if constexpr (!Both) return;
                store(U + (most_places + r) * row_pitch<T> + t,
                      square_root(V(down.re * down.re + down.im * down.im)));
              });
  }
}

// Adds to the gradients of the planes what the gradients of U send back
template <bool Both, class T>
SCATCUDA_KERNEL void convolve_adjoint(const Taps<T>& taps, int64_t first, int64_t count,
                                      const T* grad_u) {
  constexpr int W = full_lanes<T>;
  using V = Vector<T, W>;
  for (int64_t t = 0; t < count; t += W) {
    // y (gU / |y|) of both spins: their sum goes back by a, their difference by b
    V sum_re[most_places], sum_im[most_places], odd_re[most_places], odd_im[most_places];
    convolved(taps, first + t,
              [&](auto r, const Complex<V>& up, const Complex<V>& down) SCATCUDA_LAMBDA {
                const auto sent = [&](const Complex<V>& y, const T* from) SCATCUDA_LAMBDA {
                  const V square = y.re * y.re + y.im * y.im;
                  return V(square == T(0) ? V{} : load<W>(from + t) / square_root(square));
                };
                const V by = sent(up, grad_u + r * row_pitch<T>);
                sum_re[r] = odd_re[r] = up.re * by, sum_im[r] = odd_im[r] = up.im * by;
                if constexpr (!Both) return;
                const V other = sent(down, grad_u + (most_places + r) * row_pitch<T>);
                sum_re[r] += down.re * other, sum_im[r] += down.im * other;
                odd_re[r] -= down.re * other, odd_im[r] -= down.im * other;
              });
    for (int64_t i = 0; i < taps.count; ++i) {
      const T *a = taps.factors + i * 2 * most_places, *b = a + most_places;
      T *to_re = taps.grad_re[i] + first + t, *to_im = taps.grad_im[i] + first + t;
      V re = load<W>(to_re), im = load<W>(to_im), odd{}, turned{};
      SCATCUDA_UNROLL
      for (int r = 0; r < most_places; ++r) {
        re += a[r] * sum_re[r], im += a[r] * sum_im[r];
        odd += b[r] * odd_im[r], turned += b[r] * odd_re[r];
      }
      store(to_re, re + odd), store(to_im, im - turned);
    }
  }
}

// The sum of the lanes, or of every `Left`-th
template <int Left, int Lanes, class T>
SCATCUDA_INLINE Vector<T, Left> total(const Vector<T, Lanes>& v) {
  if constexpr (Lanes == Left) {
    return v;
  } else {
    Vector<T, Lanes / 2> a, b;
    halves<Lanes, T>(v, a, b);
    return total<Left, Lanes / 2, T>(a + b);
  }
}

// The first `count` of a vector, behind them 0
template <class T>
SCATCUDA_INLINE Vector<T, full_lanes<T>> load_some(const T* from, int64_t count) {
  constexpr int W = full_lanes<T>;
  if (count >= W) return load<W>(from);
  Vector<T, W> v{};
  std::memcpy(&v, from, static_cast<size_t>(count) * sizeof(T));
  return v;
}

// S[r][o] += Σ_t P[o, t] U[r][t] over points first … last − 1, of which U is there. What lies in
// the vectors of a band beside it is multiplied by zeros. `Whole`: the points are whole vectors.
template <bool Whole, class T>
SCATCUDA_KERNEL void average_chunk(const RowLowpass<T>& a, const T* U, int64_t first, int64_t last,
                                   T* const* S, int64_t count) {
  constexpr int W = full_lanes<T>, block = pieces<T>;
  using V = Vector<T, W>;
  for (int64_t o = 0; o < a.outputs; o += block) {
    const int64_t rows = min(int64_t{block}, a.outputs - o);
    const T* taps[block];
    SCATCUDA_UNROLL
    for (int i = 0; i < block; ++i) taps[i] = a.row(min(o + i, a.outputs - 1));
    V sum[most_places][block] = {};
    bool met = false;
    const Band span = a.span(o, rows);
    const bool round = span.last - span.first + 2 * W > span.size;  // its ends would meet
    for (Band b = round ? Band(0, span.size, span.size) : span; b.left(); b.go_round()) {
      const int64_t low = max(b.first, first) / W * W, high = min(b.end(), last);
      for (int64_t t = low; t < high; t += W) {
        met = true;
        const auto loaded = [&](const T* from) SCATCUDA_LAMBDA {
          return Whole ? load<W>(from) : load_some(from, last - t);
        };
        V v[block];
        SCATCUDA_UNROLL
        for (int i = 0; i < block; ++i) v[i] = loaded(taps[i] + t);
        SCATCUDA_UNROLL
        for (int r = 0; r < most_places; ++r) {
          const V u = loaded(U + r * row_pitch<T> + t - first);
          SCATCUDA_UNROLL
          for (int i = 0; i < block; ++i) sum[r][i] += v[i] * u;
        }
      }
    }
    if (!met) continue;
    SCATCUDA_UNROLL
    for (int r = 0; r < most_places; ++r) {
      if (r >= count) continue;
      const auto sums = total<block, W, T>(gather_pieces<T>(sum[r]));
      T* to = S[r] + o;
      if (rows == block) {
        store(to, load<block>(to) + sums);
      } else {
        SCATCUDA_UNROLL
        for (int i = 0; i < block; ++i) {
          if (i < rows) to[i] += sums[i];
        }
      }
    }
  }
}
template <class T>
void mean_chunk(const T* U, int64_t points, T scale, T* const* S, int64_t count) {
  constexpr int W = full_lanes<T>;
  for (int64_t r = 0; r < count; ++r) {
    Vector<T, W> sum{};
    for (int64_t t = 0; t < points; t += W) sum += load_some(U + r * row_pitch<T> + t, points - t);
    for (int i = 0; i < W; ++i) *S[r] += scale * sum[i];
  }
}

// gU[r][t] = Σ_o P[o, t] g[o][r] for all places of a filter and its partner
template <class T>
SCATCUDA_KERNEL void spread_chunk(const Spread<T>& a, const T* g, int64_t first, int64_t last,
                                  T* grad_u) {
  constexpr int W = full_lanes<T>;
  using V = Vector<T, W>;
  for (int64_t t = first; t < last; t += W) {
    int64_t low = a.outputs, high = -a.outputs;
    for (int64_t i = t; i < min(t + W, last); i += Spread<T>::block) {
      const int64_t* met = a.reach + i / Spread<T>::block * 2;
      if (met[0] < met[1]) low = min(low, met[0]), high = max(high, met[1]);
    }
    V sum[2 * most_places] = {};
    for (Band b(min(low, high), high, a.outputs); b.left(); b.go_round()) {
      for (int64_t o = b.first, end = b.end(); o < end; ++o) {
        const V taps = load_some(a.row(o) + t, last - t);
        const T* sent = g + o * 2 * most_places;
        SCATCUDA_UNROLL
        for (int r = 0; r < 2 * most_places; ++r) sum[r] += taps * sent[r];
      }
    }
    SCATCUDA_UNROLL
    for (int r = 0; r < 2 * most_places; ++r) store(grad_u + r * row_pitch<T> + t - first, sum[r]);
  }
}

// All groups of a program. The planes they gather lie in a signal's `stored`, part by part, each in
// whole vectors.
template <class T>
class GroupWalk {
  static constexpr int W = full_lanes<T>;

 public:
  GroupWalk(const Program& p, const Bank<T>& bank, Arena& arena) : p_(p), bank_(bank) {
    place_ = arena.take<int64_t>(p.step_count);
    families_ = arena.take<int>(p.step_count);
    sets_ = arena.take<AxisFilters<T>>(p.set_count);
    for (int i = 0; i < p.step_count; ++i) {
      const Step& s = p.steps[i];
      if (place_ != nullptr) place_[i] = numbers_;
      if (s.kind == Kind::wavelet && s.stored) numbers_ += s.planes * 2 * pitch(s);
      if (s.kind != Kind::group) continue;
      ++steps_;
      longest_ = max(longest_, s.length);
      outputs_ = max(outputs_, p.steps[s.average].outputs.last);
      bool known = false;
      for (int k = 0; k < i; ++k)
        known |= p.steps[k].kind == Kind::group && p.steps[k].set == s.set;
      if (known) continue;
      const AxisFilters<T> set(p.sets[s.set], bank, arena);
      if (sets_ != nullptr) sets_[s.set] = set;
    }
    if (families_ != nullptr) find_families();
  }

  int steps() const { return steps_; }
  // The first of the group steps that must take turns with this one: they add to the gradients of
  // the same planes, or of some that another one of them adds to
  int family_of(int index) const { return families_[index]; }
  int64_t numbers() const { return numbers_; }  // of the planes of a signal
  GroupRoom<T> room(bool backward, Arena& arena) const {
    GroupRoom<T> room;
    room.taps = Taps<T>(longest_, arena);
    room.U = arena.take<T>(2 * most_places * row_pitch<T>);
    room.outputs = backward ? arena.take<T>(2 * most_places * outputs_) : nullptr;
    return room;
  }
  // A plane of a wavelet step, its real part; the imaginary one lies behind
  T* plane(T* stored, int step, int64_t plane) const {
    return stored + place_[step] + plane * 2 * pitch(p_.steps[step]);
  }
  static int64_t pitch(const Step& s) { return (ceil_div(s.grid.last, W) | 1) * W; }

  // The averages of the index-th group step
  void forward(int index, T* stored, T* S, const GroupRoom<T>& room) const {
    const Step& s = step(index);
    const Step& average = p_.steps[s.average];
    for (int64_t plane = 0; plane < s.planes; ++plane) {
      std::fill_n(S + channel_of(average, &s, plane) * p_.unit, average.outputs.last, T(0));
    }
    const RowLowpass<T> a = matrix(average);
    for_blocks(s, stored, nullptr, room,
               [&](const Block& b, const Taps<T>& taps, int64_t first, int64_t last) {
                 b.partner < 0 ? convolve<false>(taps, first, last - first, room.U)
                               : convolve<true>(taps, first, last - first, room.U);
                 for (int side = 0; side < (b.partner < 0 ? 1 : 2); ++side) {
                   const T* U = room.U + side * most_places * row_pitch<T>;
                   T* to[most_places];
                   for (int64_t r = 0; r < b.count; ++r) {
                     const int64_t plane = b.plane(s, side == 0 ? b.filter : b.partner, r);
                     to[r] = S + channel_of(average, &s, plane) * p_.unit;
                   }
                   if (average.mean == Mean::mean) {
                     mean_chunk(U, last - first, T(1) / static_cast<T>(s.grid.last), to, b.count);
                   } else {
                     (last - first) % W == 0 ? average_chunk<true>(a, U, first, last, to, b.count)
                                             : average_chunk<false>(a, U, first, last, to, b.count);
                   }
                 }
               });
  }

  // Adds to the gradients of the planes that it gathers
  void backward(int index, T* stored, const T* gS, T* grad_stored, const Spread<T>* spreads,
                const GroupRoom<T>& room) const {
    const Step& s = step(index);
    const Step& average = p_.steps[s.average];
    const bool mean = average.mean == Mean::mean;
    const int64_t outputs = average.outputs.last;
    for_blocks(s, stored, grad_stored, room,
               [&](const Block& b, const Taps<T>& taps, int64_t first, int64_t last) {
                 std::fill_n(room.outputs, 2 * most_places * outputs, T(0));
                 for (int side = 0; side < (b.partner < 0 ? 1 : 2); ++side) {
                   for (int64_t r = 0; r < b.count; ++r) {
                     const int64_t plane = b.plane(s, side == 0 ? b.filter : b.partner, r);
                     const T* g = gS + channel_of(average, &s, plane) * p_.unit;
                     for (int64_t o = 0; o < outputs; ++o) {
                       room.outputs[(2 * o + side) * most_places + r] = g[o];
                     }
                   }
                 }
                 if (mean) {
                   for (int r = 0; r < 2 * most_places; ++r) {
                     std::fill_n(room.U + r * row_pitch<T>, round_up(last - first, W),
                                 room.outputs[r] / static_cast<T>(s.grid.last));
                   }
                 } else {
                   spread_chunk(spreads[average.matrix[2]], room.outputs, first, last, room.U);
                 }
                 b.partner < 0 ? convolve_adjoint<false>(taps, first, last - first, room.U)
                               : convolve_adjoint<true>(taps, first, last - first, room.U);
               });
  }

 private:
  struct Block {  // places first … first + count − 1 of a filter, and of its partner
    int64_t group, filter, partner, first, count;
    int64_t plane(const Step& s, int64_t filter_, int64_t r) const {
      const int64_t all = s.digit[2];
      return (group * s.digit[1] + filter_) * all + first + r;
    }
  };

  void find_families() const {
    for (int i = 0; i < steps_; ++i) families_[i] = i;
    for (bool more = true; more;) {
      more = false;
      for (int i = 0; i < steps_; ++i) {
        for (int k = 0; k < i; ++k) {
          if (families_[i] == families_[k] || !meet(step(i), step(k))) continue;
          families_[i] = families_[k] = std::min(families_[i], families_[k]);
          more = true;
        }
      }
    }
  }
  static bool meet(const Step& a, const Step& b) {
    const int* end = a.sources + a.source_count;
    return std::any_of(b.sources, b.sources + b.source_count,
                       [&](int source) { return std::find(a.sources, end, source) != end; });
  }
  const Step& step(int index) const {
    int i = 0;
    for (;; ++i) {
      if (p_.steps[i].kind == Kind::group && index-- == 0) return p_.steps[i];
    }
  }
  RowLowpass<T> matrix(const Step& average) const {
    if (average.matrix[2] < 0) return {};
    const Matrix& m = p_.matrices[average.matrix[2]];
    return {bank_.phi + m.first_row(), bank_.phi_support + 2 * m.row, m.outputs, m.inputs,
            m.stride()};
  }

  // f(block, first point, last + 1) for every block that anything reaches, with its taps
  template <class F>
  void for_blocks(const Step& s, T* stored, T* grad_stored, const GroupRoom<T>& room, F&& f) const {
    const AxisFilters<T>& set = sets_[s.set];
    const int64_t P = s.grid.last;
    Taps<T> taps = room.taps;
    for (int64_t first = 0; first < P; first += most_points) {
      for (int64_t g = 0; g < s.groups; ++g) {
        for (int64_t k = 0; k < set.count; ++k) {
          const int64_t partner = set.partner[k];
          if (partner >= 0 && partner < k) continue;
          for (int64_t i = 0; i < s.digit[2]; i += most_places) {
            const Block b{g, k, partner, i, min(int64_t{most_places}, s.digit[2] - i)};
            find_taps(s, set, b, stored, grad_stored, &taps);
            if (taps.count > 0) f(b, taps, first, min(first + most_points, P));
          }
        }
      }
    }
  }
  void find_taps(const Step& s, const AxisFilters<T>& set, const Block& b, T* stored,
                 T* grad_stored, Taps<T>* taps) const {
    const int64_t side = set.side, reach = set.reach[b.filter];
    const T *even = set.even + b.filter * side, *odd = set.odd + b.filter * side;
    int64_t count = 0;
    for (int64_t i = 0; i < s.length; ++i) {
      const int64_t entry = s.table[b.group * s.length + i];
      if (entry < 0) continue;
      T* factors = taps->factors + count * 2 * most_places;
      bool met = false;
      for (int64_t r = 0; r < most_places; ++r) {
        int64_t d = (b.first + min(r, b.count - 1)) * s.every - i;
        d = d < 0 ? d + side : d;
        factors[r] = even[d], factors[most_places + r] = odd[d];
        met |= min(d, side - d) <= reach;
      }
      if (!met) continue;
      int64_t plane = entry / 2;
      int k = 0;
      for (; plane >= p_.steps[s.sources[k]].planes; ++k) plane -= p_.steps[s.sources[k]].planes;
      const int source = s.sources[k];
      const int64_t apart = pitch(p_.steps[source]);
      taps->re[count] = this->plane(stored, source, plane);
      taps->im[count] = taps->re[count] + apart;
      if (grad_stored != nullptr) {
        taps->grad_re[count] = this->plane(grad_stored, source, plane);
        taps->grad_im[count] = taps->grad_re[count] + apart;
      }
      ++count;
    }
    taps->count = count;
  }

  const Program& p_;
  const Bank<T>& bank_;
  int64_t* place_;  // of the planes of each step, in a signal's
  int* families_;
  AxisFilters<T>* sets_;
  int steps_ = 0;
  int64_t numbers_ = 0, longest_ = 0, outputs_ = 1;
};

}  // namespace SCATCUDA_ISA
}  // namespace scatcuda
