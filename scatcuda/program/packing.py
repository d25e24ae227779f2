"""Filters as the engines read them, as tensors: :mod:`scatcuda.program.arrays` for PyTorch, and the
way back.

:func:`pack_program` packs, :func:`filters_of` and :func:`matrix_of` give the natural arrays back,
differentiably, to the reference; :func:`in_lanes` and :func:`turned` pack what is learned, whole.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .. import limits
from . import Matrix, Program
from .arrays import Bands, Packed, pack_arrays
from .steps import numbers_of

__all__ = [
    "Packed",
    "cropped",
    "filters_of",
    "in_lanes",
    "integers",
    "lowest_bins",
    "matrix_of",
    "numpy_dtype",
    "pack_program",
    "tensors",
    "turned",
]


def pack_program(
    program: Program,
    psi: Iterable[Tensor | NDArray[Any] | Bands],
    matrices: Sequence[Tensor | NDArray[Any]],
    dtype: torch.dtype,
) -> Packed:
    """:func:`scatcuda.program.arrays.pack_arrays` of tensors or arrays; tensors on the CPU."""
    sets = (several if isinstance(several, Bands) else _array(several) for several in psi)
    return tensors(pack_arrays(program, sets, list(map(_array, matrices)), numpy_dtype(dtype)))


def tensors(packed: Packed) -> Packed:
    """The same memory as tensors."""
    return Packed(*map(torch.from_numpy, packed))


def numpy_dtype(dtype: torch.dtype) -> np.dtype[Any]:
    """float32 or float64 by NumPy's name."""
    return np.dtype(str(dtype).removeprefix("torch."))


def _array(values: Tensor | NDArray[Any]) -> NDArray[Any]:
    found: NDArray[Any] = values.detach().cpu().numpy() if isinstance(values, Tensor) else values
    return found


def in_lanes(psi: Tensor) -> Tensor:
    """``[count, *sides]`` as the engines read it, of which nothing is left out: the first axis
    innermost, filters in lanes. Differentiable."""
    count = psi.shape[0]
    by_bin = psi.permute(*reversed(range(psi.ndim)))
    return torch.nn.functional.pad(by_bin, (0, limits.lanes(count) - count)).flatten()


def turned(row: Tensor, matrix: Matrix) -> Tensor:
    """The numbers that a matrix of turned rows keeps, of its first row ``[inputs]``.
    Differentiable."""
    index = torch.arange(matrix.numbers, device=row.device)
    return row[(index - matrix.every * (matrix.outputs - 1)) % matrix.inputs]


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
    """The lowest frequencies of ``f [..., *sides]``, as many as ``grid`` has. Differentiable."""
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


def integers(values: Sequence[int]) -> Tensor:
    """On the CPU, whatever the default device."""
    return torch.tensor(values, dtype=torch.int64, device="cpu")
