// Prints the best of the instruction sets that it is called with, the least one first: for
// SCATCUDA_ISA=native.
#include <cstdio>

#include "../csrc/cpu/processor.h"

int main(int count, char** isas) {
  for (int i = count - 1; i > 0; --i) {
    if (scatcuda::cpu::processor_has(isas[i])) return std::puts(isas[i]) < 0;
  }
  return 1;
}
