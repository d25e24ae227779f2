"""HarmonicScattering3D: against complex harmonics in float64 and Kymatio; its gradients where
Kymatio's are not finite; powers, folding, mistakes."""

import copy
import importlib
import math
import pickle
import warnings

import numpy as np
import pytest
import torch
from oracle import relative_error

from scatcuda import HarmonicScattering3D
from scatcuda.banks.harmonics import real_harmonics

POWERS = (0.5, 1.0, 2.0, 3.0)


def complex_harmonic(x, y, z, l, m):
    """``r^l Y_lm`` by SciPy, from spherical coordinates."""
    special = importlib.import_module("scipy.special")
    r = np.sqrt(x * x + y * y + z * z)
    polar, azimuth = np.arctan2(np.hypot(x, y), z), np.arctan2(y, x)
    if hasattr(special, "sph_harm_y"):
        return r**l * special.sph_harm_y(l, m, polar, azimuth)
    return r**l * special.sph_harm(m, l, azimuth, polar)


def constant(l):
    """Of the wavelets, as Kymatio's papers have it."""
    if l == 0:
        return 1.0
    if l % 2 == 0:
        found = 1 / (2 * math.pi * math.sqrt(l + 0.5) * math.prod(range(l + 1, 0, -2)))
    else:
        found = 1 / (2 ** (0.5 * (l + 3)) * math.sqrt(math.pi * (2 * l + 1)))
        found /= math.factorial((l + 1) // 2)
    return found * (2 * math.pi) ** 1.5


def oracle(x, J, L, sigma_0, max_order, powers):
    """Sums ``[paths, L + 1, powers]`` of one density, by NumPy's FFT and complex harmonics."""
    w = np.meshgrid(*(2 * np.pi * np.fft.fftfreq(n) for n in x.shape), indexing="ij")

    def norm(U, j, l):
        z, y, x = (sigma_0 * 2**j * side for side in w)
        gaussian = constant(l) * np.exp(-(x**2 + y**2 + z**2) / 2)
        orders = range(-l, l + 1) if l else [0]
        psi = [gaussian * (complex_harmonic(x, y, z, l, m) if l else 1) for m in orders]
        U_hat = np.fft.fftn(U)
        return np.sqrt(sum(abs(np.fft.ifftn(U_hat * p)) ** 2 for p in psi))

    found = {}
    for l in range(L + 1):
        layer = {(): x}
        for _ in range(max_order):
            layer = {
                (*path, j): norm(U, j, l)
                for path, U in layer.items()
                for j in range(path[-1] + 1 if path else 0, J + 1)
            }
            for path, U in layer.items():
                found[path, l] = [(U**q).sum() for q in powers]
    paths = sorted({path for path, _ in found}, key=lambda path: (len(path), path))
    return np.array([[found[path, l] for l in range(L + 1)] for path in paths])


@pytest.mark.parametrize(
    ("shape", "J", "L", "sigma_0", "max_order"),
    [
        ((12, 10, 8), 2, 3, 1, 2),
        ((9, 7, 11), 1, 4, 0.8, 2),  # odd sides, where Kymatio's grid is a bin off
        ((8, 8, 8), 2, 1, 1.5, 3),
        ((16, 1, 5), 0, 2, 1, 1),
        ((8, 4, 6), 1, 9, 1, 1),
    ],
)
@pytest.mark.parametrize("backend", ["native", "reference"])
def test_against_complex_harmonics(shape, J, L, sigma_0, max_order, backend):
    x = torch.rand(2, *shape, dtype=torch.float64)
    arguments = J, shape, L, sigma_0, max_order
    S = HarmonicScattering3D(*arguments, integral_powers=POWERS, backend=backend)
    expected = torch.from_numpy(
        np.stack([oracle(one.numpy(), J, L, sigma_0, max_order, POWERS) for one in x])
    )
    assert expected.shape[1:] == S.output_shape
    assert relative_error(S(x.float()), expected) <= 2e-6
    torch.testing.assert_close(S.double()(x), expected, rtol=1e-11, atol=0)


def test_harmonics_are_orthogonal():
    """Means over a sphere: over the corners of a product rule exact for these degrees."""
    nodes, weights = np.polynomial.legendre.leggauss(12)
    azimuth = np.arange(24) * (2 * np.pi / 24)
    z, a = np.meshgrid(nodes, azimuth, indexing="ij")
    x, y = np.sqrt(1 - z**2) * np.cos(a), np.sqrt(1 - z**2) * np.sin(a)
    Y = np.concatenate([real_harmonics(x, y, z, l).reshape(2 * l + 1, -1) for l in range(8)])
    each = np.repeat(weights, 24) * (2 * np.pi / 24)
    np.testing.assert_allclose((Y * each) @ Y.T, np.eye(64), atol=1e-12)


@pytest.fixture
def theirs():
    pytest.importorskip("kymatio")
    from scatcuda.frontends.kymatio import _sph_harm

    with warnings.catch_warnings(), _sph_harm():
        warnings.simplefilter("ignore")
        yield importlib.import_module("kymatio.torch").HarmonicScattering3D


@pytest.mark.parametrize(
    "options",
    [
        dict(J=2, shape=(16, 16, 16), L=2),
        dict(J=1, shape=(12, 8, 10), L=3, sigma_0=2, max_order=1),
        dict(J=2, shape=(16, 12, 16), integral_powers=(1, 2, 3)),
        dict(J=1, shape=(16, 16, 16), L=3, sigma_0=2, rotation_covariant=False),
    ],
    ids=str,
)
def test_kymatio(theirs, options):
    ours, own = HarmonicScattering3D(**options), theirs(**options)
    x = torch.rand(2, 3, *options["shape"])
    assert ours(x).shape == own(x).shape
    torch.testing.assert_close(ours(x), own(x), rtol=4e-6, atol=0)  # both are float32
    assert ours.scattering(x[0, 0]).shape == own(x[0, 0]).shape


def test_invariant_to_rotations_and_translations():
    S = HarmonicScattering3D(1, (12, 12, 12), L=3).double()
    x = torch.rand(12, 12, 12, dtype=torch.float64)
    x = torch.fft.ifftn(torch.fft.fftn(x) * _low(12)).real  # nothing at the highest frequencies
    expected = S(x)
    for moved in (x.roll((3, -2, 5), (0, 1, 2)), x.transpose(0, 2).flip(0), x.permute(1, 2, 0)):
        torch.testing.assert_close(S(moved), expected)


def _low(n):
    kept = (torch.fft.fftfreq(n).abs() < 0.45).double()
    return kept[:, None, None] * kept[:, None] * kept


@pytest.mark.parametrize("rotation_covariant", [True, False])
def test_gradients(rotation_covariant):
    S = HarmonicScattering3D(
        1,
        (6, 5, 4),
        L=1,
        rotation_covariant=rotation_covariant,
        integral_powers=(1, 2),
        order_0=True,
    ).double()
    x = 0.5 + torch.rand(1, 6, 5, 4, dtype=torch.float64)
    assert torch.autograd.gradcheck(S, x.requires_grad_())


def test_gradients_are_the_reference_s():
    options = dict(J=2, shape=(12, 8, 10), L=3, integral_powers=POWERS)
    x = torch.rand(3, 12, 8, 10, requires_grad=True)
    wide = x.detach().double().requires_grad_()
    S = HarmonicScattering3D(**options)(x)
    expected = HarmonicScattering3D(**options, backend="reference").double()(wide)
    g = torch.rand_like(expected)
    (ours,) = torch.autograd.grad(S, x, g.float())
    (right,) = torch.autograd.grad(expected, wide, g)
    assert relative_error(ours, right) <= 4e-6


@pytest.mark.parametrize("value", [0.0, 1.0])
@pytest.mark.parametrize("backend", ["native", "reference"])
def test_gradients_of_what_is_constant_are_finite(value, backend):
    """Kymatio's are not: of the root of 0."""
    S = HarmonicScattering3D(
        1, (8, 8, 8), L=2, integral_powers=POWERS, backend=backend, order_0=True
    )
    x = torch.full((8, 8, 8), value, requires_grad=True)
    S(x).sum().backward()
    assert x.grad is not None and x.grad.isfinite().all()
    assert not value or x.grad.any()


def test_order_0_is_a_row():
    options = dict(J=1, shape=(8, 6, 4), L=2, integral_powers=POWERS)
    S, plain = HarmonicScattering3D(**options, order_0=True), HarmonicScattering3D(**options)
    x = torch.randn(2, 8, 6, 4)
    found, rows = S(x), S.meta()
    assert found.shape[1:] == S.output_shape == (1 + 3 * 3, 4)
    sums = torch.stack([x.abs().pow(q).sum((1, 2, 3)) for q in POWERS], -1)
    torch.testing.assert_close(found[:, 0], sums)
    assert torch.equal(found[:, 1:], plain(x).flatten(1, 2))
    assert rows["key"][:3] == [(), (0, 0), (0, 1)] and rows["key"][-1] == (0, 1, 2)
    assert rows["l"][1:4].tolist() == [0, 1, 2] and np.isnan(rows["l"][0])
    assert rows["order"].tolist() == [0] + [1] * 6 + [2] * 3
    assert plain.meta()["key"] == [(0,), (1,), (0, 1)]
    assert len(rows["j"]) == S.output_shape[0] and len(plain.meta()["j"]) == plain.output_shape[0]


@pytest.mark.parametrize(("sigma_0", "most"), [(1.0, 0.02), (1.5, 0.005), (3.0, 0.005)])
def test_folded_is_near(sigma_0, most):
    """Of the Gaussian nothing is lost but with the narrowest; norms of the others have cusps."""
    places = torch.stack(torch.meshgrid(*[torch.arange(32.0)] * 3, indexing="ij")).double()
    centres = 8 + 16 * torch.rand(6, 3, 1, 1, 1, dtype=torch.float64)
    atoms = (-((places - centres) ** 2).sum(1) / 4.5).exp().sum(0)
    x = torch.stack([torch.rand(32, 32, 32, dtype=torch.float64), atoms])
    powers = (0.5, 1, 2, 3)
    options = dict(J=2, shape=(32, 32, 32), L=2, sigma_0=sigma_0, integral_powers=powers)
    whole = HarmonicScattering3D(**options).double()(x)
    folded = HarmonicScattering3D(**options, fold=True, order_0=True).double()(x)
    sums = torch.stack([(x**q).sum((1, 2, 3)) for q in powers], 1)
    torch.testing.assert_close(folded[:, 0], sums)
    error = ((folded[:, 1:].view_as(whole) - whole).abs() / whole).amax((0, 1, 3))
    assert error[0] <= (1e-4 if sigma_0 > 1 else 1e-3) and 1e-5 < error[1:].max() <= most


@pytest.mark.parametrize("sigma_0", [1e-30, 1e9, 1e300])
def test_far_too_narrow_or_wide(sigma_0):
    S = HarmonicScattering3D(2, (4, 4, 4), L=9, sigma_0=sigma_0)
    assert S(torch.rand(4, 4, 4)).isfinite().all()


def test_powers_and_order_are_assigned():
    """As Kymatio's programs do."""
    S, x = HarmonicScattering3D(2, (8, 6, 4), L=1), torch.rand(8, 6, 4)
    S.backend = "reference"
    S.backend = "native"
    S.max_order, S.method, S.integral_powers = 1, "integral", np.array([1.0, 3.0])
    expected = HarmonicScattering3D(2, (8, 6, 4), L=1, max_order=1, integral_powers=(1, 3))(x)
    assert torch.equal(S(x), expected) and S.output_shape == expected.shape
    for name, value in (("max_order", 4), ("method", "local"), ("integral_powers", [-1])):
        with pytest.raises(ValueError, match=f"{name} must be"):
            setattr(S, name, value)
    assert torch.equal(S(x), expected)


def test_as_features():
    from scatcuda.learn import ScatteringTransformer

    S, x = HarmonicScattering3D(1, (8, 6, 4), L=1), np.random.default_rng(0).random((3, 8, 6, 4))
    transformer = ScatteringTransformer(scattering=S, dtype="float64")
    found = transformer.fit_transform(x)
    expected = S.double()(torch.from_numpy(x)).flatten(1).numpy()
    np.testing.assert_array_equal(found, expected)
    names = transformer.get_feature_names_out()
    assert len(set(names)) == found.shape[1] and names[0] == "j0_at_0_0"
    several = transformer.fit_transform(x[:, None].repeat(2, 1))
    np.testing.assert_array_equal(several, np.hstack([expected, expected]))
    with pytest.raises(ValueError, match="pool must be None where scattering takes densities"):
        ScatteringTransformer(scattering=S, pool="mean").fit(x)
    with pytest.raises(ValueError, match="X must be densities"):
        ScatteringTransformer(scattering=S).fit(x[0])


def test_any_batch_and_strides():
    S = HarmonicScattering3D(1, (6, 4, 8), L=1)
    x = torch.rand(2, 3, 8, 6, 4).movedim(2, -1)
    assert not x.is_contiguous()
    assert torch.equal(S(x), S(x.contiguous()))
    assert S(x).shape == (2, 3, 3, 2, 3)
    assert S(x[:0]).shape == (0, 3, 3, 2, 3)
    assert torch.equal(S(x[1, 2]), S(x)[1, 2])
    assert S(x.half()).dtype == torch.float32 and S(torch.ones(6, 4, 8, dtype=torch.int)).ndim == 3


def test_threads_give_the_same_bits():
    S, x = HarmonicScattering3D(1, (12, 10, 8), L=2), torch.rand(3, 12, 10, 8)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        expected = S(x)
        torch.set_num_threads(3)
        assert torch.equal(S(x), expected)
    finally:
        torch.set_num_threads(before)


def test_as_a_module(tmp_path):
    S, x = HarmonicScattering3D(1, (8, 6, 4), L=1), torch.rand(8, 6, 4)
    expected = S(x)
    assert not S.state_dict() and not list(S.parameters())
    for again in (copy.deepcopy(S), pickle.loads(pickle.dumps(S)), S.double().float()):
        assert torch.equal(again(x), expected)
    compiled = torch.compile(S, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), expected)
    exported = torch.export.export(S, (x,))
    assert torch.equal(exported.module()(x), expected)
    torch.testing.assert_close(torch.func.vmap(S)(x.expand(3, 8, 6, 4))[2], expected)
    assert S.save_plan(tmp_path / "plan.scat") == (tmp_path / "plan.scat").stat().st_size
    with pytest.raises(ValueError, match="fold must be False"):
        HarmonicScattering3D(1, (8, 6, 4), fold=True).save_plan(tmp_path / "other.scat")
    assert not (tmp_path / "other.scat").exists()
    with pytest.raises(AttributeError, match="L is fixed when the module is built"):
        S.L = 2


@pytest.mark.parametrize(
    ("options", "error", "told"),
    [
        (dict(J=-1), ValueError, "J must be"),
        (dict(J=1.5), TypeError, "J must be"),
        (dict(shape=(8, 8)), ValueError, r"shape must be three sides \(M, N, O\); got \(8, 8\)"),
        (dict(shape=8), ValueError, "shape must be three sides"),
        (dict(shape=(8, 0, 8)), ValueError, "a side of shape must be"),
        (
            dict(shape=(1 << 20, 1 << 20, 1)),
            ValueError,
            "lanes of L = 3 times 1099511627776 voxels",
        ),
        (dict(L=-1), ValueError, "L must be"),
        (dict(L=65), ValueError, "L must be"),
        (dict(sigma_0=0), ValueError, "sigma_0 must be positive and finite; got 0"),
        (dict(sigma_0="1"), TypeError, "sigma_0 must be a number; got '1'"),
        (dict(sigma_0=math.nan), ValueError, "sigma_0 must be positive"),
        (dict(max_order=0), ValueError, "max_order must be"),
        (dict(max_order=3), ValueError, "max_order must be"),
        (dict(rotation_covariant=1), TypeError, "rotation_covariant must be a bool"),
        (dict(method="local"), ValueError, "method must be one of 'integral'; got 'local'"),
        (dict(points=[1]), ValueError, "points must be None"),
        (dict(integral_powers=()), ValueError, "integral_powers must be from 1 to 64 numbers"),
        (dict(integral_powers=(-1,)), ValueError, "integral_powers must be"),
        (dict(integral_powers=2), TypeError, "integral_powers must be a sequence of numbers"),
        (dict(integral_powers="12"), TypeError, "a number in integral_powers must be a number"),
        (dict(backend="skcuda"), ValueError, "backend must be one of"),
        (dict(fold=True, shape=(8, 8, 9)), ValueError, "multiples of 2.J = 2 where planes are"),
        (dict(tier="fast"), ValueError, "tier must be one of"),
        (dict(workspace=0), ValueError, "workspace must be"),
        (dict(J=24, max_order=25), ValueError, "at most"),
    ],
    ids=str,
)
def test_mistakes(options, error, told):
    with pytest.raises(error, match=f"HarmonicScattering3D: .*{told}"):
        HarmonicScattering3D(**(dict(J=1, shape=(8, 8, 8)) | options))


def test_wrong_input():
    S = HarmonicScattering3D(1, (8, 6, 4))
    for x, error, told in (
        (np.zeros((8, 6, 4)), TypeError, "must be a torch.Tensor"),
        (torch.zeros(8, 6, 5), RuntimeError, r"shape \(\.\.\., 8, 6, 4\); got \(8, 6, 5\)"),
        (torch.zeros(6, 4), RuntimeError, "at least three dimensions"),
        (torch.zeros(8, 6, 4, dtype=torch.complex64), RuntimeError, "must be real"),
        (torch.zeros(8, 6, 4, dtype=torch.float64), TypeError, "must be float32"),
    ):
        with pytest.raises(error, match=told):
            S(x)


# --- in place of Kymatio's ---------------------------------------------------------------------


OPTIONS = dict(J=1, shape=(8, 6, 4), L=2)


def kymatio_class(frontend):
    from scatcuda.frontends.kymatio import _sph_harm

    with warnings.catch_warnings(), _sph_harm():
        warnings.simplefilter("ignore")
        return importlib.import_module(f"kymatio.{frontend}").HarmonicScattering3D


@pytest.mark.parametrize("frontend", ["torch", "numpy", "sklearn"])
@pytest.mark.filterwarnings("ignore:.*sph_harm")
def test_accelerated(theirs, frontend):
    from scatcuda.kymatio import accelerate

    kind = kymatio_class(frontend)
    own = kind(**OPTIONS)
    x = np.random.default_rng(0).random((2, 8, 6, 4)).astype(np.float32)
    given = torch.from_numpy(x) if frontend == "torch" else x
    with accelerate():
        ours = kind(**OPTIONS)
    assert isinstance(ours, kind) and type(ours) is not kind
    assert type(own) is kind
    np.testing.assert_allclose(np.asarray(ours(given)), np.asarray(own(given)), rtol=4e-6)
    assert ours(given).dtype == given.dtype
    for name in ("J", "L", "M", "N", "O", "sigma_0", "max_order", "method", "rotation_covariant"):
        assert getattr(ours, name) == getattr(own, name), name
    assert tuple(ours.integral_powers) == tuple(own.integral_powers)
    for a, b in zip(ours.filters, own.filters, strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))
    np.testing.assert_array_equal(
        np.asarray(ours.gaussian_filters).real, np.asarray(own.gaussian_filters).real
    )
    again = pickle.loads(pickle.dumps(ours))
    np.testing.assert_array_equal(np.asarray(again(given)), np.asarray(ours(given)))
    if frontend == "torch":
        assert isinstance(ours, HarmonicScattering3D)
        assert type(ours).__doc__ == HarmonicScattering3D.__doc__
        own.load_state_dict(ours.state_dict())
        ours.load_state_dict(own.state_dict())
        assert ours.state_dict().keys() == own.state_dict().keys()
    else:
        ours.max_order = own.max_order = 1
        assert ours(given).shape == (2, 2, 3, 3)
    powers = [1, 3]
    for each in (ours, own):
        each.method, each.integral_powers = "integral", powers
    np.testing.assert_allclose(np.asarray(ours(given)), np.asarray(own(given)), rtol=4e-6)
    powers.append(2)
    if frontend != "torch":
        assert ours(given).shape[-1] == own(given).shape[-1] == 3


@pytest.mark.parametrize("frontend", ["torch", "numpy"])
@pytest.mark.parametrize("change", [dict(shape=(8, 6, 5)), dict(rotation_covariant=False)])
@pytest.mark.filterwarnings("ignore:.*sph_harm")
def test_where_numbers_differ_kymatio_stays(theirs, frontend, change):
    from scatcuda.kymatio import FallbackWarning, accelerate

    kind = kymatio_class(frontend)
    with accelerate(), pytest.warns(FallbackWarning, match="differ from Kymatio's where"):
        found = kind(**OPTIONS | change)
    assert type(found) is kind
