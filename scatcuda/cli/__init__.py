"""The command ``scatcuda``: train, eval, features, filters, statistics, synthesise, invert,
generate, export, bench, data, info.

Every error that a user can make is one sentence on stderr and exit status 1, or 2 with the usage;
SCATCUDA_TRACEBACK=1 shows where it was found. The commands are in `learning`, `fields` and `tools`.
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from ..terminal import printable, say, sentence
from ..version import __version__
from . import fields, learning, tools
from .options import process

_EPILOG = """\
examples:
  scatcuda train digits                                  a ridge classifier on scattering, seconds
  scatcuda train mnist --J 3 --n 300 all --seeds 0 1 2   mean and deviation over three seeds
  scatcuda train mnist --model hybrid --epochs 3         a CNN on the scattering
  scatcuda eval runs/mnist-hybrid                        confusion matrix, worst classes
  scatcuda synthesise brick.png --output made.png        another image of the same texture
  scatcuda data list                                     which data sets are here
"""
_SHARED = ("train", "features")  # commands whose work several processes share


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; return the exit status.

    Example:
        >>> main(["data", "nonsense"])
        Traceback (most recent call last):
        SystemExit: 2
    """
    name = ""
    try:
        args = vars(_parser().parse_args(argv))
        command: Callable[..., int | None] = args.pop("command")
        name = args.pop("name")
        if process() and name not in _SHARED:
            return 0  # the first process of several does it
        with warnings.catch_warnings():
            # Pillow's, which wonders at photographs; the budget says what is too much.
            warnings.filterwarnings("ignore", "Image size .* exceeds limit")
            return command(**args) or 0
    except KeyboardInterrupt:
        say(f"{_said_by(name)}: interrupted", error=True)
        return 130
    except Exception as error:
        if os.environ.get("SCATCUDA_TRACEBACK"):
            raise
        say(f"{_said_by(name)}: {sentence(error).removeprefix(f'{name}: ')}", error=True)
        return 1


def _said_by(name: str) -> str:
    """What an error is headed by: of several processes each says which it is."""
    which = f" (process {process()})" if process() else ""
    return f"scatcuda {name}".strip() + which


class _Parser(argparse.ArgumentParser):
    """Says what it has to say as everything else is said."""

    def _print_message(self, message: str, file: Any = None) -> None:
        say(message.removesuffix("\n"), error=file is sys.stderr)

    def error(self, message: str) -> NoReturn:
        super().error(printable(message))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="scatcuda", description="Wavelet scattering: features, classifiers, networks.",
        epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--version", action="version", version=f"scatcuda {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for add in (
        learning.train, learning.evaluate, learning.features, tools.filters, tools.scalogram,
        fields.statistics, fields.synthesise, fields.invert, fields.generate,
        tools.export, tools.bench, tools.data, tools.info,
    ):  # fmt: skip
        add(commands)
    return parser
