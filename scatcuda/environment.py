"""The environment variables ``SCATCUDA_*``, as far as they can be read without an engine, and those
of who starts several processes."""

from __future__ import annotations

import os
import re
import sys
from typing import get_args

from .typing import Instructions, Tier


def check() -> None:
    """A ValueError where one asks for what there never is; called on import."""
    for name, words in (("CPU_ISA", get_args(Instructions)), ("TIER", get_args(Tier))):
        told = os.environ.get(f"SCATCUDA_{name}", "")
        if told and told not in words:
            raise ValueError(f"SCATCUDA_{name} must be one of {', '.join(words)}; got {told!r}")
    workspace = os.environ.get("SCATCUDA_WORKSPACE", "")
    if workspace and not (workspace.isascii() and workspace.isdigit()):
        raise ValueError(
            f"SCATCUDA_WORKSPACE must be a number of bytes, 0 for the default; got {workspace!r}"
        )
    budget = os.environ.get("SCATCUDA_FILE_BUDGET", "")
    number = int(budget) if re.fullmatch("[0-9]{1,19}", budget) else 0
    if budget and not number:
        raise ValueError(
            f"SCATCUDA_FILE_BUDGET must be a number of bytes, 1 or more; got {budget[:80]!r}"
        )


def check_on_import() -> None:
    """The same; of a command, which cannot catch what is raised before it runs, a sentence."""
    try:
        check()
    except ValueError as error:
        command = _command()
        if not command:
            raise
        if command == "scatcuda":
            from .cli.report import asks_for_json, print_document

            if asks_for_json(sys.argv[1:]):
                print_document({"error": str(error)})
        raise SystemExit(f"{command}: {error}") from None


def _command() -> str:
    """Which of ours the program is that imports this, if it is one."""
    if sys.argv[0] == "-m":  # until Python has found the module, which is before its arguments
        found = re.sub("^-[A-Za-z]*m", "", sys.orig_argv[-len(sys.argv)])
        return found if found in ("scatcuda", "scatcuda.demo") else ""
    return "scatcuda" if os.path.basename(sys.argv[0]) == "scatcuda" else ""


def whole(name: str, default: int) -> int:
    """The number in a variable that says which process this is, or how many there are.

    Raises: ValueError: it is none.
    """
    told = os.environ.get(name) or str(default)
    if not re.fullmatch("[0-9]{1,9}", told):
        raise ValueError(
            f"{name} must be an integer from 0, as torchrun sets it; got {told[:80]!r}"
        )
    return int(told)


def process() -> tuple[int, int]:
    """Which of how many processes this one is, by ``RANK`` and ``WORLD_SIZE``.

    Raises: ValueError: they are no such numbers.
    """
    rank, size = whole("RANK", 0), whole("WORLD_SIZE", 1)
    if rank >= size:
        raise ValueError(f"RANK must be 0 to WORLD_SIZE - 1, got {rank} of {size} processes")
    return rank, size
