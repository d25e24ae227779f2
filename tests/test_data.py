"""scatcuda.data: the digits, and IDX files, good and damaged."""

from __future__ import annotations

import gzip
import pathlib
import re
import struct
import tracemalloc

import numpy as np
import pytest
import torch
from data_files import CODES, idx_bytes, write_dataset

from scatcuda.data import DataError, digits, idx_dataset, read_idx


def rejected(path: pathlib.Path, raw: bytes | None = None) -> str:
    """The message of the DataError that reading gives: one sentence that begins with the path."""
    if raw is not None:
        path.write_bytes(raw)
    with pytest.raises(DataError) as caught:
        read_idx(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message
    return message.removeprefix(f"{path}: ")


IMAGES = np.arange(3 * 4 * 5, dtype=np.uint8).reshape(3, 4, 5)
RAW = idx_bytes(IMAGES)


def test_digits_are_the_dataset_enlarged():
    x, y = digits()
    assert x.shape == (1797, 32, 32) and x.dtype == torch.float32 and x.is_contiguous()
    assert y.shape == (1797,) and y.dtype == torch.int64 and y.unique().tolist() == list(range(10))
    assert float(x.min()) == 0 and float(x.max()) == 1
    # An enlarged pixel keeps its brightness: the average over the image changes little.
    small, _ = digits(8)
    assert (x.mean((1, 2)) - small.mean((1, 2))).abs().max() < 0.02


def test_digits_at_their_own_size_are_exact():
    from sklearn.datasets import load_digits

    x, y = digits(8)
    assert np.array_equal(x.numpy() * 16, load_digits().images)
    assert np.array_equal(y.numpy(), load_digits().target)


@pytest.mark.parametrize("size", [0, -1])
def test_digits_rejects_a_size_below_one(size):
    with pytest.raises(ValueError, match=f"size must be at least 1; got {size}"):
        digits(size)


@pytest.mark.parametrize("size", [32.0, "32", True, None])
def test_digits_rejects_a_size_that_is_no_integer(size):
    with pytest.raises(TypeError, match="size must be an int"):
        digits(size)


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("shape", [(7,), (3, 4, 5), (2, 1, 3, 2), (0, 28, 28)])
def test_round_trip(tmp_path, code, shape, pack):
    array = (np.random.RandomState(0).standard_normal(shape) * 50).astype(code)
    (tmp_path / "x").write_bytes(pack(idx_bytes(array)))
    x = read_idx(tmp_path / "x")
    assert x.shape == shape and x.dtype == torch.from_numpy(array).dtype
    assert torch.equal(x, torch.from_numpy(array))


def test_path_may_be_a_string(tmp_path):
    (tmp_path / "x").write_bytes(RAW)
    assert torch.equal(read_idx(str(tmp_path / "x")), torch.from_numpy(IMAGES))


def test_result_owns_writable_memory(tmp_path):
    (tmp_path / "x").write_bytes(RAW)
    x = read_idx(tmp_path / "x")
    x += 1
    assert torch.equal(x, torch.from_numpy(IMAGES) + 1)


def test_gzip_of_several_members(tmp_path):
    (tmp_path / "x").write_bytes(gzip.compress(RAW[:30]) + gzip.compress(RAW[30:]))
    assert torch.equal(read_idx(tmp_path / "x"), torch.from_numpy(IMAGES))


@pytest.mark.parametrize("length", range(len(RAW)))
def test_truncated(tmp_path, length):
    assert "truncated" in rejected(tmp_path / "x", RAW[:length])
    assert "truncated" in rejected(tmp_path / "x.gz", gzip.compress(RAW[:length]))


@pytest.mark.parametrize("length", range(2, len(gzip.compress(RAW))))
def test_truncated_gzip_stream(tmp_path, length):
    assert rejected(tmp_path / "x", gzip.compress(RAW)[:length]) == (
        "truncated, the gzip stream ends too early"
    )


def test_truncated_says_how_much_there_is(tmp_path):
    assert rejected(tmp_path / "x", RAW[:-5]) == (
        "truncated, 55 bytes of values where its header, shape [3, 4, 5], asks for 60"
    )


@pytest.mark.parametrize("extra", [b"\0", b"x" * 1000, RAW])
def test_trailing_bytes(tmp_path, extra):
    for raw in (RAW + extra, gzip.compress(RAW + extra)):
        assert rejected(tmp_path / "x", raw) == (
            "trailing bytes after the 60 that its header asks for"
        )


@pytest.mark.parametrize(
    "header, problem",
    [
        (b"\x89PNG", "not an IDX file"),
        (b"\0\1\x08\x01", "not an IDX file"),
        (b"<htm", "not an IDX file"),
        (b"x", "not an IDX file"),
        (b"\0\0\x07\x03", "unknown IDX type code 0x07"),
        (b"\0\0\x0a\x03", "unknown IDX type code 0x0A"),
        (b"\0\0\x08\x00", "0 dimensions"),
        (b"\0\0\x08\x21", "33 dimensions"),
    ],
)
def test_wrong_magic(tmp_path, header, problem):
    assert problem in rejected(tmp_path / "x", header + RAW[4:])


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize(
    "shape, problem",
    [
        ((60000, 28, 28), "truncated"),
        ((2**31 - 1,), "truncated"),
        ((2**31, 2**31), "more than the 2 GiB that a file may take"),
        ((2**32 - 1,) * 2, "impossible shape"),
        ((2**32 - 1,) * 30, "impossible shape"),
        ((0, 2**32 - 1, 2**32 - 1), "impossible shape"),
    ],
)
def test_header_that_lies_allocates_nothing(tmp_path, shape, problem, pack):
    header = struct.pack(">BBBB", 0, 0, 0x08, len(shape)) + struct.pack(f">{len(shape)}I", *shape)
    tracemalloc.start()
    try:
        assert problem in rejected(tmp_path / "x", pack(header + bytes(100)))
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_gzip_that_expands_far_beyond_its_header_is_not_expanded(tmp_path):
    bomb = gzip.compress(RAW + bytes(64 << 20))
    tracemalloc.start()
    try:
        assert "trailing bytes" in rejected(tmp_path / "x", bomb)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_corrupt_gzip(tmp_path):
    values = np.random.RandomState(0).randint(0, 256, 5000).astype("u1")
    packed = gzip.compress(idx_bytes(values))
    assert len(packed) > 5000  # so a damaged byte meets values, lengths, checksum or header
    for position in [2, *range(10, len(packed), 97), *range(len(packed) - 8, len(packed))]:
        damaged = bytearray(packed)
        damaged[position] ^= 0x55
        assert re.search("corrupt gzip|truncated", rejected(tmp_path / "x", bytes(damaged)))


def test_checksum_of_gzip_is_verified(tmp_path):
    packed = bytearray(gzip.compress(RAW))
    packed[-8] ^= 1
    assert "corrupt gzip stream (CRC check failed" in rejected(tmp_path / "x", bytes(packed))


def test_garbage_after_gzip(tmp_path):
    assert "corrupt gzip stream" in rejected(tmp_path / "x", gzip.compress(RAW) + b"garbage")


def test_missing_file_and_directory(tmp_path):
    assert rejected(tmp_path / "none") == "no such file"
    assert rejected(tmp_path) == "a directory, where a file is expected"


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("separator", ["-", "."])
def test_dataset_under_all_its_names(tmp_path, separator, suffix):
    write_dataset(tmp_path, suffix=suffix)
    for file in list(tmp_path.iterdir()):
        file.rename(file.with_name(file.name.replace("-idx", f"{separator}idx")))
    data = idx_dataset(tmp_path)
    assert data.train_x.shape == (30, 28, 28) and data.test_x.shape == (15, 28, 28)
    assert data.train_x.dtype == data.test_x.dtype == torch.uint8
    assert data.train_y.dtype == data.test_y.dtype == torch.int64
    assert data.train_y.tolist() == [0, 1] * 15 and data.test_y.tolist() == ([0, 1] * 8)[:15]
    assert int(data.train_x[0].max()) == 255
    assert data.classes == ("0", "1")


def damage(folder: pathlib.Path, name: str, array: np.ndarray) -> None:
    (folder / name).write_bytes(idx_bytes(array))


@pytest.mark.parametrize(
    "name, array, problem",
    [
        ("train-labels-idx1-ubyte", np.zeros(29, "u1"), "29 labels for the 30 images"),
        ("t10k-labels-idx1-ubyte", np.zeros(16, "u1"), "16 labels for the 15 images"),
        ("train-images-idx3-ubyte", np.zeros((30, 784), "u1"), "expected unsigned bytes in 3"),
        ("train-images-idx3-ubyte", np.zeros((30, 28, 28), "f4"), "expected unsigned bytes in 3"),
        ("t10k-labels-idx1-ubyte", np.zeros((15, 1), "u1"), "expected unsigned bytes in 1"),
        ("t10k-labels-idx1-ubyte", np.zeros(15, "i4"), "expected unsigned bytes in 1"),
        ("train-images-idx3-ubyte", np.zeros((0, 28, 28), "u1"), "empty"),
        ("t10k-images-idx3-ubyte", np.zeros((15, 28, 0), "u1"), "empty"),
        ("t10k-images-idx3-ubyte", np.zeros((15, 28, 27), "u1"), "but test images of shape"),
        ("train-labels-idx1-ubyte", np.array([0, 200] * 15, "u1"), "but are [0, 200]"),
        ("train-labels-idx1-ubyte", np.array([5, 6] * 15, "u1"), "but are [5, 6]"),
        ("train-labels-idx1-ubyte", np.zeros(30, "u1"), "two or more consecutive classes"),
        ("t10k-labels-idx1-ubyte", np.array([0] * 14 + [7], "u1"), "test labels [7] do not occur"),
    ],
)
def test_dataset_that_does_not_agree(tmp_path, name, array, problem):
    write_dataset(tmp_path)
    damage(tmp_path, name, array)
    with pytest.raises(DataError) as caught:
        idx_dataset(tmp_path)
    assert problem in str(caught.value) and str(caught.value).startswith(str(tmp_path))


def test_labels_may_start_at_one(tmp_path):
    write_dataset(tmp_path)
    damage(tmp_path, "train-labels-idx1-ubyte", np.array([1, 2, 3] * 10, "u1"))
    damage(tmp_path, "t10k-labels-idx1-ubyte", np.array([1, 2, 3] * 5, "u1"))
    data = idx_dataset(tmp_path)
    assert data.train_y.tolist() == [0, 1, 2] * 10 and data.test_y.tolist() == [0, 1, 2] * 5
    assert data.classes == ("1", "2", "3")


@pytest.mark.parametrize("part", ["train-images", "train-labels", "t10k-images", "t10k-labels"])
def test_dataset_with_a_missing_or_truncated_file(tmp_path, part):
    write_dataset(tmp_path)
    (file,) = tmp_path.glob(f"{part}*")
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(DataError, match=f"{part}.*truncated"):
        idx_dataset(tmp_path)
    file.unlink()
    with pytest.raises(DataError, match=f"{part}.*no such file"):
        idx_dataset(tmp_path)


def test_dataset_directory(tmp_path):
    with pytest.raises(DataError, match="no such directory"):
        idx_dataset(tmp_path / "none")
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="not a directory"):
        idx_dataset(tmp_path / "file")
