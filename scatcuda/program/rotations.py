"""The cascade of images along scales, and jointly along the angles of its wavelets.

    U1(j1, theta, u)         = |x * psi_{j1, theta}|(u)
    z(j1, j2, alpha, theta)  = U1(j1, theta) * psi_{j2, theta + alpha}
    U2(j1, j2, alpha, h)     = |z *_theta h|,    S = means of U2 over theta and around u

where ``alpha`` is the angle between the wavelets and ``h`` a filter of angles, of a whole turn:
``z(theta + pi)`` is the conjugate of ``z(theta)``, as ``x`` is real. Of the first order ``U1``
itself goes through the wavelets of angles.

Source: L. Sifre and S. Mallat, CVPR 2013; E. Oyallon and S. Mallat, CVPR 2015.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .. import limits
from .builder import Builder
from .checks import padded_sides
from .steps import Axis, X
from .table import Program

Average: TypeAlias = Literal["space+angle", "space", "none"]

_CALLER = "RotoTranslationScattering2D"
_ANGLES = 128  # tables of a group have 2 L^2 entries


class Channel(NamedTuple):
    """Of the result. The scales of the wavelets, -1 where there is none; the angle between them in
    steps of pi / L; the wavelet of angles, ``K`` for the low-pass; and which of the angles of a
    whole turn it is, -1 where they are averaged."""

    order: int
    j: tuple[int, int] = (-1, -1)
    theta: int = -1
    k: int = -1
    angle: int = -1

    @property
    def key(self) -> tuple[int, ...]:
        """All of it that is: ``()``, ``(j1, k)`` or ``(j1, j2, theta, k)``, and the angle."""
        return tuple(n for n in (*self.j, self.theta, self.k, self.angle) if n >= 0)


class Step(NamedTuple):
    """What one step makes along angles: of planes that are so far apart in angle, by filters that
    keep every so many-th angle."""

    apart: tuple[int, ...]
    filters: tuple[int, ...]
    every: int


class Cascade(NamedTuple):
    """A program, and what its sets and matrices are."""

    program: Program
    tables: tuple[tuple[int, int, tuple[int, ...]], ...]  # resolution, scale, angles of wavelets
    smoothing: tuple[int, ...]  # then the low-pass, by the resolution of what it takes,
    along: tuple[tuple[int, tuple[int, ...]], ...]  # then of so many angles, which filters
    matrices: tuple[tuple[int, bool], ...]  # resolution, whether of rows
    channels: tuple[Channel, ...]  # which are all its own
    end: int  # resolution of planes that are not averaged


@dataclass(frozen=True)
class RotationPlan:
    """Which filters at which resolution, which channel where. ``mean``: over all positions;
    ``smooth_first``: the first order is averaged in space before its wavelets of angles;
    ``oversampling``: of angles, None: all are kept; ``chosen``: of the channels, None: all."""

    J: int
    L: int
    K: int
    max_order: int
    M: int
    N: int
    pad: str  # a letter of steps.PADDING; periodic images are not padded
    average: Average
    mean: bool
    smooth_first: bool
    oversampling: int | None = None
    chosen: frozenset[Channel] | None = None

    def __post_init__(self) -> None:
        limits.at_most(_CALLER, "L", self.L, _ANGLES)
        limits.check_table(_CALLER, self.padded, self.L)
        limits.at_most(_CALLER, "a padded side of shape", max(self.padded), limits.SIDE)
        m, n = self.output(0 if self.average == "none" else self.J)
        name = "the numbers of an image's coefficients"
        limits.at_most(_CALLER, name, len(self.channels) * m * n, limits.NUMBERS)

    @property
    def axes(self) -> tuple[Axis, Axis]:
        """Both sides and how they are padded."""

        def axis(size: int) -> Axis:
            if self.pad == "p":
                return Axis(size)
            surplus = (((size >> self.J) + 2) << self.J) - size
            return Axis(size, self.pad, surplus // 2, surplus - surplus // 2)

        return axis(self.M), axis(self.N)

    @property
    def padded(self) -> tuple[int, int]:
        """``(Mp, Np)``"""
        Mp, Np = padded_sides(self.axes)
        return Mp, Np

    def inside(self, axis: int, res: int) -> range:
        """The points of an axis, at a resolution, that lie in the image; of a low-pass those that
        its padding leaves."""
        side = self.axes[axis]
        if self.pad == "p":
            return range(side.size >> res)
        if res == self.J:
            return range(1, (side.padded >> res) - 1)
        first = -(-side.before >> res)
        return range(first, (side.before + side.size - 1 >> res) + 1)

    def output(self, res: int) -> tuple[int, int]:
        """Sides of the coefficients."""
        if self.mean:
            return 1, 1
        return len(self.inside(0, res)), len(self.inside(1, res))

    @cached_property
    def channels(self) -> tuple[Channel, ...]:
        """All, in the order of the result, but for the image itself where nothing is averaged."""
        return tuple(made.channels[i] for made in self.cascades for i in self.kept(made))

    def kept(self, made: Cascade) -> list[int]:
        """Which channels of a program are channels of the result, in its order: those that are
        asked for, without those that are there twice. A low-pass of conjugates has conjugates,
        whose moduli are the same."""

        def place(i: int) -> tuple[int, tuple[int, int], int, int, int]:
            c = made.channels[i]
            return c.order, c.j, c.theta, self._filters.index(c.k) if c.order else -1, c.angle

        def is_kept(c: Channel) -> bool:
            twice = c.order == 2 and c.k == self.K and c.angle >= self.L
            return not twice and (self.chosen is None or c in self.chosen)

        return sorted((i for i, c in enumerate(made.channels) if is_kept(c)), key=place)

    @property
    def has_image(self) -> bool:
        """Whether order 0 is asked for."""
        return self.chosen is None or Channel(0) in self.chosen

    @property
    def _filters(self) -> tuple[int, ...]:
        """Those of angles, in the order of the channels: the low-pass, then the wavelets."""
        return self.K, *range(self.K)

    def _every(self, order: int, k: int) -> int:
        """Every which angle of a filter is kept, as its bandwidth allows: a power of two that
        divides half a turn. The low-pass of the first order is none, see ``pack_rotations``."""
        if self.oversampling is None or (order == 1 and k == self.K):
            return 1
        octaves = min(k, self.K - 1) - self.oversampling
        return min(1 << max(octaves, 0), self.L & -self.L)

    @cached_property
    def _wanted(self) -> Mapping[tuple[int, int], Mapping[int, tuple[int, ...]]]:
        """Filters of angles, by the scales and the angle between them."""
        J, L = self.J, self.L
        first = {(j, -1): {-1: self._filters} for j in range(J) if self.max_order > 0}
        second = {
            (j1, j2): dict.fromkeys(range(L), self._filters)
            for j1 in range(J)
            for j2 in range(j1 + 1, J)
            if self.max_order > 1
        }
        if self.chosen is None:
            return first | second
        found: dict[tuple[int, int], dict[int, tuple[int, ...]]] = {}
        asked = {(c.j, c.theta, c.k) for c in self.chosen}
        for j, between in (first | second).items():
            for theta, filters in between.items():
                if some := tuple(k for k in filters if (j, theta, k) in asked):
                    found.setdefault(j, {})[theta] = some
        return found

    def _steps(self, j: tuple[int, int]) -> list[Step]:
        """Those of a pair of scales: filters go together that keep the same angles, and planes
        that want the same filters."""
        order = 1 if j[1] < 0 else 2
        found: dict[tuple[tuple[int, ...], int], list[int]] = {}

        def every(k: int) -> int:
            return self._every(order, k)

        for apart, filters in self._wanted[j].items():
            for step, some in groupby(sorted(filters, key=every), every):
                found.setdefault((tuple(some), step), []).append(apart)
        return [Step(tuple(apart), *filters) for filters, apart in found.items()]

    @cached_property
    def cascades(self) -> tuple[Cascade, ...]:
        """The programs: one, or, where nothing is averaged, one for each resolution in which paths
        end. Order 0 is the image itself then, and in none of them."""
        if self.average != "none":
            return (self._cascade(None),)
        return tuple(map(self._cascade, sorted({max(j) for j in self._wanted})))

    def _cascade(self, end: int | None) -> Cascade:
        """The program of all paths, or of those that end in a resolution."""
        J, L, every = self.J, self.L, tuple(range(self.L))
        steps = {j: self._steps(j) for j in self._wanted if end in (None, max(j))}
        first = [j1 for j1, j2 in steps if j2 < 0]
        pairs = [j for j in steps if j[1] >= 0]
        before = sorted({*first, *(j1 for j1, _ in pairs)})
        b = Builder(*self.axes)
        sides = padded_sides(b.axes)
        tables = sorted({*((0, j1, every) for j1 in before), *((*pair, every) for pair in pairs)})
        sets = {t: b.set(L, *(side >> t[0] for side in sides)) for t in tables}
        smoothing = {
            j1: b.set(1, *(side >> j1 for side in sides)) for j1 in first if self.smooth_first
        }
        lengths = {j: L if j[1] < 0 else 2 * L for j in steps}
        some = dict.fromkeys((lengths[j], step.filters) for j in steps for step in steps[j])
        along = {which: b.set(len(which[1]), which[0]) for which in some}
        matrices: dict[tuple[int, bool], int] = {}
        m, n = self.output(J if end is None else end)

        def averaged(source: int, res: int) -> None:
            for is_row, outputs in enumerate((m, n)):
                key = res, bool(is_row)
                if key not in matrices:
                    matrices[key] = b.matrix(outputs, sides[is_row] >> res)
            b.average(source, matrices[res, False], matrices[res, True])

        rho = "mean" if self.average == "space+angle" else "modulus"
        zero = end is None and self.has_image
        if zero:
            averaged(X, 0)
        U = {j1: b.wavelet(X, sets[0, j1, every], 1 << j1) for j1 in before}
        for j1 in first:
            source, res = U[j1], j1
            if self.smooth_first:
                source, res = b.wavelet(U[j1], smoothing[j1], 1 << (J - j1), "none"), J
            for step in steps[j1, -1]:
                which = along[L, step.filters]
                averaged(b.group([source], [every], which, step.every, rho), res)
        for j1, j2 in pairs:
            z = b.wavelet(U[j1], sets[j1, j2, every], 1 << (j2 - j1), "none")
            for step in steps[j1, j2]:
                turns, which = list(map(self._turn, step.apart)), along[2 * L, step.filters]
                averaged(b.group([z], turns, which, step.every, rho), j2)
        return Cascade(
            b.build(m, n),
            tuple(tables),
            tuple(smoothing),
            tuple(along),
            tuple(matrices),
            tuple(self._channels_of(zero, steps, lengths)),
            J if end is None else end,
        )

    def _turn(self, alpha: int) -> list[int]:
        """Of an angle between the wavelets, the planes ``(theta, theta + alpha)`` along a whole
        turn."""
        L = self.L
        half = [theta * L + (theta + alpha) % L for theta in range(L)]
        half = [~plane if theta + alpha >= L else plane for theta, plane in enumerate(half)]
        return [*half, *(~plane for plane in half)]

    def _channels_of(
        self,
        zero: bool,
        steps: Mapping[tuple[int, int], list[Step]],
        lengths: Mapping[tuple[int, int], int],
    ) -> Iterator[Channel]:
        """Of a program, in its order."""
        if zero:
            yield Channel(0)
        for j, several in steps.items():
            order = 1 if j[1] < 0 else 2
            for step in several:
                places = range(0, lengths[j], step.every)
                for theta in step.apart:
                    for k in step.filters:
                        if self.average == "space+angle":
                            yield Channel(order, j, theta, k)
                        else:
                            yield from (Channel(order, j, theta, k, angle) for angle in places)

    @property
    def listed(self) -> tuple[Channel, ...]:
        """The channels of the result."""
        image = self.average == "none" and self.has_image
        return (Channel(0),) * image + self.channels

    def meta(self) -> dict[str, NDArray[np.int64]]:
        """Of every channel what :class:`Channel` has."""
        return meta_of(self.listed, angles=self.average != "space+angle")


def meta_of(channels: tuple[Channel, ...], angles: bool) -> dict[str, NDArray[np.int64]]:
    """``order``, ``theta`` and ``k`` ``[C]``, ``j [C, 2]``, and ``angle [C]`` where it is one."""
    found = {
        name: np.array([getattr(c, name) for c in channels], dtype=np.int64)
        for name in Channel._fields
    }
    if not angles:
        del found["angle"]
    return found
