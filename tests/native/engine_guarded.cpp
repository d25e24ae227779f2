// csrc/cpu/engine.cpp with a gap after every buffer of its workspace that AddressSanitizer watches:
// one that runs over into its neighbour would otherwise stay inside the caller's block, unseen.
#include <sanitizer/asan_interface.h>

#include "cpu/buffers.h"

namespace scatcuda {

template <>
inline SCATCUDA_REAL* Arena::take<SCATCUDA_REAL>(int64_t count) {
  const int64_t bytes = count * static_cast<int64_t>(sizeof(SCATCUDA_REAL));
  const int64_t room = round_up(bytes, alignment) + alignment;
  SCATCUDA_REAL* p = nullptr;
  if (base_ != nullptr) {
    char* first = base_ + used_;
    ASAN_POISON_MEMORY_REGION(first, static_cast<size_t>(room));
    ASAN_UNPOISON_MEMORY_REGION(first, static_cast<size_t>(bytes));
    p = reinterpret_cast<SCATCUDA_REAL*>(first);
  }
  used_ += room;
  return p;
}

}  // namespace scatcuda

#include "cpu/engine.cpp"
