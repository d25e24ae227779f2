"""For programs written for Kymatio: our classes in place of its own, or engines under them.

:func:`accelerate` makes Kymatio's classes of signals, images and densities build ours, which do the
whole transform at once and are much faster: the PyTorch ones become modules of ours, those of NumPy
and scikit-learn take arrays to them and back. ``backend1d``, ``backend2d`` and ``backend3d`` are
what Kymatio's PyTorch classes take as ``backend=``; see :mod:`scatcuda.frontends.backends`.

Nothing here imports Kymatio before :func:`accelerate` is called.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import inspect
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, ModuleType
from typing import TYPE_CHECKING, Any

from .backends import backend1d, backend2d, backend3d
from .replacements import REPLACEMENTS

__all__ = ["Acceleration", "FallbackWarning", "accelerate", "backend1d", "backend2d", "backend3d"]


class FallbackWarning(UserWarning):
    """Under :func:`accelerate` Kymatio's own class was built, for the reason that it tells.

    Example:
        >>> import warnings
        >>> with warnings.catch_warnings(), accelerate():
        ...     warnings.simplefilter("error", FallbackWarning)  # rather nothing than what is slow
    """


class Acceleration:
    """What :func:`accelerate` has done, to be undone: by :meth:`undo`, or as a context manager.

    Example:
        >>> acceleration = accelerate()
        >>> acceleration.undo()
    """

    def undo(self) -> None:
        """Kymatio's classes build themselves again, unless another acceleration is in force. What
        was built stays as it is. A second call does nothing."""
        with _lock:
            _in_force.discard(self)
            if not _in_force:
                for theirs, constructor in _replaced.items():
                    theirs.__init__ = constructor
                _replaced.clear()
                _told.clear()

    def __enter__(self) -> Acceleration:
        return self

    def __exit__(self, *_: object) -> None:
        self.undo()


_lock = threading.RLock()
_in_force: set[Acceleration] = set()
_replaced: dict[Any, Any] = {}  # Kymatio's classes and their constructors
_told: set[str] = set()  # reasons why ours was not built


def accelerate() -> Acceleration:
    """Makes Kymatio's classes build ours from now on: ``Scattering1D``, ``Scattering2D``,
    ``HarmonicScattering3D`` and the development branch's ``TimeFrequencyScattering`` of
    ``kymatio.torch``, ``kymatio.numpy`` and ``kymatio.sklearn``.

    It is the constructors of Kymatio's classes that are replaced, so that every name of a class
    follows: ``kymatio.torch.Scattering2D``, ``kymatio.Scattering2D(..., frontend="torch")``, and
    what other modules imported before or import later. The objects are instances of both classes
    and have the attributes of both. Modules' checkpoints hold Kymatio's filters (``tensor0`` …),
    made when asked for: they load in Kymatio, and Kymatio's load here, if they have the names and
    sizes of these filters, whose values are passed over. Those of a
    :class:`scatcuda.Scattering2D` that was built under its own name hold none: Kymatio loads them
    with ``strict=False``. The objects of NumPy and scikit-learn take and return arrays, float32 as
    float32, float64 as float64, all else as float32; and ``sklearn.base.clone`` and ``set_params``
    work, as they do not there. A ``max_order`` of 1 or 2, ``average``, ``oversampling``,
    ``out_type`` and ``integral_powers`` that are assigned count in the next call, as in Kymatio.
    Filters, pads and all else that ours is built with cannot be assigned, and arrays of filters not
    be written to.

    Kymatio's own is still built where ours would not do the same: from a backend object of the
    user's own, from arguments that ours refuses (Kymatio's error is raised, if it has one), in
    classes derived from Kymatio's, which may rely on its insides, and where the numbers differ: of
    densities with an odd side or ``rotation_covariant=False``, of ``max_order=0``, which Kymatio
    takes for 1, and jointly in time and frequency of format "time" with a ``stride_fr`` below
    ``2**J_fr``. A :class:`FallbackWarning` says so, once
    for each reason. What exists already stays Kymatio's, too.

    With SciPy 1.17 or newer, Kymatio 0.3.0 cannot be imported: a function of SciPy's is gone. This
    makes it importable, and warns that it did.

    Returns: a handle whose ``undo()`` ends it; also a context manager. Calls may overlap: the last
        handle to be undone brings Kymatio's constructors back.
    Raises: ImportError: Kymatio is not installed, or cannot be imported.
    Example:
        >>> import kymatio.torch, kymatio.numpy
        >>> import numpy as np
        >>> import scatcuda.kymatio
        >>> with scatcuda.kymatio.accelerate():
        ...     scattering = kymatio.torch.Scattering2D(J=2, shape=(32, 32))
        ...     arrays = kymatio.numpy.Scattering1D(J=4, shape=512, Q=2)
        >>> isinstance(scattering, scatcuda.Scattering2D)
        True
        >>> isinstance(scattering, kymatio.torch.Scattering2D)
        True
        >>> arrays(np.zeros((3, 512))).shape
        (3, 20, 32)
    """
    with _lock:
        classes = _kymatio_classes()
        if not _replaced:
            for theirs in classes:
                _replaced[theirs] = theirs.__init__
                theirs.__init__ = _constructor(theirs, theirs.__init__)
        handle = Acceleration()
        _in_force.add(handle)
        return handle


def _kymatio_classes() -> list[Any]:
    """Those of PyTorch and NumPy, which have constructors of their own: scikit-learn's derive from
    NumPy's and inherit them."""
    if importlib.util.find_spec("kymatio") is None:
        raise ModuleNotFoundError(
            "scatcuda.kymatio: Kymatio is not installed; pip install kymatio",
            name="kymatio",
        )
    with _sph_harm():
        modules = [importlib.import_module(f"kymatio.{name}") for name in ("torch", "numpy")]
    return [getattr(module, name) for module in modules for name in module.__all__]


def _constructor(theirs: type, constructor: Any) -> Any:
    signature = inspect.signature(constructor)

    @functools.wraps(constructor)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        kind, before = type(self), dict(self.__dict__)
        ours = _ours(kind)
        reason = f"{kind.__qualname__} is derived from it and may rely on its insides"
        if ours is not None:
            try:
                named = {k: v for k, v in kwargs.items() if k in signature.parameters}
                given = signature.bind(self, *args, **named).arguments | kwargs
                # An object under construction changes its class; so it does in Kymatio's own
                # kymatio.Scattering2D(..., frontend=...)
                object.__setattr__(self, "__class__", ours)
                ours.__init__(self, **{k: v for k, v in given.items() if k != "self"})
                return
            except (TypeError, ValueError, ImportError, RuntimeError) as error:
                reason = f"ours refused the arguments. {error}"
                object.__setattr__(self, "__class__", kind)
                self.__dict__.clear()
                self.__dict__.update(before)
        elif kind is theirs:
            reason = "there is no such transform in scatcuda"
        constructor(self, *args, **kwargs)
        _warn_once(f"Kymatio's own {theirs.__name__} was built, not scatcuda's: {reason}")

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


def _ours(theirs: type) -> Any:
    """What is built in place of a class of Kymatio's, if anything is."""
    for name, place in REPLACEMENTS.items():
        if getattr(sys.modules.get(place.module), place.name, None) is theirs:
            return _both(name)
    return None


@functools.cache
def _both(name: str) -> type:
    """A class that is ours and Kymatio's."""
    place = REPLACEMENTS[name]
    with _sph_harm():
        theirs = getattr(importlib.import_module(place.module), place.name)
    bases, attributes = place.make(theirs)
    word = name.removeprefix("NumPy").removeprefix("Sklearn")
    return type(word, bases, {"__module__": __name__, "__qualname__": name, **attributes})


if not TYPE_CHECKING:  # to checkers every name would be there

    def __getattr__(name: str) -> Any:  # pickles of what accelerate() had built look here for it
        if name in REPLACEMENTS:
            return _both(name)
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
