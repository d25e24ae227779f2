"""Data sets by name or path: where they are looked for, which format they have.

load("mnist")            -> Dataset
load("/data/flowers")    -> Dataset, whatever of the formats is there
available()              -> what is on this machine, `scatcuda data list`
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple, overload

from torch import Tensor

from ..terminal import printable
from .cifar import VERSIONS, cifar_dataset, version_of
from .dataset import Dataset
from .embedded import digits_dataset, textures
from .error import DataError
from .folder import folder_dataset, is_image_folder
from .idx import idx_dataset
from .npz import npz_dataset

_ENVIRONMENT = "SCATCUDA_DATA"
_DEBIAN = Path("/usr/share/datasets")
_EMBEDDED: dict[str, tuple[str, Callable[..., Dataset[Any]]]] = {
    "digits": ("scikit-learn", digits_dataset),
    "textures": ("scikit-image", textures),
    "textures-rotated": ("scikit-image", functools.partial(textures, rotate=True)),
}
_READERS: dict[str, Callable[..., Dataset[Any]]] = {
    "IDX": idx_dataset,
    "CIFAR binary": cifar_dataset,
    "CIFAR Python": cifar_dataset,
    "npz": npz_dataset,
    "image folder": folder_dataset,
}


class _Known(NamedTuple):
    """A data set with a name: the directories and files it is commonly kept in, and its source."""

    places: tuple[str, ...]
    formats: tuple[str, ...]
    source: str
    classes: tuple[str, ...] = ()


_CIFAR = ("https://www.cs.toronto.edu/~kriz/cifar.html", "CIFAR binary", "CIFAR Python")
_KNOWN = {
    "mnist": _Known(
        ("mnist", "MNIST", "MNIST/raw", "mnist.npz"),
        ("IDX", "npz"),
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
    ),
    "fashion-mnist": _Known(
        ("fashion-mnist", "FashionMNIST", "FashionMNIST/raw"),
        ("IDX", "npz"),
        "https://github.com/zalandoresearch/fashion-mnist or Debian's dataset-fashion-mnist",
        ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker",
         "Bag", "Ankle boot"),
    ),
    "cifar10": _Known(
        ("cifar-10-batches-bin", "cifar-10-batches-py", "cifar10", "cifar10/cifar-10-batches-bin",
         "cifar10/cifar-10-batches-py"),
        _CIFAR[1:],
        _CIFAR[0],
    ),
    "cifar100": _Known(
        ("cifar-100-binary", "cifar-100-python", "cifar100", "cifar100/cifar-100-binary",
         "cifar100/cifar-100-python"),
        _CIFAR[1:],
        _CIFAR[0],
    ),
}  # fmt: skip


class Location(NamedTuple):
    """Where a data set is; an embedded one has a library as its format and no path."""

    name: str
    format: str
    path: Path | None


@overload
def load(
    name: Literal["digits", "textures", "textures-rotated"],
    data_dir: str | os.PathLike[str] | None = None,
    **options: object,
) -> Dataset[Tensor]: ...
@overload
def load(
    name: str | os.PathLike[str],
    data_dir: str | os.PathLike[str] | None = None,
    **options: object,
) -> Dataset[Any]: ...
def load(
    name: str | os.PathLike[str],
    data_dir: str | os.PathLike[str] | None = None,
    **options: object,
) -> Dataset[Any]:
    """Load a data set by its name or path.

    The names `digits`, `textures` and `textures-rotated` ship with libraries. `mnist`,
    `fashion-mnist`, `cifar10`, `cifar100`, and any directory or `.npz` file of the same name, are
    looked for in `data_dir`, in the directories of the environment variable SCATCUDA_DATA
    (separated as in PATH), in Debian's /usr/share/datasets, and in `data` where the program
    runs, under the names that they commonly have (`MNIST/raw`, `cifar-10-batches-py`, …). The
    first that is there is read. A path is a directory of IDX files, of CIFAR in either version,
    or of image folders, or a `.npz` file; a name that is also a directory here wants `./name`.

    Args:
        name: a name or a path.
        data_dir: a directory of data sets, looked into first.
        options: passed to the format's reader: `seed`, `size` (digits), `per_class`,
            `test_per_class`, `size`, `seed` (textures), `coarse` (CIFAR-100), `size`, `crop`,
            `grey`, `split`, `seed` (image folders).
    Returns: A `Dataset`.
    Raises:
        DataError: it is not there, of no known format, or damaged.
        ImportError: the library that an embedded one ships with, or Pillow, is not installed.
        TypeError, ValueError: an option that the reader does not have or take.
    Example:
        >>> load("digits", seed=1)
        Dataset('digits': 898 + 899 images [32, 32] float32, 10 classes)
    """
    return read(locate(name, data_dir), **options)


def locate(
    name: str | os.PathLike[str], data_dir: str | os.PathLike[str] | None = None
) -> Location:
    """Find a data set by its name or path without reading it; DataError if it is not there."""
    if data_dir is not None and not Path(data_dir).is_dir():
        raise DataError(f"{os.fspath(data_dir)}: no such directory of data sets")
    if not isinstance(name, str):
        return _at(Path(name))
    if name in _EMBEDDED:
        return Location(name, _EMBEDDED[name][0], None)
    if name not in _KNOWN and Path(name).exists():
        return _at(Path(name))
    known = _KNOWN.get(name, _Known((name, f"{name}.npz"), tuple(_READERS), ""))
    for directory in _directories(data_dir):
        for place in known.places:
            kind = recognise(directory / place)
            if kind in known.formats and _is_version(directory / place, name):
                return Location(name, kind, directory / place)
    looked = ", ".join(map(str, _directories(data_dir)))
    if name in _KNOWN:
        raise DataError(
            f"{name}: not found as {', '.join(known.places)} in {looked}; its files are at "
            f"{known.source}; give the directory they are in as data_dir or in ${_ENVIRONMENT}"
        )
    names = ", ".join([*_EMBEDDED, *_KNOWN])
    raise DataError(f"{name}: neither a path, nor in {looked}, nor one of {names}")


def read(location: Location, **options: object) -> Dataset[Any]:
    """Read a data set that was located."""
    name, kind, path = location
    reader = _READERS[kind] if path else _EMBEDDED[name][1]
    fixed = reader.keywords if isinstance(reader, functools.partial) else {}
    taken = [
        parameter.name
        for parameter in inspect.signature(reader).parameters.values()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and parameter.name not in fixed
    ]
    for option in options:
        if option not in taken:
            has = f"the options {', '.join(taken)}" if taken else "no options"
            raise TypeError(f"load: {option!r} is no option of {name!r} ({kind}), which has {has}")
    if path is None:
        return reader(**options)
    dataset = dataclasses.replace(reader(path, **options), name=name)
    known = _KNOWN.get(name)
    if known and len(known.classes) == len(dataset.classes):
        dataset = dataclasses.replace(dataset, classes=known.classes)
    return dataset


def recognise(path: Path) -> str | None:
    """The format of a directory or file, one of the keys of _READERS, by its names only."""
    try:
        if path.suffix == ".npz" and path.is_file():
            return "npz"
        if any(path.glob("train-images[-.]idx3-ubyte*")):
            return "IDX"
        if version := version_of(path):
            return version.format
        return "image folder" if is_image_folder(path) else None
    except OSError:  # where one may not look there is nothing to find
        return None


def _is_version(path: Path, name: str) -> bool:
    """Whether a directory of CIFAR is the one of that name; true of all else."""
    version = version_of(path)
    return version is None or name not in {v.name for v in VERSIONS} or version.name == name


def _at(path: Path) -> Location:
    if not path.exists():
        raise DataError(f"{path}: no such file or directory")
    kind = recognise(path)
    if kind is None:
        raise DataError(
            f"{path}: neither IDX files (train-images-idx3-ubyte), nor CIFAR (data_batch_1, "
            "data_batch_1.bin, train, train.bin), nor image folders (train/class/*.jpg), "
            "nor a .npz file"
        )
    version = version_of(path) if kind.startswith("CIFAR") else None
    return Location(version.name if version else path.resolve().stem, kind, path)


def _directories(data_dir: str | os.PathLike[str] | None) -> list[Path]:
    """Where data sets are looked for, in this order."""
    listed = os.environ.get(_ENVIRONMENT, "").split(os.pathsep)
    first = [] if data_dir is None else [Path(data_dir)]
    return [*first, *(Path(text) for text in listed if text), _DEBIAN, Path("data")]


@dataclasses.dataclass(frozen=True)
class Available:
    """A data set that is there: what it holds, or in `problem` why it cannot be read."""

    name: str
    path: Path | None  # of an embedded one: none
    format: str
    train: int = 0
    test: int = 0
    shape: tuple[int, ...] = ()
    classes: int = 0
    problem: str = ""


def available(data_dir: str | os.PathLike[str] | None = None) -> list[Available]:
    """List the data sets that `load` would find: embedded, known by name, and others.

    Others are the directories and files of a known format directly in the directories that are
    looked through. Each is read, image folders without decoding: what is damaged is listed with
    its problem.

    Args:
        data_dir: a directory of data sets, looked into first.
    Returns: what was found, each under the name that `load` takes.
    Raises: DataError: `data_dir` is not a directory.
    Example:
        >>> [found.name for found in available()][:3]
        ['digits', 'textures', 'textures-rotated']
    """
    found = []
    for location in _locations(data_dir):
        entry = Available(location.name, location.path, location.format)
        try:
            data = read(location)
        except (DataError, ImportError) as error:
            entry = dataclasses.replace(entry, problem=str(error))
        else:
            entry = dataclasses.replace(
                entry,
                train=len(data.train_y),
                test=len(data.test_y),
                shape=tuple(data.train_x.shape[1:]),
                classes=len(data.classes),
            )
        found.append(entry)
    return found


def _locations(data_dir: str | os.PathLike[str] | None) -> Iterator[Location]:
    seen = set()
    for name in (*_EMBEDDED, *_KNOWN):
        try:
            location = locate(name, data_dir)
        except DataError:
            if data_dir is not None and not Path(data_dir).is_dir():
                raise
            continue
        if location.path:
            seen.add(location.path.resolve())
        yield location
    for directory in _directories(data_dir):
        for path in _entries(directory):
            kind = recognise(path)
            if kind and path.resolve() not in seen:
                seen.add(path.resolve())
                name = path.stem if kind == "npz" else path.name
                yield Location(name if name not in _KNOWN else str(path), kind, path)


def _entries(directory: Path) -> list[Path]:
    try:
        return sorted(directory.iterdir())
    except OSError:
        return []


def list_text(found: list[Available]) -> str:
    """`available()` as a table: name, images, shape, classes, format, place."""
    rows = [("name", "train", "test", "shape", "classes", "format", "where")]
    for entry in found:
        numbers = (str(entry.train), str(entry.test), " × ".join(map(str, entry.shape)))
        rows.append(
            (
                entry.name,
                *(numbers if not entry.problem else ("", "", "")),
                str(entry.classes) if not entry.problem else "",
                entry.format,
                entry.problem or str(entry.path or "with the library"),
            )
        )
    cells = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if i in (1, 2, 4) else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    )
