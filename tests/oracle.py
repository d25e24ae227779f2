"""The scattering transform in float64, written down from its definition and nothing else.

What the engines and ``scatcuda.reference`` do cleverly is done here as Kymatio does it: the
low-pass of every path is a product in Fourier, followed by the fold, an inverse DFT and the crop.
No plan, no supports, no matrices; NumPy's FFT. The filters come from a ``FilterBank``, which has
tests of its own.

Letters: ``J`` scales, ``L`` angles, ``M N`` pixels, ``Mp Np`` padded sides; resolution ``res``
means sides ``Mp / 2^res`` and ``Np / 2^res``.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from scatcuda.banks import FilterBank


def scattering2d(x: Tensor, bank: FilterBank, max_order: int = 2, pre_pad: bool = False) -> Tensor:
    """``S x = [A x, A|W1 x|, A|W2|W1 x||, …]``: images ``[..., M, N]`` to ``[..., C, m, n]``,
    computed on the CPU wherever ``x`` is."""
    J, L, psi = bank.J, bank.L, bank.psi.numpy()
    S: dict[tuple[int, ...], np.ndarray] = {}

    def follow(path: tuple[int, ...], u_hat: np.ndarray) -> None:
        """All paths that begin with this one, whose spectrum is ``û``."""
        above = path[-1] // L + 1 if path else 0
        res = max(above - 1, 0)
        S[path] = lowpass(u_hat, bank, res)
        for n in range(above * L, J * L if len(path) < max_order else 0):
            u = wavelet_modulus(u_hat, psi[n // L, n % L], res, n // L)
            follow((*path, n), np.fft.fft2(u))

    follow((), np.fft.fft2(pad(x.double().cpu().numpy(), bank.shape, pre_pad)))
    channels = [S[path] for path in sorted(S, key=lambda path: (len(path), path))]
    return torch.from_numpy(np.stack(channels, axis=-3)).to(x.device)


def pad(x: np.ndarray, padded: tuple[int, int], pre_pad: bool = False) -> np.ndarray:
    """Reflection without repeating the edge; of the surplus, the floor before, the ceil after."""
    if pre_pad:
        return x
    surplus = [p - size for p, size in zip(padded, x.shape[-2:], strict=True)]
    return np.pad(x, [(0, 0)] * (x.ndim - 2) + [(s // 2, s - s // 2) for s in surplus], "reflect")


def wavelet_modulus(u_hat: np.ndarray, psi: np.ndarray, res: int, j: int) -> np.ndarray:
    """``U = |IDFT fold(û ψ̂)|``: from resolution ``res`` to ``j``."""
    return np.abs(np.fft.ifft2(fold(u_hat * crop(psi, res), 2 ** (j - res))))


def lowpass(u_hat: np.ndarray, bank: FilterBank, res: int) -> np.ndarray:
    """``A_res u``: filter, subsample by ``2^(J - res)``, drop one sample on each side."""
    product = u_hat * crop(bank.phi.numpy(), res)
    return np.fft.ifft2(fold(product, 2 ** (bank.J - res))).real[..., 1:-1, 1:-1]


def crop(f: np.ndarray, res: int) -> np.ndarray:
    """The frequencies that a grid coarser by ``2^res`` has: ``-m / 2 … m / 2 - 1``."""
    rows, columns = (np.fft.fftfreq(size, 1 / size).round() for size in f.shape)
    rows, columns = (
        (-m <= w * 2 ** (res + 1)) & (w * 2 ** (res + 1) < m)
        for m, w in ((len(rows), rows), (len(columns), columns))
    )
    return f[rows][:, columns]


def fold(u_hat: np.ndarray, k: int) -> np.ndarray:
    """Subsampling by ``k`` in space: the average over the ``k x k`` aliases of a spectrum."""
    *batch, rows, columns = u_hat.shape
    return u_hat.reshape(*batch, k, rows // k, k, columns // k).mean((-4, -2))


def relative_error(actual: Tensor, expected: Tensor) -> float:
    """``|actual - expected| / |expected|`` over all numbers."""
    expected = expected.detach().double()
    return float((actual.detach().double() - expected).norm() / expected.norm())


def error_by_order(order: np.ndarray, actual: Tensor, expected: Tensor) -> float:
    """The largest of the relative errors of all orders, ``order [C]`` as ``meta()`` has it:
    order 0 is so much larger than the others that it would hide their errors."""
    assert actual.shape == expected.shape
    same = [torch.from_numpy(order == k) for k in np.unique(order)]
    errors = [relative_error(actual[..., c, :, :], expected[..., c, :, :]) for c in same]
    return float(torch.tensor(errors).max())  # NaN if any is; Python's max would lose it


# --- what a test asks of a module, wherever it computes ----------------------------------------


def check_not_a_number_stays(module: torch.nn.Module, bad: float) -> None:
    """A value that is no number spoils every channel of its image, and nothing else."""
    x = torch.rand(4, *module.input_shape)
    expected = module(x)
    x[1, 0, -1] = x[2, 7, 5] = bad
    for count in (1, 2):
        torch.set_num_threads(count)
        S = module(x)
        for clean in (0, 3):
            assert torch.equal(S[clean], expected[clean])
        for spoilt in (1, 2):  # no channel may hide it
            assert (~S[spoilt].isfinite()).flatten(1).any(1).all()
    assert module(torch.rand(2, *module.input_shape)).isfinite().all()  # nor is it left in a buffer


def lowest(f: np.ndarray, grid: tuple[int, ...]) -> np.ndarray:
    """As many of the lowest frequencies of the last axes as a grid has, in FFT order."""
    for axis, m in enumerate(grid, f.ndim - len(grid)):
        side, low = f.shape[axis], np.arange(m)
        f = np.take(f, np.where(low < (m + 1) // 2, low, low + side - m), axis)
    return f
