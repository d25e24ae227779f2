"""The operators: ``scattering``, a whole program, and the stages ``filter_fold``, ``modulus``,
``lowpass`` of images for networks of other shapes.

Each is one PyTorch operator ``torch.ops.scatcuda.X`` with native engines for CPU and CUDA, a fake
kernel, a gradient, which is an operator itself, and a rule for ``vmap``. On any other device the
plain-PyTorch twin in :mod:`scatcuda.ops.reference` computes it; so it does ``lowpass`` on the CPU:
two matrix products, which the BLAS does best. The twins also give the derivatives in forward mode,
and those of the gradients. Beside them ``lay_out`` (:func:`laid_out`) prepares fixed filters for
the CPU engine: it has none of these.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from .. import (
    _C,  # noqa: F401  (loading it registers the operators)
    config,
    program,
)
from ..program import plan
from ..program.packing import Packed
from ..program.plan import images_text
from ..typing import Tier
from . import autograd, reference

__all__ = [
    "filter_fold",
    "laid_out",
    "lowpass",
    "modulus",
    "reference",
    "scattering",
    "scattering2d",
]

_operators = torch.ops.scatcuda
config.check_instructions()

# A compiler of graphs takes what builders of programs return for constants.
for _builder in (
    images_text,
    plan.paths_of,
    program.images,
    program.parse,
    program.wavelets_of_images,
):
    torch.compiler.assume_constant_result(_builder)


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
    """What a program makes of real signals, ``S x = A rho W_J … rho W_1 x`` and its like.

    Args:
        x: signals ``[..., *signal]`` of one to three axes in the dtype of the filters, on CUDA also
            float16, bfloat16 or uint8.
        psi, psi_support, phi, phi_support: the filters, as
            :func:`scatcuda.program.packing.pack_program` makes them, float32 or float64, on the
            device of ``x``.
        program: the text of the transform, :attr:`scatcuda.program.Program.text`.
        tier: how the CUDA engine computes: ``"general"``, one kernel a stage; ``"fused"``, a family
            of paths within one kernel, in float32 and where it fits; ``"auto"``: what
            ``SCATCUDA_TIER`` says, else the engine's choice.
        workspace: bytes of GPU memory that the CUDA engine may take beside its output; it takes
            fewer signals at a time, never less than one. 0: what ``SCATCUDA_WORKSPACE`` says, else
            a sixteenth of that memory, 4 GiB at most. Like ``tier`` it changes nothing on other
            devices.
    Returns: ``[..., channels, *sides]``.
    Raises:
        RuntimeError: an argument does not fit the program, or CUDA cannot do it.
        torch.OutOfMemoryError: not even one signal at a time fits the GPU.
    Example: a pair of filters, their moduli averaged
        >>> from scatcuda.program.packing import pack_program
        >>> from scatcuda.program import Builder, X
        >>> b = Builder(8)
        >>> b.mean(b.wavelet(X, b.set(2, 8), fold=2))
        >>> packed = pack_program(b.build(), [torch.eye(2, 8).double()], [], torch.float32)
        >>> scattering(torch.ones(5, 8), *packed, b.build().text)[0]
        tensor([1., 0.])
    """
    tensors = (x, psi, psi_support, phi, phi_support)
    return _call(_operators.scattering.default, tensors, program, tier, workspace)


def laid_out(packed: Packed, program: str) -> Packed:
    """The same filters for many calls on a CPU: behind the tables of ``psi``, which keep their
    places, what the engine makes of them in every call else. Nothing is added where that is more
    than 16 MB or the program is none of images: then the engine reads the tables.

    It is for filters that do not change: the operator takes what is added for a constant, and a
    gradient of ``psi`` is that of the tables.

    Args:
        packed: as :func:`scatcuda.program.packing.pack_program` makes it, on the CPU.
        program: the text of the transform.
    Raises: RuntimeError: the filters do not fit the program, or require a gradient.
    Example:
        >>> import scatcuda
        >>> S = scatcuda.Scattering2D(J=1, shape=(8, 8))
        >>> packed = S._packed
        >>> packed.psi.shape, laid_out(packed, S._program).psi.shape
        (torch.Size([1152]), torch.Size([2496]))
    """
    if packed.psi.requires_grad:
        raise RuntimeError("laid_out: psi must not require a gradient; fixed filters are laid out")
    added = _operators.lay_out(packed.psi, packed.psi_support, program)
    return packed._replace(psi=torch.cat([packed.psi, added])) if len(added) else packed


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
    tier: Tier = "auto",
    workspace: int = 0,
) -> Tensor:
    """Scattering coefficients ``S x = [A x, A|W1 x|, A|W2|W1 x||, …]`` of real images: the operator
    :func:`scattering` for their program.

    ``W`` filters with ``L`` wavelets at each of ``J`` scales, ``A`` averages over ``2^J`` pixels
    and subsamples. :class:`scatcuda.Scattering2D` is the convenient way to call it.

    Args:
        x: images ``[..., M, N]``, padded beforehand when ``pre_pad``; as in :func:`scattering`.
        psi, psi_support, phi, phi_support: the bank, as :func:`scatcuda.banks.packing.pack`
            makes it.
        J, L: number of scales and of angles.
        max_order: 0 to J, the largest number of wavelets on a path.
        tier, workspace: as in :func:`scattering`.
    Returns: ``[..., C, m, n]``: order 0; order 1 by ``(j1, theta1)``; order 2 by
        ``(j1, theta1, j2, theta2)``, ``j2 > j1``; and so on.
    Raises:
        ValueError: there is no such transform.
        RuntimeError, torch.OutOfMemoryError: as in :func:`scattering`.
    Source: J. Bruna and S. Mallat, "Invariant scattering convolution networks", PAMI 2013.
    Example:
        >>> from scatcuda import banks
        >>> from scatcuda.banks.packing import pack
        >>> from scatcuda.program.plan import Plan
        >>> p = Plan(J=2, L=8, max_order=2, M=32, N=32)
        >>> bank = pack(banks.morlet_bank(p.padded, 2), p, torch.float32)
        >>> scattering2d(torch.randn(5, 32, 32), *bank, J=2, L=8).shape
        torch.Size([5, 81, 8, 8])
    """
    program = images_text("scattering2d", x.shape, J, L, max_order, pre_pad)
    return scattering(x, psi, psi_support, phi, phi_support, program, tier, workspace)


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
    return _call(_operators.filter_fold.default, (x_hat, psi), k)


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
    return _call(_operators.modulus.default, (z,))


def lowpass(u: Tensor, a_m: Tensor, a_n: Tensor) -> Tensor:
    """``a_m u a_n'``: separable low-pass, subsampling and crop as two real matrices.

    Args:
        u: ``[..., M, N]``, float32 or float64.
        a_m, a_n: ``[m, M]`` and ``[n, N]``, see :func:`scatcuda.banks.lowpass_matrix`.
    Returns: ``[..., m, n]``.
    Raises: RuntimeError: shapes or dtypes do not fit.
    Example:
        >>> lowpass(torch.randn(3, 40, 40), torch.rand(8, 40), torch.rand(8, 40)).shape
        torch.Size([3, 8, 8])
    """
    return _call(_operators.lowpass.default, (u, a_m, a_n))


def _call(operator: Callable[..., Tensor], tensors: tuple[Tensor, ...], *constants: Any) -> Tensor:
    if torch.compiler.is_compiling():
        return operator(*tensors, *constants)
    try:
        return autograd.call(operator, tensors, *constants)
    except RuntimeError as error:
        # the stable ABI knows one type of exception; programs that halve their batch know another
        if "out of memory" in str(error) and type(error) is RuntimeError:
            raise torch.OutOfMemoryError(str(error)) from error
        raise


# --- every device that has no engine of its own -----------------------------------------------

_library = torch.library.Library("scatcuda", "IMPL")
for _twin in (
    reference.scattering,
    reference.scattering_backward,
    reference.filter_fold,
    reference.filter_fold_backward,
    reference.modulus,
    reference.modulus_backward,
    reference.lowpass,
):
    _library.impl(_twin.__name__, _twin, "CompositeExplicitAutograd")


# --- fake kernels: shapes without data --------------------------------------------------------


def _check_devices(op: str, **tensors: Tensor) -> None:
    # one meta tensor among others brings the call here: what it gave would never have been written
    (name, first), *others = tensors.items()
    for other, tensor in others:
        if tensor.device != first.device:
            raise RuntimeError(
                f"{op}: {other} must be on the device of {name}, {first.device}; "
                f"it is on {tensor.device}"
            )


@torch.library.register_fake("scatcuda::scattering")
def _(x, psi, psi_support, phi, phi_support, program, tier="auto", workspace=0):
    bank = {"psi": psi, "psi_support": psi_support, "phi": phi, "phi_support": phi_support}
    _check_devices("scattering", x=x, **bank)
    p = reference.parsed("scattering", program)
    lead = reference.leading("scattering", p, x.shape)
    return x.new_empty(*lead, p.channels, *p.sides, dtype=phi.dtype)


@torch.library.register_fake("scatcuda::filter_fold")
def _(x_hat, psi, k):
    _check_devices("filter_fold", x_hat=x_hat, psi=psi)
    L, M, N = psi.shape
    return x_hat.new_empty(*x_hat.shape[:-2], L, M // k, N // k)


@torch.library.register_fake("scatcuda::modulus")
def _(z):
    return z.new_empty(z.shape, dtype=z.dtype.to_real())


@torch.library.register_fake("scatcuda::scattering_backward")
def _(grad, x, psi, psi_support, phi, phi_support, program, *others, **_options):
    bank = {"psi": psi, "psi_support": psi_support, "phi": phi, "phi_support": phi_support}
    _check_devices("scattering_backward", x=x, grad=grad, **bank)
    wanted = zip((x, psi, phi), others[:3], strict=True)
    return tuple(t.new_empty(t.shape if w else (0,), dtype=phi.dtype) for t, w in wanted)


@torch.library.register_fake("scatcuda::filter_fold_backward")
def _(grad, x_hat, psi, k, with_x, with_psi):
    _check_devices("filter_fold_backward", x_hat=x_hat, grad=grad, psi=psi)
    wanted = ((x_hat, with_x), (psi, with_psi))
    return tuple(t.new_empty(t.shape if with_ else (0,)) for t, with_ in wanted)


@torch.library.register_fake("scatcuda::modulus_backward")
def _(grad, z):
    _check_devices("modulus_backward", z=z, grad=grad)
    return torch.empty_like(z)


@torch.library.register_fake("scatcuda::lowpass")
def _(u: Tensor, a_m: Tensor, a_n: Tensor) -> Tensor:
    _check_devices("lowpass", u=u, a_m=a_m, a_n=a_n)
    return u.new_empty(*u.shape[:-2], a_m.shape[0], a_n.shape[0])


# --- gradients --------------------------------------------------------------------------------

# As register_gradient takes it; what is not `wanted` is passed over.
Gradient = Callable[..., Sequence[Tensor | None]]


def _gradient_of(twin: Callable[..., Any]) -> Gradient:
    """The gradient of a function made of PyTorch's own operations."""

    def gradient(wanted: Sequence[bool], inputs: Sequence[Any], *grads: Tensor) -> list[Any]:
        chosen = [i for i, w in enumerate(wanted) if w]

        def f(*tensors: Tensor) -> Any:
            given = dict(zip(chosen, tensors, strict=True))
            return twin(*(given.get(i, value) for i, value in enumerate(inputs)))

        pull_back = torch.func.vjp(f, *(inputs[i] for i in chosen))[1]
        found = pull_back(grads if len(grads) > 1 else grads[0])
        given = dict(zip(chosen, found, strict=True))
        return [given.get(i) for i in range(len(wanted))]

    return gradient


def _scattering_gradient(
    wanted: Sequence[bool], inputs: Sequence[Any], grad: Tensor
) -> Sequence[Tensor | None]:
    bank, program, options = inputs[1:5], inputs[5], inputs[6:]
    flags = wanted[0], wanted[1], wanted[3]
    x = inputs[0].to(bank[2].dtype)
    backward = _operators.scattering_backward.default
    grad_x, grad_psi, grad_phi = backward(grad, x, *bank, program, *flags, *options)
    return grad_x, grad_psi, None, grad_phi, None


def _scattering_backward_twin(grad: Tensor, x: Tensor, *others: Any) -> tuple[Tensor, ...]:
    return reference.gradients(grad, x, Packed(*others[:4]), others[4], others[5:8])


def _filter_fold_gradient(
    wanted: Sequence[bool], inputs: Sequence[Any], grad: Tensor
) -> Sequence[Tensor | None]:
    return _operators.filter_fold_backward.default(grad, *inputs, *wanted[:2])


def _modulus_gradient(
    wanted: Sequence[bool], inputs: Sequence[Any], grad: Tensor
) -> Sequence[Tensor | None]:
    return (_operators.modulus_backward.default(grad, *inputs),)


def _lowpass_gradient(
    wanted: Sequence[bool], inputs: Sequence[Any], grad: Tensor
) -> Sequence[Tensor | None]:
    return _lowpass_gradients(grad, wanted, *inputs)


@reference.in_full_precision
def _lowpass_gradients(
    grad: Tensor, wanted: Sequence[bool], u: Tensor, a_m: Tensor, a_n: Tensor
) -> Sequence[Tensor | None]:
    grad_u = _operators.lowpass.default(grad, a_m.mT, a_n.mT) if wanted[0] else None
    grad_m = (grad @ a_n @ u.mT).unsqueeze(0).flatten(0, -3).sum(0) if wanted[1] else None
    grad_n = (grad.mT @ a_m @ u).unsqueeze(0).flatten(0, -3).sum(0) if wanted[2] else None
    return grad_u, grad_m, grad_n


for _name, _gradient in (
    ("scattering", _scattering_gradient),
    ("filter_fold", _filter_fold_gradient),
    ("modulus", _modulus_gradient),
    ("lowpass", _lowpass_gradient),
):
    autograd.register_gradient(_library, _name, _gradient, getattr(reference, _name))
_SECOND: dict[str, Callable[..., Any]] = {
    "scattering_backward": _scattering_backward_twin,
    "filter_fold_backward": reference.filter_fold_backward,
    "modulus_backward": reference.modulus_backward,
}
for _name, _second in _SECOND.items():
    autograd.register_gradient(_library, _name, _gradient_of(_second), _second)


# --- vmap -------------------------------------------------------------------------------------


def _register_vmap(name: str, batched: int, summed: slice = slice(0)) -> None:
    """The first ``batched`` arguments have leading dimensions, of which the mapped one becomes
    another. Where it is one of another argument, or a gradient that is the sum over all leading
    dimensions is wanted (one of the flags ``summed``), the operator is called for each entry."""
    operator = getattr(_operators, name).default

    def rule(info: Any, in_dims: Sequence[int | None], *args: Any) -> tuple[Any, Any]:
        def entry(i: int) -> Any:
            pairs = zip(args, in_dims, strict=True)
            return operator(*(a if d is None else a.select(d, i).contiguous() for a, d in pairs))

        if any(dim is not None for dim in in_dims[batched:]) or any(args[summed]):
            each = [entry(i) for i in range(info.batch_size)]
            if isinstance(each[0], Tensor):
                return torch.stack(each), 0
            return tuple(map(torch.stack, zip(*each, strict=True))), (0,) * len(each[0])
        firsts = (
            t.expand(info.batch_size, *t.shape) if d is None else t.movedim(d, 0)
            for t, d in zip(args[:batched], in_dims, strict=False)
        )
        found = operator(*firsts, *args[batched:])
        if isinstance(found, Tensor):
            return found, 0
        return found, tuple(None if t.shape == (0,) else 0 for t in found)

    torch.library.register_vmap(f"scatcuda::{name}", rule, lib=_library)


_register_vmap("scattering", 1)
_register_vmap("scattering_backward", 2, summed=slice(8, 10))
_register_vmap("filter_fold", 1)
_register_vmap("filter_fold_backward", 2, summed=slice(5, 6))
_register_vmap("modulus", 1)
_register_vmap("modulus_backward", 2)
_register_vmap("lowpass", 1)
