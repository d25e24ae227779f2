"""The gradients of the CUDA engine without a GPU, in both tiers, against the reference in float64.

As in test_engine.py, problems run plainly, under AddressSanitizer and UndefinedBehaviorSanitizer,
and under the race detector. ``tests/gpu`` runs the same engine where there is a GPU.
"""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import oracle
import pytest
import torch

import emulation
from emulation.cascades import (
    DEVICES,
    FAMILIES,
    NOTHING,
    PRIMES,
    SECOND,
    SMALL,
    TOLERANCE,
    USUAL,
    Case,
    check_gradients,
    complex_noise,
    gradient_problem,
    gradients,
    run_backward,
)
from scatcuda.ops import reference

BOTH = [
    Case(28, 28, 2),  # sides with kernels of their own: 36 and 18
    USUAL,  # 40 and 20
    Case(32, 32, 3, L=4),
    Case(64, 64, 3, L=1),
    Case(32, 32, 4, L=2),
    Case(32, 32, 5, L=1),
    Case(16, 16, 1),
    SMALL,
    Case(17, 33, 2, L=1),  # odd
    Case(23, 37, 2, L=5),
    Case(61, 19, 2, L=16),  # prime
    PRIMES,
    Case(53, 29, 2, L=2, max_order=1),
    Case(24, 16, 3, L=8, max_order=0),
    Case(24, 40, 2, L=3, pre_pad=True),
    Case(21, 27, 2, L=4, bank="tight"),
    Case(4, 4, 2, L=8),  # of few pixels each is shown many times
    Case(16, 20, 2, L=3, B=3, budget=1),
    Case(26, 18, 2, L=3, B=5, budget=400_000),
    Case(16, 16, 2, B=0),
]
CASES = [case._replace(tier=tier) for tier in ("fused", "general") for case in BOTH]
# The first order is too large for shared memory: 120 and 60, and sides without kernels of their own
CASES += [
    Case(224, 224, 3, L=1, tier="fused"),
    Case(150, 131, 2, L=2, tier="fused", B=2, budget=1),
    Case(128, 128, 4, L=1, tier="fused"),
    Case(100, 300, 1, L=1, tier="general"),  # several tiles of everything
    Case(16, 20, 2, L=3, B=2, tier="general", dtype=torch.float64),
    Case(31, 45, 3, L=5, tier="general", dtype=torch.float64),
]
SANITIZED = [case for case in CASES if case.M * case.N * case.L <= 8192]
FILTERS = [
    SMALL._replace(dtype=torch.float64),
    SMALL._replace(budget=1),
    Case(23, 37, 3, L=9, dtype=torch.float64),
    Case(20, 140, 1, L=1),  # several tiles of a matrix
    Case(12, 16, 2, L=3, max_order=1, pre_pad=True, dtype=torch.float64),
    Case(16, 12, 2, L=1, max_order=0, B=2),
    Case(12, 12, 2, B=0),
]


def test_there_are_enough_of_them() -> None:
    assert len(CASES) >= 40
    assert {case.tier for case in SANITIZED} == {"fused", "general"}


@pytest.fixture(autouse=True)
def h100() -> Any:
    yield
    emulation.engine("plain").reset_device()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_scattering_backward(case: Case) -> None:
    found, report = run_backward(emulation.engine("plain"), case)
    check_gradients(case, found)
    waves = -(-case.B // report["launch"]["wave"])
    if report["launch"]["whole"]:
        assert report["counted"] <= 1 + 5 * waves
    elif waves <= 1:
        assert report["counted"] <= 12 * case.J + 8
    assert report["launch"]["tier"] == case.tier


@pytest.mark.proof
@pytest.mark.parametrize("case", SANITIZED, ids=str)
def test_it_touches_only_its_memory(case: Case) -> None:
    check_gradients(case, run_backward(emulation.engine("address"), case)[0])


@pytest.mark.proof
@pytest.mark.parametrize("case", SANITIZED, ids=str)
def test_it_has_no_races(case: Case) -> None:
    engine = emulation.engine("race")
    found, report = run_backward(engine, case)
    check_gradients(case, found)
    assert not engine.races(report)


@pytest.mark.parametrize("variant", emulation.EVERY)
@pytest.mark.parametrize("case", FILTERS, ids=str)
def test_gradients_of_filters(variant: str, case: Case) -> None:
    """Whatever the tier: they are the general one's."""
    engine = emulation.engine(variant)
    found, report = run_backward(engine, case._replace(tier="auto"), with_psi=True, with_phi=True)
    check_gradients(case, found, filters_too=True)
    assert report["launch"]["tier"] == "general"
    assert variant != "race" or not engine.races(report)


@pytest.mark.parametrize("wanted", [(True, False, True), (False, True, False), (False, True, True)])
def test_only_what_is_wanted(wanted: tuple[bool, bool, bool]) -> None:
    names = ("with_x", "with_psi", "with_phi")
    found, _ = run_backward(
        emulation.engine("plain"), SMALL, **dict(zip(names, wanted, strict=True))
    )
    whole, _ = run_backward(emulation.engine("plain"), SMALL, with_psi=True, with_phi=True)
    for ours, theirs, asked in zip(found, whole, wanted, strict=True):
        assert torch.equal(ours, theirs) if asked else ours.numel() == 0


@pytest.mark.parametrize("case", [USUAL, SMALL, PRIMES], ids=str)
@pytest.mark.parametrize("tier", ["fused", "general", "filters"])
def test_the_order_of_threads_and_blocks_does_not_matter(case: Case, tier: str) -> None:
    wanted = {"with_psi": tier == "filters", "with_phi": tier == "filters"}
    engine, case = emulation.engine("plain"), case._replace(tier=tier.replace("filters", "auto"))
    expected, _ = run_backward(engine, case, **wanted)
    for threads_reversed, blocks_reversed in ((True, False), (False, True), (True, True)):
        engine.device(threads_reversed=threads_reversed, blocks_reversed=blocks_reversed)
        assert all(map(torch.equal, run_backward(engine, case, **wanted)[0], expected))


@pytest.mark.parametrize("tier", ["fused", "general"])
def test_the_wave_does_not_matter(tier: str) -> None:
    engine, case = emulation.engine("plain"), Case(26, 18, 2, L=3, B=5, tier=tier)
    whole, all_at_once = run_backward(engine, case)
    single, one_by_one = run_backward(engine, case, budget=1)
    assert (all_at_once["launch"]["wave"], one_by_one["launch"]["wave"]) == (5, 1)
    assert torch.equal(whole[0], single[0])


@pytest.mark.proof
@pytest.mark.parametrize("shift", [1, 2, 3])
@pytest.mark.parametrize("tier", ["fused", "general", "filters"])
def test_arrays_need_no_alignment_beyond_their_own(tier: str, shift: int) -> None:
    filters_too, case = tier == "filters", SMALL._replace(tier=tier.replace("filters", "auto"))
    wanted = {"with_psi": filters_too, "with_phi": filters_too}
    check_gradients(
        case, run_backward(emulation.engine("address"), case, shift=shift, **wanted)[0], filters_too
    )


@pytest.mark.parametrize(("scale", "max_order"), [(0.0, 2), (1e-24, 1), (1e17, 1), (1e15, 2)])
@pytest.mark.parametrize("tier", ["fused", "general"])
def test_numbers_whose_squares_are_out_of_range(tier: str, scale: float, max_order: int) -> None:
    """The modulus has a gradient however small or large its argument; at 0 it is 0."""
    case = SMALL._replace(tier=tier, max_order=max_order)
    grad, x, packed = gradient_problem(case)
    given = (grad, x * scale, packed)
    (found, *_), _ = run_backward(emulation.engine("plain"), case, given)
    theirs = gradients(case, *given, False)[0]
    assert oracle.relative_error(found, theirs) <= TOLERANCE[torch.float32]


# --- bad input ------------------------------------------------------------------------------------


@pytest.mark.proof
@pytest.mark.parametrize("tier", ["fused", "general", "filters"])
def test_tables_that_reach_outside_are_not_followed(tier: str, rng: random.Random) -> None:
    case, filters_too = SMALL._replace(tier=tier.replace("filters", "auto")), tier == "filters"
    grad, x, packed = gradient_problem(case)
    engine, wanted = emulation.engine("address"), {"with_psi": filters_too, "with_phi": filters_too}
    extremes = [-(2**63), -(2**31), 2**31, 2**62, 2**63 - 1, packed.psi.numel()]
    for name in ("psi_support", "phi_support"):
        for _ in range(6):
            bad = packed._asdict()[name].clone()
            bad.view(-1)[rng.randrange(bad.numel())] = rng.choice(extremes)
            given = (grad, x, packed._replace(**{name: bad}))
            found, _ = run_backward(engine, case, given, **wanted)
            assert found[0].isnan().any()
    check_gradients(case, run_backward(engine, case, **wanted)[0], filters_too)


def test_a_launch_that_cannot_be_is_refused() -> None:
    engine, case = emulation.engine("plain"), USUAL
    good = run_backward(engine, case)[1]["launch"]
    for change in ({"group": 0}, {"threads": 512}, {"task": "backward_with_filters"}):
        with pytest.raises(RuntimeError, match="tier_impossible"):
            run_backward(engine, case, launch={**good, **change})
    with pytest.raises(RuntimeError, match="bad_problem"):
        run_backward(engine, case, launch={**good, "task": "forward"})
    for wanted in ({"with_psi": True}, {"with_x": False}):
        with pytest.raises(RuntimeError, match="bad_problem"):
            run_backward(engine, case, launch=good, **wanted)


@pytest.mark.parametrize("fft", ["missing", "unable", "failing"])
def test_an_fft_that_fails(fft: str) -> None:
    engine = emulation.engine("plain")
    with pytest.raises(RuntimeError, match="fft_failed"):
        run_backward(engine, SMALL, tier="general", fft=fft)
    check_gradients(SMALL, run_backward(engine, SMALL, fft=fft)[0])  # the fused tier needs none


# --- which tier -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("device", "expected"),
    [
        ("H100", {(28, 2): FAMILIES, (32, 2): FAMILIES, (64, 3): SECOND, (224, 3): SECOND}),
        ("A100", {(32, 2): FAMILIES, (64, 1): FAMILIES, (128, 3): SECOND, (512, 3): NOTHING}),
        ("RTX 4090", {(28, 2): FAMILIES, (32, 2): FAMILIES, (128, 3): SECOND, (224, 3): NOTHING}),
        ("T4", {(8, 2): FAMILIES, (32, 2): SECOND, (64, 3): SECOND, (224, 3): NOTHING}),
    ],
)
def test_choose(device: str, expected: dict[tuple[int, int], tuple[str, bool]]) -> None:
    engine, limits = emulation.engine("plain"), DEVICES[device]
    kib = {name: limits[name] << 10 for name in ("shared_per_block", "shared_per_processor")}
    engine.device(architecture=limits["architecture"], **kib)
    for (side, J), way in expected.items():
        program = Case(side, side, J).program
        launch = engine.choose(64, program, task="backward")
        assert (launch["tier"], launch["whole"]) == way, (side, J)
        assert launch["shared_bytes"] <= kib["shared_per_block"]
        if way == NOTHING:
            with pytest.raises(RuntimeError, match="tier_impossible"):
                engine.choose(64, program, tier="fused", task="backward")
        for tier in ("auto", "fused"):
            with_filters = engine.choose(64, program, tier=tier, task="backward_with_filters")
            assert with_filters["tier"] == "general"


# --- the stage operators --------------------------------------------------------------------------


@pytest.mark.parametrize("variant", emulation.EVERY)
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_stages(variant: str, dtype: torch.dtype, rng: random.Random) -> None:
    engine = emulation.engine(variant)
    for _ in range(4):
        B, L, k = rng.randint(1, 11), rng.choice([1, 3, 8, 13]), rng.choice([1, 2, 3])
        M, N = k * rng.randint(1, 12), k * rng.randint(1, 12)
        shift = rng.randrange(2)
        x_hat, psi = complex_noise(B, M, N, dtype=dtype), torch.randn(L, M, N, dtype=dtype)
        grad = complex_noise(B, L, M // k, N // k, dtype=dtype)
        *found, report = engine.filter_fold_backward(
            *(t.numpy() for t in (grad, x_hat, psi)), k, shift=shift
        )
        wide = (t.to(torch.complex128) for t in (grad, x_hat))
        theirs = reference.filter_fold_backward(*wide, psi.double(), k, True, True)
        for ours, right in zip(found, theirs, strict=True):
            error = torch.from_numpy(np.array(ours)).to(right.dtype) - right
            assert error.norm() <= TOLERANCE[dtype] * right.norm()

        z, g = (
            complex_noise(count := rng.randint(1, 700), dtype=dtype),
            torch.randn(count).to(dtype),
        )
        z[0] = 0
        out, again = engine.modulus_backward(g.numpy(), z.numpy(), shift=shift)
        found = torch.from_numpy(np.array(out))
        torch.testing.assert_close(found, reference.modulus_backward(g, z))
        for ran in (report, again):
            assert variant != "race" or not engine.races(ran)


def test_directions_of_extreme_numbers() -> None:
    """Denormal and huge, infinite and not a number."""
    for dtype in TOLERANCE:
        info, real = torch.finfo(dtype), {"dtype": dtype}
        parts = [0.0, -0.0, info.tiny, info.smallest_normal * info.eps * 4, -1.0, info.max / 2]
        re, im = torch.cartesian_prod(torch.tensor(parts, **real), torch.tensor(parts, **real)).T
        z = torch.complex(re, im)
        out, _ = emulation.engine("plain").modulus_backward(torch.ones_like(re).numpy(), z.numpy())
        expected = torch.polar((z != 0).double(), torch.atan2(im, re).double())
        found = torch.from_numpy(np.array(out)).to(torch.complex128)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
        for bad in (torch.inf, torch.nan):
            z = torch.complex(torch.tensor([bad], **real), torch.tensor([1.0], **real))
            one = torch.ones(1, **real).numpy()
            out, _ = emulation.engine("plain").modulus_backward(one, z.numpy())
            assert np.isnan(out).all()
