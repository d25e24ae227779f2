"""A data set in two parts, what makes one sound, and the small samples that are drawn from it."""

from __future__ import annotations

import operator
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
import torch
import torch.utils.data
from torch import Tensor

from ..arguments import integer
from ..files.error import DataError

if TYPE_CHECKING:
    from .folders.audio import Recordings
    from .folders.images import Images

X = TypeVar("X", Tensor, "Images", "Recordings", "Signals")


class Signals:
    """Signals of several channels ``[n, C, N]``, which a tensor alone would take for images.

    Args: values: floating ``[n, C, N]``.
    Raises: TypeError, ValueError: they are none.
    Example:
        >>> signals = Signals(torch.zeros(5, 2, 100))
        >>> signals, signals[1:3].shape
        (Signals([5, 2, 100], float32), torch.Size([2, 2, 100]))
    """

    rank: int = 1

    def __init__(self, values: Tensor) -> None:
        if not isinstance(values, Tensor) or not values.is_floating_point():
            kind = values.dtype if isinstance(values, Tensor) else type(values).__name__
            raise TypeError(f"Signals: values must be a floating tensor, got {kind}")
        if values.ndim != 3:
            raise ValueError(f"Signals: values must be [n, C, N], got {list(values.shape)}")
        self.values: Tensor = values
        self.shape: torch.Size = values.shape
        self.dtype: torch.dtype = values.dtype
        self.ndim: int = 3

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: Any) -> Tensor:
        return self.values[index]

    def __repr__(self) -> str:
        return f"Signals({list(self.shape)}, {str(self.dtype).removeprefix('torch.')})"


def rank_of(x: Any) -> int:
    """How many axes one of the signals ``x`` has: 1, where it says so or is a row of a matrix, or
    2, an image's.

    Example:
        >>> rank_of(torch.zeros(5, 100)), rank_of(torch.zeros(5, 8, 8))
        (1, 2)
    """
    return int(getattr(x, "rank", 1 if len(x.shape) == 2 else 2))


def with_channels(x: Tensor, rank: int) -> Tensor:
    """A batch ``[b, (C,) *sides]`` with an axis of channels."""
    return x[:, None] if x.ndim == 1 + rank else x


@dataclass(frozen=True, eq=False, repr=False)
class Dataset(Generic[X]):
    """Training and test images, or signals, with their labels.

    Images are ``[n, M, N]`` (grey) or ``[n, C, M, N]`` (colour): tensors, uint8 grey levels or
    float32, or for image folders the lazy array `Images`. Signals are ``[n, N]``, float32: a
    tensor, or for audio folders the lazy array `Recordings`; with channels `Signals`. Labels are
    ``[n]``, int64; label k is the class ``classes[k]``. Images without labels have -1, and there
    are no classes. ``train`` and ``test`` are the two parts as PyTorch's loaders take them, see
    `Pairs`.

    Of image folders, `skipped` are the files that could not be read, with the reasons, and `passed`
    counts what was passed over, by reason.

    Example:
        >>> x, y = torch.zeros(6, 8, 8), torch.arange(6) % 2
        >>> Dataset("blank", x[:4], y[:4], x[4:], y[4:], ("even", "odd"))
        Dataset('blank': 4 + 2 images [8, 8] float32, 2 classes)
        >>> from torch.utils.data import DataLoader
        >>> data = Dataset("blank", x[:4], y[:4], x[4:], y[4:], ("even", "odd"))
        >>> [(tuple(x.shape), y) for x, y in DataLoader(data.train, batch_size=2)]
        [((2, 1, 8, 8), tensor([0, 1])), ((2, 1, 8, 8), tensor([0, 1]))]
    """

    name: str
    train_x: X
    train_y: Tensor
    test_x: X
    test_y: Tensor
    classes: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...] = ()
    passed: Mapping[str, int] = field(default_factory=dict)

    @property
    def train(self) -> Pairs:
        """The training images with their labels."""
        return Pairs(self.train_x, self.train_y)

    @property
    def test(self) -> Pairs:
        """The test images with their labels."""
        return Pairs(self.test_x, self.test_y)

    def __len__(self) -> int:  # what a DataLoader asks first
        raise TypeError(
            "Dataset: it has two parts and no length of its own; give a DataLoader its .train or "
            ".test, pairs of an image and a label"
        )

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        noun = "signals" if rank_of(self.train_x) == 1 else "images"
        return (
            f"Dataset({self.name!r}: {len(self.train_y)} + {len(self.test_y)} {noun} "
            f"{list(self.train_x.shape[1:])} {str(self.train_x.dtype).removeprefix('torch.')}, "
            f"{f'{len(self.classes)} classes' if self.classes else 'without labels'})"
        )


class Pairs(torch.utils.data.Dataset[tuple[Tensor, int]]):
    """Images with their labels, for ``torch.utils.data.DataLoader`` and what else takes a dataset.

    ``pairs[i]`` is ``(image, label)``: the image as networks take it, float32 ``[C, M, N]``, where
    uint8 is divided by 255 and grey images have one channel; the label an int. The images of a
    batch are read together, a folder's in parallel. Signals are ``[C, N]`` likewise.

    Args:
        x: images ``[n, M, N]`` or ``[n, C, M, N]``, signals ``[n, N]``: a tensor, `Images`,
            `Recordings` or `Signals`.
        y: labels ``[n]``.
    Example:
        >>> image, label = Pairs(torch.full((3, 8, 8), 255, dtype=torch.uint8), torch.arange(3))[2]
        >>> image.shape, float(image.max()), label
        (torch.Size([1, 8, 8]), 1.0, 2)
    """

    def __init__(self, x: Tensor | Images | Recordings | Signals, y: Tensor) -> None:
        if len(x) != len(y):
            raise ValueError(f"Pairs: {len(x)} images but {len(y)} labels")
        self.x: Tensor | Images | Recordings | Signals = x
        self.y: Tensor = y

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        i = operator.index(index)
        if not -len(self) <= i < len(self):
            raise IndexError(f"Pairs: index {i} is out of range, n = {len(self)}")
        return self.__getitems__([i % len(self)])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[tuple[Tensor, int]]:
        """The pairs of a batch."""
        chosen = torch.tensor([operator.index(i) for i in indices], dtype=torch.int64)
        images = self.x[chosen]
        images = images.float().div_(255) if images.dtype == torch.uint8 else images.float()
        images = with_channels(images, rank_of(self.x))
        return list(zip(images, self.y[chosen].tolist(), strict=True))


def assemble(
    path: str | os.PathLike[str],
    name: str,
    train: tuple[Any, Tensor],
    test: tuple[Any, Tensor],
    names: tuple[str, ...] | None = None,
) -> Dataset[Any]:
    """The data set of images and labels that a file or directory holds.

    DataError with its `path` if they do not agree. Where no `names` say what the labels count, they
    are checked, and moved to 0 if they start at 1; the classes keep their numbers as names.
    """
    (train_x, train_y), (test_x, test_y) = train, test
    noun = "signals" if rank_of(train_x) == 1 else "images"
    if train_x.shape[1:] != test_x.shape[1:]:
        raise DataError(
            f"{path}: training {noun} of shape {list(train_x.shape[1:])} "
            f"but test {noun} of shape {list(test_x.shape[1:])}"
        )
    if names is not None:
        return Dataset(name, train_x, train_y, test_x, test_y, names)
    classes = train_y.unique()
    # A damaged label nearly always leaves a hole between itself and the other classes.
    if not 0 <= classes[0] <= 1 or not 2 <= len(classes) == classes[-1] - classes[0] + 1:
        raise DataError(
            f"{path}: the training labels should be two or more consecutive classes "
            f"from 0 or 1, but are {_some(classes)}"
        )
    strangers = test_y[~torch.isin(test_y, classes)].unique()
    if len(strangers):
        raise DataError(
            f"{path}: the test labels {_some(strangers)} do not occur in the training set"
        )
    numbers = tuple(str(label) for label in classes.tolist())
    first = classes[0]
    return Dataset(name, train_x, train_y - first, test_x, test_y - first, numbers)


def _some(labels: Tensor) -> str:
    """The labels, or the first of many: a message stays a sentence."""
    shown = ", ".join(map(str, labels[:12].tolist()))
    return f"[{shown}, …]" if len(labels) > 12 else f"[{shown}]"


def subset(y: Tensor, n: int, seed: int) -> Tensor:
    """Choose `n` training images, the same number of each class.

    Of every class in increasing order the first ``n // classes`` of
    ``RandomState(seed).permutation`` of its indices, one generator for all classes: the samples
    of one seed with growing `n` contain each other.

    Args:
        y: labels ``[N]``, integers.
        n: how many to choose; what the number of classes leaves over is dropped.
        seed: 0 to 2³² − 1.
    Returns: indices into `y`, int64, increasing: ``[n // classes * classes]``.
    Raises:
        TypeError: `y` is not a tensor of integers, `n` or `seed` not an int.
        ValueError: `y` is not ``[N]`` or empty, `n` is less than the number of classes, or a
            class has too few images.
    Example:
        >>> subset(torch.tensor([0, 0, 0, 1, 1, 1]), 4, seed=0)
        tensor([1, 2, 3, 5])
    """
    if not isinstance(y, Tensor) or y.is_floating_point() or y.is_complex():
        kind = y.dtype if isinstance(y, Tensor) else type(y).__name__
        raise TypeError(f"subset: y must be a tensor of integers, got {kind}")
    n, seed = integer("subset", "n", n, 0), integer("subset", "seed", seed, 0, 2**32 - 1)
    if y.ndim != 1 or not len(y):
        raise ValueError(f"subset: y must be labels [N], at least one, got {list(y.shape)}")
    labels = y.cpu().numpy()
    classes, counts = np.unique(labels, return_counts=True)
    share = n // len(classes)
    if share < 1:
        raise ValueError(f"subset: n must be at least 1 a class, got {n} for {len(classes)}")
    if share > counts.min():
        label = classes[counts.argmin()]
        raise ValueError(
            f"subset: n = {n} asks for {share} images a class, class {label} has {counts.min()}"
        )
    random = np.random.RandomState(seed)
    chosen = [random.permutation(np.flatnonzero(labels == c))[:share] for c in classes]
    return torch.from_numpy(np.sort(np.concatenate(chosen)))
