"""Filter banks of the scattering transform: wavelets ``psi`` and a low-pass ``phi``, in Fourier.

A Morlet wavelet is a wave under a Gaussian envelope, minus its mean:

    psi(u) = g(u) (exp(i xi.u) - kappa),  g(u) = c exp(-u' R diag(1, slant^2) R' u / (2 sigma^2)),

summed over the periods of the grid. Only the real part of its DFT is kept, so every filter is a
real array in Fourier. Banks are built here once, on the CPU, in float64, and reach the engines
and the reference as plain tensors: this file has no native twin.

Dimension letters: ``J`` scales, ``L`` angles, ``Mp Np`` padded rows and columns. Frequencies
are in FFT order. Literature: S. Mallat, "Group invariant scattering", CPAM 2012; J. Bruna and
S. Mallat, "Invariant scattering convolution networks", PAMI 2013.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from . import limits
from .arguments import angles, integer, pair, scales
from .typing import BankName

# Kymatio writes 3.1415 where the Gaussian integral has pi; with pi, every filter differs by 3e-5.
_KYMATIO_PI = 3.1415
# Beyond exp(-41.5) = 1e-18 of its peak an envelope is below the rounding of its float64 sum.
_ENVELOPE_CUT = 41.5
# Largest factor by which tight_bank() amplifies a wavelet at one frequency.
_MAX_GAIN = 8.0
# Numbers that are worked on at a time, 25 MB of temporaries: a window may be five periods wide.
_STRIP = 1 << 18
# A tight bank of more numbers is made twice, for its gain and for itself; this is 32 MB.
_KEPT = 1 << 22


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
        _check_divisible("FilterBank", "psi and phi", phi.shape, psi.shape[0])
        object.__setattr__(self, "psi", psi)
        object.__setattr__(self, "phi", phi)

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


def padded_shape(shape: Sequence[int], J: int) -> tuple[int, int]:
    """Size to which an image is padded: ``Mp = ((M + 2^J) // 2^J + 1) 2^J``, likewise ``Np``.

    Args:
        shape: image size ``(M, N)`` in pixels, each at least ``2**J``.
        J: number of scales; the low-pass averages over about ``2**J`` pixels.
    Returns: ``(Mp, Np)``, both divisible by ``2**J``.
    Raises: TypeError, ValueError: ``J`` is no positive integer, ``shape`` is no such pair.
    Example:
        >>> padded_shape((37, 32), J=2)
        (44, 40)
    """
    J = scales("padded_shape", J)
    M, N = pair("padded_shape", shape)
    if min(M, N) >> J < 1:
        raise ValueError(
            f"padded_shape: both sides of shape must be at least 2^J; got {(M, N)} for J = {J}"
        )
    return ((M >> J) + 2) << J, ((N >> J) + 2) << J


def morlet_bank(shape: Sequence[int], J: int, L: int = 8) -> FilterBank:
    """Morlet wavelets and Gaussian low-pass, equal to those of Kymatio 0.3.0.

    ``sigma = 0.8 2^j``, ``xi = (3 pi / 4) / 2^j``, ``slant = 4 / L``, angle
    ``(int(L - L/2 - 1) - theta) pi / L``; ``kappa`` makes each mean vanish. The low-pass is
    isotropic with ``sigma = 0.8 2^(J-1)``. Each filter sums the periods -2 to 2 of the grid.

    Args:
        shape: padded size ``(Mp, Np)``, see :func:`padded_shape`; divisible by ``2**J``.
        J: number of scales.
        L: number of angles in [0, pi).
    Returns: The bank: psi ``[J, L, Mp, Np]``, phi ``[Mp, Np]``, float64.
    Raises: TypeError, ValueError: ``J`` or ``L`` is no positive integer, ``shape`` no such pair.
    Source: J. Bruna and S. Mallat, PAMI 2013; constants of M. Andreux et al., "Kymatio:
    scattering transforms in Python", JMLR 2020.
    Example:
        >>> bank = morlet_bank((40, 40), J=2)
        >>> bank.psi.shape, round(float(bank.phi.max()), 4)
        (torch.Size([2, 8, 40, 40]), 1.0)
    """
    return Recipe("morlet", shape, J, L).bank()


def tight_bank(shape: Sequence[int], J: int, L: int = 8) -> FilterBank:
    """Morlet wavelets rescaled in Fourier so that the bank is a tight frame (it keeps energy).

    The Gaussian low-pass is scaled to ``phi(0) = 1``, which keeps it separable, and the wavelets
    share exactly the energy it leaves: with ``B`` the wavelets' part of the Littlewood-Paley sum,

        psi(w) <- psi(w) sqrt((1 - phi(w)^2) / B(w)),   so that   littlewood_paley(bank) = 1.

    For 2 to 16 angles this gain lies between 0.9 and 5.2.

    Args:
        shape, J, L: as for :func:`morlet_bank`.
    Returns: The bank: psi ``[J, L, Mp, Np]``, phi ``[Mp, Np]``, float64.
    Raises:
        TypeError, ValueError: as for :func:`morlet_bank`; ValueError also where the angles miss
            a part of the plane, so that the gain would exceed 8. A single angle does: its
            Morlet wavelets vanish on the frequency axis across it.
    Source: S. Mallat, CPAM 2012, section 2.1 (unitary wavelet transforms).
    Example:
        >>> lowest, highest = frame_bounds(tight_bank((40, 40), J=2))
        >>> round(lowest, 12), round(highest, 12)
        (1.0, 1.0)
    """
    return Recipe("tight", shape, J, L).bank()


# the banks that have a name
BUILT_IN: dict[BankName, Callable[[Sequence[int], int, int], FilterBank]] = {
    "morlet": morlet_bank,
    "tight": tight_bank,
}


class Recipe:
    """A bank that has a name, made one scale at a time: all of it may be larger than what is kept.

    Beside what it returns it takes two planes ``[Mp, Np]`` of complex128 at most, and some 60 MB.

    Args:
        name: a key of :data:`BUILT_IN`.
        shape, J, L: as for :func:`morlet_bank`.
    Raises: as :func:`morlet_bank` or :func:`tight_bank`, in its name.
    Example:
        >>> recipe = Recipe("tight", (40, 40), J=2)
        >>> torch.equal(recipe.scale(1), tight_bank((40, 40), J=2).psi[1])
        True
    """

    phi: Tensor  # [Mp, Np], as in the bank

    def __init__(self, name: str, shape: Sequence[int], J: int, L: int = 8) -> None:
        caller = f"{name}_bank"
        self._J, self._L = scales(caller, J), angles(caller, L)
        self._shape = pair(caller, shape, 3 * limits.SIDE)  # padded
        limits.check_table(caller, self._shape, self._L)
        _check_divisible(caller, "shape", self._shape, self._J)
        x, y, g = _envelope(self._shape, 0.8 * 2 ** (self._J - 1), 0.0, 1.0)
        phi = _periodic_dft(x, y, g, self._shape)
        self.phi, self._gain = torch.from_numpy(phi), None
        self._plain: np.ndarray | None = None  # the wavelets before the gain
        if name == "tight":
            self.phi /= float(phi[0, 0])
            self._gain = self._tight_gain()

    def scale(self, j: int) -> Tensor:
        """The wavelets of scale ``j``, ``[L, Mp, Np]``."""
        psi = np.empty((self._L, *self._shape))
        for theta, wavelet in enumerate(psi):
            self._write(j, theta, wavelet)
        return torch.from_numpy(psi)

    def bank(self) -> FilterBank:
        """All scales, float64."""
        psi = np.empty((self._J, self._L, *self._shape))
        for j, theta in np.ndindex(self._J, self._L):
            self._write(j, theta, psi[j, theta])
        bank = object.__new__(FilterBank)  # whose __init__ copies
        object.__setattr__(bank, "psi", torch.from_numpy(psi))
        object.__setattr__(bank, "phi", self.phi)
        return bank

    def _write(self, j: int, theta: int, psi: np.ndarray) -> None:
        if self._plain is not None:
            psi[:] = self._plain[j, theta]
        else:
            self._write_plain(j, theta, psi)
        if self._gain is not None:
            psi *= self._gain

    def _write_plain(self, j: int, theta: int, psi: np.ndarray) -> None:
        angle = (int(self._L - self._L / 2 - 1) - theta) * math.pi / self._L
        _morlet(self._shape, 0.8 * 2**j, angle, 0.75 * math.pi / 2**j, 4 / self._L, psi)

    def _tight_gain(self) -> np.ndarray:
        if self._J * self._L * self.phi.numel() <= _KEPT:
            self._plain = np.empty((self._J, self._L, *self._shape))
        energy, wavelet = np.zeros(self._shape), np.empty(self._shape)
        for j, theta in np.ndindex(self._J, self._L):
            self._write_plain(j, theta, wavelet)
            if self._plain is not None:
                self._plain[j, theta] = wavelet
            energy += np.square(wavelet, out=wavelet)
        del wavelet
        gain, opposite = torch.empty_like(self.phi), [-np.arange(n) % n for n in self._shape]
        for first, last in _strips(*self._shape):
            rows = slice(first, last)
            both = (energy[rows] + energy[opposite[0][rows]][:, opposite[1]]) / 2
            gain[rows] = _tight_gain(torch.from_numpy(both), self.phi[rows])
        if not bool((gain <= _MAX_GAIN).all()):  # not "any above": 0 / 0 is NaN
            raise ValueError(
                "tight_bank: L must give wavelets that cover the frequency plane (2 or more); got "
                f"{self._L}, which needs a gain of {float(gain.max()):.3g} (limit {_MAX_GAIN:g})"
            )
        return gain.numpy()


def recipe(bank: str | FilterBank, shape: Sequence[int], J: int, L: int) -> FilterBank | Recipe:
    """How to make a bank of :data:`BUILT_IN`; a bank of one's own as it is."""
    return Recipe(bank, shape, J, L) if isinstance(bank, str) else bank


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
    _check_divisible("crop", "f", f.shape[-2:], res)
    return _lowest(_lowest(f, -2, res), -1, res)


def littlewood_paley(bank: FilterBank) -> Tensor:
    """Energy that the filters keep at each frequency, for real images.

    ``A(w) = |phi(w)|^2 + 1/2 sum_{j, theta} (|psi(w)|^2 + |psi(-w)|^2)``

    Args:
        bank: any :class:`FilterBank`.
    Returns: ``A``, ``[Mp, Np]``, float64, in FFT order.
    Source: S. Mallat, CPAM 2012, equation (2.3).
    Example:
        >>> littlewood_paley(morlet_bank((40, 40), J=2)).shape
        torch.Size([40, 40])
    """
    return bank.phi**2 + _wavelet_energy(bank.psi)


def frame_bounds(bank: FilterBank) -> tuple[float, float]:
    """Smallest and largest value of :func:`littlewood_paley`: ``A |x|^2 <= |Wx|^2 <= B |x|^2``.

    Args:
        bank: any :class:`FilterBank`.
    Returns: The lower and the upper bound; both are 1 for a tight frame.
    Example:
        >>> [round(b, 2) for b in frame_bounds(morlet_bank((40, 40), J=2))]
        [0.12, 1.0]
    """
    energy = littlewood_paley(bank)
    return float(energy.min()), float(energy.max())


def separable_factors(phi: Tensor, tol: float = 1e-6) -> tuple[Tensor, Tensor]:
    """Factors of a low-pass: ``phi[k, l] = phi_m[k] phi_n[l]``. Crops factor in the same way.

    Args:
        phi: low-pass in Fourier, ``[Mp, Np]``.
        tol: largest residual accepted, relative to ``max|phi|``. The default admits a separable
            filter that was rounded to float32.
    Returns: ``(phi_m [Mp], phi_n [Np])``, with ``phi_n`` equal to 1 where ``|phi|`` is largest.
    Raises: ValueError: ``phi`` is no matrix, is zero, or is not separable within ``tol``.
    Example:
        >>> phi = morlet_bank((40, 32), J=2).phi
        >>> phi_m, phi_n = separable_factors(phi)
        >>> torch.allclose(torch.outer(phi_m, phi_n), phi, atol=1e-12)
        True
    """
    if phi.ndim != 2 or phi.numel() == 0:
        raise ValueError(f"separable_factors: phi must be [Mp, Np]; got {list(phi.shape)}")
    row, column = divmod(int(phi.abs().argmax()), phi.shape[1])
    peak = phi[row, column]
    if peak == 0:
        raise ValueError("separable_factors: phi must not be zero everywhere")
    phi_m, phi_n = phi[:, column].clone(), phi[row] / peak
    residual = float((torch.outer(phi_m, phi_n) - phi).abs().max() / peak.abs())
    if not residual <= tol:
        raise ValueError(
            f"separable_factors: phi must be the outer product of two vectors within {tol:g}; "
            f"the relative residual is {residual:.3g}"
        )
    return phi_m, phi_n


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
    _check_divisible("lowpass_matrix", "phi_1d", phi_1d.shape, J)
    n, edge = phi_1d.shape[0], int(bool(unpad))
    if (n >> J) <= 2 * edge:
        raise ValueError(
            f"lowpass_matrix: phi_1d must have at least 3 * 2^J = {3 << J} bins; got {n}"
        )
    phi_1d = phi_1d.detach().to("cpu", torch.float64)
    h = torch.fft.ifft(_lowest(phi_1d, 0, res))
    if float(h.imag.abs().max()) > 1e-6 * float(h.abs().max()):
        raise ValueError("lowpass_matrix: phi_1d must be even, phi_1d[-k] = phi_1d[k]")
    return _smoothing(phi_1d, res, J, edge)


def _smoothing(phi_1d: Tensor, res: int, J: int, edge: int) -> Tensor:
    """:func:`lowpass_matrix` of an even factor, differentiable, on its device."""
    n, device = phi_1d.shape[0], phi_1d.device
    h = torch.fft.ifft(_lowest(phi_1d, 0, res)).real
    p = torch.arange(edge, (n >> J) - edge, device=device)
    u = torch.arange(n >> res, device=device)
    return h[((p[:, None] << (J - res)) - u) % (n >> res)]


def support(psi: Tensor, tol: float) -> Tensor:
    """Bins of each filter worth keeping: ``|psi| > tol max|psi|``.

    Args:
        psi: filters in Fourier, ``[..., Mp, Np]``; the maximum is that of each plane.
        tol: ``0 <= tol < 1``; 0 keeps the non-zero bins.
    Returns: Mask, bool, of the shape of ``psi``.
    Raises: ValueError: ``tol`` is out of range or ``psi`` has fewer than two dimensions.
    Example:
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


def _morlet(
    shape: tuple[int, int],
    sigma: float,
    angle: float,
    xi: float,
    slant: float,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Real part of the DFT of ``g (exp(i xi.u) - kappa)``, ``[Mp, Np]``."""
    x, y, g = _envelope(shape, sigma, angle, slant)
    wave_x = np.exp(1j * xi * math.cos(angle) * x)
    wave_y = np.exp(1j * xi * math.sin(angle) * y)
    moments, mass = [], 0.0
    for first, last in _strips(len(y), len(x)):
        moments.append(wave_x @ g(first, last))
        mass += g(first, last).sum()
    kappa = np.concatenate(moments) @ wave_y / mass

    def wavelet(first: int, last: int) -> np.ndarray:
        return g(first, last) * (np.outer(wave_x, wave_y[first:last]) - kappa)

    psi_hat = _periodic_dft(x, y, wavelet, shape, out)
    psi_hat[0, 0] = 0  # what kappa is for; the sum leaves rounding
    return psi_hat


def _envelope(
    shape: tuple[int, int], sigma: float, angle: float, slant: float
) -> tuple[np.ndarray, np.ndarray, Callable[[int, int], np.ndarray]]:
    """Rows ``x [m]`` and columns ``y [n]`` where ``g`` is not negligible, and its values there, as
    a function of the first and last + 1 column.

    The window never leaves [-2 Mp, 3 Mp) x [-2 Np, 3 Np), the five periods that Kymatio sums: a
    filter too wide for them is cut exactly as Kymatio cuts it.
    """
    c, s = math.cos(angle), math.sin(angle)
    # Half-sides of the box around the ellipse u' C u = _ENVELOPE_CUT, from the diagonal of C^-1.
    half_x = sigma * math.sqrt(2 * _ENVELOPE_CUT * (c * c + (s / slant) ** 2))
    half_y = sigma * math.sqrt(2 * _ENVELOPE_CUT * (s * s + (c / slant) ** 2))
    x, y = (
        np.arange(max(-2 * size, -math.ceil(half)), min(3 * size, math.ceil(half) + 1))
        for size, half in zip(shape, (half_x, half_y), strict=True)
    )

    @functools.lru_cache(1)  # most windows are one strip, which is wanted twice
    def g(first: int, last: int) -> np.ndarray:
        columns = y[first:last]
        along = c * x[:, None] + s * columns
        across = slant * (c * columns - s * x[:, None])
        values = np.exp((along**2 + across**2) / (-2 * sigma**2))
        return values / (2 * _KYMATIO_PI * sigma**2 / slant)

    return x, y, g


def _periodic_dft(
    x: np.ndarray,
    y: np.ndarray,
    f: Callable[[int, int], np.ndarray],
    shape: tuple[int, int],
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Real part of the DFT of ``f [m, n]``, given at rows x and columns y and made periodic,
    ``[Mp, Np]``. ``f`` gives a strip of columns, as in :func:`_envelope`."""
    Mp, Np = shape
    out = np.empty(shape) if out is None else out
    # Of the rows, only those that hold anything, from x[0] on.
    spectrum = np.zeros((min(len(x), Mp), Np), np.complex128)
    for first, last in _strips(len(y), len(x)):
        _wrap(_wrapped(f(first, last), Mp).T, int(y[first]), spectrum.T)
    for first, last in _strips(len(spectrum), Np):
        spectrum[first:last] = np.fft.fft(spectrum[first:last])
    for first, last in _strips(Np, Mp):
        columns = np.zeros((Mp, last - first), np.complex128, order="F")
        _wrap(spectrum[:, first:last], int(x[0]), columns)
        out[:, first:last] = np.fft.fft(columns.T).T.real
    return out


def _wrap(f: np.ndarray, start: int, out: np.ndarray) -> None:
    """Add the rows of ``f``, the first of them at ``start``, to ``out``, modulo its rows."""
    row = 0
    while row < len(f):
        position = (start + row) % len(out)
        step = min(len(out) - position, len(f) - row)
        out[position : position + step] += f[row : row + step]
        row += step


def _wrapped(f: np.ndarray, period: int) -> np.ndarray:
    """The rows of ``f``, the first of them at 0, modulo ``period``."""
    if len(f) <= period:
        return f
    out = f[:period].copy()
    _wrap(f[period:], 0, out)
    return out


def _strips(count: int, size: int) -> Iterator[tuple[int, int]]:
    """Cuts ``count`` rows of ``size`` numbers into strips ``[first, last)`` of about ``_STRIP``."""
    step = max(1, _STRIP // max(1, size))
    return ((first, min(first + step, count)) for first in range(0, count, step))


def _tight_gain(energy: Tensor, phi: Tensor, limit: float = math.inf) -> Tensor:
    """``sqrt((1 - phi^2) / B)``, ``[Mp, Np]``, but at most ``limit``; ``B`` is the energy."""
    # At frequency 0 both numerator and denominator vanish; elsewhere |phi| < 1 up to rounding.
    missing = (1 - phi**2).clamp(min=0)
    energy = torch.maximum(energy, missing / limit**2)
    # the root of a ratio of 0 would have an infinite derivative
    nothing = missing == 0
    return (
        torch.where(nothing, 1.0, missing) / torch.where(nothing, 1.0, energy)
    ).sqrt() * ~nothing


def _wavelet_energy(psi: Iterable[Tensor]) -> Tensor:  # [L, Mp, Np] each
    """``1/2 sum (|psi(w)|^2 + |psi(-w)|^2)``, ``[Mp, Np]``, of the scales ``psi``."""
    return _both_halves(functools.reduce(torch.add, (scale.square().sum(0) for scale in psi)))


def _both_halves(energy: Tensor) -> Tensor:
    """``(energy(w) + energy(-w)) / 2``"""
    return (energy + energy.flip(0, 1).roll((1, 1), (0, 1))) / 2


def _lowest(f: Tensor, dim: int, res: int) -> Tensor:
    """The ``n / 2^res`` lowest of the n frequencies along ``dim``."""
    # not two slices side by side: of their gradient TorchInductor 2.13 writes beyond the end
    return f.index_select(dim, _lowest_of(f.shape[dim], res, f.device))


def _lowest_of(n: int, res: int, device: torch.device | str = "cpu") -> Tensor:
    """Where they are; the middle one is a negative one."""
    m = n >> res
    kept = torch.arange(m, device=device)
    return kept + (n - m) * (kept >= m // 2)


def _check_divisible(caller: str, name: str, shape: Sequence[int], J: int) -> None:
    if any(size < 1 or (size >> J) << J != size for size in shape):
        raise ValueError(
            f"{caller}: {name} must have positive sizes divisible by 2^{J}; got {tuple(shape)}"
        )


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
    _check_finite(f"FilterBank: {name}", tensor)
    return tensor


def _check_finite(name: str, tensor: Tensor) -> None:
    if not all(math.isfinite(value) for value in torch.aminmax(tensor)):
        raise ValueError(f"{name} must be finite; it holds NaN or infinity")
