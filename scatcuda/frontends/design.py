"""Transforms for libraries of arrays: a program, how its filters are packed, and what its result is
shaped as. :mod:`scatcuda.numpy` and :mod:`scatcuda.jax` compute them, by the C library.

A front end is a class that says how a plan is run (:class:`Transform`); which transforms there are,
and with which arguments, is said once for all of them, by the functions that return a design.
"""

from __future__ import annotations

import functools
import inspect
import math
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..arguments import InputError, array, boolean, channels_last, one_of
from .finish import Mix, Mixed, Moments, OverPowers, Step, Take, Times, finished, inverse_roots
from .library import Plan

if TYPE_CHECKING:
    from typing_extensions import Self

    from ..banks.boxes import Bank
    from ..program.arrays import Packed
    from ..program.covariance import Numbers

Array = TypeVar("Array")
Engine = TypeVar("Engine")  # what computes it in numbers of one type
Made = TypeVar("Made", bound="Transform[Any, Any]")
P = ParamSpec("P")
Pack = Callable[[np.dtype[Any]], "Packed"]
SINGLE, DOUBLE = np.dtype(np.float32), np.dtype(np.float64)


class Design(NamedTuple):
    """A transform of arrays ``[..., *input_shape]`` to ``[..., *output_shape]``."""

    told: str  # as it was asked for
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    positions: int  # of the last of its axes
    program: str  # its text
    pack: Pack  # its filters, in float32 or float64
    meta: Callable[[], dict[str, Any]]
    steps: tuple[Step, ...] = ()  # what is made of the channels that the program gives
    dtypes: tuple[np.dtype[Any], ...] = (SINGLE, DOUBLE)  # in which it can be computed

    @property
    def complex(self) -> bool:
        """Whether coefficients are complex."""
        return any(isinstance(step, Moments) for step in self.steps)


def real(dtype: Any) -> bool:
    """Whether arrays of a type are of real numbers; to NumPy bfloat16 and its like are none."""
    return getattr(dtype, "kind", "V") in "fiub" or dtype.name.startswith(("bfloat", "float"))


class Transform(Generic[Array, Engine]):
    """A transform that is called with arrays; each front end says with which."""

    def __init__(self, design: Design, plan: Engine | None = None) -> None:
        self._design = design
        self._plans: dict[np.dtype[Any], Engine] = {}
        if plan is not None:  # of a file, in one type
            self._plans[design.dtypes[0]] = plan
        self._lock = threading.Lock()
        self._again: Callable[[], Any] | None = None

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Sides of a signal, without leading dimensions."""
        return self._design.input_shape

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Of the coefficients of one signal."""
        return self._design.output_shape

    @property
    def positions(self) -> int:
        """How many of the last axes of ``output_shape`` are positions: of signals their time, of
        ``format="joint"`` frequencies and time."""
        return self._design.positions

    @property
    def complex(self) -> bool:
        """Whether coefficients are complex."""
        return self._design.complex

    def meta(self) -> dict[str, Any]:
        """Where every channel comes from, as PyTorch's module of this name tells it; of a plan file
        nothing is known."""
        return self._design.meta()

    def __call__(self, x: Any) -> Array:
        """Scattering coefficients of the signals ``x [..., *input_shape]``.

        Returns: ``[..., *output_shape]``, in float64 of float64, else in float32.
        Raises: TypeError, ValueError: ``x`` is no such array of real numbers.
        """
        raise NotImplementedError

    def __repr__(self) -> str:
        return self._design.told

    def __reduce__(self) -> Any:
        if self._again is None:
            raise TypeError(f"{self} cannot be pickled: load it where it is wanted")
        return self._again, ()

    def __deepcopy__(self, memo: Any) -> Self:
        return self  # nothing of it changes

    # --- for those who write a front end ---

    def _plan(self, dtype: np.dtype[Any]) -> Engine:
        """A plan of the C library; filters are made when their type is first asked for."""
        with self._lock:
            if dtype not in self._plans:
                self._plans[dtype] = self._made(self._design.pack(dtype))
            return self._plans[dtype]

    def _made(self, packed: Packed) -> Engine:
        """The plan of these filters."""
        raise NotImplementedError

    def _finished(self, S: Any, arrays: Any, inner: int) -> Any:
        """``[..., *output_shape]`` of what a program gives, ``[..., channels, *sides]`` with
        ``inner`` such axes; ``arrays`` is a module like NumPy."""
        lead, (channels, *sides) = S.shape[: S.ndim - inner], S.shape[S.ndim - inner :]
        S = finished(S.reshape(*lead, channels, math.prod(sides)), self._design.steps, arrays)
        return S.reshape(*lead, *self.output_shape)

    def _checked(self, shape: tuple[int, ...], dtype: Any) -> np.dtype[Any]:
        """In which numbers an input of this shape and type is computed."""
        kind = getattr(dtype, "kind", "V")  # JAX's keys have none
        if kind == "c":
            raise self._refused("x must be real", dtype)
        if not real(dtype):
            raise self._refused("x must be an array of real numbers", f"one of {dtype}", TypeError)
        wanted = self.input_shape
        if tuple(shape[-len(wanted) :]) != wanted:
            more = channels_last(shape) if len(wanted) == 2 and shape[-3:-1] == wanted else ""
            sides = ", ".join(map(str, wanted))
            raise self._refused(f"x must have shape (..., {sides})", f"{tuple(shape)}{more}")
        wide = kind == "f" and dtype.itemsize > SINGLE.itemsize  # of any order of bytes
        found = DOUBLE if wide else SINGLE
        if kind in ("i", "u", "b"):  # as the plan is
            found = self._design.dtypes[0]
        if found not in self._design.dtypes:
            raise self._refused(f"x must be {self._design.dtypes[0]} as the plan is", dtype)
        return found

    def _refused(
        self, expected: str, found: object, kind: type[Exception] = InputError
    ) -> Exception:
        return kind(f"{self._caller}: {expected}; got {found}")

    @property
    def _caller(self) -> str:
        return self._design.told.partition("(")[0]


def front(
    build: type[Made], module: str
) -> Callable[[str, Callable[P, Design]], Callable[P, Made]]:
    """How a front end names its transforms: functions that take a design's arguments."""

    def named(name: str, design: Callable[P, Design]) -> Callable[P, Made]:
        signature = inspect.signature(design)

        @functools.wraps(design)
        def make(*args: P.args, **kwargs: P.kwargs) -> Made:
            try:
                given = signature.bind(*args, **kwargs)
            except TypeError as error:
                raise TypeError(f"{name}: {error}") from None
            for argument, value in given.arguments.items():
                given.arguments[argument] = _own(name, argument, value)
            made = build(design(*given.args, **given.kwargs))
            made._again = functools.partial(make, *given.args, **given.kwargs)
            return made

        make.__name__ = make.__qualname__ = name
        make.__module__ = module
        make.__annotations__ = design.__annotations__ | {"return": "Transform"}
        told_signature = signature.replace(return_annotation="Transform")
        make.__signature__ = told_signature  # type: ignore[attr-defined]
        told = [
            f"A :class:`Transform` with the arguments and the numbers of :class:`scatcuda.{name}`.",
            *(inspect.getdoc(design) or "").split("\n\n")[1:],  # what is other than there
            "Raises: TypeError, ValueError: an argument is of the wrong type or out of range.",
        ]
        make.__doc__ = "\n\n".join(told)
        return make

    return named


class _Choice:
    """A function of ``meta()`` that is asked once: a pickle has its answer alone."""

    def __init__(self, choose: Callable[[Any], Any] | None, mask: Any = None) -> None:
        self._choose, self._mask = choose, mask

    def __call__(self, meta: Any) -> Any:
        if self._choose is not None:
            self._mask, self._choose = np.array(self._choose(meta)), None
        return self._mask

    def __reduce__(self) -> Any:
        return _Choice, (None, self._mask)


def _own(caller: str, name: str, value: Any) -> Any:
    """An argument that nobody else changes, and that can be read more than once."""
    if callable(value) and name == "paths":
        return _Choice(value)
    if hasattr(value, "psi") and hasattr(value, "phi"):
        value = value.psi, value.phi
    if isinstance(value, Iterator):
        value = tuple(value)
    if type(value) in (list, tuple):
        return type(value)(_own(caller, name, item) for item in value)
    if hasattr(value, "__array__") and not isinstance(value, np.generic):
        return array(caller, name, value).copy()
    return value


# --- which there are ------------------------------------------------------------------------------
# What a transform is made by is imported when one is made.


class _ArrayBank:
    """Filters of one's own, ``psi [J, L, Mp, Np]`` and ``phi [Mp, Np]``, copied."""

    def __init__(self, caller: str, filters: Any, wanted: tuple[int, ...]) -> None:
        try:
            psi, phi = (filters.psi, filters.phi) if hasattr(filters, "psi") else filters
            psi, phi = (np.asarray(f).astype(np.float64, casting="same_kind") for f in (psi, phi))
        except (TypeError, ValueError):
            raise TypeError(
                f"{caller}: filters must be 'morlet', 'tight' or a pair of real "
                f"arrays (psi, phi); got {type(filters).__name__}"
            ) from None
        for name, given, shape in (("psi", psi, wanted), ("phi", phi, wanted[2:])):
            if given.shape != shape:
                raise ValueError(
                    f"{caller}: the {name} of filters must have shape {shape}; got {given.shape}"
                )
        self.phi, self._psi = phi, psi

    def scale(self, j: int) -> NDArray[np.float64]:
        found: NDArray[np.float64] = self._psi[j]
        return found


def _bank(caller: str, filters: Any, wanted: tuple[int, int, int, int]) -> Callable[[], Bank]:
    """The bank of images, which is made when it is packed."""
    from ..banks.morlet import BUILT_IN, Recipe

    if isinstance(filters, str):
        one_of(caller, "filters", filters, BUILT_IN)
        return lambda: Recipe(filters, wanted[2:], *wanted[:2])
    bank = _ArrayBank(caller, filters, wanted)
    return lambda: bank


def _told(caller: str, **arguments: Any) -> str:
    return f"{caller}({', '.join(f'{name}={value!r}' for name, value in arguments.items())})"


def scattering2d(
    J: int,
    shape: Sequence[int],
    L: int = 8,
    max_order: int = 2,
    pre_pad: bool = False,
    filters: Any = "morlet",
    paths: Any = None,
) -> Design:
    """That of :class:`scatcuda.Scattering2D`."""
    from ..banks.boxes import pack_images
    from ..program.plan import checked_plan

    caller = "Scattering2D"
    plan = checked_plan(caller, J, shape, L, max_order, pre_pad, paths)
    bank = _bank(caller, filters, (plan.J, plan.L, *plan.padded))

    def pack(dtype: np.dtype[Any]) -> Packed:
        return _of_filters(caller, lambda: pack_images(bank(), plan, dtype))

    named = filters if isinstance(filters, str) else "custom"
    told = _told(
        caller, J=plan.J, shape=tuple(shape), L=plan.L, max_order=plan.max_order, filters=named
    )
    sides = plan.channels, *plan.output
    return Design(told, (plan.M, plan.N), sides, 2, plan.program, pack, plan.meta)


def rototranslation(
    J: int,
    shape: Sequence[int],
    L: int = 8,
    K: int | None = None,
    average: Any = "space+angle",
    pool: Any = None,
    normalisation: Any = "mean",
    smooth_first: bool = False,
    max_order: int = 2,
    padding: str = "reflect",
    filters: Any = "morlet",
    oversampling: int | None = None,
    paths: Any = None,
) -> Design:
    """That of :class:`scatcuda.RotoTranslationScattering2D`."""
    from ..banks.angles import pack_rotations
    from ..program.asked import checked_rotations

    caller = "RotoTranslationScattering2D"
    one_of(caller, "average", average, ("space+angle", "space"))
    scatnet = one_of(caller, "normalisation", normalisation, ("mean", "scatnet")) == "scatnet"
    plan = checked_rotations(
        caller, J, shape, L, K, average, pool, smooth_first, max_order, padding, oversampling, paths
    )
    bank = _bank(caller, filters, (plan.J, plan.L, *plan.padded))
    (cascade,) = plan.cascades
    index = plan.kept(cascade)

    def pack(dtype: np.dtype[Any]) -> Packed:
        return _of_filters(caller, lambda: pack_rotations(plan, cascade, bank(), scatnet, dtype))

    channels = len(plan.channels)
    return Design(
        _told(caller, J=plan.J, shape=(plan.M, plan.N), L=plan.L, K=plan.K, pool=pool),
        (plan.M, plan.N),
        (channels,) if plan.mean else (channels, *plan.output(plan.J)),
        0 if plan.mean else 2,
        cascade.program.text,
        pack,
        plan.meta,
        () if index == list(range(len(cascade.channels))) else (_taken(index),),
    )


def scattering1d(
    J: int,
    shape: Any,
    Q: Any = 1,
    T: Any = None,
    max_order: int = 2,
    oversampling: int = 0,
    *,
    aliases: Any = "mean",
    stride: int | None = None,
    padding: str = "reflect",
    criterion: Any = "scale",
    paths: Any = None,
) -> Design:
    """That of :class:`scatcuda.Scattering1D`.

    It gives one array: ``T`` must not be 0."""
    from ..banks.signals import pack_signals
    from ..program.asked import checked_signals
    from ..program.signals import cascades_of

    caller = "Scattering1D"
    one_of(caller, "aliases", aliases, ("mean", "sum"))
    plan = checked_signals(
        caller, J, shape, Q, T, max_order, None, oversampling, stride=stride, padding=padding,
        criterion=criterion, paths=paths,
    )  # fmt: skip
    if plan.average == "none":
        raise ValueError(f"{caller}: T must not be 0, where each path has its own length")
    (cascade,) = cascades_of(plan)
    ends = np.array([plan.padded >> plan.resolution_of(path) for path in plan.paths], np.float64)
    sums = plan.average == "global" and aliases == "sum"
    return Design(
        _told(caller, J=plan.J, shape=plan.N, Q=plan.Q, T=plan.T, max_order=plan.max_order),
        (plan.N,),
        (len(plan.paths), plan.outputs),
        1,
        cascade.program.text,
        lambda dtype: pack_signals(plan, cascade, aliases, dtype),
        plan.meta,
        (Times(ends),) if sums else (),
    )


def joint(
    *,
    J: int,
    J_fr: int,
    Q: Any,
    shape: Any,
    T: Any = None,
    stride: int | None = None,
    Q_fr: Any = 1,
    F: Any = None,
    stride_fr: int | None = None,
    format: str = "time",
    padding: str = "reflect",
    paths: Any = None,
) -> Design:
    """That of :class:`scatcuda.TimeFrequencyScattering`.

    It gives one array: ``T`` must not be 0, nor ``F`` of ``format="joint"``."""
    from ..banks.signals import pack_joint
    from ..program.asked import checked_joint
    from ..program.rows import Rows

    caller = "TimeFrequencyScattering"
    plan = checked_joint(caller, J, J_fr, Q, shape, T, stride, Q_fr, F, stride_fr, padding, paths)
    one_of(caller, "format", format, ("time", "joint"))
    if plan.time.average == "none":
        raise ValueError(f"{caller}: T must not be 0, where each path has its own length")
    if format == "joint" and plan.average == "none":
        raise ValueError(
            f"{caller}: F must not be 0 of format='joint', where each path has its own places"
        )
    rows = Rows(plan, format, format == "joint" and plan.average != "none")
    sides, (made,) = rows.shape, rows.joints  # one program where time is averaged over
    first = made.planes[0].first if made.planes else made.program.channels
    mixed = [Mixed(first, None)]
    for planes in made.planes:
        channels = len(planes.paths) * (plan.padded >> planes.kind.resolution)
        mixed.append(Mixed(channels, rows.matrix(planes.kind)))
    steps: tuple[Step, ...] = Mix(tuple(mixed)), _taken(rows.index)
    if plan.time.average == "global":  # sums over time of what the program gives means of
        samples = [plan.samples(row.path) for row in rows.channels for _ in range(row.rows)]
        steps += (Times(np.array(samples, np.float64)),)
    return Design(
        _told(caller, J=plan.time.J, J_fr=plan.J, Q=plan.time.Q, shape=plan.time.N, format=format),
        (plan.time.N,),
        sides,
        len(sides) - 1,
        made.program.text,
        lambda dtype: pack_joint(plan, made, dtype),
        rows.meta,
        steps,
    )


def harmonic3d(
    J: int,
    shape: Sequence[int],
    L: int = 3,
    sigma_0: float = 1,
    max_order: int = 2,
    rotation_covariant: bool = True,
    method: str = "integral",
    points: None = None,
    integral_powers: Sequence[float] = (0.5, 1.0, 2.0),
    *,
    order_0: bool = False,
    fold: bool = False,
) -> Design:
    """That of :class:`scatcuda.HarmonicScattering3D`."""
    from ..banks.harmonics import pack_densities
    from ..program.asked import checked_densities
    from ..program.densities import densities

    caller = "HarmonicScattering3D"
    plan, width = checked_densities(
        caller, J, shape, L, sigma_0, max_order, rotation_covariant, method, points,
        integral_powers, order_0, fold,
    )  # fmt: skip
    made = densities(plan)
    return Design(
        _told(caller, J=plan.J, shape=plan.shape, L=plan.L, sigma_0=width),
        plan.shape,
        plan.output,
        0,
        made.program.text,
        lambda dtype: pack_densities(plan, *made, width, dtype),
        plan.meta,
        (Times(plan.each.ravel().astype(np.float64)),) if plan.fold else (),
    )


def covariance(
    shape: Sequence[int],
    J: int | None = None,
    L: int | None = None,
    *,
    Q: int = 1,
    filters: str = "morlet",
    normalise: bool = True,
    isotropic: bool = False,
    reference: Any = None,
    oversampling: int = 0,
) -> Design:
    """That of :class:`scatcuda.ScatteringCovariance`.

    ``reference``, there an argument of calls, are powers ``[J Q, L]`` that normalise; there are no
    masks."""
    from ..banks.oriented import pack_fields
    from ..program.covariance import Numbers
    from ..program.fields import checked_covariance

    caller = "ScatteringCovariance"
    plan = checked_covariance(caller, shape, J, L, Q, filters, oversampling)
    boolean(caller, "normalise", normalise)
    numbers = Numbers(plan, boolean(caller, "isotropic", isotropic))
    powers, _ = plan.blocks["S2"]
    steps: tuple[Step, ...] = (Take(numbers.of_channels()),)
    if reference is not None:
        if not normalise:
            raise ValueError(f"{caller}: where normalise is False there is no reference")
        steps = Times(_units(caller, numbers, reference)), *steps
    elif normalise:
        mean = plan.blocks["mean"][0].start
        steps = OverPowers(mean, powers, *numbers.powers()), *steps
    return Design(
        _told(
            caller, shape=plan.shape, J=plan.scales // plan.Q, L=plan.L, Q=plan.Q, filters=filters,
            normalise=normalise, isotropic=isotropic,
        ),
        plan.shape,
        (sum(numbers.sizes.values()),),
        0,
        plan.program.text,
        lambda dtype: pack_fields(plan, filters, dtype),
        numbers.meta,
        steps,
    )  # fmt: skip


def _units(caller: str, numbers: Numbers, reference: Any) -> NDArray[np.float64]:
    """By what the program's channels are multiplied to be in units of these powers."""
    plan = numbers.plan
    try:
        P = np.asarray(reference).astype(np.float64, casting="same_kind")
    except (TypeError, ValueError):
        raise TypeError(
            f"{caller}: reference must be an array of powers; got {type(reference).__name__}"
        ) from None
    wanted = plan.scales, plan.L
    if P.shape != wanted or not (np.isfinite(P).all() and (P >= 0).all()):
        found = P.shape if P.shape != wanted else f"from {P.min()} to {P.max()}"
        raise ValueError(
            f"{caller}: reference must be powers, finite and 0 or more, of shape {wanted}; got "
            f"{found}"
        )
    roots = np.append(inverse_roots(P.reshape(-1, 1), np), 1)
    first, second = numbers.powers()
    units: NDArray[np.float64] = roots[first] * roots[second]
    where, _ = plan.blocks["S2"]
    units[where] = roots[:-1] ** 2
    units[plan.blocks["mean"][0]] = inverse_roots(P.reshape(-1, 1).sum(0, keepdims=True), np)[0]
    return units


def phases(
    shape: Sequence[int],
    J: int,
    L: int = 8,
    *,
    classes: Sequence[str] = ("S11", "S00", "S01", "C01", "Cphase"),
    dn: int = 2,
    A: int = 4,
    dj: int | None = None,
    dl: int | None = None,
    shifts: str = "exp",
    filters: str = "bump",
    oversampling: int = 0,
) -> Design:
    """That of :class:`scatcuda.WaveletPhaseHarmonics`.

    Moments are not normalised."""
    from ..banks.oriented import pack_fields
    from ..program.fields import checked_phases

    caller = "WaveletPhaseHarmonics"
    plan = checked_phases(
        caller, shape, J, L, classes, dn, A, dj, dl, shifts, filters, oversampling
    )  # fmt: skip
    program, places, conjugated = plan.laid_out
    moments = Moments(
        np.array(places, np.int64),
        1 - 2 * np.array(conjugated, np.float64),
        np.array([m.kind == "S00" for m in plan.moments], np.float64),
        np.array([m.j1 * plan.L + m.theta1 for m in plan.moments], np.int64),
        np.array([m.j2 * plan.L + m.theta2 for m in plan.moments], np.int64),
    )
    return Design(
        _told(caller, shape=plan.shape, J=plan.J, L=plan.L, classes=plan.classes, filters=filters),
        plan.shape,
        (len(places),),
        0,
        program.text,
        lambda dtype: pack_fields(plan, filters, dtype),
        plan.meta,
        (moments,),
    )


def _taken(index: Sequence[int]) -> Take:
    """Some channels as they are."""
    return Take(np.array(index, np.int64)[:, None])


def _of_filters(caller: str, pack: Callable[[], Packed]) -> Packed:
    try:
        return pack()
    except ValueError as error:
        raise ValueError(f"{caller}: filters cannot be used: {error}") from error


def loaded(path: str | os.PathLike[str]) -> tuple[Design, Plan]:
    """That of a plan file, of any transform, and its plan.

    Raises: OSError: it cannot be read; ValueError: it is no plan file, or an altered one;
        MemoryError.
    """
    plan = Plan.load(path)

    def pack(dtype: np.dtype[Any]) -> Packed:
        raise AssertionError(dtype)  # the plan is there

    told, sides = f"load({os.fspath(path)!r})", (plan.input_shape, plan.output_shape)
    inner = len(plan.output_shape) - 1
    return Design(told, *sides, inner, plan.program, pack, dict, dtypes=(plan.dtype,)), plan
