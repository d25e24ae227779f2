// The CPU engine with a gap after every buffer of its workspace that AddressSanitizer watches: one
// that runs over into its neighbour would otherwise stay inside the caller's block, unseen.
// Included before the sources of the engine.
#pragma once

#include <sanitizer/asan_interface.h>

#include "cpu/buffers.h"

namespace scatcuda {

inline char* guarded(char* base, int64_t* used, int64_t bytes) {
  const int64_t room = round_up(bytes, alignment) + alignment;
  char* first = base == nullptr ? nullptr : base + *used;
  if (base != nullptr) {
    ASAN_POISON_MEMORY_REGION(first, static_cast<size_t>(room));
    ASAN_UNPOISON_MEMORY_REGION(first, static_cast<size_t>(bytes));
  }
  *used += room;
  return first;
}

#define GUARDED(T)                                                 \
  template <>                                                      \
  inline T* Arena::take<T>(int64_t count) {                        \
    const int64_t bytes = count * static_cast<int64_t>(sizeof(T)); \
    return reinterpret_cast<T*>(guarded(base_, &used_, bytes));    \
  }
GUARDED(SCATCUDA_REAL)

}  // namespace scatcuda

#include "cpu/signals/line.h"

namespace scatcuda {

GUARDED(Lanes<SCATCUDA_REAL>)
GUARDED(Element<SCATCUDA_REAL>)
#undef GUARDED

}  // namespace scatcuda
