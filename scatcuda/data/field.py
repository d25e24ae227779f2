"""One image, map or signal from a file: what statistics and syntheses are made of."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..files import write_bytes
from ..files.budget import ask
from ..files.error import DataError
from ..files.reading import array_header, opened, read_whole
from .folders.audio import blocks, is_audio

_MOST = 600.0  # seconds of a recording


def read_field(path: str | os.PathLike[str]) -> Tensor:
    """A real field ``[M, N]`` or ``[N]``, float32.

    Args:
        path: a NumPy array (``.npy``) of numbers with one or two dimensions; a recording, mono; or
            an image, whose grey levels, of as many bits as it has, become numbers from 0 to 1.
    Raises:
        DataError: the file is missing, damaged, holds no field or takes too much memory.
        ImportError: images need Pillow, recordings soundfile.
    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.save(f"{folder}/map.npy", np.eye(16, 24))
        ...     read_field(f"{folder}/map.npy").shape
        torch.Size([16, 24])
    """
    name = os.fspath(path)
    if Path(name).suffix.lower() == ".npy":
        found = _array(name)
    elif is_audio(name):
        pieces = [*blocks(name, _MOST)]
        if len(pieces) != 1:
            raise DataError(f"{name}: it must have samples, of {_MOST:g} seconds at most")
        found = pieces[0]
    else:
        from .folders.decode import grey_levels

        found = torch.from_numpy(grey_levels(read_whole(name), name))
    if not bool(found.isfinite().all()):
        raise DataError(f"{name}: its numbers must be finite")
    return found


def write_field(path: str | os.PathLike[str], x: Tensor) -> None:
    """Write fields as a NumPy array (``.npy``).

    Raises: OSError: the file cannot be written.
    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_field(f"{folder}/map.npy", torch.eye(16, 24))
        ...     read_field(f"{folder}/map.npy").shape
        torch.Size([16, 24])
    """
    raw = io.BytesIO()
    np.save(raw, x.cpu().numpy())
    write_bytes(path, raw.getbuffer())


def write_sound(path: str | os.PathLike[str], x: Tensor, rate: int) -> None:
    """Write a signal ``[N]`` as a WAV file of 16 bits; louder than 1 it is made as loud as that.

    Raises: ImportError: soundfile is not installed. OSError: the file cannot be written.
    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_sound(f"{folder}/a.wav", torch.linspace(-2, 2, 100), 8000)
        ...     read_field(f"{folder}/a.wav").abs().max().round(decimals=3)
        tensor(1.)
    """
    try:
        import soundfile
    except ImportError as error:
        raise ImportError("sounds need soundfile: pip install scatcuda[audio]") from error
    loudest = max(1.0, float(x.abs().max()))
    raw = io.BytesIO()
    soundfile.write(raw, (x / loudest).cpu().numpy(), rate, format="WAV")
    write_bytes(path, raw.getbuffer())


def _array(name: str) -> Tensor:
    with opened(name, unpack=False) as file:
        shape, columns_first, dtype = array_header(file, name)
        if dtype.kind not in "fiub" or len(shape) not in (1, 2) or min(shape) < 1:
            raise DataError(
                f"{name}: it must be an array of numbers with one or two dimensions; got shape "
                f"{shape} of {dtype}"
            )
        count = int(np.prod(shape, dtype=object))
        ask(name, count * (dtype.itemsize + 4))
        raw = file.read(count * dtype.itemsize)
    if len(raw) != count * dtype.itemsize:
        raise DataError(f"{name}: truncated, it has {len(raw)} of {count * dtype.itemsize} bytes")
    array = np.frombuffer(raw, dtype).reshape(shape, order="F" if columns_first else "C")
    return torch.from_numpy(np.array(array, dtype=np.float32, order="C"))  # a copy: may be written
