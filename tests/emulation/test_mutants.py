"""The tests of the tests: mistakes planted in copies of the engine's own sources are caught. A copy
has one mistake forward and one backward, of different tiers, and one that cascades of images do
not reach: none meets another."""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import native
import oracle
import pytest
import torch

import emulation
from emulation import cascades, drawn

pytestmark = pytest.mark.proof

CASE = cascades.Case(16, 20, 2, L=3, B=2)


class Mistake(NamedTuple):
    """`right` in `file` becomes `wrong`, in the first place after `after`."""

    file: str
    after: str
    right: str
    wrong: str
    tier: str
    copy: int


FORWARD = {
    "no barrier between modulus and low-pass": Mistake(
        "fused/forward.cuh", "void second_planes", "__syncthreads();", ";", "fused", 0
    ),
    "a frequency mirrored to its neighbour": Mistake(
        "fused/forward.cuh", "struct Folded", "fine_inner - r;", "fine_inner - r + 1;", "fused", 1
    ),
    "the last outputs not written": Mistake(
        "fused/forward.cuh",
        "void lowpass_outputs",
        "i < a.m * chunks",
        "i < a.m * chunks - 1",
        "fused",
        2,
    ),
    "half a spectrum not conjugated": Mistake(
        "passes/fold.cuh", "bin_of", "{x.re, -x.im}", "{x.re, x.im}", "general", 3
    ),
}
BACKWARD = {
    "a mirrored gradient not conjugated": Mistake(
        "passes/fold.cuh", "unfold_kernel", "g.im - other.im", "g.im + other.im", "general", 0
    ),
    "pixels counted once that are shown twice": Mistake(
        "passes/pad.cuh",
        "void each_showing",
        "mirrored == straight ? 1 : 2",
        "1",
        "general",
        1,
    ),
    "the gradients of coarser scales forgotten": Mistake(
        "passes/fold.cuh", "unfolded(const", "i < a.count", "i < 1", "general", 2
    ),
    "no barrier before the way back": Mistake(
        "fused/backward.cuh", "void at_samples", "__syncthreads();", ";", "fused", 3
    ),
}
# forward, in what cascades of images have not
PROGRAMS = {
    "a plane of a group not conjugated": Mistake(
        "passes/group.cuh", "gathered(", "z.im : -z.im", "z.im : z.im", "general", 0
    ),
    "planes of a pair shifted the other way": Mistake(
        "passes/pair.cuh", "pair_kernel", "i), h, 1)", "i), h, -1)", "general", 1
    ),
    "a cropped bin next to its place": Mistake(
        "passes/fold.cuh", "aliases(", "i + side - kept", "i + side - kept - 1", "general", 2
    ),
}
MISTAKES = FORWARD | BACKWARD | PROGRAMS


@cache
def mutants() -> dict[str, Any]:
    """The engine with each of the mistakes, all compiled at once."""
    copies = native.ROOT / "build/tests/emulation/mutants"
    shutil.rmtree(copies, ignore_errors=True)
    variants = {}
    for mistake in MISTAKES.values():
        variant = f"mistake{mistake.copy}"
        copy = copies / variant
        if variant not in variants:
            shutil.copytree(native.ROOT / "csrc", copy)
        source = copy / "cuda" / mistake.file
        before, after, rest = source.read_text().partition(mistake.after)
        assert after
        assert mistake.right in rest
        source.write_text(before + after + rest.replace(mistake.right, mistake.wrong, 1))
        variants[variant] = ["-iquote", str(copy)]
    folder: Path = emulation.compile_engine(variants=variants)
    engines = {
        variant: emulation.Emulated(variant, folder / variant / "engine.so") for variant in variants
    }
    return {name: engines[f"mistake{mistake.copy}"] for name, mistake in MISTAKES.items()}


@pytest.mark.parametrize("mistake", FORWARD)
def test_a_mistake_is_caught(mistake: str) -> None:
    engine, case = mutants()[mistake], CASE._replace(tier=FORWARD[mistake].tier)
    S, _ = cascades.run(engine, case)
    error = oracle.error_by_order(case.plan.meta()["order"], S, cascades.problem(case)[2])
    assert not error <= cascades.TOLERANCE[torch.float32]


@pytest.mark.parametrize("mistake", BACKWARD)
def test_a_mistake_backward_is_caught(mistake: str) -> None:
    engine, case = mutants()[mistake], CASE._replace(tier=BACKWARD[mistake].tier)
    grad_x = cascades.run_backward(engine, case)[0][0]
    error = oracle.relative_error(grad_x, cascades.expected(case)[0])
    assert not error <= cascades.TOLERANCE[torch.float32]


@pytest.mark.parametrize("mistake", PROGRAMS)
def test_a_mistake_in_programs_is_caught(mistake: str) -> None:
    engine, errors = mutants()[mistake], []
    for seed in (*range(24), 35):  # a pair whose shift counts
        given = drawn.problem(seed, True, torch.float32)
        (S, *_), _ = drawn.run(engine, given)
        errors.append(drawn.error(S, given.wanted[0]))
    assert not max(errors) <= drawn.TOLERANCE[torch.float32]
