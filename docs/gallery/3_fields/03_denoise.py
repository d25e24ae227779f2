"""
What was there before the noise
===============================

Of an observed field one knows its noise, not itself. :func:`~scatcuda.synthesis.denoise` looks for
the field that has the statistics of the observed one *once noise is added to it*: no filter is
applied, and structures stay as sharp as they were.
"""

import matplotlib.pyplot as plt
import torch

from scatcuda import ScatteringCovariance
from scatcuda.draw.style import BLUE, GREY, RUST, STYLE, shade
from scatcuda.synthesis import denoise, power_spectrum

plt.rcParams.update(STYLE)

# %%
# Filaments: where a smooth random field is near zero. Then noise. Of it we have other realisations.
# Few steps do: the longer the descent, the more the field learns of these realisations.

N = 128
random = torch.Generator().manual_seed(1)
k = (torch.fft.fftfreq(N)[:, None].square() + torch.fft.fftfreq(N).square()).sqrt() * N
white = torch.randn(N, N, generator=random)
smooth = torch.fft.ifft2(torch.fft.fft2(white) * torch.exp(-((k / 5) ** 2))).real
clean = torch.exp(-((smooth / smooth.std() / 0.4) ** 2))
noise = 0.25 * torch.randn(25, N, N, generator=random)
observed = clean + noise[0]

found = denoise(observed, noise[1:], ScatteringCovariance((N, N), J=5, L=4), steps=12)

# %%
# A Wiener filter, which knows both power spectra exactly, for comparison:

spectra = [torch.fft.fft2(x - x.mean()).abs().square() for x in (clean, noise[0])]
gain = spectra[0] / (spectra[0] + spectra[1].mean())
wiener = torch.fft.ifft2(torch.fft.fft2(observed - observed.mean()) * gain).real + observed.mean()

shown = {"truth": clean, "observed": observed, "denoised": found.x[0], "Wiener filter": wiener}
figure, axes = plt.subplots(2, 2, figsize=(7, 7.3), layout="constrained")
for axis, (name, x) in zip(axes.flat, shown.items(), strict=True):
    shade(axis, x.clamp(-1, 1), "nearest")
    axis.set_aspect("equal")
    axis.set(xticks=[], yticks=[], title=name)

# %%
# The power spectra, and the pixels' histograms:

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
colours = {"truth": GREY, "observed": "#d08a2e", "denoised": BLUE, "Wiener filter": RUST}
for name, x in shown.items():
    left.loglog(power_spectrum(x)[1:], color=colours[name], linewidth=2, label=name)
    right.hist(
        x.flatten(), 60, range=(-0.6, 1.6), histtype="step", color=colours[name], linewidth=1.5
    )
left.set(title="Power spectrum", xlabel="wavenumber")
left.legend(frameon=False)
right.set(title="Pixels", yticks=[])
for axis in (left, right):
    axis.spines[["top", "right"]].set_visible(False)
plt.show()
