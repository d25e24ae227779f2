"""What scikit-learn's users write around our estimators: searches, ensembles, routing, frames."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn
import torch
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_digits
from sklearn.ensemble import BaggingClassifier, StackingClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    cross_val_predict,
    cross_val_score,
    cross_validate,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline

from scatcuda.learn import (
    LinearClassifier,
    PCAAffineClassifier,
    RidgeClassifier,
    ScatteringTransformer,
    Standardizer,
)

CLASSIFIERS = [
    RidgeClassifier(),
    LinearClassifier(tol=1e-3),
    LinearClassifier("log", tol=1e-3),
    PCAAffineClassifier(3),
]


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    x, y = load_digits(return_X_y=True)
    return x[:300] / 16, y[:300]


@pytest.fixture(params=CLASSIFIERS, ids=str)
def model(request):
    return make_pipeline(Standardizer(), clone(request.param))


def test_cloned(model):
    again = clone(model)
    assert again is not model and str(again) == str(model)
    assert again[-1].get_params() == model[-1].get_params()


def test_scored_by_cross_validation(model, digits):
    scores = cross_val_score(model, *digits, cv=3)
    assert scores.shape == (3,) and scores.min() > 0.8
    labels = cross_val_predict(model, *digits, cv=3)
    assert np.mean(labels == digits[1]) > 0.85
    tensors = cross_val_score(model, *map(torch.from_numpy, digits), cv=3, error_score="raise")
    np.testing.assert_allclose(tensors, scores)


@pytest.mark.proof
def test_searched(digits):
    grid = [
        {"classifier": [RidgeClassifier()], "classifier__alpha": [1e-3, 1e4]},
        {"classifier": [PCAAffineClassifier()], "classifier__n_components": [0, 5]},
        {
            "classifier": [LinearClassifier("log", tol=1e-3)],
            "classifier__class_weight": ["balanced", {0: 2.0}],
        },
    ]
    model = sklearn.pipeline.Pipeline([("z", Standardizer()), ("classifier", RidgeClassifier())])
    search = GridSearchCV(model, grid, cv=2, error_score="raise").fit(*digits)
    assert len(search.cv_results_["params"]) == 6 and search.best_score_ > 0.85
    one = GridSearchCV(model, grid[0], cv=2, n_jobs=2, error_score="raise").fit(*digits)
    assert one.best_params_["classifier__alpha"] == 1e-3
    assert one.predict(digits[0]).shape == (300,)
    probable = GridSearchCV(model, grid[2], cv=2, scoring="neg_log_loss").fit(*digits)
    assert np.isfinite(probable.best_score_)


def test_remembered_steps(digits, tmp_path):
    """A pipeline's memory: the scattering is computed once for all penalties."""
    x, y = digits
    model = make_pipeline(
        ScatteringTransformer(J=1, L=4, shape=(8, 8)), Standardizer(), RidgeClassifier(),
        memory=str(tmp_path),
    )  # fmt: skip
    plain = clone(model).set_params(memory=None).fit(x, y).decision_function(x)
    for alpha in (0.1, "loo"):
        model.set_params(ridgeclassifier__alpha=alpha).fit(x, y)
    np.testing.assert_array_equal(model.decision_function(x), plain)
    assert len(list(tmp_path.rglob("output.pkl"))) == 2  # of two steps, fitted once each


def test_calibrated(model, digits):
    calibrated = CalibratedClassifierCV(model, cv=3).fit(*digits)
    proba = calibrated.predict_proba(digits[0])
    assert proba.shape == (300, 10) and np.allclose(proba.sum(1), 1)
    assert calibrated.score(*digits) > 0.9
    two = digits[1] < 2
    calibrated = CalibratedClassifierCV(model, cv=3).fit(digits[0][two], digits[1][two])
    assert calibrated.predict_proba(digits[0][two]).shape[1] == 2


def test_voting_and_stacking(digits):
    named = [(str(i), make_pipeline(Standardizer(), c)) for i, c in enumerate(CLASSIFIERS)]
    assert VotingClassifier(named).fit(*digits).score(*digits) > 0.95
    soft = VotingClassifier(
        [("a", LinearClassifier("log")), ("b", LogisticRegression())], voting="soft"
    )
    assert soft.fit(*digits).predict_proba(digits[0]).shape == (300, 10)
    stacked = StackingClassifier(named, LogisticRegression(), cv=2).fit(*digits)
    assert stacked.score(*digits) > 0.95


def test_one_versus_rest_and_bagging(model, digits):
    many = OneVsRestClassifier(model).fit(*digits)
    assert many.score(*digits) > 0.85 and many.decision_function(digits[0]).shape == (300, 10)
    bag = BaggingClassifier(model[-1], n_estimators=3, random_state=0).fit(*digits)
    assert bag.score(*digits) > 0.85


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


def test_weights_find_their_way(model, digits, routing):
    x, y = digits
    w = np.random.RandomState(0).rand(len(y)) + 0.01
    direct = clone(model)
    direct[-1].fit(direct[0].fit_transform(x), y, w)
    model[-1].set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
    routed = clone(model).fit(x, y, sample_weight=w)
    np.testing.assert_array_equal(routed.decision_function(x), direct.decision_function(x))
    assert routed.score(x, y, sample_weight=w) == direct[-1].score(direct[0].transform(x), y, w)
    found = cross_validate(model, x, y, cv=2, params={"sample_weight": w}, error_score="raise")
    assert found["test_score"].shape == (2,)
    grid = {"standardizer__floor": [0.1, 1.0]}
    search = GridSearchCV(model, grid, cv=2, error_score="raise").fit(x, y, sample_weight=w)
    assert search.best_score_ > 0.8
    refused = clone(model)
    refused[-1].set_fit_request(sample_weight=False)
    with pytest.raises(TypeError, match="sample_weight"):
        refused.fit(x, y, sample_weight=w)


def test_weights_without_routing(digits):
    x, y = digits
    w = np.random.RandomState(0).rand(len(y)) + 0.01
    model = make_pipeline(Standardizer(), RidgeClassifier())
    model.fit(x, y, ridgeclassifier__sample_weight=w)
    direct = RidgeClassifier().fit(Standardizer().fit_transform(x), y, w)
    np.testing.assert_array_equal(model[-1].coef_, direct.coef_)


# --- frames -------------------------------------------------------------------------------------


def names_and_values(library: str, frame) -> tuple[list[str], np.ndarray]:
    assert type(frame).__module__.partition(".")[0] == library
    return list(frame.columns), np.asarray(frame)


@pytest.mark.parametrize("library", ["pandas", "polars"])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_frames_come_out(library, dtype, digits):
    pytest.importorskip(library)
    x = digits[0][:6]
    transformer = ScatteringTransformer(J=1, L=2, shape=(8, 8), dtype=dtype).fit(x)
    expected = transformer.transform(x)
    for given in (x, torch.from_numpy(x)):
        for frame in (
            clone(transformer).set_output(transform=library).fit(given).transform(given),
            clone(transformer).set_output(transform=library).fit_transform(given),
        ):
            names, values = names_and_values(library, frame)
            assert names == transformer.get_feature_names_out().tolist()
            np.testing.assert_array_equal(values, expected)
    transformer.set_output(transform=library).set_output(transform="default")
    assert isinstance(transformer.transform(x), np.ndarray)
    assert isinstance(transformer.transform(torch.from_numpy(x)), torch.Tensor)
    standardizer = Standardizer().fit(expected)
    frame = standardizer.set_output(transform=library).transform(expected)
    names, values = names_and_values(library, frame)
    assert names[:2] == ["x0", "x1"]
    tensor = standardizer.transform(torch.from_numpy(expected))
    np.testing.assert_array_equal(names_and_values(library, tensor)[1], values)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_frames_all_the_way(library, digits):
    pytest.importorskip(library)
    x, y = digits
    model = make_pipeline(
        ScatteringTransformer(J=1, L=2, shape=(8, 8)), Standardizer(), RidgeClassifier()
    )
    expected = model.fit(x, y).predict(x)
    model.set_output(transform=library).fit(x, y)
    assert (model.predict(x) == expected).all()
    names = model[0].get_feature_names_out().tolist()
    assert model[-1].feature_names_in_.tolist() == names
    assert model[:-1].get_feature_names_out().tolist() == names


def test_frames_keep_their_index(digits):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(digits[0][:5], index=list("abcde"))
    for estimator in (ScatteringTransformer(J=1, shape=(8, 8)), Standardizer()):
        out = estimator.set_output(transform="pandas").fit_transform(frame)
        assert out.index.tolist() == list("abcde")
        assert out.shape[1] == len(estimator.get_feature_names_out())
