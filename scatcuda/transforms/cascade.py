"""Scattering with any nonlinearity: a deep network whose filters are wavelets.

    S x = [A x, A ρ W_1 x, A ρ W_2 ρ W_1 x, ..., A ρ W_m ... ρ W_1 x]

``W`` convolves with oriented wavelets, ``ρ`` is the modulus or another nonlinearity, ``A``
averages. With the modulus it is :class:`scatcuda.Scattering2D`, channel by channel: that one is
faster, this one is the formula written out, by the operators of its stages.

Literature: S. Mallat, "Group invariant scattering", CPAM 2012; I. Waldspurger, "Exponential decay
of scattering coefficients", SampTA 2017, on how little is left in the higher orders.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import TYPE_CHECKING, Literal, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.fx import Proxy

from .. import limits, ops
from ..arguments import integer
from ..arguments import scales as checked_J
from ..banks import FilterBank, crop, lowpass_matrix, separable_factors
from ..ops import reference
from ..ops.constants import constants
from ..program.plan import checked_plan, meta_of
from ..typing import BankName
from .base import Transform
from .scattering2d import Scattering2D, bank_or_name

Scales = tuple[int, ...]  # j_1 < … < j_q, of the wavelets that a plane went through


class Cascade(Transform):
    """Wavelets and a nonlinearity, ``depth`` times over, along all paths of increasing scale.

    ``U[p] x`` is what the path ``p = (λ_1, …, λ_q)``, ``λ = (j, θ)``, ``j_1 < … < j_q`` leaves of
    an image: ``U[] x = x`` and ``U[p, λ] x = ρ(U[p] x ⋆ ψ_λ)``, kept at every ``2^j``-th pixel. A
    channel of the output is ``U[p] x ⋆ φ``, kept at every ``2^J``-th.

    Args:
        J: number of scales; the output is ``2^J`` times smaller than the image.
        shape: size ``(M, N)`` of the images in pixels, each at least ``2^J``.
        L: number of angles in [0, pi).
        depth: the longest path, 0 to J.
        rho: ρ, from complex to real tensors, value by value; default the modulus. The parameters
            of a module are the cascade's.
        filters: ``"morlet"``, ``"tight"`` or a :class:`~scatcuda.banks.FilterBank` of the padded
            size.
        scales: the scales that each layer has, a list for each; default all of them.
    Raises:
        TypeError, ValueError: an argument is of the wrong type or out of range; in a call, the
            input is no real tensor of the right size, or ρ gives none.
    Source: S. Mallat, CPAM 2012, section 2; J. Bruna and S. Mallat, PAMI 2013.
    Example:
        >>> cascade = Cascade(J=3, shape=(32, 32), L=4, depth=3)
        >>> cascade(torch.rand(2, 32, 32)).shape
        torch.Size([2, 125, 4, 4])
        >>> [order.shape[1] for order in cascade(torch.rand(2, 32, 32), by_order=True)]
        [1, 12, 48, 64]
        >>> rectifier = Cascade(J=2, shape=(32, 32), rho=lambda z: z.real.relu())
        >>> rectifier(torch.rand(2, 3, 32, 32)).shape
        torch.Size([2, 3, 81, 8, 8])
    """

    _assignable = ("rho",)

    def __init__(
        self,
        J: int,
        shape: Sequence[int],
        L: int = 8,
        depth: int = 2,
        rho: Callable[[Tensor], Tensor] = ops.modulus,
        filters: BankName | FilterBank = "morlet",
        scales: Sequence[Sequence[int]] | None = None,
    ) -> None:
        super().__init__()
        caller = "Cascade"
        J = checked_J(caller, J)
        self.depth: int = integer(caller, "depth", depth, 0, J)
        self._plan = plan = checked_plan(caller, J, shape, L, min(self.depth, 2), False)
        self.J, self.L = plan.J, plan.L
        self.shape: tuple[int, int] = (plan.M, plan.N)
        self.input_shape: tuple[int, int] = self.shape
        if not callable(rho):
            raise TypeError(f"{caller}: rho must be callable; got {type(rho).__name__}")
        self.rho = rho
        self.scales: list[Scales] = self._checked_scales(scales)
        limits.at_most(caller, "the number of paths", self._count(), limits.CHANNELS)
        # before Scattering2D looks, which would call itself the caller
        bank_or_name(caller, filters, (plan.J, plan.L, *plan.padded))
        with constants():
            self.bank: FilterBank = Scattering2D(J, shape, L, 0, filters=filters).bank
        self._order = [self._sorted(q) for q in range(self.depth + 1)]
        self._start()

    @overload
    def forward(self, x: Tensor, by_order: Literal[False] = False) -> Tensor: ...
    @overload
    def forward(self, x: Tensor, by_order: Literal[True]) -> list[Tensor]: ...
    def forward(self, x: Tensor, by_order: bool = False) -> Tensor | list[Tensor]:
        """Coefficients of the images ``x [..., M, N]``.

        Returns: ``[..., C, m, n]``, channels as :meth:`meta` lists them; with ``by_order`` a list
            of ``[..., C_q, m, n]``, one for each length q = 0 … depth of a path.
        """
        if isinstance(x, Proxy):
            return self._leaf(x, by_order=by_order)
        x = self._checked(x, self._phi(0)[0])
        orders = []
        if x.numel() == 0:  # not every FFT takes an empty batch
            sizes = ((*x.shape[:-2], len(index), *self._plan.output) for index in self._order)
            orders = [x.new_zeros(size) + x.sum() for size in sizes]  # which has a gradient
            return orders if by_order else torch.cat(orders, -3)
        for layer, index in zip(self.propagate(x), self._order, strict=True):
            S = torch.cat([ops.lowpass(U, *self._phi(_res(p))) for p, U in layer.items()], -3)
            orders.append(S[..., index, :, :])
        return orders if by_order else torch.cat(orders, -3)

    if TYPE_CHECKING:

        @overload
        def __call__(self, x: Tensor, by_order: Literal[False] = False) -> Tensor: ...
        @overload
        def __call__(self, x: Tensor, by_order: Literal[True]) -> list[Tensor]: ...
        def __call__(self, x: Tensor, by_order: bool = False) -> Tensor | list[Tensor]: ...

    def propagate(self, x: Tensor) -> Iterator[dict[Scales, Tensor]]:
        """The layers before averaging, one after the other: ``U`` by the scales of its wavelets,
        ``{(j_1, …, j_q): [..., L^q, Mp / 2^j_q, Np / 2^j_q]}``, angles in order, the last one
        fastest.

        Example:
            >>> cascade = Cascade(J=2, shape=(32, 32), L=4)
            >>> [list(layer) for layer in cascade.propagate(torch.rand(32, 32))]
            [[()], [(0,), (1,)], [(0, 1)]]
        """
        layer: dict[Scales, Tensor] = {
            (): reference.pad(self._checked(x, self._phi(0)[0]), self._plan).unsqueeze(-3)
        }
        yield layer
        for scales in self.scales:
            layer = {
                (*p, j): self._rho(torch.fft.ifft2(Wu)).flatten(-4, -3)
                for p, U in layer.items()
                for j, Wu in self._wavelets(U, p, scales)
            }
            yield layer

    def _wavelets(self, U: Tensor, p: Scales, scales: Scales) -> Iterator[tuple[int, Tensor]]:
        """``W U``, in Fourier: ``[..., L^q, L, rows / 2^(j - res), columns / 2^(j - res)]``."""
        above = [j for j in scales if not p or j > p[-1]]
        if above:
            U_hat = torch.fft.fft2(U)
        for j in above:
            psi = getattr(self, f"_psi_{_res(p)}_{j}")
            yield j, ops.filter_fold(U_hat, psi, 2 ** (j - _res(p)))

    def _rho(self, z: Tensor) -> Tensor:
        u = self.rho(z)
        if not isinstance(u, Tensor) or u.is_complex() or u.shape != z.shape:
            found = f"{u.dtype} {list(u.shape)}" if isinstance(u, Tensor) else type(u).__name__
            raise ValueError(
                f"Cascade: rho must give a real tensor of shape {list(z.shape)}; got {found}"
            )
        return u

    @property
    def output_shape(self) -> tuple[int, int, int]:
        """Channels and sides ``(C, m, n)`` of the coefficients of one image."""
        return (sum(map(len, self._order)), *self._plan.output)

    def meta(self) -> dict[str, NDArray[np.int64]]:
        """Where every channel comes from: ``"order" [C]``, and ``"j"``, ``"theta"`` and
        ``"n" = j L + theta``, ``[C, max(depth, 2)]``, int64, -1 where there is no wavelet.

        Example:
            >>> Cascade(J=3, shape=(32, 32), L=4, depth=3).meta()["j"][-1]
            array([0, 1, 2])
        """
        paths = [path for q in range(self.depth + 1) for path in sorted(self._paths(q))]
        return meta_of(paths, self.L)

    def extra_repr(self) -> str:
        return f"J={self.J}, shape={self.shape}, L={self.L}, depth={self.depth}"

    def _checked_scales(self, scales: Sequence[Sequence[int]] | None) -> list[Scales]:
        if scales is None:
            return [tuple(range(self.J))] * self.depth
        caller, name = "Cascade", "a scale in scales"
        try:
            layers = [list(layer) for layer in scales]
        except (TypeError, RuntimeError):
            raise TypeError(
                f"{caller}: scales must be None or a list of scales for each layer; got {scales!r}"
            ) from None
        if len(layers) != self.depth:
            raise ValueError(
                f"{caller}: scales must list depth = {self.depth} layers; got {len(layers)}"
            )
        lists = [{integer(caller, name, j, 0, self.J - 1) for j in layer} for layer in layers]
        sets = [tuple(sorted(layer)) for layer in lists]
        lowest = -1
        for layer in sets:
            if not layer or layer[-1] <= lowest:
                raise ValueError(
                    "Cascade: scales must leave a path of increasing scale through all "
                    f"layers; got {[list(layer) for layer in sets]}"
                )
            lowest = min(j for j in layer if j > lowest)
        return sets

    def _count(self) -> int:
        """How many paths there are, before they are listed."""
        ends, count = {-1: 1}, 1  # paths so far, by their last scale
        for layer in self.scales:
            ends = {j: self.L * sum(n for i, n in ends.items() if i < j) for j in layer}
            count += sum(ends.values())
        return count

    def _paths(self, q: int) -> list[tuple[int, ...]]:
        """The paths of q wavelets as :meth:`propagate` orders them."""
        increasing: list[Scales] = [()]
        for layer in self.scales[:q]:
            increasing = [(*p, j) for p in increasing for j in layer if not p or j > p[-1]]
        angles = list(product(range(self.L), repeat=q))
        return [
            tuple(j * self.L + theta for j, theta in zip(p, turn, strict=True))
            for p in increasing
            for turn in angles
        ]

    def _sorted(self, q: int) -> list[int]:
        """Where the channels, sorted by their wavelets, are in that order."""
        paths = self._paths(q)
        return sorted(range(len(paths)), key=paths.__getitem__)

    def _phi(self, res: int) -> tuple[Tensor, Tensor]:
        return getattr(self, f"_phi_{res}_m"), getattr(self, f"_phi_{res}_n")

    def _make(self, dtype: torch.dtype) -> dict[str, Tensor]:
        """The filters on every grid: wavelets cropped in Fourier, the low-pass as matrices."""
        made = {f"_psi_{res}_{j}": crop(self.bank.psi[j], res) for res, j, _ in self._plan.tables()}
        for axis, factor in zip("mn", separable_factors(self.bank.phi), strict=True):
            for res in range(self.J):
                made[f"_phi_{res}_{axis}"] = lowpass_matrix(factor, res, self.J)
        return {name: value.to(dtype) for name, value in made.items()}


def _res(p: Scales) -> int:
    """log2 of the subsampling of ``U[p]``."""
    return p[-1] if p else 0
