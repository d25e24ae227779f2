"""IDX files, the format of MNIST and its successors, plain or gzip-compressed.

idx_dataset() -> Dataset of images [n, M, N] uint8

The successors have files of the same kind under other names: a `Layout` says which.
"""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...files.budget import ask
from ...files.error import DataError
from ...files.reading import opened, read_up_to
from ..dataset import Dataset, assemble

_IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_MAX_RANK = 32  # what NumPy 1 can hold
_MAX_MAPPING = 1 << 16  # bytes; that of 62 classes has 400


class Layout(NamedTuple):
    """Under which names a data set keeps its four files, and what is special in them."""

    name: str
    stem: str = ""  # before `train`
    test: str = "test"
    labels: str = "idx1-ubyte"  # idx2-int: eight numbers an image, of which the first is the class
    columnwise: bool = False  # images column by column, as MATLAB keeps them


LAYOUTS = (
    Layout("mnist", test="t10k"),  # and Fashion-MNIST, KMNIST and what else took over the names
    Layout("qmnist", "qmnist-", labels="idx2-int"),
    *(
        Layout(f"emnist-{split}", f"emnist-{split}-", columnwise=True)
        for split in ("balanced", "byclass", "bymerge", "digits", "letters", "mnist")
    ),
)


def layouts_of(folder: Path) -> list[Layout]:
    """Whose training images are in a directory, by their names."""
    return [x for x in LAYOUTS if _find(folder, f"{x.stem}train-images", "idx3-ubyte")]


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
    ask(name, expected if dtype.itemsize == 1 else 2 * expected)  # once more in native order
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


def idx_dataset(directory: str | os.PathLike[str], *, which: str = "") -> Dataset[Tensor]:
    """Read a directory of four IDX files with MNIST's, QMNIST's or EMNIST's names.

    The files are `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, and the same with `t10k`
    for the test set. QMNIST's are `qmnist-train-images-idx3-ubyte`, `qmnist-train-labels-idx2-int`
    and the same with `test`, of whose eight labels the first is the digit; EMNIST's
    `emnist-letters-train-images-idx3-ubyte` and so on for each of its six sets. `.gz` may follow,
    and `train-images.idx3-ubyte` is understood too.

    EMNIST's images are stored lying on their side, mirrored; here they are upright. The names of
    its classes are the characters in `emnist-letters-mapping.txt`; without that file, and for
    the others, they are the numbers.

    Args:
        directory: where the files are.
        which: where there are those of several data sets, whose: `mnist`, `qmnist`,
            `emnist-balanced`, `-byclass`, `-bymerge`, `-digits`, `-letters` or `-mnist`.
    Returns: A `Dataset` of images ``[n, M, N]`` as stored, uint8 grey levels 0 to 255; labels
        that start at 1 in the files, as of EMNIST's letters, start at 0 here.
    Raises:
        DataError: a file is missing or damaged; images and labels, or training and test set,
            do not agree; the labels are not two or more consecutive classes from 0 or 1; there
            are several data sets and it is not said which.
        ValueError: `which` is none of them.
    Source: C. Yadav, L. Bottou, "Cold case: the lost MNIST digits", 2019 (QMNIST); G. Cohen,
        S. Afshar, J. Tapson, A. van Schaik, "EMNIST: extending MNIST to handwritten letters",
        2017.
    Example:
        >>> idx_dataset("nowhere")
        Traceback (most recent call last):
        scatcuda.data.DataError: nowhere: no such directory
    """
    known = {layout.name: layout for layout in LAYOUTS}
    if which and which not in known:
        raise ValueError(f"idx_dataset: which must be one of {', '.join(known)}, got {which!r}")
    folder = Path(directory)
    if not folder.is_dir():
        raise DataError(f"{folder}: {'not a' if folder.exists() else 'no such'} directory")
    there = [known[which]] if which else layouts_of(folder)
    if len(there) > 1:
        names = ", ".join(layout.name for layout in there)
        raise DataError(f"{folder}: it holds several data sets, {names}: take one by its name")
    layout = there[0] if there else LAYOUTS[0]
    files = idx_files(folder, layout)
    for file in files:
        if not file.exists():
            raise DataError(f"{file}: no such file, nor one ending in .gz")
    train, test = (_images_and_labels(files[i], files[i + 1], layout) for i in (0, 2))
    name = folder.resolve().name if layout is LAYOUTS[0] else layout.name
    dataset = assemble(folder, name, train, test)
    mapping = folder / f"{layout.stem}mapping.txt"
    if not (layout.columnwise and mapping.exists()):
        return dataset
    return dataclasses.replace(dataset, classes=_characters(mapping, dataset.classes))


def idx_files(folder: Path, layout: Layout) -> list[Path]:
    """The four files in `folder`; of one that is missing, its plain name."""
    return [
        _find(folder, f"{layout.stem}{part}-{what}", kind)
        or folder / f"{layout.stem}{part}-{what}-{kind}"
        for part in ("train", layout.test)
        for what, kind in (("images", "idx3-ubyte"), ("labels", layout.labels))
    ]


def _images_and_labels(
    images_file: Path, labels_file: Path, layout: Layout
) -> tuple[Tensor, Tensor]:
    """Images [n, M, N] and int64 labels [n] of one part, training or test."""
    images, labels = read_idx(images_file), read_idx(labels_file)
    table = layout.labels == "idx2-int"
    kind, rank, words = (
        (torch.int32, 2, "integers of 32 bits") if table else (torch.uint8, 1, "unsigned bytes")
    )
    for file, values, expected in (
        (images_file, images, (torch.uint8, 3, "unsigned bytes")),
        (labels_file, labels, (kind, rank, words)),
    ):
        if (values.dtype, values.ndim) != expected[:2]:
            raise DataError(
                f"{file}: expected {expected[2]} in {expected[1]} dimensions, got {values.dtype} "
                f"of shape {list(values.shape)}"
            )
        if values.numel() == 0:
            raise DataError(f"{file}: it is empty, its shape is {list(values.shape)}")
    if len(images) != len(labels):
        raise DataError(
            f"{labels_file}: {len(labels)} labels for the {len(images)} images of {images_file}"
        )
    if layout.columnwise:
        ask(str(images_file), 2 * images.nbytes)
        images = images.mT.contiguous()
    return images, (labels[:, 0] if table else labels).to(torch.int64)


def _characters(file: Path, labels: Sequence[str]) -> tuple[str, ...]:
    """The names of classes: lines of a label and the codes of the characters that it stands for,
    of which the first, a capital letter if there are two, is the name."""
    with opened(file) as stream:
        lines = read_up_to(stream, _MAX_MAPPING).splitlines()
    try:
        rows = [[int(word) for word in line.split()] for line in lines if line.strip()]
        found = {row[0]: chr(row[1]) for row in rows}
        names = tuple(found[int(label)] for label in labels)
    except (ValueError, IndexError, KeyError, OverflowError):
        names = ()
    if len(set(names)) != len(labels) or not all("!" <= name <= "~" for name in names):
        raise DataError(f"{file}: expected a label and codes of ASCII for {len(labels)} classes")
    return names


def _find(folder: Path, stem: str, kind: str) -> Path | None:
    """The file in `folder` with one of the four spellings of its name."""
    names = (f"{stem}-{kind}", f"{stem}.{kind}")
    files = [folder / f"{name}{packed}" for name in names for packed in ("", ".gz")]
    return next((file for file in files if file.exists()), None)
