"""Signals: spoken digits, heartbeats and time series, by the logarithm of their scattering.

    features(x): mean 0, energy 1 -> Scattering1D -> means over a few stretches of time -> log
    then a support vector machine, with kernels or, of many signals, linear

``DIR`` has `recordings` of the Free Spoken Digit Dataset (``7_jackson_32.wav``), the MIT-BIH beats
as `mit-bih.npz` (x_train, y_train of DS1, x_test, y_test of DS2) or as PhysioNet's `mitdb`, and
UCR's `OSULeaf`, `ACSF1`, `PigCVP`; and `qm7.npz`, see molecules.py. What is chosen is chosen on
training signals.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import confusion_matrix
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from torch import Tensor

from scatcuda import Scattering1D, TimeFrequencyScattering
from scatcuda.data import DataError, load
from scatcuda.learn import LinearClassifier

from .molecules import qm7

EPS = 1e-6  # of the logarithm, beside signals of energy 1


def averages(x: Tensor, J: int, Q: int, stretches: int = 1) -> Tensor:
    """Coefficients ``[n, C, stretches]`` of signals ``[n, N]`` of mean 0 and energy 1."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the padding of short signals shows
        scattering = Scattering1D(J, x.shape[-1], Q)
    found = []
    for some in normalised(x):
        found.append(torch.nn.functional.adaptive_avg_pool1d(scattering(some), stretches))
    return torch.cat(found)


def features(x: Tensor, J: int, Q: int, stretches: int = 1) -> np.ndarray:
    """Rows ``[n, d]``: the logarithm of the averages, without order 0."""
    return (averages(x, J, Q, stretches)[:, 1:].clamp(min=0) + EPS).log().flatten(1).numpy()


def joint_features(x: Tensor, J: int, Q: int, J_fr: int, stretches: int = 1) -> np.ndarray:
    """Rows ``[n, d]``: the logarithm of joint time-frequency scattering, averaged over the
    stretches and over all log-frequencies, of which the speaker's voice has its own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        joint = TimeFrequencyScattering(
            J=J, J_fr=J_fr, Q=Q, shape=x.shape[-1], F="global", format="joint"
        )
    found = []
    for some in normalised(x):
        S = joint(some).flatten(1, -2)
        found.append(torch.nn.functional.adaptive_avg_pool1d(S, stretches))
    return (torch.cat(found) + EPS).log().flatten(1).numpy()


def normalised(x: Tensor) -> Iterator[Tensor]:
    """Signals of mean 0 and energy 1, some at a time."""
    for some in x.float().split(64):
        some = some - some.mean(-1, keepdim=True)
        yield some / some.square().mean(-1, keepdim=True).sqrt().clamp(min=1e-8)


def svm() -> Any:
    """Support vectors with Gaussian kernels, on standardised features."""
    return make_pipeline(StandardScaler(), SVC(C=10))


def discriminants() -> Any:
    """Linear ones, their covariance shrunk by the formula of Ledoit and Wolf."""
    return make_pipeline(
        StandardScaler(), LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
    )


def spoken_digits(data_dir: str | None) -> dict[str, Any]:
    """The official takes 0 to 4 for testing; and each speaker by what the five others taught."""
    name, label = "recordings", "^([0-9])_"
    dataset = load(name, data_dir, label=label, length=8192)
    x, y = features(dataset.train_x[:], J=9, Q=8, stretches=3), dataset.train_y.numpy()
    found = [re.search(r"[0-9]_([a-z]+)_([0-9]+)\.", file) for file in dataset.train_x.files]
    speaker = np.array([m[1] for m in found if m])
    take = np.array([int(m[2]) for m in found if m])
    official = svm().fit(x[take > 4], y[take > 4]).score(x[take < 5], y[take < 5])
    rows = [("official takes", f"{official:.2%}")]

    def heard(x: np.ndarray, make: Callable[[], Any], among: np.ndarray) -> list[float]:
        """Of each speaker among some, what the others of them taught."""
        scores = []
        for one in np.unique(speaker[among]):
            taught, asked = among & (speaker != one), among & (speaker == one)
            scores.append(make().fit(x[taught], y[taught]).score(x[asked], y[asked]))
        return scores

    def never_heard(what: str, scores: list[float]) -> float:
        spread = f" ± {100 * np.std(scores):.1f} over {len(scores)} speakers"
        rows.append((what, f"{np.mean(scores):.1%}{spread}"))
        return float(np.mean(scores))

    everyone = np.ones(len(y), dtype=bool)
    unheard = never_heard("a speaker never heard", heard(x, svm, everyone))
    # J of the joint features by the speakers that teach alone
    both = [
        np.hstack([x, joint_features(dataset.train_x[:], J, Q=8, J_fr=3, stretches=3)])
        for J in (8, 9, 10)
    ]
    scores = []
    for one in np.unique(speaker):
        teach, ask = speaker != one, speaker == one
        best = max(both, key=lambda x, teach=teach: np.mean(heard(x, discriminants, teach)))
        scores.append(discriminants().fit(best[teach], y[teach]).score(best[ask], y[ask]))
    joint = never_heard("with joint features, discriminants", scores)
    alone = never_heard("without these", heard(x, discriminants, everyone))
    return {
        "title": "Spoken digits: J = 9, Q = 8, three stretches, SVM", "lines": rows,
        "verdicts": [
            _verdict("official takes", official, 98.5), _verdict("unheard", unheard, 66),
            _verdict("joint features gain", joint - alone, 3),
        ],
    }  # fmt: skip


def mit_bih(data_dir: str | None) -> dict[str, Any]:
    """Beats of patients never seen, by their shape alone: DS1 teaches, DS2 is asked; with every
    beat as heavy as the others, and with every class."""
    try:
        dataset = load("mit-bih", data_dir)
    except DataError:
        dataset = load("mitdb", data_dir)
    numbered = dataset.classes == tuple("01234")
    names = tuple("NSVFQ") if numbered else dataset.classes
    x, test_x = (
        averages(part, J=4, Q=1, stretches=8).flatten(1).numpy()
        for part in (dataset.train_x, dataset.test_x)
    )
    y, test_y = dataset.train_y.numpy(), dataset.test_y.numpy()
    rows = []
    for weight, words in ((None, "beats weighted alike"), ("balanced", "classes weighted alike")):
        model = make_pipeline(StandardScaler(), LinearClassifier(C=0.01, class_weight=weight))
        said = model.fit(x, y).predict(test_x)
        table = confusion_matrix(test_y, said, labels=range(len(names)))
        rows.append((words, f"{table.trace() / table.sum():.2%} right"))
        for k, name in enumerate(names):
            found, claimed, right = table[k].sum(), table[:, k].sum(), table[k, k]
            precision = f"{right / claimed:.1%}" if claimed else "never said"
            rows.append((
                f"{name}, {found} beats",
                f"sensitivity {right / max(found, 1):.1%}, positive predictivity {precision}",
            ))  # fmt: skip
    return {"title": "MIT-BIH beats, by patient: J = 4, Q = 1, eight stretches, SVM", "lines": rows}


def ucr(data_dir: str | None) -> dict[str, Any]:
    """J, Q and stretches by five folds of the training series; 1-NN beside it."""
    rows = []
    for name in ("OSULeaf", "ACSF1", "PigCVP"):
        dataset = load(name, data_dir)
        y, test_y = dataset.train_y.numpy(), dataset.test_y.numpy()
        warnings.filterwarnings("ignore", "The number of unique classes")
        folds = StratifiedKFold(min(5, int(np.bincount(y).min())), shuffle=True, random_state=0)
        options = [(J, Q, s) for J in (4, 5, 6, 7) for Q in (1, 4) for s in (1, 4)]
        scores = {
            o: cross_val_score(svm(), features(dataset.train_x, *o), y, cv=folds).mean()
            for o in options
        }
        best = max(options, key=lambda o: scores[o])
        model = svm().fit(features(dataset.train_x, *best), y)
        score = model.score(features(dataset.test_x, *best), test_y)
        nearest = KNeighborsClassifier(1).fit(dataset.train_x, y).score(dataset.test_x, test_y)
        rows.append(
            (name, f"{score:.1%} (J = {best[0]}, Q = {best[1]}, {best[2]} stretches); "
                   f"nearest neighbour of the series {nearest:.1%}")
        )  # fmt: skip
    return {"title": "UCR's time series: SVM", "lines": rows}


def _verdict(what: str, found: float, bound: float) -> dict[str, Any]:
    met = round(100 * float(found), 2) >= bound
    text = f"{what}: {found:.2%}, at least {bound:g} %"
    return {"met": met, "text": f"{text}: {'met' if met else 'MISSED'}"}


EXPERIMENTS: dict[str, Callable[[str | None], dict[str, Any]]] = {
    "spoken-digits": spoken_digits,
    "mit-bih": mit_bih,
    "ucr": ucr,
    "qm7": qm7,
}


def measure(name: str, data_dir: str | None) -> dict[str, Any]:
    """What came out of one of them."""
    found = {"kind": "signals", "verdicts": [], **EXPERIMENTS[name](data_dir)}
    for what, words in found["lines"]:
        print(f"   {what:<24} {words}", flush=True)
    return found
