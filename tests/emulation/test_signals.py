"""The fused tier of signals: families of random programs and of ``Scattering1D``, forward and
backward, against the interpreter in float64: plainly, sanitized and under the race detector."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
import torch

import emulation
from emulation.drawn import TOLERANCE, error
from emulation.families import MODULES, Problem, of_module, of_seed, run

BOUND = TOLERANCE[torch.float32]


@pytest.fixture(autouse=True)
def h100() -> Iterator[None]:
    yield
    emulation.engine("plain").reset_device()


def check(engine: Any, given: Problem, **more: Any) -> list[Any]:
    S, grad_x, reports = run(engine, given, **more)
    assert error(S, given.S) <= BOUND, given.program.text
    assert error(grad_x, given.grad_x) <= BOUND, given.program.text
    return reports


def used(engine: Any, reports: list[Any]) -> tuple[int, int]:
    """How many families there were, and steps backward."""
    forward, backward = (engine.kernels(report) for report in reports)
    return sum("family" in name for name in forward), sum("end_backward" in n for n in backward)


@pytest.mark.parametrize("name", MODULES)
def test_modules(name: str) -> None:
    engine = emulation.engine("plain")
    families, ends = used(engine, check(engine, of_module(name)))
    assert families > 0
    assert ends > 0


@pytest.mark.parametrize("seed", range(40))
def test_programs(seed: int) -> None:
    """What it does not do, the general tier does."""
    check(emulation.engine("plain"), of_seed(seed), tier="auto")


def test_most_programs_have_families() -> None:
    engine, families, ends = emulation.engine("plain"), 0, 0
    for seed in range(40):
        more = used(engine, run(engine, of_seed(seed), tier="auto")[2])
        families, ends = families + (more[0] > 0), ends + (more[1] > 0)
    assert families >= 20
    assert ends >= 12


@pytest.mark.parametrize("variant", emulation.SANITIZED)
@pytest.mark.parametrize("name", MODULES)
def test_modules_touch_only_their_memory_and_have_no_races(variant: str, name: str) -> None:
    engine = emulation.engine(variant)
    reports = check(engine, of_module(name))
    if variant == "race":
        assert not [race for report in reports for race in engine.races(report)]


@pytest.mark.parametrize("variant", emulation.SANITIZED)
@pytest.mark.parametrize("seed", range(16))
def test_programs_touch_only_their_memory_and_have_no_races(variant: str, seed: int) -> None:
    engine = emulation.engine(variant)
    reports = check(engine, of_seed(seed), tier="auto")
    if variant == "race":
        assert not [race for report in reports for race in engine.races(report)]


def test_what_does_not_fit_is_left_to_the_general_tier() -> None:
    """Planes of 512 points take 4 KiB; with less shared memory only coarser ones are families."""
    engine, given = emulation.engine("plain"), of_module("usual")
    counts = []
    for kilobytes in (16, 9, 8, 7):
        engine.device(shared_per_block=kilobytes << 10)
        counts.append(used(engine, check(engine, given))[0])
    assert counts == sorted(counts, reverse=True)
    assert len(set(counts)) > 1
    engine.device(shared_per_block=4 << 10)
    with pytest.raises(RuntimeError, match="tier_impossible"):
        run(engine, given)


def test_waves_and_the_order_of_threads_do_not_matter() -> None:
    engine, given = emulation.engine("plain"), of_module("usual")
    S, grad_x, _ = run(engine, given)
    for more in ({"budget": 1}, {}):
        again = run(engine, given, **more)
        assert torch.equal(again[0], S)
        assert torch.equal(again[1], grad_x)
        engine.device(threads_reversed=True, blocks_reversed=True)


@pytest.mark.parametrize("variant", emulation.EVERY)
def test_tables_that_reach_outside_are_not_followed(variant: str, rng: random.Random) -> None:
    """What comes of them is NaN, and nothing else is."""
    engine, tried, given = emulation.engine(variant), 0, of_module("usual")
    for name in ("psi_support", "phi_support") * 6:
        bad = given.packed._asdict()[name].clone()
        extremes = [-(2**63), -(2**31), 2**31, 2**62, 2**63 - 1]
        bad.view(-1)[rng.randrange(bad.numel())] = rng.choice(extremes)
        changed = given._replace(packed=given.packed._replace(**{name: bad}))
        S, grad_x, _ = run(engine, changed)
        kept = ~S.isnan()
        assert kept.all() or grad_x.isnan().any()
        assert error(S[kept], given.S.reshape(S.shape)[kept]) <= 10 * BOUND
        tried += int(S.isnan().any())
    assert tried > 8
