"""Image files as an array: decoded when asked for, cropped and resampled to one size.

    Images(files)[index] -> [n, 3, size, size] uint8

A file is a path, or any `Source` of bytes: a member of an archive, a row of a table.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, overload

import numpy as np
import torch
from torch import Tensor

from ...arguments import integer, pair
from ...files.error import DataError
from ...files.reading import read_whole
from .decode import decoded, dimensions

USUAL = 224  # side of images of several sizes, unless it is said
_BLOCK = 4096  # images


class Source(Protocol):
    """Where the bytes of an encoded image come from. Both methods may run in several threads, and
    raise a `DataError` that starts with the name."""

    @property
    def name(self) -> str:
        """For messages: a path, or a path and a place in that file."""
        ...

    def read(self) -> bytes:
        """The whole encoded image."""
        ...

    def state(self) -> tuple[int, int, int]:
        """Size, time in nanoseconds and number of the file: others when it is written to."""
        ...


class File:
    """The `Source` that is a file of its own."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name: str = name

    def read(self) -> bytes:
        return read_whole(self.name)

    def state(self) -> tuple[int, int, int]:
        try:
            found = os.stat(self.name)
        except OSError as error:
            missing = isinstance(error, FileNotFoundError)
            reason = "no such file" if missing else f"cannot be read ({error.strerror or error})"
            raise DataError(f"{self.name}: {reason}") from None
        return found.st_size, found.st_mtime_ns, found.st_ino


class Images:
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
        self.sources: tuple[Source, ...] = tuple(
            File(os.fspath(file)) if isinstance(file, str | os.PathLike) else file for file in files
        )
        self.side: int | tuple[int, int] = size
        self.crop: float = crop
        self.grey: bool = grey

    dtype: torch.dtype = torch.uint8

    @property
    def files(self) -> tuple[str, ...]:
        """The names of the files."""
        return tuple(source.name for source in self.sources)

    @property
    def shape(self) -> torch.Size:
        sides = self.side if isinstance(self.side, tuple) else (self.side, self.side)
        return torch.Size((len(self), *([] if self.grey else [3]), *sides))

    @overload
    def size(self, dim: None = None) -> torch.Size: ...
    @overload
    def size(self, dim: int) -> int: ...
    def size(self, dim: int | None = None) -> torch.Size | int:
        """The shape, or one of its sides, as tensors tell them and PyTorch's `TensorDataset`
        asks."""
        return self.shape if dim is None else self.shape[dim]

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __len__(self) -> int:
        return len(self.sources)

    def __repr__(self) -> str:
        how = "" if isinstance(self.side, tuple) else f", crop={self.crop}"
        return f"Images({list(self.shape)}, uint8{how})"

    def __getitem__(self, index: Any) -> Tensor:
        chosen = _chosen(index, len(self))
        if isinstance(chosen, int):
            return torch.from_numpy(self._decode(self.sources[chosen]).copy())
        sources = [self.sources[i] for i in chosen]
        batch = torch.empty(len(sources), *self.shape[1:], dtype=self.dtype)
        images = batch.numpy()

        def decode(i: int) -> None:
            images[i] = self._decode(sources[i])

        # A pool for each batch costs a millisecond and leaves no thread behind that a fork loses.
        with ThreadPoolExecutor(min(len(sources), os.cpu_count() or 1) or 1) as pool:
            for _ in pool.map(decode, range(len(sources))):
                pass
        return batch

    def hashes(self, index: Tensor) -> Iterator[bytes]:
        """Of the files of some images a hash of their bytes each, 16 bytes long."""
        sources = [self.sources[i] for i in index.tolist()]
        for start in range(0, len(sources), _BLOCK):
            with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
                yield from pool.map(_hash, sources[start : start + _BLOCK])

    def states(self, index: Tensor) -> Tensor:
        """Size, time and number of some of the files ``[n, 3]``: others when one is written to."""
        rows = [self.sources[i].state() for i in index.tolist()]
        return torch.tensor(rows, dtype=torch.int64).reshape(-1, 3)

    def damaged(self) -> Iterator[tuple[str, DataError]]:
        """Decode every image; those that cannot be, in order, with the reason."""
        for start in range(0, len(self), _BLOCK):  # not a million tasks at once
            with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
                found = pool.map(self._problem, self.sources[start : start + _BLOCK])
                yield from filter(None, found)

    def _problem(self, source: Source) -> tuple[str, DataError] | None:
        try:
            self._decode(source)
        except DataError as error:
            return source.name, error
        return None

    def _decode(self, source: Source) -> np.ndarray:
        """Pixels [3, M, N] or [M, N]."""
        return decoded(source.read(), source.name, self.side, self.crop, self.grey)


def common_size(sources: Sequence[Source]) -> tuple[int, int] | None:
    """Height and width of all images; none if there are several."""
    sizes = (dimensions(source.read(), source.name) for source in sources)
    first = next(sizes, None)
    return first if all(size == first for size in sizes) else None


def _hash(source: Source) -> bytes:
    return hashlib.blake2b(source.read(), digest_size=16).digest()


def _chosen(index: Any, n: int) -> int | Sequence[int]:
    """One row of `n`, or several, as NumPy understands an index of one dimension.

    Raises: TypeError, IndexError.
    """
    if isinstance(index, slice):
        return range(n)[index]
    kind = index.dtype if isinstance(index, Tensor | np.ndarray) else type(index).__name__
    if isinstance(index, list):
        try:
            index = np.asarray(index if index else np.empty(0, np.int64))
        except ValueError:  # lists of several lengths
            index = None
    elif isinstance(index, Tensor):
        index = index.detach().cpu().numpy() if index.dtype != torch.uint8 else None  # once a mask
    if isinstance(index, int | np.generic | np.ndarray) and not isinstance(index, bool):
        found = np.asarray(index)
        if found.dtype == bool and found.ndim == 1:
            if len(found) != n:
                raise IndexError(f"Images: a mask of {len(found)} for {n} images")
            return np.flatnonzero(found).tolist()
        if found.dtype.kind in "iu" and found.ndim < 2:
            outside = found[(found < -n) | (found >= n)]
            if outside.size:
                raise IndexError(f"Images: index {outside.flat[0]} is out of range, n = {n}")
            return found.tolist()
    raise TypeError(
        "Images: expected an integer, a slice, or indices or a mask [n] in a list, an array or a "
        f"tensor, got {kind}"
    )
