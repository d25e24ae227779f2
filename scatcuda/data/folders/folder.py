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
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, get_args

import torch

from ...arguments import integer
from ...files.error import DataError
from ...typing import OnError
from ..dataset import Dataset
from ..labels import Share
from .archive import has_images, opened_archive
from .images import USUAL, File, Images, Source, common_size
from .tree import Tree, is_archive, is_image, walk
from .truth import NAMES as TRUTHS
from .truth import truth

_TRAIN = ("train", "training")
_VAL = ("val", "valid", "validation")
_TEST = ("test", "testing", *_VAL)  # the first that has labels
_LOOKS = 8  # directories that are looked into to recognise a folder of images
_IMAGENET = re.compile(r"(ILSVRC/)?Data/CLS-LOC/")  # as Kaggle packs it


class _Image(NamedTuple):
    """A path in a tree, and the place of its class; -1: none."""

    path: str
    label: int


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

    What is hidden is passed over, links are followed, and so on: `scatcuda.data.folders.tree` has
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
        _stop(tree)
    classes, train, test = _arranged(tree)
    if on_error == "stop":
        _stop(tree)
    skipped = _skipped(tree, [*train, *test], size or USUAL, crop) if on_error == "skip" else []
    if skipped:
        names = {name for name, _ in skipped}
        train, test = (
            [image for image in part if tree.source(image.path).name not in names]
            for part in (train, test)
        )
        _check_classes(tree, classes, train, "that can be read")
        if not train:
            first, reason = skipped[0]
            raise DataError(f"{first}: {reason}; nor can any other image there be read")
    share.check(os.fspath(folder), bool(test))
    if test_fraction:
        labels = torch.tensor([image.label for image in train])
        parts = share.of(os.fspath(folder), torch.arange(len(train)), labels)
        train, test = ([train[i] for i in index.tolist()] for index, _ in parts)
    sources = [[tree.source(image.path) for image in part] for part in (train, test)]
    sides: int | tuple[int, int] = size or common_size(sources[0] + sources[1]) or USUAL
    train_x, test_x = (Images(part, sides, crop=crop, grey=grey) for part in sources)
    train_y, test_y = (
        torch.tensor([image.label for image in part], dtype=torch.int64) for part in (train, test)
    )
    return Dataset(
        _name(folder), train_x, train_y, test_x, test_y, classes,
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
    if any(place.name.casefold() in _TRAIN for place in directories):
        return any(_entries(d)[0] for d in directories if d.name.casefold() in _TRAIN)
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
    for path in sorted(tree.archives):
        inner = opened_archive(os.path.join(tree.name, path))
        place = re.sub(r"(\.tar)?\.\w+$", "", path) + "/"
        sources.update({place + name: inner.source(name) for name in inner.images})
        tree.images += [place + name for name in inner.images]
        tree.directories |= {place + name for name in inner.directories} | {place.rstrip("/")}
        tree.labels.update({place + name: label for name, label in inner.labels.items()})
        tree.texts.update({place + name: source for name, source in inner.texts.items()})
        tree.passed.update(inner.passed)
        tree.problems += inner.problems
    tree.images.sort()
    tree.source = sources.__getitem__


# --- which classes, which parts ---------------------------------------------------------------

_Arranged = tuple[tuple[str, ...], list[_Image], list[_Image]]


def _arranged(tree: Tree) -> _Arranged:
    """Classes, training images and test images."""
    if not tree.images:
        raise DataError(f"{tree.name}: it holds no images{_and_passed(tree)}")
    if tree.labels:
        return _labelled_beside(tree)
    root = _root(tree)
    directories, loose = _level(tree, root)
    called = {name.casefold(): name for name in directories}
    parts = [called[name] for name in _TEST if name in called]
    trains = [called[name] for name in _TRAIN if name in called]
    if not trains:
        if parts and len(parts) == len(directories):
            raise DataError(f"{tree.name}: it has {', '.join(parts)}, but no train")
        if len(directories) > 1:
            _pass_over(tree, loose, "beside the classes")
            classes = tuple(directories)
            return classes, _of_directories(tree, root, classes), []
        return (), [_Image(path, -1) for path in tree.images], []
    if len(trains) > 1 or len(called) < len(directories):
        raise DataError(f"{tree.name}: {', '.join(directories)}: which of them is for training?")
    train = _descended(tree, f"{root}{trains[0]}/")
    for name in directories:
        if name not in (*parts, *trains):
            _pass_over(tree, _below(tree, f"{root}{name}/"), f"in {name}/")
    _pass_over(tree, loose, "beside train/")
    classes = tuple(_level(tree, train)[0])
    if len(classes) < 2:
        classes = ()
        images = [_Image(path, -1) for path in _below(tree, f"{root}{trains[0]}/")]
    else:
        _pass_over(tree, _level(tree, train)[1], "beside the classes")
        images = _of_directories(tree, train, classes)
    test: list[_Image] | None = None
    for name in parts:
        place = f"{root}{name}/"
        found = _tested(tree, place, train, classes) if classes and test is None else None
        if found is None:
            _pass_over(tree, _below(tree, place), f"in {name}/")
        test = found if test is None else test
    return classes, images, test or []


def _root(tree: Tree) -> str:
    """The directory that everything is in, ending in a slash unless it is the tree itself."""
    if found := _IMAGENET.match(tree.images[0]):
        return found[0]
    return _descended(tree, "")


def _descended(tree: Tree, place: str) -> str:
    """The directory itself, or, as long as there is only one thing in it, a directory, that one."""
    directories, loose = _level(tree, place)
    while len(directories) == 1 and not loose:
        place = f"{place}{directories[0]}/"
        directories, loose = _level(tree, place)
    return place


def _level(tree: Tree, place: str) -> tuple[list[str], list[str]]:
    """Names of the directories directly in one, sorted, and paths of the images."""
    names = {
        path[len(place) :]
        for path in tree.directories
        if path.startswith(place) and "/" not in path[len(place) :]
    }
    loose = [path for path in _below(tree, place) if "/" not in path[len(place) :]]
    return sorted(name for name in names if name), loose


def _below(tree: Tree, place: str) -> list[str]:
    return [path for path in tree.images if path.startswith(place)]


def _pass_over(tree: Tree, images: Sequence[str], reason: str) -> None:
    if images:
        tree.passed[reason] += len(images)


def _of_directories(tree: Tree, place: str, classes: Sequence[str]) -> list[_Image]:
    """The images of the classes, class by class, sorted."""
    label = {name: k for k, name in enumerate(classes)}
    found = [
        _Image(path, label[path[len(place) :].partition("/")[0]])
        for path in _below(tree, place)
        if path[len(place) :].partition("/")[0] in label and "/" in path[len(place) :]
    ]
    found.sort(key=lambda image: image.label)  # stable
    _check_classes(tree, classes, found, "", place)
    return found


def _check_classes(
    tree: Tree, classes: Sequence[str], images: Iterable[_Image], words: str, place: str = ""
) -> None:
    there = {image.label for image in images}
    for k, name in enumerate(classes):
        if k not in there:
            folder = os.path.join(tree.name, place + name)
            why = [reason for path, reason in tree.problems if path.startswith(folder)]
            end = f" {words}" if words else f" ({why[0]})" if why else ""
            raise DataError(f"{folder}: it holds no images{end}")


def _tested(tree: Tree, place: str, train: str, classes: Sequence[str]) -> list[_Image] | None:
    """The images of a part, if it has labels."""
    may_be_flat = os.path.basename(place[:-1]).casefold() in _VAL  # of which `truth` tells
    directories, loose = _level(tree, place)
    known = set(classes)
    while len(directories) == 1 and not loose and directories[0] not in known:
        inner = _level(tree, f"{place}{directories[0]}/")
        if not known & set(inner[0]):
            break
        place, (directories, loose) = f"{place}{directories[0]}/", inner
    if known & set(directories) or len(directories) > 1:
        strangers = sorted(set(directories) - known)
        if strangers:
            raise DataError(
                f"{os.path.join(tree.name, place + strangers[0])}: no class of "
                f"{os.path.join(tree.name, train).rstrip('/')}"
            )
        _pass_over(tree, loose, f"beside the classes of {place}")
        label = {name: classes.index(name) for name in directories}
        found = _of_directories(tree, place, directories)
        return [_Image(path, label[directories[k]]) for path, k in found]
    if not may_be_flat:
        return None
    images = _below(tree, place)
    named = truth(tree.texts, place.rstrip("/"), images, classes) if images else None
    if named is None:
        return None
    label = {name: k for k, name in enumerate(classes)}
    for path in images:
        if path not in named:
            tree.problems.append((tree.source(path).name, "nothing says of which class it is"))
        elif named[path] not in label:
            raise DataError(
                f"{tree.source(path).name}: of class {named[path]}, which is none of "
                f"{os.path.join(tree.name, train).rstrip('/')}"
            )
    return [_Image(path, label[named[path]] if path in named else -1) for path in images]


def _labelled_beside(tree: Tree) -> _Arranged:
    """WebDataset: files beside the images say what they are, names of shards which part."""
    names = set(tree.labels.values())
    numbers = all(name.isascii() and name.isdigit() for name in names)
    classes = tuple(sorted(names, key=lambda name: (int(name), name) if numbers else (0, name)))
    if len(classes) < 2:
        raise DataError(f"{tree.name}: all images are of the class {classes[0]}")
    label = {name: k for k, name in enumerate(classes)}
    parts: dict[str, list[_Image]] = {}
    for path in tree.images:
        if path not in tree.labels:
            tree.problems.append((tree.source(path).name, "nothing beside it says its class"))
        words = re.split(r"[^a-z]+", os.path.dirname(path).casefold())
        part = next((name for name in (*_TEST, *_TRAIN) if name in words), "train")
        part = "train" if part in _TRAIN else part
        parts.setdefault(part, []).append(_Image(path, label.get(tree.labels.get(path, ""), -1)))
    train = parts.pop("train", [])
    tests = [parts.pop(name) for name in _TEST if name in parts]
    for images in tests[1:]:
        _pass_over(tree, [path for path, _ in images], "in another part for testing")
    return classes, train, tests[0] if tests else []


def _and_passed(tree: Tree) -> str:
    text = passed_text(tree.passed)
    if tree.problems:
        return f"; {tree.problems[0][0]}: {tree.problems[0][1]}"
    return f"; passed over: {text}" if text else ""


def passed_text(passed: Mapping[str, int]) -> str:
    """What was passed over, in words: the most frequent first.

    Example:
        >>> passed_text({"hidden": 2, ".txt": 12})
        '12 .txt, 2 hidden'
    """
    most = Counter(passed).most_common()
    words = [f"{count} {reason}" for reason, count in most[:6]]
    rest = sum(count for _, count in most[6:])
    return ", ".join([*words, *([f"{rest} others"] if rest else [])])


# --- what is made of it -----------------------------------------------------------------------


def _stop(tree: Tree) -> None:
    """Raise the first problem."""
    for name, reason in tree.problems:
        raise DataError(f"{name}: {reason}")


def _skipped(tree: Tree, images: Sequence[_Image], size: int, crop: float) -> list[tuple[str, str]]:
    """What cannot be read, with the reasons; every image is decoded for it."""
    known = {name for name, _ in tree.problems}
    sources = [tree.source(image.path) for image in images]
    rest = Images([source for source in sources if source.name not in known], size, crop=crop)
    damaged = [(name, str(error).removeprefix(f"{name}: ")) for name, error in rest.damaged()]
    return [*tree.problems, *damaged]
