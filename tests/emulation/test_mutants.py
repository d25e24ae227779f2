"""The tests of the tests: mistakes planted in a copy of the engine's own sources are caught. The
copy has all of them, of which one at a time is made."""

from __future__ import annotations

import ctypes
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple

import native
import oracle
import pytest
import torch

import emulation
from emulation import cascades, drawn, families

pytestmark = pytest.mark.proof

CASE = cascades.Case(16, 20, 2, L=3, B=2)


class Mistake(NamedTuple):
    """In `file`, where `place` first stands after `after`, its ``{}`` is `right` and becomes
    `wrong`; without `wrong` a statement is left out."""

    file: str
    after: str
    place: str
    right: str
    wrong: str
    tier: str


FORWARD = {
    "no barrier between modulus and low-pass": Mistake(
        "fused/forward.cuh", "void second_planes", "{}", "__syncthreads();", "", "fused"
    ),
    "a frequency mirrored to its neighbour": Mistake(
        "fused/forward.cuh", "struct Folded", "{};", "fine_inner - r", "fine_inner - r + 1", "fused"
    ),
    "the last outputs not written": Mistake(
        "fused/forward.cuh", "void lowpass_outputs", "{}", "i < a.m * chunks",
        "i < a.m * chunks - 1", "fused",
    ),
    "half a spectrum not conjugated": Mistake(
        "passes/fold.cuh", "bin_of", "{x.re, {}}", "-x.im", "x.im", "general"
    ),
}  # fmt: skip
BACKWARD = {
    "the last output that reaches a run of points forgotten": Mistake(
        "passes/reach.cuh", "reach_kernel(", "high = {};", "o + 1", "o", "general"
    ),
    "gradients of a low-pass kept from the outputs before": Mistake(
        "passes/lowpass.cuh",
        "planes_backward_kernel(",
        "const int o = first + {}",
        "j / reach_points",
        "0 * j",
        "general",
    ),
    "a mirrored gradient not conjugated": Mistake(
        "passes/fold.cuh", "unfold_kernel", "{}", "g.im - other.im", "g.im + other.im", "general"
    ),
    "pixels counted once that are shown twice": Mistake(
        "passes/pad.cuh", "void each_showing", "{}", "mirrored == straight ? 1 : 2", "1", "general"
    ),
    "the gradients of coarser scales forgotten": Mistake(
        "passes/fold.cuh", "unfolded(const", "{}", "i < a.count", "i < 1", "general"
    ),
    "no barrier before the way back": Mistake(
        "fused/backward.cuh", "void at_samples", "{}", "__syncthreads();", "", "fused"
    ),
}
# forward, in what cascades of images have not
PROGRAMS = {
    "a plane of a group not conjugated": Mistake(
        "passes/group.cuh", "    mix_kernel(", "T(1) : {}", "T(-1)", "T(1)", "general"
    ),
    "planes of a pair shifted the other way": Mistake(
        "passes/pair.cuh", "pair_kernel", "i), h, {})", "1", "-1", "general"
    ),
    "a cropped bin next to its place": Mistake(
        "passes/fold.cuh", "aliases(", "{}", "i + side - kept", "i + side - kept - 1", "general"
    ),
}
SIGNALS = {
    "the other half of a spectrum not conjugated": Mistake(
        "signals/family.cu", "wavelet(const", "other ? {} :", "-x.im", "x.im", "fused"
    ),
    "points of a line taken in order": Mistake(
        "signals/family.cu", "void average(", "{}", "reversed(t, log)", "t", "fused"
    ),
    "no barrier between modulus and low-pass of a line": Mistake(
        "signals/family.cu", "square_of(b))};", "{}", "__syncthreads();", "", "fused"
    ),
    "an output that reaches a point forgotten": Mistake(
        "signals/family.cu", "end_backward_kernel", "{}", "(at - band.y) / s.every + 1",
        "(at - band.y) / s.every + 2", "fused",
    ),
}  # fmt: skip
MISTAKES = FORWARD | BACKWARD | PROGRAMS | SIGNALS
SWITCH = """#pragma once
__attribute__((visibility("default"))) inline int planted_mistake = -1;
"""


@cache
def mutant() -> Any:
    """The engine with all of the mistakes, none of them made."""
    copy = native.ROOT / "build/tests/emulation/mutant"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(native.ROOT / "csrc", copy)
    (copy / "mistake.h").write_text(SWITCH)
    for number, mistake in enumerate(MISTAKES.values()):
        source = copy / "cuda" / mistake.file
        before, after, rest = source.read_text().partition(mistake.after)
        assert after
        place, made = mistake.place.replace("{}", "\0"), f"planted_mistake == {number}"
        right = place.replace("\0", mistake.right)
        assert right in rest
        wrong = f"({made} ? ({mistake.wrong}) : ({mistake.right}))"
        if not mistake.wrong:
            wrong = f"if (!({made})) {mistake.right}"
        source.write_text(before + after + rest.replace(right, place.replace("\0", wrong), 1))
    for file in {mistake.file for mistake in MISTAKES.values()}:
        source = copy / "cuda" / file
        source.write_text('#include "mistake.h"\n' + source.read_text())
    folder = emulation.compile_engine(variants={"mutant": [f"-iquote{copy}"]})
    return emulation.Emulated("mutant", folder / "mutant" / "engine.so")


@contextmanager
def made(name: str) -> Iterator[Any]:
    """The engine that makes a mistake; by another name none."""
    engine = mutant()
    switch = ctypes.c_int.in_dll(ctypes.CDLL(str(engine.path)), "planted_mistake")
    switch.value = list(MISTAKES).index(name) if name in MISTAKES else -1
    try:
        yield engine
    finally:
        switch.value = -1


def error_forward(name: str, tier: str) -> float:
    case = CASE._replace(tier=tier)
    with made(name) as engine:
        S, _ = cascades.run(engine, case)
    return oracle.error_by_order(case.plan.meta()["order"], S, cascades.problem(case)[2])


def error_backward(name: str, tier: str) -> float:
    case = CASE._replace(tier=tier)
    with made(name) as engine:
        grad_x = cascades.run_backward(engine, case)[0][0]
    return oracle.relative_error(grad_x, cascades.expected(case)[0])


def error_of_programs(name: str) -> float:
    errors = []
    with made(name) as engine:
        for seed in (*range(24), 35):  # a pair whose shift counts
            given = drawn.problem(seed, True, torch.float32)
            (S, *_), _ = drawn.run(engine, given)
            errors.append(drawn.error(S, given.wanted[0]))
    return max(errors)


def error_of_signals(name: str) -> float:
    given = families.of_module("usual")
    with made(name) as engine:
        S, grad_x, _ = families.run(engine, given)
    return max(drawn.error(S, given.S), drawn.error(grad_x, given.grad_x))


@pytest.mark.parametrize("tier", ["fused", "general"])
def test_without_a_mistake_it_is_right(tier: str) -> None:
    tolerance = cascades.TOLERANCE[torch.float32]
    assert error_forward("none", tier) <= tolerance
    assert error_backward("none", tier) <= tolerance


@pytest.mark.parametrize("mistake", FORWARD)
def test_a_mistake_is_caught(mistake: str) -> None:
    error = error_forward(mistake, FORWARD[mistake].tier)
    assert not error <= cascades.TOLERANCE[torch.float32]


@pytest.mark.parametrize("mistake", BACKWARD)
def test_a_mistake_backward_is_caught(mistake: str) -> None:
    error = error_backward(mistake, BACKWARD[mistake].tier)
    assert not error <= cascades.TOLERANCE[torch.float32]


@pytest.mark.parametrize("mistake", PROGRAMS)
def test_a_mistake_in_programs_is_caught(mistake: str) -> None:
    assert not error_of_programs(mistake) <= drawn.TOLERANCE[torch.float32]


def test_signals_without_a_mistake_are_right() -> None:
    assert error_of_signals("none") <= drawn.TOLERANCE[torch.float32]


@pytest.mark.parametrize("mistake", SIGNALS)
def test_a_mistake_in_signals_is_caught(mistake: str) -> None:
    assert not error_of_signals(mistake) <= drawn.TOLERANCE[torch.float32]
