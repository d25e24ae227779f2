"""The tests of the tests: mistakes planted in copies of the engine's own sources are caught."""

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
from emulation import test_engine

CASE = test_engine.Case(16, 20, 2, L=3, B=2)


class Mistake(NamedTuple):
    """`right` in `file` becomes `wrong`, in the first place after `after`."""

    file: str
    after: str
    right: str
    wrong: str
    tier: str


MISTAKES = {
    "no barrier between modulus and low-pass": Mistake(
        "fused.cuh", "void second_planes", "__syncthreads();", ";", "fused"
    ),
    "a frequency mirrored to its neighbour": Mistake(
        "fused.cuh", "struct Folded", "fine_inner - r;", "fine_inner - r + 1;", "fused"
    ),
    "the last outputs not written": Mistake(
        "fused.cuh", "void lowpass_outputs", "i < a.m * chunks", "i < a.m * chunks - 1", "fused"
    ),
    "half a spectrum not conjugated": Mistake(
        "general.cuh", "filter_fold_kernel", "x.im = -x.im;", "x.im = x.im;", "general"
    ),
}


@cache
def mutants() -> dict[str, Any]:
    """The engine with each of the mistakes, all compiled at once."""
    variants = {}
    for number, mistake in enumerate(MISTAKES.values()):
        copy = native.ROOT / "build/tests/emulation/mutants" / f"mistake{number}"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(native.ROOT / "csrc", copy)
        source = copy / "cuda" / mistake.file
        before, after, rest = source.read_text().partition(mistake.after)
        assert after
        assert mistake.right in rest
        source.write_text(before + after + rest.replace(mistake.right, mistake.wrong, 1))
        variants[f"mistake{number}"] = ["-iquote", str(copy)]
    host = [emulation.HERE / "bindings.cpp", *sorted((native.ROOT / "csrc/core").glob("*.cpp"))]
    folder: Path = emulation.build("engine", emulation.HERE / "engine.cpp", host, variants)
    return {
        name: emulation.Emulated(variant, folder / variant / "engine.so")
        for name, variant in zip(MISTAKES, variants, strict=True)
    }


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_caught(mistake: str) -> None:
    engine, case = mutants()[mistake], CASE._replace(tier=MISTAKES[mistake].tier)
    S, _ = test_engine.run(engine, case)
    error = oracle.error_by_order(case.plan.meta()["order"], S, test_engine.problem(case)[2])
    assert not error <= test_engine.TOLERANCE[torch.float32]
