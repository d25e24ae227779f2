"""How large a problem may be: far beyond use, and so that no size of one overflows, in the engines
or on the way there, and that a list of its paths stays small. ``csrc/core/program.h`` has the
same of programs.

Memory ends long before: who lets strangers choose a problem sets limits of their own (SECURITY.md).
"""

from __future__ import annotations

from collections.abc import Sequence

SCALES = 24  # J
ANGLES = 1 << 12  # L
SIDE = 1 << 24  # of a signal, of an output
CHANNELS = 1 << 20  # one a path, and Python has a tuple for each
NUMBERS = 1 << 40  # of a table of filters: that of one set, or the whole of phi
BATCH_NUMBERS = 1 << 58  # of the signals and the coefficients of a batch
RANK = 3
LEVELS = SCALES  # wavelets in a row
STEPS = 1 << 13  # of a program; its sets and its matrices
TEXT = 1 << 24  # characters of a program
FILTERS = ANGLES  # of a set
PLANES = CHANNELS  # of a step; averaged by a program
BYTES = (1 << 63) - 1


def at_most(caller: str, name: str, value: int, most: int) -> None:
    """A ValueError in the name of ``caller`` where ``value`` is larger."""
    if value > most:
        raise ValueError(f"{caller}: {name} must be at most {most}; got {shown(value)}")


def shown(value: int) -> str:
    """An integer as text; Python refuses to print those of thousands of digits."""
    bits = int(value).bit_length()
    return f"one of {bits} bits" if bits > 200 else str(value)


def lanes(L: int) -> int:
    """Angles are stored in whole vectors: 4, 8 or a multiple of 16."""
    return 4 if L <= 4 else 8 if L <= 8 else -(-L // 16) * 16


def check_table(caller: str, padded: Sequence[int], L: int) -> None:
    """Whether a wavelet's table at full resolution may be as large as this."""
    Mp, Np = padded
    name = f"L = {L} angles, in {lanes(L)} lanes, times the padded pixels {Mp} x {Np}"
    at_most(caller, name, lanes(L) * Mp * Np, NUMBERS)
