"""The figure of the demonstration: filters, Littlewood-Paley sum, an image and its coefficients.

Two rows of four squares, the first two joined; drawn for two scales and eight angles.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scatcuda import filters
from scatcuda.files import replaced

_J, _L = 2, 8
_TINY = 1e-20  # keeps divisions finite where images are blank
_WIDTH, _HEIGHT, _SIDE, _LEFT, _GAP = 1800, 1000, 370, 50, 73  # pixels
_BOTTOMS = (484, 40)  # of the upper and the lower row
_BLUE, _PALE, _RUST, _INK, _GREY = "#1d3f66", "#7f9dbd", "#b4532a", "#22272e", "#7b828a"
_COLOURS = (_RUST, "#dda27f", "#ffffff", "#8fabc8", _BLUE)  # from -1 through 0 to 1
_FINE = 2  # wavelets are drawn on a grid finer than the pixels by 2^2: scale j + 2 of a larger bank


def draw(
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
    angles = angles_of(fine)
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
    try:
        with replaced(path) as temporary:
            picture.save(temporary, "PNG", optimize=True)
    except OSError as error:
        raise OSError(f"{path}: the figure cannot be saved ({error.strerror or error})") from None


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


def shade(axes: Any, values: Tensor, interpolation: str, **options: Any) -> None:
    """An image of values from -1 to 1, in the one colour map of the figure."""
    from matplotlib.colors import LinearSegmentedColormap

    colours = LinearSegmentedColormap.from_list("scatcuda", _COLOURS, 257)  # odd: 0 is white
    style = {"cmap": colours, "vmin": -1, "vmax": 1, "aspect": "auto"}
    axes.imshow(values.numpy(), interpolation=interpolation, **style, **options)


def angles_of(bank: filters.FilterBank) -> Tensor:
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
    shade(axes, canvas, "bicubic", extent=(0, columns, rows, 0))
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
