"""A filter bank of images as the engines read it, in NumPy, for the program of its plan.

Of every wavelet only what is not negligible, the angles side by side, and the low-pass of every
resolution as two small matrices: :class:`~scatcuda.program.arrays.Packed`. :func:`pack_images`
makes them from a bank, or scale by scale from the recipe of one; its twin for tensors is
:func:`scatcuda.banks.packing.pack`. Letters as in :mod:`scatcuda.program.plan`.
"""

from __future__ import annotations

import functools
import mmap
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from .. import limits
from ..arguments import finite
from ..program.arrays import (
    Floats,
    Integers,
    Packed,
    gap,
    negligible,
    outside,
    pack_matrix,
)
from ..program.images import Table
from ..program.plan import Plan

# Numbers that are worked on at a time, 25 MB of temporaries: a window may be five periods wide.
_STRIP = 1 << 18


class Bank(Protocol):
    """A filter bank of which one scale is made at a time; arrays or tensors on the CPU."""

    @property
    def phi(self) -> Any: ...  # [Mp, Np]
    def scale(self, j: int) -> Any: ...  # [L, Mp, Np], float64


def pack_images(bank: Bank, plan: Plan, dtype: Any) -> Packed:
    """The bank as the engines read it. Beside what is returned there is never more than one scale
    and what the bank takes to make one.

    Args:
        bank: the filters, there already or made scale by scale.
        plan: the problem.
        dtype: float32 or float64, of the result.
    Raises: ValueError: the low-pass is none, or a value is not finite.
    Example:
        >>> from scatcuda.banks.morlet import Recipe
        >>> plan = Plan(J=2, L=8, max_order=2, M=32, N=32)
        >>> bank = Recipe("morlet", plan.padded, 2)
        >>> [array.shape for array in pack_images(bank, plan, np.float32)]
        [(25600,), (2, 5), (960,), (32, 2)]
    """
    phi: Floats = np.asarray(bank.phi)
    finite("phi", phi)
    low = banded(phi, plan, dtype)
    return Packed(*boxed(bank, plan.tables(), plan.padded, dtype), *low)


def banded(phi: Floats, plan: Plan, dtype: Any) -> tuple[Floats, Integers]:
    """``Packed.phi`` and ``Packed.phi_support`` of a low-pass ``[Mp, Np]``."""
    taps, bands = [], []
    factors = factors_of(phi)
    for res in range(plan.J):
        for factor in factors:
            kept, band = pack_matrix(smoothing_of(factor, res, plan.J, edge=1), dtype)
            taps.append(kept)
            bands.append(band)
    return np.concatenate(taps).astype(dtype), np.concatenate(bands)


# --- the low-pass ---------------------------------------------------------------------------------


def factors_of(phi: Floats, tol: float = 1e-6) -> tuple[Floats, Floats]:
    """See :func:`scatcuda.banks.separable_factors`."""
    if phi.ndim != 2 or phi.size == 0:
        raise ValueError(f"separable_factors: phi must be [Mp, Np]; got {list(phi.shape)}")
    row, column = divmod(int(np.abs(phi).argmax()), phi.shape[1])
    peak = phi[row, column]
    if peak == 0:
        raise ValueError("separable_factors: phi must not be zero everywhere")
    phi_m, phi_n = phi[:, column].copy(), phi[row] / peak
    residual = float(np.abs(np.outer(phi_m, phi_n) - phi).max() / np.abs(peak))
    if not residual <= tol:
        raise ValueError(
            f"separable_factors: phi must be the outer product of two vectors within {tol:g}; "
            f"the relative residual is {residual:.3g}"
        )
    return phi_m, phi_n


def smoothing_of(phi_1d: Floats, res: int, J: int, edge: int) -> Floats:
    """See :func:`scatcuda.banks.lowpass_matrix`, of an even factor; ``edge`` outputs of either end
    are left out."""
    n = len(phi_1d)
    h = np.fft.ifft(np.asarray(phi_1d, np.float64)[lowest_of(n, res)])
    if float(np.abs(h.imag).max()) > 1e-6 * float(np.abs(h).max()):
        raise ValueError("lowpass_matrix: phi_1d must be even, phi_1d[-k] = phi_1d[k]")
    p, u = np.arange(edge, (n >> J) - edge), np.arange(n >> res)
    taps: Floats = h.real[((p[:, None] << (J - res)) - u) % (n >> res)]
    return taps


def lowest_of(n: int, res: int) -> Integers:
    """Where the ``n / 2^res`` lowest of n frequencies are; the middle one is a negative one."""
    m = n >> res
    kept = np.arange(m)
    return kept + (n - m) * (kept >= m // 2)


# --- the wavelets ---------------------------------------------------------------------------------


def boxed(
    bank: Bank, tables: Sequence[Table], padded: tuple[int, int], dtype: Any
) -> tuple[Floats, Integers]:
    """``Packed.psi`` and ``Packed.psi_support`` of some tables of a bank at its padded size."""
    made: dict[Table, tuple[list[int], Floats]] = {}
    # The finest scale last: most of what is kept is its own, and is not there yet while the
    # coarser ones take their room.
    for j in sorted({j for _, j, _ in tables}, reverse=True):
        here = [table for table in tables if table[1] == j]
        made |= _boxes(np.asarray(bank.scale(j)), here, padded, dtype)
    lanes = {table: limits.lanes(len(table[2])) for table in tables}
    total = sum(len(entries) * lanes[table] for table, (_, entries) in made.items())
    psi = np.empty(total, dtype)
    boxes, first = [], 0
    for table in tables:
        box, entries = made.pop(table)  # from here to its place, so that nothing is there twice
        boxes.append([first, *box])
        bins, count = entries.shape
        place = psi[first : first + bins * lanes[table]].reshape(bins, lanes[table])
        place[:, :count], place[:, count:] = entries, 0
        first += place.size
    return psi, np.array(boxes, np.int64).reshape(-1, 5)


def _boxes(
    psi: Floats, tables: list[Table], padded: tuple[int, int], dtype: Any
) -> dict[Table, tuple[list[int], Floats]]:
    """For tables of a scale: the box ``(head, tail, left, right)`` outside which those of its
    wavelets ``psi [L, Mp, Np]`` are kept, and what is kept ``[columns * rows, angles]``, over the
    number of bins."""
    made = {}
    largest = {res: _peaks(psi, res) for res, _, _ in tables}
    for res, j, angles in tables:
        sides = padded[0] >> res, padded[1] >> res
        peaks = [peak[list(angles)] for peak in largest[res]]
        least = negligible(dtype) * peaks[0].max(1, keepdims=True)
        finite("psi", least)
        gaps = [gap((peak > least).any(0)) for peak in peaks]
        rows, columns = (
            lowest_of(side << res, res)[outside(*kept, side)]
            for kept, side in zip(gaps, sides, strict=True)
        )
        entries = _apart(len(columns), len(rows), len(angles), dtype)
        for first, last in strips(len(columns), psi[..., 0].size):
            strip = np.take(_angles_of(psi, angles), columns[first:last], 2)
            strip = np.take(strip, rows, 1) / (sides[0] * sides[1])
            entries[first:last] = strip.transpose(2, 1, 0)
        made[res, j, angles] = [*gaps[0], *gaps[1]], entries.reshape(-1, len(angles))
    return made


def _angles_of(psi: Floats, angles: tuple[int, ...]) -> Floats:
    """Some of the wavelets ``psi [L, ...]``."""
    return psi if angles == tuple(range(len(psi))) else psi[list(angles)]


def _apart(columns: int, rows: int, angles: int, dtype: Any) -> Floats:
    """``[columns, rows, angles]`` in pages of its own: the system gets them back when it is
    dropped, where the heap would keep them."""
    count = columns * rows * angles
    pages = mmap.mmap(-1, max(count, 1) * np.dtype(dtype).itemsize, access=mmap.ACCESS_COPY)
    return np.frombuffer(pages, dtype, count).reshape(columns, rows, angles)


def _peaks(psi: Floats, res: int) -> tuple[Floats, Floats]:
    """The largest ``|psi|`` of each row and each column of its crop, ``[L, rows]`` and
    ``[L, columns]``, without a crop."""
    halves = []
    for side in psi.shape[1:]:
        m = side >> res
        two = [slice(m // 2), slice(side - m + m // 2, side)]
        halves.append(two if res else [slice(side)])
    parts = [[psi[:, rows, columns] for columns in halves[1]] for rows in halves[0]]

    def largest(pair: Sequence[Floats], axis: int) -> Floats:
        peaks = (np.maximum(part.max(axis), -part.min(axis)) for part in pair if part.size)
        return functools.reduce(np.maximum, peaks)

    by_row = [largest(pair, 2) for pair in parts if pair[0].shape[1]]
    by_column = [largest(pair, 1) for pair in zip(*parts, strict=True) if pair[0].shape[2]]
    return np.concatenate(by_row, 1), np.concatenate(by_column, 1)


def strips(count: int, size: int) -> Iterator[tuple[int, int]]:
    """Cuts ``count`` rows of ``size`` numbers into strips ``[first, last)`` of about ``_STRIP``."""
    step = max(1, _STRIP // max(1, size))
    return ((first, min(first + step, count)) for first in range(0, count, step))
