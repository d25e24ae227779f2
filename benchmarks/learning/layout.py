"""A folder as ImageNet has it, from JPEG to a step of training: images a second of every stage.

    FOLDER/train/n00000000/n00000000_0.JPEG, FOLDER/val/n00000000/…   made here, of noise

    python -m benchmarks.learning.layout [FOLDER] [--classes 1000] [--each 1] [--batch 8]

Reading decodes, shortens the shorter side to 256 and takes the middle 224; then `Scattering2D` or
`RotoTranslationScattering2D`, the head of `hybrid`, and a step with its gradient.
"""

from __future__ import annotations

import argparse
import functools
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from scatcuda import RotoTranslationScattering2D, Scattering2D
from scatcuda.data import Dataset, load
from scatcuda.learn import hybrid

SIZE = 224


def make(folder: Path, classes: int, each: int, seed: int = 0) -> None:
    """JPEGs of smooth noise, some 375 x 500 pixels, as many in ``val`` as in ``train``."""
    random = np.random.default_rng(seed)
    for part in ("train", "val"):
        for c in range(classes):
            inside = folder / part / f"n{c:08d}"
            inside.mkdir(parents=True, exist_ok=True)
            for i in range(each):
                small = random.integers(0, 255, (12, 16, 3), dtype=np.uint8)
                sides = (int(random.integers(400, 560)), int(random.integers(300, 420)))
                image = Image.fromarray(small).resize(sides, Image.Resampling.BICUBIC)
                image.save(inside / f"n{c:08d}_{i}.JPEG", quality=90)


def rate(run: Callable[[], Any], images: int, seconds: float = 3.0) -> float:
    """Images a second, after one run to warm up."""
    run()
    start, runs = time.perf_counter(), 0
    while runs < 2 or time.perf_counter() - start < seconds:
        run()
        runs += 1
    return images * runs / (time.perf_counter() - start)


def measured(
    dataset: Dataset[Any], batch: int, size: int = SIZE, seconds: float = 3.0
) -> dict[str, float]:
    """Images a second of each stage, by its name."""
    images, labels = dataset.train_x, dataset.train_y
    index = torch.arange(min(len(labels), 8 * batch))
    found = {"read, decode, resize": rate(lambda: images[index], len(index), seconds)}
    x, y = images[index[:batch]].float() / 255, labels[:batch]
    C = x.shape[1]
    transforms: dict[str, nn.Module] = {
        "scattering, J = 3, order 2": Scattering2D(3, (size, size)),
        "roto-translation, J = 4": RotoTranslationScattering2D(4, (size, size)),
    }
    for name, transform in transforms.items():
        found[name] = rate(functools.partial(transform, x), len(x), seconds)
        S = transform(x)
        network = hybrid(len(dataset.classes), (C, size, size), transform=transform)
        optimiser = torch.optim.SGD(network.parameters(), lr=0.1)
        features = S.flatten(1, 2)

        def head(network: Any = network, features: Any = features) -> None:
            with torch.no_grad():
                network.head(features)

        found[f"{name}: the residual head"] = rate(head, len(x), seconds)

        def step(network: nn.Module = network, optimiser: Any = optimiser) -> None:
            optimiser.zero_grad()
            nn.functional.cross_entropy(network(x), y).backward()
            optimiser.step()

        found[f"{name}: a step of training"] = rate(step, len(x), seconds)
    return found


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, help="one that is there (default: made)")
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--each", type=int, default=1, help="images of a class, that are made")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--size", type=int, default=SIZE)
    parser.add_argument("--seconds", type=float, default=3.0, help="of every stage")
    given = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as made:
        folder = given.folder or Path(made)
        if given.folder is None:
            make(folder, given.classes, given.each)
        dataset = load(folder, size=given.size)
        print(f"{dataset}, {torch.get_num_threads()} threads")
        for name, images in measured(dataset, given.batch, given.size, given.seconds).items():
            print(f"{name:<48} {images:9.1f} images/s")


if __name__ == "__main__":
    main()
