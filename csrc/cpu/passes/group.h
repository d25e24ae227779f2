// Steps that take many planes at once: how wavelet steps store theirs; and groups, along an axis of
// planes: gather, DFT, filters, inverse DFT, every s-th place, ρ, a vector of neighbouring points
// at a time. With the adjoints. Twin: reference.group.
#pragma once

#include "planes.h"

namespace scatcuda {
inline namespace SCATCUDA_ISA {

// [z]^p = |z| e^{i p arg z}, and the gradient of Re <g, [z]^p>: (a − i p b) z / |z| where
// conj g e^{i p arg z} = a + i b. Both 0 where z is.
template <class T>
void phase_power(double p, T& re, T& im) {
  const double size = __builtin_hypot(re, im), angle = p * __builtin_atan2(im, re);
  re = static_cast<T>(size * __builtin_cos(angle)),
  im = static_cast<T>(size * __builtin_sin(angle));
}
template <class T>
void phase_power_adjoint(double p, double g_re, double g_im, T& re, T& im) {
  const double size = __builtin_hypot(re, im), angle = p * __builtin_atan2(im, re);
  if (size == 0) return;
  const double c = __builtin_cos(angle), s = __builtin_sin(angle);
  const double a = g_re * c + g_im * s, b = p * (g_re * s - g_im * c);
  const double x = re / size, y = im / size;
  re = static_cast<T>(a * x + b * y), im = static_cast<T>(a * y - b * x);
}

// The planes of a chunk of filters, from `plane` on: z, [z]^p, |z| or the norm of the set
template <class T, int Slots>
void store_rows(const Rows<T>& rows, const Step& s, int64_t filters, const Planes<T>& planes,
                int64_t plane, int64_t first, int64_t last, const ThreadBuffers<T>& own) {
  constexpr int W = full_lanes<T>;
  for (int64_t group = first; group < last; ++group) {
    const auto source = rows.template source<Slots>(group * Slots, 0);
    if (s.rho == Rho::norm) {
      norm_row<T, Slots>(rows, group * Slots, own.line, own);
    } else if (s.rho == Rho::modulus) {
      transform_line<1>(rows.across, source, ModulusLine<T>{own.line}, own.work, own.spare);
    } else {
      transform_line<1>(rows.across, source, Line<T>{own.line}, own.work, own.spare);
    }
    for (int64_t i = 0; s.rho == Rho::phase && i < 2 * W * rows.grid.last; i += 2 * W) {
      for (int l = 0; l < W; ++l) phase_power(s.phase, own.line[i + l], own.line[i + W + l]);
    }
    for_stored<T, Slots>(rows, group * Slots, filters, planes, plane, own.line,
                         [](T& from, T& to) { to = from; });
  }
}

// W ← DFT along its rows of the gradient that complex planes were given
template <class T, int Slots>
void store_rows_adjoint(const Rows<T>& rows, const Step& s, int64_t first, int64_t last,
                        const ThreadBuffers<T>& own) {
  constexpr int W = full_lanes<T>;
  const Line<T> line{own.line};
  for (int64_t group = first; group < last; ++group) {
    const int64_t r = group * Slots, length = 2 * W * rows.grid.last;
    const auto wavelet = rows.template source<Slots>(r, 0);
    for (int64_t i = 0; i < length; ++i) own.start[i] = 0;
    if (rows.gradient.p != nullptr) {  // or nobody gathers them
      for_stored<T, Slots>(rows, r, rows.filters, rows.gradient, rows.plane, own.start,
                           [](T& to, T& from) { to = from; });
    }
    if (s.rho == Rho::phase) {
      transform_line<1>(rows.across, wavelet, line, own.work, own.spare);
      for (int64_t i = 0; i < length; i += 2 * W) {
        for (int64_t l = i; l < i + W; ++l) {
          phase_power_adjoint(s.phase, own.start[l], own.start[l + W], own.line[l],
                              own.line[l + W]);
        }
      }
      transform_line<-1>(rows.across, line, wavelet, own.work, own.spare);
    } else {
      transform_line<-1>(rows.across, Line<T>{own.start}, wavelet, own.work, own.spare);
    }
  }
}

// A group step, and what its threads need
template <class T>
struct Group {
  const Step& step;
  const Set& set;
  const Box<T> filters;
  const LineTransform<T>& axis;
  const Planes<T>* sources;  // of each of the step's sources
  const Step* steps;
  Planes<T> out;

  static constexpr int W = full_lanes<T>;
  using V = Vector<T, W>;

  // f(place, planes of the source, number among them, conjugate) for the places of group g
  template <class F>
  void gathered(int64_t g, F&& f) const {
    for (int64_t i = 0; i < step.length; ++i) {
      const int64_t entry = step.table[g * step.length + i];
      if (entry < 0) continue;
      int64_t plane = entry / 2;
      int source = 0;
      for (; plane >= steps[step.sources[source]].planes; ++source) {
        plane -= steps[step.sources[source]].planes;
      }
      f(i, sources[source], plane, entry % 2 != 0);
    }
  }

  static V load_points(const T* p, int64_t count) {
    V v{};
    std::memcpy(&v, p, static_cast<size_t>(count) * sizeof(T));
    return v;
  }
  static void store_points(T* p, int64_t count, const V& v) {
    std::memcpy(p, &v, static_cast<size_t>(count) * sizeof(T));
  }

  // own.group ← the spectrum along the axis of group g at points u … u + count − 1
  void spectrum(int64_t g, int64_t u, int64_t count, const ThreadBuffers<T>& own) const {
    const Line<T> line{own.line};
    for (int64_t i = 0; i < axis.n; ++i) line.store(i, {V{}, V{}});
    gathered(g, [&](int64_t i, const Planes<T>& from, int64_t plane, bool conjugate) {
      const V re = load_points(from.of(plane, 0) + u, count);
      V im{};
      if (from.parts == 2) im = load_points(from.of(plane, 1) + u, count);
      line.store(i, {re, conjugate ? -im : im});
    });
    transform_line<-1>(axis, line, Line<T>{own.group}, own.work, own.spare);
  }
  // f(bin, entry of the table) for the bins that the filters keep
  template <class F>
  void bins(F&& f) const {
    for (int64_t m = 0; m < axis.n; ++m) {
      const int64_t at = place_of(filters.ends[2], m);
      if (at >= 0) f(m, at * filters.lanes);
    }
  }
  // own.line ← filter k of the spectrum, along the axis
  void filtered(int64_t k, const ThreadBuffers<T>& own) const {
    const Line<T> line{own.line}, spectrum{own.group};
    for (int64_t m = 0; m < axis.n; ++m) line.store(m, {V{}, V{}});
    bins([&](int64_t m, int64_t entry) {
      const T w = filters.psi[entry + k];
      const Complex<V> z = spectrum.load(m);
      line.store(m, {z.re * w, z.im * w});
    });
    transform_line<1>(axis, line, line, own.work, own.spare);
  }
  int64_t places() const { return ceil_div(step.length, step.every); }

  // Blocks of W points from `first` on
  void run(int64_t first, int64_t last, const ThreadBuffers<T>& own) const {
    for (int64_t block = first; block < last; ++block) {
      const int64_t u = block * W, count = min(W, out.points - u);
      for (int64_t g = 0; g < step.groups; ++g) {
        spectrum(g, u, count, own);
        for (int64_t k = 0; k < set.count; ++k) {
          filtered(k, own);
          for (int64_t i = 0; i < places(); ++i) {
            const Complex<V> z = Line<T>{own.line}.load(i * step.every);
            const int64_t plane = (g * set.count + k) * places() + i;
            const bool modulus = step.rho == Rho::modulus;
            const V re = modulus ? square_root(V(z.re * z.re + z.im * z.im)) : z.re;
            store_points(out.of(plane, 0) + u, count, re);
            if (!modulus) store_points(out.of(plane, 1) + u, count, z.im);
          }
        }
      }
    }
  }

  // Adds to the gradients of the sources' planes and, where it is wanted, of the set
  void run_adjoint(const Planes<T>& grad_out, const Planes<T>* grad_sources, T* grad_psi,
                   int64_t first, int64_t last, const ThreadBuffers<T>& own) const {
    const Line<T> line{own.line}, total{own.start};
    for (int64_t block = first; block < last; ++block) {
      const int64_t u = block * W, count = min(W, out.points - u);
      for (int64_t g = 0; g < step.groups; ++g) {
        spectrum(g, u, count, own);
        for (int64_t m = 0; m < axis.n; ++m) total.store(m, {V{}, V{}});
        for (int64_t k = 0; k < set.count; ++k) {
          back_to_spectrum(g, k, u, count, grad_out, own);
          bins([&](int64_t m, int64_t entry) {
            const T w = filters.psi[entry + k];
            const Complex<V> z = line.load(m), sum = total.load(m);
            total.store(m, {sum.re + z.re * w, sum.im + z.im * w});
            if (grad_psi == nullptr) return;
            const Complex<V> f = Line<T>{own.group}.load(m);
            const V products = f.re * z.re + f.im * z.im;
            for (int l = 0; l < W; ++l) grad_psi[entry + k] += products[l];
          });
        }
        transform_line<1>(axis, total, line, own.work, own.spare);
        gathered(g, [&](int64_t i, const Planes<T>& from, int64_t plane, bool conjugate) {
          const Planes<T>& to = grad_sources[&from - sources];
          const Complex<V> z = line.load(i);
          T* re = to.of(plane, 0) + u;
          store_points(re, count, V(load_points(re, count) + z.re));
          if (to.parts == 1) return;
          T* im = to.of(plane, 1) + u;
          store_points(im, count, V(load_points(im, count) + (conjugate ? -z.im : z.im)));
        });
      }
    }
  }

 private:
  // own.line ← the DFT along the axis of what the planes of filter k were given
  void back_to_spectrum(int64_t g, int64_t k, int64_t u, int64_t count, const Planes<T>& grad_out,
                        const ThreadBuffers<T>& own) const {
    const Line<T> line{own.line};
    const bool modulus = step.rho == Rho::modulus;
    if (modulus) filtered(k, own);
    for (int64_t i = 0; i < axis.n; ++i) {
      if (i % step.every != 0 || i >= step.length) {
        line.store(i, {V{}, V{}});
        continue;
      }
      const int64_t plane = (g * set.count + k) * places() + i / step.every;
      const V re = load_points(grad_out.of(plane, 0) + u, count);
      if (!modulus) {
        line.store(i, {re, load_points(grad_out.of(plane, 1) + u, count)});
        continue;
      }
      const Complex<V> z = line.load(i);
      const V square = z.re * z.re + z.im * z.im;
      const V turn = square == T(0) ? V{} : re / square_root(square);
      line.store(i, {z.re * turn, z.im * turn});
    }
    transform_line<-1>(axis, line, line, own.work, own.spare);
  }
};

}  // namespace SCATCUDA_ISA
}  // namespace scatcuda
