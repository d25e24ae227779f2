"""The CPU engine and the C interface compiled for ARM, whose vectors are NEON's, and run by qemu:
their numbers against the reference in float64. Skipped where there is no ``g++-aarch64-linux-gnu``,
or no ``qemu-user``, as Debian calls them.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import native
import pytest
import torch
from engine_problems import CASES, REALS, STAGES, check_case, check_gradient, check_stage, execute

from scatcuda import Scattering2D

pytestmark = pytest.mark.proof
ISA = "baseline"


@pytest.fixture(scope="module")
def programs() -> Path:
    """A folder of programs that this processor can run."""
    qemu = shutil.which("qemu-aarch64") or shutil.which("qemu-aarch64-static")
    if qemu is None:
        pytest.skip("no qemu-aarch64")
    csrc, sources = native.ROOT / "csrc", [f"-I{native.ROOT / 'csrc'}"]
    sources += [f"-I{native.ROOT / 'csrc/include'}"]
    units = [unit for real in REALS for unit in native.engine_units(ISA, real, [], "arm")]
    units += [
        native.Unit("arm_dispatch", csrc / "cpu/dispatch.cpp", kind="dispatched"),
        native.Unit("arm_program", csrc / "core/program.cpp"),
    ]
    api = [*sorted((csrc / "api").glob("*.cpp")), csrc / "cuda/absent.cpp"]
    drivers = {
        "run_engine": [native.HERE / "run_engine.cpp"],
        "threads": [native.ROOT / "tests/consumer/cpp/threads.cpp", *api],
    }
    made = {}
    for name, files in drivers.items():
        own = [native.Unit(f"arm_{file.stem}", file, sources) for file in files]
        made[f"aarch64/{name}"] = ([*units, *own], ["-pthread", "-static"])
    folder = native.build("arm", made, processor="aarch64")
    for name in drivers:
        script = folder / name
        script.write_text(f'#!/bin/sh\nexec {qemu} {folder}/aarch64/{name} "$@"\n')
        script.chmod(0o755)
    return folder


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("real", REALS)
def test_scattering(programs, real, case, tmp_path):
    check_case(programs / "run_engine", ISA, real, case, tmp_path)


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("real", REALS)
def test_gradients(programs, real, case, tmp_path):
    check_gradient(programs / "run_engine", ISA, real, case, (True, True, True), tmp_path)


@pytest.mark.parametrize("real", REALS)
def test_stages(programs, real, tmp_path):
    for stage in STAGES:
        check_stage(programs / "run_engine", ISA, real, stage, tmp_path)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_threads_share_a_plan(programs, dtype, tmp_path):
    Scattering2D(2, (17, 20), L=3).save_plan(tmp_path / "plan.scat", dtype)
    done = execute([programs / "threads", tmp_path / "plan.scat", 3], ISA)
    assert (done.returncode, done.stderr) == (0, "")
