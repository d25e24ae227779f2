"""Kymatio's classes on our backend objects, and our class in place of Kymatio's.

Kymatio 0.3.0 is there and is run. Its development branch is not: what it asks of a backend beyond
0.3.0 is asked here by `development_1d`, a stand-in of our own.
"""

from __future__ import annotations

import copy
import functools
import importlib
import inspect
import pickle
import re
import subprocess
import sys
import textwrap
import warnings
from contextlib import contextmanager
from math import pi, sqrt

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from torch import Tensor, nn

import scatcuda
import scatcuda.kymatio
from scatcuda.frontends.replacements import REPLACEMENTS
from scatcuda.kymatio import FallbackWarning, accelerate, backend1d, backend2d, backend3d

theirs = pytest.importorskip("kymatio.torch", exc_type=ImportError)
pytestmark = pytest.mark.filterwarnings(
    "ignore:.scipy.special.sph_harm.:DeprecationWarning",
    "ignore:Signal support is too small:UserWarning",
    "ignore:The given NumPy array is not writable:UserWarning",
)

import kymatio.numpy  # noqa: E402
import kymatio.sklearn  # noqa: E402
from kymatio.scattering1d.backend.torch_backend import backend as torch1d  # noqa: E402
from kymatio.scattering2d.backend.torch_backend import backend as torch2d  # noqa: E402
from kymatio.scattering2d.core.scattering2d import scattering2d as core2d  # noqa: E402
from kymatio.scattering3d.backend.torch_backend import backend as torch3d  # noqa: E402

PAIRS = [(backend1d, torch1d), (backend2d, torch2d), (backend3d, torch3d)]


def relative(found: Tensor, expected: Tensor) -> float:
    assert found.shape == expected.shape and found.dtype == expected.dtype
    return float((found - expected).detach().norm() / expected.detach().norm())


def with_gradient(scattering, x: Tensor) -> list[Tensor]:
    """Coefficients, and the gradient of a fixed weighted sum of them."""
    x = x.clone().requires_grad_()
    S = scattering(x)
    if isinstance(S, list):
        S = torch.cat([path["coef"].flatten() for path in S])
    weights = torch.linspace(-1, 2, S.numel(), dtype=S.dtype).reshape(S.shape)
    return [S, *torch.autograd.grad((S * weights).sum(), x)]


def check_equal(build, x: Tensor, ours, bound: float = 1e-6) -> None:
    """A class of Kymatio's on our backend gives what it gives on its own."""
    found, expected = (with_gradient(build(backend), x) for backend in (ours, "torch"))
    for a, b in zip(found, expected, strict=True):
        assert relative(a, b) <= bound


# --- Kymatio 0.3.0's classes on our backends --------------------------------------------------


@pytest.mark.parametrize(
    ("J", "shape", "options"),
    [
        (2, (32, 32), {}),
        (3, (37, 50), {"L": 3}),
        (3, (8, 16), {"L": 2}),  # padding as large as the image
        (1, (9, 5), {"max_order": 1}),
        (2, (16, 24), {"L": 4, "out_type": "list"}),
        (2, (24, 24), {"L": 4, "pre_pad": True}),
    ],
)
def test_scattering2d(J, shape, options):
    x = torch.randn(2, 3, *shape)
    if options.get("pre_pad"):
        x = torch.randn(2, 32, 32)
    check_equal(lambda b: theirs.Scattering2D(J, shape, backend=b, **options), x, backend2d)


@pytest.mark.parametrize(
    ("J", "N", "options"),
    [
        (4, 256, {}),
        (5, 301, {"Q": 4, "oversampling": 1}),
        (3, 128, {"Q": (2, 2), "T": 32}),
        (4, 256, {"T": 0, "out_type": "list"}),
        (3, 100, {"max_order": 1}),
    ],
)
def test_scattering1d(J, N, options):
    x = torch.randn(2, 3, N)
    check_equal(lambda b: theirs.Scattering1D(J, N, backend=b, **options), x, backend1d)


@pytest.mark.parametrize(
    "options", [{}, {"rotation_covariant": False}, {"max_order": 1, "integral_powers": (1.0, 3.0)}]
)
def test_scattering3d(options):
    x = torch.randn(2, 8, 6, 10)
    build = theirs.HarmonicScattering3D
    check_equal(lambda b: build(1, (8, 6, 10), L=2, backend=b, **options), x, backend3d)


def test_float64():
    x = torch.randn(2, 16, 16, dtype=torch.float64)
    build = theirs.Scattering2D
    check_equal(lambda b: build(2, (16, 16), L=4, backend=b).double(), x, backend2d, 1e-13)


def test_gradient_of_a_black_image_is_zero():
    x = torch.zeros(8, 8, requires_grad=True)
    theirs.Scattering2D(1, (8, 8), 2, backend=backend2d)(x)[1:].sum().backward()
    assert torch.equal(x.grad, torch.zeros(8, 8))


def test_double_backward():
    scattering = theirs.Scattering2D(1, (4, 4), 2, backend=backend2d).double()
    x = torch.randn(4, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(scattering, x)


def test_function_transforms():
    """Kymatio's own backend knows none of them."""
    scattering = theirs.Scattering2D(1, (8, 8), 2, backend=backend2d)
    x = torch.randn(3, 8, 8)
    assert relative(torch.func.vmap(scattering)(x), scattering(x)) <= 1e-6
    y = x.clone().requires_grad_()
    expected = torch.autograd.grad(scattering(y).square().sum(), y)[0]
    found = torch.func.grad(lambda x: scattering(x).square().sum())(x)
    assert relative(found, expected) <= 1e-6


def test_modulus_is_the_operator(monkeypatch):
    called = []

    def modulus(z):
        called.append(z.shape)
        return z.abs()

    monkeypatch.setattr(scatcuda.ops, "modulus", modulus)
    for build, *arguments, backend in (
        (theirs.Scattering1D, 3, 64, backend1d),
        (theirs.Scattering2D, 1, (8, 8), backend2d),
        (theirs.HarmonicScattering3D, 1, (4, 4, 4), backend3d),
    ):
        before = len(called)
        scattering = build(*arguments, backend=backend)
        scattering(torch.rand(scattering.shape))
        assert len(called) > before


def test_backends_are_copied_and_pickled():
    for backend in (backend1d, backend2d, backend3d):
        assert pickle.loads(pickle.dumps(backend)) is backend
        assert repr(backend) == f"scatcuda.kymatio.backend{len(backend._axes)}d"
    x = torch.rand(8, 8)
    scattering = theirs.Scattering2D(1, (8, 8), 2, backend=backend2d)
    again = copy.deepcopy(scattering)
    assert again.backend is backend2d and torch.equal(again(x), scattering(x))


def test_other_frontends_refuse_our_backends():
    numpy = pytest.importorskip("kymatio.numpy")
    with pytest.raises(ImportError, match="torch_scatcuda is not supported by the frontend numpy"):
        numpy.Scattering2D(1, (8, 8), backend=backend2d)


# --- the primitives, one by one ---------------------------------------------------------------


def spectrum(ours, batch: int = 3, sides: tuple[int, int, int] = (8, 4, 12)) -> Tensor:
    return torch.randn(batch, *sides[: len(ours._axes)], 2)


@pytest.mark.parametrize(("ours", "reference"), PAIRS)
def test_primitives_of_every_dimension(ours, reference):
    z = spectrum(ours)
    real, psi = z[..., :1].contiguous(), torch.randn(z.shape[1:])
    calls = [("rfft", real), ("ifft", z), ("modulus", z), ("cdgmm", z, psi)]
    calls += [("cdgmm", z, psi[..., :1].contiguous())]
    if ours is backend3d:
        calls += [("cdgmm3d", z, psi), ("modulus_rotation", z), ("modulus_rotation", z, real)]
        calls += [("compute_integrals", real.abs(), [0.5, 1.0, 2.0])]
    else:
        calls += [("irfft", z), ("subsample_fourier", z, 1), ("subsample_fourier", z, 4)]
    for name, *arguments in calls:
        found, expected = getattr(ours, name)(*arguments), getattr(reference, name)(*arguments)
        assert relative(found, expected) <= 1e-6, name
        assert found.is_contiguous() or name == "irfft", name


@pytest.mark.parametrize(("ours", "reference"), PAIRS)
def test_gradients_of_the_primitives(ours, reference):
    z = spectrum(ours, 2, (4, 2, 2)).double().requires_grad_()
    psi = torch.randn(z.shape[1:], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda z, psi: ours.modulus(ours.cdgmm(z, psi)), (z, psi))
    assert torch.autograd.gradcheck(lambda z: ours.ifft(ours.rfft(ours.modulus(z))), z)
    if ours is backend3d:
        assert torch.autograd.gradcheck(lambda z: ours.modulus_rotation(z, ours.modulus(z)), z)
    else:
        assert torch.autograd.gradcheck(lambda z: ours.irfft(ours.subsample_fourier(z, 2)), z)


def test_modulus_rotation_has_a_gradient_at_zero():
    z = torch.zeros(1, 2, 2, 2, 2, requires_grad=True)
    module = torch.zeros(1, 2, 2, 2, 1, requires_grad=True)
    backend3d.modulus_rotation(z, module).sum().backward()
    assert not z.grad.any() and not module.grad.any()


def test_compute_integrals_keeps_float64():
    u = torch.rand(2, 4, 4, 4, 1, dtype=torch.float64)
    assert backend3d.compute_integrals(u, [2.0]).dtype == torch.float64


@pytest.mark.parametrize(
    ("pad_size", "size"),
    [
        ([1, 2, 3, 4], [6, 8]),
        ([4, 4, 2, 2], [4, 8]),
        ([2, 2, 8, 8], [4, 8]),
        ([4, 4, 4, 4], [4, 4]),
    ],
)
def test_pad2d(pad_size, size):
    for batch in ((), (2, 3)):
        x = torch.randn(*batch, *size)
        assert torch.equal(backend2d.Pad(pad_size, size)(x), torch2d.Pad(pad_size, size)(x))


def test_pad_and_unpad1d():
    x = torch.randn(2, 1, 9)
    assert torch.equal(backend1d.pad(x, 4, 8), torch1d.pad(x, 4, 8))
    assert torch.equal(backend1d.unpad(x[..., None], 2, 5), x[..., 2:5])
    assert torch.equal(backend1d.pad(x, 9, 0, mode="constant")[..., :9, 0], torch.zeros(2, 1, 9))


@pytest.mark.parametrize(("ours", "reference"), PAIRS)
def test_errors_are_those_of_kymatio(ours, reference):
    z = spectrum(ours)
    real, psi = z[..., :1].contiguous(), torch.randn(z.shape[1:])
    strided, neither = z.transpose(0, 1), torch.cat([z, real], -1)
    calls = [("input_checks", None), ("input_checks", strided)]
    calls += [("complex_check", real), ("real_check", z), ("contiguous_check", strided)]
    calls += [("complex_contiguous_check", strided), ("complex_contiguous_check", real)]
    calls += [("modulus", real), ("modulus", strided), ("rfft", z), ("rfft", strided[..., :1])]
    calls += [("ifft", real), ("ifft", strided), ("cdgmm", real, psi), ("cdgmm", strided, psi)]
    calls += [("cdgmm", z, neither[0]), ("cdgmm", z, psi.double()), ("cdgmm", z, psi[1:])]
    calls += [("cdgmm", z, torch.stack([psi, psi], -2)[..., 0, :])]
    if ours is backend1d:
        calls += [("subsample_fourier", real, 2), ("pad", real[..., 0], 3, 99)]
    if ours is backend2d:
        calls += [("subsample_fourier", real, 2), ("subsample_fourier", strided, 2)]
    for name, *arguments in calls:
        with pytest.raises(Exception) as expected:
            getattr(reference, name)(*arguments)
        with pytest.raises(expected.type) as found:
            getattr(ours, name)(*arguments)
        assert str(found.value) == str(expected.value), name


# --- the development branch's protocol --------------------------------------------------------


def development_1d(x: Tensor, backend, like, average: str) -> Tensor:
    """A stand-in for `Scattering1D` of Kymatio's development branch: the same calls of the backend
    in the same order, with the filters and sizes of `like`, 0.3.0's class. There the batch is
    folded and unfolded by the backend, and the coefficients are averaged and stacked one by one."""
    shape = backend.shape(x)
    batch, signal = shape[:-1], shape[-1:]
    x = backend.reshape_input(x, signal)
    x = backend.pad(x, pad_left=like.pad_left, pad_right=like.pad_right)
    local = average == "local"

    def filtered(u_hat, psi, level, k):
        return backend.subsample_fourier(backend.cdgmm(u_hat, psi["levels"][level]), 2**k)

    def finished(u, u_hat, res):
        if local:
            left = max(like.log2_T - res, 0)
            u, res = backend.irfft(filtered(u_hat, like.phi_f, res, left)), res + left
            u = backend.unpad(u, like.ind_start[res], like.ind_end[res])
        else:
            u = backend.average_global(u)
        return backend.reshape_output(u, batch, n_kept_dims=1)

    def wavelet_modulus(u_hat, psi, res):
        j = min(psi["j"], like.log2_T) if local else psi["j"]
        k = max(j - res, 0)
        u = backend.modulus(backend.ifft(filtered(u_hat, psi, res, k)))
        return u, backend.rfft(u), res + k

    x_hat = backend.rfft(x)
    orders: list[list[Tensor]] = [[finished(x, x_hat, 0)], [], []]
    for psi1 in like.psi1_f:
        u1, u1_hat, res = wavelet_modulus(x_hat, psi1, 0)
        orders[1].append(finished(u1, u1_hat, res))
        for psi2 in like.psi2_f:
            if psi2["j"] > psi1["j"]:
                orders[2].append(finished(*wavelet_modulus(u1_hat, psi2, res)))
    return backend.stack([S for order in orders for S in order], dim=-2)


def test_development_1d_averages_locally():
    like = theirs.Scattering1D(4, 200, Q=3)
    x = torch.randn(2, 3, 200)
    found = with_gradient(lambda x: development_1d(x, backend1d, like, "local"), x)
    for a, b in zip(found, with_gradient(like, x), strict=True):
        assert relative(a, b) <= 1e-6


def test_development_1d_averages_globally():
    like = theirs.Scattering1D(4, 200, Q=3)
    x = torch.randn(2, 3, 200)
    S = development_1d(x, backend1d, like, "global")
    padded = torch1d.pad(x.reshape(-1, 1, 200), like.pad_left, like.pad_right)[..., 0]
    u1 = torch.fft.ifft(torch.fft.fft(padded) * like.psi1_f[0]["levels"][0][:, 0]).abs()
    assert relative(S[:, :, 0, 0], padded.sum(-1).reshape(2, 3)) <= 1e-5
    k = 2 ** like.psi1_f[0]["j"]
    assert k == 1 and relative(S[:, :, 1, 0], u1.sum(-1).reshape(2, 3)) <= 1e-5


def test_development_2d_and_3d_say_stack():
    """Their cores differ from 0.3.0's in that word."""

    class Development:
        def __getattr__(self, name):
            return getattr(backend2d, {"concatenate": "stack"}.get(name, name))

    scattering = theirs.Scattering2D(2, (16, 16), 3)
    x, constants = torch.randn(2, 16, 16), (Development(), 2, 3)
    pad, unpad = backend2d.Pad([4, 4, 4, 4], [16, 16]), backend2d.unpad
    S = core2d(x, pad, unpad, *constants, *scattering.load_filters(), 2)
    assert relative(S, scattering(x)) <= 1e-6
    arrays = [torch.randn(2, 3) for _ in range(6)]
    assert torch.equal(backend3d.stack(arrays, 2), torch3d.concatenate(arrays, 2))


def test_time_frequency_primitives():
    x = torch.randn(2, 5, 8, 1)
    padded = backend1d.pad_frequency(x, 3)
    assert torch.equal(padded, torch.cat([x, torch.zeros(2, 5, 3, 1)], -2))
    swapped = backend1d.swap_time_frequency(x)
    assert torch.equal(swapped, x.transpose(1, 2)) and swapped.is_contiguous()
    assert torch.equal(backend1d.unpad_frequency(x.movedim(1, 2), 7, 4), x.movedim(1, 2)[:, :, :2])
    parts = backend1d.split_frequency_axis(x)
    assert len(parts) == 5 and torch.equal(torch.cat(parts, 1), x)
    z = torch.randn(2, 1, 8, 2)
    assert relative(backend1d.ifft(backend1d.cfft(z)), z) <= 1e-6
    with pytest.raises(TypeError, match="should be complex"):
        backend1d.cfft(x)


# --- our class in place of Kymatio's ----------------------------------------------------------


CLASSES = [
    getattr(frontend, name)
    for frontend in (theirs, kymatio.numpy)
    for name in ("Scattering1D", "Scattering2D", "HarmonicScattering3D")
]


@pytest.fixture
def accelerated():
    before = [build.__init__ for build in CLASSES]
    with accelerate() as handle:
        yield handle
    assert [build.__init__ for build in CLASSES] == before


class UsersBackend(torch2d):
    pass


class UsersScattering(theirs.Scattering2D):
    def __init__(self):
        super().__init__(1, (8, 8), L=2)
        self.head = nn.Identity()


def is_ours(scattering) -> bool:
    ours = scatcuda.Scattering1D | scatcuda.Scattering2D | scatcuda.HarmonicScattering3D
    return isinstance(scattering, ours)


def test_every_name_of_the_class_builds_ours(accelerated):
    import kymatio
    from kymatio.scattering2d.frontend.torch_frontend import ScatteringTorch2D
    from kymatio.torch import Scattering2D

    ways = [
        theirs.Scattering2D(1, (8, 12), 2),
        Scattering2D(1, shape=(8, 12), L=2),
        ScatteringTorch2D(J=1, shape=(8, 12), L=2, max_order=2, pre_pad=False, out_type="array"),
        kymatio.Scattering2D(1, (8, 12), 2, frontend="torch"),
        kymatio.Scattering2D(J=1, shape=(8, 12), L=2, frontend="Torch"),
    ]
    x = torch.randn(2, 8, 12)
    expected = scatcuda.Scattering2D(1, (8, 12), 2)(x)
    for scattering in ways:
        assert is_ours(scattering) and isinstance(scattering, Scattering2D)
        assert torch.equal(scattering(x), expected)
        assert torch.equal(scattering.scattering(x), expected)
        assert repr(scattering).startswith("Scattering2D(J=1")


def test_what_is_built_stays_what_it_is():
    before = theirs.Scattering2D(1, (8, 8), 2)
    with accelerate():
        ours = theirs.Scattering2D(1, (8, 8), 2)
        assert not is_ours(before) and isinstance(before, theirs.Scattering2D)
    after = theirs.Scattering2D(1, (8, 8), 2)
    assert is_ours(ours) and isinstance(ours, theirs.Scattering2D) and not is_ours(after)
    x = torch.randn(3, 8, 8)
    for scattering in (before, after):
        assert relative(ours(x), scattering(x)) <= 1e-6
    assert is_ours(type(ours)(1, (8, 8)))


def test_accelerations_overlap():
    first, second = accelerate(), accelerate()
    first.undo()
    first.undo()
    assert is_ours(theirs.Scattering2D(1, (8, 8)))
    second.undo()
    assert not is_ours(theirs.Scattering2D(1, (8, 8)))
    with accelerate():
        with accelerate() as inner:
            inner.undo()
        assert is_ours(theirs.Scattering2D(1, (8, 8)))
    assert not is_ours(theirs.Scattering2D(1, (8, 8)))


def test_an_exception_ends_an_acceleration_and_goes_on():
    with pytest.raises(KeyError, match="mine"), accelerate():
        raise KeyError("mine")
    assert not is_ours(theirs.Scattering2D(1, (8, 8)))


@pytest.mark.parametrize("backend", ["torch", "torch_skcuda", torch2d, backend2d])
def test_backends_that_mean_ours(accelerated, backend):
    for build in (theirs.Scattering2D, scatcuda.Scattering2D):
        scattering = build(1, (8, 8), 2, backend=backend)
        assert is_ours(scattering) and scattering(torch.rand(8, 8)).shape == (3, 4, 4)


@contextmanager
def falls_back(*reasons: str):
    """Kymatio's own class is built, and each reason told once, about a line in this file."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.filterwarnings("ignore", ".*sph_harm", DeprecationWarning)
        yield
    assert len(caught) == len(reasons), [str(warning.message) for warning in caught]
    for warning, reason in zip(caught, reasons, strict=True):
        assert warning.category is FallbackWarning and warning.filename == __file__
        assert re.match("Kymatio's own .*Scattering[123]D was built, not ", str(warning.message))
        assert reason in str(warning.message)


def test_a_backend_of_the_users_own_is_kymatios_to_run():
    import kymatio

    for build, option in ((theirs.Scattering2D, {}), (kymatio.Scattering2D, {"frontend": "torch"})):
        with accelerate(), falls_back("refused the arguments. Scattering2D: backend must be one"):
            for _ in range(2):
                scattering = build(1, (8, 8), 2, backend=UsersBackend, **option)
        assert not is_ours(scattering) and scattering.backend is UsersBackend
        assert scattering(torch.rand(8, 8)).shape == (3, 4, 4)
    with pytest.raises(ValueError, match="backend must be one of"):
        scatcuda.Scattering2D(1, (8, 8), backend=UsersBackend)


def test_arguments_that_ours_refuses_are_kymatios_to_judge(accelerated):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Kymatio's error tells enough
        with pytest.raises(RuntimeError, match=r"smallest dimension should be larger than 2\^J"):
            theirs.Scattering2D(4, (8, 8))
        with pytest.raises(ImportError, match="numpy can not be called from the frontend torch"):
            theirs.Scattering2D(1, (8, 8), backend="numpy")
        with pytest.raises(TypeError, match="missing 1 required positional argument"):
            theirs.Scattering2D(1)
    with falls_back("max_order must be between 0 and 2; got 3", "J must be an integer; got True"):
        for _ in range(2):
            assert not is_ours(theirs.Scattering2D(1, (8, 8), max_order=3))
            assert not is_ours(theirs.Scattering2D(3, (8, 8), max_order=3))  # ours knows that one
            assert not is_ours(theirs.Scattering2D(True, (8, 8)))


@pytest.mark.parametrize("kind", ["torch", "numpy", "sklearn"])
def test_order_0_alone_is_nothing_kymatio_has(accelerated, kind):
    """It takes 0 for 1, so its own is built."""
    module = importlib.import_module(f"kymatio.{kind}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = module.Scattering1D(3, 64, max_order=0), module.Scattering2D(1, (8, 8), max_order=0)
    assert not any(map(is_ours, made))


def test_derived_classes_stay_kymatios(accelerated):
    with falls_back("UsersScattering is derived from it"):
        scattering = UsersScattering()
        UsersScattering()
    assert not is_ours(scattering) and scattering(torch.rand(8, 8)).shape == (3, 4, 4)


def test_numpys_scalars_are_ours(accelerated):
    with falls_back():
        found = theirs.Scattering2D(np.array(1), (np.int64(8), 8), np.int8(2), pre_pad=np.False_)
    assert is_ours(found) and found(torch.rand(8, 8)).shape == (3, 4, 4)


# Mistakes that Kymatio looks for, and words in which it tells. What else fails in it does so by
# accident, with an error of any type.
CONSTRUCTIONS = [
    (dict(J=5), "2^J"),
    (dict(shape=(16, 1)), "2^J"),
    (dict(shape=(-16, 16)), "2^J"),
    (dict(shape=16), ""),
    (dict(shape=None), ""),
    (dict(shape=(16,)), ""),
    (dict(shape=(16, 16, 16)), ""),
    (dict(shape=(16.0, 16)), ""),
    (dict(J=1.0), ""),
    (dict(J="1"), ""),
    (dict(L=2.5), ""),
    (dict(backend="numpy"), ""),
    (dict(backend="nonsense"), ""),
    (dict(nonsense=1), "nonsense"),
]
CALLS = [
    (None, "input should be"),
    (torch.zeros(()), "at least two dimensions"),
    (torch.zeros(16), "at least two dimensions"),
    (torch.zeros(2, 15, 16), "Tensor must be of spatial size (16,16)"),
    (torch.zeros(16, 20), "Tensor must be of spatial size (16,16)"),
    (torch.zeros(16, 16).double(), ""),
    (torch.zeros(16, 16) + 0j, ""),
    (torch.zeros(16, 16, device="meta"), ""),
    (torch.zeros(16, 16).to_sparse(), ""),
]


def check_errors(call, words: str) -> None:
    """Both classes fail; whoever catches Kymatio's error catches ours, and a program that looks
    for `words` finds them."""
    with pytest.raises(Exception) as expected:
        call(theirs.Scattering2D)
    with pytest.raises((TypeError, ValueError)) as found:
        call(scatcuda.Scattering2D)
    assert issubclass(found.type, expected.type), (found.type, expected.type)
    assert words in str(expected.value) and words in str(found.value)


@pytest.mark.parametrize(("changed", "words"), CONSTRUCTIONS, ids=str)
def test_errors_of_the_constructor(changed, words):
    check_errors(lambda build: build(**(dict(J=1, shape=(16, 16), L=2) | changed)), words)


@pytest.mark.parametrize(("x", "words"), CALLS, ids=lambda v: str(v)[-30:])
def test_errors_of_a_call(x, words):
    check_errors(lambda build: build(1, (16, 16), 2)(x), words)


def test_errors_of_a_call_with_padded_images_and_of_a_wrong_out_type():
    x = torch.zeros(16, 16)
    words = "Padded tensor must be of spatial size (20,20)"
    check_errors(lambda build: build(1, (16, 16), 2, pre_pad=True)(x), words)

    def out_type(build):
        scattering = build(1, (16, 16), 2)
        scattering.out_type = "dict"
        scattering(x)

    check_errors(out_type, "out_type must be one of 'array'")


# --- signals, arrays, estimators --------------------------------------------------------------

SIGNALS = [
    dict(J=5, shape=512, Q=4),
    dict(J=4, shape=(500,), Q=(4, 2), T=20),
    dict(J=5, shape=300, Q=4, T=0, out_type="dict"),
    dict(J=5, shape=512, Q=2, oversampling=1, out_type="list"),
    dict(J=5, shape=512, max_order=1),
]
IMAGES = [
    dict(J=2, shape=(16, 24), L=3),
    dict(J=2, shape=(15, 17), L=3, max_order=1),
    dict(J=1, shape=(20, 20), L=2, pre_pad=True),
    dict(J=2, shape=(16, 16), L=3, out_type="list"),
]
CASES = [("Scattering1D", c) for c in SIGNALS] + [("Scattering2D", c) for c in IMAGES]

SMALL = [
    ("Scattering1D", dict(J=3, shape=256, Q=2)),
    ("Scattering2D", dict(J=2, shape=(8, 8), L=2)),
    ("HarmonicScattering3D", dict(J=1, shape=(4, 4, 4), L=1)),
]
every_class = pytest.mark.parametrize(("name", "options"), SMALL, ids=str)
every_frontend = pytest.mark.parametrize("frontend", ["torch", "numpy", "sklearn"])


def three(frontend, name: str, options: dict):
    """Kymatio's own, what accelerate() makes of it, and something for them."""
    build = getattr(getattr(kymatio, frontend), name)
    own = build(**options)
    with accelerate(), falls_back():
        ours = build(**options)
    padded = [own._M_padded, own._N_padded] if options.get("pre_pad") else np.atleast_1d(own.shape)
    return own, ours, torch.randn(2, 3, *padded)


def check_same(found, expected, bound: float = 1e-6) -> None:
    """Tensors or arrays, lists and dictionaries of them: the same kinds, keys and dtypes."""
    assert type(found) is type(expected)
    if isinstance(expected, dict):
        assert set(expected) <= set(found)
        for key, value in expected.items():
            check_same(found[key], value, bound)
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected)
        for a, b in zip(found, expected, strict=True):
            check_same(a, b, bound)
    elif isinstance(expected, Tensor | np.ndarray):
        assert found.shape == expected.shape
        assert (
            relative(torch.as_tensor(found), torch.as_tensor(expected).to(torch.as_tensor(found)))
            <= bound
        )
    else:
        assert found == expected


@pytest.mark.parametrize("options", SIGNALS, ids=str)
def test_modules_of_signals(options):
    own, ours, x = three("torch", "Scattering1D", options)
    assert isinstance(ours, scatcuda.Scattering1D) and isinstance(ours, theirs.Scattering1D)
    check_same(ours(x), own(x))
    assert {name for name in dir(own) if not name.startswith("tensor")} <= set(dir(ours))
    names = "J shape Q T max_order average oversampling out_type log2_T pad_left pad_right"
    more = "ind_start ind_end r_psi sigma0 alpha _N_padded frontend_name"
    for name in [*names.split(), *more.split()]:
        assert getattr(ours, name) == getattr(own, name), name
        assert type(getattr(ours, name)) is type(getattr(own, name)), name
    for detail in (False, True):
        check_same(ours.output_size(detail), own.output_size(detail))
    assert ours.backend is backend1d
    check_same(ours.psi1_f, own.psi1_f)
    check_same(ours.psi2_f, own.psi2_f)
    check_same(ours.phi_f, own.phi_f)
    found, expected = ours.state_dict(), own.state_dict()
    assert list(found) == list(expected)
    assert all(relative(found[name], expected[name]) <= 1e-6 for name in expected)
    own.load_state_dict(found)
    ours.load_state_dict(expected)
    assert torch.equal(ours.tensor0, found["tensor0"])
    for again in (copy.deepcopy(ours), pickle.loads(pickle.dumps(ours))):
        assert type(again) is type(ours)
        check_same(again(x), ours(x), 0)


@pytest.mark.parametrize(("build", "shape"), [("Scattering1D", 64), ("Scattering2D", (8, 8))])
def test_what_is_learned_under_kymatios_name_is_kept_once(accelerated, build, shape):
    module = getattr(theirs, build)(1, shape, trainable="wavelets")
    assert is_ours(module)
    assert list(module.state_dict()) == [name for name, _ in module.named_parameters()]


@pytest.mark.parametrize(("name", "options"), CASES, ids=str)
def test_arrays(name, options):
    own, ours, x = three("numpy", name, options)
    assert isinstance(ours, getattr(kymatio.numpy, name))
    for dtype, bound in ((np.float32, 1e-6), (np.float64, 1e-6)):  # images: Kymatio's are float32
        array = x.numpy().astype(dtype)
        found = ours(array)
        check_same(found, own(array), bound)
        first = found[0]["coef"] if isinstance(found, list) else found
        first = first[()] if isinstance(first, dict) else first
        assert first.dtype == dtype
    check_same(ours.scattering(array), found, 0)
    assert set(dir(own)) <= {*dir(ours), *ours._filter_names}
    for attribute in ours._filter_names:
        check_same(getattr(ours, attribute), getattr(own, attribute), 0)
    for again in (copy.deepcopy(ours), pickle.loads(pickle.dumps(ours))):
        assert type(again) is type(ours)
        check_same(again(array), found, 0)


def test_arrays_of_any_kind(accelerated):
    ours = kymatio.numpy.Scattering1D(J=3, shape=64, Q=2)
    x = np.random.default_rng(0).normal(size=(4, 2, 64)) * 50
    expected = ours(x.astype(np.float32))
    read_only = x.astype(np.float32)
    read_only.flags.writeable = False
    assert np.array_equal(ours(read_only), expected)
    assert np.array_equal(ours(x.astype(">f4")), expected)
    assert np.array_equal(ours(x[::-1, ::-1].astype(np.float32)), expected[::-1, ::-1])
    assert np.array_equal(ours(np.repeat(x, 2, -1).astype(np.float32)[..., ::2]), expected)
    assert ours(x[:0]).shape == (0, 2, *expected.shape[2:])
    whole = x.round()
    check_same(ours(whole.astype(np.int16)), ours(whole.astype(np.float32)), 0)
    assert ours(x.astype(np.float16)).dtype == np.float32
    with torch.device("meta"):  # of PyTorch's, which is not asked
        assert np.array_equal(kymatio.numpy.Scattering1D(J=3, shape=64, Q=2)(read_only), expected)


WRONG_ARRAYS = [
    (None, TypeError, "The input should be not empty"),
    ([1.0] * 64, TypeError, "The input should be a numpy array, got type <class 'list'>"),
    (torch.zeros(64), TypeError, "The input should be a numpy array"),
    (np.ma.masked_array(np.zeros(64)), TypeError, "The input should not be masked"),
    (np.zeros(64, complex), TypeError, "The input should be real; got complex128"),
    (np.zeros(64, object), TypeError, "The input should be real; got object"),
    (np.zeros(64, np.longdouble), TypeError, "The input should be real"),
    (np.zeros(()), ValueError, "at least one axis"),
    (np.zeros(63), ValueError, "array must be of spatial size (64)"),
]


@pytest.mark.parametrize(("x", "kind", "words"), WRONG_ARRAYS, ids=lambda v: str(v)[-30:])
def test_errors_of_a_call_with_an_array(accelerated, x, kind, words):
    with pytest.raises(kind, match=re.escape(words)):
        kymatio.numpy.Scattering1D(J=3, shape=64)(x)


@pytest.mark.parametrize("frontend", ["torch", "numpy"])
def test_assignments_to_signals_do_what_they_do_in_kymatio(frontend):
    own, ours, x = three(frontend, "Scattering1D", dict(J=4, shape=256, Q=3))
    x = x if frontend == "torch" else x.numpy()
    for name, value in [
        ("max_order", 1), ("oversampling", 2), ("max_order", 2), ("out_type", "list"),
        ("average", False), ("oversampling", 0), ("out_type", "dict"), ("average", True),
    ]:  # fmt: skip
        setattr(own, name, value)
        setattr(ours, name, value)
        assert getattr(ours, name) == value
        check_same(ours(x), own(x))
    again = pickle.loads(pickle.dumps(ours))
    check_same(again(x), ours(x), 0)
    for name in ("J", "shape", "Q", "T"):
        with pytest.raises(AttributeError, match=f"Scattering1D: {name} is fixed when the"):
            setattr(ours, name, getattr(ours, name))
    with pytest.raises(ValueError, match="max_order must be between 0 and 2; got 3"):
        ours.max_order = 3
        ours(x)


@every_frontend
@pytest.mark.parametrize("value", [1.5, -1])
def test_a_wrong_oversampling_is_a_value_error(frontend, value):
    own, ours, x = three(frontend, *SMALL[0])
    x = x if frontend == "torch" else x.numpy()
    for scattering in (own, ours):
        with pytest.raises(ValueError, match="oversampling must be"):
            scattering.oversampling = value
            scattering(x)


@every_frontend
@every_class
def test_order_0_cannot_be_assigned(frontend, name, options):
    _, ours, x = three(frontend, name, options)
    x = x if frontend == "torch" else x.numpy()
    expected = ours(x)
    with pytest.raises(ValueError, match=f"{name}: max_order must be 1 or 2; got 0, which Kym"):
        ours.max_order = 0
    assert ours.max_order == 2
    check_same(ours(x), expected, 0)


@every_frontend
@every_class
def test_attributes_that_are_none_of_kymatios_change_nothing(frontend, name, options):
    own, ours, x = three(frontend, name, options)
    x = x if frontend == "torch" else x.numpy()
    expected = ours(x)
    for other in ("oversampling", "average", "out_type", "format", "method", "integral_powers"):
        if not hasattr(own, other):
            setattr(ours, other, "mine")
    check_same(ours(x), expected, 0)
    again = pickle.loads(pickle.dumps(ours))
    assert again.format == "mine"
    check_same(again(x), expected, 0)


@pytest.mark.parametrize(("name", "options"), CASES, ids=str)
def test_estimators(name, options):
    if options.get("out_type", "array") != "array":
        pytest.skip("Kymatio's have no other")
    own, ours, x = three("sklearn", name, options)
    rows = x.numpy().reshape(6, -1)
    if options.get("pre_pad"):
        return  # rows of Kymatio's are not padded ones
    check_same(ours.fit(rows).transform(rows), own.fit(rows).transform(rows))
    check_same(ours.predict(rows), ours.transform(rows), 0)
    given = ours.get_params()
    assert all(given[key] == value for key, value in options.items())
    again = clone(ours)  # Kymatio's own cannot be
    assert type(again) is type(ours) and again.get_params() == given
    check_same(again.transform(rows), ours.transform(rows), 0)
    check_same(pickle.loads(pickle.dumps(ours)).transform(rows), ours.transform(rows), 0)
    ours.set_params(J=1)
    with accelerate():
        smaller = getattr(kymatio.sklearn, name)(**(options | {"J": 1}))
    check_same(ours.transform(rows), smaller.transform(rows), 0)
    with pytest.raises(ValueError, match="Invalid parameter 'nonsense'"):
        ours.set_params(nonsense=1)
    with pytest.raises((ValueError, TypeError)):
        ours.set_params(J=-1)
    check_same(ours.transform(rows), smaller.transform(rows), 0)


def test_a_grid_search(accelerated):
    pipeline = make_pipeline(kymatio.sklearn.Scattering1D(J=2, shape=64), RidgeClassifier())
    rng = np.random.default_rng(0)
    y = np.arange(40) % 2
    x = np.sin(np.arange(64) * (0.3 + 0.9 * y[:, None]) + rng.uniform(0, 6, (40, 1)))
    search = GridSearchCV(pipeline, {"scattering1d__J": [2, 4]}, cv=2).fit(x, y)
    assert search.best_score_ == 1


def test_every_name_of_arrays_builds_ours(accelerated):
    x = np.ones((2, 64))
    for build in (
        kymatio.numpy.Scattering1D,
        functools.partial(kymatio.Scattering1D, frontend="numpy"),
        kymatio.Scattering1D,  # NumPy's is the one without a name
        kymatio.sklearn.Scattering1D,
        functools.partial(kymatio.Scattering1D, frontend="sklearn"),
    ):
        scattering = build(3, 64, 2)
        assert type(scattering).__module__ == "scatcuda.frontends.kymatio"
        assert scattering.scattering(x).shape == (2, 12, 8)
    assert is_ours(kymatio.Scattering1D(3, 64, 2, frontend="torch"))


class UsersNumPyBackend(kymatio.numpy.Scattering1D(2, 32).backend):
    pass


def test_what_is_not_covered_falls_back_and_says_so_once(accelerated, monkeypatch):
    for name in [name for name in REPLACEMENTS if "Harmonic" in name]:  # as of a new transform
        monkeypatch.delitem(REPLACEMENTS, name)
    with falls_back(
        "no such transform in scatcuda", "refused the arguments. Scattering1D: backend"
    ):
        for _ in range(2):
            own = kymatio.numpy.HarmonicScattering3D(J=1, shape=(4, 4, 4), L=1)
            assert own(np.ones((4, 4, 4))).ndim == 3
            theirs.HarmonicScattering3D(J=1, shape=(4, 4, 4), L=1)  # told of the other one
            own = kymatio.numpy.Scattering1D(2, 128, backend=UsersNumPyBackend)
            assert own(np.ones(128)).shape == (4, 32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(RuntimeError, match="smallest dimension should be larger"):
            kymatio.numpy.Scattering2D(4, (8, 8))
        with pytest.raises(ValueError, match="Q must be an integer or a tuple"):
            theirs.Scattering1D(3, 64, Q=[8])


@every_frontend
@every_class
def test_the_input_has_kymatios_name(frontend, name, options):
    own, ours, x = three(frontend, name, options)
    x = x if frontend == "torch" else x.numpy()
    (word,) = inspect.signature(own.scattering).parameters
    check_same(ours.scattering(**{word: x}), ours(x), 0)
    check_same(ours(x=x), ours(x), 0)


# --- attributes -------------------------------------------------------------------------------


def both(*arguments, **options):
    """Kymatio's own module, and what accelerate() makes of it."""
    own = theirs.Scattering2D(*arguments, **options)
    with accelerate():
        return own, theirs.Scattering2D(*arguments, **options)


@pytest.mark.parametrize("pre_pad", [False, True])
def test_attributes_are_those_of_kymatio(pre_pad):
    own, ours = both(2, (15, 22), 3, pre_pad=pre_pad)
    assert {name for name in dir(own) if not name.startswith("tensor")} <= set(dir(ours))
    for name in "J L shape max_order pre_pad out_type frontend_name _M_padded _N_padded".split():
        assert getattr(ours, name) == getattr(own, name), name
        assert type(getattr(ours, name)) is type(getattr(own, name)), name
    assert (ours.M, ours.N) == own.shape  # which own.M and own.N are meant to be
    assert ours.backend is backend2d and ours.backend.name.startswith("torch")
    x = torch.randn(3, *((ours._M_padded, ours._N_padded) if pre_pad else (15, 22)))
    assert torch.equal(ours.pad(x), own.pad(x))
    assert torch.equal(ours.unpad(ours.pad(x)), own.unpad(own.pad(x)))
    constants = ours.pad, ours.unpad, ours.backend, ours.J, ours.L
    S = core2d(x, *constants, *ours.load_filters(), ours.max_order)
    assert relative(S, own(x)) <= 1e-6


@pytest.mark.parametrize("trainable", [None, "filters", "wavelets"])
def test_max_order_can_be_assigned(trainable):
    x = torch.randn(3, 16, 24)
    for dtype in (torch.float32, torch.float64):
        module = scatcuda.Scattering2D(2, (16, 24), 3, trainable=trainable).to(dtype)
        if dtype == torch.float64:
            module.freeze()
        for order in (1, np.array(2), 0, 2):
            module.max_order = order
            expected = scatcuda.Scattering2D(2, (16, 24), 3, int(order), trainable=trainable)
            if dtype == torch.float64:
                expected.freeze()
            assert torch.equal(module(x.to(dtype)), expected.to(dtype)(x.to(dtype)))
            assert module.max_order == order
            assert module.output_shape == module(x.to(dtype)).shape[1:]
        with pytest.raises(ValueError, match="max_order must be between 0 and 2; got 3"):
            module.max_order = 3
        assert module.max_order == 2


def test_assignments_do_what_they_do_in_kymatio():
    own, ours = both(2, (16, 16), 3)
    x = torch.randn(2, 16, 16)
    with pytest.raises(ValueError, match="max_order must be between 0 and 2; got 3"):
        both(3, (16, 16), 3)[1].max_order = 3
    for scattering in (own, ours):
        scattering.max_order = 1
        scattering.out_type = "list"
    expected, found = own(x), ours(x)
    assert [path["n"] for path in found] == [path["n"] for path in expected]
    assert all(relative(a["coef"], b["coef"]) <= 1e-6 for a, b in zip(found, expected, strict=True))
    ours.backend = torch2d
    assert ours.backend is backend2d and torch.equal(ours(x)[0]["coef"], found[0]["coef"])
    ours.backend = "reference"
    assert ours.backend == "reference" and relative(ours(x)[0]["coef"], found[0]["coef"]) <= 1e-6
    for wrong in (UsersBackend, "numpy", None):
        with pytest.raises(ImportError, match="backend must be one of"):
            ours.backend = wrong
    assert ours.backend == "reference"


@pytest.mark.parametrize(
    "name", "J L shape pre_pad pad unpad phi psi _M_padded _N_padded M N filters tier".split()
)
def test_what_cannot_be_assigned_says_why(name):
    _, ours = both(1, (8, 8), 2)
    with pytest.raises(
        AttributeError, match=f"Scattering2D: {name} is fixed when the module is bu"
    ):
        setattr(ours, name, None)


@every_frontend
@pytest.mark.parametrize(
    ("name", "attributes"),
    [
        ("Scattering1D", "phi_f psi1_f psi2_f pad_left pad_right ind_start ind_end log2_T T"),
        ("Scattering2D", "phi psi pad unpad _M_padded _N_padded shape"),
        ("HarmonicScattering3D", "filters gaussian_filters M N O sigma_0"),
    ],
)
def test_what_ours_does_not_compute_with_cannot_be_assigned(frontend, name, attributes):
    _, ours, x = three(frontend, name, dict(SMALL)[name])
    x = x if frontend == "torch" else x.numpy()
    expected = ours(x)
    for attribute in attributes.split():
        with pytest.raises(AttributeError, match=f"{name}: {attribute} is fixed when the .*build"):
            setattr(ours, attribute, getattr(ours, attribute))
    check_same(ours(x), expected, 0)


@every_frontend
@every_class
def test_what_is_built_can_be_told_to_build_itself(frontend, name, options):
    own, ours, x = three(frontend, name, options)
    x = x if frontend == "torch" else x.numpy()
    expected = ours(x)
    for step in ("build", "create_filters", "register_filters"):
        if hasattr(own, step):
            assert getattr(ours, step)() is None
    check_same(ours(x), expected, 0)


def arrays_in(filters):
    if isinstance(filters, np.ndarray):
        return [filters]
    parts = filters.values() if isinstance(filters, dict) else filters
    return [a for part in parts if not np.isscalar(part) for a in arrays_in(part)]


@every_frontend
@every_class
def test_arrays_of_filters_cannot_be_written_to(frontend, name, options):
    if frontend == "torch" and name != "Scattering2D":
        pytest.skip("their filters are tensors")
    own, ours, _ = three(frontend, name, options)
    for attribute in getattr(ours, "_filter_names", ("phi", "psi")):
        arrays = arrays_in(getattr(ours, attribute))
        assert len(arrays) == len(arrays_in(getattr(own, attribute))) > 0
        for array in arrays:
            with pytest.raises(ValueError, match="read-only"):
                array[:] = 0


def test_compiled():
    _, ours = both(2, (16, 16), 3)
    x = torch.randn(3, 16, 16)
    compiled = torch.compile(ours, fullgraph=True, backend="eager")
    for order in (2, 1):
        ours.max_order = order
        assert torch.equal(compiled(x), ours(x)) and len(ours(x)[0]) == [1, 7, 16][order]


# --- checkpoints ------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_checkpoints_load_in_kymatio_and_kymatios_here(dtype):
    layers = nn.Flatten(), nn.Linear(81 * 16, 2)
    own, ours = (nn.Sequential(s, *layers).to(dtype) for s in both(2, (16, 16)))
    x = torch.randn(3, 16, 16, dtype=dtype)
    expected, found = own.state_dict(), ours.state_dict()
    assert list(found) == list(expected)
    for name in set(found) - {"2.weight", "2.bias"}:
        assert found[name].shape == expected[name].shape and found[name].dtype == dtype
        torch.testing.assert_close(found[name], expected[name], rtol=1e-5, atol=1e-6)
    assert "bank" not in ours[0]._made  # nothing is kept for it
    assert torch.equal(ours[0].tensor0, found["0.tensor0"]) and not hasattr(ours[0], "tensor99")
    own.load_state_dict(found)
    assert relative(own(x), ours(x)) <= 1e-6
    ours[2].reset_parameters()
    before = ours[0](x)
    ours.load_state_dict(expected)
    assert torch.equal(ours[0](x), before)
    ours.load_state_dict(ours.state_dict())
    assert torch.equal(torch.func.functional_call(ours, ours.state_dict(), x), ours(x))


@every_class
def test_checkpoints_of_other_filters_are_refused_as_by_kymatio(name, options):
    own, ours, x = three("torch", name, options)
    right, expected = own.state_dict(), ours(x)
    last = list(right)[-1]
    of_another_size = right | {last: right[last][:-1]}
    for state, message in (
        ({}, r"(?s)Missing key.*tensor0"),
        ({key: right[key] for key in right if key != last}, f"Missing key.*{last}"),
        (right | {"tensor999": right[last]}, "Unexpected key.*tensor999"),
        (right | {"other": right[last]}, "Unexpected key.*other"),
        (of_another_size, f"size mismatch for {last}"),
    ):
        for module in (own, ours):
            with pytest.raises(RuntimeError, match=message):
                module.load_state_dict(state)
    with pytest.raises(RuntimeError, match="size mismatch for 0"):
        nn.Sequential(ours).load_state_dict(
            {f"0.{key}": t for key, t in of_another_size.items()}, strict=False
        )
    assert ours.load_state_dict({}, strict=False).missing_keys == list(right)
    for assign in (False, True):
        ours.load_state_dict({key: t * 0 for key, t in right.items()}, assign=assign)
    check_same(ours(x), expected, 0)
    check_same(dict(ours.state_dict()), dict(right))
    assert list(ours.buffers()) == [ours._like]


def test_checkpoints_of_the_other_name_hold_nothing():
    own, _ = both(1, (8, 8))
    alone = scatcuda.Scattering2D(1, (8, 8))
    assert not alone.state_dict()
    with pytest.raises(RuntimeError, match="Missing key"):
        own.load_state_dict(alone.state_dict())
    own.load_state_dict(alone.state_dict(), strict=False)
    alone.load_state_dict(both(1, (8, 8))[1].state_dict())


# --- life -------------------------------------------------------------------------------------


def test_accelerated_modules_are_copied_and_pickled(accelerated):
    x = torch.randn(2, 8, 8)
    model = nn.Sequential(theirs.Scattering2D(1, (8, 8), 2), nn.Flatten())
    stored = pickle.dumps(model)
    accelerated.undo()
    for again in (copy.deepcopy(model), pickle.loads(stored)):
        assert type(again[0]) is type(model[0])
        assert torch.equal(again(x), model(x))


# --- imports, in processes of their own -------------------------------------------------------


def run(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_kymatio_is_imported_when_asked_for():
    run("""
        import sys
        import scatcuda.kymatio
        assert scatcuda.kymatio.backend2d.name.startswith("torch")
        assert not any(name.partition(".")[0] in ("kymatio", "scipy") for name in sys.modules)
        sys.modules["kymatio"] = None  # as if it were not installed
        try:
            scatcuda.kymatio.accelerate()
        except ImportError as error:
            assert "pip install kymatio" in str(error), error
        else:
            raise AssertionError
    """)


def test_kymatio_imports_on_a_scipy_without_sph_harm():
    warned = run("""
        import warnings, scipy.special
        if hasattr(scipy.special, "sph_harm"):
            del scipy.special.sph_harm  # what SciPy 1.17 did
        try:
            import kymatio.torch
        except ImportError as error:
            assert "sph_harm" in str(error)
        else:
            raise AssertionError("Kymatio no longer needs sph_harm")
        import torch, scatcuda.kymatio
        for _ in range(2):
            scatcuda.kymatio.accelerate().undo()
        import kymatio.torch, kymatio.numpy
        assert not hasattr(scipy.special, "sph_harm")
        S = kymatio.torch.HarmonicScattering3D(1, (8, 8, 8), L=1)(torch.rand(8, 8, 8))
        assert S.isfinite().all()
    """)
    assert warned.count("no longer has; scatcuda made it one from sph_harm_y") == 1
    assert "<string>" in warned  # the warning is about the caller's line


def test_sph_harm_has_the_old_arguments_and_phase(monkeypatch):
    special = pytest.importorskip("scipy.special")
    old = getattr(special, "sph_harm", None)
    if not hasattr(special, "sph_harm_y"):
        pytest.skip("this SciPy has sph_harm and nothing to make it of")
    monkeypatch.delattr(special, "sph_harm", raising=False)
    azimuth, polar = np.linspace(-3, 3, 13)[:, None], np.linspace(0, pi, 7)
    with scatcuda.kymatio._sph_harm():
        new = special.sph_harm
        one = new(1, 1, azimuth, polar)
        two = new(-1, 2, azimuth, polar)
    assert not hasattr(special, "sph_harm")
    turn = np.exp(1j * azimuth)
    np.testing.assert_allclose(one, -sqrt(3 / (8 * pi)) * np.sin(polar) * turn, atol=1e-15)
    expected = sqrt(15 / (8 * pi)) * np.sin(polar) * np.cos(polar) / turn
    np.testing.assert_allclose(two, expected, atol=1e-15)
    for n in range(5 if old else 0):
        for m in range(-n, n + 1):
            pair = (f(m, n, azimuth, polar) for f in (new, old))
            np.testing.assert_allclose(*pair, atol=1e-14)
