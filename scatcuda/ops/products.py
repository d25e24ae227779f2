"""Complex numbers of the reference, also where there are none: in a graph for ONNX.

ONNX has no complex tensors, and few runtimes have its DFT. While ``torch.onnx.export`` traces, what
begins a complex tensor in :mod:`scatcuda.ops.reference` begins a pair of real ones here, ``Parts``,
and Fourier transforms are products with matrices. At all other times these are PyTorch's functions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

__all__ = ["Parts", "fft", "fftn", "polar", "rfft", "whole"]

_DENSE = 256  # sides up to which a transform is one product


def fftn(x: Tensor, dims: Sequence[int]) -> Tensor:
    """``torch.fft.fftn`` along these dimensions."""
    if not torch.onnx.is_in_onnx_export():
        return torch.fft.fftn(x, dim=tuple(dims))
    return cast(Tensor, _transformed(x, dims))


def fft(x: Tensor, n: int, dim: int) -> Tensor:
    """``torch.fft.fft``, with zeros behind ``x``."""
    if not torch.onnx.is_in_onnx_export():
        return torch.fft.fft(x, n=n, dim=dim)
    if n > x.shape[dim]:
        zeros = torch.zeros_like(x.narrow(dim, 0, 1))
        x = torch.cat([x, *[zeros] * (n - x.shape[dim])], dim)
    return cast(Tensor, _transformed(x.narrow(dim, 0, n), [dim]))


def rfft(x: Tensor) -> Tensor:
    """``torch.fft.rfft`` along the last dimension."""
    if not torch.onnx.is_in_onnx_export():
        return torch.fft.rfft(x)
    return cast(Tensor, _transformed(x, [-1]).narrow(-1, 0, x.shape[-1] // 2 + 1))


def polar(size: Tensor, angle: Tensor) -> Tensor:
    """``torch.polar``."""
    if not torch.onnx.is_in_onnx_export():
        return torch.polar(size, angle)
    return cast(Tensor, Parts(size * angle.cos(), size * angle.sin()))


def whole(z: Tensor) -> Tensor:
    """A complex tensor, where a result is one: the exporter has it as a dimension of 2."""
    return torch.complex(z.real, z.imag) if isinstance(z, Parts) else z


class Parts:
    """A complex tensor as two real ones, for what the reference does with it.

    Example:
        >>> z = Parts(torch.tensor([3.0, 0.0]), torch.tensor([4.0, 1.0]))
        >>> z.abs(), (z * z.conj()).real
        (tensor([5., 1.]), tensor([25.,  1.]))
        >>> torch.fft.ifftn(z, dim=(-1,)).imag
        tensor([2.5000, 1.5000])
    """

    real: Tensor
    imag: Tensor

    def __init__(self, real: Tensor, imag: Tensor) -> None:
        self.real, self.imag = real, imag

    def __getattr__(self, name: str) -> Any:
        if name in ("shape", "device", "ndim"):
            return getattr(self.real, name)
        if name in _ALIKE:
            return lambda *args, **options: self._each(
                lambda part: getattr(part, name)(*args, **options)
            )
        raise AttributeError(f"Parts has no {name}")

    def _each(self, f: Callable[[Tensor], Tensor]) -> Parts:
        return Parts(f(self.real), f(self.imag))

    def is_complex(self) -> bool:
        """True."""
        return True

    def conj(self) -> Parts:
        """The conjugate."""
        return Parts(self.real, -self.imag)

    def abs(self) -> Tensor:
        """The modulus."""
        return (self.real.square() + self.imag.square()).sqrt()

    def angle(self) -> Tensor:
        """The phase."""
        return torch.atan2(self.imag, self.real)

    def __mul__(self, other: Any) -> Parts:
        if not isinstance(other, Parts):
            return self._each(lambda part: part * other)
        return Parts(
            self.real * other.real - self.imag * other.imag,
            self.real * other.imag + self.imag * other.real,
        )

    def __truediv__(self, other: Any) -> Parts:
        return self._each(lambda part: part / other)

    @property
    def mH(self) -> Parts:
        """The matrices' adjoints."""
        return self.transpose(-2, -1).conj()

    def __matmul__(self, other: Any) -> Parts:
        if not isinstance(other, Parts):
            return self._each(lambda part: part @ other)
        return Parts(
            self.real @ other.real - self.imag @ other.imag,
            self.real @ other.imag + self.imag @ other.real,
        )

    def __rmatmul__(self, other: Tensor) -> Parts:
        return self._each(lambda part: other @ part)

    @classmethod
    def __torch_function__(cls, f: Any, types: Any, args: Any = (), options: Any = None) -> Any:
        return _FUNCTIONS[f](*args, **options or {})


# Methods that take both parts alike
_ALIKE = set("flatten index_select mean movedim narrow reshape roll sum transpose".split())
_ALIKE |= {"unflatten", "unsqueeze"}


def _gathered(f: Any) -> Callable[..., Parts]:
    """Of several, part by part."""

    def run(several: Sequence[Parts], dim: int = 0) -> Parts:
        return Parts(f([z.real for z in several], dim), f([z.imag for z in several], dim))

    return run


def _where(mask: Tensor, a: Parts, b: Parts) -> Parts:
    return Parts(torch.where(mask, a.real, b.real), torch.where(mask, a.imag, b.imag))


def _norm(z: Parts, dim: int) -> Tensor:
    return (z.real.square() + z.imag.square()).sum(dim).sqrt()


def _irfft(z: Parts, n: int) -> Tensor:
    """Of a real signal: bins that stand for two, and zeros for the others."""
    others = (n - 1) // 2
    twice = torch.tensor([1.0, *[2.0] * others, *[1.0] * (1 - n % 2)], device=z.device)
    z = (z * twice)._each(lambda part: torch.nn.functional.pad(part, (0, n - z.shape[-1])))
    return _inverse(z, [-1]).real


def _inverse(z: Parts, dims: Sequence[int]) -> Parts:
    sides = math.prod(z.shape[dim] for dim in dims)
    return _transformed(z.conj(), dims).conj() / sides


# PyTorch's functions that the reference calls
_FUNCTIONS: dict[Any, Callable[..., Any]] = {
    torch.cat: _gathered(torch.cat),
    torch.stack: _gathered(torch.stack),
    torch.where: _where,
    torch.zeros_like: lambda z: z._each(torch.zeros_like),
    torch.linalg.vector_norm: _norm,
    torch.fft.ifft: lambda z, dim=-1: _inverse(z, [dim]),
    torch.fft.ifftn: lambda z, dim: _inverse(z, dim),
    torch.fft.irfft: _irfft,
    Tensor.__matmul__: lambda matrix, z: z.__rmatmul__(matrix),
    Tensor.__rmatmul__: lambda matrix, z: z.__rmatmul__(matrix),
}


# --- Fourier transforms -----------------------------------------------------------------------


def _transformed(x: Any, dims: Sequence[int]) -> Any:
    """Of a tensor or parts, along these dimensions."""
    for dim in dims:
        x = _along_last(x.movedim(dim, -1)).movedim(-1, dim)
    return x


def _along_last(x: Any) -> Any:
    """``X[k] = sum_n x[n] exp(-2 pi i k n / N)``. With ``N = a b``, ``n = b n1 + n2`` and
    ``k = k1 + a k2`` a long one is transforms of ``a``, turns by ``k1 n2 / N``, and of ``b``."""
    side = x.shape[-1]
    a = next((d for d in range(math.isqrt(side), 1, -1) if side % d == 0), 1)
    if side <= _DENSE or a == 1:
        return _times(x, _turns(np.outer(np.arange(side), np.arange(side)), side, x))
    by_a = _along_last(x.unflatten(-1, (a, side // a)).transpose(-1, -2))  # [..., n2, k1]
    turned = by_a * _turns(np.outer(np.arange(side // a), np.arange(a)), side, x)
    by_b = _along_last(turned.transpose(-1, -2))  # [..., k1, k2]
    return by_b.transpose(-1, -2).flatten(-2)


def _turns(numerators: np.ndarray, side: int, like: Any) -> Parts:
    """``exp(-2 pi i n / side)``."""
    real = like if isinstance(like, Tensor) else like.real
    angle = numerators % side * (-2 * np.pi / side)
    cos, sin = map(torch.from_numpy, (np.cos(angle), np.sin(angle)))
    return Parts(cos, sin)._each(lambda part: part.to(real.device, real.dtype))


def _times(x: Any, matrix: Parts) -> Parts:
    """``x @ matrix``, also of a real ``x``."""
    if isinstance(x, Tensor):
        return Parts(x @ matrix.real, x @ matrix.imag)
    return Parts(
        x.real @ matrix.real - x.imag @ matrix.imag, x.real @ matrix.imag + x.imag @ matrix.real
    )
