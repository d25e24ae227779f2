"""Linear classifiers against explicit leave-one-out, scikit-learn's minima and brute force."""

from __future__ import annotations

import os
import pathlib
import pickle
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LogisticRegression, RidgeClassifierCV
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC
from sklearn.utils import estimator_checks
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.estimator_checks import parametrize_with_checks

import scatcuda
from scatcuda.learn.classifiers import estimator as shared
from scatcuda.learn.classifiers.linear import LinearClassifier
from scatcuda.learn.classifiers.pca import PCAAffineClassifier
from scatcuda.learn.classifiers.ridge import RidgeClassifier
from scatcuda.learn.classifiers.selection import OrthogonalLeastSquares
from scatcuda.learn.classifiers.standardizer import Standardizer
from scatcuda.learn.classifiers.views import ManyViews
from scatcuda.learn.saving import load, save

CLASSIFIERS = [
    RidgeClassifier(),
    RidgeClassifier(alpha=1.0),
    LinearClassifier(),
    LinearClassifier("log"),
    PCAAffineClassifier(),
    PCAAffineClassifier(2),
    PCAAffineClassifier("all"),
    ManyViews(RidgeClassifier(1.0), views=1),
]
ALPHAS = (1e-3, 1e-1, 3.0, 100.0)


WEIGHTS = "check_sample_weight_equivalence_on_dense_data"  # as many copies as a row weighs
EXPECTED = {
    RidgeClassifier: {WEIGHTS: "alpha='loo' leaves out a row as a whole, but one copy of many"},
    LinearClassifier: {WEIGHTS: "it asks for 1e-7, where a search ends at 1e-5; see below"},
    PCAAffineClassifier: {
        WEIGHTS: "'cv' has a row in one fold, but its copies in many",
        "check_class_weight_classifiers": "a distance to a space knows no frequencies",
    },
}


@parametrize_with_checks(
    [
        Standardizer(),
        OrthogonalLeastSquares(2),
        *CLASSIFIERS[:1],
        *CLASSIFIERS[2:5],
        *CLASSIFIERS[-1:],
    ],
    expected_failed_checks=lambda estimator: EXPECTED.get(type(estimator), {}),
    xfail_strict=True,
)
def test_scikit_learn(estimator, check):
    check(estimator)


EXACT = [
    RidgeClassifier(0.7),
    LinearClassifier(tol=1e-13, max_iter=10_000),
    LinearClassifier("log", tol=1e-13),
    PCAAffineClassifier(2),
]


@pytest.mark.parametrize("classifier", [RidgeClassifier(0.7), PCAAffineClassifier(2)], ids=str)
def test_scikit_learn_on_weights(classifier):
    estimator_checks.check_sample_weight_equivalence_on_dense_data("", classifier)


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    x, y = load_digits(return_X_y=True)
    return x / 16, y


@pytest.fixture
def small_blocks(monkeypatch):
    """Several blocks where one would do."""
    monkeypatch.setattr(shared, "_BLOCK", 3000)
    monkeypatch.setattr("scatcuda.learn.classifiers.ridge._COLUMNS", 100)


def gaussian(n: int, d: int, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Rows about the means of their classes, with a mean of their own; float64."""
    y = torch.arange(n) % classes
    x = torch.randn(classes, d, dtype=torch.float64)[y] + 2 * torch.randn(n, d).double() + 5
    return x.numpy(), y.numpy()


def targets(y: np.ndarray) -> np.ndarray:
    classes = np.unique(y)
    Y = np.where(y[:, None] == classes, 1.0, -1.0)
    return Y[:, 1:] if len(classes) == 2 else Y


def plain_ridge(x, Y, alpha) -> tuple[np.ndarray, np.ndarray]:
    centred = x - x.mean(0)
    W = np.linalg.solve(centred.T @ centred + alpha * np.eye(x.shape[1]), centred.T @ Y)
    return W, Y.mean(0) - x.mean(0) @ W


# --- ridge --------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(12, 5), (12, 30), (12, 12), (13, 12)], ids=str)
@pytest.mark.parametrize("classes", [2, 3])
def test_ridge_leaves_one_out(shape, classes, small_blocks):
    """The errors are those of fits without the row."""
    x, y = gaussian(*shape, classes)
    Y = targets(y)
    expected = []
    for alpha in ALPHAS:
        errors = []
        for i in range(len(x)):
            others = np.arange(len(x)) != i
            W, b = plain_ridge(x[others], Y[others], alpha)
            errors.append((x[i] @ W + b - Y[i]) ** 2)
        expected.append(np.mean(errors))
    ridge = RidgeClassifier(alphas=ALPHAS).fit(x, y)
    np.testing.assert_allclose(ridge.loo_error_, expected, rtol=1e-8)
    assert ridge.alpha_ == ALPHAS[np.argmin(expected)]
    W, b = plain_ridge(x, Y, ridge.alpha_)
    np.testing.assert_allclose(ridge.coef_, W.T, atol=1e-9)
    np.testing.assert_allclose(ridge.intercept_, b, atol=1e-8)


@pytest.mark.parametrize("rows", [40, 500])
@pytest.mark.parametrize("classes", [2, 10])
def test_ridge_is_scikit_learns(rows, classes, digits):
    x, y = digits[0][digits[1] < classes][:rows], digits[1][digits[1] < classes][:rows]
    theirs = RidgeClassifierCV(alphas=ALPHAS).fit(x, y)
    ours = RidgeClassifier(alphas=ALPHAS).fit(x, y)
    assert ours.alpha_ == theirs.alpha_
    np.testing.assert_allclose(ours.coef_, np.atleast_2d(theirs.coef_), atol=1e-9)
    np.testing.assert_allclose(ours.decision_function(x), theirs.decision_function(x), atol=1e-9)


@pytest.mark.parametrize("rows", [60, 900])
def test_ridge_with_less_precision(rows, digits, small_blocks):
    """float32 and float16 choose the same penalty; float32 scores agree to some eps / alpha."""
    x, y = torch.from_numpy(digits[0]), torch.from_numpy(digits[1])
    z = Standardizer().fit(x[:rows]).transform(x)
    exact = RidgeClassifier().fit(z[:rows], y[:rows])
    for dtype, tolerance in ((torch.float32, 1e-4), (torch.float16, 2e-2)):
        ridge = RidgeClassifier().fit(z[:rows].to(dtype), y[:rows])
        assert ridge.alpha_ == exact.alpha_
        assert ridge.coef_.dtype == torch.float32
        scores = ridge.decision_function(z[rows:].to(dtype))
        assert (scores - exact.decision_function(z[rows:])).abs().max() < tolerance


def test_ridge_far_from_the_origin(digits):
    """A mean of 1000 deviations costs float32 three digits of the data, and no more."""
    x, y = (digits[0] + 300).astype(np.float32), digits[1]
    ours, exact = (RidgeClassifier(1.0).fit(kind, y) for kind in (x, x.astype(np.float64)))
    np.testing.assert_allclose(ours.coef_, exact.coef_, atol=1e-4)


def test_partial_fit_is_fit(digits, small_blocks):
    x, y = digits
    whole = RidgeClassifier(0.5).fit(x, y)
    parts = RidgeClassifier(0.5)
    for rows in np.array_split(np.arange(len(y)), 7):
        parts.partial_fit(x[rows], y[rows], classes=np.unique(y))
        parts.predict(x[:3])  # solved in between
    np.testing.assert_allclose(parts.coef_, whole.coef_, atol=1e-10)
    np.testing.assert_allclose(parts.intercept_, whole.intercept_, atol=1e-10)


def test_partial_fit_cross_validates(digits):
    """GCV by its definition, from the n x n matrix H."""
    x, y = gaussian(40, 6)
    x[:, 0] *= 1e-4  # a small eigenvalue counts like the others
    Y, n, alphas = targets(y), 40, (1e-9, *ALPHAS)
    expected = []
    for alpha in alphas:
        W, b = plain_ridge(x, Y, alpha)
        centred = x - x.mean(0)
        gram = centred.T @ centred
        freedom = 1 + np.trace(np.linalg.solve(gram + alpha * np.eye(6), gram))
        expected.append(((Y - x @ W - b) ** 2).sum() / n / (1 - freedom / n) ** 2)
    ridge = RidgeClassifier(alphas=alphas).partial_fit(x, y, classes=[0, 1, 2])
    np.testing.assert_allclose(ridge.gcv_error_, expected, rtol=1e-7)
    assert ridge.alpha_ == alphas[np.argmin(expected)]


def test_partial_fit_of_fewer_rows_than_features(digits):
    """GCV has no say when every penalty interpolates; the classifier must still be a good one."""
    x, y = (torch.from_numpy(values) for values in digits)
    x = torch.cat([x, x.cos(), (3 * x).sin()], 1).float()
    ridge = RidgeClassifier().partial_fit(x[:150], y[:150], classes=torch.arange(10))
    best = RidgeClassifier().fit(x[:150], y[:150])
    assert ridge.score(x[150:], y[150:]) > best.score(x[150:], y[150:]) - 0.03


def test_partial_fit_is_not_confused(digits):
    x, y = digits
    with pytest.raises(ValueError, match="classes must be given in the first"):
        RidgeClassifier().partial_fit(x, y)
    ridge = RidgeClassifier(1.0).partial_fit(x, y, classes=np.arange(10))
    with pytest.raises(ValueError, match="the same in every partial_fit"):
        ridge.partial_fit(x, y, classes=np.arange(11))
    with pytest.raises(ValueError, match=r"not among the classes: \[11\]"):
        ridge.partial_fit(x[:1], [11])
    copy = pickle.loads(pickle.dumps(RidgeClassifier(1.0).fit(x, y)))
    with pytest.raises(ValueError, match="cannot add to what load made, or to a copy of what fit"):
        copy.partial_fit(x, y, classes=np.arange(10))
    with pytest.raises(ValueError, match="'balanced' needs all rows at once"):
        RidgeClassifier(class_weight="balanced").partial_fit(x, y, classes=np.arange(10))
    again = RidgeClassifier(1.0).fit(x, y)
    np.testing.assert_allclose(ridge.fit(x, y).coef_, again.coef_)  # fit forgets


@pytest.mark.parametrize("shape", [(40, 6), (20, 30)], ids=["n > d", "n < d"])
@pytest.mark.parametrize("weighted", [False, True])
def test_partial_fit_goes_on_where_fit_ended(shape, weighted):
    x, y = gaussian(*shape)
    w = np.random.RandomState(0).rand(len(x)) if weighted else None
    first, then = slice(0, 15), slice(15, None)
    parts = RidgeClassifier(0.5).fit(x[first], y[first], w if w is None else w[first])
    kept = vars(pickle.loads(pickle.dumps(parts)))
    assert not {"_moments", "_rows"} & kept.keys()  # they would be most of a file
    before = parts.coef_.copy()
    parts.partial_fit(x[then], y[then], sample_weight=w if w is None else w[then])
    whole = RidgeClassifier(0.5).fit(x, y, w)
    np.testing.assert_allclose(parts.coef_, whole.coef_, atol=1e-9)
    np.testing.assert_allclose(parts.intercept_, whole.intercept_, atol=1e-9)
    assert not np.allclose(parts.coef_, before, atol=1e-3)
    assert not hasattr(parts, "loo_error_") and not hasattr(parts, "gcv_error_")
    again = pickle.loads(pickle.dumps(parts)).partial_fit(x[then], y[then])
    assert not np.allclose(again.coef_, parts.coef_, atol=1e-3)


def test_rows_of_fit_may_change_before_partial_fit():
    x, y = gaussian(20, 30)
    expected = RidgeClassifier(0.5).fit(np.r_[x, x], np.r_[y, y])
    kept = x.copy()
    ridge = RidgeClassifier(0.5).fit(x, y)
    x[:] = 0
    np.testing.assert_allclose(ridge.partial_fit(kept, y).coef_, expected.coef_, atol=1e-9)


HALF = """
import sys, torch
from scatcuda.learn.ridge import RidgeClassifier
from scatcuda.learn.standardizer import Standardizer
directory, rank = sys.argv[1], int(sys.argv[2])
torch.set_num_threads(1)
torch.distributed.init_process_group(
    "gloo", init_method=f"file://{directory}/meeting", rank=rank, world_size=2
)
x, y, w, expected = torch.load(f"{directory}/data.pt")
mine = slice(0, 300) if rank == 0 else slice(300, None)
z = Standardizer(distributed=True).fit(x[mine]).transform(x)
results = [z]
ridge = RidgeClassifier(distributed=True).fit(z[mine], y[mine])
results += [ridge.classes_, ridge.coef_, ridge.intercept_, ridge.loo_error_]
for rows in (slice(0, 100), slice(100, None)):
    part = RidgeClassifier(distributed=True) if rows.start == 0 else part
    part.partial_fit(z[mine][rows], y[mine][rows], classes=torch.arange(10))
results += [part.coef_, part.intercept_, part.gcv_error_]
ridge = RidgeClassifier(class_weight="balanced", distributed=True).fit(z[mine], y[mine], w[mine])
results += [ridge.coef_, ridge.intercept_, ridge.loo_error_]
torch.testing.assert_close(results, expected, rtol=1e-9, atol=1e-9)
torch.distributed.destroy_process_group()
"""


def in_a_process(program: str, *arguments: object) -> None:
    """Runs a Python program that finds this package."""
    package = str(pathlib.Path(scatcuda.__file__).parents[1])
    paths = filter(None, [package, os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.proof
@pytest.mark.skipif(
    not (torch.distributed.is_available() and torch.distributed.is_gloo_available()),
    reason="this PyTorch has no gloo",
)
def test_two_processes_are_one(digits, tmp_path):
    """Unequal parts, one of them without some of the classes."""
    order = np.argsort(digits[1], kind="stable")
    x, y = (torch.from_numpy(values[order]) for values in digits)
    z = Standardizer().fit_transform(x)
    whole = RidgeClassifier().fit(z, y)
    parts = RidgeClassifier().partial_fit(z, y, classes=torch.arange(10))
    expected = [z, whole.classes_, whole.coef_, whole.intercept_, whole.loo_error_]
    expected += [parts.coef_, parts.intercept_, parts.gcv_error_]
    w = torch.rand(len(y))
    weighted = RidgeClassifier(class_weight="balanced").fit(z, y, w)
    expected += [weighted.coef_, weighted.intercept_, weighted.loo_error_]
    torch.save((x, y, w, expected), tmp_path / "data.pt")
    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(in_a_process, HALF, tmp_path, rank) for rank in (0, 1)]:
            done.result()


@pytest.mark.parametrize("weighted", [False, True])
def test_leverages_by_projections(monkeypatch, small_blocks, weighted):
    """Of many features: the errors of exact leverages to two per cent, and the same penalty."""
    x, y = gaussian(600, 60)
    x, w = x / 20, (1.0 + np.arange(600) % 3 if weighted else None)
    alphas = np.logspace(-3, 3, 13)
    exact = RidgeClassifier(alphas=alphas).fit(x, y, w)
    monkeypatch.setattr("scatcuda.learn.classifiers.ridge._SKETCHED", 50)
    for kind in (np.float64, np.float32):
        found = RidgeClassifier(alphas=alphas).fit(x.astype(kind), y, w)
        np.testing.assert_allclose(found.loo_error_, exact.loo_error_, rtol=2e-2)
        assert found.alpha_ == exact.alpha_
        tolerance = 1e-10 if kind == np.float64 else 1e-3
        np.testing.assert_allclose(found.coef_, exact.coef_, atol=tolerance)


def test_distributed_without_a_group(digits):
    for estimator in (RidgeClassifier(distributed=True), Standardizer(distributed=True)):
        with pytest.raises(ValueError, match=r"needs torch\.distributed.init_process_group"):
            estimator.fit(*digits)


# --- squared hinge and logistic -----------------------------------------------------------------


@pytest.mark.parametrize("rows", [50, 300], ids=["n < d", "n > d"])
@pytest.mark.parametrize("classes, C", [(2, 1.0), (4, 0.1)])
def test_minimum_is_scikit_learns(rows, classes, C, digits, small_blocks):
    x, y = digits[0][digits[1] < classes][:rows], digits[1][digits[1] < classes][:rows]
    # a large scale leaves LinearSVC's penalty on the intercept without effect
    exact = {"tol": 1e-10, "max_iter": 10_000}
    svm = LinearSVC(C=C, dual=False, intercept_scaling=300.0, **exact)
    for loss, theirs in (("squared_hinge", svm), ("log", LogisticRegression(C=C, **exact))):
        theirs.fit(x, y)
        ours = LinearClassifier(loss, C, tol=1e-10).fit(x, y)
        assert ours.coef_.shape == theirs.coef_.shape
        largest = np.abs(theirs.coef_).max()
        np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-3 * largest)
        np.testing.assert_allclose(ours.intercept_, theirs.intercept_, atol=2e-3 * largest)


@pytest.mark.parametrize("loss", ["squared_hinge", "log"])
@pytest.mark.parametrize("small", [0, 1 << 24])
def test_float32_converges_too(loss, small, digits, monkeypatch):
    monkeypatch.setattr("scatcuda.learn.classifiers.linear._SMALL", small)
    x, y = (values[:600] for values in digits)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        exact, short = (LinearClassifier(loss, 10.0).fit(x.astype(t), y) for t in "df")
        half = LinearClassifier(loss, 10.0).fit(x.astype(np.float16), y)
    assert np.mean(short.predict(x.astype("f")) == exact.predict(x)) > 0.999
    assert half.score(x, y) > 0.99


def test_convergence_is_not_taken_for_granted(digits):
    with pytest.warns(
        ConvergenceWarning, match=r"stopped after 2 of 2 iterations about .* above the min"
    ):
        LinearClassifier(max_iter=2).fit(*digits)


# --- affine spaces ------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(60, 5), (60, 40)], ids=["n > d", "n < d"])
@pytest.mark.parametrize("D", [0, 1, 4])
@pytest.mark.parametrize("classes", [2, 3])
def test_distances_are_those_of_pca(shape, D, classes):
    x, y = gaussian(*shape, classes)
    at = torch.randn(7, shape[1], dtype=torch.float64).numpy()
    expected = []
    for c in range(classes):
        space = PCA().fit(x[y == c])
        off = (at - space.mean_) ** 2, space.transform(at)[:, :D] ** 2
        expected.append(off[0].sum(1) - off[1].sum(1))
    affine = PCAAffineClassifier(D).fit(x, y)
    scores = affine.decision_function(at)
    if classes == 2:
        np.testing.assert_allclose(scores, expected[0] - expected[1], rtol=1e-8)
    else:
        np.testing.assert_allclose(scores, -np.stack(expected, 1), rtol=1e-8)


def test_dimension_by_cross_validation(digits, monkeypatch):
    """As from fits with each dimension on four fifths of each class."""
    x, y = digits[0][:300], digits[1][:300]
    fold = np.empty(len(y), int)
    for c in range(10):
        fold[y == c] = np.arange((y == c).sum()) % 5
    right = np.zeros(9)
    for D in range(9):
        for held in range(5):
            part = PCAAffineClassifier(D).fit(x[fold != held], y[fold != held])
            right[D] += (part.predict(x[fold == held]) == y[fold == held]).sum()
    affine = PCAAffineClassifier(max_components=8).fit(x, y)
    np.testing.assert_allclose(affine.cv_accuracy_, right / len(y))
    assert affine.n_components_ == right.argmax() == len(affine.components_[0])
    monkeypatch.setattr("scatcuda.learn.classifiers.pca._ENOUGH", 50)  # one fold is enough
    once = PCAAffineClassifier(max_components=8).fit(x, y)
    part = PCAAffineClassifier(3).fit(x[fold != 0], y[fold != 0])
    assert once.cv_accuracy_[3] == part.score(x[fold == 0], y[fold == 0])


def test_classes_of_few_rows():
    """One row: a point. Equal rows: a point too. More directions than rows: those there are."""
    x, y = gaussian(40, 6, 2)
    x = np.concatenate([x, np.full((3, 6), 50.0), np.full((1, 6), -50.0)])
    y = np.concatenate([y, [2, 2, 2, 3]])
    for affine in (PCAAffineClassifier(), PCAAffineClassifier(5)):
        affine.fit(x, y)
        assert affine.predict(x[40:]).tolist() == [2, 2, 2, 3]
    assert (affine.components_[2:] == 0).all()


def test_a_class_that_is_held_out_as_a_whole():
    """Nothing is said to be of a class without rows, wherever the origin is."""
    y = np.arange(50) % 2
    x = (2 * y - 1)[:, None] + torch.randn(50, 1).double().numpy()
    two = PCAAffineClassifier(max_components=0).fit(x, y)
    x, y = np.concatenate([x, [[100.0]]]), np.concatenate([y, [2]])
    three = PCAAffineClassifier(max_components=0).fit(x, y)
    assert round(51 * three.cv_accuracy_[0]) == round(50 * two.cv_accuracy_[0])


# --- weights ------------------------------------------------------------------------------------


@pytest.mark.proof
@pytest.mark.parametrize("classifier", EXACT, ids=str)
@pytest.mark.parametrize("shape", [(40, 7), (24, 90)], ids=["n > d", "n < d"])
@pytest.mark.parametrize("classes", [2, 3])
def test_a_weight_is_so_many_rows(classifier, shape, classes, small_blocks):
    x, y = gaussian(*shape, classes)
    w = np.random.RandomState(0).randint(0, 4, len(x))
    w[:3] = 1  # no class is without
    repeated = clone(classifier).fit(x.repeat(w, 0), y.repeat(w)).decision_function(x)
    weighted = clone(classifier).fit(x, y, w)
    np.testing.assert_allclose(weighted.decision_function(x), repeated, rtol=1e-5, atol=1e-5)
    tensors = (torch.from_numpy(values) for values in (x, y, w))
    again = clone(classifier).fit(*tensors)
    np.testing.assert_array_equal(again.decision_function(x), weighted.decision_function(x))
    assert weighted.score(x, y, w) == again.score(*map(torch.from_numpy, (x, y, w)))
    assert abs(weighted.score(x, y, w) - weighted.score(x.repeat(w, 0), y.repeat(w))) < 1e-12
    one = clone(classifier).fit(x, y, 1.0).decision_function(x)
    np.testing.assert_allclose(one, clone(classifier).fit(x, y).decision_function(x), atol=1e-6)


@pytest.mark.parametrize("classifier", [*EXACT, RidgeClassifier(), PCAAffineClassifier()], ids=str)
@pytest.mark.parametrize("class_weight", ["balanced", {0: 0.25, 2: 3}])
def test_a_class_weighs_what_its_rows_do(classifier, class_weight):
    x, y = gaussian(60, 5)
    x, y = x[20:], np.sort(y)[20:]  # 0, 20 and 20 rows are not the same number
    x, y = np.concatenate([x, x[:9] - 9]), np.concatenate([y, np.zeros(9, int)])
    of_rows = compute_sample_weight(class_weight, y)
    expected = clone(classifier).fit(x, y, of_rows)
    weighted = clone(classifier).set_params(class_weight=class_weight)
    scores = weighted.fit(x, y).decision_function(x)
    np.testing.assert_allclose(scores, expected.decision_function(x), rtol=1e-6, atol=1e-6)
    words = np.array(["nought", "one", "two"])
    if class_weight != "balanced":
        weighted.set_params(class_weight={words[c]: w for c, w in class_weight.items()})
    named = weighted.fit(x, words[y]).decision_function(x)
    np.testing.assert_allclose(named, scores, rtol=1e-6, atol=1e-6)
    if class_weight == "balanced":  # of the weights, not of the rows
        w = np.random.RandomState(0).randint(1, 4, len(x))
        few = weighted.fit(x, y, w * compute_sample_weight("balanced", y.repeat(w))[w.cumsum() - 1])
        scores = few.decision_function(x)
        expected = clone(weighted).fit(x, y, w).decision_function(x)
        np.testing.assert_allclose(scores, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("shape", [(12, 5), (12, 30)], ids=str)
@pytest.mark.parametrize("classes", [2, 3])
def test_ridge_leaves_out_rows_that_weigh(shape, classes, small_blocks):
    """The errors are those of weighted fits without the row; the scale of the weights is that of
    the penalty."""
    x, y = gaussian(*shape, classes)
    Y, w = targets(y), np.random.RandomState(0).rand(len(x)) ** 2
    w[4] = 0
    expected = []
    for alpha in ALPHAS:
        errors = []
        for i in range(len(x)):
            kept = np.where(np.arange(len(x)) == i, 0, w)
            W, b = weighted_ridge(x, Y, kept, alpha)
            errors.append((x[i] @ W + b - Y[i]) ** 2)
        expected.append(np.average(errors, axis=0, weights=w).mean())
    ridge = RidgeClassifier(alphas=ALPHAS).fit(x, y, w)
    np.testing.assert_allclose(ridge.loo_error_, expected, rtol=1e-8)
    assert ridge.alpha_ == ALPHAS[np.argmin(expected)]
    W, b = weighted_ridge(x, Y, w, ridge.alpha_)
    np.testing.assert_allclose(ridge.coef_, W.T, atol=1e-9)
    np.testing.assert_allclose(ridge.intercept_, b, atol=1e-8)
    scaled = RidgeClassifier(alphas=np.multiply(ALPHAS, 100)).fit(x, y, 100 * w)
    np.testing.assert_allclose(scaled.loo_error_, expected, rtol=1e-8)


def weighted_ridge(x, Y, w, alpha) -> tuple[np.ndarray, np.ndarray]:
    mean, target = np.average(x, axis=0, weights=w), np.average(Y, axis=0, weights=w)
    centred = x - mean
    gram = centred.T @ (w[:, None] * centred) + alpha * np.eye(x.shape[1])
    W = np.linalg.solve(gram, centred.T @ (w[:, None] * (Y - target)))
    return W, target - mean @ W


@pytest.mark.parametrize("rows", [40, 500])
@pytest.mark.parametrize("class_weight", [None, "balanced", {0: 5.0, 1: 0.2}])
def test_weighted_ridge_is_scikit_learns(rows, class_weight, digits):
    x, y = (values[:rows] for values in digits)
    w = np.random.RandomState(0).rand(rows) if class_weight != "balanced" else None
    arguments = {"alphas": ALPHAS, "class_weight": class_weight}
    theirs = RidgeClassifierCV(**arguments).fit(x, y, w)
    ours = RidgeClassifier(**arguments).fit(x, y, w)
    assert ours.alpha_ == theirs.alpha_
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-9)
    np.testing.assert_allclose(ours.decision_function(x), theirs.decision_function(x), atol=1e-9)


@pytest.mark.parametrize("rows", [50, 300], ids=["n < d", "n > d"])
@pytest.mark.parametrize("classes", [2, 4])
def test_weighted_minimum_is_scikit_learns(rows, classes, digits, small_blocks):
    x, y = digits[0][digits[1] < classes][:rows], digits[1][digits[1] < classes][:rows]
    w = np.random.RandomState(0).rand(rows)
    exact, class_weight = {"tol": 1e-10, "max_iter": 10_000}, {0: 4.0, 1: 0.5}
    svm = LinearSVC(dual=False, intercept_scaling=300.0, **exact)
    # LinearSVC's class_weight leaves the weight of the other classes as it is
    svm.fit(x, y, w * compute_sample_weight(class_weight, y))
    logistic = LogisticRegression(**exact, class_weight=class_weight).fit(x, y, w)
    for loss, theirs in (("squared_hinge", svm), ("log", logistic)):
        ours = LinearClassifier(loss, tol=1e-10, class_weight=class_weight).fit(x, y, w)
        largest = np.abs(theirs.coef_).max()
        np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-3 * largest)
        np.testing.assert_allclose(ours.intercept_, theirs.intercept_, atol=2e-3 * largest)


def test_partial_fit_weighs(small_blocks):
    """As fit at one penalty; the penalty by GCV's definition, from the n x n matrix H."""
    x, y = gaussian(40, 6)
    w = np.random.RandomState(0).rand(40)
    w[3] = 0
    parts = RidgeClassifier(0.5, class_weight={1: 3.0})
    for rows in np.array_split(np.arange(40), 3):
        parts.partial_fit(x[rows], y[rows], [0, 1, 2], w[rows])
    whole = RidgeClassifier(0.5, class_weight={1: 3.0}).fit(x, y, w)
    np.testing.assert_allclose(parts.coef_, whole.coef_, atol=1e-10)
    np.testing.assert_allclose(parts.intercept_, whole.intercept_, atol=1e-10)
    Y, expected = targets(y), []
    for alpha in ALPHAS:
        W, b = weighted_ridge(x, Y, w, alpha)
        centred = np.sqrt(w)[:, None] * (x - np.average(x, axis=0, weights=w))
        gram = centred.T @ centred
        freedom = 1 + np.trace(np.linalg.solve(gram + alpha * np.eye(6), gram))
        squares = ((Y - x @ W - b) ** 2).sum(1)
        expected.append(np.average(squares, weights=w) / (1 - freedom / 39) ** 2)
    ridge = RidgeClassifier(alphas=ALPHAS).partial_fit(x, y, [0, 1, 2], w)
    np.testing.assert_allclose(ridge.gcv_error_, expected, rtol=1e-7)
    assert ridge.alpha_ == ALPHAS[np.argmin(expected)]


@pytest.mark.parametrize("classifier", [RidgeClassifier(), *EXACT[1:]], ids=str)
def test_weights_with_less_precision(classifier, digits, small_blocks):
    """float32 far from the origin: a few of its digits, not all of them."""
    x, y = digits[0][:300] + 300, digits[1][:300]
    w = np.random.RandomState(0).rand(300)
    exact = clone(classifier).fit(x, y, w)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        short = clone(classifier).fit(x.astype(np.float32), y, w)
    assert np.mean(short.predict(x.astype(np.float32)) == exact.predict(x)) > 0.98


def test_cross_validation_weighs_its_answers():
    """A direction that helps rows of little weight and harms the others is not taken."""
    x, y = gaussian(60, 6)
    w = np.where(np.arange(60) < 40, 1.0, 1e-9)
    affine = PCAAffineClassifier(max_components=4)
    most = clone(affine).fit(x[:40], y[:40]).cv_accuracy_
    np.testing.assert_allclose(clone(affine).fit(x, y, w).cv_accuracy_, most, atol=1e-7)
    assert not np.allclose(affine.fit(x, y).cv_accuracy_, most)


# --- probabilities ------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [2, 4])
def test_probabilities_are_those_of_logistic_regression(classes, digits):
    x, y = digits[0][digits[1] < classes][:200], digits[1][digits[1] < classes][:200]
    theirs = LogisticRegression(tol=1e-10, max_iter=10_000).fit(x, y)
    ours = LinearClassifier("log", tol=1e-12).fit(x, y)
    expected = theirs.predict_proba(x)
    np.testing.assert_allclose(ours.predict_proba(x), expected, atol=1e-4)
    np.testing.assert_allclose(ours.predict_proba(x).sum(1), 1)
    np.testing.assert_allclose(np.exp(ours.predict_log_proba(x)), ours.predict_proba(x))
    assert (ours.predict_proba(x).argmax(1) == ours.predict(x)).all()
    far = ours.predict_log_proba(1000 * x)
    assert np.isfinite(far).all() and far.min() < -800  # whose exponentials vanish
    tensor = LinearClassifier("log", tol=1e-12).fit(torch.from_numpy(x), torch.from_numpy(y))
    proba = tensor.predict_proba(torch.from_numpy(x))
    assert isinstance(proba, torch.Tensor)
    np.testing.assert_array_equal(proba, ours.predict_proba(x))


def test_no_probabilities_where_there_are_none(digits):
    for classifier in (RidgeClassifier(), LinearClassifier(), PCAAffineClassifier()):
        for name in ("predict_proba", "predict_log_proba"):
            assert not hasattr(classifier, name) and not hasattr(classifier.fit(*digits), name)
        assert classifier.decision_function(digits[0]).shape == (len(digits[0]), 10)
    with pytest.raises(AttributeError) as caught:
        LinearClassifier().predict_proba(x0)
    assert "take loss='log'" in str(caught.value.__cause__)
    assert hasattr(LinearClassifier().set_params(loss="log"), "predict_proba")


# --- standardizer -------------------------------------------------------------------------------


def test_standardizer(small_blocks):
    x, _ = gaussian(50, 6)
    x[:, 3], x[:, 4] = 7.0, 1e-3 * x[:, 4]  # constant, nearly constant
    deviation = x.std(0)
    floored = np.maximum(deviation, 0.1 * np.sqrt((deviation**2).mean()))
    expected = (x - x.mean(0)) / floored / np.sqrt(6)
    standardizer = Standardizer().fit(x)
    z = standardizer.transform(x)
    np.testing.assert_allclose(z, expected, atol=1e-12)
    np.testing.assert_allclose(standardizer.inverse_transform(z), x, atol=1e-12)
    parts = Standardizer()
    for rows in np.array_split(x, 4):
        parts.partial_fit(rows)
    np.testing.assert_allclose(parts.transform(x), expected, atol=1e-12)
    assert parts.n_samples_seen_ == 50
    np.testing.assert_allclose(parts.fit(x[:9]).mean_, x[:9].mean(0))  # fit forgets


def test_standardizer_far_from_the_origin():
    """Squares of 1e4 leave float32 no digit of a deviation of 1; the merge does."""
    x = (torch.randn(1000, 3) + 1e4).float()
    standardizer = Standardizer()
    for rows in x.split(100):
        standardizer.partial_fit(rows)
    torch.testing.assert_close(
        standardizer.var_, x.double().var(0, correction=0), rtol=1e-9, atol=0
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.uint8, torch.float64])
def test_standardizer_keeps_the_precision(dtype):
    x = (40 * torch.rand(30, 5)).to(dtype)
    z = Standardizer().fit_transform(x)
    assert z.dtype == (torch.float32 if dtype == torch.uint8 else dtype)
    eps = torch.finfo(z.dtype).eps
    expected = Standardizer().fit_transform(x.double())
    torch.testing.assert_close(z.double(), expected, rtol=4 * eps, atol=4 * eps)
    assert (Standardizer().fit_transform(torch.full((4, 2), 3, dtype=dtype)) == 0).all()


# --- what they share ----------------------------------------------------------------------------


@pytest.mark.parametrize("classifier", CLASSIFIERS, ids=str)
def test_tensors_and_arrays(classifier, digits):
    """The same numbers in both; each gives back what it is given; either predicts the other."""
    x, y = digits[0][:400].astype(np.float32), digits[1][:400]
    tx, ty = torch.from_numpy(x), torch.from_numpy(y)
    array, tensor = clone(classifier).fit(x, y), clone(classifier).fit(tx, ty)
    assert isinstance(array.predict(x), np.ndarray) and isinstance(tensor.predict(tx), torch.Tensor)
    assert isinstance(array.classes_, np.ndarray) and isinstance(tensor.classes_, torch.Tensor)
    np.testing.assert_array_equal(array.decision_function(x), tensor.decision_function(tx).numpy())
    np.testing.assert_array_equal(array.predict(tx).numpy(), tensor.predict(x))
    assert array.score(x, y) == tensor.score(tx, ty) > 0.9
    words = np.array(["zero", "one", "two"], dtype=object)
    few = y < 3
    named = clone(classifier).fit(x[few], words[y[few]])
    assert named.score(x[few], words[y[few]]) > 0.95
    with pytest.raises(TypeError, match="the labels are no integers"):
        named.predict(tx)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_standardised_where_they_lie(dtype):
    x = torch.randn(300, 7).to(dtype)
    expected, kept = Standardizer().fit_transform(x), x.clone()
    z = Standardizer(copy=False).fit_transform(x)
    assert z.data_ptr() == x.data_ptr() and torch.equal(x, expected)
    array = kept.numpy().copy()
    z = Standardizer(copy=False).fit_transform(array)
    assert np.shares_memory(z, array) and np.array_equal(array, expected.numpy())
    fixed = kept.numpy().copy()
    fixed.flags.writeable = False
    learned, wide = kept.clone().requires_grad_(), kept[:1].expand(300, 7)
    windows, parts = kept.flatten().unfold(0, 7, 1), kept[:, 1:5]
    for untouched in (fixed, learned, wide, windows, parts, (8 * kept).to(torch.int64)):
        before = untouched.copy() if untouched is fixed else untouched.clone()
        z = Standardizer(copy=False).fit_transform(untouched)
        assert (untouched == before).all()
        assert (z == Standardizer().fit_transform(before)).all()


def test_pipeline_and_grid_search(digits):
    x, y = digits[0][:300].astype(np.float32), digits[1][:300]
    chain = make_pipeline(Standardizer(), LinearClassifier("log"))
    search = GridSearchCV(chain, {"linearclassifier__C": [0.01, 10.0]}, cv=2).fit(x, y)
    assert search.best_params_ == {"linearclassifier__C": 10.0}
    chain.fit(torch.from_numpy(x), torch.from_numpy(y))
    assert chain.score(torch.from_numpy(x), torch.from_numpy(y)) > 0.95


WRONG_WEIGHTS = [
    ([1] * 5, r"a weight for each of 6 rows; got \[5\]"),
    (torch.ones(6, 1), r"a weight for each of 6 rows; got \[6, 1\]"),
    ([-1, *[1] * 5], "must be finite and not negative; got -1 to 1"),
    ([torch.inf, *[1] * 5], "inf"),
    (torch.full((6,), torch.nan), "must be finite"),
    (torch.zeros(6), "must not be zero for all rows"),
    (0, "must not be zero for all rows"),
]


@pytest.mark.parametrize("weights, words", WRONG_WEIGHTS)
@pytest.mark.parametrize("classifier", EXACT, ids=str)
def test_wrong_weights(classifier, weights, words):
    for x, y in ((x0, y0), (x0.numpy(), y0.numpy())):
        with pytest.raises(ValueError, match=words):
            clone(classifier).fit(x, y, sample_weight=weights)


@pytest.mark.parametrize(
    "weights, words",
    [
        ("even", "class_weight must be a dict, 'balanced' or None; got 'even'"),
        ([1, 2], r"class_weight must be a dict, 'balanced' or None; got \[1, 2\]"),
        ({0: -1}, "class_weight must be finite and not negative"),
        ({0: torch.inf}, "class_weight must be finite and not negative"),
        ({0: 1, 7: 1}, r"\[1\], are not in class_weight"),
        ({0: 0, 1: 0}, "class_weight leaves every row a weight of zero"),
    ],
)
@pytest.mark.parametrize("classifier", EXACT, ids=str)
def test_wrong_class_weights(classifier, weights, words):
    with pytest.raises(ValueError, match=words):
        clone(classifier).set_params(class_weight=weights).fit(x0, y0)


def test_a_class_without_weight():
    w = [1, 1, 1, 1, 0, 0]
    y = torch.tensor([0, 1, 0, 1, 2, 2])
    with pytest.raises(ValueError, match="the class 2 has no row of positive weight"):
        PCAAffineClassifier().fit(x0, y, w)
    for classifier in EXACT[:3]:
        fitted = clone(classifier).fit(x0, y, w)
        assert 2 not in fitted.predict(x0) and fitted.classes_.tolist() == [0, 1, 2]


x0, y0 = torch.randn(6, 3), torch.tensor([0, 1, 0, 1, 0, 1])
WRONG = [
    (RidgeClassifier("gcv"), x0, y0, ValueError, "alpha must be 'loo' or a positive number"),
    (RidgeClassifier(-1.0), x0, y0, ValueError, "alpha must be 'loo' or a positive number; got -1"),
    (RidgeClassifier(alphas=[]), x0, y0, ValueError, "alphas must be positive"),
    (RidgeClassifier(alphas=[0, 1]), x0, y0, ValueError, r"alphas must be positive; got \[0, 1\]"),
    (LinearClassifier("hinge"), x0, y0, ValueError, "loss must be one of 'squared_hinge', 'log'"),
    (LinearClassifier(C=0), x0, y0, ValueError, "C must be positive and finite; got 0"),
    (PCAAffineClassifier(-1), x0, y0, ValueError, "n_components must be at least 0; got -1"),
    (PCAAffineClassifier("some"), x0, y0, ValueError, "n_components must be 'cv', 'all' or an"),
    (PCAAffineClassifier(max_components=2.5), x0, y0, TypeError, "max_components must be an int"),
    (Standardizer(-1), x0, y0, ValueError, "floor must be 0 or more and finite; got -1"),
    (RidgeClassifier(), x0[0], y0, ValueError, r"X must be a dense tensor \[n, d\].*\[3\]"),
    (RidgeClassifier(), x0 * 1j, y0, TypeError, "X must be real numbers; got torch.complex64"),
    (RidgeClassifier(), x0 / 0, y0, ValueError, "X contains NaN or infinity"),
    (RidgeClassifier(), x0, y0[1:], ValueError, "a label for each of 6 rows; got 5"),
    (RidgeClassifier(), x0, y0.float(), TypeError, "y must be a tensor of integers; got a tensor"),
    (RidgeClassifier(), x0, [0] * 6, TypeError, "y must be a tensor of integers; got list"),
    (RidgeClassifier(), x0, 0 * y0, ValueError, "two or more classes; got one class"),
    (RidgeClassifier(), x0.numpy(), np.zeros(6), ValueError, "two or more classes; got one class"),
    (RidgeClassifier(), x0, None, ValueError, "requires y to be passed"),
]


@pytest.mark.parametrize("estimator, X, y, kind, words", WRONG)
def test_errors(estimator, X, y, kind, words):
    with pytest.raises(kind, match=words):
        estimator.fit(X, y)


@pytest.mark.parametrize("classifier", CLASSIFIERS[::2], ids=str)
def test_errors_when_predicting(classifier):
    with pytest.raises(NotFittedError):
        clone(classifier).predict(x0)
    fitted = clone(classifier).fit(x0, y0)
    with pytest.raises(ValueError, match=r"X has 2 features, but .* is expecting 3"):
        fitted.predict(x0[:, :2])
    with pytest.raises(ValueError, match=r"a weight for each of 6 rows; got \[5\]"):
        fitted.score(x0, y0, sample_weight=torch.ones(5))


X1, Y1 = np.random.default_rng(0).normal(size=(40, 4)), np.arange(40) % 2
ESTIMATORS = {
    "ridge": RidgeClassifier(), "svm": LinearClassifier(), "pca": PCAAffineClassifier(),
    "views": ManyViews(RidgeClassifier(), views=2), "chosen": OrthogonalLeastSquares(2),
    "standard": Standardizer(),
}  # fmt: skip


@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_refused_fit_leaves_an_estimator_as_it_was(name):
    estimator = clone(ESTIMATORS[name]).fit(X1, Y1)
    before = pickle.dumps(estimator)
    wide, bad = np.random.default_rng(1).normal(size=(40, 6)), X1.copy()
    bad[3, 1] = np.nan
    refused = [(bad, Y1)]
    if name != "standard":
        refused += [(wide, np.zeros(40)), (wide, Y1[1:])]
    if name in ("ridge", "svm", "pca"):
        estimator.class_weight = {0: 0.0, 1: 1.0, 7: 0.0}
        refused.append((wide, np.where(Y1, 7, 0)))
    for X, y in refused:
        with pytest.raises(ValueError):
            estimator.fit(X, y)
    if name in ("ridge", "svm", "pca"):
        estimator.class_weight = None
    assert pickle.dumps(estimator) == before
    if name == "standard":
        with pytest.raises(ValueError):
            estimator.partial_fit(bad)
        assert estimator.partial_fit(X1).n_samples_seen_ == 80


def test_a_refused_fit_keeps_the_sums_of_partial_fit():
    ridge = RidgeClassifier(1.0).partial_fit(X1[:20], Y1[:20], classes=[0, 1])
    with pytest.raises(ValueError):
        ridge.fit(X1, np.zeros(40))
    ridge.partial_fit(X1[20:], Y1[20:])
    np.testing.assert_allclose(ridge.coef_, RidgeClassifier(1.0).fit(X1, Y1).coef_, rtol=1e-10)


@pytest.mark.parametrize("name", ["ridge", "svm", "pca", "views", "chosen"])
def test_arrays_of_any_layout_and_order_of_bytes(name, tmp_path):
    wanted = clone(ESTIMATORS[name]).fit(X1[::-1].copy(), Y1[::-1].copy())
    found = clone(ESTIMATORS[name]).fit(X1.astype(">f8")[::-1], Y1.astype(">i4")[::-1])
    if name == "chosen":
        assert np.array_equal(found.chosen_, wanted.chosen_)
        return
    save(found, tmp_path / "x")
    assert np.array_equal(load(tmp_path / "x").predict(X1), wanted.predict(X1))


@pytest.mark.parametrize("wrong", [
    RidgeClassifier(None), RidgeClassifier([1.0]), RidgeClassifier(alphas="x"),
    RidgeClassifier(alphas=[1.0, np.inf]), RidgeClassifier(np.inf), LinearClassifier(C=None),
    LinearClassifier(C="a"), LinearClassifier(max_iter=1.5), LinearClassifier(tol=None),
    LinearClassifier(loss=[]), Standardizer(None), Standardizer("a"), Standardizer(np.inf),
    Standardizer(copy="no"),
], ids=repr)  # fmt: skip
def test_parameters_are_told(wrong):
    with pytest.raises((TypeError, ValueError), match=f"{type(wrong).__name__}: [a-zC_]+ must be"):
        wrong.fit(X1, Y1)
    assert not any(name.endswith("_") for name in vars(wrong))


@pytest.mark.parametrize("estimator", [
    RidgeClassifier(), RidgeClassifier(1.0), PCAAffineClassifier(1), LinearClassifier(),
], ids=repr)  # fmt: skip
def test_numbers_whose_squares_overflow(estimator):
    """A sentence, or an answer."""
    X = (np.random.default_rng(0).normal(size=(80, 5)) * 1e20).astype("f4")
    y = (X[:, 0] > 0).astype(int)
    try:
        clone(estimator).fit(X, y)
    except ValueError as error:
        assert "X must have squares that can be summed" in str(error)


def test_weights_are_real_and_directions_no_more_than_features():
    weights = np.full(40, 1 + 1j)
    for given in (weights, torch.from_numpy(weights)):
        with pytest.raises(TypeError, match="sample_weight must be real numbers; got"):
            RidgeClassifier().fit(X1, Y1, sample_weight=given)
    found = PCAAffineClassifier(10**9, 10**9).fit(X1, Y1)
    assert found.n_components_ == 4 and found.components_.shape == (2, 4, 4)


def test_a_class_that_is_switched_off_comes_in_any_batch():
    weight = {0: 0.0, 1: 1.0, 2: 1.0}
    y = np.arange(40) % 3
    order = np.argsort(y, kind="stable")  # the first batch has class 0 alone
    ridge = RidgeClassifier(1.0, class_weight=weight)
    for some in np.split(order, [10, 14, 30]):
        ridge.partial_fit(X1[some], y[some], classes=[0, 1, 2])
        if some[0] == order[0]:
            with pytest.raises(ValueError, match="every row so far has a weight of zero"):
                ridge.predict(X1)
    whole = RidgeClassifier(1.0, class_weight=weight).fit(X1, y)
    np.testing.assert_allclose(ridge.coef_, whole.coef_, rtol=1e-9, atol=1e-12)
