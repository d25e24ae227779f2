// Scattering coefficients of a folder of PGM and PPM images, a batch in memory at a time.
//
//   stream plan.scat images/ coefficients.npy [batch] [threads]
//
// In the order of the files' names: [images, channels, m, n], or [images, 3, channels, m, n] where
// they are colour images. All must have the size of the plan.
#include <algorithm>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <scatcuda/threads.hpp>
#include <string>
#include <vector>

#include "netpbm.hpp"
#include "npy.hpp"

namespace {

std::vector<std::string> images_in(const std::string& folder) {
  std::vector<std::string> paths;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const auto extension = entry.path().extension();
    if (extension == ".pgm" || extension == ".ppm") paths.push_back(entry.path().string());
  }
  std::sort(paths.begin(), paths.end());
  if (paths.empty()) throw std::runtime_error(folder + " holds no .pgm and no .ppm file");
  return paths;
}

void run(const std::string& plan_file, const std::string& folder, const std::string& output,
         int64_t batch, int64_t threads) {
  const scatcuda::Plan plan(plan_file);
  plan.require<float>();
  const scatcuda_description d = plan.describe();
  if (d.rank != 2 || d.sides != 2) throw std::runtime_error(plan_file + " is not for images");
  const std::vector<std::string> paths = images_in(folder);
  const auto read = [&](const std::string& path) { return Netpbm(path, d.signal[0], d.signal[1]); };
  const int64_t planes = read(paths.front()).planes, count = static_cast<int64_t>(paths.size());

  std::vector<int64_t> shape{count, d.channels, d.side[0], d.side[1]};
  if (planes > 1) shape.insert(shape.begin() + 1, planes);
  Npy file(output, shape);
  scatcuda::Threads pool(threads);
  const auto workspace = plan.workspace(SCATCUDA_FORWARD, batch * planes, threads);
  std::vector<float> x, S(static_cast<size_t>(batch * planes * d.result_numbers));
  for (int64_t first = 0; first < count; first += batch) {
    const int64_t images = std::min(batch, count - first);
    x.clear();
    for (int64_t i = first; i < first + images; ++i) {
      const std::string& path = paths[static_cast<size_t>(i)];
      const Netpbm image = read(path);
      if (image.planes != planes) throw std::runtime_error(path + " mixes grey and colour");
      x.insert(x.end(), image.pixels.begin(), image.pixels.end());
    }
    plan.forward(images * planes, x.data(), S.data(), workspace, pool.executor());
    file.write(S.data(), static_cast<size_t>(images * planes * d.result_numbers));
  }
  file.close();
  std::printf("%lld images\n", static_cast<long long>(count));
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc < 4) {
      throw std::invalid_argument("usage: stream plan.scat images/ out.npy [batch] [threads]");
    }
    const int64_t batch = argc > 4 ? std::stoll(argv[4]) : 16;
    const int64_t threads = argc > 5 ? std::stoll(argv[5]) : 1;
    if (batch < 1) throw std::invalid_argument("batch must be at least 1");
    run(argv[1], argv[2], argv[3], batch, threads);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "stream: %s\n", error.what());
    return 1;
  }
}
