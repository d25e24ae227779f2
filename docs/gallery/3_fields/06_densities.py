"""
Densities that turn in space
============================

:class:`~scatcuda.HarmonicScattering3D` filters densities with solid harmonics of several degrees
and takes the norm over each degree: whichever way a molecule is turned, its coefficients are the
same. Molecules of other shapes have others.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch
from scipy.spatial.transform import Rotation

from scatcuda import HarmonicScattering3D
from scatcuda.draw.style import COLOURS, STYLE, shade

plt.rcParams.update(STYLE)

# %%
# Caricatures of molecules, as places of atoms in voxels; a density is a sum of Gaussians.

N = 48
SHAPES = {
    "chain": np.array([[x, 0, 0] for x in (-9, -3, 3, 9)], float),
    "bent": np.array([[-6, -4, 0], [-3, 2, 0], [3, 2, 0], [6, -4, 0]], float),
    "square": np.array([[-4, -4, 0], [-4, 4, 0], [4, -4, 0], [4, 4, 0]], float),
    "tetrahedron": 4.0 * np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]),
}
axis_of = torch.arange(N) - N / 2


def density(places):
    """``[N, N, N]``, of atoms two voxels wide."""
    places = torch.as_tensor(places, dtype=torch.float32)
    along = [torch.exp(-((axis_of - places[:, i : i + 1]) ** 2) / 8) for i in range(3)]
    return torch.einsum("ax,ay,az->xyz", *along)


turns = Rotation.random(8, random_state=0)
densities = torch.stack([
    density(turn.apply(places)) for places in SHAPES.values() for turn in turns
])  # fmt: skip

# %%
# Eight random turns of each; projections of three are drawn. The coefficients of one power of the
# integrals, 16 numbers a density, are reduced to their two principal components: a cross for each
# turn, all eight in one place.

scattering = HarmonicScattering3D(J=2, shape=(N, N, N), L=3, integral_powers=(1.0,))
S = scattering(densities).flatten(1)
centred = torch.log(S) - torch.log(S).mean(0)
components = torch.linalg.svd(centred, full_matrices=False).Vh[:2]
places = centred @ components.T

figure = plt.figure(figsize=(9, 4.8), layout="constrained")
left, right = figure.subfigures(1, 2, width_ratios=[1, 1])
for row, (axes, name) in enumerate(zip(left.subplots(4, 3), SHAPES, strict=True)):
    for turn, axis in enumerate(axes):
        projection = densities[8 * row + turn].sum(2)[8:-8, 8:-8]
        shade(axis, projection / projection.max(), "bilinear")
        axis.set_aspect("equal")
        axis.set(xticks=[], yticks=[])
    axes[0].set_ylabel(name, rotation=0, ha="right", va="center")
axis = right.subplots()
for row, (name, colour) in enumerate(zip(SHAPES, COLOURS, strict=False)):
    x, y = places[8 * row : 8 * row + 8].T
    axis.scatter(x, y, marker="x", s=70, color=colour)
    axis.annotate(
        name, (x[0], y[0]), (0, 10), textcoords="offset points", ha="center", color=colour
    )
axis.margins(0.2)
axis.set(title="Eight turns of each", xlabel="first component", ylabel="second component")
axis.set(xticks=[], yticks=[])
axis.spines[["top", "right"]].set_visible(False)
plt.show()

# %%
# How far a turn moves the coefficients, and how far another shape has others:

rows = centred.unflatten(0, (len(SHAPES), 8))
within = (rows - rows.mean(1, keepdim=True)).norm(dim=2).mean()
between = (rows.mean(1) - rows.mean((0, 1))).norm(dim=1).mean()
print(f"within a shape {within:.4f}, between shapes {between:.4f}")
