"""Wavelet scattering transforms on native engines.

>>> import torch
>>> from scatcuda import Scattering2D
>>> Scattering2D(J=2, shape=(32, 32))(torch.randn(8, 32, 32)).shape
torch.Size([8, 81, 8, 8])

Names are found when they are asked for. The transforms here are PyTorch's modules;
:mod:`scatcuda.numpy` and :mod:`scatcuda.jax` have those of arrays and do not import PyTorch.
"""

import sys
from typing import TYPE_CHECKING

from . import _moved as _moved
from .environment import check_on_import
from .lazy import found_later

if TYPE_CHECKING:  # what is found below, for type checkers
    from . import banks as banks
    from . import filters as filters
    from . import kymatio as kymatio
    from . import ops as ops
    from .config import cpu_isa as cpu_isa
    from .config import cuda_launch as cuda_launch
    from .config import show_config as show_config
    from .ops import reference as reference
    from .paths import cmake_prefix_path as cmake_prefix_path
    from .paths import get_include as get_include
    from .paths import library_path as library_path
    from .transforms.cascade import Cascade as Cascade
    from .transforms.covariance import ScatteringCovariance as ScatteringCovariance
    from .transforms.harmonic3d import HarmonicScattering3D as HarmonicScattering3D
    from .transforms.phases import WaveletPhaseHarmonics as WaveletPhaseHarmonics
    from .transforms.reduced import ReducedCovariance as ReducedCovariance
    from .transforms.rototranslation import (
        RotoTranslationScattering2D as RotoTranslationScattering2D,
    )
    from .transforms.scalogram import scalogram as scalogram
    from .transforms.scattering1d import Scattering1D as Scattering1D
    from .transforms.scattering2d import Scattering2D as Scattering2D
    from .transforms.timefrequency import TimeFrequencyScattering as TimeFrequencyScattering
    from .version import __version__ as __version__

check_on_import()

_HOME = {
    "Cascade": "transforms.cascade",
    "HarmonicScattering3D": "transforms.harmonic3d",
    "ReducedCovariance": "transforms.reduced",
    "RotoTranslationScattering2D": "transforms.rototranslation",
    "Scattering1D": "transforms.scattering1d",
    "Scattering2D": "transforms.scattering2d",
    "ScatteringCovariance": "transforms.covariance",
    "TimeFrequencyScattering": "transforms.timefrequency",
    "WaveletPhaseHarmonics": "transforms.phases",
    "banks": "",
    "cmake_prefix_path": "paths",
    "cpu_isa": "config",
    "cuda_launch": "config",
    "filters": "",
    "get_include": "paths",
    "kymatio": "",
    "library_path": "paths",
    "ops": "",
    "reference": "ops",
    "scalogram": "transforms.scalogram",
    "show_config": "config",
}

__all__ = sorted(_HOME)

# Packages that are imported by their own names, found as attributes too
_HOME |= dict.fromkeys(("config", "data", "draw", "learn", "limits", "program", "transforms"), "")
_HOME |= dict.fromkeys(("jax", "numpy", "scale", "sklearn", "synthesis"), "")
_HOME |= {"typing": "", "__version__": "version"}

if not TYPE_CHECKING:
    __getattr__ = found_later(__name__, _HOME)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


# PyTorch's programs know the operators by their names, as in torch.ops.scatcuda.scattering. Who
# imports PyTorch after this asks for a transform, or imports scatcuda.ops.
if "torch" in sys.modules:
    from . import ops as ops
