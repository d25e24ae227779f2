"""One image or signal as it comes in a row of a table, as an array of the sides that are wanted.

    array, list, tensor, picture, bytes of a file, {"bytes", "path"}, path  ->  array [(C,) M, N]

A picture is read as :class:`scatcuda.data.Images` reads its file; the bytes of a ``.npy`` file are
an array. What an array of channels-last pixels is, its sides tell. Python's integers have no type:
in lists of pixels they are from 0 to 255, uint8.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..data.folders.decode import decoded, pixels_of
from ..data.folders.files import File
from ..files.error import DataError
from ..files.reading import array_header

_NPY = b"\x93NUMPY"


class Input:
    """What rows are to be.

    Args:
        shape: ``(M, N)`` or ``(C, M, N)`` with ``rank`` 2; sides of signals with 1, of densities
            with 3.
        rank: axes without channels.
        crop: of pictures the central square of so much of the shorter side is resampled;
            None: they have the right size.
    Example:
        >>> Input((3, 8, 8), 2)(np.zeros((8, 8, 3), np.uint8)).shape
        (3, 8, 8)
    """

    def __init__(self, shape: tuple[int, ...], rank: int, crop: float | None = None) -> None:
        self.shape: tuple[int, ...] = shape
        self.rank: int = rank
        self.crop: float | None = crop

    def __call__(self, value: Any) -> NDArray[Any]:
        """The array of a row, uint8 or floating.

        Raises: DataError, TypeError, ValueError: it is none, or another one.
        """
        name = "the image" if self.rank == 2 else "the signal"
        if isinstance(value, Mapping) and ("bytes" in value or "path" in value):  # as datasets has
            raw, path = value.get("bytes"), value.get("path")
            value, name = (path if raw is None else raw), path or name
        if value is None:
            raise ValueError("there is nothing")
        if isinstance(value, DataError):  # of who read it
            raise value
        if isinstance(value, str):
            name = value
            value = File(value).read()
        if isinstance(value, bytes | bytearray | memoryview):
            return self._checked(self._decoded(bytes(value), name))
        if hasattr(value, "getbands"):  # Pillow's
            return self._checked(self._pixels(pixels_of, value, name))
        x = as_array(value)
        if self.rank == 2 and x.dtype == np.int64 and type(_innermost(value)) is int:
            if x.size and not 0 <= x.min() <= x.max() <= 255:
                raise ValueError(f"expected integers from 0 to 255; got {x.min()} to {x.max()}")
            x = x.astype(np.uint8)
        return self._checked(x)

    def _decoded(self, raw: bytes, name: str) -> NDArray[Any]:
        if raw.startswith(_NPY):
            return _array(raw, name)
        if self.rank != 2:
            raise DataError(f"{name}: not the bytes of a .npy file")
        return self._pixels(decoded, raw, name)

    def _pixels(self, read: Callable[..., NDArray[Any]], picture: Any, name: str) -> NDArray[Any]:
        """Those of a picture, by what reads it: of the same pixels the same, file or not."""
        if self.rank != 2:
            raise TypeError(f"{name}: expected a signal; got a picture")
        M, N = self.shape[-2:]
        colours = self.shape[0] if len(self.shape) == 3 else 1
        if colours not in (1, 3):
            raise DataError(f"{name}: a picture has 1 or 3 channels, not {colours}")
        if self.crop is not None and M != N:
            raise ValueError(f"crop is for square images; shape is {self.shape}")
        size: int | tuple[int, int] = (M, N) if self.crop is None else M
        return read(picture, name, size, self.crop or 1.0, grey=colours == 1)

    def _checked(self, x: NDArray[Any]) -> NDArray[Any]:
        known = x.dtype.kind in "uif" and x.dtype.itemsize <= 8
        if not known or (self.rank == 2 and x.dtype.kind != "f" and x.dtype != "u1"):
            wanted = "uint8 or floating" if self.rank == 2 else "numbers"
            raise TypeError(f"expected {wanted}; got {x.dtype}")
        M = self.shape
        if x.shape != M:
            if len(M) == self.rank + 1 and x.shape == (*M[1:], M[0]):
                x = np.moveaxis(x, -1, 0)
            elif (
                x.size == math.prod(M)
                and x.shape in ((1, *M), (*M, 1), M[1:])
                and (len(M) == self.rank or M[0] == 1)
            ):
                x = x.reshape(M)
            else:
                raise ValueError(f"expected the shape {M}; got {x.shape}")
        if x.dtype.kind == "f" and not np.isfinite(x.sum(dtype=np.float64)):
            if not np.isfinite(x).all():
                raise ValueError("it contains NaN or infinity")
        return x


def as_array(value: Any) -> NDArray[Any]:
    """What is an array in some way, lists of lists and frames' arrays of arrays included.

    Raises: TypeError: it is none.
    """
    try:
        if isinstance(value, torch.Tensor):  # of a GPU, or one that wants a gradient
            return value.detach().cpu().numpy()
        return np.asarray(_unnested(value))
    except Exception as error:  # of somebody's __array__: of any kind
        said = " ".join(str(error).split())[:99] or type(error).__name__
        raise TypeError(f"no array can be made of a {type(value).__name__} ({said})") from None


def _unnested(value: Any) -> Any:
    """Lists, where an array has arrays."""
    if isinstance(value, np.ndarray) and value.dtype == object:
        return [_unnested(part) for part in value.tolist()]
    return value


def _innermost(value: Any) -> Any:
    """The first number in lists of lists."""
    while isinstance(value, list | tuple) and value:
        value = value[0]
    return value


def _array(raw: bytes, name: str) -> NDArray[Any]:
    """The array in the bytes of a ``.npy`` file, which has no more than is there."""
    file = io.BytesIO(raw)
    shape, columns_first, dtype = array_header(file, name)
    count = math.prod(shape)
    if count * dtype.itemsize != len(raw) - file.tell():
        raise DataError(
            f"{name}: not an array that can be read ({dtype} of shape {shape} in {len(raw)} bytes)"
        )
    x = np.frombuffer(raw, dtype, count, file.tell())
    return x.reshape(shape, order="F" if columns_first else "C")
