"""Reads programs, which may come from anyone: the twin of ``csrc/core/program.cpp``."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from .. import limits
from ..arguments import ArgumentError
from .checks import Refused, expect, integer, number, quoted
from .steps import PADDING, Average, Axis, Group, Matrix, Pair, Set, Step, Wavelet, X
from .table import Program


def parse(text: str) -> Program:
    """The program of a text. An error, a ValueError, names the statement that cannot be.

    Example:
        >>> program = parse("x 4 6;S 1;average x mean at 0")
        >>> program.padded, program.channels, program.text
        ((4, 6), 1, 'x 4 6;S 1;average x mean at 0')
    """
    # what is remembered of texts is short, whoever sends them
    return _parse(text) if len(text) <= 1 << 16 else _read(text)


def _read(text: str) -> Program:
    try:
        told = f"a program must have at most {limits.TEXT} characters; got {len(text)}"
        expect(len(text) <= limits.TEXT, told)
        return _Reader(text).program()
    except Refused as refused:
        raise ArgumentError(str(refused)) from None


_parse = lru_cache(maxsize=64)(_read)


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
            where = f"step {len(self.steps)} ({verb})" if step else f"statement {quoted(statement)}"
            try:
                if step is None:
                    self._declare(verb)
                else:
                    expect(self.axes and self.result, "the signal and the result must come first")
                    self.steps.append(step())
                told = f"nothing must follow, but there is {quoted(''.join(self.words[:1]))}"
                expect(not self.words, told)
            except Refused as refused:
                raise Refused(f"{where}: {refused}") from None
        expect(self.axes, "a program must begin with the signal, as in 'x 32 32'")
        expect(self.result, "a program must say what results, as in 'S 81 8 8'")

    def program(self) -> Program:
        tables = tuple(self.sets), tuple(self.matrices), tuple(self.steps)
        return Program(tuple(self.axes), self.result[0], self.result[1:], *tables)

    def _word(self, what: str) -> str:
        expect(self.words, f"it ends where {what} should follow")
        return self.words.pop(0)

    def _accept(self, expected: str) -> bool:
        if here := self.words[:1] == [expected]:
            del self.words[0]
        return here

    def _integer(self, what: str, least: int, most: int) -> int:
        return integer(self._word(what), least, most, what)

    def _rest(self, what: str, most: int) -> list[int]:
        words, self.words = self.words, []
        return [integer(word, 1, most, what) for word in words]

    def _declare(self, verb: str) -> None:
        if verb == "x":
            expect(not self.axes, "the signal is there already")
            self.axes.append(_axis(self._word("an axis")))
            self.axes += map(_axis, self.words)
            self.words = []
            return
        expect(self.axes, "a program must begin with the signal, as in 'x 32 32'")
        if verb == "S":
            expect(not self.result, "the result is there already")
            channels = self._integer("channels", 1, limits.NUMBERS)
            self.result = (channels, *self._rest("a side", limits.SIDE))
            return
        expect(not self.steps, "it must come before the steps")
        if verb == "psi":
            count = self._integer("filters", 1, limits.FILTERS)
            self.sets.append(Set(count, tuple(self._rest("a side", limits.SIDE))))
            expect(self.sets[-1].sides, "it ends where a side should follow")
        elif verb == "phi":
            outputs, inputs = (
                self._integer(what, 1, limits.SIDE) for what in ("outputs", "inputs")
            )
            every = 0
            if self.words:
                turn = self._word("/ and by how much a row is turned")
                expect(turn.startswith("/"), f"rows are turned as in /2; got {quoted(turn)}")
                every = integer(turn[1:], 1, limits.SIDE, "by how much a row is turned")
            self.matrices.append(Matrix(outputs, inputs, every))
        else:
            raise Refused("it must begin with x, S, psi, phi, wavelet, group, average or pair")

    def _source(self) -> int:
        word = self._word("a source")
        return X if word == "x" else integer(word, 0, limits.STEPS, "a source")

    def _set(self) -> int:
        return self._integer("a set", 0, limits.STEPS)

    def _wavelet(self) -> Wavelet:
        source, index, fold, crop = self._source(), self._set(), [], []
        for _ in self.axes:
            how = self._word("/ or < for each axis")
            told = f"each axis must be folded, as in /2, or cropped, as in <2; got {quoted(how)}"
            expect(how[:1] in ("/", "<"), told)
            fold.append(integer(how[1:], 1, limits.SIDE, "a fold"))
            crop.append(how[0] == "<" and fold[-1] > 1)
        rho = self._word("modulus, norm, none or phase:p")
        return Wavelet(source, index, tuple(fold), rho, tuple(crop) if any(crop) else ())

    def _group(self) -> Group:
        names = self._word("the sources").split(",")
        sources = tuple(integer(name, 0, limits.STEPS, "a source") for name in names)
        sizes = self._word("the size of its table").split("x")
        expect(len(sizes) == 2, "the size of its table must be groups x length, as in 2x4")
        groups = integer(sizes[0], 1, limits.PLANES, "groups")
        length = integer(sizes[1], 1, limits.FILTERS, "the length of a group")
        entries = self._word("its table").split(",")
        told = f"its table must have {groups * length} planes; got {len(entries)}"
        expect(len(entries) == groups * length, told)
        table = tuple(None if entry == "-" else _entry(entry) for entry in entries)
        index = self._set()
        every = self._word("/ and how many places are one")
        told = f"it must keep every s-th place, as in /2; got {quoted(every)}"
        expect(every[:1] == "/", told)
        kept = integer(every[1:], 1, limits.FILTERS, "the places that are one")
        return Group(sources, length, table, index, kept, self._word("modulus, none or mean"))

    def _average(self) -> Average:
        source = self._source()
        matrices: list[int] = []
        powers: list[float] = []
        if self._accept("power"):
            while self.words and self.words[0] != "at":
                powers.append(number(self._word("q"), "a power"))
            expect(1 <= len(powers) <= 64, "it must have from 1 to 64 powers")
        elif not self._accept("mean"):
            expect(self._accept("by"), "it must go on with by, mean or power")
            matrices = [self._integer("a matrix", 0, limits.STEPS) for _ in self.axes]
        expect(self._accept("at"), "it must go on with at and a channel")
        places = self._word("a channel").split("+")
        at, *strides = (integer(n, 0, limits.NUMBERS, "a channel") for n in places)
        return Average(source, tuple(matrices), tuple(powers), at, tuple(strides))

    def _pair(self) -> Pair:
        source, other, pairs = self._source(), self._source(), self._word("pairs of planes")
        listed = None if pairs == "all" else tuple(map(_pair, pairs.split(",")))
        weight = self._set() if self._accept("weight") else None
        shifts: list[tuple[int, ...]] = []
        if self._accept("shift"):
            for entry in self._word("shifts").split("/"):
                places = entry.split(",")
                shifts.append(tuple(integer(n, 0, limits.SIDE, "a shift") for n in places))
        imaginary = self._accept("complex")
        expect(self._accept("at"), "it must go on with at and a channel")
        at = self._integer("a channel", 0, limits.NUMBERS)
        return Pair(source, other, listed, weight, tuple(shifts), imaginary, at)


def _axis(word: str) -> Axis:
    letter = next((c for c in word if c in PADDING), "")
    size, _, margins = word.partition(letter) if letter else (word, "", "0+0")
    before, plus, after = margins.partition("+")
    told = f"padding must be before+after, as in 32r4+4; got {quoted(word)}"
    expect(plus and "+" not in after, told)
    side = integer(size, 1, limits.SIDE, "a side")
    return Axis(side, letter, *(integer(n, 0, limits.SIDE, "padding") for n in (before, after)))


def _entry(word: str) -> int:
    plane = integer(word.removeprefix("~"), 0, limits.PLANES * 8, "a plane")
    return ~plane if word.startswith("~") else plane


def _pair(word: str) -> tuple[int, int]:
    two = word.split(":")
    expect(len(two) == 2, f"a pair must be two planes, as in 0:3; got {quoted(word)}")
    a, b = (integer(n, 0, limits.PLANES, "a plane") for n in two)
    return a, b
