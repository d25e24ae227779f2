"""Stability: how far a representation moves when an image is shifted, deformed, turned, enlarged::

    |Φ x_τ - Φ x| / |Φ x|,   x_τ(u) = x(u - τ(u)),

against the length of a shift, ``τ(u) = c``, and against the strain ``|∇τ|_∞`` of a smooth random
deformation, the largest norm of its Jacobian. Scattering is Lipschitz: the distance grows no
faster than ``|c| / 2^J + |∇τ|_∞``. Pixels move at once; the Fourier modulus ignores a shift but not
the slightest dilation of a high frequency, which the third panel shows with a wave packet.

Turned about its middle an image moves scattering as far as it has angles; roto-translation
scattering, of which the means over positions and angles are taken, hardly at all.

Literature: S. Mallat, "Group invariant scattering", CPAM 2012, theorems 2.10 and 2.12; J. Bruna
and S. Mallat, PAMI 2013, section 2; L. Sifre and S. Mallat, CVPR 2013.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ...arguments import integer, told
from ...draw.style import COLOURS, MARKERS, panels
from ...transforms.rototranslation import RotoTranslationScattering2D
from ...transforms.scattering2d import Scattering2D
from .separation import activations, blocks, checked_images, each

SHIFTS = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0)
STRAINS = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4)
TURNS = (0.0, 5.0, 10.0, 15.0, 22.5, 30.0, 45.0, 60.0, 90.0)
SCALINGS = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3)
_DILATIONS = (0.0, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15)
_WAVES = 2  # periods of a random deformation across the image, at most
_PACKET = (128, 8.0, 0.75 * math.pi)  # pixels a side, width and frequency of the wave packet
_TINY = 1e-12

Representation = Callable[[Tensor], Tensor]  # [n, C, M, N] -> [n, d]


class Curve(NamedTuple):
    """Distances ``y`` of a representation against ``x``; ``slope``, the largest ``y / x``, is its
    Lipschitz constant on these images."""

    change: str  # "shift", "deformation", "rotation", "scaling" or "dilation"
    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    slope: float


def stability(
    x: Tensor,
    network: nn.Module | None = None,
    J: int = 3,
    L: int = 8,
    layer: str | None = None,
    shifts: Sequence[float] = SHIFTS,
    strains: Sequence[float] = STRAINS,
    seed: int = 0,
    turns: Sequence[float] = TURNS,
    scalings: Sequence[float] = SCALINGS,
) -> list[Curve]:
    """Measure pixels, the Fourier modulus, scattering, roto-translation scattering and a layer of a
    network.

    Distances are averages over the images; each image has a direction and a field of its own.

    Args:
        x: images ``[n, M, N]`` or ``[n, C, M, N]``, uint8 or floating in [0, 1].
        network: trained or not, ``[B, C, M, N] -> [B, classes]``; used as in evaluation.
        J, L: of the :class:`scatcuda.Scattering2D`, of order 2.
        layer: name of a submodule of the network; default the last but one of its blocks.
        shifts: lengths c in pixels. The images are shifted as if they were periodic.
        strains: ``|∇τ|_∞`` of the deformations, from 0 and below 1.
        seed: of the directions and deformations.
        turns: degrees of rotations about the middle of an image.
        scalings: ``ε`` from 0 and below 1: an image is enlarged to ``x((1 - ε) u)``.
    Returns: a :class:`Curve` for each representation and each change; the dilation, of a wave
        packet that the network was not made for, for all but the network.
    Raises: TypeError, ValueError: an argument is of the wrong type or out of range.
    Example:
        >>> from scatcuda.data import digits
        >>> curves = stability(digits()[0][:4], J=2, shifts=(0, 1), strains=(0, 0.1))
        >>> [curve.name for curve in curves[:3]]
        ['pixels', 'Fourier modulus', 'scattering']
        >>> curves[0].slope > curves[2].slope  # per pixel of shift
        True
    """
    x = checked_images("x", x)
    _check_amounts("shifts", shifts, math.inf)
    _check_amounts("strains", strains, 1.0)
    _check_amounts("turns", turns, math.inf)
    _check_amounts("scalings", scalings, 1.0)
    kinds = representations(x.shape[-2:], J, L)
    if network is not None:
        names = blocks(network) or [""]  # itself
        last = layer or (names[-2] if len(names) > 1 else names[-1])
        kinds["network"] = lambda z: activations(network, z, [last])[last].flatten(1)

    random = torch.Generator().manual_seed(integer("stability", "seed", seed, 0, 2**63 - 1))
    angles = 2 * math.pi * torch.rand(len(x), generator=random)
    field = random_field(len(x), x.shape[-2:], random)
    curves = []
    for name, phi in kinds.items():
        curves.append(_curve("shift", name, phi, x, shifts, lambda c: shift(x, c, angles)))
    for name, phi in kinds.items():
        curves.append(_curve("deformation", name, phi, x, strains, lambda e: deform(x, e * field)))
    for name, phi in kinds.items():
        curves.append(_curve("rotation", name, phi, x, turns, lambda a: turn(x, a)))
    for name, phi in kinds.items():
        curves.append(_curve("scaling", name, phi, x, scalings, lambda e: turn(x, 0, 1 - e)))
    packet = wave_packet(0.0)
    for name, phi in representations(packet.shape[-2:], J, L).items():
        curves.append(_curve("dilation", name, phi, packet, _DILATIONS, wave_packet))
    return curves


def representations(shape: Sequence[int], J: int, L: int = 8) -> dict[str, Representation]:
    """Pixels, Fourier modulus, scattering and the means of roto-translation scattering of images of
    ``shape (M, N)``, one row an image."""
    scattering = Scattering2D(J, shape, L)
    turning = RotoTranslationScattering2D(J, shape, L, pool="mean")
    return {
        "pixels": lambda x: x.flatten(1),
        "Fourier modulus": lambda x: torch.fft.fft2(x, norm="ortho").abs().flatten(1),
        "scattering": lambda x: each(x, lambda batch: [scattering(batch).flatten(1)])[0],
        "roto-translation": lambda x: each(x, lambda batch: [turning(batch).flatten(1)])[0],
    }


def shift(x: Tensor, length: float, angles: Tensor) -> Tensor:
    """``x(u - c)`` of periodic images by their Fourier series: exact for any real ``c``.

    Args:
        x: images ``[n, C, M, N]``.
        length: ``|c|`` in pixels.
        angles: directions ``[n]``, from the rows' axis to the columns'.
    Returns: the shape of ``x``.
    Example:
        >>> x = torch.rand(1, 1, 8, 8)
        >>> torch.allclose(shift(x, 3, torch.zeros(1)), x.roll(3, -2), atol=1e-6)
        True
    """
    M, N = x.shape[-2:]
    rows = torch.fft.fftfreq(M)[:, None] * torch.cos(angles).view(-1, 1, 1, 1)
    columns = torch.fft.fftfreq(N) * torch.sin(angles).view(-1, 1, 1, 1)
    phase = torch.exp(-2j * math.pi * length * (rows + columns))
    return torch.fft.ifft2(torch.fft.fft2(x) * phase).real


def random_field(n: int, shape: Sequence[int], random: torch.Generator) -> Tensor:
    """Smooth periodic displacements with ``|∇τ|_∞ = 1``: a few low frequencies, random amplitudes::

        τ(u) = Σ_k a_k cos(2π k.u / M) + b_k sin(2π k.u / M),   |k| ≤ 2

    Args:
        n: number of fields.
        shape: ``(M, N)``.
        random: the generator.
    Returns: ``[n, 2, M, N]``, in pixels, first along the rows' axis. :func:`strain` is 1.
    Example:
        >>> field = random_field(3, (32, 32), torch.Generator().manual_seed(0))
        >>> strain(field).round(decimals=3)
        tensor([1., 1., 1.])
    """
    M, N = shape
    kept = torch.cartesian_prod(
        torch.arange(-_WAVES, _WAVES + 1), torch.arange(-_WAVES, _WAVES + 1)
    )
    kept = kept[(kept.square().sum(1) <= _WAVES**2) & (kept != 0).any(1)]
    waves = torch.zeros(n, 2, M, N, dtype=torch.complex64)
    values = torch.randn(n, 2, len(kept), 2, generator=random)
    waves[..., kept[:, 0], kept[:, 1]] = torch.view_as_complex(values)
    field = torch.fft.ifft2(waves).real
    return field / strain(field).view(-1, 1, 1, 1)


def strain(field: Tensor) -> Tensor:
    """``|∇τ|_∞``: the largest spectral norm of the Jacobian over the pixels of a periodic field
    ``[n, 2, M, N]``: ``[n]``.

    For a matrix ``[[a, b], [c, d]]`` it is ``(|(a + d, c - b)| + |(a - d, b + c)|) / 2``.
    """
    M, N = field.shape[-2:]
    spectrum = 2j * math.pi * torch.fft.fft2(field)
    along_rows = torch.fft.ifft2(spectrum * torch.fft.fftfreq(M)[:, None]).real
    along_columns = torch.fft.ifft2(spectrum * torch.fft.fftfreq(N)).real
    a, c = along_rows.unbind(1)
    b, d = along_columns.unbind(1)
    norm = (torch.hypot(a + d, c - b) + torch.hypot(a - d, b + c)) / 2
    return norm.amax((-2, -1))


def deform(x: Tensor, field: Tensor) -> Tensor:
    """``x(u - τ(u))``, bicubic between pixels, reflected at the edges.

    Args:
        x: images ``[n, C, M, N]``.
        field: ``τ [n, 2, M, N]`` in pixels, first along the rows' axis.
    Returns: the shape of ``x``.
    Example:
        >>> x = torch.rand(1, 1, 8, 8)
        >>> torch.allclose(deform(x, torch.zeros(1, 2, 8, 8)), x, atol=1e-5)
        True
    """
    M, N = x.shape[-2:]
    rows = torch.arange(M)[:, None] - field[:, 0]
    columns = torch.arange(N) - field[:, 1]
    places = torch.stack([(2 * columns + 1) / N - 1, (2 * rows + 1) / M - 1], -1)
    return nn.functional.grid_sample(
        x, places.to(x.dtype), mode="bicubic", padding_mode="reflection", align_corners=False
    )


def turn(x: Tensor, degrees: float, scale: float = 1.0) -> Tensor:
    """``x(s R u)``: turned about the middle of the image, against the clock, and enlarged by ``1 /
    s``; as :func:`deform`.

    Example:
        >>> x = torch.rand(1, 1, 8, 8)
        >>> torch.allclose(turn(x, 90), x.rot90(1, (-2, -1)), atol=1e-5)
        True
    """
    M, N = x.shape[-2:]
    rows = (torch.arange(M) - (M - 1) / 2)[:, None].expand(M, N)
    columns = (torch.arange(N) - (N - 1) / 2).expand(M, N)
    angle = math.radians(degrees)
    c, s = scale * math.cos(angle), scale * math.sin(angle)
    field = torch.stack([rows - (c * rows + s * columns), columns - (c * columns - s * rows)])
    return deform(x, field[None].expand(len(x), -1, -1, -1))


def wave_packet(dilation: float) -> Tensor:
    """``g(s u) cos(ξ s u_1)`` with ``s = 1 - ε``, that is ``τ(u) = ε u``: ``[1, 1, M, M]``. Its
    frequency moves by ``ε ξ``, soon further than the packet is wide in Fourier.

    Example:
        >>> wave_packet(0.1).shape
        torch.Size([1, 1, 128, 128])
    """
    side, width, xi = _PACKET
    u = (1 - dilation) * (torch.arange(side) - side // 2)
    envelope = torch.exp(-(u[:, None] ** 2 + u**2) / (2 * width**2))
    return (envelope * torch.cos(xi * u)[:, None])[None, None]


def table(curves: Sequence[Curve]) -> str:
    """The curves as text: a block for each change, a row for each representation.

    Example:
        >>> print(table([Curve("shift", "pixels", (0, 1), (0, 0.5), 0.5)]))
        shift                    0       1   slope
        pixels               0.000   0.500    0.50
    """
    lines, width = [], max(map(len, [*(c.name for c in curves), "Fourier modulus"]))
    for change in dict.fromkeys(curve.change for curve in curves):
        block = [curve for curve in curves if curve.change == change]
        lines.append(f"{change:<{width}}" + "".join(f"{a:>8g}" for a in block[0].x) + "   slope")
        for curve in block:
            values = "".join(f"{distance:>8.3f}" for distance in curve.y)
            lines.append(f"{curve.name:<{width}}{values}{curve.slope:>8.2f}")
    return "\n".join(lines)


def plot(curves: Sequence[Curve], path: str | Path, note: str = "") -> None:
    """Draw the curves as a PNG, a panel for each change.

    Args:
        curves: what :func:`stability` returned.
        path: of the PNG.
        note: a line under the title: which images, which network.
    Raises: ImportError: matplotlib is not installed. ValueError, OSError: nothing can be written
        under this name.
    """
    changes = {
        "shift": ("Shifts", "shift in pixels"),
        "deformation": ("Smooth deformations", "strain  |∇τ|"),
        "rotation": ("Rotations", "degrees"),
        "scaling": ("Enlargements", "strain  |∇τ|"),
        "dilation": ("Dilation of a wave packet", "strain  |∇τ|"),
    }
    names = list(dict.fromkeys(curve.name for curve in curves))
    shown = [change for change in changes if any(c.change == change for c in curves)]
    with panels(path, len(shown), "Stability", note) as axes:
        for ax, change in zip(axes, shown, strict=True):
            for curve in (c for c in curves if c.change == change):
                style = names.index(curve.name)
                ax.plot(curve.x, curve.y, color=COLOURS[style], marker=MARKERS[style],
                        label=curve.name, clip_on=False)  # fmt: skip
            ax.set_title(changes[change][0])
            ax.set_xlabel(changes[change][1])
            ax.set_xlim(left=0)
            ax.set_ylim(bottom=0)
        axes[0].set_ylabel("relative distance")


def _curve(
    change: str,
    name: str,
    phi: Representation,
    x: Tensor,
    amounts: Sequence[float],
    changed: Callable[[float], Tensor],
) -> Curve:
    before = phi(x)
    size = before.norm(dim=1).clamp(min=_TINY)
    y = [float(((phi(changed(a)) - before).norm(dim=1) / size).mean()) for a in amounts]
    slope = max((d / a for a, d in zip(amounts, y, strict=True) if a > 0), default=math.nan)
    return Curve(change, name, tuple(map(float, amounts)), tuple(y), slope)


def _check_amounts(name: str, amounts: Sequence[float], limit: float) -> None:
    bound = "" if limit == math.inf else f" and below {limit:g}"
    try:
        fine = len(amounts) > 0 and all(0 <= a < limit for a in amounts)
    except TypeError:
        fine = False
    if not fine:
        raise ValueError(f"stability: {name} must be numbers from 0{bound}; got {told(amounts)}")
