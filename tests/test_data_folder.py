"""scatcuda.data: folders of images, decoded when asked for."""

from __future__ import annotations

import io
import os

import numpy as np
import pytest
import torch
from data_files import write_folders
from PIL import Image

from scatcuda.data import DataError, Images, folder_dataset, load, verify, verify_text
from scatcuda.data.folders.folder import is_image_folder


def save(path, array, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)
    return path


@pytest.mark.parametrize("part", ["val", "test"])
@pytest.mark.parametrize("suffix", ["png", "JPG", "bmp"])
def test_folders(tmp_path, part, suffix):
    write_folders(tmp_path / "set", ("train", part), suffix)
    (tmp_path / "set" / "train" / "red" / "notes.txt").touch()
    (tmp_path / "set" / "train" / "red" / ".hidden.png").touch()
    (tmp_path / "set" / "train" / ".cache").mkdir()
    data = folder_dataset(tmp_path / "set", size=8)
    assert data.name == "set" and data.classes == ("blue", "red")
    assert data.train_y.tolist() == data.test_y.tolist() == [0, 0, 0, 1, 1, 1]
    assert isinstance(data.train_x, Images) and data.train_x.shape == (6, 3, 8, 8)
    assert data.train_x.dtype == torch.uint8 and len(data.train_x) == 6
    colours = data.train_x[:].amax((2, 3)).tolist()
    for colour, expected in zip(colours, [(0, 0, 100 + i) for i in range(3)], strict=False):
        assert np.allclose(colour, expected, atol=3)  # JPEG loses that much


def test_split(tmp_path):
    write_folders(tmp_path, (".",), count=10)
    data = folder_dataset(tmp_path, size=4, test_fraction=0.3, seed=1)
    assert data.train_y.bincount().tolist() == [7, 7] and data.test_y.bincount().tolist() == [3, 3]
    assert not set(data.train_x.files) & set(data.test_x.files)
    for file, label in zip(data.test_x.files, data.test_y.tolist(), strict=True):
        assert f"/{data.classes[label]}/" in file
    assert folder_dataset(tmp_path, test_fraction=0.3, seed=1).test_x.files == data.test_x.files
    assert folder_dataset(tmp_path, test_fraction=0.3, seed=2).test_x.files != data.test_x.files
    assert len(folder_dataset(tmp_path, test_fraction=0.999).train_x) == 2
    assert len(folder_dataset(tmp_path, test_fraction=0.001).test_x) == 2


def test_a_training_set_alone(tmp_path):
    write_folders(tmp_path, ("train",))
    data = folder_dataset(tmp_path)
    assert len(data.train_x) == 6 and len(data.test_x) == len(data.test_y) == 0
    assert len(folder_dataset(tmp_path, test_fraction=0.5).test_x) == 4
    write_folders(tmp_path, ("val",))
    with pytest.raises(ValueError, match="test_fraction is for data without a test set"):
        folder_dataset(tmp_path, test_fraction=0.5)


def test_folders_that_are_none(tmp_path):
    def refused(problem, **options):
        with pytest.raises(DataError, match=problem):
            folder_dataset(tmp_path, **options)

    refused("it holds no images")
    write_folders(tmp_path)
    (tmp_path / "val" / "green").mkdir()
    refused(f"{tmp_path / 'val' / 'green'}: no class of ")
    (tmp_path / "train" / "green").mkdir()
    refused(f"{tmp_path / 'train' / 'green'}: it holds no images")
    save(tmp_path / "train" / "green" / "deeper" / "x.png", np.zeros((4, 4), "u1"))
    refused(f"{tmp_path / 'val' / 'green'}: it holds no images")
    (tmp_path / "val" / "green").rmdir()
    data = folder_dataset(tmp_path)
    assert data.classes == ("blue", "green", "red")
    assert data.train_y.bincount().tolist() == [3, 1, 3] and data.test_y.unique().tolist() == [0, 2]


@pytest.mark.parametrize(
    "error, options",
    [(ValueError, {"size": -1}), (TypeError, {"size": 2.0}), (ValueError, {"crop": 0}),
     (ValueError, {"crop": 1.1}), (ValueError, {"test_fraction": 1.0}),
     (ValueError, {"test_fraction": -0.1}), (ValueError, {"on_error": "ignore"})],
)  # fmt: skip
def test_bad_arguments(tmp_path, error, options):
    write_folders(tmp_path)
    with pytest.raises(error, match=next(iter(options))):
        folder_dataset(tmp_path, **options)


def test_without_pillow(monkeypatch, tmp_path):
    write_folders(tmp_path)
    monkeypatch.setitem(__import__("sys").modules, "PIL.Image", None)
    with pytest.raises(ImportError, match="pip install pillow"):
        folder_dataset(tmp_path)


# --- what is found ----------------------------------------------------------------------------


def png(level: int = 0, size: tuple[int, int] = (4, 4)) -> bytes:
    file = io.BytesIO()
    Image.new("L", size, level).save(file, "PNG")
    return file.getvalue()


def put(folder, *names, raw=None):
    """Files, images unless told otherwise: each of a grey level of its own."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(png(sum(map(ord, name)) % 256) if raw is None else raw)


def found(data, part="train"):
    """Paths and classes of what is in a part, without the folder."""
    x, y = getattr(data, f"{part}_x"), getattr(data, f"{part}_y")
    names = [data.classes[k] if k >= 0 else None for k in y.tolist()]
    return [(os.path.basename(f), name) for f, name in zip(x.files, names, strict=True)]


def test_hidden_is_passed_over_everywhere(tmp_path):
    put(tmp_path, "a/1.png", "b/1.png", "b/deep/2.png")
    put(
        tmp_path, "a/.1.png", "a/._1.png", "a/.ipynb_checkpoints/1.png", "b/deep/.AppleDouble/2.png"
    )
    put(tmp_path, ".cache/x.png", "b/deep/Thumbs.db", "b/LICENSE", "a/x.tar", "notes.TXT")
    data = folder_dataset(tmp_path)
    assert found(data) == [("1.png", "a"), ("1.png", "b"), ("2.png", "b")]
    assert data.passed == {"hidden": 5, ".db": 1, "without a suffix": 1, "archive": 1, ".txt": 1}


def test_suffixes_in_any_case(tmp_path):
    names = (
        "1.jfif",
        "2.JPE",
        "3.jp2",
        "4.Avif",
        "5.apng",
        "6.pnm",
        "7.heic",
        "8.psd",
        "9.jpg.bak",
    )
    put(tmp_path, *(f"a/{name}" for name in names), "b/1.png")
    data = folder_dataset(tmp_path)
    assert len(data.train_x) == 8 and data.passed == {".psd": 1, ".bak": 1}
    assert {len(data.train_x[i].unique()) for i in range(8)} == {1}  # whatever they are called


def test_links_are_followed_and_circles_end(tmp_path):
    put(tmp_path, "pool/red/1.png", "pool/2.png", "set/a/0.png", "set/b/deep/0.png")
    (tmp_path / "set/a/link").symlink_to(tmp_path / "pool/red")
    (tmp_path / "set/a/2.png").symlink_to(tmp_path / "pool/2.png")
    (tmp_path / "set/b/deep/back").symlink_to(tmp_path / "set")
    (tmp_path / "set/b/self").symlink_to(".")
    (tmp_path / "set/c").symlink_to(tmp_path / "pool")
    data = folder_dataset(tmp_path / "set")
    assert found(data) == [
        ("0.png", "a"), ("2.png", "a"), ("1.png", "a"), ("0.png", "b"), ("2.png", "c"),
        ("1.png", "c"),
    ]  # fmt: skip
    assert data.passed == {"link that leads back": 2}


def test_a_folder_of_links_that_looks_endless(tmp_path):
    for i in range(12):
        (tmp_path / f"d{i}").mkdir()
        for k in range(2):
            (tmp_path / f"d{i}" / f"l{k}").symlink_to(tmp_path / f"d{i + 1}")
    put(tmp_path, "d12/x.png")
    with pytest.raises(DataError, match="more than 1000 ways of links lead to it"):
        folder_dataset(tmp_path)


def test_directories_in_directories_end(tmp_path):
    place = tmp_path
    for _ in range(110):
        place = place / "d"
        place.mkdir()
    with pytest.raises(DataError, match="more than 100 directories in each other"):
        folder_dataset(tmp_path)


def lost(tmp_path, monkeypatch, which):
    """A folder in which one thing cannot be read; its place and the reason."""
    put(tmp_path, *(f"{c}/{i}.png" for c in "abc" for i in range(3)))
    if which == "a link to nothing":
        (tmp_path / "b/1.png").unlink()
        (tmp_path / "b/1.png").symlink_to("gone")
        return "b/1.png", r"cannot be read \(a link to nothing\)"
    if which == "a pipe":
        (tmp_path / "b/1.png").unlink()
        os.mkfifo(tmp_path / "b/1.png")
        return "b/1.png", "not a file, but a pipe, a socket or a device"
    if which == "damaged":
        put(tmp_path, "b/1.png", raw=b"nothing")
        return "b/1.png", "not an image that can be read"
    put(tmp_path, "b/deep/1.png")
    (tmp_path / "b/1.png").unlink()
    real = os.scandir

    def scandir(path):
        if str(path).rstrip("/").endswith("b/deep"):
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    return "b/deep", r"cannot be read \(Permission denied\)"


LOST = ["a link to nothing", "a pipe", "damaged", "no permission"]


@pytest.mark.parametrize("which", LOST)
def test_what_cannot_be_read_stops(which, tmp_path, monkeypatch):
    name, reason = lost(tmp_path, monkeypatch, which)
    with pytest.raises(DataError, match=f"^{tmp_path / name}: {reason}"):
        folder_dataset(tmp_path).train_x[:]


@pytest.mark.parametrize("which", LOST)
def test_what_cannot_be_read_is_skipped_and_no_label_is_shifted(which, tmp_path, monkeypatch):
    name, reason = lost(tmp_path, monkeypatch, which)
    data = folder_dataset(tmp_path, on_error="skip", size=4)
    assert found(data) == [(f"{i}.png", c) for c in "abc" for i in range(3) if c + str(i) != "b1"]
    ((file, why),) = data.skipped
    assert file == str(tmp_path / name) and why.startswith(reason.replace("\\", "")[:20])
    levels = data.train_x[:].amax((1, 2, 3)).tolist()
    assert levels == [png_level(f"{c}/{f}") for f, c in found(data)]
    # The shares are of what is left, and the same with what is skipped gone.
    split = folder_dataset(tmp_path, on_error="skip", test_fraction=0.4, seed=3)
    (tmp_path / "b/1.png").unlink(missing_ok=True)
    if which != "no permission":
        gone = folder_dataset(tmp_path, test_fraction=0.4, seed=3)
        assert found(gone, "test") == found(split, "test") and not gone.skipped


def png_level(name):
    return sum(map(ord, name)) % 256


def test_a_class_of_which_nothing_can_be_read(tmp_path):
    put(tmp_path, "a/1.png", "c/1.png")
    put(tmp_path, "b/1.png", "b/2.png", raw=b"nothing")
    with pytest.raises(DataError, match="b: it holds no images that can be read"):
        folder_dataset(tmp_path, on_error="skip")


def test_verify_tells_what_is_left_out(tmp_path):
    put(tmp_path, "a/1.png", "b/1.png", "b/2.png", "b/.x.png", "b/x.txt")
    put(tmp_path, "a/2.png", raw=b"nothing")
    text = verify_text(verify(tmp_path))
    assert f"WRONG    {tmp_path}/a/2.png" in text
    assert "3 + 0 images [3, 224, 224] uint8, 2 classes; passed over: 1 hidden, 1 .txt" in text


# --- folders as people have them --------------------------------------------------------------


@pytest.mark.parametrize("folder", [".", "only", "deep/er"])
def test_flat_folders_have_no_labels(folder, tmp_path):
    put(tmp_path / folder, "2.png", "1.png", "sub/3.png")
    data = folder_dataset(tmp_path)
    assert found(data) == [("1.png", None), ("2.png", None), ("3.png", None)]
    assert data.classes == () and data.train_y.dtype == torch.int64 and len(data.test_x) == 0
    assert repr(data).endswith("3 + 0 images [3, 224, 224] uint8, without labels)")
    assert is_image_folder(tmp_path) and repr(load(tmp_path)) == repr(data)


@pytest.mark.parametrize("test", ["test", "testing", "val", "valid", "validation", "VAL", "Test"])
@pytest.mark.parametrize("train", ["train", "Train", "TRAINING"])
def test_names_of_parts(train, test, tmp_path):
    put(tmp_path, f"{train}/a/1.png", f"{train}/b/2.png", f"{test}/b/3.png")
    assert is_image_folder(tmp_path)
    data = folder_dataset(tmp_path)
    assert found(data) == [("1.png", "a"), ("2.png", "b")] and found(data, "test") == [
        ("3.png", "b")
    ]


def test_parts_that_are_not_used_are_told(tmp_path):
    put(tmp_path, "train/a/1.png", "train/b/1.png", "train/x.png", "val/a/1.png", "test/a/1.png")
    put(tmp_path, "extra/1.png", "extra/2.png", "y.png")
    data = folder_dataset(tmp_path)
    assert len(data.test_x) == 1 and "/test/" in data.test_x.files[0]
    assert data.passed == {
        "beside train/": 1, "beside the classes": 1, "in extra/": 2, "in val/": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    "names, problem",
    [(("test/a/1.png", "val/a/1.png"), "it has test, val, but no train"),
     (("train/a/1.png", "Train/b/1.png"), "which of them is for training"),
     (("train/a/1.png", "train/b/1.png", "test/A/1.png", "test/B/1.png"), "test/A: no class of"),
     (("x.txt",), "it holds no images; passed over: 1 .txt")],
)  # fmt: skip
def test_folders_that_make_no_sense(names, problem, tmp_path):
    put(tmp_path, *names)
    with pytest.raises(DataError, match=problem):
        folder_dataset(tmp_path)


def tiny_imagenet(folder):
    for wnid in ("n01443537", "n01629819", "n01641577"):
        put(folder, *(f"train/{wnid}/images/{wnid}_{i}.JPEG" for i in range(2)))
        put(folder, f"train/{wnid}/{wnid}_boxes.txt", raw=b"n01443537_0.JPEG\t0\t10\t63\t58\n")
    put(folder, *(f"val/images/val_{i}.JPEG" for i in range(3)))
    put(folder, *(f"test/images/test_{i}.JPEG" for i in range(4)))
    wnids = ("n01641577", "n01443537", "n01641577")
    lines = (f"val_{i}.JPEG\t{wnid}\t0\t32\t44\t62\n" for i, wnid in enumerate(wnids))
    put(folder, "val/val_annotations.txt", raw="".join(lines).encode())
    put(folder, "wnids.txt", "words.txt", raw=b"n01443537\n")


def test_tiny_imagenet(tmp_path):
    tiny_imagenet(tmp_path / "tiny-imagenet-200")
    assert is_image_folder(tmp_path / "tiny-imagenet-200")
    data = folder_dataset(tmp_path / "tiny-imagenet-200", size=0)
    assert data.train_y.tolist() == [0, 0, 1, 1, 2, 2] and data.train_x.shape == (6, 3, 4, 4)
    assert found(data, "test") == [
        ("val_0.JPEG", "n01641577"), ("val_1.JPEG", "n01443537"), ("val_2.JPEG", "n01641577"),
    ]  # fmt: skip
    assert data.passed == {".txt": 5, "in test/": 4}


WNIDS = ("n01440764", "n01443537", "n01751748")


def imagenet(folder, root="", val=(65, 293, 1)):
    for wnid in WNIDS:
        put(folder, *(f"{root}train/{wnid}/{wnid}_{i}.JPEG" for i in range(2)))
    put(folder, *(f"{root}val/ILSVRC2012_val_{i:08d}.JPEG" for i in val))
    put(folder, *(f"{root}test/ILSVRC2012_test_{i:08d}.JPEG" for i in range(1, 3)))


EXPECTED = [
    ("ILSVRC2012_val_00000001.JPEG", "n01751748"), ("ILSVRC2012_val_00000002.JPEG", "n01440764"),
    ("ILSVRC2012_val_00000003.JPEG", "n01443537"), ("ILSVRC2012_val_00000004.JPEG", "n01440764"),
]  # fmt: skip


@pytest.mark.parametrize("given", [".", "ILSVRC", "ILSVRC/Data/CLS-LOC", "plain"])
def test_imagenet_as_kaggle_has_it(given, tmp_path):
    root = "" if given == "plain" else "ILSVRC/Data/CLS-LOC/"
    imagenet(tmp_path, root, (1, 2, 3, 4))
    if root:
        put(tmp_path, "ILSVRC/Annotations/CLS-LOC/val/1.xml", "ILSVRC/ImageSets/CLS-LOC/val.txt",
            raw=b"ILSVRC2012_val_00000001 1\n")  # fmt: skip
    rows = ["ImageId,PredictionString"]
    # In any order, and with several boxes.
    rows += [f"{name[:-5]},{wnid} 1 2 3 4 {wnid} 5 6 7 8" for name, wnid in reversed(EXPECTED)]
    where = tmp_path / ("ILSVRC" if given == "ILSVRC" else ".")
    put(where, "LOC_val_solution.csv", raw="\n".join(rows).encode())
    data = folder_dataset(tmp_path / ("." if given == "plain" else given))
    assert data.classes == WNIDS and found(data, "test") == EXPECTED
    assert data.passed["in test/"] == 2


def truth_file(folder, kind, truth):
    """What says that the k-th image is of class truth[k]; and what it needs."""
    numbers = {"n01440764": 449, "n01443537": 442, "n01751748": 490}
    if kind.startswith("val.txt"):
        places = [WNIDS.index(wnid) for wnid in truth]
        said = truth if kind.endswith("names") else places
        if kind.endswith("synsets"):
            put(folder, "synsets.txt", raw="\n".join(["n00000001", *WNIDS, "n9"]).encode())
            said = [place + 1 for place in places]
        lines = [f"ILSVRC2012_val_{k:08d}.JPEG {what}" for k, what in enumerate(said, 1)]
        put(folder, "val.txt", raw="\n".join(lines).encode())
    elif kind == "synset labels":
        name = "imagenet_2012_validation_synset_labels.txt"
        put(folder, name, raw="\n".join(truth).encode())
    else:
        data = folder / "ILSVRC2012_devkit_t12/data"
        lines = "\n".join(str(numbers[wnid]) for wnid in truth)
        put(data, "ILSVRC2012_validation_ground_truth.txt", raw=lines.encode())
        if kind == "map_clsloc":
            lines = "\n".join(f"{wnid} {number} a_fish" for wnid, number in numbers.items())
            put(data, "map_clsloc.txt", raw=lines.encode())
        elif kind == "meta.mat":
            rows = [(number, wnid, "fish, a fish") for wnid, number in numbers.items()]
            kinds = [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("words", "O")]
            file = io.BytesIO()
            pytest.importorskip("scipy.io").savemat(
                file, {"synsets": np.array(rows, kinds)[:, None]}
            )
            put(data, "meta.mat", raw=file.getvalue())


@pytest.mark.parametrize(
    "kind",
    ["val.txt", "val.txt names", "val.txt synsets", "synset labels", "map_clsloc", "meta.mat"],
)
def test_imagenets_other_ground_truths(kind, tmp_path):
    imagenet(tmp_path, val=(4, 2, 1))  # the third is missing: numbers, not places, tell the rest
    truth_file(tmp_path, kind, [wnid for _, wnid in EXPECTED])
    assert found(folder_dataset(tmp_path), "test") == [EXPECTED[0], EXPECTED[1], EXPECTED[3]]


@pytest.mark.parametrize(
    "name, text, problem",
    [("LOC_val_solution.csv", "ImageId,PredictionString\nILSVRC2012_val_00000001,\n",
      "LOC_val_solution.csv: expected an image and its class in every line"),
     ("LOC_val_solution.csv", "a,b\nILSVRC2012_val_00000001,n9 1\n", "of class n9, which is none"),
     ("val.txt", "ILSVRC2012_val_00000001.JPEG 65\n", "synsets.txt beside it would say"),
     ("val.txt", "ILSVRC2012_val_00000001.JPEG\n", "an image and its class in every line"),
     ("val/val_annotations.txt", b"\xff\xfe", "not text in UTF-8"),
     ("val/val_annotations.txt", "other.JPEG n01440764", "00000001.JPEG: nothing says of which"),
     ("ILSVRC2012_validation_ground_truth.txt", "490\n449", "meta.mat of the devkit names")],
)  # fmt: skip
def test_ground_truth_that_makes_no_sense(name, text, problem, tmp_path):
    imagenet(tmp_path, val=(1,))
    put(tmp_path, name, raw=text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError, match=problem):
        folder_dataset(tmp_path)


def test_an_image_without_ground_truth_is_skipped(tmp_path):
    imagenet(tmp_path, val=(1, 2))
    put(tmp_path, "val/val_annotations.txt", raw=b"ILSVRC2012_val_00000002.JPEG\tn01443537\t1\n")
    data = folder_dataset(tmp_path, on_error="skip")
    assert found(data, "test") == [("ILSVRC2012_val_00000002.JPEG", "n01443537")]
    assert [why for _, why in data.skipped] == ["nothing says of which class it is"]


def test_size_0_is_theirs_if_they_have_one(tmp_path):
    put(tmp_path, *(f"{c}/{i}.png" for c in "ab" for i in range(2)), raw=png(9, (6, 5)))
    assert folder_dataset(tmp_path, size=0).train_x.shape == (4, 3, 5, 6)
    assert folder_dataset(tmp_path, size=0, grey=True).train_x[:].shape == (4, 5, 6)
    assert folder_dataset(tmp_path, size=8).train_x.shape == (4, 3, 8, 8)
    put(tmp_path, "b/2.png", raw=png(9, (5, 6)))
    assert folder_dataset(tmp_path, size=0).train_x.shape == (5, 3, 224, 224)


def test_a_folder_of_which_no_image_can_be_read(tmp_path):
    for name in ("1.png", "2.png"):
        (tmp_path / name).write_bytes(b"nothing")
    words = r"1\.png: not an image .*; nor can any other image there be read"
    with pytest.raises(DataError, match=words):
        folder_dataset(tmp_path, on_error="skip")
