"""The operators in plain PyTorch: any device, any floating dtype, differentiable to any order.

Each function here is the twin of the operator of the same name in :mod:`scatcuda.ops` and says
what it computes; the engines must agree with it. In a graph for ONNX, which has no complex
numbers, :mod:`scatcuda.ops.products` stands for them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import wraps
from typing import Any, TypeVar

import torch
from torch import Tensor

from ..arguments import ArgumentError
from ..program import Average, Axis, Group, Matrix, Pair, Program, Wavelet, X, parse
from ..program.packing import Packed, cropped, filters_of, lowest_bins, matrix_of
from ..program.plan import Plan
from ..typing import Tier
from .products import fft, fftn, polar, rfft

__all__ = [
    "filter_fold",
    "filter_fold_backward",
    "gradients",
    "leading",
    "lowpass",
    "modulus",
    "modulus_backward",
    "pad",
    "parsed",
    "scattering",
    "scattering_backward",
]

Result = TypeVar("Result")

# Asked beforehand: Dynamo of PyTorch 2.11 does not trace the question.
_AUTOCAST = frozenset(d for d in ("cpu", "cuda", "meta") if torch.amp.is_autocast_available(d))

_ALIVE_BYTES = 256 << 20  # what a gradient may keep alive at a time
_LONG = 1 << 22  # numbers of a matrix of turned rows, from which on it is not written out


def in_full_precision(f: Callable[..., Result]) -> Callable[..., Result]:
    """``f`` computes in the dtype of its first argument, also under autocast."""

    @wraps(f)
    def run(x: Tensor, *args: Any) -> Result:
        device = x.device.type
        known = device in _AUTOCAST or torch.amp.is_autocast_available(device)
        with torch.autocast(device, enabled=False) if known else nullcontext():
            return f(x, *args)

    return run


def pad(x: Tensor, plan: Plan | Program) -> Tensor:
    """The signal continued at the ends of its axes, ``[..., *signal] -> [..., *padded]``: reflected
    without its edge or with it, by zeros, or periodically."""
    rank = len(plan.axes)
    for dim, axis in zip(range(-rank, 0), plan.axes, strict=True):
        if axis.pad == "z":
            after = (0, 0) * (-1 - dim)
            x = torch.nn.functional.pad(x, (*after, axis.before, axis.after))
        elif axis.pad:
            index = torch.arange(axis.padded, device=x.device) - axis.before
            x = x.index_select(dim, _within(index, axis))
    return x


def _within(index: Tensor, axis: Axis) -> Tensor:
    """The places of the signal that stand at these, beyond its ends too."""
    if axis.pad == "p":
        return index.remainder(axis.size)
    edge = int(axis.pad == "s")
    period = max(2 * (axis.size - 1 + edge), 1)
    index = index.remainder(period)
    return torch.minimum(index, period - edge - index) if period > 1 else index


def filter_fold(x_hat: Tensor, psi: Tensor, k: int) -> Tensor:
    """``fold_k(x_hat psi)``: multiply in Fourier, subsample by ``k`` in space.

    Args:
        x_hat: ``[..., M, N]`` complex spectrum.
        psi: ``[L, M, N]`` real filters in Fourier.
        k: the ``k x k`` aliases are averaged.
    Returns: ``[..., L, M / k, N / k]`` complex.
    """
    product = x_hat.unsqueeze(-3) * psi
    rows, columns = psi.shape[-2] // k, psi.shape[-1] // k
    return product.unflatten(-1, (k, columns)).unflatten(-3, (k, rows)).mean((-4, -2))


def filter_fold_backward(
    grad: Tensor, x_hat: Tensor, psi: Tensor, k: int, with_x: bool, with_psi: bool
) -> tuple[Tensor, Tensor]:
    """Gradients of ``Re <grad, filter_fold(x_hat, psi, k)>`` for ``x_hat`` and ``psi``, of size 0
    where they are not wanted."""
    grad_x, grad_psi = x_hat.new_empty(0), psi.new_empty(0)
    aliases = grad.repeat(*[1] * (grad.ndim - 2), k, k) / k**2  # [..., L, M, N]
    if with_x:
        grad_x = (aliases * psi).sum(-3)
    if with_psi:
        products = (x_hat.conj().unsqueeze(-3) * aliases).real
        grad_psi = products.unsqueeze(0).flatten(0, -4).sum(0)
    return grad_x, grad_psi


def modulus(z: Tensor) -> Tensor:
    """``|z|`` of a complex tensor; its gradient at 0 is 0."""
    return z.abs()


def modulus_backward(grad: Tensor, z: Tensor) -> Tensor:
    """Gradient of ``<grad, modulus(z)>``: ``grad z / |z|``, 0 where ``z`` is."""
    return grad * z.sgn()


@in_full_precision
def lowpass(u: Tensor, a_m: Tensor, a_n: Tensor) -> Tensor:
    """``a_m u a_n'``: separable low-pass, subsampling and crop as two real matrices.

    Args:
        u: ``[..., M, N]`` real.
        a_m, a_n: ``[m, M]`` and ``[n, N]``, see :func:`scatcuda.banks.lowpass_matrix`.
    Returns: ``[..., m, n]``.
    """
    if a_m.ndim != 2 or a_n.ndim != 2 or u.shape[-2:] != (a_m.shape[1], a_n.shape[1]):
        raise RuntimeError(
            "lowpass: u must be [..., M, N], a_m [m, M] and a_n [n, N]; got shapes "
            f"{tuple(u.shape)}, {tuple(a_m.shape)} and {tuple(a_n.shape)}"
        )
    for name, matrix in (("a_m", a_m), ("a_n", a_n)):
        if matrix.dtype != u.dtype:
            raise RuntimeError(f"lowpass: {name} must be {u.dtype} as u is; got {matrix.dtype}")
    if not u.is_floating_point():
        raise RuntimeError(f"lowpass: u must be of a floating dtype; got {u.dtype}")
    return a_m @ u @ a_n.mT


# --- programs ---------------------------------------------------------------------------------


@in_full_precision
def scattering(
    x: Tensor,
    psi: Tensor,
    psi_support: Tensor,
    phi: Tensor,
    phi_support: Tensor,
    program: str,
    tier: Tier = "auto",
    workspace: int = 0,
) -> Tensor:
    """What a program makes of signals: see :func:`scatcuda.ops.scattering`. ``tier`` and
    ``workspace`` are the CUDA engine's and change nothing here."""
    p = parsed("scattering", program)
    x = x.to(phi.dtype)
    lead = leading("scattering", p, x.shape)
    if x.numel() == 0:  # not every FFT takes an empty batch
        zeros = x.sum(tuple(range(-p.rank, 0)))[(...,) + (None,) * (1 + len(p.sides))]
        return zeros.expand(*lead, p.channels, *p.sides)
    packed = Packed(psi, psi_support, phi, phi_support)
    axes = tuple(range(-p.rank, 0))
    planes = {X: pad(x, p).unsqueeze(-p.rank - 1)}  # [..., planes, *grid]
    spectra: dict[int, Tensor] = {}
    written: list[Tensor] = []  # [..., channels, unit],
    channels: list[Tensor] = []  # and which they are

    def spectrum(source: int) -> Tensor:
        if source not in spectra:
            spectra[source] = fftn(planes[source], axes)
        return spectra[source]

    for i, step in enumerate(p.steps):
        if isinstance(step, Wavelet):
            W = _resampled(spectrum(step.source), filters_of(packed, p, step.set), step)
            planes[i] = _rho(torch.fft.ifftn(W, dim=axes), step.rho, p.rank)
        elif isinstance(step, Group):
            U = torch.cat([planes[source] for source in step.sources], -p.rank - 1)
            planes[i] = _grouped(U, filters_of(packed, p, step.set), step, p.rank)
        elif isinstance(step, Average):
            if step.matrices and _is_long(matrix := p.matrices[step.matrices[0]]):
                row = matrix_of(packed, p, step.matrices[0], 1)[0]
                numbers = _turned(planes[step.source], row, matrix)
            else:
                matrices = [matrix_of(packed, p, m) for m in step.matrices]
                numbers = _averaged(planes[step.source], matrices, step.powers, p.rank)
            written.append(numbers.reshape(*lead, -1, p.unit))
            made = p.planes[step.source] if step.source != X else None
            digits = made.digits if made is not None else ()
            width = written[-1].shape[-2] // math.prod(digits)  # channels of a plane
            channels.append(_channels(step, digits, width, x.device))
        else:
            if step.weight is None:
                means = _products(planes[step.source], planes[step.other], step, p.rank)
            else:
                weights = filters_of(packed, p, step.weight)
                spectra_of_both = spectrum(step.source), spectrum(step.other)
                means = _weighted_products(*spectra_of_both, weights, step, p.padded)
            written.append(means.reshape(*lead, -1, 1))
            channels.append(step.channel + torch.arange(means.shape[-1], device=x.device))
        for source in p.last_uses[i]:
            del planes[source]
            spectra.pop(source, None)
    order = torch.cat(channels).argsort()
    S = torch.cat(written, -2).index_select(-2, order)
    return S.reshape(*lead, p.channels, *p.sides)


def parsed(caller: str, text: str) -> Program:
    """The program of a text; what is wrong with it is said in the name of ``caller``."""
    try:
        return parse(text)
    except ArgumentError as error:
        raise ArgumentError(f"{caller}: {error}") from None


def leading(caller: str, p: Program, shape: torch.Size) -> torch.Size:
    """The leading dimensions of signals of this shape."""
    lead = shape[: max(len(shape) - p.rank, 0)]
    if tuple(shape[len(lead) :]) != tuple(p.signal):
        raise ArgumentError(
            f"{caller}: x must be of signals of {' x '.join(map(str, p.signal))}; got shape "
            f"{tuple(shape)}"
        )
    return lead


def _rho(W: Tensor, rho: str, rank: int) -> Tensor:
    """``[..., planes, filters, *grid]`` to ``[..., planes, *grid]``. Gradients at 0 are 0."""
    dim = -rank - 1
    if rho == "norm":
        return torch.linalg.vector_norm(W, dim=dim)
    if rho == "modulus":
        W = modulus(W)
    elif rho != "none":
        W = polar(W.abs(), W.angle() * float(rho.removeprefix("phase:")))
    return W.flatten(dim - 1, dim)


def _resampled(U_hat: Tensor, psi: Tensor, step: Wavelet) -> Tensor:
    """``fold(U_hat psi)``, ``[..., planes, *grid]`` to ``[..., planes, filters, *grid / k]``."""
    rank, sizes = len(step.fold), []
    for axis, (k, crop) in enumerate(zip(step.fold, step.crop or (False,) * rank, strict=True)):
        dim, side = axis - rank, U_hat.shape[axis - rank]
        if crop:
            bins = lowest_bins(side, side // k, psi.device)
            U_hat, psi = U_hat.index_select(dim, bins), psi.index_select(dim, bins) / k
        sizes += [1 if crop else k, side // k]
    product = U_hat.unsqueeze(-rank - 1) * psi
    if all(k == 1 for k in sizes[::2]):
        return product
    return product.reshape(*product.shape[:-rank], *sizes).mean(tuple(range(-2 * rank, 0, 2)))


def _grouped(U: Tensor, psi: Tensor, step: Group, rank: int) -> Tensor:
    """``[..., all planes, *grid]`` to ``[..., groups * filters * places, *grid]``; of means there
    is one place."""
    dim, count = -rank - 1, U.shape[-rank - 1]
    entries = [count if e is None else e if e >= 0 else ~e for e in step.table]
    U = torch.cat([U, torch.zeros_like(U.narrow(dim, 0, 1))], dim)
    U = U.index_select(dim, torch.tensor(entries, device=U.device))
    if U.is_complex():
        mirrored = torch.tensor([e is not None and e < 0 for e in step.table], device=U.device)
        U = torch.where(mirrored.view(-1, *(1,) * rank), U.conj(), U)
    U = U.unflatten(dim, (step.groups, step.length))
    U_hat = fft(U, psi.shape[1], dim).unsqueeze(dim - 1)
    W = torch.fft.ifft(U_hat * psi.view(*psi.shape, *(1,) * rank), dim=dim)
    W = W.index_select(dim, torch.arange(0, step.length, step.every, device=W.device))
    if step.rho != "none":
        W = modulus(W)
    if step.rho == "mean":
        W = W.mean(dim, keepdim=True)
    return W.flatten(dim - 2, dim)


def _averaged(U: Tensor, matrices: Sequence[Tensor], powers: Sequence[float], rank: int) -> Tensor:
    """``[..., planes, *grid]`` to the numbers of each plane; powers have gradient 0 at 0."""
    axes = tuple(range(-rank, 0))
    for dim, matrix in zip(axes, matrices, strict=False):
        U = U @ matrix.mT if dim == -1 else (matrix @ U.movedim(dim, -2)).movedim(-2, dim)
    if matrices:
        return U
    if not powers:
        return U.mean(axes)
    size = U.abs()
    zero = size == 0
    sound = torch.where(zero, 1.0, size)
    sums = (torch.where(zero, 0.0**q, sound**q).sum(axes) for q in powers)
    return torch.stack(tuple(sums), -1)


def _is_long(matrix: Matrix) -> bool:
    """Whether its rows are one, and so many that they are better not written out."""
    return matrix.every > 0 and matrix.outputs * matrix.inputs > _LONG


def _turned(U: Tensor, row: Tensor, matrix: Matrix) -> Tensor:
    """Sums of planes ``[..., inputs]`` with a row turned by 0, every, 2 every, …"""
    spectrum = rfft(U) * rfft(row).conj()
    places = matrix.every * torch.arange(matrix.outputs, device=U.device) % matrix.inputs
    return torch.fft.irfft(spectrum, matrix.inputs).index_select(-1, places)


def _channels(step: Average, digits: Sequence[int], width: int, device: torch.device) -> Tensor:
    """The channels of ``_averaged``, one after the other."""
    found = torch.arange(width, device=device) + step.channel
    for count, stride in reversed([*zip(digits, step.strides, strict=True)]):
        found = (torch.arange(count, device=device)[:, None] * stride + found).flatten()
    return found


def _paired(a: Tensor, b: Tensor, step: Pair, rank: int) -> tuple[Tensor, Tensor]:
    """The planes of the pairs."""
    every = itertools.product(range(a.shape[-rank - 1]), range(b.shape[-rank - 1]))
    pairs = step.pairs or tuple(every)
    index = torch.tensor(pairs, device=a.device).mT
    return a.index_select(-rank - 1, index[0]), b.index_select(-rank - 1, index[1])


def _products(a: Tensor, b: Tensor, step: Pair, rank: int) -> Tensor:
    """Means of products over the points, ``[..., means]``."""
    axes = tuple(range(-rank, 0))
    a, b = _paired(a, b, step, rank)
    shifts = step.shifts or ((0,) * rank,)
    means = [(a * b.roll([-n for n in by], axes).conj()).mean(axes) for by in shifts]
    return _parts(torch.stack(means, -1), step).flatten(-3)


def _weighted_products(
    a: Tensor, b: Tensor, psi: Tensor, step: Pair, signal: Sequence[int]
) -> Tensor:
    """The same of spectra, for each weight; shifts are of samples of the signal."""
    rank = len(signal)
    axes = tuple(range(-rank, 0))
    grid = psi.shape[1:]
    spectra = [cropped(spectrum / math.prod(spectrum.shape[-rank:]), grid) for spectrum in (a, b)]
    a, b = _paired(spectra[0], spectra[1], step, rank)
    products = (a * b.conj()).unsqueeze(-rank - 1) * psi  # [..., pairs, filters, *grid]
    means = []
    for by in step.shifts or ((0,) * rank,):
        turned = products
        for n, m, side, dim in zip(by, grid, signal, axes, strict=True):
            bins = torch.arange(m, device=a.device)
            bins = bins - m * (bins >= (m + 1) // 2)
            turn = (bins * -n % side).to(psi.dtype)
            angle = (turn * (2 * math.pi / side)).view(-1, *(1,) * (-1 - dim))
            turned = turned * polar(torch.ones_like(angle), angle) if n else turned
        means.append(turned.sum(axes))
    return _parts(torch.stack(means, -1), step).flatten(-4)


def _parts(means: Tensor, step: Pair) -> Tensor:
    real = means.real if means.is_complex() else means
    if not step.imaginary:
        return real.unsqueeze(-1)
    imaginary = means.imag if means.is_complex() else torch.zeros_like(means)
    return torch.stack([real, imaginary], -1)


@in_full_precision
def gradients(
    grad: Tensor, x: Tensor, bank: Packed, program: str, wanted: tuple[bool, bool, bool]
) -> tuple[Tensor, Tensor, Tensor]:
    """What :func:`scattering_backward` gives, of all signals at once, made of PyTorch's own
    operations: it can be differentiated again."""

    tensors = (x, bank.psi, bank.phi)

    def scatter(*varied: Tensor) -> Tensor:
        given = iter(varied)
        x, psi, phi = (next(given) if w else t for t, w in zip(tensors, wanted, strict=True))
        return scattering(x, psi, bank.psi_support, phi, bank.phi_support, program)

    varied = (t for t, w in zip(tensors, wanted, strict=True) if w)
    found = iter(torch.func.vjp(scatter, *varied)[1](grad))
    x, psi, phi = (
        next(found) if w else t.new_empty(0) for t, w in zip(tensors, wanted, strict=True)
    )
    return x, psi, phi


def scattering_backward(
    grad: Tensor,
    x: Tensor,
    psi: Tensor,
    psi_support: Tensor,
    phi: Tensor,
    phi_support: Tensor,
    program: str,
    with_x: bool,
    with_psi: bool,
    with_phi: bool,
    tier: Tier = "auto",
    workspace: int = 0,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of ``<grad, scattering(x, ...)>`` for ``x``, ``psi`` and ``phi``, of size 0
    where they are not wanted; a few signals at a time, so that the memory it keeps alive
    does not grow with the batch."""
    p = parsed("scattering_backward", program)
    shape, x = x.shape, x.reshape(-1, *x.shape[-p.rank :])
    grad = grad.reshape(-1, *grad.shape[-1 - len(p.sides) :])
    bank = Packed(psi, psi_support, phi, phi_support)
    step = max(1, _ALIVE_BYTES // (_points_alive(p) * phi.element_size() * 2))
    wanted = (with_x, with_psi, with_phi)
    grad_x = x.new_empty(x.shape if with_x else 0, dtype=phi.dtype)
    sums = [
        torch.zeros_like(t) if w else t.new_empty(0)
        for t, w in zip((psi, phi), wanted[1:], strict=True)
    ]
    for first in range(0, len(x), step):
        signals = slice(first, first + step)
        found = gradients(grad[signals], x[signals].to(phi.dtype), bank, program, wanted)
        if with_x:
            grad_x[signals] = found[0]
        for total, part in zip(sums, found[1:], strict=True):
            total += part
    return grad_x.reshape(shape if with_x else 0), sums[0], sums[1]


def _points_alive(p: Program) -> int:
    """About as many complex numbers as a signal's gradient keeps alive."""
    points = 3 * math.prod(p.padded)
    for step, made in zip(p.steps, p.planes, strict=True):
        if made is not None:
            grid = p.planes_of(step.source).grid if isinstance(step, Wavelet) else made.grid
            points += made.count * (math.prod(grid) + 2 * math.prod(made.grid))
    return points
