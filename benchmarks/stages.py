"""Where the CPU engine's time goes: by stage and by step of a transform of images.

    python -m benchmarks.stages [--shape 224 224] [--J 3] [--L 8] [--batch 4] [--double]
                                [--isa avx512] [--seconds 2] [--json FILE]
    python -m benchmarks.stages --radices

Compiles the engine with its stopwatch (csrc/cpu/stopwatch.h) for one instruction set, the best that
runs here, with the flags of the package (CXX, CXXFLAGS as usual), and runs it on one thread. For
every stage it prints the microseconds of an image, in all and by step (the scales of a path: ``01``
is the second wavelet, of scale 1, on the first, of scale 0), its share of the time, and of what is
known beforehand

    GFLOP/s   of the arithmetic as the textbook counts it: 5 n log2 n a Fourier transform of n
              complex numbers, half of that where two real lines are one, 4 a filter's value, 2 a
              tap of the low-pass
    GB/s      of what a stage must read and write: the filters for every plane they are applied to,
              and the planes that the next stage reads

A stopwatch costs some 20 cycles at each end of a stage: of small images the sum is larger than the
call without it.

``--radices`` prints what a pass of each butterfly takes, which decides how lines are transformed
(``pass_costs`` of csrc/core/fft.h).
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

import scatcuda
from scatcuda import _C, program
from scatcuda.cli.options import integer
from scatcuda.program import Average, Wavelet

ROOT = Path(__file__).resolve().parents[1]
SOURCE = Path(__file__).with_suffix(".cpp")
SOURCES = ("cpu/engine.cpp", "cpu/signals.cpp", "core/program.cpp")
PASSES = ("forward", "backward")


def flags(name: str) -> list[str]:
    """A list of cmake/flags.cmake."""
    text = (ROOT / "cmake/flags.cmake").read_text()
    lists = {
        key: words.split() for key, words in re.findall(r"^set\((\w+)\s*([^)]*)\)", text, re.M)
    }

    def words(key: str) -> Iterator[str]:
        for word in lists[key]:
            inner = re.fullmatch(r"\$\{(\w+)\}", word)
            yield from words(inner[1]) if inner else [word]

    return list(words(name))


def compile_program(folder: Path, isa: str, real: str) -> Path:
    """stages.cpp and the engine of one instruction set and number type."""
    out = folder / "stages"
    command = [*shlex.split(os.environ.get("CXX", "c++")), "-std=c++17", "-O3", "-DNDEBUG"]
    command += ["-Wno-psabi", *flags("SCATCUDA_ENGINE_FLAGS"), *flags(f"SCATCUDA_{isa}")]
    command += ["-DSCATCUDA_STOPWATCH", f"-DSCATCUDA_ISA={isa}", f"-DSCATCUDA_REAL={real}"]
    command += shlex.split(os.environ.get("CXXFLAGS", ""))
    sources = [SOURCE, *(ROOT / "csrc" / name for name in SOURCES)]
    subprocess.run([*command, *map(str, sources), "-o", str(out)], check=True)
    return out


def measure(
    folder: Path, built: Path, scattering: scatcuda.Scattering2D, batch: int, seconds: float
) -> dict[str, Any]:
    """``{pass: {"microseconds": …, "stages": {stage: {step: microseconds}}}}``, of an image; step
    −1 is the signal."""
    packed, text = scattering._packed, scattering._program
    dtype = packed.phi.dtype
    x = torch.randn(batch, *scattering.input_shape, dtype=dtype)
    (folder / "program").write_text(text)
    g = torch.randn_like(scattering(x))
    for name, tensor in {**packed._asdict(), "x": x, "g": g}.items():
        tensor.contiguous().numpy().tofile(folder / name)
    command = [str(built), str(folder), str(batch), str(seconds)]
    lines = subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout
    found: dict[str, Any] = {}
    for line in lines.splitlines():
        first, *rest = line.split()
        if first in PASSES:
            stages: dict[str, dict[int, float]] = defaultdict(dict)
            found[first] = {"microseconds": float(rest[0]), "stages": stages}
        else:
            stages[rest[0]][int(first)] = float(rest[1])
    return found


def known(scattering: scatcuda.Scattering2D) -> dict[str, tuple[float, float]]:
    """``{stage: (operations, bytes)}`` of an image, see above. Backward runs the stages of forward
    as often as that does."""
    p = program.parse(scattering._program)
    packed = scattering._packed
    size = packed.phi.element_size()
    bands = packed.phi_support
    taps_of = [(bands[:, 1] - bands[:, 0])[first : first + m.outputs] for first, m in _rows(p)]
    support = packed.psi_support.flatten().tolist()
    work: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])

    def add(stage: str, flops: float, numbers: float) -> None:
        work[stage][0] += flops
        work[stage][1] += numbers * size

    def transforms(count: float, n: int) -> float:
        return count * 5 * n * math.log2(max(n, 2))

    grids, planes = {-1: p.padded}, {-1: 1}
    averages = {step.source: step for step in p.steps if isinstance(step, Average)}
    children = {step.source for step in p.steps if isinstance(step, Wavelet)}
    for index, step in enumerate(p.steps):
        if not isinstance(step, Wavelet):
            continue
        count, source = p.sets[step.set].count, planes[step.source]
        rows, columns = (a // k for a, k in zip(grids[step.source], step.fold, strict=True))
        grids[index], planes[index] = (rows, columns), source * count
        head, tail, left, right = support[5 * step.set + 1 : 5 * step.set + 5]
        sides = p.sets[step.set].sides
        filters = (sides[0] - tail + head) * (sides[1] - right + left) * count
        made = planes[index] * rows * columns
        for stage in ("fold", "unfold"):
            add(stage, 4 * source * filters, source * filters)
        for stage in ("columns", "columns_adjoint"):
            add(stage, transforms(planes[index] * columns, rows), 2 * made)
        for stage in ("rows", "rows_adjoint"):
            add(stage, transforms(planes[index] * rows, columns), 2 * made)
        if index in averages:
            down, across = averages[index].matrices
            taps, lines = taps_of[across].sum().item(), len(taps_of[across])
            for stage in ("lowpass_rows", "turn"):
                add(stage, 2 * planes[index] * rows * taps, planes[index] * rows * lines)
            taps = taps_of[down].sum().item()
            for stage in ("lowpass_columns", "spread"):
                add(stage, 2 * planes[index] * lines * taps, planes[index] * rows * lines)
        if index in children:
            half = columns // 2 + 1
            for stage in ("rows_forward", "rows_inverse"):
                add(stage, transforms(planes[index] * rows, columns) / 2, 0)
            for stage in ("spectra_columns", "spectra_columns_inverse"):
                add(stage, transforms(planes[index] * half, rows), 2 * planes[index] * rows * half)
    return {stage: (flops, numbers) for stage, (flops, numbers) in work.items()}


def _rows(p: program.Program) -> Iterator[tuple[int, Any]]:
    first = 0
    for matrix in p.matrices:
        yield first, matrix
        first += matrix.outputs


def paths(scattering: scatcuda.Scattering2D) -> dict[int, str]:
    """The scales of a step's paths, ``01`` for example."""
    p = program.parse(scattering._program)
    names, scale = {-1: "image"}, {}
    for index, step in enumerate(p.steps):
        if isinstance(step, Wavelet):
            scale[index] = scale.get(step.source, 0) + int(math.log2(step.fold[0]))
            before = names[step.source] if step.source >= 0 else ""
            names[index] = before + str(scale[index])
    return names


def table(found: dict[str, Any], scattering: scatcuda.Scattering2D) -> str:
    """What was measured, as text."""
    names, work, lines = paths(scattering), known(scattering), []
    for name in PASSES:
        total, stages = found[name]["microseconds"], found[name]["stages"]
        steps = sorted({step for stage in stages.values() for step in stage})
        lines.append(f"{name}: {total:.1f} us an image")
        heads = [f"{names[step]:>8}" for step in steps]
        lines.append(f"{'':24}{''.join(heads)}     all  share  GFLOP/s   GB/s")
        for stage, times in stages.items():
            all_ = sum(times.values())
            cells = "".join(f"{times.get(step, 0):8.1f}" for step in steps)
            flops, numbers = work.get(stage, (0, 0))
            rates = _rates(flops, numbers, all_)
            lines.append(f"{stage:24}{cells}{all_:8.1f} {all_ / total:6.1%}{rates}")
        lines.append("")
    return "\n".join(lines)


def _rates(flops: float, numbers: float, microseconds: float) -> str:
    return "".join(
        f"{rate / microseconds / 1e3:{width}.0f}" if rate else " " * width
        for rate, width in ((flops, 9), (numbers, 7))
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stages", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--shape", type=integer(1), nargs=2, default=(224, 224), metavar=("M", "N"))
    parser.add_argument("--J", type=integer(1), default=3)
    parser.add_argument("--L", type=integer(1), default=8)
    parser.add_argument("--batch", type=integer(1), default=4)
    parser.add_argument("--double", action="store_true", help="float64")
    parser.add_argument("--isa", default=_C.cpu_isa(), help="avx512, avx2 or baseline")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each pass, at least")
    parser.add_argument("--json", type=Path, help="a file for what was measured")
    parser.add_argument("--radices", action="store_true", help="the butterflies instead")
    options = parser.parse_args(arguments)
    if options.isa not in flags("SCATCUDA_ISAS"):
        parser.error(f"--isa must be one of {', '.join(flags('SCATCUDA_ISAS'))}")
    if options.batch < 1:
        parser.error(f"--batch must be at least 1; got {options.batch}")
    try:
        scattering = scatcuda.Scattering2D(options.J, tuple(options.shape), options.L)
    except ValueError as error:
        parser.error(str(error))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        built = compile_program(folder, options.isa, "double" if options.double else "float")
        if options.radices:
            print("radix  ps a point: twiddled, last", flush=True)
            return subprocess.run([str(built), "radices"], check=False).returncode
        if options.double:
            scattering = scattering.double()
        found = measure(folder, built, scattering, options.batch, options.seconds)
    print(table(found, scattering), end="")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
