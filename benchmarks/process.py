"""Measurements that need a process of their own: peak memory and import time.

    python -m benchmarks.process memory scatcuda 3 224 224 4 2
    python -m benchmarks.process gradient scatcuda 3 224 224 4 2

prints the bytes of memory that the first call of scatcuda's transform (J = 3, four images of
224x224, two threads) needs beyond its input and its output; or, with the gradient of the input,
beyond these and the gradients of both.

    python -m benchmarks.process building 5 4096 4096 8 1

prints the peak bytes of a whole process that builds a transform with eight angles, on one thread.
"""

from __future__ import annotations

import ctypes
import functools
import gc
import statistics
import subprocess
import sys
from pathlib import Path

RESET = Path("/proc/self/clear_refs")  # writing 5 resets the peak
IMPORT = """
import time, torch
start = time.perf_counter()
import scatcuda
print(time.perf_counter() - start)
"""


def import_seconds(rounds: int) -> float:
    """Median seconds that `import scatcuda` takes in a new process that has imported torch."""
    return statistics.median(_child("-c", IMPORT) for _ in range(rounds))


def knows_peak() -> bool:
    """Whether a process can read and reset its peak memory here: Linux only."""
    return RESET.exists()


@functools.cache
def call_memory(
    name: str, J: int, shape: tuple[int, int], batch: int, threads: int, what: str = "memory"
) -> float:
    """Peak bytes beyond input and output of the first call of a transform, in a new process; with
    `what` "gradient" those of the call and of its gradient, beyond the gradients too.

    The first call also pays for what the libraries below it set up once: thread stacks, plans,
    pages of code. Raises RuntimeError where `knows_peak` is false.
    """
    sizes = [J, *shape, batch, threads]
    return _child("-m", "benchmarks.process", what, name, *map(str, sizes))


def _child(*arguments: str) -> float:
    """The number that a Python process prints; its messages, should it fail, in a RuntimeError."""
    result = subprocess.run(
        [sys.executable, *arguments],
        cwd=Path(__file__).resolve().parents[1],
        capture_output=True,
        text=True,
    )
    if result.returncode:
        raise RuntimeError(f"python {' '.join(arguments)} failed:\n{result.stderr}")
    return float(result.stdout)


def _measure_call(what: str, name: str, J: int, M: int, N: int, batch: int, threads: int) -> int:
    """What `call_memory` returns, measured in this process."""
    import torch

    from .registry import Problem, build

    torch.set_num_threads(threads)
    problem = Problem(J, (M, N), batch)
    transform, x = build(name, problem), problem.images()
    before = _reset_peak()
    if what == "memory":
        y = transform(x)
        return _peak() - before - y.nbytes
    y = transform(x.requires_grad_())
    y.backward(torch.ones_like(y))
    return _peak() - before - 2 * y.nbytes - x.nbytes


def _measure_building(J: int, M: int, N: int, L: int, threads: int) -> int:
    """Peak bytes of this process, in which a transform is built."""
    import torch

    import scatcuda

    torch.set_num_threads(threads)
    scatcuda.Scattering2D(J, (M, N), L)
    return _peak()


def _reset_peak() -> int:
    """Start the peak of resident memory afresh; returns its bytes."""
    gc.collect()  # garbage that goes during a call would hide as much of what it takes
    try:
        # Without this, heap left free by the constructors would hide what the call takes.
        ctypes.CDLL(None).malloc_trim(0)
    except AttributeError:
        pass  # a C library other than glibc
    RESET.write_text("5")
    return _peak()


def _peak() -> int:
    """Peak resident bytes since the last reset. Unlike getrusage's figure, which a process
    inherits from the one that started it, this one is the process's own."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return 1024 * int(line.split()[1])
    raise OSError("/proc/self/status: expected a line VmHWM, found none")


if __name__ == "__main__":
    command, arguments = "".join(sys.argv[1:2]), sys.argv[2:]
    if command == "building":
        print(_measure_building(*map(int, arguments)))
        sys.exit()
    if command not in ("memory", "gradient") or not arguments:
        sys.exit(f"command: expected 'memory', 'gradient' or 'building', got {command!r}")
    implementation, *numbers = arguments
    print(_measure_call(command, implementation, *map(int, numbers)))
