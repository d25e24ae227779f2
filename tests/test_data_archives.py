"""scatcuda.data: images in archives, read from where they lie, whatever the archive says."""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import struct
import tarfile
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from scatcuda.data import DataError, available, folder_dataset, load, set_file_budget
from scatcuda.data.folders.archive import opened_archive
from scatcuda.data.folders.folder import is_image_folder


def png(level: int, side: int = 4) -> bytes:
    file = io.BytesIO()
    Image.new("L", (side, side), level).save(file, "PNG")
    return file.getvalue()


def tar(path, members, mode="w"):
    """Members by name: bytes, or a TarInfo of something else."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:
        for name, raw in members.items():
            info = tarfile.TarInfo(name) if isinstance(raw, bytes) else raw
            if isinstance(raw, bytes):
                info.size = len(raw)
            archive.addfile(info, io.BytesIO(raw) if isinstance(raw, bytes) else None)
    return path


def packed(path, members):
    """An archive of the kind that its name says."""
    if path.suffix != ".zip":
        return tar(path, members, "w:gz" if path.suffix in (".gz", ".tgz") else "w")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, raw in members.items():
            archive.writestr(name, raw)
    return path


SUFFIXES = [".tar", ".tar.gz", ".tgz", ".zip"]
CLASSES = {
    f"flowers/{part}{c}/{i}.png": png(10 * i + k)
    for part, n in (("train/", 3), ("val/", 1))
    for k, c in enumerate(("lily", "rose"))
    for i in range(n)
}


def levels(x):
    return x[:].amax(tuple(range(1, x.ndim))).tolist()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_archives_are_as_folders(suffix, tmp_path):
    extra = {
        "flowers/.DS_Store": b"x", "__MACOSX/flowers/train/rose/._1.png": b"x", "README.md": b"x",
        "flowers/inner.zip": b"x",
    }  # fmt: skip
    file = packed(tmp_path / f"my-flowers{suffix}", CLASSES | extra)
    assert is_image_folder(file)
    data = load(file, size=4, grey=True)
    assert data.name == "my-flowers" and data.classes == ("lily", "rose")
    assert data.train_y.tolist() == [0, 0, 0, 1, 1, 1] and data.test_y.tolist() == [0, 1]
    assert levels(data.train_x) == [0, 10, 20, 1, 11, 21] and levels(data.test_x) == [0, 1]
    assert data.train_x.files[0] == f"{file}: flowers/train/lily/0.png"
    assert data.passed == {"hidden": 2, ".md": 1, "archive in an archive": 1}
    assert os.listdir(tmp_path) == [file.name]  # nothing was unpacked
    assert load("my-flowers", tmp_path, size=4).train_x.files == data.train_x.files
    listed = {entry.name: entry for entry in available(tmp_path)}
    assert (listed["my-flowers"].train, listed["my-flowers"].test) == (6, 2)
    again = pickle.loads(pickle.dumps(data.train_x))  # as a DataLoader's workers get it
    assert torch.equal(again[:], data.train_x[:])


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_flat_and_unsplit_archives(suffix, tmp_path):
    flat = packed(tmp_path / f"flat{suffix}", {"./b.png": png(2), "./a.png": png(1)})
    data = folder_dataset(flat, size=4)
    assert levels(data.train_x) == [1, 2] and data.classes == ()
    unsplit = {f"{c}/{i}.png": png(i) for c in "ab" for i in range(5)}
    data = folder_dataset(packed(tmp_path / f"x{suffix}", unsplit), test_fraction=0.2)
    assert data.train_y.bincount().tolist() == [4, 4] and len(data.test_x) == 2


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_folder_of_archives(suffix, tmp_path):
    """As directories of their names: torchvision's parts of ImageNet, its classes, one inside."""
    for part in ("train", "val"):
        inside = {name.removeprefix(f"flowers/{part}/"): raw for name, raw in CLASSES.items()
                  if f"/{part}/" in name}  # fmt: skip
        if part == "train":
            inside = {f"train/{name}": raw for name, raw in inside.items()}
        (tmp_path / "parts").mkdir(exist_ok=True)
        packed(tmp_path / f"parts/{part}{suffix}", inside)
    assert is_image_folder(tmp_path / "parts")
    data = folder_dataset(tmp_path / "parts", size=4)
    assert data.classes == ("lily", "rose") and levels(data.train_x) == [0, 10, 20, 1, 11, 21]
    assert levels(data.test_x) == [0, 1]
    (tmp_path / "classes").mkdir()
    for k, name in enumerate(("n01440764", "n01443537")):
        packed(tmp_path / f"classes/{name}{suffix}", {f"{name}_{i}.JPEG": png(k) for i in (1, 2)})
    data = folder_dataset(tmp_path / "classes", size=4)
    assert data.classes == ("n01440764", "n01443537") and levels(data.train_x) == [0, 0, 1, 1]


def test_an_archive_that_is_written_to_is_noticed(tmp_path):
    file = packed(tmp_path / "x.zip", {"a.png": png(1)})
    images = folder_dataset(file).train_x
    before = images.states(torch.tensor([0]))
    os.utime(file, ns=(1, 1))
    assert not torch.equal(images.states(torch.tensor([0])), before)


def test_a_member_written_twice_counts_once(tmp_path):
    file = tar(tmp_path / "x.tar", {"a.png": png(1), "b.png": png(2)})
    tar(file, {"a.png": png(9)}, "a")
    assert levels(folder_dataset(file, size=4).train_x) == [9, 2]


# --- WebDataset -------------------------------------------------------------------------------


def shard(path, samples, how="cls"):
    members = {}
    for key, label in samples.items():
        members[f"{key}.png"] = png(int(key.rpartition("/")[2]))
        beside = str(label).encode() if how == "cls" else json.dumps({how: label, "w": 4}).encode()
        members[f"{key}.{'cls' if how == 'cls' else 'json'}"] = beside
    return tar(path, members)


@pytest.mark.parametrize("how", ["cls", "label", "class"])
@pytest.mark.parametrize("folder", [True, False])
def test_webdataset(how, folder, tmp_path):
    samples = {f"{i:06d}": (10, 2, 7)[i % 3] for i in range(9)}
    if folder:
        for k in range(3):
            some = dict(list(samples.items())[3 * k : 3 * k + 3])
            shard(tmp_path / f"set/imagenet-train-{k:06d}.tar", some, how)
        shard(tmp_path / "set/imagenet-val-000000.tar", {"000100": 7, "000101": 2}, how)
        (tmp_path / "set/_info.json").write_text("{}")
    else:
        shard(tmp_path / "set/000000.tar", samples, how)
    data = load(tmp_path / "set" if folder else tmp_path / "set/000000.tar", size=4)
    assert data.classes == ("2", "7", "10")  # as numbers
    assert levels(data.train_x) == list(range(9)) and data.train_y.tolist() == [2, 0, 1] * 3
    if folder:
        assert levels(data.test_x) == [100, 101] and data.test_y.tolist() == [1, 0]
    assert data.passed == ({".json": 1} if folder else {})


def test_webdataset_with_names_and_both_files(tmp_path):
    members = {"1.png": png(1), "1.cls": b"cat\n", "1.json": b'{"label": 3}', "2.png": png(2),
               "2.cls": b"dog", "2.txt": b"a dog", "3.jpg.png": png(3), "3.cls": b"cat",
               "9.json": b"[1]"}  # fmt: skip
    data = folder_dataset(tar(tmp_path / "x.tar", members))
    assert data.classes == ("cat", "dog") and data.train_y.tolist() == [0, 1, 0]
    assert data.passed == {".txt": 1, ".json": 1}


def test_all_images_of_a_sample_have_its_class(tmp_path):
    members = {"1.png": png(1), "1.seg.png": png(2), "1.cls": b"cat", "2.png": png(3),
               "2.seg.png": png(4), "2.cls": b"dog"}  # fmt: skip
    data = folder_dataset(tar(tmp_path / "x.tar", members))
    assert data.classes == ("cat", "dog") and sorted(data.train_y.tolist()) == [0, 0, 1, 1]
    assert levels(data.train_x)[0] == 1 and data.train_y[0] == 0


def test_captions_are_no_classes(tmp_path):
    members = {"1.png": png(1), "1.json": b'{"caption": "a"}', "2.png": png(2), "2.json": b"[]"}
    assert folder_dataset(tar(tmp_path / "x.tar", members)).classes == ()


@pytest.mark.parametrize(
    "name, raw, problem",
    [("2.cls", b"", "x.tar: 2.cls: it does not tell the class"),
     ("2.cls", b"\xff", "2.cls: it does not tell the class"),
     ("2.json", b"{", "2.json: it does not tell the class"),
     ("2.json", b'{"label": [1]}', "no name and no number"),
     ("2.json", rb'{"label": "\ud800"}', "2.json: it does not tell the class .*surrogates"),
     ("2.json", b"[" * 60000, "2.json: it does not tell the class"),
     ("2.cls", bytes(70000), "70000 bytes, where a class is expected"),
     ("other", b"", "x.tar: 2.png: nothing beside it says its class")],
)  # fmt: skip
def test_damaged_classes(name, raw, problem, tmp_path):
    members = {"0.png": png(0), "0.cls": b"1", "1.png": png(1), "1.cls": b"0", "2.png": png(2)}
    with pytest.raises(DataError, match=problem):
        folder_dataset(tar(tmp_path / "x.tar", members | {name: raw}))


def test_two_archives_of_one_name(tmp_path):
    (tmp_path / "both").mkdir()
    for suffix in (".tar", ".zip"):
        packed(tmp_path / f"both/a{suffix}", {"x/0.png": png(1), "y/1.png": png(2)})
    with pytest.raises(DataError, match=r"a.tar and a.zip are directories of one name, .*rename"):
        folder_dataset(tmp_path / "both", size=16)


# --- hostile archives -------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_names_lead_nowhere(suffix, tmp_path):
    (tmp_path / "secret.png").write_bytes(png(200))
    names = ("../secret.png", "/etc/x.png", "a/../../secret.png", "a//b.png", "good.png")
    data = folder_dataset(packed(tmp_path / f"x{suffix}", {name: png(7) for name in names}), size=4)
    assert levels(data.train_x) == [7] and data.passed == {"hidden": 4}


def test_links_and_devices_in_a_tar(tmp_path):
    (tmp_path / "secret.png").write_bytes(png(200))
    members = {"good.png": png(7)}
    kinds = (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE)
    for kind in kinds:
        info = tarfile.TarInfo(f"{kind.decode()}.png")
        info.type, info.linkname = kind, str(tmp_path / "secret.png")
        members[info.name] = info
    data = folder_dataset(tar(tmp_path / "x.tar", members), size=4)
    assert levels(data.train_x) == [7]
    assert data.passed == {"link in an archive": 2, "no file": 2}


@pytest.fixture
def budget():
    yield set_file_budget
    set_file_budget(None)


@pytest.mark.parametrize("suffix", [".tar.gz", ".tgz", ".zip"])
def test_bombs(suffix, tmp_path, budget):
    file = packed(tmp_path / f"x{suffix}", {"a.png": bytes(64 << 20), "b.png": png(1)})
    assert file.stat().st_size < 1 << 17
    budget(16 << 20)
    with pytest.raises(DataError, match=r"x.*: reading it would take .*SCATCUDA_FILE_BUDGET"):
        folder_dataset(file).train_x[:]


@pytest.mark.parametrize("suffix", [".tar.gz", ".tgz"])
def test_what_is_unpacked_in_memory_is_within_the_budget(suffix, tmp_path, budget):
    file = packed(tmp_path / f"x{suffix}", {"junk.bin": bytes(64 << 20), "b.png": png(1)})
    budget(16 << 20)
    with pytest.raises(DataError, match=r"x.*, unpacked: reading it would take 17 MiB"):
        folder_dataset(file)


def test_a_member_that_claims_more_than_there_is(tmp_path, budget):
    file = tar(tmp_path / "x.tar", {"a.png": png(1), "b.png": png(2)})
    raw = bytearray(file.read_bytes())
    info = tarfile.TarInfo("b.png")
    info.size = 1 << 40
    raw[1024:1536] = info.tobuf(tarfile.GNU_FORMAT)
    file.write_bytes(raw)
    with pytest.raises(DataError, match="not a tar archive that can be read"):
        folder_dataset(file)


@pytest.mark.parametrize("kind", [b"x", b"L", b"g"])
def test_a_header_that_claims_gigabytes(kind, tmp_path, budget):
    budget(16 << 20)
    info = tarfile.TarInfo("long")
    info.type, info.size = kind, 1 << 36
    with open(tmp_path / "x.tar", "wb") as file:
        file.write(info.tobuf(tarfile.GNU_FORMAT))
        file.truncate(1 << 33)  # a file with a hole: the bytes are there, and cost nothing
    with pytest.raises(DataError, match=r"x\.tar, its contents: reading it would take"):
        folder_dataset(tmp_path / "x.tar")


def test_sparse_members_and_negative_sizes(tmp_path):
    info = tarfile.TarInfo("a.png")
    info.size = 512
    raw = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    raw[124:136] = b"\xff" * 12  # base 256: -1
    sum_ = sum(raw[:148]) + 8 * 32 + sum(raw[156:])
    raw[148:156] = b"%06o\0 " % sum_
    (tmp_path / "x.tar").write_bytes(bytes(raw) + bytes(2048))
    with pytest.raises(DataError, match=r"x\.tar: "):
        folder_dataset(tmp_path / "x.tar")
    sparse = tarfile.TarInfo("s.png")
    sparse.pax_headers = {"GNU.sparse.map": "0,1", "GNU.sparse.size": str(1 << 50)}
    with tarfile.open(tmp_path / "y.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        sparse.size = 1
        archive.addfile(sparse, io.BytesIO(b"x"))
        good = tarfile.TarInfo("good.png")
        good.size = len(png(7))
        archive.addfile(good, io.BytesIO(png(7)))
    data = folder_dataset(tmp_path / "y.tar", size=4)
    assert levels(data.train_x) == [7] and data.passed == {"no file": 1}


def zip_bytes():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", png(1) * 40)
        archive.writestr("b.png", png(2))
    return bytearray(file.getvalue())


def test_a_zip_that_lies(tmp_path, budget):
    raw = zip_bytes()
    place = raw.rfind(b"PK\x01\x02", 0, raw.rfind(b"PK\x01\x02"))
    for offset, value, problem in (
        (24, struct.pack("<I", 1 << 31), "reading it would take"),  # size
        (24, struct.pack("<I", 9), "damaged"),
        (10, struct.pack("<H", 14), "packed otherwise than by deflate"),  # LZMA
        (8, struct.pack("<H", 1), "encrypted"),
        (16, b"\0\0\0\0", "damaged"),  # checksum
        (42, struct.pack("<I", 7), "damaged"),  # where it is
    ):
        lying = raw[:]
        lying[place + offset : place + offset + len(value)] = value
        (tmp_path / "x.zip").write_bytes(lying)
        budget(1 << 28)
        with pytest.raises(DataError, match=f"x.zip: a.png: {problem}"):
            folder_dataset(tmp_path / "x.zip").train_x[:]
        skipped = folder_dataset(tmp_path / "x.zip", on_error="skip", size=4)
        assert len(skipped.skipped) == 1 and levels(skipped.train_x) == [2]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_cut_and_altered_bytes(suffix, tmp_path):
    """One DataError, or the images that are there; never fewer without a word."""
    members = {f"{c}/{i}.png": png(9 * i + k) for k, c in enumerate("ab") for i in range(2)}
    raw = packed(tmp_path / f"x{suffix}", members).read_bytes()
    whole = levels(folder_dataset(tmp_path / f"x{suffix}", size=4).train_x)
    file = tmp_path / f"y{suffix}"
    random = np.random.RandomState(0)
    for cut in (0, 1, 100, 511, 512, 600, len(raw) // 2, len(raw) - 1):
        file.write_bytes(raw[:cut])
        try:
            assert levels(folder_dataset(file, size=4).train_x) == whole
        except DataError as error:
            assert str(error).startswith(str(file)) and "\n" not in str(error)
    for place in random.choice(len(raw), 60, replace=False):
        damaged = bytearray(raw)
        damaged[place] ^= 1 << random.randint(8)
        file.write_bytes(damaged)
        try:
            data = folder_dataset(file, size=4)
            assert len(data.train_x) + sum(data.passed.values()) == 4
            data.train_x[:]
        except DataError as error:
            assert str(error).startswith(str(file)) and "\n" not in str(error)


def test_what_is_no_archive(tmp_path):
    for suffix in SUFFIXES:
        (tmp_path / f"x{suffix}").write_bytes(b"nothing of the kind" * 100)
        assert not is_image_folder(tmp_path / f"x{suffix}")
        with pytest.raises(DataError, match="archive that can be read"):
            folder_dataset(tmp_path / f"x{suffix}")
        (tmp_path / f"x{suffix}").unlink()
        os.mkfifo(tmp_path / f"x{suffix}")
        assert not is_image_folder(tmp_path / f"x{suffix}")
        with pytest.raises(DataError, match="a named pipe, where a file is expected"):
            folder_dataset(tmp_path / f"x{suffix}")
    inner = packed(tmp_path / "inner.tar", {"a.png": png(1)}).read_bytes()
    with pytest.raises(DataError, match="no images; passed over: 1 archive in an archive"):
        folder_dataset(tar(tmp_path / "outer.tar", {"inner.tar": inner}))
    (tmp_path / "z.tar").write_bytes(gzip.compress(b"x" * 2000))
    with pytest.raises(DataError, match="not a tar archive"):
        opened_archive(tmp_path / "z.tar")
