"""Networks: three that learn everything, and one whose first layers are wavelets.

    alexnet, inception, resnet    y = A ρ W_m … ρ W_1 x, every W learned
    Hybrid                        y = head(S x), S a scattering transform, fixed or learned

Plain modules, sized for the input: images below 96 pixels keep their resolution in the first
layer, larger ones (224) are first reduced fourfold. Images are ``[B, C, M, N]`` in [0, 1].

Literature: A. Krizhevsky et al., NeurIPS 2012; C. Szegedy et al., CVPR 2015; S. Ioffe and
C. Szegedy, ICML 2015 (batch normalisation, here behind every convolution); K. He et al.,
CVPR 2016; E. Oyallon et al., "Scaling the scattering transform: deep hybrid networks", ICCV 2017.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from scatcuda import Scattering2D
from scatcuda.filters import _integer

_LARGE = 96  # pixels; from here on the first layers reduce the image fourfold
_FLOOR = 0.1  # smallest deviation of a channel, relative to their root mean square
_TINY = 1e-12  # keeps divisions finite where images are blank


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
    classes, C, large = _checked("alexnet", classes, shape, 16)
    w = _size("alexnet", "width", width, 64 if large else 32)
    p = _share("alexnet", "dropout", dropout)
    cells, dense = (6, 64 * w) if large else (3, 16 * w)
    pool = nn.MaxPool2d(3, 2)
    return _initialised(
        nn.Sequential(
            nn.Sequential(_conv(C, w, 11, 4) if large else _conv(C, w, 3), pool),
            nn.Sequential(_conv(w, 3 * w, 5), pool),
            _conv(3 * w, 6 * w, 3),
            _conv(6 * w, 4 * w, 3),
            nn.Sequential(_conv(4 * w, 4 * w, 3), nn.AdaptiveMaxPool2d(cells), nn.Flatten()),
            nn.Sequential(nn.Dropout(p), nn.Linear(4 * w * cells**2, dense), nn.ReLU()),
            nn.Sequential(nn.Dropout(p), nn.Linear(dense, dense), nn.ReLU()),
            nn.Linear(dense, classes),
        )
    )


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
    classes, C, large = _checked("inception", classes, shape, 8)
    w = _size("inception", "width", width, 64 if large else 16)
    depth = _size("inception", "depth", depth, 3 if large else 2)
    p = _share("inception", "dropout", dropout)
    half = nn.MaxPool2d(3, 2, 1)
    if large:
        stem = [_conv(C, w, 7, 2), half, _conv(w, w, 1), _conv(w, 3 * w, 3), half]
    else:
        stem = [_conv(C, 3 * w, 3)]
    layers: list[nn.Module] = [nn.Sequential(*stem)]
    before = 3 * w
    for stage in range(3):
        for block in range(depth):
            module = InceptionBlock(before, w << stage)
            layers.append(nn.Sequential(half, module) if stage and not block else module)
            before = module.channels
    return _initialised(nn.Sequential(*layers, *_classifier(before, classes, p)))


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
    classes, C, large = _checked("resnet", classes, shape, 8)
    w = _size("resnet", "width", width, 64 if large else 16)
    depth = _size("resnet", "depth", depth, 2 if large else 3)
    stem = nn.Sequential(_conv(C, w, 7, 2), nn.MaxPool2d(3, 2, 1)) if large else _conv(C, w, 3)
    layers: list[nn.Module] = [stem]
    before = w
    for stage in range(4 if large else 3):
        for block in range(depth):
            after, stride = w << stage, 2 if stage and not block else 1
            layers.append(ResidualBlock(before, after, stride))
            before = after
    return _initialised(nn.Sequential(*layers, *_classifier(before, classes)))


class Hybrid(nn.Module):
    """A network whose first layers are wavelets: ``y = head(S x)``.

    Args:
        scattering: a :class:`scatcuda.Scattering2D`, fixed or trainable.
        head: any module on its coefficients, ``[B, C K, m, n] -> [B, classes]``.
    Raises: TypeError: an argument is no such module.
    Source: E. Oyallon, E. Belilovsky and S. Zagoruyko, ICCV 2017.
    Example:
        >>> scattering = Scattering2D(J=2, shape=(32, 32))
        >>> head = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.LazyLinear(10))
        >>> Hybrid(scattering, head)(torch.rand(4, 3, 32, 32)).shape
        torch.Size([4, 10])
    """

    def __init__(self, scattering: Scattering2D, head: nn.Module) -> None:
        super().__init__()
        if not isinstance(scattering, Scattering2D):
            found = type(scattering).__name__
            raise TypeError(f"Hybrid: scattering must be a Scattering2D; got {found}")
        if scattering.out_type != "array":
            raise ValueError(
                f"Hybrid: scattering must have out_type 'array'; got {scattering.out_type!r}"
            )
        if not isinstance(head, nn.Module):
            raise TypeError(f"Hybrid: head must be a module; got {type(head).__name__}")
        self.scattering = scattering
        self.head = head

    @property
    def frozen(self) -> bool:
        """Whether nothing of the scattering is learned: then its features can be kept."""
        return not any(p.requires_grad for p in self.scattering.parameters())

    def features(self, x: Tensor) -> Tensor:
        """``S x`` of images ``[B, C, M, N]``: ``[B, C K, m, n]``; of ``[B, M, N]``, with C = 1."""
        if x.ndim not in (3, 4) or not x.is_floating_point():
            raise ValueError(
                "Hybrid: x must be floating [B, C, M, N] or [B, M, N], pixels in [0, 1]; "
                f"got {x.dtype} {list(x.shape)}"
            )
        return self.scattering(x[:, None] if x.ndim == 3 else x).flatten(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, classes]``"""
        return self.head(self.features(x))


def hybrid(
    classes: int,
    shape: Sequence[int],
    J: int = 2,
    L: int = 8,
    head: str = "resnet",
    *,
    max_order: int = 2,
    filters: str = "morlet",
    trainable: str | None = None,
    **options: Any,
) -> Hybrid:
    """Scattering followed by a learned head.

    Args:
        classes: number of classes.
        shape: size ``(C, M, N)`` of an image, each side at least ``2^J``.
        J, L, max_order, filters, trainable: as for :class:`scatcuda.Scattering2D`.
        head: ``"linear"``, ``"mlp"`` or ``"resnet"``.
        options: those of :func:`linear_head`, :func:`mlp_head` or :func:`resnet_head`.
    Returns: a :class:`Hybrid`, ``[B, C, M, N] -> [B, classes]``.
    Raises: TypeError, ValueError: an argument is of the wrong type, out of range, or unknown.
    Source: E. Oyallon, E. Belilovsky and S. Zagoruyko, ICCV 2017.
    Example:
        >>> model = hybrid(10, (1, 28, 28), J=2, head="mlp", width=64)
        >>> model(torch.rand(2, 1, 28, 28)).shape
        torch.Size([2, 10])
    """
    if head not in HEADS:
        raise ValueError(f"hybrid: head must be one of {', '.join(map(repr, HEADS))}; got {head!r}")
    classes, C, _ = _checked("hybrid", classes, shape, 2 ** _integer("hybrid", "J", J, 1))
    scattering = Scattering2D(
        J, tuple(shape)[1:], L, max_order, filters=filters, trainable=trainable
    )
    K, m, n = scattering.output_shape
    _known_options(f"hybrid with head {head!r}", HEADS[head], options)
    return Hybrid(scattering, HEADS[head](classes, (C * K, m, n), **options))


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
    d, width = math.prod(shape), _size("mlp_head", "width", width)
    hidden = nn.Sequential(nn.Linear(d, width), nn.LayerNorm(width), nn.ReLU())
    last = nn.Sequential(
        nn.Dropout(_share("mlp_head", "dropout", dropout)), nn.Linear(width, classes)
    )
    return _initialised(nn.Sequential(nn.Flatten(), Standardization(d), hidden, last))


def resnet_head(
    classes: int,
    shape: Sequence[int],
    width: int | None = None,
    depth: int = 2,
    dropout: float = 0.2,
    norm: str = "batch",
) -> nn.Sequential:
    """Standardise every channel, mix them to ``width`` channels, residual blocks, average.

    Args:
        classes: number of classes.
        shape: size ``(C, m, n)`` of the coefficients of an image.
        width: channels behind the first layer; default 64, and 128 for more than 128 channels, as
            colour has.
        depth: residual blocks.
        dropout: share of the inputs of the last layer that are dropped in training.
        norm: ``"batch"``, whose running averages need some 300 steps, or ``"group"``, which is the
            same in training and in evaluation but less accurate: on 1000 images of CIFAR-10 50
            instead of 55 %.
    Returns: module ``[B, C, m, n] -> [B, classes]``.
    Raises: TypeError, ValueError: an argument is of the wrong type or out of range.
    Example:
        >>> resnet_head(10, (81, 8, 8), width=32)(torch.rand(2, 81, 8, 8)).shape
        torch.Size([2, 10])
    """
    C = shape[0]
    w = _size("resnet_head", "width", width, 128 if C > 128 else 64)
    p = _share("resnet_head", "dropout", dropout)
    if norm not in NORMS:
        raise ValueError(f"resnet_head: norm must be one of {', '.join(map(repr, NORMS))}; "
                         f"got {norm!r}")  # fmt: skip
    mix = nn.Sequential(Standardization(C), _conv(C, w, 1, norm=norm))
    count = _size("resnet_head", "depth", depth)
    blocks = [ResidualBlock(w, w, norm=norm) for _ in range(count)]
    return _initialised(nn.Sequential(mix, *blocks, *_classifier(w, classes, p)))


class Standardization(nn.Module):
    """``gain (x - mean) / deviation`` of every channel, the same in training and in evaluation.

    Mean and deviation are those of all batches seen in training, so that from the first step on
    they are an estimate, not a convention, and a few steps suffice. Deviations are floored at a
    tenth of their root mean square.

    Args:
        channels: size of dimension 1 of the input.
        gain: what is multiplied.
    Example:
        >>> x = 5 + 3 * torch.randn(64, 7, 8, 8)
        >>> Standardization(7)(x).std().round(decimals=1)
        tensor(1.)
    """

    count: Tensor  # batches seen
    mean: Tensor  # [channels]
    variance: Tensor  # [channels]

    def __init__(self, channels: int, gain: float = 1.0) -> None:
        super().__init__()
        self.gain = gain
        self.register_buffer("count", torch.zeros(()))
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("variance", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """``[B, channels, ...]``, the same shape."""
        if self.training:
            self._observe(x.detach())
        deviation = self.variance.sqrt()
        deviation = deviation.maximum(_FLOOR * self.variance.mean().sqrt()).clamp(min=_TINY)
        shape = (-1,) + (1,) * (x.ndim - 2)
        return (x - self.mean.view(shape)) * (self.gain / deviation).view(shape)

    def _observe(self, x: Tensor) -> None:
        """Cumulative averages; the spread of the batch means is part of the variance."""
        dims = [d for d in range(x.ndim) if d != 1]
        with torch.no_grad():
            mean, variance = x.mean(dims), x.var(dims, correction=0)
            share = 1 / (self.count + 1)
            step = mean - self.mean
            between = share * (1 - share) * step.square()
            self.variance.copy_(self.variance + share * (variance - self.variance) + between)
            self.mean.add_(share * step)
            self.count.add_(1)

    def extra_repr(self) -> str:
        return f"{len(self.mean)}, gain={self.gain:.3g}"


class ResidualBlock(nn.Module):
    """``ρ(x' + N W_2 ρ N W_1 x)``, 3 x 3 convolutions W, normalisations N; ``x'`` is ``x`` or,
    where the shape changes, ``N W_0 x`` with a 1 x 1 convolution.

    Args:
        before, after: channels of input and output.
        stride: of the first convolution.
        norm: ``"batch"`` or ``"group"``.
    Example:
        >>> ResidualBlock(16, 32, stride=2)(torch.rand(1, 16, 8, 8)).shape
        torch.Size([1, 32, 4, 4])
    """

    def __init__(self, before: int, after: int, stride: int = 1, norm: str = "batch") -> None:
        super().__init__()
        self.inner = nn.Sequential(
            _conv(before, after, 3, stride, norm), _conv(after, after, 3, 1, norm)[:-1]
        )
        same = stride == 1 and before == after
        self.outer = nn.Identity() if same else _conv(before, after, 1, stride, norm)[:-1]

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.outer(x) + self.inner(x))


class InceptionBlock(nn.Module):
    """Branches side by side: 1 x 1, 3 x 3, 5 x 5 and pooling, the larger ones behind a 1 x 1
    convolution that reduces the channels. The widths are those of GoogLeNet's first module.

    Args:
        before: channels of the input.
        width: channels of the 1 x 1 branch; the output has four times as many.
    Example:
        >>> InceptionBlock(48, 16)(torch.rand(1, 48, 8, 8)).shape
        torch.Size([1, 64, 8, 8])
    """

    def __init__(self, before: int, width: int) -> None:
        super().__init__()
        w = width
        self.channels = w + 2 * w + 2 * (w // 2)
        self.branches = nn.ModuleList(
            [
                _conv(before, w, 1),
                nn.Sequential(_conv(before, 3 * w // 2, 1), _conv(3 * w // 2, 2 * w, 3)),
                nn.Sequential(_conv(before, w // 4, 1), _conv(w // 4, w // 2, 5)),
                nn.Sequential(nn.MaxPool2d(3, 1, 1), _conv(before, w // 2, 1)),
            ]
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], 1)


HEADS: dict[str, Callable[..., nn.Module]] = {
    "linear": linear_head,
    "mlp": mlp_head,
    "resnet": resnet_head,
}
MODELS: dict[str, Callable[..., nn.Module]] = {
    "alexnet": alexnet,
    "inception": inception,
    "resnet": resnet,
    "hybrid": hybrid,
}
NORMS: dict[str, Callable[[int], nn.Module]] = {
    "batch": nn.BatchNorm2d,
    "group": lambda channels: nn.GroupNorm(math.gcd(channels, 8), channels),
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
        _known_options(name, MODELS[family], options)
    return MODELS[family](classes, shape, **options)


def _conv(
    before: int, after: int, side: int, stride: int = 1, norm: str = "batch"
) -> nn.Sequential:
    conv = nn.Conv2d(before, after, side, stride, side // 2, bias=False)
    return nn.Sequential(conv, NORMS[norm](after), nn.ReLU())


def _classifier(before: int, classes: int, dropout: float = 0.0) -> list[nn.Module]:
    mean = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout))
    return [mean, nn.Linear(before, classes)]


def _initialised(network: nn.Sequential) -> nn.Sequential:
    """He's initialisation: the size of a signal is kept by convolution and rectifier."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return network


def _checked(
    caller: str, classes: int, shape: Sequence[int], least: int
) -> tuple[int, int, bool]:  # classes, channels, whether the images are large
    classes = _integer(caller, "classes", classes, 2)
    try:
        C, M, N = (_integer(caller, "a size in shape", size, 1) for size in shape)
    except (TypeError, ValueError) as error:
        if caller in str(error):
            raise
        raise TypeError(
            f"{caller}: shape must be three integers (C, M, N); got {shape!r}"
        ) from None
    if min(M, N) < least:
        raise ValueError(
            f"{caller}: images must have at least {least} x {least} pixels; got {M} x {N}"
        )
    return classes, C, min(M, N) >= _LARGE


def _size(caller: str, name: str, value: int | None, default: int = 0) -> int:
    return _integer(caller, name, default if value is None else value, 1)


def _share(caller: str, name: str, value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        raise ValueError(f"{caller}: {name} must be a number in [0, 1); got {value!r}")
    return float(value)


def _known_options(caller: str, function: Callable[..., Any], options: dict[str, Any]) -> None:
    known = list(inspect.signature(function).parameters)[2:]
    for name in options:
        if name not in known:
            known_text = ", ".join(known) or "none"
            raise ValueError(f"{caller}: no option {name!r}; its options: {known_text}")
