"""Learning on scattering coefficients: ``ŷ = Classifier(Φ x)``.

Scikit-learn's users find estimators: `ScatteringTransformer`, `Standardizer`, `RidgeClassifier`,
`LinearClassifier`, `PCAAffineClassifier`, kept by `save` and `load`. PyTorch's users find modules,
`Hybrid`, `alexnet`, `inception`, `resnet`, and `fit`, `predict`, `evaluate`. The
command ``scatcuda train`` is `run_experiment` with some `Options`; `scatcuda.learn.separation` and
`scatcuda.learn.stability` measure what depth and deformations do.

Needs more than the transform: ``pip install scatcuda[learn]``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what is found below, for type checkers
    from .augment import Augment as Augment
    from .cascade import WaveletCascade as WaveletCascade
    from .checkpoint import load_weights as load_weights
    from .evaluation import evaluate_run as evaluate_run
    from .experiment import run_experiment as run_experiment
    from .features import extract as extract
    from .features import load_features as load_features
    from .hybrids import hybrid as hybrid
    from .inference import evaluate as evaluate
    from .inference import predict as predict
    from .linear import LinearClassifier as LinearClassifier
    from .models import Hybrid as Hybrid
    from .models import alexnet as alexnet
    from .models import inception as inception
    from .models import resnet as resnet
    from .options import Options as Options
    from .pca import PCAAffineClassifier as PCAAffineClassifier
    from .pooling import pool as pool
    from .recipe import Recipe as Recipe
    from .ridge import RidgeClassifier as RidgeClassifier
    from .saving import load as load
    from .saving import save as save
    from .standardizer import Standardizer as Standardizer
    from .training import fit as fit
    from .transformer import ScatteringTransformer as ScatteringTransformer

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
if not TYPE_CHECKING:

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
