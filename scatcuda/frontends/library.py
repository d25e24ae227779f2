"""The C library from Python, without PyTorch: ``csrc/include/scatcuda/scatcuda.h`` through ctypes::

    plan = Plan(program, packed)
    S = plan.forward(x, threads=2)          # x [batch, *signal] -> S [batch, channels, *sides]
    dx = plan.backward(x, g, threads=2)     # the gradient of <g, S x>

No call holds a lock of Python's.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from ctypes import POINTER, Structure, byref, c_char, c_char_p, c_int, c_int64, c_void_p
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # a program is made when a transform is asked for
    from concurrent.futures import ThreadPoolExecutor

    from ..program.arrays import Packed

__all__ = ["Plan", "get_num_threads", "library", "library_file", "set_num_threads"]

_FORWARD, _BACKWARD = 0, 1
_ALIGNMENT = 64
_SMALL = 1 << 15  # numbers of a result below which threads would cost more than they give

Message: Any = c_char * 512
Body: Any = ctypes.CFUNCTYPE(None, c_void_p, c_int64)
Run: Any = ctypes.CFUNCTYPE(None, c_void_p, c_int64, Body, c_void_p)


class Sized(Structure):
    """A struct that begins with its size: given its other fields, it has it."""

    def __init__(self, *fields: Any) -> None:
        super().__init__(ctypes.sizeof(self), *fields)


class Tables(Sized):
    """A program and its filters."""

    _fields_ = (
        ("size", c_int64), ("type", c_int), ("program", c_char_p), ("psi_entries", c_int64),
        ("psi", c_void_p), ("psi_support", c_void_p), ("phi", c_void_p), ("phi_support", c_void_p),
    )  # fmt: skip


class Description(Sized):
    """What a plan computes."""

    _fields_ = (
        ("size", c_int64), ("type", c_int), ("rank", c_int64), ("signal", c_int64 * 3),
        ("channels", c_int64), ("sides", c_int64), ("side", c_int64 * 3),
        ("signal_numbers", c_int64), ("result_numbers", c_int64), ("psi_entries", c_int64),
        ("phi_entries", c_int64),
    )  # fmt: skip


class Executor(Sized):
    """Threads of the caller's."""

    _fields_ = (("size", c_int64), ("threads", c_int64), ("run", Run), ("self", c_void_p))


class Gradients(Sized):
    """Where gradients go."""

    _fields_ = (("size", c_int64), ("x", c_void_p), ("psi", c_void_p), ("phi", c_void_p))


_SIGNATURES: dict[str, tuple[Any, list[Any]]] = {
    "cpu_isa": (c_char_p, []),
    "plan_load": (c_int, [c_char_p, POINTER(c_void_p), POINTER(Message)]),
    "plan_create": (c_int, [POINTER(Tables), POINTER(c_void_p), POINTER(Message)]),
    "plan_destroy": (None, [c_void_p]),
    "plan_describe": (c_int, [c_void_p, POINTER(Description), POINTER(Message)]),
    "plan_program": (c_char_p, [c_void_p]),
    "workspace_bytes": (c_int64, [c_void_p, c_int, c_int64, c_int64]),
    "forward": (c_int, [c_void_p, c_int64, c_void_p, c_void_p, c_void_p, c_int64,
                        POINTER(Executor), POINTER(Message)]),
    "backward": (c_int, [c_void_p, c_int64, c_void_p, c_void_p, POINTER(Gradients), c_void_p,
                         c_int64, POINTER(Executor), POINTER(Message)]),
}  # fmt: skip


def library_file(name: str = "scatcuda") -> Path | None:
    """Where a library of the build is, if it has one of this name."""
    path = Path(__file__).parents[1] / f"lib/lib{name}.so"
    return path if path.exists() else None


@cache
def library() -> ctypes.CDLL:
    """Functions by their names without ``scatcuda_``."""
    path = library_file()
    if path is None:
        raise ImportError(
            "scatcuda: libscatcuda.so is not beside the package, it was not built: install "
            "scatcuda again, or in its sources call setup.py build_ext --inplace"
        )
    found = ctypes.CDLL(str(path), use_errno=True)
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(found, f"scatcuda_{name}")
        function.restype, function.argtypes = result, arguments
        setattr(found, name, function)
    return found


_ERRORS: dict[int, type[Exception]] = {1: ValueError, 2: ValueError, 3: OSError, 4: MemoryError}


def _call(name: str, *arguments: Any) -> None:
    """Calls a function whose last argument is a message; raises what that says."""
    message = Message()
    status = getattr(library(), name)(*arguments, byref(message))
    if status:
        raise _ERRORS.get(status, RuntimeError)(message.value.decode())


class Plan:
    """A program and its filters.

    Args:
        program: its text.
        packed: its filters, float32 or float64.
    Raises: ValueError: they do not fit; MemoryError.
    """

    dtype: np.dtype[Any]
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    result_numbers: int
    program: str

    def __init__(self, program: str, packed: Packed) -> None:
        tables = type(packed)(*map(np.ascontiguousarray, packed))
        addresses = (
            table.ctypes.data
            for table in (tables.psi, tables.psi_support, tables.phi, tables.phi_support)
        )
        size = tables.psi.dtype.itemsize
        given = Tables(size, program.encode("ascii"), tables.psi.size, *addresses)
        self._own(lambda plan, message: library().plan_create(byref(given), plan, message))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Plan:
        """That of a plan file."""
        made, name = cls.__new__(cls), os.fsencode(path)
        if b"\0" in name:  # where the C library's name would end
            raise ValueError(f"load: path must have no NUL; got {os.fspath(path)!r}")
        ctypes.set_errno(0)
        try:
            made._own(lambda *of: library().plan_load(name, *of))
        except OSError:
            if number := ctypes.get_errno():  # the system's, whose errors have classes
                raise OSError(number, os.strerror(number), os.fspath(path)) from None
            raise
        return made

    def _own(self, make: Any) -> None:
        self._plan = c_void_p()
        message = Message()
        if status := make(byref(self._plan), byref(message)):
            raise _ERRORS.get(status, RuntimeError)(message.value.decode())
        self._destroy = library().plan_destroy  # which outlives the names of modules
        description = Description()
        _call("plan_describe", self._plan, byref(description))
        self.dtype = np.dtype(np.float32 if description.type == 4 else np.float64)
        self.input_shape = tuple(description.signal[: description.rank])
        self.output_shape = (description.channels, *description.side[: description.sides])
        self.result_numbers = int(description.result_numbers)
        self.program = library().plan_program(self._plan).decode("ascii")

    def __del__(self) -> None:
        if getattr(self, "_plan", None):
            self._destroy(self._plan)

    def release(self) -> c_void_p:
        """The C library's plan, for who destroys it in this object's place."""
        plan, self._plan = self._plan, c_void_p()
        return plan

    def forward(self, x: NDArray[Any], threads: int) -> NDArray[Any]:
        """``x [batch, *signal]``, contiguous and of the plan's type, to
        ``S [batch, channels, *sides]``."""
        S = np.empty((len(x), *self.output_shape), self.dtype)
        self._run("forward", _FORWARD, threads, x, S)
        return S

    def backward(self, x: NDArray[Any], g: NDArray[Any], threads: int) -> NDArray[Any]:
        """The gradient ``[batch, *signal]`` of ``<g, S x>``, all as :meth:`forward` has them."""
        gradient = np.empty_like(x)
        self._run("backward", _BACKWARD, threads, x, g, gradient)
        return gradient

    def _run(self, name: str, task: int, threads: int, *arrays: NDArray[Any]) -> None:
        batch = len(arrays[0])
        if batch * self.result_numbers < _SMALL:
            threads = 1
        size = library().workspace_bytes(self._plan, task, batch, threads)
        if size < 0:
            raise ValueError(f"{name}: a batch of {batch} signals is too large for the engine")
        block = np.empty(size + _ALIGNMENT, np.uint8)

        def call(executor: Any = None) -> None:
            where: list[Any] = [array.ctypes.data for array in arrays]
            if task == _BACKWARD:
                where[-1] = byref(Gradients(where[-1], None, None))
            workspace = block.ctypes.data + -block.ctypes.data % _ALIGNMENT
            _call(name, self._plan, batch, *where, workspace, size, executor)

        if threads > 1:
            _elsewhere(call, threads)
        else:
            call()


# --- threads --------------------------------------------------------------------------------------

_threads = 0


def get_num_threads() -> int:
    """Threads that a call may take: those set, else ``OMP_NUM_THREADS``, else as many as there are
    processors for this process.

    Example:
        >>> get_num_threads() >= 1
        True
    """
    if _threads:
        return _threads
    told = os.environ.get("OMP_NUM_THREADS", "")
    most = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(int(told), most) if told.isascii() and told.isdigit() and int(told) else most


def set_num_threads(count: int) -> None:
    """Sets how many threads a call may take.

    Args:
        count: from 1.
    Raises: TypeError, ValueError: it is no such number.
    Example:
        >>> before = get_num_threads()
        >>> set_num_threads(1)
        >>> get_num_threads()
        1
        >>> set_num_threads(before)
    """
    from ..arguments import integer

    global _threads
    _threads = integer("set_num_threads", "count", count, 1, 1024)


@lru_cache(maxsize=8)
def _executor(threads: int) -> Executor:
    """A pool of Python's threads, which hold no lock while an engine runs."""
    from concurrent.futures import ThreadPoolExecutor

    pool = ThreadPoolExecutor(threads - 1, thread_name_prefix="scatcuda")

    def run(_: Any, tasks: int, body: Any, closure: Any) -> None:
        turns = iter(range(tasks))

        def work() -> None:
            for task in turns:
                body(closure, task)

        others = []
        try:
            for _ in range(1, tasks):
                others.append(pool.submit(work))
        except RuntimeError:  # no thread starts any more; those that did may still come for a turn
            pass
        work()
        for other in others:
            if not other.cancel():
                other.result()

    return Executor(threads, Run(run), None)


@cache
def _callers() -> ThreadPoolExecutor:
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(1024, thread_name_prefix="scatcuda-call")


def _elsewhere(call: Callable[..., None], threads: int) -> None:
    """A call that threads share, in a thread of its own, for an executor's code has to come to its
    end: in the caller's a signal's handler may raise in it, or the stack be full. What waits here
    may be left at any time; the call goes on with all that it needs."""
    from concurrent.futures import Future

    turn, done = iter((0,)), Future[None]()

    def work() -> None:
        for _ in turn:
            try:
                call(byref(_executor(threads)))
                done.set_result(None)
            except BaseException as error:
                done.set_exception(error)

    try:
        _callers().submit(work)
    except RecursionError:
        raise
    except RuntimeError:  # no thread starts any more; one that did may have come for the turn
        for _ in turn:
            call()
            return
    done.result()


def _forget() -> None:
    """A child has none of its parent's threads."""
    _executor.cache_clear()
    _callers.cache_clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
