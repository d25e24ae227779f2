"""What tells data from other data: their content, all of it.

    content(images)           a hash of every pixel, or of every byte of the image files
    identity(dataset)         what a result notes of the data that it was computed on
    difference(before, now)   what has changed, in words

Names, paths, sizes and times say nothing about content and are not looked at; nothing is
remembered from one call to the next. Only `Watch`, which notices image files that are written to
between their hashing and their use, takes it that this changes size, time or inode. Hashing runs
at about a gigabyte a second, scattering at about a hundredth of that.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ...data import DataError, Dataset
from ...data.folders.files import Files
from ..extraction.shard import Rows

__all__ = ["Watch", "compared", "content", "described", "difference", "identity"]

_BLOCK = 1 << 24  # bytes of pixels that are gathered at a time


def content(values: Any) -> str:
    """32 hexadecimal digits: the same for the same shape, type and content, in order.

    Args:
        values: images or labels ``[n, ...]``, n ≥ 1: a tensor, a lazy array, `Rows` of such. Of
            `scatcuda.data.Images` the files are read, not decoded; of another lazy array all
            images are.
    Example:
        >>> x = torch.arange(12).reshape(4, 3)
        >>> content(x) == content(Rows(x, torch.arange(4))), content(x) == content(x.flip(0))
        (True, False)
    """
    shape, rows = tuple(values.shape), None
    while isinstance(values, Rows):
        rows = values.rows if rows is None else values.rows[rows]
        values = values.images
    words = hashlib.blake2b(digest_size=16)
    words.update(repr((shape, str(values.dtype))).encode())
    if isinstance(values, Files):
        words.update(repr(values.how).encode())
        for hashed in values.hashes(torch.arange(len(values)) if rows is None else rows):
            words.update(hashed)
    elif isinstance(values, Tensor) and rows is None and values.is_contiguous():
        words.update(_bytes(values))
    else:
        rows = torch.arange(shape[0]) if rows is None else rows
        each = max(1, values[rows[:1]].nbytes)
        for some in rows.split(max(1, _BLOCK // each)):
            words.update(_bytes(values[some]))
    return words.hexdigest()


def _bytes(x: Any) -> Any:
    """The memory of a tensor or an array."""
    x = torch.as_tensor(x).detach().cpu().contiguous()
    return x.reshape(-1).view(torch.uint8).numpy()


def described(x: Any, y: Tensor) -> dict[str, Any]:
    """Rows, shape and content of images and their labels, as JSON holds them."""
    return {
        "rows": len(y), "shape": list(x.shape[1:]), "images": content(x), "labels": content(y),
    }  # fmt: skip


def identity(dataset: Dataset[Any]) -> dict[str, Any]:
    """Classes, and of the training and the test set what `described` says.

    Example:
        >>> x, y = torch.zeros(6, 8, 8), torch.arange(6) % 2
        >>> found = identity(Dataset("blank", x[:4], y[:4], x[4:], y[4:], ("even", "odd")))
        >>> found["classes"], found["train"]["rows"], len(found["test"]["images"])
        (['even', 'odd'], 4, 32)
    """
    parts = {"train": (dataset.train_x, dataset.train_y), "test": (dataset.test_x, dataset.test_y)}
    found = {name: described(x, y) for name, (x, y) in parts.items() if len(y)}
    return {"classes": list(dataset.classes), **found}


class Watch:
    """Notices image files that are written to from now on.

    Args: dataset: whose files; of images in memory nothing is watched.
    """

    def __init__(self, dataset: Dataset[Any]) -> None:
        self._images = {"train": dataset.train_x, "test": dataset.test_x}
        self._before = {
            split: x.states(torch.arange(len(x)))
            for split, x in self._images.items() if isinstance(x, Files)
        }  # fmt: skip

    def check(self, split: str, start: int = 0, stop: int | None = None) -> None:
        """Raises: DataError: one of these images has been written to."""
        if split not in self._before:
            return
        images = self._images[split]
        index = torch.arange(len(images))[start:stop]
        changed = (images.states(index) != self._before[split][start:stop]).any(1)
        if changed.any():
            file = images.files[start + int(changed.nonzero()[0])]
            raise DataError(f"{file}: it changed while it was in use; nothing is kept of it")


def difference(before: Any, now: Mapping[str, Any]) -> str:
    """How the identity that a file notes differs from another one; nothing if it does not.

    Example:
        >>> some = {"rows": 4, "shape": [8, 8], "images": "a", "labels": "b"}
        >>> difference({"train": some}, {"train": some | {"labels": "c"}})
        'the training labels are others'
    """
    if not isinstance(before, Mapping):
        return "it is not noted which"
    found = []
    old, new = before.get("classes"), now.get("classes")
    if old != new:
        words = compared(old, new) if isinstance(old, list) and isinstance(new, list) else ""
        found.append(f"the classes are others ({words or 'another order'})")
    for part, title in (("train", "training"), ("val", "validation"), ("test", "test")):
        old, new = before.get(part), now.get(part, {})
        old = old if isinstance(old, Mapping) else {}
        if old.get("rows") != new.get("rows"):
            found.append(f"{new.get('rows', 0)} {title} images, before {old.get('rows', 0)}")
        elif old.get("shape") != new.get("shape"):
            found.append(f"{title} images of shape {new['shape']}, before {old.get('shape')}")
        else:
            changed = [what for what in ("images", "labels") if old.get(what) != new.get(what)]
            if changed:
                found.append(f"the {title} {' and '.join(changed)} are others")
    return "; ".join(found)


def compared(before: Sequence[str], now: Sequence[str]) -> str:
    """Which names are missing and which are new.

    Example:
        >>> compared(["cat", "dog"], ["cat", "eel", "fox"])
        'missing: dog; new: eel, fox'
    """
    sides = (("missing", before, now), ("new", now, before))
    lists = ((title, [name for name in ours if name not in others])
             for title, ours, others in sides)  # fmt: skip
    return "; ".join(f"{title}: {_some(names)}" for title, names in lists if names)


def _some(names: Sequence[str]) -> str:
    """The names, or the first of many: a message stays a sentence."""
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
