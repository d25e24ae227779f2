"""Makes tests/covariance_peer.npz: what another package computes of two maps.

    python tests/covariance_peer.py CHECKOUT

CHECKOUT is one of https://github.com/SihaoCheng/scattering_transform (run with commit of 2023-11).
The maps are made here; of its results S1, S2 and S4 are kept, as its names S1, P00 and C11. Its
C01 is another statistic than our S3: it has the second wavelet once.
"""

import math
import sys
import types
from pathlib import Path

import numpy as np
import torch


def maps() -> np.ndarray:
    """A log-normal field, and stripes in noise, ``[2, 64, 64]``."""
    rng = np.random.default_rng(7)
    noise = np.fft.fft2(rng.standard_normal((2, 64, 64)))
    k = np.hypot(np.fft.fftfreq(64)[:, None], np.fft.fftfreq(64))
    k[0, 0] = 1
    smooth = np.fft.ifft2(noise / k**1.2).real
    smooth /= smooth.std((1, 2), keepdims=True)
    stripes = np.sin(2 * np.pi * (3 * np.arange(64)[:, None] + 5 * np.arange(64)) / 64)
    return np.stack([np.exp(smooth[0]), stripes**3 + 0.3 * smooth[1]])


def main(checkout: str) -> None:
    sys.path.insert(0, checkout)
    np.math = math  # which it asks NumPy for
    for name in ("matplotlib", "matplotlib.pyplot"):
        sys.modules.setdefault(name, types.ModuleType(name))
    sys.modules["matplotlib"].pyplot = sys.modules["matplotlib.pyplot"]
    from scattering.Scattering2d import Scattering2d

    x = torch.from_numpy(maps())
    found = {}
    for name in ("morlet", "gau"):
        theirs = Scattering2d(64, 64, 4, 4, device="cpu", wavelets=name, precision="double")
        s = theirs.scattering_cov(x)
        j1, j2, j3 = (np.array(j) for j in zip(*_triples(4), strict=True))
        found |= {
            f"{name}_S1": s["S1"].numpy(),
            f"{name}_S2": s["P00"].numpy(),
            f"{name}_S4": s["C11"].numpy()[:, j1, j2, j3].astype(np.complex64),
        }
    np.savez_compressed(Path(__file__).with_suffix(".npz"), **found)


def _triples(J: int) -> list[tuple[int, int, int]]:
    return [(a, b, c) for a in range(J) for b in range(a, J) for c in range(b, J)]


if __name__ == "__main__":
    main(sys.argv[1])
