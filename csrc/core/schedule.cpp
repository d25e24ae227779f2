// Sizes of a problem, for who calls the engines.
#include "schedule.h"

namespace scatcuda {

Status shape_of(const Problem& p, Shape* shape) {
  // limits far beyond use, within which no size below can overflow
  constexpr int64_t most_angles = 1 << 12, longest_side = 1 << 24;
  if (p.J < 1 || p.J > max_scales || p.L < 1 || p.L > most_angles || p.M > longest_side ||
      p.N > longest_side || p.max_order < 0 || p.max_order > 2) {
    return Status::bad_problem;
  }
  const int64_t scale = int64_t{1} << p.J;
  if (p.pre_pad ? p.M % scale != 0 || p.N % scale != 0 || p.M / scale < 3 || p.N / scale < 3
                : p.M < scale || p.N < scale) {
    return Status::bad_problem;
  }
  const Schedule s = schedule_of(p);
  *shape = {s.Mp, s.Np, s.m, s.n, s.channels};
  return Status::ok;
}

int64_t angle_lanes(int64_t L) { return schedule_of({1, L, 0, 2, 2, false}).lanes; }
int64_t psi_tables(const Problem& problem) { return schedule_of(problem).wavelet_tables(); }
int64_t phi_entries(const Problem& problem) { return schedule_of(problem).phi_offset(problem.J); }

}  // namespace scatcuda
