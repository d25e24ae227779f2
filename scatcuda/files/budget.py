"""What a file may make us allocate: one budget for all readers.

A small file can claim much: a picture of 10⁹ pixels in 70 bytes, zeros packed a thousand to one.
Readers `ask` with what its header says before they allocate anything.

2 GiB unless told otherwise: what people keep in one file fits (SVHN's 531 131 extra images are
1.6 GB, EMNIST's 814 255 are 0.7, photographs of 10⁸ pixels), and a machine of today survives it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from .. import limits
from ..arguments import integer
from .error import DataError

ENVIRONMENT = "SCATCUDA_FILE_BUDGET"
DEFAULT = 1 << 31  # bytes

_set: int | None = None  # by the program; the environment otherwise
_taken = 0  # bytes, by all who are in a `room`
_freed = threading.Condition()


def file_budget() -> int:
    """The bytes of memory that one file may make us allocate.

    2 GiB, or the number in the environment variable SCATCUDA_FILE_BUDGET, or what
    `set_file_budget` said.

    Example:
        >>> file_budget() == 2 << 30 or "SCATCUDA_FILE_BUDGET" in os.environ
        True
    """
    if _set is not None:
        return _set
    # Whether it is a number was found out on import: scatcuda.config.
    return int(os.environ.get(ENVIRONMENT) or DEFAULT)


def set_file_budget(nbytes: int | None) -> None:
    """Say how many bytes of memory one file may make us allocate; None: as the environment says.

    Example:
        >>> set_file_budget(8 << 30)
        >>> file_budget()
        8589934592
        >>> set_file_budget(None)
    """
    global _set
    _set = None if nbytes is None else integer("set_file_budget", "nbytes", nbytes, 1)


def ask(subject: str, nbytes: int) -> None:
    """Refuse what would take more than the budget; called before anything is allocated.

    Args:
        subject: the file, and what of it, for the message.
        nbytes: all that reading it takes at a time, as far as its header tells.
    Raises: DataError: it is more than the budget.
    """
    most = file_budget()
    if nbytes > most:
        nbytes = min(nbytes, limits.BYTES)  # a header can claim what no memory has
        raise DataError(
            f"{subject}: reading it would take {_size(nbytes)} of memory, more than the "
            f"{_size(most)} that a file may take; if it may, set {ENVIRONMENT} to {nbytes} bytes "
            "or more"
        )


@contextmanager
def room(subject: str, nbytes: int) -> Iterator[None]:
    """`ask`, and wait until all that threads read at the same time fits into the budget."""
    global _taken
    ask(subject, nbytes)
    with _freed:
        # Who is alone may go on, whatever the budget has become in the meantime.
        _freed.wait_for(lambda: not _taken or _taken + nbytes <= file_budget())
        _taken += nbytes
    try:
        yield
    finally:
        with _freed:
            _taken -= nbytes
            _freed.notify_all()


def _size(nbytes: int) -> str:
    """Bytes as people say them."""
    for power, unit in ((30, "GiB"), (20, "MiB"), (10, "KiB")):
        if nbytes >> power:
            return f"{nbytes / (1 << power):.4g} {unit}"
    return f"{nbytes} bytes"
