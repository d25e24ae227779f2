"""RotoTranslationScattering2D against its definition, written down in NumPy; what a rotation does
to it; and what users of a module expect."""

from __future__ import annotations

import copy
import functools
import math
import pickle

import numpy as np
import oracle
import pytest
import torch
from oracle import relative_error

import scatcuda.numpy
from scatcuda import RotoTranslationScattering2D, banks, ops
from scatcuda.program import Builder, X
from scatcuda.program.packing import pack_program

Roto = RotoTranslationScattering2D


class Where:
    """Of ``meta()`` a mask: where an array of it is one of these. A test's name can tell it."""

    def __init__(self, name, *values):
        self.name, self.values = name, values

    def __call__(self, meta):
        return np.isin(meta[self.name], self.values)

    def __repr__(self):
        return f"{self.name} in {self.values}"


def angular(L, K):
    """By its formula: a low-pass and K wavelets of 2 L angles."""
    sigma, w = 2 / math.sqrt(3), math.pi * np.arange(2 * L) / L

    def gaussian(center, width):
        turns = w[:, None] + 2 * math.pi * np.arange(-4, 5) - center
        return np.exp(-((turns * width) ** 2) / 2).sum(1)

    waves = [gaussian(0.75 * math.pi / 2**k, sigma * 2**k) for k in range(K)]
    means = [gaussian(0, sigma * 2**k) for k in range(K)]
    psi = np.stack([a - a[0] / b[0] * b for a, b in zip(waves, means, strict=True)])
    phi = gaussian(0, sigma * 2.0 ** (K - 2))
    return np.stack([phi / phi[0], *(psi * math.sqrt(2 / (psi**2).sum(0).max()))])


def along_angles(z, h_hat):
    """``y(theta) = sum h(theta - phi) z(phi)``, planes ``[n, rows, columns]``, term by term."""
    h, n = np.fft.ifft(h_hat), len(z)
    return np.stack([sum(h[(i - k) % n] * z[k] for k in range(n)) for i in range(n)])


def kept_of(S, order, k):
    """Every which angle of a filter is kept: wavelets of angles are an octave apart, and the
    low-pass is as wide as the last of them; that of the first order does nothing."""
    if S.oversampling is None or (order == 1 and k == S.K):
        return 1
    every = 2 ** max((k if k < S.K else S.K - 1) - S.oversampling, 0)
    while S.L % every:
        every //= 2
    return every


def coefficients(x, S, average, folds=True):
    """``{(order, j1, j2, theta, k, angle): plane}`` of one image, float64; angle -1 where angles
    are averaged. Without ``folds`` nothing is subsampled, nor averaged in space."""
    J, L, K, psi = S.J, S.L, S.K, S.bank.psi.numpy()
    filters = dict(zip((K, *range(K)), angular(L, K), strict=True))
    if S.padding != "periodic":
        sides = banks.padded_shape(S.shape, J)
        surplus = [p - size for p, size in zip(sides, S.shape, strict=True)]
        kind = {"reflect": "reflect", "symmetric": "symmetric", "zeros": "constant"}[S.padding]
        x = np.pad(x, [(s // 2, s - s // 2) for s in surplus], kind)
    found = {}

    def filtered(u, table, res, to):
        product = np.fft.fft2(u) * oracle.crop(table, res)
        return np.fft.ifft2(oracle.fold(product, 2 ** (to - res)))

    def to_res(j):
        return j if folds else 0

    def write(key, u, res):
        """The moduli of the angles of a path, which are at a resolution."""
        every = kept_of(S, key[0], key[4])
        u = u[::every]
        if average == "space+angle":
            u = u.mean(0, keepdims=True)
        for i, plane in enumerate(u):
            angle = -1 if average == "space+angle" else i * every
            found[(*key, angle)] = averaged(plane, res) if folds else plane

    def averaged(plane, res):
        if S.pool:
            inside = [
                [before <= i << res < before + size for i in range(side)]
                for before, size, side in zip(starts(), S.shape, plane.shape, strict=True)
            ]
            return plane[np.ix_(*inside)].mean(keepdims=True)
        low = filtered(plane, S.bank.phi.numpy(), res, J).real
        return low if S.padding == "periodic" else low[1:-1, 1:-1]

    def starts():
        if S.padding == "periodic":
            return 0, 0
        return [(p - n) // 2 for p, n in zip(banks.padded_shape(S.shape, J), S.shape, strict=True)]

    found[0, -1, -1, -1, -1, -1] = averaged(x, 0) if folds else x
    for j1 in range(J):
        U = np.stack([abs(filtered(x, psi[j1, t], 0, to_res(j1))) for t in range(L)])
        turn = np.concatenate([U, U])
        write((1, j1, -1, -1, K), U, j1)
        for k in range(K):
            write((1, j1, -1, -1, k), abs(along_angles(turn, filters[k]))[:L], j1)
        for j2 in range(j1 + 1, J):
            res, to = to_res(j1), to_res(j2)
            W = [[filtered(U[t], psi[j2, s], res, to) for s in range(L)] for t in range(L)]
            for a in range(L):
                half = [W[t][(t + a) % L] for t in range(L)]
                half = [z.conj() if t + a >= L else z for t, z in enumerate(half)]
                z = np.stack([*half, *(one.conj() for one in half)])
                for k, h in filters.items():
                    moduli = abs(along_angles(z, h))
                    write((2, j1, j2, a, k), moduli[:L] if k == K else moduli, j2)
    return found


def keys(S):
    """Those of its channels, of what ``meta()`` says."""
    meta = S.meta()
    angles = meta.get("angle", np.full(len(meta["k"]), -1))
    columns = (meta["order"], *meta["j"].T, meta["theta"], meta["k"], angles)
    return [tuple(map(int, row)) for row in zip(*columns, strict=True)]


@pytest.mark.parametrize("L", [1, 2, 3, 4, 6, 8, 16])
def test_angular_bank(L):
    K = max(int(math.log2(L)), 1)
    bank = banks.angular_bank(L)
    np.testing.assert_allclose(bank, angular(L, K), atol=1e-14)
    mirrored = bank[:, -np.arange(2 * L)]
    sums = bank[0] ** 2 + (bank[1:] ** 2 + mirrored[1:] ** 2).sum(0) / 2
    low, high = {4: (0.88, 1.04), 6: (0.80, 1.23), 8: (0.74, 1.0), 16: (0.68, 1.0)}.get(L, (0, 3))
    assert low - 0.005 <= sums.min() and sums.max() <= high + 0.005


CASES = [
    ((32, 40), dict(J=2, L=4)),
    ((37, 29), dict(J=2, L=6, average="space")),
    ((33, 40), dict(J=3, L=4, K=1, pool="mean", padding="symmetric")),
    ((32, 16), dict(J=3, L=3, average="space", padding="zeros")),
    ((32, 24), dict(J=2, L=5, average="space", padding="periodic", pool="mean")),
    ((16, 24), dict(J=3, L=2, padding="periodic", filters="tight")),
    ((21, 19), dict(J=2, L=8, max_order=1)),
    ((21, 19), dict(J=2, L=8, max_order=0)),
    ((21, 24), dict(J=2, oversampling=0)),
    ((21, 24), dict(J=2, oversampling=1, average="space")),
    ((16, 24), dict(J=2, L=6, oversampling=0, average="space", padding="periodic")),
    ((16, 19), dict(J=2, L=3, oversampling=0, pool="mean")),
    ((16, 12), dict(J=2, L=4, K=3, oversampling=1, pool="mean")),
]


@functools.cache
def posed(number):
    """Two images for one of these, and their coefficients by the definition, which take seconds."""
    shape, options = CASES[number]
    S = Roto(shape=shape, **options)
    x = torch.randn(2, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return x, [coefficients(image, S, S.average) for image in x.numpy()]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("number", range(len(CASES)), ids=lambda number: str(CASES[number]))
@pytest.mark.parametrize("backend", ["native", "reference"])
def test_definition(number, dtype, backend):
    shape, options = CASES[number]
    S = Roto(shape=shape, backend=backend, **options).to(dtype)
    x, expected = posed(number)
    found = S(x.to(dtype))
    assert found.shape == (2, *S.output_shape)
    if S.pool:
        found = found[..., None, None]
    kept = keys(S)
    for right, planes in zip(expected, found, strict=True):
        right = {key: plane for key, plane in right.items() if key[0] <= S.max_order}
        assert sorted(right) == sorted(kept)
        right = torch.from_numpy(np.stack([right[key] for key in kept]))
        assert relative_error(planes, right) <= (1e-13 if dtype == torch.float64 else 2e-6)


@pytest.mark.parametrize("padding", ["reflect", "periodic"])
def test_moduli_as_they_are(padding):
    S = Roto(2, (16, 24), L=3, average=None, out_type="list", padding=padding).double()
    x = torch.randn(3, 16, 24, dtype=torch.float64)
    channels = S(x)
    assert torch.equal(channels[0]["coef"], x) and channels[0]["order"] == 0
    assert keys(S) == [(c["order"], *c["j"], c["theta"], c["k"], c["angle"]) for c in channels]
    with pytest.raises(ValueError, match="each channel has its own sides"):
        S.output_shape  # noqa: B018
    # the mean over all positions of what is there is that of pool="mean"
    pooled = Roto(2, (16, 24), L=3, average="space", pool="mean", padding=padding).double()
    means = dict(zip(keys(pooled), pooled(x).unbind(-1), strict=True))
    for c, key in zip(channels, keys(S), strict=True):
        torch.testing.assert_close(c["coef"].mean((-2, -1)), means[key])


def test_of_fewer_angles_averages_are_nearly_those_of_all():
    x = torch.randn(3, 80, 80).cumsum(-1).cumsum(-2)[:, 8:72, 8:72]
    options = dict(J=3, shape=(64, 64), pool="mean")
    for images in (x, torch.randn(3, 64, 64)):
        exact = Roto(**options)(images)[:, 1:]
        for oversampling, whole, each in ((0, 4e-3, 0.05), (1, 5e-4, 0.005)):
            found = Roto(**options, oversampling=oversampling)(images)[:, 1:]
            assert relative_error(found, exact) <= whole
            assert ((found - exact).abs() <= each * exact).all()
        assert torch.equal(Roto(**options, oversampling=2)(images)[:, 1:], exact)


WAYS = [
    {},
    dict(average="space", pool="mean"),
    dict(average=None, out_type="list"),
    dict(smooth_first=True, normalisation="scatnet"),
    dict(average="space", oversampling=0),
]


@pytest.mark.parametrize("options", WAYS, ids=str)
@pytest.mark.parametrize("share", [0.02, 0.3])
def test_paths(options, share):
    """Those that are chosen are the same numbers, in the same order."""
    whole = Roto(3, (24, 32), L=4, **options).double()
    meta = whole.meta()
    chosen = np.random.default_rng(3).random(len(meta["order"])) < share
    some = Roto(3, (24, 32), L=4, **options, paths=lambda given: chosen).double()
    assert len(some.paths) == chosen.sum()
    assert all((some.meta()[name] == values[chosen]).all() for name, values in meta.items())
    x = torch.randn(2, 24, 32, dtype=torch.float64)
    if "out_type" in options:
        expected = [c for c, wanted in zip(whole(x), chosen, strict=True) if wanted]
        for ours, right in zip(some(x), expected, strict=True):
            assert torch.equal(ours.pop("coef"), right.pop("coef")) and ours == right
    else:
        dim = -1 if "pool" in options else -3
        right = whole(x).index_select(dim, torch.from_numpy(np.flatnonzero(chosen)))
        torch.testing.assert_close(some(x), right, rtol=1e-14, atol=0)
    again = Roto(3, (24, 32), L=4, **options, paths=some.paths)
    assert again.paths == some.paths
    computed = (sum(made.program.channels for made in S._cascades) for S in (again, whole))
    assert next(computed) < next(computed)


def test_paths_by_their_wavelets():
    some = Roto(3, (16, 16), L=4, paths=[(0, 2, 3, 1), (), (1, 2)])
    assert keys(some) == [(0, -1, -1, -1, -1, -1), (1, 1, -1, -1, 2, -1), (2, 0, 2, 3, 1, -1)]
    assert some.paths == ((), (1, 2), (0, 2, 3, 1))
    # for all angles, or one; the low-pass of the second order has half a turn of them
    some = Roto(3, (16, 16), L=4, average="space", paths=[(1, 0, 3), (0, 2, 3, 2), (1, 2)])
    second = [(0, 2, 3, 2, angle) for angle in range(4)]
    assert some.paths == ((1, 2, 0), (1, 2, 1), (1, 2, 2), (1, 2, 3), (1, 0, 3), *second)
    image = Roto(3, (16, 16), average=None, out_type="list", paths=[()])
    x = torch.randn(16, 16)
    assert [c["order"] for c in image(x)] == [0] and torch.equal(image(x)[0]["coef"], x)
    first = Roto(3, (16, 16), average=None, out_type="list", paths=lambda meta: meta["order"] == 1)
    assert {c["order"] for c in first(x)} == {1}
    assert "paths=<3 chosen>" in repr(Roto(3, (16, 16), L=4, paths=[(0, 2), (), (1, 2)]))


def test_list():
    S = Roto(2, (16, 16), L=4, out_type="list")
    x = torch.randn(2, 16, 16)
    expected = Roto(2, (16, 16), L=4)(x)
    assert torch.equal(torch.stack([c["coef"] for c in S(x)], -3), expected)
    assert S(x)[-1] | {"coef": None} == {"coef": None, "order": 2, "j": (0, 1), "theta": 3, "k": 1}


@pytest.mark.parametrize("average", ["space+angle", "space"])
@pytest.mark.parametrize("pool", [None, "mean"])
def test_scatnet_s_numbers(average, pool):
    """Of a problem of one scale after another: 2^J by subsampling, the gain of each wavelet, and a
    quarter of the sum of the angles."""
    options = dict(J=3, shape=(24, 16), L=4, average=average, pool=pool)
    ours, theirs = Roto(**options).double(), Roto(**options, normalisation="scatnet").double()
    x = torch.randn(24, 16, dtype=torch.float64)
    gain = math.sqrt(2 / float((ours.bank.psi**2).sum((0, 1)).max()))
    order = torch.from_numpy(ours.meta()["order"])
    factor = 2.0**3 * gain ** order.double()
    if average == "space+angle":
        factor = torch.where(order > 0, factor * 8 / 4, factor)
    ratio = theirs(x) / ours(x)
    wanted = factor if pool else factor[:, None, None].expand_as(ratio)
    torch.testing.assert_close(ratio, wanted)


def test_the_first_order_may_be_smooth():
    options = dict(J=2, shape=(32, 24), L=4)
    x = torch.randn(32, 24, dtype=torch.float64)
    S = Roto(**options, smooth_first=True).double()
    fine = Roto(**options).double()
    plain = Roto(**options, average="space").double()
    order, k = (S.meta()[name] for name in ("order", "k"))
    torch.testing.assert_close(S(x)[order != 1], fine(x)[order != 1])
    for j in (0, 1):
        low = plain(x)[(plain.meta()["j"][:, 0] == j) & (plain.meta()["order"] == 1)]
        U = low[:4].numpy()  # of the low-pass of angles: averages of U1 itself
        for filter in range(2):
            mine = S(x)[(S.meta()["j"][:, 0] == j) & (order == 1) & (k == filter)][0]
            moduli = abs(along_angles(np.concatenate([U, U]), angular(4, 2)[1 + filter]))
            np.testing.assert_allclose(mine, moduli.mean(0), atol=1e-12)
        mine = S(x)[(S.meta()["j"][:, 0] == j) & (order == 1) & (k == 2)][0]
        np.testing.assert_allclose(mine, U.mean(0), atol=1e-12)


def turned(x):
    """By 90 degrees about pixel (0, 0), of periodic images."""
    return x.rot90(1, (-2, -1)).roll(1, -2)


@pytest.mark.parametrize(("J", "L", "side"), [(2, 2, 64), (2, 4, 32), (3, 8, 64), (5, 8, 128)])
def test_rotation_by_90_degrees(J, L, side):
    S = Roto(J, (side, side), L, pool="mean", padding="periodic").double()
    x = torch.randn(side, side, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    if J < 3:  # means of nothing that is subsampled
        exact = [coefficients(y.numpy(), S, "space+angle", folds=False) for y in (x, turned(x))]
        for key, plane in exact[0].items():
            assert abs(plane.mean() / exact[1][key].mean() - 1) <= 1e-12
    assert relative_error(S(turned(x)), S(x)) <= 2e-6


def test_rotation_of_angles():
    """What is not averaged over angles turns with the image."""
    S = Roto(2, (32, 32), L=4, average="space", pool="mean", padding="periodic").double()
    x = torch.randn(32, 32, dtype=torch.float64)
    before, after = (dict(zip(keys(S), S(y), strict=True)) for y in (x, turned(x)))
    turns = {(*key[:-1], (key[-1] + 2) % n): key for key, n in periods(S).items()}
    moved = torch.stack([after[turns[key]] if key[0] else after[key] for key in before])
    right, still = (torch.stack(list(found.values())) for found in (before, after))
    assert relative_error(moved, right) <= 2e-6
    assert relative_error(still, right) > 1e-3  # noise has hardly a direction


def periods(S):
    """Of each channel the angles after which it begins again."""
    return {key: S.L if key[0] == 1 or key[4] == S.K else 2 * S.L for key in keys(S) if key[0] > 0}


def test_less_moved_by_any_rotation_than_plain_scattering_averaged():
    """By an angle that is no multiple of pi / L."""
    scipy = pytest.importorskip("scipy.ndimage")
    rng = np.random.default_rng(0)
    x = scipy.gaussian_filter(rng.standard_normal((160, 160)), 1.5)
    both = [scipy.rotate(x, angle, reshape=False, order=3)[48:112, 48:112] for angle in (0, 37)]
    S = Roto(3, (64, 64), pool="mean").double()
    plain = Roto(3, (64, 64), average="space", pool="mean").double()
    a, b = (S(torch.tensor(y)) for y in both)
    c, d = (plain(torch.tensor(y)) for y in both)
    assert relative_error(a[1:], b[1:]) < 0.6 * relative_error(c[1:], d[1:])


@pytest.mark.parametrize("rho", ["modulus", "mean", "none"])
def test_groups_are_covariant(rho):
    """A cycle of the planes along the axis is a cycle of what is made of them, conjugates
    included."""
    L, sides = 4, (6, 8)
    generator = torch.Generator().manual_seed(0)
    psi = [torch.randn(L, *sides, dtype=torch.float64, generator=generator)]
    psi.append(banks.angular_bank(L))
    found = []
    for shift in (0, 3):
        half = list(range(L))
        turn = [*half, *(~e for e in half)]
        b = Builder(*sides)
        Z = b.wavelet(X, b.set(L, *sides), rho="none")
        G = b.group([Z], [turn[shift:] + turn[:shift]], b.set(3, 2 * L), rho=rho)
        if rho == "none":
            b.pair(G, G, [(i, j) for i in range(24) for j in range(24) if i // 8 == j // 8])
        else:
            b.powers(G, 1, 2)
        p = b.build()
        packed = pack_program(p, psi, [], torch.float64)
        x = torch.randn(*sides, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
        S = ops.scattering(x, *packed, p.text)
        if rho == "none":
            found.append(S.view(3, 8, 8).roll((shift, shift), (1, 2)))
        else:
            found.append(S.view(3, -1, 2).roll(shift, 1))
    assert relative_error(*found) <= 1e-14


@pytest.mark.parametrize("average", ["space+angle", "space"])
def test_gradients(average):
    S = Roto(2, (9, 8), L=2, average=average, pool="mean").double()
    x = torch.randn(1, 9, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    assert torch.autograd.gradcheck(S, x.requires_grad_())
    assert torch.autograd.gradgradcheck(S, x, atol=1e-4)


@pytest.mark.parametrize(
    "options",
    [
        {},
        dict(average="space"),
        dict(pool="mean"),
        dict(smooth_first=True, L=6),
        dict(oversampling=0),
        dict(average="space", oversampling=1, paths=Where("theta", 0, 3, 6)),
    ],
    ids=str,
)
def test_gradients_are_the_reference_s(options):
    S = Roto(3, (33, 40), **options)
    exact = Roto(3, (33, 40), **options, backend="reference").double()
    x = torch.randn(3, 33, 40, requires_grad=True)
    wide = x.detach().double().requires_grad_()
    found, expected = S(x), exact(wide)
    g = torch.randn_like(expected)
    (ours,) = torch.autograd.grad(found, x, g.float())
    (right,) = torch.autograd.grad(expected, wide, g)
    assert relative_error(ours, right) <= 4e-6


@pytest.mark.parametrize("value", [0.0, 1.0])
@pytest.mark.parametrize("backend", ["native", "reference"])
def test_gradients_of_what_is_constant_are_finite(value, backend):
    x = torch.full((16, 16), value, requires_grad=True)
    Roto(2, (16, 16), backend=backend)(x).sum().backward()
    assert x.grad is not None and x.grad.isfinite().all()


def test_any_batch_and_strides():
    S = Roto(2, (16, 12), L=4)
    x = torch.randn(3, 2, 12, 16).transpose(-1, -2)
    expected = torch.stack([torch.stack([S(one) for one in row]) for row in x.contiguous()])
    assert torch.equal(S(x), expected)
    assert S(x[:0]).shape == (0, 2, *S.output_shape)
    assert torch.equal(S((10 * x).int()), S((10 * x).int().float()))
    assert torch.equal(S(x[..., ::1].flip(0)), expected.flip(0))


def test_threads_give_the_same_bits():
    S, x = Roto(3, (64, 40), pool="mean"), torch.randn(1, 64, 40)
    g = torch.randn(1, *S.output_shape)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            y = S(x.requires_grad_())
            found.append((y, *torch.autograd.grad(y, x, g)))
    finally:
        torch.set_num_threads(before)
    assert all(map(torch.equal, *found))


@pytest.mark.parametrize("average", ["space+angle", "space"])
def test_as_a_module(average):
    S, x = Roto(2, (16, 16), L=4, average=average), torch.randn(2, 16, 16)
    expected = S(x)
    assert not S.state_dict() and not list(S.parameters())
    for again in (copy.deepcopy(S), pickle.loads(pickle.dumps(S)), S.double().float()):
        assert torch.equal(again(x), expected)
    compiled = torch.compile(S, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), expected)
    exported = torch.export.export(S, (x,))
    assert torch.equal(exported.module()(x), expected)
    torch.testing.assert_close(torch.func.vmap(S)(x), expected)
    traced = torch.fx.symbolic_trace(torch.nn.Sequential(S))
    assert torch.equal(traced(x), expected)
    with pytest.raises(AttributeError, match="K is fixed when the module is built"):
        S.K = 1
    assert f"average={average!r}" in repr(S)
    S.backend = "reference"
    torch.testing.assert_close(S(x), expected)


def test_plan_file_of_some_channels(tmp_path):
    x = torch.randn(2, 16, 16)
    S = Roto(2, (16, 16), L=4, paths=[(0, 2), (0, 1, 3, 1)])
    S.save_plan(tmp_path / "plan.scat")
    found = scatcuda.numpy.load(tmp_path / "plan.scat")(x.numpy())
    assert found.shape == (2, 2, 4, 4) and np.array_equal(found, S(x).numpy())


def test_plan_file(tmp_path):
    S = Roto(2, (16, 16), L=4)
    assert S.save_plan(tmp_path / "plan.scat") == (tmp_path / "plan.scat").stat().st_size
    with pytest.raises(ValueError, match=r"average must be 'space\+angle'; got 'space'"):
        Roto(2, (16, 16), average="space").save_plan(tmp_path / "other.scat")
    with pytest.raises(ValueError, match="oversampling and paths must be None"):
        Roto(2, (16, 16), K=3, oversampling=0).save_plan(tmp_path / "other.scat")
    with pytest.raises(TypeError, match="dtype must be"):
        S.save_plan(tmp_path / "other.scat", torch.int32)
    assert not (tmp_path / "other.scat").exists()


@pytest.mark.parametrize(
    ("options", "error", "told"),
    [
        (dict(J=0), ValueError, "J must be"),
        (dict(J=5), ValueError, "both sides of shape must be at least 2\\^J"),
        (dict(shape=(16, 16, 3)), ValueError, "shape must be a pair"),
        (dict(L=0), ValueError, "L must be"),
        (dict(L=129), ValueError, "L must be at most 128; got 129"),
        (dict(K=0), ValueError, "K must be between 1 and 4; got 0"),
        (dict(K=5), ValueError, "K must be between 1 and 4; got 5"),
        (dict(K=1.0), TypeError, "K must be an integer"),
        (dict(average="angle"), ValueError, r"average must be one of 'space\+angle', 'space'"),
        (dict(average=None), ValueError, "out_type must be 'list' where average is None"),
        (
            dict(average=None, out_type="list", pool="mean"),
            ValueError,
            "pool must be None where average is None; got 'mean'",
        ),
        (
            dict(average=None, out_type="list", smooth_first=True),
            ValueError,
            "smooth_first must be False where average is None",
        ),
        (dict(pool="max"), ValueError, "pool must be one of 'mean'"),
        (dict(pool=True), ValueError, "pool must be one of 'mean'"),
        (dict(normalisation="l1"), ValueError, "normalisation must be one of 'mean', 'scatnet'"),
        (dict(smooth_first=1), TypeError, "smooth_first must be a bool"),
        (dict(max_order=3), ValueError, "max_order must be between 0 and 2"),
        (dict(padding="mirror"), ValueError, "padding must be one of"),
        (dict(shape=(16, 18), padding="periodic"), ValueError, "must divide both sides of shape"),
        (dict(backend="skcuda"), ValueError, "backend must be one of"),
        (dict(out_type="dict"), ValueError, "out_type must be one of"),
        (dict(filters="haar"), ValueError, "filters must be one of"),
        (dict(filters=3), TypeError, "filters must be 'morlet', 'tight' or a FilterBank"),
        (dict(tier="fast"), ValueError, "tier must be one of"),
        (dict(workspace=0), ValueError, "workspace must be"),
        (dict(oversampling=-1), ValueError, "oversampling must be between 0 and 24; got -1"),
        (dict(oversampling=0.5), TypeError, "oversampling must be an integer"),
        (dict(paths=[]), ValueError, "paths must choose at least one, each once; got none"),
        (dict(paths=[(), ()]), ValueError, "paths must choose .* once; got one twice"),
        (dict(paths=[(1,)]), ValueError, r"paths must be among those of meta\(\): .* got \(1,\)"),
        (dict(paths=[(1, 3, 0)]), ValueError, r"paths must be among .* got \(1, 3, 0\)"),
        (dict(paths=[(0, 1, 8, 0)]), ValueError, r"paths must be among .* got \(0, 1, 8, 0\)"),
        (dict(paths=[(0, 1), (1, 2)], max_order=0), ValueError, r"paths must be among"),
        (
            dict(average="space", paths=[(1, 3), (1, 3, 4)]),
            ValueError,
            "paths must choose .* once; got one twice",
        ),
        (dict(paths=3), TypeError, "paths must be a list of tuples"),
        (dict(paths=[("a",)]), TypeError, "a number in paths must be an integer"),
        (dict(paths=print), ValueError, r"paths\(meta\) must be a mask of bool"),
        (dict(paths=Where("order", 3)), ValueError, "paths must choose at least one"),
    ],
    ids=str,
)
def test_mistakes(options, error, told):
    with pytest.raises(error, match=f"RotoTranslationScattering2D: .*{told}"):
        Roto(**(dict(J=2, shape=(16, 16)) | options))


def test_wrong_input():
    S = Roto(2, (16, 16))
    with pytest.raises(ValueError, match=r"RotoTranslationScattering2D: x must have shape"):
        S(torch.randn(16, 17))
    with pytest.raises(TypeError, match="must be float32 as the module is"):
        S(torch.randn(16, 16).double())
    with pytest.raises(ValueError, match="must be real"):
        S(torch.randn(16, 16).cfloat())
