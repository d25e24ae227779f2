// Recognises the program that the fused kernels do: wavelet steps of the signal by 1, 2, 4, …, and
// where others follow one to every coarser resolution, each with the set, the matrices and the
// channels that Cascade says.
#include "cascade.h"

namespace scatcuda {
namespace cuda {
namespace {

bool is_padded_as_they_pad(const Axis& axis, int64_t padded) {
  if (axis.pad == Pad::none) return true;
  const int64_t added = padded - axis.size;
  return axis.pad == Pad::reflect && axis.before == added / 2;
}

// The step that averages planes of resolution res, whose channels begin at `channel`
const Step* averaged(const Program& p, const Cascade& c, int step, int64_t res, int64_t channel) {
  if (step < 0) return nullptr;
  const Step& s = p.steps[step];
  const bool fits = s.mean == Mean::matrices && s.matrix[0] == 2 * res &&
                    s.matrix[2] == 2 * res + 1 && s.outputs.first == c.m && s.outputs.last == c.n &&
                    s.plane_channels == 1 && s.channel == channel;
  return fits ? &s : nullptr;
}

// Whether digit i of the numbers of planes leads so many channels further
bool leads(const Step& average, const Step& source, int i, int64_t stride) {
  return average.stride[i] == stride || source.digit[i] == 1;
}

// Whether a step takes planes from resolution `from` to res by set `table`
bool is_wavelet(const Program& p, const Cascade& c, const Step& s, int64_t from, int64_t res,
                int64_t table) {
  const int64_t k = int64_t{1} << (res - from);
  const bool crops = s.crop_first || s.crop_last;
  return s.rho == Rho::modulus && !s.stored && s.set == table && p.sets[s.set].count == c.filters &&
         s.fold.first == k && s.fold.last == k && !crops;
}

}  // namespace

bool match(const Program& p, Cascade* cascade) {
  if (p.rank != 2 || p.sides != 2 || p.stored || p.average < 0 || p.child_count > most_levels) {
    return false;
  }
  for (int i = 0; i < 2; ++i) {
    const int64_t padded = i == 0 ? p.padded.first : p.padded.last;
    if (!is_padded_as_they_pad(p.axis[i], padded)) return false;
  }
  Cascade c{};
  c.levels = max(p.child_count, 1);
  c.M = p.signal.first, c.N = p.signal.last, c.Mp = p.padded.first, c.Np = p.padded.last;
  c.m = p.side[0], c.n = p.side[1], c.channels = p.channels;
  if (p.child_count > 0) {
    const Step& first = p.steps[p.children[0]];
    c.filters = p.sets[first.set].count, c.lanes = p.sets[first.set].lanes;
    c.depth = first.child_count > 0 ? 2 : 1;
  } else {
    c.filters = 1, c.lanes = lanes_of(1);
  }
  // the coarsest planes have room for what comes of them, and lines of the others have pairs
  if (c.Mp % (int64_t{1} << c.levels) != 0 || c.Np % (int64_t{1} << c.levels) != 0 ||
      c.m > c.rows(c.levels - 1) || c.n > c.columns(c.levels - 1)) {
    return false;
  }
  if (averaged(p, c, p.average, 0, 0) == nullptr) return false;
  int64_t steps = 1;
  for (int64_t fine = 0; fine < p.child_count; ++fine) {
    const Step& s = p.steps[p.children[fine]];
    if (!is_wavelet(p, c, s, 0, fine, fine)) return false;
    const Step* average = averaged(p, c, s.average, fine, c.channel(fine));
    if (average == nullptr || !leads(*average, s, 0, 1)) return false;
    const int64_t coarser = c.depth > 1 ? c.levels - 1 - fine : 0;
    if (s.child_count != coarser) return false;
    for (int64_t coarse = fine + 1; coarse <= fine + coarser; ++coarse) {
      const Step& second = p.steps[s.children[coarse - fine - 1]];
      if (!is_wavelet(p, c, second, fine, coarse, c.set(fine, coarse))) return false;
      average = averaged(p, c, second.average, coarse, c.channel(fine, 0, coarse));
      if (average == nullptr || second.child_count > 0 || !leads(*average, second, 1, 1) ||
          !leads(*average, second, 0, c.filters * coarser)) {
        return false;
      }
    }
    steps += 2 * (1 + coarser);
  }
  *cascade = c;
  return steps == p.step_count;
}

}  // namespace cuda
}  // namespace scatcuda
