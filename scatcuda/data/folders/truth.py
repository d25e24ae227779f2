"""What says of which class the images of a flat directory are, as ImageNet has it for its `val`.

    LOC_val_solution.csv                       ILSVRC2012_val_00000001,n01751748 111 108 370 297
    val_annotations.txt                        val_0.JPEG   n03444034   0   32   44   62
    val.txt                                    ILSVRC2012_val_00000001.JPEG 65
    imagenet_2012_validation_synset_labels.txt a class a line, for the image of that number
    ILSVRC2012_validation_ground_truth.txt     the same with the numbers of ILSVRC's synsets

Kaggle's, Tiny ImageNet's, Caffe's, TensorFlow's and the devkit's. The numbers of `val.txt` are
places in `synsets.txt`, or in the sorted classes; those of the devkit are named by its `meta.mat`
or `map_clsloc.txt`, and mean nothing without.
"""

from __future__ import annotations

import csv
import io
import os
import posixpath
import re
from collections.abc import Mapping, Sequence

from ...files.error import DataError
from .images import Source

_BY_NAME = ("loc_val_solution.csv", "val_annotations.txt", "val.txt")
_BY_NUMBER = (
    "imagenet_2012_validation_synset_labels.txt", "ilsvrc2012_validation_ground_truth.txt",
    "ilsvrc2014_clsloc_validation_ground_truth.txt",
    "ilsvrc2015_clsloc_validation_ground_truth.txt",
)  # fmt: skip
_SYNSETS = ("synsets.txt", "imagenet_lsvrc_2015_synsets.txt")
_META, _MAP = "meta.mat", "map_clsloc.txt"
NAMES = {*_BY_NAME, *_BY_NUMBER, *_SYNSETS, _META, _MAP}
_META_BYTES = 1 << 20  # the devkit's has a quarter


def truth(
    texts: Mapping[str, Source], part: str, images: Sequence[str], classes: Sequence[str]
) -> dict[str, str] | None:
    """The classes of the images that a file near them names.

    Args:
        texts: by path, the files with one of `NAMES`.
        part: the directory of the images.
        images: their paths.
        classes: sorted, of the training set.
    Returns: The class of each image that is named; None if there is no such file.
    Raises: DataError: what the file says makes no sense.
    """
    near = {
        posixpath.basename(path).lower(): source
        for path, source in sorted(texts.items(), key=lambda item: -len(item[0]))
        if _is_near(posixpath.dirname(path), part)
    }
    for name in _BY_NAME:
        if name in near:
            return _by_name(near[name], name, near, images, classes)
    for name in _BY_NUMBER:
        if name in near:
            return _by_number(near[name], near, images)
    return None


def _is_near(place: str, part: str) -> bool:
    """Whether a directory is that of the images, one that it is in, or the devkit's."""
    return not place or f"{part}/".startswith(f"{place}/") or "devkit" in place.lower()


def _by_name(
    source: Source, name: str, near: Mapping[str, Source], images: Sequence[str],
    classes: Sequence[str],
) -> dict[str, str]:  # fmt: skip
    """A line names an image and its class."""
    said: dict[str, str] = {}
    try:
        if name.endswith(".csv"):
            rows = [row for row in csv.reader(io.StringIO(_text(source)), strict=True) if row][1:]
            said = {_stem(row[0]): row[1].split()[0] for row in rows}
        else:
            lines = [line.split() for line in _text(source).splitlines() if line.strip()]
            said = {_stem(line[0]): line[1] for line in lines}
    except (csv.Error, IndexError):
        raise DataError(f"{source.name}: expected an image and its class in every line") from None
    if name == "val.txt" and not set(said.values()) <= set(classes):
        said = _placed(said, source, near, classes)
    return {image: said[_stem(image)] for image in images if _stem(image) in said}


def _placed(
    said: Mapping[str, str], source: Source, near: Mapping[str, Source], classes: Sequence[str]
) -> dict[str, str]:
    """Places among the classes as their names."""
    listed = next((near[name] for name in _SYNSETS if name in near), None)
    synsets = _text(listed).split() if listed else list(classes)
    places = {name: int(place) for name, place in said.items() if _is_number(place)}
    # Of fewer classes than the list has, the numbers would be those of others.
    whole = set(places.values()) == set(range(len(synsets)))
    if len(places) < len(said) or not (whole or (listed and max(places.values()) < len(synsets))):
        raise DataError(
            f"{source.name}: its classes are neither those of the training set nor all the places "
            f"among {len(synsets)} of them; synsets.txt beside it would say which they are"
        )
    return {name: synsets[place] for name, place in places.items()}


def _by_number(source: Source, near: Mapping[str, Source], images: Sequence[str]) -> dict[str, str]:
    """A line for each image, whose name ends in the number of its line."""
    lines = _text(source).split()
    if all(map(_is_number, lines)):
        names = _numbered(source, near)
        strangers = sorted(set(map(int, lines)) - names.keys())
        if strangers:
            raise DataError(f"{source.name}: no synset has the number {strangers[0]}")
        lines = [names[int(line)] for line in lines]
    found = {}
    for image in images:
        number = re.search(r"(\d{1,12})$", _stem(image), re.ASCII)
        if number and 1 <= int(number[1]) <= len(lines):
            found[image] = lines[int(number[1]) - 1]
    return found


def _numbered(source: Source, near: Mapping[str, Source]) -> dict[int, str]:
    """The synsets by the numbers that the devkit gives them."""
    if _MAP in near:
        rows = [line.split() for line in _text(near[_MAP]).splitlines() if line.strip()]
        if all(len(row) > 1 and _is_number(row[1]) for row in rows):
            return {int(row[1]): row[0] for row in rows}
        raise DataError(f"{near[_MAP].name}: expected a synset and its number in every line")
    if _META not in near:
        raise DataError(
            f"{source.name}: it has the numbers of ILSVRC's synsets, which meta.mat of the devkit "
            "names; put it beside"
        )
    from scipy.io import loadmat

    raw = near[_META].read()
    try:
        if len(raw) > _META_BYTES:
            raise ValueError("too large")
        synsets = loadmat(io.BytesIO(raw), variable_names=["synsets"], squeeze_me=True)["synsets"]
        pairs = zip(synsets["ILSVRC2012_ID"].tolist(), synsets["WNID"].tolist(), strict=True)
        return {int(number): str(synset) for number, synset in pairs}
    except Exception as error:  # SciPy's reader raises whatever a damaged file makes it
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise DataError(f"{near[_META].name}: not the devkit's ({reason})") from None


def _text(source: Source) -> str:
    try:
        return source.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{source.name}: not text in UTF-8 ({error.reason})") from None


def _stem(path: str) -> str:
    return os.path.splitext(posixpath.basename(path))[0]


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10
