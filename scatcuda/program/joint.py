"""The cascade of signals of one axis jointly in time and log-frequency.

    U1(n1, t) = |x * psi_n1|(t),     Y(n1, t) = (U1 * psi_n2)(t)     or     (U1 * phi)(t),
    S(n1, t)  = A |Y * psi_n_fr along n1|,

the planes of neighbouring wavelets ``n1`` gathered along an axis of their own, of zeros behind the
last one, and filtered there: by a low-pass, and by wavelets of either spin, up and down. ``A``
averages over time here, and what leaves this program is averaged along ``n1`` by a matrix
(:func:`averaging`), which is all that is left of ``A``.

Source: J. Andén, V. Lostanlen and S. Mallat, "Joint time-frequency scattering", IEEE TSP 2019;
constants and the layout of Kymatio's development branch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import limits
from ..arguments import ArgumentError
from .builder import Builder
from .images import Path
from .signals import (
    _SIGMA_0,
    Average,
    Morlet,
    SignalPlan,
    gaussian,
    morlets,
)
from .steps import Average as AverageStep
from .steps import Axis, X
from .table import Program

_CALLER = "TimeFrequencyScattering"


@dataclass(frozen=True)
class JointPlan:
    """Which wavelets along log-frequency, and which joint paths. ``stride`` is the log2 of that
    along ``n1`` where coefficients are averaged there. ``chosen`` are the paths that are computed,
    sorted, or None for all."""

    time: SignalPlan
    J: int  # along log-frequency, as all that follows
    Q: int
    F: float
    average: Average = "local"
    stride: int | None = None
    chosen: tuple[Path, ...] | None = None

    def __post_init__(self) -> None:
        least = max(1 << self.deepest, len(self.time.banks[0]))
        if self.padded < least:
            raise ArgumentError(
                f"{_CALLER}: J_fr = {self.J} and F = {self.F:g} need more than the "
                f"{len(self.time.banks[0])} wavelets of J = {self.time.J} and Q = {self.time.Q[0]}"
            )
        limits.at_most(_CALLER, "the padded axis of wavelets", self.padded, limits.FILTERS)
        rows = sum(self.places(path) for path in self.paths if path) + 1
        limits.at_most(_CALLER, "the number of coefficients at a time", rows, limits.CHANNELS)
        if not self.time.holds(max((self.end(path) for path in self.paths if path), default=0)):
            raise self.time.too_short(_CALLER)

    @property
    def octaves(self) -> int:
        """Places that ``F`` may reach over: ``(J + 1) Q``."""
        return (self.time.J + 1) * self.time.Q[0]

    @property
    def log2_F(self) -> int:
        return math.floor(math.log2(self.F))

    @property
    def coarsest(self) -> int:
        """The resolution along ``n1`` of what is averaged there."""
        if self.average != "local":
            return 0
        return self.log2_F if self.stride is None else self.stride

    @property
    def log2_stride(self) -> int:
        """Of the coefficients along ``n1``."""
        return self.coarsest if self.average == "local" else self.log2_F

    @property
    def deepest(self) -> int:
        """The largest resolution along ``n1``."""
        return max(self.J, self.coarsest)

    @property
    def padded(self) -> int:
        """Places along ``n1``."""
        unit = 1 << self.J
        places = (self.octaves + 8 * int(min(self.F, unit))) // unit * unit
        return -(-places >> self.coarsest) << self.coarsest

    @cached_property
    def bank(self) -> tuple[Morlet, ...]:
        """Along ``n1``: the low-pass, of frequency 0, the wavelets of positive spin, then of
        negative."""
        up = morlets(self.J, self.Q)
        down = (Morlet(-xi, sigma, j) for xi, sigma, j in up)
        return Morlet(0.0, _SIGMA_0 / (1 << self.J), self.J), *up, *down

    def spin(self, n_fr: int) -> int:
        """1, 0 or -1."""
        xi = self.bank[n_fr].xi
        return (xi > 0) - (xi < 0)

    def resolution(self, n_fr: int) -> int:
        """Along ``n1``, of the planes of a wavelet."""
        j = self.bank[n_fr].j
        return min(j, self.coarsest) if self.average == "local" else j

    def length(self, path: Path) -> int:
        """How many ``n1`` there are: of order 2 those of a smaller scale than ``n2``."""
        first, second = self.time.banks
        if len(path) == 1:
            return len(first)
        return sum(wavelet.j < second[path[0]].j for wavelet in first)

    def places(self, path: Path) -> int:
        """Of a path's planes along ``n1``."""
        return self.padded >> self.resolution(path[-1])

    @cached_property
    def paths(self) -> tuple[Path, ...]:
        """``()``, ``(n_fr,)`` of spins that are not negative, ``(n2, n_fr)``."""
        if self.chosen is not None:
            return self.chosen
        first = [(n_fr,) for n_fr in range(len(self.bank)) if self.spin(n_fr) >= 0]
        second = [
            (n2, n_fr)
            for n2 in range(len(self.time.banks[1]))
            if self.length((n2, 0))
            for n_fr in range(len(self.bank))
        ]
        return (), *first, *second

    def kind(self, path: Path) -> Kind:
        """What the planes of a path have in common with others along ``n1``."""
        later = self.average != "none" and self.spin(path[-1]) != 0
        return Kind(self.resolution(path[-1]), later)

    def end(self, path: Path) -> int:
        """The resolution in time of a path's planes, or of its coefficients where they are averaged
        over some samples."""
        plan = self.time
        if plan.average == "local":
            return plan.coarsest
        return plan.banks[1][path[0]].j if len(path) == 2 else plan.log2_T

    def samples(self, path: Path) -> int:
        """In time, of a path's planes, padding and all."""
        return self.time.padded >> self.end(path) if path else self.time.padded

    def meta(self) -> dict[str, NDArray[np.float64] | NDArray[np.int64] | list[Path]]:
        """Of the joint paths ``order``, ``n2``, ``n_fr``, ``spin``, ``j`` and ``xi`` of the wavelet
        in time, ``j_fr``, ``xi_fr`` and ``sigma_fr`` of that along ``n1``, NaN where there is none;
        ``key``, the paths."""
        second = self.time.banks[1]
        names = "n2", "n_fr", "spin", "j", "xi", "j_fr", "xi_fr", "sigma_fr"
        found = np.full((len(names), len(self.paths)), np.nan)
        for row, path in zip(found.T, self.paths, strict=True):
            if path:
                psi = self.bank[path[-1]]
                row[[1, 2, 5, 6, 7]] = path[-1], self.spin(path[-1]), psi.j, psi.xi, psi.sigma
            if len(path) == 2:
                row[[0, 3, 4]] = path[0], second[path[0]].j, second[path[0]].xi
        order = np.array([len(path) for path in self.paths], dtype=np.int64)
        return {"order": order, **dict(zip(names, found, strict=True)), "key": list(self.paths)}


class Kind(NamedTuple):
    """Of planes along ``n1``: their resolution, and whether they are averaged there later."""

    resolution: int
    later: bool


class Planes(NamedTuple):
    """The channels of some paths of one kind: of each as many as there are places along ``n1``."""

    kind: Kind
    first: int
    paths: tuple[Path, ...]


class Joint(NamedTuple):
    """A program, what its tables are, and what its channels."""

    program: Program
    #: As of Cascade; of order -2 wavelets along n1
    sets: tuple[tuple[int, int, tuple[int, ...]], ...]
    matrices: tuple[tuple[int, bool], ...]  # as of Cascade
    planes: tuple[Planes, ...]  # order 0 is the first channel, and in none of these


def joint_of(plan: JointPlan) -> list[Joint]:
    """The programs of a plan: one, or, where nothing is averaged over time, one for each resolution
    in which paths end. Order 0 is the signal itself then, and in none of them."""
    if plan.time.average != "none":
        return [_joint(plan, plan.paths, plan.time.coarsest)]
    ends: dict[int, list[Path]] = {}
    for path in plan.paths:
        if path:
            ends.setdefault(plan.end(path), []).append(path)
    return [_joint(plan, tuple(paths), end) for end, paths in sorted(ends.items())]


def _joint(plan: JointPlan, paths: tuple[Path, ...], end: int) -> Joint:
    """The program of some paths, which end in one resolution where nothing is averaged."""
    signals = plan.time
    first, second = signals.banks
    axis = Axis(signals.N)
    if signals.padded > signals.N:
        after = signals.padded - signals.N - signals.before
        axis = Axis(signals.N, signals.pad, signals.before, after)
    b = Builder(axis)
    sets: dict[tuple[int, int, tuple[int, ...]], int] = {}
    matrices: dict[tuple[int, bool], int] = {}
    local = signals.average == "local"
    low, high = signals.inside(end)

    def filtered(source: int, order: int, res: int, wavelets: tuple[int, ...], to: int) -> int:
        key = order, res, wavelets
        if key not in sets:
            sets[key] = b.set(len(wavelets), signals.padded >> res)
        return b.wavelet(source, sets[key], 1 << (to - res), "none" if order else "modulus")

    def averaged(source: int, res: int, averages: bool) -> None:
        if signals.average == "global":
            b.mean(source)
            return
        key = res, averages
        if key not in matrices:
            matrices[key] = b.matrix(high - low, signals.padded >> res, 1 << (end - res))
        b.average(source, matrices[key])

    if () in paths:
        averaged(X, 0, local)
    # U1 of every scale that is needed
    longest = max((plan.length(path) for path in paths if path), default=0)
    U: list[tuple[int, int, tuple[int, ...]]] = []  # step, resolution, wavelets
    for j, neighbours in groupby(range(longest), lambda n1: first[n1].j):
        wavelets, res = tuple(neighbours), signals.resolution(j, 0)
        U.append((filtered(X, 0, 0, wavelets, res), res, wavelets))
    # Y of every n2, or of order 1 the averages S1, and what becomes of it along n1
    at: dict[int, tuple[Path, ...]] = {}  # paths of the steps that average
    for n2, several in groupby((path for path in paths if path), lambda path: path[:-1]):
        if n2:
            order, to = 1, signals.resolution(second[n2[0]].j, 0)
        else:
            order, to = -1, signals.coarsest if local else signals.log2_T
        length = plan.length((*n2, 0))
        Y = [filtered(step, order, res, n2 or (0,), to) for step, res, own in U if own[0] < length]
        table = [*range(length), *[None] * (plan.padded - length)]
        for kind, alike in groupby(sorted(several, key=plan.kind), plan.kind):
            found = tuple(alike)
            key = -2, 0, tuple(path[-1] for path in found)
            if key not in sets:
                sets[key] = b.set(len(found), plan.padded)
            step = b.group(Y, [table], sets[key], 1 << kind.resolution)
            at[len(b.steps)] = found
            averaged(step, to, order == 1 and local)
    # channels: those of one kind side by side
    steps = list(b.steps)
    channels = int(() in paths)
    planes: list[Planes] = []
    for kind in sorted({plan.kind(found[0]) for found in at.values()}):
        first_channel, places = channels, plan.padded >> kind.resolution
        own: list[Path] = []
        for i, found in at.items():
            if plan.kind(found[0]) != kind:
                continue
            writes = steps[i]
            assert isinstance(writes, AverageStep)
            steps[i] = replace(writes, channel=channels, strides=(0, places, 1))
            channels += len(found) * places
            own += found
        planes.append(Planes(kind, first_channel, tuple(own)))
    sides = () if signals.average == "global" else (high - low,)
    tables = tuple(b.sets), tuple(b.matrices), tuple(steps)
    program = Program(b.axes, channels, sides, *tables)
    return Joint(program, tuple(sets), tuple(matrices), tuple(planes))


def averaging(plan: JointPlan, resolution: int) -> NDArray[np.float64]:
    """The low-pass along ``n1``, ``[outputs, inputs]``, of planes of a resolution: ``F`` wide, or
    the sum over all of them."""
    places = plan.padded >> resolution
    if plan.average == "global":
        return np.ones((1, places))
    phi = gaussian(plan.padded, _SIGMA_0 / plan.F).reshape(1 << resolution, -1).sum(0)
    h = np.fft.ifft(phi).real
    outputs = np.arange(plan.padded >> plan.coarsest)[:, None] << (plan.coarsest - resolution)
    row: NDArray[np.float64] = h[(outputs - np.arange(places)) % places]
    return row
