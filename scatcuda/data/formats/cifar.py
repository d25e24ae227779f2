"""CIFAR-10 and CIFAR-100, the binary and the Python version.

cifar_dataset() -> Dataset of images [n, 3, 32, 32] uint8

In both versions an image is 3072 bytes, the planes red, green and blue, row by row.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...files.budget import ask
from ...files.error import DataError
from ...files.reading import opened, read_rest, read_up_to
from ..dataset import Dataset
from . import unpickle

_PIXELS = 3 * 32 * 32
_TEST = 10_000  # images in a test file
_OBJECTS = 6  # bytes from one of a pickle: it is there twice, and text has 4 bytes a letter
_MAX_NAMES = 1 << 16


class Labels(NamedTuple):
    """One kind of label: its key in pickles, how many classes, and where their names are."""

    key: str
    classes: int
    file: str
    names: str = ""  # their key in that file, a pickle


@dataclass(frozen=True)
class Version:
    """How one of the four kinds of directory is laid out."""

    name: str
    format: str
    train: tuple[str, ...]
    images: int  # in each training file
    test: str
    labels: tuple[Labels, ...]


_BATCHES = tuple(f"data_batch_{i}" for i in range(1, 6))
VERSIONS = (
    Version("cifar10", "CIFAR binary", tuple(f"{name}.bin" for name in _BATCHES), 10_000,
            "test_batch.bin", (Labels("labels", 10, "batches.meta.txt"),)),
    Version("cifar10", "CIFAR Python", _BATCHES, 10_000,
            "test_batch", (Labels("labels", 10, "batches.meta", "label_names"),)),
    Version("cifar100", "CIFAR binary", ("train.bin",), 50_000, "test.bin",
            (Labels("coarse_labels", 20, "coarse_label_names.txt"),
             Labels("fine_labels", 100, "fine_label_names.txt"))),
    Version("cifar100", "CIFAR Python", ("train",), 50_000, "test",
            (Labels("coarse_labels", 20, "meta", "coarse_label_names"),
             Labels("fine_labels", 100, "meta", "fine_label_names"))),
)  # fmt: skip


def version_of(folder: Path) -> Version | None:
    """Which kind of directory this is, by the names of its training files."""
    for version in VERSIONS:
        if any((folder / name).is_file() for name in version.train):
            return version
    return None


def cifar_dataset(directory: str | os.PathLike[str], *, coarse: bool = False) -> Dataset[Tensor]:
    """Read a directory of CIFAR-10 or CIFAR-100 in the binary or the Python version.

    The files are `data_batch_1.bin` … `data_batch_5.bin` and `test_batch.bin` (CIFAR-10) or
    `train.bin` and `test.bin` (CIFAR-100), without `.bin` in the Python version. That one consists
    of pickles, which are read as data: no code in them is run. Of CIFAR-10's training files those
    that are there are read. The names of the classes come from the file that the version has for
    them; without it they are numbers.

    Args:
        directory: where the files are.
        coarse: CIFAR-100's 20 superclasses instead of its 100 classes.
    Returns: A `Dataset` of images ``[n, 3, 32, 32]``, uint8.
    Raises:
        DataError: no training file or no test file is there, or one is damaged.
        ValueError: ``coarse`` for CIFAR-10, which has no superclasses.
    Source: A. Krizhevsky, "Learning multiple layers of features from tiny images", 2009.
    Example:
        >>> cifar_dataset("nowhere")
        Traceback (most recent call last):
        scatcuda.data.DataError: nowhere: no such directory
    """
    folder = Path(directory)
    if not folder.is_dir():
        raise DataError(f"{folder}: {'not a' if folder.exists() else 'no such'} directory")
    version = version_of(folder)
    if version is None:
        raise DataError(
            f"{folder}: no training file of CIFAR is there, such as data_batch_1.bin, "
            f"data_batch_1, train.bin or train"
        )
    if coarse and version.name != "cifar100":
        raise ValueError(f"cifar_dataset: coarse=True is for CIFAR-100, {folder} holds CIFAR-10")
    kind = version.labels[0 if coarse else -1]
    files = [folder / name for name in version.train if (folder / name).exists()]
    train_x, train_y = _read(files, version, version.images, kind)
    test_x, test_y = _read([folder / version.test], version, _TEST, kind)
    classes = _class_names(folder / kind.file, kind)
    return Dataset(version.name, train_x, train_y, test_x, test_y, classes)


def _read(files: list[Path], version: Version, count: int, kind: Labels) -> tuple[Tensor, Tensor]:
    """Images [n, 3, 32, 32] and labels [n] of files with `count` images each."""
    x, y = [], []
    for file in files:
        if kind.names:
            pixels, labels = _parse_python(file, count, kind)
        else:
            place = version.labels.index(kind)
            pixels, labels = _parse_binary(file, count, len(version.labels), place)
        if not all(0 <= label < kind.classes for label in labels):
            raise DataError(f"{file}: a label is not one of 0 to {kind.classes - 1}")
        x.append(torch.from_numpy(pixels.copy()).reshape(count, 3, 32, 32))
        y.append(torch.tensor(labels, dtype=torch.int64))
    return torch.cat(x), torch.cat(y)


def _parse_binary(file: Path, count: int, kinds: int, which: int) -> tuple[np.ndarray, list[int]]:
    """Pixels [count, 3072] and labels of records: one byte for each kind of label, the pixels."""
    size = count * (kinds + _PIXELS)
    ask(str(file), 2 * size)  # as it is, and the pixels alone
    with opened(file) as stream:
        raw = read_up_to(stream, size + 1)
    if len(raw) < size:
        raise DataError(f"{file}: truncated, {len(raw)} bytes where {count} images take {size}")
    if len(raw) > size:
        raise DataError(f"{file}: trailing bytes after the {size} that {count} images take")
    records = np.frombuffer(raw, np.uint8).reshape(count, kinds + _PIXELS)
    return records[:, kinds:], records[:, which].tolist()


def _parse_python(file: Path, count: int, kind: Labels) -> tuple[np.ndarray, list[int]]:
    """Pixels [count, 3072] and labels of a pickled dictionary."""
    content = _unpickled(file)
    pixels, labels = content.get("data"), content.get(kind.key)
    if not isinstance(pixels, np.ndarray) or pixels.shape != (count, _PIXELS):
        shape = list(pixels.shape) if isinstance(pixels, np.ndarray) else "nothing"
        raise DataError(f"{file}: expected 'data' of shape {[count, _PIXELS]}, got {shape}")
    if not isinstance(labels, list) or len(labels) != count or set(map(type, labels)) != {int}:
        raise DataError(f"{file}: expected {count} integers as {kind.key!r}")
    return pixels, labels


def _unpickled(file: Path) -> dict[str, Any]:
    with opened(file) as stream:
        raw = bytes(read_rest(stream, str(file), _OBJECTS))
    try:
        return unpickle.loads(raw)
    except unpickle.Refused as error:
        raise DataError(f"{file}: not a file of CIFAR's Python version, {error}") from None
    except ValueError as error:
        raise DataError(f"{file}: truncated or corrupt pickle ({str(error)[:99]})") from None


def _class_names(file: Path, kind: Labels) -> tuple[str, ...]:
    """The names of the classes; their numbers where there is no file of names."""
    if not file.exists():
        return tuple(map(str, range(kind.classes)))
    if kind.names:
        listed = _unpickled(file).get(kind.names)
        names = listed if isinstance(listed, list) else []
    else:
        with opened(file) as stream:
            names = read_up_to(stream, _MAX_NAMES).split()
    texts = [n.decode("latin-1") if isinstance(n, bytes | bytearray) else n for n in names]
    if len(texts) != kind.classes or not all(isinstance(t, str) and t.isprintable() for t in texts):
        raise DataError(f"{file}: expected the names of {kind.classes} classes")
    return tuple(texts)
