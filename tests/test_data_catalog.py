"""scatcuda.data: data sets by name and path, what there is and whether it is sound; samples."""

from __future__ import annotations

import gzip
import hashlib
import pathlib
import sys

import numpy as np
import pytest
import torch
from data_files import arrays, few_images, npz_bytes, write_cifar, write_dataset, write_folders

from scatcuda.data import (
    DataError,
    available,
    catalog,
    checks,
    digits,
    digits_dataset,
    embedded,
    list_text,
    load,
    subset,
    textures,
    verify,
    verify_text,
)


@pytest.fixture(autouse=True)
def nothing_else(no_data_sets, monkeypatch, tmp_path):
    """Not in the folder that the tests run in either."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


def test_subset_is_the_protocol_of_the_literature():
    y = torch.from_numpy(np.random.RandomState(7).permutation(np.repeat(np.arange(10), 30)))
    random = np.random.RandomState(3)
    expected = [random.permutation(np.flatnonzero(y.numpy() == c))[:5] for c in range(10)]
    chosen = subset(y, 50, seed=3)
    assert chosen.dtype == torch.int64
    assert chosen.tolist() == sorted(np.concatenate(expected).tolist())
    assert torch.equal(subset(y, 59, seed=3), chosen)
    assert set(chosen.tolist()) < set(subset(y, 100, seed=3).tolist())
    assert not torch.equal(subset(y, 50, seed=4), chosen)
    assert subset(y, 300, seed=0).tolist() == list(range(300))


@pytest.mark.parametrize(
    "error, y, n, seed, problem",
    [
        (ValueError, [0, 0, 1], 4, 0, "n = 4 asks for 2 images a class, class 1 has 1"),
        (ValueError, [0, 1, 2], 2, 0, "n must be at least 1 a class, got 2 for 3"),
        (ValueError, [], 1, 0, "at least one, got .0."),
        (ValueError, [[0, 1]], 1, 0, "got .1, 2."),
        (ValueError, [0, 1], 2, -1, "seed must be between 0 and 4294967295; got -1"),
        (TypeError, [0, 1], 2.0, 0, "n must be an integer; got 2.0"),
        (TypeError, [0, 1], 2, None, "seed must be an integer; got None"),
        (TypeError, [0.5, 1], 2, 0, "y must be a tensor of integers, got torch.float32"),
    ],
)
def test_subset_that_cannot_be(error, y, n, seed, problem):
    y = torch.tensor(y) if y else torch.tensor([], dtype=torch.int64)
    with pytest.raises(error, match=f"subset: .*{problem}"):
        subset(y, n, seed)
    with pytest.raises(TypeError, match="y must be a tensor of integers, got list"):
        subset([0, 1], 2, 0)


def test_digits_are_split_in_halves():
    from sklearn.model_selection import train_test_split

    x, y = digits()
    data, other = digits_dataset(seed=3), digits_dataset(seed=4)
    train, test = train_test_split(np.arange(1797), test_size=0.5, stratify=y, random_state=3)
    assert torch.equal(data.train_x, x[np.sort(train)]) and torch.equal(
        data.test_y, y[np.sort(test)]
    )
    assert not torch.equal(data.train_x, other.train_x)


def photograph(name: str) -> np.ndarray:
    from PIL import Image
    from skimage import data

    return np.asarray(Image.open(pathlib.Path(data.__file__).parent / f"{name}.png"), float)


def test_patches_of_textures_are_found_in_the_photographs():
    data = textures(per_class=5, test_per_class=7, seed=1)
    assert data.train_x.shape == (15, 64, 64) and data.test_x.shape == (21, 64, 64)
    assert data.train_y.tolist() == [0] * 5 + [1] * 5 + [2] * 5 and data.classes[2] == "gravel"
    for x in (data.train_x, data.test_x):
        assert x.dtype == torch.float32
        assert x.mean((1, 2)).abs().max() < 1e-6
        assert (x.std((1, 2), correction=0) - 1).abs().max() < 1e-6
    for k, name in enumerate(data.classes):
        left, right = np.split(photograph(name), 2, axis=1)
        for x, half in ((data.train_x[5 * k], left), (data.test_x[7 * k], right)):
            windows = np.lib.stride_tricks.sliding_window_view(half, (1, 64))[:, :, 0]
            row = (windows - windows.mean(-1, keepdims=True)) @ (
                x[0] - x[0].mean()
            ).double().numpy()
            row /= np.linalg.norm(windows - windows.mean(-1, keepdims=True), axis=-1) + 1e-9
            i, j = np.unravel_index(row.argmax(), row.shape)
            patch = half[i : i + 64, j : j + 64]
            assert np.allclose((patch - patch.mean()) / patch.std(), x, atol=1e-5)


def test_rotation_turns_the_patches_for_testing_around_their_centres():
    upright, turned = textures(size=65, seed=5), textures(size=65, seed=5, rotate=True)
    assert torch.equal(upright.train_x, turned.train_x) and turned.name == "textures-rotated"
    assert not torch.allclose(upright.test_x, turned.test_x, atol=0.1)


def test_a_patch_is_turned_as_scikit_image_turns_it():
    from skimage.transform import rotate

    grid = torch.arange(512, dtype=torch.float64)
    bumps = torch.sin(grid[:, None] / 9) + torch.cos(grid[:256] / 7 + grid[:, None] / 23)

    def patch(degrees):
        corner = np.array([[100, 90]])
        return embedded._patches(bumps, corner, np.radians([degrees]), 65)[0].numpy()

    disc = np.hypot(*np.mgrid[-32:33, -32:33]) < 31
    turned = rotate(patch(0), -35, order=3)  # clockwise
    assert np.corrcoef(turned[disc], patch(35)[disc])[0, 1] > 0.99


def test_patches_for_training_lie_side_by_side_while_there_are_such():
    x = textures(per_class=32, test_per_class=1).train_x[:32]
    assert len({tuple(patch.flatten()[:9].tolist()) for patch in x}) == 32
    left = photograph("brick")[:, :256].reshape(8, 64, 4, 64).swapaxes(1, 2).reshape(32, 64, 64)
    left = (left - left.mean((1, 2), keepdims=True)) / left.std((1, 2), keepdims=True)
    nearest = np.abs(x.numpy()[:, None] - left).max((2, 3)).argmin(1)
    assert sorted(nearest) == list(range(32))
    assert np.allclose(x, left[nearest], atol=1e-5)
    assert textures(per_class=40, test_per_class=1).train_x.isfinite().all()


@pytest.mark.parametrize("size", [2, 64, 180])
def test_textures_of_any_size_lie_within_the_photographs(size):
    data = textures(size=size, rotate=True, per_class=1, test_per_class=50)
    assert data.test_x.shape == (150, size, size) and data.test_x.isfinite().all()


@pytest.mark.parametrize("size", [2, 64, 180])
def test_no_border_shows_at_any_angle(size, monkeypatch):
    """A sample beyond the border is zero: far from all grey levels of a bright photograph."""
    bright = 1 + 1e-3 * torch.randn(512, 512, dtype=torch.float64)
    monkeypatch.setattr(embedded, "_photograph", lambda name: bright)
    assert textures(size=size, rotate=True).test_x.abs().max() < 8


@pytest.mark.parametrize(
    "option", ["per_class=0", "test_per_class=0", "size=181", "size=1", "seed=-1", "seed=1.5"]
)
def test_bad_options_of_textures(option):
    name, value = option.split("=")
    with pytest.raises((ValueError, TypeError), match=f"textures: {name} must be"):
        textures(**{name: float(value) if "." in value else int(value)})


def test_textures_without_their_library(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "skimage", None)
    with pytest.raises(ImportError, match="pip install scikit-image"):
        load("textures")
    assert [found.name for found in available() if found.problem][:2] == [
        "textures",
        "textures-rotated",
    ]


def test_embedded_names():
    assert load("digits", size=8, seed=1).train_x.shape == (898, 8, 8)
    data = load("textures-rotated", per_class=2, test_per_class=1)
    expected = textures(per_class=2, test_per_class=1, rotate=True)
    assert torch.equal(data.test_x, expected.test_x) and data.name == "textures-rotated"


@pytest.mark.parametrize(
    "name, place",
    [
        ("mnist", "mnist"),
        ("mnist", "MNIST/raw"),
        ("fashion-mnist", "fashion-mnist"),
        ("fashion-mnist", "FashionMNIST/raw"),
        ("something", "something"),
    ],
)
@pytest.mark.parametrize("by", ["argument", "environment", "debian", "here"])
def test_names_are_looked_for(tmp_path, monkeypatch, name, place, by):
    root = {"argument": "a", "environment": "e", "debian": "debian", "here": "here/data"}[by]
    (tmp_path / root / place).mkdir(parents=True)
    write_dataset(tmp_path / root / place, size=8)
    monkeypatch.setenv("SCATCUDA_DATA", f":{tmp_path / 'none'}:{tmp_path / 'e'}")
    data = load(name, tmp_path / "a" if by == "argument" else None)
    assert data.name == name and data.train_x.shape == (30, 8, 8)


def test_the_argument_is_looked_into_first(tmp_path, monkeypatch):
    monkeypatch.setenv("SCATCUDA_DATA", str(tmp_path / "e"))
    for root, size in (("e", 8), ("a", 9)):
        (tmp_path / root).mkdir()
        write_dataset(tmp_path / root / "mnist", size=size)
    assert load("mnist").train_x.shape[1] == 8
    assert load("mnist", tmp_path / "a").train_x.shape[1] == 9
    file = tmp_path / "a" / "mnist" / "t10k-labels-idx1-ubyte"
    file.unlink()  # what is found first is read, and not another one in its stead
    with pytest.raises(DataError, match="a/mnist/t10k-labels-idx1-ubyte: no such file"):
        load("mnist", tmp_path / "a")


@pytest.mark.parametrize("hundred", [False, True])
@pytest.mark.parametrize("binary", [False, True])
def test_cifar_by_name_and_path(tmp_path, monkeypatch, hundred, binary):
    few_images(monkeypatch, 20)
    name = "cifar100" if hundred else "cifar10"
    kind = (
        ("binary" if hundred else "batches-bin")
        if binary
        else "python"
        if hundred
        else "batches-py"
    )
    folder = tmp_path / name / f"cifar-{100 if hundred else 10}-{kind}"
    folder.mkdir(parents=True)
    write_cifar(folder, hundred, binary)
    for data in (load(name, tmp_path), load(name, tmp_path / name), load(folder)):
        assert data.name == name and data.test_x.shape == (20, 3, 32, 32)
    if hundred:
        assert len(load(name, tmp_path, coarse=True).classes) == 20
    other = "cifar10" if hundred else "cifar100"
    folder.rename(tmp_path / other)  # the one under the name of the other is neither
    for wanted in (name, other):
        with pytest.raises(DataError, match=f"{wanted}: not found as cifar-.* in {tmp_path}, "):
            load(wanted, tmp_path)


IDX_PLACES = {
    "mnist": ("MNIST/raw", "mnist", "Mnist", "MNIST"),
    "fashion-mnist": ("FashionMNIST/raw", "fashion_mnist", "Fashion-MNIST", "fashion mnist"),
    "kmnist": ("KMNIST/raw", "kmnist", "Kuzushiji-MNIST"),
}


@pytest.mark.parametrize(
    "name, place", [(name, place) for name, places in IDX_PLACES.items() for place in places]
)
def test_places_are_names_however_they_are_written(tmp_path, name, place):
    (tmp_path / place).mkdir(parents=True)
    write_dataset(tmp_path / place, size=8)
    for wanted in {name, place, name.upper(), name.replace("-", "_"), place.split("/")[0]}:
        data = load(wanted, tmp_path)
        assert (data.name, data.train_x.shape) == (name, (30, 8, 8))


@pytest.mark.parametrize("hundred", [False, True])
@pytest.mark.parametrize("binary", [False, True])
def test_cifar_however_it_is_written(tmp_path, monkeypatch, hundred, binary):
    few_images(monkeypatch, 20)
    number = "100" if hundred else "10"
    places = {(0, 0): "cifar-10-batches-py", (0, 1): "cifar-10-batches-bin",
              (1, 0): "cifar-100-python", (1, 1): "cifar-100-binary"}  # fmt: skip
    place = places[hundred, binary]
    names = [f"cifar{number}", f"CIFAR{number}", f"cifar-{number}", f"cifar_{number}", place,
             place.upper(), f"CIFAR-{number}/{place}"]  # fmt: skip
    for i, folder in enumerate((place, f"CIFAR{number}", f"cifar_{number}/{place}")):
        (tmp_path / str(i) / folder).mkdir(parents=True)
        write_cifar(tmp_path / str(i) / folder, hundred, binary)
        for name in names:
            assert load(name, tmp_path / str(i)).name == f"cifar{number}"
        assert load(tmp_path / str(i) / folder).name == f"cifar{number}"
    with pytest.raises(DataError, match=r"^cifar.*: not found as"):
        load("cifar10" if hundred else "cifar100", tmp_path / "0")


def test_the_version_of_cifar_that_was_named_is_read(tmp_path, monkeypatch):
    few_images(monkeypatch, 20)
    places = ("cifar-10-batches-py", "cifar-10-batches-bin")
    for place in places:
        write_cifar(tmp_path / place, binary=place == places[1])
    for place in places:
        assert catalog.locate(place, tmp_path).path == tmp_path / place
    assert catalog.locate("cifar10", tmp_path).format == "CIFAR binary"


def test_what_is_written_as_asked_goes_first(tmp_path):
    for place, size in (("Some-Set", 8), ("some_set", 9), ("someset", 10)):
        write_dataset(tmp_path / place, size=size)
        assert load(place, tmp_path).train_x.shape[1] == size
    (tmp_path / "Other.NPZ").touch()  # no format has a suffix in capitals
    (tmp_path / "other set.npz").write_bytes(npz_bytes(**arrays()))
    assert load("OtherSet", tmp_path).train_x.shape == (9, 8, 8)
    (tmp_path / "a" / "b").mkdir(parents=True)
    write_dataset(tmp_path / "a" / "outside", size=8)
    for outside in ("../outside", "c/../../outside", "/outside"):
        with pytest.raises(DataError, match=f"^{outside}: neither a path nor in"):
            load(outside, tmp_path / "a" / "b")


def test_a_path_that_is_not_there_is_no_name(tmp_path):
    write_dataset(tmp_path / "mnist", size=8)
    with pytest.raises(DataError, match=r"^experiments/mnist: neither a path nor in"):
        load("experiments/mnist", tmp_path)


def test_directories_a_level_up(tmp_path, monkeypatch):
    few_images(monkeypatch, 20)
    everything(tmp_path)
    assert load(tmp_path / "MNIST").name == "MNIST"
    (tmp_path / "CIFAR10").mkdir()
    (tmp_path / "cifar-10-batches-py").rename(tmp_path / "CIFAR10" / "cifar-10-batches-py")
    assert load(tmp_path / "CIFAR10").name == "cifar10"


@pytest.mark.parametrize(
    "name, near",
    [
        ("minst", "mnist"),
        ("fasion-mnist", "fashion-mnist"),
        ("CIFAR1O", "cifar10"),
        ("cifra10", "cifar10"),
        ("emnist-leters", "emnist-letters"),
        ("digit", "digits"),
        ("flwoers", "Flowers"),
    ],
)
def test_near_names_are_suggested(tmp_path, name, near):
    write_folders(tmp_path / "Flowers")
    with pytest.raises(DataError, match=rf"^{name}: .*; did you mean .*\b{near}\b.*\?$") as caught:
        load(name, tmp_path)
    assert "\n" not in str(caught.value)


def test_near_paths_are_suggested(tmp_path):
    write_folders(tmp_path / "pictures" / "flowers")
    for wrong in ("pictures/flwoers", "picture/flowers", "picturse"):
        right = {"flwoers": "pictures/flowers"}.get(wrong.split("/")[-1], "pictures")
        expected = f"no such file or directory; did you mean {tmp_path / right}?"
        with pytest.raises(DataError) as caught:
            load(tmp_path / wrong)
        assert str(caught.value) == f"{tmp_path / wrong}: {expected}"
        with pytest.raises(DataError, match=f"did you mean {tmp_path / right}"):
            load(str(tmp_path / wrong))
    with pytest.raises(DataError, match=r"picturse: no such directory of data sets; did you mean"):
        load("mnist", data_dir=tmp_path / "picturse")
    with pytest.raises(DataError, match=r"elsewhere: no such file or directory$"):
        load(tmp_path / "elsewhere")
    write_folders(tmp_path / "mnist-images")
    with pytest.raises(DataError, match=r"SCATCUDA_DATA; did you mean mnist-images\?$"):
        load("mnist", tmp_path)


def test_paths(tmp_path, monkeypatch):
    write_dataset(tmp_path / "bars", size=8)
    write_folders(tmp_path / "photos")
    (tmp_path / "some.npz").write_bytes(npz_bytes(**arrays()))
    monkeypatch.chdir(tmp_path)
    assert load("bars").name == "bars" and load(tmp_path / "bars").train_x.shape == (30, 8, 8)
    assert load("photos", size=16, grey=True).train_x.shape == (6, 16, 16)
    assert load("some.npz").name == load("some", data_dir=".").name == "some"
    (tmp_path / "digits").mkdir()
    assert load("digits").train_x.shape == (898, 32, 32)  # the name goes first
    with pytest.raises(DataError, match="digits: it is empty; none of these: IDX files"):
        load("./digits")
    with pytest.raises(DataError, match="nowhere: no such file or directory"):
        load(pathlib.Path("nowhere"))
    with pytest.raises(DataError, match=r"nowhere: neither a path nor in .*debian, data, nor one"):
        load("nowhere")
    with pytest.raises(DataError, match="none: no such directory of data sets"):
        load("digits", data_dir="none")


def test_options_that_a_reader_does_not_have(tmp_path):
    write_dataset(tmp_path / "mnist", size=8)
    with pytest.raises(
        TypeError, match=r"'coarse' is no option of 'mnist' .IDX., which has .*which"
    ):
        load("mnist", tmp_path, coarse=True)
    with pytest.raises(TypeError, match="'split' is no option of 'digits'"):
        load("digits", split=0.5)
    with pytest.raises(TypeError, match="'rotate' is no option of 'textures-rotated'"):
        load("textures-rotated", rotate=False)


def everything(folder: pathlib.Path) -> None:
    (folder / "MNIST").mkdir(parents=True)
    write_dataset(folder / "MNIST" / "raw", size=8, suffix=".gz")
    write_cifar(folder / "cifar-10-batches-py")
    write_cifar(folder / "cifar-100-binary", hundred=True, binary=True)
    write_folders(folder / "photos")
    (folder / "some.npz").write_bytes(npz_bytes(**arrays()))
    (folder / "empty").mkdir()
    (folder / "readme.txt").touch()


def test_available(tmp_path, monkeypatch):
    few_images(monkeypatch, 20)
    everything(tmp_path / "sets")
    (tmp_path / "sets" / "bad.npz").write_bytes(b"PK")
    found = {entry.name: entry for entry in available(tmp_path / "sets")}
    assert list(found) == ["digits", "textures", "textures-rotated", "mnist", "cifar10", "cifar100",
                           "bad", "photos", "some"]  # fmt: skip
    mnist = found["mnist"]
    assert (mnist.train, mnist.test, mnist.shape, mnist.classes) == (30, 15, (8, 8), 2)
    assert (mnist.format, mnist.path) == ("IDX", tmp_path / "sets" / "MNIST" / "raw")
    assert found["cifar100"].format == "CIFAR binary" and found["cifar10"].train == 100
    assert found["photos"].shape == (3, 224, 224)
    assert "not a .npz file" in found["bad"].problem
    for name in ("photos", "some", "cifar100"):
        assert len(load(name, tmp_path / "sets").train_y) == found[name].train
    text = list_text(list(found.values()))
    assert text.splitlines()[0].split() == "name train test shape classes format where".split()
    assert len(text.splitlines()) == 10 and "8 × 8" in text and "not a .npz file" in text
    with pytest.raises(DataError, match="no such directory of data sets"):
        available(tmp_path / "none")


def findings(checks):
    return {pathlib.Path(check.subject).name: (check.ok, check.finding) for check in checks}


def test_verify_sound_sets(tmp_path, monkeypatch):
    few_images(monkeypatch, 20)
    everything(tmp_path)
    for name, files in (("cifar100", 4), ("photos", 0), ("some", 1), ("digits", 0)):
        checks = verify(name, tmp_path)
        assert all(check.ok for check in checks) and len(checks) == files + 1
        assert all("no checksum known" in check.finding for check in checks[:-1])
    assert verify("photos", tmp_path)[-1].finding == "6 + 6 images [3, 224, 224] uint8, 2 classes"


def test_verify_compares_what_is_in_the_files_with_what_was_published(tmp_path, monkeypatch):
    write_dataset(tmp_path / "mnist", size=8, suffix=".gz")
    published = {
        file.name.removesuffix(".gz"): hashlib.md5(gzip.decompress(file.read_bytes())).hexdigest()
        for file in (tmp_path / "mnist").iterdir()
    }
    assert published.keys() == checks._PUBLISHED["mnist"].keys()
    found = verify("mnist", tmp_path)
    assert [check.ok for check in found] == [False] * 4 + [True]
    assert "another MD5 than the published one" in found[0].finding
    monkeypatch.setitem(checks._PUBLISHED, "mnist", published)
    for where in ("mnist", tmp_path / "mnist"):
        found = verify(where, tmp_path)
        assert all(check.ok for check in found)
        assert "the MD5 published for mnist" in found[0].finding
    (tmp_path / "mnist").rename(tmp_path / "fashion-mnist")
    assert not any(check.ok for check in verify("fashion-mnist", tmp_path)[:4])


def test_verify_finds_what_is_wrong(tmp_path, monkeypatch):
    few_images(monkeypatch, 20)
    everything(tmp_path)
    (tmp_path / "cifar-100-binary" / "fine_label_names.txt").unlink()
    assert findings(verify("cifar100", tmp_path))["fine_label_names.txt"] == (False, "missing")

    folder = tmp_path / "cifar-10-batches-py"
    (folder / "data_batch_3").unlink()
    found = findings(verify("cifar10", tmp_path))
    assert found["data_batch_3"] == (False, "missing") and found["cifar10"][0]
    (folder / "test_batch").write_bytes(b"}.")
    assert not findings(verify("cifar10", tmp_path))["cifar10"][0]

    file = tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte.gz"
    file.write_bytes(file.read_bytes()[:-9])
    found = findings(verify("mnist", tmp_path))
    assert found[file.name] == (False, "truncated, the gzip stream ends too early")
    assert found["mnist"] == (False, f"{file}: truncated, the gzip stream ends too early")

    for name in ("train/red/0.png", "val/blue/2.png"):
        (tmp_path / "photos" / name).write_bytes(b"broken")
    checks = verify("photos", tmp_path)
    assert [check.subject for check in checks if not check.ok] == [
        str(tmp_path / "photos" / name) for name in ("train/red/0.png", "val/blue/2.png")
    ]
    lines = verify_text(checks).splitlines()
    assert [line.split()[0] for line in lines] == ["WRONG", "WRONG", "ok"]
    with pytest.raises(DataError, match="not found"):
        verify("fashion-mnist", tmp_path)


def test_verify_of_a_folder_without_a_test_set(tmp_path):
    write_folders(tmp_path, ("train",))
    assert all(check.ok for check in verify(tmp_path))


NEARLY = [
    ((), "it is empty"),
    (("t10k-images-idx3-ubyte",), "it has t10k-images-idx3-ubyte, but no train-images-idx3-ubyte"),
    (("train-labels-idx1-ubyte.gz",), "it has train-labels-idx1-ubyte.gz, but no train-images"),
    (("qmnist-test-labels-idx2-int",), "but no qmnist-train-images-idx3-ubyte"),
    (("test_batch", "batches.meta"), "it has batches.meta, but no training file of CIFAR"),
    (("test.bin", "notes.txt"), "it has test.bin, but no training file of CIFAR"),
    (("flowers.7z",), "it has flowers.7z, which is to be unpacked first"),
    (("a/notes.txt", "b/notes.txt"), "has folders, a, b, but no images in a"),
    (tuple(f"{c}/notes.txt" for c in "abcd"), "has folders, a, b, c …, but no images in a"),
    (("inner/train-images-idx3-ubyte",), "there is one in it, .*inner; itself it is"),
]


@pytest.mark.parametrize(("files", "said"), NEARLY, ids=[said[:30] for _, said in NEARLY])
def test_what_nearly_is_a_data_set(files, said, tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    with pytest.raises(DataError, match=f"^{folder}: .*{said}.*none of these: IDX files"):
        load(folder)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("train-images-idx3-ubyte", "one of the files of a data set: give .*, where they are"),
        ("data_batch_1.bin", "one of the files of a data set"),
        ("flowers.rar", "packed: unpack it first"),
        ("notes.txt", "none of these"),
    ],
)
def test_a_file_that_is_no_data_set(name, said, tmp_path):
    (tmp_path / name).touch()
    with pytest.raises(DataError, match=f"{name}: {said}"):
        load(tmp_path / name)
