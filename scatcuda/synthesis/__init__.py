"""From a representation back to fields: textures with given statistics, mixtures taken apart, and
signals and images of which the scattering coefficients are known.

synthesise   fields with the statistics of another one
denoise      what is left without noise of known statistics
separate     a mixture of two fields of known statistics
invert       a signal or an image with given scattering coefficients

All are descents on the distance of statistics, :func:`descend`, from a start that a seed makes: of
all fields with the same statistics that is one of high entropy, near the first (microcanonical).

>>> import torch
>>> from scatcuda import ScatteringCovariance
>>> x = torch.randn(32, 32).cumsum(0)
>>> made = synthesise(x, ScatteringCovariance((32, 32), J=3), steps=2, n=2)
>>> made.x.shape, len(made.history)
(torch.Size([2, 32, 32]), 3)
"""

from .descent import Descent, Loss, descend
from .fields import Synthesis, denoise, gaussian_like, power_spectrum, separate, synthesise
from .inversion import Inversion, invert, psnr

__all__ = [
    "Descent",
    "Inversion",
    "Loss",
    "Synthesis",
    "denoise",
    "descend",
    "gaussian_like",
    "invert",
    "power_spectrum",
    "psnr",
    "separate",
    "synthesise",
]
