"""Filters of images that are learned, in two ways: all their values, or four numbers of each
wavelet; those of signals are in :mod:`scatcuda.banks.learned_signals`.

``LearnedFilters`` is what all share: it gives the operators a bank (``packed``) that follows the
parameters. While gradients may reach them the bank is made anew in every call, by differentiable
operations that keep every frequency and every tap: no value is read, so nothing waits for a GPU
and a graph compiler sees one graph. Otherwise, under ``no_grad`` or once frozen, it is packed as
that of a fixed module, without what is negligible, and kept until a value changes.

Letters: ``J`` scales, ``L`` angles, ``Mp Np`` padded sides. Everything here is plain PyTorch; the
native twins are the operators' gradients for ``psi`` and ``phi``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ..ops import autograd
from ..ops.constants import beside, computed_in, constants, has_values
from ..program.packing import Packed
from ..program.plan import Plan
from ..typing import BankName, Trainable
from .bank import FilterBank, both_halves, wavelet_energy
from .boxes import strips
from .lowpass import separable_factors
from .morlet import KYMATIO_PI, MAX_GAIN, Recipe, recipe
from .packing import Scales, banded, pack, pack_phi, pack_psi, whole_support

# A wavelet is summed where its first envelope exceeds exp(-72): at twice the width the edge is
# still below float32's rounding.
_REACH = 12


class LearnedFilters(nn.Module):
    """Filters that follow their parameters; the transforms make them."""

    def __init__(self, plan: Any, start: BankName | FilterBank) -> None:
        super().__init__()
        self._plan, self._start = plan, start
        self._frozen = False
        self._wanted: list[bool] = []  # which gradients were wanted, while it is frozen
        self._fixed: tuple[Packed, ...] | None = None  # the bank, while it is frozen
        # parameters and their bank
        self._recent: tuple[list[Tensor], tuple[Packed, ...]] | None = None

    def reset_parameters(self) -> None:
        """Puts the filters back to where they started."""
        raise NotImplementedError

    def forward(self) -> tuple[Packed, ...]:
        """What the operators take, by a call: hooks, such as those of ``torch.nn.utils.prune``,
        make parameters before it."""
        return self.packs()

    def packed(self) -> Packed:
        """The bank as the operators take it."""
        return self.packs()[0]

    def packs(self) -> tuple[Packed, ...]:
        """The same of each program, where there are several."""
        if self._frozen and self._fixed is not None:
            return tuple(Packed(*map(self._here, packed)) for packed in self._fixed)
        if self._may_be_differentiated():
            return self._whole()
        return self._kept()

    @property
    def frozen(self) -> bool:
        """Whether the filters are fixed as they are."""
        return self._frozen

    def share(self, other: LearnedFilters) -> None:
        """Takes the parameters of another of its kind for its own, and whether it is frozen."""
        for name in self._names:
            setattr(self, name, getattr(other, name))
        self._frozen = other._frozen
        self._follow()

    def example(self) -> Tensor:
        """A tensor of the dtype and on the device that is computed with."""
        return self._values()[0].detach().to(self._dtype)

    def freeze(self, frozen: bool = True) -> None:
        """Fixes the filters as they are, or learns them again."""
        self._fix(frozen)
        if frozen and not self._frozen:
            self._wanted = [value.requires_grad for value in self._values()]
            self.requires_grad_(False)
        elif self._frozen and not frozen:
            for value, wants in zip(self._values(), self._wanted, strict=True):
                value.requires_grad_(wants)
        self._frozen = frozen

    # --- for those who write a kind of filters ---

    def _start_with(self, **shapes: tuple[int, ...]) -> None:
        with torch.inference_mode(False):
            for name, shape in shapes.items():
                empty = torch.empty(shape, dtype=torch.float32, device=torch.get_default_device())
                self.register_parameter(name, nn.Parameter(empty))
            self.reset_parameters()
        self._follow()

    def _by_scale(self) -> Scales:
        """The filters as they are now, float64 on the CPU, made scale by scale."""
        raise NotImplementedError

    def _set_constants(self) -> None:
        """Takes as attributes the tensors that only depend on dtype and device."""
        raise NotImplementedError

    def _whole(self) -> tuple[Packed, ...]:
        """The bank with everything kept, differentiable."""
        raise NotImplementedError

    def packed_in(self, dtype: torch.dtype) -> tuple[Packed, ...]:
        """The bank without what is negligible, on the CPU."""
        with torch.no_grad(), told("Scattering2D"):
            return (pack(self._by_scale(), self._plan, dtype),)

    def _here(self, constant: Tensor) -> Tensor:
        """Beside the parameters: a replica of DataParallel has them on another device."""
        first = self._values()[0]
        return constant if constant.device == first.device else beside(constant, first)

    def _values(self) -> list[Tensor]:
        # a replica of DataParallel has the attributes but no parameters
        return [getattr(self, name) for name in self._names]

    _names: tuple[str, ...] = ()

    @property
    def _dtype(self) -> torch.dtype:
        """In which is computed: float32 for parameters in half precision."""
        return computed_in(self._values()[0])

    # --- a bank that is kept ---

    def _may_be_differentiated(self) -> bool:
        if torch.compiler.is_compiling() or torch.jit.is_tracing():
            return True
        values = self._values()
        if torch.is_grad_enabled() and any(value.requires_grad for value in values):
            return True
        if autograd.is_transformed():
            return True
        # no value can be read here
        first = values[0]
        return not has_values(first) or (first.is_cuda and torch.cuda.is_current_stream_capturing())

    def _kept(self) -> tuple[Packed, ...]:
        # Compared by value: writing to ``parameter.data`` does not change ``parameter._version``.
        values, recent = [value.detach() for value in self._values()], self._recent
        if recent is None or not all(map(_same, values, recent[0])):
            with torch.inference_mode(False):  # gradients of images may be wanted later
                recent = [value.clone() for value in values], self._pack()
            self._recent = recent
        return recent[1]

    def _pack(self) -> tuple[Packed, ...]:
        device = self._values()[0].device
        return tuple(
            Packed(*(tensor.to(device) for tensor in packed))
            for packed in self.packed_in(self._dtype)
        )

    def _fix(self, frozen: bool) -> None:
        self._fixed = None
        with torch.inference_mode(False):
            if frozen and has_values(self._values()[0]):
                self._fixed = self._pack()

    # --- the life of a module ---

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> LearnedFilters:
        super()._apply(fn, recurse)
        try:
            self._follow()
        except ValueError:  # to_empty(): there are no values yet
            self._fix(False)
        return self

    def _load_from_state_dict(self, *args: Any) -> None:
        super()._load_from_state_dict(*args)
        self._follow()  # also another dtype or device, where tensors are assigned

    def follow(self, plan: Plan) -> None:
        """The same filters for another order."""
        self._plan = plan
        self._follow()

    def _follow(self) -> None:
        """Everything that is no parameter follows the parameters."""
        self._recent = None
        self._set_constants()
        self._fix(self._frozen)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_recent": None}


class LearnedImages(LearnedFilters):
    """Filters of images, which are one bank."""

    @property
    def bank(self) -> FilterBank:
        """The filters as they are now."""
        return FilterBank(self.psi_now(), self.phi_now())

    def psi_now(self) -> Tensor:
        """The wavelets ``[J, L, Mp, Np]``, differentiable."""
        raise NotImplementedError

    def phi_now(self) -> Tensor:
        """The low-pass ``[Mp, Np]``."""
        raise NotImplementedError


class FreeFilters(LearnedImages):
    """Every value of the bank is a parameter: the wavelets ``psi [J, L, Mp, Np]``, real and in
    Fourier at full resolution, of which lower resolutions are crops; and the two factors of the
    low-pass, ``phi[k, l] = phi_m[|k|] phi_n[|l|]``, by their frequencies from 0: it stays separable
    and its kernel real whatever is learned.
    """

    _names = "psi", "phi_m", "phi_n"
    psi: Tensor  # [J, L, Mp, Np]
    phi_m: Tensor  # [Mp / 2 + 1]
    phi_n: Tensor  # [Np / 2 + 1]

    def __init__(self, plan: Plan, start: BankName | FilterBank) -> None:
        super().__init__(plan, start)
        Mp, Np = plan.padded
        self._start_with(psi=(plan.J, plan.L, Mp, Np), phi_m=(Mp // 2 + 1,), phi_n=(Np // 2 + 1,))

    @torch.no_grad()
    def reset_parameters(self) -> None:
        bank = _bank(self._start, self._plan)
        with told("Scattering2D"), constants():
            phi = torch.as_tensor(bank.phi, device="cpu")
            banded(phi, self._plan, torch.float64)  # a low-pass that is none
            factors = separable_factors(phi)
            halves = [factor[: len(factor) // 2 + 1] for factor in factors]
        for kept, half in zip(self._values()[1:], halves, strict=True):
            kept.copy_(beside(half, kept))
        for j in reversed(range(self._plan.J)):  # as in packing, the finest last
            with constants():
                psi = torch.as_tensor(bank.scale(j), device="cpu")
            self.psi[j].copy_(beside(psi, self.psi))
        self._fix(self._frozen)

    def _by_scale(self) -> Scales:
        psi = self.psi.detach()
        return Scales(self.phi_now().detach().cpu(), lambda j: psi[j].to("cpu", torch.float64))

    def psi_now(self) -> Tensor:
        return self.psi

    def phi_now(self) -> Tensor:
        return torch.outer(*self._factors())

    def _factors(self) -> tuple[Tensor, Tensor]:  # [Mp], [Np], even
        halves = self.phi_m.double(), self.phi_n.double()
        phi_m, phi_n = (torch.cat([half, half[1:-1].flip(0)]) for half in halves)
        return phi_m, phi_n

    def _set_constants(self) -> None:
        with constants():
            tables = whole_support(self._plan)
        self._boxes, self._bands = (beside(table, self._values()[0]) for table in tables)

    def _whole(self) -> tuple[Packed, ...]:
        psi = pack_psi(self.psi.to(self._dtype), self._plan)
        phi = pack_phi(self._factors(), self._plan).to(self._dtype)
        return (Packed(psi, self._here(self._boxes), phi, self._here(self._bands)),)


class MorletWavelets(LearnedImages):
    """Four numbers of each Morlet wavelet are learned: the frequency ``xi`` and the orientation
    ``theta`` of its wave, the width ``sigma`` and the ``slant`` of its envelope. The low-pass is
    not.

    The parameters ``d_xi, d_theta, d_sigma, d_slant [J, L]`` say by how much each differs from the
    bank's that it started with,

        xi = xi_0 exp(d_xi),  theta = theta_0 + d_theta,
        sigma = sigma_0 exp(d_sigma),  slant = slant_0 exp(d_slant):

    0 at the start, exactly so in any dtype; no step makes a width negative; a step of 0.1 means
    ten per cent at every scale; and weight decay pulls towards the bank one knows. They do not
    depend on the size of the images. Envelopes are summed out to 12 times their first standard
    deviation, so that wavelets may become twice as wide before float32 sees an edge.

    Source: S. Gauthier et al., "Parametric scattering networks", CVPR 2022.
    """

    _names = "d_xi", "d_theta", "d_sigma", "d_slant"
    d_xi: Tensor  # [J, L] each
    d_theta: Tensor
    d_sigma: Tensor
    d_slant: Tensor

    def __init__(self, plan: Plan, start: BankName | FilterBank) -> None:
        super().__init__(plan, start)
        if not isinstance(start, str):
            raise ValueError(
                "Scattering2D: filters must be 'morlet' or 'tight' for trainable='wavelets'; got a "
                "FilterBank, whose wavelets have no such parameters (use trainable='filters')"
            )
        with constants():
            self._lowpass = torch.as_tensor(_bank(start, plan).phi, device="cpu")
        self._start_with(**dict.fromkeys(self._names, (plan.J, plan.L)))

    @torch.no_grad()
    def reset_parameters(self) -> None:
        for value in self._values():
            value.zero_()
        self._fix(self._frozen)

    @property
    def xi(self) -> Tensor:
        """Frequencies ``[J, L]`` in radians a pixel, float64, differentiable."""
        return 0.75 * math.pi / self._scales() * self.d_xi.double().exp()

    @property
    def theta(self) -> Tensor:
        """Orientations ``[J, L]`` in radians, from the first axis to the second."""
        L = self._plan.L
        angle = torch.arange(L, dtype=torch.float64, device=self.d_theta.device)
        return (int(L - L / 2 - 1) - angle) * (math.pi / L) + self.d_theta.double()

    @property
    def sigma(self) -> Tensor:
        """Widths ``[J, L]`` in pixels, along the wave."""
        return 0.8 * self._scales() * self.d_sigma.double().exp()

    @property
    def slant(self) -> Tensor:
        """Widths along the wave over those across it, ``[J, L]``."""
        return 4 / self._plan.L * self.d_slant.double().exp()

    def psi_now(self) -> Tensor:
        every = slice(None)
        psi = torch.stack([self._wavelets(j, every) for j in range(self._plan.J)])
        if self._start == "tight":
            psi = psi * self._gain(wavelet_energy(psi))
        return psi

    def _wavelets(self, j: int, angles: slice) -> Tensor:  # [angles, Mp, Np]
        xi, theta, sigma, slant = (
            number[j, angles] for number in (self.xi, self.theta, self.sigma, self.slant)
        )
        reach = math.ceil(_REACH * 0.8 * 2**j * max(1, self._plan.L / 4))
        return morlet(self._plan.padded, xi, theta, sigma, slant, reach)

    def _gain(self, energy: Tensor) -> Tensor:
        return tight_gain(energy, self._here(self._lowpass_there), MAX_GAIN)

    def _by_scale(self) -> Scales:
        L, size = self._plan.L, math.prod(self._plan.padded)

        def plain(j: int) -> Tensor:
            psi = self.d_xi.new_empty((L, *self._plan.padded), dtype=torch.float64)
            for first, last in strips(L, size):
                psi[first:last] = self._wavelets(j, slice(first, last))
            return psi

        gain: Tensor | None = None
        if self._start == "tight":
            energy = sum(plain(j).square_().sum(0) for j in range(self._plan.J))
            gain = self._gain(both_halves(energy))  # type: ignore[arg-type]

        def scale(j: int) -> Tensor:
            psi = plain(j)
            return (psi if gain is None else psi.mul_(gain)).cpu()

        return Scales(self._lowpass, scale)

    def phi_now(self) -> Tensor:
        return self._lowpass

    def _scales(self) -> Tensor:  # 2^j [J, 1]
        j = torch.arange(self._plan.J, dtype=torch.float64, device=self.d_xi.device)
        return torch.exp2(j)[:, None]

    def _set_constants(self) -> None:
        with constants():
            boxes, _ = whole_support(self._plan)
            tables = boxes, *banded(self._lowpass, self._plan, self._dtype)
        first = self._values()[0]
        self._boxes, self._taps, self._bands = (beside(table, first) for table in tables)
        self._lowpass_there = beside(self._lowpass, first)  # on the device of the parameters

    def _whole(self) -> tuple[Packed, ...]:
        psi = pack_psi(self.psi_now().to(self._dtype), self._plan)
        boxes, taps, bands = map(self._here, (self._boxes, self._taps, self._bands))
        return (Packed(psi, boxes, taps, bands),)


def morlet(
    shape: tuple[int, int], xi: Tensor, theta: Tensor, sigma: Tensor, slant: Tensor, reach: int
) -> Tensor:
    """Morlet wavelets in Fourier, differentiable: ``Re DFT(g (exp(i xi.u) - kappa))``, where ``g``
    is the Gaussian envelope summed over the periods of the grid and ``kappa`` makes the mean zero.

    The DFT is two products with matrices of cosines and sines. They are periodic, so that nothing
    has to be wrapped: ``u`` runs over a window as wide as the envelope, but no further than the
    five periods ``[-2 Mp, 3 Mp)`` of :mod:`scatcuda.banks`.

    Args:
        shape: ``(Mp, Np)``.
        xi, theta, sigma, slant: ``[L]`` float64.
        reach: the window goes this many pixels from its middle.
    Returns: ``[L, Mp, Np]`` float64.
    Example:
        >>> numbers = torch.tensor([[2.0, 0.3, 0.8, 0.5]], dtype=torch.float64).T
        >>> morlet((12, 8), *numbers, reach=20).shape
        torch.Size([1, 12, 8])
    """
    (x, cos_m, sin_m), (y, cos_n, sin_n) = (_waves(size, reach, xi.device) for size in shape)
    # A window that is its own mirror image need only be summed over half of it: the values at u
    # and -u are conjugate. One that the fifth period cuts is not.
    mirrored = reach <= 2 * min(shape)
    if mirrored:
        x, cos_m, sin_m = x[reach:], cos_m[:, reach:], sin_m[:, reach:]
    x = x[:, None]
    cos, sin = theta.cos()[:, None, None], theta.sin()[:, None, None]
    xi, sigma, slant = xi[:, None, None], sigma[:, None, None], slant[:, None, None]
    # The exponent -(along^2 + slant^2 across^2) / (2 sigma^2) as a quadratic form in x and y.
    scale, across = -1 / (2 * sigma**2), slant**2
    xx = (cos**2 + across * sin**2) * scale
    xy = 2 * cos * sin * (1 - across) * scale
    yy = (sin**2 + across * cos**2) * scale
    g = torch.exp(xx * x * x + (xy * x) * y + yy * y * y)  # [L, x, y]
    norm = slant / (2 * KYMATIO_PI * sigma**2)
    g = g * (norm * (1 + x.sign()) if mirrored else norm)
    along_x, along_y = xi * cos * x, xi * sin * y
    real = g * (along_x.cos() * along_y.cos() - along_x.sin() * along_y.sin())
    imag = g * (along_x.sin() * along_y.cos() + along_x.cos() * along_y.sin())
    mass = g.sum((1, 2), keepdim=True)
    real = real - g * (real.sum((1, 2), keepdim=True) / mass)
    if not mirrored:  # else the two halves cancel
        imag = imag - g * (imag.sum((1, 2), keepdim=True) / mass)
    # sum (real + i imag) exp(-i w.u), of which the real part is wanted
    psi = cos_m @ (real @ cos_n.mT + imag @ sin_n.mT) + sin_m @ (imag @ cos_n.mT - real @ sin_n.mT)
    psi[:, 0, 0] = 0  # what kappa is for; the sum leaves rounding
    return psi


def _waves(size: int, reach: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Positions ``u [w]``, and ``cos`` and ``sin`` of ``2 pi k u / size``, ``[size, w]``."""
    u = torch.arange(max(-2 * size, -reach), min(3 * size, reach + 1), device=device)
    k = torch.arange(size, device=device)
    turn = k.double() * (2 * math.pi / size)
    index = torch.outer(k, u).remainder(size)
    return u.double(), turn.cos()[index], turn.sin()[index]


def tight_gain(energy: Tensor, phi: Tensor, limit: float = math.inf) -> Tensor:
    """``sqrt((1 - phi^2) / B)``, ``[Mp, Np]``, but at most ``limit``; ``B`` is the energy."""
    # At frequency 0 both numerator and denominator vanish; elsewhere |phi| < 1 up to rounding.
    missing = (1 - phi**2).clamp(min=0)
    energy = torch.maximum(energy, missing / limit**2)
    # the root of a ratio of 0 would have an infinite derivative
    nothing = missing == 0
    return (
        torch.where(nothing, 1.0, missing) / torch.where(nothing, 1.0, energy)
    ).sqrt() * ~nothing


def _bank(start: BankName | FilterBank, plan: Plan) -> FilterBank | Recipe:
    with constants():
        return recipe(start, plan.padded, plan.J, plan.L)


@contextmanager
def told(caller: str) -> Iterator[None]:
    """Says whose filters are wrong."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{caller}: filters cannot be used: {error}") from error


def _same(a: Tensor, b: Tensor) -> bool:
    return a.dtype == b.dtype and a.device == b.device and torch.equal(a, b)


KINDS: dict[Trainable, type[LearnedImages]] = {"filters": FreeFilters, "wavelets": MorletWavelets}
