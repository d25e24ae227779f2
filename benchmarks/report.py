"""The report: measures the registry's cases, prints tables, writes JSON and a figure.

    python -m benchmarks [--quick] [--threads N] [--cases SUBSTRING] [--output DIR]

A ratio is the time of a peer divided by ours, so more than 1 means that scatcuda is faster. An
error is ||y - s|| / ||s||, s the float64 result of the plain-PyTorch twin.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import importlib.metadata
import json
import os
import platform
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from tabulate import tabulate
from torch import Tensor

import scatcuda

from . import plot, registry
from .registry import OURS, Case, Peer, Probe
from .timing import interleave, timer_for

RESULTS = Path(__file__).parent / "results"
COLUMNS = {OURS: "scatcuda", "kymatio": "Kymatio", "twin": "twin"}


@dataclass(frozen=True)
class Settings:
    """How carefully to measure: `rounds` turns of each peer that last `seconds` together."""

    threads: int = 1
    quick: bool = False

    @property
    def rounds(self) -> int:
        return 3 if self.quick else 9

    @property
    def seconds(self) -> float:
        return 0.05 if self.quick else 0.45


# ---------------------------------------------------------------- measuring


def relative_error(result: Tensor, exact: Tensor) -> float:
    """||result - exact|| / ||exact||, computed in float64 (complex128)."""
    difference = result.to(exact) - exact
    return float(torch.linalg.vector_norm(difference) / torch.linalg.vector_norm(exact))


def measure(case: Case, settings: Settings) -> dict[str, Any]:
    """Times and errors of every implementation of a case, ready for JSON."""
    torch.set_num_threads(settings.threads)  # for what is not timed as well
    work = case.start()
    exact = work.exact()
    errors = {
        name: relative_error(work.values(peer.run()), exact) for name, peer in work.peers.items()
    }
    timer = timer_for(case.device)
    times = interleave(
        work.peers, timer, settings.rounds, settings.seconds, threads=settings.threads
    )
    median = {name: statistics.median(rounds) for name, rounds in times.items()}

    def figures(name: str, peer: Peer) -> dict[str, Any]:
        return {
            "seconds": median[name],
            "microseconds_per_image": 1e6 * median[name] / work.images,
            "rounds": times[name],
            "threads": peer.threads or settings.threads,
            "relative_error": errors[name],
        }

    entry = {
        "name": case.name,
        "kind": case.kind,
        "device": case.device,
        "problem": asdict(case.problem),
        "target": case.target,
        "rival": case.rival,
        "peers": {name: figures(name, peer) for name, peer in work.peers.items()},
        "ratios": {name: median[name] / median[OURS] for name in median if name != OURS},
    }
    if case.kind == "transform" and case.device == "cpu" and not settings.quick:
        entry["memory_mb"] = registry.memory(case.problem, settings.threads, list(work.peers))
    return entry


def measure_probe(probe: Probe, settings: Settings) -> dict[str, Any]:
    """The figures of a probe, ready for JSON."""
    values = probe.measure(settings.quick)
    return {"name": probe.name, "unit": probe.unit, "target": probe.target, "values": values}


def machine() -> dict[str, Any]:
    """Where the figures come from: processor, its load at the start, versions, date."""
    packages = ["torch", "numpy", "scipy", "kymatio"]
    versions = {"python": platform.python_version(), "scatcuda": scatcuda.__version__}
    for package in packages:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "instruction_set": scatcuda.cpu_isa(),
        "system": f"{platform.system()} {platform.machine()}",
        "versions": versions,
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    }


def _processor() -> str:
    """The processor's name as Linux tells it, elsewhere as Python knows it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


# ---------------------------------------------------------------- printing


def tables(report: dict[str, Any]) -> str:
    """The report as text: transforms, operators, and the rest."""
    cases = report["cases"]
    parts = []
    for kind, title in [("transform", "Order-2 scattering"), ("operator", "Operators")]:
        entries = [entry for entry in cases if entry["kind"] == kind]
        if entries:
            threads = f"threads: {report['threads']}"
            parts.append(f"{title}: µs an image, {threads}, float32\n\n{_timed_table(entries)}")
    others = [_case_row(entry) for entry in cases if entry["kind"] in ("construction", "threads")]
    others += [_probe_row(entry) for entry in report["probes"]]
    if others:
        headers = ["", "unit", *COLUMNS.values(), "ratio", "wanted", ""]
        parts.append(f"Other measurements\n\n{_tabulate(others, headers)}")
    return "\n\n".join([*parts, *report["notes"]])


def _timed_table(entries: list[dict[str, Any]]) -> str:
    """One line a case; columns of which every cell is empty are left out."""
    headers = ["case", *COLUMNS.values()]
    headers += ["Kymatio\n÷ ours", "twin\n÷ ours", "wanted", ""]
    headers += [f"error\n{name}" for name in COLUMNS.values()]
    headers += [f"MB\n{name}" for name in COLUMNS.values()]
    rows = []
    for entry in entries:
        peers = entry["peers"]
        row = [entry["name"]]
        row += [_number(peers.get(name, {}).get("microseconds_per_image")) for name in COLUMNS]
        row += [_number(entry["ratios"].get(name)) for name in ("kymatio", "twin")]
        row += _verdict(entry["ratios"].get(entry["rival"]), entry["target"], least=True)
        row += [_scientific(peers.get(name, {}).get("relative_error")) for name in COLUMNS]
        row += [_number(entry.get("memory_mb", {}).get(name)) for name in COLUMNS]
        rows.append(row)
    used = [i for i in range(len(headers)) if any(row[i] for row in rows)]
    return _tabulate([[row[i] for i in used] for row in rows], [headers[i] for i in used])


def _case_row(entry: dict[str, Any]) -> list[str]:
    """A case that is not counted in images: milliseconds a run."""
    peers, ratio = entry["peers"], entry["ratios"].get(entry["rival"])
    row = [entry["name"], "ms"]
    row += [_number(1e3 * peers[name]["seconds"] if name in peers else None) for name in COLUMNS]
    return [*row, _number(ratio), *_verdict(ratio, entry["target"], least=True)]


def _probe_row(entry: dict[str, Any]) -> list[str]:
    row = [entry["name"], entry["unit"]]
    row += [_number(entry["values"].get(name)) for name in COLUMNS]
    return [*row, "", *_verdict(entry["values"].get(OURS), entry["target"], least=False)]


def _verdict(value: float | None, target: float | None, least: bool) -> list[str]:
    """The wanted value and whether it was reached, as two cells."""
    if target is None:
        return ["", ""]
    wanted = f"{'≥' if least else '≤'} {target:g}"
    if value is None:
        return [wanted, ""]
    return [wanted, "met" if (value >= target if least else value <= target) else "missed"]


def _number(value: float | None) -> str:
    """Three significant digits at least, without an exponent."""
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:#.3g}".rstrip(".")


def _scientific(value: float | None) -> str:
    return "" if value is None else f"{value:.1e}"


def _tabulate(rows: list[list[str]], headers: list[str]) -> str:
    alignment = ["left", *["right"] * (len(headers) - 1)]
    return tabulate(rows, headers, colalign=alignment, disable_numparse=True)


# ---------------------------------------------------------------- writing


def slug(report: dict[str, Any]) -> str:
    """File name of a report. One that is not complete never takes the place of one that is."""
    parts = ["cpu", report["machine"]["instruction_set"]]
    if report["threads"] != 1:
        parts.append(f"threads{report['threads']}")
    return "-".join(parts if report["complete"] else [*parts, "partial"])


def write(report: dict[str, Any], directory: Path) -> list[Path]:
    """Write `<slug>.json` and, when there are ratios to show, `<slug>.png` into `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    text = json.dumps(report, indent=1, allow_nan=False) + "\n"
    paths = [directory / f"{slug(report)}.json"]
    _replace(paths[0], lambda path: path.write_text(text, encoding="utf-8"))
    if plot.bars(report):
        paths.append(directory / f"{slug(report)}.png")
        _replace(paths[1], lambda path: plot.draw(report, path))
    return paths


def _replace(path: Path, writer: Callable[[Path], object]) -> None:
    """Write under another name and rename, so that `path` never holds half a file."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        writer(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


# ---------------------------------------------------------------- command line


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of `python -m benchmarks`; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--quick", action="store_true", help="fewer rounds, no slow cases")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="default: 1")
    parser.add_argument("--cases", default="", metavar="SUBSTRING", help="only matching cases")
    parser.add_argument("--output", type=Path, default=RESULTS, metavar="DIR", help="for the files")
    options = parser.parse_args(arguments)
    if options.threads < 1:
        parser.error(f"--threads: expected 1 or more, got {options.threads}")
    cases = [case for case in registry.CASES if options.cases in case.name]
    probes = [probe for probe in registry.PROBES if options.cases in probe.name]
    if not cases and not probes:
        entries: list[Case | Probe] = [*registry.CASES, *registry.PROBES]
        known = "\n  ".join(entry.name for entry in entries)
        parser.error(f"--cases: {options.cases!r} is part of no name; the names are\n  {known}")

    report = collect(cases, probes, Settings(options.threads, options.quick))
    report["complete"] = not options.quick and not options.cases
    print(f"\n{_headline(report['machine'])}\n\n{tables(report)}\n")
    for path in write(report, options.output):
        print(f"written: {path}")
    return 0


def collect(cases: Sequence[Case], probes: Sequence[Probe], settings: Settings) -> dict[str, Any]:
    """Measure cases and probes; says on standard error what it is at."""
    here = machine()
    notes = [
        "Ratios are times: a peer's divided by ours. Errors are relative, against the twin in "
        f"float64. Medians of {settings.rounds} rounds, peers in turn."
    ]
    if here["load"] > 0.5:
        notes.append(
            f"Load average {here['load']:.1f} at the start: other programs may have disturbed "
            "the figures, most of all those that need every core."
        )
    if missing := registry.kymatio_missing():
        notes.append(missing)
    if settings.quick and (slow := [case.name for case in cases if case.slow]):
        cases = [case for case in cases if not case.slow]
        notes.append(f"--quick left out: {', '.join(slow)}.")

    def announced(entry: Case | Probe) -> Any:
        print(f"measuring {entry.name}", file=sys.stderr, flush=True)
        return entry

    return {
        "machine": here,
        "threads": settings.threads,
        "rounds": settings.rounds,
        "cases": [measure(announced(case), settings) for case in cases],
        "probes": [measure_probe(announced(probe), settings) for probe in probes],
        "notes": notes,
    }


def _headline(machine: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    cores, instructions = machine["cores"], machine["instruction_set"]
    return f"{machine['processor']}, {cores} cores, {instructions}\n{versions}"
