/* Scattering coefficients of a file of images, in C.
 *
 *   transform plan.scat images.raw coefficients.raw
 *
 * Both files are float32, one image after the other.
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
  const scatcuda_description d = scatcuda_plan_describe(plan);
  if (d.type != SCATCUDA_FLOAT32) return fail(argv[1], "the plan is not float32");

  /* all memory there will be: one image, its coefficients, the workspace */
  const size_t pixels = (size_t)(d.M * d.N), numbers = (size_t)(d.channels * d.m * d.n);
  const int64_t bytes = scatcuda_workspace_bytes(plan, SCATCUDA_FORWARD, 1, 1);
  const size_t whole = ((size_t)bytes + SCATCUDA_ALIGNMENT - 1) / SCATCUDA_ALIGNMENT;
  float* x = malloc(pixels * sizeof(float));
  float* S = malloc(numbers * sizeof(float));
  void* workspace = aligned_alloc(SCATCUDA_ALIGNMENT, whole * SCATCUDA_ALIGNMENT);
  FILE* in = fopen(argv[2], "rb");
  FILE* out = fopen(argv[3], "wb");
  if (!x || !S || !workspace) return fail("memory", "there is not enough");
  if (!in) return fail(argv[2], "cannot be read");
  if (!out) return fail(argv[3], "cannot be written");

  size_t images = 0, read;
  while ((read = fread(x, sizeof(float), pixels, in)) == pixels) {
    if (scatcuda_forward(plan, 1, x, S, workspace, bytes, NULL, &message) != SCATCUDA_OK) {
      return fail("forward", message.text);
    }
    if (fwrite(S, sizeof(float), numbers, out) != numbers) return fail(argv[3], "disk full");
    ++images;
  }
  if (read != 0) return fail(argv[2], "ends within an image");
  if (fclose(out) != 0) return fail(argv[3], "disk full");

  printf("%zu images -> %lld x %lld x %lld\n", images, (long long)d.channels, (long long)d.m,
         (long long)d.n);
  fclose(in);
  free(workspace);
  free(S);
  free(x);
  scatcuda_plan_destroy(plan);
  return 0;
}
