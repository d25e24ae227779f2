"""scatcuda.data: IDX files under the names of MNIST's successors, EMNIST and QMNIST."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
import torch
from data_files import SPLITS, idx_bytes, write_emnist, write_qmnist

from scatcuda.data import DataError, idx_dataset, load, verify


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("split", SPLITS)
def test_emnist_is_upright_and_named(tmp_path, split, suffix):
    images = write_emnist(tmp_path, split, suffix)
    for data in (idx_dataset(tmp_path), load(f"emnist-{split}", tmp_path), load(tmp_path)):
        assert data.classes == tuple(SPLITS[split]) and data.train_x.is_contiguous()
        assert torch.equal(data.train_x, images)
        assert data.train_y.tolist() == [k % len(data.classes) for k in range(len(images))]
    assert load(f"emnist-{split}", tmp_path).name == idx_dataset(tmp_path).name == f"emnist-{split}"
    (tmp_path / f"emnist-{split}-mapping.txt").unlink()
    first = 1 if split == "letters" else 0
    numbers = tuple(str(k + first) for k in range(len(SPLITS[split])))
    assert idx_dataset(tmp_path).classes == numbers and idx_dataset(tmp_path).train_y.min() == 0


def test_several_in_one_directory(tmp_path):
    raw = tmp_path / "EMNIST" / "raw"
    images = {split: write_emnist(raw, split, seed=i) for i, split in enumerate(SPLITS)}
    write_qmnist(raw)
    for split in SPLITS:
        for name in (f"emnist-{split}", f"EMNIST_{split.upper()}"):
            assert torch.equal(load(name, tmp_path).train_x, images[split])
        assert torch.equal(idx_dataset(raw, which=f"emnist-{split}").train_x, images[split])
        assert all(check.ok for check in verify(f"emnist-{split}", tmp_path))
        assert len(verify(f"emnist-{split}", tmp_path)) == 5
    assert load("qmnist", raw).name == "qmnist"
    for attempt in (raw, tmp_path / "EMNIST"):
        with pytest.raises(DataError, match=r"raw: it holds several .*emnist-byclass.*: take one"):
            load(attempt)
    with pytest.raises(DataError, match=r"it holds several data sets, .*: take one by its name"):
        load("emnist", tmp_path)
    with pytest.raises(DataError, match=r"^mnist: not found"):
        load("mnist", raw)
    with pytest.raises(ValueError, match="idx_dataset: which must be one of mnist, qmnist, emnist"):
        idx_dataset(raw, which="letters")


@pytest.mark.parametrize("place", ["QMNIST/raw", "qmnist", "."])
def test_qmnist(tmp_path, place):
    images = write_qmnist(tmp_path / place)
    data = load("qmnist", tmp_path)
    assert torch.equal(data.train_x, images) and data.classes == tuple("0123456789")
    assert data.train_y.tolist() == list(range(10)) * 2 and data.test_y.tolist() == list(range(10))
    assert data.name == load(tmp_path / place).name == "qmnist"
    labels = tmp_path / place / "qmnist-train-labels-idx2-int"
    labels.write_bytes(idx_bytes(np.arange(20, dtype="i4")))
    with pytest.raises(DataError, match="idx2-int: expected integers of 32 bits in 2 dimensions"):
        load("qmnist", tmp_path)
    labels.write_bytes(gzip.compress(idx_bytes(np.zeros((20, 0), "i4"))))
    with pytest.raises(DataError, match="idx2-int: it is empty"):
        load("qmnist", tmp_path)
    labels.unlink()
    with pytest.raises(DataError, match="qmnist-train-labels-idx2-int: no such file"):
        load("qmnist", tmp_path)


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"\xff\xfe\x00", b"1 65 97\n", b"1\n" * 26, b"1 0\n" * 26,
        "".join(f"{k} 65\n" for k in range(1, 27)).encode(),
        "".join(f"{k} {26 + k}\n" for k in range(1, 27)).encode(),
        "".join(f"{k} 9{k}\n" * 9999 for k in range(1, 27)).encode(),
        b"1 " + b"9" * 9999 + b"\n",
    ],
)  # fmt: skip
def test_a_damaged_mapping(tmp_path, raw):
    write_emnist(tmp_path, "letters")
    (tmp_path / "emnist-letters-mapping.txt").write_bytes(raw)
    with pytest.raises(DataError, match=r"mapping.txt: expected a label and codes .* 26 classes"):
        idx_dataset(tmp_path)
