"""The moduli of wavelets over time, as one tensor."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .. import limits
from ..arguments import InputError, integer, one_of, scales
from ..ops.constants import constants, has_values
from ..program.steps import PADDING
from .scattering1d import Scattering1D

_CALLER = "scalogram"


class Scalogram(NamedTuple):
    """``values [..., n, samples]``, and the wavelets' ``frequencies [n]`` in cycles a sample,
    float64, falling."""

    values: Tensor
    frequencies: Tensor


def scalogram(
    x: Tensor,
    J: int,
    Q: int = 8,
    *,
    samples: int | None = None,
    padding: str = "reflect",
) -> Scalogram:
    """The scalogram of real signals, ``U[n, t] = |x * psi_n|(t)``, with the wavelets of the first
    order of :class:`~scatcuda.Scattering1D`.

    Args:
        x: ``[..., N]``; integers and half precision are computed in float32.
        J, Q, padding: as for :class:`~scatcuda.Scattering1D`.
        samples: how many there are over time, each the nearest of those that the bands of the
            wavelets ask for, so that a picture of a long signal is cheap; None: all ``N``.
    Returns: ``values [..., n, samples]``, differentiable, and ``frequencies [n]``.
    Raises: TypeError, ValueError: an argument is wrong.
    Source: S. Mallat, A Wavelet Tour of Signal Processing, 3rd edition, 2009, section 4.3.
    Example:
        >>> rate = 8000                                    # a tone of 440 Hz
        >>> x = torch.sin(2 * torch.pi * 440 * torch.arange(rate) / rate)
        >>> U, xi = scalogram(x, J=8, Q=12, samples=500)
        >>> U.shape, round(rate * float(xi[U.mean(-1).argmax()]))
        (torch.Size([76, 500]), 431)
    """
    if not isinstance(x, Tensor) or x.ndim == 0:
        found = f"a number, {x}" if isinstance(x, Tensor) else type(x).__name__
        raise TypeError(f"{_CALLER}: x must be a tensor of signals [..., N]; got {found}")
    if x.is_complex():
        raise InputError(f"{_CALLER}: x must be real; got {x.dtype}")
    if samples is not None:
        samples = integer(_CALLER, "samples", samples, 1, limits.SIDE)
    J, Q = scales(_CALLER, J), integer(_CALLER, "Q", Q, 1, limits.ANGLES)
    one_of(_CALLER, "padding", padding, tuple(PADDING.values()))
    dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
    integer(_CALLER, "the length of x", x.shape[-1], 2, limits.SIDE)
    made = _kept if has_values(x) else _moduli
    scattering = made(J, x.shape[-1], Q, padding, samples is None, str(x.device), dtype)
    rows = [path["coef"] for path in scattering(x)[1:]]
    if samples is not None:
        rows = [_nearest(row, samples) for row in rows]
    xi = torch.tensor([psi["xi"] for psi in scattering.psi1_f], dtype=torch.float64)
    return Scalogram(torch.stack(rows, -2), xi)


def _moduli(
    J: int, N: int, Q: int, padding: str, fine: bool, device: str, dtype: torch.dtype
) -> Scattering1D[Any]:
    every: Scattering1D[Any] = Scattering1D(
        J, N, Q, T=0, max_order=1, oversampling=J if fine else 0, out_type="list", padding=padding
    )
    return every.to(device, dtype)


@lru_cache(maxsize=8)  # of checked arguments: 8 and 8.0 are one to it
def _kept(*arguments: Any) -> Scattering1D[Any]:
    with constants(), torch.device("cpu"):  # it outlives the modes and devices of this call
        return _moduli(*arguments)


def _nearest(values: Tensor, samples: int) -> Tensor:
    """So many over time, each in the middle of its share of it."""
    middles = torch.arange(samples, dtype=torch.float64) + 0.5
    places = (middles * (values.shape[-1] / samples)).long().clamp(max=values.shape[-1] - 1)
    return values.index_select(-1, places.to(values.device))
