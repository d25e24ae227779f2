"""
A program of your own: a Haar tree
==================================

The engines know nothing of scales, angles or orders. They run *programs*, short tables of steps:
filter what another step has made, take the modulus, average. Here is one that no class has: a
binary tree of sums and differences, Haar scattering (X. Cheng, X. Chen and S. Mallat, "Deep Haar
scattering networks", 2016).
"""

import math

import matplotlib.pyplot as plt
import torch

from scatcuda import ops
from scatcuda.draw.style import BLUE, STYLE, shade
from scatcuda.program import Axis, Builder, X
from scatcuda.program.packing import pack_program

plt.rcParams.update(STYLE)

# %%
# The program
# -----------
#
# Each plane ``U`` of a level makes two of the next one, half the sum and half the difference of
# samples that are :math:`2^{l+1}` apart,
#
# .. math:: \tfrac12 |U(u + 2^l) + U(u - 2^l)|, \qquad \tfrac12 |U(u + 2^l) - U(u - 2^l)|.
#
# A step has a set of filters, real and in Fourier; those of the sum and the difference are
# :math:`\cos(2^l k)` and, but for a factor :math:`i` that a modulus does not see, :math:`\sin(2^l
# k)`. The mean of each plane is a coefficient.

N, levels = 1024, 7
builder, filters, source = Builder(Axis(N)), [], X
builder.mean(X)
k = 2 * math.pi * torch.fft.fftfreq(N, dtype=torch.float64)
for level in range(levels):
    filters.append(torch.stack([torch.cos(2**level * k), torch.sin(2**level * k)]))
    source = builder.wavelet(source, builder.set(2, N))
    builder.mean(source)
program = builder.build()
bank = pack_program(program, filters, [], torch.float32)

# %%
# In words, as the engines read it:

print(program.text.replace(";", "\n"))

# %%
# Signals
# -------
#
# None is negative, so that a sum is its own modulus.

t = torch.arange(N) / N
random = torch.Generator().manual_seed(0)
steps = (torch.rand(16, generator=random) + 0.2).repeat_interleave(N // 16)
clicks = torch.zeros(N)
clicks[torch.randint(0, N, (24,), generator=random)] = 1.0
signals = {
    "a wave": 1 + torch.cos(2 * math.pi * 64 * t),
    "steps": steps,
    "clicks": clicks,
    "noise": torch.rand(N, generator=random),
}
x = torch.stack(list(signals.values()))
S = ops.scattering(x, *bank, program.text)
print(tuple(S.shape), "coefficients")

# %%
# The same by hand, for a check, with the paths in the same order:

planes, by_hand = x[:, None], [x.mean(1, keepdim=True)]
for level in range(levels):
    ahead, behind = planes.roll(-(2**level), 2), planes.roll(2**level, 2)
    planes = torch.stack([(ahead + behind).abs(), (ahead - behind).abs()], 2).flatten(1, 2) / 2
    by_hand.append(planes.mean(2))
print(f"largest difference {(S - torch.cat(by_hand, 1)).abs().max():.1e}")

# %%
# The trees: a row a level, under each node its sum on the left, its difference on the right. The
# shade is the mean relative to the signal's, in decibels. Steps have next to no differences of
# neighbours; of clicks, which meet none of their kind, sums and differences are alike.

figure, axes = plt.subplots(4, 2, figsize=(9, 7), layout="constrained", width_ratios=[1, 2])
for (left, right), (name, signal), row in zip(axes, signals.items(), S, strict=True):
    left.plot(signal, color=BLUE, linewidth=0.7)
    left.set(xlim=(0, N), xticks=[], yticks=[], title=name)
    tree = torch.stack([
        means.repeat_interleave(2**levels // len(means))
        for means in row.split([2**level for level in range(levels + 1)])
    ])  # fmt: skip
    decibels = 20 * (tree / row[0]).clamp(min=1e-9).log10()
    shade(right, 1 + (decibels / 40).clamp(min=-1), "nearest", extent=(0, 1, levels + 1, 0))
    for level in range(1, levels + 1):
        right.hlines(level, 0, 1, color="white", linewidth=1)
        right.vlines([n / 2**level for n in range(1, 2**level)], level, level + 1,
                     color="white", linewidth=0.5)  # fmt: skip
    right.set(xticks=[], yticks=[0.5, levels + 0.5])
    right.set_yticklabels(["signal", f"level {levels}"])
plt.show()
