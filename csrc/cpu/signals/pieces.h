// How signals lie in vectors. A line of P points is cut into twice `pieces` parts, piece m the
// points m, m + 2 · pieces, …, each as long as the others. The lanes of a vector are the same point
// of the first pieces of `beside` planes, piece by piece; another vector has the other pieces of
// them. So no lane idles, be there one signal or many, and what a plane becomes does not depend on
// the planes beside it.
//
// A spectrum lies in blocks of `pieces` neighbouring bins, the lanes of each plane: so a square of
// them is turned from bins into pieces, and back.
#pragma once

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

#include "../simd.h"

namespace scatcuda {
inline namespace SCATCUDA_ISA {

template <class T>
constexpr int pieces = full_lanes<T> < 4 ? full_lanes<T> : 4;
template <class T>
constexpr int beside = full_lanes<T> / pieces<T>;
template <class T>
using Lanes = Vector<T, full_lanes<T>>;
template <class T>
using Element = Complex<Lanes<T>>;  // the real parts, then the imaginary ones

namespace arrange {
// Lane i of what comes from lane at(i) of one vector, or of two of n lanes side by side:
// one of the p lanes of a plane
template <int p, int which>
struct Same {
  static constexpr int at(int i) { return i / p * p + which; }
};
// the lanes of a plane the other way round, behind the first one of the other vector
template <int p, int n>
struct Mirrored {
  static constexpr int at(int i) { return i % p == 0 ? n + i : i / p * p + p - i % p; }
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

// The block of the bins −p (t + 1), … of a real plane, from its blocks t and t + 1
template <class T>
SCATCUDA_INLINE Element<T> mirrored(const Element<T>& block, const Element<T>& next) {
  using Way = arrange::Mirrored<pieces<T>, full_lanes<T>>;
  return {arrange::shuffle<Way, full_lanes<T>>(block.re, next.re),
          -arrange::shuffle<Way, full_lanes<T>>(block.im, next.im)};
}

// `pieces` numbers, the same for every plane
template <class T, int Lanes_ = full_lanes<T>>
SCATCUDA_INLINE Vector<T, Lanes_> spread_pieces(const Vector<T, pieces<T>>& numbers) {
  if constexpr (Lanes_ == pieces<T>) {
    return numbers;
#if defined(__AVX512F__)  // one instruction, which compilers do not find; masked, since GCC 12
                          // warns of the other
  } else if constexpr (sizeof(T) == 4) {
    return reinterpret_cast<Vector<T, Lanes_>>(
        _mm512_maskz_broadcast_f32x4(0xffff, reinterpret_cast<__m128>(numbers)));
  } else {
    return reinterpret_cast<Vector<T, Lanes_>>(
        _mm512_maskz_broadcast_f64x4(0xff, reinterpret_cast<__m256d>(numbers)));
#else
  } else {
    const auto half = spread_pieces<T, Lanes_ / 2>(numbers);
    return concatenate<Lanes_, T>(half, half);
#endif
  }
}
template <class T>
SCATCUDA_INLINE Lanes<T> spread_pieces(const T* numbers) {
  return spread_pieces<T>(load<pieces<T>>(numbers));
}

// Turns `pieces` vectors: lane m of a plane in vector k becomes its lane k in vector m.
template <class T>
SCATCUDA_INLINE void turn_pieces(Lanes<T>* v) {
  constexpr int W = full_lanes<T>, p = pieces<T>;
  const auto low = [](Lanes<T> a, Lanes<T> b, auto width) SCATCUDA_LAMBDA {
    return arrange::shuffle<arrange::Unpacked<p, W, decltype(width)::value, 0>, W>(a, b);
  };
  const auto high = [](Lanes<T> a, Lanes<T> b, auto width) SCATCUDA_LAMBDA {
    return arrange::shuffle<arrange::Unpacked<p, W, decltype(width)::value, 1>, W>(a, b);
  };
  constexpr std::integral_constant<int, 1> one{};
  constexpr std::integral_constant<int, 2> two{};
  const Lanes<T> a = low(v[0], v[1], one), b = high(v[0], v[1], one);
  if constexpr (p == 2) {
    v[0] = a, v[1] = b;
  } else {
    const Lanes<T> c = low(v[2], v[3], one), d = high(v[2], v[3], one);
    v[0] = low(a, c, two), v[1] = high(a, c, two), v[2] = low(b, d, two), v[3] = high(b, d, two);
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
