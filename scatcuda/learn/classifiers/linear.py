"""Support vector machine and logistic regression by L-BFGS.

    min_W,b  ½ ‖W‖² + C Σ_i w_i loss(W x_i + b, y_i),   w = 1 unless given

The rows go through the device in blocks; the few parameters [K, d + 1] are moved by SciPy.
"""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.metaestimators import available_if
from torch import Tensor
from typing_extensions import Self

from ...arguments import integer, one_of, positive
from ...typing import ClassWeight, Loss
from .estimator import AffineScores, blocks, like, signs, wholly, working
from .moments import Moments

_SMALL = 1 << 24  # values, 128 MiB of float64
_CURVATURE: dict[Loss, float] = {
    "squared_hinge": 0.2,
    "log": 0.05,
}  # in the Hessian of MNIST; only speed depends on it


def _has_probabilities(classifier: LinearClassifier) -> bool:
    if classifier.loss != "log":
        raise AttributeError(
            f"LinearClassifier: loss={classifier.loss!r} knows no probabilities; take loss='log', "
            "or sklearn.calibration.CalibratedClassifierCV around it"
        )
    return True


class LinearClassifier(AffineScores):
    """Linear support vector machine or logistic regression.

    ``min ½ ‖W‖² + C Σ_i w_i loss(W x_i + b, y_i)``, ``C`` as in scikit-learn, ``w_i`` a row's
    weight, 1 unless given, the intercept ``b`` not penalised. ``loss="squared_hinge"``:
    ``Σ_k max(0, 1 − y_ik s_ik)²`` with scores ``s`` and ``y_ik = ±1`` one-versus-all, the loss of
    ``LinearSVC`` (which penalises its intercept). ``loss="log"``: ``−log softmax(s_i)`` at the
    row's class, for two classes ``log(1 + exp(−y_i s_i))``: the minimum of ``LogisticRegression``.
    It alone has :meth:`predict_proba` and :meth:`predict_log_proba`.

    Up to 2^24 values of ``X`` are computed in float64. More go through in blocks, never copied as a
    whole, in float32 (float64 for float64); sums over blocks and the search itself are in float64.

    Args:
        loss: ``"squared_hinge"`` or ``"log"``.
        C: weight of the losses against the penalty, positive; for rows of squared length about 1,
            as :class:`~scatcuda.learn.classifiers.standardizer.Standardizer` makes them.
        max_iter: most iterations of L-BFGS.
        tol: stop when the objective is about this close to its minimum, relatively. With float32
            rounding stops the search at about 1e-7.
        class_weight: what the weights of a class's rows are multiplied by: a dict, ``"balanced"``
            for ``Σ w / (K Σ w of the class)``, or ``None``.
    Attributes:
        classes_: the labels, sorted.
        coef_, intercept_: ``W`` and ``b``, ``[K, d]`` and ``[K]``; ``K`` is 1 for two classes.
        n_iter_: iterations made.
    Raises:
        TypeError, ValueError: a parameter is out of range; ``X`` is no ``[n, d]`` of finite
            numbers; ``y`` no ``n`` labels of two or more classes.
    Warns:
        ConvergenceWarning: ``max_iter`` came before ``tol``, or rounding stopped the search.
    Source: squared hinge, R.-E. Fan et al., "LIBLINEAR", JMLR 2008; L-BFGS, D. Liu and J. Nocedal,
        "On the limited memory BFGS method", Mathematical Programming 1989.
    Example:
        >>> from scatcuda.data import digits
        >>> x, y = digits(8)
        >>> svm = LinearClassifier().fit(x[:900].flatten(1), y[:900])
        >>> svm.score(x[900:].flatten(1), y[900:]) > 0.9
        True
    """

    fitted = (*AffineScores.fitted, "n_iter_")
    coef_: Any
    intercept_: Any
    n_iter_: int

    def __init__(
        self,
        loss: Loss = "squared_hinge",
        C: float = 1.0,
        max_iter: int = 1000,
        tol: float = 1e-6,
        *,
        class_weight: ClassWeight | None = None,
    ) -> None:
        self.loss = loss
        self.C = C
        self.max_iter = max_iter
        self.tol = tol
        self.class_weight = class_weight

    @wholly
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit the rows of ``X [n, d]`` with labels ``y [n]`` and weights ``sample_weight [n]``."""
        from scipy.optimize import minimize

        self._check_parameters()
        rows, index, weights = self._begin(X, y, sample_weight)
        objective = _Objective(rows, index, weights, len(self.classes_), self.loss, self.C)

        def stop(intermediate_result: Any) -> None:
            if objective.excess <= self.tol:
                raise StopIteration

        options = {
            "maxiter": self.max_iter,
            "maxfun": 10 * self.max_iter,
            "gtol": 0.0,
            "ftol": 0.0,
            "maxcor": 20,
        }
        found = minimize(
            objective,
            np.zeros(objective.K * (rows.shape[1] + 1)),
            jac=True,
            method="L-BFGS-B",
            callback=stop,
            options=options,
        )
        if objective.excess > self.tol:
            warnings.warn(
                f"LinearClassifier: stopped after {found.nit} of {self.max_iter} iterations about "
                f"{objective.excess:.1e} above the minimum, tol is {self.tol:.1e}; raise max_iter "
                "or tol, or standardise the features",
                ConvergenceWarning,
                stacklevel=3,  # of who called the method that fits
            )
        W = objective.parameters(found.x).to(rows.device, working(rows))
        self.coef_ = like(X, W[:, :-1].contiguous())
        self.intercept_ = like(X, W[:, -1].contiguous())
        self.n_iter_ = int(found.nit)
        return self

    if TYPE_CHECKING:

        @overload
        def predict_proba(self, X: Tensor) -> Tensor: ...
        @overload
        def predict_proba(self, X: Any) -> NDArray[Any]: ...
        def predict_proba(self, X: Any) -> Any: ...
        @overload
        def predict_log_proba(self, X: Tensor) -> Tensor: ...
        @overload
        def predict_log_proba(self, X: Any) -> NDArray[Any]: ...
        def predict_log_proba(self, X: Any) -> Any: ...

    else:

        @available_if(_has_probabilities)
        def predict_proba(self, X: Any) -> Any:
            """Probabilities of the classes ``[n, K]`` for the rows of ``X [n, d]``, ``K`` at least
            2; with ``loss="log"``."""
            return like(X, torch.as_tensor(self.predict_log_proba(X)).exp())

        @available_if(_has_probabilities)
        def predict_log_proba(self, X: Any) -> Any:
            """Their logarithms, which do not vanish where the probabilities do."""
            scores = torch.as_tensor(self.decision_function(X))
            if scores.ndim == 2:
                return like(X, scores.log_softmax(1))
            return like(X, torch.nn.functional.logsigmoid(torch.stack([-scores, scores], 1)))

    def _check_parameters(self) -> None:
        caller = "LinearClassifier"
        one_of(caller, "loss", self.loss, _CURVATURE)
        integer(caller, "max_iter", self.max_iter, 1)
        for name in ("C", "tol"):
            positive(caller, name, getattr(self, name))


class _Objective:
    """½ ‖W‖² + C Σ loss and its gradient, of parameters in which it is nearly round.

    With centred features `I + C r XᵀX = L Lᵀ` is about the Hessian, `r` the curvature of the loss
    times the share of the rows that have any. In `V = W L`, `t ∝ b + W μ` L-BFGS needs tens of
    passes over X where it needs hundreds in `W` and `b`. With n < d the Hessian is left as it is.

    A Hessian of at least the identity bounds what the objective can still lose by ½ ‖gradient‖²:
    `excess` is that of the last call, relative to the objective.
    """

    excess = math.inf

    def __init__(
        self,
        rows: Tensor,
        index: Tensor,
        weights: Tensor | None,
        classes: int,
        loss: Loss,
        C: float,
    ) -> None:
        # where float64 costs little, rounding does not stop the search
        self.rows = rows = rows.double() if rows.numel() <= _SMALL else rows
        self.dtype = working(rows)
        self.loss, self.C = loss, C
        self.K = classes if classes > 2 else 1
        self.index = index
        self.weights = None if weights is None else weights.to(self.dtype)
        self.y = signs(index, classes, self.dtype)  # [n, K]
        n, d = rows.shape
        self.mean = rows.mean(0, dtype=torch.float64)
        curvature = C * _CURVATURE[loss]
        self.unit = math.sqrt(curvature * (n if weights is None else float(weights.sum())))
        self.factor: Tensor | None = None
        if n >= d:
            moments, start = Moments(d, rows.device), 0
            for block in blocks(rows, self.dtype):
                part = slice(start, start := start + len(block))
                moments.add(block, None if weights is None else weights[part])
            self.mean = moments.mean
            hessian = moments.scatter.mul_(curvature)
            # rounding may leave eigenvalues down to -1e-6 of the trace
            hessian.diagonal().add_(1 + 1e-6 * float(hessian.diagonal().sum()))
            self.factor = torch.linalg.cholesky(hessian)

    def parameters(self, flat: np.ndarray) -> Tensor:
        """[W, b] float64 [K, d + 1]."""
        round_ = torch.from_numpy(flat).view(self.K, -1).to(self.rows.device)
        W = round_[:, :-1]
        if self.factor is not None:
            W = torch.linalg.solve_triangular(self.factor, W, upper=False, left=False)
        b = round_[:, -1] / self.unit - W @ self.mean
        return torch.cat([W, b[:, None]], 1)

    def __call__(self, flat: np.ndarray) -> tuple[float, np.ndarray]:
        exact = self.parameters(flat)
        W, b = exact[:, :-1].to(self.dtype), exact[:, -1].to(self.dtype)
        value = torch.zeros((), dtype=torch.float64, device=W.device)
        by_W, by_b = torch.zeros_like(exact[:, :-1]), torch.zeros_like(exact[:, -1])
        start = 0
        for block in blocks(self.rows, self.dtype):
            part = slice(start, start := start + len(block))
            loss, slope = self._loss(torch.addmm(b, block, W.T), part)
            value += loss
            by_W += slope.T @ block
            by_b += slope.sum(0, dtype=torch.float64)
        value = self.C * value + 0.5 * exact[:, :-1].square().sum()
        by_W = self.C * (by_W - by_b[:, None] * self.mean) + exact[:, :-1]
        if self.factor is not None:
            by_W = torch.linalg.solve_triangular(self.factor.T, by_W, upper=True, left=False)
        gradient = torch.cat([by_W, self.C * by_b[:, None] / self.unit], 1)
        self.excess = float(0.5 * gradient.square().sum() / value) if value > 0 else 0.0
        return float(value), gradient.flatten().cpu().numpy()

    def _loss(self, scores: Tensor, part: slice) -> tuple[Tensor, Tensor]:
        """Sum of the losses of some rows, and the derivative by their scores [b, K]."""
        y = self.y[part]
        if self.loss == "squared_hinge":
            gap = (1 - y * scores).clamp_(min=0)
            loss, slope = gap.square(), -2 * y * gap
        elif self.K == 1:
            margin = y * scores
            loss, slope = torch.nn.functional.softplus(-margin), -y * torch.sigmoid(-margin)
        else:
            logs = scores.log_softmax(1)
            loss = -logs.gather(1, self.index[part, None])
            slope = logs.exp() - (y > 0).to(logs.dtype)
        if self.weights is not None:
            w = self.weights[part, None]
            loss, slope = w * loss, w * slope
        return loss.sum(dtype=torch.float64), slope
