// How signals lie in vectors. A line of P points is cut into twice `pieces` parts, piece m the
// points m, m + 2 · pieces, …, each as long as the others. The lanes of a vector are the same point
// of the first pieces of `beside` planes, piece by piece; another vector has the other pieces of
// them. So no lane idles, be there one signal or many, and what a plane becomes does not depend on
// the planes beside it.
//
// A spectrum has for each bin the real and imaginary parts of the planes, one after the other.
#pragma once

#include "../simd.h"

namespace scatcuda {
inline namespace SCATCUDA_ISA {

template <class T>
constexpr int pieces = full_lanes<T> < 4 ? full_lanes<T> : 4;
template <class T>
constexpr int beside = full_lanes<T> / pieces<T>;
template <class T>
constexpr int bin_numbers = 2 * beside<T>;

template <class T>
using Lanes = Vector<T, full_lanes<T>>;
template <class T>
using Bin = Vector<T, bin_numbers<T>>;

namespace arrange {
// lane i of what comes from lane at(i) of one vector, or of two of n lanes side by side
template <int p, int part>
struct FromBin {
  static constexpr int at(int i) { return i / p * 2 + part; }
};
// of a plane's p real and p imaginary numbers every second one
template <int p, int n, int odd>
struct Halved {
  static constexpr int at(int i) {
    const int within = i % p, half = p / 2;
    return (within < half ? 0 : n) + i / p * p + within % half * 2 + odd;
  }
};
// one of the p lanes of a plane
template <int p, int which>
struct Same {
  static constexpr int at(int i) { return i / p * p + which; }
};
template <int odd>
struct Second {
  static constexpr int at(int i) { return 2 * i + odd; }
};
// the first or last halves of every p lanes, those of the two vectors in turn: of numbers, of pairs
template <int p, int n, int width, int high>
struct Unpacked {
  static constexpr int at(int i) {
    const int within = i % p;
    const int from = (within / width) % 2, index = within / (2 * width) * width + within % width;
    return from * n + i / p * p + index + high * p / 2;
  }
};

template <class At, int count, class V, std::size_t... I>
SCATCUDA_INLINE auto shuffled(V a, V b, std::index_sequence<I...>) {
  return __builtin_shufflevector(a, b, At::at(static_cast<int>(I))...);
}
template <class At, int count, class V>
SCATCUDA_INLINE auto shuffle(V a, V b) {
  return shuffled<At, count>(a, b, std::make_index_sequence<count>{});
}
}  // namespace arrange

// A bin in all lanes of its planes
template <class T>
SCATCUDA_INLINE Complex<Lanes<T>> spread_bin(const T* bin) {
  constexpr int W = full_lanes<T>, p = pieces<T>;
  const Bin<T> v = load<bin_numbers<T>>(bin);
  return {arrange::shuffle<arrange::FromBin<p, 0>, W>(v, v),
          arrange::shuffle<arrange::FromBin<p, 1>, W>(v, v)};
}

// The adjoint: sums over the pieces of each plane
template <class T>
SCATCUDA_INLINE Bin<T> gather_bin(const Complex<Lanes<T>>& z) {
  constexpr int W = full_lanes<T>, p = pieces<T>;
  const Lanes<T> v = arrange::shuffle<arrange::Halved<p, W, 0>, W>(z.re, z.im) +
                     arrange::shuffle<arrange::Halved<p, W, 1>, W>(z.re, z.im);
  if constexpr (p == 2) {
    return v;
  } else {
    return arrange::shuffle<arrange::Second<0>, W / 2>(v, v) +
           arrange::shuffle<arrange::Second<1>, W / 2>(v, v);
  }
}

template <class T>
SCATCUDA_INLINE Bin<T> conjugate(const Bin<T>& bin) {
  Bin<T> sign{};
  for (int i = 0; i < bin_numbers<T>; ++i) sign[i] = i % 2 == 0 ? T(1) : T(-1);
  return bin * sign;
}

// `pieces` numbers, the same for every plane
template <class T, int Lanes_ = full_lanes<T>>
SCATCUDA_INLINE Vector<T, Lanes_> spread_pieces(const T* numbers) {
  if constexpr (Lanes_ == pieces<T>) {
    return load<Lanes_>(numbers);
  } else {
    const auto half = spread_pieces<T, Lanes_ / 2>(numbers);
    return concatenate<Lanes_, T>(half, half);
  }
}

// The sums over the pieces of as many vectors: of each plane so many numbers, one after the other
template <class T>
SCATCUDA_INLINE Lanes<T> gather_pieces(const Lanes<T>* v) {
  constexpr int W = full_lanes<T>, p = pieces<T>;
  const auto pairs = [](Lanes<T> a, Lanes<T> b) SCATCUDA_LAMBDA {
    return arrange::shuffle<arrange::Unpacked<p, W, 1, 0>, W>(a, b) +
           arrange::shuffle<arrange::Unpacked<p, W, 1, 1>, W>(a, b);
  };
  const Lanes<T> a = pairs(v[0], v[1]);
  if constexpr (p == 2) {
    return a;
  } else {
    const Lanes<T> b = pairs(v[2], v[3]);
    return arrange::shuffle<arrange::Unpacked<p, W, 2, 0>, W>(a, b) +
           arrange::shuffle<arrange::Unpacked<p, W, 2, 1>, W>(a, b);
  }
}

}  // namespace SCATCUDA_ISA
}  // namespace scatcuda
