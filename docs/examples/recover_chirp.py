"""Recover a chirp's parameters from its sound, by gradient descent.

A chirp's frequency is f(t) = f0 2^(rate t), t in seconds. From a wrong guess of f0 and of the rate,
Adam follows the gradient of a distance in joint time-frequency scattering, which is smooth where
that of waveforms is not: a chirp that is a little off has nothing in common with the right one
sample by sample, but lies next to it in time and log-frequency.

    python docs/examples/recover_chirp.py            # all paths of the transform
    python docs/examples/recover_chirp.py --paths 4  # four random ones a step, which cost less
"""

from __future__ import annotations

import argparse
import math
import time

import torch
from torch import Tensor

from scatcuda import TimeFrequencyScattering
from scatcuda.learn import ScatteringDistance

N, SAMPLES_A_SECOND = 4096, 4096


def chirp(log_f0: Tensor, rate: Tensor) -> Tensor:
    """``[N]``, of frequency ``2^log_f0`` Hz in its middle, rising by ``rate`` octaves a second."""
    t = (torch.arange(N, dtype=torch.float32) - N / 2) / SAMPLES_A_SECOND
    octaves = rate * t
    # ∫ 2^(rate t) dt = t (2^(rate t) − 1) / (rate t ln 2)
    u = octaves * math.log(2)
    near, away = u.abs() < 1e-3, torch.where(u.abs() < 1e-3, 1.0, u)
    phase = t * torch.where(near, 1 + u / 2, torch.expm1(away) / away)
    return torch.sin(2 * math.pi * 2**log_f0 * phase) * torch.hann_window(N)


def recover(
    target: Tensor, guess: tuple[float, float], paths: int | None, steps: int, step: float = 0.05
) -> tuple[Tensor, list[float]]:
    """``(log2 f0, rate)`` that sounds like the target, and the distance at every step."""
    transform = TimeFrequencyScattering(J=8, J_fr=3, Q=8, shape=N)
    distance = ScatteringDistance(transform, paths=paths)
    parameters = torch.tensor(guess, requires_grad=True)
    optimiser = torch.optim.Adam([parameters], lr=step)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps, eta_min=step / 50)
    seen = []
    for _ in range(steps):
        optimiser.zero_grad()
        loss = distance(chirp(*parameters), target)
        loss.backward()
        optimiser.step()
        schedule.step()
        seen.append(float(loss))
    return parameters.detach(), seen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--paths", type=int, help="random paths a step (all)")
    parser.add_argument("--steps", type=int, default=150)
    options = parser.parse_args()
    right, guess = (math.log2(512), 1.5), (math.log2(400), 0.4)
    target = chirp(*map(torch.tensor, right))
    start = time.perf_counter()
    found, seen = recover(target, guess, options.paths, options.steps)
    print(f"guess   f0 = {2 ** guess[0]:6.1f} Hz, rate = {guess[1]:6.3f} octaves/s")
    print(f"found   f0 = {2 ** float(found[0]):6.1f} Hz, rate = {float(found[1]):6.3f} octaves/s")
    print(f"target  f0 = {2 ** right[0]:6.1f} Hz, rate = {right[1]:6.3f} octaves/s")
    print(f"distance {seen[0]:.3g} -> {seen[-1]:.3g}, {time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    main()
