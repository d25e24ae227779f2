// Where everything of one transform lies: one workspace from the caller, cut into the buffers of a
// signal (shared by the threads that work on it) and those of a thread. Nothing else is allocated.
#pragma once

#include "../core/program.h"
#include "fft_line.h"

namespace scatcuda {
inline namespace SCATCUDA_ISA {

// Hands out pieces of the workspace; with a null base it only counts the bytes, up to more than
// there can be.
class Arena {
 public:
  explicit Arena(void* base) : base_(static_cast<char*>(base)) {}
  template <class T>
  T* take(int64_t count) {
    constexpr int64_t most = int64_t{1} << 61, size = static_cast<int64_t>(sizeof(T));
    T* p = base_ ? reinterpret_cast<T*>(base_ + used_) : nullptr;
    used_ = min(most, used_ + (count > most / size ? most : round_up(count * size, alignment)));
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

// A plane of complex elements of Q lanes, [lines][elements][2][Q]. Between a wavelet's first axis
// and its last it is tiled, [first / 4][middle][last][4]: a walk down the first axis then touches a
// quarter of the pages, and four rows are read as one stream.
template <class T>
struct Plane {
  T* p = nullptr;
  int64_t stride = 0;  // numbers from a line to the next
};

// Numbers from a line of the middle axis to the next, in W and in Û before its last DFT: the middle
// axis' DFT walks by so much, and powers of two would fall into one set of a cache.
template <class T>
int64_t middle_of_tiles(const Grid& grid, int64_t Q) {
  return spread<T>(grid.last * tile_rows * 2 * Q);
}
template <class T>
int64_t middle_across(const Grid& grid, int64_t Q) {
  return grid.middle == 1 ? grid.first * 2 * Q : spread<T>(grid.first * 2 * Q);
}

// The spectrum of real planes, of the last axis only the bins k2 = 0 … last/2; columns (k1, k2) of
// the middle and last axis, in each the real parts along the first axis and, `im` numbers on, the
// imaginary parts. The other columns are mirrored conjugates; row `grid.first` repeats row 0, so
// that a mirrored walk up the rows may begin there.
template <class T>
struct Spectrum {
  T* p;
  int64_t im, column;  // numbers to the imaginary part, and to the next column
  Grid grid;

  int64_t kept() const { return grid.middle * (grid.last / 2 + 1); }
  T* at(int64_t k1, int64_t k2) const { return p + (k2 * grid.middle + k1) * column; }
};
template <class T>
Spectrum<T> spectrum_at(T* p, const Grid& grid) {
  const int64_t rows = round_up(grid.first + 1, full_lanes<T>);
  return {p, rows, 2 * rows, grid};
}
// Columns of which there is room: in the sums of gradients none is the mirror of another.
template <class T>
int64_t spectrum_numbers(const Grid& grid, bool whole) {
  const Spectrum<T> s = spectrum_at<T>(nullptr, grid);
  return (whole ? grid.middle * grid.last : s.kept()) * s.column;
}

// What a task is
enum class Pass { forward, backward, backward_with_phi };

// How the planes of one wavelet step lie while they are made, all filters on one source plane: in
// chunks of Q filters, `slots` rows or columns of them in a vector.
template <class T>
struct Layout {
  int slots = 1;
  int64_t Q = 1, chunks = 1, kept_chunks = 1;
  int64_t wavelet_stride = 0, wavelet = 0;  // W of a chunk after the first axis' inverse DFT
  int64_t reduced_stride = 0, reduced = 0;  // U after the low-pass of the last axis, real
  int64_t across_stride = 0, across = 0;  // U after the last axis' DFT [last/2 + 1, middle, first]
  int64_t u_hat = 0;                      // Û of one filter, a Spectrum
  bool twice = false;                     // whether two source planes may be filtered at once

  Layout(const Program& p, const Step& s, Pass pass) {
    constexpr int64_t W = full_lanes<T>;
    const Set& set = p.sets[s.set];
    slots = set.lanes == 4 && W >= 16 ? static_cast<int>(W / 4) : set.lanes <= W / 2 ? 2 : 1;
    Q = W / slots;
    chunks = ceil_div(set.count, Q);
    const bool further = s.child_count > 0;
    // what follows goes back through all chunks, and a norm needs them at once
    const bool all = s.rho == Rho::norm || (pass != Pass::forward && further);
    kept_chunks = all ? chunks : 1;
    wavelet_stride = spread<T>(s.grid.middle * middle_of_tiles<T>(s.grid, Q));
    wavelet = ceil_div(s.grid.first, tile_rows) * wavelet_stride;
    if (s.average >= 0) {
      reduced_stride = round_up(p.steps[s.average].outputs.last * Q, W);
      reduced = s.grid.first * s.grid.middle * reduced_stride;
    }
    // Both W must stay in a second-level cache of 1 MB, beside what they are made of: at 900 KB
    // each, two at once were slower than one after the other.
    constexpr int64_t most_twice = (int64_t{400} << 10) / static_cast<int64_t>(sizeof(T));
    twice = p.rank == 2 && pass == Pass::forward && s.level > 1 && s.average >= 0 && !further &&
            !s.stored && s.rho == Rho::modulus && wavelet <= most_twice;
    if (!further) return;
    across_stride = spread<T>(s.grid.middle * middle_across<T>(s.grid, Q));
    across = (s.grid.last / 2 + 1) * across_stride;
    u_hat = spectrum_numbers<T>(s.grid, false);
  }
};

// Room for the wavelet steps of one level, one after the other
template <class T>
struct LevelBuffers {
  T* wavelet = nullptr;
  T* wavelet_2 = nullptr;  // of two source planes at once, the second's
  T* reduced = nullptr;
  T* across = nullptr;
  T* u_hat = nullptr;
  T* grad_source = nullptr;  // backward: the gradient of the spectrum that they take

  LevelBuffers(const Program& p, int level, Pass pass, Arena& arena) {
    int64_t waves = 0, seconds = 0, reduces = 0, acrosses = 0, u_hats = 0, grads = 0;
    for (int i = 0; i < p.step_count; ++i) {
      const Step& s = p.steps[i];
      if (s.kind != Kind::wavelet || s.level != level) continue;
      const Layout<T> l(p, s, pass);
      waves = max(waves, l.kept_chunks * l.wavelet);
      if (l.twice) seconds = max(seconds, l.wavelet);
      reduces = max(reduces, l.reduced);
      acrosses = max(acrosses, l.across);
      u_hats = max(u_hats, l.chunks * l.Q * l.u_hat);
      const Grid& from = s.source < 0 ? p.padded : p.steps[s.source].grid;
      grads = max(grads, pass == Pass::forward ? 0 : spectrum_numbers<T>(from, true));
    }
    wavelet = arena.take<T>(waves);
    wavelet_2 = arena.take<T>(seconds);
    reduced = arena.take<T>(reduces);
    across = arena.take<T>(acrosses);
    u_hat = arena.take<T>(u_hats);
    grad_source = arena.take<T>(grads);
  }
};

// Planes that lie as they are, [planes][parts][points]: complex planes have two parts, real ones
// one
template <class T>
struct Planes {
  T* p = nullptr;
  int64_t points = 0;
  int parts = 1;
  T* of(int64_t plane, int part) const { return p + (plane * parts + part) * points; }
};

// Those of a step, or of the signal (−1), which others gather, among all that a program stores
template <class T>
Planes<T> planes_of(const Program& p, T* stored, int index) {
  const auto numbers = [&](int i) {
    const Step& s = p.steps[i];
    return s.stored ? s.planes * parts_of(s) * points_of(s.grid) : 0;
  };
  const int64_t signal = p.stored ? points_of(p.padded) : 0;
  if (index < 0) return {stored, signal, 1};
  int64_t before = signal;
  for (int i = 0; i < index; ++i) before += numbers(i);
  if (index == p.step_count) return {stored, before, 1};
  return {stored + before, points_of(p.steps[index].grid), parts_of(p.steps[index])};
}

// The spectra, over points, of the real planes of a source: for each its columns (k1, k2) of the
// middle and last axis, k2 = 0 … last/2, real parts along the first axis, then imaginary ones
template <class T>
struct HalfSpectra {
  T* p = nullptr;
  Grid grid{};
  int64_t count = 0;

  static int64_t numbers(const Grid& g) { return (g.last / 2 + 1) * g.middle * 2 * g.first; }
  T* at(int64_t plane, int64_t k1, int64_t k2) const {
    return p + plane * numbers(grid) + (k2 * grid.middle + k1) * 2 * grid.first;
  }
};

// Those of a step, or of the signal (−1), among all that a program keeps
template <class T>
HalfSpectra<T> spectra_of(const Program& p, T* spectra, int index) {
  const auto of = [&](int i) {
    const Step* s = i < 0 ? nullptr : p.steps + i;
    const bool kept = s == nullptr ? p.spectral : s->spectral;
    return HalfSpectra<T>{nullptr, s == nullptr ? p.padded : s->grid,
                          !kept          ? 0
                          : s == nullptr ? 1
                                         : s->planes * parts_of(*s)};
  };
  int64_t before = 0;
  for (int i = -1; i < index; ++i) {
    const HalfSpectra<T> h = of(i);
    before += h.count * h.numbers(h.grid);
  }
  HalfSpectra<T> found = index == p.step_count ? HalfSpectra<T>{} : of(index);
  found.p = spectra + before;
  if (index == p.step_count) found.count = before;
  return found;
}

// How many bins of a pair's spectra are worked on at a time, of so many real planes
template <class T>
int64_t block_length(int64_t planes) {
  constexpr int64_t W = full_lanes<T>, most = 512;
  return max(W, min(most, (int64_t{1} << 15) / planes / W * W));
}

// Room of a pair: a complex plane; with weights, blocks of the spectra of all planes, those of one
// side turned as well, and their gradients
template <class T>
int64_t pair_numbers(const Program& p, const Step& s, Pass pass) {
  const auto count = [&](int source) {
    return source < 0 ? 1 : p.steps[source].planes * parts_of(p.steps[source]);
  };
  if (s.set < 0) return 2 * points_of(s.grid);
  const int64_t planes = count(s.source) + count(s.other);
  const int64_t blocks = 2 * block_length<T>(planes) * (planes + count(s.other));
  return (pass == Pass::forward ? 1 : 2) * blocks + 2 * (s.grid.first + 1) + full_lanes<T>;
}

// Room to take the spectrum of a plane, of the largest grid of which that is asked
template <class T>
struct PlaneRoom {
  T *padded = nullptr, *half = nullptr, *spectrum = nullptr;

  PlaneRoom() = default;
  PlaneRoom(const Program& p, Arena& arena) {
    int64_t padded_ = 0, half_ = 0, spectrum_ = 0;
    const auto add = [&](const Grid& g) {
      const int64_t row = g.middle * round_up(g.last, 2 * full_lanes<T>);
      padded_ = max(padded_, g.first * row);
      half_ = max(half_, round_up(g.first / 2 + 1, full_lanes<T>) * 2 * row);
      spectrum_ = max(spectrum_, spectrum_numbers<T>(g, true));
    };
    if (p.spectral) add(p.padded);
    for (int i = 0; i < p.step_count; ++i) {
      if (p.steps[i].spectral) add(p.steps[i].grid);
    }
    padded = arena.take<T>(padded_), half = arena.take<T>(half_);
    spectrum = arena.take<T>(spectrum_);
  }
};

// A real plane, and what it becomes as it is averaged axis by axis
template <class T>
struct PlaneBuffers {
  int64_t width = 0;       // of a row, whole pairs of vectors
  T* padded = nullptr;     // [first, middle, width]
  T* lowpassed = nullptr;  // [outputs of the first axis, middle, width], and of the middle axis
  T* lowpassed_2 = nullptr;

  // `m`: the outputs of its average, 0 where there is none
  PlaneBuffers(const Program& p, const Grid& grid, const Grid& m, Arena& arena)
      : width(round_up(grid.last, 2 * full_lanes<T>)) {
    padded = arena.take<T>(points_of({grid.first, grid.middle, width}));
    lowpassed = arena.take<T>(m.first * grid.middle * width);
    lowpassed_2 = p.rank < 3 ? lowpassed : arena.take<T>(m.first * m.middle * width);
  }
};

// Of a signal
template <class T>
struct SignalBuffers : PlaneBuffers<T> {
  static constexpr int W = full_lanes<T>;
  T* half = nullptr;  // [first/2 + 1 (in whole vectors), 2, middle, width]: first axis transformed
  T* spectrum = nullptr;  // x̂, every column
  LevelBuffers<T> level;
  T *stored = nullptr, *grad_stored = nullptr;    // planes that are gathered, see planes_of
  T *spectra = nullptr, *grad_spectra = nullptr;  // of those that are paired, see HalfSpectra

  SignalBuffers(const Program& p, Pass pass, Arena& arena)
      : PlaneBuffers<T>(p, p.padded, p.average < 0 ? Grid{0, 0, 0} : p.steps[p.average].outputs,
                        arena),
        level(p, 1, pass, arena) {
    if (p.gathered) {
      const int64_t numbers = planes_of<T>(p, nullptr, p.step_count).points;
      stored = arena.take<T>(numbers);
      if (pass != Pass::forward) grad_stored = arena.take<T>(numbers);
      const int64_t of_spectra = spectra_of<T>(p, nullptr, p.step_count).count;
      spectra = arena.take<T>(of_spectra);
      if (pass != Pass::forward) grad_spectra = arena.take<T>(of_spectra);
    }
    if (p.child_count == 0) return;
    half = arena.take<T>(round_up(p.padded.first / 2 + 1, W) * 2 * p.padded.middle * this->width);
    spectrum = arena.take<T>(spectrum_numbers<T>(p.padded, true));
  }
};

// Rows of |W| that the gradient of a low-pass takes at a time: as many as stay in the cache, with a
// vector to run over
template <class T>
struct ModulusRows {
  static constexpr int64_t W = full_lanes<T>, most = 8;
  static int64_t apart(int64_t inputs) { return (inputs + W) * W; }
  static int64_t count(int64_t inputs) {
    return max(1, min(most, (int64_t{1} << 15) / apart(inputs)));
  }
};

// Of a thread
template <class T>
struct ThreadBuffers {
  static constexpr int W = full_lanes<T>;
  T *line, *work, *spare;         // one line of complex vectors each
  T *mirror, *line_2, *mirror_2;  // likewise: with one slot, the opposite columns; of two spectra
  T* start = nullptr;  // backward: a line, what two rows of U are sent back from the next order
  T* norm = nullptr;   // backward: a line, the norms of a row
  T* tile = nullptr;   // coefficients before their filters are parted, after each axis
  T* tile_2 = nullptr;
  T* lowpassed = nullptr;        // backward: |W| Qᵀ, for the low-pass' own gradient,
  T* moduli = nullptr;           // and rows of |W|, see LowpassGradient
  T* group = nullptr;            // a line, the spectrum along the axis of a group
  Planes<T>* sources = nullptr;  // of a group, and the gradients of theirs
  Planes<T>* grad_sources = nullptr;
  T* pair = nullptr;                            // see Pair
  PlaneRoom<T> spectrum;                        // of a plane that is paired
  PlaneBuffers<T> plane;                        // of a group
  T *stored = nullptr, *grad_stored = nullptr;  // those of the signal that it works on
  LevelBuffers<T>* levels = nullptr;            // from the second on

  ThreadBuffers(const Program& p, Pass pass, Arena& arena) : plane(gathering(p, pass, arena)) {
    int64_t longest = 0;
    for (int i = 0; i < p.base_count; ++i) longest = max(longest, p.bases[i]);
    const int64_t length = (longest + 2 * W) * 2 * W;  // and two vectors to run over
    line = arena.take<T>(length);
    work = arena.take<T>(length);
    spare = arena.take<T>(length);
    mirror = arena.take<T>(length);
    line_2 = arena.take<T>(length);
    mirror_2 = arena.take<T>(length);
    if (pass != Pass::forward) start = arena.take<T>(length), norm = arena.take<T>(length);
    using Rows = ModulusRows<T>;
    int64_t tiles = 0, tiles_2 = 0, lowpasses = 0, rows = 0;
    for (int i = 0; i < p.step_count; ++i) {
      const Step& s = p.steps[i];
      if (s.kind != Kind::wavelet || s.average < 0) continue;
      const Grid& m = p.steps[s.average].outputs;
      const Layout<T> l(p, s, pass);
      tiles = max(tiles, m.first * s.grid.middle * l.reduced_stride);
      tiles_2 = max(tiles_2, m.first * m.middle * l.reduced_stride);
      lowpasses = max(lowpasses, l.reduced);
      rows = max(rows, Rows::count(s.grid.last) * Rows::apart(s.grid.last));
    }
    tile = arena.take<T>(tiles);
    tile_2 = p.rank < 3 ? tile : arena.take<T>(tiles_2);
    if (pass == Pass::backward_with_phi) {
      lowpassed = arena.take<T>(lowpasses);
      moduli = arena.take<T>(rows);
    }
    const int count = p.levels > 1 ? p.levels - 1 : 0;
    levels = arena.take<LevelBuffers<T>>(count);
    for (int i = 0; i < count; ++i) {
      const LevelBuffers<T> buffers(p, i + 2, pass, arena);
      if (levels != nullptr) levels[i] = buffers;
    }
    if (p.gathered) group = arena.take<T>(length);
  }

 private:
  // What groups and pairs need
  PlaneBuffers<T> gathering(const Program& p, Pass pass, Arena& arena) {
    int64_t source_count = 0, pairs = 0;
    Grid grid{0, 0, 0}, outputs{0, 0, 0};
    for (int i = 0; i < p.step_count; ++i) {
      const Step& s = p.steps[i];
      if (s.kind == Kind::pair) pairs = max(pairs, pair_numbers<T>(p, s, pass));
      if (s.kind != Kind::group) continue;
      source_count = max(source_count, s.source_count);
      if (s.average < 0) continue;
      const Grid& m = p.steps[s.average].outputs;
      grid = {max(grid.first, s.grid.first), max(grid.middle, s.grid.middle),
              max(grid.last, s.grid.last)};
      outputs = {max(outputs.first, m.first), max(outputs.middle, m.middle), 1};
    }
    sources = arena.take<Planes<T>>(source_count);
    grad_sources = arena.take<Planes<T>>(source_count);
    pair = arena.take<T>(pairs);
    spectrum = PlaneRoom<T>(p, arena);
    return PlaneBuffers<T>(p, grid, outputs, arena);
  }
};

}  // namespace SCATCUDA_ISA
}  // namespace scatcuda
