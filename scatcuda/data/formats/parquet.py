"""Images in Parquet files, as Hugging Face keeps them: `train-00000-of-00001.parquet`.

parquet_dataset() -> Dataset of `Images` [n, 3, size, size] uint8

PyArrow reads the tables. A row's image, a whole JPEG or PNG, is unpacked when it is asked for, with
its neighbours of the same group of rows, and these are kept for a while.
"""

from __future__ import annotations

import json
import os
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

import numpy as np
import torch

from ...arguments import integer
from ...files.budget import ask
from ...files.error import DataError
from ...files.tables import open_parquet
from ...typing import OnError
from ..dataset import Dataset, assemble
from ..folders.images import USUAL, Images, common_size
from ..labels import Share, labelled

if TYPE_CHECKING:
    import pyarrow.parquet

_SHARD = re.compile(
    r"(?P<part>train|test|validation|valid|val|dev)"
    r"([-_.](?P<number>\d+)(-of-(?P<of>\d+))?.*)?\.parquet"
)
_FOLDERS = ("", "data")
_VAL = ("validation", "valid", "val", "dev")
_IMAGES, _LABELS = ("image", "img", "images"), ("label", "labels", "fine_label")
_KEPT = 1 << 28  # bytes of unpacked rows, of all files of a data set
_STEP = 16  # rows unpacked at a time: a dictionary can make many large ones of few bytes
_LABEL_STEP = 1 << 12
_ROW = 200  # bytes of memory that a row takes, without its image
_SHARDS = 1 << 17


def parquet_files(path: Path) -> dict[str, list[Path]]:
    """The files at a path by their part, `train`, `test`, … in order; one file alone is `train`."""
    if path.suffix == ".parquet" and path.is_file():
        return {"train": [path]}
    for folder in (path / name for name in _FOLDERS):
        found = {
            part: files
            for part in ("train", "test", *_VAL)
            if (files := sorted((folder / part).glob("*.parquet")))
        }
        for file in sorted(folder.glob("*.parquet")):
            if match := _SHARD.fullmatch(file.name):
                found.setdefault(match["part"], []).append(file)
        if "train" in found:
            return found
    return {}


def is_parquet(path: Path) -> bool:
    """Whether a path is a Parquet file or has those of training images."""
    return bool(parquet_files(path))


def parquet_dataset(
    path: str | os.PathLike[str],
    *,
    size: int = 0,
    crop: float = 0.875,
    grey: bool = False,
    image: str = "",
    label: str = "",
    test_fraction: float = 0.0,
    seed: int = 0,
    on_error: OnError = "stop",
) -> Dataset[Images]:
    """Find the images in Parquet files, as Hugging Face writes them.

    In the directory, or in `data` in it, are `train-00000-of-00001.parquet` and so on or files in
    `train`; `test-…` or otherwise `validation-…`. A column, `image` or `img`, has the
    bytes of encoded images, or pairs of such bytes and a path; another, `label`, `labels` or
    `fine_label`, integers, of which the files' metadata say the names of the classes, or the names
    themselves.

    Args:
        path: the directory, or one file.
        size: side of the images; 0: theirs, if all are of one size, not cropped, and 224 if not.
        crop, grey: see `Images`.
        image, label: other names of the columns.
        test_fraction: the share of each class for testing, below 1, where there is no test set.
        seed: decides which images are set aside.
        on_error: what an image that cannot be read does: ``"stop"``, when it is asked for, or
            ``"skip"``: every image is decoded once, and `Dataset.skipped` lists those left out.
    Returns: A `Dataset` of `Images` ``[n, 3, size, size]``, ``[n, size, size]`` if grey.
    Raises:
        DataError: a file is missing or damaged, or there are no such columns.
        ImportError: PyArrow or Pillow is not installed.
        TypeError, ValueError: an argument is not as above; `test_fraction` where there is a test
            set.
    Example:
        >>> parquet_dataset("nowhere")
        Traceback (most recent call last):
        scatcuda.data.DataError: nowhere: no such file, nor a directory with train-*.parquet
    """
    share, name = Share("parquet_dataset", test_fraction, seed), os.fspath(path)
    size = integer("parquet_dataset", "size", size, 0)
    Images([], size or USUAL, crop=crop, grey=grey)  # raises for what is wrong with them
    if on_error not in get_args(OnError):
        raise ValueError(f"parquet_dataset: on_error must be stop or skip, got {on_error!r}")
    files = parquet_files(Path(path))
    if not files:
        raise DataError(f"{name}: no such file, nor a directory with train-*.parquet")
    tests = next((files[part] for part in ("test", *_VAL) if part in files), [])
    share.check(name, bool(tests))
    kept = _Kept()
    train = _Part(files["train"], image, label, kept)
    test = _Part(tests, image, label, kept) if tests else None
    spare = next((files[part] for part in _VAL if part in files), [])
    if test and spare and spare != tests and (test.y == -1).all():  # of a test set kept secret
        test = _Part(spare, image, label, kept)
    parts = [train, *([test] if test else [])]
    skipped = [
        image for part in parts if on_error == "skip" for image in part.skip(size or USUAL, crop)
    ]
    titles = [f"{part.column} of {part.files[0]}" for part in parts]
    labels, names = labelled(name, {t: part.y for t, part in zip(titles, parts, strict=True)})
    if train.names is not None:
        names = train.names
        if any(part.names != names for part in parts):
            raise DataError(f"{name}: training and test images have other names of classes")
        if names == () or not all(0 <= y.min() and y.max() < len(names) for y in labels):
            raise DataError(f"{name}: labels that are not from 0 to {len(names) - 1}")
    # In the place of images their numbers: what is set aside is not unpacked for it.
    indices = [(torch.arange(len(y)), y) for y in labels]
    both = indices if test else share.of(name, *indices[0])
    found = assemble(name, Path(path).resolve().stem, both[0], both[1], names)
    sources = [part.rows for part in (train, test or train)]
    chosen = [
        [rows[i] for i in index.tolist()]
        for rows, index in zip(sources, (found.train_x, found.test_x), strict=True)
    ]
    side = size or common_size(chosen[0] + chosen[1]) or USUAL
    x = [Images(rows, side, crop=crop, grey=grey) for rows in chosen]
    return Dataset(
        found.name, x[0], found.train_y, x[1], found.test_y, found.classes, skipped=tuple(skipped)
    )


class _Kept:
    """Rows that were unpacked lately, up to a number of bytes; of no other process."""

    def __init__(self) -> None:
        self._groups: OrderedDict[object, list[bytes | None]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return _Kept, ()

    def rows(self, key: object, unpack: Callable[[], list[bytes | None]]) -> list[bytes | None]:
        """Those of a group of rows, unpacked by one thread at a time."""
        with self._lock:
            if key in self._groups:
                self._groups.move_to_end(key)
                return self._groups[key]
            rows = self._groups[key] = unpack()
            self._bytes += _size(rows)
            while self._bytes > _KEPT and len(self._groups) > 1:
                self._bytes -= _size(self._groups.popitem(last=False)[1])
            return rows


def _size(rows: list[bytes | None]) -> int:
    return sum(len(row or b"") for row in rows)


class _Row(NamedTuple):
    """An image in a table, a `Source`."""

    table: _Table
    group: int
    place: int  # in its group
    number: int  # in the file, from 1 on

    @property
    def name(self) -> str:
        return f"{self.table.file}: row {self.number}"

    def read(self) -> bytes:
        rows = self.table.unpacked(self.group)
        content = rows[self.place] if self.place < len(rows) else None
        if content is None:
            raise DataError(f"{self.name}: it has no bytes of an image")
        return content

    def state(self) -> tuple[int, int, int]:
        return self.table.state()


class _Table:
    """One file: where its images are, and its labels."""

    def __init__(self, file: Path, image: str, label: str, kept: _Kept) -> None:
        self.file, self._kept = os.fspath(file), kept
        with open_parquet(self.file) as parquet:
            about = parquet.metadata
            counts = [about.row_group(i).num_rows for i in range(about.num_row_groups)]
            if min(counts, default=0) < 0:
                raise DataError(f"{self.file}: a group of {min(counts)} rows")
            ask(self.file, _ROW * sum(counts))
            schema = parquet.schema_arrow
            features = _features(schema.metadata)
            self._image = _column(self.file, schema, features, image, "Image", _IMAGES)
            self.label = _column(self.file, schema, features, label, "ClassLabel", _LABELS)
            self._leaf = _leaf(self.file, self._image, schema.field(self._image).type)
            self.names = _names(self.file, features.get(self.label))
            self.y = _labels(self.file, parquet, self.label)
        if len(self.y) != sum(counts):
            raise DataError(f"{self.file}: {len(self.y)} labels for {sum(counts)} images")
        self.rows: list[_Row] = []
        for group, count in enumerate(counts):
            first = len(self.rows) + 1
            self.rows += [_Row(self, group, place, first + place) for place in range(count)]

    def state(self) -> tuple[int, int, int]:
        """Size, time and number of the file."""
        try:
            found = os.stat(self.file)
        except OSError as error:
            raise DataError(f"{self.file}: cannot be read ({error.strerror})") from None
        return found.st_size, found.st_mtime_ns, found.st_ino

    def unpacked(self, group: int) -> list[bytes | None]:
        """The images of a group of rows, encoded."""
        return self._kept.rows((self.file, group, self.state()), lambda: self._unpack(group))

    def _unpack(self, group: int) -> list[bytes | None]:
        rows: list[bytes | None] = []
        taken = 0
        with open_parquet(self.file) as parquet:
            for batch in _batches(self.file, parquet, [group], self._leaf, _STEP):
                column = batch.column(0)
                column = column.field("bytes") if "." in self._leaf else column
                taken += column.nbytes
                ask(self.file, 3 * taken)  # PyArrow's, which keeps what it frees, and Python's
                rows += column.to_pylist()
        return rows


class _Part:
    """The files of the training or the test images together."""

    def __init__(self, files: Sequence[Path], image: str, label: str, kept: _Kept) -> None:
        _check_complete(files)
        tables = [_Table(file, image, label, kept) for file in files]
        self.files, self.names = files, tables[0].names
        self.column = tables[0].label
        for table in tables:
            if table.names != self.names or table.y.dtype.kind != tables[0].y.dtype.kind:
                raise DataError(f"{table.file}: its classes are others than {files[0]} has")
        self.y = np.concatenate([table.y for table in tables])
        self.rows = [row for table in tables for row in table.rows]
        if not self.rows:
            raise DataError(f"{files[0]}: it has no rows")

    def skip(self, size: int, crop: float) -> list[tuple[str, str]]:
        """Leave out the rows whose images cannot be read; their names and the reasons."""
        found = dict(Images(self.rows, size, crop=crop).damaged())
        whole = [row.name not in found for row in self.rows]
        self.rows = [row for row, good in zip(self.rows, whole, strict=True) if good]
        self.y = self.y[whole]
        if not self.rows:
            raise DataError(f"{self.files[0]}: none of its images can be read")
        return [(name, str(error).removeprefix(f"{name}: ")) for name, error in found.items()]


def _check_complete(files: Sequence[Path]) -> None:
    """Whether of `train-00000-of-00003.parquet` all three are there."""
    found = [match for file in files if (match := _SHARD.fullmatch(file.name)) and match["of"]]
    for match, file in zip(found, files, strict=False):
        there = {int(other["number"]) for other in found if other["of"] == match["of"]}
        for number in range(min(int(match["of"]), _SHARDS)):
            if number not in there:
                name = f"{match['part']}-{number:05}-of-{match['of']}.parquet"
                raise DataError(f"{file.parent / name}: no such file, one of {match['of']} shards")


def _batches(
    file: str, parquet: pyarrow.parquet.ParquetFile, groups: list[int], leaf: str, rows: int
) -> Iterator[pyarrow.RecordBatch]:
    """A column of some groups of rows, `rows` at a time, unless the file claims too much."""
    about = parquet.metadata
    for group in groups:
        chunks = [about.row_group(group).column(i) for i in range(about.num_columns)]
        claims = [max(0, c.total_uncompressed_size) for c in chunks if c.path_in_schema == leaf]
        ask(file, sum(claims))
    yield from parquet.iter_batches(rows, row_groups=groups, columns=[leaf], use_threads=False)


def _features(metadata: dict[bytes, bytes] | None) -> dict[str, dict[str, Any]]:
    """What Hugging Face's library notes of the columns; nothing if it notes nothing."""
    try:
        features = json.loads((metadata or {})[b"huggingface"])["info"]["features"]
        return {name: how for name, how in features.items() if isinstance(how, dict)}
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        return {}


def _column(
    file: str, schema: pyarrow.Schema, features: dict[str, dict[str, Any]], wanted: str, kind: str,
    usual: Sequence[str],
) -> str:  # fmt: skip
    """The column that was asked for, or one with a usual name, or the first that is noted to be of
    that kind."""
    there = list(schema.names)
    noted = [name for name in there if features.get(name, {}).get("_type") == kind]
    tries = [wanted] if wanted else [*usual, *noted]
    found = next((name for name in tries if there.count(name) == 1), None)
    if found is None:
        raise DataError(
            f"{file}: no column {' or '.join(tries)}; it has {', '.join(there[:12]) or 'none'}"
        )
    return found


def _leaf(file: str, name: str, kind: pyarrow.DataType) -> str:
    """The path of the bytes of encoded images."""
    import pyarrow.types as types

    binary = (types.is_binary, types.is_large_binary)
    if any(is_binary(kind) for is_binary in binary):
        return name
    if types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        if any(is_binary(kind.field("bytes").type) for is_binary in binary):
            return f"{name}.bytes"
    raise DataError(f"{file}: column {name} is {str(kind)[:80]}, not bytes of encoded images")


def _names(file: str, how: dict[str, Any] | None) -> tuple[str, ...] | None:
    """The names of the classes that are noted of a column."""
    if how is None or how.get("_type") != "ClassLabel" or "names" not in how:
        return None
    names = how["names"]
    if (
        not isinstance(names, list)
        or not all(isinstance(name, str) and name.isprintable() for name in names)
        or not 1 < len(set(names)) == len(names)
    ):
        raise DataError(f"{file}: the names of its classes cannot be read")
    return tuple(names)


def _labels(file: str, parquet: pyarrow.parquet.ParquetFile, name: str) -> np.ndarray:
    """A column of integers or names."""
    import pyarrow.types as types

    kind = parquet.schema_arrow.field(name).type
    texts = types.is_string(kind) or types.is_large_string(kind)
    if not (texts or types.is_integer(kind)):
        raise DataError(f"{file}: column {name} is {str(kind)[:80]}, not integers or names")
    blocks: list[np.ndarray] = [np.empty(0, "U1" if texts else np.int64)]
    taken = longest = 0
    for batch in _batches(
        file, parquet, list(range(parquet.metadata.num_row_groups)), name, _LABEL_STEP
    ):
        column = batch.column(0)
        if column.null_count:
            raise DataError(f"{file}: column {name} has rows without a label")
        taken += len(column)
        if texts:
            values = column.to_pylist()
            longest = max(longest, *map(len, values), 0)
        ask(file, 2 * taken * max(8, 4 * longest))
        blocks.append(np.array(values) if texts else column.to_numpy().astype(np.int64))
    return np.concatenate(blocks)
