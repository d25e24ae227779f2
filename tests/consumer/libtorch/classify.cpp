// A classifier from Python, run without it: scattering and a linear layer in a package of
// AOTInductor, which package.py makes.
//
//   classify classifier.pt2 images.raw rows columns
//
// The images are float32, one after the other; prints the scores of each on a line. The package
// calls scatcuda::scattering by its name: linking scatcuda::torch brings it.
#include <ATen/ops/from_file.h>
#include <torch/csrc/inductor/aoti_package/model_package_loader.h>

#include <cstdio>
#include <exception>
#include <filesystem>
#include <stdexcept>
#include <string>

namespace {

// [images, rows, columns]; PyTorch says so where the file's size does not fit
at::Tensor images_in(const std::string& path, int64_t rows, int64_t columns) {
  const auto count = static_cast<int64_t>(std::filesystem::file_size(path) / sizeof(float));
  return at::from_file(path, /*shared=*/false, count, at::kFloat).view({-1, rows, columns});
}

void run(const std::string& package, const at::Tensor& images) {
  torch::inductor::AOTIModelPackageLoader classifier(package);
  const at::Tensor scores = classifier.run({images}).front();
  for (int64_t i = 0; i < scores.size(0); ++i) {
    for (int64_t k = 0; k < scores.size(1); ++k) {
      std::printf(k == 0 ? "%.9g" : " %.9g", scores[i][k].item<double>());
    }
    std::printf("\n");
  }
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc != 5) {
      throw std::invalid_argument("usage: classify classifier.pt2 images.raw rows columns");
    }
    run(argv[1], images_in(argv[2], std::stoll(argv[3]), std::stoll(argv[4])));
  } catch (const c10::Error& error) {  // whose what() tells where in PyTorch as well
    std::fprintf(stderr, "classify: %s\n", error.what_without_backtrace());
    return 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "classify: %s\n", error.what());
    return 1;
  }
}
