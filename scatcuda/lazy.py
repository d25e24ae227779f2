"""Names of a package that are found when they are asked for (PEP 562): who imports a part of it
does not wait for what the others need."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def found_later(package: str, home: Mapping[str, str], extra: str = "") -> Callable[[str], Any]:
    """A package's ``__getattr__``.

    Args:
        package: its name.
        home: of each name the module within the package that has it; ``""``: it is one itself.
        extra: what to install where such a module needs something that is not there.
    """

    def find(name: str) -> Any:
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        try:
            module = importlib.import_module(f"{package}.{home[name] or name}")
        except ModuleNotFoundError as error:
            if not extra or (error.name or "").startswith("scatcuda"):
                raise
            raise ImportError(
                f"{package}.{name} needs {error.name}, which is not installed: pip install {extra}"
            ) from error
        value = getattr(module, name) if home[name] else module
        setattr(sys.modules[package], name, value)
        return value

    return find
