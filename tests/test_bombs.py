"""Files that claim much or never end: within the budget of memory, at once, in one sentence.

Each is read in a process of its own, whose peak is compared with what it had before: what Pillow,
zlib or an engine takes counts as much as what Python does. A process that hangs is a failure.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import json
import os
import resource
import socket
import struct
import threading
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy
import pytest

pytest.importorskip("PIL")
pytest.importorskip("safetensors")
pytest.importorskip("sklearn")
pytest.importorskip("tqdm")

from budgets import BUDGET, MIB, PATIENCE, SLACK, measured
from data_files import write_cifar

from scatcuda import config, data, environment
from scatcuda.data import DataError, file_budget, set_file_budget
from scatcuda.files import read_tensors
from scatcuda.files.budget import ask, room
from scatcuda.files.reading import opened, read_json, read_whole
from scatcuda.learn import load, load_features

pytestmark = pytest.mark.proof


def command(*arguments: object) -> str:
    """What the command says on stderr."""
    from scatcuda.cli import main

    with contextlib.redirect_stderr(io.StringIO()) as said:
        with contextlib.redirect_stdout(said):
            main([str(argument) for argument in arguments])
    return said.getvalue()


# --- the budget -------------------------------------------------------------------------------


@pytest.fixture
def budget(monkeypatch):
    monkeypatch.delenv("SCATCUDA_FILE_BUDGET", raising=False)
    yield
    set_file_budget(None)


def test_the_budget_is_asked(budget):
    assert file_budget() == 2 << 30
    ask("a.png", 2 << 30)
    with pytest.raises(DataError, match=r"^a.png: reading it would take 2 GiB of memory, more"):
        ask("a.png", (2 << 30) + 1)
    with pytest.raises(DataError, match=r"set SCATCUDA_FILE_BUDGET to 9223372036854775807 bytes"):
        ask("a.png", 10**400)


def test_the_budget_is_set(budget, monkeypatch, capsys):
    monkeypatch.setenv("SCATCUDA_FILE_BUDGET", "1000")
    assert file_budget() == 1000
    set_file_budget(10)
    with pytest.raises(DataError, match="11 bytes of memory, more than the 10 bytes"):
        ask("a.png", 11)
    config.show_config()
    assert "a file may take: 10 bytes (SCATCUDA_FILE_BUDGET)" in capsys.readouterr().out
    set_file_budget(None)
    assert file_budget() == 1000
    for wrong in (0, -1):
        with pytest.raises(ValueError, match="set_file_budget: nbytes must be at least 1; got"):
            set_file_budget(wrong)
    with pytest.raises(TypeError, match="set_file_budget: nbytes must be an integer; got '2G'"):
        set_file_budget("2G")  # type: ignore[arg-type]


@pytest.mark.parametrize("value", ["0", "-1", "2G", "1e9", "９", "9" * 5000])
def test_an_environment_that_is_no_budget(budget, monkeypatch, value):
    monkeypatch.setenv("SCATCUDA_FILE_BUDGET", value)
    with pytest.raises(ValueError, match=r"^SCATCUDA_FILE_BUDGET must be a number of bytes, 1 or"):
        environment.check()


def test_threads_share_the_budget(budget):
    """Two of 6 bytes do not fit into 10 together: the second waits until the first is through."""
    set_file_budget(10)
    inside, leave, second = threading.Event(), threading.Event(), threading.Event()

    def first():
        with room("a", 6):
            inside.set()
            leave.wait(PATIENCE)

    def other():
        with room("b", 6):
            second.set()

    threads = [threading.Thread(target=first), threading.Thread(target=other)]
    threads[0].start()
    assert inside.wait(PATIENCE)
    with room("c", 4):
        pass
    threads[1].start()
    assert not second.wait(0.2)
    leave.set()
    assert second.wait(PATIENCE)
    for thread in threads:
        thread.join()
    with pytest.raises(DataError, match=r"^d: "), room("d", 11):
        pass


# --- what is no file --------------------------------------------------------------------------


def _pipe(path: Path) -> str:
    os.mkfifo(path)
    return "a named pipe"


def _socket(path: Path) -> str:
    short = os.open(path.parent, os.O_PATH)  # a socket's name has 107 bytes at most
    socket.socket(socket.AF_UNIX).bind(f"/proc/self/fd/{short}/{path.name}")
    os.close(short)
    return "a socket"


def _device(path: Path) -> str:
    path.symlink_to("/dev/zero")
    return "a device"


def _terminal(path: Path) -> str:
    path.symlink_to("/dev/tty")
    return "a device"


def _directory(path: Path) -> str:
    path.mkdir()
    return "a directory"


NO_FILES = {make.__name__[1:]: make for make in (_pipe, _socket, _device, _terminal, _directory)}


@pytest.mark.parametrize("make", NO_FILES.values(), ids=NO_FILES)
def test_only_regular_files_are_opened(make, tmp_path):
    kind = make(tmp_path / "it")
    for path in (tmp_path / "it", tmp_path / "link"):
        if path.name == "link":
            path.symlink_to("it")
        with pytest.raises(DataError) as raised, opened(path):
            pass
        assert str(raised.value) == f"{path}: {kind}, where a file is expected"


def test_links_to_files_are_followed(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    (tmp_path / "b").symlink_to("a")
    assert read_whole(tmp_path / "b") == b"abc"
    (tmp_path / "c").symlink_to("c")
    with pytest.raises(DataError, match=r"c: cannot be read \(Too many levels of symbolic links\)"):
        read_whole(tmp_path / "c")


def test_what_becomes_a_pipe_is_not_waited_for(tmp_path, monkeypatch):
    """Between the look at it and its opening."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").touch()
    state = os.stat(tmp_path / "file")
    monkeypatch.setattr("scatcuda.files.reading.os.stat", lambda path: state)
    with pytest.raises(DataError, match="pipe: a named pipe, where a file is expected"):
        read_whole(tmp_path / "pipe")


def test_a_file_is_read_whole_within_the_budget(budget, tmp_path):
    (tmp_path / "a").write_bytes(bytes(100))
    set_file_budget(200)
    assert read_whole(tmp_path / "a", times=2) == bytes(100)
    with pytest.raises(DataError, match="a: reading it would take 300 bytes of memory"):
        read_whole(tmp_path / "a", times=3)


def test_a_sparse_file_is_not_read(tmp_path):
    with open(tmp_path / "a", "wb") as file:
        file.truncate(1 << 40)
    said, grown = measured(read_whole, tmp_path / "a")
    assert "1024 GiB of memory" in said and grown < SLACK


# --- text that grows --------------------------------------------------------------------------


@pytest.mark.parametrize("item", [b"{},", b"[],", b'{"a":[]},', b"1e9,", b'"",'])
def test_json_grows_within_the_budget(item, tmp_path):
    """By thirty times, into objects; what may be read stays within what was asked for."""
    for size, read in ((BUDGET // 45, True), (BUDGET // 35, False)):
        text = '["\N{GRINNING FACE}",'.encode()  # makes all letters take 4 bytes
        (tmp_path / "a").write_bytes(text + item * (size // len(item)) + b"0]")
        said, grown = measured(_parse, tmp_path / "a")
        assert ("of memory" not in said) == read and grown < BUDGET + SLACK


def _parse(path: Path) -> str:
    return f"{len(read_json(path))} items"


@pytest.mark.parametrize(
    "text",
    [
        "a." * 8000 + "a = 1",
        "[" + "a." * 8000 + "a]",
        f"a = {{{'a.' * 8000}a = 1}}",
        "a = [" + "[" * 16000,
        "a = " + "{a = " * 3000,
        "a = 1\n" * 10**6,
    ],
    ids=lambda text: text[:8],
)
def test_a_configuration_that_grows(text, tmp_path):
    """Of a key of n parts the parser of TOML keeps n beginnings."""
    (tmp_path / "a.toml").write_text(text)
    said, grown = measured(command, "train", "--config", tmp_path / "a.toml")
    assert "a.toml: not TOML (" in said and grown < SLACK


# --- tensors ----------------------------------------------------------------------------------


def tensors_file(path: Path, header: dict[str, Any], size: int = 0) -> Path:
    """A safetensors file of this header and so many zeros, which take no disk."""
    text = json.dumps(header, separators=(",", ":")).encode()
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + size)
    return path


def one_tensor(size: int) -> dict[str, Any]:
    return {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}


def test_tensors_that_nobody_stored(tmp_path):
    path = tensors_file(tmp_path / "a", {"x": one_tensor(1 << 40)}, 1 << 40)
    for read in (load, read_tensors):
        said, grown = measured(read, path)
        assert f"{path}: reading it would take 1024 GiB" in said and grown < SLACK


def test_a_header_of_many_tensors(tmp_path):
    empty = {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}
    for count, read in ((20_000, True), (40_000, False)):
        path = tensors_file(tmp_path / "a", {f"{i:x}": empty for i in range(count)})
        said, grown = measured(_count, path)
        assert ("header: reading it would take" not in said) == read and grown < BUDGET + SLACK


def _count(path: Path) -> str:
    return f"{len(read_tensors(path)[0])} tensors"


def test_a_header_longer_than_its_file(tmp_path):
    for length in (2**63, 2**64 - 1, 10**6):
        (tmp_path / "a").write_bytes(length.to_bytes(8, "little") + b"{}")
        said, grown = measured(read_tensors, tmp_path / "a")
        assert "its header: reading it" in said or "safetensors" in said
        assert grown < SLACK


def estimator_file(path: Path, metadata: str) -> Path:
    return tensors_file(path, {"__metadata__": {"scatcuda.estimator": metadata}})


def step(name: str, **attributes: Any) -> str:
    one = {"class": name, "parameters": {}, "attributes": attributes}
    return json.dumps({"version": 1, "pipeline": False, "estimators": [one]})


@pytest.mark.parametrize(
    "names",
    [
        {"names": ["a"] * 10, "dtype": "<U100000000"},
        {"names": ["a"] * 1000 + ["b" * 1_000_000], "dtype": "<U1"},
        {"names": ["a"] * 1000 + ["b" * 1_000_000], "dtype": "<U0"},
    ],
    ids=["dtype", "longest", "any"],
)
def test_names_of_many_letters(names, tmp_path):
    path = estimator_file(tmp_path / "a", step("RidgeClassifier", classes_=names))
    said, grown = measured(load, path)
    assert "its names: reading it would take" in said and grown < SLACK


def test_an_estimator_that_is_mostly_brackets(tmp_path):
    path = estimator_file(tmp_path / "a", "[" + "{}," * 10**6 + "0]")
    said, grown = measured(load, path)
    assert f"{path}: " in said and "would take" in said and grown < SLACK


def features_folder(folder: Path, rows: int, shard_size: int, sparse: bool) -> Path:
    """Features that claim `rows` rows of 100 numbers, in files of holes if in any."""
    folder.mkdir()
    split = {"rows": rows, "shape": [8, 8], "images": "", "labels": ""}
    manifest = {
        "format": "scatcuda features 3", "data": "", "classes": ["a", "b"],
        "transformer": {"dtype": "float32"}, "columns": 100, "dtype": "float32",
        "shard_size": shard_size, "splits": {"train": split},
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(manifest))
    digest = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
    count = -(-rows // shard_size) if sparse else 0
    for number in range(count):
        n = min(shard_size, rows - number * shard_size)
        ends = [0, 400 * n, 408 * n, 416 * n]
        shapes = {"x": ("F32", [n, 100]), "y": ("I64", [n]), "index": ("I64", [n])}
        header: dict[str, Any] = {
            name: {"dtype": kind, "shape": shape, "data_offsets": ends[i : i + 2]}
            for i, (name, (kind, shape)) in enumerate(shapes.items())
        }
        header["__metadata__"] = {"scatcuda": f"{digest} 00000000"}
        tensors_file(folder / f"train-{number:05d}-of-{count:05d}.safetensors", header, 416 * n)
    return folder


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("shard_size", [10**9, 10**8, 1])
def test_features_that_nobody_stored(sparse, shard_size, tmp_path):
    if sparse and shard_size == 1:
        pytest.skip("files of one row are no claim")
    path = features_folder(tmp_path / "a", 10**9 if sparse else 10**12, shard_size, sparse)
    said, grown = measured(load_features, path)
    assert "would take" in said if sparse else "files are missing" in said
    assert grown < SLACK


# --- what never ends --------------------------------------------------------------------------


@pytest.fixture
def run_folder(tmp_path):
    """A run that is finished."""
    folder = tmp_path / "run"
    assert "accuracy" in command("train", "digits", "--n", 50, "--pool", "mean", "--run", folder)
    return folder


@pytest.mark.parametrize("make", [_pipe, _device, _socket, _directory])
def test_what_is_no_file_in_a_run(make, run_folder):
    """Refused at once where it is read, and not waited for where it is written."""
    train = ("train", "digits", "--n", 50, "--pool", "mean", "--run", run_folder)
    cell = run_folder / "n50-seed0"
    for path, act in (
        (run_folder / "config.toml", train),
        (run_folder / "config.toml", ("train", "--config", run_folder / "config.toml")),
        (cell / "result.json", train),
        (cell / "data.json", train),
        (cell / "data.json", ("eval", run_folder)),
        (cell / "model.safetensors", ("eval", run_folder)),
    ):
        kept = path.read_bytes()
        path.unlink()
        kind = make(path)
        said, grown = measured(command, *act)
        if not (kind == "a directory" and act[0] == "eval" and path.name == "config.toml"):
            assert f"{path}: {kind}, where a file is expected" in said, said
        assert grown < SLACK + BUDGET // 2  # of reading the digits
        path.rmdir() if kind == "a directory" else path.unlink()
        path.write_bytes(kept)


def test_a_pipe_that_nobody_reads_is_not_written_to(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    said, _ = measured(command, "filters", "--output", tmp_path / "pipe.png")
    assert "pipe.png: " in said and "No such device or address" in said


@pytest.mark.parametrize("make", [_pipe, _device, _socket])
def test_what_is_no_file_among_data(make, tmp_path):
    """`data list`, `data verify` and `train` say so, and go on to the others."""
    folder = tmp_path / "data"
    for name in ("mnist", "cifar10", "folder/train/a", "folder/train/b", "folder/test/a"):
        (folder / name).mkdir(parents=True)
    kinds = {make(folder / name) for name in (
        "mnist/train-images-idx3-ubyte", "mnist/train-labels-idx1-ubyte",
        "mnist/t10k-images-idx3-ubyte", "mnist/t10k-labels-idx1-ubyte",
        "cifar10/data_batch_1", "cifar10/test_batch", "some.npz", "folder/train/a/1.png",
        "folder/train/b/1.png", "folder/test/a/1.png", "manifest.json",
    )}  # fmt: skip
    (kind,) = kinds
    for act in (("list",), ("verify", "mnist"), ("verify", str(folder / "folder"))):
        said, grown = measured(command, "data", *act, "--data-dir", folder)
        assert said and grown < 8 * BUDGET  # of the photographs and libraries of others
        if act == ("verify", "mnist"):
            assert said.count(f"{kind}, where a file is expected") >= 4
    for name in ("mnist", str(folder / "some.npz"), str(folder / "folder")):
        said, grown = measured(
            command, "train", name, "--data-dir", folder, "--run", tmp_path / "r"
        )
        assert said.startswith("scatcuda train: ") and said.count("\n") == 1
        assert grown < SLACK + BUDGET // 2
    said, _ = measured(load_features, folder)
    assert f"manifest.json: {kind}, where a file is expected" in said


# --- data sets that claim much ----------------------------------------------------------------


def packed_zeros(size: int, window: int = 31) -> bytes:
    """A gzip stream of zeros, a thousandth as long; made a megabyte at a time."""
    packer = zlib.compressobj(1, zlib.DEFLATED, window)
    block = bytes(MIB)
    parts = [packer.compress(block[: min(MIB, size - at)]) for at in range(0, size, MIB)]
    return b"".join(parts) + packer.flush()


def zlib_zeros(size: int) -> bytes:
    return packed_zeros(size, 15)


def _loaded(path: Path, **options: Any) -> str:
    dataset = data.load(path, **options)
    if isinstance(dataset.train_x, data.Images):
        dataset.train_x[:]
    return repr(dataset)


def test_idx_of_zeros(tmp_path):
    """An IDX file of 256 MiB in 260 KB, headers that claim less and more included."""
    header = bytes([0, 0, 8, 3]) + b"".join(n.to_bytes(4, "big") for n in (1 << 18, 32, 32))
    packed = gzip.compress(header) + packed_zeros(1 << 28)
    for name in ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"):
        (tmp_path / name).write_bytes(packed)
    for name in ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"):
        (tmp_path / name).write_bytes(b"")
    assert len(packed) < 2 * MIB
    said, grown = measured(_loaded, tmp_path)
    assert "train-images-idx3-ubyte.gz: reading it would take 256 MiB" in said and grown < SLACK
    small = bytes([0, 0, 8, 1, 0, 0, 0, 9])
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(
        gzip.compress(small) + packed_zeros(1 << 28)
    )
    said, grown = measured(_loaded, tmp_path)
    assert "train-images-idx3-ubyte.gz: " in said and grown < SLACK
    said, grown = measured(command, "data", "verify", tmp_path)
    assert "unpacked, more than" in said and grown < SLACK + BUDGET


@pytest.mark.parametrize("name", ["data_batch_1", "data_batch_1.bin", "train", "batches.meta"])
def test_cifar_of_zeros(name, tmp_path):
    write_cifar(tmp_path, binary=name.endswith("bin"), hundred=name == "train", count=10)
    (tmp_path / name).write_bytes(packed_zeros(1 << 29))
    said, grown = measured(_loaded, tmp_path)
    assert f"{name}: " in said or "data_batch_1: " in said
    assert grown < BUDGET + SLACK


def test_cifar_pickles_that_grow(tmp_path):
    """Letters that take four bytes each; lists of lists; what is memorised and taken again."""
    write_cifar(tmp_path, count=10)
    letters = "\N{GRINNING FACE}".encode() + b"a" * (20 * MIB)
    text = b"\x80\x02X" + len(letters).to_bytes(4, "little") + letters + b"."
    for content in (text, b"\x80\x02" + b"]" * (3 * MIB) + b".", b"\x80\x02" + b"}" * 10**6 + b"."):
        (tmp_path / "data_batch_1").write_bytes(content)
        said, grown = measured(_loaded, tmp_path)
        assert "data_batch_1: " in said and grown < 2 * BUDGET + SLACK


def npz_of(path: Path, shape: tuple[int, ...], stored: int) -> Path:
    """A .npz file whose arrays claim a shape, and hold `stored` zeros."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("x_train", "y_train", "x_test", "y_test"):
            with archive.open(f"{name}.npy", "w") as member:
                array_header = {"descr": "|u1", "fortran_order": False, "shape": shape}
                numpy.lib.format.write_array_header_1_0(member, array_header)
                for at in range(0, stored, MIB):
                    member.write(bytes(min(MIB, stored - at)))
    return path


@pytest.mark.parametrize("stored", [1 << 28, 0])
def test_npz_of_zeros(stored, tmp_path):
    path = npz_of(tmp_path / "a.npz", (1 << 18, 32, 32), stored)
    assert path.stat().st_size < 2 * MIB
    said, grown = measured(_loaded, path)
    assert "a.npz: x_train" in said and grown < SLACK


def test_npz_of_many_members(tmp_path):
    """A table of contents that takes twenty times its size; and one that is only holes."""
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        for i in range(60_000):
            archive.writestr(f"{i:06d}", b"")
    said, grown = measured(_loaded, tmp_path / "a.npz", budget=32 * MIB)
    assert "a.npz: reading it would take" in said and grown < SLACK
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, 1 << 31, 0, 0)
    with open(tmp_path / "b.npz", "wb") as file:
        file.seek(1 << 31)
        file.write(end)
    said, grown = measured(_loaded, tmp_path / "b.npz")
    assert "b.npz: reading it would take" in said and grown < SLACK


def png(width: int, height: int, *chunks: tuple[bytes, bytes], colour: int = 6) -> bytes:
    """A picture in 69 bytes, or more with chunks of others."""
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, colour, 0, 0, 0])
    body = b"\x89PNG\r\n\x1a\n"
    for kind, content in (
        (b"IHDR", header), *chunks, (b"IDAT", zlib.compress(b"")), (b"IEND", b""),
    ):  # fmt: skip
        check = zlib.crc32(kind + content).to_bytes(4, "big")
        body += len(content).to_bytes(4, "big") + kind + content + check
    return body


def bmp(width: int, height: int) -> bytes:
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return struct.pack("<2sIHHI", b"BM", 54, 0, 0, 54) + info


def gif(width: int, height: int) -> bytes:
    size = struct.pack("<HH", width, height)
    return b"GIF89a" + size + b"\x80\0\0" + bytes(6) + b"," + bytes(4) + size + b"\0\x02\x01\x01\0;"


def tiff(width: int, height: int) -> bytes:
    tags = [(256, 4, width), (257, 4, height), (258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 4, 8),
            (277, 3, 1), (278, 4, height), (279, 4, 1)]  # fmt: skip
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    return b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(tags)) + entries + bytes(4)


def webp(width: int, height: int) -> bytes:
    sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    frame = b"VP8L" + struct.pack("<I", 6) + b"\x2f" + struct.pack(
        "<I", (width - 1) | (height - 1) << 14
    ) + b"\0"  # fmt: skip
    body = b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + sides + frame
    return b"RIFF" + struct.pack("<I", len(body)) + body


SIDE = 12_000  # times itself 144 million pixels, of 4 bytes and more
PICTURES = {
    "png": lambda: png(SIDE, SIDE),
    "grey.png": lambda: png(SIDE, SIDE, colour=0),
    "wide.png": lambda: png(SIDE * SIDE, 1),
    "bmp": lambda: bmp(SIDE, SIDE),
    "bottom.bmp": lambda: bmp(SIDE, -SIDE),
    "gif": lambda: gif(SIDE, SIDE),
    "tiff": lambda: tiff(SIDE, SIDE),
    "webp": lambda: webp(SIDE, SIDE),
    "ppm": lambda: b"P6 %d %d 255\n" % (SIDE, SIDE),
    "text.png": lambda: png(30, 30, *[(b"zTXt", b"a\0\0" + zlib_zeros(64 * MIB))] * 8),
    "itxt.png": lambda: png(30, 30, *[(b"iTXt", b"a\0\1\0\0\0" + zlib_zeros(64 * MIB))] * 8),
    "profile.png": lambda: png(30, 30, (b"iCCP", b"a\0\0" + zlib_zeros(256 * MIB))),
}


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_of_many_pixels(name, tmp_path):
    path = tmp_path / name
    path.write_bytes(PICTURES[name]())
    assert path.stat().st_size < 3 * MIB
    said, grown = measured(_pictures, [path] * 8)
    assert f"{name}: " in said and grown < BUDGET + SLACK


def _pictures(paths: list[Path]) -> str:
    os.cpu_count = lambda: 8  # threads
    warnings.simplefilter("ignore")  # of Pillow, which wonders at much less
    return f"{len(data.Images(paths, size=16)[:])} pictures"


# --- no memory at all -------------------------------------------------------------------------


def _without_memory(*arguments: object) -> str:
    """A command where the process may take little more than it has, whatever files may."""
    from scatcuda.cli import main  # noqa: F401

    set_file_budget(1 << 40)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * os.sysconf("SC_PAGESIZE") + 512 * MIB
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    return command(*arguments)


@pytest.mark.parametrize("kind", ["npz", "json", "image", "sparse"])
def test_no_memory_is_a_sentence(kind, tmp_path, run_folder):
    act: tuple[object, ...] = ("train", tmp_path / "a.npz", "--run", tmp_path / "r")
    if kind == "npz":
        npz_of(tmp_path / "a.npz", (1 << 20, 32, 32), 1 << 30)
    elif kind == "json":
        (run_folder / "n50-seed0/result.json").write_text("[" + "{}," * 10_000_000 + "0]")
        act = ("train", "digits", "--n", 50, "--pool", "mean", "--run", run_folder)
    elif kind == "image":
        picture = png(9400, 9400, (b"IDAT", zlib_zeros(9400 * (4 * 9400 + 1))))
        for name in ("train/a/1.png", "train/b/1.png", "test/a/1.png"):
            (tmp_path / "a" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "a" / name).write_bytes(picture)
        act = ("train", tmp_path / "a", "--image-size", 32, "--run", tmp_path / "r")
    else:
        path = run_folder / "n50-seed0/model.safetensors"
        tensors_file(path, {"x": one_tensor(1 << 39)}, 1 << 39)
        act = ("eval", run_folder)
    said, _ = measured(_without_memory, *act)
    assert said.startswith("scatcuda ") and "this takes more memory than there is" in said
    assert "Traceback" not in said and said.count("\n") == 1
