"""Small data sets in every format, written for the tests of scatcuda.data."""

from __future__ import annotations

import dataclasses
import gzip
import io
import json
import pathlib
import pickle
import string
import struct

import numpy as np
import torch

from scatcuda.data.formats import cifar

BATCHES = [f"data_batch_{i}" for i in range(1, 6)]


def few_images(monkeypatch, count: int) -> None:
    """CIFAR's files as if they had `count` images each; they have ten thousand."""
    versions = tuple(dataclasses.replace(v, images=count) for v in cifar.VERSIONS)
    monkeypatch.setattr(cifar, "VERSIONS", versions)
    monkeypatch.setattr(cifar, "_TEST", count)


def pixels(seed: int, count: int) -> np.ndarray:
    return np.random.RandomState(seed).randint(0, 256, (count, 3072)).astype("u1")


def python2_pickle(content: dict[str, object]) -> bytes:
    """What cPickle of Python 2 wrote in protocol 2, as in the files that are published."""

    def text(value: str | bytes) -> bytes:
        raw = value.encode("latin-1") if isinstance(value, str) else value
        short = len(raw) < 256
        return (
            b"U" + struct.pack("B", len(raw)) if short else b"T" + struct.pack("<i", len(raw))
        ) + raw

    def item(value: object) -> bytes:
        if isinstance(value, str | bytes):
            return text(value)
        if isinstance(value, int):
            return b"J" + struct.pack("<i", value)
        if isinstance(value, list):
            return b"](" + b"".join(map(item, value)) + b"e"
        assert isinstance(value, np.ndarray)
        return (
            b"cnumpy.core.multiarray\n_reconstruct\nq\x02cnumpy\nndarray\nq\x03K\x00\x85U\x01b\x87R("
            + b"K\x01" + b"(" + b"".join(map(item, value.shape)) + b"t"
            + b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNN" + b"J\xff\xff\xff\xff" * 2
            + b"K\x00tb\x89" + text(value.tobytes()) + b"tb"
        )  # fmt: skip

    items = b"".join(text(key) + item(value) for key, value in content.items())
    return b"\x80\x02}q\x01(" + items + b"u."


def write_cifar(
    folder: pathlib.Path, hundred: bool = False, binary: bool = False, count: int = 20, dump=None
) -> None:
    """A directory of CIFAR; file i holds pixels(i, count) with labels from 0 on."""
    dump = dump or python2_pickle
    train = (["train"] if hundred else BATCHES) if not binary else (
        ["train.bin"] if hundred else [f"{name}.bin" for name in BATCHES])  # fmt: skip
    test = ("test" if hundred else "test_batch") + (".bin" if binary else "")
    folder.mkdir(exist_ok=True)
    fine = [k % (100 if hundred else 10) for k in range(count)]
    coarse = [k % 20 for k in range(1, count + 1)]
    for i, name in enumerate([*train, test]):
        images = pixels(i, count)
        if binary:
            labels = np.array([coarse, fine] if hundred else [fine], "u1").T
            raw = np.concatenate([labels, images], 1).tobytes()
        else:
            kinds = {"fine_labels": fine, "coarse_labels": coarse} if hundred else {"labels": fine}
            files = [f"a_{k}.png" for k in range(count)]
            raw = dump({"data": images, **kinds, "batch_label": name, "filenames": files})
        (folder / name).write_bytes(raw)
    names = {"fine_label_names": [f"fine{k}" for k in range(100)],
             "coarse_label_names": [f"coarse{k}" for k in range(20)]} if hundred else (
             {"label_names": [f"class{k}" for k in range(10)]})  # fmt: skip
    if not binary:
        (folder / ("meta" if hundred else "batches.meta")).write_bytes(dump(names))
    else:
        for key, listed in names.items():
            file = f"{key}.txt" if hundred else "batches.meta.txt"
            (folder / file).write_text("\n".join(listed) + "\n\n")


def python3_pickle(protocol: int):
    return lambda content: pickle.dumps(content, protocol)


def arrays(keys: str = "keras", **changes: np.ndarray) -> dict[str, np.ndarray]:
    """Nine images for training and six for testing of three classes, by their names in a .npz."""
    random = np.random.RandomState(0)
    content = {
        "x_train": random.randint(0, 256, (9, 8, 8)).astype("u1"),
        "y_train": np.arange(9) % 3,
        "x_test": random.randint(0, 256, (6, 8, 8)).astype("u1"),
        "y_test": np.arange(6) % 3,
    } | changes
    if keys == "keras":
        return content
    parts = {"x": "images", "y": "labels"}
    return {f"{key[2:]}_{parts[key[0]]}": array for key, array in content.items()}


def npz_bytes(compressed: bool = True, **content: np.ndarray) -> bytes:
    file = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(file, **content)
    return file.getvalue()


def write_folders(folder: pathlib.Path, parts=("train", "val"), suffix="png", count=3) -> None:
    """Images of two classes, 20 x 30 pixels, red and blue, from one to the next brighter."""
    from PIL import Image

    for part in parts:
        for channel, name in ((0, "red"), (2, "blue")):
            (folder / part / name).mkdir(parents=True)
            for i in range(count):
                image = np.zeros((20, 30, 3), "u1")
                image[..., channel] = 100 + i
                Image.fromarray(image).save(folder / part / name / f"{i}.{suffix}")


CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}
_MERGED = string.digits + string.ascii_uppercase + "abdefghnqrt"
SPLITS = {  # of EMNIST: the characters that are its classes
    "balanced": _MERGED, "byclass": string.digits + string.ascii_letters.swapcase(),
    "bymerge": _MERGED, "digits": string.digits, "letters": string.ascii_uppercase,
    "mnist": string.digits,
}  # fmt: skip


def idx_bytes(array: np.ndarray) -> bytes:
    magic = struct.pack(">BBBB", 0, 0, CODES[array.dtype.str[1:]], array.ndim)
    sizes = struct.pack(f">{array.ndim}I", *array.shape)
    return magic + sizes + array.astype(array.dtype.newbyteorder(">")).tobytes()


def write_emnist(folder: pathlib.Path, split: str, suffix: str = "", seed: int = 0) -> torch.Tensor:
    """One of EMNIST's six sets, two images a class; returns the training images, upright."""
    folder.mkdir(parents=True, exist_ok=True)
    k, first = len(SPLITS[split]), 1 if split == "letters" else 0
    images = np.random.RandomState(seed).randint(0, 256, (2 * k, 28, 28)).astype("u1")
    labels = (first + np.arange(2 * k) % k).astype("u1")
    for part, count in (("train", 2 * k), ("test", k)):
        lying = images[:count].transpose(0, 2, 1)
        for name, array in (("images-idx3", lying), ("labels-idx1", labels[:count])):
            raw = idx_bytes(array)
            (folder / f"emnist-{split}-{part}-{name}-ubyte{suffix}").write_bytes(
                gzip.compress(raw) if suffix else raw
            )
    # Both letters where they are one class, as NIST's files have it for `letters`.
    rows = [(i + first, ord(c), *([ord(c.lower())] * first)) for i, c in enumerate(SPLITS[split])]
    mapping = "".join(" ".join(map(str, row)) + "\n" for row in rows)
    (folder / f"emnist-{split}-mapping.txt").write_text(mapping)
    return torch.from_numpy(images)


def write_qmnist(folder: pathlib.Path) -> torch.Tensor:
    """QMNIST with twenty images for training, ten for testing; returns the training images."""
    folder.mkdir(parents=True, exist_ok=True)
    images = np.random.RandomState(1).randint(0, 256, (20, 28, 28)).astype("u1")
    labels = np.random.RandomState(2).randint(0, 5000, (20, 8)).astype("i4")
    labels[:, 0] = np.arange(20) % 10
    for part, count in (("train", 20), ("test", 10)):
        (folder / f"qmnist-{part}-images-idx3-ubyte").write_bytes(idx_bytes(images[:count]))
        (folder / f"qmnist-{part}-labels-idx2-int").write_bytes(idx_bytes(labels[:count]))
    return torch.from_numpy(images)


def write_svhn(folder: pathlib.Path, compressed: bool = True, **changes: object) -> np.ndarray:
    """SVHN's two files of twenty and ten images; returns X of the first. Changes are of that."""
    from scipy.io import savemat

    folder.mkdir(parents=True, exist_ok=True)
    X = np.random.RandomState(0).randint(0, 256, (32, 32, 3, 20)).astype("u1")
    y = (np.arange(20) % 10 + 1).astype("u1")[:, None]
    content = {name: a for name, a in ({"X": X, "y": y} | changes).items() if a is not None}
    savemat(folder / "train_32x32.mat", content, do_compression=compressed)
    savemat(folder / "test_32x32.mat", {"X": X[..., :10], "y": y[:10]}, do_compression=compressed)
    return X


def write_stl10(folder: pathlib.Path) -> torch.Tensor:
    """STL-10 of ten and five images; returns the training images."""
    folder.mkdir(parents=True, exist_ok=True)
    images = np.random.RandomState(0).randint(0, 256, (10, 3, 96, 96)).astype("u1")
    labels = np.arange(1, 11).astype("u1")
    for part, count in (("train", 10), ("test", 5)):
        columns = images[:count].transpose(0, 1, 3, 2)
        (folder / f"{part}_X.bin").write_bytes(columns.tobytes())
        (folder / f"{part}_y.bin").write_bytes(labels[:count].tobytes())
    names = "airplane bird car cat deer dog horse monkey ship truck".split()
    (folder / "class_names.txt").write_text("\n".join(names) + "\n")
    return torch.from_numpy(images)


def write_parquet(
    folder: pathlib.Path, layout: dict[str, list[str]], how: str = "pairs", *, group: int = 4,
    image: str = "image", label: str = "label", names: bool = False, secret: bool = False,
    missing: int = -1, classes: object = ("cat", "dog", "eel"), note: object = None,
) -> torch.Tensor:  # fmt: skip
    """Nine images of 8 x 9 for training and six for testing as Hugging Face's library writes them,
    dealt out to files in order; returns the training images."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from PIL import Image

    random = np.random.RandomState(0)
    images = random.randint(0, 256, (9, 8, 9, 3)).astype("u1")
    encoded = []
    for pixels_ in images:
        file = io.BytesIO()
        Image.fromarray(pixels_).save(file, "PNG")
        encoded.append(file.getvalue())
    usual = (image, label) == ("image", "label")
    if note is None:
        note = usual and not names
    features = {image: {"_type": "Image"}, label: {"names": classes, "_type": "ClassLabel"}}
    noted = (
        note if isinstance(note, bytes) else json.dumps({"info": {"features": features}}).encode()
    )
    for part, files in layout.items():
        count = 9 if part == "train" else 6
        shares = np.array_split(np.arange(count), len(files))
        for name, share in zip(files, shares, strict=True):
            values = [None if i == missing else encoded[i] for i in share]
            pairs = [{"bytes": value, "path": "a.png"} for value in values]
            column = (
                pa.array(pairs, pa.struct({"bytes": pa.binary(), "path": pa.string()}))
                if how == "pairs"
                else pa.array(values, pa.large_binary() if how == "large" else pa.binary())
            )
            labels = [-1 if secret else int(i) % 3 for i in share]
            y = pa.array([("cat", "dog", "eel")[k] for k in labels] if names else labels)
            table = pa.table({image: column, label: y})
            if note:
                table = table.replace_schema_metadata({b"huggingface": noted})
            path = folder / f"{name}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(table, path, row_group_size=group)
    return torch.from_numpy(images.transpose(0, 3, 1, 2).copy())


def write_dataset(folder: pathlib.Path, size: int = 28, n: int = 30, suffix: str = "") -> None:
    """Bright bars, vertical in class 0 and horizontal in class 1, as four IDX files."""
    random = np.random.RandomState(0)
    folder.mkdir(exist_ok=True)
    for part, count in (("train", n), ("t10k", n // 2)):
        y = (np.arange(count) % 2).astype(np.uint8)
        x = random.randint(0, 40, (count, size, size)).astype(np.uint8)
        for image, label in zip(x, y, strict=True):
            (image if label else image.T)[random.randint(2, size - 3)] = 255
        for name, array in ((f"{part}-images-idx3-ubyte", x), (f"{part}-labels-idx1-ubyte", y)):
            raw = idx_bytes(array)
            (folder / (name + suffix)).write_bytes(gzip.compress(raw) if suffix == ".gz" else raw)
