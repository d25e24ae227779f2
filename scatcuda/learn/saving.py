"""Fitted estimators in one safetensors file: `save(estimator, path)`, `load(path)`.

Arrays are the file's tensors, `0/coef_` being `coef_` of the first estimator; class, parameters and
what is no array stand in the header as JSON. The file names classes of the list below and nothing
else: loading runs no code from it.
"""

from __future__ import annotations

import importlib
import json
import os
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline
from torch import Tensor

from ..data import DataError
from ..data.budget import ask
from ..data.files import parsed_json
from ..files import read_tensors, write_tensors

_MODULES = {
    "LinearClassifier": "scatcuda.learn.linear",
    "PCAAffineClassifier": "scatcuda.learn.pca",
    "RidgeClassifier": "scatcuda.learn.ridge",
    "ScatteringTransformer": "scatcuda.learn.transformer",
    "Standardizer": "scatcuda.learn.standardizer",
}
_KEY, _VERSION = "scatcuda.estimator", 1


def save(estimator: BaseEstimator, path: str | os.PathLike[str]) -> None:
    """Write a fitted estimator, or a `Pipeline` of them, to one safetensors file.

    The file is written beside its place and moved there in one step: whatever happens, `path` holds
    the old file or the new one.

    Args:
        estimator: of this package, or scikit-learn's ``Pipeline`` of such.
        path: where the file goes.
    Raises:
        TypeError: an estimator of another class, or a parameter that JSON cannot hold.
        NotFittedError: it is not fitted.
        OSError: the file cannot be written.
    Example:
        >>> import pathlib, tempfile
        >>> from scatcuda.learn.standardizer import Standardizer
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "standardizer.safetensors")
        ...     save(Standardizer().fit(torch.randn(9, 3)), path)
        ...     load(path).transform(torch.randn(2, 3)).shape
        torch.Size([2, 3])
    """
    tensors: dict[str, Tensor] = {}
    if isinstance(estimator, Pipeline):
        steps = [
            {"step": step} | _described(part, f"{i}/", tensors)
            for i, (step, part) in enumerate(estimator.steps)
        ]
    else:
        steps = [_described(estimator, "0/", tensors)]
    content = {
        "version": _VERSION,
        "pipeline": isinstance(estimator, Pipeline),
        "estimators": steps,
    }
    try:
        write_tensors(path, tensors, {_KEY: json.dumps(content)})
    except OSError as error:
        raise OSError(f"{path}: cannot be saved ({error.strerror or error})") from None


def load(path: str | os.PathLike[str]) -> Any:
    """Read what :func:`save` wrote: an estimator that predicts as the saved one, bit for bit.

    Tensors come to the CPU; they follow the input of `predict` to its device.

    Args:
        path: the file.
    Returns: the estimator or ``Pipeline``.
    Raises: DataError: the file is missing, damaged, or not one of these.
    """
    name = os.fspath(path)
    tensors, metadata = read_tensors(path)
    if _KEY not in metadata:
        raise DataError(f"{name}: a safetensors file, but not of an estimator")
    content = parsed_json(name, metadata[_KEY])
    try:
        if content["version"] != _VERSION:
            raise ValueError(f"version {content['version']!r}, expected {_VERSION}")
        steps = content["estimators"]
        parts = [_restored(step, f"{i}/", tensors) for i, step in enumerate(steps)]
        if not content["pipeline"]:
            (estimator,) = parts
            return estimator
        named = [(str(step["step"]), part) for step, part in zip(steps, parts, strict=True)]
        return Pipeline(named)
    except (ImportError, MemoryError):
        raise
    except DataError as error:
        raise DataError(f"{name}: {error}") from None
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise DataError(f"{name}: does not describe an estimator ({reason[:200]})") from None


def _described(estimator: Any, prefix: str, tensors: dict[str, Tensor]) -> dict[str, Any]:
    """Class, parameters and attributes for the header; arrays go to `tensors`."""
    from sklearn.utils.validation import check_is_fitted

    kind = type(estimator)
    if _MODULES.get(kind.__name__) != kind.__module__:
        raise TypeError(
            f"save: expected one of {', '.join(_MODULES)}, or a Pipeline of them; "
            f"got {kind.__module__}.{kind.__name__}"
        )
    check_is_fitted(estimator)
    attributes: dict[str, Any] = {}
    for name in estimator._fitted:
        if not hasattr(estimator, name):
            continue
        value = getattr(estimator, name)
        if isinstance(value, Tensor):
            tensors[prefix + name] = value.detach().cpu().contiguous()
            attributes[name] = {"tensor": None}
        elif isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
            tensors[prefix + name] = torch.from_numpy(np.ascontiguousarray(value))
            attributes[name] = {"array": None}
        elif isinstance(value, np.ndarray):
            attributes[name] = {"names": [str(v) for v in value], "dtype": value.dtype.str}
            if not all(isinstance(v, str) for v in value.tolist()):
                raise TypeError(f"save: {name} must hold numbers or strings; got {value.dtype}")
        else:
            attributes[name] = {"value": _plain(name, value)}
    parameters = {
        name: _plain(name, value) for name, value in estimator.get_params(deep=False).items()
    }
    return {"class": kind.__name__, "parameters": parameters, "attributes": attributes}


def _restored(step: dict[str, Any], prefix: str, tensors: dict[str, Tensor]) -> Any:
    """The estimator that `_described` described."""
    if step["class"] not in _MODULES:
        raise ValueError(f"unknown class {step['class']!r}")
    kind = getattr(importlib.import_module(_MODULES[step["class"]]), step["class"])
    estimator = kind(**{name: _back(value) for name, value in step["parameters"].items()})
    for name, stored in step["attributes"].items():
        if name not in kind._fitted:
            raise ValueError(f"{step['class']} has no {name!r}")
        if "names" in stored:
            value: Any = _names([str(v) for v in stored["names"]], stored["dtype"])
        elif "value" in stored:
            value = _back(stored["value"])
        else:
            value = tensors[prefix + name]
            if value.is_floating_point() and not value.isfinite().all():
                raise ValueError(f"{name} contains NaN or infinity")
            value = value.numpy() if "array" in stored else value
        setattr(estimator, name, value)
    if hasattr(estimator, "_loaded"):
        estimator._loaded()
    return estimator


def _plain(name: str, value: Any) -> Any:
    """A value as JSON; a tuple as {"tuple": [...]}."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value.item() if isinstance(value, np.generic) else value
    if isinstance(value, np.generic):
        return _plain(name, value.item())
    if isinstance(value, np.ndarray):
        return _plain(name, value.tolist())
    if isinstance(value, torch.device):
        return str(value)
    if isinstance(value, (list, tuple)):
        items = [_plain(name, item) for item in value]
        return {"tuple": items} if isinstance(value, tuple) else items
    raise TypeError(
        f"save: {name} must be a number, a string or a list of them; got {type(value).__name__}"
    )


def _back(value: Any) -> Any:
    if isinstance(value, dict):
        return tuple(_back(item) for item in value["tuple"])
    return [_back(item) for item in value] if isinstance(value, list) else value


def _names(names: list[str], dtype: str) -> np.ndarray:
    """An array of strings, which takes the length of the longest for each, or that of its dtype."""
    found = np.dtype(dtype)
    if found.kind not in "UO":
        raise ValueError(f"names cannot have the type {dtype!r}")
    longest = max(found.itemsize, 4 * max(map(len, names), default=0))
    ask("its names", len(names) * longest)
    return np.array(names, dtype=found)
