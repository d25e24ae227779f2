"""One experiment: data, features, a classifier or a network, its accuracy; and its folder.

    for every n and seed: subset(y, n, seed) -> train -> accuracy on the test set

The folder of a run keeps ``config.toml``, a folder for every n and seed with ``result.json``, the
trained model and ``data.json``, which says of what content the data were (`identity`), and
``results.json`` for all. A folder belongs to one content of data.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import os
import re
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, cast

import torch
from sklearn.pipeline import Pipeline, make_pipeline
from torch import Tensor, nn

from ... import data
from ...arguments import seconds
from ...data import DataError, Dataset
from ...data.catalog import locate, read
from ...data.dataset import rank_of
from ...files import make_folder, write_text
from ...files.reading import read_json
from ...terminal import Bar
from ...typing import Loss, Resume
from ..classifiers.linear import LinearClassifier
from ..classifiers.pca import PCAAffineClassifier
from ..classifiers.ridge import RidgeClassifier
from ..classifiers.standardizer import Standardizer
from ..classifiers.views import ManyViews
from ..extraction.shard import Rows, Shard, free_memory
from ..extraction.transformer import ScatteringTransformer
from ..fitting.checkpoint import CHECKPOINT, load_weights
from ..fitting.distributed import Place, processes
from ..fitting.inference import evaluate, pick_device, predict
from ..fitting.training import fit, try_out
from ..networks import models
from ..networks.named import transform_named
from ..saving import load, save
from .identity import Watch, difference, identity
from .options import LINEAR, OF_FILES, Options, checked_n, checked_seed, read_config, write_config

__all__ = [
    "CONFIG",
    "Cell",
    "answers",
    "cell_folder",
    "classes_of",
    "dataset_of",
    "network_of",
    "noted",
    "run_experiment",
    "summary",
    "transformer_of",
    "write_skipped",
]

CONFIG, RESULTS, SKIPPED = "config.toml", "results.json", "skipped.json"
DATA, RESULT, MODEL = "data.json", "result.json", "model.safetensors"
_FREE = ("n", "seeds", "threads", "device", "data_dir", "on_error")  # others may take up a run
_KEPT = (RESULT, MODEL, CHECKPOINT)  # of one n and seed, computed on what DATA notes
_CELL = re.compile(r"n(all|[0-9]+)-seed([0-9]+)")


@dataclasses.dataclass(frozen=True)
class Cell:
    """What came out for one n and one seed."""

    n: int | Literal["all"]
    seed: int
    images: int  # trained on
    accuracy: float  # on the test set, 0 to 1
    tested: int  # images of the test set
    seconds: float  # of training and testing, features included where they were not there yet


def run_experiment(
    options: Options,
    directory: str | os.PathLike[str] | None = None,
    *,
    resume: Resume = "auto",
    save_every: float = 60.0,
    progress: bool | None = None,
    tell: Callable[[Cell], None] = lambda cell: None,
    found: Callable[[Dataset[Any]], None] = lambda dataset: None,
) -> list[Cell]:
    """Train and test for every n and seed.

    Args:
        options: data, model, features and the rest.
        directory: of the run; None keeps nothing.
        resume: ``"auto"`` takes what is there of the same experiment, ``"must"`` insists on it,
            ``"never"`` starts over.
        save_every: seconds between checkpoints of a network.
        progress: a bar for networks; None: if stderr is a terminal.
        tell: called with each cell when it is done.
        found: called with each data set that is read, one or one for every seed.
    Raises: ValueError, DataError, as their sentence says.
    Example:
        >>> [cell.accuracy > 0.98 for cell in run_experiment(Options(data="digits"))]
        [True]
    """
    save_every = seconds("save_every", save_every)
    place = processes(pick_device(options.device))
    folder = Path(directory) if directory is not None else None
    if options.threads:
        torch.set_num_threads(options.threads)
    # Nothing is written before everything is checked: a mistake leaves no trace.
    asked = [(n, seed) for n in options.n for seed in options.seeds]
    kept: dict[Any, Cell] = {}
    if folder:
        place.first(lambda: _compare(folder, options, resume))
    source = _Source(options, options.seeds[0])
    found(source.dataset)
    if folder and resume != "never":
        results = {key: _read(cell_folder(folder, *key), *key) for key in asked}
        place.first(lambda: _check_data(folder, source))
        kept = {key: cell for key, cell in results.items() if cell}
    for key in asked:
        if key not in kept:
            _check(source, *key)
    if folder:
        place.first(lambda: _begin(folder, options, resume))
    how = {"save_every": save_every, "resume": resume} if folder else {}
    cells: list[Cell] = []
    with Bar(len(asked), "model", done=len(kept)) as bar:
        for n, seed in asked:
            if source.seed not in (None, seed):
                source = _Source(options, seed)
                found(source.dataset)
                if folder:
                    _check_data(folder, source)
            cell = kept.get((n, seed))
            if cell is None:
                inside = cell_folder(folder, n, seed) if folder else None
                if inside and place.rank == 0:
                    inside.mkdir(exist_ok=True)
                    write_text(inside / DATA, json.dumps(source.identity, indent=1) + "\n")
                cell = _train(source, n, seed, inside, {**how, "progress": progress})
                for split in ("train", "test"):
                    source.watch.check(split)
                if inside and place.rank == 0:
                    write_text(inside / RESULT, json.dumps(dataclasses.asdict(cell), indent=1))
                bar.update(1)
            cells.append(cell)
            tell(cell)
    if folder and place.rank == 0:
        write_text(folder / RESULTS, json.dumps(summary(_all(folder)), indent=1) + "\n")
        write_skipped(folder, source.dataset)
    return cells


def write_skipped(folder: Path, dataset: Dataset[Any]) -> None:
    """List beside a result the files that it is without, and why; no list if there are none."""
    path = folder / SKIPPED
    if dataset.skipped:
        listed = [{"file": name, "reason": reason} for name, reason in dataset.skipped]
        write_text(path, json.dumps(listed, indent=1) + "\n")
    else:
        path.unlink(missing_ok=True)


def _compare(folder: Path, options: Options, resume: Resume) -> None:
    """See that a folder holds no run, or the same one."""
    config = folder / CONFIG
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder}: not a folder, no run can be kept in it")
    if resume == "must" and not config.exists():
        raise ValueError(f"{folder}: no run to resume, there is no {CONFIG}")
    if resume == "never" or not _begun(folder):
        return
    if not config.exists():
        raise ValueError(
            f"{folder} holds results, but no {CONFIG} that says of what: take another folder, or "
            "start over with resume = never"
        )
    kept = Options(**read_config(config, options.transform))
    for name, value in vars(options).items():
        before = getattr(kept, name)
        # More of n and of the seeds extend a run.
        if before != value and name not in _FREE:
            raise ValueError(
                f"{folder} holds a run with {name} = {before!r}, now {value!r}: take another "
                "folder, or start over with resume = never"
            )


def _begun(folder: Path) -> bool:
    """Whether anything of a run is kept; one that failed before that binds nobody."""
    return any((cell / name).exists() for cell, *_ in _cells(folder) for name in _KEPT)


def _begin(folder: Path, options: Options, resume: Resume) -> None:
    """Make the folder of a run."""
    if resume == "never":
        for old, *_ in _cells(folder):
            for name in (*_KEPT, DATA):
                (old / name).unlink(missing_ok=True)
    make_folder(folder)
    write_config(folder / CONFIG, options)


def _check_data(folder: Path, source: _Source) -> None:
    """See that what a folder keeps was computed on these data."""
    for inside, _, seed in _cells(folder):
        if source.seed not in (None, seed) or not any((inside / name).exists() for name in _KEPT):
            continue
        changed = difference(noted(inside), source.identity)
        if changed:
            raise ValueError(
                f"{inside} holds a result on other data: {changed}; it is kept: take another "
                "folder, or start over with resume = never"
            )


def noted(inside: Path) -> Any:
    """What a cell notes of its data; None if nothing."""
    path = inside / DATA
    if not path.exists():
        return None
    try:
        return read_json(path)
    except DataError as error:
        raise DataError(
            f"{error}; train again with resume = never, or into another folder"
        ) from None


def classes_of(inside: Path) -> list[str]:
    """The classes that the model of a cell knows.

    Raises: DataError: it does not say.
    """
    found = noted(inside)
    classes = found.get("classes") if isinstance(found, dict) else None
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        raise DataError(
            f"{inside / DATA}: it does not name the classes; train again with resume = never"
        )
    return classes


def _cells(folder: Path) -> Iterator[tuple[Path, int | Literal["all"], int]]:
    """The folders of a run's cells, with n and seed; a link leads out of the run and is none."""
    for inside in sorted(folder.glob("n*-seed*")):
        if (found := _CELL.fullmatch(inside.name)) and not inside.is_symlink():
            yield inside, "all" if found[1] == "all" else int(found[1]), int(found[2])


def cell_folder(folder: Path, n: int | Literal["all"], seed: int) -> Path:
    """Where a run keeps what belongs to one n and seed, both checked: inside its folder.

    Raises: ValueError: n or seed are none, or what has the name is no folder of the run's.
    """
    inside = folder / f"n{checked_n(n)}-seed{checked_seed(seed)}"
    if inside.is_symlink() or (inside.exists() and not inside.is_dir()):
        raise ValueError(f"{inside}: a link or a file; a run keeps its models in its own folders")
    return inside


def _read(inside: Path, n: int | Literal["all"], seed: int) -> Cell | None:
    path = inside / RESULT
    if not path.exists():
        return None
    try:
        cell = Cell(**read_json(path))
        for field in dataclasses.fields(Cell):
            value = getattr(cell, field.name)
            right = (int, float) if field.name in ("accuracy", "seconds") else int
            if field.name != "n" and (isinstance(value, bool) or not isinstance(value, right)):
                raise TypeError(f"{field.name} is no number")
        if (cell.n, cell.seed) != (n, seed) or min(cell.images, cell.tested) < 1:
            raise ValueError("it is of another n or seed, or of no images")
        if not 0 <= cell.accuracy <= 1 or not 0 <= cell.seconds < math.inf:
            raise ValueError("its accuracy or its time is out of range")
    except DataError as error:
        raise DataError(f"{error}; delete it") from None
    except (ValueError, TypeError) as error:
        raise DataError(f"{path}: not a result of scatcuda ({error}); delete it") from None
    return cell


def _all(folder: Path) -> list[Cell]:
    """What a run has come to in all calls, fewest images first."""
    read = (_read(inside, n, seed) for inside, n, seed in _cells(folder))
    cells = [cell for cell in read if cell]
    return sorted(cells, key=lambda cell: (math.inf if cell.n == "all" else cell.n, cell.seed))


def _check(source: _Source, n: int | Literal["all"], seed: int) -> None:
    """What would fail only when everything is under way: sizes that do not suit each other."""
    options, dataset = source.options, source.dataset
    images = len(dataset.train_y) if n == "all" else len(data.subset(dataset.train_y, n, seed))
    if options.model in LINEAR:
        _classifier(options, _shared(source, images))
        needed = 2 * source.columns * (images + len(dataset.test_y)) // Place().size
        if needed > free_memory():
            raise ValueError(
                f"J = {options.J} and L = {options.L} give {source.columns} features an image, "
                f"{needed / 2**30:.3g} GiB; {free_memory() / 2**30:.3g} GiB are free: try pool"
            )
        return
    if options.val and not int(options.val * images):
        raise ValueError(f"val = {options.val} of {images} images holds out none of them")
    train = Shard("train", (dataset.train_x, dataset.train_y))
    device = pick_device(options.device)
    network = network_of(options, dataset.train_x, len(dataset.classes), seed)
    try_out(network.to(device), train, options.recipe(seed), device)


def _shared(source: _Source, images: int) -> bool:
    """Whether of many images each process takes its share, and the ridge sums what it needs of
    them; with fewer than there are features it needs them all."""
    return Place().size > 1 and images >= source.columns


def _train(
    source: _Source, n: int | Literal["all"], seed: int, inside: Path | None, how: dict[str, Any]
) -> Cell:
    options, dataset = source.options, source.dataset
    start = time.perf_counter()
    chosen = torch.arange(len(dataset.train_y))
    if n != "all":
        chosen = data.subset(dataset.train_y, int(n), seed)
    if options.model in LINEAR:
        place = Place()
        shared = _shared(source, len(chosen))
        tested = torch.arange(len(dataset.test_y))[place.share(len(dataset.test_y))]
        chosen_here = chosen[place.share(len(chosen))] if shared else chosen
        train, test = source.features(chosen_here, tested)
        model = _classifier(options, shared)
        # Features that nobody asks for again are standardised where they lie.
        model[0].set_params(copy=train is source.train)
        model.fit(train, dataset.train_y[chosen_here])
        model[0].set_params(copy=True)
        if inside and place.rank == 0:
            whole = [("scattering", source.transformer)] if source.transformer else []
            save(Pipeline([*whole, *model.steps]), inside / MODEL)
        right = (model.predict(test) == dataset.test_y[tested]).sum()
        accuracy = int(place.sum(right)) / len(dataset.test_y)
    else:
        network = network_of(options, dataset.train_x, len(dataset.classes), seed)
        order = torch.Generator().manual_seed(seed)
        held = int(options.val * len(chosen))
        if held:
            chosen = chosen[torch.randperm(len(chosen), generator=order)]
        images, val = (
            (Rows(dataset.train_x, rows), dataset.train_y[rows])
            for rows in (chosen[held:], chosen[:held])
        )
        recipe: dict[str, Any] = options.recipe(seed).written()
        fit(network, images, val if held else None, run_dir=inside, device=options.device,
            **how, **recipe)  # fmt: skip
        _, accuracy = evaluate(network, dataset.test_x, dataset.test_y, device=options.device)
    return Cell(
        n=n, seed=seed, images=len(chosen), tested=len(dataset.test_y), accuracy=accuracy,
        seconds=round(time.perf_counter() - start, 2),
    )  # fmt: skip


def answers(options: Options, inside: Path, images: Any) -> Tensor:
    """Classes ``[n]`` of images, by the model in the folder of a cell: places in `classes_of`."""
    if options.model in LINEAR:
        model = load(inside / MODEL)
        return model.predict(_pixels(images) if options.features == "pixels" else images)
    network = network_of(options, images, len(classes_of(inside)), 0)
    load_weights(network, inside)
    return predict(network, images, device=options.device).argmax(1)


# --- what the options name --------------------------------------------------------------------


class _Source:
    """A data set, and the features of the images that this process looks at, computed once."""

    def __init__(self, options: Options, seed: int) -> None:
        self.options = options
        self.seed = seed if _seeded(options) else None
        self.dataset = _tested(dataset_of(options, seed))
        self.watch = Watch(self.dataset)
        self.transformer = None if options.features == "pixels" else transformer_of(options)
        rank = rank_of(self.dataset.train_x)
        if (rank == 1) != bool(options.Q) and options.transform == "scattering2d":
            what, more = (("signals", "say how many wavelets an octave, as in Q = 8")
                          if rank == 1 else ("images", "leave out Q"))  # fmt: skip
            if options.features != "pixels" and options.model in (*LINEAR, "hybrid"):
                raise ValueError(f"{self.dataset.name}: it is of {what}: {more}")
        if self.transformer and options.model in LINEAR:
            self.transformer.fit(self.dataset.train_x)
        self.train: Tensor | None = None
        self.test: Tensor | None = None

    @functools.cached_property
    def identity(self) -> dict[str, Any]:
        """What is noted of the data."""
        return identity(self.dataset)

    @property
    def columns(self) -> int:
        """Features of an image."""
        if self.transformer is None:
            return math.prod(self.dataset.train_x.shape[1:])
        return self.transformer.n_features_out

    def features(self, trained: Tensor, tested: Tensor) -> tuple[Tensor, Tensor]:
        """Features of some training images, and of some test images, always the same."""
        if self.test is None:
            self.test = self._features("test", Rows(self.dataset.test_x, tested))
        images = self.dataset.train_x
        once = len(self.options.n) * len(self.options.seeds) == 1
        if "all" not in self.options.n or Place().size > 1 or once:
            return self._features("train", Rows(images, trained)), self.test
        if self.train is None:
            self.train = self._features("train", images)
        return self.train if len(trained) == len(images) else self.train[trained], self.test

    def _features(self, split: str, images: Any) -> Tensor:
        if self.transformer is None:
            return _pixels(images)
        try:
            return torch.as_tensor(self.transformer.transform(images))
        except ValueError as error:  # of an image: say of which split
            raise ValueError(f"{split}: {error}") from None


def _seeded(options: Options) -> bool:
    """Whether a seed decides which images are in which part of the data set: of those that ship
    with libraries, and where a fraction is set aside for testing."""
    embedded = locate(options.data, options.data_dir or None).path is None
    return embedded or options.test_fraction > 0


def dataset_of(options: Options, seed: int) -> Dataset[Any]:
    """The images of an experiment."""
    how: dict[str, Any] = {"seed": seed} if _seeded(options) else {}
    location = locate(options.data, options.data_dir or None)
    if options.image_size or location.format == "image folder":
        how["size"] = options.image_size
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if field.name in OF_FILES and value != field.default:
            how[field.name] = value
    return read(location, **how)


def _tested(dataset: Dataset[Any]) -> Dataset[Any]:
    """The data set itself, if it can be learned from and tested on."""
    if not dataset.classes:
        raise DataError(
            f"{dataset.name}: images without labels; to learn from, they are in a directory for "
            "each class"
        )
    if not len(dataset.test_y):
        raise DataError(
            f"{dataset.name}: it has no test set; test-fraction, such as 0.2, sets a share of each "
            "class aside"
        )
    return dataset


def _pixels(images: Any) -> Tensor:
    """``[n, C M N]`` in [0, 1]."""
    x = images[torch.arange(len(images))]
    return (x.float().div_(255) if x.dtype == torch.uint8 else x.float()).flatten(1)


def transformer_of(options: Options) -> ScatteringTransformer:
    """Images to features, as the options say."""
    return ScatteringTransformer(
        options.J, options.L, options.max_order, None if options.pool == "none" else options.pool,
        log=options.log, filters=options.filters, device=options.device, dtype=options.dtype,
        Q=options.Q or None,
        scattering=None if options.transform == "scattering2d" else cast(Any, options.transform),
        normalise=options.normalise, renormalise=options.renormalise, scales=options.scales,
        views=options.views,
    )  # fmt: skip


def _classifier(options: Options, shared: bool) -> Any:
    """The linear classifier on standardised features."""
    if shared and options.model != "ridge":
        raise ValueError(f"model = {options.model} runs in one process; several can share ridge")
    classifier: Any
    if options.model == "ridge":
        alpha = options.alpha
        classifier = RidgeClassifier("loo" if alpha is None else alpha, distributed=shared)
    elif options.model == "pca":
        classifier = PCAAffineClassifier()
    else:
        loss: Loss = "squared_hinge" if options.model == "svm" else "log"
        classifier = LinearClassifier(loss=loss, C=options.C)
    if options.views:
        if shared:
            raise ValueError("views are learned from in one process")
        classifier = ManyViews(classifier, options.scales)
    return make_pipeline(Standardizer(distributed=shared), classifier)


def network_of(options: Options, images: Any, classes: int, seed: int = 0) -> nn.Module:
    """The network of such images that an experiment trains, with the weights that it starts from.

    Example:
        >>> images = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
        >>> sum(p.numel() for p in network_of(Options(model="resnet"), images, 10).parameters())
        272474
    """
    size = tuple(images.shape[1:])
    shape = (1, *size) if len(size) == rank_of(images) else size
    how: dict[str, Any] = {}
    if options.model == "hybrid":
        trainable = None if options.trainable == "none" else options.trainable
        how = {
            "J": options.J, "L": options.L, "max_order": options.max_order,
            "filters": options.filters, "trainable": trainable, "Q": options.Q or None,
        }  # fmt: skip
        if options.transform != "scattering2d":
            own = {name: how[name] for name in ("J", "L", "max_order", "filters")}
            how = {"transform": transform_named(options.transform, shape[1:], **own)}
        how["head"] = options.head
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        return models.build(options.model, classes, shape, **how)


def summary(cells: Sequence[Cell]) -> list[dict[str, Any]]:
    """Mean and standard deviation over the seeds, for every n.

    Example:
        >>> summary([Cell(100, 0, 100, 0.9, 10, 1.0), Cell(100, 1, 100, 0.8, 10, 1.0)])
        [{'n': 100, 'images': 100, 'accuracy': 0.85, 'deviation': 0.05, 'seeds': [0, 1],
          'seconds': 2.0}]
    """
    rows = []
    for n in dict.fromkeys(cell.n for cell in cells):
        mine = [cell for cell in cells if cell.n == n]
        accuracies = [cell.accuracy for cell in mine]
        rows.append({
            "n": n, "images": mine[0].images, "accuracy": round(statistics.fmean(accuracies), 6),
            "deviation": round(statistics.pstdev(accuracies), 6), "seeds": [c.seed for c in mine],
            "seconds": round(sum(cell.seconds for cell in mine), 2),
        })  # fmt: skip
    return rows
