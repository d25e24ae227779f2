"""SIGTERM and Ctrl-C, remembered until it is a good moment to act on them."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["Asked", "stop_signals"]


class Asked:
    """The signal that asked for an end, 0 for none."""

    signal = 0

    def act(self, number: int) -> None:
        """What the signal would have done."""
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + number)


@contextmanager
def stop_signals() -> Iterator[Asked]:
    """Remember SIGTERM and Ctrl-C; a second one acts at once."""
    asked = Asked()
    if threading.current_thread() is not threading.main_thread():
        yield asked  # only the main thread may handle signals
        return

    def remember(number: int, frame: FrameType | None) -> None:
        if asked.signal:
            asked.act(number)
        asked.signal = number

    before = {number: signal.signal(number, remember) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
