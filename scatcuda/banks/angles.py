"""Wavelets of angles, filters along the 2 L angles of a whole turn; and how they are packed with
those of space."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import limits
from ..arguments import angles, finite
from ..program.arrays import Floats, Packed, pack_matrix, pack_set
from ..program.asked import wavelets_of_angles
from ..program.rotations import Cascade, RotationPlan
from .boxes import Bank, boxed, factors_of, lowest_of, smoothing_of

if TYPE_CHECKING:
    from torch import Tensor

_SIGMA = 2 / math.sqrt(3)  # of the narrowest wavelet, in angles
_PERIODS = range(-3, 4)  # of what is as wide as the axis 1e-16 is left


def angular_bank(L: int, K: int | None = None) -> Tensor:
    """A low-pass and ``K`` wavelets of angles, real and in Fourier: of ``2 L`` angles a whole turn,

    ``psi_k(w) = c sum_p exp(-(w + 2 pi p - (3 pi / 4) / 2^k)^2 s_k^2 / 2) - kappa_k exp(-(w + 2 pi
    p)^2 s_k^2 / 2)``, ``s_k = 2^k 2 / sqrt(3)``,

    ``kappa_k`` such that the mean of a wavelet vanishes, ``c`` such that the largest ``sum_k
    psi_k^2`` is 2. The low-pass is a Gaussian as wide as the last wavelet but one, ``phi(0) = 1``.

    Args:
        L: number of angles in [0, pi).
        K: number of wavelets; None: ``log2 L``, rounded down, but at least 1.
    Returns: ``[1 + K, 2 L]``, phi first, float64.
    Raises: TypeError, ValueError: ``L`` or ``K`` is no positive integer, or ``2^K`` more than
        ``2 L``.
    Source: L. Sifre and S. Mallat, "Rotation, scaling and deformation invariant scattering for
        texture discrimination", CVPR 2013; constants of their program ScatNet.
    Example:
        >>> import torch
        >>> bank = angular_bank(8)
        >>> bank.shape, bank[:, 0].tolist()
        (torch.Size([4, 16]), [1.0, 0.0, 0.0, 0.0])
        >>> sums = bank[0] ** 2 + (bank[1:] ** 2 + bank[1:, -torch.arange(16)] ** 2).sum(0) / 2
        >>> round(float(sums.min()), 2), round(float(sums.max()), 2)
        (0.74, 1.0)
    """
    import torch

    return torch.from_numpy(angular_filters(L, K))


def angular_filters(L: int, K: int | None = None) -> NDArray[np.float64]:
    """:func:`angular_bank` as an array."""
    L = angles("angular_bank", L)
    limits.at_most("angular_bank", "L", L, limits.FILTERS // 2)
    K = wavelets_of_angles("angular_bank", L, K)
    w = 2 * math.pi * np.arange(2 * L) / (2 * L)

    def gaussian(center: float, sigma: float) -> NDArray[np.float64]:
        turns = (((w + 2 * math.pi * p - center) * sigma) ** 2 / -2 for p in _PERIODS)
        return np.stack([np.exp(turn) for turn in turns]).sum(0)

    psi = []
    for k in range(K):
        sigma = _SIGMA * 2**k
        wave, mean = gaussian(0.75 * math.pi / 2**k, sigma), gaussian(0, sigma)
        psi.append(wave - wave[0] / mean[0] * mean)
        psi[-1][0] = 0  # what is subtracted for; rounding is left
    bank = np.stack(psi)
    bank *= math.sqrt(2 / (bank**2).sum(0).max())
    phi = gaussian(0, _SIGMA * 2.0 ** (K - 2))
    return np.concatenate([(phi / phi[0])[None], bank])


def pack_rotations(
    plan: RotationPlan, made: Cascade, bank: Bank, scatnet: bool, dtype: Any
) -> Packed:
    """Filters and matrices of a program of :mod:`scatcuda.program.rotations`. ``scatnet``: as large
    as ScatNet has them, where subsampling by ``2^d`` multiplies by ``2^d``, wavelets are divided by
    the root of ``max sum psi^2 / 2`` over all of them, and a mean of angles is a quarter of their
    sum.

    Raises: ValueError: the low-pass is none, or a value is not finite.
    """
    phi: Floats = np.asarray(bank.phi)
    finite("phi", phi)
    factors = factors_of(phi)
    psi, support = boxed(bank, made.tables, plan.padded, dtype)
    if scatnet:
        gain = _scatnet_gain(plan, bank)
        starts = [*support[:, 0].tolist(), psi.size]
        for (res, j, _), first, last in zip(made.tables, starts, starts[1:], strict=False):
            psi[first:last] *= gain * 2 ** (j - res)
    angular = angular_filters(plan.L, plan.K)
    if scatnet and plan.average == "space+angle":
        angular = angular * (plan.L / 2)
    boxes, tables = support.ravel().tolist(), [psi]
    smoothing = (
        _cropped(phi, res)[None] * (2 ** (plan.J - res) if scatnet else 1) for res in made.smoothing
    )
    # Half a turn is a period of the first order, whose own average is that of its planes.
    half = _of_half_a_turn(angular)
    along = (
        (half if n == plan.L else angular)[[0 if k == plan.K else 1 + k for k in filters]]
        for n, filters in made.along
    )
    for table in (*smoothing, *along):
        box, values = pack_set(table, dtype)
        boxes += [sum(t.size for t in tables), *box]
        tables.append(values)
    taps, bands = [], []
    for res, is_row in made.matrices:
        matrix = _averaging(plan, res, factors[is_row], int(is_row))
        if scatnet and plan.average != "none" and not is_row:  # once, of both axes together
            matrix = matrix * 2 ** (plan.J - res)
        numbers, band = pack_matrix(matrix, dtype)
        taps.append(numbers.astype(dtype))
        bands.append(band)
    support = np.array(boxes, np.int64)
    return Packed(np.concatenate(tables), support, np.concatenate(taps), np.concatenate(bands))


def _cropped(phi: Floats, res: int) -> Floats:
    return phi[np.ix_(*(lowest_of(side, res) for side in phi.shape))]


def _of_half_a_turn(angular: Floats) -> Floats:
    bank = angular[:, ::2].copy()
    bank[0] = angular[0, 0]
    return bank


def _averaging(plan: RotationPlan, res: int, factor: Floats, axis: int) -> Floats:
    """What planes of a resolution are averaged by along an axis, ``[outputs, inputs]``."""
    side, inside = plan.padded[axis] >> res, plan.inside(axis, res)
    if not plan.mean and res < plan.J and plan.average != "none":
        return smoothing_of(factor, res, plan.J, edge=int(plan.pad != "p"))
    places = np.eye(side)[inside.start : inside.stop]
    return places.mean(0, keepdims=True) if plan.mean else places


def _scatnet_gain(plan: RotationPlan, bank: Bank) -> float:
    sums = np.zeros(plan.padded)
    for j in range(plan.J):
        sums += (np.asarray(bank.scale(j)) ** 2).sum(0)
    return math.sqrt(2 / sums.max())
