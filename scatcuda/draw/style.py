"""How every figure looks: one palette, one type, one way to its file.

drawn(path, size)      a figure, saved when the block ends
Sheet                  squares on a grid, under a title: the demonstration's, a filter bank's
panels(path, count)    curves side by side, under a title and one legend
shade(axes, values)    an image of values from -1 to 1
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor

from ..files import replaced

INK, GREY, PALE, BLUE, RUST = "#22272e", "#7b828a", "#7f9dbd", "#1d3f66", "#b4532a"
# Told apart also by those who confuse red and green, and in print by their markers.
COLOURS = (GREY, "#d08a2e", BLUE, RUST, "#5b9bd5")
MARKERS = ("o", "s", "D", "^", "v")
_SHADES = (RUST, "#dda27f", "#ffffff", "#8fabc8", BLUE)  # from -1 through 0 to 1
STYLE: dict[Any, Any] = {
    "font.size": 11,
    "text.color": INK,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "xtick.color": INK,
    "ytick.color": INK,
}
_CURVES = {
    "font.size": 10,
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
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "lines.linewidth": 1.8,
    "lines.markersize": 5,
    "legend.frameon": False,
    "legend.fontsize": 9,
}
_WIDTH, _SIDE, _LEFT, _GAP, _PITCH = 1800, 370, 50, 73, 444  # pixels of a `Sheet`
_PANEL, _HEADER = (4.6, 2.9), 1.55  # inches, of `panels`


@contextmanager
def drawn(
    path: str | Path, size: tuple[float, float], dpi: int = 100, **style: Any
) -> Iterator[Any]:
    """A figure of ``size`` inches to draw on; when the block ends, it is at ``path``, in one step.

    Raises: ImportError: matplotlib is not installed. ValueError: ``path`` does not end in .png.
        OSError: the file cannot be written.
    """
    if Path(path).suffix.lower() != ".png":
        raise ValueError(f"the figure's name must end in .png; got {path}")
    try:
        import matplotlib
        from matplotlib.figure import Figure
        from PIL import Image
    except ImportError as error:
        raise ImportError(
            "figures need matplotlib, which is not installed: pip install matplotlib"
        ) from error
    with matplotlib.rc_context(STYLE | style):
        figure = Figure(figsize=size, dpi=dpi)
        yield figure
        raw = io.BytesIO()
        figure.savefig(raw, format="png")
    # A palette chosen to cover every colour cannot be told from the drawing; the file is small.
    picture = Image.open(raw).convert("RGB").quantize(
        256, method=Image.Quantize.MAXCOVERAGE, kmeans=5, dither=Image.Dither.NONE
    )  # fmt: skip
    try:
        with replaced(path) as temporary:
            picture.save(temporary, "PNG", optimize=True)
    except OSError as error:
        reason = error.strerror or error
        raise OSError(f"{path}: the figure cannot be saved ({reason})") from None


class Sheet:
    """Rows of four squares under a title; neighbours may be joined.

    Args:
        figure: of ``Sheet.size(rows)`` inches, 100 dots each.
        title, note: stand above, the second in grey.
    """

    def __init__(self, figure: Any, title: str, note: str) -> None:
        self.figure: Any = figure
        self.height: int = round(100 * figure.get_figheight())
        self.text(_LEFT, 62, title, fontsize=27, fontweight="bold")
        self.text(_LEFT, 92, note, fontsize=13, color=GREY)

    width: int = _WIDTH
    margin: int = _LEFT

    @staticmethod
    def size(rows: int) -> tuple[float, float]:
        return _WIDTH / 100, (112 + rows * _PITCH) / 100

    def text(self, x: int, y: int, words: str, **style: Any) -> None:
        """Words, whose base line is ``y`` pixels below the upper edge."""
        self.figure.text(x / _WIDTH, 1 - y / self.height, words, **style)

    def panel(self, row: int, column: int, title: str, note: str, columns: int = 1) -> Any:
        """Axes on the grid of squares, without ticks, under a bold title and a grey note."""
        width = columns * _SIDE + (columns - 1) * _GAP
        left, top = _LEFT + column * (_SIDE + _GAP), 146 + row * _PITCH
        self.text(left, top - 12, title, fontsize=14, fontweight="bold")
        self.text(left + width, top - 12, note, fontsize=12, color=GREY, ha="right")
        box = (left / _WIDTH, 1 - (top + _SIDE) / self.height,
               width / _WIDTH, _SIDE / self.height)  # fmt: skip
        return self.figure.add_axes(box, xticks=[], yticks=[])


@contextmanager
def panels(
    path: str | Path, count: int, title: str, note: str, below: float = 0.55
) -> Iterator[list[Any]]:
    """Axes to draw curves on, ``below`` inches of labels under them; afterwards the figure is at
    ``path``. What the curves' labels say stands once, above the panels.

    Raises: as `drawn`.
    """
    width, height = _PANEL[0] * count, _PANEL[1] + _HEADER + below
    with drawn(path, (width, height), 150, **_CURVES) as figure:
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
                      ncols=max(1, len(labelled)), borderaxespad=0, borderpad=0)  # fmt: skip


def shade(axes: Any, values: Tensor, interpolation: str, **options: Any) -> None:
    """An image of values from -1 to 1, in the one colour map."""
    from matplotlib.colors import LinearSegmentedColormap

    colours = LinearSegmentedColormap.from_list("scatcuda", _SHADES, 257)  # odd: 0 is white
    style = {"cmap": colours, "vmin": -1, "vmax": 1, "aspect": "auto"}
    axes.imshow(values.numpy(), interpolation=interpolation, **style, **options)


def scale_colours(count: int) -> Sequence[str]:
    """A colour for each scale, from the finest, pale, to the coarsest, dark."""
    from matplotlib.colors import LinearSegmentedColormap, to_hex

    between = LinearSegmentedColormap.from_list("scales", ("#a9c0d8", PALE, "#4a719b", BLUE))
    if count < 3:
        return (PALE, BLUE)[-count:]
    return [to_hex(between(i / max(1, count - 1))) for i in range(count)]
