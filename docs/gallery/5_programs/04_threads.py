"""
Threads, and the same bits
==========================

The order of every sum is fixed, whatever the number of threads: the coefficients are the same to
the last bit. A clock shows what threads, batches and the engine are good for on the machine that
made this page; it did other things at the same time, and ``make bench`` has the figures to quote.
"""

import time

import matplotlib.pyplot as plt
import torch

from scatcuda import Scattering2D
from scatcuda.draw.style import BLUE, GREY, PALE, STYLE

plt.rcParams.update(STYLE)

shapes = {"32 × 32, J=2": (2, 32, 64), "64 × 64, J=3": (3, 64, 16), "128 × 128, J=3": (3, 128, 4)}
ways = {
    "plain PyTorch, one thread": ("reference", 1, GREY),
    "engine, one thread": ("native", 1, PALE),
    "engine, two threads": ("native", 2, BLUE),
}


def seconds(transform, x):
    """The best of some calls."""
    times = []
    for _ in range(4):
        start = time.perf_counter()
        transform(x)
        times.append(time.perf_counter() - start)
    return min(times[1:])


# %%
# Milliseconds an image, of a batch of some:

threads = torch.get_num_threads()
figure, axis = plt.subplots(figsize=(8, 4), layout="constrained")
for row, (name, (J, side, batch)) in enumerate(shapes.items()):
    x = torch.rand(batch, side, side, generator=torch.Generator().manual_seed(0))
    results = []
    for place, (way, (backend, count, colour)) in enumerate(ways.items()):
        torch.set_num_threads(count)
        transform = Scattering2D(J, (side, side), backend=backend)
        results.append(transform(x))
        times = 1e3 * seconds(transform, x) / batch
        bar = axis.barh(row + 0.25 * (place - 1), times, 0.22, color=colour,
                        label=way if row == 0 else None)  # fmt: skip
        axis.bar_label(bar, fmt="%.2f", padding=4, color=GREY, fontsize=10)
    print(f"{name:15} one thread and two: the same bits {torch.equal(*results[1:])}")
torch.set_num_threads(threads)

axis.set_yticks(range(len(shapes)), list(shapes))
axis.invert_yaxis()
axis.set(xscale="log", xlabel="milliseconds an image")
axis.margins(x=0.12)
axis.spines[["top", "right"]].set_visible(False)
axis.legend(frameon=False, ncols=3, loc="lower center", bbox_to_anchor=(0.4, 1))
plt.show()
