"""`make gpu`: what only an NVIDIA GPU can prove, with the Python and PyTorch that are there.

    python tests/gpu/prove.py [--quick] [--results DIRECTORY]

Builds in place for the GPU that is there, runs the tests of this folder, the benchmarks, and the
small tests once more under compute-sanitizer. Nothing is downloaded. A step that fails does not
stop the others, except the build; the exit status says whether all passed. Every step has its share
of eight minutes, with --quick of three, and is stopped beyond it.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
OLDEST = (2, 11)  # PyTorch
TOOLS = ("memcheck", "racecheck", "initcheck", "synccheck")
FOUND = 77  # compute-sanitizer's exit status where it found something
SECONDS = {"build": 180, "tests": 170, "benchmarks": 200, "sanitizer": 60, "all": 470}
QUICK = {"build": 100, "tests": 60, "benchmarks": 60, "sanitizer": 30, "all": 175}


def obstacle() -> str | None:
    """Why nothing can be proven here, in a sentence."""
    wanted = f"make gpu needs PyTorch {OLDEST[0]}.{OLDEST[1]} or newer for CUDA"
    try:
        import torch
    except ImportError:
        return f"{wanted}; {sys.executable} has none. PYTHON=… names another Python."
    version = tuple(int(number) for number in re.findall(r"\d+", torch.__version__)[:2])
    if version < OLDEST:
        return f"{wanted}; {sys.executable} has {torch.__version__}. PYTHON=… names another Python."
    if not torch.cuda.is_available():
        return f"make gpu needs an NVIDIA GPU; PyTorch {torch.__version__} finds none here."
    for package, oldest in (("setuptools", 77), ("pytest", 7)):
        try:
            version = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            version = "0: there is none"
        if int(version.partition(".")[0].partition(":")[0]) < oldest:
            return f"make gpu needs {package} {oldest} or newer in {sys.executable}; got {version}."
    return None


@dataclass
class Step:
    """What was done, how it ended, how long it took. Only `failed` counts against the whole."""

    name: str
    result: str
    seconds: float

    @property
    def failed(self) -> bool:
        return not self.result.startswith(("passed", "skipped"))


@dataclass
class Proof:
    """The steps so far and the time that all of them may take."""

    shares: dict[str, int]
    steps: list[Step] = field(default_factory=list)
    start: float = field(default_factory=time.monotonic)

    def seconds_for(self, share: str) -> float:
        left = self.shares["all"] - (time.monotonic() - self.start)
        return max(0.0, min(left, self.shares[share]))

    def note(self, name: str, result: str, seconds: float = 0.0) -> bool:
        self.steps.append(Step(name, result, seconds))
        print(f"== {name}: {result}, {seconds:.1f} s", flush=True)
        return not self.steps[-1].failed

    def run(self, name: str, share: str, command: Sequence[object], **environment: str) -> bool:
        """Runs a command, whose output is the reader's; whether it passed."""
        print(f"\n== {name}", flush=True)
        before = time.monotonic()
        status, _ = call(command, self.seconds_for(share), environment)
        return self.note(name, verdict(status), time.monotonic() - before)


def verdict(status: int | None) -> str:
    if status is None:
        return "FAILED: stopped, its time was up"
    return "passed" if status == 0 else f"FAILED with status {status}"


def call(
    command: Sequence[object], seconds: float, environment: dict[str, str], keep: bool = False
) -> tuple[int | None, str]:
    """Status (None: it took too long and was killed with all that it had started) and, where it is
    kept, output."""
    # a Python outside of PATH brings its programs, ninja among them
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    process = subprocess.Popen(
        [str(part) for part in command],
        cwd=ROOT,
        env={**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1", **environment},
        stdout=subprocess.PIPE if keep else None,
        stderr=subprocess.STDOUT if keep else None,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=seconds)
        return process.returncode, output or ""
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        return None, output or ""
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        raise


# --- compute-sanitizer --------------------------------------------------------------------------


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
    what PyTorch's and cuFFT's have written; what it says of those is not ours."""
    options = [program, "--tool", tool, "--report-api-errors", "no", "--show-backtrace", "device"]
    if tool != "initcheck":
        options += ["--kernel-name", "kernel_substring=scatcuda", "--error-exitcode", FOUND]
    return [*options, *command]


def found(tool: str, status: int | None, output: str) -> bool:
    """Whether the tool complained of a kernel of ours."""
    if tool == "initcheck":
        return re.search(r"Uninitialized [^\n]*\n=+ +at [^\n]*scatcuda", output) is not None
    return status == FOUND


def sanitize(proof: Proof, tool: str, program: Path, planted: Path) -> bool:
    """The tool has to find the bug that was planted for it, and none in the small tests."""
    name = f"compute-sanitizer {tool}"
    print(f"\n== {name}", flush=True)
    before = time.monotonic()

    def done(result: str, output: str = "") -> bool:
        if not result.startswith("passed"):
            print("\n".join(output.splitlines()[-40:]))
        return proof.note(name, result, time.monotonic() - before)

    seconds = proof.seconds_for("sanitizer")
    status, output = call(checked(program, tool, [planted, tool]), seconds, {}, keep=True)
    if "Device not supported" in output:
        return done("skipped: it does not run on this machine", output)
    if not found(tool, status, output):
        return done("FAILED: it does not see a planted bug", output)
    tests = [sys.executable, "-m", "pytest", HERE, "-m", "sanitize", "-q", "-p", "no:cacheprovider"]
    # PyTorch's allocator would hide what lies outside a tensor, but inside its pool
    environment = {"SCATCUDA_TEST_DEVICE": "cuda", "PYTORCH_NO_CUDA_MEMORY_CACHING": "1"}
    seconds = proof.seconds_for("sanitizer")
    status, output = call(checked(program, tool, tests), seconds, environment, keep=True)
    if found(tool, status, output):
        return done("FAILED: it complains of a kernel", output)
    return done(verdict(status), output)


def sanitize_all(proof: Proof, tools: Sequence[str]) -> None:
    programs = sanitizer()
    if programs is None:
        proof.note("compute-sanitizer", "skipped: it is not installed")
        return
    program, nvcc = programs
    planted = ROOT / "build" / "tests" / "gpu" / "planted"
    planted.parent.mkdir(parents=True, exist_ok=True)
    command = [nvcc, "-std=c++17", "-arch=native", "-lineinfo", "-o", planted, HERE / "planted.cu"]
    if proof.run("planted bugs", "build", command):
        for tool in tools:
            sanitize(proof, tool, program, planted)


# --- all of it ----------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help="in three minutes instead of eight")
    parser.add_argument("--results", metavar="DIRECTORY", help="default: benchmarks/results")
    options = parser.parse_args(arguments)
    if why := obstacle():
        print(why, file=sys.stderr)
        return 1
    proof = Proof(QUICK if options.quick else SECONDS)
    python = sys.executable
    build = [python, "setup.py", "build_ext", "--inplace"]
    if proof.run("build", "build", build, SCATCUDA_CUDA="1", SCATCUDA_ARCHS="native"):
        tests = [python, "-m", "pytest", HERE, "-q"]
        tests += ["-m", "not slow"] if options.quick else []
        proof.run("tests", "tests", tests, SCATCUDA_TEST_DEVICE="cuda")
        # so much earlier than it would be stopped, that its last case ends and is written down
        limit = proof.seconds_for("benchmarks") - 25
        bench = [python, "-m", "benchmarks", "--device", "cuda", "--limit", f"{limit:.0f}"]
        bench += ["--quick"] if options.quick else []
        bench += ["--output", Path(options.results).resolve()] if options.results else []
        proof.run("benchmarks", "benchmarks", bench)
        sanitize_all(proof, TOOLS[:2] if options.quick else TOOLS)
    print(f"\n== in {time.monotonic() - proof.start:.0f} s")
    for step in proof.steps:
        print(f"{step.seconds:7.1f} s  {step.name}: {step.result}")
    return 1 if any(step.failed for step in proof.steps) else 0


if __name__ == "__main__":
    sys.exit(main())
