"""
A signal that has no end yet
============================

From a microphone samples come in chunks. :meth:`~scatcuda.Scattering1D.stream` takes chunks of any
length, gives coefficients as soon as they are final, and keeps no more of the signal than it needs.
"""

import math

import matplotlib.pyplot as plt
import torch

from scatcuda import Scattering1D
from scatcuda.draw.style import BLUE, GREY, RUST, STYLE, shade

plt.rcParams.update(STYLE)

# %%
# A source that makes up a melody as it goes, some hundred samples at a time:

rate = 8000


def microphone(notes=48, seed=3):
    random = torch.Generator().manual_seed(seed)
    last = torch.zeros(0)
    for _ in range(notes):
        step = int(torch.randint(0, 15, (1,), generator=random))
        t = torch.arange(2000) / rate
        frequency = 220 * 2 ** ([0, 2, 4, 7, 9][step % 5] / 12 + step // 5)
        tone = sum(torch.sin(2 * math.pi * k * frequency * t) / k**2 for k in (1, 2, 3))
        last = torch.cat([last, tone * torch.exp(-8 * t) * (t * 200).clamp(max=1)])
        while len(last) >= 700:
            size = int(torch.randint(100, 700, (1,), generator=random))
            yield last[:size]
            last = last[size:]
    yield last


# %%
# The stream is asked chunk by chunk. We note when each coefficient was there.

scattering = Scattering1D(J=6, shape=4096, Q=12)
stream = scattering.stream()
pieces, given, heard, ready = [], 0, [], []
for chunk in microphone():
    pieces.append(stream(chunk))
    given += chunk.shape[-1]
    heard.append(given / rate)
    ready.append(stream.done * stream.stride / rate)
pieces.append(stream.finish())
S = torch.cat(pieces, -1)
print(f"{given} samples in {len(heard)} chunks, {tuple(S.shape)} coefficients")

# %%
# It is what the whole signal at once would have given:

x = torch.cat([*microphone()])
whole = Scattering1D(J=6, shape=len(x), Q=12)(x)
away = (S - whole).norm() / whole.norm()
print(f"relative distance to the transform of the whole signal: {away:.1e}")

# %%
# Above the first order, as it has come; below how long one waits for it.

first = S[torch.from_numpy(scattering.meta()["order"]) == 1]
bands = [psi["xi"] * rate for psi in scattering.psi1_f]
level = 20 * (first / first.max()).clamp(min=1e-9).log10()
end = given / rate

figure, (above, below) = plt.subplots(
    2, 1, figsize=(9, 6), sharex=True, layout="constrained", height_ratios=[2, 1]
)
shade(above, 1 + (level / 45).clamp(min=-1), "nearest", extent=(0, end, len(first), 0))
marks = (220, 440, 880, 1760)
rows = [min(range(len(bands)), key=lambda n: abs(bands[n] - f)) for f in marks]
above.set_yticks([row + 0.5 for row in rows], [str(f) for f in marks])
above.set(title="Order 1 of the stream", ylabel="hertz", ylim=(first.shape[0] * 0.8, 0))
below.plot(heard, heard, color=GREY, linewidth=1.5)
below.step(heard, ready, color=BLUE, linewidth=2, where="post")
below.text(0.02, 0.85, "samples heard", color=GREY, transform=below.transAxes)
below.text(0.02, 0.65, "coefficients that are final", color=BLUE, transform=below.transAxes)
below.set(xlabel="seconds heard", ylabel="seconds", xlim=(0, end), ylim=(0, end))
below.spines[["top", "right"]].set_visible(False)
wait = max(a - b for a, b in zip(heard, ready, strict=True))
below.set_title(f"At most {wait:.1f} s behind", color=RUST)
plt.show()
