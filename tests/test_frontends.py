"""Front ends: the transforms by PyTorch's modules, by NumPy's and by JAX's arrays are the same."""

from __future__ import annotations

import copy
import errno
import gc
import multiprocessing
import os
import pickle
import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch

import scatcuda
import scatcuda.numpy
import scatcuda.sklearn
from scatcuda.banks.boxes import lowest_of
from scatcuda.banks.morlet import Recipe
from scatcuda.frontends import library

pytest.importorskip("jax")
import jax
import jax.numpy as jnp

import scatcuda.jax

# powers of six wavelets, of which one is nothing
REFERENCE = np.array([[1.5, 0.2, 3.0], [0.0, 0.7, 1e-3]])
TRANSFORMS: dict[str, tuple[str, dict[str, Any]]] = {
    "images": ("Scattering2D", {"J": 2, "shape": (33, 30), "L": 5}),
    "images, tight": ("Scattering2D", {"J": 2, "shape": (16, 18), "filters": "tight"}),
    "images, order 3": ("Scattering2D", {"J": 3, "shape": (24, 24), "L": 2, "max_order": 3}),
    "images, padded": ("Scattering2D", {"J": 1, "shape": (12, 8), "pre_pad": True}),
    "images, paths": ("Scattering2D", {"J": 2, "shape": (16, 16), "paths": [(1,), (0, 9), ()]}),
    "signals": ("Scattering1D", {"J": 5, "shape": 700, "Q": 4}),
    "signals, sums": ("Scattering1D", {"J": 4, "shape": 300, "T": "global", "aliases": "sum"}),
    "signals, strides": ("Scattering1D", {"J": 4, "shape": 256, "stride": 4, "padding": "zeros"}),
    "rotations": ("RotoTranslationScattering2D", {"J": 2, "shape": (24, 20), "L": 4}),
    "rotations, angles": (
        "RotoTranslationScattering2D",
        {"J": 2, "shape": (16, 16), "L": 4, "average": "space", "normalisation": "scatnet"},
    ),
    "rotations, means": (
        "RotoTranslationScattering2D",
        {"J": 2, "shape": (16, 16), "L": 4, "pool": "mean", "padding": "periodic"},
    ),
    "rotations, fewer": (
        "RotoTranslationScattering2D",
        {"J": 2, "shape": (16, 16), "oversampling": 0, "paths": [(0, 1), (), (0, 1, 3, 2)]},
    ),
    "joint": ("TimeFrequencyScattering", {"J": 5, "J_fr": 2, "Q": (4, 2), "shape": 700}),
    "joint, places": (
        "TimeFrequencyScattering",
        {"J": 4, "J_fr": 3, "Q": 4, "shape": 300, "format": "joint", "stride_fr": 2, "Q_fr": 2},
    ),
    "joint, sums": (
        "TimeFrequencyScattering",
        {"J": 4, "J_fr": 2, "Q": 4, "shape": 256, "T": "global", "F": "global"},
    ),
    "joint, sums of all": (
        "TimeFrequencyScattering",
        {"J": 4, "J_fr": 2, "Q": 4, "shape": 256, "T": "global", "F": "global", "format": "joint"},
    ),
    "joint, fewer": (
        "TimeFrequencyScattering",
        {
            "J": 4,
            "J_fr": 2,
            "Q": 4,
            "shape": 256,
            "F": 0,
            "stride": 4,
            "padding": "zeros",
            "paths": [(3, 1), (), (1,)],
        },
    ),
    "densities": ("HarmonicScattering3D", {"J": 1, "shape": (8, 6, 10), "L": 2, "order_0": True}),
    "densities, folded": (
        "HarmonicScattering3D",
        {"J": 2, "shape": (8, 8, 12), "L": 1, "fold": True, "integral_powers": (1.0, 2.0)},
    ),
    "covariances": ("ScatteringCovariance", {"shape": (24, 32), "J": 3, "L": 3}),
    "covariances, plain": (
        "ScatteringCovariance",
        {"shape": (20, 16), "L": 4, "normalise": False, "filters": "bump", "oversampling": 1},
    ),
    "covariances, isotropic": ("ScatteringCovariance", {"shape": (16, 24), "isotropic": True}),
    "covariances, signals": ("ScatteringCovariance", {"shape": (200,), "J": 4, "Q": 2}),
    "covariances, reference": (
        "ScatteringCovariance",
        {"shape": (16, 16), "J": 2, "L": 3, "reference": REFERENCE},
    ),
    "phases": ("WaveletPhaseHarmonics", {"shape": (32, 24), "J": 3, "L": 4, "dn": 1}),
    "phases, some": (
        "WaveletPhaseHarmonics",
        {
            "shape": (16, 32),
            "J": 3,
            "L": 2,
            "classes": ["S00", "Cphase"],
            "shifts": "legacy",
            "filters": "morlet",
        },
    ),
}
EVERY = pytest.mark.parametrize("case", TRANSFORMS)
ARRAYS = pytest.mark.parametrize("front", [scatcuda.numpy, scatcuda.jax], ids=["numpy", "jax"])


def made(front: Any, case: str) -> Any:
    name, arguments = TRANSFORMS[case]
    if front is scatcuda:  # which is given a reference when it is called
        arguments = {k: v for k, v in arguments.items() if k != "reference"}
    return getattr(front, name)(**arguments)


def signals(transform: Any, *lead: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(*lead, *transform.input_shape))


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield


def by_torch(case: str, x: np.ndarray, g: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    module = made(scatcuda, case)
    module = module.double() if x.dtype == np.float64 else module
    given = torch.from_numpy(x).requires_grad_()
    reference = TRANSFORMS[case][1].get("reference")
    S = module(given) if reference is None else module(given, torch.from_numpy(reference))
    S.backward(torch.ones_like(S) if g is None else torch.from_numpy(g))
    return S.detach().numpy(), given.grad.numpy()


def by_arrays(front: Any, case: str, x: np.ndarray, g: np.ndarray) -> tuple[Any, Any]:
    transform = made(front, case)
    if front is scatcuda.numpy:
        return transform(x), transform.gradient(x, g)
    S, pull_back = jax.vjp(transform, jnp.asarray(x))
    return np.asarray(S), np.asarray(pull_back(jnp.asarray(g).conj())[0])


def weights(S: np.ndarray) -> np.ndarray:
    """Like coefficients."""
    parts = np.random.default_rng(1).normal(size=(2, *S.shape))
    return (parts[0] + 1j * parts[1] if np.iscomplexobj(S) else parts[0]).astype(S.dtype)


@ARRAYS
@EVERY
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_front_ends_agree(front, case, dtype, x64):
    """Values and gradients are PyTorch's, by the same engine."""
    transform = made(front, case)
    x = signals(transform, 2, 3).astype(dtype)
    g = weights(np.asarray(transform(x)))
    S, gradient = by_arrays(front, case, x, g)
    wanted, wanted_gradient = by_torch(case, x, g)
    assert S.real.dtype == gradient.dtype == dtype and S.dtype == wanted.dtype
    tolerance = 1e-12 if dtype == np.float64 else 1e-6
    for found, right, most in ((S, wanted, 1), (gradient, wanted_gradient, 2)):
        assert found.shape == right.shape
        assert np.abs(found - right).max() <= most * tolerance * np.abs(right).max()


@ARRAYS
@EVERY
def test_of_no_signals(front, case):
    transform = made(front, case)
    x = signals(transform, 0, 3).astype(np.float32)
    S, gradient = by_arrays(front, case, x, np.asarray(transform(x)))
    assert S.shape == (0, 3, *transform.output_shape) and gradient.shape == x.shape


@ARRAYS
@EVERY
def test_they_say_the_same_of_themselves(front, case):
    transform, module = made(front, case), made(scatcuda, case)
    assert transform.input_shape == tuple(module.input_shape)
    assert transform.output_shape == tuple(module.output_shape)
    meta, wanted = transform.meta(), module.meta()
    assert meta.keys() == wanted.keys()
    for name, values in wanted.items():
        assert str(meta[name]) == str(values)
    assert repr(transform).startswith(TRANSFORMS[case][0])


@ARRAYS
def test_leading_dimensions_and_types(front):
    transform = made(front, "images")
    x = signals(transform, 4).astype(np.float32)
    whole = np.asarray(transform(x))
    assert np.array_equal(transform(x[0]), whole[0])
    assert transform(x[:0]).shape == (0, *transform.output_shape)
    assert transform(x.reshape(2, 2, *x.shape[1:])).shape == (2, 2, *transform.output_shape)
    turned = np.asfortranarray(x)[:, ::-1, ::-1]
    assert np.array_equal(transform(turned), transform(turned.copy()))
    pixels = (np.abs(x) * 50).astype(np.uint8)
    assert np.array_equal(transform(pixels), transform(pixels.astype(np.float32)))
    half = x.astype(np.float16)
    assert np.asarray(transform(half)).dtype == np.float32
    assert np.array_equal(transform(half), transform(half.astype(np.float32)))
    assert np.array_equal(transform(x > 0), transform((x > 0).astype(np.float32)))


@ARRAYS
def test_float64_of_any_order_of_bytes(front, x64):
    """Files of astronomers are big-endian; NumPy's longest numbers are rounded."""
    transform = made(front, "images")
    x = signals(transform, 2)
    wanted = transform(x)
    for dtype in (">f8", "<f8", np.longdouble):
        S = transform(x.astype(dtype))
        assert S.dtype == np.float64 and np.array_equal(S, wanted)
    single = x.astype(np.float32)
    assert np.array_equal(transform(single.astype(">f4")), transform(single))


@ARRAYS
def test_what_is_no_signal_is_refused(front):
    transform = made(front, "images")
    for wrong, kind, sentence in (
        (np.zeros((33, 31)), ValueError, r"x must have shape \(..., 33, 30\); got \(33, 31\)"),
        (np.zeros(33), ValueError, r"x must have shape"),
        (np.zeros((2, 33, 30, 3)), ValueError, "channels-last"),
        (np.zeros((33, 30), np.complex64), ValueError, "x must be real; got complex64"),
    ):
        with pytest.raises(
            kind, match=f"Scattering2D: {sentence}" if "x" in sentence else sentence
        ):
            transform(wrong)
    with pytest.raises((TypeError, ValueError)):
        transform(np.array(["a"]))
    with pytest.raises(ValueError, match="both sides of shape must be at least 2"):
        front.Scattering2D(J=5, shape=(8, 8))
    with pytest.raises(ValueError, match="filters must be one of 'morlet', 'tight'; got 'haar'"):
        front.Scattering2D(J=1, shape=(8, 8), filters="haar")
    with pytest.raises(ValueError, match="psi of filters must have shape"):
        front.Scattering2D(J=1, shape=(8, 8), filters=(np.ones((1, 8, 8, 8)), np.ones((8, 8))))
    with pytest.raises(ValueError, match="T must not be 0"):
        front.Scattering1D(J=3, shape=128, T=0)
    joint = {"J": 4, "J_fr": 2, "Q": 4, "shape": 256}
    for wrong, sentence in (
        ({"T": 0}, "T must not be 0, where each path has its own length"),
        ({"F": 0, "format": "joint"}, "F must not be 0 of format='joint'"),
        ({"format": "both"}, "format must be one of 'time', 'joint'; got 'both'"),
        ({"format": "joint", "paths": [()]}, "format='joint' leaves order 0 out"),
        ({"Q_fr": (1, 2)}, "Q_fr must be an integer or"),
    ):
        with pytest.raises(ValueError, match=f"^TimeFrequencyScattering: .*{re.escape(sentence)}"):
            front.TimeFrequencyScattering(**joint | wrong)
    with pytest.raises(TypeError):
        front.Scattering2D(J=1, shape=(8, 8), backend="native")  # there is one engine


@ARRAYS
def test_references_of_statistics(front):
    """Powers that are known normalise as PyTorch's module does it when it is called."""
    x = np.random.default_rng(0).normal(size=(2, 32, 32)).astype(np.float32)
    plain = front.ScatteringCovariance((32, 32), J=3, normalise=False)
    block = np.array(plain.meta()["block"])
    powers = np.asarray(plain(x[0]))[block == "S2"].reshape(3, 4)
    found = front.ScatteringCovariance((32, 32), J=3, reference=powers)(x)
    module = scatcuda.ScatteringCovariance((32, 32), J=3)
    wanted = module(torch.from_numpy(x), module.power(torch.from_numpy(x[0]))).numpy()
    assert np.abs(found - wanted).max() <= 1e-6 * np.abs(wanted).max()
    for wrong, kind, sentence in (
        ({"reference": powers, "normalise": False}, ValueError, "there is no reference"),
        ({"reference": powers[:2]}, ValueError, "of shape (3, 4); got (2, 4)"),
        ({"reference": -powers}, ValueError, "finite and 0 or more"),
        ({"reference": powers * np.nan}, ValueError, "finite and 0 or more"),
        ({"reference": "mine"}, TypeError, "an array of powers; got str"),
        ({"reference": powers + 0j}, TypeError, "an array of powers; got"),
        ({"filters": "haar"}, ValueError, "filters must be one of"),
        ({"isotropic": 2}, TypeError, "isotropic must be"),
        ({"mask": np.ones((32, 32))}, TypeError, "mask"),
    ):
        with pytest.raises(kind, match=re.escape(sentence)):
            front.ScatteringCovariance((32, 32), **{"J": 3} | wrong)


@ARRAYS
@pytest.mark.parametrize("x", [np.zeros((2, 16, 16)), np.ones((2, 16, 16))], ids=["0", "1"])
def test_statistics_of_nothing(front, x, x64):
    """Where a field has no power numbers are 0, and their gradients finite."""
    for case in ("covariances", "phases"):
        name, arguments = TRANSFORMS[case]
        transform = getattr(front, name)(**arguments | {"shape": (16, 16)})
        S = np.asarray(transform(x))
        g = weights(S)
        if front is scatcuda.numpy:
            gradient = transform.gradient(x, g)
        else:
            gradient = jax.vjp(transform, jnp.asarray(x))[1](jnp.asarray(g))[0]
        assert np.abs(S[:, 1:]).max() < 1e-9
        assert np.isfinite(gradient).all()


def test_gradient_wants_what_the_call_gives():
    transform = made(scatcuda.numpy, "images")
    x = signals(transform, 2)
    for g in (np.ones((3, *transform.output_shape)), 1j * np.ones((2, *transform.output_shape))):
        with pytest.raises(ValueError, match="g must be an array of real numbers of shape"):
            transform.gradient(x, g)
    phases = made(scatcuda.numpy, "phases")
    x, shape = signals(phases, 2), (2, *phases.output_shape)
    with pytest.raises(ValueError, match="g must be an array of numbers of shape"):
        phases.gradient(x, np.ones(3))
    with pytest.raises(ValueError, match="g must be an array of numbers of shape"):
        phases.gradient(x, np.full(shape, "a"))
    brief = np.ones(shape, jnp.bfloat16)
    real = phases.gradient(x, np.ones(shape))
    assert np.array_equal(real, phases.gradient(x, brief))
    assert np.array_equal(real, phases.gradient(x, np.ones(shape, np.complex128)))


@ARRAYS
def test_filters_of_ones_own(front):
    padded, J, L = scatcuda.banks.padded_shape((16, 12), 2), 2, 3
    bank = scatcuda.banks.tight_bank(padded, J, L)
    x = np.random.default_rng(0).normal(size=(2, 16, 12)).astype(np.float32)
    wanted = scatcuda.Scattering2D(J, (16, 12), L, filters=bank)(torch.from_numpy(x)).numpy()
    for given in (bank, (bank.psi.numpy(), bank.phi.numpy())):
        assert np.array_equal(front.Scattering2D(J, (16, 12), L, filters=given)(x), wanted)
    psi = bank.psi.numpy().copy()
    transform = front.Scattering2D(J, (16, 12), L, filters=(psi, bank.phi))
    psi[:] = 0  # the caller's own
    assert np.array_equal(transform(x), wanted)
    with pytest.raises(TypeError, match="or a pair of real arrays"):
        front.Scattering2D(J, (16, 12), L, filters=(psi * 1j, bank.phi))
    with pytest.raises(ValueError, match="filters cannot be used: separable_factors"):
        front.Scattering2D(J, (16, 12), L, filters=(bank.psi, np.eye(*padded)))(x)


@ARRAYS
def test_plan_files(front, tmp_path):
    covariance = scatcuda.ScatteringCovariance((32, 32), 3, 2, normalise=False)
    path = tmp_path / "plan.scat"
    scatcuda.Scattering2D(J=2, shape=(16, 16)).save_plan(path)
    x = np.random.default_rng(0).normal(size=(3, 16, 16)).astype(np.float32)
    transform = front.load(path)
    assert np.array_equal(transform(x), made_by_torch(x))
    assert transform.output_shape == (81, 4, 4)
    assert not transform.meta()
    assert covariance.input_shape == (32, 32)
    if front is scatcuda.numpy:
        with pytest.raises(ValueError, match="x must be float32 as the plan is; got float64"):
            transform(x.astype(np.float64))
    with pytest.raises(TypeError, match="cannot be pickled: load it"):
        pickle.dumps(transform)
    damaged = bytearray(path.read_bytes())
    damaged[200] ^= 1
    path.write_bytes(bytes(damaged))
    with pytest.raises(ValueError):
        front.load(path)
    with pytest.raises(FileNotFoundError, match="No such file") as missing:
        front.load(tmp_path / "nothing.scat")
    assert missing.value.errno == errno.ENOENT
    assert missing.value.filename == str(tmp_path / "nothing.scat")
    with pytest.raises(NotADirectoryError):
        front.load(path / "plan.scat")
    with pytest.raises(OSError, match="not a regular file"):
        front.load(tmp_path)


@ARRAYS
def test_plans_of_one_type(front, tmp_path, request):
    """Whole numbers are computed as the plan is; JAX has no float64 unless it is told so."""
    path = tmp_path / "plan.scat"
    module = scatcuda.Scattering2D(J=1, shape=(8, 8)).double()
    module.save_plan(path)
    transform = front.load(path)
    x = np.arange(64).reshape(8, 8)
    if front is scatcuda.jax:
        for given in (x.astype(float), x, jnp.asarray(x)):
            with pytest.raises(TypeError, match=r"x must be float64 as the plan is, .* jax_enable"):
                transform(given)
        request.getfixturevalue("x64")
    wanted = module(torch.from_numpy(x.astype(float))).numpy()
    for given in (x.astype(float), x, x.tolist(), x.astype(">i4")):
        found = transform(given)
        assert found.dtype == np.float64 and np.array_equal(found, wanted)
    with pytest.raises(TypeError, match="x must be float64 as the plan is; got float32"):
        transform(x.astype(np.float32))
    with pytest.raises(ValueError, match=r"embedded null byte|load: path must have no NUL"):
        front.load(f"{path}\0junk")


@ARRAYS
@pytest.mark.parametrize(
    "x",
    [
        None, [[1.0, 2.0], [3.0]], "abc", object(), np.array([["a"] * 8] * 8), jax.random.key(0),
        torch.ones(8, 8, requires_grad=True), np.ma.masked_array(np.ones((8, 8)), np.eye(8)),
        jax.random.split(jax.random.key(0), 64).reshape(8, 8), np.full((8, 8), None),
    ],
)  # fmt: skip
def test_what_is_no_array(front, x):
    with pytest.raises((TypeError, ValueError), match=r"^Scattering2D: x must "):
        front.Scattering2D(1, (8, 8))(x)


@ARRAYS
def test_lists_hide_no_masked_values(front):
    transform, x = front.Scattering2D(1, (8, 8)), np.ones((8, 8))
    assert np.array_equal(transform([np.ma.array(x), x]), transform(np.stack([x, x])))
    hidden = np.ma.array(x, mask=x > 0)
    for given in ([hidden, x], [(x, x), (x, hidden)], [[np.ma.masked, *x[0, 1:]], *x[1:]]):
        with pytest.raises(ValueError, match=r"^Scattering2D: x must have no masked "):
            transform(given)


@ARRAYS
def test_any_order_of_bytes(front):
    transform, x = front.Scattering2D(1, (8, 8)), np.random.default_rng(0).random((8, 8))
    for kind in (">f2", ">f4", ">f8", ">i2"):
        given = x.astype(kind)
        native = given.astype(given.dtype.newbyteorder("="))
        assert np.array_equal(transform(given), transform(native))


def made_by_torch(x: np.ndarray) -> np.ndarray:
    return scatcuda.Scattering2D(J=2, shape=(16, 16))(torch.from_numpy(x)).numpy()


@ARRAYS
def test_pickles_and_copies(front):
    transform = made(front, "signals")
    x = signals(transform, 2).astype(np.float32)
    again = pickle.loads(pickle.dumps(transform))
    assert repr(again) == repr(transform)
    assert np.array_equal(again(x), transform(x))
    assert copy.deepcopy(transform) is transform


def changed(front, name: str, arguments: dict[str, Any], change) -> None:
    """A transform's pickle is the transform, whatever became of what it was made by."""
    transform = getattr(front, name)(**arguments)
    x = signals(transform, 2).astype(np.float32)
    before = np.asarray(transform(x))
    change(arguments)
    again = pickle.loads(pickle.dumps(transform))
    assert repr(again) == repr(transform) and again.input_shape == transform.input_shape
    assert np.array_equal(again(x), before)
    assert np.array_equal(pickle.loads(pickle.dumps(again))(x), before)
    assert np.array_equal(copy.copy(transform)(x), before)


@ARRAYS
def test_pickles_are_of_what_was_given(front):
    bank = Recipe("tight", (12, 12), 1, 2)
    psi, phi = np.stack([bank.scale(j) for j in range(1)]), np.array(bank.phi)
    other = {"J": 1, "shape": (8, 8), "L": 2}
    changed(
        front, "ScatteringCovariance",
        {"shape": (16, 16), "J": 2, "L": 2, "reference": np.ones((2, 2))},
        lambda a: a["reference"].fill(4),
    )  # fmt: skip
    pair = [torch.tensor(psi), phi]
    changed(front, "Scattering2D", other | {"filters": pair}, lambda a: pair[0].fill_(0))
    changed(front, "Scattering2D", other | {"filters": pair}, lambda a: pair[1].fill(0))
    sides = [8, 8]
    changed(front, "Scattering2D", {"J": 1, "shape": sides}, lambda a: sides.clear())
    changed(front, "Scattering2D", other | {"paths": [[]]}, lambda a: a["paths"].append([1]))
    changed(front, "Scattering2D", other | {"paths": iter([(), iter([1])])}, lambda a: None)
    changed(
        front, "Scattering1D", {"J": 4, "shape": 256, "paths": iter([(), (1,)])}, lambda a: None
    )


@ARRAYS
def test_pickles_keep_the_chosen_paths(front):
    order = [1]
    choose = lambda meta: meta["order"] == order[0]  # noqa: E731
    for name, arguments in (
        ("Scattering2D", {"J": 2, "shape": (16, 16), "L": 2}),
        ("Scattering1D", {"J": 4, "shape": 256}),
        ("RotoTranslationScattering2D", {"J": 2, "shape": (16, 16), "L": 2}),
        ("TimeFrequencyScattering", {"J": 4, "J_fr": 2, "Q": 4, "shape": 256}),
    ):
        order[0] = 1
        changed(front, name, arguments | {"paths": choose}, lambda _: order.__setitem__(0, 0))


@ARRAYS
def test_wrong_arguments_are_those_of_the_name(front):
    with pytest.raises(
        TypeError, match=r"^Scattering2D: got an unexpected keyword argument 'backe"
    ):
        front.Scattering2D(2, (8, 8), backend="numpy")
    with pytest.raises(TypeError, match=r"^Scattering2D: missing a required argument: 'shape'"):
        front.Scattering2D(2)
    with pytest.raises(TypeError, match=r"^Scattering2D: filters must be an array; got Tensor"):
        front.Scattering2D(1, (8, 8), filters=(torch.ones(1, requires_grad=True), np.ones(1)))


# --- NumPy ----------------------------------------------------------------------------------------


@pytest.fixture
def threads():
    before = library._threads
    yield scatcuda.numpy.set_num_threads
    library._threads = before


def test_threads_give_the_same_bits(threads):
    transform = scatcuda.numpy.Scattering2D(J=2, shape=(32, 32))
    x = signals(transform, 24)
    found = []
    for count in (1, 2, 5):
        threads(count)
        assert scatcuda.numpy.get_num_threads() == count
        S = transform(x)
        found.append((S, transform.gradient(x, S)))
    for S, gradient in found[1:]:
        assert np.array_equal(S, found[0][0])
        assert np.array_equal(gradient, found[0][1])
    for wrong in (0, -1, 1.5, "2"):
        with pytest.raises((TypeError, ValueError), match="set_num_threads: count must be"):
            threads(wrong)


def test_many_threads_call_one_transform(threads):
    threads(2)
    transform = scatcuda.numpy.Scattering2D(J=2, shape=(32, 32))
    x = signals(transform, 8).astype(np.float32)
    wanted = transform(x)
    with ThreadPoolExecutor(4) as pool:
        assert all(np.array_equal(S, wanted) for S in pool.map(transform, [x] * 12))


def _in_child(x: np.ndarray) -> np.ndarray:
    return scatcuda.numpy.Scattering2D(J=2, shape=(32, 32))(x)


LEFT = """
import signal, sys, time
import numpy as np
import scatcuda.numpy

class Left(Exception): pass

def leave(*_): raise Left

scatcuda.numpy.set_num_threads(2)
scattering = scatcuda.numpy.Scattering2D(3, (64, 64))
x = np.random.default_rng(0).random((24, 64, 64), np.float32)
expected = scattering(x)
start = time.perf_counter()
scattering(x)
once = time.perf_counter() - start
signal.signal(signal.SIGALRM, leave)
left = 0
for i in range(60):
    try:
        signal.setitimer(signal.ITIMER_REAL, once * (0.02 + i / 50))
        found = scattering(x)
        signal.setitimer(signal.ITIMER_REAL, 0)
        assert np.array_equal(found, expected)
    except (Left, KeyError):  # which threading has where a thread is left as it starts
        left += 1
    for _ in range(3):  # what was left may still be at work
        assert np.array_equal(scattering(x), expected)
assert left > 0
assert np.array_equal(scattering(x), expected)

def deep(n):
    return scattering(x) if n == 0 else deep(n - 1)

refused = 0
for n in range(sys.getrecursionlimit() - 60, sys.getrecursionlimit()):
    try:
        found = deep(n)
    except Exception:  # a RecursionError, of which ctypes makes another
        refused += 1
    else:
        assert np.array_equal(found, expected), n
assert 0 < refused < 60
print("right")
"""


def test_a_call_that_is_left_harms_none():
    """By an exception of a signal's handler, or where the stack of calls is full."""
    told = subprocess.run([sys.executable, "-c", LEFT], capture_output=True, text=True, check=False)
    # threading itself may print of a thread that was left as it began
    assert (told.returncode, told.stdout) == (0, "right\n"), told.stderr


@pytest.mark.parametrize("most", [0, 1, 2])
def test_where_no_thread_starts_any_more(monkeypatch, threads, most):
    """What a pool that cannot grow has noted is not done once more."""
    threads(5)
    scattering = scatcuda.numpy.Scattering2D(2, (32, 32))
    x = np.random.default_rng(0).random((16, 32, 32), np.float32)
    expected = scattering(x)
    started, start = [], threading.Thread.start

    def few(thread):
        started.append(thread)
        if len(started) > most:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", few)
    library._forget()
    for _ in range(3):
        assert np.array_equal(scattering(x), expected)
    assert len(started) > most
    library._forget()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning", "ignore:.*fork.*:RuntimeWarning")
def test_a_child_has_threads_of_its_own(threads):
    threads(2)
    x = np.random.default_rng(0).normal(size=(8, 32, 32)).astype(np.float32)
    wanted = _in_child(x)
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert np.array_equal(pool.apply_async(_in_child, (x,)).get(timeout=60), wanted)


def test_memory_of_many_transforms_is_given_back():
    def resident() -> int:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096

    def use() -> None:
        transform = scatcuda.numpy.Scattering2D(J=2, shape=(64, 64))
        transform(np.zeros((4, 64, 64), np.float32))

    for _ in range(5):
        use()
    gc.collect()
    before = resident()
    for _ in range(60):
        use()
    gc.collect()
    assert resident() - before < 16e6  # a plan alone takes 0.8 MB


@pytest.mark.parametrize("front", ["numpy", "jax", "sklearn"])
def test_pytorch_is_not_imported(front):
    program = (
        f"import sys, numpy as np, scatcuda.{front} as front\n"
        "if front.__name__.endswith('sklearn'):\n"
        "    X = front.ScatteringTransformer(J=1).fit_transform(np.ones((2, 8, 8)))\n"
        "else:\n"
        "    for make in (front.Scattering2D(1, (8, 8)), front.Scattering1D(3, 128),\n"
        "                 front.RotoTranslationScattering2D(1, (8, 8)),\n"
        "                 front.HarmonicScattering3D(1, (8, 8, 8), L=1),\n"
        "                 front.TimeFrequencyScattering(J=4, J_fr=2, Q=4, shape=256),\n"
        "                 front.ScatteringCovariance((16, 16)),\n"
        "                 front.WaveletPhaseHarmonics((16, 16), J=2, L=2)):\n"
        "        make(np.ones((2, *make.input_shape)))\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr


def test_names_are_those_that_are_found():
    """What is told type checkers is what there is."""
    for name in scatcuda.__all__:
        assert getattr(scatcuda, name) is not None
    for name in scatcuda.banks.__all__:
        assert getattr(scatcuda.banks, name) is not None
    assert set(scatcuda.__all__) <= set(dir(scatcuda))
    with pytest.raises(AttributeError, match="module 'scatcuda' has no attribute 'Scattering4D'"):
        scatcuda.Scattering4D  # noqa: B018


def test_operators_are_there_with_pytorch():
    program = "import torch, scatcuda; print(torch.ops.scatcuda.scattering.default)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "scatcuda.scattering.default", done.stderr


# --- JAX ------------------------------------------------------------------------------------------


def scattering_by_jax(x: jax.Array, J: int, L: int) -> jax.Array:
    """``[A x, A|W1 x|, A|W2|W1 x||]`` of images, by JAX's own FFT: filters in Fourier, averages of
    aliases where planes are subsampled."""
    sides = x.shape[-2:]
    padded = scatcuda.banks.padded_shape(sides, J)
    bank = Recipe("morlet", padded, J, L)
    surplus = [n - side for n, side in zip(padded, sides, strict=True)]
    ends = [(more // 2, more - more // 2) for more in surplus]
    x = jnp.pad(x, [(0, 0)] * (x.ndim - 2) + ends, mode="reflect")

    def filtered(u_hat: jax.Array, f: np.ndarray, res: int, k: int) -> jax.Array:
        rows, columns = (lowest_of(n, res) for n in padded)
        product = u_hat[..., None, :, :] * f[:, rows][:, :, columns]
        m, n = (side // k for side in product.shape[-2:])
        folded = product.reshape(*product.shape[:-2], k, m, k, n).mean((-4, -2))
        return jnp.fft.ifft2(folded)

    def average(u: jax.Array, res: int) -> jax.Array:
        u_hat = jnp.fft.fft2(u)
        return filtered(u_hat, bank.phi[None], res, 1 << (J - res)).real[..., 0, 1:-1, 1:-1]

    def moduli(u: jax.Array, j: int, res: int) -> jax.Array:  # [..., L, m, n]
        return jnp.abs(filtered(jnp.fft.fft2(u), bank.scale(j), res, 1 << (j - res)))

    def listed(S: jax.Array) -> jax.Array:
        return S.reshape(*S.shape[: x.ndim - 2], -1, *S.shape[-2:])

    first, second = [], []
    for j1 in range(J):
        U1 = moduli(x, j1, 0)
        first.append(average(U1, j1))
        after = [average(moduli(U1, j2, j1), j2) for j2 in range(j1 + 1, J)]
        if after:  # by (j1, theta1, j2, theta2)
            second.append(listed(jnp.stack(after, -4)))
    return jnp.concatenate([average(x, 0)[..., None, :, :], *first, *second], -3)


def test_it_is_what_jaxs_own_transforms_give(x64):
    J, L = 3, 4
    transform = scatcuda.jax.Scattering2D(J, (32, 40), L)
    x = signals(transform, 3)
    g = np.random.default_rng(1).normal(size=(3, *transform.output_shape))
    right, pull_right = jax.vjp(lambda x: scattering_by_jax(x, J, L), jnp.asarray(x))
    wanted = pull_right(jnp.asarray(g))[0]
    for dtype, most in ((np.float64, (1e-12, 1e-12)), (np.float32, (1e-6, 2e-6))):
        S, pull_back = jax.vjp(transform, jnp.asarray(x, dtype))
        gradient = pull_back(jnp.asarray(g, dtype))[0]
        assert jnp.abs(S - right).max() <= most[0] * jnp.abs(right).max()
        assert jnp.abs(gradient - wanted).max() <= most[1] * jnp.abs(wanted).max()


def test_jit_vmap_and_grad():
    transform = scatcuda.jax.Scattering2D(J=2, shape=(16, 16), L=3)
    x = jnp.asarray(signals(transform, 2, 3), jnp.float32)
    S = transform(x)
    assert jnp.array_equal(jax.jit(transform)(x), S)
    assert jnp.array_equal(jax.vmap(jax.vmap(transform))(x), S)
    assert jnp.array_equal(jax.vmap(transform, in_axes=1, out_axes=1)(x), S)
    assert jnp.array_equal(jax.lax.map(transform, x), S)

    def loss(x: jax.Array) -> jax.Array:
        return jnp.square(transform(x)).sum()

    gradient = jax.grad(loss)(x)
    assert jnp.array_equal(jax.jit(jax.grad(loss))(x), gradient)
    each = jax.vmap(jax.vmap(jax.grad(loss)))(x)
    assert jnp.abs(each - gradient).max() <= 1e-6 * jnp.abs(gradient).max()
    step = 1e-2 * gradient / jnp.abs(gradient).max()
    with jax.enable_x64(True):
        x, step = x.astype(jnp.float64), step.astype(jnp.float64)
        ahead = (loss(x + 1e-4 * step) - loss(x - 1e-4 * step)) / 2e-4
        assert abs(ahead - (jax.grad(loss)(x) * step).sum()) <= 1e-6 * abs(ahead)


def test_arrays_on_several_devices():
    """What JAX knows of an array in a part of a mesh it knows of coefficients and gradients."""
    program = """
import jax, jax.numpy as jnp, numpy as np, pytest
from jax.sharding import AxisType, PartitionSpec as P
from scatcuda.jax import Scattering2D

transform = Scattering2D(J=2, shape=(16, 16), L=4)
x = jnp.asarray(np.random.default_rng(0).normal(size=(4, 16, 16)), jnp.float32)
S = transform(x)
weights = jnp.cos(jnp.arange(S[0].size)) / S[0].size
mesh = jax.make_mesh((2,), ("i",), axis_types=(AxisType.Auto,))


def apart(f, inputs=P("i"), outputs=P("i")):
    return jax.jit(jax.shard_map(f, mesh=mesh, in_specs=inputs, out_specs=outputs))


def loss(weights, x, transform=transform):
    return jnp.square(transform(x).reshape(len(x), -1) @ weights).sum()


def last(x):
    zero = jnp.zeros_like(transform(x))
    return jax.lax.scan(lambda _, x: (transform(x), None), zero, x[None])[0]


def same(found, wanted):
    assert np.abs(found - wanted).max() <= 1e-5 * np.abs(wanted).max()


of_weights, of_x = jax.grad(loss, (0, 1))(weights, x)
found = apart(jax.grad(loss, (0, 1)), (P(), P("i")), (P(), P("i")))(weights, x)
same(found[0], of_weights)  # summed over the devices
same(found[1], of_x)
same(jax.grad(loss, 1)(weights, x, apart(transform)), of_x)
same(apart(last)(x), S)
with pytest.raises(ValueError, match="out_specs which require replication"):
    apart(transform, outputs=P())(x)

explicit = jax.make_mesh((2,), ("i",), axis_types=(AxisType.Explicit,))
with jax.set_mesh(explicit):
    for axes in (P("i"), P(None, "i")):
        split = jax.device_put(x, jax.NamedSharding(explicit, axes))
        same(jax.jit(transform)(split), S)
        found = jax.jit(jax.grad(loss, 1))(weights, split)
        assert jax.typeof(found) == jax.typeof(split)
        same(found, of_x)
"""
    environment = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_compiled_programs_outlive_their_transforms():
    x = jnp.ones((2, 16, 16))

    @jax.jit
    def features(x: jax.Array) -> jax.Array:
        return scatcuda.jax.Scattering2D(J=1, shape=(16, 16), L=2)(x)

    wanted = np.asarray(features(x))
    gc.collect()
    assert np.array_equal(features(x), wanted)


def test_the_same_filters_are_kept_once():
    made = [scatcuda.jax.Scattering2D(J=1, shape=(16, 16)) for _ in range(2)]
    other = scatcuda.jax.Scattering2D(J=1, shape=(16, 16), filters="tight")
    numbers = [t._plan(np.dtype(np.float32)).fingerprint for t in (*made, other)]
    assert numbers[0] == numbers[1] != numbers[2]


def test_a_file_that_is_loaded_again_is_kept_once(tmp_path):
    module, path = scatcuda.Scattering2D(J=1, shape=(8, 8)), tmp_path / "plan.scat"
    module.save_plan(path)
    numbers = [scatcuda.jax.load(path)._plan(np.dtype(np.float32)).fingerprint for _ in range(3)]
    assert len(set(numbers)) == 1
    scatcuda.Scattering2D(J=1, shape=(8, 8), filters="tight").save_plan(path)
    x = np.random.default_rng(0).normal(size=(8, 8)).astype(np.float32)
    wanted = scatcuda.Scattering2D(J=1, shape=(8, 8), filters="tight")(torch.from_numpy(x))
    assert np.array_equal(scatcuda.jax.load(path)(x), wanted.numpy())


def test_plan_files_are_told_apart_by_their_content(tmp_path, monkeypatch):
    path, other = tmp_path / "plan.scat", tmp_path / "other.scat"
    scatcuda.Scattering2D(J=1, shape=(8, 8)).save_plan(path)
    scatcuda.Scattering2D(J=1, shape=(8, 8), filters="tight").save_plan(other)
    x = np.random.default_rng(0).normal(size=(8, 8)).astype(np.float32)
    scatcuda.jax.load(path)
    times = path.stat()
    assert times.st_size == other.stat().st_size
    path.write_bytes(other.read_bytes())  # in place
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert np.array_equal(scatcuda.jax.load(path)(x), scatcuda.numpy.load(other)(x))
    kind = np.dtype(np.float32)
    assert scatcuda.jax.load(path)._plan(kind) == scatcuda.jax.load(other)._plan(kind)
    loaded = scatcuda.frontends.design.loaded

    def replaced(path):
        found = loaded(path)
        os.replace(other, path)
        return found

    monkeypatch.setattr(scatcuda.frontends.design, "loaded", replaced)
    with pytest.raises(OSError, match=r"plan\.scat changed while it was read"):
        scatcuda.jax.load(path)


def test_programs_that_another_process_exported(tmp_path):
    """A program's transforms are known once they were traced, or their plan files loaded."""
    scatcuda.Scattering2D(J=1, shape=(8, 8)).save_plan(tmp_path / "plan.scat")
    transforms = (
        "import jax, jax.numpy as jnp, pathlib, sys, scatcuda.jax\n"
        "folder, x = pathlib.Path(sys.argv[1]), jnp.cos(jnp.arange(128.0).reshape(2, 8, 8))\n"
        "made = scatcuda.jax.Scattering2D(1, (8, 8))\n"
        "load = lambda: scatcuda.jax.load(folder / 'plan.scat')\n"
    )
    for program in (
        "checks = [jax.export.DisabledSafetyCheck.custom_call('scatcuda_forward')]\n"
        "for name, one in (('0', made), ('1', load())):\n"
        "    data = jax.export.export(jax.jit(one), disabled_checks=checks)(x).serialize()\n"
        "    (folder / name).write_bytes(data)",
        "programs = [jax.export.deserialize((folder / name).read_bytes()) for name in '01']\n"
        "for program, known in zip(programs, (lambda: jax.eval_shape(made, x), load)):\n"
        "    try:\n        program.call(x)\n"
        "    except Exception as error:\n        assert 'has no such transform' in str(error)\n"
        "    else:\n        raise AssertionError\n"
        "    known()\n"
        "    assert (program.call(x) == made(x)).all()",
    ):
        command = [sys.executable, "-c", transforms + program, tmp_path]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_what_jax_needs_is_said(monkeypatch):
    monkeypatch.setattr(scatcuda.jax, "library_file", lambda name: None)
    with pytest.raises(ImportError, match="this build has nothing for JAX: install JAX first"):
        scatcuda.jax._handlers.__wrapped__()
    program = "import sys; sys.modules['jax'] = None; import scatcuda.jax"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "scatcuda.jax needs JAX 0.6.2 or newer: pip install 'scatcuda[jax]'" in done.stderr


# --- scikit-learn ---------------------------------------------------------------------------------


def test_scikit_learn_on_numpy_gives_the_features_of_learn():
    from sklearn.base import clone

    from scatcuda.learn import ScatteringTransformer

    X = np.random.default_rng(0).random((7, 3, 16, 16)).astype(np.float32)
    for options in ({}, {"pool": "mean"}, {"pool": "mean", "log": True}):
        found = scatcuda.sklearn.ScatteringTransformer(J=2, batch_size=3, **options)
        wanted = ScatteringTransformer(J=2, **options).fit_transform(X)
        np.testing.assert_allclose(clone(found).fit_transform(X), wanted, rtol=1e-4, atol=1e-6)
    rows = scatcuda.sklearn.ScatteringTransformer(J=2, shape=(3, 16, 16)).fit(X)
    assert np.array_equal(rows.transform(X.reshape(7, -1)), rows.transform(X))


def test_scikit_learn_refuses_what_is_no_data():
    build = scatcuda.sklearn.ScatteringTransformer
    for arguments, X, sentence in (
        ({}, np.ones(5), "X must be an array"),
        ({"shape": (4, 4)}, np.ones((5, 15)), "X must be"),
        ({}, np.full((2, 16, 16), np.nan), "X must be finite"),
        ({}, np.ones((0, 16, 16)), "at least one signal"),
        ({"pool": "max"}, np.ones((2, 16, 16)), "pool must be one of 'mean'"),
        ({"scattering": 3}, np.ones((2, 16, 16)), "scattering must be a transform"),
    ):
        with pytest.raises((TypeError, ValueError), match=sentence):
            build(J=2, **arguments).fit(X)


def test_scikit_learn_has_the_logarithm_of_what_is_there():
    """Lobes of the low-pass: a mean of moduli may be a little below 0."""
    x = np.zeros((1, 64, 64))
    x[0, 5, 7] = 1
    transformer = scatcuda.sklearn.ScatteringTransformer(J=3, log=True)
    found = transformer.fit_transform(x)
    S = scatcuda.numpy.Scattering2D(3, (64, 64))(x)
    assert np.isfinite(found).all() and S[:, 1:].min() < 0
    found = found.reshape(S.shape)
    np.testing.assert_array_equal(found[:, 0], S[:, 0])
    np.testing.assert_allclose(found[:, 1:], np.log(S[:, 1:].clip(0) + transformer.eps_))
    statistics = scatcuda.numpy.ScatteringCovariance((16, 16), J=2)
    with pytest.raises(ValueError, match=r"log must be False where meta\(\) of scattering tells"):
        transformer.set_params(scattering=statistics).fit(np.ones((2, 16, 16)))


def test_scikit_learn_takes_means_over_positions():
    X = np.random.default_rng(0).random((3, 8, 8, 8))
    integrals = scatcuda.numpy.HarmonicScattering3D(1, (8, 8, 8), L=1)
    assert integrals.positions == 0 and integrals.output_shape == (3, 2, 3)
    transformer = scatcuda.sklearn.ScatteringTransformer(scattering=integrals, pool="mean")
    np.testing.assert_array_equal(transformer.fit_transform(X), integrals(X).reshape(3, -1))
    assert len(set(transformer.get_feature_names_out())) == 18


@pytest.mark.parametrize(
    "make, positions",
    [
        (lambda: scatcuda.numpy.Scattering2D(1, (8, 8)), 2),
        (lambda: scatcuda.numpy.RotoTranslationScattering2D(2, (16, 16)), 2),
        (lambda: scatcuda.numpy.RotoTranslationScattering2D(2, (16, 16), pool="mean"), 0),
        (lambda: scatcuda.numpy.Scattering1D(4, 256, 2), 1),
        (lambda: scatcuda.numpy.TimeFrequencyScattering(J=5, J_fr=2, Q=4, shape=512), 1),
        (lambda: scatcuda.numpy.WaveletPhaseHarmonics((16, 16), J=2, L=2), 0),
    ],
)
def test_features_of_every_transform_have_names(make, positions):
    made = make()
    assert made.positions == positions
    X = np.random.default_rng(0).random((2, *made.input_shape))
    for pool in (None, "mean"):
        transformer = scatcuda.sklearn.ScatteringTransformer(scattering=made, pool=pool).fit(X)
        names = transformer.get_feature_names_out().tolist()
        assert transformer.transform(X).shape == (2, len(names)) == (2, len(set(names)))
        colours = scatcuda.sklearn.ScatteringTransformer(scattering=made, pool=pool)
        coloured = colours.fit(np.stack([X, X], 1)).get_feature_names_out().tolist()
        assert coloured == [f"c{c}_{name}" for c in range(2) for name in names]


def test_scikit_learn_uses_what_was_fitted():
    X = np.random.default_rng(0).random((5, 8, 8))
    transformer = scatcuda.sklearn.ScatteringTransformer(J=1).fit(X)
    before = transformer.transform(X)
    transformer.set_params(pool="max", log=True, batch_size=0, J=2)
    np.testing.assert_array_equal(transformer.transform(X), before)
    with pytest.raises(ValueError, match="pool must be one of 'mean'"):
        transformer.fit(X[:, :4])
    np.testing.assert_array_equal(transformer.transform(X), before)  # a refused fit changes nothing
    assert transformer.transform(X[:0]).shape == (0, before.shape[1])


@pytest.mark.parametrize("shape", [5, True, 8.0, (8, 8.0), "88", (True, 8), (8, 0), ()])
def test_scikit_learn_refuses_what_is_no_shape(shape):
    with pytest.raises((TypeError, ValueError), match="ScatteringTransformer: shape must "):
        scatcuda.sklearn.ScatteringTransformer(J=1, shape=shape).fit(np.ones((2, 64)))


def test_scikit_learn_looks_at_masks_and_columns():
    pandas = pytest.importorskip("pandas")
    X = np.random.default_rng(0).random((5, 64))
    transformer = scatcuda.sklearn.ScatteringTransformer(J=1, shape=(8, 8))
    wanted = transformer.fit_transform(X)
    with pytest.raises(ValueError, match="X must have no masked values"):
        transformer.fit(np.ma.masked_array(X, X > 0.5))
    np.testing.assert_array_equal(transformer.transform(np.ma.masked_array(X)), wanted)
    frame = pandas.DataFrame(X, columns=[f"c{i}" for i in range(64)], index=list("abcde"))
    transformer.set_output(transform="pandas").fit(frame)
    assert transformer.feature_names_in_.tolist() == frame.columns.tolist()
    found = transformer.transform(frame)
    np.testing.assert_array_equal(found, wanted)
    assert found.columns.tolist() == transformer.get_feature_names_out().tolist()
    assert found.index.tolist() == list("abcde")
    with pytest.raises(ValueError, match="Feature names must be in the same order"):
        transformer.transform(frame[frame.columns[::-1]])


def test_complex_coefficients_are_features_in_parts():
    X = np.random.default_rng(0).normal(size=(5, 16, 16))
    made = scatcuda.numpy.WaveletPhaseHarmonics((16, 16), 2, 2, dn=0)
    transformer = scatcuda.sklearn.ScatteringTransformer(scattering=made).fit(X)
    rows, names = transformer.transform(X), transformer.get_feature_names_out()
    S = made(X)
    assert rows.dtype == np.float64 and rows.shape == (5, len(names)) == (5, 2 * S.shape[1])
    assert np.array_equal(rows[:, ::2], S.real) and np.array_equal(rows[:, 1::2], S.imag)
    assert names[:2].tolist() == ["coefficient0_real", "coefficient0_imag"]
