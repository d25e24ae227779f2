"""scatcuda.data: image files as an array, and what is made of their pixels."""

from __future__ import annotations

import io
import os
import struct
import zlib

import numpy as np
import pytest
import torch
from data_files import write_folders
from PIL import Image

from scatcuda.data import DataError, Images, folder_dataset, set_file_budget
from scatcuda.data.folders.decode import FORMATS, SUFFIXES, dimensions


def save(path, array, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)
    return path


def test_indices_choose_as_of_a_tensor(tmp_path):
    write_folders(tmp_path)
    images = folder_dataset(tmp_path, size=4).train_x
    everything = images[:]
    assert everything.shape == (6, 3, 4, 4) and everything.dtype == torch.uint8
    rows, mask = [5, 0, 0, -1], [True, False, False, True, True, False]
    single = (2, -1, np.int64(2), np.uint8(3), np.array(1), torch.tensor(4))
    many = (
        rows, np.array(rows), np.array(rows[:3], np.uint8), torch.tensor(rows, dtype=torch.int32),
        mask, np.array(mask), torch.tensor(mask), [], np.array([], int), torch.tensor([]).long(),
        [False] * 6, [np.int64(1), np.int64(0)],
    )  # fmt: skip
    for index in (slice(1, 4), slice(5, None), slice(0, 0), slice(9), slice(None, None, -2)):
        assert torch.equal(images[index], torch.from_numpy(everything.numpy()[index].copy()))
    for index in (*single, *many):
        place = np.asarray(index) if np.size(index) else slice(0)
        expected = torch.as_tensor(everything.numpy()[place if np.ndim(index) else int(index)])
        assert torch.equal(images[index], expected), index


@pytest.mark.parametrize(
    "index", [6, -7, torch.tensor([0, 6]), [-7], np.array([6]), [True], torch.tensor([True] * 7)],
    ids=str,
)  # fmt: skip
def test_indices_out_of_range(index, tmp_path):
    write_folders(tmp_path)
    with pytest.raises(IndexError, match=r"Images: (index -?[67] is out|a mask of)"):
        folder_dataset(tmp_path, size=4).train_x[index]


@pytest.mark.parametrize(
    "index", ["a", 1.0, True, np.True_, None, ..., (0, 1), [0.0], ["a"], [[0]], [0, [1]],
              torch.tensor([0.0]), torch.tensor([[0]]), np.array([[True]]), np.array(["a"]),
              torch.tensor([1, 0], dtype=torch.uint8)],
    ids=str,
)  # fmt: skip
def test_what_is_no_index(index, tmp_path):
    write_folders(tmp_path)
    with pytest.raises(TypeError, match="expected an integer, a slice, or indices or a mask"):
        folder_dataset(tmp_path, size=4).train_x[index]


class Member:
    """A `Source`: the bytes of a picture, wherever they are from."""

    def __init__(self, name, raw):
        self.name, self.raw = name, raw

    def read(self):
        if self.raw is None:
            raise DataError(f"{self.name}: it is gone")
        return self.raw

    def state(self):
        return len(self.raw or b""), 7, id(self) % 1000


def test_sources(tmp_path):
    file = save(tmp_path / "x.png", np.full((4, 4), 200, "u1"))
    members = [Member("all.tar: x.png", file.read_bytes()), Member("y.png", b"damaged"), file]
    images = Images(members, 4, grey=True)
    assert images.files == ("all.tar: x.png", "y.png", str(file))
    assert torch.equal(images[0], images[2]) and images[0].unique().tolist() == [200]
    hashes = list(images.hashes(torch.tensor([2, 0, 1])))
    assert hashes[0] == hashes[1] != hashes[2]
    assert images.states(torch.tensor([1, 0])).tolist() == [
        list(members[1].state()), list(members[0].state()),
    ]  # fmt: skip
    with pytest.raises(DataError, match=r"^y\.png: not an image"):
        images[:]
    assert [name for name, _ in images.damaged()] == ["y.png"]
    members[0].raw = None
    for call in (lambda: images[0], lambda: list(images.hashes(torch.tensor([0])))):
        with pytest.raises(DataError, match=r"^all\.tar: x\.png: it is gone$"):
            call()


def test_the_central_square_is_resampled(tmp_path):
    ramp = np.add.outer(np.zeros(100), np.arange(200)).astype("u1")
    file = save(tmp_path / "ramp.png", ramp)
    whole = Images([file], size=10, crop=1.0, grey=True)[0]
    assert whole.shape == (10, 10)
    # Pixels 50 to 150 are kept, ten of them in each of the new ones.
    assert np.allclose(whole[0], 50 + 10 * np.arange(10) + 4.5, atol=1)
    half = Images([file], size=10, crop=0.5, grey=True)[0]
    assert np.allclose(half[0], 75 + 5 * np.arange(10) + 2, atol=1)
    same = Images([save(tmp_path / "square.png", ramp[:100, :100])], size=100, crop=1.0, grey=True)
    assert np.array_equal(same[0].numpy(), ramp[:100, :100])


def test_nothing_aliases(tmp_path):
    stripes = np.tile(np.array([0, 255], "u1"), (512, 256))
    small = Images([save(tmp_path / "stripes.png", stripes)], size=32, crop=1.0, grey=True)[0]
    assert (small.float() - 127.5).abs().max() < 3


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr"])
@pytest.mark.parametrize("grey", [True, False])
def test_modes(tmp_path, mode, grey):
    image = Image.new("RGB", (9, 9), "white").convert(mode)
    image.save(tmp_path / "x.tif" if mode in ("CMYK", "YCbCr") else tmp_path / "x.png")
    (file,) = tmp_path.iterdir()
    x = Images([file], size=4, grey=grey)[:]
    assert x.shape == ((1, 4, 4) if grey else (1, 3, 4, 4)) and x.min() > 250


def test_large_photographs_are_decoded_smaller_with_the_same_result(tmp_path):
    ramp = np.add.outer(np.arange(1600) / 8, np.arange(1600) / 36).astype("u1")
    jpeg, png = save(tmp_path / "x.jpg", ramp, quality=95), save(tmp_path / "x.png", ramp)
    small, exact = Images([jpeg, png], size=32, grey=True)[:].float()
    assert (small - exact).abs().max() <= 2


def png_bytes() -> bytes:
    file = io.BytesIO()
    noise = np.random.RandomState(0).randint(0, 256, (9, 9, 3)).astype("u1")
    Image.fromarray(noise).save(file, "PNG")
    return file.getvalue()


def png_that_claims(width: int, height: int) -> bytes:
    raw = bytearray(png_bytes())
    raw[16:24] = struct.pack(">II", width, height)
    raw[29:33] = struct.pack(">I", zlib.crc32(raw[12:29]))
    return bytes(raw)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(
    "raw, problem",
    [
        (b"", "cannot identify image file"),
        (b"not an image", "cannot identify image file"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nquit\n", "cannot identify image file"),
        (png_bytes()[:60], "truncated"),
        (png_that_claims(60_000, 60_000), "decompression bomb"),
        (png_that_claims(1 << 27, 2), "decompression bomb"),
    ],
)
def test_broken_image(tmp_path, raw, problem):
    write_folders(tmp_path)
    (tmp_path / "train" / "red" / "1.png").write_bytes(raw)
    images = folder_dataset(tmp_path, size=8).train_x
    with pytest.raises(DataError, match=problem) as caught:
        images[:]
    assert str(caught.value).startswith(f"{tmp_path / 'train' / 'red' / '1.png'}: ")
    assert "\n" not in str(caught.value)
    assert [file for file, _ in images.damaged()] == [images.files[4]]
    assert images[:4].shape == (4, 3, 8, 8)


def test_missing_image(tmp_path):
    with pytest.raises(DataError, match=r"x.png: no such file"):
        Images([tmp_path / "x.png"])[:]


def test_a_strip_does_not_grow(tmp_path):
    """Its short side enlarged to that of the others, it would take 45 GB."""
    file = save(tmp_path / "strip.png", np.zeros((1, 60_000), "u1"))
    assert Images([file], size=224)[:].shape == (1, 3, 224, 224)


# --- formats ----------------------------------------------------------------------------------


def encoded(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def test_suffixes_are_pillows():
    theirs = {s for s, kind in Image.registered_extensions().items() if kind in (*FORMATS, "MPO")}
    assert set(SUFFIXES) - theirs == {".heic", ".heics", ".heif", ".hif", ".jxl"}
    assert theirs <= set(SUFFIXES)


@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize("kind", FORMATS)
def test_the_content_tells_the_format(kind, suffix, tmp_path):
    if kind == "AVIF" and kind not in (Image.init() or Image.OPEN):
        pytest.skip("this Pillow reads no AVIF")
    image = Image.new("RGB", (40, 20), (250, 0, 0))
    (tmp_path / f"x.{suffix}").write_bytes(encoded(image, kind))
    x = Images([tmp_path / f"x.{suffix}"], 16)[0].float().mean((1, 2))
    assert np.allclose(x, (250, 0, 0), atol=3)
    assert dimensions((tmp_path / f"x.{suffix}").read_bytes(), "x") == (20, 40)


FTYP = b"\0\0\0\x18ftyp%s\0\0\0\0mif1%s"
FOREIGN = {
    "HEIC": [FTYP % (b"heic", b"heic"), FTYP % (b"mif1", b"heic"), FTYP % (b"hevc", b"miaf")],
    "JPEG XL": [b"\xff\x0a\xfa\x1f", b"\0\0\0\x0cJXL \r\n\x87\n\0\0\0\x14ftypjxl "],
}


@pytest.mark.parametrize("kind", FOREIGN)
@pytest.mark.parametrize("suffix", ["jpg", "heic"])
def test_formats_without_a_plug_in_are_named(kind, suffix, tmp_path):
    for raw in FOREIGN[kind]:
        (tmp_path / f"x.{suffix}").write_bytes(raw + bytes(100))
        with pytest.raises(DataError, match=f"x.{suffix}: {kind}, a format that Pillow has no"):
            Images([tmp_path / f"x.{suffix}"])[0]


def test_a_damaged_or_unreadable_avif_is_told_apart(tmp_path, monkeypatch):
    raw = FTYP % (b"avif", b"miaf") + bytes(100)
    (tmp_path / "x.avif").write_bytes(raw)
    if "AVIF" in (Image.init() or Image.OPEN):
        with pytest.raises(DataError, match="not an image that can be read"):
            Images([tmp_path / "x.avif"])[0]
    monkeypatch.delitem(Image.OPEN, "AVIF", raising=False)
    with pytest.raises(DataError, match="AVIF, a format that Pillow has no plug-in for here"):
        Images([tmp_path / "x.avif"])[0]


# --- upright, opaque, eight bits --------------------------------------------------------------


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turns_images_upright(kind, orientation, tmp_path):
    if kind == "AVIF" and kind not in (Image.init() or Image.OPEN):
        pytest.skip("this Pillow reads no AVIF")
    upright = np.zeros((40, 60), "u1")
    upright[:20, :30], upright[20:, :30] = 240, 120  # every turn and flip of it is another image
    # Stored as the camera holds it: what EXIF's number says is done to it brings it back.
    stored = {
        1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1], 5: upright.T,
        6: np.rot90(upright), 7: upright[::-1, ::-1].T, 8: np.rot90(upright, -1),
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[274] = orientation
    options = {"exif": exif} | ({"quality": 95} if kind in ("JPEG", "WEBP", "AVIF") else {})
    raw = encoded(Image.fromarray(np.ascontiguousarray(stored)).convert("RGB"), kind, **options)
    (tmp_path / "x").write_bytes(raw)
    expected = torch.from_numpy(upright).float()
    whole = Images([tmp_path / "x"], (40, 60), grey=True)[0].float()
    assert (whole - expected).abs().mean() < 4
    square = Images([tmp_path / "x"], 20, crop=1.0)[0].float()
    assert (square - expected[None, ::2, 10:50:2]).abs().mean() < 8
    assert dimensions(raw, "x") == (40, 60)


def test_damaged_exif_says_nothing(tmp_path):
    image = Image.new("L", (8, 8), 200)
    (tmp_path / "x.jpg").write_bytes(encoded(image, "JPEG", exif=b"Exif\0\0MM\0*\xff\xff"))
    assert (Images([tmp_path / "x.jpg"], 8)[0].float() - 200).abs().max() < 3


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "L", "RGB", "I;16", "GIF"])
def test_transparency_shows_white(mode, tmp_path):
    """Hidden colours do not come to light: the left half is transparent black."""
    rgba = np.zeros((8, 8, 4), "u1")
    rgba[:, 4:] = (100, 100, 100, 255)
    rgba[:, 2:4, 3] = 51 if mode in ("RGBA", "LA") else 0  # a fifth
    if mode == "I;16":
        grey = np.where(rgba[..., 3] > 0, 100 * 257, 5).astype("u2")
        raw = encoded(Image.fromarray(grey), "PNG", transparency=5)
    elif mode in ("RGBA", "LA"):
        raw = encoded(Image.fromarray(rgba).convert(mode), "PNG")
    else:
        image = Image.fromarray(rgba[..., 0]).convert("L" if mode == "GIF" else mode)
        transparent = (0, 0, 0) if mode == "RGB" else 0
        if mode == "P":
            transparent = image.getpixel((0, 0))
        raw = encoded(image, "GIF" if mode == "GIF" else "PNG", transparency=transparent)
    (tmp_path / "x").write_bytes(raw)
    for grey in (True, False):
        x = Images([tmp_path / "x"], 8, crop=1.0, grey=grey)[0]
        assert x[..., :2].unique().tolist() == [255] and x[..., 4:].unique().tolist() == [100]
        assert x[..., 2:4].unique().tolist() == [204 if mode in ("RGBA", "LA") else 255]


RAMP = np.arange(64).reshape(8, 8) / 63


@pytest.mark.parametrize("grey", [True, False])
@pytest.mark.parametrize(
    "kind, dtype, white",
    [("PNG", "u2", 65535), ("TIFF", "u2", 65535), ("JPEG2000", "u2", 65535), ("PPM", "u2", 65535),
     ("TIFF", ">u2", 65535), ("TIFF", "i4", 65535), ("TIFF", "f4", 1), ("PPM", "f4", 1)],
)  # fmt: skip
def test_grey_levels_of_more_bits(kind, dtype, white, grey, tmp_path):
    values = (RAMP * white).round(0 if white > 1 else 6).astype(dtype)
    image = Image.frombuffer("I;16B", (8, 8), values.tobytes(), "raw", "I;16B", 0, 1) \
        if dtype == ">u2" else Image.fromarray(values)  # fmt: skip
    raw = encoded(image, kind, **({"irreversible": False} if kind == "JPEG2000" else {}))
    if dtype == "f4" and kind == "PPM":
        assert raw.startswith(b"Pf")
    (tmp_path / "x").write_bytes(raw)
    x = Images([tmp_path / "x"], 8, crop=1.0, grey=grey)[0].numpy()
    assert x.dtype == np.uint8 and x.shape == ((8, 8) if grey else (3, 8, 8))
    assert np.abs(x - 255 * RAMP).max() <= 0.5 + 1e-3
    assert np.array_equal(Images([tmp_path / "x"], (8, 8), grey=grey)[0].numpy(), x)


def test_other_bits_of_a_pgm_are_told_by_its_header(tmp_path):
    values = (RAMP * 4095).round().astype(">u2")
    (tmp_path / "x.pgm").write_bytes(b"P5 8 8 4095\n" + values.tobytes())
    x = Images([tmp_path / "x.pgm"], 8, crop=1.0, grey=True)[0].numpy()
    assert np.abs(x - 255 * RAMP).max() <= 0.51


@pytest.mark.parametrize(
    "values, words",
    [(RAMP * 255, "from 0 to 255; those of its type are read from 0, black, to 1, white"),
     (RAMP - 0.5, "from -0.5 to 0.5"), (RAMP * np.nan, "from nan to nan"),
     (np.where(RAMP == 1, np.inf, 0), "to inf")],
)  # fmt: skip
def test_levels_that_say_nothing_of_black_and_white(values, words, tmp_path):
    save(tmp_path / "x.tif", values.astype("f4"))
    with pytest.raises(DataError, match=f"x.tif: .*{words}"):
        Images([tmp_path / "x.tif"])[0]
    if np.isfinite(values).all():
        save(tmp_path / "x.tif", (values * 1e6 - 1).astype("i4"))
        with pytest.raises(DataError, match="to 65535, white"):
            Images([tmp_path / "x.tif"])[0]


def test_sixteen_bits_of_colour(tmp_path):
    values = np.full((4, 4, 3), (65535, 257 * 100, 0), ">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in values)
    header = struct.pack(">IIBBBBB", 4, 4, 16, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    raw = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    (tmp_path / "x.png").write_bytes(raw)
    assert Images([tmp_path / "x.png"], 4)[0].amax((1, 2)).tolist() == [255, 100, 0]


# --- sizes ------------------------------------------------------------------------------------


def test_images_of_one_size_are_left_as_they_are(tmp_path):
    noise = np.random.RandomState(0).randint(0, 256, (2, 12, 20, 3)).astype("u1")
    files = [save(tmp_path / f"{i}.png", noise[i]) for i in range(2)]
    images = Images(files, (12, 20))
    assert images.shape == (2, 3, 12, 20) and repr(images) == "Images([2, 3, 12, 20], uint8)"
    assert np.array_equal(images[:].numpy(), noise.transpose(0, 3, 1, 2))
    images = Images([*files, save(tmp_path / "2.png", noise[0, :, :19])], (12, 20))
    with pytest.raises(DataError, match=r"2\.png: 19 x 12 pixels, where all images have 20 x 12"):
        images[:]


@pytest.mark.parametrize(
    "size", [(0, 4), (4, -1), (4,), (4, 4, 4), (4, 4.5), 0, -1, 2.5, "4", True]
)
def test_what_is_no_size(size, tmp_path):
    with pytest.raises((TypeError, ValueError), match=r"Images: s(ize|hape) must be"):
        Images([], size)


def test_the_budget_holds_for_pixels(tmp_path):
    file = save(tmp_path / "x.png", np.zeros((1024, 1024, 3), "u1"))
    try:
        set_file_budget(8 << 20)
        assert Images([file] * 8, 8)[:].shape == (8, 3, 8, 8)  # one after the other
        set_file_budget(4 << 20)
        with pytest.raises(DataError, match=r"x\.png: reading it would take 8 MiB of memory"):
            Images([file], 8)[:]
    finally:
        set_file_budget(None)


def test_only_regular_files_are_opened(tmp_path):
    os.mkfifo(tmp_path / "x.png")
    (tmp_path / "y.png").symlink_to("/dev/zero")
    for name, kind in (("x.png", "a named pipe"), ("y.png", "a device")):
        with pytest.raises(DataError, match=f"{name}: {kind}, where a file is expected"):
            Images([tmp_path / name])[0]
