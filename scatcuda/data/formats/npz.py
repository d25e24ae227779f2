"""Images or signals and labels in one `.npz` file, as Keras keeps MNIST and as MedMNIST comes.

npz_dataset() -> Dataset of images [n, M, N] or [n, 3, M, N], uint8 or float32, or of signals
                 [n, N] float32
"""

from __future__ import annotations

import ast
import math
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from ...files.budget import ask
from ...files.error import DataError
from ...files.reading import Asking, opened, read_up_to
from ..dataset import Dataset, Signals, assemble
from ..labels import Share, labelled

_PARTS = {"train": ("train", "training"), "test": ("test", "testing"),
          "val": ("val", "valid", "validation")}  # fmt: skip
_WHATS = {"x": ("x", "image", "images", "img", "imgs", "data"),
          "y": ("y", "label", "labels", "target", "targets")}  # fmt: skip
_TYPES = r"[<>|]([iu][1248]|f[248]|b1|[US][1-9][0-9]{0,3})"  # no structures, no objects
_ENTRY = 20  # times the bytes of the table of contents that zipfile makes of it
_MAX_HEADER = 10_000  # bytes, NumPy's own limit
# What zipfile raises for damaged archives, encrypted ones and methods that it does not know.
_ZIP_ERRORS = (
    zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError,
    OverflowError, struct.error,
)  # fmt: skip


def npz_dataset(
    path: str | os.PathLike[str],
    *,
    test_fraction: float = 0.0,
    seed: int = 0,
    signals: bool = False,
) -> Dataset[Any]:
    """Read a training and a test set from a `.npz` file.

    The arrays are named `x_train, y_train, x_test, y_test`, as in Keras' `mnist.npz`, or
    `train_images, train_labels, test_images, test_labels`, as in MedMNIST, in capitals or not,
    with any of `x`, `images`, `data` and of `y`, `labels`, `targets`. Without a test set those of
    `val` are taken; without these, or of `images` and `labels` alone, `test_fraction` sets a
    share of each class aside. Others are left alone. Channels may come last or first; where both
    would do, they come last. Arrays ``[n, N]`` are signals, and ``[n, C, N]`` where it is said.
    Pickled objects are never read.

    Labels are integers, whole floats, rows of zeros and a one, or names.

    Args:
        path: the file.
        test_fraction: the share of each class for testing, below 1, where there is no test set.
        seed: decides which images are set aside.
        signals: whether arrays of three axes are signals of several channels.
    Returns: A `Dataset` of images ``[n, M, N]`` (one channel) or ``[n, 3, M, N]``, uint8 as they
        are or float32, or of signals, float32 ``[n, N]`` or `Signals` ``[n, C, N]``; labels that
        start at 1 in the file start at 0 here, names are in alphabetical order.
    Raises:
        DataError: the file is missing or damaged, the arrays are not there, not images and labels,
            or do not agree.
        TypeError, ValueError: an argument is not as above; `test_fraction` where there is a test
            set.
    Example:
        >>> npz_dataset("nowhere.npz")
        Traceback (most recent call last):
        scatcuda.data.DataError: nowhere.npz: no such file
    """
    name = os.fspath(path)
    share = Share("npz_dataset", test_fraction, seed)
    try:
        with (
            opened(path, unpack=False) as file,
            zipfile.ZipFile(Asking(file, name, _ENTRY)) as archive,  # type: ignore[arg-type]
        ):
            members = {info.filename: info for info in archive.infolist()}
            keys = _keys(name, members)
            size = os.fstat(file.fileno()).st_size
            arrays, taken = {}, 0
            for key in keys:
                arrays[key] = _member(name, archive, members[f"{key}.npy"], size, taken)
                taken += arrays[key].nbytes
    except _ZIP_ERRORS as error:
        raise DataError(f"{name}: not a .npz file or a damaged one ({error})") from None
    share.check(name, len(keys) > 2)
    x = {key: _values(name, key, arrays[key], signals) for key in keys[::2]}
    for images, labels in zip(keys[::2], keys[1::2], strict=True):
        count = len(arrays[labels]) if arrays[labels].ndim else 0
        if count != len(x[images]):
            raise DataError(f"{name}: {labels} has {count} labels for {len(x[images])} images")
    y, classes = labelled(name, {key: arrays[key] for key in keys[1::2]})
    parts = list(zip(x.values(), y, strict=True))
    train, test = parts if len(parts) > 1 else share.of(name, *parts[0])
    if signals and train[0].ndim == 3:
        first, second = ((Signals(x), y) for x, y in (train, test))
        return assemble(name, Path(name).stem, first, second, classes)
    return assemble(name, Path(name).stem, train, test, classes)


def _keys(name: str, members: Iterable[str]) -> list[str]:
    """Names of images and labels for training, then of those for testing if there are such."""
    found: dict[str, list[str]] = {}
    for key in (member.removesuffix(".npy") for member in members if member.endswith(".npy")):
        for what in _what(key):
            found.setdefault(what, []).append(key)

    def first_of(*parts: str) -> list[str]:
        pairs = ((f"x_{part}", f"y_{part}") for part in parts)
        pair = next((pair for pair in pairs if set(pair) <= set(found)), ())
        for what in pair:
            if len(found[what]) > 1:
                raise DataError(f"{name}: which is {what.strip('_')}, {' or '.join(found[what])}?")
        return [found[what][0] for what in pair]

    train = first_of("train", "")
    if not train:
        raise DataError(
            f"{name}: it has neither x_train and y_train, nor train_images and train_labels, nor "
            "images and labels"
        )
    return [*train, *first_of("test", "val")]


def _what(key: str) -> list[str]:
    """`x_train` and its like for any way to write that; "x_" and "y_" of no part."""
    plain = re.sub("[^a-z0-9]", "", key.lower())
    return [
        f"{what}_{part}"
        for what, words in _WHATS.items()
        for part, prefixes in (*_PARTS.items(), ("", ("",)))
        if any(plain in (word + prefix, prefix + word) for word in words for prefix in prefixes)
    ]


def _member(
    name: str, archive: zipfile.ZipFile, info: zipfile.ZipInfo, size: int, taken: int
) -> np.ndarray:
    """One array of an archive of `size` bytes, after others that took some memory."""
    key = info.filename.removesuffix(".npy")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise DataError(f"{name}: {key} is compressed in another way than NumPy does")
    if info.compress_size > size:
        raise DataError(f"{name}: truncated, {key} has {info.compress_size} bytes of {size}")
    with archive.open(info) as file:
        shape, dtype, fortran = _header(f"{name}: {key}", file)  # type: ignore[arg-type]
        expected = math.prod(shape) * dtype.itemsize
        if expected > info.file_size:
            raise DataError(f"{name}: {key} of shape {list(shape)}, {dtype}, is truncated")
        ask(f"{name}: {key}", taken + 2 * expected)  # as it is, and in another order
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
    if not isinstance(kind, str) or not re.fullmatch(_TYPES, kind):
        raise DataError(f"{name} has the type {str(kind)[:40]!r}, expected numbers or texts")
    if (
        not isinstance(shape, tuple)
        or not all(type(n) is int and 0 <= n for n in shape)
        or len(shape) > 8
        or math.prod(max(n, 1) for n in shape) >= 2**59
    ):
        raise DataError(f"{name} states the impossible shape {str(shape)[:80]}")
    return shape, np.dtype(kind), fortran is True


def _values(name: str, key: str, array: np.ndarray, signals: bool) -> Tensor:
    """Images [n, M, N] or [n, 3, M, N]; signals [n, N] or [n, C, N]."""
    rank = 1 if array.ndim == 2 or signals else 2
    if array.ndim == 4 and array.shape[3] in (1, 3):
        array = np.moveaxis(array, 3, 1)
    if array.ndim == 4 and array.shape[1] == 1:
        array = array[:, 0]
    shapes = (2, 3) if rank == 1 else (3, 4)
    if array.ndim not in shapes or (array.ndim == 4 and array.shape[1] != 3) or not array.size:
        what = "signals" if rank == 1 else "images"
        raise DataError(f"{name}: {key} has the shape {list(array.shape)}, which is not of {what}")
    if array.dtype.kind not in ("f" if rank == 2 else "fiu") and array.dtype != np.uint8:
        wanted = "uint8 or floats" if rank == 2 else "numbers"
        raise DataError(f"{name}: {key} has the type {array.dtype}, expected {wanted}")
    if array.dtype.kind == "f" or rank == 1:
        with np.errstate(over="ignore"):  # becomes infinite, which is refused below
            array = array.astype(np.float32)
        if not np.isfinite(array).all():
            raise DataError(f"{name}: {key} has values that are infinite or not numbers")
    return torch.from_numpy(np.ascontiguousarray(array))
