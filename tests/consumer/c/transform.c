/* Scattering coefficients of a file of images, or of what other signals the plan is for, in C.
 *
 *   transform plan.scat images.raw coefficients.raw
 *
 * Both files are float32, one signal after the other.
 */
#include <scatcuda/scatcuda.h>
#include <stdio.h>
#include <stdlib.h>

static int fail(const char* what, const char* why) {
  fprintf(stderr, "transform: %s: %s\n", what, why);
  return 1;
}

int main(int argc, char** argv) {
  if (argc != 4) return fail("usage", "transform plan.scat images.raw coefficients.raw");

  scatcuda_plan* plan;
  scatcuda_message message;
  if (scatcuda_plan_load(argv[1], &plan, &message) != SCATCUDA_OK) {
    return fail("no plan", message.text);
  }
  scatcuda_description d = {.size = sizeof d};
  if (scatcuda_plan_describe(plan, &d, &message) != SCATCUDA_OK) {
    return fail("description", message.text);
  }
  if (d.type != SCATCUDA_FLOAT32) return fail(argv[1], "the plan is not float32");

  /* all memory there will be: one signal, its coefficients, the workspace */
  const size_t samples = (size_t)d.signal_numbers, numbers = (size_t)d.result_numbers;
  const int64_t bytes = scatcuda_workspace_bytes(plan, SCATCUDA_FORWARD, 1, 1);
  const size_t whole = ((size_t)bytes + SCATCUDA_ALIGNMENT - 1) / SCATCUDA_ALIGNMENT;
  float* x = malloc(samples * sizeof(float));
  float* S = malloc(numbers * sizeof(float));
  void* workspace = aligned_alloc(SCATCUDA_ALIGNMENT, whole * SCATCUDA_ALIGNMENT);
  FILE* in = fopen(argv[2], "rb");
  FILE* out = fopen(argv[3], "wb");
  if (!x || !S || !workspace) return fail("memory", "there is not enough");
  if (!in) return fail(argv[2], "cannot be read");
  if (!out) return fail(argv[3], "cannot be written");

  size_t signals = 0, read;
  while ((read = fread(x, sizeof(float), samples, in)) == samples) {
    if (scatcuda_forward(plan, 1, x, S, workspace, bytes, NULL, &message) != SCATCUDA_OK) {
      return fail("forward", message.text);
    }
    if (fwrite(S, sizeof(float), numbers, out) != numbers) return fail(argv[3], "disk full");
    ++signals;
  }
  if (read != 0) return fail(argv[2], "ends within a signal");
  if (fclose(out) != 0) return fail(argv[3], "disk full");

  printf("%zu signals -> %lld", signals, (long long)d.channels);
  for (int64_t i = 0; i < d.sides; ++i) printf(" x %lld", (long long)d.side[i]);
  printf("\n");
  fclose(in);
  free(workspace);
  free(S);
  free(x);
  scatcuda_plan_destroy(plan);
  return 0;
}
