"""Programs: what a builder writes is what both parsers read, what they refuse, and what each kind
of step computes, against formulas written out. The engines run the same list in test_steps.py."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import capi
import numpy as np
import pytest
import torch
from torch import Tensor

from scatcuda import Cascade, banks, ops
from scatcuda.banks.packing import pack
from scatcuda.ops import reference
from scatcuda.program import Axis, Builder, Program, X, images, parse, planfile, wavelets_of_images
from scatcuda.program.arrays import pack_set
from scatcuda.program.packing import Packed, filters_of, matrix_of, pack_program
from scatcuda.program.plan import Plan, meta_of, wavelet_numbers

IMAGES = [
    (2, 8, 2, 32, 32), (3, 4, 3, 32, 32), (4, 2, 4, 32, 48), (1, 3, 2, 9, 9),
    (3, 3, 1, 24, 24, True), (2, 2, 0, 8, 8),
]  # fmt: skip


# --- text -------------------------------------------------------------------------------------


def every_kind() -> Program:
    """One of each statement, in two dimensions."""
    b = Builder(Axis(6, "s", 1, 1), Axis(9, "p", 0, 3))
    U = b.wavelet(X, b.set(5, 8, 12), fold=(2, 3), crop=(True, False))
    V = b.wavelet(X, b.set(3, 8, 12), fold=(2, 3), rho="norm")
    Z = b.wavelet(U, b.set(2, 4, 4), rho="none")
    P = b.wavelet(V, b.set(2, 4, 4), rho="phase:0.5")
    G = b.group([Z, P], [[0, ~3, None], [10, 11, ~4]], b.set(2, 4), every=2)
    b.powers(U, 0.5, 1, 2)
    b.mean(V)
    b.mean(X)
    b.mean(G)
    b.pair(Z, P, [(0, 1), (9, 0)], weight=2, shifts=[(0, 0), (1, 3)], imaginary=True)
    b.pair(X, X)
    return b.build()


def test_the_text_of_every_statement():
    program = every_kind()
    assert program.text.startswith(
        "x 6s1+1 9p0+3;S 42;psi 5 8 12;psi 3 8 12;psi 2 4 4;psi 2 4 4;psi 2 4;wavelet x 0"
    )
    for statement in (
        "wavelet x 0 <2 /3 modulus", "wavelet x 1 /2 /3 norm", "wavelet 0 2 /1 /1 none",
        "wavelet 1 3 /1 /1 phase:0.5", "group 2,3 2x3 0,~3,-,10,11,~4 4 /2 modulus",
        "average 0 power 0.5 1 2 at 1+3", "average 1 mean at 16", "average x mean at 0",
    ):  # fmt: skip
        assert statement in program.text.split(";")
    assert program.text.endswith("pair 2 3 0:1,9:0 weight 2 shift 0,0/1,3 complex at 25;"
                                 "pair x x all at 41")  # fmt: skip


@pytest.mark.parametrize("program", [images(*problem) for problem in IMAGES] + [every_kind()])
def test_a_text_is_read_as_it_was_written(program):
    read = parse(program.text)
    assert read == program and read.text == program.text
    assert read.planes == program.planes and read.paths == program.paths


def test_the_text_of_images():
    assert images(2, 8, 2, 32, 32).text == (
        "x 32r4+4 32r4+4;S 81 8 8;psi 8 40 40;psi 8 40 40;phi 8 40;phi 8 40;phi 8 20;phi 8 20;"
        "average x by 0 1 at 0;wavelet x 0 /1 /1 modulus;average 1 by 0 1 at 1+1;"
        "wavelet x 1 /2 /2 modulus;average 3 by 2 3 at 9+1;"
        "wavelet 1 1 /2 /2 modulus;average 5 by 2 3 at 17+8+1"
    )


@pytest.mark.parametrize("problem", IMAGES)
def test_channels_of_images_are_sorted_by_their_wavelets(problem):
    J, L, max_order = problem[:3]
    program = images(*problem)
    paths = [
        tuple(j * L + theta for j, theta in zip(scales, angles, strict=True))
        for q in range(max_order + 1)
        for scales in itertools.combinations(range(J), q)
        for angles in itertools.product(range(L), repeat=q)
    ]
    found = wavelet_numbers(program, wavelets_of_images(J, L, max_order), L)
    assert found == tuple(sorted(paths, key=lambda path: (len(path), path)))
    assert program.channels == len(found)
    meta = meta_of(found, L)
    assert meta["n"].shape == (len(found), max(2, min(J, max_order)))
    assert np.array_equal(meta["order"], (meta["j"] >= 0).sum(1))


def test_channels_of_other_trees():
    """Three orders of one axis, the second with two sets on a scale and a norm."""
    b = Builder(16)
    first = [b.wavelet(X, b.set(2, 16)), b.wavelet(X, b.set(3, 16), fold=2)]
    second = [b.wavelet(first[0], b.set(2, 16)), b.wavelet(first[0], b.set(1, 16), rho="norm")]
    third = b.wavelet(second[1], b.set(2, 16))
    for U in (third, second[1], second[0], X, first[1], first[0]):
        b.powers(U, 1, 2)
    program = b.build()
    paths = program.paths[::2]
    assert paths == program.paths[1::2]
    assert paths == (
        (), ((0, 0),), ((0, 1),), ((1, 0),), ((1, 1),), ((1, 2),),
        ((0, 0), (2, 0)), ((0, 0), (2, 1)), ((0, 0), (3, -1)),
        ((0, 1), (2, 0)), ((0, 1), (2, 1)), ((0, 1), (3, -1)),
        ((0, 0), (3, -1), (4, 0)), ((0, 0), (3, -1), (4, 1)),
        ((0, 1), (3, -1), (4, 0)), ((0, 1), (3, -1), (4, 1)),
    )  # fmt: skip


# A program, and what is wrong with it: the sentences of both parsers have these words.
GOOD = "x 8 6;S 4;psi 2 8 6;psi 1 4 3;psi 2 4;phi 1 8;phi 1 6;wavelet x 0 /2 /2 modulus;"
LONG = "x 8;S 1;psi 1 8;" + "wavelet x 0 /1 modulus;" + ";".join(24 * ["wavelet {} 0 /1 modulus"])
BAD: list[tuple[str, str]] = [
    ("", "it ends where|it must begin with|must begin with the signal"),
    ("S 1", "must begin with the signal"),
    ("x 8", "must say what results"),
    ("x 8;average x mean at 0", "the signal and the result must come first"),
    ("x 8;x 8;S 1;average x mean at 0", "statement 'x 8': the signal is there already"),
    ("x 8;S 1;S 1;average x mean at 0", "the result is there already"),
    ("x 8 8 8 8;S 1;average x mean at 0", "from 1 to 3 axes"),
    ("x 0;S 1;average x mean at 0", "a side must be an integer from 1 to 16777216; got '0'"),
    ("x -8;S 1;average x mean at 0", "a side must be an integer"),
    ("x 8q1+1;S 1;average x mean at 0", "a side must be an integer"),
    ("x 8r1;S 1;average x mean at 0", "padding must be before.after, as in 32r4.4; got '8r1'"),
    ("x 8r1+1+1;S 1;average x mean at 0", "padding must be before.after"),
    ("x 8r15+0;S 1;average x mean at 0", "padding must be an integer from 0 to 14"),
    ("x 8s0+9;S 1;average x mean at 0", "padding must be an integer from 0 to 8"),
    ("x 8p9+0;S 1;average x mean at 0", "padding must be an integer from 0 to 8"),
    ("x 1r1+0;S 1;average x mean at 0", "padding must be an integer from 0 to 0"),
    ("x 16777216z1+0;S 1;average x mean at 0", "a padded side must be at most 16777216"),
    ("x 16777216 16777216;S 1;average x mean at 0", "points of the padded signal"),
    ("x 99999999999999999999;S 1;average x mean at 0", "a side must be an integer"),
    ("x ٣;S 1;average x mean at 0", "a side must be an integer"),
    ("x 8;S 0;average x mean at 0", "channels must be an integer from 1"),
    ("x 8;S 1 1 1 1 1;average x mean at 0", "at most 3 sides"),
    ("x 8;S 1099511627776 2;average x mean at 0", "numbers of a result"),
    ("x 8;S 1;psi 0 8;average x mean at 0", "filters must be an integer from 1 to 4096; got '0'"),
    ("x 8;S 1;psi 5000 8;average x mean at 0", "filters must be an integer from 1 to 4096"),
    ("x 8;S 1;psi 1;average x mean at 0", "it ends where a side should follow"),
    ("x 8;S 1;psi 1 16777216 16777216;average x mean at 0", "points of a grid|numbers of a table"),
    ("x 8;S 1;phi 1;average x mean at 0", "it ends where inputs should follow"),
    ("x 8;S 1;phi 16777216 16777216;average x mean at 0", "at most 1099511627776 numbers"),
    ("x 8;S 1;phi 2 8 5;average x by 0 at 0", "rows are turned as in /2; got '5'"),
    ("x 8;S 1;phi 2 8 /0;average x by 0 at 0", "by how much a row is turned must be an integer"),
    ("x 8;S 1;phi 2 8 /1 /1;average x by 0 at 0", "nothing must follow, but there is '/1'"),
    ("x 8 8;S 1;phi 2 8 /1;average x mean at 0", "rows are turned for signals of one axis alone"),
    ("x 8;S 1;average x mean at 0;psi 1 8", "it must come before the steps"),
    ("x 8;S 1;scatter x", "statement 'scatter x': it must begin with x, S, psi, phi"),
    ("x 8;S 1;average x mean at 0;", "statement '': it must come before the steps"),
    ("x  8;S 1;average x mean at 0", "a side must be an integer"),
    ("x 8;S 1;average x mean at 0 1", r"step 0 \(average\): nothing must follow, but there is '1'"),
    # wavelets
    (GOOD + "average 1 mean at 0", "step 1, which does not come before it"),
    (GOOD + "average 0 mean at 0+1;average 1 mean at 2", "step 1, which has none"),
    (GOOD + "wavelet 0 7 /1 /1 modulus", r"step 1 \(wavelet\): there is no set 7"),
    (GOOD + "wavelet 0 0 /1 /1 modulus", "its set 0 is not for planes of"),
    (GOOD + "wavelet 0 2 /1 /1 modulus", "its set 2 is not for planes of"),
    (GOOD + "wavelet x 0 /3 /1 modulus", "it folds axis 0, of 8 points, by 3, which does not"),
    (GOOD + "wavelet x 0 /1 <4 modulus", "it folds axis 1, of 6 points, by 4, which does not"),
    (GOOD + "wavelet x 0 /1 modulus", "each axis must be folded, as in /2, or cropped"),
    (GOOD + "wavelet x 0 /1 2 modulus", "each axis must be folded, as in /2, or cropped, as in <2"),
    (GOOD + "wavelet x 0 /1 /0 modulus", "a fold must be an integer"),
    (GOOD + "wavelet x 0 /1 /1", "it ends where modulus, norm, none or phase:p should follow"),
    (GOOD + "wavelet x 0 /1 /1 relu", "rho must be modulus, norm, none or phase:p; got 'relu'"),
    (GOOD + "wavelet x 0 /1 /1 phase:-1", "the power of a phase must be a number in digits"),
    (GOOD + "wavelet x 0 /1 /1 phase:1e3", "the power of a phase must be a number in digits"),
    (GOOD + "wavelet x 0 /2 /2 none;wavelet 1 1 /1 /1 modulus", "those of step 1 are complex"),
    (GOOD + "wavelet x 0 /2 /2 none;average 1 mean at 0+1", "those of step 1 are complex"),
    (GOOD + "wavelet y 0 /1 /1 modulus", "a source must be an integer"),
    (LONG.format(*range(24)), "more than 24 wavelets in a row"),
    ("x 8;S 1;psi 4096 8;wavelet x 0 /1 modulus;wavelet 0 0 /1 modulus", "16777216 planes"),
    # averages
    (GOOD + "average 0 mean at 0", "where 1 digits of a plane's number lead.*; got 0"),
    (GOOD + "average 0 mean at 0+1+1", "where 1 digits of a plane's number lead.*; got 2"),
    (GOOD + "average 0 mean at 0+4", "it writes channel 4, and there are 4"),
    (GOOD + "average 0 mean at 0+9999999999999", "a channel must be|a stride must be"),
    (GOOD + "average 0 mean at 5+1", "a channel must be|it writes channel"),
    (GOOD + "average 0 mean 0", "it must go on with at and a channel"),
    (GOOD + "average 0 max at 0", "it must go on with by, mean or power"),
    (GOOD + "average 0 by 0 at 0+1", "a matrix must be an integer|matrix 0 takes 8 points"),
    (GOOD + "average 0 by 0 5 at 0+1", "there is no matrix 5|matrix 0 takes 8 points"),
    (GOOD + "average x by 1 0 at 0", "matrix 1 takes 6 points, and axis 0 has 8"),
    (GOOD + "average 0 power at 0+1", "from 1 to 64 powers"),
    (GOOD + "average 0 power .5 at 0+1", "a power must be a number in digits"),
    (GOOD + "average 0 power" + 65 * " 1" + " at 0+1", "from 1 to 64 powers"),
    (GOOD + "average 0 mean at 0+1;average 0 mean at 2+1", "averages what step 1 does already"),
    (GOOD + "average 0 mean at 0+0;average x mean at 3", "channel 0 is written twice"),
    (GOOD + "average 0 mean at 0+2;average x mean at 3", "channel 1 is written by no step"),
    (GOOD + "average 0 mean at 0+1;average x mean at 2", "channel 3 is written by no step"),
    ("x 8;S 1 3;average x mean at 0", "a plane of 1 numbers does not fill channels of 3"),
    # groups
    (GOOD + "group 0,1 1x2 0,1 2 /1 none", "step 1, which does not come before it"),
    (GOOD + "group 0 2 0,1 2 /1 none", "the size of its table must be groups x length"),
    (GOOD + "group 0 1x0 0 2 /1 none", "the length of a group must be an integer"),
    (GOOD + "group 0 1x3 0,1 2 /1 none", "its table must have 3 planes; got 2"),
    (GOOD + "group 0 1x2 0,2 2 /1 none", "a plane must be an integer from 0 to 1"),
    (GOOD + "group 0 1x2 0,~2 2 /1 none", "a plane must be an integer from 0 to 1"),
    (GOOD + "group 0 1x2 0,~- 2 /1 none", "a plane must be an integer"),
    (GOOD + "group 0 1x5 0,1,0,1,0 2 /1 none", "its set must be for an axis of 5 to 4096 points"),
    (GOOD + "group 0 1x2 0,1 0 /1 none", "its set must be for an axis of 2 to 4096 points"),
    (GOOD + "group 0 1x2 0,1 2 2 none", "it must keep every s-th place, as in /2; got '2'"),
    (GOOD + "group 0 1x2 0,1 2 /3 none", "the places that are one must be an integer from 1 to 2"),
    (GOOD + "group 0 1x4 0,1,0,1 2 /3 none", "it keeps every 3th of 4 places"),
    (GOOD + "group 0 1x2 0,1 2 /1 norm", "rho must be modulus, none or mean; got 'norm'"),
    (GOOD + "wavelet x 0 /1 /1 none;group 0,1 1x2 0,3 2 /1 none", "its sources 0 and 1"),
    (GOOD + "group 0 1x2 0,1 2 /1 modulus;wavelet 1 1 /1 /1 modulus", "which is no wavelet"),
    # pairs
    (GOOD + "pair 0 x all at 0", "its planes are of .* and of "),
    (GOOD + "pair 0 0 0:1:1 at 0", "a pair must be two planes, as in 0:3; got '0:1:1'"),
    (GOOD + "pair 0 0 0:2 at 0", "a plane must be an integer from 0 to 1; got '?2"),
    (GOOD + "pair 0 0 all weight 0 at 0", "its set 0 has more bins than planes of"),
    (GOOD + "pair 0 0 all weight 9 at 0", "there is no set 9"),
    (GOOD + "pair 0 0 all shift 1 at 0", "a shift must have 2 places, as in 0,3; got '?1"),
    (GOOD + "pair 0 0 all shift 0,3 at 0", "a shift must be an integer from 0 to 2; got '?3"),
    (GOOD + "pair 0 0 all complex at 0", "it writes channel 7, and there are 4"),
    (GOOD + "pair 0 0 all", "it must go on with at and a channel"),
    ("x 8;S 1 2;pair x x all at 0", "means of products need channels of one number; got 2"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "told"), BAD)
def test_what_cannot_be_is_said_by_the_builders_parser(text, told):
    with pytest.raises(ValueError, match=told):
        parse(text)


@pytest.mark.parametrize(("text", "told"), BAD)
def test_what_cannot_be_is_said_by_the_operators(text, told):
    x, none = torch.rand(3, 8, 6), torch.empty(0)
    rows = torch.empty(0, dtype=torch.int64)
    tables = none, rows, none, rows
    with pytest.raises(RuntimeError, match=f"scattering: .*({told})"):
        torch.ops.scatcuda.scattering(x, *tables, text)
    with pytest.raises(RuntimeError, match=f"scattering_backward: .*({told})"):
        torch.ops.scatcuda.scattering_backward(x, x, *tables, text, True, False, False)
    meta = (t.to("meta") for t in (x, *tables))
    with pytest.raises(RuntimeError, match=f"scattering: .*({told})"):
        torch.ops.scatcuda.scattering(*meta, text)


def test_a_text_of_any_length_is_refused_at_once():
    text = "x 8;S 1;" + "psi 1 8;" * (1 << 21)
    for read in (parse, lambda text: ops.scattering(torch.rand(8), *4 * [torch.empty(0)], text)):
        with pytest.raises(RuntimeError, match="at most 16777216 characters; got 16777224"):
            read(text)


def test_a_builder_says_at_once_what_cannot_be():
    b = Builder(8)
    with pytest.raises(ValueError, match=r"step 0 \(wavelet\): it folds axis 0, of 8 points, by 3"):
        b.wavelet(X, b.set(1, 8), fold=3)
    b.mean(X)
    b.mean(X)
    with pytest.raises(ValueError, match=r"step 1 \(average\): it averages what step 0 does"):
        b.build()


# --- what the steps compute -------------------------------------------------------------------


def tables_of(program: Program, seed: int = 0) -> tuple[list[Tensor], list[Tensor], Packed]:
    """Filters and matrices of any numbers, some of them dropped, and packed."""
    random = torch.Generator().manual_seed(seed)

    def number(*sizes: int) -> Tensor:
        return torch.randn(*sizes, dtype=torch.float64, generator=random)

    psi = [number(s.count, *s.sides) for s in program.sets]
    for filters_of_set in psi:
        for axis, side in enumerate(filters_of_set.shape[1:], 1):
            if side > 4:
                filters_of_set.narrow(axis, side // 2, side // 4).zero_()
    matrices = [number(m.outputs, m.inputs) for m in program.matrices]
    return psi, matrices, pack_program(program, psi, matrices, torch.float64)


def run(program: Program, x: Tensor, packed: Packed) -> Tensor:
    return reference.scattering(x, *packed, program.text)


def signals(program: Program, *lead: int) -> Tensor:
    random = torch.Generator().manual_seed(7)
    return torch.randn(*lead, *program.signal, dtype=torch.float64, generator=random)


def test_packing_keeps_what_it_is_given():
    program = every_kind()
    psi, matrices, packed = tables_of(program)
    for i, table in enumerate(psi):
        torch.testing.assert_close(filters_of(packed, program, i), table)
    lows = Builder(4, 6)
    lows.average(X, lows.matrix(2, 4), lows.matrix(3, 6))
    program = lows.build(2, 3)
    _, matrices, packed = tables_of(program)
    for i, matrix in enumerate(matrices):
        assert torch.equal(matrix_of(packed, program, i), matrix)
    with pytest.raises(ValueError, match=r"pack_program: psi must have shapes \[\]; got \[\(1, 4"):
        pack_program(program, [torch.zeros(1, 4, 6)], matrices, torch.float32)


def test_a_set_is_packed_where_it_is_not_negligible():
    psi = torch.zeros(3, 4, 6, 8, dtype=torch.float64)
    psi[:, :2, [0, 5]] = torch.rand(3, 2, 2, 8, dtype=torch.float64) + 0.5
    psi[2, 2] = 1e-9
    box, table = pack_set(psi.numpy(), np.float32)
    assert box == [2, 4, 1, 5, 8, 8]
    kept = psi[:, :2][:, :, [0, 5]].permute(3, 2, 1, 0) / (4 * 6 * 8)
    assert np.array_equal(table.reshape(8, 2, 2, 4)[..., :3], kept.float())


@pytest.mark.parametrize(("letter", "mode"), [("r", "reflect"), ("s", "symmetric"), ("p", "wrap"),
                                              ("z", "constant")])  # fmt: skip
def test_padding_is_numpys(letter, mode):
    for sizes, margins in (((5,), ((4, 3),)), ((4, 2), ((3, 2), (0, 2))),
                           ((2, 3, 4), ((2, 1), (0, 0), (3, 4)))):  # fmt: skip
        axes = [Axis(n, letter, *m) for n, m in zip(sizes, margins, strict=True)]
        b = Builder(*axes)
        eyes = [b.matrix(side, side) for side in b.grid(X)]
        b.average(X, *eyes)
        program = b.build(*b.grid(X))
        packed = pack_program(
            program, [], [torch.eye(side).double() for side in program.padded], torch.float64
        )
        x = signals(program, 2)
        expected = np.stack([np.pad(one, margins, mode) for one in x.numpy()])
        assert np.array_equal(run(program, x, packed)[:, 0], expected)


def test_padding_by_up_to_once_round():
    for letter, most, mode in (("r", 8, "reflect"), ("s", 5, "symmetric"), ("p", 5, "wrap")):
        b = Builder(Axis(5, letter, most, most))
        b.average(X, b.matrix(5 + 2 * most, 5 + 2 * most))
        program = b.build(5 + 2 * most)
        eye = torch.eye(5 + 2 * most, dtype=torch.float64)
        x = signals(program)
        found = run(program, x, pack_program(program, [], [eye], torch.float64))[0]
        assert np.array_equal(found, np.pad(x.numpy(), most, mode))


@pytest.mark.parametrize("rho", ["modulus", "norm"])
@pytest.mark.parametrize("sides", [(12,), (8, 6), (6, 4, 12)])
def test_wavelets_of_any_rank(sides, rho):
    """Two layers written out: products of spectra, every k-th sample, rho, means."""
    b, folds = Builder(*sides), (2, 3, 2)[-len(sides) :]
    folds = tuple(k if side % k == 0 else 2 for k, side in zip(folds, sides, strict=True))
    U = b.wavelet(X, b.set(3, *sides), folds, rho)
    V = b.wavelet(U, b.set(2, *b.grid(U)), rho=rho)
    b.mean(U)
    b.mean(V)
    program = b.build()
    psi, _, packed = tables_of(program)
    x, axes = signals(program, 2), tuple(range(-len(sides), 0))

    def layer(u: np.ndarray, psi: np.ndarray, folds: tuple[int, ...]) -> np.ndarray:
        W = np.fft.ifftn(np.fft.fftn(u, axes=axes)[:, :, None] * psi, axes=axes)
        W = W[(..., *(slice(None, None, k) for k in folds))]
        u = np.abs(W).reshape(len(u), -1, *W.shape[3:])
        return np.sqrt((np.abs(W) ** 2).sum(2)) if rho == "norm" else u

    u = layer(x.numpy()[:, None], psi[0].numpy(), folds)
    v = layer(u, psi[1].numpy(), (1,) * len(sides))
    expected = np.concatenate([u.mean(axes), v.mean(axes)], 1)
    np.testing.assert_allclose(run(program, x, packed), expected, atol=1e-12)


def test_a_crop_is_a_fold_of_what_is_band_limited():
    for side, m in ((12, 6), (12, 4), (10, 5), (9, 3), (6, 1)):
        results, values = [], torch.randn(2, m, dtype=torch.float64)
        for crop in (False, True):
            b = Builder(side)
            b.average(b.wavelet(X, b.set(2, side), side // m, crop=crop), b.matrix(m, m))
            program = b.build(m)
            psi = torch.zeros(2, side, dtype=torch.float64)
            low = (m - 1) // 2  # frequencies -low … low, and the middle one of an even number
            inside = [k % side for k in range(-(m // 2), low + 1)]
            psi[:, inside] = values
            if crop:  # what it does not keep must not matter
                psi[:, [k for k in range(side) if k not in inside]] = 5.0
            eye = torch.eye(m, dtype=torch.float64)
            packed = pack_program(program, [psi], [eye], torch.float64)
            results.append(run(program, signals(program), packed))
        torch.testing.assert_close(*results, atol=1e-13, rtol=0)


def test_powers_and_the_mean():
    b = Builder(8, 6)
    U = b.wavelet(X, b.set(3, 8, 6), 2)
    b.powers(U, 0, 0.5, 1, 2, 3)
    b.powers(X, 2, 0.5)
    program = b.build()
    psi, _, packed = tables_of(program)
    x = signals(program, 2)
    found = run(program, x, packed)
    U = np.abs(np.fft.ifft2(np.fft.fft2(x)[:, None] * psi[0].numpy()))[..., ::2, ::2]
    sums = np.stack([(U**q).sum((-2, -1)) for q in (0, 0.5, 1, 2, 3)], -1).reshape(2, -1)
    own = np.stack([(np.abs(x.numpy()) ** q).sum((-2, -1)) for q in (2, 0.5)], -1)
    np.testing.assert_allclose(found, np.concatenate([own, sums], 1), atol=1e-12)


@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize("rho", ["modulus", "none", "mean"])
def test_groups(rank, rho):
    """Planes gathered, some conjugate, some zero, padded to a longer axis, every second kept."""
    sides = (6, 4)[:rank]
    b = Builder(*sides)
    Z = b.wavelet(X, b.set(3, *sides), rho="none")
    V = b.wavelet(X, b.set(2, *sides))
    table = [[0, ~1, None], [4, 3, ~2]]
    G = b.group([Z, V], table, b.set(2, 5), every=2, rho=rho)
    if rho != "none":
        b.mean(G)
    else:
        b.pair(G, G, [(0, 0), (1, 4), (7, 2)], imaginary=True)
    program = b.build()
    psi, _, packed = tables_of(program)
    x, axes = signals(program, 2), tuple(range(-rank, 0))
    hat = np.fft.fftn(x, axes=axes)[:, None]
    W = [np.fft.ifftn(hat * table.numpy(), axes=axes) for table in psi[:2]]
    planes = np.concatenate([W[0], np.abs(W[1])], 1)
    zero = np.zeros_like(planes[:, 0])

    def plane(entry: int | None) -> np.ndarray:
        if entry is None:
            return zero
        return planes[:, entry] if entry >= 0 else planes[:, ~entry].conj()

    rows = [np.stack([plane(entry) for entry in row], 1) for row in table]
    gathered = np.fft.fft(np.stack(rows, 1), n=5, axis=2)[:, :, None]
    W = np.fft.ifft(gathered * psi[2].numpy().reshape(2, 5, *(1,) * rank), axis=3)[:, :, :, :3:2]
    U = W.reshape(2, 8, *sides)
    found = run(program, x, packed)
    if rho != "none":
        expected = np.abs(U).mean(axes)
        if rho == "mean":
            expected = expected.reshape(2, 4, 2).mean(-1)
    else:
        pairs = [(U[:, i] * U[:, j].conj()).mean(axes) for i, j in ((0, 0), (1, 4), (7, 2))]
        expected = np.stack([part for z in pairs for part in (z.real, z.imag)], 1)
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("sides", [(12,), (8, 6)])
def test_pairs(sides):
    """Means of products, with shifts and weights, of planes of one grid and of two."""
    b, axes = Builder(*sides), tuple(range(-len(sides), 0))
    Z = b.wavelet(X, b.set(3, *sides), rho="none")
    C = b.wavelet(X, b.set(2, *sides), fold=2, rho="phase:2")
    coarse = b.grid(C)
    ones = (1,) * len(sides)
    shifts = [(0,) * len(sides), ones, tuple(range(2, 2 + len(sides)))]
    b.pair(Z, X)
    b.pair(Z, Z, [(0, 1), (2, 2)], shifts=shifts, imaginary=True)
    b.pair(Z, C, [(0, 1), (2, 0)], weight=b.set(4, *coarse), shifts=shifts[:2], imaginary=True)
    program = b.build()
    psi, _, packed = tables_of(program)
    x = signals(program, 2)
    hat = np.fft.fftn(x, axes=axes)[:, None]
    z = np.fft.ifftn(hat * psi[0].numpy(), axes=axes)
    c = np.fft.ifftn(hat * psi[1].numpy(), axes=axes)[(..., *(slice(None, None, 2),) * len(sides))]
    c = np.abs(c) * np.exp(2j * np.angle(c))
    expected = [(z[:, a] * x.numpy()).mean(axes).real for a in range(3)]

    def both(number: np.ndarray) -> Iterator[np.ndarray]:
        yield from (number.real, number.imag)

    for i, j in ((0, 1), (2, 2)):
        for by in shifts:
            other = np.roll(z[:, j], [-n for n in by], axes)
            expected += both((z[:, i] * other.conj()).mean(axes))
    bins = [[k % side for k in np.fft.fftfreq(m, 1 / m).astype(int)]
            for side, m in zip(sides, coarse, strict=True)]  # fmt: skip
    Z_hat = np.fft.fftn(z, axes=axes)[np.ix_(range(2), range(3), *bins)] / np.prod(sides)
    C_hat = np.fft.fftn(c, axes=axes) / np.prod(coarse)
    # shifts are of samples of the signal
    waves = (np.fft.fftfreq(m) * m / side for m, side in zip(coarse, sides, strict=True))
    k = np.stack(np.meshgrid(*waves, indexing="ij"), -1)
    for i, j in ((0, 1), (2, 0)):
        for weight in psi[2].numpy():
            for by in shifts[:2]:
                turn = np.exp(-2j * np.pi * (k * by).sum(-1))
                expected += both((Z_hat[:, i] * C_hat[:, j].conj() * weight * turn).sum(axes))
    np.testing.assert_allclose(run(program, x, packed), np.stack(expected, 1), atol=1e-12)


def test_a_weighted_pair_is_a_pair_of_filtered_planes():
    """By Parseval, with |psi|^2 as the weight."""
    b, pairs = Builder(16), [(0, 0), (0, 1)]
    U = b.wavelet(X, b.set(2, 16))
    V = b.wavelet(U, b.set(3, 16), rho="none")
    b.pair(U, U, pairs, weight=b.set(3, 16), shifts=[(0,), (5,)], imaginary=True)
    for f in range(3):
        both = [(3 * i + f, 3 * j + f) for i, j in pairs]
        b.pair(V, V, both, shifts=[(0,), (5,)], imaginary=True)
    program = b.build()
    psi, matrices, _ = tables_of(program)
    psi[2] = psi[1].square()
    packed = pack_program(program, psi, matrices, torch.float64)
    weighted, plain = run(program, signals(program), packed)[:, None].view(2, -1)
    plain = plain.view(3, 2, 2, 2).transpose(0, 1)
    torch.testing.assert_close(weighted.view(2, 3, 2, 2), plain)


# --- transforms -------------------------------------------------------------------------------


@pytest.mark.parametrize("problem", IMAGES[:1] + IMAGES[3:])
def test_images_are_todays_formula(problem):
    """Orders 0 to 2 as they are written: A x, A|W1 x|, A|W2|W1 x||."""
    plan = Plan(*problem)
    bank = banks.morlet_bank(plan.padded, plan.J, plan.L)
    x = torch.rand(2, plan.M, plan.N, dtype=torch.float64)
    A = [
        [banks.lowpass_matrix(f, res, plan.J) for f in banks.separable_factors(bank.phi)]
        for res in range(plan.J)
    ]

    def U(u: Tensor, res: int, j: int) -> Tensor:
        psi = banks.crop(bank.psi[j], res)
        W = torch.fft.ifft2(torch.fft.fft2(u)[..., None, :, :] * psi)
        return W[..., :: 2 ** (j - res), :: 2 ** (j - res)].abs()

    def average(u: Tensor, res: int) -> Tensor:
        return A[res][0] @ u @ A[res][1].mT

    u0 = reference.pad(x, plan)
    orders = [[average(u0, 0)[..., None, :, :]], [], []]
    for j1 in range(plan.J if plan.max_order else 0):
        u1 = U(u0, 0, j1)
        orders[1].append(average(u1, j1))
        above = range(j1 + 1, plan.J if plan.max_order > 1 else 0)
        if above:
            u2 = [average(U(u1, j1, j2), j2) for j2 in above]
            orders[2].append(torch.cat(u2, -3).flatten(-4, -3))
    expected = torch.cat([*orders[0], *orders[1], *orders[2]], -3)
    packed = pack(bank, plan, torch.float64)
    torch.testing.assert_close(reference.scattering(x, *packed, plan.program), expected)


@pytest.mark.parametrize(("J", "depth"), [(3, 3), (4, 4), (4, 3)])
def test_deeper_images_are_the_wavelet_cascade(J, depth):
    L, shape = 2, (32, 33)
    cascade = Cascade(J, shape, L, depth).double()
    program = images(J, L, depth, *shape)
    packed = pack(cascade.bank, Plan(J, L, 2, *shape), torch.float64)
    x = torch.rand(2, *shape, dtype=torch.float64)
    S = run(program, x, packed)
    torch.testing.assert_close(S, cascade(x))
    meta = meta_of(wavelet_numbers(program, wavelets_of_images(J, L, depth), L), L)
    for name, values in cascade.meta().items():
        assert np.array_equal(meta[name], values)


def haar_tree() -> tuple[Program, list[Tensor]]:
    """Three levels of differences of neighbours, of two, of four samples: no J, L or order."""
    b, side = Builder(Axis(24, "p", 0, 8)), 32
    U, psi = X, []
    for level in range(3):
        k = torch.arange(side, dtype=torch.float64) * (2 * torch.pi / side)
        psi.append((2 * torch.sin(k * 2**level / 2).abs())[None])  # |1 - exp(-i k 2^level)|
        U = b.wavelet(U, b.set(1, side))
        b.mean(U)
    b.powers(X, 2)
    return b.build(), psi


def test_a_tree_that_knows_no_scales(tmp_path):
    """The energy of differences is that of the wavelets whose spectra have their size: the same
    through PyTorch, the C interface and a plan file."""
    program, psi = haar_tree()
    packed = pack_program(program, psi, [], torch.float64)
    x = signals(program, 3)
    S = ops.scattering(x, *packed, program.text)
    u, expected = np.pad(x.numpy(), ((0, 0), (0, 8)), "wrap"), []
    expected.append((u**2).sum(-1))
    for table in psi:
        u = np.abs(np.fft.ifft(np.fft.fft(u) * table[0].numpy()))
        expected.append(u.mean(-1))
    np.testing.assert_allclose(S, np.stack(expected, 1), atol=1e-12)
    planfile.write(tmp_path / "tree.scat", program.text, packed)
    for source in (capi.tables(program.text, packed), tmp_path / "tree.scat"):
        assert np.array_equal(capi.Plan(source).forward(x.numpy()), S.numpy())
    difference = x[0] - x[0].roll(1)
    b = Builder(24)
    b.powers(b.wavelet(X, b.set(1, 24)), 2)
    k = torch.arange(24, dtype=torch.float64) * (2 * torch.pi / 24)
    size = (2 * torch.sin(k / 2).abs())[None]
    energy = run(b.build(), x[0], pack_program(b.build(), [size], [], torch.float64))
    torch.testing.assert_close(energy[0], difference.square().sum())


def test_contributing_shows_this_tree():
    text = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
    shown: dict[str, Any] = {}
    exec(block, shown)
    program, psi = haar_tree()
    assert shown["program"] == program
    assert torch.equal(shown["bank"].psi, pack_program(program, psi, [], torch.float32).psi)
    assert shown["S"].shape == (5, 4)


# --- gradients --------------------------------------------------------------------------------


def small_programs() -> dict[str, Program]:
    """Each kind of step, small enough to differentiate by differences."""
    found = {}
    for sides in ((6,), (4, 3), (2, 3, 2)):
        b = Builder(*(Axis(n, "rszp"[n % 4], 1, 1) for n in sides))
        grid = b.grid(X)
        U = b.wavelet(X, b.set(2, *grid), [2 if n % 2 == 0 else 1 for n in grid])
        V = b.wavelet(U, b.set(2, *b.grid(U)), rho="norm")
        b.average(U, *(b.matrix(1, n) for n in b.grid(U)))
        b.mean(X)
        b.powers(V, 1, 2.5)
        found[f"rank {len(sides)}"] = b.build()
    b = Builder(6)
    Z = b.wavelet(X, b.set(2, 6), 2, "none", crop=True)
    P = b.wavelet(X, b.set(2, 6), 2, "phase:3")
    G = b.group([Z, P], [[0, ~3, None]], b.set(2, 4), every=2)
    b.mean(G)
    b.pair(Z, P, imaginary=True, shifts=[(1,)])
    b.pair(P, X, [(0, 0)], weight=b.set(2, 3), shifts=[(1,)], imaginary=True)
    found["groups and pairs"] = b.build()
    return found


@pytest.mark.parametrize("name", small_programs())
def test_gradients_of_the_reference(name):
    program = small_programs()[name]
    _, _, packed = tables_of(program)
    x = signals(program, 2).requires_grad_()
    psi, phi = packed.psi.requires_grad_(), packed.phi.requires_grad_()

    def scatter(x: Tensor, psi: Tensor, phi: Tensor) -> Tensor:
        tables = psi, packed.psi_support, phi, packed.phi_support
        return reference.scattering(x, *tables, program.text)

    assert torch.autograd.gradcheck(scatter, (x, psi, phi), check_forward_ad=True, fast_mode=True)
    assert torch.autograd.gradgradcheck(scatter, (x, psi, phi), fast_mode=True)
    g = torch.rand(scatter(x, psi, phi).shape, dtype=torch.float64)
    expected = torch.autograd.grad(scatter(x, psi, phi), (x, psi, phi), g, allow_unused=True)
    found = reference.scattering_backward(g, x, *packed, program.text, True, True, True)
    for ours, theirs, like in zip(found, expected, (x, psi, phi), strict=True):
        torch.testing.assert_close(ours, torch.zeros_like(like) if theirs is None else theirs)


def test_gradients_at_zero_are_zero():
    for rho in ("modulus", "norm", "phase:0.5"):
        for way in ("mean", "powers"):
            b = Builder(6)
            U = b.wavelet(X, b.set(2, 6), rho=rho)
            if rho.startswith("phase"):
                b.pair(U, U)
            elif way == "mean":
                b.mean(U)
            else:
                b.powers(U, 0.5, 1, 3)
            program = b.build()
            _, _, packed = tables_of(program)
            x = torch.zeros(6, dtype=torch.float64, requires_grad=True)
            (gradient,) = torch.autograd.grad(run(program, x, packed).sum(), x)
            assert not gradient.any()


def test_the_operator_is_the_reference():
    """By the engine of this machine; more of it in test_steps.py."""
    for program in [*small_programs().values(), every_kind(), images(3, 2, 3, 12, 17)]:
        _, _, packed = tables_of(program)
        x = signals(program, 3)
        S = ops.scattering(x, *packed, program.text)
        torch.testing.assert_close(S, run(program, x, packed), atol=1e-10, rtol=1e-10)
