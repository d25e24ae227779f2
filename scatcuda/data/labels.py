"""Labels as files have them: numbers, one number a class in a row of zeros and a one, or names.

labelled("set.npz", arrays)      -> int64 labels [n] of each array, names of the classes
Share("reader", 0.2, seed=0)     a share of each class set aside where nothing is for testing
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping
from typing import NoReturn

import numpy as np
import torch
from torch import Tensor

from ..arguments import integer
from ..files.error import DataError

_CLASSES = 1 << 16  # names of classes at most: beyond, it is not classes that are named


def labelled(
    path: str, arrays: Mapping[str, np.ndarray]
) -> tuple[list[Tensor], tuple[str, ...] | None]:
    """Labels of arrays from one file, the first of which are those of the training images.

    Args:
        path: for messages.
        arrays: by their names, for messages: integers or whole floats ``[n]`` or ``[n, 1]``; rows
            of zeros and a one ``[n, classes]``; texts ``[n]``.
    Returns: labels ``[n]``, int64, of each; and the names of the classes, which the labels count
        from 0, or None if they are the numbers of the file, on which nothing was checked.
    Raises: DataError: they are of no such kind, of several, or name different classes.
    """
    columns = {
        key: array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array
        for key, array in arrays.items()
    }
    kinds = {(a.shape[1:], a.dtype.kind if a.dtype.kind in "US" else "") for a in columns.values()}
    if len(kinds) > 1:
        shapes = " and ".join(f"{key} {list(a.shape)}" for key, a in arrays.items())
        raise DataError(f"{path}: the labels are of different kinds, {shapes}")
    ((rest, text),) = kinds
    if text and not rest:
        return _named(path, columns)
    if len(rest) == 1 and rest[0] > 1:
        found = [_one_hot(path, key, array) for key, array in columns.items()]
        return found, tuple(map(str, range(rest[0])))
    return [_numbers(path, key, array) for key, array in columns.items()], None


def _numbers(path: str, key: str, array: np.ndarray) -> Tensor:
    """Whole numbers of any type."""
    if array.ndim != 1 or array.dtype.kind not in "iubf":
        _refuse(path, key, array)
    if array.dtype.kind == "f" and not (np.abs(array) < 2**53).all():  # NaN is not either
        raise DataError(f"{path}: {key} has labels that are no whole numbers")
    with np.errstate(over="ignore"):
        labels = array.astype(np.int64)
    if array.dtype.kind == "f" and not (labels == array).all():
        raise DataError(f"{path}: {key} has labels that are no whole numbers")
    return torch.from_numpy(labels)


def _one_hot(path: str, key: str, array: np.ndarray) -> Tensor:
    """Where the one is in rows of zeros."""
    if array.dtype.kind not in "iubf":
        _refuse(path, key, array)
    ones = array == 1
    if not (ones | (array == 0)).all() or not (ones.sum(1) == 1).all():
        _refuse(path, key, array)
    return torch.from_numpy(ones.argmax(1))


def _named(path: str, columns: Mapping[str, np.ndarray]) -> tuple[list[Tensor], tuple[str, ...]]:
    """Texts: the classes are those of the training images, in the order of the alphabet, or of
    the numbers that they are."""
    first = next(iter(columns))
    texts = {key: _texts(path, key, array) for key, array in columns.items()}
    names, _ = texts[first]
    if all(name.isascii() and name.isdigit() and len(name) < 10 for name in names):
        names = sorted(names, key=int)
    numbers = {name: number for number, name in enumerate(names)}
    found = []
    for key, (some, places) in texts.items():
        if strangers := [name for name in some if name not in numbers]:
            raise DataError(f"{path}: {key} has the class {strangers[0]!r}, which {first} has not")
        found.append(torch.tensor([numbers[name] for name in some])[torch.from_numpy(places)])
    return found, tuple(names)


def _texts(path: str, key: str, array: np.ndarray) -> tuple[list[str], np.ndarray]:
    """The different texts in an array, sorted, and where in them each of its own is."""
    found, places = np.unique(array, return_inverse=True)
    texts = []
    if array.dtype.kind == "S" or found.view(np.uint32).max(initial=0) <= sys.maxunicode:
        with contextlib.suppress(UnicodeDecodeError):
            texts = [t.decode() if isinstance(t, bytes) else t for t in found.tolist()]
    if not 0 < len(texts) <= _CLASSES or not all(t and t.isprintable() for t in texts):
        raise DataError(f"{path}: {key} has names of classes that cannot be read")
    return texts, places.reshape(-1)


def _refuse(path: str, key: str, array: np.ndarray) -> NoReturn:
    raise DataError(
        f"{path}: {key} should be integers [n] or [n, 1], names [n], or rows of zeros and a one "
        f"[n, classes], but is {array.dtype} of shape {list(array.shape)}"
    )


class Share:
    """The images that are set aside for testing where a data set has none: of each class a share.

    Args: caller, test_fraction, seed: of a reader; TypeError or ValueError if they are none.
    """

    def __init__(self, caller: str, test_fraction: float, seed: int) -> None:
        self._caller = caller
        self._seed = integer(caller, "seed", seed, 0, 2**32 - 1)
        self._share = test_fraction
        if not 0 <= test_fraction < 1:
            raise ValueError(
                f"{caller}: test_fraction must be at least 0 and below 1, got {test_fraction}"
            )

    def check(self, path: str, has_test: bool) -> None:
        """ValueError if there is a test set and a share for one too."""
        if has_test and self._share:
            raise ValueError(
                f"{self._caller}: test_fraction is for data without a test set, not {path}"
            )

    def of(self, path: str, x: Tensor, y: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Images and labels for training and for testing: of each class at least one of both, or
        none for testing if the share is 0.

        Raises: DataError: a class has one image.
        """
        if not self._share:
            return [(x, y), (x[:0], y[:0])]
        random, labels = np.random.RandomState(self._seed), y.numpy()
        chosen = np.zeros(len(labels), bool)
        for label in np.unique(labels):
            places = random.permutation(np.flatnonzero(labels == label))
            if len(places) < 2:
                raise DataError(f"{path}: a class of one image cannot be split")
            count = min(max(1, round(self._share * len(places))), len(places) - 1)
            chosen[places[:count]] = True
        parts = [torch.from_numpy(np.flatnonzero(some)) for some in (~chosen, chosen)]
        return [(x[part], y[part]) for part in parts]
