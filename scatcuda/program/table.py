"""A program: what its steps are, what they make, and its text."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from math import prod

import numpy as np
from numpy.typing import NDArray

from .. import limits
from ..arguments import ArgumentError
from .checks import Refused, checked, outputs_of, padded_sides, source_planes
from .steps import Average, Axis, Matrix, Planes, Set, Step, Wavelet, X, sources_of


@dataclass(frozen=True)
class Program:
    """A transform: the signal, the sides of the result, filters, steps. An error, a ValueError,
    names the step that cannot be.

    Example:
        >>> from scatcuda.program import Builder, X
        >>> b = Builder(8)
        >>> U = b.wavelet(X, b.set(2, 8), fold=2)
        >>> b.mean(X), b.mean(U)
        (None, None)
        >>> b.build().text
        'x 8;S 3;psi 2 8;wavelet x 0 /2 modulus;average x mean at 0;average 0 mean at 1+1'
    """

    axes: tuple[Axis, ...]
    channels: int
    sides: tuple[int, ...]  # of a channel
    sets: tuple[Set, ...]
    matrices: tuple[Matrix, ...]
    steps: tuple[Step, ...]
    # What follows from these, see steps.py
    rank: int = field(init=False, repr=False, compare=False)
    #: Sides of what a call is given
    signal: tuple[int, ...] = field(init=False, repr=False, compare=False)
    padded: tuple[int, ...] = field(init=False, repr=False, compare=False)
    #: Numbers of a channel
    unit: int = field(init=False, repr=False, compare=False)
    #: What each step makes; None of those that write channels
    planes: tuple[Planes | None, ...] = field(init=False, repr=False, compare=False)
    #: After each step, the sources that are needed no more
    last_uses: tuple[tuple[int, ...], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        def follows(name: str, value: object) -> None:
            object.__setattr__(self, name, value)

        follows("rank", len(self.axes))
        follows("signal", tuple(axis.size for axis in self.axes))
        follows("padded", padded_sides(self.axes))
        follows("unit", prod(self.sides))
        try:
            follows("planes", checked(self))
        except Refused as refused:
            raise ArgumentError(str(refused)) from None
        last = {source: i for i, step in enumerate(self.steps) for source in sources_of(step)}
        uses: list[list[int]] = [[] for _ in self.steps]
        for source, at in last.items():
            uses[at].append(source)
        follows("last_uses", tuple(map(tuple, uses)))

    @property
    def most_signals(self) -> int:
        """Of a batch."""
        return limits.BATCH_NUMBERS // (prod(self.signal) + self.channels * self.unit)

    def planes_of(self, source: int) -> Planes:
        """What a source is: the signal, or what a step makes."""
        return source_planes(self.padded, source, self.planes)

    def plane_channels(self, step: Average) -> int:
        """Channels of a plane that is averaged."""
        grid = self.planes_of(step.source).grid
        return prod(outputs_of(self.matrices, step, grid)) // self.unit

    def channels_of(self, step: Average) -> NDArray[np.int64]:
        """The first channel of each plane that is averaged."""
        found = np.array([step.channel])
        for count, stride in zip(self.planes_of(step.source).digits, step.strides, strict=True):
            found = (found[:, None] + np.arange(count) * stride).reshape(-1)
        return found

    @cached_property
    def paths(self) -> tuple[tuple[tuple[int, int], ...], ...]:
        """Where the channels come from: set and filter of each wavelet step on the way, the filter
        -1 where the norm was taken. Empty for what comes of groups and of pairs."""
        paths: list[tuple[tuple[int, int], ...]] = [()] * self.channels
        for step in self.steps:
            if not isinstance(step, Average):
                continue
            source, filters = step.source, []
            while source != X and isinstance(wavelet := self.steps[source], Wavelet):
                count = 0 if wavelet.rho == "norm" else self.sets[wavelet.set].count
                filters.append([(wavelet.set, f) for f in (range(count) if count else [-1])])
                source = wavelet.source
            if source == X:
                count = self.plane_channels(step)
                for first, path in zip(
                    self.channels_of(step), product(*filters[::-1]), strict=True
                ):
                    paths[first : first + count] = [path] * count
        return tuple(paths)

    @cached_property
    def text(self) -> str:
        """The statements, as ``csrc/core/program.h`` lists them."""
        x = ["x", *(axis.text for axis in self.axes)]
        statements = [" ".join(x), " ".join(map(str, ("S", self.channels, *self.sides)))]
        statements += [table.text for table in self.sets]
        statements += [matrix.text for matrix in self.matrices]
        statements += [" ".join([step.verb, *step.words]) for step in self.steps]
        return ";".join(statements)
