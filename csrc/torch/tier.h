// How the CUDA engine is to run a problem: the caller's arguments, then SCATCUDA_TIER and
// SCATCUDA_WORKSPACE. And what to tell the caller where it cannot.
#pragma once

#include <torch/headeronly/util/Exception.h>

#include <cstdlib>
#include <string>

#include "../core/engines.h"

// Architectures of this build, "75 80 …"; none where it has no CUDA engine
#ifndef SCATCUDA_ARCHS
#define SCATCUDA_ARCHS ""
#endif

namespace scatcuda {

constexpr bool has_cuda_engine = SCATCUDA_ARCHS[0] != '\0';

struct Wish {
  cuda::Tier tier;
  int64_t workspace;  // bytes; 0: no wish
};

// The wish that an operator's arguments or the environment express; `whose` it is, if anyone's, is
// named in what is said of values that cannot be.
inline Wish parse_wish(const char* whose, const char* tier_name, const std::string& tier,
                       const char* workspace_name, int64_t workspace) {
  const bool known = tier == "auto" || tier == "general" || tier == "fused";
  const char* colon = *whose == '\0' ? "" : ": ";
  STD_TORCH_CHECK(known, whose, colon, tier_name, " must be 'auto', 'general' or 'fused'; got '",
                  tier, "'");
  STD_TORCH_CHECK(workspace >= 0, whose, colon, workspace_name,
                  " must be a number of bytes, 0 for the default; got ", workspace);
  return {tier == "auto"      ? cuda::Tier::automatic
          : tier == "general" ? cuda::Tier::general
                              : cuda::Tier::fused,
          workspace};
}

inline Wish check_wish(const char* whose, const std::string& tier, int64_t workspace) {
  return parse_wish(whose, "tier", tier, "workspace", workspace);
}

// The arguments' wish, and the environment's for what they leave open
inline Wish wish_of(const char* whose, const std::string& tier, int64_t workspace) {
  Wish wish = check_wish(whose, tier, workspace);
  const char* tier_set = std::getenv("SCATCUDA_TIER");
  const char* bytes_set = std::getenv("SCATCUDA_WORKSPACE");
  char* end = nullptr;
  const int64_t bytes = bytes_set == nullptr ? 0 : std::strtoll(bytes_set, &end, 10);
  STD_TORCH_CHECK(end == nullptr || *end == '\0',
                  "SCATCUDA_WORKSPACE must be a number of bytes, 0 for the default; got '",
                  bytes_set, "'");
  const Wish set = parse_wish("", "SCATCUDA_TIER", tier_set && *tier_set ? tier_set : "auto",
                              "SCATCUDA_WORKSPACE", bytes);
  if (wish.tier == cuda::Tier::automatic) wish.tier = set.tier;
  if (wish.workspace == 0) wish.workspace = set.workspace;
  return wish;
}

// What the workspace may take
inline int64_t budget_of(const Wish& wish, const cuda::Device& device) {
  return wish.workspace > 0 ? wish.workspace : cuda::default_budget(device);
}

// Why the engine did not do `what` on `device`: a sentence without the operator's name
inline std::string sentence_of(Status status, const std::string& what, const cuda::Device& device,
                               bool has_cufft) {
  const std::string otherwise =
      "; backend=\"reference\" (scatcuda.reference) computes it on any device";
  const std::string gpu = "sm_" + std::to_string(device.architecture);
  if (!has_cuda_engine) {
    return "this build of scatcuda has no CUDA engine. Install it again where there is a CUDA "
           "toolkit, with CUDA_HOME set to it and SCATCUDA_CUDA=1" +
           otherwise;
  }
  switch (status) {
    case Status::tier_impossible:
      return "the fused tier does not do " + what + " on a GPU of " + gpu + " with " +
             std::to_string(device.shared_per_block / 1024) +
             " KiB of shared memory a block; tier=\"auto\" finds one that does";
    case Status::fft_failed:
      if (!has_cufft) {
        return "cuFFT was not found (libcufft.so.12 or libcufft.so.11). PyTorch for CUDA brings "
               "it, "
               "and so does the package nvidia-cufft" +
               otherwise;
      }
      return "cuFFT did not transform " + what + ": " + cuda::cufft_error();
    case Status::no_kernel:
      if (device.architecture >= std::atoi(SCATCUDA_ARCHS)) {
        return "the NVIDIA driver found nothing for this GPU, of " + gpu +
               ", in this build for " SCATCUDA_ARCHS " (" + cuda::driver_needed() +
               "). Update it, or install scatcuda again with SCATCUDA_ARCHS=native" + otherwise;
      }
      return "this GPU is of " + gpu +
             ", older than every architecture of this build (" SCATCUDA_ARCHS
             "). Install scatcuda again with SCATCUDA_ARCHS=native" +
             otherwise;
    case Status::no_device:
    case Status::launch_failed:
      return std::string("CUDA failed on ") + what + ": " + cuda::last_error();
    case Status::ok:
    case Status::bad_problem:
    case Status::workspace_too_small:
      break;
  }
  return "the CUDA engine refused " + what + ", status " + std::to_string(static_cast<int>(status));
}

}  // namespace scatcuda
