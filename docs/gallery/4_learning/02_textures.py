"""
Textures, upright and turned
============================

Brick, grass and gravel, learned from upright patches and asked for patches that are turned by any
angle. Plain scattering has never seen these; averaged over rotations, or along angles in the
roto-translation transform, it need not have.
"""

import matplotlib.pyplot as plt
import numpy as np

from scatcuda.data import textures
from scatcuda.draw.style import BLUE, GREY, PALE, STYLE
from scatcuda.learn import PCAAffineClassifier, ScatteringTransformer

plt.rcParams.update(STYLE)

turned = textures(per_class=20, test_per_class=60, rotate=True)
upright = textures(per_class=20, test_per_class=60)
print(turned)

# %%
# Some of the patches that are trained with, and of those that are asked for:

figure, axes = plt.subplots(3, 6, figsize=(8, 4.3), layout="constrained")
for k, row in enumerate(axes):
    known = turned.train_x[turned.train_y == k][:3]
    asked = turned.test_x[turned.test_y == k][:3]
    for axis, patch in zip(row, [*known, *asked], strict=True):
        axis.imshow(patch, cmap="gray", vmin=-2, vmax=2.5)
        axis.set(xticks=[], yticks=[])
    row[0].set_ylabel(turned.classes[k])
axes[0, 1].set_title("for training")
axes[0, 4].set_title("to be told")

# %%
# Three representations without positions, and the nearest affine space of each class:

kinds = {
    "scattering": {"J": 4, "pool": "mean"},
    "averaged over turns": {"J": 4, "pool": "rotation"},
    "roto-translation": {"J": 4, "scattering": "roto-translation", "pool": "mean"},
}
found = {}
for name, options in kinds.items():
    features = ScatteringTransformer(**options, log=True).fit(turned.train_x)
    classifier = PCAAffineClassifier("all").fit(features.transform(turned.train_x), turned.train_y)
    found[name] = [
        100 * classifier.score(features.transform(some.test_x), some.test_y)
        for some in (upright, turned)
    ]

places = np.arange(len(found))
figure, axis = plt.subplots(figsize=(8, 3), layout="constrained")
for shift, which, colour in ((-0.19, 0, PALE), (0.19, 1, BLUE)):
    heights = [pair[which] for pair in found.values()]
    bars = axis.barh(
        places + shift, heights, 0.34, color=colour, label=("upright", "turned")[which]
    )
    axis.bar_label(bars, fmt="%.1f", padding=4, color=GREY, fontsize=10)
axis.set_yticks(places, list(found))
axis.invert_yaxis()
axis.set(xlim=(0, 110), xticks=[0, 50, 100], xlabel="per cent right")
axis.spines[["top", "right"]].set_visible(False)
axis.legend(frameon=False, ncols=2, loc="lower right", bbox_to_anchor=(1, 1))
plt.show()
