"""
A network whose first layers are wavelets
=========================================

A hybrid network learns a small head on fixed scattering coefficients. On few images it is trained in
seconds, and further than a network of the same kind that starts from pixels.
"""

import matplotlib.pyplot as plt
import torch

from scatcuda.data import digits
from scatcuda.draw.style import BLUE, PALE, STYLE
from scatcuda.learn import evaluate, fit, hybrid, predict, resnet

plt.rcParams.update(STYLE)

x, y = digits()
x = x[:, None]  # [1797, 1, 32, 32]
order = torch.randperm(len(y), generator=torch.Generator().manual_seed(0))
train, test = order[:200], order[200:1000]

# %%
# Both see each of two hundred training images forty times, and are asked about eight hundred others
# after every epoch.

torch.manual_seed(0)
networks = {
    "scattering, then two layers": hybrid(classes=10, shape=(1, 32, 32), J=2, head="mlp"),
    "residual network on pixels": resnet(classes=10, shape=(1, 32, 32), width=8, depth=8),
}
figure, axis = plt.subplots(figsize=(8, 4), layout="constrained")
for (name, network), colour in zip(networks.items(), (BLUE, PALE), strict=True):
    rows = fit(network, (x[train], y[train]), (x[test], y[test]), epochs=20, min_steps=0,
               batch_size=32, lr=0.05, progress=False)  # fmt: skip
    print(name, rows[-1])
