"""Folders of images as people have them: split or not, labelled or not, unpacked or in archives.

    folder_dataset() -> Dataset of `Images` [n, 3, size, size] uint8

    train/class/*.jpg, test/class/*.jpg      also val, valid, validation, testing, in any case
    train/class/*.jpg, val/*.jpg             with a file that says what they are: see `truth`
    class/*.jpg                              for `test_fraction` to split
    *.jpg                                    without labels

Each as a directory (`tree` says what is found there), as a tar or zip archive, or as a directory of
archives, whose names are those of directories then: `train.tar`, WebDataset's `train-000042.tar`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from ...arguments import integer
from ...files.error import DataError
from ...terminal import printable
from ...typing import OnError
from ..dataset import Dataset
from ..labels import Share
from .archive import has_images, opened_archive
from .images import USUAL, File, Images, Source, common_size
from .parts import TRAIN, Member, arranged, divided, labels_of, readable, stop
from .tree import Tree, is_archive, is_image, walk
from .truth import NAMES as TRUTHS

_LOOKS = 8  # directories that are looked into to recognise a folder of images


def folder_dataset(
    directory: str | os.PathLike[str],
    *,
    size: int = 224,
    crop: float = 0.875,
    grey: bool = False,
    test_fraction: float = 0.0,
    seed: int = 0,
    on_error: OnError = "stop",
) -> Dataset[Images]:
    """Find the images in a directory or an archive, and the classes that their directories are.

    Classes are the directories of `train`, sorted by name; a class may have directories of its own.
    The test set is in `test`, `testing`, `val`, `valid` or `validation`, the first of them with
    labels: directories of the same names, or a file that names the classes (ImageNet's
    `LOC_val_solution.csv` and ground truth, Tiny ImageNet's `val_annotations.txt`, Caffe's
    `val.txt`). Without `train`, the directories are the classes, and a share of each can be set
    aside for testing. Images that are in no directories are unlabelled: all are training images,
    of label -1, and there are no classes.

    What is hidden is passed over, links are followed, and so on: ``scatcuda.data.folders.tree`` has
    the rule. `Dataset.passed` counts what was passed over. What cannot be read stops; with
    ``on_error="skip"`` every image is decoded once to see which cannot be, they are left out, and
    `Dataset.skipped` lists them with the reasons.

    Args:
        directory: a directory, a `.tar`, `.tar.gz` or `.zip` archive, or a directory of such.
        size: side of the images; 0: theirs, if all are of one size, not cropped, and 224 if not.
        crop, grey: see `Images`.
        test_fraction: the share of each class for testing, below 1, where there is no test set.
        seed: decides which images are set aside.
        on_error: ``"stop"`` or ``"skip"``.
    Returns: A `Dataset` of `Images` ``[n, 3, size, size]``, ``[n, size, size]`` if grey.
    Raises:
        DataError: there are no images, a class has none, a class of the test set is none of the
            training set's, or something cannot be read.
        TypeError, ValueError: an argument is not as above; `test_fraction` where there is a test
            set.
    Example:
        >>> folder_dataset("nowhere")
        Traceback (most recent call last):
        scatcuda.data.DataError: nowhere: no such directory
    """
    folder = Path(directory)
    size = integer("folder_dataset", "size", size, 0)
    share = Share("folder_dataset", test_fraction, seed)
    if on_error not in get_args(OnError):
        raise ValueError(f"folder_dataset: on_error must be stop or skip, got {on_error!r}")
    Images([], size or USUAL, crop=crop, grey=grey)  # raises for what is wrong with them
    tree = _tree(folder)
    if on_error == "stop":
        stop(tree)
    found = arranged(tree)
    if on_error == "stop":
        stop(tree)
    classes, *parts = found
    members = [member for part in parts for member in part]
    skipped = _skipped(tree, members, size or USUAL, crop) if on_error == "skip" else []
    train, test = divided(share, os.fspath(folder), *readable(tree, found, skipped))
    sources = [[tree.source(member.path) for member in part] for part in (train, test)]
    sides: int | tuple[int, int] = size or common_size(sources[0] + sources[1]) or USUAL
    train_x, test_x = (Images(part, sides, crop=crop, grey=grey) for part in sources)
    return Dataset(
        _name(folder), train_x, labels_of(train), test_x, labels_of(test), classes,
        skipped=tuple(skipped), passed=dict(tree.passed),
    )  # fmt: skip


def is_image_folder(path: Path) -> bool:
    """Whether a directory or an archive seems to be of images, after a look at a few names."""
    if is_archive(path.name):
        return path.is_file() and has_images(path)
    if not path.is_dir():
        return False
    directories, files = _entries(path)
    while len(directories) == 1 and not files and not directories[0].is_symlink():
        directories, files = _entries(directories[0])
    if any(is_image(file.name) for file in files):
        return True
    if any(place.name.casefold() in TRAIN for place in directories):
        return any(_entries(d)[0] for d in directories if d.name.casefold() in TRAIN)
    for place in directories[:_LOOKS]:
        inner, files_there = _entries(place)
        images = [file for d in inner if d.name == "images" for file in _entries(d)[1]]
        if any(is_image(file.name) for file in [*files_there, *images]):
            return True
    return any(is_archive(file.name) and has_images(file) for file in files[:_LOOKS])


def _entries(place: Path) -> tuple[list[Path], list[Path]]:
    """Directories and files that are not hidden; neither where one may not look."""
    try:
        there = sorted(path for path in place.iterdir() if not path.name.startswith("."))
    except OSError:
        return [], []
    return [path for path in there if path.is_dir()], [path for path in there if path.is_file()]


def _name(folder: Path) -> str:
    name = folder.resolve().name
    return re.sub(r"(\.tar)?\.\w+$", "", name) if is_archive(name) else name


# --- what there is ----------------------------------------------------------------------------


def _tree(folder: Path) -> Tree:
    """The images of a directory or an archive; those of a directory of archives."""
    if folder.is_file() or is_archive(folder.name):
        return opened_archive(folder)
    if not folder.is_dir():
        raise DataError(f"{folder}: {'not a' if folder.exists() else 'no such'} directory")
    tree = walk(folder)
    if tree.images or not tree.archives:
        tree.passed.update({"archive": len(tree.archives)} if tree.archives else {})
    else:
        _merge(tree)
    if folder.resolve().parts[-2:] == ("Data", "CLS-LOC"):  # what says of which class is above
        for text in _entries(folder.resolve().parents[2])[1]:
            if text.name.lower() in TRUTHS:
                tree.texts.setdefault(text.name, File(os.fspath(text)))
    return tree


def _merge(tree: Tree) -> None:
    """Add what is in archives, each as a directory of its name."""
    sources: dict[str, Source] = {}
    places: dict[str, str] = {}
    for path in sorted(tree.archives):
        place = re.sub(r"(\.tar)?\.\w+$", "", path) + "/"
        if (other := places.setdefault(place, path)) != path:
            raise DataError(
                f"{printable(tree.name)}: {printable(other)} and {printable(path)} are directories "
                "of one name, and so are their images: rename one"
            )
        inner = opened_archive(os.path.join(tree.name, path))
        sources.update({place + name: inner.source(name) for name in inner.images})
        tree.images += [place + name for name in inner.images]
        tree.directories |= {place + name for name in inner.directories} | {place.rstrip("/")}
        tree.labels.update({place + name: label for name, label in inner.labels.items()})
        tree.texts.update({place + name: source for name, source in inner.texts.items()})
        tree.passed.update(inner.passed)
        tree.problems += inner.problems
    tree.images.sort()
    tree.source = sources.__getitem__


# --- what is made of it -----------------------------------------------------------------------


def _skipped(tree: Tree, images: Sequence[Member], size: int, crop: float) -> list[tuple[str, str]]:
    """What cannot be read, with the reasons; every image is decoded for it."""
    known = {name for name, _ in tree.problems}
    sources = [tree.source(image.path) for image in images]
    rest = Images([source for source in sources if source.name not in known], size, crop=crop)
    damaged = [(name, str(error).removeprefix(f"{name}: ")) for name, error in rest.damaged()]
    return [*tree.problems, *damaged]
