"""What every transform is as a PyTorch module.

Its tensors, filter banks and the tables that say where they are, follow from its arguments: nothing
is to change them. Whatever averages, casts, scales, broadcasts or reloads the buffers of a module
would (an average of 32 times 7 is 31.9, and 31 as an integer), so they are no buffers but plain
attributes. They follow a buffer that has nothing to lose, `_like`, a single 0: of it only dtype and
device are looked at, which is what such tools are to change.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, get_args

import torch
from torch import Tensor, nn
from torch.fx import Proxy
from typing_extensions import Self

from .. import limits, ops
from ..arguments import BackendError, InputError, channels_last, integer, one_of
from ..ops import reference
from ..ops.constants import beside, computed_in, constants, has_values
from ..program.packing import Packed
from ..typing import Backend, Tier

if TYPE_CHECKING:
    from ..banks.learned import LearnedFilters

# How the coefficients are computed. Kymatio's names for its PyTorch backends, and those of ours for
# it, mean the native engines: the numbers are the same and so is the reason to ask for them.
_BACKENDS: dict[Backend, Callable[..., Tensor]] = {
    "native": ops.scattering,
    "torch": ops.scattering,
    "torch_skcuda": ops.scattering,
    "torch_scatcuda": ops.scattering,
    "reference": reference.scattering,
}

#: Kymatio's checkpoints hold filters by such names
KYMATIO_BUFFER = re.compile(r"tensor(\d+|_gaussian_filter)")


_OF_MODULES = frozenset(nn.Module().__dict__)  # which PyTorch assigns


class Built(nn.Module):
    """A module whose arguments are what it is: assigned later, they would change nothing of it, or
    a half."""

    def __init__(self) -> None:
        super().__init__()
        self._fixed: frozenset[str] = frozenset()  # what cannot be assigned any more

    #: What of it can be assigned when it is built, besides properties that say so.
    _assignable: ClassVar[tuple[str, ...]] = ()

    def __setattr__(self, name: str, value: Any) -> None:
        attribute = getattr(type(self), name, None)
        if isinstance(attribute, property):
            fixed = attribute.fset is None
        else:
            fixed = name in self.__dict__.get("_fixed", ()) and name not in (
                *_OF_MODULES,
                *self._assignable,
            )
        if fixed:
            raise AttributeError(
                f"{type(self).__name__}: {name} is fixed when the module is built, like its "
                "filters; build another module"
            )
        super().__setattr__(name, value)

    def _fix(self) -> None:
        """The module is built."""
        here = (name for name in (*self.__dict__, *self._modules) if name[0] != "_")
        # another class may be derived from ours
        ours = next(c for c in type(self).__mro__ if c.__module__.partition(".")[0] == "scatcuda")
        self._fixed = frozenset((*inspect.signature(ours).parameters, *here))

    def _leaf(self, x: Proxy, **options: Any) -> Any:
        """``torch.fx.symbolic_trace`` sees one call, as of PyTorch's own layers."""
        name = type(self).__name__
        tracer: Any = x.tracer
        if getattr(tracer, "root", self) is self:
            raise TypeError(
                f"{name}: torch.fx.symbolic_trace takes it as one layer of a model, and there is "
                "no model around it here: trace nn.Sequential(it)"
            )
        return tracer.create_proxy("call_module", tracer.path_of_module(self), (x,), options)


class Transform(Built):
    """A module whose tensors follow from its arguments, and its dtype and device."""

    def __init__(self) -> None:
        super().__init__()
        self._constants: tuple[str, ...] = ()

    # --- for those who write a transform ---

    def _make(self, dtype: torch.dtype) -> dict[str, Tensor]:
        """The constants by the names of their attributes, on the CPU."""
        raise NotImplementedError

    def _start(self) -> None:
        """Makes the constants for the first time."""
        with torch.inference_mode(False):
            like = torch.zeros(1, dtype=torch.float32, device=torch.get_default_device())
            self.register_buffer("_like", like, persistent=False)
        self._follow()
        self._fix()

    #: Sides of what a call is given, ``(M, N)`` or ``(N,)``.
    input_shape: tuple[int, ...]

    def _why_not(self, x: Tensor) -> str:
        """What more there is to say of an input of another shape."""
        return ""

    def _cast(self, x: Tensor, like: Tensor) -> Tensor:
        """Integers and half precision in a dtype to compute with."""
        return x.to(like.dtype)

    def _checked(self, x: Any, like: Tensor, name: str = "x") -> Tensor:
        """A real tensor ``[..., *self.input_shape]`` on the device of `like`, in its dtype."""
        if not isinstance(x, Tensor):
            kind = f"{type(x).__name__}: the input should be one"  # as Kymatio says
            raise self._refused(TypeError, "must be a torch.Tensor", kind, name)
        if x.is_complex():
            raise self._refused(InputError, "must be real", x.dtype, name)
        if x.layout != torch.strided or x.is_nested:
            found = "a nested one" if x.is_nested else str(x.layout)
            raise self._refused(InputError, "must be a dense tensor, torch.strided", found, name)
        rank = len(self.input_shape)
        if x.shape[-rank:] != self.input_shape:
            sides = ", ".join(map(str, self.input_shape))
            found = f"{tuple(x.shape)}{self._why_not(x)}"
            if rank == 2 and x.shape[-3:-1] == self.input_shape:
                found += channels_last(x.shape)
            raise self._refused(InputError, f"must have shape (..., {sides})", found, name)
        if x.device != like.device and x.device != (like := self._followed(like)).device:
            expected = f"must be on the module's device {like.device}"
            raise self._refused(InputError, expected, x.device, name)
        if x.dtype == like.dtype:
            return x
        if x.dtype == torch.float64:
            expected = (
                f"must be float32 as the module is: call .double() on it, or .float() on {name}"
            )
            raise self._refused(TypeError, expected, x.dtype, name)
        return self._cast(x, like)

    def _refused(
        self, kind: type[Exception], expected: str, found: object, name: str = "x"
    ) -> Exception:
        return kind(f"{type(self).__name__}: {name} {expected}; got {found}")

    # --- the life of a module ---

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        for key in [key for key in state_dict if key.startswith(prefix)]:
            if KYMATIO_BUFFER.fullmatch(key[len(prefix) :]):
                del state_dict[key]
        super()._load_from_state_dict(state_dict, prefix, *args)

    def _followed(self, like: Tensor) -> Tensor:
        """A constant, now that they follow a buffer which was moved without asking the module, as
        DataParallel moves those of its replicas."""
        if "_like" not in self._buffers:
            return like
        self._follow()
        return self.__dict__[self._constants[-1]]

    def _follow(self, anew: bool = False) -> None:
        """Lets the constants follow the buffer. Values of another dtype are made anew: float64
        needs them in full."""
        like: Any = self._buffers["_like"]
        made = {name: self.__dict__[name] for name in self._constants}
        last = next(reversed(made.values()), None)
        anew = anew or last is None or not has_values(last) or last.dtype != computed_in(like)
        if anew:
            self.__dict__.update(dict.fromkeys(made))  # let go of: none is there twice
            del made, last
            with constants():
                made = self._make(computed_in(like))
        for name in set(self._constants) - set(made):  # of what it was before
            del self.__dict__[name]
        self._constants = tuple(made)
        for name, tensor in made.items():
            setattr(self, name, beside(tensor, like))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        super()._apply(fn, recurse)
        if "_like" in self._buffers:
            self._follow()
        return self

    # --- torch.jit ---

    def __prepare_scriptable__(self) -> NoReturn:
        raise TypeError(
            f"{type(self).__name__}: torch.jit.script does not take it; use torch.jit.trace or "
            "torch.export"
        )


class Engined(Transform):
    """A transform that is a program of the operator ``scattering``."""

    _caller: str  # its name in errors

    def _use(self, backend: Any, tier: Any, workspace: Any) -> None:
        """How it is computed, as the constructor was told."""
        self.backend = backend
        self._tier: Tier = one_of(self._caller, "tier", tier, get_args(Tier))
        self._workspace: int | None = None
        if workspace is not None:
            self._workspace = integer(self._caller, "workspace", workspace, 1)
            limits.at_most(self._caller, "workspace", self._workspace, limits.BYTES)

    @property
    def backend(self) -> Backend:
        """How the coefficients are computed; can be assigned."""
        return self._backend

    @backend.setter
    def backend(self, value: Any) -> None:
        self._backend: Backend = backend_name(self._caller, value, _BACKENDS)

    def _scattered(self, x: Tensor, packed: Packed, program: str) -> Tensor:
        """What the program makes of ``x``, by the backend."""
        options = self._tier, self._workspace or 0
        return _BACKENDS[self._backend](x, *packed, program, *options)


class Learning(Engined):
    """A transform whose filters may be learned."""

    learned: LearnedFilters | None

    def freeze(self) -> Self:
        """Ends the learning: the filters stay as they are now and cost no more than fixed ones, of
        which only what is not negligible is multiplied. Their parameters no longer require
        gradients; a change of them is taken over by loading a checkpoint or freezing again.

        Returns: the module. One that learns nothing is as it was.
        Example:
            >>> from scatcuda import Scattering2D
            >>> scattering = Scattering2D(J=2, shape=(32, 32), trainable="wavelets").freeze()
            >>> any(p.requires_grad for p in scattering.parameters())
            False
        """
        if self.learned is not None:
            self.learned.freeze()
        return self

    def unfreeze(self) -> Self:
        """Undoes :meth:`freeze`."""
        if self.learned is not None:
            self.learned.freeze(False)
        return self


def backend_name(caller: str, backend: Any, allowed: Collection[Any]) -> Any:
    """A backend object of Kymatio, or of ours for Kymatio, stands for its name. One of the user's
    own does not: it may compute something else."""
    package = str(getattr(backend, "__module__", "")).partition(".")[0]
    name = getattr(backend, "name", backend) if package in ("kymatio", "scatcuda") else backend
    return one_of(caller, "backend", name, allowed, BackendError)


def checked_output(caller: str, name: str, transform: Any) -> tuple[int, ...]:
    """What a transform makes of a signal, ``(channels, *sides)``.

    Raises: TypeError, ValueError: it is none, or gives no tensor.
    """
    shape = getattr(transform, "output_shape", None)
    if not isinstance(transform, nn.Module) or not isinstance(shape, tuple) or not shape:
        raise TypeError(
            f"{caller}: {name} must be a transform, a module with output_shape; got "
            f"{type(transform).__name__}"
        )
    if getattr(transform, "out_type", "array") != "array":
        raise ValueError(f"{caller}: {name} must have out_type 'array'; got {transform.out_type!r}")
    return shape
