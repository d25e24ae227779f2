"""How long a synthesis takes and how near it comes; and what inversion gives back.

    python -m benchmarks.synthesis [--steps 300] [--threads 2] [--quick]

Textures of 256 x 256 with J = 7, L = 4, normalised by the target's powers: seconds, and the
relative L2 distance of each block of statistics. Then scikit-image's camera at 64 x 64, J = 3, from
noise of seed 0 by 500 iterations: PSNR of order 1, of orders 1 and 2.
"""

from __future__ import annotations

import argparse

import torch
from torch import Tensor

import scatcuda
from scatcuda.cli.options import integer
from scatcuda.synthesis import examples, invert, psnr, synthesise

from .resolution import field


def textures(side: int) -> dict[str, Tensor]:
    """Two fields and two of scikit-image's textures."""
    from skimage import data

    found = {f"log-normal {seed}": field(side, seed).float() for seed in (0, 1)}
    for name, x in (("brick", data.brick()), ("gravel", data.gravel())):
        found[name] = torch.from_numpy(x[:side, :side] / 255).float()
    return found


def table(side: int, J: int, steps: int) -> str:
    """Lines of text."""
    names = ("S1", "S2", "S3", "S4")
    lines = [
        f"{'':14}{'levels':>7}{'iterations':>12}{'seconds':>9}" + "".join(f"{n:>9}" for n in names)
    ]
    covariance = scatcuda.ScatteringCovariance((side, side), J, 4)
    for name, x in textures(side).items():
        for levels in (1, 2) if side >= 128 else (1,):
            made = synthesise(x, covariance, steps=steps, levels=levels)
            errors = "".join(f"{made.errors[n]:9.2%}" for n in names)
            count = len(made.history) - 1
            lines.append(f"{name:14}{levels:7d}{count:12d}{made.seconds:9.1f}{errors}")
    x = dict(examples.examples(64))["photograph"]
    for order in (1, 2):
        scattering = scatcuda.Scattering2D(3, (64, 64), max_order=order)
        found = invert(scattering(x), scattering, steps=500, seed=0)
        quality = psnr(found.x[0], x)
        lines.append(
            f"inversion of order {order}: {quality:.1f} dB, coefficients {found.error:.2%} off"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=integer(1), default=300)
    parser.add_argument("--threads", type=integer(1, 1024), default=2)
    parser.add_argument("--quick", action="store_true", help="of 64 x 64")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    print(f"{given.threads} threads")
    print(table(64 if given.quick else 256, 4 if given.quick else 7, given.steps))
