"""
A texture from its statistics
=============================

:class:`~scatcuda.ScatteringCovariance` keeps how wavelet coefficients of a field and their moduli
vary together. :func:`~scatcuda.synthesis.synthesise` makes another field with the same numbers,
from noise of the same power spectrum, which alone makes no texture.
"""

import matplotlib.pyplot as plt
import torch
from skimage import data, transform

from scatcuda import ScatteringCovariance
from scatcuda.draw.style import COLOURS, STYLE
from scatcuda.synthesis import gaussian_like, synthesise

plt.rcParams.update(STYLE)

side = 128
textures = {"brick": data.brick(), "grass": data.grass(), "gravel": data.gravel()}
covariance = ScatteringCovariance((side, side), J=5, L=4)
made = {}
for name, photograph in textures.items():
    small = torch.from_numpy(transform.resize(photograph[:384, :384] / 255, (side, side)))
    made[name] = synthesise(small.float(), covariance, steps=120)

# %%
# The photograph, noise of its power spectrum, and what was made. The statistics hold nothing of the
# places: bricks have other joints, and none of the pixels is copied.

figure, axes = plt.subplots(3, 3, figsize=(8, 8.2), layout="constrained")
for row, (name, found) in zip(axes, made.items(), strict=True):
    target = found.target
    shown = (target, gaussian_like(target)[0], found.x[0])
    low, high = target.quantile(torch.tensor([0.005, 0.995])).tolist()
    for axis, x in zip(row, shown, strict=True):
        axis.imshow(x, cmap="gray", vmin=low, vmax=high)
        axis.set(xticks=[], yticks=[])
    row[0].set_ylabel(name)
for axis, name in zip(
    axes[0], ("photograph", "same power spectrum", "same covariances"), strict=True
):
    axis.set_title(name)
plt.show()

# %%
# How near the numbers are, block by block:

for name, found in made.items():
    errors = ", ".join(f"{block} {error:.2%}" for block, error in found.errors.items())
    print(f"{name:7}{errors}")

# %%
# And the descent:

figure, axis = plt.subplots(figsize=(8, 3), layout="constrained")
for (name, found), colour in zip(made.items(), COLOURS[1:], strict=False):
    axis.semilogy([entry["loss"] for entry in found.history], color=colour, lw=2, label=name)
axis.set(xlabel="step", ylabel="distance² of the statistics")
axis.spines[["top", "right"]].set_visible(False)
axis.legend(frameon=False)
plt.show()
