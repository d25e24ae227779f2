"""What nvcc makes of the kernels in csrc/cuda, architecture by architecture: registers, spills,
shared memory, and how much of a multiprocessor they would fill.

    make kernels        or, in this folder's parent:  python -m native.kernels [file.cu ...]

Nothing here needs a GPU. A warning, a register spilled to memory among them, is an error.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from math import prod
from pathlib import Path

from . import ROOT, recipe, settings

ARCHITECTURES = (75, 80, 86, 90, 100, 120)
FLAGS = [*recipe("SCATCUDA_NVCC_FLAGS"), "-Werror=all-warnings", "-Xptxas=-warn-spills,-Werror"]
FOOTNOTE = (
    "Bytes but for threads (the most a block may have); per architecture the registers a thread\n"
    "and the share of a multiprocessor's threads that they, the static shared memory and the\n"
    "launch bounds (256 threads where there are none) allow. Dynamic shared memory, which the\n"
    "compiler does not know, lowers it."
)


@dataclass(frozen=True)
class Multiprocessor:
    """What the blocks on one multiprocessor share; bytes of shared memory."""

    threads: int
    blocks: int
    shared: int
    reserved: int  # by the driver, of each block's shared memory
    granule: int  # in which shared memory is handed out
    registers: int = 1 << 16


LIMITS = {
    75: Multiprocessor(1024, 16, 64 << 10, 0, 256),
    80: Multiprocessor(2048, 32, 164 << 10, 1 << 10, 128),
    86: Multiprocessor(1536, 16, 100 << 10, 1 << 10, 128),
    90: Multiprocessor(2048, 32, 228 << 10, 1 << 10, 128),
    100: Multiprocessor(2048, 32, 228 << 10, 1 << 10, 128),
    120: Multiprocessor(1536, 24, 100 << 10, 1 << 10, 128),
}


@dataclass(frozen=True)
class Kernel:
    """One kernel compiled for one architecture; bytes but for registers and threads."""

    name: str
    architecture: int
    threads: int | None  # the most a block may have, from __launch_bounds__
    registers: int
    shared: int
    constant: int
    stack: int
    spills: int

    def occupancy(self, threads: int | None = None, dynamic: int = 0) -> float:
        """The share of the multiprocessor's threads that its blocks fill, with `dynamic` bytes of
        shared memory a block on top of the static ones."""
        limits = LIMITS[self.architecture]
        warps = -(-(threads or self.threads or 256) // 32)
        # registers come in units of 256 a warp, from four partitions that hold whole warps each
        in_registers = 4 * (limits.registers // 4 // (-(-self.registers * 32 // 256) * 256))
        fitting = [limits.blocks, limits.threads // 32 // warps, in_registers // warps]
        if shared := self.shared + dynamic + limits.reserved:
            fitting.append(limits.shared // (-(-shared // limits.granule) * limits.granule))
        return min(fitting) * warps * 32 / limits.threads


@dataclass(frozen=True)
class Compiled:
    """A source file for one architecture. Where there are `errors`, warnings and spills included,
    the kernels are those the compiler got to."""

    kernels: list[Kernel]
    errors: str


@cache
def toolkit() -> Path | None:
    """The CUDA toolkit's root, as setup.py finds it."""
    return settings().cuda_home()


@cache
def known_architectures() -> tuple[int, ...]:
    """Those of `ARCHITECTURES` that the toolkit knows: sm_100 and sm_120 came with CUDA 12.8."""
    command = [f"{toolkit()}/bin/nvcc", "--list-gpu-arch"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return tuple(arch for arch in ARCHITECTURES if f"compute_{arch}" in listed)


def sources() -> list[Path]:
    """All but device.cu, which asks what there is and has no kernel."""
    return sorted(p for p in (ROOT / "csrc" / "cuda").rglob("*.cu") if p.stem != "device")


def compile_kernels(
    files: Sequence[Path],
    architectures: Sequence[int],
    flags: Sequence[str] = (),
    folder: Path = ROOT / "build" / "tests" / "kernels",
) -> dict[tuple[Path, int], Compiled]:
    """Compiles the kernels of each file for each architecture, as far as that was not done before,
    and reads the compiler's report on them. The objects stay in `folder`; what the library was
    built with, its warnings as errors, is not compiled again."""
    wanted = [(file, arch) for file in files for arch in architectures]
    compiled = {} if flags else {key: found for key in wanted if (found := built(*key))}
    missing = [key for key in wanted if key not in compiled]
    if missing:
        build_kernels(missing, flags, folder)
    for file, arch in missing:
        (log,) = (folder / f"cmake/CMakeFiles/{target(file, arch)}.dir").rglob("*.o.log")
        told = log.read_text()
        errors = "" if told.endswith("status 0\n") else complaints(told) or "nvcc says nothing"
        if errors:
            errors = f"{file.name} for sm_{arch}:\n{errors}"
        compiled[file, arch] = Compiled(parse(told, ptx_beside(log), arch), errors)
    return compiled


def target(file: Path, arch: int) -> str:
    return f"{file.stem}_{arch}_{zlib.crc32(str(file).encode()):08x}"


def build_kernels(wanted: Sequence[tuple[Path, int]], flags: Sequence[str], folder: Path) -> None:
    """By CMake and the recipe's flags, each by itself: one that fails keeps no other from it."""
    lines = [
        "cmake_minimum_required(VERSION 3.21)",
        "project(scatcuda_kernels LANGUAGES CXX CUDA)",
        f"include({ROOT}/cmake/recipe.cmake)",
        "set(CMAKE_CUDA_STANDARD 17)",
        f"include_directories({ROOT}/csrc)",
        f"add_compile_options({' '.join([*FLAGS, *flags])})",
    ]
    for file, arch in wanted:
        lines += [
            f"add_library({target(file, arch)} OBJECT [==[{file}]==])",
            f"set_target_properties({target(file, arch)} PROPERTIES "
            f"CUDA_ARCHITECTURES {arch}-real CUDA_COMPILER_LAUNCHER {ROOT}/cmake/report.sh)",
        ]
    folder.mkdir(parents=True, exist_ok=True)
    text, lists = "\n".join([*lines, ""]), folder / "CMakeLists.txt"
    if not lists.exists() or lists.read_text() != text:
        lists.write_text(text)
    given = {
        "CMAKE_BUILD_TYPE": "Release",
        "CMAKE_CUDA_COMPILER": f"{toolkit()}/bin/nvcc",
        "CMAKE_CUDA_ARCHITECTURES": "OFF",
    }
    settings().configure(folder, folder / "cmake", given)
    command = [settings().cmake(), "--build", str(folder / "cmake"), "--", "-k", "0"]
    subprocess.run(command, capture_output=True, text=True, check=False)


def ptx_beside(log: Path) -> str:
    """What cmake/report.sh kept beside its log."""
    return "".join(path.read_text() for path in log.with_suffix(".ptx").glob("*.ptx"))


def built(file: Path, architecture: int) -> Compiled | None:
    """What cmake/report.sh kept of the library's build, where it is of these sources."""
    changed = max(path.stat().st_mtime for path in (ROOT / "csrc").rglob("*") if path.is_file())
    try:
        place = file.relative_to(ROOT)
    except ValueError:
        return None
    objects = f"temp.*/CMakeFiles/scatcuda_cuda.dir/{place}.o"
    for log in (ROOT / "build").glob(f"{objects}.log"):
        told = log.read_text()
        if log.stat().st_mtime > changed and f"for 'sm_{architecture}'" in told:
            return Compiled(parse(told, ptx_beside(log), architecture), "")
    return None


def complaints(report: str) -> str:
    """What nvcc and ptxas say but for the figures."""
    facts = ("ptxas info", "    ", "status ")
    return "\n".join(line for line in report.splitlines() if not line.startswith(facts))


def parse(report: str, ptx: str, architecture: int) -> list[Kernel]:
    """Kernels from what `ptxas -v` prints and, for their launch bounds, from the PTX."""
    bounds: dict[str, int] = {}
    for entry in re.finditer(r"\.entry (\w+)\(.*?\{", ptx, re.DOTALL):
        if limit := re.search(r"\.maxntid (\d+)(?:, (\d+), (\d+))?", entry[0]):
            bounds[entry[1]] = prod(int(side or 1) for side in limit.groups())

    def total(unit: str, part: str) -> int:
        return sum(map(int, re.findall(rf"(\d+) {unit}", part)))

    parts = {
        part.partition("'")[0]: part
        for part in report.split("entry function '")[1:]
        if f"for 'sm_{architecture}'" in part.partition("\n")[0]
    }
    return [
        Kernel(
            name=name,
            architecture=architecture,
            threads=bounds.get(mangled),
            registers=total("registers", part),
            shared=total("bytes smem", part),
            constant=total("bytes cmem", part),
            stack=total("bytes stack frame", part),
            spills=total("bytes spill (?:stores|loads)", part),
        )
        for name, (mangled, part) in zip(short_names(list(parts)), parts.items(), strict=True)
    ]


def short_names(mangled: list[str]) -> list[str]:
    """`fused_kernel<40, 8>` for `_ZN8scatcuda…`, where there is a c++filt; the same name else."""
    if not mangled or shutil.which("c++filt") is None:
        return mangled
    done = subprocess.run(["c++filt", *mangled], capture_output=True, text=True, check=True)
    return [shortened(name) for name in done.stdout.splitlines()]


def shortened(name: str) -> str:
    """Without return type, namespaces, casts of template arguments and parameters."""
    name = name.removeprefix("void ").replace("(anonymous namespace)::", "")
    name = re.sub(r"\([^()]*\)(?=[\w-])", "", name)
    return re.sub(r"\b\w+::", "", name.partition("(")[0])


def table(kernels: Iterable[Kernel]) -> str:
    """One line a kernel; for each architecture its registers and the occupancy they allow."""
    by_name: dict[str, dict[int, Kernel]] = {}
    for kernel in kernels:
        by_name.setdefault(kernel.name, {})[kernel.architecture] = kernel
    seen = sorted({arch for versions in by_name.values() for arch in versions})
    rows = [["kernel", "threads", "shared", "constant", "stack", "spills"]]
    rows[0] += [f"sm_{arch}" for arch in seen]
    for name, versions in sorted(by_name.items()):
        first = next(iter(versions.values()))
        row = [name, str(first.threads or "any")]
        for field in ("shared", "constant", "stack", "spills"):
            row.append(str(max(getattr(kernel, field) for kernel in versions.values())))
        for arch in seen:
            kernel = versions.get(arch)
            row.append(f"{kernel.registers:3} {kernel.occupancy():6.1%}" if kernel else "")
        rows.append(row)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            [row[0].ljust(widths[0])]
            + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        )
        for row in rows
    ]
    return "\n".join([*lines, "", FOOTNOTE])


def main(arguments: Sequence[str]) -> int:
    """Compiles for every architecture, prints the table; 1 where anything is wrong."""
    files = [Path(argument).resolve() for argument in arguments] or sources()
    if toolkit() is None or not files:
        missing = "there is no nvcc here; CUDA_HOME can name a toolkit"
        print(f"No kernel is compiled: {'csrc/cuda holds no .cu file' if toolkit() else missing}.")
        return 1
    compiled = compile_kernels(files, known_architectures()).values()
    print(table(kernel for one in compiled for kernel in one.kernels))
    for arch in sorted(set(ARCHITECTURES) - set(known_architectures())):
        print(f"This toolkit is older than sm_{arch}: nothing was compiled for it.")
    errors = [one.errors for one in compiled if one.errors]
    print(*errors, sep="\n")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
