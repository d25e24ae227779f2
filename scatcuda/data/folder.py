"""Image folders, as ImageNet is kept: `train/class/*.jpg`.

folder_dataset() -> Dataset of `Images` [n, 3, size, size] uint8
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from ..arguments import integer
from .dataset import Dataset
from .error import DataError
from .images import Images

_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".ppm", ".pgm", ".webp", ".tif", ".tiff", ".gif")


def folder_dataset(
    directory: str | os.PathLike[str],
    *,
    size: int = 224,
    crop: float = 0.875,
    grey: bool = False,
    split: float | None = None,
    seed: int = 0,
) -> Dataset[Images]:
    """Find the images of `train/class/*.jpg` and `test/class/*.jpg` or `val/class/*.jpg`.

    Classes are the directories of `train`, sorted by name. A class may hold directories of its
    own. Without a test set, or with the classes directly in `directory`, `split` sets a share of
    each class aside for testing.

    Args:
        directory: where `train` is, or the classes.
        size, crop, grey: see `Images`.
        split: the share for testing, between 0 and 1; only where there is no test set.
        seed: decides which images are set aside.
    Returns: A `Dataset` of `Images` ``[n, 3, size, size]``, ``[n, size, size]`` if grey.
    Raises:
        DataError: there are no images, fewer than two classes, a class of the test set is none of
            the training set's, or there is no test set and no `split`.
        TypeError, ValueError: an argument is not as above; `split` where there is a test set.
    Example:
        >>> folder_dataset("nowhere")
        Traceback (most recent call last):
        scatcuda.data.DataError: nowhere: no such directory
    """
    folder = Path(directory)
    if not folder.is_dir():
        raise DataError(f"{folder}: {'not a' if folder.exists() else 'no such'} directory")
    seed = integer("folder_dataset", "seed", seed, 0, 2**32 - 1)
    if split is not None and not 0 < split < 1:
        raise ValueError(f"folder_dataset: split must be between 0 and 1, got {split}")
    train_folder = folder / "train" if (folder / "train").is_dir() else folder
    classes = tuple(sorted(_directories(train_folder)))
    if len(classes) < 2:
        raise DataError(f"{train_folder}: expected a directory for each of two or more classes")
    train = _labelled(train_folder, classes)
    tests = testing_folder(folder)
    if tests is None:
        if split is None:
            raise DataError(f"{folder}: it has no test/ or val/ beside train/: give split=")
        train, test = _split(train_folder, train, len(classes), split, seed)
    elif split is not None:
        raise ValueError(f"folder_dataset: split is for folders without a test set, not {folder}")
    else:
        strangers = sorted(set(_directories(tests)) - set(classes))
        if strangers:
            raise DataError(f"{tests / strangers[0]}: no class of {train_folder}")
        present = [name for name in classes if (tests / name).is_dir()]
        test = [(file, classes.index(present[k])) for file, k in _labelled(tests, present)]
    (train_x, train_y), (test_x, test_y) = (
        (
            Images([file for file, _ in part], size, crop=crop, grey=grey),
            torch.tensor([label for _, label in part], dtype=torch.int64),
        )
        for part in (train, test)
    )
    return Dataset(folder.resolve().name, train_x, train_y, test_x, test_y, classes)


def is_image_folder(folder: Path) -> bool:
    """Whether `train` holds classes, or the directory itself does, with images in the first."""
    if len(_directories(folder / "train")) > 1:
        return True
    names = sorted(_directories(folder))
    if len(names) < 2:
        return False
    with os.scandir(folder / names[0]) as entries:
        return any(_is_image(entry.name) for entry in entries)


def testing_folder(folder: Path) -> Path | None:
    """Where the images for testing are, if they are apart from those for training."""
    if not (folder / "train").is_dir():
        return None
    return next((folder / part for part in ("test", "val") if _directories(folder / part)), None)


def _is_image(name: str) -> bool:
    return name.lower().endswith(_SUFFIXES) and not name.startswith(".")


def _directories(folder: Path) -> list[str]:
    """Names of the directories in a directory, hidden ones left out; none if it is not there."""
    try:
        with os.scandir(folder) as entries:
            return [e.name for e in entries if e.is_dir() and not e.name.startswith(".")]
    except OSError:
        return []


def _labelled(folder: Path, classes: Sequence[str]) -> list[tuple[str, int]]:
    """The image files of the classes, sorted, with the number of their class."""
    found = []
    for label, name in enumerate(classes):
        files = [
            os.path.join(place, file)
            for place, _, names in os.walk(folder / name)
            for file in names
            if _is_image(file)
        ]
        if not files:
            raise DataError(f"{folder / name}: it holds no images")
        found += [(file, label) for file in sorted(files)]
    return found


def _split(
    folder: Path, images: list[tuple[str, int]], classes: int, share: float, seed: int
) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
    """Training and test images: of each class a share for testing, at least one for each."""
    random, labels = np.random.RandomState(seed), np.array([label for _, label in images])
    chosen: set[int] = set()
    for k in range(classes):
        places = random.permutation(np.flatnonzero(labels == k))
        if len(places) < 2:
            raise DataError(f"{folder}: a class of one image cannot be split")
        chosen.update(places[: min(max(1, round(share * len(places))), len(places) - 1)].tolist())
    train = [image for i, image in enumerate(images) if i not in chosen]
    return train, [images[i] for i in sorted(chosen)]
