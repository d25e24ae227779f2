"""A filter bank of images as the engines read it, as tensors: :mod:`scatcuda.banks.boxes` for
PyTorch, and what is learned.

:func:`pack` makes it without what is negligible, :func:`pack_psi` and :func:`pack_phi` whole and
differentiably; :func:`unpack` gives the natural arrays back. Letters as in
:mod:`scatcuda.program.plan`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from .. import limits
from ..program import Table
from ..program.packing import (
    Packed,
    filters_of,
    in_lanes,
    integers,
    matrix_of,
    numpy_dtype,
    tensors,
)
from ..program.plan import Plan
from . import boxes
from .bank import FilterBank
from .lowpass import crop, smoothing
from .morlet import Recipe


class Scales(NamedTuple):
    """A filter bank of which one scale is made at a time."""

    phi: Tensor  # [Mp, Np]
    scale: Callable[[int], Tensor]  # of j, [L, Mp, Np], float64 on the CPU


_Bank: TypeAlias = FilterBank | Recipe | Scales


def pack(bank: _Bank, plan: Plan, dtype: torch.dtype) -> Packed:
    """The bank as the engines read it, in ``dtype`` (float32 or float64), on the CPU: see
    :func:`scatcuda.banks.boxes.pack_images`.

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
    return tensors(boxes.pack_images(bank, plan, numpy_dtype(dtype)))


def banded(phi: Tensor, plan: Plan, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """``Packed.phi`` and ``Packed.phi_support`` of a low-pass ``[Mp, Np]``."""
    taps, bands = boxes.banded(phi.numpy(), plan, numpy_dtype(dtype))
    return torch.from_numpy(taps), torch.from_numpy(bands)


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
    places, bands, first = [], [], 0
    for res, _, angles in plan.tables():
        rows, columns = plan.sides(res)
        places.append([first, rows, rows, columns, columns])
        first += rows * columns * limits.lanes(len(angles))
    for res in range(plan.J):
        for size, side in zip(plan.output, plan.sides(res), strict=True):
            bands += [[0, side]] * size
    return _table_of(places, 5), _table_of(bands, 2)


def _table_of(rows: list[list[int]], width: int) -> Tensor:
    return integers([number for row in rows for number in row]).view(-1, width)


def unpack(packed: Packed, plan: Plan) -> tuple[dict[Table, Tensor], list[tuple[Tensor, Tensor]]]:
    """``(psi, phi)``: wavelets ``psi[res, j, angles] [angles, rows, columns]`` and low-pass
    matrices ``phi[res] = (P [m, rows], Q [n, columns])``, 0 outside their support. Differentiable
    in ``packed.psi`` and ``packed.phi``."""
    wavelets = {table: filters_of(packed, plan.cascade, i) for i, table in enumerate(plan.tables())}
    matrices = [matrix_of(packed, plan.cascade, i) for i in range(2 * plan.J)]
    return wavelets, list(zip(matrices[::2], matrices[1::2], strict=True))
