"""Two builds of scatcuda against each other: is a change slower?

    python -m benchmarks.builds BEFORE AFTER [--pairs 21] [--only PATTERN] [--json FILE]

BEFORE and AFTER are folders that hold a built package `scatcuda`: two checkouts after `python
setup.py build_ext --inplace`, say. Every case of the registry that runs on a CPU is timed in
processes of each build in turn, and once more in one of BEFORE, the control. A pair gives the ratio
of the two times; the figure is the median of the pairs: 1 as fast, below 1 slower. Where the
control, two copies of one build, is further than 0.01 from 1, there are more pairs, up to --most.
Processes start anew every third pair, since where a process happens to have its
memory decides some per cent.

Exit status 1: a case is below --least (0.98).
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
WORKER = """
import sys
sys.path[:1] = [sys.argv[1], sys.argv[2]]
import benchmarks.registry
benchmarks.__path__ = [sys.argv[2] + "/benchmarks"]
from benchmarks import builds
builds.work()
"""
A_PROCESS = 3  # pairs in one
SECONDS = 0.06  # a run is repeated for


class Worker:
    """A process with one build, which times on demand."""

    def __init__(self, build: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", WORKER, build, ROOT],
            cwd=build,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, *question: Any) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit(f"benchmarks.builds: the process of {self.process.args[3]} has ended")
        return json.loads(answer)

    def end(self) -> None:
        self.process.communicate()


def work() -> None:
    """What a worker does: answers ``[case, repeats]`` with the seconds of a run, and 0 repeats with
    how often it can be run in the time that it is given, None where there is no such case."""
    import scatcuda

    from . import registry, timing

    build = Path(sys.argv[1]).resolve()
    if build not in Path(scatcuda.__file__).resolve().parents:
        raise SystemExit(f"benchmarks.builds: {build} has no package scatcuda that is built")
    registry.implementations = lambda device="cpu": [registry.OURS]  # the peers are not wanted
    cases = {case.name: case for case in registry.CASES}
    answers, sys.stdout = sys.stdout, sys.stderr
    ready: dict[str, registry.Peer] = {}
    with timing._quiet(1):
        for line in sys.stdin:
            name, repeats = json.loads(line)
            if name not in cases:
                print("null", file=answers, flush=True)
                continue
            if name not in ready:
                ready[name] = cases[name].start().peers[registry.OURS]
            run = timing._ready(ready[name], 1)
            if repeats == 0:
                found: Any = timing._repeats(run, timing.cpu_timer, SECONDS)
            else:
                run()
                found = timing.cpu_timer(run, repeats)
            print(json.dumps(found), file=answers, flush=True)


def compare(
    before: Path, after: Path, names: Sequence[str], pairs: int, most: int
) -> dict[str, Any]:
    """The ratios of every case, ``{name: {"after": [...], "control": [...]}}``."""
    ratios: dict[str, Any] = {name: {"after": [], "control": []} for name in names}
    builds = {"before": before, "after": after, "control": before}
    repeats: dict[str, int] = defaultdict(int)
    wanted = list(names)
    turn = 0
    while wanted:
        workers = {role: Worker(build) for role, build in builds.items()}
        for name in wanted:
            counts = {role: worker.ask(name, 0) for role, worker in workers.items()}
            if None in counts.values():
                print(f"{name}: not a case of both builds, left out", file=sys.stderr)
                ratios.pop(name)
                continue
            repeats[name] = repeats[name] or counts["before"]
            for _ in range(A_PROCESS):
                turn += 1  # who begins takes turns
                roles = list(workers)[turn % 3 :] + list(workers)[: turn % 3]
                times = {role: workers[role].ask(name, repeats[name]) for role in roles}
                for role in ("after", "control"):
                    ratios[name][role].append(times["before"] / times[role])
        for worker in workers.values():
            worker.end()
        wanted = [name for name, found in ratios.items() if not _enough(found, pairs, most)]
        print(f"{turn} turns, {len(wanted)} cases go on", file=sys.stderr, flush=True)
    return ratios


def _enough(found: dict[str, list[float]], pairs: int, most: int) -> bool:
    count = len(found["after"])
    steady = abs(statistics.median(found["control"]) - 1) <= 0.01
    return count >= (pairs if steady else most)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.builds", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    from scatcuda.cli.options import integer

    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--pairs", type=integer(1), default=21, help="of every case, at least")
    parser.add_argument(
        "--most", type=integer(1), default=63, help="pairs where the control is unsteady"
    )
    parser.add_argument("--only", default="", help="the cases whose names have this regex")
    parser.add_argument("--least", type=float, default=0.98, help="ratio that must be reached")
    parser.add_argument("--json", type=Path, help="a file for all ratios")
    options = parser.parse_args(arguments)
    if options.pairs < 1:
        parser.error(f"--pairs must be at least 1; got {options.pairs}")
    for folder in (options.before, options.after):
        if not (folder / "scatcuda/__init__.py").exists():
            parser.error(f"{folder} holds no package scatcuda")
    from .registry import CASES

    try:
        wanted = re.compile(options.only)
    except re.error as error:
        parser.error(f"--only {options.only!r}: no regular expression ({error})")
    names = [c.name for c in CASES if c.device == "cpu" and wanted.search(c.name)]
    if not names:
        parser.error(f"--only {options.only!r}: no case has such a name")
    ratios = compare(
        options.before.resolve(), options.after.resolve(), names, options.pairs, options.most
    )
    if not ratios:
        parser.error(f"--only {options.only!r}: both builds have no such case")
    slow = 0
    print(f"{'before ÷ after':>14} {'quartiles':>15} {'control':>8} {'pairs':>6}  case")
    for name, found in ratios.items():
        middle = statistics.median(found["after"])
        low, _, high = statistics.quantiles(found["after"], n=4)
        control = statistics.median(found["control"])
        slow += middle < options.least
        mark = "  slower" if middle < options.least else ""
        print(
            f"{middle:14.3f} {low:7.3f} {high:7.3f} {control:8.3f} {len(found['after']):6}  "
            f"{name}{mark}"
        )
    if options.json:
        options.json.write_text(json.dumps(ratios, indent=1) + "\n")
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
