// What the public functions share: a plan, and how they say what went wrong.
#pragma once

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <string>

#include "../core/engines.h"
#include "../core/program.h"
#include "../include/scatcuda/scatcuda.h"

namespace scatcuda {

// Bytes of the tables of a program
struct Sizes {
  int64_t psi_support, phi_support, psi, phi;
  int64_t sum() const { return psi_support + phi_support + psi + phi; }
};

// A program and its filters, in the memory of whoever executes it
struct Filtered {
  ProgramPointer program;
  scatcuda_type type;
  int64_t psi_entries;
  Sizes sizes;
  const void *psi, *phi;
  const int64_t *psi_support, *phi_support;
  const void* laid_out = nullptr;  // see Bank

  template <class T>
  Bank<T> bank() const {
    return {static_cast<const T*>(psi), psi_support, static_cast<const T*>(phi), phi_support,
            static_cast<const T*>(laid_out)};
  }
};

}  // namespace scatcuda

// At the beginning of a block of memory that holds the tables, too
struct scatcuda_plan : scatcuda::Filtered {
  std::string text;  // of the program
  std::unique_ptr<void, decltype(&std::free)> layout{nullptr, std::free};
};

namespace scatcuda {

// A text without what steers a terminal: control characters, and bytes that are no UTF-8, become
// \xNN. Cut where it does not fit.
inline void copy_printable(char* to, size_t room, const char* from) {
  const auto byte = [&](int ahead) { return static_cast<unsigned char>(from[ahead]); };
  while (*from != '\0') {
    const int lead = byte(0);
    int size = lead < 0x80 ? 1 : lead < 0xC2 ? 0 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    if (lead > 0xF4 || lead < 0x20 || lead == 0x7F) size = 0;
    for (int i = 1; i < size; ++i) {  // ends at the text's zero at the latest
      if ((byte(i) & 0xC0) != 0x80) size = 0;
    }
    if (lead == 0xC2 && size == 2 && byte(1) < 0xA0) size = 0;  // control characters, too
    const size_t taken = size > 0 ? static_cast<size_t>(size) : 4;
    if (taken >= room) break;
    if (size > 0) {
      std::memcpy(to, from, taken);
      from += size;
    } else {
      std::snprintf(to, room, "\\x%02x", static_cast<unsigned>(lead));
      ++from;
    }
    to += taken;
    room -= taken;
  }
  *to = '\0';
}

__attribute__((format(printf, 3, 4))) inline scatcuda_status fail(scatcuda_message* message,
                                                                  scatcuda_status status,
                                                                  const char* format, ...) {
  if (message != nullptr) {
    va_list values;
    va_start(values, format);
    char text[sizeof message->text];
    std::vsnprintf(text, sizeof text, format, values);
    va_end(values);
    copy_printable(message->text, sizeof message->text, text);
  }
  return status;
}

// Structs of the caller's, compiled with a header that may be older or newer than ours. None has
// grown so far: what is asked for at least is what the first release had.
template <class T>
scatcuda_status check_size(const T& given, const char* name, scatcuda_message* message) {
  constexpr int64_t least = sizeof(T), most = 4096;  // that any release may come to
  if (given.size >= least && given.size <= most) return SCATCUDA_OK;
  return fail(message, SCATCUDA_BAD_ARGUMENT,
              "the size of %s must be its sizeof, from %lld to %lld; got %lld", name,
              static_cast<long long>(least), static_cast<long long>(most),
              static_cast<long long>(given.size));
}

// Copies what we know of such a struct; the rest must be zeros.
template <class T>
scatcuda_status take(const T& given, const char* name, T* taken, scatcuda_message* message) {
  const scatcuda_status status = check_size(given, name, message);
  if (status != SCATCUDA_OK) return status;
  const auto* bytes = reinterpret_cast<const char*>(&given);
  for (int64_t i = sizeof(T); i < given.size; ++i) {
    if (bytes[i] != 0) {
      return fail(
          message, SCATCUDA_BAD_ARGUMENT,
          "%s asks for what this version of scatcuda does not know: of its %lld bytes those "
          "from %lld on must be 0",
          name, static_cast<long long>(given.size), static_cast<long long>(sizeof(T)));
    }
  }
  std::memcpy(taken, bytes, sizeof(T));
  return SCATCUDA_OK;
}

// Where the tables lie, one after the other, in a block of memory that begins at a multiple of 64
struct Places {
  int64_t psi, phi, psi_support, phi_support, end;
  explicit Places(const Sizes& sizes, int64_t start = 0) {
    const auto behind = [](int64_t place, int64_t bytes) { return (place + bytes + 63) / 64 * 64; };
    psi = behind(start, 0);
    phi = behind(psi, sizes.psi);
    psi_support = behind(phi, sizes.phi);
    phi_support = behind(psi_support, sizes.psi_support);
    end = behind(phi_support, sizes.phi_support);
  }
};

// f(T{}) for the number type of a plan
template <class F>
auto with_type(scatcuda_type type, F&& f) {
  return type == SCATCUDA_FLOAT32 ? f(float{}) : f(double{});
}

template <class T>
Gradients<T> typed(const scatcuda_gradients& g) {
  return {static_cast<T*>(g.x), static_cast<T*>(g.psi), static_cast<T*>(g.phi)};
}

// The program of a text, and the bytes of its tables. Reads of the tables only what they say of
// themselves, no address.
scatcuda_status read_program(const std::string& text, const scatcuda_tables& tables,
                             ProgramPointer* program, Sizes* sizes, scatcuda_message* message);
// Copies tables, at any address, and checks what they say.
scatcuda_status make_plan(const std::string& text, const scatcuda_tables& tables,
                          scatcuda_plan** plan, scatcuda_message* message);

// f(), whose one exception ends here
template <class F>
scatcuda_status with_memory(scatcuda_message* message, F&& f) {
  try {
    return f();
  } catch (const std::bad_alloc&) {
    return fail(message, SCATCUDA_NO_MEMORY, "no memory for a plan");
  }
}

// Whether the arrays of a batch have a size, and are there; else why not
inline scatcuda_status check_batch(const Filtered& plan, int64_t batch, const void* x,
                                   const void* coefficients, scatcuda_message* message) {
  const int64_t most = most_signals(*plan.program);
  if (batch < 0 || batch > most) {
    return fail(message, SCATCUDA_BAD_ARGUMENT, "batch must be from 0 to %lld; got %lld",
                static_cast<long long>(most), static_cast<long long>(batch));
  }
  if (batch > 0 && (x == nullptr || coefficients == nullptr)) {
    return fail(message, SCATCUDA_BAD_ARGUMENT, "the array of %s is NULL",
                x == nullptr ? "signals" : "coefficients");
  }
  return SCATCUDA_OK;
}

inline scatcuda_status check_workspace(const void* workspace, int64_t bytes, int64_t needed,
                                       int64_t alignment, scatcuda_message* message) {
  if (bytes < needed) {
    return fail(message, SCATCUDA_WORKSPACE_TOO_SMALL,
                "the workspace has %lld bytes and needs %lld, with these threads and this batch",
                static_cast<long long>(bytes), static_cast<long long>(needed));
  }
  if (needed > 0 &&
      (workspace == nullptr || reinterpret_cast<uintptr_t>(workspace) % alignment != 0)) {
    return fail(message, SCATCUDA_BAD_ARGUMENT,
                "the workspace must lie at a multiple of %lld bytes; got %p",
                static_cast<long long>(alignment), workspace);
  }
  return SCATCUDA_OK;
}

}  // namespace scatcuda
