"""scatcuda.data: images and labels in a .npz file."""

from __future__ import annotations

import io
import re
import tracemalloc
import zipfile

import numpy as np
import pytest
import torch
from data_files import arrays, npz_bytes

from scatcuda.data import DataError, npz_dataset


def written(folder, raw):
    (folder / "some.npz").write_bytes(raw)
    return folder / "some.npz"


def refused(path, problem):
    with pytest.raises(DataError, match=problem) as caught:
        npz_dataset(path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("keys", ["keras", "medmnist"])
def test_both_sets_of_names(tmp_path, keys, compressed):
    content = arrays()
    named = arrays(keys) | {"val_images": np.array([None]), "val_labels": np.array([1])}
    data = npz_dataset(written(tmp_path, npz_bytes(compressed, **named)))
    assert data.name == "some" and data.classes == ("0", "1", "2")
    assert torch.equal(data.train_x, torch.from_numpy(content["x_train"]))
    assert torch.equal(data.test_x, torch.from_numpy(content["x_test"]))
    assert data.train_y.tolist() == [0, 1, 2] * 3 and data.test_y.tolist() == [0, 1, 2] * 2
    assert data.train_y.dtype == torch.int64


@pytest.mark.parametrize(
    "shape, moved", [((8, 8, 3), (3, 8, 8)), ((3, 8, 8), (3, 8, 8)), ((8, 8, 1), (8, 8)),
                     ((1, 8, 8), (8, 8)), ((3, 8, 3), (3, 3, 8)), ((8, 7), (8, 7))]
)  # fmt: skip
def test_channels(tmp_path, shape, moved):
    x = np.random.RandomState(1).randint(0, 256, (9, *shape)).astype("u1")
    data = npz_dataset(written(tmp_path, npz_bytes(**arrays(x_train=x, x_test=x[:6]))))
    assert data.train_x.shape == (9, *moved) and data.train_x.is_contiguous()
    expected = x.transpose(0, 3, 1, 2) if x.ndim == 4 and shape[-1] in (1, 3) else x
    assert np.array_equal(data.train_x.numpy().ravel(), expected.ravel())


@pytest.mark.parametrize("kind", ["<f4", ">f4", "<f8", "<f2"])
def test_floats_are_float32(tmp_path, kind):
    x = np.linspace(0, 1, 9 * 64).reshape(9, 8, 8).astype(kind)
    columns = np.asfortranarray(x)
    data = npz_dataset(written(tmp_path, npz_bytes(**arrays(x_train=columns, x_test=x[:6]))))
    assert data.train_x.dtype == torch.float32
    assert np.array_equal(data.train_x.numpy(), x.astype("f4"))


@pytest.mark.parametrize("kind", ["u1", "i4", ">i2", "u8"])
def test_labels_of_any_integer_type_also_in_a_column(tmp_path, kind):
    y = (1 + np.arange(9) % 3).astype(kind)[:, None]
    data = npz_dataset(written(tmp_path, npz_bytes(**arrays(y_train=y, y_test=y[:6]))))
    assert data.train_y.tolist() == [0, 1, 2] * 3 and data.classes == ("1", "2", "3")


@pytest.mark.parametrize(
    "key, array, problem",
    [
        ("x_train", np.zeros((9, 64), "u1"), "x_train has the shape .9, 64., which is not of im"),
        ("x_train", np.zeros((9, 8, 8, 2), "u1"), "not of images"),
        ("x_train", np.zeros((0, 8, 8), "u1"), "not of images"),
        ("x_train", np.zeros((9, 8, 8), "i4"), "x_train has the type int32, expected uint8 or fl"),
        ("x_train", np.full((9, 8, 8), np.nan), "values that are infinite or not numbers"),
        ("x_train", np.full((9, 8, 8), 1e300), "values that are infinite or not numbers"),
        ("x_train", np.array([[["a"]]]), "x_train has the type '<U1', expected integers or floats"),
        ("x_train", np.array([[[None]]]), "x_train has the type '.O', expected integers or floats"),
        ("x_train", np.zeros((9, 8, 8), [("a", "u1")]), "expected integers or floats"),
        ("x_test", np.zeros((6, 8, 7), "u1"), "but test images of shape .8, 7."),
        ("y_test", np.zeros(5, int), "y_test has 5 labels for 6 images"),
        ("y_train", np.zeros((9, 14), int), r"y_train should be integers \[n\] or \[n, 1\]"),
        ("y_train", np.zeros(9), "y_train should be integers"),
        ("y_train", np.array([0, 1, 2] * 2 + [9] * 3), "two or more consecutive classes"),
        ("y_train", np.full(9, 2**63, "u8"), "two or more consecutive classes"),
        ("y_train", np.arange(9) + 100, r"consecutive classes from 0 or 1, but are \[100, 101"),
        ("y_test", np.full(6, 3), "the test labels .3. do not occur"),
    ],
)
def test_other_arrays(tmp_path, key, array, problem):
    refused(written(tmp_path, npz_bytes(**arrays(**{key: array}))), problem)


def test_other_names_and_files(tmp_path):
    refused(written(tmp_path, npz_bytes(x=np.zeros(3))), "it has neither x_train, y_train, x_test")
    refused(written(tmp_path, b"PK"), "not a .npz file or a damaged one .File is not a zip file")
    refused(tmp_path / "none.npz", "cannot be read .No such file")


def archive(*members: tuple[str, bytes], method=zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as packed:
        for name, raw in members:
            packed.writestr(name, raw)
    return file.getvalue()


def npy(header: str, raw: bytes = b"", version: int = 1) -> bytes:
    return (
        b"\x93NUMPY"
        + bytes([version, 0])
        + len(header).to_bytes(2, "little")
        + header.encode()
        + raw
    )


OTHERS = [(f"{key}.npy", b"") for key in ("y_train", "x_test", "y_test")]
HEADER = "{{'descr': '{}', 'fortran_order': False, 'shape': {}, }}"


@pytest.mark.parametrize(
    "raw, problem",
    [
        (npy(HEADER.format("|u1", (10**6, 10**3, 10**3)), bytes(64)), "x_train .* is truncated"),
        (npy(HEADER.format("|u1", (2**62, 2**62))), "impossible shape"),
        (npy(HEADER.format("|u1", (0, 2**62))), "impossible shape"),
        (npy(HEADER.format("|u1", (-1, -1))), "impossible shape"),
        (npy(HEADER.format("|u1", (1.0,))), "impossible shape"),
        (npy(HEADER.format("|u1", (True,))), "impossible shape"),
        (npy(HEADER.format("|u1", (1,) * 40)), "impossible shape"),
        (npy(HEADER.format("|u1", (2,)), b"123"), "is followed by other bytes"),
        (npy(HEADER.format("|O", (1,))), "has the type '.O'"),
        (npy(HEADER.format("|u3", (1,))), "has the type '.u3'"),
        (npy("(" * 9000), "damaged header"),
        (npy("[" * 99 + "]" * 99), "damaged header"),
        (npy("__import__('os').system('true')"), "damaged header"),
        (npy("{}"), "damaged header"),
        (npy("x" * 20_000), "header of 20000 bytes"),
        (npy("{}", version=3), "x_train is no array of NumPy's"),
        (b"", "x_train is no array of NumPy's"),
        (b"pickle", "x_train is no array of NumPy's"),
    ],
)
def test_hostile_array(tmp_path, raw, problem):
    path = written(tmp_path, archive(("x_train.npy", raw), *OTHERS))
    tracemalloc.start()
    try:
        refused(path, problem)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_that_expand_without_bound(tmp_path, method):
    path = written(tmp_path, archive(("x_train.npy", bytes(9999)), *OTHERS, method=method))
    refused(path, "x_train is compressed in another way than NumPy does")


def test_a_member_is_not_expanded_beyond_its_header(tmp_path):
    bomb = npy(HEADER.format("|u1", (1, 8, 8)), bytes(64 << 20))
    path = written(tmp_path, archive(("x_train.npy", bomb), *OTHERS))
    tracemalloc.start()
    try:
        refused(path, "followed by other bytes")
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_checksums_are_verified(tmp_path):
    raw = npz_bytes(False, **arrays())
    at = raw.index(arrays()["x_test"].tobytes())
    refused(written(tmp_path, raw[:at] + b"?" + raw[at + 1 :]), re.escape("Bad CRC-32"))
