"""Filter banks: wavelets ``psi`` and a low-pass ``phi``, real and in Fourier.

Banks are built once, on the CPU, in float64, and reach the engines and the reference as plain
tensors. Dimension letters: ``J`` scales, ``L`` angles, ``Mp Np`` padded rows and columns.
Frequencies are in FFT order. Source: S. Mallat, "Group invariant scattering", CPAM 2012.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..arguments import divisible, finite


@dataclass(frozen=True, eq=False)
class FilterBank:
    """Real Fourier-domain filters at full resolution, in FFT order; possibly of your own making.

    The arguments are copied to float64 CPU tensors, without their gradient history.

    Args:
        psi: wavelets, ``[J, L, Mp, Np]``, tensor or NumPy array of any real floating dtype.
        phi: low-pass, ``[Mp, Np]``, likewise; ``2**J`` must divide ``Mp`` and ``Np``.
    Raises:
        TypeError: an argument is no tensor or array, or not real floating.
        ValueError: shapes do not match, ``2**J`` does not divide them, a value is not finite.
    Example:
        >>> bank = FilterBank(psi=torch.rand(2, 8, 32, 24), phi=torch.rand(32, 24))
        >>> bank.J, bank.L, bank.shape, bank.psi.dtype
        (2, 8, (32, 24), torch.float64)
    """

    psi: Tensor  # [J, L, Mp, Np]
    phi: Tensor  # [Mp, Np]

    if TYPE_CHECKING:

        def __init__(self, psi: Tensor | NDArray[Any], phi: Tensor | NDArray[Any]) -> None: ...

    def __post_init__(self) -> None:
        psi = _to_float64("psi", self.psi, "[J, L, Mp, Np]", 4)
        phi = _to_float64("phi", self.phi, "[Mp, Np]", 2)
        if psi.shape[2:] != phi.shape:
            raise ValueError(
                "FilterBank: psi [J, L, Mp, Np] and phi [Mp, Np] must share Mp and Np; "
                f"got {list(psi.shape)} and {list(phi.shape)}"
            )
        divisible("FilterBank", "psi and phi", phi.shape, psi.shape[0])
        object.__setattr__(self, "psi", psi)
        object.__setattr__(self, "phi", phi)

    @classmethod
    def of(cls, psi: NDArray[np.float64], phi: NDArray[np.float64]) -> FilterBank:
        """The bank of arrays that are fine and nobody else's: they are not copied."""
        bank = object.__new__(cls)
        object.__setattr__(bank, "psi", torch.from_numpy(psi))
        object.__setattr__(bank, "phi", torch.from_numpy(phi))
        return bank

    def scale(self, j: int) -> Tensor:
        """The wavelets of scale ``j``, ``[L, Mp, Np]``."""
        return self.psi[j]

    @property
    def J(self) -> int:
        """Number of scales."""
        return self.psi.shape[0]

    @property
    def L(self) -> int:
        """Number of angles."""
        return self.psi.shape[1]

    @property
    def shape(self) -> tuple[int, int]:
        """Padded spatial shape ``(Mp, Np)``."""
        return self.phi.shape[0], self.phi.shape[1]


def littlewood_paley(bank: FilterBank) -> Tensor:
    """Energy that the filters keep at each frequency, for real images.

    ``A(w) = |phi(w)|^2 + 1/2 sum_{j, theta} (|psi(w)|^2 + |psi(-w)|^2)``

    Args:
        bank: any :class:`FilterBank`.
    Returns: ``A``, ``[Mp, Np]``, float64, in FFT order.
    Source: S. Mallat, CPAM 2012, equation (2.3).
    Example:
        >>> from scatcuda.banks import morlet_bank
        >>> littlewood_paley(morlet_bank((40, 40), J=2)).shape
        torch.Size([40, 40])
    """
    return bank.phi**2 + wavelet_energy(bank.psi)


def frame_bounds(bank: FilterBank) -> tuple[float, float]:
    """Smallest and largest value of :func:`littlewood_paley`: ``A |x|^2 <= |Wx|^2 <= B |x|^2``.

    Args:
        bank: any :class:`FilterBank`.
    Returns: The lower and the upper bound; both are 1 for a tight frame.
    Example:
        >>> from scatcuda.banks import morlet_bank
        >>> [round(b, 2) for b in frame_bounds(morlet_bank((40, 40), J=2))]
        [0.12, 1.0]
    """
    energy = littlewood_paley(bank)
    return float(energy.min()), float(energy.max())


def support(psi: Tensor, tol: float) -> Tensor:
    """Bins of each filter worth keeping: ``|psi| > tol max|psi|``.

    Args:
        psi: filters in Fourier, ``[..., Mp, Np]``; the maximum is that of each plane.
        tol: ``0 <= tol < 1``; 0 keeps the non-zero bins.
    Returns: Mask, bool, of the shape of ``psi``.
    Raises: ValueError: ``tol`` is out of range or ``psi`` has fewer than two dimensions.
    Example:
        >>> from scatcuda.banks import morlet_bank
        >>> mask = support(morlet_bank((128, 128), J=3).psi, 1e-6)
        >>> [round(float(s), 2) for s in mask.double().mean((1, 2, 3))]  # share kept at each scale
        [0.99, 0.48, 0.12]
    """
    if not 0 <= tol < 1:
        raise ValueError(f"support: tol must be in [0, 1); got {tol}")
    if psi.ndim < 2:
        raise ValueError(f"support: psi must have shape [..., Mp, Np]; got {list(psi.shape)}")
    size = psi.abs()
    return size > tol * size.amax((-2, -1), keepdim=True)


# --- what those who build and pack banks share ---


def wavelet_energy(psi: Iterable[Tensor]) -> Tensor:  # [L, Mp, Np] each
    """``1/2 sum (|psi(w)|^2 + |psi(-w)|^2)``, ``[Mp, Np]``, of the scales ``psi``."""
    return both_halves(functools.reduce(torch.add, (scale.square().sum(0) for scale in psi)))


def both_halves(energy: Tensor) -> Tensor:
    """``(energy(w) + energy(-w)) / 2``"""
    return (energy + energy.flip(0, 1).roll((1, 1), (0, 1))) / 2


def _to_float64(name: str, value: Any, layout: str, ndim: int) -> Tensor:
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        tensor = torch.from_numpy(np.array(value, dtype=np.float64, order="C"))
    elif isinstance(value, Tensor) and value.is_floating_point():
        tensor = value.detach().cpu().to(torch.float64, copy=True).contiguous()
    else:
        found = getattr(value, "dtype", type(value).__name__)
        raise TypeError(
            f"FilterBank: {name} must be a tensor or array of a real floating dtype; got {found}"
        )
    if tensor.ndim != ndim or tensor.numel() == 0:
        raise ValueError(f"FilterBank: {name} must be {layout}; got {list(tensor.shape)}")
    finite(f"FilterBank: {name}", tensor.numpy())
    return tensor
