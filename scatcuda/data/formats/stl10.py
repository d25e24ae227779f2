"""STL-10's binary version: `train_X.bin`, `train_y.bin`, `test_X.bin`, `test_y.bin`.

stl10_dataset() -> Dataset of images [n, 3, 96, 96] uint8

An image is three planes, red, green and blue, each column by column; labels are bytes from 1 on.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...files.budget import ask
from ...files.error import DataError
from ...files.reading import opened, read_up_to
from ..dataset import Dataset

FILES = ("train_X.bin", "train_y.bin", "test_X.bin", "test_y.bin")
NAMES, LEFT_OUT = "class_names.txt", "unlabeled_X.bin"
_SIDE = 96
_PIXELS = 3 * _SIDE * _SIDE
_CLASSES = 10
_MAX_LABELS = 1 << 20  # bytes, of which each is an image; STL-10 has 8000 at most
_MAX_NAMES = 1 << 16


def is_stl10(path: Path) -> bool:
    """Whether a directory has the training images."""
    return (path / FILES[0]).is_file()


def stl10_dataset(directory: str | os.PathLike[str]) -> Dataset[Tensor]:
    """Read STL-10's binary version, the files of `stl10_binary`.

    The names of the classes come from `class_names.txt`; without it they are the numbers.
    `unlabeled_X.bin` has no labels and is left out, the folds of `fold_indices.txt` are too.

    Args:
        directory: where the files are.
    Returns: A `Dataset` of images ``[n, 3, 96, 96]``, uint8.
    Raises: DataError: a file is missing or damaged.
    Source: A. Coates, H. Lee, A. Y. Ng, "An analysis of single-layer networks in unsupervised
        feature learning", AISTATS 2011.
    Example:
        >>> stl10_dataset("nowhere")
        Traceback (most recent call last):
        scatcuda.data.DataError: nowhere/train_y.bin: no such file
    """
    folder = Path(directory)
    train, test = (_part(folder / FILES[i], folder / FILES[i + 1]) for i in (0, 2))
    return Dataset("stl10", *train, *test, _class_names(folder / NAMES))


def _part(images_file: Path, labels_file: Path) -> tuple[Tensor, Tensor]:
    """Images [n, 3, 96, 96] and labels [n]."""
    with opened(labels_file) as stream:
        labels = read_up_to(stream, _MAX_LABELS)
    y = torch.from_numpy(np.frombuffer(labels, np.uint8).astype(np.int64)) - 1
    if not len(y) or y.min() < 0 or y.max() >= _CLASSES:
        raise DataError(f"{labels_file}: expected bytes from 1 to {_CLASSES}, one for each image")
    size = len(y) * _PIXELS
    ask(str(images_file), 2 * size)  # as it is, and row by row
    with opened(images_file) as stream:
        pixels = read_up_to(stream, size + 1)
    if len(pixels) != size:
        fault = "truncated" if len(pixels) < size else "followed by other bytes"
        raise DataError(
            f"{images_file}: {fault}, the {len(y)} labels of {labels_file} are for {size} bytes"
        )
    columns = np.frombuffer(pixels, np.uint8).reshape(len(y), 3, _SIDE, _SIDE)
    return torch.from_numpy(columns.transpose(0, 1, 3, 2).copy()), y


def _class_names(file: Path) -> tuple[str, ...]:
    """A name a line; the numbers of the labels where there is no such file."""
    if not file.exists():
        return tuple(str(k + 1) for k in range(_CLASSES))
    with opened(file) as stream:
        names = read_up_to(stream, _MAX_NAMES).decode("latin-1").split()
    if len(set(names)) != _CLASSES or not all(name.isprintable() for name in names):
        raise DataError(f"{file}: expected the names of {_CLASSES} classes")
    return tuple(names)
