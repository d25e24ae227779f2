// What the Python modules of this folder share: the emulated device's settings, memory between
// guard zones, and the report of what ran.
//
// Compiled without a sanitizer and linked to kernels compiled with any; so nothing here includes
// cuda_emulation.h.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <stdexcept>

#include "emulator.h"

// there where the module is linked with AddressSanitizer
extern "C" __attribute__((weak)) void __asan_poison_memory_region(const volatile void*, size_t);
extern "C" __attribute__((weak)) void __asan_unpoison_memory_region(const volatile void*, size_t);

namespace scatcuda::emulation {

namespace py = pybind11;
using py::literals::operator""_a;

template <class T>
using Array = py::array_t<T, py::array::c_style>;

// `bytes` of global memory, aligned to 256 bytes, or `shift` bytes after such a boundary, between
// two zones that nobody may touch. AddressSanitizer sees every access to them, check() what was
// written; read as a number their pattern is NaN, so that what was read comes out as NaN.
class Guarded {
 public:
  Guarded(const std::string& name, size_t bytes, size_t shift = 0)
      : name_(name), bytes_(bytes), block_(guard + shift + bytes + guard + 256) {
    void* p = block_.data() + guard;
    size_t room = block_.size() - guard;
    begin_ = static_cast<char*>(std::align(256, 1, p, room)) + shift;
    for (char* q = block_.data(); q < begin_; ++q) *q = pattern_at(q);
    memset(begin_, 0xff, bytes);  // NaN
    for (char* q = begin_ + bytes; q < end(); ++q) *q = pattern_at(q);
    if (__asan_poison_memory_region != nullptr) {
      __asan_poison_memory_region(block_.data(), static_cast<size_t>(begin_ - block_.data()));
      __asan_poison_memory_region(begin_ + bytes, static_cast<size_t>(end() - begin_) - bytes);
    }
    buffers.push_back({name, begin_, bytes});
  }
  // A copy of an array of the test
  template <class T>
  Guarded(const std::string& name, const Array<T>& array, size_t shift = 0)
      : Guarded(name, static_cast<size_t>(array.nbytes()), shift) {
    memcpy(begin_, array.data(), bytes_);
  }
  ~Guarded() {
    unpoison();
    const auto is_this = [&](const Buffer& b) { return b.begin == begin_ && b.name == name_; };
    buffers.erase(std::remove_if(buffers.begin(), buffers.end(), is_this), buffers.end());
  }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;

  template <class T>
  T* as() const {
    return reinterpret_cast<T*>(begin_);
  }
  template <class T>
  void copy_to(Array<T>* array) const {
    memcpy(array->mutable_data(), begin_, bytes_);
  }
  // Throws where a guard zone, or an input, does not hold what it held.
  void check() const {
    unpoison();
    for (const char* p = block_.data(); p < end(); ++p) {
      if (p == begin_) p += bytes_;
      if (*p != pattern_at(p)) {
        throw std::runtime_error("written outside of " + name_ + ", " + std::to_string(p - begin_) +
                                 " bytes after its start of " + std::to_string(bytes_));
      }
    }
  }
  template <class T>
  void check_unchanged(const Array<T>& array) const {
    check();
    if (memcmp(begin_, array.data(), bytes_) != 0) {
      throw std::runtime_error("the input " + name_ + " was written to");
    }
  }

 private:
  static constexpr size_t guard = 4096;
  static char pattern_at(const char* p) {
    constexpr unsigned char nan[4] = {0xad, 0xde, 0xf8, 0x7f};  // as float and, twice, as double
    return static_cast<char>(nan[reinterpret_cast<uintptr_t>(p) % 4]);
  }
  char* end() { return block_.data() + block_.size(); }
  const char* end() const { return block_.data() + block_.size(); }
  void unpoison() const {
    if (__asan_unpoison_memory_region != nullptr) {
      __asan_unpoison_memory_region(block_.data(), block_.size());
    }
  }

  std::string name_;
  size_t bytes_;
  std::vector<char> block_;
  char* begin_;
};

// --- what ran ----------------------------------------------------------------------------------

// An address as an offset in this module, which __init__.py turns into function, file and line
inline int64_t place_of(const void* address) {
  return static_cast<const char*>(address) - module_base();
}

inline py::dict dict_of(const Traffic& t) {
  return py::dict("read"_a = t.read, "written"_a = t.written,
                  "read_once_a_block"_a = t.read_once_a_block,
                  "written_once_a_block"_a = t.written_once_a_block, "read_once"_a = t.read_once,
                  "written_once"_a = t.written_once);
}

inline py::dict dict_of(const Launch& l) {
  py::dict traffic;
  for (size_t i = 0; i < l.traffic.size(); ++i) {
    traffic[py::str(buffers[i].name)] = dict_of(l.traffic[i]);
  }
  return py::dict("operation"_a = l.operation,
                  "place"_a = l.kernel == nullptr ? -1 : place_of(l.kernel),
                  "grid"_a = py::make_tuple(l.grid[0], l.grid[1], l.grid[2]),
                  "block"_a = py::make_tuple(l.block[0], l.block[1], l.block[2]),
                  "shared"_a = l.shared, "barriers"_a = l.barriers, "traffic"_a = traffic);
}

inline py::dict dict_of(const Access& a) {
  return py::dict("write"_a = a.write, "thread"_a = a.thread, "other_block"_a = a.other_block,
                  "place"_a = place_of(a.place));
}

// What has run since clear_report(); called while the buffers of the launches still stand.
inline py::dict report() {
  py::list all, races_found;
  for (const Launch& l : launches) all.append(dict_of(l));
  for (const Race& r : races) {
    races_found.append(py::dict("memory"_a = r.memory, "offset"_a = r.offset,
                                "first"_a = dict_of(r.first), "second"_a = dict_of(r.second),
                                "words"_a = r.words));
  }
  return py::dict("launches"_a = all, "races"_a = races_found);
}

inline void clear_report() {
  launches.clear();
  races.clear();
}

// --- settings ----------------------------------------------------------------------------------

// device(limit=value, …) changes what is named and returns all; reset_device() restores them.
inline void bind_device(py::module_& module) {
  struct Limit {
    const char* name;
    py::object (*get)();
    void (*set)(const py::object&);
  };
#define SCATCUDA_LIMIT(field)                                                        \
  Limit {                                                                            \
    #field, []() -> py::object { return py::cast(device.field); },                   \
        [](const py::object& v) { device.field = v.cast<decltype(device.field)>(); } \
  }
  static const Limit limits[] = {
      SCATCUDA_LIMIT(architecture),
      SCATCUDA_LIMIT(processors),
      SCATCUDA_LIMIT(shared_per_block),
      SCATCUDA_LIMIT(shared_per_processor),
      SCATCUDA_LIMIT(l2_bytes),
      SCATCUDA_LIMIT(memory_bytes),
      SCATCUDA_LIMIT(has_kernels),
      SCATCUDA_LIMIT(threads_reversed),
      SCATCUDA_LIMIT(blocks_reversed),
      SCATCUDA_LIMIT(counts_only),
      SCATCUDA_LIMIT(count),
      SCATCUDA_LIMIT(current),
      SCATCUDA_LIMIT(capturing),
      SCATCUDA_LIMIT(spoiled),
      SCATCUDA_LIMIT(mode),
      SCATCUDA_LIMIT(refusal),
  };
#undef SCATCUDA_LIMIT
  module.def("device", [](const py::kwargs& changes) {
    for (const auto& [key, value] : changes) {
      const std::string name = py::str(key);
      const auto found = std::find_if(std::begin(limits), std::end(limits),
                                      [&](const Limit& l) { return name == l.name; });
      if (found == std::end(limits)) throw py::type_error("device has no limit " + name);
      found->set(py::reinterpret_borrow<py::object>(value));
    }
    py::dict all;
    for (const Limit& l : limits) all[l.name] = l.get();
    return all;
  });
  module.def("reset_device", [] { device = Device{}; });
}

}  // namespace scatcuda::emulation
