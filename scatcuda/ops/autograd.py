"""Every name of PyTorch's that is not public and that the package uses, here alone.

Each has its reason. All were there, and the tests passed, in PyTorch 2.13 and 2.14
(``make compat``); what another release may have changed is looked for here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor
from torch._C._functorch import TransformType
from torch._functorch.autograd_function import enable_single_level_autograd_function
from torch._subclasses import FakeTensor
from torch.autograd import forward_ad
from torch.autograd.function import _SingleLevelFunction
from torch.utils import _python_dispatch

# An autograd kernel written in Python calls the kernels below it: redispatch() takes their keys.
_below_autograd: Callable[[], AbstractContextManager[Any]] = torch._C._AutoDispatchBelowAutograd
_after_autograd = torch._C._after_autograd_keyset
_transforms_active: Callable[[], bool] = torch._C._are_functorch_transforms_active
_any_requires_grad: Callable[..., bool] = torch._C._any_requires_grad


def is_transformed() -> bool:
    """Whether ``torch.func`` transforms the caller or something is differentiated in forward mode:
    no value may be read then, nor autograd be passed by."""
    return _transforms_active() or forward_ad._current_level >= 0


def call(operator: Callable[..., Tensor], tensors: tuple[Tensor, ...], *constants: Any) -> Tensor:
    """``operator(*tensors, *constants)``, past the autograd kernel where that has nothing to do:
    it takes longer than a small image does."""
    if (  # written out: this is a good part of a small image's call
        (torch.is_grad_enabled() and _any_requires_grad(*tensors))
        or forward_ad._current_level >= 0
        or _transforms_active()
        or torch.overrides.has_torch_function(tensors)  # it may do as it likes
    ):
        return operator(*tensors, *constants)
    with _below_autograd():
        return operator(*tensors, *constants)


def register_gradient(
    library: torch.library.Library,
    name: str,
    gradient: Callable[..., Sequence[Tensor | None]],
    twin: Callable[..., Any],
) -> None:
    """What ``torch.library.register_autograd`` does, in a third of the time and also where
    ``torch.func`` transforms the function that calls the operator, or in forward mode.

    Args:
        gradient: of the flags which of the operator's tensors want one, all its inputs, tensors
            first, and the gradients of its results: those of its tensors.
        twin: the operator in PyTorch's own operations, for forward mode.
    """
    operator = getattr(getattr(torch.ops, library.ns), name).default

    def compute(keyset: Any, *inputs: Any) -> Any:
        with _below_autograd():
            return operator.redispatch(keyset & _after_autograd, *inputs)

    def forward(ctx: Any, keyset: Any, *inputs: Any) -> Any:
        tensors = [value for value in inputs if isinstance(value, Tensor)]
        ctx.save_for_backward(*tensors)
        ctx.constants = inputs[len(tensors) :]
        if not _transforms_active():
            return compute(keyset, *inputs)
        with torch.enable_grad():  # for the transforms outside of this one
            return compute(keyset, *inputs)

    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        tensors, constants = ctx.saved_tensors, ctx.constants
        wanted = ctx.needs_input_grad[1 : 1 + len(tensors)]
        found = gradient(wanted, (*tensors, *constants), *grads)
        kept = (g if w else None for g, w in zip(found, wanted, strict=True))
        return None, *kept, *(None,) * len(constants)

    # torch.autograd.Function looks for torch.func's transforms before anything else. Here the
    # dispatcher has done so: a node is made in one of them at a time, of its tensors.
    node: Any = type(
        f"{library.ns}_{name}",
        (_SingleLevelFunction,),
        {"forward": staticmethod(forward), "backward": staticmethod(backward)},
    )

    def kernel(keyset: Any, *inputs: Any) -> Any:
        if _in_forward_mode():
            return twin(*inputs)
        if not (torch.is_grad_enabled() and _any_requires_grad(*inputs)):
            return compute(keyset, *inputs)
        if not _transforms_active():
            return node.apply(keyset, *inputs)
        with enable_single_level_autograd_function():
            return node.apply(keyset, *inputs)

    library.impl(name, kernel, "Autograd", with_keyset=True)


def _in_forward_mode() -> bool:
    if forward_ad._current_level >= 0:
        return True
    if not _transforms_active():
        return False
    return torch._C._functorch.peek_interpreter_stack().key() == TransformType.Jvp


def without_modes() -> AbstractContextManager[Any]:
    """Tensors are made and read as usual here, also under a ``FakeTensorMode`` or while a graph is
    traced: what is computed from a module's arguments has values."""
    return _python_dispatch._disable_current_modes()


def is_fake(tensor: Tensor) -> bool:
    """Whether a ``FakeTensorMode`` made it: it has a shape, and no values."""
    return isinstance(tensor, FakeTensor)
