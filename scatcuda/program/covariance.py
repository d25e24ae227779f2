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
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .arrays import Floats, Packed, cropped, pack_arrays
from .builder import Builder
from .images import directions
from .steps import X
from .table import Program

COMPLEX = ("S3", "S4")
_OF_LARGEST = 1e3  # squares of a unit in the last place that rounding may leave of a power, and
_OF_MEAN = {4: 1.0, 8: 1e4}  # of a square mean: 33 of them were seen in float64, 0.04 in float32
_LEAST = 8  # frequencies of each sign that every plane has


def least_power(dtype: Any, largest: Any, mean: Any) -> Any:
    """What rounding may leave where a field has no power: of its largest one, and of its mean."""
    unit = float(np.finfo(dtype).eps) ** 2
    of_mean = _OF_MEAN[np.dtype(dtype).itemsize] * mean**2
    return unit * (_OF_LARGEST * largest + of_mean)


@dataclass(frozen=True)
class CovariancePlan:
    """What is computed: ``scales`` wavelets at octaves ``0, 1/Q, …``, of ``L`` directions each."""

    shape: tuple[int, ...]
    scales: int
    L: int
    Q: int = 1  # scales an octave
    oversampling: int = 0

    @property
    def directions(self) -> tuple[float, ...]:
        """From the first axis to the second, in radians; of signals the one of positive
        frequencies."""
        return directions(self.L) if len(self.shape) > 1 else (0.0,)

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


class Block(NamedTuple):
    """Numbers of a kind: their scales, how many angles each has, and whether it has two parts."""

    scales: list[tuple[int, ...]]
    angles: int
    parts: int


@dataclass(frozen=True)
class Numbers:
    """What the numbers of a vector of statistics are: block after block, of complex ones the real
    parts before the imaginary ones. ``isotropic``: averaged over rotations, and real."""

    plan: CovariancePlan
    isotropic: bool

    @cached_property
    def blocks(self) -> dict[str, Block]:
        """In their order."""
        plan, fewer = self.plan, int(self.isotropic)
        single: list[tuple[int, ...]] = [(j,) for j in range(plan.scales)]
        parts = 2 - fewer
        return {
            "mean": Block([()], 0, 1),
            "S1": Block(single, 1 - fewer, 1),
            "S2": Block(single, 1 - fewer, 1),
            "S3": Block([*plan.pairs], 2 - fewer, parts),
            "S4": Block([*plan.triples], 3 - fewer, parts),
        }

    @property
    def sizes(self) -> dict[str, int]:
        """How many numbers each block has."""
        return {
            name: block.parts * len(block.scales) * self.plan.L**block.angles
            for name, block in self.blocks.items()
        }

    def meta(self) -> dict[str, NDArray[np.int64] | list[str]]:
        """What each number is; see ``ScatteringCovariance.meta``."""
        names: list[str] = []
        scales: list[tuple[int, ...]] = []
        angles: list[tuple[int, ...]] = []
        parts: list[int] = []
        for name, block in self.blocks.items():
            of_angles = [*itertools.product(range(self.plan.L), repeat=block.angles)]
            for part, j, theta in itertools.product(range(block.parts), block.scales, of_angles):
                names.append(name)
                scales.append(j)
                angles.append(theta)
                parts.append(part)

        def column(rows: list[tuple[int, ...]], i: int) -> NDArray[np.int64]:
            return np.array([row[i] if i < len(row) else -1 for row in rows], dtype=np.int64)

        table: dict[str, NDArray[np.int64] | list[str]] = {"block": names}
        for i in range(3):
            table |= {f"j{i + 1}": column(scales, i), f"theta{i + 1}": column(angles, i)}
        return {**table, "part": np.array(parts, dtype=np.int64)}

    def of_channels(self) -> NDArray[np.int64]:
        """``[K, n]``: each number is the mean of so many of the program's channels."""
        found = []
        for name, (where, shape) in self.plan.blocks.items():
            index: NDArray[np.int64] = np.arange(where.start, where.stop).reshape(shape)
            if name in COMPLEX:  # by parts at first
                index = np.moveaxis(index, -1, 0)[: self.blocks[name].parts]
            if self.isotropic and shape:
                turned = self._rotated(index, self.blocks[name].angles + 1)
                found.append(turned.reshape(-1, self.plan.L))
            else:
                found.append(index.reshape(-1, 1))
        most = max(each.shape[1] for each in found)
        return np.concatenate([each.repeat(most // each.shape[1], 1) for each in found])

    def _rotated(self, index: NDArray[np.int64], count: int) -> NDArray[np.int64]:
        """Of ``count`` angles, the last axes, the differences to the first, then the first."""
        *differences, first = np.indices((self.plan.L,) * count)
        at = (Ellipsis, first, *((first + turn) % self.plan.L for turn in differences))
        return index[at]

    def powers(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """By the roots of which powers each of the program's channels is divided: twice an index
        into these, ``J Q`` times ``L``, or their number where it is by none."""
        plan = self.plan
        none = plan.scales * plan.L
        first, second = (np.full(plan.program.channels, none) for _ in range(2))

        def fill(index: NDArray[np.int64], name: str, values: NDArray[np.int64]) -> None:
            where, shape = plan.blocks[name]
            index[where] = np.broadcast_to(values, shape).ravel()

        at = np.arange(none).reshape(plan.scales, plan.L)
        fill(first, "S1", at)
        for name, scales in (("S3", plan.pairs), ("S4", plan.triples)):
            j1, j2 = np.array([each[:2] for each in scales]).T
            one = (1,) * len(scales[0][2:]) + (1,)  # an angle that has no power, and the part
            fill(first, name, at[j1].reshape(-1, plan.L, 1, *one))
            fill(second, name, at[j2].reshape(-1, 1, plan.L, *one))
        return first, second
