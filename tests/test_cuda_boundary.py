"""What stands around the CUDA engine, without a GPU: csrc/torch/cuda.cpp with an engine of its own
(native/standin_engine.cpp), on tensors of the CPU; what is said where there is no engine; the
choice of tier and workspace; and what ``scatcuda info`` tells of it all."""

from __future__ import annotations

import copy
import ctypes
import io
import itertools
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import native
import pytest
import torch
from leaks import growth
from torch import Tensor
from torch._subclasses import FakeTensorMode
from torch.utils.cpp_extension import library_paths

import scatcuda
from scatcuda import _C, Scattering2D, banks, config, cuda_launch, environment, ops
from scatcuda.banks.packing import pack
from scatcuda.ops import reference
from scatcuda.program.packing import Packed
from scatcuda.program.plan import Plan

CUDA = torch._C.DispatchKeySet(torch._C.DispatchKey.CUDA)
WITH_ENGINE = bool(_C.cuda_architectures())
needs_engine = pytest.mark.skipif(not WITH_ENGINE, reason="this build has no CUDA engine")
MIB = 1 << 20


# --- csrc/torch/cuda.cpp, on tensors of the CPU -----------------------------------------------


class Boundary(NamedTuple):
    """The operators of csrc/torch with an engine beside them that is not scatcuda's."""

    library: ctypes.CDLL
    name: str  # of its operators: what scatcuda is called there

    def call(self, operator: str, *arguments: Any) -> Tensor:
        """The kernel for CUDA, whatever the device of the tensors."""
        overload = getattr(getattr(torch.ops, self.name), operator).default
        return overload.redispatch(CUDA, *arguments)

    def calls(self) -> list[str]:
        """What the engine was asked since the last time."""
        return self.library.standin_calls().decode().splitlines()


@pytest.fixture(scope="module")
def libraries() -> Path:
    link = ["-shared", "-Wl,-Bsymbolic", *("-L" + path for path in library_paths())]
    link += ["-Wl,--no-as-needed", "-ltorch"]
    built = {}
    for name, archs, engine in (
        ("standin", "80 90", native.HERE / "standin_engine.cpp"),
        ("absent", "", native.ROOT / "csrc/cuda/absent.cpp"),
    ):
        # in C++ and in PyTorch the library goes by another name, so that both can be loaded
        named = [f"-Dscatcuda={name}", f'-DSCATCUDA_ARCHS="{archs}"']
        sources = [native.ROOT / f"csrc/torch/{part}.cpp" for part in ("library", "cuda")]
        sources += [native.ROOT / "csrc/core/program.cpp", engine]
        units = [native.Unit(f"{name}_{source.stem}", source, named, "torch") for source in sources]
        built[f"{name}.so"] = (units, link)
    return native.build("boundary", built)


@pytest.fixture(scope="module")
def loaded(libraries) -> Boundary:
    torch.ops.load_library(libraries / "standin.so")
    library = ctypes.CDLL(str(libraries / "standin.so"))
    library.standin_calls.restype = ctypes.c_char_p
    library.standin_most_wave.argtypes = [ctypes.c_int64]
    return Boundary(library, "standin")


@pytest.fixture
def boundary(loaded, monkeypatch) -> Boundary:
    """With an engine that answers well."""
    monkeypatch.delenv("SCATCUDA_TIER", raising=False)
    monkeypatch.delenv("SCATCUDA_WORKSPACE", raising=False)
    for function in range(5):
        loaded.library.standin_answer(function, 0)
    loaded.library.standin_cufft(True)
    loaded.library.standin_most_wave(1 << 62)
    loaded.calls()
    return loaded


@pytest.fixture
def absent(libraries) -> Boundary:
    torch.ops.load_library(libraries / "absent.so")
    return Boundary(ctypes.CDLL(str(libraries / "absent.so")), "absent")


PLAN = Plan(J=2, L=3, max_order=2, M=8, N=9)


def bank_of(dtype: torch.dtype = torch.float32, plan: Plan = PLAN) -> Packed:
    return pack(banks.morlet_bank(plan.padded, plan.J, plan.L), plan, dtype)


def arguments_of(x: Tensor, *more: Any, dtype: torch.dtype | None = None) -> tuple:
    """Of scattering, the bank in a dtype of its own or in that of the image."""
    return (x, *bank_of(dtype or x.dtype), PLAN.program, *more)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("lead", [(), (5,), (2, 3)])
def test_scattering(boundary, lead, dtype):
    """Every image reaches the engine as it is, from any layout."""
    x = torch.rand(*lead, 8, 9, dtype=dtype)
    expected = (x * torch.arange(72, dtype=dtype).reshape(8, 9)).sum((-2, -1))
    expected = expected[..., None, None, None].expand(*lead, PLAN.channels, *PLAN.output)
    for view in (x, x.mT.contiguous().mT, x.movedim(0, -1).contiguous().movedim(-1, 0)):
        S = boundary.call("scattering", *arguments_of(view))
        assert S.is_contiguous() and S.dtype == dtype
        torch.testing.assert_close(S, expected)
    images = x.numel() // 72
    double = " double" if dtype == torch.float64 else ""
    assert boundary.calls()[-5:] == [
        "guard -1",
        f"choose{double} rank 2, 16 channels, {images} images, sm_90, tier 0, budget {4096 * MIB}",
        f"workspace_bytes wave {images}",
        f"scattering wave {images}, {100 * images} bytes",
        "guard ends",
    ]


@pytest.mark.parametrize("bank", [torch.float32, torch.float64])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.uint8])
def test_shorter_pixels_reach_the_engine_as_they_are(boundary, dtype, bank):
    x = (torch.rand(2, 8, 9) * 200).to(dtype)
    S = boundary.call("scattering", *arguments_of(x, dtype=bank))
    expected = (x * torch.arange(72, dtype=bank).reshape(8, 9)).sum((-2, -1))
    torch.testing.assert_close(S, expected[:, None, None, None].expand(S.shape))
    name = {torch.float16: "half"}.get(dtype, str(dtype).removeprefix("torch."))
    assert boundary.calls()[-2].endswith(f"bytes, {name}")


WANTED = list(itertools.product([False, True], repeat=3))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("lead", [(), (5,), (2, 3)])
def test_scattering_backward(boundary, lead, dtype):
    """Every gradient reaches the engine as it is, from any layout; nothing is computed that is not
    wanted."""
    x, bank = torch.rand(*lead, 8, 9, dtype=dtype), bank_of(dtype)
    grad = torch.rand(*lead, PLAN.channels, *PLAN.output, dtype=dtype)
    index = torch.arange(72, dtype=dtype).reshape(8, 9)
    expected = [grad.sum((-3, -2, -1))[..., None, None] * index]
    expected += [torch.full_like(t, value) for t, value in ((bank.psi, 2), (bank.phi, 3))]
    images = x.numel() // 72
    task = " double" if dtype == torch.float64 else ""
    for given, wanted in itertools.product((grad, grad.mT.contiguous().mT), WANTED):
        found = boundary.call("scattering_backward", given, *arguments_of(x), *wanted)
        for ours, theirs, asked in zip(found, expected, wanted, strict=True):
            assert ours.is_contiguous() and ours.dtype == dtype
            torch.testing.assert_close(ours, theirs if asked else theirs.new_empty(0))
        name = "backward with filters" if any(wanted[1:]) else "backward"
        calls = boundary.calls()
        assert calls[-1] == "guard ends"
        if not any(wanted):
            assert len(calls) <= 3
            continue
        assert calls[-4].startswith(f"choose {name}{task} rank 2, 16 channels, {images} images")
        assert calls[-3] == f"workspace_bytes wave {images}"
        assert calls[-2] == f"scattering_backward wave {images}, {100 * images} bytes"


def test_backward_halves_the_wave_and_keeps_pixels_short(boundary):
    boundary.library.standin_most_wave(3)
    x = torch.rand(20, 8, 9).half()
    grad = torch.rand(20, PLAN.channels, *PLAN.output)
    arguments = (grad, *arguments_of(x, dtype=torch.float32), True, False, False, "fused", 77)
    grad_x = boundary.call("scattering_backward", *arguments)[0]
    assert grad_x.dtype == torch.float32
    assert grad_x.shape == x.shape
    calls = boundary.calls()
    assert calls[-2] == "scattering_backward wave 3, 300 bytes, half"
    assert "tier 2, budget 77" in calls[-7]


def test_limits_are_asked_for_once(boundary):
    boundary.call("scattering", *arguments_of(torch.rand(8, 9)))
    boundary.calls()
    boundary.call("scattering", *arguments_of(torch.rand(8, 9)))
    assert "device_limits" not in boundary.calls()


def as_tuple(found: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return found if isinstance(found, tuple) else (found,)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("lead", [(), (2, 3)])
def test_stages(boundary, lead, dtype):
    complex_dtype = torch.complex64 if dtype == torch.float32 else torch.complex128
    z = torch.randn(*lead, 8, 6, dtype=complex_dtype)
    psi, u = torch.rand(5, 8, 6, dtype=dtype), torch.rand(*lead, 8, 6, dtype=dtype)
    a_m, a_n = torch.rand(2, 8, dtype=dtype), torch.rand(3, 6, dtype=dtype)
    folded = torch.randn(*lead, 5, 4, 3, dtype=complex_dtype)
    for name, arguments in (
        ("filter_fold", (z, psi, 2)),
        ("filter_fold_backward", (folded, z, psi, 2, True, True)),
        ("filter_fold_backward", (folded, z, psi, 2, True, False)),
        ("filter_fold_backward", (folded, z, psi, 2, False, True)),
        ("modulus", (z,)),
        ("modulus_backward", (u, z)),
        ("lowpass", (u, a_m, a_n)),
    ):
        expected = getattr(reference, name)(*arguments)
        others = [
            t.mT.contiguous().mT if isinstance(t, Tensor) and t.ndim > 1 else t for t in arguments
        ]
        for given in (arguments, others):
            out = boundary.call(name, *given)
            for ours, theirs in zip(*map(as_tuple, (out, expected)), strict=True):
                assert ours.is_contiguous() and ours.dtype == theirs.dtype
                torch.testing.assert_close(ours, theirs)
        assert boundary.calls() == ["guard -1", name, "guard ends"] * 2


@pytest.mark.proof
def test_no_memory_is_kept(boundary):
    """Of a call that is done, and of one that is refused."""
    x, S = torch.rand(8, 9), torch.rand(PLAN.channels, *PLAN.output)
    backward = (S, *arguments_of(x), True, True, True)
    for name, arguments in (
        ("scattering", arguments_of(x, "general", 0)),
        ("scattering_backward", (*backward, "auto", 10**6)),
        ("filter_fold", (torch.randn(8, 6) + 0j, torch.rand(5, 8, 6), 2)),
        ("modulus", (torch.randn(8) + 0j,)),
        ("modulus_backward", (torch.rand(8), torch.randn(8) + 0j)),
        ("lowpass", (torch.rand(8, 6), torch.rand(2, 8), torch.rand(3, 6))),
    ):

        def call(name: str = name, arguments: tuple = arguments) -> None:
            boundary.call(name, *arguments)
            boundary.calls()

        assert growth(call) == 0, name

    def refused() -> None:
        for name, arguments in (("", arguments_of(x)), ("_backward", backward)):
            with pytest.raises(RuntimeError, match="tier must be"):
                boundary.call(f"scattering{name}", *arguments, "a tier that there is not")

    assert growth(refused, 500) == 0


def test_nothing_reaches_the_engine_of_nothing(boundary):
    z = torch.zeros(0, 8, 6, dtype=torch.complex64)
    assert boundary.call("filter_fold", z, torch.zeros(5, 8, 6), 2).shape == (0, 5, 4, 3)
    assert boundary.call("modulus", z).shape == z.shape
    low = boundary.call("lowpass", torch.zeros(2, 0, 6), torch.zeros(3, 0), torch.zeros(4, 6))
    assert torch.equal(low, torch.zeros(2, 3, 4))
    assert boundary.call("modulus_backward", z.real, z).shape == z.shape
    S = boundary.call("scattering", *arguments_of(torch.zeros(2, 0, 8, 9)))
    assert S.shape == (2, 0, PLAN.channels, *PLAN.output)
    arguments = (S, *arguments_of(torch.zeros(2, 0, 8, 9)), True, True, True)
    found = boundary.call("scattering_backward", *arguments)
    expected = (torch.zeros(2, 0, 8, 9), *map(torch.zeros_like, (bank_of().psi, bank_of().phi)))
    assert all(map(torch.equal, found, expected))
    assert set(boundary.calls()) <= {"guard -1", "guard ends", "device_limits"}


@pytest.mark.parametrize(
    ("tier", "workspace", "environment", "told"),
    [
        ("auto", 0, {}, (0, 4096 * MIB)),  # of 80 GiB a sixteenth is more
        ("general", 0, {}, (1, 4096 * MIB)),
        ("fused", 12345, {}, (2, 12345)),
        ("auto", 0, {"SCATCUDA_TIER": "fused", "SCATCUDA_WORKSPACE": "777"}, (2, 777)),
        ("general", 5, {"SCATCUDA_TIER": "fused", "SCATCUDA_WORKSPACE": "777"}, (1, 5)),
        ("auto", 0, {"SCATCUDA_TIER": "", "SCATCUDA_WORKSPACE": ""}, (0, 4096 * MIB)),
        ("auto", 0, {"SCATCUDA_TIER": "auto", "SCATCUDA_WORKSPACE": "0"}, (0, 4096 * MIB)),
    ],
)
def test_tier_and_workspace(boundary, monkeypatch, tier, workspace, environment, told):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    boundary.call("scattering", *arguments_of(torch.rand(8, 9), tier, workspace))
    (choose,) = [call for call in boundary.calls() if call.startswith("choose")]
    assert choose.endswith("tier {}, budget {}".format(*told))


def test_wave_is_halved_where_memory_is_short(boundary):
    boundary.library.standin_most_wave(3)
    S = boundary.call("scattering", *arguments_of(torch.rand(20, 8, 9)))
    assert S.shape[0] == 20
    waves = [call.split(",")[0] for call in boundary.calls() if "wave" in call]
    assert waves == [f"workspace_bytes wave {wave}" for wave in (20, 10, 5, 3)] + [
        "scattering wave 3"
    ]
    boundary.library.standin_most_wave(0)  # not even one
    with pytest.raises(
        RuntimeError, match=r"no memory for its workspace of shape .* out of memory"
    ):
        boundary.call("scattering", *arguments_of(torch.rand(20, 8, 9)))
    waves = [call.split(",")[0] for call in boundary.calls() if "wave" in call]
    assert waves == [f"workspace_bytes wave {wave}" for wave in (20, 10, 5, 3, 2, 1)]


STATUS = {"bad_problem": 1, "tier_impossible": 3, "fft_failed": 4, "no_kernel": 5, "launch": 6}
OTHERWISE = 'backend="reference" (scatcuda.reference) computes it on any device'


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (
            "tier_impossible",
            "scattering: the fused tier does not do x of shape (4, 8, 9), Float, by this "
            'program on a GPU of sm_90 with 227 KiB of shared memory a block; tier="auto" finds '
            "one that does",
        ),
        (
            "fft_failed",
            "scattering: cuFFT did not transform x of shape (4, 8, 9), Float, by this program: "
            "it answered 5 when making a plan",
        ),
        (
            "no_kernel",
            "scattering: the NVIDIA driver found nothing for this GPU, of sm_90, in this build "
            "for 80 90 (CUDA 13.0, NVIDIA driver 580 or newer). Update it, or install scatcuda "
            f"again with SCATCUDA_ARCHS=native; {OTHERWISE}",
        ),
        (
            "launch",
            "scattering: CUDA failed on x of shape (4, 8, 9), Float, by this program: an "
            "illegal memory access was encountered",
        ),
        (
            "bad_problem",
            "scattering: the CUDA engine refused x of shape (4, 8, 9), Float, by this program, "
            "status 1",
        ),
    ],
)
@pytest.mark.parametrize("function", [1, 2, 3])
def test_what_the_engine_refuses(boundary, function, status, sentence):
    boundary.library.standin_answer(function, STATUS[status])
    with pytest.raises(RuntimeError) as raised:
        boundary.call("scattering", *arguments_of(torch.rand(4, 8, 9)))
    assert sentence in str(raised.value)
    grad = torch.rand(4, PLAN.channels, *PLAN.output)
    with pytest.raises(RuntimeError) as raised:
        arguments = (*arguments_of(torch.rand(4, 8, 9)), True, False, False)
        boundary.call("scattering_backward", grad, *arguments)
    assert sentence.replace("scattering:", "scattering_backward:") in str(raised.value)
    assert boundary.calls()[-1] == "guard ends"


def test_what_the_engine_refuses_of_a_stage(boundary):
    boundary.library.standin_answer(4, STATUS["launch"])
    with pytest.raises(RuntimeError, match=r"modulus: CUDA failed on z of shape \(3\), Complex"):
        boundary.call("modulus", torch.zeros(3, dtype=torch.complex64))


ON_AN_OLD_GPU = """
import ctypes, sys, torch
torch.ops.load_library(sys.argv[1])
engine = ctypes.CDLL(sys.argv[1])
engine.standin_architecture(75)
engine.standin_answer(4, 5)
cuda = torch._C.DispatchKeySet(torch._C.DispatchKey.CUDA)
torch.ops.standin.modulus.default.redispatch(cuda, torch.zeros(3, dtype=torch.complex64))
"""


def test_a_gpu_older_than_the_build(libraries):
    """In a process of its own: what a GPU can is asked once."""
    command = [sys.executable, "-c", ON_AN_OLD_GPU, str(libraries / "standin.so")]
    told = subprocess.run(command, capture_output=True, text=True, check=False).stderr
    assert (
        "modulus: this GPU is of sm_75, older than every architecture of this build (80 90). "
        f"Install scatcuda again with SCATCUDA_ARCHS=native; {OTHERWISE}"
    ) in told


def test_without_cufft(boundary):
    boundary.library.standin_cufft(False)
    boundary.call("scattering", *arguments_of(torch.rand(8, 9)))  # what needs none works
    boundary.library.standin_answer(1, STATUS["fft_failed"])
    with pytest.raises(RuntimeError) as raised:
        boundary.call("scattering", *arguments_of(torch.rand(8, 9)))
    assert "scattering: cuFFT was not found (libcufft.so.12 or libcufft.so.11)" in str(raised.value)
    assert OTHERWISE in str(raised.value)


def test_arguments_that_do_not_fit(boundary):
    x, z = torch.rand(8, 9), torch.zeros(8, 6, dtype=torch.complex64)
    psi, meta = torch.rand(5, 8, 6), torch.empty(2, 8, device="meta")
    S, whole = torch.rand(PLAN.channels, *PLAN.output), (*arguments_of(x), True, True, True)
    wrong = [
        ("scattering", arguments_of(x[0]), "the last dimensions of x must be (8, 9)"),
        ("scattering", (x.int(), *arguments_of(x)[1:]), "x must be Float as psi is, or Half"),
        ("scattering", (x.double(), *arguments_of(x)[1:]), "x must be Float as psi is, or Half"),
        (
            "scattering",
            (x, bank_of().psi.half(), *arguments_of(x)[2:]),
            "psi must be Float or Dou",
        ),
        ("scattering", arguments_of(x[:2]), "the last dimensions of x must be (8, 9)"),
        ("scattering", arguments_of(x, "fast"), "tier must be 'auto', 'general' or 'fused'"),
        ("scattering", arguments_of(x, "auto", -1), "workspace must be a number of bytes"),
        ("filter_fold", (z, psi[..., :-1], 2), "x_hat must be [..., M, N] and psi [L, M, N]"),
        ("filter_fold", (z, psi.to("meta"), 2), "psi must be on the device of x_hat"),
        ("filter_fold", (z, psi, 3), "k must divide M = 8 and N = 6; got 3"),
        ("filter_fold", (z, psi.double(), 2), "psi must be Float; got Double"),
        (
            "scattering_backward",
            (S[:, :-1], *whole),
            "grad must have shape (16, 2, 2); got (16, 1, 2)",
        ),
        ("scattering_backward", (S.double(), *whole), "grad must be Float; got Double"),
        (
            "scattering_backward",
            (S.to("meta"), *whole),
            "grad must be on the device of the input",
        ),
        ("scattering_backward", (S, *whole, "fast"), "tier must be 'auto', 'general' or 'fused'"),
        ("scattering_backward", (S, *whole, "auto", -1), "workspace must be a number of bytes"),
        (
            "filter_fold_backward",
            (z, z, psi, 2, True, True),
            "grad must have shape (5, 4, 3); got (8, 6)",
        ),
        ("modulus", (x,), "z must be ComplexFloat or ComplexDouble; got Float"),
        ("modulus_backward", (x, z), "grad must have shape (8, 6); got (8, 9)"),
        ("modulus_backward", (z, z), "grad must be Float; got ComplexFloat"),
        ("modulus_backward", (z.real.to("meta"), z), "grad must be on the device of the input"),
        ("lowpass", (x, x, x), "u must be [..., M, N], a_m [m, M] and a_n [n, N]; got shapes"),
        ("lowpass", (x, torch.rand(2, 8), torch.rand(2, 9).double()), "a_n must be Float"),
        ("lowpass", (x, meta, torch.rand(2, 9)), "a_m must be on the device of u"),
        ("lowpass", (x.int(), torch.rand(2, 8), torch.rand(2, 9)), "u must be Float or Double"),
    ]
    for name, arguments, sentence in wrong:
        with pytest.raises(RuntimeError) as raised:
            boundary.call(name, *arguments)
        assert f"{name}: {sentence}" in str(raised.value)
    support = bank_of().psi_support[:-1]
    with pytest.raises(RuntimeError, match="psi_support must have 10 elements"):
        boundary.call("scattering", *arguments_of(x)[:2], support, *arguments_of(x)[3:])


def test_environment_that_does_not_fit(boundary, monkeypatch):
    for name, value, sentence in (
        ("SCATCUDA_TIER", "fast", "SCATCUDA_TIER must be 'auto', 'general' or 'fused'; got 'fast'"),
        ("SCATCUDA_WORKSPACE", "1GB", "SCATCUDA_WORKSPACE must be a number of bytes"),
        ("SCATCUDA_WORKSPACE", "-3", "SCATCUDA_WORKSPACE must be a number of bytes"),
    ):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            with pytest.raises(RuntimeError, match=sentence):
                boundary.call("scattering", *arguments_of(torch.rand(8, 9)))
            with pytest.raises(ValueError, match=name):
                environment.check()


# --- a build without an engine, tensors that are not on the GPU -------------------------------


def every_operator() -> list[tuple[str, tuple]]:
    z = torch.zeros(8, 6, dtype=torch.complex64)
    return [
        ("scattering", arguments_of(torch.rand(8, 9))),
        ("filter_fold", (z, torch.rand(5, 8, 6), 2)),
        ("modulus", (z,)),
        ("lowpass", (torch.rand(8, 6), torch.rand(2, 8), torch.rand(2, 6))),
    ]


def test_build_without_engine_says_so(absent):
    for name, arguments in every_operator():
        with pytest.raises(RuntimeError) as raised:
            absent.call(name, *arguments)
        assert (
            f"{name}: this build of scatcuda has no CUDA engine. Install it again where there is a "
            f"CUDA toolkit, with CUDA_HOME set to it and SCATCUDA_CUDA=1; {OTHERWISE}"
        ) in str(raised.value)


def test_this_build():
    """The operators of the library under test: with an engine they want tensors on a GPU."""
    sentence = "must be on the GPU" if WITH_ENGINE else "this build of scatcuda has no CUDA engine"
    for name, arguments in every_operator():
        operator = getattr(torch.ops.scatcuda, name).default
        with pytest.raises(RuntimeError, match=f"{name}: .*{sentence}"):
            operator.redispatch(CUDA, *arguments)


# --- tier and workspace, from the module to the operator --------------------------------------


def test_schema():
    arguments = torch.ops.scatcuda.scattering.default._schema.arguments
    assert [(a.name, a.default_value) for a in arguments[-2:]] == [
        ("tier", "auto"),
        ("workspace", 0),
    ]


def test_they_change_nothing_elsewhere():
    """On the CPU, in the twin, for the fake kernel, under vmap and in the gradients."""
    x = torch.rand(2, 8, 9, dtype=torch.float64, requires_grad=True)
    plain, more = arguments_of(x), arguments_of(x, "fused", 1)
    expected = ops.scattering(*plain)
    assert torch.equal(ops.scattering(*more), expected)
    assert torch.equal(reference.scattering(*more), reference.scattering(*plain))
    gradients = [torch.autograd.grad(ops.scattering(*a).sum(), x)[0] for a in (plain, more)]
    assert torch.equal(*gradients)
    twice = torch.autograd.grad(ops.scattering(*more).square().sum(), x, create_graph=True)[0]
    assert torch.autograd.grad(twice.sum(), x)[0].shape == x.shape
    meta = [t.to("meta") if isinstance(t, Tensor) else t for t in more]
    assert torch.ops.scatcuda.scattering(*meta).shape == expected.shape
    x = x.detach()
    ours = torch.vmap(lambda image: ops.scattering(image, *more[1:]))(x)
    torch.testing.assert_close(ours, expected.detach())
    torch.library.opcheck(torch.ops.scatcuda.scattering.default, arguments_of(x, "general", 7))


def test_shorter_pixels():
    """The CUDA engine reads them as they are, the twin and the fake kernel give what it gives."""
    modules = [Scattering2D(2, (8, 9), backend=backend) for backend in ("native", "reference")]
    with FakeTensorMode():
        like = torch.empty(3, device="cuda")
        for dtype in (torch.float16, torch.bfloat16, torch.uint8, torch.int16):
            x = torch.empty(2, 8, 9, device="cuda", dtype=dtype)
            for module in modules:
                kept = module.backend == "native" and dtype != torch.int16
                checked = module._checked(x, like)
                assert checked.dtype == (dtype if kept else torch.float32)
    x = torch.randint(256, (2, 8, 9), dtype=torch.uint8)
    arguments = arguments_of(x, dtype=torch.float64)
    expected = ops.scattering(*arguments_of(x.double()))
    torch.testing.assert_close(reference.scattering(*arguments), expected)
    meta = [t.to("meta") if isinstance(t, Tensor) else t for t in arguments]
    assert torch.ops.scatcuda.scattering(*meta).dtype == torch.float64


@pytest.mark.parametrize(("tier", "workspace"), [("fast", 0), ("auto", -1)])
def test_the_cpu_checks_them_too(tier, workspace):
    with pytest.raises(RuntimeError, match=r"scattering: (tier|workspace) must be"):
        ops.scattering(*arguments_of(torch.rand(8, 9), tier, workspace))


def test_module(monkeypatch):
    module = Scattering2D(2, (8, 9), L=3, tier="fused", workspace=1 << 20)
    assert (module.tier, module.workspace) == ("fused", 1 << 20)
    assert "filters='morlet', tier='fused', workspace=1048576" in repr(module)
    default = Scattering2D(2, (8, 9), L=3)
    assert (default.tier, default.workspace) == ("auto", None)
    for name in ("tier", "workspace"):
        with pytest.raises(AttributeError):
            setattr(module, name, None)
    file = io.BytesIO()
    torch.save(module, file)
    file.seek(0)
    for other in (copy.deepcopy(module), torch.load(file, weights_only=False)):
        assert repr(other) == repr(module)
    x, given = torch.rand(8, 9), []
    for backend, native_one in (("native", module), ("reference", None)):
        monkeypatch.setitem(
            sys.modules["scatcuda.transforms.base"]._BACKENDS,
            backend,
            lambda *arguments: given.append(arguments[-2:]) or ops.scattering(*arguments),
        )
        (native_one or Scattering2D(2, (8, 9), L=3, backend=backend))(x)
    assert given == [("fused", 1 << 20), ("auto", 0)]


def test_module_refuses():
    for error, arguments, sentence in (
        (
            ValueError,
            {"tier": "fast"},
            "tier must be one of 'auto', 'general', 'fused'; got 'fast'",
        ),
        (ValueError, {"tier": None}, "tier must be one of"),
        (ValueError, {"workspace": 0}, "workspace must be at least 1; got 0"),
        (TypeError, {"workspace": 1.5}, "workspace must be an integer; got 1.5"),
        (TypeError, {"workspace": True}, "workspace must be an integer"),
    ):
        with pytest.raises(error, match=f"Scattering2D: {sentence}"):
            Scattering2D(2, (8, 9), **arguments)


def test_out_of_memory_has_its_own_type(monkeypatch):
    def operator(*_):
        raise RuntimeError("modulus: no memory for its output: CUDA out of memory.")

    monkeypatch.setattr(torch.ops.scatcuda, "modulus", SimpleNamespace(default=operator))
    with pytest.raises(torch.OutOfMemoryError, match="modulus: no memory for its output"):
        ops.modulus(torch.zeros(1, dtype=torch.complex64))


# --- how a problem would be run ---------------------------------------------------------------


@needs_engine
@pytest.mark.parametrize("device", config.GPUS)
def test_launch_on_a_known_gpu(device):
    limits = config.GPUS[device]
    for J, shape in ((2, (32, 32)), (3, (64, 61)), (4, (224, 224))):
        launch = cuda_launch(J, shape, batch=1000, device=device)
        assert launch.tier in ("general", "fused")
        assert 1 <= launch.wave <= 1000
        assert launch.shared_bytes <= limits.shared_per_block
        general = cuda_launch(J, shape, batch=1000, device=device, tier="general")
        assert general.tier == "general" and not general.first_order_fused
        assert cuda_launch(J, shape, device=device, dtype=torch.float64).tier == "general"
        one = cuda_launch(J, shape, batch=1000, device=device, workspace=1)
        assert one.wave == 1


@needs_engine
def test_environment_chooses_the_launch(monkeypatch):
    problem = {"J": 2, "shape": (32, 32), "batch": 1000, "device": "H100"}
    assert cuda_launch(**problem).tier == "fused"
    monkeypatch.setenv("SCATCUDA_TIER", "general")
    monkeypatch.setenv("SCATCUDA_WORKSPACE", "1")
    assert cuda_launch(**problem)[::5] == ("general", 1)
    assert cuda_launch(**problem, tier="fused").tier == "fused"


@needs_engine
def test_tier_that_cannot_be():
    with pytest.raises(RuntimeError, match="cuda_launch: the fused tier does not do this program"):
        cuda_launch(2, (2048, 2048), device="T4", tier="fused")
    with pytest.raises(RuntimeError, match="cuda_launch: the fused tier does not do this program"):
        cuda_launch(2, (32, 32), device="H100", tier="fused", dtype=torch.float64)


@pytest.mark.parametrize(
    ("error", "arguments", "sentence"),
    [
        (ValueError, {"J": 0}, "J must be at least 1; got 0"),
        (ValueError, {"J": 6}, r"both sides of shape must be at least 2\^J"),
        (TypeError, {"shape": 32}, "shape must be a pair of integers"),
        (ValueError, {"batch": 0}, "batch must be at least 1; got 0"),
        (TypeError, {"pre_pad": 1}, "pre_pad must be a bool; got 1"),
        (ValueError, {"dtype": torch.float16}, "dtype must be torch.float32 or torch.float64"),
        (ValueError, {"tier": "fast"}, "tier must be one of auto, general, fused; got 'fast'"),
        (ValueError, {"workspace": 0}, "workspace must be at least 1; got 0"),
        (ValueError, {"device": "cpu"}, "device must be a CUDA device or one of T4, .*; got 'cpu'"),
        (ValueError, {"device": "H1000"}, "device must be a CUDA device or one of T4"),
    ],
)
def test_launch_refuses(error, arguments, sentence):
    problem = {"J": 2, "shape": (32, 32), "device": "H100"} | arguments
    with pytest.raises(error, match=f"cuda_launch: {sentence}"):
        cuda_launch(**problem)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_launch_on_a_gpu_that_is_not_here():
    for device in ("cuda", "cuda:1", 0, torch.device("cuda")):
        with pytest.raises(
            RuntimeError, match="cuda_launch: PyTorch finds no GPU here; name one of"
        ):
            cuda_launch(2, (32, 32), device=device)
    with pytest.raises(RuntimeError, match="cuda_launch: "):
        _C.device_limits(0)


def test_show_config(capsys):
    scatcuda.show_config()
    lines = capsys.readouterr().out.splitlines()
    names = [line.partition(":")[0] for line in lines]
    assert names[1:4] == ["built", "CPU engine", "CUDA engine"]
    assert "GPU" in names
    if WITH_ENGINE:
        assert lines[3].startswith("CUDA engine: sm_")
        assert re.search(r"; CUDA \d+\.\d, NVIDIA driver \d{3} or newer$", lines[3])
        assert "cuFFT" in names
        assert any(
            line.startswith("  32 x 32, J = 2, float32: fused, 128 images") for line in lines
        )
    else:
        assert lines[3].startswith("CUDA engine: none in this build; for CUDA tensors install")
    if not torch.cuda.is_available():
        assert "GPU: none here" in lines


@pytest.mark.proof
def test_command_line():
    def run(*arguments: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "scatcuda", "info", *arguments],
            cwd=native.ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    code, text = run("--J", "2", "--shape", "32,32", "--device", "H100")
    assert code == 0 if WITH_ENGINE else code == 1 and "no CUDA engine" in text
    code, text = run("--J", "6", "--shape", "32,32", "--device", "H100")
    assert code == 1 and text.startswith("scatcuda info: cuda_launch: both sides of shape")
    code, text = run("--J", "6")
    assert code == 1 and "a problem has --J and --shape" in text


# --- setup.py ---------------------------------------------------------------------------------


@pytest.fixture
def toolkit(tmp_path) -> Path:
    """Of CUDA 12.0, as far as setup.py asks."""
    nvcc = tmp_path / "bin/nvcc"
    nvcc.parent.mkdir()
    nvcc.write_text("#!/bin/sh\nprintf 'sm_75\\nsm_80\\nsm_86\\nsm_89\\nsm_90\\n'\n")
    nvcc.chmod(0o755)
    return tmp_path


def test_architectures_that_the_toolkit_knows(toolkit, monkeypatch, capsys):
    setup = native.settings()
    monkeypatch.delenv("SCATCUDA_ARCHS", raising=False)
    assert setup.architectures(toolkit) == ["75", "80", "86", "90"]
    assert "does not compile for 100, 120: left out" in capsys.readouterr().out
    monkeypatch.setenv("SCATCUDA_ARCHS", "80;90a")
    assert setup.architectures(toolkit) == ["80", "90a"]
    assert capsys.readouterr().out == ""
    monkeypatch.setenv("SCATCUDA_ARCHS", "120")
    with pytest.raises(SystemExit, match="none of SCATCUDA_ARCHS=120, only for 75;80;86;89;90"):
        setup.architectures(toolkit)


def test_native_architecture(toolkit, monkeypatch):
    setup = native.settings()
    monkeypatch.setenv("SCATCUDA_ARCHS", "native")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match="SCATCUDA_ARCHS=native, but PyTorch finds no GPU here"):
        setup.architectures(toolkit)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda i: [(9, 0), (8, 0), (9, 0)][i])
    assert setup.architectures(toolkit) == ["80", "90"]
