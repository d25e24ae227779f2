"""What a GPU adds to a report: its name and versions, two ceilings measured on it, the floors that
follow for a transform, peak memory, and where the time of a call goes kernel by kernel.

    memory floor       input and output, each moved once, at the bandwidth of a large copy
    arithmetic floor   the operations of the cascade at half the rate of a large float32 product,
                       since butterflies are mostly additions and leave the multiplier idle

A share is a floor over the time measured: no implementation of this cascade exceeds 1 by much.
"""

from __future__ import annotations

import math
import subprocess
from collections.abc import Callable
from typing import Any

import torch

import scatcuda

from .registry import Problem
from .timing import timer_for

# nvidia-smi's names for what it tells of a GPU
QUERIES = ["driver_version", "clocks.sm", "clocks.mem", "clocks.max.sm", "power.limit"]


def describe() -> dict[str, Any]:
    """The current GPU's name, architecture, size and versions, and what nvidia-smi tells of it."""
    properties = torch.cuda.get_device_properties(torch.cuda.current_device())
    return {
        "processor": properties.name,
        "cores": properties.multi_processor_count,
        "instruction_set": f"sm_{properties.major}{properties.minor}",
        "memory_bytes": properties.total_memory,
        "cuda": torch.version.cuda,
        **nvidia_smi(properties.uuid),
    }


def nvidia_smi(uuid: Any) -> dict[str, str]:
    """The answers to `QUERIES`; none where nvidia-smi is not installed or does not know the GPU."""
    command = ["nvidia-smi", f"--id=GPU-{uuid}", f"--query-gpu={','.join(QUERIES)}"]
    command.append("--format=csv,noheader")
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return {}
    return dict(zip(QUERIES, (value.strip() for value in told.stdout.split(",")), strict=True))


# ---------------------------------------------------------------- ceilings and floors


def ceilings(device: torch.device | str, quick: bool = False) -> dict[str, float]:
    """Bytes a second of a copy (read and written ones counted) and float32 operations a second of
    a matrix product without TF32: each the best of five."""
    timer = timer_for(device)
    numbers, side = (1 << 24, 2048) if quick else (1 << 28, 8192)
    source = torch.rand(numbers, device=device)
    target = torch.empty_like(source)
    a, b = torch.rand(2, side, side, device=device)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        copy = min(timer(lambda: target.copy_(source), 3) for _ in range(5))
        product = min(timer(lambda: torch.mm(a, b), 3) for _ in range(5))
    finally:
        torch.set_float32_matmul_precision(before)
    return {
        "copy_bytes_per_second": 2 * source.nbytes / copy,
        "float32_operations_per_second": 2 * side**3 / product,
    }


def traffic(problem: Problem) -> float:
    """Bytes of a transform's input and output in float32."""
    J, L, (M, N) = problem.J, problem.L, problem.shape
    channels = 1 + J * L + L * L * J * (J - 1) // 2
    return 4 * problem.planes * (M * N + channels * (M >> J) * (N >> J))


def operations(problem: Problem) -> float:
    """Floating-point operations of the cascade with complex FFTs and filters that fill the plane:
    5 n log2 n of an FFT of n points; 6 a point for a filter and its fold; 4 for a modulus."""
    J, L = problem.J, problem.L
    sides = [((side >> J) + 2) << J for side in problem.shape]

    def points(j: int) -> int:
        return (sides[0] >> j) * (sides[1] >> j)

    def fft(j: int) -> float:
        return 5 * points(j) * math.log2(points(j))

    def wavelets(res: int, j: int) -> float:  # L of them, from resolution res to j
        return L * (6 * points(res) + fft(j) + 4 * points(j))

    total = fft(0)
    for j1 in range(J):
        total += wavelets(0, j1)
        if j1 + 1 < J:
            second = sum(wavelets(j1, j2) for j2 in range(j1 + 1, J))
            total += L * (fft(j1) + second)
    return problem.planes * total


def shares(problem: Problem, seconds: float, measured: dict[str, float]) -> dict[str, float]:
    """Each floor's share of the `seconds` that a transform took."""
    rate = measured["float32_operations_per_second"] / 2
    return {
        "memory": traffic(problem) / measured["copy_bytes_per_second"] / seconds,
        "arithmetic": operations(problem) / rate / seconds,
    }


# ---------------------------------------------------------------- one call


def memory(run: Callable[[], Any]) -> float:
    """Megabytes of PyTorch's allocator at the peak of a call beyond what was there before and what
    it returns."""
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    result = run()
    torch.cuda.synchronize()
    return (torch.cuda.max_memory_allocated() - before - result.nbytes) / 1e6


def launch(problem: Problem) -> str:
    """How the engine runs a transform: its tier, images at a time, the shape of a block."""
    sizes = (problem.J, problem.shape, problem.L)
    return str(scatcuda.cuda_launch(*sizes, batch=problem.planes))


def kernels(run: Callable[[], Any], runs: int = 10) -> list[dict[str, Any]]:
    """What one call launches, the longest first: name, launches a call, microseconds a call."""
    run()
    activities = [torch.profiler.ProfilerActivity.CUDA, torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities) as profile:
        for _ in range(runs):
            run()
        torch.cuda.synchronize()
    return summary(profile.key_averages(), runs)


def summary(events: Any, runs: int) -> list[dict[str, Any]]:
    """The profiler's events on the GPU, a call's share of each."""
    found = [
        {
            "kernel": event.key,
            "launches": event.count / runs,
            "microseconds": event.self_device_time_total / runs,
        }
        for event in events
        if event.device_type == torch.autograd.DeviceType.CUDA
    ]
    return sorted(found, key=lambda kernel: -kernel["microseconds"])
