"""Image files as an array: decoded when asked for, cropped and resampled to one size.

    Images(files)[index] -> [n, 3, size, size] uint8

A file is a path, or any `Source` of bytes: a member of an archive, a row of a table.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ...arguments import integer, pair
from .decode import decoded, dimensions
from .files import File as File
from .files import Files
from .files import Source as Source

USUAL = 224  # side of images of several sizes, unless it is said


class Images(Files):
    """Image files as an array ``[n, 3, size, size]`` or ``[n, size, size]`` (grey) of uint8.

    ``images[index]`` with a slice, indices or a mask, in a list, an array or a tensor ``[n]``, is a
    tensor, decoded in parallel; with an integer it is one image. Of each image the central square
    is kept whose side is `crop` times the image's shorter side, resampled to `size` with a bilinear
    filter wide enough that nothing aliases: ImageNet's usual "256, then the central 224" in one
    step.

    Images are turned upright as EXIF says, the transparent is white, and grey levels of 16 bits (0
    to 65535) or in floating point (0 to 1) become 8 bits. Of several pictures in a file it is the
    first.

    Args:
        files: JPEG, PNG, BMP, PPM, WebP, TIFF, GIF, JPEG 2000 or AVIF, whatever they are called:
            paths, or any `Source` of their bytes.
        size: side of the images in pixels, at least 1. Or ``(M, N)``, which all images have
            already: then none is cropped or resampled, and one of another size is an error.
        crop: above 0 and at most 1.
        grey: one channel of brightness instead of red, green and blue.
    Raises:
        TypeError, ValueError: an argument is not as above.
        ImportError: Pillow is not installed.
        DataError: on indexing; a file is missing, damaged, of another format, or takes more memory
            than `file_budget`.
    Example:
        >>> import tempfile; from PIL import Image
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Image.new("RGB", (30, 20), "red").save(f"{folder}/red.png")
        ...     Images([f"{folder}/red.png"], size=8)[:].shape
        torch.Size([1, 3, 8, 8])
    """

    def __init__(
        self,
        files: Sequence[str | os.PathLike[str] | Source],
        size: int | tuple[int, int] = USUAL,
        *,
        crop: float = 0.875,
        grey: bool = False,
    ) -> None:
        if isinstance(size, tuple):
            M, N = pair("Images", size)
            size = integer("Images", "size", M, 1), integer("Images", "size", N, 1)
        else:
            size = integer("Images", "size", size, 1)
        if not 0 < crop <= 1:
            raise ValueError(f"Images: crop must be above 0 and at most 1, got {crop}")
        try:
            import PIL.Image  # noqa: F401
        except ImportError as error:
            raise ImportError(
                "image files need Pillow, which is not installed: pip install pillow"
            ) from error
        super().__init__(files)
        self.side: int | tuple[int, int] = size
        self.crop: float = crop
        self.grey: bool = grey

    dtype: torch.dtype = torch.uint8
    rank: int = 2

    @property
    def how(self) -> tuple[Any, ...]:
        return self.side, self.crop, self.grey

    @property
    def shape(self) -> torch.Size:
        sides = self.side if isinstance(self.side, tuple) else (self.side, self.side)
        return torch.Size((len(self), *([] if self.grey else [3]), *sides))

    def __repr__(self) -> str:
        how = "" if isinstance(self.side, tuple) else f", crop={self.crop}"
        return f"Images({list(self.shape)}, uint8{how})"

    def _decode(self, source: Source) -> np.ndarray:
        """Pixels [3, M, N] or [M, N]."""
        return decoded(source.read(), source.name, self.side, self.crop, self.grey)


def common_size(sources: Sequence[Source]) -> tuple[int, int] | None:
    """Height and width of all images; none if there are several."""
    sizes = (dimensions(source.read(), source.name) for source in sources)
    first = next(sizes, None)
    return first if all(size == first for size in sizes) else None
