// The library on a processor that has not the instructions it was compiled for: it says so, and
// calls none of them.
#include <cstdio>

#include "core/engines.h"
#include "scatcuda/scatcuda.h"

int main() {
  scatcuda_tables tables{};
  tables.size = sizeof(tables), tables.program = "", tables.type = SCATCUDA_FLOAT32;
  scatcuda_plan* plan = nullptr;
  scatcuda_message message{};
  const scatcuda_status status = scatcuda_plan_create(&tables, &plan, &message);
  std::printf("%s\n%d\n%s\n%s\n", scatcuda_cpu_isa(), scatcuda::cpu::available(),
              scatcuda_status_name(status), message.text);
  std::fflush(stdout);
  float z[2] = {3, 4}, size = 0;
  scatcuda::cpu::modulus<float>(1, z, &size, {});
  std::printf("%g\n", size);
}
