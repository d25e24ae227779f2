"""Data sets by name or path: where they are looked for, which format they have.

load("mnist")            -> Dataset
load("/data/flowers")    -> Dataset, whatever of the formats is there
available()              -> what is on this machine, `scatcuda data list`
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import inspect
import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple, overload

from torch import Tensor

from ..files.error import DataError
from ..terminal import Bar, printable, sentence
from .dataset import Dataset
from .embedded import digits_dataset, textures
from .folders.audio import audio_dataset, is_audio_folder
from .folders.folder import folder_dataset, is_image_folder
from .folders.nearly import nearly
from .formats.cifar import cifar_dataset, version_of
from .formats.idx import LAYOUTS, idx_dataset, layouts_of
from .formats.npz import npz_dataset
from .formats.parquet import is_parquet, parquet_dataset
from .formats.stl10 import is_stl10, stl10_dataset
from .formats.svhn import is_svhn, svhn_dataset
from .formats.table import csv_dataset, is_csv
from .formats.ucr import is_ucr, ucr_dataset
from .formats.wfdb import beats_dataset, is_wfdb

_ENVIRONMENT = "SCATCUDA_DATA"
_DEBIAN = Path("/usr/share/datasets")
_EMBEDDED: dict[str, tuple[str, Callable[..., Dataset[Any]]]] = {
    "digits": ("scikit-learn", digits_dataset),
    "textures": ("scikit-image", textures),
    "textures-rotated": ("scikit-image", functools.partial(textures, rotate=True)),
}


class _Format(NamedTuple):
    """How files of a format are read, and by what names of files it is recognised."""

    reader: Callable[..., Dataset[Any]]
    is_at: Callable[[Path], object]


def _is_cifar(path: Path, format: str) -> bool:
    version = version_of(path)
    return version is not None and version.format == format


# In the order in which they are looked for.
_FORMATS = {
    "npz": _Format(npz_dataset, lambda path: path.suffix == ".npz" and path.is_file()),
    "IDX": _Format(idx_dataset, layouts_of),
    "CIFAR binary": _Format(cifar_dataset, lambda path: _is_cifar(path, "CIFAR binary")),
    "CIFAR Python": _Format(cifar_dataset, lambda path: _is_cifar(path, "CIFAR Python")),
    "SVHN": _Format(svhn_dataset, is_svhn),
    "STL-10": _Format(stl10_dataset, is_stl10),
    "Parquet": _Format(parquet_dataset, is_parquet),
    "UCR": _Format(ucr_dataset, is_ucr),
    "WFDB": _Format(beats_dataset, is_wfdb),
    "CSV": _Format(csv_dataset, is_csv),
    "audio folder": _Format(audio_dataset, is_audio_folder),
    "image folder": _Format(folder_dataset, is_image_folder),
}
# These look into directories and files: what names tell, a directory down too, goes first.
_LAST = ("audio folder", "image folder")
_EXPECTED = (
    "IDX files (train-images-idx3-ubyte), CIFAR (data_batch_1, train, with .bin or not), SVHN "
    "(train_32x32.mat), STL-10 (train_X.bin), Parquet (train-*.parquet), CSV (*train.csv), .npz, "
    "UCR (*_TRAIN.ts, .tsv), WFDB (*.hea, *.atr), recordings (class/*.wav, *.wav), images "
    "(train/class/*.jpg, class/*.jpg, *.jpg, or archives of such)"
)
# Where torchvision and unpacked archives have the files, a directory down.
_WITHIN = (
    "raw", "gzip", "cifar-10-batches-bin", "cifar-10-batches-py", "cifar-100-binary",
    "cifar-100-python", "stl10_binary",
)  # fmt: skip


class _Known(NamedTuple):
    """A data set with a name: what it is commonly kept as, where it comes from."""

    places: tuple[str, ...]  # capitals and punctuation do not matter
    formats: tuple[str, ...]
    source: str
    classes: tuple[str, ...] = ()
    options: tuple[tuple[str, object], ...] = ()  # of the reader


_GENERAL = ("npz", "Parquet", "CSV", "image folder")
_IDX = ("IDX", *_GENERAL)
_CIFAR = ("CIFAR binary", "CIFAR Python", *_GENERAL)
_KRIZHEVSKY = "https://www.cs.toronto.edu/~kriz/cifar.html"
_KNOWN = {
    "mnist": _Known(("mnist",), _IDX, "https://ossci-datasets.s3.amazonaws.com/mnist/"),
    "fashion-mnist": _Known(
        ("fashion-mnist",),
        _IDX,
        "https://github.com/zalandoresearch/fashion-mnist or Debian's dataset-fashion-mnist",
        ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker",
         "Bag", "Ankle boot"),
    ),
    "kmnist": _Known(
        ("kmnist", "kuzushiji-mnist"),
        _IDX,
        "http://codh.rois.ac.jp/kmnist/",
        ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
    ),
    "qmnist": _Known(
        ("qmnist", "."), _IDX, "https://github.com/facebookresearch/qmnist",
        options=(("which", "qmnist"),),
    ),
    **{
        layout.name: _Known(
            (layout.name, "emnist", "gzip", "."), ("IDX",),
            "https://www.nist.gov/itl/products-and-services/emnist-dataset",
            options=(("which", layout.name),),
        )
        for layout in LAYOUTS if layout.name.startswith("emnist-")
    },
    "cifar10": _Known(
        ("cifar-10-batches-bin", "cifar-10-batches-py", "cifar-10"), _CIFAR, _KRIZHEVSKY
    ),
    "cifar100": _Known(
        ("cifar-100-binary", "cifar-100-python", "cifar-100"), _CIFAR, _KRIZHEVSKY
    ),
    "svhn": _Known(
        ("svhn", "."), ("SVHN", *_GENERAL), "http://ufldl.stanford.edu/housenumbers/"
    ),
    "stl10": _Known(
        ("stl10_binary", "stl-10"), ("STL-10", *_GENERAL), "https://cs.stanford.edu/~acoates/stl10/"
    ),
}  # fmt: skip
_OWN = {"SVHN": {"svhn"}, "STL-10": {"stl10"}}
_NAMED_AS_MNIST = {"mnist", "fashion-mnist", "kmnist"}
_MANY = 10_000  # names among which near ones are looked for


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
    `fashion-mnist`, `kmnist`, `qmnist`, `emnist-letters` and its five siblings, `cifar10`,
    `cifar100`, `svhn`, `stl10`, and any directory or file of a format of the same name, are looked
    for in `data_dir`, in the directories of the environment variable SCATCUDA_DATA (separated as
    in PATH), in Debian's /usr/share/datasets, and in `data` where the program runs, under the
    names that they commonly have (`MNIST/raw`, `cifar-10-batches-py`, …), which are names for
    them too. Capitals and punctuation do not matter. The first that is there is read. A path is a
    directory or file of one of the formats that `scatcuda.data` lists; a name that is also a
    directory here wants `./name`.

    Args:
        name: a name or a path.
        data_dir: a directory of data sets, looked into first.
        options: passed to the format's reader: `seed`, `size` (digits), `per_class`,
            `test_per_class`, `size`, `seed` (textures), `coarse` (CIFAR-100), `which` (IDX),
            `size`, `crop`, `grey`, `test_fraction`, `seed`, `on_error` (images in folders and
            archives), `test_fraction`, `seed` (CSV, `.npz`, Parquet), `size`, `crop`, `grey`,
            `image`, `label` (Parquet), `length`, `rate`, `mono`, `label`, `test`, `test_fraction`,
            `seed`, `on_error` (recordings), `train`, `test`, `length`, `rate`, `channel` (WFDB),
            `signals` (CSV, `.npz`).
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
        words = _did_you_mean(_beside(Path(data_dir)))
        raise DataError(f"{os.fspath(data_dir)}: no such directory of data sets{words}")
    if not isinstance(name, str):
        return _at(Path(name))
    if name in _EMBEDDED:
        return Location(name, _EMBEDDED[name][0], None)
    if name not in _KNOWN and Path(name).exists():
        return _at(Path(name))
    directories = _directories(data_dir)
    called = _known_as(name)
    known = _KNOWN.get(called, _Known((name,), tuple(_FORMATS), ""))
    # The place that was named, if it is one, goes first.
    for place in sorted(known.places, key=lambda place: _plain(place) != _plain(name)):
        formats = known.formats if place != "." else known.formats[:1]
        for path in (path for directory in directories for path in _matching(directory, place)):
            if found := _recognise(path, formats, called):
                return Location(called, *found)
    looked = ", ".join(map(str, directories))
    there = [entry.name for directory in directories for entry in _entries(directory)]
    if called in _KNOWN:
        places = ", ".join(place for place in known.places if place != ".")
        raise DataError(
            f"{name}: not found as {places} in {looked}; its files are at {known.source}; give "
            f"the directory they are in as data_dir or in ${_ENVIRONMENT}"
            f"{_did_you_mean(_near(name, there))}"
        )
    names = [*_EMBEDDED, *_KNOWN]
    near = _near(name, [*names, *there]) or _beside(Path(name))
    rest = _did_you_mean(near) if near else f", nor one of {', '.join(names)}"
    raise DataError(f"{name}: neither a path nor in {looked}{rest}")


def read(location: Location, **options: object) -> Dataset[Any]:
    """Read a data set that was located."""
    name, kind, path = location
    known = _KNOWN.get(name)
    reader = _FORMATS[kind].reader if path else _EMBEDDED[name][1]
    if known and known.options and kind == known.formats[0]:
        reader = functools.partial(reader, **dict(known.options))
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
    if known and len(known.classes) == len(dataset.classes):
        dataset = dataclasses.replace(dataset, classes=known.classes)
    return dataset


def _recognise(
    path: Path, formats: Iterable[str] = tuple(_FORMATS), name: str = ""
) -> tuple[str, Path] | None:
    """Format and place of what is at a path, or a directory further down, by the names of files.

    Args: formats: those that will do; name: of a data set, what is certainly another will not.
    """
    try:
        plain = [format for format in formats if format not in _LAST]
        last = [format for format in formats if format in _LAST]
        below = [path / within for within in _WITHIN] if path.is_dir() else []
        tries = [*((place, plain) for place in (path, *below)), (path, last)]
        for place, some in tries:
            for format in some:
                if not _FORMATS[format].is_at(place):
                    continue
                names = _names_in(place, format)
                if not names or name in names or name not in _KNOWN:
                    return format, place
    except OSError:  # where one may not look there is nothing to find
        pass
    return None


def _names_in(path: Path, format: str) -> set[str]:
    """Which data sets the names of the files tell that it is; none if they tell nothing."""
    if format == "IDX":
        layouts = {layout.name for layout in layouts_of(path)}
        return layouts | (_NAMED_AS_MNIST if LAYOUTS[0].name in layouts else set())
    version = version_of(path) if format.startswith("CIFAR") else None
    return {version.name} if version else _OWN.get(format, set())


def _plain(name: str) -> str:
    """A name without what people write in different ways: capitals and punctuation."""
    return "".join(letter for letter in name.casefold() if letter.isalnum() or letter == "/")


def _known_as(name: str) -> str:
    """The name in _KNOWN of what may be written in another way, or as one of its places, such as
    `MNIST/raw`; any other name as it is."""
    aliases = {
        _plain(place): known
        for known, entry in _KNOWN.items()
        for place in (known, *entry.places)
        if _plain(place) not in ("", "gzip", "emnist")  # which are places of several
    }
    parts = [_plain(part) for part in name.split("/") if part]
    within = {_plain(part) for part in _WITHIN}
    found = {aliases[part] for part in parts if part in aliases}
    alone = len(found) == 1 and all(part in aliases or part in within for part in parts)
    return found.pop() if alone else name


def _matching(directory: Path, place: str) -> list[Path]:
    """What is in a directory under a name, itself for ".": first the one that is written so."""
    parts = place.split("/")
    if ".." in parts or not parts[0]:
        return []  # nothing that is outside has a name here
    found = [directory]
    for part in parts:
        if part in ("", "."):
            continue
        found = [
            entry
            for above in found
            for entry in sorted(_entries(above), key=lambda entry: entry.name != part)
            if _plain(part) in (_plain(entry.name), _plain(_name_of(entry)))
        ]
    return found


def _name_of(path: Path) -> str:
    """The name of what is in a file or directory: a file's without its suffix."""
    return path.name if path.is_dir() else path.stem.removesuffix(".tar").removesuffix(".csv")


def _near(name: str, names: Iterable[str]) -> list[str]:
    """Up to three of `names` that are written much like `name`, or begin or end with it."""
    wanted, plain = _plain(name), {_plain(other): other for other in itertools.islice(names, _MANY)}
    close = difflib.get_close_matches(wanted, plain, cutoff=0.75)
    longer = [
        other
        for other in plain
        if wanted and wanted in (other[: len(wanted)], other[-len(wanted) :])
    ]
    return [plain[other] for other in dict.fromkeys([*close, *longer])][:3]


def _beside(path: Path) -> list[str]:
    """Paths that are there and written much like one that is not."""
    missing = next((p for p in (*reversed(path.parents), path) if not p.exists()), path)
    there = (entry.name for entry in _entries(missing.parent))
    return [os.fspath(missing.with_name(name)) for name in _near(missing.name, there)]


def _did_you_mean(near: list[str]) -> str:
    """The end of a sentence that says what there is; nothing if there is nothing."""
    return f"; did you mean {' or '.join(near)}?" if near else ""


def _at(path: Path) -> Location:
    if not path.exists():
        raise DataError(f"{path}: no such file or directory{_did_you_mean(_beside(path))}")
    found = _recognise(path)
    if found is None:
        raise DataError(f"{path}: {nearly(path, _recognise)}none of these: {_EXPECTED}")
    kind, place = found
    names = _names_in(place, kind)
    return Location(min(names) if len(names) == 1 else _name_of(path.resolve()), kind, place)


def _directories(data_dir: str | os.PathLike[str] | None) -> list[Path]:
    """Where data sets are looked for, in this order."""
    listed = os.environ.get(_ENVIRONMENT, "").split(os.pathsep)
    first = [] if data_dir is None else [Path(data_dir)]
    return [*first, *(Path(text) for text in listed if text), _DEBIAN, Path("data")]


@dataclasses.dataclass(frozen=True)
class Available:
    """A data set that is there: what it holds, or in `problem` why it cannot be read.

    Example:
        >>> found = available()[0]
        >>> found.name, found.train, found.test, found.shape, found.classes
        ('digits', 898, 899, (32, 32), 10)
    """

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
    locations = list(_locations(data_dir))
    with Bar(len(locations), "data set") as bar:
        for location in locations:
            entry = Available(location.name, location.path, location.format)
            try:
                data = read(location)
            except (DataError, ImportError, MemoryError) as error:
                entry = dataclasses.replace(entry, problem=sentence(error))
            else:
                entry = dataclasses.replace(
                    entry,
                    train=len(data.train_y),
                    test=len(data.test_y),
                    shape=tuple(data.train_x.shape[1:]),
                    classes=len(data.classes),
                )
            found.append(entry)
            bar.update(1)
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
            found = _recognise(path)
            if found and found[1].resolve() not in seen:
                seen.add(found[1].resolve())
                name = _name_of(path)
                yield Location(name if _known_as(name) not in _KNOWN else str(path), *found)


def _entries(directory: Path) -> list[Path]:
    try:
        return sorted(directory.iterdir())
    except OSError:
        return []


def list_text(found: list[Available]) -> str:
    """`available()` as a table: name, images, shape, classes, format, place.

    Example:
        >>> print(list_text(available()[:1]))
        name    train  test  shape    classes  format        where
        digits    898   899  32 × 32       10  ...  with the library
    """
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
