"""Encoded files as an array: decoded when asked for, in parallel.

    Files(sources)[index] -> [n, ...]

A file is a path, or any `Source` of bytes: a member of an archive, a row of a table. What one of
them is decoded to, :class:`~scatcuda.data.Images` and :class:`~scatcuda.data.Recordings` say.
"""

from __future__ import annotations

import copy
import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, overload

import numpy as np
import torch
from torch import Tensor
from typing_extensions import Self

from ...files.error import DataError
from ...files.reading import read_whole
from ...terminal import Bar

_BLOCK = 4096  # files


class Source(Protocol):
    """Where the bytes of an encoded file come from. Both methods may run in several threads, and
    raise a `DataError` that starts with the name.

    Example:
        >>> import io
        >>> from PIL import Image
        >>> from scatcuda.data import Images
        >>> class Drawn:
        ...     name = "red square"
        ...     def read(self):
        ...         file = io.BytesIO()
        ...         Image.new("RGB", (8, 8), "red").save(file, "PNG")
        ...         return file.getvalue()
        ...     def state(self):
        ...         return 0, 0, 0
        >>> Images([Drawn()], size=8)[:].shape
        torch.Size([1, 3, 8, 8])
    """

    @property
    def name(self) -> str:
        """For messages: a path, or a path and a place in that file."""
        ...

    def read(self) -> bytes:
        """The whole encoded file."""
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


class Files:
    """Encoded files as an array ``[n, ...]``.

    ``x[index]`` with a slice, indices or a mask, in a list, an array or a tensor ``[n]``, is a
    tensor, decoded in parallel; with an integer it is one file's.
    """

    dtype: torch.dtype
    rank: int  # axes of a signal, the last ones

    def __init__(self, files: Sequence[str | os.PathLike[str] | Source]) -> None:
        self.sources: tuple[Source, ...] = tuple(
            File(os.fspath(file)) if isinstance(file, str | os.PathLike) else file for file in files
        )

    @property
    def shape(self) -> torch.Size:
        """``[n, ...]``"""
        raise NotImplementedError

    @property
    def how(self) -> tuple[Any, ...]:
        """All that decides what a file is decoded to."""
        raise NotImplementedError

    def _decode(self, source: Source) -> np.ndarray:
        raise NotImplementedError

    @property
    def files(self) -> tuple[str, ...]:
        """The names of the files."""
        return tuple(source.name for source in self.sources)

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

    def __getitem__(self, index: Any) -> Tensor:
        chosen = _chosen(index, len(self), type(self).__name__)
        if isinstance(chosen, int):
            return torch.from_numpy(self._decode(self.sources[chosen]).copy())
        sources = [self.sources[i] for i in chosen]
        batch = torch.empty(len(sources), *self.shape[1:], dtype=self.dtype)
        rows = batch.numpy()

        def decode(i: int) -> None:
            rows[i] = self._decode(sources[i])

        # A pool for each batch costs a millisecond and leaves no thread behind that a fork loses.
        with ThreadPoolExecutor(min(len(sources), os.cpu_count() or 1) or 1) as pool:
            for _ in pool.map(decode, range(len(sources))):
                pass
        return batch

    def part(self, index: slice) -> Self:
        """Some of the files, decoded alike."""
        other = copy.copy(self)
        other.sources = self.sources[index]
        return other

    def hashes(self, index: Tensor) -> Iterator[bytes]:
        """Of some files a hash of their bytes each, 16 bytes long."""
        sources = [self.sources[i] for i in index.tolist()]
        with Bar(len(sources), "file") as bar:
            for start in range(0, len(sources), _BLOCK):
                with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
                    for hashed in pool.map(_hash, sources[start : start + _BLOCK]):
                        bar.update(1)
                        yield hashed

    def states(self, index: Tensor) -> Tensor:
        """Size, time and number of some of the files ``[n, 3]``: others when one is written to."""
        rows = [self.sources[i].state() for i in index.tolist()]
        return torch.tensor(rows, dtype=torch.int64).reshape(-1, 3)

    def damaged(self) -> Iterator[tuple[str, DataError]]:
        """Decode every file; those that cannot be, in order, with the reason."""
        with Bar(len(self), "file") as bar:
            for start in range(0, len(self), _BLOCK):  # not a million tasks at once
                with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
                    for problem in pool.map(self._problem, self.sources[start : start + _BLOCK]):
                        bar.update(1)
                        if problem:
                            yield problem

    def _problem(self, source: Source) -> tuple[str, DataError] | None:
        try:
            self._decode(source)
        except DataError as error:
            return source.name, error
        return None


def _hash(source: Source) -> bytes:
    return hashlib.blake2b(source.read(), digest_size=16).digest()


def _chosen(index: Any, n: int, caller: str) -> int | Sequence[int]:
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
                raise IndexError(f"{caller}: a mask of {len(found)} for {n} files")
            return np.flatnonzero(found).tolist()
        if found.dtype.kind in "iu" and found.ndim < 2:
            outside = found[(found < -n) | (found >= n)]
            if outside.size:
                raise IndexError(f"{caller}: index {outside.flat[0]} is out of range, n = {n}")
            return found.tolist()
    raise TypeError(
        f"{caller}: expected an integer, a slice, or indices or a mask [n] in a list, an array or "
        f"a tensor, got {kind}"
    )
