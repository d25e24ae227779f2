"""Calls functions of a module compiled with AddressSanitizer, in a process of its own.

    python worker.py module.so

The sanitizers' library must be loaded before everything else (``LD_PRELOAD``), and ends the process
at the first error. Each line of the input names a file with a call and one for its answer; each
line of the output says that an answer is there.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np


def load(path: Path) -> ModuleType:
    """The extension module in a file. Its whole name holds the folder too: pybind11 gives a second
    module of one name the functions of the first."""
    spec = importlib.util.spec_from_file_location(f"{path.parent.name}.{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write(path: Path, value: Any) -> None:
    """Nested lists, tuples and dictionaries of arrays and what JSON knows, as an ``.npz`` file."""
    arrays: dict[str, np.ndarray] = {}

    def encode(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            name = f"array{len(arrays)}"
            arrays[name] = value
            return {"array": name}
        if isinstance(value, dict):
            return {"dict": {key: encode(v) for key, v in value.items()}}
        if isinstance(value, (list, tuple)):
            return {type(value).__name__: [encode(v) for v in value]}
        return value

    text = json.dumps(encode(value))
    new = path.with_suffix(".new.npz")
    np.savez(new, text=np.array(text), **arrays)
    new.rename(path)


def read(path: Path) -> Any:
    with np.load(path, allow_pickle=False) as arrays:

        def decode(value: Any) -> Any:
            if not isinstance(value, dict):
                return value
            ((kind, content),) = value.items()
            if kind == "array":
                return arrays[content]
            if kind == "dict":
                return {key: decode(v) for key, v in content.items()}
            return {"list": list, "tuple": tuple}[kind](decode(v) for v in content)

        return decode(json.loads(str(arrays["text"])))


def answer(module: ModuleType, call: dict[str, Any]) -> dict[str, Any]:
    try:
        return {"result": getattr(module, call["function"])(*call["args"], **call["kwargs"])}
    except (RuntimeError, TypeError, ValueError) as error:
        return {"error": type(error).__name__, "message": str(error)}


def main() -> None:
    module = load(Path(sys.argv[1]))
    for line in sys.stdin:
        call_file, answer_file = map(Path, json.loads(line))
        write(answer_file, answer(module, read(call_file)))
        print("done", flush=True)


if __name__ == "__main__":
    main()
