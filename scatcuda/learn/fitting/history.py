"""What a training run tells of itself: a bar, one JSON line an epoch, curves, TensorBoard."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TextIO

from ...data import DataError
from ...draw.style import BLUE, RUST, panels
from ...files import write_text
from ...files.reading import parsed_json, read_whole
from ...terminal import Bar, wanted

__all__ = ["HISTORY", "Row", "Teller", "draw_curves", "read_history"]

HISTORY = "history.jsonl"
Row = dict[str, float]


def read_history(directory: str | os.PathLike[str]) -> list[Row]:
    """The rows of a run directory's ``history.jsonl``, also while it is being written.

    Raises: DataError: there is no such file, or a line other than the last is damaged.
    Example:
        >>> read_history("nowhere")
        Traceback (most recent call last):
        scatcuda.data.DataError: nowhere/history.jsonl: no such file
    """
    path = Path(directory, HISTORY)
    lines = read_whole(path, times=50).splitlines(keepends=True)  # objects and the lines
    rows: list[Row] = []
    for number, line in enumerate(lines, 1):
        try:
            rows.append(parsed_json(f"{path}: line {number}", line))
        except DataError:
            if number == len(lines) and not line.endswith(b"\n"):
                break  # being written, or cut short by a kill
            raise
    return rows


class Teller:
    """The bar on stderr and the files of a run directory (or none).

    `rows` are those of the checkpoint that the run goes on from: what a killed run wrote beyond
    it is dropped, since it will be written again.
    """

    def __init__(
        self,
        directory: Path | None,
        rows: Sequence[Row],
        *,
        images: int,
        done: int,
        epochs: int,
        progress: bool | None,
        tensorboard: bool | None,
    ) -> None:
        self.directory: Path | None = directory
        self.rows: list[Row] = list(rows)
        self.epochs: int = epochs
        self.bar: Bar = Bar(images, "image", done=done, shown=wanted(progress))
        self.events: Any = _events(directory, tensorboard, len(rows)) if directory else None
        if directory:
            lines = "".join(json.dumps(row) + "\n" for row in rows)
            write_text(directory / HISTORY, lines)
            self.file: TextIO = open(directory / HISTORY, "a", encoding="utf-8")

    def step(self, images: int) -> None:
        self.bar.update(images)

    def look(self, epoch: int, loss: float, accuracy: float) -> None:
        """Show where training stands within an epoch, counted from 0."""
        figures = {"loss": f"{loss:.4f}", "accuracy": f"{accuracy:.2%}"}
        self.bar.tell(f"epoch {epoch + 1}/{self.epochs}", **figures)

    def epoch(self, row: Row) -> None:
        self.rows.append(row)
        if self.directory:
            try:
                self.file.write(json.dumps(row) + "\n")
                self.file.flush()
            except OSError as error:  # a full disk, which does not say of which file
                raise OSError(error.errno, error.strerror, self.file.name) from None
        if self.events:
            for name, value in row.items():
                if name not in ("epoch", "step"):
                    self.events.add_scalar(name, value, int(row["epoch"]))

    def close(self) -> None:
        self.bar.close()
        if self.events:
            self.events.close()
        if self.directory:
            with suppress(OSError):  # what could not be written was told
                self.file.close()
            if self.rows:
                draw_curves(self.directory / "curves.png", self.rows)


def _events(directory: Path, wanted: bool | None, epoch: int) -> Any:
    """TensorBoard's writer, or None."""
    if wanted is False:
        return None
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        if wanted:
            raise ImportError(
                "tensorboard=True needs TensorBoard, which is not installed: "
                "pip install tensorboard"
            ) from None
        return None
    folder = directory / "tensorboard"
    if folder.is_symlink():
        raise ValueError(f"{folder}: a link; a run keeps its events in a folder of its own")
    try:
        return SummaryWriter(str(folder), purge_step=epoch + 1)
    except UnicodeEncodeError:  # of a folder whose name is no UTF-8
        if wanted:
            raise ValueError(f"{folder}: TensorBoard wants a name in UTF-8") from None
        return None


def draw_curves(path: Path, rows: Sequence[Row]) -> None:
    """Draw loss and accuracy by epoch, training and validation, to a PNG file.

    Does nothing where matplotlib is not installed.
    """
    if not find_spec("matplotlib"):
        return
    with panels(path, 2, "Training", f"{rows[-1]['epoch']:g} epochs") as axes:
        for ax, name, factor in zip(axes, ("loss", "accuracy"), (1, 100), strict=True):
            for prefix, colour, words in (("", BLUE, "training"), ("val_", RUST, "validation")):
                key = prefix + name
                points = [(row["epoch"], factor * row[key]) for row in rows if key in row]
                if points:
                    few = "o" if len(points) < 40 else ""
                    ax.plot(*zip(*points, strict=True), color=colour, marker=few, label=words)
            ax.set_title("Loss" if factor == 1 else "Accuracy, %")
            ax.set_xlabel("epoch")
            ax.xaxis.get_major_locator().set_params(integer=True)
        axes[0].set_ylim(bottom=0)
