"""Clocks, and the measurement that compares implementations fairly.

Peers are timed in turn, A B C A B C ..., so that a slow moment of the machine falls on all of
them; the figure of each is the median over the rounds. A round runs a peer often enough that all
its rounds together last a stated time. Python's garbage collector is off while a clock runs.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from .registry import Peer

Timer = Callable[[Callable[[], Any], int], float]  # (run, repeats) -> seconds of one run


def cpu_timer(run: Callable[[], Any], repeats: int) -> float:
    """Seconds of one run, by the wall clock."""
    start = time.perf_counter()
    for _ in range(repeats):
        run()
    return (time.perf_counter() - start) / repeats


def cuda_timer(run: Callable[[], Any], repeats: int) -> float:
    """Seconds of one run on the current stream of the current device, by CUDA events."""
    start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()  # else work queued earlier would be counted
    start.record()
    for _ in range(repeats):
        run()
    stop.record()
    stop.synchronize()  # the events lie in the past only when the last kernel has ended
    return start.elapsed_time(stop) / 1e3 / repeats


def timer_for(device: torch.device | str) -> Timer:
    """The clock of a device.

    Raises:
        ValueError: for a device that has none.
    """
    timers: dict[str, Timer] = {"cpu": cpu_timer, "cuda": cuda_timer}
    kind = torch.device(device).type
    if kind not in timers:
        raise ValueError(f"device: expected one of {sorted(timers)}, got {str(device)!r}")
    return timers[kind]


def interleave(
    peers: Mapping[str, Peer], timer: Timer, rounds: int, seconds: float, threads: int
) -> dict[str, list[float]]:
    """Time the peers in turn.

    Args:
        peers: what to run.
        timer: the clock of the device they run on.
        rounds: how often each peer has its turn.
        seconds: how long all turns of one peer together last, at least.
        threads: PyTorch's thread count for peers that do not state one.

    Returns:
        For each peer the seconds of one run, one figure a round.
    """
    with _quiet(threads):
        repeats = {
            name: _repeats(_ready(peer, threads), timer, seconds / rounds)
            for name, peer in peers.items()
        }
        times: dict[str, list[float]] = {name: [] for name in peers}
        for _ in range(rounds):
            for name, peer in peers.items():
                times[name].append(timer(_ready(peer, threads), repeats[name]))
    return times


def _ready(peer: Peer, threads: int) -> Callable[[], Any]:
    """Bring about the peer's thread count; after a change one untimed run wakes the threads."""
    wanted = peer.threads or threads
    if torch.get_num_threads() != wanted:
        torch.set_num_threads(wanted)
        peer.run()
    return peer.run


def _repeats(run: Callable[[], Any], timer: Timer, seconds: float) -> int:
    """How many runs last `seconds`; finding out warms the caches up."""
    repeats, took = 1, timer(run, 1)
    while took * repeats < seconds:
        # A first guess from a cold run is too low; doubling at least makes sure of an end.
        repeats = max(2 * repeats, min(math.ceil(seconds / max(took, 1e-9)), 100 * repeats))
        took = timer(run, repeats)
    return repeats


@contextmanager
def _quiet(threads: int) -> Iterator[None]:
    """No garbage collection, and the thread count put back afterwards."""
    collecting, before = gc.isenabled(), torch.get_num_threads()
    gc.collect()
    gc.disable()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
        if collecting:
            gc.enable()
