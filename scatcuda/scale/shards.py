"""Archives of images, WebDataset's, to files of features: one for each, whole or not at all.

    train-000042.tar  ->  samples()  ->  ScatteringMapper  ->  train-000042.parquet

One shard depends on no other: any engine, or none, maps `write_shard` over those that `missing`
finds, and whoever was interrupted does so again. Archives are read as `scatcuda.data` does, where
they lie, and trusted as little.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..data.folders.archive import opened_archive
from ..data.folders.tree import is_image
from ..files import make_folder, sweep
from ..files.error import DataError
from ..files.reading import opened, parsed_json
from ..files.tables import arrow, open_columns, record_batch, write_batches
from .mapper import ScatteringMapper

_BLOCK = 1 << 20
_SOURCE = "source"  # in the metadata: of which archive these are
_KEY, _LABEL = "key", "label"


class Written(NamedTuple):
    """What `write_shard` did.

    Example:
        >>> Written("features/0.parquet", rows=1000, failed=1, error="").failed
        1
    """

    path: str  #: of the file, none if the archive could not be read
    rows: int
    failed: int  #: of them, or left out
    error: str  #: what was wrong with the archive, mostly nothing


def samples(path: str | os.PathLike[str]) -> Iterator[dict[str, Any]]:
    """The images in an archive with their names and labels, in the order of the names.

    Args:
        path: a ``.tar``, ``.tar.gz`` or ``.zip`` of images or ``.npy`` arrays. Of WebDataset's
            samples ``000042.jpg`` the label is in ``000042.cls``, or in ``000042.json`` under
            "label", "cls" or "class".
    Yields: ``{"key": "000042", "image": bytes, "label": text or None}``; ``image`` is a DataError
        where the bytes cannot be read.
    Raises: DataError: it is no archive, damaged, or has no images.
    Example:
        >>> list(samples("nowhere.tar"))
        Traceback (most recent call last):
        scatcuda.data.DataError: nowhere.tar: no such file
    """
    tree = opened_archive(path, lambda name: is_image(name) or name.lower().endswith(".npy"))
    if not tree.images:
        raise DataError(f"{os.fspath(path)}: no images and no arrays in it")
    for name in tree.images:
        try:
            image: Any = tree.source(name).read()
        except DataError as error:
            image = error
        yield {
            "key": re.sub(r"\.[^./]*$", "", name),
            "image": image,
            "label": tree.labels.get(name),
        }


def write_shard(
    path: str | os.PathLike[str], mapper: ScatteringMapper, directory: str | os.PathLike[str]
) -> Written:
    """Write the features of an archive's images to a Parquet file of its name.

    Its columns are ``key``, ``label`` (text, or nothing), the mapper's features as fixed-size lists
    and, with ``on_error="record"``, its errors; the metadata of its schema say what the features
    are, and of which archive: its name, its size and a hash of its bytes. `read_features` reads it,
    and so does everything that reads Parquet.

    Args:
        path: see `samples`.
        mapper: of a column ``"image"``. With ``on_error="stop"`` an image that cannot be read is an
            error, as is such an archive; otherwise both are noted and no error.
        directory: of the features; made if need be.
    Returns: `Written`.
    Raises:
        DataError, ValueError: something cannot be read, and ``on_error`` is ``"stop"``.
        OSError: the file cannot be written.
        ImportError: PyArrow is not installed.
    Example:
        >>> mapper = ScatteringMapper("Scattering2D", {"J": 2, "shape": (8, 8)}, on_error="record")
        >>> write_shard("nowhere.tar", mapper, "features").error
        'nowhere.tar: no such file'
    """
    arrow()
    if mapper.column != "image":
        raise ValueError(f"write_shard: the mapper's column must be 'image'; got {mapper.column!r}")
    folder, name = Path(directory), os.fspath(path)
    target = folder / f"{_stem(path)}.parquet"
    failed = 0
    try:
        noted = {**mapper.describe(), _SOURCE: json.dumps(_identity(name))}
        rows = samples(name)
        first = _batch(rows, mapper)
        assert first is not None  # there is an image, or samples() would have said so
        make_folder(folder)
        sweep(folder, {target.name})

        def batches(batch: _Batch | None) -> Iterator[Any]:
            nonlocal failed
            while batch is not None:
                failed += batch.failed
                yield batch.columns
                batch = _batch(rows, mapper)

        schema = first.columns.schema.with_metadata(
            {key.encode(): text.encode() for key, text in noted.items()}
        )
        count = write_batches(target, schema, batches(first))
    except DataError as error:
        if mapper.on_error == "stop":
            raise
        return Written("", 0, 0, str(error))
    return Written(os.fspath(target), count, failed, "")


def missing(
    paths: Iterable[str | os.PathLike[str]],
    mapper: ScatteringMapper,
    directory: str | os.PathLike[str],
    *,
    check: bool = False,
) -> list[str]:
    """Which archives have no features yet: what is left of a run that was interrupted.

    Args:
        paths: the archives.
        mapper: that makes the features.
        directory: of the features.
        check: read every file of features, whose pages have checksums, and every archive, whose
            content may have changed and not its size. Otherwise only the ends of files are read.
    Returns: Those of `paths` to be done, in their order.
    Raises: ValueError: two archives have one name; or the directory has features of another kind,
        which are kept.
    Example:
        >>> mapper = ScatteringMapper("Scattering2D", {"J": 2, "shape": (8, 8)})
        >>> missing(["b.tar", "a.tar"], mapper, "nowhere")
        ['b.tar', 'a.tar']
    """
    names = [os.fspath(path) for path in paths]
    twice = [stem for stem, count in Counter(map(_stem, names)).items() if count > 1]
    if twice:
        raise ValueError(f"missing: two archives have the name {twice[0]}: their files would, too")
    wanted = mapper.describe()
    return [name for name in names if not _is_done(name, Path(directory), wanted, check)]


def _is_done(name: str, folder: Path, wanted: dict[str, str], check: bool) -> bool:
    target = folder / f"{_stem(name)}.parquet"
    if not target.exists():
        return False
    try:
        with open_columns(target) as file:
            found = file.metadata()
            source = parsed_json(os.fspath(target), found.pop(_SOURCE, "{}"))
            other = next((key for key in wanted if found.get(key) != wanted[key]), "")
            if not other and check:
                for column in file.keys():
                    file.get_tensor(column)
                for column in file.others():
                    file.texts(column)
    except DataError:
        return False
    if other:
        raise ValueError(
            f"missing: {target} holds other features: {other} is another; they are kept: take "
            "another directory"
        )
    if not isinstance(source, dict):
        return False
    try:
        if check:
            return source == _identity(name)
        return source.get("bytes") == os.stat(name).st_size
    except (DataError, OSError):
        return False


def _stem(path: str | os.PathLike[str]) -> str:
    return re.sub(r"(\.tar)?\.\w+$", "", os.path.basename(os.fspath(path)))


def _identity(name: str) -> dict[str, Any]:
    """What an archive is: its name, its size, its content."""
    words = hashlib.blake2b(digest_size=16)
    with opened(name, unpack=False) as file:
        size = 0
        while block := file.read(_BLOCK):
            words.update(block)
            size += len(block)
    return {"name": os.path.basename(name), "bytes": size, "hash": words.hexdigest()}


class _Batch(NamedTuple):
    columns: Any  # pyarrow.RecordBatch
    failed: int


def _batch(rows: Iterator[dict[str, Any]], mapper: ScatteringMapper) -> _Batch | None:
    """The next rows with their features, one group of rows of the file."""
    some = list(islice(rows, mapper.batch_size))
    if not some:
        return None
    found = mapper({name: [row[name] for row in some] for name in some[0]})
    left = len(found[mapper.output])
    failed = len(some) - left
    columns = {_KEY: found[_KEY], _LABEL: found[_LABEL], mapper.output: found[mapper.output]}
    if mapper.on_error == "record":
        columns[mapper.error] = found[mapper.error].tolist()
        failed = int(np.count_nonzero(found[mapper.error] != ""))
    return _Batch(record_batch(columns), failed)
