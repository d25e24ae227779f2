"""The whole CUDA engine without a GPU: kernels, launch path and workspace, in both tiers, against
the oracle in float64.

Each problem runs plainly, under AddressSanitizer and UndefinedBehaviorSanitizer, and under the race
detector. ``tests/gpu`` runs the same engine where there is a GPU.
"""

from __future__ import annotations

import itertools
import random
from collections import Counter
from typing import Any

import numpy as np
import oracle
import pytest
import torch

import emulation
from emulation.cascades import (
    BUDGET,
    DEVICES,
    FAMILIES,
    NOTHING,
    PRIMES,
    SECOND,
    SMALL,
    TOLERANCE,
    USUAL,
    Case,
    arrays_of,
    check,
    complex_noise,
    problem,
    run,
)
from scatcuda import banks, program
from scatcuda.banks.packing import pack
from scatcuda.ops import reference
from scatcuda.program import plan

BOTH = [
    Case(28, 28, 2),  # sides with kernels of their own: 36
    USUAL,  # 40
    Case(28, 28, 3),
    Case(32, 32, 3, L=4),  # 48
    Case(64, 64, 2, L=2),  # 72
    Case(64, 64, 3, L=3),  # 80
    Case(60, 60, 3, L=1),  # 72, and 18 by four
    Case(32, 32, 4, L=4),
    Case(32, 32, 5, L=2),
    Case(16, 16, 1),
    SMALL,
    Case(17, 33, 2, L=1),  # odd
    Case(23, 37, 2, L=5),
    Case(61, 19, 2, L=16),  # prime
    Case(34, 13, 1, L=3),
    PRIMES,
    Case(40, 75, 3, L=1),  # 56 and 88
    Case(53, 29, 2, L=2, max_order=1),
    Case(64, 48, 3, L=8, max_order=0),
    Case(31, 47, 3, L=1),
    Case(24, 40, 2, L=3, pre_pad=True),
    Case(21, 27, 2, L=4, bank="tight"),
    Case(16, 20, 2, L=3, B=3, budget=1),
    Case(26, 18, 2, L=3, B=5, budget=400_000),
    Case(16, 16, 2, B=0),
    Case(4, 4, 2, L=8),
]
# The first order is too large for shared memory, the second is not: 120, 60, 72, 36, 80, by two and
# by four, and sides without kernels of their own
MIXED = [
    Case(224, 224, 3, L=1, tier="fused"),
    Case(128, 128, 3, L=2, tier="fused"),
    Case(128, 128, 4, L=1, tier="fused"),
    Case(256, 256, 4, L=1, tier="fused"),
    Case(256, 256, 5, L=1, tier="fused"),
    Case(150, 131, 2, L=3, tier="fused", B=2, budget=1),
]
GENERAL = [
    Case(16, 20, 2, L=3, B=2, tier="general", dtype=torch.float64),
    Case(31, 45, 3, L=5, tier="general", dtype=torch.float64),
    Case(200, 300, 2, L=1, tier="general"),  # several tiles of the low-pass
    Case(18, 1100, 1, L=1, tier="general"),
]
CASES = [case._replace(tier=tier) for tier in ("fused", "general") for case in BOTH]
CASES += MIXED + GENERAL
# Sanitized fibers are slow: the largest problems are left to the plain run
SANITIZED = [case for case in CASES if case.M * case.N * case.L <= 128 * 128]


def test_there_are_enough_of_them() -> None:
    assert len(CASES) >= 40
    assert {case.L for case in CASES} >= {1, 3, 8, 16}
    assert {case.J for case in CASES} == {1, 2, 3, 4, 5}
    assert {case.tier for case in SANITIZED} == {"fused", "general"}


@pytest.fixture(autouse=True)
def h100() -> Any:
    yield
    emulation.engine("plain").reset_device()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_scattering(case: Case) -> None:
    S, report = run(emulation.engine("plain"), case)
    check(case, S)
    # every launch waits in the queue of the GPU: few of them are what makes small batches fast
    waves = -(-case.B // report["launch"]["wave"])
    if report["launch"]["whole"]:
        assert report["counted"] <= 1 + 3 * waves  # 4 where all images go at once
    elif waves <= 1:
        assert report["counted"] <= 8 * case.J + 8
    assert report["launch"]["tier"] == case.tier


@pytest.mark.proof
@pytest.mark.parametrize("case", SANITIZED, ids=str)
def test_scattering_touches_only_its_memory(case: Case) -> None:
    S, _ = run(emulation.engine("address"), case)
    check(case, S)


@pytest.mark.proof
@pytest.mark.parametrize("case", SANITIZED, ids=str)
def test_scattering_has_no_races(case: Case) -> None:
    engine = emulation.engine("race")
    S, report = run(engine, case)
    check(case, S)
    assert not engine.races(report)


@pytest.mark.parametrize("case", [USUAL, SMALL, PRIMES], ids=str)
@pytest.mark.parametrize("tier", ["fused", "general"])
def test_the_order_of_threads_and_blocks_does_not_matter(case: Case, tier: str) -> None:
    engine, case = emulation.engine("plain"), case._replace(tier=tier)
    expected, _ = run(engine, case)
    for threads_reversed, blocks_reversed in ((True, False), (False, True), (True, True)):
        engine.device(threads_reversed=threads_reversed, blocks_reversed=blocks_reversed)
        assert torch.equal(run(engine, case)[0], expected)


@pytest.mark.parametrize("case", [SMALL, Case(26, 18, 2, L=3, B=5)], ids=str)
@pytest.mark.parametrize("tier", ["fused", "general"])
def test_the_wave_does_not_matter(case: Case, tier: str) -> None:
    case = case._replace(tier=tier)
    whole, all_at_once = run(emulation.engine("plain"), case, budget=BUDGET)
    single, one_by_one = run(emulation.engine("plain"), case, budget=1)
    assert all_at_once["launch"]["wave"] == case.B
    assert one_by_one["launch"]["wave"] == 1
    assert torch.equal(whole, single)


@pytest.mark.proof
@pytest.mark.parametrize("shift", [1, 2, 3])
@pytest.mark.parametrize("tier", ["fused", "general"])
def test_arrays_need_no_alignment_beyond_their_own(tier: str, shift: int) -> None:
    case = USUAL._replace(tier=tier)
    check(case, run(emulation.engine("address"), case, shift=shift)[0])


@pytest.mark.proof
@pytest.mark.parametrize(
    "case", [Case(28, 28, 2), USUAL, Case(32, 32, 3, L=4), Case(64, 64, 3, L=3), SMALL], ids=str
)
def test_the_fused_tier_keeps_to_shared_memory(case: Case) -> None:
    """Global memory carries little more than x̂, the filters once a block, and S. Every access of
    every thread counts, but for the five numbers of a support table, which all threads read at
    once."""
    engine, case = emulation.engine("race"), case._replace(tier="fused")
    _, report = run(engine, case)
    p, boxes = case.plan, problem(case)[1][1].reshape(-1, 5)
    kept = {}
    for (res, j, _), (_, head, tail, left, right) in zip(p.tables(), boxes, strict=True):
        rows, columns = p.sides(res)
        kept[res, j] = int((rows - tail + head) * (columns - right + left))
    (Mp, Np), (m, n) = p.padded, p.output
    runs = {name: ran for ran, name in zip(report["launches"], engine.kernels(report), strict=True)}
    (families,) = (ran for name, ran in runs.items() if "families" in name)
    (last,) = (ran for name, ran in runs.items() if "second" in name)  # the last scale

    def block(wavelets: int, resolutions: range, outputs: int) -> int:
        """Bytes of filters and spectrum, half of it in memory and read twice, and of S."""
        lowpass = sum(m * (Mp >> res) + n * (Np >> res) for res in resolutions)
        return 4 * (wavelets + lowpass + 2 * Mp * Np + outputs * m * n)

    wanted = 0
    for j1 in range(case.J - 1):
        scales = range(j1 + 1, case.J)
        wavelets = kept[0, j1] + case.L * sum(kept[j1, j2] for j2 in scales)
        wanted += case.L * block(wavelets, range(j1, case.J), 1 + case.L * len(scales))
    assert families["grid"][0] == case.B * case.L * (case.J - 1)
    groups = last["grid"][0] // case.B
    wanted += groups * block(0, range(case.J - 1, case.J), 0)
    wanted += 4 * case.L * (kept[0, case.J - 1] + m * n)
    wanted *= case.B
    moved = 0
    for ran in (families, last):
        traffic = dict(ran["traffic"])
        moved += traffic.pop("psi_support")["read_once_a_block"]
        moved += sum(buffer["read"] + buffer["written"] for buffer in traffic.values())
    print(f"{case}: {moved / wanted:.2f} x (x_hat + filters once a block + S)")
    assert moved <= 1.5 * wanted


@pytest.mark.proof
def test_bands_reach_round_the_edges() -> None:
    """The general low-pass reads the columns that four outputs need, and no others: those at the
    edges of the plane as few as any."""
    engine, case = emulation.engine("race"), Case(64, 64, 3, L=1, max_order=1, tier="general")
    S, report = run(engine, case)
    check(case, S)
    order_0 = next(
        ran
        for name, ran in zip(engine.kernels(report), report["launches"], strict=True)
        if "lowpass" in name
    )
    bands = problem(case)[1][3].reshape(-1, 2)[8:16]  # of Q
    assert bands[0, 0] < 0 and bands[-1, 1] > 80
    columns = [int(bands[i + 3, 1] - bands[i, 0]) for i in (0, 4)]
    assert columns == [61] * 2  # 37 taps, three steps of eight; all 80 where bands cannot wrap
    assert order_0["traffic"]["workspace"]["read"] == 4 * 80 * sum(columns)


@pytest.mark.proof
def test_intermediates_of_the_fused_tier_stay_inside() -> None:
    engine = emulation.engine("race")
    _, report = run(engine, USUAL._replace(tier="fused"))
    written: Counter[str] = Counter()
    for name, ran in zip(engine.kernels(report), report["launches"], strict=True):
        if "families" in name:
            written.update({buffer: t["written"] for buffer, t in ran["traffic"].items()})
    assert written["workspace"] == 0
    assert written["S"] > 0


@pytest.mark.parametrize("variant", emulation.EVERY[:2])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.uint8])
@pytest.mark.parametrize(
    "case",
    [
        SMALL._replace(tier="fused"),
        SMALL._replace(tier="general"),
        SMALL._replace(tier="general", dtype=torch.float64),
    ],
    ids=str,
)
def test_short_pixels(variant: str, dtype: torch.dtype, case: Case) -> None:
    """Images stored in fewer bits give what they give when they are converted before."""
    x = torch.from_numpy(problem(case)[0] * 200).to(dtype)
    if dtype == torch.float16:  # 0 and -0, and the smallest there are
        x[0, 0, :4] = torch.tensor([0.0, -0.0, 2.0**-24, -(2.0**-15)])
    stored = x.view(torch.uint8).numpy().ravel()
    bank, sizes = problem(case)[1], {"program": case.program, "tier": case.tier}
    engine, wide = emulation.engine(variant), x.to(case.dtype).numpy()
    pixels = {torch.float16: "half", torch.bfloat16: "bfloat16", torch.uint8: "uint8"}[dtype]
    expected, _ = engine.scattering(wide, *bank, **sizes)
    found, _ = engine.scattering(wide * 0, *bank, **sizes, pixels=pixels, stored=stored)
    np.testing.assert_array_equal(found, expected)


def test_every_half_is_read() -> None:
    """All numbers of half precision, as the pixels of images that the padding only copies."""
    everything = np.arange(2**16, dtype=np.uint16).view(np.float16)
    finite = everything[np.isfinite(everything)].astype(np.float32).reshape(-1, 16, 16)
    p = plan.Plan(1, 1, 0, 16, 16, pre_pad=True)
    bank = pack(banks.morlet_bank(p.padded, 1, 1), p, torch.float32)
    arrays = arrays_of(bank)
    arguments = {"program": program.images(1, 1, 0, 16, 16, pre_pad=True).text, "tier": "general"}
    engine, stored = emulation.engine("plain"), finite.astype(np.float16).view(np.uint8).ravel()
    expected, _ = engine.scattering(finite, *arrays, **arguments)
    blank = np.zeros_like(finite)
    found, _ = engine.scattering(blank, *arrays, **arguments, pixels="half", stored=stored)
    np.testing.assert_array_equal(found, expected)


# --- bad input ------------------------------------------------------------------------------------


@pytest.mark.proof
@pytest.mark.parametrize("tier", ["fused", "general"])
def test_tables_that_reach_outside_are_not_followed(tier: str, rng: random.Random) -> None:
    case = SMALL._replace(tier=tier)
    x, (psi, boxes, phi, bands), _ = problem(case)
    arguments = {"program": case.program, "tier": tier}
    engine, good = emulation.engine("address"), run(emulation.engine("plain"), case)[0].numpy()
    extremes = [-(2**63), -(2**31), 2**31, 2**62, 2**63 - 1, psi.size]
    for _ in range(8):
        bad = boxes.copy()
        bad[rng.randrange(bad.size)] = rng.choice([*extremes, -1])
        S, _ = engine.scattering(x, psi, bad, phi, bands, **arguments)
        assert np.isnan(S).any()
        kept = ~np.isnan(S)
        np.testing.assert_allclose(np.array(S)[kept], good[kept], rtol=1e-5)
        bad = bands.copy()
        bad[rng.randrange(bad.size)] = rng.choice(extremes)
        S, _ = engine.scattering(x, psi, boxes, phi, bad, **arguments)
        assert np.isnan(S).any()
        kept = ~np.isnan(S)
        np.testing.assert_allclose(np.array(S)[kept], good[kept], rtol=1e-5)


def test_a_launch_that_cannot_be_is_refused() -> None:
    engine, case = emulation.engine("plain"), USUAL
    good = run(engine, case)[1]["launch"]
    changes = [{"group": 0}, {"group": 3}, {"group": 16}, {"threads": 96}, {"threads": 512}]
    changes += [{"threads": 130}, {"wave": 0}]
    for change in changes:
        with pytest.raises(RuntimeError, match="tier_impossible"):
            run(engine, case, launch={**good, **change})
    with pytest.raises(RuntimeError, match="tier_impossible"):
        run(engine, GENERAL[0], launch=good)


@pytest.mark.parametrize("fft", ["missing", "unable", "failing"])
def test_an_fft_that_fails(fft: str) -> None:
    engine = emulation.engine("plain")
    with pytest.raises(RuntimeError, match="fft_failed"):
        run(engine, USUAL, tier="general", fft=fft)
    check(USUAL, run(engine, USUAL, fft=fft)[0])  # the fused tier needs none


def test_a_device_older_than_the_build() -> None:
    engine = emulation.engine("plain")
    engine.device(has_kernels=False)
    with pytest.raises(RuntimeError, match="no_kernel"):
        run(engine, USUAL)


@pytest.mark.parametrize("refusal", [35, 200, 222])  # too old, cannot unpack, does not know the PTX
def test_a_driver_older_than_the_build(refusal: int) -> None:
    engine = emulation.engine("plain")
    engine.device(refusal=refusal)
    told = r"launch_failed: the NVIDIA driver here \(CUDA 12\.4\) is too old for this build \(CUDA "
    told += r"13\.0, NVIDIA driver 580 or newer\)\. Update it, or install .* an older CUDA toolkit"
    told += " or with SCATCUDA_ARCHS=native$" if refusal == 222 else "$"
    with pytest.raises(RuntimeError, match=told):
        run(engine, USUAL)


def test_a_machine_without_a_device() -> None:
    engine = emulation.engine("plain")
    engine.device(refusal=100)
    with pytest.raises(RuntimeError, match=r"no_device: no CUDA-capable device is detected$"):
        run(engine, USUAL)


# --- which tier -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("device", "expected"),
    [
        ("H100", {(28, 2): FAMILIES, (32, 2): FAMILIES, (64, 3): FAMILIES, (224, 3): SECOND}),
        ("H100", {(256, 4): SECOND, (512, 3): NOTHING, (32, 1): FAMILIES, (224, 1): NOTHING}),
        ("A100", {(32, 2): FAMILIES, (64, 3): FAMILIES, (224, 3): SECOND, (512, 3): NOTHING}),
        ("RTX 4090", {(32, 2): FAMILIES, (128, 3): SECOND, (224, 3): NOTHING}),
        ("T4", {(32, 2): FAMILIES, (128, 3): SECOND, (224, 3): NOTHING}),
    ],
)
def test_choose(device: str, expected: dict[tuple[int, int], tuple[str, bool]]) -> None:
    engine = emulation.engine("plain")
    limits = DEVICES[device]
    kib = {name: limits[name] << 10 for name in ("shared_per_block", "shared_per_processor")}
    engine.device(architecture=limits["architecture"], **kib)
    for (side, J), way in expected.items():
        text = Case(side, side, J).program
        launch = engine.choose(64, text)
        assert (launch["tier"], launch["whole"]) == way, (side, J)
        assert launch["shared_bytes"] <= kib["shared_per_block"]
        assert engine.choose(64, text, tier="general")["tier"] == "general"
        assert engine.choose(64, text, wide=True)["tier"] == "general"
        if way == NOTHING:
            with pytest.raises(RuntimeError, match="tier_impossible"):
                engine.choose(64, text, tier="fused")


@pytest.mark.parametrize("device", ["A100", "H100"])
@pytest.mark.parametrize("task", ["forward", "backward"])
def test_registers_are_shared_as_memory_is(device: str, task: str) -> None:
    """Where a processor has shared memory for two blocks it has registers for them: of the kernels
    for whole families those that nvcc may give up to 128 a thread, of sides 72 and 80 up to 96,
    backward 168."""
    engine, limits = emulation.engine("plain"), DEVICES[device]
    kib = {name: limits[name] << 10 for name in ("shared_per_block", "shared_per_processor")}
    engine.device(architecture=limits["architecture"], **kib)
    two = 0
    for side, J, L in itertools.product((44, 48, 56, 64, 72), (1, 2, 3), (1, 4, 8)):
        launch = engine.choose(64, Case(side, side, J, L).program, task=task)
        if not launch["whole"]:
            continue
        blocks = kib["shared_per_processor"] // (launch["shared_bytes"] + 1024)
        padded = ((side >> J) + 2) << J
        registers = 168 if task == "backward" else 96 if padded in (72, 80) else 128
        two += blocks >= 2
        assert min(2, blocks) * launch["threads"] * registers <= 1 << 16, (side, J, L)
    assert two > 0


def test_the_limits_are_those_of_the_device_asked_for() -> None:
    engine = emulation.engine("plain")
    engine.device(count=3, current=2)
    memory = [engine.device_limits(index)["memory_bytes"] for index in range(3)]
    assert memory == [80 << 30, 40 << 30, 20 << 30]
    with pytest.raises(RuntimeError, match="invalid device ordinal"):
        engine.device_limits(3)


@pytest.mark.parametrize("tier", ["auto", "general"])
def test_the_workspace_keeps_to_the_budget(tier: str) -> None:
    engine = emulation.engine("plain")
    case = SMALL._replace(B=40, tier=tier)
    for budget in (200_000, 1_000_000, 5_000_000):
        _, report = run(engine, case, budget=budget)
        wave = report["launch"]["wave"]
        # the bank and what an FFT wants come on top; waves are as even as can be
        assert report["workspace_bytes"] <= 1.2 * budget + 60_000
        assert (-(-case.B // wave) - 1) * wave < case.B


# --- the stage operators --------------------------------------------------------------------------


@pytest.mark.parametrize("variant", emulation.EVERY)
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_stages(variant: str, dtype: torch.dtype, rng: random.Random) -> None:
    engine = emulation.engine(variant)
    for _ in range(4):
        B, L, k = rng.randint(1, 3), rng.choice([1, 3, 8, 13]), rng.choice([1, 2, 3])
        M, N = k * rng.randint(1, 12), k * rng.randint(1, 12)
        shift = rng.randrange(2)
        x_hat, psi = complex_noise(B, M, N, dtype=dtype), torch.randn(L, M, N, dtype=dtype)
        out, report = engine.filter_fold(x_hat.numpy(), psi.numpy(), k, shift=shift)
        expected = reference.filter_fold(x_hat.to(torch.complex128), psi.double(), k)
        found = torch.from_numpy(np.array(out)).to(torch.complex128)
        assert (found - expected).norm() <= TOLERANCE[dtype] * expected.norm()

        z = complex_noise(rng.randint(1, 700), dtype=dtype)
        out, again = engine.modulus(z.numpy(), shift=shift)
        torch.testing.assert_close(torch.from_numpy(np.array(out)), z.abs())

        m, n = rng.randint(1, 40), rng.randint(1, 20)
        M, N = rng.randint(1, 20), rng.choice([5, 128, 131, 300])
        u, a_m, a_n = (torch.randn(*s, dtype=dtype) for s in ((B, M, N), (m, M), (n, N)))
        out, third = engine.lowpass(u.numpy(), a_m.numpy(), a_n.numpy(), shift=shift)
        expected = a_m.double() @ u.double() @ a_n.double().mT
        assert oracle.relative_error(torch.from_numpy(np.array(out)), expected) <= TOLERANCE[dtype]
        for ran in (report, again, third):
            assert ran["counted"] == 1
            assert variant != "race" or not engine.races(ran)
