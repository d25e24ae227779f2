// Means of products of planes, mean U_a conj U_b, as scalar products; with a weight over Fourier
// bins they are taken there, by Parseval, over the bins that the set keeps. And the adjoint. Twin:
// reference.pair.
#pragma once

#include <utility>

#include "group.h"

namespace scatcuda {
inline namespace SCATCUDA_ISA {

// DFT of a complex plane [2][first, middle, last] along every axis, in place, W lines at a time
template <int Sign, class T>
void plane_dft(const Grid& grid, const Lines<T>& lines, T* plane, const ThreadBuffers<T>& own) {
  constexpr int W = full_lanes<T>;
  const int64_t points = points_of(grid);
  const LineTransform<T>* const along[] = {&lines.first, &lines.middle, &lines.last};
  const int64_t stride[] = {grid.middle * grid.last, grid.last, 1};
  for (int axis = 0; axis < 3; ++axis) {
    const int64_t n = along[axis]->n, step = stride[axis];
    for (int64_t first = 0; n > 1 && first < points / n; first += W) {
      int64_t at[W];
      for (int i = 0; i < W; ++i) {  // lines beyond the last repeat it
        const int64_t line = min(first + i, points / n - 1);
        at[i] = line / step * step * n + line % step;
      }
      for (int64_t k = 0; k < 2 * n; ++k) {
        T* to = own.line + k * W;
        const T* from = plane + k % 2 * points + k / 2 * step;
        for (int i = 0; i < W; ++i) to[i] = from[at[i]];
      }
      const Line<T> line{own.line};
      transform_line<Sign>(*along[axis], line, line, own.work, own.spare);
      for (int64_t k = 0; k < 2 * n; ++k) {
        const T* from = own.line + k * W;
        T* to = plane + k % 2 * points + k / 2 * step;
        for (int i = 0; i < W; ++i) to[at[i]] = from[i];
      }
    }
  }
}

template <class T>
struct Pair {
  struct Side {
    Planes<T> planes;
    Grid grid;
    Lines<T> lines;
    int64_t count;
    T* spectra;  // [count][2][kept]: DFT / points at the bins that the set keeps
  };
  const Step& step;
  const Set* set;  // null without weights
  Box<T> filters;
  Side a, b;
  int64_t kept;
  T *plane, *products, *turns;  // room: a complex plane of either grid, two of the kept bins
  T *back_a = nullptr, *back_b = nullptr;  // gradients of the spectra

  // The room that `plane` is (pair_numbers), cut up
  void arrange() {
    T* next = plane + 2 * max(points_of(a.grid), points_of(b.grid));
    const auto take = [&](int64_t numbers) { return std::exchange(next, next + numbers); };
    products = take(2 * kept), turns = take(2 * kept);
    a.spectra = take(2 * kept * a.count), b.spectra = take(2 * kept * b.count);
    back_a = take(2 * kept * a.count), back_b = take(2 * kept * b.count);
  }

  static int64_t kept_of(const Step& s, const Box<T>& filters) {
    const auto bins = [](const int64_t* ends, int64_t side) { return side - ends[1] + ends[0]; };
    return bins(filters.ends[0], s.grid.first) * bins(filters.ends[1], s.grid.middle) *
           bins(filters.ends[2], s.grid.last);
  }

  // f(number among the kept, bin of a finer grid, turn of the shift) for the kept bins
  template <class F>
  void bins(const Grid& finer, F&& f) const {
    const Grid& g = step.grid;
    const auto in = [](int64_t k, int64_t side, int64_t of) {
      return k < (side + 1) / 2 ? k : k + of - side;
    };
    int64_t at = 0;
    for (int64_t k2 = 0; k2 < g.last; ++k2) {
      if (place_of(filters.ends[2], k2) < 0) continue;
      for (int64_t k1 = 0; k1 < g.middle; ++k1) {
        if (place_of(filters.ends[1], k1) < 0) continue;
        for (int64_t k0 = 0; k0 < g.first; ++k0) {
          if (place_of(filters.ends[0], k0) < 0) continue;
          f(at++,
            (in(k0, g.first, finer.first) * finer.middle + in(k1, g.middle, finer.middle)) *
                    finer.last +
                in(k2, g.last, finer.last),
            k0, k1, k2);
        }
      }
    }
  }

  void take_spectra(const Side& side, const ThreadBuffers<T>& own) const {
    const int64_t points = points_of(side.grid);
    const T scale = T(1) / static_cast<T>(points);
    for (int64_t i = 0; i < side.count; ++i) {
      copy_plane(side, i, plane);
      plane_dft<-1>(side.grid, side.lines, plane, own);
      T* to = side.spectra + 2 * i * kept;
      bins(side.grid, [&](int64_t at, int64_t bin, int64_t, int64_t, int64_t) {
        to[at] = plane[bin] * scale, to[kept + at] = plane[points + bin] * scale;
      });
    }
  }
  void copy_plane(const Side& side, int64_t i, T* to) const {
    const int64_t points = side.planes.points;
    std::memcpy(to, side.planes.of(i, 0), static_cast<size_t>(points) * sizeof(T));
    for (int64_t u = 0; u < points; ++u) {
      to[points + u] = side.planes.parts == 2 ? side.planes.of(i, 1)[u] : T(0);
    }
  }

  // e^{σ 2πi k τ / n} of the bins for a shift τ, times ψ̂_f(k), into products
  void weigh(int64_t f, int64_t shift) const {
    const double scale = static_cast<double>(set->points);  // by which tables are divided
    const int64_t* by = step.shifts > 0 ? step.shift + 3 * shift : nullptr;
    bins(step.grid, [&](int64_t at, int64_t, int64_t k0, int64_t k1, int64_t k2) {
      const double w = scale * filters.psi[at * filters.lanes + f];
      double turn = 0;
      if (by != nullptr) {
        turn = static_cast<double>(k0 * by[0] % step.grid.first) / step.grid.first +
               static_cast<double>(k1 * by[1] % step.grid.middle) / step.grid.middle +
               static_cast<double>(k2 * by[2] % step.grid.last) / step.grid.last;
      }
      const double c = cos(2 * trig::pi * turn), s = sin(2 * trig::pi * turn);
      turns[at] = static_cast<T>(c), turns[kept + at] = static_cast<T>(s);
      products[at] = static_cast<T>(w * c), products[kept + at] = static_cast<T>(w * s);
    });
  }

  int64_t filter_count() const { return set == nullptr ? 1 : set->count; }
  int64_t shift_count() const { return max(1, step.shifts); }
  int64_t place(int64_t pair, int64_t f, int64_t shift) const {
    return ((pair * filter_count() + f) * shift_count() + shift) * step.parts;
  }

  // f(u, u + shift) for every point
  template <class F>
  void for_points(int64_t shift, F&& f) const {
    static const int64_t nowhere[3] = {};
    const Grid& g = step.grid;
    const int64_t* by = step.shifts > 0 ? step.shift + 3 * shift : nowhere;
    for (int64_t r0 = 0, u = 0; r0 < g.first; ++r0) {
      for (int64_t r1 = 0; r1 < g.middle; ++r1) {
        const int64_t row = (r0 + by[0]) % g.first * g.middle + (r1 + by[1]) % g.middle;
        for (int64_t c = 0; c < g.last; ++c, ++u) f(u, row * g.last + (c + by[2]) % g.last);
      }
    }
  }

  // U_b(u + shift), or in Fourier Û_b times the products, into plane
  void turned(int64_t i, int64_t shift) const {
    if (set != nullptr) {
      const T* z = b.spectra + 2 * i * kept;
      for (int64_t k = 0; k < kept; ++k) {
        plane[k] = z[k] * products[k] - z[kept + k] * products[kept + k];
        plane[kept + k] = z[k] * products[kept + k] + z[kept + k] * products[k];
      }
      return;
    }
    const int64_t points = b.planes.points;
    for_points(shift, [&](int64_t u, int64_t v) {
      plane[u] = b.planes.of(i, 0)[v];
      plane[points + u] = b.planes.parts == 2 ? b.planes.of(i, 1)[v] : T(0);
    });
  }

  void run(const ThreadBuffers<T>& own, T* S) const {
    if (set != nullptr) take_spectra(a, own), take_spectra(b, own);
    const int64_t count = set != nullptr ? kept : a.planes.points;
    const T scale = set != nullptr ? T(1) : T(1) / static_cast<T>(count);
    for (int64_t f = 0; f < filter_count(); ++f) {
      for (int64_t shift = 0; shift < shift_count(); ++shift) {
        if (set != nullptr) weigh(f, shift);
        int64_t there = -1;
        for (int64_t i = 0; i < step.pairs; ++i) {
          const int64_t* pair = step.pair + 2 * i;
          if (pair[1] != there) turned(there = pair[1], shift);
          const bool real = set == nullptr && a.planes.parts == 1;
          const T* re = set != nullptr ? a.spectra + 2 * pair[0] * kept : a.planes.of(pair[0], 0);
          const T* im = re + count;
          T* to = S + place(i, f, shift);
          to[0] = scale * (dot(re, plane, count) + (real ? T(0) : dot(im, plane + count, count)));
          if (step.parts == 2) {
            to[1] = scale * ((real ? T(0) : dot(im, plane, count)) - dot(re, plane + count, count));
          }
        }
      }
    }
  }

  // Adds to the gradients of planes and, where it is wanted, of the set
  void run_adjoint(const ThreadBuffers<T>& own, const T* gS, const Planes<T>& grad_a,
                   const Planes<T>& grad_b, T* grad_psi) const {
    if (set != nullptr) {
      take_spectra(a, own), take_spectra(b, own);
      for (int64_t i = 0; i < 2 * a.count * kept; ++i) back_a[i] = 0;
      for (int64_t i = 0; i < 2 * b.count * kept; ++i) back_b[i] = 0;
    }
    for (int64_t f = 0; f < filter_count(); ++f) {
      for (int64_t shift = 0; shift < shift_count(); ++shift) {
        if (set != nullptr) weigh(f, shift);
        for (int64_t i = 0; i < step.pairs; ++i) {
          const int64_t* pair = step.pair + 2 * i;
          const T* from = gS + place(i, f, shift);
          const Complex<T> g{from[0], step.parts == 2 ? from[1] : T(0)};
          if (set != nullptr) {
            back_to_spectra(pair, f, g, grad_psi);
          } else {
            back_to_planes(pair, shift, g, grad_a, grad_b);
          }
        }
      }
    }
    if (set != nullptr)
      return_spectra(a, back_a, grad_a, own), return_spectra(b, back_b, grad_b, own);
  }

 private:
  void back_to_planes(const int64_t* pair, int64_t shift, Complex<T> g, const Planes<T>& grad_a,
                      const Planes<T>& grad_b) const {
    const T scale = T(1) / static_cast<T>(a.planes.points);
    for_points(shift, [&](int64_t u, int64_t v) {
      const auto at = [](const Planes<T>& planes, int64_t i, int64_t place) {
        return Complex<T>{planes.of(i, 0)[place],
                          planes.parts == 2 ? planes.of(i, 1)[place] : T(0)};
      };
      const auto add = [](const Planes<T>& planes, int64_t i, int64_t place, Complex<T> z) {
        planes.of(i, 0)[place] += z.re;
        if (planes.parts == 2) planes.of(i, 1)[place] += z.im;
      };
      add(grad_a, pair[0], u, times(at(b.planes, pair[1], v), g.re * scale, g.im * scale));
      add(grad_b, pair[1], v, times(at(a.planes, pair[0], u), g.re * scale, -g.im * scale));
    });
  }

  // of m = Σ Â conj B̂ conj P, P the products: g_Â = g B̂ P, g_B̂ = conj g Â conj P
  void back_to_spectra(const int64_t* pair, int64_t f, Complex<T> g, T* grad_psi) const {
    const T *za = a.spectra + 2 * pair[0] * kept, *zb = b.spectra + 2 * pair[1] * kept;
    T *ga = back_a + 2 * pair[0] * kept, *gb = back_b + 2 * pair[1] * kept;
    const T scale = static_cast<T>(set->points);
    for (int64_t k = 0; k < kept; ++k) {
      const Complex<T> A{za[k], za[kept + k]}, B{zb[k], zb[kept + k]};
      const Complex<T> x = times(times(B, products[k], products[kept + k]), g.re, g.im);
      const Complex<T> y = times(times(A, products[k], -products[kept + k]), g.re, -g.im);
      ga[k] += x.re, ga[kept + k] += x.im;
      gb[k] += y.re, gb[kept + k] += y.im;
      if (grad_psi == nullptr) continue;
      const Complex<T> z =
          times(times(times(A, B.re, -B.im), g.re, -g.im), turns[k], -turns[kept + k]);
      grad_psi[k * filters.lanes + f] += scale * z.re;
    }
  }

  void return_spectra(const Side& side, const T* back, const Planes<T>& grad,
                      const ThreadBuffers<T>& own) const {
    const int64_t points = points_of(side.grid);
    const T scale = T(1) / static_cast<T>(points);
    for (int64_t i = 0; i < side.count; ++i) {
      const T* from = back + 2 * i * kept;
      for (int64_t u = 0; u < 2 * points; ++u) plane[u] = 0;
      bins(side.grid, [&](int64_t at, int64_t bin, int64_t, int64_t, int64_t) {
        plane[bin] = from[at] * scale, plane[points + bin] = from[kept + at] * scale;
      });
      plane_dft<1>(side.grid, side.lines, plane, own);
      for (int part = 0; part < grad.parts; ++part) {
        for (int64_t u = 0; u < points; ++u) grad.of(i, part)[u] += plane[part * points + u];
      }
    }
  }
};

}  // namespace SCATCUDA_ISA
}  // namespace scatcuda
