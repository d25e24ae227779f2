// scatcuda.h's CUDA functions on the emulated device, called from Python.
#include "scatcuda/scatcuda.hpp"

#include "harness.h"
#include "host_fft.h"
#include "no_cufft.h"

namespace scatcuda::emulation {
namespace {

// An FFT of the caller's own, which counts what it is asked for
struct CountingFft {
  int64_t transforms = 0;
  bool refuses = false;
  scatcuda_fft table{sizeof table, this,
                     [](void*, const scatcuda_transform*, void*) { return int64_t{0}; }, run};

  static int run(void* self, const scatcuda_transform* t, const void* in, void* out, void*,
                 void* on) {
    auto& fft = *static_cast<CountingFft*>(self);
    if (fft.refuses || on != stream) return 1;
    ++fft.transforms;
    if (t->type == SCATCUDA_FLOAT64) {
      transform<double>(*t, in, out);
    } else {
      transform<float>(*t, in, out);
    }
    return 0;
  }
};

// Plan, workspace, execute, destroy, on the bytes of a plan file: (S, gradients of x, psi and phi,
// transforms that the FFT did); those of psi and phi empty unless `filters`. The array called
// `elsewhere` lies in memory of another device, or of the host where `at_home` is; a device other
// than the plan's is current when it is executed on `another`.
template <class T>
py::tuple run_plan(const Array<uint8_t>& file, const Array<T>& x, const Array<T>& g, bool filters,
                   int tier, int64_t budget, int64_t missing, bool fft_refuses,
                   const std::string& elsewhere, bool at_home, bool another) {
  const Plan host(file.data(), static_cast<size_t>(file.size()));
  const scatcuda_description d = host.describe();
  const int64_t B = x.shape(0);
  CountingFft fft;
  scatcuda_cuda_options options{0, static_cast<scatcuda_tier>(tier), budget, &fft.table};
  const CudaPlan plan(host, options);
  options = {};  // the plan has what it needs
  fft.refuses = fft_refuses;
  void* const on = const_cast<void*>(stream);

  std::vector<int64_t> signals(d.signal, d.signal + d.rank), results(d.side, d.side + d.sides);
  signals.insert(signals.begin(), B), results.insert(results.begin(), {B, d.channels});
  Array<T> S(results), grad_x(signals);
  Array<T> grad_psi(filters ? d.psi_entries : 0), grad_phi(filters ? d.phi_entries : 0);
  const Guarded x_("x", x), g_("g", g), S_("S", static_cast<size_t>(S.nbytes()));
  const Guarded gx("grad_x", static_cast<size_t>(grad_x.nbytes()));
  const Guarded gpsi("grad_psi", static_cast<size_t>(grad_psi.nbytes()));
  const Guarded gphi("grad_phi", static_cast<size_t>(grad_phi.nbytes()));
  const auto move = [&] {
    const auto found = std::find_if(buffers.begin(), buffers.end(),
                                    [&](const Buffer& b) { return b.name == elsewhere; });
    if (found == buffers.end()) return;
    if (at_home) {
      buffers.erase(found);
    } else {
      found->device = 1;
    }
  };
  move();
  device.current = another ? 1 : 0;
  const auto bytes_of = [&](scatcuda_task task) { return plan.workspace_bytes(task, B, on); };
  {
    const int64_t size = bytes_of(SCATCUDA_FORWARD);
    const Guarded workspace("workspace", static_cast<size_t>(size));
    move();
    plan.forward(B, x_.as<void>(), S_.as<T>(), workspace.as<void>(), size - missing, on);
    workspace.check();
  }
  const int64_t size = bytes_of(filters ? SCATCUDA_BACKWARD_WITH_FILTERS : SCATCUDA_BACKWARD);
  const Guarded workspace("workspace", static_cast<size_t>(size));
  plan.backward(B, x_.as<void>(), g_.as<T>(), gx.as<T>(), filters ? gpsi.as<T>() : nullptr,
                filters ? gphi.as<T>() : nullptr, workspace.as<void>(), size - missing, on);
  for (const Guarded* buffer : {&S_, &gx, &gpsi, &gphi, &workspace}) buffer->check();
  x_.check_unchanged(x), g_.check_unchanged(g);
  S_.copy_to(&S), gx.copy_to(&grad_x), gpsi.copy_to(&grad_psi), gphi.copy_to(&grad_phi);
  return py::make_tuple(S, grad_x, grad_psi, grad_phi, fft.transforms);
}

}  // namespace

void bind_api(py::module_& m) {
  const auto bind = [&](auto number) {
    m.def("run_plan", run_plan<decltype(number)>, "file"_a, "x"_a.noconvert(), "g"_a.noconvert(),
          py::kw_only(), "filters"_a = false, "tier"_a = 0, "budget"_a = 0, "missing"_a = 0,
          "fft_refuses"_a = false, "elsewhere"_a = "", "at_home"_a = false, "another"_a = false);
  };
  bind(float{});
  bind(double{});
}

}  // namespace scatcuda::emulation
