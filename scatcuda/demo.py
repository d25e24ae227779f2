"""What wavelet scattering does, shown on real images: `python -m scatcuda.demo`.

Scatters scikit-learn's digits, or the IDX files of a directory, trains one ridge classifier on the
pixels and one on the coefficients, and draws the filters, their Littlewood-Paley sum, one image
and its coefficients. It only uses what a user can import.
"""

from __future__ import annotations

import argparse
import importlib
import math
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import scatcuda
from scatcuda import filters
from scatcuda.data import DataError, digits, idx_dataset

_J, _L = 2, 8
_BATCH = 128
# Below the 3969 features of a 28 x 28 image the leave-one-out of scikit-learn decomposes the small
# matrix of inner products (seconds), above it the feature matrix (minutes).
_TRAIN = 3000
_TINY = 1e-20  # keeps divisions finite where images are blank


def main(argv: list[str] | None = None) -> int:
    """Run the demonstration; return 0, or 1 after one sentence on stderr."""
    args = _arguments(argv)
    try:
        _run(args)
    except (DataError, ImportError, OSError) as error:
        print(f"scatcuda.demo: {error}", file=sys.stderr)
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
    option("--train", type=_integer(1, 10**9), default=_TRAIN, metavar="N", help="with --data: "
           "training images to use, the same number of each class (default: %(default)s; with "
           "more than there are features the classifier takes minutes)")  # fmt: skip
    option("--output", type=Path, default="scattering_demo.png", metavar="FILE.png",
           help="where the figure goes (default: %(default)s)")  # fmt: skip
    option("--threads", type=_integer(1, 1024), metavar="N", help="default: PyTorch's choice")
    option("--seed", type=_integer(0, 2**32 - 1), default=0, metavar="S",
           help="decides which images are for training (default: %(default)s)")  # fmt: skip
    args = parser.parse_args(argv)
    if args.output.suffix.lower() != ".png":
        parser.error(f"--output: expected a name that ends in .png, got {args.output}")
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
    _draw(args.output, test_x[0], features[len(train_x)], orders, name, accuracy)
    _say("figure", str(args.output))
    _say("time", f"{time.perf_counter() - start:.1f} s in all")


def _say(what: str, text: str) -> None:
    print(f"{what:<10} {text}", flush=True)


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
        from sklearn.model_selection import train_test_split

        x, y = digits()
        halves = train_test_split(
            np.arange(len(y)), test_size=0.5, stratify=y.numpy(), random_state=args.seed
        )
        train, test = (torch.from_numpy(np.sort(half)) for half in halves)
        _say("data", f"{len(x)} digits of scikit-learn, 8 x 8 pixels enlarged to 32 x 32")
        return "digits of scikit-learn", x[train], y[train], x[test], y[test]

    train_x, train_y, test_x, test_y = idx_dataset(args.data)
    total, M, N = train_x.shape
    if min(M, N) < 2**_J:
        raise DataError(f"{args.data}: images of {M} x {N} pixels are too small for J = {_J}")
    _say("data", f"{args.data}: {total} + {len(test_x)} images of {M} x {N} pixels, IDX files")
    chosen = _balanced_subset(train_y, args.train, args.seed)
    train_x, train_y = train_x[chosen] / 255.0, train_y[chosen]
    return args.data.resolve().name, train_x, train_y, test_x / 255.0, test_y


def _balanced_subset(y: Tensor, n: int, seed: int) -> Tensor:
    """Indices of `n` images, the same number of each class; all of a class that has too few."""
    random, classes = np.random.RandomState(seed), y.unique()
    share = max(1, n // len(classes))
    parts = [torch.from_numpy(random.permutation(np.flatnonzero(y == c))[:share]) for c in classes]
    return torch.cat(parts).sort().values


def _scatter(scattering: scatcuda.Scattering2D, x: Tensor) -> tuple[Tensor, float, int]:
    """Coefficients [n, C, m, n] of images [n, M, N]; images per second; number of batches."""
    scattering(x[:_BATCH])  # the first call also fills caches: not timed
    features = torch.empty(len(x), *scattering.output_shape)
    rates = []
    for batch, place in zip(x.split(_BATCH), features.split(_BATCH), strict=True):
        start = time.perf_counter()
        coefficients = scattering(batch)
        rates.append(len(batch) / (time.perf_counter() - start))
        place.copy_(coefficients)
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


# --- the figure: two rows of four squares, the first two joined ---------------------------------

_WIDTH, _HEIGHT, _SIDE, _LEFT, _GAP = 1800, 1000, 370, 50, 73  # pixels
_BOTTOMS = (484, 40)  # of the upper and the lower row
_BLUE, _PALE, _RUST, _INK, _GREY = "#1d3f66", "#7f9dbd", "#b4532a", "#22272e", "#7b828a"
_COLOURS = (_RUST, "#dda27f", "#ffffff", "#8fabc8", _BLUE)  # from -1 through 0 to 1
_FINE = 2  # wavelets are drawn on a grid finer than the pixels by 2^2: scale j + 2 of a larger bank


def _draw(
    path: Path,
    image: Tensor,  # [M, N]
    coefficients: Tensor,  # [C, m, n]
    orders: Tensor,  # [C]
    source: str,
    accuracy: dict[str, float],
) -> None:
    """Draw the figure and put it at `path` in one step: no half-written file is ever there."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL import Image

    style: dict[Any, Any] = {
        "font.size": 11,
        "text.color": _INK,
        "axes.edgecolor": _GREY,
        "axes.linewidth": 0.8,
        "xtick.color": _INK,
        "ytick.color": _INK,
    }
    fine = filters.morlet_bank((128, 128), _J + _FINE, _L)
    bank = filters.morlet_bank((128, 128), _J, _L)
    tight = filters.tight_bank((128, 128), _J, _L)
    angles = _angles(fine)
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(_WIDTH / 100, _HEIGHT / 100), dpi=100)
        _header(figure, source, accuracy)
        _in_space(_panel(figure, 0, 0, "Wavelets in space", "ψ and φ", 2), fine, angles)
        _in_frequency(_panel(figure, 0, 2, "Filters in frequency", "half power"), bank)
        _energy(_panel(figure, 0, 3, "Littlewood–Paley sum", "energy kept"), bank, tight)
        _coefficients(figure, image, coefficients, orders, angles)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
    # A palette chosen to cover every colour cannot be told from the drawing; the file is small.
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    picture = picture.quantize(
        256, method=Image.Quantize.MAXCOVERAGE, kmeans=5, dither=Image.Dither.NONE
    )
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        picture.save(partial, "PNG", optimize=True)
        os.replace(partial, path)
    except OSError as error:
        raise OSError(f"{path}: the figure cannot be saved ({error.strerror or error})") from None
    finally:
        partial.unlink(missing_ok=True)


def _header(figure: Any, source: str, accuracy: dict[str, float]) -> None:
    def text(x: int, y: int, words: str, **style: Any) -> None:
        figure.text(x / _WIDTH, y / _HEIGHT, words, **style)

    text(_LEFT, 938, "Wavelet scattering", fontsize=27, fontweight="bold")
    text(
        _LEFT,
        908,
        f"wavelet, modulus, wavelet, modulus, average:  J = {_J} scales, L = {_L} angles",
        fontsize=13,
        color=_GREY,
    )
    right = _WIDTH - _LEFT
    text(right - 390, 908, source, fontsize=13, color=_GREY, ha="right")
    for x, name, colour in ((right, "scattering", _BLUE), (right - 200, "pixels", _PALE)):
        style = {"ha": "right", "color": colour}
        text(x, 938, f"{accuracy[name]:.1f} %", fontsize=27, fontweight="bold", **style)
        text(x, 908, f"ridge on {name}", fontsize=13, **style)


def _panel(figure: Any, row: int, column: int, title: str, note: str, columns: int = 1) -> Any:
    """Axes on the grid of squares, without ticks, under a bold title and a grey note."""
    width = columns * _SIDE + (columns - 1) * _GAP
    left, bottom = _LEFT + column * (_SIDE + _GAP), _BOTTOMS[row]
    box = (left / _WIDTH, bottom / _HEIGHT, width / _WIDTH, _SIDE / _HEIGHT)
    y = (bottom + _SIDE + 12) / _HEIGHT
    figure.text(left / _WIDTH, y, title, fontsize=14, fontweight="bold")
    figure.text((left + width) / _WIDTH, y, note, fontsize=12, color=_GREY, ha="right")
    return figure.add_axes(box, xticks=[], yticks=[])


def _show(axes: Any, values: Tensor, interpolation: str, **options: Any) -> None:
    """An image of values from -1 to 1, in the one colour map of the figure."""
    from matplotlib.colors import LinearSegmentedColormap

    colours = LinearSegmentedColormap.from_list("scatcuda", _COLOURS, 257)  # odd: 0 is white
    style = {"cmap": colours, "vmin": -1, "vmax": 1, "aspect": "auto"}
    axes.imshow(values.numpy(), interpolation=interpolation, **style, **options)


def _angles(bank: filters.FilterBank) -> Tensor:
    """Direction [L] in [0, pi) of each wavelet's frequency as one sees it: rows go down."""
    power = bank.psi[-1].square()
    w_m, w_n = (torch.fft.fftfreq(n, dtype=torch.float64) for n in bank.shape)
    down, right = (power * w_m[:, None]).sum((1, 2)), (power * w_n).sum((1, 2))
    return (torch.atan2(-down, right) + 1e-6).remainder(math.pi)  # not pi - 1e-17 for 0


def _in_space(axes: Any, fine: filters.FilterBank, angles: Tensor) -> None:
    """Real and imaginary part of every wavelet, and the low-pass, each scaled to a maximum of 1."""
    window, pitch = 80, 61  # 20 and 15 pixels of the image: neighbours share their faint ends
    heights = [20 * 2**j + 28 for j in range(_J) for _ in range(2)]
    canvas = torch.zeros(sum(heights) + window, (_L + 1) * pitch + window, dtype=torch.float64)

    def place(f: Tensor, y: int, column: int) -> None:
        x, at = column * pitch + (pitch + window) // 2, (len(f) - window) // 2
        part = f[at : at + window, at : at + window] / f.abs().max()
        canvas[y - window // 2 :, x - window // 2 :][:window, :window] += part

    def label(x: float, y: float, text: str, side: str = "center") -> None:
        axes.text(x, y, text, color=_GREY, ha=side, va="center")

    space = torch.fft.fftshift(torch.fft.ifft2(fine.psi[_FINE:, angles.argsort()]), (-2, -1))
    for row in range(2 * _J):
        y = sum(heights[:row]) + heights[row] // 2 + window // 2
        for column, psi in enumerate(space[row // 2]):
            place(psi.imag if row % 2 else psi.real, y, column)
        label(-15, y, f"j = {row // 2}\n{'imaginary' if row % 2 else 'real'}", "left")
    middle, bottom = len(canvas) // 2, len(canvas) - window // 2 + 8
    place(torch.fft.fftshift(torch.fft.ifft2(fine.phi).real), middle, _L)
    label((_L + 0.5) * pitch + window / 2, middle + 34, "low-pass φ")
    for column, angle in enumerate(angles.sort().values * (180 / math.pi)):
        degrees = f"{float(angle):.1f}".removesuffix(".0") + "°"
        label((column + 0.5) * pitch + window / 2, bottom, degrees)
    rows, columns = canvas.shape
    _show(axes, canvas, "bicubic", extent=(0, columns, rows, 0))
    axes.set_xlim(-15, columns - window // 2)
    axes.set_ylim(bottom + 8, window // 2)
    axes.set_axis_off()


def _in_frequency(axes: Any, bank: filters.FilterBank) -> None:
    """Half-power contours of all filters; the frequencies of a real image come in pairs, +-w."""
    side = bank.shape[0]
    wrap = np.arange(side + 1) % side  # repeats the first row and column: contours reach pi
    w = np.linspace(-1, 1, side + 1)

    def contour(f: Tensor, colour: str) -> None:
        power = torch.fft.fftshift((f / f.max()).square()).numpy()[np.ix_(wrap, wrap)]
        for p in (power, power[::-1, ::-1]):
            axes.contourf(w, w, p, [0.5, 2], colors=colour, alpha=0.12)
            axes.contour(w, w, p, [0.5], colors=colour, linewidths=1.3)

    for j, colour in enumerate((_PALE, _BLUE)):
        for f in bank.psi[j]:
            contour(f, colour)
        axes.text(-0.96, 0.9 - 0.11 * j, f"j = {j}", color=colour)
    contour(bank.phi, _RUST)
    axes.text(0, 0, "φ", ha="center", va="center", color=_RUST, fontsize=13)
    axes.set_xticks([-1, 0, 1], ["−π", "0", "π"])
    axes.set_yticks([-1, 0, 1], ["−π", "0", "π"])


def _energy(axes: Any, bank: filters.FilterBank, tight: filters.FilterBank) -> None:
    """Littlewood-Paley sums along an axis and along a diagonal, and their bounds."""
    half = bank.shape[0] // 2 + 1
    w = np.linspace(0, 1, half)
    energy = filters.littlewood_paley(bank)[:half, :half].numpy()
    energy_tight = filters.littlewood_paley(tight)[:half, :half].numpy()
    lowest, highest = filters.frame_bounds(bank)
    axes.plot(w, energy[0], color=_BLUE, linewidth=1.8)
    diagonal = w * math.sqrt(2)
    axes.plot(diagonal, energy.diagonal(), color=_BLUE, linewidth=1.8, linestyle=(0, (5, 2)))
    axes.plot(diagonal, energy_tight.diagonal(), color=_RUST)
    axes.text(0.06, 1.03, 'filters="tight": 1 everywhere', color=_RUST)
    axes.text(1.02, energy[0, -1], "along an axis", color=_BLUE, va="center")
    axes.text(0.94, 0.34, "along a\ndiagonal", color=_BLUE, ha="right")
    axes.text(0.06, 0.06, f'"morlet": {lowest:.3f} to {highest:.3f}', color=_BLUE)
    axes.set_xlim(0, math.sqrt(2))
    axes.set_ylim(0, 1.12)
    axes.set_xticks([0, 0.5, 1, math.sqrt(2)], ["0", "π/2", "π", "√2π"])
    axes.set_yticks([0, 0.5, 1])


def _coefficients(
    figure: Any, image: Tensor, coefficients: Tensor, orders: Tensor, angles: Tensor
) -> None:
    """The lower row: the image and its coefficients of order 0, 1 and 2."""

    def show(
        column: int, values: Tensor, title: str, note: str, caption: str, smooth: str = "nearest"
    ) -> None:
        axes = _panel(figure, 1, column, title, note)
        axes.set_xlabel(caption, color=_GREY)
        _show(axes, values / values.max().clamp(min=_TINY), smooth)

    _, m, n = coefficients.shape
    s0, s1, s2 = (coefficients[orders == order] for order in range(3))
    s1 = s1.unflatten(0, (_J, _L))
    discs = _discs(s1 / s1.amax((1, 2, 3), keepdim=True).clamp(min=_TINY), angles)
    sort = angles.argsort()
    s2 = torch.nn.functional.pad(s2.unflatten(0, (_L, _L))[sort][:, sort], (1, 1, 1, 1))
    maps = s2.permute(0, 2, 1, 3).flatten(2).flatten(0, 1)
    show(0, image, "Image", "x", f"{image.shape[0]} × {image.shape[1]} pixels")
    show(1, s0[0], "Order 0", "x ⋆ φ", f"{m} × {n} positions")
    rings = "at each position, ring: scale, sector: angle"
    show(2, discs, "Order 1", "|x ⋆ ψ| ⋆ φ", rings, smooth="hanning")
    show(3, maps, "Order 2", "||x ⋆ ψ| ⋆ ψ| ⋆ φ", "first angle downwards, second to the right")


def _discs(s: Tensor, angles: Tensor, cell: int = 120) -> Tensor:
    """Order 1 [J, L, m, n] as an image: one disc a position, a ring a scale, a sector an angle."""
    y, x = torch.meshgrid(*[torch.linspace(-1, 1, cell)] * 2, indexing="ij")
    radius, direction = torch.hypot(x, y) / 0.94, torch.atan2(-y, x)
    J, _, m, n = s.shape
    j = (J - 1 - (radius * (J + 0.35) - 0.35).floor()).long()
    away = (direction[..., None] - angles + math.pi / 2).remainder(math.pi) - math.pi / 2
    values = s[j.clamp(0, J - 1), away.abs().argmin(-1)]  # [cell, cell, m, n]
    values[(j < 0) | (j >= J)] = 0
    return values.permute(2, 0, 3, 1).reshape(m * cell, n * cell)


if __name__ == "__main__":
    sys.exit(main())
