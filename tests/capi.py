"""``scatcuda.h`` through ctypes: the library as any language with a C interface has it."""

from __future__ import annotations

import ctypes
from ctypes import POINTER, byref, c_char_p, c_int, c_int64, c_size_t, c_void_p
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import scatcuda
from scatcuda.frontends.library import (  # noqa: F401  (tests find them here)
    Description,
    Executor,
    Gradients,
    Message,
    Run,
    Sized,
    Tables,
)

OK, BAD_ARGUMENT, BAD_PLAN, CANNOT_READ, NO_MEMORY, TOO_SMALL, NO_CUDA = range(7)
FORWARD, BACKWARD, BACKWARD_WITH_FILTERS = range(3)


class Options(Sized):
    _fields_ = (
        ("size", c_int64), ("tier", c_int), ("workspace", c_int64), ("fft", c_void_p),
    )  # fmt: skip


def tables(program: str, packed: Any) -> Tables:
    """Of a text and a ``Packed``, which must outlive the call that they are for."""
    addresses = (
        table.data_ptr()
        for table in (packed.psi, packed.psi_support, packed.phi, packed.phi_support)
    )
    return Tables(packed.psi.element_size(), program.encode(), packed.psi.numel(), *addresses)


_SIGNATURES: dict[str, tuple[Any, list[Any]]] = {
    "version": (c_char_p, []),
    "status_name": (c_char_p, [c_int]),
    "cpu_isa": (c_char_p, []),
    "cuda_architectures": (c_char_p, []),
    "plan_load": (c_int, [c_char_p, POINTER(c_void_p), POINTER(Message)]),
    "plan_read": (c_int, [c_char_p, c_size_t, POINTER(c_void_p), POINTER(Message)]),
    "plan_create": (c_int, [POINTER(Tables), POINTER(c_void_p), POINTER(Message)]),
    "plan_destroy": (None, [c_void_p]),
    "plan_describe": (c_int, [c_void_p, POINTER(Description), POINTER(Message)]),
    "plan_program": (c_char_p, [c_void_p]),
    "workspace_bytes": (c_int64, [c_void_p, c_int, c_int64, c_int64]),
    "forward": (c_int, [c_void_p, c_int64, c_void_p, c_void_p, c_void_p, c_int64,
                        POINTER(Executor), POINTER(Message)]),
    "backward": (c_int, [c_void_p, c_int64, c_void_p, c_void_p, POINTER(Gradients), c_void_p,
                         c_int64, POINTER(Executor), POINTER(Message)]),
    "cuda_plan_create": (c_int, [c_void_p, c_void_p, POINTER(c_void_p), POINTER(Message)]),
    "cuda_plan_destroy": (None, [c_void_p]),
    "cuda_workspace_bytes": (c_int, [c_void_p, c_int, c_int64, c_void_p, POINTER(c_int64),
                                     POINTER(Message)]),
    "cuda_forward": (c_int, [c_void_p, c_int64, c_int, c_void_p, c_void_p, c_void_p, c_int64,
                             c_void_p, POINTER(Message)]),
    "cuda_backward": (c_int, [c_void_p, c_int64, c_int, c_void_p, c_void_p, POINTER(Gradients),
                              c_void_p, c_int64, c_void_p, POINTER(Message)]),
}  # fmt: skip


@cache
def library() -> ctypes.CDLL:
    """Functions by their names without ``scatcuda_``."""
    path = Path(scatcuda.cmake_prefix_path, "lib/libscatcuda.so")
    if not path.exists():
        pytest.skip("libscatcuda.so was not built")
    found = ctypes.CDLL(str(path))
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(found, f"scatcuda_{name}")
        function.restype, function.argtypes = result, arguments
        setattr(found, name, function)
    return found


class Refused(Exception):
    """``(status, sentence)``"""


def call(name: str, *arguments: Any) -> None:
    """Calls a function whose last argument is a message; raises what that says."""
    message = Message()
    status = getattr(library(), name)(*arguments, byref(message))
    if status != OK:
        assert message.value
        raise Refused(status, message.value.decode())


def pointer(array: np.ndarray | None) -> c_void_p:
    return c_void_p(None if array is None else array.ctypes.data)


def aligned(size: int) -> np.ndarray:
    """Bytes at a multiple of 64"""
    block = np.empty(size + 64, np.uint8)
    start = -block.ctypes.data % 64
    return block[start : start + size]


class Plan:
    """A plan, from a file, its bytes, or tables."""

    def __init__(self, source: Path | bytes | Tables) -> None:
        self.plan = c_void_p()
        try:
            if isinstance(source, bytes):
                call("plan_read", source, len(source), byref(self.plan))
            elif isinstance(source, Tables):
                call("plan_create", byref(source), byref(self.plan))
            else:
                call("plan_load", str(source).encode(), byref(self.plan))
        except Refused:
            assert self.plan.value is None
            raise

    def __del__(self) -> None:
        library().plan_destroy(self.plan)

    def describe(self) -> Description:
        description = Description()
        call("plan_describe", self.plan, byref(description))
        return description

    @property
    def program(self) -> str:
        return library().plan_program(self.plan).decode()

    def workspace(self, task: int, batch: int, threads: int = 1) -> np.ndarray:
        return aligned(library().workspace_bytes(self.plan, task, batch, threads))

    def forward(self, x: np.ndarray, executor: Executor | None = None) -> np.ndarray:
        d = self.describe()
        S = np.empty((len(x), d.channels, *d.side[: d.sides]), x.dtype)
        workspace = self.workspace(FORWARD, len(x), executor.threads if executor else 1)
        call("forward", self.plan, len(x), pointer(x), pointer(S), pointer(workspace),
             workspace.size, byref(executor) if executor else None)  # fmt: skip
        return S

    def backward(
        self, x: np.ndarray, g: np.ndarray, wanted: tuple[bool, bool, bool] = (True, True, True)
    ) -> list[np.ndarray]:
        """Gradients of x, psi and phi; empty where not wanted."""
        d = self.describe()
        sizes = x.shape, (d.psi_entries,), (d.phi_entries,)
        found = [
            np.full(size if want else 0, np.nan, x.dtype)
            for want, size in zip(wanted, sizes, strict=True)
        ]
        to = Gradients(*(pointer(f if w else None) for f, w in zip(found, wanted, strict=True)))
        task = BACKWARD_WITH_FILTERS if wanted[1] or wanted[2] else BACKWARD
        workspace = self.workspace(task, len(x))
        call("backward", self.plan, len(x), pointer(x), pointer(g), byref(to), pointer(workspace),
             workspace.size, None)  # fmt: skip
        return found
