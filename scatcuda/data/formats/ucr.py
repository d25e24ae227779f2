"""Time series as the UCR and UEA archives have them: one file for training, another for testing.

ucr_dataset() -> Dataset of signals [n, N] float32, or `Signals` [n, C, N]

    NAME_TRAIN.ts,  NAME_TEST.ts     a header, then series with their label last
    NAME_TRAIN.tsv, NAME_TEST.tsv    a label, then values; .txt too, tabs, commas or spaces
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch

from ...files.budget import ask
from ...files.error import DataError
from ...files.reading import opened
from ..dataset import Dataset, Signals, assemble
from ..labels import labelled

_TRAIN = re.compile(r"(?P<stem>.+)_TRAIN(?P<end>\.(ts|tsv|txt))", re.IGNORECASE)
_LINE = 1 << 26  # bytes of a series
_TEXT = 24  # bytes of Python's objects from one of text, at most


def ucr_files(path: Path) -> list[Path]:
    """The file with the training series at a path, and the one with the test series."""
    if path.is_file():
        there = [path] if _TRAIN.fullmatch(path.name) else []
    else:
        there = sorted(p for p in path.glob("*") if _TRAIN.fullmatch(p.name) and p.is_file())
    stems = {_TRAIN.fullmatch(p.name)["stem"] for p in there}  # type: ignore[index]
    if len(stems) != 1:
        return there[:2]
    # of one set in several formats the header of .ts tells most
    train = min(there, key=lambda p: (p.suffix.lower() != ".ts", p.name))
    match = _TRAIN.fullmatch(train.name)
    assert match is not None
    word = "test" if "_train" in train.name else "TEST"
    return [train, train.with_name(f"{match['stem']}_{word}{match['end']}")]


def is_ucr(path: Path) -> bool:
    """Whether a path is a training file of the archive or has the files of one set."""
    files = ucr_files(path)
    return len(files) == 2 and not _TRAIN.fullmatch(files[1].name)


def ucr_dataset(path: str | os.PathLike[str]) -> Dataset[Any]:
    """Read a set of the UCR or UEA archive of time series, with its official split.

    Args:
        path: a directory with ``NAME_TRAIN`` and ``NAME_TEST``, as ``.ts``, ``.tsv`` or ``.txt``;
            or the first of these files.
    Returns: A `Dataset` of signals ``[n, N]``, float32; of several dimensions `Signals`
        ``[n, C, N]``. Classes are the labels, in the order of the alphabet or of numbers.
    Raises: DataError: a file is missing or damaged, or its series are not of one length, have
        values missing, times, or targets that are no classes.
    Example:
        >>> ucr_dataset("nowhere")
        Traceback (most recent call last):
        scatcuda.data.DataError: nowhere: no such file, nor a directory with one *_TRAIN.ts, ...
    """
    files = ucr_files(Path(path))
    if len(files) != 2 or _TRAIN.fullmatch(files[1].name):
        found = f"several, {files[0].name} and {files[1].name}" if files else "no such file"
        raise DataError(
            f"{path}: {found}, nor a directory with one *_TRAIN.ts, *_TRAIN.tsv or *_TRAIN.txt"
        )
    series, labels = zip(*(_read(file) for file in files), strict=True)
    y, classes = labelled(
        os.fspath(path),
        {file.name: np.array(some) for file, some in zip(files, labels, strict=True)},
    )
    x = [
        Signals(torch.from_numpy(some)) if some.shape[1] > 1 else torch.from_numpy(some[:, 0])
        for some in series
    ]
    match = _TRAIN.fullmatch(files[0].name)
    assert match is not None
    return assemble(path, match["stem"], (x[0], y[0]), (x[1], y[1]), classes)


def _read(file: Path) -> tuple[np.ndarray, list[str]]:
    """Series [n, C, N] float32, and their labels as they are written."""
    rows: list[np.ndarray] = []
    labels: list[str] = []
    taken = 0
    with opened(file) as stream:
        for number, line in _lines(file, stream):
            taken += len(line) * (_TEXT if not rows else 8)
            ask(str(file), taken)
            dimensions, label = _series(file, number, line)
            if rows and dimensions.shape != rows[0].shape:
                raise DataError(
                    f"{file}: line {number} has a series of shape {list(dimensions.shape)}, the "
                    f"first {list(rows[0].shape)}: series of one length are read"
                )
            rows.append(dimensions)
            labels.append(label)
    if not rows:
        raise DataError(f"{file}: it has no series")
    return np.stack(rows), labels


def _lines(file: Path, stream: BinaryIO) -> Iterator[tuple[int, str]]:
    """The lines with series, numbered; of a .ts file those after @data."""
    header = file.name.lower().endswith(".ts")
    number = 0
    while line := stream.readline(_LINE):
        number += 1
        if len(line) == _LINE:
            raise DataError(f"{file}: line {number} has more than {_LINE} bytes")
        text = line.decode("latin-1").strip()
        if not text or text.startswith("#"):
            continue
        if header and text.startswith("@"):
            word, _, value = text[1:].partition(" ")
            word, value = word.casefold(), value.strip().casefold()
            if word in ("timestamps", "targetlabel") and value.startswith("true"):
                what = "times" if word == "timestamps" else "targets that are no classes"
                raise DataError(f"{file}: it has {what}, which are not read")
            if word == "classlabel" and not value.startswith("true"):
                raise DataError(f"{file}: its series have no labels")
            header = word != "data"
        elif header:
            raise DataError(f"{file}: line {number} should be of the header, before @data")
        else:
            yield number, text


def _series(file: Path, number: int, text: str) -> tuple[np.ndarray, str]:
    """One series [C, N], and its label."""
    if file.name.lower().endswith(".ts"):
        *dimensions, label = text.split(":")
        parts = [dimension.split(",") for dimension in dimensions]
    else:
        label, *values = re.split(r"[\s,]+", text)
        label = _whole(label)
        parts = [values]
    if not parts or not parts[0] or not label:
        raise DataError(f"{file}: line {number} is no series with a label")
    if len(set(map(len, parts))) > 1:
        raise DataError(f"{file}: line {number} has dimensions of several lengths")
    try:
        found = np.array(parts, dtype=np.float32)
    except ValueError:
        found = np.full((1, 1), np.nan, np.float32)
    if not np.isfinite(found).all():
        raise DataError(
            f"{file}: line {number} has values that are missing, infinite or no numbers"
        )
    return found, label.strip()


def _whole(label: str) -> str:
    """A label as a class is called: 1 for 1.0000000e+00."""
    try:
        value = float(label)
    except ValueError:
        return label
    return str(int(value)) if value.is_integer() else label
