"""How large a problem may be: one set of limits in Python and C, said before anything is allocated.
``native/sizes.cpp`` proves that no size within them overflows."""

from __future__ import annotations

import re
import tracemalloc
from collections.abc import Callable
from ctypes import byref, c_void_p
from itertools import product
from math import prod
from pathlib import Path

import capi
import numpy as np
import pytest
import torch
from programs import mutated, random_program, random_tables

from scatcuda import Cascade, Scattering2D, banks, limits, ops
from scatcuda.cli import main
from scatcuda.config import cuda_launch
from scatcuda.learn import ScatteringTransformer, hybrid, pool
from scatcuda.ops import reference
from scatcuda.program import parse
from scatcuda.program.plan import Plan

ROOT = Path(__file__).parents[1]
S, HUGE = (32, 32), 10**5000  # Python refuses to print integers of so many digits
META = [torch.empty(4, 4, device="meta")] * 5
HERE = [torch.empty(4, 4)] * 5


def cascade(J: int, shape: tuple[int, int], **options: int) -> object:
    return Cascade(J, shape, **options)


CASES: list[tuple[Callable[[], object], str]] = [
    (lambda: Scattering2D(10**9, S), "Scattering2D: J must be at most 24; got 1000000000"),
    (lambda: Scattering2D(HUGE, S), "Scattering2D: J must be at most 24; got one of 16610 bits"),
    (lambda: Scattering2D(np.int64(2**62), S), "Scattering2D: J must be at most 24; got 4611"),
    (lambda: Scattering2D(2, S, L=10**12), "Scattering2D: L must be at most 4096; got 10000"),
    (lambda: Scattering2D(2, S, L=2**70), "Scattering2D: L must be at most 4096; got 1180"),
    (lambda: Scattering2D(2, (10**12, 10**12)), "a side of shape must be at most 16777216; got 1"),
    (lambda: Scattering2D(2, (HUGE, 4)), "a side of shape must be at most 16777216; got one of"),
    (lambda: Scattering2D(20, (2**22, 2**22), L=4096), "the number of paths must be at most 1048"),
    (lambda: Scattering2D(1, (2**22, 2**22)), "padded pixels 4194308 x 4194308 must be at most"),
    (lambda: Scattering2D(1, (2**24, 4)), "the low-pass' numbers, .* must be at most 10995116"),
    (lambda: Scattering2D(20, (2**24, 2**24), pre_pad=True), "side of shape must be at most 16"),
    (lambda: Scattering2D(2, S, workspace=2**70), "workspace must be at most 9223372036854775807"),
    (lambda: banks.padded_shape((2**30, 3), 1), "a side of shape must be at most 16777216"),
    (lambda: banks.morlet_bank((2**26, 4), 2), "a side of shape must be at most 50331648"),
    (lambda: banks.morlet_bank((2**25, 2**20), 2), "morlet_bank: L = 8 angles, in 8 lanes"),
    (lambda: banks.tight_bank((64, 64), HUGE), "tight_bank: J must be at most 24"),
    (lambda: banks.crop(torch.zeros(8, 8), 10**12), "crop: res must be at most 24"),
    (lambda: banks.lowpass_matrix(torch.zeros(8), 0, 10**12), "J must be at most 24"),
    (lambda: cascade(10**9, S), "Cascade: J must be at most 24"),
    (lambda: cascade(12, (4096, 4096), depth=12), "the number of paths must be at most 1048576"),
    (lambda: ScatteringTransformer(10**9).fit(np.zeros((2, 8, 8))), "J must be at most 24"),
    (lambda: pool(torch.zeros(1, 81, 8, 8), "mean", J=10**12), "pool: J must be at most 24"),
    (lambda: hybrid(10, (1, 32, 32), J=10**12), "hybrid: J must be at most 24"),
    (lambda: ops.scattering2d(*HERE, 10**12, 8), "scattering2d: J must be at most 24"),
    (lambda: ops.scattering2d(*META, HUGE, 8), "scattering2d: J must be at most 24; got one of"),
    (lambda: reference.scattering(*HERE, "x 16777217"), "a side must be an integer from 1 to 1677"),
    (
        lambda: reference.scattering(*HERE, "x 4 4;S 1;psi 4097 4"),
        "filters must be an integer",
    ),
    (lambda: cuda_launch(10**9, S, device="H100"), "cuda_launch: J must be at most 24"),
    (lambda: cuda_launch(2, S, batch=2**63 - 1, device="H100"), "batch must be at most 4642886213"),
    (lambda: cuda_launch(2, S, batch=HUGE, device="H100"), "batch must be at most 46428862137840;"),
    (lambda: cuda_launch(2, S, workspace=2**63, device="H100"), "workspace must be at most 92233"),
]


@pytest.mark.parametrize(("make", "sentence"), CASES)
def test_what_is_too_large_is_said_before_anything_is_allocated(make, sentence):
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=sentence):
            make()
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("tensors", [META, HERE], ids=["meta", "cpu"])
@pytest.mark.parametrize(
    "text",
    ["x 0 4", "x 4611686018427387904 4", "x 4 4;S 1099511627777", "x 4 4;S 1",
     "x 16777216 16777216", "x 4 4;S 1;psi 4097 4 4", "x 4 4;S 1;psi 4096 16777216 16",
     "x 4 4;S 1;phi 16777216 16777216"],
)  # fmt: skip
def test_operators_say_so_too(tensors, text):
    with pytest.raises((RuntimeError, ValueError), match="scattering: "):
        torch.ops.scatcuda.scattering(*tensors, text)


def test_the_command_says_so(capsys, tmp_path):
    export = ["export", str(tmp_path / "plan.scat")]
    for options in (["--J", "999999999"], ["--L", "9" * 20], ["--shape", f"{'9' * 30},8"]):
        try:
            status = main([*export, "--J", "2", "--shape", "32,32", *options])
        except SystemExit as stopped:
            status = stopped.code
        said = capsys.readouterr().err
        assert status and ("must be at most" in said or f"argument {options[0]}:" in said)


def test_c_has_the_same_numbers():
    text = (ROOT / "csrc/core/program.h").read_text()
    ours = {
        "max_rank": limits.RANK, "max_level": limits.LEVELS, "longest_side": limits.SIDE,
        "most_steps": limits.STEPS, "longest_text": limits.TEXT, "most_filters": limits.FILTERS,
        "most_planes": limits.PLANES, "most_numbers": limits.NUMBERS,
        "most_batch_numbers": limits.BATCH_NUMBERS,
    }  # fmt: skip
    for name, value in ours.items():
        number = re.search(rf"\b{name} = ([^,;]+)", text)[1].replace("int64_t{1}", "1")
        base, _, power = number.partition("<<")
        assert int(base) << int(power or 0) == value, name


def status_of(text: str) -> tuple[int, str]:
    """What C says of a program whose tables are not there."""
    made, message = c_void_p(), capi.Message()
    tables = capi.Tables(4, text.encode(), 0, None, None, None, None)
    status = capi.library().plan_create(byref(tables), byref(made), byref(message))
    capi.library().plan_destroy(made)
    return status, message.value.decode()


def test_pairs_of_a_short_text_are_not_many():
    pairs = ";".join(f"pair 0 0 all at {i << 20}" for i in range(64))
    text = f"x 2;S {64 << 20};psi 1024 2;wavelet x 0 /1 none;{pairs}"
    sentence = "step 2 (pair): more than 1048576 planes are paired"
    assert status_of(text) == (capi.BAD_PLAN, "program: " + sentence)
    with pytest.raises(ValueError) as error:
        parse(text)
    assert str(error.value) == sentence


@pytest.mark.parametrize("large", [False, True])
def test_python_and_c_read_programs_alike(rng, large):
    taken = 0
    for i in range(1500):
        text = random_program(rng, large)
        for _ in range(i % 4):
            text = mutated(rng, text)
        text = text.replace("\0", "")
        try:
            parse(text)
        except ValueError as error:
            status, said = status_of(text)
            assert status == capi.BAD_PLAN, (text, str(error))
            assert said.startswith("program: "), (text, said, str(error))
        else:
            # nothing but a table is missing
            status, said = status_of(text)
            assert status in (capi.OK, capi.BAD_ARGUMENT), (text, said)
            taken += 1
    assert 300 < taken < 1300


def around(*numbers: int) -> list[int]:
    return [n + d for n in numbers for d in (-1, 0, 1)]


def test_every_problem_of_images_is_a_program(rng):
    sides = [1, 6, *around(32, 2**11, 2**15, 2**19, limits.SIDE), -1, 2**62]
    angles = [*around(1, 8, 16, 512, 724, 1448, limits.ANGLES), 2**40]
    scales = [*around(1, 4, 10, 16, limits.SCALES), 2**40]
    problems = [
        (rng.choice(scales), rng.choice(angles), rng.choice((0, 1, 2, 2, 3)), *side, pre_pad)
        for _ in range(40)
        for side in product(rng.sample(sides, 3), repeat=2)
        for pre_pad in (False, True)
    ]
    for J, unit in ((3, 8), (12, 4096)):  # sides that may come padded
        problems += [
            (J, L, order, unit * a, unit * b, True)
            for L, order in ((8, 2), (724, 1), (200, 2))
            for a, b in product((2, 3, 4096, 2**24 // unit, 2**24 // unit + 1), repeat=2)
        ]
    taken = 0
    for problem in problems:
        try:
            plan = Plan(*problem)
        except ValueError:
            continue
        status, said = status_of(plan.program)
        assert status == capi.BAD_ARGUMENT, (problem, said)
        assert said == "a table that the program needs is NULL"
        taken += 1
    assert 20 < taken < len(problems) - 20


def test_the_largest_batch_is_the_same(rng, tmp_path):
    ask = capi.library().workspace_bytes
    for seed in range(10):
        text = random_program(rng)
        program = parse(text)
        packed = random_tables(text, seed)
        plan, most = capi.Plan(capi.tables(text, packed)), program.most_signals
        numbers = prod(program.signal) + program.channels * program.unit
        assert most == limits.BATCH_NUMBERS // numbers
        for task in (capi.FORWARD, capi.BACKWARD, capi.BACKWARD_WITH_FILTERS):
            assert ask(plan.plan, task, most, 3) >= 0
            assert ask(plan.plan, task, most + 1, 3) == -1
    most = Plan(2, 3, 2, 17, 20).most_images
    assert cuda_launch(2, (17, 20), 3, batch=most, device="H100").wave >= 1
    with pytest.raises(ValueError, match=f"batch must be at most {most}"):
        cuda_launch(2, (17, 20), 3, batch=most + 1, device="H100")
