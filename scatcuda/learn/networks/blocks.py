"""What networks are made of: convolutions, residual and inception blocks, standardisation."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ...arguments import channels_last, integer, plain
from ...typing import Norm

_LARGE = 96  # pixels; from here on the first layers reduce the image fourfold
_FLOOR = 0.1  # smallest deviation of a channel, relative to their root mean square
_HALF = torch.float16, torch.bfloat16
_TINY = 1e-12  # keeps divisions finite where images are blank

NORMS: dict[Norm, Callable[[int], nn.Module]] = {
    "batch": nn.BatchNorm2d,
    "group": lambda channels: nn.GroupNorm(math.gcd(channels, 8), channels),
}


class Standardization(nn.Module):
    """``gain (x - mean) / deviation`` of every channel, the same in training and in evaluation.

    Mean and deviation are those of all batches seen in training, so that from the first step on
    they are an estimate, not a convention, and a few steps suffice. Deviations are floored at a
    tenth of their root mean square. Both are kept in float32 or float64, whatever the network is
    cast to: bfloat16 cannot count to 300.

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
    if TYPE_CHECKING:

        def __call__(self, x: Tensor) -> Tensor: ...

    def __init__(self, channels: int, gain: float = 1.0) -> None:
        super().__init__()
        self.gain = gain
        self.register_buffer("count", torch.zeros(()))
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("variance", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """``[B, channels, ...]``, the same shape and dtype."""
        dtype = x.dtype
        x = x.to(torch.promote_types(dtype, self.mean.dtype))
        if self.training:
            self._observe(x.detach())
        deviation = self.variance.sqrt()
        deviation = deviation.maximum(_FLOOR * self.variance.mean().sqrt()).clamp(min=_TINY)
        shape = (-1,) + (1,) * (x.ndim - 2)
        return ((x - self.mean.view(shape)) * (self.gain / deviation).view(shape)).to(dtype)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        before = dict(self._buffers)
        super()._apply(fn, recurse)
        for name, after in self._buffers.items():
            exact = before[name]
            if exact is not None and after is not None and after.dtype in _HALF:
                self._buffers[name] = exact.float().to(after.device)
        return self

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

    if TYPE_CHECKING:

        def __call__(self, x: Tensor) -> Tensor: ...

    def __init__(self, before: int, after: int, stride: int = 1, norm: Norm = "batch") -> None:
        super().__init__()
        self.inner: nn.Module = nn.Sequential(
            conv(before, after, 3, stride, norm), conv(after, after, 3, 1, norm)[:-1]
        )
        same = stride == 1 and before == after
        self.outer: nn.Module = nn.Identity() if same else conv(before, after, 1, stride, norm)[:-1]

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

    if TYPE_CHECKING:

        def __call__(self, x: Tensor) -> Tensor: ...

    def __init__(self, before: int, width: int) -> None:
        super().__init__()
        w = integer("InceptionBlock", "width", width, 4)  # a quarter of it is the narrowest branch
        self.channels: int = w + 2 * w + 2 * (w // 2)
        self.branches: nn.ModuleList = nn.ModuleList(
            [
                conv(before, w, 1),
                nn.Sequential(conv(before, 3 * w // 2, 1), conv(3 * w // 2, 2 * w, 3)),
                nn.Sequential(conv(before, w // 4, 1), conv(w // 4, w // 2, 5)),
                nn.Sequential(nn.MaxPool2d(3, 1, 1), conv(before, w // 2, 1)),
            ]
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], 1)


class LocallyConnected(nn.Module):
    """A convolution whose weights are others at every place: ``y(u) = W_u x(u + v) + b_u``. What it
    looks for may stand where it stands, as eyes and mouth do in a face that was aligned.

    Args:
        before, after: channels of input and output.
        sides: ``(M, N)`` of the input.
        side: of the square of pixels that a place sees.
        stride: from one place to the next.
    Example:
        >>> layer = LocallyConnected(3, 8, (12, 10), 3, stride=2)
        >>> layer(torch.rand(4, 3, 12, 10)).shape, layer.sides
        (torch.Size([4, 8, 6, 5]), (6, 5))
    """

    if TYPE_CHECKING:

        def __call__(self, x: Tensor) -> Tensor: ...

    def __init__(
        self, before: int, after: int, sides: tuple[int, int], side: int, stride: int = 1
    ) -> None:
        super().__init__()
        self.side: int = side
        self.stride: int = stride
        m, n = (-(-size // stride) for size in sides)
        self.sides: tuple[int, int] = (m, n)
        inputs = before * side**2
        self.weight: nn.Parameter = nn.Parameter(torch.empty(m * n, inputs, after))
        self.bias: nn.Parameter = nn.Parameter(torch.zeros(after, m * n))
        nn.init.normal_(self.weight, std=math.sqrt(2 / inputs))  # as He's of convolutions

    def forward(self, x: Tensor) -> Tensor:
        """``[B, before, M, N]`` to ``[B, after, ceil(M / stride), ceil(N / stride)]``."""
        patches = torch.nn.functional.unfold(x, self.side, 1, self.side // 2, self.stride)
        y = torch.bmm(patches.permute(2, 0, 1), self.weight).permute(1, 2, 0) + self.bias
        return y.unflatten(-1, self.sides)

    def extra_repr(self) -> str:
        places, inputs, after = self.weight.shape
        return f"{inputs} -> {after} at {places} places, {self.side}, stride={self.stride}"


def like_weights(x: Tensor, network: nn.Module) -> Tensor:
    """`x` in the dtype of the network's weights, if it has any."""
    for weight in network.parameters():
        if weight.is_floating_point():
            return x.to(weight.dtype)
    return x


def conv(
    before: int, after: int, side: int, stride: int = 1, norm: Norm = "batch"
) -> nn.Sequential:
    conv = nn.Conv2d(before, after, side, stride, side // 2, bias=False)
    return nn.Sequential(conv, NORMS[norm](after), nn.ReLU())


def classifier(before: int, classes: int, dropout: float = 0.0) -> list[nn.Module]:
    mean = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout))
    return [mean, nn.Linear(before, classes)]


def initialised(network: nn.Sequential) -> nn.Sequential:
    """He's initialisation: the size of a signal is kept by convolution and rectifier.

    Channels lie beside each other in the weights, and so in what convolutions make
    (`torch.channels_last`): what pools is far slower on a CPU where they do not.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    nn.utils.convert_conv2d_weight_memory_format(network, torch.channels_last)
    return network


def checked_images(
    caller: str, classes: int, shape: Sequence[int], least: int
) -> tuple[int, int, bool]:  # classes, channels, whether the images are large
    classes = integer(caller, "classes", classes, 2)
    try:
        C, M, N = (integer(caller, "a size in shape", size, 1) for size in shape)
    except (TypeError, ValueError) as error:
        if caller in str(error):
            raise
        raise TypeError(
            f"{caller}: shape must be three integers (C, M, N); got {shape!r}"
        ) from None
    if min(M, N) < least:
        raise ValueError(
            f"{caller}: images must have at least {least} x {least} pixels; got {M} x {N}"
            f"{channels_last((C, M, N))}"
        )
    return classes, C, min(M, N) >= _LARGE


def positive(caller: str, name: str, value: int | None, default: int = 0) -> int:
    return integer(caller, name, default if value is None else value, 1)


def fraction(caller: str, name: str, value: float) -> float:
    value = plain(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        raise ValueError(f"{caller}: {name} must be a number in [0, 1); got {value!r}")
    return float(value)


def check_options(caller: str, function: Callable[..., Any], options: dict[str, Any]) -> None:
    known = list(inspect.signature(function).parameters)[2:]
    for name in options:
        if name not in known:
            known_text = ", ".join(known) or "none"
            raise ValueError(f"{caller}: no option {name!r}; its options: {known_text}")
