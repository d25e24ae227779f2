"""
Phases that go together
=======================

Along a filament or an edge the wavelet coefficients of all scales are in phase. Two scales have
other frequencies, so that their product averages to nothing; multiply the phase of the slower by
:math:`2^{j_2 - j_1}`, and it does not. :class:`~scatcuda.WaveletPhaseHarmonics` has such
covariances, also of places that are shifted against each other.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch

from scatcuda import WaveletPhaseHarmonics
from scatcuda.draw.style import BLUE, RUST, STYLE, shade
from scatcuda.synthesis import gaussian_like

plt.rcParams.update(STYLE)

# %%
# Cells with walls, after Voronoi: each pixel's distance to the two nearest of random points is
# compared. And noise of the same power spectrum.

N = 256
random = torch.Generator().manual_seed(2)
points = torch.rand(90, 2, generator=random) * N
grid = torch.stack(torch.meshgrid(torch.arange(N), torch.arange(N), indexing="ij"), -1).reshape(
    -1, 2
)
away = (grid[:, None] - points).abs()
away = torch.minimum(away, N - away).norm(dim=-1).sort(dim=1).values  # periodic
cells = torch.exp(-(((away[:, 1] - away[:, 0]) / 3) ** 2)).view(N, N)
fields = {"cells": cells, "same power spectrum": gaussian_like(cells, seed=1)[0]}

wph = WaveletPhaseHarmonics((N, N), J=5, L=8, dn=4, A=4, normalise="auto")
meta = wph.meta()
kind, same = np.array(meta["class"]), meta["theta1"] == meta["theta2"]
moments = {name: wph(x).abs() for name, x in fields.items()}

# %%
# Below left, the covariances of two scales in phase, ``"Cphase"``, by how many octaves they are
# apart. Right, those of moduli, ``"S00"``, of the finest scale as a function of the shift: walls
# are long, so that where there is one there is another a little further. Both are correlations, 1
# of a plane with itself; in noise there is little of either.

figure = plt.figure(figsize=(9, 7.6), layout="constrained")
upper, lower = figure.subfigures(2, 1, height_ratios=[1.35, 1])
for axis, (name, x) in zip(upper.subplots(1, 2), fields.items(), strict=True):
    shade(axis, (x - x.mean()) / x.abs().max(), "bilinear")
    axis.set_aspect("equal")
    axis.set(xticks=[], yticks=[], title=name)

left, right = lower.subplots(1, 2)
away = meta["j2"] - meta["j1"]
far = np.hypot(*meta["tau"].T)
for (name, found), colour in zip(moments.items(), (BLUE, RUST), strict=True):
    phase = (kind == "Cphase") & same & (meta["n"] == 0)
    octaves = range(1, 5)
    heights = [float(found[torch.from_numpy(phase & (away == d))].mean()) for d in octaves]
    left.bar(
        [d + 0.2 * (1 if colour == RUST else -1) for d in octaves], heights, 0.36, color=colour
    )
    shifted = (kind == "S00") & (meta["j1"] == 0) & (meta["n"] > 0)
    values = [
        float(found[torch.from_numpy(shifted & (meta["n"] == n))].mean()) for n in range(1, 5)
    ]
    lengths = [far[shifted & (meta["n"] == n)].mean() for n in range(1, 5)]
    right.plot(lengths, values, "o-", color=colour, linewidth=2, label=name)
left.set(
    title="Phases of two scales", xlabel="octaves apart", ylabel="correlation", xticks=[*octaves]
)
right.set(title="Moduli of the finest scale", xlabel="shift, pixels", xscale="log", ylim=(0, None))
right.set_xticks([2, 4, 8, 16], ["2", "4", "8", "16"])
right.minorticks_off()
right.legend(frameon=False)
for axis in (left, right):
    axis.spines[["top", "right"]].set_visible(False)
plt.show()
