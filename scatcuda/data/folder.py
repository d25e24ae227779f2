"""Image folders, as ImageNet is kept: `train/class/*.jpg`. Images are decoded when asked for.

folder_dataset() -> Dataset of `Images` [n, 3, size, size] uint8
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..arguments import integer
from .dataset import Dataset
from .error import DataError

if TYPE_CHECKING:
    from PIL import Image

_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".ppm", ".pgm", ".webp", ".tif", ".tiff", ".gif")
_FORMATS = ("JPEG", "PNG", "BMP", "PPM", "WEBP", "TIFF", "GIF")  # no format that runs a program
_BLOCK = 4096  # images
_MAX_PIXELS = 1 << 27  # a small file can claim many pixels; the largest photographs have fewer


class Images:
    """Image files as an array ``[n, 3, size, size]`` or ``[n, size, size]`` (grey) of uint8.

    ``images[index]`` with a slice or an int64 tensor of indices is a tensor, decoded in parallel;
    with an int it is one image. Of each image the central square is kept whose side is `crop`
    times the image's shorter side, resampled to `size` with a bilinear filter wide enough that
    nothing aliases: ImageNet's usual "256, then the central 224" in one step.

    Args:
        files: JPEG, PNG, BMP, PPM, WebP, TIFF or GIF files with 8 bits a channel.
        size: side of the images in pixels, at least 1.
        crop: above 0 and at most 1.
        grey: one channel of brightness instead of red, green and blue.
    Raises:
        TypeError, ValueError: an argument is not as above.
        ImportError: Pillow is not installed.
        DataError: on indexing; a file is missing, damaged, or larger than 2²⁷ pixels.
    Example:
        >>> import tempfile; from PIL import Image
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Image.new("RGB", (30, 20), "red").save(f"{folder}/red.png")
        ...     Images([f"{folder}/red.png"], size=8)[:].shape
        torch.Size([1, 3, 8, 8])
    """

    def __init__(
        self,
        files: Sequence[str | os.PathLike[str]],
        size: int = 224,
        *,
        crop: float = 0.875,
        grey: bool = False,
    ) -> None:
        size = integer("Images", "size", size, 1)
        if not 0 < crop <= 1:
            raise ValueError(f"Images: crop must be above 0 and at most 1, got {crop}")
        try:
            import PIL.Image  # noqa: F401
        except ImportError as error:
            raise ImportError(
                "image files need Pillow, which is not installed: pip install pillow"
            ) from error
        self.files: tuple[str, ...] = tuple(os.fspath(file) for file in files)
        self.size: int = size
        self.crop: float = crop
        self.grey: bool = grey

    dtype: torch.dtype = torch.uint8

    @property
    def shape(self) -> torch.Size:
        return torch.Size((len(self.files), *([] if self.grey else [3]), self.size, self.size))

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __len__(self) -> int:
        return len(self.files)

    def __repr__(self) -> str:
        return f"Images({list(self.shape)}, uint8, crop={self.crop})"

    def __getitem__(self, index: int | slice | Tensor) -> Tensor:
        if isinstance(index, slice):
            files: Sequence[str] = self.files[index]
        elif isinstance(index, Tensor) and index.dtype == torch.int64 and index.ndim == 1:
            files = [self.files[i] for i in index.tolist()]
        elif isinstance(index, int) and not isinstance(index, bool):
            return torch.from_numpy(self._decode(self.files[index]).copy())
        else:
            kind = index.dtype if isinstance(index, Tensor) else type(index).__name__
            raise TypeError(f"Images: expected a slice or an int64 tensor [n], got {kind}")
        batch = torch.empty(len(files), *self.shape[1:], dtype=self.dtype)
        images = batch.numpy()

        def decode(i: int) -> None:
            images[i] = self._decode(files[i])

        # A pool for each batch costs a millisecond and leaves no thread behind that a fork loses.
        with ThreadPoolExecutor(min(len(files), os.cpu_count() or 1) or 1) as pool:
            for _ in pool.map(decode, range(len(files))):
                pass
        return batch

    def hashes(self, index: Tensor) -> Iterator[bytes]:
        """Of the files of some images a hash of their bytes each, 16 bytes long."""
        files = [self.files[i] for i in index.tolist()]
        for start in range(0, len(files), _BLOCK):
            with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
                yield from pool.map(_hash, files[start : start + _BLOCK])

    def states(self, index: Tensor) -> Tensor:
        """Size, time and number of some of the files ``[n, 3]``: others when one is written to."""
        try:
            found = [os.stat(self.files[i]) for i in index.tolist()]
        except OSError as error:
            raise DataError(f"{error.filename}: cannot be read ({error.strerror})") from None
        rows = [(state.st_size, state.st_mtime_ns, state.st_ino) for state in found]
        return torch.tensor(rows, dtype=torch.int64).reshape(-1, 3)

    def damaged(self) -> Iterator[tuple[str, DataError]]:
        """Decode every image; those that cannot be, in order, with the reason."""
        for start in range(0, len(self), _BLOCK):  # not a million tasks at once
            with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
                found = pool.map(self._problem, self.files[start : start + _BLOCK])
                yield from filter(None, found)

    def _problem(self, file: str) -> tuple[str, DataError] | None:
        try:
            self._decode(file)
        except DataError as error:
            return file, error
        return None

    def _decode(self, file: str) -> np.ndarray:
        """Pixels [3, size, size] or [size, size]."""
        from PIL import Image

        try:
            # In memory: of a file Pillow asks for as many bytes as its chunks say they have.
            raw = io.BytesIO(Path(file).read_bytes())
            with Image.open(raw, formats=_FORMATS) as image:
                if image.width * image.height > _MAX_PIXELS:
                    raise ValueError(f"{image.width} x {image.height} pixels are too many")
                if image.mode[0] in "IF":
                    raise ValueError(f"pixels of mode {image.mode}, not of 8 bits a channel")
                pixels = np.asarray(self._central_square(image))
        except FileNotFoundError:
            raise DataError(f"{file}: no such file") from None
        except Exception as error:  # Pillow's decoders raise whatever a damaged file makes them
            reason = str(error).partition(" <_io.")[0] or type(error).__name__
            raise DataError(f"{file}: not an image that can be read ({reason})") from None
        return pixels if self.grey else pixels.transpose(2, 0, 1)

    def _central_square(self, image: Image.Image) -> Image.Image:
        from PIL import Image

        mode, side = "L" if self.grey else "RGB", self.size / self.crop
        image.draft(mode, (int(side) + 1, int(side) + 1))  # JPEG: decodes no more than is needed
        width, height = image.size
        half = self.crop * min(width, height) / 2
        box = (width / 2 - half, height / 2 - half, width / 2 + half, height / 2 + half)
        bilinear = Image.Resampling.BILINEAR
        # Only the square is resampled: a strip a pixel high would grow into gigabytes.
        return image.convert(mode).resize((self.size, self.size), bilinear, box)


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


def _hash(file: str) -> bytes:
    try:
        return hashlib.blake2b(Path(file).read_bytes(), digest_size=16).digest()
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        reason = "no such file" if missing else f"cannot be read ({error.strerror or error})"
        raise DataError(f"{file}: {reason}") from None


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
