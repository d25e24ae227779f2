"""Hostile calls of every operator: random shapes, dtypes, devices, strides, programs, tables,
numbers. An operator refuses them with an exception, or gives what its twin gives; nothing crashes,
and no result holds what was never written. ``native/hostile.cpp`` is the same for the C interface,
under AddressSanitizer.

The calls have a process of their own, in which ``MALLOC_PERTURB_`` fills fresh memory with numbers
as large as there are."""

from __future__ import annotations

import math
import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from programs import mutated, random_program, random_tables
from torch import Tensor

from scatcuda.ops import reference
from scatcuda.program import parse

pytestmark = pytest.mark.proof

HUGE = [-1, 0, 1, 2, 3, 24, 25, 4096, 4097, 2**24, 2**31 - 1, 2**31, 2**40, 2**62, 2**63 - 1,
        -(2**63), 2**63, 2**70]  # fmt: skip
DTYPES = [torch.float32, torch.float64, torch.complex64, torch.complex128, torch.float16,
          torch.bfloat16, torch.uint8, torch.int64, torch.bool]  # fmt: skip
REFUSALS = (RuntimeError, ValueError, TypeError, NotImplementedError, IndexError, OverflowError)
OPERATORS = torch.ops.scatcuda


class Calls:
    """Random calls; ``answers`` counts what came of them."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.generator = torch.Generator().manual_seed(seed)
        self.answers: Counter[str] = Counter()

    def one_in(self, n: int) -> bool:
        return self.rng.randrange(n) == 0

    def tensor(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.randn(*shape, generator=self.generator, dtype=dtype)

    def lead(self) -> tuple[int, ...]:
        return self.rng.choice([(), (1,), (2,), (0,), (3, 2)])

    def scattering(self) -> tuple[list[Any], int]:
        text, dtype = random_program(self.rng), self.rng.choice(DTYPES[:2])
        x = self.tensor(*self.lead(), *parse(text).signal, dtype=dtype)
        return [x, *random_tables(text, self.rng.randrange(2**32), dtype), text], 5

    def scattering_backward(self) -> tuple[list[Any], int]:
        arguments, tensors = self.scattering()
        x, p = arguments[0], parse(arguments[-1])
        lead = x.shape[: x.ndim - p.rank]
        grad = self.tensor(*lead, p.channels, *p.sides, dtype=x.dtype)
        return [grad, *arguments, *(self.one_in(2) for _ in range(3))], tensors + 1

    def filter_fold(self) -> tuple[list[Any], int]:
        L, k = self.rng.randint(0, 3), self.rng.randint(1, 3)
        M, N = k * self.rng.randint(0, 4), k * self.rng.randint(1, 4)
        wide = self.one_in(2)
        x_hat = self.tensor(*self.lead(), M, N, dtype=DTYPES[2 + wide])
        return [x_hat, self.tensor(L, M, N, dtype=DTYPES[wide]), k], 2

    def filter_fold_backward(self) -> tuple[list[Any], int]:
        arguments, tensors = self.filter_fold()
        x_hat, psi, k = arguments
        sizes = *x_hat.shape[:-2], len(psi), *(side // k for side in psi.shape[1:])
        flags = [self.one_in(2) for _ in range(2)]
        return [self.tensor(*sizes, dtype=x_hat.dtype), *arguments, *flags], tensors + 1

    def modulus(self) -> tuple[list[Any], int]:
        return [self.tensor(*self.lead(), 5, dtype=self.rng.choice(DTYPES[2:4]))], 1

    def modulus_backward(self) -> tuple[list[Any], int]:
        (z,), _ = self.modulus()
        return [self.tensor(*z.shape, dtype=z.real.dtype), z], 2

    def lowpass(self) -> tuple[list[Any], int]:
        M, N, m, n = (self.rng.randint(1, 6) for _ in range(4))
        dtype = self.rng.choice(DTYPES[:2])
        u = self.tensor(*self.lead(), M, N, dtype=dtype)
        return [u, self.tensor(m, M, dtype=dtype), self.tensor(n, N, dtype=dtype)], 3

    def lay_out(self) -> tuple[list[Any], int]:
        (_, psi, support, _, _, text), _ = self.scattering()
        return [psi, support, text], 2

    def spoiled_tensor(self, t: Tensor) -> Tensor:
        choice = self.rng.randrange(8)
        if choice == 0:
            return t.to(self.rng.choice(DTYPES))
        if choice == 1:
            return t.to("meta")
        if choice == 2 and t.ndim > 0:
            return t.narrow(self.rng.randrange(t.ndim), 0, 0)
        if choice == 3:
            return t.flatten() if self.one_in(2) else t[None, None]
        if choice == 4 and t.numel() > 0 and t.dtype == torch.int64:  # a table that leads astray
            t = t.clone()
            value = min(max(self.rng.choice(HUGE), -(2**63)), 2**63 - 1)
            t.view(-1)[self.rng.randrange(t.numel())] = value
            return t
        if choice == 5 and t.ndim > 0:  # of any size, and of no memory; more than there can be
            sizes = [self.rng.choice([0, 1, 3, 2**31, 2**40]) for _ in range(t.ndim)]
            if 1 << 16 < math.prod(sizes) < 1 << 50:
                sizes[0] = 1 << 50
            return torch.zeros(1, dtype=t.dtype).expand(sizes)
        if choice == 6 and t.ndim > 1:
            return t.transpose(-1, -2)
        return t.reshape(-1)[: self.rng.randrange(t.numel() + 1)]

    def number(self, value: bool | int) -> int:
        return self.rng.choice(HUGE) if self.one_in(2) else int(value) + self.rng.choice((-1, 1))

    def spoil(self, arguments: list[Any], tensors: int) -> list[Any]:
        for _ in range(self.rng.randint(1, 2)):
            i = self.rng.randrange(len(arguments))
            if i < tensors and isinstance(arguments[i], Tensor):
                try:
                    arguments[i] = self.spoiled_tensor(arguments[i])
                except REFUSALS:  # PyTorch has no such tensor
                    continue
            elif isinstance(arguments[i], str):
                arguments[i] = mutated(self.rng, arguments[i])
            elif not isinstance(arguments[i], bool):
                arguments[i] = self.number(arguments[i])
        return arguments

    def strided(self, t: Any) -> Any:
        """The same numbers in another layout."""
        if not isinstance(t, Tensor) or t.ndim < 2 or t.dtype == torch.int64 or max(t.shape) > 100:
            return t
        return t.mT.contiguous().mT

    def once(self, name: str) -> None:
        arguments, tensors = getattr(self, name)()
        spoiled = self.one_in(2)
        if spoiled:
            arguments = self.spoil(arguments, tensors)
        if name in ("scattering", "scattering_backward") and self.one_in(4):
            arguments += [self.rng.choice(["auto", "general", "fused"]), self.rng.randrange(99)]
        elif name != "lay_out":
            arguments = [self.strided(t) if i in (0, 1) else t for i, t in enumerate(arguments)]
        with torch.no_grad():
            try:
                found = getattr(OPERATORS, name)(*arguments)
            except REFUSALS as error:
                assert spoiled, error
                self.answers[f"{name} {type(error).__name__}"] += 1
                return
        self.answers[f"{name} answer"] += 1
        self.check(name, arguments, _tuple(found), spoiled)

    def check(
        self, name: str, arguments: list[Any], found: tuple[Tensor, ...], spoiled: bool
    ) -> None:
        devices = {t.device.type for t in arguments if isinstance(t, Tensor)}
        if "meta" in devices:  # no numbers: nor from a mixture
            assert {t.device.type for t in found} == {"meta"}, (name, devices)
            return
        if spoiled:  # a table may contradict another, and each floor makes of it what it likes
            assert all(_largest(t) < 1e30 for t in found), name
            return
        if name == "lay_out":  # the same numbers in another order, and zeros
            assert _largest(found[0]) <= _largest(arguments[0])
            return
        expected = getattr(reference, name)(*arguments)
        for ours, theirs in zip(found, _tuple(expected), strict=True):
            assert ours.shape == theirs.shape, name
            same = dict(rtol=2e-3, atol=2e-3 * max(1.0, _largest(theirs)))
            torch.testing.assert_close(ours, theirs.to(ours.dtype), **same, msg=lambda m: name + m)


def _tuple(found: Any) -> tuple[Tensor, ...]:
    return (found,) if isinstance(found, Tensor) else tuple(found)


def _largest(t: Tensor) -> float:
    return float(t.abs().max()) if t.numel() > 0 else 0.0


NAMES = ["scattering", "scattering_backward", "filter_fold", "filter_fold_backward", "modulus",
         "modulus_backward", "lowpass", "lay_out"]  # fmt: skip


def main(calls: int, seed: int) -> None:
    torch.set_num_threads(1)
    made = Calls(seed)
    for i in range(calls):
        made.once(NAMES[i % len(NAMES)])
    for answer, count in sorted(made.answers.items()):
        print(count, answer)


def test_every_operator_refuses_or_answers(rng):
    environment = os.environ | {
        "MALLOC_PERTURB_": "1",  # of bytes fe: -1.7e38 and -5e303
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *sys.path]),
    }
    command = [sys.executable, __file__, "6000", str(rng.randrange(2**32))]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, f"{done.returncode}\n{done.stderr[-6000:]}"
    answers = {line.partition(" ")[2]: int(line.split()[0]) for line in done.stdout.splitlines()}
    for name in NAMES:
        assert answers[f"{name} answer"] > 200, answers
        assert sum(n for what, n in answers.items() if what.startswith(f"{name} ")) > 700


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
