// Sizes of a problem, for who calls the engines, and whether its tables fit them.
#include "schedule.h"

namespace scatcuda {

Status shape_of(const Problem& p, Shape* shape) {
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
  if (s.channels > most_channels || s.Mp * s.Np > most_numbers / s.lanes ||
      s.phi_offset(s.J) > most_numbers) {
    return Status::bad_problem;
  }
  *shape = {s.Mp, s.Np, s.m, s.n, s.channels};
  return Status::ok;
}

int64_t most_images(const Problem& problem) {
  const Schedule s = schedule_of(problem);
  return most_batch_numbers / (s.M * s.N + s.channels * s.m * s.n);
}

int64_t angle_lanes(int64_t L) { return schedule_of({1, L, 0, 2, 2, false}).lanes; }
int64_t psi_tables(const Problem& problem) { return schedule_of(problem).wavelet_tables(); }
int64_t phi_entries(const Problem& problem) { return schedule_of(problem).phi_offset(problem.J); }

const char* support_error(const Problem& problem, int64_t psi_entries, const int64_t* psi_support,
                          const int64_t* phi_support) {
  const Schedule s = schedule_of(problem);
  const auto outside = [](int64_t low, int64_t high, int64_t size) {
    return low < 0 || low > high || high > size;
  };
  const int64_t entries = psi_entries / s.lanes;
  const int64_t* box = psi_support;
  const auto box_fits = [&](int64_t res) {
    const int64_t rows = s.rows(res), columns = s.columns(res);
    const int64_t first = box[0], head = box[1], tail = box[2], left = box[3], right = box[4];
    box += 5;
    if (outside(head, tail, rows) || outside(left, right, columns) || first < 0) return false;
    // only now can the product not overflow
    return first <= entries - (rows - tail + head) * (columns - right + left);
  };
  bool fits = true;
  for (int64_t j = 0; problem.max_order > 0 && j < s.J; ++j) fits &= box_fits(0);
  for (int64_t res = 1; problem.max_order > 1 && res < s.J; ++res) {
    for (int64_t j = res + 1; j < s.J; ++j) fits &= box_fits(res);
  }
  if (!fits) return "psi_support has a box that reaches outside psi";
  const int64_t* band = phi_support;
  for (int64_t res = 0; res < s.J; ++res) {
    for (int64_t o = 0; o < s.m + s.n; ++o, band += 2) {
      const int64_t side = o < s.m ? s.rows(res) : s.columns(res);
      if (!is_band(band[0], band[1], side)) return "phi_support has a row that reaches outside phi";
    }
  }
  return nullptr;
}

}  // namespace scatcuda
