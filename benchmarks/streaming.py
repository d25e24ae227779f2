"""``python -m benchmarks.streaming``: ten minutes of noise at 16 kHz in chunks of a second against
the whole signal, and the peak of memory after one minute and after ten, in a process of its own."""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from typing import Any

import torch

import scatcuda
from scatcuda.cli.options import integer
from scatcuda.program.signals import half_support

RATE = 16_000
ARGUMENTS: Any = {"J": 10, "Q": 8, "T": 2**10}


def chunk(second: int) -> torch.Tensor:
    return torch.randn(RATE, generator=torch.Generator().manual_seed(second))


def memory(seconds: int) -> tuple[float, float]:
    """MB at the most, of a process that keeps no coefficients: after a minute and at the end."""
    stream = scatcuda.Scattering1D(shape=RATE, **ARGUMENTS).stream()
    peaks = []
    for second in range(seconds):
        stream(chunk(second))
        if second in (59, seconds - 1):
            peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    return peaks[0], peaks[-1]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.streaming", description=__doc__)
    parser.add_argument("--minutes", type=integer(1), default=10)
    parser.add_argument("--memory", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.memory:
        first, last = memory(options.memory)
        print(f"peak memory: {first:.1f} MB after 1 minute, {last:.1f} after {options.minutes}")
        return
    command = [sys.executable, "-m", "benchmarks.streaming", "--minutes", str(options.minutes)]
    subprocess.run([*command, "--memory", str(60 * options.minutes)], check=True)
    x = torch.cat([chunk(second) for second in range(60 * options.minutes)])
    x = x[: len(x) // 2**11 * 2**11]  # then the whole signal's coefficients lie on the same grid
    begin = time.perf_counter()
    stream = scatcuda.Scattering1D(shape=RATE, **ARGUMENTS).stream()
    found = torch.cat(list(stream.over(x.split(RATE))), -1)
    print(f"{time.perf_counter() - begin:.1f} s for {len(x) / RATE:.0f} s of sound, one thread")
    whole = scatcuda.Scattering1D(shape=len(x), **ARGUMENTS)
    away = whole.pad_left // stream.stride
    support = -(-half_support(len(x), 0.1 / ARGUMENTS["T"])[0] // stream.stride)
    print(f"the whole signal is padded by {away} coefficients; its support are {support}")
    a, b = (S[:, support:-support] for S in (found, whole(x)))
    difference = float((a - b).norm() / b.norm())
    print(f"further than that from its ends: relative difference {difference:.1e}")


if __name__ == "__main__":
    main()
