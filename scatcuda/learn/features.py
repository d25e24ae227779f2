"""The features of a whole data set in files: sharded safetensors, resumable at any moment.

    directory/manifest.json                        what the rows are, and how many
    directory/train-00000-of-00012.safetensors     x [rows, d], y [rows], index [rows]

Every shard is written whole or not at all, and says which configuration and data it belongs to. A
run makes the shards that are not there; processes started by ``torchrun`` deal them out. Whoever is
killed loses the shard it was at.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from ..arguments import integer
from ..data import DataError, Dataset
from ..files import read_tensors, sweep, write_tensors, write_text
from .shard import Rows, Shard
from .transformer import ScatteringTransformer

__all__ = ["extract", "load_features"]

MANIFEST = "manifest.json"
_FORMAT = "scatcuda features 1"
_SHARD = 1 << 28  # bytes of a file, unless the user counts rows: writing takes three times as much


class _Part(NamedTuple):
    """One file: rows `start` to `stop` of a split."""

    split: str
    number: int
    of: int
    start: int
    stop: int

    @property
    def name(self) -> str:
        return f"{self.split}-{self.number:05d}-of-{self.of:05d}.safetensors"


def extract(
    dataset: Dataset[Any],
    transformer: ScatteringTransformer,
    directory: str | os.PathLike[str],
    *,
    shard_size: int | None = None,
    progress: bool | None = None,
) -> int:
    """Write the features of a data set's training and test images.

    Args:
        dataset: images, in memory or lazy, and labels.
        transformer: is fitted to the training images; its ``dtype`` is that of the files.
        directory: made if need be; one that holds the features of the same is completed.
        shard_size: rows of a file; None: as many as 256 MiB hold.
        progress: a bar on stderr; None: if stderr is a terminal.
    Returns: The number of files written now; 0 if all were there.
    Raises:
        TypeError, ValueError: ``shard_size`` is no positive int; ``directory`` holds others.
        DataError, OSError: a file cannot be read or written.
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
    from tqdm import tqdm

    if shard_size is not None:
        shard_size = integer("extract", "shard_size", shard_size, 1)
    folder = Path(directory)
    transformer.fit(dataset.train_x)
    if shard_size is None:
        row = transformer.n_features_out * getattr(torch, transformer.dtype).itemsize
        shard_size = max(1, _SHARD // row)
    manifest = _manifest(dataset, transformer, shard_size)
    digest = _digest(manifest)
    _begin(folder, manifest)
    sweep(folder, {MANIFEST, *(part.name for part in _parts(manifest))})

    rank, size = (int(os.environ.get(name, d)) for name, d in (("RANK", "0"), ("WORLD_SIZE", "1")))
    if not 0 <= rank < size:
        raise ValueError(f"RANK must be 0 to WORLD_SIZE - 1, got {rank} of {size} processes")
    mine = [part for i, part in enumerate(_parts(manifest)) if i % size == rank]
    missing = [part for part in mine if not _whole(folder, part, manifest, digest)]
    rows = sum(part.stop - part.start for part in mine)
    done = rows - sum(part.stop - part.start for part in missing)
    shown = None if progress is None else not progress
    with tqdm(total=rows, initial=done, unit=" images", unit_scale=True, disable=shown) as bar:
        for part in missing:
            _write(folder, part, dataset, transformer, digest, bar.update)
    return len(missing)


def _write(
    folder: Path,
    part: _Part,
    dataset: Dataset[Any],
    transformer: ScatteringTransformer,
    digest: str,
    advance: Callable[[int], Any],
) -> None:
    x, y = _split(dataset, part.split)
    index = torch.arange(part.start, part.stop)
    images = transformer._images(Rows(x, index))
    features = transformer._features(images, 0, len(index), advance)
    write_tensors(
        folder / part.name, {"x": features, "y": y[index], "index": index}, {"scatcuda": digest}
    )


def load_features(
    directory: str | os.PathLike[str], split: Literal["train", "test"] = "train"
) -> tuple[Tensor, Tensor]:
    """Read what `extract` wrote.

    Args:
        directory: of the features.
        split: ``"train"`` or ``"test"``.
    Returns: Features ``[n, d]`` in the files' dtype, and labels ``[n]``, int64, in the order of the
        data set.
    Raises:
        DataError: there are none, a file is missing, damaged or of other features.
        ValueError: there is no such split.
    Example:
        >>> load_features("nowhere")
        Traceback (most recent call last):
        scatcuda.data.DataError: nowhere/manifest.json: no such file
    """
    folder = Path(directory)
    manifest = _read(folder)
    if split not in manifest["splits"]:
        raise ValueError(f"split must be one of {list(manifest['splits'])}, got {split!r}")
    parts = [part for part in _parts(manifest) if part.split == split]
    absent = [part.name for part in parts if not (folder / part.name).exists()]
    if absent:
        raise DataError(
            f"{folder}: {len(absent)} of {len(parts)} files are missing, the first is {absent[0]}; "
            "run the extraction again to complete them"
        )
    n, digest = manifest["splits"][split]["rows"], _digest(manifest)
    x = torch.empty(n, manifest["columns"], dtype=getattr(torch, manifest["dtype"]))
    y = torch.empty(n, dtype=torch.int64)
    for part in parts:
        tensors, metadata = read_tensors(folder / part.name)
        if metadata.get("scatcuda") != digest or not _right(tensors, part, manifest):
            raise DataError(f"{folder / part.name}: not a file of these features")
        x[part.start : part.stop], y[part.start : part.stop] = tensors["x"], tensors["y"]
    return x, y


# --- the manifest -----------------------------------------------------------------------------


def _manifest(
    dataset: Dataset[Any], transformer: ScatteringTransformer, shard_size: int
) -> dict[str, Any]:
    """What the rows are: all that decides a single bit of them."""
    how = transformer.get_params()
    for name in ("device", "batch_size"):  # change no row
        del how[name]
    if not isinstance(how["filters"], str):
        raise TypeError("extract: filters must be named, a bank of your own has no name")
    splits = {}
    for split in ("train", "test"):
        x, y = _split(dataset, split)
        if len(y):
            splits[split] = {"rows": len(y), "data": _digest_of(split, x, y)}
    return {
        "format": _FORMAT, "data": dataset.name, "classes": list(dataset.classes),
        "transformer": {**how, "shape": list(transformer.shape_)},
        "columns": transformer.n_features_out,
        "dtype": transformer.dtype, "shard_size": shard_size, "splits": splits,
    }  # fmt: skip


def _digest_of(split: str, x: Any, y: Tensor) -> str:
    """Of every pixel in memory; of a lazy array, whose files it would take to read, of a few."""
    digest = Shard(split, (x, y)).digest()
    if not isinstance(x, Tensor):
        return digest
    pixels = hashlib.sha256(digest.encode())
    for block in x.split(max(1, (1 << 24) // max(1, x[:1].numel()))):
        pixels.update(block.cpu().contiguous().flatten().view(torch.uint8).numpy())
    return pixels.hexdigest()[:16]


def _begin(folder: Path, manifest: dict[str, Any]) -> None:
    """Write the manifest, or see that it is the one that is there."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / MANIFEST).exists():
        write_text(folder / MANIFEST, json.dumps(manifest, indent=1) + "\n")
        return
    there = _read(folder)
    for name, value in json.loads(json.dumps(manifest)).items():
        if there[name] != value:
            raise ValueError(
                f"{folder} holds other features: {name} is {there[name]!r}, now {value!r}; take "
                "another directory"
            )


def _read(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        if manifest["format"] != _FORMAT:
            raise DataError(f"{path}: expected {_FORMAT}, got {manifest['format']!r}")
        list(_parts(manifest))
        if manifest["dtype"] not in ("float16", "float32", "float64"):
            raise KeyError("dtype")
        torch.empty(0, manifest["columns"])
    except OSError as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else error.strerror
        raise DataError(f"{path}: {reason}") from None
    except (ValueError, KeyError, TypeError, RuntimeError, AttributeError) as error:
        raise DataError(f"{path}: damaged ({error})") from None
    return manifest


def _digest(manifest: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def _parts(manifest: dict[str, Any]) -> Iterator[_Part]:
    """The files there are to be."""
    size = manifest["shard_size"]
    for split, about in manifest["splits"].items():
        count = -(-about["rows"] // size)
        for number in range(count):
            start = number * size
            yield _Part(split, number, count, start, min(start + size, about["rows"]))


def _split(dataset: Dataset[Any], split: str) -> tuple[Any, Tensor]:
    if split == "train":
        return dataset.train_x, dataset.train_y
    return dataset.test_x, dataset.test_y


# --- the files --------------------------------------------------------------------------------


def _whole(folder: Path, part: _Part, manifest: dict[str, Any], digest: str) -> bool:
    """Whether a file is there, undamaged as far as its header tells, and of these features."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(folder / part.name, framework="pt") as file:
            x = file.get_slice("x").get_shape()
            rows = part.stop - part.start
            return (file.metadata() or {}).get("scatcuda") == digest and x == [
                rows,
                manifest["columns"],
            ]
    except (SafetensorError, OSError):
        return False


def _right(tensors: dict[str, Tensor], part: _Part, manifest: dict[str, Any]) -> bool:
    """Whether a file holds the rows that its name says."""
    rows = torch.arange(part.start, part.stop)
    return (
        tensors.keys() == {"x", "y", "index"}
        and tensors["x"].shape == (len(rows), manifest["columns"])
        and tensors["y"].shape == (len(rows),)
        and torch.equal(tensors["index"], rows)
    )
