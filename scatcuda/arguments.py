"""Checks of arguments: what a caller gives becomes a plain Python value, or an error that names the
caller, the argument, what was expected and what came."""

from __future__ import annotations

import operator
from collections.abc import Sequence


def pair(caller: str, shape: Sequence[int]) -> tuple[int, int]:
    """The sides ``(M, N)``."""
    try:
        M, N = (operator.index(size) for size in shape)
    except (TypeError, ValueError):
        raise TypeError(
            f"{caller}: shape must be a pair of integers (M, N); got {shape!r}"
        ) from None
    return M, N


def integer(caller: str, name: str, value: int, lowest: int, highest: int | None = None) -> int:
    """An integer from ``lowest`` to ``highest``."""
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{caller}: {name} must be an integer; got {value!r}") from None
    if number < lowest or (highest is not None and number > highest):
        limits = f"at least {lowest}" if highest is None else f"between {lowest} and {highest}"
        raise ValueError(f"{caller}: {name} must be {limits}; got {number}")
    return number
