"""Problems for the engine without PyTorch: what ``native/run_engine.cpp`` is given, and whether its
results are those of the reference in float64.
"""

from __future__ import annotations

import os
import random
import struct
import subprocess
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from programs import of_signals, random_program, random_tables

from scatcuda import banks
from scatcuda.banks.packing import pack
from scatcuda.ops import reference
from scatcuda.program import parse, plan
from scatcuda.program.packing import Packed

SCATTERING, FILTER_FOLD, MODULUS, SCATTERING_BACK, FILTER_FOLD_BACK, MODULUS_BACK, RACE = range(7)


REALS = {"float": (np.float32, 1e-6), "double": (np.float64, 1e-13)}  # and relative tolerance


class Case(NamedTuple):
    """A scattering of images, ``M N`` their sides."""

    M: int
    N: int
    J: int
    L: int = 8
    max_order: int = 2
    pre_pad: bool = False
    B: int = 1
    threads: int = 1
    bank: str = "morlet"

    def __str__(self) -> str:
        pre_pad, bank = "-pre_pad" * self.pre_pad, f"-{self.bank}" * (self.bank != "morlet")
        return (
            f"{self.M}x{self.N}-J{self.J}-L{self.L}-order{self.max_order}-B{self.B}"
            f"-threads{self.threads}{pre_pad}{bank}"
        )


class Any(NamedTuple):
    """A random program."""

    seed: int
    B: int = 2
    threads: int = 1
    signals: bool = False  # of which the engine has a walk of its own

    def __str__(self) -> str:
        kind = "signals" if self.signals else "any"
        return f"{kind}{self.seed}-B{self.B}-threads{self.threads}"


CASES: list[Case | Any] = [
    Case(32, 32, 2, B=5),
    Case(17, 29, 1, L=1),  # odd prime sides
    Case(8, 8, 3, L=3),  # 2^J = side: one output pixel
    Case(37, 32, 2, L=12),  # padded 44 × 40: factor 11
    Case(4, 97, 2, L=1),  # thin
    Case(16, 40, 4, L=3),
    Case(34, 38, 1, L=3, pre_pad=True),  # factors 17 and 19, without a butterfly of their own
    Case(46, 62, 1, L=17, max_order=1, pre_pad=True),  # 23 and 31; more angles than lanes
    Case(15, 12, 2, max_order=0, B=5),
    Case(24, 40, 3, L=3, bank="random"),  # wavelets that fill the plane
    Case(48, 32, 3, L=8, bank="boxes"),  # wavelets in boxes of any size and place, or nowhere
    Case(33, 20, 2, B=0),
    # threads over images
    Case(16, 16, 2, B=5, threads=3),
    Case(64, 61, 2, max_order=1, B=13, threads=3),
    Case(15, 12, 2, max_order=0, B=5, threads=3),
    Case(33, 20, 2, B=0, threads=3),
    # threads share each image: see share_signals() in csrc/cpu/team.h
    Case(64, 60, 2, threads=3),
    Case(59, 73, 3, L=3, B=5, threads=3),
    Case(60, 60, 2, L=17, threads=3),
    Case(160, 62, 1, L=12, max_order=1, pre_pad=True, threads=3),
    Case(96, 64, 3, L=8, bank="boxes", threads=3),
    *(Any(seed) for seed in range(16)),
    *(Any(seed, B, threads=3) for seed in range(16, 20) for B in (1, 4)),
    # of the others W is hardly more than rounding somewhere, and so then is its gradient
    *(
        Any(seed, B, threads, signals=True)
        for seed, (B, threads) in zip(
            [0, 1, 2, 3, 5, 6, 7, 9, 11, 12, 13, 15],
            [(1, 1), (2, 1), (5, 1), (9, 1), (1, 3), (5, 3)] * 2,
            strict=True,
        )
    ),
]


PARALLEL = [case for case in CASES if case.threads > 1]


class Stage(NamedTuple):
    """One stage alone: the operation, its sizes (see run_engine.cpp) and the threads."""

    operation: int
    sizes: tuple[int, ...]
    threads: int = 1


STAGES = [
    Stage(FILTER_FOLD, (2, 3, 12, 20, 2), 3),
    Stage(FILTER_FOLD, (1, 1, 7, 13, 1)),
    Stage(FILTER_FOLD, (3, 5, 15, 9, 3), 3),
    Stage(MODULUS, (0,)),
    Stage(MODULUS, (1,)),
    Stage(MODULUS, (37,)),
    Stage(MODULUS, (3 * 4096 + 5,), 3),
    Stage(FILTER_FOLD_BACK, (2, 3, 12, 20, 2), 3),
    Stage(FILTER_FOLD_BACK, (3, 5, 15, 9, 3), 3),
    Stage(MODULUS_BACK, (37,)),
    Stage(MODULUS_BACK, (3 * 4096 + 5,), 3),
]


def write_problem(
    path: Path,
    operation: int,
    real: str,
    threads: int,
    sizes: Sequence[int],
    arrays: Sequence[np.ndarray],
) -> None:
    number = REALS[real][0]().itemsize
    header = [operation, number, threads, len(sizes), *sizes, len(arrays)]
    parts = [b"scatter1", struct.pack(f"<{len(header)}q", *header)]
    for array in arrays:
        parts += [struct.pack("<2q", array.itemsize, array.size), array.tobytes()]
    path.write_bytes(b"".join(parts))


def run(program: Path, isa: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs ``folder/problem``; its result, if any, is ``folder/result``."""
    done = execute([program, folder / "problem", folder / "result"], isa)
    if done.returncode == 0 and done.stdout.strip() != isa:
        pytest.skip(f"this processor has no {isa}")
    return done


def execute(command: Sequence[object], isa: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {
        "SCATCUDA_CPU_ISA": isa,
        "ASAN_OPTIONS": "detect_leaks=0",  # needs rights that containers withhold
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "TSAN_OPTIONS": "halt_on_error=1",
    }
    done = subprocess.run(
        [str(part) for part in command],
        env=environment, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    if "unexpected memory mapping" in done.stderr:
        pytest.skip("ThreadSanitizer of this compiler cannot run on this kernel")
    return done


def result(program: Path, isa: str, real: str, folder: Path) -> np.ndarray:
    done = run(program, isa, folder)
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stderr[-6000:]}"
    assert done.stderr == ""
    return np.fromfile(folder / "result", dtype=REALS[real][0]).astype(np.float64)


class Problem(NamedTuple):
    text: str
    packed: Callable[[torch.dtype], Packed]
    x: torch.Tensor  # numbers that float32 holds exactly,
    S: torch.Tensor  # and what is made of them in float64
    kinds: np.ndarray  # of channels, each of which is compared by itself


@cache
def problem(case: Case | Any) -> Problem:
    if isinstance(case, Any):
        text = random_program(random.Random(case.seed))
        packed = partial(random_tables, text, case.seed)
        if case.signals:
            text = of_signals(case.seed)[0].text
            packed = lambda dtype: of_signals(case.seed, dtype)[1]  # noqa: E731
        seed, kinds = case.seed, np.zeros(parse(text).channels)
    else:
        p = plan.Plan(case.J, case.L, case.max_order, case.M, case.N, case.pre_pad)
        text, seed, kinds = p.program, sum(case[:4]), p.meta()["order"]
        g = torch.Generator().manual_seed(seed)
        bank = banks.morlet_bank(p.padded, case.J, case.L)
        if case.bank != "morlet":
            psi = torch.randn(bank.psi.shape, generator=g)
            if case.bank == "boxes":
                psi *= boxes(case, p, g)
            bank = banks.FilterBank(psi, bank.phi)
        packed = partial(pack, bank, p)
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(case.B, *parse(text).signal, generator=g)
    S = reference.scattering(x.double(), *packed(torch.float64), text)
    return Problem(text, packed, x, S, kinds)


def boxes(case: Case, p: plan.Plan, g: torch.Generator) -> torch.Tensor:
    """Masks ``[J, 1, Mp, Np]`` of rows and columns around frequency 0, the last of them empty."""
    masks = torch.zeros(case.J, 1, *p.padded)
    for mask in masks[:-1, 0]:
        head, left = (int(torch.randint(0, side, (), generator=g)) for side in p.padded)
        tail, right = (
            int(torch.randint(low, side + 1, (), generator=g))
            for low, side in zip((head, left), p.padded, strict=True)
        )
        mask[:] = 1
        mask[head:tail] = 0
        mask[:, left:right] = 0
    return masks


def write_case(case: Case | Any, real: str, folder: Path) -> None:
    made = problem(case)
    write_problem(
        folder / "problem", SCATTERING, real, case.threads, (case.B,), arrays_of(made, real)
    )


def arrays_of(made: Problem, real: str) -> list[np.ndarray]:
    dtype = torch.float32 if real == "float" else torch.float64
    text = np.frombuffer(made.text.encode(), np.uint8)
    return [text, *(t.numpy() for t in (made.x.to(dtype), *made.packed(dtype)))]


def tolerance_of(case: Case | Any, real: str) -> float:
    """Of random filters sums cancel, and more than of an image's."""
    return REALS[real][1] * (20 if isinstance(case, Any) else 1)


def assert_close(ours: np.ndarray, expected: torch.Tensor, tolerance: float) -> None:
    """Relative in the 2-norm."""
    assert ours.size == expected.numel()
    difference = np.linalg.norm(ours - expected.numpy().ravel())
    assert difference <= tolerance * np.linalg.norm(expected.numpy())


def check_case(program: Path, isa: str, real: str, case: Case | Any, folder: Path) -> None:
    made = problem(case)
    write_case(case, real, folder)
    ours = result(program, isa, real, folder).reshape(made.S.shape)
    for kind in np.unique(made.kinds):  # order 0 is much the largest
        c = made.kinds == kind
        expected = made.S[:, torch.from_numpy(c)]
        assert_close(ours[:, c].ravel(), expected, tolerance_of(case, real))


def check_stage(program: Path, isa: str, real: str, stage: Stage, folder: Path) -> None:
    dtype, tolerance = REALS[real]
    rng = np.random.default_rng(0)

    def numbers(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(dtype)

    def wide(array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(array.astype(np.float64))

    def complex_of(array: np.ndarray) -> torch.Tensor:
        return torch.complex(*wide(array).unbind(-1))

    if stage.operation in (FILTER_FOLD, FILTER_FOLD_BACK):
        B, L, M, N, k = stage.sizes
        z, psi, g = numbers(B, M, N, 2), numbers(L, M, N), numbers(B, L, M // k, N // k, 2)
        inputs = (complex_of(z), wide(psi), k)
        if stage.operation == FILTER_FOLD:
            arrays, found = [z, psi], [reference.filter_fold(*inputs)]
        else:
            arrays = [z, psi, g]
            found = [*reference.filter_fold_backward(complex_of(g), *inputs, True, True)]
    else:
        z, g = numbers(*stage.sizes, 2), numbers(*stage.sizes)
        if stage.operation == MODULUS:
            arrays, found = [z], [reference.modulus(complex_of(z))]
        else:
            arrays, found = [z, g], [reference.modulus_backward(wide(g), complex_of(z))]
    parts = [torch.view_as_real(f) if f.is_complex() else f for f in found]
    expected = torch.cat([part.flatten() for part in parts])
    write_problem(folder / "problem", stage.operation, real, stage.threads, stage.sizes, arrays)
    assert_close(result(program, isa, real, folder), expected, tolerance)


def check_gradient(
    program: Path, isa: str, real: str, case: Case | Any, wanted: tuple[bool, ...], folder: Path
) -> None:
    made = problem(case)
    dtype = REALS[real][0]
    g = torch.randn(made.S.shape, generator=torch.Generator().manual_seed(1))
    given = [*arrays_of(made, real), g.numpy().astype(dtype)]
    sizes = (case.B, *wanted)
    write_problem(folder / "problem", SCATTERING_BACK, real, case.threads, sizes, given)
    packed = made.packed(torch.float32 if real == "float" else torch.float64)
    wide = [t.double() if t.is_floating_point() else t for t in packed]
    found = reference.scattering_backward(g.double(), made.x.double(), *wide, made.text, *wanted)
    ours = result(program, isa, real, folder)
    for part, w in zip(found, wanted, strict=True):
        if w:
            assert_close(ours[: part.numel()], part, 3 * tolerance_of(case, real))
            ours = ours[part.numel() :]
    assert ours.size == 0
