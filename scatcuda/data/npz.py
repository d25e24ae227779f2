"""Images and labels in one `.npz` file, as Keras keeps MNIST and as MedMNIST comes.

npz_dataset() -> Dataset of images [n, M, N] or [n, 3, M, N], uint8 or float32
"""

from __future__ import annotations

import ast
import math
import os
import re
import struct
import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor

from .dataset import Dataset, assemble
from .error import DataError
from .files import read_up_to

_KEYS = (
    ("x_train", "y_train", "x_test", "y_test"),
    ("train_images", "train_labels", "test_images", "test_labels"),
)
_MAX_HEADER = 10_000  # bytes, NumPy's own limit
# What zipfile raises for damaged archives, encrypted ones and methods that it does not know.
_ZIP_ERRORS = (
    zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError,
    OverflowError, struct.error,
)  # fmt: skip


def npz_dataset(path: str | os.PathLike[str]) -> Dataset[Tensor]:
    """Read a training and a test set from a `.npz` file.

    The arrays are named `x_train, y_train, x_test, y_test`, as in Keras' `mnist.npz`, or
    `train_images, train_labels, test_images, test_labels`, as in MedMNIST. Others, such as
    MedMNIST's `val_images`, are left alone. Channels may come last or first; where both would
    do, they come last. Pickled objects are never read.

    Args:
        path: the file.
    Returns: A `Dataset` of images ``[n, M, N]`` (one channel) or ``[n, 3, M, N]``, uint8 as they
        are or float32; labels that start at 1 in the file start at 0 here.
    Raises: DataError: the file is missing or damaged, the arrays are not there, not images and
        labels, or do not agree.
    Example:
        >>> npz_dataset("nowhere.npz")
        Traceback (most recent call last):
        scatcuda.data.DataError: nowhere.npz: cannot be read (No such file or directory)
    """
    name = os.fspath(path)
    try:
        with open(path, "rb") as file, zipfile.ZipFile(file) as archive:
            members = {info.filename: info for info in archive.infolist()}
            for keys in _KEYS:
                if all(f"{key}.npy" in members for key in keys):
                    break
            else:
                raise DataError(f"{name}: it has neither {', '.join(_KEYS[0])} nor {_KEYS[1][0]} …")
            size = os.fstat(file.fileno()).st_size
            arrays = [_member(name, archive, members[f"{key}.npy"], size) for key in keys]
    except _ZIP_ERRORS as error:
        raise DataError(f"{name}: not a .npz file or a damaged one ({error})") from None
    except OSError as error:
        raise DataError(f"{name}: cannot be read ({error.strerror or error})") from None
    train, test = (
        (_images(name, keys[i], arrays[i]), _labels(name, keys[i + 1], arrays[i + 1]))
        for i in (0, 2)
    )
    for (x, y), key in ((train, keys[1]), (test, keys[3])):
        if len(x) != len(y):
            raise DataError(f"{name}: {key} has {len(y)} labels for {len(x)} images")
    return assemble(name, Path(name).stem, train, test)


def _member(name: str, archive: zipfile.ZipFile, info: zipfile.ZipInfo, size: int) -> np.ndarray:
    """One array of an archive of `size` bytes."""
    key = info.filename.removesuffix(".npy")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise DataError(f"{name}: {key} is compressed in another way than NumPy does")
    if info.compress_size > size:
        raise DataError(f"{name}: truncated, {key} has {info.compress_size} bytes of {size}")
    with archive.open(info) as file:
        shape, dtype, fortran = _header(f"{name}: {key}", file)  # type: ignore[arg-type]
        expected = math.prod(shape) * dtype.itemsize
        # One byte more shows trailing ones, and makes zipfile verify its checksum at the end.
        values = read_up_to(file, expected + 1)  # type: ignore[arg-type]
    if len(values) != expected:
        fault = "truncated" if len(values) < expected else "followed by other bytes"
        raise DataError(f"{name}: {key} of shape {list(shape)}, {dtype}, is {fault}")
    array = np.frombuffer(values, dtype).reshape(shape, order="F" if fortran else "C")
    return array.astype(dtype.newbyteorder("="), copy=False)


def _header(name: str, file: BinaryIO) -> tuple[tuple[int, ...], np.dtype, bool]:
    """Shape, type and order at the start of a `.npy` stream."""
    start = read_up_to(file, 8)
    if start[:6] != b"\x93NUMPY" or len(start) < 8 or start[6] not in (1, 2):
        raise DataError(f"{name} is no array of NumPy's")
    length = int.from_bytes(read_up_to(file, 2 if start[6] == 1 else 4), "little")
    if length > _MAX_HEADER:
        raise DataError(f"{name} has a header of {length} bytes")
    text = bytes(read_up_to(file, length)).decode("latin-1").strip()
    try:
        header = ast.literal_eval(text)
        shape, kind, fortran = (header[key] for key in ("shape", "descr", "fortran_order"))
    except (ValueError, SyntaxError, TypeError, KeyError, MemoryError, RecursionError):
        raise DataError(f"{name} has a damaged header") from None
    # Anything else could be a structure, or objects.
    if not isinstance(kind, str) or not re.fullmatch(r"[<>|]([iu][1248]|f[248]|b1)", kind):
        raise DataError(f"{name} has the type {str(kind)[:40]!r}, expected integers or floats")
    if (
        not isinstance(shape, tuple)
        or not all(type(n) is int and 0 <= n for n in shape)
        or len(shape) > 8
        or math.prod(max(n, 1) for n in shape) >= 2**59
    ):
        raise DataError(f"{name} states the impossible shape {str(shape)[:80]}")
    return shape, np.dtype(kind), fortran is True


def _images(name: str, key: str, array: np.ndarray) -> Tensor:
    """Images [n, M, N] or [n, 3, M, N]."""
    if array.ndim == 4 and array.shape[3] in (1, 3):
        array = np.moveaxis(array, 3, 1)
    if array.ndim == 4 and array.shape[1] == 1:
        array = array[:, 0]
    if not (array.ndim == 3 or (array.ndim == 4 and array.shape[1] == 3)) or not array.size:
        raise DataError(f"{name}: {key} has the shape {list(array.shape)}, which is not of images")
    if array.dtype != np.uint8 and array.dtype.kind != "f":
        raise DataError(f"{name}: {key} has the type {array.dtype}, expected uint8 or floats")
    if array.dtype.kind == "f":
        with np.errstate(over="ignore"):  # becomes infinite, which is refused below
            array = array.astype(np.float32)
        if not np.isfinite(array).all():
            raise DataError(f"{name}: {key} has values that are infinite or not numbers")
    return torch.from_numpy(np.ascontiguousarray(array))


def _labels(name: str, key: str, array: np.ndarray) -> Tensor:
    """Labels [n]."""
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise DataError(
            f"{name}: {key} should be integers [n] or [n, 1], but is {array.dtype} "
            f"of shape {list(array.shape)}"
        )
    return torch.from_numpy(array.astype(np.int64))
