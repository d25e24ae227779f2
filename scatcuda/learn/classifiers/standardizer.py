"""Features of comparable size, in rows of comparable length: z = (x − μ) / (max(σ, f σ̄) √d)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, overload

import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted
from torch import Tensor
from typing_extensions import Self

from ...arguments import boolean, number
from .estimator import blocks, check_rows, like, process_group, wholly, working


class Standardizer(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Standardise features ``X [n, d]``, without blowing up those that hardly vary.

    ``Z = (X − μ) / (max(σ, floor · σ̄) √d)`` with the mean ``μ`` and the standard deviation ``σ`` of
    each feature and ``σ̄`` the root mean square of ``σ``. Coefficients of high order vary little,
    and mostly by noise: the floor keeps their noise small. Division by ``√d`` makes a row's squared
    length about 1 whatever ``d``, so that one range of penalties serves all.

    Computed block by block; float16 and float32 stay what they are, integers become float32 (in
    NumPy, float64), and sums are in float64.

    Args:
        floor: the least standard deviation, in units of ``σ̄``; 0 or more.
        distributed: sum over the processes of ``torch.distributed``, each of which holds its part
            of the rows and makes as many calls as the others.
        copy: False: floating numbers are standardised where they lie, in the memory of ``X``, as by
            scikit-learn's scaler of this name; what has gaps, what holds a value twice, as windows
            do, and what cannot be written to is copied all the same.
    Attributes:
        mean_, var_, scale_: ``μ``, ``σ²`` and the divisor, float64 ``[d]``.
        n_samples_seen_: rows so far.
    Raises:
        TypeError, ValueError: ``X`` is no ``[n, d]`` of finite numbers, or ``floor`` negative.
    Source: variance merged from blocks as in T. Chan, G. Golub, R. LeVeque, "Algorithms for
        computing the sample variance", The American Statistician 1983.
    Example:
        >>> X = torch.tensor([[0.0, 5.0], [2.0, 5.0]])
        >>> (Standardizer().fit_transform(X) * 2**0.5).round()  # the second is constant
        tensor([[-1.,  0.],
                [ 1.,  0.]])
    """

    fitted = ("mean_", "var_", "scale_", "n_samples_seen_", "n_features_in_", "feature_names_in_")
    mean_: Any
    var_: Any
    scale_: Any
    n_samples_seen_: int

    def __init__(self, floor: float = 0.1, *, distributed: bool = False, copy: bool = True) -> None:
        self.floor = floor
        self.distributed = distributed
        self.copy = copy

    def fit(self, X: Any, y: Any = None) -> Self:
        """Mean and deviation of the rows of ``X [n, d]``; ``y`` is for pipelines."""
        return self._seen(X, first=True)

    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """Mean and deviation of these rows and all before them."""
        return self._seen(X, first=not hasattr(self, "n_samples_seen_"))

    @wholly
    def _seen(self, X: Any, first: bool) -> Self:
        floor = number("Standardizer", "floor", self.floor, 0)
        boolean("Standardizer", "copy", self.copy)
        rows = check_rows(self, X, reset=first)
        n, mean, squares = 0, *torch.zeros(2, rows.shape[1], dtype=torch.float64).to(rows.device)
        for block in blocks(rows, torch.float64):
            centre = block.mean(0)
            n, mean, squares = _merge(
                n, mean, squares, len(block), centre, (block - centre).square().sum(0)
            )
        if self.distributed:
            n, mean, squares = _reduced(n, mean, squares)
        if not first:
            before = (torch.as_tensor(values).to(rows.device) for values in (self.mean_, self.var_))
            mean_before, var_before = before
            seen = self.n_samples_seen_
            n, mean, squares = _merge(seen, mean_before, var_before * seen, n, mean, squares)
        deviation = (squares / n).sqrt()
        floored = deviation.clamp(min=float(floor * deviation.square().mean().sqrt()))
        floored = torch.where(floored > 0, floored, 1.0)
        self.n_samples_seen_ = n
        self.mean_, self.var_ = like(X, mean), like(X, squares / n)
        self.scale_ = like(X, floored * math.sqrt(rows.shape[1]))
        return self

    if TYPE_CHECKING:  # scikit-learn's, which has no types

        @overload
        def fit_transform(self, X: Tensor, y: Any = None) -> Tensor: ...
        @overload
        def fit_transform(self, X: Any, y: Any = None) -> NDArray[Any]: ...
        def fit_transform(self, X: Any, y: Any = None) -> Any: ...

    @overload
    def transform(self, X: Tensor) -> Tensor: ...
    @overload
    def transform(self, X: Any) -> NDArray[Any]: ...
    def transform(self, X: Any) -> Any:
        """Standardised rows ``[n, d]`` of ``X [n, d]``, in its precision."""
        return self._map(X, lambda block, mean, scale: (block - mean) / scale, self.copy)

    @overload
    def inverse_transform(self, X: Tensor) -> Tensor: ...
    @overload
    def inverse_transform(self, X: Any) -> NDArray[Any]: ...
    def inverse_transform(self, X: Any) -> Any:
        """The rows ``[n, d]`` whose standardised rows are ``X [n, d]``."""
        return self._map(X, lambda block, mean, scale: block * scale + mean, True)

    def _map(self, X: Any, f: Any, copy: bool) -> Any:
        check_is_fitted(self)
        rows = check_rows(self, X)
        dtype = working(rows)
        mean, scale = (
            torch.as_tensor(values).to(rows.device, dtype) for values in (self.mean_, self.scale_)
        )
        out = rows
        if copy or not rows.is_floating_point() or not _writable(X):
            out = torch.empty_like(rows, dtype=rows.dtype if rows.is_floating_point() else dtype)
        for block, place in zip(blocks(rows, dtype), blocks(out), strict=True):
            place.copy_(f(block, mean, scale))
        return like(X, out)

    def loaded(self) -> None:
        """ValueError unless what a file held fits together."""
        for name in ("mean_", "var_", "scale_"):
            if tuple(getattr(self, name).shape) != (self.n_features_in_,):
                raise ValueError(f"{name} does not have {self.n_features_in_} values")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32", "float16"]
        return tags


def _writable(X: Any) -> bool:
    """Whether X may be written to, and no value of it has two places: strides that overlap, of
    windows say, would be standardised twice."""
    if isinstance(X, Tensor):
        return not X.requires_grad and (X.is_contiguous() or X.mT.is_contiguous())
    flags: Any = getattr(X, "flags", None)
    return getattr(flags, "writeable", False) and (flags.c_contiguous or flags.f_contiguous)


def _merge(
    n_a: int, mean_a: Tensor, squares_a: Tensor, n_b: int, mean_b: Tensor, squares_b: Tensor
) -> tuple[int, Tensor, Tensor]:
    """Count, mean and squared deviations of two sets of rows together."""
    n, step = n_a + n_b, mean_b - mean_a
    return (
        n,
        mean_a + step * (n_b / n),
        squares_a + squares_b + step.square() * (n_a * n_b / n),
    )


def _reduced(n: int, mean: Tensor, squares: Tensor) -> tuple[int, Tensor, Tensor]:
    """The same of the rows of all processes."""
    group = process_group("Standardizer")
    sums = torch.cat([mean * n, mean.new_tensor([n])])
    group.all_reduce(sums)
    total, everyone = int(sums[-1]), sums[:-1] / sums[-1]
    squares = squares + (mean - everyone).square() * n
    group.all_reduce(squares)
    return total, everyone, squares
