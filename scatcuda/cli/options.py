"""What the commands' options have in common: their types, and those that several take."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

from .. import environment, limits
from ..typing import BankName
from .documents import described
from .report import Report

__all__ = [
    "add", "bank", "count", "help_of", "integer", "option", "order", "problem", "process",
    "shape", "text", "tuples", "unread",
]  # fmt: skip


def add(
    commands: Any,
    name: str,
    command: Callable[..., Mapping[str, Any] | Report],
    about: str,
    epilog: str,
    *gives: Any,
    long: bool = True,
) -> argparse.ArgumentParser:
    """A subcommand; its help is the first line of `about` in the list and all of it on its own.

    It gives documents of the kinds `gives`; what can take `long` shows a bar.
    """
    parser = commands.add_parser(
        name, help=about.partition("\n")[0], description=about,
        epilog=f"{epilog}\n{described(*gives)}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.set_defaults(command=command, name=name, gives=gives)
    parser.add_argument(
        "--json", action="store_true", help="one JSON document on stdout, see below"
    )
    if long:
        parser.add_argument(
            "--progress", action=argparse.BooleanOptionalAction, default=None,
            help="a bar on stderr (default: if it is a terminal and tqdm is installed)",
        )  # fmt: skip
    return parser


def text(given: str) -> str:
    """A name, not an empty one, which would mean something else."""
    if not given or "\0" in given:
        raise argparse.ArgumentTypeError(f"expected a name, got {given!r}")
    return given


def integer(least: int, most: int = 2**31 - 1) -> Callable[[str], int]:
    """The type of an option: an integer in a range."""

    def integer(given: str) -> int:
        try:
            number = int(given)
        except ValueError:
            raise argparse.ArgumentTypeError(f"expected an integer, got {given[:80]!r}") from None
        if not least <= number <= most:
            raise argparse.ArgumentTypeError(f"expected {least} to {most}, got {given[:80]}")
        return number

    return integer


def help_of(kind: Any, name: str) -> str:
    """The help of a field of a dataclass, with its default."""
    field = next(f for f in dataclasses.fields(kind) if f.name == name)
    default = field.default
    words = " ".join(map(str, default)) if isinstance(default, tuple) else default
    shown = f" (default: {words})" if default not in (None, "") else ""
    return (field.metadata["help"] + shown).replace("%", "%%")


def option(group: Any, kind: Any, name: str) -> None:
    """The argument for a field of a dataclass."""
    field = next(f for f in dataclasses.fields(kind) if f.name == name)
    how: dict[str, Any] = {"default": argparse.SUPPRESS, "help": help_of(kind, name)}
    choices = field.metadata.get("choices")
    if isinstance(field.default, bool):
        how["action"] = argparse.BooleanOptionalAction
    elif isinstance(field.default, tuple):
        how |= {"nargs": "+", "type": count, "metavar": "N"}
    elif choices:
        how |= {"choices": choices, "type": type(field.default)}
    else:
        kind = float if field.default is None else type(field.default)
        how |= {
            "type": text if kind is str else kind,
            "metavar": {int: "N", float: "X", str: "NAME"}[kind],
        }
    group.add_argument("--" + name.replace("_", "-"), **how)


def count(given: str) -> int | Literal["all"]:
    """A number, or "all"."""
    if given == "all":
        return "all"
    if not (given.isascii() and given.isdigit()):
        raise argparse.ArgumentTypeError(f"expected a number or all, got {given!r}")
    return int(given)


def tuples(given: dict[str, Any]) -> dict[str, Any]:
    """What argparse has in lists, as options have it."""
    return {k: tuple(value) if isinstance(value, list) else value for k, value in given.items()}


def process() -> int:
    """Which of the processes that `torchrun` started this one is.

    Raises: ValueError: what is said of it is no such number.
    """
    return environment.process()[0]


def shape(given: str) -> tuple[int, int]:
    """The size of images, ``M,N``."""
    try:
        M, N = map(int, given.split(","))
    except ValueError:
        M = N = 0
    if not 1 <= min(M, N) <= max(M, N) < 2**31:
        raise argparse.ArgumentTypeError(f"two numbers M,N, as in 224,224; got {given[:80]!r}")
    return M, N


def unread(command: str, of: str, **given: Any) -> None:
    """See that none of the options that a command does not read for something is given.

    Raises: ValueError: one is.
    """
    for name, value in given.items():
        if value is not None and value is not False:
            option = name if len(name) == 1 else name.replace("_", "-")
            raise ValueError(f"{command}: --{option} is no option {of}")


def problem(parser: argparse.ArgumentParser) -> None:
    """``--J``, ``--L`` and ``--shape`` of images."""
    parser.add_argument(
        "--J", type=integer(1, limits.SCALES), default=2, help="scales (default: 2)"
    )
    parser.add_argument("--L", type=integer(1, 256), default=8, help="angles (default: 8)")
    parser.add_argument(
        "--shape", type=shape, default=(32, 32), metavar="M,N",
        help="size of the images (default: 32,32)",
    )  # fmt: skip


def order(parser: argparse.ArgumentParser) -> None:
    """``--max-order``."""
    parser.add_argument(
        "--max-order", type=integer(0, limits.SCALES), default=2,
        help="wavelets on a path, at most J (default: %(default)s)",
    )  # fmt: skip


def bank(parser: argparse.ArgumentParser) -> None:
    """``--filters`` of images."""
    parser.add_argument(
        "--filters", choices=get_args(BankName), default="morlet", help="(default: morlet)"
    )
