"""The cascade of densities: solid harmonics of one degree on a path, the norm over their orders.

    U[j1, …] x = norm_m(… norm_m(x * psi_{j1 l m}) … ),      S = sums of U^q over the voxels

Source: M. Eickenberg et al., "Solid harmonic wavelet scattering for predictions of molecule
properties", J. Chem. Phys. 2018.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import limits
from ..arguments import ArgumentError
from .builder import Builder
from .images import Path
from .steps import Average, X
from .table import Program

_CALLER = "HarmonicScattering3D"


class Harmonics(NamedTuple):
    """A set of filters: of one degree and scale, on the grid that is kept at scale ``before``."""

    l: int
    j: int
    before: int


@dataclass(frozen=True)
class DensityPlan:
    """Which wavelets and paths. With ``fold`` a plane of scale ``j`` is kept at every ``2^j``-th
    voxel; ``all_orders``: the norm is over all orders ``m``, not over those of ``-l`` and ``l``."""

    J: int
    shape: tuple[int, int, int]
    L: int
    max_order: int
    powers: tuple[float, ...]
    order_0: bool
    all_orders: bool
    fold: bool

    def __post_init__(self) -> None:
        total = sum(math.comb(self.J + 1, k) for k in range(1, self.max_order + 1))
        rows = total * (self.L + 1) + 1
        limits.at_most(_CALLER, "paths times degrees times powers", rows * len(self.powers),
                       limits.CHANNELS)  # fmt: skip
        limits.at_most(_CALLER, "steps of paths times degrees", 2 * rows, limits.STEPS)
        lanes, voxels = limits.lanes(self.count(self.L)), math.prod(self.shape)
        told = f"the {lanes} lanes of L = {self.L} times {voxels} voxels"
        limits.at_most(_CALLER, told, lanes * voxels, limits.NUMBERS)
        if self.fold and any(side % (1 << self.J) for side in self.shape):
            raise ArgumentError(
                f"{_CALLER}: the sides of shape must be multiples of 2^J = {1 << self.J} where "
                f"planes are folded; got {self.shape}"
            )

    @cached_property
    def paths(self) -> tuple[Path, ...]:
        """``(j1, j2, …)``, increasing: shorter ones first, then sorted."""
        orders = range(1, self.max_order + 1)
        return tuple(path for k in orders for path in combinations(range(self.J + 1), k))

    def sides(self, j: int) -> tuple[int, int, int]:
        """Of what is kept at a scale."""
        a, b, c = (side >> j if self.fold else side for side in self.shape)
        return a, b, c

    def voxels(self, j: int) -> int:
        """Of the signal, that one kept at a scale stands for."""
        return 1 << 3 * j if self.fold else 1

    @property
    def each(self) -> NDArray[np.int64]:
        """By coefficient, the voxels of the signal that a kept one stands for."""
        width = len(self.powers)
        counts = [self.voxels(p[-1]) for p in self.paths for _ in range((self.L + 1) * width)]
        return np.array([1] * width * self.order_0 + counts, dtype=np.int64)

    @property
    def output(self) -> tuple[int, ...]:
        """``(paths, L + 1, powers)``; with ``order_0`` ``(1 + paths (L + 1), powers)``."""
        paths, degrees, powers = len(self.paths), self.L + 1, len(self.powers)
        return (1 + paths * degrees, powers) if self.order_0 else (paths, degrees, powers)

    def meta(self) -> dict[str, Any]:
        """See :meth:`scatcuda.HarmonicScattering3D.meta`."""
        degrees = range(self.L + 1)
        paths = list(self.paths)
        more: dict[str, Any] = {"key": paths}
        if self.order_0:
            keys = [(), *((*path, l) for path in paths for l in degrees)]
            more = {"l": np.array([np.nan, *(l for _ in paths for l in degrees)]), "key": keys}
            paths = [(), *(path for path in paths for _ in degrees)]
        j = np.full((len(paths), self.max_order), np.nan)
        for c, path in enumerate(paths):
            j[c, : len(path)] = path
        return {"order": np.array([len(path) for path in paths], dtype=np.int64), "j": j, **more}

    def count(self, l: int) -> int:
        """Filters of a degree."""
        return min(l, 1) + 1 if not self.all_orders else 2 * l + 1


class Densities(NamedTuple):
    """A program, and what its sets are."""

    program: Program
    sets: tuple[Harmonics, ...]


def densities(plan: DensityPlan) -> Densities:
    """The program: channels by path, degree and power, those of order 0 first."""
    b = Builder(*plan.shape)
    sets: dict[Harmonics, int] = {}
    at: dict[int, int] = {}  # channels of the steps that average
    width = len(plan.powers)
    first = width if plan.order_0 else 0
    index = {path: i for i, path in enumerate(plan.paths)}

    def summed(source: int, channel: int) -> None:
        at[len(b.steps)] = channel
        b.powers(source, *plan.powers)

    if plan.order_0:
        summed(X, 0)

    def longer(source: int, path: Path, l: int) -> None:
        before = path[-1] if path and plan.fold else 0
        for j in range(path[-1] + 1 if path else 0, plan.J + 1):
            key = Harmonics(l, j, before)
            if key not in sets:
                sets[key] = b.set(plan.count(l), *plan.sides(before))
            U = b.wavelet(source, sets[key], 1 << (j - before) if plan.fold else 1, "norm")
            further = (*path, j)
            summed(U, first + (index[further] * (plan.L + 1) + l) * width)
            if len(further) < plan.max_order:
                longer(U, further, l)

    for l in range(plan.L + 1):
        longer(X, (), l)
    steps = list(b.steps)
    for i, channel in at.items():
        step = steps[i]
        assert isinstance(step, Average)
        steps[i] = replace(step, channel=channel)
    channels = first + len(plan.paths) * (plan.L + 1) * width
    program = Program(b.axes, channels, (), tuple(b.sets), (), tuple(steps))
    return Densities(program, tuple(sets))
