"""Scattering transforms of JAX's arrays: the C library behind XLA's foreign functions, on CPUs and,
where the build has an engine for them, on GPUs. PyTorch is not imported.

The transforms take the arguments of PyTorch's modules of their names and give their numbers; arrays
of float64, where JAX has them (``jax_enable_x64``), are computed in float64, all others in float32.
They may stand anywhere in ``jit``, ``vmap`` and ``grad``; the gradient is the engine's own, and has
none itself. XLA gathers arrays that are sharded, unless ``jax.shard_map`` is told otherwise.

>>> import jax
>>> import jax.numpy as jnp
>>> from scatcuda.jax import Scattering2D
>>> scattering = Scattering2D(J=2, shape=(32, 32))
>>> images = jax.random.normal(jax.random.key(0), (16, 3, 32, 32))
>>> jax.jit(scattering)(images).shape
(16, 3, 81, 8, 8)
>>> jax.grad(lambda x: scattering(x).sum())(images).shape
(16, 3, 32, 32)
>>> from scatcuda.jax import HarmonicScattering3D, RotoTranslationScattering2D, Scattering1D
>>> Scattering1D(J=4, shape=256)(jnp.zeros((2, 256))).shape
(2, 13, 16)
>>> RotoTranslationScattering2D(2, (16, 16), pool="mean").input_shape
(16, 16)
>>> HarmonicScattering3D(J=1, shape=(8, 8, 8), L=1).input_shape
(8, 8, 8)
>>> from scatcuda.jax import TimeFrequencyScattering
>>> TimeFrequencyScattering(J=5, J_fr=2, Q=4, shape=512, format="joint").output_shape
(25, 14, 16)
>>> from scatcuda.jax import ScatteringCovariance, WaveletPhaseHarmonics
>>> covariance = ScatteringCovariance((32, 32), J=3, isotropic=True)
>>> target = covariance(images[0, 0])
>>> jax.grad(lambda x: jnp.square(covariance(x) - target).sum())(images[1, 0]).shape
(32, 32)
>>> WaveletPhaseHarmonics((32, 32), J=3, L=4, dn=1)(images).shape
(16, 3, 320)
"""

from __future__ import annotations

import ctypes
import hashlib
import os
from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np

from .arguments import array, told, unmasked
from .environment import check_on_import
from .files.reading import regular
from .frontends import design
from .frontends.library import Plan, library_file
from .program.arrays import Packed

try:
    import jax
    import jax.numpy as jnp
    from jax import ffi
    from jax.sharding import PartitionSpec
except ImportError as _error:
    raise ImportError(
        "scatcuda.jax needs JAX 0.6.2 or newer: pip install 'scatcuda[jax]'"
    ) from _error

__all__ = [
    "HarmonicScattering3D",
    "RotoTranslationScattering2D",
    "Scattering1D",
    "Scattering2D",
    "ScatteringCovariance",
    "TimeFrequencyScattering",
    "Transform",
    "WaveletPhaseHarmonics",
    "load",
]

check_on_import()


class _Kept(NamedTuple):
    """A plan that the process keeps, as compiled programs name it."""

    fingerprint: int
    dtype: np.dtype[Any]
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]


class Transform(design.Transform[jax.Array, _Kept]):
    """A transform of arrays; it can be pickled, and its object is forgotten by nothing that was
    compiled: what XLA compiled for it works as long as the process.

    Example:
        >>> transform: Transform = Scattering2D(J=1, shape=(8, 8))
        >>> transform, transform.input_shape, transform.output_shape
        (Scattering2D(J=1, shape=(8, 8), L=8, max_order=2, filters='morlet'), (8, 8), (9, 4, 4))
    """

    def __init__(self, made: design.Design, plan: _Kept | None = None) -> None:
        super().__init__(made, plan)
        _handlers()  # programs that were exported elsewhere call them, too

    def __call__(self, x: Any) -> jax.Array:
        """Scattering coefficients of the signals ``x [..., *input_shape]``.

        Returns: ``[..., *output_shape]``, in float64 of float64, else in float32.
        Raises: TypeError, ValueError: ``x`` is no such array of real numbers.
        Example:
            >>> Scattering2D(J=1, shape=(8, 8))(jnp.ones((2, 8, 8))).shape
            (2, 9, 4, 4)
        """
        signals = self._signals(x)
        plan = self._plan(signals.dtype)
        S = _scattering(plan, signals)
        found: jax.Array = self._finished(S, jnp, len(plan.output_shape))
        return found

    def _signals(self, x: Any) -> jax.Array:
        """In numbers that the engines and JAX have."""
        unmasked(self._caller, "x", x)
        if isinstance(x, np.ndarray):
            given = array(self._caller, "x", x)
            x = given.astype(self._checked(given.shape, given.dtype), copy=False)
        try:
            signals = jnp.asarray(x if x is not None else object())
        except (TypeError, ValueError, RuntimeError) as error:
            raise self._refused("x must be an array of real numbers", told(x)) from error
        wide = bool(jax.config.read("jax_enable_x64"))
        if self._design.dtypes == (design.DOUBLE,) and not wide:
            raise self._refused(
                "x must be float64 as the plan is, which JAX has with jax_enable_x64", told(x)
            )
        return signals.astype(self._checked(signals.shape, signals.dtype))

    def _made(self, packed: Packed) -> _Kept:
        return _kept(Plan(self._design.program, packed), _fingerprint(self._design.program, packed))


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _scattering(plan: _Kept, x: jax.Array) -> jax.Array:
    lead = x.shape[: x.ndim - len(plan.input_shape)]
    return _call("scatcuda_forward", _whole(x, (*lead, *plan.output_shape)), plan, x)


def _forward(plan: _Kept, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    return _scattering(plan, x), x


def _backward(plan: _Kept, x: jax.Array, g: jax.Array) -> tuple[jax.Array]:
    return (_call("scatcuda_backward", jax.typeof(x), plan, x, g),)


_scattering.defvjp(_forward, _backward)


def _whole(x: jax.Array, shape: tuple[int, ...]) -> Any:
    """The type of what varies over the axes of a mesh as ``x`` does, and is not split along
    them."""
    found, whole = jax.typeof(x), PartitionSpec(*[None] * len(shape))
    return found.update(shape=shape, sharding=found.sharding.update(spec=whole))


def _call(name: str, result: Any, plan: _Kept, *arrays: jax.Array) -> jax.Array:
    called = ffi.ffi_call(name, result, vmap_method="broadcast_all")
    found: jax.Array = called(*arrays, plan=np.int64(plan.fingerprint))
    return found


# --- what XLA calls -------------------------------------------------------------------------------


@cache
def _handlers() -> ctypes.CDLL:
    """The library of ``csrc/jax/handlers.cpp``, whose functions XLA knows by their names then."""
    path = library_file("scatcuda_jax")
    if path is None:
        raise ImportError(
            "scatcuda.jax: this build has nothing for JAX: install JAX first, then scatcuda again "
            "with --no-build-isolation"
        )
    found = ctypes.CDLL(str(path))
    found.scatcuda_jax_keep.restype = None
    found.scatcuda_jax_keep.argtypes = [ctypes.c_int64, ctypes.c_void_p]
    for task in ("forward", "backward"):
        for platform, infix in (("cpu", ""), ("CUDA", "cuda_")):
            handler = ffi.pycapsule(getattr(found, f"scatcuda_jax_{infix}{task}"))
            ffi.register_ffi_target(f"scatcuda_{task}", handler, platform=platform)
    return found


def _kept(plan: Plan, fingerprint: int) -> _Kept:
    """The plan as one that the process keeps; the same one twice is kept once."""
    kept = _Kept(fingerprint, plan.dtype, plan.input_shape, plan.output_shape)
    _handlers().scatcuda_jax_keep(fingerprint, plan.release())
    return kept


def _fingerprint(program: str, packed: Packed) -> int:
    """Of a program and its filters, the same in every process: compiled programs hold it, and may
    be read from a cache."""
    digest = hashlib.blake2b(program.encode("ascii"), digest_size=8)
    for table in packed:
        digest.update(f"{table.dtype}{table.shape}".encode())
        digest.update(np.ascontiguousarray(table).data)
    return _number(digest)


def _number(digest: hashlib.blake2b) -> int:
    return int.from_bytes(digest.digest(), "little", signed=True)


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
        ...     load(f"{folder}/plan.scat")(jnp.ones((8, 8))).shape
        5352
        (9, 4, 4)
    """
    before = _state(path)
    made, plan = design.loaded(path)
    digest = hashlib.blake2b(digest_size=8)  # the same file has one name, whatever process it is in
    with regular(path) as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    if _state(path) != before:
        raise OSError(f"load: {os.fspath(path)} changed while it was read")
    return Transform(made, _kept(plan, _number(digest)))


def _state(path: str | os.PathLike[str]) -> tuple[int, ...]:
    found = os.stat(path)
    return found.st_dev, found.st_ino, found.st_size, found.st_ctime_ns
