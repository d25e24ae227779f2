"""What `separation` and `stability` share: images, a trained CNN, the files that are left."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from scatcuda.data import load, subset
from scatcuda.files import write_text
from scatcuda.learn import fit, resnet

SETS = {"mnist": "MNIST", "cifar10": "CIFAR-10"}


def arguments(text: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=text)
    parser.add_argument("--output", type=Path, default=Path(), metavar="DIR")
    parser.add_argument("--data-dir", metavar="DIR")
    return parser.parse_args()


def some(
    name: str, data_dir: str | None, n: int, tested: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """As many of each class, of the images to train with and, unless they are all, of those to test
    with: files may be sorted by classes."""
    data = load(name, data_dir)
    chosen, asked = subset(data.train_y, n, 0), torch.arange(len(data.test_y))
    if tested < len(asked):
        asked = subset(data.test_y, tested, 0)
    return data.train_x[chosen], data.train_y[chosen], data.test_x[asked], data.test_y[asked]


def trained(x: Tensor, y: Tensor) -> nn.Module:
    """A residual network that knows these images."""
    torch.manual_seed(0)
    shape = (1, *x.shape[1:]) if x.ndim == 3 else tuple(x.shape[1:])
    network = resnet(10, shape)
    fit(network, (x, y), epochs=1, min_steps=300, batch_size=32, lr=0.1, device="cpu")
    return network


def keep(output: Path, name: str, title: str, text: str, pictures: Mapping[str, str]) -> None:
    """The result beside its pictures, for the page."""
    entry = {
        "kind": "plotted", "title": title, "text": f"```text\n{text}\n```",
        "pictures": dict(pictures), "verdicts": [],
    }  # fmt: skip
    write_text(output / f"{name}.json", json.dumps(entry, indent=1) + "\n")
    print(text)
