"""The options of an experiment: what the command line's ``train`` takes and a run folder keeps."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from pathlib import Path
from typing import Any, Literal, get_args

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from ..arguments import plain
from ..files import write_text
from ..typing import BankName, Classifier, FeatureType, Head, Network, Pooling, Trainable
from .recipe import Recipe

__all__ = ["LINEAR", "NETWORKS", "Options", "read_config", "read_expected", "write_config"]

_KINDS = {
    bool: "true or false",
    int: "an integer",
    float: "a number",
    str: "text",
    tuple: "a tuple",
}
Features = Literal["scattering", "pixels"]
LINEAR: tuple[Classifier, ...] = get_args(Classifier)
NETWORKS: tuple[Network, ...] = get_args(Network)


def _option(default: Any, help: str, **how: Any) -> Any:
    """A field with what the command line says about it."""
    return dataclasses.field(default=default, metadata={"help": help, **how})


@dataclasses.dataclass(frozen=True)
class Options:
    """What to learn from which data, and how.

    Raises: TypeError, ValueError: an option is of the wrong type or out of its range.
    Example:
        >>> Options(data="mnist", J=3, n=(300, "all")).seeds
        (0,)
    """

    data: str = _option("digits", "data set: see `scatcuda data list`, or a path")
    data_dir: str = _option("", "folder of data sets, searched before $SCATCUDA_DATA")
    image_size: int = _option(0, "image folders: side in pixels; digits, textures too; 0: theirs")
    model: Classifier | Network = _option(
        "ridge", "classifier or network", choices=(*LINEAR, *NETWORKS)
    )
    n: tuple[int | Literal["all"], ...] = _option(
        ("all",), "training images, as many of each class, or all"
    )
    seeds: tuple[int, ...] = _option((0,), "of the subsets, the weights, the order")

    features: Features = _option(
        "scattering", "what a linear classifier sees", choices=get_args(Features)
    )
    J: int = _option(2, "scales: coefficients average over 2^J pixels")
    L: int = _option(8, "angles")
    max_order: int = _option(2, "orders of scattering: 0, 1 or 2", choices=(0, 1, 2))
    filters: BankName = _option("morlet", "filter bank", choices=get_args(BankName))
    pool: Literal["none"] | Pooling = _option(
        "none", "of linear classifiers' features: spatial mean; rotation: invariant to it too",
        choices=("none", *get_args(Pooling)),
    )  # fmt: skip
    log: bool = _option(False, "logarithm of orders 1 and 2")
    dtype: FeatureType = _option(
        "float16", "of the features of linear classifiers", choices=get_args(FeatureType)
    )

    alpha: float | None = _option(None, "ridge penalty; none: by leave-one-out")
    C: float = _option(1.0, "svm, logistic: inverse penalty, as scikit-learn's")
    head: Head = _option("resnet", "of hybrid", choices=get_args(Head))
    trainable: Literal["none"] | Trainable = _option(
        "none", "of hybrid: what is learned in the scattering too",
        choices=("none", *get_args(Trainable)),
    )  # fmt: skip

    epochs: int = _option(10, "networks: passes over the training images")
    min_steps: int = _option(Recipe.min_steps, "few images: more epochs, until so many steps")
    batch_size: int = _option(Recipe.batch_size, "images a step")
    lr: float = _option(Recipe.lr, "largest learning rate")
    momentum: float = _option(Recipe.momentum, "Nesterov's")
    weight_decay: float = _option(Recipe.weight_decay, "not of biases")
    label_smoothing: float = _option(Recipe.label_smoothing, "0 to 1")
    warmup: float = _option(Recipe.warmup, "part of the steps in which the learning rate rises")
    augment: str = _option("none", "none, flip, crop=4 or flip,crop=4")
    amp: bool = _option(False, "mixed precision")
    compile: bool = _option(False, "torch.compile the network")
    val: float = _option(0.0, "networks: part of the training images held out to validate on")
    patience: int = _option(0, "stop after so many validations without a new best; 0: never")

    device: str = _option("auto", "auto, cpu or cuda")
    threads: int = _option(0, "of the CPU; 0: PyTorch's choice")

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            choices, value = field.metadata.get("choices"), plain(getattr(self, field.name))
            value = tuple(map(plain, value)) if isinstance(value, tuple) else value
            object.__setattr__(self, field.name, value)
            kind = float if field.default is None else type(field.default)
            right = (kind, int) if kind is float else kind
            if not (value is None and field.default is None) and (
                not isinstance(value, right) or (isinstance(value, bool) and kind is not bool)
            ):
                raise TypeError(f"{field.name} must be {_KINDS[kind]}, got {value!r}")
            if choices and value not in choices:
                raise ValueError(f"{field.name} must be one of {choices}, got {value!r}")
        if not self.n or not self.seeds:
            raise ValueError("n and seeds must name at least one each")
        for n in self.n:
            if n != "all" and (not isinstance(n, int) or n < 1):
                raise ValueError(f"n must be a number of images or all, got {n!r}")
        if not 0 <= self.val < 1:
            raise ValueError(f"val must be at least 0 and below 1, got {self.val}")
        if self.patience and not self.val:
            raise ValueError("patience needs images to validate on: val, such as 0.1")
        self.recipe(0)  # raises for what is wrong with it

    def recipe(self, seed: int) -> Recipe:
        """How the network is trained."""
        names = {f.name for f in dataclasses.fields(Recipe)} - {"seed"}
        return Recipe(**{name: getattr(self, name) for name in names}, seed=seed)


def write_config(path: Path, options: Options) -> None:
    """Write a TOML file with every option."""
    lines = [f"# scatcuda train --config {path.name}\n"]
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if value is None:
            continue  # TOML has no such value: the default
        value = list(value) if isinstance(value, tuple) else value
        lines.append(f"{field.name} = {json.dumps(value)}\n")  # JSON's scalars and lists are TOML's
    write_text(path, "".join(lines))


def read_config(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The options in a TOML file, by the names of the fields of `Options`.

    Raises: ValueError: there is no such file, it is no TOML, or it names what is no option.
    """
    found = _read(path)
    found.pop("expect", None)
    given = {}
    names = {field.name for field in dataclasses.fields(Options)}
    for key, value in found.items():
        name = key.replace("-", "_")
        if name not in names:
            raise ValueError(f"{path}: {key!r} is no option; see scatcuda train --help")
        many = name in ("n", "seeds")
        given[name] = tuple(value if isinstance(value, list) else [value]) if many else value
    return given


def read_expected(path: str | os.PathLike[str]) -> dict[str, float]:
    """What a TOML file's table ``[expect]`` says of an n's accuracy: per cent, at least.

    Raises: ValueError: it says something else.
    """
    expected = _read(path).get("expect", {})
    if not isinstance(expected, dict) or any(
        isinstance(value, bool) or not isinstance(value, int | float) for value in expected.values()
    ):
        raise ValueError(f"{path}: [expect] must give a percentage for each n, got {expected!r}")
    return {str(key): float(value) for key, value in expected.items()}


def _read(path: str | os.PathLike[str]) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not TOML ({error})") from None
