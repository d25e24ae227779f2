"""The experiments: configurations are valid, what is expected is judged, the page is written."""

import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # benchmarks/ is not part of the installed package

pytest.importorskip("safetensors")
pytest.importorskip("sklearn")

from benchmarks.learning import __main__ as runner  # noqa: E402
from benchmarks.learning import page  # noqa: E402
from scatcuda.learn import Options, load  # noqa: E402
from scatcuda.learn.experiments.experiment import run_experiment  # noqa: E402
from scatcuda.learn.experiments.options import read_config, read_expected  # noqa: E402

CONFIGS = sorted((ROOT / "benchmarks/learning").glob("*.toml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_configurations(path):
    options = Options(**read_config(path))
    expected = read_expected(path)
    assert set(expected) <= {str(n) for n in options.n} | {"seconds"}
    assert path.read_text().startswith("# ")


def test_verdicts():
    rows = [{"n": 300, "accuracy": 0.9499}]
    assert runner.verdict("300", 94.99, rows, 1.0)["met"]
    assert not runner.verdict("300", 95.0, rows, 1.0)["met"]
    assert runner.verdict("seconds", 60, rows, 59.9) == {
        "met": True, "text": "59.9 s, at most 60: met",
    }  # fmt: skip
    assert runner.verdict("seconds", 60, rows, 61.0)["text"].endswith("MISSED")


@pytest.mark.proof
def test_an_experiment_is_run_and_kept(tmp_path, monkeypatch, capsys):
    config = tmp_path / "tiny.toml"
    config.write_text('# A tiny one\ndata = "digits"\nn = [50]\n\n[expect]\n50 = 10\n')
    monkeypatch.setattr(runner, "HERE", tmp_path)
    (tmp_path / "results").mkdir()

    real = runner.subprocess.run
    monkeypatch.setattr(
        runner.subprocess, "run", lambda command, **how: real(command, **{**how, "cwd": ROOT})
    )
    assert runner.main(["tiny", "--results", str(tmp_path / "results")]) == 0
    kept = json.loads((tmp_path / "results/tiny.json").read_text())
    assert kept["title"] == "A tiny one" and kept["rows"][0]["n"] == 50
    text = (tmp_path / "README.md").read_text()
    assert "[A tiny one](tiny.toml)" in text and "10 %: met" in text
    assert page.text(tmp_path / "results") == text


def test_networks_of_a_data_set_side_by_side():
    assert runner._parameters(Options(data="digits"), None) is None
    resnet = Options(data="digits", model="resnet", epochs=2)
    entry = {"name": "a", "title": "MNIST: A", "options": {**vars(resnet), "data": "mnist"},
             "parameters": runner._parameters(resnet, None),
             "rows": [{"n": "all", "images": 25_600, "accuracy": 0.9, "seconds": 30.0,
                       "seeds": [0, 1]}]}  # fmt: skip
    best = {**entry, "name": "b", "title": "MNIST: B"}
    # 3 steps an epoch: min_steps are more
    best["rows"] = [{**entry["rows"][0], "images": 400, "accuracy": 0.95}]
    ridge = {**best, "parameters": None}
    assert page._networks([entry, ridge]) == ""
    lines = page._networks([entry, best, ridge]).splitlines()
    assert lines[0] == "## Networks on all of MNIST"
    assert lines[-2:] == [
        "| [B](b.toml) | 272,186 | 100 | none | 95.00 | 15 |",
        "| [A](a.toml) | 272,186 | 2 | none | 90.00 | 15 |",
    ]


def test_features_asked_for_once_are_standardised_where_they_lie(tmp_path):
    """With the same answers, and a model that leaves its rows alone."""
    once = run_experiment(Options(data="digits"), tmp_path / "once")
    again = run_experiment(Options(data="digits", n=("all", 50)))
    assert once[0].accuracy == again[0].accuracy
    assert load(tmp_path / "once/nall-seed0/model.safetensors")[1].copy


def test_unknown_names_are_refused(capsys):
    with pytest.raises(SystemExit, match="2"):
        runner.main(["nonsense"])
    assert "no such experiment: nonsense" in capsys.readouterr().err
