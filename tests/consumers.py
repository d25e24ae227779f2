"""Programs without Python, built with CMake as a user would: what their tests share."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

import scatcuda
from scatcuda.ops import reference
from scatcuda.program.packing import Packed

HERE = Path(__file__).parent / "consumer"
BUILD = Path(__file__).parents[1] / "build/tests/consumer"
FLAGS = "-Wall -Wextra -pedantic -Werror"


@cache
def program(name: str, *options: str, prefix: object = scatcuda.cmake_prefix_path) -> Path:
    """Configures and builds a folder of ``consumer`` against what is installed at ``prefix``; the
    program's path."""
    if shutil.which("cmake") is None:
        pytest.skip("no cmake")
    parts = [Path(str(prefix)).name, name, *(option.strip("-D") for option in options)]
    folder = BUILD / "-".join(parts)
    configure = ["cmake", "-S", str(HERE / name), "-B", str(folder), *options]
    configure += [f"-DCMAKE_PREFIX_PATH={prefix}", "-DCMAKE_BUILD_TYPE=Release"]
    configure += [f"-DCMAKE_C_FLAGS={FLAGS}", f"-DCMAKE_CXX_FLAGS={FLAGS}", "--no-warn-unused-cli"]
    for command in (configure, ["cmake", "--build", str(folder)]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    names = {"c": "transform", "cpp": "threads"}
    return folder / names.get(name, name)


def run(*command: object, isa: str | None = None) -> str:
    """What a program says; fails where it does."""
    environment = os.environ | ({"SCATCUDA_CPU_ISA": isa} if isa else {})
    done = subprocess.run(
        list(map(str, command)), env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def refusal(*command: object) -> str:
    """The sentence with which a program refuses."""
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    return done.stderr


def images(*shape: int, seed: int = 3) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


Filtered = Callable[[torch.dtype], tuple[str, Packed]]


def exact(made: Filtered, x: torch.Tensor) -> torch.Tensor:
    """What a program makes of signals, in float64."""
    text, packed = made(torch.float64)
    return reference.scattering(x.double(), *packed, text)


def write_netpbm(path: Path, image: np.ndarray, comment: bool = False) -> None:
    """``[M, N]`` or ``[3, M, N]``, uint8 or uint16"""
    M, N = image.shape[-2:]
    magic, largest = ("P5", "P6")[image.ndim - 2], np.iinfo(image.dtype).max
    header = f"{magic}\n" + "# a comment 9 9\n" * comment + f"{N} {M}\n{largest}\n"
    pixels = np.moveaxis(image, 0, -1) if image.ndim == 3 else image
    path.write_bytes(header.encode() + pixels.astype(image.dtype.newbyteorder(">")).tobytes())
