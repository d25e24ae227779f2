"""The primitives from which Kymatio builds a scattering transform, path by path, on our operators.

What Kymatio's PyTorch classes take as ``backend=``. They follow Kymatio 0.3.0 and its development
branch, which calls ``stack`` what was ``concatenate`` and asks for more in 1D.

Tensors end in an axis of size 1, a real value, or 2, real and imaginary part. Letters: B any
leading dimensions, * the signal's one, two or three.

>>> from kymatio.torch import Scattering1D
>>> from scatcuda.kymatio import backend1d
>>> Scattering1D(J=4, shape=512, Q=2, backend=backend1d)(torch.randn(3, 512)).shape
torch.Size([3, 20, 32])
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

from .. import ops


class _Backend:
    """What the backends share. Checks and errors are Kymatio's, and so are the names."""

    name = "torch_scatcuda"  # Kymatio's PyTorch classes want a name that starts with theirs
    _axes: tuple[int, ...]  # of the signal in a complex tensor [B, *]

    def __reduce__(self) -> str:
        return f"backend{len(self._axes)}d"  # copies and pickles are the object itself

    def __repr__(self) -> str:
        return f"scatcuda.kymatio.{self.__reduce__()}"

    def input_checks(self, x: Tensor) -> None:
        if x is None:
            raise TypeError("The input should be not empty.")
        self.contiguous_check(x)

    def complex_check(self, x: Tensor) -> None:
        if x.shape[-1] != 2:
            raise TypeError("The input should be complex (i.e. last dimension is 2).")

    def real_check(self, x: Tensor) -> None:
        if x.shape[-1] != 1:
            raise TypeError("The input should be real.")

    def contiguous_check(self, x: Tensor) -> None:
        if not x.is_contiguous():
            raise RuntimeError("Tensors must be contiguous.")

    def complex_contiguous_check(self, x: Tensor) -> None:
        self.complex_check(x)
        self.contiguous_check(x)

    def rfft(self, x: Tensor) -> Tensor:
        """``[B, *, 1] -> [B, *, 2]``: the DFT of a real signal, all its frequencies."""
        self.contiguous_check(x)
        self.real_check(x)
        return torch.view_as_real(torch.fft.fftn(x.squeeze(-1), dim=self._axes))

    def ifft(self, x: Tensor) -> Tensor:
        """``[B, *, 2] -> [B, *, 2]``: the inverse DFT."""
        self.complex_contiguous_check(x)
        return torch.view_as_real(self._ifft(x))

    def irfft(self, x: Tensor) -> Tensor:
        """``[B, *, 2] -> [B, *, 1]``: the real part of the inverse DFT."""
        self.complex_contiguous_check(x)
        return self._ifft(x).real.unsqueeze(-1)

    def _ifft(self, x: Tensor) -> Tensor:
        return torch.fft.ifftn(torch.view_as_complex(x), dim=self._axes)

    def cdgmm(self, A: Tensor, B: Tensor) -> Tensor:
        """``A B``, spectra ``A [B, *, 2]`` times one filter ``B [*, 1]`` or ``[*, 2]``."""
        if B.shape[-1] != 1:
            self.complex_check(B)
        self.contiguous_check(B)
        self.complex_contiguous_check(A)
        if A.shape[-B.ndim : -1] != B.shape[:-1]:
            raise RuntimeError("The filters are not compatible for multiplication.")
        if A.dtype is not B.dtype:
            raise TypeError("Input and filter must be of the same dtype.")
        if A.device != B.device:
            if A.is_cuda and B.is_cuda:
                raise TypeError("Input and filter must be on the same GPU.")
            raise TypeError(f"Input must be on {'GPU' if B.is_cuda else 'CPU'}.")
        psi = B.squeeze(-1) if B.shape[-1] == 1 else torch.view_as_complex(B)
        return torch.view_as_real(torch.view_as_complex(A) * psi)

    def modulus(self, x: Tensor) -> Tensor:
        """``[B, *, 2] -> [B, *, 1]``; the gradient at 0 is 0."""
        self.complex_contiguous_check(x)
        return ops.modulus(torch.view_as_complex(x)).unsqueeze(-1)

    def shape(self, x: Tensor) -> torch.Size:
        return x.shape

    def reshape_input(self, x: Tensor, signal_shape: Sequence[int]) -> Tensor:
        """``[..., *] -> [B, 1, *]``"""
        return x.reshape(-1, 1, *signal_shape)

    def reshape_output(self, S: Tensor, batch_shape: Sequence[int], n_kept_dims: int) -> Tensor:
        """``[B, 1, ...] -> [*batch_shape, ...]``, the last ``n_kept_dims`` sizes as they are."""
        return S.reshape(*batch_shape, *S.shape[-n_kept_dims:])


class _Backend1D(_Backend):
    _axes = (-1,)

    def pad(self, x: Tensor, pad_left: int, pad_right: int, mode: str = "reflect") -> Tensor:
        """``[B, 1, N] -> [B, 1, pad_left + N + pad_right, 1]``"""
        if mode != "constant" and max(pad_left, pad_right) >= x.shape[-1]:
            raise ValueError("Indefinite padding size (larger than tensor).")
        return pad(x, (pad_left, pad_right), mode=mode).unsqueeze(-1)

    def unpad(self, x: Tensor, i0: int, i1: int) -> Tensor:
        """``[..., N, 1] -> [..., i1 - i0]``"""
        return x.squeeze(-1)[..., i0:i1]

    def subsample_fourier(self, x: Tensor, k: int) -> Tensor:
        """``[B, N, 2] -> [B, N / k, 2]``: the mean of the ``k`` aliases."""
        self.complex_check(x)
        return x.unflatten(-2, (k, x.shape[-2] // k)).mean(-3)

    def stack(self, arrays: Sequence[Tensor], dim: int = 2) -> Tensor:
        return torch.stack(tuple(arrays), dim)

    concatenate = stack

    def average_global(self, x: Tensor) -> Tensor:
        """``[B, N, 1] -> [B, 1, 1]``: the sum over time."""
        self.contiguous_check(x)
        self.real_check(x)
        return x.sum(-2, keepdim=True)

    # What the joint time-frequency scattering of the development branch asks for as well

    def cfft(self, x: Tensor) -> Tensor:
        """``[B, N, 2] -> [B, N, 2]``: the DFT."""
        self.complex_contiguous_check(x)
        return torch.view_as_real(torch.fft.fft(torch.view_as_complex(x)))

    def pad_frequency(self, x: Tensor, padding: int) -> Tensor:
        """``[..., N, 1] -> [..., N + padding, 1]``: zeros after the lowest frequency."""
        return pad(x, (0, 0, 0, padding))

    def unpad_frequency(self, x: Tensor, n1_max: int, n1_stride: int) -> Tensor:
        """``[B, 1, F, N] -> [B, 1, 1 + n1_max // n1_stride, N]``"""
        return x[:, :, : 1 + n1_max // n1_stride, :]

    def swap_time_frequency(self, x: Tensor) -> Tensor:
        """``[B, F, N, ...] -> [B, N, F, ...]``, the last axis as it is."""
        return x.transpose(-2, -3).contiguous()

    def split_frequency_axis(self, x: Tensor) -> tuple[Tensor, ...]:
        """``[B, F, N, 1] -> F`` tensors ``[B, 1, N, 1]``"""
        return x.split(1, dim=-3)


class Pad2D:
    """``[B, M, N] -> [B, Mp, Np, 1]``: reflects images at their edges, which are not repeated.

    Args:
        pad_size: pixels to add ``[top, bottom, left, right]``.
        input_size: ``[M, N]``.
    """

    def __init__(self, pad_size: Sequence[int], input_size: Sequence[int]) -> None:
        self.pad_size: tuple[int, ...] = tuple(pad_size)
        self.input_size: tuple[int, ...] = tuple(input_size)

    def __call__(self, x: Tensor) -> Tensor:
        (top, bottom, left, right), (M, N) = self.pad_size, self.input_size
        wanted = (left, right, top, bottom)
        # As many pixels as there are beyond the edge; what is missing reflects at the new edge
        first = [min(w, size - 1) for w, size in zip(wanted, (N, N, M, M), strict=True)]
        rest = [w - f for w, f in zip(wanted, first, strict=True)]
        images = pad(x.reshape(-1, 1, *x.shape[-2:]), first, mode="reflect")
        if any(rest):
            images = pad(images, rest, mode="reflect")
        return images.reshape(*x.shape[:-2], *images.shape[-2:], 1)


class _Backend2D(_Backend):
    _axes = (-2, -1)
    Pad = Pad2D

    def unpad(self, in_: Tensor) -> Tensor:
        """``[B, M, N, 1] -> [B, M - 2, N - 2]``"""
        return in_[..., 1:-1, 1:-1, 0]

    def subsample_fourier(self, x: Tensor, k: int) -> Tensor:
        """``[B, M, N, 2] -> [B, M / k, N / k, 2]``: the mean of the ``k x k`` aliases. By then the
        filter has been multiplied in, so that nothing is left for ``ops.filter_fold`` to spare;
        rows go first, since they add up in long vectors."""
        self.contiguous_check(x)
        self.complex_check(x)
        M, N = x.shape[-3:-1]
        rows = x.unflatten(-3, (k, M // k)).sum(-4)
        return rows.unflatten(-2, (k, N // k)).sum(-3) / k**2

    def stack(self, arrays: Sequence[Tensor]) -> Tensor:
        return torch.stack(tuple(arrays), -3)

    concatenate = stack


class _Backend3D(_Backend):
    _axes = (-3, -2, -1)

    def cdgmm3d(self, A: Tensor, B: Tensor) -> Tensor:
        return self.cdgmm(A, B)

    def modulus_rotation(self, x: Tensor, module: Tensor | None = None) -> Tensor:
        """``sqrt(module^2 + |x|^2)``, ``x [B, *, 2]`` and ``module [B, *, 1]``, or ``|x|``; the
        gradient at 0 is 0, where Kymatio's own has none."""
        length = ops.modulus(torch.view_as_complex(x)).unsqueeze(-1)
        return length if module is None else ops.modulus(torch.complex(module, length))

    def compute_integrals(self, input_array: Tensor, integral_powers: Sequence[float]) -> Tensor:
        """``[B, ...] -> [B, P]``: the sums of ``input_array ** q`` for the ``P`` powers ``q``."""
        integrals = [input_array.pow(q).flatten(1).sum(1) for q in integral_powers]
        return torch.stack(integrals, 1)

    def stack(self, arrays: Sequence[Tensor], L: int) -> Tensor:
        """``S`` tensors ``[B, ...] -> [B, S / (L + 1), L + 1, ...]``"""
        return torch.stack(tuple(arrays), 1).unflatten(1, (-1, L + 1))

    concatenate = stack


#: Backend objects for ``kymatio.torch.Scattering1D``, ``Scattering2D``, ``HarmonicScattering3D``.
backend1d: _Backend1D = _Backend1D()
backend2d: _Backend2D = _Backend2D()
backend3d: _Backend3D = _Backend3D()
