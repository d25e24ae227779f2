"""
Stability to deformations
=========================

The modulus of the Fourier transform does not change when an image is shifted, and yet is no good
description: stretch the image a little and its high frequencies move away. Wavelets are wide where
frequencies are high, so that scattering coefficients change in proportion to the deformation.
"""

import matplotlib.pyplot as plt
import torch
from skimage import data

from scatcuda import Scattering2D
from scatcuda.draw.style import BLUE, GREY, RUST, STYLE
from scatcuda.learn.analysis.stability import deform, random_field

plt.rcParams.update(STYLE)

# %%
# A deformation moves each pixel ``u`` to :math:`u - \tau(u)`; what matters is how unlike neighbours
# move, :math:`|\nabla \tau|_\infty`. Here are three of one field, larger and larger.

image = torch.from_numpy(data.brick() / 255).float()[None, None, 128:384, 128:384]
field = random_field(1, image.shape[-2:], torch.Generator().manual_seed(4))

strains = (0, 0.15, 0.3)
figure, axes = plt.subplots(1, 3, figsize=(9, 3.3), layout="constrained")
for axis, strain in zip(axes, strains, strict=True):
    axis.imshow(deform(image, strain * field)[0, 0], cmap="gray")
    axis.set(xticks=[], yticks=[], title=f"$|\\nabla\\tau|_\\infty = {strain}$")

# %%
# The relative change of three representations, all of them made to forget small shifts:

strains = torch.linspace(0, 0.3, 13)
deformed = torch.cat([deform(image, strain * field)[:, 0] for strain in strains])
deformed = deformed - deformed.mean((1, 2), keepdim=True)
scattering = Scattering2D(5, image.shape[-2:])

kinds = {
    "pixels": (deformed, GREY),
    "Fourier modulus": (torch.fft.rfft2(deformed).abs(), RUST),
    "scattering": (scattering(deformed)[:, 1:], BLUE),
}
figure, axis = plt.subplots(figsize=(7, 4), layout="constrained")
for name, (features, colour) in kinds.items():
    rows = features.flatten(1)
    change = (rows - rows[0]).norm(dim=1) / rows[0].norm()
    axis.plot(strains, change, color=colour, linewidth=2, label=name)
axis.set(xlabel=r"$|\nabla\tau|_\infty$", ylabel="relative change", xlim=(0, 0.3), ylim=(0, None))
axis.spines[["top", "right"]].set_visible(False)
axis.legend(frameon=False)
axis.set_title("A wall, deformed")
plt.show()
