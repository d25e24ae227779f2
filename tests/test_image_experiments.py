"""The experiments with folders of images, on a few that are easily told apart."""

from __future__ import annotations

import json
from argparse import Namespace

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

from benchmarks.learning import generated, images, layout, objects, page, plotted
from scatcuda.cli import main as command
from scatcuda.data import Dataset


@pytest.fixture
def folder(tmp_path):
    """Stripes, spots and noise; and faces of bars at places of their own."""
    rng = np.random.default_rng(0)
    for name, widths in (("stripes", (8, 0.5)), ("spots", (2.5, 2.5)), ("noise", (0.3, 0.3))):
        (tmp_path / f"kinds/{name}").mkdir(parents=True)
        for i in range(8):
            plane = ndimage.gaussian_filter(rng.standard_normal((48, 48)), widths)
            grey = 127 + 60 * plane / plane.std()
            image = Image.fromarray(grey.clip(0, 255).astype(np.uint8))
            image.save(tmp_path / f"kinds/{name}/{i}.png")
    for person in range(6):
        (tmp_path / f"people/{person}").mkdir(parents=True)
        face = 255 * (ndimage.gaussian_filter(rng.standard_normal((32, 32)), 2) > 0)
        for i in range(6):
            moved = np.roll(face, rng.integers(-1, 2, 2), (0, 1)) + 10 * rng.standard_normal(
                (32, 32)
            )
            image = Image.fromarray(moved.clip(0, 255).astype(np.uint8))
            image.save(tmp_path / f"people/{person}/{i}.png")
    return tmp_path


def test_textures(folder):
    x, y, found = images.folder_of_images(folder, "kinds", 48)
    assert x.shape == (24, 48, 48) and found.classes == ("noise", "spots", "stripes")
    scores = {
        (name, n): scores.mean()
        for name, n, scores in images.textures(x, y, J=2, per_class=(4,), splits=2)
    }
    assert len(scores) == 10
    assert scores["roto-translation", 4] > 0.9
    turned = "roto-translation, test images turned", 4
    assert scores[turned] > scores["scattering, test images turned", 4]


def test_faces(folder):
    x, y, _ = images.folder_of_images(folder, "people", 32)
    found = images.faces(x, y, J=2, splits=2)
    assert found["scattering, ridge"] > 0.9
    assert 0 <= found["scattering, equal error"] < 0.4


def test_generated(monkeypatch, tmp_path):
    x, y = torch.randint(0, 256, (60, 16, 16), dtype=torch.uint8), torch.arange(60) % 10
    monkeypatch.setattr(generated, "some", lambda *given: (x[:40], y[:40], x[40:], y[40:]))
    monkeypatch.setattr(generated, "arguments", lambda _: Namespace(output=tmp_path, data_dir=None))
    for name, value in (("DIMS", 8), ("WIDTH", 4), ("EPOCHS", 1), ("J", 2)):
        monkeypatch.setattr(generated, name, value)
    generated.main()
    assert (tmp_path / "generated-mnist.png").stat().st_size > 10_000
    blank = (x[:40].float().mean(0) - x[40:].float()).abs().mean() / 255
    text = json.loads((tmp_path / "generated.json").read_text())["text"]
    assert f"mean |x - mean image|, test{float(blank):31.4f}" in text


def test_equal_error_of_what_is_known_and_of_noise():
    rng = np.random.default_rng(0)
    y = np.arange(200) % 10
    centres = 10 * rng.standard_normal((10, 5))
    told = centres[y] + rng.standard_normal((200, 5))
    assert images.equal_error(told, y, told, y) < 0.02
    assert abs(images.equal_error(told, y, rng.standard_normal((200, 5)), y) - 0.5) < 0.05


def test_splits_are_the_ones_that_are_told():
    y = np.array([0, 1] * 10)
    train, test = images.drawn(y, 3, seed=1)
    random = np.random.RandomState(1)
    first = random.permutation(np.arange(0, 20, 2))[:3]
    assert train[:3].tolist() == first.tolist()
    assert sorted([*train, *test]) == list(range(20))
    assert np.bincount(y[train]).tolist() == [3, 3]


def test_a_turn_leaves_what_is_round():
    at = torch.arange(32) - 15.5
    round_one = (255 * torch.exp(-(at[:, None] ** 2 + at**2) / 60)).to(torch.uint8)
    found = images.turned(torch.stack([round_one, round_one]))
    inside = slice(6, 26)
    assert (found - round_one.float())[:, inside, inside].abs().max() < 6


def test_command_and_page(folder, capsys):
    images.main(
        ["textures", str(folder / "kinds"), "--J", "2", "--size", "48", "--per-class", "3",
         "--splits", "1"]
    )  # fmt: skip
    assert "roto-translation" in capsys.readouterr().out
    images.main(["faces", str(folder / "people"), "--J", "2", "--size", "32", "--splits", "1"])
    assert "equal error" in capsys.readouterr().out
    entry = {"kind": "images", "name": "kth-tips", "title": "Textures", "verdicts": [],
             "lines": [("roto-translation", "99 %")]}  # fmt: skip
    assert "[Textures](images.py)" in page._several("Textures and faces", [entry])


def test_all_of_cifar(monkeypatch):
    monkeypatch.setattr(objects, "measure", lambda name, data_dir: ([("chosen", "5")], 73.994))
    found = images.cifar_roto(None)
    assert [verdict["met"] for verdict in found["verdicts"]] == [False, True]
    assert found["lines"][0] == ("chosen", "5") and found["lines"][1][1].endswith("GiB")


def test_objects(monkeypatch):
    """Stripes, lying and standing, of any colour: chosen features and a kernel tell them apart."""
    random = torch.Generator().manual_seed(0)

    def some(n):
        y = torch.arange(n) % 2
        waves = torch.sin(torch.arange(16) * 1.5 + 6 * torch.rand(n, 1, generator=random))
        x = waves[:, None, None] * torch.rand(n, 3, 1, 1, generator=random)
        x = torch.where(y[:, None, None, None] == 1, x.mT, x).expand(n, 3, 16, 16)
        return (127 + 100 * x).to(torch.uint8), y

    data = Dataset("stripes", *some(60), *some(40), ("lying", "standing"))
    monkeypatch.setattr(objects, "load", lambda name, data_dir: data)
    lines, accuracy = objects.measure(side=16, J=2, chosen=5, preselect=200, kernel=64)
    assert accuracy > 95
    assert [what for what, _ in lines] == [
        "features to choose from", "chosen", "these of all", "ridge on these",
        "ridge on random features",
    ]  # fmt: skip
    images_16, _ = some(4)
    made = objects.Objects(32, 2, 2)
    kept = torch.tensor([3, 70])
    assert torch.equal(made(images_16, kept), made(images_16)[:, kept])
    mirrored = made(images_16.flip(-1))
    torch.testing.assert_close(made(images_16, mirror=True), mirrored, rtol=1e-2, atol=1e-3)
    assert made.scattering.input_shape == (32, 32)


def test_some_test_images_are_of_all_classes(monkeypatch):
    """Of a set whose files are sorted by classes, too."""
    y = torch.arange(40) // 10
    x = y[:, None, None, None].expand(40, 3, 16, 16).to(torch.uint8)
    data = Dataset("sorted", x, y, x, y, tuple("abcd"))
    monkeypatch.setattr(plotted, "load", lambda name, data_dir: data)
    for asked, found in ((8, 2), (40, 10), (1000, 10)):
        _, train_y, test_x, test_y = plotted.some("sorted", None, 8, asked)
        assert train_y.bincount().tolist() == [2] * 4
        assert test_y.bincount().tolist() == [found] * 4
        assert torch.equal(test_x[:, 0, 0, 0].long(), test_y)
    seen = []
    monkeypatch.setattr(objects, "load", lambda name, data_dir: data)
    monkeypatch.setattr(
        objects.RidgeClassifier, "score", lambda self, x, y: seen.append(y.bincount()) or 1.0
    )
    objects.measure(side=16, J=2, chosen=2, preselect=200, kernel=16, test=8)
    assert [counts.tolist() for counts in seen] == [[2] * 4] * 2


def test_a_folder_as_imagenet_has_it(tmp_path, capsys):
    """Many classes, JPEGs of all sizes: every stage, and the commands that users run."""
    layout.main(["--classes", "40", "--each", "1", "--batch", "4", "--size", "64",
                 "--seconds", "0.05"])  # fmt: skip
    lines = capsys.readouterr().out.splitlines()
    assert "40 + 40 images [3, 64, 64]" in lines[0] and len(lines) == 8
    assert all(float(line.split()[-2]) > 0 for line in lines[1:])
    layout.make(tmp_path / "set", classes=100, each=1)
    how = ["--image-size", "64", "--J", "3", "--pool", "mean"]
    asked = ["train", str(tmp_path / "set"), "--run", str(tmp_path / "run"), *how]
    assert command(asked) == 0
    assert "n = all" in capsys.readouterr().out
    folder = str(tmp_path / "rows")
    more = ["--transform", "roto-translation", "--dtype", "float16", "--output", folder]
    assert command(["features", str(tmp_path / "set"), *how, *more]) == 0
    assert "200 rows" in capsys.readouterr().out
