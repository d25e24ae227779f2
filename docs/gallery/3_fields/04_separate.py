"""
A mixture taken apart
=====================

Two textures are added. Of each we have another example, and so its statistics:
:func:`~scatcuda.synthesis.separate` looks for the two that sum to the mixture and have them.
"""

import matplotlib.pyplot as plt
import torch

from scatcuda import ScatteringCovariance
from scatcuda.draw.style import STYLE, shade
from scatcuda.synthesis import separate

plt.rcParams.update(STYLE)

# %%
# Threads of one direction, and grains, each with a little noise; two of each, the second an example
# that is not in the mixture.

N = 96
random = torch.Generator().manual_seed(0)
kx, ky = torch.fft.fftfreq(N) * N, torch.fft.fftfreq(N)[:, None] * N


def field(window):
    white = torch.randn(2, N, N, generator=random)
    x = torch.fft.ifft2(torch.fft.fft2(white) * window).real
    return x / x.std()


along, across = (kx + ky) / 2**0.5, (kx - ky) / 2**0.5
threads = field(torch.exp(-((along.abs() - 9) ** 2) / 40 - across**2 / 8))
threads += 0.1 * torch.randn(2, N, N, generator=random)
grains = field(torch.exp(-(kx**2 + ky**2) / 200))
grains = torch.relu(grains - 1.2)  # its peaks
grains = (grains - grains.mean()) / grains.std()
grains += 0.1 * torch.randn(2, N, N, generator=random)
mixture = threads[0] + grains[0]

covariance = ScatteringCovariance((N, N), J=4, L=4)
found = separate(mixture, threads[1], grains[1], covariance, steps=120)
u = found.x[0]

# %%
# Above the mixture and what it was made of, below what was found.

shown = (
    ("mixture", mixture), ("threads", threads[0]), ("grains", grains[0]),
    ("the examples, added", threads[1] + grains[1]), ("threads, found", u),
    ("grains, found", mixture - u),
)  # fmt: skip
figure, axes = plt.subplots(2, 3, figsize=(9, 6.4), layout="constrained")
for axis, (name, x) in zip(axes.flat, shown, strict=True):
    shade(axis, (x / 3.5).clamp(-1, 1), "bilinear")
    axis.set_aspect("equal")
    axis.set(xticks=[], yticks=[], title=name)
plt.show()


def correlation(a, b):
    return float(torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1])


print(f"correlation with the truth: threads {correlation(u, threads[0]):.3f}, "
      f"grains {correlation(mixture - u, grains[0]):.3f}")  # fmt: skip
