"""Sizes and paths of a scattering of images, whose program is :func:`scatcuda.program.images`.

Letters: ``J`` scales, ``L`` angles, ``M N`` pixels, ``Mp Np`` padded sides, ``m n`` output sides.
A wavelet has the number ``n = j L + theta``, a path is a tuple of them, of increasing scale.
Resolution ``res`` means sides ``Mp / 2^res`` and ``Np / 2^res``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import arguments, limits
from ..typing import Paths
from . import Axis, Path, Program, Table, images, tree_of_images, wavelets_of_images
from .paths import listed, most_order, where


@dataclass(frozen=True)
class Plan:
    """Which filters at which resolution, which channel where. ``M N`` are the sides of the input,
    equal to the padded sides when ``pre_pad``; ``chosen`` are the paths that are computed, sorted
    as :attr:`paths`, or None for all. A ValueError where there is no such problem, or a larger one
    than :mod:`scatcuda.limits` allows."""

    J: int
    L: int
    max_order: int
    M: int
    N: int
    pre_pad: bool = False
    chosen: tuple[Path, ...] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        limits.at_most("Plan", "J", self.J, limits.SCALES)
        limits.at_most("Plan", "L", self.L, limits.ANGLES)
        if min(self.J, self.L) < 1 or not 0 <= self.max_order <= most_order(self.J):
            raise ValueError(f"Plan: there is no transform {self}")
        limits.at_most("Plan", "the number of paths", self.channels, limits.CHANNELS)
        chosen = self.chosen
        if chosen is not None and chosen != listed("Plan", chosen, self.J, self.L, self.max_order):
            raise ValueError("Plan: chosen must be a tuple of paths, sorted as their channels are")
        steps = tree_of_images(self.J, self.L, self.max_order, self.chosen).steps
        limits.at_most("Plan", "the number of steps along all paths", steps, limits.STEPS)
        limits.at_most("Plan", "a side of shape", max(self.M, self.N), limits.SIDE)
        least, unit = (3, 1 << self.J) if self.pre_pad else (1, 1)
        if any(side >> self.J < least or side % unit for side in (self.M, self.N)):
            raise ValueError(f"Plan: there is no transform {self}")
        limits.check_table("Plan", self.padded, self.L)
        sides = (self.sides(res) for res in range(self.J))
        m, n = self.output
        taps = sum(m * rows + n * columns for rows, columns in sides)
        name = f"the low-pass' numbers, of images of {self.M} x {self.N} with J = {self.J},"
        limits.at_most("Plan", name, taps, limits.NUMBERS)
        limits.at_most("Plan", "a padded side of shape", max(self.padded), limits.SIDE)
        name = "the numbers of an image's coefficients"
        limits.at_most("Plan", name, self.channels * m * n, limits.NUMBERS)

    @cached_property
    def program(self) -> str:
        """The text of the transform, as the operators take it."""
        return self.cascade.text

    @property
    def cascade(self) -> Program:
        """The transform as data."""
        return images(self.J, self.L, self.max_order, self.M, self.N, self.pre_pad, self.chosen)

    @property
    def axes(self) -> tuple[Axis, ...]:
        """Both sides and how they are padded."""
        return self.cascade.axes

    @property
    def padded(self) -> tuple[int, int]:
        """``(Mp, Np)``"""
        if self.pre_pad:
            return self.M, self.N
        return ((self.M >> self.J) + 2) << self.J, ((self.N >> self.J) + 2) << self.J

    @property
    def output(self) -> tuple[int, int]:
        """``(m, n)``"""
        Mp, Np = self.padded
        return (Mp >> self.J) - 2, (Np >> self.J) - 2

    @property
    def channels(self) -> int:
        """``sum_k C(J, k) L^k`` for all paths."""
        if self.chosen is not None:
            return len(self.chosen)
        return sum(math.comb(self.J, k) * self.L**k for k in range(self.max_order + 1))

    @property
    def most_images(self) -> int:
        """Of a batch."""
        m, n = self.output
        return limits.BATCH_NUMBERS // (self.M * self.N + self.channels * m * n)

    def sides(self, res: int) -> tuple[int, int]:
        Mp, Np = self.padded
        return Mp >> res, Np >> res

    def tables(self) -> tuple[Table, ...]:
        """Resolution, scale and angles ``(res, j, angles)`` of the wavelets in use, in the order of
        the program's sets."""
        return wavelets_of_images(self.J, self.L, self.max_order, self.chosen)

    @property
    def paths(self) -> tuple[Path, ...]:
        """The path of every channel: shorter ones first, then sorted by their wavelets."""
        return paths_of(self.J, self.L, self.max_order) if self.chosen is None else self.chosen

    def meta(self) -> dict[str, NDArray[np.int64]]:
        """Order, scales, angles and wavelet numbers of every channel."""
        return meta_of(self.paths, self.L)


def wavelet_numbers(program: Program, tables: Sequence[Table], L: int) -> tuple[Path, ...]:
    """The paths of the channels of :func:`scatcuda.program.images`, whose sets are ``tables``."""
    numbers = [[j * L + theta for theta in angles] for _, j, angles in tables]
    return tuple(tuple(numbers[s][f] for s, f in path) for path in program.paths)


def paths_of(J: int, L: int, max_order: int) -> tuple[Path, ...]:
    """Those of images of any size."""
    side = 1 << J
    program = images(J, L, max_order, side, side)
    return wavelet_numbers(program, wavelets_of_images(J, L, max_order), L)


def meta_of(paths: Sequence[Path], L: int) -> dict[str, NDArray[np.int64]]:
    """``order [C]``, and ``j``, ``theta`` and ``n`` ``[C, longest path but at least 2]``, -1 where
    there is no wavelet."""
    n = np.full((len(paths), max(2, *map(len, paths))), -1, dtype=np.int64)
    for row, path in zip(n, paths, strict=True):
        row[: len(path)] = path
    return {
        "order": np.array([len(path) for path in paths], dtype=np.int64),
        "j": np.where(n < 0, -1, n // L),
        "theta": np.where(n < 0, -1, n % L),
        "n": n,
    }


def padded_shape(shape: Sequence[int], J: int) -> tuple[int, int]:
    """Size to which an image is padded: ``Mp = ((M + 2^J) // 2^J + 1) 2^J``, likewise ``Np``.

    Args:
        shape: image size ``(M, N)`` in pixels, each at least ``2**J``.
        J: number of scales; the low-pass averages over about ``2**J`` pixels.
    Returns: ``(Mp, Np)``, both divisible by ``2**J``.
    Raises: TypeError, ValueError: ``J`` is no positive integer, ``shape`` is no such pair.
    Example:
        >>> padded_shape((37, 32), J=2)
        (44, 40)
    """
    J = arguments.scales("padded_shape", J)
    M, N = arguments.pair("padded_shape", shape)
    if min(M, N) >> J < 1:
        raise ValueError(
            f"padded_shape: both sides of shape must be at least 2^J; got {(M, N)} for J = {J}"
        )
    return ((M >> J) + 2) << J, ((N >> J) + 2) << J


def images_text(
    caller: str, shape: Sequence[int], J: int, L: int, max_order: int, pre_pad: bool
) -> str:
    """The program of images of this shape, ``[..., M, N]``."""
    M, N = (int(side) for side in shape[-2:]) if len(shape) > 1 else (0, 0)
    return _images_text(caller, int(J), int(L), int(max_order), M, N, bool(pre_pad))


@lru_cache(maxsize=64)
def _images_text(caller: str, J: int, L: int, max_order: int, M: int, N: int, pre_pad: bool) -> str:
    return plan_of(caller, J, L, max_order, M, N, pre_pad).program


def plan_of(caller: str, *problem: Any) -> Plan:
    """The plan; what is wrong with it is said in the name of ``caller``."""
    try:
        return Plan(*problem)
    except ValueError as error:
        told = str(error).removeprefix("Plan")
        raise arguments.ArgumentError(f"{caller}{told}") from None


def checked_plan(
    caller: str,
    J: int,
    shape: Sequence[int],
    L: int,
    max_order: int,
    pre_pad: bool,
    paths: Paths | None = None,
) -> Plan:
    """The plan for images of ``shape``, their size before padding. What a user gets wrong is a
    TypeError or a ValueError in the name of ``caller``."""
    J, L = arguments.scales(caller, J), arguments.angles(caller, L)
    max_order = arguments.integer(caller, "max_order", max_order, 0, most_order(J))
    sides = arguments.pair(caller, shape)
    if min(sides) >> J < 1:
        raise arguments.ArgumentError(
            f"{caller}: both sides of shape must be at least 2^J with J = {J}; got {sides}"
            f"{arguments.channels_last(sides)}"
        )
    pre_pad = arguments.boolean(caller, "pre_pad", pre_pad)
    if pre_pad:
        sides = padded_shape(sides, J)
    problem = J, L, max_order, *sides, pre_pad
    if paths is None:
        return plan_of(caller, *problem)
    if callable(paths):
        whole = plan_of(caller, *problem)
        chosen = where(caller, paths, whole.meta(), whole.paths)
    else:
        chosen = listed(caller, paths, J, L, max_order)
    return plan_of(caller, *problem, chosen)
