"""The commands that learn: train, eval, features."""

from __future__ import annotations

import argparse
import dataclasses
import time
from pathlib import Path
from typing import Any, Literal, cast, get_args

from .. import environment
from ..terminal import printable, say
from ..typing import FileFormat, OnError, Resume
from .documents import Evaluated, Extracted, Trained
from .options import add, count, help_of, integer, option, process, text, tuples, unread
from .report import Report, without

__all__ = ["evaluate", "features", "train"]

_SCATTERING = (  # options of features
    "transform", "J", "L", "Q", "max_order", "filters", "pool", "scales", "views", "normalise",
    "renormalise", "log", "dtype",
)  # fmt: skip


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


def train(commands: Any) -> None:
    from ..learn.experiments.options import OF_FILES, OF_NETWORKS, Options

    parser = add(commands, "train", _run_train, _TRAIN, _TRAIN_EPILOG, Trained)
    parser.add_argument(
        "data", nargs="?", type=text, default=argparse.SUPPRESS, help=help_of(Options, "data")
    )
    run = parser.add_argument_group("the run")
    run.add_argument(
        "--config", type=text, metavar="FILE.toml", help="options; the command line overrides them"
    )
    run.add_argument("--run", type=text, metavar="DIR", help="folder of the run (default: runs/DATA-MODEL)")  # fmt: skip # noqa: E501
    run.add_argument(
        "--resume", choices=get_args(Resume), default="auto",
        help="take up what the folder holds of the same run, insist on it, or start over "
        "(default: %(default)s)",
    )  # fmt: skip
    run.add_argument("--save-every", type=float, metavar="S", help="of networks: seconds between checkpoints (default: 60)")  # fmt: skip # noqa: E501
    groups = {
        "data": ("data_dir", "image_size", *OF_FILES, "model", "n", "seeds"),
        "scattering": ("features", *_SCATTERING),
        "linear classifiers": ("alpha", "C"),
        "networks": ("head", "trainable", *OF_NETWORKS),
        "machine": ("device", "threads"),
    }  # fmt: skip
    for title, names in groups.items():
        group = parser.add_argument_group(title)
        for name in names:
            option(group, Options, name)


def _run_train(
    config: str | None, run: str | None, resume: Resume, save_every: float | None, **given: Any
) -> Report:  # fmt: skip
    from ..learn.experiments.evaluation import about_files
    from ..learn.experiments.experiment import SKIPPED, Cell, run_experiment, summary
    from ..learn.experiments.options import LINEAR, Options, read_config, read_expected
    from ..learn.fitting.distributed import Place

    given = tuples(given)
    kept = read_config(config, given.get("transform")) if config else {}
    options = Options(**{**kept, **given})
    if options.model in LINEAR:
        unread(
            "train", f"of model = {options.model}: it keeps no checkpoints", save_every=save_every
        )
    every = 60.0 if save_every is None else save_every
    expected = read_expected(config) if config else {}
    where = run or f"runs/{Path(options.data).resolve().name}-{options.model}"

    def tell(cell: Cell) -> None:
        if Place().rank == 0:
            say(
                f"{'accuracy':<10} {cell.accuracy:7.2%}   n = {cell.n}, seed {cell.seed} "
                f"({cell.images} images, {cell.seconds:.1f} s)"
            )

    read: list[Any] = []  # data sets

    def found(dataset: Any) -> None:
        if Place().rank == 0 and not read:
            for line in about_files(dataset.skipped, dataset.passed):
                say(line)
        read.append(dataset)

    start = time.perf_counter()
    cells = run_experiment(
        options, where, resume=resume, save_every=every, tell=tell, found=found
    )  # fmt: skip
    took = time.perf_counter() - start
    if Place().rank:
        return Report({})
    unmet = []
    rows = summary(cells)
    for row in rows:
        least, several = expected.get(str(row["n"])), len(row["seeds"])
        if several > 1 or least is not None:
            spread = f" ± {row['deviation']:.2%}" if several > 1 else ""
            wanted = "" if least is None else f", expected {least:g} % or more"
            say(f"{'mean':<10} {row['accuracy']:7.2%}{spread}   n = {row['n']}{wanted}")
        # What is expected is rounded as it is printed.
        if least is not None and round(100 * row["accuracy"], 2) < least:
            unmet.append(f"{row['accuracy']:.2%} for n = {row['n']}, not {least:g} %")
    if took > expected.get("seconds", took):
        unmet.append(f"{took:.1f} seconds, not {expected['seconds']:g}")
    say(f"{'kept in':<10} {printable(where)}")
    if any(dataset.skipped for dataset in read):
        say(f"{'skipped':<10} are listed in {printable(where)}/{SKIPPED}")
    document: dict[str, Any] = {
        "run": where, "cells": [dataclasses.asdict(cell) for cell in cells], "summary": rows,
        "seconds": took, "unmet": unmet, **without(read[-1].skipped, read[-1].passed),
    }  # fmt: skip
    if unmet:
        error = f"[expect] in {config} is not met: {'; '.join(unmet)}"
        return Report({**document, "error": error}, 1, error)
    return Report(document)


# --- eval -------------------------------------------------------------------------------------


def evaluate(commands: Any) -> None:
    parser = add(
        commands, "eval", _run_eval, "Test what a run trained: accuracy, confusion matrix, worst "
        "classes.", "example:\n  scatcuda eval runs/mnist-ridge --worst 3\n", Evaluated,
    )  # fmt: skip
    parser.add_argument("run", type=text, help="folder of the run")
    parser.add_argument("--n", type=count, help="of which n (default: the last)")
    parser.add_argument("--seed", type=integer(0, 2**32 - 1), help="of which seed (default: the first)")  # fmt: skip # noqa: E501
    parser.add_argument("--data", type=text, help="another data set of the same shape; classes match by name")  # fmt: skip # noqa: E501
    parser.add_argument("--data-dir", type=text, metavar="DIR", help="folder of data sets")
    parser.add_argument("--on-error", choices=get_args(OnError), help="images in files that cannot be read: stop, or skip and list them (default: the run's)")  # fmt: skip # noqa: E501
    parser.add_argument("--transform", type=text, metavar="NAME", help="that of the run, where it is package.module:function")  # fmt: skip # noqa: E501
    parser.add_argument("--worst", type=integer(0), default=5, metavar="N", help="classes to name (default: %(default)s)")  # fmt: skip # noqa: E501
    parser.add_argument("--device", type=text, help="auto, cpu or cuda (default: the run's)")


def _run_eval(
    run: str, n: int | Literal["all"] | None, seed: int | None, data: str | None,
    data_dir: str | None, on_error: OnError | None, transform: str | None, worst: int,
    device: str | None,
) -> Evaluated:  # fmt: skip
    from ..learn.experiments.evaluation import evaluate_run

    found = evaluate_run(run, n, seed, data, data_dir, device, on_error, transform)
    say(found.text(worst))
    names = ("name", "recall", "taken_for", "times")
    return {
        "run": run, "accuracy": found.accuracy, "images": len(found.truth),
        "classes": list(found.classes), "confusion": found.confusion.tolist(),
        "worst": [cast(Any, dict(zip(names, row, strict=True))) for row in found.worst(worst)],
        "missing": list(found.missing), "new": list(found.new),
        **without(found.skipped, found.passed),
    }  # fmt: skip


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


def features(commands: Any) -> None:
    from ..learn.experiments.options import OF_FILES, Options

    parser = add(commands, "features", _run_features, _FEATURES, _FEATURES_EPILOG, Extracted)
    parser.add_argument("data", type=text, help="data set: see scatcuda data list, or a path")
    parser.add_argument("--output", type=text, required=True, metavar="DIR", help="where the files go")  # fmt: skip # noqa: E501
    for name in ("data_dir", "image_size", *OF_FILES, *_SCATTERING):
        option(parser, Options, name)
    parser.add_argument(
        "--format", choices=get_args(FileFormat), default="safetensors",
        help="of the files (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--shard-size", type=integer(1), metavar="N",
        help="rows of a file (default: as many as 256 MiB hold)",
    )  # fmt: skip
    for name in ("device", "threads"):
        option(parser, Options, name)


def _run_features(
    output: str, shard_size: int | None, format: FileFormat, **given: Any
) -> Extracted:
    import torch

    from ..data.dataset import rank_of
    from ..learn.experiments.evaluation import about_files
    from ..learn.experiments.experiment import SKIPPED, dataset_of, transformer_of, write_skipped
    from ..learn.experiments.options import Options
    from ..learn.extraction.features import extract
    from ..learn.fitting.inference import pick_device

    options = Options(**tuples(given))
    pick_device(options.device)
    if options.threads:
        torch.set_num_threads(options.threads)
    dataset = dataset_of(options, 0)
    written = extract(
        dataset, transformer_of(options), output, shard_size=shard_size, format=format
    )
    if not process():
        write_skipped(Path(output), dataset)
    rows = len(dataset.train_y) + len(dataset.test_y)
    who = f" by process {process()}" if environment.process()[1] > 1 else ""
    say(f"{'features':<10} {printable(output)}: {rows} rows, {written} files written now{who}")
    noun: Literal["signals", "images"]
    noun = "signals" if rank_of(dataset.train_x) == 1 else "images"
    document: Extracted = {
        "output": output, "rows": rows, "written": written, "format": format, "of": noun,
        "shape": list(dataset.train_x.shape[1:]), "classes": list(dataset.classes),
        **without(dataset.skipped, dataset.passed),
    }  # fmt: skip
    if process():
        return document
    size = " × ".join(map(str, dataset.train_x.shape[1:]))
    labels = f"{len(dataset.classes)} classes" if dataset.classes else "without labels: -1"
    say(f"{'of':<10} {noun} {size}, {labels}")
    for line in about_files(dataset.skipped, dataset.passed):
        say(line)
    if dataset.skipped:
        say(f"{'skipped':<10} are listed in {printable(output)}/{SKIPPED}")
    return document
