"""Objects by roto-translation scattering, features that are chosen class by class, and a kernel.

    YUV -> roto-translation, averaged in space alone: which angle it was stays known
        -> orthogonal least squares, on some of the training images
        -> cos(W z + b), random features of a Gaussian kernel -> ridge

    python -m benchmarks.learning.objects --data cifar10 --data-dir DIR

Training images are learned from as they are and mirrored. All features of all of them would be
10 GB: they are made a block at a time, and of most images the chosen ones alone are kept. The
classifier on random features is a kernel machine's, whose own matrix of 100 000 x 100 000 products
would take 40 GB. With 4000 images of CIFAR-10, scales up to 2^3 at their own size were better than
2^2, or than 2^4 at twice the size (64, 59 and 61 % of 2000 test images by a ridge on what is
chosen), coefficients than their logarithms or roots.

Literature: E. Oyallon and S. Mallat, "Deep roto-translation scattering for object classification",
CVPR 2015; A. Rahimi and B. Recht, "Random features for large-scale kernel machines", NeurIPS 2007.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scatcuda import RotoTranslationScattering2D
from scatcuda.data import load, subset
from scatcuda.learn import OrthogonalLeastSquares, RidgeClassifier, Standardizer

_YUV = torch.tensor([[0.299, 0.587, 0.114], [-0.147, -0.289, 0.436], [0.615, -0.515, -0.100]])
_BLOCK = 200  # images


class Objects:
    """Features of images ``[n, 3, M, N]``, uint8, whose sides become ``side``."""

    def __init__(self, side: int, J: int, K: int, oversampling: int | None = None) -> None:
        self.side = side
        self.scattering = RotoTranslationScattering2D(
            J, (side, side), K=K, average="space", oversampling=oversampling
        )

    def __call__(self, images: Any, kept: Tensor | None = None, mirror: bool = False) -> Tensor:
        """``[n, d]``, float16, or those that are kept; of the mirrored images."""
        parts = []
        for rows in torch.arange(len(images)).split(_BLOCK):
            x = torch.einsum("kc,bcmn->bkmn", _YUV, torch.as_tensor(images[rows]).float() / 255)
            if x.shape[-1] != self.side:
                size = (self.side, self.side)
                x = torch.nn.functional.interpolate(x, size, mode="bicubic", align_corners=False)
            if mirror:
                x = x.flip(-1)
            z = self.scattering(x).flatten(1)
            parts.append((z if kept is None else z[:, kept]).half())
        return torch.cat(parts)


class Kernel:
    """``cos(W z + b)``, whose products are about ``exp(-‖z - z'‖² / (2 s²))``; ``s²`` is ``width``
    times the median of squared distances of the rows."""

    def __init__(self, rows: Tensor, count: int, width: float, seed: int = 0) -> None:
        random = torch.Generator().manual_seed(seed)
        some = rows[torch.randperm(len(rows), generator=random)[:2000]].float()
        distance = torch.cdist(some[::2], some[1::2]).square().median()
        scale = 1 / math.sqrt(width * float(distance))
        self.W = scale * torch.randn(rows.shape[1], count, generator=random)
        self.b = 2 * math.pi * torch.rand(count, generator=random)

    def __call__(self, rows: Tensor) -> Tensor:
        return torch.cat(
            [(part.float() @ self.W + self.b).cos_().half() for part in rows.split(4096)]
        )


def measure(
    data: str = "cifar10",
    data_dir: str | None = None,
    *,
    side: int = 32,
    J: int = 3,
    K: int = 2,
    oversampling: int | None = None,
    chosen: int = 600,
    select_on: int = 10_000,
    preselect: int = 20_000,
    kernel: int = 16_000,
    width: float = 2.0,
    train: int | None = None,
    test: int | None = None,
) -> tuple[list[tuple[str, str]], float]:
    """What was found, in words, and the accuracy in per cent."""
    lines, start = [], time.perf_counter()

    def tell(what: str, words: str) -> None:
        nonlocal start
        now = time.perf_counter()
        lines.append((what, f"{words}, {now - start:.0f} s"))
        print(f"{what:<40} {lines[-1][1]}", flush=True)
        start = time.perf_counter()

    found = load(data, data_dir)
    labels = found.train_y
    rows = torch.arange(len(labels)) if train is None else subset(labels, train, 0)
    tested = torch.arange(len(found.test_y)) if test is None else subset(found.test_y, test, 0)
    wanted = found.test_y[tested]
    select = rows[subset(labels[rows], min(select_on, len(rows)), 0)]
    objects = Objects(side, J, K, oversampling)
    some = objects(found.train_x[select])
    tell("features to choose from", f"{some.shape[1]} of {len(some)} images")
    choice = OrthogonalLeastSquares(chosen, preselect=preselect).fit(some, labels[select])
    kept = torch.from_numpy(np.flatnonzero(choice.support_))
    del some
    tell("chosen", f"{len(kept)}, {chosen} a class of {preselect}")
    x = found.train_x[rows]
    z, labels = torch.cat([objects(x, kept), objects(x, kept, True)]), labels[rows].repeat(2)
    asked = objects(found.test_x[tested], kept)
    tell("these of all", f"2 x {len(rows)} + {len(asked)} images")
    standardizer = Standardizer(copy=False).fit(z)
    z, asked = standardizer.transform(z), standardizer.transform(asked)
    linear = 100 * RidgeClassifier().fit(z, labels).score(asked, wanted)
    tell("ridge on these", f"{linear:.2f} %")
    lift = Kernel(z, kernel, width)
    z, asked = lift(z), lift(asked)
    accuracy = 100 * RidgeClassifier().fit(z, labels).score(asked, wanted)
    tell("ridge on random features", f"{accuracy:.2f} %")
    return lines, accuracy


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", default="cifar10")
    parser.add_argument("--data-dir")
    numbers = "side", "J", "K", "oversampling", "chosen", "select-on", "preselect", "kernel"
    numbers += "train", "test"
    for name in numbers:  # without them the defaults above
        parser.add_argument(f"--{name}", type=int, default=argparse.SUPPRESS)
    parser.add_argument("--width", type=float, default=argparse.SUPPRESS)
    measure(**vars(parser.parse_args(argv)))


if __name__ == "__main__":
    main()
