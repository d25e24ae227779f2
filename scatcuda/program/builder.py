"""Makes programs step by step, and lays their channels out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from itertools import accumulate
from math import prod

from .. import limits
from ..arguments import ArgumentError
from .checks import Refused, made_by, means_of, outputs_of, padded_sides, source_planes
from .steps import Average, Axis, Group, Matrix, Pair, Planes, Set, Step, Wavelet, X
from .table import Program


class Builder:
    """Makes a program step by step. Channels are laid out by :meth:`build`: those of the signal,
    then paths of one wavelet, of two, …, each sorted by their filters in the order of the steps;
    then, one step after the other, what comes of groups, and the pairs.

    Example: means of a signal of 16 samples, padded to 32, and of two orders of wavelets
        >>> b = Builder(Axis(16, "r", 8, 8))
        >>> b.mean(X)
        >>> for j in (0, 1):
        ...     U = b.wavelet(X, b.set(1, 32), fold=2**j)
        ...     b.mean(U)
        >>> b.mean(b.wavelet(1, 1, fold=2))
        >>> b.build().paths
        ((), ((0, 0),), ((1, 0),), ((0, 0), (1, 0)))
    """

    def __init__(self, *axes: int | Axis) -> None:
        self.axes: tuple[Axis, ...] = tuple(a if isinstance(a, Axis) else Axis(a) for a in axes)
        self.sets: list[Set] = []
        self.matrices: list[Matrix] = []
        self.steps: list[Step] = []
        self._planes: list[Planes | None] = []

    def grid(self, source: int) -> tuple[int, ...]:
        """Sides of the planes of a step, or of the padded signal."""
        return self._of(source).grid

    def set(self, count: int, *sides: int) -> int:
        """A set of filters on a grid; returns its number."""
        self.sets.append(Set(count, sides))
        return len(self.sets) - 1

    def matrix(self, outputs: int, inputs: int, every: int = 0) -> int:
        """A low-pass of one axis, its rows turned by ``every`` each; returns its number."""
        self.matrices.append(Matrix(outputs, inputs, every))
        return len(self.matrices) - 1

    def wavelet(
        self,
        source: int,
        set: int,
        fold: int | Sequence[int] = 1,
        rho: str = "modulus",
        crop: bool | Sequence[bool] = False,
    ) -> int:
        """A :class:`Wavelet` step, folded or cropped alike along all axes or as it is said for
        each; returns its number."""
        rank = len(self.axes)
        folds = (fold,) * rank if isinstance(fold, int) else tuple(fold)
        crops = (crop,) * rank if isinstance(crop, bool) else tuple(crop)
        return self._add(Wavelet(source, set, folds, rho, crops if any(crops) else ()))

    def group(
        self,
        sources: Sequence[int],
        table: Sequence[Sequence[int | None]],
        set: int,
        every: int = 1,
        rho: str = "modulus",
    ) -> int:
        """A :class:`Group` step of a table ``[groups][length]``; returns its number."""
        entries = tuple(entry for row in table for entry in row)
        return self._add(Group(tuple(sources), len(table[0]), entries, set, every, rho))

    def average(self, source: int, *matrices: int) -> None:
        """Low-pass, one matrix for each axis."""
        self._add(Average(source, matrices))

    def mean(self, source: int) -> None:
        """The mean over all points."""
        self._add(Average(source))

    def powers(self, source: int, *powers: float) -> None:
        """Sums over all points of these powers."""
        self._add(Average(source, (), powers))

    def pair(
        self,
        source: int,
        other: int,
        pairs: Sequence[tuple[int, int]] | None = None,
        weight: int | None = None,
        shifts: Sequence[Sequence[int]] = (),
        imaginary: bool = False,
    ) -> None:
        """A :class:`Pair` step."""
        listed = None if pairs is None else tuple(pairs)
        self._add(Pair(source, other, listed, weight, tuple(map(tuple, shifts)), imaginary))

    def _of(self, source: int) -> Planes:
        return source_planes(padded_sides(self.axes), source, self._planes)

    def _add(self, step: Step) -> int:
        planes = None
        if isinstance(step, Wavelet | Group):
            try:
                planes = made_by(padded_sides(self.axes), self.sets, step, self._planes)
            except Refused as refused:
                told = f"step {len(self.steps)} ({step.verb}): {refused}"
                raise ArgumentError(told) from None
        self._planes.append(planes)
        self.steps.append(step)
        return len(self.steps) - 1

    def build(self, *sides: int) -> Program:
        """The program, of whose channels each has these sides."""
        try:
            channels, steps = _laid_out(self, prod(sides))
        except Refused as refused:
            raise ArgumentError(str(refused)) from None
        tables = tuple(self.sets), tuple(self.matrices), tuple(steps)
        return Program(self.axes, channels, sides, *tables)


def _laid_out(b: Builder, unit: int) -> tuple[int, list[Step]]:
    """The number of channels, and the steps with theirs."""
    steps, channels = list(b.steps), 0
    children: dict[int, list[int]] = {}
    for i, step in enumerate(steps):
        if isinstance(step, Wavelet):
            children.setdefault(step.source, []).append(i)

    def filters(i: int) -> int:
        step = steps[i]
        return 1 if not isinstance(step, Wavelet) or step.rho == "norm" else b.sets[step.set].count

    widths = {  # channels of a plane, by source
        step.source: prod(outputs_of(b.matrices, step, b.grid(step.source))) // unit
        for step in steps
        if isinstance(step, Average)
    }

    @cache
    def below(source: int, levels: int) -> int:
        """Channels of all paths so many wavelets longer, of one plane."""
        if levels == 0:
            return widths.get(source, 0)
        return sum(filters(i) * below(i, levels - 1) for i in children.get(source, ()))

    @cache
    def before(source: int, levels: int) -> dict[int, int]:
        """Of each wavelet of a plane, the channels of paths that take one before it instead."""
        several = children[source]
        sizes = (filters(i) * below(i, levels) for i in several)
        return dict(zip(several, accumulate(sizes, initial=0), strict=False))

    starts = [0]
    for levels in range(limits.LEVELS + 1):
        starts.append(starts[-1] + below(X, levels))
    channels = starts[-1]
    for i, step in enumerate(steps):
        if isinstance(step, Pair):
            steps[i] = replace(step, channel=channels)
            channels += prod(means_of(b, step, b._planes))
        if not isinstance(step, Average):
            continue
        strides: tuple[int, ...] = ()
        at, left, source = 0, 0, step.source
        while source != X and isinstance(wavelet := steps[source], Wavelet):
            at += before(wavelet.source, left)[source]
            if wavelet.rho != "norm":
                strides = (below(source, left), *strides)
            left, source = left + 1, wavelet.source
        if source == X:
            at += starts[left]
            steps[i] = replace(step, channel=at, strides=strides)
        else:  # planes in order
            digits, width = b._of(step.source).digits, widths[step.source]
            strides = tuple(width * prod(digits[d + 1 :]) for d in range(len(digits)))
            steps[i] = replace(step, channel=channels, strides=strides)
            channels += width * prod(digits)
    return channels, steps
