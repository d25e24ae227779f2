"""Grey images or signals as rows of numbers in text, as MNIST comes as CSV: a label, then the
pixels or samples.

csv_dataset() -> Dataset of images [n, M, M] uint8, or of signals [n, N] float32

NumPy reads the numbers.
"""

from __future__ import annotations

import csv
import itertools
import math
import os
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor

from ...files.budget import ask
from ...files.error import DataError
from ...files.reading import opened
from ..dataset import Dataset, assemble
from ..labels import Share

_LABEL = ("label", "labels", "class", "target", "y")  # of a column with a name
_LINE = 1 << 20  # bytes of the first one; a row of 224 x 224 pixels has 200 thousand
_NUMBER = 8  # bytes of a number and what is around it, at most
_LONGEST = 32  # of one of a signal
_NUMERAL = r'"?[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[-+]?[0-9]+)?"?'
_BLOCK = 1 << 22  # numbers read at a time
_TRAIN = re.compile(r"(?P<stem>.*[-_ .])?train(?P<end>\.csv(\.gz)?)", re.IGNORECASE)


def csv_files(path: Path) -> list[Path]:
    """The file with the training images at a path, and the one with the test images."""
    if path.is_file():
        there = [path] if re.search(r"\.csv(\.gz)?$", path.name, re.IGNORECASE) else []
    else:
        there = sorted(p for p in path.glob("*") if _TRAIN.fullmatch(p.name) and p.is_file())
    if len(there) != 1:
        return there
    match = _TRAIN.fullmatch(there[0].name)
    test = there[0].with_name(f"{match['stem'] or ''}test{match['end']}") if match else None
    return [*there, *([test] if test and test.is_file() else [])]


def is_csv(path: Path) -> bool:
    """Whether a path is a table or has one with training images."""
    return bool(csv_files(path))


def csv_dataset(
    path: str | os.PathLike[str],
    *,
    test_fraction: float = 0.0,
    seed: int = 0,
    signals: bool = False,
) -> Dataset[Tensor]:
    """Read grey images from tables of text, as `mnist_train.csv` and `mnist_test.csv`.

    A row is a label and M² pixels from 0 to 255, separated by commas. A first row of names is
    understood; it may put the label, `label` or `class`, elsewhere. Kaggle's `train.csv` is one
    such file: what it has beside it, `test.csv`, has no labels and is left out.

    Args:
        path: a file, or a directory with one whose name ends in `train.csv` and, where there is
            one, another whose name ends in `test.csv` instead. `.gz` may follow.
        test_fraction: the share of each class for testing, below 1, where there is no test set.
        seed: decides which images are set aside.
        signals: whether rows are of signals: a label and any numbers.
    Returns: A `Dataset` of images ``[n, M, M]``, uint8, or of signals ``[n, N]``, float32; labels
        that start at 1 start at 0 here.
    Raises:
        DataError: a file is missing, damaged, or of something else.
        TypeError, ValueError: an argument is not as above; `test_fraction` where there is a test
            set.
    Example:
        >>> csv_dataset("nowhere.csv")
        Traceback (most recent call last):
        scatcuda.data.DataError: nowhere.csv: no such file, nor a directory with one *train.csv
    """
    share, name = Share("csv_dataset", test_fraction, seed), Path(path).resolve()
    files = csv_files(Path(path))
    if not files or (len(files) > 1 and _TRAIN.fullmatch(files[1].name)):
        found = f"several, {files[0].name} and {files[1].name}" if files else "no such file"
        raise DataError(f"{path}: {found}, nor a directory with one *train.csv")
    if len(files) > 1 and _columns(files[1]) == _columns(files[0]) - 1:
        del files[1]  # it has no labels
    share.check(os.fspath(path), len(files) > 1)
    parts = [_read(file, signals) for file in files]
    train, test = parts if len(parts) > 1 else share.of(os.fspath(path), *parts[0])
    return assemble(path, name.name if name.is_dir() else name.name.split(".")[0], train, test)


def _columns(file: Path) -> int:
    with opened(file) as stream:
        return len(_first_row(file, stream))


def _first_row(file: Path, stream: BinaryIO) -> list[str]:
    line = stream.readline(_LINE)
    if len(line) == _LINE:
        raise DataError(f"{file}: its first row has more than {_LINE} bytes")
    try:
        return next(csv.reader([line.removeprefix(b"\xef\xbb\xbf").decode("latin-1")]), [])
    except csv.Error as error:
        raise DataError(f"{file}: its first row cannot be read ({error})") from None


def _read(file: Path, signals: bool) -> tuple[Tensor, Tensor]:
    """Images [n, M, M] or signals [n, N], and labels [n]."""
    numbers = _any_numbers if signals else _numbers
    with opened(file) as stream:
        names = [name.strip().lower() for name in _first_row(file, stream)]
        side = math.isqrt(max(0, len(names) - 1))
        if side < 1 or (side * side != len(names) - 1 and not signals):
            more = "" if len(names) < 2 else "; signals=True reads rows of signals"
            raise DataError(
                f"{file}: expected a label and M x M pixels in a row, got {len(names)} columns"
                f"{more}"
            )
        number = _NUMERAL if signals else "[0-9]+"
        titled = not all(re.fullmatch(number, name) for name in names)
        column = next((names.index(name) for name in _LABEL if name in names), -1) if titled else 0
        if column < 0:
            raise DataError(f"{file}: its first row names no column label")
        blocks = [] if titled else [numbers(file, [",".join(names)], len(names))]
        taken, count = 0, max(1, _BLOCK // len(names))
        lines = _lines(file, stream, (_LONGEST if signals else _NUMBER) * len(names))
        while some := list(itertools.islice(lines, count)):
            blocks.append(numbers(file, some, len(names)))
            taken += blocks[-1].nbytes
            ask(str(file), 3 * taken)  # in blocks, as one, and without the labels
    if not taken + sum(map(len, blocks)):
        raise DataError(f"{file}: it has no rows")
    rows = np.concatenate(blocks)
    x, y = np.delete(rows, column, 1), rows[:, column]
    if signals and (y != np.round(y)).any():
        raise DataError(f"{file}: it has labels that are no whole numbers")
    x = x.astype(np.float32) if signals else x.reshape(-1, side, side)
    return torch.from_numpy(x), torch.from_numpy(y.astype(np.int64))


def _lines(file: Path, stream: BinaryIO, most: int) -> Iterator[str]:
    """The lines of a text but for empty ones, none of which is too long to be a row."""
    while line := stream.readline(most + 2):
        if len(line) > most + 1:
            raise DataError(f"{file}: it has a line of more than {most} bytes")
        if line.strip():
            yield line.decode("latin-1")


def _any_numbers(file: Path, lines: list[str], columns: int) -> np.ndarray:
    """Rows of numbers [n, columns], float64: labels are exact."""
    try:
        rows = np.loadtxt(lines, np.float64, delimiter=",", ndmin=2, comments=None, quotechar='"')
        if rows.shape[1] != columns:
            raise ValueError(f"one has {rows.shape[1]}")
        if not (np.abs(rows) <= np.finfo(np.float32).max).all():
            raise ValueError("one is missing, infinite or too large")
    except (ValueError, OverflowError) as error:
        said = " ".join(str(error).split())[:99]
        raise DataError(f"{file}: expected rows of {columns} numbers ({said})") from None
    return rows


def _numbers(file: Path, lines: list[str], columns: int) -> np.ndarray:
    """Rows of numbers from 0 to 255 [n, columns]."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # of parts of whole numbers
            rows = np.loadtxt(lines, np.uint8, delimiter=",", ndmin=2, comments=None, quotechar='"')
        if rows.shape[1] != columns:
            raise ValueError(f"one has {rows.shape[1]}")
    except (ValueError, OverflowError, Warning) as error:
        said = " ".join(str(error).split())[:99]
        raise DataError(
            f"{file}: expected rows of {columns} whole numbers from 0 to 255 ({said})"
        ) from None
    return rows
