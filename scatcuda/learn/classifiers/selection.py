"""Features chosen class by class by orthogonal least squares."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import Self

from ...arguments import integer
from .estimator import (
    BaseEstimator,
    blocks,
    check_is_fitted,
    check_labels,
    check_rows,
    like,
    shared,
    validate_data,
    wholly,
    working,
)

try:
    from sklearn.feature_selection import SelectorMixin
except ImportError as _error:
    raise ImportError(
        "scatcuda.learn needs scikit-learn 1.6 or newer: pip install 'scatcuda[learn]'"
    ) from _error

_NAME = "OrthogonalLeastSquares"


class OrthogonalLeastSquares(SelectorMixin, BaseEstimator):
    """Chooses features, for one class after the other, that best approximate its indicator.

    With ``f_c(x) = 1`` for rows of class c, 0 for others, less its mean, and features less theirs:
    of those not yet chosen for the class the one is taken whose part orthogonal to the chosen ones
    explains most of what they leave of ``f_c``,

    ``argmax_p <f_c, p - P p>^2 / ||p - P p||^2``, ``P`` the projection on the chosen.

    Each class chooses on its own; what several choose is kept once.

    Args:
        n_features: chosen by each class.
        max_rows: of more rows so many, evenly spread over those of each class, do the choosing.
        preselect: before that the so many features whose variance between classes, of their whole
            variance, is largest; None: all.
    Attributes:
        support_: ``[d]``, which features are kept.
        chosen_: ``[K, n_features]``, which, by class, in the order in which they were chosen; -1
            where nothing was left to explain.
        n_features_in_: ``d``.
    Raises:
        TypeError, ValueError: a parameter is no integer from 1; ``X`` is no ``[n, d]`` of finite
            numbers, ``y`` no ``n`` labels of two or more classes.
    Source: E. Oyallon and S. Mallat, "Deep roto-translation scattering for object classification",
        CVPR 2015, section 4; S. Chen et al., "Orthogonal least squares learning algorithm", 1991.
    Example:
        >>> X = torch.randn(300, 50)
        >>> y = (X[:, 7] + X[:, 9] > 0).long()
        >>> chosen = OrthogonalLeastSquares(n_features=2).fit(X, y)
        >>> sorted(chosen.get_support(indices=True).tolist()), chosen.transform(X).shape
        ([7, 9], torch.Size([300, 2]))
    """

    fitted: tuple[str, ...] = ("support_", "chosen_", "n_features_in_", "feature_names_in_")
    n_features_in_: int
    support_: NDArray[np.bool_]
    chosen_: NDArray[np.int64]

    def __init__(
        self, n_features: int = 100, max_rows: int = 10_000, preselect: int | None = 20_000
    ) -> None:
        self.n_features = n_features
        self.max_rows = max_rows
        self.preselect = preselect

    @wholly
    def fit(self, X: Any, y: Any) -> Self:
        """Choose among the features of ``X [n, d]``, for labels ``y [n]``."""
        count = integer(_NAME, "n_features", self.n_features, 1)
        most = integer(_NAME, "max_rows", self.max_rows, 1)
        if self.preselect is not None:
            integer(_NAME, "preselect", self.preselect, 1)
        if y is None:
            raise ValueError(f"{_NAME}: requires y to be passed, but the target y is None")
        if not isinstance(X, Tensor):
            X, y = validate_data(self, X, y, dtype=[np.float64, np.float32, np.float16])
        rows = check_rows(self, X, reset=True) if isinstance(X, Tensor) else shared(X)
        classes, index = check_labels(self, y, X)
        K = len(classes)
        if len(rows) > most:
            kept = torch.cat(
                [
                    mine[torch.arange(-(-len(mine) * most // len(rows))) * len(rows) // most]
                    for mine in ((index == c).nonzero()[:, 0].cpu() for c in range(K))
                ]
            ).sort()[0]
            rows, index = rows[kept.to(rows.device)], index[kept.to(index.device)]
        places = torch.arange(rows.shape[1], device=rows.device)
        if self.preselect is not None and self.preselect < rows.shape[1]:
            best = _between(rows, index, K).topk(self.preselect)[1]
            places = best.sort()[0]
            rows = rows[:, places]
        features = rows.to(working(rows))
        features = features - features.mean(0)
        targets = torch.nn.functional.one_hot(index, K).to(features)
        chosen = torch.stack(
            [_least_squares(features, target - target.mean(), count) for target in targets.T]
        )
        chosen = torch.where(chosen < 0, chosen, places[chosen.clamp(min=0)])
        self.chosen_ = chosen.cpu().numpy()
        self.support_ = np.zeros(self.n_features_in_, dtype=bool)
        self.support_[self.chosen_[self.chosen_ >= 0]] = True
        return self

    if TYPE_CHECKING:  # scikit-learn's, which has no types

        @overload
        def fit_transform(self, X: Tensor, y: Any) -> Tensor: ...
        @overload
        def fit_transform(self, X: Any, y: Any) -> NDArray[Any]: ...
        def fit_transform(self, X: Any, y: Any) -> Any: ...

    @overload
    def transform(self, X: Tensor) -> Tensor: ...
    @overload
    def transform(self, X: Any) -> NDArray[Any]: ...
    def transform(self, X: Any) -> Any:
        """The chosen columns of ``X [n, d]``."""
        check_is_fitted(self)
        rows = check_rows(self, X)
        return like(X, rows[:, torch.from_numpy(np.flatnonzero(self.support_)).to(rows.device)])

    def loaded(self) -> None:
        """ValueError unless what a file held fits together."""
        d = self.n_features_in_
        if self.support_.shape != (d,) or self.chosen_.ndim != 2 or self.chosen_.max() >= d:
            raise ValueError(f"support_ and chosen_ are not those of {d} features")

    def _get_support_mask(self) -> NDArray[np.bool_]:
        check_is_fitted(self)
        return self.support_

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags


def _between(rows: Tensor, index: Tensor, K: int) -> Tensor:
    """Of each feature the variance between classes over its whole variance."""
    counts = torch.bincount(index, minlength=K).double()
    sums = torch.zeros(K, rows.shape[1], dtype=torch.float64, device=rows.device)
    squares, start = torch.zeros_like(sums[0]), 0
    for block in blocks(rows, torch.float64):
        sums.index_add_(0, index[start : start + len(block)], block)
        squares += block.square().sum(0)
        start += len(block)
    mean = sums.sum(0) / len(rows)
    whole = (squares - len(rows) * mean**2).clamp(min=0)
    means = sums / counts.clamp(min=1)[:, None]
    between = (counts[:, None] * (means - mean) ** 2).sum(0)
    sound = whole > torch.finfo(torch.float64).eps * squares
    return torch.where(sound, between / whole.where(sound, 1.0), 0.0)


def _least_squares(features: Tensor, target: Tensor, count: int) -> Tensor:
    """Which columns ``[count]`` are chosen, -1 behind the last that explains anything."""
    n, d = features.shape
    eps = torch.finfo(features.dtype).eps
    start = features.square().sum(0)
    lengths, along = start.clone(), features.T @ target  # of what is orthogonal to the chosen
    basis = features.new_zeros(n, min(count, d, n))
    chosen = torch.full((count,), -1, dtype=torch.int64, device=features.device)
    for i in range(basis.shape[1]):
        # of what lies in the span of the chosen only rounding is left
        free = lengths > 100 * eps * start
        gains = torch.where(free, along**2 / lengths.where(free, 1.0), -1.0)
        if i:
            gains[chosen[:i]] = -1
        best = int(gains.argmax())
        if gains[best] <= 0:
            break
        chosen[i] = best
        direction = features[:, best]
        for _ in range(2):  # once is not enough in floating point
            direction = direction - basis[:, :i] @ (basis[:, :i].T @ direction)
        direction = direction / torch.linalg.vector_norm(direction)
        basis[:, i] = direction
        shares = features.T @ direction
        lengths -= shares**2
        along -= shares * (direction @ target)
    return chosen
