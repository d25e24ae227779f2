"""The command ``scatcuda``: train, eval, features, filters, statistics, synthesise, invert,
generate, export, bench, data, info.

Every error that a user can make is one sentence on stderr and exit status 1, or 2 with the usage;
SCATCUDA_TRACEBACK=1 shows where it was found. What takes more than a second shows a bar on stderr
where that is a terminal. With ``--json`` stdout has one JSON document and nothing else. The
commands are in `learning`, `fields` and `tools`, their documents in `documents`.
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from typing import Any, NoReturn

from ..terminal import printable, progress_is, say, sentence, wanted
from ..version import __version__
from . import fields, learning, tools
from .options import process
from .report import Report, asks_for_json, document_only, print_document

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
    given = list(sys.argv[1:] if argv is None else argv)
    as_json, name, which = asks_for_json(given), "", 0
    report: Report
    try:
        which = process()
        args = vars(_parser(as_json).parse_args(given))
        name = args["name"]
        if which and name not in _SHARED:
            return 0  # the first process of several does it
        report = _run(args)
        if report.error:
            say(f"{_said_by(name, which)}: {report.error}", error=True)
        if as_json and not which:
            print_document(report.document)
        return report.status
    except KeyboardInterrupt:
        status, words = 130, "interrupted"
    except Exception as error:
        if os.environ.get("SCATCUDA_TRACEBACK"):
            raise
        status, words = 1, sentence(error).removeprefix(f"{name}: ")
    say(f"{_said_by(name, which)}: {words}", error=True)
    if as_json and not which:
        with suppress(OSError):  # where the document itself could not be written
            print_document({"error": words})
    return status


def _run(args: dict[str, Any]) -> Report:
    """A command, with its bars and without what it says where only the document is wanted."""
    command: Callable[..., Mapping[str, Any] | Report] = args.pop("command")
    as_json, progress = args.pop("json"), args.pop("progress", False)
    shown = wanted(progress) and not process()
    del args["name"], args["gives"]
    with (
        warnings.catch_warnings(),
        progress_is(shown),
        document_only() if as_json else nullcontext(),
    ):
        # Pillow's, which wonders at photographs; the budget says what is too much.
        warnings.filterwarnings("ignore", "Image size .* exceeds limit")
        found = command(**args)
    return found if isinstance(found, Report) else Report(found)


def _said_by(name: str, which: int) -> str:
    """What an error is headed by: of several processes each says which it is."""
    return f"scatcuda {name}".strip() + (f" (process {which})" if which else "")


class _Parser(argparse.ArgumentParser):
    """Says what it has to say as everything else is said."""

    as_json: bool = False

    def _print_message(self, message: str, file: Any = None) -> None:
        say(message.removesuffix("\n"), error=file is sys.stderr)

    def error(self, message: str) -> NoReturn:
        if self.as_json and not process():
            with suppress(OSError):
                print_document({"error": message})
        super().error(printable(message))


def _parser(as_json: bool = False) -> argparse.ArgumentParser:
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
    for each in (parser, *commands.choices.values()):
        each.as_json = as_json
    return parser
