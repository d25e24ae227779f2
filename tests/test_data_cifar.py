"""scatcuda.data: CIFAR in its four kinds of directory, and pickles that are not CIFAR."""

from __future__ import annotations

import os
import pickle
import struct
import tracemalloc

import numpy as np
import pytest
import torch
from data_files import few_images, pixels, python2_pickle, python3_pickle, write_cifar

from scatcuda.data import DataError, cifar_dataset
from scatcuda.data.formats import unpickle


def images(*seeds, count=20):
    return torch.from_numpy(np.concatenate([pixels(i, count) for i in seeds])).view(-1, 3, 32, 32)


@pytest.mark.parametrize("binary", [True, False])
def test_cifar10(tmp_path, monkeypatch, binary):
    few_images(monkeypatch, 20)
    write_cifar(tmp_path, binary=binary)
    data = cifar_dataset(tmp_path)
    assert data.name == "cifar10" and data.classes == tuple(f"class{k}" for k in range(10))
    assert torch.equal(data.train_x, images(0, 1, 2, 3, 4)) and torch.equal(data.test_x, images(5))
    assert data.train_y.tolist() == list(range(10)) * 10 and data.train_y.dtype == torch.int64
    assert data.test_y.tolist() == list(range(10)) * 2
    data.train_x.add_(1)  # the memory is its own


@pytest.mark.parametrize("binary", [True, False])
def test_cifar100(tmp_path, monkeypatch, binary):
    few_images(monkeypatch, 20)
    write_cifar(tmp_path, hundred=True, binary=binary)
    data = cifar_dataset(tmp_path)
    assert torch.equal(data.train_x, images(0)) and torch.equal(data.test_x, images(1))
    assert data.train_y.tolist() == list(range(20)) and data.classes[99] == "fine99"
    data = cifar_dataset(tmp_path, coarse=True)
    assert data.train_y.tolist() == [*range(1, 20), 0]
    assert data.classes == tuple(f"coarse{k}" for k in range(20))


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_pickles_of_python_3(tmp_path, monkeypatch, protocol):
    few_images(monkeypatch, 20)
    write_cifar(tmp_path, dump=python3_pickle(protocol))
    assert torch.equal(cifar_dataset(tmp_path).train_x, images(0, 1, 2, 3, 4))


def test_the_pickles_of_these_tests_are_those_of_python_2():
    content = {"data": pixels(0, 3), "labels": [0, 300, 70000], "batch_label": "x" * 300}
    raw = python2_pickle(content)
    read = pickle.loads(raw, encoding="latin1")
    assert np.array_equal(read.pop("data"), content.pop("data")) and read == content


def test_arrays_in_columns(tmp_path, monkeypatch):
    few_images(monkeypatch, 20)
    write_cifar(tmp_path, dump=lambda c: pickle.dumps(
        {k: np.asfortranarray(v) if k == "data" else v for k, v in c.items()}, 2))  # fmt: skip
    assert torch.equal(cifar_dataset(tmp_path).test_x, images(5))


@pytest.mark.parametrize("binary", [True, False])
def test_files_that_are_there_are_read(tmp_path, monkeypatch, binary):
    few_images(monkeypatch, 20)
    write_cifar(tmp_path, binary=binary)
    end = ".bin" if binary else ""
    for name in (f"data_batch_1{end}", f"data_batch_4{end}"):
        (tmp_path / name).unlink()
    (tmp_path / ("batches.meta.txt" if binary else "batches.meta")).unlink()
    data = cifar_dataset(tmp_path)
    assert torch.equal(data.train_x, images(1, 2, 4)) and data.classes == tuple("0123456789")
    (tmp_path / f"test_batch{end}").unlink()
    with pytest.raises(DataError, match=f"test_batch{end}: no such file"):
        cifar_dataset(tmp_path)


@pytest.mark.parametrize("cut", [1, 3073, 5000 * 3073])
def test_a_whole_number_of_images_too_few_is_noticed(tmp_path, cut):
    with open(tmp_path / "data_batch_1.bin", "wb") as file:
        file.truncate(30730000 - cut)
    with pytest.raises(DataError, match=r"truncated, .* where 10000 images take 30730000"):
        cifar_dataset(tmp_path)


def test_damaged_binary_files(tmp_path, monkeypatch):
    few_images(monkeypatch, 20)
    write_cifar(tmp_path, binary=True)
    file = tmp_path / "data_batch_3.bin"
    raw = file.read_bytes()
    file.write_bytes(raw + b"0")
    with pytest.raises(DataError, match=r"batch_3.bin: trailing bytes after the 61460"):
        cifar_dataset(tmp_path)
    file.write_bytes(b"\x0a" + raw[1:])
    with pytest.raises(DataError, match=r"batch_3.bin: a label is not one of 0 to 9"):
        cifar_dataset(tmp_path)


@pytest.mark.parametrize(
    "change, problem",
    [
        ({"data": None}, "expected 'data' of shape .20, 3072., got nothing"),
        ({"data": pixels(0, 19)}, "got .19, 3072."),
        ({"data": pixels(0, 20).reshape(20, 3, 1024)}, "got .20, 3, 1024."),
        ({"labels": list(range(19))}, "expected 20 integers as 'labels'"),
        ({"labels": [*range(10), *"abcdefghij"]}, "expected 20 integers"),
        ({"labels": [0] * 19 + [10]}, "a label is not one of 0 to 9"),
        ({"labels": [0] * 19 + [-1]}, "a label is not one of 0 to 9"),
        ({"labels": [0] * 19 + [2**2000]}, "a label is not one of 0 to 9"),
    ],
)
def test_python_files_with_other_content(tmp_path, monkeypatch, change, problem):
    few_images(monkeypatch, 20)
    write_cifar(tmp_path)
    content = {"data": pixels(0, 20), "labels": [0] * 20} | change
    (tmp_path / "data_batch_1").write_bytes(pickle.dumps(content, 2))
    with pytest.raises(DataError, match=rf"data_batch_1: .*{problem}"):
        cifar_dataset(tmp_path)


@pytest.mark.parametrize(
    "names", [["a"] * 9, ["a"] * 9 + ["\33[2J"], ["a"] * 9 + [3], "abcdefghij"]
)
def test_names_of_classes_that_are_none(tmp_path, monkeypatch, names):
    few_images(monkeypatch, 20)
    write_cifar(tmp_path)
    (tmp_path / "batches.meta").write_bytes(pickle.dumps({"label_names": names}, 2))
    with pytest.raises(DataError, match=r"batches.meta: expected the names of 10 classes"):
        cifar_dataset(tmp_path)


def test_directories(tmp_path, monkeypatch):
    with pytest.raises(DataError, match="none: no such directory"):
        cifar_dataset(tmp_path / "none")
    with pytest.raises(DataError, match="no training file of CIFAR is there"):
        cifar_dataset(tmp_path)
    write_cifar(tmp_path)
    with pytest.raises(ValueError, match="coarse=True is for CIFAR-100"):
        cifar_dataset(tmp_path, coarse=True)


class Runs:
    """Pickled, it is a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


class Built:
    """Pickled, it is an object and its state."""

    def __setstate__(self, state):
        raise AssertionError("the state was set")

    def __getstate__(self):
        return {"state": 1}


PROTO = b"\x80\x02"
ARRAY = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
BYTES = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R"
TEXT = b"T" + struct.pack("<i", 1 << 16) + bytes(1 << 16)
HOSTILE = {
    "an old call": (b"(S'true'\nios\nsystem\n.", "instruction INST"),
    "an older call": (b"(cos\nsystem\nS'true'\no.", "names 'os.system'"),
    "a new object": (PROTO + b"cos\nPopen\nU\x04true\x85\x81.", "names 'os.Popen'"),
    "of the array's class": (PROTO + b"cnumpy\nndarray\nJ\xff\xff\xff\x7f\x85\x81.", "NEWOBJ"),
    "persistent": (b"Pos.system\n.", "instruction PERSID"),
    "an extension": (PROTO + b"\x82\x01.", "instruction EXT1"),
    "a call of a text": (PROTO + b"U\x04trueU\x04true\x85R.", "str where Name belongs"),
    "a call of a class": (PROTO + b"cnumpy\nndarray\nJ\xff\xff\xff\x7f\x85R.", "calls ndarray in"),
    "a type of objects": (PROTO + b"cnumpy\ndtype\nU\x02O8K\x00K\x01\x87R.", "calls dtype in"),
    "a large array": (PROTO + ARRAY + b"(K\x01" + b"J\xff\xff\xff\x7f" * 2 + b"\x86" + BYTES
                      + b"\x89U\x01xtb.", "impossible shape"),
    "a negative array": (PROTO + ARRAY + b"(K\x01" + b"J\xff\xff\xff\xff" * 2 + b"\x86" + BYTES
                         + b"\x89U\x01xtb.", "impossible shape"),
    "an array of text": (PROTO + ARRAY + b"(K\x01K\x01\x85U\x02u1\x89U\x01xtb.", "not one of"),
    "the state of a list": (PROTO + b"](K\x01tb.", "list where Array belongs"),
    "a far index of the memo": (PROTO + b"}r\xff\xff\xff\x7fb.", "take what is not there"),
    "bytes without end": (PROTO + b"\x8e" + struct.pack("<Q", 2**60) + b"x.", "only 2 remain"),
    "a frame without end": (b"\x80\x04\x95" + struct.pack("<Q", 2**60) + b"}.", "got nothing"),
    "a tower as a key": (PROTO + b"})" + b"q\x00h\x00\x86" * 500 + b"K\x01s.", "tuple where str"),
    "a deep key": (PROTO + b"})" + b"\x85" * 100_000 + b"K\x01s.", "tuple where str"),
    "a deep value": (PROTO + b"}U\x04data)" + b"\x85" * 100_000 + b"s.", "got nothing"),
    "many instructions": (PROTO + b"}" + b"N" * (1 << 19) + b".", "more than"),
    "encoding again and again": (PROTO + TEXT + b"q\x00" + (
        b"c_codecs\nencode\nh\x00U\x06latin1\x86R" * 2000) + b".", "encodes more text"),
    "arrays that share a text": (PROTO + TEXT + b"q\x00" + (
        ARRAY + b"(K\x01J\x00\x00\x01\x00\x85" + BYTES + b"\x89h\x00tb") * 1000 + b".",
        "encodes more text"),
    "marks as things": (PROTO + b"((\x86.", "take what is not there"),
    "a list of marks": (PROTO + b"](a.", "take what is not there"),
    "nothing": (PROTO + b".", "does not end with one object"),
    "two things": (PROTO + b"}}.", "does not end with one object"),
    "no dictionary": (PROTO + b"].", "list where dict belongs"),
    "a key alone": (PROTO + b"(U\x01xd.", "a key without a value"),
    "text that is none": (PROTO + b"X\x01\x00\x00\x00\xff.", "corrupt pickle"),
    "digits without end": (b"I" + b"9" * 100_000 + b"\n.", "corrupt pickle"),
}  # fmt: skip


@pytest.mark.parametrize("raw, problem", HOSTILE.values(), ids=HOSTILE)
def test_hostile_pickle(tmp_path, raw, problem):
    (tmp_path / "data_batch_1").write_bytes(raw)
    tracemalloc.start()
    try:
        with pytest.raises(DataError) as caught:
            cifar_dataset(tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'data_batch_1'}: ") and len(message) < 400
    assert problem in message and "\n" not in message


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_nothing_is_run(tmp_path, protocol):
    mark = tmp_path / "mark"
    for thing in (
        Runs(os.system, f"touch {mark}"),
        Runs(eval, f"open({str(mark)!r}, 'w')"),
        Runs(os.mkdir, str(mark)),
        Built(),
        np.array([Runs(os.mkdir, str(mark))], object),
        memoryview,
    ):
        for content in (thing, {"data": thing}, [thing]):
            raw = pickle.dumps(content, protocol)
            with pytest.raises(unpickle.Refused):
                unpickle.loads(raw)
            (tmp_path / "data_batch_1").write_bytes(raw)
            with pytest.raises(DataError, match="not a file of CIFAR's Python version"):
                cifar_dataset(tmp_path)
    assert not mark.exists()
