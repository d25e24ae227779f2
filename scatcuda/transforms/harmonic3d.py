"""The solid harmonic scattering transform of densities as a PyTorch module."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.fx import Proxy

from ..arguments import integer, one_of
from ..banks.harmonics import pack_densities
from ..program.asked import checked_densities, powers_of
from ..program.densities import densities
from ..program.packing import Packed, numpy_dtype, tensors
from ..typing import Backend, BackendObject, Tier
from .base import Engined

_CALLER = "HarmonicScattering3D"


class HarmonicScattering3D(Engined):
    """Solid harmonic scattering of real densities ``[..., M, N, O]``, invariant to translations and
    rotations: integrals of ``U^q``,

    ``U[j1] x = sqrt(sum_m |x * psi_{j1 l m}|^2)``, ``U[j1, j2] x = sqrt(sum_m |U[j1] x *
    psi_{j2 l m}|^2)``, ``j1 < j2``,

    for each degree ``l`` of solid harmonics ``psi`` of width ``sigma_0 2^j`` voxels, and each power
    ``q``. The density is periodic. Replaces ``kymatio.torch.HarmonicScattering3D`` of Kymatio
    0.3.0: same arguments, output and order; float64 throughout by ``.double()``, gradients finite
    everywhere (of a norm that is 0 they are 0), any strides.

    Small powers of almost nothing are ill-conditioned: where a density is 0 but for rounding, sums
    of ``U^0.5`` in float32 and float64 differ by thousandths, and gradients of ``q <= 1`` mean
    little. Take ``.double()``, or larger powers.

    Args:
        J: widths are ``sigma_0 2^j``, ``j`` from 0 to ``J``.
        shape: sides ``(M, N, O)`` in voxels.
        L: the largest degree ``l``.
        sigma_0: width of the narrowest wavelet in voxels.
        max_order: the largest number of wavelets on a path, up to ``J + 1``; Kymatio has 1 and 2.
        rotation_covariant: False: in place of the norm over all orders the modulus of ``m = -l``
            alone, its real and its imaginary part real in space (Kymatio's are not quite, at the
            highest frequency of an even side: what ``sigma_0`` leaves there is the difference).
        method, points: ``"integral"`` and None, as in Kymatio.
        integral_powers: the powers ``q``, at least 0, and at most 64 of them.
        backend: ``"native"``, or ``"reference"``, plain PyTorch.
        order_0: integrals of ``|x|^q``, too: a first row of the output, ``[..., 1 + paths (L + 1),
            powers]`` then.
        fold: keep planes of scale ``j`` at every ``2^j``-th voxel, where a wavelet is as wide as
            the narrowest in the signal: faster, and an approximation. Of noise and of sums of
            Gaussians in 32^3 voxels, ``J = 2``, coefficients are off by less than 0.02 of
            themselves with ``sigma_0 = 1``, 0.005 from 1.5 on (``test_folded_is_near``). The sides
            must be multiples of ``2^J``.
        tier, workspace: as for :class:`~scatcuda.Scattering2D`.
    Raises:
        TypeError, ValueError: an argument is of the wrong type or out of range; in a call, the
            input is no real tensor of the right shape and device.
    Source: M. Eickenberg et al., "Solid harmonic wavelet scattering for predictions of molecule
        properties", J. Chem. Phys. 2018.
    Example:
        >>> scattering = HarmonicScattering3D(J=2, shape=(32, 32, 32), L=3)
        >>> scattering(torch.rand(2, 32, 32, 32)).shape
        torch.Size([2, 6, 4, 3])
        >>> scattering.meta()["j"][-1], scattering.output_shape
        (array([1., 2.]), (6, 4, 3))
    """

    def __init__(
        self,
        J: int,
        shape: Sequence[int],
        L: int = 3,
        sigma_0: float = 1,
        max_order: int = 2,
        rotation_covariant: bool = True,
        method: str = "integral",
        points: None = None,
        integral_powers: Sequence[float] = (0.5, 1.0, 2.0),
        backend: Backend | BackendObject = "native",
        *,
        order_0: bool = False,
        fold: bool = False,
        tier: Tier = "auto",
        workspace: int | None = None,
    ) -> None:
        super().__init__()
        self.sigma_0: float
        self._plan, self.sigma_0 = checked_densities(
            _CALLER, J, shape, L, sigma_0, max_order, rotation_covariant, method, points,
            integral_powers, order_0, fold,
        )  # fmt: skip
        self.input_shape: tuple[int, ...] = self._plan.shape
        self._use(backend, tier, workspace)
        self._program, self._sets = densities(self._plan)
        self._start()

    _caller = _CALLER
    frontend_name = "torch"  # Kymatio's word
    points = None

    def _change(self, **changes: Any) -> None:
        self._plan = replace(self._plan, **changes)
        self._program, self._sets = densities(self._plan)
        self._follow(anew=True)

    # --- what it is ---

    @property
    def J(self) -> int:
        """Widths are ``sigma_0 2^j``, ``j`` from 0 to ``J``."""
        return self._plan.J

    @property
    def shape(self) -> tuple[int, int, int]:
        """Sides ``(M, N, O)``."""
        return self._plan.shape

    @property
    def L(self) -> int:
        """The largest degree."""
        return self._plan.L

    @property
    def max_order(self) -> int:
        """The largest number of wavelets on a path; can be assigned."""
        return self._plan.max_order

    @max_order.setter
    def max_order(self, value: int) -> None:
        self._change(max_order=integer(_CALLER, "max_order", value, 1, self.most_order))

    @property
    def most_order(self) -> int:
        """The largest ``max_order``."""
        return max(self.J + 1, 2)

    @property
    def method(self) -> str:
        """``"integral"``, which can be assigned, as Kymatio's programs do."""
        return "integral"

    @method.setter
    def method(self, value: str) -> None:
        one_of(_CALLER, "method", value, ("integral",))

    @property
    def rotation_covariant(self) -> bool:
        """Whether norms are over all orders."""
        return self._plan.all_orders

    @property
    def integral_powers(self) -> tuple[float, ...]:
        """The powers that are integrated; can be assigned."""
        return self._plan.powers

    @integral_powers.setter
    def integral_powers(self, value: Sequence[float]) -> None:
        self._change(powers=powers_of(_CALLER, value))

    @property
    def order_0(self) -> bool:
        """Whether the density itself is integrated, too."""
        return self._plan.order_0

    @property
    def fold(self) -> bool:
        """Whether planes are kept at fewer voxels."""
        return self._plan.fold

    @property
    def output_shape(self) -> tuple[int, ...]:
        """``(paths, L + 1, powers)``; with ``order_0`` ``(1 + paths (L + 1), powers)``."""
        return self._plan.output

    def meta(self) -> dict[str, Any]:
        """Where the coefficients come from.

        Returns: by path, or with ``order_0`` by row of the output: ``"order" [C]``; ``"j" [C,
            max_order]``, NaN where there is none; ``"key"``, the paths ``(j1, …)``, with
            ``order_0`` and the degree ``(j1, …, l)``; with ``order_0`` ``"l" [C]``, too.
        """
        return self._plan.meta()

    # --- what it does ---

    def forward(self, x: Tensor) -> Tensor:
        """Integrals ``[..., *output_shape]`` of densities ``x [..., M, N, O]``.

        Integers and half precision are computed in float32, float64 by a module in ``.double()``.
        """
        if isinstance(x, Proxy):
            return self._leaf(x)
        packed = Packed(*(getattr(self, f"_{name}") for name in Packed._fields))
        x = self._checked(x, packed.phi)
        S = self._scattered(x, packed, self._program.text)
        if self.fold:
            S = S * self._voxels
        return S.unflatten(-1, self.output_shape)

    def scattering(self, x: Tensor) -> Tensor:
        """The same as calling the module (Kymatio's name)."""
        found: Tensor = self(x)
        return found

    def save_plan(self, path: str | os.PathLike[str], dtype: torch.dtype | None = None) -> int:
        """Write the problem and its filters to a plan file, as :meth:`Scattering2D.save_plan`; its
        coefficients are in one row, in the order of ``output_shape``.

        Returns: the number of bytes written.
        Raises: ValueError: ``fold``: the program's sums are then over fewer voxels.
        """
        from ..program import planfile  # and what writes files safely, which few need

        if self.fold:
            raise ValueError("save_plan: fold must be False")
        wanted = self._phi.dtype if dtype is None else dtype
        if wanted not in (torch.float32, torch.float64):
            raise TypeError(
                f"save_plan: dtype must be torch.float32, torch.float64 or None; got {dtype!r}"
            )
        return planfile.write(path, self._program.text, self._packed(wanted))

    def extra_repr(self) -> str:
        return (
            f"J={self.J}, shape={self.shape}, L={self.L}, sigma_0={self.sigma_0:g}, "
            f"max_order={self.max_order}, rotation_covariant={self.rotation_covariant}, "
            f"integral_powers={self.integral_powers}, order_0={self.order_0}, fold={self.fold}, "
            f"backend={self.backend!r}"
        )

    # --- how ---

    _phi: Tensor
    _voxels: Tensor  # that a kept one stands for, by coefficient

    def _why_not(self, x: Tensor) -> str:
        return (
            "" if x.ndim >= 3 else ": it should have at least three dimensions"
        )  # Kymatio's words

    def _packed(self, dtype: torch.dtype) -> Packed:
        laid = self._plan, self._program, self._sets
        return tensors(pack_densities(*laid, self.sigma_0, numpy_dtype(dtype)))

    def _make(self, dtype: torch.dtype) -> dict[str, Tensor]:
        made = {f"_{name}": t for name, t in self._packed(dtype)._asdict().items()}
        if self.fold:
            made["_voxels"] = torch.from_numpy(self._plan.each).to(dtype)
        made["_phi"] = made.pop("_phi")  # what is looked at last tells the dtype
        return made
