"""How far apart sounds are to a scattering transform: a loss that gradients go through."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..arguments import ArgumentError, integer, positive
from ..program.images import Path
from ..transforms.scattering1d import Scattering1D
from ..transforms.timefrequency import TimeFrequencyScattering

_CALLER = "ScatteringDistance"


class ScatteringDistance(nn.Module):
    """The mean over a batch of the squared distance ``||f(S x) - f(S y)||^2`` of signals.

    Of all paths of ``S``, or of some random ones in every call, times the share of the paths that
    they are: the mean over the draws is the distance of all of them, each call costs a part. So
    stochastic gradients fit a synthesiser to sounds (SCRAPL).

    Args:
        transform: ``S``, a :class:`~scatcuda.Scattering1D` or
            :class:`~scatcuda.TimeFrequencyScattering` whose coefficients are averaged.
        paths: how many random ones in every call; None: all.
        compression: ``f(s) = sign(s) log(1 + |s| / compression)``, which lets quiet paths count;
            None: ``f`` is the identity.
        seed: of the draws.
    Raises: TypeError, ValueError: an argument is of the wrong type or out of range; in a call, the
        signals are not those of the transform.
    Source: J. Muradeli et al., "Differentiable time-frequency scattering on GPU", DAFx 2022;
        C. Vahidi et al., "Mesostructures: beyond spectrogram loss in differentiable time-frequency
        analysis", JAES 2023.
    Example:
        >>> from scatcuda import TimeFrequencyScattering
        >>> distance = ScatteringDistance(TimeFrequencyScattering(J=6, J_fr=3, Q=8, shape=4096))
        >>> x, y = torch.randn(4, 4096, requires_grad=True), torch.randn(4, 4096)
        >>> distance(x, y).backward()
        >>> x.grad.shape, float(distance(y, y))
        (torch.Size([4, 4096]), 0.0)
    """

    def __init__(
        self,
        transform: Scattering1D[Any] | TimeFrequencyScattering[Any],
        *,
        paths: int | None = None,
        compression: float | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not isinstance(transform, Scattering1D | TimeFrequencyScattering):
            raise TypeError(
                f"{_CALLER}: transform must be a Scattering1D or a TimeFrequencyScattering; got "
                f"{type(transform).__name__}"
            )
        if not transform.average:
            raise ArgumentError(f"{_CALLER}: transform must average its coefficients; got T = 0")
        if isinstance(transform, Scattering1D) and transform.learned is not None:
            raise ArgumentError(f"{_CALLER}: transform must have fixed filters")
        self.transform: Scattering1D[Any] | TimeFrequencyScattering[Any] = transform.of_paths(
            _every(transform)
        )
        self.transform.out_type = "array"
        if isinstance(self.transform, TimeFrequencyScattering):
            self.transform.format = "time"
        self._every = _every(self.transform)
        self.paths: int | None = None
        if paths is not None:
            self.paths = integer(_CALLER, "paths", paths, 1, len(self._every))
        self.compression: float | None = None
        if compression is not None:
            self.compression = positive(_CALLER, "compression", compression)
        self._draws = torch.Generator().manual_seed(
            integer(_CALLER, "seed", seed, 0, (1 << 63) - 1)
        )
        self._alone = nn.ModuleDict()
        #: The paths of the last call; None before the first.
        self.drawn: list[Path] | None = None

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """The distance of signals ``x`` and ``y``, both ``[..., N]``: a single number.

        Of what requires no gradient none is kept.
        """
        if not isinstance(x, Tensor) or not isinstance(y, Tensor):
            kinds = f"{type(x).__name__} and {type(y).__name__}"
            raise TypeError(f"{_CALLER}: x and y must be tensors; got {kinds}")
        if x.shape != y.shape or not x.numel():
            raise ArgumentError(
                f"{_CALLER}: x and y must have one shape, and not be empty; got {tuple(x.shape)} "
                f"and {tuple(y.shape)}"
            )
        before = self._draws.get_state()
        drawn = self._draw()
        signals = x[..., 0].numel()
        try:
            total = sum(
                (self._compressed(S(x)) - self._compressed(S(y))).square().sum()
                for S in ([self.transform] if self.paths is None else map(self._of, drawn))
            )
        except Exception:  # what is refused draws nothing
            self._draws.set_state(before)
            raise
        self.drawn = drawn
        return torch.as_tensor(total) * (len(self._every) / len(drawn) / signals)

    def _draw(self) -> list[Path]:
        if self.paths is None:
            return list(self._every)
        order = torch.randperm(len(self._every), generator=self._draws)
        return [self._every[i] for i in order[: self.paths]]

    def _of(self, path: Path) -> Any:
        """The transform of one path, which is kept."""
        name = "_".join(map(str, ("path", *path)))
        if name not in self._alone:
            self._alone[name] = self.transform.of_paths([path])
        return self._alone[name]

    def _compressed(self, S: Tensor) -> Tensor:
        if self.compression is None:
            return S
        # by halves: at 0, of which both are, the slope is 1 / c
        up, down = (torch.log1p(side.clamp(min=0) / self.compression) for side in (S, -S))
        return torch.where(S < 0, -down, up)

    def extra_repr(self) -> str:
        return f"paths={self.paths}, compression={self.compression}"


def _every(transform: Any) -> list[Path]:
    joint = isinstance(transform, TimeFrequencyScattering)
    found: list[Path] = (transform.joint_meta() if joint else transform.meta())["key"]
    return found
