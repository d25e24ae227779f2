// The Python module scatcuda._C. Loading it registers the operators; what it offers itself is
// what was built and what this machine runs. Limited API: one library for every Python ≥ 3.10.
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "../include/scatcuda/engine.h"

#ifndef SCATCUDA_BUILD
#define SCATCUDA_BUILD "unknown"
#endif

namespace {

PyObject* cpu_isa(PyObject*, PyObject*) { return PyUnicode_FromString(scatcuda::cpu::isa()); }

// What setup.py built: compiler, PyTorch beside it, instruction sets, GPU architectures
PyObject* build_info(PyObject*, PyObject*) { return PyUnicode_FromString(SCATCUDA_BUILD); }

PyMethodDef methods[] = {
    {"cpu_isa", cpu_isa, METH_NOARGS, nullptr},
    {"build_info", build_info, METH_NOARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};
PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_C", nullptr, -1, methods, nullptr, nullptr, nullptr, nullptr};

}  // namespace

PyMODINIT_FUNC PyInit__C(void) { return PyModule_Create(&definition); }
