"""
Same power spectrum, other statistics
=====================================

A log-normal field, a caricature of how matter is spread in the universe, and a Gaussian one with
the same power spectrum look nothing alike. The power spectrum cannot tell them apart; the
scattering covariances can, and say what the difference is.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch

from scatcuda import ScatteringCovariance
from scatcuda.draw.style import BLUE, RUST, STYLE, shade
from scatcuda.synthesis import gaussian_like, power_spectrum

plt.rcParams.update(STYLE)

# %%
# Sixteen fields of each kind:

N = 256
random = torch.Generator().manual_seed(0)
k = (torch.fft.fftfreq(N)[:, None].square() + torch.fft.fftfreq(N).square()).sqrt() * N
white = torch.randn(16, N, N, generator=random)
g = torch.fft.ifft2(torch.fft.fft2(white) / (3 + k) ** 1.5).real
g = g / g.std((1, 2), keepdim=True)
lognormal = torch.exp(g)
lognormal = (lognormal - lognormal.mean((1, 2), keepdim=True)) / lognormal.std((1, 2), keepdim=True)
gaussian = torch.cat([gaussian_like(x, seed=n) for n, x in enumerate(lognormal)])

covariance = ScatteringCovariance((N, N), J=6, L=4, isotropic=True)
sets = {"log-normal": (lognormal, BLUE), "Gaussian": (gaussian, RUST)}


def band(axis, x, rows, colour, name):
    """Mean and deviation over the fields."""
    mean, deviation = rows.mean(0), rows.std(0)
    axis.plot(x, mean, color=colour, linewidth=2, label=name)
    axis.fill_between(x, mean - deviation, mean + deviation, color=colour, alpha=0.2, lw=0)


# %%
# The fields above, below their power spectra; the sparsity :math:`\langle|W x|\rangle^2 / \langle
# |W x|^2 \rangle`, which for a Gaussian field is :math:`\pi/4` where a scale has many wavelengths;
# and the modulus of S3, by how many octaves the two wavelets are apart: how scales know of each
# other, next to nothing in a Gaussian field.

figure = plt.figure(figsize=(9, 7.4), layout="constrained")
upper, lower = figure.subfigures(2, 1, height_ratios=[1.35, 1])
for axis, (name, (x, _)) in zip(upper.subplots(1, 2), sets.items(), strict=True):
    shade(axis, (x[0] / 4).clamp(-1, 1), "bilinear")
    axis.set_aspect("equal")
    axis.set(xticks=[], yticks=[], title=name)
spectra, sparsity, scales = lower.subplots(1, 3)
for name, (x, colour) in sets.items():
    band(spectra, np.arange(1, N // 2 + 1), power_spectrum(x)[:, 1:], colour, name)
    blocks = covariance.statistics(x)
    S1 = blocks["S1"]
    band(
        sparsity, np.arange(S1.shape[1]), S1.reshape(16, S1.shape[1], -1).mean(2) ** 2, colour, name
    )
    pairs = np.array([(a, b) for a in range(6) for b in range(a, 6)])
    S3 = blocks["S3"].abs().flatten(2).mean(2)
    apart = pairs[:, 1] - pairs[:, 0]
    rows = torch.stack([S3[:, torch.from_numpy(apart == d)].mean(1) for d in range(6)], 1)
    band(scales, np.arange(6), rows, colour, name)
spectra.set(xscale="log", yscale="log", title="Power spectrum", xlabel="wavenumber")
sparsity.set(title="Sparsity", xlabel="scale $j$", ylim=(0.3, 1))
sparsity.axhline(np.pi / 4, color="0.7", linewidth=1, zorder=0)
scales.set(title="|S3|", xlabel="octaves apart", ylim=(0, None))
for axis in (spectra, sparsity, scales):
    axis.spines[["top", "right"]].set_visible(False)
spectra.legend(frameon=False)
plt.show()
