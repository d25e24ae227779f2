"""
A chirp's parameters from its sound
===================================

A chirp's frequency is :math:`f(t) = f_0 2^{r t}`. From a wrong guess of :math:`f_0` and of the rate
:math:`r`, gradient descent finds the right ones: in joint time–frequency scattering the chirp that
is a little off lies near the right one, where sample by sample it has nothing in common with it.
"""

import math

import matplotlib.pyplot as plt
import torch

from scatcuda import TimeFrequencyScattering
from scatcuda.draw.style import BLUE, RUST, STYLE, shade
from scatcuda.learn import ScatteringDistance

plt.rcParams.update(STYLE)

N, samples_a_second = 4096, 4096


def chirp(log_f0, rate):
    """``[N]``, of frequency ``2^log_f0`` Hz in its middle, rising by ``rate`` octaves a second."""
    t = (torch.arange(N) - N / 2) / samples_a_second
    u = rate * t * math.log(2)
    near = u.abs() < 1e-3  # the integral of 2^(rate t) is t (e^u - 1) / u
    away = torch.where(near, 1.0, u)
    phase = t * torch.where(near, 1 + u / 2, torch.expm1(away) / away)
    return torch.sin(2 * math.pi * 2**log_f0 * phase) * torch.hann_window(N)


right, guess = (math.log2(512), 1.5), (math.log2(400), 0.4)
target = chirp(*map(torch.tensor, right))

# %%
# Two losses
# ----------
#
# Where they are small, as the two parameters change:

transform = TimeFrequencyScattering(J=8, J_fr=3, Q=8, shape=N)
distance = ScatteringDistance(transform)

octaves = torch.linspace(right[0] - 0.6, right[0] + 0.6, 13)
rates = torch.linspace(0, 3, 13)
S = transform(target)
losses = {"waveforms": torch.zeros(13, 13), "joint scattering": torch.zeros(13, 13)}
for row, rate in enumerate(rates):
    chirps = torch.stack([chirp(f, rate) for f in octaves])
    losses["waveforms"][row] = (chirps - target).norm(dim=-1)
    losses["joint scattering"][row] = (transform(chirps) - S).norm(dim=(1, 2))

# %%
# The descent
# -----------
#
# Adam, with a step that falls to a fiftieth:

steps = 100
parameters = torch.tensor(guess, requires_grad=True)
optimiser = torch.optim.Adam([parameters], lr=0.05)
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps, eta_min=0.001)
way = [guess]
for _ in range(steps):
    optimiser.zero_grad()
    distance(chirp(*parameters), target).backward()
    optimiser.step()
    schedule.step()
    way.append(tuple(parameters.tolist()))

for name, (log_f0, rate) in {"guess": guess, "found": way[-1], "right": right}.items():
    print(f"{name}   f0 = {2**log_f0:6.1f} Hz, rate = {rate:6.3f} octaves/s")

# %%
# The way it took, on the two losses, dark where they are small:

figure, axes = plt.subplots(1, 2, figsize=(9, 4.2), sharey=True, layout="constrained")
for axis, (name, values) in zip(axes, losses.items(), strict=True):
    extent = (*(2 ** octaves[[0, -1]]).log2().tolist(), *rates[[0, -1]].tolist())
    shade(axis, 1 - values / values.max(), "bicubic", extent=extent, origin="lower")
    axis.plot(*zip(*way, strict=True), color=RUST, linewidth=2)
    axis.plot(*guess, "o", color=RUST)
    axis.plot(*right, "*", color="white", markeredgecolor=BLUE, markersize=15)
    axis.set(title=f"Distance of {name}", xlabel="frequency in the middle, Hz")
    ticks = (350, 400, 512, 600, 700)
    axis.set_xticks([math.log2(f) for f in ticks], [str(f) for f in ticks])
axes[0].set_ylabel("rate, octaves a second")
plt.show()
