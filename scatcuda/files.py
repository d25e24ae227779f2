"""Files that are there whole or not at all.

A file is written to a temporary name beside its own, flushed to the disk, and renamed: whoever
looks, also after a kill or a power cut, finds the old content or the new one.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor

from .data import DataError

__all__ = ["read_tensors", "replaced", "write_tensors", "write_text"]


@contextmanager
def replaced(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary name to write to; when the block ends without error it becomes `path`.

    Example:
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with replaced(Path(folder, "a.txt")) as temporary:
        ...         _ = temporary.write_text("whole")
        ...     Path(folder, "a.txt").read_text(), len(os.listdir(folder))
        ('whole', 1)
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "no such folder", str(path.parent))
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        _flush(temporary)
        # mkstemp makes files that only their owner can read: give this one the usual permissions.
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _flush(path.parent)  # the new name itself


def _flush(path: Path) -> None:
    """Have the disk hold what was written to a file, or the names in a directory."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Replace a text file."""
    with replaced(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_tensors(
    path: str | os.PathLike[str], tensors: Mapping[str, Tensor], metadata: Mapping[str, str]
) -> None:
    """Replace a safetensors file."""
    from safetensors.torch import save_file

    with replaced(path) as temporary:
        apart: dict[str, Tensor] = {}
        taken: set[int] = set()
        for name, tensor in tensors.items():
            tensor = tensor.detach().cpu().contiguous()
            # Tensors that share memory, such as tied weights, are refused: each has its own copy.
            memory = tensor.untyped_storage().data_ptr()
            apart[name] = tensor.clone() if memory in taken else tensor
            taken.add(memory)
        save_file(apart, temporary, dict(metadata))


def read_tensors(path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """All tensors and the metadata of a safetensors file.

    Raises: DataError: the file is missing, truncated or no safetensors file.
    """
    from safetensors import SafetensorError, safe_open

    name = os.fspath(path)
    try:
        with safe_open(name, framework="pt") as file:
            metadata: dict[str, Any] = file.metadata() or {}
            return {name: file.get_tensor(name) for name in file.keys()}, metadata
    except FileNotFoundError:
        raise DataError(f"{name}: no such file") from None
    except OSError as error:
        raise DataError(f"{name}: cannot be read ({error.strerror or error})") from None
    except SafetensorError as error:
        raise DataError(f"{name}: not a safetensors file, or a damaged one ({error})") from None
