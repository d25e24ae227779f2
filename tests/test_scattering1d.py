"""Scattering1D: against Kymatio 0.3.0 and numbers of its development branch, in float64; what it
takes and what it refuses; gradients, compilers, copies."""

from __future__ import annotations

import copy
import itertools
import pickle
import warnings
from pathlib import Path
from typing import Any

import kymatio_development as development
import numpy as np
import pytest
import torch
from devices import SINGLE
from oracle import relative_error

from scatcuda import Scattering1D
from scatcuda.learn.networks.models import hybrid
from scatcuda.program import parse

CASES: list[dict[str, Any]] = [
    dict(J=6, shape=4096, Q=8),
    dict(J=3, shape=100),
    dict(J=4, shape=(777,), Q=(4, 2), T=50),
    dict(J=5, shape=1024, Q=8, max_order=1),
    dict(J=4, shape=512, Q=4, oversampling=2),
    dict(J=7, shape=1000, Q=12, T=30, oversampling=1),
    dict(J=2, shape=33, Q=1, T=2),
]
UNAVERAGED: list[dict[str, Any]] = [
    dict(J=4, shape=512, Q=4, T=0),
    dict(J=3, shape=101, Q=(3, 2), T=0, oversampling=1),
    dict(J=3, shape=128, average=False),
]


def theirs(frontend: str = "numpy", **arguments: Any) -> Any:
    kymatio = pytest.importorskip(f"kymatio.{frontend}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return kymatio.Scattering1D(**arguments)


def ours(**arguments: Any) -> Scattering1D[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return Scattering1D(**arguments)


def signals(module: Scattering1D[Any], *lead: int) -> torch.Tensor:
    return torch.randn(*lead, *module.shape, dtype=torch.float64)


# --- Kymatio ----------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", CASES, ids=str)
def test_equals_kymatio(arguments):
    module = ours(**arguments)
    x = signals(module, 2, 3)
    expected = torch.from_numpy(theirs(**arguments)(x.numpy()))
    S = copy.deepcopy(module).double()(x)
    assert S.shape == expected.shape == (2, 3, *module.output_shape)
    assert relative_error(S, expected) <= 1e-13
    assert relative_error(module(x.float()), expected) <= SINGLE
    double = ours(**arguments, backend="reference").double()
    assert relative_error(double(x), expected) <= 1e-13


@pytest.mark.parametrize("arguments", UNAVERAGED, ids=str)
@pytest.mark.parametrize("out_type", ["dict", "list"])
def test_equals_kymatio_without_an_average(arguments, out_type):
    module = ours(**arguments, out_type=out_type)
    x = signals(module, 2)
    expected = theirs(**arguments, out_type=out_type)(x.numpy())
    S = copy.deepcopy(module).double()(x)
    if out_type == "list":
        assert [(c["n"], c["j"]) for c in S] == [(c["n"], c["j"]) for c in expected]
        S = {c["n"]: c["coef"] for c in S}
        expected = {c["n"]: c["coef"] for c in expected}
    assert list(S) == list(expected) == module.meta()["key"]
    for path, coefficients in S.items():
        assert relative_error(coefficients, torch.from_numpy(expected[path])) <= 1e-12


@pytest.mark.parametrize("arguments", CASES, ids=str)
def test_says_what_kymatio_says(arguments):
    module, other = ours(**arguments), theirs("torch", **arguments)
    for name in "J shape Q T max_order oversampling log2_T pad_left pad_right average".split():
        assert getattr(module, name) == getattr(other, name), name
    assert (module.ind_start, module.ind_end) == (other.ind_start, other.ind_end)
    assert module.output_size() == other.output_size()
    assert list(module.output_size(detail=True)) == list(other.output_size(detail=True))
    meta, expected = module.meta(), other.meta()
    assert meta.keys() == expected.keys() and meta["key"] == expected["key"]
    for name in ("order", "xi", "sigma", "j", "n"):
        np.testing.assert_array_equal(meta[name], expected[name])
    banks = [(module.psi1_f, other.psi1_f)]
    if module.max_order > 1:
        banks.append((module.psi2_f, other.psi2_f))
    for mine, its in banks:
        assert [(f["xi"], f["sigma"], f["j"]) for f in mine] == [
            (f["xi"], f["sigma"], f["j"]) for f in its
        ]
        for f, g in zip(mine, its, strict=True):
            for level, expected_level in zip(f["levels"], g["levels"], strict=True):
                assert level.shape == expected_level.shape
                assert (level - expected_level).abs().max() <= 1e-7


@pytest.mark.parametrize("name", development.CASES)
def test_equals_the_development_branch(name):
    numbers = np.load(Path(development.__file__).with_suffix(".npz"))
    module = Scattering1D(shape=development.N, aliases="sum", **development.CASES[name]).double()
    S = module(torch.from_numpy(development.signal()))
    if not isinstance(S, dict):
        S = {(): S}
    keys = {"/".join([name, *map(str, path)]): value for path, value in S.items()}
    assert set(keys) == {key for key in numbers.files if key.split("/")[0] == name}
    for key, value in keys.items():
        assert relative_error(value, torch.from_numpy(numbers[key])) <= 1e-13


def test_summed_aliases_are_powers_of_two():
    mean, summed = (Scattering1D(4, 256, 4, aliases=a).double() for a in ("mean", "sum"))
    x, meta = signals(mean), mean.meta()
    scale = torch.from_numpy(2 ** np.nansum(meta["j"], 1))[:, None]
    torch.testing.assert_close(summed(x), scale * mean(x))


# --- beyond Kymatio ---------------------------------------------------------------------------


def written_out(module, x, path):
    """A path by its definition, with NumPy's FFT: x is periodic."""
    banks = [Scattering1D(module.J, module.shape, Q).psi1_f for Q in module.Q]
    u, at = np.pad(x.numpy(), (module.pad_left, module.pad_right), "wrap"), 0
    for bank, n in zip(banks, path, strict=False):
        psi = np.asarray(bank[n]["levels"][0][:, 0], dtype=np.float64)
        psi = psi.reshape(2**at, -1).mean(0)
        res = max(min(bank[n]["j"], module.log2_T), at)
        u = np.abs(np.fft.ifft((np.fft.fft(u) * psi).reshape(2 ** (res - at), -1).mean(0)))
        at = res
    J = module.J
    phi = np.asarray(module.phi_f["levels"][0][:, 0], dtype=np.float64).reshape(2**at, -1).mean(0)
    S = np.fft.ifft((np.fft.fft(u) * phi).reshape(2 ** (J - at), -1).mean(0)).real
    return S[module.ind_start[J] : module.ind_end[J]]


def test_a_third_order():
    module = Scattering1D(6, 1024, (2, 1, 1), max_order=3, padding="periodic").double()
    x, meta = signals(module), module.meta()
    assert meta["order"].max() == 3 and module._plan._count() == len(meta["key"])
    expected = written_out(module, x, meta["key"][-1])
    np.testing.assert_allclose(module(x)[-1], expected, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize(("Q", "max_order"), [(8, 2), ((4, 2), 2), ((2, 1, 1), 3)])
def test_frequency_criterion(Q, max_order):
    options = dict(J=5, shape=512, Q=Q, max_order=max_order, padding="periodic")
    module = Scattering1D(**options, criterion="frequency").double()
    x, meta = signals(module), module.meta()
    assert module.criterion == "frequency" and module._plan._count() == len(meta["key"])
    assert repr(module.of_length(512)) == repr(module)
    banks = [[psi["xi"] for psi in Scattering1D(5, 512, Q).psi1_f] for Q in module.Q]
    expected = [()]
    for path in expected:  # which grows
        following = banks[len(path)] if len(path) < max_order else []
        last = banks[len(path) - 1][path[-1]] if path else 1
        expected += [(*path, n) for n, xi in enumerate(following) if xi < last]
    assert meta["key"] == expected
    S = dict(zip(meta["key"], module(x), strict=True))
    for path in meta["key"][:: 1 + len(expected) // 30]:
        np.testing.assert_allclose(S[path], written_out(module, x, path), rtol=2e-5, atol=1e-7)
    scale = Scattering1D(**options).double()
    kept = dict(zip(scale.meta()["key"], scale(x), strict=True))
    assert set(kept) < set(S)
    for path, value in kept.items():
        torch.testing.assert_close(S[path], value)


@pytest.mark.parametrize("padding", ["reflect", "symmetric", "zeros", "periodic"])
def test_padding(padding):
    module = Scattering1D(4, 200, 2, padding=padding).double()
    x = signals(module)
    mode = {"zeros": "constant", "periodic": "wrap"}.get(padding, padding)
    padded = np.pad(x.numpy(), (module.pad_left, module.pad_right), mode)
    phi = np.asarray(module.phi_f["levels"][0][:, 0], dtype=np.float64)
    smooth = np.fft.ifft(np.fft.fft(padded) * phi).real[:: module.stride]
    expected = smooth[module.ind_start[4] : module.ind_end[4]]
    np.testing.assert_allclose(module(x)[0], expected, rtol=1e-5, atol=1e-7)


def test_some_paths():
    whole = Scattering1D(4, 300, 4).double()
    x, meta = signals(whole, 2), whole.meta()
    mask = meta["order"] == 2
    some = Scattering1D(4, 300, 4, paths=lambda meta: meta["order"] == 2).double()
    torch.testing.assert_close(some(x), whole(x)[:, torch.from_numpy(mask)])
    assert (
        some.output_shape == (mask.sum(), 19)
        and some.meta()["key"][0] == meta["key"][mask.argmax()]
    )
    keys = [meta["key"][i] for i in (20, 2, 25, 0, 9)]
    few = Scattering1D(4, 300, 4, paths=keys).double()
    index = [meta["key"].index(key) for key in sorted(keys, key=lambda p: (len(p), p))]
    torch.testing.assert_close(few(x), whole(x)[:, index])
    unaveraged = Scattering1D(4, 300, 4, T=0, out_type="dict", paths=keys).double()(x)
    all_of_them = Scattering1D(4, 300, 4, T=0, out_type="dict").double()(x)
    assert list(unaveraged) == sorted(keys, key=lambda p: (len(p), p))
    for path, S in unaveraged.items():
        torch.testing.assert_close(S, all_of_them[path])


def test_global_average():
    module = Scattering1D(3, 100, 2, T="global").double()
    x = signals(module, 2)
    assert module(x).shape == (2, module.output_size(), 1)
    padded = np.pad(x.numpy(), ((0, 0), (module.pad_left, module.pad_right)), "reflect")
    np.testing.assert_allclose(module(x)[:, 0, 0], padded.mean(1))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.float16, torch.bfloat16])
def test_other_dtypes(dtype):
    module = Scattering1D(3, 128, 2)
    x = torch.randint(0, 100, (2, 128)).to(dtype)
    assert torch.equal(module(x), module(x.float()))


def test_any_batch_and_strides():
    module = Scattering1D(3, 128, 2)
    x = torch.randn(128, 5, 2).movedim(0, -1)
    S = module(x)
    assert S.shape == (5, 2, *module.output_shape)
    torch.testing.assert_close(S[3, 1], module(x[3, 1].clone()))
    assert module(torch.zeros(0, 3, 128)).shape == (0, 3, *module.output_shape)
    assert module(x.flip(0)).equal(S.flip(0))


@pytest.mark.parametrize("out_type", ["array", "dict", "list"])
def test_output_types(out_type):
    module = Scattering1D(3, 128, 2)
    x = torch.randn(2, 128)
    S, meta = module(x), module.meta()
    other = Scattering1D(3, 128, 2, out_type=out_type)(x)
    if out_type == "array":
        assert torch.equal(other, S)
    elif out_type == "dict":
        assert list(other) == meta["key"]
        assert torch.equal(torch.stack(list(other.values()), -2), S)
    else:
        assert [c["n"] for c in other] == meta["key"]
        assert [c["order"] for c in other] == meta["order"].tolist()
        assert torch.equal(torch.stack([c["coef"] for c in other], -2), S)


# --- gradients, compilers, copies -------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [dict(J=2, shape=16), dict(J=5, shape=40, T=32, Q=2), dict(J=2, shape=16, T="global")],
    ids=str,
)
def test_gradcheck(arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = Scattering1D(**arguments).double()
    x = torch.randn(2, *module.shape, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(module, (x,))


def test_gradient_without_an_average():
    module = Scattering1D(2, 48, 2, T=0, out_type="dict").double()
    x = torch.randn(48, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: tuple(module(x).values()), (x,))


@pytest.mark.parametrize("T", [None, 0])
def test_copies(T):
    module = Scattering1D(3, 128, 2, T=T, out_type="dict")
    x = torch.randn(2, 128)
    for other in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        for path, S in other(x).items():
            assert torch.equal(S, module(x)[path])
    assert not module.state_dict()
    there_and_back = copy.deepcopy(module).double().float()
    assert torch.equal(there_and_back(x)[(0,)], module(x)[(0,)])


def test_one_graph():
    module = Scattering1D(3, 128, 2)
    x = torch.randn(2, 128)
    compiled = torch.compile(module, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), module(x))
    exported = torch.export.export(module, (x,)).module()
    torch.testing.assert_close(exported(x), module(x))


def test_a_plan_file(tmp_path):
    import capi

    module = Scattering1D(3, 128, 2)
    module.save_plan(tmp_path / "plan.scat")
    plan = capi.Plan(tmp_path / "plan.scat")
    assert parse(plan.program).channels == module.output_shape[0]
    for bad in (dict(T=0), dict(T="global", aliases="sum")):
        with pytest.raises(ValueError, match="save_plan: T must not be 0"):
            Scattering1D(3, 128, **bad).save_plan(tmp_path / "other.scat")
    with pytest.raises(TypeError, match=r"dtype must be torch\.float32"):
        module.save_plan(tmp_path / "other.scat", torch.float16)
    assert not (tmp_path / "other.scat").exists()


def test_a_network_on_it():
    network = hybrid(5, (2, 128), head="mlp", transform=Scattering1D(3, 128, 2))
    assert network(torch.randn(3, 2, 128)).shape == (3, 5)


def test_repr_and_fixed_arguments():
    module = Scattering1D(3, 128, 2, T=0, out_type="list")
    assert "J=3, shape=(128,), Q=(2, 1), T=0" in repr(module)
    for name, value in (("J", 4), ("aliases", "sum"), ("padding", "zeros"), ("stride", 4)):
        with pytest.raises(AttributeError):
            setattr(module, name, value)
    with pytest.raises(AttributeError, match="output_shape"):
        _ = module.output_shape


# --- what is refused --------------------------------------------------------------------------

BAD = [
    (dict(J=0), ValueError, "J must be at least 1; got 0"),
    (dict(J=2.0), TypeError, r"J must be an integer; got 2\.0"),
    (dict(J=30), ValueError, "J must be at most 24"),
    (dict(J=9, T=None), ValueError, "J = 9 and T = 512 need signals longer than 64"),
    # a wavelet between two frequencies of so few; no sample left where one ends
    (dict(J=6, shape=4, T=0), ValueError, "J = 6 and T = 64 need signals longer than 4 samples"),
    (dict(J=9, shape=16, T=1), ValueError, "J = 9 and T = 1 need signals longer than 16 samples"),
    (dict(J=4, shape=4, T=0, Q=(8, 2)), ValueError, "need signals longer than 4 samples"),
    (dict(shape=(64, 2)), ValueError, r"shape must be an integer or \(N,\); got \(64, 2\)"),
    (dict(shape="64"), TypeError, "shape must be an integer; got '64'"),
    (dict(shape=1), ValueError, "shape must be between 2 and"),
    (dict(Q=0), ValueError, "Q must be between 1 and .*; got 0"),
    (dict(Q=(1, 2, 3)), ValueError, r"Q must be an integer or a tuple .*; got \(1, 2, 3\)"),
    (dict(Q=()), ValueError, r"Q must be an integer or a tuple .*; got \(\)"),
    (dict(T=65), ValueError, "T must be 0, or between 1 and the length N = 64"),
    (dict(T=0.5), ValueError, r"T must be 0, or between 1 .*; got 0\.5"),
    (dict(T="all"), TypeError, "T must be a number, 'global' or None; got 'all'"),
    (dict(T=float("nan")), TypeError, "T must be a number"),
    (dict(T=0, average=True), ValueError, "average must not be True where T = 0"),
    (dict(average=False), ValueError, "average must not be False where T = 4"),
    (dict(average=1), TypeError, "average must be a bool or None; got 1"),
    (dict(max_order=-1), ValueError, "max_order must be between 0 and"),
    (dict(oversampling=-1), ValueError, "oversampling must be between 0 and"),
    (dict(stride=3), ValueError, "stride must be a power of two; got 3"),
    (dict(stride=8), ValueError, "stride must be at most T = 4; got 8"),
    (dict(stride=2, oversampling=1), ValueError, "stride and oversampling say the same"),
    (dict(J=24, Q=(4096, 8), T=None), ValueError, "the number of paths must be at most"),
    (dict(T=0, stride=2), ValueError, "stride must be None where T is 0"),
    (dict(out_type="tuple"), ValueError, "out_type must be one of 'array', 'list', 'dict'"),
    (dict(backend="numpy"), ValueError, "backend must be one of 'native'"),
    (dict(aliases="max"), ValueError, "aliases must be one of 'mean', 'sum'; got 'max'"),
    (dict(padding="edge"), ValueError, "padding must be one of 'reflect'"),
    (dict(criterion="j"), ValueError, "criterion must be one of 'scale', 'frequency'; got 'j'"),
    (dict(tier="best"), ValueError, "tier must be one of"),
    (dict(workspace=0), ValueError, "workspace must be at least 1"),
    (dict(paths=[]), ValueError, "paths must choose at least one"),
    (dict(paths=[(0,), (0,)]), ValueError, "each once; got one twice"),
    (dict(paths=[(99,)]), ValueError, r"paths must be among meta\(\)\['key'\]; got \(99,\)"),
    (dict(paths=[("a",)]), TypeError, "a number in paths must be an integer; got 'a'"),
    (dict(paths=5), TypeError, "paths must be a list of tuples"),
    (dict(paths=len), ValueError, r"paths\(meta\) must be a mask of bool"),
]


@pytest.mark.parametrize(("changed", "error", "message"), BAD, ids=str)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_bad_argument(changed, error, message):
    with pytest.raises(error, match=message):
        Scattering1D(**dict(J=2, shape=64, T=4) | changed)


def test_bad_input():
    module = Scattering1D(3, 128)
    for x, error, message in (
        (np.zeros(64), TypeError, "x must be a torch.Tensor; got ndarray"),
        (torch.zeros(63), ValueError, r"x must have shape \(..., 128\); got \(63,\)"),
        (torch.zeros(()), ValueError, r"x must have shape \(..., 128\); got \(\)"),
        (torch.zeros(128, dtype=torch.complex64), ValueError, "x must be real"),
        (torch.zeros(128).double(), TypeError, "x must be float32 as the module is"),
    ):
        with pytest.raises(error, match=message):
            module(x)
    with pytest.raises(ValueError, match="Cannot convert to out_type='array' where nothing is"):
        Scattering1D(3, 128, T=0)(torch.zeros(128))


def test_tables_keep_what_is_not_negligible():
    module = Scattering1D(6, 8192, 8)
    assert module._psi_0.numel() < 17 * module._plan.padded  # of 46 filters and 11 more
    assert module._phi_0.numel() < 3 * module._plan.padded


@pytest.mark.parametrize("T", [None, 0])
def test_long_signals(T):
    """A low-pass keeps one of its rows, however many there are."""
    N, at = 1 << 19, 3 << 17
    paths = [(9,), (9, 5)]
    long = Scattering1D(6, N, 4, T=T, out_type="dict", paths=paths)
    short = Scattering1D(6, 1 << 14, 4, T=T, out_type="dict", paths=paths).double()
    assert sum(t.nbytes for t in vars(long).values() if isinstance(t, torch.Tensor)) < 64 << 20
    x = torch.randn(N, generator=torch.Generator().manual_seed(0))
    found = long(x)
    for path, wanted in short(x[at : at + (1 << 14)].double()).items():
        rate = found[path].shape[-1] / N
        piece = found[path][int(at * rate) :][: wanted.shape[-1]]
        inside = slice(wanted.shape[-1] // 4, -wanted.shape[-1] // 4)
        assert float((piece - wanted)[inside].abs().max() / wanted.max()) < 2e-6


def test_too_short_for_its_average():
    with pytest.warns(UserWarning, match="signals of 40 samples are too short for T = 32"):
        Scattering1D(5, 40, T=32)


@pytest.mark.parametrize("N", [2, 3, 5, 16, 40])
@pytest.mark.filterwarnings("ignore:Scattering1D. signals of")
def test_any_number_of_samples_is_enough_or_refused(N):
    refused = 0
    for J, T, Q, padding in itertools.product(
        (1, 3, 4, 6, 9, 12), (0, 1, 2), (1, 8, (8, 2)), ("reflect", "periodic")
    ):
        try:
            module = Scattering1D(J, N, Q, T=T, padding=padding, out_type="list")
        except ValueError as error:
            assert f"need signals longer than {N} samples" in str(error)
            refused += 1
        else:
            for path in module(torch.ones(N)):
                assert path["coef"].numel() > 0
                assert path["coef"].isfinite().all()
    assert 0 < refused < 108


def test_too_long_with_its_padding():
    with pytest.raises(
        ValueError, match="the padded length must be at most 16777216; got 33554432"
    ):
        Scattering1D(3, 2**24)
    with pytest.raises(ValueError, match="shape must be between 2 and 16777216; got 16777217"):
        Scattering1D(3, 2**24 + 1)


def test_a_refused_assignment_changes_nothing():
    module = Scattering1D(14, 1 << 14)
    before = module.meta()["order"].tolist()
    with pytest.raises(ValueError):
        module.max_order = 14
    assert module.max_order == 2 and module.meta()["order"].tolist() == before
    assert module(torch.randn(1 << 14)).shape == module.output_shape


@pytest.mark.parametrize("how", [{"T": "global"}, {"T": 20, "stride": 2}, {}], ids=str)
def test_averaging_is_switched_off_and_on(how):
    module, x = Scattering1D(3, 64, **how), torch.randn(64)
    wanted, module.out_type = module(x), "dict"
    module.average = False
    module.average = True
    module.out_type = "array"
    assert torch.equal(module(x), wanted)


def test_copies_are_as_the_module_is():
    module = Scattering1D(3, 64, max_order=3).half().eval()
    module.max_order = 1
    x = torch.randn(100)
    for again in (module.of_length(100), module.of_paths([(), (0,)])):
        assert not again.training and again._like.dtype == torch.float16
    assert torch.equal(module.of_length(100)(x), Scattering1D(3, 100, max_order=1)(x))
    assert Scattering1D(4, 64).of_length(13)(x[:13]).shape == Scattering1D(4, 13).output_shape
    assert Scattering1D(4, 13).of_paths([(0,)]).output_shape[0] == 1
    learned = Scattering1D(3, 64, trainable="wavelets").freeze().of_length(100)
    assert learned.learned.frozen and not any(p.requires_grad for p in learned.parameters())
