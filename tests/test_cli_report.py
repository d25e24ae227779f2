"""What machines read of the command, one JSON document on stdout; and what people see of what takes
long, a bar with an estimate on a terminal and nothing elsewhere."""

import contextlib
import fcntl
import functools
import json
import os
import re
import struct
import sys
import termios
import threading
import types
import typing

import numpy as np
import pytest

pytest.importorskip("safetensors")
pytest.importorskip("sklearn")
pytest.importorskip("tqdm")
pytest.importorskip("matplotlib")

from scatcuda import cli, terminal
from scatcuda.cli import bench as bench_module
from scatcuda.cli import documents, main
from scatcuda.cli.report import Report, print_document
from scatcuda.terminal import Bar, say, wanted

[SUBPARSERS] = [a.choices for a in cli._parser()._actions if isinstance(a.choices, dict)]
ESTIMATE = re.compile(r"\d+/\d[^\r]*\[\d\d:\d\d<\d\d:\d\d")  # done/all … [elapsed<left

TRAIN = "train digits --n 100 --J 1 --pool mean --run {run}"
EXAMPLES = {  # of every kind of document a command that is quickly done
    "Trained": TRAIN,
    "Evaluated": "eval {run} --worst 2",
    "Extracted": "features digits --J 1 --pool mean --output {here}/rows",
    "ImageFilters": "filters --J 2",
    "SignalFilters": "filters --Q 4 --J 3 --length 300 --output {here}/bank.safetensors",
    "JointFilters": "filters --Q 4 --J 4 --J-fr 2 --length 500",
    "AngularFilters": "filters --L 4 --K 2 --output {here}/angles.png",
    "HarmonicFilters": "filters --degrees 1 --output {here}/harmonics.png",
    "Scalogram": "scalogram {here}/tone.wav --J 4 --output {here}/tone.png",
    "Statistics": "statistics {here}/field.npy --J 2 --output {here}/field.csv",
    "Synthesised": "synthesise {here}/field.npy --J 2 --steps 2 --output {here}/made.npy",
    "Inverted": "invert {here}/field.npy --J 2 --steps 2",
    "Generated": "generate digits --J 1 --dims 8 --width 2 --n 300 --epochs 1 "
    "--output {here}/made.png",
    "Exported": "export {here}/plan.scat --J 1",
    "Benchmarked": "bench --J 1 --shape 8,8 --batch 1",
    "Available": "data list --data-dir {here}",
    "Verified": "data verify {here}/some.npz",
    "Configuration": "info",
    "Launched": "info --J 2 --shape 32,32 --device H100",
}
SHORT = {"Configuration", "Launched", "SignalFilters", "JointFilters", "AngularFilters", "HarmonicFilters"}  # fmt: skip # noqa: E501


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What the commands read, a run among it."""
    here = tmp_path_factory.mktemp("report")
    random = np.random.default_rng(0)
    np.save(here / "field.npy", random.normal(size=(16, 16)).astype("f4"))
    x, y = random.random((20, 8, 8)), np.arange(20) % 2
    np.savez(here / "some.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    pytest.importorskip("soundfile").write(here / "tone.wav", np.sin(np.arange(2000) / 3), 8000)
    assert main(TRAIN.format(run=here / "run").split()) == 0
    return here


def arguments(kind, folder, tmp_path):
    run = folder / "run" if kind == "Evaluated" else tmp_path / "run"
    for name in ("field.npy", "some.npz", "tone.wav"):
        (tmp_path / name).symlink_to(folder / name)
    return EXAMPLES[kind].format(run=run, here=tmp_path).split()


@contextlib.contextmanager
def a_terminal(monkeypatch):
    """stderr is one, 80 columns wide; what came is in the list."""
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
    came: list[str] = []

    def read():
        with contextlib.suppress(OSError):  # when the other end is closed
            while some := os.read(master, 4096):
                came.append(some.decode())

    reader = threading.Thread(target=read)
    reader.start()
    monkeypatch.setattr(terminal, "_DELAY", 0.0)
    try:
        with open(slave, "w") as stream, monkeypatch.context() as patched:
            patched.setattr(sys, "stderr", stream)
            yield came
    finally:
        reader.join()
        os.close(master)


@pytest.fixture
def quick_bench(monkeypatch):
    quick = functools.partial(bench_module.bench, rounds=1, seconds=0.001)
    monkeypatch.setattr(bench_module, "bench", quick)


# --- documents --------------------------------------------------------------------------------


def test_every_command_has_a_document_and_what_can_take_long_a_bar():
    assert len(SUBPARSERS) == 13
    given = {
        kind.__name__ for parser in SUBPARSERS.values() for kind in parser.get_default("gives")
    }
    assert given == set(EXAMPLES) == set(documents.__all__) - {"described"}
    for name, parser in SUBPARSERS.items():
        options = set(parser._option_string_actions)
        assert "--json" in options
        assert ({"--progress", "--no-progress"} <= options) == (name != "info")
        for kind in parser.get_default("gives"):
            assert all(f"\n    {key} " in parser.epilog for key in typing.get_type_hints(kind))


def assert_is(value, hint, where="document"):
    """A value as JSON has it is of a type, exactly the keys of a dictionary's."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if typing.is_typeddict(hint):
        hints = typing.get_type_hints(hint)
        assert value.keys() == hints.keys(), where
        for key, one in hints.items():
            assert_is(value[key], one, f"{where}.{key}")
    elif origin is list:
        assert isinstance(value, list), where
        for item in value:
            assert_is(item, inner[0], f"{where}[]")
    elif origin is dict:
        assert isinstance(value, dict), where
        for item in value.values():
            assert_is(item, inner[1], f"{where}{{}}")
    elif origin is typing.Literal:
        assert value in inner, where
    elif origin in (typing.Union, types.UnionType):
        choices = [t for t in inner if typing.get_origin(t) is not typing.Literal]
        literals = [c for t in inner if typing.get_origin(t) is typing.Literal for c in typing.get_args(t)]  # fmt: skip # noqa: E501
        assert type(value) in choices or value in literals, where
    else:
        assert type(value) is hint or (hint is float and type(value) is int), (where, value)


@pytest.mark.parametrize("kind", EXAMPLES)
def test_a_document_is_as_described_and_a_terminal_has_a_bar_with_an_estimate(
    kind, folder, tmp_path, monkeypatch, capsys, quick_bench
):
    given = arguments(kind, folder, tmp_path)
    with a_terminal(monkeypatch) as came:
        assert main([*given, "--json"]) == 0
    out = capsys.readouterr().out
    assert out.count("\n") == 1 and out.isascii()
    document = json.loads(out, parse_constant=pytest.fail)
    assert_is(document, getattr(documents, kind))
    assert bool(ESTIMATE.search("".join(came))) == (kind not in SHORT), came
    if document.get("output"):
        assert os.path.exists(document["output"])


def test_documents_have_the_numbers_that_people_are_told(folder, tmp_path, capsys):
    def both(*given):
        assert main([*given]) == 0
        text = capsys.readouterr().out
        assert main([*given, "--json"]) == 0
        return text, json.loads(capsys.readouterr().out)

    text, document = both("eval", str(folder / "run"))
    assert text.startswith(f"accuracy   {document['accuracy']:.2%} of {document['images']} images")
    assert sum(map(sum, document["confusion"])) == document["images"]
    text, document = both("filters", "--J", "3")
    assert f"{sum(document['paths'])}: 1 of order 0, 24 of order 1" in text
    text, document = both("data", "list", "--data-dir", str(folder))
    assert all(entry["name"] in text for entry in document["datasets"])
    text, document = both("statistics", str(folder / "field.npy"), "--J", "2")
    assert [block["name"] for block in document["blocks"]] == [
        line.split()[0] for line in text.splitlines()[1:]
    ]


def test_what_is_no_number_is_null_and_what_is_no_letter_is_escaped(capsys):
    values = {"a": float("nan"), "b": [np.float32("inf"), np.arange(2)], "c": "\x1b[2J\n\udcff"}
    print_document(values)
    out = capsys.readouterr().out
    assert out == '{"a": null, "b": [null, [0, 1]], "c": "\\u001b[2J\\n\\udcff"}\n'


# --- errors -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SUBPARSERS)
def test_a_wrong_option_is_an_error_in_the_document_of_every_command(name, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([name, "--json", "--nonsense"])
    assert stopped.value.code == 2
    out, err = capsys.readouterr()
    (message,) = json.loads(out).values()
    assert json.loads(out).keys() == {"error"} and message in err and "usage: " in err


@pytest.mark.parametrize(
    "given",
    [
        "train nowhere", "eval absent", "features absent --output rows", "filters --K 2",
        "scalogram absent.wav --output a.png", "statistics absent.npy",
        "synthesise absent.npy --output a.npy", "invert", "generate absent --output a.png",
        "export plan.scat --J 6", "bench --J 6", "data verify absent", "info --J 3",
    ],
)  # fmt: skip
def test_a_failure_is_a_sentence_in_the_document(given, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([*given.split(), "--json"]) == 1
    out, err = capsys.readouterr()
    (message,) = json.loads(out).values()
    assert err == f"scatcuda {given.split()[0]}: {message}\n"
    assert not list(tmp_path.iterdir())


def test_the_keyboard_a_full_disk_and_a_program_that_hears_no_more(monkeypatch, capsys):
    def interrupted(*given, **how):
        raise KeyboardInterrupt

    monkeypatch.setattr("scatcuda.config.show_config", interrupted)
    assert main(["info", "--json"]) == 130
    out, err = capsys.readouterr()
    assert json.loads(out) == {"error": "interrupted"} and err == "scatcuda info: interrupted\n"
    monkeypatch.undo()
    with open("/dev/full", "w") as full, monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", full)
        assert main(["filters", "--json"]) == 1
    assert "standard output" in capsys.readouterr().err


def test_an_expectation_that_is_missed_is_told_beside_the_results(tmp_path, capsys):
    config = tmp_path / "my.toml"
    config.write_text('data = "digits"\nn = 100\nJ = 1\npool = "mean"\n[expect]\n100 = 99.9\n')
    given = ["train", "--config", str(config), "--run", str(tmp_path / "run"), "--json"]
    assert main(given) == 1
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert document["error"] in err and len(document["unmet"]) == 1
    assert document["cells"][0]["accuracy"] < 0.999


def test_a_damaged_data_set_is_found_not_an_error(tmp_path, capsys):
    (tmp_path / "some.npz").write_bytes(b"PK nothing")
    given = ["data", "verify", str(tmp_path / "some.npz")]
    assert main(given) == 1
    text = capsys.readouterr().out
    assert main([*given, "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert "WRONG" in text and document["ok"] is False and "error" not in document
    assert any(not check["ok"] for check in document["checks"])


def test_what_others_print_is_not_among_the_document(monkeypatch, capsys):
    def noisy():
        print("loud")
        say("quiet")

    monkeypatch.setattr("scatcuda.config.show_config", noisy)
    assert main(["info", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["version"] and err == "loud\n"
    assert main(["info"]) == 0
    assert capsys.readouterr() == ("loud\nquiet\n", "")


def test_of_several_processes_the_first_gives_the_document(monkeypatch, capsys):
    monkeypatch.setattr(cli, "_run", lambda args: Report({"rows": 1}))
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank, out in (("0", '{"rows": 1}\n'), ("1", "")):
        monkeypatch.setenv("RANK", rank)
        assert main(["features", "digits", "--output", "rows", "--json"]) == 0
        assert capsys.readouterr().out == out
    with pytest.raises(SystemExit):
        main(["features", "--json"])
    assert capsys.readouterr().out == ""


# --- bars -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["Trained", "Extracted", "Synthesised", "Benchmarked"])
def test_where_there_is_no_terminal_there_is_no_bar(
    kind, folder, tmp_path, monkeypatch, capsys, quick_bench
):
    monkeypatch.setattr(terminal, "_DELAY", 0.0)
    given = arguments(kind, folder, tmp_path)
    assert main(given) == 0
    assert capsys.readouterr().err == ""
    with a_terminal(monkeypatch) as came:
        assert main([*given, "--no-progress"]) == 0
    assert came == []


def test_a_bar_that_is_asked_for_is_shown_anywhere(monkeypatch, capsys, quick_bench):
    monkeypatch.setattr(terminal, "_DELAY", 0.0)
    assert main(["bench", "--J", "1", "--shape", "8,8", "--progress", "--json"]) == 0
    out, err = capsys.readouterr()
    assert ESTIMATE.search(err) and json.loads(out)


def test_what_is_soon_done_needs_no_bar(monkeypatch):
    with a_terminal(monkeypatch) as came:
        monkeypatch.setattr(terminal, "_DELAY", 60.0)
        assert main(["filters"]) == 0
    assert came == []


def test_lines_and_bars_do_not_run_into_each_other(monkeypatch):
    with a_terminal(monkeypatch) as came:
        with Bar(2, "step", shown=wanted(None)) as bar:
            bar.update(1)
            bar.tell("half", loss="0.5")
            say("a line", error=True)
            bar.update(1)
    text = "".join(came)
    assert re.search(r"\r *\ra line\r\n", text)  # the bar is wiped off first
    assert "loss=0.5" in text and ESTIMATE.search(text)


def test_without_tqdm_there_is_silence_unless_a_bar_is_asked_for(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    with a_terminal(monkeypatch) as came:
        assert not wanted(None)
        assert main(["filters"]) == 0
    assert came == []
    capsys.readouterr()
    assert main(["filters", "--progress", "--json"]) == 1
    error = json.loads(capsys.readouterr().out)["error"]
    assert error == "tqdm is not installed: pip install 'scatcuda[learn]'"
    monkeypatch.setattr(sys, "stderr", None)
    assert not wanted(True)


def test_a_program_of_ones_own_has_no_bars_unasked(monkeypatch):
    from scatcuda.learn import ScatteringTransformer

    with a_terminal(monkeypatch) as came:
        ScatteringTransformer(1, pool="mean").fit_transform(np.ones((3, 8, 8)))
    assert came == []


def test_the_demonstration_has_a_bar_too(tmp_path, monkeypatch, capsys):
    from scatcuda import demo

    given = ["--output", str(tmp_path / "demo.png")]
    monkeypatch.setattr(demo, "_ridge_accuracy", lambda *given: 0.5)
    with a_terminal(monkeypatch) as came:
        assert demo.main(given) == 0
    assert ESTIMATE.search("".join(came))
    assert demo.main(given) == 0
    assert capsys.readouterr().err == ""
