"""What features are, as texts: whoever finds a file of them knows how they were made.

transform   repr() of the transform
arguments   JSON: those of the transformer, and ``shape``, the sides of what it takes
meta        JSON: ``meta()`` of the transform, which channel is of which path, NaN as null;
            ``output_shape`` of one image's coefficients before they are pooled
version     of scatcuda
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from types import FunctionType
from typing import Any

import numpy as np

from ...files.error import DataError
from ...files.reading import parsed_json
from ...version import __version__
from .transformer import ScatteringTransformer

__all__ = ["described", "of_transformer", "stable_repr"]

_TEXTS = ("transform", "version")
_JSON = ("arguments", "meta", "classes")
_CHANGES_NOTHING = ("device", "batch_size")


def of_transformer(
    transformer: ScatteringTransformer, arguments: Mapping[str, Any] | None = None
) -> dict[str, str]:
    """The texts of the features of a fitted transformer.

    Args:
        transformer: fitted.
        arguments: those of the transform, where it was not made by the transformer's own.
    Example:
        >>> found = of_transformer(ScatteringTransformer(J=2, L=4).fit(np.ones((1, 8, 8))))
        >>> sorted(found), described("here", found)["meta"]["order"][:3]
        (['arguments', 'meta', 'transform', 'version'], [0, 1, 1])
    """
    output, meta, _ = transformer.channels()
    params: dict[str, Any] = transformer.get_params()
    if arguments is not None:
        params |= {"scattering": dict(arguments)}
        for name in ("J", "L", "max_order", "filters", "Q"):
            del params[name]
    how = {name: _plain(v) for name, v in params.items() if name not in _CHANGES_NOTHING}
    how["shape"] = list(transformer.shape_)
    how["eps"] = transformer.eps_
    about = {name: _plain(values) for name, values in meta.items()}
    about["output_shape"] = list(output)
    return {
        "transform": transformer.transform_repr(),
        "arguments": json.dumps(how, sort_keys=True),
        "meta": json.dumps(about, sort_keys=True),
        "version": __version__,
    }


def described(subject: str, noted: Mapping[str, str]) -> dict[str, Any]:
    """The texts of a file as values; what it does not say is left out.

    Raises: DataError: with ``subject``, a text is not what it should be.
    """
    found: dict[str, Any] = {name: noted[name] for name in _TEXTS if name in noted}
    for name in _JSON:
        if name in noted:
            found[name] = parsed_json(f"{subject}: {name}", noted[name])
            if not isinstance(found[name], list if name == "classes" else dict):
                raise DataError(f"{subject}: {name} is not what it should be")
    return found


def _plain(value: Any) -> Any:
    """A value as JSON has it; what it has not by its name."""
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return stable_repr(value)


def stable_repr(value: Any) -> str:
    """``repr()``, the same in every process: a function by its module and name, and without
    addresses.

    Example:
        >>> stable_repr(stable_repr)
        'scatcuda.learn.extraction.description:stable_repr'
    """
    if isinstance(value, FunctionType | type):
        return f"{value.__module__}:{value.__qualname__}"
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))
