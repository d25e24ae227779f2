"""The environment variables ``SCATCUDA_*``, as far as they can be read without an engine."""

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
        if os.path.basename(sys.argv[0]) == "scatcuda" or sys.orig_argv[1:3] == ["-m", "scatcuda"]:
            raise SystemExit(f"scatcuda: {error}") from None
        raise
