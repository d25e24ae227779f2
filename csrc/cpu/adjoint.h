// The adjoints of wavelet.h's and lowpass.h's stages, in the order in which a gradient meets them:
//
//   spread_columns     Pᵀ g, the low-pass the other way: down the columns
//   gradient_rows      along each row of W after its columns' inverse DFT: inverse DFT, times
//                      gU / |W|, where gU = (Pᵀ g) Q plus what the next order sends back, DFT
//   gradient_columns   DFT down the columns, then unfold: every frequency of the spectrum that W
//                      came from takes the sum over the angles of ψ̂ times its alias
//   hermitian_part     of a spectrum's gradient, what a real image feels
//
// Planes are overwritten where they lie. Every number is summed in an order that does not depend on
// the threads.
#pragma once

#include "wavelet.h"

namespace scatcuda {
inline namespace SCATCUDA_ISA {

// A RowLowpass the other way: inputs 4 b … 4 b + 3 are met by the outputs reach[2 b] … reach[2 b +
// 1] modulo `outputs`.
template <class T>
struct Spread {
  static constexpr int block = 4;
  const T* matrix = nullptr;  // [outputs, inputs]
  const int64_t* reach = nullptr;
  int64_t outputs = 0, inputs = 0;

  Spread() = default;
  Spread(const RowLowpass<T>& a, Arena& arena, int64_t size)
      : matrix(a.matrix), outputs(a.outputs), inputs(size) {
    const int64_t blocks = ceil_div(inputs, block);
    auto* met = arena.take<int64_t>(2 * blocks);
    reach = met;
    for (int64_t b = 0; met != nullptr && b < blocks; ++b) {
      // as if outputs and inputs went on beyond the edges: −1 lap is what lies before them
      int64_t low = outputs, high = -outputs;
      for (int64_t lap = -1; lap <= 1; ++lap) {
        for (int64_t o = 0; o < outputs; ++o) {
          const int64_t first = b * block + lap * inputs,
                        last = min(b * block + block, inputs) + lap * inputs;
          if (a.band[2 * o] >= last || a.band[2 * o + 1] <= first) continue;
          low = min(low, o - lap * outputs), high = max(high, o - lap * outputs + 1);
        }
      }
      met[2 * b] = min(low, high), met[2 * b + 1] = high;
    }
  }
  Band reached(int64_t input) const {
    const int64_t* met = reach + input / block * 2;
    return {met[0], met[1], outputs};
  }
};

// gS [angles, m, n] -> tile [m, n · Q] with the angles side by side; 0 in the lanes without one
template <int Q, class T>
void gather_angles(const T* gS, int64_t angles, int64_t m, int64_t n, int64_t stride, T* tile) {
  for (int64_t o = 0; o < m; ++o) {
    for (int64_t i = 0; i < stride; ++i) tile[o * stride + i] = 0;
    for (int64_t a = 0; a < angles; ++a) {
      const T* from = gS + (a * m + o) * n;
      for (int64_t i = 0; i < n; ++i) tile[o * stride + i * Q + a] = from[i];
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
      const T* row = a.matrix + o * a.inputs + r;
      unroll<Vectors>([&](auto v) SCATCUDA_LAMBDA {
        const Vector<T, W> g = load<W>(in + o * in_stride + v * W);
        unroll<Block>([&](auto i) SCATCUDA_LAMBDA { sum[i][v] += row[i] * g; });
      });
    }
  }
  unroll<Block>([&](auto i) SCATCUDA_LAMBDA {
    unroll<Vectors>([&](auto v) SCATCUDA_LAMBDA {
      T* to = out + (r + i) * out_stride + v * W;
      store(to, Add ? load<W>(to) + sum[i][v] : sum[i][v]);
    });
  });
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

// z[c + i] ← z[c + i] gU / |z[c + i]|, 0 where z is, with gU = start[c + i] + Σ_o Q[o, c + i] g[o]
template <bool Start, int Block, class T, int Slots>
SCATCUDA_INLINE void turn_block(const Spread<T>& a, int64_t c, T* const (&g)[Slots], const T* start,
                                const Line<T>& z) {
  constexpr int W = full_lanes<T>, Q = W / Slots;
  using V = Vector<T, W>;
  V sum[Block] = {};
  if constexpr (Start) {
    unroll<Block>([&](auto i) SCATCUDA_LAMBDA { sum[i] = load<W>(start + 2 * W * (c + i)); });
  }
  for (Band b = a.reached(c); b.left(); b.go_round()) {
    for (int64_t o = b.first, end = b.end(); o < end; ++o) {
      const T* row = a.matrix + o * a.inputs + c;
      const V v = load_slots<W, Slots>(g, o * Q);
      unroll<Block>([&](auto i) SCATCUDA_LAMBDA { sum[i] += row[i] * v; });
    }
  }
  unroll<Block>([&](auto i) SCATCUDA_LAMBDA {
    const Complex<V> w = z.load(c + i);
    const V square = w.re * w.re + w.im * w.im;
    const V turn = square == T(0) ? V{} : sum[i] / square_root(square);
    z.store(c + i, {w.re * turn, w.im * turn});
  });
}

template <bool Start, class T, int Slots>
SCATCUDA_KERNEL void turn_row(const Spread<T>& a, T* const (&g)[Slots], const T* start,
                              const Line<T>& z) {
  int64_t c = 0;
  for (; c + a.block <= a.inputs; c += a.block) {
    turn_block<Start, Spread<T>::block>(a, c, g, start, z);
  }
  for (; c < a.inputs; ++c) turn_block<Start, 1>(a, c, g, start, z);
}

// `u_hat`: columns 0 … columns/2 of the gradient of the rows' spectra after their columns' inverse
// DFT, from the next order; null where there is none.
// Where `filters` are wanted too, they are told of every row of W before it is turned.
template <class T, int Slots, class Filters>
void gradient_rows(const Plane<T>& wavelet, int64_t rows, const LineTransform<T>& across,
                   const Spread<T>& spread, const Plane<T>& reduced, const Plane<T>& u_hat,
                   int64_t first, int64_t last, const ThreadBuffers<T, Slots>& own,
                   const Filters& filters) {
  constexpr int W = full_lanes<T>, Q = W / Slots;
  using V = Vector<T, W>;
  const Line<T> line{own.line}, start{own.start};
  for (int64_t group = first; group < last; ++group) {
    SlotLines<T, Slots> plane[2], spectra[2];
    T* g[2][Slots];
    for (int half = 0; half < 2; ++half) {
      plane[half].stride = tile_rows * 2 * Q;
      spectra[half].stride = u_hat.stride;
      for (int i = 0; i < Slots; ++i) {
        const int64_t r = min((2 * group + half) * Slots + i, rows - 1);
        plane[half].p[i] = wavelet.p + r / tile_rows * wavelet.stride + r % tile_rows * 2 * Q;
        g[half][i] = reduced.p + r * reduced.stride;
        if (u_hat.p != nullptr) spectra[half].p[i] = u_hat.p + r * 2 * Q;
      }
    }
    if (u_hat.p != nullptr) {
      // two rows of spectra of real rows, A and B, as the one of a + i b
      for (int64_t k = 0; k <= across.n / 2; ++k) {
        const Complex<V> a = spectra[0].load(k), b = spectra[1].load(k);
        if (k > 0) line.store(across.n - k, {a.re + b.im, b.re - a.im});
        line.store(k, {a.re - b.im, a.im + b.re});
      }
      transform_line<1>(across, line, start, own.work, own.spare);
    }
    for (int half = 0; half < 2 && (2 * group + half) * Slots < rows; ++half) {
      transform_line<1>(across, plane[half], line, own.work, own.spare);
      filters((2 * group + half) * Slots, g[half]);
      if (u_hat.p != nullptr) {
        turn_row<true>(spread, g[half], own.start + half * W, line);
      } else {
        turn_row<false>(spread, g[half], own.start, line);
      }
      transform_line<-1>(across, line, plane[half], own.work, own.spare);
    }
  }
}

// Sums of each row's lanes: sums[i] = Σ_lane rows[i][lane]. Halves of two rows are added and set
// side by side until one vector is left.
template <int Lanes, class V, int Half = Lanes / 2>
SCATCUDA_INLINE V lane_sums(V* rows) {
  unroll<Half>([&](auto i) SCATCUDA_LAMBDA {
    exchange<Lanes, Half>(rows[i], rows[i + Half], std::make_index_sequence<Lanes>{});
    rows[i] += rows[i + Half];
  });
  if constexpr (Half > 1) {
    return lane_sums<Lanes, V, Half / 2>(rows);
  } else {
    return rows[0];
  }
}

// out[i] += Σ_lane slot[i] ψ̂[i] for the first `count` of Q rows, real and imaginary parts
template <int Q, class T>
SCATCUDA_INLINE void unfold_rows(const T* slot, const T* psi, int64_t lanes, int64_t count, T* out,
                                 int64_t part) {
  constexpr int W = full_lanes<T>;
  using H = Vector<T, Q>;
  H sums[2];
  for (int p = 0; p < 2; ++p) {
    H rows[Q];
    unroll<Q>([&](auto i) SCATCUDA_LAMBDA {
      rows[i] = i < count ? load<Q>(slot + 2 * W * i + p * W) * load<Q>(psi + i * lanes) : H{};
    });
    sums[p] = lane_sums<Q>(rows);
  }
  for (int p = 0; p < 2; ++p, out += part) {
    if (count >= Q) {
      store(out, load<Q>(out) + sums[p]);
    } else {
      for (int64_t i = 0; i < count; ++i) out[i] += sums[p][i];
    }
  }
}

// f(k1, k2, row, count, entry) for every run of frequencies (k1 …, k2) of the box that folds onto
// rows row … row + count − 1 of column c; `entry` is its first one in the table
template <class T, class F>
SCATCUDA_INLINE void for_runs(const Wavelets<T>& box, int64_t rows, int64_t columns, int64_t k,
                              int64_t c, F&& f) {
  const int64_t folded = rows / k, height = rows - box.tail + box.head;
  const int64_t ends[2][2] = {{0, box.head}, {box.tail, rows}};
  for (int64_t k2 = c; k2 < columns; k2 += columns / k) {
    if (k2 >= box.left && k2 < box.right) continue;
    int64_t entry = (k2 < box.left ? k2 : k2 - box.right + box.left) * height;
    for (const auto& [begin, end] : ends) {
      for (int64_t k1 = begin, count; k1 < end; k1 += count, entry += count) {
        count = min(end - k1, folded - k1 % folded);
        f(k1, k2, k1 % folded, count, entry);
      }
    }
  }
}

template <int Q, class T>
SCATCUDA_KERNEL void unfold_column(const T* slot, const Wavelets<T>& box, int64_t k, int64_t c,
                                   const Spectrum<T>& out) {
  constexpr int W = full_lanes<T>;
  for_runs(box, out.rows, out.columns, k, c,
           [&](int64_t k1, int64_t k2, int64_t row, int64_t count, int64_t entry) SCATCUDA_LAMBDA {
             const T* psi = box.psi + entry * box.lanes;
             T* to = out.p + k2 * out.column + k1;
             int64_t i = 0;
             for (; i + Q <= count; i += Q) {
               unfold_rows<Q>(slot + 2 * W * (row + i), psi + i * box.lanes, box.lanes, Q, to + i,
                              out.im);
             }
             if (i < count) {
               unfold_rows<Q>(slot + 2 * W * (row + i), psi + i * box.lanes, box.lanes, count - i,
                              to + i, out.im);
             }
           });
}

// gψ̂(k) += Re(conj spectrum(k) · slot(alias of k)), the angles apart
template <int Q, class T>
SCATCUDA_KERNEL void filter_column(const T* slot, const Spectrum<T>& spectrum,
                                   const Wavelets<T>& box, T* grad, int64_t k, int64_t c) {
  constexpr int W = full_lanes<T>;
  for_runs(box, spectrum.rows, spectrum.columns, k, c,
           [&](int64_t k1, int64_t k2, int64_t row, int64_t count, int64_t entry) SCATCUDA_LAMBDA {
             const bool mirrored = k2 > spectrum.columns / 2;
             const int64_t step = mirrored ? -1 : 1;
             const T* s = spectrum.p + (mirrored ? spectrum.columns - k2 : k2) * spectrum.column +
                          (mirrored ? spectrum.rows - k1 : k1);
             for (int64_t i = 0; i < count; ++i) {
               const T* z = slot + 2 * W * (row + i);
               T* to = grad + (entry + i) * box.lanes;
               const T re = s[i * step], im = static_cast<T>(step) * s[i * step + spectrum.im];
               store(to, load<Q>(to) + (re * load<Q>(z) + im * load<Q>(z + W)));
             }
           });
}

// `out`, the gradient of the spectrum, takes its part; so does `grad_psi`, the table's gradient.
// Each may be null.
template <class T, int Slots>
void gradient_columns(const Plane<T>& wavelet, const Wavelets<T>& wavelets, int64_t k,
                      const LineTransform<T>& down, const Spectrum<T>& out,
                      const Spectrum<T>& spectrum, T* grad_psi, int64_t first, int64_t last,
                      const ThreadBuffers<T, Slots>& own) {
  constexpr int Q = full_lanes<T> / Slots;
  const int64_t columns = spectrum.columns / k;
  for (int64_t group = first; group < last; ++group) {
    TiledColumns<T, Slots> source;
    source.stride = wavelet.stride;
    for (int i = 0; i < Slots; ++i) {
      source.p[i] = wavelet.p + min(group * Slots + i, columns - 1) * tile_rows * 2 * Q;
    }
    transform_line<-1>(down, source, Line<T>{own.line}, own.work, own.spare);
    for (int i = 0; i < Slots && group * Slots + i < columns; ++i) {
      const int64_t c = group * Slots + i;
      if (out.p != nullptr) unfold_column<Q>(own.line + i * Q, wavelets, k, c, out);
      if (grad_psi != nullptr)
        filter_column<Q>(own.line + i * Q, spectrum, wavelets, grad_psi, k, c);
    }
  }
}

// h = (g + conj g(−·)) / 2 in rows 0 … rows − 1 of columns 0 … columns − 1
template <class T>
void hermitian_part(const Spectrum<T>& g, const Spectrum<T>& h, int64_t rows, int64_t columns) {
  for (int64_t k2 = 0; k2 < columns; ++k2) {
    const T* a = g.p + k2 * g.column;
    const T* b = g.p + (k2 > 0 ? g.columns - k2 : 0) * g.column;
    T* to = h.p + k2 * h.column;
    for (int64_t part = 0; part < 2; ++part, a += g.im, b += g.im, to += h.im) {
      const T sign = part == 0 ? T(0.5) : T(-0.5);
      to[0] = T(0.5) * a[0] + sign * b[0];
      for (int64_t k1 = 1; k1 < rows; ++k1) to[k1] = T(0.5) * a[k1] + sign * b[g.rows - k1];
    }
  }
}

// gQ[o, c] += Σ_lanes g[o] |z[c]| inside the bands, over the first `rows` of the slots; |z| goes
// through `modulus`, a line's room, and its low-pass to `target`.
template <class T, int Slots>
SCATCUDA_KERNEL void lowpass_gradient_row(const RowLowpass<T>& a, const Line<T>& z,
                                          T* const (&g)[Slots], int64_t rows, T* modulus,
                                          T* const (&target)[Slots], T* grad) {
  constexpr int W = full_lanes<T>, Q = W / Slots;
  using V = Vector<T, W>;
  const ModulusLine<T> u{modulus};
  for (int64_t c = 0; c < a.inputs; ++c) u.store(c, z.load(c));
  for (int64_t c = a.inputs; c < a.inputs + W; ++c) u.store(c, Complex<V>{});
  lowpass_rows<1>(a, modulus, &target);
  V kept{};
  for (int i = 0; i < W; ++i) kept[i] = i / Q < rows ? T(1) : T(0);
  for (int64_t o = 0; o < a.outputs; ++o) {
    const V v = load_slots<W, Slots>(g, o * Q) * kept;
    for (Band b = a.span(o); b.left(); b.go_round()) {
      for (int64_t c = b.first, end = b.end(); c < end; c += W) {
        V products[W];
        unroll<W>([&](auto i)
                      SCATCUDA_LAMBDA { products[i] = v * load<W>(modulus + 2 * W * (c + i)); });
        const V sums = lane_sums<W>(products);
        const int64_t count = min(W, end - c);
        for (int64_t i = 0; i < count; ++i) grad[o * a.inputs + c + i] += sums[i];
      }
    }
  }
}

// gP[o, r] += Σ_c g[o, c] u[r, c] inside the bands
template <class T>
SCATCUDA_KERNEL void lowpass_gradient_columns(const RowLowpass<T>& a, const T* g, int64_t g_stride,
                                              const T* u, int64_t u_stride, int64_t width,
                                              T* grad) {
  for (int64_t o = 0; o < a.outputs; ++o) {
    for (Band b = a.span(o); b.left(); b.go_round()) {
      for (int64_t r = b.first, end = b.end(); r < end; ++r) {
        grad[o * a.inputs + r] += dot(g + o * g_stride, u + r * u_stride, width);
      }
    }
  }
}

// The adjoint of spectrum_columns: the angles' spectra side by side, inverse DFT down the columns.
template <class T, int Slots>
void spectrum_columns_adjoint(const Spectrum<T>& spectra, int64_t columns,
                              const LineTransform<T>& down, int64_t angle, const T* first_spectrum,
                              const Plane<T>& u_hat, int64_t first, int64_t last,
                              const ThreadBuffers<T, Slots>& own) {
  constexpr int W = full_lanes<T>, Q = W / Slots;
  using V = Vector<T, W>;
  for (int64_t group = first; group < last; ++group) {
    SlotLines<T, Slots> target;
    target.stride = 2 * Q;
    const T* source[W];
    for (int i = 0; i < W; ++i) {
      const int64_t c = min(group * Slots + i / Q, columns - 1);
      if (i % Q == 0) target.p[i / Q] = u_hat.p + c * u_hat.stride;
      source[i] = first_spectrum + i % Q * angle + c * spectra.column;
    }
    for (int64_t k = 0; k < down.n; k += W) {
      for (int part = 0; part < 2; ++part) {
        V rows[W];
        unroll<W>([&](auto i)
                      SCATCUDA_LAMBDA { rows[i] = load<W>(source[i] + part * spectra.im + k); });
        transpose<W>(rows);
        unroll<W>([&](auto i)
                      SCATCUDA_LAMBDA { store(own.line + 2 * W * (k + i) + part * W, rows[i]); });
      }
    }
    transform_line<1>(down, Line<T>{own.line}, target, own.work, own.spare);
  }
}

// The adjoint of image_spectrum: rows 0 … Mp/2 of image.spectrum -> padded [Mp, width]
template <class T, int Slots>
void image_spectrum_adjoint(const Schedule& s, const LineTransform<T>& down,
                            const LineTransform<T>& across, const ImageBuffers<T, Slots>& image,
                            const ThreadBuffers<T, Slots>& own) {
  constexpr int W = full_lanes<T>;
  using V = Vector<T, W>;
  const Line<T> line{own.line};
  const int64_t width = image.width, kept = s.Mp / 2 + 1;
  for (int64_t r = 0; r < kept; r += W) {
    for (int64_t k = 0; k < s.Np; ++k) {
      const T* p = image.spectrum + k * 2 * image.spec_rows + r;
      line.store(k, {load<W>(p), load<W>(p + image.spec_rows)});
    }
    transform_line<1>(across, line, line, own.work, own.spare);
    for (int64_t c = s.Np; c < width; ++c) line.store(c, Complex<V>{});
    for (int64_t c = 0; c < width; c += W) {
      for (int part = 0; part < 2; ++part) {
        V rows[W];
        unroll<W>([&](auto i) SCATCUDA_LAMBDA {
          rows[i] = load<W>(own.line + 2 * W * (c + i) + part * W);
        });
        transpose<W>(rows);
        unroll<W>([&](auto i) SCATCUDA_LAMBDA {
          store(image.half + (2 * (r + i) + part) * width + c, rows[i]);
        });
      }
    }
  }
  for (int64_t c = 0; c < width; c += 2 * W) {
    for (int64_t k = 0; k < kept; ++k) {
      const T* p = image.half + k * 2 * width + c;
      const Complex<V> a{load<W>(p), load<W>(p + width)};
      const Complex<V> b{load<W>(p + W), load<W>(p + width + W)};
      if (k > 0) line.store(s.Mp - k, {a.re + b.im, b.re - a.im});
      line.store(k, {a.re - b.im, a.im + b.re});
    }
    transform_line<1>(down, line, line, own.work, own.spare);
    for (int64_t r = 0; r < s.Mp; ++r) {
      const Complex<V> z = line.load(r);
      T* p = image.padded + r * width + c;
      store(p, z.re), store(p + W, z.im);
    }
  }
}

// The adjoint of pad: every pixel takes the places that show it.
template <class T>
void pad_adjoint(const Schedule& s, const T* padded, int64_t width, T* x) {
  const int64_t top = (s.Mp - s.M) / 2, left = (s.Np - s.N) / 2;
  for (int64_t i = 0; i < s.M * s.N; ++i) x[i] = 0;
  for (int64_t r = 0; r < s.Mp; ++r) {
    T* to = x + reflect(r - top, s.M) * s.N;
    const T* from = padded + r * width;
    for (int64_t c = 0; c < left; ++c) to[reflect(c - left, s.N)] += from[c];
    for (int64_t c = 0; c < s.N; ++c) to[c] += from[left + c];
    for (int64_t c = left + s.N; c < s.Np; ++c) to[reflect(c - left, s.N)] += from[c];
  }
}

}  // namespace SCATCUDA_ISA
}  // namespace scatcuda
