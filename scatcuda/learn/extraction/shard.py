"""Images and labels, and the batches of them that reach a device.

uint8 becomes float32 in [0, 1], grey images get a channel; a lazy array of images is read ahead by
a thread while the device works.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...data import Pairs
from ...data.dataset import with_channels
from ...terminal import Bar

__all__ = ["Images", "Rows", "Shard", "free_memory", "named"]


class LazyImages(Protocol):
    """An array of images that are read when asked for, such as `scatcuda.data.Images`."""

    @property
    def shape(self) -> Sequence[int]: ...
    @property
    def dtype(self) -> torch.dtype: ...
    def __len__(self) -> int: ...
    def __getitem__(self, index: Tensor, /) -> Tensor: ...


Images = Tensor | NDArray[Any] | LazyImages
Batch = tuple[Tensor, Tensor]

_AHEAD = 2  # batches read ahead


class Rows:
    """Some images of an array, fetched when asked for.

    Example:
        >>> rows = Rows(torch.arange(10) * 10, torch.tensor([7, 3]))
        >>> len(rows), rows[torch.tensor([1])]
        (2, tensor([30]))
    """

    def __init__(self, images: Images, rows: Tensor) -> None:
        self.images: Images = images
        self.rows: Tensor = rows
        self.shape: tuple[int, ...] = (len(rows), *images.shape[1:])
        self.dtype: Any = images.dtype
        self.rank: int = getattr(images, "rank", 2)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Tensor) -> Tensor:
        return self.images[self.rows[index]]


def named(images: Any, i: int) -> str:
    """Image `i` in words: its number in the data set, and its file where it has one.

    Example:
        >>> named(Rows(torch.zeros(9, 8, 8), torch.tensor([4, 7])), 1)
        'image 7'
    """
    while isinstance(images, Rows):
        images, i = images.images, int(images.rows[i])
    files = getattr(images, "files", None)
    return f"image {i} ({files[i]})" if files else f"image {i}"


class Shard:
    """Some rows of a data set.

    Args:
        name: of the argument it came as, for errors.
        data: images ``[n, ...]`` and labels ``[n]``, or `Pairs` of them.
        rows: indices of the rows that are this shard; all by default.
        rank: axes of an image, or of a signal, without channels; None: as the data tell. What has
            no axis of channels gets one, but for rows ``[n, d]`` of a tensor.
    Raises: TypeError, ValueError: the data are not images and as many integer labels from 0.
    Example:
        >>> shard = Shard("train", (torch.zeros(5, 8, 8, dtype=torch.uint8), torch.arange(5)))
        >>> x, y = shard.batch(torch.tensor([4, 2]), torch.device("cpu"))
        >>> x.shape, x.dtype, y
        (torch.Size([2, 1, 8, 8]), torch.float32, tensor([4, 2]))
    """

    def __init__(
        self,
        name: str,
        data: tuple[Images, Tensor] | Pairs,
        rows: Tensor | None = None,
        rank: int | None = None,
    ) -> None:
        if isinstance(data, Pairs):
            data = data.x, data.y
        if not (isinstance(data, tuple | list) and len(data) == 2):
            raise TypeError(f"{name} must be a pair (images, labels), got {type(data).__name__}")
        x: Any = data[0]
        y = _tensor(data[1])
        if y.ndim != 1 or y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
            raise TypeError(
                f"{name}: labels must be integers [n], got {y.dtype} of shape {list(y.shape)}"
            )
        if not hasattr(x, "shape") or not hasattr(x, "dtype"):
            raise TypeError(f"{name}: images must be a tensor or an array, got {type(x).__name__}")
        if not isinstance(x, Tensor) and isinstance(x.dtype, torch.dtype) is False:
            x = _tensor(x)  # NumPy's
        if len(x) != len(y):
            raise ValueError(f"{name}: {len(x)} images but {len(y)} labels")
        if len(y) == 0:
            raise ValueError(f"{name} is empty")
        y = y.to("cpu", torch.int64)  # of some kinds of integers PyTorch knows no minimum
        if y.min() < 0:
            raise ValueError(f"{name}: labels must be classes from 0, got {int(y.min())}")
        if not (x.dtype == torch.uint8 or x.dtype.is_floating_point):
            raise TypeError(f"{name}: images must be uint8 or floating point, got {x.dtype}")
        self.name: str = name
        self.x: Any = x  # Images, but NumPy's are tensors
        self.rank: int = getattr(x, "rank", 2) if rank is None else rank
        self.y: Tensor = y
        self.last_class: int = int(self.y.max())
        self.rows: Tensor = torch.arange(len(y)) if rows is None else rows

    def __len__(self) -> int:
        return len(self.rows)

    def part(self, rows: Tensor) -> Shard:
        """Some of these rows."""
        return Shard(self.name, (self.x, self.y), self.rows[rows], self.rank)

    def batch(self, places: Tensor, device: torch.device) -> Batch:
        """Images and labels of some of the rows, on the device."""
        rows = self.rows[places]
        x = self.x[rows.to(self.x.device) if isinstance(self.x, Tensor) else rows]
        x = x.to(device, non_blocking=True)
        x = x.float().div_(255) if x.dtype == torch.uint8 else x.float()
        return with_channels(x, self.rank), self.y[rows].to(device, non_blocking=True)

    def batches(self, places: Iterable[Tensor], device: torch.device) -> Iterator[Batch]:
        """One batch after another; a lazy array is read ahead."""
        if isinstance(self.x, Tensor):
            yield from (self.batch(some, device) for some in places)
            return
        waiting = iter(places)
        with ThreadPoolExecutor(1) as reader:
            coming: deque[Future[Batch]] = deque()
            while True:
                for some in islice(waiting, _AHEAD - len(coming)):
                    coming.append(reader.submit(self.batch, some, device))
                if not coming:
                    return
                yield coming.popleft().result()

    def in_order(self, size: int, device: torch.device) -> Iterator[Batch]:
        """All rows, `size` at a time."""
        return self.batches(torch.arange(len(self)).split(size), device)

    def on(self, device: torch.device) -> Shard:
        """The same rows; the device holds the images if a quarter of it suffices."""
        if device.type != "cuda" or not isinstance(self.x, Tensor) or self.x.is_cuda:
            return self
        if self.x.nbytes > torch.cuda.mem_get_info(device)[0] // 4:
            return self
        return Shard(self.name, (self.x.to(device), self.y), self.rows, self.rank)

    def mapped(self, f: Callable[[Tensor], Tensor], size: int, device: torch.device) -> Shard:
        """Shard of ``f(images)``, kept as float16 in main memory.

        Raises: ValueError: a value is beyond float16.
        """
        kept: Tensor | None = None
        done = 0
        with Bar(len(self), "image") as bar:
            for x, _ in self.in_order(size, device):
                part = f(x).to(torch.float16)
                if not bool(part.isfinite().all()):
                    fine = part.flatten(1).isfinite().all(1)
                    i = int(self.rows[done + int(fine.logical_not().nonzero()[0])])
                    raise ValueError(
                        f"{self.name}: features of {named(self.x, i)} are beyond float16: scale "
                        "the images, to [0, 1] for example, or have features in float32, with "
                        "cache=False"
                    )
                if kept is None:
                    kept = torch.empty(len(self), *part.shape[1:], dtype=torch.float16)
                kept[done : done + len(part)] = part
                done += len(part)
                bar.update(len(part))
        assert kept is not None
        return Shard(self.name, (kept, self.y[self.rows]), rank=kept.ndim - 2)


def _tensor(values: Any) -> Tensor:
    """A tensor on an array's memory, where its layout and the order of its bytes allow that."""
    if isinstance(values, np.ndarray):
        values = np.ascontiguousarray(values, values.dtype.newbyteorder("="))
    return torch.as_tensor(values)


def free_memory() -> int:
    """Bytes of main memory that are free, or can be freed."""
    try:
        with open("/proc/meminfo") as file:
            for line in file:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
