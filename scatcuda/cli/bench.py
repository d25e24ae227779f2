"""Time a problem of your own: ours, the plain-PyTorch twin, and Kymatio where it is installed.

The command ``scatcuda bench``. The suite of all cases is ``make bench`` in a checkout.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..arguments import device as known_device
from ..arguments import integer, pair
from ..terminal import Bar
from ..transforms.scattering2d import Scattering2D
from ..typing import Backend

__all__ = ["Timing", "bench", "bench_text"]


@dataclass(frozen=True)
class Timing:
    """What one implementation takes: the median of its turns."""

    name: str
    seconds: float  # of one call
    images_per_second: float
    error: float  # ‖y − s‖ / ‖s‖, s in float64


def bench(
    J: int,
    shape: Sequence[int],
    L: int = 8,
    max_order: int = 2,
    *,
    batch: int = 8,
    dtype: torch.dtype = torch.float32,
    device: str | torch.device = "cpu",
    threads: int | None = None,
    backward: bool = False,
    rounds: int = 7,
    seconds: float = 0.3,
) -> list[Timing]:
    """Time scattering a batch of noise, the implementations in turn.

    Args:
        J, shape, L, max_order: as for `scatcuda.Scattering2D`.
        batch: images of a call.
        dtype: float32 or float64.
        device: where.
        threads: PyTorch's, on the CPU; None: as they are.
        backward: the gradient of the sum of squares too.
        rounds: turns of each; the median counts.
        seconds: how long each turn lasts, about.
    Returns: ours first.
    Raises: TypeError, ValueError: an argument is wrong.
    Example:
        >>> ours, twin, *_ = bench(2, (16, 16), batch=2, rounds=1, seconds=0.01)
        >>> ours.name, twin.name, ours.error < 1e-6
        ('scatcuda', 'plain PyTorch', True)
    """
    from torch.utils.benchmark import Timer

    batch, rounds = integer("bench", "batch", batch, 1), integer("bench", "rounds", rounds, 1)
    where, size = known_device("bench: ", device), pair("bench", shape)
    if threads is not None:
        threads = integer("bench", "threads", threads, 1)
    x = torch.rand(batch, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    exact = Scattering2D(J, size, L, max_order, backend="reference").double()(x)
    image = x.to(where, dtype).requires_grad_(backward)
    peers = _peers(J, size, L, max_order, where, dtype)
    timers = {
        name: Timer(
            "run(module, image)", globals={"run": _run, "module": module, "image": image},
            num_threads=threads or torch.get_num_threads(),
        )
        for name, module in peers.items()
    }  # fmt: skip
    turns: dict[str, list[float]] = {name: [] for name in peers}
    with Bar(rounds * len(timers), "turn") as bar:
        for _ in range(rounds):  # a slow moment of the machine falls on all of them
            for name, timer in timers.items():
                turns[name].append(timer.blocked_autorange(min_run_time=seconds).median)
                bar.update(1)
    found = []
    for name, module in peers.items():
        with torch.no_grad():
            y = module(image).double().cpu().reshape(exact.shape)
        took = statistics.median(turns[name])
        error = float((y - exact).norm() / exact.norm())
        found.append(Timing(name, took, batch / took, error))
    return found


def _run(module: Callable[[Tensor], Tensor], image: Tensor) -> Tensor:
    """A call; with its gradient if the image wants one."""
    if not image.requires_grad:
        return module(image)
    (gradient,) = torch.autograd.grad(module(image).square().sum(), image)
    return gradient


def _peers(
    J: int, shape: tuple[int, ...], L: int, max_order: int, device: torch.device, dtype: torch.dtype
) -> dict[str, nn.Module]:
    def made(backend: Backend) -> nn.Module:
        return Scattering2D(J, shape, L, max_order, backend=backend).to(device, dtype)

    peers: dict[str, Any] = {"scatcuda": made("native"), "plain PyTorch": made("reference")}
    if 0 < max_order <= 2 and dtype == torch.float32:  # what Kymatio knows
        try:
            from kymatio.torch import Scattering2D as Kymatio
        except Exception:  # with SciPy 1.17 and later its import fails in its own way
            return peers
        peers["Kymatio"] = Kymatio(J, shape, L, max_order).to(device)
    return peers


def bench_text(timings: Sequence[Timing]) -> str:
    """A table: time of a call, images a second, how many times as long as ours, error."""
    lines = [f"{'':<14}{'a call':>12}{'images/s':>12}{'÷ ours':>9}{'error':>10}"]
    for timing in timings:
        ratio = timing.seconds / timings[0].seconds
        lines.append(
            f"{timing.name:<14}{_duration(timing.seconds):>12}{timing.images_per_second:>12.0f}"
            f"{ratio:>9.3g}{timing.error:>10.1e}"
        )
    return "\n".join(lines)


def _duration(seconds: float) -> str:
    if seconds < 1e-3:
        return f"{1e6 * seconds:.1f} µs"
    return f"{1e3 * seconds:.2f} ms" if seconds < 1 else f"{seconds:.2f} s"
