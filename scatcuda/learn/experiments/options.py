"""The options of an experiment: what the command line's ``train`` takes and a run folder keeps."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import sys
from pathlib import Path
from typing import Any, Literal, get_args

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from ... import limits
from ...arguments import device as known_device
from ...arguments import plain
from ...data import DataError
from ...files import write_text
from ...files.reading import opened
from ...program.paths import most_order
from ...typing import BankName, Classifier, FeatureType, Head, Network, OnError, Pooling, Trainable
from ..fitting.recipe import Recipe
from ..networks.named import check_name, is_foreign

__all__ = [
    "LINEAR",
    "NETWORKS",
    "OF_FILES",
    "OF_NETWORKS",
    "Options",
    "checked_n",
    "checked_seed",
    "read_config",
    "read_expected",
    "write_config",
]

_KINDS = {
    bool: "true or false",
    int: "an integer",
    float: "a number",
    str: "text",
    tuple: "a tuple",
}
_MANY = 2**31 - 1  # of images, steps, pixels: more is a slip of the finger
_CONFIG_DOTS = 256  # of a line of it; only names of files have some
_CONFIG_BYTES = 1 << 14  # of a configuration file; one with every option has a thousand
Features = Literal["scattering", "pixels"]
OF_FILES = (
    "crop", "grey", "test_fraction", "on_error", "length", "rate", "label", "test", "signals",
)  # fmt: skip  # as the readers call them
OF_NETWORKS = (
    "epochs", "min_steps", "batch_size", "lr", "momentum", "weight_decay", "label_smoothing",
    "warmup", "augment", "amp", "compile", "val", "patience",
)  # fmt: skip
LINEAR: tuple[Classifier, ...] = get_args(Classifier)
NETWORKS: tuple[Network, ...] = get_args(Network)


def _option(default: Any, help: str, **how: Any) -> Any:
    """A field with what the command line says about it, and its `choices`, or the range of a
    number: from `least` to `most`, or `above` and `below`."""
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
    image_size: int = _option(
        0, "images in files: side in pixels, 0: theirs if all have one size, else 224; digits, "
        "textures: 0: the usual", least=0, most=1 << 14,
    )  # fmt: skip
    crop: float = _option(
        0.875, "images in files: side of the central square that is kept, of their shorter side",
        above=0, most=1,
    )  # fmt: skip
    grey: bool = _option(False, "images in files: brightness instead of colours")
    test_fraction: float = _option(
        0.0, "data without a test set: share of each class for testing", least=0, below=1,
    )  # fmt: skip
    on_error: OnError = _option(
        "stop", "images in files that cannot be read: stop, or skip and list them",
        choices=get_args(OnError),
    )  # fmt: skip
    length: int = _option(
        0, "recordings: samples that are kept of each, the middle ones; 0: of the longest; beats: "
        "of each", least=0, most=limits.SIDE,
    )  # fmt: skip
    rate: int = _option(
        0, "recordings, beats: samples a second, others are resampled; 0: theirs", least=0,
        most=1 << 20,
    )  # fmt: skip
    label: str = _option(
        "", "recordings: regular expression that finds the class in a path; empty: directories"
    )
    test: str = _option(
        "", "recordings: regular expression that is found in the paths of those for testing"
    )
    signals: bool = _option(False, "CSV, npz: rows, or arrays of three axes, are signals")
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
    J: int = _option(2, "scales: coefficients average over 2^J pixels", least=1, most=limits.SCALES)
    L: int = _option(8, "angles", least=1, most=256)
    Q: tuple[int, ...] = _option(
        (), "of signals: wavelets an octave, of each order; without any, images are transformed"
    )
    max_order: int = _option(
        2, "wavelets on a path of scattering, at most J", least=0, most=limits.SCALES
    )
    filters: BankName = _option("morlet", "filter bank", choices=get_args(BankName))
    pool: Literal["none"] | Pooling = _option(
        "none", "of linear classifiers' features: spatial mean; rotation: invariant to it too",
        choices=("none", *get_args(Pooling)),
    )  # fmt: skip
    log: bool = _option(False, "logarithm of orders 1 and above")
    normalise: bool = _option(False, "each image less its mean, over its deviation")
    renormalise: bool = _option(False, "order 2 over order 1 of the same first wavelet")
    scales: int = _option(
        1,
        "scatter each image at so many scales, 2^(-i / 2), with pool: their mean",
        least=1,
        most=16,
    )
    views: bool = _option(
        False, "linear classifiers: each scale trains and is asked, not their mean"
    )
    dtype: FeatureType = _option(
        "float16", "of the features of linear classifiers", choices=get_args(FeatureType)
    )

    alpha: float | None = _option(None, "ridge penalty; none: by leave-one-out", above=0)
    C: float = _option(1.0, "svm, logistic: inverse penalty, as scikit-learn's", above=0)
    head: Head = _option("resnet", "of hybrid", choices=get_args(Head))
    trainable: Literal["none"] | Trainable = _option(
        "none", "of hybrid: what is learned in the scattering too",
        choices=("none", *get_args(Trainable)),
    )  # fmt: skip

    transform: str = _option(
        "scattering2d", "scattering2d, roto-translation; of hybrid also cascade, or "
        "package.module:function, called with the sides of an image",
    )  # fmt: skip

    epochs: int = _option(10, "networks: passes over the training images", least=1)
    min_steps: int = _option(
        Recipe.min_steps, "few images: more epochs, until so many steps", least=0
    )
    batch_size: int = _option(Recipe.batch_size, "images a step", least=1)
    lr: float = _option(Recipe.lr, "largest learning rate", above=0)
    momentum: float = _option(Recipe.momentum, "Nesterov's", least=0, below=1)
    weight_decay: float = _option(Recipe.weight_decay, "not of biases", least=0)
    label_smoothing: float = _option(Recipe.label_smoothing, "0 to 1", least=0, below=1)
    warmup: float = _option(
        Recipe.warmup, "part of the steps in which the learning rate rises", above=0, below=1
    )
    augment: str = _option("none", "none, flip, crop=4 or flip,crop=4")
    amp: bool = _option(False, "mixed precision")
    compile: bool = _option(False, "torch.compile the network")
    val: float = _option(
        0.0, "networks: part of the training images held out to validate on", least=0, below=1
    )
    patience: int = _option(
        0, "stop after so many validations without a new best; 0: never", least=0
    )

    device: str = _option("auto", "auto, cpu or cuda")
    threads: int = _option(0, "of the CPU; 0: PyTorch's choice", least=0, most=1024)

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = plain(getattr(self, field.name))
            value = tuple(map(plain, value)) if isinstance(value, tuple) else value
            object.__setattr__(self, field.name, value)
            if value is not None or field.default is not None:
                _check(field, value)
        for name, checked in (("n", checked_n), ("seeds", checked_seed)):
            values = getattr(self, name)
            for value in values:
                checked(value)
            if not values:
                raise ValueError(f"{name} must name at least one")
            if twice := [value for value in values if values.count(value) > 1]:
                raise ValueError(f"{name} must name each once, got {twice[0]} twice")
        for name in ("data", "device"):
            if not getattr(self, name):
                raise ValueError(f"{name} must not be empty")
        if self.device != "auto":  # whether it is here, shows where the work is
            known_device("", self.device, "auto, cpu or cuda", here=False)
        if self.max_order > (most := most_order(self.J)):
            raise ValueError(
                f"max_order must be at most {most} where J = {self.J}, got {self.max_order}"
            )
        for q in self.Q:
            if isinstance(q, bool) or not isinstance(q, int) or not 1 <= q <= limits.ANGLES:
                raise ValueError(f"Q must be integers from 1 to {limits.ANGLES}, got {_shown(q)}")
        if self.patience and not self.val:
            raise ValueError("patience needs images to validate on: val, such as 0.1")
        _check_read(self)
        _check_transform(self)
        self.recipe(0)  # raises for what is wrong with it

    def recipe(self, seed: int) -> Recipe:
        """How the network is trained."""
        names = {f.name for f in dataclasses.fields(Recipe)} - {"seed"}
        return Recipe(**{name: getattr(self, name) for name in names}, seed=seed)


def _check_read(options: Options) -> None:
    """That nothing is asked of a model which would be passed over."""
    linear, hybrid = options.model in LINEAR, options.model == "hybrid"
    scattering = linear and options.features == "scattering"
    readers: tuple[tuple[bool, str, tuple[str, ...]], ...] = (
        (linear, "linear classifiers", ("features",)),
        (scattering, "linear classifiers' scattering features",
         ("pool", "log", "normalise", "renormalise", "scales", "views", "dtype")),
        (scattering or hybrid, "scattering", ("J", "L", "Q", "max_order", "filters")),
        (options.model == "ridge", "model = ridge", ("alpha",)),
        (options.model in ("svm", "logistic"), "model = svm and logistic", ("C",)),
        (hybrid, "model = hybrid", ("head", "trainable")),
        (options.model in NETWORKS, "networks", OF_NETWORKS),
    )  # fmt: skip
    defaults = {field.name: field.default for field in dataclasses.fields(options)}
    pixels = " on pixels" if linear and not scattering else ""
    for reads, words, names in readers:
        for name in names:
            if not reads and (value := getattr(options, name)) != defaults[name]:
                raise ValueError(
                    f"{name} is an option of {words}, which model = {options.model}{pixels} does "
                    f"not read; got {_shown(value)}"
                )


def _check_transform(options: Options) -> None:
    """That nothing is asked of a transform which would be passed over."""
    check_name(options.transform)
    fields = {field.name: field.default for field in dataclasses.fields(options)}
    roto = options.transform == "roto-translation"
    if options.transform != fields["transform"] and options.model != "hybrid":
        if not roto or options.model not in LINEAR:
            raise ValueError(
                f"transform = {options.transform} is an option of model = hybrid, got "
                f"{options.model}"
            )
        if options.pool == "rotation":
            raise ValueError("pool = rotation is in transform = roto-translation already: mean")
    if roto and options.max_order > 2:
        raise ValueError(
            f"max_order must be at most 2 where transform = roto-translation, got "
            f"{options.max_order}"
        )
    if options.scales > 1 and options.pool == "none":
        raise ValueError(f"scales = {options.scales} wants features without positions: pool")
    if options.views and options.scales == 1:
        raise ValueError("views are those of several scales: scales, such as 4")
    own = ["trainable"]
    if is_foreign(options.transform):
        own += ["J", "L", "max_order", "filters"]
    if options.Q:
        if options.pool == "rotation":
            raise ValueError("pool = rotation wants angles, which signals have not")
        for name in ("L", "filters", "transform"):
            if (value := getattr(options, name)) != fields[name]:
                raise ValueError(f"{name} is no option of signals, with Q; got {value!r}")
    if options.transform != fields["transform"]:
        for name in own:
            if (value := getattr(options, name)) != fields[name]:
                raise ValueError(
                    f"{name} is no option of transform = {options.transform}, got {value!r}"
                )


def _check(field: Any, value: Any) -> None:
    """Whether a value is of the kind of its field, and in its range."""
    name, how = field.name, field.metadata
    kind: Any = float if field.default is None else type(field.default)
    right: Any = (kind, int) if kind is float else kind
    if not isinstance(value, right) or (isinstance(value, bool) and kind is not bool):
        raise TypeError(f"{name} must be {_KINDS[kind]}, got {_shown(value)}")
    if "choices" in how and value not in how["choices"]:
        raise ValueError(f"{name} must be one of {how['choices']}, got {_shown(value)}")
    if kind is str and ("\0" in value or not _is_unicode(value)):
        raise ValueError(
            f"{name} must be text in Unicode, or it cannot be kept in a configuration; got "
            f"{value!r}: rename it, or give a link to it"
        )
    if "choices" in how or kind not in (int, float):
        return
    limits = (("at least", "least"), ("at most", "most"), ("above", "above"), ("below", "below"))
    words = [f"{word} {how[key]}" for word, key in limits if key in how]
    most = how.get("most", _MANY if kind is int else 1e30)
    if not value <= most and "most" not in how and "below" not in how:
        words.append(f"at most {most:g}")
    if not (
        how.get("least", value) <= value <= most
        and how.get("above", -math.inf) < value < how.get("below", math.inf)
    ):
        raise ValueError(f"{name} must be {' and '.join(words)}, got {_shown(value)}")


def _is_unicode(text: str) -> bool:
    """Whether UTF-8 can spell it; the name of a file that is no UTF-8 cannot be spelt."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def _shown(value: Any) -> str:
    """A value for a sentence, whatever its length."""
    try:
        text = repr(value)
    except ValueError:  # Python spells no number of thousands of digits
        return "one of thousands of digits"
    return text if len(text) <= 80 else f"{text[:80]} …"


def checked_n(n: Any) -> int | Literal["all"]:
    """Some training images, as `Options` has them.

    Raises: ValueError: it is neither a number from 1 nor "all".
    """
    if isinstance(n, str) and n == "all":
        return "all"
    if isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= _MANY:
        raise ValueError(f"n must be a number of images or all, got {_shown(n)}")
    return n


def checked_seed(seed: Any) -> int:
    """A seed, as `Options` has them.

    Raises: ValueError: it is no integer from 0 to 2³² − 1.
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise ValueError(f"seeds must be integers from 0 to {2**32 - 1}, got {_shown(seed)}")
    return seed


def write_config(path: Path, options: Options) -> None:
    """Write a TOML file with every option."""
    lines = [f"# scatcuda train --config {path.name}\n"]
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if value is None:
            continue  # TOML has no such value: the default
        value = list(value) if isinstance(value, tuple) else value
        # JSON's scalars and lists are TOML's, but for surrogates and the character DEL.
        words = json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        lines.append(f"{field.name} = {words}\n")
    write_text(path, "".join(lines))


def read_config(path: str | os.PathLike[str], trusted: str | None = None) -> dict[str, Any]:
    """The options in a TOML file, by the names of the fields of `Options`.

    Args:
        trusted: a file may not have code imported; the transform ``package.module:function`` that
            the reader asked for, too, it may.
    Raises: ValueError: there is no such file, it is no TOML, or it names what is no option.
    """
    found = _read(path)
    found.pop("expect", None)
    given = {}
    names = {field.name for field in dataclasses.fields(Options)}
    for key, value in found.items():
        name = key.replace("-", "_")
        if name not in names:
            raise ValueError(f"{path}: {_shown(key)} is no option; see scatcuda train --help")
        many = name in ("n", "seeds", "Q")
        given[name] = tuple(value if isinstance(value, list) else [value]) if many else value
    named = given.get("transform", "scattering2d")
    if isinstance(named, str) and is_foreign(named) and named != trusted:
        raise ValueError(
            f"{path}: transform = {_shown(named)} is code that a file does not have imported: say "
            "--transform yourself"
        )
    return given


def read_expected(path: str | os.PathLike[str]) -> dict[str, float]:
    """What a TOML file's table ``[expect]`` says: of an n's accuracy, per cent, at least; of
    ``seconds``, at most.

    Raises: ValueError: it says something else.
    """
    expected = _read(path).get("expect", {})
    if not isinstance(expected, dict):
        raise ValueError(
            f"{path}: [expect] must give a percentage for each n, got {_shown(expected)}"
        )
    for key, value in expected.items():
        if key not in ("all", "seconds") and not (
            key.isascii() and key.isdigit() and key[0] != "0" and len(key) < 10
        ):
            raise ValueError(f"{path}: [expect] names an n, all or seconds, got {_shown(key)}")
        most = math.inf if key == "seconds" else 100
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
            raise ValueError(
                f"{path}: [expect] must give a percentage for each n, got {key} = {_shown(value)}"
            )
    return {key: float(value) for key, value in expected.items()}


def _read(path: str | os.PathLike[str]) -> dict[str, Any]:
    try:
        with opened(path, unpack=False) as file:
            text = file.read(_CONFIG_BYTES + 1)
    except DataError as error:
        raise ValueError(str(error)) from None
    try:
        if len(text) > _CONFIG_BYTES:
            raise ValueError(f"longer than {_CONFIG_BYTES} bytes")
        # Of a key of many parts the parser keeps every beginning.
        if any(line.count(b".") > _CONFIG_DOTS for line in text.splitlines()):
            raise ValueError(f"a line of more than {_CONFIG_DOTS} dots")
        return tomllib.loads(text.decode())
    except RecursionError:
        raise ValueError(f"{path}: not TOML (it is too deep)") from None
    except ValueError as error:  # also of numbers with thousands of digits
        raise ValueError(f"{path}: not TOML ({error})") from None
