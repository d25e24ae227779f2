"""Features in files: every row once, whatever happens on the way."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

pytest.importorskip("safetensors")
pytest.importorskip("sklearn")

from scatcuda.data import DataError, Dataset, digits, load
from scatcuda.files import read_tensors
from scatcuda.learn.features import MANIFEST, extract, load_features
from scatcuda.learn.transformer import ScatteringTransformer

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    x, y = digits(16)
    return Dataset("some", x[:100], y[:100], x[100:137], y[100:137], tuple("0123456789"))


def transformer(**how) -> ScatteringTransformer:
    return ScatteringTransformer(**{"J": 2, "pool": "mean", "device": "cpu", **how})


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_files_hold_the_features(dataset, tmp_path, dtype):
    assert extract(dataset, transformer(dtype=dtype), tmp_path, shard_size=30) == 4 + 2
    expected = transformer(dtype=dtype).fit(dataset.train_x)
    for split, x, y in (
        ("train", dataset.train_x, dataset.train_y), ("test", dataset.test_x, dataset.test_y),
    ):  # fmt: skip
        features, labels = load_features(tmp_path, split)
        assert torch.equal(features, expected.transform(x)) and torch.equal(labels, y)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        MANIFEST, "test-00000-of-00002.safetensors", "test-00001-of-00002.safetensors",
        *(f"train-{i:05d}-of-00004.safetensors" for i in range(4)),
    ]  # fmt: skip
    assert extract(dataset, transformer(dtype=dtype), tmp_path, shard_size=30) == 0


def test_files_are_of_bounded_size_unless_rows_are_counted(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr("scatcuda.learn.features._SHARD", 30 * 81 * 2)
    assert extract(dataset, transformer(dtype="float16"), tmp_path / "half") == 4 + 2
    assert extract(dataset, transformer(dtype="float32"), tmp_path / "full") == 7 + 3
    assert extract(dataset, transformer(), tmp_path / "rows", shard_size=50) == 2 + 1


def test_what_is_missing_or_damaged_is_made_again(dataset, tmp_path):
    extract(dataset, transformer(), tmp_path, shard_size=25)
    before, _ = load_features(tmp_path)
    first, second, third = sorted(tmp_path.glob("train-*"))[:3]
    first.unlink()
    second.write_bytes(second.read_bytes()[:-8])
    third.write_bytes(b"")
    with pytest.raises(DataError, match="1 of 4 files are missing, the first is train-00000"):
        load_features(tmp_path)
    assert extract(dataset, transformer(), tmp_path, shard_size=25) == 3
    assert torch.equal(load_features(tmp_path)[0], before)


def test_other_features_are_refused(dataset, tmp_path):
    extract(dataset, transformer(), tmp_path, shard_size=50)
    kept = {path: path.read_bytes() for path in tmp_path.iterdir()}
    x, y, test = dataset.train_x, dataset.train_y, (dataset.test_x, dataset.test_y)
    one_pixel = x.clone()
    one_pixel[58, 3, 5] += 1
    others = [
        (dataset, transformer(J=3), 50, "transformer is"),
        (dataset, transformer(), 40, "shard_size is 50, now 40"),
        (dataset, transformer(dtype="float16"), 50, "transformer is"),
        (Dataset("some", x.flip(0), y, x, y, dataset.classes), transformer(), 50, "splits is"),
        (Dataset("some", one_pixel, y, *test, dataset.classes), transformer(), 50, "splits is"),
    ]
    for data, how, size, message in others:
        with pytest.raises(ValueError, match=f"holds other features: {message}"):
            extract(data, how, tmp_path, shard_size=size)
    assert kept == {path: path.read_bytes() for path in tmp_path.iterdir()}
    # A file of another extraction under a right name is found out too.
    extract(dataset, transformer(L=4), tmp_path / "other", shard_size=50)
    name = "train-00001-of-00002.safetensors"
    (tmp_path / name).write_bytes((tmp_path / "other" / name).read_bytes())
    with pytest.raises(DataError, match=f"{name}: not a file of these features"):
        load_features(tmp_path)
    assert extract(dataset, transformer(), tmp_path, shard_size=50) == 1


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"format": 1}', '{"format": "scatcuda features 1"}', "\xff"]
)
def test_a_damaged_manifest_is_one_sentence(dataset, tmp_path, text):
    (tmp_path / MANIFEST).write_text(text, encoding="latin-1")
    for act in (lambda: load_features(tmp_path), lambda: extract(dataset, transformer(), tmp_path)):
        with pytest.raises(DataError, match=MANIFEST):
            act()


def test_wrong_arguments(dataset, tmp_path):
    with pytest.raises(ValueError, match="shard_size must be at least 1; got 0"):
        extract(dataset, transformer(), tmp_path / "a", shard_size=0)
    with pytest.raises(TypeError, match="shard_size must be an int"):
        extract(dataset, transformer(), tmp_path / "a", shard_size=2.5)
    assert not (tmp_path / "a").exists()
    extract(dataset, transformer(), tmp_path)
    with pytest.raises(ValueError, match="split must be one of"):
        load_features(tmp_path, "val")


def test_leftovers_are_swept_and_nobody_elses(dataset, tmp_path):
    shard = "train-00000-of-00001.safetensors"
    ours = [f".{name}.0123456789abcdef.tmp" for name in (MANIFEST, shard)]
    theirs = [".old.tmp", ".notes.0123456789abcdef.tmp", f".{shard}.tmp", f".{shard}.old.tmp",
              ".train-00001-of-00002.safetensors.0123456789abcdef.tmp"]  # fmt: skip
    new = f".{shard}.fedcba9876543210.tmp"
    for name in (*ours, *theirs, new):
        (tmp_path / name).touch()
    for name in (*ours, *theirs):
        os.utime(tmp_path / name, (0, 0))
    extract(dataset, transformer(), tmp_path)
    left = {path.name for path in tmp_path.glob(".*")}
    assert left == {*theirs, new}


def start(folder: Path, **environment: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "scatcuda", "features", "digits", "--J", "3"]
    command += ["--shard-size", "8", "--threads", "1", "--device", "cpu", "--output", str(folder)]
    return subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, **environment}, stderr=subprocess.PIPE, text=True
    )


def test_killed_and_resumed(tmp_path):
    cut, random_moment = tmp_path / "cut", random.Random(1)
    kills = 0
    while kills < 3:
        process = start(cut)
        while not (cut / MANIFEST).exists() and process.poll() is None:
            time.sleep(0.005)
        time.sleep(random_moment.uniform(0, 0.2))
        process.send_signal(signal.SIGKILL)
        if process.wait() == 0:
            break
        kills += 1
    assert kills == 3
    # Two processes at once, as torchrun starts them, finish it.
    both = [start(cut, RANK=str(rank), WORLD_SIZE="2") for rank in range(2)]
    for process in both:
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
    data = load("digits")
    expected = ScatteringTransformer(J=3, device="cpu", dtype="float16").fit(data.train_x)
    for split, x, y in (("train", data.train_x, data.train_y), ("test", data.test_x, data.test_y)):
        features, labels = load_features(cut, split)
        assert torch.equal(features, expected.transform(x)) and torch.equal(labels, y)
        rows = [read_tensors(path)[0]["index"] for path in sorted(cut.glob(f"{split}-*"))]
        assert torch.equal(torch.cat(rows), torch.arange(len(y)))
    assert json.loads((cut / MANIFEST).read_text())["data"] == "digits"
