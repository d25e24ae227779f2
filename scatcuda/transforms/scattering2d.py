"""The scattering transform of images as a PyTorch module."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Generic, Literal, get_args, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.fx import Proxy
from typing_extensions import TypeVar

from .. import banks, ops
from ..arguments import integer, one_of, pair
from ..banks import learned as learnable
from ..banks.packing import pack
from ..program.packing import Packed
from ..program.paths import most_order
from ..program.plan import checked_plan, plan_of
from ..typing import (
    Backend,
    BackendObject,
    BankName,
    Coefficients,
    Lowpass,
    OutType,
    Paths,
    Tier,
    Trainable,
    Wavelet,
)
from .base import Learning

_CALLER = "Scattering2D"
_OUT_TYPES = get_args(OutType)


Value = TypeVar("Value")
#: What a call returns: it follows ``out_type``.
Output = TypeVar("Output", bound="Tensor | list[Coefficients]", default=Tensor)


def _remembered(make: Callable[[Any], Value]) -> Callable[[Any], Value]:
    """What is made when first asked for; anew each time where filters are learned."""

    def get(self: Scattering2D[Any]) -> Value:
        if self.learned is not None:
            return make(self)
        if make.__name__ not in self._made:
            self._made[make.__name__] = make(self)
        value: Value = self._made[make.__name__]
        return value

    get.__doc__ = make.__doc__
    return get


class Scattering2D(Learning, Generic[Output]):
    """Scattering transform of real images, ``S x = [A x, A|W1 x|, A|W2|W1 x||, …]``.

    ``W`` filters with ``L`` oriented wavelets at each of ``J`` scales, ``|.|`` is the complex
    modulus, ``A`` averages over ``2^J`` pixels and subsamples by as much: features that move
    little when the image is shifted by less than ``2^J`` pixels or slightly deformed. Replaces
    ``kymatio.torch.Scattering2D``: same arguments, output and channel order.

    Unless ``trainable`` says otherwise the module holds no parameter and its ``state_dict`` is
    empty: the arguments determine the filters. Checkpoints that hold Kymatio's filters load; they
    are passed over. Kymatio loads ours with ``strict=False``, or as they are if
    :func:`scatcuda.kymatio.accelerate` had the module built.

    Args:
        J: number of scales; the output is ``2^J`` times smaller than the image.
        shape: size ``(M, N)`` of the images in pixels, each at least ``2^J``.
        L: number of angles in [0, pi). :mod:`scatcuda.limits` says how large all of it may be.
        max_order: 0 to J (2 where J is 1), the largest number of wavelets on a path; their scales
            increase along it. Of all lengths k there are ``sum_k C(J, k) L^k`` paths.
        pre_pad: the images come padded to ``(_M_padded, _N_padded)``; otherwise they are reflected
            at their edges.
        backend: ``"native"``: the engine of this package for the device of the input, where there
            is one; ``"reference"``: plain PyTorch. Kymatio's ``"torch"`` and ``"torch_skcuda"``,
            and its backend objects of these names, mean ``"native"``.
        out_type: ``"array"``: one tensor; ``"list"``: a dictionary for each channel with its
            coefficients ``"coef"`` and its path ``"j"``, ``"theta"``, ``"n"``.
        filters: ``"morlet"``, Kymatio's bank; ``"tight"``, the same wavelets scaled to keep the
            energy; or a :class:`~scatcuda.banks.FilterBank` of your own at the padded size.
        tier: how the CUDA engine computes: ``"general"``, ``"fused"``, or ``"auto"``, its choice;
            see :func:`scatcuda.ops.scattering`. Nothing changes on other devices.
        workspace: bytes that the CUDA engine may take beside its output; ``None``, a
            sixteenth of the GPU's memory, 4 GiB at most. Nothing changes on other devices.
        trainable: what is learned, starting with ``filters``, by the parameters of the submodule
            ``learned``. ``"filters"``: every value of the bank,
            :class:`~scatcuda.banks.learned.FreeFilters`; ``"wavelets"``: frequency, orientation,
            width and slant of each Morlet wavelet, for the banks that have a name,
            :class:`~scatcuda.banks.learned.MorletWavelets`. While they are learned every
            frequency is multiplied; see :meth:`freeze`. Under ``no_grad`` the filters are packed
            again only when they changed, which is seen by comparing them.
        paths: the paths that are computed, at the cost of the wavelets on them; ``None``, all. A
            list of tuples of wavelet numbers ``n = j L + theta``, as ``meta()`` has them, ``()``
            being order 0; or a function of the ``meta()`` of all paths that returns a mask of bool.
            Channels come in the order of the whole transform, whatever that of the list.
    Raises:
        TypeError, ValueError: an argument is of the wrong type or out of range; in a call, the
            input is no real tensor of the right size and device. Where Kymatio raises a
            RuntimeError or an ImportError, ours is one as well: see :mod:`scatcuda.arguments`.
    Source: S. Mallat, "Group invariant scattering", CPAM 2012; J. Bruna and S. Mallat, "Invariant
        scattering convolution networks", PAMI 2013.
    Example:
        >>> scattering = Scattering2D(J=2, shape=(32, 32))
        >>> scattering(torch.randn(16, 3, 32, 32)).shape
        torch.Size([16, 3, 81, 8, 8])
        >>> scattering.meta()["order"][:3]
        array([0, 1, 1])
        >>> learning = Scattering2D(J=2, shape=(32, 32), trainable="wavelets")
        >>> learning(torch.randn(4, 32, 32)).square().mean().backward()
        >>> learning.learned.d_theta.grad.shape
        torch.Size([2, 8])
        >>> deep = Scattering2D(3, (32, 32), max_order=3, paths=lambda meta: meta["order"] == 3)
        >>> deep(torch.randn(32, 32)).shape
        torch.Size([512, 4, 4])
    """

    _psi: Tensor
    _psi_support: Tensor
    _phi: Tensor
    _phi_support: Tensor

    # What a call returns follows out_type, which Kymatio's programs may give by its place.
    @overload
    def __init__(
        self: Scattering2D[Tensor], J: int, shape: Sequence[int], L: int = ...,
        max_order: int = ..., pre_pad: bool = ..., backend: Backend | BackendObject = ...,
        out_type: Literal["array"] = ..., filters: BankName | banks.FilterBank = ..., *,
        tier: Tier = ..., workspace: int | None = ..., trainable: Trainable | None = ...,
        paths: Paths | None = ...,
    ) -> None: ...  # fmt: skip
    @overload
    def __init__(
        self: Scattering2D[list[Coefficients]], J: int, shape: Sequence[int], L: int = ...,
        max_order: int = ..., pre_pad: bool = ..., backend: Backend | BackendObject = ..., *,
        out_type: Literal["list"], filters: BankName | banks.FilterBank = ...,
        tier: Tier = ..., workspace: int | None = ..., trainable: Trainable | None = ...,
        paths: Paths | None = ...,
    ) -> None: ...  # fmt: skip
    @overload
    def __init__(
        self: Scattering2D[list[Coefficients]], J: int, shape: Sequence[int], L: int,
        max_order: int, pre_pad: bool, backend: Backend | BackendObject,
        out_type: Literal["list"], filters: BankName | banks.FilterBank = ..., *,
        tier: Tier = ..., workspace: int | None = ..., trainable: Trainable | None = ...,
        paths: Paths | None = ...,
    ) -> None: ...  # fmt: skip
    def __init__(
        self,
        J: int,
        shape: Sequence[int],
        L: int = 8,
        max_order: int = 2,
        pre_pad: bool = False,
        backend: Backend | BackendObject = "native",
        out_type: OutType = "array",
        filters: BankName | banks.FilterBank = "morlet",
        *,
        tier: Tier = "auto",
        workspace: int | None = None,
        trainable: Trainable | None = None,
        paths: Paths | None = None,
    ) -> None:
        super().__init__()
        self._plan = plan = checked_plan(_CALLER, J, shape, L, max_order, pre_pad, paths)
        self._shape = pair(_CALLER, shape)
        self.input_shape: tuple[int, int] = (plan.M, plan.N)
        self._program = plan.program
        self._use(backend, tier, workspace)
        self.out_type: OutType = one_of(_CALLER, "out_type", out_type, _OUT_TYPES)
        self._filters = bank_or_name(_CALLER, filters, (plan.J, plan.L, *plan.padded))
        self._trainable = trainable
        self._forget()
        self.learned: learnable.LearnedImages | None = None
        if trainable is None:
            self._start()
        else:
            kind = learnable.KINDS[one_of(_CALLER, "trainable", trainable, learnable.KINDS)]
            self.learned = kind(plan, self._filters)
            self._fix()

    _caller = _CALLER
    _assignable = ("out_type",)
    frontend_name = "torch"  # Kymatio's word

    if TYPE_CHECKING:

        def __call__(self, x: Tensor) -> Output: ...

    @property
    def J(self) -> int:
        """Number of scales."""
        return self._plan.J

    @property
    def L(self) -> int:
        """Number of angles."""
        return self._plan.L

    @property
    def shape(self) -> tuple[int, int]:
        """Size ``(M, N)`` of the images."""
        return self._shape

    @property
    def max_order(self) -> int:
        """The largest number of wavelets on a path; can be assigned unless paths are chosen."""
        return self._plan.max_order

    @max_order.setter
    def max_order(self, value: int) -> None:
        if self.paths is not None:
            raise AttributeError(
                "Scattering2D: max_order is fixed when paths are chosen; build another module"
            )
        p = self._plan
        max_order = integer(_CALLER, "max_order", value, 0, self.most_order)
        self._plan = plan_of(_CALLER, p.J, p.L, max_order, p.M, p.N, p.pre_pad)
        self._program = self._plan.program
        if self.learned is not None:
            self.learned.follow(self._plan)
        else:
            self._follow(anew=True)

    @property
    def most_order(self) -> int:
        """The largest ``max_order``."""
        return most_order(self.J)

    @property
    def pre_pad(self) -> bool:
        """Whether the images come padded."""
        return self._plan.pre_pad

    @property
    def tier(self) -> Tier:
        """How the CUDA engine computes."""
        return self._tier

    @property
    def workspace(self) -> int | None:
        """Bytes that the CUDA engine may take beside its output."""
        return self._workspace

    @property
    def filters(self) -> BankName | banks.FilterBank:
        """The name of the bank, or the user's own."""
        return self._filters

    @property
    def trainable(self) -> Trainable | None:
        """What is learned: ``"filters"``, ``"wavelets"`` or nothing."""
        return self._trainable

    @property
    def paths(self) -> tuple[tuple[int, ...], ...] | None:
        """Those that were chosen, in the order of their channels; None where all are computed."""
        return self._plan.chosen

    @property
    def _M_padded(self) -> int:
        return self._plan.padded[0]

    @property
    def _N_padded(self) -> int:
        return self._plan.padded[1]

    @property
    @_remembered
    def bank(self) -> banks.FilterBank:
        """The filters at full resolution, real and in Fourier, as they are now."""
        if self.learned is not None:
            return self.learned.bank
        if isinstance(self.filters, banks.FilterBank):
            return self.filters
        return banks.BUILT_IN[self.filters]((self._M_padded, self._N_padded), self.J, self.L)

    @property
    @_remembered
    def psi(self) -> list[Wavelet]:
        """Wavelets as Kymatio lists them: ``{"j", "theta", "levels": [array at resolution 0, …]}``,
        each array float32 ``[Mp / 2^res, Np / 2^res]``."""
        bank = self.bank
        return [
            {
                "levels": _levels(bank.psi[j, theta], min(j + 1, max(self.J - 1, 1))),
                "j": j,
                "theta": theta,
            }
            for j in range(self.J)
            for theta in range(self.L)
        ]

    @property
    @_remembered
    def phi(self) -> Lowpass:
        """The low-pass as Kymatio has it: ``{"levels": [array at resolution 0, …], "j": J}``."""
        return {"levels": _levels(self.bank.phi, self.J), "j": self.J}

    @property
    def output_shape(self) -> tuple[int, int, int]:
        """Channels and sides ``(C, m, n)`` of the coefficients of one image."""
        return (self._plan.channels, *self._plan.output)

    def meta(self) -> dict[str, NDArray[np.int64]]:
        """Where every output channel comes from.

        Returns: ``"order" [C]``, and ``"j"``, ``"theta"``, ``"n" [C, K]``, int64: scale, angle and
            number ``n = j L + theta`` of each wavelet, -1 where there is none; K is the length of
            the longest path, but at least 2.
        Example:
            >>> meta = Scattering2D(J=2, shape=(32, 32), L=4).meta()
            >>> meta["j"][9], meta["theta"][9]
            (array([0, 1]), array([0, 0]))
        """
        return self._plan.meta()

    def forward(self, x: Tensor) -> Output:
        """Scattering coefficients of the images ``x [..., M, N]``.

        Integers and half precision are computed in float32, float64 by a module in ``.double()``.

        Returns: ``[..., C, m, n]``, see ``output_shape``; or a list, see ``out_type``.
        """
        if isinstance(x, Proxy):
            return self._leaf(x)
        learned = self.learned
        if learned is None:
            x = self._checked(x, self._phi)
            packed = Packed(self._psi, self._psi_support, self._phi, self._phi_support)
        else:
            packed = learned()[0]
            x = self._checked(x, packed.phi)
        S: Any = self._scattered(x, packed, self._program)
        if self.out_type == "array":
            return S
        one_of(_CALLER, "out_type", self.out_type, _OUT_TYPES)
        return self._as_list(S)

    def save_plan(self, path: str | os.PathLike[str], dtype: torch.dtype | None = None) -> int:
        """Write the problem and the filters as they are now to a plan file, from which programs
        without Python compute the same coefficients; see ``PIPELINES.md``.

        Args:
            path: name of the file; what has it is replaced.
            dtype: float32 or float64, the numbers that the program computes with; ``None``, the
                module's own.
        Returns: the number of bytes written.
        Example:
            >>> import tempfile
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     Scattering2D(J=1, shape=(8, 8)).save_plan(f"{folder}/plan.scat")
            5352
        """
        from ..program import planfile  # and what writes files safely, which few need

        with torch.no_grad():
            packed = self._packed
        double = packed.phi.dtype == torch.float64
        wanted = (torch.float64 if double else torch.float32) if dtype is None else dtype
        if wanted not in (torch.float32, torch.float64):
            raise TypeError(
                f"save_plan: dtype must be torch.float32, torch.float64 or None; got {dtype!r}"
            )
        if self.learned is None and (packed.phi.dtype != wanted or packed.phi.is_meta):
            packed = pack(self._recipe(), self._plan, wanted)  # in full, from float64
        packed = packed._replace(psi=packed.psi.to(wanted), phi=packed.phi.to(wanted))
        return planfile.write(path, self._program, packed)

    def scattering(self, x: Tensor) -> Output:
        """The same as calling the module (Kymatio's name)."""
        return self(x)

    def extra_repr(self) -> str:
        name = self.filters if isinstance(self.filters, str) else "custom"
        chosen = "" if self.paths is None else f", paths=<{len(self.paths)} chosen>"
        return (
            f"J={self.J}, shape={self.shape}, L={self.L}, max_order={self.max_order}, "
            f"pre_pad={self.pre_pad}, backend={self._backend!r}, out_type={self.out_type!r}, "
            f"filters={name!r}, tier={self.tier!r}, workspace={self.workspace}, "
            f"trainable={self.trainable!r}{chosen}"
        )

    @property
    def _packed(self) -> Packed:
        if self.learned is not None:
            return self.learned.packed()
        tables = self._psi[: self._tables]
        return Packed(tables, self._psi_support, self._phi, self._phi_support)

    def _make(self, dtype: torch.dtype) -> dict[str, Tensor]:
        try:
            packed = pack(self._recipe(), self._plan, dtype)
        except ValueError as error:
            raise ValueError(f"Scattering2D: filters cannot be used: {error}") from error
        self._forget()
        self._tables = packed.psi.numel()
        if self._backend != "reference":
            packed = ops.laid_out(packed, self._program)
        return {f"_{name}": tensor for name, tensor in packed._asdict().items()}

    def _recipe(self) -> banks.FilterBank | banks.Recipe:
        return banks.recipe(self.filters, self._plan.padded, self.J, self.L)

    def _cast(self, x: Tensor, like: Tensor) -> Tensor:
        # the CUDA engine reads these as they are
        short = x.dtype in (torch.float16, torch.bfloat16, torch.uint8)
        return x if short and x.is_cuda and self._backend != "reference" else x.to(like.dtype)

    def _why_not(self, x: Tensor) -> str:
        # the words that Kymatio's programs look for
        kind, (M, N) = "Padded tensor" if self.pre_pad else "Tensor", self.input_shape
        if x.ndim < 2:
            return f": {kind} must have at least two dimensions"
        return f": {kind} must be of spatial size ({M},{N})"

    def _as_list(self, S: Tensor) -> Any:
        L = self.L
        channels: list[Coefficients] = [
            {
                "coef": S[..., channel, :, :],
                "j": tuple(n // L for n in path),
                "n": path,
                "theta": tuple(n % L for n in path),
            }
            for channel, path in enumerate(self._plan.paths)
        ]
        return channels

    def _forget(self) -> None:
        """Drops what is made when first asked for."""
        self._made: dict[str, Any] = {}

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_made": {}}


def _levels(f: Tensor, count: int) -> list[NDArray[np.float32]]:
    levels = [banks.crop(f, res).to(torch.float32).numpy() for res in range(count)]
    for level in levels:
        level.setflags(write=False)  # the module would not compute with what is written
    return levels


def bank_or_name(
    caller: str, value: BankName | banks.FilterBank, wanted: tuple[int, int, int, int]
) -> BankName | banks.FilterBank:
    """The name of a bank, or one with ``psi`` of this shape."""
    if isinstance(value, str):
        return one_of(caller, "filters", value, banks.BUILT_IN)
    if not isinstance(value, banks.FilterBank):
        raise TypeError(
            f"{caller}: filters must be 'morlet', 'tight' or a FilterBank; "
            f"got {type(value).__name__}"
        )
    if tuple(value.psi.shape) != wanted:
        raise ValueError(
            f"{caller}: the psi of filters must have shape (J, L, Mp, Np) = {wanted}; "
            f"got {tuple(value.psi.shape)}"
        )
    return value
