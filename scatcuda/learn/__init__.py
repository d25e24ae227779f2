"""Learning on scattering coefficients: ``ŷ = Classifier(Φ x)``.

Scikit-learn's users find estimators: `ScatteringTransformer`, `Standardizer`, `RidgeClassifier`,
`LinearClassifier`, `PCAAffineClassifier`, kept by `save` and `load`. PyTorch's users find modules,
`Hybrid`, `WaveletCascade`, `alexnet`, `inception`, `resnet`, and `fit`, `predict`, `evaluate`. The
command ``scatcuda train`` is `run_experiment` with some `Options`; `scatcuda.learn.separation` and
`scatcuda.learn.stability` measure what depth and deformations do.

Needs more than the transform: ``pip install scatcuda[learn]``.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOME = {
    "Augment": "augment",
    "Hybrid": "models",
    "LinearClassifier": "linear",
    "Options": "options",
    "PCAAffineClassifier": "pca",
    "Recipe": "recipe",
    "RidgeClassifier": "ridge",
    "ScatteringTransformer": "transformer",
    "Standardizer": "standardizer",
    "WaveletCascade": "cascade",
    "alexnet": "models",
    "evaluate": "inference",
    "evaluate_run": "evaluation",
    "extract": "features",
    "fit": "training",
    "hybrid": "hybrids",
    "inception": "models",
    "load": "saving",
    "load_features": "features",
    "load_weights": "checkpoint",
    "pool": "pooling",
    "predict": "inference",
    "resnet": "models",
    "run_experiment": "experiment",
    "save": "saving",
}

__all__ = sorted(_HOME)


# Names are found when asked for: a program that trains networks does not wait for scikit-learn.
def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        value = getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
    except ModuleNotFoundError as error:
        raise ImportError(
            f"scatcuda.learn.{name} needs {error.name}, which is not installed: "
            "pip install scatcuda[learn]"
        ) from error
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
