// The fused tier's kernels of signals for the emulated device.
#include "cuda/signals/family.cu"
