"""
An image by order and scale
===========================

The scattering transform of an image is a stack of small images: averages of the image itself, of
moduli of its wavelet coefficients, and of the moduli of theirs. ``meta()`` tells which is which.
"""

import matplotlib.pyplot as plt
import torch
from skimage import data

from scatcuda import Scattering2D
from scatcuda.draw.style import BLUE, GREY, STYLE, shade

plt.rcParams.update(STYLE)

J, L = 3, 8
image = torch.from_numpy(data.camera() / 255).float()
scattering = Scattering2D(J, image.shape, L)
S, meta = scattering(image), scattering.meta()
order, j = meta["order"], meta["j"]
print(f"{tuple(image.shape)} pixels, {tuple(S.shape)} coefficients")

# %%
# Order 0 is the image, blurred: the average over about :math:`2^J` pixels. Order 1 tells how much
# of each scale and angle there is around a place: a row below has a scale, and of the eight angles
# two are shown, whose waves go across and down, and the mean of all. Order 2 tells how order 1
# varies; its sum over all paths is drawn. Shades are square roots, so that faint ones are seen.

figure, axes = plt.subplots(J, 4, figsize=(9, 7), layout="constrained")
for axis in axes.flat:
    axis.set(xticks=[], yticks=[])
axes[0, 0].imshow(image, cmap="gray")
axes[0, 0].set_title("image")
axes[1, 0].imshow(S[0], cmap="gray")
axes[1, 0].set_title("order 0")
second = S[torch.from_numpy(order == 2)].sum(0)
shade(axes[2, 0], (second / second.max()).sqrt(), "nearest")
axes[2, 0].set_title("order 2")
for scale in range(J):
    first = S[torch.from_numpy((order == 1) & (j[:, 0] == scale))]
    maps = {
        "vertical edges": first[0],
        "horizontal edges": first[L // 2],
        "all angles": first.mean(0),
    }
    for axis, (name, values) in zip(axes[scale, 1:], maps.items(), strict=True):
        shade(axis, (values / values.max()).sqrt(), "nearest")
        axis.set_title(name if scale == 0 else "")
    axes[scale, 1].set_ylabel(f"order 1, $j = {scale}$")
for axis in axes.flat:
    axis.set_aspect("equal")

# %%
# How much there is of each order
# -------------------------------
#
# With filters that keep all the energy, ``filters="tight"``, what an order does not keep goes to
# the next one. The share of each path's scales is a bar. Paths whose scales do not increase have
# next to nothing, and are not computed.

tight = Scattering2D(J, image.shape, L, filters="tight")(image)
power = tight.square().mean((1, 2)).double().numpy()
share = power / float(image.square().mean())

names, heights, colours = [], [], []
for scale in range(J):
    names.append(f"{scale}")
    heights.append(share[(order == 1) & (j[:, 0] == scale)].sum())
    colours.append(BLUE)
for first_scale in range(J):
    for second in range(first_scale + 1, J):
        names.append(f"{first_scale}, {second}")
        of_pair = (order == 2) & (j[:, 0] == first_scale) & (j[:, 1] == second)
        heights.append(share[of_pair].sum())
        colours.append(GREY)

figure, axis = plt.subplots(figsize=(8, 3.6), layout="constrained")
axis.bar(names, heights, color=colours, width=0.7)
axis.set(xlabel="scales of the path", ylabel="share of the energy")
axis.spines[["top", "right"]].set_visible(False)
axis.set_title("Order 1 (blue) and order 2 (grey)")
plt.show()
