"""A network whose first layers are wavelets: ``y = head(S x)``, and its heads.

``S`` is a scattering transform, fixed or learned. Every head first standardises the coefficients,
whose sizes fall by orders of magnitude from order to order.

Literature: E. Oyallon, E. Belilovsky and S. Zagoruyko, "Scaling the scattering transform: deep
hybrid networks", ICCV 2017.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch  # noqa: F401 (the examples)
from torch import Tensor, nn
from torch.fx import Proxy

from ...arguments import integer, one_of, scales, told
from ...transforms.base import checked_output
from ...transforms.scattering1d import Scattering1D
from ...transforms.scattering2d import Scattering2D
from ...typing import BankName, Head, Norm, Trainable
from .blocks import (
    NORMS,
    ResidualBlock,
    Standardization,
    check_options,
    checked_images,
    classifier,
    conv,
    fraction,
    initialised,
    like_weights,
    positive,
)


class Hybrid(nn.Module):
    """A network whose first layers are wavelets: ``y = head(S x)``.

    Cast to half precision, ``model.bfloat16()``, it scatters in float32, and the head has the
    coefficients in the dtype of its weights.

    Args:
        scattering: a :class:`scatcuda.Scattering2D`, fixed or trainable, or any other transform: a
            module of which ``output_shape`` says what it makes of a signal, channels and sides.
        head: any module on its coefficients, ``[B, C K, m, n] -> [B, classes]``.
    Raises: TypeError, ValueError: an argument is no such module.
    Source: E. Oyallon, E. Belilovsky and S. Zagoruyko, ICCV 2017.
    Example:
        >>> scattering = Scattering2D(J=2, shape=(32, 32))
        >>> head = nn.Sequential(nn.Flatten(), nn.LazyLinear(10))
        >>> Hybrid(scattering, head)(torch.rand(4, 3, 32, 32)).shape
        torch.Size([4, 10])
    """

    if TYPE_CHECKING:

        def __call__(self, x: Tensor) -> Tensor: ...

    def __init__(self, scattering: nn.Module, head: nn.Module) -> None:
        super().__init__()
        output = checked_output("Hybrid", "scattering", scattering)
        self._rank = len(_sides_of(scattering) or output[1:])
        if not isinstance(head, nn.Module):
            raise TypeError(f"Hybrid: head must be a module; got {type(head).__name__}")
        self.scattering = scattering
        self.head = head

    @property
    def rank(self) -> int:
        """Axes of an input, without channels: 2 of images, 1 of signals."""
        return self._rank

    @property
    def frozen(self) -> bool:
        """Whether nothing of the scattering is learned: then its features can be kept."""
        return not any(p.requires_grad for p in self.scattering.parameters())

    def features(self, x: Tensor) -> Tensor:
        """``S x`` of images ``[B, C, M, N]``: ``[B, C K, m, n]``; of ``[B, M, N]``, with C = 1;
        of other signals alike."""
        if isinstance(x, Proxy):  # torch.fx traces a network of images with channels
            return self.scattering(x).flatten(1, 2)
        alone = x.ndim == 1 + self._rank
        if not (alone or x.ndim == 2 + self._rank) or not x.is_floating_point():
            sides = {1: "N", 2: "M, N", 3: "M, N, O"}.get(self._rank, "...")
            raise ValueError(
                f"Hybrid: x must be floating [B, C, {sides}] or [B, {sides}], pixels in [0, 1]; "
                f"got {x.dtype} {list(x.shape)}"
            )
        return self.scattering(x[:, None] if alone else x).flatten(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, classes]``"""
        return self.head(like_weights(self.features(x), self.head))


def hybrid(
    classes: int,
    shape: Sequence[int],
    J: int = 2,
    L: int = 8,
    head: Head = "resnet",
    *,
    max_order: int = 2,
    filters: BankName = "morlet",
    trainable: Trainable | None = None,
    transform: nn.Module | None = None,
    Q: int | tuple[int, ...] | None = None,
    **options: Any,
) -> Hybrid:
    """Scattering followed by a learned head.

    Args:
        classes: number of classes.
        shape: size ``(C, M, N)`` of an image, each side at least ``2^J``; ``(C, N)`` of signals.
        J, L, max_order, filters, trainable: as for :class:`scatcuda.Scattering2D`.
        head: ``"linear"``, ``"mlp"`` or ``"resnet"``, of signals along time.
        transform: another one than that of ``J`` … ``trainable``, which then keep their defaults:
            any module with ``output_shape``, of signals of the sides ``shape[1:]``.
        Q: of signals: wavelets an octave of a :class:`scatcuda.Scattering1D`, whose ``J``,
            ``max_order`` and ``trainable`` are as above.
        options: those of :func:`linear_head`, :func:`mlp_head` or :func:`resnet_head`.
    Returns: a :class:`Hybrid`, ``[B, C, M, N] -> [B, classes]``.
    Raises: TypeError, ValueError: an argument is of the wrong type, out of range, or unknown.
    Source: E. Oyallon, E. Belilovsky and S. Zagoruyko, ICCV 2017.
    Example:
        >>> model = hybrid(10, (1, 28, 28), J=2, head="mlp", width=64)
        >>> model(torch.rand(2, 1, 28, 28)).shape
        torch.Size([2, 10])
        >>> from scatcuda import Cascade
        >>> cascade = Cascade(2, (28, 28), rho=lambda z: z.real.relu())
        >>> hybrid(10, (1, 28, 28), head="linear", transform=cascade)(torch.rand(2, 28, 28)).shape
        torch.Size([2, 10])
        >>> hybrid(10, (1, 1024), J=5, Q=8)(torch.rand(2, 1, 1024)).shape
        torch.Size([2, 10])
    """
    one_of("hybrid", "head", head, HEADS)
    try:
        shape = tuple(shape)
    except TypeError:
        raise TypeError(
            f"hybrid: shape must be a sequence of integers; got {told(shape)}"
        ) from None
    if Q is not None:
        if transform is not None or (L, filters) != (8, "morlet"):
            raise ValueError(
                "hybrid: Q makes a transform of signals: leave out L, filters and transform"
            )
        if len(shape) != 2:
            raise ValueError(f"hybrid: shape of signals must be (C, N); got {tuple(shape)}")
        transform = Scattering1D(J, shape[1], Q, max_order=max_order, trainable=trainable)
        J, max_order, trainable = 2, 2, None
    if transform is None:
        classes, C, _ = checked_images("hybrid", classes, shape, 1 << scales("hybrid", J))
        transform = Scattering2D(
            J, tuple(shape)[1:], L, max_order, filters=filters, trainable=trainable
        )
    elif (J, L, max_order, filters, trainable) != (2, 8, 2, "morlet", None):
        raise ValueError(
            "hybrid: J, L, max_order, filters and trainable are those of the transform that is "
            "given; leave them out"
        )
    else:
        classes, C = integer("hybrid", "classes", classes, 2), _channels(shape, transform)
    K, *sides = checked_output("hybrid", "transform", transform)
    if head == "resnet" and len(sides) > 2:
        raise ValueError(
            f"hybrid: head 'resnet' wants coefficients [K, m, n] or [K, n]; got {[K, *sides]}: "
            "take 'mlp' or 'linear'"
        )
    check_options(f"hybrid with head {head!r}", HEADS[head], options)
    return Hybrid(transform, HEADS[head](classes, (C * K, *sides), **options))


def _sides_of(transform: nn.Module) -> tuple[int, ...] | None:
    """Of the signals that a transform takes, where it says so."""
    shape: Any = getattr(transform, "shape", None)
    return (shape,) if isinstance(shape, int) else None if shape is None else tuple(shape)


def _channels(shape: Sequence[int], transform: nn.Module) -> int:
    """The channels of ``shape``, whose sides are those that the transform takes."""
    C, *sides = (integer("hybrid", "a size in shape", size, 1) for size in shape)
    wanted = _sides_of(transform)
    if wanted is not None and tuple(sides) != wanted:
        raise ValueError(
            f"hybrid: shape must be (C, {', '.join(map(str, wanted))}), as transform takes it; "
            f"got {tuple(shape)}"
        )
    return C


def linear_head(classes: int, shape: Sequence[int]) -> nn.Sequential:
    """Standardise every coefficient, one linear layer.

    Args:
        classes: number of classes.
        shape: size ``(C, m, n)`` of the coefficients of an image.
    Returns: module ``[B, C, m, n] -> [B, classes]``.
    Example:
        >>> linear_head(10, (81, 8, 8))(torch.rand(2, 81, 8, 8)).shape
        torch.Size([2, 10])
    """
    d = math.prod(shape)
    last = nn.Linear(d, classes)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.Flatten(), Standardization(d, gain=10 / math.sqrt(d)), last)


def mlp_head(
    classes: int, shape: Sequence[int], width: int = 512, dropout: float = 0.5
) -> nn.Sequential:
    """Standardise every coefficient, one hidden layer with layer normalisation.

    Args:
        classes: number of classes.
        shape: size ``(C, m, n)`` of the coefficients of an image.
        width: hidden units.
        dropout: share of them that is dropped in training.
    Returns: module ``[B, C, m, n] -> [B, classes]``.
    Example:
        >>> mlp_head(10, (81, 8, 8), width=64)(torch.rand(2, 81, 8, 8)).shape
        torch.Size([2, 10])
    """
    d, width = math.prod(shape), positive("mlp_head", "width", width)
    hidden = nn.Sequential(nn.Linear(d, width), nn.LayerNorm(width), nn.ReLU())
    last = nn.Sequential(
        nn.Dropout(fraction("mlp_head", "dropout", dropout)), nn.Linear(width, classes)
    )
    return initialised(nn.Sequential(nn.Flatten(), Standardization(d), hidden, last))


def resnet_head(
    classes: int,
    shape: Sequence[int],
    width: int | None = None,
    depth: int = 2,
    dropout: float = 0.2,
    norm: Norm = "batch",
) -> nn.Sequential:
    """Standardise every channel, mix them to ``width`` channels, residual blocks, average.

    Args:
        classes: number of classes.
        shape: size ``(C, m, n)`` of the coefficients of an image, or ``(C, n)`` of a signal.
        width: channels behind the first layer; default 64, and 128 for more than 128 channels, as
            colour has.
        depth: residual blocks.
        dropout: share of the inputs of the last layer that are dropped in training.
        norm: ``"batch"``, whose running averages need some 300 steps, or ``"group"``, which is the
            same in training and in evaluation but less accurate: on 1000 images of CIFAR-10 50
            instead of 55 %.
    Returns: module ``[B, C, m, n] -> [B, classes]``, or from ``[B, C, n]``.
    Raises: TypeError, ValueError: an argument is of the wrong type or out of range.
    Example:
        >>> resnet_head(10, (81, 8, 8), width=32)(torch.rand(2, 81, 8, 8)).shape
        torch.Size([2, 10])
    """
    C = shape[0]
    w = positive("resnet_head", "width", width, 128 if C > 128 else 64)
    p = fraction("resnet_head", "dropout", dropout)
    if norm not in NORMS:
        raise ValueError(f"resnet_head: norm must be one of {', '.join(map(repr, NORMS))}; "
                         f"got {norm!r}")  # fmt: skip
    mix = nn.Sequential(Standardization(C), conv(C, w, 1, norm=norm))
    if len(shape) == 2:  # a signal is an image of one row
        mix.insert(1, nn.Unflatten(2, (1, shape[1])))
    count = positive("resnet_head", "depth", depth)
    blocks = [ResidualBlock(w, w, norm=norm) for _ in range(count)]
    return initialised(nn.Sequential(mix, *blocks, *classifier(w, classes, p)))


HEADS: dict[Head, Callable[..., nn.Module]] = {
    "linear": linear_head,
    "mlp": mlp_head,
    "resnet": resnet_head,
}
