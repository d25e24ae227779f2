"""Solid harmonic wavelets of densities, in Fourier.

    psi_lm(w) = c_l (2 pi)^1.5 (s |w|)^l exp(-s^2 |w|^2 / 2) Y_lm(w / |w|),   s = sigma,

w = 2 pi k / N by axis.

``Y_lm`` is the real spherical harmonic, so that every filter is real here; in space it is real but
for a factor ``(-i)^l``, which no modulus sees. Those of one ``l`` span what the complex ones span:
the norm over ``m`` is the same.

Source: M. Eickenberg, G. Exarchakis, M. Hirn, S. Mallat and L. Thiry, "Solid harmonic wavelet
scattering for predictions of molecule properties", J. Chem. Phys. 2018; constants of Kymatio.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..program.arrays import Packed, pack_arrays
from ..program.densities import DensityPlan, Harmonics
from ..program.table import Program

Array = NDArray[np.float64]


def solid_harmonics(shape: Sequence[int], sigma: float, l: int) -> Array:
    """The wavelets of width ``sigma`` voxels and degree ``l``, ``[2 l + 1, *shape]``, those of
    ``m = 0``, then of the cosine and the sine of each ``m``; of ``l = 0`` the Gaussian.

    Example:
        >>> psi = solid_harmonics((8, 8, 8), sigma=1, l=2)
        >>> psi.shape, float(solid_harmonics((8, 8, 8), 1, 0)[0, 0, 0, 0])
        ((5, 8, 8, 8), 1.0)
    """
    w = [2 * np.pi * np.fft.fftfreq(n) for n in shape]
    z, y, x = np.meshgrid(*(sigma * side for side in w), indexing="ij", sparse=True)
    with np.errstate(over="ignore"):
        r2 = x**2 + y**2 + z**2
    gaussian = np.exp(-r2 / 2)
    if l == 0:
        return gaussian[None]
    # where the Gaussian is 0 a power may be infinite
    z, y, x = (np.where(gaussian > 0, side, 0.0) for side in (z, y, x))
    return gaussian * (_constant(l) * (2 * np.pi) ** 1.5) * real_harmonics(x, y, z, l)


def _constant(l: int) -> float:
    """Of the norm, Kymatio's."""
    if l % 2 == 0:
        return 1 / (2 * math.pi * math.sqrt(l + 0.5) * math.prod(range(l + 1, 0, -2)))
    half = math.factorial((l + 1) // 2)
    return float(1 / (2 ** ((l + 3) / 2) * math.sqrt(math.pi * (2 * l + 1)) * half))


def real_harmonics(x: Array, y: Array, z: Array, l: int) -> Array:
    """``r^l Y_lm``, polynomials in the coordinates, ``[2 l + 1, ...]``: of the sum of their squares
    ``(2 l + 1) / (4 pi) r^(2 l)``.

    Example:
        >>> one = np.ones(1)
        >>> float((real_harmonics(one, 2 * one, 2 * one, 3) ** 2).sum() * 4 * np.pi / 7) / 3**6
        1.0...
    """
    r2 = x**2 + y**2 + z**2
    found = []
    cosine, sine = np.ones_like(r2), np.zeros_like(r2)  # r^m sin^m(polar) of m times the azimuth
    for m in range(l + 1):
        # Legendre's, (2 m - 1)!! at degree m, up to l
        before, legendre = np.zeros_like(r2), np.full_like(r2, math.prod(range(2 * m - 1, 0, -2)))
        for n in range(m + 1, l + 1):
            before, legendre = (
                legendre,
                ((2 * n - 1) * z * legendre - (n + m - 1) * r2 * before) / (n - m),
            )
        ratio = math.factorial(l - m) / math.factorial(l + m)
        scale = math.sqrt((2 * l + 1) / (4 * math.pi) * ratio * (2 if m else 1))
        found += [scale * legendre * part for part in ((cosine, sine) if m else (cosine,))]
        cosine, sine = x * cosine - y * sine, y * cosine + x * sine
    return np.stack(found)


def pack_densities(
    plan: DensityPlan, program: Program, sets: Sequence[Harmonics], sigma_0: float, dtype: Any
) -> Packed:
    """The filters of a program of :func:`scatcuda.program.densities.densities`."""

    def filters(several: Harmonics) -> Array:  # [count, *sides]
        sigma = sigma_0 * 2.0 ** (several.j - several.before)
        psi = solid_harmonics(plan.sides(several.before), sigma, several.l)
        if plan.all_orders or several.l == 0:
            return psi
        return psi[-2:] / math.sqrt(2)  # exp(-i l azimuth) by its cosine and its sine

    return pack_arrays(program, map(filters, sets), [], dtype)
