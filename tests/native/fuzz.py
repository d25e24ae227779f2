"""Fuzzes the reader of plan files: ``make fuzz``, or ``python -m native.fuzz RUNS`` in ``tests``.

With clang's libFuzzer, guided by coverage, under AddressSanitizer and UndefinedBehaviorSanitizer.
The first input that breaks what fuzz_plan.cpp says ends it, and is kept.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from unittest import mock

import torch

import native
from scatcuda import Scattering2D

FLAGS = ["-O1", "-g1", "-fsanitize=address,undefined,fuzzer", "-fno-sanitize-recover=all"]
FLAGS += ["-Wno-unknown-warning-option"]
SOURCES = ("cpu/dispatch", "cuda/absent", "core/schedule", "api/plan", "api/plan_file", "api/cpu",
           "api/cuda")  # fmt: skip


def write_corpus(folder: Path) -> None:
    """Small plans, so that many fit into a second: every order, type, padding and kind of side."""
    folder.mkdir(exist_ok=True)
    problems = [
        (1, (2, 2), 1, 2), (1, (8, 9), 1, 2), (2, (8, 8), 2, 2), (2, (7, 12), 5, 1),
        (2, (16, 4), 3, 2), (3, (8, 8), 1, 2), (1, (6, 5), 9, 1), (2, (9, 9), 1, 0),
    ]  # fmt: skip
    for i, (J, shape, L, max_order) in enumerate(problems):
        for dtype in (torch.float32, torch.float64):
            module = Scattering2D(J, shape, L=L, max_order=max_order, pre_pad=i % 3 == 0)
            module.save_plan(folder / f"{i}-{dtype.itemsize}.scat", dtype)


def fuzzer() -> Path:
    """Compiles fuzz_plan.cpp and the engine for any processor."""
    flags = [*FLAGS, "-USCATCUDA_X86_64"]  # the one instruction set that dispatch knows by itself
    includes = [f"-I{native.ROOT / 'csrc/include'}"]
    engine = native.ROOT / "csrc/cpu/engine.cpp"
    units = [
        native.engine_unit("baseline", real, engine, flags, "fuzz") for real in ("float", "double")
    ]
    for path in [native.HERE / "fuzz_plan.cpp", *(native.ROOT / f"csrc/{s}.cpp" for s in SOURCES)]:
        units.append(native.Unit(path.stem, path, native.compile_flags() + flags + includes))
    with mock.patch.dict(os.environ, CXX="clang++"):
        return native.build("fuzz", {"fuzz_plan": (units, FLAGS)}) / "fuzz_plan"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m native.fuzz", description=__doc__)
    parser.add_argument("runs", type=int, nargs="?", default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    if shutil.which("clang++") is None:
        parser.error("libFuzzer comes with clang++, as in Debian's clang and libclang-rt-14-dev")
    program = fuzzer()
    with tempfile.TemporaryDirectory() as folder:
        write_corpus(Path(folder, "corpus"))
        command = [str(program), f"-runs={args.runs}", f"-seed={args.seed}", "-max_len=16384",
                   "-timeout=60", "-use_value_profile=1", "-print_final_stats=1",
                   f"-artifact_prefix={program.parent}/", f"{folder}/corpus"]  # fmt: skip
        environment = os.environ | {"ASAN_OPTIONS": "detect_leaks=0"}
        done = subprocess.run(
            command, env=environment, stderr=subprocess.PIPE, text=True, check=False
        )
    lines = done.stderr.splitlines()
    if done.returncode == 0:  # of libFuzzer's many lines, the sums
        lines = [line for line in lines if "DONE" in line or line.startswith(("stat::", "Done"))]
    print(*lines, sep="\n")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
