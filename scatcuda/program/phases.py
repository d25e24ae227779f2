"""The program of wavelet phase harmonics: covariances of wavelet coefficients whose phases are
multiplied, so that those of different scales interfere,

    C(tau) = Cov([W_1 x]^p1 (u + tau), [W_2 x]^p2 (u)),        [z]^p = |z| e^{i p arg z}.

S. Mallat, S. Zhang, G. Rochette, "Phase harmonic correlations and convolutional neural networks",
2019; E. Allys et al., "New interpretable statistics for large-scale structure", 2020, whose classes
and shifts these are.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .arrays import Floats, Packed, cropped, pack_arrays
from .builder import Builder
from .covariance import folds_of
from .steps import X
from .table import Program

CLASSES = ("S11", "S00", "S01", "C01", "Cphase")


class Moment(NamedTuple):
    """Of a class; scales, angles and powers of both sides; radius and direction of the shift."""

    kind: str
    j1: int
    theta1: int
    p1: int
    j2: int
    theta2: int
    p2: int
    n: int = 0
    alpha: int = 0


@dataclass(frozen=True)
class PhasePlan:
    """What is computed: ``L`` angles at ``J`` scales, the classes, shifts of ``dn`` radii in ``A``
    directions of half a turn; scales at most ``dj`` and angles at most ``dl`` apart."""

    shape: tuple[int, int]
    J: int
    L: int
    A: int
    dn: int
    dj: int
    dl: int
    classes: tuple[str, ...]
    grid_of_shifts: str  # exp or legacy
    oversampling: int = 0

    @property
    def scales(self) -> int:
        """Of the wavelets, an octave apart."""
        return self.J

    @property
    def Q(self) -> int:
        """Wavelets an octave."""
        return 1

    @property
    def directions(self) -> tuple[float, ...]:
        """From the first axis to the second, in radians."""
        return tuple(math.pi / 2 - t * math.pi / self.L for t in range(self.L))

    def folds(self, j: int) -> tuple[int, ...]:
        """By how much planes are subsampled whose finest scale is ``j``."""
        return folds_of(self.shape, j, self.oversampling)

    def grid(self, j: int) -> tuple[int, ...]:
        """The sides of these planes."""
        return tuple(side // k for side, k in zip(self.shape, self.folds(j), strict=True))

    def shift(self, moment: Moment) -> tuple[int, int]:
        """``tau``, by axis: along the direction of the second wavelet for ``alpha`` = 0."""
        legacy = self.grid_of_shifts == "legacy"
        size = 3.0 * moment.n * 2**moment.j2 if legacy else float(moment.n > 0) * 2.0**moment.n
        angle = moment.theta2 * math.pi / self.L - moment.alpha * math.pi / self.A
        # from the last axis to the first; halves to even numbers
        return round(size * math.sin(angle)), round(size * math.cos(angle))

    @cached_property
    def moments(self) -> tuple[Moment, ...]:
        """All of them, in order."""
        return tuple(m for kind in CLASSES if kind in self.classes for m in self._of(kind))

    def _radii(self, j: int, always: bool = False) -> int:
        narrow = always or self.grid_of_shifts == "legacy"
        return min(self.J - 1 - j, self.dn) if narrow else self.dn

    def _shifted(self, moment: Moment, radii: int, directions: int) -> Iterator[Moment]:
        yield moment
        for n in range(1, radii + 1):
            for alpha in range(directions):
                yield moment._replace(n=n, alpha=alpha)

    def _of(self, kind: str) -> Iterator[Moment]:
        scales, angles = range(self.J), range(self.L)
        if kind in ("S11", "S00", "S01"):
            p1, p2 = int(kind[1]), int(kind[2])
            for j in scales:
                for t in angles:
                    radii = 0 if kind == "S01" else self._radii(j)
                    yield from self._shifted(Moment(kind, j, t, p1, j, t, p2), radii, self.A)
            return
        for j1 in scales:
            for j2 in range(j1 + 1, min(j1 + 1 + self.dj, self.J)):
                for t1 in angles:
                    if kind == "Cphase":
                        moment = Moment(kind, j1, t1, 1, j2, t1, 2 ** (j2 - j1))
                        radii = self._radii(j2, always=True)
                        yield from self._shifted(moment, radii, 2 * self.A)
                        continue
                    for t2 in range(t1 - self.dl, t1 + self.dl):
                        moment = Moment(kind, j1, t1, 0, j2, t2 % self.L, 1)
                        radii = self._radii(j2) if t2 == t1 else 0
                        yield from self._shifted(moment, radii, 2 * self.A)

    def meta(self) -> dict[str, NDArray[np.int64] | list[str]]:
        """What each moment is; see ``WaveletPhaseHarmonics.meta``."""
        moments = self.moments
        table: dict[str, NDArray[np.int64] | list[str]] = {"class": [m.kind for m in moments]}
        for name in ("j1", "theta1", "p1", "j2", "theta2", "p2", "n", "alpha"):
            table[name] = np.array([getattr(m, name) for m in moments], dtype=np.int64)
        table["tau"] = np.array([self.shift(m) for m in moments], dtype=np.int64)
        return table

    @cached_property
    def laid_out(self) -> tuple[Program, list[int], list[int]]:
        """The program; of each moment the channel of its real part, and 1 where what is there is
        its complex conjugate. First come the means of ``|W|`` by scale and angle."""
        b = Builder(*self.shape)
        psi = [b.set(self.L, *self.shape) for _ in range(self.J)]
        weights = [[b.set(n, *self.grid(j)) for j in range(self.J)] for n in (self.L, self.L, 1)]
        plain, energy, ones = weights
        U = [b.wavelet(X, psi[j], self.folds(j), crop=True) for j in range(self.J)]
        for j in range(self.J):
            b.mean(U[j])
        phases: dict[tuple[int, int], int] = {}
        for j1 in range(self.J) if "Cphase" in self.classes else ():
            for j2 in range(j1 + 1, min(j1 + 1 + self.dj, self.J)):
                rho = f"phase:{2 ** (j2 - j1)}"
                phases[j1, j2] = b.wavelet(X, psi[j2], self.folds(j1), rho, crop=True)
        channel, places, conjugates = self.J * self.L, {}, set()
        groups: dict[tuple[str, int, int], list[Moment]] = {}
        for moment in self.moments:
            groups.setdefault((moment.kind, moment.j1, moment.j2), []).append(moment)
        for (kind, j1, j2), several in groups.items():
            # the mean of a(u) conj b(u + h), of which tau is the shift the other way
            sign = 1 if kind == "Cphase" else -1
            shifts = {
                m: tuple(sign * n % side for n, side in zip(self.shift(m), self.shape, strict=True))
                for m in several
            }
            listed = [*dict.fromkeys(shifts.values())]
            at = {h: i for i, h in enumerate(listed)}
            diagonal = [(t, t) for t in range(self.L)]
            to_x = [(t, 0) for t in range(self.L)]
            filters = self.L
            if kind == "S11":
                b.pair(X, X, [(0, 0)], energy[j1], listed, True)
                where = {m: (0, m.theta1) for m in several}
            elif kind == "S00":
                b.pair(U[j1], U[j1], diagonal, ones[j1], listed, True)
                filters, where = 1, {m: (m.theta1, 0) for m in several}
            elif kind == "Cphase":
                b.pair(phases[j1, j2], X, to_x, plain[j1], listed, True)
                where = {m: (m.theta2, m.theta1) for m in several}
                conjugates.update(several)
            else:
                b.pair(U[j1], X, to_x, plain[j2], listed, True)
                where = {m: (m.theta1, m.theta2) for m in several}
            for m in several:
                pair, f = where[m]
                number = (pair * filters + f) * len(listed) + at[shifts[m]]
                places[m] = channel + 2 * number
            pairs = 1 if kind == "S11" else self.L
            channel += 2 * pairs * filters * len(listed)
        index = [places[m] for m in self.moments]
        return b.build(), index, [int(m in conjugates) for m in self.moments]

    def packed(self, wavelets: Iterable[Floats], dtype: Any) -> Packed:
        """``wavelets`` of one scale after the other, ``[L, M, N]``, real and in Fourier."""

        def sets() -> Iterator[Floats]:
            weights = []
            for j, psi in enumerate(wavelets):
                weights.append(cropped(psi, self.grid(j)))
                yield psi
            yield from weights
            yield from (weight**2 for weight in weights)
            yield from (np.ones((1, *w.shape[1:])) for w in weights)

        return pack_arrays(self.laid_out[0], sets(), [], dtype)
