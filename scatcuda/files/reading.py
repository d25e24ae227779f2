"""How files that are not trusted are read: regular ones only, in bounded memory, with one kind of
error.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import stat
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np

from .budget import ask
from .error import DataError

_CHUNK = 1 << 20  # bytes read at a time: bounds what a lying header can cost
_HEADER = 1 << 16  # bytes of an array's
_TREE = 40  # bytes of Python's objects from one of JSON: `{},` takes 90, and the text up to 15
_KINDS = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def regular(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a file to read, if it is one or a link to one: a pipe could make us wait for ever, a
    device give bytes without end, and opening one can do things.

    Raises:
        DataError: it is no regular file.
        OSError: it cannot be opened.
    """
    _check_regular(path, os.stat(path).st_mode)
    # It may have become another in the meantime: nothing is waited for, and asked once more.
    file = open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))
    try:
        _check_regular(path, os.fstat(file.fileno()).st_mode)
    except DataError:
        file.close()
        raise
    return file


def _check_regular(path: str | os.PathLike[str], mode: int) -> None:
    if not stat.S_ISREG(mode):
        kind = next((words for is_kind, words in _KINDS if is_kind(mode)), "something else")
        raise DataError(f"{os.fspath(path)}: {kind}, where a file is expected")


@contextlib.contextmanager
def opened(path: str | os.PathLike[str], unpack: bool = True) -> Iterator[BinaryIO]:
    """The regular file at `path`, unpacked if its content is gzip-compressed and `unpack` is true.

    What goes wrong while it is open becomes a `DataError` that names it.
    """
    name = os.fspath(path)
    try:
        with regular(path) as file:
            if unpack and file.peek(2)[:2] == b"\x1f\x8b":  # type: ignore[attr-defined]
                with gzip.open(file, "rb") as unpacked:
                    yield unpacked  # type: ignore[misc]
            else:
                yield file
    except EOFError:
        raise DataError(f"{name}: truncated, the gzip stream ends too early") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{name}: corrupt gzip stream ({error})") from None
    except FileNotFoundError:
        raise DataError(f"{name}: no such file") from None
    except OSError as error:
        raise DataError(f"{name}: cannot be read ({error.strerror or error})") from None


def read_whole(path: str | os.PathLike[str], times: int = 1) -> bytes:
    """The bytes of a regular file, as they are; what is made of them may take `times` as much.

    Raises: DataError: it cannot be read, or takes more than the budget.
    """
    name = os.fspath(path)
    with opened(path, unpack=False) as file:
        size = os.fstat(file.fileno()).st_size
        ask(name, times * size)
        # No more than was asked for: it may be growing.
        return file.read(size)


def read_json(path: str | os.PathLike[str]) -> Any:
    """What a JSON file holds.

    Raises: DataError: it is not there, damaged, or takes more than the budget.
    """
    return parsed_json(os.fspath(path), read_whole(path, times=_TREE))


def parsed_json(subject: str, text: str | bytes) -> Any:
    """What JSON text from a file holds; DataError with `subject` if it is none, or too much."""
    ask(subject, _TREE * len(text))
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:  # also of bytes that are no UTF-8
        raise DataError(f"{subject}: damaged ({error})") from None


def array_header(file: Any, subject: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Sides, whether columns come first, and type of the array in a ``.npy`` file, which is then
    read up to its numbers.

    Raises: DataError: it is no such file, or its array is not of numbers.
    """
    form = np.lib.format
    readers = {(1, 0): form.read_array_header_1_0, (2, 0): form.read_array_header_2_0}
    try:
        shape, columns_first, dtype = readers[form.read_magic(file)](file, max_header_size=_HEADER)
        if dtype.kind not in "biufc" or not all(type(side) is int and side >= 0 for side in shape):
            raise ValueError(f"{dtype} of shape {shape}")
    except Exception as error:  # whatever a damaged header makes of its reader
        said = " ".join(str(error).split())[:99] or type(error).__name__
        raise DataError(f"{subject}: not an array that can be read ({said})") from None
    return shape, columns_first, dtype


def read_up_to(file: BinaryIO, count: int) -> bytearray:
    """Up to `count` bytes, fewer at the end; the memory used follows what the file really has."""
    values = bytearray()
    while len(values) < count and (chunk := file.read(min(count - len(values), _CHUNK))):
        values += chunk
    return values


def read_rest(file: BinaryIO, subject: str, times: int = 1) -> bytearray:
    """All that is left of a stream, whose length nobody knows before it is unpacked; what is made
    of it may take `times` as much.

    Raises: DataError: it takes more than the budget.
    """
    values = bytearray()
    while chunk := file.read(_CHUNK):
        values += chunk
        ask(subject, times * len(values))
    return values


class Asking:
    """An open file that asks before much is read at once: zipfile and tarfile believe what a file
    says of its names and its table of contents, and make objects of it that take `times` as much.
    """

    def __init__(self, file: BinaryIO, subject: str, times: int) -> None:
        self._file, self._subject = file, subject
        self.times: int = times

    def read(self, size: int = -1) -> bytes:
        left = max(0, os.fstat(self._file.fileno()).st_size - self._file.tell())
        size = left if size < 0 else min(size, left)
        if size > _CHUNK:
            ask(self._subject, self.times * size)
        return self._file.read(size)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __del__(self) -> None:
        self._file.close()
