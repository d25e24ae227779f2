"""Programs of any rank and depth with filters to match, drawn from a seed."""

from __future__ import annotations

import random
from typing import NamedTuple

import torch
from torch import Tensor

from scatcuda.arguments import ArgumentError
from scatcuda.program import Axis, Builder, Program, X
from scatcuda.program.packing import Packed, pack_program

SIZES = {1: (12, 30, 64, 96), 2: (6, 9, 12, 20), 3: (4, 6, 8)}
POWERS = ((1,), (2,), (0.5, 1, 2), (3, 1.5))
LONG = -1  # in the place of a seed: lines so long that a GPU's blocks share their sums
MOST_CHANNELS = 4000


class Case(NamedTuple):
    program: Program
    packed: Packed  # in the dtype of the case
    x: Tensor


def case(seed: int, dtype: torch.dtype, gathering: bool = False, batch: int = 2) -> Case:
    """The same for both dtypes, but for rounding."""
    rng, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    p = long_lines() if seed == LONG else program(rng, gathering)

    def normal(*sides: int) -> Tensor:
        return torch.randn(*sides, dtype=torch.float64, generator=generator)

    psi = []
    for several in p.sets:
        filters = normal(several.count, *several.sides) / 10
        for axis, side in enumerate(several.sides):  # boxes with something left out
            if side > 2 and rng.random() < 0.5:
                low = rng.randrange(side)
                filters.narrow(axis + 1, low, rng.randrange(low, side) - low).zero_()
        psi.append(filters)
    matrices = []
    for m in p.matrices:
        shape = (m.inputs,) if m.every else (m.outputs, m.inputs)
        matrices.append(normal(*shape) * (normal(*shape) < 0.3))  # and bands
    return Case(p, pack_program(p, psi, matrices, dtype), normal(batch, *p.signal).to(dtype))


def program(rng: random.Random, gathering: bool = False) -> Program:
    """With groups and pairs where `gathering`."""
    while True:
        try:
            p = _Drawn(rng, gathering).build()
        except ArgumentError:  # without a channel
            continue
        if p.channels <= MOST_CHANNELS:
            return p


def long_lines() -> Program:
    b = Builder(Axis(8200))
    b.powers(X, *POWERS[2])
    b.mean(b.wavelet(X, b.set(1, 8200), [1], "modulus"))
    return b.build()


class _Drawn:
    def __init__(self, rng: random.Random, gathering: bool) -> None:
        self.rng, self.gathering = rng, gathering
        rank = rng.choice((1, 2, 2, 3))
        self.b = Builder(*(self.axis(rng.choice(SIZES[rank])) for _ in range(rank)))
        self.flat = gathering or rng.random() < 0.5
        self.sides = [] if self.flat else [rng.choice((1, 2, 3)) for _ in range(rank)]
        self.matrices: dict[tuple[int, int], int] = {}

    def axis(self, size: int) -> Axis:
        pad = self.rng.choice(" rszp") if self.rng.random() < 0.6 else " "
        if pad == " ":
            return Axis(size)
        most = min(size, 2 * size - 2)
        return Axis(size, pad, self.rng.randrange(most + 1), self.rng.randrange(most + 1))

    def build(self) -> Program:
        rng, b = self.rng, self.b
        if rng.random() < 0.7:
            self.average(X)
        layer, steps = [X], []
        for depth in range(rng.choice((0, 1, 2, 3, 4))):
            longer = []
            for source in layer:
                for _ in range(rng.choice((1, 1, 2))):
                    steps.append(self.wavelet(source, depth))
                    if b.steps[steps[-1]].rho in ("modulus", "norm"):
                        if rng.random() < 0.85:
                            self.average(steps[-1])
                        longer.append(steps[-1])
            layer = longer[:3]
        if self.gathering and steps:
            for _ in range(rng.choice((1, 2))):
                steps.append(self.group(steps))
            for _ in range(rng.choice((0, 1, 2))):
                self.pair([X, *steps])
        return b.build(*self.sides)

    def wavelet(self, source: int, depth: int) -> int:
        rng, grid = self.rng, self.b.grid(source)
        fold = [rng.choice([k for k in (1, 2, 3, 4) if side % k == 0]) for side in grid]
        complex_too = ("none", "phase:2", "phase:0") if self.gathering else ()
        rho = rng.choice(("modulus", "modulus", "norm", *complex_too))
        count = rng.choice((1, 2, 3, 4, 5, 7, 8, 9) if depth < 2 else (1, 2, 3))
        return self.b.wavelet(
            source, self.b.set(count, *grid), fold, rho, [rng.random() < 0.3 for _ in grid]
        )

    def average(self, source: int) -> None:
        rng, drawn = self.rng, self.rng.random()
        if self.flat and drawn < 0.25:
            self.b.mean(source)
        elif self.flat and drawn < 0.5:
            self.b.powers(source, *rng.choice(POWERS))
        else:
            grid = self.b.grid(source)
            outputs = self.sides or [rng.choice((1, 2)) for _ in grid]
            self.b.average(source, *map(self.matrix, outputs, grid))

    def matrix(self, outputs: int, inputs: int) -> int:
        if (outputs, inputs) not in self.matrices or self.rng.random() < 0.2:
            turned = self.rng.choice((0, 1, 2, inputs // 2)) if len(self.b.axes) == 1 else 0
            self.matrices[outputs, inputs] = self.b.matrix(outputs, inputs, turned)
        return self.matrices[outputs, inputs]

    def group(self, steps: list[int]) -> int:
        rng, b = self.rng, self.b
        grid = b.grid(rng.choice(steps))
        alike = [step for step in steps if b.grid(step) == grid]
        sources = rng.sample(alike, rng.randrange(1, len(alike) + 1))
        planes = range(sum(b._of(source).count for source in sources))
        length, groups = rng.choice((3, 4, 6)), rng.choice((1, 2))

        def entry() -> int | None:
            plane = rng.choice(planes)
            return rng.choice((None, ~plane, plane, plane))

        table = [[entry() for _ in range(length)] for _ in range(groups)]
        if length % 2 == 0 and rng.random() < 0.5:  # as of angles, half a turn and its conjugate
            halves = [row[: length // 2] for row in table]
            table = [[*half, *(None if e is None else ~e for e in half)] for half in halves]
        filters = b.set(rng.choice((1, 2, 3)), length + rng.choice((0, 0, 1, 2, 4)))
        every = rng.choice([s for s in (1, 2, 3) if length % s == 0])
        made = b.group(sources, table, filters, every, rng.choice(("modulus", "none", "mean")))
        if b.steps[made].rho != "none":
            self.average(made)
        return made

    def pair(self, steps: list[int]) -> None:
        rng, b = self.rng, self.b
        a = rng.choice(steps)
        other = rng.choice([step for step in steps if b.grid(step) == b.grid(a)])
        counts = [1 if step == X else b._of(step).count for step in (a, other)]
        listed = [tuple(map(rng.randrange, counts)) for _ in range(4)]
        grid = b.grid(a)
        # weights may have fewer bins than the planes
        bins = tuple(max(1, side - (a + other + 2) % 3) for side in grid)
        weight = b.set(rng.choice((1, 2)), *bins) if rng.random() < 0.5 else None
        shifts = [tuple(map(rng.randrange, grid)) for _ in range(rng.choice((0, 1, 2)))]
        if weight is not None:
            shifts = [tuple(h % n for h, n in zip(by, bins, strict=True)) for by in shifts]
        b.pair(
            a,
            other,
            None if counts[0] * counts[1] < 200 else listed,
            weight,
            shifts,
            rng.random() < 0.5,
        )
