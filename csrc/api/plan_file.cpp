// Plan files, untrusted: nothing in one is believed before it is checked, and nothing is read past
// its end. scatcuda/planfile.py writes them. All numbers are little-endian:
//
//     0  "scatplan"
//     8  version, 32 bits: 2
//    12  CRC-32 (zlib's) of bytes [16, end), 32 bits
//    16  size of the file, and all that follows, in 64 bits
//    24  bytes of a number of psi and phi, 4 or 8
//    32  bytes of the program's text
//    40  numbers in psi
//    48  zeros
//    64  the text (csrc/core/program.h), zeros up to a multiple of 8
//        psi_support, phi_support, psi, phi, as scatcuda.h has them
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "plan.h"

namespace scatcuda {
namespace {

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "tables are copied as they are");

constexpr int64_t header = 64;
constexpr char magic[] = "scatplan";
constexpr uint32_t version = 2;

template <class T>
T number_at(const unsigned char* bytes, int64_t offset) {
  T value;
  std::memcpy(&value, bytes + offset, sizeof value);
  return value;
}

constexpr std::array<uint32_t, 256> crc_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (crc & 1 ? 0xEDB88320u : 0);
    table[byte] = crc;
  }
  return table;
}

uint32_t crc32(const unsigned char* bytes, int64_t size) {
  static constexpr std::array<uint32_t, 256> table = crc_table();
  uint32_t crc = 0xFFFFFFFFu;
  for (int64_t i = 0; i < size; ++i) crc = (crc >> 8) ^ table[(crc ^ bytes[i]) & 0xFF];
  return ~crc;
}

scatcuda_status no_plan(scatcuda_message* message, const char* why) {
  return fail(message, SCATCUDA_BAD_PLAN, "no plan of scatcuda: %s", why);
}

struct Header {
  scatcuda_tables tables;  // their addresses stay null
  int64_t text, program;   // its bytes, and up to a multiple of 8
};

// What the header says, of a file of `size` bytes
scatcuda_status read_header(const unsigned char* bytes, int64_t size, Header* found,
                            scatcuda_message* message) {
  if (size < 8 || std::memcmp(bytes, magic, 8) != 0) {
    return no_plan(message, "it does not begin with \"scatplan\"");
  }
  if (size < 16) return no_plan(message, "it ends within its header");
  const auto written = number_at<uint32_t>(bytes, 8);
  if (written < version) {
    return fail(
        message, SCATCUDA_BAD_PLAN,
        "a plan of version %u, of an older scatcuda; this library reads version %u: export it "
        "again, with Scattering2D.save_plan or `scatcuda export`",
        written, version);
  }
  if (written > version) {
    return fail(message, SCATCUDA_BAD_PLAN, "a plan of version %u; this library reads version %u",
                written, version);
  }
  if (size < header) return no_plan(message, "it ends within its header");
  if (number_at<int64_t>(bytes, 16) != size) {
    return fail(message, SCATCUDA_BAD_PLAN, "no plan of scatcuda: it says %lld bytes and has %lld",
                static_cast<long long>(number_at<int64_t>(bytes, 16)),
                static_cast<long long>(size));
  }
  for (int64_t i = 48; i < header; ++i) {
    if (bytes[i] != 0) return no_plan(message, "what must be zero in its header is not");
  }
  const auto type = number_at<int64_t>(bytes, 24);
  if (type != 4 && type != 8) return no_plan(message, "its numbers have neither 4 nor 8 bytes");
  found->tables.type = static_cast<scatcuda_type>(type);
  found->text = number_at<int64_t>(bytes, 32);
  found->tables.psi_entries = number_at<int64_t>(bytes, 40);
  if (found->text < 0 || found->text > longest_text) {
    return fail(message, SCATCUDA_BAD_PLAN,
                "no plan of scatcuda: its program has %lld characters; at most %lld are read",
                static_cast<long long>(found->text), static_cast<long long>(longest_text));
  }
  found->program = round_up(found->text, 8);
  if (found->program > size - header) return no_plan(message, "it ends within its program");
  return SCATCUDA_OK;
}

// The program behind the header, and whether it and its tables fill the file
scatcuda_status read_text(const unsigned char* bytes, int64_t size, const Header& h,
                          std::string* text, Sizes* sizes, scatcuda_message* message) {
  for (int64_t i = h.text; i < h.program; ++i) {
    if (bytes[i] != 0) return no_plan(message, "what must be zero behind its program is not");
  }
  text->assign(reinterpret_cast<const char*>(bytes), static_cast<size_t>(h.text));
  ProgramPointer program;
  const scatcuda_status status = read_program(*text, h.tables, &program, sizes, message);
  if (status != SCATCUDA_OK) return status;
  const int64_t taken = header + h.program + sizes->sum();
  if (taken == size) return SCATCUDA_OK;
  return fail(message, SCATCUDA_BAD_PLAN,
              "no plan of scatcuda: its program takes %lld bytes, and it has %lld",
              static_cast<long long>(taken), static_cast<long long>(size));
}

scatcuda_status read_plan(const unsigned char* bytes, int64_t size, scatcuda_plan** plan,
                          scatcuda_message* message) {
  Header h{};
  std::string text;
  Sizes sizes;
  scatcuda_status status = read_header(bytes, size, &h, message);
  if (status == SCATCUDA_OK) {
    status = read_text(bytes + header, size, h, &text, &sizes, message);
  }
  if (status != SCATCUDA_OK) return status;
  if (crc32(bytes + 16, size - 16) != number_at<uint32_t>(bytes, 12)) {
    return no_plan(message, "its checksum is wrong, the file was altered");
  }
  const unsigned char* next = bytes + header + h.program;
  const auto take = [&next](int64_t taken) {
    const unsigned char* table = next;
    next += taken;
    return table;
  };
  // only copied from, whatever their alignment
  h.tables.psi_support = reinterpret_cast<const int64_t*>(take(sizes.psi_support));
  h.tables.phi_support = reinterpret_cast<const int64_t*>(take(sizes.phi_support));
  h.tables.psi = take(sizes.psi);
  h.tables.phi = take(sizes.phi);
  return make_plan(text, h.tables, plan, message);
}

scatcuda_status cannot_read(const char* path, const char* why, scatcuda_message* message) {
  return fail(message, SCATCUDA_CANNOT_READ, "%s: %s", why, path);
}

// What scatcuda/files/budget.py does: a file may claim more than anybody stored, if it is sparse.
scatcuda_status ask(const char* path, int64_t bytes, scatcuda_message* message) {
  const char* set = std::getenv("SCATCUDA_FILE_BUDGET");
  char* end = nullptr;
  errno = 0;
  const bool is_set = set != nullptr && *set != '\0';
  const long long most = is_set ? std::strtoll(set, &end, 10) : 2LL << 30;
  if (is_set && (*end != '\0' || errno != 0 || most < 1)) {
    return fail(message, SCATCUDA_BAD_ARGUMENT, "SCATCUDA_FILE_BUDGET must be a number of bytes");
  }
  if (bytes <= most) return SCATCUDA_OK;
  return fail(message, SCATCUDA_NO_MEMORY,
              "%lld bytes to read it are more than SCATCUDA_FILE_BUDGET, %lld: %s",
              static_cast<long long>(bytes), most, path);
}

// The bytes of a file, to be freed, whose size does not change while they are read
scatcuda_status read_file(const char* path, std::FILE* file, int64_t size, unsigned char** bytes,
                          scatcuda_message* message) {
  // up to `end`, from where it was read before
  int64_t read = 0;
  const auto extend = [&](int64_t end) {
    auto* longer = static_cast<unsigned char*>(std::realloc(*bytes, static_cast<size_t>(end) + 1));
    if (longer == nullptr) {
      return fail(message, SCATCUDA_NO_MEMORY, "no memory to read %s", path);
    }
    *bytes = longer;
    const auto wanted = static_cast<size_t>(end - read);
    if (std::fread(longer + read, 1, wanted, file) != wanted) {
      return cannot_read(path, "reading failed", message);
    }
    read = end;
    return SCATCUDA_OK;
  };
  // A large file that is no plan is not read at all.
  Header h{};
  std::string text;
  Sizes sizes;
  scatcuda_status status = extend(min(size, header));
  if (status == SCATCUDA_OK) status = read_header(*bytes, size, &h, message);
  // a list of shifts becomes 21 times as long as its text, and nothing longer
  const int64_t parsed = 24 * h.program;
  if (status == SCATCUDA_OK) status = ask(path, parsed, message);
  if (status == SCATCUDA_OK) status = extend(header + h.program);
  if (status == SCATCUDA_OK) {
    status = read_text(*bytes + header, size, h, &text, &sizes, message);
  }
  // its bytes and the plan's copy of them are there at the same time
  if (status == SCATCUDA_OK) status = ask(path, 2 * size + parsed, message);
  if (status == SCATCUDA_OK) status = extend(size);
  return status;
}

}  // namespace
}  // namespace scatcuda

using namespace scatcuda;

scatcuda_status scatcuda_plan_read(const void* bytes, size_t size, scatcuda_plan** plan,
                                   scatcuda_message* message) {
  if (plan == nullptr) return fail(message, SCATCUDA_BAD_ARGUMENT, "plan is NULL");
  *plan = nullptr;
  if (bytes == nullptr) return fail(message, SCATCUDA_BAD_ARGUMENT, "bytes is NULL");
  if (size > static_cast<size_t>(INT64_MAX)) return no_plan(message, "it is too long");
  return with_memory(message, [&] {
    return read_plan(static_cast<const unsigned char*>(bytes), static_cast<int64_t>(size), plan,
                     message);
  });
}

scatcuda_status scatcuda_plan_load(const char* path, scatcuda_plan** plan,
                                   scatcuda_message* message) {
  if (plan == nullptr) return fail(message, SCATCUDA_BAD_ARGUMENT, "plan is NULL");
  *plan = nullptr;
  if (path == nullptr) return fail(message, SCATCUDA_BAD_ARGUMENT, "path is NULL");
  struct stat before;
  if (stat(path, &before) != 0) return cannot_read(path, std::strerror(errno), message);
  if (!S_ISREG(before.st_mode)) return cannot_read(path, "not a regular file", message);
  // It may have become another in the meantime: a pipe is not waited for, and asked once more.
  const int opened = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (opened < 0) return cannot_read(path, std::strerror(errno), message);
  if (fstat(opened, &before) != 0 || !S_ISREG(before.st_mode)) {
    close(opened);
    return cannot_read(path, "not a regular file", message);
  }
  std::FILE* file = fdopen(opened, "rb");
  if (file == nullptr) {
    close(opened);
    return cannot_read(path, std::strerror(errno), message);
  }
  unsigned char* bytes = nullptr;
  scatcuda_message why{};
  const scatcuda_status status = with_memory(&why, [&] {
    const scatcuda_status read = read_file(path, file, before.st_size, &bytes, &why);
    return read == SCATCUDA_OK ? read_plan(bytes, before.st_size, plan, &why) : read;
  });
  std::free(bytes);
  std::fclose(file);
  if (status == SCATCUDA_OK) return status;
  return status == SCATCUDA_BAD_PLAN ? fail(message, status, "%s: %s", why.text, path)
                                     : fail(message, status, "%s", why.text);
}
