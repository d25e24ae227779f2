"""The cascade of images along scales: all its paths to any order, or some of them.

    S x = [A x, A|W1 x|, A|W2|W1 x||, …, A|W_m … |W1 x||]

A path is a tuple of wavelets ``n = j L + theta`` of increasing scale, the empty one being ``A x``.
What is asked for is a tree: of a plane, whether it is averaged, and which wavelets go on from it.
Wavelets of one scale that stand side by side there and go on alike are one step, with a set of just
their angles: so the channels of a step are evenly spaced among all others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from itertools import groupby
from operator import itemgetter
from typing import TypeAlias

from .builder import Builder
from .checks import padded_sides
from .steps import Axis, X
from .table import Program

Path: TypeAlias = tuple[int, ...]
Table: TypeAlias = tuple[int, int, tuple[int, ...]]  # resolution, scale, angles


def images(
    J: int,
    L: int,
    max_order: int,
    M: int,
    N: int,
    pre_pad: bool = False,
    paths: tuple[Path, ...] | None = None,
) -> Program:
    """The cascade of images ``[M, N]``, or those ``paths`` of it, in any order: channels of each
    order sorted by their wavelets ``(n1, n2, …)``.

    Sets of filters are those of :func:`wavelets_of_images`; matrices are the low-pass of each
    resolution, ``P_0 [m, Mp], Q_0 [n, Np], P_1 [m, Mp / 2], Q_1, …``.

    Example: the whole of order 3, and two of its paths
        >>> images(J=3, L=4, max_order=3, M=32, N=32).channels
        125
        >>> [step.verb for step in images(3, 4, 3, 32, 32, paths=((0, 5), (1, 5))).steps]
        ['wavelet', 'wavelet', 'average']
    """
    return _images(int(J), int(L), int(max_order), int(M), int(N), bool(pre_pad), paths)


def wavelets_of_images(
    J: int, L: int, max_order: int, paths: tuple[Path, ...] | None = None
) -> tuple[Table, ...]:
    """The sets in use, as ``(res, j, angles)``: those of the whole cascade are all scales at
    resolution 0, then, for higher orders, those above ``j1`` at resolution ``j1``.

    Example:
        >>> wavelets_of_images(J=2, L=4, max_order=2, paths=((0,), (1,), (0, 6)))
        ((0, 0, (0,)), (0, 0, (1,)), (0, 1, (2,)))
    """
    return _wavelets(J, L, max_order, paths)


@dataclass(frozen=True)
class Tree:
    """What becomes of a plane."""

    averaged: bool
    #: Scale, angles, and what becomes of their planes
    branches: tuple[tuple[int, tuple[int, ...], Tree], ...]
    steps: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        steps = self.averaged + sum(1 + below.steps for *_, below in self.branches)
        object.__setattr__(self, "steps", steps)

    def tables(self, res: int = 0) -> set[Table]:
        """The sets that a plane of this resolution meets, and those after it."""
        found = {(res, j, angles) for j, angles, _ in self.branches}
        return found.union(*(below.tables(j) for j, _, below in self.branches))


@lru_cache(maxsize=64)
def tree_of_images(J: int, L: int, max_order: int, paths: tuple[Path, ...] | None = None) -> Tree:
    """What becomes of an image."""
    if paths is not None:
        return _tree(sorted(paths), L)
    every = tuple(range(L))

    @cache
    def above(last: int, longest: int) -> Tree:
        scales = range(last + 1, J) if longest else ()
        return Tree(True, tuple((j, every, above(j, longest - 1)) for j in scales))

    return above(-1, max_order)


def _tree(paths: Sequence[Path], L: int) -> Tree:
    """That of sorted paths."""
    by_first = groupby((path for path in paths if path), itemgetter(0))
    below = [(n, _tree([path[1:] for path in several], L)) for n, several in by_first]
    alike = groupby(below, lambda branch: (branch[0] // L, branch[1]))
    branches = ((j, tuple(n % L for n, _ in several), tree) for (j, tree), several in alike)
    return Tree(() in paths[:1], tuple(branches))


@lru_cache(maxsize=64)
def _wavelets(J: int, L: int, max_order: int, paths: tuple[Path, ...] | None) -> tuple[Table, ...]:
    return tuple(sorted(tree_of_images(J, L, max_order, paths).tables()))


@lru_cache(maxsize=64)
def _images(
    J: int, L: int, max_order: int, M: int, N: int, pre_pad: bool, paths: tuple[Path, ...] | None
) -> Program:
    def axis(size: int) -> Axis:
        if pre_pad:
            return Axis(size)
        surplus = (((size >> J) + 2) << J) - size
        return Axis(size, "r", surplus // 2, surplus - surplus // 2)

    b = Builder(axis(M), axis(N))
    sides = padded_sides(b.axes)
    output = [(side >> J) - 2 for side in sides]
    sets = {
        (res, j, angles): b.set(len(angles), *(side >> res for side in sides))
        for res, j, angles in _wavelets(J, L, max_order, paths)
    }
    lowpass = [
        [b.matrix(m, side >> res) for m, side in zip(output, sides, strict=True)]
        for res in range(J)
    ]
    image = tree_of_images(J, L, max_order, paths)
    if image.averaged:
        b.average(X, *lowpass[0])
    layer = [(X, 0, image)]
    while layer:
        longer = []
        for source, res, tree in layer:
            for j, angles, below in tree.branches:
                U = b.wavelet(source, sets[res, j, angles], 1 << (j - res))
                if below.averaged:
                    b.average(U, *lowpass[j])
                longer.append((U, j, below))
        layer = longer
    return b.build(*output)


def directions(L: int) -> tuple[float, ...]:
    """Those of the wavelets of a scale, from the first axis to the second, as Kymatio has them."""
    return tuple((int(L - L / 2 - 1) - theta) * math.pi / L for theta in range(L))
