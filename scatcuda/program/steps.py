"""What programs are made of: axes, tables, and the four kinds of steps, each with its words in a
text."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import ClassVar, TypeAlias

import numpy as np

X = -1  # the signal, where a step could be

# What follows from the fields of a class is a field as well: properties of such classes are beyond
# PyTorch's compiler, which goes through reference.scattering.

#: How a signal is continued, by its letter in a text
PADDING = {"r": "reflect", "s": "symmetric", "z": "zeros", "p": "periodic"}


@dataclass(frozen=True)
class Axis:
    """An axis of the signal: its size, and how and by how much it is padded.

    Example:
        >>> Axis(24, "p", 0, 8).padded, Axis(24, "p", 0, 8).text
        (32, '24p0+8')
    """

    size: int
    pad: str = ""  # a letter of PADDING, or none
    before: int = 0
    after: int = 0
    padded: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "padded", self.before + self.size + self.after)

    @property
    def text(self) -> str:
        return f"{self.size}{self.pad}{self.before}+{self.after}" if self.pad else f"{self.size}"


@dataclass(frozen=True)
class Set:
    """Filters side by side: how many, and the sides of the grid whose spectra they multiply.

    Example:
        >>> Set(8, (40, 40)).text
        'psi 8 40 40'
    """

    count: int
    sides: tuple[int, ...]

    @property
    def text(self) -> str:
        return " ".join(map(str, ("psi", self.count, *self.sides)))


def numbers_of(outputs: int, inputs: int, every: int) -> int:
    """How many numbers of a matrix are kept: rows that are turned lie over each other."""
    return inputs + every * (outputs - 1) if every else inputs * outputs


@dataclass(frozen=True)
class Matrix:
    """A low-pass of one axis. With ``every`` each row is the one before it, turned by so much: of
    them there is one, for signals of one axis.

    Example:
        >>> Matrix(8, 40).numbers, Matrix(8, 40, every=5).numbers
        (320, 75)
    """

    outputs: int
    inputs: int
    every: int = 0

    @property
    def numbers(self) -> int:
        """How many are kept."""
        return numbers_of(self.outputs, self.inputs, self.every)

    @property
    def text(self) -> str:
        return f"phi {self.outputs} {self.inputs}" + (f" /{self.every}" if self.every else "")


@dataclass(frozen=True)
class Wavelet:
    """``rho(IDFT fold(U_hat psi))`` for all filters of a set.

    Example:
        >>> Wavelet(source=X, set=0, fold=(1, 1)).words
        ['x', '0', '/1', '/1', 'modulus']
    """

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
    zero. With ``mean`` for rho a group and a filter make one plane, the mean of the moduli.

    Example:
        >>> Group(sources=(0,), length=4, table=(0, 1, ~0, ~1), set=1).words
        ['0', '1x4', '0,1,~0,~1', '1', '/1', 'modulus']
    """

    verb: ClassVar[str] = "group"
    sources: tuple[int, ...]
    length: int
    table: tuple[int | None, ...]
    set: int
    every: int = 1
    rho: str = "modulus"  # or none, mean
    groups: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "groups", len(self.table) // max(self.length, 1))

    @property
    def words(self) -> list[str]:
        table = ("-" if e is None else f"~{~e}" if e < 0 else f"{e}" for e in self.table)
        size = f"{self.groups}x{self.length}"
        sources = ",".join(map(str, self.sources))
        return [sources, size, ",".join(table), str(self.set), f"/{self.every}", self.rho]


@dataclass(frozen=True)
class Average:
    """Low-pass ``matrices``, one an axis; or sums of ``powers``; or, with neither, the mean.

    Example:
        >>> Average(source=0, matrices=(0, 1), channel=1).words
        ['0', 'by', '0', '1', 'at', '1']
    """

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
    sums over its bins, the lowest ones of both grids, of their Fourier coefficients' products with
    it, shifted by samples of the signal. Channels by pair, filter, shift and part.

    Example:
        >>> Pair(source=0, other=0, pairs=((0, 0), (0, 1))).words
        ['0', '0', '0:0,0:1', 'at', '0']
    """

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
    """What a step makes, or the signal is.

    Example:
        >>> Planes(grid=(40, 40), digits=(8,)).count
        8
    """

    grid: tuple[int, ...]
    digits: tuple[int, ...] = ()  # their ranges
    real: bool = True
    level: int = 0  # wavelets in a row
    group: bool = False
    count: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "count", prod(self.digits))


def _name(source: int) -> str:
    return "x" if source == X else str(source)


def _decimal(value: float) -> str:
    return np.format_float_positional(value, trim="-")


def sources_of(step: Step) -> tuple[int, ...]:
    if isinstance(step, Group):
        return step.sources
    return (step.source, step.other) if isinstance(step, Pair) else (step.source,)
