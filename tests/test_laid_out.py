"""Filters of images laid out once for many calls: the numbers of a call stay, bit for bit."""

from __future__ import annotations

import pytest
import random_programs
import torch
from torch import Tensor

import scatcuda
from scatcuda import ops
from scatcuda.ops import reference
from scatcuda.program import Builder, X
from scatcuda.program.packing import Packed, pack_program

FLOAT32, FLOAT64 = torch.float32, torch.float64
SIDES = [(8, 8), (12, 20), (9, 15), (1, 12), (20, 1), (64, 24)]


def images(
    sides: tuple[int, int], k: int, filters: int, dtype: torch.dtype, kept: float = 0.5
) -> tuple[str, Packed]:
    """Two levels of filters, which are kept in part of their bins, unlike ψ̂(k) and ψ̂(−k)."""
    b = Builder(*sides)
    fold = [k if side % k == 0 else 1 for side in sides]
    first = b.wavelet(X, b.set(filters, *sides), [1, 1])
    second = b.wavelet(first, b.set(filters, *sides), fold)
    b.mean(first)
    b.mean(second)
    p = b.build()
    generator = torch.Generator().manual_seed(sides[0] * 100 + filters)
    psi = []
    for s in p.sets:
        table = torch.randn(s.count, *s.sides, generator=generator, dtype=FLOAT64)
        for axis, side in enumerate(s.sides):
            table.narrow(axis + 1, side // 3, int(side * (1 - kept) * 0.9)).zero_()
        psi.append(table)
    return p.text, pack_program(p, psi, [], dtype)


def results(x: Tensor, packed: Packed, program: str) -> list[Tensor]:
    S = ops.scattering(x, *packed, program)
    g = torch.randn(S.shape, generator=torch.Generator().manual_seed(1), dtype=S.dtype)
    backward = torch.ops.scatcuda.scattering_backward.default
    return [S, backward(g, x, *packed, program, True, False, False)[0]]


@pytest.mark.parametrize("dtype", [FLOAT32, FLOAT64])
@pytest.mark.parametrize("filters", [1, 3, 5, 8, 12, 17, 40])
def test_same_bits(dtype: torch.dtype, filters: int, request: pytest.FixtureRequest) -> None:
    threads = torch.get_num_threads()
    request.addfinalizer(lambda: torch.set_num_threads(threads))
    for sides in SIDES:
        for k, kept in ((1, 1.0), (2, 0.5), (4, 0.7)):
            program, packed = images(sides, k, filters, dtype, kept)
            laid_out = ops.laid_out(packed, program)
            tables = packed.psi.numel()
            assert laid_out.psi.numel() > tables
            assert torch.equal(laid_out.psi[:tables], packed.psi)
            assert torch.equal(ops.laid_out(laid_out, program).psi, laid_out.psi)
            x = torch.randn(3, *sides, dtype=dtype, generator=torch.Generator().manual_seed(0))
            torch.set_num_threads(1)
            wanted = results(x, packed, program)
            exact = [t.double() if t.is_floating_point() else t for t in packed]
            twin = reference.scattering(x.double(), *exact, program)
            bound = (2e-6 if dtype == FLOAT32 else 1e-13) * twin.abs().max()
            assert (wanted[0] - twin).abs().max() <= bound, (sides, k)
            for count in (1, 2, 3):
                torch.set_num_threads(count)
                for bank in (packed, laid_out):
                    for found, want in zip(results(x, bank, program), wanted, strict=True):
                        assert torch.equal(found, want), (sides, k, count)


def test_random_programs() -> None:
    """Whatever the rank: those that are not laid out stay as they are."""
    for seed in range(60):
        p, packed, x = random_programs.case(seed, FLOAT32)
        laid_out = ops.laid_out(packed, p.text)
        images = p.rank == 2 and any(step.verb == "wavelet" for step in p.steps)
        if not images:
            assert torch.equal(laid_out.psi, packed.psi), p.text
        wanted, found = (ops.scattering(x, *bank, p.text) for bank in (packed, laid_out))
        assert torch.equal(found, wanted), (seed, p.text)


def test_numbers_behind_the_tables() -> None:
    """What is not what lay_out gives is not read."""
    program, packed = images((12, 20), 2, 8, FLOAT32)
    x = torch.randn(2, 12, 20)
    wanted = ops.scattering(x, *packed, program)
    whole = ops.laid_out(packed, program).psi
    for length in (packed.psi.numel() + 1, whole.numel() - 1, whole.numel() + 1):
        psi = torch.full((length,), torch.nan)
        psi[: packed.psi.numel()] = packed.psi
        assert torch.equal(ops.scattering(x, *packed._replace(psi=psi), program), wanted)


def test_gradient_of_psi_is_that_of_the_tables() -> None:
    program, packed = images((12, 20), 2, 8, FLOAT64)
    laid_out = ops.laid_out(packed, program)
    x = torch.randn(2, 12, 20, dtype=FLOAT64)
    found = []
    for bank in (packed, laid_out):
        psi = bank.psi.clone().requires_grad_()
        ops.scattering(x, *bank._replace(psi=psi), program).square().sum().backward()
        assert psi.grad is not None
        found.append(psi.grad)
    tables = packed.psi.numel()
    assert torch.equal(found[0], found[1][:tables])
    assert not found[1][tables:].any()


def test_refused() -> None:
    program, packed = images((12, 20), 2, 8, FLOAT32)
    with pytest.raises(RuntimeError, match="lay_out: psi_support has a box that reaches outside"):
        ops.laid_out(packed._replace(psi=packed.psi[:-1]), program)
    with pytest.raises(RuntimeError, match="lay_out: psi_support must have"):
        ops.laid_out(packed._replace(psi_support=packed.psi_support[:3]), program)
    with pytest.raises(RuntimeError, match="lay_out: a program must say what results"):
        ops.laid_out(packed, "x 4")
    with pytest.raises(RuntimeError, match="lay_out: psi must be"):
        ops.laid_out(packed._replace(psi=packed.psi.half()), program)
    with pytest.raises(RuntimeError, match="laid_out: psi must not require a gradient"):
        ops.laid_out(packed._replace(psi=packed.psi.requires_grad_()), program)


def test_too_much_stays() -> None:
    """Beyond 16 MB, were every bin of such planes kept."""
    for side, grows in ((512, True), (1024, False)):
        text = f"x {side} {side};S 8;psi 8 {side} {side};wavelet x 0 /1 /1 modulus;"
        nothing, support = torch.zeros(0), torch.tensor([0, 1, side, 1, side])
        packed = Packed(torch.ones(8), support, nothing, nothing)
        found = ops.laid_out(packed, text + "average 0 mean at 0+1").psi
        assert (found.numel() > 8) == grows, side


@pytest.mark.parametrize("backend", ["native", "reference"])
def test_module(backend: str) -> None:
    """Its filters are laid out; what it shows and writes of them is not."""
    S = scatcuda.Scattering2D(2, (16, 20), L=4, backend=backend)
    program, packed = S._program, S._packed
    assert torch.equal(ops.laid_out(packed, program).psi, S._psi) == (backend == "native")
    x = torch.randn(3, 16, 20)
    wanted = S(x)
    S.backend = "native"
    assert torch.equal(S(x), ops.scattering(x, *packed, program))
    torch.testing.assert_close(S(x), wanted)
    assert torch.equal(S.double()(x.double()), ops.scattering(x.double(), *S._packed, program))
