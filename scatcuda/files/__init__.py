"""Files that are there whole or not at all.

A file is written to a temporary name beside its own, flushed to the disk, and renamed: whoever
looks, also after a kill or a power cut, finds the old content or the new one. What is no file, such
as /dev/stdout or a named pipe, is written to and stays what it is.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .budget import ask
from .error import DataError
from .reading import opened

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "look_at",
    "make_folder",
    "open_tensors",
    "read_tensors",
    "replaced",
    "sweep",
    "write_bytes",
    "write_tensors",
    "write_text",
]

_TEMPORARY = re.compile(r"\.(.+)\.[0-9a-f]{16}\.tmp")  # of what name
_TENSORS = 40  # bytes of objects from one of a safetensors header
_ABANDONED = 600  # seconds after which nobody is writing to a temporary file any more


def look_at(*outputs: str | os.PathLike[str] | None) -> None:
    """See, before the work that fills them, that there can be files of these names.

    Raises: OSError: a folder is missing, or nobody may write in it, or the name is a folder's.
    Example:
        >>> look_at("nowhere/result.npy")
        Traceback (most recent call last):
        FileNotFoundError: [Errno 2] no such folder: 'nowhere'
    """
    for output in outputs:
        if output is None:
            continue
        path = Path(output)
        if not path.parent.is_dir():
            raise FileNotFoundError(errno.ENOENT, "no such folder", str(path.parent))
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "a folder, not a file", str(path))
        if not path.exists() or path.is_file():  # else a pipe or a device, which is written to
            if not os.access(path.parent, os.W_OK):
                raise PermissionError(errno.EACCES, "nobody may write in it", str(path.parent))


@contextmanager
def replaced(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary name to write to; when the block ends without error it becomes `path`.

    A pipe at `path` must have a reader.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with replaced(Path(folder, "a.txt")) as temporary:
        ...         _ = temporary.write_text("whole")
        ...     Path(folder, "a.txt").read_text(), len(os.listdir(folder))
        ('whole', 1)
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "no such folder", str(path.parent))
    special = path.exists() and not path.is_file() and not path.is_dir()
    try:
        with (_passed_on if special else _renamed)(path) as temporary:
            yield temporary
    except OSError as error:  # which may name the temporary file
        raise OSError(error.errno, error.strerror or str(error), str(path)) from None


@contextmanager
def _passed_on(path: Path) -> Iterator[Path]:
    """To write to what is no file. A name in its place would take it from everybody: of root,
    /dev/null."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder, path.name)
        # A pipe that nobody reads would be waited for, without end.
        handle = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        os.set_blocking(handle, True)
        with open(Path(folder, path.name), "rb") as whole, open(handle, "wb") as there:
            shutil.copyfileobj(whole, there)


@contextmanager
def _renamed(path: Path) -> Iterator[Path]:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    # The system takes the umask off these permissions: a process can only read its own by setting
    # another one, which every thread would see. What is there already is not opened, nor a link.
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    usual = os.fstat(handle).st_mode & 0o777
    os.close(handle)
    try:
        yield temporary
        _flush(temporary)
        temporary.chmod(usual)  # safetensors puts a file in its place that only the owner can read
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _flush(path.parent)  # the new name itself


def make_folder(path: Path) -> None:
    """A folder that is there from now on, with those above it.

    Raises: OSError: it cannot be made; what stands in its place is named.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        there = next(place for place in (path, *path.parents) if os.path.lexists(place))
        raise NotADirectoryError(
            error.errno, "not a folder, and in the way of one", str(there)
        ) from None


def sweep(folder: Path, names: Collection[str]) -> None:
    """Remove what killed processes left of the files of these names, and nothing else.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in (".a.0123456789abcdef.tmp", ".b.0123456789abcdef.tmp", ".a.tmp"):
        ...         Path(folder, name).touch()
        ...         os.utime(Path(folder, name), (0, 0))
        ...     sweep(Path(folder), {"a"})
        ...     sorted(os.listdir(folder))
        ['.a.tmp', '.b.0123456789abcdef.tmp']
    """
    for path in folder.iterdir():
        ours = _TEMPORARY.fullmatch(path.name)
        if not ours or ours[1] not in names:
            continue
        try:
            if time.time() - path.stat().st_mtime > _ABANDONED:
                path.unlink()
        except FileNotFoundError:
            pass  # another process was faster


def _flush(path: Path) -> None:
    """Have the disk hold what was written to a file, or the names in a directory."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Replace a text file."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: str | os.PathLike[str], content: bytes | memoryview) -> None:
    """Replace a file, of a kind whose own writer does not say why it fails, if it does."""
    with replaced(path) as temporary:
        temporary.write_bytes(content)


def write_tensors(
    path: str | os.PathLike[str], tensors: Mapping[str, Tensor], metadata: Mapping[str, str]
) -> None:
    """Replace a safetensors file."""
    from safetensors import SafetensorError
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
        try:
            save_file(apart, temporary, dict(metadata))
        except SafetensorError as error:  # of a disk that is full, too
            code = re.search(r"os error (\d+)", str(error))
            number = int(code[1]) if code else errno.EIO
            raise OSError(number, os.strerror(number) if code else str(error)) from None


@contextmanager
def open_tensors(path: str | os.PathLike[str]) -> Iterator[Any]:
    """`safetensors.safe_open` of a regular file, whose header takes no more than the budget.

    Raises: DataError: the file is missing, truncated or no safetensors file, or takes too much.
    """
    from safetensors import SafetensorError, safe_open

    name = os.fspath(path)
    with opened(path, unpack=False) as file:
        state, header = os.fstat(file.fileno()), int.from_bytes(file.read(8), "little")
        if header <= state.st_size:  # or it is refused below, unread
            ask(f"{name}: its header", _TENSORS * header)
        if state.st_size > state.st_blocks * 512:  # it is mapped into memory, holes too
            ask(name, state.st_size)
        try:
            # By a name in UTF-8, whatever its own, and that of the file that was looked at.
            with safe_open(f"/proc/self/fd/{file.fileno()}", framework="pt") as tensors:
                yield tensors
        except SafetensorError as error:
            raise DataError(f"{name}: not a safetensors file, or a damaged one ({error})") from None


def read_tensors(path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """All tensors and the metadata of a safetensors file.

    Raises: DataError: the file is missing, truncated or no safetensors file, or takes too much.
    """
    with open_tensors(path) as file:
        ask(os.fspath(path), Path(path).stat().st_size)
        metadata: dict[str, Any] = file.metadata() or {}
        return {name: file.get_tensor(name) for name in file.keys()}, metadata
