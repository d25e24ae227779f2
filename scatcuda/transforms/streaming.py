"""Scattering of a signal whose end is not there yet: chunk by chunk, in constant memory.

A coefficient depends on the samples around it, further than a few times ``2^J`` or ``T`` on nothing
that can be seen in float32. So pieces of the signal that overlap are transformed, and of each what
lies far enough from its ends is kept.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..arguments import ArgumentError
from ..program.signals import half_support

if TYPE_CHECKING:
    from .scattering1d import Scattering1D

_REACH = 16  # largest scales from a coefficient to samples that do not matter to it


class Stream:
    """What :meth:`scatcuda.Scattering1D.stream` returns. A call takes a chunk ``[..., n]`` of any
    length and returns the coefficients ``[..., channels, m]`` that have become final, those of the
    samples ``0, stride, 2 stride, …`` of the signal from the one after the last on; :meth:`finish`
    returns the rest.

    Example:
        >>> from scatcuda import Scattering1D
        >>> stream = Scattering1D(J=4, shape=4096).stream()
        >>> x = torch.randn(100_000)
        >>> pieces = [stream(chunk) for chunk in x.split(12_345)] + [stream.finish()]
        >>> torch.cat(pieces, -1).shape
        torch.Size([13, 6250])
    """

    def __init__(self, scattering: Scattering1D[Tensor]) -> None:
        self._plan = plan = scattering._plan
        #: Samples from one coefficient to the next
        self.stride: int = 1 << plan.coarsest
        #: Coefficients returned so far
        self.done: int = 0
        self._scattering, self._dtype = scattering, scattering._example().dtype
        self._reach = _aligned(_REACH * max(1 << plan.J, math.ceil(plan.T)), self.stride)
        # of a length that, with its padding, is a power of two, and the padding a multiple of the
        # stride: then the coefficients are those of multiples of the stride
        least = 1 << math.ceil(math.log2(12 * self._reach))
        margin = _aligned(3 * half_support(least, 0.1 / plan.T)[0] + 8, self.stride)
        self._block = (1 << math.ceil(math.log2(least / 2 + 2 * margin))) - 2 * margin
        self._module: Scattering1D[Tensor] | None = None
        self._nothing: Tensor | None = None  # coefficients of no samples, from the first chunk on
        self._kept: list[Tensor] = []  # the samples that are still needed, in copies of chunks:
        self._first, self._end = 0, 0  # the first of them, and the one behind the last
        self._start = 0  # where the next piece begins
        self._ended = False

    def __call__(self, chunk: Tensor) -> Tensor:
        """The coefficients that have become final with a chunk, maybe none.

        Raises: TypeError, ValueError: it is no tensor as those before it; the stream has ended.
        """
        if self._ended:
            raise ArgumentError("stream: it has ended; take another one for another signal")
        self._check_unchanged()
        nothing = self._append(chunk)
        found = []
        while self._end >= self._start + self._block:
            if self._module is None:
                self._module = self._of_length(self._block)
            S = self._transformed(self._module, self._start, self._start + self._block)
            found.append(self._final(S, self._start, self._start + self._block - self._reach))
            self._start += self._block - 2 * self._reach
            self._forget(self._start)
        return torch.cat(found, -1) if found else nothing

    def finish(self) -> Tensor:
        """The coefficients that are left, up to the end of the signal, which is padded as the
        module's are. A signal shorter than a piece is transformed whole."""
        if self._ended or self._end == 0:
            raise ArgumentError("stream: it has ended, or there were no samples")
        self._check_unchanged()
        end = self._end
        if self.done == 0:
            start = 0
        else:  # so that its padding is a multiple of the stride away from those of all others
            start = self.done * self.stride - self._reach
            start -= (start + end) % (2 * self.stride)
        S = self._transformed(self._of_length(end - start), start, end)
        self._ended = True
        return self._final(S, start, end)

    def over(self, chunks: Iterable[Tensor]) -> Iterator[Tensor]:
        """All coefficients of a signal that comes in chunks, some at a time."""
        for chunk in chunks:
            S = self(chunk)
            if S.shape[-1]:
                yield S
        yield self.finish()

    def _of_length(self, N: int) -> Scattering1D[Tensor]:
        return self._scattering._again(N, self._plan.chosen, shared=True)

    def _check_unchanged(self) -> None:
        """See that the module is the one that the stream began with."""
        dtype = self._scattering._example().dtype
        if self._scattering._plan is not self._plan or dtype != self._dtype:
            raise ArgumentError(
                "stream: the module has changed since the stream began; take another one"
            )

    def _append(self, chunk: Tensor) -> Tensor:
        if not isinstance(chunk, Tensor):
            raise TypeError(f"stream: a chunk must be a tensor; got {type(chunk).__name__}")
        if chunk.ndim == 0:
            raise ArgumentError("stream: a chunk must have shape (..., n); got ()")
        if self._nothing is None:  # what the module does not take is refused here, and not kept
            like = self._scattering(chunk.new_zeros(0, *self._scattering.input_shape))
            self._nothing = like.new_zeros(*chunk.shape[:-1], like.shape[-2], 0)
            self._kept = [chunk[..., :0].clone()]
        first = self._kept[0]
        alike = chunk.shape[:-1] == first.shape[:-1], chunk.dtype == first.dtype
        if not all(alike) or chunk.device != first.device:
            raise ArgumentError(
                f"stream: a chunk must be {_described(first)} as those before it; got "
                f"{_described(chunk)}"
            )
        self._kept.append(chunk.clone())  # whose memory the caller may fill anew
        self._end += chunk.shape[-1]
        return self._nothing

    def _samples(self) -> Tensor:
        self._kept = [torch.cat(self._kept, -1)]
        return self._kept[0]

    def _transformed(self, module: Scattering1D[Tensor], start: int, end: int) -> Tensor:
        return module(self._samples()[..., start - self._first : end - self._first])

    def _final(self, S: Tensor, start: int, end: int) -> Tensor:
        """Those of a piece from the last one returned on, before the sample ``end``."""
        first, last = (-(-sample // self.stride) for sample in (start, end))
        S = S[..., self.done - first : last - first].clone()
        self.done += S.shape[-1]
        return S

    def _forget(self, start: int) -> None:
        # what finish() may need before the next piece stays
        first = max(start - 2 * self.stride, self._first)
        self._kept = [self._samples()[..., first - self._first :].clone()]
        self._first = first


def _aligned(n: int, unit: int) -> int:
    return -(-n // unit) * unit


def _described(chunk: Tensor) -> str:
    return f"{tuple(chunk.shape[:-1])} x n, {chunk.dtype} on {chunk.device}"
