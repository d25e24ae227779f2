"""Wavelets of one scale for signals and images of any sides, by name: what statistics of periodic
fields are computed with. Real and in Fourier, float64; frequencies ``k`` are in radians a pixel.

The steerable ones are given in Fourier, a radial profile times an angular one, and summed over the
periods of the frequencies that a grid has.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..program.arrays import Packed
from ..program.covariance import CovariancePlan
from ..program.phases import PhasePlan
from ..program.signals import Morlet, morlets
from .morlet import oriented_morlet
from .signals import dense, morlet_band

Array = NDArray[np.float64]


def oriented(
    name: str, shape: Sequence[int], octave: float, angles: Sequence[float], Q: int = 1
) -> Array:
    """The wavelets ``[len(angles), *shape]`` at scale ``2^octave`` of a bank that has a name.

    Args:
        name: ``"morlet"``, as in :func:`~scatcuda.banks.morlet_bank` and of signals in
            :class:`~scatcuda.Scattering1D`; ``"bump"``: bump-steerable, 0 from twice its central
            frequency ``0.85 pi / 2^octave`` on; ``"gaussian"``: steerable, ``k^2`` times a
            Gaussian; ``"shannon"``: 1 in an octave around ``0.75 pi / 2^octave`` and a sector.
        shape: ``(M, N)``, or ``(N,)``, where the only angle is that of positive frequencies.
        angles: directions, from the first axis to the last, in radians.
        Q: of Morlet wavelets of signals, how many there are in an octave.
    Source: J. Bruna and S. Mallat, PAMI 2013; S. Mallat, S. Zhang and G. Rochette, "Phase harmonic
        correlations and convolutional neural networks", 2019; S. Cheng et al., "Scattering spectra
        models for physics", 2023.
    Example:
        >>> oriented("bump", (32, 24), 1, [0.0, math.pi / 2]).shape
        (2, 32, 24)
    """
    if name == "morlet":
        if len(shape) == 1:
            first = morlets(1, Q)[0]
            wavelet = Morlet(first.xi / 2**octave, first.sigma / 2**octave, 0)
            return dense(morlet_band(shape[0], wavelet), shape[0])[None]
        made = [oriented_morlet(shape, octave, angle, len(angles)) for angle in angles]
        return np.stack(made)
    profile = _STEERABLE[name]
    psi = np.zeros((len(angles), *shape))
    # Wavelets reach as far as two periods at most; where they do, only the finest.
    for period in itertools.product((0, -1), repeat=len(shape)):
        axes = [2 * math.pi * (np.arange(n) / n + p) for n, p in zip(shape, period, strict=True)]
        if len(shape) == 1:
            psi[0] += profile(np.abs(axes[0]), np.where(axes[0] < 0, -1.0, 1.0), 1, octave)
            continue
        k, direction = np.hypot(axes[0][:, None], axes[1]), np.arctan2(axes[1], axes[0][:, None])
        for i, angle in enumerate(angles):
            psi[i] += profile(k, np.cos(direction - angle), len(angles), octave)
    psi.reshape(len(psi), -1)[:, 0] = 0
    return psi


def _steered(along: Array, power: float) -> Array:
    return np.where(along > 0, np.abs(along) ** power, 0.0)


def _bump(k: Array, along: Array, L: int, octave: float) -> Array:
    xi = 0.85 * math.pi / 2**octave
    inside = (k > 0) & (k < 2 * xi)
    distance = np.where(inside, (k - xi) / xi, 0.0) ** 2
    radial = np.where(inside, np.exp(-distance / (1 - distance)), 0.0)
    log_c = (L - 1) * math.log(2) + math.lgamma(L) - math.lgamma(2 * L - 1) / 2
    return math.exp(log_c) / (1.29 * math.sqrt(L)) * radial * _steered(along, L - 1)


def _gaussian(k: Array, along: Array, L: int, octave: float) -> Array:
    xi = 0.75 * math.pi / 2**octave
    radial = (2 * k / xi) ** 2 * np.exp(-((1.4 * k / xi) ** 2) / 2)
    half = L / 2
    log_c = (half - 1) * math.log(2) + math.lgamma(half) - math.lgamma(max(L - 1, 1)) / 2
    return math.exp(log_c) / (1.29 * math.sqrt(half)) * radial * _steered(along, half + 1)


def _shannon(k: Array, along: Array, L: int, octave: float) -> Array:
    xi = 0.75 * math.pi / 2**octave
    octaves = (k > xi / math.sqrt(2)) & (k <= xi * math.sqrt(2))
    # a direction between two sectors belongs to both by half
    apart = np.arccos(np.clip(along, -1, 1)) - math.pi / (2 * L)
    sector: Array = np.where(np.abs(apart) < 1e-9, 0.5, np.where(apart < 0, 1.0, 0.0))
    return np.where(octaves, sector, 0.0)


_STEERABLE: dict[str, Callable[[Array, Array, int, float], Array]] = {
    "bump": _bump,
    "gaussian": _gaussian,
    "shannon": _shannon,
}


def wavelets_of(plan: CovariancePlan | PhasePlan, name: str, j: int) -> Array:
    """The wavelets ``[L, *shape]`` of scale ``j`` of a plan."""
    return oriented(name, plan.shape, j / plan.Q, plan.directions, plan.Q)


def pack_fields(plan: CovariancePlan | PhasePlan, name: str, dtype: Any) -> Packed:
    """The filters of a plan's program, as the engines read them."""
    return plan.packed((wavelets_of(plan, name, j) for j in range(plan.scales)), dtype)
