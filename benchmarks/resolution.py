"""How far scattering covariances of subsampled planes are from those at full resolution.

    python -m benchmarks.resolution [--side 128] [--J 5] [--seed 0]

Of a log-normal field, in float64: by oversampling, for each class of pairs of scales, the relative
L2 distance of the statistics to those whose planes all have the field's own resolution.
"""

from __future__ import annotations

import argparse

import torch
from torch import Tensor

import scatcuda
from scatcuda.cli.options import integer


def field(side: int, seed: int) -> Tensor:
    """A log-normal field with a steep spectrum, ``[side, side]``."""
    noise = torch.randn(side, side, generator=torch.Generator().manual_seed(seed)).double()
    f = torch.fft.fftfreq(side).double()
    k = torch.hypot(f[:, None], f)
    k[0, 0] = 1
    smooth = torch.fft.ifft2(torch.fft.fft2(noise) * k**-1.2).real
    return torch.exp(smooth / smooth.std())


def distances(x: Tensor, J: int, oversampling: int) -> dict[str, float]:
    """By class of pairs."""
    side = x.shape[-1]

    def statistics(finer: int) -> tuple[scatcuda.ScatteringCovariance, dict[str, Tensor]]:
        module = scatcuda.ScatteringCovariance((side, side), J, oversampling=finer).double()
        return module, module.statistics(x)

    module, found = statistics(oversampling)
    _, whole = statistics(J)
    meta = module.meta()
    vector, right = module.join(found), module.join(whole)
    block = torch.tensor([("mean", "S1", "S2", "S3", "S4").index(name) for name in meta["block"]])
    j1, j2, j3 = (torch.as_tensor(meta[f"j{i}"]) for i in (1, 2, 3))
    classes = {
        "S1": block == 1,
        "S2": block == 2,
        "S3, j1 = j2": (block == 3) & (j1 == j2),
        "S3, j1 < j2": (block == 3) & (j1 < j2),
        "S4, j1 = j2 = j3": (block == 4) & (j1 == j3),
        "S4, j1 < j2 = j3": (block == 4) & (j1 < j2) & (j2 == j3),
        "S4, j2 < j3": (block == 4) & (j2 < j3),
    }
    return {
        name: float((vector[some] - right[some]).norm() / right[some].norm())
        for name, some in classes.items()
    }


def table(side: int, J: int, seed: int) -> str:
    """Lines of text."""
    x = field(side, seed)
    found = [distances(x, J, finer) for finer in range(3)]
    lines = [f"{side} x {side}, J = {J}, distance to full resolution", ""]
    lines.append(f"{'':18}" + "".join(f"oversampling {i:<6d}" for i in range(3)))
    for name in found[0]:
        lines.append(f"{name:18}" + "".join(f"{column[name]:<19.2e}" for column in found))
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for name, default, least in (("side", 128, 16), ("J", 5, 1), ("seed", 0, 0)):
        parser.add_argument(f"--{name}", type=integer(least), default=default)
    given = parser.parse_args()
    print(table(given.side, given.J, given.seed))
