"""CUDA kernels without a GPU: ``csrc/cuda`` compiled by the host's compiler, driven with NumPy.

``cuda_emulation.h`` stands in for CUDA's header and ``emulator.cpp`` runs each thread as a fiber.
``engine(variant)`` is the engine (``bindings.cpp``), ``planted(variant)`` a set of kernels that are
wrong on purpose. The variants have the same functions:

``plain``
    Fast. Output and workspace hold NaN before a call, shared memory before every block; guard zones
    around all arrays are checked after it.
``race``
    Also reports races and the traffic with global memory (``race.cpp``).
``address``
    AddressSanitizer and UndefinedBehaviorSanitizer. Their library must be loaded first, so the
    module lives in a process of its own; what ends that process is raised here as a RuntimeError
    with the sanitizer's report, and the next call starts another, its device as at first.

Example::

    engine = emulation.engine("race")
    S, report = engine.scattering(x, *bank, program, tier="fused")
    assert not engine.races(report)
    traffic = emulation.traffic(report)["S"]["written"]
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache, partial, wraps
from pathlib import Path
from typing import Any

import native
import pytest

from . import worker

HERE = Path(__file__).resolve().parent

# Butterflies live in small arrays that ASan would keep in memory: its checks of the stack would
# take minutes to compile. Indices of those arrays are constants, and UBSan watches their bounds.
# Three of UBSan's checks are left to ASan, which sees what they are for.
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
SANITIZERS += ["-fno-sanitize=null,object-size,pointer-overflow"]
SANITIZERS += ["--param=asan-stack=0", "--param=asan-instrumentation-with-call-threshold=0"]
DEBUG = ["-g1", "-gdwarf-4"]  # lines, in a form that addr2line reads right
VARIANTS = {
    "plain": [],
    "race": [*DEBUG, "-fsanitize=thread"],
    "address": [*DEBUG, *SANITIZERS],
}
# for parametrize: all of them in `make proof`, the first in `make test` too
SANITIZED = [pytest.param(variant, marks=pytest.mark.proof) for variant in ("address", "race")]
EVERY = ["plain", *SANITIZED]
# of ``native``: they run the ``address`` variant of the engine without Python
PROGRAMS = ("hostile", "sizes")
API = [native.ROOT / f"csrc/api/{name}.cpp" for name in ("plan", "plan_file", "cuda")]
# as on processors other than x86-64
OTHER_PROCESSORS = {"ucontext": ["-DSCATCUDA_EMULATION_UCONTEXT"]}
# The race detector has ThreadSanitizer's compiler pass but not its library.
LINK = {
    "race": [f"-Wl,--wrap={name}" for name in ("memcpy", "memmove", "memset")],
    "address": SANITIZERS,
}


class Emulated:
    """One variant of a module: its functions, and what their reports mean."""

    def __init__(self, variant: str, path: Path) -> None:
        self.path = path
        self._functions = Worker(path) if variant == "address" else worker.load(path)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._functions, name)

    def kernels(self, report: dict[str, Any]) -> list[str]:
        """What was launched, in order: names of kernels, and ``memset``, ``memcpy``, ``fft``."""
        launches = report["launches"]
        places = self._places([ran["place"] for ran in launches if ran["place"] >= 0])
        return [
            places[ran["place"]][0] if ran["place"] >= 0 else ran["operation"] for ran in launches
        ]

    def races(self, report: dict[str, Any]) -> list[str]:
        """A sentence for every pair of places in the source that race."""
        pairs = [(race, race["first"], race["second"]) for race in report["races"]]
        places = self._places([side["place"] for _, *sides in pairs for side in sides])

        def one(side: dict[str, Any]) -> str:
            what = "writes" if side["write"] else "reads"
            where = " in an earlier block" if side["other_block"] else ""
            return f"thread {side['thread']}{where} {what} at {places[side['place']][1]}"

        return [
            f"{race['memory']} + {race['offset']}: {one(first)}, {one(second)}, nothing between "
            f"them ({race['words']} words)"
            for race, first, second in pairs
        ]

    def _places(self, offsets: list[int]) -> dict[int, tuple[str, str]]:
        """Function, and file with line, of offsets in the module."""
        wanted = sorted(set(offsets))
        if not wanted:
            return {}
        command = ["addr2line", "-C", "-f", "-s", "-e", str(self.path), *map(hex, wanted)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        lines = done.stdout.splitlines()
        return dict(zip(wanted, zip(lines[::2], lines[1::2], strict=True), strict=True))


def traffic(report: dict[str, Any], operation: str = "kernel") -> dict[str, Counter[str]]:
    """Bytes moved by all launches of one kind: ``{buffer: {read, written, …}}``, see emulator.h."""
    total: dict[str, Counter[str]] = {}
    for ran in report["launches"]:
        for buffer, moved in ran["traffic"].items() if ran["operation"] == operation else ():
            total.setdefault(buffer, Counter()).update(moved)
    return total


def count(report: dict[str, Any], operation: str = "kernel") -> int:
    """How many launches of one kind there were."""
    return sum(ran["operation"] == operation for ran in report["launches"])


class Worker:
    """The functions of a module in a process of its own, see worker.py."""

    def __init__(self, path: Path) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="scatcuda-")
        self._command = [sys.executable, str(HERE / "worker.py"), str(path)]
        self._process: subprocess.Popen[str] | None = None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return partial(self._call, name)

    def _call(self, function: str, /, *args: Any, **kwargs: Any) -> Any:
        folder = Path(self._folder.name)
        call, answer = folder / "call.npz", folder / "answer.npz"
        worker.write(call, {"function": function, "args": args, "kwargs": kwargs})
        process = self._started()
        assert process.stdin is not None
        assert process.stdout is not None
        print(json.dumps([str(call), str(answer)]), file=process.stdin, flush=True)
        if process.stdout.readline() != "done\n":
            process.wait()
            self._process = None
            raise RuntimeError((folder / "errors").read_text()[-6000:])
        found = worker.read(answer)
        if "error" in found:
            kinds = {"TypeError": TypeError, "ValueError": ValueError}
            raise kinds.get(found["error"], RuntimeError)(found["message"])
        return found["result"]

    def _started(self) -> subprocess.Popen[str]:
        if self._process is None:
            # with the library that throws, which ASan must find before Python loads a user of it
            preload = [_library("libasan.so"), _library("libstdc++.so.6")]
            with open(Path(self._folder.name) / "errors", "w") as errors:
                self._process = subprocess.Popen(
                    self._command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    text=True,
                    env={
                        **os.environ,
                        "LD_PRELOAD": " ".join(preload),
                        # the interpreter keeps much alive on purpose
                        "ASAN_OPTIONS": "detect_leaks=0",
                        "UBSAN_OPTIONS": "print_stacktrace=1",
                    },
                )
        return self._process


def _library(name: str) -> str:
    compiler = os.environ.get("CXX", "g++").split()
    command = [*compiler, f"-print-file-name={name}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def once(make: Callable[[str], Emulated]) -> Callable[[str], Emulated]:
    """Remembers what was made, and what could not be: sources are not compiled again for each test
    that needs them."""

    @cache
    def attempt(variant: str) -> Emulated | BaseException:
        try:
            return make(variant)
        except (Exception, pytest.fail.Exception, pytest.skip.Exception) as error:
            return error

    @wraps(make)
    def result(variant: str) -> Emulated:
        made = attempt(variant)
        if isinstance(made, BaseException):
            raise made
        return made

    return result


@once
def engine(variant: str) -> Emulated:
    """csrc/cuda/engine.cu on the emulated device; functions as in bindings.cpp."""
    return Emulated(variant, compile_engine(variant) / variant / "engine.so")


def compile_engine(*wanted: str, variants: dict[str, list[str]] = VARIANTS) -> Path:
    """All variants, and the programs, where none is named: quicker at once than one after the
    other."""
    core = sorted((native.ROOT / "csrc/core").glob("*.cpp"))
    core += [native.ROOT / "csrc/cuda/fused/match.cpp", *API]
    host = [HERE / "bindings.cpp", HERE / "api.cpp"]
    programs = [native.HERE / f"{name}.cpp" for name in PROGRAMS]
    kernels = [HERE / f"{name}.cpp" for name in ("general", "fused", "signals")]
    return build("engine", kernels, host, variants, *wanted, core=core, programs=programs)


@once
def planted(variant: str) -> Emulated:
    """The kernels of planted.cuh; functions as in planted_bindings.cpp."""
    host, variants = [HERE / "planted_bindings.cpp"], VARIANTS | OTHER_PROCESSORS
    folder = build("planted", [HERE / "planted.cpp"], host, variants)
    return Emulated(variant, folder / variant / "planted.so")


def build(
    name: str,
    kernels: list[Path],
    host: list[Path],
    variants: dict[str, list[str]],
    *wanted: str,
    core: Sequence[Path] = (),
    programs: Sequence[Path] = (),
) -> Path:
    """Compiles ``kernels`` for each variant, and once what runs on the host only: ``core`` and,
    for the modules, ``host``.

    Returns: the directory that holds ``<variant>/<name>.so``, and the programs by their names.
    """
    pybind11 = pytest.importorskip("pybind11", reason="pybind11 drives the emulation")
    includes = [f"-I{native.ROOT / 'csrc'}", f"-I{native.ROOT / 'csrc/include'}", f"-I{HERE}"]
    includes += [f"-isystem{p}" for p in (pybind11.get_include(), sysconfig.get_path("include"))]
    flags = includes
    flags.append('-DSCATCUDA_ARCHS="90"')
    # nvcc's pragmas; arrays that are declared extern are not made by constructors
    device = [*flags, "-DSCATCUDA_EMULATION", "-Wno-unknown-pragmas", "-fno-extern-tls-init"]
    shared, units = (
        [native.Unit(f"host_{source.stem}", source, [*flags, "-O1"]) for source in sources]
        for sources in ((*core, HERE / "driver.cpp", HERE / "no_cpu.cpp"), host)
    )
    scheduler, race = HERE / "emulator.cpp", HERE / "race.cpp"
    made = {}
    for variant, extra in variants.items():
        # the detector watches kernels, not the scheduler that it asks
        watched = [] if variant == "race" else extra
        own = [
            native.Unit(f"{variant}_{source.stem}", source, [*device, "-O1", *extra])
            for source in kernels
        ]
        own.append(native.Unit(f"{variant}_emulator", scheduler, [*device, "-O2", *watched]))
        if variant == "race":
            own.append(native.Unit("race", race, [*flags, "-O2"]))
        link = LINK.get(variant, [])
        made[f"{variant}/{name}.so"] = (units + shared + own, ["-shared", *link])
        for source in programs if variant == "address" else ():
            unit = native.Unit(source.stem, source, [*flags, "-O1", "-DSCATCUDA_EMULATED"])
            made[source.stem] = ([unit, *shared, *own], link)
    targets = [target if target in made else f"{target}/{name}.so" for target in wanted]
    return native.build(f"emulation/{name}", made, *targets)
