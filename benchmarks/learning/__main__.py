"""Run the experiments, each in a process of its own, and write what came out.

    python -m benchmarks.learning [NAME ...] [--data-dir DIR] [--results DIR] [--list]

A name is that of a .toml file in this folder, of an experiment in `signals` or `images`,
`separation`, `stability`, `linearity`, `generated` or `killed`. Every result
is kept as JSON; README.md in this folder is written anew from all results that are there.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import importlib.metadata
import json
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

import scatcuda
from scatcuda.files import write_text
from scatcuda.learn.experiments.experiment import dataset_of, network_of
from scatcuda.learn.experiments.options import NETWORKS, Options, read_config, read_expected

from . import images, killed, page, signals

HERE = Path(__file__).parent
RESULTS = HERE.parent / "results" / "learning"
PLOTTED = "separation", "stability", "linearity", "generated"


def names() -> list[str]:
    """The experiments there are."""
    others = *signals.EXPERIMENTS, *images.EXPERIMENTS, *PLOTTED, "killed"
    return [*sorted(path.stem for path in HERE.glob("*.toml")), *others]


def main(argv: Sequence[str] | None = None) -> int:
    """Run what is named, all by default; 1 if an expectation is not met."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.learning", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all of them")
    parser.add_argument("--data-dir", metavar="DIR", help="data sets, as scatcuda train takes it")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="DIR")
    parser.add_argument("--list", action="store_true", help="name the experiments")
    args = parser.parse_args(argv)
    if unknown := set(args.names) - set(names()):
        parser.error(f"no such experiment: {', '.join(sorted(unknown))}; see --list")
    if args.list:
        print(*names(), sep="\n")
        return 0
    args.results.mkdir(parents=True, exist_ok=True)
    met = True
    for name in args.names or names():
        print(f"== {name}", flush=True)
        start = time.perf_counter()
        if name == "killed":
            found = killed.measure()
        elif name in signals.EXPERIMENTS:
            found = signals.measure(name, args.data_dir)
        elif name in images.EXPERIMENTS:
            found = {"kind": "images", **images.EXPERIMENTS[name](args.data_dir)}
            for what, words in found["lines"]:
                print(f"   {what:<58} {words}", flush=True)
        elif name in PLOTTED:
            found = _plotted(name, args.data_dir, args.results)
        else:
            found = _trained(name, args.data_dir)
        found |= {"name": name, "wall_seconds": round(time.perf_counter() - start, 1), **_here()}
        write_text(args.results / f"{name}.json", json.dumps(found, indent=1) + "\n")
        for line in found.get("verdicts", []):
            print(f"   {line['text']}", flush=True)
            met = met and line["met"]
    write_text(HERE / "README.md", page.text(args.results))
    return 0 if met else 1


def _trained(name: str, data_dir: str | None) -> dict[str, Any]:
    """`scatcuda train --config name.toml`, timed from the shell's point of view."""
    config = HERE / f"{name}.toml"
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder, "run")
        command = [sys.executable, "-m", "scatcuda", "train", "--config", str(config)]
        command += ["--run", str(run)] + (["--data-dir", data_dir] if data_dir else [])
        start = time.perf_counter()
        done = subprocess.run(command, cwd=HERE.parents[1])
        seconds = time.perf_counter() - start
        if not (run / "results.json").exists():  # it fails too where its expectation is not met
            done.check_returncode()
        rows = json.loads((run / "results.json").read_text())
    expected = read_expected(config)
    options = Options(**read_config(config))
    return {
        "kind": "accuracy", "title": _title(config), "options": vars(options),
        "rows": rows, "command_seconds": round(seconds, 1),
        "parameters": _parameters(options, data_dir),
        "verdicts": [verdict(key, least, rows, seconds) for key, least in expected.items()],
    }  # fmt: skip


def _parameters(options: Options, data_dir: str | None) -> int | None:
    """Numbers that a network learns; None of what is no network."""
    if options.model not in NETWORKS:
        return None
    dataset = dataset_of(dataclasses.replace(options, data_dir=data_dir or ""), 0)
    network = network_of(options, dataset.train_x, len(dataset.classes))
    return sum(weight.numel() for weight in network.parameters() if weight.requires_grad)


def verdict(key: str, bound: float, rows: list[dict[str, Any]], seconds: float) -> dict[str, Any]:
    """Whether one line of `[expect]` is met: `seconds` at most, or an n's accuracy at least."""
    if key == "seconds":
        met, text = seconds <= bound, f"{seconds:.1f} s, at most {bound:g}"
    else:
        found = next(row["accuracy"] for row in rows if str(row["n"]) == key)
        # What is expected is rounded as it is printed.
        met = round(100 * found, 2) >= bound
        text = f"n = {key}: {found:.2%}, at least {bound:g} %"
    return {"met": met, "text": f"{text}: {'met' if met else 'MISSED'}"}


def _title(config: Path) -> str:
    """The comment at the head of a file."""
    return config.read_text().splitlines()[0].lstrip("# ")


def _plotted(name: str, data_dir: str | None, results: Path) -> dict[str, Any]:
    """`python -m benchmarks.learning.NAME`: a table and a picture."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", f"benchmarks.learning.{name}", "--output", folder]
        command += ["--data-dir", data_dir] if data_dir else []
        subprocess.run(command, check=True, cwd=HERE.parents[1])
        for picture in Path(folder).glob("*.png"):
            shutil.copy(picture, results / picture.name)
        return json.loads(Path(folder, f"{name}.json").read_text())


def _here() -> dict[str, Any]:
    versions = {
        name: importlib.metadata.version(name) for name in ("torch", "numpy", "scikit-learn")
    }
    return {
        "date": datetime.date.today().isoformat(), "threads": torch.get_num_threads(),
        "engine": scatcuda.cpu_isa(), "machine": platform.machine(), "versions": versions,
    }  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
