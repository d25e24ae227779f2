"""
A program written for Kymatio
=============================

Kymatio's classes have the same arguments and give the same numbers. A program that uses them needs
no change: after :func:`scatcuda.kymatio.accelerate` they build ours.
"""

import time

import matplotlib.pyplot as plt
import torch
from kymatio.torch import Scattering1D, Scattering2D

import scatcuda.kymatio
from scatcuda.draw.style import BLUE, GREY, STYLE

plt.rcParams.update(STYLE)
random = torch.Generator().manual_seed(0)

# %%
# A program of someone else, who has never heard of this package: it makes transforms and uses them.


def program():
    """The results of three transforms and the seconds of a call."""
    tasks = {
        "32 × 32, J=2": (Scattering2D(J=2, shape=(32, 32)), (16, 32, 32)),
        "128 × 128, J=3": (Scattering2D(J=3, shape=(128, 128)), (2, 128, 128)),
        "8192 samples, J=6, Q=8": (Scattering1D(J=6, shape=8192, Q=8), (2, 8192)),
    }
    results, seconds = {}, {}
    for name, (transform, shape) in tasks.items():
        x = torch.randn(shape, generator=random.manual_seed(0))
        results[name] = transform(x)  # and once more, with a watch, the best of three
        seconds[name] = min(_timed(transform, x) for _ in range(3))
    return results, seconds


def _timed(transform, x):
    start = time.perf_counter()
    transform(x)
    return time.perf_counter() - start


# %%
# As it is, and accelerated. The context manager ends it; ``accelerate()`` alone is for good.

theirs, before = program()
with scatcuda.kymatio.accelerate():
    ours, after = program()

for name in theirs:
    away = (ours[name] - theirs[name]).norm() / theirs[name].norm()
    print(f"{name:24} relative difference {away:.1e}")

# %%
# Milliseconds of a call on the machine that made this page, measured once, while it was making it;
# the benchmarks (``make bench``) are the ones to quote.

figure, axis = plt.subplots(figsize=(8, 3.6), layout="constrained")
for row, name in enumerate(before):
    times = [1e3 * before[name], 1e3 * after[name]]
    bars = axis.barh([row - 0.19, row + 0.19], times, 0.34, color=[GREY, BLUE])
    axis.bar_label(bars, fmt="%.1f", padding=4, color=GREY)
axis.set_yticks(range(len(before)), list(before))
axis.invert_yaxis()
axis.set(xscale="log", xlabel="milliseconds a call")
axis.margins(x=0.15)
axis.spines[["top", "right"]].set_visible(False)
axis.set_title("Kymatio (grey), the same program accelerated (blue)")
plt.show()
