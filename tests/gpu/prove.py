"""`make gpu`: what only an NVIDIA GPU can prove, with the Python and PyTorch that are there.

    python tests/gpu/prove.py [--only STEPS] [--tool TOOLS] [--quick] [--slow] [--dry-run]
                              [--results DIRECTORY] [-k EXPRESSION] [--cases SUBSTRING]

Builds in place for the GPU that is there, runs the tests of this folder, the benchmarks, and the
small tests once more under each tool of compute-sanitizer. Nothing is downloaded. Build, tests and
benchmarks take eight minutes at most, with --quick three, each tool four; --only runs some of the
steps. A step that fails does not stop the others, except the build; the exit status says whether
all passed.

What is known is in --results at once, for whoever is stopped: a log of each step and tool, the
tests' results after each of their processes, the benchmarks' after each case, and summary.json
after each step.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as xml
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
OLDEST = (2, 11)  # PyTorch
STEPS = ("build", "tests", "benchmarks", "sanitizer")
TOOLS = ("memcheck", "racecheck", "initcheck", "synccheck")
FIRST = ("test_gpu_runtime.py", "test_gpu_engine.py")  # whatever comes after is worth less
SHARED = ("test_scattering2d.py", "test_ops.py", "test_pytorch.py")  # those marked `everywhere`
FOUND = 77  # compute-sanitizer's exit status where it found something

# Of the first three steps each may take what those before it left; a tool has its own.
SECONDS = {"build": 100, "tests": 180, "benchmarks": 190}
QUICK = {"build": 70, "tests": 50, "benchmarks": 55}
TOOL_SECONDS = 230
GRACE = 10  # in which a step that is interrupted writes down what it knows
LAST_CASE = 15  # a benchmark case that begins later than this before the end will not end
LOG_BYTES = 8 << 20  # of a step: compute-sanitizer can say the same thing a million times
PROCESSES = 16  # of tests at most: each has its context on the GPU


def obstacle(dry: bool = False) -> str | None:
    """Why nothing can be proven here, in a sentence; in a dry run no GPU is missed."""
    wanted = f"make gpu needs PyTorch {OLDEST[0]}.{OLDEST[1]} or newer for CUDA"
    try:
        import torch
    except ImportError:
        return f"{wanted}; {sys.executable} has none. PYTHON=… names another Python."
    version = tuple(int(number) for number in re.findall(r"\d+", torch.__version__)[:2])
    if version < OLDEST:
        return f"{wanted}; {sys.executable} has {torch.__version__}. PYTHON=… names another Python."
    if not dry and not torch.cuda.is_available():
        return f"make gpu needs an NVIDIA GPU; PyTorch {torch.__version__} finds none here."
    for package, oldest in (("setuptools", 77), ("pytest", 7)):
        try:
            version = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            version = "0: there is none"
        if int(version.partition(".")[0].partition(":")[0]) < oldest:
            return f"make gpu needs {package} {oldest} or newer in {sys.executable}; got {version}."
    missing = [name for name in ("cmake", "ninja") if shutil.which(name, path=programs()) is None]
    if missing:
        return f"make gpu needs {' and '.join(missing)}: a package of {sys.executable} or on PATH."
    return None


def programs() -> str:
    """Where programs are: a Python outside of PATH brings its own."""
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])


# --- commands -----------------------------------------------------------------------------------

running: set[subprocess.Popen[str]] = set()


def stop(process: subprocess.Popen[str], how: signal.Signals = signal.SIGKILL) -> None:
    """The process and all that it started."""
    try:
        os.killpg(process.pid, how)
    except ProcessLookupError:
        pass


def call(
    command: Sequence[object],
    seconds: float,
    environment: dict[str, str],
    say: Callable[[str], None] = print,
) -> tuple[int | None, list[str]]:
    """Runs a command, whose lines are said as they come. Shortly before its time is up it is
    interrupted, then killed with all that it started: its status is None."""
    process = subprocess.Popen(
        [str(part) for part in command],
        cwd=ROOT,
        env={**os.environ, "PATH": programs(), "PYTHONUNBUFFERED": "1", **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    running.add(process)
    lines: list[str] = []

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line.rstrip("\n"))
            say(lines[-1])

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    grace = min(GRACE, seconds / 4)
    try:
        process.wait(max(0.0, seconds - grace))
        status: int | None = process.returncode
    except subprocess.TimeoutExpired:
        status = None
        stop(process, signal.SIGINT)
        try:
            process.wait(grace)
        except subprocess.TimeoutExpired:
            pass
        stop(process)
    except BaseException:
        stop(process)
        raise
    finally:
        running.discard(process)
    reader.join(5)
    return status, lines


def verdict(status: int | None) -> str:
    if status is None:
        return "FAILED: stopped, its time was up"
    return "passed" if status == 0 else f"FAILED with status {status}"


class Log:
    """What a step says, in a file as it comes: the first `LOG_BYTES` and, at its end, the last
    lines."""

    def __init__(self, path: Path, loud: bool = True) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a", encoding="utf-8")
        self._room, self._loud = LOG_BYTES, loud
        self._late: deque[str] = deque(maxlen=500)
        self._lock = threading.Lock()  # tests run in several processes

    def __call__(self, line: str) -> None:
        with self._lock:
            if self._loud:
                print(line, flush=True)
            self._room -= len(line.encode()) + 1
            if self._room < 0:
                self._late.append(line)
                return
            self._file.write(line + "\n")
            self._file.flush()

    def __enter__(self) -> Log:
        return self

    def __exit__(self, *error: object) -> None:
        if self._late:
            self._file.write("\n".join(["…", *self._late]) + "\n")
        self._file.close()


def write(path: Path, text: str) -> None:
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


# --- the steps so far ---------------------------------------------------------------------------


@dataclass
class Step:
    """What was done, how it ended, how long it took of what it had. Only `failed` counts."""

    name: str
    result: str
    seconds: float
    most: float
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def failed(self) -> bool:
        return not self.result.startswith(("passed", "skipped"))


@dataclass
class Proof:
    """What is to be done, what was, and where it is written down."""

    results: Path
    budget: dict[str, int] = field(default_factory=dict)  # of the first three steps, in their order
    dry: bool = False
    quick: bool = False
    slow: bool = False
    words: str = ""  # -k
    about: dict[str, Any] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    start: float = field(default_factory=time.monotonic)
    tool_start: float = 0.0

    def seconds_for(self, name: str) -> float:
        """What a step may take now: its share and what was left by the steps before it."""
        if self.dry:  # a small machine's time says nothing
            return 3600.0
        if name not in self.budget:
            return max(0.0, self.tool_start + TOOL_SECONDS - time.monotonic())
        names = list(self.budget)
        share = sum(self.budget[each] for each in names[: names.index(name) + 1])
        return max(0.0, self.start + share - time.monotonic())

    def log(self, name: str, loud: bool = True) -> Log:
        return Log(self.results / f"{name}.log", loud)

    def note(
        self, name: str, result: str, began: float | None = None, most: float = 0, **details: Any
    ) -> bool:
        """Writes a step down; whether it passed."""
        now = time.monotonic()
        step = Step(name, result, now - (now if began is None else began), most, details)
        self.steps.append(step)
        print(f"== {name}: {result}, {step.seconds:.1f} s", flush=True)
        self.write()
        return not step.failed

    def write(self, ended: bool = False) -> None:
        told = {
            **self.about,
            "ended": ended,
            "passed": ended and not any(step.failed for step in self.steps),
            "seconds": time.monotonic() - self.start,
            "steps": [asdict(step) for step in self.steps],
        }
        write(self.results / "summary.json", json.dumps(told, indent=1) + "\n")


def begin(name: str) -> float:
    print(f"\n== {name}", flush=True)
    return time.monotonic()


# --- build, tests, benchmarks -------------------------------------------------------------------


def build(proof: Proof) -> bool:
    began, most = begin("build"), proof.seconds_for("build")
    command = [sys.executable, "setup.py", "build_ext", "--inplace"]
    environment = {"SCATCUDA_CUDA": "1", "SCATCUDA_ARCHS": "native"}
    with proof.log("build") as log:
        if proof.dry:
            log(" ".join([*(f"{k}={v}" for k, v in environment.items()), *command]))
            return proof.note("build", "skipped: a dry run", began, most)
        status, _ = call(command, most, environment, log)
    return proof.note("build", verdict(status), began, most)


def unbuilt(dry: bool) -> str | None:
    """Why steps that need the build cannot run, in a sentence."""
    # PyTorch first: its libraries are the engine's
    program = "import torch, scatcuda._C as _C; print('CUDA', _C.cuda_architectures() or 'none')"
    status, lines = call([sys.executable, "-c", program], 120, {}, say=lambda line: None)
    if status != 0:
        why = f"scatcuda cannot be imported ({lines[-1] if lines else 'it takes too long'})"
    elif lines[-1] == "CUDA none" and not dry:
        why = "scatcuda was built without its CUDA engine"
    else:
        return None
    return f"{why}: it has to be built first, as in make gpu ONLY=build,tests"


def files() -> list[Path]:
    """The test files, those first whose failure would tell most."""
    first = [HERE / name for name in FIRST]
    shared = [HERE.parent / name for name in SHARED]
    return [*first, *sorted(set(HERE.glob("test_*.py")) - set(first)), *shared]


def tests(proof: Proof) -> bool:
    """First, in one process, what needs the GPU to itself; then all the others in several, each of
    which takes its share of every file."""
    began, most = begin("tests"), proof.seconds_for("tests")
    count = max(1, min(PROCESSES, len(os.sched_getaffinity(0))))
    folder = ROOT / "build" / "tests" / "gpu" / "junit"
    shutil.rmtree(folder, ignore_errors=True)
    statuses: list[int | None] = []

    def pytest(name: str, marks: str, share: str) -> int | None:
        marks += "" if proof.slow else " and not slow"
        command = [sys.executable, "-m", "pytest", *files(), "-v", "-rfE", "--tb=short"]
        command += ["-m", marks, "-p", "no:cacheprovider", "--durations=10"]
        command += [f"--junitxml={folder / name}.xml", *(["-k", proof.words] * bool(proof.words))]
        environment = {"SCATCUDA_TEST_DEVICE": "cpu" if proof.dry else "cuda"}
        environment["SCATCUDA_TEST_SHARE"] = share
        seconds = proof.seconds_for("tests")
        return call(command, seconds, environment, lambda line: log(f"{name:>5}| {line}"))[0]

    with proof.log("tests") as log, ThreadPoolExecutor(count) as pool:
        try:
            statuses.append(pytest("alone", "alone", "1/1"))
            told = junit(folder, proof.results / "tests.xml")
            shares = [f"{i + 1}/{count}" for i in range(count)]
            names = [share.replace("/", "of") for share in shares]
            work = [
                pool.submit(pytest, name, "not alone", share)
                for name, share in zip(names, shares, strict=True)
            ]
            for done in as_completed(work):
                statuses.append(done.result())
                told = junit(folder, proof.results / "tests.xml")
        except BaseException:
            for process in list(running):
                stop(process)
            raise
    # 5: there was no such test, as in a share of few
    bad = [status for status in statuses if status not in (0, 5)]
    result = verdict(bad[0]) if bad else "passed"
    if None in bad:
        result = verdict(None)
    if all(status == 5 for status in statuses):
        result = "FAILED: there is no such test"
    return proof.note("tests", result, began, most, processes=count, **told)


def junit(folder: Path, path: Path) -> dict[str, Any]:
    """One file of what pytest's processes have written so far, and what it comes to."""
    root = xml.Element("testsuites")
    for part in sorted(folder.glob("*.xml")):
        root.extend(xml.parse(part).getroot().iter("testsuite"))
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, xml.tostring(root, encoding="unicode"))
    cases = {f"{c.get('classname')}::{c.get('name')}": c for c in root.iter("testcase")}

    def those(*tags: str) -> list[str]:
        return [name for name, case in cases.items() if any(case.find(t) is not None for t in tags)]

    failed, skipped = those("failure", "error"), those("skipped")
    seconds = {name: float(case.get("time", 0)) for name, case in cases.items()}
    longest = sorted(seconds, key=seconds.__getitem__, reverse=True)[:20]
    return {
        "passed": len(cases) - len(failed) - len(skipped),
        "skipped": len(skipped),
        "failed": failed,
        "seconds_of_all": sum(seconds.values()),
        "longest": {name: seconds[name] for name in longest},
    }


def benchmarks(proof: Proof, results: Path | None, cases: str) -> bool:
    began, most = begin("benchmarks"), proof.seconds_for("benchmarks")
    # so much earlier than it would be stopped, that its last case ends
    limit = max(0.0, most - GRACE - LAST_CASE)
    device = "cpu" if proof.dry else "cuda"
    command = [sys.executable, "-m", "benchmarks", "--device", device, "--limit", f"{limit:.0f}"]
    command += ["--quick"] if proof.quick or proof.dry else []
    command += ["--cases", cases] if cases else []
    command += ["--output", str(results)] if results else []
    with proof.log("benchmarks") as log:
        status, _ = call(command, most, {}, log)
    return proof.note("benchmarks", verdict(status), began, most)


# --- compute-sanitizer --------------------------------------------------------------------------

# What a tool says of a kernel, where it was stopped before it could sum up
COMPLAINT = re.compile(r"=+ +(Invalid|Misaligned|Barrier error|(Error|Warning): (Race|Potential))")


def sanitizer() -> tuple[Path, Path] | None:
    """compute-sanitizer and nvcc, where both are there."""
    sys.path.insert(0, str(ROOT / "tests"))
    from native.kernels import toolkit

    home = toolkit()
    program = shutil.which("compute-sanitizer") or (home and home / "bin" / "compute-sanitizer")
    if home is None or program is None or not Path(program).exists():
        return None
    return Path(program), home / "bin" / "nvcc"


def checked(program: Path, tool: str, command: Sequence[object]) -> list[object]:
    """A command under a tool that looks at our kernels. initcheck has to see every kernel, to know
    what PyTorch's and cuFFT's have written; what it says of those is not ours, and must not be all
    that it says."""
    options = [program, "--tool", tool, "--report-api-errors", "no", "--show-backtrace", "device"]
    options += ["--print-limit", 0]
    if tool != "initcheck":
        options += ["--kernel-name", "kernel_substring=scatcuda", "--error-exitcode", FOUND]
    return [*options, *command]


def found(tool: str, status: int | None, lines: Sequence[str]) -> bool:
    """Whether the tool complained of a kernel of ours."""
    if tool == "initcheck":
        output = "\n".join(lines)
        return re.search(r"Uninitialized [^\n]*\n=+ +at [^\n]*scatcuda", output) is not None
    return status == FOUND or (status is None and any(map(COMPLAINT.match, lines)))


def small_tests(words: str = "") -> list[object]:
    tests = [sys.executable, "-m", "pytest", *files(), "-m", "sanitize", "-v", "-rfE"]
    tests += ["-p", "no:cacheprovider", "--durations=10"]
    return [*tests, *(["-k", words] * bool(words))]


def sanitize(proof: Proof, tool: str, program: Path, planted: Path) -> bool:
    """The tool has to find the bug that was planted for it, and none in the small tests."""
    name = f"compute-sanitizer {tool}"
    began, most = begin(name), proof.seconds_for(name)

    def done(result: str, lines: Sequence[str] = ()) -> bool:
        if not result.startswith("passed"):
            print("\n".join(lines[-40:]))
        return proof.note(name, result, began, most)

    with proof.log(tool, loud=False) as log:
        command = checked(program, tool, [planted, tool])
        status, lines = call(command, proof.seconds_for(name), {}, log)
        if any("Device not supported" in line for line in lines):
            return done("skipped: it does not run on this machine", lines)
        if not found(tool, status, lines):
            return done("FAILED: it does not see a planted bug", lines)
        # PyTorch's allocator would hide what lies outside a tensor, but inside its pool
        environment = {"SCATCUDA_TEST_DEVICE": "cuda", "PYTORCH_NO_CUDA_MEMORY_CACHING": "1"}
        command = checked(program, tool, small_tests(proof.words))
        status, lines = call(command, proof.seconds_for(name), environment, log)
    if found(tool, status, lines):
        return done("FAILED: it complains of a kernel", lines)
    return done(verdict(status), lines)


def sanitize_all(proof: Proof, tools: Sequence[str]) -> None:
    programs = sanitizer()
    planted = ROOT / "build" / "tests" / "gpu" / "planted"
    if programs is None and not proof.dry:
        with proof.log("sanitizer") as log:
            log("there is no compute-sanitizer, or no nvcc to compile what it has to find")
        proof.note("compute-sanitizer", "skipped: it is not installed")
        return
    program, nvcc = programs or (Path("compute-sanitizer"), Path("nvcc"))
    command = [nvcc, "-std=c++17", "-arch=native", "-lineinfo", "-o", planted, HERE / "planted.cu"]
    commands = [command]
    for tool in tools:
        commands += [checked(program, tool, [planted, tool])]
        commands += [checked(program, tool, small_tests(proof.words))]
    if proof.dry:
        began = begin("compute-sanitizer")
        with proof.log("sanitizer") as log:
            for each in commands:
                log(" ".join(map(str, each)))
        proof.note("compute-sanitizer", "skipped: a dry run", began)
        return
    planted.parent.mkdir(parents=True, exist_ok=True)
    proof.tool_start = time.monotonic()
    began, most = begin("planted bugs"), proof.seconds_for("planted bugs")
    with proof.log("sanitizer") as log:
        status, _ = call(command, most, {}, log)
    if proof.note("planted bugs", verdict(status), began, most):
        for i, tool in enumerate(tools):
            if i > 0:  # the first one's time is that of the planted bugs too
                proof.tool_start = time.monotonic()
            sanitize(proof, tool, program, planted)


# --- all of it ----------------------------------------------------------------------------------


def chosen(
    parser: argparse.ArgumentParser, option: str, given: list[str], all_: Sequence[str]
) -> list[str]:
    """Those of `all_` that were named, in their order; all where none was."""
    names = [name for part in given for name in part.split(",") if name]
    for name in names:
        if name not in all_:
            parser.error(f"{option}: there is no {name!r}, only {', '.join(all_)}")
    return [name for name in all_ if name in names or not given]


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    add = parser.add_argument
    add("--only", action="append", default=[], metavar="STEPS", help=", ".join(STEPS))
    add("--tool", action="append", default=[], metavar="TOOLS", help=", ".join(TOOLS))
    add("--quick", action="store_true", help="in three minutes, without the sanitizer")
    add("--slow", action="store_true", help="those tests too that take minutes")
    add("--dry-run", action="store_true", help="on the CPU, to see that it all goes together")
    add("--results", metavar="DIRECTORY", help="default: build/gpu, figures benchmarks/results")
    add("-k", default="", metavar="EXPRESSION", help="only such tests")
    add("--cases", default="", metavar="SUBSTRING", help="only such cases of the benchmarks")
    options = parser.parse_args(arguments)
    steps = chosen(parser, "--only", options.only, STEPS)
    if options.quick and not options.only and not options.tool:
        steps.remove("sanitizer")
    if options.tool and "sanitizer" not in steps:
        parser.error("--tool: names tools of the step sanitizer, which --only leaves out")
    options.tools = chosen(parser, "--tool", options.tool, TOOLS)
    options.steps = steps
    return options


def described(options: argparse.Namespace, budget: dict[str, int]) -> dict[str, Any]:
    """The head of summary.json."""
    import torch

    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    gpu = torch.cuda.get_device_name() if not options.dry_run else "none: a dry run"
    most = {**budget, **({"each tool": TOOL_SECONDS} if "sanitizer" in options.steps else {})}
    return {
        "began": now,
        "gpu": gpu,
        "pytorch": torch.__version__,
        "cuda": torch.version.cuda,
        "python": sys.version.split()[0],
        "cores": len(os.sched_getaffinity(0)),
        "planned": options.steps,
        "most_seconds": most,
    }


def unkept(proof: Proof, options: argparse.Namespace) -> list[str]:
    """Of the files that were promised, those that are not there."""
    promised = {
        "build": ["build.log"],
        "tests": ["tests.log", "tests.xml"],
        "benchmarks": ["benchmarks.log"] + ["*.json"] * bool(options.results),
        "sanitizer": ["sanitizer.log"],
    }
    summary = proof.results / "summary.json"
    names = [name for step in options.steps for name in promised[step]]
    return [name for name in names if not set(proof.results.glob(name)) - {summary}]


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    began = time.monotonic()
    options = parse(arguments)
    if why := obstacle(options.dry_run):
        print(why, file=sys.stderr)
        return 1
    if "build" not in options.steps or options.dry_run:
        if options.steps != ["build"] and (why := unbuilt(options.dry_run)):
            print(why, file=sys.stderr)
            return 1
    shares = QUICK if options.quick else SECONDS
    budget = {step: shares[step] for step in options.steps if step in shares}
    results = Path(options.results).resolve() if options.results else None
    where = results or ROOT / "build" / "gpu"
    tools = options.tools if "sanitizer" in options.steps else []
    for name in [*options.steps, *tools]:  # a log is one run's
        (where / f"{name}.log").unlink(missing_ok=True)
    how = options.dry_run, options.quick, options.slow, options.k
    proof = Proof(where, budget, *how, start=began)
    proof.about = described(options, budget)
    proof.write()
    run = {
        "build": lambda: build(proof),
        "tests": lambda: tests(proof),
        "benchmarks": lambda: benchmarks(proof, results, options.cases),
        "sanitizer": lambda: sanitize_all(proof, options.tools),
    }
    for step in options.steps:
        passed = run[step]()
        if step == "build" and not passed:
            break
    else:
        if lost := unkept(proof, options):
            proof.note("results", f"FAILED: {', '.join(lost)} not written")
    proof.write(ended=True)
    print(f"\n== in {time.monotonic() - began:.0f} s; {proof.results}")
    for done in proof.steps:
        print(f"{done.seconds:7.1f} s  {done.name}: {done.result}")
    return 1 if any(done.failed for done in proof.steps) else 0


def listen() -> None:
    """Who is ended ends what it started. And what is started can be interrupted, which a shell that
    runs us in the background would have it ignore."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGINT, signal.default_int_handler)


if __name__ == "__main__":
    listen()
    sys.exit(main())
