"""What a caller asks for as the plan of a transform: arguments that are checked, and names for what
is wrong with them. Those of images are in :mod:`scatcuda.program.plan`.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any, Literal, get_args

from .. import limits
from ..arguments import (
    ArgumentError,
    InputError,
    angles,
    boolean,
    channels_last,
    integer,
    number,
    one_of,
    pair,
    plain,
    positive,
    scales,
    told,
)
from .densities import DensityPlan
from .images import Path
from .joint import JointPlan
from .paths import where
from .rotations import Channel, RotationPlan
from .signals import Criterion, SignalPlan, half_support
from .steps import PADDING


def checked_signals(
    caller: str,
    J: Any,
    shape: Any,
    Q: Any,
    T: Any,
    max_order: Any,
    average: Any,
    oversampling: Any,
    *,
    stride: Any,
    padding: Any,
    criterion: Any,
    paths: Any,
) -> SignalPlan:
    """The plan of signals, as :class:`scatcuda.Scattering1D` takes its arguments."""
    J, N = scales(caller, J), length_of(caller, shape)
    max_order = integer(caller, "max_order", max_order, 0, limits.LEVELS)
    T, kind = averaging_of(caller, T, J, N, average)
    plan = SignalPlan(
        J, N, octaves_of(caller, Q, max_order), T, kind, max_order,
        log2_stride(caller, stride, kind, T, oversampling),
        integer(caller, "oversampling", oversampling, 0, limits.SCALES, InputError),
        padding_of(caller, padding),
        criterion=one_of(caller, "criterion", criterion, get_args(Criterion)),
    )  # fmt: skip
    if paths is not None:
        plan = replace(plan, chosen=chosen_of(caller, plan, paths))
    _warn_of_padding(caller, N, T)
    return plan


def checked_joint(
    caller: str,
    J: int,
    J_fr: int,
    Q: Any,
    shape: Any,
    T: Any,
    stride: int | None,
    Q_fr: Any,
    F: Any,
    stride_fr: int | None,
    padding: str,
    paths: Any,
) -> JointPlan:
    """The plan of joint time-frequency scattering."""
    J, J_fr = scales(caller, J), integer(caller, "J_fr", J_fr, 1, limits.SCALES)
    N, octaves = length_of(caller, shape), octaves_of(caller, Q, 2)
    T, average = averaging_of(caller, T, J, N)
    F, average_fr = averaging_of(caller, F, J_fr, (J + 1) * octaves[0], name="F")
    pad = padding_of(caller, padding)
    by = log2_stride(caller, stride, average, T)
    by_fr = log2_stride(caller, stride_fr, average_fr, F, of="_fr")
    Q_fr = _quality(caller, Q_fr)
    try:
        signals = SignalPlan(J, N, octaves, T, average, 2, by, 0, pad)
        plan = JointPlan(signals, J_fr, Q_fr, F, average_fr, by_fr)
    except ValueError as error:
        told = str(error).removeprefix("Scattering1D").removeprefix(caller)
        raise ArgumentError(f"{caller}{told}") from None
    if paths is not None:
        plan = replace(plan, chosen=chosen_of(caller, plan, paths))
    _warn_of_padding(caller, N, T)
    return plan


def _quality(caller: str, Q_fr: Any) -> int:
    if isinstance(Q_fr, tuple | list):
        if len(Q_fr) != 1:
            raise ArgumentError(f"{caller}: Q_fr must be an integer or (Q_fr,); got {Q_fr!r}")
        Q_fr = Q_fr[0]
    return integer(caller, "Q_fr", Q_fr, 1, limits.ANGLES)


def _warn_of_padding(caller: str, N: int, T: float) -> None:
    """To who calls what calls what is checked here."""
    if not half_support(N, 0.1 / T)[1]:
        warnings.warn(
            f"{caller}: signals of {N} samples are too short for T = {T:g}: the padding shows",
            stacklevel=4,
        )


def length_of(caller: str, shape: Any) -> int:
    shape = plain(shape)
    if isinstance(shape, tuple | list):
        if len(shape) != 1:
            raise ValueError(f"{caller}: shape must be an integer or (N,); got {tuple(shape)}")
        shape = shape[0]
    return integer(caller, "shape", shape, 2, limits.SIDE)


def octaves_of(caller: str, Q: Any, max_order: int) -> tuple[int, ...]:
    given = tuple(Q) if isinstance(Q, tuple | list) else (Q,)
    if not given or len(given) > max(max_order, 2):
        raise ValueError(
            f"{caller}: Q must be an integer or a tuple of one for each order, at most "
            f"{max(max_order, 2)}; got {Q!r}"
        )
    checked = [integer(caller, "Q", q, 1, limits.ANGLES) for q in given]
    return tuple(checked + [1] * (max(max_order, 2) - len(checked)))


def averaging_of(
    caller: str, T: Any, J: int, N: int, average: Any = None, name: str = "T"
) -> tuple[float, Literal["local", "global", "none"]]:
    """``T``, or along log-frequency ``F``, and how is averaged."""
    if average is not None:
        warnings.warn(
            f"{caller}: average is Kymatio's older word: T=None averages over 2^J, T=0 does not",
            DeprecationWarning,
            stacklevel=5,
        )
        if not isinstance(average, bool):
            raise TypeError(f"{caller}: average must be a bool or None; got {average!r}")
    T = plain(T)
    if T is None or (isinstance(T, str) and T == "global"):
        if T is None and average is False:
            return 2**J, "none"
        return 2**J, "local" if T is None else "global"
    if isinstance(T, bool) or not isinstance(T, int | float) or T != T:
        raise TypeError(f"{caller}: {name} must be a number, 'global' or None; got {told(T)}")
    if T == 0:
        if average:
            raise ValueError(f"{caller}: average must not be True where T = 0")
        return 2**J, "none"
    longest = f"the length N = {N} of the signals" if name == "T" else f"(J + 1) Q = {N}"
    if not 1 <= T <= N:
        raise ValueError(f"{caller}: {name} must be 0, or between 1 and {longest}; got {told(T)}")
    if average is False:
        raise ValueError(f"{caller}: average must not be False where T = {T!r}; take T = 0")
    return T, "local"


def log2_stride(
    caller: str, stride: Any, kind: str, T: float, oversampling: Any = 0, of: str = ""
) -> int | None:
    """Of ``stride``, or with ``of="_fr"`` of that along log-frequency."""
    if stride is None:
        return None
    name, width = f"stride{of}", "F" if of else "T"
    stride = integer(caller, name, stride, 1)
    if stride & (stride - 1):
        raise ValueError(f"{caller}: {name} must be a power of two; got {stride}")
    if kind != "local":
        raise ValueError(
            f"{caller}: {name} must be None where {width} is 0 or 'global'; got {stride}"
        )
    if stride > T:
        raise ValueError(f"{caller}: {name} must be at most {width} = {T:g}; got {stride}")
    if plain(oversampling) != 0:
        raise ValueError(f"{caller}: stride and oversampling say the same: give one of them")
    return stride.bit_length() - 1


def padding_of(caller: str, name: Any) -> str:
    letters = {word: letter for letter, word in PADDING.items()}
    return letters[one_of(caller, "padding", name, letters)]


def chosen_of(caller: str, plan: SignalPlan | JointPlan, paths: Any) -> tuple[Path, ...]:
    """Of the paths of a plan those that are asked for, in their order."""
    if callable(paths):
        return where(caller, paths, plan.meta(), plan.paths)
    wanted = keys_of(caller, paths)
    known = set(plan.paths)
    for path in wanted:
        if path not in known:
            listed = "meta" if isinstance(plan, SignalPlan) else "joint_meta"
            raise ArgumentError(f"{caller}: paths must be among {listed}()['key']; got {path}")
    if len(set(wanted)) != len(wanted) or not wanted:
        found = "one twice" if wanted else "none"
        raise ArgumentError(f"{caller}: paths must choose at least one, each once; got {found}")
    return tuple(sorted(wanted, key=lambda path: (len(path), path)))


def keys_of(caller: str, paths: Any) -> tuple[Path, ...]:
    """The tuples of a list."""
    try:
        found = [tuple(integer(caller, "a number in paths", n, 0) for n in p) for p in paths]
    except TypeError as error:
        if "a number in paths" in str(error):
            raise
        raise TypeError(
            f"{caller}: paths must be a list of tuples of wavelet numbers, or a function of "
            f"meta(); got {paths!r}"
        ) from None
    return tuple(found)


# --- densities ------------------------------------------------------------------------------------

_DEGREES = 64  # of which the polynomials keep float64's digits


def checked_densities(
    caller: str,
    J: Any,
    shape: Any,
    L: Any,
    sigma_0: Any,
    max_order: Any,
    rotation_covariant: Any,
    method: Any,
    points: Any,
    integral_powers: Any,
    order_0: Any,
    fold: Any,
) -> tuple[DensityPlan, float]:
    """The plan of densities and the width of its first Gaussian, as
    :class:`scatcuda.HarmonicScattering3D` takes its arguments."""
    J = integer(caller, "J", J, 0, limits.SCALES)
    one_of(caller, "method", method, ("integral",))
    if points is not None:
        raise ArgumentError(f"{caller}: points must be None; got {points!r}")
    width = positive(caller, "sigma_0", sigma_0)
    plan = DensityPlan(
        J,
        _sides(caller, shape),
        integer(caller, "L", L, 0, _DEGREES),
        integer(caller, "max_order", max_order, 1, max(J + 1, 2)),
        powers_of(caller, integral_powers),
        boolean(caller, "order_0", order_0),
        boolean(caller, "rotation_covariant", rotation_covariant),
        boolean(caller, "fold", fold),
    )
    return plan, width


def _sides(caller: str, shape: Any) -> tuple[int, int, int]:
    try:
        given = tuple(shape)
    except TypeError:
        given = (shape,)
    if isinstance(shape, str) or len(given) != 3:
        raise ArgumentError(f"{caller}: shape must be three sides (M, N, O); got {shape!r}")
    a, b, c = (integer(caller, "a side of shape", side, 1, limits.SIDE) for side in given)
    return a, b, c


def powers_of(caller: str, powers: Any) -> tuple[float, ...]:
    try:
        given = tuple(powers)
    except TypeError:
        raise TypeError(
            f"{caller}: integral_powers must be a sequence of numbers; got {powers!r}"
        ) from None
    if not 1 <= len(given) <= 64:
        raise ArgumentError(
            f"{caller}: integral_powers must be from 1 to 64 numbers; got {len(given)}"
        )
    return tuple(number(caller, "a number in integral_powers", power, 0) for power in given)


# --- images, along angles -------------------------------------------------------------------------


def checked_rotations(
    caller: str,
    J: Any,
    shape: Any,
    L: Any,
    K: Any,
    average: Any,
    pool: Any,
    smooth_first: Any,
    max_order: Any,
    padding: Any,
    oversampling: Any,
    paths: Any,
) -> RotationPlan:
    """The plan of images and their angles, as :class:`scatcuda.RotoTranslationScattering2D` takes
    its arguments."""
    J, L = scales(caller, J), angles(caller, L)
    sides = pair(caller, shape)
    if min(sides) >> J < 1:
        raise ArgumentError(
            f"{caller}: both sides of shape must be at least 2^J with J = {J}; got {sides}"
            f"{channels_last(sides)}"
        )
    pad = padding_of(caller, padding)
    if pad == "p" and any(side % (1 << J) for side in sides):
        raise ArgumentError(
            f"{caller}: with padding 'periodic' 2^J = {1 << J} must divide both sides of "
            f"shape; got {sides}"
        )
    if average is not None:
        one_of(caller, "average", average, ("space+angle", "space"))
    if pool is not None:
        one_of(caller, "pool", pool, ("mean",))
    smooth_first = boolean(caller, "smooth_first", smooth_first)
    if average is None:
        for name, given, wanted in (
            ("pool", pool, None),
            ("smooth_first", smooth_first, False),
        ):
            if given != wanted:
                raise ArgumentError(
                    f"{caller}: {name} must be {wanted!r} where average is None; got {given!r}"
                )
    if oversampling is not None:
        oversampling = integer(caller, "oversampling", oversampling, 0, limits.SCALES)
    try:
        plan = RotationPlan(
            J, L, wavelets_of_angles(caller, L, K),
            integer(caller, "max_order", max_order, 0, 2), *sides, pad, average or "none",
            pool is not None, smooth_first, oversampling,
        )  # fmt: skip
        if paths is not None:
            plan = replace(plan, chosen=_channels_of(caller, plan, paths))
        _ = plan.cascades  # which may be too many
    except ArgumentError as error:
        raise ArgumentError(f"{caller}: {str(error).removeprefix(caller + ': ')}") from None
    return plan


def _channels_of(caller: str, plan: RotationPlan, paths: Any) -> frozenset[Channel]:
    """Those of a plan's channels that are asked for: by a function of its ``meta()``, or by their
    keys, with the angle or for all angles without."""
    if callable(paths):
        keys = [channel.key for channel in plan.listed]
        wanted = where(caller, paths, plan.meta(), keys)
    else:
        wanted = keys_of(caller, paths)
    by_key: dict[Path, list[Channel]] = {}
    for channel in plan.listed:
        by_key.setdefault(channel.key, []).append(channel)
        if channel.angle >= 0:
            by_key.setdefault(channel.key[:-1], []).append(channel)
    found: list[Channel] = []
    for key in wanted:
        if key not in by_key:
            raise ArgumentError(
                f"{caller}: paths must be among those of meta(): (), (j1, k), (j1, j2, theta, k), "
                f"and the angle after them where it is not averaged; got {key}"
            )
        found += by_key[key]
    if len(set(found)) != len(found) or not found:
        told = "one twice" if found else "none"
        raise ArgumentError(f"{caller}: paths must choose at least one, each once; got {told}")
    return frozenset(found)


def wavelets_of_angles(caller: str, L: int, K: int | None) -> int:
    """The number of them, checked."""
    if K is None:
        return max(L.bit_length() - 1, 1)
    return integer(caller, "K", K, 1, (2 * L).bit_length() - 1)
