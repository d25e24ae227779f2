"""TimeFrequencyScattering: against Kymatio's development branch, where it computes something;
against the interpreter; what Kymatio gets wrong; paths; the module's life; mistakes."""

import copy
import importlib
import math
import pickle
import warnings
from pathlib import Path

import kymatio_development as development
import numpy as np
import pytest
import torch
from oracle import relative_error

from scatcuda import Scattering1D, TimeFrequencyScattering

pytestmark = pytest.mark.filterwarnings("ignore:.*too short for T")  # of 128 samples T = 16
KYMATIO = np.load(Path(development.__file__).with_suffix(".npz"))
SMALL = dict(J=4, J_fr=2, Q=4, shape=128)


def signal():
    return torch.from_numpy(development.signal()[-128:].copy())


def close(found, expected, bound):
    assert found.shape == expected.shape
    assert relative_error(found, expected) <= bound


@pytest.mark.parametrize("backend", ["native", "reference"])
@pytest.mark.parametrize("name", development.JOINT)
def test_kymatio(name, backend):
    S = TimeFrequencyScattering(**development.joint(name), backend=backend)
    for dtype, bound in ((torch.float64, 1e-12), (torch.float32, 2e-6)):
        found = S.to(dtype)(signal().to(dtype))
        assert S.out_type == "dict" or S.output_shape == found.shape
        if S.out_type == "array":
            found = {(): found}
        prefix = f"joint {name}"
        stored = [key for key in KYMATIO if key == prefix or key.startswith(f"{prefix}/")]
        assert len(stored) == len(found)
        for path, ours in found.items():
            close(ours, torch.from_numpy(KYMATIO["/".join([prefix, *map(str, path)])]), bound)


@pytest.mark.parametrize("options", [{}, {"F": 0}, {"T": "global"}, {"F": "global"}], ids=str)
@pytest.mark.parametrize("format", ["time", "joint"])
def test_channels_are_what_meta_says(format, options):
    """Kymatio's table is sorted otherwise than its channels in format "time"."""
    S = TimeFrequencyScattering(**SMALL, **options, format=format, out_type="dict")
    named, meta = S(signal().float()), S.meta()
    assert list(named) == meta["key"]
    listed = TimeFrequencyScattering(**SMALL, **options, format=format, out_type="list")
    for row, (path, coef) in zip(listed(signal().float()), named.items(), strict=True):
        assert row["n"] == path and torch.equal(row["coef"], coef)
        c = meta["key"].index(path)
        assert row["order"] == meta["order"][c]
        if path:
            assert (row["n_fr"][0], row["spin"]) == (meta["n_fr"][c], meta["spin"][c])
            assert row["j_fr"][0] == meta["j_fr"][c]
            assert row["j"][-1] == (-1 if row["order"] == 1 else meta["j"][c, 1])
    if format == "time":
        S.out_type = "array"
        stacked = S(signal().float())
        assert all(torch.equal(stacked[c], coef) for c, coef in enumerate(named.values()))
        first = Scattering1D(4, 128, Q=4).meta()
        rows = [c for c, key in enumerate(meta["key"]) if len(key) > 1]
        for c in rows:
            n1 = int(meta["n"][c, 0])
            assert meta["xi"][c, 0] == first["xi"][1 + n1, 0]
    orders = [int(order) for order in meta["order"]]
    assert S.output_size(detail=True) == tuple(orders.count(k) for k in range(3))
    assert S.output_size() == len(orders)


def test_what_has_no_average_has_its_own_length():
    """Kymatio's coefficients of order 1 are empty then."""
    x = signal().float()
    for format in ("time", "joint"):
        S = TimeFrequencyScattering(**SMALL, T=0, F=0, format=format, out_type="list")
        for row in S(x):
            length = 128 if not row["n"] else 128 >> (row["j"][-1] if row["order"] == 2 else 4)
            assert row["coef"].shape[-1] == length
        # order 1 is of what is averaged over 2^J
        whole = TimeFrequencyScattering(**SMALL, F=0, format=format, out_type="dict")(x)
        named = {row["n"]: row["coef"] for row in S(x)}
        for path, coef in whole.items():
            if path and (len(path) == 1 or (format == "time" and len(path) == 2)):
                torch.testing.assert_close(named[path], coef)
        assert torch.equal(named[()], x) and named[()].data_ptr() != x.data_ptr()


def test_sums_over_all_log_frequencies():
    """Where Kymatio cannot stack them: of either spin and of none."""
    x = signal().double()
    S = TimeFrequencyScattering(**SMALL, format="joint", F="global").double()
    planes = TimeFrequencyScattering(**SMALL, format="joint", F=0, out_type="dict").double()
    assert S(x).shape == S.output_shape == (18, 1, 8)
    whole = planes._averaged(x, 0)  # with the places behind the last n1
    kept = {path: row for path, row in zip(S.meta()["key"], S(x), strict=True)}
    for planes_ in planes._laid.joints[0].planes:
        places = planes._plan.padded >> planes_.kind.resolution
        for i, path in enumerate(planes_.paths):
            first = planes_.first + i * places
            torch.testing.assert_close(kept[path][0], whole[first : first + places].sum(0))
    coarse = TimeFrequencyScattering(**SMALL, format="joint", F=8)
    assert coarse(x.float()).shape == coarse.output_shape == (18, 7, 8)
    for T in ("global", None):
        found = TimeFrequencyScattering(**SMALL, format="joint", T=T)
        assert found(x.float()).shape == found.output_shape


def test_narrow_averages_keep_every_place():
    """Of the low-pass along log-frequency Kymatio lists as many places as of a wider average, and
    names them wrongly; here they are those of format "joint"."""
    x = signal()
    options = SMALL | {"F": 2}
    time = TimeFrequencyScattering(**options, out_type="dict").double()(x)
    joint = TimeFrequencyScattering(**options, format="joint").double()
    for path, row in zip(joint.meta()["key"], joint(x), strict=True):
        for n1 in joint.meta()["n"][joint.meta()["key"].index(path), 0]:
            torch.testing.assert_close(time[(n1, *path)], row[n1 // 2])


def test_spins_tell_rising_chirps_from_falling_ones():
    t = torch.arange(4096.0) / 4096
    rising = torch.sin(2 * math.pi * (80 * t + 600 * t**2)) * torch.hann_window(4096)
    S = TimeFrequencyScattering(J=8, J_fr=3, Q=8, shape=4096, format="joint")
    meta = S.meta()
    energy = {}
    for name, x in (("up", rising), ("down", rising.flip(0))):
        sums = S(x).square().sum((1, 2)).numpy()
        energy[name] = [sums[(meta["spin"] == s) & (meta["order"] == 2)].sum() for s in (1, -1)]
    up, down = energy["up"], energy["down"]
    assert max(up) > 10 * min(up)
    np.testing.assert_allclose(up, down[::-1], rtol=0.1)


@pytest.mark.parametrize(
    "options",
    [
        dict(J=6, J_fr=3, Q=8, shape=4096),
        dict(J=5, J_fr=2, Q=4, shape=1000, T="global"),
        dict(J=3, J_fr=1, Q=2, shape=100),
        dict(J=4, J_fr=2, Q=3, shape=300, T=8, F=2),  # whose low-pass keeps every frequency
        dict(J=7, J_fr=3, Q=(8, 2), shape=5000, stride_fr=1, padding="zeros"),
        dict(J=5, J_fr=2, Q=4, shape=1000, F="global", format="joint", stride=4),
    ],
    ids=str,
)
def test_against_the_interpreter(options):
    x = torch.randn(3, options["shape"], dtype=torch.float64, requires_grad=True)
    expected = TimeFrequencyScattering(**options, backend="reference").double()(x)
    g = torch.randn_like(expected)
    (to_x,) = torch.autograd.grad(expected, x, g)
    for dtype, bound in ((torch.float64, 1e-13), (torch.float32, 2e-6)):
        S = TimeFrequencyScattering(**options).to(dtype)
        given = x.detach().to(dtype).requires_grad_()
        found = S(given)
        (back,) = torch.autograd.grad(found, given, g.to(dtype))
        close(found, expected, bound)
        close(back, to_x, bound)


def test_gradients():
    options = dict(J=2, J_fr=1, Q=2, shape=20)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is short
        S = TimeFrequencyScattering(**options).double()
    x = torch.randn(2, 20, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(S, x)


@pytest.mark.parametrize("value", [0.0, 1.0])
@pytest.mark.parametrize("backend", ["native", "reference"])
def test_gradients_of_what_is_constant_are_finite(value, backend):
    x = torch.full((2, 128), value, requires_grad=True)
    TimeFrequencyScattering(**SMALL, backend=backend)(x).sum().backward()
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("format", ["time", "joint"])
def test_paths(format):
    """Some of them alone, as losses draw them."""
    x = signal().float()
    whole = TimeFrequencyScattering(**SMALL, format=format, out_type="dict")(x)
    every = TimeFrequencyScattering(**SMALL).joint_meta()["key"]
    for paths in ([every[-1]], [every[1], every[-2]], [()], every[::3], every):
        if paths == [()] and format == "joint":
            continue  # Kymatio's array of this format leaves order 0 out
        S = TimeFrequencyScattering(**SMALL, format=format, paths=paths, out_type="dict")
        found = S(x)
        # of format "time" a path begins with n1
        keys = [key for key in whole if (key[1:] if format == "time" else key) in paths]
        assert list(found) == keys
        for key, coef in found.items():
            torch.testing.assert_close(coef, whole[key], rtol=2e-6, atol=1e-6)
        S.out_type = "array"
        assert S(x).shape == S.output_shape
    up = TimeFrequencyScattering(**SMALL, paths=lambda meta: meta["spin"] > 0)
    assert set(up.meta()["spin"]) == {1} and up(x).shape == up.output_shape


def test_any_batch_and_strides():
    S = TimeFrequencyScattering(**SMALL)
    x = torch.randn(2, 128, 3).movedim(1, -1)
    assert not x.is_contiguous()
    assert torch.equal(S(x), S(x.contiguous()))
    assert S(x).shape == (2, 3, *S.output_shape) and S(x[:0]).shape == (0, 3, *S.output_shape)
    assert torch.equal(S(x[1, 2]), S(x)[1, 2])
    assert S(x.half()).dtype == torch.float32 and S(torch.ones(128, dtype=torch.int)).ndim == 2


def test_threads_give_the_same_bits():
    S = TimeFrequencyScattering(**SMALL)
    x = torch.randn(9, 128, requires_grad=True)
    g = torch.randn(9, *S.output_shape)
    found, before = [], torch.get_num_threads()
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            y = S(x)
            found.append((y, *torch.autograd.grad(y, x, g)))
    finally:
        torch.set_num_threads(before)
    assert all(map(torch.equal, *found))


def test_as_a_module():
    S, x = TimeFrequencyScattering(**SMALL), signal().float()
    expected = S(x)
    assert not S.state_dict() and not list(S.parameters())
    for again in (copy.deepcopy(S), pickle.loads(pickle.dumps(S)), S.double().float()):
        assert torch.equal(again(x), expected)
    compiled = torch.compile(S, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), expected)
    exported = torch.export.export(S, (x,))
    assert torch.equal(exported.module()(x), expected)
    torch.testing.assert_close(torch.func.vmap(S)(x.expand(3, 128))[2], expected)
    S.format = "joint"
    joint = TimeFrequencyScattering(**SMALL, format="joint")
    assert torch.equal(S(x), joint(x)) and S.output_shape == joint.output_shape
    with pytest.raises(AttributeError, match="J_fr is fixed when the module is built"):
        S.J_fr = 2
    with pytest.raises(ValueError, match="format must be one of 'time', 'joint'"):
        S.format = "other"
    assert S.format == "joint" and "J_fr=2" in repr(S)
    S.backend = "reference"
    torch.testing.assert_close(S(x), joint(x))
    with pytest.raises(ValueError, match="TimeFrequencyScattering: backend must be one of"):
        S.backend = "skcuda"


@pytest.mark.parametrize(
    ("options", "error", "told"),
    [
        (dict(J=0), ValueError, "J must be"),
        (dict(J_fr=0), ValueError, "J_fr must be"),
        (dict(J_fr=1.5), TypeError, "J_fr must be"),
        (dict(J_fr=20), ValueError, "at most"),
        (dict(Q=0), ValueError, "Q must be"),
        (dict(Q=(1, 1, 1)), ValueError, "Q must be an integer or a tuple"),
        (dict(shape=(8, 8)), ValueError, "shape must be an integer"),
        (dict(shape=8), ValueError, "need signals longer than 8 samples"),
        (dict(shape=1 << 24), ValueError, "the padded length must be at most"),
        (dict(T=1000), ValueError, "T must be 0, or between 1 and the length N = 128"),
        (dict(T="all"), TypeError, "T must be a number, 'global' or None"),
        (dict(F=1000), ValueError, r"F must be 0, or between 1 and \(J \+ 1\) Q = 20; got 1000"),
        (dict(F=0.5), ValueError, "F must be"),
        (dict(F=True), TypeError, "F must be a number"),
        (dict(stride=3), ValueError, "stride must be a power of two; got 3"),
        (dict(stride=64), ValueError, "stride must be at most T = 16"),
        (dict(stride_fr=3), ValueError, "stride_fr must be a power of two"),
        (dict(stride_fr=8), ValueError, "stride_fr must be at most F = 4"),
        (dict(stride_fr=1, F=0), ValueError, "stride_fr must be None where F is 0 or 'global'"),
        (dict(Q_fr=0), ValueError, "Q_fr must be"),
        (dict(Q_fr=(1, 1)), ValueError, "Q_fr must be an integer or"),
        (dict(out_type="tuple"), ValueError, "out_type must be one of"),
        (dict(format="space"), ValueError, "format must be one of"),
        (dict(backend="skcuda"), ValueError, "backend must be one of"),
        (dict(padding="mirror"), ValueError, "padding must be one of"),
        (
            dict(paths=[(99,)]),
            ValueError,
            r"paths must be among joint_meta\(\)\['key'\]; got \(99,\)",
        ),
        (dict(J=4, shape=4, T=0), ValueError, "J = 4 and T = 16 need signals longer than 4"),
        (dict(J=9, shape=16, T=2), ValueError, "J = 9 and T = 2 need signals longer than 16"),
        (dict(paths=[]), ValueError, "paths must choose at least one"),
        (dict(paths=3), TypeError, "paths must be a list of tuples"),
        (dict(tier="fast"), ValueError, "tier must be one of"),
        (dict(workspace=0), ValueError, "workspace must be"),
    ],
    ids=str,
)
def test_mistakes(options, error, told):
    with pytest.raises(error, match=f"TimeFrequencyScattering: .*{told}"):
        TimeFrequencyScattering(**(SMALL | options))


def test_arguments_are_named():
    """Kymatio's order has changed, and may change back."""
    with pytest.raises(TypeError, match="positional"):
        TimeFrequencyScattering(4, 2, 4, 128)


def test_what_cannot_be_stacked():
    x = signal().float()
    with pytest.raises(ValueError, match="Cannot convert to out_type='array'"):
        TimeFrequencyScattering(**SMALL, T=0)(x)
    with pytest.raises(ValueError, match="Cannot convert to format='joint'"):
        TimeFrequencyScattering(**SMALL, F=0, format="joint")(x)


def test_order_0_alone_has_no_axis_of_log_frequency():
    S = TimeFrequencyScattering(**SMALL, format="joint", paths=[()])
    with pytest.raises(ValueError, match="leaves order 0 out, and paths chooses nothing else"):
        S(signal().float())
    S.out_type = "dict"
    assert list(S(signal().float())) == [()]


@pytest.mark.parametrize("format", ["time", "joint"])
def test_as_features(format):
    from scatcuda.learn import ScatteringTransformer

    S = TimeFrequencyScattering(**SMALL, format=format)
    transformer = ScatteringTransformer(scattering=S, pool="mean", log=True)
    rows = transformer.fit_transform(np.random.default_rng(0).normal(size=(3, 128)))
    names = transformer.get_feature_names_out().tolist()
    assert rows.shape == (3, len(S.meta()["key"])) == (3, len(set(names)))
    assert names[-1] == ("n4_fr6" if format == "joint" else "n8_n4_fr6")


def test_wrong_input():
    S = TimeFrequencyScattering(**SMALL)
    for x, error, told in (
        (np.zeros(128), TypeError, "must be a torch.Tensor"),
        (torch.zeros(127), RuntimeError, r"shape \(\.\.\., 128\); got \(127,\)"),
        (torch.tensor(1.0), RuntimeError, "at least one axis"),
        (torch.zeros(128, dtype=torch.complex64), RuntimeError, "must be real"),
        (torch.zeros(128, dtype=torch.float64), TypeError, "must be float32"),
    ):
        with pytest.raises(error, match=f"TimeFrequencyScattering: .*{told}"):
            S(x)


def test_too_short_a_signal_is_told():
    with pytest.warns(UserWarning, match="TimeFrequencyScattering: signals of 20 samples"):
        TimeFrequencyScattering(J=3, J_fr=1, Q=2, shape=20)


# --- in place of Kymatio's ---------------------------------------------------------------------


@pytest.fixture
def development_class(monkeypatch):
    """A stand-in for the class of Kymatio's development branch, which 0.3.0 has not."""
    theirs = pytest.importorskip("kymatio.torch")
    frontend = importlib.import_module("kymatio.scattering1d.frontend.torch_frontend")
    kymatio = importlib.import_module("scatcuda.frontends.kymatio")

    class TimeFrequencyScatteringTorch(torch.nn.Module):
        def __init__(self, J, J_fr, Q, shape, T=None, stride=None, Q_fr=1, F=None, stride_fr=None,
                     out_type="array", format="time", backend="torch"):  # fmt: skip
            super().__init__()
            self.own = True

    kind = TimeFrequencyScatteringTorch
    kind.__module__ = frontend.__name__
    monkeypatch.setattr(frontend, kind.__name__, kind, raising=False)
    monkeypatch.setattr(theirs, "TimeFrequencyScattering", kind, raising=False)
    monkeypatch.setattr(theirs, "__all__", [*theirs.__all__, "TimeFrequencyScattering"])
    kymatio._both.cache_clear()
    yield kind
    kymatio._both.cache_clear()


@pytest.mark.filterwarnings("ignore:.*sph_harm")
def test_accelerated(development_class):
    """What the branch itself computes is in tests/kymatio_development.npz."""
    from scatcuda.kymatio import FallbackWarning, accelerate

    x = signal().float()
    with accelerate():
        ours = development_class(4, 2, 4, 128, format="joint")  # by position, as theirs
        again = pickle.loads(pickle.dumps(ours))
        with pytest.warns(FallbackWarning, match="stride_fr below 2.J_fr; got 1"):
            assert development_class(4, 2, 4, 128, stride_fr=1).own
    assert isinstance(ours, development_class) and isinstance(ours, TimeFrequencyScattering)
    expected = TimeFrequencyScattering(**SMALL, format="joint")(x)
    assert torch.equal(ours(x), expected) and torch.equal(again(x), expected)
    assert torch.equal(ours.scattering(x), expected)
    assert development_class(4, 2, 4, 128).own
    signals = Scattering1D(4, 128, Q=4, aliases="sum")
    for name in ("pad_left", "pad_right", "ind_start", "ind_end", "log2_T"):
        assert getattr(ours, name) == getattr(signals, name)
    assert (ours.log2_stride, ours.log2_stride_fr, ours._N_padded_fr, ours.max_order) == (
        4,
        2,
        52,
        2,
    )
    for made, others in (
        (ours.psi1_f, signals.psi1_f),
        (ours.psi2_f, signals.psi2_f),
        ([ours.phi_f], [signals.phi_f]),
    ):
        for one, other in zip(made, others, strict=True):
            assert one["j"] == other["j"]
            assert len(one["levels"]) == len(other["levels"])
            assert all(map(torch.equal, one["levels"], other["levels"]))
    average, bank = ours.filters_fr
    assert [psi["xi"] for psi in bank] == [psi.xi for psi in ours._plan.bank]
    assert average["j"] == 2 and len(average["levels"][1]) == 26
    ours.backend = "torch"
    with accelerate():
        narrow = development_class(4, 2, 4, 128, stride_fr=1, format="joint")
    expected = narrow(x)
    with pytest.raises(ValueError, match="stride_fr below"):
        narrow.format = "time"
    assert narrow.format == "joint" and torch.equal(narrow(x), expected)
    names = [name for name in ours.state_dict() if name.startswith("tensor")]
    levels = [f["levels"] for f in (ours.phi_f, *ours.psi1_f, *ours.psi2_f, average, *bank)]
    assert len(names) == sum(map(len, levels))
    ours.load_state_dict(ours.state_dict())


def test_paths_of_signals_shorter_than_the_windows():
    """What the constructor takes by default, it takes again."""
    for how in (
        {"J": 3, "J_fr": 3, "Q": 1, "shape": 64}, {"J": 4, "J_fr": 2, "Q": 4, "shape": 13},
        {"J": 4, "J_fr": 2, "Q": 4, "shape": 64, "F": 3, "T": 20},
    ):  # fmt: skip
        module, x = TimeFrequencyScattering(**how), torch.randn(how["shape"])
        path = TimeFrequencyScattering(**how, format="joint").meta()["key"][-1]
        wanted = TimeFrequencyScattering(**how, paths=[path])(x)
        assert torch.equal(module.eval().of_paths([path])(x), wanted)
        assert not module.of_paths([path]).training
