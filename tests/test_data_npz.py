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
        ("x_train", np.zeros(9, "u1"), "x_train has the shape .9., which is not of im"),
        ("x_train", np.zeros((9, 8, 8, 2), "u1"), "not of images"),
        ("x_train", np.zeros((0, 8, 8), "u1"), "not of images"),
        ("x_train", np.zeros((9, 8, 8), "i4"), "x_train has the type int32, expected uint8 or fl"),
        ("x_train", np.full((9, 8, 8), np.nan), "values that are infinite or not numbers"),
        ("x_train", np.full((9, 8, 8), 1e300), "values that are infinite or not numbers"),
        ("x_train", np.array([[["a"]]]), "x_train has the type <U1, expected uint8 or floats"),
        ("x_train", np.array([[[None]]]), "x_train has the type '.O', expected numbers or texts"),
        ("x_train", np.zeros((9, 8, 8), [("a", "u1")]), "expected numbers or texts"),
        ("x_test", np.zeros((6, 8, 7), "u1"), "but test images of shape .8, 7."),
        ("y_test", np.zeros(5, int), "y_test has 5 labels for 6 images"),
        (
            "y_train",
            np.zeros((9, 14), int),
            "the labels are of different kinds, y_train .9, 14. an",
        ),
        ("y_train", np.zeros(9), "two or more consecutive classes"),
        ("y_train", np.arange(9) / 3, "y_train has labels that are no whole numbers"),
        ("y_train", np.full(9, np.nan), "y_train has labels that are no whole numbers"),
        ("y_train", np.full(9, np.inf), "y_train has labels that are no whole numbers"),
        ("y_train", np.full(9, 2.0**60), "y_train has labels that are no whole numbers"),
        ("y_train", np.zeros((9, 2, 2)), "different kinds"),
        ("y_train", np.array(3), "y_train has 0 labels for 9 images"),
        ("y_train", np.array(list("abcabcabc")), "different kinds"),
        ("y_train", np.array([0, 1, 2] * 2 + [9] * 3), "two or more consecutive classes"),
        ("y_train", np.full(9, 2**63, "u8"), "two or more consecutive classes"),
        ("y_train", np.arange(9) + 100, r"consecutive classes from 0 or 1, but are \[100, 101"),
        ("y_test", np.full(6, 3), "the test labels .3. do not occur"),
    ],
)
def test_other_arrays(tmp_path, key, array, problem):
    refused(written(tmp_path, npz_bytes(**arrays(**{key: array}))), problem)


NAMES = {
    "in capitals": ("X_train", "y_train", "X_test", "y_test"),
    "MATLAB's": ("trainX", "trainY", "testX", "testY"),
    "for validation": ("x_train", "y_train", "x_val", "y_val"),
    "words": ("Training Images", "Training Labels", "Validation Images", "Validation Labels"),
    "data": ("data_train", "target_train", "data_test", "target_test"),
}


@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES)
def test_names_as_people_have_them(tmp_path, names):
    expected = arrays()
    content = dict(zip(names, expected.values(), strict=True))
    data = npz_dataset(written(tmp_path, npz_bytes(**content, classes=np.arange(3))))
    assert torch.equal(data.train_x, torch.from_numpy(expected["x_train"]))
    assert torch.equal(data.test_y, torch.from_numpy(expected["y_test"]))
    with pytest.raises(ValueError, match="test_fraction is for data without a test set, not"):
        npz_dataset(tmp_path / "some.npz", test_fraction=0.5)


@pytest.mark.parametrize("names", [("images", "labels"), ("X", "y"), ("x_train", "y_train")])
def test_a_share_is_set_aside_where_nothing_is_for_testing(tmp_path, names):
    x = np.arange(30 * 16, dtype="f4").reshape(30, 4, 4)
    y = np.arange(30) % 3
    path = written(tmp_path, npz_bytes(**dict(zip(names, (x, y), strict=True))))
    whole = npz_dataset(path)
    assert torch.equal(whole.train_x, torch.from_numpy(x)) and whole.test_x.shape == (0, 4, 4)
    data, again = (npz_dataset(path, test_fraction=0.2, seed=3) for _ in range(2))
    assert torch.equal(data.test_x, again.test_x) and data.test_x.dtype == torch.float32
    assert (
        data.test_y.bincount().tolist() == [2] * 3 and data.train_y.bincount().tolist() == [8] * 3
    )
    whole = torch.cat([data.train_x, data.test_x])[:, 0, 0].sort().values
    assert torch.equal(whole, torch.from_numpy(x[:, 0, 0]))
    for part, labels in ((data.train_x, data.train_y), (data.test_x, data.test_y)):
        assert torch.equal(part[:, 0, 0].div(16).long() % 3, labels)
    assert not torch.equal(npz_dataset(path, test_fraction=0.2, seed=4).test_x, data.test_x)
    assert len(npz_dataset(path, test_fraction=0.99).train_y) == 3
    for share in (-0.1, 1.0, float("nan")):
        with pytest.raises(ValueError, match="test_fraction must be at least 0 and below 1, got"):
            npz_dataset(path, test_fraction=share)
    y[0] = 3
    written(tmp_path, npz_bytes(**dict(zip(names, (x, y), strict=True))))
    with pytest.raises(DataError, match="a class of one image cannot be split"):
        npz_dataset(path, test_fraction=0.5)


def test_two_that_could_be_meant(tmp_path):
    both = arrays() | {"X_TRAIN": arrays()["x_train"]}
    refused(written(tmp_path, npz_bytes(**both)), r"which is x_train, x_train or X_TRAIN\?")


@pytest.mark.parametrize("kind", ["u1", "i8", "f4", "f8", "b1"])
def test_rows_of_zeros_and_a_one(tmp_path, kind):
    rows = np.eye(4, dtype=kind)  # of the last class there is no image
    y = np.arange(9) % 3
    named = arrays(y_train=rows[y], y_test=rows[y[:6]])
    data = npz_dataset(written(tmp_path, npz_bytes(**named)))
    assert data.train_y.tolist() == y.tolist() and data.train_y.dtype == torch.int64
    assert data.test_y.tolist() == y[:6].tolist() and data.classes == ("0", "1", "2", "3")


@pytest.mark.parametrize("row", [[0, 0, 0], [1, 1, 0], [2, 0, 0], [1, -1, 1], [0.5, 0.5, 0]])
def test_rows_of_something_else(tmp_path, row):
    y = np.eye(3)[np.arange(9) % 3]
    y[4] = row
    problem = r"y_train should be integers \[n\] or .* but is float64 of shape \[9, 3\]"
    refused(written(tmp_path, npz_bytes(**arrays(y_train=y, y_test=np.eye(3)[[0] * 6]))), problem)


@pytest.mark.parametrize("kind", ["U", "S", ">U9"])
@pytest.mark.parametrize(
    "names, order",
    [(["dog", "cat", "eel"], ["cat", "dog", "eel"]), (["10", "9", "2"], ["2", "9", "10"])],
)
def test_names_are_the_classes(tmp_path, kind, names, order):
    y = np.array(names).astype(kind)[np.arange(9) % 3]
    data = npz_dataset(written(tmp_path, npz_bytes(**arrays(y_train=y, y_test=y[:6, None]))))
    assert data.classes == tuple(order)
    assert [data.classes[k] for k in data.train_y.tolist()] == names * 3
    assert [data.classes[k] for k in data.test_y.tolist()] == names * 2


@pytest.mark.parametrize(
    "name, problem",
    [
        (np.array(["fox"] * 6), "y_test has the class 'fox', which y_train has not"),
        (np.array(["\33[2J"] * 6), "y_test has names of classes that cannot be read"),
        (np.array([""] * 6), "cannot be read"),
        (np.array([b"\xff"] * 6), "different kinds"),
        (np.full(6, 0x7FFFFFFF, "<u4").view("<U1"), "cannot be read"),
        (np.full(6, 0xDC00, "<u4").view("<U1"), "cannot be read"),
    ],
)
def test_names_that_are_none(tmp_path, name, problem):
    y = np.array(["cat", "dog", "eel"] * 3)
    refused(written(tmp_path, npz_bytes(**arrays(y_train=y, y_test=name))), problem)


def test_what_is_more_than_the_budget_is_not_unpacked(tmp_path, monkeypatch):
    x = np.zeros((9, 3000, 3000), "u1")
    path = written(tmp_path, npz_bytes(**arrays(x_train=x, x_test=x[:6])))
    monkeypatch.setenv("SCATCUDA_FILE_BUDGET", str(1 << 20))
    tracemalloc.start()
    try:
        refused(path, "x_train: reading it would take .* more than the 1 MiB that a file may take")
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_other_names_and_files(tmp_path):
    refused(written(tmp_path, npz_bytes(x=np.zeros(3))), "it has neither x_train and y_train, nor")
    refused(written(tmp_path, b"PK"), "not a .npz file or a damaged one .File is not a zip file")
    refused(tmp_path / "none.npz", "no such file")


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
        (npy(HEADER.format("<U99999", (1,)), bytes(64)), "has the type '<U99999'"),
        (npy(HEADER.format("<U0", (1,)), bytes(64)), "has the type '<U0'"),
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
