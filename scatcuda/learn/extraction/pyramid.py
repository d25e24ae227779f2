"""An image at several scales."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ...arguments import ArgumentError, integer

_NAME = "ScalePyramid"
_MOST = 16


class ScalePyramid(nn.Module):
    """Images ``[..., M, N]`` at the scales ``2^(-i / per_octave)``, ``i = 0, 1, …``: smaller and
    smaller, by cubic interpolation that averages over what a pixel becomes, so that nothing is
    aliased. What is scattered at each of them and averaged changes little when the image is
    enlarged or reduced.

    Args:
        scales: how many, 1 to 16, the image as it is included.
        per_octave: so many are half the size.
    Raises:
        TypeError, ValueError: an argument is no such integer; in a call, the input is no floating
            tensor of two axes or more, or has a side that becomes less than a pixel.
    Source: L. Sifre and S. Mallat, "Rotation, scaling and deformation invariant scattering for
        texture discrimination", CVPR 2013.
    Example:
        >>> pyramid = ScalePyramid()
        >>> [tuple(level.shape) for level in pyramid(torch.rand(8, 200, 160))]
        [(8, 200, 160), (8, 141, 113), (8, 100, 80), (8, 71, 57)]
        >>> pyramid.sizes(64, 64)
        [(64, 64), (45, 45), (32, 32), (23, 23)]
    """

    if TYPE_CHECKING:

        def __call__(self, x: Tensor) -> list[Tensor]: ...

    def __init__(self, scales: int = 4, per_octave: int = 2) -> None:
        super().__init__()
        self.scales: int = integer(_NAME, "scales", scales, 1, _MOST)
        self.per_octave: int = integer(_NAME, "per_octave", per_octave, 1, _MOST)

    def sizes(self, M: int, N: int) -> list[tuple[int, int]]:
        """The sides of the images, of such as are ``[M, N]``."""
        factors = [2 ** (-i / self.per_octave) for i in range(self.scales)]
        found = [(round(M * factor), round(N * factor)) for factor in factors]
        if min(found[-1]) < 1:
            raise ArgumentError(
                f"{_NAME}: images must have sides of at least 1 pixel at the last of "
                f"{self.scales} scales; got {(M, N)}"
            )
        return found

    def forward(self, x: Tensor) -> list[Tensor]:
        """Images ``[..., M, N]``, one tensor for each scale; the first is ``x`` itself."""
        if not isinstance(x, Tensor) or not x.is_floating_point() or x.ndim < 2:
            found = f"{x.dtype} {list(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
            raise ArgumentError(f"{_NAME}: x must be a floating tensor [..., M, N]; got {found}")
        M, N = x.shape[-2:]
        planes = x.reshape(-1, 1, M, N)
        levels = [
            torch.nn.functional.interpolate(
                planes, size, mode="bicubic", antialias=True, align_corners=False
            ).reshape(*x.shape[:-2], *size)
            for size in self.sizes(M, N)[1:]
        ]
        return [x, *levels]

    def extra_repr(self) -> str:
        return f"scales={self.scales}, per_octave={self.per_octave}"
