"""Transforms by the names that the command line and a run's configuration have for them."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from ...transforms.base import checked_output
from ...transforms.cascade import Cascade
from ...transforms.rototranslation import RotoTranslationScattering2D
from ...transforms.scattering2d import Scattering2D
from ...typing import BankName


def _cascade(
    shape: Sequence[int], J: int = 2, L: int = 8, max_order: int = 2, filters: BankName = "morlet"
) -> Cascade:
    return Cascade(J, shape, L, depth=min(J, max_order), filters=filters)


#: Those of this package; their arguments are the sides of an image and J, L, max_order, filters.
TRANSFORMS: dict[str, Callable[..., nn.Module]] = {
    "scattering2d": Scattering2D,
    "cascade": _cascade,
    "roto-translation": RotoTranslationScattering2D,
}
_FOREIGN = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")


def is_foreign(name: str) -> bool:
    """Whether a name is that of a function elsewhere, ``package.module:function``."""
    return name not in TRANSFORMS


def check_name(name: str) -> None:
    """Raises: ValueError: it is neither one of `TRANSFORMS` nor ``package.module:function``."""
    if name not in TRANSFORMS and not _FOREIGN.fullmatch(name):
        raise ValueError(
            f"transform must be one of {', '.join(TRANSFORMS)}, or package.module:function, whose "
            f"function makes one of the sides of an image; got {name!r}"
        )


def transform_named(name: str, sides: Sequence[int], **options: Any) -> nn.Module:
    """A transform of images of the sides ``(M, N)``.

    Args:
        name: one of `TRANSFORMS`, made with ``options``; or ``package.module:function``, which is
            imported and called with the sides alone: import only what you trust.
    Raises: ValueError: there is no such function; TypeError: what it makes is no transform.
    Example:
        >>> transform_named("cascade", (8, 8), J=1, L=2).output_shape
        (3, 4, 4)
    """
    check_name(name)
    if not is_foreign(name):
        return TRANSFORMS[name](shape=tuple(sides), **options)
    module, _, function = name.partition(":")
    try:
        make = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"transform {name!r} cannot be imported: {error}") from None
    made = make(tuple(sides))
    checked_output(f"transform {name!r}", "what it makes", made)
    return made
