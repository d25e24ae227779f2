// The NVIDIA driver that this build needs, and what to say where the one that is there is too old.
#pragma once

#include <string>

#include "runtime.h"

namespace scatcuda {
namespace cuda {

// The first driver of a release of CUDA. Machine code runs on every driver of the same major
// number, PTX on those that know the release itself.
inline int first_driver(int release) {
  constexpr struct {
    int release, driver;
  } known[] = {{11000, 450}, {12000, 525}, {12010, 530}, {12020, 535}, {12030, 545}, {12040, 550},
               {12050, 555}, {12060, 560}, {12080, 570}, {12090, 575}, {13000, 580}};
  int driver = 0;
  for (const auto& one : known) driver = one.release <= release ? one.driver : driver;
  return driver;
}

inline std::string name_of_release(int release) {
  return "CUDA " + std::to_string(release / 1000) + "." + std::to_string(release % 1000 / 10);
}

// "CUDA 13.0, NVIDIA driver 580 or newer"
inline std::string words_for_driver(bool ptx) {
  const int release = ptx ? CUDART_VERSION : CUDART_VERSION / 1000 * 1000;
  return name_of_release(CUDART_VERSION) + ", NVIDIA driver " +
         std::to_string(first_driver(release)) + " or newer";
}

// Its release of CUDA; 0: there is none
inline int driver_here() {
  int here = 0;
  return cudaDriverGetVersion(&here) == cudaSuccess ? here : 0;
}

inline std::string not_enough(bool ptx) {
  const int here = driver_here();
  if (here == 0) return "there is no NVIDIA driver here";
  return "the NVIDIA driver here (" + name_of_release(here) + ") is too old for this build (" +
         words_for_driver(ptx) +
         "). Update it, or install scatcuda again with an older CUDA toolkit" +
         (ptx ? " or with SCATCUDA_ARCHS=native" : "");
}

// What CUDA says of an error, or that the driver is missing or too old
inline const char* said_of(cudaError_t error) {
  switch (error) {
    case cudaErrorInsufficientDriver:
    case cudaErrorInvalidKernelImage: {  // compressed as it does not know
      static const std::string sentence = not_enough(false);
      return sentence.c_str();
    }
    case cudaErrorUnsupportedPtxVersion: {
      static const std::string sentence = not_enough(true);
      return sentence.c_str();
    }
    default:
      return cudaGetErrorString(error);
  }
}

}  // namespace cuda
}  // namespace scatcuda
