"""
What invariance to shifts means
===============================

An image that is moved by a few pixels differs from itself in nearly every pixel. Its scattering
coefficients are averages over :math:`2^J` pixels: a shift by much less changes them little. The
larger ``J``, the longer the shifts that do not matter, and the less one knows where things are.
"""

import matplotlib.pyplot as plt
import torch
from skimage import data

from scatcuda import Scattering2D
from scatcuda.draw.style import GREY, STYLE, scale_colours

plt.rcParams.update(STYLE)

photograph = torch.from_numpy(data.camera() / 255).float()
side, shifts = 256, range(0, 33, 4)


def window(shift):
    """A part of the photograph, so many pixels further to the right."""
    return photograph[100 : 100 + side, 100 + shift : 100 + shift + side]


moved = torch.stack([window(shift) for shift in shifts])

# %%
# The relative distance between the image and the one that is moved, for the pixels without their
# mean and for scattering coefficients of several scales. Order 0, the blurred image, is left out,
# so that it is the details that are compared: with a small ``J`` they are further apart than the
# pixels, which light and shade keep near.


def distances(features):
    features = features.flatten(1)
    return (features - features[0]).norm(dim=1) / features[0].norm()


figure = plt.figure(figsize=(9, 4.6), layout="constrained")
grid = figure.add_gridspec(2, 2, width_ratios=[1, 2.4])
for row, shift in enumerate((0, 32)):
    axis = figure.add_subplot(grid[row, 0])
    axis.imshow(window(shift), cmap="gray", vmin=0, vmax=1)
    axis.set(xticks=[], yticks=[], title="image" if shift == 0 else f"moved by {shift} pixels")
axis = figure.add_subplot(grid[:, 1])
pixels = distances(moved - moved.mean())
axis.plot(shifts, pixels, color=GREY, linewidth=2)
axis.annotate("pixels", (shifts[-1], pixels[-1]), (5, 0),
              textcoords="offset points", color=GREY, va="center")  # fmt: skip
for J, colour in zip(range(2, 7), scale_colours(5), strict=True):
    scattering = Scattering2D(J, (side, side))
    found = distances(scattering(moved)[:, 1:])
    axis.plot(shifts, found, color=colour, linewidth=2)
    axis.annotate(f"J = {J}", (shifts[-1], found[-1]), (5, 0), textcoords="offset points",
                  color=colour, va="center")  # fmt: skip
axis.set(xlabel="shift in pixels", ylabel="relative distance", xlim=(0, 36), ylim=(0, None))
axis.spines[["top", "right"]].set_visible(False)
axis.set_title("How far the features of a shifted image are")
plt.show()
