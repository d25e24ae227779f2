"""Images that ship with libraries: scikit-learn's digits, scikit-image's textures.

digits()         -> x [1797, 32, 32] float32 in [0, 1], y [1797] int64
digits_dataset() -> the same, half of each class for training
textures()       -> Dataset of patches [n, size, size] float32, mean 0, deviation 1
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..arguments import integer
from ..files.error import DataError
from .dataset import Dataset

_TEXTURES = ("brick", "grass", "gravel")


def digits(size: int = 32) -> tuple[Tensor, Tensor]:
    """Return scikit-learn's 1797 handwritten digits, enlarged to `size` x `size` pixels.

    The 8 x 8 images with grey levels 0 to 16 are divided by 16 and enlarged bilinearly.

    Args:
        size: side of the images in pixels, at least 1.
    Returns: Images ``[1797, size, size]``, float32 in [0, 1], and labels ``[1797]``, int64 0 to 9.
    Raises:
        TypeError, ValueError: ``size`` is no integer, or less than 1.
        ImportError: scikit-learn is not installed.
    Source: E. Alpaydin and C. Kaynak, "Optical recognition of handwritten digits", UCI Machine
    Learning Repository, 1998 (its test set).
    Example:
        >>> x, y = digits()
        >>> x.shape, x.dtype, y.unique().tolist()
        (torch.Size([1797, 32, 32]), torch.float32, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    """
    size = integer("digits", "size", size, 1)
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError(
            "the digits ship with scikit-learn, which is not installed: pip install scikit-learn"
        ) from error
    packed = load_digits()
    x = torch.from_numpy(packed.images).to(torch.float32).div_(16)
    y = torch.from_numpy(packed.target).to(torch.int64)
    x = torch.nn.functional.interpolate(x[:, None], (size, size), mode="bilinear")[:, 0]
    return x.contiguous(), y


def digits_dataset(*, size: int = 32, seed: int = 0) -> Dataset[Tensor]:
    """Return the digits, half of each class for training and half for testing.

    The halves are those of scikit-learn's `train_test_split` with `test_size=0.5`, `stratify`
    and `random_state=seed`.

    Args:
        size: side of the images in pixels, at least 1.
        seed: 0 to 2³² − 1, decides which images are for training.
    Returns: A `Dataset` of 898 + 899 images ``[n, size, size]``, float32 in [0, 1].
    Raises:
        TypeError, ValueError: an argument is not as above.
        ImportError: scikit-learn is not installed.
    Example:
        >>> digits_dataset()
        Dataset('digits': 898 + 899 images [32, 32] float32, 10 classes)
    """
    seed = integer("digits_dataset", "seed", seed, 0, 2**32 - 1)
    x, y = digits(size)
    from sklearn.model_selection import train_test_split

    halves = train_test_split(
        np.arange(len(y)), test_size=0.5, stratify=y.numpy(), random_state=seed
    )
    train, test = (torch.from_numpy(np.sort(half)) for half in halves)
    return Dataset("digits", x[train], y[train], x[test], y[test], tuple("0123456789"))


def textures(
    *,
    per_class: int = 20,
    test_per_class: int = 200,
    size: int = 64,
    rotate: bool = False,
    seed: int = 0,
) -> Dataset[Tensor]:
    """Return patches of brick, grass and gravel, photographs of 512 x 512 grey pixels.

    Patches for training are upright squares of the left halves: side by side, in random order,
    and when these are used up (32 of 64 x 64 pixels) anywhere. Those for testing come from
    anywhere in the right halves, so that no pixel is in both. With `rotate` each of the latter
    is turned by an angle of its own, uniform over the circle, around the same centre as without:
    a bilinear sample of the photograph, so that no border shows. Every patch has mean 0 and
    deviation 1.

    Args:
        per_class, test_per_class: patches of each texture, at least 1.
        size: side of the patches in pixels, 2 to 180 (turned by 45° they still fit).
        rotate: turn the patches for testing.
        seed: 0 to 2³² − 1, decides places and angles.
    Returns: A `Dataset` of images ``[n, size, size]``, float32.
    Raises:
        TypeError, ValueError: an argument is not as above.
        ImportError: scikit-image or Pillow is not installed.
        DataError: this scikit-image comes without the photographs.
    Source: scikit-image's data (brick, grass and gravel of CC0 Textures); the experiment is that
        of L. Sifre and S. Mallat, "Rotation, scaling and deformation invariant scattering for
        texture discrimination", CVPR 2013.
    Example:
        >>> textures(rotate=True)
        Dataset('textures-rotated': 60 + 600 images [64, 64] float32, 3 classes)
    """
    per_class = integer("textures", "per_class", per_class, 1)
    test_per_class = integer("textures", "test_per_class", test_per_class, 1)
    size = integer("textures", "size", size, 2, 180)
    seed = integer("textures", "seed", seed, 0, 2**32 - 1)
    random = np.random.RandomState(seed)
    train, test = [], []
    for name in _TEXTURES:
        left, right = _photograph(name).tensor_split(2, dim=1)
        corners = np.concatenate(
            [_side_by_side(left, size, random), _anywhere(left, per_class, size, 0, random)]
        )[:per_class]
        train.append(_patches(left, corners, np.zeros(per_class), size))
        # As far from the border as a patch turned by 45° needs, also when none is turned.
        margin = math.ceil((math.sqrt(2) - 1) / 2 * (size - 1))
        corners = _anywhere(right, test_per_class, size, margin, random)
        angles = random.uniform(0, 2 * math.pi, test_per_class)
        test.append(_patches(right, corners, angles * rotate, size))
    labels = torch.arange(len(_TEXTURES))
    return Dataset(
        "textures-rotated" if rotate else "textures",
        torch.cat(train),
        labels.repeat_interleave(per_class),
        torch.cat(test),
        labels.repeat_interleave(test_per_class),
        _TEXTURES,
    )


def _photograph(name: str) -> Tensor:
    """A texture [512, 512], float64 in [0, 1]: a file of scikit-image's package, none to fetch."""
    try:
        import skimage
        from PIL import Image
    except ImportError as error:
        raise ImportError(
            "the textures ship with scikit-image, which is not installed: "
            "pip install scikit-image pillow"
        ) from error
    file = Path(skimage.__file__).parent / "data" / f"{name}.png"
    try:
        with Image.open(file, formats=("PNG",)) as image:
            pixels = np.asarray(image.convert("L"), np.float64) / 255
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{file}: this scikit-image has no such photograph ({error})") from None
    return torch.from_numpy(pixels)


def _side_by_side(photograph: Tensor, size: int, random: np.random.RandomState) -> np.ndarray:
    """Corners [k, 2] of the squares that a photograph divides into, in random order."""
    rows, columns = (np.arange(0, n - size + 1, size) for n in photograph.shape)
    corners = np.stack(np.meshgrid(rows, columns, indexing="ij"), -1).reshape(-1, 2)
    return random.permutation(corners)


def _anywhere(
    photograph: Tensor, count: int, size: int, margin: int, random: np.random.RandomState
) -> np.ndarray:
    """Corners [count, 2] of squares at least `margin` pixels from the border."""
    places = [random.randint(margin, n - size - margin + 1, count) for n in photograph.shape]
    return np.stack(places, -1)


def _patches(photograph: Tensor, corners: np.ndarray, angles: np.ndarray, size: int) -> Tensor:
    """Squares [count, size, size] with corners [count, 2], turned by angles [count] in radians."""
    M, N = photograph.shape
    count = len(corners)
    centre = (size - 1) / 2
    v, u = np.meshgrid(np.arange(size) - centre, np.arange(size) - centre, indexing="ij")
    cos, sin = (f(angles)[:, None, None] for f in (np.cos, np.sin))
    rows = corners[:, :1, None] + centre + cos * v - sin * u  # [count, size, size]
    columns = corners[:, 1:, None] + centre + sin * v + cos * u
    grid = np.stack([2 * columns / (N - 1) - 1, 2 * rows / (M - 1) - 1], -1)
    patches = torch.nn.functional.grid_sample(
        photograph.expand(count, 1, M, N), torch.from_numpy(grid), align_corners=True
    )[:, 0]
    patches = patches - patches.mean((1, 2), keepdim=True)
    return (patches / patches.std((1, 2), correction=0, keepdim=True)).to(torch.float32)
