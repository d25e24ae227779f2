"""The command scatcuda: trained, evaluated, repeated from its folder; errors in one sentence."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("safetensors")
pytest.importorskip("sklearn")
pytest.importorskip("tqdm")

from scatcuda.cli import main
from scatcuda.data import audio_dataset
from scatcuda.learn import ScatteringTransformer, load_features, run_experiment
from scatcuda.learn.experiments.options import Options, read_config, read_expected, write_config

ROOT = Path(__file__).parents[1]
COMMANDS = ["train", "eval", "features", "filters", "bench", "data", "info"]


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


@pytest.mark.parametrize("command", [None, *COMMANDS])
def test_help_teaches(command, capsys):
    with pytest.raises(SystemExit, match="0"):
        run(*([command] if command else []), "--help")
    text = capsys.readouterr().out
    assert "example" in text
    assert command or all(f"\n    {name} " in text for name in COMMANDS)


def test_train_eval_and_repeat(tmp_path, capsys):
    assert run("train", "digits", "--seeds", 0, 1, "--n", 100, "all", "--run", tmp_path / "a") == 0
    out = capsys.readouterr().out
    assert out.count("accuracy") == 4 and out.count("mean") == 2 and "±" in out
    rows = json.loads((tmp_path / "a/results.json").read_text())
    assert [row["n"] for row in rows] == [100, "all"]
    assert rows[0]["accuracy"] < rows[1]["accuracy"] > 0.98

    # Everything is there: nothing is done again, and the configuration repeats the run.
    result = tmp_path / "a/nall-seed1/result.json"
    before = result.stat().st_mtime_ns
    again = ["train", "--config", tmp_path / "a/config.toml", "--run"]
    assert run(*again, tmp_path / "a") == 0
    assert result.stat().st_mtime_ns == before
    assert run(*again, tmp_path / "b", "--n", "all") == 0
    assert (
        json.loads((tmp_path / "b/results.json").read_text())[0]["accuracy"]
        == (rows[1]["accuracy"])
    )

    # What all calls came to stands in one file.
    assert run("train", "digits", "--seeds", 2, "--n", 50, "--run", tmp_path / "a") == 0
    more = json.loads((tmp_path / "a/results.json").read_text())
    assert [(row["n"], row["seeds"]) for row in more] == [(50, [2]), (100, [0, 1]), ("all", [0, 1])]
    assert more[1:] == rows

    capsys.readouterr()
    assert run("eval", tmp_path / "a", "--n", "all", "--seed", 1, "--worst", 2) == 0
    out = capsys.readouterr().out
    kept = json.loads(result.read_text())["accuracy"]
    assert out.startswith(f"accuracy   {kept:.2%}")
    assert "rows: what the images are" in out and "worst classes" in out
    assert run("eval", tmp_path / "a", "--seed", 7) == 1
    assert "no model for n = 50, seed 7; there are n100-seed0" in capsys.readouterr().err


@pytest.mark.parametrize("model", ["svm", "logistic", "pca"])
def test_other_classifiers(model, tmp_path, capsys):
    assert run("train", "digits", "--model", model, "--run", tmp_path, "--n", 400) == 0
    assert json.loads((tmp_path / "results.json").read_text())[0]["accuracy"] > 0.9


@pytest.mark.parametrize(
    "options",
    [
        ["--model", "hybrid", "--head", "mlp", "--val", "0.2", "--patience", "5"],
        ["--model", "resnet"],
    ],
)
def test_networks(options, tmp_path, capsys):
    how = ["--epochs", 1, "--min-steps", 8, "--n", 200, "--batch-size", 64, "--run", tmp_path]
    assert run("train", "digits", *options, *how) == 0
    inside = tmp_path / "n200-seed0"
    assert {"checkpoint.safetensors", "history.jsonl", "curves.png", "result.json"} <= {
        path.name for path in inside.iterdir()
    }
    kept = json.loads((inside / "result.json").read_text())["accuracy"]
    capsys.readouterr()
    assert run("eval", tmp_path) == 0
    assert capsys.readouterr().out.startswith(f"accuracy   {kept:.2%}")


OWN = """
import torch

class Blocks(torch.nn.Module):
    def __init__(self, sides):
        super().__init__()
        self.output_shape = (1, *(side // 2 for side in sides))

    def forward(self, x):
        return torch.nn.functional.avg_pool2d(x, 2)[..., None, :, :]

def make(sides):
    return Blocks(sides)

def nothing(sides):
    return None
"""


@pytest.mark.parametrize("transform", ["cascade", "own_transform:make"])
def test_a_hybrid_on_another_transform(transform, tmp_path, capsys, monkeypatch):
    (tmp_path / "own_transform.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    folder = tmp_path / "run"
    how = ["--epochs", 1, "--min-steps", 8, "--n", 100, "--head", "linear", "--run", folder]
    how += ["--J", 1] * (transform == "cascade")
    command = ["train", "digits", "--model", "hybrid", "--transform", transform, *how]
    assert run(*command) == 0
    assert run(*command) == 0  # it is the same run
    capsys.readouterr()
    if transform == "cascade":
        assert run("eval", folder) == 0
        return
    assert run("eval", folder) == 1
    assert "is code that a file does not have imported" in capsys.readouterr().err
    assert run("train", "--config", folder / "config.toml", "--run", tmp_path / "again") == 1
    assert "say --transform yourself" in capsys.readouterr().err
    assert run("eval", folder, "--transform", transform) == 0
    assert run("eval", folder, "--transform", "own_transform:nothing") == 1


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            ["--transform", "wavelets"],
            "transform must be one of scattering2d, cascade, roto-translation, or",
        ),
        (["--transform", "os.path:no such"], "or package.module:function"),
        (["--transform", "no_such_module:make"], "cannot be imported: No module named"),
        (["--transform", "os:nothing"], "cannot be imported: module 'os' has no"),
        (["--transform", "builtins:len"], "what it makes must be a transform"),
        (["--transform", "builtins:len", "--J", 3], "J is no option of transform = builtins:len"),
        (["--transform", "cascade", "--trainable", "filters"], "trainable is no option of"),
    ],
)
def test_a_transform_that_is_none(options, sentence, tmp_path, capsys):
    assert run("train", "digits", "--model", "hybrid", *options, "--run", tmp_path / "run") == 1
    assert sentence in capsys.readouterr().err


def test_a_transform_is_of_hybrids(tmp_path, capsys):
    assert run("train", "digits", "--transform", "cascade", "--run", tmp_path / "run") == 1
    assert "transform = cascade is an option of model = hybrid" in capsys.readouterr().err


def test_roto_translation_at_several_scales(tmp_path, capsys):
    how = ["--transform", "roto-translation", "--J", 1, "--pool", "mean", "--log", "--L", 4]
    more = ["--normalise", "--renormalise", "--scales", 2, "--views", "--model", "pca"]
    assert run("train", "digits", "--n", 100, *how, *more, "--run", tmp_path / "run") == 0
    assert run("eval", tmp_path / "run") == 0
    capsys.readouterr()
    assert run("features", "digits", *how, "--scales", 2, "--output", tmp_path / "rows") == 0
    assert run("features", "digits", *how, "--scales", 3, "--output", tmp_path / "rows") == 1
    assert "scales" in capsys.readouterr().err
    options = Options(model="hybrid", transform="roto-translation", J=2, n=(100,), epochs=1)
    (cell,) = run_experiment(options)
    assert cell.accuracy > 0.3


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (dict(scales=2), "scales = 2 wants features without positions: pool"),
        (dict(views=True, pool="mean"), "views are those of several scales"),
        (dict(scales=17, pool="mean"), "scales must be at least 1 and at most 16"),
        (dict(normalise=True, model="resnet"), "normalise is an option of linear classifiers'"),
        (dict(renormalise=True, features="pixels"), "renormalise is an option of linear"),
        (dict(log=True, model="hybrid"), "log is an option of linear classifiers' scattering"),
        (dict(dtype="float32", features="pixels"), "which model = ridge on pixels does not read"),
        (dict(J=3, model="resnet"), "J is an option of scattering, which model = resnet does not"),
        (dict(Q=(8,), features="pixels"), r"Q is an option of scattering, .* got \(8,\)"),
        (dict(features="pixels", model="hybrid"), "features is an option of linear classifiers"),
        (dict(alpha=1, model="svm"), "alpha is an option of model = ridge"),
        (dict(C=2, model="ridge"), "C is an option of model = svm and logistic"),
        (dict(head="linear", model="resnet"), "head is an option of model = hybrid"),
        (dict(val=0.1), "val is an option of networks, which model = ridge does not read"),
        (dict(lr=0.5, model="pca"), "lr is an option of networks, which model = pca does not"),
        (dict(transform="roto-translation", pool="rotation"), "in transform = roto-translation"),
        (dict(transform="roto-translation", J=3, max_order=3), "max_order must be at most 2"),
        (dict(transform="roto-translation", Q=(1,)), "transform is no option of signals"),
    ],
    ids=str,
)
def test_options_that_do_not_suit(options, told):
    with pytest.raises(ValueError, match=told):
        Options(**options)


def test_another_experiment_in_the_same_folder(tmp_path, capsys):
    options = ["train", "digits", "--n", 100, "--run", tmp_path]
    assert run(*options) == 0
    assert run(*options, "--J", 3) == 1
    assert "holds a run with J = 2, now 3" in capsys.readouterr().err
    assert run(*options, "--J", 3, "--resume", "never") == 0
    assert read_config(tmp_path / "config.toml")["J"] == 3
    assert run(*options, "--J", 3, "--n", 200, "--resume", "must") == 0  # one more n


def test_features_beyond_float16_name_the_image_and_the_remedy(tmp_path, capsys):
    random = np.random.RandomState(0)
    y = np.arange(60) % 2
    x = (random.rand(60, 16, 16) * (1 + y[:, None, None]) * 1e4).astype("f4")
    x[37] *= 1e2
    data = tmp_path / "bright.npz"
    np.savez(data, x_train=x[:50], y_train=y[:50], x_test=x[50:], y_test=y[50:])
    for command in (
        ["train", data, "--run", tmp_path / "run"],
        ["train", data, "--run", tmp_path / "some", "--n", 48],  # chosen rows keep their numbers
        ["features", data, "--output", tmp_path / "features", "--shard-size", 30],
    ):
        assert run(*command) == 1
        out, err = capsys.readouterr()
        assert not out and err.count("\n") == 1
        assert "train: ScatteringTransformer: features of image 37 reach" in err
        assert "beyond float16, 65504 at most: take dtype='float32', or scale the images" in err
        over = ["--resume", "never"] if command[0] == "train" else ["--output", tmp_path / "all"]
        assert run(*command, "--dtype", "float32", *over) == 0
        capsys.readouterr()


def test_expectations_are_printed(tmp_path, capsys):
    config = tmp_path / "my.toml"
    config.write_text('data = "digits"\nn = 100\n[expect]\n100 = 12.5\n')
    assert read_expected(config) == {"100": 12.5}
    assert run("train", "--config", config, "--run", tmp_path / "run") == 0
    assert "expected 12.5 % or more" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "nowhere"], "nowhere"),
        (["train", "digits", "--n", "5"], "n must be at least 1 a class, got 5"),
        (["train", "digits", "--patience", "3"], "patience needs images to validate on"),
        (["train", "digits", "--lr", "-1"], "lr must be above 0, got -1"),
        (["train", "digits", "--J", "9"], "J"),
        (["train", "digits", "--resume", "must"], "no run to resume"),
        (["train", "--config", "absent.toml"], "absent.toml: no such file"),
        (["eval", "absent"], "absent: not the folder of a run"),
        (["data", "verify", "absent"], "absent"),
        (["info", "--J", "3"], "a problem has --J and --shape"),
        (["features", "absent", "--output", "somewhere"], "absent"),
        (["export", "absent/plan.scat"], "absent: no such folder"),
        (["export", "plan.scat", "--J", "6"], "both sides of shape must be at least 2^J"),
    ],
)
def test_errors_are_one_sentence(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(*arguments) == 1
    err = capsys.readouterr().err
    assert err.startswith(f"scatcuda {arguments[0]}: ") and message in err
    assert err.count("\n") == 1
    assert not list(tmp_path.rglob("*.safetensors"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("J = ", "not TOML"),
        ("K = 3", "'K' is no option"),
        ("[expect]\nall = 'much'", "must give a percentage"),
        ("J = '3'", "J must be an integer, got '3'"),
        ("J = true", "J must be an integer, got True"),
        ("n = 'some'", "n must be a number of images or all, got 'some'"),
        ("model = 'tree'", "model must be one of"),
        ("amp = 1", "amp must be true or false, got 1"),
    ],
)
def test_wrong_configurations(text, message, tmp_path, capsys):
    config = tmp_path / "my.toml"
    config.write_text(text)
    assert run("train", "digits", "--config", config, "--run", tmp_path / "run") == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_configurations_are_read_as_written(tmp_path):
    options = Options(data='a "path" with \\', n=(100, "all"), seeds=(1, 2), log=True, alpha=0.5)
    write_config(tmp_path / "x.toml", options)
    assert Options(**read_config(tmp_path / "x.toml")) == options


@pytest.mark.proof
def test_two_processes_share_a_ridge(tmp_path):
    alone, both = tmp_path / "alone", tmp_path / "both"
    options = ["--pool", "mean"]  # fewer features than images
    assert run("train", "digits", "--run", alone, *options) == 0
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node=2", "-m", "--", "scatcuda", "train", "digits"]
    command += ["--run", str(both), *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("accuracy") == 1
    results = [json.loads((path / "results.json").read_text())[0] for path in (alone, both)]
    assert results[0]["accuracy"] == pytest.approx(results[1]["accuracy"], abs=0.003)


# --- signals ----------------------------------------------------------------------------------


@pytest.fixture
def tones(tmp_path):
    """Recordings whose names say how high they are."""
    soundfile = pytest.importorskip("soundfile")
    rng = np.random.default_rng(0)
    folder = tmp_path / "tones"
    folder.mkdir()
    for take in range(16):
        for word, step in (("low", 0.2), ("high", 1.1)):
            x = 0.5 * np.sin(step * np.arange(300 + take) + rng.uniform(0, 6))
            soundfile.write(folder / f"{word}_{take}.wav", x + 0.01 * rng.normal(size=len(x)), 8000)
    return folder


@pytest.mark.parametrize(
    "model", [["ridge", "--pool", "mean", "--log"], ["hybrid", "--head", "mlp", "--epochs", "2"]]
)
def test_train_on_recordings(tones, tmp_path, capsys, model):
    files = ["--label", "^([a-z]+)_", "--test", "_[0-3][.]", "--length", 256]
    how = ["--J", 4, "--Q", 4, "--model", *model, "--run", tmp_path / "run"]
    assert run("train", tones, *files, *how) == 0
    assert "accuracy   100.00%" in capsys.readouterr().out
    assert run("train", "--config", tmp_path / "run/config.toml", "--run", tmp_path / "again") == 0
    assert run("eval", tmp_path / "run") == 0
    assert "accuracy   100.00%" in capsys.readouterr().out


def test_features_of_recordings(tones, tmp_path, capsys):
    files = ["--label", "^([a-z]+)_", "--length", 256]
    command = ["features", tones, *files, "--J", 4, "--Q", 4, 2, "--output", tmp_path / "out"]
    assert run(*command) == 0
    assert "of         signals 256, 2 classes" in capsys.readouterr().out
    x, y = load_features(tmp_path / "out")
    expected = ScatteringTransformer(4, Q=(4, 2), dtype="float16").fit_transform(
        audio_dataset(tones, label="^([a-z]+)_", length=256).train_x
    )
    assert np.array_equal(x.numpy(), expected) and y.tolist() == [0] * 16 + [1] * 16
    assert run(*command) == 0
    assert "0 files written now" in capsys.readouterr().out


def test_signals_want_a_Q_and_images_none(tones, capsys):
    assert run("train", tones, "--label", "^([a-z]+)_", "--test-fraction", 0.5) == 1
    assert "it is of signals: say how many wavelets an octave" in capsys.readouterr().err
    assert run("train", "digits", "--Q", 8) == 1
    assert "it is of images: leave out Q" in capsys.readouterr().err
    assert run("train", tones, "--Q", 8, "--L", 4) == 1
    assert "L is no option of signals, with Q; got 4" in capsys.readouterr().err
    assert run("train", tones, "--Q", 0) == 1
    assert "Q must be integers from 1 to" in capsys.readouterr().err
