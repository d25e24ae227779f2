"""
A network whose first layers are wavelets
=========================================

A hybrid network learns a small head on fixed scattering coefficients. Where images are few, that is
less to learn than a network on pixels has.
"""

import matplotlib.pyplot as plt
import torch

from scatcuda.data import digits
from scatcuda.draw.style import BLUE, RUST, STYLE
from scatcuda.learn import fit, hybrid, predict, resnet

plt.rcParams.update(STYLE)

x, y = digits(16)
x = x[:, None]  # [1797, 1, 16, 16]
order = torch.randperm(len(y), generator=torch.Generator().manual_seed(0))
train, test = order[:100], order[100:600]

# %%
# Both learn from the same hundred images, ten of a class or so, and are asked about five hundred
# others now and then.

torch.manual_seed(0)
shape = (1, 16, 16)
networks = {
    "scattering, two layers": hybrid(classes=10, shape=shape, J=2, head="mlp"),
    "residual network": resnet(classes=10, shape=shape, width=8, depth=8),
}
colours = dict(zip(networks, (BLUE, RUST), strict=True))

figure, axis = plt.subplots(figsize=(8, 4), layout="constrained")
for name, network in networks.items():
    rows = fit(network, (x[train], y[train]), (x[test], y[test]), epochs=15, min_steps=0,
               batch_size=20, lr=0.05, progress=False)  # fmt: skip
    asked = [row for row in rows if "val_accuracy" in row]
    epochs, seen = zip(*((row["epoch"], 100 * row["val_accuracy"]) for row in asked), strict=True)
    axis.plot(epochs, seen, "o-", color=colours[name], linewidth=2, label=name)
axis.set(
    xlabel="epoch", ylabel="per cent of the others right", xticks=[1, 5, 10, 15], ylim=(0, 100)
)
axis.grid(axis="y", color="0.92")
axis.spines[["top", "right"]].set_visible(False)
axis.legend(frameon=False, loc="lower right")
axis.set_title("A hundred training images")

# %%
# What the hybrid still gets wrong, with what it said:

network = networks["scattering, two layers"]
said = predict(network, x[test]).argmax(1)
wrong = (said != y[test]).nonzero()[:12, 0]
figure, axes = plt.subplots(2, 6, figsize=(8, 3.2), layout="constrained")
for axis in axes.flat:
    axis.set_axis_off()
for axis, n in zip(axes.flat, wrong, strict=False):
    axis.imshow(x[test[n], 0], cmap="gray_r")
    axis.set_title(f"a {y[test[n]]}, said {said[n]}")
plt.show()
