"""
The filters, and the energy they keep
=====================================

A scattering transform filters with wavelets of several scales and angles and averages with a
low-pass. Here are the Morlet wavelets of :class:`~scatcuda.Scattering2D`, in space and in
frequency, and how much of each frequency they keep.
"""

# %%
# Wavelets in space
# -----------------
#
# A wavelet of scale ``j`` is a wave under a bell of about :math:`2^j` pixels. A larger bank is
# drawn from its third scale on, so that the pixels do not show.

import matplotlib.pyplot as plt

from scatcuda import banks
from scatcuda.draw.bank import energy, in_frequency, in_space
from scatcuda.draw.style import STYLE

plt.rcParams.update(STYLE)

J, L = 3, 8
fine = banks.morlet_bank((128, 128), J + 2, L)

figure, axes = plt.subplots(figsize=(9, 3.1), layout="constrained")
in_space(axes, fine, range(2, J + 2), first=2)
axes.set_title(f"Real part of {J} × {L} wavelets, and the low-pass")

# %%
# In frequency
# ------------
#
# Each wavelet is a bump beside the frequency 0. On the left are the lines where its power is one
# half of its largest, on the right the Littlewood–Paley sum
#
# .. math:: A(\omega) = |\hat\phi(\omega)|^2
#    + \tfrac12 \sum_{j, \theta} |\hat\psi_{j, \theta}(\omega)|^2
#    + |\hat\psi_{j, \theta}(-\omega)|^2,
#
# the share of the energy that is kept at each frequency. Where it is 1 everywhere the filters are
# a tight frame: ``filters="tight"`` asks for wavelets that were divided by the root of the sum.

bank, tight = banks.morlet_bank((128, 128), J, L), banks.tight_bank((128, 128), J, L)

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4.4), layout="constrained")
in_frequency(left, bank)
left.set_aspect("equal")
left.set_title("Filters at half power")
energy(right, bank, tight)
right.set_title("Littlewood–Paley sum")
plt.show()

# %%
# The bounds of the sum are those of the frame:

for name, some in (("morlet", bank), ("tight", tight)):
    low, high = banks.frame_bounds(some)
    print(f"{name:7} {low:.3f} |x|² ≤ |W x|² ≤ {high:.3f} |x|²")
