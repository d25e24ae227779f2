"""Names for the types of this package, for annotations in programs that use it.

The words that an argument takes stand here alone: type checkers read the ``Literal``, the check at
run time its ``get_args``.

>>> import torch
>>> from scatcuda import Scattering2D
>>> from scatcuda.typing import Coefficients
>>> def energies(scattering: Scattering2D[list[Coefficients]], x: torch.Tensor) -> list[float]:
...     return [float(channel["coef"].square().sum()) for channel in scattering(x)]
>>> len(energies(Scattering2D(J=2, shape=(32, 32), out_type="list"), torch.rand(32, 32)))
81
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypedDict

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "Backend",
    "BackendObject",
    "BankName",
    "ClassWeight",
    "Classifier",
    "Coefficients",
    "FeatureType",
    "FileFormat",
    "Head",
    "Instructions",
    "Loss",
    "Lowpass",
    "Network",
    "Norm",
    "OnError",
    "Optimiser",
    "OutType",
    "Paths",
    "Pooling",
    "Resume",
    "Tier",
    "Trainable",
    "Wavelet",
    "Waves",
]

Backend = Literal["native", "torch", "torch_skcuda", "torch_scatcuda", "reference"]
OutType = Literal["array", "list"]
BankName = Literal["morlet", "tight"]
Optimiser = Literal["lbfgs", "adam"]  # of synthesis
Waves = Literal["morlet", "bump", "gaussian", "shannon"]  # of statistics
Tier = Literal["auto", "general", "fused"]
Trainable = Literal["filters", "wavelets"]
#: Paths as wavelet numbers, or a function of ``meta()`` that says which channels are wanted
Paths = Iterable[Iterable[int]] | Callable[[dict[str, NDArray[np.int64]]], NDArray[np.bool_]]
Instructions = Literal["baseline", "avx2", "avx512"]  # of the CPU engine

# scatcuda.data
OnError = Literal["stop", "skip"]

# scatcuda.learn
Classifier = Literal["ridge", "svm", "logistic", "pca"]
Network = Literal["hybrid", "alexnet", "deepface", "inception", "resnet"]
Head = Literal["linear", "mlp", "resnet"]
Norm = Literal["batch", "group"]
Loss = Literal["squared_hinge", "log"]
ClassWeight = Mapping[Any, float] | Literal["balanced"]
Pooling = Literal["mean", "rotation"]
FeatureType = Literal["float16", "float32", "float64"]
FileFormat = Literal["safetensors", "parquet"]  # of features
Resume = Literal["auto", "must", "never"]


class BackendObject(Protocol):
    """A backend of Kymatio, or ours for Kymatio, which stands for its name."""

    @property
    def name(self) -> str: ...


class Coefficients(TypedDict):
    """One channel of ``out_type="list"``."""

    coef: Tensor  # [..., m, n]
    j: tuple[int, ...]  # scales of the wavelets on the path
    theta: tuple[int, ...]  # their angles
    n: tuple[int, ...]  # their numbers, j L + theta


class Wavelet(TypedDict):
    """One element of ``Scattering2D.psi``."""

    levels: list[NDArray[np.float32]]  # [Mp / 2^res, Np / 2^res] from resolution 0
    j: int
    theta: int


class Lowpass(TypedDict):
    """``Scattering2D.phi``."""

    levels: list[NDArray[np.float32]]
    j: int
