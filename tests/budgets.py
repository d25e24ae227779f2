"""What a function takes of memory, measured in a process of its own."""

from __future__ import annotations

import multiprocessing
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scatcuda.data import DataError, set_file_budget

MIB = 1 << 20
BUDGET = 64 * MIB
# What is not counted: modules that are imported late, buffers of zlib and Pillow, messages.
SLACK = 24 * MIB
PATIENCE = 300  # seconds for a process: only what hangs takes as long

processes = multiprocessing.get_context("forkserver")
# What takes long to import, so that each process begins with it; this module is not found yet.
processes.set_forkserver_preload(
    [
        "pytest",
        "PIL.Image",
        "scatcuda.cli",
        "scatcuda.learn.experiments.experiment",
        "scatcuda.learn.extraction.features",
    ]
)


def _peak() -> int:
    return int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) << 10


def _measure(
    send: Any, budget: int, act: Callable[..., object], arguments: tuple, before_that: Any
) -> None:
    if before_that:
        before_that()
    set_file_budget(budget)
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
    before = _peak()
    try:
        said = act(*arguments)
    except (DataError, ValueError) as error:
        said = str(error)
    send.send((said, _peak() - before))


def measured(
    act: Callable[..., object], *arguments: object, budget: int = BUDGET,
    before_that: Callable[[], object] | None = None,
) -> Any:  # fmt: skip
    """What a function returns or says when it refuses, and by how much the peak of a process of its
    own grows, which did something `before_that`."""
    receive, send = processes.Pipe(duplex=False)
    process = processes.Process(
        target=_measure, args=(send, budget, act, arguments, before_that), daemon=True
    )
    process.start()
    send.close()
    try:
        assert receive.poll(PATIENCE), "it hangs"
        return receive.recv()  # an EOFError: it was killed
    finally:
        process.kill()
        process.join()
