// Steps that take many planes at once: how wavelet steps store theirs; and groups, along an axis of
// planes: gather, filters, every s-th place, ρ, a vector of neighbouring points at a time. Short
// axes are filtered by the definition (mix.h), others, and where the filters learn, by their DFT.
// With the adjoints. Twin: reference.group.
#pragma once

#include "mix.h"
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

// The same of a vector and a whole p, by products instead of angles: z / |z|, where it is, and its
// p-th power
template <class V>
SCATCUDA_INLINE void phases(int p, const Complex<V>& z, V& size, Complex<V>& one,
                            Complex<V>& power) {
  size = square_root(z.re * z.re + z.im * z.im);
  const V inverse = size > V{} ? V{} + 1 / size : V{};
  one = {z.re * inverse, z.im * inverse};
  Complex<V> square = p < 0 ? Complex<V>{one.re, -one.im} : one;
  power = {V{} + 1, V{}};
  for (int n = p < 0 ? -p : p; n > 0; n /= 2) {
    if (n % 2 == 1) {
      power = {power.re * square.re - power.im * square.im,
               power.re * square.im + power.im * square.re};
    }
    square = {square.re * square.re - square.im * square.im, 2 * square.re * square.im};
  }
}
// Whether it is one whose products are as exact as angles are
inline bool is_whole(double p) {
  return -64 <= p && p <= 64 && p == static_cast<double>(static_cast<int>(p));
}

// A line of so many numbers becomes [z]^p; or from the gradients g what they send back, in z
template <class T>
void phase_line(double p, int64_t length, T* line) {
  constexpr int W = full_lanes<T>;
  using V = Vector<T, W>;
  const bool whole = is_whole(p);
  for (int64_t i = 0; i < length; i += 2 * W) {
    if (!whole) {
      for (int64_t l = i; l < i + W; ++l) phase_power(p, line[l], line[l + W]);
      continue;
    }
    V size;
    Complex<V> one, power;
    phases<V>(static_cast<int>(p), {load<W>(line + i), load<W>(line + i + W)}, size, one, power);
    store(line + i, V(size * power.re)), store(line + i + W, V(size * power.im));
  }
}
template <class T>
void phase_line_adjoint(double p, int64_t length, const T* g, T* line) {
  constexpr int W = full_lanes<T>;
  using V = Vector<T, W>;
  const bool whole = is_whole(p);
  for (int64_t i = 0; i < length; i += 2 * W) {
    if (!whole) {
      for (int64_t l = i; l < i + W; ++l) {
        phase_power_adjoint(p, g[l], g[l + W], line[l], line[l + W]);
      }
      continue;
    }
    V size;
    Complex<V> one, power;
    phases<V>(static_cast<int>(p), {load<W>(line + i), load<W>(line + i + W)}, size, one, power);
    const V re = load<W>(g + i), im = load<W>(g + i + W);
    const V a = re * power.re + im * power.im;
    const V b = static_cast<T>(p) * (re * power.im - im * power.re);
    store(line + i, V(a * one.re + b * one.im));
    store(line + i + W, V(a * one.im - b * one.re));
  }
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
    if (s.rho == Rho::phase) phase_line(s.phase, 2 * W * rows.grid.last, own.line);
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
      phase_line_adjoint(s.phase, length, own.start, own.line);
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
  const Mixture<T>& mixture;

  static constexpr int W = full_lanes<T>;
  using V = Vector<T, W>;

  int64_t places() const { return places_of(step); }
  bool by_definition() const { return mixture.factors != nullptr; }
  // The plane of place i of filter k
  int64_t plane(int64_t g, int64_t k, int64_t i) const {
    const int64_t family = g * set.count + k;
    return step.rho == Rho::mean ? family : family * places() + i;
  }

  // Blocks of W points from `first` on
  void run(int64_t first, int64_t last, const ThreadBuffers<T>& own) const {
    for (int64_t g = 0; g < step.groups && by_definition(); ++g) mix(g, first, last, own);
    if (by_definition()) return;
    for (int64_t block = first; block < last; ++block) {
      const int64_t u = block * W, count = min(W, out.points - u);
      for (int64_t g = 0; g < step.groups; ++g) {
        spectrum(g, u, count, own);
        for (int64_t k = 0; k < set.count; ++k) {
          filtered(k, own);
          V sum{};
          for (int64_t i = 0; i < places(); ++i) {
            const Complex<V> z = Line<T>{own.line}.load(i * step.every);
            if (step.rho == Rho::none) {
              store_points(out.of(plane(g, k, i), 0) + u, count, z.re);
              store_points(out.of(plane(g, k, i), 1) + u, count, z.im);
              continue;
            }
            const V size = modulus_of(z);
            sum += size;
            if (step.rho == Rho::modulus) store_points(out.of(plane(g, k, i), 0) + u, count, size);
          }
          if (step.rho == Rho::mean) {
            store_points(out.of(plane(g, k, 0), 0) + u, count, V(sum / static_cast<T>(places())));
          }
        }
      }
    }
  }

  // Adds to the gradients of the sources' planes and, where it is wanted, of the set
  void run_adjoint(const Planes<T>& grad_out, const Planes<T>* grad_sources, T* grad_psi,
                   int64_t first, int64_t last, const ThreadBuffers<T>& own) const {
    const bool mixes = by_definition() && grad_psi == nullptr;
    for (int64_t g = 0; g < step.groups && mixes; ++g) {
      mix_adjoint(g, grad_out, grad_sources, first, last, own);
    }
    if (mixes) return;
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
        for (int64_t i = 0; i < step.length; ++i) {
          gathered(g, i, grad_sources).add(u, count, line.load(i));
        }
      }
    }
  }

 private:
  static V load_points(const T* p, int64_t count) {
    if (count == W) return load<W>(p);
    V v{};
    std::memcpy(&v, p, static_cast<size_t>(count) * sizeof(T));
    return v;
  }
  static void store_points(T* p, int64_t count, const V& v) {
    if (count == W) return store(p, v);
    std::memcpy(p, &v, static_cast<size_t>(count) * sizeof(T));
  }

  // A plane that is gathered, real or complex; none where the axis has a zero
  struct Plain {
    T *re = nullptr, *im = nullptr;
    bool conjugate = false;

    Complex<V> load(int64_t u, int64_t count) const {
      if (re == nullptr) return {V{}, V{}};
      const V z_re = load_points(re + u, count);
      if (im == nullptr) return {z_re, V{}};
      const V z_im = load_points(im + u, count);
      return {z_re, conjugate ? -z_im : z_im};
    }
    void add(int64_t u, int64_t count, const Complex<V>& z) const {
      if (re != nullptr) store_points(re + u, count, V(load_points(re + u, count) + z.re));
      if (im == nullptr) return;
      const V old = load_points(im + u, count);
      store_points(im + u, count, conjugate ? V(old - z.im) : V(old + z.im));
    }
  };
  // That of place i of group g, of the planes of each source
  Plain gathered(int64_t g, int64_t i, const Planes<T>* planes) const {
    const int64_t entry = step.table[g * step.length + i];
    if (entry < 0) return {};
    int64_t number = entry / 2;
    int source = 0;
    for (; number >= steps[step.sources[source]].planes; ++source) {
      number -= steps[step.sources[source]].planes;
    }
    const Planes<T>& of = planes[source];
    return {of.of(number, 0), of.parts == 2 ? of.of(number, 1) : nullptr, entry % 2 != 0};
  }

  // --- by the definition ---

  // Those that are mixed, of group g
  struct Gathered {
    Plain plane[Mixture<T>::longest];

    Gathered(const Group& group, int64_t g, const Planes<T>* planes) {
      for (int64_t i = 0; i < group.mixture.sources; ++i) plane[i] = group.gathered(g, i, planes);
    }
  };
  // f(point, number of points) for blocks of points of a group, whose planes own.group has
  template <class F>
  void for_blocks(const Gathered& from, int64_t first, int64_t last, const ThreadBuffers<T>& own,
                  F&& f) const {
    for (int64_t block = first; block < last; ++block) {
      const int64_t u = block * W, count = min(W, out.points - u);
      for (int64_t i = 0; i < mixture.sources; ++i) {
        Line<T>{own.group}.store(i, from.plane[i].load(u, count));
      }
      f(u, count);
    }
  }
  void mix(int64_t g, int64_t first, int64_t last, const ThreadBuffers<T>& own) const {
    for_blocks(Gathered(*this, g, sources), first, last, own, [&](int64_t u, int64_t count) {
      for (int64_t k = 0; k < set.count; ++k) {
        if (step.rho == Rho::mean) {
          const V sum = mixture.moduli(k, own.group);
          store_points(out.of(plane(g, k, 0), 0) + u, count, V(sum / static_cast<T>(places())));
          continue;
        }
        mixture.each(k, own.group, [&](int64_t i, const Complex<V>& y) {
          T* to = out.of(plane(g, k, i), 0) + u;
          store_points(to, count, step.rho == Rho::modulus ? modulus_of(y) : y.re);
          if (step.rho == Rho::none) store_points(to + out.points, count, y.im);
        });
      }
    });
  }
  void mix_adjoint(int64_t g, const Planes<T>& grad_out, const Planes<T>* grad_sources,
                   int64_t first, int64_t last, const ThreadBuffers<T>& own) const {
    const Line<T> total{own.start};
    const Gathered to(*this, g, grad_sources);
    for_blocks(Gathered(*this, g, sources), first, last, own, [&](int64_t u, int64_t count) {
      for (int64_t i = 0; i < mixture.sources; ++i) total.store(i, {V{}, V{}});
      for (int64_t k = 0; k < set.count; ++k) {
        if (step.rho == Rho::mean) {
          const V grad = load_points(grad_out.of(plane(g, k, 0), 0) + u, count);
          mixture.moduli_adjoint(k, own.group, V(grad / static_cast<T>(places())), own.start);
          continue;
        }
        mixture.each_adjoint(k, own.group, own.start, [&](int64_t i, const Complex<V>& y) {
          const T* from = grad_out.of(plane(g, k, i), 0) + u;
          const V grad = load_points(from, count);
          return step.rho == Rho::modulus ? along(y, grad)
                                          : Complex<V>{grad, load_points(from + out.points, count)};
        });
      }
      for (int64_t i = 0; i < mixture.sources; ++i) to.plane[i].add(u, count, total.load(i));
    });
  }

  // --- by the DFT along the axis ---

  // own.group ← the spectrum along the axis of group g at points u … u + count − 1
  void spectrum(int64_t g, int64_t u, int64_t count, const ThreadBuffers<T>& own) const {
    const Line<T> line{own.line};
    for (int64_t i = 0; i < axis.n; ++i) {
      line.store(i, i < step.length ? gathered(g, i, sources).load(u, count) : Complex<V>{});
    }
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
  // own.line ← the DFT along the axis of what the planes of filter k were given
  void back_to_spectrum(int64_t g, int64_t k, int64_t u, int64_t count, const Planes<T>& grad_out,
                        const ThreadBuffers<T>& own) const {
    const Line<T> line{own.line};
    if (step.rho != Rho::none) filtered(k, own);
    for (int64_t i = 0; i < axis.n; ++i) {
      if (i % step.every != 0 || i >= step.length) {
        line.store(i, {V{}, V{}});
        continue;
      }
      const T* from = grad_out.of(plane(g, k, i / step.every), 0) + u;
      const V re = load_points(from, count);
      if (step.rho == Rho::none) {
        line.store(i, {re, load_points(from + out.points, count)});
        continue;
      }
      const V grad = step.rho == Rho::mean ? re / static_cast<T>(places()) : re;
      line.store(i, along(line.load(i), grad));
    }
    transform_line<-1>(axis, line, line, own.work, own.spare);
  }
};

}  // namespace SCATCUDA_ISA
}  // namespace scatcuda
