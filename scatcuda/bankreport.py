"""A filter bank in words, as a picture, and as a file: the command ``scatcuda filters``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from . import filters
from .filters import FilterBank
from .plan import checked_plan
from .terminal import printable
from .typing import BankName

__all__ = ["draw_bank", "filters_report", "save_bank"]

_SUPPORT = 2.0**-24  # of its peak: half a unit in the last place of float32


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
    if kind not in filters.BUILT_IN:
        raise ValueError(f"filters must be one of {', '.join(filters.BUILT_IN)}, got {kind!r}")
    suffix = Path(output).suffix.lower() if output else ""
    if output and suffix not in (".png", ".safetensors"):
        raise ValueError(f"output must end in .png or .safetensors, got {output}")
    plan = checked_plan("filters", J, shape, L, 2, False)
    J, L = plan.J, plan.L
    bank = filters.BUILT_IN[kind](plan.padded, J, L)
    low, high = filters.frame_bounds(bank)
    kept = [float(filters.support(psi, _SUPPORT).double().mean()) for psi in bank.psi]
    counts = [1, J * L, L * L * J * (J - 1) // 2]
    orders = ", ".join(f"{count} of order {order}" for order, count in enumerate(counts))
    size = 4 * (bank.psi.numel() + bank.phi.numel())
    lines = {
        "bank": f"{kind}: {J} scales, {L} angles, images of {_size((plan.M, plan.N))} padded to "
        f"{_size(bank.shape)}",
        "paths": f"{sum(counts)}: {orders}, each {_size(plan.output)}",
        "energy": f"{low:.3f} to {high:.3f} of every frequency (Littlewood–Paley)",
        "support": ", ".join(f"{share:.0%}".replace("%", " %") for share in kept)
        + " of the frequencies, by scale",
        "memory": f"{size / 1e3:.1f} KB, float32, full resolution"
        if size < 1e6
        else f"{size / 1e6:.1f} MB, float32, full resolution",
    }
    if output:
        (draw_bank if suffix == ".png" else save_bank)(output, bank)
        lines["written"] = printable(str(output))
    return "\n".join(f"{name:<10} {text}" for name, text in lines.items())


def _size(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape))


def save_bank(path: str | Path, bank: FilterBank) -> None:
    """Write ``psi [J, L, Mp, Np]`` and ``phi [Mp, Np]``, float64, Fourier domain in FFT order."""
    from .files import write_tensors

    write_tensors(path, {"psi": bank.psi, "phi": bank.phi}, {"scatcuda": "filter bank"})


def draw_bank(path: str | Path, bank: FilterBank) -> None:
    """Draw the wavelets in space, where they lie in frequency, and what energy they keep.

    Raises: ImportError: matplotlib is not installed.
    """
    from .figure import angles_of, shade
    from .files import replaced

    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError("the picture needs matplotlib: pip install matplotlib") from None
    J, L = bank.J, bank.L
    drawn = min(L, 8)
    angles = angles_of(bank)
    order = angles.argsort()  # as one sees them, from the horizontal
    cell = 1.15
    figure = Figure(figsize=(cell * drawn + 7.2, max(cell * J + 1.0, 3.4)), layout="constrained")
    halves: Any = figure.subfigures(1, 2, width_ratios=(cell * drawn, 7.2))
    left, right = halves
    left.suptitle("ψ in space, real part", fontsize=11)
    panels = left.subplots(J, drawn, squeeze=False)
    for j in range(J):
        for column in range(drawn):
            theta = order[column * L // drawn]
            axes = panels[j][column]
            part = _centre(bank.psi[j, theta], min(5 * 2**j, *(n // 2 for n in bank.shape)))
            shade(axes, part / part.abs().max().clamp(min=1e-20), "bicubic")
            axes.set(xticks=[], yticks=[], aspect="equal")
            if column == 0:
                axes.set_ylabel(f"j = {j}")
            if j == J - 1:
                axes.set_xlabel(f"{math.degrees(angles[theta]):.1f}°", fontsize=9)
    first, second = right.subplots(1, 2)
    _frequencies(first, bank)
    _energy(second, bank)
    with replaced(path) as temporary:
        figure.savefig(temporary, dpi=120, format="png")


def _centre(psi: Tensor, side: int) -> Tensor:
    """Real part within ``side`` pixels of the middle, on a grid as fine as a picture wants: between
    the pixels, where small wavelets would be missed, the Fourier series tells the values."""
    u = torch.linspace(-side, side, 101, dtype=psi.dtype)
    waves = [torch.exp(2j * math.pi * u[:, None] * torch.fft.fftfreq(n)) for n in psi.shape]
    return (waves[0] @ psi.to(waves[0].dtype) @ waves[1].T).real


def _frequencies(axes, bank: FilterBank) -> None:  # type: ignore[no-untyped-def]
    """Where each filter is larger than 1/√2 of its peak."""
    colours = ("#56b4e9", "#0072b2", "#009e73", "#e69f00", "#cc79a7", "#7b828a")
    finer = -(-400 // min(bank.shape))  # contours of few bins are jagged
    extent = [torch.linspace(-1, 1, finer * n + 1) for n in reversed(bank.shape)]

    def contour(f: Tensor, colour: str) -> None:
        power = torch.fft.fftshift((f / f.abs().max()).square())
        # repeat what is beyond -π and π, so that contours reach the frame
        power = torch.nn.functional.pad(power[None, None], (3, 3, 3, 3), "circular")
        sides = [finer * (n - 1) + 1 for n in power.shape[2:]]
        power = torch.nn.functional.interpolate(power, sides, mode="bicubic", align_corners=True)
        m, n = (3 * finer, 3 * finer)
        power = power[0, 0, m : m + len(extent[1]), n : n + len(extent[0])]
        for p in (power, power.flip(0, 1)):  # of a real image, ω and −ω are one
            axes.contour(*extent, p, [0.5], colors=colour, linewidths=1.2)

    for j in reversed(range(bank.J)):
        for f in bank.psi[j]:
            contour(f, colours[j % len(colours)])
    contour(bank.phi, "#d55e00")
    axes.set(title="filters in frequency, half power", aspect="equal")
    axes.set_xticks([-1, 0, 1], ["−π", "0", "π"])
    axes.set_yticks([-1, 0, 1], ["−π", "0", "π"])
    axes.title.set_fontsize(11)


def _energy(axes, bank: FilterBank) -> None:  # type: ignore[no-untyped-def]
    """The Littlewood–Paley sum along an axis and along the diagonal."""
    energy = filters.littlewood_paley(bank)
    half = [n // 2 + 1 for n in bank.shape]
    axes.plot(torch.linspace(0, 1, half[1]), energy[0, : half[1]], color="#0072b2", label="axis")
    count = min(half)
    at = [torch.linspace(0, h - 1, count).round().long() for h in half]
    diagonal = torch.linspace(0, math.sqrt(2), count)
    axes.plot(diagonal, energy[at[0], at[1]], "--", color="#0072b2", label="diagonal")
    axes.set_ylim(0, 1.1)
    axes.set_box_aspect(1)
    axes.set_xticks([0, 0.5, 1, math.sqrt(2)], ["0", "π/2", "π", "√2π"])
    axes.set_title("Littlewood–Paley sum: energy kept", fontsize=11)
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
