"""Whether the files of a data set are what they should be: `scatcuda data verify`."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from ..files.budget import file_budget
from ..files.error import DataError
from ..files.reading import opened
from ..terminal import Bar, printable
from .catalog import Location, locate, read
from .folders.parts import passed_text
from .formats import stl10, svhn
from .formats.cifar import version_of
from .formats.idx import LAYOUTS, idx_files, layouts_of
from .formats.parquet import parquet_files
from .formats.table import csv_files
from .formats.ucr import ucr_files

_BLOCK = 1 << 20  # bytes
_LAZY = ("image folder", "audio folder")  # every file is decoded instead

# MD5 of the files after unpacking, as their publishers and the libraries that fetch them give it.
_PUBLISHED = {
    "mnist": {
        "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
        "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
        "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
        "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
    },
    "fashion-mnist": {
        "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
        "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
        "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
    },
    "cifar10": {
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        "test_batch": "40351d587109b95175f43aff81a1287e",
        "batches.meta": "5ff9c542aee3614f3951f8cda6e48888",
    },
    "cifar100": {
        "train": "16019d7e3df5f24257cddd939b257f8d",
        "test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
        "meta": "7973b15100ade9c7d40fb424638fde48",
    },
}


@dataclass(frozen=True)
class Check:
    """What was found out about one file, or about the data set as a whole.

    Example:
        >>> verify("digits")[-1]
        Check(subject='digits', ok=True, finding='898 + 899 images [32, 32] float32, 10 classes')
    """

    subject: str
    ok: bool
    finding: str


def verify(
    name: str | os.PathLike[str], data_dir: str | os.PathLike[str] | None = None
) -> list[Check]:
    """Read every file of a data set to its end and say what is wrong with it.

    Sizes, counts, shapes and the range of labels are checked by reading it as `load` does, every
    image of a folder or an archive by decoding it; what was passed over there is counted.
    Contents are compared, unpacked, with the MD5 that is published for MNIST, Fashion-MNIST and
    CIFAR's Python version. A data set without a published one is sound if it can be read; one with
    another content, or of which files are missing, is not.

    Args:
        name: a name or a path, as for `load`.
        data_dir: a directory of data sets, looked into first.
    Returns: one `Check` for each file, or for each damaged image; then one for the whole.
    Raises:
        DataError: it is not there.
        ImportError: the library that an embedded one ships with, or Pillow, is not installed.
    Example:
        >>> print(verify_text(verify("digits")))
        ok       digits  898 + 899 images [32, 32] float32, 10 classes
    """
    location = locate(name, data_dir)
    files = _files(location)
    checks = []
    with Bar(len(files), "file") as bar:
        for file in files:
            checks.append(_file(file, location.name))
            bar.update(1)
    checks += [
        Check(str(file), True, f"left out, {reason}") for file, reason in _left_out(location)
    ]
    try:
        encoded = location.format in (*_LAZY, "Parquet")
        dataset = read(location, **({"on_error": "skip"} if encoded else {}))
    except DataError as error:
        return [*checks, Check(location.name, False, str(error))]
    checks += [Check(name, False, reason) for name, reason in dataset.skipped]
    facts = repr(dataset).split(": ", 1)[1].removesuffix(")")
    passed = f"; passed over: {passed_text(dataset.passed)}" if dataset.passed else ""
    return [*checks, Check(location.name, True, facts + passed)]


def _files(location: Location) -> list[Path]:
    """The files to compare, missing ones included; an image folder's are decoded instead."""
    if location.path is None or location.format in _LAZY:
        return []
    if location.format == "IDX":
        there = layouts_of(location.path)
        named = [layout for layout in there if layout.name == location.name]
        return idx_files(location.path, (named or there or LAYOUTS)[0])
    if location.format in ("SVHN", "STL-10"):
        files = svhn.FILES if location.format == "SVHN" else (*stl10.FILES, stl10.NAMES)
        return [location.path / name for name in files]
    if location.format == "CSV":
        return csv_files(location.path)
    if location.format == "UCR":
        return ucr_files(location.path)
    if location.format == "WFDB":
        kinds = (".hea", ".dat", ".atr")
        return sorted(path for path in location.path.iterdir() if path.suffix in kinds)
    if location.format == "Parquet":
        return [file for files in parquet_files(location.path).values() for file in files]
    version = version_of(location.path)
    if version is None:
        return [location.path]
    names = (*version.train, version.test, *dict.fromkeys(kind.file for kind in version.labels))
    return [location.path / name for name in names]


def _left_out(location: Location) -> list[tuple[Path, str]]:
    """Files beside those of a data set that its reader does not read, and why."""
    names = {
        "SVHN": (svhn.LEFT_OUT, "more images for training, of another kind"),
        "STL-10": (stl10.LEFT_OUT, "its images have no labels"),
    }
    name, reason = names.get(location.format, ("", ""))
    there = bool(name) and location.path is not None and (location.path / name).exists()
    return [(location.path / name, reason)] if there and location.path else []


def _file(file: Path, name: str) -> Check:
    if not file.exists():
        return Check(str(file), False, "missing")
    digest, size = hashlib.md5(usedforsecurity=False), 0
    try:
        with opened(file) as stream:
            while block := stream.read(_BLOCK):
                digest.update(block)
                size += len(block)
                if size > file_budget():  # it could go on for ever
                    return Check(str(file), False, f"unpacked, more than {file_budget()} bytes")
    except DataError as error:
        return _failed(str(file), error)
    key = file.name.removesuffix(".gz").replace(".idx", "-idx")
    expected = {of: sums[key] for of, sums in _PUBLISHED.items() if key in sums}
    sets = [of for of, published in expected.items() if published == digest.hexdigest()]
    if sets and (name in sets or name not in _PUBLISHED):
        return Check(str(file), True, f"{size} bytes, the MD5 published for {sets[0]}")
    if name in expected:
        return Check(str(file), False, f"{size} bytes, another MD5 than the published one")
    return Check(str(file), True, f"{size} bytes, no checksum known")


def _failed(file: str, error: DataError) -> Check:
    return Check(file, False, str(error).removeprefix(f"{file}: "))


def verify_text(checks: list[Check]) -> str:
    """`verify()` as lines: ok or WRONG, the file, the finding.

    Example:
        >>> print(verify_text([Check("train.csv", False, "ends within a row")]))
        WRONG    train.csv  ends within a row
    """
    rows = [(check.ok, printable(check.subject), printable(check.finding)) for check in checks]
    width = max((len(subject) for _, subject, _ in rows), default=0)
    return "\n".join(
        f"{'ok' if ok else 'WRONG':<7}  {subject:<{width}}  {finding}"
        for ok, subject, finding in rows
    )
