"""Filters of signals in words, in a picture and in a file, and what they make of a signal: the
commands ``scatcuda filters --Q`` and ``scatcuda scalogram``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..terminal import Bar, printable
from ..transforms.scattering1d import Scattering1D
from .style import BLUE, GREY, PALE, RUST, Sheet, drawn, scale_colours, shade

__all__ = [
    "draw_scalogram",
    "draw_signal_bank",
    "signal_facts",
    "signal_filters_report",
    "signal_text",
]

_TINY = 1e-20
_COLUMNS = 1500  # of a picture over time; more are not seen


def signal_filters_report(
    J: int, N: int, Q: int | tuple[int, ...] = 8, output: str | Path | None = None
) -> str:
    """Tell what the banks of signals hold, and draw or save them.

    Args:
        J, N, Q: as for :class:`scatcuda.Scattering1D`.
        output: a ``.png`` for a picture, a ``.safetensors`` for the filters, ``psi1``, ``psi2``
            ``[n, Np]`` and ``phi [Np]``; None for neither.
    Returns: Lines of text.
    Raises: TypeError, ValueError: an argument is wrong; OSError: the file cannot be written.
    Example:
        >>> print(signal_filters_report(6, 4096, 8))
        bank       38 wavelets of order 1, 7 of order 2; signals of 4096 padded to 8192
        frequency  0.004 to 0.435 and 0.005 to 0.350 cycles a sample
        paths      126: 1 of order 0, 38 of order 1, 87 of order 2, each 64
        energy     0.000 to 0.564 and 0.154 to 0.621 of the frequencies, beyond φ (Littlewood–Paley)
    """
    return signal_text(signal_facts(J, N, Q, output))


def signal_facts(
    J: int, N: int, Q: int | tuple[int, ...] = 8, output: str | Path | None = None
) -> dict[str, Any]:
    """What `signal_filters_report` tells, in numbers; arguments, files and errors are the same.

    Example:
        >>> signal_facts(6, 4096)["wavelets"]
        [38, 7]
    """
    suffix = Path(output).suffix.lower() if output else ""
    if output and suffix not in (".png", ".safetensors"):
        raise ValueError(f"output must end in .png or .safetensors, got {output}")
    scattering = Scattering1D(J, N, Q)
    (N,) = scattering.shape
    banks = _banks(scattering)
    xi = [[psi["xi"] for psi in bank] for bank in (scattering.psi1_f, scattering.psi2_f)]
    sizes: Any = scattering.output_size(detail=True)
    if suffix == ".png":
        draw_signal_bank(str(output), scattering)
    elif output:
        from ..files import write_tensors

        tensors = dict(zip(("psi1", "psi2", "phi"), map(torch.from_numpy, banks), strict=True))
        write_tensors(output, tensors, {"scatcuda": "filters of signals"})
    return {
        "of": "signals",
        "J": scattering.J,
        "Q": list(scattering.Q),
        "length": N,
        "padded": scattering.pad_left + N + scattering.pad_right,
        "wavelets": [len(some) for some in xi],
        "frequency": [[float(min(some)), float(max(some))] for some in xi],
        "paths": list(sizes),
        "size": scattering.output_shape[1],
        "energy": [list(_bounds(_kept(bank, banks[2]))) for bank in banks[:2]],
        "output": None if output is None else str(output),
    }


def signal_text(facts: dict[str, Any]) -> str:
    """`signal_facts` in lines."""
    first, second = facts["wavelets"]
    orders = ", ".join(f"{count} of order {order}" for order, count in enumerate(facts["paths"]))
    lines = {
        "bank": f"{first} wavelets of order 1, {second} of order 2; signals of {facts['length']} "
        f"padded to {facts['padded']}",
        "frequency": " and ".join(f"{low:.3f} to {high:.3f}" for low, high in facts["frequency"])
        + " cycles a sample",
        "paths": f"{sum(facts['paths'])}: {orders}, each {facts['size']}",
        "energy": " and ".join(f"{low:.3f} to {high:.3f}" for low, high in facts["energy"])
        + " of the frequencies, beyond φ (Littlewood–Paley)",
    }
    if facts["output"]:
        lines["written"] = printable(facts["output"])
    return "\n".join(f"{name:<10} {text}" for name, text in lines.items())


def _banks(scattering: Scattering1D[Any]) -> tuple[NDArray[np.float64], ...]:
    """Wavelets of order 1 and 2 ``[n, Np]`` and the low-pass ``[Np]``, in Fourier."""
    first, second = (
        np.stack([psi["levels"][0][:, 0].double().numpy() for psi in bank])
        for bank in (scattering.psi1_f, scattering.psi2_f)
    )
    return first, second, scattering.phi_f["levels"][0][:, 0].double().numpy()


def _kept(psi: NDArray[np.float64], phi: NDArray[np.float64]) -> NDArray[np.float64]:
    """The Littlewood–Paley sum by frequency, from 0 to a half: of a real signal, wavelets with
    their mirror images."""
    half = psi.shape[1] // 2 + 1
    power = (psi**2).sum(0)
    found: NDArray[np.float64] = (phi**2 + (power + np.roll(power[::-1], 1)) / 2)[:half]
    return found


def _bounds(kept: NDArray[np.float64]) -> tuple[float, float]:
    return float(kept.min()), float(kept[len(kept) // 64 :].max())


def draw_signal_bank(
    path: str | Path, scattering: Scattering1D[Any], title: str = "Filters of signals"
) -> None:
    """Draw where the wavelets of both orders lie in frequency, some of them in time, and what
    energy they keep.

    Raises: as :func:`scatcuda.draw.bank.draw_bank`.
    """
    first, second, phi = _banks(scattering)
    (N,) = scattering.shape
    with drawn(path, Sheet.size(1)) as figure:
        Q = ", ".join(map(str, scattering.Q))
        sheet = Sheet(figure, title, f"J = {scattering.J}, Q = {Q}, signals of {N} samples")
        _in_time(sheet.panel(0, 0, "Wavelets in time", "real part, samples"), scattering, first)
        for column, (psi, order) in enumerate(((first, 1), (second, 2)), 1):
            axes = sheet.panel(
                0, column, f"Order {order} in frequency", f"{len(psi)} wavelets, cycles a sample"
            )
            _in_frequency(axes, psi, phi)
        axes = sheet.panel(0, 3, "Littlewood–Paley sum", "energy kept")
        _axis_of_frequency(axes, first.shape[1])
        for psi, order, colour in ((first, 1, BLUE), (second, 2, RUST)):
            kept = _kept(psi, phi)
            axes.plot(np.arange(len(kept)) / psi.shape[1], kept, color=colour, label=str(order))
            axes.text(0.96, 0.98 - 0.08 * order, f"order {order}", color=colour, ha="right",
                      transform=axes.transAxes)  # fmt: skip
        axes.set_ylim(0, 1.1)
        axes.set_yticks([0, 0.5, 1])


def _axis_of_frequency(axes: Any, N: int) -> None:
    axes.set_xscale("log", base=2)
    axes.set_xlim(max(2 / N, 2.0**-12), 0.5)
    ticks = [2.0**-k for k in range(1, 13, 2) if 2.0**-k >= max(2 / N, 2.0**-12)]
    axes.set_xticks(ticks, [f"1/{round(1 / tick)}" for tick in ticks])
    axes.minorticks_off()


def _in_frequency(axes: Any, psi: NDArray[np.float64], phi: NDArray[np.float64]) -> None:
    """Each scaled to a maximum of 1."""
    N = psi.shape[1]
    w = np.arange(N // 2 + 1) / N
    _axis_of_frequency(axes, N)
    for f, colour in zip(psi, scale_colours(len(psi)), strict=True):
        axes.plot(w, f[: len(w)] / f.max(), color=colour, linewidth=1.1)
    axes.plot(w, phi[: len(w)] / phi[0], color=RUST, linewidth=1.6)
    axes.text(2.5 / N if N < 2**13 else 2.0**-11.7, 0.9, "φ", color=RUST, fontsize=13)
    axes.set_ylim(0, 1.1)
    axes.set_yticks([0, 1])


def _in_time(axes: Any, scattering: Scattering1D[Any], psi: NDArray[np.float64]) -> None:
    """One of every octave, under each other, each scaled to a maximum of 1."""
    scales = [filter["j"] for filter in scattering.psi1_f]
    shown = [scales.index(j) for j in sorted(set(scales))][:6]
    half = min(8 << scales[shown[-1]], psi.shape[1] // 2)
    t = np.arange(-half, half)
    for row, n in enumerate(shown):
        wave = np.fft.ifft(psi[n]).real[t]
        axes.plot(t, 0.45 * wave / np.abs(wave).max() - row, color=BLUE, linewidth=1)
        axes.text(-half, 0.28 - row, f"j = {scales[n]}", color=GREY, ha="left")
    axes.set_ylim(-len(shown) + 0.4, 0.6)
    axes.set_xticks([-half, 0, half])


def draw_scalogram(
    path: str | Path,
    x: Tensor,
    J: int = 8,
    Q: int | tuple[int, ...] = 8,
    rate: float = 1.0,
    title: str = "Scattering of a signal",
) -> None:
    """Draw a signal, its scalogram ``|x ⋆ ψ|``, and its coefficients of the first and the second
    order over time.

    Args:
        path: ends in .png.
        x: ``[N]``, real.
        J, Q: as for :class:`scatcuda.Scattering1D`.
        rate: samples a second; 1: the axes count samples.
        title: stands above.
    Raises: as :func:`scatcuda.draw.bank.draw_bank`, and TypeError, ValueError: ``x`` is no signal.
    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     draw_scalogram(f"{folder}/chirp.png", torch.linspace(0, 30, 4096).square().sin())
    """
    if not isinstance(x, Tensor) or x.ndim != 1 or x.is_complex():
        found = f"{x.dtype} {list(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
        raise TypeError(f"draw_scalogram: x must be a real signal [N]; got {found}")
    x = x.float()
    (N,) = x.shape
    with Bar(3, "step") as bar:
        S = Scattering1D(J, N, Q)
        meta = S.meta()
        bar.update(1)
        fine = Scattering1D(J, N, Q, T=0, max_order=1, out_type="list")(x)
        U = torch.stack([_columns(path["coef"]) for path in fine[1:]])
        bar.update(1)
        coefficients = S(x)
        bar.update(1)
    order = torch.from_numpy(meta["order"])
    first, second = coefficients[order == 1], coefficients[order == 2]
    xi2 = torch.from_numpy(meta["xi"][meta["order"] == 2, 1]) if len(second) else torch.zeros(0)
    rows = [second[xi2 == value].mean(0) for value in sorted(set(xi2.tolist()), reverse=True)]
    with drawn(path, Sheet.size(2)) as figure:
        words = ", ".join(map(str, S.Q))
        unit = "s" if rate != 1 else "samples"
        sheet = Sheet(figure, title, f"{N / rate:.4g} {unit}, J = {J}, Q = {words}")
        end = N / rate
        axes = sheet.panel(0, 0, "Signal", "x", 2)
        axes.plot(torch.linspace(0, end, min(N, 8000)), x[_places(N, 8000)], color=BLUE, lw=0.6)
        axes.set_xlim(0, end)
        axes.set_xticks([0, end], ["0", f"{end:.3g}"])
        frequencies = [psi["xi"] * rate for psi in S.psi1_f]
        seconds = [value * rate for value in sorted(set(xi2.tolist()), reverse=True)]
        for place, values, name, note, axis in (
            ((0, 2), U, "Scalogram", "|x ⋆ ψ|", frequencies),
            ((1, 0), first, "Order 1", "|x ⋆ ψ| ⋆ φ", frequencies),
            ((1, 2), torch.stack(rows) if rows else first[:0], "Order 2",
             "||x ⋆ ψ| ⋆ ψ| ⋆ φ, mean over the first ψ", seconds),
        ):  # fmt: skip
            _over_time(sheet.panel(*place, name, note, 2), values, axis, end)


def _places(N: int, count: int) -> Tensor:
    return torch.linspace(0, N - 1, min(N, count)).round().long()


def _columns(values: Tensor) -> Tensor:
    """As many values as there are columns: the largest of those that meet, or the nearest."""
    if len(values) > _COLUMNS:
        return torch.nn.functional.adaptive_max_pool1d(values[None], _COLUMNS)[0]
    return values[_places(len(values), len(values))][
        torch.linspace(0, len(values) - 1, _COLUMNS).round().long()
    ]


def _over_time(axes: Any, values: Tensor, frequencies: Sequence[float], end: float) -> None:
    """Rows by falling frequency; 40 dB below the largest is white."""
    if not values.numel():
        axes.text(0.5, 0.5, "none", color=PALE, ha="center", transform=axes.transAxes)
        return
    level = 20 * (values.clamp(min=0) / values.max().clamp(min=_TINY) + _TINY).log10()
    shade(axes, 1 + (level / 40).clamp(min=-1), "nearest", extent=(0, end, len(values), 0))
    axes.set_xticks([0, end], ["0", f"{end:.3g}"])
    marks = sorted({0, len(frequencies) // 2, len(frequencies) - 1})
    axes.set_yticks([mark + 0.5 for mark in marks], [_said(frequencies[mark]) for mark in marks])


def _said(frequency: float) -> str:
    if frequency >= 1000:
        return f"{frequency / 1000:.2g}k"
    digits = max(0, 1 - math.floor(math.log10(max(frequency, 1e-9))))
    return f"{frequency:.{min(digits, 4)}f}"
