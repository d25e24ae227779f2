"""The figure of the demonstration: filters, Littlewood–Paley sum, an image and its coefficients.

Two rows of four squares, the first two joined; drawn for two scales and eight angles.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor

from .. import banks
from .bank import angles_of, energy, in_frequency, in_space
from .style import BLUE, GREY, PALE, Sheet, drawn, shade

_J, _L = 2, 8
_FINE = 2  # wavelets are drawn on a grid finer than the pixels by 2^2: scale j + 2 of a larger bank
_TINY = 1e-20  # keeps divisions finite where images are blank


def draw(
    path: Path,
    image: Tensor,  # [M, N]
    coefficients: Tensor,  # [C, m, n]
    orders: Tensor,  # [C]
    source: str,
    accuracy: dict[str, float],
) -> None:
    """Draw the figure and put it at `path` in one step: no half-written file is ever there."""
    fine = banks.morlet_bank((128, 128), _J + _FINE, _L)
    bank = banks.morlet_bank((128, 128), _J, _L)
    tight = banks.tight_bank((128, 128), _J, _L)
    with drawn(path, Sheet.size(2)) as figure:
        note = f"wavelet, modulus, wavelet, modulus, average:  J = {_J} scales, L = {_L} angles"
        sheet = Sheet(figure, "Wavelet scattering", note)
        right = sheet.width - sheet.margin
        sheet.text(right - 390, 92, source, fontsize=13, color=GREY, ha="right")
        for x, name, colour in ((right, "scattering", BLUE), (right - 200, "pixels", PALE)):
            style = {"ha": "right", "color": colour}
            sheet.text(x, 62, f"{accuracy[name]:.1f} %", fontsize=27, fontweight="bold", **style)
            sheet.text(x, 92, f"ridge on {name}", fontsize=13, **style)
        both = sheet.panel(0, 0, "Wavelets in space", "ψ and φ", 2)
        in_space(both, fine, range(_FINE, _J + _FINE), imaginary=True, first=_FINE)
        in_frequency(sheet.panel(0, 2, "Filters in frequency", "half power"), bank)
        energy(sheet.panel(0, 3, "Littlewood–Paley sum", "energy kept"), bank, tight)
        _coefficients(sheet, image, coefficients, orders, angles_of(bank))


def _coefficients(
    sheet: Sheet, image: Tensor, coefficients: Tensor, orders: Tensor, angles: Tensor
) -> None:
    """The lower row: the image and its coefficients of order 0, 1 and 2."""

    def show(
        column: int, values: Tensor, title: str, note: str, caption: str, smooth: str = "nearest"
    ) -> None:
        axes = sheet.panel(1, column, title, note)
        axes.set_xlabel(caption, color=GREY)
        shade(axes, values / values.max().clamp(min=_TINY), smooth)

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
