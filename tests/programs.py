"""Programs and their filters: random ones, of every kind of step and signals of one to three axes,
and cascades of signals of one axis and of images to the third order."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from scatcuda import banks, limits
from scatcuda.program import Axis, Builder, Program, X, images, wavelets_of_images
from scatcuda.program.packing import Packed, pack_program


@dataclass
class _Step:
    digits: list[int]  # ranges of the digits of a plane's number; [] of the signal
    grid: tuple[int, ...]
    real: bool
    level: int
    wavelet: bool = True  # or the signal

    @property
    def planes(self) -> int:
        return math.prod(self.digits)

    @property
    def gathered(self) -> bool:
        """Whether there is room for all of a signal's."""
        return 2 * self.planes * math.prod(self.grid) <= 2**40


@dataclass
class _Writer:
    """Writes a program step by step. ``large`` ones are as large as may be, and nobody could run
    them."""

    rng: random.Random
    large: bool
    sets: list[str] = field(default_factory=list)
    matrices: list[str] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)
    planes: dict[str, _Step] = field(default_factory=dict)  # by what sources are called
    channels: int = 0
    outputs: tuple[int, ...] | None = None  # of every plane; None: of each what it likes

    def size(self, small: int, large: int) -> int:
        """From 1 to a limit, the smaller ones more often."""
        most = large if self.large else small
        while most > 1 and self.rng.random() < 0.4:
            most = max(1, most // self.rng.randint(2, 16 if self.large else 3))
        return self.rng.randint(1, most)

    def axis(self, most: int) -> tuple[str, int]:
        """The words for an axis and its padded side, which often can be folded."""
        unit = min(2 ** self.rng.randint(0, 14 if self.large else 3), most)
        side = unit * self.size(max(1, min(24, most) // unit), min(2**24, most) // unit)
        how = self.rng.choice("-rszp")
        before, after = (self.rng.randint(0, side // 3) for _ in "ab")
        size = side - before - after
        if how == "-" or (how == "r" and max(before, after) > 2 * size - 2):
            return str(side), side
        return f"{size}{how}{before}+{after}", side

    def filters(self, small: int, large: int, grid: tuple[int, ...]) -> int:
        """How many, for which there is room in a table."""
        room = 2**40 // math.prod(grid)
        return min(self.size(small, large), room // 16 * 16 or room // 8 * 8 or 4)

    def set(self, count: int, *grid: int) -> int:
        return self.numbered(self.sets, f"psi {count} {_words(grid)}")

    def numbered(self, statements: list[str], statement: str) -> int:
        if statement not in statements or self.rng.random() < 0.3:
            statements.append(statement)
        return statements.index(statement) if self.rng.random() < 0.5 else (
            len(statements) - 1 - statements[::-1].index(statement)
        )  # fmt: skip

    def add(self, statement: str, step: _Step | None = None) -> None:
        self.steps.append(statement)
        if step is not None:
            self.planes[str(len(self.steps) - 1)] = step

    def source(self) -> str:
        """Of what gathers planes"""
        return self.rng.choice([n for n, s in self.planes.items() if s.gathered])

    def wavelet(self) -> None:
        name = self.rng.choice([n for n, s in self.planes.items() if s.real and s.wavelet])
        before = self.planes[name]
        count = self.filters(9, 4096, before.grid)
        if before.level == 4 or before.planes * count > (2**20 if self.large else 60):
            return
        index, words, grid = self.set(count, *before.grid), [], []
        for side in before.grid:
            k = self.rng.choice([k for k in (1, 1, 2, 2, 3, 4, 8) if side % k == 0])
            words.append(f"{self.rng.choice('/<')}{k}")
            grid.append(side // k)
        rho = self.rng.choice(["modulus", "modulus", "norm", "none", "phase:2", "phase:0"])
        digits = before.digits if rho == "norm" else [*before.digits, count]
        step = _Step(digits, tuple(grid), rho in ("modulus", "norm"), before.level + 1)
        self.add(f"wavelet {name} {index} {' '.join(words)} {rho}", step)

    def group(self) -> None:
        name = self.source()
        if name == "x":
            return
        grid = self.planes[name].grid
        names = [n for n, s in self.planes.items() if s.grid == grid and s.gathered and n != "x"]
        names = self.rng.sample(names, self.rng.randint(1, len(names)))
        total = sum(self.planes[n].planes for n in names)
        groups, length = self.size(3, 20), self.size(7, 30)
        planes = (f"{self.rng.choice(['', '~'])}{self.rng.randrange(total)}"
                  for _ in range(groups * length))  # fmt: skip
        table = ",".join("-" if self.rng.random() < 0.1 else plane for plane in planes)
        side = length + self.rng.choice([0, 0, 1, 5])
        whole = side > length  # and any step will do
        every = self.rng.choice([s for s in range(1, length + 1) if whole or length % s == 0])
        count = self.size(5, 64)
        rho = self.rng.choice(["modulus", "none", "mean"])
        places = [] if rho == "mean" else [-(-length // every)]
        level = max(self.planes[n].level for n in names)
        made = _Step([groups, count, *places], grid, rho != "none", level, False)
        if made.gathered:
            index = self.set(count, side)
            size = f"{groups}x{length}"
            self.add(f"group {','.join(names)} {size} {table} {index} /{every} {rho}", made)

    def average(self, name: str) -> None:
        step = self.planes[name]
        if step.planes > (2**18 if self.large else 300):
            return
        how = "by" if self.outputs else self.rng.choice(["by", "by", "mean", "power"])
        numbers = 1
        if how == "by":
            sizes = self.outputs or tuple(self.size(min(side, 4), 500) for side in step.grid)
            for size, side in zip(sizes, step.grid, strict=True):
                matrix = f"phi {size} {side}"
                if len(sizes) == 1 and self.rng.random() < 0.5:
                    matrix += f" /{self.size(side, side)}"
                how += f" {self.numbered(self.matrices, matrix)}"
                numbers *= size
        elif how == "power":
            powers = self.rng.choices(["1", "2", "0.5", "3"], k=self.rng.randint(1, 3))
            how += " " + " ".join(powers)
            numbers = len(powers)
        plane = 1 if self.outputs else numbers
        # the digits in any order, the last of it next to each other
        strides, stride = [0] * len(step.digits), plane
        for digit in self.rng.sample(range(len(step.digits)), len(step.digits)):
            strides[digit] = stride
            stride *= step.digits[digit]
        self.add(f"average {name} {how} at " + "+".join(map(str, [self.channels, *strides])))
        self.channels += stride

    def pair(self) -> None:
        first = self.source()
        grid = self.planes[first].grid
        weighted = self.rng.random() < 0.4
        names = [n for n, s in self.planes.items() if s.gathered and (s.grid == grid or (
            weighted and all(b <= a for a, b in zip(grid, s.grid, strict=True))
        ))]  # fmt: skip
        second = self.rng.choice(names)
        a, b = self.planes[first], self.planes[second]
        words, pairs = f"pair {first} {second}", a.planes * b.planes
        if pairs < 30 and self.rng.random() < 0.5:
            words += " all"
        else:
            pairs = self.size(5, 20)
            words += " " + ",".join(
                f"{self.rng.randrange(a.planes)}:{self.rng.randrange(b.planes)}"
                for _ in range(pairs)
            )
        grid = b.grid
        if weighted:
            grid = tuple(self.rng.randint(1 + side // 2, side) for side in grid)
            count = self.filters(5, 64, grid)
            words += f" weight {self.set(count, *grid)}"
            pairs *= count
        if self.rng.random() < 0.4:
            shifts = [
                ",".join(str(self.rng.randrange(side)) for side in grid)
                for _ in range(self.size(3, 20))
            ]
            words += " shift " + "/".join(shifts)
            pairs *= len(shifts)
        if self.rng.random() < 0.5:
            words += " complex"
            pairs *= 2
        self.add(f"{words} at {self.channels}")
        self.channels += pairs

    def text(self) -> str:
        rank = self.rng.randint(1, 3)
        points = 2 ** self.rng.randint(20, 38) if self.large else 1500
        axes = []
        for _ in range(rank):
            axes.append(self.axis(points))
            points //= axes[-1][1]
        self.rng.shuffle(axes)
        self.planes["x"] = _Step([], tuple(side for _, side in axes), True, 0)
        if self.rng.random() < 0.4:
            self.outputs = tuple(self.size(4, 300) for _ in axes)
        for _ in range(self.rng.randint(0, 8)):
            self.rng.choice([self.wavelet, self.wavelet, self.group])()
        last = [n for n, s in self.planes.items() if s.real and self.rng.random() < 0.8] or ["x"]
        for name in self.rng.sample(last, len(last)):
            self.average(name)
        for _ in range(0 if self.outputs else self.rng.randint(0, 2)):
            self.pair()
        sides = self.outputs or ()
        result = f"S {self.channels}" + "".join(f" {side}" for side in sides)
        signal = "x " + " ".join(words for words, _ in axes)
        return ";".join([signal, result, *self.sets, *self.matrices, *self.steps])


def _words(numbers: tuple[int, ...]) -> str:
    return " ".join(map(str, numbers))


def random_program(rng: random.Random, large: bool = False) -> str:
    """One that is a program."""
    while True:
        writer = _Writer(rng, large)
        text = writer.text()
        if 0 < writer.channels * math.prod(writer.outputs or ()) <= (2**40 if large else 5000):
            return text


HOSTILE = [0, 1, 2, 3, 24, 25, 4096, 4097, 2**20, 2**20 + 1, 2**24, 2**24 + 1, 2**31, 2**40, 2**63,
           -1, 10**18, 10**30]  # fmt: skip


def mutated(rng: random.Random, text: str) -> str:
    """With one thing changed: a number, a word, a statement, or a character."""
    choice = rng.randrange(6)
    statements = text.split(";")
    here = rng.randrange(len(statements))
    if choice == 0:
        statements.insert(here, rng.choice(statements))
    elif choice == 1:
        del statements[here]
    elif choice == 2:
        words = statements[here].split(" ")
        words[rng.randrange(len(words))] = rng.choice(rng.choice(statements).split(" "))
        statements[here] = " ".join(words)
    elif choice == 3:
        at = rng.randrange(len(text) + 1)
        letter = rng.choice("0123456789 ;:,+-~/<x.rszpSi\0é")
        return text[:at] + letter + text[at + rng.randrange(2) :]
    elif numbers := list(re.finditer("[0-9]+", text)):
        number = rng.choice(numbers)
        near = max(0, int(number[0]) + rng.randint(-2, 2))
        value = rng.choice(HOSTILE) if rng.random() < 0.5 else near
        return f"{text[: number.start()]}{value}{text[number.end() :]}"
    return ";".join(statements)


def write_programs(path: Path, rng: random.Random, count: int, large: bool = False) -> Path:
    """So many, one a line, for ``native/programs.h``."""
    path.write_text("".join(f"{random_program(rng, large)}\n" for _ in range(count)))
    return path


def random_tables(text: str, seed: int, dtype: torch.dtype = torch.float64) -> Packed:
    """Tables for a program, whose filters keep boxes of any size and place, or nothing. No number
    is 0 that is kept."""
    rng = np.random.default_rng(seed)
    psi, boxes, phi, bands, first = [], [], [], [], 0
    for kind, *numbers in (statement.split() for statement in text.split(";")):
        if kind == "psi":
            count, *sides = map(int, numbers)
            lanes = 4 if count <= 4 else 8 if count <= 8 else -(-count // 16) * 16
            gaps = np.sort(rng.integers(0, np.array(sides) + 1, (2, len(sides))), axis=0)
            boxes += [first, *gaps.T.ravel()]
            kept = int(np.prod(np.array(sides) - gaps[1] + gaps[0]))
            table = np.zeros((kept, lanes))
            table[:, :count] = rng.normal(size=(kept, count)) / math.prod(sides)
            psi.append(table.ravel())
            first += table.size
        elif kind == "phi":
            outputs, inputs = map(int, numbers[:2])
            every = int(numbers[2][1:]) if numbers[2:] else 0
            rows = 1 if every else outputs
            lengths = rng.integers(0, inputs + 1, rows)
            low = rng.integers(-inputs, inputs + 1, rows)
            inside = (np.arange(inputs) - low[:, None]) % inputs < lengths[:, None]
            matrix = rng.normal(size=inside.shape) / inputs * inside
            if every:
                turned = every * (outputs - 1)
                matrix = matrix[0, (np.arange(inputs + turned) - turned) % inputs]
                low = (low + every * np.arange(outputs)) % inputs - rng.choice([0, inputs])
            bands += np.stack([low, low + lengths], 1).ravel().tolist()
            phi.append(matrix.ravel())
    return Packed(
        torch.from_numpy(np.concatenate([np.zeros(0), *psi])).to(dtype),
        torch.tensor(boxes, dtype=torch.int64),
        torch.from_numpy(np.concatenate([np.zeros(0), *phi])).to(dtype),
        torch.tensor(bands, dtype=torch.int64).reshape(-1, 2),
    )


def of_signals(seed: int, dtype: torch.dtype = torch.float64) -> tuple[Program, Packed]:
    """Of one axis whose sides are powers of two: wavelets to the fourth order, in any band, and
    every kind of average that the CPU engine's walk of signals does."""
    rng = random.Random(seed)
    side = 2 ** rng.randint(3, 11)
    before, after = rng.choice([(0, 0), (side // 4, side // 3), (1, 0)])
    b = Builder(Axis(side - before - after, rng.choice("rszp"), before, after) if before else side)
    average = _averages(b, rng)

    def grow(source: int, level: int, budget: int) -> None:
        for i in range(rng.randint(1, 2)):
            (grid,) = b.grid(source)
            fold = rng.choice([f for f in (1, 2, 4, 8) if grid // f >= 8])
            step = b.wavelet(source, b.set(rng.randint(1, max(1, budget)), grid), fold)
            if i == 0 or rng.random() < 0.7:
                average(step)
            if level < 4 and rng.random() < 0.5:
                grow(step, level + 1, budget // 2)

    if rng.random() < 0.7:
        average(X)
    grow(X, 1, 11)
    program = b.build()
    return program, _narrowed(program, random_tables(program.text, seed, dtype), rng)


def _averages(b: Builder, rng: random.Random) -> Callable[[int], None]:
    """Averages planes: all to as many outputs, by few matrices, or by their means."""
    outputs = rng.choice([0, 1, 3, 8, 13])
    matrices: dict[int, int] = {}

    def average(source: int) -> None:
        (grid,) = b.grid(source)
        if not outputs:
            return b.mean(source)
        if grid not in matrices or rng.random() < 0.2:
            matrices[grid] = b.matrix(outputs, grid, rng.choice([0, 1, 2, 5, grid]))
        b.average(source, matrices[grid])
        return None

    return average


def of_groups(seed: int, dtype: torch.dtype = torch.float64) -> tuple[Program, Packed]:
    """Of one axis as well: planes that wavelets leave complex, of one length whatever they come
    from, gathered in any order along axes of any length, filtered there and averaged."""
    rng = random.Random(seed)
    side = 2 ** rng.randint(4, 12)
    before = rng.choice([0, side // 4])
    b = Builder(Axis(side - 2 * before, rng.choice("rszp"), before, before) if before else side)
    average = _averages(b, rng)

    if rng.random() < 0.7:
        average(X)
    U = []
    for _ in range(rng.randint(1, 3)):
        fold = rng.choice([f for f in (1, 2, 4) if side // f >= 8])
        U.append(b.wavelet(X, b.set(rng.randint(1, 7), side), fold))
        if rng.random() < 0.5:
            average(U[-1])
    along = []
    for _ in range(rng.randint(1, 2)):
        to = min(b.grid(step)[0] for step in U) // rng.choice([1, 1, 2])
        to = max(to, 8)
        Y = [
            b.wavelet(step, b.set(rng.randint(1, 2), b.grid(step)[0]), b.grid(step)[0] // to,
                      "none")
            for step in rng.sample(U, rng.randint(1, len(U)))
        ]  # fmt: skip
        planes = sum(b._of(step).count for step in Y)
        for _ in range(rng.randint(1, 2)):
            every = rng.choice([1, 1, 2, 3])
            length = every * rng.randint(1, 9)
            axis = length + rng.choice([0, 0, 1, 7, 40])
            table = [
                [rng.choice([None, *range(planes)]) for _ in range(length)]
                for _ in range(rng.randint(1, 2))
            ]
            along.append(b.set(rng.choice([1, 2, 3, 5]), axis))
            average(b.group(Y, table, along[-1], every))
    program = b.build()
    packed = random_tables(program.text, seed, dtype)
    for index in along:
        if rng.random() < 0.6:
            _mirror(program, packed, index)
    return program, packed


def _mirror(program: Program, packed: Packed, index: int) -> None:
    """The second filter of a set becomes that of the other spin."""
    several = program.sets[index]
    first, head, tail = packed.psi_support.view(-1, 3)[index].tolist()
    side, lanes = several.sides[0], limits.lanes(several.count)
    length = head + side - tail
    table = packed.psi[first : first + lanes * length].view(length, lanes)
    row = {bin: i for i, bin in enumerate([*range(head), *range(tail, side)])}
    for bin, i in row.items():
        other = row.get(-bin % side)
        if other is None:
            table[i, :2] = 0
        elif several.count > 1:
            table[other, 1] = table[i, 0]


def _narrowed(program: Program, packed: Packed, rng: random.Random) -> Packed:
    """Some filters of a set keep less than the others, or nothing."""
    boxes = packed.psi_support.view(-1, 3).tolist()
    for several, (first, head, tail) in zip(program.sets, boxes, strict=True):
        lanes, length = limits.lanes(several.count), head + several.sides[0] - tail
        table = packed.psi[first : first + lanes * length].view(length, lanes)
        band = [*range(head, length), *range(head)]  # its places in the table, where [0, head) lies
        for f in range(several.count):
            low, high = sorted(rng.randint(0, length) for _ in "ab")
            if rng.random() < 0.6:
                table[band[:low] + band[high:], f] = 0
    return packed


def of_one_axis(dtype: torch.dtype) -> tuple[str, Packed]:
    """Two orders of wavelets of 50 samples."""
    b = Builder(Axis(50, "r", 7, 7))
    psi, matrices = [], []

    def wavelet(source: int, j: int, fold: int) -> int:
        (side,) = b.grid(source)
        away = torch.fft.fftfreq(side).double() * 64 / side - torch.tensor([[0.4], [0.28]]) / 2**j
        psi.append(torch.exp(-((away * 10 * 2**j) ** 2)))
        return b.wavelet(source, b.set(2, side), fold)

    def average(source: int) -> None:
        (side,) = b.grid(source)
        centres = torch.arange(8) * side / 8
        away = (torch.arange(side) - centres[:, None] + side / 2) % side - side / 2
        matrices.append(torch.softmax(-((away.double() * 12 / side) ** 2), 1))
        b.average(source, b.matrix(8, side))

    average(X)
    for j1 in range(3):
        U1 = wavelet(X, j1, 2**j1)
        average(U1)
        for j2 in range(j1 + 1, 3):
            average(wavelet(U1, j2, 2 ** (j2 - j1)))
    program = b.build(8)
    return program.text, pack_program(program, psi, matrices, dtype)


def of_third_order(dtype: torch.dtype) -> tuple[str, Packed]:
    """Images of 24 x 40 pixels, four angles."""
    J, L = 3, 4
    program = images(J, L, 3, 24, 40)
    bank = banks.morlet_bank(program.padded, J, L)
    psi = [banks.crop(bank.psi[j], res) for res, j, _ in wavelets_of_images(J, L, 3)]
    factors = banks.separable_factors(bank.phi)
    matrices = [banks.lowpass_matrix(f, res, J) for res in range(J) for f in factors]
    return program.text, pack_program(program, psi, matrices, dtype)
