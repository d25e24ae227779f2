// The Python module scatcuda._C. Loading it registers the operators; what it offers itself is
// what was built, what this machine runs, and how the CUDA engine would run a problem. Limited API:
// one library for every Python ≥ 3.10.
#include <Python.h>

#include <exception>

#include "tier.h"

#ifndef SCATCUDA_BUILD
#define SCATCUDA_BUILD "unknown"
#endif

// Weak: programs without Python load the library too, for its operators.
#pragma weak PyArg_ParseTuple
#pragma weak PyBool_FromLong
#pragma weak PyErr_SetString
#pragma weak PyExc_ImportError
#pragma weak PyExc_RuntimeError
#pragma weak PyLong_FromLong
#pragma weak PyModule_Create2
#pragma weak PyUnicode_FromString
#pragma weak Py_BuildValue
#pragma weak _Py_NoneStruct

namespace {

using namespace scatcuda;

PyObject* cpu_isa(PyObject*, PyObject*) { return PyUnicode_FromString(cpu::isa()); }

// What setup.py built: compiler, PyTorch beside it, instruction sets, GPU architectures
PyObject* build_info(PyObject*, PyObject*) { return PyUnicode_FromString(SCATCUDA_BUILD); }

// "75 80 …", "" where the build has no CUDA engine
PyObject* cuda_architectures(PyObject*, PyObject*) { return PyUnicode_FromString(SCATCUDA_ARCHS); }

// "CUDA 13.0, NVIDIA driver 580 or newer", "" likewise
PyObject* cuda_driver(PyObject*, PyObject*) { return PyUnicode_FromString(cuda::driver_needed()); }

// 12000 for 12.0, None where there is no cuFFT
PyObject* cufft_version(PyObject*, PyObject*) {
  int version = 0;
  if (cuda::cufft(&version) == nullptr) Py_RETURN_NONE;
  return PyLong_FromLong(version);
}

PyObject* refused(const std::string& sentence) {
  PyErr_SetString(PyExc_RuntimeError, ("cuda_launch: " + sentence).c_str());
  return nullptr;
}

// The fields of cuda::Device for the device of an index
PyObject* device_limits(PyObject*, PyObject* arguments) {
  int index = 0;
  if (!PyArg_ParseTuple(arguments, "i", &index)) return nullptr;
  cuda::Device d{};
  const Status status = cuda::device_limits(index, &d);
  if (status != Status::ok) {
    return refused(sentence_of(status, "device " + std::to_string(index), d, true));
  }
  return Py_BuildValue("iiLLLL", d.architecture, d.processors,
                       static_cast<long long>(d.shared_per_block),
                       static_cast<long long>(d.shared_per_processor),
                       static_cast<long long>(d.l2_bytes), static_cast<long long>(d.memory_bytes));
}

// Stands for cuFFT where there is no GPU to make a plan on: a work area as large as the planes
int64_t plane_bytes(void*, const cuda::Transform& t, void*) {
  return t.batch * t.outer * t.inner * (t.wide ? 16 : 8);
}
bool runs_nothing(void*, const cuda::Transform&, const void*, void*, void*, void*) { return false; }
constexpr cuda::Fft estimated = {nullptr, plane_bytes, runs_nothing};

// (program, B, double, limits, tier, workspace) -> the fields of cuda::Launch. The limits are those
// of device_limits(), on this machine or not.
PyObject* choose(PyObject*, PyObject* arguments) {
  long long B, limits[4], workspace;
  int wide;
  cuda::Device device{};
  const char *text, *tier;
  if (!PyArg_ParseTuple(arguments, "sLp(iiLLLL)sL", &text, &B, &wide, &device.architecture,
                        &device.processors, &limits[0], &limits[1], &limits[2], &limits[3], &tier,
                        &workspace)) {
    return nullptr;
  }
  device.shared_per_block = limits[0];
  device.shared_per_processor = limits[1];
  device.l2_bytes = limits[2];
  device.memory_bytes = limits[3];
  std::string why;
  cuda::Launch launch{};
  try {
    const ProgramPointer program = parse_program(text, &why);
    if (program == nullptr) return refused(why);
    const Wish wish = wish_of("cuda_launch", tier, workspace);
    const auto chosen = wide ? cuda::choose<double> : cuda::choose<float>;
    const Status status = chosen(*program, B, device, wish.tier, budget_of(wish, device),
                                 &estimated, &launch, cuda::Task::forward);
    if (status != Status::ok) return refused(sentence_of(status, "this program", device, true));
  } catch (const std::exception& error) {
    PyErr_SetString(PyExc_RuntimeError, error.what());
    return nullptr;
  }
  return Py_BuildValue("sNLLLL", launch.tier == cuda::Tier::fused ? "fused" : "general",
                       PyBool_FromLong(launch.whole), static_cast<long long>(launch.group),
                       static_cast<long long>(launch.threads),
                       static_cast<long long>(launch.shared_bytes),
                       static_cast<long long>(launch.wave));
}

PyMethodDef methods[] = {
    {"cpu_isa", cpu_isa, METH_NOARGS, nullptr},
    {"build_info", build_info, METH_NOARGS, nullptr},
    {"cuda_architectures", cuda_architectures, METH_NOARGS, nullptr},
    {"cuda_driver", cuda_driver, METH_NOARGS, nullptr},
    {"cufft_version", cufft_version, METH_NOARGS, nullptr},
    {"device_limits", device_limits, METH_VARARGS, nullptr},
    {"choose", choose, METH_VARARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};
PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_C", nullptr, -1, methods, nullptr, nullptr, nullptr, nullptr};

}  // namespace

PyMODINIT_FUNC PyInit__C(void) {
  if (!cpu::available()) {
    PyErr_SetString(PyExc_ImportError, cpu::unavailable);
    return nullptr;
  }
  return PyModule_Create(&definition);
}
