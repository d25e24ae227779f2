"""Ridge regression on ±1 targets, the penalty chosen by exact leave-one-out.

    min_W,b  Σ_i w_i ‖x_i W + b − y_i‖² + α ‖W‖²,   y = ±1 one-versus-all, w = 1 unless given

With X and Y centred and row i times √w_i: `W = (XᵀX + α)⁻¹ XᵀY` (primal, d x d)
`= Xᵀ(XXᵀ + α)⁻¹ Y` (dual, n x n). One eigendecomposition of the smaller matrix serves every
penalty. The residual of row i in a fit without it is `e_i / (1 − h_i)`, the intercept included,
with `h = diag(ssᵀ + X (XᵀX + α)⁻¹ Xᵀ)`, `s_i² = w_i / Σw`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
import torch
from sklearn.utils.validation import validate_data
from torch import Tensor
from typing_extensions import Self

from ...arguments import plain, told
from ...typing import ClassWeight
from .estimator import (
    AffineScores,
    blocks,
    check_labels,
    check_rows,
    check_weights,
    like,
    process_group,
    signs,
    to_numpy,
    wholly,
    working,
)
from .moments import Mean, Moments

_LAZY = ("coef_", "intercept_", "alpha_", "gcv_error_")
_SKETCHED, _SKETCH = 8192, 128  # features from which leverages are projected, on so many
_COLUMNS = 1 << 24  # values in a block of columns: as many as in a block of rows


class RidgeClassifier(AffineScores):
    """Linear classifier by least squares on ±1 targets, with the penalty ``α`` chosen by itself.

    ``min Σ_i w_i ‖x_i W + b − y_i‖² + α ‖W‖²``, ``w_i`` a row's weight, 1 unless given; the class
    with the largest score wins. ``alpha="loo"`` takes
    the ``α`` with the smallest squared error over rows and classes when each row is predicted
    without itself, exactly and for all ``alphas`` at once: from the eigendecomposition of the
    ``n x n`` inner products when ``n < d``, else of the ``d x d`` Gram matrix, with a second pass
    over ``X`` for the leverages. ``X`` goes through in blocks, never copied as a whole. A row that
    weighs much is left out as a whole, and its error weighs as much.

    Of more than 8192 features, and as many rows, eigenvectors would take most of the time. There is
    a Cholesky factor ``L Lᵀ = XᵀX + α`` of each penalty instead, the smallest alone in float64, and
    leverages are the squared lengths ``‖Ω L⁻¹ x‖²`` of 128 random projections of ``L⁻¹ x``, 12 %
    off each, the same for all penalties: the errors agree to a per cent or two.

    Squared errors were the better guide: on MNIST and Fashion-MNIST with 100 to 1000 rows the ``α``
    with the most right answers left out gave up to 0.35 % less on the test sets, and no more.

    :meth:`partial_fit` goes on where it or :meth:`fit` ended: they keep the Gram matrix (``fit``
    the rows, if they are fewer than the features), which no copy or pickle of what ``fit`` made
    has. The penalty is then chosen by generalised cross-validation, in which every row has the mean
    leverage:
    ``GCV(α) = (Σ_i w_i ‖y_i − ŷ_i‖² / Σ w) / (1 − tr H / n)²``, ``tr H = 1 + Σ λ / (λ + α)``.

    Args:
        alpha: ``"loo"``, or the penalty, a positive number.
        alphas: the penalties to choose from; for rows of squared length about 1, as
            :class:`~scatcuda.learn.classifiers.standardizer.Standardizer` makes them.
        class_weight: what the weights of a class's rows are multiplied by: a dict, ``"balanced"``
            for ``Σ w / (K Σ w of the class)``, or ``None``.
        distributed: sum Gram matrix, errors and classes over the processes of
            ``torch.distributed``, each of which holds its part of the rows and makes as many calls
            as the others: the classifier of one process with all rows, in every process.
    Attributes:
        classes_: the labels, sorted.
        coef_, intercept_: ``W`` and ``b``, ``[K, d]`` and ``[K]``; ``K`` is 1 for two classes.
        alpha_: the penalty taken.
        loo_error_: mean squared leave-one-out error for each of ``alphas``, after :meth:`fit`; its
            rows weighed.
        gcv_error_: GCV for each of ``alphas``, after :meth:`partial_fit`.
    Raises:
        TypeError, ValueError: a parameter is out of range; ``X`` is no ``[n, d]`` of finite
            numbers; ``y`` no ``n`` labels of two or more classes.
    Source: leave-one-out and GCV, G. Golub, M. Heath, G. Wahba, "Generalized cross-validation as a
        method for choosing a good ridge parameter", Technometrics 1979.
    Example:
        >>> from scatcuda.data import digits
        >>> x, y = digits(8)
        >>> ridge = RidgeClassifier().fit(x[:900].flatten(1), y[:900])
        >>> ridge.coef_.shape, ridge.score(x[900:].flatten(1), y[900:]) > 0.85
        (torch.Size([10, 64]), True)
    """

    fitted = (*AffineScores.fitted, "alpha_", "loo_error_", "gcv_error_")
    classes_: Any
    coef_: Any
    intercept_: Any
    alpha_: float
    loo_error_: Any
    gcv_error_: Any

    def __init__(
        self,
        alpha: Literal["loo"] | float = "loo",
        alphas: Sequence[float] = tuple(np.logspace(-3, 3, 13).tolist()),
        *,
        class_weight: ClassWeight | None = None,
        distributed: bool = False,
    ) -> None:
        self.alpha = alpha
        self.alphas = alphas
        self.class_weight = class_weight
        self.distributed = distributed

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit the rows of ``X [n, d]`` with labels ``y [n]`` and weights ``sample_weight [n]``."""
        penalties = self._penalties()
        if self.__dict__.pop("_by_fit", False):  # large, and of use to partial_fit alone
            for name in ("_moments", "_rows", "_like"):
                self.__dict__.pop(name, None)
        return self._anew(X, y, sample_weight, penalties)

    @wholly
    def _anew(self, X: Any, y: Any, sample_weight: Any, penalties: Tensor) -> Self:
        self._forget()
        rows, index, weights = self._begin(X, y, sample_weight, self.distributed)
        X = like(X, rows)
        if self.distributed or len(rows) >= rows.shape[1]:
            self._fit_primal(X, rows, index, weights, penalties)
        else:
            self._fit_dual(X, rows, index, weights, penalties)
        self._by_fit = True
        return self

    @wholly
    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Add the rows of ``X [n, d]`` with labels ``y [n]`` and weights ``sample_weight [n]`` to
        those before; solved when first asked for.

        Args:
            classes: all labels there will be; needed in the first call, unless :meth:`fit` was one.
        """
        self._penalties()
        if self.class_weight == "balanced":
            raise ValueError(
                "RidgeClassifier: class_weight='balanced' needs all rows at once, and partial_fit "
                "has some; give the weights as a dict, or as sample_weight"
            )
        first = not {"_moments", "_rows"} & self.__dict__.keys()
        if first and hasattr(self, "coef_"):
            raise ValueError(
                "RidgeClassifier: partial_fit cannot add to what load made, or to a copy of what "
                "fit made: they keep no Gram matrix; begin with partial_fit on a new classifier"
            )
        if first and classes is None:
            raise ValueError("RidgeClassifier: classes must be given in the first partial_fit")
        if not isinstance(X, Tensor):
            kinds = [np.float64, np.float32, np.float16]
            X, y = validate_data(self, X, y, dtype=kinds, reset=first)
        rows = check_rows(self, X, reset=first)
        known, index = check_labels(self, y, X, self.classes_ if classes is None else classes)
        if not first and not np.array_equal(to_numpy(known), to_numpy(self.classes_)):
            raise ValueError(
                f"RidgeClassifier: classes must be the same in every partial_fit; "
                f"got {known.tolist()} after {self.classes_.tolist()}"
            )
        given = check_weights(self, sample_weight, rows)
        weights = self._weighted(given, index, known, some=True)
        batch = self._sums(rows, index, weights, len(known))
        if first:
            self.classes_, self._moments = known, batch
        else:
            if "_rows" in self.__dict__:
                before, labels, w = self.__dict__.pop("_rows")
                self._moments = self._sums(before, labels, w, len(known))
            self._moments.merge(batch.n, batch.weight, batch.mean, batch.scatter)
        for name in (*_LAZY, "loo_error_", "_by_fit"):
            self.__dict__.pop(name, None)
        self._like = X[:0]
        return self

    def __getattr__(self, name: str) -> Any:
        if name in _LAZY and "_moments" in self.__dict__ and "coef_" not in self.__dict__:
            self._solve()
        if name not in self.__dict__:
            raise AttributeError(f"'RidgeClassifier' object has no attribute {name!r}")
        return self.__dict__[name]

    def __getstate__(self) -> dict[str, Any]:
        """Without the sums that `fit` leaves for `partial_fit`: they are many times larger."""
        state = dict(super().__getstate__())
        if state.pop("_by_fit", False):
            state.pop("_moments", None)
            state.pop("_rows", None)
        return state

    def __sklearn_is_fitted__(self) -> bool:
        return "coef_" in self.__dict__ or "_moments" in self.__dict__

    def _forget(self) -> None:
        for name in (*_LAZY, "loo_error_", "_moments", "_rows", "_like", "_by_fit"):
            self.__dict__.pop(name, None)

    def _penalties(self) -> Tensor:
        """The penalties to try, float64 [A]."""
        if self.alpha == "loo":
            try:
                given = torch.as_tensor(np.asarray(self.alphas, dtype=np.float64))
            except (TypeError, ValueError):
                given = torch.zeros(0)
            if given.ndim != 1 or not len(given) or not ((given > 0) & given.isfinite()).all():
                raise ValueError(
                    f"RidgeClassifier: alphas must be positive; got {told(self.alphas)}"
                )
            return given
        alpha: Any = plain(self.alpha)
        known = isinstance(alpha, int | float) and not isinstance(alpha, bool)
        if not known or not 0 < alpha < np.inf:
            raise ValueError(
                f"RidgeClassifier: alpha must be 'loo' or a positive number; got {told(alpha)}"
            )
        return torch.tensor([alpha], dtype=torch.float64)

    def _sums(self, rows: Tensor, index: Tensor, weights: Tensor | None, classes: int) -> Moments:
        moments = Moments(rows.shape[1] + (classes if classes > 2 else 1), rows.device)
        for block, y, w in _with_targets(rows, index, weights, classes):
            moments.add(torch.cat([block, y], 1), w)
        if self.distributed:
            moments.all_reduce()
        return moments

    def _solve(self) -> None:
        """Penalty and weights from the sums alone."""
        moments, K = self._moments, _columns(self.classes_)
        if not moments.weight:
            raise ValueError("RidgeClassifier: every row so far has a weight of zero")
        penalties = self._penalties()
        spectrum = _Spectrum(moments, K)
        if len(penalties) > 1:
            errors = torch.stack([spectrum.gcv(float(alpha)) for alpha in penalties])
            self.gcv_error_ = like(self._like, errors)
            penalties = penalties[errors.cpu().argmin(), None]
        self._keep(self._like, moments, spectrum.weights(float(penalties[0])), float(penalties[0]))

    def _fit_primal(
        self, X: Any, rows: Tensor, index: Tensor, weights: Tensor | None, penalties: Tensor
    ) -> None:
        classes, K = len(self.classes_), _columns(self.classes_)
        self._moments = moments = self._sums(rows, index, weights, classes)
        if len(penalties) == 1:
            alpha = float(penalties[0])
            self._keep(X, moments, _cholesky(moments, K, alpha), alpha)
            return
        if rows.shape[1] > _SKETCHED:
            errors = self._projected_errors(rows, index, weights, penalties)
            alpha = self._chosen(X, errors, penalties)
            self._keep(X, moments, _cholesky(moments, K, alpha), alpha)
            return
        spectrum = _Spectrum(moments, K)
        dtype = working(rows)
        inverse = 1 / (spectrum.values[:, None] + penalties.to(rows.device))  # [d, A]
        W = spectrum.rotated[:, None, :] * inverse[:, :, None]  # [d, A, K]
        W, inverse = W.flatten(1).to(dtype), inverse.to(dtype)
        mean, vectors = moments.mean.to(dtype), spectrum.vectors.to(dtype)
        errors = torch.zeros(len(penalties), dtype=torch.float64, device=rows.device)
        for block, y, w in _with_targets(rows, index, weights, classes):
            Z = (block - mean[:-K]) @ vectors
            residual = (y - mean[-K:])[:, None] - (Z @ W).unflatten(1, (-1, K))  # [b, A, K]
            kept = -(Z.square_() @ inverse) - 1 / moments.weight  # [b, A]
            kept = (kept if w is None else kept.mul_(w.to(dtype)[:, None])).add_(1)  # 1 - leverage
            kept.clamp_(min=torch.finfo(dtype).eps)
            squares = (residual / kept[:, :, None]).square()
            squares = squares if w is None else squares.mul_(w.to(dtype)[:, None, None])
            errors += squares.sum((0, 2), dtype=torch.float64)
        if self.distributed:
            process_group("RidgeClassifier").all_reduce(errors)
        alpha = self._chosen(X, errors / (moments.weight * K), penalties)
        self._keep(X, moments, spectrum.weights(alpha), alpha)

    def _projected_errors(
        self, rows: Tensor, index: Tensor, weights: Tensor | None, penalties: Tensor
    ) -> Tensor:
        """Mean squared leave-one-out errors ``[A]``, of projected leverages."""
        classes, K, moments = len(self.classes_), _columns(self.classes_), self._moments
        A, dtype, S = len(penalties), working(rows), moments.scatter
        projection = torch.randn(
            len(S) - K, _SKETCH, generator=torch.Generator().manual_seed(0), dtype=torch.float64
        ).to(S.device)
        # of each penalty weights [K] and L⁻ᵀ Ωᵀ [_SKETCH], side by side
        both = torch.empty(len(S) - K, A, K + _SKETCH, dtype=dtype, device=S.device)
        trace, sound = float(S.diagonal()[:-K].sum()), [False] * A
        for i, alpha in enumerate(penalties.tolist()):
            # of what is this small beside the others float32 would know nothing
            precise = torch.float64 if alpha < 1e-6 * trace else dtype
            factor, failed = _factor(S[:-K, :-K], alpha, precise)
            sound[i] = not failed
            both[:, i, :K] = _solved(factor, S[:-K, -K:].to(precise))
            along = torch.linalg.solve_triangular(factor.mT, projection.to(precise), upper=True)
            both[:, i, K:] = along / math.sqrt(_SKETCH)
            del factor, along
        mean, errors = moments.mean.to(dtype), torch.zeros(A, dtype=torch.float64, device=S.device)
        for block, y, w in _with_targets(rows, index, weights, classes):
            found = ((block - mean[:-K]) @ both.flatten(1)).unflatten(1, (A, -1))
            residual = (y - mean[-K:])[:, None] - found[..., :K]  # [b, A, K]
            kept = -found[..., K:].square().sum(2) - 1 / moments.weight  # [b, A]
            kept = (kept if w is None else kept.mul_(w.to(dtype)[:, None])).add_(1)
            # an estimate may be larger than 1, where no leverage is
            squares = (residual / kept.clamp_(min=0.01)[:, :, None]).square()
            squares = squares if w is None else squares.mul_(w.to(dtype)[:, None, None])
            errors += squares.sum((0, 2), dtype=torch.float64)
        if self.distributed:
            process_group("RidgeClassifier").all_reduce(errors)
        known = torch.tensor(sound, device=errors.device)
        return (errors / (moments.weight * K)).where(known, torch.inf)

    def _fit_dual(
        self, X: Any, rows: Tensor, index: Tensor, weights: Tensor | None, penalties: Tensor
    ) -> None:
        n, dtype, device = len(rows), working(rows), rows.device
        w = torch.ones(n, dtype=torch.float64, device=device) if weights is None else weights
        total, root = float(w.sum()), w.sqrt()[:, None]  # [n, 1]
        s = root / math.sqrt(total)
        y = signs(index, len(self.classes_), torch.float64)
        K = y.shape[1]
        self._rows = rows.clone(), index.clone(), weights
        columns = rows.shape[1] // (1 + rows.shape[1] * n // _COLUMNS) + 1
        parts = [(part, _mean(part, weights)) for part in rows.split(columns, 1)]
        mean = torch.cat([*(centre for _, centre in parts), _mean(y, weights)])
        products = torch.zeros(n, n, dtype=torch.float64, device=device)
        for part, centre in parts:
            part = (part.to(dtype) - centre.to(dtype)) * root.to(dtype)
            products += part @ part.T
        # The vector s is the direction of the intercept. It has eigenvalue 0; with that of the
        # trace its share in a leverage is subtracted without cancellation.
        products.addmm_(s, s.T @ products, alpha=-1)
        products.addmm_(products @ s, s.T, alpha=-1)
        top = float(products.diagonal().sum()) + 1
        values, vectors = torch.linalg.eigh(torch.addmm(products, s, s.T, alpha=top))
        values.clamp_(min=0)
        targets = vectors.T @ (root * (y - mean[-K:]))  # [n, K]
        power = vectors.square()
        errors, duals = [], []
        for alpha in penalties.tolist():
            inverse = 1 / (values + alpha)
            dual = vectors @ (inverse[:, None] * targets)  # (XXᵀ + α)⁻¹ Y
            kept = (power @ inverse)[:, None] - s.square() / (top + alpha)  # (1 - leverage) / α
            errors.append((dual / kept).square().sum() / (total * K))
            duals.append(dual)
        alpha, dual = float(penalties[0]), duals[0]
        if len(penalties) > 1:
            alpha = self._chosen(X, torch.stack(errors), penalties)
            dual = duals[penalties.tolist().index(alpha)]
        dual = (root * dual).to(dtype)
        W = torch.cat([(part.to(dtype) - m.to(dtype)).T @ dual for part, m in parts])
        self._keep(X, Mean(mean), W.double(), alpha)

    def _chosen(self, X: Any, errors: Tensor, penalties: Tensor) -> float:
        self.loo_error_ = like(X, errors)
        return float(penalties[errors.cpu().argmin()])

    def _keep(self, X: Any, moments: Mean, weights: Tensor, alpha: float) -> None:
        """Weights float64 [d, K] as attributes, in the precision in which X is computed."""
        K = weights.shape[1]
        intercept = moments.mean[-K:] - moments.mean[:-K] @ weights
        dtype = torch.float64 if str(X.dtype).endswith("float64") else torch.float32
        self.coef_ = like(X, weights.T.to(dtype).contiguous())
        self.intercept_ = like(X, intercept.to(dtype))
        self.alpha_ = alpha


class _Spectrum:
    """XᵀX = V Λ Vᵀ of centred features, and Vᵀ XᵀY of K centred targets."""

    def __init__(self, moments: Moments, K: int) -> None:
        S = moments.scatter
        self.n, self.weight = moments.n, moments.weight
        self.values, self.vectors = torch.linalg.eigh(S[:-K, :-K])
        self.values.clamp_(min=0)
        self.rotated = self.vectors.T @ S[:-K, -K:]  # [d, K]
        self.total = S.diagonal()[-K:].sum()  # ‖Y‖²

    def weights(self, alpha: float) -> Tensor:
        return self.vectors @ (self.rotated / (self.values + alpha)[:, None])

    def gcv(self, alpha: float) -> Tensor:
        """GCV(α), with ‖Y − Ŷ‖² = ‖Y‖² − Σ c² (λ + 2α) / (λ + α)², c = VᵀXᵀY."""
        damped = self.values + alpha
        explained = self.rotated.square().sum(1) * (self.values + 2 * alpha) / damped.square()
        rounding = torch.finfo(torch.float32).eps * self.total  # less is none where all is fitted
        squares = (self.total - explained.sum()).clamp(min=rounding)
        freedom = 1 - (1 + (self.values / damped).sum()) / self.n
        return squares / self.weight / freedom.clamp(min=1e-12).square()


def _cholesky(moments: Moments, K: int, alpha: float) -> Tensor:
    """Weights [d, K] for one penalty, at a tenth of the cost of the eigenvectors."""
    S = moments.scatter
    factor, failed = _factor(S[:-K, :-K], alpha, S.dtype)
    if failed:  # rounding has left a negative eigenvalue
        return _Spectrum(moments, K).weights(alpha)
    return _solved(factor, S[:-K, -K:])


def _factor(S: Tensor, alpha: float, dtype: torch.dtype) -> tuple[Tensor, bool]:
    """The Cholesky factor of ``S + α``, and whether there is none; no copy of ``S`` in its own
    precision."""
    diagonal = S.diagonal().clone()
    S.diagonal().add_(alpha)
    try:
        factor, failed = torch.linalg.cholesky_ex(S.to(dtype))
    finally:
        S.diagonal().copy_(diagonal)
    return factor, bool(failed)


def _solved(factor: Tensor, Y: Tensor) -> Tensor:
    """``(L Lᵀ)⁻¹ Y``. PyTorch's ``cholesky_solve`` copies the factor."""
    half = torch.linalg.solve_triangular(factor, Y, upper=False)
    return torch.linalg.solve_triangular(factor.mT, half, upper=True)


def _with_targets(
    rows: Tensor, index: Tensor, weights: Tensor | None, classes: int
) -> Iterator[tuple[Tensor, Tensor, Tensor | None]]:
    """Blocks of rows [b, d] with their targets [b, K] and weights [b]."""
    start = 0
    for block in blocks(rows, working(rows)):
        part = slice(start, start := start + len(block))
        w = None if weights is None else weights[part]
        yield block, signs(index[part], classes, block.dtype), w


def _mean(rows: Tensor, weights: Tensor | None) -> Tensor:
    """Mean [d] of the rows, float64."""
    if weights is None:
        return rows.mean(0, dtype=torch.float64)
    return weights @ rows.double() / weights.sum()


def _columns(classes: Any) -> int:
    return len(classes) if len(classes) > 2 else 1
