"""Covariances along the frequencies of their angles and scales."""

import numpy as np
import pytest
import torch

from scatcuda import ReducedCovariance, ScatteringCovariance
from scatcuda.synthesis import synthesise
from scatcuda.transforms.reduced import along_scales, trigonometric


@pytest.mark.parametrize("L", range(1, 9))
@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_bases_are_orthonormal(L, shift):
    basis = trigonometric(L, shift).numpy()
    np.testing.assert_allclose(basis @ basis.T, np.eye(L), atol=1e-12)


def test_a_turn_of_both_parts_is_one_transform():
    """Of z(theta), continued by conjugation: even frequencies are the real part's, odd ones the
    imaginary part's."""
    L, rng = 4, np.random.default_rng(0)
    z = rng.standard_normal(L) + 1j * rng.standard_normal(L)
    turn = np.fft.fft(np.concatenate([z, z.conj()]), norm="ortho") / np.sqrt(2)
    even, odd = trigonometric(L).numpy() @ z.real, trigonometric(L, 0.5).numpy() @ z.imag
    np.testing.assert_allclose(turn[0], even[0])  # of the L/2 th the sine is 0
    np.testing.assert_allclose(2 * abs(turn[2]) ** 2, even[1] ** 2 + even[2] ** 2)
    np.testing.assert_allclose(2 * abs(turn[1]) ** 2, odd[0] ** 2 + odd[1] ** 2)


def test_scales():
    pairs = [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)]
    matrix = along_scales(pairs).numpy()
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(6), atol=1e-12)
    same = np.array([float(b == a) for a, b in pairs])
    found = matrix @ same  # the same at all scales: one number
    np.testing.assert_allclose(found, [np.sqrt(3), 0, 0, 0, 0, 0], atol=1e-12)


@pytest.mark.parametrize("isotropic", [False, True])
def test_norms_and_numbers_stay(isotropic):
    covariance = ScatteringCovariance((32, 48), J=3, L=3, isotropic=isotropic).double()
    x = torch.randn(2, 32, 48, dtype=torch.float64)
    reduced = ReducedCovariance(covariance)
    assert reduced(x).shape == covariance(x).shape == (2, *reduced.output_shape)
    torch.testing.assert_close(reduced(x).norm(dim=1), covariance(x).norm(dim=1))
    as_it_is = ReducedCovariance(covariance, angles=False, scales=False)
    torch.testing.assert_close(as_it_is(x), covariance(x))


def test_noise_needs_few_numbers():
    generator = torch.Generator().manual_seed(0)
    covariance = ScatteringCovariance((32, 32), J=3)
    reduced, plain = ReducedCovariance(covariance), ReducedCovariance(covariance, angles=False)
    samples = torch.randn(40, 32, 32, generator=generator)
    kept, of_angles = reduced.select(samples, 3.0), plain.select(samples, 3.0)
    assert len(kept) < 0.3 * len(of_angles)
    assert reduced(samples).shape == (40, len(kept))
    again = ReducedCovariance(covariance)
    again.load_state_dict(reduced.state_dict())
    assert torch.equal(again(samples), reduced(samples))
    assert not list(reduced.buffers(recurse=False))
    for wrong in (kept.float(), kept[None], kept - 10**6):
        with pytest.raises(ValueError, match="the state is not which of"):
            again.set_extra_state(wrong)
    found = synthesise(samples[0], reduced, steps=10)
    assert found.history[-1]["loss"] < 0.1 * found.history[0]["loss"]


def test_wrong_arguments():
    covariance = ScatteringCovariance((32, 32), J=2)
    with pytest.raises(TypeError, match="covariance must be a ScatteringCovariance"):
        ReducedCovariance(torch.nn.Identity())
    with pytest.raises(TypeError, match="angles must be a bool"):
        ReducedCovariance(covariance, angles=1)
    reduced = ReducedCovariance(covariance)
    with pytest.raises(ValueError, match="samples must be at least two fields"):
        reduced.select(torch.rand(1, 32, 32))
    with pytest.raises(ValueError, match="threshold must be 0 or more and finite"):
        reduced.select(torch.rand(2, 32, 32), -1)
    reduced.select(torch.randn(3, 32, 32), np.float32(0.1))
    with pytest.raises(ValueError, match="threshold must leave something"):
        reduced.select(torch.randn(3, 32, 32), 1e9)


@pytest.mark.parametrize("isotropic", [False, True])
def test_meta_says_what_each_number_is(isotropic):
    """Each is, by its definition, a sum over scales and angles of the numbers of its block."""
    L, rng = 3, np.random.default_rng(0)
    covariance = ScatteringCovariance((32, 32), J=3, L=L, isotropic=isotropic).double()
    x = torch.randn(32, 32, dtype=torch.float64)
    plain, of = covariance(x).numpy(), covariance.meta()
    reduced = ReducedCovariance(covariance)
    found, meta = reduced(x).numpy(), reduced.meta()
    assert {len(column) for column in meta.values()} == {len(found)}
    even, odd = trigonometric(L).numpy(), trigonometric(L, 0.5).numpy()
    block = np.array(of["block"])
    for r in rng.choice(len(found), 60, replace=False):
        name, (k, d2, d3, part) = meta["block"][r], (meta[c][r] for c in ("k", "d2", "d3", "part"))
        same = (block == name) & (of["part"] == part)
        weight = same.astype(float)
        if name in ("S3", "S4"):
            for i, d in ((2, d2), (3, d3)):
                weight *= (of[f"j{i}"] - of["j1"] == d) if d >= 0 else 1
            n = 3 - max(d2, d3)
            cosine = np.cos(np.pi * k * (of["j1"] + 0.5) / n)
            weight *= cosine * np.sqrt((2 if k else 1) / n)
        elif name != "mean":
            weight *= of["j1"] == k
        angles = [meta[f"n{i}"][r] for i in (1, 2, 3)]
        count = sum(n >= 0 for n in angles)
        for i, n in enumerate(angles[:count]):
            basis = odd if part and i == count - 1 else even
            weight *= basis[n][of[f"theta{i + 1}"]]
        assert found[r] == pytest.approx(weight @ plain, abs=1e-10), (name, r)
    reduced.select(torch.randn(9, 32, 32, dtype=torch.float64), 0.5)
    assert len(reduced.meta()["block"]) == len(reduced.meta()["k"]) == len(reduced.kept)
