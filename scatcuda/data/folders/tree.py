"""The images in a directory, by one rule.

- What is hidden, its name starting with a dot, is passed over: files and directories, everywhere.
- Links are followed; one that leads back to where it is from is passed over.
- An image is a file with a suffix of `decode.SUFFIXES`, in any case. Other files are passed over.
- What cannot be read is a problem: a directory without permission, a link to nothing, a pipe or a
  device under the name of an image. The caller stops at it or reports it.

Whatever is passed over is counted, by its reason.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from ...files.error import DataError
from .decode import SUFFIXES
from .files import File, Source
from .truth import NAMES as TRUTHS

_DEEPEST = 100  # directories in directories
_WAYS = 1000  # that lead to one directory: more make a small folder of links look endless
_ARCHIVES = (".tar", ".tar.gz", ".tgz", ".zip")


def is_image(path: str) -> bool:
    """Whether a file is taken for an image, by its name."""
    return path.lower().endswith(SUFFIXES)


@dataclass
class Tree:
    """What was found. Paths are inside it, with slashes."""

    name: str
    wanted: Callable[[str], bool] = is_image
    noun: str = "images"  # what these are
    images: list[str] = field(default_factory=list)
    directories: set[str] = field(default_factory=set)
    texts: dict[str, Source] = field(default_factory=dict)  # that may say what the images are
    archives: list[str] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)  # of images, where a file beside it says
    passed: Counter[str] = field(default_factory=Counter)  # over, by reason
    problems: list[tuple[str, str]] = field(default_factory=list)  # names and reasons
    source: Callable[[str], Source] = field(init=False)

    def __post_init__(self) -> None:
        self.source = lambda path: File(os.path.join(self.name, path))


def is_archive(path: str) -> bool:
    """Whether a file is taken for an archive that is read, by its name."""
    return path.lower().endswith(_ARCHIVES)


def walk(
    directory: str | os.PathLike[str],
    wanted: Callable[[str], bool] = is_image,
    noun: str = "images",
) -> Tree:
    """Find the images, or files of other names that are wanted, in a directory and below it, sorted
    by their paths.

    Raises: DataError: so many links lead to one directory that there is no end of it.
    """
    tree = Tree(os.fspath(directory), wanted, noun)
    ways: Counter[tuple[int, int]] = Counter()
    _visit(tree, "", (), ways)
    tree.images.sort()
    return tree


def _visit(
    tree: Tree, inside: str, above: tuple[tuple[int, int], ...], ways: Counter[tuple[int, int]]
) -> None:
    """Look into one directory; `above` are the numbers of those that it is in."""
    path = os.path.join(tree.name, inside)
    if inside:
        tree.directories.add(inside.rstrip("/"))
    try:
        state = os.stat(path)
        here = (state.st_dev, state.st_ino)
        if here in above:
            tree.directories.discard(inside.rstrip("/"))
            tree.passed["link that leads back"] += 1
            return
        ways[here] += 1
        if ways[here] > _WAYS:
            raise DataError(f"{path}: more than {_WAYS} ways of links lead to it")
        if len(above) > _DEEPEST:
            raise DataError(f"{path}: more than {_DEEPEST} directories in each other")
        with os.scandir(path) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        tree.problems.append((path.rstrip("/"), f"cannot be read ({error.strerror or error})"))
        return
    for entry in entries:
        name = inside + entry.name
        try:
            _look(tree, entry, name, (*above, here), ways)
        except OSError as error:
            tree.problems.append((entry.path, f"cannot be read ({error.strerror or error})"))


def _look(
    tree: Tree, entry: os.DirEntry[str], name: str, above: tuple[tuple[int, int], ...],
    ways: Counter[tuple[int, int]],
) -> None:  # fmt: skip
    """Sort in one entry of a directory."""
    if entry.name.startswith("."):
        tree.passed["hidden"] += 1
    elif entry.is_dir():
        _visit(tree, name + "/", above, ways)
    elif entry.is_file():
        sort_in(tree, name)
    elif entry.is_symlink() and not os.path.exists(entry.path):
        tree.problems.append((entry.path, "cannot be read (a link to nothing)"))
    elif tree.wanted(name):
        tree.problems.append((entry.path, "not a file, but a pipe, a socket or a device"))
    else:
        tree.passed["no file"] += 1


def sort_in(tree: Tree, name: str, source: Source | None = None) -> None:
    """Take a file for what its name says."""
    if tree.wanted(name):
        tree.images.append(name)
    elif is_archive(name):
        tree.archives.append(name)
    elif os.path.basename(name).lower() in TRUTHS:
        tree.texts[name] = source or tree.source(name)
    else:
        suffix = os.path.splitext(name)[1].lower()
        tree.passed[suffix if 1 < len(suffix) < 12 else "without a suffix"] += 1
