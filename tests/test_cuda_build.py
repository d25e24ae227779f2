"""The CUDA sources as nvcc sees them, without a GPU: no warning and no spilled register. Where
there is no nvcc this says so and skips.

All architectures take ten minutes: here is the oldest, which `make` builds for, too, so that
nothing is compiled twice. `SCATCUDA_TEST_ARCHS=all` tests all, `make kernels` prints the table."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from math import prod
from pathlib import Path
from typing import Any

import emulation
import native
import numpy as np
import pytest
import random_programs
import torch
from emulation import families
from native import kernels, ptx
from native.kernels import ARCHITECTURES, LIMITS, Compiled, Kernel, compile_kernels

from scatcuda.banks.packing import whole_support
from scatcuda.limits import lanes
from scatcuda.program import parse, plan


def needs_nvcc(test: Callable[..., None]) -> Callable[..., None]:
    """Left to `make proof`, and skipped where there is no nvcc."""
    missing = kernels.toolkit() is None
    skipped = pytest.mark.skipif(missing, reason="no nvcc, so that no kernel is compiled")
    return pytest.mark.proof(skipped(test))


TESTED = ARCHITECTURES if os.environ.get("SCATCUDA_TEST_ARCHS") == "all" else (75,)
SOURCES = [*kernels.sources(), native.HERE / "butterfly.cu"]  # csrc/core, which both engines share


@pytest.fixture(scope="module")
def compiled() -> dict[tuple[Path, int], Compiled]:
    """Every file for every tested architecture, where that was not done before."""
    return compile_kernels(SOURCES, [a for a in TESTED if a in kernels.known_architectures()])


@needs_nvcc
@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
@pytest.mark.parametrize("arch", TESTED)
def test_kernels_compile(compiled, source, arch):
    """Without a warning and without a spilled register, to something that can be launched."""
    if arch not in kernels.known_architectures():
        pytest.skip(f"this nvcc is older than sm_{arch}")
    found = compiled[source, arch]
    print(kernels.table(found.kernels))
    assert found.errors == ""
    assert found.kernels
    assert [kernel for kernel in found.kernels if kernel.spills] == []
    assert [kernel for kernel in found.kernels if kernel.occupancy() == 0] == []


# Sides with kernels of their own and without, in both tiers
SIDES = [(28, 28), (32, 32), (44, 44), (60, 60), (64, 64), (61, 19), (96, 80), (128, 128)]
SIDES += [(150, 131), (224, 224), (256, 256)]


@needs_nvcc
@pytest.mark.parametrize("arch", TESTED)
def test_every_launch_fits_its_kernel(compiled, arch):
    """On the emulated device, where kernels are launched and do nothing here: no more threads than
    a kernel is compiled for, registers and shared memory for a block; and where shared memory is
    there for two blocks of the fused tier's main kernel, so are registers."""
    if arch not in kernels.known_architectures():
        pytest.skip(f"this nvcc is older than sm_{arch}")
    engine, limits = emulation.engine("plain"), LIMITS[arch]
    by_name = {k.name: k for (_, a), one in compiled.items() if a == arch for k in one.kernels}
    engine.device(
        architecture=arch, shared_per_block=limits.shared - limits.reserved,
        shared_per_processor=limits.shared, counts_only=True,
    )  # fmt: skip
    seen = set()
    try:
        for (M, N), J, L, tier in itertools.product(SIDES, range(1, 6), (1, 3, 8), TIERS):
            if min(M, N) < 1 << J:
                continue
            p = plan.Plan(J, L, 2, M, N)
            for report in launches_of(engine, p.program, whole_bank(p), tier):
                chosen = report["launch"]
                main = "families" if chosen["whole"] else "second"
                for name, ran in zip(engine.kernels(report), report["launches"], strict=True):
                    if ran["operation"] != "kernel":
                        continue
                    kernel, threads = by_name[kernels.shortened(name)], prod(ran["block"])
                    seen.add(kernel.name)
                    assert threads <= kernel.threads, (p, kernel)
                    share = kernel.occupancy(threads, ran["shared"])
                    blocks = share * limits.threads / (-(-threads // 32) * 32)
                    in_shared = limits.shared // (ran["shared"] + limits.reserved + 1)
                    is_main = (
                        kernel.name.startswith(main) and ran["shared"] == chosen["shared_bytes"]
                    )
                    wanted = 2 if is_main and in_shared >= 2 else 1
                    assert blocks >= wanted, (p, kernel, ran)
    finally:
        engine.reset_device()
    fused = {"spectrum_kernel", "families_kernel", "second_kernel", "families_backward_kernel"}
    assert {name.partition("<")[0] for name in seen} >= fused | {"lowpass_kernel"}


@needs_nvcc
@pytest.mark.parametrize("arch", TESTED)
def test_every_launch_of_programs_fits_its_kernel(compiled, arch):
    """Likewise of the general tier's kernels, on programs of every kind."""
    if arch not in kernels.known_architectures():
        pytest.skip(f"this nvcc is older than sm_{arch}")
    engine = emulation.engine("plain")
    by_name = {k.name: k for (_, a), one in compiled.items() if a == arch for k in one.kernels}
    engine.device(architecture=arch, counts_only=True)
    seen = set()
    try:
        for seed in range(40):
            drawn, packed, _ = random_programs.case(seed, torch.float32, seed % 2 == 0)
            bank = tuple(tensor.numpy().ravel() for tensor in packed)
            wanted = {"with_psi": True, "with_phi": True}
            for report in launches_of(engine, drawn.text, bank, "general", **wanted):
                seen |= fitting(engine, by_name, report, drawn.text)
    finally:
        engine.reset_device()
    assert seen >= {"mix_kernel", "pair_kernel", "power_kernel", "norm_kernel", "write_kernel"}


@needs_nvcc
@pytest.mark.parametrize("arch", TESTED)
def test_every_launch_of_signals_fits_its_kernel(compiled, arch):
    """Likewise of the fused kernels of signals, up to the longest line that a block holds."""
    if arch not in kernels.known_architectures():
        pytest.skip(f"this nvcc is older than sm_{arch}")
    engine, limits = emulation.engine("plain"), LIMITS[arch]
    by_name = {k.name: k for (_, a), one in compiled.items() if a == arch for k in one.kernels}
    engine.device(
        architecture=arch, shared_per_block=limits.shared - limits.reserved,
        shared_per_processor=limits.shared, counts_only=True,
    )  # fmt: skip
    seen = set()
    try:
        for J, N, Q in ((3, 64, 1), (6, 1024, 1), (6, 8192, 8), (10, 65536, 1)):
            given = families.of_program(J=J, shape=N, Q=Q)
            bank = tuple(families.arrays_of(given[1]))
            for report in launches_of(engine, given[0].text, bank, "fused"):
                seen |= fitting(engine, by_name, report, given[0].text)
    finally:
        engine.reset_device()
    assert seen >= {"family_kernel", "end_backward_kernel", "roots_kernel"}


def fitting(
    engine: emulation.Emulated, by_name: dict[str, Any], report: dict[str, Any], text: str
) -> set[str]:
    """Names of the kernels that were launched, each of which a processor can hold."""
    seen = set()
    for name, ran in zip(engine.kernels(report), report["launches"], strict=True):
        if ran["operation"] == "kernel":
            kernel, threads = by_name[kernels.shortened(name)], prod(ran["block"])
            seen.add(kernel.name.partition("<")[0])
            assert threads <= kernel.threads, (text, kernel)
            assert kernel.occupancy(threads, ran["shared"]) > 0
    return seen


TIERS = ["auto", "general"]


def whole_bank(p: plan.Plan) -> tuple[np.ndarray, ...]:
    """Whatever its filters are."""
    (m, n), (boxes, bands) = p.output, whole_support(p)
    phi = sum(m * (p.padded[0] >> res) + n * (p.padded[1] >> res) for res in range(p.J))
    psi = np.zeros(lanes(p.L), np.float32)
    return psi, boxes.numpy().ravel(), np.zeros(phi, np.float32), bands.numpy().ravel()


def launches_of(
    engine: emulation.Emulated, text: str, bank: tuple[np.ndarray, ...], tier: str, **wanted: bool
) -> Iterator[dict[str, Any]]:
    """The reports of one signal forward and backward, whatever it is."""
    p = parse(text)
    arguments = (np.zeros((1, *p.signal), np.float32), *bank, text)
    options = {"tier": tier, "budget": 1}
    yield engine.scattering(*arguments, **options)[-1]
    grad = np.zeros((1, p.channels, *p.sides), np.float32)
    yield engine.scattering_backward(grad, *arguments, **options, **wanted)[-1]


# --- the tool itself ----------------------------------------------------------------------------

# 96 products of 96 numbers that 32 registers must hold
SPILLING = """
namespace scatcuda {
template <int N>
__global__ void __launch_bounds__(1024, 2) crowded_kernel(const float* x, float* y) {
  float v[N];
#pragma unroll
  for (int i = 0; i < N; ++i) v[i] = x[i * 1024 + threadIdx.x];
#pragma unroll
  for (int i = 0; i < N; ++i) v[i] = v[i] * v[(i * 37 + 5) % N] + v[(i + 11) % N];
#pragma unroll
  for (int i = 0; i < N; ++i) y[i * 1024 + threadIdx.x] = v[i];
}
template __global__ void crowded_kernel<96>(const float*, float*);
__global__ void __launch_bounds__(64 * 3) roomy_kernel(float* y) {
  __shared__ float shared[500];
  shared[threadIdx.x] = y[threadIdx.x];
  __syncthreads();
  y[threadIdx.x] = shared[threadIdx.x ^ 1];
}
}  // namespace scatcuda
"""


@needs_nvcc
def test_a_spilled_register_is_an_error(tmp_path):
    source = tmp_path / "planted.cu"
    source.write_text(SPILLING)
    planted = compile_kernels([source], [80], folder=tmp_path)[source, 80]
    assert "planted.cu for sm_80" in planted.errors
    assert "Registers are spilled" in planted.errors
    found = {kernel.name: kernel for kernel in planted.kernels}
    if shutil.which("c++filt"):
        crowded, roomy = found["crowded_kernel<96>"], found["roomy_kernel"]
        assert crowded.spills > 100 and crowded.threads == 1024 and crowded.registers == 32
        assert (roomy.spills, roomy.threads, roomy.shared) == (0, 192, 2000)


@needs_nvcc
def test_a_warning_is_an_error(tmp_path):
    source = tmp_path / "planted.cu"
    source.write_text("__global__ void kernel(float* y) { int unused; *y = 1; }\n")
    planted = compile_kernels([source], [90], folder=tmp_path)[source, 90]
    assert "never referenced" in planted.errors
    planted = compile_kernels([source], [90], ["-diag-suppress=177"], tmp_path)[source, 90]
    assert planted.errors == "" and [kernel.spills for kernel in planted.kernels] == [0]


@needs_nvcc
def test_only_what_changed_is_compiled_again(tmp_path):
    """A header too; and what failed, whether it changed or not."""
    source, header = tmp_path / "planted.cu", tmp_path / "planted.h"
    source.write_text('#include "planted.h"\n__global__ void kernel(float* y) { *y = VALUE; }\n')

    def compiled_at() -> int | None:
        (found,) = compile_kernels([source], [75], folder=tmp_path).values()
        (log,) = tmp_path.rglob("*.o.log")
        return None if found.errors else log.stat().st_mtime_ns

    header.write_text("#define VALUE unknown\n")
    assert compiled_at() is None
    header.write_text("#define VALUE 1\n")
    first = compiled_at()
    assert first is not None and compiled_at() == first
    header.write_text("#define VALUE 2\n")
    assert compiled_at() > first


BUTTERFLIES = [*range(2, 14), 15, 16]


@needs_nvcc
def test_butterflies_are_transforms_as_nvcc_understands_them(tmp_path):
    """Their PTX run: nvcc has made zeros of a table of constants that every other compiler read."""
    bodies = ptx.entries(ptx.compiled(native.HERE / "butterfly.cu", tmp_path))
    assert len(bodies) == 2 * len(BUTTERFLIES)
    for radix, sign in itertools.product(BUTTERFLIES, (-1, 1)):
        (body,) = (
            body
            for name, body in bodies.items()
            if f"butterfly_kernelILi{radix}ELi{'n1' if sign < 0 else '1'}E" in name
        )
        x = torch.randn(radix, 2).numpy()
        transform = np.fft.fft if sign < 0 else lambda z: np.fft.ifft(z) * len(z)
        expected = transform(x[:, 0] + 1j * x[:, 1].astype(np.float64))
        found = ptx.run(body, x)
        error = np.linalg.norm(found[:, 0] + 1j * found[:, 1] - expected)
        assert error <= 4e-7 * np.linalg.norm(expected), f"{radix} points, sign {sign}"


@needs_nvcc
def test_table_of_one_file(capsys):
    """As `make kernels` prints it."""
    assert kernels.main([str(native.HERE / "butterfly.cu")]) == 0
    printed = capsys.readouterr().out
    assert printed.count("butterfly_kernel") == 2 * len(BUTTERFLIES)
    assert all(f"sm_{arch}" in printed for arch in ARCHITECTURES)


@needs_nvcc
def test_the_tool_fails_where_a_kernel_does(tmp_path, monkeypatch, capsys):
    failed = Compiled([], "planted.cu for sm_80: Registers are spilled")
    monkeypatch.setattr(kernels, "compile_kernels", lambda files, archs: {(files[0], 80): failed})
    assert kernels.main([str(tmp_path / "planted.cu")]) == 1
    assert failed.errors in capsys.readouterr().out


def test_the_tool_says_that_there_is_nothing_to_compile(monkeypatch, capsys):
    monkeypatch.setattr(kernels, "toolkit", lambda: Path("/nowhere"))
    monkeypatch.setattr(kernels, "sources", list)
    assert kernels.main([]) == 1
    assert "csrc/cuda holds no .cu file" in capsys.readouterr().out
    monkeypatch.setattr(kernels, "toolkit", lambda: None)
    assert kernels.main([]) == 1
    assert "there is no nvcc here" in capsys.readouterr().out


REPORT = """
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function '_Z5firstPf' for 'sm_75'
ptxas info    : Function properties for _Z5firstPf
    8 bytes stack frame, 12 bytes spill stores, 20 bytes spill loads
ptxas info    : Used 40 registers, 1040 bytes smem, 376 bytes cmem[0], 8 bytes cmem[2]
ptxas info    : Compiling entry function '_Z6secondPf' for 'sm_75'
ptxas info    : Function properties for _Z6secondPf
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 10 registers, used 0 barriers
"""
PTX = """
.visible .entry _Z5firstPf(.param .u64 _Z5firstPf_param_0)
.maxntid 32, 4, 2
{ ret; }
.weak .entry _Z6secondPf(.param .u64 _Z6secondPf_param_0)
{ ret; }
"""


def test_report_of_the_compiler(monkeypatch):
    monkeypatch.setattr(kernels.shutil, "which", lambda name: None)
    first, second = kernels.parse(REPORT, PTX, 75)
    assert first == Kernel("_Z5firstPf", 75, 256, 40, 1040, 384, 8, 32)
    assert second == Kernel("_Z6secondPf", 75, None, 10, 0, 0, 0, 0)
    lines = kernels.table([first, second]).splitlines()
    assert lines[0].split() == "kernel threads shared constant stack spills sm_75".split()
    assert lines[1].split() == "_Z5firstPf 256 1040 384 8 32 40 100.0%".split()
    assert lines[2].split() == "_Z6secondPf any 0 0 0 0 10 100.0%".split()


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("void scatcuda::cuda::f<(int)40, float>(scatcuda::Fused<float>, int)", "f<40, float>"),
        ("void scatcuda::f<(scatcuda::Tier)1, scatcuda::A<(bool)0> >(int)", "f<1, A<0> >"),
        ("scatcuda::(anonymous namespace)::modulus_kernel(float const*)", "modulus_kernel"),
        ("void f<(int)-1>((anonymous namespace)::P)", "f<-1>"),
    ],
)
def test_short_names(name, short):
    assert kernels.shortened(name) == short


def test_occupancy_is_what_the_toolkit_calculates(rng, tmp_path):
    header = kernels.toolkit() and kernels.toolkit() / "include" / "cuda_occupancy.h"
    if not header or not header.exists() or shutil.which("g++") is None:
        pytest.skip("no CUDA toolkit with cuda_occupancy.h, or no g++")
    program = tmp_path / "occupancy"
    command = ["g++", "-w", f"-isystem{header.parent}", str(native.HERE / "occupancy.cpp")]
    subprocess.run([*command, "-o", str(program)], check=True)
    cases, lines = [], []
    for _ in range(2000):
        arch = rng.choice(ARCHITECTURES)
        limits, block, registers = LIMITS[arch], rng.randint(1, 1024), rng.randint(16, 255)
        shared = rng.choice([0, rng.randint(0, 20_000), rng.randint(0, limits.shared - 1024)])
        cases.append((Kernel("", arch, block, registers, 0, 0, 0, 0), shared))
        line = (arch, limits.threads, limits.shared, limits.reserved, block, registers, shared)
        lines.append(" ".join(map(str, line)))
    told = subprocess.run(
        [str(program)], input="\n".join(lines), capture_output=True, text=True, check=True
    )
    for (kernel, shared), blocks in zip(cases, told.stdout.split(), strict=True):
        warps = -(-kernel.threads // 32)
        share = int(blocks) * warps * 32 / LIMITS[kernel.architecture].threads
        assert kernel.occupancy(dynamic=shared) == share, kernel
