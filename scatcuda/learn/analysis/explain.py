"""What a network, a hybrid or a linear classifier on scattering sees.

maximise       images that excite a unit most
Layer          a layer of a network as a function, to be inverted by scatcuda.synthesis.invert
saliency       which pixels a class' score depends on, through the scattering layer
contributions  what each scale, angle and position adds to a linear classifier's decision

Literature: D. Erhan et al., "Visualizing higher-layer features of a deep network", 2009; A.
Mahendran and A. Vedaldi, "Understanding deep image representations by inverting them", CVPR 2015;
D. Smilkov et al., "SmoothGrad", 2017.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ... import arguments
from ...arguments import ArgumentError, InputError, integer, number, told
from ...draw.style import Sheet, drawn, shade
from ...synthesis.descent import Descent, called, descend
from ..extraction.transformer import ScatteringTransformer
from ..fitting.inference import evaluating

__all__ = ["Contributions", "Layer", "contributions", "draw_contributions", "maximise", "saliency"]


class Layer(nn.Module):
    """What a layer of a network makes of the input: ``[n, …]`` of ``[n, *input_shape]``.

    Args:
        network: the network; it is run in evaluation mode, and left as it was.
        name: the layer's, as in ``network.named_modules()``.
        input_shape: of an input, for :func:`scatcuda.synthesis.invert`.
    Raises: ValueError: there is no such layer; in a call, it did not run or gave no tensor.
    Example: an image from the first layer of a network
        >>> from scatcuda.synthesis import invert
        >>> network = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU())
        >>> layer, x = Layer(network, "0", (1, 8, 8)), torch.rand(1, 1, 8, 8)
        >>> with torch.no_grad():
        ...     known = layer(x)
        >>> invert(known, layer, steps=50).error < 0.05
        True
    """

    def __init__(self, network: nn.Module, name: str, input_shape: Sequence[int]) -> None:
        super().__init__()
        layers = dict(network.named_modules())
        if name not in layers or not name:
            known = ", ".join(repr(n) for n in list(layers)[1:9])
            raise ArgumentError(f"Layer: name must be one of {known}, …; got {name!r}")
        self.network: nn.Module = network
        self.name: str = name
        self.input_shape: tuple[int, ...] = tuple(input_shape)

    def forward(self, x: Tensor) -> Tensor:
        found: list[Any] = []
        layer = self.network.get_submodule(self.name)
        handle = layer.register_forward_hook(lambda _module, _given, made: found.append(made))
        try:
            with evaluating(self.network):
                self.network(x)
        finally:
            handle.remove()
        if not found or not isinstance(found[-1], Tensor):
            raise ArgumentError(f"Layer: {self.name!r} was not run, or gives no tensor")
        return found[-1]


def maximise(
    score: Callable[[Tensor], Tensor],
    shape: Sequence[int],
    *,
    n: int = 1,
    smoothness: float = 0.1,
    levels: tuple[float, float] = (0.0, 1.0),
    seed: int = 0,
    steps: int = 100,
    device: str | torch.device = "cpu",
    **how: Any,
) -> Descent:
    """Images that excite a unit most: of ``score(x) - smoothness · total variation``.

    Args:
        score: from images ``[n, *shape]`` to how much each is wanted, ``[n]``: a class' score,
            ``lambda x: network(x)[:, 3]``, or a unit of a :class:`Layer`.
        shape: of an image, its last two dimensions pixels.
        n: how many, from other noise each.
        smoothness: how much images that vary from pixel to pixel cost.
        levels: the darkest and the brightest pixel there may be.
        seed: of the noise.
        device: where the images are.
        steps, how: as :func:`scatcuda.synthesis.descend` takes them; ``callback`` is called with
            images.
    Returns: the descent; ``x`` are the images.
    Raises: ValueError, TypeError: an argument is none of these, or ``score`` gives another shape.
    Example:
        >>> bright = maximise(lambda x: x.mean((1, 2)), (8, 8), steps=30)
        >>> bool(bright.x.min() > 0.9)
        True
    """
    caller = "maximise"
    n = integer(caller, "n", n, 1)
    sides = arguments.sides(caller, "shape", shape)
    low, high = _rising(caller, levels)
    if len(sides) < 2:
        raise ArgumentError(f"{caller}: shape must have two sides or more; got {sides}")
    smoothness = number(caller, "smoothness", smoothness, 0)
    if not callable(score):
        raise TypeError(f"{caller}: score must be a function; got {told(score)}")
    where = arguments.device(f"{caller}: ", device)
    generator = torch.Generator().manual_seed(integer(caller, "seed", seed, 0, 2**63 - 1))
    start = 0.1 * torch.randn(n, *sides, generator=generator).to(where)

    def loss(x: Tensor) -> Tensor:
        found = score(x)
        if not isinstance(found, Tensor) or found.shape != (n,):
            raise InputError(
                f"{caller}: score must give one number for each image, shape ({n},); got "
                f"{told(found)}"
            )
        varied = x.diff(dim=-1).abs().mean() + x.diff(dim=-2).abs().mean()
        return smoothness * varied / (high - low) - found.mean()

    loss.__qualname__ = f"{caller} of {called(score)}, {smoothness:g}"
    image = functools.partial(_image, low, high)
    return descend(start, [loss], of=image, steps=steps, **how)


def _image(low: float, high: float, z: Tensor) -> Tensor:
    return low + (high - low) * torch.sigmoid(4 * z)


def _rising(caller: str, levels: Any) -> tuple[float, float]:
    try:
        low, high = levels
    except (TypeError, ValueError):
        raise TypeError(f"{caller}: levels must be two numbers; got {told(levels)}") from None
    low, high = (number(caller, "each of levels", level) for level in (low, high))
    if not low < high:
        raise ArgumentError(f"{caller}: levels must rise; got {told(levels)}")
    return low, high


def saliency(
    model: Callable[[Tensor], Tensor],
    x: Tensor,
    target: int | Tensor | None = None,
    *,
    noise: float = 0.0,
    samples: int = 1,
    seed: int = 0,
) -> Tensor:
    """``d score_target / d x``: which pixels a class' score depends on, and which way; through a
    scattering layer as through any other.

    Args:
        model: from ``x [n, …]`` to scores ``[n, K]``.
        x: images ``[n, …]``.
        target: a class, or one for each image; default the one of the largest score.
        noise: of images with so much noise, as a share of their range, the mean over ``samples`` of
            them (SmoothGrad).
        seed: of the noise.
    Returns: the gradient, of the shape of ``x``.
    Raises: TypeError, ValueError: scores or targets have another shape, or an argument is none of
        these.
    Example:
        >>> weights = torch.arange(8.0).view(2, 4)
        >>> saliency(lambda x: x @ weights.T, torch.ones(1, 4))
        tensor([[4., 5., 6., 7.]])
    """
    caller = "saliency"
    samples = integer(caller, "samples", samples, 1)
    noise = number(caller, "noise", noise, 0)
    if not isinstance(x, Tensor) or not x.is_floating_point() or not x.numel():
        raise InputError(f"{caller}: x must be a real floating tensor [n, …]; got {told(x)}")
    generator = torch.Generator().manual_seed(integer(caller, "seed", seed, 0, 2**63 - 1))
    size = noise * float(x.max() - x.min())
    with torch.inference_mode(False), torch.enable_grad():
        plain = x.detach().clone()
        with torch.no_grad():
            scores = model(plain)
        if not isinstance(scores, Tensor) or scores.ndim != 2 or len(scores) != len(x):
            raise InputError(
                f"{caller}: model must give scores [n, K] of {len(x)} images; got {told(scores)}"
            )
        wanted = scores.argmax(1) if target is None else _classes(caller, target, len(x))
        wanted = wanted.to(scores.device).expand(len(x)).long()
        if not 0 <= int(wanted.min()) <= int(wanted.max()) < scores.shape[1]:
            raise ArgumentError(
                f"{caller}: target must be a class from 0 to {scores.shape[1] - 1}; got "
                f"{told(target)}"
            )
        total = torch.zeros_like(plain)
        for _ in range(samples):
            shaken = plain + size * torch.randn(plain.shape, generator=generator).to(plain)
            shaken.requires_grad_()
            score = model(shaken).gather(1, wanted[:, None]).sum()
            total += torch.autograd.grad(score, shaken)[0]
    return total / samples


def _classes(caller: str, target: Any, n: int) -> Tensor:
    """One class, or one for each of ``n`` images."""
    try:
        found = torch.as_tensor(target)
    except (TypeError, ValueError, RuntimeError):
        found = torch.zeros(0)
    whole = not (found.is_floating_point() or found.is_complex() or found.dtype == torch.bool)
    if not whole or found.shape not in ((), (1,), (n,)):
        raise InputError(
            f"{caller}: target must be a class, or one for each of {n} images; got {told(target)}"
        )
    return found


@dataclass(frozen=True)
class Contributions:
    """What a linear classifier's score of a class is the sum of, for one image.

    ``score = base + parts.sum()``, where ``base`` is the score of the mean training image.

    Attributes:
        parts: ``[colours, C, m, n]``, of each coefficient.
        weights: the classifier's, likewise, of the coefficients as they are.
        meta: what the transform tells of its channels.
    """

    target: Any
    score: float
    base: float
    parts: Tensor
    weights: Tensor
    meta: dict[str, NDArray[Any]]
    shape: tuple[int, int]

    @property
    def positions(self) -> Tensor:
        """``[m, n]``: the sums over everything else, where in the image they come from."""
        return self.parts.sum((0, 1))

    def heat(self) -> Tensor:
        """The same on the image's pixels, ``[M, N]``."""
        small = self.positions[None, None].float()
        return nn.functional.interpolate(small, self.shape, mode="bicubic", align_corners=False)[
            0, 0
        ]

    def by_angle(self) -> Tensor:
        """``[J, L]``: of the first order, by scale and angle."""
        return self._table("j", "theta")

    def by_scales(self) -> Tensor:
        """``[J, J]``: of the second order, by both scales."""
        j = np.asarray(self.meta["j"])
        J = int(j.max()) + 1
        found, second = torch.zeros(J, J), np.asarray(self.meta["order"]) == 2
        of_channels = self.parts.sum((0, 2, 3)).float().cpu()
        for c in np.flatnonzero(second):
            found[int(j[c, 0]), int(j[c, 1])] += of_channels[c]
        return found

    def _table(self, rows: str, columns: str) -> Tensor:
        first = np.asarray(self.meta["order"]) == 1
        r, c = (np.asarray(self.meta[name])[:, 0] for name in (rows, columns))
        found = torch.zeros(int(r.max()) + 1, int(c.max()) + 1)
        of_channels = self.parts.sum((0, 2, 3)).float().cpu()
        for channel in np.flatnonzero(first):
            found[int(r[channel]), int(c[channel])] += of_channels[channel]
        return found


def contributions(pipeline: Any, x: Any, target: Any = None) -> Contributions:
    """What a linear classifier on scattering decides by.

    Args:
        pipeline: scikit-learn's, fitted: a :class:`~scatcuda.learn.ScatteringTransformer` of images
            with ``pool=None``, standardisers with ``mean_`` and ``scale_``, a linear classifier.
        x: one image, as the transformer takes it.
        target: a class of ``classes_``; default the one that is decided for.
    Raises: TypeError, ValueError: the pipeline is none of these, or ``target`` no class.
    Example:
        >>> from sklearn.datasets import load_digits
        >>> from sklearn.pipeline import make_pipeline
        >>> from scatcuda.learn import RidgeClassifier, Standardizer
        >>> digits = load_digits()
        >>> X, y = digits.images.astype("float32") / 16, digits.target
        >>> model = make_pipeline(ScatteringTransformer(J=1), Standardizer(), RidgeClassifier())
        >>> why = contributions(model.fit(X[:900], y[:900]), X[900])
        >>> int(why.target), tuple(why.positions.shape), tuple(why.by_angle().shape)
        (4, (4, 4), (1, 8))
    """
    caller = "contributions"
    steps = [step for _, step in getattr(pipeline, "steps", [])]
    if len(steps) < 2 or not isinstance(steps[0], ScatteringTransformer):
        raise TypeError(
            f"{caller}: pipeline must be a Pipeline that begins with a ScatteringTransformer; got "
            f"{type(pipeline).__name__}"
        )
    transformer, between, classifier = steps[0], steps[1:-1], steps[-1]
    if transformer.pool is not None or not hasattr(classifier, "coef_"):
        raise ArgumentError(
            f"{caller}: the transformer must have pool=None and the classifier coef_; got "
            f"pool={transformer.pool!r} and {type(classifier).__name__}"
        )
    phi = torch.as_tensor(transformer.transform(x[None]))[0].double().cpu()
    mean, scale = torch.zeros_like(phi), torch.ones_like(phi)
    for step in between:
        if not hasattr(step, "scale_") or not hasattr(step, "mean_"):
            raise ArgumentError(
                f"{caller}: what stands between must be standardisers with mean_ and scale_; got "
                f"{type(step).__name__}"
            )
        centre = 0.0 if step.mean_ is None else torch.as_tensor(step.mean_).double().cpu()
        divisor = 1.0 if step.scale_ is None else torch.as_tensor(step.scale_).double().cpu()
        mean, scale = mean + scale * centre, scale * divisor
    coef = torch.as_tensor(classifier.coef_).double().cpu()
    intercept = torch.as_tensor(classifier.intercept_).double().cpu().reshape(-1)
    classes = [*np.asarray(classifier.classes_).tolist()]
    if len(coef) == 1 and len(classes) == 2:  # one row: positive for the second class
        coef, intercept = torch.cat([-coef, coef]), torch.cat([-intercept, intercept])
    given = (phi - mean) / scale
    if len(coef) != len(classes) or not _decides_by(classifier, given, coef @ given + intercept):
        raise ArgumentError(
            f"{caller}: the classifier must decide by the largest coef_ · x + intercept_, of a row "
            f"for each of {len(classes)} classes; got {type(classifier).__name__}, with {len(coef)}"
        )
    scores = coef @ given + intercept
    if target is not None and target not in classes:
        raise ArgumentError(f"{caller}: target must be one of {classes[:12]}; got {target!r}")
    k = int(scores.argmax()) if target is None else classes.index(target)
    output, meta, _ = transformer.channels()
    weights = coef[k] / scale
    sizes = (-1, *output)
    return Contributions(
        classes[k], float(scores[k]), float(intercept[k]), (weights * (phi - mean)).view(sizes),
        weights.view(sizes), {name: np.asarray(v) for name, v in meta.items()},
        (int(transformer.shape_[-2]), int(transformer.shape_[-1])),
    )  # fmt: skip


def _decides_by(classifier: Any, x: Tensor, scores: Tensor) -> bool:
    """Whether these are a classifier's scores: of pairs of classes it may have as many rows."""
    decided = getattr(classifier, "decision_function", None)
    if decided is None:
        return True
    found = torch.as_tensor(decided(x[None].numpy())).double().cpu().reshape(-1)
    wanted = scores[1:] if len(found) == 1 else scores
    return found.shape == wanted.shape and torch.allclose(found, wanted, rtol=1e-3, atol=1e-3)


def draw_contributions(why: Contributions, x: Tensor, path: str | Path) -> None:
    """The image; where, at which scales and angles, and at which pairs of scales it speaks for the
    class (blue) or against it (red).

    Raises: as ``scatcuda.draw.style.drawn``.
    """
    with drawn(path, Sheet.size(1)) as figure:
        note = f"score {why.score:.3g}, {why.base:.3g} of it for the mean image"
        sheet = Sheet(figure, f"Why {why.target}", note)
        picture = torch.as_tensor(x).float()
        picture = picture.mean(0) if picture.ndim == 3 else picture
        sheet.panel(0, 0, "image", "").imshow(picture, cmap="gray", aspect="auto")
        for column, title, about, table in (
            (1, "where", "by position", why.heat()),
            (2, "first order", "scales down, angles across", why.by_angle()),
            (3, "second order", "first scale down, second across", why.by_scales()),
        ):
            size = table.abs().max().clamp_min(1e-30)
            axes = sheet.panel(0, column, title, about if column == 1 else "")
            shade(axes, table / size, "bilinear" if column == 1 else "nearest")
