"""
Wavelets that are learned
=========================

With ``trainable="wavelets"`` the frequency, orientation, width and slant of each wavelet are
parameters. They start as the fixed bank, and training moves them to where the classes differ.
"""

import matplotlib.pyplot as plt
import torch

from scatcuda import Scattering2D
from scatcuda.data import textures
from scatcuda.draw.bank import in_frequency
from scatcuda.draw.style import BLUE, STYLE

plt.rcParams.update(STYLE)

# %%
# Patches of brick, grass and gravel; means of the coefficients over positions, their logarithms, a
# linear layer. The wavelets have a learning rate of their own.

patches = textures(per_class=40, test_per_class=60, size=32)
torch.manual_seed(0)
scattering = Scattering2D(J=2, shape=(32, 32), L=8, trainable="wavelets")
before = scattering.bank
layer = torch.nn.Linear(scattering.output_shape[0] - 1, 3)


def scores(x):
    S = scattering(x).mean((2, 3))[:, 1:]  # without order 0: patches have the mean 0
    return layer(torch.log(S + 1e-3))


optimiser = torch.optim.Adam([
    {"params": scattering.learned.parameters(), "lr": 1e-2},
    {"params": layer.parameters(), "lr": 5e-3},
])  # fmt: skip
losses = []
for _ in range(100):
    optimiser.zero_grad()
    loss = torch.nn.functional.cross_entropy(scores(patches.train_x), patches.train_y)
    loss.backward()
    optimiser.step()
    losses.append(loss.item())

with torch.no_grad():
    right = (scores(patches.test_x).argmax(1) == patches.test_y).float().mean()
print(f"{100 * right:.1f} % of the patches for testing right")

# %%
# The bank before and after:

after = scattering.bank
figure, (left, middle, last) = plt.subplots(1, 3, figsize=(9.6, 3.5), layout="constrained")
for axis, bank, name in ((left, before, "at the start"), (middle, after, "learned")):
    in_frequency(axis, bank)
    axis.set_aspect("equal")
    axis.set_title(f"Wavelets {name}")
last.plot(losses, color=BLUE, linewidth=2)
last.set(title="Training loss", xlabel="step", ylim=(0, None))
last.spines[["top", "right"]].set_visible(False)
plt.show()
