"""A report as text: a table for each kind of timed case, one for the rest, and on a GPU where the
time of its main cases goes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .registry import OURS, STAND_IN

COLUMNS = {
    OURS: "scatcuda",
    "kymatio": "Kymatio",
    STAND_IN: "per-path\nloop",
    "twin": "twin",
    "compiled twin": "compiled\ntwin",
    "not compiled": "not\ncompiled",
    "general tier": "general\ntier",
    "fused tier": "fused\ntier",
}
RIVALS = {name: COLUMNS[name] for name in ("kymatio", STAND_IN, "twin")}
TITLES = {
    "transform": "Order-2 scattering",
    "gradient": "Order-2 scattering and its gradient",
    "depth": "Order-3 scattering",
    "training": "A step of training, compiled, between a convolution and a linear classifier",
    "signals": "Signals, each an image of one line, and their gradients",
    "joint": "Signals jointly in time and log-frequency, each an image of one line",
    "rotations": "Images along positions and angles, and their gradients",
    "densities": "Densities, each an image, and their gradients",
    "backend": "Kymatio's class, our backend object (scatcuda) against its own",
    "operator": "Operators",
    "call": "Calls with one tiny image",
}
KERNELS = 12  # lines of a table of kernels
Row = list[str]


def text(report: dict[str, Any]) -> str:
    """The whole report."""
    cases, parts = report["cases"], []
    where = f"threads: {report['threads']}, float32"
    if report["device"] == "cuda":
        where = "float32, by CUDA events"
        copy, rate = (f"{value / 1e12:.2f}" for value in report["ceilings"].values())
        parts.append(f"Ceilings: copies {copy} TB/s, float32 matrix products {rate} TFLOP/s")
    for kind, title in TITLES.items():
        entries = [entry for entry in cases if entry["kind"] == kind]
        if entries:
            parts.append(f"{title}: µs an image, {where}\n\n{_timed_table(entries)}")
    others = [_case_row(entry) for entry in cases if entry["kind"] not in TITLES]
    others += [_probe_row(entry) for entry in report["probes"]]
    if others:
        headers = ["", "unit", *COLUMNS.values(), "ratio", "wanted", ""]
        parts.append(f"Other measurements\n\n{_table(headers, others)}")
    parts += [_kernels(entry) for entry in cases if "kernels" in entry]
    return "\n\n".join([*parts, *report["notes"]])


def _timed_table(entries: list[dict[str, Any]]) -> str:
    headers = ["case", *COLUMNS.values(), "images/s"]
    headers += [f"{name}\n÷ ours" for name in RIVALS.values()]
    headers += ["wanted", "", "memory\nfloor", "arithmetic\nfloor"]
    headers += [f"error\n{name}" for name in (COLUMNS[OURS], *RIVALS.values())]
    headers += [f"MB\n{name}" for name in (COLUMNS[OURS], *RIVALS.values())]
    return _table(headers, [_timed_row(entry) for entry in entries])


def _timed_row(entry: dict[str, Any]) -> Row:
    peers, floors = entry["peers"], entry.get("floors", {})
    ours = peers[OURS]["microseconds_per_image"]

    def each(names: Any, key: str, form: Callable[[float | None], str]) -> Row:
        return [form(peers.get(name, {}).get(key)) for name in names]

    row = [entry["name"], *each(COLUMNS, "microseconds_per_image", _number)]
    row.append(_number(1e6 / ours if floors else None))
    row += [_number(entry["ratios"].get(name)) for name in RIVALS]
    row += _verdict(
        [
            ("≥ {:g}×", entry["target"], entry["ratios"].get(entry["rival"]), 1),
            ("≤ {:.3g} µs", entry.get("most"), ours, -1),
        ]
    )
    row += [_percent(floors.get(name)) for name in ("memory", "arithmetic")]
    row += each((OURS, *RIVALS), "relative_error", _scientific)
    row += [_number(entry.get("memory_mb", {}).get(name)) for name in (OURS, *RIVALS)]
    return row


def _case_row(entry: dict[str, Any]) -> Row:
    """A case that is not counted in images: milliseconds a run."""
    peers, ratio = entry["peers"], entry["ratios"].get(entry["rival"])
    row = [entry["name"], "ms"]
    row += [_number(1e3 * peers[name]["seconds"] if name in peers else None) for name in COLUMNS]
    return [*row, _number(ratio), *_verdict([("≥ {:g}×", entry["target"], ratio, 1)])]


def _probe_row(entry: dict[str, Any]) -> Row:
    row = [entry["name"], entry["unit"]]
    row += [_number(entry["values"].get(name)) for name in COLUMNS]
    return [*row, "", *_verdict([("≤ {:g}", entry["target"], entry["values"].get(OURS), -1)])]


def _kernels(entry: dict[str, Any]) -> str:
    """The kernels of one call, as many as matter."""
    found = entry["kernels"]
    total = sum(kernel["microseconds"] for kernel in found)
    launches = sum(kernel["launches"] for kernel in found)
    rows = [
        [
            kernel["kernel"][:80],
            _number(kernel["launches"]),
            _number(kernel["microseconds"]),
            _percent(kernel["microseconds"] / total),
        ]
        for kernel in found[:KERNELS]
    ]
    title = f"{entry['name']}: {launches:g} launches, {_number(total)} µs on the GPU in a call"
    return f"{title}\n({entry['launch']})\n\n{_table(['kernel', 'launches', 'µs', ''], rows)}"


def _verdict(wishes: list[tuple[str, float | None, float | None, int]]) -> Row:
    """What is wanted and whether it was reached, as two cells. A wish is how to write it, the
    wanted value, the one measured, and 1 where more is better, -1 where less is."""
    wished = [
        (form.format(wanted), wanted, value, sign) for form, wanted, value, sign in wishes if wanted
    ]
    results = [
        sign * value >= sign * wanted for _, wanted, value, sign in wished if value is not None
    ]
    told = "met" if all(results) else "missed"
    return [", ".join(form for form, *_ in wished), told if results else ""]


def _number(value: float | None) -> str:
    """Three significant digits at least, without an exponent."""
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:#.3g}".rstrip(".")


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f} %"


def _scientific(value: float | None) -> str:
    return "" if value is None else f"{value:.1e}"


def _table(headers: Row, rows: list[Row]) -> str:
    """A table without the columns of which every cell is empty."""
    used = [i for i in range(len(headers)) if any(row[i] for row in rows)]
    headers, rows = [headers[i] for i in used], [[row[i] for i in used] for row in rows]
    try:
        from tabulate import tabulate
    except ImportError:  # a machine to measure on may hold nothing but PyTorch
        return "\n".join("\t".join(row).replace("\n", " ") for row in (headers, *rows))
    alignment = ["left", *["right"] * (len(headers) - 1)]
    return tabulate(rows, headers, colalign=alignment, disable_numparse=True)
