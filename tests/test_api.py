"""The C interface on the CPU: the operators' bits, of any program, and a sentence for every wrong
argument."""

from __future__ import annotations

import ctypes
import os
import platform
import random
import shutil
import subprocess
from ctypes import byref, c_void_p
from math import prod
from pathlib import Path

import capi
import numpy as np
import pytest
import torch
from programs import random_program, random_tables

import scatcuda
from scatcuda import Scattering2D
from scatcuda.ops import reference
from scatcuda.program import parse


@pytest.fixture(autouse=True)
def library():
    return capi.library()


def saved(folder: Path, dtype: torch.dtype = torch.float32, shape=(17, 20)) -> capi.Plan:
    Scattering2D(2, shape, L=3).save_plan(folder / "plan.scat", dtype)
    return capi.Plan(folder / "plan.scat")


def test_what_it_is(library):
    assert library.cpu_isa().decode() == scatcuda.cpu_isa()
    assert library.cuda_architectures().decode() == scatcuda._C.cuda_architectures()
    assert library.status_name(capi.BAD_PLAN) == b"SCATCUDA_BAD_PLAN"
    assert library.status_name(99) == b"no status of scatcuda"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("wanted", [(True, False, False), (True, True, True), (False, False, True)])
def test_gradients_are_the_operators(dtype, wanted, tmp_path):
    plan = saved(tmp_path, dtype)
    module = Scattering2D(2, (17, 20), L=3).to(dtype)
    x = torch.rand(3, 17, 20, dtype=dtype)
    g = torch.rand(3, *module.output_shape, dtype=dtype)
    packed = module._packed
    backward = torch.ops.scatcuda.scattering_backward
    exact = backward(g, x, *packed, module._program, *wanted, "auto", 0)
    for ours, theirs in zip(plan.backward(x.numpy(), g.numpy(), wanted), exact, strict=True):
        assert np.array_equal(ours, theirs.numpy().reshape(ours.shape))


@pytest.mark.parametrize("seed", range(40))
def test_any_program(seed):
    """Signals of one to three axes, every kind of step: described, and computed in both directions
    as the reference does."""
    text, dtype = random_program(random.Random(seed)), (torch.float32, torch.float64)[seed % 2]
    program, packed = parse(text), random_tables(text, seed, dtype)
    plan = capi.Plan(capi.tables(text, packed))
    assert plan.program == text
    d = plan.describe()
    assert (d.type, d.rank, d.channels, d.sides) == (
        dtype.itemsize, program.rank, program.channels, len(program.sides),
    )  # fmt: skip
    assert tuple(d.signal) == (*program.signal, 1, 1)[:3]
    assert tuple(d.side) == (*program.sides, 1, 1, 1)[:3]
    assert (d.signal_numbers, d.result_numbers) == (
        prod(program.signal), program.channels * program.unit,
    )  # fmt: skip
    assert (d.psi_entries, d.phi_entries) == (packed.psi.numel(), packed.phi.numel())

    x = torch.randn(2, *program.signal, dtype=dtype, generator=torch.Generator().manual_seed(seed))
    wide = [t.double() if t.is_floating_point() else t for t in packed]
    S = reference.scattering(x.double(), *wide, text)
    tolerance = 2e-5 if dtype == torch.float32 else 1e-12
    close = dict(rtol=tolerance, atol=tolerance * float(S.abs().max()))
    np.testing.assert_allclose(plan.forward(x.numpy()), S.numpy(), **close)
    g = torch.randn(S.shape, dtype=dtype, generator=torch.Generator().manual_seed(seed + 1))
    flags = (True, True, True)
    exact = reference.scattering_backward(g.double(), x.double(), *wide, text, *flags)
    for ours, theirs in zip(plan.backward(x.numpy(), g.numpy()), exact, strict=True):
        size = float(theirs.abs().max()) if theirs.numel() else 0.0
        np.testing.assert_allclose(
            ours.ravel(), theirs.numpy().ravel(), rtol=1e-3, atol=10 * tolerance * size
        )


def test_a_plan_from_tables():
    module = Scattering2D(3, (24, 33), L=5, max_order=1)
    packed, text = module._packed, module._program
    tables = capi.tables(text, packed)
    plan = capi.Plan(tables)
    x = torch.rand(2, 24, 33)
    assert np.array_equal(plan.forward(x.numpy()), module(x).numpy())
    support = packed.psi_support.clone()
    support[0] = 10**6
    outside = capi.tables(text, packed._replace(psi_support=support))
    with pytest.raises(capi.Refused, match="psi_support has a box that reaches outside psi"):
        capi.Plan(outside)
    for name, value, sentence in (
        ("psi", None, "a table that the program needs is NULL"),
        ("phi_support", None, "a table that the program needs is NULL"),
        ("program", None, "program is NULL"),
        ("psi_entries", -1, "psi must have from 0 to 1099511627776 numbers; got -1"),
        ("psi_entries", 2**41, "psi must have from 0 to"),
        ("type", 2, "the type must be"),
        ("size", 0, "the size of tables must be its sizeof, from 64 to 4096; got 0"),
        ("size", 63, "the size of tables must be its sizeof"),
        ("size", 2**40, "the size of tables must be its sizeof"),
        ("size", -8, "the size of tables must be its sizeof"),
    ):
        tables = capi.tables(text, packed)
        setattr(tables, name, value)
        with pytest.raises(capi.Refused, match=sentence):
            capi.Plan(tables)


SIGNAL = "x 8r2+2 12;S 24;"
AVERAGED = "phi 2 12;phi 4 12;psi 2 12 12;average x by 0 1 at 0;"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "a program must begin with the signal"),
        ("x", "statement 'x': it ends where an axis should follow"),
        ("x 8;x 8", "the signal is there already"),
        ("x 8 8 8 8", "a signal must have from 1 to 3 axes; got 4"),
        ("x 8r9", r"padding must be before\+after, as in 32r4\+4"),
        ("x 8r15+0", "padding must be an integer from 0 to 14; got '15'"),
        ("x 16777217", "a side must be an integer from 1 to 16777216"),
        ("x 16777216 16777216", "16777216 x 16777216 are more than 1099511627776"),
        ("x 8;S 0", "channels must be an integer from 1"),
        ("x 8;S 1;step", "it must begin with x, S, psi, phi, wavelet, group, average or pair"),
        ("x 8;average x mean at 0", "step 0 .average.: the signal and the result must come first"),
        ("x 8;S 1", "channel 0 is written by no step"),
        (SIGNAL + AVERAGED + "average x mean at 8", "step 1 .average.: it averages what step 0"),
        (SIGNAL + AVERAGED + "wavelet 1 0 /1 /1 none", "step 1, which does not come before"),
        (SIGNAL + AVERAGED + "wavelet 0 0 /1 /1 none", "the planes of step 0, which has none"),
        (SIGNAL + AVERAGED + "wavelet x 1 /1 /1 none", "there is no set 1"),
        (SIGNAL + AVERAGED + "wavelet x 0 /5 /1 none", "12 points, by 5, which does not divide"),
        (SIGNAL + AVERAGED + "wavelet x 0 /1 none", "each axis must be folded"),
        (SIGNAL + AVERAGED + "wavelet x 0 /1 /1 abs", "rho must be modulus, norm, none or phase"),
        (
            SIGNAL + AVERAGED + "wavelet x 0 /1 /1 none;average 1 mean at 8+8",
            "step 2 .average.: it needs real planes, and those of step 1 are complex",
        ),
        (
            SIGNAL + AVERAGED + "wavelet x 0 /1 /1 modulus;average 1 by 0 1 at 8+24",
            "it writes channel 39, and there are 24",
        ),
        (
            SIGNAL + AVERAGED + "wavelet x 0 /1 /1 modulus;average 1 by 0 1 at 8+4",
            "channel 12 is written twice",
        ),
        (SIGNAL + AVERAGED + "wavelet x 0 /1 /1 modulus;pair 1 1 0:2 at 8", "a plane must be an"),
        ("x 8\x1b[2J;S 1", "a side must be an integer from 1 to 16777216; got '8..2J'"),
        ("x " + "8" * 1000, "got '8{40}…'"),
        ("x 8;S 1;" + ";" * (1 << 24), "at most 16777216 characters; got 16777217"),
    ],
)
def test_what_is_no_program_is_refused_with_a_sentence(text, sentence):
    tables = capi.Tables(8, text.encode(), 0, None, None, None, None)
    with pytest.raises(capi.Refused, match="program: .*" + sentence) as refused:
        capi.Plan(tables)
    assert refused.value.args[0] == capi.BAD_PLAN


@pytest.mark.parametrize("name", ["tables", "gradients", "executor", "description"])
def test_structs_of_other_headers(name):
    """Of a later release: what this one does not know must be 0, and is made so."""
    text = "x 8;S 1;average x mean at 0"
    packed = random_tables(text, 0)

    def longer(struct: ctypes.Structure, last: int) -> ctypes.Array:
        room = (ctypes.c_char * (ctypes.sizeof(struct) + 16))(*bytes(struct))
        room[-1] = last
        ctypes.cast(room, ctypes.POINTER(ctypes.c_int64))[0] = len(room)
        return room

    def passed(last: int) -> None:
        given: dict[str, ctypes.Structure] = {
            "tables": capi.tables(text, packed),
            "executor": capi.Executor(1, capi.Run(lambda *_: body(_)), None),
            "gradients": capi.Gradients(None, None, None),
            "description": capi.Description(),
        }
        room = longer(given[name], last)
        kept = {other: byref(struct) for other, struct in given.items()} | {name: room}
        plan, x = c_void_p(), np.zeros((1, 8))
        function = capi.library()
        call(function.plan_create, kept["tables"], byref(plan))
        try:
            call(function.plan_describe, plan, kept["description"])
            size = function.workspace_bytes(plan, capi.BACKWARD, 1, 1)
            workspace = capi.aligned(size)
            call(function.backward, plan, 1, capi.pointer(x), capi.pointer(x), kept["gradients"],
                 capi.pointer(workspace), size, kept["executor"])  # fmt: skip
        finally:
            function.plan_destroy(plan)
        if name == "description":
            assert room[-1] == b"\0"

    def body(arguments: tuple) -> None:
        _, tasks, one, closure = arguments
        for task in range(tasks):
            one(closure, task)

    def call(function, *arguments) -> None:
        message = capi.Message()
        given = [ctypes.cast(a, kind) if isinstance(a, ctypes.Array) else a
                 for a, kind in zip(arguments, function.argtypes, strict=False)]  # fmt: skip
        status = function(*given, byref(message))
        if status != capi.OK:
            raise capi.Refused(status, message.value.decode())

    passed(0)
    if name == "description":
        passed(7)
    else:
        with pytest.raises(capi.Refused, match="asks for what this version of scatcuda does not"):
            passed(7)


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
    g = np.empty((0, d.channels, *d.side[: d.sides]), np.float32)
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
        ("x", None, capi.BAD_ARGUMENT, "the array of signals is NULL"),
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
    for arguments in ((None, byref(capi.Description())), (plan.plan, None)):
        with pytest.raises(capi.Refused, match=r"(plan|description) is NULL"):
            capi.call("plan_describe", *arguments)
    library.plan_destroy(None)
    assert library.plan_program(None) is None


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_there_is_a_sentence(library, tmp_path):
    made = c_void_p()
    with pytest.raises(capi.Refused, match="CUDA") as refused:
        capi.call("cuda_plan_create", saved(tmp_path).plan, None, byref(made))
    status, sentence = refused.value.args
    assert status == capi.NO_CUDA and "too old" not in sentence
    assert made.value is None
    library.cuda_plan_destroy(None)


def test_a_path_with_nul_is_refused_in_cpp_too(tmp_path):
    cxx, package = os.environ.get("CXX", "g++").split(), Path(scatcuda.cmake_prefix_path)
    if shutil.which(cxx[0]) is None:
        pytest.skip("no compiler")
    (tmp_path / "open.cpp").write_text(
        "#include <cstdio>\n#include <scatcuda/scatcuda.hpp>\n"
        "int main(int, char** argv) {\n"
        "  try {\n"
        "    scatcuda::Plan plan(argv[1] + std::string(1, 0) + argv[2]);\n"
        "  } catch (const scatcuda::Error& error) {\n"
        "    return std::puts(error.what()) < 0;\n"
        "  }\n"
        "  return 2;\n"
        "}\n"
    )
    command = [*cxx, "-std=c++17", f"-I{scatcuda.get_include()}", str(tmp_path / "open.cpp")]
    command += [f"-L{package / 'lib'}", "-lscatcuda", f"-Wl,-rpath,{package / 'lib'}"]
    subprocess.run([*command, "-o", str(tmp_path / "open")], check=True)
    Scattering2D(1, (8, 8)).save_plan(tmp_path / "plan.scat")
    command = [str(tmp_path / "open"), str(tmp_path / "plan.scat"), "more"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "a path has no NUL" in done.stdout


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
