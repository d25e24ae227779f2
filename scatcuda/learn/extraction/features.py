"""The features of a whole data set in files: sharded safetensors or Parquet, resumable at any
moment.

    directory/manifest.json                        what the rows are, and how many
    directory/train-00000-of-00012.safetensors     x [rows, d], y [rows], index [rows]
    directory/train-00000-of-00012.parquet         the same as columns, the names of image files,
                                                   and in the schema what the features are

The manifest notes the content of the images, all of it (`identity`): those of others are refused,
nothing is mixed. Every shard is written whole or not at all, and notes which manifest it belongs to
and the checksum of its rows. A run makes the shards that are not there, or damaged; processes that
``torchrun`` starts deal them out. Whoever is killed loses the shard it was at.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor

from ...arguments import integer
from ...data import DataError, Dataset
from ...data.folders.files import Files
from ...environment import process
from ...files import make_folder, open_tensors, sweep, write_tensors, write_text
from ...files.budget import ask
from ...files.reading import read_json
from ...files.tables import Columns, arrow, open_columns, record_batch, spelt, write_batches
from ...terminal import Bar, wanted
from ...typing import FileFormat
from ..experiments.identity import Watch, difference, identity
from .description import of_transformer
from .shard import Rows
from .transformer import ScatteringTransformer

__all__ = ["MANIFEST", "extract", "files_of", "load_features", "read_manifest", "texts_of"]

MANIFEST = "manifest.json"
_FORMAT = "scatcuda features 3"
_DTYPES = {"float16": "F16", "float32": "F32", "float64": "F64"}  # safetensors' names
_SHARD = 1 << 28  # bytes of a file, unless the user counts rows: writing takes three times as much


class _Part(NamedTuple):
    """One file: rows `start` to `stop` of a split."""

    split: str
    number: int
    of: int
    start: int
    stop: int
    files: str  # FileFormat

    @property
    def name(self) -> str:
        return f"{self.split}-{self.number:05d}-of-{self.of:05d}.{self.files}"


def extract(
    dataset: Dataset[Any],
    transformer: ScatteringTransformer,
    directory: str | os.PathLike[str],
    *,
    shard_size: int | None = None,
    progress: bool | None = None,
    format: FileFormat = "safetensors",
) -> int:
    """Write the features of a data set's training and test images.

    Args:
        dataset: images, in memory or lazy, and labels.
        transformer: is fitted to the training images; its ``dtype`` is that of the files.
        directory: made if need be; one that holds the features of the same is completed. Where
            image files go by other names now, Parquet files have these.
        shard_size: rows of a file; None: as many as 256 MiB hold.
        progress: a bar on stderr, with tqdm; None: if stderr is a terminal.
        format: of the files. ``"parquet"``: a column ``x`` of fixed-size lists, ``y`` and
            ``index``; ``name``, where images are in files; in the metadata of the schema
            ``transform``, ``arguments`` and ``meta`` as JSON, ``version`` and the names of the
            ``classes``.
    Returns: The number of files written now; 0 if all were there.
    Raises:
        TypeError, ValueError: ``shard_size`` is no positive int, there is no such ``format``;
            ``directory`` holds others.
        DataError, OSError: a file cannot be read or written.
        ImportError: PyArrow, which writes Parquet, is not installed.
    Example:
        >>> import tempfile
        >>> from scatcuda.data import load
        >>> transformer = ScatteringTransformer(J=2, pool="mean")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     written = extract(load("digits"), transformer, folder, shard_size=500)
        ...     x, y = load_features(folder, "test")
        >>> written, x.shape, y.dtype
        (4, torch.Size([899, 81]), torch.int64)
    """
    shown = wanted(progress)
    rank, size = process()
    if shard_size is not None:
        shard_size = integer("extract", "shard_size", shard_size, 1)
    if format not in get_args(FileFormat):
        raise ValueError(f"extract: format must be one of {get_args(FileFormat)}; got {format!r}")
    folder = Path(directory)
    if format == "parquet":
        arrow()
    transformer.fit(dataset.train_x)
    if shard_size is None:
        row = transformer.n_features_out * getattr(torch, transformer.dtype).itemsize
        shard_size = max(1, _SHARD // row)
    watch = Watch(dataset)
    manifest = _begin(folder, _manifest(dataset, transformer, shard_size, format))
    digest = _digest(manifest)
    sweep(folder, {MANIFEST, *(part.name for part in _parts(manifest))})

    mine = [part for i, part in enumerate(_parts(manifest)) if i % size == rank]
    missing, renamed = [], 0
    for part in mine:
        kept = _kept(folder, part, manifest, digest)
        if kept is None:
            missing.append(part)
        elif kept[1] != (names := _names(dataset, part)):
            _write(folder, part, kept[0], names, dataset, transformer, digest)
            renamed += 1
    rows = sum(part.stop - part.start for part in mine)
    done = rows - sum(part.stop - part.start for part in missing)
    with Bar(rows, "image", done=done, shown=shown) as bar:
        for part in missing:
            made = _computed(part, dataset, transformer, watch, bar.update)
            _write(folder, part, made, _names(dataset, part), dataset, transformer, digest)
    return len(missing) + renamed


def _names(dataset: Dataset[Any], part: _Part) -> list[str | None] | None:
    """Those of the image files, which Parquet keeps."""
    x, _ = _split(dataset, part.split)
    named = part.files == "parquet" and isinstance(x, Files)
    return [spelt(name) for name in x.files[part.start : part.stop]] if named else None


def _computed(
    part: _Part,
    dataset: Dataset[Any],
    transformer: ScatteringTransformer,
    watch: Watch,
    advance: Callable[[int], Any],
) -> dict[str, Tensor]:
    """The rows of a file."""
    x, y = _split(dataset, part.split)
    index = torch.arange(part.start, part.stop)
    images = transformer._images(Rows(x, index))
    try:
        features = transformer._features(images, 0, len(index), advance)
    except ValueError as error:  # of an image: say of which split
        raise ValueError(f"{part.split}: {error}") from None
    watch.check(part.split, part.start, part.stop)
    return {"x": features, "y": y[index], "index": index}


def _write(
    folder: Path,
    part: _Part,
    rows: dict[str, Tensor],
    names: list[str | None] | None,
    dataset: Dataset[Any],
    transformer: ScatteringTransformer,
    digest: str,
) -> None:
    # One entry: safetensors writes several in any order, and the same features are the same bytes.
    noted = {"scatcuda": f"{digest} {_checksum(rows)}"}
    if part.files == "safetensors":
        write_tensors(folder / part.name, rows, noted)
        return
    about = {**of_transformer(transformer), "classes": json.dumps(list(dataset.classes))}
    named = {} if names is None else {"name": names}
    batch = record_batch({**rows, **named}, {**noted, **about})
    write_batches(folder / part.name, batch.schema, [batch])


def load_features(
    directory: str | os.PathLike[str], split: Literal["train", "test"] = "train"
) -> tuple[Tensor, Tensor]:
    """Read what `extract` wrote.

    Args:
        directory: of the features.
        split: ``"train"`` or ``"test"``.
    Returns: Features ``[n, d]`` in the files' dtype, and labels ``[n]``, int64, in the order of the
        data set; -1 for images without labels.
    Raises:
        DataError: there are none, a file is missing, damaged or of other features.
        ValueError: there is no such split.
    Example:
        >>> load_features("nowhere")
        Traceback (most recent call last):
        scatcuda.data.DataError: nowhere/manifest.json: no such file; scatcuda features writes it
    """
    folder = Path(directory)
    manifest = read_manifest(folder)
    if split not in manifest["splits"]:
        raise ValueError(f"split must be one of {list(manifest['splits'])}, got {split!r}")
    n, count = manifest["splits"][split]["rows"], _count(manifest, split)
    # A manifest can claim any number of files: no more are asked for than there are, and one.
    there = {path.name for path in folder.glob(f"{split}-*-of-{count:05d}.{_files(manifest)}")}
    absent = next((p.name for p in _parts(manifest, split) if p.name not in there), None)
    if absent:
        raise DataError(
            f"{folder}: {count - len(there)} of {count} files are missing, the first is {absent}; "
            "run the extraction again to complete them"
        )
    digest = _digest(manifest)
    stored = 0
    for part in _parts(manifest, split):  # before any memory is asked for: rows that are in files
        with _shard(folder, part, manifest, digest):
            stored += (folder / part.name).stat().st_blocks * 512
    dtype = getattr(torch, manifest["dtype"])
    needed = n * (manifest["columns"] * dtype.itemsize + torch.int64.itemsize)
    if needed > stored:  # what takes as much on the disk is no mere claim
        ask(str(folder), needed)
    x = torch.empty(n, manifest["columns"], dtype=dtype)
    y = torch.empty(n, dtype=torch.int64)
    for part in _parts(manifest, split):
        with _shard(folder, part, manifest, digest) as file:
            rows = _rows(folder / part.name, file, part, len(manifest["classes"]))
            x[part.start : part.stop], y[part.start : part.stop] = rows["x"], rows["y"]
    return x, y


# --- the manifest -----------------------------------------------------------------------------


def _manifest(
    dataset: Dataset[Any], transformer: ScatteringTransformer, shard_size: int, files: FileFormat
) -> dict[str, Any]:
    """What the rows are: all that decides a single bit of them."""
    how = transformer.get_params()
    for name in ("device", "batch_size"):  # change no row
        del how[name]
    # Folders of before do not name these.
    for name, default in (
        ("Q", None), ("normalise", False), ("renormalise", False), ("scales", 1), ("views", False),
    ):  # fmt: skip
        if how[name] == default:
            del how[name]
    if not isinstance(how["filters"], str):
        raise TypeError("extract: filters must be named, a bank of your own has no name")
    for split in ("train", "test"):
        y = _split(dataset, split)[1]
        if len(y) and not _of_classes(y, len(dataset.classes)):
            raise ValueError(f"extract: {split} labels must be of {len(dataset.classes)} classes")
    what = identity(dataset)
    return {
        "format": _FORMAT, "data": dataset.name, "classes": what.pop("classes"),
        "transformer": {**how, "shape": list(transformer.shape_)},
        "columns": transformer.n_features_out,
        "dtype": transformer.dtype, "shard_size": shard_size, "splits": what,
        **({} if files == _USUAL else {"files": files}),
    }  # fmt: skip


def _begin(folder: Path, manifest: dict[str, Any]) -> dict[str, Any]:
    """Write the manifest, or see that it is of the same as the one that is there; which it gives.

    A folder without a single file of features takes any: nothing is lost.
    """
    manifest = json.loads(json.dumps(manifest))
    wrong = _wrong(manifest)
    if wrong:
        raise ValueError(f"extract: {wrong}")
    make_folder(folder)
    if (folder / MANIFEST).exists():
        there = read_manifest(folder)
        changed = _changed(there, manifest)
        if not changed:
            return there
        if any(path for kind in get_args(FileFormat) for path in folder.glob(f"*.{kind}")):
            raise ValueError(
                f"{folder} holds other features: {changed}; they are kept: take another directory"
            )
    write_text(folder / MANIFEST, json.dumps(manifest, indent=1) + "\n")
    return manifest


def _changed(there: dict[str, Any], manifest: dict[str, Any]) -> str:
    """How two manifests differ; the name of the data, which tells nothing of them, may."""
    if (before := _files(there)) != (now := _files(manifest)):
        return f"its files are {before}, now {now}"
    for name, value in manifest.items():
        if there[name] != value and name not in ("data", "classes", "splits"):
            return f"{name} is {there[name]!r}, now {value!r}"
    sets = [{"classes": m["classes"], **m["splits"]} for m in (there, manifest)]
    return difference(*sets)


def read_manifest(folder: Path) -> dict[str, Any]:
    """What a directory of features says of itself, which is checked.

    Raises: DataError: it says nothing, or something else.
    """
    path = folder / MANIFEST
    if not path.exists():
        raise DataError(f"{path}: no such file; scatcuda features writes it")
    try:
        manifest = read_json(path)
    except DataError as error:
        raise DataError(f"{error}; {_REMEDY}") from None
    wrong = _wrong(manifest)
    if wrong:
        raise DataError(f"{path}: {wrong}; {_REMEDY}")
    return manifest


def _wrong(manifest: Any) -> str:
    """What is wrong with a manifest, whose every field is another's word; nothing if none is."""
    if not isinstance(manifest, dict):
        return f"expected an object, got {type(manifest).__name__}"
    if manifest.get("format") != _FORMAT:
        return f"expected {_FORMAT!r}, got {_short(manifest.get('format'))}"
    if manifest.keys() | {"files"} != _FIELDS.keys():  # manifests of before do not name these
        return f"expected the fields {', '.join(_FIELDS)}, got {_short(', '.join(manifest))}"
    for name, (right, words) in _FIELDS.items():
        if name in manifest and not right(manifest[name]):
            return f"{name} must be {words}, got {_short(manifest[name])}"
    for split, about in manifest["splits"].items():
        if not isinstance(about, dict) or about.keys() != _SPLIT.keys():
            return f"splits: {split} must have {', '.join(_SPLIT)}, got {_short(about)}"
        for name, (right, words) in _SPLIT.items():
            if not right(about[name]):
                return f"splits: {name} of {split} must be {words}, got {_short(about[name])}"
    if manifest["transformer"].get("dtype") != manifest["dtype"]:
        return f"dtype is {manifest['dtype']!r}, but not the transformer's"
    return ""


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}…"


def _whole_number(value: Any) -> bool:
    return type(value) is int and 1 <= value < 2**63


def _list_of(kind: type, least: int = 1) -> Callable[[Any], bool]:
    return lambda value: (
        isinstance(value, list) and len(value) >= least and all(type(v) is kind for v in value)
    )


def _text(value: Any) -> bool:
    return isinstance(value, str)


_AGAIN = "run the extraction again, which makes it anew"
_REMEDY = "extract them anew, into another directory"
_USUAL: FileFormat = "safetensors"
_SPLITS = ({"train"}, {"test"}, {"train", "test"})
_FIELDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "format": (_text, "text"),
    "data": (_text, "text"),
    "classes": (_list_of(str, 0), "a list of names"),
    "transformer": (lambda value: isinstance(value, dict), "an object"),
    "columns": (_whole_number, "an integer from 1"),
    "dtype": (lambda value: _text(value) and value in _DTYPES, f"one of {', '.join(_DTYPES)}"),
    "shard_size": (_whole_number, "an integer from 1"),
    "splits": (
        lambda value: isinstance(value, dict) and set(value) in _SPLITS,
        "an object of train and test",
    ),
    "files": (
        lambda value: _text(value) and value in get_args(FileFormat),
        f"one of {', '.join(get_args(FileFormat))}",
    ),
}
_SPLIT: dict[str, tuple[Callable[[Any], bool], str]] = {
    "rows": (_whole_number, "an integer from 1"),
    "shape": (_list_of(int), "a list of integers"),
    "images": (_text, "text"),
    "labels": (_text, "text"),
}


def _digest(manifest: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def _files(manifest: dict[str, Any]) -> str:
    """Of which format they are."""
    return str(manifest.get("files", _USUAL))


def _count(manifest: dict[str, Any], split: str) -> int:
    """How many files a split has."""
    return -(-manifest["splits"][split]["rows"] // manifest["shard_size"])


def _parts(manifest: dict[str, Any], *splits: str) -> Iterator[_Part]:
    """The files there are to be, of some splits or of all."""
    size = manifest["shard_size"]
    for split in splits or manifest["splits"]:
        rows, count = manifest["splits"][split]["rows"], _count(manifest, split)
        for number in range(count):
            start = number * size
            stop = min(start + size, rows)
            yield _Part(split, number, count, start, stop, _files(manifest))


def files_of(folder: Path, manifest: dict[str, Any], split: str) -> list[Path]:
    """The files of a split, and no others that lie beside them."""
    return [folder / part.name for part in _parts(manifest, split)]


def _split(dataset: Dataset[Any], split: str) -> tuple[Any, Tensor]:
    if split == "train":
        return dataset.train_x, dataset.train_y
    return dataset.test_x, dataset.test_y


# --- the files --------------------------------------------------------------------------------


_OPENED: dict[str, Callable[..., Any]] = {"safetensors": open_tensors, "parquet": open_columns}


@contextmanager
def _shard(folder: Path, part: _Part, manifest: dict[str, Any], digest: str) -> Iterator[Any]:
    """An open file that its header says to hold these rows of these features.

    Raises: DataError: it is missing, damaged, or of others.
    """
    path, rows = folder / part.name, part.stop - part.start
    expected = {
        "x": (_DTYPES[manifest["dtype"]], [rows, manifest["columns"]]),
        "y": ("I64", [rows]),
        "index": ("I64", [rows]),
    }
    try:
        with _OPENED[part.files](path) as file:
            slices = {name: file.get_slice(name) for name in file.keys()}
            found = {name: (s.get_dtype(), s.get_shape()) for name, s in slices.items()}
            if _noted(file)[0] != digest or found != expected:
                raise DataError(f"{path}: not a file of these features")
            yield file
    except DataError as error:
        raise DataError(f"{error}; {_AGAIN}") from None


def _rows(path: Path, file: Any, part: _Part, classes: int) -> dict[str, Tensor]:
    """The rows in an open file, as they were written: whoever altered it can write a checksum, but
    no row or class that there is not."""
    tensors = {name: file.get_tensor(name) for name in ("x", "y", "index")}
    if _noted(file)[1] != _checksum(tensors):
        raise DataError(f"{path}: damaged, its checksum is another")
    right = torch.equal(tensors["index"], torch.arange(part.start, part.stop))
    if not right or not _of_classes(tensors["y"], classes):
        raise DataError(f"{path}: not a file of these features")
    return tensors


def _kept(
    folder: Path, part: _Part, manifest: dict[str, Any], digest: str
) -> tuple[dict[str, Tensor], list[str | None] | None] | None:
    """The rows of a file and the names in it; None if it is not there, damaged, or of others."""
    try:
        with _shard(folder, part, manifest, digest) as file:
            rows = _rows(folder / part.name, file, part, len(manifest["classes"]))
            return rows, texts_of(file)
    except DataError:
        return None


def texts_of(file: Any) -> list[str | None] | None:
    """The names of image files in an open file of features."""
    named = isinstance(file, Columns) and "name" in file.others()
    return file.texts("name") if named else None


def _noted(file: Any) -> tuple[str, str]:
    """Which manifest an open file says to belong to, and the checksum of its rows."""
    digest, _, checksum = (file.metadata() or {}).get("scatcuda", "").partition(" ")
    return digest, checksum


def _checksum(tensors: dict[str, Tensor]) -> str:
    """CRC-32: against accidents, and cheap beside scattering."""
    crc = 0
    for name in ("x", "y", "index"):
        content: Any = tensors[name].contiguous().view(torch.uint8).numpy()
        crc = zlib.crc32(content, crc)
    return f"{crc:08x}"


def _of_classes(y: Tensor, classes: int) -> bool:
    """Whether labels are of so many classes; without any, all are -1."""
    least, most = int(y.min()), int(y.max())
    return 0 <= least <= most < classes if classes else least == most == -1
