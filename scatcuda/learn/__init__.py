"""Learning on scattering coefficients: ``ŷ = Classifier(Φ x)``.

Scikit-learn's users find estimators: `ScatteringTransformer`, `Standardizer`,
`OrthogonalLeastSquares`, `RidgeClassifier`, `LinearClassifier`, `PCAAffineClassifier`, `ManyViews`,
kept by `save` and `load`. PyTorch's users find modules, `Hybrid`, `alexnet`, `deepface`,
`inception`, `resnet`, `ScalePyramid`, and `fit`, `predict`, `evaluate`, and the loss
`ScatteringDistance`. The command ``scatcuda train`` is `run_experiment` with some `Options`;
`scatcuda.learn.analysis` measures what depth (`separation`) and deformations (`stability`) do, and
`explain` shows what networks and classifiers see.

Needs more than the transform: ``pip install scatcuda[learn]``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import found_later

if TYPE_CHECKING:  # what is found below, for type checkers
    from .cascade import WaveletCascade as WaveletCascade
    from .classifiers.linear import LinearClassifier as LinearClassifier
    from .classifiers.pca import PCAAffineClassifier as PCAAffineClassifier
    from .classifiers.ridge import RidgeClassifier as RidgeClassifier
    from .classifiers.selection import OrthogonalLeastSquares as OrthogonalLeastSquares
    from .classifiers.standardizer import Standardizer as Standardizer
    from .classifiers.views import ManyViews as ManyViews
    from .distance import ScatteringDistance as ScatteringDistance
    from .experiments.evaluation import evaluate_run as evaluate_run
    from .experiments.experiment import run_experiment as run_experiment
    from .experiments.options import Options as Options
    from .extraction.features import extract as extract
    from .extraction.features import load_features as load_features
    from .extraction.pooling import pool as pool
    from .extraction.pyramid import ScalePyramid as ScalePyramid
    from .extraction.stored import Features as Features
    from .extraction.stored import read_features as read_features
    from .extraction.transformer import ScatteringTransformer as ScatteringTransformer
    from .fitting.augment import Augment as Augment
    from .fitting.checkpoint import load_weights as load_weights
    from .fitting.inference import evaluate as evaluate
    from .fitting.inference import predict as predict
    from .fitting.recipe import Recipe as Recipe
    from .fitting.training import fit as fit
    from .generative import GenerativeScattering as GenerativeScattering
    from .networks.hybrids import hybrid as hybrid
    from .networks.models import Hybrid as Hybrid
    from .networks.models import alexnet as alexnet
    from .networks.models import deepface as deepface
    from .networks.models import inception as inception
    from .networks.models import resnet as resnet
    from .saving import load as load
    from .saving import save as save

_HOME = {
    "Augment": "fitting.augment",
    "Features": "extraction.stored",
    "GenerativeScattering": "generative",
    "Hybrid": "networks.models",
    "LinearClassifier": "classifiers.linear",
    "ManyViews": "classifiers.views",
    "Options": "experiments.options",
    "OrthogonalLeastSquares": "classifiers.selection",
    "PCAAffineClassifier": "classifiers.pca",
    "Recipe": "fitting.recipe",
    "RidgeClassifier": "classifiers.ridge",
    "ScalePyramid": "extraction.pyramid",
    "ScatteringDistance": "distance",
    "ScatteringTransformer": "extraction.transformer",
    "Standardizer": "classifiers.standardizer",
    "WaveletCascade": "cascade",
    "alexnet": "networks.models",
    "deepface": "networks.models",
    "evaluate": "fitting.inference",
    "evaluate_run": "experiments.evaluation",
    "extract": "extraction.features",
    "fit": "fitting.training",
    "hybrid": "networks.hybrids",
    "inception": "networks.models",
    "load": "saving",
    "load_features": "extraction.features",
    "load_weights": "fitting.checkpoint",
    "pool": "extraction.pooling",
    "predict": "fitting.inference",
    "read_features": "extraction.stored",
    "resnet": "networks.models",
    "run_experiment": "experiments.experiment",
    "save": "saving",
}

__all__ = sorted(_HOME)


# A program that trains networks does not wait for scikit-learn.
if not TYPE_CHECKING:
    __getattr__ = found_later(__name__, _HOME, "scatcuda[learn]")


def __dir__() -> list[str]:
    return __all__
