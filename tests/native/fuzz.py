"""Fuzzes the readers of plan files and programs: ``make fuzz``, or ``python -m native.fuzz RUNS``
in ``tests``.

With clang's libFuzzer, guided by coverage, under AddressSanitizer and UndefinedBehaviorSanitizer.
The first input that breaks what fuzz_plan.cpp says ends it, and is kept.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from unittest import mock

import torch
from programs import random_program, random_tables

import native
from scatcuda import Scattering2D
from scatcuda.program import planfile

FLAGS = ["-O1", "-g1", "-fsanitize=address,undefined,fuzzer", "-fno-sanitize-recover=all"]
FLAGS += ["-Wno-unknown-warning-option"]
SOURCES = ("cpu/dispatch", "cuda/absent", "core/program", "api/plan", "api/plan_file", "api/cpu",
           "api/cuda")  # fmt: skip
WORDS = ("psi ", "phi ", "wavelet x ", "wavelet ", "group ", "average ", "pair ", " modulus",
         " norm", " none", " phase:", " by ", " mean", " power ", " at ", " all", " weight ",
         " shift ", " complex", ";", "~", "r1+1", "s1+1", "z1+1", "p1+1", "16777216",
         "1099511627776")  # fmt: skip


def write_corpus(folder: Path) -> None:
    """Small plans and programs, so that many fit into a second: images of every order, type,
    padding and kind of side, and random programs of every kind of step."""
    folder.mkdir(exist_ok=True)
    problems = [
        (1, (2, 2), 1, 2), (1, (8, 9), 1, 2), (2, (7, 12), 5, 1), (3, (8, 8), 1, 2),
        (1, (6, 5), 9, 1), (2, (9, 9), 1, 0),
    ]  # fmt: skip
    for i, (J, shape, L, max_order) in enumerate(problems):
        module = Scattering2D(J, shape, L=L, max_order=max_order, pre_pad=i % 3 == 0)
        module.save_plan(folder / f"{i}.scat", (torch.float32, torch.float64)[i % 2])
    for seed in range(24):
        text = random_program(random.Random(seed))
        if seed % 2:
            (folder / f"{seed}.txt").write_text(text)
        else:
            dtype = (torch.float32, torch.float64)[seed // 2 % 2]
            planfile.write(folder / f"random-{seed}.scat", text, random_tables(text, seed, dtype))


def fuzzer() -> Path:
    """Compiles fuzz_plan.cpp and the engine for any processor."""
    flags = [*FLAGS, "-USCATCUDA_HAS_avx2", "-USCATCUDA_HAS_avx512"]  # of one instruction set
    includes = [f"-I{native.ROOT / 'csrc/include'}"]
    units = [
        unit
        for real in ("float", "double")
        for unit in native.engine_units("baseline", real, flags, "fuzz")
    ]
    for path in [native.HERE / "fuzz_plan.cpp", *(native.ROOT / f"csrc/{s}.cpp" for s in SOURCES)]:
        units.append(native.Unit(f"fuzz_{path.stem}", path, flags + includes, "dispatched"))
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
        Path(folder, "words").write_text("".join(f'"{word}"\n' for word in WORDS))
        command = [str(program), f"-runs={args.runs}", f"-seed={args.seed}", "-max_len=16384",
                   "-timeout=60", "-use_value_profile=1", "-print_final_stats=1",
                   f"-artifact_prefix={program.parent}/", f"-dict={folder}/words",
                   f"{folder}/corpus"]  # fmt: skip
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
