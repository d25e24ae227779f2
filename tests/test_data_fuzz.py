"""scatcuda.data: whatever happens to a file, it is read or there is a DataError."""

from __future__ import annotations

import os
import pathlib
import tempfile
import tracemalloc
import warnings

import numpy as np
import pytest
from data_files import (
    arrays,
    few_images,
    npz_bytes,
    write_cifar,
    write_dataset,
    write_emnist,
    write_folders,
    write_parquet,
    write_qmnist,
    write_stl10,
    write_svhn,
)
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from scatcuda.data import DataError, Images, load

pytestmark = pytest.mark.proof

SEED = int(os.environ.get("SCATCUDA_SEED", "0"))
_MEMORY = (
    4 << 20
)  # bytes at most; the files have up to 30 thousand, of which deflate makes 30 million


def _write_npz(folder, compressed):
    folder.mkdir()
    x = np.arange(9 * 64, dtype="f4").reshape(9, 8, 8)
    content = arrays(x_train=x, x_test=x[:6])
    (folder / "some.npz").write_bytes(npz_bytes(compressed, **content))


def _write_csv(folder):
    folder.mkdir()
    rows = np.random.RandomState(0).randint(0, 256, (60, 17))
    rows[:, 0] = np.arange(60) % 3
    for part in ("train", "test"):
        np.savetxt(folder / f"x_{part}.csv", rows, "%d", ",")


def _write_parquet(folder):
    pytest.importorskip("pyarrow")
    write_parquet(folder, {"train": ["train-0"], "test": ["test-0"]})


WRITERS = {
    "idx": (lambda folder: write_dataset(folder, size=8), "train-images-idx3-ubyte"),
    "idx labels": (lambda folder: write_dataset(folder, size=8), "t10k-labels-idx1-ubyte"),
    "idx.gz": (lambda folder: write_dataset(folder, 8, suffix=".gz"), "train-images-idx3-ubyte.gz"),
    "cifar binary": (lambda folder: write_cifar(folder, binary=True, count=2), "data_batch_2.bin"),
    "cifar Python": (lambda folder: write_cifar(folder, count=2), "data_batch_2"),
    "cifar names": (lambda folder: write_cifar(folder, count=2), "batches.meta"),
    "npz": (lambda folder: _write_npz(folder, True), "some.npz"),
    "npz stored": (lambda folder: _write_npz(folder, False), "some.npz"),
    "emnist": (lambda folder: write_emnist(folder, "digits"), "emnist-digits-mapping.txt"),
    "qmnist": (write_qmnist, "qmnist-train-labels-idx2-int"),
    "svhn": (write_svhn, "train_32x32.mat"),
    "svhn stored": (lambda folder: write_svhn(folder, False), "test_32x32.mat"),
    "stl10": (write_stl10, "train_X.bin"),
    "csv": (_write_csv, "x_train.csv"),
    "parquet": (_write_parquet, "train-0.parquet"),
    "png": (lambda folder: write_folders(folder), "train/red/1.png"),
    "jpg": (lambda folder: write_folders(folder, suffix="jpg"), "train/red/1.jpg"),
    "webp": (lambda folder: write_folders(folder, suffix="webp"), "train/red/1.webp"),
    "tiff": (lambda folder: write_folders(folder, suffix="tiff"), "train/red/1.tiff"),
}


@pytest.fixture(params=WRITERS)
def victim(request, tmp_path, monkeypatch):
    """A file of a data set, and what to load to have it read."""
    few_images(monkeypatch, 2)
    write, name = WRITERS[request.param]
    write(tmp_path / "set")
    file = tmp_path / "set" / name
    return file, file if file.suffix == ".npz" else tmp_path / "set"


def read(path: pathlib.Path) -> None:
    """Load the set at `path`; a DataError of one sentence is all that may come instead."""
    try:
        data = load(path)
        for images in (data.train_x, data.test_x):
            if isinstance(images, Images):
                images[:]
    except DataError as error:
        assert "\n" not in str(error) and len(str(error)) < 600
    else:
        assert len(data.train_x) == len(data.train_y) and len(data.test_x) == len(data.test_y)
        assert 0 <= data.train_y.min() and data.train_y.max() < len(data.classes)


@pytest.mark.filterwarnings("ignore::UserWarning")  # of Pillow, about metadata
def test_truncated_anywhere(victim):
    file, path = victim
    raw = file.read_bytes()
    read(path)
    step = max(1, len(raw) // 100)
    for length in {*range(min(64, len(raw))), *range(0, len(raw), step), len(raw) - 1}:
        file.write_bytes(raw[:length])
        if file.suffix in (
            ".png",
            ".webp",
            ".tiff",
            ".jpg",
            ".csv",
            ".txt",
        ):  # some bytes at the end say nothing
            read(path)
        else:
            with pytest.raises(DataError, match=file.name):
                load(path)


@st.composite
def damage(draw, raw: bytes) -> bytes:
    """`raw` with a few bytes changed, taken out, put in or repeated."""
    damaged = bytearray(raw)
    for _ in range(draw(st.integers(1, 4))):
        # Headers are where damage does most.
        near = st.integers(0, min(len(damaged), 200)) | st.integers(
            max(0, len(damaged) - 200), len(damaged)
        )
        start = draw(near | st.integers(0, len(damaged)))
        length = draw(st.integers(0, 8) | st.integers(0, 300))
        put = draw(
            st.binary(max_size=8) | st.sampled_from([bytes(8), b"\xff" * 8, b"\x7f\xff\xff\xff"])
        )
        damaged[start : start + draw(st.sampled_from([length, len(put)]))] = put
    return bytes(damaged)


def _peak(path: pathlib.Path) -> int:
    """The most memory that reading takes, in bytes."""
    tracemalloc.start()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Pillow, about metadata
            read(path)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_damaged_anyhow(victim):
    file, path = victim
    raw = file.read_bytes()
    for some in (raw, raw[:50]):  # what is imported for it is no memory of the file's
        file.write_bytes(some)
        read(path)

    @seed(SEED)
    @settings(
        max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(damage(raw))
    def check(damaged: bytes) -> None:
        file.write_bytes(damaged)
        # Once in a while it is Python's table of interned names that grows, to which pathlib adds.
        # What the file takes, it takes each time.
        assert any(_peak(path) < _MEMORY for _ in range(3))

    check()


@settings(max_examples=150, deadline=None, database=None)
@seed(SEED)
@given(
    st.sampled_from([".npz", "data_batch_1", "data_batch_1.bin", "train-images-idx3-ubyte"]),
    st.binary(max_size=200),
)
def test_anything(name, raw):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, name if name != ".npz" else "x.npz")
        path.write_bytes(raw)
        with pytest.raises(DataError):
            load(path if name == ".npz" else folder)
