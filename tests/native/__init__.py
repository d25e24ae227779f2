"""Builds the C++ programs in this folder, with the flags of setup.py and ninja.

The objects stay under ``build/tests``; ninja compiles again only what changed.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from unittest import mock

import pytest

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Unit:
    """One compiler call."""

    name: str  # of the object
    source: Path
    flags: list[str]


@cache
def settings() -> ModuleType:
    """setup.py as a module: its constants, without building anything."""
    spec = importlib.util.spec_from_file_location("scatcuda_setup", ROOT / "setup.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with mock.patch("setuptools.setup"):
        spec.loader.exec_module(module)
    return module


def engine_unit(isa: str, real: str, source: Path, flags: list[str], prefix: str) -> Unit:
    """The CPU engine for one instruction set and number type, as setup.py compiles it."""
    defines = [f"-DSCATCUDA_ISA={isa}", f"-DSCATCUDA_REAL={real}", f"-I{ROOT / 'csrc'}"]
    all_flags = [*compile_flags(), *settings().ISAS[isa], *defines, *flags]
    return Unit(f"{prefix}_{isa}_{real}", source, all_flags)


def compile_flags() -> list[str]:
    """What every unit of the CPU engine is compiled with, warnings as errors."""
    flags = [*settings().FLAGS, *settings().ENGINE_FLAGS, "-Wall", "-Wextra", "-Werror"]
    return flags + (["-DSCATCUDA_X86_64"] if settings().X86_64 else [])


def build(folder: str, programs: dict[str, tuple[list[Unit], list[str]]], *wanted: str) -> Path:
    """Compiles and links programs, ``{name: (units, link flags)}``, which may share units: those
    that are ``wanted``, or all.

    Returns: the directory that holds the programs, ``build/tests/<folder>``.
    """
    cxx = os.environ.get("CXX", "g++")
    if shutil.which(cxx.split()[0]) is None:
        pytest.skip(f"no compiler: {cxx}")
    escape, join = settings().escape, settings().join
    lines = [
        "rule cxx",
        f"  command = {cxx} -MMD -MF $out.d $flags -c $in -o $out",
        "  depfile = $out.d",
        "  deps = gcc",
        "rule link",
        f"  command = {cxx} $in -o $out $flags",
    ]
    for unit in {unit.name: unit for units, _ in programs.values() for unit in units}.values():
        lines += [f"build {unit.name}.o: cxx {escape(unit.source)}"]
        lines += [f"  flags = {join(unit.flags)}"]
    for program, (units, link) in programs.items():
        objects = " ".join(f"{unit.name}.o" for unit in units)
        lines += [f"build {program}: link {objects}", f"  flags = {join(link)}"]
    target = ROOT / "build" / "tests" / folder
    target.mkdir(parents=True, exist_ok=True)
    (target / "build.ninja").write_text("\n".join(lines) + "\n")
    command = ["ninja", "-C", str(target), "-j", str(os.cpu_count() or 1), *wanted]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.fail(f"{' '.join(command)}\n{done.stdout[-4000:]}{done.stderr[-2000:]}")
    return target
