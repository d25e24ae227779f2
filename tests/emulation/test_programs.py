"""The general tier on programs of any rank, depth and kind of step, forward and backward, against
the interpreter in float64 (``scatcuda.reference``): plainly, sanitized and under the race detector.
"""

from __future__ import annotations

import random
from typing import Any

import pytest
import random_programs
import torch

import emulation
from emulation.drawn import TOLERANCE, check, error, posed, problem, run
from scatcuda import ScatteringCovariance, WaveletPhaseHarmonics
from scatcuda.program.packing import Packed

PLAIN = [(seed, gathering) for seed in range(48) for gathering in (False, True)]
SANITIZED = PLAIN[:40]
MARKED = [  # a third for `make test`
    pytest.param(*drawn, marks=[pytest.mark.proof] * (i >= 32)) for i, drawn in enumerate(PLAIN)
]


@pytest.fixture(autouse=True)
def h100() -> Any:
    yield
    emulation.engine("plain").reset_device()


def test_there_are_all_kinds_of_them() -> None:
    programs = [random_programs.program(random.Random(seed), pairs) for seed, pairs in PLAIN]
    texts = [program.text for program in programs]
    for kind in ("modulus", "norm", "none", "phase:2", "<", "group", "pair", "weight", "shift",
                 "complex", "mean", "power", "by", "r", "s", "z", "p"):  # fmt: skip
        assert any(kind in text for text in texts), kind
    axes = {text.split(";")[0].count(" ") for text in texts}
    assert axes == {1, 2, 3}


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(("seed", "gathering"), MARKED)
def test_programs(seed: int, gathering: bool, dtype: torch.dtype) -> None:
    given = problem(seed, gathering, dtype)
    check(given, run(emulation.engine("plain"), given)[0])


STATISTICS = {
    "covariances": lambda: ScatteringCovariance((20, 16), J=2, L=2),
    "covariances of signals": lambda: ScatteringCovariance((48,), J=3),
    "phase harmonics": lambda: WaveletPhaseHarmonics((16, 18), 2, 2, dn=1, A=2),
}


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", STATISTICS)
def test_statistics(name: str, dtype: torch.dtype) -> None:
    module = STATISTICS[name]().to(dtype)
    packed = Packed(*(getattr(module, f"_{table}") for table in Packed._fields))
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(2, *module.shape, dtype=dtype, generator=generator)
    given = posed(module._program, packed, x, 0)
    check(given, run(emulation.engine("plain"), given)[0])
    engine = emulation.engine("race")
    found, reports = run(engine, given)
    check(given, found)
    assert not [race for report in reports for race in engine.races(report)]


@pytest.mark.parametrize("variant", emulation.SANITIZED)
@pytest.mark.parametrize(("seed", "gathering"), SANITIZED)
def test_programs_touch_only_their_memory_and_have_no_races(
    variant: str, seed: int, gathering: bool
) -> None:
    engine, given = emulation.engine(variant), problem(seed, gathering, torch.float32)
    found, reports = run(engine, given)
    check(given, found)
    if variant == "race":
        assert not [race for report in reports for race in engine.races(report)]


@pytest.mark.parametrize(("seed", "gathering"), PLAIN[:12])
def test_waves_and_the_order_of_threads_do_not_matter(seed: int, gathering: bool) -> None:
    """S and the gradient of x are the same bits; those of filters are summed wave by wave."""
    engine, given = emulation.engine("plain"), problem(seed, gathering, torch.float32, batch=3)
    whole, together = run(engine, given)
    single, alone = run(engine, given, budget=1)
    assert [report["launch"]["wave"] for report in (*together, *alone)] == [3, 3, 1, 1]
    assert all(map(torch.equal, whole[:2], single[:2]))
    check(given, single)
    engine.device(threads_reversed=True, blocks_reversed=True)
    assert all(map(torch.equal, run(engine, given)[0], whole))


@pytest.mark.proof
@pytest.mark.parametrize("gathering", [False, True])
def test_tables_that_reach_outside_are_not_followed(gathering: bool, rng: random.Random) -> None:
    """What comes of them is NaN, and nothing else is."""
    engine, tried = emulation.engine("address"), 0
    for seed in range(12):
        given = problem(seed, gathering, torch.float32)
        for name in ("psi_support", "phi_support"):
            bad = given.packed._asdict()[name].clone()
            if bad.numel() == 0:
                continue
            extremes = [-(2**63), -(2**31), 2**31, 2**62, 2**63 - 1]
            bad.view(-1)[rng.randrange(bad.numel())] = rng.choice(extremes)
            changed = given._replace(packed=given.packed._replace(**{name: bad}))
            (S, grad_x, *_), _ = run(engine, changed)
            kept = ~S.isnan()
            assert kept.all() or grad_x.isnan().any()
            wanted = given.wanted[0].reshape(S.shape)[kept]
            assert error(S[kept], wanted) <= 10 * TOLERANCE[torch.float32]
            tried += int(S.isnan().any())
    assert tried > 8
