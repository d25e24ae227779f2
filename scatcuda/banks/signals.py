"""Filters of signals of one axis, in Fourier: Morlet wavelets and a Gaussian low-pass, as Kymatio
has them.

    psi(w) = g(w - xi) - kappa g(w),   g(w) = exp(-w^2 / (2 sigma^2)),

summed over the periods of the frequencies, ``kappa`` such that ``psi(0) = 0``, divided by the sum
of ``|psi(t)|``. A filter at a lower resolution is made periodic there: Kymatio 0.3.0 takes the mean
over the aliases, its development branch their sum, which is ``2^res`` times as large.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..program.packing import Packed, pack_program
from ..program.signals import Cascade, Morlet, SignalPlan, gaussian, periods

Aliases: TypeAlias = Literal["mean", "sum"]


def morlet_1d(N: int, wavelet: Morlet) -> NDArray[np.float64]:
    """A wavelet in Fourier, ``[N]``, real.

    Example:
        >>> from scatcuda.program.signals import morlets
        >>> psi = morlet_1d(256, morlets(4, 1)[0])
        >>> int(psi.argmax()), float(psi[0])
        (90, 0.0)
    """
    xi, sigma, _ = wavelet
    P = periods(sigma)
    w = np.arange((1 - P) * N, P * N) / N
    low = np.fft.fftfreq(N) if P == 1 else w

    def summed(v: NDArray[Any]) -> NDArray[np.float64]:
        kept = np.abs(v) < 39 * sigma  # beyond, it is 0 in float64
        g = np.zeros_like(v)
        g[kept] = np.exp(-(v[kept] ** 2) / (2 * sigma**2))
        total: NDArray[np.float64] = g.reshape(-1, N).mean(0)
        return total

    band, base = summed(w - xi), summed(low)
    psi = band - band[0] / base[0] * base
    return psi / np.abs(np.fft.ifft(psi)).sum()


def periodised(f: NDArray[np.float64], res: int, aliases: Aliases) -> NDArray[np.float64]:
    """Filters ``[..., N]`` on the grid of a resolution, ``[..., N / 2^res]``."""
    folded = f.reshape(*f.shape[:-1], 1 << res, -1)
    kept: NDArray[np.float64] = folded.mean(-2) if aliases == "mean" else folded.sum(-2)
    return kept


def lowpass_rows(phi: NDArray[np.float64], res: int, plan: SignalPlan) -> NDArray[np.float64]:
    """The low-pass at a resolution as a matrix: ``A[p, u] = phi(2^k p - u)``, ``k`` the octaves
    from there to the coefficients, of the samples inside the signal."""
    side = plan.padded >> res
    h = np.fft.ifft(phi).real
    p = np.arange(*plan.inside(plan.coarsest)) << (plan.coarsest - res)
    rows: NDArray[np.float64] = h[(p[:, None] - np.arange(side)) % side]
    return rows


def pack_signals(
    plan: SignalPlan, cascade: Cascade, aliases: Aliases, dtype: torch.dtype
) -> Packed:
    """The filters of one of the plan's programs, as the engines read them."""
    N = plan.padded
    made: dict[tuple[int, int], NDArray[np.float64]] = {}

    def wavelet(order: int, n: int) -> NDArray[np.float64]:
        if (order, n) not in made:
            made[order, n] = morlet_1d(N, plan.banks[order][n])
        return made[order, n]

    phi = gaussian(N, 0.1 / plan.T)

    def several(order: int, wavelets: tuple[int, ...]) -> NDArray[np.float64]:
        return phi[None] if order < 0 else np.stack([wavelet(order, n) for n in wavelets])

    psi = [
        _tensor(periodised(several(order, wavelets), res, aliases))
        for order, res, wavelets in cascade.sets
    ]
    matrices = [
        _tensor(lowpass_rows(periodised(phi, res, aliases), res, plan) if averages
                else _selected(plan, res))
        for res, averages in cascade.matrices
    ]  # fmt: skip
    return pack_program(cascade.program, psi, matrices, dtype)


def _selected(plan: SignalPlan, res: int) -> NDArray[np.float64]:
    """The samples inside the signal as they are."""
    first, last = plan.inside(res)
    rows = np.zeros((last - first, plan.padded >> res))
    rows[np.arange(last - first), np.arange(first, last)] = 1
    return rows


def _tensor(array: NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))
