"""Scattering covariances against their definitions, written out in NumPy with a second wavelet
transform, at the resolutions that the module says it has."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from covariance_peer import maps
from oracle import lowest

from scatcuda import ScatteringCovariance
from scatcuda.banks.oriented import oriented
from scatcuda.program.fields import ORIENTED
from scatcuda.transforms.covariance import isotropic

NAMES = ("mean", "S1", "S2", "S3", "S4")


def by_definition(module, x, y=None):
    """Of one field, or of two in S2, S3 and S4; not normalised."""
    y = x if y is None else y
    J, axes = module._plan.scales, tuple(range(-x.ndim, 0))
    psi = [module.wavelets(j).numpy() for j in range(J)]
    mask = np.ones(x.shape) if module.mask is None else module.mask.numpy()

    def mean(f, grid):
        sizes = [n for m, side in zip(grid, x.shape, strict=True) for n in (m, side // m)]
        w = mask.reshape(sizes).mean(tuple(range(1, 2 * x.ndim, 2)))
        return (f * w).sum(axes) / w.sum()

    def convolved(f, j, grid):  # f [..., *sides] with every wavelet of scale j, on a grid
        f_hat = (
            lowest(np.fft.fftn(f, axes=axes), grid) * np.prod(grid) / np.prod(f.shape[-x.ndim :])
        )
        return np.fft.ifftn(np.expand_dims(f_hat, -x.ndim - 1) * lowest(psi[j], grid), axes=axes)

    grids = [module.grid(j) for j in range(J)]
    W = [[convolved(f, j, grids[j]) for j in range(J)] for f in (x, y)]
    U = [[np.abs(w) for w in several] for several in W]
    S1 = np.array([mean(u, g) for u, g in zip(U[0], grids, strict=True)])
    P = np.array([[mean(u**2, g) for u, g in zip(us, grids, strict=True)] for us in U])
    S2 = np.array([mean(a * b.conj(), g) for a, b, g in zip(*W, grids, strict=True)])
    S3, S4 = [], []
    for j1, j2 in itertools.combinations_with_replacement(range(J), 2):
        V = convolved(U[1][j1], j2, grids[j2])  # [theta1, theta2, ...]
        S3.append(mean(convolved(x, j2, grids[j2]) * V.conj(), grids[j2]))
    for j1, j2, j3 in itertools.combinations_with_replacement(range(J), 3):
        A, B = (convolved(u[j], j3, grids[j3]) for u, j in ((U[0], j1), (U[1], j2)))
        S4.append(mean(A[:, None] * B[None].conj(), grids[j3]))
    found = {"mean": mean(x, x.shape), "S1": S1, "S2": S2, "P": P}
    return {**found, "S3": np.array(S3), "S4": np.array(S4)}


def normalised(s):
    root = 1 / np.sqrt(s["P"])
    J = root.shape[1]
    found = dict(s, S1=s["S1"] * root[0])
    for i, (j1, j2) in enumerate(itertools.combinations_with_replacement(range(J), 2)):
        found["S3"][i] *= root[1][j1][:, None] * root[0][j2]
    for i, (j1, j2, _) in enumerate(itertools.combinations_with_replacement(range(J), 3)):
        found["S4"][i] *= root[0][j1][:, None, None] * root[1][j2][:, None]
    return found


def field(*shape, seed=0):
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal(shape)
    return torch.from_numpy(np.exp(0.7 * noise + 0.4 * np.roll(noise, 1, -1)))


CASES = [
    dict(shape=(32, 32), J=3),
    dict(shape=(48, 20), J=2, L=3),
    dict(shape=(27, 35), J=3, L=2),  # odd
    dict(shape=(17, 64), J=2, L=1),  # prime
    dict(shape=(64, 64), J=4, L=5, filters="gaussian"),
    dict(shape=(32, 48), J=3, L=4, filters="bump"),
    dict(shape=(40, 40), J=2, L=8, filters="shannon", oversampling=1),
    dict(shape=(128,), J=5),
    dict(shape=(96,), J=3, Q=3),
    dict(shape=(63,), J=3, filters="bump"),
]


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("normalise", [True, False])
def test_by_definition(case, normalise):
    module = ScatteringCovariance(**case, normalise=normalise).double()
    x = field(*case["shape"])
    wanted = by_definition(module, x.numpy())
    wanted = normalised(wanted) if normalise else wanted
    found = module.statistics(x)
    for name in NAMES:
        scale = np.abs(wanted[name]).max()
        assert np.abs(found[name].numpy() - wanted[name]).max() <= 1e-12 * scale, name
    single = ScatteringCovariance(**case, normalise=normalise)
    for name, s in single.statistics(x.float()).items():
        scale = np.abs(wanted[name]).max()
        assert np.abs(s.numpy() - wanted[name]).max() <= 1e-5 * scale, name


def test_masked_by_definition():
    mask = torch.rand(32, 48, generator=torch.Generator().manual_seed(0)).double()
    mask[:, :9] = 0
    module = ScatteringCovariance((32, 48), J=3, mask=mask).double()
    x = field(32, 48)
    wanted = normalised(by_definition(module, x.numpy()))
    for name, s in module.statistics(x).items():
        assert np.abs(s.numpy() - wanted[name]).max() <= 1e-12 * np.abs(wanted[name]).max(), name


def test_a_mask_of_ones_changes_nothing():
    x = field(2, 40, 32)
    plain, masked = (
        ScatteringCovariance((40, 32), mask=mask).double() for mask in (None, np.ones((40, 32)))
    )
    torch.testing.assert_close(plain(x), masked(x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("mask", [None, "half"])
def test_two_fields_by_definition(mask):
    weights = None if mask is None else torch.cat([torch.ones(16, 32), torch.zeros(16, 32)])
    module = ScatteringCovariance((32, 32), J=3, L=2, mask=weights).double()
    x, y = field(32, 32), field(32, 32, seed=1)
    found = module.cross(x, y)
    for name, a, b in (("xy", x, y), ("yx", y, x)):
        raw = by_definition(module, a.numpy(), b.numpy())
        S2 = raw["S2"] / np.sqrt(raw["P"][0] * raw["P"][1])
        wanted = normalised(raw)
        for order in ("S3", "S4"):
            error = np.abs(found[order + name].numpy() - wanted[order]).max()
            assert error <= 1e-12 * np.abs(wanted[order]).max()
        if name == "xy":
            assert np.abs(found["S2"].numpy() - S2).max() <= 1e-12
    alone = module.cross(x, x)
    torch.testing.assert_close(alone["S3xy"], module.statistics(x)["S3"])


def test_in_units_of_a_reference():
    both = (ScatteringCovariance((32, 32), J=3, normalise=n).double() for n in (True, False))
    module, plain = both
    x, y = field(2, 32, 32), field(32, 32, seed=3)
    P = module.power(y)
    units = plain.units(P)
    torch.testing.assert_close(module(x, P), plain(x) * units, rtol=1e-12, atol=1e-12)
    found = module.statistics(y, P)
    torch.testing.assert_close(found["S2"], torch.ones_like(found["S2"]))
    torch.testing.assert_close(found["S4"], module.statistics(y)["S4"])
    twice = module.statistics(2 * y)
    torch.testing.assert_close(twice["S3"], found["S3"])  # normalised: the scale is lost


def turned_by_angles(S, count, L, by):
    """All angles advanced by so many steps, the last wavelet's conjugate after half a turn."""
    found = torch.zeros_like(S)
    for index in itertools.product(range(L), repeat=count):
        at = [(i + by) % L for i in index]
        value = S[(..., *at)]
        found[(..., *index)] = value.conj() if index[-1] + by >= L else value
    return found


@pytest.mark.parametrize("count", [2, 3])
def test_isotropic_is_the_mean_over_rotations(count):
    L = 4
    S = torch.randn(3, *(L,) * count, dtype=torch.complex128)
    half = [turned_by_angles(S, count, L, by) for by in range(L)]
    whole = sum(half) + sum(turned.conj() for turned in half)  # after half a turn
    found = isotropic(S, count, L)
    torch.testing.assert_close(found, (whole / (2 * L)).select(-count, 0).real)
    assert whole.imag.abs().max() < 1e-12


def test_isotropic_does_not_feel_a_rotation_of_the_image():
    """By a right angle about the first pixel, which the grid has; half of the bank's angles."""
    f = torch.fft.fftfreq(64) ** 2
    x = torch.fft.ifft2(torch.fft.fft2(field(64, 64)) * torch.exp(-100 * (f[:, None] + f))).real
    turned = torch.rot90(x).roll(1, 0)
    for is_isotropic, least, most in ((True, 0, 1e-6), (False, 1e-2, 10)):
        module = ScatteringCovariance((64, 64), J=3, L=4, isotropic=is_isotropic).double()
        assert least <= float((module(x) - module(turned)).abs().max()) <= most


def test_the_vector_and_what_it_says_of_itself():
    for kw in ({}, {"isotropic": True}):
        module = ScatteringCovariance((32, 48), J=2, L=3, **kw).double()
        x = field(2, 32, 48)
        blocks, vector, meta = module.statistics(x), module(x), module.meta()
        assert vector.shape == (2, *module.output_shape)
        assert {len(column) for column in meta.values()} == {vector.shape[1]}
        again = module.split(vector)
        assert list(again) == list(blocks)
        for name in blocks:
            torch.testing.assert_close(again[name], blocks[name], rtol=0, atol=0)
        pairs = [*itertools.combinations_with_replacement(range(2), 2)]
        triples = [*itertools.combinations_with_replacement(range(2), 3)]
        for k in range(vector.shape[1]):
            name, part = meta["block"][k], meta["part"][k]
            j = tuple(int(meta[f"j{i}"][k]) for i in (1, 2, 3) if meta[f"j{i}"][k] >= 0)
            theta = tuple(int(meta[f"theta{i}"][k]) for i in (1, 2, 3) if meta[f"theta{i}"][k] >= 0)
            at = {"mean": (), "S1": j, "S2": j}.get(name)
            if at is None:
                at = ((pairs if name == "S3" else triples).index(j),)
            value = blocks[name][(slice(None), *at, *theta)]
            value = value.imag if part else value.real if value.is_complex() else value
            assert torch.equal(vector[:, k], value)


def test_against_another_package():
    """SihaoCheng's, whose moduli have full resolution: so have ours, but for what is cropped."""
    theirs = np.load(Path(__file__).with_name("covariance_peer.npz"))
    x = torch.from_numpy(maps())
    for name, ours in (("morlet", "morlet"), ("gau", "gaussian")):
        module = ScatteringCovariance((64, 64), J=4, L=4, filters=ours, oversampling=4).double()
        found = module.statistics(x)
        wanted = {block: theirs[f"{name}_{block}"] for block in ("S1", "S2", "S4")}
        wanted["S1"] = wanted["S1"] / np.sqrt(wanted["S2"])
        for block, value in wanted.items():
            error = np.linalg.norm(found[block].numpy() - value) / np.linalg.norm(value)
            assert error <= 1e-4, (name, block, error)


def test_gradients():
    for case in (dict(shape=(16, 18), J=2, L=2), dict(shape=(32,), J=3)):
        module = ScatteringCovariance(**case).double()
        x = field(*case["shape"]).requires_grad_()
        assert torch.autograd.gradcheck(module, (x,))
        reference = module.power(x.detach() * 2)
        assert torch.autograd.gradcheck(lambda x, m=module, r=reference: m(x, r), (x,))
        masked = ScatteringCovariance(**case, mask=torch.rand(case["shape"])).double()
        assert torch.autograd.gradcheck(masked, (x,))


def test_gradient_is_the_twins():
    module = ScatteringCovariance((64, 48), J=4).double()
    gradients = []
    for backend in ("native", "reference"):
        module.backend = backend
        x = field(2, 64, 48).requires_grad_()
        module(x).square().sum().backward()
        gradients.append(x.grad)
    torch.testing.assert_close(*gradients, rtol=1e-10, atol=1e-12)


def test_threads_change_no_bit():
    module, x = ScatteringCovariance((64, 64)), field(64, 64).float()
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            y = x.clone().requires_grad_()
            S = module(y)
            (grad,) = torch.autograd.grad(S.square().sum(), y)
            results.append((S.detach(), grad))
    finally:
        torch.set_num_threads(before)
    for S, grad in results[1:]:
        assert torch.equal(S, results[0][0])
        assert torch.equal(grad, results[0][1])


def test_compile_and_export():
    module, x = ScatteringCovariance((32, 32), J=2, L=2), field(2, 32, 32).float()
    wanted = module(x)
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), wanted)
    exported = torch.export.export(module, (x,))
    torch.testing.assert_close(exported.module()(x), wanted)


def test_batches_and_dtypes():
    module = ScatteringCovariance((16, 32), J=2, L=2)
    x = field(2, 3, 16, 32).float()
    one = torch.stack([torch.stack([module(y) for y in several]) for several in x])
    torch.testing.assert_close(module(x), one)
    assert module(x[:0]).shape == (0, 3, *module.output_shape)
    integers = (x * 10).to(torch.uint8)
    torch.testing.assert_close(module(integers), module(integers.float()))


def test_a_field_without_a_frequency_has_no_infinity():
    module = ScatteringCovariance((32, 32), J=2)
    x = torch.zeros(32, 32, requires_grad=True)
    S = module(x)
    S.sum().backward()
    assert S.isfinite().all()
    assert x.grad.isfinite().all()


def test_shifts_of_a_periodic_field_change_nothing():
    module, x = ScatteringCovariance((64, 64), J=3).double(), field(64, 64)
    torch.testing.assert_close(module(x), module(x.roll((8, 16), (0, 1))), rtol=1e-9, atol=1e-9)


WRONG = [
    (dict(shape=(15, 32)), "a side of shape must be between 16 and"),
    (dict(shape=(32, 32, 32)), "shape must be integers"),
    (dict(shape=32), "shape must be integers"),
    (dict(shape=(32, 32), J=0), "J must be between 1 and 5; got 0"),
    (dict(shape=(32, 32), J=6), "J must be between 1 and 5; got 6"),
    (dict(shape=(32,), L=2), "L of signals must be between 1 and 1; got 2"),
    (dict(shape=(32, 32), Q=2), "Q must be between 1 and 1; got 2"),
    (dict(shape=(32,), Q=2, filters="bump"), "Q must be 1 for filters 'bump'; got 2"),
    (dict(shape=(32, 32), filters="haar"), "filters must be one of 'morlet', 'bump'"),
    (dict(shape=(32, 32), isotropic=1), "isotropic must be a bool; got 1"),
    (dict(shape=(32, 32), oversampling=-1), "oversampling must be between 0 and"),
    (dict(shape=(32, 32), L=4096), "the number of statistics must be at most"),
    (dict(shape=(4096,), Q=4), "J Q = 44 scales, whose steps.*must be at most 8192; got 16303"),
    (dict(shape=(1 << 24,), Q=64), "J Q = 1472 scales, whose steps.*must be at most 8192"),
    (dict(shape=(32, 32), mask=torch.ones(32, 31)), "mask must have shape"),
    (dict(shape=(32, 32), mask=-torch.ones(32, 32)), "mask must be finite, 0 or more"),
    (dict(shape=(32, 32), mask=torch.zeros(32, 32)), "not 0 everywhere"),
    (dict(shape=(32, 32), mask="edges"), "mask must be a tensor or an array of real numbers"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "told"), WRONG, ids=[told for _, told in WRONG])
def test_wrong_arguments(arguments, told):
    with pytest.raises((ValueError, TypeError), match=told):
        ScatteringCovariance(**arguments)


def test_wrong_calls():
    module, plain = (ScatteringCovariance((32, 32), normalise=n) for n in (True, False))
    x = torch.rand(2, 32, 32)
    with pytest.raises(ValueError, match="must have shape"):
        module(torch.rand(32, 31))
    for reference in (torch.rand(4, 3), torch.rand(3, 4, 4), torch.rand(1, 2, 4, 4), 3.0):
        with pytest.raises(ValueError, match="reference must be"):
            module(x, reference)
    with pytest.raises(ValueError, match="where normalise is False there is no"):
        plain(x, torch.rand(4, 4))
    with pytest.raises(ValueError, match="a vector of statistics must be a real tensor of shape"):
        module.split(torch.rand(3))
    with pytest.raises(ValueError, match="power must have shape"):
        plain.units(torch.rand(2, 2))


@pytest.mark.parametrize("name", ORIENTED)
def test_banks_have_no_mean_and_their_frequencies(name):
    k = [2 * np.pi * torch.fft.fftfreq(128).double() for _ in range(2)]
    for octave in (1, 2):
        angles = [0.0, np.pi / 4, np.pi / 2, -np.pi / 4]
        psi = torch.from_numpy(oriented(name, (128, 128), octave, angles))
        assert psi[:, 0, 0].abs().max() == 0
        energy = psi.square() / psi.square().sum((1, 2), keepdim=True)
        down, along = (energy.sum(3 - dim) @ k[dim - 1] for dim in (1, 2))
        assert 0.55 * np.pi / 2**octave < float(down[0]) < 0.95 * np.pi / 2**octave
        directions = torch.atan2(along, down)
        wanted = torch.tensor([0.0, np.pi / 4, np.pi / 2, -np.pi / 4]).double()
        torch.testing.assert_close(directions, wanted, rtol=0, atol=0.02)


@pytest.mark.parametrize("shape", [(48, 40), (17, 31), (33,), (509,)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_constant_fields_have_no_statistics(shape, dtype):
    """Their powers are rounding, whatever they are compared with."""
    J = 3 if len(shape) == 2 else 2
    module = ScatteringCovariance(shape, J=J).to(dtype)
    for level in (0.1, -300.0):
        x = torch.full(shape, level, dtype=dtype, requires_grad=True)
        found = module.statistics(x)
        assert all(not found[name].any() for name in ("S1", "S3", "S4"))
        (gradient,) = torch.autograd.grad(module(x).sum(), x)
        assert torch.allclose(gradient, torch.full_like(x, 1 / x.numel()), atol=1e-4)
        other = torch.randn(shape, dtype=dtype)
        assert not module(other, module.power(x))[1 : 1 + module.sizes["S1"]].any()
        assert not module.cross(other, x)["S2"].any()
    # No field is none for standing far from 0.
    assert (module.statistics(torch.randn(shape, dtype=dtype) + 1000)["S1"] > 0.1).all()


@pytest.mark.parametrize("mask", [None, np.ones((16, 18), ">f4")])
def test_no_fields_at_all(mask):
    module = ScatteringCovariance((16, 18), J=2, L=2, mask=mask)
    x = torch.zeros(0, 3, 16, 18, requires_grad=True)
    assert module(x).shape == (0, 3, *module.output_shape)
    both = module.cross(x, x)
    one = module.cross(torch.randn(16, 18), torch.randn(16, 18))
    assert {k: v.shape for k, v in both.items()} == {k: (0, 3, *v.shape) for k, v in one.items()}
    (gradient,) = torch.autograd.grad(module(x).sum() + both["S4xy"].real.sum(), x)
    assert gradient.shape == x.shape


def test_powers_that_are_none_are_passed_on():
    module, x = ScatteringCovariance((16, 16), J=2, L=2), torch.randn(16, 16)
    for wrong in (float("nan"), -1.0):
        reference = torch.ones(2, 2)
        reference[1, 0] = wrong
        S1 = module.statistics(x, reference)["S1"]
        assert S1.isnan().tolist() == [[False, False], [True, False]]
    assert module(x * float("nan")).isnan().all()


@pytest.mark.parametrize(
    ("act", "told"),
    [
        (lambda m, x: m(x, torch.ones(2, 2, dtype=torch.complex64)), "got Tensor torch.complex64"),
        (lambda m, x: m.cross(torch.stack([x] * 2), torch.stack([x] * 3)), "that broadcast; got"),
        (lambda m, x: m.cross(x, x[1:]), r"y must have shape \(..., 16, 16\); got \(15, 16\)"),
        (lambda m, x: m.cross(x, None), "y must be a torch.Tensor; got NoneType"),
        (lambda m, x: m.units(None), "power must be a tensor of powers; got None"),
        (lambda m, x: m.units(torch.ones(2, 2, dtype=int)), "power must be a tensor of powers"),
        (lambda m, x: m.split([1.0]), r"must be a real tensor of shape \(..., 97\); got \[1.0\]"),
        (lambda m, x: m.split(torch.ones(97, dtype=int)), "got Tensor torch.int64"),
        (lambda m, x: m.join({}), "blocks must have mean, S1, S2, S3, S4; got , not mean"),
        (lambda m, x: ScatteringCovariance((16, 16), mask=1j * x), "of real numbers; got Tensor"),
    ],
)
def test_what_suits_no_statistics(act, told):
    x = torch.randn(16, 16)
    with pytest.raises((ValueError, TypeError), match=told):
        act(ScatteringCovariance((16, 16), J=2, L=2), x)
