"""How files that are not trusted are read: in bounded memory, with one kind of error."""

from __future__ import annotations

import contextlib
import gzip
import os
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from .error import DataError

_CHUNK = 1 << 20  # bytes read at a time: bounds what a lying header can cost


@contextlib.contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """The file at `path`, unpacked if its content is gzip-compressed.

    What goes wrong while it is open becomes a `DataError` that names it.
    """
    name = os.fspath(path)
    try:
        with open(path, "rb") as file:
            if file.peek(2)[:2] == b"\x1f\x8b":
                with gzip.open(file, "rb") as unpacked:
                    yield unpacked  # type: ignore[misc]
            else:
                yield file
    except EOFError:
        raise DataError(f"{name}: truncated, the gzip stream ends too early") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{name}: corrupt gzip stream ({error})") from None
    except OSError as error:
        raise DataError(f"{name}: cannot be read ({error.strerror or error})") from None


def read_up_to(file: BinaryIO, count: int) -> bytearray:
    """Up to `count` bytes, fewer at the end; the memory used follows what the file really has."""
    values = bytearray()
    while len(values) < count and (chunk := file.read(min(count - len(values), _CHUNK))):
        values += chunk
    return values
