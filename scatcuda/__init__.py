"""Wavelet scattering transforms on native engines.

>>> import torch
>>> from scatcuda import Scattering2D
>>> Scattering2D(J=2, shape=(32, 32))(torch.randn(8, 32, 32)).shape
torch.Size([8, 81, 8, 8])
"""

from importlib.metadata import PackageNotFoundError, version

from . import filters, kymatio, ops, reference
from .config import check_environment, cpu_isa, cuda_launch, show_config
from .paths import cmake_prefix_path, get_include, library_path
from .scattering2d import Scattering2D

check_environment()

try:
    __version__ = version("scatcuda")
except PackageNotFoundError:  # built in place, not installed
    __version__ = "0+unknown"

__all__ = [
    "Scattering2D",
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
