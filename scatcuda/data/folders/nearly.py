"""What a directory or file lacks to be a data set: for messages about those that nearly are one."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable
from pathlib import Path

from .tree import is_archive, is_image

_MANY = 10_000  # names that are looked at
_IDX = re.compile(r"(.*)(images|labels)[-.]idx\d-(ubyte|int)(\.gz)?")
_CIFAR = re.compile(r"(test_batch|test)(\.bin)?|batches\.meta(\.txt)?|meta|(fine|coarse)_label_.*")
_PACKED = (".gz", ".bz2", ".xz", ".7z", ".rar", ".zst")  # and no archive that is read


def nearly(path: Path, recognise: Callable[[Path], object]) -> str:
    """What is missing at a path that is no data set, as the beginning of a sentence; nothing if it
    is like none.

    Args: recognise: tells whether there is one at a path.
    """
    if not path.is_dir():
        return _file(path)
    with os.scandir(path) as entries:
        some = [entry for entry in itertools.islice(entries, _MANY) if entry.name[0] != "."]
    files = sorted(entry.name for entry in some if not entry.is_dir())
    folders = sorted(entry.name for entry in some if entry.is_dir())
    if not some:
        return "it is empty; "
    inside = [name for name in folders[:100] if recognise(path / name)]
    if inside:
        return f"there is one in it, {path / inside[0]}; itself it is "
    idx = next((name for name in files if _IDX.fullmatch(name)), None)
    if idx:
        start = re.split("train-|t10k-|test-|images|labels", idx)[0]
        return f"it has {idx}, but no {start}train-images-idx3-ubyte; "
    cifar = next((name for name in files if _CIFAR.fullmatch(name)), None)
    if cifar:
        return f"it has {cifar}, but no training file of CIFAR; "
    packed = next((name for name in files if _is_packed(name)), None)
    if packed and not folders:
        return f"it has {packed}, which is to be unpacked first; "
    classes = path / "train" if "train" in folders else path
    names = sorted(entry.name for entry in classes.iterdir() if entry.is_dir())
    if names:
        shown = ", ".join(names[:3]) + " …" * (len(names) > 3)
        return f"{classes} has folders, {shown}, but no images in {names[0]}; "
    return ""


def _is_packed(name: str) -> bool:
    return name.lower().endswith(_PACKED) and not is_archive(name)


def _file(path: Path) -> str:
    name = path.name.lower()
    if _IDX.fullmatch(name) or _CIFAR.fullmatch(name) or name.startswith("data_batch_"):
        return f"one of the files of a data set: give {path.parent}, where they are; "
    if is_image(name):
        return "an image: give the folder of all; "
    if _is_packed(name):
        return "packed: unpack it first; "
    return ""
