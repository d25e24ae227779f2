"""What is printed: names from files and folders as text that cannot steer a terminal, in the
letters that it has, to whoever still reads.
"""

from __future__ import annotations

import os
import sys
import unicodedata
from contextlib import suppress

__all__ = ["printable", "say", "sentence"]

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
    if stream is None:  # closed
        return
    text, encoding = printable(text, keep="\n") + "\n", stream.encoding or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = text.translate(_PLAIN).encode(encoding, "backslashreplace").decode(encoding)
    try:
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
