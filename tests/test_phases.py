"""Wavelet phase harmonics against their definition, and against pywph's numbers."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from covariance_peer import maps
from oracle import lowest

from scatcuda import WaveletPhaseHarmonics
from scatcuda.synthesis import synthesise
from scatcuda.transforms.phases import Normalisation


def by_definition(module, x):
    """Each moment alone: planes at the resolution that they are said to have, then both at the full
    one, where they are shifted."""
    x_hat, plan = np.fft.fft2(x), module._plan

    def harmonic(j, theta, p, grid):  # at full resolution, of planes that were made on a grid
        psi = module.wavelets(j).numpy()[theta]
        scale = np.prod(grid) / x.size
        W = np.fft.ifft2(lowest(x_hat * psi, grid)) * scale
        V = np.abs(W) if p == 0 else np.abs(W) * np.exp(1j * p * np.angle(W))
        V = V - V.mean() if p != 1 else V
        return np.fft.fft2(V) / V.size

    found = []
    for m in plan.moments:
        fine = plan.grid(m.j1 if m.kind == "Cphase" else m.j2)
        one = harmonic(m.j1, m.theta1, m.p1, plan.grid(m.j1))
        two = harmonic(m.j2, m.theta2, m.p2, plan.grid(m.j1) if m.kind == "Cphase" else fine)
        bins = plan.grid(m.j1 if m.kind == "Cphase" else m.j2)
        k = np.meshgrid(*(np.fft.fftfreq(n) * n for n in bins), indexing="ij")
        turn = sum(f * t / n for f, t, n in zip(k, plan.shift(m), x.shape, strict=True))
        product = lowest(one, bins) * lowest(two, bins).conj() * np.exp(2j * np.pi * turn)
        found.append(product.sum())
    return np.array(found)


CASES = [
    dict(shape=(32, 32), J=3, L=4),
    dict(shape=(48, 32), J=3, L=2, dn=1, A=3, shifts="legacy"),
    dict(shape=(27, 35), J=2, L=4, dl=1, filters="morlet"),
    dict(shape=(64, 64), J=4, L=2, dj=1, classes=("Cphase", "S00"), oversampling=1),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_by_definition(case):
    module = WaveletPhaseHarmonics(**case).double()
    x = np.random.default_rng(0).standard_normal(case["shape"])
    x += np.roll(x, 1, 0) ** 2
    wanted = by_definition(module, x)
    found = module(torch.from_numpy(x)).numpy()
    assert found.shape == wanted.shape == module.output_shape
    assert np.abs(found - wanted).max() <= 1e-12 * np.abs(wanted).max()
    single = WaveletPhaseHarmonics(**case)(torch.from_numpy(x).float()).numpy()
    assert np.abs(single - wanted).max() <= 1e-5 * np.abs(wanted).max()
    kinds = np.array(module.meta()["class"])
    assert list(dict.fromkeys(kinds)) == [c for c in ("S11", "S00", "S01", "C01", "Cphase")
                                          if c in case.get("classes", kinds)]  # fmt: skip


@pytest.mark.parametrize("shifts", ["exp", "legacy"])
@pytest.mark.parametrize("normalise", [None, "auto"])
def test_against_pywph(shifts, normalise):
    theirs = np.load(Path(__file__).with_name("phases_peer.npz"))[f"{shifts}_{normalise}"]
    x = torch.from_numpy(maps())
    for oversampling, most in ((0, 2e-2), (3, 1e-10)):
        module = WaveletPhaseHarmonics(
            (64, 64), 3, 4, shifts=shifts, normalise=normalise, oversampling=oversampling
        ).double()
        found = [*module(x)]
        if normalise:
            found.append(module(x[1], module.normalisation(x[0])))
        for ours, wanted in zip(found, theirs, strict=True):
            assert np.linalg.norm(ours.numpy() - wanted) <= most * np.linalg.norm(wanted)


def test_the_numbers_that_are_published():
    module = WaveletPhaseHarmonics((64, 64), 5, 8, dn=2, A=4)
    kinds = module.meta()["class"]
    counts = [kinds.count(name) for name in ("S11", "S00", "S01", "C01", "Cphase")]
    assert counts == [360, 360, 40, 1920, 656]
    assert module.output_shape == (3336,)


def test_normalised_by_deviations_alone():
    x = torch.from_numpy(maps())
    plain, module = (
        WaveletPhaseHarmonics((64, 64), 3, 4, normalise=n).double() for n in (None, "auto_std_only")
    )
    reference = module.normalisation(x[0])
    ratio = plain(x[1]) / module(x[1], reference)
    meta = module.meta()
    S11 = np.array(meta["class"]) == "S11"
    first = S11 & (meta["n"] == 0)
    torch.testing.assert_close(ratio[first].real, plain(x[0])[first].real)
    one = module(x[0])[first]
    torch.testing.assert_close(one, torch.ones_like(one))


def test_gradients():
    module = WaveletPhaseHarmonics((16, 18), 2, 2, dn=1).double()
    x = torch.randn(16, 18, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(module, (x,))
    normal = WaveletPhaseHarmonics((16, 18), 2, 2, dn=1, normalise="auto").double()
    reference = normal.normalisation(x.detach() ** 2)
    assert torch.autograd.gradcheck(lambda x: normal(x, reference), (x,))


def test_compile_export_and_the_twin():
    module, x = WaveletPhaseHarmonics((32, 32), 3, 2), torch.randn(2, 32, 32)
    wanted = module(x)
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), wanted)
    torch.testing.assert_close(torch.export.export(module, (x,)).module()(x), wanted)
    module.backend = "reference"
    torch.testing.assert_close(module(x), wanted, rtol=1e-4, atol=1e-5)


def test_synthesis_by_phase_harmonics():
    x = torch.from_numpy(maps()[0]).float()
    module = WaveletPhaseHarmonics((64, 64), 4, 4, dn=1, normalise="auto")
    reference = module.normalisation(x)
    found = synthesise(x, lambda y: module(y, reference), steps=60)
    assert found.history[-1]["loss"] < 0.02 * found.history[0]["loss"]


WRONG = [
    (dict(shape=(8, 32)), "both sides of shape must be at least 16"),
    (dict(J=6), "J must be between 1 and 5; got 6"),
    (dict(L=3), "L must be even; got 3"),
    (dict(classes="S11"), "classes must be a list of names"),
    (dict(classes=["L"]), "a class must be one of 'S11'"),
    (dict(classes=["C01"], J=1), "have no moments with J = 1"),
    (dict(dn=-1), "dn must be between 0"),
    (dict(dl=5), "dl must be between 0 and 2"),
    (dict(shifts="log"), "shifts must be one of"),
    (dict(normalise="mean"), "normalise must be one of"),
    (dict(filters="haar"), "filters must be one of"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "told"), WRONG, ids=[told for _, told in WRONG])
def test_wrong_arguments(arguments, told):
    with pytest.raises((ValueError, TypeError), match=told):
        WaveletPhaseHarmonics(**{"shape": (32, 32), "J": 2, "L": 4, **arguments})


def test_wrong_calls():
    module = WaveletPhaseHarmonics((32, 32), 2, 4)
    with pytest.raises(ValueError, match="must have shape"):
        module(torch.rand(31, 32))
    other = WaveletPhaseHarmonics((32, 32), 3, 4, normalise="auto")
    with pytest.raises(ValueError, match="there is no reference"):
        module(torch.rand(32, 32), other.normalisation(torch.rand(32, 32)))
    two = WaveletPhaseHarmonics((32, 32), 2, 4, normalise="auto")
    for wrong in (other.normalisation(torch.rand(32, 32)), Normalisation(*3 * [torch.rand(2)])):
        with pytest.raises(ValueError, match="reference must be what"):
            two(torch.rand(32, 32), wrong)
    assert math.isclose(float(two(torch.rand(32, 32))[0].real), 1.0, rel_tol=1e-4)


@pytest.mark.parametrize("normalise", ["auto", "auto_std_only"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_constant_images_have_no_moments(normalise, dtype):
    module = WaveletPhaseHarmonics((17, 31), 2, 4, dn=1, normalise=normalise).to(dtype)
    x = torch.full((17, 31), 7.0, dtype=dtype)
    assert module(x).abs().max() < 1e-10
    assert not module.normalisation(x).of_phases.any()
    far = torch.randn(17, 31, dtype=dtype) + 1000
    assert (module.normalisation(far).of_moduli > 1e-3).all()


def test_references_fit():
    module = WaveletPhaseHarmonics((16, 16), 2, 4, dn=0, normalise="auto")
    x = torch.randn(3, 16, 16)
    several = module.normalisation(x)
    assert torch.allclose(module(x, several), module(x))
    assert module(x, module.normalisation(x[0])).shape == module(x).shape
    for wrong in (x[:2], x[0]):
        with pytest.raises(ValueError, match="of one image or of as many as x has"):
            module(wrong, several)
    with pytest.raises(ValueError, match="reference must be"):
        module(x, several._replace(means=None))
    empty = torch.zeros(2, 0, 16, 16)
    assert module(empty).shape == (2, 0, *module.output_shape)
    assert module.normalisation(empty).of_phases.shape == (2, 0, 2, 4, 2)


@pytest.mark.parametrize("classes", [5, np.array(2)])
def test_classes_are_a_list(classes):
    with pytest.raises(TypeError, match="classes must be a list of names; got"):
        WaveletPhaseHarmonics((16, 16), 2, 4, classes=classes)
