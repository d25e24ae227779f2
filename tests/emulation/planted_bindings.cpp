// planted.cuh as a Python module.
#include "harness.h"
#include "host_fft.h"
#include "planted.h"

namespace scatcuda::emulation {
namespace {

using Sizes = std::array<unsigned, 3>;

void require(const std::string& error) {
  if (!error.empty()) throw std::runtime_error(error);
}

// Runs use(out, in) on guarded memory; returns out [size], which held NaN, and the report.
template <class F>
py::tuple guarded(const Array<float>& in, int64_t size, F&& use) {
  Array<float> out(size);
  const Guarded in_("in", in), out_("out", static_cast<size_t>(out.nbytes()));
  clear_report();
  use(out_.as<float>(), in_.as<float>());
  const py::dict ran = report();
  in_.check_unchanged(in), out_.check();
  out_.copy_to(&out);
  return py::make_tuple(out, ran);
}

}  // namespace

PYBIND11_MODULE(planted, m) {
  bind_device(m);
  m.def(
      "run",
      [](const std::string& name, const Array<float>& in, int64_t size, int n, const Sizes& grid,
         const Sizes& block, size_t shared) {
        return guarded(in, size, [&](float* out, const float* x) {
          require(planted::run(name, grid, block, shared, out, x, n));
        });
      },
      "name"_a, "in"_a, "size"_a, "n"_a = 0, py::kw_only(), "grid"_a = Sizes{1, 1, 1},
      "block"_a = Sizes{32, 1, 1}, "shared"_a = 0);
  m.def(
      "set",
      [](const Array<float>& in, int64_t size, int value, bool on_default_stream) {
        return guarded(in, size, [&](float* out, const float*) {
          const auto bytes = static_cast<size_t>(size) * sizeof(float);
          require(planted::set(out, value, bytes, on_default_stream));
        });
      },
      "in"_a, "size"_a, "value"_a = 0, "on_default_stream"_a = false);
  m.def("count_calls", planted::count_calls);
  m.def("copy", [](const Array<float>& in) {
    return guarded(in, in.size(), [&](float* out, const float* x) {
      require(planted::copy(out, x, static_cast<size_t>(in.nbytes())));
    });
  });
  // the FFT that stands in for cuFFT
  m.def("fft_forward", [](const Array<double>& x) {
    Array<std::complex<double>> out({x.shape(0), x.shape(1), x.shape(2) / 2 + 1});
    fft_forward(x.shape(0), {x.shape(1), 1, x.shape(2)}, x.data(), out.mutable_data());
    return out;
  });
  m.def("fft_inverse", [](const Array<std::complex<double>>& z) {
    Array<std::complex<double>> out({z.shape(0), z.shape(1), z.shape(2)});
    std::copy_n(z.data(), z.size(), out.mutable_data());
    fft_complex(1, z.shape(0), {z.shape(1), 1, z.shape(2)}, out.mutable_data());
    return out;
  });
}

}  // namespace scatcuda::emulation
