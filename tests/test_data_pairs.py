"""Data sets in PyTorch's loaders: the same pairs from tensors and files, in workers too."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils import data as loaders

from scatcuda.data import Dataset, Pairs, digits_dataset, folder_dataset, load
from scatcuda.learn import evaluate, fit, hybrid


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Ten images a part, of two classes, each of one grey level."""
    image = pytest.importorskip("PIL.Image")
    place = tmp_path_factory.mktemp("folder")
    for part in ("train", "test"):
        for k, name in enumerate(("dark", "light")):
            (place / part / name).mkdir(parents=True)
            for i in range(5):
                level = 100 * k + 10 * i
                image.new("RGB", (9, 8), (level,) * 3).save(place / part / name / f"{i}.png")
    return place


def grey(n: int = 6) -> Dataset[torch.Tensor]:
    x = torch.arange(n, dtype=torch.uint8)[:, None, None].expand(n, 8, 8).clone()
    y = torch.arange(n) % 2
    return Dataset("levels", x, y, x[:2], y[:2], ("even", "odd"))


def test_a_pair_is_an_image_as_networks_take_it():
    dataset = grey()
    image, label = dataset.train[3]
    assert image.shape == (1, 8, 8) and image.dtype == torch.float32 and type(label) is int
    assert torch.equal(image, torch.full((1, 8, 8), 3 / 255)) and label == 1
    assert torch.equal(dataset.train[-1][0], dataset.train[5][0])
    assert len(dataset.train) == 6 and len(dataset.test) == 2
    assert [label for _, label in dataset.train] == [0, 1, 0, 1, 0, 1]
    for i in (np.int64(2), torch.tensor(2)):
        assert torch.equal(dataset.train[i][0], dataset.train[2][0])
    assert isinstance(dataset.train, loaders.Dataset)
    floats = Pairs(torch.rand(2, 3, 8, 8, dtype=torch.float64), torch.arange(2))
    assert floats[0][0].dtype == torch.float32 and floats[0][0].shape == (3, 8, 8)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("shuffle", [False, True])
def test_of_tensors_in_a_loader(workers, shuffle):
    dataset = grey(10)
    batches = list(
        loaders.DataLoader(dataset.train, batch_size=4, shuffle=shuffle, num_workers=workers)
    )
    assert [len(x) for x, _ in batches] == [4, 4, 2]
    x, y = (torch.cat(part) for part in zip(*batches, strict=True))
    assert x.shape == (10, 1, 8, 8) and y.dtype == torch.int64
    levels = (x[:, 0, 0, 0] * 255).round().long()
    assert levels.sort().values.tolist() == list(range(10))
    assert torch.equal(levels % 2, y)  # each with its label
    assert shuffle or levels.tolist() == list(range(10))


@pytest.mark.parametrize("workers", [0, 2])
def test_of_files_in_a_loader(workers, folder):
    dataset = folder_dataset(folder, size=8)
    loader = loaders.DataLoader(dataset.train, batch_size=3, num_workers=workers)
    x, y = (torch.cat(part) for part in zip(*loader, strict=True))
    assert torch.equal(x, dataset.train_x[:].float() / 255) and torch.equal(y, dataset.train_y)
    assert x.shape == (10, 3, 8, 8)
    alone = torch.cat(list(loaders.DataLoader(dataset.train_x, batch_size=3, num_workers=workers)))
    assert torch.equal(alone, dataset.train_x[:])


def test_pytorchs_other_datasets(folder):
    for dataset in (grey(), folder_dataset(folder, size=8)):
        part, rest = loaders.random_split(dataset.train, [0.5, 0.5])
        assert len(part) + len(rest) == len(dataset.train)
        both = loaders.ConcatDataset([loaders.Subset(dataset.train, [1]), dataset.test])
        assert torch.equal(both[0][0], dataset.train[1][0])
        assert torch.equal(both[1][0], dataset.test[0][0])
        batch = next(iter(loaders.DataLoader(both, batch_size=3)))
        assert batch[0].shape[0] == 3
        stacked = loaders.StackDataset(dataset.train_x, dataset.train_y)
        assert torch.equal(stacked[2][0], dataset.train_x[2]) and stacked[2][1] == 0
        tensors = loaders.TensorDataset(dataset.train_x, dataset.train_y)
        x, y = next(iter(loaders.DataLoader(tensors, batch_size=4)))
        assert torch.equal(x, dataset.train_x[:4]) and torch.equal(y, dataset.train_y[:4])


def test_a_loop_as_pytorchs_users_write_it():
    dataset = digits_dataset()
    network = hybrid(10, (1, 32, 32), J=2, L=4, head="linear")
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    few = loaders.Subset(dataset.train, range(600))
    for x, y in loaders.DataLoader(few, batch_size=60, shuffle=True):
        loss = nn.functional.cross_entropy(network(x), y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert evaluate(network, dataset.test_x[:200], dataset.test_y[:200], device="cpu")[1] > 0.8


def test_fit_takes_the_parts():
    dataset = load("digits")
    history = [
        fit(
            torch.nn.Sequential(nn.Flatten(), nn.Linear(1024, 10)).requires_grad_(True),
            train, val, epochs=1, min_steps=1, device="cpu", batch_size=300,
        )
        for train, val in (
            (dataset.train, dataset.test),
            ((dataset.train_x, dataset.train_y), (dataset.test_x, dataset.test_y)),
        )
    ]  # fmt: skip
    assert history[0][0].keys() == history[1][0].keys() and "val_accuracy" in history[0][0]


def test_what_is_refused():
    dataset = grey()
    with pytest.raises(TypeError, match=r"give a DataLoader its \.train or \.test"):
        next(iter(loaders.DataLoader(dataset)))
    with pytest.raises(TypeError, match=r"give a DataLoader its \.train or \.test"):
        loaders.DataLoader(dataset, shuffle=True)
    assert dataset  # though it has no length
    with pytest.raises(IndexError, match="Pairs: index 6 is out of range, n = 6"):
        dataset.train[6]
    with pytest.raises(TypeError, match="slice"):
        dataset.train[:3]
    with pytest.raises(ValueError, match="Pairs: 6 images but 2 labels"):
        Pairs(dataset.train_x, dataset.test_y)
