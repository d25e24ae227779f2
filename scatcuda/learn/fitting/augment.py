"""Random flips and crops of a batch of images, on the device where it lies.

    flip: x[m, n] -> x[m, N - 1 - n] with probability 1/2
    crop: x[m, n] -> x[m + a, n + b], a and b uniform in -crop .. crop, mirrored at the border

Every image draws its own. The numbers come from a generator of the CPU, so that a seed means the
same on every device.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Augment"]


class Augment(NamedTuple):
    """What is done to training images.

    Args:
        flip: mirror half of the images left to right.
        crop: largest shift in pixels, each way and in each direction; 0 for none.
    Example:
        >>> x = torch.arange(9.0).reshape(1, 3, 3)
        >>> Augment(flip=True, crop=1)(x, torch.Generator().manual_seed(3)).shape
        torch.Size([1, 3, 3])
        >>> bool(Augment())
        False
    """

    flip: bool = False
    crop: int = 0

    def __bool__(self) -> bool:
        return self.flip or self.crop > 0

    @classmethod
    def parse(cls, text: str) -> Augment:
        """From the command line's spelling: "none", "flip", "crop=4", "flip,crop=4".

        Raises: ValueError: for anything else.
        Example:
            >>> Augment.parse("flip,crop=4")
            Augment(flip=True, crop=4)
        """
        flip, crop = False, 0
        for word in text.split(",") if text != "none" else ():
            name, _, value = word.partition("=")
            if word == "flip":
                flip = True
            elif name == "crop" and value.isascii() and value.isdigit() and 0 < int(value[:9]):
                crop = int(value[:9])  # more pixels than an image has, too
            else:
                raise ValueError(
                    f"augment: expected none, flip, crop=4 or flip,crop=4; got {text[:80]!r}"
                )
        return cls(flip, crop)

    def __str__(self) -> str:
        words = ["flip"] * self.flip + [f"crop={self.crop}"] * (self.crop > 0)
        return ",".join(words) or "none"

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Augment images.

        Args:
            x: ``[B, ..., M, N]``.
            generator: of the CPU; it is drawn from as often for every setting.
        Returns: Images of the same shape, dtype and device.
        Raises: ValueError: ``crop`` is not less than M and N.
        """
        B, M, N = len(x), x.shape[-2], x.shape[-1]
        if self.crop >= min(M, N):
            raise ValueError(f"augment: crop={self.crop} for images of {M} x {N} pixels")
        mirrored = torch.randint(2, (B,), generator=generator).to(x.device, non_blocking=True)
        shift = torch.randint(-self.crop, self.crop + 1, (2, B), generator=generator)
        if not self:
            return x
        down, right = shift.to(x.device, non_blocking=True)
        rows = _mirror(torch.arange(M, device=x.device) + down[:, None], M)  # [B, M]
        columns = _mirror(torch.arange(N, device=x.device) + right[:, None], N)  # [B, N]
        if self.flip:
            columns = torch.where(mirrored[:, None] == 1, N - 1 - columns, columns)
        planes = x.reshape(B, -1, M, N)  # [B, C, M, N]
        images = torch.arange(B, device=x.device)[:, None, None]
        taken = planes.movedim(1, -1)[images, rows[:, :, None], columns[:, None, :]]
        return taken.movedim(-1, 1).reshape(x.shape)


def _mirror(index: Tensor, size: int) -> Tensor:
    """Indices beyond an edge reflected about it; at most one side length beyond."""
    index = index.abs()
    return torch.where(index < size, index, 2 * (size - 1) - index)
