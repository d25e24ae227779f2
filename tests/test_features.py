"""Features in files: every row once, whatever happens on the way."""

import dataclasses
import hashlib
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

from data_files import write_folders

from scatcuda import Scattering2D
from scatcuda.data import DataError, Dataset, digits, load
from scatcuda.files import read_tensors, write_tensors
from scatcuda.learn.extraction.features import MANIFEST, _checksum, extract, load_features
from scatcuda.learn.extraction.transformer import ScatteringTransformer

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
    monkeypatch.setattr("scatcuda.learn.extraction.features._SHARD", 30 * 81 * 2)
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
        (Dataset("some", x, y, x, y, dataset.classes), transformer(), 50, "100 test images, bef"),
        (Dataset("some", one_pixel, y, *test, dataset.classes), transformer(), 50,
         "the training images are others"),
        (Dataset("some", x, y.roll(1), *test, dataset.classes), transformer(), 50,
         "the training labels are others"),
        (Dataset("some", x, y, *test, (*"012345678", "X")), transformer(), 50,
         r"the classes are others \(missing: 9; new: X\)"),
    ]  # fmt: skip
    for data, how, size, message in others:
        with pytest.raises(ValueError, match=f"holds other features: {message}"):
            extract(data, how, tmp_path, shard_size=size)
    assert kept == {path: path.read_bytes() for path in tmp_path.iterdir()}
    # A file of another extraction under a right name is found out too.
    extract(dataset, transformer(L=4), tmp_path / "other", shard_size=50)
    name = "train-00001-of-00002.safetensors"
    (tmp_path / name).write_bytes((tmp_path / "other" / name).read_bytes())
    with pytest.raises(DataError, match=f"{name}: not a file of these features; run the"):
        load_features(tmp_path)
    assert extract(dataset, transformer(), tmp_path, shard_size=50) == 1


def test_a_folder_without_features_takes_any(dataset, tmp_path):
    extract(dataset, transformer(), tmp_path, shard_size=50)
    for path in tmp_path.glob("*.safetensors"):
        path.unlink()
    assert extract(dataset, transformer(J=1), tmp_path, shard_size=100) == 2
    assert load_features(tmp_path)[0].shape == (100, 9)


@pytest.mark.parametrize("change", ["replaced", "added", "removed", "moved"])
def test_features_of_a_folder_are_of_its_images(change, tmp_path):
    """Forty images: what is looked at of a few of them tells nothing."""
    image = pytest.importorskip("PIL.Image")
    images, output = tmp_path / "images", tmp_path / "features"
    write_folders(images, ("train", "test"), count=20)
    load_it = lambda: load(images, size=16)  # noqa: E731
    extract(load_it(), transformer(), output, shard_size=10)
    shard = output / "train-00001-of-00004.safetensors"
    kept = {path: path.read_bytes() for path in output.iterdir()}
    file = images / "train/red/11.png"
    state = file.stat()
    if change == "replaced":  # by one of the same size and time
        new = image.open(file).transpose(image.Transpose.FLIP_LEFT_RIGHT)
        new.putpixel((15, 10), (255, 255, 255))
        new.save(file)
        os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
    elif change == "added":
        (file.parent / "11b.png").write_bytes(file.read_bytes())
    elif change == "removed":
        file.unlink()
    else:
        file.rename(images / "train/blue/11b.png")
    words = {
        "replaced": "the training images are others",
        "added": "41 training images, before 40",
        "removed": "39 training images, before 40",
        "moved": "the training images and labels",
    }
    for _ in range(2):  # nothing is mixed where one file is to be made again
        with pytest.raises(ValueError, match=f"other features: {words[change]}.*; they are kept"):
            extract(load_it(), transformer(), output, shard_size=10)
        assert kept.pop(shard, None) is None or kept == {
            path: path.read_bytes() for path in output.iterdir() if path != shard
        }
        shard.unlink(missing_ok=True)
    assert extract(load_it(), transformer(), tmp_path / "other", shard_size=10) > 0


MANIFESTS = [
    {"shard_size": -1}, {"shard_size": 0}, {"shard_size": 2**63}, {"shard_size": 1.5},
    {"shard_size": True}, {"shard_size": "25"}, {"shard_size": None}, {"columns": -81},
    {"columns": 0}, {"columns": 82}, {"columns": 10**12}, {"columns": [81]}, {"dtype": "float64"},
    {"dtype": "int64"}, {"dtype": ["float32"]}, {"classes": "0123456789"}, {"classes": [1, 2]},
    {"classes": [1]}, {"data": 1}, {"transformer": []}, {"transformer": {}}, {"splits": {}},
    {"splits": []}, {"splits": {"val": {}}}, {"splits": {"train": {}}}, {"splits": {"train": 3}},
    {"rows": -100}, {"rows": 0}, {"rows": 99}, {"rows": 101}, {"rows": 10**12}, {"rows": 2**63},
    {"rows": 1e2}, {"rows": None}, {"shape": None}, {"images": 1}, {"labels": None},
    {"shard_size": 50}, {"shard_size": 1000}, {"shard_size": 10**12}, {"shard_size": 1},
    {"rows": 10**12, "shard_size": 1}, {"rows": 10**12, "shard_size": 10**12},
    {"rows": 10**12, "shard_size": -1}, {"surplus": 1},
]  # fmt: skip


@pytest.mark.parametrize("change", MANIFESTS, ids=str)
def test_every_field_of_a_manifest_is_checked(dataset, tmp_path, monkeypatch, change):
    """Memory that nobody wrote, or that no file fills, is not asked for, whatever is claimed."""
    extract(dataset, transformer(), tmp_path, shard_size=25)
    manifest = json.loads((tmp_path / MANIFEST).read_text())
    for name, value in change.items():
        inside = name in manifest["splits"]["train"]
        (manifest["splits"]["train"] if inside else manifest)[name] = value
    (tmp_path / MANIFEST).write_text(json.dumps(manifest))
    # The files may say that they belong to it: whoever wrote the one can write the other.
    digest = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
    for path in tmp_path.glob("*.safetensors"):
        tensors, metadata = read_tensors(path)
        checksum = metadata["scatcuda"].split()[1]
        write_tensors(path, tensors, {"scatcuda": f"{digest} {checksum}"})
    monkeypatch.setattr(torch, "empty", lambda *size, **how: pytest.fail(f"{size} are allocated"))
    with pytest.raises(DataError, match=str(tmp_path)):
        load_features(tmp_path)


@pytest.mark.parametrize("of", ["x", "y", "index", "cut", "checksum", "nothing"])
def test_a_flipped_bit_is_noticed_and_made_good(dataset, tmp_path, of):
    extract(dataset, transformer(), tmp_path, shard_size=50)
    kept = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    name = "train-00001-of-00002.safetensors"
    raw = bytearray(kept[name])
    header = int.from_bytes(raw[:8], "little")
    if of == "cut":
        del raw[-1]
    elif of == "checksum":
        raw[raw.index(b'"scatcuda":"') + 12 + 64 + 3] ^= 1
    elif of != "nothing":
        start = json.loads(raw[8 : 8 + header])[of]["data_offsets"][0]
        raw[8 + header + start + 9] ^= 1
    (tmp_path / name).write_bytes(raw)
    if of != "nothing":
        with pytest.raises(DataError, match=f"{name}: .*; run the extraction again, which makes"):
            load_features(tmp_path)
    load_features(tmp_path, "test")
    assert extract(dataset, transformer(), tmp_path, shard_size=50) == (of != "nothing")
    assert kept == {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    load_features(tmp_path)


def test_labels_of_a_file_are_classes(dataset, tmp_path):
    extract(dataset, transformer(), tmp_path, shard_size=100)
    path = tmp_path / "train-00000-of-00001.safetensors"
    tensors, metadata = read_tensors(path)
    for label in (-1, 10):
        tensors["y"][3] = label
        digest = metadata["scatcuda"].split()[0]
        write_tensors(path, tensors, {"scatcuda": f"{digest} {_checksum(tensors)}"})
        with pytest.raises(DataError, match="not a file of these features"):
            load_features(tmp_path)


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", '{"format": 1}', '{"format": "scatcuda features 3"}', "\xff", "[" * 99999],
)
def test_a_damaged_manifest_is_one_sentence(dataset, tmp_path, text):
    (tmp_path / MANIFEST).write_text(text, encoding="latin-1")
    for act in (lambda: load_features(tmp_path), lambda: extract(dataset, transformer(), tmp_path)):
        with pytest.raises(DataError, match=f"{MANIFEST}: .*; extract them anew"):
            act()


def test_wrong_arguments(dataset, tmp_path):
    with pytest.raises(ValueError, match="shard_size must be at least 1; got 0"):
        extract(dataset, transformer(), tmp_path / "a", shard_size=0)
    with pytest.raises(TypeError, match="shard_size must be an int"):
        extract(dataset, transformer(), tmp_path / "a", shard_size=2.5)
    few = dataclasses.replace(dataset, classes=("0", "1"))
    with pytest.raises(ValueError, match="train labels must be of 2 classes"):
        extract(few, transformer(), tmp_path / "a")
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


@pytest.mark.proof
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
        _, err = process.communicate(timeout=600)
        assert process.returncode == 0, err
    data = load("digits")
    expected = ScatteringTransformer(J=3, device="cpu", dtype="float16").fit(data.train_x)
    for split, x, y in (("train", data.train_x, data.train_y), ("test", data.test_x, data.test_y)):
        features, labels = load_features(cut, split)
        assert torch.equal(features, expected.transform(x)) and torch.equal(labels, y)
        rows = [read_tensors(path)[0]["index"] for path in sorted(cut.glob(f"{split}-*"))]
        assert torch.equal(torch.cat(rows), torch.arange(len(y)))
    assert json.loads((cut / MANIFEST).read_text())["data"] == "digits"


def test_a_refused_fit_keeps_what_was_fitted_and_a_module_is_copied_anew():
    x = torch.rand(5, 8, 8)
    transformer = ScatteringTransformer(J=1).fit(x)
    wanted = transformer.transform(x)
    bad = torch.rand(5, 16, 16)
    bad[0, 0, 0] = float("nan")
    with pytest.raises(ValueError):
        transformer.fit(bad)
    assert torch.equal(transformer.transform(x), wanted)
    module = Scattering2D(1, (8, 8), trainable="filters")
    transformer = ScatteringTransformer(None, scattering=module).fit(x)
    wanted = transformer.transform(x)
    with torch.no_grad():
        module.learned.psi.mul_(2)
    assert torch.equal(transformer.transform(x), wanted)
    assert not torch.equal(transformer.fit(x).transform(x), wanted)
