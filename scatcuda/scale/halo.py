"""How far the pixels reach that a coefficient depends on.

    |δS(u)| ≤ (|φ| ⋆ |ψ_k| ⋆ … ⋆ |ψ_1| ⋆ |δx|)(u),   as the modulus does not expand

A change of pixels that are further than ``h`` from ``u``, by at most 1, changes no coefficient by
more than what of that kernel lies beyond ``h``. Its marginal along an axis is the convolution of
those of its factors. Of Morlet wavelets and Gaussians these are Gaussians, whose variances add up:
the engine's filters sum their periods, which have the same tail. Of other banks they are computed.

One thing falls off more slowly. Planes of the largest scale have two samples for a coefficient, and
the spectrum of their low-pass ends where it is a twenty-fifth of its peak, as in Kymatio: its taps
fall as ``1 / h^2``, and what they add is of alternating sign. This part is measured, not bounded:
on noise and photographs coefficients differ by less than ``1e-3 (2^J / h)^2``, relative in L2
(``python -m benchmarks.scale --halo``).
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..banks.bank import FilterBank
from ..banks.morlet import tight_bank
from ..program.images import directions
from ..transforms.scattering1d import Scattering1D
from ..transforms.scattering2d import Scattering2D

_NAME = "halo"
_LEAST = 1e-6  # in float32 every coefficient depends a little on all pixels
_TAPS = 1e-3  # times (2^J / h)^2: what the low-pass of the largest scale lets through
_WIDTH = 32  # sides of a bank, in 2^J


def halo(scattering: Scattering1D[Tensor] | Scattering2D[Tensor], tolerance: float = 1e-5) -> int:
    """How many pixels around a block its coefficients depend on.

    Coefficients of a block with its halo differ by less than `tolerance`, relative in L2, from
    those of the whole image: as a bound for all but the last part of the low-pass, of images for
    that too, by measurement; see the head of this file.

    Args:
        scattering: a transform of images or signals whose filters are fixed and which averages. The
            halo does not depend on the size of what it transforms: a small one will do.
        tolerance: from 1e-6 to 0.1.
    Returns: Pixels or samples, a multiple of the distance from one coefficient to the next; for
        images the same for rows and columns.
    Raises:
        TypeError: it is another transform.
        ValueError: its filters are learned, it averages over everything or over nothing,
            `tolerance` is out of range, or a bank of your own reaches further than its own size.
    Example:
        >>> halo(Scattering2D(J=3, shape=(32, 32))), halo(Scattering2D(J=5, shape=(64, 64)))
        (80, 320)
        >>> halo(Scattering2D(J=3, shape=(32, 32)), tolerance=1e-3)
        32
        >>> halo(Scattering1D(J=6, shape=4096, Q=8))
        768
    """
    if not _LEAST <= tolerance <= 0.1:
        raise ValueError(f"{_NAME}: tolerance must be from {_LEAST:g} to 0.1; got {tolerance!r}")
    if not isinstance(scattering, Scattering1D | Scattering2D):
        raise TypeError(
            f"{_NAME}: scattering must be a Scattering1D or Scattering2D; got "
            f"{type(scattering).__name__}"
        )
    if scattering.trainable is not None:
        raise ValueError(f"{_NAME}: the filters of scattering must be fixed, not trainable")
    if isinstance(scattering, Scattering1D):
        return _of_signals(scattering, tolerance)
    step = 1 << scattering.J
    if scattering.filters == "morlet":
        reach = _of_morlets(scattering, tolerance)
    else:
        reach = _of_bank(scattering, tolerance)
    if scattering.J > 1 and scattering.max_order > 0:
        reach = max(reach, step * math.sqrt(_TAPS / tolerance))
    return max(step, -(-math.ceil(round(reach, 6)) // step) * step)


def _gaussian_reach(variance: float, mass: float, tolerance: float) -> float:
    """Beyond which a Gaussian of this sum has less than the tolerance, on both sides."""
    low, high = 0.0, 1.0
    sigma = math.sqrt(2 * variance)
    while mass * math.erfc(high) > tolerance:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if mass * math.erfc(middle) > tolerance else (low, middle)
    return high * sigma


def _of_morlets(scattering: Scattering2D, tolerance: float) -> float:
    """By the variances along rows and along columns of the filters on each path."""
    J, L = scattering.J, scattering.L
    angles, slant = np.array(directions(L)), 4 / L
    sigma = 0.8 * 2.0 ** np.arange(J)[:, None]
    around = np.cos(angles) ** 2, np.sin(angles) ** 2
    # The envelope is a Gaussian of deviation sigma along the wave and sigma / slant across it.
    variances = np.stack([
        sigma**2 * (along + across / slant**2) for along, across in (around, around[::-1])
    ])  # [2, J, L]  # fmt: skip
    variances = np.concatenate([variances.reshape(2, -1), np.zeros((2, 1))], 1)  # -1: no wavelet
    paths = scattering.meta()["n"]
    total = variances[:, paths].sum(-1).max() + (0.8 * 2 ** (J - 1)) ** 2
    # Rows and columns, and of each wavelet |exp(i ξ u) - κ| ≤ 1 + κ times its envelope.
    kappa = math.exp(-((0.8 * 0.75 * math.pi) ** 2) / 2)
    mass = 2 * (1 + kappa) ** int(scattering.meta()["order"].max())
    return _gaussian_reach(float(total), mass, tolerance)


def _of_signals(scattering: Scattering1D, tolerance: float) -> int:
    """In time a filter of width sigma in frequency has the deviation 1 / (2 π sigma)."""
    if not scattering.average or scattering.output_shape[1] == 1:
        raise ValueError(
            f"{_NAME}: scattering must average locally: over all of the signal a coefficient "
            "depends on all of it, and without an average each path has its own step"
        )
    widths = np.nan_to_num(scattering.meta()["sigma"], nan=np.inf).reshape(-1, scattering.max_order)
    seconds = (1 / (2 * math.pi * widths)) ** 2
    low = (scattering.T / (2 * math.pi * 0.1)) ** 2
    total = float(seconds.sum(-1).max(initial=0)) + low
    mass = 2.0**scattering.max_order  # |exp(i ξ u) - κ| ≤ 2
    step = scattering.stride
    return -(-math.ceil(_gaussian_reach(total, mass, tolerance)) // step) * step


def _of_bank(scattering: Scattering2D, tolerance: float) -> float:
    """By the filters themselves, each axis for itself."""
    J, side = scattering.J, _WIDTH << scattering.J
    named = not isinstance(scattering.filters, FilterBank)
    bank = tight_bank((side, side), J, scattering.L) if named else scattering.bank
    meta = scattering.meta()
    scales = {tuple(j for j in row if j >= 0) for row in meta["j"].tolist()}
    reach = 0.0
    for axis in (0, 1):
        low = _marginals(bank.phi[None], axis)
        each = [_marginals(bank.scale(j), axis) for j in range(J)]
        for path in scales:
            kernel = _convolved([low, *(each[j] for j in path)])
            beyond = _beyond(kernel)
            small = np.flatnonzero(2 * beyond <= tolerance)  # rows and columns
            if not len(small):
                raise ValueError(
                    f"{_NAME}: a bank of {tuple(bank.shape)} reaches further than its own size; "
                    "take a larger tolerance, or a larger bank"
                )
            reach = max(reach, float(small[0]))
    return reach


def _marginals(filters: torch.Tensor, axis: int) -> NDArray[np.float64]:
    """``[side]``: at each distance along an axis the largest sum of moduli of some filters
    ``[L, Mp, Np]``, given in Fourier."""
    f = torch.fft.ifft2(filters).abs()
    return f.sum(-1 if axis == 0 else -2).amax(0).double().numpy()


def _convolved(factors: Iterable[NDArray[np.float64]]) -> NDArray[np.float64]:
    spectrum = np.prod([np.fft.rfft(f) for f in factors], 0)
    side = len(next(iter(factors)))
    return np.maximum(np.fft.irfft(spectrum, side), 0)


def _beyond(kernel: NDArray[np.float64]) -> NDArray[np.float64]:
    """What of a kernel is further than 0, 1, …, half its side."""
    side = len(kernel)
    half = side // 2
    both = kernel[: half + 1].copy()
    both[1 : side - half] += kernel[:half:-1][: side - half - 1]
    return np.append(np.cumsum(both[::-1])[::-1][1:], 0.0)[:half]
