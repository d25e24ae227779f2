"""What was made from statistics, beside what they are of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..synthesis.fields import Synthesis, power_spectrum
from .style import BLUE, GREY, PALE, RUST, Sheet, drawn

_FIELDS = (BLUE, "#5b9bd5", PALE)  # colours of those that were made


def draw_synthesis(made: Synthesis, path: str | Path, title: str = "Made from statistics") -> None:
    """The target and up to three fields; under them the descent, power spectra, histograms and how
    far each block is from the target's.

    Raises: as ``scatcuda.draw.style.drawn``.
    """
    shown = [] if made.target is None else [("target", made.target.cpu())]
    shown += [(f"field {i + 1}", x.cpu()) for i, x in enumerate(made.x[:3])]
    note = f"{len(made.history) - 1} iterations, {made.seconds:.1f} s"
    with drawn(path, Sheet.size(2)) as figure:
        sheet = Sheet(figure, title, note)
        for column, (name, x) in enumerate(shown[:4]):
            field(sheet.panel(0, column, name, ""), x, shown[0][1])
        descent = sheet.panel(1, 0, "loss", "by iteration, from the start's")
        losses = torch.tensor([entry["loss"] for entry in made.history])
        descent.semilogy(losses / losses[0], color=BLUE)
        descent.set_yticks([10.0**e for e in range(0, -7, -2)])
        spectra = sheet.panel(1, 1, "power spectrum", "by frequency")
        levels = sheet.panel(1, 2, "histogram", "")
        for i, (name, x) in enumerate(shown):
            style: dict[str, Any] = {"color": (RUST, *_FIELDS)[i], "label": name}
            spectra.loglog(power_spectrum(x)[1:], linewidth=2 if i == 0 else 1, **style)
            low, high = float(shown[0][1].min()), float(shown[0][1].max())
            counts = torch.histc(x.float(), 60, low, high)
            levels.plot(
                torch.linspace(low, high, 60), counts, linewidth=2 if i == 0 else 1, **style
            )
        blocks = sheet.panel(1, 3, "distance", "of each block, relative")
        names = [*made.errors]
        blocks.barh(range(len(names)), [max(e, 1e-9) for e in made.errors.values()], color=GREY)
        blocks.set_xscale("log")
        for y, (name, error) in enumerate(made.errors.items()):
            blocks.text(0.03, y, f"{name}  {error:.2%}", transform=_across(blocks), va="center")


def _across(axes: Any) -> Any:
    return axes.get_yaxis_transform()


def field(axes: Any, x: Tensor, like: Tensor | None = None) -> None:
    """An image in the grey levels of another one, or a signal."""
    like = x if like is None else like
    if x.ndim == 1:
        axes.plot(x, color=BLUE, linewidth=0.6)
        axes.set_ylim(float(like.min()), float(like.max()))
        return
    low, high = float(like.quantile(0.002)) if like.numel() < 1 << 24 else float(like.min()), None
    high = float(like.quantile(0.998)) if like.numel() < 1 << 24 else float(like.max())
    axes.imshow(x, cmap="gray", vmin=low, vmax=high, interpolation="nearest", aspect="auto")


def draw_inversions(
    path: str | Path,
    rows: Sequence[tuple[str, Tensor, Sequence[tuple[str, str, Tensor]]]],
    title: str = "What scattering keeps",
    note: str = "",
) -> None:
    """A row for each original: itself, then up to three reconstructions ``(name, note, x)``.

    Raises: as ``scatcuda.draw.style.drawn``.
    """
    with drawn(path, Sheet.size(len(rows))) as figure:
        sheet = Sheet(figure, title, note)
        for row, (name, x, found) in enumerate(rows):
            field(sheet.panel(row, 0, name, "original"), x)
            for column, (words, about, y) in enumerate(found[:3], 1):
                field(sheet.panel(row, column, words, about), y, x)
