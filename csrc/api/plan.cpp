// Plans: from tables, which are checked before anything is read through them, and what they are.
#include "plan.h"

#include <cstring>
#include <new>

#include "../core/schedule.h"

namespace scatcuda {
namespace {

Problem problem_of(const scatcuda_tables& t) {
  return {t.J, t.L, t.max_order, t.M, t.N, t.pre_pad != 0};
}

scatcuda_status check_problem(const scatcuda_tables& t, scatcuda_message* message) {
  if (t.type != SCATCUDA_FLOAT32 && t.type != SCATCUDA_FLOAT64) {
    return fail(message, SCATCUDA_BAD_PLAN,
                "the type must be SCATCUDA_FLOAT32 or SCATCUDA_FLOAT64; got %d",
                static_cast<int>(t.type));
  }
  Shape shape;
  if ((t.pre_pad & ~int64_t{1}) != 0 || shape_of(problem_of(t), &shape) != Status::ok) {
    return fail(message, SCATCUDA_BAD_PLAN,
                "there is no transform with J = %lld, L = %lld, max_order = %lld of images of "
                "%lld x %lld, pre_pad = %lld",
                static_cast<long long>(t.J), static_cast<long long>(t.L),
                static_cast<long long>(t.max_order), static_cast<long long>(t.M),
                static_cast<long long>(t.N), static_cast<long long>(t.pre_pad));
  }
  if (t.psi_entries < 0 || t.psi_entries > most_numbers || t.psi_entries % angle_lanes(t.L) != 0) {
    return fail(message, SCATCUDA_BAD_PLAN,
                "psi must have a multiple of %lld numbers, angles in whole vectors; got %lld",
                static_cast<long long>(angle_lanes(t.L)), static_cast<long long>(t.psi_entries));
  }
  return SCATCUDA_OK;
}

}  // namespace

scatcuda_status sizes_of(const scatcuda_tables& tables, Sizes* sizes, scatcuda_message* message) {
  const scatcuda_status status = check_problem(tables, message);
  if (status != SCATCUDA_OK) return status;
  const Problem problem = problem_of(tables);
  Shape shape;
  shape_of(problem, &shape);
  const int64_t type = tables.type, integer = sizeof(int64_t);
  sizes->psi_support = psi_tables(problem) * 5 * integer;
  sizes->phi_support = problem.J * (shape.m + shape.n) * 2 * integer;
  sizes->psi = tables.psi_entries * type;
  sizes->phi = phi_entries(problem) * type;
  return SCATCUDA_OK;
}

scatcuda_status make_plan(const scatcuda_tables& tables, scatcuda_plan** plan,
                          scatcuda_message* message) {
  Sizes sizes;
  scatcuda_status status = sizes_of(tables, &sizes, message);
  if (status != SCATCUDA_OK) return status;
  const auto absent = [](int64_t bytes, const void* table) {
    return bytes > 0 && table == nullptr;
  };
  if (absent(sizes.psi, tables.psi) || absent(sizes.psi_support, tables.psi_support) ||
      absent(sizes.phi, tables.phi) || absent(sizes.phi_support, tables.phi_support)) {
    return fail(message, SCATCUDA_BAD_ARGUMENT, "a table that the problem needs is NULL");
  }

  const Places places(sizes, sizeof(scatcuda_plan));
  void* memory = nullptr;
  if (posix_memalign(&memory, 64, static_cast<size_t>(places.end)) != 0) {
    return fail(message, SCATCUDA_NO_MEMORY, "no memory for a plan of %lld bytes",
                static_cast<long long>(places.end));
  }
  const auto copy = [&](int64_t place, const void* table, int64_t size) {
    void* to = static_cast<char*>(memory) + place;
    if (size > 0) std::memcpy(to, table, static_cast<size_t>(size));
    return to;
  };
  const auto copy_support = [&](int64_t place, const int64_t* table, int64_t size) {
    return static_cast<const int64_t*>(copy(place, table, size));
  };
  auto* p = new (memory) scatcuda_plan{};
  p->problem = problem_of(tables);
  shape_of(p->problem, &p->shape);
  p->type = tables.type;
  p->psi_entries = tables.psi_entries;
  p->phi_entries = phi_entries(p->problem);
  p->sizes = sizes;
  p->psi = copy(places.psi, tables.psi, sizes.psi);
  p->phi = copy(places.phi, tables.phi, sizes.phi);
  p->psi_support = copy_support(places.psi_support, tables.psi_support, sizes.psi_support);
  p->phi_support = copy_support(places.phi_support, tables.phi_support, sizes.phi_support);
  // of the copy: nothing can change it any more
  const char* error = support_error(p->problem, p->psi_entries, p->psi_support, p->phi_support);
  if (error != nullptr) {
    std::free(memory);
    return fail(message, SCATCUDA_BAD_PLAN, "%s", error);
  }
  *plan = p;
  return SCATCUDA_OK;
}

}  // namespace scatcuda

using namespace scatcuda;

const char* scatcuda_version(void) { return SCATCUDA_VERSION; }

const char* scatcuda_status_name(scatcuda_status status) {
  switch (status) {
    case SCATCUDA_OK:
      return "SCATCUDA_OK";
    case SCATCUDA_BAD_ARGUMENT:
      return "SCATCUDA_BAD_ARGUMENT";
    case SCATCUDA_BAD_PLAN:
      return "SCATCUDA_BAD_PLAN";
    case SCATCUDA_CANNOT_READ:
      return "SCATCUDA_CANNOT_READ";
    case SCATCUDA_NO_MEMORY:
      return "SCATCUDA_NO_MEMORY";
    case SCATCUDA_WORKSPACE_TOO_SMALL:
      return "SCATCUDA_WORKSPACE_TOO_SMALL";
    case SCATCUDA_NO_CUDA:
      return "SCATCUDA_NO_CUDA";
    case SCATCUDA_NO_FFT:
      return "SCATCUDA_NO_FFT";
    case SCATCUDA_CUDA_FAILED:
      return "SCATCUDA_CUDA_FAILED";
  }
  return "no status of scatcuda";
}

scatcuda_status scatcuda_plan_create(const scatcuda_tables* tables, scatcuda_plan** plan,
                                     scatcuda_message* message) {
  if (plan == nullptr) return fail(message, SCATCUDA_BAD_ARGUMENT, "plan is NULL");
  *plan = nullptr;
  if (tables == nullptr) return fail(message, SCATCUDA_BAD_ARGUMENT, "tables is NULL");
  return make_plan(*tables, plan, message);
}

void scatcuda_plan_destroy(scatcuda_plan* plan) { std::free(plan); }

scatcuda_description scatcuda_plan_describe(const scatcuda_plan* plan) {
  if (plan == nullptr) return {};
  const Problem& p = plan->problem;
  const Shape& s = plan->shape;
  return {plan->type,
          p.J,
          p.L,
          p.max_order,
          p.M,
          p.N,
          p.pre_pad,
          s.channels,
          s.m,
          s.n,
          plan->psi_entries,
          plan->phi_entries};
}

scatcuda_path scatcuda_plan_path(const scatcuda_plan* plan, int64_t channel) {
  scatcuda_path path{-1, -1, -1, -1, -1};
  if (plan == nullptr || channel < 0 || channel >= plan->shape.channels) return path;
  const int64_t J = plan->problem.J, L = plan->problem.L;
  path.order = 0;
  if (channel == 0) return path;
  channel -= 1;
  path.order = 1;
  if (channel < J * L) {
    path.j1 = channel / L, path.theta1 = channel % L;
    return path;
  }
  channel -= J * L;
  path.order = 2;
  int64_t above = J - 1;  // scales above j1
  for (path.j1 = 0; channel >= L * L * above; ++path.j1, --above) channel -= L * L * above;
  path.theta1 = channel / (L * above);
  path.j2 = path.j1 + 1 + channel % (L * above) / L;
  path.theta2 = channel % L;
  return path;
}
