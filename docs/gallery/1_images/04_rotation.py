"""
Rotations: along angles, too
============================

Turn a texture, and its plain scattering coefficients wander from angle to angle. Averaging them
over angles forgets how the angles lie to each other. Roto-translation scattering filters along
angles with wavelets of their own: it is as still, and forgets less.
"""

import matplotlib.pyplot as plt
import torch
from skimage import data

from scatcuda import RotoTranslationScattering2D, Scattering2D
from scatcuda.draw.style import BLUE, GREY, RUST, STYLE
from scatcuda.learn.analysis.stability import turn

plt.rcParams.update(STYLE)

side, degrees = 128, list(range(0, 91, 5))


def turned(photograph):
    """The middle of a photograph, turned by each of the angles."""
    x = torch.from_numpy(photograph / 255).float()[None, None, :256, :256]
    cut = (256 - side) // 2
    x = torch.cat([turn(x, angle)[0, :, cut:-cut, cut:-cut] for angle in degrees])
    return (x - x.mean((1, 2), keepdim=True)) / x.std((1, 2), keepdim=True)


brick, grass = turned(data.brick()), turned(data.grass())

# %%
# Three representations, each a mean over positions, so that only the rotation matters: plain
# scattering; the same averaged over turns of the image; and the roto-translation transform.

plain = Scattering2D(4, (side, side))
roto = RotoTranslationScattering2D(4, (side, side), pool="mean")


def means(x):
    return plain(x).mean((2, 3))[:, 1:]


def over_turns(x):
    order = torch.from_numpy(plain.meta()["order"])[1:]
    S = means(x)
    first = S[:, order == 1].unflatten(1, (-1, 8)).mean(2)
    second = S[:, order == 2].unflatten(1, (-1, 8, 8))  # of each pair of scales, both angles
    between = [second.roll(-t, 3)[:, :, t].unsqueeze(2) for t in range(8)]
    return torch.cat([first, torch.cat(between, 2).mean(2).flatten(1)], 1)


kinds = {
    "scattering": (means, GREY),
    "averaged over turns": (over_turns, RUST),
    "roto-translation": (lambda x: roto(x)[:, 1:], BLUE),
}

# %%
# How far the brick wall that is turned is from the one that is not, in units of its distance to
# grass: below 1 it is still nearer to itself.

figure = plt.figure(figsize=(9, 4.6), layout="constrained")
grid = figure.add_gridspec(2, 3, width_ratios=[1, 1, 3.2])
for place, (x, angle) in enumerate(((brick, 0), (brick, 45), (grass, 0), (grass, 45))):
    axis = figure.add_subplot(grid[place // 2, place % 2])
    axis.imshow(x[degrees.index(angle)], cmap="gray")
    axis.set(xticks=[], yticks=[], title=f"{angle}°")
axis = figure.add_subplot(grid[:, 2])
for name, (features, colour) in kinds.items():
    ours, others = features(brick), features(grass)
    far = (ours - ours[0]).norm(dim=1) / (ours[0] - others[0]).norm()
    axis.plot(degrees, far, color=colour, linewidth=2, label=name)
axis.set(xlabel="degrees", ylabel="distance to the wall that is not turned", xlim=(0, 90))
axis.set(ylim=(0, None), xticks=[0, 22.5, 45, 67.5, 90])
axis.set_xticklabels(["0", "22.5", "45", "67.5", "90"])
axis.spines[["top", "right"]].set_visible(False)
axis.legend(frameon=False)
axis.set_title("A wall, turned")
plt.show()
