"""What wavelet scattering does, shown on real images: `python -m scatcuda.demo`.

Scatters scikit-learn's digits, or the IDX files of a directory, trains one ridge classifier on the
pixels and one on the coefficients, and draws the filters, their Littlewood-Paley sum, one image
and its coefficients. It only uses what a user can import.
"""

from __future__ import annotations

import argparse
import importlib
import math
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import scatcuda
from scatcuda.data import DataError, digits_dataset, idx_dataset, subset
from scatcuda.draw.figure import draw
from scatcuda.terminal import Bar, progress_is, say, wanted

_J, _L = 2, 8
_BATCH = 128
# Below the 3969 features of a 28 x 28 image the leave-one-out of scikit-learn decomposes the small
# matrix of inner products (seconds), above it the feature matrix (minutes).
_TRAIN = 3000
_TINY = 1e-20  # keeps divisions finite where images are blank


def main(argv: list[str] | None = None) -> int:
    """Run the demonstration; return 0, or 1 after one sentence on stderr, 130 if interrupted."""
    args = _arguments(argv)
    try:
        with progress_is(wanted(args.progress)):
            _run(args)
    except KeyboardInterrupt:
        say("scatcuda.demo: interrupted", error=True)
        return 130
    except (DataError, ImportError, OSError) as error:
        say(f"scatcuda.demo: {error}", error=True)
        return 1
    return 0


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m scatcuda.demo",
        description="Classify images by wavelet scattering and draw what it computes.",
    )
    option = parser.add_argument
    option("--data", type=Path, metavar="DIR", help="directory of IDX files with MNIST's names "
           "(default: the digits of scikit-learn)")  # fmt: skip
    option("--train", type=_integer(1, 10**9), metavar="N", help="with --data: training images to "
           f"use, the same number of each class (default: {_TRAIN}; with more than there are "
           "features the classifier takes minutes)")  # fmt: skip
    option("--output", type=Path, default="scattering_demo.png", metavar="FILE.png",
           help="where the figure goes (default: %(default)s)")  # fmt: skip
    option("--threads", type=_integer(1, 1024), metavar="N", help="default: PyTorch's choice")
    option("--seed", type=_integer(0, 2**32 - 1), default=0, metavar="S",
           help="decides which images are for training (default: %(default)s)")  # fmt: skip
    option("--progress", action=argparse.BooleanOptionalAction, default=None,
           help="a bar on stderr (default: if it is a terminal and tqdm is installed)")  # fmt: skip
    args = parser.parse_args(argv)
    if args.output.suffix.lower() != ".png":
        parser.error(f"--output: expected a name that ends in .png, got {args.output}")
    if args.data is None and args.train is not None:
        parser.error("--train: it goes with --data")
    args.train = args.train or _TRAIN
    return args


def _integer(least: int, most: int) -> Callable[[str], int]:
    """An argparse type: an integer in a range."""

    def integer(text: str) -> int:
        if not least <= (value := int(text)) <= most:
            raise argparse.ArgumentTypeError(f"expected {least} to {most}, got {value}")
        return value

    return integer


def _run(args: argparse.Namespace) -> None:
    start = time.perf_counter()
    _require("sklearn", "scikit-learn", "the classifier")
    _require("matplotlib", "matplotlib", "the figure")
    if not args.output.parent.is_dir():
        raise OSError(f"{args.output}: the figure cannot be saved, no such directory")
    if args.output.is_dir():
        raise OSError(f"{args.output}: the figure cannot be saved (a directory is there)")
    if args.threads:
        torch.set_num_threads(args.threads)

    name, train_x, train_y, test_x, test_y = _images(args)
    _say("split", f"{len(train_x)} images for training, {len(test_x)} for testing")

    M, N = train_x.shape[1:]
    scattering = scatcuda.Scattering2D(J=_J, shape=(M, N), L=_L)
    threads = torch.get_num_threads()
    _say("engine", f"native CPU code, {scatcuda.cpu_isa()}, {threads} thread{'s'[: threads > 1]}")
    pixels = torch.cat([train_x, test_x])
    features, rate, batches = _scatter(scattering, pixels)
    C, m, n = scattering.output_shape
    _say("features", f"{C} channels of {m} x {n} (J = {_J} scales, L = {_L} angles, orders 0 to 2)")
    _say("speed", f"{rate:.0f} images per second (median of {batches} batches of {_BATCH})")

    if len(train_x) > features[0].numel():
        _say("patience", "more training images than features: the classifier takes minutes")
    accuracy = {}
    for kind, x in (("pixels", pixels), ("scattering", features)):
        begin = time.perf_counter()
        accuracy[kind] = 100 * _ridge_accuracy(x.flatten(1), train_y, test_y, threads)
        _say(
            "accuracy",
            f"{accuracy[kind]:.2f} % with a ridge classifier on {kind} "
            f"({time.perf_counter() - begin:.1f} s)",
        )

    orders = torch.from_numpy(scattering.meta()["order"])
    name = f"{name}, {len(test_x)} test images"
    draw(args.output, test_x[0], features[len(train_x)], orders, name, accuracy)
    _say("figure", str(args.output))
    _say("time", f"{time.perf_counter() - start:.1f} s in all")


def _say(what: str, text: str) -> None:
    say(f"{what:<10} {text}")


def _require(module: str, package: str, purpose: str) -> None:
    try:
        importlib.import_module(module)
    except ImportError:
        raise ImportError(
            f"{purpose} needs {package}, which is not installed: pip install {package}"
        ) from None


def _images(args: argparse.Namespace) -> tuple[str, Tensor, Tensor, Tensor, Tensor]:
    """Name; training images in [0, 1] and labels; test images and labels."""
    if args.data is None:
        data = digits_dataset(seed=args.seed)
        total = len(data.train_x) + len(data.test_x)
        _say("data", f"{total} digits of scikit-learn, 8 x 8 pixels enlarged to 32 x 32")
        return "digits of scikit-learn", data.train_x, data.train_y, data.test_x, data.test_y

    data = idx_dataset(args.data)
    total, M, N = data.train_x.shape
    if min(M, N) < 2**_J:
        raise DataError(f"{args.data}: images of {M} x {N} pixels are too small for J = {_J}")
    _say("data", f"{args.data}: {total} + {len(data.test_x)} images of {M} x {N} pixels, IDX files")
    train_x, train_y = data.train_x, data.train_y
    if args.train < total:
        try:
            chosen = subset(train_y, args.train, args.seed)
        except ValueError as error:
            raise DataError(f"{args.data}: --train {args.train}: {error}") from None
        train_x, train_y = train_x[chosen], train_y[chosen]
    return data.name, train_x / 255.0, train_y, data.test_x / 255.0, data.test_y


def _scatter(scattering: scatcuda.Scattering2D, x: Tensor) -> tuple[Tensor, float, int]:
    """Coefficients [n, C, m, n] of images [n, M, N]; images per second; number of batches."""
    scattering(x[:_BATCH])  # the first call also fills caches: not timed
    features = torch.empty(len(x), *scattering.output_shape)
    rates = []
    with Bar(len(x), "image") as bar:
        for batch, place in zip(x.split(_BATCH), features.split(_BATCH), strict=True):
            start = time.perf_counter()
            coefficients = scattering(batch)
            rates.append(len(batch) / (time.perf_counter() - start))
            place.copy_(coefficients)
            bar.update(len(batch))
    return features, statistics.median(rates), len(rates)


def _ridge_accuracy(x: Tensor, train_y: Tensor, test_y: Tensor, threads: int) -> float:
    """Share of right answers on the last rows of `x` [n, d] after training on the first ones.

    Features are standardised, small deviations floored at a tenth of their root mean square, and
    divided by sqrt(d); the penalty is chosen by leave-one-out on the training set.
    """
    from sklearn.linear_model import RidgeClassifierCV
    from threadpoolctl import threadpool_limits

    train_x = x[: len(train_y)]
    deviation = train_x.std(0, correction=0)
    floor = 0.1 * deviation.square().mean().sqrt()
    deviation = deviation.maximum(floor).clamp(min=_TINY)
    x = (x - train_x.mean(0)) / (deviation * math.sqrt(x.shape[1]))
    rows = x.numpy()
    with threadpool_limits(threads):
        ridge = RidgeClassifierCV(alphas=np.logspace(-3, 3, 13))
        ridge.fit(rows[: len(train_y)], train_y.numpy())
        return float(ridge.score(rows[len(train_y) :], test_y.numpy()))


if __name__ == "__main__":
    sys.exit(main())
