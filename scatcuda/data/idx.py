"""IDX files, the format of MNIST and Fashion-MNIST, plain or gzip-compressed.

idx_dataset() -> Dataset of images [n, M, N] uint8
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor

from .dataset import Dataset, assemble
from .error import DataError
from .files import opened, read_up_to

_IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_MAX_RANK = 32  # what NumPy 1 can hold


def read_idx(path: str | os.PathLike[str]) -> Tensor:
    """Read one IDX file, plain or gzip-compressed, the format of MNIST and Fashion-MNIST.

    Big-endian: two zero bytes, a type code (08 uint8, 09 int8, 0B int16, 0C int32, 0D float32,
    0E float64), the number of dimensions, one uint32 for each dimension, then the values and
    nothing else. Compression is recognised by content, not by name.

    Args:
        path: the file.
    Returns: A tensor of the shape and dtype that the file states.
    Raises: DataError: the file is missing, unreadable, truncated, corrupt, or too long.
    Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits", 1998.
    Example:
        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = pathlib.Path(folder, "tiny.idx")
        ...     _ = file.write_bytes(bytes([0, 0, 8, 2, 0, 0, 0, 1, 0, 0, 0, 3, 10, 20, 30]))
        ...     read_idx(file)
        tensor([[10, 20, 30]], dtype=torch.uint8)
    """
    with opened(path) as file:
        return _parse_idx(os.fspath(path), file)


def _parse_idx(name: str, file: BinaryIO) -> Tensor:
    """The tensor in an open IDX stream; DataError with `name` if it is not one."""
    magic = read_up_to(file, 4)
    if magic[:2] != bytes(2)[: len(magic)]:
        raise DataError(f"{name}: not an IDX file, it does not start with two zero bytes")
    if len(magic) < 4:
        raise DataError(f"{name}: truncated, {len(magic)} bytes where the IDX header begins with 4")
    code, rank = magic[2], magic[3]
    if code not in _IDX_TYPES:
        raise DataError(f"{name}: unknown IDX type code 0x{code:02X}")
    if not 1 <= rank <= _MAX_RANK:
        raise DataError(f"{name}: {rank} dimensions, expected 1 to {_MAX_RANK}")
    sizes = read_up_to(file, 4 * rank)
    if len(sizes) < 4 * rank:
        raise DataError(f"{name}: truncated within the IDX header of {4 + 4 * rank} bytes")
    dtype = np.dtype(_IDX_TYPES[code])
    shape = tuple(int(n) for n in np.frombuffer(sizes, ">u4"))
    if math.prod(max(n, 1) for n in shape) * dtype.itemsize >= 2**63:
        raise DataError(f"{name}: the IDX header states an impossible shape {list(shape)}")
    expected = math.prod(shape) * dtype.itemsize
    # One byte more than expected: it shows trailing bytes, and at the end of a gzip stream it
    # makes the checksum be verified.
    values = read_up_to(file, expected + 1)
    if len(values) < expected:
        raise DataError(
            f"{name}: truncated, {len(values)} bytes of values where its header, "
            f"shape {list(shape)}, asks for {expected}"
        )
    if len(values) > expected:
        raise DataError(f"{name}: trailing bytes after the {expected} that its header asks for")
    array = np.frombuffer(values, dtype).reshape(shape)
    return torch.from_numpy(array.astype(dtype.newbyteorder("="), copy=False))


def idx_dataset(directory: str | os.PathLike[str]) -> Dataset[Tensor]:
    """Read a directory of four IDX files with MNIST's names: the official split.

    The files are `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, and the same with `t10k`
    for the test set; `.gz` may follow, and `train-images.idx3-ubyte` is understood too.

    Args:
        directory: where the files are.
    Returns: A `Dataset` of images ``[n, M, N]`` as stored, uint8 grey levels 0 to 255; labels
        that start at 1 in the files start at 0 here, the names of the classes are the numbers.
    Raises: DataError: a file is missing or damaged; images and labels, or training and test set,
        do not agree; the labels are not two or more consecutive classes from 0 or 1.
    Example:
        >>> idx_dataset("nowhere")
        Traceback (most recent call last):
        scatcuda.data.DataError: nowhere: no such directory
    """
    folder = Path(directory)
    if not folder.is_dir():
        raise DataError(f"{folder}: {'not a' if folder.exists() else 'no such'} directory")
    files = idx_files(folder)
    for file in files:
        if not file.exists():
            raise DataError(f"{file}: no such file, nor one ending in .gz")
    train, test = _images_and_labels(*files[:2]), _images_and_labels(*files[2:])
    return assemble(folder, folder.resolve().name, train, test)


def idx_files(folder: Path) -> list[Path]:
    """The four files in `folder`; of one that is missing, its plain name."""
    return [
        _find(folder, f"{part}-{what}", kind) or folder / f"{part}-{what}-{kind}"
        for part in ("train", "t10k")
        for what, kind in (("images", "idx3-ubyte"), ("labels", "idx1-ubyte"))
    ]


def _images_and_labels(images_file: Path, labels_file: Path) -> tuple[Tensor, Tensor]:
    """Images [n, M, N] and int64 labels [n] of one part, training or test."""
    images, labels = read_idx(images_file), read_idx(labels_file)
    for file, values, rank in ((images_file, images, 3), (labels_file, labels, 1)):
        if values.dtype != torch.uint8 or values.ndim != rank:
            raise DataError(
                f"{file}: expected unsigned bytes in {rank} dimensions, got {values.dtype} "
                f"of shape {list(values.shape)}"
            )
        if values.numel() == 0:
            raise DataError(f"{file}: it is empty, its shape is {list(values.shape)}")
    if len(images) != len(labels):
        raise DataError(
            f"{labels_file}: {len(labels)} labels for the {len(images)} images of {images_file}"
        )
    return images, labels.to(torch.int64)


def _find(folder: Path, stem: str, kind: str) -> Path | None:
    """The file in `folder` with one of the four spellings of its name."""
    names = (f"{stem}-{kind}", f"{stem}.{kind}")
    files = [folder / f"{name}{packed}" for name in names for packed in ("", ".gz")]
    return next((file for file in files if file.exists()), None)
