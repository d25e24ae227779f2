"""What tells data from other data; a run is never another data's."""

import json
import shutil

import numpy as np
import pytest
import torch

pytest.importorskip("safetensors")
pytest.importorskip("sklearn")

from data_files import write_folders
from PIL import Image

from scatcuda.cli import main
from scatcuda.data import Images
from scatcuda.learn.experiments.experiment import CONFIG
from scatcuda.learn.experiments.identity import content
from scatcuda.learn.extraction.shard import Rows
from scatcuda.learn.extraction.transformer import ScatteringTransformer


class Lazy:
    """Images that are read when asked for."""

    def __init__(self, x: torch.Tensor) -> None:
        self.x, self.shape, self.dtype, self.most = x, x.shape, x.dtype, 0

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: torch.Tensor) -> torch.Tensor:
        self.most = max(self.most, len(index))
        return self.x[index]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float16, torch.bfloat16, torch.float64])
def test_the_same_content_in_any_form(dtype, monkeypatch):
    monkeypatch.setattr("scatcuda.learn.experiments.identity._BLOCK", 1000)
    x = torch.arange(50 * 64).reshape(50, 8, 8).remainder(251).to(dtype)
    expected = content(x)
    rows = torch.randperm(50)
    back = rows.argsort()
    lazy = Lazy(x)
    for same in (
        x.clone(), x.transpose(1, 2).contiguous().transpose(1, 2), lazy, Rows(x, torch.arange(50)),
        Rows(Rows(x, rows), back), Rows(Lazy(x), torch.arange(50)),
    ):  # fmt: skip
        assert content(same) == expected
    assert lazy.most <= 1000 // 64  # no more than a block of them is in memory
    for i in range(50):  # each image, its first and its last pixel
        for place in (0, 63):
            other = x.clone()
            other.view(50, 64)[i, place] += 1
            assert content(other) != expected
    for other in (
        x[:49], x.flip(0), x.view(50, 64), x.transpose(1, 2), x.to(torch.float32),
        Rows(x, rows),
    ):  # fmt: skip
        assert content(other) != expected


def test_the_content_of_files_is_their_bytes(tmp_path):
    pytest.importorskip("PIL")
    write_folders(tmp_path, ("train",), count=20)
    files = sorted(map(str, tmp_path.rglob("*.png")))
    images = Images(files, 8)
    expected = content(images)
    moved = shutil.copytree(tmp_path / "train", tmp_path / "elsewhere")
    assert content(Images(sorted(map(str, moved.rglob("*.png"))), 8)) == expected
    assert content(Rows(Images([*files[::-1], files[0]], 8), torch.arange(39, -1, -1))) == expected
    for other in (
        Images(files, 9), Images(files, 8, crop=1), Images(files, 8, grey=True),
        Images(files[:-1], 8), Images(files[::-1], 8),
    ):  # fmt: skip
        assert content(other) != expected
    for file in files:
        before = open(file, "rb").read()
        open(file, "wb").write(before[:-1] + bytes([before[-1] ^ 1]))
        assert content(images) != expected
        open(file, "wb").write(before)
    assert content(images) == expected


# --- runs of the command line -------------------------------------------------------------------


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


@pytest.fixture
def places(tmp_path):
    """The same data set in two places: A, and B with its labels shuffled."""
    random = np.random.RandomState(0)
    y = np.arange(120) % 3
    x = (random.rand(120, 16, 16) * 40 + 90 * y[:, None, None] * (np.arange(16) % 2)).astype("u1")
    for name, labels in (("A", y), ("B", random.permutation(y))):
        (tmp_path / name).mkdir()
        np.savez(tmp_path / name / "some.npz", x_train=x[:90], y_train=labels[:90],
                 x_test=x[90:], y_test=labels[90:])  # fmt: skip
    return tmp_path


def snapshot(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "model",
    [
        ["--pool", "mean"],
        ["--model", "hybrid", "--head", "mlp", "--min-steps", "2", "--epochs", "1"],
    ],
)
def test_a_result_is_not_printed_for_other_data(model, places, capsys):
    train = ["train", "some", "--run", places / "run", *model, "--data-dir"]
    assert run(*train, places / "A") == 0
    first = capsys.readouterr().out
    kept = snapshot(places / "run")
    for more in ([], ["--n", 30], ["--resume", "must"], ["--n", 30, "all", "--seeds", 0, 1]):
        assert run(*train, places / "B", *more) == 1
        out, err = capsys.readouterr()
        assert not out and "holds a result on other data: the training labels are others; " in err
        assert "the test labels are others; it is kept: take another folder" in err
    assert snapshot(places / "run") == kept
    (places / "A").rename(places / "C")  # the same content elsewhere is the same data
    assert run(*train, places / "C") == 0
    assert capsys.readouterr().out == first
    assert run(*train, places / "B", "--resume", "never") == 0
    assert capsys.readouterr().out != first


@pytest.mark.parametrize("change", ["replaced", "added", "removed"])
def test_a_result_is_of_every_image_of_a_folder(change, tmp_path, monkeypatch, capsys):
    pytest.importorskip("PIL")
    monkeypatch.chdir(tmp_path)
    write_folders(tmp_path / "images", ("train", "test"), count=20)
    train = ["train", "images", "--image-size", 16, "--pool", "mean", "--run", "run"]
    assert run(*train) == 0
    kept = snapshot(tmp_path / "run")
    file = tmp_path / "images/test/blue/7.png"
    if change == "replaced":
        shutil.copyfile(tmp_path / "images/test/red/7.png", file)
    elif change == "added":
        shutil.copyfile(file, file.with_name("7b.png"))
    else:
        file.unlink()
    words = {"replaced": "the test images are others", "added": "41 test images, before 40",
             "removed": "39 test images, before 40"}  # fmt: skip
    capsys.readouterr()
    assert run(*train) == 1
    out, err = capsys.readouterr()
    assert not out and words[change] in err
    assert snapshot(tmp_path / "run") == kept


def test_images_that_change_meanwhile_are_noticed(tmp_path, monkeypatch, capsys):
    """After their content was noted: what is computed of them belongs to nothing that was noted."""
    pytest.importorskip("PIL")
    monkeypatch.chdir(tmp_path)
    write_folders(tmp_path / "images", ("train", "test"), count=20)
    file = tmp_path / "images/train/blue/7.png"
    red = (tmp_path / "images/train/red/7.png").read_bytes()
    real = ScatteringTransformer._features

    def slow(self, images, *how):
        if len(images) > 1:
            file.write_bytes(red)
        return real(self, images, *how)

    monkeypatch.setattr(ScatteringTransformer, "_features", slow)
    how = ["images", "--image-size", 16, "--pool", "mean"]
    assert run("train", *how, "--run", "run") == 1
    assert "blue/7.png: it changed while it was in use" in capsys.readouterr().err
    assert not list(tmp_path.glob("run/**/result*.json"))
    file.write_bytes((tmp_path / "images/train/blue/8.png").read_bytes())
    assert run("features", *how, "--shard-size", 20, "--output", "features") == 1
    assert "blue/7.png: it changed while it was in use" in capsys.readouterr().err
    kept = [path.name for path in (tmp_path / "features").glob("*.safetensors")]
    assert "train-00000-of-00002.safetensors" not in kept


def test_results_that_do_not_say_of_what_are_not_printed(places, capsys):
    folder = places / "run"
    train = ["train", "some", "--pool", "mean", "--run", folder, "--data-dir", places / "A"]
    assert run(*train) == 0
    noted = folder / "nall-seed0/data.json"
    text = noted.read_text()
    for damaged, message in (
        ("", "damaged"), ("[" * 9999, "damaged"), ("[]", "it is not noted which"),
        ("{}", "90 training images, before 0"), ('{"train": 3}', "the classes are others"),
        (json.dumps({**json.loads(text), "test": {"rows": 30}}), "test images of shape"),
    ):  # fmt: skip
        noted.write_text(damaged)
        capsys.readouterr()
        assert run(*train) == 1
        out, err = capsys.readouterr()
        assert not out and message in err and err.count("\n") == 1
    noted.unlink()
    assert run(*train) == 1
    assert "it is not noted which" in capsys.readouterr().err
    noted.write_text(text)
    (folder / CONFIG).unlink()
    assert run(*train) == 1
    assert f"holds results, but no {CONFIG}" in capsys.readouterr().err


def test_starting_over_leaves_what_is_not_of_a_run(places):
    folder = places / "run"
    train = ["train", "some", "--pool", "mean", "--run", folder, "--data-dir", places / "A"]
    assert run(*train) == 0
    theirs = folder / "notes-seeds" / "result.json"
    for name in ("notes-seeds", "n1-seed0-old"):
        (folder / name).mkdir()
        (folder / name / "result.json").write_text("mine")
    assert run(*train, "--resume", "never") == 0
    assert theirs.read_text() == (folder / "n1-seed0-old/result.json").read_text() == "mine"


# --- eval ---------------------------------------------------------------------------------------


def gradients(folder, test: dict[str, str], train=("ramp", "rows", "spots")) -> None:
    """Image folders: of each class its texture; of `test` the texture of another name."""
    from PIL import Image

    random = np.random.RandomState(1)
    grid = np.mgrid[:24, :24]
    patterns = {
        "ramp": grid[0] * 8,
        "rows": grid[0] % 4 * 60,
        "spots": (grid[0] + grid[1]) % 6 * 40,
    }
    for part, classes in (("train", dict(zip(train, train, strict=True))), ("test", test)):
        for name, like in classes.items():
            (folder / part / name).mkdir(parents=True)
            for i in range(8):
                pixels = patterns[like] + random.randint(0, 9, (24, 24))
                Image.fromarray(pixels.astype("u1")).save(folder / part / name / f"{i}.png")


@pytest.mark.parametrize(
    "model",
    [
        ["--pool", "mean"],
        ["--model", "hybrid", "--head", "linear", "--epochs", 4, "--lr", 0.02, "--batch-size", 8],
    ],
    ids=["ridge", "hybrid"],
)
def test_classes_are_matched_by_name(model, tmp_path, monkeypatch, capsys):
    pytest.importorskip("PIL")
    monkeypatch.chdir(tmp_path)
    own = {name: name for name in ("ramp", "rows", "spots")}
    gradients(tmp_path / "own", own)
    gradients(tmp_path / "fewer", {"rows": "rows", "spots": "spots"}, ("rows", "spots"))
    how = ["--image-size", 16, "--run", "run"]
    assert run("train", "own", *how, *model) == 0
    capsys.readouterr()
    assert run("eval", "run") == 0
    assert capsys.readouterr().out.startswith("accuracy   100.00% of 24 images\n\n")
    # By position the labels would be those of others: no answer would be right.
    assert run("eval", "run", "--data", "fewer") == 0
    out = capsys.readouterr().out
    assert out.startswith("accuracy   100.00% of 16 images\nmissing    ramp: not in these data\n")

    shutil.copytree("own", "unused")  # a class more, of which nothing is tested
    shutil.copytree("own/train/rows", "unused/train/a")
    assert run("eval", "run", "--data", "unused") == 0
    out = capsys.readouterr().out
    assert out.startswith("accuracy   100.00% of 24 images\nnew        a: unknown to the model\n")

    shutil.copytree("unused", "more")
    shutil.copytree("own/test/rows", "more/test/a")
    shutil.copytree("own", "renamed")
    for part in ("train", "test"):
        (tmp_path / "renamed" / part / "ramp").rename(tmp_path / "renamed" / part / "zebra")
    for data, words in (("more", "model does not know; new: a"),
                        ("renamed", "model does not know; missing: ramp; new: zebra")):  # fmt: skip
        assert run("eval", "run", "--data", data) == 1
        out, err = capsys.readouterr()
        assert not out and f"8 of {32 if data == 'more' else 24} test images of {data}" in err
        assert words in err


def test_what_was_set_aside_is_what_is_tested(tmp_path, monkeypatch):
    """Wherever the folder is now; and where other files have come, nobody knows what it was."""
    from scatcuda.learn import Options, evaluate_run, run_experiment

    rng = np.random.default_rng(0)
    for i in range(40):  # noise, of which nothing but the images themselves can be learned
        path = tmp_path / f"here/pictures/{i % 2}/{i:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (16, 16), dtype=np.uint8)).save(path)
    monkeypatch.chdir(tmp_path / "here")
    options = Options(data="pictures", test_fraction=0.5, J=2)
    (cell,) = run_experiment(options, tmp_path / "run")
    assert cell.accuracy < 0.8
    monkeypatch.chdir(tmp_path)
    for data in ("here/pictures", str(tmp_path / "here/pictures")):
        found = evaluate_run(tmp_path / "run", data=data)
        assert len(found.truth) == 20 and found.accuracy == cell.accuracy
    monkeypatch.chdir(tmp_path / "here")
    shutil.copy("pictures/0/00.png", "pictures/0/000.png")
    with pytest.raises(ValueError, match=r"n-?all-seed0 was trained on other images of pictures: "):
        evaluate_run(tmp_path / "run")
    with pytest.raises(ValueError, match="cannot be told any more"):
        evaluate_run(tmp_path / "run", data=str(tmp_path / "here/pictures"))
    other = tmp_path / "other"
    for i in range(6):
        (other / f"{i % 2}").mkdir(parents=True, exist_ok=True)
        shutil.copy(f"pictures/{i % 2}/{i:02}.png", other / f"{i % 2}")
    assert len(evaluate_run(tmp_path / "run", data=str(other)).truth) == 6
