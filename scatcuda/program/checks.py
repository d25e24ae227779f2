"""What can be, said of programs from anywhere: the twin of the checks in ``csrc/core/program.cpp``,
with its sentences."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from .. import limits
from .steps import Average, Axis, Group, Matrix, Pair, Planes, Set, Wavelet, X

if TYPE_CHECKING:
    from .builder import Builder
    from .table import Program


class Refused(Exception):
    pass


def expect(holds: object, why: str) -> None:
    if not holds:
        raise Refused(why)


def by_sides(sides: Sequence[int]) -> str:
    return " x ".join(map(str, sides))


def bounded_product(what: str, *factors: int) -> int:
    told = f"{what}: {by_sides(factors)} are more than {limits.NUMBERS}"
    expect(prod(factors) <= limits.NUMBERS, told)
    return prod(factors)


def integer(word: str, least: int, most: int, what: str) -> int:
    sound = len(word) <= 18 and word.isascii() and word.isdigit()
    if not sound or not least <= int(word) <= most:
        raise Refused(f"{what} must be an integer from {least} to {most}; got {quoted(word)}")
    return int(word)


def number(word: str, what: str) -> float:
    sound = len(word) <= 16 and re.fullmatch("[0-9]+([.][0-9]+)?", word)
    expect(sound, f"{what} must be a number in digits, as 2 or 0.5; got {quoted(word)}")
    return float(word)


def quoted(word: str) -> str:
    text = "".join(c if " " <= c <= "~" else "?" for c in word[:40])
    return f"'{text}…'" if len(word) > 40 else f"'{text}'"


Made: TypeAlias = "Sequence[Planes | None]"  # by the steps before


def padded_sides(axes: Sequence[Axis]) -> tuple[int, ...]:
    return tuple(axis.padded for axis in axes)


def source_planes(padded: tuple[int, ...], source: int, made: Made, real: bool = False) -> Planes:
    if source == X:
        return Planes(padded)
    told = f"it takes the planes of step {source}, which "
    expect(0 <= source < len(made), told + "does not come before it")
    found = made[source]
    if found is None:
        raise Refused(told + "has none")
    told = f"it needs real planes, and those of step {source} are complex"
    expect(found.real or not real, told)
    return found


def _set_of(sets: Sequence[Set], index: int) -> Set:
    expect(0 <= index < len(sets), f"there is no set {index}")
    return sets[index]


def checked(p: Program) -> tuple[Planes | None, ...]:
    """What the steps make, if nothing is wrong."""
    _check_tables(p)
    made: list[Planes | None] = []
    averaged: dict[int, int] = {}
    count = {"made": 0, "averaged": 0, "paired": 0}
    for i, step in enumerate(p.steps):
        try:
            if isinstance(step, Average):
                other = averaged.setdefault(step.source, i)
                expect(other == i, f"it averages what step {other} does already")
                _check_average(p, step, made)
                count["averaged"] += source_planes(p.padded, step.source, made).count
                made.append(None)
            elif isinstance(step, Pair):
                _check_pair(p, step, made)
                count["paired"] += means_of(p, step, made)[0]
                made.append(None)
            else:
                made.append(made_by(p.padded, p.sets, step, made))
                count["made"] += made[-1].count  # type: ignore[union-attr]
            for what in count:
                most = limits.PLANES * (8 if what == "made" else 1)
                expect(count[what] <= most, f"more than {most} planes are {what}")
        except Refused as refused:
            raise Refused(f"step {i} ({step.verb}): {refused}") from None
    object.__setattr__(p, "planes", tuple(made))
    _check_channels(p)
    return p.planes


def _check_tables(p: Program) -> None:
    expect(1 <= p.rank <= limits.RANK, f"a signal must have from 1 to 3 axes; got {p.rank}")
    for axis in p.axes:
        expect(1 <= axis.size <= limits.SIDE, f"a side must be from 1 to {limits.SIDE}")
        # once round at most
        most = {"": 0, "r": 2 * axis.size - 2, "z": limits.SIDE}.get(axis.pad, axis.size)
        for margin in (axis.before, axis.after):
            told = f"padding must be an integer from 0 to {most}; got {margin}"
            expect(0 <= margin <= most, told)
        expect(axis.padded <= limits.SIDE, f"a padded side must be at most {limits.SIDE}")
    bounded_product("points of the padded signal", *p.padded)
    expect(len(p.sides) <= limits.RANK, "a channel must have at most 3 sides")
    for what, value in (("channels", p.channels), *(("a side", side) for side in p.sides)):
        expect(value >= 1, f"{what} must be an integer from 1; got {value}")
    bounded_product("numbers of a result", p.channels, *p.sides)
    for what, several in (("sets", p.sets), ("matrices", p.matrices), ("steps", p.steps)):
        told = f"there must be at most {limits.STEPS} {what}"
        expect(len(several) <= limits.STEPS, told)
    for table in p.sets:
        told = f"filters must be an integer from 1 to {limits.FILTERS}; got {table.count}"
        expect(1 <= table.count <= limits.FILTERS, told)
        expect(1 <= len(table.sides) <= limits.RANK, "a set's grid must have from 1 to 3 axes")
        expect(min(table.sides) >= 1, f"a side must be at least 1; got {by_sides(table.sides)}")
        bounded_product("numbers of a table", limits.lanes(table.count), *table.sides)
    for matrix in p.matrices:
        told = f"a matrix must have sides of 1 to {limits.SIDE}; got {matrix}"
        both = matrix.outputs, matrix.inputs
        expect(1 <= min(both) and max(both) <= limits.SIDE, told)
        told = f"rows must be turned by 0 to {limits.SIDE}; got {matrix.every}"
        expect(0 <= matrix.every <= limits.SIDE, told)
        told = "rows are turned for signals of one axis alone"
        expect(matrix.every == 0 or len(p.axes) == 1, told)
    numbers = sum(matrix.numbers for matrix in p.matrices)
    told = f"the matrices must have at most {limits.NUMBERS} numbers"
    expect(numbers <= limits.NUMBERS, told)


def made_by(
    padded: tuple[int, ...], sets: Sequence[Set], step: Wavelet | Group, made: Made
) -> Planes:
    planes = (
        _wavelets(padded, sets, step, made)
        if isinstance(step, Wavelet)
        else _groups(padded, sets, step, made)
    )
    told = f"it has {planes.count} planes; a step may have {limits.PLANES}"
    expect(planes.count <= limits.PLANES, told)
    return planes


def _wavelets(padded: tuple[int, ...], sets: Sequence[Set], step: Wavelet, made: Made) -> Planes:
    source = source_planes(padded, step.source, made, real=True)
    told = f"it filters the planes of step {step.source}, which is no wavelet"
    expect(not source.group, told)
    filters = _set_of(sets, step.set)
    told = f"its set {step.set} is not for planes of {by_sides(source.grid)}"
    expect(filters.sides == source.grid, told)
    expect(len(step.fold) == len(source.grid), "each axis must be folded, as in /2, or cropped")
    for axis, (side, k) in enumerate(zip(source.grid, step.fold, strict=True)):
        told = f"it folds axis {axis}, of {side} points, by {k}, which does not divide it"
        expect(k >= 1 and side % k == 0, told)
    if step.rho.startswith("phase:"):
        number(step.rho.removeprefix("phase:"), "the power of a phase")
    else:
        told = f"rho must be modulus, norm, none or phase:p; got {quoted(step.rho)}"
        expect(step.rho in ("modulus", "norm", "none"), told)
    expect(source.level < limits.LEVELS, f"more than {limits.LEVELS} wavelets in a row")
    grid = tuple(side // k for side, k in zip(source.grid, step.fold, strict=True))
    digits = source.digits if step.rho == "norm" else (*source.digits, filters.count)
    return Planes(grid, digits, step.rho in ("modulus", "norm"), source.level + 1)


def _groups(padded: tuple[int, ...], sets: Sequence[Set], step: Group, made: Made) -> Planes:
    sources = [source_planes(padded, source, made) for source in step.sources]
    expect(sources and X not in step.sources, "its sources must be steps")
    for other, planes in zip(step.sources, sources, strict=True):
        told = (
            f"its sources {step.sources[0]} and {other} have planes of "
            f"{by_sides(sources[0].grid)} and {by_sides(planes.grid)}"
        )
        expect(planes.grid == sources[0].grid, told)
    count = sum(planes.count for planes in sources)
    length, entries = step.length, len(step.table)
    told = f"the length of a group must be an integer from 1 to {limits.FILTERS}; got {length}"
    expect(1 <= length <= limits.FILTERS, told)
    told = f"its table must have whole groups of {length} planes; got {entries}"
    expect(entries and entries % length == 0, told)
    told = f"a plane must be an integer from 0 to {count - 1}"
    expect(all(e is None or -count <= e < count for e in step.table), told)
    filters = _set_of(sets, step.set)
    told = f"its set must be for an axis of {length} to {limits.FILTERS} points"
    expect(len(filters.sides) == 1 and length <= filters.sides[0] <= limits.FILTERS, told)
    told = f"the places that are one must be an integer from 1 to {length}; got {step.every}"
    expect(1 <= step.every <= length, told)
    told = f"it keeps every {step.every}th of {length} places, which does not divide them"
    expect(filters.sides[0] > length or length % step.every == 0, told)
    told = f"rho must be modulus, none or mean; got {quoted(step.rho)}"
    expect(step.rho in ("modulus", "none", "mean"), told)
    places = () if step.rho == "mean" else (-(-length // step.every),)
    digits = (step.groups, filters.count, *places)
    level = max(planes.level for planes in sources)
    found = Planes(sources[0].grid, digits, step.rho != "none", level, group=True)
    for planes in (*sources, found):
        _check_gathered(planes)
    return found


def _check_gathered(planes: Planes) -> None:
    """All of a signal's are there at a time."""
    numbers = planes.count * (1 if planes.real else 2)
    bounded_product("numbers of the planes that it gathers", *planes.grid, numbers)


def outputs_of(matrices: Sequence[Matrix], step: Average, grid: tuple[int, ...]) -> tuple[int, ...]:
    """The numbers that a plane becomes."""
    if not step.matrices:
        return (len(step.powers) or 1,)
    expect(len(step.matrices) == len(grid), "it must have a matrix for each axis")
    outputs = []
    for axis, (index, side) in enumerate(zip(step.matrices, grid, strict=True)):
        expect(0 <= index < len(matrices), f"there is no matrix {index}")
        inputs = matrices[index].inputs
        told = f"matrix {index} takes {inputs} points, and axis {axis} has {side}"
        expect(inputs == side, told)
        outputs.append(matrices[index].outputs)
    return tuple(outputs)


def _check_average(p: Program, step: Average, made: Made) -> None:
    source = source_planes(p.padded, step.source, made, real=True)
    expect(not (step.matrices and step.powers), "it must go on with by, mean or power")
    expect(len(step.powers) <= 64, "it must have from 1 to 64 powers")
    numbers = bounded_product("numbers of a plane", *outputs_of(p.matrices, step, source.grid))
    told = f"a plane of {numbers} numbers does not fill channels of {p.unit}"
    expect(numbers % p.unit == 0, told)
    told = (
        f"it must say where {len(source.digits)} digits of a plane's number lead, as in 1+8+1; "
        f"got {len(step.strides)}"
    )
    expect(len(step.strides) == len(source.digits), told)
    expect(step.channel >= 0, f"a channel must not be negative; got {step.channel}")
    for stride in step.strides:
        told = f"a stride must be an integer from 0 to {p.channels}; got '{stride}'"
        expect(0 <= stride <= p.channels, told)
    reach = sum(n * (digit - 1) for n, digit in zip(step.strides, source.digits, strict=True))
    _check_last(p, step.channel + reach + numbers // p.unit - 1)


def _check_last(p: Program, channel: int) -> None:
    expect(channel < p.channels, f"it writes channel {channel}, and there are {p.channels}")


def _check_pair(p: Program, step: Pair, made: Made) -> None:
    a, b = (source_planes(p.padded, source, made) for source in (step.source, step.other))
    _check_gathered(a)
    _check_gathered(b)
    if step.pairs is None:
        told = f"it has more than {limits.PLANES} pairs"
        expect(a.count * b.count <= limits.PLANES, told)
    else:
        expect(step.pairs, "it must have pairs, as in 0:3")
        for pair in step.pairs:
            for plane, planes in zip(pair, (a, b), strict=True):
                told = f"a plane must be an integer from 0 to {planes.count - 1}; got {plane}"
                expect(0 <= plane < planes.count, told)
    grid = tuple(map(min, zip(a.grid, b.grid, strict=True)))
    if step.weight is None:
        expect(a.grid == b.grid, f"its planes are of {by_sides(a.grid)} and of {by_sides(b.grid)}")
    else:
        bins = _set_of(p.sets, step.weight).sides
        told = f"its set {step.weight} has more bins than planes of {by_sides(grid)}"
        expect(len(bins) == p.rank and all(n <= m for n, m in zip(bins, grid, strict=True)), told)
        grid = p.padded
    for by in step.shifts:
        told = f"a shift must have {p.rank} places, as in 0,3; got {quoted(','.join(map(str, by)))}"
        expect(len(by) == p.rank, told)
        for place, side in zip(by, grid, strict=True):
            told = f"a shift must be an integer from 0 to {side - 1}; got {place}"
            expect(0 <= place < side, told)
    expect(p.unit == 1, f"means of products need channels of one number; got {p.unit}")
    expect(step.channel >= 0, f"a channel must not be negative; got {step.channel}")
    _check_last(p, step.channel + bounded_product("its means", *means_of(p, step, made)) - 1)


def means_of(p: Program | Builder, step: Pair, made: Made) -> tuple[int, int, int, int]:
    """Pairs, filters, shifts, parts."""
    a, b = (
        source_planes(padded_sides(p.axes), source, made) for source in (step.source, step.other)
    )
    pairs = a.count * b.count if step.pairs is None else len(step.pairs)
    filters = 1 if step.weight is None else p.sets[step.weight].count
    return pairs, filters, len(step.shifts) or 1, 1 + step.imaginary


def _check_channels(p: Program) -> None:
    """Every channel is written, and once."""
    starts, counts = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for step in p.steps:
        if isinstance(step, Average):
            starts.append(p.channels_of(step))
            counts.append(np.full(len(starts[-1]), p.plane_channels(step)))
        elif isinstance(step, Pair):
            starts.append(np.array([step.channel]))
            counts.append(np.array([prod(means_of(p, step, p.planes))]))
    start, count = np.concatenate(starts), np.concatenate(counts)
    order = np.argsort(start, kind="stable")
    ends = np.concatenate([[0], start[order] + count[order]])
    starts_and_end = np.concatenate([start[order], [p.channels]])
    if (wrong := np.flatnonzero(starts_and_end != ends)).size:
        at, end = int(starts_and_end[wrong[0]]), int(ends[wrong[0]])
        told = (
            f"channel {at} is written twice" if at < end else f"channel {end} is written by no step"
        )
        raise Refused(told)
