"""The images in an archive, tar or zip, as those in a directory: read from where they lie in it.

    opened_archive("flowers.tar") -> Tree, whose sources read one member each

Nothing is unpacked to the disk. A name decides of which class an image is and nothing else: one
with `..` or from `/` leads nowhere, as hidden. Links, devices and sparse files are passed over, and
so are archives in archives. A `.tar.gz` cannot be read from the middle: it is kept in memory,
unpacked, if `file_budget` allows.

A member of WebDataset's, `000042.jpg`, has its class in a file beside it, `000042.cls`, or under
"label", "cls" or "class" in `000042.json`.
"""

from __future__ import annotations

import json
import os
import posixpath
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from ...files.budget import ask, room
from ...files.error import DataError
from ...files.reading import Asking, opened, read_rest, read_up_to, regular
from .images import File, Source
from .tree import Tree, is_archive, is_image, sort_in

_ENTRY = 16  # times the bytes of a table of contents that it takes in memory
_HEAD = 1 << 20  # bytes, of which a look tells whether there are images
_TAIL = 22 + 65535  # bytes that a zip archive's last record can have, a comment included
_FIRST = 200  # members that such a look takes in
_LABEL_BYTES = 1 << 16
_LABELS = ("label", "cls", "class")


def opened_archive(path: str | os.PathLike[str], wanted: Callable[[str], bool] = is_image) -> Tree:
    """Find the images in an archive, or files of other names that are wanted.

    Raises: DataError: it is none, damaged, or would take more memory than the budget.
    """
    name = os.fspath(path)
    tree = Tree(name, wanted)
    members = _zip_members(name) if name.lower().endswith(".zip") else _tar_members(name)
    sources: dict[str, Source] = {}
    sidecars: dict[str, Source] = {}
    for member, source, reason in members:
        parts = member.removeprefix("./").split("/")
        inside = "/".join(parts)
        if any(part.startswith(".") or not part for part in parts):
            tree.passed["hidden"] += 1
        elif source is None:
            tree.passed[reason] += 1
        elif inside in sources:  # written again: the last one counts
            sources[inside] = source
        elif inside.endswith((".cls", ".json")):
            sidecars[inside] = source
        elif is_archive(inside):
            tree.passed["archive in an archive"] += 1
        else:
            sources[inside] = source
            sort_in(tree, inside, source)
    tree.source = sources.__getitem__
    tree.images.sort()
    for inside in sources:
        while inside := posixpath.dirname(inside):
            tree.directories.add(inside)
    _label(tree, sidecars)
    return tree


def has_images(path: str | os.PathLike[str]) -> bool:
    """Whether there are images among the first members of an archive."""
    name = os.fspath(path)
    try:
        if name.lower().endswith(".zip"):
            found = _zip_members(name)
        else:
            with opened(name) as file:
                head = bytes(read_up_to(file, _HEAD))
            found = _tar_in(name, _Buffer(head), head)
        return any(is_image(member) for member, _, _ in islice(found, _FIRST))
    except DataError:  # also where the head of it ends
        return False


# --- members: name, source or None, why there is none ------------------------------------------

_Members = Iterator[tuple[str, Source | None, str]]


def _tar_members(path: str) -> _Members:
    with opened(path, unpack=False) as file:
        if file.read(2) != b"\x1f\x8b":
            file.seek(0)
            yield from _tar_in(path, Asking(file, f"{path}, its contents", _ENTRY), None)
            return
    with opened(path) as unpacked:
        whole = read_rest(unpacked, f"{path}, unpacked")
    yield from _tar_in(path, _Buffer(whole), whole)


def _tar_in(path: str, file: Any, whole: bytes | bytearray | None) -> _Members:
    try:
        with tarfile.open(fileobj=file, mode="r:") as archive:
            last = -1
            while (member := archive.next()) is not None:
                if member.offset <= last or member.size < 0:
                    raise DataError(f"{path}: damaged, it leads back to where it was")
                last = member.offset
                archive.members = []  # type: ignore[attr-defined] # it would grow with every one
                name = member.name
                if member.isdir():
                    continue
                if not member.isreg() or member.issparse():
                    yield name, None, "link in an archive" if member.issym() or member.islnk() \
                        else "no file"  # fmt: skip
                    continue
                yield name, _TarMember(path, name, member.offset_data, member.size, whole), ""
            file.seek(archive.offset)
            if file.read(tarfile.BLOCKSIZE).strip(b"\0"):  # which tarfile takes for the end
                raise DataError(f"{path}: damaged, what follows byte {archive.offset} is no member")
    except DataError:
        raise
    except Exception as error:  # tarfile raises whatever a damaged one makes it
        raise DataError(f"{path}: not a tar archive that can be read ({_reason(error)})") from None


def _zip_members(path: str) -> _Members:
    archive = _Zip(path)
    try:
        found = archive.opened().infolist()
    except DataError:
        raise
    except Exception as error:
        raise DataError(f"{path}: not a zip archive that can be read ({_reason(error)})") from None
    # zipfile takes what it finds for all there is; how many there are stands in the last record.
    with opened(path, unpack=False) as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL))
        tail = file.read(_TAIL)
    count = tail[tail.rfind(b"PK\5\6") :][10:12]
    if count not in (b"\xff\xff", (len(found) & 0xFFFF).to_bytes(2, "little")):
        raise DataError(f"{path}: damaged, {len(found)} members are not what it says to have")
    for info in found:
        if not info.is_dir():
            yield info.filename, _ZipMember(archive, info), ""


class _TarMember(File):
    """Bytes of a tar archive."""

    __slots__ = ("_offset", "_path", "_size", "_whole")

    def __init__(
        self, path: str, name: str, offset: int, size: int, whole: bytes | bytearray | None
    ) -> None:
        self.name = f"{path}: {name}"
        self._path, self._offset, self._size, self._whole = path, offset, size, whole

    def read(self) -> bytes:
        ask(self.name, self._size)
        if self._whole is not None:
            found = bytes(self._whole[self._offset : self._offset + self._size])
        else:
            with opened(self._path, unpack=False) as file:
                file.seek(self._offset)
                found = file.read(min(self._size, os.fstat(file.fileno()).st_size))
        if len(found) < self._size:
            raise DataError(f"{self.name}: truncated, {len(found)} of {self._size} bytes are there")
        return found

    def state(self) -> tuple[int, int, int]:
        return File(self._path).state()


class _Zip:
    """A zip archive, open once in a process: its table of contents is long."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._open: tuple[int, zipfile.ZipFile] | None = None

    def opened(self) -> zipfile.ZipFile:
        if self._open is None or self._open[0] != os.getpid():  # a fork shares the place in a file
            try:
                file = Asking(regular(self.path), f"{self.path}, its contents", _ENTRY)
            except OSError as error:
                raise DataError(f"{self.path}: cannot be read ({error.strerror})") from None
            self._open = os.getpid(), zipfile.ZipFile(file)  # type: ignore[arg-type]
            file.times = 1  # from now on, pixels
        return self._open[1]

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "_open": None}


class _ZipMember(File):
    """A member of a zip archive."""

    __slots__ = ("_archive", "_info")

    def __init__(self, archive: _Zip, info: zipfile.ZipInfo) -> None:
        self.name = f"{archive.path}: {info.filename}"
        self._archive, self._info = archive, info

    def read(self) -> bytes:
        size = self._info.file_size
        if self._info.flag_bits & 1:
            raise DataError(f"{self.name}: encrypted")
        if self._info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise DataError(f"{self.name}: packed otherwise than by deflate")
        with room(self.name, size + self._info.compress_size):
            try:
                with self._archive.opened().open(self._info) as member:
                    found = bytes(read_up_to(member, size + 1))  # type: ignore[arg-type]
            except DataError:
                raise
            except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError,
                    RuntimeError, ValueError) as error:  # fmt: skip
                raise DataError(f"{self.name}: damaged ({_reason(error)})") from None
        if len(found) != size:
            raise DataError(f"{self.name}: damaged, {len(found)} of {size} bytes")
        return found

    def state(self) -> tuple[int, int, int]:
        return File(self._archive.path).state()


class _Buffer:
    """A file in memory, of which no copy is made."""

    def __init__(self, whole: bytes | bytearray) -> None:
        self._whole, self._at = memoryview(whole), 0

    def read(self, count: int = -1) -> bytes:
        end = len(self._whole) if count < 0 else min(len(self._whole), self._at + count)
        found = bytes(self._whole[self._at : end])
        self._at = max(self._at, end)
        return found

    def seek(self, place: int, whence: int = 0) -> int:
        self._at = place + (0, self._at, len(self._whole))[whence]
        return self._at

    def tell(self) -> int:
        return self._at


# --- WebDataset -------------------------------------------------------------------------------


def _label(tree: Tree, sidecars: dict[str, Source]) -> None:
    """Read the classes of images from the files beside them; files beside no image are counted."""
    if not sidecars:
        return
    samples: dict[str, list[str]] = {}  # which may have several images
    for path in tree.images:
        samples.setdefault(_key(path), []).append(path)
    for path, source in sorted(sidecars.items(), reverse=True):  # .json, and .cls over it
        images = samples.get(_key(path), [])
        label = _label_in(path, source) if images else None
        if label is not None:
            tree.labels.update(dict.fromkeys(images, label))
        elif not images:
            tree.passed[posixpath.splitext(path)[1]] += 1


def _key(path: str) -> str:
    """What the files of a sample have in common: all up to the first dot of the name."""
    folder, name = posixpath.split(path)
    return posixpath.join(folder, name.partition(".")[0])


def _label_in(path: str, source: Source) -> str | None:
    """The class that a file names; none if a JSON file has none."""
    raw = source.read()
    if len(raw) > _LABEL_BYTES:
        raise DataError(f"{source.name}: {len(raw)} bytes, where a class is expected")
    try:
        text = raw.decode("utf-8").strip()
        if path.endswith(".cls"):
            found: Any = text
        else:
            about = json.loads(text)
            names = [name for name in _LABELS if isinstance(about, dict) and name in about]
            if not names:
                return None
            found = about[names[0]]
        if not isinstance(found, str | int) or isinstance(found, bool) or found == "":
            raise ValueError("no name and no number")
        name = str(found)
        name.encode()  # JSON can spell halves of letters, UTF-8 cannot
        return name
    except (ValueError, RecursionError) as error:
        raise DataError(f"{source.name}: it does not tell the class ({_reason(error)})") from None


def _reason(error: BaseException) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
