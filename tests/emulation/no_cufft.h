// A machine without cuFFT; included by one file of a program
#pragma once

#include "core/engines.h"

namespace scatcuda::cuda {
const Fft* cufft(int*) { return nullptr; }
const char* cufft_error() { return "there is none"; }
}  // namespace scatcuda::cuda
