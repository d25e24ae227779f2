"""Textures and faces, from folders of images with one directory a class.

    textures: mean 0, deviation 1 -> scattering, its mean over positions (and angles, scales) -> log
              then the nearest of the classes' affine spaces, with all directions
    faces:    scattering -> ridge, who it is; and whether two are the same person

    python -m benchmarks.learning.images textures FOLDER --J 5 --size 200 --per-class 5 20 40
    python -m benchmarks.learning.images faces FOLDER --J 4

Nothing is tuned to a set but the scale J and the size of its images.
"""

from __future__ import annotations

import argparse
import functools
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import ndimage
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import roc_curve
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from scatcuda import RotoTranslationScattering2D
from scatcuda.data import Dataset, load
from scatcuda.learn import ManyViews, PCAAffineClassifier, RidgeClassifier, ScatteringTransformer

from . import objects

SPLITS = 10


def folder_of_images(
    data_dir: str | Path | None, name: str | Path, size: int
) -> tuple[Tensor, np.ndarray, Dataset[Any]]:
    """All images of a folder, grey, uint8 ``[n, size, size]``, and their labels."""
    found = load(name, data_dir, size=size, crop=1, grey=True)
    x = torch.cat([torch.as_tensor(part[:]) for part in (found.train_x, found.test_x) if len(part)])
    return x, torch.cat([found.train_y, found.test_y]).numpy(), found


def drawn(y: np.ndarray, per_class: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """So many of each class, by a random permutation of it, and the others."""
    random = np.random.RandomState(seed)
    order = [random.permutation(np.flatnonzero(y == c)) for c in np.unique(y)]
    return (
        np.concatenate([mine[:per_class] for mine in order]),
        np.concatenate([mine[per_class:] for mine in order]),
    )


def turned(x: Tensor, seed: int = 0) -> Tensor:
    """Each image turned about its middle by an angle of its own, mirrored at its edges."""
    angles = np.random.RandomState(seed).uniform(0, 360, len(x))
    images = [
        ndimage.rotate(image.astype(np.float32), angle, reshape=False, order=3, mode="mirror")
        for image, angle in zip(x.numpy(), angles, strict=True)
    ]
    return torch.from_numpy(np.stack(images))


def _roto(J: int, **options: Any) -> ScatteringTransformer:
    make = functools.partial(RotoTranslationScattering2D, J, pool="mean")
    return ScatteringTransformer(scattering=make, log=True, normalise=True, **options)


def textures(
    x: Tensor, y: np.ndarray, J: int, per_class: Sequence[int], splits: int = SPLITS
) -> Iterator[tuple[str, int, np.ndarray]]:
    """What is compared, training images a class, and accuracies by split; on images as they are and
    turned."""
    plain = functools.partial(ScatteringTransformer, J, log=True, normalise=True)
    space: Callable[[], Any] = lambda: PCAAffineClassifier("all")  # noqa: E731
    kinds: dict[str, tuple[ScatteringTransformer, Callable[[], Any]]] = {
        "scattering": (plain(pool="mean"), space),
        "its mean over common rotations": (plain(pool="rotation"), space),
        "roto-translation": (_roto(J), space),
        "roto-translation, mean over four scales": (_roto(J, scales=4), space),
        "roto-translation, trained at four scales": (
            _roto(J, scales=4, views=True),
            lambda: ManyViews(PCAAffineClassifier("all"), views=4),
        ),
    }
    asked = {"": x, ", test images turned": turned(x)}
    for name, (transformer, classifier) in kinds.items():
        features = {what: transformer.fit(x).transform(some) for what, some in asked.items()}
        for what, rows in features.items():
            for n in per_class:
                found = []
                for seed in range(splits):
                    train, test = drawn(y, n, seed)
                    model = classifier().fit(features[""][train].double(), torch.tensor(y[train]))
                    found.append(model.score(rows[test].double(), torch.tensor(y[test])))
                yield name + what, n, np.array(found)


def faces(x: Tensor, y: np.ndarray, J: int, splits: int = 5) -> dict[str, float]:
    """Identification: half of each person's images teach, of all people. Verification: half of the
    people teach which features tell people apart, pairs of the others' images are the same person's
    or not; the equal error rate, at which as many are wrongly refused as wrongly let in."""
    pixels = x.flatten(1).numpy() / 255
    rows = ScatteringTransformer(J, log=True, normalise=True).fit_transform(x).numpy()
    found: dict[str, list[float]] = {}
    for seed in range(splits):
        train, test = drawn(y, int(np.bincount(y).min()) // 2, seed)
        nearest = KNeighborsClassifier(1).fit(pixels[train], y[train])
        ridge = make_pipeline(StandardScaler(), RidgeClassifier()).fit(rows[train], y[train])
        found.setdefault("pixels, nearest", []).append(nearest.score(pixels[test], y[test]))
        found.setdefault("scattering, ridge", []).append(ridge.score(rows[test], y[test]))
        people = np.random.RandomState(seed).permutation(np.unique(y))
        known = np.isin(y, people[: len(people) // 2])
        for name, values in (("pixels", pixels), ("scattering", rows)):
            rate = equal_error(values[known], y[known], values[~known], y[~known])
            found.setdefault(f"{name}, equal error", []).append(rate)
    return {name: float(np.mean(values)) for name, values in found.items()}


def equal_error(known: np.ndarray, who: np.ndarray, x: np.ndarray, y: np.ndarray) -> float:
    """The equal error rate of pairs of ``x``, by the cosine of what discriminants of known people
    leave of them."""
    discriminants = LinearDiscriminantAnalysis(solver="svd")
    model = make_pipeline(StandardScaler(), discriminants).fit(known, who)
    z = model.transform(x)
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    a, b = np.triu_indices(len(z), 1)
    accepted, right, _ = roc_curve(y[a] == y[b], (z[a] * z[b]).sum(1))
    at = np.argmin(abs(accepted - (1 - right)))
    return float((accepted[at] + 1 - right[at]) / 2)


BARS = {  # of KTH-TIPS, by training images a class
    "roto-translation": {5: 77.5, 20: 96.2, 40: 98.6},
    "roto-translation, test images turned": {5: 71, 20: 91.5, 40: 96.5},
}


def _bar(what: str, found: float, least: float) -> dict[str, Any]:
    met = round(found, 2) >= least
    text = f"{what}: {found:.2f} %, at least {least:g} %: {'met' if met else 'MISSED'}"
    return {"met": met, "text": text}


def kth_tips(data_dir: str | None) -> dict[str, Any]:
    """Ten splits, at 5, 20 and 40 images a class."""
    start = time.perf_counter()
    x, y, _ = folder_of_images(data_dir, "kth-tips", 200)
    rows, verdicts, means = [], [], {}
    for name, n, scores in textures(x, y, 5, (5, 20, 40)):
        found = means[name, n] = float(100 * scores.mean())
        rows.append((f"{name}, {n} a class", f"{found:.1f} ± {100 * scores.std():.1f} %"))
        if n in BARS.get(name, {}):
            verdicts.append(_bar(f"{name}, {n} a class", found, BARS[name][n]))
    gain = means["roto-translation, trained at four scales", 5] - means["roto-translation", 5]
    verdicts.append(_bar("gain by four scales, 5 a class", gain, 2))
    rows.append(("all of it", f"{time.perf_counter() - start:.0f} s"))
    begin = time.perf_counter()
    features = _roto(5).fit_transform(folder_of_images(data_dir, "kth-tips", 200)[0])
    for seed in range(SPLITS):
        for n in (5, 20, 40):
            train, test = drawn(y, n, seed)
            model = PCAAffineClassifier("all").fit(features[train], torch.tensor(y[train]))
            model.score(features[test], torch.tensor(y[test]))
    seconds = time.perf_counter() - begin
    rows.append(("roto-translation, files to ten splits", f"{seconds:.0f} s"))
    met = seconds <= 90
    text = f"files to ten splits: {seconds:.0f} s, at most 90 s: {'met' if met else 'MISSED'}"
    verdicts.append({"met": met, "text": text})
    return {
        "title": "KTH-TIPS, J = 5, ten splits: the nearest of affine spaces, log",
        "lines": rows, "verdicts": verdicts,
    }  # fmt: skip


def orl_faces(data_dir: str | None) -> dict[str, Any]:
    """40 people, half of the images of each, five splits."""
    x, y, _ = folder_of_images(data_dir, "orl-faces", 96)
    found = faces(x, y, J=4)
    right = 100 * found["scattering, ridge"]
    return {
        "title": "ORL's faces, 96 x 96, J = 4, five splits",
        "lines": [(name, f"{100 * value:.2f} %") for name, value in found.items()],
        "verdicts": [_bar("who it is, by scattering and ridge", right, 99.5)],
    }  # fmt: skip


def cifar_roto(data_dir: str | None) -> dict[str, Any]:
    """All of CIFAR-10."""
    start = time.perf_counter()
    lines, accuracy = objects.measure("cifar10", data_dir)
    minutes = (time.perf_counter() - start) / 60
    gigabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    lines.append(("all of it", f"{minutes:.0f} min, {gigabytes:.1f} GiB"))
    met = minutes <= 90
    text = f"all of it: {minutes:.0f} min, at most 90 min: {'met' if met else 'MISSED'}"
    return {
        "title": "CIFAR-10, all images: J = 3, roto-translation, chosen features, a kernel",
        "lines": lines,
        "verdicts": [_bar("what it is", accuracy, 74), {"met": met, "text": text}],
    }  # fmt: skip


EXPERIMENTS: dict[str, Callable[[str | None], dict[str, Any]]] = {
    "cifar-roto": cifar_roto,
    "kth-tips": kth_tips,
    "orl-faces": orl_faces,
}


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=("textures", "faces"))
    parser.add_argument("folder", type=Path, help="of images, a directory for each class")
    parser.add_argument("--J", type=int, default=5)
    parser.add_argument("--size", type=int, default=200, help="side of the images, in pixels")
    parser.add_argument("--per-class", type=int, nargs="+", default=(5, 20, 40))
    parser.add_argument("--splits", type=int, default=SPLITS)
    given = parser.parse_args(argv)
    x, y, _ = folder_of_images(None, given.folder, given.size)
    if given.what == "faces":
        for name, value in faces(x, y, given.J, given.splits).items():
            print(f"{name:<28} {100 * value:6.2f} %")
        return
    for name, n, scores in textures(x, y, given.J, given.per_class, given.splits):
        print(
            f"{name:<62} {n:4} {100 * scores.mean():6.2f} ± {100 * scores.std():.2f} %", flush=True
        )


if __name__ == "__main__":
    main()
