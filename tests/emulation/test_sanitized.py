"""The small problems that ``make gpu`` runs under compute-sanitizer launch every kernel: those
of ../gpu_problems.py, run by the emulated engine."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import gpu_problems as gpu
import numpy as np
import pytest
import torch
from native.kernels import shortened

import emulation

pytestmark = pytest.mark.proof


def kernels_of(path: Path) -> dict[int, str]:
    """Names of all kernels in the emulated engine, by their place."""
    command = ["nm", "-C", "--defined-only", str(path)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    # not what is local to one
    whole = (line for line in lines if "{lambda" not in line)
    found = (re.match(r"(\w+) [tTW] (.*_kernel(<.*)?\(.*)", line) for line in whole)
    return {int(match[1], 16): shortened(match[2]) for match in found if match}


def test_compute_sanitizer_sees_every_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, launched = emulation.engine("plain"), set()
    engine.reset_device()

    def note(result: tuple) -> None:
        launched.update(ran["place"] for ran in result[-1]["launches"] if ran["place"] >= 0)

    def sizes_of(case: Any, tier: str, workspace: int | None) -> dict[str, Any]:
        return {"program": gpu.program_of(case), "tier": tier, "budget": workspace or 1 << 30}

    def given_of(case: Any, dtype: torch.dtype) -> tuple[Any, ...]:
        grad, x, *bank = gpu.backward_problem(case, dtype)
        grad, x = grad.reshape(-1, *grad.shape[-3:]), x.reshape(-1, *x.shape[-2:])
        return grad.numpy(), x.numpy(), *(tensor.numpy().ravel() for tensor in bank)

    def check(case: Any, tier: str, dtype: torch.dtype, device: None, workspace: int = 0) -> None:
        _, x, *bank = given_of(case, dtype)
        note(engine.scattering(x, *bank, **sizes_of(case, tier, workspace)))

    def check_gradients(
        case: Any, tier: str, dtype: torch.dtype, device: None,
        wanted: tuple = gpu.X_ALONE, workspace: int = 0,
    ) -> None:  # fmt: skip
        names = ("with_x", "with_psi", "with_phi")
        options = {**sizes_of(case, tier, workspace), **dict(zip(names, wanted, strict=True))}
        note(engine.scattering_backward(*given_of(case, dtype), **options))

    def check_program(
        drawn: tuple[int, bool], dtype: torch.dtype, device: None, workspace: int = 0
    ) -> None:
        p, packed, x = gpu.random_programs.case(*drawn[:1], dtype, *drawn[1:])
        bank, options = (
            (tensor.numpy().ravel() for tensor in packed),
            {"budget": workspace or 1 << 30},
        )
        arguments = (x.numpy(), *bank, p.text)
        S, report = engine.scattering(*arguments, **options)
        note((report,))
        options |= dict.fromkeys(("with_x", "with_psi", "with_phi"), True)
        note(engine.scattering_backward(np.array(S), *arguments, **options))

    def check_signals(seed: int, device: None, workspace: int = 0) -> None:
        program, packed = gpu.programs.of_signals(seed, torch.float32)
        arrays = (tensor.numpy().ravel() for tensor in packed)
        x = np.ones((2, program.axes[0].size), np.float32)
        arguments = (x, *arrays, program.text)
        S, report = engine.scattering(*arguments)
        note((report,))
        note(engine.scattering_backward(np.array(S), *arguments))

    class Stages:
        """torch.ops.scatcuda, emulated; its results are not looked at."""

        def __getattr__(self, name: str) -> Any:
            def run(*arguments: Any) -> Any:
                arrays = [a.contiguous().numpy() if isinstance(a, torch.Tensor) else a
                          for a in arguments]  # fmt: skip
                if name == "lowpass":
                    arrays[0] = arrays[0].reshape(-1, *arrays[0].shape[-2:])
                note(getattr(engine, name)(*arrays))
                return getattr(gpu.reference, name)(*arguments)

            return run

    monkeypatch.setattr(gpu, "check", check)
    monkeypatch.setattr(gpu, "check_gradients", check_gradients)
    monkeypatch.setattr(gpu, "check_program", check_program)
    monkeypatch.setattr(gpu, "check_signals", check_signals)
    monkeypatch.setattr(torch.ops, "scatcuda", Stages())
    monkeypatch.setattr(gpu, "LIMITS", dict.fromkeys(gpu.LIMITS, 1.0))
    for ask, given in gpu.SANITIZED:
        ask(*given, None)

    every = kernels_of(engine.path)
    assert len(every) > 50
    missing = {name for place, name in every.items() if place not in launched}
    assert not missing, sorted(missing)
