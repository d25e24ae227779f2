"""What networks and classifiers see: gradients to pixels, images of units, sums of a decision."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

pytest.importorskip("sklearn")
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC

from scatcuda import Scattering2D
from scatcuda.learn import (
    LinearClassifier,
    RidgeClassifier,
    ScatteringTransformer,
    Standardizer,
    evaluate,
    predict,
)
from scatcuda.learn.analysis.explain import (
    Layer,
    contributions,
    draw_contributions,
    maximise,
    saliency,
)
from scatcuda.learn.analysis.separation import activations
from scatcuda.synthesis import invert


@pytest.fixture(scope="module")
def digits():
    found = load_digits()
    return found.images.astype(np.float32) / 16, found.target


def hybrid():
    torch.manual_seed(0)
    return nn.Sequential(
        Scattering2D(J=1, shape=(8, 8), L=4), nn.Flatten(), nn.Linear(80, 16), nn.ReLU(),
        nn.Linear(16, 3),
    )  # fmt: skip


LINEAR = {
    "ridge": lambda: [Standardizer(), RidgeClassifier()],
    "scikit-learn's": lambda: [StandardScaler(), LogisticRegression(max_iter=50)],
    "twice standardised": lambda: [StandardScaler(), StandardScaler(), RidgeClassifier()],
    "alone": lambda: [RidgeClassifier()],
    "svm": lambda: [Standardizer(), LinearClassifier()],
}


@pytest.mark.parametrize("name", LINEAR)
@pytest.mark.parametrize("classes", [10, 2])
def test_contributions_add_up_to_the_decision(name, classes, digits):
    X, y = digits
    some = np.flatnonzero(y < classes)[:300]
    model = make_pipeline(ScatteringTransformer(J=1, L=4), *LINEAR[name]())
    model.fit(X[some], y[some])
    x = X[some[7]]
    why = contributions(model, x)
    assert why.target == model.predict(x[None])[0]
    assert why.score == pytest.approx(why.base + float(why.parts.sum()), rel=1e-6)
    scores = np.atleast_1d(np.asarray(model.decision_function(x[None]))[0])
    assert why.score == pytest.approx(
        float(np.abs(scores).max() if classes == 2 else scores.max()), rel=1e-3
    )
    assert why.positions.shape == (4, 4)
    assert why.heat().shape == (8, 8)
    torch.testing.assert_close(why.positions.sum(), why.parts.sum())
    first = np.asarray(why.meta["order"]) == 1
    torch.testing.assert_close(
        why.by_angle().sum().double(), why.parts[:, first].sum(), rtol=1e-4, atol=1e-6
    )
    other = contributions(model, x, target=0)
    assert other.target == 0


def test_second_orders_and_colours(digits, tmp_path):
    X, y = digits
    colour = np.broadcast_to(X.repeat(4, 1).repeat(4, 2)[:, None], (len(X), 3, 32, 32)).copy()
    model = make_pipeline(ScatteringTransformer(J=2, L=4), Standardizer(), RidgeClassifier())
    model.fit(colour[:200], y[:200])
    why = contributions(model, colour[3])
    assert why.parts.shape == (3, 25, 8, 8)
    second = np.asarray(why.meta["order"]) == 2
    torch.testing.assert_close(
        why.by_scales().sum().double(), why.parts[:, second].sum(), rtol=1e-4, atol=1e-6
    )
    assert why.by_scales()[1:].abs().sum() == 0  # j1 < j2
    draw_contributions(why, colour[3], tmp_path / "why.png")
    assert Image.open(tmp_path / "why.png").size == (1800, 556)


def test_saliency_is_the_gradient_through_the_scattering():
    model = hybrid().double()
    x = torch.rand(2, 8, 8, dtype=torch.float64)
    found = saliency(model, x, target=1)
    v = torch.randn_like(x)
    difference = (model(x + 1e-6 * v)[:, 1] - model(x - 1e-6 * v)[:, 1]).sum() / 2e-6
    torch.testing.assert_close((found * v).sum(), difference, rtol=1e-5, atol=1e-8)
    winners = model(x).argmax(1)
    torch.testing.assert_close(saliency(model, x), saliency(model, x, target=winners))
    smooth = [saliency(model, x, 0, noise=0.1, samples=4, seed=seed) for seed in (1, 1, 2)]
    assert torch.equal(smooth[0], smooth[1])
    assert not torch.equal(smooth[0], smooth[2])


def test_what_excites_a_unit():
    model = hybrid()
    found = maximise(lambda x: model(x)[:, 2], (8, 8), n=2, steps=60)
    assert found.x.shape == (2, 8, 8)
    assert 0 <= float(found.x.min()) <= float(found.x.max()) <= 1
    others = model(torch.rand(200, 8, 8))[:, 2]
    assert float(model(found.x)[:, 2].detach().min()) > float(others.max())


@pytest.mark.parametrize("optimiser", ["lbfgs", "adam"])
def test_what_excites_a_unit_is_taken_up_again(optimiser, tmp_path):
    seen: list[torch.Tensor] = []

    def score(x: torch.Tensor) -> torch.Tensor:
        return -(x[:, 2:5] - x[:, 1:4].square()).square().mean((1, 2))

    def made(steps, **how):
        return maximise(score, (8, 8), n=2, levels=(1.0, 3.0), steps=steps, **how)

    whole = made(8, optimiser=optimiser, callback=lambda _, x: seen.append(x))
    assert torch.equal(seen[-1], whole.x) and 1 <= float(seen[0].min())
    path = tmp_path / "half.safetensors"
    half = made(4, optimiser=optimiser, checkpoint=path)
    for before in (half, path):
        on = made(8, optimiser=optimiser, resume=before)
        assert torch.equal(on.x, whole.x) and on.history == whole.history
    for wrong in (dict(levels=(1.0, 4.0)), dict(smoothness=0.2), dict(score=torch.sum)):
        with pytest.raises(ValueError, match="resume must be of the same losses"):
            how = dict(score=score, shape=(8, 8), n=2, levels=(1.0, 3.0), optimiser=optimiser)
            maximise(**how | wrong, resume=half)


def test_a_layer_is_inverted():
    model = hybrid().train()
    layer, x = Layer(model, "2", (8, 8)), torch.rand(1, 8, 8)
    known = layer(x).detach()
    assert known.shape == (1, 16)
    found = invert(known, layer, steps=100, scale=0.3, mean=0.5)
    assert found.error < 0.01
    assert model.training


def test_what_cannot_be_explained(digits):
    X, y = digits
    plain = make_pipeline(StandardScaler(), RidgeClassifier()).fit(X.reshape(len(X), -1), y)
    pooled = make_pipeline(ScatteringTransformer(J=1, pool="mean"), RidgeClassifier()).fit(X, y)
    good = make_pipeline(ScatteringTransformer(J=1), RidgeClassifier()).fit(X[:100], y[:100])
    for pipeline, target, told in (
        (plain, None, "begins with a ScatteringTransformer"),
        (pooled, None, "must have pool=None"),
        (good, 11, "target must be one of"),
    ):
        with pytest.raises((ValueError, TypeError), match=told):
            contributions(pipeline, X[0], target)
    with pytest.raises(ValueError, match="name must be one of"):
        Layer(hybrid(), "9", (8, 8))
    with pytest.raises(ValueError, match="target must be a class from 0 to 2"):
        saliency(hybrid(), torch.rand(1, 8, 8), 3)
    with pytest.raises(ValueError, match="model must give scores"):
        saliency(lambda x: x, torch.rand(1, 8, 8))
    with pytest.raises(ValueError, match="score must give one number"):
        maximise(lambda x: x, (8, 8))
    for target in (1.7, True, "a", [0, 1], torch.ones(4) / 2):
        with pytest.raises(TypeError, match="target must be a class, or one for each of 4 images"):
            saliency(hybrid(), torch.rand(4, 8, 8), target)
    for x in (None, np.ones((1, 8, 8)), torch.ones(1, 8, 8).int(), torch.ones(0, 8, 8)):
        with pytest.raises(TypeError, match="saliency: x must be a real floating tensor"):
            saliency(hybrid(), x)
    x = torch.rand(1, 8, 8)
    assert saliency(hybrid(), x, 0, noise=np.float32(0.1)).shape == x.shape
    maximise(lambda x: x.mean((1, 2)), (8, 8), steps=0, smoothness=np.float32(0.1))
    for wrong in (
        dict(shape=(8,)), dict(shape=8), dict(shape=(8.0, 8)), dict(levels=(1.0, 0.0)),
        dict(levels=(0,)), dict(levels=None), dict(levels=("a", 1)), dict(smoothness=-1.0),
        dict(smoothness=True), dict(device="xyz"), dict(device="meta"), dict(score=1),
    ):  # fmt: skip
        with pytest.raises((TypeError, ValueError), match="maximise: "):
            maximise(**{"score": lambda x: x.mean((1, 2)), "shape": (8, 8), **wrong})


def test_networks_are_left_as_they_were():
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 3))
    net.train()
    net[1].eval()
    modes = [part.training for part in net.modules()]
    x, y = torch.rand(4, 1, 8, 8), torch.tensor([0, 1, 2, 0])
    for act in (
        lambda: Layer(net, "0", (1, 8, 8))(x), lambda: predict(net, x), lambda: evaluate(net, x, y),
        lambda: activations(net, x, ["1"]),
    ):  # fmt: skip
        act()
        assert [part.training for part in net.modules()] == modes


@pytest.mark.parametrize("classes", [3, 10])
def test_a_classifier_of_pairs_is_refused(classes):
    digits = load_digits()
    keep = digits.target < classes
    X, y = digits.images[keep].astype("float32")[:150] / 16, digits.target[keep][:150]
    model = make_pipeline(ScatteringTransformer(J=1), StandardScaler(), SVC(kernel="linear"))
    with pytest.raises(ValueError, match=f"a row for each of {classes} classes; got SVC, with"):
        contributions(model.fit(X, y), X[0])
    for classifier in (LinearSVC(), LogisticRegression(max_iter=50), RidgeClassifier()):
        model = make_pipeline(ScatteringTransformer(J=1), StandardScaler(), classifier).fit(X, y)
        assert contributions(model, X[0]).target == model.predict(X[:1])[0]
