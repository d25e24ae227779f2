"""Which paths of a transform are asked for: a list of them, or a function of ``meta()``.

A path is a tuple of wavelets ``n = j L + theta`` whose scales ``j`` increase, at most ``max_order``
of them. Channels are sorted by the lengths of their paths, then by the paths themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import compress, pairwise
from typing import Any

import numpy as np

from ..arguments import ArgumentError, integer
from . import Path


def most_order(J: int) -> int:
    """The largest ``max_order``: 2 may be asked for where one scale leaves no path of two."""
    return max(J, 2)


def listed(caller: str, paths: Any, J: int, L: int, max_order: int) -> tuple[Path, ...]:
    """The paths of a list, in the order of their channels.

    Raises: TypeError, ValueError: they are no paths of the transform, none, or one twice.
    Example:
        >>> listed("Scattering2D", [(0, 5), (1,), ()], J=2, L=4, max_order=2)
        ((), (1,), (0, 5))
    """
    found: list[Path] = []
    for path in _each(caller, "a list of paths or a function of meta()", paths):
        numbers = _each(caller, "tuples of wavelet numbers", path)
        found.append(tuple(integer(caller, "a number in paths", n, 0, J * L - 1) for n in numbers))
        if len(found[-1]) > max_order or any(a // L >= b // L for a, b in pairwise(found[-1])):
            raise ArgumentError(
                f"{caller}: paths must have wavelets n = j L + theta of increasing scale, at most "
                f"max_order = {max_order} of them; got {found[-1]} where L = {L}"
            )
    found.sort(key=lambda path: (len(path), path))
    for path, other in pairwise(found):
        if path == other:
            raise ArgumentError(f"{caller}: paths must differ; got {path} twice")
    return _some(caller, found)


def where(
    caller: str,
    choose: Callable[[Any], Any],
    meta: Mapping[str, Any],
    paths: Sequence[Path],
) -> tuple[Path, ...]:
    """Those of all paths for which a function of their ``meta`` is true.

    Raises: ValueError: it returns no mask, or chooses nothing.
    """
    mask = np.asarray(choose(meta))
    if mask.dtype != bool or mask.shape != (len(paths),):
        raise ArgumentError(
            f"{caller}: paths(meta) must be a mask of bool, one for each of {len(paths)} channels; "
            f"got {mask.dtype} of shape {mask.shape}"
        )
    return _some(caller, list(compress(paths, mask.tolist())))


def _each(caller: str, wanted: str, values: Any) -> list[Any]:
    one = getattr(values, "ndim", 1) == 0  # of an array
    if isinstance(values, str) or not isinstance(values, Iterable) or one:
        raise TypeError(f"{caller}: paths must be {wanted}; got {values!r}")
    return list(values)


def _some(caller: str, found: list[Path]) -> tuple[Path, ...]:
    if not found:
        raise ArgumentError(f"{caller}: paths must choose at least one; got none")
    return tuple(found)
