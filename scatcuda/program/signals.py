"""The cascade of signals of one axis, whose wavelets have frequencies and no angles.

Its filters are Kymatio's: each order has a bank of its own, of ``Q`` wavelets an octave, and a path
goes on with a wavelet whose scale ``j`` is larger, or, where that is asked for, whose frequency is
lower. :class:`SignalPlan` says how long everything is,
:func:`cascade_of` makes the program, and which filters and low-passes it wants.

Source: J. Andén and S. Mallat, "Deep scattering spectrum", IEEE TSP 2014; constants of M. Andreux
et al., "Kymatio: scattering transforms in Python", JMLR 2020.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import accumulate, groupby
from operator import itemgetter
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .. import limits
from ..arguments import ArgumentError
from .builder import Builder
from .images import Path
from .steps import Average as AverageStep
from .steps import Axis, X
from .table import Program

Average: TypeAlias = Literal["local", "global", "none"]
Criterion: TypeAlias = Literal["scale", "frequency"]

_SIGMA_0 = 0.1  # width of the low-pass of T = 1, in cycles a sample
_ALPHA = 5.0  # half-width of a band, in widths of its Gaussian
_SEEN = 37.0  # from here on, in its widths, a Gaussian is 0 in float64 or nearly so
_R = math.sqrt(0.5)  # where neighbours meet
_SPECTRAL = 4  # octaves from which on an average is taken in Fourier


class Morlet(NamedTuple):
    """A wavelet: its frequency and its width in cycles a sample, and the log2 of the subsampling
    that it bears."""

    xi: float
    sigma: float
    j: int


@lru_cache(maxsize=256)
def morlets(J: int, Q: int) -> tuple[Morlet, ...]:
    """The bank of ``Q`` wavelets an octave, from the highest frequency on: a geometric progression
    while they are wider than ``0.1 / 2^J``, then evenly spaced ones of that width.

    Example:
        >>> bank = morlets(J=6, Q=8)
        >>> len(bank), bank[0].xi, bank[0].j, bank[-1].j
        (38, 0.435..., 0, 5)
    """
    narrowest = _SIGMA_0 / 2**J
    xi = max(1 / (1 + 2 ** (3 / Q)), 0.35)
    step = 2 ** (1 / Q)
    sigma = xi * ((1 - 1 / step) / (1 + 1 / step)) * (1 / math.sqrt(2 * math.log(1 / _R)))
    found: list[tuple[float, float]] = []
    elbow = sigma
    if sigma > narrowest:
        found.append((xi, sigma))
        while found[-1][1] > narrowest * step:
            found.append((found[-1][0] / step, found[-1][1] / step))
        elbow = found[-1][0]
    found += [(elbow - q / Q * elbow, narrowest) for q in range(1, Q)]
    return tuple(Morlet(xi, sigma, _subsampling(xi, sigma)) for xi, sigma in found)


def _subsampling(xi: float, sigma: float) -> int:
    return math.floor(-math.log2(min(xi + _ALPHA * sigma, 0.5))) - 1


@lru_cache(maxsize=64)
def half_support(N: int, sigma: float) -> tuple[int, bool]:
    """How far a Gaussian of ``N`` samples reaches, beyond which is a thousandth of its sum; and
    whether it does so within them."""
    g = np.abs(np.fft.ifft(gaussian(N, sigma)))[: N // 2]
    beyond = np.cumsum(g[::-1])[::-1]
    small = np.flatnonzero(beyond <= 1e-3)
    return (int(small[0]) + 1, True) if len(small) else (N // 2, False)


def periods(sigma: float) -> int:
    """How many periods of frequencies a Gaussian is summed over, before and behind."""
    return min(math.ceil(math.sqrt(-2 * sigma**2 * math.log(1e-7)) + 1), 5)


def gaussian(N: int, sigma: float) -> NDArray[np.float64]:
    """A Gaussian low-pass in Fourier, ``[N]``, of sum 1."""
    P = periods(sigma)
    w = np.fft.fftfreq(N) if P == 1 else np.arange((1 - P) * N, P * N) / N
    phi: NDArray[np.float64] = np.exp(-(w**2) / (2 * sigma**2)).reshape(-1, N).mean(0)
    return phi / np.abs(np.fft.ifft(phi)).sum()


@dataclass(frozen=True)
class SignalPlan:
    """Which wavelets, which paths, and how long everything is. ``Q`` has a number for each order
    that there may be; ``stride`` is the log2 of that of the coefficients, ``finer`` by how many
    octaves all steps are less subsampled. ``chosen`` are the paths that are computed, sorted, or
    None for all."""

    J: int
    N: int
    Q: tuple[int, ...]
    T: float
    average: Average = "local"
    max_order: int = 2
    stride: int | None = None
    finer: int = 0
    pad: str = "r"
    chosen: tuple[Path, ...] | None = None
    criterion: Criterion = "scale"

    def __post_init__(self) -> None:
        # of one far too long nobody computes how far its average reaches
        limits.at_most("Scattering1D", "the padded length", self._padded(1), limits.SIDE)
        limits.at_most("Scattering1D", "the padded length", self.padded, limits.SIDE)
        limits.at_most("Scattering1D", "the number of paths", self._count(), limits.CHANNELS)
        deepest = max((self.resolution(bank[-1].j, 0) for bank in self.banks), default=0)
        seen = all(self._has_a_bin(wavelet) for bank in self.banks for wavelet in bank)
        if not self.holds(max(deepest, self.coarsest)) or self.outputs < 1 or not seen:
            raise self.too_short("Scattering1D")

    def holds(self, res: int) -> bool:
        """Whether a plane of a resolution has a sample, and, where planes are written as they are,
        one inside the signal."""
        first, last = self.inside(res)
        return self.padded >= 1 << res and (self.average != "none" or last > first)

    def too_short(self, caller: str) -> ArgumentError:
        return ArgumentError(
            f"{caller}: J = {self.J} and T = {self.T:g} need signals longer than {self.N} samples"
        )

    def _has_a_bin(self, wavelet: Morlet) -> bool:
        """Whether any frequency but 0 is so near a wavelet that it is not 0 there in float64."""
        nearest = max(round(wavelet.xi * self.padded), 1) / self.padded
        return abs(nearest - wavelet.xi) < _SEEN * wavelet.sigma

    def _count(self) -> int:
        """How many paths there are, before any is listed."""
        total, paths = 1, [1]  # by their last wavelet
        for order, bank in enumerate(self.banks):
            sums = list(accumulate(paths, initial=0))
            paths = [sums[self._sources(order, wavelet)] for wavelet in bank]
            total += sum(paths)
        return total

    def _sources(self, order: int, wavelet: Morlet) -> int:
        """How many wavelets of the order before may come before one: the first so many."""
        if order == 0:
            return 1
        return bisect_left(self.banks[order - 1], self._rank(wavelet), key=self._rank)

    def _rank(self, wavelet: Morlet) -> float:
        """By which a path increases, and a bank, too."""
        return wavelet.j if self.criterion == "scale" else -wavelet.xi

    @property
    def banks(self) -> tuple[tuple[Morlet, ...], ...]:
        """Of each order."""
        return tuple(morlets(self.J, q) for q in self.Q[: self.max_order])

    @property
    def log2_T(self) -> int:
        """Of the low-pass."""
        return math.floor(math.log2(self.T))

    @cached_property
    def padded(self) -> int:
        """A power of two, at most three times the signal."""
        return self._padded(half_support(self.N, _SIGMA_0 / self.T)[0])

    def _padded(self, support: int) -> int:
        least = self.N + 6 * support
        return 1 << min(math.ceil(math.log2(least)), math.floor(math.log2(3 * self.N - 2)))

    @property
    def before(self) -> int:
        """Samples of padding."""
        return (self.padded - self.N) // 2

    @property
    def coarsest(self) -> int:
        """The resolution of the coefficients, where they are averaged."""
        if self.average != "local":
            return 0
        return max((self.log2_T if self.stride is None else self.stride) - self.finer, 0)

    def resolution(self, j: int, before: int) -> int:
        """That of a plane of scale ``j``, whose source has the resolution ``before``."""
        if self.average == "local":
            j = min(j, self.log2_T if self.stride is None else self.stride)
        return max(j - self.finer, before)

    def inside(self, res: int) -> tuple[int, int]:
        """First and last + 1 sample of the signal itself at a resolution."""
        first, last = self.before, self.before + self.N
        return -(-first >> res), -(-last >> res)

    @property
    def outputs(self) -> int:
        """Coefficients of a path, where they are averaged."""
        if self.average == "global":
            return 1
        first, last = self.inside(self.coarsest)
        return last - first

    @cached_property
    def paths(self) -> tuple[Path, ...]:
        """The path of every channel, ``(n1, n2, …)``: shorter ones first, then sorted."""
        if self.chosen is not None:
            return self.chosen
        layers: list[list[Path]] = [[()]]
        for order, bank in enumerate(self.banks):
            first = [self._sources(order, wavelet) for wavelet in bank]
            layers.append([
                (*path, n)
                for path in layers[-1]
                for n in range(bisect_right(first, path[-1] if path else 0), len(bank))
            ])  # fmt: skip
        return tuple(path for layer in layers for path in layer)

    def scales(self, path: Path) -> tuple[int, ...]:
        """``(j1, j2, …)``"""
        return tuple(bank[n].j for bank, n in zip(self.banks, path, strict=False))

    def resolution_of(self, path: Path) -> int:
        """Of the plane at the end of a path."""
        res = 0
        for j in self.scales(path):
            res = self.resolution(j, res)
        return res

    def meta(self) -> dict[str, NDArray[np.float64] | NDArray[np.int64] | list[Path]]:
        """``order [C]``; ``xi``, ``sigma``, ``j`` and ``n`` ``[C, max_order]``, NaN where there is
        no wavelet; ``key``, the paths."""
        found = np.full((4, len(self.paths), self.max_order), np.nan)
        for c, path in enumerate(self.paths):
            for k, n in enumerate(path):
                found[:, c, k] = *self.banks[k][n], n
        named = dict(zip(("xi", "sigma", "j", "n"), found, strict=True))
        order = np.array([len(path) for path in self.paths], dtype=np.int64)
        return {"order": order, **named, "key": list(self.paths)}


class Cascade(NamedTuple):
    """A program, and what its tables are."""

    program: Program
    #: Order, resolution, wavelets; of order -1 the low-pass
    sets: tuple[tuple[int, int, tuple[int, ...]], ...]
    #: Resolution, and whether it averages: otherwise it takes the samples inside the signal
    matrices: tuple[tuple[int, bool], ...]
    paths: tuple[Path, ...]  # of its channels


def cascades_of(plan: SignalPlan) -> list[Cascade]:
    """The programs of a plan: one, or, where nothing is averaged, one for each resolution in which
    paths end, since channels of a program are of one length. Order 0 is the signal itself then, and
    in none of them."""
    if plan.average != "none":
        return [cascade_of(plan, plan.paths)]
    ends: dict[int, list[Path]] = {}
    for path in plan.paths:
        if path:
            ends.setdefault(plan.resolution_of(path), []).append(path)
    return [cascade_of(plan, tuple(paths)) for _, paths in sorted(ends.items())]


@lru_cache(maxsize=64)
def cascade_of(plan: SignalPlan, paths: tuple[Path, ...]) -> Cascade:
    """The program of some paths, which end in one resolution where nothing is averaged."""
    axis = Axis(plan.N)
    if plan.padded > plan.N:
        axis = Axis(plan.N, plan.pad, plan.before, plan.padded - plan.N - plan.before)
    b = Builder(axis)
    sets: dict[tuple[int, int, tuple[int, ...]], int] = {}
    matrices: dict[tuple[int, bool], int] = {}
    local = plan.average == "local"
    end = plan.coarsest if local else plan.resolution_of(paths[-1])
    first, last = plan.inside(end)

    def filtered(source: int, order: int, res: int, wavelets: tuple[int, ...], to: int) -> int:
        key = order, res, wavelets
        if key not in sets:
            sets[key] = b.set(len(wavelets), plan.padded >> res)
        return b.wavelet(source, sets[key], 1 << (to - res))

    def written(source: int, res: int, averages: bool) -> None:
        if (res, averages) not in matrices:
            matrices[res, averages] = b.matrix(last - first, plan.padded >> res, 1 << (end - res))
        b.average(source, matrices[res, averages])

    ways: dict[int, _Way] = {}  # to each step that writes

    def averaged(source: int, res: int, way: _Way) -> None:
        if plan.average == "global":
            b.mean(source)
        elif not local:
            written(source, res, False)
        elif source == X or end - res < _SPECTRAL:
            written(source, res, True)
        else:
            # The average of what is positive is its own modulus: a few bins of its spectrum do,
            # and no sum of thousands of terms.
            written(filtered(source, -1, res, (0,), end), end, False)
            way = *way, (-1,)
        ways[len(b.steps) - 1] = way

    layer: list[tuple[int, int, _Way, _Tree]] = [(X, 0, (), _tree(plan, 0, sorted(paths)))]
    for order in range(plan.max_order + 1):
        longer = []
        for source, res, way, (ends, branches) in layer:
            if ends:
                averaged(source, res, way)
            for wavelets, below in branches:
                to = plan.resolution(plan.banks[order][wavelets[0]].j, res)
                U = filtered(source, order, res, wavelets, to)
                longer.append((U, to, (*way, wavelets), below))
        layer = longer
    in_order = tuple(sorted(paths, key=lambda path: (len(path), path)))
    channel = {path: c for c, path in enumerate(in_order)}
    steps = list(b.steps)
    for i, way in ways.items():
        step = steps[i]
        assert isinstance(step, AverageStep)
        start = [several[0] for several in way]

        def at(numbers: Sequence[int]) -> int:
            return channel[tuple(n for n in numbers if n >= 0)]

        strides = tuple(
            at([*start[:d], several[1], *start[d + 1 :]]) - at(start) if len(several) > 1 else 0
            for d, several in enumerate(way)
        )
        steps[i] = replace(step, channel=at(start), strides=strides)
    sides = () if plan.average == "global" else (last - first,)
    tables = tuple(b.sets), tuple(b.matrices), tuple(steps)
    program = Program(b.axes, len(in_order), sides, *tables)
    return Cascade(program, tuple(sets), tuple(matrices), in_order)


_Way: TypeAlias = "tuple[tuple[int, ...], ...]"  # the wavelets of each step
_Tree: TypeAlias = "tuple[bool, list[tuple[tuple[int, ...], _Tree]]]"


def _tree(plan: SignalPlan, order: int, paths: Sequence[Path]) -> _Tree:
    """What becomes of a plane: whether it is averaged, and the wavelets that go on from it, side by
    side where they have one scale and go on alike. ``paths`` are sorted, what is left of them."""
    below = [
        (n, _tree(plan, order + 1, [path[1:] for path in several]))
        for n, several in groupby((path for path in paths if path), itemgetter(0))
    ]
    alike = groupby(below, lambda branch: (plan.banks[order][branch[0]].j, branch[1]))
    branches = [(tuple(n for n, _ in several), tree) for (_, tree), several in alike]
    return () in paths[:1], branches
