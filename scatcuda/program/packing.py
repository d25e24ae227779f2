"""Filters as the engines read them: four plain tensors (``Packed``) for every program.

A set of filters is kept where it is not negligible, side by side in the lanes; a matrix is kept
whole, with the band of each row. :func:`pack_program` packs them, :func:`filters_of` and
:func:`matrix_of` give the natural arrays back, differentiably, to the reference.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .. import limits
from ..arguments import finite
from . import Matrix, Program
from .steps import numbers_of


class Packed(NamedTuple):
    """Filters as the operators take them."""

    psi: Tensor  # a table for each set, one after the other: the box of frequencies that it keeps,
    # the first axis innermost, in each the filters in lanes, over the number of points of the grid
    psi_support: Tensor  # int64, of each set: where its table begins in psi; for each axis head and
    # tail, of which [0, head) and [tail, side) are kept
    phi: Tensor  # the matrices [outputs, inputs], one after the other; of turned rows the last one
    # and, before it, what the others have more (program.Matrix)
    phi_support: Tensor  # [rows, 2] int64: first and last + 1 non-zero of a matrix row, modulo
    # its length: a band that reaches round the edge begins before 0 or ends behind the last


class Band(NamedTuple):
    """A filter of one axis in Fourier: its bins from the first on, modulo the side."""

    first: int
    values: NDArray[np.float64]


class Bands(NamedTuple):
    """A set of them, which are never written out."""

    filters: list[Band]
    side: int

    @property
    def shape(self) -> tuple[int, int]:
        """That of them written out."""
        return len(self.filters), self.side


def negligible(dtype: torch.dtype) -> float:
    """Below this share of a filter's peak a value is dropped: half a unit in the last place, so
    that dropping changes a coefficient by no more than rounding does."""
    return torch.finfo(dtype).eps / 2


def pack_set(psi: Tensor, dtype: torch.dtype) -> tuple[list[int], Tensor]:
    """The box ``[head, tail, …]`` by axis outside which filters ``psi [count, *sides]``, real and
    in Fourier, are kept, and their table of as many lanes as it takes.

    Example:
        >>> box, table = pack_set(torch.eye(3, 6, dtype=torch.float64), torch.float32)
        >>> box, table.view(-1, 4)[:, :3].shape
        ([3, 6], torch.Size([3, 3]))
    """
    axes = range(1, psi.ndim)
    least = negligible(dtype) * psi.abs().amax(tuple(axes), keepdim=True)
    finite("psi", least)
    keep = psi.abs() > least
    box: list[int] = []
    for axis in axes:
        head, tail = gap(keep.any(tuple(other for other in range(psi.ndim) if other != axis)))
        psi = psi.index_select(axis, outside(head, tail, psi.shape[axis]))
        box += [head, tail]
    return box, in_lanes(psi / math.prod(keep.shape[1:])).to(dtype)


def pack_bands(psi: Bands, dtype: torch.dtype) -> tuple[list[int], Tensor]:
    """The same of bands.

    Example:
        >>> psi = Bands([Band(5, np.ones(3)), Band(2, np.ones(1))], 6)
        >>> box, table = pack_bands(psi, torch.float64)
        >>> box, (table.view(-1, 4)[:, :2] * 6).tolist()
        ([3, 5], [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    """
    filters, side = psi
    keep = torch.zeros(side, dtype=torch.bool, device="cpu")
    for first, values in filters:
        size = np.abs(values)
        finite("psi", torch.from_numpy(size))
        (places,) = np.nonzero(size > negligible(dtype) * size.max())
        keep[torch.from_numpy((first + places) % side)] = True
    head, tail = gap(keep)
    lanes = limits.lanes(len(filters))
    table = torch.zeros(head + side - tail, lanes, dtype=torch.float64, device="cpu")
    for f, (first, values) in enumerate(filters):
        bins = np.arange(first, first + len(values)) % side
        inside = (bins < head) | (bins >= tail)
        bins = bins[inside]
        rows = torch.from_numpy(bins - (bins >= tail) * (tail - head))
        table[rows, f] = torch.from_numpy(values[inside] / side)
    return [head, tail], table.flatten().to(dtype)


def in_lanes(psi: Tensor) -> Tensor:
    """``[count, *sides]`` as the engines read it: the first axis innermost, filters in lanes."""
    count = psi.shape[0]
    by_bin = psi.permute(*reversed(range(psi.ndim)))
    return torch.nn.functional.pad(by_bin, (0, limits.lanes(count) - count)).flatten()


def pack_matrix(matrix: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """The numbers of a matrix ``[outputs, inputs]`` and the bands ``[outputs, 2]`` it keeps.

    The sum of each row stays: what is dropped is added to its largest number. Most of what a
    modulus or an image gives to an average is its mean, so that twice as much can be dropped as of
    filters, and a coefficient is nearer to the true one than if half of it were dropped alone.
    Differentiable.

    Example:
        >>> taps, band = pack_matrix(torch.tensor([[1e-9, 0.5, 1e-9, 0.25]]), torch.float32)
        >>> band, taps.sum()
        (tensor([[1, 4]]), tensor(0.7500))
    """
    size = matrix.abs()
    kept = size > 2 * negligible(dtype) * size.amax()
    taps = torch.where(kept, matrix, 0.0)
    dropped = (matrix - taps).sum(1, keepdim=True) * kept.any(1, keepdim=True)
    return taps.scatter_add(1, size.argmax(1, keepdim=True), dropped).flatten(), bands(kept)


def pack_turned(row: Tensor, matrix: Matrix, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """The same of a matrix of turned rows, of its first ``[inputs]``.

    Example: a mean of neighbours
        >>> numbers, bands = pack_turned(
        ...     torch.tensor([0.5, 0.5, 0, 0, 0, 0]), Matrix(3, 6, every=2), torch.float32
        ... )
        >>> numbers.tolist(), bands.tolist()
        ([0.0, 0.0, 0.0, 0.0, 0.5, 0.5, 0.0, 0.0, 0.0, 0.0], [[0, 2], [2, 4], [4, 6]])
    """
    taps, band = pack_matrix(row[None], dtype)
    low, high = band[0].tolist()
    lows = low + matrix.every * torch.arange(matrix.outputs, device="cpu")
    lows -= (lows + (high - low) // 2).div(matrix.inputs, rounding_mode="floor") * matrix.inputs
    return turned(taps, matrix), torch.stack([lows, lows + high - low], 1)


def turned(row: Tensor, matrix: Matrix) -> Tensor:
    """The numbers that a matrix of turned rows keeps, of its first row ``[inputs]``.
    Differentiable."""
    index = torch.arange(matrix.numbers, device=row.device)
    return row[(index - matrix.every * (matrix.outputs - 1)) % matrix.inputs]


def pack_program(
    program: Program,
    psi: Iterable[Tensor | Bands],
    matrices: Sequence[Tensor],
    dtype: torch.dtype,
) -> Packed:
    """Filters and matrices of a program as the engines read them, on the CPU.

    Args:
        psi: for each set ``[count, *sides]``, real and in Fourier, float64, or so many bands; one
            at a time is in memory where they are made one by one.
        matrices: ``[outputs, inputs]``, of turned rows the first, ``[inputs]``; float64.
        dtype: float32 or float64, of the result.
    Raises: ValueError: they are not those that the program has.
    """
    shapes = [(m.inputs,) if m.every else (m.outputs, m.inputs) for m in program.matrices]
    _check_shapes("matrices", matrices, shapes)
    wanted = [(s.count, *s.sides) for s in program.sets]
    sets: list[tuple[list[int], Tensor]] = []
    for several in psi:
        _check_shapes("psi", [several], wanted[len(sets) : len(sets) + 1])
        if isinstance(several, Bands):
            sets.append(pack_bands(several, dtype))
        else:
            sets.append(pack_set(several, dtype))
    _check_shapes("psi", [], wanted[len(sets) :])
    lows = [
        pack_turned(taps, matrix, dtype) if matrix.every else pack_matrix(taps, dtype)
        for matrix, taps in zip(program.matrices, matrices, strict=True)
    ]
    firsts = accumulate([table.numel() for _, table in sets], initial=0)
    boxes = ([first, *box] for first, (box, _) in zip(firsts, sets, strict=False))
    nothing = torch.zeros(0, dtype=dtype)
    return Packed(
        torch.cat([nothing, *(table for _, table in sets)]),
        integers([number for box in boxes for number in box]),
        torch.cat([nothing, *(taps for taps, _ in lows)]).to(dtype),
        torch.cat([integers([]).view(0, 2), *(band for _, band in lows)]),
    )


def _check_shapes(
    name: str, tables: Sequence[Tensor | Bands], wanted: Sequence[tuple[int, ...]]
) -> None:
    found = [tuple(table.shape) for table in tables]
    if found != wanted:
        raise ValueError(f"pack_program: {name} must have shapes {wanted}; got {found}")


def filters_of(packed: Packed, program: Program, index: int) -> Tensor:
    """The filters ``[count, *sides]`` of a set, 0 outside their support. Differentiable."""
    sides, count = program.sets[index].sides, program.sets[index].count
    row = sum(1 + 2 * len(other.sides) for other in program.sets[:index])
    # The support is read by arithmetic alone, which a compiler can trace. What is not stored is
    # taken from a zero behind the numbers.
    box = packed.psi_support.reshape(-1)[row : row + 1 + 2 * len(sides)].unbind()
    psi = torch.nn.functional.pad(packed.psi, (0, 1))
    place = box[0] + torch.arange(count, device=psi.device)
    stride: int | Tensor = limits.lanes(count)
    kept = torch.ones_like(place, dtype=torch.bool)
    for axis, side in enumerate(sides):
        head, tail = box[1 + 2 * axis : 3 + 2 * axis]
        bin = torch.arange(side, device=psi.device)
        behind = bin >= tail
        place = place.unsqueeze(-1) + stride * (bin - behind * (tail - head))
        kept = kept.unsqueeze(-1) & (behind | (bin < head))
        stride = stride * (side - tail + head)
    places = place.where(kept, psi.shape[0] - 1).flatten()
    found = psi.index_select(0, places).view(count, *sides)
    return found * math.prod(sides)


def lowest_bins(side: int, m: int, device: torch.device) -> Tensor:
    """Where the lowest ``m`` frequencies are; the middle one of an even number is negative."""
    bins = torch.arange(m, device=device)
    return bins + (side - m) * (bins >= (m + 1) // 2)


def cropped(f: Tensor, grid: Sequence[int]) -> Tensor:
    """The lowest frequencies of ``f [..., *sides]``, as many as ``grid`` has."""
    for axis, m in enumerate(grid):
        dim = axis - len(grid)
        if m < f.shape[dim]:
            f = f.index_select(dim, lowest_bins(f.shape[dim], m, f.device))
    return f


def matrix_of(packed: Packed, program: Program, index: int, rows: int | None = None) -> Tensor:
    """A matrix ``[outputs, inputs]``, or the first ``rows`` of it, 0 outside its bands.
    Differentiable."""
    before, one = program.matrices[:index], program.matrices[index]
    rows = one.outputs if rows is None else rows
    # by plain numbers, which a compiler of graphs can follow
    first = sum(numbers_of(m.outputs, m.inputs, m.every) for m in before)
    row = sum(matrix.outputs for matrix in before)
    kept = numbers_of(one.outputs, one.inputs, one.every)
    numbers = packed.phi[first : first + kept]
    if one.every:
        turned = one.every * (one.outputs - 1 - torch.arange(rows, device=numbers.device))
        matrix = numbers[turned[:, None] + torch.arange(one.inputs, device=numbers.device)]
    else:
        matrix = numbers.view(one.outputs, one.inputs)[:rows]
    band = packed.phi_support[row : row + rows]
    index_in_row = torch.arange(one.inputs, device=band.device)
    inside = (index_in_row - band[:, :1]) % one.inputs < band[:, 1:] - band[:, :1]
    return matrix.where(inside, 0.0)


# --- what is kept -----------------------------------------------------------------------------


def bands(kept: Tensor) -> Tensor:
    """The shortest bands ``[low, high)`` modulo the length, of each row of a mask; ``[0, 0)`` where
    nothing is kept. Their middle lies inside, so that those of neighbours overlap as numbers."""
    side = kept.shape[1]
    index = torch.arange(side, device=kept.device)
    # of each kept point the one before it, of the first the last, and how far away that is
    seen = torch.where(kept, index, -1).cummax(1).values
    before = torch.nn.functional.pad(seen[:, :-1], (1, 0), value=-1)
    away = index - torch.where(before < 0, seen[:, -1:] - side, before)
    low = torch.where(kept, away, 0).argmax(1, keepdim=True)
    high = low + side + 1 - away.gather(1, low)
    turn = side * (low + high >= 2 * side)
    return torch.cat([low - turn, high - turn], 1) * kept.any(1, keepdim=True)


def gap(keep: Tensor) -> tuple[int, int]:
    """The longest run to drop in a mask of frequencies, as ``(first, last + 1)``. Filters centred
    near frequency 0 wrap around, so the run lies inside; what else could be dropped is kept."""
    kept = np.flatnonzero(keep.numpy())
    edges = np.concatenate([[-1], kept, [len(keep)]])
    lengths = np.diff(edges) - 1
    best = int(lengths.argmax())
    if lengths[best] == 0:
        return len(keep), len(keep)
    return int(edges[best]) + 1, int(edges[best + 1])


def outside(first: int, last: int, size: int) -> Tensor:
    """Indices ``[0, first)`` and ``[last, size)``."""
    return integers([*range(first), *range(last, size)])


def integers(values: Sequence[int]) -> Tensor:
    """On the CPU, whatever the default device."""
    return torch.tensor(values, dtype=torch.int64, device="cpu")
