"""Linearity: how much of what a change of the image does to a layer is linear in the change.

An image is moved by ``g_t``: shifted by ``t`` pixels, turned by ``t`` degrees, enlarged, made
brighter. Where a layer follows, ``Φ(g_t x) - Φ(x) ≈ t D(x)``, a linear classifier can be made blind
to the change: it need but be orthogonal to the ``D(x)``. With the slope of least squares ::

    D(x) = Σ_t t Δ_t / Σ_t t²,   Δ_t = Φ(g_t x) - Φ(x),

the weak derivative of the layer along the change, the share of the change that is linear is ::

    Σ_x Σ_t |t D(x)|² / Σ_x Σ_t |Δ_t|²    from 0 to 1,

``t`` on both sides of 0. Wavelets and their modulus make shifts and deformations linear over the
scale of an average; a learned network may do so for what its classes have seen.

Literature: S. Mallat, "Understanding deep convolutional networks", Phil. Trans. A 2016.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ...arguments import integer
from ...draw.style import COLOURS, MARKERS, panels
from ...transforms.cascade import Cascade
from ...transforms.rototranslation import RotoTranslationScattering2D
from .separation import activations, blocks, checked_images, each
from .stability import shift, turn

#: Of each change the amounts on one side of 0, and their unit
CHANGES: dict[str, tuple[tuple[float, ...], str]] = {
    "translation": ((0.5, 1.0, 2.0), "pixels"),
    "rotation": ((5.0, 10.0, 15.0), "degrees"),
    "dilation": ((0.05, 0.1, 0.15), "of the size"),
    "brightness": ((0.05, 0.1, 0.2), "of white"),
}
_TINY = 1e-20
_NOTHING = 1e-4  # of a layer: less is rounding


class Linear(NamedTuple):
    """Of a layer and a change: the share that is linear, and the size of the largest change,
    relative to the layer."""

    change: str  # a key of CHANGES
    group: str  # "pixels", "scattering", "roto-translation" or "network"
    name: str
    share: float
    size: float


def linearity(
    x: Tensor,
    network: nn.Module | None = None,
    J: int = 3,
    L: int = 8,
    layers: Sequence[str] | None = None,
    seed: int = 0,
) -> list[Linear]:
    """Measure pixels, each order of scattering, roto-translation scattering and the layers of a
    network.

    Args:
        x: images ``[n, M, N]`` or ``[n, C, M, N]``, uint8 or floating in [0, 1].
        network: trained or not, ``[B, C, M, N] -> [B, classes]``; used as in evaluation.
        J, L: of the scattering, of order 2.
        layers: names of submodules of the network; default its blocks, in order.
        seed: of the directions of the shifts, one for each image.
    Returns: a :class:`Linear` for each layer and each change.
    Raises: TypeError, ValueError: an argument is of the wrong type or out of range.
    Example:
        >>> from scatcuda.data import digits
        >>> rows = linearity(digits()[0][:4], J=2, L=4)
        >>> [row.name for row in rows if row.change == "rotation"]
        ['pixels', 'order 0', 'order 1', 'order 2', 'roto-translation']
    """
    x = checked_images("x", x)
    random = torch.Generator().manual_seed(integer("linearity", "seed", seed, 0, 2**63 - 1))
    angles = 2 * math.pi * torch.rand(len(x), generator=random)
    changed: dict[str, Callable[[float], Tensor]] = {
        "translation": lambda t: shift(x, t, angles),
        "rotation": lambda t: turn(x, t),
        "dilation": lambda t: turn(x, 0, 1 - t),
        "brightness": lambda t: x + t,
    }
    represent = _layers(x.shape[-2:], J, L, network, layers)
    before = list(represent(x))
    found = []
    for change, move in changed.items():
        amounts = CHANGES[change][0]
        slopes = [torch.zeros_like(z) for _, _, z in before]
        squares, largest = [0.0] * len(before), [0.0] * len(before)
        both = [*(-t for t in amounts), *amounts]
        for t in both:
            for i, ((_, _, z), (_, _, moved)) in enumerate(
                zip(before, represent(move(t)), strict=True)
            ):
                step = moved - z
                slopes[i] += t * step
                square = float(step.double().square().sum())
                squares[i] += square
                largest[i] = max(largest[i], square)
        weight = sum(t * t for t in both)
        for (group, name, z), slope, square, most in zip(
            before, slopes, squares, largest, strict=True
        ):
            linear = float(slope.double().square().sum()) / weight
            size = math.sqrt(most / max(float(z.double().square().sum()), _TINY))
            found.append(Linear(change, group, name, linear / max(square, _TINY), size))
    return found


def _layers(
    shape: Sequence[int], J: int, L: int, network: nn.Module | None, layers: Sequence[str] | None
) -> Callable[[Tensor], Iterator[tuple[str, str, Tensor]]]:
    """Group, name and rows ``[n, d]`` of each layer, for images."""
    cascade = Cascade(J, shape, L, depth=min(J, 2))
    roto = RotoTranslationScattering2D(J, shape, L, pool="mean")
    names = [] if network is None else blocks(network) if layers is None else list(layers)

    def represent(x: Tensor) -> Iterator[tuple[str, str, Tensor]]:
        yield "pixels", "pixels", x.flatten(1)
        for q, S in enumerate(each(x, lambda some: cascade(some, by_order=True))):
            yield "scattering", f"order {q}", S.flatten(1)
        (means,) = each(x, lambda some: [roto(some).flatten(1)])
        yield "roto-translation", "roto-translation", means
        if network is not None:
            for name, z in activations(network, x, names).items():
                title = f"layer {name}" if name.isdecimal() else name
                yield "network", title, z.flatten(1)

    return represent


def table(rows: Sequence[Linear]) -> str:
    """The shares in per cent as text, a row for each layer, a column for each change; ``none``
    where nothing changes.

    Example:
        >>> print(table([Linear("rotation", "pixels", "pixels", 0.25, 0.5)]))
        linear, %         rotation
        pixels               25.0
    """
    changes = list(dict.fromkeys(row.change for row in rows))
    width = max(16, *(len(row.name) for row in rows))
    lines = [f"{'linear, %':<{width}}" + "".join(f"{change:>12}" for change in changes)]
    shares = {
        (row.name, row.change): f"{100 * row.share:.1f} " if row.size > _NOTHING else "none "
        for row in rows
    }
    for name in dict.fromkeys(row.name for row in rows):
        lines.append(
            f"{name:<{width}}" + "".join(f"{shares[name, change]:>12}" for change in changes)
        )
    return "\n".join(line.rstrip() for line in lines)


def plot(rows: Sequence[Linear], path: str | Path, note: str = "") -> None:
    """Draw the shares as a PNG: a panel for each change, layer after layer.

    Args:
        rows: what :func:`linearity` returned.
        path: of the PNG.
        note: a line under the title: which images, which network.
    Raises: ImportError: matplotlib is not installed. ValueError, OSError: nothing can be written
        under this name.
    """
    changes = list(dict.fromkeys(row.change for row in rows))
    groups = list(dict.fromkeys(row.group for row in rows))
    title = "How much of a change is linear"
    with panels(path, len(changes), title, note) as axes:
        for ax, change in zip(axes, changes, strict=True):
            for style, group in enumerate(groups):
                mine = [row for row in rows if (row.change, row.group) == (change, group)]
                shares = [row.share if row.size > _NOTHING else math.nan for row in mine]
                ax.plot(range(len(shares)), shares, color=COLOURS[style], marker=MARKERS[style],
                        label=group, clip_on=False)  # fmt: skip
            amounts, unit = CHANGES[change]
            ax.set_title(f"{change}, to {amounts[-1]:g} {unit}")
            ax.set_xlabel("layer")
            ax.set_ylim(0, 1)
        axes[0].set_ylabel("share")
