"""Plan files, against the library that reads them: every program to the same bits, every damaged
file refused. ``make fuzz`` looks for one that is not; test_sanitizers.py does so for a moment."""

from __future__ import annotations

import ctypes
import os
import random
import struct
import zlib
from collections.abc import Callable

import capi
import numpy as np
import pytest
import torch
from capi import BAD_PLAN, CANNOT_READ, NO_MEMORY, Plan, Refused, call
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from programs import random_program, random_tables

from scatcuda import Scattering2D
from scatcuda.banks.packing import unpack
from scatcuda.cli import main
from scatcuda.program import planfile


@pytest.fixture(autouse=True)
def library() -> ctypes.CDLL:
    return capi.library()


problems = st.tuples(
    st.integers(1, 4), st.integers(0, 30), st.integers(0, 30), st.integers(1, 17),
    st.integers(0, 2), st.booleans(), st.sampled_from(["morlet", "tight"]),
    st.sampled_from([torch.float32, torch.float64]),
)  # fmt: skip


@settings(
    max_examples=25, deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(problems)
def test_every_problem_gives_the_operators_bits(tmp_path_factory, problem):
    J, M, N, L, max_order, pre_pad, filters, dtype = problem
    shape = (M + 2**J, N + 2**J)
    if filters == "tight" and L == 1:
        filters = "morlet"  # one angle is no frame
    module = Scattering2D(J, shape, L, max_order, pre_pad, filters=filters).to(dtype)
    path = tmp_path_factory.mktemp("plans") / "plan.scat"
    assert module.save_plan(path) == path.stat().st_size
    plan = Plan(path)
    d = plan.describe()
    sides = module.input_shape
    assert plan.program == module._program
    assert (d.type, d.rank, *d.signal) == (dtype.itemsize, 2, *sides, 1)
    assert (d.channels, *d.side[: d.sides]) == module.output_shape
    x = torch.rand(2, *sides, dtype=dtype)
    assert np.array_equal(plan.forward(x.numpy()), module(x).numpy())


@pytest.mark.parametrize("seed", range(20))
def test_any_program_comes_back(seed, tmp_path):
    """As it is made of tables: the same bits."""
    text = random_program(random.Random(seed))
    packed = random_tables(text, seed, (torch.float32, torch.float64)[seed % 2])
    size = planfile.write(tmp_path / "plan", text, packed)
    assert size == (tmp_path / "plan").stat().st_size
    plan, made = Plan(tmp_path / "plan"), Plan(capi.tables(text, packed))
    assert plan.program == text
    assert bytes(plan.describe()) == bytes(made.describe())
    d, dtype = plan.describe(), packed.psi.numpy().dtype
    x = np.random.default_rng(seed).normal(size=(2, *d.signal[: d.rank])).astype(dtype)
    assert np.array_equal(plan.forward(x), made.forward(x))


def test_a_module_saves_the_filters_it_has(tmp_path):
    x = torch.rand(1, 16, 16)
    learned = Scattering2D(2, (16, 16), L=2, trainable="wavelets")
    with torch.no_grad():
        next(learned.parameters()).add_(0.1)
        learned.save_plan(tmp_path / "a")
        expected = learned(x)
    assert np.array_equal(Plan(tmp_path / "a").forward(x.numpy()), expected.numpy())
    half = Scattering2D(2, (16, 16), L=2).half()
    half.save_plan(tmp_path / "a")
    assert Plan(tmp_path / "a").describe().type == 4
    half.save_plan(tmp_path / "a", torch.float64)
    double = Scattering2D(2, (16, 16), L=2).double()
    ours = Plan(tmp_path / "a").forward(x.double().numpy())
    assert np.array_equal(ours, double(x.double()).numpy())
    for dtype in (torch.float16, "float32"):
        with pytest.raises(TypeError, match=r"save_plan: dtype must be torch\.float32"):
            half.save_plan(tmp_path / "a", dtype)


def test_bands_that_do_not_reach_round_an_edge_are_read_too(tmp_path):
    """As they were written before bands could: from the first to the last tap of a row."""
    module = Scattering2D(2, (40, 33), L=3)
    p, packed = module._plan, module._packed
    plain, row = packed.phi_support.clone(), 0
    for pair in unpack(packed, p)[1]:
        for matrix in pair:
            kept = (matrix != 0).int()
            last = matrix.shape[1] - kept.flip(1).argmax(1)
            plain[row : row + len(matrix)] = torch.stack([kept.argmax(1), last], 1)
            row += len(matrix)
    assert (packed.phi_support < 0).any()
    planfile.write(tmp_path / "old", p.program, packed._replace(phi_support=plain))
    x = torch.rand(2, 40, 33)
    old, new = Plan(tmp_path / "old").forward(x.numpy()), module(x).numpy()
    # in another order where they do, and to the same bits in between
    assert np.abs(old - new).max() <= 1e-6 * np.abs(new).max()
    middle = (..., slice(2, -1), slice(2, -1))
    assert np.array_equal(old[middle][:, 0], new[middle][:, 0])


# --- damaged files ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("plans") / "plan.scat"
    Scattering2D(1, (4, 5), L=2).save_plan(path)
    return path.read_bytes()


def repaired(content: bytes) -> bytes:
    """With the size and the checksum that whoever altered it could write."""
    body = struct.pack("<Q", len(content)) + content[24:]
    return content[:12] + struct.pack("<I", zlib.crc32(body)) + body


#: Scattering2D(1, (4, 5), L=2)
TEXT = len(Scattering2D(1, (4, 5), L=2)._program)
SUPPORT = 64 + (TEXT + 7) // 8 * 8  # five numbers of psi's


def rewritten(words: str, others: str) -> Callable[[bytes], bytes]:
    """The program with other words in it."""

    def change(good: bytes) -> bytes:
        text = good[64 : 64 + TEXT].replace(words.encode(), others.encode(), 1)
        padding = bytes(-len(text) % 8)
        return changed(32, len(text))(good[:64]) + text + padding + good[SUPPORT:]

    return change


def changed(field: int, value: int, size: int = 8) -> Callable[[bytes], bytes]:
    return lambda good: (
        good[:field] + value.to_bytes(size, "little", signed=True) + good[field + size :]
    )


def test_a_cut_file_is_refused_wherever_it_is_cut(good):
    Plan(good)
    for size in range(len(good)):
        with pytest.raises(Refused) as refused:
            Plan(good[:size])
        assert refused.value.args[0] == BAD_PLAN
    for size in range(64, len(good), 37):
        with pytest.raises(Refused):
            Plan(repaired(good[:size]))


def test_every_altered_byte_is_seen(good):
    for at in range(len(good)):
        with pytest.raises(Refused):
            Plan(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda good: b"", "does not begin"),
        (lambda good: b"scatplaN" + good[8:], "does not begin"),
        (lambda good: good[:12], "ends within its header"),
        (lambda good: good[:50], "ends within its header"),
        (
            changed(8, 1, 4),
            "a plan of version 1, of an older scatcuda; this library reads version "
            "2: export it again, with Scattering2D.save_plan or `scatcuda export`",
        ),
        (lambda good: changed(8, 1, 4)(good)[:40], "version 1, of an older scatcuda"),
        (changed(8, 3, 4), "a plan of version 3; this library reads version 2"),
        (lambda good: good + b"\0" * 8, "it says"),
        (lambda good: repaired(good + b"\0" * 8), "its program takes"),
        (changed(24, 2), "neither 4 nor 8 bytes"),
        (changed(24, 8), "its program takes"),
        (changed(32, -1), "its program has -1 characters"),
        (changed(32, 2**24 + 1), "at most 16777216 are read"),
        (changed(32, 2**62), "at most 16777216 are read"),
        (changed(32, 2**20), "ends within its program"),
        (changed(32, TEXT - 8), "zero behind its program is not"),
        (changed(32, TEXT - 1), "zero behind its program is not"),
        (changed(32, 0), "program: statement '': a program must begin with the signal"),
        (changed(40, 8), "its program takes"),
        (changed(40, -1), "psi must have from 0 to"),
        (changed(40, 2**62), "psi must have from 0 to"),
        (changed(56, 1), "must be zero"),
        (rewritten("x 4", "x 0"), "program: statement 'x 0r.*a side must be an integer from 1"),
        (
            rewritten("wavelet x 0", "wavelet 9 0"),
            "step 1 .wavelet.: it takes the planes of",
        ),
        (rewritten("wavelet x 0", "wavelet x 7"), "there is no set 7"),
        (rewritten("at 0", "at 1"), "channel 0 is written by no step"),
        (rewritten("psi 2 8", "psi 4 8"), "its channels lead beyond|it writes channel"),
        (rewritten("modulus", "mo\0ulus"), "rho must be modulus, norm, none or phase:p; got 'mo"),
        (changed(SUPPORT, -1), "psi_support has a box"),
        (changed(SUPPORT, 2**62), "psi_support has a box"),
        (changed(SUPPORT + 8, -(2**63)), "psi_support has a box"),
        (changed(SUPPORT + 40, -9), "phi_support has a row"),
        (changed(SUPPORT + 40, 9), "phi_support has a row"),
        (changed(SUPPORT + 40, -(2**63)), "phi_support has a row"),
        (changed(SUPPORT + 48, 2**62), "phi_support has a row"),
        (changed(SUPPORT + 48, 17), "phi_support has a row"),
        (changed(SUPPORT + 48, -9), "phi_support has a row"),
    ],
)
def test_a_hostile_file_is_refused_with_a_sentence(good, change, sentence, tmp_path):
    content = change(good)
    if len(content) > 64 and content[:12] == good[:12] and not content.startswith(good):
        content = repaired(content)
    with pytest.raises(Refused, match=sentence) as refused:
        Plan(content)
    assert refused.value.args[0] == BAD_PLAN
    path = tmp_path / "hostile.scat"
    path.write_bytes(content)
    with pytest.raises(Refused, match=sentence) as refused:
        Plan(path)
    assert (
        refused.value.args[1].endswith(f": {path}"[:60]) or str(path)[:40] in refused.value.args[1]
    )


def test_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "endless").symlink_to("/dev/zero")
    for name, sentence in (
        ("", "not a regular file"), ("pipe", "not a regular file"),
        ("endless", "not a regular file"), ("absent", "No such file"),
    ):  # fmt: skip
        path = tmp_path / name
        with pytest.raises(Refused, match=sentence) as refused:
            Plan(path)
        assert refused.value.args[0] == CANNOT_READ


def test_a_plan_that_nobody_stored(good, tmp_path, monkeypatch):
    """A terabyte of filters, in a file that takes no disk; and one more than may be read."""
    monkeypatch.delenv("SCATCUDA_FILE_BUDGET", raising=False)
    path, content = tmp_path / "plan.scat", changed(40, 2**38)(good)
    with pytest.raises(Refused, match="its program takes") as refused:
        Plan(content)
    size = int(refused.value.args[1].partition("takes ")[2].split()[0])
    path.write_bytes(changed(16, size)(content))
    os.truncate(path, size)
    needed, parsed = 2 * size + 24 * (SUPPORT - 64), 24 * (SUPPORT - 64)
    with pytest.raises(Refused, match=rf"{needed} bytes to read it are more than SCATCUDA_FI") as r:
        Plan(path)
    assert r.value.args[0] == NO_MEMORY
    path.write_bytes(good)
    monkeypatch.setenv("SCATCUDA_FILE_BUDGET", str(2 * len(good) + parsed))
    Plan(path)
    for budget in (2 * len(good) + parsed - 1, parsed - 1):
        monkeypatch.setenv("SCATCUDA_FILE_BUDGET", str(budget))
        with pytest.raises(Refused, match="more than SCATCUDA_FILE_BUDGET"):
            Plan(path)
    monkeypatch.setenv("SCATCUDA_FILE_BUDGET", "2G")
    with pytest.raises(Refused, match="SCATCUDA_FILE_BUDGET must be a number of bytes"):
        Plan(path)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (b"a\x1b[2Jb\nc\x7f", r"a\x1b[2Jb\x0ac\x7f"),
        (b"caf\xe9", r"caf\xe9"),
        (b"\xc2\x9b1m", r"\xc2\x9b1m"),
        (b"\xe2\x82", r"\xe2\x82"),
        (b"\xff\xfe\xf5\x80", r"\xff\xfe\xf5\x80"),
        ("Übung \N{SNOWMAN} \N{GRINNING FACE}".encode(), "Übung \N{SNOWMAN} \N{GRINNING FACE}"),
        (b"back\\slash", "back\\slash"),
        (b"\x01" * 300, r"\x01\x01"),
    ],
)
def test_names_cannot_steer_a_terminal(name, said):
    """What is in no folder is named as it can be shown; the text ends within its 512 bytes."""
    with pytest.raises(Refused) as refused:
        call("plan_load", name, ctypes.byref(ctypes.c_void_p()))
    text = refused.value.args[1]
    assert text.isprintable() and said in text and len(text.encode()) < 512


# --- the command ------------------------------------------------------------------------------


def test_export_writes_what_save_plan_does(tmp_path, capsys):
    options = ["--J", "3", "--shape", "33,40", "--L", "5", "--max-order", "1", "--pre-pad"]
    options += ["--filters", "tight", "--dtype", "float64"]
    assert main(["export", str(tmp_path / "a"), *options]) == 0
    module = Scattering2D(3, (33, 40), 5, 1, True, filters="tight")
    size = module.save_plan(tmp_path / "b", torch.float64)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    out = capsys.readouterr().out
    assert "float64, 48 × 56 -> 16 × 4 × 5" in out
    assert f"{size:,} bytes" in out
