"""Filters of signals of one axis, in Fourier: Morlet wavelets and a Gaussian low-pass, as Kymatio
has them.

    psi(w) = g(w - xi) - kappa g(w),   g(w) = exp(-w^2 / (2 sigma^2)),

summed over the periods of the frequencies, ``kappa`` such that ``psi(0) = 0``, divided by the sum
of ``|psi(t)|``. A filter at a lower resolution is made periodic there: Kymatio 0.3.0 takes the mean
over the aliases, its development branch their sum, which is ``2^res`` times as large.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..program.arrays import Band, Bands, Packed, pack_arrays
from ..program.joint import Joint, JointPlan
from ..program.signals import Cascade, Morlet, SignalPlan, gaussian, periods
from ..program.table import Program

Aliases: TypeAlias = Literal["mean", "sum"]

_NOTHING = 39.0  # widths of a Gaussian beyond which it is 0 in float64


def morlet_band(N: int, wavelet: Morlet) -> Band:
    """The bins of ``N`` in which a wavelet in Fourier, which is real, is more than 0.

    Example:
        >>> from scatcuda.program.signals import morlets
        >>> first, values = morlet_band(256, morlets(4, 8)[20])
        >>> first - 256, len(values), first - 256 + int(values.argmax())
        (-62, 133, 8)
    """
    xi, sigma, _ = wavelet
    P = periods(sigma)

    def bell(centre: float) -> Band:
        first = max(math.ceil(N * (centre - _NOTHING * sigma)), (1 - P) * N)
        last = min(math.floor(N * (centre + _NOTHING * sigma)), P * N - 1)
        v = np.arange(first, last + 1) / N - centre
        return Band(first, np.exp(-(v**2) / (2 * sigma**2)) / (2 * P - 1))

    band, base = bell(xi), bell(0.0)
    first = min(band.first, base.first)
    psi = np.zeros(max(band.first + len(band.values), base.first + len(base.values)) - first)

    def added(part: Band, factor: float) -> None:
        psi[part.first - first :][: len(part.values)] += factor * part.values

    def at_zero(part: Band) -> float:
        return float(part.values[-part.first % N :: N].sum()) if part.first <= 0 else 0.0

    added(band, 1.0)
    added(base, -at_zero(band) / at_zero(base))
    found = folded(Band(first, psi), N)
    return Band(found.first, found.values / _norm(found, N, wavelet))


def _norm(psi: Band, N: int, wavelet: Morlet) -> float:
    """The sum of ``|psi(t)|``, over every so many samples where that is the same to the last bit:
    ``|psi| = g |1 - kappa e^{-i xi t}|`` has the harmonics ``kappa^n`` of ``xi``, of which as many
    matter as make it 1e-16; unless its ends meet round the edge."""
    xi, sigma, _ = wavelet
    widest = 2 * (72 * sigma**2 / abs(xi) + 9 * sigma) if sigma * N > 4 else 1
    M = min(N, 1 << max(math.ceil(math.log2(widest * N)), 1))
    return float(np.abs(np.fft.ifft(dense(folded(psi, M), M))).sum())


def folded(band: Band, side: int) -> Band:
    """A band modulo so many bins, the sum of those that meet."""
    first, values = band.first % side, band.values
    if len(values) <= side:
        return Band(first, values)
    whole = np.zeros(-(-(first + len(values)) // side) * side)
    whole[first : first + len(values)] = values
    return Band(0, whole.reshape(-1, side).sum(0))


def dense(band: Band, side: int) -> NDArray[np.float64]:
    """All bins of a band that is not longer than they are."""
    f = np.zeros(side)
    end = min(band.first + len(band.values), side)
    f[band.first : end] = band.values[: end - band.first]
    f[: len(band.values) - (end - band.first)] = band.values[end - band.first :]
    return f


def periodised(band: Band, N: int, res: int, aliases: Aliases) -> Band:
    """A filter of ``N`` bins on the grid of a resolution, ``N / 2^res``."""
    found = folded(band, N >> res)
    return Band(found.first, found.values / (1 << res)) if aliases == "mean" else found


def levels_of(band: Band, N: int, count: int, aliases: Aliases) -> list[NDArray[np.float32]]:
    """A filter of ``N`` bins at so many resolutions, as Kymatio lists it: ``[N / 2^res, 1]``,
    float32."""
    levels = (dense(periodised(band, N, res, aliases), N >> res) for res in range(count))
    return [level.astype(np.float32)[:, None] for level in levels]


def lowpass_band(N: int, T: float) -> Band:
    """The Gaussian low-pass."""
    return Band(0, gaussian(N, 0.1 / T))


def lowpass_row(phi: NDArray[np.float64], res: int, plan: SignalPlan) -> NDArray[np.float64]:
    """The low-pass at a resolution, ``h[u] = phi(2^k p - u)``, ``k`` the octaves from there to the
    coefficients, for the first of these, ``p``, inside the signal. Those of the next ones are it,
    turned by ``2^k`` each."""
    side = plan.padded >> res
    first, _ = plan.inside(plan.coarsest)
    h = np.fft.ifft(phi).real
    row: NDArray[np.float64] = h[((first << (plan.coarsest - res)) - np.arange(side)) % side]
    return row


def pack_signals(plan: SignalPlan, cascade: Cascade, aliases: Aliases, dtype: Any) -> Packed:
    """The filters of one of the plan's programs, as the engines read them."""
    return _packed(plan, cascade.program, cascade.sets, cascade.matrices, aliases, dtype, ())


def pack_joint(plan: JointPlan, joint: Joint, dtype: Any) -> Packed:
    """The same of a joint plan, whose coarse filters are sums of aliases."""
    along = [wavelet_along(plan, n_fr) for n_fr in range(len(plan.bank))]
    tables = joint.program, joint.sets, joint.matrices
    return _packed(plan.time, *tables, "sum", dtype, along)


def wavelet_along(plan: JointPlan, n_fr: int) -> Band:
    """A filter along the axis of wavelets."""
    psi = plan.bank[n_fr]
    if psi.xi == 0:
        return Band(0, gaussian(plan.padded, psi.sigma))
    return morlet_band(plan.padded, psi)


def _packed(
    plan: SignalPlan,
    program: Program,
    sets: Sequence[tuple[int, int, tuple[int, ...]]],
    matrices: Sequence[tuple[int, bool]],
    aliases: Aliases,
    dtype: Any,
    along: Sequence[Band],
) -> Packed:
    N = plan.padded
    made: dict[tuple[int, int], Band] = {}

    def filter_of(order: int, n: int, res: int) -> Band:
        if (order, n) not in made:
            low = order < 0
            made[order, n] = (
                lowpass_band(N, plan.T) if low else morlet_band(N, plan.banks[order][n])
            )
        return periodised(made[order, n], N, res, aliases)

    psi = [
        Bands([along[n] for n in wavelets], *one.sides)
        if order == -2
        else Bands([filter_of(order, n, res) for n in wavelets], N >> res)
        for (order, res, wavelets), one in zip(sets, program.sets, strict=True)
    ]

    def row_of(res: int, averages: bool) -> NDArray[np.float64]:
        if not averages:
            return _selected(plan, res)
        return lowpass_row(dense(filter_of(-1, 0, res), N >> res), res, plan)

    return pack_arrays(program, psi, [row_of(*key) for key in matrices], dtype)


def _selected(plan: SignalPlan, res: int) -> NDArray[np.float64]:
    """The first sample inside the signal as it is."""
    row = np.zeros(plan.padded >> res)
    row[plan.inside(res)[0]] = 1
    return row
