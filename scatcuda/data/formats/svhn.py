"""SVHN's cropped digits: `train_32x32.mat` and `test_32x32.mat`, MATLAB files.

svhn_dataset() -> Dataset of images [n, 3, 32, 32] uint8

SciPy reads them. What the files claim is compared with what they hold before it sees them.
"""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...files.budget import ask
from ...files.error import DataError
from ...files.reading import opened, read_up_to
from ..dataset import Dataset

FILES = ("train_32x32.mat", "test_32x32.mat")
LEFT_OUT = "extra_32x32.mat"
_HEADER = 128  # bytes: a text, 124 long, the version, which byte order
_MATRIX, _COMPRESSED = 14, 15
_NUMBERS = range(6, 16)  # classes of arrays: double to uint64
_TYPES = (1, 2, 3, 4, 5, 6, 7, 9, 12, 13)  # of values in a file: int8 to uint64
_NAMES = ("X", "y")


def is_svhn(path: Path) -> bool:
    """Whether a directory has the training images."""
    return (path / FILES[0]).is_file()


def svhn_dataset(directory: str | os.PathLike[str]) -> Dataset[Tensor]:
    """Read SVHN's cropped digits, `train_32x32.mat` and `test_32x32.mat`.

    The files of MATLAB's version 5 hold `X` ``[32, 32, 3, n]`` and `y` ``[n, 1]``, in which 10 is
    the digit 0. `extra_32x32.mat`, more and easier training images, is left out.

    Args:
        directory: where the files are.
    Returns: A `Dataset` of images ``[n, 3, 32, 32]``, uint8; class k is the digit k.
    Raises:
        DataError: a file is missing, damaged, or holds something else.
        ImportError: SciPy is not installed.
    Source: Y. Netzer, T. Wang, A. Coates, A. Bissacco, B. Wu, A. Y. Ng, "Reading digits in natural
        images with unsupervised feature learning", NIPS workshop 2011.
    Example:
        >>> svhn_dataset("nowhere")
        Traceback (most recent call last):
        scatcuda.data.DataError: nowhere/train_32x32.mat: no such file
    """
    (train_x, train_y), (test_x, test_y) = (_read(Path(directory) / name) for name in FILES)
    return Dataset("svhn", train_x, train_y, test_x, test_y, tuple("0123456789"))


def _read(file: Path) -> tuple[Tensor, Tensor]:
    """Images [n, 3, 32, 32] and digits [n]."""
    try:
        from scipy.io import loadmat
    except ImportError as error:
        raise ImportError(
            "SVHN's .mat files need SciPy, which is not installed: pip install scipy "
            "(or the extra learn)"
        ) from error
    plain = _unpacked(file)
    try:
        content = loadmat(io.BytesIO(plain), variable_names=list(_NAMES))
        X, y = (content.get(name) for name in _NAMES)
    except Exception as error:  # whatever a damaged file makes of SciPy's reader
        raise DataError(f"{file}: not a MATLAB file that can be read ({_said(error)})") from None
    if not isinstance(X, np.ndarray) or X.dtype != np.uint8 or X.shape[:-1] != (32, 32, 3):
        raise DataError(f"{file}: expected bytes X [32, 32, 3, n], got {_described(X)}")
    n = X.shape[3]
    if (
        not isinstance(y, np.ndarray)
        or y.dtype.kind not in "uif"
        or y.shape not in {(n, 1), (1, n)}
    ):
        raise DataError(f"{file}: expected numbers y [{n}, 1], got {_described(y)}")
    if not n or not np.isin(y, np.arange(1, 11)).all():
        raise DataError(f"{file}: expected labels from 1 to 10, the digit 0")
    x = np.ascontiguousarray(X.transpose(3, 2, 0, 1))
    return torch.from_numpy(x), torch.from_numpy(y.reshape(-1).astype(np.int64) % 10)


def _unpacked(file: Path) -> bytes:
    """A MATLAB file of X and y alone, not compressed, no part of which claims what it has not."""
    with opened(file) as stream:
        header = bytes(read_up_to(stream, _HEADER))
        order = {b"IM": "<", b"MI": ">"}.get(header[126:])
        if order is None or header[:10] == b"MATLAB 7.3":
            raise DataError(f"{file}: expected a MATLAB file of version 5, or it is damaged")
        parts = [header]
        while tag := bytes(read_up_to(stream, 8)):
            kind, size = struct.unpack(f"{order}II", tag.ljust(8, b"\0"))
            raw = bytes(read_up_to(stream, size))
            if len(tag) < 8 or len(raw) < size:
                raise DataError(f"{file}: truncated, {len(raw)} bytes of {size}")
            try:
                if kind == _COMPRESSED:
                    tag, raw = _inflated(file, raw, order)
                elif kind != _MATRIX:
                    raise ValueError(f"an element of type {kind}")
                if _name_of(memoryview(raw), order) in _NAMES:
                    parts += [tag, raw]
            except (ValueError, IndexError, struct.error, zlib.error) as error:
                raise DataError(f"{file}: not a MATLAB file that can be read ({error})") from None
            ask(str(file), 3 * sum(map(len, parts)))  # joined, and as an array in another order
    return b"".join(parts)


def _inflated(file: Path, packed: bytes, order: str) -> tuple[bytes, bytes]:
    """The tag of a compressed element and what follows it, no more than it says."""
    stream = zlib.decompressobj()
    tag = stream.decompress(packed, 8)
    kind, size = struct.unpack(f"{order}II", tag)
    if kind != _MATRIX:
        raise ValueError(f"an element of type {kind}")
    ask(str(file), 3 * size)
    raw = bytearray()
    while len(raw) < size and (
        some := stream.decompress(stream.unconsumed_tail, min(size - len(raw), 1 << 20))
    ):
        raw += some
    if len(raw) < size:
        raise ValueError(f"{len(raw)} bytes of {size}")
    return tag, bytes(raw)


def _name_of(body: memoryview, order: str) -> str:
    """The name of an array of numbers, each part of which is within it; "" of another thing.

    Flags, dimensions, name, values: each a type, how many bytes, and these, in steps of 8 bytes;
    up to four bytes may follow within the eight of the first two.
    """
    parts, at = [], 0
    while at < len(body):
        kind, size = struct.unpack_from(f"{order}II", body, at)
        start, end = at + 8, at + 8 + -(-size // 8) * 8
        if kind >> 16:
            kind, size, start, end = kind & 0xFFFF, kind >> 16, at + 4, at + 8
        if size > min(len(body), end) - start:
            raise ValueError("a part claims more bytes than there are")
        parts.append((kind, body[start : start + size]))
        at = end
    (kind,) = struct.unpack_from(f"{order}I", parts[0][1])
    if kind & 0xFF not in _NUMBERS or len(parts) != 4:
        return ""
    # SciPy looks up types in a table and does not ask whether they are in it.
    if [kind for kind, _ in parts[:3]] != [6, 5, 1] or parts[3][0] not in _TYPES:
        raise ValueError("its parts are of other types")
    return bytes(parts[2][1]).decode("latin-1")


def _said(error: Exception) -> str:
    return " ".join(str(error).split())[:99] or type(error).__name__


def _described(array: object) -> str:
    return f"{array.dtype} {list(array.shape)}" if isinstance(array, np.ndarray) else "nothing"
