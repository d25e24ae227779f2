// Hostile calls of scatcuda.h: any programs, tables, sizes, batches, workspaces, types and null
// pointers, on plans of any age. Whatever comes, a function refuses it with a status and a sentence
// and writes no result, or writes all of it.
//
//   hostile CALLS SEED PROGRAMS
//
// Arrays are of exactly the documented sizes, so that AddressSanitizer sees the first byte too
// many. Results and workspaces hold NaN before a call and inputs are small numbers: a result that
// is not finite was not written, or made of what was not. With SCATCUDA_EMULATED it is the
// functions for GPUs that run, on the device of tests/emulation.
#include <scatcuda/scatcuda.h>

#include <cmath>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "programs.h"

#ifdef SCATCUDA_EMULATED
#include "emulator.h"
#include "host_fft.h"
#include "no_cufft.h"
#endif

namespace {

std::map<std::string, long> answers;  // how often a function gave which status

void count(const char* function, const char* answer) {
  ++answers[std::string(function) + " " + answer];
}

// A block of exactly so many bytes, NaN
class Block {
 public:
  explicit Block(int64_t bytes, size_t alignment = 16) : bytes_(static_cast<size_t>(bytes)) {
    void* p = nullptr;
    REQUIRE(bytes >= 0 && posix_memalign(&p, alignment, bytes_) == 0);
    p_.reset(p);
    std::memset(p, 0xff, bytes_);
  }
  void* get() const { return p_.get(); }
  char* bytes() const { return static_cast<char*>(p_.get()); }
  int64_t size() const { return static_cast<int64_t>(bytes_); }
  bool untouched() const {
    for (size_t i = 0; i < bytes_; ++i) {
      if (bytes()[i] != static_cast<char>(0xff)) return false;
    }
    return true;
  }
  bool finite(scatcuda_type type) const {
    return type == SCATCUDA_FLOAT32 ? all_finite<float>() : all_finite<double>();
  }
  // numbers of a type, of this size at most
  void fill(Random& random, scatcuda_type type, double size = 1) const {
    type == SCATCUDA_FLOAT64 ? fill_with<double>(random, size) : fill_with<float>(random, size);
  }

 private:
  struct Free {
    void operator()(void* p) const { std::free(p); }
  };
  template <class T>
  bool all_finite() const {
    const T* p = static_cast<const T*>(get());
    for (size_t i = 0; i < bytes_ / sizeof(T); ++i) {
      if (!std::isfinite(p[i])) return false;
    }
    return true;
  }
  template <class T>
  void fill_with(Random& random, double size) const {
    T* p = static_cast<T*>(get());
    for (size_t i = 0; i < bytes_ / sizeof(T); ++i) {
      p[i] = T(size * static_cast<double>(random.below(2001) - 1000) / 1000);
    }
  }
  size_t bytes_;
  std::unique_ptr<void, Free> p_;
};

// A place for a message, or none; afterwards it holds a sentence if, and only if, a call failed.
class Message {
 public:
  explicit Message(Random& random) : wanted_(!random.one_in(4)) {
    std::memset(&message_, '?', sizeof message_);
  }
  scatcuda_message* get() { return wanted_ ? &message_ : nullptr; }
  scatcuda_status check(const char* function, scatcuda_status status) const {
    count(function, scatcuda_status_name(status));
    const bool written = message_.text[0] != '?';
    REQUIRE(written == (wanted_ && status != SCATCUDA_OK));
    REQUIRE(!written || (message_.text[0] != 0 &&
                         std::memchr(message_.text, 0, sizeof message_.text) != nullptr));
    return status;
  }

 private:
  bool wanted_;
  scatcuda_message message_;
};

// --- plans ------------------------------------------------------------------------------------

struct Destroy {
  void operator()(scatcuda_plan* plan) const { scatcuda_plan_destroy(plan); }
};
// A plan, and what its results are: finite, and found in a moment
struct Plan {
  std::unique_ptr<scatcuda_plan, Destroy> plan;
  bool finite, quick;
};

std::vector<std::string> texts;

scatcuda_description described(const scatcuda_plan* plan) {
  scatcuda_description d{};
  d.size = sizeof d;
  REQUIRE(scatcuda_plan_describe(plan, &d, nullptr) == SCATCUDA_OK);
  return d;
}

// A struct as a caller would have it who was compiled with another header: longer, or wrong
template <class T>
struct Sized {
  T value;
  char more[64] = {};
  bool sound = true;

  Sized(Random& random, const T& given) : value(given) {
    value.size = sizeof(T);
    if (random.one_in(8)) value.size += 8 * random.below(9);
    if (random.one_in(16)) {
      more[random.below(64)] = 1;
      const auto beyond = static_cast<size_t>(value.size) - sizeof(T);
      for (size_t i = 0; i < beyond; ++i) sound = sound && more[i] == 0;
    }
    if (random.one_in(16)) {
      const int64_t size = random.hostile();
      if (size < int64_t{sizeof(T)} || size > 4096) value.size = size, sound = false;
    }
  }
};

// A plan of a random program and tables, most of them sound; without a plan where it was refused
Plan make_plan(Random& random) {
  const bool sound = !random.one_in(3);
  std::string text = texts[static_cast<size_t>(random.below(static_cast<int64_t>(texts.size())))];
  bool altered = false;
  if (!sound && random.one_in(2)) {
    for (int64_t times = 1 + random.below(3); times > 0; --times) text = mutated(random, text);
    text = text.c_str();  // up to a zero
    altered = true;
  }
  scatcuda_tables t{};
  t.type = random.one_in(2) ? SCATCUDA_FLOAT32 : SCATCUDA_FLOAT64;
  if (!sound && random.one_in(8)) t.type = static_cast<scatcuda_type>(random.hostile());
  const int64_t number = t.type == SCATCUDA_FLOAT64 ? 8 : 4;
  t.program = !sound && random.one_in(16) ? nullptr : text.c_str();

  Tables tables(random, text);
  const auto alter = [&](std::vector<int64_t>& table) {
    if (table.empty()) return;
    int64_t& value = table[static_cast<size_t>(random.below(static_cast<int64_t>(table.size())))];
    value = random.one_in(2) ? random.hostile() : value + random.below(5) - 2;
  };
  if (!sound && random.one_in(3)) {
    alter(random.one_in(2) ? tables.psi_support : tables.phi_support);
  }
  t.psi_entries = tables.psi_entries;
  if (!sound && random.one_in(6)) {
    t.psi_entries = random.one_in(2) ? random.hostile() : t.psi_entries + random.below(9) - 4;
  }
  const bool there = tables.sound && t.psi_entries >= 0 && t.psi_entries <= 1 << 20;
  const Block psi(there ? t.psi_entries * number : 0);
  const Block phi(tables.sound ? tables.phi_entries * number : 0);
  psi.fill(random, t.type, 1e-3), phi.fill(random, t.type);
  const auto exact = [](const std::vector<int64_t>& table) {
    Block copy(static_cast<int64_t>(table.size()) * 8);
    if (!table.empty()) std::memcpy(copy.get(), table.data(), table.size() * 8);
    return copy;
  };
  const Block psi_support = exact(tables.psi_support), phi_support = exact(tables.phi_support);
  if (tables.sound) {
    t.psi = there ? psi.get() : nullptr, t.phi = phi.get();
    t.psi_support = static_cast<const int64_t*>(psi_support.get());
    t.phi_support = static_cast<const int64_t*>(phi_support.get());
  }
  if (!sound && random.one_in(8)) {
    const int64_t which = random.below(4);
    if (which == 0) t.psi = nullptr;
    if (which == 1) t.phi = nullptr;
    if (which == 2) t.psi_support = nullptr;
    if (which == 3) t.phi_support = nullptr;
  }
  const Sized<scatcuda_tables> sized(random, t);
  Message message(random);
  scatcuda_plan* made = nullptr;
  const scatcuda_status status =
      message.check("plan_create", scatcuda_plan_create(&sized.value, &made, message.get()));
  REQUIRE(!sound || (status == SCATCUDA_OK) == sized.sound);
  REQUIRE((status == SCATCUDA_OK) == (made != nullptr));
  REQUIRE(made == nullptr || text == scatcuda_plan_program(made));
  Plan plan{std::unique_ptr<scatcuda_plan, Destroy>(made), false, false};
  if (made == nullptr) return plan;
  const scatcuda_description d = described(made);
  REQUIRE(d.phi_entries == tables.phi_entries && d.psi_entries == t.psi_entries);
  plan.finite = !altered || text.find("power") == std::string::npos;
  plan.quick = tables.most_filters <= 64 && d.signal_numbers <= 1 << 12 &&
               d.result_numbers <= 1 << 16 && t.psi_entries <= 1 << 20;
#ifndef SCATCUDA_EMULATED
  const auto most = SCATCUDA_BACKWARD_WITH_FILTERS;
  plan.quick = plan.quick && scatcuda_workspace_bytes(made, most, 3, 3) < 1 << 25;
#endif
  return plan;
}

void check_refusals(Random& random) {
  Message message(random);
  scatcuda_plan* plan = nullptr;
  const char* const paths[] = {nullptr, "", "/", "/dev/null", "/proc/self/mem", "no/such/file"};
  unsigned char bytes[200];
  for (unsigned char& byte : bytes) byte = static_cast<unsigned char>(random.below(256));
  if (random.one_in(2)) std::memcpy(bytes, "scatplan\2\0\0\0", 12);
  const auto size = static_cast<size_t>(random.below(sizeof bytes + 1));
  scatcuda_status status = SCATCUDA_OK;
  switch (random.below(4)) {
    case 0:
      status = message.check("plan_load",
                             scatcuda_plan_load(paths[random.below(6)], &plan, message.get()));
      break;
    case 1:
      status = message.check("plan_read", scatcuda_plan_read(random.one_in(4) ? nullptr : bytes,
                                                             size, &plan, message.get()));
      break;
    case 2:
      status = message.check("plan_read", scatcuda_plan_read(bytes, size, nullptr, message.get()));
      break;
    default:
      status = message.check(
          "plan_create",
          scatcuda_plan_create(nullptr, random.one_in(2) ? &plan : nullptr, message.get()));
  }
  REQUIRE(status != SCATCUDA_OK && plan == nullptr);
  scatcuda_plan_destroy(nullptr);
  REQUIRE(scatcuda_status_name(static_cast<scatcuda_status>(random.hostile())) != nullptr);
  REQUIRE(scatcuda_version() != nullptr && scatcuda_cuda_architectures() != nullptr);
}

void check_description(Random& random, const scatcuda_plan* plan) {
  const Sized<scatcuda_description> wanted(random, {});
  Sized<scatcuda_description> sized = wanted;
  const bool fits = sized.value.size >= int64_t{sizeof sized.value} && sized.value.size <= 4096;
  if (fits) std::memset(sized.more, 7, sizeof sized.more);  // what it was does not matter
  Message message(random);
  const scatcuda_status status =
      message.check("describe", scatcuda_plan_describe(plan, &sized.value, message.get()));
  REQUIRE((status == SCATCUDA_OK) == (plan != nullptr && fits));
  REQUIRE((scatcuda_plan_program(plan) != nullptr) == (plan != nullptr));
  const scatcuda_description& d = sized.value;
  REQUIRE(d.size == wanted.value.size);
  if (status != SCATCUDA_OK) return;
  for (size_t i = 0; i < sizeof sized.more; ++i) {
    const bool ours = sizeof d + i < static_cast<size_t>(d.size);
    REQUIRE(sized.more[i] == (ours ? 0 : 7));
  }
  REQUIRE(d.signal[0] * d.signal[1] * d.signal[2] == d.signal_numbers);
  REQUIRE(d.channels * d.side[0] * d.side[1] * d.side[2] == d.result_numbers);
  REQUIRE(1 <= d.rank && d.rank <= 3 && 0 <= d.sides && d.sides <= 3);
}

// --- both engines -----------------------------------------------------------------------------

// One call, forward or backward, and what of it may be wrong
struct Call {
  scatcuda_task task = SCATCUDA_FORWARD;
  int64_t batch = 0, bytes = 0;
  const scatcuda_plan* plan = nullptr;
  const void *x = nullptr, *workspace = nullptr;
  void* S = nullptr;  // or its gradient

  // spoils one thing; true where that must be refused. The bytes are `exact` or an upper bound.
  bool spoil(Random& random, bool exact) {
    const bool empty = batch == 0;
    switch (random.below(7)) {
      case 0:
        plan = nullptr;
        return true;
      case 1:
        x = nullptr;
        return !empty;
      case 2:
        S = nullptr;
        return !empty;
      case 3:
        workspace = nullptr;
        return !empty && bytes > 0;
      case 4:
        workspace = static_cast<const char*>(workspace) + 1 + random.below(63);
        return !empty && bytes > 0;
      case 5:
        if (empty) return false;
        bytes = exact ? bytes - 1 - random.below(bytes + 9) : -1 - random.below(9);
        return true;
      default:  // a batch that there might be needs more bytes
        batch = random.hostile(), bytes = -1;
        if (batch == 0) batch = -1;
        return true;
    }
  }
};

struct Arrays {
  scatcuda_description d;
  bool finite_;  // or whatever comes of a program that was altered
  Block x, S, grad_x, grad_psi, grad_phi;
  scatcuda_gradients to{};

  Arrays(Random& random, const Plan& plan, int64_t batch, int64_t pixel_bytes)
      : d(described(plan.plan.get())),
        finite_(plan.finite),
        x(batch * d.signal_numbers * pixel_bytes),
        S(batch * d.result_numbers * d.type),
        grad_x(batch * d.signal_numbers * d.type),
        grad_psi(d.psi_entries * d.type),
        grad_phi(d.phi_entries * d.type) {
    if (!random.one_in(3)) to.x = grad_x.get();
    if (random.one_in(2)) to.psi = grad_psi.get();
    if (random.one_in(2)) to.phi = grad_phi.get();
  }
  bool filters() const { return to.psi != nullptr || to.phi != nullptr; }
  // the gradients of all filters, or of none
  bool none_or_all() const { return (to.psi == nullptr) == (to.phi == nullptr); }
  // after a call: what was asked for is there, nothing else was written
  void check(scatcuda_status status, bool forward) const {
    const bool done = status == SCATCUDA_OK;
    const auto found = [&](const Block& block) { return !finite_ || block.finite(d.type); };
    if (forward) {
      REQUIRE(done ? found(S) : S.untouched());
      return;
    }
    REQUIRE(done && to.x != nullptr ? found(grad_x) : grad_x.untouched());
    REQUIRE(done && to.psi != nullptr ? found(grad_psi) : grad_psi.untouched());
    REQUIRE(done && to.phi != nullptr ? found(grad_phi) : grad_phi.untouched());
  }
};

scatcuda_task task_of(bool forward, const Arrays& arrays) {
  if (forward) return SCATCUDA_FORWARD;
  return arrays.filters() ? SCATCUDA_BACKWARD_WITH_FILTERS : SCATCUDA_BACKWARD;
}

#ifndef SCATCUDA_EMULATED

// --- on the CPU -------------------------------------------------------------------------------

void run_backwards(void*, int64_t tasks, void (*body)(void*, int64_t), void* closure) {
  for (int64_t task = tasks; task-- > 0;) body(closure, task);
}
void run_at_once(void*, int64_t tasks, void (*body)(void*, int64_t), void* closure) {
  std::vector<std::thread> threads;
  for (int64_t task = 0; task < tasks; ++task) threads.emplace_back(body, closure, task);
  for (std::thread& thread : threads) thread.join();
}

void check_workspace(Random& random, const scatcuda_plan* plan) {
  const auto task =
      static_cast<scatcuda_task>(random.one_in(2) ? random.below(3) : random.hostile());
  const int64_t batch = random.one_in(2) ? random.hostile() : random.below(100);
  const int64_t threads = random.one_in(2) ? random.hostile() : 1 + random.below(4096);
  const int64_t bytes = scatcuda_workspace_bytes(plan, task, batch, threads);
  const bool possible =
      plan != nullptr && 0 <= task && task < 3 && batch >= 0 && threads >= 1 && threads <= 4096;
  REQUIRE(bytes >= -1 && (possible || bytes == -1));
  REQUIRE(!possible || batch > 1 << 10 || bytes >= 0);
  count("workspace_bytes", bytes < 0 ? "-1" : "bytes");
}

void check_execution(Random& random, const Plan& made) {
  if (!made.quick) return;
  const scatcuda_plan* plan = made.plan.get();
  const bool forward = random.one_in(2);
  const scatcuda_description d = described(plan);
  const int64_t batch = random.below(4);
  const Arrays arrays(random, made, batch, d.type);
  arrays.x.fill(random, d.type);
  if (!forward) arrays.S.fill(random, d.type);
  Sized<scatcuda_executor> sized(
      random, {0, 1 + random.below(3), random.one_in(4) ? run_at_once : run_backwards, nullptr});
  scatcuda_executor& executor = sized.value;
  const bool alone = random.one_in(3);
  const scatcuda_task task = task_of(forward, arrays);
  const int64_t bytes = scatcuda_workspace_bytes(plan, task, batch, alone ? 1 : executor.threads);
  REQUIRE(bytes >= 0);
  const Block workspace(bytes, SCATCUDA_ALIGNMENT);
  Call call{task, batch, bytes, plan, arrays.x.get(), workspace.get(), arrays.S.get()};
  bool refused = random.one_in(3) && call.spoil(random, arrays.none_or_all());
  if (!alone && random.one_in(8)) {
    if (random.one_in(2)) {
      executor.run = nullptr;
    } else {
      executor.threads = -random.below(3);
    }
    refused = true;
  }
  if (!alone && !sized.sound) refused = true;
  const Sized<scatcuda_gradients> to(random, arrays.to);
  if (!forward && !to.sound) refused = true;
  const bool no_gradients = !forward && random.one_in(20);
  Message message(random);
  const scatcuda_executor* threads = alone ? nullptr : &executor;
  const scatcuda_status status =
      forward
          ? scatcuda_forward(call.plan, call.batch, call.x, call.S,
                             const_cast<void*>(call.workspace), call.bytes, threads, message.get())
          : scatcuda_backward(call.plan, call.batch, call.x, call.S,
                              no_gradients ? nullptr : &to.value, const_cast<void*>(call.workspace),
                              call.bytes, threads, message.get());
  message.check(forward ? "forward" : "backward", status);
  REQUIRE((status != SCATCUDA_OK) == (refused || no_gradients));
  arrays.check(status, forward);
}

void check_gpu(Random& random, const scatcuda_plan* plan) {  // there is no engine for one
  Message message(random);
  scatcuda_cuda_plan* made = nullptr;
  const scatcuda_cuda_options options{sizeof options, static_cast<scatcuda_tier>(random.hostile()),
                                      random.hostile(), nullptr};
  const scatcuda_status status = scatcuda_cuda_plan_create(
      random.one_in(4) ? nullptr : plan, random.one_in(2) ? nullptr : &options,
      random.one_in(4) ? nullptr : &made, message.get());
  REQUIRE(message.check("cuda_plan_create", status) != SCATCUDA_OK && made == nullptr);
  scatcuda_cuda_plan_destroy(nullptr);
  Message other(random);
  int64_t bytes = 0;
  const auto task = static_cast<scatcuda_task>(random.hostile());
  const scatcuda_gradients gradients{random.hostile(), nullptr, nullptr, nullptr};
  switch (random.below(3)) {
    case 0:
      other.check("cuda_workspace_bytes",
                  scatcuda_cuda_workspace_bytes(nullptr, task, random.hostile(), nullptr,
                                                random.one_in(2) ? &bytes : nullptr, other.get()));
      break;
    case 1:
      other.check("cuda_forward",
                  scatcuda_cuda_forward(nullptr, random.hostile(), {}, nullptr, nullptr, nullptr,
                                        random.hostile(), nullptr, other.get()));
      break;
    default:
      other.check("cuda_backward",
                  scatcuda_cuda_backward(nullptr, random.hostile(), {}, nullptr, nullptr,
                                         random.one_in(2) ? &gradients : nullptr, nullptr,
                                         random.hostile(), nullptr, other.get()));
  }
}

void check_engine(Random& random, const Plan& plan) {
  switch (random.below(6)) {
    case 0:
      return check_workspace(random, random.one_in(8) ? nullptr : plan.plan.get());
    case 1:
      return check_gpu(random, plan.plan.get());
    default:
      return check_execution(random, plan);
  }
}

#else

// --- on the emulated GPU ----------------------------------------------------------------------

void* const the_stream = const_cast<void*>(scatcuda::emulation::stream);

// The caller's own FFT, which now and then refuses
struct Fft {
  bool refuses = false;
  int64_t bytes = 0;
  scatcuda_fft table{sizeof table, this, wants, run};

  static int64_t wants(void* self, const scatcuda_transform*, void*) {
    return static_cast<Fft*>(self)->bytes;
  }
  static int run(void* self, const scatcuda_transform* t, const void* in, void* out, void*,
                 void* on) {
    if (static_cast<Fft*>(self)->refuses || on != the_stream) return 1;
    using scatcuda::emulation::transform;
    t->type == SCATCUDA_FLOAT64 ? transform<double>(*t, in, out) : transform<float>(*t, in, out);
    return 0;
  }
};

void check_engine(Random& random, const Plan& source) {
  if (!source.quick) return;
  const scatcuda_plan* host = source.plan.get();
  Fft fft;
  scatcuda_cuda_options options{sizeof options, static_cast<scatcuda_tier>(random.below(3)),
                                random.one_in(2) ? 0 : 1 + random.below(1 << 20), &fft.table};
  bool hostile = random.one_in(4);
  if (hostile) {
    switch (random.below(6)) {
      case 0:
        options.tier = static_cast<scatcuda_tier>(3 + random.below(1 << 20));
        break;
      case 1:
        options.workspace = -1 - random.below(1 << 20);
        break;
      case 2:
        options.fft = nullptr;  // the first order of the fused tier does without
        hostile = false;
        break;
      case 3:
        fft.table.run = nullptr;
        break;
      case 4:
        (random.one_in(2) ? options.size : fft.table.size) = random.below(16);
        break;
      default:
        host = nullptr;
    }
  }
  scatcuda_cuda_plan* made = nullptr;
  {
    Message message(random);
    const scatcuda_status status = scatcuda_cuda_plan_create(host, &options, &made, message.get());
    message.check("cuda_plan_create", status);
    REQUIRE(!hostile || status != SCATCUDA_OK);
    REQUIRE((status == SCATCUDA_OK) == (made != nullptr));
  }
  const std::unique_ptr<scatcuda_cuda_plan, void (*)(scatcuda_cuda_plan*)> plan(
      made, scatcuda_cuda_plan_destroy);
  if (made == nullptr) return;
  options = {};  // the plan has what it needs of it

  for (int64_t calls = random.below(3); calls >= 0; --calls) {
    const scatcuda_description d = described(host);
    const bool forward = random.one_in(2);
    const int64_t batch = random.below(4);
    auto pixels = static_cast<scatcuda_pixels>(random.below(4));
    const int64_t pixel_bytes = pixels == SCATCUDA_PIXELS_AS_PLAN ? d.type
                                : pixels == SCATCUDA_PIXELS_UINT8 ? 1
                                                                  : 2;
    const Arrays arrays(random, source, batch, pixel_bytes);
    if (pixels == SCATCUDA_PIXELS_AS_PLAN) {
      arrays.x.fill(random, d.type);
    } else {
      std::memset(arrays.x.get(), 0x35, static_cast<size_t>(arrays.x.size()));  // small, in each
    }
    if (!forward) arrays.S.fill(random, d.type);
    const scatcuda_task task = task_of(forward, arrays);
    fft.bytes = random.one_in(8) ? random.below(4096) : 0;
    int64_t bytes = 0;
    Message asked(random);
    const auto any_task = random.one_in(8) ? static_cast<scatcuda_task>(random.hostile()) : task;
    const int64_t any_batch = random.one_in(8) ? random.hostile() : batch;
    const scatcuda_status told = asked.check(
        "cuda_workspace_bytes",
        scatcuda_cuda_workspace_bytes(made, any_task, any_batch, the_stream, &bytes, asked.get()));
    REQUIRE(told != SCATCUDA_OK || bytes >= 0);
    if (any_task != task || any_batch != batch || told != SCATCUDA_OK) continue;

    const Block workspace(bytes, SCATCUDA_CUDA_ALIGNMENT);
    Call call{task, batch, bytes, host, arrays.x.get(), workspace.get(), arrays.S.get()};
    bool refused = random.one_in(3) && call.spoil(random, arrays.none_or_all());
    void* on = the_stream;
    if (random.one_in(10)) fft.refuses = true;
    if (random.one_in(10)) on = nullptr;
    if (random.one_in(10)) {
      pixels = static_cast<scatcuda_pixels>(4 + random.below(1 << 20));
      refused |= forward || batch > 0;  // of no images nobody asks
    }
    const Sized<scatcuda_gradients> to(random, arrays.to);
    refused |= !forward && !to.sound;
    Message message(random);
    const auto* given = call.plan == nullptr ? nullptr : made;
    auto* memory = const_cast<void*>(call.workspace);
    const scatcuda_status status =
        forward ? scatcuda_cuda_forward(given, call.batch, pixels, call.x, call.S, memory,
                                        call.bytes, on, message.get())
                : scatcuda_cuda_backward(given, call.batch, pixels, call.x, call.S, &to.value,
                                         memory, call.bytes, on, message.get());
    message.check(forward ? "cuda_forward" : "cuda_backward", status);
    REQUIRE(!refused || status != SCATCUDA_OK);
    if (status == SCATCUDA_OK) arrays.check(status, forward);
    fft.refuses = false;
  }
}

#endif

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  Random random(std::strtoull(argv[2], nullptr, 10));
  const long calls = std::strtol(argv[1], nullptr, 10);
  texts = texts_in(argv[3]);
  std::vector<Plan> plans;
  for (long call = 0; call < calls; ++call) {
    if (plans.empty() || random.one_in(5)) {
      Plan plan = make_plan(random);
      if (plan.plan == nullptr) continue;
      if (plans.size() > 7) plans.erase(plans.begin() + random.below(8));
      plans.push_back(std::move(plan));
    }
    const auto which = random.below(static_cast<int64_t>(plans.size()));
    const Plan& plan = plans[static_cast<size_t>(which)];
    switch (random.below(10)) {
      case 0:
        check_refusals(random);
        break;
      case 1:
        check_description(random, random.one_in(4) ? nullptr : plan.plan.get());
        break;
      default:
        check_engine(random, plan);
    }
  }
  for (const auto& [what, times] : answers) std::printf("%ld %s\n", times, what.c_str());
}
