// The kernels of planted.cuh by their names.
#pragma once

#include <array>
#include <cstddef>
#include <string>

namespace scatcuda::planted {

// The driver's error in words, empty where there was none; std::out_of_range: no such kernel
std::string run(const std::string& name, std::array<unsigned, 3> grid,
                std::array<unsigned, 3> block, size_t shared, float* out, const float* in, int n);

// How often run() was called
int count_calls();

// cudaMemsetAsync of n bytes and cudaMemcpyAsync, on the stream or on the default stream
std::string set(float* out, int value, size_t bytes, bool on_default_stream);
std::string copy(float* out, const float* in, size_t bytes);

}  // namespace scatcuda::planted
