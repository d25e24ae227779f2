"""Wavelet scattering transforms on native engines.

>>> import torch
>>> from scatcuda import Scattering2D
>>> Scattering2D(J=2, shape=(32, 32))(torch.randn(8, 32, 32)).shape
torch.Size([8, 81, 8, 8])
"""

import os
import sys

from . import _moved as _moved
from . import banks, filters, ops
from .config import check_environment, cpu_isa, cuda_launch, show_config
from .frontends import kymatio
from .ops import reference
from .paths import cmake_prefix_path, get_include, library_path
from .transforms.cascade import Cascade
from .transforms.covariance import ScatteringCovariance
from .transforms.harmonic3d import HarmonicScattering3D
from .transforms.phases import WaveletPhaseHarmonics
from .transforms.reduced import ReducedCovariance
from .transforms.rototranslation import RotoTranslationScattering2D
from .transforms.scattering1d import Scattering1D
from .transforms.scattering2d import Scattering2D
from .transforms.timefrequency import TimeFrequencyScattering
from .version import __version__ as __version__

try:
    check_environment()
except ValueError as _error:
    # The command cannot catch what is raised before it is imported.
    if os.path.basename(sys.argv[0]) == "scatcuda" or sys.orig_argv[1:3] == ["-m", "scatcuda"]:
        raise SystemExit(f"scatcuda: {_error}") from None
    raise

__all__ = [
    "Cascade",
    "HarmonicScattering3D",
    "ReducedCovariance",
    "RotoTranslationScattering2D",
    "Scattering1D",
    "Scattering2D",
    "ScatteringCovariance",
    "TimeFrequencyScattering",
    "WaveletPhaseHarmonics",
    "banks",
    "cmake_prefix_path",
    "cpu_isa",
    "cuda_launch",
    "filters",
    "get_include",
    "kymatio",
    "library_path",
    "ops",
    "reference",
    "show_config",
]
