"""Sizes and paths of a scattering of images, and its filter bank as the engines read it.

Its program is that of :func:`scatcuda.program.images`. An engine reads a bank as four plain tensors
(:class:`~scatcuda.packing.Packed`): every wavelet only where it is not negligible, the angles side
by side, and the low-pass of every resolution as two small matrices. ``pack`` makes them from a
:class:`~scatcuda.filters.FilterBank`, or scale by scale from the recipe of one, ``unpack`` gives
the natural arrays back, differentiably.

Letters: ``J`` scales, ``L`` angles, ``M N`` pixels, ``Mp Np`` padded sides, ``m n`` output sides.
A wavelet has the number ``n = j L + theta``, a path is a tuple of them, of increasing scale.
Resolution ``res`` means sides ``Mp / 2^res`` and ``Np / 2^res``.
"""

from __future__ import annotations

import functools
import math
import mmap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from . import arguments, filters, limits
from .packing import (
    Packed,
    filters_of,
    gap,
    in_lanes,
    integers,
    matrix_of,
    negligible,
    outside,
    pack_matrix,
)
from .program import Axis, Path, Program, Table, images, tree_of_images, wavelets_of_images
from .selection import listed, most_order, where
from .typing import Paths


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
        return self._program.text

    @property
    def _program(self) -> Program:
        return images(self.J, self.L, self.max_order, self.M, self.N, self.pre_pad, self.chosen)

    @property
    def axes(self) -> tuple[Axis, ...]:
        """Both sides and how they are padded."""
        return self._program.axes

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
        return _paths(self.J, self.L, self.max_order) if self.chosen is None else self.chosen

    def meta(self) -> dict[str, NDArray[np.int64]]:
        """Order, scales, angles and wavelet numbers of every channel."""
        return meta_of(self.paths, self.L)


def wavelet_numbers(program: Program, tables: Sequence[Table], L: int) -> tuple[Path, ...]:
    """The paths of the channels of :func:`scatcuda.program.images`, whose sets are ``tables``."""
    numbers = [[j * L + theta for theta in angles] for _, j, angles in tables]
    return tuple(tuple(numbers[s][f] for s, f in path) for path in program.paths)


@torch.compiler.assume_constant_result
def _paths(J: int, L: int, max_order: int) -> tuple[Path, ...]:
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


@torch.compiler.assume_constant_result
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
        sides = filters.padded_shape(sides, J)
    problem = J, L, max_order, *sides, pre_pad
    if paths is None:
        return plan_of(caller, *problem)
    if callable(paths):
        whole = plan_of(caller, *problem)
        chosen = where(caller, paths, whole.meta(), whole.paths)
    else:
        chosen = listed(caller, paths, J, L, max_order)
    return plan_of(caller, *problem, chosen)


class Scales(NamedTuple):
    """A filter bank of which one scale is made at a time."""

    phi: Tensor  # [Mp, Np]
    scale: Callable[[int], Tensor]  # of j, [L, Mp, Np], float64 on the CPU


_Bank: TypeAlias = filters.FilterBank | filters.Recipe | Scales


def pack(bank: _Bank, plan: Plan, dtype: torch.dtype) -> Packed:
    """The bank as the engines read it, in ``dtype`` (float32 or float64), on the CPU. Beside what
    is returned there is never more than one scale and what the bank takes to make one.

    Args:
        bank: the filters, there already or made scale by scale.
        plan, dtype: the problem and the numbers of the result.
    Raises: ValueError: the low-pass is none, or a value is not finite.
    Example:
        >>> plan = Plan(J=2, L=8, max_order=2, M=32, N=32)
        >>> [tuple(t.shape) for t in pack(filters.morlet_bank(plan.padded, 2), plan, torch.float32)]
        [(25600,), (2, 5), (960,), (32, 2)]
    """
    filters._check_finite("phi", bank.phi)
    phi = banded(bank.phi, plan, dtype)
    return Packed(*_boxed(bank, plan, dtype), *phi)


def banded(phi: Tensor, plan: Plan, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """``Packed.phi`` and ``Packed.phi_support`` of a low-pass ``[Mp, Np]``."""
    taps, bands = [], []
    factors = filters.separable_factors(phi)
    for res in range(plan.J):
        for factor in factors:
            kept, band = pack_matrix(filters.lowpass_matrix(factor, res, plan.J), dtype)
            taps.append(kept)
            bands.append(band)
    return torch.cat(taps).to(dtype), torch.cat(bands)


def _boxed(bank: _Bank, plan: Plan, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """``Packed.psi`` and ``Packed.psi_support``."""
    tables = plan.tables()
    made: dict[Table, tuple[list[int], Tensor]] = {}
    # The finest scale last: most of what is kept is its own, and is not there yet while the
    # coarser ones take their room.
    for j in reversed(range(plan.J)):
        if here := [table for table in tables if table[1] == j]:
            made |= _boxes(bank.scale(j), here, plan, dtype)
    lanes = {table: limits.lanes(len(table[2])) for table in tables}
    total = sum(len(entries) * lanes[table] for table, (_, entries) in made.items())
    psi = torch.empty(total, dtype=dtype, device="cpu")
    boxes, first = [], 0
    for table in tables:
        box, entries = made.pop(table)  # from here to its place, so that nothing is there twice
        boxes.append([first, *box])
        bins, count = entries.shape
        place = psi[first : first + bins * lanes[table]].view(bins, lanes[table])
        place[:, :count], place[:, count:] = entries, 0
        first += place.numel()
    return psi, _table_of(boxes, 5)


def _boxes(
    psi: Tensor, tables: list[Table], plan: Plan, dtype: torch.dtype
) -> dict[Table, tuple[list[int], Tensor]]:
    """For tables of a scale: the box ``(head, tail, left, right)`` outside which those of its
    wavelets ``psi [L, Mp, Np]`` are kept, and what is kept ``[columns * rows, angles]``, over the
    number of bins."""
    made = {}
    largest = {res: _peaks(psi, res) for res, _, _ in tables}
    for res, j, angles in tables:
        sides = plan.sides(res)
        peaks = [peak[list(angles)] for peak in largest[res]]
        least = negligible(dtype) * peaks[0].amax(1, keepdim=True)
        filters._check_finite("psi", least)
        gaps = [gap((peak > least).any(0)) for peak in peaks]
        rows, columns = (
            filters._lowest_of(side << res, res)[outside(*kept, side)]
            for kept, side in zip(gaps, sides, strict=True)
        )
        entries = _apart(len(columns), len(rows), len(angles), dtype)
        for first, last in filters._strips(len(columns), psi[..., 0].numel()):
            strip = _angles_of(psi.index_select(2, columns[first:last]), angles)
            strip = strip.index_select(1, rows) / (sides[0] * sides[1])
            entries[first:last] = strip.permute(2, 1, 0)
        made[res, j, angles] = [*gaps[0], *gaps[1]], entries.flatten(0, 1)
    return made


def _apart(columns: int, rows: int, angles: int, dtype: torch.dtype) -> Tensor:
    """``[columns, rows, angles]`` in pages of its own: the system gets them back when it is
    dropped, where the heap would keep them."""
    count = columns * rows * angles
    pages = mmap.mmap(-1, max(count, 1) * dtype.itemsize, access=mmap.ACCESS_COPY)
    return torch.frombuffer(pages, dtype=dtype, count=max(count, 1))[:count].view(
        columns, rows, angles
    )


def _peaks(psi: Tensor, res: int) -> tuple[Tensor, Tensor]:
    """The largest ``|psi|`` of each row and each column of ``crop(psi, res)``, ``[L, rows]`` and
    ``[L, columns]``, without a crop."""
    halves = []
    for side in psi.shape[1:]:
        m = side >> res
        two = [slice(m // 2), slice(side - m + m // 2, side)]
        halves.append(two if res else [slice(side)])
    parts = [[psi[:, rows, columns] for columns in halves[1]] for rows in halves[0]]

    def largest(pair: Sequence[Tensor], dim: int) -> Tensor:
        peaks = (torch.maximum(part.amax(dim), -part.amin(dim)) for part in pair)
        return functools.reduce(torch.maximum, peaks)

    by_row = [largest(pair, 2) for pair in parts]
    by_column = [largest(pair, 1) for pair in zip(*parts, strict=True)]
    return torch.cat(by_row, 1), torch.cat(by_column, 1)


def pack_psi(psi: Tensor, plan: Plan) -> Tensor:
    """``Packed.psi`` of wavelets ``psi [J, L, Mp, Np]`` with every bin kept, see
    :func:`whole_support`. Differentiable, on the device of psi, and no value is read."""
    tables = (filters.crop(_angles_of(psi[j], angles), res) for res, j, angles in plan.tables())
    scaled = (in_lanes(table / table[0].numel()) for table in tables)
    return torch.cat([psi.new_empty(0), *scaled])


def _angles_of(psi: Tensor, angles: tuple[int, ...]) -> Tensor:
    """Some of the wavelets ``psi [L, ...]``; no index is sent to a GPU."""
    if angles == tuple(range(len(psi))):
        return psi
    return torch.stack([psi[theta] for theta in angles])


def pack_phi(factors: tuple[Tensor, Tensor], plan: Plan) -> Tensor:
    """``Packed.phi`` of a low-pass ``outer(*factors)``, both even, with every tap kept; otherwise
    as :func:`pack_psi`."""
    pairs = ((factor, res) for res in range(plan.J) for factor in factors)
    return torch.cat([filters._smoothing(f, res, plan.J, edge=1).flatten() for f, res in pairs])


def whole_support(plan: Plan) -> tuple[Tensor, Tensor]:
    """``Packed.psi_support`` and ``Packed.phi_support`` that keep everything, on the CPU."""
    boxes, bands, first = [], [], 0
    for res, _, angles in plan.tables():
        rows, columns = plan.sides(res)
        boxes.append([first, rows, rows, columns, columns])
        first += rows * columns * limits.lanes(len(angles))
    for res in range(plan.J):
        for size, side in zip(plan.output, plan.sides(res), strict=True):
            bands += [[0, side]] * size
    return _table_of(boxes, 5), _table_of(bands, 2)


def _table_of(rows: list[list[int]], width: int) -> Tensor:
    return integers([number for row in rows for number in row]).view(-1, width)


def unpack(packed: Packed, plan: Plan) -> tuple[dict[Table, Tensor], list[tuple[Tensor, Tensor]]]:
    """``(psi, phi)``: wavelets ``psi[res, j, angles] [angles, rows, columns]`` and low-pass
    matrices ``phi[res] = (P [m, rows], Q [n, columns])``, 0 outside their support. Differentiable
    in ``packed.psi`` and ``packed.phi``."""
    wavelets = {
        table: filters_of(packed, plan._program, i) for i, table in enumerate(plan.tables())
    }
    matrices = [matrix_of(packed, plan._program, i) for i in range(2 * plan.J)]
    return wavelets, list(zip(matrices[::2], matrices[1::2], strict=True))
