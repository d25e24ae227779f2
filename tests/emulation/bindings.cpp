// The CUDA engine on NumPy arrays, as a Python module: csrc/cuda on the emulated device, with a
// host FFT in cuFFT's place.
//
// Every array lies in memory of its own between guard zones; outputs and workspace hold NaN before
// a call. Functions have the names and arguments of the operators and raise RuntimeError: what
// status the engine returned, what threads wait for, which guard zone was written to.
#include <complex>
#include <optional>

#include "core/engines.h"
#include "harness.h"
#include "host_fft.h"

namespace scatcuda::emulation {

void bind_api(py::module_& m);  // api.cpp

namespace {

const char* name_of(Status status) {
  switch (status) {
    case Status::ok:
      return "ok";
    case Status::bad_problem:
      return "bad_problem";
    case Status::workspace_too_small:
      return "workspace_too_small";
    case Status::tier_impossible:
      return "tier_impossible";
    case Status::fft_failed:
      return "fft_failed";
    case Status::no_kernel:
      return "no_kernel";
    case Status::launch_failed:
      return "launch_failed";
    case Status::no_device:
      return "no_device";
  }
  return "a status without a name";
}

void require(Status status) {
  if (status == Status::ok) return;
  std::string what = name_of(status);
  if (status == Status::launch_failed || status == Status::no_device)
    what += std::string(": ") + cuda::last_error();
  throw std::runtime_error(what);
}

void require(bool holds, const char* otherwise) {
  if (!holds) throw py::value_error(otherwise);
}

// --- cuFFT's stand-in --------------------------------------------------------------------------

// How the library behaves: "host" does its work; "missing" is not there; "unable" has no transform
// of any size; "failing" promises and then fails.
class HostFft {
 public:
  explicit HostFft(const std::string& behaviour) : behaviour_(behaviour) {
    for (const char* known : {"host", "missing", "unable", "failing"}) {
      if (behaviour == known) return;
    }
    throw py::value_error("fft must be host, missing, unable or failing; got " + behaviour);
  }
  HostFft(const HostFft&) = delete;
  HostFft& operator=(const HostFft&) = delete;
  const cuda::Fft* get() const { return behaviour_ == "missing" ? nullptr : &table_; }

 private:
  // Something that no alignment divides
  static int64_t bytes_of(const cuda::Transform& t) {
    return t.batch * t.outer * t.middle * 4 + 20;
  }

  static int64_t workspace_bytes(void* self, const cuda::Transform& t, void*) {
    return static_cast<HostFft*>(self)->behaviour_ == "unable" ? -1 : bytes_of(t);
  }

  static bool run(void* self, const cuda::Transform& t, const void* in, void* out, void* workspace,
                  void* on) {
    if (static_cast<HostFft*>(self)->behaviour_ == "failing") return false;
    const int64_t number = t.wide ? sizeof(double) : sizeof(float);
    const int64_t rows = t.batch * t.outer * t.middle * number;
    const int64_t half = 2 * (t.inner / 2 + 1);
    const bool to_half = t.direction == cuda::Direction::real_forward;
    const bool from_half = t.direction == cuda::Direction::real_inverse;
    const bool complex = !to_half && !from_half;
    const int64_t in_row = to_half ? t.inner : from_half ? half : 2 * t.inner;
    const int64_t out_row = to_half ? half : from_half ? t.inner : 2 * t.inner;
    const auto in_bytes = static_cast<size_t>(rows * in_row);
    const auto out_bytes = static_cast<size_t>(rows * out_row);
    const auto spare = static_cast<size_t>(bytes_of(t));
    check_inside("input", in, in_bytes);
    check_inside("output", out, out_bytes);
    check_inside("workspace", workspace, spare);
    if (reinterpret_cast<uintptr_t>(workspace) % 256 != 0) {
      throw std::runtime_error("FFT: the workspace is not aligned to 256 bytes");
    }
    if (complex ? in != out : overlap(in, in_bytes, out, out_bytes)) {
      throw std::runtime_error("FFT: real planes out of place, complex ones in place");
    }
    if (overlap(workspace, spare, in, in_bytes) || overlap(workspace, spare, out, out_bytes)) {
      throw std::runtime_error("FFT: the workspace holds data");
    }
    if (!record_operation("fft", in, in_bytes, out, out_bytes, on)) return false;
    if (device.counts_only) return true;
    memset(workspace, 0xff, spare);
    if (t.wide) {
      transform<double>(t, in, out);
    } else {
      transform<float>(t, in, out);
    }
    return true;
  }
  static void check_inside(const char* what, const void* p, size_t bytes) {
    if (buffer_of(p, bytes) == nullptr) {
      throw std::runtime_error(std::string("FFT: the ") + what + " reaches outside of its buffer");
    }
  }
  static bool overlap(const void* a, size_t a_bytes, const void* b, size_t b_bytes) {
    const auto *p = static_cast<const char*>(a), *q = static_cast<const char*>(b);
    return p < q + b_bytes && q < p + a_bytes;
  }

  std::string behaviour_;
  cuda::Fft table_{this, workspace_bytes, run};
};

// --- how a problem is run ----------------------------------------------------------------------

cuda::Tier tier_of(const std::string& name) {
  if (name == "auto") return cuda::Tier::automatic;
  if (name == "general") return cuda::Tier::general;
  if (name == "fused") return cuda::Tier::fused;
  throw py::value_error("tier must be auto, general or fused; got " + name);
}

cuda::Pixels pixels_of(const std::string& name) {
  if (name == "as_bank") return cuda::Pixels::as_bank;
  if (name == "half") return cuda::Pixels::half;
  if (name == "bfloat16") return cuda::Pixels::bfloat16;
  if (name == "uint8") return cuda::Pixels::uint8;
  throw py::value_error("pixels must be as_bank, half, bfloat16 or uint8; got " + name);
}

constexpr const char* tasks[] = {"forward", "backward", "backward_with_filters"};
cuda::Task task_of(const std::string& name) {
  for (int i = 0; i < 3; ++i) {
    if (name == tasks[i]) return static_cast<cuda::Task>(i);
  }
  throw py::value_error("task must be forward, backward or backward_with_filters; got " + name);
}

py::dict dict_of(const cuda::Launch& l) {
  return py::dict("tier"_a = l.tier == cuda::Tier::fused ? "fused" : "general", "whole"_a = l.whole,
                  "group"_a = l.group, "threads"_a = l.threads, "shared_bytes"_a = l.shared_bytes,
                  "wave"_a = l.wave, "task"_a = tasks[static_cast<int>(l.task)]);
}

cuda::Launch launch_of(const py::dict& d) {
  return {tier_of(d["tier"].cast<std::string>()),
          d["whole"].cast<bool>(),
          d["group"].cast<int64_t>(),
          d["threads"].cast<int64_t>(),
          d["shared_bytes"].cast<int64_t>(),
          d["wave"].cast<int64_t>(),
          task_of(d["task"].cast<std::string>())};
}

void* the_stream() { return const_cast<void*>(stream); }

ProgramPointer parsed(const std::string& text) {
  std::string why;
  ProgramPointer program = parse_program(text, &why);
  if (program == nullptr) throw py::value_error(why);
  return program;
}

// Of a batch of signals their number, and the sizes of their coefficients
template <class T>
int64_t batch_of(const Program& p, const Array<T>& x) {
  require(x.ndim() == 1 + p.rank, "x must be a batch of signals of the program's rank");
  for (int i = 0; i < p.rank; ++i) {
    require(x.shape(1 + i) == p.axis[i].size, "x must have the sides of the program's signal");
  }
  return x.shape(0);
}
std::vector<int64_t> sizes_of(const Program& p, int64_t B) {
  std::vector<int64_t> sizes{B, p.channels};
  sizes.insert(sizes.end(), p.side, p.side + p.sides);
  return sizes;
}
template <class T>
void check_bank(const Program& p, const Array<int64_t>& psi_support, const Array<T>& phi,
                const Array<int64_t>& phi_support) {
  require(psi_support.size() == p.psi_support_numbers && phi.size() == p.phi_numbers &&
              phi_support.size() == 2 * p.phi_rows,
          "the bank does not fit the program");
}

template <class T>
cuda::Launch choose(const Program& program, int64_t B, const std::string& tier, int64_t budget,
                    const HostFft& fft, cuda::Task task = cuda::Task::forward) {
  cuda::Device limits;
  require(cuda::device_limits(0, &limits));
  cuda::Launch launch;
  require(cuda::choose<T>(program, B, limits, tier_of(tier), budget, fft.get(), &launch, task));
  return launch;
}

// The report of one call, with what the engine itself says it launched
class Call {
 public:
  Call() : before_(cuda::launches()) { clear_report(); }
  py::dict report() const {
    py::dict all = emulation::report();
    all["counted"] = cuda::launches() - before_;
    return all;
  }

 private:
  int64_t before_;
};

// --- the operators -----------------------------------------------------------------------------

template <class T>
py::tuple scattering(const Array<T>& x, const Array<T>& psi, const Array<int64_t>& psi_support,
                     const Array<T>& phi, const Array<int64_t>& phi_support,
                     const std::string& text, const std::string& tier, int64_t budget,
                     const std::optional<py::dict>& launch, const std::string& fft_behaviour,
                     int64_t shift, const std::string& pixels,
                     const std::optional<Array<uint8_t>>& stored) {
  const ProgramPointer parse = parsed(text);
  const Program& program = *parse;
  const int64_t B = batch_of(program, x);
  check_bank(program, psi_support, phi, phi_support);
  HostFft fft(fft_behaviour);
  const cuda::Launch way =
      launch.has_value() ? launch_of(*launch) : choose<T>(program, B, tier, budget, fft);
  int64_t bytes;
  require(cuda::workspace_bytes<T>(program, way, fft.get(), the_stream(), &bytes));

  const size_t skew = static_cast<size_t>(shift) * sizeof(T);
  Array<T> S(sizes_of(program, B));
  std::optional<Guarded> x_;
  if (stored.has_value()) {
    x_.emplace("x", *stored);
  } else {
    x_.emplace("x", x, skew);
  }
  const Guarded psi_("psi", psi, skew), boxes("psi_support", psi_support);
  const Guarded phi_("phi", phi, skew), bands("phi_support", phi_support);
  const Guarded S_("S", static_cast<size_t>(S.nbytes()), skew);
  const Guarded workspace("workspace", static_cast<size_t>(bytes));
  const Bank<T> bank{psi_.as<T>(), boxes.as<int64_t>(), phi_.as<T>(), bands.as<int64_t>()};
  const auto run = [&](int64_t given) {
    return cuda::scattering<T>(program, way, bank, psi.size(), B, x_->as<void>(), S_.as<T>(),
                               workspace.as<void>(), given, fft.get(), the_stream(),
                               pixels_of(pixels));
  };
  if (B > 0 && bytes > 0 && run(bytes - 1) != Status::workspace_too_small) {
    throw std::runtime_error("a workspace one byte too small was taken");
  }
  const Call call;
  require(run(bytes));
  py::dict report = call.report();
  report["launch"] = dict_of(way);
  report["workspace_bytes"] = bytes;
  if (!stored.has_value()) x_->check_unchanged(x);
  psi_.check_unchanged(psi), boxes.check_unchanged(psi_support);
  phi_.check_unchanged(phi), bands.check_unchanged(phi_support);
  S_.check(), workspace.check();
  S_.copy_to(&S);
  return py::make_tuple(S, report);
}

// (grad_x, grad_psi, grad_phi, report), gradients of size 0 where they are not wanted
template <class T>
py::tuple scattering_backward(const Array<T>& grad, const Array<T>& x, const Array<T>& psi,
                              const Array<int64_t>& psi_support, const Array<T>& phi,
                              const Array<int64_t>& phi_support, const std::string& text,
                              bool with_x, bool with_psi, bool with_phi, const std::string& tier,
                              int64_t budget, const std::optional<py::dict>& launch,
                              const std::string& fft_behaviour, int64_t shift) {
  const ProgramPointer parse = parsed(text);
  const Program& program = *parse;
  const int64_t B = batch_of(program, x);
  check_bank(program, psi_support, phi, phi_support);
  require(grad.size() == B * program.channels * program.unit,
          "the gradient does not fit the program");
  HostFft fft(fft_behaviour);
  const cuda::Task task =
      with_psi || with_phi ? cuda::Task::backward_with_filters : cuda::Task::backward;
  const cuda::Launch way =
      launch.has_value() ? launch_of(*launch) : choose<T>(program, B, tier, budget, fft, task);
  int64_t bytes;
  require(cuda::workspace_bytes<T>(program, way, fft.get(), the_stream(), &bytes));

  const size_t skew = static_cast<size_t>(shift) * sizeof(T);
  std::vector<int64_t> sizes(x.shape(), x.shape() + x.ndim());
  if (!with_x) sizes[0] = 0;
  Array<T> grad_x(sizes);
  Array<T> grad_psi(with_psi ? psi.size() : 0), grad_phi(with_phi ? phi.size() : 0);
  const Guarded x_("x", x, skew), grad_("grad", grad, skew);
  const Guarded psi_("psi", psi, skew), boxes("psi_support", psi_support);
  const Guarded phi_("phi", phi, skew), bands("phi_support", phi_support);
  const Guarded gx_("grad_x", static_cast<size_t>(grad_x.nbytes()), skew);
  const Guarded gpsi_("grad_psi", static_cast<size_t>(grad_psi.nbytes()), skew);
  const Guarded gphi_("grad_phi", static_cast<size_t>(grad_phi.nbytes()), skew);
  const Guarded workspace("workspace", static_cast<size_t>(bytes));
  const Bank<T> bank{psi_.as<T>(), boxes.as<int64_t>(), phi_.as<T>(), bands.as<int64_t>()};
  const auto into = [](bool wanted, const Guarded& g) { return wanted ? g.as<T>() : nullptr; };
  const Gradients<T> gradients{into(with_x, gx_), into(with_psi, gpsi_), into(with_phi, gphi_)};
  const auto run = [&](int64_t given) {
    return cuda::scattering_backward<T>(program, way, bank, psi.size(), B, x_.as<T>(),
                                        grad_.as<T>(), gradients, workspace.as<void>(), given,
                                        fft.get(), the_stream());
  };
  if (B > 0 && bytes > 0 && run(bytes - 1) == Status::ok) {
    throw std::runtime_error("a workspace one byte too small was taken");
  }
  const Call call;
  require(run(bytes));
  py::dict report = call.report();
  report["launch"] = dict_of(way);
  report["workspace_bytes"] = bytes;
  x_.check_unchanged(x), grad_.check_unchanged(grad);
  psi_.check_unchanged(psi), boxes.check_unchanged(psi_support);
  phi_.check_unchanged(phi), bands.check_unchanged(phi_support);
  gx_.check(), gpsi_.check(), gphi_.check(), workspace.check();
  gx_.copy_to(&grad_x), gpsi_.copy_to(&grad_psi), gphi_.copy_to(&grad_phi);
  return py::make_tuple(grad_x, grad_psi, grad_phi, report);
}

template <class T>
py::tuple filter_fold(const Array<std::complex<T>>& x_hat, const Array<T>& psi, int64_t k,
                      int64_t shift) {
  require(x_hat.ndim() == 3 && psi.ndim() == 3,
          "x_hat [B, M, N] and psi [L, M, N] have three axes");
  const int64_t B = x_hat.shape(0), M = x_hat.shape(1), N = x_hat.shape(2), L = psi.shape(0);
  require(psi.shape(1) == M && psi.shape(2) == N && k > 0 && M % k == 0 && N % k == 0,
          "sides do not fit");
  Array<std::complex<T>> out(std::vector<int64_t>{B, L, M / k, N / k});
  const size_t skew = static_cast<size_t>(shift) * sizeof(T);
  const Guarded x_("x_hat", x_hat, 2 * skew), psi_("psi", psi, skew);
  const Guarded out_("out", static_cast<size_t>(out.nbytes()), 2 * skew);
  const Call call;
  require(
      cuda::filter_fold<T>(B, L, M, N, k, x_.as<T>(), psi_.as<T>(), out_.as<T>(), the_stream()));
  const py::dict report = call.report();
  x_.check_unchanged(x_hat), psi_.check_unchanged(psi), out_.check();
  out_.copy_to(&out);
  return py::make_tuple(out, report);
}

template <class T>
py::tuple filter_fold_backward(const Array<std::complex<T>>& grad,
                               const Array<std::complex<T>>& x_hat, const Array<T>& psi, int64_t k,
                               bool with_x, bool with_psi, int64_t shift) {
  const int64_t B = x_hat.shape(0), M = x_hat.shape(1), N = x_hat.shape(2), L = psi.shape(0);
  require(grad.size() == B * L * (M / k) * (N / k), "sides do not fit");
  Array<std::complex<T>> grad_x(std::vector<int64_t>{with_x ? B : 0, M, N});
  Array<T> grad_psi(std::vector<int64_t>{with_psi ? L : 0, M, N});
  const size_t skew = static_cast<size_t>(shift) * sizeof(T);
  const Guarded x_("x_hat", x_hat, 2 * skew), psi_("psi", psi, skew), grad_("grad", grad, 2 * skew);
  const Guarded gx_("grad_x", static_cast<size_t>(grad_x.nbytes()), 2 * skew);
  const Guarded gpsi_("grad_psi", static_cast<size_t>(grad_psi.nbytes()), skew);
  const Call call;
  require(cuda::filter_fold_backward<T>(B, L, M, N, k, grad_.as<T>(), x_.as<T>(), psi_.as<T>(),
                                        with_x ? gx_.as<T>() : nullptr,
                                        with_psi ? gpsi_.as<T>() : nullptr, the_stream()));
  const py::dict report = call.report();
  x_.check_unchanged(x_hat), psi_.check_unchanged(psi), grad_.check_unchanged(grad);
  gx_.check(), gpsi_.check();
  gx_.copy_to(&grad_x), gpsi_.copy_to(&grad_psi);
  return py::make_tuple(grad_x, grad_psi, report);
}

template <class T>
py::tuple modulus_backward(const Array<T>& grad, const Array<std::complex<T>>& z, int64_t shift) {
  require(grad.size() == z.size(), "sizes do not fit");
  Array<std::complex<T>> out(std::vector<int64_t>(z.shape(), z.shape() + z.ndim()));
  const size_t skew = static_cast<size_t>(shift) * sizeof(T);
  const Guarded z_("z", z, 2 * skew), grad_("grad", grad, skew);
  const Guarded out_("out", static_cast<size_t>(out.nbytes()), 2 * skew);
  const Call call;
  require(
      cuda::modulus_backward<T>(z.size(), grad_.as<T>(), z_.as<T>(), out_.as<T>(), the_stream()));
  const py::dict report = call.report();
  z_.check_unchanged(z), grad_.check_unchanged(grad), out_.check();
  out_.copy_to(&out);
  return py::make_tuple(out, report);
}

template <class T>
py::tuple modulus(const Array<std::complex<T>>& z, int64_t shift) {
  Array<T> out(std::vector<int64_t>(z.shape(), z.shape() + z.ndim()));
  const size_t skew = static_cast<size_t>(shift) * sizeof(T);
  const Guarded z_("z", z, 2 * skew), out_("out", static_cast<size_t>(out.nbytes()), skew);
  const Call call;
  require(cuda::modulus<T>(z.size(), z_.as<T>(), out_.as<T>(), the_stream()));
  const py::dict report = call.report();
  z_.check_unchanged(z), out_.check();
  out_.copy_to(&out);
  return py::make_tuple(out, report);
}

template <class T>
py::tuple lowpass(const Array<T>& u, const Array<T>& a_m, const Array<T>& a_n, int64_t shift) {
  require(u.ndim() == 3 && a_m.ndim() == 2 && a_n.ndim() == 2,
          "u [B, M, N] has three axes, a_m [m, M] and a_n [n, N] have two");
  const int64_t B = u.shape(0), M = u.shape(1), N = u.shape(2);
  require(a_m.shape(1) == M && a_n.shape(1) == N, "sides do not fit");
  Array<T> out(std::vector<int64_t>{B, a_m.shape(0), a_n.shape(0)});
  const size_t skew = static_cast<size_t>(shift) * sizeof(T);
  const Guarded u_("u", u, skew), m_("a_m", a_m, skew), n_("a_n", a_n, skew);
  const Guarded out_("out", static_cast<size_t>(out.nbytes()), skew);
  const Call call;
  require(cuda::lowpass<T>(B, M, N, a_m.shape(0), a_n.shape(0), u_.as<T>(), m_.as<T>(), n_.as<T>(),
                           out_.as<T>(), the_stream()));
  const py::dict report = call.report();
  u_.check_unchanged(u), m_.check_unchanged(a_m), n_.check_unchanged(a_n), out_.check();
  out_.copy_to(&out);
  return py::make_tuple(out, report);
}

// Overloads for float and double, told apart by the arrays: none is converted.
template <class T>
void bind(py::module_& m) {
  m.def("scattering", scattering<T>, py::arg("x").noconvert(), py::arg("psi").noconvert(),
        py::arg("psi_support").noconvert(), py::arg("phi").noconvert(),
        py::arg("phi_support").noconvert(), "program"_a, py::kw_only(), "tier"_a = "auto",
        "budget"_a = int64_t{1} << 30, "launch"_a = py::none(), "fft"_a = "host", "shift"_a = 0,
        "pixels"_a = "as_bank", "stored"_a = py::none());
  m.def("scattering_backward", scattering_backward<T>, py::arg("grad").noconvert(),
        py::arg("x").noconvert(), py::arg("psi").noconvert(), py::arg("psi_support").noconvert(),
        py::arg("phi").noconvert(), py::arg("phi_support").noconvert(), "program"_a,
        "with_x"_a = true, "with_psi"_a = false, "with_phi"_a = false, py::kw_only(),
        "tier"_a = "auto", "budget"_a = int64_t{1} << 30, "launch"_a = py::none(), "fft"_a = "host",
        "shift"_a = 0);
  m.def("filter_fold_backward", filter_fold_backward<T>, py::arg("grad").noconvert(),
        py::arg("x_hat").noconvert(), py::arg("psi").noconvert(), "k"_a, "with_x"_a = true,
        "with_psi"_a = true, py::kw_only(), "shift"_a = 0);
  m.def("modulus_backward", modulus_backward<T>, py::arg("grad").noconvert(),
        py::arg("z").noconvert(), py::kw_only(), "shift"_a = 0);
  m.def("filter_fold", filter_fold<T>, py::arg("x_hat").noconvert(), py::arg("psi").noconvert(),
        "k"_a, py::kw_only(), "shift"_a = 0);
  m.def("modulus", modulus<T>, py::arg("z").noconvert(), py::kw_only(), "shift"_a = 0);
  m.def("lowpass", lowpass<T>, py::arg("u").noconvert(), py::arg("a_m").noconvert(),
        py::arg("a_n").noconvert(), py::kw_only(), "shift"_a = 0);
}

}  // namespace

PYBIND11_MODULE(engine, m) {
  bind_device(m);
  bind_api(m);
  bind<float>(m);
  bind<double>(m);
  m.def(
      "choose",
      [](int64_t B, const std::string& program, const std::string& tier, int64_t budget, bool wide,
         const std::string& fft, const std::string& task) {
        const HostFft host(fft);
        const auto chosen = wide ? choose<double> : choose<float>;
        return dict_of(chosen(*parsed(program), B, tier, budget, host, task_of(task)));
      },
      "B"_a, "program"_a, py::kw_only(), "tier"_a = "auto", "budget"_a = int64_t{1} << 30,
      "wide"_a = false, "fft"_a = "host", "task"_a = "forward");
  m.def("device_limits", [](int index) {
    cuda::Device d;
    require(cuda::device_limits(index, &d));
    return py::dict("architecture"_a = d.architecture, "processors"_a = d.processors,
                    "shared_per_block"_a = d.shared_per_block,
                    "shared_per_processor"_a = d.shared_per_processor, "l2_bytes"_a = d.l2_bytes,
                    "memory_bytes"_a = d.memory_bytes);
  });
}

}  // namespace scatcuda::emulation
