"""How many bytes are in use, and how many more after many calls."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Callable

import pytest


class Mallinfo2(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    ]


def bytes_in_use() -> int:
    """What malloc has given out and not got back."""
    gc.collect()
    mallinfo2 = ctypes.CDLL(None).mallinfo2
    mallinfo2.restype = Mallinfo2
    info = mallinfo2()
    return info.uordblks + info.hblkhd


def growth(call: Callable[[], object], calls: int = 4000) -> int:
    """Bytes that so many calls keep: the least of a few rounds, since a cache may fill at any
    time. Less than one allocation in eight calls is another thread's."""
    if sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallinfo2"):
        pytest.skip("counts with mallinfo2 of glibc 2.33 or newer")
    for _ in range(calls // 10):
        call()
    kept = []
    while len(kept) < 4 and min(kept, default=1) > 0:
        before = bytes_in_use()
        for _ in range(calls):
            call()
        kept.append(bytes_in_use() - before)
    least = min(kept)
    return least if least >= 4 * calls else 0
