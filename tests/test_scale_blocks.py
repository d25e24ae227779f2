"""Images in blocks: the whole image's coefficients, at its borders too."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("sklearn")

from scatcuda import Scattering1D, Scattering2D, TimeFrequencyScattering
from scatcuda.banks import FilterBank, morlet_bank
from scatcuda.scale import halo, scatter_blocks

EXAMPLES = Path(__file__).parents[1] / "docs" / "examples"


def relative(found: np.ndarray, right: np.ndarray) -> float:
    return float(np.linalg.norm(found - right) / np.linalg.norm(right))


@pytest.fixture(scope="module")
def field() -> torch.Tensor:
    return torch.rand(229, 262, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("tolerance", [1e-2, 1e-4])
@pytest.mark.parametrize(
    ("J", "shape", "how"),
    [(2, (200, 180), {}), (2, (203, 170), {"max_order": 1}), (3, (229, 262), {"L": 4}),
     (1, (100, 101), {})],
)  # fmt: skip
def test_blocks_are_the_whole_image(field, J, shape, how, tolerance):
    """Of every size, multiples of 2^J and others; inside and at the borders."""
    da = pytest.importorskip("dask.array")
    x = field[: shape[0], : shape[1]]
    right = Scattering2D(J, shape, **how)(x).numpy()
    image = da.from_array(x.numpy(), chunks=(64, 90))
    h = halo(Scattering2D(J, shape, **how), tolerance)
    S = scatter_blocks(image, J, side=4 * h, tolerance=tolerance, **how)
    assert S.shape == right.shape and len(S.chunks[1]) > 1 and len(S.chunks[2]) > 1
    found = S.compute(scheduler="synchronous")
    assert relative(found, right) < tolerance
    for border in (np.s_[:, :2], np.s_[:, -2:], np.s_[..., :2], np.s_[..., -2:], np.s_[:, :1, :1]):
        assert relative(found[border], right[border]) < tolerance
    assert relative(found[:, 4:-4, 4:-4], right[:, 4:-4, 4:-4]) < tolerance


def test_the_halo_of_the_default_tolerance_suffices(field):
    """1e-5 on noise, the coefficients of which vary most."""
    da = pytest.importorskip("dask.array")
    x = field[:200, :230]
    right = Scattering2D(2, (200, 230))(x).numpy()
    errors = []
    for pixels in (4, 12, halo(Scattering2D(2, (4, 4)))):
        S = scatter_blocks(da.from_array(x.numpy()), 2, side=max(64, 4 * pixels), halo=pixels)
        errors.append(relative(S.compute(scheduler="synchronous"), right))
    assert errors[0] > 1e-3 > errors[1] > errors[2] < 1e-5


def test_stacks_and_integers(field):
    da = pytest.importorskip("dask.array")
    x = (field[:150, :100] * 255).to(torch.uint8)
    x = torch.stack([x, x.flip(0)])
    right = Scattering2D(2, (150, 100))(x.float()).numpy()
    image = da.from_array(x.numpy(), chunks=(1, 70, 70))
    S = scatter_blocks(image, 2, side=96, tolerance=1e-4)
    assert S.shape == right.shape and S.chunks[0] == (1, 1)
    assert relative(S.compute(scheduler="synchronous"), right) < 1e-4


def test_an_image_smaller_than_its_halo(field):
    """The whole image's padding comes round more than once."""
    da = pytest.importorskip("dask.array")
    x = field[:9, :13]
    right = Scattering2D(2, (9, 13))(x).numpy()
    S = scatter_blocks(da.from_array(x.numpy()), 2, side=128)
    assert relative(S.compute(scheduler="synchronous"), right) < 1e-5


def test_from_zarr_to_zarr_and_on_after_an_interruption(field, tmp_path):
    da, zarr = pytest.importorskip("dask.array"), pytest.importorskip("zarr")
    spec = importlib.util.spec_from_file_location("scale_image", EXAMPLES / "scale_image.py")
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    x = field[:160, :120]
    zarr.save(tmp_path / "x.zarr", x.numpy())
    image, output = da.from_zarr(tmp_path / "x.zarr"), str(tmp_path / "S.zarr")
    how = dict(side=80, halo=16)
    rows = recipe.scatter_zarr(image, output, 2, **how)
    assert rows == 4
    stored = zarr.open_array(output)
    right = stored[:]
    assert relative(right, Scattering2D(2, (160, 120))(x).numpy()) < 1e-4
    stored.attrs["rows"] = 2  # as if it had been killed
    stored[:, 24:] = 0
    assert recipe.scatter_zarr(image, output, 2, **how) == 2
    assert np.array_equal(stored[:], right)
    assert recipe.scatter_zarr(image, output, 2, **how) == 0
    with pytest.raises(ValueError, match="holds other coefficients"):
        recipe.scatter_zarr(image, output, 2, side=80, halo=16, max_order=1)


@pytest.mark.parametrize("how", [dict(J=6, Q=8), dict(J=4, Q=1), dict(J=5, Q=(4, 2), T=128)])
def test_what_is_beyond_the_halo_of_a_signal_does_not_matter(how):
    N = 1 << 14
    scattering = Scattering1D(shape=N, **how)
    h, step = halo(scattering), scattering.stride
    assert h % step == 0
    x = torch.randn(2, N, generator=torch.Generator().manual_seed(1))
    first, last = 6 * 1024, 8 * 1024
    x[1, first - h : last + h + 1] = x[0, first - h : last + h + 1]
    S = scattering(x)[..., first // step : last // step + 1].numpy()
    assert relative(S[1], S[0]) < 1e-5
    x[1, first - step : last + step + 1] = x[0, first - step : last + step + 1]
    narrow = x.clone()
    narrow[1, : first - step] = -x[0, : first - step]
    S = scattering(narrow)[..., first // step : last // step + 1].numpy()
    assert relative(S[1], S[0]) > 1e-3


def test_halos_grow_with_the_scale_and_the_precision_and_not_with_the_image():
    halos = [halo(Scattering2D(J, (32, 32))) for J in (1, 2, 3, 4)]
    assert all(h % (1 << J) == 0 for J, h in enumerate(halos, 1)) and halos == sorted(halos)
    assert halo(Scattering2D(2, (200, 90))) == halos[1]
    found = [halo(Scattering2D(2, (32, 32)), tolerance) for tolerance in (1e-1, 1e-3, 1e-5, 1e-6)]
    assert found == sorted(set(found))
    none, both = (halo(Scattering2D(2, (32, 32), max_order=m), 1e-3) for m in (0, 2))
    assert none < both


def test_a_bank_of_ones_own_has_the_halo_of_its_filters():
    """Morlet's by their formula and by the numbers of the filters."""
    own = FilterBank(*(getattr(morlet_bank((132, 132), 2), name) for name in ("psi", "phi")))
    both = [halo(Scattering2D(2, (124, 124), filters=bank), 1e-3) for bank in ("morlet", own)]
    assert abs(both[0] - both[1]) <= 4
    assert halo(Scattering2D(2, (32, 32), filters="tight"), 1e-3) >= both[0]
    small = FilterBank(*(getattr(morlet_bank((16, 16), 2), name) for name in ("psi", "phi")))
    with pytest.raises(ValueError, match="reaches further than its own size"):
        halo(Scattering2D(2, (8, 8), filters=small))


def test_wrong_arguments(field):
    da = pytest.importorskip("dask.array")
    image = da.from_array(field.numpy())
    for call, kind, words in [
        (
            lambda: halo(TimeFrequencyScattering(J=4, J_fr=2, Q=4, shape=512)),
            TypeError,
            "got TimeFrequencyS",
        ),
        (lambda: halo(Scattering2D(2, (8, 8)), 1e-9), ValueError, "tolerance must be from"),
        (lambda: halo(Scattering2D(2, (8, 8), trainable="wavelets")), ValueError, "trainable"),
        (lambda: halo(Scattering1D(3, 256, T=0)), ValueError, "must average locally"),
        (lambda: halo(Scattering1D(3, 256, T="global")), ValueError, "must average locally"),
        (lambda: scatter_blocks(field, 2), TypeError, "must be an array of Dask's; got Tensor"),
        (lambda: scatter_blocks(image[0], 2), ValueError, "must be real"),
        (lambda: scatter_blocks(image, 9), ValueError, "2\\^J"),
        (
            lambda: scatter_blocks(image, 2, device="tpu"),
            ValueError,
            "^scatter_blocks: device must",
        ),
        (lambda: scatter_blocks(image, 2, side=64, halo=6), ValueError, "must be multiples"),
        (lambda: scatter_blocks(image, 2, side=64, halo=32), ValueError, "side must be at least"),
    ]:
        with pytest.raises(kind, match=words):
            call()
