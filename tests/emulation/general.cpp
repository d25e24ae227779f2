// The CUDA engine for the emulated device, all but the fused tier's kernels.
#include "cuda/device.cu"
#include "cuda/engine.cu"
#include "cuda/stages.cu"
