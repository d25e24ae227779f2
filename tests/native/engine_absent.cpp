// In place of a copy of the CPU engine that this processor cannot run: linked, never called.
#include "cpu/engine.h"

#define SCATCUDA_PASTE(isa, real) engine_##isa##_##real
#define SCATCUDA_ENGINE(isa, real) SCATCUDA_PASTE(isa, real)

namespace scatcuda {
const Engine<SCATCUDA_REAL> SCATCUDA_ENGINE(SCATCUDA_ISA, SCATCUDA_REAL){};
}  // namespace scatcuda
