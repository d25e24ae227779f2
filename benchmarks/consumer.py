"""The transform called from a C++ program, against the call in Python.

    python -m benchmarks.consumer [--quick] [--output DIR]

Compiles consumer.cpp against the package's headers and library, sees that it gives Python's bits,
and times both in turn: a round is one turn of each, its ratio C++ divided by Python, the figure the
median ratio of the rounds. The program is started afresh several times: where its memory happens to
lie is worth a percent or two. Then the programs of PIPELINES.md are configured and built, each with
all cores. Writes `consumer.json`, with --quick `consumer-partial.json`.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

import scatcuda
from scatcuda.files import replaced

from .registry import Peer, Problem
from .report import RESULTS, machine
from .timing import cpu_timer, interleave

PROBLEM = Problem(J=2, shape=(32, 32), batch=96)
THREADS = (1, 2)
TARGET = 1.02  # C++ / Python, at most
PROGRAMS = ("c", "cpp", "stream", "libtorch")
BUILD_TARGET = 60.0  # seconds of configure and build, at most
SOURCE = Path(__file__).with_suffix(".cpp")


class Program:
    """The C++ program with a problem of its own, waiting to be told how often to run it."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process

    def __call__(self) -> None:
        self.seconds(1)

    def seconds(self, repeats: int) -> float:
        """Of one run."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(b"%d\n" % repeats)
        return float(self.process.stdout.readline())


def compile_program(folder: Path) -> Path:
    """Compiles consumer.cpp."""
    program, library = folder / "consumer", Path(scatcuda.cmake_prefix_path, "lib")
    command = [*shlex.split(os.environ.get("CXX", "c++")), "-std=c++17", "-O2", "-pthread"]
    command += [f"-I{scatcuda.get_include()}", str(SOURCE), "-o", str(program)]
    command += [f"-L{library}", "-lscatcuda", f"-Wl,-rpath,{library}"]
    subprocess.run(command, check=True)
    return program


@contextmanager
def started(program: Path, folder: Path, problem: Problem, threads: int) -> Iterator[Program]:
    """The program with the problem's images.

    Raises:
        RuntimeError: it ended, or its coefficients are not the bits of Python's.
    """
    scattering, x = scatcuda.Scattering2D(problem.J, problem.shape, problem.L), problem.images()
    plan, images, found = (folder / name for name in ("plan.scat", "images", "coefficients"))
    scattering.save_plan(plan)
    x.numpy().tofile(images)
    command = [str(part) for part in (program, plan, images, problem.batch, threads, found)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, bufsize=0, stdin=pipe, stdout=pipe) as process:
        ready = Program(process)
        try:
            ready()
        except (ValueError, BrokenPipeError):
            raise RuntimeError("consumer.cpp ended; standard error says why") from None
        expected = scattering(x)
        S = torch.from_file(str(found), size=expected.numel(), dtype=x.dtype)
        if not torch.equal(S, expected.flatten()):
            raise RuntimeError("consumer.cpp: expected the bits of the Python call, got others")
        yield ready


def timer(run: Callable[[], Any], repeats: int) -> float:
    """Seconds of one run, each turn after one that is not timed: the other's threads go to rest."""
    if isinstance(run, Program):
        return run.seconds(repeats)
    run()
    return cpu_timer(run, repeats)


def measure(
    program: Path, problem: Problem, threads: int, starts: int, rounds: int, seconds: float
) -> dict[str, Any]:
    """The figures of a number of threads: `rounds` turns of each after each of the program's
    `starts`, which last `seconds` together."""
    torch.set_num_threads(threads)
    scattering, x = scatcuda.Scattering2D(problem.J, problem.shape, problem.L), problem.images()
    times: dict[str, list[float]] = {"C++": [], "Python": []}
    for _ in range(starts):
        with tempfile.TemporaryDirectory() as name:
            with started(program, Path(name), problem, threads) as ready:
                peers = {"C++": Peer(ready), "Python": Peer(lambda: scattering(x))}
                for peer, found in interleave(peers, timer, rounds, seconds, threads).items():
                    times[peer] += found
    ratios = [a / b for a, b in zip(times["C++"], times["Python"], strict=True)]
    return {
        "threads": threads,
        "seconds": {name: statistics.median(each) for name, each in times.items()},
        "rounds": times,
        "ratio": statistics.median(ratios),
        "target": TARGET,
    }


def build(name: str) -> float:
    """Seconds in which CMake configures and builds a program of tests/consumer."""
    source = Path(__file__).parents[1] / "tests/consumer" / name
    prefix = f"{scatcuda.cmake_prefix_path};{torch.utils.cmake_prefix_path}"
    with tempfile.TemporaryDirectory() as folder:
        configure = ["cmake", "-S", str(source), "-B", folder, f"-DCMAKE_PREFIX_PATH={prefix}"]
        start = time.perf_counter()
        for command in (configure, ["cmake", "--build", folder, "--parallel"]):
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - start


def table(report: dict[str, Any]) -> str:
    """The report as text."""
    here, problem = report["machine"], Problem(**report["problem"])
    lines = [f"{here['processor']}, {here['instruction_set']}, load average {here['load']:.1f}"]
    lines += [f"{problem}, float32", ""]
    lines.append(f"{'threads':>7} {'C++ ms':>8} {'Python ms':>10} {'ratio':>7} {'wanted':>8}")
    for entry in report["cases"]:
        cpp, python = (1e3 * entry["seconds"][name] for name in ("C++", "Python"))
        met = "met" if entry["ratio"] <= entry["target"] else "missed"
        lines.append(
            f"{entry['threads']:>7} {cpp:>8.3f} {python:>10.3f} {entry['ratio']:>7.3f} "
            f"{'≤ ' + format(entry['target'], '.2f'):>8} {met}"
        )
    if builds := report.get("builds"):
        lines += ["", f"configure + build, {here['cores']} cores, wanted ≤ {BUILD_TARGET:.0f} s"]
        lines += [f"{name:>8} {seconds:6.1f} s" for name, seconds in builds.items()]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of `python -m benchmarks.consumer`; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.consumer", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    parser.add_argument("--output", type=Path, default=RESULTS, metavar="DIR", help="for the file")
    options = parser.parse_args(arguments)
    here = machine()
    effort: dict[str, Any] = {"starts": 1, "rounds": 3, "seconds": 0.1}
    if not options.quick:
        effort = {"starts": 9, "rounds": 9, "seconds": 1.5}
    with tempfile.TemporaryDirectory() as name:
        program = compile_program(Path(name))
        cases = [measure(program, PROBLEM, threads, **effort) for threads in THREADS]
    builds = {} if options.quick else {name: build(name) for name in PROGRAMS}
    report = {"machine": here, "problem": vars(PROBLEM), "cases": cases, "builds": builds}
    options.output.mkdir(parents=True, exist_ok=True)
    path = options.output / f"consumer{'-partial' if options.quick else ''}.json"
    with replaced(path) as temporary:
        temporary.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(f"{table(report)}\n\nwritten: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
