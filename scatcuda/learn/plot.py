"""Curves as PNG files: panels side by side, each under a title that says what it shows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..files import replaced

INK, GREY = "#22272e", "#7b828a"
# Told apart also by those who confuse red and green, and in print by their markers.
COLOURS = ("#7b828a", "#d08a2e", "#1d3f66", "#b4532a", "#5b9bd5")
MARKERS = ("o", "s", "D", "^", "v")
_PANEL, _HEADER = (4.6, 2.9), 1.55  # inches


@contextmanager
def panels(
    path: str | Path, count: int, title: str, note: str, below: float = 0.55
) -> Iterator[list[Any]]:
    """Axes to draw on, ``below`` inches of labels under them; afterwards the figure is at ``path``,
    in one step. What the curves' labels say stands once, above the panels.

    Raises: ImportError: matplotlib is not installed. ValueError: ``path`` does not end in .png.
        OSError: the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise ValueError(f"the figure's name must end in .png; got {path}")
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "figures need matplotlib, which is not installed: pip install matplotlib"
        ) from error
    style: dict[Any, Any] = {
        "font.size": 10,
        "text.color": INK,
        "axes.edgecolor": GREY,
        "axes.labelcolor": INK,
        "axes.linewidth": 0.8,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.titlelocation": "left",
        "axes.titlesize": 11,
        "axes.titleweight": "bold",
        "axes.titlepad": 10,
        "grid.color": "#e6e8eb",
        "grid.linewidth": 0.7,
        "xtick.color": INK,
        "ytick.color": INK,
        "xtick.labelsize": 9,
        "ytick.labelsize": 9,
        "lines.linewidth": 1.8,
        "lines.markersize": 5,
        "legend.frameon": False,
        "legend.fontsize": 9,
    }
    with matplotlib.rc_context(style):
        width, height = _PANEL[0] * count, _PANEL[1] + _HEADER + below
        figure = Figure(figsize=(width, height), dpi=150)
        layout = figure.add_gridspec(
            1, count, left=0.65 / width, right=1 - 0.25 / width,
            bottom=below / height, top=1 - _HEADER / height, wspace=0.24,
        )  # fmt: skip
        left = 0.2 / width
        figure.text(left, 1 - 0.42 / height, title, fontsize=16, fontweight="bold")
        figure.text(left, 1 - 0.66 / height, note, fontsize=10, color=GREY)
        axes = [figure.add_subplot(layout[0, i]) for i in range(count)]
        yield axes
        labelled = {
            label: handle
            for ax in axes
            for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)
        }
        place = (left, 1 - 1.06 / height)
        figure.legend(labelled.values(), labelled.keys(), loc="lower left", bbox_to_anchor=place,
                      ncols=len(labelled), borderaxespad=0, borderpad=0)  # fmt: skip
        _save(figure, path)


def _save(figure: Any, path: Path) -> None:
    try:
        with replaced(path) as temporary:
            figure.savefig(temporary, format="png")
    except OSError as error:
        reason = error.strerror or error
        raise OSError(f"{path}: the figure cannot be saved ({reason})") from None
