"""Which classes there are in a tree of files, and which of them are for training and for testing:
from the names of directories, from a file that says it, or from files beside the files.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ...files.error import DataError
from ..labels import Share
from .tree import Tree
from .truth import truth

TRAIN = ("train", "training")
_VAL = ("val", "valid", "validation")
_TEST = ("test", "testing", *_VAL)  # the first that has labels
_IMAGENET = re.compile(r"(ILSVRC/)?Data/CLS-LOC/")  # as Kaggle packs it


class Member(NamedTuple):
    """A path in a tree, and the place of its class; -1: none."""

    path: str
    label: int


Arranged = tuple[tuple[str, ...], list[Member], list[Member]]


def arranged(tree: Tree) -> Arranged:
    """Classes, training images and test images."""
    if not tree.images:
        raise DataError(f"{tree.name}: it holds no {tree.noun}{_and_passed(tree)}")
    if tree.labels:
        return _labelled_beside(tree)
    root = _root(tree)
    directories, loose = _level(tree, root)
    called = {name.casefold(): name for name in directories}
    parts = [called[name] for name in _TEST if name in called]
    trains = [called[name] for name in TRAIN if name in called]
    if not trains:
        if parts and len(parts) == len(directories):
            raise DataError(f"{tree.name}: it has {', '.join(parts)}, but no train")
        if len(directories) > 1:
            _pass_over(tree, loose, "beside the classes")
            classes = tuple(directories)
            return classes, _of_directories(tree, root, classes), []
        return (), [Member(path, -1) for path in tree.images], []
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
        images = [Member(path, -1) for path in _below(tree, f"{root}{trains[0]}/")]
    else:
        _pass_over(tree, _level(tree, train)[1], "beside the classes")
        images = _of_directories(tree, train, classes)
    test: list[Member] | None = None
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


def _of_directories(tree: Tree, place: str, classes: Sequence[str]) -> list[Member]:
    """The images of the classes, class by class, sorted."""
    label = {name: k for k, name in enumerate(classes)}
    found = [
        Member(path, label[path[len(place) :].partition("/")[0]])
        for path in _below(tree, place)
        if path[len(place) :].partition("/")[0] in label and "/" in path[len(place) :]
    ]
    found.sort(key=lambda image: image.label)  # stable
    check_classes(tree, classes, found, "", place)
    return found


def check_classes(
    tree: Tree, classes: Sequence[str], images: Iterable[Member], words: str, place: str = ""
) -> None:
    there = {image.label for image in images}
    for k, name in enumerate(classes):
        if k not in there:
            folder = os.path.join(tree.name, place + name)
            why = [reason for path, reason in tree.problems if path.startswith(folder)]
            end = f" {words}" if words else f" ({why[0]})" if why else ""
            raise DataError(f"{folder}: it holds no {tree.noun}{end}")


def _tested(tree: Tree, place: str, train: str, classes: Sequence[str]) -> list[Member] | None:
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
        return [Member(path, label[directories[k]]) for path, k in found]
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
    return [Member(path, label[named[path]] if path in named else -1) for path in images]


def _labelled_beside(tree: Tree) -> Arranged:
    """WebDataset: files beside the images say what they are, names of shards which part."""
    names = set(tree.labels.values())
    numbers = all(name.isascii() and name.isdigit() for name in names)
    classes = tuple(sorted(names, key=lambda name: (int(name), name) if numbers else (0, name)))
    if len(classes) < 2:
        raise DataError(f"{tree.name}: all {tree.noun} are of the class {classes[0]}")
    label = {name: k for k, name in enumerate(classes)}
    parts: dict[str, list[Member]] = {}
    for path in tree.images:
        if path not in tree.labels:
            tree.problems.append((tree.source(path).name, "nothing beside it says its class"))
        words = re.split(r"[^a-z]+", os.path.dirname(path).casefold())
        part = next((name for name in (*_TEST, *TRAIN) if name in words), "train")
        part = "train" if part in TRAIN else part
        parts.setdefault(part, []).append(Member(path, label.get(tree.labels.get(path, ""), -1)))
    train = parts.pop("train", [])
    tests = [parts.pop(name) for name in _TEST if name in parts]
    for images in tests[1:]:
        _pass_over(tree, [path for path, _ in images], "in another part for testing")
    return classes, train, tests[0] if tests else []


def stop(tree: Tree) -> None:
    """Raise the first problem."""
    for name, reason in tree.problems:
        raise DataError(f"{name}: {reason}")


def readable(
    tree: Tree, found: Arranged, skipped: Sequence[tuple[str, str]]
) -> tuple[list[Member], list[Member]]:
    """Both parts without what is skipped, names and reasons.

    Raises: DataError: a class has nothing left to learn from.
    """
    classes, *parts = found
    names = {name for name, _ in skipped}
    train, test = (
        [member for member in part if tree.source(member.path).name not in names] for part in parts
    )
    if skipped:
        check_classes(tree, classes, train, "that can be read")
        if not train:
            first, reason = skipped[0]
            one = tree.noun.removesuffix("s")
            raise DataError(f"{first}: {reason}; nor can any other {one} there be read")
    return train, test


def divided(
    share: Share, name: str, train: list[Member], test: list[Member]
) -> tuple[list[Member], list[Member]]:
    """Both parts; where there is no test set, with the share of each class that is set aside."""
    share.check(name, bool(test))
    if test:
        return train, test
    at = share.of(name, torch.arange(len(train)), labels_of(train))
    train_at, test_at = (places.tolist() for places, _ in at)
    return [train[i] for i in train_at], [train[i] for i in test_at]


def labels_of(members: Sequence[Member]) -> Tensor:
    """``[n]``, int64."""
    return torch.tensor([member.label for member in members], dtype=torch.int64)


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
