// Stands for libcufft.so: its functions, each of which prints how it was called. Plans are numbered
// from 1; a plan used by two threads at once or after its end prints BROKEN, and so does one that
// is made or destroyed where that would spoil a capture. Transforms of few points want no work
// area, and as cuFFT does they fail with 6 where data begins in the one that they were given.
//
// FAKE_CUFFT_FAILS names a function that answers 5, which is cuFFT's internal error.
#include <atomic>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>

// the driver's: in which mode of capture this thread is
extern "C" int fake_capture_mode();

namespace {

constexpr int most_plans = 4096;
std::atomic<int> plans{0};
std::atomic<int> users[most_plans];
std::atomic<bool> alive[most_plans];
void* areas[most_plans];

long number(void* address) { return reinterpret_cast<long>(address); }

int result(const char* function) {
  const char* failing = std::getenv("FAKE_CUFFT_FAILS");
  return failing != nullptr && std::strcmp(failing, function) == 0 ? 5 : 0;
}

// What allocates and frees belongs in relaxed mode, what is captured in the thread's own.
void require_mode(bool relaxed, const char* function) {
  if ((fake_capture_mode() == 2) != relaxed) {
    std::printf("BROKEN %s in capture mode %d\n", function, fake_capture_mode());
  }
}

// from the setting of the stream to the execution a plan belongs to one thread
void enter(int plan) {
  if (!alive[plan] || ++users[plan] != 1) std::printf("BROKEN plan %d\n", plan);
}

int run(const char* function, int plan, void* in, void* out) {
  std::printf("%s plan %d %ld -> %ld\n", function, plan, number(in), number(out));
  require_mode(false, function);
  if (!alive[plan] || --users[plan] != 0) std::printf("BROKEN plan %d\n", plan);
  const void* area = areas[plan];
  return area != nullptr && (area == in || area == out) ? 6 : result(function);
}

}  // namespace

extern "C" {
int cufftGetVersion(int* version) {
  *version = FAKE_CUFFT_VERSION;
  return 0;
}
int cufftCreate(int* plan) {
  require_mode(true, "cufftCreate");
  *plan = ++plans;
  alive[*plan] = true;
  return result("cufftCreate");
}
int cufftDestroy(int plan) {
  std::printf("cufftDestroy plan %d\n", plan);
  require_mode(true, "cufftDestroy");
  if (!alive[plan].exchange(false) || users[plan] != 0) std::printf("BROKEN plan %d\n", plan);
  return 0;
}
int cufftSetAutoAllocation(int plan, int automatic) {
  std::printf("cufftSetAutoAllocation plan %d %d\n", plan, automatic);
  return 0;
}
int cufftMakePlanMany64(int plan, int rank, long long* n, long long* inembed, long long, long long,
                        long long* onembed, long long, long long, int type, long long batch,
                        size_t* work_bytes) {
  require_mode(true, "cufftMakePlanMany64");
  std::printf("cufftMakePlanMany64 plan %d n", plan);
  for (int i = 0; i < rank; ++i) std::printf(" %lld", n[i]);
  std::printf("%s type %x batch %lld\n", inembed || onembed ? " embedded" : "", type, batch);
  long long points = 1;
  for (int i = 0; i < rank; ++i) points *= n[i];
  *work_bytes = points <= 16 ? 0 : 100 * static_cast<size_t>(batch);
  return result("cufftMakePlanMany64");
}
int cufftSetStream(int plan, void* stream) {
  enter(plan);
  std::printf("cufftSetStream plan %d %ld\n", plan, number(stream));
  return 0;
}
#ifndef FAKE_CUFFT_INCOMPLETE
int cufftSetWorkArea(int plan, void* area) {
  std::printf("cufftSetWorkArea plan %d %ld\n", plan, number(area));
  areas[plan] = area;
  return 0;
}
#endif
int cufftExecR2C(int plan, void* in, void* out) { return run("cufftExecR2C", plan, in, out); }
int cufftExecD2Z(int plan, void* in, void* out) { return run("cufftExecD2Z", plan, in, out); }
int cufftExecC2R(int plan, void* in, void* out) { return run("cufftExecC2R", plan, in, out); }
int cufftExecZ2D(int plan, void* in, void* out) { return run("cufftExecZ2D", plan, in, out); }
int cufftExecC2C(int plan, void* in, void* out, int direction) {
  std::printf("direction %d ", direction);
  return run("cufftExecC2C", plan, in, out);
}
int cufftExecZ2Z(int plan, void* in, void* out, int direction) {
  std::printf("direction %d ", direction);
  return run("cufftExecZ2Z", plan, in, out);
}
}
