"""The cascade of images along scales, of any order."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import torch

from .builder import Builder
from .checks import padded_sides
from .steps import Axis, X
from .table import Program


@torch.compiler.assume_constant_result
def images(J: int, L: int, max_order: int, M: int, N: int, pre_pad: bool = False) -> Program:
    """The cascade of images ``[M, N]`` along scales that increase, to any order: channels of each
    order sorted by their wavelets ``(n1, n2, …)``, ``n = j L + theta``.

    Sets of filters are those of :func:`wavelets_of_images`; matrices are the low-pass of each
    resolution, ``P_0 [m, Mp], Q_0 [n, Np], P_1 [m, Mp / 2], Q_1, …``.

    Example:
        >>> images(J=3, L=4, max_order=3, M=32, N=32).channels
        125
    """
    return _images(int(J), int(L), int(max_order), int(M), int(N), bool(pre_pad))


def wavelets_of_images(J: int, max_order: int) -> Iterator[tuple[int, int]]:
    """Pairs ``(res, j)`` of the sets in use: all scales at resolution 0, then, for higher orders,
    those above ``j1`` at resolution ``j1``."""
    if max_order > 0:
        yield from ((0, j) for j in range(J))
    if max_order > 1:
        yield from ((res, j) for res in range(1, J) for j in range(res + 1, J))


@lru_cache(maxsize=64)
def _images(J: int, L: int, max_order: int, M: int, N: int, pre_pad: bool) -> Program:
    def axis(size: int) -> Axis:
        if pre_pad:
            return Axis(size)
        surplus = (((size >> J) + 2) << J) - size
        return Axis(size, "r", surplus // 2, surplus - surplus // 2)

    b = Builder(axis(M), axis(N))
    sides = padded_sides(b.axes)
    output = [(side >> J) - 2 for side in sides]
    sets = {
        (res, j): b.set(L, *(side >> res for side in sides))
        for res, j in wavelets_of_images(J, max_order)
    }
    lowpass = [
        [b.matrix(m, side >> res) for m, side in zip(output, sides, strict=True)]
        for res in range(J)
    ]
    b.average(X, *lowpass[0])
    layer = [(X, -1)]
    for _ in range(max_order):
        longer = []
        for source, last in layer:
            res = max(last, 0)
            for j in range(last + 1, J):
                U = b.wavelet(source, sets[res, j], 1 << (j - res))
                b.average(U, *lowpass[j])
                longer.append((U, j))
        layer = longer
    return b.build(*output)
