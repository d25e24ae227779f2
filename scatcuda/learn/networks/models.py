"""Networks: four that learn everything, and one whose first layers are wavelets.

    alexnet, deepface, …    y = A ρ W_m … ρ W_1 x, every W learned
    Hybrid                  y = head(S x), S a scattering transform, fixed or learned

Plain modules, sized for the input: images below 96 pixels keep their resolution in the first
layer, larger ones (224) are first reduced fourfold. Images are ``[B, C, M, N]`` in [0, 1].

Literature: A. Krizhevsky et al., NeurIPS 2012; Y. Taigman et al., CVPR 2014; C. Szegedy et al.,
CVPR 2015; S. Ioffe and C. Szegedy, ICML 2015 (batch normalisation, here behind every convolution);
K. He et al., CVPR 2016; E. Oyallon et al., "Scaling the scattering transform: deep hybrid
networks", ICCV 2017.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch  # noqa: F401 (the examples)
from torch import nn

from ...arguments import integer
from ...typing import Network
from .blocks import (
    InceptionBlock,
    LocallyConnected,
    ResidualBlock,
    check_options,
    checked_images,
    classifier,
    conv,
    fraction,
    initialised,
    positive,
)
from .hybrids import HEADS, Hybrid, hybrid

__all__ = [
    "HEADS",
    "MODELS",
    "Hybrid",
    "alexnet",
    "build",
    "deepface",
    "hybrid",
    "inception",
    "resnet",
]


def alexnet(
    classes: int, shape: Sequence[int], width: int | None = None, dropout: float = 0.5
) -> nn.Sequential:
    """AlexNet: five convolutions, the first two and the last one pooled, and three dense layers.

    Batch normalisation stands where it has response normalisation. The first layer is 3 x 3 for
    small images, 11 x 11 with stride 4 for large ones.

    Args:
        classes: number of classes.
        shape: size ``(C, M, N)`` of an image, each side at least 16.
        width: channels of the first layer, 32 for small images and 64 for large ones; the next
            layers have 3, 6, 4 and 4 times as many, the dense ones 16 times, or 64 for large.
        dropout: share of the inputs of a dense layer that are dropped in training.
    Returns: module ``[B, C, M, N] -> [B, classes]``. Parameters: 1.5 million for 10 classes of
        3 x 32 x 32 pixels, 61 million for 1000 classes of 3 x 224 x 224.
    Raises: TypeError, ValueError: an argument is of the wrong type or out of range.
    Source: A. Krizhevsky, I. Sutskever and G. Hinton, NeurIPS 2012.
    Example:
        >>> alexnet(10, (1, 28, 28))(torch.rand(2, 1, 28, 28)).shape
        torch.Size([2, 10])
    """
    classes, C, large = checked_images("alexnet", classes, shape, 16)
    w = positive("alexnet", "width", width, 64 if large else 32)
    p = fraction("alexnet", "dropout", dropout)
    cells, dense = (6, 64 * w) if large else (3, 16 * w)
    pool = nn.MaxPool2d(3, 2)
    return initialised(
        nn.Sequential(
            nn.Sequential(conv(C, w, 11, 4) if large else conv(C, w, 3), pool),
            nn.Sequential(conv(w, 3 * w, 5), pool),
            conv(3 * w, 6 * w, 3),
            conv(6 * w, 4 * w, 3),
            nn.Sequential(conv(4 * w, 4 * w, 3), nn.AdaptiveMaxPool2d(cells), nn.Flatten()),
            nn.Sequential(nn.Dropout(p), nn.Linear(4 * w * cells**2, dense), nn.ReLU()),
            nn.Sequential(nn.Dropout(p), nn.Linear(dense, dense), nn.ReLU()),
            nn.Linear(dense, classes),
        )
    )


def deepface(
    classes: int, shape: Sequence[int], width: int | None = None, dropout: float = 0.5
) -> nn.Sequential:
    """DeepFace: two convolutions, the first one pooled, three layers of :class:`LocallyConnected`,
    whose weights are others at every place, and two dense ones: for faces that were aligned.

    Batch normalisation stands behind all but the dense ones. A place sees 3 x 3 of small images; of
    large ones 11 x 11 with stride 2, then 9, 7, 5 and 5.

    Args:
        classes: number of classes, people.
        shape: size ``(C, M, N)`` of an image, each side at least 16.
        width: channels of all layers but the first, which has twice as many: 16; the dense layer
            has 16 times as many for small images, 256 for large ones.
        dropout: share of the inputs of the last layer that are dropped in training.
    Returns: module ``[B, C, M, N] -> [B, classes]``. Parameters: 1.17 million for 40 classes of
        1 x 32 x 32 pixels, 117 million for 4030 classes of 3 x 224 x 224 (in the paper 120 million
        of 3 x 152 x 152).
    Raises: TypeError, ValueError: an argument is of the wrong type or out of range.
    Source: Y. Taigman, M. Yang, M. Ranzato and L. Wolf, "DeepFace: closing the gap to human-level
        performance in face verification", CVPR 2014.
    Example:
        >>> deepface(40, (1, 56, 46))(torch.rand(2, 1, 56, 46)).shape
        torch.Size([2, 40])
    """
    classes, C, large = checked_images("deepface", classes, shape, 16)
    w = positive("deepface", "width", width, 16)
    p = fraction("deepface", "dropout", dropout)
    sides = tuple(-(-size // 2) for size in shape[1:])
    if large:
        sides = tuple(-(-size // 2) for size in sides)
    first = conv(C, 2 * w, 11, 2) if large else conv(C, 2 * w, 3)
    layers: list[nn.Module] = [nn.Sequential(first, nn.MaxPool2d(3, 2, 1))]
    layers.append(conv(2 * w, w, 9 if large else 3))
    at = sides[0], sides[1]
    for side, stride in ((7, 1), (5, 2), (5, 1)):
        local = LocallyConnected(w, w, at, side if large else 3, stride)
        layers.append(nn.Sequential(local, nn.BatchNorm2d(w), nn.ReLU()))
        at = local.sides
    dense = (256 if large else 16) * w
    seen = w * at[0] * at[1]
    representation = nn.Sequential(nn.Flatten(), nn.Linear(seen, dense), nn.ReLU())
    last = nn.Sequential(nn.Dropout(p), nn.Linear(dense, classes))
    return initialised(nn.Sequential(*layers, representation, last))


def inception(
    classes: int,
    shape: Sequence[int],
    width: int | None = None,
    depth: int | None = None,
    dropout: float = 0.2,
) -> nn.Sequential:
    """GoogLeNet's modules, :class:`InceptionBlock`, in three stages of halved resolution.

    Args:
        classes: number of classes.
        shape: size ``(C, M, N)`` of an image, each side at least 8.
        width: channels of a 1 x 1 branch in the first stage, 16 for small images and 64 for large
            ones; doubled from stage to stage.
        depth: modules in a stage: 2 for small images, 3 for large ones (in the paper 2, 5, 2).
        dropout: share of the inputs of the last layer that are dropped in training.
    Returns: module ``[B, C, M, N] -> [B, classes]``. Parameters: 0.44 million for 10 classes of
        3 x 32 x 32 pixels, 11.7 million for 1000 classes of 3 x 224 x 224.
    Raises: TypeError, ValueError: an argument is of the wrong type or out of range.
    Source: C. Szegedy et al., "Going deeper with convolutions", CVPR 2015.
    Example:
        >>> inception(10, (3, 32, 32))(torch.rand(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """
    classes, C, large = checked_images("inception", classes, shape, 8)
    w = integer("inception", "width", (64 if large else 16) if width is None else width, 4)
    depth = positive("inception", "depth", depth, 3 if large else 2)
    p = fraction("inception", "dropout", dropout)
    half = nn.MaxPool2d(3, 2, 1)
    if large:
        stem = [conv(C, w, 7, 2), half, conv(w, w, 1), conv(w, 3 * w, 3), half]
    else:
        stem = [conv(C, 3 * w, 3)]
    layers: list[nn.Module] = [nn.Sequential(*stem)]
    before = 3 * w
    for stage in range(3):
        for block in range(depth):
            module = InceptionBlock(before, w << stage)
            layers.append(nn.Sequential(half, module) if stage and not block else module)
            before = module.channels
    return initialised(nn.Sequential(*layers, *classifier(before, classes, p)))


def resnet(
    classes: int,
    shape: Sequence[int],
    width: int | None = None,
    depth: int | None = None,
) -> nn.Sequential:
    """Residual network of :class:`ResidualBlock`, a plain 3 x 3 one, in stages of halved
    resolution: three for small images (ResNet-20), four for large ones (ResNet-18).

    Args:
        classes: number of classes.
        shape: size ``(C, M, N)`` of an image, each side at least 8.
        width: channels of the first stage, 16 for small images and 64 for large ones; doubled from
            stage to stage.
        depth: blocks in a stage: 3 for small images, 2 for large ones.
    Returns: module ``[B, C, M, N] -> [B, classes]``. Parameters: 0.27 million for 10 classes of
        3 x 32 x 32 pixels, 11.7 million for 1000 classes of 3 x 224 x 224.
    Raises: TypeError, ValueError: an argument is of the wrong type or out of range.
    Source: K. He, X. Zhang, S. Ren and J. Sun, CVPR 2016.
    Example:
        >>> resnet(10, (3, 32, 32))(torch.rand(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """
    classes, C, large = checked_images("resnet", classes, shape, 8)
    w = positive("resnet", "width", width, 64 if large else 16)
    depth = positive("resnet", "depth", depth, 2 if large else 3)
    stem = nn.Sequential(conv(C, w, 7, 2), nn.MaxPool2d(3, 2, 1)) if large else conv(C, w, 3)
    layers: list[nn.Module] = [stem]
    before = w
    for stage in range(4 if large else 3):
        for block in range(depth):
            after, stride = w << stage, 2 if stage and not block else 1
            layers.append(ResidualBlock(before, after, stride))
            before = after
    return initialised(nn.Sequential(*layers, *classifier(before, classes)))


MODELS: dict[Network, Callable[..., nn.Module]] = {
    "alexnet": alexnet,
    "deepface": deepface,
    "inception": inception,
    "resnet": resnet,
    "hybrid": hybrid,
}


def build(name: str, classes: int, shape: Sequence[int], **options: Any) -> nn.Module:
    """A network by its name, as the command line has it.

    Args:
        name: a key of ``MODELS``, or ``hybrid-linear``, ``hybrid-mlp``, ``hybrid-resnet``.
        classes: number of classes.
        shape: size ``(C, M, N)`` of an image.
        options: further arguments of the network.
    Returns: module ``[B, C, M, N] -> [B, classes]``.
    Raises:
        ValueError: the network or an option of it is not known.
        TypeError, ValueError: as the network itself.
    Example:
        >>> build("hybrid-linear", 10, (1, 28, 28), J=3)(torch.rand(2, 1, 28, 28)).shape
        torch.Size([2, 10])
    """
    family, _, head = name.partition("-") if isinstance(name, str) else (name, "", "")
    if family not in MODELS or (head and (family != "hybrid" or head not in HEADS)):
        known = [*MODELS, *(f"hybrid-{head}" for head in HEADS)]
        raise ValueError(f"build: name must be one of {', '.join(known)}; got {name!r}")
    if head:
        if "head" in options:
            raise ValueError(f"build: {name!r} names its head; got another, {options['head']!r}")
        options["head"] = head
    if family != "hybrid":  # which asks the head
        check_options(name, MODELS[family], options)
    return MODELS[family](classes, shape, **options)
