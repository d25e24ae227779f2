"""What a command tells: lines for people while it runs, or with ``--json`` one JSON document.

A command says its lines with `scatcuda.terminal.say` and returns its document, of a kind that
`documents` describes; which of the two is printed is decided here.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..terminal import say, silent
from .documents import LeftOut

__all__ = ["Report", "asks_for_json", "document_only", "print_document", "without"]


@dataclasses.dataclass(frozen=True)
class Report:
    """A document; and where what was asked for is not so, the exit status and a sentence."""

    document: Mapping[str, Any]
    status: int = 0
    error: str = ""


def asks_for_json(argv: Sequence[str]) -> bool:
    """Whether ``--json`` is among arguments that cannot be parsed, as argparse would abbreviate it.

    Example:
        >>> asks_for_json(["bench", "--js", "--J", "x"]), asks_for_json(["eval", "--", "--json"])
        (True, False)
    """
    options = argv[: argv.index("--")] if "--" in argv else argv
    return any(len(option) > 2 and "--json".startswith(option) for option in options)


@contextlib.contextmanager
def document_only() -> Iterator[None]:
    """Within, nothing comes to stdout: what a command says is dropped, what others print, a
    transform of the user's own say, goes to stderr."""
    with silent(), contextlib.redirect_stdout(sys.stderr):
        yield


def print_document(document: Mapping[str, Any]) -> None:
    """One line of JSON in ASCII on stdout."""
    say(json.dumps(_plain(document), allow_nan=False))


def _plain(value: Any) -> Any:
    """As JSON has it: numbers as numbers, those that are not finite null; paths as text."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def without(skipped: Sequence[tuple[str, str]], passed: Mapping[str, int]) -> LeftOut:
    """What a data set leaves out, as documents have it."""
    return {
        "skipped": [{"file": name, "reason": reason} for name, reason in skipped],
        "passed": dict(passed),
    }
