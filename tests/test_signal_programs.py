"""Signals of one axis whose sides are powers of two, which the CPU engine cuts into pieces
(csrc/cpu/signals), against the interpreter in float64."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import programs
import pytest
import torch
from torch import Tensor

import scatcuda
from scatcuda import ops
from scatcuda.ops import reference
from scatcuda.program import Axis, Builder, X
from scatcuda.program.packing import pack_program

FLOAT32, FLOAT64 = torch.float32, torch.float64
BOUNDS = {FLOAT32: 2e-6, FLOAT64: 1e-14}
INSTRUCTION_SETS = ["baseline", "avx2", "avx512"]


def error(found: Tensor, wanted: Tensor) -> float:
    scale = wanted.abs().max() + torch.finfo(FLOAT64).tiny
    return float((found.double() - wanted).abs().max() / scale)


def check(seed: int, dtype: torch.dtype, made: Any = programs.of_signals) -> None:
    program, packed = made(seed, dtype)
    generator = torch.Generator().manual_seed(seed)
    B, text = 1 + seed % 9, program.text
    x = torch.randn(B, program.axes[0].size, dtype=dtype, generator=generator)
    exact = [t.double() if t.is_floating_point() else t for t in (x, *packed)]
    exact[0].requires_grad_()
    wanted = reference.scattering(*exact, text)
    g = torch.randn(wanted.shape, dtype=dtype, generator=generator)
    (to_x,) = torch.autograd.grad(wanted, exact[0], g.double())
    threads, found = torch.get_num_threads(), []
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        back = torch.ops.scatcuda.scattering_backward(g, x, *packed, text, True, False, False)[0]
        found.append((ops.scattering(x, *packed, text), back))
    torch.set_num_threads(threads)
    S, grad = found[0]
    assert error(S, wanted.detach()) <= BOUNDS[dtype], (seed, text)
    worst = 2 if made is programs.of_signals else 3  # a group's planes may be near 0, of any phase
    assert error(grad, to_x) <= worst * BOUNDS[dtype], (seed, text)
    for other in found[1:]:
        assert all(map(torch.equal, other, found[0])), (seed, text)
    for i in range(B):  # what lies beside a signal changes nothing
        assert torch.equal(ops.scattering(x[i : i + 1], *packed, text)[0], S[i]), (seed, i, text)


def check_filters(seed: int, dtype: torch.dtype, made: Any = programs.of_signals) -> None:
    """The gradients of psi and phi, of tables without zeros: beside what keeps little or nothing
    that of psi is one of rounding errors."""
    program, _ = made(seed, dtype)
    packed, text = programs.random_tables(program.text, seed, dtype), program.text
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(1 + seed % 9, program.axes[0].size, dtype=dtype, generator=generator)
    exact = [t.double() if t.is_floating_point() else t for t in (x, *packed)]
    S = reference.scattering(*exact, text)
    g = torch.randn(S.shape, dtype=dtype, generator=generator)
    wanted = reference.scattering_backward(g.double(), *exact, text, True, True, True)
    backward = torch.ops.scatcuda.scattering_backward
    threads, found = torch.get_num_threads(), []
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        alone = backward(g, x, *packed, text, False, True, False)[1]
        phi_alone = backward(g, x, *packed, text, False, False, True)[2]
        found.append((*backward(g, x, *packed, text, True, True, True), alone, phi_alone))
    torch.set_num_threads(threads)
    assert error(found[0][0], wanted[0]) <= 2 * BOUNDS[dtype], (seed, text)
    assert error(found[0][1], wanted[1]) <= 4 * BOUNDS[dtype], (seed, text)
    for of_phi in (found[0][2], found[0][4]) if wanted[2].numel() else ():
        assert error(of_phi, wanted[2]) <= 4 * BOUNDS[dtype], (seed, text)
    assert torch.equal(found[0][1], found[0][3]), (seed, text)
    for other in found[1:]:
        assert all(map(torch.equal, other, found[0])), (seed, text)


@pytest.mark.parametrize("dtype", BOUNDS)
def test_gradients_of_filters(dtype: torch.dtype) -> None:
    for seed in range(40):
        check_filters(seed, dtype)


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("seeds", [range(0, 40), range(40, 80)])
def test_random_signals(dtype: torch.dtype, seeds: range) -> None:
    for seed in seeds:
        check(seed, dtype)


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("seeds", [range(0, 40), range(40, 80)])
def test_random_groups(dtype: torch.dtype, seeds: range) -> None:
    for seed in seeds:
        check(seed, dtype, programs.of_groups)


@pytest.mark.parametrize("dtype", BOUNDS)
def test_gradients_of_filters_of_groups(dtype: torch.dtype) -> None:
    for seed in range(10):
        check_filters(seed, dtype, programs.of_groups)


@pytest.mark.everywhere
@pytest.mark.parametrize("isa", INSTRUCTION_SETS)
def test_instruction_sets(isa: str) -> None:
    if INSTRUCTION_SETS.index(isa) > INSTRUCTION_SETS.index(scatcuda.cpu_isa()):
        pytest.skip(f"{isa} is beyond {scatcuda.cpu_isa()}, the best that may be used here")
    command = "import torch, test_signal_programs as t; print(t.scatcuda.cpu_isa())\n" + (
        "for made in (t.programs.of_signals, t.programs.of_groups):\n"
        "    for seed in range(20):\n"
        "        t.check(seed, torch.float32, made), t.check(seed, torch.float64, made)"
    )
    places = [str(Path(__file__).parent), str(Path(scatcuda.__file__).parents[1])]
    done = subprocess.run(
        [sys.executable, "-c", command],
        env=os.environ | {"SCATCUDA_CPU_ISA": isa, "PYTHONPATH": os.pathsep.join(places)},
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [isa]


@pytest.mark.parametrize(("log", "dtype"), [(17, FLOAT64), (21, FLOAT32), (22, FLOAT64)])
def test_long_signals(log: int, dtype: torch.dtype) -> None:
    """Whose halves have rows and columns longer than two passes take."""
    side = 2**log
    keep = side // 16
    b = Builder(side)
    U = b.wavelet(X, b.set(1, side))
    b.average(U, b.matrix(4, side))
    program = b.build()
    psi = torch.zeros(side, dtype=FLOAT64)
    psi[keep : 3 * keep] = torch.hann_window(2 * keep, dtype=FLOAT64)
    P = torch.zeros(4, side, dtype=FLOAT64)
    P[range(4), [3, side // 2, side - 1, 12345]] = 1
    packed = pack_program(program, [psi[None]], [P], dtype)
    x = torch.randn(1, side, dtype=dtype, generator=torch.Generator().manual_seed(0))
    exact = x.double().requires_grad_()
    U = torch.fft.ifft(torch.fft.fft(exact) * psi).abs() @ P.T
    (to_x,) = torch.autograd.grad(U.sum(), exact)
    S = ops.scattering(x, *packed, program.text)
    g = torch.ones_like(S)
    back = torch.ops.scatcuda.scattering_backward(g, x, *packed, program.text, True, False, False)
    assert error(S[0], U.detach()) <= BOUNDS[dtype]
    assert error(back[0], to_x) <= BOUNDS[dtype]


def test_the_interpreter_need_not_write_turned_rows_out(monkeypatch: pytest.MonkeyPatch) -> None:
    b = Builder(Axis(90, "r", 20, 18))
    b.average(X, b.matrix(7, 128, 11))
    b.average(b.wavelet(X, b.set(3, 128), 2), b.matrix(7, 64, 5))
    text = b.build(7).text
    packed = programs.random_tables(text, 3)
    x = torch.randn(2, 90, dtype=FLOAT64)
    g = torch.randn(2, 4, 7, dtype=FLOAT64)
    flags = True, True, True
    S = reference.scattering(x, *packed, text)
    gradients = reference.scattering_backward(g, x, *packed, text, *flags)
    monkeypatch.setattr(reference, "_LONG", 0)
    assert error(reference.scattering(x, *packed, text), S) <= 1e-14
    again = reference.scattering_backward(g, x, *packed, text, *flags)
    for ours, theirs in zip(again[:2], gradients[:2], strict=True):
        assert error(ours, theirs) <= 1e-13


def test_averages_alone() -> None:
    """Without wavelets there is nothing to walk along, however many signals there are."""
    for outputs in (0, 3):
        b = Builder(Axis(20, "r", 6, 6))
        b.average(X, b.matrix(outputs, 32, 8)) if outputs else b.mean(X)
        text = b.build().text
        packed = programs.random_tables(text, 1, FLOAT64)
        for B in (1, 9, 40):
            x = torch.randn(B, 20, dtype=FLOAT64)
            S = reference.scattering(x, *packed, text)
            assert error(ops.scattering(x, *packed, text), S) <= 1e-14
            g = torch.randn(S.shape, dtype=FLOAT64)
            flags = True, False, False
            ours = torch.ops.scatcuda.scattering_backward(g, x, *packed, text, *flags)[0]
            assert (
                error(ours, reference.scattering_backward(g, x, *packed, text, *flags)[0]) <= 1e-14
            )
