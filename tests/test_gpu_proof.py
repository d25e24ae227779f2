"""`make gpu` without a GPU: what it says then, and that its steps, limits and verdicts hold."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from native import kernels

ROOT = Path(__file__).resolve().parents[1]
spec = importlib.util.spec_from_file_location("prove", ROOT / "tests" / "gpu" / "prove.py")
prove = importlib.util.module_from_spec(spec)
sys.modules["prove"] = prove
spec.loader.exec_module(prove)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_there_is_one_sentence():
    command = [sys.executable, str(ROOT / "tests" / "gpu" / "prove.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and "make gpu needs an NVIDIA GPU" in done.stderr


@pytest.mark.parametrize(
    ("version", "cuda", "why"),
    [
        ("2.11.0+cu130", True, None),
        ("3.0.0a0+git1", True, None),
        ("2.10.1+cu128", True, "make gpu needs PyTorch 2.11 or newer for CUDA; .* has 2.10.1"),
        ("2.13.0+cpu", False, "make gpu needs an NVIDIA GPU; PyTorch 2.13.0.cpu finds none here"),
    ],
)
def test_obstacles(version, cuda, why, monkeypatch):
    there = SimpleNamespace(is_available=lambda: cuda)
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(__version__=version, cuda=there))
    told = prove.obstacle()
    assert told is None if why is None else re.search(why, told)


def test_obstacles_of_packages(monkeypatch):
    there = SimpleNamespace(is_available=lambda: True)
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(__version__="2.11.0", cuda=there))
    versions = {"setuptools": "70.1.0", "pytest": "9.0.0"}
    monkeypatch.setattr(prove.importlib.metadata, "version", lambda name: versions[name])
    assert "needs setuptools 77 or newer" in prove.obstacle()
    assert prove.obstacle().endswith("got 70.1.0.")
    monkeypatch.setitem(sys.modules, "torch", None)
    assert "has none. PYTHON=" in prove.obstacle()


# --- steps --------------------------------------------------------------------------------------


@pytest.fixture
def calls(monkeypatch):
    """The commands of a proof, with statuses by a word of theirs; none is run."""
    asked, statuses = [], {}

    def call(command, seconds, environment, keep=False):
        words = [str(part) for part in command]
        asked.append((words, seconds, environment))
        return next((s for word, s in statuses.items() if word in words), 0), ""

    monkeypatch.setattr(prove, "obstacle", lambda: None)
    monkeypatch.setattr(prove, "call", call)
    monkeypatch.setattr(prove, "sanitizer", lambda: None)
    return SimpleNamespace(asked=asked, statuses=statuses)


def test_steps(calls, capsys, tmp_path):
    assert prove.main(["--results", str(tmp_path)]) == 0
    (build, tests, bench), seconds, environments = zip(*calls.asked, strict=True)
    assert build[1:] == ["setup.py", "build_ext", "--inplace"]
    assert environments[0] == {"SCATCUDA_CUDA": "1", "SCATCUDA_ARCHS": "native"}
    assert tests[1:3] == ["-m", "pytest"] and "not slow" not in tests
    assert environments[1] == {"SCATCUDA_TEST_DEVICE": "cuda"}
    assert bench[1:5] == ["-m", "benchmarks", "--device", "cuda"]
    assert "--quick" not in bench and bench[-2:] == ["--output", str(tmp_path)]
    assert 100 < float(bench[bench.index("--limit") + 1]) < seconds[2] - 20
    printed = capsys.readouterr().out
    assert "compute-sanitizer: skipped: it is not installed" in printed
    assert printed.count("passed") == 6  # three steps, each when it ends and in the summary


def test_quick_steps(calls):
    assert prove.main(["--quick"]) == 0
    _, (tests, *_), (bench, *_) = calls.asked
    assert "not slow" in tests and "--quick" in bench and "--output" not in bench


def test_a_failing_step_does_not_stop_the_others(calls, capsys):
    calls.statuses["pytest"] = 5
    assert prove.main([]) == 1
    assert len(calls.asked) == 3
    assert "tests: FAILED with status 5" in capsys.readouterr().out


def test_a_failing_build_stops_the_others(calls, capsys):
    calls.statuses["setup.py"] = 1
    assert prove.main([]) == 1
    assert len(calls.asked) == 1


def test_a_step_is_stopped_with_all_that_it_started(tmp_path):
    child = f"import time, pathlib; time.sleep(1.5); pathlib.Path({str(tmp_path / 'x')!r}).touch()"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    before = time.monotonic()
    status, output = prove.call([sys.executable, "-c", parent], 0.5, {}, keep=True)
    assert status is None and output == ""
    assert time.monotonic() - before < 1.4
    time.sleep(max(0, 2.5 - (time.monotonic() - before)))
    assert not (tmp_path / "x").exists()
    assert "its time was up" in prove.verdict(status)


def test_call_gives_environment_and_output():
    program = "import os, sys; print(os.environ['WORD'], os.getcwd()); sys.exit(3)"
    status, output = prove.call([sys.executable, "-c", program], 60, {"WORD": "hello"}, keep=True)
    assert status == 3 and output.split() == ["hello", str(ROOT)]


def test_shares_end_with_the_time_of_all():
    proof = prove.Proof(prove.SECONDS)
    assert 460 < proof.seconds_for("all") <= 470 and proof.seconds_for("build") == 180
    proof.start -= 400
    assert 60 < proof.seconds_for("build") <= 70
    proof.start -= 400
    assert proof.seconds_for("build") == 0
    assert prove.QUICK["all"] <= 180 and prove.SECONDS["all"] <= 480


# --- compute-sanitizer --------------------------------------------------------------------------

# Answers like compute-sanitizer: of the planted program with $PLANTED, of the tests with $TESTS
IMITATION = """#!/bin/sh
echo "$@" >> "$ASKED"
case "$*" in
  *"-m pytest"*) eval "$TESTS" ;;
  *) eval "$PLANTED" ;;
esac
"""
OURS = """echo "========= Uninitialized __global__ memory read of size 4 bytes"
echo "=========     at void scatcuda::cuda::fold_kernel<float>(P)+0x50 in fold.cuh:12" """
THEIRS = OURS.replace("scatcuda::cuda::fold_kernel", "regular_fft")


@pytest.fixture
def imitation(tmp_path, monkeypatch):
    program = tmp_path / "compute-sanitizer"
    program.write_text(IMITATION)
    program.chmod(0o755)
    monkeypatch.setenv("ASKED", str(tmp_path / "asked"))

    def sanitize(tool, planted, tests):
        monkeypatch.setenv("PLANTED", planted)
        monkeypatch.setenv("TESTS", tests)
        proof = prove.Proof(prove.SECONDS)
        prove.sanitize(proof, tool, program, tmp_path / "planted")
        return proof.steps[0], (tmp_path / "asked").read_text().splitlines()

    return sanitize


@pytest.mark.parametrize(
    ("tool", "planted", "tests", "result"),
    [
        ("memcheck", "exit 77", "exit 0", "passed"),
        ("memcheck", "exit 77", "exit 77", "FAILED: it complains of a kernel"),
        ("memcheck", "exit 77", "exit 1", "FAILED with status 1"),
        ("racecheck", "exit 0", "exit 0", "FAILED: it does not see a planted bug"),
        ("racecheck", "echo '= Error: Device not supported'; exit 1", "", "skipped: it does not"),
        ("initcheck", OURS, "exit 0", "passed"),
        ("initcheck", OURS, THEIRS, "passed"),
        ("initcheck", OURS, OURS, "FAILED: it complains of a kernel"),
        ("initcheck", THEIRS, "exit 0", "FAILED: it does not see a planted bug"),
    ],
)
def test_verdicts_of_compute_sanitizer(tool, planted, tests, result, imitation, capsys):
    step, asked = imitation(tool, planted, tests)
    assert step.result.startswith(result)
    assert step.failed == result.startswith("FAILED")
    assert all(f"--tool {tool}" in line for line in asked)
    assert asked[0].endswith(f"planted {tool}")
    ours_alone = "kernel_substring=scatcuda" in asked[0] and "--error-exitcode 77" in asked[0]
    assert ours_alone == (tool != "initcheck")  # which must see who writes what


def test_programs_of_compute_sanitizer(tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    monkeypatch.setattr(kernels, "toolkit", lambda: tmp_path)
    monkeypatch.setenv("PATH", os.devnull)
    assert prove.sanitizer() is None
    program = tmp_path / "bin" / "compute-sanitizer"
    program.touch()
    assert prove.sanitizer() == (program, tmp_path / "bin" / "nvcc")


@pytest.mark.skipif(kernels.toolkit() is None, reason="no nvcc, so that no kernel is compiled")
def test_planted_bugs_compile(tmp_path):
    source = ROOT / "tests" / "gpu" / "planted.cu"
    compiled = kernels.compile_kernels([source], [90], folder=tmp_path)[source, 90]
    assert compiled.errors == ""
    assert len(compiled.kernels) == len(prove.TOOLS) + 1
