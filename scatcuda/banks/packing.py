"""A filter bank of images as the engines read it, for the program of its plan.

Of every wavelet only what is not negligible, the angles side by side, and the low-pass of every
resolution as two small matrices: :class:`~scatcuda.program.packing.Packed`. :func:`pack` makes them
from a :class:`FilterBank`, or scale by scale from the recipe of one, :func:`unpack` gives the
natural arrays back, differentiably. Letters as in :mod:`scatcuda.program.plan`.
"""

from __future__ import annotations

import functools
import mmap
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from .. import limits
from ..arguments import finite
from ..program import Table
from ..program.packing import (
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
from ..program.plan import Plan
from ..terminal import Bar
from .bank import FilterBank, strips
from .lowpass import crop, lowest_of, lowpass_matrix, separable_factors, smoothing
from .morlet import Recipe


class Scales(NamedTuple):
    """A filter bank of which one scale is made at a time."""

    phi: Tensor  # [Mp, Np]
    scale: Callable[[int], Tensor]  # of j, [L, Mp, Np], float64 on the CPU


_Bank: TypeAlias = FilterBank | Recipe | Scales


def pack(bank: _Bank, plan: Plan, dtype: torch.dtype) -> Packed:
    """The bank as the engines read it, in ``dtype`` (float32 or float64), on the CPU. Beside what
    is returned there is never more than one scale and what the bank takes to make one.

    Args:
        bank: the filters, there already or made scale by scale.
        plan, dtype: the problem and the numbers of the result.
    Raises: ValueError: the low-pass is none, or a value is not finite.
    Example:
        >>> from scatcuda.banks import morlet_bank
        >>> plan = Plan(J=2, L=8, max_order=2, M=32, N=32)
        >>> [tuple(t.shape) for t in pack(morlet_bank(plan.padded, 2), plan, torch.float32)]
        [(25600,), (2, 5), (960,), (32, 2)]
    """
    finite("phi", bank.phi)
    phi = banded(bank.phi, plan, dtype)
    return Packed(*boxed(bank, plan.tables(), plan.padded, dtype), *phi)


def banded(phi: Tensor, plan: Plan, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """``Packed.phi`` and ``Packed.phi_support`` of a low-pass ``[Mp, Np]``."""
    taps, bands = [], []
    factors = separable_factors(phi)
    for res in range(plan.J):
        for factor in factors:
            kept, band = pack_matrix(lowpass_matrix(factor, res, plan.J), dtype)
            taps.append(kept)
            bands.append(band)
    return torch.cat(taps).to(dtype), torch.cat(bands)


def boxed(
    bank: _Bank, tables: Sequence[Table], padded: tuple[int, int], dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """``Packed.psi`` and ``Packed.psi_support`` of some tables of a bank at its padded size."""
    made: dict[Table, tuple[list[int], Tensor]] = {}
    # The finest scale last: most of what is kept is its own, and is not there yet while the
    # coarser ones take their room.
    scales = sorted({j for _, j, _ in tables}, reverse=True)
    with Bar(len(scales), "scale") as bar:
        for j in scales:
            here = [table for table in tables if table[1] == j]
            made |= _boxes(bank.scale(j), here, padded, dtype)
            bar.update(1)
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
    psi: Tensor, tables: list[Table], padded: tuple[int, int], dtype: torch.dtype
) -> dict[Table, tuple[list[int], Tensor]]:
    """For tables of a scale: the box ``(head, tail, left, right)`` outside which those of its
    wavelets ``psi [L, Mp, Np]`` are kept, and what is kept ``[columns * rows, angles]``, over the
    number of bins."""
    made = {}
    largest = {res: _peaks(psi, res) for res, _, _ in tables}
    for res, j, angles in tables:
        sides = padded[0] >> res, padded[1] >> res
        peaks = [peak[list(angles)] for peak in largest[res]]
        least = negligible(dtype) * peaks[0].amax(1, keepdim=True)
        finite("psi", least)
        gaps = [gap((peak > least).any(0)) for peak in peaks]
        rows, columns = (
            lowest_of(side << res, res)[outside(*kept, side)]
            for kept, side in zip(gaps, sides, strict=True)
        )
        entries = _apart(len(columns), len(rows), len(angles), dtype)
        for first, last in strips(len(columns), psi[..., 0].numel()):
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
    tables = (crop(_angles_of(psi[j], angles), res) for res, j, angles in plan.tables())
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
    return torch.cat([smoothing(f, res, plan.J, edge=1).flatten() for f, res in pairs])


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
    wavelets = {table: filters_of(packed, plan.cascade, i) for i, table in enumerate(plan.tables())}
    matrices = [matrix_of(packed, plan.cascade, i) for i in range(2 * plan.J)]
    return wavelets, list(zip(matrices[::2], matrices[1::2], strict=True))
