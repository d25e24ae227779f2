"""scatcuda.data: folders of images, decoded when asked for."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
import torch
from data_files import write_folders
from PIL import Image

from scatcuda.data import DataError, Images, folder_dataset


def save(path, array, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)
    return path


@pytest.mark.parametrize("part", ["val", "test"])
@pytest.mark.parametrize("suffix", ["png", "JPG", "bmp"])
def test_folders(tmp_path, part, suffix):
    write_folders(tmp_path / "set", ("train", part), suffix)
    (tmp_path / "set" / "train" / "red" / "notes.txt").touch()
    (tmp_path / "set" / "train" / "red" / ".hidden.png").touch()
    (tmp_path / "set" / "train" / ".cache").mkdir()
    data = folder_dataset(tmp_path / "set", size=8)
    assert data.name == "set" and data.classes == ("blue", "red")
    assert data.train_y.tolist() == data.test_y.tolist() == [0, 0, 0, 1, 1, 1]
    assert isinstance(data.train_x, Images) and data.train_x.shape == (6, 3, 8, 8)
    assert data.train_x.dtype == torch.uint8 and len(data.train_x) == 6
    colours = data.train_x[:].amax((2, 3)).tolist()
    for colour, expected in zip(colours, [(0, 0, 100 + i) for i in range(3)], strict=False):
        assert np.allclose(colour, expected, atol=3)  # JPEG loses that much


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


def test_split(tmp_path):
    write_folders(tmp_path, (".",), count=10)
    data = folder_dataset(tmp_path, size=4, split=0.3, seed=1)
    assert data.train_y.bincount().tolist() == [7, 7] and data.test_y.bincount().tolist() == [3, 3]
    assert not set(data.train_x.files) & set(data.test_x.files)
    for file, label in zip(data.test_x.files, data.test_y.tolist(), strict=True):
        assert f"/{data.classes[label]}/" in file
    assert folder_dataset(tmp_path, split=0.3, seed=1).test_x.files == data.test_x.files
    assert folder_dataset(tmp_path, split=0.3, seed=2).test_x.files != data.test_x.files
    assert len(folder_dataset(tmp_path, split=0.999).train_x) == 2
    assert len(folder_dataset(tmp_path, split=0.001).test_x) == 2


def test_split_of_a_training_set_alone(tmp_path):
    write_folders(tmp_path, ("train",))
    with pytest.raises(DataError, match="no test/ or val/ beside train/: give split="):
        folder_dataset(tmp_path)
    assert len(folder_dataset(tmp_path, split=0.5).test_x) == 4
    write_folders(tmp_path, ("val",))
    with pytest.raises(ValueError, match="split is for folders without a test set"):
        folder_dataset(tmp_path, split=0.5)


def test_folders_that_are_none(tmp_path):
    def refused(problem, **options):
        with pytest.raises(DataError, match=problem):
            folder_dataset(tmp_path, **options)

    refused("expected a directory for each of two or more classes")
    write_folders(tmp_path)
    (tmp_path / "val" / "green").mkdir()
    refused(f"{tmp_path / 'val' / 'green'}: no class of ")
    (tmp_path / "train" / "green").mkdir()
    refused(f"{tmp_path / 'train' / 'green'}: it holds no images")
    save(tmp_path / "train" / "green" / "deeper" / "x.png", np.zeros((4, 4), "u1"))
    refused(f"{tmp_path / 'val' / 'green'}: it holds no images")
    (tmp_path / "val" / "green").rmdir()
    data = folder_dataset(tmp_path)
    assert data.classes == ("blue", "green", "red")
    assert data.train_y.bincount().tolist() == [3, 1, 3] and data.test_y.unique().tolist() == [0, 2]


@pytest.mark.parametrize(
    "error, options",
    [(ValueError, {"size": 0}), (TypeError, {"size": 2.0}), (ValueError, {"crop": 0}),
     (ValueError, {"crop": 1.1}), (ValueError, {"split": 1.0}), (ValueError, {"split": 0})],
)  # fmt: skip
def test_bad_arguments(tmp_path, error, options):
    write_folders(tmp_path)
    with pytest.raises(error, match=next(iter(options))):
        folder_dataset(tmp_path, **options)


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
        (png_that_claims(1 << 27, 2), "decompression bomb|too many"),
        (png_that_claims(1 << 14, (1 << 13) + 1), "pixels are too many"),
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


def test_sixteen_bits_a_channel(tmp_path):
    file = save(tmp_path / "deep.png", np.full((8, 8), 1000, "u2"))
    with pytest.raises(DataError, match="not of 8 bits a channel"):
        Images([file])[:]


def test_missing_image(tmp_path):
    with pytest.raises(DataError, match=r"x.png: no such file"):
        Images([tmp_path / "x.png"])[:]


def test_a_strip_does_not_grow(tmp_path):
    """Its short side enlarged to that of the others, it would take 45 GB."""
    file = save(tmp_path / "strip.png", np.zeros((1, 60_000), "u1"))
    assert Images([file], size=224)[:].shape == (1, 3, 224, 224)


def test_without_pillow(monkeypatch, tmp_path):
    write_folders(tmp_path)
    monkeypatch.setitem(__import__("sys").modules, "PIL.Image", None)
    with pytest.raises(ImportError, match="pip install pillow"):
        folder_dataset(tmp_path)
