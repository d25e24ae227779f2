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

#: How coefficients are computed: the engines, or plain PyTorch; the others are Kymatio's words
Backend = Literal["native", "torch", "torch_skcuda", "torch_scatcuda", "reference"]
#: What a transform returns: one tensor, or a dictionary for each channel
OutType = Literal["array", "list"]
#: Filter banks of images by name
BankName = Literal["morlet", "tight"]
#: How synthesis descends
Optimiser = Literal["lbfgs", "adam"]
#: Wavelets of statistics by name
Waves = Literal["morlet", "bump", "gaussian", "shannon"]
#: How the CUDA engine computes
Tier = Literal["auto", "general", "fused"]
#: What of a bank is learned
Trainable = Literal["filters", "wavelets"]
#: Paths as wavelet numbers, or a function of ``meta()`` that says which channels are wanted
Paths = Iterable[Iterable[int]] | Callable[[dict[str, NDArray[np.int64]]], NDArray[np.bool_]]
#: Instructions of the CPU engine
Instructions = Literal["baseline", "avx2", "avx512"]

# scatcuda.data
#: What happens at a file that cannot be read
OnError = Literal["stop", "skip"]

# scatcuda.learn
#: Classifiers of the command line by name
Classifier = Literal["ridge", "svm", "logistic", "pca"]
#: Networks by name
Network = Literal["hybrid", "alexnet", "deepface", "inception", "resnet"]
#: What stands on scattering in a hybrid network
Head = Literal["linear", "mlp", "resnet"]
#: Normalisation in a network
Norm = Literal["batch", "group"]
#: Losses of a linear classifier
Loss = Literal["squared_hinge", "log"]
#: Weights of the classes, as in scikit-learn
ClassWeight = Mapping[Any, float] | Literal["balanced"]
#: Averages of features by name
Pooling = Literal["mean", "rotation"]
#: What stored features are
FeatureType = Literal["float16", "float32", "float64"]
#: Files of features by name
FileFormat = Literal["safetensors", "parquet"]
#: Whether a run goes on where one was interrupted
Resume = Literal["auto", "must", "never"]


class BackendObject(Protocol):
    """A backend of Kymatio, or ours for Kymatio, which stands for its name.

    Example:
        >>> from scatcuda.kymatio import backend2d
        >>> backend: BackendObject = backend2d
        >>> backend.name
        'torch_scatcuda'
    """

    @property
    def name(self) -> str: ...


class Coefficients(TypedDict):
    """One channel of ``out_type="list"``."""

    coef: Tensor  # [..., m, n]
    j: tuple[int, ...]  # scales of the wavelets on the path
    theta: tuple[int, ...]  # their angles
    n: tuple[int, ...]  # their numbers, j L + theta


class Wavelet(TypedDict):
    """One element of ``Scattering2D.psi``.

    Example:
        >>> from scatcuda import Scattering2D
        >>> first: Wavelet = Scattering2D(J=2, shape=(32, 32)).psi[0]
        >>> first["j"], first["theta"], first["levels"][0].shape
        (0, 0, (40, 40))
    """

    levels: list[NDArray[np.float32]]  # [Mp / 2^res, Np / 2^res] from resolution 0
    j: int
    theta: int


class Lowpass(TypedDict):
    """``Scattering2D.phi``.

    Example:
        >>> from scatcuda import Scattering2D
        >>> phi: Lowpass = Scattering2D(J=2, shape=(32, 32)).phi
        >>> phi["j"], [level.shape for level in phi["levels"]]
        (2, [(40, 40), (20, 20)])
    """

    levels: list[NDArray[np.float32]]
    j: int
