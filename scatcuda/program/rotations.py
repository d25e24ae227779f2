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

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
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


class Cascade(NamedTuple):
    """A program, and what its sets and matrices are."""

    program: Program
    tables: tuple[tuple[int, int, tuple[int, ...]], ...]  # resolution, scale, angles of wavelets
    smoothing: tuple[int, ...]  # then the low-pass, by the resolution of what it takes,
    along: tuple[int, ...]  # then filters of so many angles
    matrices: tuple[tuple[int, bool], ...]  # resolution, whether of rows; see RotationPlan.rows
    channels: tuple[Channel, ...]  # which are all its own
    end: int  # resolution of planes that are not averaged


@dataclass(frozen=True)
class RotationPlan:
    """Which filters at which resolution, which channel where. ``mean``: over all positions;
    ``smooth_first``: the first order is averaged in space before its wavelets of angles."""

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
        """All, in the order of the result."""
        return tuple(channel for made in self.cascades for channel in self.kept(made))

    def kept(self, made: Cascade) -> tuple[Channel, ...]:
        """The channels of a program without those that are there twice: a low-pass of conjugates
        has conjugates, whose moduli are the same."""
        return tuple(c for c in made.channels if not self._is_twice(c))

    def _is_twice(self, c: Channel) -> bool:
        return c.order == 2 and c.k == self.K and c.angle >= self.L

    @cached_property
    def cascades(self) -> tuple[Cascade, ...]:
        """The programs: one, or, where nothing is averaged, one for each resolution in which paths
        end. Order 0 is the image itself then, and in none of them."""
        if self.average != "none":
            return (self._cascade(None),)
        orders = self.max_order > 0
        return tuple(self._cascade(end) for end in range(self.J * orders))

    def _cascade(self, end: int | None) -> Cascade:
        """The program of all paths, or of those that end in a resolution."""
        J, L, every = self.J, self.L, tuple(range(self.L))
        first = [j for j in range(J) if end in (None, j)] if self.max_order > 0 else []
        pairs = [
            (j1, j2)
            for j1 in range(J)
            for j2 in range(j1 + 1, J)
            if end in (None, j2) and self.max_order > 1
        ]
        before = sorted({*first, *(j1 for j1, _ in pairs)})
        b = Builder(*self.axes)
        sides = padded_sides(b.axes)
        tables = sorted({*((0, j1, every) for j1 in before), *((*pair, every) for pair in pairs)})
        sets = {t: b.set(L, *(side >> t[0] for side in sides)) for t in tables}
        smoothing = {
            j1: b.set(1, *(side >> j1 for side in sides)) for j1 in first if self.smooth_first
        }
        lengths = [L] * bool(first) + [2 * L] * bool(pairs)
        along = {length: b.set(1 + self.K, length) for length in lengths}
        matrices: dict[tuple[int, bool], int] = {}
        m, n = self.output(J if end is None else end)

        def averaged(source: int, res: int) -> None:
            for is_row, outputs in enumerate((m, n)):
                key = res, bool(is_row)
                if key not in matrices:
                    matrices[key] = b.matrix(outputs, sides[is_row] >> res)
            b.average(source, matrices[res, False], matrices[res, True])

        rho = "mean" if self.average == "space+angle" else "modulus"
        if end is None:
            averaged(X, 0)
        U = {j1: b.wavelet(X, sets[0, j1, every], 1 << j1) for j1 in before}
        for j1 in first:
            source, res = U[j1], j1
            if self.smooth_first:
                source, res = b.wavelet(U[j1], smoothing[j1], 1 << (J - j1), "none"), J
            averaged(b.group([source], [every], along[L], rho=rho), res)
        for j1, j2 in pairs:
            z = b.wavelet(U[j1], sets[j1, j2, every], 1 << (j2 - j1), "none")
            averaged(b.group([z], self._turns(), along[2 * L], rho=rho), j2)
        return Cascade(
            b.build(m, n),
            tuple(tables),
            tuple(smoothing),
            tuple(along),
            tuple(matrices),
            tuple(self._channels_of(end is None, first, pairs)),
            J if end is None else end,
        )

    def _turns(self) -> list[list[int]]:
        """Of every angle between the wavelets, the planes ``(theta, theta + alpha)`` along a whole
        turn."""
        L, found = self.L, []
        for alpha in range(L):
            half = [theta * L + (theta + alpha) % L for theta in range(L)]
            half = [~plane if theta + alpha >= L else plane for theta, plane in enumerate(half)]
            found.append([*half, *(~plane for plane in half)])
        return found

    def _channels_of(
        self, zero: bool, first: list[int], pairs: list[tuple[int, int]]
    ) -> Iterator[Channel]:
        filters = self.K, *range(self.K)

        def places(length: int) -> range:
            return range(-1, 0) if self.average == "space+angle" else range(length)

        if zero:
            yield Channel(0)
        for j1 in first:
            for k in filters:
                yield from (Channel(1, (j1, -1), -1, k, i) for i in places(self.L))
        for pair in pairs:
            for theta in range(self.L):
                for k in filters:
                    yield from (Channel(2, pair, theta, k, i) for i in places(2 * self.L))

    def meta(self) -> dict[str, NDArray[np.int64]]:
        """Of every channel what :class:`Channel` has."""
        all_of = self.channels if self.average != "none" else (Channel(0), *self.channels)
        return meta_of(all_of, angles=self.average != "space+angle")


def meta_of(channels: tuple[Channel, ...], angles: bool) -> dict[str, NDArray[np.int64]]:
    """``order``, ``theta`` and ``k`` ``[C]``, ``j [C, 2]``, and ``angle [C]`` where it is one."""
    found = {
        name: np.array([getattr(c, name) for c in channels], dtype=np.int64)
        for name in Channel._fields
    }
    if not angles:
        del found["angle"]
    return found
