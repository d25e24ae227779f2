"""Names of channels, by what ``meta()`` of a transform tells of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def names_of_paths(meta: Mapping[str, Any]) -> list[str]:
    """A name for each channel: ``"j0_theta3_j1_theta5"`` is of order 2, ``"order0"`` has no
    wavelet.

    Example:
        >>> from scatcuda.numpy import Scattering2D
        >>> names_of_paths(Scattering2D(J=1, shape=(8, 8), L=2).meta())
        ['order0', 'j0_theta0', 'j0_theta1']
    """
    if "k" in meta:  # along angles
        columns = [n for n in ("theta", "k", "angle") if n in meta]
        rows = zip(*(meta[name].tolist() for name in columns), strict=True)
        words = ["j", "j", "turn", "k", "angle"][: 2 + len(columns)]
        parts = [
            [f"{word}{v}" for word, v in zip(words, (*j, *row), strict=True) if v >= 0]
            for j, row in zip(meta["j"].tolist(), rows, strict=True)
        ]
    elif "n_fr" in meta:  # of format "time" a path begins with n1, of "joint" it has an axis
        parts = [
            [*(f"n{n}" for n in key[:-1]), f"fr{key[-1]}"] if key else [] for key in meta["key"]
        ]
    else:
        columns = ["n"] if "xi" in meta else [n for n in ("j", "theta") if n in meta]
        parts = [
            ["_".join(f"{n}{meta[n][c, k]:.0f}" for n in columns) for k in range(order)]
            for c, order in enumerate(meta["order"])
        ]
        if "l" in meta:  # degrees are channels
            for part, degree in zip(parts, meta["l"], strict=True):
                part += [f"l{degree:.0f}"] if degree >= 0 else []
    return ["_".join(part) or "order0" for part in parts]


def names_of_features(
    names: Sequence[str], sides: Sequence[int], planes: Sequence[int] = ()
) -> list[str]:
    """Those of channels, with the places ``[*sides]`` in each, of each of the colours if there are
    any.

    Example:
        >>> names_of_features(["order0", "j0"], (1, 2), (2,))[:3]
        ['c0_order0_at_0_0', 'c0_order0_at_0_1', 'c0_j0_at_0_0']
    """
    if sides:
        places = ["_".join(map(str, place)) for place in np.ndindex(*sides)]
        names = [f"{name}_at_{place}" for name in names for place in places]
    for count in reversed(planes):
        names = [f"c{c}_{name}" for c in range(count) for name in names]
    return [*names]
