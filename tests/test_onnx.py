"""The reference in graphs for ONNX: the arithmetic that stands for complex numbers there, and what
onnxruntime makes of exported modules, beside the engine, for batches of other sizes."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from scatcuda import (
    HarmonicScattering3D,
    RotoTranslationScattering2D,
    Scattering1D,
    Scattering2D,
    ScatteringCovariance,
    TimeFrequencyScattering,
    WaveletPhaseHarmonics,
)
from scatcuda.ops import products, reference

MASK = torch.ones(16, 16)
MASK[3:7, 2:11] = 0
TRANSFORMS = {
    "images": lambda **how: Scattering2D(2, (20, 16), L=4, **how),
    "deep": lambda **how: Scattering2D(3, (30, 17), L=3, max_order=3, **how),
    "learned": lambda **how: Scattering2D(1, (16, 16), L=4, trainable="wavelets", **how),
    "signals": lambda **how: Scattering1D(3, (128,), Q=2, **how),
    "joint": lambda **how: TimeFrequencyScattering(J=4, J_fr=2, Q=4, shape=512, **how),
    "rotations": lambda **how: RotoTranslationScattering2D(J=2, shape=(16, 16), L=4, **how),
    "densities": lambda **how: HarmonicScattering3D(J=1, shape=(8, 8, 8), L=2, **how),
    "covariance": lambda **how: ScatteringCovariance((32, 32), J=2, L=4, **how),
    "phases": lambda **how: WaveletPhaseHarmonics((32, 32), J=2, L=4, **how),
    "covariance, masked": lambda **how: ScatteringCovariance((16, 16), J=2, L=2, mask=MASK, **how),
    "phases, normalised": lambda **how: WaveletPhaseHarmonics(
        (16, 16), J=2, L=2, dn=1, normalise="auto", **how
    ),
    "phases, in deviations": lambda **how: WaveletPhaseHarmonics(
        (16, 16), J=2, L=2, dn=1, normalise="auto_std_only", **how
    ),
}


@pytest.fixture
def without_complex_numbers(monkeypatch):
    monkeypatch.setattr(torch.onnx, "is_in_onnx_export", lambda: True)


def real(z: torch.Tensor) -> torch.Tensor:
    """As ONNX has it: parts side by side."""
    return torch.view_as_real(z) if z.is_complex() else z


def distance(a: torch.Tensor, b: torch.Tensor) -> float:
    """Relative, of all numbers, and of the one that is furthest off."""
    assert a.shape == b.shape
    return max(float((a - b).norm() / b.norm()), float((a - b).abs().max() / b.abs().max()))


# --- the arithmetic ---------------------------------------------------------------------------


def complex_of(z: products.Parts) -> torch.Tensor:
    assert not isinstance(z, torch.Tensor)
    return torch.complex(z.real, z.imag)


@pytest.mark.parametrize("shape", [(1,), (7,), (257,), (1024,), (2310,), (3, 512, 6)])
def test_products_are_fourier_transforms(shape, without_complex_numbers):
    """Short sides, a prime one that stays one product, and those that are cut, twice 2310."""
    x = torch.randn(2, *shape, dtype=torch.float64)
    dims, n = tuple(range(-len(shape), 0)), shape[-1]
    z = products.fftn(x, dims)
    assert distance(complex_of(z), torch.fft.fftn(x, dim=dims)) < 1e-14
    assert distance(complex_of(torch.fft.ifftn(z, dim=dims)), x.to(torch.complex128)) < 1e-14
    assert distance(complex_of(products.fft(x, n + 3, -1)), torch.fft.fft(x, n + 3)) < 1e-14
    half = products.rfft(x)
    assert distance(complex_of(half), torch.fft.rfft(x)) < 1e-14
    assert distance(torch.fft.irfft(half, n), x) < 1e-14


def test_without_an_export_they_are_pytorchs():
    x = torch.randn(3, 8)
    assert torch.equal(products.fftn(x, (-1,)), torch.fft.fftn(x, dim=(-1,)))
    assert products.polar(x.abs(), x).is_complex()


def test_parts_refuse_what_they_do_not_know():
    z = products.Parts(torch.ones(2), torch.ones(2))
    with pytest.raises(AttributeError, match="Parts has no cumsum"):
        z.cumsum(0)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_transforms_without_complex_numbers(name, monkeypatch):
    module = TRANSFORMS[name](backend="reference").double()
    x = torch.rand(2, *module.input_shape, dtype=torch.float64)
    with torch.no_grad():
        S = module(x)
        monkeypatch.setattr(torch.onnx, "is_in_onnx_export", lambda: True)
        assert distance(real(module(x)), real(S)) < 1e-12


@pytest.mark.parametrize("size", [256, 243])
def test_long_averages_without_complex_numbers(size, monkeypatch):
    """Those of long signals are products of spectra; here those of short ones are too."""
    module = Scattering1D(3, size, Q=2, backend="reference").double()
    x = torch.rand(2, size, dtype=torch.float64)
    S = module(x)
    asked: list[torch.Size] = []
    rfft = products.rfft
    monkeypatch.setattr(reference, "rfft", lambda x: asked.append(x.shape) or rfft(x))
    monkeypatch.setattr(reference, "_LONG", 1)
    monkeypatch.setattr(torch.onnx, "is_in_onnx_export", lambda: True)
    assert distance(module(x), S) < 1e-12
    assert asked


# --- exported ---------------------------------------------------------------------------------


def runs_as_the_engine_does(module: torch.nn.Module, shape: tuple[int, ...], path: Path) -> None:
    """``module``, of the reference, in onnxruntime; beside the engine."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    onnxruntime = pytest.importorskip("onnxruntime")
    batch = ({0: torch.export.Dim("batch")},)
    program = torch.onnx.export(module, (torch.rand(3, *shape),), dynamo=True, dynamic_shapes=batch)
    program.save(path)
    nodes = onnx.load(path).graph.node
    assert {node.domain for node in nodes} <= {"", "ai.onnx"}
    assert "DFT" not in {node.op_type for node in nodes}
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (name,) = (argument.name for argument in session.get_inputs())
    for part in module.modules():
        if hasattr(part, "backend"):
            part.backend = "native"
    for images in (2, 5):
        x = torch.randn(images, *shape)
        (S,) = session.run(None, {name: x.numpy()})
        assert S.dtype == np.float32
        with torch.no_grad():
            assert distance(torch.from_numpy(S), real(module(x))) < 1e-5


# The exporter takes up to a minute for a graph: some in the proof, all of them with ONNX=every.
SHORT = "images", "signals", "learned", "rotations"
ASKED = TRANSFORMS if os.environ.get("ONNX") == "every" else SHORT


@pytest.mark.parametrize(
    "name",
    [n if n in SHORT[:2] else pytest.param(n, marks=pytest.mark.proof) for n in ASKED],
)
def test_onnxruntime_has_the_engines_numbers(name, tmp_path):
    module = TRANSFORMS[name](backend="reference").eval()
    runs_as_the_engine_does(module, module.input_shape, tmp_path / "model.onnx")


@pytest.mark.proof
def test_a_classifier_on_scattering(tmp_path):
    scattering = Scattering2D(2, (32, 32), L=4, backend="reference")
    width = math.prod(scattering.output_shape) * 3
    layers = scattering, torch.nn.Flatten(), torch.nn.Linear(width, 10)
    runs_as_the_engine_does(
        torch.nn.Sequential(*layers).eval(), (3, 32, 32), tmp_path / "model.onnx"
    )
