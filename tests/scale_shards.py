"""Archives of small images, some of which cannot be read."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np

SIDE = 16


def picture(i: int) -> np.ndarray:
    """``[SIDE, SIDE, 3]``"""
    return np.random.default_rng(i).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)


def png(i: int) -> bytes:
    from PIL import Image

    raw = io.BytesIO()
    Image.fromarray(picture(i)).save(raw, "png")
    return raw.getvalue()


def add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    archive.addfile(info, io.BytesIO(content))


def write_tar(path: Path, numbers: range, bad: tuple[int, ...] = ()) -> None:
    """Samples of WebDataset: even ones with ``.cls``, odd ones with ``.json``, each third ``.npy``
    instead of ``.png``."""
    with tarfile.open(path, "w") as archive:
        for i in numbers:
            npy = io.BytesIO()
            np.save(npy, picture(i))
            content = b"no image" if i in bad else npy.getvalue() if i % 3 == 0 else png(i)
            add(archive, f"{i:06d}.{'npy' if i % 3 == 0 else 'png'}", content)
            if i % 2:
                add(archive, f"{i:06d}.json", b'{"label": "%d", "more": [1, 2]}' % (i % 5))
            else:
                add(archive, f"{i:06d}.cls", b"%d\n" % (i % 5))


def write_shards(folder: Path, shards: int = 3, each: int = 7, bad: tuple[int, ...] = ()) -> list[str]:  # fmt: skip # noqa: E501
    """``shards`` archives of ``each`` images; their paths."""
    paths = []
    for k in range(shards):
        path = folder / f"train-{k:06d}.tar"
        write_tar(path, range(k * each, (k + 1) * each), bad)
        paths.append(str(path))
    return paths
