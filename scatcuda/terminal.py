"""What is printed: names from files and folders as text that cannot steer a terminal, in the
letters that it has, to whoever still reads; and how much of what takes long is done.
"""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from contextvars import ContextVar
from importlib.util import find_spec
from typing import Any, TextIO

__all__ = ["Bar", "printable", "progress_is", "say", "sentence", "silent", "wanted"]

_DELAY = 1.0  # seconds: what is done by then needs no bar
_silent: ContextVar[bool] = ContextVar("silent", default=False)
_progress: ContextVar[bool | None] = ContextVar("progress", default=None)
_open: set[Bar] = set()  # bars that are on the terminal
_PLAIN = str.maketrans(
    {"±": "+-", "…": "...", "×": "x", "÷": "/", "·": ".", "µ": "u", "–": "-", "−": "-"}
)
_PACKAGES = {"sklearn": "scikit-learn", "skimage": "scikit-image", "PIL": "pillow"}


def printable(text: str, keep: str = "") -> str:
    r"""A text with escapes in place of what is no letter: control characters, newlines, marks that
    turn the direction of writing, bytes that are no UTF-8. Those in `keep` stay.

    Example:
        >>> print(printable("cat\x1b[2J\n"))
        cat\x1b[2J\n
    """
    return "".join(
        letter
        if letter in keep or unicodedata.category(letter) not in ("Cc", "Cf", "Cs", "Zl", "Zp")
        else letter.encode("unicode_escape").decode()
        for letter in text
    )


def say(text: str, error: bool = False) -> None:
    """Print to stdout, or an error to stderr. Letters that its encoding lacks are replaced;
    where nobody reads any more, as behind ``| head -1``, nothing happens."""
    stream = sys.stderr if error else sys.stdout
    if stream is None or (_silent.get() and not error):  # closed, or kept free
        return
    text, encoding = printable(text, keep="\n") + "\n", stream.encoding or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = text.translate(_PLAIN).encode(encoding, "backslashreplace").decode(encoding)
    try:
        with _beside_bars(stream):
            stream.write(text)
            stream.flush()
    except OSError as failed:
        # What waits to be written would fail once more when the program ends.
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
        if not error and not isinstance(failed, BrokenPipeError):
            raise OSError(failed.errno, failed.strerror, "standard output") from None


@contextmanager
def silent() -> Iterator[None]:
    """Within, `say` prints nothing to stdout."""
    token = _silent.set(True)
    try:
        yield
    finally:
        _silent.reset(token)


# --- progress ---------------------------------------------------------------------------------


def wanted(progress: bool | None) -> bool:
    """Whether a bar is shown: as is said; or as the command does that runs (`progress_is`); or
    where stderr is a terminal and tqdm is installed.

    Raises: ModuleNotFoundError: it is to be shown, and tqdm is not installed.
    """
    if progress is None:
        progress = _progress.get()
    if sys.stderr is None or progress is False:
        return False
    there = find_spec("tqdm") is not None
    if progress and not there:
        raise ModuleNotFoundError("progress needs tqdm: pip install tqdm", name="tqdm")
    return there and (progress or sys.stderr.isatty())


@contextmanager
def progress_is(shown: bool) -> Iterator[None]:
    """Within, every bar is shown, or none."""
    token = _progress.set(shown)
    try:
        yield
    finally:
        _progress.reset(token)


class Bar:
    """How much of what takes long is done, with an estimate of the time left: tqdm's bar on stderr,
    after a second; or nothing.

    Args:
        total: of `unit`, how many.
        unit: what is counted, one of them.
        done: how many are done before.
        shown: whether, as `wanted` decides; None: as the command does that runs, and in a program
            of a user's own no.
    Example:
        >>> with Bar(3, "image") as bar:
        ...     bar.update(3)
    """

    def __init__(self, total: int, unit: str, *, done: int = 0, shown: bool | None = None) -> None:
        self._bar: Any = None
        if _progress.get() if shown is None else shown:
            from tqdm import tqdm

            # Of one bar within another nothing is left.
            self._bar = tqdm(
                total=total, initial=done, unit=f" {unit}", unit_scale=True, dynamic_ncols=True,
                smoothing=0.05, delay=_DELAY, leave=None,
            )  # fmt: skip
            _open.add(self)

    def update(self, count: int) -> None:
        """So many more are done."""
        if self._bar is not None:
            self._bar.update(count)

    def tell(self, what: str, **figures: str) -> None:
        """What is being done, and figures about it."""
        if self._bar is not None:
            self._bar.set_description(what, refresh=False)
            self._bar.set_postfix(figures, refresh=False)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            _open.discard(self)

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _beside_bars(stream: TextIO) -> AbstractContextManager[Any]:
    """Take the bars away while something is printed."""
    if not _open:
        return nullcontext()
    from tqdm import tqdm

    return tqdm.external_write_mode(stream)


# --- errors -----------------------------------------------------------------------------------


def sentence(error: BaseException) -> str:
    """What went wrong, on one line."""
    if isinstance(error, OSError) and error.strerror:
        names = [os.fsdecode(name) for name in (error.filename,) if isinstance(name, str | bytes)]
        return printable(": ".join([*names, error.strerror]))
    if isinstance(error, ModuleNotFoundError) and error.name:
        package = error.name.partition(".")[0]
        return f"{_PACKAGES.get(package, package)} is not installed: pip install 'scatcuda[learn]'"
    text = str(error).strip()
    if isinstance(error, MemoryError) or "allocate memory" in text or "out of memory" in text:
        return "this takes more memory than there is"
    said = (ValueError, TypeError, RuntimeError, ImportError, OSError)  # in words of ours
    named = (text and isinstance(error, said)) or type(error).__module__.startswith("scatcuda")
    return printable(text if named else f"{type(error).__name__}: {text}")
