"""Heartbeats from records of PhysioNet's WFDB format, as the MIT-BIH Arrhythmia Database has them.

beats_dataset() -> Dataset of signals [n, N] float32, in millivolts, by patient

The library wfdb reads records and annotations.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...arguments import integer
from ...files.budget import ask
from ...files.error import DataError
from ...files.reading import opened
from ..dataset import Dataset, assemble
from ..folders.audio import resampled

#: The classes of ANSI/AAMI EC57, and the annotations of beats that are of each
AAMI: dict[str, str] = {"N": "NLRej", "S": "AaJS", "V": "VE", "F": "F", "Q": "/fQ"}
#: Patients for training and for testing, without those that have pacemakers: P. de Chazal et al.,
#: "Automatic classification of heartbeats", IEEE TBME 2004
DS1: tuple[str, ...] = tuple(
    "101 106 108 109 112 114 115 116 118 119 122 124 201 203 205 207 208 209 215 220 223 "
    "230".split()
)
DS2: tuple[str, ...] = tuple(
    "100 103 105 111 113 117 121 123 200 202 210 212 213 214 219 221 222 228 231 232 233 "
    "234".split()
)


def is_wfdb(path: Path) -> bool:
    """Whether a directory has records with annotations of beats."""
    if not path.is_dir():
        return False
    names = {entry.name for entry in path.glob("*.hea")}
    return any((path / f"{name.removesuffix('.hea')}.atr").is_file() for name in names)


def beats_dataset(
    directory: str | os.PathLike[str],
    *,
    train: Sequence[str] | None = None,
    test: Sequence[str] | None = None,
    length: int = 128,
    rate: int = 180,
    channel: int = 0,
) -> Dataset[Any]:
    """Cut the annotated beats out of the records in a directory.

    A beat is ``length`` samples, at the rate ``rate``, of which the annotated one is a third from
    the start; beats too near the ends of a record are left out. Classes are those of `AAMI` that
    occur for training; rhythm changes and noise are no beats.

    Args:
        directory: with ``NAME.hea``, ``NAME.dat`` and ``NAME.atr`` for each record.
        train, test: names of the records; None: `DS1` and `DS2` of the MIT-BIH database.
        length: samples of a beat.
        rate: samples a second; records of another are resampled.
        channel: which signal of a record, from 0.
    Returns: A `Dataset` of signals ``[n, length]``, float32, in the records' unit.
    Raises:
        DataError: a record is missing or damaged, or has no such channel; there are no beats.
        TypeError, ValueError: an argument is not as above.
        ImportError: wfdb, or SciPy where records are resampled, is not installed.
    Source: G. Moody and R. Mark, "The impact of the MIT-BIH Arrhythmia Database", IEEE EMBM 2001.
    Example:
        >>> beats_dataset("nowhere")
        Traceback (most recent call last):
        scatcuda.data.DataError: nowhere: no such directory
    """
    folder = Path(directory)
    length = integer("beats_dataset", "length", length, 3, 1 << 20)
    rate = integer("beats_dataset", "rate", rate, 1, 1 << 20)
    channel = integer("beats_dataset", "channel", channel, 0)
    if not folder.is_dir():
        raise DataError(f"{folder}: {'not a' if folder.exists() else 'no such'} directory")
    names = [_names("train", DS1 if train is None else train)]
    names.append(_names("test", DS2 if test is None else test))
    if both := sorted(set(names[0]) & set(names[1])):
        raise ValueError(f"beats_dataset: train and test have record {both[0]!r} in common")
    parts = []
    for some in names:
        beats = [_beats(folder, name, length, rate, channel) for name in some]
        found = [np.concatenate(several) for several in zip(*beats, strict=True)]
        if not found or not len(found[1]):
            raise DataError(f"{folder}: records {', '.join(some) or 'none'} have no beats")
        parts.append(found)
    classes = sorted(set(parts[0][1].tolist()))
    if strangers := sorted(set(parts[1][1].tolist()) - set(classes)):
        name = tuple(AAMI)[strangers[0]]
        raise DataError(f"{folder}: class {name} occurs in the test records only")
    (train_x, train_y), (test_x, test_y) = (
        (torch.from_numpy(x), torch.from_numpy(np.searchsorted(classes, y))) for x, y in parts
    )
    called = tuple(tuple(AAMI)[k] for k in classes)
    return assemble(folder, folder.resolve().name, (train_x, train_y), (test_x, test_y), called)


def _names(what: str, given: Iterable[Any]) -> list[str]:
    names = [given] if isinstance(given, str) else list(given)
    for name in names:
        if not isinstance(name, str) or not name or os.sep in name or name.startswith("."):
            raise ValueError(f"beats_dataset: {what} must be names of records; got {name!r}")
    if not names:
        raise ValueError(f"beats_dataset: {what} must name at least one record")
    return names


def _beats(
    folder: Path, name: str, length: int, rate: int, channel: int
) -> tuple[np.ndarray, np.ndarray]:
    """Beats [n, length] and their classes [n] of one record."""
    wfdb, path = _wfdb(), folder / name
    for suffix in (".hea", ".atr"):
        _look_at(path.with_name(name + suffix))
    try:
        header = wfdb.rdheader(str(path))
        if isinstance(header, wfdb.MultiRecord):
            raise DataError(f"{path}.hea: a record in several segments, which are not read")
        files = header.file_name or []
        if any(os.sep in file or file.startswith(".") for file in files):
            raise DataError(f"{path}.hea: it names files outside of the directory")
        count = header.n_sig or 0
        if channel >= count:
            raise DataError(f"{path}.hea: no channel {channel}, it has {count} signals")
        for file in {files[0], files[channel]}:  # of the first one the length, if need be
            _look_at(folder / file)
        ask(str(path), 32 * count * (header.sig_len or 0))
        record = wfdb.rdrecord(str(path), channels=[channel])
        notes = wfdb.rdann(str(path), "atr")
    except DataError:
        raise
    except Exception as error:  # of a library that parses text by hand: of any kind
        said = " ".join(str(error).split())[:99]
        raise DataError(f"{path}: a record that cannot be read ({said})") from None
    x = np.asarray(record.p_signal[:, 0], dtype=np.float64)
    if not np.isfinite(x).all():
        raise DataError(f"{path}: it has samples that are missing")
    fs = record.fs
    if not 0 < fs < 1 << 20:
        raise DataError(f"{path}.hea: {fs} samples a second")
    whole = 1 if float(fs).is_integer() else 1000
    up, down = whole * rate, round(whole * fs)
    common = math.gcd(up, down)
    if up != down:
        x = resampled(x, up // common, down // common)
    kinds = {symbol: k for k, symbols in enumerate(AAMI.values()) for symbol in symbols}
    at = [
        (round(sample * up / down) - length // 3, kinds[symbol])
        for sample, symbol in zip(notes.sample, notes.symbol, strict=True)
        if symbol in kinds
    ]
    at = [(first, kind) for first, kind in at if 0 <= first <= len(x) - length]
    beats = np.array([x[first : first + length] for first, _ in at], dtype=np.float32)
    return beats.reshape(-1, length), np.array([kind for _, kind in at], dtype=np.int64)


def _look_at(path: Path) -> None:
    """See that the library can open a file and come to its end."""
    with opened(path, unpack=False):
        pass


def _wfdb() -> Any:
    try:
        import wfdb
    except ImportError as error:
        raise ImportError(
            "WFDB records need wfdb, which is not installed: pip install 'scatcuda[wfdb]'"
        ) from error
    return wfdb
