"""Images or signals in whatever form they come, read in batches.

    array, tensor or lazy array [n, (C,) M, N], or rows [n, C M N]  ->  tensors [b, (C,) M, N]
    array, tensor or lazy array [n, (C,) N], or rows [n, C N]       ->  tensors [b, (C,) N]

A lazy array has `len()`, `.shape` and slices; only the slices that are asked for are read. Pixels
arrive as the floats that the transforms see: uint8 divided by 255, floats as they are. Samples of
signals and of densities, which have an axis more, are taken as they are, whole numbers too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...arguments import array, channels_last
from ...arguments import sides as checked_sides
from .shard import named

_WHOLE = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


#: What is read, by the axes of one, and several
NOUNS = {1: ("signal", "signals"), 2: ("image", "images"), 3: ("density", "densities")}


class ImageSource:
    """Images to be read in batches.

    Args:
        X: ``[n, M, N]``, ``[n, C, M, N]``, or rows ``[n, C M N]`` when ``shape`` is given: a
            tensor, what NumPy makes an array of, or a lazy array. uint8 or floating.
        shape: ``(M, N)`` or ``(C, M, N)``; ``None``: from ``X``.
        caller: heads the errors.
        rank: 2, or 1 for signals ``[n, N]``, ``[n, C, N]``, ``shape`` ``(N,)`` or ``(C, N)``, or 3
            for densities, with a side more.
    Raises: TypeError, ValueError: ``X`` is nothing of this kind.
    Example:
        >>> source = ImageSource(np.full((5, 16), 255, dtype=np.uint8), shape=(4, 4))
        >>> source.shape, source.read(0, 2).shape, float(source.read(0, 2).max())
        ((4, 4), torch.Size([2, 4, 4]), 1.0)
    """

    def __init__(
        self,
        X: Any,
        shape: Sequence[int] | None = None,
        caller: str = "ImageSource",
        rank: int = 2,
    ) -> None:
        self._caller, self._rank = caller, rank
        noun, sides = NOUNS[rank][1], ", ".join("MNO"[:rank]) if rank > 1 else "N"
        lazy = hasattr(X, "shape") and hasattr(X, "__getitem__") and not hasattr(X, "__array__")
        if not isinstance(X, Tensor) and not lazy:
            given = array(caller, "X", X)
            X = X if isinstance(X, np.ndarray) else given  # one of a file's stays one
        self._X = X
        size = tuple(int(side) for side in X.shape)
        self._check_kind(X.dtype if isinstance(X, (Tensor, np.ndarray)) else None)
        if shape is not None:
            shape = checked_sides(caller, "shape", shape)
            if len(shape) not in (rank, rank + 1):
                kinds = f"({sides}{',' * (rank == 1)}) or (C, {sides})"
                raise ValueError(f"{caller}: shape must be {kinds}; got {shape}")
            if size[1:] not in (shape, (math.prod(shape),)):
                raise ValueError(
                    f"{caller}: X must be {noun} [n, {', '.join(map(str, shape))}] or rows "
                    f"[n, {math.prod(shape)}]; got {list(size)}"
                    f"{channels_last(size[1:]) if rank == 2 else ''}"
                )
        elif len(size) not in (rank + 1, rank + 2):
            raise ValueError(
                f"{caller}: X must be {noun} [n, {sides}] or [n, C, {sides}], or rows with "
                f"shape=({sides}) given; got {list(size)}"
            )
        elif rank == 2 and len(size) == 4 and channels_last(size[1:]):
            # A few columns of many colours would do as images where J is small.
            raise ValueError(
                f"{caller}: X must be images [n, C, M, N]; got {list(size)}{channels_last(size)}, "
                f"or give shape={size[1:]} if it is not"
            )
        self.shape: tuple[int, ...] = tuple(shape) if shape is not None else size[1:]
        self._n = size[0]

    def __len__(self) -> int:
        return self._n

    @property
    def device(self) -> torch.device:
        """Where the images are."""
        return self._X.device if isinstance(self._X, Tensor) else torch.device("cpu")

    def named(self, i: int) -> str:
        """Image ``i`` in words."""
        return named(self._X, i)

    def read(
        self,
        start: int,
        stop: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | None = None,
    ) -> Tensor:
        """Images ``start`` to ``stop - 1`` as floats ``[b, (C,) M, N]``, on ``device``, by default
        where they are.

        Raises: ValueError: a pixel is NaN or infinite.
        """
        x = self._X[start:stop]
        if not isinstance(x, Tensor):
            x = np.asarray(x)
            # PyTorch takes no negative strides, and warns of what it must not write to.
            usable = x.flags.writeable and min(x.strides, default=0) >= 0
            x = torch.from_numpy(x if usable else x.copy())
        self._check_kind(x.dtype)
        x = x.detach()
        # A sum is finite unless a pixel is not. Looked at before the GPU has it: no waiting there.
        if x.is_floating_point() and not bool(x.sum(dtype=torch.float64).isfinite()):
            wrong = [not bool(image.isfinite().all()) for image in x]
            if any(wrong):  # and not only their sum
                i = start + wrong.index(True)
                raise ValueError(f"{self._caller}: X contains NaN or infinity in {self.named(i)}")
        device = device or x.device
        if device.type == "cuda" and x.device.type == "cpu":
            x = x.pin_memory()  # uint8 crosses the bus as it is
        x = x.to(device, non_blocking=True)
        pixels = x.dtype == torch.uint8 and self._rank == 2
        x = x.to(dtype).div_(255) if pixels else x.to(dtype)
        return x.reshape(len(x), *self.shape)

    def _check_kind(self, dtype: Any) -> None:
        if dtype is None:
            return
        real = (
            dtype.is_floating_point if isinstance(dtype, torch.dtype) else dtype.kind == "f"
        ) and str(dtype) not in ("float128", "longdouble")
        if self._rank != 2:
            whole = getattr(dtype, "kind", "") in "iu" or dtype in _WHOLE
            if not real and not whole:
                raise TypeError(f"{self._caller}: X must be of real numbers; got {dtype}")
        elif not real and dtype not in (torch.uint8, np.dtype(np.uint8)):
            raise TypeError(f"{self._caller}: X must be uint8, 0 to 255, or floating; got {dtype}")
