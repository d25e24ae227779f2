"""Kernels run without a GPU, from nvcc's PTX: those with no branch, that read and write one array.

The emulation runs the sources as another compiler understands them; this is what nvcc understood,
constants and all.
"""

from __future__ import annotations

import re
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np

from . import ROOT, recipe
from .kernels import toolkit

ARITHMETIC: dict[str, Callable[..., np.float64]] = {
    "mov": lambda a: a,
    "neg": lambda a: -a,
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "fma": lambda a, b, c: a * b + c,
}


def compiled(source: Path, folder: Path) -> str:
    """The PTX of a file, optimised as the library's kernels are."""
    command = [f"{toolkit()}/bin/nvcc", "-ptx", "-O3", "-std=c++17", "-arch=sm_75"]
    command += [*recipe("SCATCUDA_NVCC_FLAGS"), f"-I{ROOT}/csrc", str(source)]
    written = folder / f"{source.stem}.ptx"
    subprocess.run([*command, "-o", str(written)], check=True)
    return written.read_text()


def entries(ptx: str) -> dict[str, list[str]]:
    """Mangled names, and the instructions of each."""
    bodies = re.findall(r"\.entry (\w+)\(.*?\)\s*\{(.*?)^\}", ptx, re.DOTALL | re.MULTILINE)
    return {name: re.findall(r"^\s+([a-z][^;]*);", body, re.MULTILINE) for name, body in bodies}


def run(instructions: list[str], array: np.ndarray) -> np.ndarray:
    """What the first thread makes of an array of float32. Raises ValueError at an instruction that
    is not one of straight-line code on it."""
    memory = array.astype(np.float32).ravel()
    register: dict[str, np.float32] = {}

    def value(operand: str) -> np.float64:
        if operand.startswith("0f"):
            return np.float64(struct.unpack(">f", bytes.fromhex(operand[2:]))[0])
        return np.float64(register[operand])

    def places(address: str, count: int) -> range:
        first = int(address.partition("+")[2].strip("]") or 0) // 4
        return range(first, first + count)

    for instruction in instructions:
        name, _, rest = " ".join(instruction.split()).partition(" ")
        operands = [part.strip(" {}") for part in rest.split(",")]
        kind = name.split(".")[0]
        if name.startswith(("ld.global", "st.global")) and name.endswith("f32"):
            loads = kind == "ld"
            address = operands[-1] if loads else operands[0]
            names = operands[:-1] if loads else operands[1:]
            for place, one in zip(places(address, len(names)), names, strict=True):
                if loads:
                    register[one] = memory[place]
                else:
                    memory[place] = np.float32(value(one))
        elif name.endswith(".f32") and kind in ARITHMETIC:
            register[operands[0]] = np.float32(ARITHMETIC[kind](*map(value, operands[1:])))
        elif name.endswith(("f32", "f64")) or kind in ("bra", "call", "setp", "st"):
            raise ValueError(f"no straight-line code on one array: {instruction}")
    return memory.reshape(array.shape)
