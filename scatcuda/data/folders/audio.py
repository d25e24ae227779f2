"""Folders of recordings: WAV, FLAC, OGG and what else libsndfile reads.

    audio_dataset() -> Dataset of `Recordings` [n, N] float32
    blocks()        -> a file of hours in pieces, for `Scattering1D.stream()`

soundfile decodes, SciPy resamples.
"""

from __future__ import annotations

import io
import math
import os
import re
import struct
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np
import torch
from torch import Tensor

from ... import limits
from ...arguments import boolean, integer, positive
from ...files.budget import ask
from ...files.error import DataError
from ...files.reading import opened
from ...typing import OnError
from ..dataset import Dataset
from ..labels import Share
from .files import Files, Source
from .parts import Arranged, Member, arranged, check_classes, divided, labels_of, readable, stop
from .tree import Tree, is_image, walk

SUFFIXES = (".wav", ".flac", ".ogg", ".oga", ".opus", ".aif", ".aiff", ".mp3")
_RATES = 1 << 20  # samples a second: more is a slip of the finger


class Recordings(Files):
    """Audio files as an array ``[n, N]`` or ``[n, C, N]`` of float32, from -1 to 1.

    ``recordings[index]`` decodes in parallel. Of a longer recording the middle is kept; a shorter
    one stands in the middle of zeros. Channels are averaged unless they are kept.

    Args:
        files: paths, or any `Source` of the bytes of a file.
        length: samples ``N``, at the rate ``rate``; 0: of the longest file.
        rate: samples a second; files of another one are resampled. 0: that of the first file, and
            one of another rate is an error.
        mono: whether channels are averaged; False keeps them, as many as the first file has.
    Raises:
        TypeError, ValueError: an argument is not as above.
        ImportError: soundfile, or where files are resampled SciPy, is not installed.
        DataError: a file is missing, damaged, of another format, or takes more memory than
            `file_budget`.
    Example:
        >>> import tempfile, soundfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     soundfile.write(f"{folder}/a.wav", np.zeros(800), 8000)
        ...     Recordings([f"{folder}/a.wav"], rate=16000)[:].shape
        torch.Size([1, 1600])
    """

    dtype: torch.dtype = torch.float32
    rank: int = 1

    def __init__(
        self,
        files: Sequence[str | os.PathLike[str] | Source],
        length: int = 0,
        rate: int = 0,
        *,
        mono: bool = True,
    ) -> None:
        super().__init__(files)
        _soundfile()
        self._given = integer("Recordings", "rate", rate, 0, _RATES)
        self.mono: bool = boolean("Recordings", "mono", mono)
        first = _facts(self.sources[0]) if self.sources else (0, self._given, 1)
        self.rate: int = self._given or first[1]
        self.channels: int = 1 if mono else first[2]
        length = integer("Recordings", "length", length, 0, limits.SIDE)
        self.length: int = length or self._longest()

    @property
    def how(self) -> tuple[Any, ...]:
        return self.length, self.rate, self.channels, self.mono

    @property
    def shape(self) -> torch.Size:
        return torch.Size((len(self), *([] if self.mono else [self.channels]), self.length))

    def __repr__(self) -> str:
        return f"Recordings({list(self.shape)}, float32, {self.rate} Hz)"

    def _longest(self) -> int:
        def samples(source: Source) -> int:
            frames, rate, _ = _facts(source)
            return -(-frames * self.rate // rate)

        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            return max(pool.map(samples, self.sources), default=0)

    def _decode(self, source: Source) -> np.ndarray:
        """Samples [N] or [C, N]."""
        soundfile, name = _soundfile(), source.name
        content = source.read()
        frames, rate, channels = _facts(source, content)
        ask(name, 8 * frames * channels + 8 * self.length * self.channels)
        try:
            with _forward(soundfile)(io.BytesIO(content)) as file:
                x = file.read(frames, dtype="float32", always_2d=True).T
        except soundfile.SoundFileError as error:
            raise DataError(f"{name}: damaged ({_said(error)})") from None
        if x.shape[1] != frames:
            raise DataError(f"{name}: truncated, {x.shape[1]} samples of {frames}")
        if not np.isfinite(x).all():
            raise DataError(f"{name}: it has samples that are infinite or not numbers")
        if self.mono:
            x = x.mean(0, keepdims=True)
        elif channels != self.channels:
            raise DataError(f"{name}: {channels} channels, where others have {self.channels}")
        if rate != self.rate:
            if not self._given:
                raise DataError(
                    f"{name}: {rate} samples a second, where others have {self.rate}; rate, such "
                    f"as {self.rate}, resamples them"
                )
            common = math.gcd(rate, self.rate)
            ask(name, 16 * x.size * max(1, self.rate // rate))
            x = resampled(x, self.rate // common, rate // common)
        found = _middle(x, self.length)
        return found[0] if self.mono else found


def _middle(x: np.ndarray, length: int) -> np.ndarray:
    """The middle of signals [C, n], or they themselves in the middle of zeros: [C, length]."""
    spare = x.shape[1] - length
    if spare >= 0:
        return x[:, spare // 2 : spare // 2 + length]
    return np.pad(x, ((0, 0), (-spare // 2, -spare - -spare // 2)))


def resampled(x: np.ndarray, up: int, down: int) -> np.ndarray:
    """Signals ``[..., n]`` at ``up / down`` of their rate."""
    try:
        from scipy.signal import resample_poly
    except ImportError as error:
        raise ImportError(
            "resampling needs SciPy, which is not installed: pip install scipy"
        ) from error
    found: np.ndarray = resample_poly(x, up, down, axis=-1)
    return found


def _soundfile() -> Any:
    try:
        import soundfile
    except (ImportError, OSError) as error:  # OSError: without libsndfile
        raise ImportError(
            "audio files need soundfile, which is not installed: pip install 'scatcuda[audio]'"
        ) from error
    return soundfile


def _forward(soundfile: Any) -> Any:
    """Its SoundFile for reading from the first sample to the last: soundfile itself goes back to
    where it is after every piece, which MP3's decoder misses, and some formats cannot."""

    class Forward(soundfile.SoundFile):  # type: ignore[misc]
        def seekable(self) -> bool:
            return False

    return Forward


def _facts(source: Source, content: bytes | None = None) -> tuple[int, int, int]:
    """Samples, samples a second and channels of a file, from its header."""
    soundfile = _soundfile()
    stream = io.BytesIO(source.read() if content is None else content)
    try:
        found = soundfile.info(stream)
    except soundfile.SoundFileError as error:
        raise DataError(f"{source.name}: no audio file that is read ({_said(error)})") from None
    stream.seek(0)
    _whole(stream, source.name)
    if found.frames < 1 or not 0 < found.samplerate <= _RATES or found.channels < 1:
        raise DataError(f"{source.name}: it has no samples")
    return found.frames, found.samplerate, found.channels


class _Container(NamedTuple):
    """How a file is divided into chunks; `data` has the samples."""

    head: int  # bytes before the first of them
    chunk: str  # its name and its size
    data: bytes
    align: int = 2
    inside: int = 0  # bytes of name and size that the size counts


_CONTAINERS = {
    (b"RIFF", b"WAVE"): _Container(12, "<4sI", b"data"),
    (b"RIFX", b"WAVE"): _Container(12, ">4sI", b"data"),
    (b"RF64", b"WAVE"): _Container(12, "<4sI", b"data"),
    (b"BW64", b"WAVE"): _Container(12, "<4sI", b"data"),
    (b"FORM", b"AIFF"): _Container(12, ">4sI", b"SSND"),
    (b"FORM", b"AIFC"): _Container(12, ">4sI", b"SSND"),
    (b"riff", b"\xa5\xd6\x28\xdb"): _Container(
        40, "<16sQ", b"data\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a", 8, 24
    ),  # Sony's Wave64: names are GUIDs
}


def _whole(stream: Any, name: str) -> None:
    """See that a file of samples has as many as its header says: where there are fewer, libsndfile
    says nothing. Those of what did not know its end, a pipe, say the most there may be.

    Raises: DataError: it was cut.
    """
    start = stream.tell()
    head = stream.read(12)
    there = stream.seek(0, os.SEEK_END)
    if head[:4] == b"OggS":
        stream.seek(max(start, there - _OGG_PAGE))
        if not _ends(stream.read()):
            raise DataError(f"{name}: truncated, without the last page of an OGG file")
    how = _CONTAINERS.get((head[:4], head[8:]))
    place, long = start + how.head if how else there, 0
    while how and place + struct.calcsize(how.chunk) <= there:
        stream.seek(place)
        kind, size = struct.unpack(how.chunk, stream.read(struct.calcsize(how.chunk)))
        place += struct.calcsize(how.chunk)
        if kind == b"ds64":  # a size of 64 bits, for one that 32 cannot say
            long = int.from_bytes(stream.read(16)[8:], "little")
        size -= how.inside
        if kind == how.data:
            size = long if long and size == 0xFFFFFFFF else size
            if place + size > there and not 0x7FFFF000 <= size <= 0xFFFFFFFF:
                raise DataError(f"{name}: truncated, {there - place} bytes of samples of {size}")
            break
        if size < 0:
            break
        place += -(-size // how.align) * how.align
    stream.seek(start)


_OGG_PAGE = 27 + 255 + 255 * 255  # bytes, at most: RFC 3533


def _ends(tail: bytes) -> bool:
    """Whether the last page of OGG that begins in these bytes is whole, and says that it is the
    last."""
    place = tail.rfind(b"OggS")
    head = tail[place : place + 27]
    if place < 0 or len(head) < 27 or not head[5] & 4:
        return False
    sizes = tail[place + 27 : place + 27 + head[26]]
    return len(sizes) == head[26] and place + 27 + len(sizes) + sum(sizes) <= len(tail)


def _said(error: Exception) -> str:
    return str(error).rpartition(": ")[2].rstrip(".") or type(error).__name__


def rate_of(path: str | os.PathLike[str]) -> int:
    """Samples a second of a recording, from its header.

    Raises: DataError: it is missing or no recording.
    """
    soundfile, name = _soundfile(), os.fspath(path)
    try:
        with opened(name, unpack=False) as stream, soundfile.SoundFile(stream) as file:
            return int(file.samplerate)
    except soundfile.SoundFileError as error:
        raise DataError(f"{name}: no audio file that is read ({_said(error)})") from None


def is_audio(path: str) -> bool:
    """Whether a file is taken for a recording, by its name."""
    return path.lower().endswith(SUFFIXES)


def is_audio_folder(path: Path) -> bool:
    """Whether there are recordings in a directory, and no images, after a look at a few names."""
    places = [path]
    for place in places:
        if len(places) > 16 or not place.is_dir():
            continue
        try:
            there = sorted(entry for entry in place.iterdir() if not entry.name.startswith("."))
        except OSError:
            continue
        names = [entry.name for entry in there[:64] if entry.is_file()]
        if any(map(is_image, names)):
            return False
        if any(map(is_audio, names)):
            return True
        places += [entry for entry in there[:4] if entry.is_dir()]
    return False


def audio_dataset(
    directory: str | os.PathLike[str],
    *,
    length: int = 0,
    rate: int = 0,
    mono: bool = True,
    label: str = "",
    test: str = "",
    test_fraction: float = 0.0,
    seed: int = 0,
    on_error: OnError = "stop",
) -> Dataset[Any]:
    """Find the recordings in a directory, and the classes that its directories or its names are.

    Directories are understood as :func:`folder_dataset` understands those of images: ``train`` and
    ``test``, with a directory for each class, or classes alone. Where names of files say what they
    are, as ``7_jackson_32.wav`` does, regular expressions say where.

    Args:
        directory: with files of the suffixes of `SUFFIXES`.
        length, rate, mono: see `Recordings`; a length of 0 is that of the longest.
        label: regular expression looked for in the path inside the directory; its first group, or
            all of it, is the class. Empty: classes are directories.
        test: regular expression; recordings in whose path it is found are for testing.
        test_fraction: the share of each class for testing, below 1, where there is no test set.
        seed: decides which recordings are set aside.
        on_error: ``"stop"`` or ``"skip"``: see :func:`folder_dataset`.
    Returns: A `Dataset` of `Recordings` ``[n, N]``, or ``[n, C, N]`` where channels are kept.
    Raises:
        DataError: there are no recordings, a class has none, or something cannot be read.
        TypeError, ValueError: an argument is not as above.
        ImportError: soundfile is not installed.
    Example:
        >>> audio_dataset("nowhere")
        Traceback (most recent call last):
        scatcuda.data.DataError: nowhere: no such directory
    """
    folder = Path(directory)
    share = Share("audio_dataset", test_fraction, seed)
    if on_error not in get_args(OnError):
        raise ValueError(f"audio_dataset: on_error must be stop or skip, got {on_error!r}")
    how: dict[str, Any] = {"length": length, "rate": rate, "mono": mono}
    patterns = [_pattern(name, text) for name, text in (("label", label), ("test", test))]
    Recordings([], **how)  # raises for what is wrong with them
    if not folder.is_dir():
        raise DataError(f"{folder}: {'not a' if folder.exists() else 'no such'} directory")
    tree = walk(folder, is_audio, "recordings")
    found = _named(tree, *patterns) if label or test else arranged(tree)
    if on_error == "stop":
        stop(tree)
    classes, *parts = found
    members = [member for part in parts for member in part]
    skipped = _skipped(tree, members, **how) if on_error == "skip" else []
    train, held = divided(share, os.fspath(folder), *readable(tree, found, skipped))
    both = Recordings([tree.source(member.path) for member in [*train, *held]], **how)
    train_x, test_x = both.part(slice(len(train))), both.part(slice(len(train), None))
    return Dataset(
        folder.resolve().name, train_x, labels_of(train), test_x, labels_of(held), classes,
        skipped=tuple(skipped), passed=dict(tree.passed),
    )  # fmt: skip


def _pattern(name: str, text: Any) -> re.Pattern[str]:
    if not isinstance(text, str):
        raise TypeError(f"audio_dataset: {name} must be text; got {type(text).__name__}")
    try:
        return re.compile(text)
    except re.error as error:
        raise ValueError(
            f"audio_dataset: {name} must be a regular expression; got {text!r} ({error})"
        ) from None


def _named(tree: Tree, label: re.Pattern[str], test: re.Pattern[str]) -> Arranged:
    """Classes and parts by what is found in paths; classes by directories where nothing is said."""
    if label.pattern:
        if not tree.images:
            raise DataError(f"{tree.name}: it holds no recordings")
        found = ((path, label.search(path)) for path in tree.images)
        words = ((path, m[1 if label.groups else 0]) for path, m in found if m)
        called = {path: word for path, word in words if word}  # a group may have found nothing
        if len(called) < len(tree.images):
            tree.passed["without a label"] = len(tree.images) - len(called)
        numbers = all(name.isascii() and name.isdigit() for name in called.values())
        classes = tuple(sorted(set(called.values()), key=int if numbers else None))
        if len(classes) < 2:
            why = f"all are of the class {classes[0]}" if classes else "it is found in no path"
            raise DataError(f"{tree.name}: label {label.pattern!r} tells no classes: {why}")
        members = [Member(path, classes.index(name)) for path, name in called.items()]
        train, held = members, list[Member]()
    else:
        classes, train, held = arranged(tree)
    if test.pattern:
        if held:
            raise ValueError(f"audio_dataset: test is for data without a test set, not {tree.name}")
        held = [member for member in train if test.search(member.path)]
        train = [member for member in train if not test.search(member.path)]
        if not held or not train:
            raise DataError(
                f"{tree.name}: test {test.pattern!r} is found in {'every' if held else 'no'} path"
            )
        check_classes(tree, classes, train, "for training")
    return classes, train, held


def _skipped(tree: Tree, members: Sequence[Member], **how: Any) -> list[tuple[str, str]]:
    """What cannot be read, with the reasons; every recording is decoded for it."""
    known = {name for name, _ in tree.problems}
    sources = [tree.source(member.path) for member in members]
    sound, bad = [], []
    for source in (source for source in sources if source.name not in known):
        try:
            _facts(source)
            sound.append(source)
        except DataError as error:
            bad.append((source.name, error))
    bad += Recordings(sound, **how).damaged()
    return [*tree.problems, *((name, str(e).removeprefix(f"{name}: ")) for name, e in bad)]


def blocks(
    path: str | os.PathLike[str], seconds: float = 1.0, *, mono: bool = True
) -> Iterator[Tensor]:
    """A recording of any length in pieces, as :meth:`scatcuda.Scattering1D.stream` takes them; no
    more than one piece is in memory.

    Args:
        path: of the file.
        seconds: of a piece; the last may be shorter.
        mono: whether channels are averaged: pieces are ``[n]``, otherwise ``[C, n]``.
    Raises:
        DataError: the file is missing, damaged or of another format.
        ImportError: soundfile is not installed.
        TypeError, ValueError: an argument is not as above.
    Example:
        >>> import tempfile, soundfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     soundfile.write(f"{folder}/a.wav", np.zeros(20_000), 8000)
        ...     [len(piece) for piece in blocks(f"{folder}/a.wav")]
        [8000, 8000, 4000]
    """
    soundfile, name = _soundfile(), os.fspath(path)
    boolean("blocks", "mono", mono)
    return _blocks(soundfile, name, positive("blocks", "seconds", seconds), mono)


def _blocks(soundfile: Any, name: str, seconds: float, mono: bool) -> Iterator[Tensor]:
    try:
        with opened(name, unpack=False) as stream:
            _whole(stream, name)
            yield from _pieces(soundfile, stream, name, seconds, mono)
    except soundfile.SoundFileError as error:
        raise DataError(f"{name}: no audio file that is read ({_said(error)})") from None


def _pieces(soundfile: Any, stream: Any, name: str, seconds: float, mono: bool) -> Iterator[Tensor]:
    with _forward(soundfile)(stream) as file:
        if file.frames < 1:
            raise DataError(f"{name}: it has no samples")
        size = max(1, min(round(seconds * file.samplerate), file.frames))
        ask(name, 8 * size * file.channels)
        done = 0
        while len(piece := file.read(size, dtype="float32", always_2d=True)):
            if not np.isfinite(piece).all():
                raise DataError(f"{name}: it has samples that are infinite or not numbers")
            done += len(piece)
            yield torch.from_numpy(piece.mean(1) if mono else np.ascontiguousarray(piece.T))
        if done != file.frames:
            raise DataError(f"{name}: truncated, {done} samples of {file.frames}")
