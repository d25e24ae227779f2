"""What front ends make of the channels ``[..., channels, n]`` that a program gives: a few steps,
one after the other, in the arrays of a module like NumPy, whose JAX differentiates them. NumPy
differentiates nothing: each step has its gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Reals = NDArray[np.float64]


class Step(Protocol):
    """``S [..., channels, n]`` to what it makes of it."""

    @property
    def linear(self) -> bool:
        """Whether its gradient is the same at all ``S`` of a shape."""
        ...

    def __call__(self, S: Any, arrays: Any) -> Any: ...

    def gradient(self, S: Any, g: Any) -> Any:
        """Of ``<g, step(S)>`` with respect to ``S [batch, channels, n]``, by NumPy."""
        ...


def finished(S: Any, steps: Sequence[Step], arrays: Any) -> Any:
    """What the steps make of it."""
    for step in steps:
        S = step(S, arrays)
    return S


def gradient(S: Any, steps: Sequence[Step], g: Any) -> Any:
    """Of ``<g, finished(S)>`` with respect to ``S [batch, channels, n]``, by NumPy."""
    values = [S]
    for step in steps[:-1]:
        values.append(step(values[-1], np))
    for step, value in zip(reversed(steps), reversed(values), strict=True):
        g = step.gradient(value, g)
    return g


class Mixed(NamedTuple):
    """So many channels side by side, of which a matrix ``[outputs, inputs]`` multiplies ``inputs``
    after ``inputs``; None: as they are."""

    channels: int
    matrix: Reals | None

    @property
    def adjoint(self) -> Mixed:
        if self.matrix is None:
            return self
        outputs, inputs = self.matrix.shape
        return Mixed(self.channels // inputs * outputs, self.matrix.T)

    def __call__(self, S: Any, arrays: Any) -> Any:
        if self.matrix is None:
            return S
        *lead, channels, n = S.shape
        inputs = self.matrix.shape[1]
        S = S.reshape(*lead, channels // inputs, inputs, n)
        S = arrays.matmul(arrays.asarray(self.matrix, S.dtype), S)
        return S.reshape(*lead, self.adjoint.channels, n)


class Mix(NamedTuple):
    """Channels multiplied by matrices, those of each part in turn."""

    parts: tuple[Mixed, ...]

    @property
    def linear(self) -> bool:
        return True

    def __call__(self, S: Any, arrays: Any) -> Any:
        made, first = [], 0
        for part in self.parts:
            made.append(part(S[..., first : first + part.channels, :], arrays))
            first += part.channels
        return arrays.concatenate(made, axis=-2)

    def gradient(self, S: Any, g: Any) -> Any:
        return Mix(tuple(part.adjoint for part in self.parts))(g, np)


class Take(NamedTuple):
    """The means of some channels ``[outputs, so many]``."""

    channels: Integers

    @property
    def linear(self) -> bool:
        return True

    def __call__(self, S: Any, arrays: Any) -> Any:
        count, each = self.channels.shape
        found = arrays.take(S, self.channels.ravel(), axis=-2)
        if each == 1:
            return found
        return found.reshape(*S.shape[:-2], count, each, S.shape[-1]).mean(-2)

    def gradient(self, S: Any, g: Any) -> Any:
        each = self.channels.shape[1]
        return _added(S, self.channels.ravel(), np.repeat(g / each, each, axis=1))


class Times(NamedTuple):
    """Channels multiplied by numbers ``[channels]``."""

    factors: Reals

    @property
    def linear(self) -> bool:
        return True

    def __call__(self, S: Any, arrays: Any) -> Any:
        return S * arrays.asarray(self.factors[:, None], S.dtype)

    def gradient(self, S: Any, g: Any) -> Any:
        return self(g, np)


class OverPowers(NamedTuple):
    """Channels over the roots of two of the powers among them, those of a field whose ``mean`` is
    one too: of indices into ``powers``, one behind the last of them is of none. What is over the
    root of nothing is 0."""

    mean: int
    powers: slice
    first: Integers
    second: Integers

    @property
    def linear(self) -> bool:
        return False

    def __call__(self, S: Any, arrays: Any) -> Any:
        first, second = self._roots(S, arrays)
        return S * first * second

    def gradient(self, S: Any, g: Any) -> Any:
        first, second = self._roots(S, np)
        found, roots = g * first * second, self._inverse(S, np)
        of_roots = np.zeros((len(S), roots.shape[1] + 1, S.shape[2]), S.dtype)
        for index, other in ((self.first, second), (self.second, first)):
            _add_at(of_roots, index, g * S * other)
        found[:, self.powers] -= of_roots[:, :-1] * roots**3 / 2
        return found

    def _inverse(self, S: Any, arrays: Any) -> Any:
        mean = S[..., self.mean : self.mean + 1, :]
        return inverse_roots(S[..., self.powers, :], arrays, mean)

    def _roots(self, S: Any, arrays: Any) -> tuple[Any, Any]:
        roots = self._inverse(S, arrays)
        roots = arrays.concatenate([roots, arrays.ones_like(S[..., :1, :])], axis=-2)
        return arrays.take(roots, self.first, axis=-2), arrays.take(roots, self.second, axis=-2)


class Moments(NamedTuple):
    """Complex numbers of channels side by side, ``real`` and the one behind it, whose imaginary
    part has a ``sign``; of those that are ``centred``, 1 or 0, without the product of two means."""

    real: Integers
    sign: Reals
    centred: Reals
    first: Integers
    second: Integers

    @property
    def linear(self) -> bool:
        return False

    def __call__(self, S: Any, arrays: Any) -> Any:
        def take(index: Integers) -> Any:
            return arrays.take(S, index, axis=-2)

        sign, centred = (arrays.asarray(f[:, None], S.dtype) for f in (self.sign, self.centred))
        means = take(self.first) * take(self.second)
        return take(self.real) - centred * means + 1j * (sign * take(self.real + 1))

    def gradient(self, S: Any, g: Any) -> Any:
        sign, centred = (f[:, None].astype(S.dtype) for f in (self.sign, self.centred))
        found = _added(S, self.real, g.real) + _added(S, self.real + 1, sign * g.imag)
        of_means = centred * g.real
        found -= _added(S, self.first, of_means * S[:, self.second])
        found -= _added(S, self.second, of_means * S[:, self.first])
        return found


def inverse_roots(P: Any, arrays: Any, mean: Any = 0.0) -> Any:
    """``1 / sqrt(P)`` of powers ``[..., powers, n]``, 0 where there is none, or no more than
    rounding leaves of the others or of the mean."""
    from ..program.covariance import least_power

    nothing = (P >= 0) & (P <= least_power(P.dtype, P.max(-2, keepdims=True), mean))
    return arrays.where(nothing, 0, 1 / arrays.sqrt(arrays.where(nothing, 1, P))).astype(P.dtype)


def _added(S: Any, index: Integers, g: Any) -> Any:
    """``g [batch, len(index), n]`` added up where it belongs among channels like ``S``."""
    found = np.zeros(S.shape, S.dtype)
    if len(np.unique(index)) == len(index):
        found[:, index] = g
    else:
        _add_at(found, index, g)
    return found


def _add_at(found: Any, index: Integers, g: Any) -> None:
    """Adds ``g [batch, len(index), n]`` to the channels of this index, which may name one twice."""
    at: Any = slice(None), index
    np.add.at(found, at, g)
