"""Fitted estimators in one safetensors file: `save(estimator, path)`, `load(path)`.

Arrays are the file's tensors, `0/coef_` being `coef_` of the first estimator; class, parameters and
what is no array stand in the header as JSON. The file names classes of the lists below and nothing
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
from ..files import read_tensors, write_tensors
from ..files.budget import ask
from ..files.reading import parsed_json

_MODULES = {
    "LinearClassifier": "scatcuda.learn.classifiers.linear",
    "ManyViews": "scatcuda.learn.classifiers.views",
    "OrthogonalLeastSquares": "scatcuda.learn.classifiers.selection",
    "PCAAffineClassifier": "scatcuda.learn.classifiers.pca",
    "RidgeClassifier": "scatcuda.learn.classifiers.ridge",
    "ScatteringTransformer": "scatcuda.learn.extraction.transformer",
    "Standardizer": "scatcuda.learn.classifiers.standardizer",
}
# Of scikit-learn's own, what fitting leaves, with its shape: `d` features, `k` components, `K` rows
# of coefficients, `?` none or whatever there is. They predict and transform by these alone.
_CLASSIFIER = {"classes_": "?", "coef_": "K d", "intercept_": "K", "n_iter_": "?"}
_THEIRS: dict[str, tuple[str, dict[str, str]]] = {
    "LinearSVC": ("sklearn.svm", _CLASSIFIER),
    "LogisticRegression": ("sklearn.linear_model", _CLASSIFIER),
    "MaxAbsScaler": (
        "sklearn.preprocessing",
        {"scale_": "d", "max_abs_": "d", "n_samples_seen_": "?"},
    ),
    "MinMaxScaler": (
        "sklearn.preprocessing",
        dict.fromkeys(("min_", "scale_", "data_min_", "data_max_", "data_range_"), "d")
        | {"n_samples_seen_": "?"},
    ),
    "Normalizer": ("sklearn.preprocessing", {}),
    "PCA": (
        "sklearn.decomposition",
        {"components_": "k d", "mean_": "d", "n_components_": "?", "n_samples_": "?"}
        | {"explained_variance_": "k", "explained_variance_ratio_": "k"}
        | {"singular_values_": "k", "noise_variance_": "?"},
    ),
    "RobustScaler": ("sklearn.preprocessing", {"center_": "d", "scale_": "d"}),
    "StandardScaler": (
        "sklearn.preprocessing",
        {"mean_": "d", "var_": "d", "scale_": "d", "n_samples_seen_": "?"},
    ),
}
_PASSTHROUGH = "passthrough"  # scikit-learn's word for a step that does nothing
_KEY, _VERSION = "scatcuda.estimator", 1


def save(estimator: BaseEstimator, path: str | os.PathLike[str]) -> None:
    """Write a fitted estimator, or a `Pipeline` of them, to one safetensors file.

    The file is written beside its place and moved there in one step: whatever happens, `path` holds
    the old file or the new one.

    Of scikit-learn it knows ``StandardScaler``, ``MinMaxScaler``, ``MaxAbsScaler``,
    ``RobustScaler``, ``Normalizer``, ``PCA``, ``LogisticRegression`` and ``LinearSVC``. To keep
    other estimators there are ``skops.io``, which runs no code from its files either, and
    ``joblib``, which does: load its files only if you made them. Either keeps a pipeline with steps
    of this package too.

    Args:
        estimator: of this package or one of those, or scikit-learn's ``Pipeline`` of such.
        path: where the file goes.
    Raises:
        TypeError: an estimator of another class, or a parameter that JSON cannot hold.
        NotFittedError: it is not fitted.
        OSError: the file cannot be written.
    Example:
        >>> import pathlib, tempfile
        >>> from scatcuda.learn.classifiers.standardizer import Standardizer
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
    Example:
        >>> import tempfile
        >>> from scatcuda.learn import RidgeClassifier
        >>> model = RidgeClassifier().fit([[0.0], [1.0], [3.0], [4.0]], [0, 0, 1, 1])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save(model, f"{folder}/model.safetensors")
        ...     load(f"{folder}/model.safetensors").predict([[0.5], [3.5]])
        array([0, 1])
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


def _class(name: str) -> tuple[type[Any], dict[str, str]]:
    """A class that files may name, and the attributes that it has when fitted, with their shapes
    where it does not check them itself."""
    if name in _MODULES:
        kind = getattr(importlib.import_module(_MODULES[name]), name)
        return kind, dict.fromkeys(kind.fitted, "?")
    if name in _THEIRS:
        module, fitted = _THEIRS[name]
        common = {"n_features_in_": "?", "feature_names_in_": "d"}
        return getattr(importlib.import_module(module), name), fitted | common
    raise ValueError(f"unknown class {name!r}")


def _described(estimator: Any, prefix: str, tensors: dict[str, Tensor]) -> dict[str, Any]:
    """Class, parameters and attributes for the header; arrays go to `tensors`."""
    from sklearn.utils.validation import check_is_fitted

    if estimator is None or isinstance(estimator, str):  # as Pipeline has checked
        return {"class": _PASSTHROUGH}
    kind = type(estimator)
    known = {*_MODULES, *_THEIRS}
    found, fitted = _class(kind.__name__) if kind.__name__ in known else (None, {})
    if found is not kind:
        raise TypeError(
            f"save: {kind.__module__}.{kind.__qualname__} is not one of what it keeps, "
            f"{', '.join(sorted(known))} and a Pipeline of them; keep it with skops.io or joblib"
        )
    check_is_fitted(estimator)
    attributes: dict[str, Any] = {}
    for name in fitted:
        if not hasattr(estimator, name):
            continue
        value = getattr(estimator, name)
        if isinstance(value, BaseEstimator):
            inside = f"{prefix}{name}/"
            attributes[name] = {"estimator": _described(value, inside, tensors)}
        elif isinstance(value, Tensor):
            tensors[prefix + name] = value.detach().cpu().contiguous()
            attributes[name] = {"tensor": None}
        elif isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
            tensors[prefix + name] = torch.from_numpy(np.ascontiguousarray(value))
            # products of arrays in another order are rounded otherwise
            columns = value.ndim == 2 and value.strides[0] < value.strides[1]
            attributes[name] = {"array": "F" if columns else "C"}
        elif isinstance(value, np.ndarray):
            attributes[name] = {"names": [str(v) for v in value], "dtype": value.dtype.str}
            if not all(isinstance(v, str) for v in value.tolist()):
                raise TypeError(f"save: {name} must hold numbers or strings; got {value.dtype}")
        else:
            attributes[name] = {"value": _plain(name, value)}
    return {"class": kind.__name__, "parameters": _parameters(estimator), "attributes": attributes}


def _parameters(estimator: Any) -> dict[str, Any]:
    """Those of an estimator, and of one that is a parameter of it."""
    return {
        name: {"class": type(value).__name__, "parameters": _parameters(value)}
        if isinstance(value, BaseEstimator)
        else _plain(name, value)
        for name, value in estimator.get_params(deep=False).items()
    }


def _unfitted(step: dict[str, Any]) -> Any:
    """The estimator of these parameters."""
    parameters = {
        name: _unfitted(value) if isinstance(value, dict) and "class" in value else _back(value)
        for name, value in step["parameters"].items()
    }
    return _class(step["class"])[0](**parameters)


def _restored(step: dict[str, Any], prefix: str, tensors: dict[str, Tensor]) -> Any:
    """The estimator that `_described` described."""
    if step["class"] == _PASSTHROUGH:
        return _PASSTHROUGH
    _, fitted = _class(step["class"])
    estimator = _unfitted(step)
    for name, stored in step["attributes"].items():
        if name not in fitted:
            raise ValueError(f"{step['class']} has no {name!r}")
        if "estimator" in stored:
            value: Any = _restored(stored["estimator"], f"{prefix}{name}/", tensors)
        elif "names" in stored:
            value = _names([str(v) for v in stored["names"]], stored["dtype"])
        elif "value" in stored:
            value = _back(stored["value"])
        else:
            value = tensors[prefix + name]
            ours = step["class"] in _MODULES  # a scaler of scikit-learn may have NaN
            if ours and value.is_floating_point() and not value.isfinite().all():
                raise ValueError(f"{name} contains NaN or infinity")
            if "array" in stored:
                value = np.asarray(value.numpy(), order="F" if stored["array"] == "F" else "C")
        setattr(estimator, name, value)
    if step["class"] in _THEIRS:
        _check_theirs(estimator, fitted)
    elif hasattr(estimator, "loaded"):
        estimator.loaded()
    return estimator


def _check_theirs(estimator: Any, fitted: dict[str, str]) -> None:
    """ValueError unless parameters and attributes of an estimator of scikit-learn fit together."""
    estimator._validate_params()
    lengths = {"d": estimator.n_features_in_}
    for name, letters in fitted.items():
        value = getattr(estimator, name, None)
        if letters == "?" or value is None:  # a scaler without a mean has None
            continue
        shape = np.shape(value)
        expected = tuple(
            lengths.setdefault(c, n) for c, n in zip(letters.split(), shape, strict=False)
        )
        if shape != expected or len(shape) != len(letters.split()):
            raise ValueError(f"{name} has the shape {shape}, expected [{letters}] of {lengths}")
    if "K" in lengths:
        classes = len(estimator.classes_)
        if lengths["K"] != (classes if classes > 2 else 1):
            raise ValueError(f"coef_ has {lengths['K']} rows with {classes} classes")


def _plain(name: str, value: Any) -> Any:
    """A value as JSON; a tuple as {"tuple": [...]}, a dict as {"dict": [[key, value], ...]}."""
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
    if isinstance(value, dict):
        return {"dict": [[_plain(name, key), _plain(name, item)] for key, item in value.items()]}
    raise TypeError(
        f"save: {name} must be a number, a string or a list of them; got {type(value).__name__}"
    )


def _back(value: Any) -> Any:
    if isinstance(value, dict) and "dict" in value:
        return {_back(key): _back(item) for key, item in value["dict"]}
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
