"""
A sound, its scalogram and its coefficients
===========================================

A chirp, a tone that trembles, and clicks: the scalogram has the moduli of their wavelet
coefficients, time to the right and frequency upwards. The first order of scattering averages it
over time; the second tells how fast each band trembled.
"""

import math

import matplotlib.pyplot as plt
import torch

from scatcuda import Scattering1D, scalogram
from scatcuda.draw.style import BLUE, STYLE, shade

plt.rcParams.update(STYLE)

# %%
# Two seconds of sound, 8192 samples each:

rate, seconds = 8192, 2
t = torch.arange(rate * seconds) / rate
chirp = 0.5 * torch.sin(2 * math.pi * 125 / (3 * math.log(2)) * (2 ** (3 * t) - 1)) * (t < 1)
tremolo = 0.5 * torch.sin(2 * math.pi * 1000 * t) * (1 + torch.cos(2 * math.pi * 24 * t)) / 2
x = chirp + tremolo * (t >= 1)
x[(torch.tensor([0.2, 0.4, 0.6, 0.8]) * rate).long()] += 3.0
N = len(x)

# %%
# The moduli of the wavelets of the first order, 1024 of them over time.

J, Q = 10, 12
moduli = scalogram(x, J, Q, samples=1024).values

# %%
# The same bands, averaged over :math:`2^{10}` samples, and the second order of the band of 1000 Hz.

scattering = Scattering1D(J, N, Q)
S, meta = scattering(x), scattering.meta()
order = torch.from_numpy(meta["order"])
xi = meta["xi"] * rate  # hertz
bands = [float(f) for f in xi[meta["order"] == 1, 0]]
first = S[order == 1]
band = min(range(len(bands)), key=lambda n: abs(bands[n] - 1000))
in_band = [k for k, key in enumerate(meta["key"]) if len(key) == 2 and key[0] == band]
second, rates = S[in_band], [float(f) for f in xi[in_band, 1]]


def draw(axis, values, frequencies, marks):
    """Rows by falling frequency, 50 dB of them."""
    level = 20 * (values / values.max()).clamp(min=1e-9).log10()
    shade(axis, 1 + (level / 50).clamp(min=-1), "nearest",
          extent=(0, seconds, len(values), 0))  # fmt: skip
    rows = [min(range(len(frequencies)), key=lambda n: abs(frequencies[n] - f)) for f in marks]
    axis.set_ylim(min(rows[0] + 10, len(values)), 0)
    axis.set_yticks([row + 0.5 for row in rows], [f"{f}" for f in marks])


figure, axes = plt.subplots(
    4, 1, figsize=(9, 9), sharex=True, layout="constrained", height_ratios=[1, 2.4, 2.4, 1.2]
)
axes[0].plot(t, x, color=BLUE, linewidth=0.3)
axes[0].set(title="Sound", yticks=[], xlim=(0, seconds), ylim=(-1.2, 1.2))
draw(axes[1], moduli, bands, (100, 200, 400, 800, 1600, 3200))
axes[1].set(title="Scalogram", ylabel="hertz")
draw(axes[2], first, bands, (100, 200, 400, 800, 1600, 3200))
axes[2].set(title="Order 1: its averages over time", ylabel="hertz")
draw(axes[3], second, rates, (16, 64, 256))
axes[3].set(title="Order 2 of the band of 1000 Hz: how fast it trembles", ylabel="hertz")
axes[3].set_xlabel("seconds")
plt.show()

# %%
# The trembling is found at its rate:

strongest = second[:, second.shape[1] * 5 // 8 : second.shape[1] * 7 // 8].mean(1).argmax()
print(f"the strongest of order 2 has the frequency {rates[strongest]:.0f} Hz")
