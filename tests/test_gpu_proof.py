"""`make gpu` without a GPU: what it says then, and that its steps, limits and verdicts hold."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import devices
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
    versions["setuptools"] = "80.0"
    monkeypatch.setattr(prove.shutil, "which", lambda name, path: None)
    assert "make gpu needs cmake and ninja" in prove.obstacle()
    monkeypatch.setitem(sys.modules, "torch", None)
    assert "has none. PYTHON=" in prove.obstacle()


# --- steps --------------------------------------------------------------------------------------


@pytest.fixture
def calls(monkeypatch, tmp_path):
    """The commands of a proof, with statuses by a word of theirs; none is run."""
    asked, statuses, summaries = [], {}, []

    def call(command, seconds, environment, say=print):
        words = [str(part) for part in command]
        if "-c" in words:  # whether there is a build
            return statuses.get("-c", 0), ["CUDA 90"]
        asked.append((words, seconds, environment))
        summaries.append(json.loads((tmp_path / "summary.json").read_text()))
        say(f"this is {words[1]}")
        if "benchmarks" in words:
            (tmp_path / "gpu.json").write_text("{}")
        return next((s for word, s in statuses.items() if word in words), 0), []

    monkeypatch.setattr(prove, "obstacle", lambda dry=False: None)
    monkeypatch.setattr(prove, "call", call)
    monkeypatch.setattr(prove, "sanitizer", lambda: None)
    monkeypatch.setattr(prove.os, "sched_getaffinity", lambda process: range(3))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a GPU")

    def run(*arguments):
        return prove.main(["--results", str(tmp_path), *arguments])

    return SimpleNamespace(asked=asked, statuses=statuses, summaries=summaries, run=run)


def test_steps(calls, capsys, tmp_path):
    assert calls.run() == 0
    (build, alone, *shares, bench), seconds, environments = zip(*calls.asked, strict=True)
    assert build[1:] == ["setup.py", "build_ext", "--inplace"]
    assert environments[0] == {"SCATCUDA_CUDA": "1", "SCATCUDA_ARCHS": "native"}
    assert alone[alone.index("-m", 3) + 1] == "alone and not slow" and len(shares) == 3
    for tests in (alone, *shares):
        assert tests[1:3] == ["-m", "pytest"] and "--durations=10" in tests
        assert [Path(word).name for word in tests[3:5]] == list(prove.FIRST)
        assert any(word.startswith("--junitxml=") for word in tests)
    assert {tests[tests.index("-m", 3) + 1] for tests in shares} == {"not alone and not slow"}
    assert sorted(e["SCATCUDA_TEST_SHARE"] for e in environments[2:5]) == ["1/3", "2/3", "3/3"]
    assert {e["SCATCUDA_TEST_DEVICE"] for e in environments[1:5]} == {"cuda"}
    assert bench[1:5] == ["-m", "benchmarks", "--device", "cuda"]
    assert "--quick" not in bench and bench[-2:] == ["--output", str(tmp_path)]
    limit = float(bench[bench.index("--limit") + 1])
    assert limit <= seconds[-1] - prove.GRACE - prove.LAST_CASE + 1  # its last case can end
    printed = capsys.readouterr().out
    assert "compute-sanitizer: skipped: it is not installed" in printed
    assert printed.count("passed") == 6  # three steps, each when it ends and in the summary


def test_what_is_known_is_written_down_at_once(calls, tmp_path):
    calls.statuses["benchmarks"] = None
    assert calls.run() == 1
    so_far = [[step["name"] for step in summary["steps"]] for summary in calls.summaries]
    assert so_far == [[], *[["build"]] * 4, ["build", "tests"]]
    assert not any(summary["ended"] for summary in calls.summaries)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["ended"] and not summary["passed"] and summary["gpu"] == "a GPU"
    assert summary["most_seconds"] == {**prove.SECONDS, "each tool": prove.TOOL_SECONDS}
    assert summary["steps"][2]["result"] == "FAILED: stopped, its time was up"
    assert (tmp_path / "build.log").read_text() == "this is setup.py\n"
    assert "alone| this is -m" in (tmp_path / "tests.log").read_text()
    calls.run("--only", "build")
    assert (tmp_path / "build.log").read_text() == "this is setup.py\n"  # of the last time alone
    assert (tmp_path / "tests.log").exists()


def test_slow_tests_where_they_are_asked_for(calls):
    assert calls.run("--slow", "--only", "tests") == 0
    asked = [command[command.index("-m", 3) + 1] for command, *_ in calls.asked]
    assert asked == ["alone", "not alone", "not alone", "not alone"]


def test_quick_steps(calls, capsys):
    assert calls.run("--quick") == 0
    _, (alone, *_), *_, (bench, *_) = calls.asked
    assert "alone and not slow" in alone and "--quick" in bench
    assert "sanitizer" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--only", "build"], ["setup.py"]),
        (["--only", "benchmarks,build"], ["setup.py", "benchmarks"]),  # in their own order
        (["--only", "build", "--only", "tests"], ["setup.py", *["pytest"] * 4]),
        (["--only", "benchmarks", "--cases", "J=4"], ["J=4"]),
        (["--only", "tests", "-k", "graph and not stages"], ["graph and not stages"] * 4),
        (["--quick", "--only", "sanitizer"], []),
    ],
)
def test_some_of_the_steps(arguments, words, calls):
    assert calls.run(*arguments) == 0
    assert len(calls.asked) == len(words)
    assert all(word in asked for word, (asked, *_) in zip(words, calls.asked, strict=True))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ["--only", "tests,demo"],
            "--only: there is no 'demo', only build, tests, benchm",
        ),
        (
            ["--tool", "leakcheck"],
            "--tool: there is no 'leakcheck', only memcheck, racecheck",
        ),
        (["--only", "build", "--tool", "memcheck"], "--tool: names tools of the step sanitizer"),
    ],
)
def test_what_does_not_exist_is_refused(arguments, told, calls, capsys):
    with pytest.raises(SystemExit) as stop:
        calls.run(*arguments)
    assert stop.value.code == 2 and calls.asked == []
    assert told in capsys.readouterr().err


def test_what_needs_a_build_says_so(calls, capsys, monkeypatch):
    calls.statuses["-c"] = 1
    assert calls.run("--only", "tests") == 1 and calls.asked == []
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "as in make gpu ONLY=build,tests" in told
    monkeypatch.setattr(prove, "call", lambda *_, **__: (0, ["CUDA none"]))
    assert "built without its CUDA engine" in prove.unbuilt(dry=False)
    assert prove.unbuilt(dry=True) is None
    monkeypatch.setattr(prove, "call", lambda *_, **__: (0, ["CUDA 90"]))
    assert prove.unbuilt(dry=False) is None


def test_a_failing_step_does_not_stop_the_others(calls, capsys):
    calls.statuses["pytest"] = 1
    assert calls.run() == 1
    assert "benchmarks" in calls.asked[-1][0]
    assert "tests: FAILED with status 1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("statuses", "result"),
    [
        ([5, 0, 5, 0], "passed"),  # no test alone, and a share without one
        ([5, 5, 5, 5], "FAILED: there is no such test"),
        ([0, 1, 0, None], "FAILED: stopped, its time was up"),
        ([2, 0, 0, 0], "FAILED with status 2"),
    ],
)
def test_verdict_of_the_tests(statuses, result, calls, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(prove, "call", lambda *_: (statuses.pop(), []))
    statuses.reverse()
    monkeypatch.setattr(prove, "unbuilt", lambda dry: None)
    calls.run("--only", "tests")
    assert f"tests: {result}," in capsys.readouterr().out


def test_a_failing_build_stops_the_others(calls, capsys):
    calls.statuses["setup.py"] = 1
    assert calls.run() == 1
    assert len(calls.asked) == 1


def test_a_promise_that_is_not_kept_is_a_failure(calls, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(prove, "benchmarks", lambda proof, results, cases: True)
    assert calls.run("--only", "build,benchmarks") == 1
    assert "results: FAILED: benchmarks.log, *.json not written" in capsys.readouterr().out


@pytest.fixture
def ready(monkeypatch):
    """Lines that were said; the time of a minute's step is over as soon as it says "ready"."""
    said, real = [], subprocess.Popen.wait

    def wait(process, timeout=None):
        if timeout is not None and timeout > 30:
            while "ready" not in said:
                time.sleep(0.01)
            raise subprocess.TimeoutExpired("", timeout)
        return real(process, timeout)

    monkeypatch.setattr(subprocess.Popen, "wait", wait)
    return said


UNWILLING = """
import signal, subprocess, sys, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
if len(sys.argv) > 2:
    print("ready")
    time.sleep(3)
    open(sys.argv[1], "w")
else:
    subprocess.run([sys.executable, "-c", PROGRAM, sys.argv[1], "child"])
"""


def test_a_step_is_stopped_with_all_that_it_started(ready, tmp_path, monkeypatch):
    monkeypatch.setattr(prove, "GRACE", 0.2)
    program = UNWILLING.replace("PROGRAM", repr(UNWILLING))
    command = [sys.executable, "-c", program, str(tmp_path / "x")]
    assert prove.call(command, 60, {}, ready.append)[0] is None
    time.sleep(4)
    assert not (tmp_path / "x").exists()
    assert "its time was up" in prove.verdict(None)


WILLING = """
import time
try:
    print("ready")
    time.sleep(60)
except KeyboardInterrupt:
    print("written down")
"""


@pytest.fixture
def in_the_background():
    """As a shell without a terminal starts a program with &."""
    before = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    yield
    for which, handler in before.items():
        signal.signal(which, handler)


def test_a_step_is_interrupted_before_it_is_killed(ready, in_the_background):
    prove.listen()
    status, lines = prove.call([sys.executable, "-c", WILLING], 60, {}, ready.append)
    assert status is None and lines == ready == ["ready", "written down"]


def test_call_gives_environment_and_output():
    program = "import os, sys; print(os.environ['WORD'], os.getcwd()); sys.exit(3)"
    status, lines = prove.call([sys.executable, "-c", program], 60, {"WORD": "hello"})
    assert status == 3 and lines == [f"hello {ROOT}"]
    assert prove.running == set()


def test_shares_end_with_the_time_of_all(tmp_path):
    proof = prove.Proof(tmp_path, prove.SECONDS)
    build, tests, bench = prove.SECONDS.values()
    assert build - 10 < proof.seconds_for("build") <= build
    assert build + tests - 10 < proof.seconds_for("tests") <= build + tests  # what the build leaves
    proof.start -= build + tests
    assert proof.seconds_for("build") == proof.seconds_for("tests") == 0
    assert bench - 10 < proof.seconds_for("benchmarks") <= bench
    proof.tool_start = time.monotonic() - 30
    assert proof.seconds_for("compute-sanitizer memcheck") <= prove.TOOL_SECONDS - 30
    assert sum(prove.SECONDS.values()) <= 8 * 60 - prove.GRACE
    assert sum(prove.QUICK.values()) <= 3 * 60 and prove.TOOL_SECONDS <= 4 * 60 - prove.GRACE
    assert list(prove.SECONDS) == list(prove.QUICK) == list(prove.STEPS[:3])


def test_a_log_keeps_its_beginning_and_its_end(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(prove, "LOG_BYTES", 20)
    with prove.Log(tmp_path / "x.log", loud=False) as log:
        for i in range(1000):
            log(f"line {i}")
            if i == 1:
                assert (tmp_path / "x.log").read_text() == "line 0\nline 1\n"  # at once
    lines = (tmp_path / "x.log").read_text().splitlines()
    assert lines == ["line 0", "line 1", "…", *(f"line {i}" for i in range(500, 1000))]
    assert capsys.readouterr().out == ""


def test_one_file_of_many_processes(tmp_path):
    for name, cases in {
        "1": '<testcase classname="a" name="x" time="2.5"/>',
        "2": '<testcase classname="a" name="y" time="3"><failure>no</failure></testcase>'
        '<testcase classname="b" name="x" time="0"><skipped/></testcase>',
    }.items():
        text = f"<testsuites><testsuite>{cases}</testsuite></testsuites>"
        (tmp_path / f"{name}.xml").write_text(text)
    told = prove.junit(tmp_path, tmp_path / "out" / "tests.xml")
    assert told["passed"] == 1 and told["skipped"] == 1 and told["failed"] == ["a::y"]
    assert told["seconds_of_all"] == 5.5 and list(told["longest"]) == ["a::y", "a::x", "b::x"]
    assert (tmp_path / "out" / "tests.xml").read_text().count("<testcase") == 3


def test_shares_are_every_test_once():
    everything = list(range(20))
    shares = [devices.share(everything, f"{share}/3") for share in (1, 2, 3)]
    assert sorted(item for share in shares for item in share) == everything
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.proof
@pytest.mark.skipif(not [*ROOT.glob("scatcuda/_C.*.so")], reason="scatcuda is not built in place")
def test_dry_run(tmp_path):
    """Everything a CPU can do, of a few tests and one case; the steps' files and nothing else."""
    command = [sys.executable, str(ROOT / "tests" / "gpu" / "prove.py"), "--dry-run"]
    command += ["--results", str(tmp_path), "-k", "tiny_stages", "--cases", "32x32 J=2 batch 1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    names = sorted(path.name for path in tmp_path.iterdir() if path.suffix not in (".json", ".png"))
    assert names == ["benchmarks.log", "build.log", "sanitizer.log", "tests.log", "tests.xml"]
    (figures,) = set(tmp_path.glob("*.json")) - {tmp_path / "summary.json"}
    assert [case["name"] for case in json.loads(figures.read_text())["cases"]] == [
        "32x32 J=2 batch 1"
    ]
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["passed"] and summary["planned"] == list(prove.STEPS)
    results = {step["name"]: step for step in summary["steps"]}
    assert results["tests"]["details"]["passed"] == 2 and results["tests"]["result"] == "passed"
    assert "SCATCUDA_ARCHS=native" in (tmp_path / "build.log").read_text()
    sanitizer = (tmp_path / "sanitizer.log").read_text()
    for tool in prove.TOOLS:
        assert len(re.findall(rf"--tool {tool} .*--print-limit 0 .*-m pytest", sanitizer)) == 1


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
        proof = prove.Proof(tmp_path, tool_start=time.monotonic())
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
def test_verdicts_of_compute_sanitizer(tool, planted, tests, result, imitation, tmp_path):
    step, asked = imitation(tool, planted, tests)
    assert step.result.startswith(result)
    assert step.failed == result.startswith("FAILED")
    assert all(f"--tool {tool}" in line and "--print-limit 0" in line for line in asked)
    said = (tmp_path / f"{tool}.log").read_text()
    assert "Uninitialized" in said if "Uninitialized" in planted else said.count("\n") <= 1
    assert asked[0].endswith(f"planted {tool}")
    ours_alone = "kernel_substring=scatcuda" in asked[0] and "--error-exitcode 77" in asked[0]
    assert ours_alone == (tool != "initcheck")  # which must see who writes what


@pytest.mark.parametrize(
    ("line", "complains"),
    [
        ("========= Invalid __global__ read of size 4 bytes", True),
        ("========= Error: Race reported between Write access at scatcuda::f and Read", True),
        ("========= Barrier error detected. Divergent thread(s) in block", True),
        ("========= Error: process didn't terminate successfully", False),
        ("========= COMPUTE-SANITIZER", False),
    ],
)
def test_a_tool_that_was_stopped_may_have_complained(line, complains):
    assert prove.found("memcheck", None, ["some test", line]) == complains
    assert not prove.found("memcheck", 0, [line])


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
