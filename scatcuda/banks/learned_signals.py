"""Filters of signals that are learned: all their values in Fourier, or of each wavelet its
frequency and its quality factor.

As those of images (:mod:`scatcuda.banks.learned`): while gradients may reach them, the tables are
made anew in every call, with every bin and every tap; otherwise they are packed as those of a fixed
module and kept. Which samples a plane keeps follows from the wavelets at the start: one that is
learned far beyond its octave aliases.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .. import limits
from ..ops.constants import beside, constants
from ..program.arrays import pack_turned
from ..program.packing import Packed, in_lanes, integers, pack_program, turned
from ..program.signals import Cascade, SignalPlan, gaussian, periods
from ..typing import Trainable
from .learned import LearnedFilters, told
from .signals import Aliases, dense, lowpass_band, morlet_band

_WIDER = 2  # times as wide as at the start a wavelet may become before its periods are too few


class LearnedSignals(LearnedFilters):
    """A bank for :class:`scatcuda.Scattering1D`, which makes it."""

    _plan: SignalPlan

    def __init__(self, plan: SignalPlan, cascades: list[Cascade], aliases: Aliases) -> None:
        super().__init__(plan, "morlet")
        self._cascades, self._aliases = cascades, aliases

    def wavelets(self) -> list[Tensor]:
        """Of each order ``[n, N]``, real and in Fourier, float64, differentiable."""
        raise NotImplementedError

    def lowpass(self) -> Tensor:
        """``[N]`` likewise."""
        raise NotImplementedError

    def _coarse(self, filters: Tensor, res: int) -> Tensor:
        """``[..., N] -> [..., N / 2^res]``: periodic on the grid of a resolution."""
        aliases = filters.unflatten(-1, (1 << res, filters.shape[-1] >> res))
        return aliases.mean(-2) if self._aliases == "mean" else aliases.sum(-2)

    def _tables(self) -> list[tuple[list[Tensor], list[Tensor]]]:
        """Of each program its sets of filters ``[count, side]``, and the first row ``[side]`` of
        each of its matrices. All share one bank, which is made once."""
        psi, phi = self.wavelets(), self.lowpass()
        return [(self._sets(c, psi, phi), self._rows(c, phi)) for c in self._cascades]

    def _sets(self, cascade: Cascade, psi: list[Tensor], phi: Tensor) -> list[Tensor]:
        return [
            self._coarse(phi[None] if order < 0 else psi[order][list(wavelets)], res)
            for order, res, wavelets in cascade.sets
        ]

    def _rows(self, cascade: Cascade, phi: Tensor) -> list[Tensor]:
        plan, rows = self._plan, []
        for res, averages in cascade.matrices:
            side, (first, _) = plan.padded >> res, plan.inside(plan.coarsest)
            if not averages:
                row = torch.zeros(side, dtype=torch.float64, device=phi.device)
                row[plan.inside(res)[0]] = 1
            else:
                h = torch.fft.ifft(self._coarse(phi, res)).real
                at = (first << (plan.coarsest - res)) - torch.arange(side, device=phi.device)
                row = h[at % side]
            rows.append(row)
        return rows

    def packed_in(self, dtype: torch.dtype) -> tuple[Packed, ...]:
        found = []
        with torch.no_grad(), told("Scattering1D"):
            for cascade, (sets, rows) in zip(self._cascades, self._tables(), strict=True):
                here = [table.cpu() for table in sets], [row.cpu() for row in rows]
                found.append(pack_program(cascade.program, *here, dtype))
        return tuple(found)

    def _whole(self) -> tuple[Packed, ...]:
        found = []
        every = zip(self._cascades, self._tables(), self._supports, strict=True)
        for cascade, (sets, rows), (boxes, bands) in every:
            tables = [in_lanes(several / several.shape[-1]) for several in sets]
            psi = torch.cat([self._values()[0].new_empty(0, dtype=torch.float64), *tables])
            matrices = cascade.program.matrices
            taps = [turned(row, m) for row, m in zip(rows, matrices, strict=True)]
            phi = torch.cat([psi.new_empty(0), *taps])
            psi, phi = psi.to(self._dtype), phi.to(self._dtype)
            found.append(Packed(psi, self._here(boxes), phi, self._here(bands)))
        return tuple(found)

    def _taps(self, cascade: Cascade) -> list[Tensor]:
        """Of each matrix a row that is not 0 where the low-pass may come to be something."""
        return [torch.ones(m.inputs, device="cpu") for m in cascade.program.matrices]

    def _set_constants(self) -> None:
        """The supports of tables that keep every bin."""
        like = self._values()[0]
        self._supports: list[tuple[Tensor, Tensor]] = []
        with constants():
            for cascade in self._cascades:
                program, first, boxes = cascade.program, 0, list[int]()
                for several in program.sets:
                    (side,) = several.sides
                    boxes += [first, side, side]
                    first += limits.lanes(several.count) * side
                rows = zip(self._taps(cascade), program.matrices, strict=True)
                bands = [pack_turned(row.numpy(), m, np.float64)[1] for row, m in rows]
                low = np.concatenate([np.zeros((0, 2), np.int64), *bands])
                tables = integers(boxes), torch.from_numpy(low)
                self._supports.append((beside(tables[0], like), beside(tables[1], like)))

    def bank_now(self, order: int) -> np.ndarray:
        """Wavelets ``[n, N]`` as they are, for drawing and for ``psi1_f``."""
        with torch.no_grad():
            found: np.ndarray = self.wavelets()[order].cpu().numpy()
        return found


class FreeSignals(LearnedSignals):
    """Every value is a parameter: of each order ``psi_1``, ``psi_2`` … ``[n, N]``, real and in
    Fourier at full resolution, and of the low-pass ``phi [N / 2 + 1]``, which stays even."""

    phi: Tensor

    def __init__(self, plan: SignalPlan, cascades: list[Cascade], aliases: Aliases) -> None:
        super().__init__(plan, cascades, aliases)
        psi = {f"psi_{k + 1}": (len(bank), plan.padded) for k, bank in enumerate(plan.banks)}
        self._names = (*psi, "phi")
        self._start_with(**psi, phi=(plan.padded // 2 + 1,))

    @torch.no_grad()
    def reset_parameters(self) -> None:
        N = self._plan.padded
        for k, bank in enumerate(self._plan.banks):
            kept: nn.Parameter = getattr(self, f"psi_{k + 1}")
            rows = [torch.from_numpy(dense(morlet_band(N, wavelet), N)) for wavelet in bank]
            kept.copy_(beside(torch.stack(rows), kept))
        phi = torch.from_numpy(lowpass_band(N, self._plan.T).values[: N // 2 + 1].copy())
        self.phi.copy_(beside(phi, self.phi))
        self._fix(self._frozen)

    def wavelets(self) -> list[Tensor]:
        return [getattr(self, f"psi_{k + 1}").double() for k in range(self._plan.max_order)]

    def lowpass(self) -> Tensor:
        half = self.phi.double()
        return torch.cat([half, half[1:-1].flip(0)])


class MorletSignals(LearnedSignals):
    """Of each wavelet its frequency ``xi`` and its quality factor ``q = xi / sigma`` are learned.

    The parameters ``d_xi_1, d_q_1, d_xi_2, …`` ``[n]`` of each order say by how much they differ
    from those at the start,

        xi = xi_0 exp(d_xi),   q = q_0 exp(d_q),   sigma = xi / q:

    0 at the start; a step of 0.1 means ten per cent. They do not depend on the length of signals.
    The low-pass is not learned.
    """

    def __init__(self, plan: SignalPlan, cascades: list[Cascade], aliases: Aliases) -> None:
        super().__init__(plan, cascades, aliases)
        shapes: dict[str, tuple[int, ...]] = {}
        for k, bank in enumerate(plan.banks):
            shapes |= {f"d_xi_{k + 1}": (len(bank),), f"d_q_{k + 1}": (len(bank),)}
        self._names = tuple(shapes)
        self._start_with(**shapes)

    @torch.no_grad()
    def reset_parameters(self) -> None:
        for value in self._values():
            value.zero_()
        self._fix(self._frozen)

    @property
    def xi(self) -> list[Tensor]:
        """Frequencies ``[n]`` of each order in cycles a sample, float64, differentiable."""
        return self._changed("d_xi")

    @property
    def q(self) -> list[Tensor]:
        """Quality factors ``[n]``, likewise."""
        return self._changed("d_q")

    @property
    def sigma(self) -> list[Tensor]:
        """Widths ``[n]`` in cycles a sample, likewise."""
        return [xi / q for xi, q in zip(self.xi, self.q, strict=True)]

    def _changed(self, name: str) -> list[Tensor]:
        changes = [getattr(self, f"{name}_{k + 1}").double().exp() for k in range(len(self._P))]
        return [
            self._here(start) * change
            for start, change in zip(self._starts[name], changes, strict=True)
        ]

    def wavelets(self) -> list[Tensor]:
        N = self._plan.padded
        return [morlet(N, *of) for of in zip(self.xi, self.sigma, self._P, strict=True)]

    def lowpass(self) -> Tensor:
        return self._here(self._phi)

    def _taps(self, cascade: Cascade) -> list[Tensor]:
        return self._rows(cascade, self._low)

    def _set_constants(self) -> None:
        plan, like = self._plan, self._values()[0]
        self._P = [max(periods(_WIDER * w.sigma) for w in bank) for bank in plan.banks]
        with constants():
            phi = torch.from_numpy(gaussian(plan.padded, 0.1 / plan.T))
            xi, q = (
                [
                    torch.tensor([*map(of, bank)], dtype=torch.float64, device="cpu")
                    for bank in plan.banks
                ]
                for of in (lambda w: w.xi, lambda w: w.xi / w.sigma)
            )
        self._low = phi
        self._phi = beside(phi, like)
        self._starts = {
            name: [beside(some, like) for some in starts]
            for name, starts in (("d_xi", xi), ("d_q", q))
        }
        super()._set_constants()


def morlet(N: int, xi: Tensor, sigma: Tensor, P: int) -> Tensor:
    """Morlet wavelets in Fourier, differentiable: as ``scatcuda.banks.signals.morlet_band``,
    summed over the periods from ``1 - P`` to ``P - 1``.

    Args:
        xi, sigma: ``[n]`` float64, cycles a sample.
    Returns: ``[n, N]`` float64, each over the sum of its modulus in time.
    Example:
        >>> psi = morlet(64, torch.tensor([0.3]).double(), torch.tensor([0.05]).double(), P=3)
        >>> psi.shape, int(psi.argmax()), float(torch.fft.ifft(psi).abs().sum().round(decimals=9))
        (torch.Size([1, 64]), 19, 1.0)
    """
    w = torch.arange((1 - P) * N, P * N, device=xi.device, dtype=torch.float64) / N

    def bells(centre: Tensor | float) -> Tensor:
        exponent = (w - centre) ** 2 / (-2 * sigma[:, None] ** 2)
        return exponent.exp().unflatten(1, (2 * P - 1, N)).mean(1)

    band, base = bells(xi[:, None]), bells(0.0)
    psi = band - base * (band[:, :1] / base[:, :1])
    return psi / torch.fft.ifft(psi).abs().sum(1, keepdim=True)


SIGNAL_KINDS: dict[Trainable, Any] = {"filters": FreeSignals, "wavelets": MorletSignals}
