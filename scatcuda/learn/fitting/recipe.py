"""How a network is trained: the numbers that decide the result, checked."""

from __future__ import annotations

import dataclasses
import math
from typing import TypedDict

from ...arguments import boolean, integer, plain
from .augment import Augment

__all__ = ["Recipe", "RecipeFields"]


class RecipeFields(TypedDict, total=False):
    """The arguments of `Recipe`, where a function passes them on."""

    epochs: int
    min_steps: int
    batch_size: int
    lr: float
    momentum: float
    weight_decay: float
    label_smoothing: float
    warmup: float
    augment: Augment | str
    amp: bool
    compile: bool
    patience: int
    seed: int


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Stochastic gradient descent with Nesterov momentum on a one-cycle schedule.

    The learning rate rises from ``lr / 25`` to ``lr`` in the first ``warmup`` part of the steps and
    falls to nearly nothing in the rest, both as a cosine.

    Args:
        epochs: passes over the training set.
        min_steps: there are at least so many steps: few images get more epochs. Batch
            normalisation and the schedule come to nothing in a few dozen steps.
        batch_size: images a step, over all processes. Images that fill no batch wait for the
            next epoch's order; a set smaller than a batch is one.
        lr: largest learning rate.
        momentum: of Nesterov, in [0, 1).
        weight_decay: not for biases and the scales of normalisations.
        label_smoothing: in [0, 1).
        warmup: part of the steps in which the learning rate rises, in (0, 1).
        augment: an `Augment`, or its spelling: ``"none"``, ``"flip"``, ``"crop=4"``,
            ``"flip,crop=4"``.
        amp: mixed precision: bfloat16, or float16 with a scaled loss where a GPU has no bfloat16.
        compile: `torch.compile` the network.
        patience: stop after so many validations without a new best accuracy, with the best
            weights; 0: never.
        seed: of the order of the images, augmentation and dropout.
    Raises: TypeError, ValueError: an argument is of the wrong type or out of its range.
    Source: L. Smith, N. Topin, "Super-convergence: very fast training of neural networks using
    large learning rates", 2018.
    Example:
        >>> Recipe(epochs=3, augment="flip").augment
        Augment(flip=True, crop=0)
        >>> Recipe(lr=-1)
        Traceback (most recent call last):
        ValueError: lr must be above 0, got -1
    """

    epochs: int = 10
    min_steps: int = 300
    batch_size: int = 128
    lr: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    label_smoothing: float = 0.0
    warmup: float = 0.3
    augment: Augment | str = "none"
    amp: bool = False
    compile: bool = False
    patience: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            object.__setattr__(self, name, plain(value))
        for name, least in (
            ("epochs", 1), ("min_steps", 0), ("batch_size", 1), ("patience", 0), ("seed", 0),
        ):  # fmt: skip
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int):
                raise TypeError(f"{name} must be an int, got {type(value).__name__}")
            if value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}")
        for name, low, high, words in (
            ("lr", 0, math.inf, "above 0"),
            ("momentum", None, 1, "at least 0 and below 1"),
            ("weight_decay", None, math.inf, "at least 0"),
            ("label_smoothing", None, 1, "at least 0 and below 1"),
            ("warmup", 0, 1, "above 0 and below 1"),
        ):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise TypeError(f"{name} must be a number, got {type(value).__name__}")
            if not ((value >= 0 if low is None else value > low) and value < high):
                raise ValueError(f"{name} must be {words}, got {value}")
        for name in ("amp", "compile"):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(f"{name} must be a bool, got {getattr(self, name)!r}")
        if isinstance(self.augment, str):
            object.__setattr__(self, "augment", Augment.parse(self.augment))
        elif not isinstance(self.augment, Augment):
            raise TypeError(f"augment must be an Augment or a str, got {self.augment!r}")
        else:
            boolean("augment", "flip", self.augment.flip)
            integer("augment", "crop", self.augment.crop, 0)

    def written(self) -> dict[str, int | float | str | bool]:
        """As plain values, for a configuration file."""
        return {**vars(self), "augment": str(self.augment)}
