"""Scattering as a transformer of scikit-learn on NumPy alone: PyTorch is not imported. With
networks, GPUs and images in files :class:`scatcuda.learn.ScatteringTransformer` does more.

    rows [n, numbers of a signal]  ->  S  ->  pool  ->  log  ->  rows [n, d]

>>> from scatcuda.sklearn import ScatteringTransformer
>>> from sklearn.datasets import load_digits
>>> from sklearn.linear_model import RidgeClassifierCV
>>> from sklearn.pipeline import make_pipeline
>>> X, y = load_digits(return_X_y=True)
>>> model = make_pipeline(ScatteringTransformer(J=1, shape=(8, 8)), RidgeClassifierCV())
>>> bool(model.fit(X[:900], y[:900]).score(X[900:], y[900:]) > 0.95)
True
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from .arguments import array, boolean, integer, one_of, sides
from .numpy import Scattering1D, Scattering2D, Transform
from .program.naming import names_of_features, names_of_paths

try:
    from sklearn.base import BaseEstimator, TransformerMixin
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError as _error:
    raise ImportError(
        "scatcuda.sklearn needs scikit-learn 1.6 or newer: pip install scikit-learn"
    ) from _error

__all__ = ["ScatteringTransformer"]

_NAME = "ScatteringTransformer"


class ScatteringTransformer(TransformerMixin, BaseEstimator):
    """Scattering coefficients as rows of features, for scikit-learn's pipelines.

    Args:
        J: number of scales.
        shape: of a signal that comes as a row of ``X [n, prod(shape)]``, or as ``X [n, *shape]``:
            ``(M, N)``, or with channels ``(C, M, N)``; with ``Q`` ``(N,)`` or ``(C, N)``. None:
            ``fit`` takes it from ``X``.
        L, max_order: as for :func:`scatcuda.numpy.Scattering2D`.
        Q: of signals: wavelets an octave.
        pool: None, or ``"mean"`` over positions; of integrals, which have none, the same.
        log: the logarithm of orders 1 and above, ``log(max(S, 0) + eps_)``; wants a transform whose
            ``meta()`` tells orders: no statistics, nor plan files.
        scattering: another transform of :mod:`scatcuda.numpy`, such as
            ``RotoTranslationScattering2D(3, (64, 64))``; then ``J`` to ``Q`` are not looked at.
        batch_size: signals computed at a time.

    Parameters that are set after ``fit`` count from the next ``fit`` on. Of data frames
    ``transform`` wants the columns of ``fit``.

    Attributes:
        shape_: that of a signal.
        n_features_in_: numbers of a signal.
        feature_names_in_: the columns' names, of data frames.
        eps_: 1e-6 of the root mean square of the training signals.
    Raises:
        TypeError, ValueError: in ``fit`` and ``transform``, an argument or ``X`` is not as above.
    Source: J. Bruna and S. Mallat, "Invariant scattering convolution networks", PAMI 2013.
    Example:
        >>> X = np.random.default_rng(0).normal(size=(5, 256))
        >>> ScatteringTransformer(J=4, Q=4, shape=(256,), pool="mean").fit_transform(X).shape
        (5, 29)
    """

    shape_: tuple[int, ...]
    n_features_in_: int
    eps_: float

    def __init__(
        self,
        J: int = 3,
        shape: tuple[int, ...] | None = None,
        L: int = 8,
        max_order: int = 2,
        Q: int | tuple[int, ...] | None = None,
        pool: Literal["mean"] | None = None,
        log: bool = False,
        scattering: Transform | None = None,
        batch_size: int = 128,
    ) -> None:
        self.J = J
        self.shape = shape
        self.L = L
        self.max_order = max_order
        self.Q = Q
        self.pool = pool
        self.log = log
        self.scattering = scattering
        self.batch_size = batch_size

    def fit(self, X: Any, y: Any = None) -> Self:
        """Takes the shape of the signals and, for ``log``, their size."""
        if self.pool is not None:
            one_of(_NAME, "pool", self.pool, ("mean",))
        log = boolean(_NAME, "log", self.log)
        batch_size = integer(_NAME, "batch_size", self.batch_size, 1)
        given = self._array(X)
        shape = given.shape[1:] if self.shape is None else sides(_NAME, "shape", self.shape)
        self._check_shape(given, shape)
        if not len(given):
            raise ValueError(f"{_NAME}: X must have at least one signal; got {given.shape}")
        made = self._transform(shape)
        meta = made.meta()
        if log and "order" not in meta:
            raise ValueError(
                f"{_NAME}: log must be False where meta() of scattering tells no orders; got {made}"
            )
        self._check_columns(X, given, reset=True)
        self.shape_, self.n_features_in_ = shape, math.prod(shape)
        size = float(np.sqrt(np.mean(np.square(given, dtype=np.float64))))
        self.eps_ = 1e-6 * size or 1e-6
        self._fitted = _Fitted(made, meta, self.pool is not None, log, batch_size)
        return self

    def transform(self, X: Any) -> NDArray[Any]:
        """Features ``[n, d]`` of signals; of complex coefficients real and imaginary parts side by
        side."""
        check_is_fitted(self, "shape_")
        given = self._array(X)
        self._check_shape(given, self.shape_)
        self._check_columns(X, given, reset=False)
        step = self._fitted.batch_size
        starts = range(0, max(len(given), 1), step)
        rows = [self._features(given[first : first + step]) for first in starts]
        return np.concatenate(rows)

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Names of the features, from their paths, as :class:`scatcuda.learn.ScatteringTransformer`
        has them; where ``meta()`` tells no orders ``"coefficient7"``.

        Example:
            >>> transformer = ScatteringTransformer(J=1, L=2, pool="mean")
            >>> transformer.fit(np.ones((1, 8, 8))).get_feature_names_out().tolist()
            ['order0', 'j0_theta0', 'j0_theta1']
        """
        check_is_fitted(self, "shape_")
        made, meta, pooled, _, _ = self._fitted
        channels, *places = made.output_shape
        if "order" in meta:
            names = names_of_paths(meta)
        else:
            names = [f"coefficient{c}" for c in range(channels)]
        places = places[: len(places) - made.positions] if pooled else places
        planes = self.shape_[: -len(made.input_shape)]
        names = names_of_features(names, places, planes)
        if made.complex:
            names = [f"{name}_{part}" for name in names for part in ("real", "imag")]
        return np.array(names, dtype=object)

    def _features(self, X: NDArray[Any]) -> NDArray[Any]:
        made, meta, pooled, log, _ = self._fitted
        S = made(X.reshape(len(X), *self.shape_))
        rank = len(made.output_shape)
        if pooled and made.positions:
            S = S.mean(tuple(range(-made.positions, 0)), keepdims=True)
        if log:
            higher = np.asarray(meta["order"]) > 0
            by_channel = np.moveaxis(S, -rank, 0)  # the same memory
            # the low-pass is cut, and has lobes: an average of moduli may be a little below 0
            by_channel[higher] = np.log(np.maximum(by_channel[higher], 0) + self.eps_)
        rows = S.reshape(len(X), math.prod(S.shape[1:]))
        return rows.view(rows.real.dtype) if made.complex else rows

    def _transform(self, shape: tuple[int, ...]) -> Transform:
        rank = 1 if self.Q is not None else 2
        if self.scattering is not None:
            if not isinstance(self.scattering, Transform):
                found = type(self.scattering).__name__
                raise TypeError(
                    f"{_NAME}: scattering must be a transform of scatcuda.numpy; got {found}"
                )
            wanted = self.scattering.input_shape
            if shape[-len(wanted) :] != wanted:
                raise ValueError(
                    f"{_NAME}: scattering must be of signals of shape {shape}; got one of {wanted}"
                )
            return self.scattering
        if len(shape) < rank:
            needed = "two sides, or Q be given of signals" if rank == 2 else "a side"
            raise ValueError(f"{_NAME}: shape must have {needed}; got {shape}")
        if self.Q is not None:
            return Scattering1D(self.J, shape[-1], self.Q, max_order=self.max_order)
        return Scattering2D(self.J, shape[-2:], self.L, self.max_order)

    def _array(self, X: Any) -> NDArray[Any]:
        given = array(_NAME, "X", X)
        if given.ndim < 2 or given.dtype.kind not in "fiub":
            raise ValueError(
                f"{_NAME}: X must be an array [n, …] of real numbers; got {given.dtype} "
                f"{given.shape}"
            )
        if given.dtype.kind == "f" and not np.isfinite(given).all():
            raise ValueError(f"{_NAME}: X must be finite; it holds NaN or infinity")
        return given

    def _check_shape(self, given: NDArray[Any], shape: tuple[int, ...]) -> None:
        if not shape or given.shape[1:] not in (shape, (math.prod(shape),)):
            raise ValueError(
                f"{_NAME}: X must be [n, *shape] or [n, prod(shape)] with shape = {shape}; got "
                f"{given.shape}"
            )

    def _check_columns(self, X: Any, given: NDArray[Any], reset: bool) -> None:
        """Their number and, of frames, their names, as scikit-learn checks them."""
        rows = X if hasattr(X, "columns") else given.reshape(len(given), math.prod(given.shape[1:]))
        validate_data(self, rows, reset=reset, skip_check_array=True)


class _Fitted(NamedTuple):
    """What features are made by."""

    made: Transform
    meta: Mapping[str, Any]
    pooled: bool
    log: bool
    batch_size: int
