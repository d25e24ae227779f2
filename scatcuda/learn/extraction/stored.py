"""Features in files, read with what they are: those of `extract`, and of `scatcuda.scale`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...data import DataError
from ...files.budget import ask
from ...files.tables import Columns, open_columns
from .description import described, of_transformer
from .features import MANIFEST, files_of, load_features, read_manifest, texts_of
from .transformer import ScatteringTransformer

__all__ = ["Features", "read_features"]

_X = "features"  # the column of `scatcuda.scale`, unless it is said otherwise


class Features(NamedTuple):
    """What `read_features` returns.

    Example:
        >>> Features(np.zeros((3, 81)), {"y": np.arange(3)}, {"classes": ["a", "b"]}).x.shape
        (3, 81)
    """

    x: NDArray[Any]  #: ``[rows, d]``, as they are in the files
    columns: dict[str, Any]  #: arrays ``[rows]``, and lists of texts
    meta: dict[str, Any]  #: ``transform``, ``arguments``, ``meta``, ``version``, ``classes``


def read_features(
    path: str | os.PathLike[str],
    split: Literal["train", "test"] = "train",
    column: str | None = None,
) -> Features:
    """Read features with what they are.

    Args:
        path: a directory that ``scatcuda features`` wrote, of safetensors or Parquet; one Parquet
            file; or a directory of those that `scatcuda.scale.write_shard` wrote, in the order of
            their names.
        split: of ``scatcuda features``.
        column: the features, of a Parquet file; None: ``x`` or ``features``.
    Returns: `Features`. ``meta["meta"]`` is ``meta()`` of the transform, in lists. Of safetensors,
        whose files do not say it, ``version`` is missing.
    Raises:
        DataError: there are none, a file is damaged, or files are of different features.
        ImportError: PyArrow, which reads Parquet, is not installed.
    Example:
        >>> import tempfile
        >>> from scatcuda.data import load
        >>> from scatcuda.learn import extract
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = extract(load("digits"), ScatteringTransformer(2, pool="mean"), folder)
        ...     found = read_features(folder)
        >>> found.x.shape, found.columns["y"].shape, found.meta["meta"]["order"][:2]
        ((898, 81), (898,), [0, 1])
    """
    folder = Path(path)
    if (folder / MANIFEST).exists():
        x, y = load_features(folder, split)
        manifest = read_manifest(folder)
        files = files_of(folder, manifest, split)
        parquet = files[0].suffix == ".parquet"
        meta = _noted(files[0]) if parquet else _told(folder, manifest)
        meta["classes"] = manifest["classes"]
        columns: dict[str, Any] = {"y": y.numpy()}
        if parquet and None not in (names := [_names(file) for file in files]):
            columns["name"] = [name for some in names for name in some or ()]
        return Features(x.numpy(), columns, meta)
    files = [folder] if folder.is_file() else sorted(folder.glob("*.parquet"))
    if not files:
        raise DataError(f"{folder}: no such file, nor a directory with {MANIFEST} or *.parquet")
    return _of_shards(files, column)


def _noted(file: Path) -> dict[str, Any]:
    with open_columns(file) as found:
        return described(os.fspath(file), found.metadata())


def _names(file: Path) -> list[str | None] | None:
    with open_columns(file) as found:
        return texts_of(found)


def _told(folder: Path, manifest: dict[str, Any]) -> dict[str, Any]:
    """What a manifest says of its transformer, once it is built; which nobody trusts."""
    try:
        how = dict(manifest["transformer"])
        shape = tuple(how.pop("shape"))
        if how.get("Q") is not None:
            how["Q"] = tuple(how["Q"]) if isinstance(how["Q"], list) else how["Q"]
        transformer = ScatteringTransformer(**how).shaped(shape)
        transformer.loaded()
        texts = of_transformer(transformer)
    except (ImportError, MemoryError):
        raise
    except DataError as error:
        raise DataError(f"{folder}: {error}") from None
    except Exception as error:
        said = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise DataError(f"{folder / MANIFEST}: it describes no transformer ({said})") from None
    del texts["version"]
    return described(os.fspath(folder / MANIFEST), texts)


def _of_shards(files: list[Path], column: str | None) -> Features:
    """Rows of several files together."""
    first = _noted(files[0])
    parts: dict[str, list[Any]] = {}
    rows = taken = 0
    wanted = column or ""
    for file in files:
        with open_columns(file) as parquet:
            if described(os.fspath(file), parquet.metadata()) != first:
                raise DataError(f"{file}: of other features than {files[0]}")
            wanted = wanted or _features_of(file, parquet)
            taken += file.stat().st_size
            ask(os.fspath(file.parent), taken)
            for name in parquet.keys():
                parts.setdefault(name, []).append(parquet.get_tensor(name).numpy())
            for name in parquet.others():
                parts.setdefault(name, []).append(parquet.texts(name))
            rows += parquet.rows
    if wanted not in parts or not isinstance(parts[wanted][0], np.ndarray):
        raise DataError(f"{files[0]}: it has no column {wanted} of features")
    columns: dict[str, Any] = {}
    for name, values in parts.items():
        try:
            columns[name] = (
                np.concatenate(values)
                if isinstance(values[0], np.ndarray)
                else [text for some in values for text in some]
            )
        except (TypeError, ValueError):
            raise DataError(f"{files[0]}: its column {name} is not as in other files") from None
        if len(columns[name]) != rows:
            raise DataError(f"{files[0].parent}: {name} is not in every file")
    return Features(columns.pop(wanted), columns, first)


def _features_of(file: Path, parquet: Columns) -> str:
    """The column of features."""
    matrices = [name for name in parquet.keys() if len(parquet.get_slice(name).get_shape()) == 2]
    for name in (_X, "x"):
        if name in matrices:
            return name
    if len(matrices) == 1:
        return matrices[0]
    raise DataError(
        f"{file}: which column has the features? {', '.join(matrices) or 'there is none'}"
    )
