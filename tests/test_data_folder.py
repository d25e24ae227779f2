"""scatcuda.data: folders of images, decoded when asked for."""

from __future__ import annotations

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


def test_without_pillow(monkeypatch, tmp_path):
    write_folders(tmp_path)
    monkeypatch.setitem(__import__("sys").modules, "PIL.Image", None)
    with pytest.raises(ImportError, match="pip install pillow"):
        folder_dataset(tmp_path)
