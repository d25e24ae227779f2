"""Wavelets of time and log-frequency, of space and angles, and solid harmonics, in pictures: the
command ``scatcuda filters`` with ``--J-fr``, ``--K`` or ``--degrees``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..arguments import integer
from ..banks.angles import angular_bank
from ..banks.harmonics import real_harmonics
from ..banks.morlet import Recipe
from ..terminal import printable
from ..transforms.timefrequency import TimeFrequencyScattering
from .style import GREY, Sheet, drawn, shade

__all__ = [
    "draw_angular_wavelets",
    "draw_joint_wavelets",
    "draw_solid_harmonics",
    "joint_filters_report",
]

_TILE = (96, 72)  # points of a wavelet in time and in log-frequency
_PLACES = 24  # of log-frequency, on either side
_DEGREES = 8
_ANGLES, _SPACE = 16, 48  # of a picture; pixels of a wavelet


def joint_filters_report(
    J: int, J_fr: int, N: int, Q: int | tuple[int, ...] = 8, output: str | Path | None = None
) -> str:
    """Tell what the joint filters are, and draw them.

    Args:
        J, J_fr, N, Q: as for :class:`scatcuda.TimeFrequencyScattering`.
        output: a ``.png``; None for no picture.
    Returns: Lines of text.
    Raises: TypeError, ValueError: an argument is wrong; OSError: the file cannot be written.
    Example:
        >>> print(joint_filters_report(6, 3, 4096))
        along time  4 wavelets that follow a smaller scale, 0.005 to 0.044 cycles a sample
        along n1    4 wavelets of either spin, 0.044 to 0.350 cycles a place; 120 places for 38
        paths       41 joint ones: 5 of order 1, 36 of order 2; 152 channels of format "time"
    """
    scattering = TimeFrequencyScattering(J=J, J_fr=J_fr, Q=Q, shape=N)
    second, along = _second(scattering), scattering.filters_fr[1]
    xi = [psi["xi"] for psi in second] or [0.0]
    xi_fr = [psi["xi"] for psi in along if psi["xi"] > 0]
    orders = scattering.joint_meta()["order"].tolist()
    lines = {
        "along time": f"{len(second)} wavelets that follow a smaller scale, {min(xi):.3f} to "
        f"{max(xi):.3f} cycles a sample",
        "along n1": f"{len(xi_fr)} wavelets of either spin, {min(xi_fr):.3f} to {max(xi_fr):.3f} "
        f"cycles a place; {along[0]['N']} places for {len(scattering.psi1_f)}",
        "paths": f"{len(orders) - 1} joint ones: {orders.count(1)} of order 1, {orders.count(2)} "
        f'of order 2; {scattering.output_shape[0]} channels of format "time"',
    }
    if output:
        draw_joint_wavelets(output, scattering)
        lines["written"] = printable(str(output))
    return "\n".join(f"{name:<11} {text}" for name, text in lines.items())


def draw_joint_wavelets(
    path: str | Path,
    scattering: TimeFrequencyScattering[Any],
    title: str = "Joint wavelets",
) -> None:
    """Draw ``Re psi_n2(t) psi_n_fr(n1)`` of both spins: those of one rise from left to right, those
    of the other fall.

    Raises: as :func:`scatcuda.draw.bank.draw_bank`; ValueError: there is no joint wavelet.
    """
    second = _second(scattering)[:3]
    by_xi = {psi["xi"]: psi for psi in scattering.filters_fr[1]}
    several = [xi for xi in by_xi if xi > 0][:4]
    if not second:
        raise ValueError("draw_joint_wavelets: of J = 1 no wavelet follows another")
    widest = 4 / second[-1]["sigma"] / (2 * np.pi)
    note = f"J = {scattering.J}, J_fr = {scattering.J_fr}, Q = {scattering.Q[0]}: "
    with drawn(path, Sheet.size(1)) as figure:
        sheet = Sheet(figure, title, note + "real part, over time and down log-frequency")
        for column, (spin, name) in enumerate(((1, "One spin"), (-1, "The other"))):
            rows = [
                torch.cat([_joint(psi, by_xi[spin * xi], widest) for xi in several], 1)
                for psi in second
            ]
            frequencies = ", ".join(f"{xi:.2g}" for xi in several)
            axes = sheet.panel(0, 2 * column, name, f"ξ_fr = {spin:+d} · ({frequencies})", 2)
            shade(axes, torch.cat(rows), "bilinear")
            axes.set_xlabel(f"{2 * widest * len(several):.0f} samples", color=GREY)


def _second(scattering: TimeFrequencyScattering[Any]) -> list[dict[str, Any]]:
    """The wavelets in time that follow another one."""
    used = {int(n2) for n2 in scattering.joint_meta()["n2"] if n2 >= 0}
    return [psi for n2, psi in enumerate(scattering.psi2_f) if n2 in used]


def _joint(psi: dict[str, Any], along: dict[str, Any], widest: float) -> Tensor:
    """A wavelet ``[places, samples]``, its largest value 1."""
    parts = [
        _at(f["levels"][0][:, 0].double().numpy(), np.linspace(-reach, reach, count))
        for f, reach, count in ((psi, widest, _TILE[0]), (along, _PLACES, _TILE[1]))
    ]
    wave = torch.from_numpy(np.outer(parts[1], parts[0])).real
    return wave / wave.abs().max()


def _at(f: NDArray[np.float64], places: NDArray[np.float64]) -> NDArray[np.complex128]:
    """The inverse DFT of a filter at places between its samples, too."""
    w = np.fft.fftfreq(len(f))
    kept = np.flatnonzero(np.abs(f) > 1e-6 * np.abs(f).max())
    waves: NDArray[np.complex128] = np.exp(2j * np.pi * np.outer(places, w[kept]))
    return waves @ f[kept].astype(np.complex128)


def draw_angular_wavelets(
    path: str | Path, L: int = 8, K: int | None = None, title: str = "Wavelets of space and angles"
) -> None:
    """Draw ``Re psi_theta(u) h(theta)`` for all ``2 L`` angles ``theta`` of a whole turn: a row for
    the low-pass and for each of ``K`` wavelets ``h`` of angles.

    Args:
        path: ends in .png.
        L: number of angles in [0, pi), at most 16.
        K: number of wavelets of angles; None: ``log2 L``, rounded down.
    Raises: as :func:`scatcuda.draw.bank.draw_bank` and :func:`scatcuda.banks.angular_bank`.
    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     draw_angular_wavelets(f"{folder}/angles.png", L=4)
    """
    L = integer("draw_angular_wavelets", "L", L, 1, _ANGLES)
    along = angular_bank(L, K)
    h = torch.fft.fftshift(torch.fft.ifft(along), 1)
    psi = torch.fft.ifft2(torch.from_numpy(Recipe("morlet", (_SPACE, _SPACE), 3, L).scale(2)))
    psi = torch.fft.fftshift(torch.cat([psi, psi.conj()]), (1, 2))
    rows = []
    for one in h:
        waves = (psi * one[:, None, None]).real
        rows.append(torch.cat([*(waves / waves.abs().max())], 1))
    side, count = 0.85, len(along)
    with drawn(path, (side * 2 * L + 1.1, side * count + 1.1)) as figure:
        height, width = figure.get_figheight(), figure.get_figwidth()
        figure.text(0.3 / width, 1 - 0.45 / height, title, fontsize=20, fontweight="bold")
        note = "real part, over the angles of a whole turn; a row for each filter of angles"
        figure.text(0.3 / width, 1 - 0.75 / height, note, fontsize=11, color=GREY)
        box = (0.8 / width, 0.1 / height, side * 2 * L / width, side * count / height)
        axes = figure.add_axes(box, xticks=[], yticks=[])
        shade(axes, torch.cat(rows), "bilinear")
        names = ["φ", *(f"k = {k}" for k in range(count - 1))]
        axes.set_yticks([_SPACE * row + _SPACE // 2 for row in range(count)], names)
        for edge in axes.spines.values():
            edge.set_visible(False)


def draw_solid_harmonics(path: str | Path, L: int = 3, title: str = "Solid harmonics") -> None:
    """Draw the real solid harmonic wavelets ``(|u| / sigma)^l exp(-|u|^2 / 2 sigma^2) Y_lm(u)`` of
    degrees 0 to ``L``, on a plane tilted against all axes.

    Args:
        path: ends in .png.
        L: the largest degree, at most 8.
    Raises: as :func:`scatcuda.draw.bank.draw_bank`.
    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     draw_solid_harmonics(f"{folder}/harmonics.png", L=2)
    """
    L = integer("draw_solid_harmonics", "L", L, 0, _DEGREES)
    u, v = np.meshgrid(np.linspace(-4, 4, 96), np.linspace(-4, 4, 96), indexing="xy")
    axes_of_plane = np.linalg.qr(np.array([[1.0, 0.2], [0.1, 1.0], [0.55, 0.75]]))[0]
    x, y, z = (a * u + b * v for a, b in axes_of_plane)
    bell = np.exp(-(u**2 + v**2) / 2)
    rows = []
    for l in range(L + 1):
        waves = real_harmonics(x, y, z, l).reshape(2 * l + 1, *u.shape) * bell
        tiles = [torch.from_numpy(wave / np.abs(wave).max()) for wave in waves]
        empty = torch.zeros(u.shape, dtype=torch.float64)
        rows.append(torch.cat([*[empty] * (L - l), *tiles, *[empty] * (L - l)], 1))
    side = 1.6
    with drawn(path, (side * (2 * L + 1) + 0.8, side * (L + 1) + 1.1)) as figure:
        height, width = figure.get_figheight(), figure.get_figwidth()
        figure.text(0.3 / width, 1 - 0.45 / height, title, fontsize=20, fontweight="bold")
        note = "a row a degree l, m from −l to l; a plane tilted against all axes"
        figure.text(0.3 / width, 1 - 0.75 / height, note, fontsize=11, color=GREY)
        box = (0.5 / width, 0.1 / height, side * (2 * L + 1) / width, side * (L + 1) / height)
        axes = figure.add_axes(box, xticks=[], yticks=[])
        shade(axes, torch.cat(rows), "bilinear")
        axes.set_yticks([96 * l + 48 for l in range(L + 1)], _names(L))
        for edge in axes.spines.values():
            edge.set_visible(False)


def _names(L: int) -> Sequence[str]:
    return [f"{l}" for l in range(L + 1)]
