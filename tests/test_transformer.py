"""ScatteringTransformer and pooling: against the bare module, in scikit-learn, under rotation."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.linear_model import RidgeClassifier, RidgeClassifierCV
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_checks

from scatcuda import Cascade, Scattering1D, Scattering2D
from scatcuda.learn.extraction.pooling import KINDS, Pool, pool
from scatcuda.learn.extraction.transformer import ScatteringTransformer


def images(n: int = 5, *shape: int) -> np.ndarray:
    return np.random.RandomState(0).randint(0, 256, (n, *(shape or (16, 12)))).astype(np.uint8)


def bare(x: np.ndarray, **arguments) -> torch.Tensor:
    scattering = Scattering2D(arguments.pop("J", 2), x.shape[-2:], **arguments)
    return scattering(torch.from_numpy(x).float() / 255)


class Lazy:
    """What an image folder looks like: a length, a shape, slices; it counts what is read."""

    def __init__(self, x: np.ndarray):
        self.x, self.shape, self.dtype, self.most = torch.from_numpy(x), x.shape, torch.uint8, 0

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: slice) -> torch.Tensor:
        part = self.x[index]
        self.most = max(self.most, len(part))
        return part


@pytest.mark.parametrize("shape", [(16, 12), (3, 16, 12)])
@pytest.mark.parametrize("batch_size", [1, 2, 5, 64])
def test_it_is_the_module_flattened(shape, batch_size):
    x = images(5, *shape)
    rows = ScatteringTransformer(J=2, batch_size=batch_size).fit_transform(x)
    assert isinstance(rows, np.ndarray) and rows.dtype == np.float32
    assert np.array_equal(rows, bare(x).flatten(1).numpy())


def test_every_form_of_the_same_images_gives_the_same_rows():
    x = images()
    transformer = ScatteringTransformer(J=2, batch_size=2).fit(x)
    rows = transformer.transform(x)
    pixels = x.astype(np.float32) / 255
    tensor = transformer.transform(torch.from_numpy(x))
    assert isinstance(tensor, torch.Tensor) and np.array_equal(tensor.numpy(), rows)
    lazy = Lazy(x)
    assert np.array_equal(transformer.transform(lazy), rows) and lazy.most == 2
    assert np.array_equal(transformer.transform(pixels), rows)
    assert np.array_equal(transformer.transform(pixels[::-1]), rows[::-1])
    assert np.allclose(transformer.transform(pixels.tolist()), rows, atol=1e-6)
    flat = ScatteringTransformer(J=2, shape=(16, 12)).fit_transform(x.reshape(5, -1))
    assert np.array_equal(flat, rows)
    read_only = pixels.copy()
    read_only.flags.writeable = False
    assert np.array_equal(transformer.transform(read_only), rows)
    assert transformer.transform(x[:0]).shape == (0, rows.shape[1])


def test_dtypes():
    x = images()
    exact = ScatteringTransformer(J=2, dtype="float64").fit_transform(x)
    assert exact.dtype == np.float64
    double = Scattering2D(2, (16, 12)).double()(torch.from_numpy(x).double() / 255)
    assert np.array_equal(exact, double.flatten(1).numpy())
    half = ScatteringTransformer(J=2, dtype="float16").fit_transform(x)
    assert half.dtype == np.float16
    assert np.abs(half - exact).max() < 2.0**-11 * np.abs(exact).max()


def test_orders_beyond_two():
    J, L = 3, 2
    scattering = Scattering2D(J, (16, 16), L, max_order=3)
    S = scattering(torch.rand(4, 16, 16))
    layer = Pool("rotation", J, L, 3, log=True)
    assert layer(S).shape == (4, layer.channels) and layer.channels == 1 + 3 + 3 * 2 + 4
    n, P = scattering.meta()["n"].tolist(), pool(S, "rotation", J, L, 3)
    turned = [n.index([0, 3, 5]), n.index([1, 2, 4])]  # both wavelets after the first turned by one
    torch.testing.assert_close(P[:, -1], S[:, turned].mean((1, 2, 3)))
    for kind, last in (
        ("rotation", "j0_j1_j2_turn1_turn1"),
        ("mean", "j0_theta1_j1_theta1_j2_theta1"),
    ):
        rows = ScatteringTransformer(J, L, 3, kind).fit(np.zeros((1, 16, 16)))
        names = rows.get_feature_names_out().tolist()
        assert names[-1] == last and len(set(names)) == rows.n_features_out


@pytest.mark.parametrize("max_order", [0, 1, 2])
@pytest.mark.parametrize("kind", [None, "mean", "rotation"])
def test_pooling_is_its_definition(kind, max_order):
    J, L = 3, 4
    scattering = Scattering2D(J, (24, 16), L, max_order)
    S, meta = scattering(torch.rand(2, 24, 16)), scattering.meta()
    P = pool(S, kind, J, L, max_order)
    assert Pool(kind, J, L, max_order).channels == P.shape[1]
    if kind is None:
        assert P is S
        return
    mean = S.mean((-2, -1))
    if kind == "mean":
        assert torch.equal(P, mean)
        return
    order, j, theta = (torch.from_numpy(meta[name]) for name in ("order", "j", "theta"))
    expected = [mean[:, 0]]
    for j1 in range(J) if max_order > 0 else ():
        expected.append(mean[:, (order == 1) & (j[:, 0] == j1)].mean(1))
    for j1 in range(J) if max_order > 1 else ():
        for j2 in range(j1 + 1, J):
            for d in range(L):
                turned = (theta[:, 1] - theta[:, 0]) % L == d
                chosen = (order == 2) & (j[:, 0] == j1) & (j[:, 1] == j2) & turned
                assert int(chosen.sum()) == L
                expected.append(mean[:, chosen].mean(1))
    assert torch.allclose(P, torch.stack(expected, 1), atol=1e-6)


@pytest.mark.parametrize("turn", range(1, 6))
def test_rotation_pooling_does_not_see_a_turn_of_the_paths(turn):
    J, L = 3, 6
    plan = Scattering2D(J, (8, 8), L)._plan
    S = torch.rand(2, plan.channels, 1, 1)
    turned = [tuple(n // L * L + (n + turn) % L for n in path) for path in plan.paths]
    moved = S[:, [plan.paths.index(path) for path in turned]]
    assert not torch.equal(moved, S)
    assert torch.allclose(pool(moved, "rotation", J, L), pool(S, "rotation", J, L))


@pytest.mark.parametrize("log", [False, True])
def test_rotation_pooling_does_not_see_a_quarter_turn(log):
    # Black around: the edges play no part. Then a turn about the padded image's pixel (0, 0), here
    # (65, 65) mod 136 of the image, keeps the grid on which coefficients are sampled.
    x = np.zeros((2, 129, 129))
    x[:, 49:80, 49:80] = np.random.RandomState(0).rand(2, 31, 31)
    x[0, 60] += 1  # with a direction
    turned, changes = np.roll(np.rot90(x, axes=(1, 2)), 2, axis=1), {}
    for kind in ("mean", "rotation"):
        transformer = ScatteringTransformer(J=2, pool=kind, log=log, dtype="float64").fit(x)
        features = transformer.transform(x)
        difference = transformer.transform(turned) - features
        changes[kind] = np.abs(difference).max() / np.abs(features[:, 1:]).max()
    assert changes["rotation"] < 1e-5 and changes["mean"] > 0.02, changes


def test_log_leaves_order_0_and_is_finite():
    S = torch.tensor([-2.0, 0.0, *[1.0] * 7, *[-1e-9] * 8])[:, None, None].expand(17, 2, 2)
    P = Pool("mean", J=2, max_order=1, log=True, eps=1e-3)(S)
    assert P[0] == -2 and torch.allclose(P[1], torch.tensor(1e-3).log())
    assert P[2].abs() < 2e-3 and torch.allclose(P[-1], torch.tensor(1e-3).log())


def test_the_epsilon_of_log_follows_the_scale_of_the_data():
    x = np.random.RandomState(0).rand(200, 8, 8)
    x[:, 0, 0] = 0
    eps = [ScatteringTransformer(J=1, log=True).fit(scale * x).eps_ for scale in (1.0, 1000.0)]
    assert np.allclose(eps[0], 1e-6 * np.sqrt((x**2).mean()), rtol=0.05)
    assert np.allclose(eps[1], 1000 * eps[0])
    blank = ScatteringTransformer(J=1, log=True).fit_transform(np.zeros((1, 8, 8)))
    assert np.isfinite(blank).all()


def test_names_tell_the_paths():
    x = images(2, 3, 16, 16)
    transformer = ScatteringTransformer(J=2, L=2).fit(x)
    names = transformer.get_feature_names_out()
    assert len(names) == len(set(names)) == transformer.n_features_out
    assert names[0] == "c0_order0_at_0_0" and names[-1] == "c2_j0_theta1_j1_theta1_at_3_3"
    assert names[17] == "c0_j0_theta0_at_0_1"
    mean = ScatteringTransformer(J=2, L=2, pool="mean").fit(x[:, 0]).get_feature_names_out()
    assert mean.tolist()[:3] == ["order0", "j0_theta0", "j0_theta1"]
    turns = ScatteringTransformer(J=2, pool="rotation").fit(x[:, 0]).get_feature_names_out()
    assert turns.tolist()[2:4] == ["j1", "j0_j1_turn0"] and turns[-1] == "j0_j1_turn7"


@pytest.mark.parametrize(
    "check",
    [
        estimator_checks.check_estimator_cloneable,
        estimator_checks.check_estimator_repr,
        estimator_checks.check_estimator_tags_renamed,
        estimator_checks.check_estimators_unfitted,
        estimator_checks.check_get_params_invariance,
        estimator_checks.check_no_attributes_set_in_init,
        estimator_checks.check_set_params,
        estimator_checks.check_valid_tag_types,
    ],
)
def test_scikit_learns_own_checks(check):
    """Those that give no data; the others give rows of so few features that they are no images."""
    check("ScatteringTransformer", ScatteringTransformer(J=2))


def test_cross_validation_chooses_scale_and_pooling():
    X, y = load_digits(return_X_y=True)
    X, y = X[:400], y[:400]
    pipeline = make_pipeline(ScatteringTransformer(J=1, shape=(8, 8)), RidgeClassifier(alpha=1e-2))
    grid = {
        "scatteringtransformer__J": [1, 3],
        "scatteringtransformer__pool": [None, "mean", "rotation"],
    }
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(X, y)
    assert search.best_params_ == {
        "scatteringtransformer__J": 1,
        "scatteringtransformer__pool": None,
    }
    assert search.best_score_ > 0.9


def test_a_pickle_holds_no_filters():
    x = images(2, 64, 64)
    transformer = ScatteringTransformer(J=3).fit(x)
    raw = pickle.dumps(transformer)
    assert len(raw) < 2000
    assert np.array_equal(pickle.loads(raw).transform(x), transformer.transform(x))
    assert "_made" not in clone(transformer).__dict__


def test_the_module_is_made_once():
    x = images()
    transformer = ScatteringTransformer(J=2).fit(x)
    (made,) = transformer._modules(transformer.shape_)
    transformer.fit(x).transform(x)
    assert transformer._modules(transformer.shape_)[0] is made
    assert transformer.set_params(J=1).fit(x)._modules(transformer.shape_)[0] is not made


@pytest.mark.parametrize(
    ("arguments", "x", "words"),
    [
        ({}, images(2, 64), r"X must be images \[n, M, N\].*got \[2, 64\]"),
        ({}, images().astype(np.int64), "X must be uint8, 0 to 255, or floating; got int64"),
        ({}, np.ma.masked_less(images(), 3), "X must have no masked values; got MaskedArray"),
        ({}, [[1.0, 2.0], [3.0]], "X must be an array; got"),
        ({}, images() > 3, "X must be uint8, 0 to 255, or floating; got bool"),
        ({}, images()[:0], "at least one image"),
        ({}, np.full((2, 8, 8), np.nan), "X contains NaN or infinity"),
        ({}, np.full((2, 8, 8), np.inf), "X contains NaN or infinity"),
        ({"J": 5}, images(), "at least 2.J with J = 5"),
        ({"J": 0}, images(), "J must be at least 1; got 0"),
        ({"pool": "max"}, images(), "pool must be one of .*got 'max'"),
        ({"log": 1}, images(), "log must be a bool; got 1"),
        ({"dtype": "bfloat16"}, images(), "dtype must be one of .*got 'bfloat16'"),
        ({"batch_size": 0}, images(), "batch_size must be at least 1; got 0"),
        ({"shape": (8, 8)}, images(), r"images \[n, 8, 8\] or rows \[n, 64\]; got \[5, 16, 12\]"),
        ({"shape": (8,)}, images(), r"shape must be \(M, N\) or \(C, M, N\); got \(8,\)"),
        ({"filters": "haar"}, images(), "filters must be one of"),
        ({"device": "tpu"}, images(), "^ScatteringTransformer: device must be auto, cpu or cuda"),
        ({"device": "cuda:99"}, images(), "^ScatteringTransformer: device='cuda:99', but"),
    ],
)
def test_what_is_refused(arguments, x, words):
    with pytest.raises((TypeError, ValueError), match=words):
        ScatteringTransformer(**{"J": 2} | arguments).fit(x)


@pytest.mark.parametrize("form", [np.array, torch.tensor, list], ids=lambda form: form.__name__)
@pytest.mark.parametrize(
    ("dtype", "brightness", "words"),
    [
        ("float16", 1e5, r" reach 1e\+05, beyond float16, 65504 at most: take dtype='float32'"),
        ("float16", -1e6, r" reach 1e\+06, beyond float16"),
        ("float16", 1e38, ".*beyond float16.*take dtype='float64'"),
        ("float32", 1e38, ".*beyond float32.*take dtype='float64', or scale the images"),
    ],
)
def test_features_beyond_the_dtype_are_an_error(form, dtype, brightness, words):
    """Never an infinity; the image is named wherever it is among the batches."""
    x = np.ones((9, 8, 8))
    for i in range(9):
        bright = x.copy()
        bright[i] = brightness
        bright[8] = brightness
        transformer = ScatteringTransformer(J=2, dtype=dtype, batch_size=4, device="cpu").fit(x)
        with pytest.raises(ValueError, match=rf"features of image {i}{words}"):
            transformer.transform(form(bright.tolist()))


@pytest.mark.parametrize("brightness", [65504.0, -65504.0])
def test_all_that_float16_holds_is_kept(brightness):
    x = np.full((3, 8, 8), brightness) * 0.999
    rows = ScatteringTransformer(J=2, dtype="float16", pool="mean").fit_transform(x)
    assert np.isfinite(rows).all() and abs(rows[0, 0]) > 65000


def test_the_image_that_is_not_finite_is_named():
    x = images(7, 8, 8).astype(np.float64)
    x[:2] = 1e308  # finite, though their sum is not
    transformer = ScatteringTransformer(J=2, batch_size=2, dtype="float64").fit(x[2:])
    x[5, 3, 3] = np.nan
    with pytest.raises(ValueError, match="X contains NaN or infinity in image 5"):
        transformer.transform(x[2:][[0, 1, 2, 0, 0, 3]])
    with pytest.raises(ValueError, match="beyond float64"):
        transformer.transform(x[:2])


def test_other_images_than_fitted_are_refused():
    transformer = ScatteringTransformer(J=2).fit(images(2, 16, 16))
    with pytest.raises(ValueError, match=r"shape \(16, 16\), as in fit; got \(16, 12\)"):
        transformer.transform(images())
    with pytest.raises(ValueError, match="NaN"):
        transformer.transform(np.full((2, 16, 16), np.nan))


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ((torch.rand(80, 2, 2), None, 2), ValueError, r"S must have shape \[..., 81, m, n\]"),
        ((np.ones((81, 2, 2)), None, 2), TypeError, "S must be a torch.Tensor"),
        ((torch.rand(81, 2, 2), "median", 2), ValueError, "kind must be None, 'mean' or"),
        ((torch.rand(81, 2, 2), None, 2.0), TypeError, "J must be an integer"),
    ],
)
def test_what_pool_refuses(arguments, error, words):
    with pytest.raises(error, match=words):
        pool(*arguments)


def texture_patches(n: int, train: bool, turned: bool) -> tuple[np.ndarray, np.ndarray]:
    """Patches 64 x 64 of brick, grass and gravel, mean 0 and deviation 1: from the left halves
    upright, or from the right halves, turned at random."""
    from skimage import data, transform

    random, x, y = np.random.RandomState(0 if train else 1), [], []
    for label, name in enumerate(("brick", "grass", "gravel")):
        image = getattr(data, name)() / 255.0
        half = image[:, :256] if train else image[:, 256:]
        for _ in range(n):
            i, k = random.randint(0, 512 - 96), random.randint(0, 256 - 96)
            patch = half[i : i + 96, k : k + 96]
            if turned:
                patch = transform.rotate(patch, random.uniform(0, 360), order=3, mode="reflect")
            patch = patch[16:80, 16:80]
            x.append((patch - patch.mean()) / patch.std())
            y.append(label)
    return np.stack(x).astype(np.float32), np.array(y)


def test_textures_are_told_apart_when_turned():
    train, test = texture_patches(20, True, False), texture_patches(15, False, True)
    score = {}
    for kind in ("mean", "rotation"):
        model = make_pipeline(
            ScatteringTransformer(J=4, pool=kind, log=True),
            StandardScaler(),
            RidgeClassifierCV(np.logspace(-3, 3, 13)),
        )
        score[kind] = model.fit(*train).score(*test)
    assert score["rotation"] >= 0.95 and score["mean"] <= 0.85, score


# --- any transform, by its meta ---------------------------------------------------------------


def test_pooling_asks_the_transform():
    module = Scattering2D(2, (16, 20), 4)
    S = module(torch.rand(3, 16, 20))
    for kind in KINDS:
        assert torch.equal(pool(S, kind, transform=module), pool(S, kind, 2, 4))
        layer = Pool(kind, 2, 4, log=True)
        assert torch.equal(Pool(kind, log=True, transform=module)(S), layer(S))


def test_pooling_of_some_paths():
    """Over as many turns as there are; without order 0 everything has a logarithm."""
    paths = [(0,), (1,), (2,), (0, 5), (1, 6), (2, 5)]
    module = Scattering2D(2, (16, 20), 4, paths=paths)
    S = module(torch.rand(3, 16, 20)).double()
    P = Pool("rotation", log=True, transform=module)(S)
    means = S.mean((-2, -1))
    expected = [means[:, :3].mean(-1), means[:, 3:5].mean(-1), means[:, 5]]
    torch.testing.assert_close(P, (torch.stack(expected, -1).clamp(min=0) + 1e-6).log())


class Line(torch.nn.Module):
    """Not of images: two channels of a signal, without angles."""

    output_shape = (2, 5)

    def meta(self):
        return {"order": np.array([0, 1]), "j": np.array([[-1], [3]])}

    def forward(self, x):
        return torch.stack([x, x.abs()], -2)[..., :5]


def test_pooling_of_signals():
    line, x = Line(), torch.randn(4, 5)
    torch.testing.assert_close(pool(line(x), "mean", transform=line), line(x).mean(-1))
    assert Pool(None, log=True, transform=line)(line(x)).shape == (4, 2, 5)
    with pytest.raises(TypeError, match="wants a transform with angles"):
        Pool("rotation", transform=line)
    with pytest.raises(ValueError, match=r"S must have shape \[..., 2, n\]; got \[4, 5\]"):
        pool(x, "mean", transform=line)
    with pytest.raises(TypeError, match=r"J or a transform says .*; got neither"):
        pool(x, "mean")
    with pytest.raises(TypeError, match=r"J or a transform says .*; got both"):
        Pool("mean", 2, transform=line)
    with pytest.raises(TypeError, match=r"transform must have meta\(\).*; Identity has not"):
        Pool("mean", transform=torch.nn.Identity())


def test_a_transform_of_ones_own():
    X = np.random.default_rng(0).random((6, 16, 20)).astype(np.float32)
    ours = ScatteringTransformer(2, 4, pool="rotation", log=True).fit(X)
    module = Scattering2D(2, (16, 20), 4)
    for given in (module, lambda size: Scattering2D(2, size, 4)):
        other = clone(ScatteringTransformer(scattering=given, pool="rotation", log=True)).fit(X)
        np.testing.assert_array_equal(other.transform(X), ours.transform(X))
        assert list(other.get_feature_names_out()) == list(ours.get_feature_names_out())
        assert other.n_features_out == ours.n_features_out
    deep = ScatteringTransformer(
        scattering=Cascade(2, (16, 20), L=2, rho=torch.real), dtype="float64"
    )
    rows, names = deep.fit_transform(X), deep.get_feature_names_out()
    assert rows.shape == (6, len(names)) and names[-1] == "j0_theta1_j1_theta1_at_3_4"
    assert next(module.buffers()).dtype == torch.float32  # the user's own is not cast
    with pytest.raises(ValueError, match=r"J, L, max_order, filters and Q are those of scattering"):
        ScatteringTransformer(2, scattering=module).fit(X)
    with pytest.raises(TypeError, match=r"scattering must be a transform, .* got Identity"):
        ScatteringTransformer(scattering=torch.nn.Identity()).fit(X)
    with pytest.raises(TypeError, match="J must be an integer; got None"):
        ScatteringTransformer().fit(X)


# --- signals ----------------------------------------------------------------------------------


def test_signals():
    X = np.random.default_rng(0).normal(size=(6, 200))
    module = Scattering1D(4, 200, 3)
    expected = module(torch.from_numpy(X).float())
    transformer = ScatteringTransformer(4, Q=3)
    rows = transformer.fit_transform(X)
    assert np.allclose(rows, expected.flatten(1), atol=1e-6)
    assert transformer.shape_ == (200,) and transformer.n_features_in_ == 200
    names = transformer.get_feature_names_out()
    assert rows.shape == (6, len(names)) == (6, transformer.n_features_out)
    assert names[0] == "order0_at_0"
    last = "_".join(f"n{n}" for n in module.meta()["key"][-1])
    assert names[-1] == f"{last}_at_{expected.shape[-1] - 1}"
    mean = ScatteringTransformer(4, Q=3, pool="mean", log=True).fit(X)
    eps = 1e-6 * np.sqrt(np.square(X).mean())
    wanted = (expected.mean(-1)[:, 1:] + eps).log()
    assert np.allclose(mean.transform(X)[:, 1:], wanted, atol=1e-4)
    assert clone(transformer).get_params() == transformer.get_params()
    for same in (
        ScatteringTransformer(scattering=module),
        ScatteringTransformer(shape=(200,), scattering=lambda shape: Scattering1D(4, shape, 3)),
    ):
        assert np.allclose(same.fit_transform(X), rows, atol=1e-6)


def test_signals_of_other_types_and_channels():
    X = np.random.default_rng(0).normal(size=(5, 2, 128)) * 100
    transformer = ScatteringTransformer(3, Q=2, dtype="float64")
    rows = transformer.fit_transform(X)
    names = transformer.get_feature_names_out()
    assert rows.dtype == np.float64 and names[-1].startswith("c1_n") and rows.shape[1] == len(names)
    flat = ScatteringTransformer(3, Q=2, shape=(2, 128), dtype="float64")
    assert np.array_equal(flat.fit_transform(X.reshape(5, -1)), rows)
    whole = X.round()
    found = transformer.fit_transform(whole.astype(np.int16))
    assert np.array_equal(found, transformer.fit_transform(whole))
    bytes_ = np.abs(whole).astype(np.uint8)  # no grey levels: not divided
    found = transformer.fit_transform(torch.from_numpy(bytes_))
    assert np.array_equal(found, transformer.fit_transform(bytes_.astype(np.float64)))


@pytest.mark.parametrize(
    ("arguments", "shape", "words"),
    [
        (dict(J=3, Q=2), (5, 2, 3, 64), r"X must be signals \[n, N\] or \[n, C, N\]"),
        (dict(J=3, Q=2), (0, 64), "X must hold at least one signal"),
        (dict(J=3, Q=2, L=4), (5, 64), "L and filters are of images"),
        (dict(J=3, Q=0), (5, 64), "Q must be between 1 and"),
        (dict(J=3, Q=2, shape=(2, 2, 16)), (5, 64), r"shape must be \(N,\) or \(C, N\)"),
        (dict(J=3, Q=2, pool="rotation"), (5, 64), "wants a transform with angles"),
    ],
    ids=str,
)
def test_signals_that_are_refused(arguments, shape, words):
    transformer = ScatteringTransformer(**arguments)
    with pytest.raises((TypeError, ValueError), match=words):
        transformer.fit(np.ones(shape)).transform(np.ones(shape))
