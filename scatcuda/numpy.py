"""Scattering transforms of NumPy's arrays, by the C library: PyTorch is not imported::

    S = scattering(x)                    # x [..., *input_shape] -> S [..., *output_shape]
    dx = scattering.gradient(x, g)       # of <g, S x>, g [..., *output_shape]

The transforms take the arguments of PyTorch's modules of their names and give their numbers; arrays
of float64 are computed in float64, all others in float32. A call takes as many threads as
:func:`set_num_threads` says, and holds no lock of Python's meanwhile. :func:`load` takes what
``save_plan`` of a module wrote, learned filters included.

>>> import numpy as np
>>> from scatcuda.numpy import Scattering1D, Scattering2D
>>> scattering = Scattering2D(J=2, shape=(32, 32))
>>> images = np.random.default_rng(0).normal(size=(16, 3, 32, 32)).astype(np.float32)
>>> scattering(images).shape, scattering.meta()["order"][:3]
((16, 3, 81, 8, 8), array([0, 1, 1]))
>>> Scattering1D(J=6, shape=4096, Q=8)(np.zeros((2, 4096))).dtype
dtype('float64')
>>> from scatcuda.numpy import HarmonicScattering3D, RotoTranslationScattering2D
>>> HarmonicScattering3D(J=1, shape=(8, 8, 8), L=1).input_shape
(8, 8, 8)
>>> RotoTranslationScattering2D(2, (16, 16), pool="mean").input_shape
(16, 16)
>>> from scatcuda.numpy import TimeFrequencyScattering
>>> TimeFrequencyScattering(J=5, J_fr=2, Q=4, shape=512, format="joint")(np.zeros(512)).shape
(25, 14, 16)
>>> from scatcuda.numpy import ScatteringCovariance, WaveletPhaseHarmonics
>>> ScatteringCovariance((64, 64), J=3)(images[:, 0].repeat(2, -1).repeat(2, -2)).shape
(16, 1497)
>>> WaveletPhaseHarmonics((32, 32), J=3, L=4, dn=1)(images).dtype
dtype('complex64')
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .arguments import array
from .environment import check_on_import
from .frontends import design
from .frontends.finish import gradient
from .frontends.library import Plan, get_num_threads, set_num_threads

if TYPE_CHECKING:
    from .program.arrays import Packed

__all__ = [
    "HarmonicScattering3D",
    "RotoTranslationScattering2D",
    "Scattering1D",
    "Scattering2D",
    "ScatteringCovariance",
    "TimeFrequencyScattering",
    "Transform",
    "WaveletPhaseHarmonics",
    "get_num_threads",
    "load",
    "set_num_threads",
]

check_on_import()


class Transform(design.Transform[NDArray[Any], Plan]):
    """A transform of arrays; it can be pickled and used by many threads at a time.

    Example:
        >>> transform: Transform = Scattering2D(J=1, shape=(8, 8))
        >>> transform, transform.input_shape, transform.output_shape
        (Scattering2D(J=1, shape=(8, 8), L=8, max_order=2, filters='morlet'), (8, 8), (9, 4, 4))
    """

    def __call__(self, x: ArrayLike) -> NDArray[Any]:
        """Scattering coefficients of the signals ``x [..., *input_shape]``.

        Returns: ``[..., *output_shape]``, in float64 of float64, else in float32.
        Raises: TypeError, ValueError: ``x`` is no such array of real numbers.
        Example:
            >>> Scattering2D(J=1, shape=(8, 8))(np.ones((2, 8, 8))).shape
            (2, 9, 4, 4)
        """
        signals, lead = self._signals(x)
        plan = self._plan(signals.dtype)
        S = self._finished(plan.forward(signals, get_num_threads()), np, len(plan.output_shape))
        found: NDArray[Any] = S.reshape(*lead, *self.output_shape)
        return found

    def gradient(self, x: ArrayLike, g: ArrayLike) -> NDArray[Any]:
        """The gradient of ``<g, S x>`` with respect to ``x``, for optimisers of one's own; where
        coefficients are complex, of ``Re sum(conj(g) S x)``. Of what is not linear in the moments
        of a field, as normalised statistics, it is that of ``<g, S>`` at ``x``.

        Args:
            x: signals ``[..., *input_shape]``.
            g: ``[..., *output_shape]``, with the same leading dimensions.
        Returns: of the shape of ``x``, in float64 of float64, else in float32.
        Raises: TypeError, ValueError: they are no such arrays.
        Example: of the sum of all coefficients
            >>> scattering = Scattering2D(J=1, shape=(8, 8))
            >>> scattering.gradient(np.ones((2, 8, 8)), np.ones((2, 9, 4, 4))).shape
            (2, 8, 8)
        """
        signals, lead = self._signals(x)
        given, steps = array(self._caller, "g", g), self._design.steps
        numbers = design.real(given.dtype) or (self._design.complex and given.dtype.kind == "c")
        if given.shape != (*lead, *self.output_shape) or not numbers:
            of = "numbers" if self._design.complex else "real numbers"
            wanted = f"g must be an array of {of} of shape {(*lead, *self.output_shape)}"
            raise self._refused(wanted, f"{given.dtype} {given.shape}")
        plan, batch = self._plan(signals.dtype), len(signals)
        dtype = signals.dtype if given.dtype.kind != "c" else np.result_type(signals.dtype, 1j)
        channels, *sides = plan.output_shape
        inner = given.astype(dtype, copy=False)
        if steps:
            shape = batch, channels, math.prod(sides)
            if all(step.linear for step in steps):
                S = np.zeros(shape, signals.dtype)
            else:
                S = plan.forward(signals, get_num_threads()).reshape(shape)
            rows = math.prod(self.output_shape) // shape[-1]
            inner = gradient(S, steps, inner.reshape(batch, rows, shape[-1]))
        inner = np.ascontiguousarray(inner).reshape(batch, *plan.output_shape)
        found = plan.backward(signals, inner, get_num_threads())
        return found.reshape(*lead, *self.input_shape)

    def _made(self, packed: Packed) -> Plan:
        return Plan(self._design.program, packed)

    def _signals(self, x: ArrayLike) -> tuple[NDArray[Any], tuple[int, ...]]:
        """``[batch, *input_shape]``, contiguous, and the leading dimensions."""
        given = array(self._caller, "x", x)
        dtype = self._checked(given.shape, given.dtype)
        lead = given.shape[: given.ndim - len(self.input_shape)]
        signals = np.ascontiguousarray(given, dtype)
        return signals.reshape(math.prod(lead), *self.input_shape), lead


_named = design.front(Transform, __name__)
TimeFrequencyScattering: Callable[..., Transform] = _named("TimeFrequencyScattering", design.joint)
ScatteringCovariance: Callable[..., Transform] = _named("ScatteringCovariance", design.covariance)
WaveletPhaseHarmonics: Callable[..., Transform] = _named("WaveletPhaseHarmonics", design.phases)
Scattering1D: Callable[..., Transform] = _named("Scattering1D", design.scattering1d)
Scattering2D: Callable[..., Transform] = _named("Scattering2D", design.scattering2d)
HarmonicScattering3D: Callable[..., Transform] = _named("HarmonicScattering3D", design.harmonic3d)
RotoTranslationScattering2D: Callable[..., Transform] = _named(
    "RotoTranslationScattering2D", design.rototranslation
)


def load(path: str | os.PathLike[str]) -> Transform:
    """The transform of a plan file, of any kind: ``save_plan`` of a module wrote it, or ``scatcuda
    export``.

    Args:
        path: its name. Files are not trusted; see ``SECURITY.md``.
    Returns: the transform, in the file's type; ``output_shape`` is that of its program.
    Raises: OSError: it cannot be read; ValueError: it is no plan file, or an altered one.
    Example:
        >>> import tempfile, scatcuda
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     scatcuda.Scattering2D(J=1, shape=(8, 8)).save_plan(f"{folder}/plan.scat")
        ...     load(f"{folder}/plan.scat")(np.ones((8, 8), np.float32)).shape
        5352
        (9, 4, 4)
    """
    return Transform(*design.loaded(path))
