"""
An image from its coefficients
==============================

What do the coefficients know? :func:`~scatcuda.synthesis.invert` looks for an image that has the
coefficients that are given, by gradient descent from noise. Over :math:`2^J` pixels the first order
forgets where things are, and the second brings much of it back.
"""

import matplotlib.pyplot as plt
import torch
from skimage import data, transform

from scatcuda import Scattering2D
from scatcuda.draw.style import BLUE, GREY, STYLE
from scatcuda.synthesis import invert, psnr

plt.rcParams.update(STYLE)

side, J = 96, 4
face = transform.resize(data.astronaut()[0:210, 120:330].mean(2) / 255, (side, side))
image = torch.from_numpy(face).float()

found = {}
for max_order in (1, 2):
    scattering = Scattering2D(J, image.shape, max_order=max_order)
    S = scattering(image)
    found[max_order] = invert(S, scattering, steps=150, mean=float(image.mean()), scale=0.1)
    print(f"order {max_order}: {S.numel()} coefficients of {image.numel()} pixels, "
          f"{psnr(found[max_order].x[0], image):.1f} dB")  # fmt: skip

# %%
# Order 0 alone is the blurred image, one pixel for :math:`2^J × 2^J`.

shown = {
    "image": image,
    "order 0": Scattering2D(J, image.shape, max_order=0)(image)[0],
    "from order 1": found[1].x[0],
    "from orders 1 and 2": found[2].x[0],
}
figure, axes = plt.subplots(2, 2, figsize=(7, 7.3), layout="constrained")
for axis, (name, x) in zip(axes.flat, shown.items(), strict=True):
    axis.imshow(x, cmap="gray", vmin=0, vmax=1)
    axis.set(xticks=[], yticks=[], title=name)

# %%
# The descent, step by step: the squared distance of the coefficients, relative to their squares.

figure, axis = plt.subplots(figsize=(7, 3), layout="constrained")
for max_order, colour in ((1, GREY), (2, BLUE)):
    history = [entry["loss"] for entry in found[max_order].history]
    axis.semilogy(history, color=colour, linewidth=2, label=f"orders up to {max_order}")
axis.set(xlabel="step", ylabel="relative distance²")
axis.spines[["top", "right"]].set_visible(False)
axis.legend(frameon=False)
plt.show()
