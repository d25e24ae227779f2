"""Numbers and truth values as NumPy and PyTorch give them, wherever an int or a bool is wanted."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from scatcuda import (
    _C,
    Cascade,
    HarmonicScattering3D,
    Scattering1D,
    Scattering2D,
    TimeFrequencyScattering,
    arguments,
    banks,
    cuda_launch,
    ops,
)
from scatcuda.banks.packing import pack
from scatcuda.data import digits, digits_dataset, subset
from scatcuda.draw.bank import filters_report
from scatcuda.learn import PCAAffineClassifier, Recipe, ScatteringTransformer, hybrid, resnet
from scatcuda.learn.analysis.stability import stability
from scatcuda.learn.experiments.options import Options
from scatcuda.learn.extraction.pooling import Pool, pool
from scatcuda.learn.fitting.inference import predict
from scatcuda.program import plan

INTEGERS = [np.int64, np.int8, np.uint16, np.array, torch.tensor]
WHOLE = dict(argvalues=INTEGERS, ids=["int64", "int8", "uint16", "array", "tensor"])
TRUTHS = [np.bool_, np.array, torch.tensor]
WRONG = [2.0, np.float64(2), np.float32(2), np.array(2.0), torch.tensor(2.0), "2", None]
WRONG += [True, np.bool_(True), np.array(True), torch.tensor(True)]  # no integers either
WRONG += [[2], np.array([2]), torch.tensor([2]), torch.tensor(2, device="meta")]


@pytest.mark.parametrize("given", INTEGERS)
def test_integers(given):
    found = arguments.integer("f", "n", given(3), 3, 3)
    assert found == 3 and type(found) is int
    with pytest.raises(ValueError, match="f: n must be between 4 and 5; got 3"):
        arguments.integer("f", "n", given(3), 4, 5)
    sides = arguments.pair("f", [given(3), given(4)])
    assert sides == (3, 4) and {type(side) for side in sides} == {int}


@pytest.mark.parametrize("wrong", WRONG, ids=repr)
def test_what_is_no_integer(wrong):
    with pytest.raises(TypeError, match="f: n must be an integer; got "):
        arguments.integer("f", "n", wrong, 0)
    with pytest.raises(TypeError, match=r"f: shape must be a pair of integers \(M, N\); got "):
        arguments.pair("f", (2, wrong))


def test_pairs():
    for given in (torch.Size([3, 4]), np.array([3, 4]), torch.tensor([3, 4]), iter([3, 4])):
        assert arguments.pair("f", given) == (3, 4)
    for wrong in ((), (3,), (3, 4, 5), torch.Size([3])):
        with pytest.raises(ValueError, match="f: shape must be a pair of integers"):
            arguments.pair("f", wrong)


@pytest.mark.parametrize("given", [float, int, np.float32, np.longdouble, np.array, torch.tensor])
def test_numbers(given):
    for found in (
        arguments.number("f", "a", given(2)),
        arguments.number("f", "a", given(2), 2),
        arguments.positive("f", "a", given(2)),
    ):
        assert found == 2 and type(found) is float
    with pytest.raises(ValueError, match="f: a must be 3 or more and finite; got "):
        arguments.number("f", "a", given(2), 3)
    with pytest.raises(ValueError, match="f: a must be positive and finite; got "):
        arguments.positive("f", "a", given(0))
    assert Pool(None, J=1, eps=given(2)).eps == 2


@pytest.mark.parametrize("wrong", ["2", None, True, np.bool_(True), [2.0], np.ones(1), 1j])
def test_what_is_no_number(wrong):
    for check in (arguments.number, arguments.positive):
        with pytest.raises(TypeError, match="f: a must be a number; got "):
            check("f", "a", wrong)
    with pytest.raises(TypeError, match="f: a must be a number; got "):
        arguments.number("f", "a", torch.tensor(2.0, device="meta"))


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf, 10**400, np.float32(np.inf)])
def test_numbers_are_finite(wrong):
    with pytest.raises(ValueError, match="f: a must be finite; got "):
        arguments.number("f", "a", wrong)
    with pytest.raises(ValueError, match="f: a must be positive and finite; got "):
        arguments.positive("f", "a", wrong)


def test_sides():
    for given in ((3, 4), [np.int8(3), torch.tensor(4)], iter([3, 4]), torch.Size([3, 4])):
        assert arguments.sides("f", "shape", given) == (3, 4)
    for wrong in (3, None, True, "34", (3.0, 4), (3, True)):
        with pytest.raises(TypeError, match="f: shape must be a sequence of integers; got "):
            arguments.sides("f", "shape", wrong)
    for wrong in ((), (3, 0), (-1,)):
        with pytest.raises(ValueError, match="f: shape must have positive sides; got "):
            arguments.sides("f", "shape", wrong)


@pytest.mark.parametrize("truth", [True, False])
@pytest.mark.parametrize("given", [bool, *TRUTHS])
def test_booleans(given, truth):
    assert arguments.boolean("f", "flag", given(truth)) is truth


@pytest.mark.parametrize(
    "wrong", [0, 1, 1.0, "no", None, np.int64(1), np.array(1), torch.tensor(1), np.array([True])]
)
def test_what_is_no_boolean(wrong):
    with pytest.raises(TypeError, match="f: flag must be a bool; got "):
        arguments.boolean("f", "flag", wrong)


def test_plain():
    for given in (np.float32(0.5), np.array(0.5), torch.tensor(0.5), np.bool_(True), np.int8(2)):
        assert type(arguments.plain(given)) in (bool, int, float)
    for other in (None, "text", 1, [2], np.array([2])):
        assert arguments.plain(other) is other


# --- where they are wanted ----------------------------------------------------------------------


@pytest.mark.parametrize("n", **WHOLE)
def test_scattering(n):
    ours = Scattering2D(n(1), (n(8), n(12)), n(2), n(1), pre_pad=np.False_, workspace=n(100))
    assert repr(ours) == repr(Scattering2D(1, (8, 12), 2, 1, workspace=100))
    x = torch.rand(8, 12)
    assert torch.equal(ours(x), Scattering2D(1, (8, 12), 2, 1)(x))


@pytest.mark.parametrize("given", TRUTHS)
@pytest.mark.parametrize("truth", [True, False])
def test_pre_pad(given, truth):
    assert Scattering2D(1, (8, 8), pre_pad=given(truth)).pre_pad is truth


@pytest.mark.parametrize("n", **WHOLE)
def test_filters(n):
    assert banks.padded_shape((n(8), n(12)), n(1)) == (12, 16)
    bank = banks.morlet_bank((n(8), n(8)), n(1), n(2))
    assert torch.equal(bank.psi, banks.morlet_bank((8, 8), 1, 2).psi)
    assert torch.equal(banks.crop(bank.phi, n(1)), banks.crop(bank.phi, 1))
    phi = banks.separable_factors(bank.phi)[0]
    matrix = banks.lowpass_matrix(phi, n(0), n(1))
    assert torch.equal(matrix, banks.lowpass_matrix(phi, 0, 1))
    shape, J, L = (n(8), n(8)), n(1), n(2)
    assert filters_report(J, shape, L) == filters_report(1, (8, 8), 2)


@pytest.mark.parametrize("n", **WHOLE)
def test_operators(n):
    problem = plan.Plan(J=1, L=2, max_order=2, M=8, N=8)
    bank = pack(banks.morlet_bank(problem.padded, 1, 2), problem, torch.float32)
    x = torch.rand(3, 8, 8)
    expected = ops.scattering2d(x, *bank, 1, 2, 2, False, "auto", 0)
    found = ops.scattering2d(x, *bank, n(1), n(2), n(2), np.False_, "auto", n(0))
    assert torch.equal(found, expected)
    x_hat, psi = torch.fft.fft2(x), torch.rand(2, 8, 8)
    assert torch.equal(ops.filter_fold(x_hat, psi, n(2)), ops.filter_fold(x_hat, psi, 2))


@pytest.mark.skipif(not _C.cuda_architectures(), reason="this build has no CUDA engine")
@pytest.mark.parametrize("n", **WHOLE)
def test_cuda_launch(n):
    found = cuda_launch(n(2), (n(32), n(32)), n(8), batch=n(96), workspace=n(100), device="H100")
    assert found == cuda_launch(2, (32, 32), batch=96, workspace=100, device="H100")


@pytest.mark.parametrize("n", **WHOLE)
def test_data(n):
    y = torch.tensor([0, 0, 0, 1, 1, 1])
    assert subset(y, n(4), n(0)).tolist() == subset(y, 4, 0).tolist()
    assert digits(n(8))[0].shape == (1797, 8, 8)
    again = digits_dataset(size=n(8), seed=n(1))
    assert torch.equal(again.train_y, digits_dataset(size=8, seed=1).train_y)


@pytest.mark.parametrize("n", **WHOLE)
def test_learning(n):
    x, y = torch.rand(6, 16, 16), torch.tensor([0, 1] * 3)
    features = ScatteringTransformer(
        n(2), n(2), n(2), pool="rotation", log=np.True_, batch_size=n(4)
    )
    expected = ScatteringTransformer(2, 2, 2, pool="rotation", log=True, batch_size=4)
    assert torch.equal(features.fit_transform(x), expected.fit_transform(x))
    S = Scattering2D(2, (16, 16), 2)(x)
    assert torch.equal(pool(S, "rotation", n(2), n(2), n(2)), pool(S, "rotation", 2, 2, 2))
    cascade = Cascade(n(1), (n(16), n(16)), n(2), n(1), scales=[[n(0)]])
    assert torch.equal(cascade(x), Cascade(1, (16, 16), 2, 1)(x))
    network = hybrid(n(2), (n(1), n(16), n(16)), n(2), head="mlp", L=n(2), width=n(8))
    assert predict(network, x[:, None], batch_size=n(4)).shape == (6, 2)
    assert resnet(n(2), (n(1), n(16), n(16)), n(4), n(1))(x[:, None]).shape == (6, 2)
    assert PCAAffineClassifier(n(1), n(3)).fit(x.flatten(1), y).n_components_ == 1
    curves = [
        stability(x[:2], J=f(1), L=f(2), shifts=(0, 1), strains=(0,), seed=f(3)) for f in (n, int)
    ]
    assert curves[0] == curves[1]


@pytest.mark.parametrize("n", **WHOLE)
def test_options(n):
    recipe = Recipe(epochs=n(3), seed=n(1), amp=np.False_, lr=np.float32(0.5))
    assert recipe == Recipe(epochs=3, seed=1, lr=0.5)
    options = Options(
        J=n(3), n=(n(10), "all"), seeds=(n(1),), log=np.True_, alpha=torch.tensor(0.5)
    )
    for made in (recipe, options):
        values = [getattr(made, field.name) for field in dataclasses.fields(made)]
        flat = [v for value in values for v in (value if isinstance(value, tuple) else [value])]
        assert not any(hasattr(value, "dtype") for value in flat)
    for wrong in (2.0, np.float64(2), True, np.bool_(True)):
        with pytest.raises(TypeError):
            Recipe(epochs=wrong)
        with pytest.raises(TypeError):
            Options(J=wrong)


@pytest.mark.parametrize(
    ("act", "got"),
    [
        (lambda x: Scattering2D(2, x.shape[-2:]), r"\(32, 3\)"),
        (lambda x: Scattering2D(2, x.shape[1:]), r"\(32, 32, 3\)"),
        (lambda x: Scattering2D(2, (32, 32))(x), r"\(8, 32, 32, 3\): .*"),
        (lambda x: Cascade(2, (32, 32))(x), r"\(8, 32, 32, 3\)"),
        (lambda x: ScatteringTransformer(J=1).fit(x), r"\[8, 32, 32, 3\]"),
        (lambda x: ScatteringTransformer(J=1).fit(x.numpy()), r"\[8, 32, 32, 3\]"),
        (lambda x: ScatteringTransformer(J=2, shape=(3, 32, 32)).fit(x), r"\[8, 32, 32, 3\]"),
        (lambda x: hybrid(10, x.shape[1:], J=2), "32 x 3"),
        (lambda x: resnet(10, x.shape[1:]), "32 x 3"),
        (lambda x: filters_report(2, x.shape[-2:]), r"\(32, 3\)"),
        (lambda x: cuda_launch(2, x.shape[-2:], device="H100"), r"\(32, 3\)"),
    ],
)
def test_channels_last_is_recognised(act, got):
    x = torch.rand(8, 32, 32, 3)
    with pytest.raises(ValueError, match=f"got {got}; this looks channels-last: M and N are the"):
        act(x)
    assert Scattering2D(2, (32, 32))(x.movedim(-1, -3)).shape == (8, 3, 81, 8, 8)


@pytest.mark.parametrize("shape", [(3,), (8, 3, 30, 30), (2, 2), (4, 4, 3), (8, 30, 30, 5)])
def test_what_does_not_look_channels_last(shape):
    assert arguments.channels_last(shape) == ""


def test_images_of_few_columns_are_taken_if_their_shape_is_given():
    x = torch.rand(4, 6, 32, 3)
    found = ScatteringTransformer(J=1, shape=(6, 32, 3)).fit_transform(x)
    assert len(found) == 4


_META = torch.tensor(3, device="meta")
_LONG = 10**5000  # which Python does not print


@pytest.mark.parametrize(
    ("act", "told"),
    [
        (lambda: Cascade(2, (16, 16), scales=5), "Cascade: scales must be None or a list of sc"),
        (lambda: Cascade(2, (16, 16), scales=[2, 3]), r"scales must be .*; got \[2, 3\]"),
        (lambda: Cascade(2, (16, 16), filters=3), "Cascade: filters must be 'morlet', 'tight' or"),
        (lambda: Scattering1D(3, 64, T=np.array([2, 3])), r"T must be .*got ndarray int64 \(2,\)"),
        (lambda: Scattering1D(3, 64, T=_LONG), "T must be 0, or between 1 and .*got one of 16610"),
        (lambda: Scattering1D(3, 64, T=_META), r"T must be a number, .*; got Tensor torch.int64"),
        (lambda: Scattering1D(3, _META), "Scattering1D: shape must be an integer"),
        (lambda: Scattering2D(2, (_META, 16)), "shape must be a pair of integers"),
        (lambda: Scattering2D(2, (8, 8), paths=np.array(3)), r"paths must be .*; got array\(3\)"),
        (lambda: HarmonicScattering3D(1, (8, 8, 8), sigma_0=_LONG), "sigma_0 must be positive and"),
        (
            lambda: HarmonicScattering3D(1, (8, 8, 8), sigma_0=_META),
            "sigma_0 must be a number; go",
        ),
        (
            lambda: TimeFrequencyScattering(J=4, J_fr=2, Q=4, shape=256, F=np.array([1, 2])),
            "F must be a number, 'global' or None; got ndarray",
        ),
        (lambda: Scattering2D(2, (8, 8)).save_plan("x", dtype=0), "dtype must be .*; got 0"),
        (
            lambda: Scattering2D(2, (8, 8)).save_plan("x", dtype=False),
            "dtype must be .*; got Fals",
        ),
        (
            lambda: Scattering2D(2, (8, 8)).save_plan(None),
            "path must be the name of a file; got N",
        ),
        (lambda: Scattering1D(2, 64).save_plan(""), "path must be the name of a file; got ''"),
    ],
)
def test_one_sentence_names_the_argument(act, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((TypeError, ValueError), match=told):
        act()
    assert not [*tmp_path.iterdir()]


def test_a_plan_of_a_module_without_values(tmp_path):
    module = Scattering2D(2, (8, 8))
    for name, made in (("a", module), ("b", Scattering2D(2, (8, 8)).to("meta"))):
        made.save_plan(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
