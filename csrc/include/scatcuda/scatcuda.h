/* Wavelet scattering for programs without Python: plan, workspace, execute, destroy.
 *
 *   S x = A rho W_J ... rho W_1 x    and all shorter ones, of signals of 1, 2 or 3 axes
 *
 * A plan is what a module of Python is, as Scattering2D: the program of a transform and its
 * filters. Python writes it to a file (`scatcuda export plan.scat --J 3 --shape 224,224`, or
 * Scattering2D.save_plan), or a caller hands in the tables. Planning allocates; nothing after it
 * does: the caller brings the workspace. A plan does not change once it is made: any number of
 * threads may execute it, each with a workspace of its own.
 *
 *   scatcuda_plan* plan;
 *   scatcuda_message why;
 *   if (scatcuda_plan_load("plan.scat", &plan, &why)) { puts(why.text); return 1; }
 *   int64_t bytes = scatcuda_workspace_bytes(plan, SCATCUDA_FORWARD, batch, 1);
 *   void* workspace = aligned_alloc(SCATCUDA_ALIGNMENT, bytes);
 *   scatcuda_forward(plan, batch, x, S, workspace, bytes, NULL, &why);
 *   scatcuda_plan_destroy(plan);
 *
 * Arrays are contiguous, the last index runs fastest: signals x [batch, sides of the signal],
 * coefficients S [batch, channels, sides of a channel], numbers of the plan's type. No function
 * throws, prints, or ends the process. scatcuda.hpp says the same in C++.
 *
 * Structs begin with their size, sizeof of what the caller was compiled with, so that they can
 * grow: what an older one lacks is taken as 0, and a newer one is refused where it has more than
 * zeros beyond what this library knows. `scatcuda_tables tables = {.size = sizeof tables, …};`
 */
#ifndef SCATCUDA_H
#define SCATCUDA_H

#include <stddef.h>
#include <stdint.h>

/* Of everything here: setup.py and CMakeLists.txt read it from this line. */
#define SCATCUDA_VERSION "0.1.0"
/* What the address of a workspace is a multiple of */
#define SCATCUDA_ALIGNMENT 64
#define SCATCUDA_CUDA_ALIGNMENT 256

#if defined(_WIN32)
#define SCATCUDA_API
#else
#define SCATCUDA_API __attribute__((visibility("default")))
#endif

/* In C++ an enumeration holds any int, as it does in C: what is none of its values is refused. */
#ifdef __cplusplus
#define SCATCUDA_INT : int
extern "C" {
#else
#define SCATCUDA_INT
#endif

typedef enum scatcuda_status SCATCUDA_INT {
  SCATCUDA_OK = 0,
  SCATCUDA_BAD_ARGUMENT = 1,        /* a null pointer, a negative size, an unaligned workspace … */
  SCATCUDA_BAD_PLAN = 2,            /* no plan, an altered or truncated one, or no such program */
  SCATCUDA_CANNOT_READ = 3,         /* the file system refused */
  SCATCUDA_NO_MEMORY = 4,           /* for the plan, or more of it than a file may take */
  SCATCUDA_WORKSPACE_TOO_SMALL = 5, /* fewer bytes than the plan said */
  SCATCUDA_NO_CUDA = 6,             /* not in this build, no such device, or one too old for it */
  SCATCUDA_NO_FFT = 7,              /* cuFFT was not found, or the FFT refused */
  SCATCUDA_CUDA_FAILED = 8          /* what CUDA said is in the message */
} scatcuda_status;

/* What went wrong, in a sentence. Written by a function that does not return SCATCUDA_OK; every
 * function takes NULL for one. */
typedef struct scatcuda_message {
  char text[512];
} scatcuda_message;

/* "0.1.0", of the library that is running */
SCATCUDA_API const char* scatcuda_version(void);
/* The name of a status, as in "SCATCUDA_BAD_PLAN" */
SCATCUDA_API const char* scatcuda_status_name(scatcuda_status status);
/* "avx512", "avx2" or "baseline": the instructions that the CPU engine runs here; the best there
 * are, or what the environment's SCATCUDA_CPU_ISA asks for when it is first needed */
SCATCUDA_API const char* scatcuda_cpu_isa(void);
/* The GPU architectures of this library, "75 80 90"; "" where it has no CUDA engine */
SCATCUDA_API const char* scatcuda_cuda_architectures(void);

/* ---- Plans ------------------------------------------------------------------------------ */

typedef enum scatcuda_type SCATCUDA_INT {
  SCATCUDA_FLOAT32 = 4,
  SCATCUDA_FLOAT64 = 8
} scatcuda_type;

/* A transform and its filters.
 *
 * The program is the transform as a text, which scatcuda.program builds in Python and
 * csrc/core/program.h explains; it and the tables are copied. psi holds a table for each of the
 * program's sets of filters: of the bins that are kept, the last axis slowest, each with the values
 * of all filters, filled up with zeros to 4, 8 or a multiple of 16, divided by the points of the
 * set's grid. psi_support holds for each set the place of the first number of its table in psi,
 * then for each axis two numbers: bins [0, head) and [tail, side) are kept. phi holds the
 * program's matrices [outputs, inputs] one after the other, and phi_support for each of their rows
 * where it is not zero, low and high, modulo the inputs:
 * -inputs <= low <= inputs, 0 <= high - low <= inputs.
 *
 * Limits, far beyond use: sides up to 2^24, 4096 filters in a set, 2^13 steps, 2^20 planes of each,
 * 2^40 numbers in the table of a set, in phi and in a result, 2^24 characters; of a batch, 2^58
 * numbers in signals and coefficients. A larger program is SCATCUDA_BAD_PLAN, a larger batch
 * SCATCUDA_BAD_ARGUMENT. Within them no size overflows. */
typedef struct scatcuda_tables {
  int64_t size; /* sizeof(scatcuda_tables) */
  scatcuda_type type;
  const char* program;
  int64_t psi_entries; /* numbers in psi */
  const void* psi;     /* of the type */
  const int64_t* psi_support;
  const void* phi; /* of the type */
  const int64_t* phi_support;
} scatcuda_tables;

/* What a plan computes, and the sizes of its arrays */
typedef struct scatcuda_description {
  int64_t size; /* sizeof(scatcuda_description) */
  scatcuda_type type;
  int64_t rank; /* axes of the signal, 1 to 3 */
  int64_t signal[3];
  int64_t channels;
  int64_t sides;   /* of a channel, 0 to 3 */
  int64_t side[3]; /* these and the signal's: 1 where there is none */
  int64_t signal_numbers, result_numbers;
  int64_t psi_entries, phi_entries; /* numbers in the tables of filters, and in their gradients */
} scatcuda_description;

typedef struct scatcuda_plan scatcuda_plan;

/* From a plan file, a regular one. A file that is truncated, altered, of another version or never
 * was a plan is refused; nothing is read past its end. Reading it takes twice its size and 24
 * times its program's for a moment, of which there may be 2 GiB or as many bytes as the
 * environment's SCATCUDA_FILE_BUDGET says. On failure *plan is NULL. */
SCATCUDA_API scatcuda_status scatcuda_plan_load(const char* path, scatcuda_plan** plan,
                                                scatcuda_message* message);
/* The same from the file's bytes in memory, at any address; they are copied */
SCATCUDA_API scatcuda_status scatcuda_plan_read(const void* bytes, size_t size,
                                                scatcuda_plan** plan, scatcuda_message* message);
/* From tables, which are checked and copied */
SCATCUDA_API scatcuda_status scatcuda_plan_create(const scatcuda_tables* tables,
                                                  scatcuda_plan** plan, scatcuda_message* message);
/* NULL is passed over */
SCATCUDA_API void scatcuda_plan_destroy(scatcuda_plan* plan);

/* Fills a description whose size is set. */
SCATCUDA_API scatcuda_status scatcuda_plan_describe(const scatcuda_plan* plan,
                                                    scatcuda_description* description,
                                                    scatcuda_message* message);
/* The text of the plan's program, which lives as long as the plan; NULL of NULL */
SCATCUDA_API const char* scatcuda_plan_program(const scatcuda_plan* plan);

/* ---- On the CPU ------------------------------------------------------------------------- */

typedef enum scatcuda_task SCATCUDA_INT {
  SCATCUDA_FORWARD = 0,
  SCATCUDA_BACKWARD = 1,             /* the gradient of x */
  SCATCUDA_BACKWARD_WITH_FILTERS = 2 /* those of psi and phi as well */
} scatcuda_task;

/* Threads of the caller's: run(self, tasks, body, closure) calls body(closure, i) once for every i
 * in [0, tasks), at once where it can, in any order, and returns when all have returned. `tasks` is
 * at most `threads`; it must not throw. NULL for an executor is the calling thread alone. */
typedef struct scatcuda_executor {
  int64_t size; /* sizeof(scatcuda_executor) */
  int64_t threads;
  void (*run)(void* self, int64_t tasks, void (*body)(void* closure, int64_t task), void* closure);
  void* self;
} scatcuda_executor;

/* Where the gradients of <g, S x> go, NULL where not wanted: x as the signals, psi and phi as in
 * the tables */
typedef struct scatcuda_gradients {
  int64_t size; /* sizeof(scatcuda_gradients) */
  void* x;
  void* psi;
  void* phi;
} scatcuda_gradients;

/* Bytes that a task needs for a batch, and for every smaller one; −1 where an argument makes no
 * sense */
SCATCUDA_API int64_t scatcuda_workspace_bytes(const scatcuda_plan* plan, scatcuda_task task,
                                              int64_t batch, int64_t threads);
/* x [batch, sides of the signal] -> S [batch, channels, sides of a channel] */
SCATCUDA_API scatcuda_status scatcuda_forward(const scatcuda_plan* plan, int64_t batch,
                                              const void* x, void* S, void* workspace,
                                              int64_t bytes, const scatcuda_executor* executor,
                                              scatcuda_message* message);
/* x, and g as S -> gradients of <g, S x>. The workspace is that of SCATCUDA_BACKWARD, or of
 * SCATCUDA_BACKWARD_WITH_FILTERS where psi or phi is wanted. */
SCATCUDA_API scatcuda_status scatcuda_backward(const scatcuda_plan* plan, int64_t batch,
                                               const void* x, const void* g,
                                               const scatcuda_gradients* gradients, void* workspace,
                                               int64_t bytes, const scatcuda_executor* executor,
                                               scatcuda_message* message);

/* ---- On a GPU ---------------------------------------------------------------------------
 * Pointers are to memory of the plan's device, or managed memory, and others are refused; `stream`
 * is a cudaStream_t; the plan's device must be current. Nothing here waits for the device but the
 * making of a plan; plans may be made and destroyed while other threads capture CUDA graphs. */

typedef enum scatcuda_tier SCATCUDA_INT {
  SCATCUDA_TIER_AUTO = 0,
  SCATCUDA_TIER_GENERAL = 1, /* every size, one kernel a stage, an FFT between them */
  SCATCUDA_TIER_FUSED = 2    /* float32, where a family of paths fits in shared memory */
} scatcuda_tier;

/* What the numbers of x are stored as; all are computed in the plan's type */
typedef enum scatcuda_pixels SCATCUDA_INT {
  SCATCUDA_PIXELS_AS_PLAN = 0,
  SCATCUDA_PIXELS_HALF = 1,
  SCATCUDA_PIXELS_BFLOAT16 = 2,
  SCATCUDA_PIXELS_UINT8 = 3
} scatcuda_pixels;

/* A batch of unscaled Fourier transforms of [outer, middle, inner], of which some may be 1 */
typedef enum scatcuda_direction SCATCUDA_INT {
  SCATCUDA_REAL_FORWARD = 0,    /* real to half a spectrum, [outer, middle, inner/2 + 1] */
  SCATCUDA_REAL_INVERSE = 1,    /* the way back, after which the spectrum is lost */
  SCATCUDA_COMPLEX_FORWARD = 2, /* in place */
  SCATCUDA_COMPLEX_INVERSE = 3  /* likewise */
} scatcuda_direction;

typedef struct scatcuda_transform {
  int64_t size; /* set by the library */
  scatcuda_direction direction;
  scatcuda_type type;
  int64_t outer, middle, inner, batch;
} scatcuda_transform;

/* A Fourier transform of the caller's own, in the place of cuFFT; it must not throw. cuFFT's plans
 * are made when scatcuda_cuda_workspace_bytes is first asked about a batch; executing makes none.
 */
typedef struct scatcuda_fft {
  int64_t size; /* sizeof(scatcuda_fft) */
  void* self;
  /* Bytes of workspace that a transform needs, −1 where it cannot be done */
  int64_t (*workspace_bytes)(void* self, const scatcuda_transform* transform, void* stream);
  /* 0 where it was done */
  int (*run)(void* self, const scatcuda_transform* transform, const void* in, void* out,
             void* workspace, void* stream);
} scatcuda_fft;

typedef struct scatcuda_cuda_options {
  int64_t size; /* sizeof(scatcuda_cuda_options) */
  scatcuda_tier tier;
  int64_t workspace; /* bytes the workspace may take; 0: a sixteenth of the GPU's, 4 GiB at most */
  const scatcuda_fft* fft; /* NULL: cuFFT, opened when it is first needed */
} scatcuda_cuda_options;

typedef struct scatcuda_cuda_plan scatcuda_cuda_plan;

/* Copies the tables of a plan to the current device. NULL for options: as if all were 0. */
SCATCUDA_API scatcuda_status scatcuda_cuda_plan_create(const scatcuda_plan* plan,
                                                       const scatcuda_cuda_options* options,
                                                       scatcuda_cuda_plan** cuda_plan,
                                                       scatcuda_message* message);
SCATCUDA_API void scatcuda_cuda_plan_destroy(scatcuda_cuda_plan* plan);
SCATCUDA_API scatcuda_status scatcuda_cuda_workspace_bytes(const scatcuda_cuda_plan* plan,
                                                           scatcuda_task task, int64_t batch,
                                                           void* stream, int64_t* bytes,
                                                           scatcuda_message* message);
SCATCUDA_API scatcuda_status scatcuda_cuda_forward(const scatcuda_cuda_plan* plan, int64_t batch,
                                                   scatcuda_pixels pixels, const void* x, void* S,
                                                   void* workspace, int64_t bytes, void* stream,
                                                   scatcuda_message* message);
SCATCUDA_API scatcuda_status scatcuda_cuda_backward(const scatcuda_cuda_plan* plan, int64_t batch,
                                                    scatcuda_pixels pixels, const void* x,
                                                    const void* g,
                                                    const scatcuda_gradients* gradients,
                                                    void* workspace, int64_t bytes, void* stream,
                                                    scatcuda_message* message);

#ifdef __cplusplus
}
#endif
#endif
