"""Separation with depth: how well each layer of a representation tells the classes apart.

Of pixels, of the orders of scattering ``S_0``, ``S_≤1``, ``S_≤2``, … and of the layers of a network
three numbers are taken. With ``z`` the standardised features of a layer::

    linear probe         accuracy of a ridge classifier, its penalty chosen by leave-one-out
    nearest neighbour    accuracy of the label of the closest training image
    within / between     mean |z_a - z_b|² of two images of one class, over that of two classes

The first two train on the training images; all three are measured on the test images.

Literature: G. Alain and Y. Bengio, "Understanding intermediate layers using linear classifier
probes", 2016; J. Zarka, F. Guth and S. Mallat, "Separation and concentration in deep networks",
ICLR 2021.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ...draw.style import COLOURS, INK, MARKERS, panels
from ...transforms.cascade import Cascade
from ..fitting.inference import evaluating

_BATCH = 250
_FLOOR = 0.1  # smallest deviation of a feature, relative to their root mean square
_TINY = 1e-12  # keeps divisions finite where images are blank
_PENALTIES = np.logspace(-3, 3, 13)
_COLOUR = {"pixels": COLOURS[0], "scattering": COLOURS[2], "network": COLOURS[3]}
_MARKER = {"pixels": MARKERS[0], "scattering": MARKERS[1], "network": MARKERS[3]}


class Row(NamedTuple):
    """One layer: accuracies in percent, ``ratio`` the within / between distance."""

    group: str  # "pixels", "scattering" or "network"
    name: str
    size: int
    probe: float
    neighbour: float
    ratio: float


def separation(
    train_x: Tensor,
    train_y: Tensor,
    test_x: Tensor,
    test_y: Tensor,
    network: nn.Module | None = None,
    J: int = 3,
    L: int = 8,
    depth: int = 2,
    layers: Sequence[str] | None = None,
) -> list[Row]:
    """Measure pixels, scattering of orders 0 … depth, and the layers of a network.

    Activations of a network are averaged to the ``m x n`` positions that scattering has, where they
    have more; this is the ``A`` of both.

    Args:
        train_x, test_x: images ``[n, M, N]`` or ``[n, C, M, N]``, uint8 or floating in [0, 1].
        train_y, test_y: labels ``[n]``, integers.
        network: trained or not, ``[B, C, M, N] -> [B, classes]``; used as in evaluation.
        J, L, depth: of the :class:`~scatcuda.Cascade`.
        layers: names of submodules of the network; default its blocks, in order.
    Returns: a :class:`Row` for each layer.
    Raises:
        TypeError, ValueError: an argument is of the wrong type or out of range.
        ImportError: scikit-learn is not installed.
    Example:
        >>> from scatcuda.data import digits
        >>> x, y = digits()
        >>> rows = separation(x[:200], y[:200], x[200:400], y[200:400], J=2, L=4)
        >>> [row.name for row in rows]
        ['pixels', 'order 0', 'orders ≤ 1', 'orders ≤ 2']
        >>> rows[3].probe > rows[0].probe
        True
    """
    train_x, test_x = checked_images("train_x", train_x), checked_images("test_x", test_x)
    if train_x.shape[1:] != test_x.shape[1:]:
        raise ValueError(
            "separation: train_x and test_x must hold images of one size; "
            f"got {list(train_x.shape[1:])} and {list(test_x.shape[1:])}"
        )
    _check_labels("train", train_x, train_y)
    _check_labels("test", test_x, test_y)
    sets = torch.cat([train_x, test_x])
    y = torch.cat([train_y, test_y]).long()
    cascade = Cascade(J, train_x.shape[-2:], L, depth)
    rows = [_row("pixels", "pixels", sets.flatten(1), y, len(train_x))]
    orders = each(sets, lambda x: cascade(x, by_order=True))
    for q in range(depth + 1):
        name = f"orders ≤ {q}" if q else "order 0"
        z = torch.cat([S.flatten(1) for S in orders[: q + 1]], 1)
        rows.append(_row("scattering", name, z, y, len(train_x)))
    if network is not None:
        grid = cascade.output_shape[1:]
        for name, z in activations(network, sets, layers, grid).items():
            title = f"layer {name}" if name.isdecimal() else name
            rows.append(_row("network", title, z.flatten(1), y, len(train_x)))
    return rows


def activations(
    network: nn.Module,
    x: Tensor,
    layers: Sequence[str] | None = None,
    grid: tuple[int, int] | None = None,
) -> dict[str, Tensor]:
    """What the layers of a network give for the images ``x [n, C, M, N]``, in evaluation.

    Args:
        network: any module; it is left as it was.
        x: floating images.
        layers: names of submodules; default the blocks: the children of a sequential network, of
            the head of a hybrid.
        grid: ``(m, n)``, to which larger maps are averaged; default, not at all.
    Returns: name -> ``[n, C, m, n]`` or ``[n, features]``, on the CPU.
    Raises: ValueError: there is no such layer, or it gives no tensor or is not reached.
    Example:
        >>> network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten())
        >>> {k: tuple(z.shape) for k, z in activations(network, torch.rand(2, 1, 8, 8)).items()}
        {'0': (2, 4, 6, 6), '1': (2, 4, 6, 6), '2': (2, 144)}
    """
    names = blocks(network) if layers is None else list(layers)
    known = dict(network.named_modules())
    for name in names:
        if name not in known:
            raise ValueError(
                f"activations: the network has no layer {name!r}; it has "
                f"{', '.join(blocks(network))} and what is in them"
            )
    seen: dict[str, Any] = {}

    def watch(name: str) -> Any:
        return known[name].register_forward_hook(lambda _m, _x, z: seen.__setitem__(name, z))

    def look(batch: Tensor) -> list[Tensor]:
        seen.clear()
        network(batch)
        for name in names:
            if not isinstance(seen.get(name), Tensor):
                raise ValueError(f"activations: layer {name!r} gave no tensor")
        return [_averaged(seen[name], grid).cpu() for name in names]

    like = next((p for p in network.parameters()), x)
    handles = [watch(name) for name in names]
    try:
        with evaluating(network):
            found = each(x.to(like.device, like.dtype), look)
    finally:
        for handle in handles:
            handle.remove()
    return dict(zip(names, found, strict=True))


def blocks(network: nn.Module) -> list[str]:
    """Names of the layers of a network: the children of a sequence or of the head of a hybrid, of
    another network its children.

    Example:
        >>> from scatcuda.learn.networks.models import hybrid
        >>> blocks(hybrid(10, (1, 28, 28), head="linear"))
        ['head.0', 'head.1', 'head.2']
    """
    head = getattr(network, "head", None)
    inside, prefix = (head, "head.") if isinstance(head, nn.Sequential) else (network, "")
    return [prefix + name for name, _ in inside.named_children()]


def table(rows: Sequence[Row]) -> str:
    """The rows as text, one a line.

    Example:
        >>> print(table([Row("scattering", "order 0", 16, 61.07, 60.1, 0.69)]))
        layer                  features   probe %   neighbour %   within / between
        scattering, order 0          16      61.1          60.1              0.690
    """
    names = [row.name if row.group == row.name else f"{row.group}, {row.name}" for row in rows]
    width = max(map(len, [*names, "scattering, order 0"]))
    lines = [f"{'layer':<{width}}   {'features':>8}   probe %   neighbour %   within / between"]
    for name, row in zip(names, rows, strict=True):
        lines.append(
            f"{name:<{width}}   {row.size:>8}   {row.probe:>7.1f}   {row.neighbour:>11.1f}"
            f"   {row.ratio:>16.3f}"
        )
    return "\n".join(lines)


def plot(rows: Sequence[Row], path: str | Path, note: str = "") -> None:
    """Draw the rows as a PNG: accuracies on the left, distances on the right.

    Args:
        rows: what :func:`separation` returned.
        path: of the PNG.
        note: a line under the title: which images, which network.
    Raises: ImportError: matplotlib is not installed. ValueError, OSError: nothing can be written
        under this name.
    """
    places = np.arange(len(rows)) + np.cumsum(
        [0, *(0.5 * (a.group != b.group) for a, b in pairwise(rows))]
    )
    titles = ("Accuracy on unseen images, %", "Squared distance, within / between classes")
    with panels(path, 2, "Separation with depth", note, below=0.95) as axes:
        for group, rows_of in groupby(zip(places, rows, strict=True), lambda pair: pair[1].group):
            at, members = zip(*rows_of, strict=True)
            style = {"color": _COLOUR[group], "marker": _MARKER[group], "clip_on": False}
            axes[0].plot(at, [row.probe for row in members], label=group, **style)
            axes[0].plot(at, [row.neighbour for row in members], ":", mfc="white", **style)
            axes[1].plot(at, [row.ratio for row in members], **style)
        axes[0].plot([], [], color=INK, label="linear probe")
        axes[0].plot([], [], ":", color=INK, label="nearest neighbour")
        for ax, title in zip(axes, titles, strict=True):
            ax.set_title(title)
            ax.set_xticks(places, [row.name for row in rows], rotation=40, ha="right",
                          rotation_mode="anchor")  # fmt: skip
            ax.tick_params(axis="x", length=0)
            ax.grid(axis="x", visible=False)
        axes[1].set_ylim(0, 1.05 * max(1.0, *(row.ratio for row in rows)))


def distance_ratio(z: Tensor, y: Tensor) -> float:
    """``mean |z_a - z_b|²`` over pairs with ``y_a = y_b``, over that of the other pairs.

    The sums over pairs are those of moments: ``Σ_ab |z_a - z_b|² = 2 n Σ_a |z_a|² - 2 |Σ_a z_a|²``.

    Args:
        z: features ``[n, d]``.
        y: labels ``[n]``; at least two classes, one of them with two images.
    Returns: a number from 0, below 1 where classes are apart; NaN without such pairs.
    Example:
        >>> z = torch.tensor([[0.0], [1.0], [4.0], [5.0]])
        >>> distance_ratio(z, torch.tensor([0, 0, 1, 1]))  # 1 / ((16 + 25 + 9 + 16) / 4)
        0.0606...
    """
    z = z.double()

    def pairs(members: Tensor) -> tuple[float, int]:
        n = len(members)
        total = 2 * n * members.square().sum() - 2 * members.sum(0).square().sum()
        return float(total), n * (n - 1)

    everything, count = pairs(z - z.mean(0))
    inside = [pairs(z[y == c] - z[y == c].mean(0)) for c in y.unique()]
    within, same = map(sum, zip(*inside, strict=True))
    if not same or same == count or everything <= within:
        return math.nan
    return (within / same) / ((everything - within) / (count - same))


def _row(group: str, name: str, z: Tensor, y: Tensor, n: int) -> Row:
    """Standardise the features ``z [images, d]``, the first n to train, and measure them."""
    deviation = z[:n].std(0, correction=0)
    floor = _FLOOR * deviation.square().mean().sqrt()
    z = (z - z[:n].mean(0)) / (deviation.maximum(floor).clamp(min=_TINY) * math.sqrt(z.shape[1]))
    right = (
        torch.cat([y[:n][torch.cdist(b, z[:n]).argmin(1)] for b in z[n:].split(_BATCH)]) == y[n:]
    )
    return Row(
        group,
        name,
        z.shape[1],
        100 * _probe(z[:n], y[:n], z[n:], y[n:]),
        100 * float(right.double().mean()),
        distance_ratio(z[n:], y[n:]),
    )


def _probe(train_z: Tensor, train_y: Tensor, test_z: Tensor, test_y: Tensor) -> float:
    try:
        from sklearn.linear_model import RidgeClassifierCV
    except ImportError as error:
        raise ImportError(
            "the linear probe needs scikit-learn, which is not installed: pip install scikit-learn"
        ) from error
    ridge = RidgeClassifierCV(alphas=_PENALTIES).fit(train_z.numpy(), train_y.numpy())
    return float(ridge.score(test_z.numpy(), test_y.numpy()))


def each(x: Tensor, f: Callable[[Tensor], Sequence[Tensor]]) -> list[Tensor]:
    """``f`` of a few images at a time; each of its results for all of them."""
    with torch.no_grad():
        parts = [f(batch) for batch in x.split(_BATCH)]
    return [torch.cat(part) for part in zip(*parts, strict=True)]


def _averaged(z: Tensor, grid: tuple[int, int] | None) -> Tensor:
    if z.ndim != 4 or grid is None:
        return z
    m, n = (min(a, b) for a, b in zip(z.shape[-2:], grid, strict=True))
    return nn.functional.adaptive_avg_pool2d(z, (m, n))


def checked_images(name: str, x: Tensor) -> Tensor:
    """``[n, C, M, N]`` float32, uint8 divided by 255."""
    if not isinstance(x, Tensor) or not (x.dtype == torch.uint8 or x.is_floating_point()):
        found = x.dtype if isinstance(x, Tensor) else type(x).__name__
        raise TypeError(f"{name} must be a tensor of uint8 or floating images; got {found}")
    if x.ndim not in (3, 4) or not x.numel():
        raise ValueError(f"{name} must be [n, M, N] or [n, C, M, N]; got {list(x.shape)}")
    x = x[:, None] if x.ndim == 3 else x
    return x / 255 if x.dtype == torch.uint8 else x.float()


def _check_labels(kind: str, x: Tensor, y: Tensor) -> None:
    if not isinstance(y, Tensor) or y.is_floating_point() or y.shape != x.shape[:1]:
        found = f"{y.dtype} {list(y.shape)}" if isinstance(y, Tensor) else type(y).__name__
        raise ValueError(f"{kind}_y must be integers [{len(x)}], one for each image; got {found}")
    if len(y.unique()) < 2:
        raise ValueError(f"{kind}_y must hold at least two classes; got {y.unique().tolist()}")
