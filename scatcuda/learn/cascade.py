"""The name that :class:`scatcuda.Cascade` had here before."""

from ..transforms.cascade import Cascade as WaveletCascade

__all__ = ["WaveletCascade"]
