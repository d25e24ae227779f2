"""The benchmark suites: what they time is right, and the report can be written. No test here
asks how long anything takes."""

import gc
import json
import math
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # benchmarks/ is not part of the installed package

pytest.importorskip("tabulate")
pytest.importorskip("matplotlib")

from benchmarks import plot, process, registry, report, timing  # noqa: E402
from benchmarks.registry import CASES, OURS, PROBES, Case, Peer, Problem, Work  # noqa: E402

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


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_implementations_agree_with_float64(case):
    work = case.start(tiny=True)
    exact = work.exact()
    assert exact.dtype in (torch.float64, torch.complex128)
    assert next(iter(work.peers)) == OURS
    assert case.rival in work.peers or registry.kymatio_missing()
    for name, peer in work.peers.items():
        values = work.values(peer.run())
        assert values.shape == exact.shape, name
        assert report.relative_error(values, exact) < TOLERANCE, name


def test_names_are_unique():
    names = [entry.name for entry in [*CASES, *PROBES]]
    assert len(set(names)) == len(names)


def test_input_has_a_fixed_seed():
    problem = Problem(J=2, shape=(8, 12), batch=3)
    assert problem.images().shape == (3, 8, 12)
    assert torch.equal(problem.images(), problem.images())


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


@needs_proc
def test_peak_memory_counts_what_was_freed_again():
    before = process._reset_peak()
    torch.ones(10_000_000)  # 40 MB, gone at once
    assert 38e6 < process._peak() - before < 60e6
    assert process._reset_peak() < before + 20e6


@needs_proc
def test_memory_of_a_call_leaves_out_its_output(monkeypatch):
    def transform(x):
        workspace = torch.ones(10_000_000)  # 40 MB
        return workspace[:5_000_000] + 1  # 20 MB

    monkeypatch.setattr(registry, "build", lambda name, problem: transform)
    assert 38e6 < process._measure_call("any", 2, 8, 8, 1, threads=1) < 50e6


@needs_proc
def test_memory_of_a_call_in_a_new_process():
    used = process.call_memory("twin", 2, (64, 64), 16, threads=1)
    assert 0 < used < 1e9


def test_import_time_is_positive():
    assert process.import_seconds(rounds=1) > 0


def test_failing_process_tells_why():
    with pytest.raises(RuntimeError, match="expected 'memory', got 'nonsense'"):
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


def test_memory_is_left_empty_where_the_system_does_not_tell(monkeypatch):
    monkeypatch.setattr(process, "knows_peak", lambda: False)
    assert registry.memory(CASES[0].problem, 1, [OURS]) == {}


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
    lines = report.tables(_stored()).splitlines()
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
    assert cells["transform case"][2:7] == ["20.0", "310", "15.5", "≥", "15"]
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
