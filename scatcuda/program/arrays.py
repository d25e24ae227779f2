"""Filters as the engines read them, four plain arrays (``Packed``) for every program: in NumPy.

A set of filters is kept where it is not negligible, side by side in the lanes; a matrix is kept
whole, with the band of each row. :func:`pack_arrays` packs them; its twin for tensors is
:func:`scatcuda.program.packing.pack_program`, which has the way back, too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import limits
from ..arguments import finite
from .steps import Matrix
from .table import Program

Floats = NDArray[np.floating[Any]]
Integers = NDArray[np.int64]


class Packed(NamedTuple):
    """Filters as the operators and the C library take them: tensors or arrays."""

    psi: Any  # a table for each set, one after the other: the box of frequencies that it keeps,
    # the first axis innermost, in each the filters in lanes, over the number of points of the grid
    psi_support: Any  # int64, of each set: where its table begins in psi; for each axis head and
    # tail, of which [0, head) and [tail, side) are kept
    phi: Any  # the matrices [outputs, inputs], one after the other; of turned rows the last one
    # and, before it, what the others have more (program.Matrix)
    phi_support: Any  # [rows, 2] int64: first and last + 1 non-zero of a matrix row, modulo
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


def negligible(dtype: Any) -> float:
    """Below this share of a filter's peak a value is dropped: half a unit in the last place, so
    that dropping changes a coefficient by no more than rounding does."""
    return float(np.finfo(dtype).eps) / 2


def pack_set(psi: Floats, dtype: Any) -> tuple[list[int], Floats]:
    """The box ``[head, tail, …]`` by axis outside which filters ``psi [count, *sides]``, real and
    in Fourier, are kept, and their table of as many lanes as it takes.

    Example:
        >>> box, table = pack_set(np.eye(3, 6), np.float32)
        >>> box, table.reshape(-1, 4)[:, :3].shape
        ([3, 6], (3, 3))
    """
    axes = range(1, psi.ndim)
    size = np.abs(psi)
    least = negligible(dtype) * size.max(tuple(axes), keepdims=True)
    finite("psi", least)
    keep = size > least
    box: list[int] = []
    for axis in axes:
        head, tail = gap(keep.any(tuple(other for other in range(psi.ndim) if other != axis)))
        psi = np.take(psi, outside(head, tail, psi.shape[axis]), axis)
        box += [head, tail]
    return box, in_lanes(psi / math.prod(keep.shape[1:])).astype(dtype)


def pack_bands(psi: Bands, dtype: Any) -> tuple[list[int], Floats]:
    """The same of bands.

    Example:
        >>> psi = Bands([Band(5, np.ones(3)), Band(2, np.ones(1))], 6)
        >>> box, table = pack_bands(psi, np.float64)
        >>> box, (table.reshape(-1, 4)[:, :2] * 6).tolist()
        ([3, 5], [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    """
    filters, side = psi
    keep = np.zeros(side, dtype=bool)
    for first, values in filters:
        size = np.abs(values)
        finite("psi", size)
        (places,) = np.nonzero(size > negligible(dtype) * size.max())
        keep[(first + places) % side] = True
    head, tail = gap(keep)
    table = np.zeros((head + side - tail, limits.lanes(len(filters))))
    for f, (first, values) in enumerate(filters):
        bins = np.arange(first, first + len(values)) % side
        inside = (bins < head) | (bins >= tail)
        bins = bins[inside]
        table[bins - (bins >= tail) * (tail - head), f] = values[inside] / side
    return [head, tail], table.ravel().astype(dtype)


def in_lanes(psi: Floats) -> Floats:
    """``[count, *sides]`` as the engines read it: the first axis innermost, filters in lanes."""
    count = len(psi)
    by_bin = psi.transpose()
    table = np.zeros((*by_bin.shape[:-1], limits.lanes(count)), psi.dtype)
    table[..., :count] = by_bin
    return table.ravel()


def pack_matrix(matrix: Floats, dtype: Any) -> tuple[Floats, Integers]:
    """The numbers of a matrix ``[outputs, inputs]`` and the bands ``[outputs, 2]`` it keeps.

    The sum of each row stays: what is dropped is added to its largest number. Most of what a
    modulus or an image gives to an average is its mean, so that twice as much can be dropped as of
    filters, and a coefficient is nearer to the true one than if half of it were dropped alone.

    Example:
        >>> taps, band = pack_matrix(np.array([[1e-9, 0.5, 1e-9, 0.25]]), np.float32)
        >>> band.tolist(), float(taps.sum().round(6))
        ([[1, 4]], 0.75)
    """
    size = np.abs(matrix)
    kept = size > 2 * negligible(dtype) * size.max()
    taps = np.where(kept, matrix, 0.0)
    rows, largest = np.arange(len(matrix)), size.argmax(1)
    taps[rows, largest] += (matrix - taps).sum(1) * kept.any(1)
    return taps.ravel(), bands(kept)


def pack_turned(row: Floats, matrix: Matrix, dtype: Any) -> tuple[Floats, Integers]:
    """The same of a matrix of turned rows, of its first ``[inputs]``.

    Example: a mean of neighbours
        >>> numbers, bands = pack_turned(
        ...     np.array([0.5, 0.5, 0, 0, 0, 0]), Matrix(3, 6, every=2), np.float32
        ... )
        >>> numbers.tolist(), bands.tolist()
        ([0.0, 0.0, 0.0, 0.0, 0.5, 0.5, 0.0, 0.0, 0.0, 0.0], [[0, 2], [2, 4], [4, 6]])
    """
    taps, band = pack_matrix(row[None], dtype)
    low, high = band[0].tolist()
    lows = low + matrix.every * np.arange(matrix.outputs)
    lows -= (lows + (high - low) // 2) // matrix.inputs * matrix.inputs
    index = np.arange(matrix.numbers) - matrix.every * (matrix.outputs - 1)
    return taps[index % matrix.inputs], np.stack([lows, lows + high - low], 1)


def pack_arrays(
    program: Program, psi: Iterable[Floats | Bands], matrices: Sequence[Floats], dtype: Any
) -> Packed:
    """Filters and matrices of a program as the engines read them.

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
    sets: list[tuple[list[int], Floats]] = []
    for several in psi:
        _check_shapes("psi", [several], wanted[len(sets) : len(sets) + 1])
        packed = pack_bands if isinstance(several, Bands) else pack_set
        sets.append(packed(several, dtype))  # type: ignore[arg-type]
    _check_shapes("psi", [], wanted[len(sets) :])
    lows = [
        pack_turned(taps, matrix, dtype) if matrix.every else pack_matrix(taps, dtype)
        for matrix, taps in zip(program.matrices, matrices, strict=True)
    ]
    firsts = accumulate([table.size for _, table in sets], initial=0)
    boxes = ([first, *box] for first, (box, _) in zip(firsts, sets, strict=False))
    nothing, no_band = np.zeros(0, dtype), np.zeros((0, 2), np.int64)
    return Packed(
        np.concatenate([nothing, *(table for _, table in sets)]),
        np.array([number for box in boxes for number in box], np.int64),
        np.concatenate([nothing, *(taps for taps, _ in lows)]).astype(dtype),
        np.concatenate([no_band, *(band for _, band in lows)]),
    )


def _check_shapes(
    name: str, tables: Sequence[Floats | Bands], wanted: Sequence[tuple[int, ...]]
) -> None:
    found = [tuple(table.shape) for table in tables]
    if found != wanted:
        raise ValueError(f"pack_program: {name} must have shapes {wanted}; got {found}")


# --- what is kept -----------------------------------------------------------------------------


def bands(kept: NDArray[np.bool_]) -> Integers:
    """The shortest bands ``[low, high)`` modulo the length, of each row of a mask; ``[0, 0)`` where
    nothing is kept. Their middle lies inside, so that those of neighbours overlap as numbers."""
    side = kept.shape[1]
    index = np.arange(side)
    # of each kept point the one before it, of the first the last, and how far away that is
    seen = np.maximum.accumulate(np.where(kept, index, -1), 1)
    before = np.concatenate([np.full((len(kept), 1), -1), seen[:, :-1]], 1)
    away = index - np.where(before < 0, seen[:, -1:] - side, before)
    low = np.where(kept, away, 0).argmax(1)[:, None]
    high = low + side + 1 - np.take_along_axis(away, low, 1)
    turn = side * (low + high >= 2 * side)
    return np.concatenate([low - turn, high - turn], 1) * kept.any(1, keepdims=True)


def gap(keep: NDArray[np.bool_]) -> tuple[int, int]:
    """The longest run to drop in a mask of frequencies, as ``(first, last + 1)``. Filters centred
    near frequency 0 wrap around, so the run lies inside; what else could be dropped is kept."""
    kept = np.flatnonzero(keep)
    edges = np.concatenate([[-1], kept, [len(keep)]])
    lengths = np.diff(edges) - 1
    best = int(lengths.argmax())
    if lengths[best] == 0:
        return len(keep), len(keep)
    return int(edges[best]) + 1, int(edges[best + 1])


def outside(first: int, last: int, size: int) -> Integers:
    """Indices ``[0, first)`` and ``[last, size)``."""
    return np.array([*range(first), *range(last, size)], np.int64)


def cropped(f: Floats, grid: Sequence[int]) -> Floats:
    """The lowest frequencies of ``f [..., *sides]``, as many as ``grid`` has; the middle one of an
    even number is negative."""
    for axis, m in enumerate(grid):
        dim = axis - len(grid)
        if m < (side := f.shape[dim]):
            bins = np.arange(m)
            f = np.take(f, bins + (side - m) * (bins >= (m + 1) // 2), dim)
    return f
