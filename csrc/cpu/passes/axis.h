// Filters along the axis of a group of planes. They are real in Fourier: h = a + i b, a even, b
// odd.
#pragma once

#include <algorithm>

#include "../../core/engines.h"
#include "../buffers.h"

namespace scatcuda {
inline namespace SCATCUDA_ISA {

// A set of filters along the axis of a group
template <class T>
struct AxisFilters {
  int64_t side = 0, count = 0;
  T *even = nullptr, *odd = nullptr;  // [count, side]
  int64_t* reach = nullptr;           // [count]: as far as h is not negligible
  int64_t* partner = nullptr;         // [count]: the filter of the other spin, or −1

  AxisFilters() = default;
  AxisFilters(const Set& set, const Bank<T>& bank, Arena& arena)
      : side(set.side[0]), count(set.count) {
    even = arena.take<T>(count * side), odd = arena.take<T>(count * side);
    reach = arena.take<int64_t>(count), partner = arena.take<int64_t>(count);
    double *turn = arena.take<double>(2 * side), *sum = arena.take<double>(2 * set.lanes);
    if (even == nullptr) return;
    for (int64_t k = 0; k < side; ++k) {
      const double angle = 2 * trig::pi * static_cast<double>(k) / static_cast<double>(side);
      turn[2 * k] = cos(angle), turn[2 * k + 1] = sin(angle);
    }
    const int64_t* row = bank.psi_support + set.row;
    for (int64_t d = 0; 2 * d <= side; ++d) {
      std::fill_n(sum, 2 * set.lanes, 0.0);
      for (int64_t m = 0; m < side; ++m) {
        if (m >= row[1] && m < row[2]) continue;
        const T* psi = bank.psi + row[0] + (m < row[1] ? m : m - row[2] + row[1]) * set.lanes;
        const double* w = turn + 2 * (m * d % side);
        for (int64_t k = 0; k < set.lanes; ++k) sum[k] += psi[k] * w[0];
        for (int64_t k = 0; k < set.lanes; ++k) sum[set.lanes + k] += psi[k] * w[1];
      }
      const int64_t mirrored = (side - d) % side;
      for (int64_t k = 0; k < count; ++k) {
        even[k * side + d] = even[k * side + mirrored] = static_cast<T>(sum[k]);
        const T b = mirrored == d ? T(0) : static_cast<T>(sum[set.lanes + k]);
        odd[k * side + d] = b, odd[k * side + mirrored] = -b;
      }
    }
    for (int64_t k = 0; k < count; ++k) find_reach(k), partner[k] = -1;
    for (int64_t k = 0; k < count; ++k) {
      for (int64_t l = k + 1; l < count && partner[k] < 0; ++l) {
        if (partner[l] < 0 && mirror(k, l)) partner[k] = l, partner[l] = k;
      }
    }
  }

 private:
  static constexpr T negligible = sizeof(T) == 4 ? T(0x1p-24) : T(0x1p-53);
  static T size(T v) { return v < T(0) ? -v : v; }
  T peak(int64_t k) const {
    T most = 0;
    for (int64_t d = 0; d < side; ++d) {
      most = std::max({most, size(even[k * side + d]), size(odd[k * side + d])});
    }
    return most;
  }
  void find_reach(int64_t k) const {
    const T least = negligible * peak(k);
    reach[k] = side / 2;
    while (reach[k] > 0 && size(even[k * side + reach[k]]) <= least &&
           size(odd[k * side + reach[k]]) <= least) {
      --reach[k];
    }
  }
  bool mirror(int64_t k, int64_t l) const {
    const T least = 2 * negligible * peak(k);
    for (int64_t d = 0; d < side; ++d) {
      if (!(size(even[k * side + d] - even[l * side + d]) <= least)) return false;
      if (!(size(odd[k * side + d] + odd[l * side + d]) <= least)) return false;
    }
    return true;
  }
};

}  // namespace SCATCUDA_ISA
}  // namespace scatcuda
