"""The C interface on the CPU: the operators' bits, and a sentence for every wrong argument."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from ctypes import byref, c_void_p
from pathlib import Path

import capi
import numpy as np
import pytest
import torch

import scatcuda
from scatcuda import Scattering2D
from scatcuda.plan import Packed


@pytest.fixture(autouse=True)
def library():
    return capi.library()


def saved(folder: Path, dtype: torch.dtype = torch.float32, shape=(17, 20)) -> capi.Plan:
    Scattering2D(2, shape, L=3).save_plan(folder / "plan.scat", dtype)
    return capi.Plan(folder / "plan.scat")


def tables_of(module: Scattering2D, packed: Packed) -> capi.Tables:
    p = module._plan
    return capi.Tables(
        packed.psi.element_size(), p.J, p.L, p.max_order, p.M, p.N, p.pre_pad, packed.psi.numel(),
        packed.psi.data_ptr(), packed.psi_support.data_ptr(), packed.phi.data_ptr(),
        packed.phi_support.data_ptr(),
    )  # fmt: skip


def test_what_it_is(library):
    assert library.cpu_isa().decode() == scatcuda.cpu_isa()
    assert library.cuda_architectures().decode() == scatcuda._C.cuda_architectures()
    assert library.status_name(capi.BAD_PLAN) == b"SCATCUDA_BAD_PLAN"
    assert library.status_name(99) == b"no status of scatcuda"


def test_the_version_is_everywhere_the_same():
    root = Path(__file__).parents[1]
    header = (root / "csrc/include/scatcuda/scatcuda.h").read_text()
    project = (root / "pyproject.toml").read_text()
    version = header.partition('SCATCUDA_VERSION "')[2].partition('"')[0]
    assert f'version = "{version}"' in project
    assert capi.library().version().decode() == version


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("wanted", [(True, False, False), (True, True, True), (False, False, True)])
def test_gradients_are_the_operators(dtype, wanted, tmp_path):
    plan = saved(tmp_path, dtype)
    module = Scattering2D(2, (17, 20), L=3).to(dtype)
    x = torch.rand(3, 17, 20, dtype=dtype)
    g = torch.rand(3, *module.output_shape, dtype=dtype)
    packed = module._packed
    backward = torch.ops.scatcuda.scattering2d_backward
    exact = backward(g, x, *packed, 2, 3, 2, False, *wanted, "auto", 0)
    for ours, theirs in zip(plan.backward(x.numpy(), g.numpy(), wanted), exact, strict=True):
        assert np.array_equal(ours, theirs.numpy().reshape(ours.shape))


def test_a_plan_from_tables(tmp_path):
    module = Scattering2D(3, (24, 33), L=5, max_order=1)
    tables = tables_of(module, module._packed)
    plan = capi.Plan(tables)
    x = torch.rand(2, 24, 33)
    assert np.array_equal(plan.forward(x.numpy()), module(x).numpy())
    tables.psi = None
    with pytest.raises(capi.Refused, match="a table that the problem needs is NULL"):
        capi.Plan(tables)
    support = module._packed.psi_support.clone()
    support[0, 0] = 10**6
    tables = tables_of(module, module._packed._replace(psi_support=support))
    with pytest.raises(capi.Refused, match="psi_support has a box that reaches outside psi"):
        capi.Plan(tables)
    tables.type = 2
    with pytest.raises(capi.Refused, match="the type must be"):
        capi.Plan(tables)


def test_threads_of_the_caller(tmp_path):
    plan = saved(tmp_path, shape=(64, 60))
    x = np.random.default_rng(0).random((2, 64, 60), np.float32)
    seen = []

    @capi.Run
    def backwards(itself, tasks, body, closure):
        seen.append((itself, tasks))
        for task in reversed(range(tasks)):
            body(closure, task)

    S = plan.forward(x, capi.Executor(3, backwards, 77))
    assert np.array_equal(S, plan.forward(x))
    assert seen
    assert all(itself == 77 and 0 < tasks <= 3 for itself, tasks in seen)


@pytest.mark.parametrize("shape", [(16, 20), (64, 64), (100, 90)], ids=str)
@pytest.mark.parametrize("task", [0, 1, 2])
def test_a_workspace_serves_smaller_batches(library, shape, task, tmp_path):
    plan = saved(tmp_path, shape=shape)
    for threads in (1, 2, 3, 8):
        sizes = [library.workspace_bytes(plan.plan, task, B, threads) for B in range(40)]
        assert sizes == sorted(sizes)
    wrong = ((3, 1, 1), (task, -1, 1), (task, 2**62, 1), (task, 1, 0), (task, 1, 2**40))
    for arguments in wrong:
        assert library.workspace_bytes(plan.plan, *arguments) == -1
    assert library.workspace_bytes(None, task, 1, 1) == -1


def test_empty_batches(tmp_path):
    plan = saved(tmp_path)
    d = plan.describe()
    assert plan.forward(np.empty((0, 17, 20), np.float32)).shape[0] == 0
    g = np.empty((0, d["channels"], d["m"], d["n"]), np.float32)
    _, psi, phi = plan.backward(np.empty((0, 17, 20), np.float32), g)
    assert not psi.any()
    assert not phi.any()


def test_wrong_arguments_have_a_sentence(library, tmp_path):
    plan = saved(tmp_path)
    x, workspace = np.zeros((1, 17, 20), np.float32), plan.workspace(capi.FORWARD, 1)
    S = np.zeros(10**5, np.float32)
    none = capi.Executor(2, capi.Run(), None)
    right = {
        "plan": plan.plan, "batch": 1, "x": capi.pointer(x), "S": capi.pointer(S),
        "workspace": capi.pointer(workspace), "bytes": workspace.size, "executor": None,
    }  # fmt: skip
    capi.call("forward", *right.values())
    for name, value, status, sentence in (
        ("plan", None, capi.BAD_ARGUMENT, "plan is NULL"),
        ("batch", -1, capi.BAD_ARGUMENT, "batch must be from 0 to"),
        ("batch", 2**62, capi.BAD_ARGUMENT, "batch must be from 0 to"),
        ("x", None, capi.BAD_ARGUMENT, "the array of images is NULL"),
        ("S", None, capi.BAD_ARGUMENT, "the array of coefficients is NULL"),
        ("workspace", None, capi.BAD_ARGUMENT, "the workspace must lie at a multiple of 64"),
        ("workspace", c_void_p(right["workspace"].value + 8), capi.BAD_ARGUMENT, "multiple of 64"),
        ("bytes", workspace.size - 1, capi.TOO_SMALL, "the workspace has"),
        ("executor", byref(capi.Executor(0, capi.Run(), None)), capi.BAD_ARGUMENT, "from 1 to"),
        ("executor", byref(none), capi.BAD_ARGUMENT, "got 2 threads and no function"),
    ):
        with pytest.raises(capi.Refused, match=sentence) as refused:
            capi.call("forward", *(right | {name: value}).values())
        assert refused.value.args[0] == status
        assert library.forward(*(right | {name: value}).values(), None) == status
    with pytest.raises(capi.Refused, match="gradients is NULL"):
        capi.call("backward", plan.plan, 1, capi.pointer(x), capi.pointer(S), None,
                  capi.pointer(workspace), workspace.size, None)  # fmt: skip
    for name, arguments in (
        ("plan_load", (b"x", None)), ("plan_load", (None, byref(c_void_p()))),
        ("plan_read", (None, 5, byref(c_void_p()))), ("plan_create", (None, byref(c_void_p()))),
    ):  # fmt: skip
        with pytest.raises(capi.Refused, match="is NULL"):
            capi.call(name, *arguments)
    library.plan_destroy(None)
    assert library.plan_describe(None).channels == 0
    assert library.plan_path(plan.plan, -1).order == -1


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_there_is_a_sentence(library, tmp_path):
    made = c_void_p()
    with pytest.raises(capi.Refused, match="CUDA"):
        capi.call("cuda_plan_create", saved(tmp_path).plan, None, byref(made))
    assert made.value is None
    library.cuda_plan_destroy(None)


@pytest.mark.parametrize("threads", [1, 3])
def test_nothing_is_allocated_after_planning(threads, tmp_path):
    cxx, package = os.environ.get("CXX", "g++").split(), Path(scatcuda.cmake_prefix_path)
    if shutil.which(cxx[0]) is None or platform.libc_ver()[0] != "glibc":
        pytest.skip("no compiler, or not glibc")
    source = Path(__file__).parent / "native/allocations.cpp"
    command = [*cxx, "-std=c++17", "-O1", f"-I{scatcuda.get_include()}", str(source)]
    command += [f"-L{package / 'lib'}", "-lscatcuda", f"-Wl,-rpath,{package / 'lib'}", "-pthread"]
    subprocess.run([*command, "-o", str(tmp_path / "allocations")], check=True)
    Scattering2D(2, (64, 60), L=3).save_plan(tmp_path / "plan.scat")
    for batch in (2, 13):
        done = subprocess.run(
            [tmp_path / "allocations", tmp_path / "plan.scat", str(batch), str(threads)],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert done.stdout == "0\n"
