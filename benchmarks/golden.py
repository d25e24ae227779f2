"""The golden record of the native CPU engine: outputs and gradients that a change to it must give
again, bit for bit.

    python -m benchmarks.golden record FILE
    python -m benchmarks.golden replay FILE [--cases PATTERN]

`record` writes about 120 problems, their filters packed as the engine reads them, their images and
the gradients of their outputs, and what the engine that is built here makes of them: the SHA-256 of
each output and each gradient, with every instruction set, on one, two and three threads. `replay`
computes each case from what the record has of it, or those whose names have the regex PATTERN, and
prints those of which a bit differs. A record has no cases of instruction sets that the processor
lacks, and where it has some that the processor of the replay lacks, they count as different.
Compiler and options must be those of the build that was recorded: others may round differently.

Exit status 1: a case differs, or there is none.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import multiprocessing
import os
import random
import re
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np
import torch
from torch import Tensor

from scatcuda import config, filters, ops
from scatcuda.plan import Packed, Plan, pack, pack_phi, pack_psi, whole_support
from scatcuda.typing import BankName, Instructions

THREADS = (1, 2, 3)
SIZES = ((8, 8), (9, 54), (12, 20), (17, 72), (23, 29), (32, 32), (33, 47), (64, 70), (100, 100))
ANGLES = (1, 2, 3, 4, 5, 8, 9, 12, 16)
COUNT = 60  # problems, each in float32 and in float64
MOST_WORK = 1 << 21  # of a problem that is drawn: pixels of all its planes


class Problem(NamedTuple):
    """What the engine is given."""

    name: str
    J: int
    L: int
    max_order: int
    M: int
    N: int
    pre_pad: bool
    psi: Tensor  # this and the next three as in plan.Packed
    psi_support: Tensor
    phi: Tensor
    phi_support: Tensor
    x: Tensor
    grad: Tensor  # of the output


# --- the engine -------------------------------------------------------------------------------


def engine_arguments(p: Problem) -> tuple[Tensor, Tensor, Tensor, Tensor, str]:
    """The filters, of which a support table says in entries where they begin, and the program."""
    plan = Plan(p.J, p.L, p.max_order, p.M, p.N, p.pre_pad)
    support = p.psi_support.clone()
    support[:, 0] *= plan.lanes
    return p.psi, support, p.phi, p.phi_support, plan.program


def forward(p: Problem) -> Tensor:
    return ops.scattering(p.x, *engine_arguments(p))


def backward(p: Problem, with_filters: bool) -> Sequence[Tensor]:
    """The gradients of x, psi and phi, the last two empty without the filters."""
    operator = torch.ops.scatcuda.scattering_backward.default
    wanted = True, with_filters, with_filters
    return operator(p.grad, p.x, *engine_arguments(p), *wanted, "auto", 0)


CALLS: dict[str, Callable[[Problem], Sequence[Tensor]]] = {
    "output": lambda p: [forward(p)],
    "gradient of x": lambda p: backward(p, False)[:1],
    "gradients of x, psi, phi": lambda p: backward(p, True),
}


# --- the problems -----------------------------------------------------------------------------


class Choice(NamedTuple):
    """A problem but for its numbers; ``M N`` before padding."""

    M: int
    N: int
    J: int
    L: int
    max_order: int = 2
    batch: int = 1
    pre_pad: bool = False
    bank: BankName = "morlet"
    whole: bool = False  # as learned filters are: nowhere negligible

    @property
    def plan(self) -> Plan:
        shape = self.M, self.N
        sides = filters.padded_shape(shape, self.J) if self.pre_pad else shape
        return Plan(self.J, self.L, self.max_order, *sides, self.pre_pad)

    def work(self) -> int:
        p, planes = self.plan, [0] * self.J  # how many planes of a resolution
        planes[0] += 1
        for path in p.paths[1:]:
            planes[path[-1] // self.L] += 1
        areas = (rows * columns for rows, columns in map(p.sides, range(self.J)))
        return self.batch * sum(n * area for n, area in zip(planes, areas, strict=True))


# Every value of each property, and the engine's special cases
HANDPICKED = (
    Choice(8, 8, 1, 1),
    Choice(8, 8, 3, 4, batch=17, bank="tight"),  # more images than sums of the filters' gradients
    Choice(8, 8, 2, 16, max_order=0, batch=5, pre_pad=True),
    Choice(8, 8, 3, 5, batch=2, whole=True),
    Choice(33, 47, 1, 2, batch=2, pre_pad=True, bank="tight"),
    Choice(33, 47, 2, 3, batch=5),
    Choice(33, 47, 3, 9, bank="tight"),
    Choice(33, 47, 5, 8, batch=2, pre_pad=True),
    Choice(33, 47, 4, 12, max_order=1, batch=2, whole=True),
    Choice(32, 32, 2, 8, batch=5),
    Choice(32, 32, 3, 16, batch=2, bank="tight"),
    Choice(32, 32, 4, 5, max_order=1, batch=5, bank="tight"),
    Choice(32, 32, 5, 4, pre_pad=True),
    Choice(32, 32, 2, 20),  # two of the widest vectors
    Choice(64, 70, 1, 8, max_order=0, batch=2, bank="tight"),
    Choice(64, 70, 2, 4, batch=17),  # images enough for every thread to have its own
    Choice(64, 70, 3, 8, batch=2, bank="tight"),
    Choice(64, 70, 4, 1, batch=5, pre_pad=True),
    Choice(64, 70, 2, 3, batch=5, whole=True),
    Choice(100, 100, 1, 12, bank="tight"),
    Choice(100, 100, 3, 8, batch=2),
    Choice(100, 100, 4, 2, batch=5, pre_pad=True, bank="tight"),
    Choice(100, 100, 5, 5, batch=2),
    Choice(100, 100, 5, 9, max_order=1, batch=5, whole=True),  # room for fewer sums than images
)


def choices() -> list[Choice]:
    """The handpicked ones and as many more, drawn, as make them COUNT."""
    rng, found = random.Random(1), dict.fromkeys(HANDPICKED)
    while len(found) < COUNT:
        M, N = rng.choice(SIZES)
        L = rng.choice(ANGLES)
        drawn = Choice(
            M,
            N,
            J=rng.choice([J for J in range(1, 6) if min(M, N) >> J]),
            L=L,
            max_order=rng.choice((0, 1, 1, 2, 2, 2, 2, 2)),
            batch=rng.choice((1, 2, 5)),
            pre_pad=rng.random() < 0.25,
            bank="morlet" if L == 1 else rng.choice(get_args(BankName)),  # one angle is not tight
            whole=rng.random() < 0.15,
        )
        if drawn.work() <= MOST_WORK:
            found[drawn] = None
    return list(found)


def problem(choice: Choice, dtype: torch.dtype, seed: int) -> Problem:
    """Its filters are kept, not made again: their last bits depend on the number of threads of the
    libraries that make them."""
    rng, p = np.random.default_rng(seed), choice.plan

    def normal(*shape: int) -> Tensor:
        return torch.from_numpy(rng.standard_normal(shape))

    bank = filters.BUILT_IN[choice.bank](p.padded, p.J, p.L)
    if choice.whole:
        psi = bank.psi + 1e-3 * normal(*bank.psi.shape)
        phi = pack_phi(filters.separable_factors(bank.phi), p)
        boxes, bands = whole_support(p)
        packed = Packed(pack_psi(psi, p).to(dtype), boxes, phi.to(dtype), bands)
    else:
        packed = pack(bank, p, dtype)
    x, grad = normal(choice.batch, p.M, p.N), normal(choice.batch, p.channels, *p.output)
    if choice.batch > 2:
        x[-1] = 0  # where the modulus has no derivative
    name = (
        f"{str(dtype).removeprefix('torch.')} {choice.batch}x{p.M}x{p.N} J={p.J} L={p.L} "
        f"order={p.max_order} {choice.bank}{' pre_pad' * p.pre_pad}{' whole' * choice.whole}"
    )
    constants = (p.J, p.L, p.max_order, p.M, p.N, p.pre_pad)
    return Problem(name, *constants, *packed, x.to(dtype), grad.to(dtype))


# --- record and replay ------------------------------------------------------------------------

Hashes = dict[str, list[str]]  # of the tensors of a case


def work(file: Path, isa: Instructions, pattern: str) -> Hashes:
    """The cases of an instruction set whose names have the pattern, in a process that was asked to
    use it; none where it cannot."""
    if config.cpu_isa() != isa:
        return {}
    problems = [Problem(**fields) for fields in torch.load(file)["problems"]]
    found = {}
    for threads, p, (what, call) in itertools.product(THREADS, problems, CALLS.items()):
        case = f"{isa} {p.name}, threads={threads}, {what}"
        if re.search(pattern, case):
            torch.set_num_threads(threads)
            found[case] = [hashed(tensor) for tensor in call(p)]
    return found


def hashed(tensor: Tensor) -> str:
    return hashlib.sha256(tensor.contiguous().numpy().tobytes()).hexdigest()


def compute(file: Path, isas: Sequence[Instructions], pattern: str = "") -> Hashes:
    """The same with each of some instruction sets."""
    found: Hashes = {}
    for isa in isas:
        os.environ["SCATCUDA_CPU_ISA"] = isa  # which a process reads once
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
            found |= process.submit(work, file, isa, pattern).result()
    return found


def record(file: Path) -> int:
    dtypes = (torch.float32, torch.float64)
    problems = [problem(c, dtype, i) for i, c in enumerate(choices()) for dtype in dtypes]
    made: dict[str, Any] = {"problems": [p._asdict() for p in problems], "cases": {}}
    torch.save(made, file)
    made["cases"] = compute(file, get_args(Instructions))
    torch.save(made, file)
    count = Counter(map(isa_of, made["cases"]))
    each = ", ".join(f"{isa} {count[isa]}" for isa in get_args(Instructions))
    print(f"{len(problems)} problems, {count.total()} cases ({each}), {file.stat().st_size} bytes")
    return 0


def replay(file: Path, pattern: str) -> int:
    recorded: Hashes = torch.load(file)["cases"]
    wanted = {case: hashes for case, hashes in recorded.items() if re.search(pattern, case)}
    isas = [isa for isa in get_args(Instructions) if isa in map(isa_of, wanted)]
    found = compute(file, isas, pattern)
    differ = [case for case, hashes in wanted.items() if found.get(case) != hashes]
    for case in differ:
        print(f"{'differs' if case in found else 'cannot be computed here'}: {case}")
    print(f"{len(wanted)} cases, {len(differ)} differ")
    return 1 if differ or not wanted else 0


def isa_of(case: str) -> str:
    return case.split()[0]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.golden", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("record", "replay"):
        commands.add_parser(name).add_argument("file", type=Path)
    again = commands.choices["replay"]
    again.add_argument("--cases", default="", help="those whose names have this regex")
    options = parser.parse_args(arguments)
    if options.command == "record":
        return record(options.file)
    return replay(options.file, options.cases)


if __name__ == "__main__":
    sys.exit(main())
