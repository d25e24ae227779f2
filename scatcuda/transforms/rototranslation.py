"""The roto-translation scattering transform of images as a PyTorch module."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Generic, Literal, cast, get_args, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.fx import Proxy
from typing_extensions import TypeVar

from .. import banks, ops
from ..arguments import ArgumentError, one_of
from ..banks.angles import angular_bank, pack_rotations
from ..program.asked import checked_rotations
from ..program.packing import Packed, numpy_dtype, tensors
from ..program.steps import PADDING
from ..typing import Backend, BackendObject, BankName, OutType, Paths, Tier
from .base import Engined
from .scattering2d import bank_or_name

_CALLER = "RotoTranslationScattering2D"
_NORMALISATIONS = ("mean", "scatnet")

Listed = list[dict[str, Any]]
Output = TypeVar("Output", bound="Tensor | Listed", default=Tensor)


class RotoTranslationScattering2D(Engined, Generic[Output]):
    """Scattering along positions and angles of real images: features that move little when an image
    is shifted, rotated or slightly deformed, and still tell how its structures lie to each other.

    ``U1(j1, theta) = |x * psi_{j1, theta}|``,
    ``U2(j1, j2, alpha, h) = |U1(j1, theta) * psi_{j2, theta + alpha} (u) * h (theta)|``,

    where ``h`` is one of ``K`` wavelets or the low-pass of angles, and ``alpha`` the angle between
    the wavelets in space. ``S`` has averages of ``x``, ``U1``, ``|U1 * h(theta)|`` and ``U2``.
    Averages over angles alone, of plain scattering, are blind to how angles change together: these
    are not. All arguments but the first three by keyword.

    Args:
        J: number of scales; the output is ``2^J`` times smaller than the image.
        shape: size ``(M, N)`` of the images in pixels, each at least ``2^J``.
        L: number of angles in [0, pi), up to 128.
        K: number of wavelets of angles; None: ``log2 L``, rounded down.
        average: ``"space+angle"``: over ``2^J`` pixels and all angles; ``"space"``: over pixels
            alone, so that images of objects that do not turn keep their angles; None: over
            neither, the moduli as they are, which ``out_type="list"`` can hold.
        pool: None; or ``"mean"``, over all positions of the image in place of the average over
            ``2^J`` pixels, which is then not computed.
        normalisation: ``"mean"``: averages are means; ``"scatnet"``: coefficients as large as those
            of ScatNet, where subsampling by ``2^d`` multiplies by ``2^d``, wavelets are divided by
            the root of ``max sum |psi|^2 / 2`` over all of them, and the mean of the ``2 L`` angles
            of a turn is a quarter of their sum.
        smooth_first: average the first order over ``2^J`` pixels before its wavelets of angles, not
            after them, as ScatNet does.
        max_order: 0, 1 or 2, the largest number of wavelets in space on a path.
        padding: how an image goes on: ``"reflect"``, ``"symmetric"``, ``"zeros"``; or
            ``"periodic"``, without padding, for sides that ``2^J`` divides.
        backend, out_type, filters, tier, workspace: as for :class:`~scatcuda.Scattering2D`; a list
            has a dictionary for each channel, with its coefficients ``"coef"`` and what ``meta()``
            tells of it.
        oversampling: None: all angles are kept behind a filter of angles, and averages are those of
            the formula. 0: as few as its bandwidth allows, every ``2^k``-th behind wavelet ``k``;
            1: twice as many, and so on. About half the channels where angles are not averaged;
            where they are, averages together are some thousandths off with 0, one path up to some
            per cent, and with 1 a tenth of that.
        paths: the channels that are computed; None, all. A list of them as ``meta()`` has them,
            ``()``, ``(j1, k)`` or ``(j1, j2, theta, k)``, with the angle where it is not averaged,
            or without for all angles; or a function of the ``meta()`` of all that returns a mask of
            bool.
    Raises:
        TypeError, ValueError: an argument is of the wrong type or out of range; in a call, the
            input is no real tensor of the right size and device.
    Source: L. Sifre and S. Mallat, "Rotation, scaling and deformation invariant scattering for
        texture discrimination", CVPR 2013; E. Oyallon and S. Mallat, "Deep roto-translation
        scattering for object classification", CVPR 2015.
    Example:
        >>> scattering = RotoTranslationScattering2D(J=3, shape=(64, 64), pool="mean")
        >>> scattering(torch.randn(4, 64, 64)).shape
        torch.Size([4, 109])
        >>> RotoTranslationScattering2D(J=3, shape=(64, 64), average="space").output_shape
        (1441, 8, 8)
        >>> upright = dict(paths=lambda meta: meta["theta"] <= 0)  # of order 2, equal angles
        >>> RotoTranslationScattering2D(J=3, shape=(64, 64), **upright).output_shape
        (25, 8, 8)
    """

    @overload
    def __init__(
        self: RotoTranslationScattering2D[Tensor], J: int, shape: Sequence[int], L: int = ...,
        K: int | None = ..., *, average: Literal["space+angle", "space"] = ...,
        pool: Literal["mean"] | None = ..., normalisation: Literal["mean", "scatnet"] = ...,
        smooth_first: bool = ..., max_order: int = ..., padding: str = ...,
        backend: Backend | BackendObject = ..., out_type: Literal["array"] = ...,
        filters: BankName | banks.FilterBank = ..., tier: Tier = ..., workspace: int | None = ...,
        oversampling: int | None = ..., paths: Paths | None = ...,
    ) -> None: ...  # fmt: skip
    @overload
    def __init__(
        self: RotoTranslationScattering2D[Listed], J: int, shape: Sequence[int], L: int = ...,
        K: int | None = ..., *, average: Literal["space+angle", "space"] | None = ...,
        pool: Literal["mean"] | None = ..., normalisation: Literal["mean", "scatnet"] = ...,
        smooth_first: bool = ..., max_order: int = ..., padding: str = ...,
        backend: Backend | BackendObject = ..., out_type: Literal["list"],
        filters: BankName | banks.FilterBank = ..., tier: Tier = ..., workspace: int | None = ...,
        oversampling: int | None = ..., paths: Paths | None = ...,
    ) -> None: ...  # fmt: skip
    def __init__(
        self,
        J: int,
        shape: Sequence[int],
        L: int = 8,
        K: int | None = None,
        *,
        average: Literal["space+angle", "space"] | None = "space+angle",
        pool: Literal["mean"] | None = None,
        normalisation: Literal["mean", "scatnet"] = "mean",
        smooth_first: bool = False,
        max_order: int = 2,
        padding: str = "reflect",
        backend: Backend | BackendObject = "native",
        out_type: OutType = "array",
        filters: BankName | banks.FilterBank = "morlet",
        tier: Tier = "auto",
        workspace: int | None = None,
        oversampling: int | None = None,
        paths: Paths | None = None,
    ) -> None:
        super().__init__()
        self._out_type: str = one_of(_CALLER, "out_type", out_type, get_args(OutType))
        if average is None and out_type != "list":
            raise ArgumentError(
                f"{_CALLER}: out_type must be 'list' where average is None; got {out_type!r}"
            )
        self._plan = plan = checked_rotations(
            _CALLER, J, shape, L, K, average, pool, smooth_first, max_order, padding,
            oversampling, paths,
        )  # fmt: skip
        self._average, self._pool = average, pool
        self._normalisation: str = one_of(_CALLER, "normalisation", normalisation, _NORMALISATIONS)
        self._cascades = plan.cascades
        self._texts = [made.program.text for made in self._cascades]
        self.input_shape: tuple[int, int] = plan.M, plan.N
        self._use(backend, tier, workspace)
        self._filters = bank_or_name(_CALLER, filters, (plan.J, plan.L, *plan.padded))
        self._start()

    _caller = _CALLER
    frontend_name = "torch"  # as the other transforms

    if TYPE_CHECKING:

        def __call__(self, x: Tensor) -> Output: ...

    # --- what it is ---

    @property
    def J(self) -> int:
        """Number of scales."""
        return self._plan.J

    @property
    def L(self) -> int:
        """Number of angles."""
        return self._plan.L

    @property
    def K(self) -> int:
        """Number of wavelets of angles."""
        return self._plan.K

    @property
    def shape(self) -> tuple[int, int]:
        """Size ``(M, N)`` of the images."""
        return self.input_shape

    @property
    def max_order(self) -> int:
        """The largest number of wavelets in space on a path."""
        return self._plan.max_order

    @property
    def average(self) -> Literal["space+angle", "space"] | None:
        """What moduli are averaged over."""
        return self._average

    @property
    def pool(self) -> Literal["mean"] | None:
        """Whether averages in space are means over all positions."""
        return self._pool

    @property
    def normalisation(self) -> str:
        """``"mean"`` or ``"scatnet"``."""
        return self._normalisation

    @property
    def smooth_first(self) -> bool:
        """Whether the first order is averaged in space before its wavelets of angles."""
        return self._plan.smooth_first

    @property
    def padding(self) -> str:
        """How an image goes on."""
        return PADDING[self._plan.pad]

    @property
    def oversampling(self) -> int | None:
        """Of the angles that are kept, None: all are."""
        return self._plan.oversampling

    @property
    def paths(self) -> tuple[tuple[int, ...], ...] | None:
        """The chosen channels in the order of the result, each with its angle if it has one; None:
        all."""
        if self._plan.chosen is None:
            return None
        return tuple(channel.key for channel in self._plan.listed)

    @property
    def out_type(self) -> str:
        """``"array"`` or ``"list"``."""
        return self._out_type

    @property
    def filters(self) -> BankName | banks.FilterBank:
        """The name of the bank of wavelets in space, or the user's own."""
        return self._filters

    @property
    def bank(self) -> banks.FilterBank:
        """The wavelets in space at full resolution, real and in Fourier."""
        if isinstance(self.filters, banks.FilterBank):
            return self.filters
        return banks.BUILT_IN[self.filters](self._plan.padded, self.J, self.L)

    @property
    def angular(self) -> Tensor:
        """The low-pass and the wavelets of angles, ``[1 + K, 2 L]``, real and in Fourier."""
        return angular_bank(self.L, self.K)

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Channels and sides ``(C, m, n)`` of the coefficients of one image; with ``pool``
        ``(C,)``. A ValueError where nothing is averaged."""
        if self.average is None:
            raise ValueError(f"{_CALLER}: where average is None each channel has its own sides")
        channels = len(self._plan.channels)
        return (channels,) if self.pool else (channels, *self._plan.output(self.J))

    def meta(self) -> dict[str, NDArray[np.int64]]:
        """Where every channel comes from.

        Returns: int64, -1 where there is none: ``"order" [C]``; ``"j" [C, 2]``, scales of the
            wavelets in space; ``"theta" [C]``, the angle from the first to the second in steps of
            pi / L; ``"k" [C]``, the wavelet of angles, ``K`` for the low-pass; and, where angles
            are not averaged, ``"angle" [C]``, that of the first wavelet in steps of pi / L, of a
            whole turn or, where the other half of it has the same moduli, of half a one.
        Example:
            >>> meta = RotoTranslationScattering2D(J=2, shape=(32, 32)).meta()
            >>> meta["j"][-1], int(meta["theta"][-1]), int(meta["k"][-1])
            (array([0, 1]), 7, 2)
        """
        return self._plan.meta()

    # --- what it does ---

    def forward(self, x: Tensor) -> Output:
        """Coefficients of the images ``x [..., M, N]``.

        Integers and half precision are computed in float32, float64 by a module in ``.double()``.

        Returns: ``[..., C, m, n]``, with ``pool`` ``[..., C]``, see ``output_shape``; or a list,
            see ``out_type``.
        """
        if isinstance(x, Proxy):
            return self._leaf(x)
        x = self._checked(x, self._phi_0)
        found = [self._coefficients(x, i) for i in range(len(self._cascades))]
        if self.out_type == "array":
            return cast("Output", found[0])
        channel_dim = -1 if self.pool else -3
        each = [coef for some in found for coef in some.unbind(channel_dim)]
        if self.average is None and self._plan.has_image:
            each.insert(0, x.clone())  # nobody's but the caller's
        meta = self.meta()
        listed = [
            {"coef": coef, **{name: _plain(values[c]) for name, values in meta.items()}}
            for c, coef in enumerate(each)
        ]
        return cast("Output", listed)

    def scattering(self, x: Tensor) -> Output:
        """The same as calling the module (Kymatio's name)."""
        return self(x)

    def save_plan(self, path: str | os.PathLike[str], dtype: torch.dtype | None = None) -> int:
        """Write the problem and its filters to a plan file, as :meth:`Scattering2D.save_plan`.

        Returns: the number of bytes written.
        Raises: ValueError: ``average`` is not ``"space+angle"``, or what ``oversampling`` or
            ``paths`` ask for is a program with other channels too, or in another order.
        """
        from ..program import planfile  # and what writes files safely, which few need

        if self.average != "space+angle":
            raise ValueError(f"save_plan: average must be 'space+angle'; got {self.average!r}")
        if hasattr(self, "_kept_0"):
            raise ValueError(
                "save_plan: oversampling and paths must be None: with these the program has other "
                "channels, or in another order"
            )
        wanted = self._phi_0.dtype if dtype is None else dtype
        if wanted not in (torch.float32, torch.float64):
            raise TypeError(
                f"save_plan: dtype must be torch.float32, torch.float64 or None; got {dtype!r}"
            )
        return planfile.write(path, self._texts[0], self._packed(0, wanted))

    def extra_repr(self) -> str:
        name = self.filters if isinstance(self.filters, str) else "custom"
        chosen = "" if self.paths is None else f", paths=<{len(self.paths)} chosen>"
        return (
            f"J={self.J}, shape={self.shape}, L={self.L}, K={self.K}, average={self.average!r}, "
            f"pool={self.pool!r}, normalisation={self.normalisation!r}, "
            f"smooth_first={self.smooth_first}, max_order={self.max_order}, "
            f"padding={self.padding!r}, backend={self.backend!r}, out_type={self.out_type!r}, "
            f"filters={name!r}, tier={self._tier!r}, workspace={self._workspace}, "
            f"oversampling={self.oversampling}{chosen}"
        )

    # --- how ---

    _phi_0: Tensor

    def _coefficients(self, x: Tensor, i: int) -> Tensor:
        """Those of a program, ``[..., C, m, n]``."""
        packed = Packed(*(getattr(self, f"_{name}_{i}") for name in Packed._fields))
        S = self._scattered(x, packed, self._texts[i])
        index = getattr(self, f"_kept_{i}", None)
        if index is not None:
            S = S.index_select(-3, index)
        return S.flatten(-3) if self.pool else S

    def _packed(self, i: int, dtype: torch.dtype) -> Packed:
        recipe = banks.recipe(self.filters, self._plan.padded, self.J, self.L)
        scatnet = self.normalisation == "scatnet"
        made = pack_rotations(self._plan, self._cascades[i], recipe, scatnet, numpy_dtype(dtype))
        return tensors(made)

    def _make(self, dtype: torch.dtype) -> dict[str, Tensor]:
        made: dict[str, Tensor] = {}
        for i, cascade in enumerate(self._cascades):
            try:
                packed = self._packed(i, dtype)
            except ValueError as error:
                raise ValueError(f"{_CALLER}: filters cannot be used: {error}") from error
            if self.backend != "reference":
                packed = ops.laid_out(packed, self._texts[i])
            made |= {f"_{name}_{i}": tensor for name, tensor in packed._asdict().items()}
            index = self._plan.kept(cascade)
            if index != list(range(len(cascade.channels))):
                made[f"_kept_{i}"] = torch.tensor(index, dtype=torch.int64, device="cpu")
        if not self._cascades:  # order 0 alone, not averaged: its dtype and device
            made["_phi_0"] = torch.zeros(0, dtype=dtype)
        made["_phi_0"] = made.pop("_phi_0")  # what is looked at last tells the dtype
        return made


def _plain(value: Any) -> Any:
    return tuple(value.tolist()) if value.ndim else int(value)
