"""The command ``scatcuda``: train, eval, features, filters, statistics, synthesise, invert,
generate, export, bench, data, info.

Every error that a user can make is one sentence on stderr and exit status 1, or 2 with the usage;
SCATCUDA_TRACEBACK=1 shows where it was found.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import os
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NoReturn, get_args

from .. import limits
from ..terminal import printable, say, sentence
from ..typing import BankName, FileFormat, OnError, Resume, Tier
from ..version import __version__
from . import fields

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
_SCATTERING = (  # options of features
    "transform", "J", "L", "Q", "max_order", "filters", "pool", "scales", "views", "normalise",
    "renormalise", "log", "dtype",
)  # fmt: skip


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
        if _process() and name not in _SHARED:
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


def _process() -> int:
    """Which of the processes that `torchrun` started this one is."""
    rank = os.environ.get("RANK", "")
    return int(rank) if rank.isascii() and rank.isdigit() else 0


def _said_by(name: str) -> str:
    """What an error is headed by: of several processes each says which it is."""
    which = f" (process {_process()})" if _process() else ""
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
    for add in (_train, _eval, _features, _filters, _scalogram):
        add(commands)
    for add_field in (fields.statistics, fields.synthesise, fields.invert, fields.generate):
        add_field(commands, _add, _integer, _text)
    for add in (_export, _bench, _data, _info):
        add(commands)
    return parser


def _add(
    commands: Any, name: str, command: Callable[..., int | None], text: str, epilog: str = ""
) -> argparse.ArgumentParser:
    """A subcommand; its help is the first line of `text` in the list and all of it on its own."""
    parser = commands.add_parser(
        name, help=text.partition("\n")[0], description=text, epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.set_defaults(command=command, name=name)
    return parser


# --- train ------------------------------------------------------------------------------------

_TRAIN = """\
Train a classifier or a network and test it.

Images or signals -> scattering -> ridge, svm, logistic or pca; or a network: hybrid (a CNN on
scattering), alexnet, deepface, inception, resnet. For every --n and --seeds: a balanced subset of
what there is for training, a model, its accuracy on the whole test set."""

_TRAIN_EPILOG = """\
The run folder holds the configuration (config.toml, to repeat the run with --config), results.json,
and for each n and seed the model, its history and curves. The same command given again takes up a
run that was killed; on data of other content it says what has changed, and keeps what is there.
Under torchrun, processes share the work of networks, and of a ridge with more images than features.

examples:
  scatcuda train digits --seeds 0 1 2
  scatcuda train mnist --J 3 --n 300 1000 all --seeds 0 1 2
  scatcuda train ~/flowers.tar --test-fraction 0.2 --image-size 128 --J 4 --pool mean
  scatcuda train cifar10 --model hybrid --n 1000 --augment flip,crop=4 --epochs 60
  scatcuda train recordings --label '^([0-9])_' --test '_[0-4][.]wav' --J 8 --Q 8 --log
  scatcuda train --config runs/mnist-ridge/config.toml --run runs/again --alpha 1
  torchrun --nproc-per-node=2 -m -- scatcuda train mnist --model hybrid
"""


def _train(commands: Any) -> None:
    from ..learn.experiments.options import OF_FILES, Options

    parser = _add(commands, "train", _run_train, _TRAIN, _TRAIN_EPILOG)
    parser.add_argument(
        "data", nargs="?", type=_text, default=argparse.SUPPRESS, help=_help(Options, "data")
    )
    run = parser.add_argument_group("the run")
    run.add_argument(
        "--config", type=_text, metavar="FILE.toml", help="options; the command line overrides them"
    )
    run.add_argument("--run", type=_text, metavar="DIR", help="folder of the run (default: runs/DATA-MODEL)")  # fmt: skip # noqa: E501
    run.add_argument(
        "--resume", choices=get_args(Resume), default="auto",
        help="take up what the folder holds of the same run, insist on it, or start over "
        "(default: %(default)s)",
    )  # fmt: skip
    run.add_argument("--save-every", type=float, default=60.0, metavar="S", help="seconds between checkpoints (default: %(default)s)")  # fmt: skip # noqa: E501
    run.add_argument("--progress", action=argparse.BooleanOptionalAction, default=None, help="a bar on stderr (default: if it is a terminal)")  # fmt: skip # noqa: E501
    groups = {
        "data": ("data_dir", "image_size", *OF_FILES, "model", "n", "seeds", "val"),
        "scattering": ("features", *_SCATTERING),
        "linear classifiers": ("alpha", "C"),
        "networks": ("head", "trainable", "epochs", "min_steps", "batch_size", "lr",
                     "momentum", "weight_decay", "label_smoothing", "warmup", "augment", "amp",
                     "compile", "patience"),
        "machine": ("device", "threads"),
    }  # fmt: skip
    for title, names in groups.items():
        group = parser.add_argument_group(title)
        for name in names:
            _option(group, Options, name)


def _text(text: str) -> str:
    """A name, not an empty one, which would mean something else."""
    if not text or "\0" in text:
        raise argparse.ArgumentTypeError(f"expected a name, got {text!r}")
    return text


def _integer(least: int, most: int = 2**31 - 1) -> Callable[[str], int]:
    """The type of an option: an integer in a range."""

    def integer(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"expected an integer, got {text[:80]!r}") from None
        if not least <= number <= most:
            raise argparse.ArgumentTypeError(f"expected {least} to {most}, got {text[:80]}")
        return number

    return integer


def _help(kind: Any, name: str) -> str:
    field = next(f for f in dataclasses.fields(kind) if f.name == name)
    default = field.default
    words = " ".join(map(str, default)) if isinstance(default, tuple) else default
    shown = f" (default: {words})" if default not in (None, "") else ""
    return (field.metadata["help"] + shown).replace("%", "%%")


def _option(group: Any, kind: Any, name: str) -> None:
    """The argument for a field of a dataclass."""
    field = next(f for f in dataclasses.fields(kind) if f.name == name)
    how: dict[str, Any] = {"default": argparse.SUPPRESS, "help": _help(kind, name)}
    choices = field.metadata.get("choices")
    if isinstance(field.default, bool):
        how["action"] = argparse.BooleanOptionalAction
    elif isinstance(field.default, tuple):
        how |= {"nargs": "+", "type": _count, "metavar": "N"}
    elif choices:
        how |= {"choices": choices, "type": type(field.default)}
    else:
        kind = float if field.default is None else type(field.default)
        how |= {
            "type": _text if kind is str else kind,
            "metavar": {int: "N", float: "X", str: "NAME"}[kind],
        }
    group.add_argument("--" + name.replace("_", "-"), **how)


def _count(text: str) -> int | Literal["all"]:
    """A number, or "all"."""
    if text == "all":
        return "all"
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"expected a number or all, got {text!r}")
    return int(text)


def _tuples(given: dict[str, Any]) -> dict[str, Any]:
    """What argparse has in lists, as options have it."""
    return {k: tuple(value) if isinstance(value, list) else value for k, value in given.items()}


def _bar(progress: bool | None) -> bool | None:
    """Whether a bar is shown: none where stderr is closed."""
    return progress if sys.stderr else False


def _run_train(
    config: str | None, run: str | None, resume: Resume, save_every: float, progress: bool | None,
    **given: Any,
) -> None:  # fmt: skip
    from ..learn.experiments.evaluation import about_files
    from ..learn.experiments.experiment import SKIPPED, Cell, run_experiment, summary
    from ..learn.experiments.options import Options, read_config, read_expected
    from ..learn.fitting.distributed import Place

    given = _tuples(given)
    kept = read_config(config, given.get("transform")) if config else {}
    options = Options(**{**kept, **given})
    expected = read_expected(config) if config else {}
    where = run or f"runs/{Path(options.data).resolve().name}-{options.model}"

    def tell(cell: Cell) -> None:
        if Place().rank == 0:
            say(
                f"{'accuracy':<10} {cell.accuracy:7.2%}   n = {cell.n}, seed {cell.seed} "
                f"({cell.images} images, {cell.seconds:.1f} s)"
            )

    skipped: list[bool] = []  # of each data set, whether there was anything

    def found(dataset: Any) -> None:
        if Place().rank == 0 and not skipped:
            for line in about_files(dataset.skipped, dataset.passed):
                say(line)
        skipped.append(bool(dataset.skipped))

    start = time.perf_counter()
    cells = run_experiment(
        options, where, resume=resume, progress=_bar(progress), save_every=save_every, tell=tell,
        found=found,
    )  # fmt: skip
    took = time.perf_counter() - start
    if Place().rank:
        return
    unmet = []
    for row in summary(cells):
        least, several = expected.get(str(row["n"])), len(row["seeds"])
        if several > 1 or least is not None:
            spread = f" ± {row['deviation']:.2%}" if several > 1 else ""
            bar = "" if least is None else f", expected {least:g} % or more"
            say(f"{'mean':<10} {row['accuracy']:7.2%}{spread}   n = {row['n']}{bar}")
        # What is expected is rounded as it is printed.
        if least is not None and round(100 * row["accuracy"], 2) < least:
            unmet.append(f"{row['accuracy']:.2%} for n = {row['n']}, not {least:g} %")
    if took > expected.get("seconds", took):
        unmet.append(f"{took:.1f} seconds, not {expected['seconds']:g}")
    say(f"{'kept in':<10} {printable(where)}")
    if any(skipped):
        say(f"{'skipped':<10} are listed in {printable(where)}/{SKIPPED}")
    if unmet:
        raise ValueError(f"[expect] in {config} is not met: {'; '.join(unmet)}")


# --- eval -------------------------------------------------------------------------------------


def _eval(commands: Any) -> None:
    parser = _add(
        commands, "eval", _run_eval, "Test what a run trained: accuracy, confusion matrix, worst "
        "classes.", "example:\n  scatcuda eval runs/mnist-ridge --worst 3\n",
    )  # fmt: skip
    parser.add_argument("run", type=_text, help="folder of the run")
    parser.add_argument("--n", type=_count, help="of which n (default: the last)")
    parser.add_argument("--seed", type=_integer(0, 2**32 - 1), help="of which seed (default: the first)")  # fmt: skip # noqa: E501
    parser.add_argument("--data", type=_text, help="another data set of the same shape; classes match by name")  # fmt: skip # noqa: E501
    parser.add_argument("--data-dir", type=_text, metavar="DIR", help="folder of data sets")
    parser.add_argument("--on-error", choices=get_args(OnError), help="images in files that cannot be read: stop, or skip and list them (default: the run's)")  # fmt: skip # noqa: E501
    parser.add_argument("--transform", type=_text, metavar="NAME", help="that of the run, where it is package.module:function")  # fmt: skip # noqa: E501
    parser.add_argument("--worst", type=_integer(0), default=5, metavar="N", help="classes to name (default: %(default)s)")  # fmt: skip # noqa: E501
    parser.add_argument("--device", type=_text, help="auto, cpu or cuda (default: the run's)")


def _run_eval(
    run: str, n: int | Literal["all"] | None, seed: int | None, data: str | None,
    data_dir: str | None, on_error: OnError | None, transform: str | None, worst: int,
    device: str | None,
) -> None:  # fmt: skip
    from ..learn.experiments.evaluation import evaluate_run

    found = evaluate_run(run, n, seed, data, data_dir, device, on_error, transform)
    say(found.text(worst))


# --- features ---------------------------------------------------------------------------------

_FEATURES = """\
Write the scattering features of a whole data set as sharded safetensors or Parquet.

Images in directories or archives need neither classes, -1 is the label of what has none, nor a test
set. Every file is there whole or not at all: the same command completes what a kill, a full disk or
another process left. Under torchrun the files are dealt out to the processes."""

_FEATURES_EPILOG = """\
Each file has x [rows, d], y [rows] and index [rows]; scatcuda.learn.load_features reads them all.
Parquet says in its schema what they are, too: scatcuda.learn.read_features.

examples:
  scatcuda features mnist --J 3 --output features/mnist
  scatcuda features ~/images --J 4 --on-error skip --output features/images
  scatcuda features ~/imagenet --J 5 --pool mean --dtype float16 --output features/imagenet
  scatcuda features ~/shards --J 3 --pool mean --format parquet --output features/shards
  torchrun --nproc-per-node=4 -m -- scatcuda features cifar10 --output features/cifar10
"""


def _features(commands: Any) -> None:
    from ..learn.experiments.options import OF_FILES, Options

    parser = _add(commands, "features", _run_features, _FEATURES, _FEATURES_EPILOG)
    parser.add_argument("data", type=_text, help="data set: see scatcuda data list, or a path")
    parser.add_argument("--output", type=_text, required=True, metavar="DIR", help="where the files go")  # fmt: skip # noqa: E501
    for name in ("data_dir", "image_size", *OF_FILES, *_SCATTERING):
        _option(parser, Options, name)
    parser.add_argument(
        "--format", choices=get_args(FileFormat), default="safetensors",
        help="of the files (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--shard-size", type=_integer(1), metavar="N",
        help="rows of a file (default: as many as 256 MiB hold)",
    )  # fmt: skip
    parser.add_argument(
        "--progress", action=argparse.BooleanOptionalAction, default=None,
        help="a bar on stderr (default: if it is a terminal)",
    )  # fmt: skip
    for name in ("device", "threads"):
        _option(parser, Options, name)


def _run_features(
    output: str, shard_size: int | None, progress: bool | None, format: FileFormat, **given: Any
) -> None:
    import torch

    from ..data.dataset import rank_of
    from ..learn.experiments.evaluation import about_files
    from ..learn.experiments.experiment import SKIPPED, dataset_of, transformer_of, write_skipped
    from ..learn.experiments.options import Options
    from ..learn.extraction.features import extract

    options = Options(**_tuples(given))
    if options.threads:
        torch.set_num_threads(options.threads)
    dataset = dataset_of(options, 0)
    written = extract(
        dataset, transformer_of(options), output,
        shard_size=shard_size, progress=_bar(progress), format=format,
    )  # fmt: skip
    if not _process():
        write_skipped(Path(output), dataset)
    rows = len(dataset.train_y) + len(dataset.test_y)
    who = f" by process {_process()}" if int(os.environ.get("WORLD_SIZE", 1)) > 1 else ""
    say(f"{'features':<10} {printable(output)}: {rows} rows, {written} files written now{who}")
    if _process():
        return
    size = " × ".join(map(str, dataset.train_x.shape[1:]))
    labels = f"{len(dataset.classes)} classes" if dataset.classes else "without labels: -1"
    noun = "signals" if rank_of(dataset.train_x) == 1 else "images"
    say(f"{'of':<10} {noun} {size}, {labels}")
    for line in about_files(dataset.skipped, dataset.passed):
        say(line)
    if dataset.skipped:
        say(f"{'skipped':<10} are listed in {printable(output)}/{SKIPPED}")


# --- filters, export, bench -------------------------------------------------------------------


def _shape(text: str) -> tuple[int, int]:
    try:
        M, N = map(int, text.split(","))
    except ValueError:
        M = N = 0
    if not 1 <= min(M, N) <= max(M, N) < 2**31:
        raise argparse.ArgumentTypeError(f"two numbers M,N, as in 224,224; got {text[:80]!r}")
    return M, N


def _check_room(
    caller: str, J: int, L: int, shape: Sequence[int], max_order: int = 2, batch: int = 0
) -> None:
    """Whether the memory suffices, about: a system that promises more than it has kills whoever
    believes it. In float64, the filters twice, a batch of images and of coefficients."""
    from ..learn.extraction.shard import free_memory
    from ..program.plan import checked_plan

    plan = checked_plan(caller, J, shape, L, max_order, False)
    numbers = 2 * (J * L + 1) * math.prod(plan.padded)
    numbers += batch * (plan.channels * math.prod(plan.output) + math.prod(shape))
    needed, free = 8 * numbers, free_memory()
    if needed > free:
        raise ValueError(
            f"{caller}: J = {J}, L = {L} and shape = {tuple(shape)} take {needed / 2**30:.3g} GiB "
            f"of memory; {free / 2**30:.3g} GiB are free"
        )


def _problem(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--J", type=_integer(1, limits.SCALES), default=2, help="scales (default: %(default)s)"
    )
    parser.add_argument(
        "--L", type=_integer(1, 256), default=8, help="angles (default: %(default)s)"
    )
    parser.add_argument(
        "--shape", type=_shape, default=(32, 32), metavar="M,N",
        help="size of the images (default: 32,32)",
    )  # fmt: skip


def _order(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--max-order", type=_integer(0, limits.SCALES), default=2,
        help="wavelets on a path, at most J (default: %(default)s)",
    )  # fmt: skip


def _bank(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--filters", choices=get_args(BankName), default="morlet", help="(default: %(default)s)"
    )


def _filters(commands: Any) -> None:
    parser = _add(
        commands, "filters", _run_filters,
        "Describe, draw or save a filter bank.\n\nFrame bounds, supports and sizes; with --output "
        "a picture, or the filters themselves.",
        "examples:\n  scatcuda filters --J 3 --shape 64,64 --output filters.png\n"
        "  scatcuda filters --filters tight --output bank.safetensors\n"
        "  scatcuda filters --J 8 --Q 8 1 --length 8192 --output signals.png\n"
        "  scatcuda filters --J 6 --Q 8 --J-fr 3 --length 4096 --output joint.png\n"
        "  scatcuda filters --L 8 --K 3 --output angles.png\n"
        "  scatcuda filters --degrees 3 --output harmonics.png\n",
    )  # fmt: skip
    _problem(parser)
    _bank(parser)
    parser.add_argument(
        "--Q", type=_integer(1, limits.ANGLES), nargs="+", metavar="N",
        help="of signals: wavelets an octave, of each order",
    )  # fmt: skip
    parser.add_argument("--length", type=_integer(2, limits.SIDE), metavar="N", help="of signals, with --Q: samples (default: 8192)")  # fmt: skip # noqa: E501
    parser.add_argument("--J-fr", type=_integer(1, limits.SCALES), metavar="N", help="of signals, with --Q: those joint in time and log-frequency")  # fmt: skip # noqa: E501
    parser.add_argument("--K", type=_integer(1, 8), metavar="N", help="of images: wavelets along their angles")  # fmt: skip # noqa: E501
    parser.add_argument("--degrees", type=_integer(0, 8), metavar="L", help="of densities: solid harmonics up to this degree")  # fmt: skip # noqa: E501
    parser.add_argument("--output", type=_text, metavar="FILE", help="ends in .png or .safetensors")


def _run_filters(
    J: int, L: int, shape: Sequence[int], filters: BankName, output: str | None,
    Q: list[int] | None = None, length: int | None = None, J_fr: int | None = None,
    K: int | None = None, degrees: int | None = None,
) -> None:  # fmt: skip
    from ..draw.bank import filters_report
    from ..draw.joint import draw_angular_wavelets, draw_solid_harmonics, joint_filters_report
    from ..draw.signals import signal_filters_report

    if degrees is not None:
        if Q or output is None:
            raise ValueError("filters: degrees are of densities, and want an output, a picture")
        draw_solid_harmonics(output, degrees)
        count = (degrees + 1) ** 2
        say(f"{printable(output)}: {count} solid harmonics of degrees 0 to {degrees}")
        return
    if K is not None:
        if Q or output is None:
            raise ValueError("filters: K is of images, and wants an output, a picture")
        draw_angular_wavelets(output, L, K)
        say(f"{printable(output)}: {K} wavelets of {2 * L} angles, and their low-pass")
        return
    if J_fr is not None:
        if not Q:
            raise ValueError("filters: J_fr is of signals, with Q")
        say(joint_filters_report(J, J_fr, length or 8192, tuple(Q), output))
        return
    if Q:
        if (L, tuple(shape), filters) != (8, (32, 32), "morlet"):
            raise ValueError("filters: L, shape and filters are of images; with Q, say length")
        say(signal_filters_report(J, length or 8192, tuple(Q), output))
        return
    if length is not None:
        raise ValueError("filters: length is of signals, with Q")
    _check_room("filters", J, L, shape)
    say(filters_report(J, (shape[0], shape[1]), L, filters, output))


def _scalogram(commands: Any) -> None:
    parser = _add(
        commands, "scalogram", _run_scalogram,
        "Draw a recording: its scalogram, and its scattering over time.\n\nOf a long one the first "
        "seconds, a minute unless told otherwise.",
        "example:\n  scatcuda scalogram speech.wav --J 8 --Q 12 --output speech.png\n",
    )  # fmt: skip
    parser.add_argument("recording", type=_text, help="WAV, FLAC, OGG; needs soundfile")
    parser.add_argument("--output", type=_text, required=True, metavar="FILE.png", help="the picture")  # fmt: skip # noqa: E501
    parser.add_argument("--J", type=_integer(1, limits.SCALES), default=8, help="scales (default: %(default)s)")  # fmt: skip # noqa: E501
    parser.add_argument("--Q", type=_integer(1, limits.ANGLES), default=[8], nargs="+", metavar="N", help="wavelets an octave, of each order (default: 8)")  # fmt: skip # noqa: E501
    parser.add_argument("--seconds", type=float, default=60.0, metavar="S", help="of the recording (default: %(default)s)")  # fmt: skip # noqa: E501


def _run_scalogram(recording: str, output: str, J: int, Q: list[int], seconds: float) -> None:
    from ..data import DataError, blocks
    from ..data.folders.audio import rate_of
    from ..draw.signals import draw_scalogram

    rate = rate_of(recording)
    x = next(blocks(recording, seconds), None)
    if x is None:
        raise DataError(f"{recording}: it has no samples")
    draw_scalogram(output, x, J, tuple(Q), rate, Path(recording).stem)
    say(f"{printable(output)}: {len(x)} samples, {rate} a second")


_EXPORT = """\
Write a plan file: a problem and its filters, for C and C++ programs.

scatcuda_plan_load reads it in a program without Python; see PIPELINES.md."""


def _export(commands: Any) -> None:
    parser = _add(
        commands, "export", _run_export, _EXPORT,
        "example:\n  scatcuda export plan.scat --J 3 --shape 224,224\n",
    )  # fmt: skip
    parser.add_argument("output", type=_text, metavar="FILE", help="the plan file to write")
    _problem(parser)
    _order(parser)
    parser.add_argument("--pre-pad", action="store_true", help="the images will come padded")
    _bank(parser)
    parser.add_argument(
        "--dtype", choices=("float32", "float64"), default="float32",
        help="what the program computes with (default: %(default)s)",
    )  # fmt: skip


def _run_export(output: str, dtype: str, shape: tuple[int, int], **problem: Any) -> None:
    import torch

    from ..transforms.scattering2d import Scattering2D

    _check_room("export", problem["J"], problem["L"], shape, problem["max_order"])
    scattering = Scattering2D(shape=shape, **problem)
    size = scattering.save_plan(output, getattr(torch, dtype))
    M, N = scattering.input_shape
    C, m, n = scattering.output_shape
    say(f"{printable(output)}: {dtype}, {M} × {N} -> {C} × {m} × {n}, {size:,} bytes")


def _bench(commands: Any) -> None:
    parser = _add(
        commands, "bench", _run_bench,
        "Time a problem of your own against plain PyTorch and Kymatio.\n\nIn turn, medians; Kymatio"
        " if it is installed. The suite of all cases is `make bench` in a checkout.",
        "example:\n  scatcuda bench --J 3 --shape 224,224 --batch 4 --backward\n",
    )  # fmt: skip
    _problem(parser)
    _order(parser)
    parser.add_argument(
        "--batch", type=_integer(1), default=8, help="images (default: %(default)s)"
    )
    parser.add_argument("--double", action="store_true", help="float64")
    parser.add_argument("--backward", action="store_true", help="with the gradient")
    parser.add_argument(
        "--device", type=_text, default="cpu", help="cpu or cuda (default: %(default)s)"
    )
    parser.add_argument(
        "--threads", type=_integer(1, 1024), default=1, help="(default: %(default)s)"
    )


def _run_bench(double: bool, **problem: Any) -> None:
    import torch

    from .bench import bench, bench_text

    sizes = ("J", "L", "shape", "max_order", "batch")
    _check_room("bench", **{name: problem[name] for name in sizes})
    say(bench_text(bench(**problem, dtype=torch.float64 if double else torch.float32)))


# --- data, info -------------------------------------------------------------------------------

_DATA = """\
List the data sets that are here, or verify one.

Looked for in --data-dir, the folders of $SCATCUDA_DATA, and where Debian keeps them, under the
names that archives and torchvision give them. IDX, CIFAR, SVHN's .mat, STL-10's .bin, .npz, CSV,
Parquet and folders of images are read: python -m pydoc scatcuda.data lists them."""


def _data(commands: Any) -> None:
    parser = _add(
        commands, "data", _run_data, _DATA,
        "examples:\n  scatcuda data list --data-dir ~/data\n  scatcuda data verify mnist\n",
    )  # fmt: skip
    parser.add_argument("what", choices=("list", "verify"), help="all, or one to its last byte")
    parser.add_argument("data", nargs="?", type=_text, help="of verify: a data set's name or path")
    parser.add_argument("--data-dir", type=_text, metavar="DIR", help="folder of data sets, searched first")  # fmt: skip # noqa: E501


def _run_data(what: str, data: str | None, data_dir: str | None) -> int:
    from ..data import available, list_text, verify, verify_text

    if what == "list":
        if data is not None:
            raise ValueError(f"list takes no data set; to look into {data}: data verify {data}")
        say(list_text(available(data_dir)))
        return 0
    if data is None:
        raise ValueError("verify needs a data set, as in: scatcuda data verify mnist")
    checks = verify(data, data_dir)
    say(verify_text(checks))
    return 0 if all(check.ok for check in checks) else 1


_INFO = """\
Tell what was built and what this machine runs.

With a problem: how the CUDA engine would run it."""


def _info(commands: Any) -> None:
    from ..config import GPUS

    parser = _add(
        commands, "info", _run_info, _INFO,
        "example:\n  scatcuda info --J 3 --shape 224,224 --device H100\n",
    )  # fmt: skip
    parser.add_argument("--J", type=_integer(1, limits.SCALES), help="number of scales")
    parser.add_argument("--shape", type=_shape, metavar="M,N", help="size of the images")
    parser.add_argument("--L", type=_integer(1, 256), default=8, help="number of angles")
    _order(parser)
    parser.add_argument("--batch", type=_integer(1), default=128, help="number of images")
    parser.add_argument("--double", action="store_true", help="float64")
    parser.add_argument("--tier", choices=get_args(Tier), default="auto", help="(default: auto)")
    parser.add_argument("--workspace", type=_integer(1, 2**63 - 1), help="bytes")
    parser.add_argument(
        "--device", type=_text, default="cuda", help=f"cuda, cuda:1 … or {', '.join(GPUS)}"
    )


def _run_info(J: int | None, shape: Sequence[int] | None, double: bool, **problem: Any) -> None:
    import torch

    from ..config import cuda_launch, show_config

    if J is None and shape is None:
        show_config()
        return
    if J is None or shape is None:
        raise ValueError("a problem has --J and --shape")
    try:
        dtype = torch.float64 if double else torch.float32
        say(str(cuda_launch(J, shape, dtype=dtype, **problem)))
    except RuntimeError as error:  # no such GPU here, or no engine for it
        raise ValueError(str(error)) from None
