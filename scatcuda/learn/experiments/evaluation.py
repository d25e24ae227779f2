"""What a trained classifier gets right and wrong on a test set."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...data import DataError, Dataset
from ...data.folders.parts import passed_text
from ...terminal import printable
from ...typing import OnError
from ..fitting.inference import pick_device
from .experiment import CONFIG, answers, cell_folder, classes_of, dataset_of, noted
from .identity import compared, difference, identity
from .options import Options, checked_n, checked_seed, read_config

__all__ = ["Evaluation", "about_files", "evaluate_run"]

_WIDEST = 40  # letters of a class in the table


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Predictions beside the truth.

    Example:
        >>> result = Evaluation(("cat", "dog"), torch.tensor([0, 0, 1]), torch.tensor([0, 1, 1]))
        >>> result.accuracy, result.confusion.tolist()
        (0.6666666666666666, [[1, 1], [0, 1]])
    """

    classes: Sequence[str]  # that the classifier knows
    truth: Tensor  # [n], int64
    predicted: Tensor  # [n], int64
    missing: Sequence[str] = ()  # classes of which the data know nothing
    new: Sequence[str] = ()  # classes of the data that the classifier does not know: no test images
    skipped: Sequence[tuple[str, str]] = ()  # files that could not be read, and why
    passed: Mapping[str, int] = dataclasses.field(default_factory=dict)  # over, by reason: how many

    @property
    def accuracy(self) -> float:
        return float((self.truth == self.predicted).double().mean())

    @property
    def confusion(self) -> NDArray[np.int64]:
        """``[classes, classes]``: images of the row's class that were taken for the column's."""
        from sklearn.metrics import confusion_matrix

        labels = np.arange(len(self.classes))
        return confusion_matrix(self.truth.numpy(), self.predicted.numpy(), labels=labels)

    def worst(self, count: int) -> list[tuple[str, float, str, int]]:
        """Classes with the lowest recall: name, recall, what they are most taken for, how often."""
        confusion = self.confusion
        total = confusion.sum(1)
        recall = np.diag(confusion) / np.maximum(total, 1)
        wrong = confusion - np.diag(np.diag(confusion))
        order = [c for c in np.argsort(recall, kind="stable") if total[c]][:count]
        return [
            (
                self.classes[c],
                float(recall[c]),
                self.classes[wrong[c].argmax()],
                int(wrong[c].max()),
            )
            for c in order
        ]

    def text(self, worst: int = 5) -> str:
        """Accuracy, the confusion matrix of up to twenty classes, the worst classes."""
        lines = [f"{'accuracy':<10} {self.accuracy:.2%} of {len(self.truth)} images"]
        for title, names in (("missing", self.missing), ("new", self.new)):
            if names:
                words = "not in these data" if title == "missing" else "unknown to the model"
                lines.append(f"{title:<10} {', '.join(names)}: {words}")
        lines += about_files(self.skipped, self.passed)
        lines += [f"  {name}: {reason}" for name, reason in self.skipped]
        if len(self.classes) <= 20:
            names = [printable(name) for name in self.classes]
            wide = max(5, *(len(str(v)) + 1 for v in self.confusion.flat))
            heads, columns = names, ""
            if max(map(len, names)) >= wide:  # columns as narrow as their numbers
                heads, columns = [str(i) for i in range(1, len(names) + 1)], ", by their row"
                names = [f"{i:>2} {_short(name)}" for i, name in enumerate(names, 1)]
            left = max(map(len, names)) + 2
            lines += ["", f"rows: what the images are; columns{columns}: what they were taken for"]
            lines.append(" " * left + "".join(f"{head:>{wide}}" for head in heads))
            for name, row in zip(names, self.confusion, strict=True):
                lines.append(f"{name:<{left}}" + "".join(f"{v or '·':>{wide}}" for v in row))
        found = [
            (printable(name), recall, printable(other), times)
            for name, recall, other, times in self.worst(worst)
        ]
        if found:
            lines += ["", "worst classes: right, and what they are most taken for"]
            left = max(len(name) for name, *_ in found) + 2
            for name, recall, other, times in found:
                words = f"{other}, {times} times" if times else "nothing else"
                lines.append(f"{name:<{left}}{recall:7.2%}   {words}")
        return "\n".join(lines)


def _short(name: str) -> str:
    return name if len(name) <= _WIDEST else f"{name[: _WIDEST - 1]}…"


def evaluate_run(
    run: str | os.PathLike[str],
    n: int | Literal["all"] | None = None,
    seed: int | None = None,
    data: str | None = None,
    data_dir: str | None = None,
    device: str | None = None,
    on_error: OnError | None = None,
    transform: str | None = None,
) -> Evaluation:
    """Test what `run_experiment` left in a folder.

    Args:
        run: the folder.
        n, seed: which of its models; None: the last n, the first seed.
        data, data_dir: another data set of the same shape, another place. Its classes are matched
            by name; it may have fewer. Of one without a test set all images are tested; of the
            run's own data, wherever they are now, those that it has set aside.
        device, on_error: others than the run's.
        transform: that of the run, where it is ``package.module:function``: a folder does not have
            code imported.
    Raises: ValueError, DataError: there is no such run, model or device, or the data do not fit
        it: test images are of a class that the model does not know, or of what was set aside nobody
        knows any more which they are.
    Example:
        >>> import tempfile
        >>> from scatcuda.learn import Options, run_experiment
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     cells = run_experiment(Options(data="digits", n=(100,)), folder)
        ...     evaluate_run(folder).accuracy == cells[0].accuracy
        True
    """
    n = None if n is None else checked_n(n)
    seed = None if seed is None else checked_seed(seed)
    folder = Path(run)
    if not (folder / CONFIG).is_file():
        raise ValueError(f"{folder}: not the folder of a run, there is no {CONFIG}")
    changed = {"data": data, "data_dir": data_dir, "device": device, "on_error": on_error}
    kept = read_config(folder / CONFIG, transform)
    if transform is not None and transform != kept.get("transform", "scattering2d"):
        raise ValueError(f"{folder}: trained with transform = {kept.get('transform')!r}")
    options = Options(**{**kept, **{k: v for k, v in changed.items() if v is not None}})
    pick_device(options.device)
    n = options.n[-1] if n is None else n
    seed = options.seeds[0] if seed is None else seed
    inside = cell_folder(folder, n, seed)
    if not inside.is_dir():
        here = sorted(path.name for path in folder.glob("n*-seed*"))
        raise ValueError(
            f"{folder}: no model for n = {n}, seed {seed}; there are {', '.join(here)}"
        )
    dataset = _outside(options, kept.get("data"), seed, noted(inside), inside)
    if not dataset.classes:
        raise DataError(f"{dataset.name}: images without labels, which cannot be tested")
    if not len(dataset.test_y):
        dataset = dataclasses.replace(dataset, test_x=dataset.train_x, test_y=dataset.train_y)
    classes = classes_of(inside)
    truth = _matched(dataset, classes)
    predicted = torch.as_tensor(answers(options, inside, dataset.test_x))
    missing = [name for name in classes if name not in dataset.classes]
    new = [name for name in dataset.classes if name not in classes]
    return Evaluation(classes, truth, predicted, missing, new, dataset.skipped, dataset.passed)


def _outside(
    options: Options, data: str | None, seed: int, before: Any, inside: Path
) -> Dataset[Any]:
    """The data to test on. Where a run has set a share of its images aside, that share comes out
    the same only from the same images: of others it would hold some that were learned from."""
    if not options.test_fraction:
        return dataset_of(options, seed)
    same = os.path.realpath(options.data) == os.path.realpath(data or "")
    try:
        found = dataset_of(options, seed)
    except DataError:  # another data set may be one of which nothing can be set aside
        if same:
            raise
        return dataset_of(dataclasses.replace(options, test_fraction=0.0), seed)
    parts = ("classes", "train")
    if isinstance(before, Mapping):
        before = {name: before[name] for name in parts if name in before}
    changed = difference(before, {k: v for k, v in identity(found).items() if k in parts})
    if not changed:
        return found
    if not same:
        return dataset_of(dataclasses.replace(options, test_fraction=0.0), seed)
    raise ValueError(
        f"{inside} was trained on other images of {options.data}: {changed}. Which of them were "
        "set aside for testing cannot be told any more"
    )


def about_files(skipped: Sequence[tuple[str, str]], passed: Mapping[str, int]) -> list[str]:
    """What a data set leaves out, in lines to print.

    Example:
        >>> about_files([("a.jpg", "truncated")], {"hidden": 2})
        ['skipped    1 that cannot be read', 'passed     over 2 hidden']
    """
    lines = [f"{'skipped':<10} {len(skipped)} that cannot be read"] if skipped else []
    return [*lines, *([f"{'passed':<10} over {passed_text(passed)}"] if passed else [])]


def _matched(dataset: Dataset[Any], classes: Sequence[str]) -> Tensor:
    """Test labels as places in `classes`, by name."""
    for names in (classes, dataset.classes):
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"classes are matched by name, but there are several of {twice[0]!r}")
    places = {name: k for k, name in enumerate(classes)}
    place = torch.tensor([places.get(name, -1) for name in dataset.classes])
    truth = place[dataset.test_y]
    unknown = int((truth < 0).sum())
    if unknown:
        raise ValueError(
            f"{unknown} of {len(truth)} test images of {dataset.name} are of classes that the "
            f"model does not know; {compared(classes, dataset.classes)}"
        )
    return truth
