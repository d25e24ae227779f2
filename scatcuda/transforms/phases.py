"""Wavelet phase harmonics of images as a PyTorch module."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.fx import Proxy

from ..arguments import InputError, integer, one_of, told
from ..banks.oriented import pack_fields, wavelets_of
from ..ops.products import fftn, polar
from ..ops.reference import modulus
from ..program.covariance import least_power
from ..program.fields import checked_phases
from ..program.packing import cropped, filters_of, numpy_dtype, tensors
from ..program.phases import CLASSES, PhasePlan
from ..typing import Backend, BackendObject, Tier, Waves
from .statistics import FieldStatistics, leads

_CALLER = "WaveletPhaseHarmonics"


class Normalisation(NamedTuple):
    """Means and deviations of a field's planes, by which others' moments are divided: of ``|W x|``
    ``[..., J, L]``, and of ``[W x]^p`` ``[..., J, L, J]`` for ``p = 2^i``, 0 for i
    beyond the scale.
    """

    means: Tensor
    of_moduli: Tensor
    of_phases: Tensor


class WaveletPhaseHarmonics(FieldStatistics):
    """Covariances of wavelet coefficients of real periodic images whose phases are multiplied, so
    that those of different scales interfere: what tells filaments from the noise of their spectrum.

    ``C(tau) = <([W_1 x]^p1 (u + tau) - m_1) conj ([W_2 x]^p2 (u) - m_2)>`` with ``W_i x = x *
    psi_i``, ``[z]^p = |z| e^{i p arg z}`` and the means ``m``, in classes: ``"S11"``, one wavelet,
    powers 1 and 1; ``"S00"``, its modulus; ``"S01"``, both; ``"C01"``, the modulus of one and
    another of a larger scale; ``"Cphase"``, powers 1 and ``2^(j2 - j1)`` of two scales.

    Args:
        shape: ``(M, N)``, at least 16 each.
        J: number of scales.
        L: number of angles in [0, pi), even. Angle ``t`` is ``t pi / L`` from the last axis to the
            first.
        classes: those that are wanted.
        dn: radii of shifts beside 0.
        A: directions of shifts in half a turn: S11 and S00 have these, C01 where both angles are
            the same, and Cphase, those of a whole turn.
        dj, dl: C01 and Cphase have scales at most ``dj`` apart, default all; C01 angles from
            ``-dl`` to ``dl - 1`` steps apart, default a quarter turn.
        shifts: ``"exp"``, ``2^n`` pixels at the n-th radius; ``"legacy"``, ``3 n 2^j``.
        filters: ``"bump"``, the bump-steerable wavelets, or another of
            :class:`~scatcuda.ScatteringCovariance`.
        normalise: None; ``"auto"``: over the deviations of both sides, with the means and the
            deviations of a reference; ``"auto_std_only"``: with its deviations alone.
        oversampling, backend, tier, workspace: as for :class:`~scatcuda.ScatteringCovariance`.
    Raises:
        TypeError, ValueError: an argument is of the wrong type or out of range; in a call, the
            input is no real tensor of the right size and device.
    Source: S. Mallat, S. Zhang and G. Rochette, 2019; E. Allys et al., "New interpretable
        statistics for large-scale structure analysis and generation", PRD 2020; B.
        Regaldo-Saint Blancard et al., 2021, whose package pywph has these names and this order.
    Example:
        >>> wph = WaveletPhaseHarmonics((32, 32), J=3, L=4, dn=1)
        >>> wph(torch.randn(2, 32, 32)).shape, wph(torch.randn(32, 32)).dtype
        (torch.Size([2, 320]), torch.complex64)
    """

    def __init__(
        self,
        shape: Sequence[int],
        J: int,
        L: int = 8,
        *,
        classes: Sequence[str] = CLASSES,
        dn: int = 2,
        A: int = 4,
        dj: int | None = None,
        dl: int | None = None,
        shifts: Literal["exp", "legacy"] = "exp",
        filters: Waves = "bump",
        normalise: Literal["auto", "auto_std_only"] | None = None,
        oversampling: int = 0,
        backend: Backend | BackendObject = "native",
        tier: Tier = "auto",
        workspace: int | None = None,
    ) -> None:
        super().__init__()
        self._plan: PhasePlan = checked_phases(
            _CALLER, shape, J, L, classes, dn, A, dj, dl, shifts, filters, oversampling
        )
        self._filters: Waves = filters
        if normalise is not None:
            one_of(_CALLER, "normalise", normalise, ("auto", "auto_std_only"))
        self._normalise = normalise
        program, self._places, self._conjugated = self._plan.laid_out
        self._program = program.text
        self.input_shape: tuple[int, ...] = self._plan.shape
        self._use(backend, tier, workspace)
        self._start()

    _caller = _CALLER

    # --- what it is ---

    @property
    def J(self) -> int:
        """Number of scales."""
        return self._plan.J

    @property
    def normalise(self) -> str | None:
        """How moments are normalised."""
        return self._normalise

    @property
    def output_shape(self) -> tuple[int]:
        """``(K,)``, the moments of an image."""
        return (len(self._places),)

    def wavelets(self, j: int) -> Tensor:
        """Those of scale ``j``, ``[L, M, N]``, real and in Fourier, float64."""
        j = integer(_CALLER, "j", j, 0, self.J - 1)
        return torch.from_numpy(wavelets_of(self._plan, self._filters, j))

    def grid(self, j: int) -> tuple[int, ...]:
        """Sides of the planes whose finest scale is ``j``."""
        return self._plan.grid(integer(_CALLER, "j", j, 0, self.J - 1))

    def meta(self) -> dict[str, NDArray[np.int64] | list[str]]:
        """What each of the ``K`` moments is.

        Returns: ``"class"``, names; and int64 ``"j1"``, ``"theta1"``, ``"p1"``, ``"j2"``,
            ``"theta2"``, ``"p2"``; ``"n"`` and ``"alpha"``, radius and direction of the shift;
            ``"tau" [K, 2]``, the shift in pixels.
        """
        return self._plan.meta()

    # --- what it does ---

    def forward(self, x: Tensor, reference: Normalisation | None = None) -> Tensor:
        """The moments of the images ``x [..., M, N]``.

        Args:
            reference: what normalises, see :meth:`normalisation`; None: the images' own, which
                has no gradient.
        Returns: complex ``[..., K]``, as :meth:`meta` lists them.
        """
        if isinstance(x, Proxy):
            return self._leaf(x, reference=reference)
        x = self._checked(x, self._phi)
        S = self._scattered(x, self._packed, self._program)
        found = torch.complex(
            S.index_select(-1, self._real), S.index_select(-1, self._real + 1) * self._sign
        )
        divisor = None
        if self._normalise is not None:
            reference = self.normalisation(x) if reference is None else reference
            divisor = self._deviations(reference, x).to(S)
        elif reference is not None:
            raise InputError(f"{_CALLER}: where normalise is None there is no reference")
        means = S[..., : self.J * self.L]
        own, other = means.index_select(-1, self._first), means.index_select(-1, self._second)
        if self._normalise == "auto" and reference is not None:
            fixed = reference.means.flatten(-2).to(means)
            a, b = fixed.index_select(-1, self._first), fixed.index_select(-1, self._second)
            product = a * other + own * b - a * b
        else:
            product = own * other
        found = found - self._is_S00 * product
        return found if divisor is None else found / divisor

    def normalisation(self, x: Tensor) -> Normalisation:
        """Means and deviations of the planes of images, that moments of others are normalised by;
        without a gradient.

        Example:
            >>> wph = WaveletPhaseHarmonics((32, 32), J=2, L=4, normalise="auto")
            >>> x = torch.randn(32, 32)
            >>> in_units = wph(torch.randn(32, 32), wph.normalisation(x))
            >>> meta, moments = wph.meta(), wph(x)
            >>> [round(float(moments[k].real), 3) for k in (0, 1)], meta["class"][0]
            ([1.0, ...], 'S11')
        """
        x, plan = self._checked(x, self._phi), self._plan
        if x.numel() == 0:  # not every FFT takes an empty batch
            one = self.normalisation(x.new_zeros(self.shape))
            return Normalisation(*(v.expand(*x.shape[:-2], *v.shape) for v in one))
        with torch.no_grad():
            x_hat = fftn(x, (-2, -1))
            means, moduli, phases, powers = [], [], [], []
            for j in range(plan.J):
                psi = filters_of(self._packed, plan.laid_out[0], j)
                of_power = []
                for i in range(j + 1):  # [W]^(2^i), on the grid where it is paired, of scale j - i
                    grid = plan.grid(j - i)
                    scale = math.prod(grid) / math.prod(plan.shape)
                    product = cropped(x_hat, grid).unsqueeze(-3) * cropped(psi, grid)
                    W = torch.fft.ifftn(product, dim=(-2, -1)) * scale
                    size = modulus(W)
                    if i == 0:
                        means.append(size.mean((-2, -1)))
                        moduli.append(size.var((-2, -1), correction=0).sqrt())
                        powers.append(size.square().mean((-2, -1)))
                    V = polar(size, W.angle() * 2**i) if i else W
                    centre = V.mean((-2, -1)).abs().square()
                    of_power.append((size.square().mean((-2, -1)) - centre).clamp_min(0).sqrt())
                found_j = torch.stack(of_power, -1)
                phases.append(torch.nn.functional.pad(found_j, (0, plan.J - j - 1)))
            largest = torch.stack(powers, -2).amax((-2, -1))
            least = least_power(numpy_dtype(x.dtype), largest, x.mean((-2, -1))).sqrt()
            of_moduli, of_phases = torch.stack(moduli, -2), torch.stack(phases, -3)
            return Normalisation(
                torch.stack(means, -2),
                of_moduli.masked_fill(of_moduli <= least[..., None, None], 0.0),
                of_phases.masked_fill(of_phases <= least[..., None, None, None], 0.0),
            )

    def _deviations(self, reference: Normalisation, x: Tensor) -> Tensor:
        shape, lead = (self.J, self.L), x.shape[:-2]
        if not isinstance(reference, Normalisation) or not all(
            isinstance(field, Tensor)
            and field.shape[field.ndim - len(sides) :] == sides
            and leads(field.shape[: field.ndim - len(sides)], lead)
            for field, sides in zip(reference, (shape, shape, (*shape, self.J)), strict=True)
        ):
            raise InputError(
                f"{_CALLER}: reference must be what normalisation() of a module of the same J and "
                f"L gives, of one image or of as many as x has, {tuple(lead)}; got "
                f"{told(reference)}"
            )
        moduli, phases = reference.of_moduli.flatten(-2), reference.of_phases.flatten(-3)
        both = torch.cat([moduli, phases], -1)
        both = torch.where(both > 0, both, 1.0)
        return both.index_select(-1, self._deviation_1) * both.index_select(-1, self._deviation_2)

    def extra_repr(self) -> str:
        p = self._plan
        return (
            f"shape={self.shape}, J={p.J}, L={p.L}, classes={p.classes}, dn={p.dn}, A={p.A}, "
            f"dj={p.dj}, dl={p.dl}, shifts={p.grid_of_shifts!r}, filters={self.filters!r}, "
            f"normalise={self.normalise!r}, oversampling={p.oversampling}, "
            f"backend={self.backend!r}, tier={self._tier!r}, workspace={self._workspace}"
        )

    # --- how ---

    _real: Tensor  # of each moment its channel; of which means it is to be freed, by which
    _sign: Tensor  # deviations it is divided
    _first: Tensor
    _second: Tensor
    _is_S00: Tensor
    _deviation_1: Tensor
    _deviation_2: Tensor

    def _make(self, dtype: torch.dtype) -> dict[str, Tensor]:
        plan, L = self._plan, self.L

        def deviation(j: int, theta: int, p: int) -> int:
            if p == 0:
                return j * L + theta
            return plan.J * L + (j * L + theta) * plan.J + p.bit_length() - 1

        packed = tensors(pack_fields(plan, self._filters, numpy_dtype(dtype)))
        moments = plan.moments
        integers = {
            "_real": self._places,
            "_first": [m.j1 * L + m.theta1 for m in moments],
            "_second": [m.j2 * L + m.theta2 for m in moments],
            "_deviation_1": [deviation(m.j1, m.theta1, m.p1) for m in moments],
            "_deviation_2": [deviation(m.j2, m.theta2, m.p2) for m in moments],
        }
        made = {
            name: torch.tensor(v, dtype=torch.int64, device="cpu") for name, v in integers.items()
        }
        sign = [1 - 2 * conjugated for conjugated in self._conjugated]
        made["_sign"] = torch.tensor(sign, dtype=dtype, device="cpu")
        made["_is_S00"] = torch.tensor(
            [m.kind == "S00" for m in moments], dtype=dtype, device="cpu"
        )
        return {**made, **self._constants_of(packed)}
