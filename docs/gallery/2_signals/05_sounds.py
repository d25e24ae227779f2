"""
Sounds told apart by how they move
==================================

Six kinds of synthetic sounds, as short as syllables and each at a random pitch, with noise: what
tells them apart is how their frequencies move. A linear classifier on joint time–frequency
scattering, averaged over time and pitch, learns them from a few examples; on plain scattering of
the same bands it confuses what rises with what falls.
"""

import math

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import confusion_matrix
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from scatcuda import Scattering1D, TimeFrequencyScattering, scalogram
from scatcuda.draw.style import STYLE, shade

plt.rcParams.update(STYLE)

# %%
# The kinds differ in their log-frequency as a function of time, from -1 to 1, in octaves:

N, rate = 4096, 8192
KINDS = {
    "rises": lambda t: 0.6 * t,
    "falls": lambda t: -0.6 * t,
    "arch": lambda t: 0.6 - 1.2 * t**2,
    "valley": lambda t: 1.2 * t**2 - 0.6,
    "trills": lambda t: 0.15 * torch.sin(40 * t),
    "stays": lambda t: 0 * t,
}


def sound(kind, random):
    """A voice of several harmonics at a random pitch, loudness and place, in noise."""
    pitch, place, length = (float(v) for v in torch.rand(3, generator=random))
    t = (torch.linspace(-1, 1, N) - 0.3 * (place - 0.5)) * (1.1 + 0.4 * length)
    frequency = 220 * 2 ** (1.5 * pitch + KINDS[kind](t.clamp(-1, 1)))
    phase = 2 * math.pi * torch.cumsum(frequency, 0) / rate
    voice = sum(torch.sin(k * phase) / k for k in range(1, 5)) * torch.exp(-3 * t**2)
    return voice + 0.2 * torch.randn(N, generator=random)


random = torch.Generator().manual_seed(0)
names = list(KINDS)
labels = np.repeat(np.arange(len(names)), 40)
sounds = torch.stack([sound(names[k], random) for k in labels])
train = np.arange(len(labels)) % 40 < 10  # ten of each kind

# %%
# Two representations with nothing left of time, their logarithms taken. The sums are over the whole
# padded signal: padded by reflections it would be heard backwards, too, and rising be falling.

plain = Scattering1D(8, N, 12, T="global", padding="zeros")
joint = TimeFrequencyScattering(
    J=8, J_fr=4, Q=12, shape=N, T="global", F="global", format="joint", padding="zeros"
)
features = {
    "plain": torch.log(plain(sounds)[:, 1:].flatten(1) + 1e-3).numpy(),  # without order 0
    "joint": torch.log(joint(sounds).flatten(1) + 1e-3).numpy(),
}

figure, axes = plt.subplots(1, 2, figsize=(9, 5.4), layout="constrained", sharey=True)
for axis, (name, x) in zip(axes, features.items(), strict=True):
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))
    model.fit(x[train], labels[train])
    found = model.predict(x[~train])
    table = confusion_matrix(labels[~train], found)
    shade(axis, torch.from_numpy(table / table.sum(1, keepdims=True)), "nearest")
    axis.set_aspect("equal")
    for row, column in np.argwhere(table):
        colour = "white" if table[row, column] > 15 else "black"
        axis.text(column, row, table[row, column], ha="center", va="center", color=colour)
    axis.set_xticks(range(len(names)), names, rotation=45, ha="right")
    axis.set_yticks(range(len(names)), names)
    axis.set_title(f"{name} scattering: {(found == labels[~train]).mean():.0%} right")
    axis.set_xlabel("said to be")
axes[0].set_ylabel("is")
plt.show()

# %%
# One sound of each kind, by its scalogram:

figure, axes = plt.subplots(2, 3, figsize=(9, 4.4), layout="constrained")
for k, axis in enumerate(axes.flat):
    moduli = scalogram(sounds[40 * k], 8, 12, samples=500).values
    shade(axis, (moduli / moduli.max()).sqrt(), "nearest")
    axis.set(xticks=[], yticks=[], title=names[k])
plt.show()
