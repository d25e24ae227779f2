"""Linear classifiers against explicit leave-one-out, scikit-learn's minima and brute force."""

from __future__ import annotations

import os
import pathlib
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
from sklearn.utils.estimator_checks import parametrize_with_checks

import scatcuda
from scatcuda.learn import estimator as shared
from scatcuda.learn.linear import LinearClassifier
from scatcuda.learn.pca import PCAAffineClassifier
from scatcuda.learn.ridge import RidgeClassifier
from scatcuda.learn.standardizer import Standardizer

CLASSIFIERS = [
    RidgeClassifier(),
    RidgeClassifier(alpha=1.0),
    LinearClassifier(),
    LinearClassifier("log"),
    PCAAffineClassifier(),
    PCAAffineClassifier(2),
]
ALPHAS = (1e-3, 1e-1, 3.0, 100.0)


def expected_failures(estimator) -> dict[str, str]:
    if isinstance(estimator, RidgeClassifier):
        reason = "partial_fit does not continue fit, which keeps no Gram matrix"
        return {"check_fit_score_takes_y": reason}
    return {}


@parametrize_with_checks(
    [Standardizer(), *CLASSIFIERS[:1], *CLASSIFIERS[2:5]],
    expected_failed_checks=expected_failures,
    xfail_strict=True,
)
def test_scikit_learn(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    x, y = load_digits(return_X_y=True)
    return x / 16, y


@pytest.fixture
def small_blocks(monkeypatch):
    """Several blocks where one would do."""
    monkeypatch.setattr(shared, "_BLOCK", 3000)
    monkeypatch.setattr("scatcuda.learn.ridge._COLUMNS", 100)


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
    with pytest.raises(ValueError, match="cannot add to what fit or load made"):
        RidgeClassifier(1.0).fit(x, y).partial_fit(x, y, classes=np.arange(10))
    again = RidgeClassifier(1.0).fit(x, y)
    np.testing.assert_allclose(ridge.fit(x, y).coef_, again.coef_)  # fit forgets


HALF = """
import sys, torch
from scatcuda.learn.ridge import RidgeClassifier
from scatcuda.learn.standardizer import Standardizer
directory, rank = sys.argv[1], int(sys.argv[2])
torch.set_num_threads(1)
torch.distributed.init_process_group(
    "gloo", init_method=f"file://{directory}/meeting", rank=rank, world_size=2
)
x, y, expected = torch.load(f"{directory}/data.pt")
mine = slice(0, 300) if rank == 0 else slice(300, None)
z = Standardizer(distributed=True).fit(x[mine]).transform(x)
results = [z]
ridge = RidgeClassifier(distributed=True).fit(z[mine], y[mine])
results += [ridge.classes_, ridge.coef_, ridge.intercept_, ridge.loo_error_]
for rows in (slice(0, 100), slice(100, None)):
    part = RidgeClassifier(distributed=True) if rows.start == 0 else part
    part.partial_fit(z[mine][rows], y[mine][rows], classes=torch.arange(10))
results += [part.coef_, part.intercept_, part.gcv_error_]
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
        timeout=300,
    )
    assert done.returncode == 0, done.stderr


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
    torch.save((x, y, expected), tmp_path / "data.pt")
    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(in_a_process, HALF, tmp_path, rank) for rank in (0, 1)]:
            done.result()


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
    monkeypatch.setattr("scatcuda.learn.linear._SMALL", small)
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
    monkeypatch.setattr("scatcuda.learn.pca._ENOUGH", 50)  # one fold is enough
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


def test_pipeline_and_grid_search(digits):
    x, y = digits[0][:300].astype(np.float32), digits[1][:300]
    chain = make_pipeline(Standardizer(), LinearClassifier("log"))
    search = GridSearchCV(chain, {"linearclassifier__C": [0.01, 10.0]}, cv=2).fit(x, y)
    assert search.best_params_ == {"linearclassifier__C": 10.0}
    chain.fit(torch.from_numpy(x), torch.from_numpy(y))
    assert chain.score(torch.from_numpy(x), torch.from_numpy(y)) > 0.95


x0, y0 = torch.randn(6, 3), torch.tensor([0, 1, 0, 1, 0, 1])
WRONG = [
    (RidgeClassifier("gcv"), x0, y0, ValueError, "alpha must be 'loo' or a positive number"),
    (RidgeClassifier(-1.0), x0, y0, ValueError, "alpha must be 'loo' or a positive number; got -1"),
    (RidgeClassifier(alphas=[]), x0, y0, ValueError, "alphas must be positive"),
    (RidgeClassifier(alphas=[0, 1]), x0, y0, ValueError, r"alphas must be positive; got \[0, 1\]"),
    (LinearClassifier("hinge"), x0, y0, ValueError, "loss must be 'squared_hinge' or 'log'"),
    (LinearClassifier(C=0), x0, y0, ValueError, "C must be positive; got 0"),
    (PCAAffineClassifier(-1), x0, y0, ValueError, "n_components must be at least 0; got -1"),
    (PCAAffineClassifier("all"), x0, y0, ValueError, "n_components must be 'cv' or an integer"),
    (PCAAffineClassifier(max_components=2.5), x0, y0, TypeError, "max_components must be an int"),
    (Standardizer(-1), x0, y0, ValueError, "floor must be 0 or more; got -1"),
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
    with pytest.raises(ValueError, match="sample_weight goes with NumPy arrays only"):
        fitted.score(x0, y0, sample_weight=torch.ones(6))
