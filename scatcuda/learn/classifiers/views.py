"""A classifier of rows that are several views of one thing: of an image at several scales."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from typing_extensions import Self

from ...arguments import integer
from ...typing import ClassWeight
from .estimator import (
    TensorClassifier,
    check_labels,
    check_rows,
    check_weights,
    like,
    shared,
    to_numpy,
    validate_data,
    wholly,
)

try:
    from sklearn.base import clone
except ImportError as _error:
    raise ImportError(
        "scatcuda.learn needs scikit-learn 1.6 or newer: pip install 'scatcuda[learn]'"
    ) from _error

_NAME = "ManyViews"


class ManyViews(TensorClassifier):
    """A classifier that learns from each of several views, as many training rows as there are, and
    answers by all of them.

    A row of ``X [n, views d]`` is ``views`` rows ``[d]`` side by side, as
    ``ScatteringTransformer(scales=4, views=True)`` makes them of an image at four scales. The
    scores of a row are the largest, or the mean, of those of its views.

    Args:
        classifier: a classifier with ``decision_function``; a copy is fitted.
        views: how many.
        combine: ``"largest"``: the surest view decides (of :class:`PCAAffineClassifier` the one
            that is nearest to a space); or ``"mean"``.
    Attributes:
        classifier_: the copy.
        classes_: the labels, sorted.
    Raises:
        TypeError, ValueError: a parameter is out of range; ``X`` has no whole views; whatever the
            classifier raises.
    Source: L. Sifre and S. Mallat, CVPR 2013, of multi-scale training.
    Example:
        >>> from scatcuda.learn import PCAAffineClassifier
        >>> X = torch.randn(40, 3)
        >>> views = torch.cat([X, X + 0.1 * torch.randn(40, 3)], 1)
        >>> y = (X[:, 0] > 0).long()
        >>> model = ManyViews(PCAAffineClassifier(n_components=1), views=2).fit(views, y)
        >>> model.predict(views).shape
        torch.Size([40])
    """

    fitted = (*TensorClassifier.fitted, "classifier_")
    class_weight: ClassWeight | None = None
    classifier_: Any

    def __init__(
        self,
        classifier: Any,
        views: int = 4,
        combine: Literal["largest", "mean"] = "largest",
    ) -> None:
        self.classifier = classifier
        self.views = views
        self.combine = combine

    @wholly
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit the rows of ``X [n, views d]`` with labels ``y [n]``; weights ``sample_weight [n]``
        are those of all views of a row."""
        views = integer(_NAME, "views", self.views, 1)
        if self.combine not in ("largest", "mean"):
            raise ValueError(
                f"{_NAME}: combine must be one of 'largest', 'mean'; got {self.combine!r}"
            )
        if not hasattr(self.classifier, "decision_function"):
            raise TypeError(
                f"{_NAME}: classifier must have decision_function; "
                f"{type(self.classifier).__name__} has not"
            )
        if y is None:
            raise ValueError(f"{_NAME}: requires y to be passed, but the target y is None")
        if not isinstance(X, Tensor):
            X, y = validate_data(self, X, y, dtype=[np.float64, np.float32, np.float16])
        rows = check_rows(self, X, reset=True) if isinstance(X, Tensor) else X
        if rows.shape[1] % views:
            raise ValueError(
                f"{_NAME}: X must have rows of {views} views side by side; got "
                f"{rows.shape[1]} features"
            )
        self.classes_, _ = check_labels(self, y, X)
        each = rows.reshape(len(rows) * views, -1)
        repeated = y.repeat_interleave(views) if isinstance(y, Tensor) else np.repeat(y, views)
        more = {}
        if sample_weight is not None:
            weights = check_weights(
                self, sample_weight, rows if isinstance(rows, Tensor) else shared(rows)
            )
            assert weights is not None
            more["sample_weight"] = like(X, weights.repeat_interleave(views))
        self.classifier_ = clone(self.classifier).fit(each, repeated, **more)
        return self

    def loaded(self) -> None:
        """ValueError unless what a file held fits together."""
        views, each = integer(_NAME, "views", self.views, 1), self.classifier_
        if self.combine not in ("largest", "mean"):
            raise ValueError(f"combine is {self.combine!r}")
        if each.n_features_in_ * views != self.n_features_in_:
            raise ValueError(
                f"{self.n_features_in_} features are not {views} views of {each.n_features_in_}"
            )
        if len(each.classes_) != len(self.classes_):
            raise ValueError(f"{len(each.classes_)} classes are not {len(self.classes_)}")

    def _scores(self, block: Tensor) -> Tensor:
        each = block.reshape(len(block) * self.views, -1)
        ours = isinstance(self.classifier_, TensorClassifier)
        found = self.classifier_.decision_function(each if ours else to_numpy(each))
        scores = torch.as_tensor(found).reshape(len(block), self.views, -1)
        if self.combine == "mean":
            return scores.mean(1)
        if scores.shape[-1] > 1:
            return scores.amax(1)
        # of two classes the surer side
        surest = scores.abs().argmax(1, keepdim=True)
        return scores.gather(1, surest)[:, 0]
