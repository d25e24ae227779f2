"""Signals of one axis whose sides are powers of two, which the CPU engine cuts into pieces
(csrc/cpu/signals), against the interpreter in float64."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import programs
import pytest
import torch
from torch import Tensor

import scatcuda
from scatcuda import limits, ops
from scatcuda.ops import reference
from scatcuda.program import Axis, Builder, Program, X
from scatcuda.program.packing import Packed, pack_program

FLOAT32, FLOAT64 = torch.float32, torch.float64
BOUNDS = {FLOAT32: 2e-6, FLOAT64: 1e-14}
INSTRUCTION_SETS = ["baseline", "avx2", "avx512"]


def problem(seed: int, dtype: torch.dtype) -> tuple[Program, Packed]:
    """Wavelets to the fourth order, in any band, and every kind of average."""
    rng = random.Random(seed)
    side = 2 ** rng.randint(3, 11)
    before, after = rng.choice([(0, 0), (side // 4, side // 3), (1, 0)])
    b = Builder(Axis(side - before - after, rng.choice("rszp"), before, after) if before else side)
    outputs = rng.choice([0, 1, 3, 8, 13])
    matrices: dict[int, int] = {}

    def average(source: int) -> None:
        (grid,) = b.grid(source)
        if not outputs:
            return b.mean(source)
        if grid not in matrices or rng.random() < 0.2:
            matrices[grid] = b.matrix(outputs, grid, rng.choice([0, 1, 2, 5, grid]))
        b.average(source, matrices[grid])
        return None

    def grow(source: int, level: int, budget: int) -> None:
        for i in range(rng.randint(1, 2)):
            (grid,) = b.grid(source)
            fold = rng.choice([f for f in (1, 2, 4, 8) if grid // f >= 8])
            step = b.wavelet(source, b.set(rng.randint(1, max(1, budget)), grid), fold)
            if i == 0 or rng.random() < 0.7:
                average(step)
            if level < 4 and rng.random() < 0.5:
                grow(step, level + 1, budget // 2)

    if rng.random() < 0.7:
        average(X)
    grow(X, 1, 11)
    program = b.build()
    return program, narrowed(program, programs.random_tables(program.text, seed, dtype), rng)


def narrowed(program: Program, packed: Packed, rng: random.Random) -> Packed:
    """Some filters of a set keep less than the others, or nothing."""
    boxes = packed.psi_support.view(-1, 3).tolist()
    for several, (first, head, tail) in zip(program.sets, boxes, strict=True):
        lanes, length = limits.lanes(several.count), head + several.sides[0] - tail
        table = packed.psi[first : first + lanes * length].view(length, lanes)
        band = [*range(head, length), *range(head)]  # its places in the table, where [0, head) lies
        for f in range(several.count):
            low, high = sorted(rng.randint(0, length) for _ in "ab")
            if rng.random() < 0.6:
                table[band[:low] + band[high:], f] = 0
    return packed


def error(found: Tensor, wanted: Tensor) -> float:
    scale = wanted.abs().max() + torch.finfo(FLOAT64).tiny
    return float((found.double() - wanted).abs().max() / scale)


def check(seed: int, dtype: torch.dtype) -> None:
    program, packed = problem(seed, dtype)
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
    assert error(grad, to_x) <= 2 * BOUNDS[dtype], (seed, text)
    for other in found[1:]:
        assert all(map(torch.equal, other, found[0])), (seed, text)
    for i in range(B):  # what lies beside a signal changes nothing
        assert torch.equal(ops.scattering(x[i : i + 1], *packed, text)[0], S[i]), (seed, i, text)


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("seeds", [range(0, 40), range(40, 80)])
def test_random_signals(dtype: torch.dtype, seeds: range) -> None:
    for seed in seeds:
        check(seed, dtype)


@pytest.mark.everywhere
@pytest.mark.parametrize("isa", INSTRUCTION_SETS)
def test_instruction_sets(isa: str) -> None:
    if INSTRUCTION_SETS.index(isa) > INSTRUCTION_SETS.index(scatcuda.cpu_isa()):
        pytest.skip(f"{isa} is beyond {scatcuda.cpu_isa()}, the best that may be used here")
    command = "import torch, test_signal_programs as t; print(t.scatcuda.cpu_isa())\n" + (
        "for seed in range(20): t.check(seed, torch.float32), t.check(seed, torch.float64)"
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
