"""For programs written for Kymatio: engines under its classes, or our class in place of its own.

``backend1d``, ``backend2d`` and ``backend3d`` are what Kymatio's PyTorch classes take as
``backend=``: the primitives from which Kymatio builds a scattering transform, path by path. They
follow Kymatio 0.3.0 and its development branch, which calls ``stack`` what was ``concatenate`` and
asks for more in 1D. :func:`accelerate` makes ``kymatio.torch.Scattering2D`` build
:class:`scatcuda.Scattering2D`, which does the whole transform at once and is much faster.

Nothing here imports Kymatio before :func:`accelerate` is called.

>>> from kymatio.torch import Scattering1D
>>> from scatcuda.kymatio import backend1d
>>> Scattering1D(J=4, shape=512, Q=2, backend=backend1d)(torch.randn(3, 512)).shape
torch.Size([3, 20, 32])
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType, ModuleType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from .. import ops
from ..arguments import integer
from ..transforms import scattering2d

__all__ = ["Acceleration", "FallbackWarning", "accelerate", "backend1d", "backend2d", "backend3d"]

# --- backend objects --------------------------------------------------------------------------
#
# Kymatio's tensors end in an axis of size 1, a real value, or 2, real and imaginary part. Letters:
# B any leading dimensions, * the signal's one, two or three.


class _Backend:
    """What the backends share. Checks and errors are Kymatio's, and so are the names."""

    name = "torch_scatcuda"  # Kymatio's PyTorch classes want a name that starts with theirs
    _axes: tuple[int, ...]  # of the signal in a complex tensor [B, *]

    def __reduce__(self) -> str:
        return f"backend{len(self._axes)}d"  # copies and pickles are the object itself

    def __repr__(self) -> str:
        return f"scatcuda.kymatio.{self.__reduce__()}"

    def input_checks(self, x: Tensor) -> None:
        if x is None:
            raise TypeError("The input should be not empty.")
        self.contiguous_check(x)

    def complex_check(self, x: Tensor) -> None:
        if x.shape[-1] != 2:
            raise TypeError("The input should be complex (i.e. last dimension is 2).")

    def real_check(self, x: Tensor) -> None:
        if x.shape[-1] != 1:
            raise TypeError("The input should be real.")

    def contiguous_check(self, x: Tensor) -> None:
        if not x.is_contiguous():
            raise RuntimeError("Tensors must be contiguous.")

    def complex_contiguous_check(self, x: Tensor) -> None:
        self.complex_check(x)
        self.contiguous_check(x)

    def rfft(self, x: Tensor) -> Tensor:
        """``[B, *, 1] -> [B, *, 2]``: the DFT of a real signal, all its frequencies."""
        self.contiguous_check(x)
        self.real_check(x)
        return torch.view_as_real(torch.fft.fftn(x.squeeze(-1), dim=self._axes))

    def ifft(self, x: Tensor) -> Tensor:
        """``[B, *, 2] -> [B, *, 2]``: the inverse DFT."""
        self.complex_contiguous_check(x)
        return torch.view_as_real(self._ifft(x))

    def irfft(self, x: Tensor) -> Tensor:
        """``[B, *, 2] -> [B, *, 1]``: the real part of the inverse DFT."""
        self.complex_contiguous_check(x)
        return self._ifft(x).real.unsqueeze(-1)

    def _ifft(self, x: Tensor) -> Tensor:
        return torch.fft.ifftn(torch.view_as_complex(x), dim=self._axes)

    def cdgmm(self, A: Tensor, B: Tensor) -> Tensor:
        """``A B``, spectra ``A [B, *, 2]`` times one filter ``B [*, 1]`` or ``[*, 2]``."""
        if B.shape[-1] != 1:
            self.complex_check(B)
        self.contiguous_check(B)
        self.complex_contiguous_check(A)
        if A.shape[-B.ndim : -1] != B.shape[:-1]:
            raise RuntimeError("The filters are not compatible for multiplication.")
        if A.dtype is not B.dtype:
            raise TypeError("Input and filter must be of the same dtype.")
        if A.device != B.device:
            if A.is_cuda and B.is_cuda:
                raise TypeError("Input and filter must be on the same GPU.")
            raise TypeError(f"Input must be on {'GPU' if B.is_cuda else 'CPU'}.")
        psi = B.squeeze(-1) if B.shape[-1] == 1 else torch.view_as_complex(B)
        return torch.view_as_real(torch.view_as_complex(A) * psi)

    def modulus(self, x: Tensor) -> Tensor:
        """``[B, *, 2] -> [B, *, 1]``; the gradient at 0 is 0."""
        self.complex_contiguous_check(x)
        return ops.modulus(torch.view_as_complex(x)).unsqueeze(-1)

    def shape(self, x: Tensor) -> torch.Size:
        return x.shape

    def reshape_input(self, x: Tensor, signal_shape: Sequence[int]) -> Tensor:
        """``[..., *] -> [B, 1, *]``"""
        return x.reshape(-1, 1, *signal_shape)

    def reshape_output(self, S: Tensor, batch_shape: Sequence[int], n_kept_dims: int) -> Tensor:
        """``[B, 1, ...] -> [*batch_shape, ...]``, the last ``n_kept_dims`` sizes as they are."""
        return S.reshape(*batch_shape, *S.shape[-n_kept_dims:])


class _Backend1D(_Backend):
    _axes = (-1,)

    def pad(self, x: Tensor, pad_left: int, pad_right: int, mode: str = "reflect") -> Tensor:
        """``[B, 1, N] -> [B, 1, pad_left + N + pad_right, 1]``"""
        if mode != "constant" and max(pad_left, pad_right) >= x.shape[-1]:
            raise ValueError("Indefinite padding size (larger than tensor).")
        return pad(x, (pad_left, pad_right), mode=mode).unsqueeze(-1)

    def unpad(self, x: Tensor, i0: int, i1: int) -> Tensor:
        """``[..., N, 1] -> [..., i1 - i0]``"""
        return x.squeeze(-1)[..., i0:i1]

    def subsample_fourier(self, x: Tensor, k: int) -> Tensor:
        """``[B, N, 2] -> [B, N / k, 2]``: the mean of the ``k`` aliases."""
        self.complex_check(x)
        return x.unflatten(-2, (k, x.shape[-2] // k)).mean(-3)

    def stack(self, arrays: Sequence[Tensor], dim: int = 2) -> Tensor:
        return torch.stack(tuple(arrays), dim)

    concatenate = stack

    def average_global(self, x: Tensor) -> Tensor:
        """``[B, N, 1] -> [B, 1, 1]``: the sum over time."""
        self.contiguous_check(x)
        self.real_check(x)
        return x.sum(-2, keepdim=True)

    # What the joint time-frequency scattering of the development branch asks for as well

    def cfft(self, x: Tensor) -> Tensor:
        """``[B, N, 2] -> [B, N, 2]``: the DFT."""
        self.complex_contiguous_check(x)
        return torch.view_as_real(torch.fft.fft(torch.view_as_complex(x)))

    def pad_frequency(self, x: Tensor, padding: int) -> Tensor:
        """``[..., N, 1] -> [..., N + padding, 1]``: zeros after the lowest frequency."""
        return pad(x, (0, 0, 0, padding))

    def unpad_frequency(self, x: Tensor, n1_max: int, n1_stride: int) -> Tensor:
        """``[B, 1, F, N] -> [B, 1, 1 + n1_max // n1_stride, N]``"""
        return x[:, :, : 1 + n1_max // n1_stride, :]

    def swap_time_frequency(self, x: Tensor) -> Tensor:
        """``[B, F, N, ...] -> [B, N, F, ...]``, the last axis as it is."""
        return x.transpose(-2, -3).contiguous()

    def split_frequency_axis(self, x: Tensor) -> tuple[Tensor, ...]:
        """``[B, F, N, 1] -> F`` tensors ``[B, 1, N, 1]``"""
        return x.split(1, dim=-3)


class _Pad2D:
    """``[B, M, N] -> [B, Mp, Np, 1]``: reflects images at their edges, which are not repeated.

    Args:
        pad_size: pixels to add ``[top, bottom, left, right]``.
        input_size: ``[M, N]``.
    """

    def __init__(self, pad_size: Sequence[int], input_size: Sequence[int]) -> None:
        self.pad_size: tuple[int, ...] = tuple(pad_size)
        self.input_size: tuple[int, ...] = tuple(input_size)

    def __call__(self, x: Tensor) -> Tensor:
        (top, bottom, left, right), (M, N) = self.pad_size, self.input_size
        wanted = (left, right, top, bottom)
        # As many pixels as there are beyond the edge; what is missing reflects at the new edge
        first = [min(w, size - 1) for w, size in zip(wanted, (N, N, M, M), strict=True)]
        rest = [w - f for w, f in zip(wanted, first, strict=True)]
        images = pad(x.reshape(-1, 1, *x.shape[-2:]), first, mode="reflect")
        if any(rest):
            images = pad(images, rest, mode="reflect")
        return images.reshape(*x.shape[:-2], *images.shape[-2:], 1)


class _Backend2D(_Backend):
    _axes = (-2, -1)
    Pad = _Pad2D

    def unpad(self, in_: Tensor) -> Tensor:
        """``[B, M, N, 1] -> [B, M - 2, N - 2]``"""
        return in_[..., 1:-1, 1:-1, 0]

    def subsample_fourier(self, x: Tensor, k: int) -> Tensor:
        """``[B, M, N, 2] -> [B, M / k, N / k, 2]``: the mean of the ``k x k`` aliases. By then the
        filter has been multiplied in, so that nothing is left for ``ops.filter_fold`` to spare;
        rows go first, since they add up in long vectors."""
        self.contiguous_check(x)
        self.complex_check(x)
        M, N = x.shape[-3:-1]
        rows = x.unflatten(-3, (k, M // k)).sum(-4)
        return rows.unflatten(-2, (k, N // k)).sum(-3) / k**2

    def stack(self, arrays: Sequence[Tensor]) -> Tensor:
        return torch.stack(tuple(arrays), -3)

    concatenate = stack


class _Backend3D(_Backend):
    _axes = (-3, -2, -1)

    def cdgmm3d(self, A: Tensor, B: Tensor) -> Tensor:
        return self.cdgmm(A, B)

    def modulus_rotation(self, x: Tensor, module: Tensor | None = None) -> Tensor:
        """``sqrt(module^2 + |x|^2)``, ``x [B, *, 2]`` and ``module [B, *, 1]``, or ``|x|``; the
        gradient at 0 is 0, where Kymatio's own has none."""
        length = ops.modulus(torch.view_as_complex(x)).unsqueeze(-1)
        return length if module is None else ops.modulus(torch.complex(module, length))

    def compute_integrals(self, input_array: Tensor, integral_powers: Sequence[float]) -> Tensor:
        """``[B, ...] -> [B, P]``: the sums of ``input_array ** q`` for the ``P`` powers ``q``."""
        integrals = [input_array.pow(q).flatten(1).sum(1) for q in integral_powers]
        return torch.stack(integrals, 1)

    def stack(self, arrays: Sequence[Tensor], L: int) -> Tensor:
        """``S`` tensors ``[B, ...] -> [B, S / (L + 1), L + 1, ...]``"""
        return torch.stack(tuple(arrays), 1).unflatten(1, (-1, L + 1))

    concatenate = stack


#: Backend objects for ``kymatio.torch.Scattering1D``, ``Scattering2D``, ``HarmonicScattering3D``.
backend1d: _Backend1D = _Backend1D()
backend2d: _Backend2D = _Backend2D()
backend3d: _Backend3D = _Backend3D()


# --- our class in place of Kymatio's ----------------------------------------------------------


class FallbackWarning(UserWarning):
    """Under :func:`accelerate` Kymatio's own class was built, for the reason that it tells."""


class Acceleration:
    """What :func:`accelerate` has done, to be undone: by :meth:`undo`, or as a context manager."""

    def undo(self) -> None:
        """Kymatio's class builds itself again, unless another acceleration is in force. Modules
        that were built stay as they are. A second call does nothing."""
        with _lock:
            _in_force.discard(self)
            if not _in_force and _replaced:
                theirs, constructor = _replaced.pop()
                theirs.__init__ = constructor
                _told.clear()

    def __enter__(self) -> Acceleration:
        return self

    def __exit__(self, *_: object) -> None:
        self.undo()


_lock = threading.RLock()
_in_force: set[Acceleration] = set()
_replaced: list[tuple[Any, Any]] = []  # Kymatio's class and its constructor
_told: set[str] = set()  # reasons why ours was not built


def accelerate() -> Acceleration:
    """Makes ``kymatio.torch.Scattering2D`` build :class:`scatcuda.Scattering2D` from now on.

    It is the constructor of Kymatio's class that is replaced, so that every name of the class
    follows: ``kymatio.torch.Scattering2D``, ``kymatio.Scattering2D(..., frontend="torch")``, and
    what other modules imported before or import later. The objects are instances of both classes,
    have the attributes of both, and their checkpoints hold Kymatio's filters (``tensor0`` …), made
    when asked for: they load in Kymatio, and Kymatio's load here. Those of a
    :class:`scatcuda.Scattering2D` that was built under its own name hold none: Kymatio loads them
    with ``strict=False``.

    Kymatio's own is still built where ours would not do the same: from a backend object of the
    user's own, from arguments that ours refuses (Kymatio's error is raised, if it has one), and in
    classes derived from Kymatio's, which may rely on its insides. A :class:`FallbackWarning` says
    so, once for each reason. The modules that exist already stay Kymatio's, too.

    With SciPy 1.17 or newer, Kymatio 0.3.0 cannot be imported: a function of SciPy's is gone. This
    makes it importable, and warns that it did.

    Returns: a handle whose ``undo()`` ends it; also a context manager. Calls may overlap: the last
        handle to be undone brings Kymatio's constructor back.
    Raises: ImportError: Kymatio is not installed, or cannot be imported.
    Example:
        >>> import kymatio.torch
        >>> import scatcuda.kymatio
        >>> with scatcuda.kymatio.accelerate():
        ...     scattering = kymatio.torch.Scattering2D(J=2, shape=(32, 32))
        >>> isinstance(scattering, scatcuda.Scattering2D)
        True
        >>> isinstance(scattering, kymatio.torch.Scattering2D)
        True
    """
    with _lock:
        theirs = _kymatio_class()
        if not _replaced:
            _replaced.append((theirs, theirs.__init__))
            theirs.__init__ = _constructor(theirs, theirs.__init__)
        handle = Acceleration()
        _in_force.add(handle)
        return handle


def _kymatio_class() -> Any:
    if importlib.util.find_spec("kymatio") is None:
        raise ModuleNotFoundError(
            "scatcuda.kymatio: Kymatio is not installed; pip install kymatio",
            name="kymatio",
        )
    with _sph_harm():
        importlib.import_module("kymatio.torch")
    return importlib.import_module("kymatio.scattering2d.frontend.torch_frontend").ScatteringTorch2D


def _constructor(theirs: type, constructor: Any) -> Any:
    ours: Any = scattering2d.Scattering2D.__init__

    @functools.wraps(constructor)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        reason = f"{type(self).__qualname__} is derived from it and may rely on its insides"
        if type(self) is theirs:
            before = dict(self.__dict__)
            # An object under construction changes its class; so it does in Kymatio's own
            # kymatio.Scattering2D(..., frontend=...)
            object.__setattr__(self, "__class__", _both_classes())
            try:
                ours(self, *args, **kwargs)
                _check_order(self)
                return
            except (TypeError, ValueError) as error:
                reason = f"ours refused the arguments. {error}"
                object.__setattr__(self, "__class__", theirs)
                self.__dict__.clear()
                self.__dict__.update(before)
        constructor(self, *args, **kwargs)
        _warn_once(f"Kymatio's own Scattering2D was built, not scatcuda's: {reason}")

    return __init__


def _warn_once(reason: str) -> None:
    """A warning about the line that called Kymatio."""
    with _lock:
        if reason in _told:
            return
        _told.add(reason)
    level, frame = 1, sys._getframe()
    while frame.f_back and _package(frame) in ("kymatio", "scatcuda"):
        level, frame = level + 1, frame.f_back
    warnings.warn(reason, FallbackWarning, stacklevel=level)


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__")).partition(".")[0]


def _check_order(scattering: Any) -> None:
    integer("Scattering2D", "max_order", scattering.max_order, 0, scattering.most_order)


class _Accelerated(scattering2d.Scattering2D):
    """Ours, with what programs written for Kymatio find on its module."""

    @property
    def most_order(self) -> int:
        return 2

    @property
    def backend(self) -> Any:
        """The primitives, as an object."""
        return self._backend if self._backend == "reference" else backend2d

    @backend.setter
    def backend(self, value: Any) -> None:
        self._backend = scattering2d.backend_name(value)

    @property
    def M(self) -> int:
        """``shape[0]``: 0.3.0 deprecates it and fails."""
        return self.shape[0]

    @property
    def N(self) -> int:
        """``shape[1]``"""
        return self.shape[1]

    @property
    def pad(self) -> Callable[[Tensor], Tensor]:
        """``[..., M, N] -> [..., Mp, Np, 1]``"""
        if self.pre_pad:
            return lambda x: x.unsqueeze(-1)
        wanted = [p - size for p, size in zip(self._plan.padded, self.shape, strict=True)]
        return _Pad2D([side for w in wanted for side in (w // 2, (w + 1) // 2)], self.shape)

    @property
    def unpad(self) -> Callable[[Tensor], Tensor]:
        """``[..., m + 2, n + 2, 1] -> [..., m, n]``"""
        return backend2d.unpad

    def load_filters(self) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """``phi`` and ``psi`` with tensors ``[Mp / 2^res, Np / 2^res, 1]`` for arrays."""
        like = self._packed.phi

        def as_tensors(filter: Mapping[str, Any]) -> dict[str, Any]:
            levels = [torch.from_numpy(level).unsqueeze(-1).to(like) for level in filter["levels"]]
            return {**filter, "levels": levels}

        return as_tensors(self.phi), [as_tensors(psi) for psi in self.psi]

    def _save_to_state_dict(
        self, destination: dict[str, Any], prefix: str, keep_vars: bool
    ) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        if self.learned is None:
            tensors = self._kymatio_buffers()
            destination.update({prefix + name: tensor for name, tensor in tensors.items()})

    def __getattr__(self, name: str) -> Any:
        if scattering2d.KYMATIO_BUFFER.fullmatch(name):  # what is in a state_dict can be read
            tensors = self._kymatio_buffers()
            if name in tensors:
                return tensors[name]
        return super().__getattr__(name)

    def _kymatio_buffers(self) -> dict[str, Tensor]:
        made = dict(self._made)
        phi, psi = self.load_filters()
        self._made = made  # not kept for this
        tensors = [f for filter in (phi, *psi) for f in filter["levels"]]
        return {f"tensor{n}": tensor for n, tensor in enumerate(tensors)}


class _EndOfConstructors(nn.Module):
    """Between our class and Kymatio's: what follows lends its name, and is not constructed."""

    def __init__(self) -> None:
        nn.Module.__init__(self)


@functools.cache
def _both_classes() -> type:
    bases = (_Accelerated, _EndOfConstructors, _kymatio_class())
    doc = scattering2d.Scattering2D.__doc__
    return type("Scattering2D", bases, {"__module__": __name__, "__doc__": doc})


if not TYPE_CHECKING:  # to checkers every name would be there

    def __getattr__(name: str) -> Any:
        if name == "Scattering2D":  # pickles of what accelerate() had built look for it here
            return _both_classes()
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@contextmanager
def _sph_harm() -> Iterator[None]:
    """Gives SciPy back the function that Kymatio 0.3.0 imports, as long as that takes."""
    special: ModuleType = importlib.import_module("scipy.special")
    if hasattr(special, "sph_harm"):
        yield
        return

    def sph_harm(m: Any, n: Any, theta: Any, phi: Any) -> Any:
        """The spherical harmonic of degree n and order m at azimuth theta, polar angle phi."""
        return special.sph_harm_y(n, m, phi, theta)

    special.sph_harm = sph_harm  # type: ignore[attr-defined]
    try:
        yield
    finally:
        del special.sph_harm  # type: ignore[attr-defined]
    bank = importlib.import_module("kymatio.scattering3d.filter_bank")
    if getattr(bank, "sph_harm", None) is sph_harm:
        warnings.warn(
            "this version of Kymatio imports scipy.special.sph_harm, which this version of SciPy "
            "no longer has; scatcuda made it one from sph_harm_y",
            stacklevel=5,
        )
