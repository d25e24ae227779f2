"""The figure of a report: how many times as long as scatcuda each peer takes, case by case."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from scatcuda.draw.style import BLUE, INK, PALE, RUST

PEERS = {
    "kymatio": ("Kymatio", BLUE),
    "per-path loop": ("Kymatio's loop over paths", BLUE),
    "twin": ("plain-PyTorch twin", "#c3cfdc"),
    "compiled twin": ("compiled twin", PALE),
}
GRID = "#e6e8eb"
GAP = 0.55  # between the bars of two cases; a bar is 1 high


def bars(report: dict[str, Any]) -> list[dict[str, Any]]:
    """The cases with a ratio to show, those of a kind side by side."""
    shown = [case for case in report["cases"] if any(peer in case["ratios"] for peer in PEERS)]
    kinds = [case["kind"] for case in shown]
    return sorted(shown, key=lambda case: kinds.index(case["kind"]))


def draw(report: dict[str, Any], path: Path) -> None:
    """Draw the ratios of `report` as horizontal bars into the PNG file `path`."""
    cases = bars(report)
    figure = Figure(layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    middles, bottom, kind = [], 0.0, cases[0]["kind"]
    for case in cases:
        bottom += GAP if case["kind"] != kind else 0
        top, kind = bottom, case["kind"]
        for peer in PEERS:
            if peer in case["ratios"]:
                _draw_bar(axes, bottom + 0.5, case, peer)
                bottom += 1
        middles.append((top + bottom) / 2)
        bottom += GAP
    axes.set_yticks(middles, [case["name"] for case in cases])
    axes.set_ylim(bottom, -GAP)
    wanted = [case["target"] for case in cases if case["target"]]
    ratios = [case["ratios"][peer] for case in cases for peer in PEERS if peer in case["ratios"]]
    _style(axes, ratios + wanted)
    _caption(figure, axes, report)
    figure.set_size_inches(9, 1.3 + 0.23 * (bottom + GAP))
    figure.savefig(path, format="png", dpi=150, facecolor="white")


def _draw_bar(axes: Any, y: float, case: dict[str, Any], peer: str) -> None:
    """One bar from 1 to the ratio, its number, and a mark where the ratio is wanted."""
    ratio = case["ratios"][peer]
    axes.barh(y, ratio - 1, 0.9, left=1, color=PEERS[peer][1])
    if peer == case["rival"] and case["target"]:
        axes.plot([case["target"]] * 2, [y - 0.6, y + 0.6], color=RUST, linewidth=2)
    label = axes.annotate(
        f"{ratio:.0f}×" if ratio >= 9.95 else f"{ratio:.2g}×",
        (max(ratio, 1), y),
        xytext=(5, -0.5),
        textcoords="offset points",
        va="center",
        fontsize=8.5,
        color=INK,
    )
    label.set_path_effects([withStroke(linewidth=3, foreground="white")])


def _style(axes: Any, shown: list[float]) -> None:
    # A logarithmic axis that starts at 1, "as fast as scatcuda": length is then the advantage.
    axes.set_xscale("log")
    axes.set_xlim(min(1, min(shown) / 1.05), 1.35 * max(2, *shown))
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}×"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.axvline(1, color=INK, linewidth=1.2)
    axes.grid(axis="x", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelsize=9, labelcolor=INK)
    for side in ("top", "right", "bottom", "left"):
        axes.spines[side].set_visible(False)


def _caption(figure: Figure, axes: Any, report: dict[str, Any]) -> None:
    """Title, legend of what is shown, and where the figures come from."""
    machine, cases = report["machine"], bars(report)
    for peer, (label, colour) in PEERS.items():
        if any(peer in case["ratios"] for case in cases):
            axes.barh([0], [0], left=1, color=colour, label=label)
    if any(case["target"] and case["rival"] in case["ratios"] for case in cases):
        axes.plot([], [], color=RUST, linewidth=2, label="wanted")
    handles, labels = axes.get_legend_handles_labels()
    order = sorted(range(len(labels)), key=lambda i: labels[i] == "wanted")
    figure.legend(
        [handles[i] for i in order],
        [labels[i] for i in order],
        loc="outside upper left",
        title="Time of a peer ÷ time of scatcuda",
        title_fontproperties={"size": 12, "weight": "bold"},
        alignment="left",
        ncols=3,
        frameon=False,
        fontsize=9,
        labelcolor=INK,
        handlelength=1.4,
    )
    threads = f" · threads: {report['threads']}" if report["device"] == "cpu" else ""
    figure.supxlabel(
        f"{machine['processor']}, {machine['instruction_set']}{threads} · "
        f"float32 · {machine['date'][:10]}",
        x=0.01,
        ha="left",
        fontsize=8.5,
        color=INK,
    )
