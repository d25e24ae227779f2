"""The pickles of CIFAR's Python version, read as data: nothing in them is run.

A pickle is a program. `pickletools` splits it into instructions without obeying them, and the
few that CIFAR's files consist of are followed here. Dictionaries, lists, tuples, texts and numbers
come out, and arrays of bytes. Names of functions only ever stand for the three things needed:
an array, its type, and bytes that Python 3 wrote in the old protocol. Every other instruction and
name is refused. Only bytes and text may be keys: hashing a tuple of tuples is a program too.
"""

from __future__ import annotations

import math
import pickletools
from typing import Any

import numpy as np

_MAX_INSTRUCTIONS = 1 << 19  # CIFAR-100's training set has about 200 000
_MARK = object()
_PUSHED = frozenset(
    "INT LONG LONG1 BININT BININT1 BININT2 STRING BINSTRING SHORT_BINSTRING BINBYTES "
    "SHORT_BINBYTES BINBYTES8 UNICODE BINUNICODE SHORT_BINUNICODE".split()
)
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_NAMES = {
    "numpy.core.multiarray _reconstruct": "array",
    "numpy._core.multiarray _reconstruct": "array",
    "numpy ndarray": "ndarray",
    "numpy dtype": "dtype",
    "_codecs encode": "encode",
}


class Refused(ValueError):
    """What the pickle asks for is not among the things that CIFAR's files hold."""


class _Name(str):
    """One of the values of _NAMES, where a pickle named a function or class."""


class _ByteType:
    """`numpy.dtype("u1")`, which is the only one."""


class _Array:
    """An array under construction, empty until its state comes."""

    values: np.ndarray | None = None


def loads(raw: bytes) -> dict[str, Any]:
    """The dictionary that a pickle describes; `Refused` or another ValueError if there is none.

    Arrays come as read-only uint8 arrays, texts of Python 2 as str.
    """
    reader = _Reader(len(raw))
    try:
        for count, (instruction, argument, _) in enumerate(pickletools.genops(raw)):
            if count >= _MAX_INSTRUCTIONS:
                raise Refused(f"it has more than {_MAX_INSTRUCTIONS} instructions")
            reader.follow(instruction.name, argument)
        return reader.result()
    except (IndexError, KeyError):  # of the stack and the memo
        raise Refused("its instructions take what is not there") from None


class _Reader:
    """A stack of things, and a memo of those met before."""

    def __init__(self, size: int) -> None:
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        self._to_encode = size  # bytes: a text that is memorised could be encoded without end

    def follow(self, name: str, argument: Any) -> None:
        """Obey one instruction."""
        stack = self._stack
        if name in _PUSHED:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name == "MARK":
            stack.append(_MARK)
        elif name in ("EMPTY_DICT", "EMPTY_LIST", "EMPTY_TUPLE"):
            stack.append({"EMPTY_DICT": {}, "EMPTY_LIST": [], "EMPTY_TUPLE": ()}[name])
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            self._memo[argument] = stack[-1]
        elif name == "MEMOIZE":
            self._memo[len(self._memo)] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(self._memo[argument])
        elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            stack.append(tuple(self._pop(int(name[-1]))))
        elif name == "TUPLE":
            stack.append(tuple(self._pop_to_mark()))
        elif name == "LIST":
            stack.append(self._pop_to_mark())
        elif name == "DICT":
            stack.append(_filled({}, self._pop_to_mark()))
        elif name in ("APPEND", "APPENDS"):
            items = self._pop_to_mark() if name == "APPENDS" else self._pop(1)
            _expect(stack[-1], list).extend(items)
        elif name in ("SETITEM", "SETITEMS"):
            items = self._pop_to_mark() if name == "SETITEMS" else self._pop(2)
            _filled(_expect(stack[-1], dict), items)
        elif name == "GLOBAL":
            stack.append(_named(argument))
        elif name == "STACK_GLOBAL":
            module, function = self._pop(2)
            stack.append(_named(f"{_expect(module, str)} {_expect(function, str)}"))
        elif name == "REDUCE":
            function, arguments = self._pop(2)
            stack.append(self._called(_expect(function, _Name), _expect(arguments, tuple)))
        elif name == "BUILD":
            (state,) = self._pop(1)
            self._build(stack[-1], _expect(state, tuple))
        elif name not in ("PROTO", "FRAME", "STOP"):
            raise Refused(f"it has the instruction {name}")

    def result(self) -> dict[str, Any]:
        """What is left on the stack, with the arrays in the place of what stood for them."""
        if len(self._stack) != 1:
            raise Refused("it does not end with one object")
        content = _expect(self._stack[0], dict)
        return {k: v.values if type(v) is _Array else v for k, v in content.items()}

    def _pop(self, count: int) -> list[Any]:
        """The last `count` things, none of them a mark."""
        things = self._stack[-count:]
        if len(things) < count or any(thing is _MARK for thing in things):
            raise IndexError
        del self._stack[-count:]
        return things

    def _pop_to_mark(self) -> list[Any]:
        """What stands above the last mark, which goes too."""
        things = []
        while (thing := self._stack.pop()) is not _MARK:
            things.append(thing)
        return things[::-1]

    def _called(self, function: _Name, arguments: tuple[Any, ...]) -> Any:
        """What NumPy or Python would return for these arguments, if CIFAR's files use them."""
        if function == "array" and len(arguments) == 3 and type(arguments[0]) is _Name:
            return _Array()  # of any subclass and first shape: its state says what it is
        if function == "dtype" and len(arguments) == 3 and arguments[0] in ("u1", b"u1"):
            return _ByteType()
        if function == "encode" and len(arguments) == 2 and arguments[1] in ("latin1", b"latin1"):
            return self._encoded(_expect(arguments[0], str))
        raise Refused(f"it calls {function} in another way than CIFAR's files")

    def _build(self, target: Any, state: tuple[Any, ...]) -> None:
        """Give an array its contents; bytes have no order that the state of a type could change."""
        if type(target) is _ByteType:
            return
        array = _expect(target, _Array)
        if len(state) != 5 or type(state[1]) is not tuple or type(state[2]) is not _ByteType:
            raise Refused("it has an array that is not one of bytes")
        _, shape, _, fortran, values = state
        content = values if isinstance(values, bytes) else self._encoded(_expect(values, str))
        if not all(type(n) is int and 0 <= n <= len(content) for n in shape) or len(shape) > 4:
            raise Refused("it has an array of impossible shape")
        if math.prod(shape) != len(content):
            raise Refused(f"its array of shape {list(shape)} has {len(content)} bytes")
        order: Any = "F" if fortran is True else "C"
        array.values = np.frombuffer(content, np.uint8).reshape(shape, order=order)

    def _encoded(self, text: str) -> bytes:
        self._to_encode -= len(text)
        if self._to_encode < 0:
            raise Refused("it encodes more text than it has")
        return text.encode("latin-1")


def _filled(target: dict[str, Any], items: list[Any]) -> dict[str, Any]:
    if len(items) % 2:
        raise Refused("it has a key without a value")
    for key, value in zip(items[::2], items[1::2], strict=True):
        name = key.decode("latin-1") if isinstance(key, bytes) else _expect(key, str)
        target[name] = value
    return target


def _expect(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise Refused(
            f"it has {type(value).__name__.strip('_')} where {kind.__name__.strip('_')} belongs"
        )
    return value


def _named(name: str) -> _Name:
    if name not in _NAMES:
        raise Refused(f"it names {name[:80].replace(' ', '.', 1)!r}")
    return _Name(_NAMES[name])
