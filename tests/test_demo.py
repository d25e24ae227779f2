"""python -m scatcuda.demo, run as its users run it."""

from __future__ import annotations

import os
import pathlib
import re
import struct
import subprocess
import sys

import numpy as np
import pytest
import torch
from data_files import write_dataset

pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")


from scatcuda import demo


def run(folder, *arguments):
    command = [sys.executable, "-m", "scatcuda.demo", "--threads", "1", *map(str, arguments)]
    # The package under test, also when it is not installed.
    paths = [str(pathlib.Path(demo.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600
    )


def assert_figure(path):
    raw = path.read_bytes()
    assert raw[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", raw[16:24]) == (1800, 1000)
    assert 50_000 < len(raw) < 400_000
    assert [file.name for file in path.parent.glob(f"*{path.name}*")] == [path.name]


def assert_refused(done, *words):
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    (line,) = done.stderr.splitlines()
    for word in words:
        assert word in line


@pytest.mark.proof
def test_default_run_on_digits(tmp_path):
    done = run(tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    right = dict(re.findall(r"([\d.]+) % with a ridge classifier on (\w+)", done.stdout))
    right = {kind: float(percent) for percent, kind in right.items()}
    assert right["scattering"] >= 99.0
    assert 85 < right["pixels"] < right["scattering"]
    assert "898 images for training, 899 for testing" in done.stdout
    assert "81 channels of 8 x 8" in done.stdout
    assert re.search(r"engine +native CPU code, (baseline|avx2|avx512), 1 thread\n", done.stdout)
    assert re.search(r"speed +\d+ images per second", done.stdout)
    assert_figure(tmp_path / "scattering_demo.png")


@pytest.mark.proof
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_idx_files(tmp_path, suffix):
    write_dataset(tmp_path / "bars", size=28, n=60, suffix=suffix)
    options = ("--train", 40, "--output", "bars.png", "--seed", 3, "--threads", 3)
    done = run(tmp_path, "--data", "bars", *options)
    assert done.returncode == 0, done.stderr
    assert ", 3 threads\n" in done.stdout
    assert "60 + 30 images of 28 x 28 pixels" in done.stdout
    assert "40 images for training, 30 for testing" in done.stdout
    assert "100.00 % with a ridge classifier on scattering" in done.stdout
    assert_figure(tmp_path / "bars.png")


def test_images_that_are_all_the_same(tmp_path):
    write_dataset(tmp_path, size=8, n=20)
    for part in ("train", "t10k"):
        file = tmp_path / f"{part}-images-idx3-ubyte"
        raw = file.read_bytes()
        file.write_bytes(raw[:16] + bytes(len(raw) - 16))
    assert demo.main(["--data", str(tmp_path), "--output", str(tmp_path / "black.png")]) == 0
    assert_figure(tmp_path / "black.png")


@pytest.mark.proof
def test_missing_directory_and_file(tmp_path):
    assert_refused(run(tmp_path, "--data", "none"), "none: no such directory")
    write_dataset(tmp_path / "bars")
    (tmp_path / "bars" / "t10k-images-idx3-ubyte").unlink()
    done = run(tmp_path, "--data", "bars")
    assert_refused(done, "t10k-images-idx3-ubyte", "no such file")
    assert not list(tmp_path.glob("*.png"))


def test_truncated_file(tmp_path):
    write_dataset(tmp_path / "bars", suffix=".gz")
    file = tmp_path / "bars" / "train-images-idx3-ubyte.gz"
    file.write_bytes(file.read_bytes()[:-20])
    assert_refused(run(tmp_path, "--data", "bars"), str(file.relative_to(tmp_path)), "truncated")


def test_images_too_small(tmp_path, capsys):
    write_dataset(tmp_path, size=8)
    raw = (tmp_path / "train-images-idx3-ubyte").read_bytes()
    for part, n in (("train", 30), ("t10k", 15)):
        header = raw[:4] + struct.pack(">3I", n, 3, 8)
        (tmp_path / f"{part}-images-idx3-ubyte").write_bytes(header + bytes(n * 24))
    assert demo.main(["--data", str(tmp_path)]) == 1
    assert "images of 3 x 8 pixels are too small for J = 2" in capsys.readouterr().err


@pytest.mark.parametrize("module, package", [("sklearn", "scikit-learn"), ("matplotlib",) * 2])
def test_missing_package(monkeypatch, capsys, module, package):
    monkeypatch.setitem(sys.modules, module, None)
    assert demo.main([]) == 1
    assert f"pip install {package}" in capsys.readouterr().err


def test_output_that_cannot_be_written(tmp_path, capsys):
    assert demo.main(["--output", str(tmp_path / "none" / "x.png")]) == 1
    assert "x.png: the figure cannot be saved, no such directory" in capsys.readouterr().err


def test_nothing_is_left_when_the_figure_cannot_be_put_in_place(tmp_path, capsys):
    write_dataset(tmp_path / "bars", size=8)
    (tmp_path / "x.png").mkdir()
    arguments = ["--data", str(tmp_path / "bars"), "--output", str(tmp_path / "x.png")]
    assert demo.main(arguments) == 1
    assert "x.png: the figure cannot be saved (" in capsys.readouterr().err
    assert sorted(file.name for file in tmp_path.iterdir()) == ["bars", "x.png"]


@pytest.mark.parametrize(
    "arguments",
    [["--threads", "0"], ["--train", "x"], ["--seed", "-1"], ["--seed", "4294967296"], ["--what"],
     ["--train", "40"]],
)  # fmt: skip
def test_bad_options(arguments):
    with pytest.raises(SystemExit) as caught:
        demo.main(arguments)
    assert caught.value.code == 2


def test_interrupted(monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "_scatter", interrupted)
    assert demo.main([]) == 130
    assert capsys.readouterr().err == "scatcuda.demo: interrupted\n"


def test_output_must_be_a_png(capsys):
    with pytest.raises(SystemExit):
        demo.main(["--output", "figure.pdf"])
    assert "expected a name that ends in .png, got figure.pdf" in capsys.readouterr().err


def test_fewer_images_than_classes(tmp_path, capsys):
    write_dataset(tmp_path, size=8, n=31)
    assert demo.main(["--data", str(tmp_path), "--train", "1"]) == 1
    assert f"{tmp_path}: --train 1: subset: n must be at least 1 a class" in capsys.readouterr().err


def test_ridge_standardises_with_training_images_only():
    random = np.random.RandomState(0)
    y = torch.from_numpy(np.arange(60) % 2)
    x = torch.from_numpy(random.standard_normal((60, 5))).float()
    x[:, 0] = 1000 + y  # the signal has a large offset, and one test value is an outlier
    x[-1, 1] = 1e6
    assert demo._ridge_accuracy(x, y[:40], y[40:], threads=1) >= 0.95


def test_ridge_is_judged_on_the_test_images():
    random = np.random.RandomState(0)
    y = torch.from_numpy(np.arange(60) % 2)
    x = torch.from_numpy(random.standard_normal((60, 5))).float() + 10 * y[:, None]
    # What is learned on the first forty is wrong for the rest.
    assert demo._ridge_accuracy(x, y[:40], 1 - y[40:], threads=1) == 0
