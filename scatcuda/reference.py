"""The operators in plain PyTorch: any device, any floating dtype, differentiable to any order.

Each function here is the twin of the operator of the same name in :mod:`scatcuda.ops` and says
what it computes; the engines must agree with it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import wraps
from typing import Any, TypeVar

import torch
from torch import Tensor

from .plan import Packed, Plan, unpack
from .typing import Tier

Result = TypeVar("Result")

_ALIVE_BYTES = 256 << 20  # what a gradient may keep alive at a time


def in_full_precision(f: Callable[..., Result]) -> Callable[..., Result]:
    """``f`` computes in the dtype of its first argument, also under autocast."""

    @wraps(f)
    def run(x: Tensor, *args: Any) -> Result:
        device = x.device.type
        known = torch.amp.is_autocast_available(device)
        with torch.autocast(device, enabled=False) if known else nullcontext():
            return f(x, *args)

    return run


def pad(x: Tensor, plan: Plan) -> Tensor:
    """Reflection at the edges, which are not repeated: ``[..., M, N] -> [..., Mp, Np]``; the
    surplus is split floor before and ceil after."""
    if plan.pre_pad:
        return x
    for dim, size, padded in ((-2, plan.M, plan.padded[0]), (-1, plan.N, plan.padded[1])):
        index = torch.arange(padded, device=x.device) - (padded - size) // 2
        period = max(2 * (size - 1), 1)
        index = index.remainder(period)
        x = x.index_select(dim, torch.minimum(index, period - index) if size > 1 else index)
    return x


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
        a_m, a_n: ``[m, M]`` and ``[n, N]``, see :func:`scatcuda.filters.lowpass_matrix`.
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


@in_full_precision
def scattering2d(
    x: Tensor,
    psi: Tensor,
    psi_support: Tensor,
    phi: Tensor,
    phi_support: Tensor,
    J: int,
    L: int,
    max_order: int,
    pre_pad: bool,
    tier: Tier = "auto",
    workspace: int = 0,
) -> Tensor:
    """``S x = [A x, A|W1 x|, A|W2|W1 x||]``: see :func:`scatcuda.ops.scattering2d`. ``tier`` and
    ``workspace`` are the CUDA engine's and change nothing here."""
    x = x.to(phi.dtype)
    plan = Plan(J, L, max_order, x.shape[-2], x.shape[-1], pre_pad)
    W, A = unpack(Packed(psi, psi_support, phi, phi_support), plan)

    def wavelet_modulus(u_hat: Tensor, res: int, j: int) -> Tensor:
        return modulus(torch.fft.ifft2(filter_fold(u_hat, W[res, j], 2 ** (j - res))))

    u0 = pad(x, plan)
    S0 = lowpass(u0, *A[0]).unsqueeze(-3)
    if max_order == 0 or x.numel() == 0:  # not every FFT takes an empty batch
        return S0.expand(*S0.shape[:-3], plan.channels, *plan.output)
    x_hat = torch.fft.fft2(u0)
    S1, S2 = [], []
    for j1 in range(J):
        u1 = wavelet_modulus(x_hat, 0, j1)  # [..., L, rows, columns]
        S1.append(lowpass(u1, *A[j1]))
        if max_order == 1 or j1 + 1 == J:
            continue
        u1_hat = torch.fft.fft2(u1)
        # [..., theta1, (j2, theta2), m, n]
        scales = [lowpass(wavelet_modulus(u1_hat, j1, j2), *A[j2]) for j2 in range(j1 + 1, J)]
        S2.append(torch.cat(scales, -3).flatten(-4, -3))
    return torch.cat([S0, *S1, *S2], -3)


@in_full_precision
def gradients(
    grad: Tensor,
    x: Tensor,
    bank: Packed,
    constants: tuple[int, int, int, bool],
    wanted: tuple[bool, bool, bool],
) -> tuple[Tensor, Tensor, Tensor]:
    """What :func:`scattering2d_backward` gives, of all images at once, made of PyTorch's own
    operations: it can be differentiated again."""

    tensors = (x, bank.psi, bank.phi)

    def scatter(*varied: Tensor) -> Tensor:
        given = iter(varied)
        x, psi, phi = (next(given) if w else t for t, w in zip(tensors, wanted, strict=True))
        return scattering2d(x, psi, bank.psi_support, phi, bank.phi_support, *constants)

    varied = (t for t, w in zip(tensors, wanted, strict=True) if w)
    found = iter(torch.func.vjp(scatter, *varied)[1](grad))
    x, psi, phi = (
        next(found) if w else t.new_empty(0) for t, w in zip(tensors, wanted, strict=True)
    )
    return x, psi, phi


def scattering2d_backward(
    grad: Tensor,
    x: Tensor,
    psi: Tensor,
    psi_support: Tensor,
    phi: Tensor,
    phi_support: Tensor,
    J: int,
    L: int,
    max_order: int,
    pre_pad: bool,
    with_x: bool,
    with_psi: bool,
    with_phi: bool,
    tier: Tier = "auto",
    workspace: int = 0,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of ``<grad, scattering2d(x, ...)>`` for ``x``, ``psi`` and ``phi``, of size 0
    where they are not wanted; a few images at a time, so that the memory it keeps alive
    does not grow with the batch."""
    shape, x = x.shape, x.reshape(-1, *x.shape[-2:])
    grad = grad.reshape(-1, *grad.shape[-3:])
    plan = Plan(J, L, max_order, shape[-2], shape[-1], pre_pad)
    bank, constants = Packed(psi, psi_support, phi, phi_support), (J, L, max_order, pre_pad)
    planes = L * J * 3 + L * L * J  # about what the cascade keeps, in padded complex images
    Mp, Np = plan.padded
    step = max(1, _ALIVE_BYTES // (planes * Mp * Np * phi.element_size() * 2))
    wanted = (with_x, with_psi, with_phi)
    grad_x = x.new_empty(x.shape if with_x else 0, dtype=phi.dtype)
    sums = [
        torch.zeros_like(t) if w else t.new_empty(0)
        for t, w in zip((psi, phi), wanted[1:], strict=True)
    ]
    for first in range(0, len(x), step):
        images = slice(first, first + step)
        found = gradients(grad[images], x[images].to(phi.dtype), bank, constants, wanted)
        if with_x:
            grad_x[images] = found[0]
        for total, part in zip(sums, found[1:], strict=True):
            total += part
    return grad_x.reshape(shape if with_x else 0), sums[0], sums[1]
