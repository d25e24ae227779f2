"""The program of scattering covariances: second moments of wavelet coefficients and of their moduli

    S1 = <U_1>    S2 = <|x * psi_1|^2>    S3 = <x * psi_2 conj (U_1 * psi_2)>
    S4 = <U_1 * psi_3 conj (U_2 * psi_3)>        U = |x * psi|,  j1 <= j2 <= j3

where ``<>`` is the mean over positions of a periodic field. By Parseval's formula the second
wavelets are but weights ``|psi_hat|^2`` of products of spectra: the `pair` step.

S. Cheng, R. Morel, E. Allys, B. Ménard, S. Mallat, "Scattering spectra models for physics", 2023.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from .arrays import Floats, Packed, cropped, pack_arrays
from .builder import Builder
from .steps import X
from .table import Program

_LEAST = 8  # frequencies of each sign that every plane has


@dataclass(frozen=True)
class CovariancePlan:
    """What is computed: ``scales`` wavelets at octaves ``0, 1/Q, …``, of ``L`` directions each."""

    shape: tuple[int, ...]
    scales: int
    L: int
    Q: int = 1  # scales an octave
    oversampling: int = 0

    def folds(self, j: int) -> tuple[int, ...]:
        """By how much the planes of scale ``j`` are subsampled along each axis. They keep their
        lowest frequencies, one octave more than a scattering transform, ``|k| < max(8, N / 2^j)``:
        a modulus is not band-limited, and products of planes are. As much more is kept as it takes
        for a whole number of samples to become one."""
        return folds_of(self.shape, j // self.Q, self.oversampling)

    def grid(self, j: int) -> tuple[int, ...]:
        """The sides of the planes of scale ``j``."""
        return tuple(side // k for side, k in zip(self.shape, self.folds(j), strict=True))

    @property
    def steps(self) -> int:
        """Those of the program, counted before they are made."""
        J = self.scales
        return 1 + 3 * J + math.comb(J + 1, 2) + math.comb(J + 2, 3)

    @cached_property
    def pairs(self) -> list[tuple[int, int]]:
        """Scales ``(j1, j2)`` of S3."""
        return [*itertools.combinations_with_replacement(range(self.scales), 2)]

    @cached_property
    def triples(self) -> list[tuple[int, int, int]]:
        """Scales ``(j1, j2, j3)`` of S4."""
        return [*itertools.combinations_with_replacement(range(self.scales), 3)]

    @cached_property
    def program(self) -> Program:
        """Channels: the mean; S1 and S2 by scale and angle; S3 and S4 by scales, angles and part,
        real and imaginary."""
        b = Builder(*self.shape)
        scales = range(self.scales)
        psi = [b.set(self.L, *self.shape) for _ in scales]
        energy = [b.set(self.L, *self.grid(j)) for j in scales]
        b.mean(X)
        U = [b.wavelet(X, psi[j], self.folds(j), crop=True) for j in scales]
        for j in scales:
            b.mean(U[j])
        for j in scales:
            b.pair(X, X, weight=energy[j])
        for j1, j2 in self.pairs:
            b.pair(X, U[j1], weight=energy[j2], imaginary=True)
        for j1, j2, j3 in self.triples:
            b.pair(U[j1], U[j2], weight=energy[j3], imaginary=True)
        return b.build()

    @cached_property
    def blocks(self) -> dict[str, tuple[slice, tuple[int, ...]]]:
        """Where the statistics lie among the channels, and their shapes; of complex ones the last
        dimension is the part."""
        J, L = self.scales, self.L
        pairs, triples = len(self.pairs), len(self.triples)
        shapes: dict[str, tuple[int, ...]] = {
            "mean": (),
            "S1": (J, L),
            "S2": (J, L),
            "S3": (pairs, L, L, 2),
            "S4": (triples, L, L, L, 2),
        }
        sizes = [math.prod(shape) for shape in shapes.values()]
        ends = [*itertools.accumulate(sizes)]
        slices = (slice(end - size, end) for end, size in zip(ends, sizes, strict=True))
        return dict(zip(shapes, zip(slices, shapes.values(), strict=True), strict=True))

    def packed(self, wavelets: Iterable[Floats], dtype: Any) -> Packed:
        """``wavelets`` of one scale after the other, ``[L, *shape]``, real and in Fourier."""

        def sets() -> Iterator[Floats]:
            energies = []
            for j, psi in enumerate(wavelets):
                energies.append(cropped(psi, self.grid(j)) ** 2)
                yield psi
            yield from energies

        return pack_arrays(self.program, sets(), [], dtype)


def folds_of(shape: tuple[int, ...], octave: int, oversampling: int) -> tuple[int, ...]:
    """See :meth:`CovariancePlan.folds`."""

    def fold(side: int) -> int:
        kept = -(-(side << oversampling) >> octave)
        wanted = min(side, 2 * max(_LEAST, kept))
        return max(k for k in range(1, side // wanted + 1) if side % k == 0)

    return tuple(map(fold, shape))
