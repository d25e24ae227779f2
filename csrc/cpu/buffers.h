// Where everything of one transform lies: one workspace from the caller, cut into the buffers of an
// image (shared by the threads that work on it) and those of a thread. Nothing else is allocated.
#pragma once

#include "../core/schedule.h"
#include "fft_line.h"

namespace scatcuda {
inline namespace SCATCUDA_ISA {

// Hands out pieces of the workspace; with a null base it only counts the bytes.
class Arena {
 public:
  explicit Arena(void* base) : base_(static_cast<char*>(base)) {}
  template <class T>
  T* take(int64_t count) {
    T* p = base_ ? reinterpret_cast<T*>(base_ + used_) : nullptr;
    used_ += round_up(count * static_cast<int64_t>(sizeof(T)), alignment);
    return p;
  }
  int64_t used() const { return used_; }

 private:
  char* base_;
  int64_t used_ = 0;
};

// Distance of two lines of `count` numbers: an odd number of cache lines, so that a walk across the
// lines visits all sets of the cache.
template <class T>
int64_t spread(int64_t count) {
  constexpr int64_t line = alignment / static_cast<int64_t>(sizeof(T));
  return (ceil_div(count, line) | 1) * line;
}

// A plane of complex elements of Q lanes, [lines][elements][2][Q]. Between a wavelet's columns and
// its rows it is tiled, [rows / 4][columns][4]: a walk down a column then touches a quarter of the
// pages, and four rows are read as one stream.
template <class T>
struct Plane {
  T* p = nullptr;
  int64_t stride = 0;  // numbers from a line to the next
};

// The plane U Qᵀ [rows, n · Q], its rows of whole vectors. What fills them up is 0: it enters sums
// that nobody reads, but as left-over bits it might be denormal numbers, a hundred times slower.
template <class T>
Plane<T> reduced_plane(int64_t rows, int64_t width, Arena& arena) {
  Plane<T> plane;
  plane.stride = round_up(width, full_lanes<T>);
  plane.p = arena.take<T>(rows * plane.stride);
  for (int64_t r = 0; plane.p != nullptr && r < rows; ++r) {
    for (int64_t c = width; c < plane.stride; ++c) plane.p[r * plane.stride + c] = 0;
  }
  return plane;
}

// What a workspace is for
enum class Pass { forward, backward, backward_with_phi };

template <class T, int Slots>
struct ImageBuffers {
  static constexpr int W = full_lanes<T>, Q = W / Slots;
  int64_t width = 0;       // of a row of the padded image, whole pairs of vectors
  int64_t spec_rows = 0;   // of a column of a spectrum: Mp + 1, row 0 again at the end, in vectors
  T* padded = nullptr;     // [Mp, width]
  T* half = nullptr;       // [Mp/2 + 1 (in whole vectors), 2, width]: columns transformed
  T* lowpassed = nullptr;  // [m, width]
  T* spectrum = nullptr;   // x̂ [Np, 2, spec_rows]
  Plane<T> wavelet;        // W1 after its columns' inverse DFT [Mp / 4, Np, 4]
  int64_t wavelet_plane = 0;  // backward: of each chunk of angles one
  Plane<T> reduced;           // U1 Qᵀ [Mp, n · Q], real
  Plane<T> across;            // rows of U1 transformed [Np/2 + 1, Mp]
  T* u_hat = nullptr;         // Û1 [angles, Np/2 + 1, 2, spec_rows]
  int64_t u_hat_angle = 0;
  T* grad_spectrum = nullptr;  // backward: the gradient of x̂, as it

  ImageBuffers(const Schedule& s, Pass pass, Arena& arena) {
    const bool backward = pass != Pass::forward;
    const int64_t kept = s.max_order < 2 || s.J < 2 ? 0 : s.Np / 2 + 1;
    width = round_up(s.Np, 2 * W);
    spec_rows = round_up(s.Mp + 1, W);
    wavelet.stride = spread<T>(s.Np * tile_rows * 2 * Q);
    across.stride = spread<T>(s.Mp * 2 * Q);
    u_hat_angle = kept * 2 * spec_rows;
    padded = arena.take<T>(s.Mp * width);
    lowpassed = arena.take<T>(s.m * width);
    if (s.max_order < 1) return;
    half = arena.take<T>(round_up(s.Mp / 2 + 1, W) * 2 * width);
    spectrum = arena.take<T>(s.Np * 2 * spec_rows);
    wavelet_plane = ceil_div(s.Mp, tile_rows) * wavelet.stride;
    wavelet.p = arena.take<T>((backward ? ceil_div(s.L, Q) : 1) * wavelet_plane);
    reduced = reduced_plane<T>(s.Mp, s.n * Q, arena);
    across.p = arena.take<T>(kept * across.stride);
    u_hat = arena.take<T>(round_up(s.L, Q) * u_hat_angle);
    if (backward) grad_spectrum = arena.take<T>(s.Np * 2 * spec_rows);
  }

  Plane<T> wavelet_of(int64_t chunk) const {
    return {wavelet.p + chunk * wavelet_plane, wavelet.stride};
  }
};

template <class T, int Slots>
struct ThreadBuffers {
  static constexpr int W = full_lanes<T>, Q = W / Slots;
  T *line, *work, *spare;  // one line of complex vectors each
  T* tile;                 // [m, n · Q]: coefficients before their angles are parted
  Plane<T> wavelet;        // W2 of a family [Mp / 8, Np / 2, 4]
  Plane<T> reduced;        // U2 Qᵀ [Mp/2, n · Q]
  // backward
  T* start = nullptr;          // a line: what two rows of U1 are sent back from the next order
  T* grad_spectrum = nullptr;  // the gradient of one angle of Û1
  Plane<T> lowpassed;          // |W| Qᵀ, for the low-pass' own gradient

  ThreadBuffers(const Schedule& s, Pass pass, Arena& arena) {
    const int64_t length = (max(s.Mp, s.Np) + 2 * W) * 2 * W;  // and two vectors to run over
    line = arena.take<T>(length);
    work = arena.take<T>(length);
    spare = arena.take<T>(length);
    tile = arena.take<T>(s.m * round_up(s.n * Q, W));
    if (pass != Pass::forward) start = arena.take<T>(length);
    if (pass == Pass::backward_with_phi) lowpassed = reduced_plane<T>(s.Mp, s.n * Q, arena);
    if (s.max_order < 2 || s.J < 2) return;
    wavelet.stride = spread<T>(s.Np / 2 * tile_rows * 2 * Q);
    wavelet.p = arena.take<T>(ceil_div(s.Mp / 2, tile_rows) * wavelet.stride);
    reduced = reduced_plane<T>(s.Mp / 2, s.n * Q, arena);
    if (pass != Pass::forward) grad_spectrum = arena.take<T>(s.Np * 2 * round_up(s.Mp + 1, W));
  }
};

}  // namespace SCATCUDA_ISA
}  // namespace scatcuda
