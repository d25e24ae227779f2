"""Banks of Morlet wavelets and a Gaussian low-pass, as Kymatio has them, and tight ones.

A Morlet wavelet is a wave under a Gaussian envelope, minus its mean:

    psi(u) = g(u) (exp(i xi.u) - kappa),  g(u) = c exp(-u' R diag(1, slant^2) R' u / (2 sigma^2)),

summed over the periods of the grid. Only the real part of its DFT is kept, so every filter is a
real array in Fourier. Source: S. Mallat, "Group invariant scattering", CPAM 2012; J. Bruna and
S. Mallat, "Invariant scattering convolution networks", PAMI 2013.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from .. import limits
from ..arguments import angles, divisible, pair, scales
from ..program.images import directions
from ..terminal import Bar
from ..typing import BankName
from .boxes import strips

if TYPE_CHECKING:
    from .bank import FilterBank

# Kymatio writes 3.1415 where the Gaussian integral has pi; with pi, every filter differs by 3e-5.
KYMATIO_PI = 3.1415
# Beyond exp(-41.5) = 1e-18 of its peak an envelope is below the rounding of its float64 sum.
_ENVELOPE_CUT = 41.5
# Largest factor by which tight_bank() amplifies a wavelet at one frequency.
MAX_GAIN = 8.0
# A tight bank of more numbers is made twice, for its gain and for itself; this is 32 MB.
_KEPT = 1 << 22


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
        >>> from scatcuda.banks import frame_bounds
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
        >>> np.array_equal(recipe.scale(1), tight_bank((40, 40), J=2).psi[1])
        True
    """

    phi: np.ndarray  # [Mp, Np], as in the bank

    def __init__(self, name: str, shape: Sequence[int], J: int, L: int = 8) -> None:
        caller = f"{name}_bank"
        self._J, self._L = scales(caller, J), angles(caller, L)
        self._shape = pair(caller, shape, 3 * limits.SIDE)  # padded
        limits.check_table(caller, self._shape, self._L)
        divisible(caller, "shape", self._shape, self._J)
        x, y, g = _envelope(self._shape, 0.8 * 2 ** (self._J - 1), 0.0, 1.0)
        self.phi = _periodic_dft(x, y, g, self._shape)
        self._gain: np.ndarray | None = None
        self._plain: np.ndarray | None = None  # the wavelets before the gain
        if name == "tight":
            self.phi /= float(self.phi[0, 0])
            self._gain = self._tight_gain()

    def scale(self, j: int) -> np.ndarray:
        """The wavelets of scale ``j``, ``[L, Mp, Np]``."""
        psi = np.empty((self._L, *self._shape))
        for theta, wavelet in enumerate(psi):
            self._write(j, theta, wavelet)
        return psi

    def bank(self) -> FilterBank:
        """All scales, float64."""
        psi = np.empty((self._J, self._L, *self._shape))
        with Bar(self._J * self._L, "wavelet") as bar:
            for j, theta in np.ndindex(self._J, self._L):
                self._write(j, theta, psi[j, theta])
                bar.update(1)
        from .bank import FilterBank  # of tensors, which programs without PyTorch do not have

        return FilterBank.of(psi, self.phi)

    def _write(self, j: int, theta: int, psi: np.ndarray) -> None:
        if self._plain is not None:
            psi[:] = self._plain[j, theta]
        else:
            self._write_plain(j, theta, psi)
        if self._gain is not None:
            psi *= self._gain

    def _write_plain(self, j: int, theta: int, psi: np.ndarray) -> None:
        oriented_morlet(self._shape, j, directions(self._L)[theta], self._L, psi)

    def _tight_gain(self) -> np.ndarray:
        if self._J * self._L * self.phi.size <= _KEPT:
            self._plain = np.empty((self._J, self._L, *self._shape))
        energy, wavelet = np.zeros(self._shape), np.empty(self._shape)
        for j, theta in np.ndindex(self._J, self._L):
            self._write_plain(j, theta, wavelet)
            if self._plain is not None:
                self._plain[j, theta] = wavelet
            energy += np.square(wavelet, out=wavelet)
        del wavelet
        gain, opposite = np.empty_like(self.phi), [-np.arange(n) % n for n in self._shape]
        for first, last in strips(*self._shape):
            rows = slice(first, last)
            both = (energy[rows] + energy[opposite[0][rows]][:, opposite[1]]) / 2
            gain[rows] = _tight_gain(both, self.phi[rows])
        if not bool((gain <= MAX_GAIN).all()):  # not "any above": 0 / 0 is NaN
            raise ValueError(
                "tight_bank: L must give wavelets that cover the frequency plane (2 or more); got "
                f"{self._L}, which needs a gain of {float(gain.max()):.3g} (limit {MAX_GAIN:g})"
            )
        return gain


def recipe(bank: str | FilterBank, shape: Sequence[int], J: int, L: int) -> FilterBank | Recipe:
    """How to make a bank of :data:`BUILT_IN`; a bank of one's own as it is.

    Example:
        >>> recipe("tight", (40, 40), 2, 8).bank().psi.shape
        torch.Size([2, 8, 40, 40])
    """
    return Recipe(bank, shape, J, L) if isinstance(bank, str) else bank


def oriented_morlet(
    shape: Sequence[int], octave: float, angle: float, L: int, out: np.ndarray | None = None
) -> np.ndarray:
    """The wavelet at scale ``2^octave`` of one of ``L`` directions, ``[M, N]``, of any sides."""
    sides, scale = (shape[0], shape[1]), 2**octave
    return _morlet(sides, 0.8 * scale, angle, 0.75 * math.pi / scale, 4 / L, out)


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
    for first, last in strips(len(y), len(x)):
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
        return values / (2 * KYMATIO_PI * sigma**2 / slant)

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
    for first, last in strips(len(y), len(x)):
        _wrap(_wrapped(f(first, last), Mp).T, int(y[first]), spectrum.T)
    for first, last in strips(len(spectrum), Np):
        spectrum[first:last] = np.fft.fft(spectrum[first:last])
    for first, last in strips(Np, Mp):
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


def _tight_gain(energy: np.ndarray, phi: np.ndarray) -> np.ndarray:
    """``sqrt((1 - phi^2) / B)``, ``[Mp, Np]``; ``B`` is the energy."""
    # At frequency 0 both numerator and denominator vanish; elsewhere |phi| < 1 up to rounding.
    missing = np.maximum(1 - phi**2, 0)
    nothing = missing == 0
    with np.errstate(divide="ignore"):
        gain: np.ndarray = np.sqrt(missing / np.where(nothing, 1.0, energy))
    return gain
