"""Estimators in files: the same bits back, and a sentence for what is no such file."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
import torch
from safetensors.torch import save as pack
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    RobustScaler,
    StandardScaler,
)
from sklearn.svm import LinearSVC

from scatcuda.data import DataError
from scatcuda.learn.classifiers.linear import LinearClassifier
from scatcuda.learn.classifiers.pca import PCAAffineClassifier
from scatcuda.learn.classifiers.ridge import RidgeClassifier
from scatcuda.learn.classifiers.selection import OrthogonalLeastSquares
from scatcuda.learn.classifiers.standardizer import Standardizer
from scatcuda.learn.classifiers.views import ManyViews
from scatcuda.learn.extraction.transformer import ScatteringTransformer
from scatcuda.learn.saving import load, save

KEY = "scatcuda.estimator"
ESTIMATORS = [
    RidgeClassifier(alphas=np.logspace(-2, 2, 5)),
    RidgeClassifier(alpha=np.float32(0.5)),
    LinearClassifier("log", C=2),
    PCAAffineClassifier(),
    PCAAffineClassifier(1),
    make_pipeline(Standardizer(floor=0.2), RidgeClassifier()),
    RidgeClassifier(class_weight="balanced"),
    ManyViews(PCAAffineClassifier(1), views=2),
    ManyViews(LogisticRegression(), views=2, combine="mean"),
    make_pipeline(OrthogonalLeastSquares(2), PCAAffineClassifier("all")),
]
THEIRS = [
    [StandardScaler()],
    [StandardScaler(with_mean=False)],
    [StandardScaler(with_std=False)],
    [MinMaxScaler((-1, 2), clip=True)],
    [MaxAbsScaler()],
    [RobustScaler(quantile_range=(10, 90))],
    [Normalizer("l1")],
    [PCA()],
    [PCA(3, whiten=True)],
    [PCA(0.9)],
    [StandardScaler(), PCA(2), Normalizer()],
    ["passthrough"],
]


def rows(kind: str):
    x, y = torch.randn(40, 4, dtype=torch.float64), torch.arange(40) % 3
    x += y[:, None]
    if kind == "tensors":
        return x.float(), y
    if kind == "words":
        return x.numpy(), np.array(["zéro", "one", "two"])[y]
    if kind == "objects":
        return x.numpy(), np.array(["zéro", "one", "two"], dtype=object)[y]
    return x.numpy().astype(np.float16), y.numpy()


@pytest.mark.parametrize("kind", ["tensors", "arrays", "words", "objects"])
@pytest.mark.parametrize("estimator", ESTIMATORS, ids=str)
def test_comes_back(estimator, kind, tmp_path):
    x, y = rows(kind)
    path = tmp_path / "estimator.safetensors"
    save(estimator.fit(x, y), path)
    again = load(path)
    assert type(again) is type(estimator)
    for name in ("decision_function", "predict"):
        ours, expected = getattr(again, name)(x), getattr(estimator, name)(x)
        assert type(ours) is type(expected) and ours.dtype == expected.dtype
        assert (ours == expected).all()
    assert again.score(x, y) == estimator.score(x, y)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_after_partial_fit(tmp_path):
    x, y = rows("tensors")
    ridge = RidgeClassifier().partial_fit(x, y, classes=torch.arange(3))
    save(ridge, tmp_path / "ridge")  # solved for it
    again = load(tmp_path / "ridge")
    assert torch.equal(again.coef_, ridge.coef_) and again.alpha_ == ridge.alpha_
    with pytest.raises(ValueError, match="cannot add to what load made"):
        again.partial_fit(x, y, classes=torch.arange(3))


@pytest.mark.parametrize("kind", ["arrays", "words"])
@pytest.mark.parametrize("last", [RidgeClassifier(), LogisticRegression(), LinearSVC()], ids=str)
@pytest.mark.parametrize("steps", THEIRS, ids=str)
def test_scikit_learns_steps_come_back(steps, last, kind, tmp_path):
    x, y = rows(kind)
    model = clone(make_pipeline(*steps, last)).fit(x, y)
    save(model, tmp_path / "model")
    again = load(tmp_path / "model")
    assert [name for name, _ in again.steps] == [name for name, _ in model.steps]
    for method in ("decision_function", "predict", "predict_proba"):
        if hasattr(model, method):
            found, expected = getattr(again, method)(x), getattr(model, method)(x)
            assert found.dtype == expected.dtype and (found == expected).all()
    for ours, theirs in zip(again.named_steps.values(), model.named_steps.values(), strict=True):
        assert ours == theirs == "passthrough" or ours.get_params() == theirs.get_params()
    assert again[:-1].get_feature_names_out is not None
    if steps != ["passthrough"]:
        moved, expected = again[:-1].transform(x), model[:-1].transform(x)
        assert (moved == expected).all()
        names = again[:-1].get_feature_names_out()
        assert names.tolist() == model[:-1].get_feature_names_out().tolist()


def test_scikit_learns_step_alone_and_frames(tmp_path):
    pandas = pytest.importorskip("pandas")
    x, y = rows("arrays")
    frame = pandas.DataFrame(x.astype(float), columns=["a", "b", "c", "d"])
    save(StandardScaler().fit(frame), tmp_path / "scaler")
    again = load(tmp_path / "scaler")
    assert again.get_feature_names_out().tolist() == ["a", "b", "c", "d"]
    assert (again.transform(frame) == StandardScaler().fit_transform(frame)).all()
    model = make_pipeline(StandardScaler(), RidgeClassifier()).fit(frame, y)
    save(model, tmp_path / "model")
    assert (load(tmp_path / "model").predict(frame) == model.predict(frame)).all()


def test_class_weights_come_back(tmp_path):
    x, y = rows("words")
    for weights in ({"one": 2.0, "two": 0.5}, "balanced", {}):
        ridge = RidgeClassifier(class_weight=weights).fit(x, y)
        save(ridge, tmp_path / "ridge")
        assert load(tmp_path / "ridge").get_params() == ridge.get_params()
    ridge = LinearClassifier(class_weight={np.int64(1): np.float32(2)}).fit(*rows("arrays"))
    save(ridge, tmp_path / "ridge")
    assert load(tmp_path / "ridge").class_weight == {1: 2}


def test_parameters_come_back(tmp_path):
    x, y = rows("tensors")
    ridge = RidgeClassifier(alphas=(0.5, 2.0)).fit(x, y)
    save(ridge, tmp_path / "ridge")
    assert load(tmp_path / "ridge").get_params() == ridge.get_params()


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "ridge.safetensors"
    save(RidgeClassifier().fit(*rows("tensors")), path)
    return path


def test_truncated_anywhere(file):
    content = file.read_bytes()
    for length in range(0, len(content), 7):
        file.write_bytes(content[:length])
        with pytest.raises(DataError, match=r"ridge\.safetensors: ") as caught:
            load(file)
        assert "\n" not in str(caught.value)


def changed(file, change) -> None:
    """The file with its header's JSON and its tensors changed."""
    from safetensors import safe_open

    with safe_open(file, "pt") as opened:
        header = json.loads(opened.metadata()[KEY])
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}
    change(header, header["estimators"][0], tensors)
    file.write_bytes(pack(tensors, {KEY: json.dumps(header)}))


HOSTILE = {
    "unknown class 'os'": lambda h, e, t: e.update({"class": "os"}),
    "version 2, expected 1": lambda h, e, t: h.update(version=2),
    "has no 'predict'": lambda h, e, t: e["attributes"].update(predict={"value": 1}),
    "unexpected keyword": lambda h, e, t: e["parameters"].update(evil=1),
    "contains NaN": lambda h, e, t: t["0/coef_"].fill_(torch.nan),
    "have shapes": lambda h, e, t: t.update({"0/coef_": torch.zeros(3, 5)}),
    "'0/coef_'": lambda h, e, t: t.pop("0/coef_"),
    "coef_": lambda h, e, t: e["attributes"].pop("coef_"),
    "estimators": lambda h, e, t: h.pop("estimators"),
    "values to unpack": lambda h, e, t: h.update(estimators=[]),
}


@pytest.mark.parametrize("words", HOSTILE)
def test_hostile(words, file):
    changed(file, HOSTILE[words])
    with pytest.raises(DataError, match=words) as caught:
        load(file)
    assert str(caught.value).startswith(f"{file}: does not describe an estimator")


HOSTILE_STEPS = {
    r"mean_ has the shape \(5,\)": lambda h, e, t: t.update({"0/mean_": torch.zeros(5)}),
    r"explained_variance_ has the shape": lambda h, e, t: t.update(
        {"1/components_": torch.zeros(3, 4)}
    ),
    r"coef_ has the shape": lambda h, e, t: t.update({"2/coef_": torch.zeros(3)}),
    r"coef_ has 3 rows with 2": lambda h, e, t: t.update({"2/classes_": torch.arange(2)}),
    "has no 'transform'": lambda h, e, t: e["attributes"].update(transform={"value": 1}),
    "'with_mean' parameter": lambda h, e, t: e["parameters"].update(with_mean="os.system"),
    "unknown class 'Pipeline'": lambda h, e, t: e.update({"class": "Pipeline"}),
    "unknown class 'FunctionTransformer'": lambda h, e, t: e.update(
        {"class": "FunctionTransformer"}
    ),
}


@pytest.mark.parametrize("words", HOSTILE_STEPS)
def test_hostile_steps(words, tmp_path):
    x, y = rows("arrays")
    file = tmp_path / "model"
    save(make_pipeline(StandardScaler(), PCA(2), LogisticRegression()).fit(x, y), file)
    load(file)
    changed(file, HOSTILE_STEPS[words])
    with pytest.raises(DataError, match=words):
        load(file)


HOSTILE_PROBLEMS = {
    "its filters: reading it would take": lambda h, e, t: e["attributes"].update(
        shape_={"value": [60000, 60000]}
    ),
    "J must be": lambda h, e, t: e["parameters"].update(J=10**6),
    "dtype must be": lambda h, e, t: e["parameters"].update(dtype="int8"),
    "shape_": lambda h, e, t: e["attributes"].pop("shape_"),
}


@pytest.mark.parametrize("words", HOSTILE_PROBLEMS)
def test_hostile_problems(words, tmp_path):
    """What a file says is built when it is first used: it is asked for when it is read."""
    file = tmp_path / "model"
    save(ScatteringTransformer(2, max_order=1).fit(torch.rand(3, 16, 16)), file)
    assert load(file).shape_ == (16, 16)
    changed(file, HOSTILE_PROBLEMS[words])
    with pytest.raises(DataError, match=words) as caught:
        load(file)
    assert str(caught.value).startswith(f"{file}: ")


def test_no_such_file(tmp_path):
    with pytest.raises(DataError, match="nowhere: no such file"):
        load(tmp_path / "nowhere")
    (tmp_path / "other").write_bytes(pack({"x": torch.zeros(2)}))
    with pytest.raises(DataError, match="a safetensors file, but not of an estimator"):
        load(tmp_path / "other")
    with pytest.raises(DataError, match=r"a directory, where a file is expected"):
        load(tmp_path)


def test_only_what_is_known(tmp_path):
    x, y = rows("arrays")
    for stranger in (RandomForestClassifier(2), make_pipeline(Normalizer(), LinearClassifier())):
        with pytest.raises(TypeError, match=r"keep it with skops\.io or joblib"):
            save(Pipeline([("inner", stranger)]).fit(x, y), tmp_path / "x")
    function = make_pipeline(FunctionTransformer(np.abs), RidgeClassifier()).fit(x, y)
    with pytest.raises(TypeError, match=r"_function_transformer\.FunctionTransformer is not one"):
        save(function, tmp_path / "x")

    class PCA(Normalizer):
        """Of that name, but another."""

    with pytest.raises(TypeError, match=r"PCA is not one of what it keeps"):
        save(PCA().fit(x), tmp_path / "x")
    with pytest.raises(NotFittedError):
        save(RidgeClassifier(), tmp_path / "x")
    with pytest.raises(OSError, match="cannot be saved"):
        save(RidgeClassifier().fit(x, y), tmp_path / "no" / "x")
    assert not list(tmp_path.iterdir())


def test_interrupted(file, monkeypatch):
    """The old file stays until the new one is complete."""
    before = file.read_bytes()

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", stop)
    with pytest.raises(KeyboardInterrupt):
        save(RidgeClassifier(3.0).fit(*rows("tensors")), file)
    assert file.read_bytes() == before and len(list(file.parent.iterdir())) == 1
