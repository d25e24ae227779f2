"""What a caller asks for as the plan of statistics of periodic fields, arguments checked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .. import limits
from ..arguments import ArgumentError, angles, integer, one_of, pair, plain
from .covariance import CovariancePlan
from .phases import CLASSES, PhasePlan

#: Banks that have a name; see :func:`scatcuda.banks.oriented.oriented`
ORIENTED = ("morlet", "bump", "gaussian", "shannon")


def checked_covariance(
    caller: str, shape: Any, J: Any, L: Any, Q: Any, filters: Any, oversampling: Any
) -> CovariancePlan:
    """The plan of covariances, as :class:`scatcuda.ScatteringCovariance` takes its arguments."""
    sides = sides_of(caller, shape)
    most = int(math.log2(min(sides)))
    J = integer(caller, "J", most - 1 if J is None else J, 1, most)
    if len(sides) == 1:
        L = integer(caller, "L of signals", 1 if L is None else L, 1, 1)
    L = angles(caller, 4 if L is None else L)
    Q = integer(caller, "Q", Q, 1, 64 if len(sides) == 1 else 1)
    one_of(caller, "filters", filters, ORIENTED)
    if Q > 1 and filters != "morlet":
        raise ArgumentError(f"{caller}: Q must be 1 for filters {filters!r}; got {Q}")
    finer = integer(caller, "oversampling", oversampling, 0, limits.SCALES)
    plan = CovariancePlan(sides, J * Q, L, Q, finer)
    told = f"J Q = {J * Q} scales, whose steps, one for three of them,"
    limits.at_most(caller, told, plan.steps, limits.STEPS)
    numbers = len(plan.triples) * L**3
    limits.at_most(caller, "the number of statistics", numbers, limits.PLANES)
    return plan


def checked_phases(
    caller: str,
    shape: Any,
    J: Any,
    L: Any,
    classes: Any,
    dn: Any,
    A: Any,
    dj: Any,
    dl: Any,
    shifts: Any,
    filters: Any,
    oversampling: Any,
) -> PhasePlan:
    """The plan of moments, as :class:`scatcuda.WaveletPhaseHarmonics` takes its arguments."""
    sides = pair(caller, shape)
    if min(sides) < 16:
        raise ArgumentError(f"{caller}: both sides of shape must be at least 16; got {sides}")
    J = integer(caller, "J", J, 1, int(math.log2(min(sides))))
    L = angles(caller, L)
    if L % 2:
        raise ArgumentError(f"{caller}: L must be even; got {L}")
    try:
        listed = [] if isinstance(classes, str) else [plain(name) for name in classes]
    except TypeError:
        raise TypeError(f"{caller}: classes must be a list of names; got {classes!r}") from None
    if not listed:
        raise ArgumentError(f"{caller}: classes must be a list of names; got {classes!r}")
    names = tuple(one_of(caller, "a class", name, CLASSES) for name in listed)
    dn = integer(caller, "dn", dn, 0, 30)
    A = integer(caller, "A", A, 1, limits.ANGLES)
    dj = integer(caller, "dj", J - 1 if dj is None else dj, 0)
    dl = integer(caller, "dl", L // 2 if dl is None else dl, 0, L // 2)
    one_of(caller, "shifts", shifts, ("exp", "legacy"))
    one_of(caller, "filters", filters, ORIENTED)
    finer = integer(caller, "oversampling", oversampling, 0, limits.SCALES)
    about = J * L * (1 + 2 * A * dn) * (1 + J * L)
    limits.at_most(caller, "the number of moments", about, 64 * limits.CHANNELS)
    plan = PhasePlan(sides, J, L, A, dn, dj, dl, names, shifts, finer)
    if not plan.moments:
        raise ArgumentError(f"{caller}: classes {listed} have no moments with J = {J}")
    told = "the number of products, of which moments are some,"
    limits.at_most(caller, told, plan.laid_out[0].channels, 64 * limits.CHANNELS)
    return plan


def sides_of(caller: str, shape: Sequence[int]) -> tuple[int, ...]:
    """One or two sides of fields, of 16 or more."""
    told = f"{caller}: shape must be integers (M, N) or (N,)"
    try:
        given = [*shape]
    except TypeError:
        raise TypeError(f"{told}; got {shape!r}") from None
    if len(given) not in (1, 2):
        raise ArgumentError(f"{told}; got {len(given)} sides")
    return tuple(integer(caller, "a side of shape", side, 2 * 8, limits.SIDE) for side in given)
