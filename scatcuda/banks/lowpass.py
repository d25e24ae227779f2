"""The low-pass and what a filter is at lower resolutions."""

from __future__ import annotations

import torch
from torch import Tensor

from .. import limits
from ..arguments import divisible, integer, scales
from .boxes import factors_of, smoothing_of


def crop(f: Tensor, res: int) -> Tensor:
    """Keep the low frequencies of a filter: what it becomes on a grid coarser by ``2**res``.

    With ``m = Mp / 2^res`` this keeps rows ``0 ... m//2 - 1`` and the last ``m - m//2``,
    likewise columns; nothing is aliased.

    Args:
        f: filters in FFT order, ``[..., Mp, Np]``, sides divisible by ``2**res``.
        res: log2 of the subsampling, from 0.
    Returns: ``[..., Mp / 2^res, Np / 2^res]``.
    Raises: TypeError, ValueError: ``res`` is no integer from 0, ``f`` no such filters.
    Example:
        >>> crop(torch.arange(8.0).expand(8, 8), 1)[0]
        tensor([0., 1., 6., 7.])
    """
    res = integer("crop", "res", res, 0)
    limits.at_most("crop", "res", res, limits.SCALES)
    if f.ndim < 2:
        raise ValueError(f"crop: f must have shape [..., Mp, Np]; got {list(f.shape)}")
    divisible("crop", "f", f.shape[-2:], res)
    return lowest(lowest(f, -2, res), -1, res)


def separable_factors(phi: Tensor, tol: float = 1e-6) -> tuple[Tensor, Tensor]:
    """Factors of a low-pass: ``phi[k, l] = phi_m[k] phi_n[l]``. Crops factor in the same way.

    Args:
        phi: low-pass in Fourier, ``[Mp, Np]``.
        tol: largest residual accepted, relative to ``max|phi|``. The default admits a separable
            filter that was rounded to float32.
    Returns: ``(phi_m [Mp], phi_n [Np])``, with ``phi_n`` equal to 1 where ``|phi|`` is largest.
    Raises: ValueError: ``phi`` is no matrix, is zero, or is not separable within ``tol``.
    Example:
        >>> from scatcuda.banks import morlet_bank
        >>> phi = morlet_bank((40, 32), J=2).phi
        >>> phi_m, phi_n = separable_factors(phi)
        >>> torch.allclose(torch.outer(phi_m, phi_n), phi, atol=1e-12)
        True
    """
    phi_m, phi_n = factors_of(phi.detach().cpu().numpy(), tol)
    return torch.from_numpy(phi_m).to(phi.device), torch.from_numpy(phi_n).to(phi.device)


def lowpass_matrix(phi_1d: Tensor, res: int, J: int, unpad: bool = True) -> Tensor:
    """The low-pass along one axis as one real matrix: filter, subsample, remove the padding.

    Multiplying a DFT by ``crop(phi)``, averaging its ``k = 2^(J - res)`` aliases and inverting it
    is a circular convolution read at every k-th sample, hence a product with
    ``A[p, u] = h[(k p - u) mod m]``, where ``h = IDFT(crop(phi))`` and ``m = n / 2^res``. For a
    separable low-pass the smoothed plane is ``A_m U A_n^T``.

    Args:
        phi_1d: one factor of the low-pass at full resolution, ``[n]``, see
            :func:`separable_factors`; even, ``phi[-k] = phi[k]``, so that its kernel is real.
        res: resolution of the input, ``0 <= res < J``: it holds ``n / 2^res`` samples.
        J: resolution of the output.
        unpad: drop the first and the last output sample, which belong to the padding.
    Returns: ``A``, ``[n / 2^J - 2, n / 2^res]``, float64; without ``unpad``, ``n / 2^J`` rows.
    Raises:
        TypeError, ValueError: ``res`` or ``J`` is out of range, ``phi_1d`` is not a vector that
            ``2**J`` divides, not even, or so short that ``unpad`` leaves nothing.
    Example:
        >>> from scatcuda.banks import tight_bank
        >>> phi_m, _ = separable_factors(tight_bank((40, 40), J=2).phi)
        >>> A = lowpass_matrix(phi_m, res=1, J=2)  # rows sum to phi(0) = 1
        >>> A.shape, torch.allclose(A.sum(1), torch.ones(8, dtype=torch.float64))
        (torch.Size([8, 20]), True)
    """
    J = scales("lowpass_matrix", J)
    res = integer("lowpass_matrix", "res", res, 0)
    if res >= J:
        raise ValueError(f"lowpass_matrix: res must be below J = {J}; got {res}")
    if phi_1d.ndim != 1:
        raise ValueError(f"lowpass_matrix: phi_1d must be [n]; got {list(phi_1d.shape)}")
    divisible("lowpass_matrix", "phi_1d", phi_1d.shape, J)
    n, edge = phi_1d.shape[0], int(bool(unpad))
    if (n >> J) <= 2 * edge:
        raise ValueError(
            f"lowpass_matrix: phi_1d must have at least 3 * 2^J = {3 << J} bins; got {n}"
        )
    return torch.from_numpy(smoothing_of(phi_1d.detach().cpu().numpy(), res, J, edge))


def smoothing(phi_1d: Tensor, res: int, J: int, edge: int) -> Tensor:
    """:func:`lowpass_matrix` of an even factor, differentiable, on its device."""
    n, device = phi_1d.shape[0], phi_1d.device
    h = torch.fft.ifft(lowest(phi_1d, 0, res)).real
    p = torch.arange(edge, (n >> J) - edge, device=device)
    u = torch.arange(n >> res, device=device)
    return h[((p[:, None] << (J - res)) - u) % (n >> res)]


def lowest(f: Tensor, dim: int, res: int) -> Tensor:
    """The ``n / 2^res`` lowest of the n frequencies along ``dim``."""
    # not two slices side by side: of their gradient TorchInductor 2.13 writes beyond the end
    return f.index_select(dim, lowest_of(f.shape[dim], res, f.device))


def lowest_of(n: int, res: int, device: torch.device | str = "cpu") -> Tensor:
    """Where they are; the middle one is a negative one."""
    m = n >> res
    kept = torch.arange(m, device=device)
    return kept + (n - m) * (kept >= m // 2)
