"""A filter bank in words, as a picture, and as a file: the command ``scatcuda filters``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .. import banks
from ..banks import FilterBank
from ..program.plan import checked_plan
from ..terminal import printable
from ..typing import BankName
from .style import BLUE, GREY, RUST, Sheet, drawn, scale_colours, shade

__all__ = [
    "angles_of",
    "draw_bank",
    "energy",
    "filters_facts",
    "filters_report",
    "filters_text",
    "in_frequency",
    "in_space",
    "save_bank",
]

_SUPPORT = 2.0**-24  # of its peak: half a unit in the last place of float32
_SCALES = 4  # drawn in space: a fifth would be sixteen times as large as the first
_TINY = 1e-20


def filters_report(
    J: int,
    shape: tuple[int, int],
    L: int = 8,
    kind: BankName = "morlet",
    output: str | Path | None = None,
) -> str:
    """Tell what a bank holds, and draw or save it.

    Args:
        J, shape, L: as for `scatcuda.Scattering2D`.
        kind: ``"morlet"`` or ``"tight"``.
        output: a ``.png`` for a picture, a ``.safetensors`` for the filters; None for neither.
    Returns: Lines of text.
    Raises: TypeError, ValueError: an argument is wrong; OSError: the file cannot be written.
    Example:
        >>> print(filters_report(2, (32, 32)))
        bank       morlet: 2 scales, 8 angles, images of 32 × 32 padded to 40 × 40
        paths      81: 1 of order 0, 16 of order 1, 64 of order 2, each 8 × 8
        energy     0.123 to 1.000 of every frequency (Littlewood–Paley)
        support    99 %, 57 % of the frequencies, by scale
        memory     108.8 KB, float32, full resolution
    """
    return filters_text(filters_facts(J, shape, L, kind, output))


def filters_facts(
    J: int,
    shape: tuple[int, int],
    L: int = 8,
    kind: BankName = "morlet",
    output: str | Path | None = None,
) -> dict[str, Any]:
    """What `filters_report` tells, in numbers; arguments, files and errors are the same.

    Example:
        >>> filters_facts(2, (32, 32))["paths"]
        [1, 16, 64]
    """
    if kind not in banks.BUILT_IN:
        raise ValueError(f"filters must be one of {', '.join(banks.BUILT_IN)}, got {kind!r}")
    suffix = Path(output).suffix.lower() if output else ""
    if output and suffix not in (".png", ".safetensors"):
        raise ValueError(f"output must end in .png or .safetensors, got {output}")
    plan = checked_plan("filters", J, shape, L, 2, False)
    J, L = plan.J, plan.L
    bank = banks.BUILT_IN[kind](plan.padded, J, L)
    low, high = banks.frame_bounds(bank)
    if output:
        if suffix == ".png":
            draw_bank(output, bank, f"{kind.capitalize()} filter bank")
        else:
            save_bank(output, bank)
    return {
        "of": "images",
        "filters": kind,
        "J": J,
        "L": L,
        "shape": [plan.M, plan.N],
        "padded": list(bank.shape),
        "paths": [1, J * L, L * L * J * (J - 1) // 2],
        "size": list(plan.output),
        "energy": [low, high],
        "support": [float(banks.support(psi, _SUPPORT).double().mean()) for psi in bank.psi],
        "bytes": 4 * (bank.psi.numel() + bank.phi.numel()),
        "output": None if output is None else str(output),
    }


def filters_text(facts: dict[str, Any]) -> str:
    """`filters_facts` in lines."""
    orders = ", ".join(f"{count} of order {order}" for order, count in enumerate(facts["paths"]))
    size, (low, high) = facts["bytes"], facts["energy"]
    lines = {
        "bank": f"{facts['filters']}: {facts['J']} scales, {facts['L']} angles, images of "
        f"{_size(facts['shape'])} padded to {_size(facts['padded'])}",
        "paths": f"{sum(facts['paths'])}: {orders}, each {_size(facts['size'])}",
        "energy": f"{low:.3f} to {high:.3f} of every frequency (Littlewood–Paley)",
        "support": ", ".join(f"{share:.0%}".replace("%", " %") for share in facts["support"])
        + " of the frequencies, by scale",
        "memory": f"{size / 1e3:.1f} KB, float32, full resolution"
        if size < 1e6
        else f"{size / 1e6:.1f} MB, float32, full resolution",
    }
    if facts["output"]:
        lines["written"] = printable(facts["output"])
    return "\n".join(f"{name:<10} {text}" for name, text in lines.items())


def _size(shape: Sequence[int]) -> str:
    return " × ".join(map(str, shape))


def save_bank(path: str | Path, bank: FilterBank) -> None:
    """Write ``psi [J, L, Mp, Np]`` and ``phi [Mp, Np]``, float64, Fourier domain in FFT order."""
    from ..files import write_tensors

    write_tensors(path, {"psi": bank.psi, "phi": bank.phi}, {"scatcuda": "filter bank"})


def draw_bank(path: str | Path, bank: FilterBank, title: str = "Filter bank") -> None:
    """Draw the wavelets in space, where they lie in frequency, and what energy they keep.

    Raises: ImportError: matplotlib is not installed. ValueError: ``path`` does not end in .png.
        OSError: the file cannot be written.
    """
    J, L = bank.J, bank.L
    with drawn(path, Sheet.size(1)) as figure:
        some = range(max(0, J - _SCALES), J)
        words = (
            f"J = {J} scale{'s' * (J > 1)}, L = {L} angle{'s' * (L > 1)}, "
            f"{_size(bank.shape)} frequencies"
        )
        sheet = Sheet(figure, title, words)
        note = "real part of ψ, and φ" + f"; the {len(some)} coarsest scales" * (len(some) < J)
        in_space(sheet.panel(0, 0, "Wavelets in space", note, 2), bank, some)
        in_frequency(sheet.panel(0, 2, "Filters in frequency", "half power"), bank)
        energy(sheet.panel(0, 3, "Littlewood–Paley sum", "energy kept"), bank)


def in_space(
    axes: Any, bank: FilterBank, scales: Sequence[int], imaginary: bool = False, first: int = 0
) -> None:
    """Wavelets of some scales and the low-pass, all at one magnification, each scaled to a maximum
    of 1; of more than eight angles every few. Scale ``first`` is called 0."""
    L, unit = bank.L, 2.0 ** scales[-1]  # of the largest
    angles = angles_of(bank)
    order = angles.argsort()  # as one sees them, from the horizontal
    shown = [int(order[i * L // min(L, 8)]) for i in range(min(L, 8))]
    fine = max(8.0 / unit, 2.0 ** (1 - scales[0]))  # points a pixel
    pitch, window = round(7.6 * unit * fine), round(5 * unit * fine) * 2
    parts = ("real", "imaginary")[: 1 + imaginary]
    heights = [round(fine * (5 * 2.0**j + 3.5 * unit)) for j in scales for _ in parts]
    canvas = torch.zeros(sum(heights) + window, (len(shown) + 1) * pitch + window).double()

    def place(f: Tensor, y: int, column: int) -> None:
        x = column * pitch + (pitch + window) // 2
        part = f / f.abs().max().clamp(min=_TINY)
        canvas[y - window // 2 :, x - window // 2 :][:window, :window] += part

    def label(x: float, y: float, text: str, side: str = "center") -> None:
        axes.text(x, y, text, color=GREY, ha=side, va="center")

    left = -15 * pitch / 61
    for row, y in enumerate(accumulate(heights)):
        j, part = scales[row // len(parts)], parts[row % len(parts)]
        y += (window - heights[row]) // 2
        for column, theta in enumerate(shown):
            place(getattr(_at_points(bank.psi[j, theta], window, fine), part[:4]), y, column)
        label(left, y, f"j = {j - first}" + f"\n{part}" * imaginary, "left")
    middle, bottom = len(canvas) // 2, len(canvas) - window // 2 + 8 * pitch / 61
    place(_at_points(bank.phi, window, fine).real, middle, len(shown))
    label((len(shown) + 0.5) * pitch + window / 2, middle + 0.56 * pitch, "low-pass φ")
    for column, theta in enumerate(shown):
        degrees = f"{math.degrees(angles[theta]):.1f}".removesuffix(".0") + "°"
        label((column + 0.5) * pitch + window / 2, bottom, degrees)
    rows, columns = canvas.shape
    shade(axes, canvas, "bicubic", extent=(0, columns, rows, 0))
    low, high = bottom + 8 * pitch / 61, window // 2
    width, height = columns - window // 2 - left, low - high
    room = axes.get_window_extent()
    most = room.width / room.height  # in proportion, whatever the place's shape
    narrow, flat = max(0, height * most - width), max(0, width / most - height)
    axes.set_xlim(left, left + width + narrow)
    axes.set_ylim(low + flat / 2, high - flat / 2)
    axes.set_axis_off()


def angles_of(bank: FilterBank) -> Tensor:
    """Direction [L] in [0, pi) of each wavelet's frequency as one sees it: rows go down."""
    power = bank.psi[-1].square()
    w_m, w_n = (torch.fft.fftfreq(n, dtype=torch.float64) for n in bank.shape)
    down, right = (power * w_m[:, None]).sum((1, 2)), (power * w_n).sum((1, 2))
    return (torch.atan2(-down, right) + 1e-6).remainder(math.pi)  # not pi - 1e-17 for 0


def _at_points(psi: Tensor, window: int, fine: float) -> Tensor:
    """Values [window, window] around the middle, ``fine`` points a pixel: between the pixels, where
    small wavelets would be missed, the Fourier series tells them."""
    u = (torch.arange(window, dtype=psi.dtype) - window // 2) / fine
    waves = [torch.exp(2j * math.pi * u[:, None] * torch.fft.fftfreq(n)) for n in psi.shape]
    inside = u.abs() * 2 < min(psi.shape)  # a filter is periodic: one of it
    return (waves[0] @ psi.to(waves[0].dtype) @ waves[1].T) * inside * inside[:, None]


def in_frequency(axes: Any, bank: FilterBank) -> None:
    """Half-power contours of all filters; the frequencies of a real image come in pairs, ±ω."""
    finer = -(-400 // min(bank.shape))  # contours of few bins are jagged
    extent = [torch.linspace(-1, 1, finer * n + 1) for n in reversed(bank.shape)]

    def contour(f: Tensor, colour: str) -> None:
        power = torch.fft.fftshift((f / f.abs().max()).square())
        # repeat what is beyond -π and π, so that contours reach the frame
        power = torch.nn.functional.pad(power[None, None], (3, 3, 3, 3), "circular")
        sides = [finer * (n - 1) + 1 for n in power.shape[2:]]
        power = torch.nn.functional.interpolate(power, sides, mode="bicubic", align_corners=True)
        m, n = (3 * finer + (finer * (side % 2)) // 2 for side in bank.shape)
        power = power[0, 0, m : m + len(extent[1]), n : n + len(extent[0])]
        for p in (power, power.flip(0, 1)):
            axes.contourf(*extent, p, [0.5, 2], colors=colour, alpha=0.12)
            axes.contour(*extent, p, [0.5], colors=colour, linewidths=1.3)

    colours = scale_colours(bank.J)
    for j, colour in enumerate(colours):
        for f in bank.psi[j]:
            contour(f, colour)
        if bank.J <= 6 or j in (0, bank.J - 1):
            row = j if bank.J <= 6 else j // (bank.J - 1)
            axes.text(-0.96, 0.9 - 0.11 * row, f"j = {j}", color=colour).set_path_effects(_halo())
    contour(bank.phi, RUST)
    if bank.J < 4:
        axes.text(0, 0, "φ", ha="center", va="center", color=RUST, fontsize=13)
    else:
        axes.text(0.96, 0.9, "φ", ha="right", color=RUST, fontsize=13).set_path_effects(_halo())
    axes.set_xticks([-1, 0, 1], ["−π", "0", "π"])
    axes.set_yticks([-1, 0, 1], ["−π", "0", "π"])


def _halo() -> list[Any]:
    """White around letters that stand on lines."""
    from matplotlib.patheffects import withStroke

    return [withStroke(linewidth=3, foreground="white")]


def energy(axes: Any, bank: FilterBank, tight: FilterBank | None = None) -> None:
    """Littlewood–Paley sums along an axis and along a diagonal, and their bounds."""
    lowest, highest = banks.frame_bounds(bank)
    along, across = _profiles(bank)
    end = float(along[1][-1])
    axes.plot(*along, color=BLUE, linewidth=1.8)
    axes.plot(*across, color=BLUE, linewidth=1.8, linestyle=(0, (5, 2)))
    if tight is not None:
        axes.plot(*_profiles(tight)[1], color=RUST)
        axes.text(0.06, 1.03, 'filters="tight": 1 everywhere', color=RUST)
    apart = abs(end - float(across[1][-1])) > 0.1
    if apart:
        axes.text(1.02, end, "along an axis", color=BLUE, va="center")
        axes.text(0.94, 0.34, "along a\ndiagonal", color=BLUE, ha="right")
    else:
        axes.text(0.7, end - 0.08, "along axes and diagonals", color=BLUE, va="center", ha="center")
    axes.text(0.06, 0.06, f"{lowest:.3f} to {highest:.3f}", color=BLUE)
    axes.set_xlim(0, math.sqrt(2))
    axes.set_ylim(0, max(1.12, 1.05 * highest))
    axes.set_xticks([0, 0.5, 1, math.sqrt(2)], ["0", "π/2", "π", "√2π"])
    axes.set_yticks([0, 0.5, 1])


def _profiles(bank: FilterBank) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Frequencies in units of π, and the Littlewood–Paley sum, along an axis and the diagonal."""
    kept = banks.littlewood_paley(bank)
    half = [n // 2 + 1 for n in bank.shape]
    count = min(half)
    at = [torch.linspace(0, h - 1, count).round().long() for h in half]
    along = torch.arange(half[1]) * 2 / bank.shape[1], kept[0, : half[1]]
    across = torch.linspace(0, math.sqrt(2), count), kept[at[0], at[1]]
    return along, across
