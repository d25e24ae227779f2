// The second half of a wavelet transform, U = ρ(W): along each row of the last axis inverse DFT, ρ,
// the low-pass along the axis and, where another wavelet follows, forward DFT; and its adjoint.
// Twins: reference.modulus, reference.lowpass.
//
// Rows r = r1 · first + r0 of the middle and first axis, two vectors of them at a time: two real
// rows are transformed as one complex one.
#pragma once

#include "lowpass.h"
#include "mirror.h"

namespace scatcuda {
inline namespace SCATCUDA_ISA {

// What the rows of a step's planes become, one chunk of its filters
template <class T>
struct Rows {
  Grid grid;
  Plane<T> wavelet;       // W, tiled
  int64_t chunks, apart;  // a norm takes so many of them, so far from each other
  bool norm;
  const LineTransform<T>& across;
  const RowLowpass<T>& lowpass;
  const double* powers;  // in its place, so many of them
  int power_count;
  T scale;
  Plane<T> reduced;                // after the low-pass; null where it is not wanted
  Plane<T> u_hat;                  // [last/2 + 1, middle, first] after the DFT; null likewise
  Planes<T> gradient{};            // backward: what steps that gather send back to planes
  int64_t plane = 0, filters = 0;  // from `plane` on; null likewise
  bool kept = false;               // backward: what the inverse DFT makes of W is left in its place

  int64_t count() const { return grid.first * grid.middle; }
  T* row_of_reduced(int64_t r) const {
    return reduced.p == nullptr ? nullptr : reduced.p + min(r, count() - 1) * reduced.stride;
  }
  // `Slots` rows from r on, of which those beyond the last repeat it
  template <int Slots>
  SlotLines<T, Slots> source(int64_t r, int64_t chunk) const {
    constexpr int Q = full_lanes<T> / Slots;
    SlotLines<T, Slots> lines;
    lines.stride = tile_rows * 2 * Q;
    for (int i = 0; i < Slots; ++i) {
      const int64_t row = min(r + i, count() - 1), r1 = grid.middle == 1 ? 0 : row / grid.first;
      const int64_t r0 = row - r1 * grid.first;
      lines.p[i] = wavelet.p + chunk * apart + r0 / tile_rows * wavelet.stride +
                   r1 * middle_of_tiles<T>(grid, Q) + r0 % tile_rows * 2 * Q;
    }
    return lines;
  }
  template <int Slots>
  SlotLines<T, Slots> spectra(int64_t r) const {
    constexpr int Q = full_lanes<T> / Slots;
    SlotLines<T, Slots> lines;
    lines.stride = u_hat.stride;
    for (int i = 0; i < Slots; ++i) {
      const int64_t row = min(r + i, count() - 1), r1 = grid.middle == 1 ? 0 : row / grid.first;
      lines.p[i] = u_hat.p + r1 * middle_across<T>(grid, Q) + (row - r1 * grid.first) * 2 * Q;
    }
    return lines;
  }
};

// f(number of a line, number of planes) for every element of `Slots` rows from r on, of a line that
// has them side by side and of the planes from `plane` on; rows beyond the last repeat it
template <class T, int Slots, class F>
void for_stored(const Rows<T>& rows, int64_t r, int64_t filters, const Planes<T>& planes,
                int64_t plane, T* line, F&& f) {
  constexpr int W = full_lanes<T>, Q = W / Slots;
  for (int slot = 0; slot < Slots; ++slot) {
    const int64_t row = min(r + slot, rows.count() - 1);
    const int64_t r0 = row % rows.grid.first, r1 = row / rows.grid.first;
    for (int64_t lane = 0; lane < filters; ++lane) {
      for (int part = 0; part < planes.parts; ++part) {
        T* at = planes.of(plane + lane, part) + (r0 * rows.grid.middle + r1) * rows.grid.last;
        for (int64_t c = 0; c < rows.grid.last; ++c) {
          f(line[2 * W * c + part * W + slot * Q + lane], at[c]);
        }
      }
    }
  }
}

// Takes |z| into the real (or, from p + W on, the imaginary) parts of a contiguous line.
template <class T>
struct ModulusLine {
  static constexpr int W = full_lanes<T>;
  T* p;
  SCATCUDA_INLINE void store(int64_t k, const Complex<Vector<T, W>>& z) const {
    scatcuda::store(p + 2 * W * k, square_root(z.re * z.re + z.im * z.im));
  }
};

// The same, and leaves z where it came from.
template <class T, int Slots>
struct KeptLine {
  SlotLines<T, Slots> place;
  ModulusLine<T> modulus;
  SCATCUDA_INLINE void store(int64_t k, const Complex<Vector<T, full_lanes<T>>>& z) const {
    place.store(k, z), modulus.store(k, z);
  }
};

// Adds |z|² to the real (or imaginary) parts of a line.
template <class T>
struct EnergyLine {
  static constexpr int W = full_lanes<T>;
  T* p;
  SCATCUDA_INLINE void store(int64_t k, const Complex<Vector<T, W>>& z) const {
    scatcuda::store(p + 2 * W * k, load<W>(p + 2 * W * k) + (z.re * z.re + z.im * z.im));
  }
};

// Lane i of the result is lane i ^ Step
template <int Step, class V, size_t... I>
SCATCUDA_INLINE V exchanged(V v, std::index_sequence<I...>) {
  return __builtin_shufflevector(v, v, (I ^ Step)...);
}

// In every lane the sum over the Q lanes of its slot
template <int Q, class V>
SCATCUDA_INLINE V slot_sums(V v) {
  constexpr size_t W = sizeof(V) / sizeof(v[0]);
  if constexpr (Q > 1) {
    v += exchanged<Q / 2>(v, std::make_index_sequence<W>{});
    return slot_sums<Q / 2>(v);
  }
  return v;
}

// √Σ |z|² over the lanes of every slot and the chunks, in all lanes of the slot
template <class T, int Slots>
SCATCUDA_KERNEL void norm_row(const Rows<T>& rows, int64_t r, T* target,
                              const ThreadBuffers<T>& own) {
  constexpr int W = full_lanes<T>, Q = W / Slots;
  for (int64_t c = 0; c < rows.grid.last; ++c) store(target + 2 * W * c, Vector<T, W>{});
  for (int64_t chunk = 0; chunk < rows.chunks; ++chunk) {
    transform_line<1>(rows.across, rows.template source<Slots>(r, chunk), EnergyLine<T>{target},
                      own.work, own.spare);
  }
  for (int64_t c = 0; c < rows.grid.last; ++c) {
    store(target + 2 * W * c, square_root(slot_sums<Q>(load<W>(target + 2 * W * c))));
  }
}

// Pairs of `Slots` rows, from the pair `first` on
template <class T, int Slots>
void wavelet_rows(const Rows<T>& rows, int64_t first, int64_t last, const ThreadBuffers<T>& own) {
  constexpr int W = full_lanes<T>;
  using V = Vector<T, W>;
  const Line<T> line{own.line};
  const LineTransform<T>& across = rows.across;
  for (int64_t group = first; group < last; ++group) {
    const int64_t start = 2 * group * Slots;
    T* target[2][Slots];
    const int halves = start + Slots < rows.count() ? 2 : 1;
    // the second half first: where it repeats the last row, that is still what it was
    for (int half = 1; half >= 0; --half) {
      const int64_t r = start + half * Slots;
      for (int i = 0; i < Slots; ++i) {
        target[half][i] = rows.row_of_reduced(r + i);
      }
      // a half beyond the last row repeats it, and only where its spectrum shares the transform
      if (half >= halves && rows.u_hat.p == nullptr) continue;
      SCATCUDA_STAGE(rows);
      T* u = own.line + half * W;
      const auto source = rows.template source<Slots>(r, 0);
      if (rows.norm) {
        norm_row<T, Slots>(rows, r, u, own);
      } else if (rows.kept && r < rows.count()) {
        transform_line<1>(across, source, KeptLine<T, Slots>{source, {u}}, own.work, own.spare);
      } else {
        transform_line<1>(across, source, ModulusLine<T>{u}, own.work, own.spare);
      }
    }
    if (rows.reduced.p != nullptr && rows.powers == nullptr) {
      SCATCUDA_STAGE(lowpass_rows);
      const auto along = halves == 2 ? lowpass_rows<2, T, Slots> : lowpass_rows<1, T, Slots>;
      along(rows.lowpass, own.line, target);
    } else if (rows.reduced.p != nullptr) {
      const auto along = halves == 2 ? power_rows<2, T, Slots> : power_rows<1, T, Slots>;
      along(rows.powers, rows.power_count, rows.scale, own.line, across.n, target);
    }
    if (rows.u_hat.p == nullptr) continue;
    SCATCUDA_STAGE(rows_forward);
    transform_line<-1>(across, line, line, own.work, own.spare);
    const SlotLines<T, Slots> spectra[] = {rows.template spectra<Slots>(start),
                                           rows.template spectra<Slots>(start + Slots)};
    for (int64_t k = 0; k <= across.n / 2; ++k) {
      Complex<V> a, b;
      part_reals(line.load(k), line.load(k > 0 ? across.n - k : 0), a, b);
      spectra[0].store(k, a);
      spectra[1].store(k, b);
    }
  }
}

// --- the adjoint ---

// Of every slot its first lane, in all of them: a norm is one plane
template <int Slots, class V>
SCATCUDA_INLINE V heads(V v) {
  constexpr int W = static_cast<int>(sizeof(V) / sizeof(v[0])), Q = W / Slots;
  for (int i = 0; i < W; ++i) v[i] = v[i / Q * Q];
  return v;
}

// z[c + i] ← z[c + i] gU / U, 0 where U is, with gU = start[c + i] + Σ_o Q[o, c + i] g[o]. U is
// |z|, or the `norm` of the set.
template <bool Start, bool Norm, int Block, class T, int Slots>
SCATCUDA_INLINE void turn_block(const Spread<T>& a, int64_t c, T* const (&g)[Slots], const T* start,
                                const T* norm, const Line<T>& z) {
  constexpr int W = full_lanes<T>, Q = W / Slots;
  using V = Vector<T, W>;
  V sum[Block] = {};
  if constexpr (Start) {
    SCATCUDA_UNROLL
    for (int i = 0; i < Block; ++i) sum[i] = load<W>(start + 2 * W * (c + i));
  }
  for (Band b = a.reached(c); b.left(); b.go_round()) {
    for (int64_t o = b.first, end = b.end(); o < end; ++o) {
      const T* row = a.row(o) + c;
      const V v = load_slots<W, Slots>(g, o * Q);
      SCATCUDA_UNROLL
      for (int i = 0; i < Block; ++i) sum[i] += row[i] * v;
    }
  }
  SCATCUDA_UNROLL
  for (int i = 0; i < Block; ++i) {
    const Complex<V> w = z.load(c + i);
    if constexpr (Norm) {
      const V u = load<W>(norm + 2 * W * (c + i));
      const V turn = u == T(0) ? V{} : heads<Slots>(sum[i]) / u;
      z.store(c + i, {w.re * turn, w.im * turn});
    } else {
      const V square = w.re * w.re + w.im * w.im;
      const V turn = square == T(0) ? V{} : sum[i] / square_root(square);
      z.store(c + i, {w.re * turn, w.im * turn});
    }
  }
}

template <bool Start, bool Norm, class T, int Slots>
SCATCUDA_KERNEL void turn_row(const Spread<T>& a, T* const (&g)[Slots], const T* start,
                              const T* norm, const Line<T>& z) {
  int64_t c = 0;
  for (; c + a.block <= a.inputs; c += a.block) {
    turn_block<Start, Norm, Spread<T>::block>(a, c, g, start, norm, z);
  }
  for (; c < a.inputs; ++c) turn_block<Start, Norm, 1>(a, c, g, start, norm, z);
}

// The same for sums of powers: gU = start[c] + scale Σ_q g[q] q U^{q−1}
template <class T, int Slots>
SCATCUDA_KERNEL void turn_row_powers(const Rows<T>& rows, T* const (&g)[Slots], const T* start,
                                     const T* norm, const Line<T>& z) {
  constexpr int W = full_lanes<T>, Q = W / Slots;
  using V = Vector<T, W>;
  for (int64_t c = 0; c < rows.grid.last; ++c) {
    const Complex<V> w = z.load(c);
    const V u =
        norm != nullptr ? load<W>(norm + 2 * W * c) : square_root(V(w.re * w.re + w.im * w.im));
    V sum{};
    if (start != nullptr) sum = load<W>(start + 2 * W * c);
    for (int i = 0; i < rows.power_count; ++i) {
      const double q = rows.powers[i];
      const V v = load_slots<W, Slots>(g, i * Q) * (rows.scale * static_cast<T>(q));
      with_power<T>(q - 1, [&](auto power) SCATCUDA_LAMBDA { sum += v * power(u); });
    }
    if (norm != nullptr) sum = heads<Slots>(sum);
    const V turn = u == T(0) ? V{} : sum / u;
    z.store(c, {w.re * turn, w.im * turn});
  }
}

template <class T, int Slots>
void turn(const Rows<T>& rows, const Spread<T>& spread, T* const (&g)[Slots], const T* start,
          const T* norm, const Line<T>& z) {
  if (rows.powers != nullptr) {
    turn_row_powers(rows, g, start, norm, z);
  } else if (norm != nullptr) {
    (start != nullptr ? turn_row<true, true, T, Slots>
                      : turn_row<false, true, T, Slots>)(spread, g, start, norm, z);
  } else {
    (start != nullptr ? turn_row<true, false, T, Slots>
                      : turn_row<false, false, T, Slots>)(spread, g, start, norm, z);
  }
}

// gQ[o, c] += Σ_rows Σ_lanes g[o] U[c] inside the bands: rows of U, which is |z| or the norm that
// is there, are kept until there are some, and their sums are taken over the lanes at once.
template <class T, int Slots>
class LowpassGradient {
 public:
  static constexpr int W = full_lanes<T>, Q = W / Slots;
  using V = Vector<T, W>;
  using Room = ModulusRows<T>;

  LowpassGradient(const RowLowpass<T>& a, T* kept, T* grad) : a_(a), kept_(kept), grad_(grad) {}

  // Of the next row, of which `rows` of the slots are one, |z| to `modulus` or the norm that is
  // there; its low-pass goes to `target`.
  SCATCUDA_KERNEL void take(const Line<T>& z, bool norm, T* const (&g)[Slots], int64_t rows,
                            T* modulus, T* const (&target)[Slots]) {
    const ModulusLine<T> u{modulus};
    for (int64_t c = 0; c < a_.inputs && !norm; ++c) u.store(c, z.load(c));
    lowpass_rows<1>(a_, modulus, &target);
    T* to = kept_ + count_ * Room::apart(a_.inputs);
    for (int64_t c = 0; c < a_.inputs; ++c) store(to + c * W, load<W>(modulus + 2 * c * W));
    for (int64_t c = a_.inputs; c < a_.inputs + W; ++c) store(to + c * W, V{});
    for (int i = 0; i < Slots; ++i) g_[count_][i] = g[i];
    for (int i = 0; i < W; ++i) real_[count_][i] = i / Q < rows ? T(1) : T(0);
    if (++count_ == Room::count(a_.inputs)) finish();
  }

  SCATCUDA_KERNEL void finish() {
    for (int64_t o = 0; o < a_.outputs && count_ > 0; ++o) {
      V v[Room::most];
      for (int64_t r = 0; r < count_; ++r) v[r] = load_slots<W, Slots>(g_[r], o * Q) * real_[r];
      for (Band b = a_.span(o); b.left(); b.go_round()) {
        for (int64_t c = b.first, end = b.end(); c < end; c += W) {
          V products[W] = {};
          const T* u = kept_ + c * W;
          for (int64_t r = 0; r < count_; ++r, u += Room::apart(a_.inputs)) {
            SCATCUDA_UNROLL
            for (int i = 0; i < W; ++i) products[i] += v[r] * load<W>(u + i * W);
          }
          const V sums = lane_sums<W>(products);
          T* to = grad_ + o * a_.stride + c;
          for (int64_t i = 0; i < end - c && end - c < W; ++i) to[i] += sums[i];
          if (end - c >= W) store(to, load<W>(to) + sums);
        }
      }
    }
    count_ = 0;
  }

 private:
  const RowLowpass<T>& a_;
  int64_t count_ = 0;
  T *const kept_, *const grad_;
  T* g_[Room::most][Slots];
  V real_[Room::most];
};

// W ← DFT along its rows of (W gU / U). `reduced` holds what the average sends back, `u_hat`
// columns 0 … last/2 of what the next wavelets do, after the inverse DFT of the other axes; null
// where there is none. Where `filters` are wanted too, they are told of every row of W before it is
// turned.
template <class T, int Slots, class Filters>
void wavelet_rows_adjoint(const Rows<T>& rows, const Spread<T>& spread, int64_t first, int64_t last,
                          const ThreadBuffers<T>& own, const Filters& filters) {
  constexpr int W = full_lanes<T>;
  using V = Vector<T, W>;
  const Line<T> line{own.line}, start{own.start};
  const LineTransform<T>& across = rows.across;
  for (int64_t group = first; group < last; ++group) {
    const bool further = rows.u_hat.p != nullptr;
    if (further) {
      SCATCUDA_STAGE(rows_inverse);
      // two rows of spectra of real rows, A and B, as the one of a + i b
      const auto a_rows = rows.template spectra<Slots>(2 * group * Slots);
      const auto b_rows = rows.template spectra<Slots>((2 * group + 1) * Slots);
      for (int64_t k = 0; k <= across.n / 2; ++k) {
        const Complex<V> a = a_rows.load(k), b = b_rows.load(k);
        if (k > 0) line.store(across.n - k, {a.re + b.im, b.re - a.im});
        line.store(k, {a.re - b.im, a.im + b.re});
      }
      transform_line<1>(across, line, start, own.work, own.spare);
    }
    for (int half = 0; half < 2 && (2 * group + half) * Slots < rows.count(); ++half) {
      const int64_t r = (2 * group + half) * Slots;
      T* g[Slots];
      for (int i = 0; i < Slots; ++i) {
        g[i] = rows.row_of_reduced(r + i);
      }
      T* back = own.start + half * W;
      if (rows.gradient.p != nullptr) {
        for (int64_t c = 0; !further && c < across.n; ++c) store(back + 2 * W * c, V{});
        for_stored<T, Slots>(rows, r, rows.filters, rows.gradient, rows.plane, back,
                             [](T& to, T& from) { to += from; });
      }
      const bool more = further || rows.gradient.p != nullptr;
      if (rows.norm) norm_row<T, Slots>(rows, r, own.norm, own);
      for (int64_t chunk = 0; chunk < rows.chunks; ++chunk) {
        const auto plane = rows.template source<Slots>(r, chunk);
        {
          SCATCUDA_STAGE(rows);
          if (rows.kept) {
            for (int64_t c = 0; c < across.n; ++c) line.store(c, plane.load(c));
          } else {
            transform_line<1>(across, plane, line, own.work, own.spare);
          }
        }
        if (chunk == 0) filters(r, g);
        {
          SCATCUDA_STAGE(turn);
          turn(rows, spread, g, more ? back : nullptr, rows.norm ? own.norm : nullptr, line);
        }
        SCATCUDA_STAGE(rows_adjoint);
        transform_line<-1>(across, line, plane, own.work, own.spare);
      }
    }
  }
}

}  // namespace SCATCUDA_ISA
}  // namespace scatcuda
