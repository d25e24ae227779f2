"""From the bytes of an image file to pixels: what every image goes through, whatever it is called.

    decoded(raw, name, size, crop, grey)   -> [3, M, N] or [M, N] uint8
    pixels_of(image, name, size, crop, grey)  the same of Pillow's image
    grey_levels(raw, name)                 -> [M, N] float32, from 0 to 1, of all the file's bits
    dimensions(raw, name)                  -> (M, N), of the header

- The content tells the format, not the name: JPEG, PNG, BMP, PPM and PFM, WebP, TIFF, GIF,
  JPEG 2000, AVIF. None of them runs a program. Of several pictures in a file it is the first.
- EXIF's orientation is applied: what was taken upright is upright.
- What is transparent shows a white background.
- Grey levels of more than 8 bits are read at the range of their type, black to white: 16-bit and
  other integers from 0 to 65535, floating-point ones from 0 to 1. Levels beyond are an error: no
  image is stretched by what happens to be in it.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...files.budget import room
from ...files.error import DataError

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES = (
    ".apng", ".avif", ".avifs", ".bmp", ".gif", ".j2c", ".j2k", ".jfif", ".jp2", ".jpc", ".jpe",
    ".jpeg", ".jpf", ".jpg", ".jpx", ".mpo", ".pbm", ".pfm", ".pgm", ".png", ".pnm", ".ppm", ".tif",
    ".tiff", ".webp",
    ".heic", ".heics", ".heif", ".hif", ".jxl",  # images too, though not to Pillow: never left out
)  # fmt: skip
FORMATS = ("JPEG", "PNG", "BMP", "PPM", "WEBP", "TIFF", "GIF", "JPEG2000", "AVIF")
_WHITE = {"I": 65535.0, "F": 1.0}  # by the first letter of Pillow's modes of more than 8 bits
_WORK = {"WEBP": 8, "AVIF": 8, "JPEG2000": 20}  # bytes a pixel that the decoder has for itself
_EXIF_ORIENTATION = 274
_UPRIGHT = {  # what makes an image upright
    2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE", 6: "ROTATE_270",
    7: "TRANSVERSE", 8: "ROTATE_90",
}  # fmt: skip
_HEIF = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")


def decoded(
    raw: bytes, name: str, size: int | tuple[int, int], crop: float, grey: bool
) -> NDArray[np.uint8]:
    """Pixels of an encoded image, cropped and resampled; see `Images`.

    Raises: DataError: it is damaged, of a format that is not read, or takes too much memory.
    """
    with _opened(raw, name) as image:
        if isinstance(size, int):
            side = int(size / crop) + 1
            # JPEG: decodes no more than is needed
            image.draft("L" if grey else "RGB", (side, side))
        return pixels_of(image, name, size, crop, grey)


def pixels_of(
    image: Image.Image, name: str, size: int | tuple[int, int], crop: float, grey: bool
) -> NDArray[np.uint8]:
    """Those of Pillow's image, which may not be loaded yet; see `decoded`."""
    pixels = _upright_levels(image, name, size, crop, grey)
    if pixels.dtype != np.uint8:
        pixels = np.rint(pixels).clip(0, 255).astype(np.uint8)
        pixels = pixels if grey else np.repeat(pixels[..., None], 3, 2)
    return pixels if grey else pixels.transpose(2, 0, 1)


def grey_levels(raw: bytes, name: str) -> NDArray[np.float32]:
    """Grey levels of an encoded image from 0, black, to 1, white, as fine as the file has them.

    Raises: DataError, as `decoded`.
    """
    with _opened(raw, name) as image:
        levels = _upright_levels(image, name, None, 1.0, True)
    return np.asarray(levels, np.float32) / np.float32(255)


def _upright_levels(
    image: Image.Image, name: str, size: int | tuple[int, int] | None, crop: float, grey: bool
) -> NDArray[Any]:
    """From 0 to 255: uint8, of more than 8 bits float32, which has one grey level for colours."""
    from PIL.Image import Transpose

    with room(name, image.width * image.height * _bytes_a_pixel(image)):
        image.load()
        orientation = _orientation(image)
        found = _upright(image, orientation)
        if isinstance(size, tuple) and found != size:
            there, wanted = (f"{N} x {M}" for M, N in (found, size))
            raise DataError(f"{name}: {there} pixels, where all images have {wanted}")
        levels = _levels(image, "L" if grey else "RGB")
        if isinstance(size, int):
            levels = _central_square(levels, size, crop)
        if orientation > 1:
            levels = levels.transpose(Transpose[_UPRIGHT[orientation]])
        return np.asarray(levels)


def dimensions(raw: bytes, name: str) -> tuple[int, int]:
    """Height and width of an encoded image, upright; its pixels are not decoded.

    Raises: DataError.
    """
    with _opened(raw, name) as image:
        # Of TIFF Pillow tells them upright.
        return _upright(image, 1 if image.format == "TIFF" else _orientation(image))


def _upright(image: Image.Image, orientation: int) -> tuple[int, int]:
    """Height and width when it is turned."""
    return (image.width, image.height) if orientation > 4 else (image.height, image.width)


@contextmanager
def _opened(raw: bytes, name: str) -> Iterator[Image.Image]:
    """Pillow's image of some bytes; whatever goes wrong with it becomes a `DataError`."""
    from PIL import Image

    try:
        Image.init()
        formats = [name for name in FORMATS if name in Image.OPEN]
        # In memory: of a file Pillow asks for as many bytes as its chunks say they have.
        with Image.open(io.BytesIO(raw), formats=formats) as image:
            yield image
    except (DataError, MemoryError):
        raise
    except Exception as error:  # Pillow's decoders raise whatever a damaged file makes them
        foreign = _foreign(raw)
        if foreign:
            raise DataError(
                f"{name}: {foreign}, a format that Pillow has no plug-in for here; convert it to "
                "PNG or JPEG"
            ) from None
        reason = str(error).partition(" <_io.")[0] or type(error).__name__
        raise DataError(f"{name}: not an image that can be read ({reason})") from None


def _foreign(raw: bytes) -> str:
    """The name of an image format that Pillow does not read, by its first bytes."""
    from PIL import Image

    if raw.startswith((b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")):
        return "JPEG XL"
    if raw[4:8] != b"ftyp":
        return ""
    brands = raw[8 : max(16, min(int.from_bytes(raw[:4], "big"), 256))]
    names = [brands[i : i + 4] for i in range(0, len(brands), 4)]
    if b"avif" in names or b"avis" in names:
        return "" if "AVIF" in Image.OPEN else "AVIF"
    return "HEIC" if any(name in _HEIF for name in names) else ""


def _bytes_a_pixel(image: Image.Image) -> int:
    """What decoding takes: the decoder's, the image, and what it is converted to."""
    loaded = 1 if image.mode in ("1", "L", "P") else 4
    converted = 8 if image.mode[0] in _WHITE or image.has_transparency_data else 4
    return _WORK.get(image.format or "", 0) + loaded + converted


def _orientation(image: Image.Image) -> int:
    """EXIF's: 1 is upright; from 5 on, height and width change places."""
    try:
        orientation = image.getexif().get(_EXIF_ORIENTATION)
    except Exception:  # damaged EXIF says nothing
        return 1
    return orientation if orientation in _UPRIGHT else 1


def _levels(image: Image.Image, mode: str) -> Image.Image:
    """An image in `mode`; grey of more than 8 bits from 0 to 255 in floating point instead."""
    from PIL import Image

    if image.mode[0] in _WHITE:
        white, values = _WHITE[image.mode[0]], np.asarray(image)
        low, high = values.min(), values.max()
        if not (low >= 0 and high <= white):
            raise ValueError(
                f"grey levels from {low:g} to {high:g}; those of its type are read from 0, black, "
                f"to {white:g}, white"
            )
        grey = np.multiply(values, np.float32(255 / white), dtype=np.float32)
        transparent = image.info.get("transparency")
        if isinstance(transparent, int):
            grey[values == transparent] = 255
        return Image.fromarray(grey)
    if image.has_transparency_data:
        above = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", above.size, "white"), above)
    return image.convert(mode)


def _central_square(image: Image.Image, size: int, crop: float) -> Image.Image:
    from PIL import Image

    width, height = image.size
    half = crop * min(width, height) / 2
    box = (width / 2 - half, height / 2 - half, width / 2 + half, height / 2 + half)
    # Only the square is resampled: a strip a pixel high would grow into gigabytes.
    return image.resize((size, size), Image.Resampling.BILINEAR, box)
