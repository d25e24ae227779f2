"""What the estimators share: rows and labels checked at the door, blocks, labels on the way out.

    NumPy in -> NumPy out        tensor in -> tensor out, on its device

Everything is computed by PyTorch where X is. Letters: `n` rows, `d` features, `K` columns of
scores: one for each class, or a single one when there are two classes.

A row of weight `w` counts as `w` rows, one of weight 0 not at all; a class's weight multiplies
those of its rows.
"""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar, cast, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

try:
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.utils.class_weight import compute_class_weight
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data
except ImportError as _error:
    raise ImportError(
        "scatcuda.learn needs scikit-learn 1.6 or newer: pip install 'scatcuda[learn]'"
    ) from _error

from ...arguments import told
from ...typing import ClassWeight

Fit = TypeVar("Fit", bound=Callable[..., Any])

_BLOCK = 1 << 24  # values in a block: 64 MiB of float32, large enough for the speed of the product


def wholly(fit: Fit) -> Fit:
    """A method that fits: where it raises, the estimator is as it was before."""

    @functools.wraps(fit)
    def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        before = dict(self.__dict__)
        try:
            return fit(self, *args, **kwargs)
        except BaseException as error:
            self.__dict__.clear()
            self.__dict__.update(before)
            if isinstance(error, torch.linalg.LinAlgError):
                raise ValueError(
                    f"{type(self).__name__}: X must have squares that can be summed: its numbers, "
                    "or their weights, are too large; standardise them"
                ) from error
            raise

    return cast("Fit", run)


def check_rows(estimator: Any, X: Any, *, reset: bool = False) -> Tensor:
    """`X` as a tensor [n, d] that shares its memory; `reset` when fitting, to note `d`."""
    name = type(estimator).__name__
    if not isinstance(X, Tensor):
        kinds = [np.float64, np.float32, np.float16]
        return shared(validate_data(estimator, X, reset=reset, dtype=kinds))
    if X.ndim != 2 or 0 in X.shape or X.layout != torch.strided:
        raise ValueError(
            f"{name}: X must be a dense tensor [n, d] with at least one row and one column; "
            f"got {X.layout} of shape {list(X.shape)}"
        )
    if X.is_complex() or X.dtype == torch.bool:
        raise TypeError(f"{name}: X must be real numbers; got {X.dtype}")
    X = X.detach()
    if X.is_floating_point() and not all(block.isfinite().all() for block in blocks(X)):
        raise ValueError(f"{name}: X contains NaN or infinity")
    if reset:
        estimator.n_features_in_ = X.shape[1]
        estimator.__dict__.pop("feature_names_in_", None)
    elif X.shape[1] != estimator.n_features_in_:
        raise ValueError(
            f"{name}: X has {X.shape[1]} features, but {name} is expecting "
            f"{estimator.n_features_in_} features as input"
        )
    return X


def check_labels(
    estimator: Any, y: Any, X: Any, classes: Any = None, distributed: bool = False
) -> tuple[Any, Tensor]:
    """The sorted classes, and for each row of `X` the index [n] int64 of its class.

    The classes are those of `y`, with `distributed` those of every process, or they are given.
    """
    name = type(estimator).__name__
    if isinstance(X, Tensor):
        y = _integers(name, "y", y)
        if len(y) != len(X):
            raise ValueError(f"{name}: y must have a label for each of {len(X)} rows; got {len(y)}")
        y = y.to(X.device)
        known = y.unique() if classes is None else _integers(name, "classes", classes).to(X.device)
        if distributed:
            known = torch.from_numpy(_union(known.cpu().numpy())).to(X.device)
        known = known.unique()
        index = torch.searchsorted(known, y).clamp(max=len(known) - 1)
        strangers = y[known[index] != y].unique().tolist()
    else:
        y = column_or_1d(y, warn=True)
        y = y.astype(y.dtype.newbyteorder("="), copy=False)  # PyTorch knows no other order
        check_classification_targets(y)
        known = np.unique(y if classes is None else column_or_1d(classes))
        known = _union(known) if distributed else known
        found = np.searchsorted(known, y).clip(max=len(known) - 1)
        strangers = np.unique(y[known[found] != y]).tolist()
        index = torch.from_numpy(found)
    if strangers:
        raise ValueError(f"{name}: y has labels that are not among the classes: {strangers[:5]}")
    if len(known) < 2:
        raise ValueError(f"{name}: y must have two or more classes; got one class, {known[0]!r}")
    return known, index


def check_weights(estimator: Any, sample_weight: Any, rows: Tensor) -> Tensor | None:
    """The weights of the rows, float64 [n] on their device; `None`, of which all weigh the same."""
    if sample_weight is None:
        return None
    name = type(estimator).__name__
    if isinstance(sample_weight, Tensor):
        given = sample_weight.detach()
        real = not given.is_complex()
    else:
        array = np.asarray(sample_weight)
        real = array.dtype.kind in "fiub"
        given = shared(array.astype(np.float64)) if real else torch.empty(0)
    if not real:
        raise TypeError(f"{name}: sample_weight must be real numbers; got {told(sample_weight)}")
    weights = given.to(rows.device, torch.float64)
    weights = weights.expand(len(rows)) if weights.ndim == 0 else weights
    if weights.shape != (len(rows),):
        raise ValueError(
            f"{name}: sample_weight must have a weight for each of {len(rows)} rows; "
            f"got {list(weights.shape)}"
        )
    low, high = (float(extreme) for extreme in weights.aminmax())
    if not 0 <= low <= high < math.inf:
        raise ValueError(
            f"{name}: sample_weight must be finite and not negative; got {low:g} to {high:g}"
        )
    if high == 0:
        raise ValueError(f"{name}: sample_weight must not be zero for all rows")
    return weights


def blocks(X: Tensor, dtype: torch.dtype | None = None) -> Iterator[Tensor]:
    """The rows of X [n, d] in blocks that are converted one at a time."""
    for block in X.split(max(1, _BLOCK // X.shape[1])):
        yield block if dtype is None else block.to(dtype)


def working(X: Tensor) -> torch.dtype:
    """What a block is computed in: float64 for float64, otherwise float32."""
    return torch.float64 if X.dtype == torch.float64 else torch.float32


def like(X: Any, values: Tensor) -> Any:
    """`values` as the caller has his numbers: a tensor for a tensor, else a NumPy array."""
    return values if isinstance(X, Tensor) else values.numpy()


def process_group(name: str) -> Any:
    """`torch.distributed`, which must have been initialised."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        raise ValueError(
            f"{name}: distributed=True needs torch.distributed.init_process_group, which was "
            "not called; start with torchrun, or leave distributed=False"
        )
    return torch.distributed


class TensorClassifier(ClassifierMixin, BaseEstimator):
    """scikit-learn's interface around `_scores(block [b, d]) -> [b, K]`, large for likely."""

    fitted: tuple[str, ...] = ("classes_", "n_features_in_", "feature_names_in_")
    classes_: Any
    n_features_in_: int
    class_weight: ClassWeight | None

    def _scores(self, block: Tensor) -> Tensor:
        raise NotImplementedError

    def _begin(
        self, X: Any, y: Any, sample_weight: Any = None, distributed: bool = False
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Rows [n, d], class indices [n] and weights [n] to fit; sets `classes_` and
        `n_features_in_`."""
        if y is None:
            raise ValueError(
                f"{type(self).__name__}: requires y to be passed, but the target y is None"
            )
        if not isinstance(X, Tensor):
            kinds = [np.float64, np.float32, np.float16]
            X, y = validate_data(self, X, y, dtype=kinds)
        rows = check_rows(self, X, reset=True) if isinstance(X, Tensor) else shared(X)
        weights = check_weights(self, sample_weight, rows)
        self.classes_, index = check_labels(self, y, X, distributed=distributed)
        return rows, index, self._weighted(weights, index, self.classes_, distributed)

    def _weighted(
        self,
        weights: Tensor | None,
        index: Tensor,
        classes: Any,
        distributed: bool = False,
        some: bool = False,
    ) -> Tensor | None:
        """The weights of the rows [n] times those of their classes; where there are only `some` of
        the rows these may all be 0."""
        name, K = type(self).__name__, len(classes)
        if self.class_weight is None:
            return weights
        if isinstance(self.class_weight, Mapping):
            known = to_numpy(classes)
            of_class = compute_class_weight(dict(self.class_weight), classes=known, y=known)
            factors = torch.as_tensor(of_class, dtype=torch.float64).to(index.device)
            if not bool(((factors >= 0) & factors.isfinite()).all()):
                raise ValueError(
                    f"{name}: class_weight must be finite and not negative; got {self.class_weight}"
                )
        elif self.class_weight == "balanced":
            counts = torch.bincount(index, weights, minlength=K).double()
            if distributed:
                process_group(name).all_reduce(counts)
            there = counts > 0
            factors = (counts.sum() / (there.sum() * counts)).where(there, 0.0)
        else:
            raise ValueError(
                f"{name}: class_weight must be a dict, 'balanced' or None; "
                f"got {self.class_weight!r}"
            )
        both = factors[index] if weights is None else factors[index] * weights
        if not some and not bool(both.any()):
            raise ValueError(f"{name}: class_weight leaves every row a weight of zero")
        return both

    @overload
    def decision_function(self, X: Tensor) -> Tensor: ...
    @overload
    def decision_function(self, X: Any) -> NDArray[Any]: ...
    def decision_function(self, X: Any) -> Any:
        """Scores ``[n, K]`` of the rows of ``X [n, d]``, float32 (float64 for float64); ``[n]``,
        positive for the second class, when there are two."""
        check_is_fitted(self)
        rows = check_rows(self, X)
        scores = torch.cat([self._scores(block) for block in blocks(rows, working(rows))])
        return like(X, scores[:, 0] if scores.shape[1] == 1 else scores)

    @overload
    def predict(self, X: Tensor) -> Tensor: ...
    @overload
    def predict(self, X: Any) -> NDArray[Any]: ...
    def predict(self, X: Any) -> Any:
        """Labels ``[n]`` of the rows of ``X [n, d]``."""
        scores = torch.as_tensor(self.decision_function(X))
        index = (scores > 0).long() if scores.ndim == 1 else scores.argmax(1)
        if not isinstance(X, Tensor):
            return np.asarray(to_numpy(self.classes_))[index.numpy()]
        if isinstance(self.classes_, np.ndarray) and self.classes_.dtype.kind not in "biu":
            raise TypeError(
                f"{type(self).__name__}: the labels are no integers and have no place in a "
                f"tensor ({self.classes_.dtype}); give X as a NumPy array"
            )
        return torch.as_tensor(self.classes_, device=X.device)[index]

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Share of the rows of ``X [n, d]`` whose label in ``y [n]`` is predicted, by weight."""
        if not isinstance(X, Tensor):
            return super().score(X, y, sample_weight)
        y = _integers(type(self).__name__, "y", y).to(X.device)
        if len(y) != len(X):
            raise ValueError(
                f"{type(self).__name__}: y must have a label for each of {len(X)} rows; "
                f"got {len(y)}"
            )
        right = (self.predict(X) == y).double()
        weights = check_weights(self, sample_weight, X)
        return float(right.mean() if weights is None else right @ weights / weights.sum())


class AffineScores(TensorClassifier):
    """Scores ``X coef_.T + intercept_`` with ``coef_ [K, d]`` and ``intercept_ [K]``."""

    fitted = (*TensorClassifier.fitted, "coef_", "intercept_")
    coef_: Any
    intercept_: Any

    def _scores(self, block: Tensor) -> Tensor:
        coef, intercept = (
            torch.as_tensor(values).to(block.device, block.dtype)
            for values in (self.coef_, self.intercept_)
        )
        return torch.addmm(intercept, block, coef.T)

    def loaded(self) -> None:
        """ValueError unless what a file held fits together."""
        K = len(self.classes_) if len(self.classes_) > 2 else 1
        found = (tuple(self.coef_.shape), tuple(self.intercept_.shape))
        if found != ((K, self.n_features_in_), (K,)):
            raise ValueError(
                f"coef_ and intercept_ have shapes {found} with {len(self.classes_)} classes and "
                f"{self.n_features_in_} features"
            )


def to_numpy(values: Any) -> Any:
    """A tensor's values as a NumPy array; anything else as it is."""
    return values.cpu().numpy() if isinstance(values, Tensor) else values


def signs(index: Tensor, classes: int, dtype: torch.dtype) -> Tensor:
    """One-versus-all targets [n, K]: 1 for the row's class, -1 for the others."""
    if classes == 2:
        return (2 * index - 1)[:, None].to(dtype)
    return 2 * torch.nn.functional.one_hot(index, classes).to(dtype) - 1


def shared(X: np.ndarray) -> Tensor:
    """A tensor on the array's memory, where its layout allows that."""
    with warnings.catch_warnings():  # of read-only memory, which is not written to
        warnings.filterwarnings("ignore", ".*not writable", UserWarning)
        return torch.from_numpy(X if X.flags.forc else np.ascontiguousarray(X))


def _integers(name: str, argument: str, y: Any) -> Tensor:
    """A tensor [n] of int64 labels."""
    if not isinstance(y, Tensor) or y.is_floating_point() or y.is_complex():
        kind = f"a tensor of {y.dtype}" if isinstance(y, Tensor) else type(y).__name__
        raise TypeError(
            f"{name}: with a tensor X, {argument} must be a tensor of integers; got {kind}"
        )
    if y.ndim != 1:
        raise ValueError(f"{name}: {argument} must have one dimension; got {list(y.shape)}")
    return y.detach().long()


def _union(classes: np.ndarray) -> np.ndarray:
    """The classes of all processes."""
    group = process_group("check_labels")
    everyone: list[Any] = [None] * group.get_world_size()
    group.all_gather_object(everyone, classes)
    return np.unique(np.concatenate(everyone))
