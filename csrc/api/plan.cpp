// Plans: from tables, which are checked before anything is read through them, and what they are.
#include "plan.h"

#include <cstring>
#include <utility>

namespace scatcuda {

scatcuda_status read_program(const std::string& text, const scatcuda_tables& tables,
                             ProgramPointer* program, Sizes* sizes, scatcuda_message* message) {
  if (tables.type != SCATCUDA_FLOAT32 && tables.type != SCATCUDA_FLOAT64) {
    return fail(message, SCATCUDA_BAD_PLAN,
                "the type must be SCATCUDA_FLOAT32 or SCATCUDA_FLOAT64; got %d",
                static_cast<int>(tables.type));
  }
  if (tables.psi_entries < 0 || tables.psi_entries > most_numbers) {
    return fail(message, SCATCUDA_BAD_PLAN, "psi must have from 0 to %lld numbers; got %lld",
                static_cast<long long>(most_numbers), static_cast<long long>(tables.psi_entries));
  }
  std::string why;
  *program = parse_program(text, &why);
  if (*program == nullptr) return fail(message, SCATCUDA_BAD_PLAN, "program: %s", why.c_str());
  const Program& p = **program;
  const int64_t type = tables.type, integer = sizeof(int64_t);
  sizes->psi_support = p.psi_support_numbers * integer;
  sizes->phi_support = 2 * p.phi_rows * integer;
  sizes->psi = tables.psi_entries * type;
  sizes->phi = p.phi_numbers * type;
  return SCATCUDA_OK;
}

scatcuda_status make_plan(const std::string& text, const scatcuda_tables& tables,
                          scatcuda_plan** plan, scatcuda_message* message) {
  if (!cpu::available()) return fail(message, SCATCUDA_BAD_ARGUMENT, "%s", cpu::unavailable);
  ProgramPointer program;
  Sizes sizes;
  scatcuda_status status = read_program(text, tables, &program, &sizes, message);
  if (status != SCATCUDA_OK) return status;
  const auto absent = [](int64_t bytes, const void* table) {
    return bytes > 0 && table == nullptr;
  };
  if (absent(sizes.psi, tables.psi) || absent(sizes.psi_support, tables.psi_support) ||
      absent(sizes.phi, tables.phi) || absent(sizes.phi_support, tables.phi_support)) {
    return fail(message, SCATCUDA_BAD_ARGUMENT, "a table that the program needs is NULL");
  }

  std::string kept = text;  // before there is anything to give back
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
  p->text = std::move(kept);
  p->program = std::move(program);
  p->type = tables.type;
  p->psi_entries = tables.psi_entries;
  p->sizes = sizes;
  p->psi = copy(places.psi, tables.psi, sizes.psi);
  p->phi = copy(places.phi, tables.phi, sizes.phi);
  p->psi_support = copy_support(places.psi_support, tables.psi_support, sizes.psi_support);
  p->phi_support = copy_support(places.phi_support, tables.phi_support, sizes.phi_support);
  // of the copy: nothing can change it any more
  const char* error = support_error(*p->program, p->psi_entries, p->psi_support, p->phi_support);
  if (error != nullptr) {
    scatcuda_plan_destroy(p);
    return fail(message, SCATCUDA_BAD_PLAN, "%s", error);
  }
  const bool laid_out = with_type(tables.type, [&](auto number) {
    using T = decltype(number);
    const int64_t numbers = cpu::laid_out_numbers(*p->program, p->bank<T>());
    void* to = nullptr;
    if (numbers == 0) return true;
    if (posix_memalign(&to, 64, static_cast<size_t>(numbers) * sizeof(T)) != 0) return false;
    p->layout.reset(to);
    cpu::lay_out(*p->program, p->bank<T>(), static_cast<T*>(to));
    p->laid_out = to;
    return true;
  });
  if (!laid_out) {
    scatcuda_plan_destroy(p);
    return fail(message, SCATCUDA_NO_MEMORY, "no memory for the filters of a plan once more");
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
  scatcuda_tables taken{};
  const scatcuda_status status = take(*tables, "tables", &taken, message);
  if (status != SCATCUDA_OK) return status;
  if (taken.program == nullptr) return fail(message, SCATCUDA_BAD_ARGUMENT, "program is NULL");
  return with_memory(message, [&] {
    const size_t most = longest_text + 1;  // one that is longer is refused
    return make_plan({taken.program, strnlen(taken.program, most)}, taken, plan, message);
  });
}

void scatcuda_plan_destroy(scatcuda_plan* plan) {
  if (plan == nullptr) return;
  plan->~scatcuda_plan();
  std::free(plan);
}

scatcuda_status scatcuda_plan_describe(const scatcuda_plan* plan, scatcuda_description* description,
                                       scatcuda_message* message) {
  if (plan == nullptr || description == nullptr) {
    return fail(message, SCATCUDA_BAD_ARGUMENT, "%s is NULL",
                plan == nullptr ? "plan" : "description");
  }
  const scatcuda_status status = check_size(*description, "description", message);
  if (status != SCATCUDA_OK) return status;
  const Program& p = *plan->program;
  const int64_t size = description->size;
  std::memset(static_cast<void*>(description), 0, static_cast<size_t>(size));
  scatcuda_description& d = *description;
  d.size = size;
  d.type = plan->type;
  d.rank = p.rank;
  d.channels = p.channels;
  d.sides = p.sides;
  for (int i = 0; i < 3; ++i) {
    d.signal[i] = i < p.rank ? p.axis[i].size : 1;
    d.side[i] = i < p.sides ? p.side[i] : 1;
  }
  d.signal_numbers = points_of(p.signal);
  d.result_numbers = p.channels * p.unit;
  d.psi_entries = plan->psi_entries;
  d.phi_entries = p.phi_numbers;
  return SCATCUDA_OK;
}

const char* scatcuda_plan_program(const scatcuda_plan* plan) {
  return plan == nullptr ? nullptr : plan->text.c_str();
}
