"""Stability: the changes against their definitions, the bounds of theory, table, figure."""

from __future__ import annotations

import math

import pytest
import torch

from scatcuda import Scattering2D
from scatcuda.data import digits
from scatcuda.learn.analysis.stability import (  # fmt: skip
    deform,
    plot,
    random_field,
    shift,
    stability,
    strain,
    table,
    turn,
    wave_packet,
)
from scatcuda.learn.networks.models import resnet


@pytest.fixture(scope="module")
def curves():
    network = resnet(10, (1, 32, 32), width=4, depth=1)
    found = stability(
        digits()[0][:24], network, J=3, L=4, shifts=(0, 1, 2, 4), strains=(0, 0.1, 0.3),
        turns=(0, 10, 30), scalings=(0, 0.05, 0.1),
    )  # fmt: skip
    return {(curve.change, curve.name): curve for curve in found}


def test_scattering_moves_least(curves):
    for change in ("shift", "deformation", "dilation"):
        assert curves[change, "scattering"].slope < 0.6 * curves[change, "pixels"].slope
    for change in ("deformation", "dilation"):
        assert curves[change, "scattering"].slope < 0.95 * curves[change, "Fourier modulus"].slope
    assert curves["shift", "Fourier modulus"].slope < 0.1
    for change in ("rotation", "scaling"):
        assert curves[change, "scattering"].slope < 0.95 * curves[change, "pixels"].slope
    turned = curves["rotation", "roto-translation"].y[-1]
    assert turned < 0.4 * curves["rotation", "scattering"].y[-1]


def test_bounds(curves):
    """What was measured: shifts move scattering by about c / 2^J, a wave packet's Fourier modulus
    moves by 14 times the strain and its scattering by 2."""
    assert curves["shift", "scattering"].slope < 1.2 / 2**3
    assert curves["deformation", "scattering"].slope < 1
    assert curves["dilation", "Fourier modulus"].slope > 10
    assert curves["dilation", "scattering"].slope < 3


def test_curves_start_at_zero_and_rise(curves):
    assert {name for _, name in curves} == {
        "pixels", "Fourier modulus", "scattering", "roto-translation", "network",
    }  # fmt: skip
    assert ("dilation", "network") not in curves
    for (change, name), curve in curves.items():
        assert curve.y[0] == pytest.approx(0, abs=1e-3), (change, name)
        assert curve.slope == pytest.approx(
            max(y / x for x, y in zip(curve.x, curve.y, strict=True) if x)
        )
        if name in ("pixels", "scattering"):  # of weights drawn by chance nothing is known
            assert list(curve.y) == sorted(curve.y), (change, name)


def test_first_order_moves_by_half_a_pixel_over_the_scale():
    """Relative change of S_1 under a shift by c ≤ 2^(J-1): about 0.6 c / 2^J on natural images."""
    data = pytest.importorskip("skimage.data")
    x = torch.from_numpy(data.camera()[128:384, 128:384] / 255.0).float()[None, None]
    for J in (3, 4):
        scattering = Scattering2D(J, (256, 256), 8, 1)
        S = scattering(x)[0, 0, 1:, 4:-4, 4:-4]
        for c in (1, 2):
            moved = scattering(shift(x, c, torch.tensor([math.pi / 4])))[0, 0, 1:, 4:-4, 4:-4]
            assert 0.3 < float((moved - S).norm() / S.norm()) * 2**J / c < 1


def test_shift():
    x = torch.rand(3, 2, 16, 16)
    quarter = torch.full((3,), math.pi / 2)
    torch.testing.assert_close(shift(x, 5, torch.zeros(3)), x.roll(5, -2))
    torch.testing.assert_close(shift(x, 3, quarter), x.roll(3, -1), rtol=1e-4, atol=1e-5)
    u = torch.arange(16) * 2 * math.pi / 16
    wave = torch.cos(u)[:, None].expand(1, 1, 16, 16)
    moved = shift(wave, 0.5, torch.zeros(1))
    torch.testing.assert_close(moved[0, 0, :, 0], torch.cos(u - math.pi / 16), rtol=1e-4, atol=1e-5)


def test_strain_is_the_norm_of_the_jacobian():
    u = torch.arange(32) * 2 * math.pi / 32
    field = torch.zeros(2, 2, 32, 32)
    field[0, 0] = torch.sin(u)[:, None] * 32 / (2 * math.pi)  # gradient cos, 1
    field[1, 1] = 3 * torch.sin(u)[:, None] * 32 / (2 * math.pi)  # a shear
    torch.testing.assert_close(strain(field), torch.tensor([1.0, 3.0]))
    random = random_field(4, (24, 32), torch.Generator().manual_seed(1)).double()
    spectrum = torch.fft.fft2(random) * 2j * math.pi
    rows = torch.fft.ifft2(spectrum * torch.fft.fftfreq(24)[:, None]).real
    columns = torch.fft.ifft2(spectrum * torch.fft.fftfreq(32)).real
    jacobian = torch.stack([rows, columns], -1).movedim(1, -2)
    norms = torch.linalg.matrix_norm(jacobian, 2).amax((-2, -1))
    torch.testing.assert_close(norms, torch.ones(4, dtype=torch.float64), rtol=1e-4, atol=0)


def test_deform():
    x = torch.rand(2, 3, 12, 16)
    field = torch.zeros(2, 2, 12, 16)
    field[:, 0], field[:, 1] = 2, -1  # x(u - τ): down by 2, left by 1
    inner = deform(x, field)[..., 3:-3, 3:-3]
    torch.testing.assert_close(
        inner, x.roll((2, -1), (-2, -1))[..., 3:-3, 3:-3], rtol=1e-3, atol=1e-4
    )


def test_turn():
    x = torch.rand(2, 3, 12, 12)
    torch.testing.assert_close(turn(x, 90), x.rot90(1, (-2, -1)), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(turn(x, 180), x.flip(-2, -1), rtol=1e-3, atol=1e-4)
    u = torch.arange(32) - 15.5
    blob = torch.exp(-(u[:, None] ** 2 + u**2) / (2 * 4.0**2))[None, None]
    wider = torch.exp(-(u[:, None] ** 2 + u**2) / (2 * 5.0**2))[None, None]
    inside = slice(4, 28)
    found = turn(blob, 30, 0.8)[..., inside, inside]
    torch.testing.assert_close(found, wider[..., inside, inside], rtol=0, atol=1.5e-2)


def test_wave_packet_dilates():
    row = wave_packet(0.1)[0, 0, :, 64]
    frequency = torch.fft.rfft(row).abs().argmax() * 2 * math.pi / 128
    assert frequency == pytest.approx(0.9 * 0.75 * math.pi, abs=0.05)


def test_seed_decides():
    x = digits()[0][:3]
    options = {"J": 2, "L": 2, "shifts": (1,), "strains": (0.2,)}
    assert stability(x, **options) == stability(x, **options)
    assert stability(x, **options)[0] != stability(x, seed=1, **options)[0]


def test_table_and_figure(curves, tmp_path):
    found = list(curves.values())
    lines = table(found).splitlines()
    assert len(lines) == len(found) + 5
    assert f"{found[0].slope:.2f}" in lines[1]
    plot(found, tmp_path / "stability.png")
    assert (tmp_path / "stability.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "options, words",
    [
        ({"x": torch.zeros(3)}, r"x must be \[n, M, N\]"),
        ({"x": [1]}, "x must be a tensor"),
        ({"shifts": ()}, "shifts must be numbers from 0"),
        ({"shifts": (-1,)}, "shifts must be numbers from 0"),
        ({"strains": (0.5, 1.0)}, "strains must be numbers from 0 and below 1"),
        ({"turns": (-1,)}, "turns must be numbers from 0"),
        ({"scalings": (1.0,)}, "scalings must be numbers from 0 and below 1"),
        ({"J": 9}, "at least 2"),
    ],
)
def test_bad_arguments(options, words):
    with pytest.raises((TypeError, ValueError), match=words):
        stability(**{"x": torch.rand(1, 16, 16), "J": 2, "L": 2, **options})


def test_a_network_without_parts_and_amounts_that_are_none():
    x = torch.rand(2, 16, 16)
    curves = stability(x, torch.nn.Flatten(), J=1, L=2, shifts=(0, 1), strains=(0,), turns=(0,),
                       scalings=(0,))  # fmt: skip
    assert "network" in [curve.name for curve in curves]
    for wrong in (5, None, ("a",), ()):
        with pytest.raises(ValueError, match="stability: shifts must be numbers from 0; got"):
            stability(x, J=1, shifts=wrong)
