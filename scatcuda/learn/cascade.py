"""The name that :class:`scatcuda.Cascade` had here before."""

from ..cascade import Cascade as WaveletCascade

__all__ = ["WaveletCascade"]
