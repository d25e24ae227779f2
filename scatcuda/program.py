"""A scattering transform as data: ``S x = A rho W_J … rho W_1 x`` as a short table of steps over
scale paths. The twin of ``csrc/core/program.h``, where the statements of its text are listed.

A :class:`Builder` makes a program, :attr:`Program.text` carries it to the operators, into plan
files and to programs without Python, :func:`parse` reads it again. ``J``, ``L`` and orders are
words of the builders, such as :func:`images`; nobody who runs a program knows them.

The planes of a step are numbered by digits, the last one fastest: a ``wavelet`` step adds one to
those of its source, the filter (``norm``: none); ``group`` has group, filter and place instead.
Spectra that are cropped keep, of ``m`` bins, those from ``-floor(m / 2)`` to ``ceil(m / 2) - 1``,
and are divided by ``k`` as in the mean over ``k`` aliases.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, lru_cache
from itertools import product
from math import prod
from typing import ClassVar, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from . import limits
from .arguments import ArgumentError

X = -1  # the signal, where a step could be

#: How a signal is continued, by its letter in a text
PADDING = {"r": "reflect", "s": "symmetric", "z": "zeros", "p": "periodic"}


@dataclass(frozen=True)
class Axis:
    """An axis of the signal: its size, and how and by how much it is padded."""

    size: int
    pad: str = ""  # a letter of PADDING, or none
    before: int = 0
    after: int = 0

    @property
    def padded(self) -> int:
        return self.before + self.size + self.after

    @property
    def text(self) -> str:
        return f"{self.size}{self.pad}{self.before}+{self.after}" if self.pad else f"{self.size}"


@dataclass(frozen=True)
class Set:
    """Filters side by side: how many, and the sides of the grid whose spectra they multiply."""

    count: int
    sides: tuple[int, ...]

    @property
    def text(self) -> str:
        return " ".join(map(str, ("psi", self.count, *self.sides)))


@dataclass(frozen=True)
class Matrix:
    """A low-pass of one axis."""

    outputs: int
    inputs: int

    @property
    def text(self) -> str:
        return f"phi {self.outputs} {self.inputs}"


@dataclass(frozen=True)
class Wavelet:
    """``rho(IDFT fold(U_hat psi))`` for all filters of a set."""

    verb: ClassVar[str] = "wavelet"
    source: int
    set: int
    fold: tuple[int, ...]  # by axis
    rho: str = "modulus"  # or norm, none, phase:p
    crop: tuple[bool, ...] = ()  # by axis: the lowest bins instead of the mean over aliases

    @property
    def words(self) -> list[str]:
        crop = self.crop or (False,) * len(self.fold)
        how = ["/<"[c and k > 1] + str(k) for k, c in zip(self.fold, crop, strict=True)]
        return [_name(self.source), str(self.set), *how, self.rho]


@dataclass(frozen=True)
class Group:
    """Planes gathered along an axis of their own, filtered there, every s-th kept. ``table`` has
    ``length`` entries for each group: a plane's number, ``~plane`` for its conjugate, None for
    zero."""

    verb: ClassVar[str] = "group"
    sources: tuple[int, ...]
    length: int
    table: tuple[int | None, ...]
    set: int
    every: int = 1
    rho: str = "modulus"  # or none

    @property
    def groups(self) -> int:
        return len(self.table) // self.length

    @property
    def words(self) -> list[str]:
        table = ("-" if e is None else f"~{~e}" if e < 0 else f"{e}" for e in self.table)
        size = f"{self.groups}x{self.length}"
        sources = ",".join(map(str, self.sources))
        return [sources, size, ",".join(table), str(self.set), f"/{self.every}", self.rho]


@dataclass(frozen=True)
class Average:
    """Low-pass ``matrices``, one an axis; or sums of ``powers``; or, with neither, the mean."""

    verb: ClassVar[str] = "average"
    source: int
    matrices: tuple[int, ...] = ()
    powers: tuple[float, ...] = ()
    channel: int = 0  # of the first plane,
    strides: tuple[int, ...] = ()  # and what each digit of a plane's number adds

    @property
    def words(self) -> list[str]:
        how = ["mean"]
        if self.matrices:
            how = ["by", *map(str, self.matrices)]
        if self.powers:
            how = ["power", *map(_decimal, self.powers)]
        return [_name(self.source), *how, "at", "+".join(map(str, (self.channel, *self.strides)))]


@dataclass(frozen=True)
class Pair:
    """Means over the points of ``U_a(u) conj U_b(u + shift)``; for every filter of ``weight``, the
    sums over the bins both planes have of their Fourier coefficients' products with it. Channels
    by pair, filter, shift and part."""

    verb: ClassVar[str] = "pair"
    source: int
    other: int
    pairs: tuple[tuple[int, int], ...] | None = None  # None: all
    weight: int | None = None
    shifts: tuple[tuple[int, ...], ...] = ()
    imaginary: bool = False  # the imaginary part as well
    channel: int = 0

    @property
    def words(self) -> list[str]:
        pairs = "all" if self.pairs is None else ",".join(f"{a}:{b}" for a, b in self.pairs)
        words = [_name(self.source), _name(self.other), pairs]
        if self.weight is not None:
            words += ["weight", str(self.weight)]
        if self.shifts:
            words += ["shift", "/".join(",".join(map(str, by)) for by in self.shifts)]
        return [*words, *["complex"] * self.imaginary, "at", str(self.channel)]


Step: TypeAlias = "Wavelet | Group | Average | Pair"


@dataclass(frozen=True)
class Planes:
    """What a step makes, or the signal is."""

    grid: tuple[int, ...]
    digits: tuple[int, ...] = ()  # their ranges
    real: bool = True
    level: int = 0  # wavelets in a row

    @property
    def count(self) -> int:
        return prod(self.digits)


class _Refused(Exception):
    pass


def _expect(holds: object, why: str) -> None:
    if not holds:
        raise _Refused(why)


def _name(source: int) -> str:
    return "x" if source == X else str(source)


def _by(sides: Sequence[int]) -> str:
    return " x ".join(map(str, sides))


def _decimal(value: float) -> str:
    return np.format_float_positional(value, trim="-")


def _product(what: str, *factors: int) -> int:
    told = f"{what}: {_by(factors)} are more than {limits.NUMBERS}"
    _expect(prod(factors) <= limits.NUMBERS, told)
    return prod(factors)


def _integer(word: str, least: int, most: int, what: str) -> int:
    sound = len(word) <= 18 and word.isascii() and word.isdigit()
    if not sound or not least <= int(word) <= most:
        raise _Refused(f"{what} must be an integer from {least} to {most}; got {_quoted(word)}")
    return int(word)


def _number(word: str, what: str) -> float:
    sound = len(word) <= 16 and re.fullmatch("[0-9]+([.][0-9]+)?", word)
    _expect(sound, f"{what} must be a number in digits, as 2 or 0.5; got {_quoted(word)}")
    return float(word)


def _quoted(word: str) -> str:
    text = "".join(c if " " <= c <= "~" else "?" for c in word[:40])
    return f"'{text}…'" if len(word) > 40 else f"'{text}'"


@dataclass(frozen=True)
class Program:
    """A transform: the signal, the sides of the result, filters, steps. An error, a ValueError,
    names the step that cannot be.

    Example:
        >>> b = Builder(8)
        >>> U = b.wavelet(X, b.set(2, 8), fold=2)
        >>> b.mean(X), b.mean(U)
        (None, None)
        >>> b.build().text
        'x 8;S 3;psi 2 8;wavelet x 0 /2 modulus;average x mean at 0;average 0 mean at 1+1'
    """

    axes: tuple[Axis, ...]
    channels: int
    sides: tuple[int, ...]  # of a channel
    sets: tuple[Set, ...]
    matrices: tuple[Matrix, ...]
    steps: tuple[Step, ...]
    #: What each step makes; None of those that write channels
    planes: tuple[Planes | None, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "planes", _checked(self))
        except _Refused as refused:
            raise ArgumentError(str(refused)) from None

    @property
    def rank(self) -> int:
        return len(self.axes)

    @property
    def signal(self) -> tuple[int, ...]:
        """Sides of what a call is given."""
        return tuple(axis.size for axis in self.axes)

    @property
    def padded(self) -> tuple[int, ...]:
        return _padded(self.axes)

    @property
    def unit(self) -> int:
        """Numbers of a channel."""
        return prod(self.sides)

    @property
    def most_signals(self) -> int:
        """Of a batch."""
        return limits.BATCH_NUMBERS // (prod(self.signal) + self.channels * self.unit)

    def planes_of(self, source: int) -> Planes:
        """What a source is: the signal, or what a step makes."""
        return _source(self.padded, source, self.planes)

    @cached_property
    def last_uses(self) -> tuple[tuple[int, ...], ...]:
        """After each step, the sources that are needed no more."""
        last = {source: i for i, step in enumerate(self.steps) for source in _sources(step)}
        return tuple(
            tuple(source for source, at in last.items() if at == i) for i in range(len(self.steps))
        )

    def plane_channels(self, step: Average) -> int:
        """Channels of a plane that is averaged."""
        grid = self.planes_of(step.source).grid
        return prod(_outputs(self.matrices, step, grid)) // self.unit

    def channels_of(self, step: Average) -> NDArray[np.int64]:
        """The first channel of each plane that is averaged."""
        found = np.array([step.channel])
        for count, stride in zip(self.planes_of(step.source).digits, step.strides, strict=True):
            found = (found[:, None] + np.arange(count) * stride).reshape(-1)
        return found

    @cached_property
    def paths(self) -> tuple[tuple[tuple[int, int], ...], ...]:
        """Where the channels come from: set and filter of each wavelet step on the way, the filter
        -1 where the norm was taken. Empty for what comes of groups and of pairs."""
        paths: list[tuple[tuple[int, int], ...]] = [()] * self.channels
        for step in self.steps:
            if not isinstance(step, Average):
                continue
            source, filters = step.source, []
            while source != X and isinstance(wavelet := self.steps[source], Wavelet):
                count = 0 if wavelet.rho == "norm" else self.sets[wavelet.set].count
                filters.append([(wavelet.set, f) for f in (range(count) if count else [-1])])
                source = wavelet.source
            if source == X:
                count = self.plane_channels(step)
                for first, path in zip(
                    self.channels_of(step), product(*filters[::-1]), strict=True
                ):
                    paths[first : first + count] = [path] * count
        return tuple(paths)

    @cached_property
    def text(self) -> str:
        """The statements, as ``csrc/core/program.h`` lists them."""
        x = ["x", *(axis.text for axis in self.axes)]
        statements = [" ".join(x), " ".join(map(str, ("S", self.channels, *self.sides)))]
        statements += [table.text for table in self.sets]
        statements += [matrix.text for matrix in self.matrices]
        statements += [" ".join([step.verb, *step.words]) for step in self.steps]
        return ";".join(statements)


def _sources(step: Step) -> tuple[int, ...]:
    if isinstance(step, Group):
        return step.sources
    return (step.source, step.other) if isinstance(step, Pair) else (step.source,)


# --- what can be ------------------------------------------------------------------------------

_Made: TypeAlias = "Sequence[Planes | None]"  # by the steps before


def _padded(axes: Sequence[Axis]) -> tuple[int, ...]:
    return tuple(axis.padded for axis in axes)


def _source(padded: tuple[int, ...], source: int, made: _Made, real: bool = False) -> Planes:
    if source == X:
        return Planes(padded)
    told = f"it takes the planes of step {source}, which "
    _expect(0 <= source < len(made), told + "does not come before it")
    found = made[source]
    if found is None:
        raise _Refused(told + "has none")
    told = f"it needs real planes, and those of step {source} are complex"
    _expect(found.real or not real, told)
    return found


def _set_of(sets: Sequence[Set], index: int) -> Set:
    _expect(0 <= index < len(sets), f"there is no set {index}")
    return sets[index]


def _checked(p: Program) -> tuple[Planes | None, ...]:
    """What the steps make, if nothing is wrong."""
    _check_tables(p)
    made: list[Planes | None] = []
    averaged: dict[int, int] = {}
    count = {"made": 0, "averaged": 0, "paired": 0}
    for i, step in enumerate(p.steps):
        try:
            if isinstance(step, Average):
                other = averaged.setdefault(step.source, i)
                _expect(other == i, f"it averages what step {other} does already")
                _check_average(p, step, made)
                count["averaged"] += _source(p.padded, step.source, made).count
                made.append(None)
            elif isinstance(step, Pair):
                _check_pair(p, step, made)
                count["paired"] += _means(p, step, made)[0]
                made.append(None)
            else:
                made.append(_planes_of(p.padded, p.sets, step, made))
                count["made"] += made[-1].count  # type: ignore[union-attr]
            for what in count:
                most = limits.PLANES * (8 if what == "made" else 1)
                _expect(count[what] <= most, f"more than {most} planes are {what}")
        except _Refused as refused:
            raise _Refused(f"step {i} ({step.verb}): {refused}") from None
    object.__setattr__(p, "planes", tuple(made))
    _check_channels(p)
    return p.planes


def _check_tables(p: Program) -> None:
    _expect(1 <= p.rank <= limits.RANK, f"a signal must have from 1 to 3 axes; got {p.rank}")
    for axis in p.axes:
        _expect(1 <= axis.size <= limits.SIDE, f"a side must be from 1 to {limits.SIDE}")
        # once round at most
        most = {"": 0, "r": 2 * axis.size - 2, "z": limits.SIDE}.get(axis.pad, axis.size)
        for margin in (axis.before, axis.after):
            told = f"padding must be an integer from 0 to {most}; got {margin}"
            _expect(0 <= margin <= most, told)
        _expect(axis.padded <= limits.SIDE, f"a padded side must be at most {limits.SIDE}")
    _product("points of the padded signal", *p.padded)
    _expect(len(p.sides) <= limits.RANK, "a channel must have at most 3 sides")
    for what, value in (("channels", p.channels), *(("a side", side) for side in p.sides)):
        _expect(value >= 1, f"{what} must be an integer from 1; got {value}")
    _product("numbers of a result", p.channels, *p.sides)
    for what, several in (("sets", p.sets), ("matrices", p.matrices), ("steps", p.steps)):
        told = f"there must be at most {limits.STEPS} {what}"
        _expect(len(several) <= limits.STEPS, told)
    for table in p.sets:
        told = f"filters must be an integer from 1 to {limits.FILTERS}; got {table.count}"
        _expect(1 <= table.count <= limits.FILTERS, told)
        _expect(1 <= len(table.sides) <= limits.RANK, "a set's grid must have from 1 to 3 axes")
        _expect(min(table.sides) >= 1, f"a side must be at least 1; got {_by(table.sides)}")
        _product("numbers of a table", limits.lanes(table.count), *table.sides)
    for matrix in p.matrices:
        told = f"a matrix must have sides of 1 to {limits.SIDE}; got {matrix}"
        both = matrix.outputs, matrix.inputs
        _expect(1 <= min(both) and max(both) <= limits.SIDE, told)
    numbers = sum(matrix.outputs * matrix.inputs for matrix in p.matrices)
    told = f"the matrices must have at most {limits.NUMBERS} numbers"
    _expect(numbers <= limits.NUMBERS, told)


def _planes_of(
    padded: tuple[int, ...], sets: Sequence[Set], step: Wavelet | Group, made: _Made
) -> Planes:
    planes = (
        _wavelets(padded, sets, step, made)
        if isinstance(step, Wavelet)
        else _groups(padded, sets, step, made)
    )
    told = f"it has {planes.count} planes; a step may have {limits.PLANES}"
    _expect(planes.count <= limits.PLANES, told)
    return planes


def _wavelets(padded: tuple[int, ...], sets: Sequence[Set], step: Wavelet, made: _Made) -> Planes:
    source = _source(padded, step.source, made, real=True)
    filters = _set_of(sets, step.set)
    told = f"its set {step.set} is not for planes of {_by(source.grid)}"
    _expect(filters.sides == source.grid, told)
    _expect(len(step.fold) == len(source.grid), "each axis must be folded, as in /2, or cropped")
    for axis, (side, k) in enumerate(zip(source.grid, step.fold, strict=True)):
        told = f"it folds axis {axis}, of {side} points, by {k}, which does not divide it"
        _expect(k >= 1 and side % k == 0, told)
    if step.rho.startswith("phase:"):
        _number(step.rho.removeprefix("phase:"), "the power of a phase")
    else:
        told = f"rho must be modulus, norm, none or phase:p; got {_quoted(step.rho)}"
        _expect(step.rho in ("modulus", "norm", "none"), told)
    _expect(source.level < limits.LEVELS, f"more than {limits.LEVELS} wavelets in a row")
    grid = tuple(side // k for side, k in zip(source.grid, step.fold, strict=True))
    digits = source.digits if step.rho == "norm" else (*source.digits, filters.count)
    return Planes(grid, digits, step.rho in ("modulus", "norm"), source.level + 1)


def _groups(padded: tuple[int, ...], sets: Sequence[Set], step: Group, made: _Made) -> Planes:
    sources = [_source(padded, source, made) for source in step.sources]
    _expect(sources and X not in step.sources, "its sources must be steps")
    for other, planes in zip(step.sources, sources, strict=True):
        told = (
            f"its sources {step.sources[0]} and {other} have planes of "
            f"{_by(sources[0].grid)} and {_by(planes.grid)}"
        )
        _expect(planes.grid == sources[0].grid, told)
    count = sum(planes.count for planes in sources)
    length, entries = step.length, len(step.table)
    told = f"the length of a group must be an integer from 1 to {limits.FILTERS}; got {length}"
    _expect(1 <= length <= limits.FILTERS, told)
    told = f"its table must have whole groups of {length} planes; got {entries}"
    _expect(entries and entries % length == 0, told)
    told = f"a plane must be an integer from 0 to {count - 1}"
    _expect(all(e is None or -count <= e < count for e in step.table), told)
    filters = _set_of(sets, step.set)
    told = f"its set must be for an axis of {length} to {limits.FILTERS} points"
    _expect(len(filters.sides) == 1 and length <= filters.sides[0] <= limits.FILTERS, told)
    told = f"the places that are one must be an integer from 1 to {length}; got {step.every}"
    _expect(1 <= step.every <= length, told)
    told = f"it keeps every {step.every}th of {length} places, which does not divide them"
    _expect(filters.sides[0] > length or length % step.every == 0, told)
    told = f"rho must be modulus or none; got {_quoted(step.rho)}"
    _expect(step.rho in ("modulus", "none"), told)
    digits = (step.groups, filters.count, -(-length // step.every))
    level = max(planes.level for planes in sources)
    return Planes(sources[0].grid, digits, step.rho == "modulus", level)


def _outputs(matrices: Sequence[Matrix], step: Average, grid: tuple[int, ...]) -> tuple[int, ...]:
    """The numbers that a plane becomes."""
    if not step.matrices:
        return (len(step.powers) or 1,)
    _expect(len(step.matrices) == len(grid), "it must have a matrix for each axis")
    outputs = []
    for axis, (index, side) in enumerate(zip(step.matrices, grid, strict=True)):
        _expect(0 <= index < len(matrices), f"there is no matrix {index}")
        inputs = matrices[index].inputs
        told = f"matrix {index} takes {inputs} points, and axis {axis} has {side}"
        _expect(inputs == side, told)
        outputs.append(matrices[index].outputs)
    return tuple(outputs)


def _check_average(p: Program, step: Average, made: _Made) -> None:
    source = _source(p.padded, step.source, made, real=True)
    _expect(not (step.matrices and step.powers), "it must go on with by, mean or power")
    _expect(len(step.powers) <= 64, "it must have from 1 to 64 powers")
    numbers = _product("numbers of a plane", *_outputs(p.matrices, step, source.grid))
    told = f"a plane of {numbers} numbers does not fill channels of {p.unit}"
    _expect(numbers % p.unit == 0, told)
    told = (
        f"it must say where {len(source.digits)} digits of a plane's number lead, as in 1+8+1; "
        f"got {len(step.strides)}"
    )
    _expect(len(step.strides) == len(source.digits), told)
    _expect(min((step.channel, *step.strides)) >= 0, "channels and strides are not negative")
    reach = sum(n * (digit - 1) for n, digit in zip(step.strides, source.digits, strict=True))
    _check_last(p, step.channel + reach + numbers // p.unit - 1)


def _check_last(p: Program, channel: int) -> None:
    _expect(channel < p.channels, f"it writes channel {channel}, and there are {p.channels}")


def _check_pair(p: Program, step: Pair, made: _Made) -> None:
    a, b = (_source(p.padded, source, made) for source in (step.source, step.other))
    if step.pairs is None:
        told = f"it has more than {limits.PLANES} pairs"
        _expect(a.count * b.count <= limits.PLANES, told)
    else:
        _expect(step.pairs, "it must have pairs, as in 0:3")
        for pair in step.pairs:
            for plane, planes in zip(pair, (a, b), strict=True):
                told = f"a plane must be an integer from 0 to {planes.count - 1}; got {plane}"
                _expect(0 <= plane < planes.count, told)
    grid = tuple(map(min, zip(a.grid, b.grid, strict=True)))
    if step.weight is None:
        _expect(a.grid == b.grid, f"its planes are of {_by(a.grid)} and of {_by(b.grid)}")
    else:
        told = f"its set {step.weight} is not for planes of {_by(grid)}"
        _expect(_set_of(p.sets, step.weight).sides == grid, told)
    for by in step.shifts:
        told = (
            f"a shift must have {p.rank} places, as in 0,3; got {_quoted(','.join(map(str, by)))}"
        )
        _expect(len(by) == p.rank, told)
        for place, side in zip(by, grid, strict=True):
            told = f"a shift must be an integer from 0 to {side - 1}; got {place}"
            _expect(0 <= place < side, told)
    _expect(p.unit == 1, f"means of products need channels of one number; got {p.unit}")
    _expect(step.channel >= 0, f"a channel must not be negative; got {step.channel}")
    _check_last(p, step.channel + _product("its means", *_means(p, step, made)) - 1)


def _means(p: Program | Builder, step: Pair, made: _Made) -> tuple[int, int, int, int]:
    """Pairs, filters, shifts, parts."""
    a, b = (_source(_padded(p.axes), source, made) for source in (step.source, step.other))
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
            counts.append(np.array([prod(_means(p, step, p.planes))]))
    start, count = np.concatenate(starts), np.concatenate(counts)
    order = np.argsort(start, kind="stable")
    ends = np.concatenate([[0], start[order] + count[order]])
    starts_and_end = np.concatenate([start[order], [p.channels]])
    if (wrong := np.flatnonzero(starts_and_end != ends)).size:
        at, end = int(starts_and_end[wrong[0]]), int(ends[wrong[0]])
        told = (
            f"channel {at} is written twice" if at < end else f"channel {end} is written by no step"
        )
        raise _Refused(told)


# --- text -------------------------------------------------------------------------------------


@torch.compiler.assume_constant_result
def parse(text: str) -> Program:
    """The program of a text. An error, a ValueError, names the statement that cannot be.

    Example:
        >>> program = parse("x 4 6;S 1;average x mean at 0")
        >>> program.padded, program.channels, program.text
        ((4, 6), 1, 'x 4 6;S 1;average x mean at 0')
    """
    return _parse(text)


@lru_cache(maxsize=64)
def _parse(text: str) -> Program:
    try:
        told = f"a program must have at most {limits.TEXT} characters; got {len(text)}"
        _expect(len(text) <= limits.TEXT, told)
        return _Reader(text).program()
    except _Refused as refused:
        raise ArgumentError(str(refused)) from None


class _Reader:
    def __init__(self, text: str) -> None:
        self.axes: list[Axis] = []
        self.result: tuple[int, ...] = ()
        self.sets: list[Set] = []
        self.matrices: list[Matrix] = []
        self.steps: list[Step] = []
        steps: dict[str, Callable[[], Step]] = {
            "wavelet": self._wavelet,
            "group": self._group,
            "average": self._average,
            "pair": self._pair,
        }
        for statement in text.split(";"):
            self.words = statement.split(" ")
            verb = self._word("a statement")
            step = steps.get(verb)
            where = (
                f"step {len(self.steps)} ({verb})" if step else f"statement {_quoted(statement)}"
            )
            try:
                if step is None:
                    self._declare(verb)
                else:
                    _expect(self.axes and self.result, "the signal and the result must come first")
                    self.steps.append(step())
                told = f"nothing must follow, but there is {_quoted(''.join(self.words[:1]))}"
                _expect(not self.words, told)
            except _Refused as refused:
                raise _Refused(f"{where}: {refused}") from None
        _expect(self.axes, "a program must begin with the signal, as in 'x 32 32'")
        _expect(self.result, "a program must say what results, as in 'S 81 8 8'")

    def program(self) -> Program:
        tables = tuple(self.sets), tuple(self.matrices), tuple(self.steps)
        return Program(tuple(self.axes), self.result[0], self.result[1:], *tables)

    def _word(self, what: str) -> str:
        _expect(self.words, f"it ends where {what} should follow")
        return self.words.pop(0)

    def _accept(self, expected: str) -> bool:
        if here := self.words[:1] == [expected]:
            del self.words[0]
        return here

    def _integer(self, what: str, least: int, most: int) -> int:
        return _integer(self._word(what), least, most, what)

    def _rest(self, what: str, most: int) -> list[int]:
        words, self.words = self.words, []
        return [_integer(word, 1, most, what) for word in words]

    def _declare(self, verb: str) -> None:
        if verb == "x":
            _expect(not self.axes, "the signal is there already")
            self.axes.append(_axis(self._word("an axis")))
            self.axes += map(_axis, self.words)
            self.words = []
            return
        _expect(self.axes, "a program must begin with the signal, as in 'x 32 32'")
        if verb == "S":
            _expect(not self.result, "the result is there already")
            channels = self._integer("channels", 1, limits.NUMBERS)
            self.result = (channels, *self._rest("a side", limits.SIDE))
            return
        _expect(not self.steps, "it must come before the steps")
        if verb == "psi":
            count = self._integer("filters", 1, limits.FILTERS)
            self.sets.append(Set(count, tuple(self._rest("a side", limits.SIDE))))
            _expect(self.sets[-1].sides, "it ends where a side should follow")
        elif verb == "phi":
            sides = [self._integer(what, 1, limits.SIDE) for what in ("outputs", "inputs")]
            self.matrices.append(Matrix(*sides))
        else:
            raise _Refused("it must begin with x, S, psi, phi, wavelet, group, average or pair")

    def _source(self) -> int:
        word = self._word("a source")
        return X if word == "x" else _integer(word, 0, limits.STEPS, "a source")

    def _set(self) -> int:
        return self._integer("a set", 0, limits.STEPS)

    def _wavelet(self) -> Wavelet:
        source, index, fold, crop = self._source(), self._set(), [], []
        for _ in self.axes:
            how = self._word("/ or < for each axis")
            told = f"each axis must be folded, as in /2, or cropped, as in <2; got {_quoted(how)}"
            _expect(how[:1] in ("/", "<"), told)
            fold.append(_integer(how[1:], 1, limits.SIDE, "a fold"))
            crop.append(how[0] == "<" and fold[-1] > 1)
        rho = self._word("modulus, norm, none or phase:p")
        return Wavelet(source, index, tuple(fold), rho, tuple(crop) if any(crop) else ())

    def _group(self) -> Group:
        names = self._word("the sources").split(",")
        sources = tuple(_integer(name, 0, limits.STEPS, "a source") for name in names)
        sizes = self._word("the size of its table").split("x")
        _expect(len(sizes) == 2, "the size of its table must be groups x length, as in 2x4")
        groups = _integer(sizes[0], 1, limits.PLANES, "groups")
        length = _integer(sizes[1], 1, limits.FILTERS, "the length of a group")
        entries = self._word("its table").split(",")
        told = f"its table must have {groups * length} planes; got {len(entries)}"
        _expect(len(entries) == groups * length, told)
        table = tuple(None if entry == "-" else _entry(entry) for entry in entries)
        index = self._set()
        every = self._word("/ and how many places are one")
        told = f"it must keep every s-th place, as in /2; got {_quoted(every)}"
        _expect(every[:1] == "/", told)
        kept = _integer(every[1:], 1, limits.FILTERS, "the places that are one")
        return Group(sources, length, table, index, kept, self._word("modulus or none"))

    def _average(self) -> Average:
        source = self._source()
        matrices: list[int] = []
        powers: list[float] = []
        if self._accept("power"):
            while self.words and self.words[0] != "at":
                powers.append(_number(self._word("q"), "a power"))
            _expect(1 <= len(powers) <= 64, "it must have from 1 to 64 powers")
        elif not self._accept("mean"):
            _expect(self._accept("by"), "it must go on with by, mean or power")
            matrices = [self._integer("a matrix", 0, limits.STEPS) for _ in self.axes]
        _expect(self._accept("at"), "it must go on with at and a channel")
        places = self._word("a channel").split("+")
        at, *strides = (_integer(n, 0, limits.NUMBERS, "a channel") for n in places)
        return Average(source, tuple(matrices), tuple(powers), at, tuple(strides))

    def _pair(self) -> Pair:
        source, other, pairs = self._source(), self._source(), self._word("pairs of planes")
        listed = None if pairs == "all" else tuple(map(_pair, pairs.split(",")))
        weight = self._set() if self._accept("weight") else None
        shifts: list[tuple[int, ...]] = []
        if self._accept("shift"):
            for entry in self._word("shifts").split("/"):
                places = entry.split(",")
                shifts.append(tuple(_integer(n, 0, limits.SIDE, "a shift") for n in places))
        imaginary = self._accept("complex")
        _expect(self._accept("at"), "it must go on with at and a channel")
        at = self._integer("a channel", 0, limits.NUMBERS)
        return Pair(source, other, listed, weight, tuple(shifts), imaginary, at)


def _axis(word: str) -> Axis:
    letter = next((c for c in word if c in PADDING), "")
    size, _, margins = word.partition(letter) if letter else (word, "", "0+0")
    before, plus, after = margins.partition("+")
    told = f"padding must be before+after, as in 32r4+4; got {_quoted(word)}"
    _expect(plus and "+" not in after, told)
    side = _integer(size, 1, limits.SIDE, "a side")
    return Axis(side, letter, *(_integer(n, 0, limits.SIDE, "padding") for n in (before, after)))


def _entry(word: str) -> int:
    plane = _integer(word.removeprefix("~"), 0, limits.PLANES * 8, "a plane")
    return ~plane if word.startswith("~") else plane


def _pair(word: str) -> tuple[int, int]:
    two = word.split(":")
    _expect(len(two) == 2, f"a pair must be two planes, as in 0:3; got {_quoted(word)}")
    a, b = (_integer(n, 0, limits.PLANES, "a plane") for n in two)
    return a, b


# --- builders ---------------------------------------------------------------------------------


class Builder:
    """Makes a program step by step. Channels are laid out by :meth:`build`: those of the signal,
    then paths of one wavelet, of two, …, each sorted by their filters in the order of the steps;
    then, one step after the other, what comes of groups, and the pairs.

    Example: means of a signal of 16 samples, padded to 32, and of two orders of wavelets
        >>> b = Builder(Axis(16, "r", 8, 8))
        >>> b.mean(X)
        >>> for j in (0, 1):
        ...     U = b.wavelet(X, b.set(1, 32), fold=2**j)
        ...     b.mean(U)
        >>> b.mean(b.wavelet(1, 1, fold=2))
        >>> b.build().paths
        ((), ((0, 0),), ((1, 0),), ((0, 0), (1, 0)))
    """

    def __init__(self, *axes: int | Axis) -> None:
        self.axes = tuple(a if isinstance(a, Axis) else Axis(a) for a in axes)
        self.sets: list[Set] = []
        self.matrices: list[Matrix] = []
        self.steps: list[Step] = []
        self._planes: list[Planes | None] = []

    def grid(self, source: int) -> tuple[int, ...]:
        """Sides of the planes of a step, or of the padded signal."""
        return self._of(source).grid

    def set(self, count: int, *sides: int) -> int:
        """A set of filters on a grid; returns its number."""
        self.sets.append(Set(count, sides))
        return len(self.sets) - 1

    def matrix(self, outputs: int, inputs: int) -> int:
        """A low-pass of one axis; returns its number."""
        self.matrices.append(Matrix(outputs, inputs))
        return len(self.matrices) - 1

    def wavelet(
        self,
        source: int,
        set: int,
        fold: int | Sequence[int] = 1,
        rho: str = "modulus",
        crop: bool | Sequence[bool] = False,
    ) -> int:
        """A :class:`Wavelet` step, folded or cropped alike along all axes or as it is said for
        each; returns its number."""
        rank = len(self.axes)
        folds = (fold,) * rank if isinstance(fold, int) else tuple(fold)
        crops = (crop,) * rank if isinstance(crop, bool) else tuple(crop)
        return self._add(Wavelet(source, set, folds, rho, crops if any(crops) else ()))

    def group(
        self,
        sources: Sequence[int],
        table: Sequence[Sequence[int | None]],
        set: int,
        every: int = 1,
        rho: str = "modulus",
    ) -> int:
        """A :class:`Group` step of a table ``[groups][length]``; returns its number."""
        entries = tuple(entry for row in table for entry in row)
        return self._add(Group(tuple(sources), len(table[0]), entries, set, every, rho))

    def average(self, source: int, *matrices: int) -> None:
        """Low-pass, one matrix for each axis."""
        self._add(Average(source, matrices))

    def mean(self, source: int) -> None:
        """The mean over all points."""
        self._add(Average(source))

    def powers(self, source: int, *powers: float) -> None:
        """Sums over all points of these powers."""
        self._add(Average(source, (), powers))

    def pair(
        self,
        source: int,
        other: int,
        pairs: Sequence[tuple[int, int]] | None = None,
        weight: int | None = None,
        shifts: Sequence[Sequence[int]] = (),
        imaginary: bool = False,
    ) -> None:
        """A :class:`Pair` step."""
        listed = None if pairs is None else tuple(pairs)
        self._add(Pair(source, other, listed, weight, tuple(map(tuple, shifts)), imaginary))

    def _of(self, source: int) -> Planes:
        return _source(_padded(self.axes), source, self._planes)

    def _add(self, step: Step) -> int:
        planes = None
        if isinstance(step, Wavelet | Group):
            try:
                planes = _planes_of(_padded(self.axes), self.sets, step, self._planes)
            except _Refused as refused:
                told = f"step {len(self.steps)} ({step.verb}): {refused}"
                raise ArgumentError(told) from None
        self._planes.append(planes)
        self.steps.append(step)
        return len(self.steps) - 1

    def build(self, *sides: int) -> Program:
        """The program, of whose channels each has these sides."""
        try:
            channels, steps = _laid_out(self, prod(sides))
        except _Refused as refused:
            raise ArgumentError(str(refused)) from None
        tables = tuple(self.sets), tuple(self.matrices), tuple(steps)
        return Program(self.axes, channels, sides, *tables)


def _laid_out(b: Builder, unit: int) -> tuple[int, list[Step]]:
    """The number of channels, and the steps with theirs."""
    steps, channels = list(b.steps), 0
    children: dict[int, list[int]] = {}
    for i, step in enumerate(steps):
        if isinstance(step, Wavelet):
            children.setdefault(step.source, []).append(i)

    def filters(i: int) -> int:
        step = steps[i]
        return 1 if not isinstance(step, Wavelet) or step.rho == "norm" else b.sets[step.set].count

    widths = {  # channels of a plane, by source
        step.source: prod(_outputs(b.matrices, step, b.grid(step.source))) // unit
        for step in steps
        if isinstance(step, Average)
    }

    @cache
    def below(source: int, levels: int) -> int:
        """Channels of all paths so many wavelets longer, of one plane."""
        if levels == 0:
            return widths.get(source, 0)
        return sum(filters(i) * below(i, levels - 1) for i in children.get(source, ()))

    @cache
    def before(i: int, levels: int) -> int:
        """Channels of those paths that take another step where they would take this one."""
        step = steps[i]
        siblings = children[step.source] if isinstance(step, Wavelet) else []
        return sum(filters(j) * below(j, levels) for j in siblings[: siblings.index(i)])

    starts = [0]
    for levels in range(limits.LEVELS + 1):
        starts.append(starts[-1] + below(X, levels))
    channels = starts[-1]
    for i, step in enumerate(steps):
        if isinstance(step, Pair):
            steps[i] = replace(step, channel=channels)
            channels += prod(_means(b, step, b._planes))
        if not isinstance(step, Average):
            continue
        strides: tuple[int, ...] = ()
        at, left, source = 0, 0, step.source
        while source != X and isinstance(wavelet := steps[source], Wavelet):
            at += before(source, left)
            if wavelet.rho != "norm":
                strides = (below(source, left), *strides)
            left, source = left + 1, wavelet.source
        if source == X:
            at += starts[left]
            steps[i] = replace(step, channel=at, strides=strides)
        else:  # planes in order
            digits, width = b._of(step.source).digits, widths[step.source]
            strides = tuple(width * prod(digits[d + 1 :]) for d in range(len(digits)))
            steps[i] = replace(step, channel=channels, strides=strides)
            channels += width * prod(digits)
    return channels, steps


# --- transforms -------------------------------------------------------------------------------


@torch.compiler.assume_constant_result
def images(J: int, L: int, max_order: int, M: int, N: int, pre_pad: bool = False) -> Program:
    """The cascade of images ``[M, N]`` along scales that increase, to any order: channels of each
    order sorted by their wavelets ``(n1, n2, …)``, ``n = j L + theta``.

    Sets of filters are those of :func:`wavelets_of_images`; matrices are the low-pass of each
    resolution, ``P_0 [m, Mp], Q_0 [n, Np], P_1 [m, Mp / 2], Q_1, …``.

    Example:
        >>> images(J=3, L=4, max_order=3, M=32, N=32).channels
        125
    """
    return _images(int(J), int(L), int(max_order), int(M), int(N), bool(pre_pad))


def wavelets_of_images(J: int, max_order: int) -> Iterator[tuple[int, int]]:
    """Pairs ``(res, j)`` of the sets in use: all scales at resolution 0, then, for higher orders,
    those above ``j1`` at resolution ``j1``."""
    if max_order > 0:
        yield from ((0, j) for j in range(J))
    if max_order > 1:
        yield from ((res, j) for res in range(1, J) for j in range(res + 1, J))


@lru_cache(maxsize=64)
def _images(J: int, L: int, max_order: int, M: int, N: int, pre_pad: bool) -> Program:
    def axis(size: int) -> Axis:
        if pre_pad:
            return Axis(size)
        surplus = (((size >> J) + 2) << J) - size
        return Axis(size, "r", surplus // 2, surplus - surplus // 2)

    b = Builder(axis(M), axis(N))
    sides = _padded(b.axes)
    output = [(side >> J) - 2 for side in sides]
    sets = {
        (res, j): b.set(L, *(side >> res for side in sides))
        for res, j in wavelets_of_images(J, max_order)
    }
    lowpass = [
        [b.matrix(m, side >> res) for m, side in zip(output, sides, strict=True)]
        for res in range(J)
    ]
    b.average(X, *lowpass[0])
    layer = [(X, -1)]
    for _ in range(max_order):
        longer = []
        for source, last in layer:
            res = max(last, 0)
            for j in range(last + 1, J):
                U = b.wavelet(source, sets[res, j], 1 << (j - res))
                b.average(U, *lowpass[j])
                longer.append((U, j))
        layer = longer
    return b.build(*output)
