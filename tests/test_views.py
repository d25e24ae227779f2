"""Images at several scales, views that teach together, coefficients over their parents, and
features chosen class by class."""

from __future__ import annotations

import copy
import functools

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline

from scatcuda import RotoTranslationScattering2D, Scattering1D, Scattering2D
from scatcuda.data import DataError
from scatcuda.learn import (
    ManyViews,
    OrthogonalLeastSquares,
    PCAAffineClassifier,
    RidgeClassifier,
    ScalePyramid,
    ScatteringTransformer,
    load,
    save,
)
from scatcuda.learn.extraction.pooling import Pool

ROTO = functools.partial(RotoTranslationScattering2D, 2, L=4, pool="mean")


def textures(n: int = 24, side: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    """Noise of three kinds."""
    x = torch.randn(n, side, side)
    y = torch.arange(n) % 3
    for kind, sides in ((1, (5, 1)), (2, (3, 3))):
        weight = torch.ones(1, 1, *sides)
        x[y == kind] = torch.nn.functional.conv2d(x[y == kind][:, None], weight, padding="same")[
            :, 0
        ]
    return x, y


# --- scales ---


def test_a_pyramid_keeps_waves_that_are_still_there():
    """A wave of few cycles is the same wave at every scale; one of too many is gone."""
    at = (torch.arange(64) + 0.5) / 64
    slow, fast = (torch.cos(2 * torch.pi * cycles * at).expand(64, 64) for cycles in (2, 28))
    pyramid = ScalePyramid(3, per_octave=1)
    assert pyramid.sizes(64, 48) == [(64, 48), (32, 24), (16, 12)]
    for size, level, other in zip((64, 32, 16), pyramid(slow), pyramid(fast), strict=True):
        there = (torch.arange(size) + 0.5) / size
        expected = torch.cos(2 * torch.pi * 2 * there)
        torch.testing.assert_close(level[size // 2], expected, atol=0.06, rtol=0)
        assert size == 64 or other.abs().max() < 0.15
    constant = pyramid(torch.full((2, 3, 64, 48), 3.0))
    assert all(torch.allclose(level, torch.tensor(3.0)) for level in constant)
    assert constant[2].shape == (2, 3, 16, 12)


@pytest.mark.parametrize(
    ("make", "error", "told"),
    [
        (lambda: ScalePyramid(0), ValueError, "scales must be between 1 and 16"),
        (lambda: ScalePyramid(4, 0.5), TypeError, "per_octave must be an integer"),
        (lambda: ScalePyramid(8)(torch.rand(4, 4)), ValueError, "sides of at least 1 pixel"),
        (lambda: ScalePyramid()(torch.ones(8, 8).int()), ValueError, "a floating tensor"),
        (lambda: ScalePyramid()(np.ones((8, 8))), ValueError, "a floating tensor"),
    ],
)
def test_pyramid_mistakes(make, error, told):
    with pytest.raises(error, match=f"ScalePyramid: .*{told}"):
        make()


def test_features_of_several_scales():
    x, _ = textures()
    options = dict(scattering=ROTO, log=True, normalise=True)
    one = ScatteringTransformer(**options).fit(x)
    mean = ScatteringTransformer(**options, scales=3).fit(x)
    views = ScatteringTransformer(**options, scales=3, views=True).fit(x)
    side_by_side = views.transform(x).unflatten(1, (3, -1))
    torch.testing.assert_close(mean.transform(x), side_by_side.mean(1))
    torch.testing.assert_close(side_by_side[:, 0], one.transform(x))
    d = one.n_features_out
    assert (mean.n_features_out, views.n_features_out) == (d, 3 * d)
    names = views.get_feature_names_out()
    assert len(set(names)) == 3 * d and names[0] == "scale0_order0"
    assert names[-1] == "scale2_j0_j1_turn3_k1"
    # and by hand
    small = ScalePyramid(3)(x - x.mean((1, 2), keepdim=True))[2]
    normalised = x - x.mean((1, 2), keepdim=True)
    normalised /= normalised.square().mean((1, 2), keepdim=True).sqrt()
    small = ScalePyramid(3)(normalised)[2]
    S = ROTO(small.shape[1:])(small)
    expected = torch.cat([S[:, :1], (S[:, 1:] + 1e-6).log()], 1)
    torch.testing.assert_close(side_by_side[:, 2], expected)


def test_what_has_no_size_of_its_own():
    x, _ = textures()
    with pytest.raises(ValueError, match="pool must be 'mean' or 'rotation' where scales is 2"):
        ScatteringTransformer(J=2, scales=2).fit(x)
    with pytest.raises(TypeError, match="scattering must be a function of"):
        ScatteringTransformer(scattering=Scattering2D(2, (40, 40)), pool="mean", scales=2).fit(x)
    with pytest.raises(ValueError, match="scales must be 1 but for images"):
        ScatteringTransformer(J=2, Q=1, pool="mean", scales=2).fit(torch.randn(3, 64))
    with pytest.raises(ValueError, match="scales must be between 1 and 16"):
        ScatteringTransformer(J=2, pool="mean", scales=0).fit(x)
    with pytest.raises(TypeError, match="views must be a bool"):
        ScatteringTransformer(J=2, pool="mean", views=1).fit(x)
    with pytest.raises(ValueError, match="both sides of shape must be at least"):
        ScatteringTransformer(J=4, pool="mean", scales=4).fit(x)


# --- parents ---


@pytest.mark.parametrize("kind", [None, "mean", "rotation"])
def test_over_parents(kind):
    S = Scattering2D(3, (32, 32), L=4, max_order=3)
    x = torch.randn(2, 32, 32)
    plain = Pool(kind, transform=S)(S(x))
    found = Pool(kind, transform=S, renormalise=True, eps=1e-3)(S(x))
    if kind == "rotation":
        first, second = range(1, 4), [(0, 1)] * 4 + [(0, 2)] * 4 + [(1, 2)] * 4
        torch.testing.assert_close(found[:, :4], plain[:, :4])
        for c, (j, _) in enumerate(second):
            expected = plain[:, 4 + c] / (plain[:, first[j]] + 1e-3)
            torch.testing.assert_close(found[:, 4 + c], expected)
        return
    n, order = S.meta()["n"], S.meta()["order"]
    of = {tuple(row[:k].tolist()): c for c, (row, k) in enumerate(zip(n, order, strict=True))}
    for c, (row, k) in enumerate(zip(n, order, strict=True)):
        expected = plain[:, c]
        if k > 1:
            expected = expected / (plain[:, of[tuple(row[: k - 1].tolist())]] + 1e-3)
        torch.testing.assert_close(found[:, c], expected)


@pytest.mark.parametrize("average", ["space+angle", "space"])
def test_over_parents_along_angles(average):
    S = RotoTranslationScattering2D(2, (16, 16), L=3, average=average, pool="mean")
    x = torch.randn(5, 16, 16)
    plain, found = S(x), Pool(None, transform=S, renormalise=True, eps=1e-3)(S(x))
    meta = S.meta()
    for c in range(plain.shape[1]):
        expected = plain[:, c]
        if meta["order"][c] == 2:
            alike = (meta["order"] == 1) & (meta["k"] == S.K) & (meta["j"][:, 0] == meta["j"][c, 0])
            if average == "space":
                alike &= meta["angle"] == meta["angle"][c] % 3
            (parent,) = np.flatnonzero(alike)
            expected = expected / (plain[:, parent] + 1e-3)
        torch.testing.assert_close(found[:, c], expected)


@pytest.mark.parametrize("log", [False, True])
def test_ratios_do_not_see_how_bright_an_image_is(log):
    S = Scattering2D(2, (16, 16), L=3)
    x = torch.rand(4, 16, 16)
    one, many = (
        Pool("mean", transform=S, renormalise=True, log=log, eps=1e-6 * scale)(S(scale * x))
        for scale in (1.0, 2.0**12)
    )
    second = torch.from_numpy(S.meta()["order"]) == 2
    torch.testing.assert_close(one[:, second], many[:, second], rtol=1e-6, atol=4e-6 * log)
    if log:
        plain = Pool("mean", transform=S, renormalise=True)(S(x))[:, second]
        torch.testing.assert_close(one[:, second].exp(), plain, rtol=1e-3, atol=1e-5)


def test_parents_must_be_there():
    some = Scattering2D(2, (16, 16), paths=lambda meta: meta["order"] == 2)
    with pytest.raises(ValueError, match=r"renormalise wants the parents of all paths; \(0,\)"):
        Pool("mean", transform=some, renormalise=True)
    scattering = Scattering1D(3, 64, 1)
    pooled = Pool("mean", transform=scattering, renormalise=True)(scattering(torch.randn(2, 64)))
    assert pooled.isfinite().all()


# --- views ---


def test_views_teach_together():
    x, y = textures(120)
    views = ScatteringTransformer(
        scattering=ROTO, log=True, normalise=True, scales=3, views=True
    ).fit_transform(x)
    each = views.unflatten(1, (3, -1))
    for combine in ("largest", "mean"):
        model = ManyViews(PCAAffineClassifier(3), views=3, combine=combine).fit(views[:60], y[:60])
        alone = PCAAffineClassifier(3).fit(each[:60].flatten(0, 1), y[:60].repeat_interleave(3))
        scores = torch.stack([alone.decision_function(each[60:, i]) for i in range(3)])
        expected = scores.amax(0) if combine == "largest" else scores.mean(0)
        torch.testing.assert_close(model.decision_function(views[60:]), expected)
        assert model.score(views[60:], y[60:]) > 0.9


def test_views_of_two_classes_and_of_others_classifiers():
    x = torch.randn(60, 2)
    views = torch.cat([x, x + 0.1], 1)
    y = (x[:, 0] > 0).long()
    model = ManyViews(LogisticRegression(), views=2).fit(views.numpy(), y.numpy())
    scores = model.classifier_.decision_function(views.reshape(-1, 2).numpy()).reshape(-1, 2)
    surest = np.where(abs(scores[:, 0]) >= abs(scores[:, 1]), scores[:, 0], scores[:, 1])
    np.testing.assert_allclose(model.decision_function(views.numpy()), surest, rtol=1e-6)
    assert model.score(views.numpy(), y.numpy()) > 0.9
    weighted = ManyViews(RidgeClassifier(1.0), views=2).fit(views, y, torch.ones(60))
    plain = ManyViews(RidgeClassifier(1.0), views=2).fit(views, y)
    torch.testing.assert_close(weighted.decision_function(views), plain.decision_function(views))


@pytest.mark.parametrize(
    ("model", "told"),
    [
        (ManyViews(PCAAffineClassifier(0), views=3), "rows of 3 views side by side; got 4"),
        (ManyViews(PCAAffineClassifier(0), views=0), "views must be at least 1"),
        (ManyViews(PCAAffineClassifier(0), combine="vote"), "combine must be one of"),
    ],
)
def test_mistakes_of_views(model, told):
    with pytest.raises(ValueError, match=f"ManyViews: .*{told}"):
        model.fit(torch.randn(8, 4), torch.arange(8) % 2)


def test_views_of_what_has_no_scores(tmp_path):
    with pytest.raises(TypeError, match="classifier must have decision_function; KNeighbors"):
        ManyViews(KNeighborsClassifier(), views=2).fit(torch.randn(8, 4), torch.arange(8) % 2)
    model = ManyViews(RidgeClassifier(1.0), views=2).fit(torch.randn(8, 4), torch.arange(8) % 2)
    for name, value in (("views", 3), ("combine", "vote"), ("n_features_in_", 6)):
        damaged = copy.copy(model)
        setattr(damaged, name, value)
        save(damaged, tmp_path / "model")
        with pytest.raises(DataError, match="does not describe an estimator"):
            load(tmp_path / "model")


# --- spaces and choices ---


def test_all_directions():
    x, y = torch.randn(30, 50), torch.arange(30) % 3
    model = PCAAffineClassifier("all").fit(x, y)
    assert model.n_components_ == 9 and model.components_.shape == (3, 9, 50)
    # what was learned from lies in its own space
    distances = -model.decision_function(x)
    assert distances.gather(1, y[:, None]).max() < 1e-3 * distances.max()
    with pytest.raises(ValueError, match="n_components must be 'cv', 'all' or an integer"):
        PCAAffineClassifier("some").fit(x, y)


def least_squares(x: np.ndarray, f: np.ndarray, count: int) -> list[int]:
    """By the definition: each time that feature with which a fit leaves least."""
    chosen: list[int] = []
    for _ in range(count):
        left = []
        for p in range(x.shape[1]):
            basis = x[:, [*chosen, p]]
            left.append(np.square(f - basis @ np.linalg.lstsq(basis, f, rcond=None)[0]).sum())
        chosen.append(
            int(np.argmin([v if p not in chosen else np.inf for p, v in enumerate(left)]))
        )
    return chosen


@pytest.mark.parametrize("kind", ["tensors", "arrays"])
def test_orthogonal_least_squares(kind):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((200, 12)) @ rng.standard_normal((12, 12)) + 3
    y = x[:, :3].argmax(1)
    given = (torch.tensor(x), torch.tensor(y)) if kind == "tensors" else (x, y)
    model = OrthogonalLeastSquares(5).fit(*given)
    centred = x - x.mean(0)
    for c in range(3):
        f = (y == c) - (y == c).mean()
        assert model.chosen_[c].tolist() == least_squares(centred, f, 5)
    kept = sorted(set(model.chosen_.flatten().tolist()))
    assert model.get_support(indices=True).tolist() == kept
    found = model.transform(given[0])
    assert type(found) is type(given[0])
    np.testing.assert_array_equal(np.asarray(found), x[:, kept])


def test_what_explains_nothing_is_not_chosen():
    x = torch.randn(50, 3).double()
    doubled = torch.cat([x, 2 * x, torch.ones(50, 1)], 1)
    y = torch.arange(50) % 2
    model = OrthogonalLeastSquares(6).fit(doubled, y)
    assert (model.chosen_[:, 3:] == -1).all()
    assert {int(p) % 3 for p in model.chosen_[0, :3]} == {0, 1, 2}


def test_of_many_some_are_looked_at():
    x, y = torch.randn(1000, 40), torch.arange(1000) % 4
    x[:, 7] += y
    model = OrthogonalLeastSquares(2, max_rows=100, preselect=5).fit(x, y)
    assert (model.chosen_[[0, 3], 0] == 7).all()
    assert len(set(model.chosen_.flatten().tolist())) <= 5
    for name in ("n_features", "max_rows", "preselect"):
        with pytest.raises(ValueError, match=f"OrthogonalLeastSquares: {name} must be at least 1"):
            OrthogonalLeastSquares(**{name: 0}).fit(x, y)


def test_in_a_pipeline_and_a_file(tmp_path):
    x, y = textures(90)
    features = ScatteringTransformer(scattering=ROTO, log=True, normalise=True).fit_transform(x)
    model = make_pipeline(OrthogonalLeastSquares(4), RidgeClassifier()).fit(features[:60], y[:60])
    assert model.score(features[60:], y[60:]) > 0.9
    save(model, tmp_path / "model")
    again = load(tmp_path / "model")
    assert torch.equal(again.predict(features), model.predict(features))
