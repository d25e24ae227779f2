"""
Up or down? Jointly in time and log-frequency
=============================================

Play a sound backwards, and the averages of its scalogram over time are the same; scattering of each
band alone hardly tells a chirp that rises from one that falls. Wavelets of time *and*
log-frequency do: they have a spin.
"""

import math

import matplotlib.pyplot as plt
import torch

from scatcuda import Scattering1D, TimeFrequencyScattering, scalogram
from scatcuda.draw.style import BLUE, RUST, STYLE, shade

plt.rcParams.update(STYLE)

# %%
# Two sounds, mirror images of each other in time:

N = 8192
t = torch.arange(N) / N
phase = 2 * math.pi * 150 / math.log(2) / 3 * (2 ** (3 * t) - 1)
rises = torch.sin(phase) * torch.hann_window(N)
sounds = {"a chirp that rises": rises, "the same, backwards": rises.flip(0)}

# %%
# How much of the second order has which spin. The sums of ``T="global"`` are over the whole padded
# signal, so that it must not be padded by its reflections, which have the other spin.

joint = TimeFrequencyScattering(
    J=9, J_fr=4, Q=12, shape=N, T="global", F="global", format="joint", padding="zeros"
)
meta = joint.meta()
spin = torch.from_numpy(meta["spin"])

figure, axes = plt.subplots(2, 2, figsize=(9, 5.6), layout="constrained", width_ratios=[1.7, 1])
for (name, x), (left, right) in zip(sounds.items(), axes, strict=True):
    moduli = scalogram(x, 9, 12, samples=800).values
    shade(left, moduli / moduli.max(), "nearest", extent=(0, 1, len(moduli), 0))
    left.set(title=f"Scalogram of {name}", xlabel="time", xticks=[], yticks=[])
    left.set_ylabel("log-frequency")
    S = joint(x).flatten(1).sum(1)
    energy = [float(S[spin == s].sum()) for s in (1, -1)]
    right.barh(["spin +1", "spin −1"], energy, color=[BLUE, RUST], height=0.6)
    right.set(title="Second order by spin", xticks=[])
    right.invert_yaxis()
    right.spines[["top", "right", "bottom"]].set_visible(False)

# %%
# Scattering of each band alone sees the two as nearly one. The relative distance between the
# sounds:

separate = Scattering1D(9, N, 12, T="global", padding="zeros")
for name, transform in (("separable", separate), ("joint", joint)):
    a, b = transform(rises), transform(rises.flip(0))
    print(f"{name:10} {(a - b).norm() / a.norm():.3f}")
plt.show()
