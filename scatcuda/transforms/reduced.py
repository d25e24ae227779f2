"""Scattering covariances along the frequencies of their angles and scales, of which few matter."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.fx import Proxy

from ..arguments import ArgumentError, InputError, boolean, number, told
from ..ops.reference import in_full_precision
from .base import Built
from .covariance import ScatteringCovariance

_CALLER = "ReducedCovariance"


class ReducedCovariance(Built):
    """The statistics of a :class:`~scatcuda.ScatteringCovariance` in an orthonormal basis in which
    those of most fields are smooth: trigonometric along their angles, a cosine transform along the
    scales ``j1`` at fixed ``j2 - j1`` and ``j3 - j2``; and of these the ones that samples show.

    Half a turn of the last angle of S3 and S4 is complex conjugation: a transform of all ``2 L``
    angles of a turn, whose even frequencies are of the real part, odd ones of the imaginary part.

    Args:
        covariance: the statistics.
        angles, scales: which transforms are applied.
    Raises: TypeError: an argument is of the wrong type.
    Source: S. Cheng et al., "Scattering spectra models for physics", 2023, section 3.
    Example: a few numbers that tell noise from noise
        >>> reduced = ReducedCovariance(ScatteringCovariance((32, 32), J=2))
        >>> reduced(torch.randn(4, 32, 32)).shape
        torch.Size([4, 625])
        >>> _ = reduced.select(torch.randn(30, 32, 32), threshold=3.0)
        >>> reduced(torch.randn(4, 32, 32)).shape[-1] < 100
        True
    """

    def __init__(
        self, covariance: ScatteringCovariance, *, angles: bool = True, scales: bool = True
    ) -> None:
        super().__init__()
        if not isinstance(covariance, ScatteringCovariance):
            raise TypeError(
                f"{_CALLER}: covariance must be a ScatteringCovariance; got "
                f"{type(covariance).__name__}"
            )
        self.covariance = covariance
        self._angles = boolean(_CALLER, "angles", angles)
        self._scales = boolean(_CALLER, "scales", scales)
        plan, L = covariance._plan, covariance.L
        # by the part, real or imaginary, and by the block; None: as it is
        self._of_last_angle: tuple[Tensor | None, ...] = (None, None)
        self._of_scales: dict[str, Tensor] = {}
        if self._angles:
            self._of_last_angle = trigonometric(L), trigonometric(L, 0.5)
        if self._scales:
            self._of_scales = {"S3": along_scales(plan.pairs), "S4": along_scales(plan.triples)}
        # no buffer: what averages or casts those would change which numbers these are
        self._kept: Tensor | None = None
        self._fix()

    @property
    def angles(self) -> bool:
        """Whether angles are transformed."""
        return self._angles

    @property
    def scales(self) -> bool:
        """Whether scales are transformed."""
        return self._scales

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Sides of the fields."""
        return self.covariance.input_shape

    @property
    def kept(self) -> Tensor | None:
        """Which numbers are kept, int64; None: all. A ``state_dict`` has it."""
        return self._kept

    def get_extra_state(self) -> Tensor:
        return torch.zeros(0, dtype=torch.int64) if self._kept is None else self._kept.cpu()

    def set_extra_state(self, state: Tensor) -> None:
        (K,) = self.covariance.output_shape
        if (
            not isinstance(state, Tensor)
            or state.dtype != torch.int64
            or state.ndim != 1
            or (len(state) and not 0 <= int(state.min()) <= int(state.max()) < K)
        ):
            raise ValueError(f"{_CALLER}: the state is not which of {K} numbers are kept")
        self._kept = state.clone() if len(state) else None

    @property
    def output_shape(self) -> tuple[int]:
        """``(K,)``, the numbers of a field."""
        kept = self.kept
        return self.covariance.output_shape if kept is None else (len(kept),)

    def meta(self) -> dict[str, NDArray[np.int64] | list[str]]:
        """What each of the ``K`` numbers of a call is.

        Returns: ``"block"``, names; ``"part"``, 0 of even functions of the last angle, 1 of odd
            ones; and int64, -1 where there is none: ``"k"``, the frequency along the scales, of S1
            and S2 and without ``scales`` the scale itself; ``"d2"``, ``"d3"``, the other scales
            less the first; ``"n1"``, ``"n2"``, ``"n3"``, which function of each angle, a row of
            ``scatcuda.transforms.reduced.trigonometric``, without ``angles`` the angle itself.
        Example:
            >>> reduced = ReducedCovariance(ScatteringCovariance((32, 32), J=2, L=2))
            >>> meta = reduced.meta()
            >>> [str(meta[name][-1]) for name in ("block", "part", "k", "d2", "d3", "n1", "n3")]
            ['S4', '1', '1', '0', '0', '1', '1']
        """
        table: dict[str, Any] = self.covariance.meta()
        first = table["j1"]
        found: dict[str, Any] = {"part": table["part"], "k": first}
        for i in (2, 3):  # a group of scales has as many frequencies as it has first scales, from 0
            j = table[f"j{i}"]
            found[f"d{i}"] = np.where(j < 0, -1, j - first)
        found |= {f"n{i}": table[f"theta{i}"] for i in (1, 2, 3)}
        kept = slice(None) if self._kept is None else self._kept.cpu().numpy()
        names = np.array(table["block"])[kept].tolist()
        return {"block": names, **{name: column[kept] for name, column in found.items()}}

    def forward(self, x: Tensor, reference: Tensor | None = None) -> Tensor:
        """The numbers of the fields ``x [..., *shape]``, ``[..., K]``.

        Args:
            reference: as for the covariances.
        """
        if isinstance(x, Proxy):
            return self._leaf(x, reference=reference)
        found = self._transformed(self.covariance.statistics(x, reference))
        return found if self._kept is None else found.index_select(-1, self._kept.to(x.device))

    def select(self, samples: Tensor, threshold: float = 2.0) -> Tensor:
        """From now on keeps the numbers whose mean over samples is at least ``threshold`` times
        their deviation.

        Args:
            samples: at least two fields ``[n, *shape]``.
        Returns: which, int64.
        Raises: ValueError: there are fewer samples, or none is kept.
        """
        several = isinstance(samples, Tensor) and samples.ndim == len(self.input_shape) + 1
        if not several or len(samples) < 2:
            raise InputError(
                f"{_CALLER}: samples must be at least two fields [n, *shape]; got {told(samples)}"
            )
        threshold = number(_CALLER, "threshold", threshold, 0)
        with torch.no_grad():
            numbers = self._transformed(self.covariance.statistics(samples))
        ratio = numbers.mean(0).abs() / numbers.std(0).clamp_min(torch.finfo(numbers.dtype).tiny)
        kept = torch.nonzero(ratio >= threshold).flatten()
        if not len(kept):
            raise ArgumentError(
                f"{_CALLER}: threshold must leave something; the largest ratio is "
                f"{float(ratio.max()):.3g}, and {threshold} was given"
            )
        self._kept = kept.cpu()
        return self._kept

    def extra_repr(self) -> str:
        return f"angles={self.angles}, scales={self.scales}, numbers={self.output_shape[0]}"

    def _transformed(self, blocks: dict[str, Tensor]) -> Tensor:
        fewer = int(self.covariance.isotropic)
        parts = [blocks["mean"].unsqueeze(-1)]
        lead = blocks["mean"].ndim
        for name, count in (("S1", 1), ("S2", 1), ("S3", 2), ("S4", 3)):
            block = blocks[name]
            parts_of = (block.real, block.imag) if block.is_complex() else (block,)
            for part, last in zip(parts_of, self._of_last_angle, strict=False):
                part = _applied(part, self._of_scales.get(name), lead)
                for angle in range(1, count - fewer):
                    part = _applied(part, self._of_last_angle[0], lead + angle)
                if count > fewer:
                    part = _applied(part, last, lead + count - fewer)
                parts.append(part.flatten(lead))
        return torch.cat(parts, -1)


@in_full_precision
def _applied(part: Tensor, matrix: Tensor | None, dim: int) -> Tensor:
    """A matrix along a dimension."""
    if matrix is None:
        return part
    return (part.movedim(dim, -1) @ matrix.to(part).mT).movedim(-1, dim)


def trigonometric(L: int, shift: float = 0.0) -> Tensor:
    """An orthonormal basis ``[L, L]``, float64, of functions of ``L`` angles of half a turn:
    cosines and sines of ``k`` waves; with ``shift`` = 1/2 of ``k + 1/2``, of functions that change
    their sign with half a turn.

    Example:
        >>> basis = trigonometric(5, 0.5)
        >>> bool((basis @ basis.T - torch.eye(5)).abs().max() < 1e-12)
        True
    """
    theta = 2 * math.pi * np.arange(L) / L
    rows: list[NDArray[np.float64]] = []
    for k in itertools.count():
        frequency = k + shift
        if frequency > L / 2 or len(rows) == L:
            break
        waves: Sequence[Callable[[NDArray[np.float64]], NDArray[np.float64]]] = (np.cos, np.sin)
        for wave in waves if 0 < frequency < L / 2 else waves[:1]:
            row = wave(frequency * theta)
            rows.append(row / np.linalg.norm(row))
    return torch.from_numpy(np.stack(rows))


def along_scales(listed: Sequence[tuple[int, ...]]) -> Tensor:
    """The orthonormal cosine transform along the first of several scales, the others as far from it
    as they are; where a group's first, second, … scale was, its first, second, … frequency."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for place, scales in enumerate(listed):
        groups.setdefault(tuple(j - scales[0] for j in scales), []).append(place)
    matrix = np.zeros((len(listed), len(listed)))
    for places in groups.values():
        n = len(places)
        k = np.arange(n)
        cosines = np.cos(math.pi * np.outer(k, k + 0.5) / n) * math.sqrt(2 / n)
        cosines[0] /= math.sqrt(2)
        matrix[np.ix_(places, places)] = cosines
    return torch.from_numpy(matrix)
