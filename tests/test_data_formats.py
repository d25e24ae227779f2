"""scatcuda.data: SVHN's MATLAB files, STL-10's bytes, tables of text, Parquet."""

from __future__ import annotations

import builtins
import gzip
import importlib
import os
import pickle
import struct
import zlib
from functools import partial

import numpy as np
import pytest
import torch
from budgets import BUDGET, SLACK, measured
from data_files import write_emnist, write_parquet, write_stl10, write_svhn

from scatcuda.data import (
    DataError,
    Images,
    available,
    csv_dataset,
    load,
    parquet_dataset,
    stl10_dataset,
    svhn_dataset,
    verify,
)

pytestmark = pytest.mark.usefixtures("no_data_sets")


def refused(reader, path, problem, **options):
    with pytest.raises(DataError, match=problem) as caught:
        reader(path, **options)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600


# --- SVHN -------------------------------------------------------------------------------------


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("place", [".", "SVHN", "svhn"])
def test_svhn(tmp_path, place, compressed):
    X = write_svhn(tmp_path / place, compressed)
    for data in (load("svhn", tmp_path), load("SVHN", tmp_path), load(tmp_path / place)):
        assert data.name == "svhn" and data.classes == tuple("0123456789")
        assert torch.equal(data.train_x, torch.from_numpy(X.transpose(3, 2, 0, 1)))
        assert data.train_x.is_contiguous() and data.test_x.shape == (10, 3, 32, 32)
        assert data.train_y.tolist() == [*range(1, 10), 0] * 2
    (tmp_path / place / "extra_32x32.mat").touch()
    checks = verify("svhn", tmp_path)
    assert all(check.ok for check in checks) and len(checks) == 4
    assert checks[2].finding == "left out, more images for training, of another kind"
    (tmp_path / place / "test_32x32.mat").unlink()
    refused(svhn_dataset, tmp_path / place, "test_32x32.mat: no such file")


@pytest.mark.parametrize(
    "content, problem",
    [
        ({"X": None}, r"expected bytes X \[32, 32, 3, n\], got nothing"),
        ({"X": np.zeros((32, 32, 3, 20), "f8")}, r"got float64 \[32, 32, 3, 20\]"),
        ({"X": np.zeros((20, 32, 32, 3), "u1")}, r"got uint8 \[20, 32, 32, 3\]"),
        ({"y": None}, r"expected numbers y \[20, 1\], got nothing"),
        ({"y": np.ones((19, 1))}, r"expected numbers y \[20, 1\], got"),
        ({"y": np.zeros((20, 1))}, "expected labels from 1 to 10"),
        ({"y": np.full((20, 1), 1.5)}, "expected labels from 1 to 10"),
        ({"y": np.full((20, 1), np.nan)}, "expected labels from 1 to 10"),
        ({"y": np.array(["a"] * 20, object)[:, None]}, "got nothing"),
    ],
)
def test_matlab_files_of_something_else(tmp_path, content, problem):
    write_svhn(tmp_path, **content)
    refused(svhn_dataset, tmp_path, f"train_32x32.mat: .*{problem}")


def element(kind: int, raw: bytes, claimed: int | None = None) -> bytes:
    size = len(raw) if claimed is None else claimed
    return struct.pack("<II", kind, size) + raw + bytes(-len(raw) % 8)


def matrix(name: bytes, values: bytes, flags: int = 9, shape=(32, 32, 3, 20)) -> bytes:
    parts = (element(6, struct.pack("<II", flags, 0)), element(5, struct.pack("<4i", *shape)),
             element(1, name), values)  # fmt: skip
    return element(14, b"".join(parts))


def mat(*elements: bytes) -> bytes:
    return b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<H", 0x100) + b"IM" + b"".join(elements)


HUGE = b"\x7f\xff\xff\xff"
HOSTILE = {
    "nothing": (b"", "expected a MATLAB file of version 5"),
    "HDF5": (b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM", "expected a MATLAB file of version 5"),
    "no arrays": (mat(), "got nothing"),
    "a claim without bytes": (mat(struct.pack("<II", 14, 2**32 - 1)), "truncated, 0 bytes of 4294"),
    "a tag cut": (mat(b"\x0e\0\0"), "truncated"),
    "values without bytes": (mat(matrix(b"X", struct.pack("<II", 2, 2**31))), "claims more bytes"),
    "a name without bytes": (mat(element(14, element(6, bytes(8)) + element(5, bytes(16))
                                 + struct.pack("<II", 1, 2**31))), "claims more bytes"),
    "an unknown type": (mat(matrix(b"X", element(200, bytes(8)))), "parts are of other types"),
    "an unknown type of names": (mat(element(14, element(6, struct.pack("<II", 9, 0))
                                     + element(5, bytes(16)) + element(99, b"X")
                                     + element(2, b"x"))), "parts are of other types"),
    "dimensions that lie": (mat(matrix(b"X", element(2, bytes(8)), shape=(2**30,) * 4)), ""),
    "negative dimensions": (mat(matrix(b"X", element(2, bytes(8)), shape=(-1, -1, 1, 8))), ""),
    "an object": (mat(matrix(b"X", element(2, bytes(8)), flags=3)), "got nothing"),
    "a sparse one": (mat(matrix(b"X", element(2, bytes(8)), flags=5)), "got nothing"),
    "no zlib": (mat(element(15, b"zzzz")), "incorrect header"),
    "zlib cut": (mat(element(15, zlib.compress(matrix(b"X", bytes(9999)))[:40])), "bytes of"),
    "packed twice": (mat(element(15, zlib.compress(element(15, b"")))), "an element of type 15"),
    "another element": (mat(element(7, bytes(8))), "an element of type 7"),
}  # fmt: skip


@pytest.mark.parametrize("raw, problem", HOSTILE.values(), ids=HOSTILE)
def test_hostile_matlab_file(tmp_path, raw, problem):
    write_svhn(tmp_path)
    (tmp_path / "train_32x32.mat").write_bytes(raw)
    refused(svhn_dataset, tmp_path, f"train_32x32.mat: .*({problem})")


@pytest.mark.parametrize("compressed", [True, False])
def test_a_matlab_file_cut_anywhere(tmp_path, compressed):
    write_svhn(tmp_path, compressed)
    file = tmp_path / "test_32x32.mat"
    raw = file.read_bytes()
    for length in {*range(0, 200, 7), *range(0, len(raw), len(raw) // 20), len(raw) - 1}:
        file.write_bytes(raw[:length])
        refused(svhn_dataset, tmp_path, "test_32x32.mat: ")


def test_without_scipy(tmp_path, monkeypatch):
    write_svhn(tmp_path)
    monkeypatch.setattr(builtins, "__import__", without("scipy"))
    with pytest.raises(ImportError, match=r"need SciPy, which is not installed: .* extra learn"):
        svhn_dataset(tmp_path)


def without(package):
    """`__import__` where a package is not installed."""
    real = builtins.__import__

    def imported(name, *rest, **more):
        if name.partition(".")[0] == package:
            raise ModuleNotFoundError(f"No module named {package!r}")
        return real(name, *rest, **more)

    return imported


# --- STL-10 -----------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["stl10_binary", "STL10", "stl-10/stl10_binary"])
def test_stl10(tmp_path, place):
    images = write_stl10(tmp_path / place)
    for data in (load("stl10", tmp_path), load("STL-10", tmp_path), load(tmp_path / place)):
        assert data.name == "stl10" and data.classes[:2] == ("airplane", "bird")
        assert torch.equal(data.train_x, images) and data.train_x.is_contiguous()
        assert data.train_y.tolist() == list(range(10)) and data.test_y.tolist() == [0, 1, 2, 3, 4]
    (tmp_path / place / "unlabeled_X.bin").touch()
    checks = verify("stl10", tmp_path)
    assert all(check.ok for check in checks) and len(checks) == 7
    assert checks[5].finding == "left out, its images have no labels"
    (tmp_path / place / "class_names.txt").unlink()
    assert load("stl10", tmp_path).classes == (*"123456789", "10")


def test_damaged_stl10(tmp_path):
    write_stl10(tmp_path)
    images, labels = tmp_path / "train_X.bin", tmp_path / "train_y.bin"
    raw, y = images.read_bytes(), labels.read_bytes()
    for changed, fault in ((raw[:-1], "truncated"), (raw + b"x", "followed"), (b"", "truncated")):
        images.write_bytes(changed)
        refused(stl10_dataset, tmp_path, rf"train_X.bin: {fault}.*, the 10 labels of .* 276480 by")
    images.write_bytes(raw)
    for changed in (b"", y[:-1] + b"\x0b", b"\0" + y[1:]):
        labels.write_bytes(changed)
        refused(stl10_dataset, tmp_path, "train_y.bin: expected bytes from 1 to 10")
    labels.write_bytes(y)
    for names in (b"", b"a " * 10, b"\33 " * 10, b"a b c"):
        (tmp_path / "class_names.txt").write_bytes(names)
        refused(stl10_dataset, tmp_path, "class_names.txt: expected the names of 10 classes")


# --- tables -----------------------------------------------------------------------------------


def rows(n: int, side: int = 4, seed: int = 0) -> np.ndarray:
    random = np.random.RandomState(seed)
    return np.concatenate([np.arange(n)[:, None] % 3, random.randint(0, 256, (n, side * side))], 1)


def write_csv(path, table, header="", pack=False):
    text = header + "\n" * bool(header) + "".join(",".join(map(str, row)) + "\n" for row in table)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode()) if pack else text.encode())


HEADERS = {
    "none": "",
    "Kaggle's": "label," + ",".join(f"pixel{i}" for i in range(16)),
    "of places": "label," + ",".join(f"{i}x{j}" for i in range(1, 5) for j in range(1, 5)),
    "quoted": '\ufeff"Label",' + ",".join(f'"p {i}"' for i in range(16)),
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
@pytest.mark.parametrize("stem, end", [("mnist_", ".csv"), ("", ".csv"), ("A-", ".csv.gz")])
def test_tables(tmp_path, stem, end, header):
    train, test = rows(9), rows(6, seed=1)
    for part, table in (("train", train), ("test", test)):
        write_csv(tmp_path / "set" / f"{stem}{part}{end}", table, header, end.endswith("gz"))
    for path in (tmp_path / "set", tmp_path / "set" / f"{stem}train{end}"):
        data = load(path)
        assert torch.equal(data.train_x.flatten(1), torch.from_numpy(train[:, 1:]).byte())
        assert torch.equal(data.test_x.flatten(1), torch.from_numpy(test[:, 1:]).byte())
        assert data.train_x.shape == (9, 4, 4) and data.train_x.dtype == torch.uint8
        assert data.train_y.tolist() == [0, 1, 2] * 3 and data.classes == ("0", "1", "2")
    assert load("set", tmp_path).name == "set" and len(verify(tmp_path / "set")) == 3
    with pytest.raises(ValueError, match="test_fraction is for data without a test set"):
        csv_dataset(tmp_path / "set", test_fraction=0.5)


def test_the_label_is_where_the_header_says(tmp_path):
    table = rows(9)
    write_csv(tmp_path / "a.csv", np.roll(table, -1, 1), ",".join("abcdefghijklmnop") + ",class")
    data = load(tmp_path / "a.csv", test_fraction=0.34)
    assert data.train_y.bincount().tolist() == [2] * 3 and data.test_y.unique().tolist() == [
        0,
        1,
        2,
    ]
    both = torch.cat([data.train_x, data.test_x]).flatten(1).tolist()
    assert sorted(both) == sorted(table[:, 1:].tolist())


def test_kaggles_test_set_has_no_labels(tmp_path):
    header = HEADERS["Kaggle's"]
    write_csv(tmp_path / "train.csv", rows(9), header)
    write_csv(tmp_path / "test.csv", rows(6)[:, 1:], header.removeprefix("label,"))
    data = load(tmp_path)
    assert len(data.train_y) == 9 and data.test_x.shape == (0, 4, 4)
    assert len(load(tmp_path, test_fraction=0.3).test_y) == 3


@pytest.mark.parametrize(
    "text, problem",
    [
        ("", "expected a label and M x M pixels in a row, got 0 columns"),
        ("1,2,3\n", "got 3 columns"),
        ("label,a,b,c,d\n", "it has no rows"),
        ("what,a,b,c,d\n1,2,3,4,5\n", "its first row names no column label"),
        ("1,2,3,4,5\n1,2,3,4\n", "expected rows of 5 whole numbers from 0 to 255"),
        ("1,2,3,4,5\n1,2,3,4,5,6\n", "expected rows of 5"),
        ("label,a,b,c,d\n1,2,3,4\n", "expected rows of 5 .*one has 4"),
        ("1,2,3,4,5\n1,2,3,4,256\n", "expected rows of 5"),
        ("1,2,3,4,5\n1,2,3,4,-1\n", "expected rows of 5"),
        ("1,2,3,4,5\n1,2,3,4,1.5\n", "expected rows of 5"),
        ("1,2,3,4,5\n1,2,3,4,\n", "expected rows of 5"),
        ("1,2,3,4,5\n1,2,3,4,nan\n", "expected rows of 5"),
        ("1,2,3,4,5\n1,2,3,4,\x00\n", "expected rows of 5"),
        ("1,2,3,4,5\n7,2,3,4,5\n", "two or more consecutive classes"),
        ("1,2,3,4,5\n" + "9" * 500 + "\n", "a line of more than 40 bytes"),
        ("9" * 200_000 + ",2,3,4,5\n", "its first row cannot be read"),
        ("1," * (1 << 20), "its first row has more than 1048576 bytes"),
    ],
)  # fmt: skip
def test_other_tables(tmp_path, text, problem):
    (tmp_path / "train.csv").write_text(text)
    refused(csv_dataset, tmp_path, rf"train.csv: {problem}|: .*{problem}")


def test_which_table(tmp_path):
    refused(csv_dataset, tmp_path, "no such file, nor a directory with one .train.csv")
    for name in ("a_train.csv", "b_train.csv"):
        write_csv(tmp_path / name, rows(9))
    refused(load, tmp_path, "several, a_train.csv and b_train.csv, nor")
    assert len(load(tmp_path / "b_train.csv").train_y) == 9


# --- Parquet ----------------------------------------------------------------------------------


@pytest.fixture
def arrow():
    return pytest.importorskip("pyarrow")


LAYOUTS = {
    "one file": {"train": ["train-00000-of-00001"], "test": ["test-00000-of-00001"]},
    "shards": {"train": [f"data/train-0000{i}-of-00003" for i in range(3)],
               "test": ["data/validation-00000-of-00001-abcdef"]},
    "folders": {"train": ["train/0000", "train/0001"], "test": ["test/0000"]},
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("how", ["pairs", "bytes", "large"])
def test_parquet(tmp_path, arrow, layout, how):
    expected = write_parquet(tmp_path / "pets", layout, how)
    data = load("pets", tmp_path)
    assert data.name == "pets" and data.classes == ("cat", "dog", "eel")
    assert isinstance(data.train_x, Images) and data.train_x.shape == (len(expected), 3, 8, 9)
    assert torch.equal(data.train_x[:], expected)
    chosen = torch.tensor([len(expected) - 1, 0, 3])
    assert torch.equal(data.train_x[chosen], expected[chosen])
    assert data.train_y.tolist() == [k % 3 for k in range(len(expected))]
    grey = load(tmp_path / "pets", size=4, grey=True)
    assert grey.train_x.shape == (len(expected), 4, 4)
    checks = verify(tmp_path / "pets")
    assert all(check.ok for check in checks)
    assert len(checks) == len([*layout["train"], *layout["test"]]) + 1
    found = {entry.name: entry for entry in available(tmp_path)}["pets"]
    assert (found.format, found.train, found.problem) == ("Parquet", len(expected), "")


def test_rows_are_sources_that_travel(tmp_path, arrow):
    expected = write_parquet(tmp_path, LAYOUTS["one file"])
    images = load(tmp_path).train_x
    assert torch.equal(images[:4], expected[:4])
    again = pickle.loads(pickle.dumps(images))
    assert torch.equal(again[:], expected) and again.files == images.files
    assert images.files[2] == f"{tmp_path / 'train-00000-of-00001.parquet'}: row 3"
    states = images.states(torch.arange(3))
    assert states.shape == (3, 3) and (states == states[0]).all()
    other = load(tmp_path).train_x
    assert list(images.hashes(torch.arange(4))) == list(other.hashes(torch.arange(4)))
    file = tmp_path / "train-00000-of-00001.parquet"
    os.utime(file, ns=(1, 1))
    assert not (images.states(torch.arange(3)) == states).all()
    file.unlink()
    with pytest.raises(DataError, match=r"train-00000-of-00001.parquet: cannot be read"):
        images[0]


def test_few_groups_of_rows_are_kept(tmp_path, arrow, monkeypatch):
    from scatcuda.data.formats import parquet

    monkeypatch.setattr(parquet, "_KEPT", 1)
    expected = write_parquet(tmp_path, LAYOUTS["one file"], group=2)
    images = load(tmp_path).train_x
    order = torch.tensor([8, 0, 5, 1, 7, 2, 6, 3, 4])
    assert torch.equal(images[order], expected[order])
    assert len(images.sources[0].table._kept._groups) == 1


def test_columns_of_other_names_and_kinds(tmp_path, arrow):
    write_parquet(tmp_path, LAYOUTS["one file"], image="photo", label="species", note=True)
    assert load(tmp_path).classes == ("cat", "dog", "eel")
    refused(load, tmp_path, "no column nothing; it has photo, species", label="nothing")
    refused(load, tmp_path, "column species is int64, not bytes of", image="species")
    write_parquet(tmp_path, LAYOUTS["one file"], image="photo", label="species")
    refused(load, tmp_path, "no column image or img or images; it has photo, species")
    data = load(tmp_path, image="photo", label="species")
    assert data.classes == ("0", "1", "2")
    write_parquet(tmp_path, LAYOUTS["one file"], names=True)
    data = load(tmp_path)
    assert data.classes == ("cat", "dog", "eel") and data.train_y.tolist() == [0, 1, 2] * 3


def test_a_secret_test_set_is_passed_over(tmp_path, arrow):
    layout = {"train": ["train-0-of-1"], "test": ["validation-0-of-1"]}
    write_parquet(tmp_path, layout)
    write_parquet(tmp_path, {"test": ["test-0-of-1"]}, secret=True)
    assert load(tmp_path).test_y.tolist() == [0, 1, 2, 0, 1, 2]
    (tmp_path / "validation-0-of-1.parquet").unlink()
    refused(load, tmp_path, "labels that are not from 0 to 2")
    (tmp_path / "test-0-of-1.parquet").unlink()
    assert len(load(tmp_path).test_y) == 0 and len(load(tmp_path).train_y) == 9
    data = load(tmp_path, test_fraction=0.34, seed=1)
    assert sorted(data.test_y.tolist()) == [0, 1, 2] and len(data.train_x) == 6
    single = load(tmp_path / "train-0-of-1.parquet", test_fraction=0.34, seed=1)
    assert torch.equal(single.test_x[:], data.test_x[:])


def test_parquet_that_is_damaged(tmp_path, arrow):
    write_parquet(tmp_path, LAYOUTS["shards"])
    shard = tmp_path / "data" / "train-00001-of-00003.parquet"
    raw = shard.read_bytes()
    shard.unlink()
    refused(load, tmp_path, "train-00001-of-00003.parquet: no such file, one of 00003 shards")
    for length in {*range(0, len(raw), len(raw) // 25), len(raw) - 1}:
        shard.write_bytes(raw[:length])
        refused(
            load, tmp_path, r"train-00001-of-00003.parquet: not a Parquet file that can be read"
        )
    shard.write_bytes(b"PAR1" + bytes(200) + b"\xff\xff\xff\x7fPAR1")
    refused(load, tmp_path, "not a Parquet file that can be read")
    for k in (*range(0, len(raw), len(raw) // 40), *range(len(raw) - 60, len(raw), 7)):
        shard.write_bytes(raw[:k] + bytes([raw[k] ^ 0x55]) + raw[k + 1 :])
        try:
            load(tmp_path).train_x[:]
        except DataError as error:
            assert "\n" not in str(error) and len(str(error)) < 600


def test_a_row_without_an_image(tmp_path, arrow):
    write_parquet(tmp_path, LAYOUTS["one file"], missing=4)
    images = load(tmp_path, size=8).train_x
    assert images[:4].shape == (4, 3, 8, 8)
    with pytest.raises(DataError, match=r"parquet: row 5: it has no bytes of an image"):
        images[:]
    bad = [check for check in verify(tmp_path) if not check.ok]
    assert [check.subject[-14:] for check in bad] == [".parquet: row 5"[-14:]] * 2
    assert {check.finding for check in bad} == {"it has no bytes of an image"}
    data = load(tmp_path, on_error="skip")
    assert len(data.train_y) == len(data.train_x[:]) == 8 and data.train_x.shape[2:] == (8, 9)
    assert data.train_y.tolist() == [0, 1, 2, 0, 2, 0, 1, 2] and len(data.skipped) == 2
    assert verify(tmp_path)[-1].ok


@pytest.mark.parametrize(
    "names", [["a"], ["a", "a", "b"], [1, 2, 3], ["a", "b", "\33[2J"], "abc", None]
)
def test_names_of_classes_that_are_none(tmp_path, arrow, names):
    write_parquet(tmp_path, LAYOUTS["one file"], classes=names)
    refused(load, tmp_path, "the names of its classes cannot be read")


def test_notes_that_are_none(tmp_path, arrow):
    for note in (b"{", b"[]", b"{}", b'{"info": 3}', b"[" * 100_000, b"\xff", b'{"info":[]}'):
        write_parquet(tmp_path, LAYOUTS["one file"], note=note)
        assert load(tmp_path).classes == ("0", "1", "2")


def test_without_pyarrow(tmp_path, arrow, monkeypatch):
    write_parquet(tmp_path, LAYOUTS["one file"])
    monkeypatch.setattr(builtins, "__import__", without("pyarrow"))
    with pytest.raises(ImportError, match=r"need PyArrow, which is not installed: .*extra parquet"):
        parquet_dataset(tmp_path)


# --- the command ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["svhn", "stl10", "csv", "parquet", "emnist"])
def test_the_command_takes_them(tmp_path, capsys, kind):
    from scatcuda.cli import main

    more = ["--pool", "mean"] if kind == "stl10" else []
    folder = tmp_path / "some"
    if kind == "svhn":
        write_svhn(folder)
    elif kind == "stl10":
        write_stl10(folder)
    elif kind == "emnist":
        write_emnist(folder, "digits")
    elif kind == "csv":
        write_csv(folder / "train.csv", rows(12, 16))
        more = ["--test-fraction", "0.25"]
    else:
        pytest.importorskip("pyarrow")
        write_parquet(folder, LAYOUTS["one file"])
    assert main(["train", str(folder), *more, "--run", str(tmp_path / "run")]) == 0
    assert main(["features", str(folder), *more, "--output", str(tmp_path / "features")]) == 0
    assert main(["data", "verify", str(folder)]) == 0
    said = capsys.readouterr()
    assert "accuracy" in said.out and "rows" in said.out and not said.err
    assert main(["data", "list", "--data-dir", str(tmp_path)]) == 0
    assert any(line.startswith("some ") for line in capsys.readouterr().out.splitlines())


# --- bombs ------------------------------------------------------------------------------------


def spoken(path, reader, before_that=None) -> None:
    said, grown = measured(reader, path, before_that=before_that)
    assert "more than the 64 MiB that a file may take" in said or "cannot be read" in said, said
    assert grown < BUDGET + SLACK


def _first_image(path) -> None:
    assert load(path).train_x[0] is not None


@pytest.mark.proof
def test_a_matlab_bomb(tmp_path):
    write_svhn(tmp_path)
    body = matrix(b"X", element(2, bytes(1 << 28)), shape=(32, 32, 3, 87381))
    (tmp_path / "train_32x32.mat").write_bytes(mat(element(15, zlib.compress(body))))
    spoken(tmp_path, svhn_dataset, partial(importlib.import_module, "scipy.io"))


def test_a_table_bomb(tmp_path):
    line = b"1," + b"0," * 783 + b"0\n"
    with gzip.open(tmp_path / "train.csv.gz", "wb") as file:
        for _ in range(100):
            file.write(line * 2000)
    spoken(tmp_path, csv_dataset)


def test_stl10_bombs(tmp_path):
    for name, size in (("train_X.bin", 1 << 28), ("train_y.bin", 1 << 22)):
        with gzip.open(tmp_path / name, "wb") as file:
            for _ in range(size >> 20):
                file.write(b"\1" * (1 << 20))
    spoken(tmp_path, stl10_dataset)


@pytest.mark.proof
@pytest.mark.parametrize("codec", ["zstd", "gzip", "snappy"])
def test_parquet_bombs(tmp_path, arrow, codec):
    """Rows that are large, and one large row that a dictionary repeats."""
    import pyarrow.parquet as pq

    write_parquet(tmp_path / "sound", LAYOUTS["one file"])
    for name, image in (("rows", bytes(1 << 21)), ("dictionary", bytes(1 << 19))):
        folder = tmp_path / name
        folder.mkdir()
        table = arrow.table({"image": [image] * 200, "label": [0, 1] * 100})
        how = {"use_dictionary": name == "dictionary", "dictionary_pagesize_limit": 1 << 22}
        pq.write_table(table, folder / "train-0.parquet", compression=codec, **how)
        # What PyArrow takes once and for all is not counted.
        spoken(folder, load, partial(_first_image, tmp_path / "sound"))


def test_fifos_and_devices_are_no_files(tmp_path):
    for name in ("train_32x32.mat", "train_X.bin", "train.csv", "train-0.parquet"):
        os.mkfifo(tmp_path / name)
    for reader, name in (
        (svhn_dataset, "train_32x32.mat"),
        (stl10_dataset, "train_y.bin"),
        (csv_dataset, "train.csv"),
        (parquet_dataset, "train-0.parquet"),
    ):
        with pytest.raises(DataError):
            reader(tmp_path)
        with pytest.raises(DataError):
            reader(tmp_path / name)
