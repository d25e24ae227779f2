// A scattering transform as data: the formula S x = A ρ W_J … ρ W_1 x as a short table of steps
// over scale paths, which the engines walk and nobody but a builder writes. J, L and orders are
// words of the builders (scatcuda/program/); nothing here knows them.
//
//   wavelet   U = ρ( IDFT fold( Û_source · ψ̂ ) ) for all filters ψ of a set
//   group     gathers planes along an axis of their own (angles, log-frequencies), filters that
//             axis, keeps every s-th, ρ
//   average   A U: low-pass matrices for each axis, or the mean, or sums of powers -> channels
//   pair      means of products of planes -> channels
//
// A program travels as text, with the operators' arguments and in plan files. Statements are parted
// by ";", their words by one space:
//
//   x 32r4+4 32r4+4          the signal: of each axis its size and the padding before + after it: r
//                            reflects without the edge, s with it, z adds zeros, p goes round
//   S 81 8 8                 the result of a signal: channels, then their sides, if any
//   psi 8 40 40              a set of filters: how many, and the grid whose spectra they multiply
//   phi 8 40                 a matrix: outputs, inputs; with /5 behind, for signals of one axis,
//                            every row is the one before it, turned by 5
//   wavelet x 0 /1 /1 modulus        source (x, or a step before), set, of each axis /k, the mean
//                            over k aliases, or <k, the lowest bins; ρ: modulus, norm (over the
//                            set), none, or phase:p, |z| e^{i p arg z}
//   average 0 by 0 1 at 1+1  source, a matrix for each axis, or `mean`, or `power q …`; the channel
//                            of the first plane and what each digit of a plane's number adds
//   group 3,4 2x4 0,~3,-,1,… 5 /2 modulus   sources, whose planes are counted on; planes gathered,
//                            ~ for a conjugate, - for zero; the set, whose grid is the axis, longer
//                            where it is padded with zeros behind; every 2nd is kept; modulus,
//                            none, or mean, of the moduli of all places
//   pair 1 2 0:3,1:4 at 7    see Step
//
// A wavelet step filters the signal or another wavelet step's planes, real ones; group and pair
// take any. Steps, sets and matrices are numbered from 0 each. The planes of a wavelet step have
// its source's numbers with one digit more, the filter (norm: without); those of a group step have
// three: group, filter, place (mean: without).
#pragma once

#include <memory>
#include <string>

#include "fft.h"

namespace scatcuda {

constexpr int max_rank = 3, max_level = 24, max_digits = max_level + 3;
// How large a program may be: far beyond use, and so that no size of one overflows. A table of
// filters is that of one set, or the whole of phi. scatcuda/limits.py has the same.
constexpr int64_t longest_side = 1 << 24, most_steps = 1 << 13, longest_text = 1 << 24;
constexpr int64_t most_filters = 1 << 12;                 // of a set
constexpr int64_t most_planes = 1 << 20;                  // of a step; averaged; paired
constexpr int64_t most_numbers = int64_t{1} << 40;        // of a table
constexpr int64_t most_batch_numbers = int64_t{1} << 58;  // of signals and results

// Sides by the parts that axes play in the engines: signals of rank 1 have a last axis alone, of
// rank 2 a first and a last; the others have one point.
struct Grid {
  int64_t first, middle, last;
};

enum class Pad { none, reflect, symmetric, zeros, periodic };
struct Axis {
  int64_t size, before, after;
  Pad pad;
};

struct Set {
  int64_t count, lanes;  // filters are stored in whole vectors: 4, 8 or a multiple of 16
  int axes;
  int64_t side[max_rank], points;  // their product
  int64_t row;                     // its first number in psi_support
};

struct Matrix {
  int64_t outputs, inputs;
  int64_t every;       // by so much row o + 1 is row o turned; 0: it is another
  int64_t first, row;  // its first number in phi, and row of phi_support

  // Rows that are turned lie over each other, the last one first
  int64_t numbers() const { return every > 0 ? inputs + every * (outputs - 1) : inputs * outputs; }
  int64_t stride() const { return every > 0 ? -every : inputs; }  // from a row to the next
  int64_t first_row() const { return first + every * (outputs - 1); }
};

// A Fourier transform of one length, whose twiddles are every bases[base] / side-th of those of a
// padded side, or of an axis that groups have
struct LinePlan {
  int64_t side;
  int base;
  Radices radices;
};

enum class Kind { wavelet, group, average, pair };
enum class Rho { none, modulus, norm, phase, mean };
enum class Mean { matrices, mean, powers };

struct Step {
  Kind kind;
  int source = -1;  // −1: the signal. The first of several
  int set = -1;

  // wavelet and group: planes, of which another step may be made
  Rho rho = Rho::none;
  double phase = 0;
  Grid fold{1, 1, 1};  // fold or crop, by how much
  bool crop_first = false, crop_middle = false, crop_last = false;
  Grid grid{1, 1, 1};              // of its planes
  int line[3] = {};                // along its axes, by part
  int group_line = -1;             // along the axis of a group
  int level = 0;                   // wavelets in a row
  int digits = 0;                  // of a plane's number,
  int64_t digit[max_digits] = {};  // their ranges
  int64_t planes = 0;              // the product
  const int* children = nullptr;   // wavelet steps whose source it is
  int child_count = 0;
  int average = -1;       // the step that averages it
  bool stored = false;    // group or pair takes its planes,
  bool spectral = false;  // a pair with weights their spectra

  // group: planes[table[g · length + i]] for g < groups, i < length
  const int* sources = nullptr;
  int source_count = 0;
  int64_t groups = 0, length = 0, every = 1;
  const int64_t* table = nullptr;  // 2 · plane + conjugate, or −1

  // average
  Mean mean = Mean::matrices;
  int matrix[3] = {-1, -1, -1};  // of the first, middle and last axis; −1 where there is none
  Grid outputs{1, 1, 1};         // numbers of a plane
  const double* powers = nullptr;
  int power_count = 0;
  int64_t channel = 0, stride[max_digits] = {};  // of the first plane, and of each digit
  int64_t plane_channels = 1;

  // pair: Σ_u U_a(u) conj U_b(u + shift) / points for planes a of `source`, b of `other`; or, for
  // every filter ψ̂ of `set`, the sum over its bins, the lowest ones of both grids, of
  // Û_a conj Û_b ψ̂ / points², shifted by samples of the signal. Real and, where `parts` is 2,
  // imaginary part: channels by pair, filter, shift, part.
  int other = -1, parts = 1;
  int64_t pairs = 0, shifts = 0;
  const int64_t *pair = nullptr, *shift = nullptr;  // [pairs, 2]; [shifts, 3]
};

// Plain data, kept alive by who parsed it: nothing in the engines allocates
struct Program {
  int rank;
  Axis axis[max_rank];
  Axis padding[3];  // by part
  Grid signal, padded;
  int line[3];  // along the padded signal
  int64_t channels;
  int sides;
  int64_t side[max_rank], unit;  // of a channel; its numbers
  const Set* sets;
  const Matrix* matrices;
  const Step* steps;
  const LinePlan* lines;
  const int64_t* bases;
  int set_count, matrix_count, step_count, line_count, base_count;
  const int* children;  // wavelet steps of the signal
  int child_count;
  int average;    // the step that averages the signal
  bool stored;    // pair takes the signal,
  bool spectral;  // or, with weights, its spectrum
  bool gathered;  // there is a group or a pair
  int levels;
  int64_t psi_support_numbers, phi_numbers, phi_rows;
};

using ProgramPointer = std::shared_ptr<const Program>;

// The program of a text, or null and in `why` a sentence that names the step which cannot be.
// Texts that were parsed before are remembered.
ProgramPointer parse_program(const std::string& text, std::string* why);

// The support tables address the others: which of them leads outside, in a few words, or null.
// `psi_entries` is the length of psi. The CPU engine trusts its tables.
const char* support_error(const Program& program, int64_t psi_entries, const int64_t* psi_support,
                          const int64_t* phi_support);
const char* psi_support_error(const Program& program, int64_t psi_entries,
                              const int64_t* psi_support);

// How many numbers of psi the tables of a support that fits are
int64_t table_numbers(const Program& program, const int64_t* psi_support);

int64_t most_signals(const Program& program);  // of a batch
int64_t lanes_of(int64_t count);

inline namespace SCATCUDA_ISA {

SCATCUDA_HD constexpr int64_t points_of(const Grid& g) { return g.first * g.middle * g.last; }

// Real planes have one, complex ones two.
constexpr int parts_of(const Step& s) { return s.rho == Rho::none || s.rho == Rho::phase ? 2 : 1; }

// Of a group, how many it keeps
constexpr int64_t places_of(const Step& s) { return ceil_div(s.length, s.every); }

// Whether a band [low, high) of points modulo `side` is one: it may begin before the first point or
// end behind the last.
SCATCUDA_HD constexpr bool is_band(int64_t low, int64_t high, int64_t side) {
  return -side <= low && low <= side && low <= high && high <= low + side;
}

// Where a step that averages sends a plane
inline int64_t channel_of(const Step& average, const Step* source, int64_t plane) {
  int64_t channel = average.channel;
  for (int i = source == nullptr ? 0 : source->digits; i-- > 0; plane /= source->digit[i]) {
    channel += plane % source->digit[i] * average.stride[i];
  }
  return channel;
}

}  // namespace SCATCUDA_ISA
}  // namespace scatcuda
