"""The operators: ``scattering2d`` as a whole, and its stages ``filter_fold``, ``modulus``,
``lowpass`` for networks of other shapes.

Each is one PyTorch operator ``torch.ops.scatcuda.X`` with native engines for CPU and CUDA, a fake
kernel and a gradient. On any other device the plain-PyTorch twin in :mod:`scatcuda.reference`
computes it; so it does ``lowpass`` on the CPU: two matrix products, which the BLAS does best. In
``torch.func``'s transforms and forward-mode differentiation the functions here are their twins too;
the operators themselves (``torch.ops.scatcuda``) have a reverse-mode gradient only.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from . import _C, reference  # noqa: F401  (loading _C registers the operators)
from .plan import Packed, Plan


def scattering2d(
    x: Tensor,
    psi: Tensor,
    psi_support: Tensor,
    phi: Tensor,
    phi_support: Tensor,
    J: int,
    L: int,
    max_order: int = 2,
    pre_pad: bool = False,
    tier: str = "auto",
    workspace: int = 0,
) -> Tensor:
    """Scattering coefficients ``S x = [A x, A|W1 x|, A|W2|W1 x||]`` of real images.

    ``W`` filters with ``L`` wavelets at each of ``J`` scales, ``A`` averages over ``2^J`` pixels
    and subsamples. :class:`scatcuda.Scattering2D` is the convenient way to call it.

    Args:
        x: images ``[..., M, N]`` in the dtype of the bank, on CUDA also float16, bfloat16 or uint8;
            padded beforehand when ``pre_pad``.
        psi, psi_support, phi, phi_support: the bank, as :func:`scatcuda.plan.pack` makes it,
            float32 or float64, on the device of ``x``.
        J, L: number of scales and of angles.
        max_order: 0, 1 or 2.
        tier: how the CUDA engine computes: ``"general"``, one kernel a stage; ``"fused"``, a family
            of paths within one kernel, in float32 and where it fits; ``"auto"``: what
            ``SCATCUDA_TIER`` says, else the engine's choice.
        workspace: bytes of GPU memory that the CUDA engine may take beside its output; it takes
            fewer images at a time, never less than one. 0: what ``SCATCUDA_WORKSPACE`` says, else
            twice the L2 cache. Like ``tier`` it changes nothing on other devices.
    Returns: ``[..., C, m, n]``: order 0; order 1 by ``(j1, theta1)``; order 2 by
        ``(j1, theta1, j2, theta2)``, ``j2 > j1``.
    Raises:
        RuntimeError: an argument does not fit the problem, or CUDA cannot do it.
        torch.OutOfMemoryError: not even one image at a time fits the GPU.
    Source: J. Bruna and S. Mallat, "Invariant scattering convolution networks", PAMI 2013.
    Example:
        >>> from scatcuda import filters, plan
        >>> p = plan.Plan(J=2, L=8, max_order=2, M=32, N=32)
        >>> bank = plan.pack(filters.morlet_bank(p.padded, 2), p, torch.float32)
        >>> scattering2d(torch.randn(5, 32, 32), *bank, J=2, L=8).shape
        torch.Size([5, 81, 8, 8])
    """
    constants = (J, L, max_order, pre_pad, tier, workspace)
    return _call("scattering2d", x, psi, psi_support, phi, phi_support, *constants)


def filter_fold(x_hat: Tensor, psi: Tensor, k: int) -> Tensor:
    """``fold_k(x_hat psi)``: multiply in Fourier and average the ``k x k`` aliases, which is
    filtering and subsampling by ``k`` in space.

    Args:
        x_hat: spectra ``[..., M, N]``, complex64 or complex128.
        psi: ``[L, M, N]``, real filters in Fourier, of the matching real dtype.
        k: divides ``M`` and ``N``.
    Returns: ``[..., L, M / k, N / k]`` complex.
    Raises: RuntimeError: shapes or dtypes do not fit.
    Example:
        >>> filter_fold(torch.fft.fft2(torch.randn(3, 8, 8)), torch.rand(5, 8, 8), 2).shape
        torch.Size([3, 5, 4, 4])
    """
    return _call("filter_fold", x_hat, psi, k)


def modulus(z: Tensor) -> Tensor:
    """``|z|`` of a complex tensor; the gradient at 0 is 0.

    Args:
        z: any shape, complex64 or complex128.
    Returns: the same shape, real.
    Raises: RuntimeError: ``z`` is not complex.
    Example:
        >>> modulus(torch.tensor([3 + 4j]))
        tensor([5.])
    """
    return _call("modulus", z)


def lowpass(u: Tensor, a_m: Tensor, a_n: Tensor) -> Tensor:
    """``a_m u a_n'``: separable low-pass, subsampling and crop as two real matrices.

    Args:
        u: ``[..., M, N]``, float32 or float64.
        a_m, a_n: ``[m, M]`` and ``[n, N]``, see :func:`scatcuda.filters.lowpass_matrix`.
    Returns: ``[..., m, n]``.
    Raises: RuntimeError: shapes or dtypes do not fit.
    Example:
        >>> lowpass(torch.randn(3, 40, 40), torch.rand(8, 40), torch.rand(8, 40)).shape
        torch.Size([3, 8, 8])
    """
    return _call("lowpass", u, a_m, a_n)


def _call(name: str, *args: Any) -> Tensor:
    operator = getattr(torch.ops.scatcuda, name).default
    if torch.compiler.is_compiling():
        return operator(*args)
    # An operator's registered gradient knows nothing of torch.func's transforms and drops the
    # tangents of forward mode without a word; the twin is made of PyTorch's own operations and does
    # all of them.
    if torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0:
        return getattr(reference, name)(*args)
    try:
        return operator(*args)
    except RuntimeError as error:
        # the stable ABI knows one type of exception; programs that halve their batch know another
        if "out of memory" in str(error) and type(error) is RuntimeError:
            raise torch.OutOfMemoryError(str(error)) from error
        raise


# --- every device that has no engine of its own -----------------------------------------------

_library = torch.library.Library("scatcuda", "IMPL")
for _twin in (
    reference.scattering2d,
    reference.scattering2d_backward,
    reference.filter_fold,
    reference.filter_fold_backward,
    reference.modulus,
    reference.modulus_backward,
    reference.lowpass,
):
    _library.impl(_twin.__name__, _twin, "CompositeExplicitAutograd")


# --- fake kernels: shapes without data --------------------------------------------------------


def _check_device(op: str, name: str, first: Tensor, **others: Tensor) -> None:
    # one meta tensor among others brings the call here: it would compute nothing, silently
    for other, tensor in others.items():
        if tensor.device != first.device:
            raise RuntimeError(f"{op}: {other} must be on the device of {name}, {first.device}")


@torch.library.register_fake("scatcuda::scattering2d")
def _(x, psi, psi_support, phi, phi_support, J, L, max_order, pre_pad, tier="auto", workspace=0):
    bank = {"psi": psi, "psi_support": psi_support, "phi": phi, "phi_support": phi_support}
    _check_device("scattering2d", "x", x, **bank)
    plan = Plan(J, L, max_order, x.shape[-2], x.shape[-1], pre_pad)
    return x.new_empty(*x.shape[:-2], plan.channels, *plan.output, dtype=phi.dtype)


@torch.library.register_fake("scatcuda::filter_fold")
def _(x_hat, psi, k):
    _check_device("filter_fold", "x_hat", x_hat, psi=psi)
    L, M, N = psi.shape
    return x_hat.new_empty(*x_hat.shape[:-2], L, M // k, N // k)


@torch.library.register_fake("scatcuda::modulus")
def _(z):
    return z.new_empty(z.shape, dtype=z.dtype.to_real())


@torch.library.register_fake("scatcuda::scattering2d_backward")
def _(grad, x, psi, psi_support, phi, phi_support, *others, **_options):
    wanted = zip((x, psi, phi), others[4:7], strict=True)
    return tuple(t.new_empty(t.shape if w else (0,), dtype=phi.dtype) for t, w in wanted)


@torch.library.register_fake("scatcuda::filter_fold_backward")
def _(grad, x_hat, psi, k, with_x, with_psi):
    wanted = ((x_hat, with_x), (psi, with_psi))
    return tuple(t.new_empty(t.shape if with_ else (0,)) for t, with_ in wanted)


@torch.library.register_fake("scatcuda::modulus_backward")
def _(grad, z):
    return torch.empty_like(z)


@torch.library.register_fake("scatcuda::lowpass")
def _(u, a_m, a_n):
    _check_device("lowpass", "u", u, a_m=a_m, a_n=a_n)
    return u.new_empty(*u.shape[:-2], a_m.shape[0], a_n.shape[0])


# --- gradients --------------------------------------------------------------------------------


def _save_inputs(ctx, inputs, output):
    tensors = [value for value in inputs if isinstance(value, Tensor)]
    ctx.save_for_backward(*tensors)
    ctx.constants = inputs[len(tensors) :]


# A gradient that will itself be differentiated is made of PyTorch's own operations; otherwise an
# operator of its own gives it.


def _scattering2d_gradient(ctx, grad):
    wanted = tuple(ctx.needs_input_grad[i] for i in (0, 1, 3))
    x, *bank = ctx.saved_tensors
    constants, (tier, workspace) = ctx.constants[:4], ctx.constants[4:]
    x = x.to(bank[2].dtype)
    if torch.is_grad_enabled():
        found = reference.gradients(grad, x, Packed(*bank), constants, wanted)
    else:
        backward = torch.ops.scatcuda.scattering2d_backward.default
        found = backward(grad, x, *bank, *constants, *wanted, tier, workspace)
    grad_x, grad_psi, grad_phi = (g if w else None for g, w in zip(found, wanted, strict=True))
    return grad_x, grad_psi, None, grad_phi, *(None,) * 7


def _filter_fold_gradient(ctx, grad):
    x_hat, psi = ctx.saved_tensors
    (k,) = ctx.constants
    backward = torch.ops.scatcuda.filter_fold_backward.default
    if torch.is_grad_enabled():
        backward = reference.filter_fold_backward
    wanted = ctx.needs_input_grad[:2]
    found = backward(grad, x_hat, psi, k, *wanted)
    return *(g if w else None for g, w in zip(found, wanted, strict=True)), None


def _modulus_gradient(ctx, grad):
    (z,) = ctx.saved_tensors
    if torch.is_grad_enabled():
        return reference.modulus_backward(grad, z)
    return torch.ops.scatcuda.modulus_backward.default(grad, z)


def _lowpass_gradient(ctx, grad):
    u, a_m, a_n = ctx.saved_tensors
    wanted = ctx.needs_input_grad
    grad_u = lowpass(grad, a_m.mT, a_n.mT) if wanted[0] else None
    grad_m = (grad @ a_n @ u.mT).unsqueeze(0).flatten(0, -3).sum(0) if wanted[1] else None
    grad_n = (grad.mT @ a_m @ u).unsqueeze(0).flatten(0, -3).sum(0) if wanted[2] else None
    return grad_u, grad_m, grad_n


for _name, _gradient in (
    ("scattering2d", _scattering2d_gradient),
    ("filter_fold", _filter_fold_gradient),
    ("modulus", _modulus_gradient),
    ("lowpass", _lowpass_gradient),
):
    torch.library.register_autograd(f"scatcuda::{_name}", _gradient, setup_context=_save_inputs)
