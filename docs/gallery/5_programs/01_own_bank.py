"""
Wavelets of your own
====================

Any filters do that are real in Fourier: a :class:`~scatcuda.banks.FilterBank` of them goes where
the name of a built-in bank does. Here are steerable wavelets, bumps on a ring of frequencies times
a power of a cosine, cut so that together with the low-pass they keep all the energy.
"""

import matplotlib.pyplot as plt
import torch
from skimage import data

from scatcuda import Scattering2D
from scatcuda.banks import FilterBank, frame_bounds, padded_shape
from scatcuda.draw.bank import energy, in_frequency
from scatcuda.draw.style import STYLE, shade

plt.rcParams.update(STYLE)

# %%
# The filters
# -----------
#
# They live on the padded image's frequencies. The low-pass is a Gaussian, which must be separable;
# what is left of 1 is shared by the wavelets.

J, L = 3, 8
image = torch.from_numpy(data.coins()[40:296, :256] / 255).float()
M, N = padded_shape(image.shape, J)
wy = 2 * torch.pi * torch.fft.fftfreq(M, dtype=torch.float64)[:, None]
wx = 2 * torch.pi * torch.fft.fftfreq(N, dtype=torch.float64)
wy[M // 2] = torch.pi  # the highest frequency is its own mirror image: count it as positive
radius, angle = torch.hypot(wy, wx).clamp(min=1e-9), torch.atan2(wy, wx)

phi = torch.exp(-(radius**2) * (0.8 * 2 ** (J - 1)) ** 2 / 2)
bumps = []
for j in range(J):
    octaves = torch.log2(radius / (0.75 * torch.pi / 2**j))
    if j == 0:
        octaves = octaves.clamp(max=0)  # up to the corners
    ring = torch.exp(-(octaves**2))
    for theta in range(L):
        turned = torch.cos(angle - torch.pi * theta / L)
        bumps.append(ring * turned.clamp(min=0) ** (L - 1))
psi = torch.stack(bumps).view(J, L, M, N)

mirrored = psi.flip(2, 3).roll((1, 1), (2, 3))
have = (psi**2 + mirrored**2).sum((0, 1)) / 2
psi = psi * ((1 - phi**2).clamp(min=0) / have.clamp(min=1e-30)).sqrt()
bank = FilterBank(psi=psi, phi=phi)
print("bounds of the frame: {:.4f}, {:.4f}".format(*frame_bounds(bank)))

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4.4), layout="constrained")
in_frequency(left, bank)
left.set_aspect("equal")
left.set_title("Filters at half power")
energy(right, bank)
right.set_title("Littlewood–Paley sum")

# %%
# The transform
# -------------
#
# Everything else is as with Morlet's: here the first order, all angles, scale by scale.

scattering = Scattering2D(J, image.shape, L, filters=bank)
S = scattering(image)
first = S[1 : 1 + J * L].unflatten(0, (J, L)).mean(1)

figure, axes = plt.subplots(1, J + 1, figsize=(9, 2.7), layout="constrained")
axes[0].imshow(image, cmap="gray")
axes[0].set_title("image")
for j, axis in enumerate(axes[1:]):
    shade(axis, first[j] / first[j].max(), "nearest")
    axis.set_aspect("equal")
    axis.set_title(f"order 1, $j = {j}$")
for axis in axes:
    axis.set(xticks=[], yticks=[])
plt.show()
