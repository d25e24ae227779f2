"""Builds the C++ programs in this folder, by CMake and the recipe of the library itself.

The objects stay under ``build/tests``; only what changed is compiled again.
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import platform
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import ModuleType
from unittest import mock

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Unit:
    """One compiler call, with the flags of the recipe, warnings as errors, and its own."""

    name: str  # of the object
    source: Path
    flags: list[str] = field(default_factory=list)
    #: "dispatched": it knows of the instruction sets; "torch": it includes PyTorch's headers;
    #: "avx2 float": the CPU engine for that instruction set and number type
    kind: str = "plain"


def engine_unit(isa: str, real: str, source: Path, flags: list[str], prefix: str) -> Unit:
    """A source of the CPU engine, or what includes it, for one instruction set and number type."""
    own = [f"-I{ROOT / 'csrc'}", *flags]
    return Unit(f"{prefix}_{isa}_{real}", source, own, f"{isa} {real}")


def engine_units(isa: str, real: str, flags: list[str], prefix: str) -> list[Unit]:
    """All of the CPU engine for one instruction set and number type."""
    return [
        engine_unit(isa, real, ROOT / f"csrc/cpu/{name}.cpp", flags, f"{prefix}_{name}")
        for name in ("signals", "engine")
    ]


@cache
def settings() -> ModuleType:
    """setup.py as a module, without building anything."""
    spec = importlib.util.spec_from_file_location("scatcuda_setup", ROOT / "setup.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with mock.patch("setuptools.setup"):
        spec.loader.exec_module(module)
    return module


@cache
def recipe(name: str) -> list[str]:
    """A list of cmake/flags.cmake."""
    command = [settings().cmake(), f"-DNAME={name}", "-P", str(HERE / "print.cmake")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [word for word in done.stderr.strip().split(";") if word]


def instruction_sets() -> list[str]:
    """Those that the library is compiled for on such a processor."""
    return recipe("SCATCUDA_ISAS") if platform.machine() in ("x86_64", "AMD64") else ["baseline"]


def build(
    folder: str,
    programs: dict[str, tuple[list[Unit], list[str]]],
    *wanted: str,
    processor: str = "",
) -> Path:
    """Compiles and links programs, ``{name: (units, link flags)}``, which may share units: those
    that are ``wanted``, or all. With ``-shared`` they are libraries. For another ``processor`` by
    GNU's compiler for it.

    Returns: the directory that holds the programs, ``build/tests/<folder>``.
    """
    cxx = f"{processor}-linux-gnu-g++" if processor else os.environ.get("CXX", "g++")
    if shutil.which(cxx.split()[0]) is None:
        pytest.skip(f"no compiler: {cxx}")
    target = ROOT / "build" / "tests" / folder
    target.mkdir(parents=True, exist_ok=True)
    with open(target / "lock", "w") as lock:  # of pytest's processes one builds, the others wait
        fcntl.flock(lock, fcntl.LOCK_EX)
        _build(target, programs, wanted, cxx, processor)
    return target


def _build(
    target: Path,
    programs: dict[str, tuple[list[Unit], list[str]]],
    wanted: Sequence[str],
    cxx: str,
    processor: str,
) -> None:
    text = project(target, programs)
    lists = target / "CMakeLists.txt"
    if not lists.exists() or lists.read_text() != text:
        lists.write_text(text)
    given = {
        "CMAKE_BUILD_TYPE": "Release",
        "CMAKE_CXX_COMPILER": ";".join(cxx.split()),
        "CMAKE_PREFIX_PATH": torch.utils.cmake_prefix_path,
    }
    if processor:
        given |= {"CMAKE_SYSTEM_NAME": "Linux", "CMAKE_SYSTEM_PROCESSOR": processor}
    said = settings().configure(target, target / "cmake", given)
    command = [settings().cmake(), "--build", str(target / "cmake"), "-j", str(os.cpu_count() or 1)]
    command += ["--target", *map(_target, wanted or programs)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        told = f"{done.stdout[-4000:]}{done.stderr[-2000:]}"
        pytest.fail(f"{' '.join(command)}\n{said}{told}")


def project(target: Path, programs: dict[str, tuple[list[Unit], list[str]]]) -> str:
    """The CMakeLists.txt of the programs."""
    lines = [
        "cmake_minimum_required(VERSION 3.21)",
        "project(scatcuda_tests LANGUAGES CXX)",
        "set(SCATCUDA_WERROR ON)",
        f"include({ROOT}/cmake/recipe.cmake)",
    ]
    for unit in {unit.name: unit for units, _ in programs.values() for unit in units}.values():
        name = f"unit_{unit.name}"
        if " " in unit.kind:
            lines.append(f"scatcuda_engine({name} {unit.kind} {_verbatim(str(unit.source))})")
        else:
            lines.append(f"add_library({name} OBJECT {_verbatim(str(unit.source))})")
        if unit.kind in ("dispatched", "torch"):
            how = {"dispatched": "scatcuda_dispatched", "torch": "scatcuda_with_torch"}[unit.kind]
            lines.append(f"{how}({name})")
        if unit.flags:
            flags = " ".join(map(_verbatim, unit.flags))
            lines.append(f"target_compile_options({name} PRIVATE {flags})")
    for program, (units, link) in programs.items():
        name, place = _target(program), target / program
        kind = "library" if "-shared" in link else "executable"
        objects = " ".join(f"$<TARGET_OBJECTS:unit_{unit.name}>" for unit in units)
        flags = " ".join(_verbatim(flag) for flag in link if flag != "-shared")
        module = " MODULE" if kind == "library" else ""
        lines.append(f"add_{kind}({name}{module} {objects})")
        lines.append(f"target_link_libraries({name} PRIVATE {flags})")
        lines.append(
            f'set_target_properties({name} PROPERTIES LINKER_LANGUAGE CXX PREFIX "" SUFFIX "" '
            f'OUTPUT_NAME "{place.name}" RUNTIME_OUTPUT_DIRECTORY "{place.parent}" '
            f'LIBRARY_OUTPUT_DIRECTORY "{place.parent}")'
        )
    return "\n".join([*lines, ""])


def _target(program: str) -> str:
    return f"program_{program.replace('/', '_')}"


def _verbatim(word: str) -> str:
    return f"[==[{word}]==]"
