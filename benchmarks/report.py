"""The report: measures the registry's cases, prints tables, writes JSON and a figure.

    python -m benchmarks [--device cpu|cuda] [--quick] [--threads N] [--cases SUBSTRING]
                         [--limit SECONDS] [--output DIR]

A ratio is the time of a peer divided by ours, so more than 1 means that scatcuda is faster. An
error is ||y - s|| / ||s||, s the float64 result of the plain-PyTorch twin.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import importlib.metadata
import json
import math
import os
import platform
import re
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import scatcuda
from scatcuda.cli.options import integer

from . import gpu, registry, tables
from .registry import OURS, STAND_IN, Case, Peer, Probe, Work
from .timing import interleave, timer_for

RESULTS = Path(__file__).parent / "results"
PACKAGES = ["torch", "numpy", "scipy", "kymatio", "triton", "nvidia-cufft", "nvidia-cufft-cu12"]


@dataclass(frozen=True)
class Settings:
    """How carefully to measure: `rounds` turns of each peer that last `seconds` together; no case
    is begun after `limit` seconds."""

    threads: int = 1
    quick: bool = False
    limit: float = math.inf

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
    peers, errors, left_out = first_runs(work, settings)
    timer = timer_for(case.device)
    times = interleave(peers, timer, settings.rounds, settings.seconds, threads=settings.threads)
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
        "most": case.most,
        "rival": STAND_IN if STAND_IN in peers else case.rival,
        "peers": {name: figures(name, peer) for name, peer in peers.items()},
        "ratios": {name: median[name] / median[OURS] for name in median if name != OURS},
        "left_out": left_out,
    }
    if case.device == "cuda":
        entry |= on_gpu(case, peers)
    elif case.kind == "transform" and not settings.quick:
        entry["memory_mb"] = registry.memory(case.problem, settings.threads, list(peers))
    return entry


def on_gpu(case: Case, peers: dict[str, Peer]) -> dict[str, Any]:
    """What else there is to tell of a case on a GPU."""
    found: dict[str, Any] = {
        "memory_mb": {name: gpu.memory(peer.run) for name, peer in peers.items()}
    }
    if case.kind == "transform":
        found["launch"] = gpu.launch(case.problem)
    if case.most:
        try:
            found["kernels"] = gpu.kernels(peers[OURS].run)
        except RuntimeError as error:  # not every machine lets a profiler count
            found["unprofiled"] = first_line(error)
    return found


def first_runs(
    work: Work, settings: Settings
) -> tuple[dict[str, Peer], dict[str, float], dict[str, str]]:
    """The peers that run, their errors, and why the others do not: a device may be too small for a
    peer, a compiler give up on it. Ours has no excuse."""
    exact, errors, left_out = work.exact(), {}, {}
    for name, peer in work.peers.items():
        if settings.quick and peer.slow:
            continue
        try:
            found = relative_error(work.values(peer.run()), exact)
            if not math.isfinite(found):
                raise ArithmeticError(f"its relative error is {found}")
            errors[name] = found
        except Exception as error:
            if name == OURS:
                raise
            left_out[name] = first_line(error)
    return {name: work.peers[name] for name in errors}, errors, left_out


def first_line(error: Exception) -> str:
    """An exception in at most 200 characters."""
    return f"{type(error).__name__}: {error}".splitlines()[0][:200]


def measure_probe(probe: Probe, settings: Settings) -> dict[str, Any]:
    """The figures of a probe, ready for JSON."""
    values = probe.measure(settings.quick)
    return {"name": probe.name, "unit": probe.unit, "target": probe.target, "values": values}


def machine(device: str = "cpu") -> dict[str, Any]:
    """Where the figures come from: processor, its load at the start, versions, date."""
    versions = {"python": platform.python_version(), "scatcuda": scatcuda.__version__}
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    here = {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "instruction_set": scatcuda.cpu_isa(),
        "system": f"{platform.system()} {platform.machine()}",
        "versions": versions,
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    }
    return here | {"host": here["processor"], **gpu.describe()} if device == "cuda" else here


def _processor() -> str:
    """The processor's name as Linux tells it, elsewhere as Python knows it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


# ---------------------------------------------------------------- writing


def slug(report: dict[str, Any]) -> str:
    """File name of a report. One that is not complete never takes the place of one that is."""
    if report["device"] == "cuda":
        name = re.sub(r"[^a-z0-9]+", "-", report["machine"]["processor"].lower()).strip("-")
        parts = [name.removeprefix("nvidia-")]
    else:
        parts = ["cpu", report["machine"]["instruction_set"]]
        if report["threads"] != 1:
            parts.append(f"threads{report['threads']}")
    return "-".join(parts if report["complete"] else [*parts, "partial"])


def write_json(report: dict[str, Any], directory: Path) -> Path:
    """Write `<slug>.json` into `directory`, whole or not at all."""
    directory.mkdir(parents=True, exist_ok=True)
    text = json.dumps(report, indent=1, allow_nan=False) + "\n"
    path = directory / f"{slug(report)}.json"
    _replace(path, lambda path: path.write_text(text, encoding="utf-8"))
    return path


def write(report: dict[str, Any], directory: Path) -> list[Path]:
    """Write `<slug>.json` and, when there are ratios to show, `<slug>.png` into `directory`; what
    was written before the report was complete goes."""
    paths = [write_json(report, directory)]
    if report["complete"]:
        (directory / f"{slug(report | {'complete': False})}.json").unlink(missing_ok=True)
    try:
        from . import plot
    except ImportError as error:
        print(f"No figure is drawn: {error}.")
        return paths
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
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="default: cpu")
    parser.add_argument("--quick", action="store_true", help="fewer rounds, no slow cases")
    parser.add_argument(
        "--threads", type=integer(1, 1024), default=1, metavar="N", help="default: 1"
    )
    parser.add_argument("--cases", default="", metavar="SUBSTRING", help="only matching cases")
    parser.add_argument(
        "--limit", type=float, default=math.inf, metavar="SECONDS", help="begin no case after this"
    )
    parser.add_argument(
        "--output", type=Path, default=RESULTS, metavar="DIR",
        help="for the files; what is known is written there after every case",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    try:  # before anything is measured
        options.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(f"--output {options.output}: {error.strerror or error}")
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device: PyTorch finds no NVIDIA GPU here")
    cases = [case for case in registry.CASES if case.device == options.device]
    entries: list[Case | Probe] = [*cases, *(registry.PROBES if options.device == "cpu" else [])]
    chosen = [entry for entry in entries if options.cases in entry.name]
    if not chosen:
        known = "\n  ".join(entry.name for entry in entries)
        parser.error(f"--cases: {options.cases!r} is part of no name; the names are\n  {known}")

    settings = Settings(options.threads, options.quick, options.limit)
    every = chosen == entries and not options.quick

    def keep(report: dict[str, Any]) -> Path:
        return write_json(report, options.output)

    report = collect(chosen, options.device, settings, every, keep)
    paths = write(report, options.output)
    print(f"\n{_headline(report['machine'])}\n\n{tables.text(report)}\n")
    for path in paths:
        print(f"written: {path}")
    return 1 if report["failed"] or not (report["cases"] or report["probes"]) else 0


def collect(
    entries: Sequence[Case | Probe],
    device: str,
    settings: Settings,
    every: bool = True,
    keep: Callable[[dict[str, Any]], object] = lambda report: None,
) -> dict[str, Any]:
    """Measure cases and probes; says on standard error what it is at.

    Args:
        every: whether the entries are all that there are, so that the report may be complete.
        keep: given the report so far after each of them, for whoever stops the rest.
    """
    start = time.monotonic()
    ceilings = gpu.ceilings(device, settings.quick) if device == "cuda" else {}
    here = machine(device)  # after the ceilings: a GPU's clocks are those under load
    cases, probes, failed, notes = [], [], [], _preamble(here, settings)
    report = {
        "machine": here,
        "device": device,
        "threads": settings.threads,
        "rounds": settings.rounds,
        "ceilings": ceilings,
        "cases": cases,
        "probes": probes,
        "failed": failed,
        "complete": False,
        "notes": notes,
    }
    quickly = [e for e in entries if not (settings.quick and isinstance(e, Case) and e.slow)]
    if slow := [entry.name for entry in entries if entry not in quickly]:
        notes.append(f"--quick left out: {', '.join(slow)}.")
    for i, entry in enumerate(quickly):
        keep(report)
        if time.monotonic() - start > settings.limit:
            late = ", ".join(left.name for left in quickly[i:])
            notes.append(f"--limit left out: {late}.")
            break
        print(f"measuring {entry.name}", file=sys.stderr, flush=True)
        if isinstance(entry, Probe):
            probes.append(measure_probe(entry, settings))
            continue
        try:
            found = measure(entry, settings)
        except Exception as error:  # the other cases are still worth knowing
            failed.append(entry.name)
            notes.append(f"{entry.name} failed: {first_line(error)}.")
            continue
        if ceilings and entry.kind == "transform":
            seconds = found["peers"][OURS]["seconds"]
            found["floors"] = gpu.shares(entry.problem, seconds, ceilings)
        notes += [
            f"{entry.name}: {name} left out: {why}." for name, why in found["left_out"].items()
        ]
        if "unprofiled" in found:
            notes.append(f"{entry.name}: not profiled: {found['unprofiled']}.")
        cases.append(found)
    report["complete"] = every and len(cases) + len(probes) == len(entries)
    return report


def _preamble(machine: dict[str, Any], settings: Settings) -> list[str]:
    """The notes that can be written before anything is measured."""
    notes = [
        "Ratios are times: a peer's divided by ours. Errors are relative, against the twin in "
        f"float64. Medians of {settings.rounds} rounds, peers in turn."
    ]
    if machine["load"] > 0.5:
        notes.append(
            f"Load average {machine['load']:.1f} at the start: other programs may have disturbed "
            "the figures, most of all those that need every core."
        )
    if missing := registry.kymatio_missing():
        notes.append(missing)
    return notes


def _headline(machine: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    cores, instructions = machine["cores"], machine["instruction_set"]
    return f"{machine['processor']}, {cores} cores, {instructions}\n{versions}"
