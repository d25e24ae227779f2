"""The benchmark suites: what they time is right, and the report can be written. No test here
asks how long anything takes."""

import builtins
import contextlib
import dataclasses
import gc
import json
import math
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import scatcuda

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # benchmarks/ is not part of the installed package

pytest.importorskip("tabulate")
pytest.importorskip("matplotlib")

from benchmarks import (  # noqa: E402
    consumer,
    gpu,
    plot,
    process,
    registry,
    report,
    resolution,
    synthesis,
    tables,
    timing,
)  # fmt: skip
from benchmarks.registry import (  # noqa: E402
    CASES,
    OURS,
    PROBES,
    STAND_IN,
    TIERS,
    Case,
    Peer,
    Problem,
    Work,
)

# float32 against float64; Kymatio's rounding, not ours, decides
TOLERANCE = 5e-6

needs_proc = pytest.mark.skipif(
    not process.knows_peak(), reason="peak memory is read from Linux's /proc"
)


@pytest.fixture(autouse=True)
def thread_count():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


# ---------------------------------------------------------------- the registry


@pytest.fixture
def nothing_is_made(monkeypatch):
    """A context in which no image is made and nothing is brought to a device."""

    def refuse(*arguments, **options):
        raise AssertionError("what is timed makes its input")

    @contextlib.contextmanager
    def refused():
        with monkeypatch.context() as patch:
            patch.setattr(Problem, "images", refuse)
            for name in ("rand", "randn", "randint", "normal", "from_numpy"):
                patch.setattr(torch, name, refuse)
            patch.setattr(torch.Tensor, "cuda", refuse)
            yield

    return refused


def distinct(cases):
    """Without those that are another's where both are tiny, on the CPU."""
    if torch.cuda.is_available():
        return cases
    by = {(str(c.setup), c.problem.tiny(), c.rival): c for c in reversed(cases)}
    return list(by.values())


@pytest.mark.parametrize("case", distinct(CASES), ids=lambda case: case.name)
def test_implementations_agree_with_float64(case, nothing_is_made):
    """The GPU's cases too, though on the CPU where there is no GPU; with input made beforehand."""
    if not torch.cuda.is_available():
        case = dataclasses.replace(case, device="cpu")
    work = case.start(tiny=True)
    exact = work.exact()
    assert exact.dtype in (torch.float64, torch.complex128)
    assert next(iter(work.peers)) == OURS
    checkouts = {
        "joint": {registry.DEVELOPMENT},
        "statistics": {registry.COVARIANCES, registry.PHASES},
    }
    away = not checkouts.get(case.kind, set()) <= set(os.environ)
    assert case.rival in work.peers or registry.kymatio_missing() or away
    for name, peer in work.peers.items():
        if peer.slow:  # compiling takes half a minute
            continue
        values = work.values(peer.run())  # compiles what is compiled
        if case.kind != "construction":
            with nothing_is_made():
                peer.run()
        assert values.shape == exact.shape, name
        assert report.relative_error(values, exact) < TOLERANCE, name


def test_distances_to_full_resolution_fall_with_oversampling():
    x = resolution.field(32, 0)
    near, nearer = (resolution.distances(x, 2, finer) for finer in (0, 1))
    for name, distance in near.items():
        assert nearer[name] <= distance < 0.02, name
    lines = resolution.table(32, 2, 0).splitlines()
    assert lines[0] == "32 x 32, J = 2, distance to full resolution"
    assert len(lines) == 3 + len(near)


def test_syntheses_and_inversions(monkeypatch):
    pytest.importorskip("skimage")
    few = {name: x for name, x in synthesis.textures(32).items() if name != "gravel"}
    monkeypatch.setattr(synthesis, "textures", lambda side: few)
    lines = synthesis.table(32, 2, 3).splitlines()
    assert [line.split()[-4][-1] for line in lines[1:4]] == ["%"] * 3
    first, second = (float(re.search(r"([0-9.]+) dB", line)[1]) for line in lines[4:])
    assert second > first + 1


def test_a_peer_of_other_conventions_is_run_and_answers_with_what_is_known():
    ran, x = [], torch.rand(3, requires_grad=True)
    work = registry.Work({OURS: registry.Peer(lambda: x.detach() * 2)}, lambda: x)
    beside = registry._beside(work, "peer", x, lambda x: ran.append(1) or x.square())
    assert torch.equal(beside.peers["peer"].run(), x.detach() * 2)
    assert ran == [1]
    assert list(beside.peers) == [OURS, "peer"]


def test_names_are_unique():
    names = [entry.name for entry in [*CASES, *PROBES]]
    assert len(set(names)) == len(names)


def test_input_has_a_fixed_seed():
    problem = Problem(J=2, shape=(8, 12), batch=3)
    assert problem.images().shape == (3, 8, 12)
    assert torch.equal(problem.images(), problem.images())
    colour = dataclasses.replace(problem, colour=True)
    assert colour.images().shape == (3, 3, 8, 12) and colour.planes == 9


def test_checked_images_are_spread_over_the_batch():
    problem = Problem(J=1, shape=(2, 2), batch=1024)
    picked = problem.some(torch.arange(1024)).tolist()
    assert len(picked) == registry.CHECKED and picked[0] == 0 and picked[-1] == 1023
    assert dataclasses.replace(problem, batch=3).some(torch.arange(3)).tolist() == [0, 1, 2]


def operations_of(run):
    """How often a run computes what; views of tensors left out."""
    with torch.profiler.profile() as profile:
        run()
    views = ("view", "reshape", "select", "slice", "as_strided", "alias", "squeeze", "narrow")
    counts = {event.key: event.count for event in profile.key_averages()}
    return Counter(
        {
            key: n
            for key, n in counts.items()
            if "aten::" in key and not any(v in key for v in views)
        }
    )


@pytest.mark.proof
@pytest.mark.parametrize(("J", "shape"), [(1, (17, 20)), (2, (32, 32)), (3, (40, 24))])
def test_per_path_loop_does_what_kymatio_does(J, shape):
    if missing := registry.kymatio_missing():
        pytest.skip(missing)
    problem = Problem(J, shape, batch=3)
    x = problem.images()
    ours, theirs = registry.module(STAND_IN, problem), registry.module("kymatio", problem)
    assert report.relative_error(ours(x), theirs(x).double()) < TOLERANCE
    assert ours(x.expand(2, *x.shape)).shape == (2, *theirs(x).shape)
    counted = operations_of(lambda: theirs(x))
    assert operations_of(lambda: ours(x)) == counted
    assert counted["aten::fft_fft2"] > J


def test_the_loop_stands_in_for_kymatio_on_a_gpu_only(monkeypatch):
    assert STAND_IN not in registry.implementations("cuda")
    monkeypatch.setattr(registry, "kymatio_missing", lambda: "Kymatio is left out.")
    assert registry.implementations("cuda") == [OURS, STAND_IN, "twin"]
    assert registry.implementations() == [OURS, "twin"]


def test_report_goes_on_without_kymatio(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(registry, "kymatio_missing", lambda: "Kymatio is left out.")
    arguments = ["--quick", "--cases", "32x32 J=2 batch 1", "--output", str(tmp_path)]
    assert report.main(arguments) == 0
    assert "Kymatio is left out." in capsys.readouterr().out
    (stored,) = tmp_path.glob("*.json")
    assert list(json.loads(stored.read_text())["cases"][0]["peers"]) == [OURS, "twin"]


def test_missing_kymatio_is_told_in_a_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "kymatio.torch", None)
    registry.kymatio_missing.cache_clear()
    try:
        assert "Kymatio is left out" in registry.kymatio_missing()
    finally:
        registry.kymatio_missing.cache_clear()


# ---------------------------------------------------------------- timing


def test_peers_are_timed_in_turn_without_garbage_collection():
    turns = []

    def timer(run, repeats):
        turns.append((run(), repeats, gc.isenabled(), torch.get_num_threads()))
        return 0.01

    peers = {"a": Peer(lambda: "a"), "b": Peer(lambda: "b"), "c": Peer(lambda: "c", threads=2)}
    times = timing.interleave(peers, timer, rounds=4, seconds=0.2, threads=1)

    timed = turns[-12:]
    assert [turn[0] for turn in timed] == ["a", "b", "c"] * 4
    assert {turn[1] for turn in timed} == {5}  # 4 rounds of 5 runs of 0.01 s make 0.2 s
    assert not any(turn[2] for turn in timed)
    assert [turn[3] for turn in timed] == [1, 1, 2] * 4
    assert times == {"a": [0.01] * 4, "b": [0.01] * 4, "c": [0.01] * 4}
    assert gc.isenabled()


def test_collector_and_threads_come_back_after_a_failure():
    torch.set_num_threads(2)

    def fail():
        raise ArithmeticError

    with pytest.raises(ArithmeticError):
        timing.interleave({"a": Peer(fail)}, timing.cpu_timer, 3, 0.1, threads=1)
    assert gc.isenabled()
    assert torch.get_num_threads() == 2


def test_cpu_timer_divides_by_the_repeats(monkeypatch):
    clock = iter([10.0, 16.0])
    monkeypatch.setattr(timing.time, "perf_counter", lambda: next(clock))
    runs = []
    assert timing.cpu_timer(lambda: runs.append(1), 3) == 2.0
    assert len(runs) == 3


def test_cuda_timer_waits_for_the_device(monkeypatch):
    calls = []

    class Event:
        def __init__(self, enable_timing):
            assert enable_timing

        def record(self):
            calls.append("record")

        def synchronize(self):
            calls.append("event done")

        def elapsed_time(self, stop):
            calls.append("elapsed")
            return 6.0  # milliseconds

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: calls.append("device done"))
    assert timing.cuda_timer(lambda: calls.append("run"), 2) == pytest.approx(3e-3)
    expected = ["device done", "record", "run", "run", "record", "event done", "elapsed"]
    assert calls == expected


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_timer_on_a_device():
    x = torch.ones(1 << 20, device="cuda")
    assert timing.timer_for("cuda:0")(lambda: x.sin(), 3) > 0


def test_unknown_device_has_no_timer():
    with pytest.raises(ValueError, match="device: expected one of"):
        timing.timer_for("meta")


# ---------------------------------------------------------------- processes


# In processes of their own, as the benchmarks do it: after other tests a heap may hold free memory
# that the C library does not give back.
FREED_AGAIN = """
import torch
from benchmarks import process

before = process._reset_peak()
torch.ones(10_000_000)  # 40 MB, gone at once
print(process._peak() - before)
"""
CALL = """
import torch
from benchmarks import process, registry

def transform(x):
    workspace = torch.ones(25_000_000)  # 100 MB
    return workspace[:12_500_000] + 1  # 50 MB

registry.build = lambda name, problem: transform
print(process._measure_call("memory", "any", 2, 8, 8, 1, threads=1))
"""


@needs_proc
def test_peak_memory_counts_what_was_freed_again():
    assert 38e6 < process._child("-c", FREED_AGAIN) < 60e6


@needs_proc
def test_peak_memory_starts_afresh():
    again = "torch.ones(10_000_000)\nprint(process._reset_peak() - before)"
    assert process._child("-c", FREED_AGAIN.rpartition("print")[0] + again) < 20e6


@needs_proc
def test_memory_of_a_call_leaves_out_its_output():
    assert 98e6 < process._child("-c", CALL) < 110e6


@pytest.mark.proof
@needs_proc
def test_memory_of_a_call_in_a_new_process():
    used = process.call_memory("twin", 2, (64, 64), 16, threads=1)
    assert 0 < used < 1e9


@pytest.mark.proof
def test_import_time_is_positive():
    assert process.import_seconds(rounds=1) > 0


def test_failing_process_tells_why():
    with pytest.raises(
        RuntimeError, match="expected 'memory', 'gradient' or 'building', got 'nonsense'"
    ):
        process._child("-m", "benchmarks.process", "nonsense", "twin")


# ---------------------------------------------------------------- the report


def test_report_writes_json_and_figure(tmp_path, capsys):
    assert report.main(["--quick", "--cases", "32x32 J=2 batch 1", "--output", str(tmp_path)]) == 0

    written = sorted(path.name for path in tmp_path.iterdir())
    assert [name.rpartition(".")[2] for name in written] == ["json", "png"]
    assert all(name.startswith("cpu-") and "-partial." in name for name in written)
    image = (tmp_path / written[1]).read_bytes()
    assert image.startswith(b"\x89PNG\r\n\x1a\n") and image.endswith(b"IEND\xaeB`\x82")

    stored = json.loads((tmp_path / written[0]).read_text(encoding="utf-8"))
    assert {"processor", "cores", "instruction_set", "versions", "date"} <= set(stored["machine"])
    (entry,) = stored["cases"]
    assert entry["name"] == "32x32 J=2 batch 1"
    for peer in entry["peers"].values():
        assert len(peer["rounds"]) == stored["rounds"]
        assert math.isclose(peer["microseconds_per_image"], 1e6 * peer["seconds"])
        assert peer["relative_error"] < TOLERANCE
    ours = entry["peers"][OURS]["seconds"]
    for name, ratio in entry["ratios"].items():
        assert math.isclose(ratio, entry["peers"][name]["seconds"] / ours)

    printed = capsys.readouterr().out
    assert entry["name"] in printed
    assert str(tmp_path / written[0]) in printed


def test_relative_error():
    exact = torch.tensor([3.0, 4.0], dtype=torch.float64)
    assert report.relative_error(torch.tensor([3.0, 4.5]), exact) == 0.1


def test_times_are_divided_by_the_images_and_errors_are_those_of_each_peer():
    def setup(problem, device):
        exact = torch.ones(4, dtype=torch.float64)
        peers = {OURS: Peer(lambda: torch.ones(4)), "twin": Peer(lambda: torch.full((4,), 1.5))}
        return Work(peers, lambda: exact, images=problem.batch)

    case = Case("fake", setup, Problem(J=1, shape=(2, 2), batch=4), "operator", rival="twin")
    peers = report.measure(case, report.Settings(quick=True))["peers"]
    for peer in peers.values():
        assert math.isclose(peer["microseconds_per_image"], 1e6 * peer["seconds"] / 4)
    assert [peer["relative_error"] for peer in peers.values()] == [0.0, 0.5]


def _case(run, twin, **options):
    """A case of two implementations whose exact answer is 1, 1, 1, 1."""

    def setup(problem, device):
        exact = torch.ones(4, dtype=torch.float64)
        return Work({OURS: Peer(run), "twin": Peer(twin, slow=True)}, lambda: exact)

    return Case("fake", setup, Problem(J=1, shape=(2, 2)), "operator", rival="twin", **options)


def _ones():
    return torch.ones(4)


def _fail():
    raise RuntimeError("out of memory\nand a long story")


def test_a_peer_that_fails_is_left_out_with_a_sentence():
    for twin, why in [
        (_fail, "RuntimeError: out of memory"),
        (lambda: torch.full((4,), torch.nan), "ArithmeticError: its relative error is nan"),
    ]:
        found = report.collect([_case(_ones, twin)], "cpu", report.Settings())
        assert list(found["cases"][0]["peers"]) == [OURS]
        assert found["cases"][0]["left_out"] == {"twin": why}
        assert f"fake: twin left out: {why}." in found["notes"]
        json.dumps(found, allow_nan=False)
    quick = report.collect([_case(_ones, _fail)], "cpu", report.Settings(quick=True))
    assert quick["cases"][0]["left_out"] == {} and quick["failed"] == []


def test_a_case_that_fails_does_not_stop_the_others(monkeypatch, tmp_path, capsys):
    cases = [_case(_fail, _ones), dataclasses.replace(_case(_ones, _ones), name="another")]
    monkeypatch.setattr(registry, "CASES", cases)
    monkeypatch.setattr(registry, "PROBES", [])
    assert report.main(["--output", str(tmp_path)]) == 1
    assert "fake failed: RuntimeError: out of memory." in capsys.readouterr().out
    (path,) = tmp_path.glob("*-partial.json")
    stored = json.loads(path.read_text())
    assert stored["failed"] == ["fake"]
    assert [entry["name"] for entry in stored["cases"]] == ["another"]


def test_the_report_is_written_after_every_case(monkeypatch, tmp_path):
    """Being stopped loses the case that runs."""
    stored = []

    def look():
        paths = sorted(tmp_path.iterdir())
        assert len(paths) == 1 and paths[0].name.endswith("-partial.json")
        stored.append(json.loads(paths[0].read_text()))
        return _ones()

    def stop():
        look()
        raise KeyboardInterrupt

    names = ["first", "second", "third"]
    cases = [dataclasses.replace(_case(look, _ones), name=name) for name in names]
    cases.append(dataclasses.replace(_case(stop, _ones), name="fourth"))
    monkeypatch.setattr(registry, "CASES", cases)
    monkeypatch.setattr(registry, "PROBES", [])
    monkeypatch.setattr(
        report, "interleave", lambda peers, *_, **__: {name: [1.0] for name in peers}
    )
    with pytest.raises(KeyboardInterrupt):
        report.main(["--output", str(tmp_path)])
    measured = [[entry["name"] for entry in one["cases"]] for one in stored]
    assert measured == [names[:count] for count in range(4)]
    assert not any(one["complete"] for one in stored)
    assert stored[0]["machine"]["versions"]["torch"] == torch.__version__

    del cases[-1]
    assert report.main(["--output", str(tmp_path)]) == 0  # and what was written on the way goes
    (path,) = tmp_path.glob("*.json")
    assert "partial" not in path.name and json.loads(path.read_text())["complete"]


def test_no_case_is_begun_after_the_limit():
    found = report.collect([_case(_ones, _ones)] * 2, "cpu", report.Settings(limit=0))
    assert found["cases"] == [] and not found["complete"]
    assert "--limit left out: fake, fake." in found["notes"]


def test_a_report_of_nothing_is_a_failure(tmp_path):
    arguments = ["--cases", "32x32 J=2 batch 1", "--limit", "-1", "--output", str(tmp_path)]
    assert report.main(arguments) == 1


def test_memory_is_left_empty_where_the_system_does_not_tell(monkeypatch):
    monkeypatch.setattr(process, "knows_peak", lambda: False)
    assert registry.memory(CASES[0].problem, 1, [OURS]) == {}


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_report_says_that_there_is_no_gpu(capsys):
    with pytest.raises(SystemExit) as stop:
        report.main(["--device", "cuda"])
    assert stop.value.code == 2
    assert "PyTorch finds no NVIDIA GPU here" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--cases", "no such case"], ["--threads", "0"]])
def test_report_refuses_bad_arguments(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        report.main(arguments)
    assert stop.value.code == 2
    assert f"{arguments[0]}: " in capsys.readouterr().err


def _stored(**changes):
    """A report with one case of each kind and a probe, as `collect` returns it."""
    peer = {"seconds": 2e-3, "microseconds_per_image": 20.0, "relative_error": 1e-7}
    slow = peer | {"seconds": 3.1e-2, "microseconds_per_image": 310.0}

    def entry(kind, rival, target):
        return {
            "name": f"{kind} case",
            "kind": kind,
            "target": target,
            "rival": rival,
            "peers": {OURS: peer, rival: slow},
            "ratios": {rival: 15.5},
        }

    stored = {
        "machine": {"processor": "A", "instruction_set": "avx2", "date": "2000-01-01T00:00"},
        "device": "cpu",
        "threads": 1,
        "complete": True,
        "cases": [
            entry("transform", "kymatio", 15),
            entry("operator", "twin", None),
            entry("construction", "kymatio", 40),
            entry("threads", "one thread", 1.7),
        ],
        "probes": [{"name": "probe", "unit": "MB", "target": 48, "values": {OURS: 50.0}}],
        "notes": ["A note."],
    }
    return stored | changes


def test_tables_tell_wanted_values_and_whether_they_were_met():
    lines = tables.text(_stored()).splitlines()
    cells = {
        name: next(line for line in lines if line.startswith(name)).split()
        for name in (
            "transform case",
            "operator case",
            "construction case",
            "threads case",
            "probe",
        )
    }
    assert cells["transform case"][2:7] == ["20.0", "310", "15.5", "≥", "15×"]
    assert "met" in cells["transform case"]
    assert "met" not in cells["operator case"] and "missed" not in cells["operator case"]
    assert cells["construction case"][-1] == "missed"
    assert cells["threads case"][-1] == "met"
    assert cells["probe"][-1] == "missed"
    assert lines[-1] == "A note."


@pytest.mark.parametrize(
    ("changes", "slug"),
    [
        ({}, "cpu-avx2"),
        ({"threads": 2}, "cpu-avx2-threads2"),
        ({"complete": False}, "cpu-avx2-partial"),
        ({"device": "cuda", "machine": {"processor": "NVIDIA A100-SXM4-40GB"}}, "a100-sxm4-40gb"),
        (
            {"device": "cuda", "machine": {"processor": "Tesla T4"}, "complete": False},
            "tesla-t4-partial",
        ),
    ],
)
def test_slug_keeps_complete_reports_apart(changes, slug):
    assert report.slug(_stored(**changes)) == slug


def test_failed_writing_keeps_the_old_file(tmp_path):
    old = tmp_path / "cpu.json"
    old.write_text("old")

    def fail(path):
        path.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        report._replace(old, fail)
    assert [path.name for path in tmp_path.iterdir()] == ["cpu.json"]
    assert old.read_text() == "old"


def test_figure_leaves_out_cases_without_a_ratio(tmp_path):
    stored = _stored()
    assert [case["kind"] for case in plot.bars(stored)] == ["transform", "operator", "construction"]
    plot.draw(stored, tmp_path / "figure")
    assert (tmp_path / "figure").read_bytes().startswith(b"\x89PNG")


def test_report_without_ratios_has_no_figure(tmp_path):
    paths = report.write(_stored(cases=[]), tmp_path)
    assert [path.suffix for path in paths] == [".json"]


def _without(monkeypatch, *packages):
    real = builtins.__import__

    def refuse(name, *arguments):
        if name.partition(".")[0] in packages:
            raise ImportError(f"No module named {name!r}", name=name)
        return real(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", refuse)


def test_report_without_tabulate_and_matplotlib(monkeypatch, tmp_path, capsys):
    monkeypatch.delitem(sys.modules, "benchmarks.plot")
    monkeypatch.delattr(sys.modules["benchmarks"], "plot")
    _without(monkeypatch, "tabulate", "matplotlib")
    assert [path.suffix for path in report.write(_stored(), tmp_path)] == [".json"]
    assert "No figure is drawn: No module named 'matplotlib" in capsys.readouterr().out
    text = tables.text(_stored())
    assert "transform case\t20.0\t310\t15.5\t≥ 15×\tmet" in text


# ---------------------------------------------------------------- GPUs


@pytest.mark.parametrize(
    ("J", "side", "kilobytes", "megaflop"),
    [(2, 32, 74.5, 11.2), (3, 224, 2640, 778), (4, 224, 1630, 1005)],
)
def test_floors_are_those_of_the_design(J, side, kilobytes, megaflop):
    """Of a colour image: the figures that the engine was designed against, to 3 %."""
    problem = Problem(J, (side, side), batch=5, colour=True)
    assert gpu.traffic(problem) / 5e3 == pytest.approx(kilobytes, rel=0.03)
    assert gpu.operations(problem) / 5e6 == pytest.approx(megaflop, rel=0.03)


def test_shares_are_floors_over_the_time():
    problem = Problem(2, (32, 32), 1, colour=True)
    measured = {"copy_bytes_per_second": 1e12, "float32_operations_per_second": 4e13}
    shares = gpu.shares(problem, 1e-6, measured)
    assert shares["memory"] == pytest.approx(gpu.traffic(problem) / 1e6)
    assert shares["arithmetic"] == pytest.approx(gpu.operations(problem) / 2e7)


def test_ceilings_count_both_ways_and_two_operations_a_product(monkeypatch):
    monkeypatch.setattr(gpu, "timer_for", lambda device: lambda run, repeats: 1e-3)
    before = torch.get_float32_matmul_precision()
    assert gpu.ceilings("cpu", quick=True) == {
        "copy_bytes_per_second": 8e3 * 2**24,
        "float32_operations_per_second": 2e3 * 2048**3,
    }
    assert torch.get_float32_matmul_precision() == before


def test_kernels_are_those_on_the_gpu_the_longest_first():
    on_gpu, on_cpu = torch.autograd.DeviceType.CUDA, torch.autograd.DeviceType.CPU
    events = [
        SimpleNamespace(key="short", count=20, self_device_time_total=30.0, device_type=on_gpu),
        SimpleNamespace(key="host", count=99, self_device_time_total=99.0, device_type=on_cpu),
        SimpleNamespace(key="long", count=10, self_device_time_total=50.0, device_type=on_gpu),
    ]
    assert gpu.summary(events, runs=10) == [
        {"kernel": "long", "launches": 1, "microseconds": 5},
        {"kernel": "short", "launches": 2, "microseconds": 3},
    ]


def test_nvidia_smi_is_asked_where_it_is_there(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpu.nvidia_smi("1234") == {}
    program = tmp_path / "nvidia-smi"
    program.write_text(
        "#!/bin/sh\n[ $1 = --id=GPU-1234 ] && echo 580.1, 1980 MHz, 2619 MHz, 2, 700 W\n"
    )
    program.chmod(0o755)
    told = gpu.nvidia_smi("1234")
    assert list(told) == gpu.QUERIES
    assert told["driver_version"] == "580.1" and told["power.limit"] == "700 W"
    assert gpu.nvidia_smi("another") == {}


@pytest.fixture
def pretended_gpu(monkeypatch):
    """The report's way through a GPU, with tiny problems on the CPU in its place."""

    def start(case, tiny=False):
        work = case.setup(case.problem.tiny(), torch.device("cpu"))
        return dataclasses.replace(work, images=case.problem.batch)

    properties = SimpleNamespace(
        name="NVIDIA H100 80GB HBM3",
        multi_processor_count=132,
        major=9,
        minor=0,
        total_memory=80 << 30,
        uuid="none",
    )
    kernels = [{"kernel": "fused_kernel<40>", "launches": 1.0, "microseconds": 800.0}]
    ceilings = {"copy_bytes_per_second": 3e12, "float32_operations_per_second": 5e13}
    for module, name, stand_in in [
        (torch.cuda, "is_available", lambda: True),
        (torch.cuda, "current_device", lambda: 0),
        (torch.cuda, "get_device_properties", lambda index: properties),
        (registry.Case, "start", start),
        (registry, "kymatio_missing", lambda: "Kymatio is left out."),
        (registry, "implementations", lambda device: [OURS, STAND_IN, "twin"]),
        (report, "timer_for", lambda device: lambda run, repeats: 1e-3),
        (gpu, "ceilings", lambda device, quick: ceilings),
        (gpu, "memory", lambda run: 1.5),
        (gpu, "launch", lambda problem: f"fused, {problem.planes} images at a time"),
        (gpu, "kernels", lambda run: kernels),
    ]:
        monkeypatch.setattr(module, name, stand_in)


@pytest.mark.proof
def test_report_of_a_gpu(pretended_gpu, tmp_path, capsys, monkeypatch):
    on_gpu = [case for case in reversed(CASES) if case.device == "cuda"]
    monkeypatch.setattr(registry, "CASES", list({case.kind: case for case in on_gpu}.values()))
    assert report.main(["--device", "cuda", "--quick", "--output", str(tmp_path)]) == 0
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["h100-80gb-hbm3-partial.json", "h100-80gb-hbm3-partial.png"]
    stored = json.loads((tmp_path / names[0]).read_text())
    assert stored["machine"]["instruction_set"] == "sm_90" and stored["machine"]["host"]
    cases = {entry["name"]: entry for entry in stored["cases"]}
    assert stored["failed"] == [] and all(entry["device"] == "cuda" for entry in cases.values())
    assert all(entry["memory_mb"][OURS] == 1.5 for entry in cases.values())
    main = cases["32x32 J=2 batch 1024 RGB"]
    assert list(main["peers"]) == [OURS, STAND_IN, "twin", *TIERS]
    assert main["rival"] == STAND_IN and main["kernels"][0]["kernel"] == "fused_kernel<40>"
    problem = Problem(2, (32, 32), 1024, colour=True)
    assert main["floors"]["memory"] == pytest.approx(gpu.traffic(problem) / 3e12 / 1e-3)
    printed = capsys.readouterr().out
    for told in [
        "(fused, 3072 images at a time)",
        "132 cores, sm_90",
        "copies 3.00 TB/s",
        "≥ 20×, ≤ 1.67 µs",
        "fused_kernel<40>",
    ]:
        assert told in printed
    assert "1,024,000" in printed  # images a second


def test_report_of_a_gpu_without_a_profiler(pretended_gpu, monkeypatch):
    monkeypatch.setattr(gpu, "kernels", lambda run: _fail())
    on_gpu = [case for case in CASES if case.device == "cuda"]
    (case,) = [case for case in on_gpu if case.most and case.problem.J == 2]
    found = report.collect([case], "cuda", report.Settings(quick=True))
    assert "kernels" not in found["cases"][0]
    assert f"{case.name}: not profiled: RuntimeError: out of memory." in found["notes"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_memory_and_kernels_of_a_call_on_a_device():
    x = torch.ones(1 << 20, device="cuda")
    assert gpu.memory(lambda: (x + 1) * 2) == pytest.approx(4 * 2**20 / 1e6)
    assert sum(kernel["launches"] for kernel in gpu.kernels(lambda: x + 1)) == 1
    assert gpu.describe()["processor"] == torch.cuda.get_device_name()
    assert gpu.launch(Problem(2, (32, 32), 5, colour=True)).startswith("fused, 15 images")


# ---------------------------------------------------------------- the C++ program


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    if shutil.which("c++") is None:
        pytest.skip("no c++")
    return consumer.compile_program(tmp_path_factory.mktemp("consumer"))


@pytest.mark.parametrize("threads", consumer.THREADS)
def test_program_is_timed_beside_python(program, threads):
    effort = {"starts": 2, "rounds": 3, "seconds": 0.01}
    entry = consumer.measure(program, consumer.PROBLEM.tiny(), threads, **effort)
    assert entry["threads"] == threads
    assert [len(rounds) for rounds in entry["rounds"].values()] == [6, 6]
    assert entry["ratio"] > 0
    found = {"machine": report.machine(), "problem": vars(consumer.PROBLEM), "cases": [entry]}
    assert f"{entry['ratio']:.3f}" in consumer.table(found)


def test_program_must_give_the_bits_of_python(program, monkeypatch):
    problem, write = consumer.PROBLEM.tiny(), scatcuda.Scattering2D.save_plan
    other = scatcuda.Scattering2D(problem.J, problem.shape, filters="tight")
    monkeypatch.setattr(scatcuda.Scattering2D, "save_plan", lambda _, path: write(other, path))
    with pytest.raises(RuntimeError, match="expected the bits of the Python call, got others"):
        consumer.measure(program, problem, 1, starts=1, rounds=1, seconds=0)


def test_program_that_ends_is_an_error(program, monkeypatch, capfd):
    monkeypatch.setattr(
        scatcuda.Scattering2D, "save_plan", lambda self, path: path.write_bytes(b"no plan")
    )
    with pytest.raises(RuntimeError, match=r"consumer\.cpp ended"):
        consumer.measure(program, consumer.PROBLEM.tiny(), 1, starts=1, rounds=1, seconds=0)
    assert "consumer: no plan of scatcuda" in capfd.readouterr().err


def test_a_case_of_one_build_alone_is_left_out(monkeypatch, capsys):
    """Of two builds; and where that leaves none, it says so."""
    from benchmarks import builds

    class Worker:
        def __init__(self, build):
            pass

        def ask(self, name, repeats):
            return (1 if repeats == 0 else 0.5) if name == "old" else None

        def end(self):
            pass

    monkeypatch.setattr(builds, "Worker", Worker)
    found = builds.compare(builds.ROOT, builds.ROOT, ["old", "new"], 3, 3)
    assert found == {"old": {"after": [1.0] * 3, "control": [1.0] * 3}}
    assert "new: not a case of both builds" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        builds.main([str(builds.ROOT), str(builds.ROOT), "--only", "^call 8x8 J=1"])
    assert "both builds have no such case" in capsys.readouterr().err


def test_what_is_known_of_stages():
    """Operations and bytes of an image, by hand."""
    from benchmarks import stages

    S = scatcuda.Scattering2D(2, (16, 16), L=4)
    assert list(stages.paths(S).values()) == ["image", "0", "1", "01"]
    sides = [(4, 24), (4, 12), (16, 12)]  # planes and padded side of every step
    lines = [planes * side * 5 * side * math.log2(side) for planes, side in sides]
    filters = [(1, 4 * 24 * 24), (1, 4 * 24 * 24), (4, 4 * 24 * 24)]  # sources, kept values
    work = stages.known(S)
    assert work["columns"][0] == work["rows"][0] == pytest.approx(sum(lines))
    assert work["rows"][1] == 4 * sum(2 * planes * side**2 for planes, side in sides)
    assert work["rows_forward"][0] == pytest.approx(lines[0] / 2)
    assert work["fold"] == (4 * sum(n * m for n, m in filters), 4 * sum(n * m for n, m in filters))
    taps = [kept.sum().item() for kept in (S._phi_support[:, 1] - S._phi_support[:, 0]).split(4)]
    outputs = [(planes, side, taps[2 * (side == 12) + 1]) for planes, side in sides]
    assert work["lowpass_rows"][0] == sum(2 * n * side * kept for n, side, kept in outputs)
    assert {"-mavx2", "-mavx512f"} <= set(stages.flags("SCATCUDA_avx512"))


@pytest.mark.proof
def test_stages_of_an_image(tmp_path, capfd, monkeypatch):
    from benchmarks import stages

    monkeypatch.setenv("CXXFLAGS", "-O1")  # half a minute less
    built = stages.compile_program(tmp_path, "baseline", "float")
    monkeypatch.setattr(stages, "compile_program", lambda *_: built)
    small = ["--shape", "12", "12", "--J", "2", "--L", "3", "--batch", "2", "--seconds", "0.01"]
    found = tmp_path / "stages.json"
    assert stages.main([*small, "--isa", "baseline", "--json", str(found)]) == 0
    printed = capfd.readouterr().out
    assert re.search(r"^forward: [0-9.]+ us an image$", printed, re.MULTILINE)
    for name, measured in json.loads(found.read_text()).items():
        parts = sum(sum(times.values()) for times in measured["stages"].values())
        assert parts == pytest.approx(measured["microseconds"], rel=0.05), name
        last = {"forward": "coefficients", "backward": "unfold"}[name]
        assert {"fold", "columns", "rows", last} <= measured["stages"].keys()
    assert stages.main(["--isa", "baseline", "--radices"]) == 0
    rows = [line.split() for line in capfd.readouterr().out.splitlines()[1:]]
    assert [row[0] for row in rows] == [*map(str, [*range(1, 14), 15, 16])]
    assert [row[0] for row in rows if row[1] == "-"] == ["15", "16"]
    assert all(float(time) > 0 for row in rows for time in row[1:] if time != "-")
    for wrong in (["--isa", "vax"], ["--batch", "0"], ["--J", "99"]):
        with pytest.raises(SystemExit, match="2"):
            stages.main(wrong)


@pytest.mark.parametrize(
    ("module", "arguments", "told"),
    [
        ("benchmarks", ["--threads", "0"], "argument --threads: expected 1 to 1024, got 0"),
        ("benchmarks", ["--output", "/dev/null/x"], "--output /dev/null/x: "),
        ("benchmarks.builds", [".", ".", "--only", "["], "no regular expression"),
        ("benchmarks.stages", ["--batch", "0"], "argument --batch: expected 1"),
        ("benchmarks.resolution", ["--side", "0"], "argument --side: expected 16"),
    ],
)
def test_nonsense_is_one_sentence(module, arguments, told):
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert told in done.stderr.splitlines()[-1]
