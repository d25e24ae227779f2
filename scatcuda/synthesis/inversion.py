"""From scattering coefficients back to a signal or an image."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..arguments import ArgumentError, InputError, number, positive, told
from .descent import Descent, Loss, descend
from .fields import white_noise


@dataclass
class Inversion(Descent):
    """What was found, and how far its coefficients are from those that were given.

    Attributes:
        error: ``|S x - S| / |S|`` of the worst signal.
    Example:
        >>> from scatcuda import Scattering1D
        >>> scattering = Scattering1D(J=3, shape=256)
        >>> found = invert(scattering(torch.randn(256)), scattering, steps=5)
        >>> found.x.shape, found.error < 1
        (torch.Size([1, 256]), True)
    """

    error: float = math.inf


def invert(
    S: Tensor,
    transform: nn.Module | Callable[[Tensor], Tensor],
    *,
    init: Literal["noise"] | Tensor = "noise",
    scale: float | None = None,
    mean: float | None = None,
    seed: int = 0,
    **how: Any,
) -> Inversion:
    """A signal or an image of which the coefficients are known, by gradient descent on
    ``|S x - S|^2 / |S|^2`` from noise.

    What comes back is what the coefficients tell: one order of a large ``2^J`` loses where things
    are, two keep much more of it.

    Args:
        S: ``transform(x)`` of one or several ``x``, ``[*output_shape]`` or ``[n, *output_shape]``.
        transform: a scattering transform of signals or images, or any differentiable module or
            function of ``[n, *input_shape]``, whose ``input_shape`` tells what it takes.
        init: ``"noise"``, white, or ``x`` to begin with.
        scale: the deviation of the noise; default that of noise whose coefficients are as large
            as ``S``.
        mean: its mean; default 0.
        seed: of the noise.
        **how: as :func:`descend` takes it: ``steps``, ``optimiser``, ``callback``, ….
    Raises:
        TypeError, ValueError: ``S`` is none of ``transform``, which has no ``input_shape``, or
            another argument is wrong.
    Source: J. Bruna and S. Mallat, "Audio texture synthesis with scattering moments", 2013; T.
        Angles and S. Mallat, "Generative networks as inverse problems with scattering
        transforms", ICLR 2018.
    Example:
        >>> from scatcuda import Scattering2D
        >>> scattering, x = Scattering2D(J=1, shape=(16, 16)), torch.rand(16, 16)
        >>> found = invert(scattering(x), scattering, steps=20)
        >>> found.x.shape, found.error < 0.1
        (torch.Size([1, 16, 16]), True)
    """
    caller = "invert"
    if not callable(transform):
        raise TypeError(
            f"{caller}: transform must be a module or a function; got {told(transform)}"
        )
    sides = getattr(transform, "input_shape", None)
    if isinstance(init, Tensor):
        sides = tuple(init.shape[-len(sides) :]) if sides is not None else tuple(init.shape[1:])
    if sides is None:
        raise ArgumentError(f"{caller}: transform must have an input_shape, or init be given")
    if not isinstance(S, Tensor) or not S.is_floating_point() or not bool(S.isfinite().all()):
        raise InputError(
            f"{caller}: S must be a real floating tensor of finite coefficients; got {told(S)}"
        )
    with torch.no_grad():
        probe = transform(torch.zeros(1, *sides, dtype=S.dtype, device=S.device))
    if not isinstance(probe, Tensor):
        raise InputError(
            f"{caller}: transform must give a tensor (out_type='array'); got {type(probe).__name__}"
        )
    each = tuple(probe.shape[1:])
    if tuple(S.shape) == each:
        S = S.unsqueeze(0)
    if tuple(S.shape[1:]) != each or not len(S):
        raise InputError(
            f"{caller}: S must be coefficients {each} of the transform, or [n, …] of several; got "
            f"{tuple(S.shape)}"
        )
    shape = (len(S), *sides)
    if isinstance(init, Tensor):
        real = init.is_floating_point() and bool(init.isfinite().all())
        if not real or tuple(init.shape) not in (shape, shape[1:]):
            raise InputError(
                f"{caller}: init must be {shape}, of real finite numbers; got {told(init)}"
            )
        start = init.detach().expand(shape).to(S)
    elif isinstance(init, str) and init == "noise":
        centre = 0.0 if mean is None else number(caller, "mean", mean)
        noise = white_noise(caller, shape, seed, S)
        if scale is None:
            with torch.no_grad():
                ratio = float(S.detach().norm() / transform(noise).norm())
            scale = ratio if 0 < ratio < math.inf else 1.0
        start = positive(caller, "scale", scale) * noise + centre
    else:
        raise ArgumentError(f"{caller}: init must be 'noise' or a tensor; got {told(init)}")
    target = S.detach()
    found = descend(start, [Loss(transform, target)], **how)
    with torch.no_grad():
        away = (transform(found.x) - target).flatten(1).norm(dim=1)
        size = target.flatten(1).norm(dim=1)
    error = float((away / torch.where(size > 0, size, 1.0)).max())
    return Inversion(
        found.x, found.history, found.seconds, found.state, error, signature=found.signature
    )


def psnr(x: Tensor, wanted: Tensor, peak: float = 1.0) -> float:
    """``10 log10(peak^2 / mean |x - wanted|^2)`` in decibels; infinity where they are equal.

    Args:
        x, wanted: tensors of one shape; of whole numbers ``peak`` may be 255.
        peak: a positive number.
    Raises: TypeError, ValueError: they are none of these.
    Example:
        >>> round(psnr(torch.zeros(4), torch.full((4,), 0.1)), 3)
        20.0
    """
    for name, tensor in (("x", x), ("wanted", wanted)):
        if not isinstance(tensor, Tensor) or not tensor.numel() or tensor.is_complex():
            raise InputError(f"psnr: {name} must be a real tensor; got {told(tensor)}")
    if x.shape != wanted.shape:
        raise InputError(
            f"psnr: wanted must have the shape of x, {tuple(x.shape)}; got {tuple(wanted.shape)}"
        )
    peak = positive("psnr", "peak", peak)
    if not x.is_floating_point() or not wanted.is_floating_point():
        x, wanted = x.double(), wanted.double()
    error = float((x - wanted).square().mean())
    return 10 * math.log10(peak**2 / error) if error != 0 else math.inf
