// What came of CUDA's functions, as the engine's status
#pragma once

#include "../core/engines.h"
#include "runtime.h"

namespace scatcuda {
namespace cuda {

// Keeps what CUDA said of an error for last_error()
Status status_of(cudaError_t error);
// For launches()
void note_launch();

}  // namespace cuda
}  // namespace scatcuda
