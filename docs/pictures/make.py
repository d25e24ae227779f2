"""Draws the pictures of docs/guide/transforms.md, one a transform.

    python docs/pictures/make.py [NAME ...]

Needs matplotlib and scikit-image, whose images they are of, and about a minute for all of them.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scatcuda import (
    Cascade,
    HarmonicScattering3D,
    ReducedCovariance,
    RotoTranslationScattering2D,
    Scattering2D,
    ScatteringCovariance,
    TimeFrequencyScattering,
    WaveletPhaseHarmonics,
)
from scatcuda.draw.bank import angles_of
from scatcuda.draw.figure import _discs
from scatcuda.draw.joint import draw_angular_wavelets, draw_joint_wavelets, draw_solid_harmonics
from scatcuda.draw.signals import draw_scalogram
from scatcuda.draw.style import BLUE, GREY, PALE, RUST, Sheet, drawn, scale_colours, shade
from scatcuda.draw.synthesis import field
from scatcuda.synthesis import synthesise
from scatcuda.synthesis.fields import gaussian_like

HERE = Path(__file__).parent


def camera(side: int) -> Tensor:
    """scikit-image's photograph, ``[side, side]`` in [0, 1]."""
    from skimage import data, transform

    return torch.from_numpy(transform.resize(data.camera(), (side, side), anti_aliasing=True))


def texture(name: str, side: int) -> Tensor:
    """A corner of one of scikit-image's textures, of mean 0 and deviation 1."""
    from skimage import data

    x = torch.from_numpy(getattr(data, name)()[:side, :side]).double()
    return (x - x.mean()) / x.std()


def filaments(side: int = 128) -> Tensor:
    """A field that is not Gaussian: ridges of smooth noise."""
    noise = torch.randn(side, side, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    k = torch.fft.fftfreq(side, dtype=torch.float64) * side
    k = torch.hypot(k[:, None], k)
    smooth = torch.fft.ifft2(torch.fft.fft2(noise) * torch.exp(-((k / 9) ** 2) / 2)).real
    x = torch.exp(-8 * (smooth / smooth.std()).abs())
    return x / x.std()


def mosaic(planes: Tensor, gap: int = 1) -> Tensor:
    """Planes ``[rows, columns, m, n]`` side by side, a gap between them."""
    padded = torch.nn.functional.pad(planes, (gap, gap, gap, gap))
    return torch.cat([torch.cat([*row], 1) for row in padded], 0)


def open_axes(axes: Any) -> None:
    """A panel of curves: no frame above and to the right."""
    for edge in ("top", "right"):
        axes.spines[edge].set_visible(False)


def scattering2d(path: Path) -> None:
    x, J, L = camera(128), 3, 8
    scattering = Scattering2D(J, (128, 128), L).double()
    S, order = scattering(x), torch.from_numpy(scattering.meta()["order"])
    first = S[order == 1].unflatten(0, (J, L))
    first = first / first.amax((1, 2, 3), keepdim=True)
    first = _discs(first, angles_of(scattering.bank), cell=46)
    j = torch.from_numpy(scattering.meta()["j"])
    pair = (order == 2) & (j[:, 0] == 0) & (j[:, 1] == 1)
    second = S[pair].unflatten(0, (L, L))
    with drawn(path, Sheet.size(1)) as figure:
        note = f"128 × 128 pixels, J = {J}, L = {L}: {len(S)} channels of 16 × 16"
        sheet = Sheet(figure, "Scattering2D", note)
        field(sheet.panel(0, 0, "Image", "x"), x)
        field(sheet.panel(0, 1, "Order 0", "x ⋆ φ"), S[0])
        axes = sheet.panel(0, 2, "Order 1", "|x ⋆ ψ| ⋆ φ")
        shade(axes, first, "hanning")
        axes.set_xlabel("at each position, ring: scale, sector: angle", color=GREY)
        axes = sheet.panel(0, 3, "Order 2", "||x ⋆ ψ| ⋆ ψ| ⋆ φ, j = 0, 1")
        shade(axes, mosaic(second / second.max()), "nearest")
        axes.set_xlabel("first angle downwards, second to the right", color=GREY)


def scattering1d(path: Path) -> None:
    rate = 8000
    t = torch.arange(2 * rate, dtype=torch.float64) / rate
    chirp = torch.sin(2 * math.pi * 60 * (2 ** (2.2 * t) - 1) / (2.2 * math.log(2)))
    tone = torch.sin(2 * math.pi * 2000 * t) * (1 + torch.cos(2 * math.pi * 25 * t)) / 2
    clicks = torch.zeros_like(t)
    clicks[rate // 3 :: rate // 3] = 6.0
    x = 0.6 * chirp + 0.6 * tone * (t > 1) + clicks
    title = "Scattering1D: a rising tone, clicks, and from 1 s on a beating tone"
    draw_scalogram(path, x, J=10, Q=8, rate=rate, title=title)


def timefrequency(path: Path) -> None:
    draw_joint_wavelets(
        path, TimeFrequencyScattering(J=8, J_fr=3, Q=8, shape=8192), "TimeFrequencyScattering"
    )


def rototranslation(path: Path) -> None:
    draw_angular_wavelets(path, 8, title="RotoTranslationScattering2D: wavelets ψ(u) h(θ)")


def rotations(path: Path) -> None:
    from skimage import data, transform

    J, side, L = 4, 128, 8
    angles = list(range(0, 181, 10))
    whole = data.brick() / 255.0
    turned = []
    for angle in angles:
        middle = transform.rotate(whole, angle, order=3)[192:320, 192:320]
        turned.append(torch.from_numpy(middle.copy()))
    x = torch.stack(turned)
    x = (x - x.mean((1, 2), keepdim=True)) / x.std((1, 2), keepdim=True)
    plain = Scattering2D(J, (side, side), L).double()(x).mean((2, 3))
    joint = RotoTranslationScattering2D(J, (side, side), L, pool="mean").double()(x)
    with drawn(path, Sheet.size(1)) as figure:
        sheet = Sheet(figure, "Turned bricks", "means over positions; relative change by angle")
        for column, which in ((0, 0), (1, 4)):
            field(sheet.panel(0, column, f"{angles[which]}°", ""), x[which])
        axes = sheet.panel(0, 2, "Change of the features", "‖S x_angle − S x‖ / ‖S x‖", 2)
        for S, name, colour in ((plain, "Scattering2D", PALE),
                                (joint, "RotoTranslationScattering2D", RUST)):  # fmt: skip
            S = S[:, 1:]  # order 0 is 0
            change = (S - S[0]).norm(dim=1) / S[0].norm()
            axes.plot(angles, change, color=colour, linewidth=2.5, marker="o", label=name)
        axes.legend(frameon=False, fontsize=12)
        axes.set_xticks([0, 45, 90, 135, 180], ["0°", "45°", "90°", "135°", "180°"])
        axes.set_ylim(bottom=0)
        axes.set_yticks([0, 0.2, 0.4, 0.6, 0.8])
        open_axes(axes)


def harmonic3d(path: Path) -> None:
    draw_solid_harmonics(path, 3, "HarmonicScattering3D: solid harmonics")


def molecule(path: Path) -> None:
    side, J, L = 32, 2, 3
    axis = torch.arange(side, dtype=torch.float64) - side / 2
    grid = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1)
    atoms = torch.tensor([[0, 0, 0], [5, 0, 0], [-2, 4.5, 0], [-2, -2, 4]], dtype=torch.float64)

    def density(turn: Tensor) -> Tensor:
        places = atoms @ turn.T
        return sum(torch.exp(-((grid - p) ** 2).sum(-1) / (2 * 1.5**2)) for p in places)

    q, _ = torch.linalg.qr(
        torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    )
    moved = density(torch.eye(3, dtype=torch.float64)), density(q * torch.linalg.det(q))
    scattering = HarmonicScattering3D(J, (side,) * 3, L, sigma_0=1.5, integral_powers=(1.0,))
    S = scattering.double()(torch.stack(moved))[..., 0]
    with drawn(path, Sheet.size(1)) as figure:
        note = f"J = {J}, L = {L}, {side}³ voxels: the same numbers however the atoms are turned"
        sheet = Sheet(figure, "A density, turned", note)
        for column, (x, name) in enumerate(zip(moved, ("as it is", "turned"), strict=True)):
            shadow = x.sum(2)[5:27, 5:27]
            shade(
                sheet.panel(0, column, name, "sum along one axis"),
                shadow / shadow.max(),
                "bilinear",
            )
        axes = sheet.panel(0, 2, "Coefficients", "by path and degree, of both", 2)
        names = ["0", "1", "2", "0, 1", "0, 2", "1, 2"]
        colours = scale_colours(L + 1)
        for l in range(L + 1):
            places = torch.arange(len(names)) + (l - L / 2) * 0.2
            axes.bar(places, S[0, :, l], 0.17, color=colours[l], label=f"l = {l}")
            label = "the turned one" if l == L else None
            axes.plot(places, S[1, :, l], "_", color=RUST, ms=13, mew=2.5, label=label)
        axes.set_yscale("log")
        axes.set_xticks(range(len(names)), [f"j = {name}" for name in names])
        axes.legend(frameon=False, fontsize=11, ncols=5, loc="upper right")
        axes.set_ylim(top=float(S.max()) * 2.2)
        open_axes(axes)


def covariance(path: Path) -> None:
    x = filaments()
    shown = {"Filaments": x, "Gaussian": gaussian_like(x, 1, 0)[0]}
    statistics = ScatteringCovariance((128, 128), J=6).double()
    shown["From S1 … S4"] = synthesise(x, statistics, n=1, steps=300, seed=0).x[0]
    with drawn(path, Sheet.size(2)) as figure:
        sheet = Sheet(
            figure, "ScatteringCovariance", "three fields of one power spectrum, J = 6, L = 4"
        )
        notes = ("the target", "its spectrum alone", "made from its statistics")
        for column, ((name, y), note) in enumerate(zip(shown.items(), notes, strict=True)):
            field(sheet.panel(0, column, name, note), y, x)
        axes = {
            "S2": sheet.panel(0, 3, "S2", "power, by scale"),
            "S1": sheet.panel(1, 0, "S1", "⟨|x ⋆ ψ|⟩ / √S2, sparsity"),
            "S3": sheet.panel(1, 1, "S3", "|…|, by j2, j1 = 0: phases"),
            "S4": sheet.panel(1, 2, "S4", "|…|, by j3, j1 = 0, j2 = 1", 2),
        }
        plain = ScatteringCovariance((128, 128), J=6, normalise=False).double()
        for (name, y), colour, width in zip(shown.items(), (RUST, GREY, BLUE), (5, 2.5, 2),
                                            strict=True):  # fmt: skip
            s = statistics.statistics(y)
            pairs, triples = statistics._plan.pairs, statistics._plan.triples
            third = s["S3"][[i for i, (j1, _) in enumerate(pairs) if j1 == 0]]
            fourth = s["S4"][[i for i, t in enumerate(triples) if t[:2] == (0, 1)]]
            curves = {
                "S1": s["S1"].mean(1), "S2": plain.statistics(y)["S2"].mean(1),
                "S3": third.abs().mean((1, 2)), "S4": fourth.abs().mean((1, 2, 3)),
            }  # fmt: skip
            style = {"color": colour, "linewidth": width, "marker": "o", "label": name}
            for block, values in curves.items():
                first = 6 - len(values)
                axes[block].plot(range(first, 6), values.detach(), alpha=0.85, **style)
        axes["S2"].set_yscale("log")
        axes["S4"].legend(frameon=False, fontsize=12)
        for one in axes.values():
            one.set_xticks(range(6))
            one.set_yticks([])
            open_axes(one)
            one.set_ylim(**({} if one is axes["S2"] else {"bottom": 0}))


def phases(path: Path) -> None:
    x = filaments()
    other = gaussian_like(x, 1, 0)[0]
    wph = WaveletPhaseHarmonics((128, 128), J=5, L=4, dn=0, normalise="auto").double()
    meta = wph.meta()
    with drawn(path, Sheet.size(1)) as figure:
        note = "|C01|: modulus at scale j1, downwards, and wave at j2, to the right; same angles"
        sheet = Sheet(figure, "WaveletPhaseHarmonics", note)
        field(sheet.panel(0, 0, "Filaments", ""), x, x)
        field(sheet.panel(0, 1, "Gaussian", "the same power spectrum"), other, x)
        kinds = torch.tensor([k == "C01" for k in meta["class"]])
        same = torch.from_numpy((meta["theta1"] == meta["theta2"]) & (meta["n"] == 0))
        chosen = kinds & same
        j1, j2 = (torch.from_numpy(meta[name])[chosen] for name in ("j1", "j2"))
        largest = 0.0
        tables = []
        for y in (x, other):
            C = wph(y)[chosen].abs()
            table = torch.zeros(4, 4, dtype=torch.float64)
            for a in range(4):
                for b in range(a + 1, 5):
                    table[a, b - 1] = C[(j1 == a) & (j2 == b)].mean()
            largest = max(largest, float(table.max()))
            tables.append(table)
        for column, (table, name) in enumerate(zip(tables, ("Filaments", "Gaussian"), strict=True)):
            axes = sheet.panel(0, 2 + column, f"|C01|, {name}", "")
            shade(axes, table / largest, "nearest")
            for a in range(4):
                for b in range(a, 4):
                    value = float(table[a, b])
                    colour = "white" if value > 0.6 * largest else "black"
                    axes.text(b, a, f"{value:.2f}", ha="center", va="center", color=colour)
            axes.set_xticks(range(4), ["1", "2", "3", "4"])
            axes.set_yticks(range(4), ["0", "1", "2", "3"])


def reduced(path: Path) -> None:
    side = 64
    whole = texture("brick", 512)
    crops = whole.unfold(0, side, 32).unfold(1, side, 32).flatten(0, 1)
    statistics = ScatteringCovariance((side, side), J=5)
    found = {}
    for name, module in (("S1 … S4", statistics), ("ReducedCovariance", None)):
        module = module or ReducedCovariance(statistics)
        S = module.double()(crops)
        found[name] = (S.mean(0).abs() / S.std(0).clamp(min=1e-30)).sort(descending=True).values
    with drawn(path, Sheet.size(1)) as figure:
        note = f"{len(crops)} patches of bricks, {side} × {side}, J = 5, L = 4"
        sheet = Sheet(figure, "ReducedCovariance", note)
        for column, which in ((0, 0), (1, 100)):
            field(sheet.panel(0, column, "Bricks", "a patch"), crops[which], whole)
        axes = sheet.panel(
            0, 2, "What samples show", "|mean| / deviation of each number, sorted", 2
        )
        for (name, values), colour in zip(found.items(), (PALE, RUST), strict=True):
            axes.loglog(range(1, len(values) + 1), values, color=colour, lw=2.5, label=name)
        axes.axhline(2, color=GREY, linewidth=1)
        axes.text(1.2, 2.2, "threshold = 2", color=GREY, fontsize=12)
        axes.set_ylim(0.05, float(found["ReducedCovariance"].max()) * 1.5)
        axes.minorticks_off()
        axes.set_xticks([1, 10, 100, 1000], ["1", "10", "100", "1000"])
        axes.set_yticks([0.1, 1, 10, 100], ["0.1", "1", "10", "100"])
        axes.legend(frameon=False, fontsize=12)
        open_axes(axes)


def cascade(path: Path) -> None:
    x = camera(256)
    layers = Cascade(J=4, shape=(256, 256), L=8, depth=3).double().propagate(x)
    chosen = [((), 0), ((0,), 3), ((0, 2), 3 * 8 + 3), ((0, 2, 3), (3 * 8 + 3) * 8 + 3)]
    names = ["x", "|x ⋆ ψ|", "||x ⋆ ψ| ⋆ ψ|", "|||x ⋆ ψ| ⋆ ψ| ⋆ ψ|"]
    with drawn(path, Sheet.size(1)) as figure:
        note = "one path, j = 0, 2, 3: after each wavelet and modulus, before the average"
        sheet = Sheet(figure, "Cascade", note)
        for order, (layer, (p, channel), name) in enumerate(zip(layers, chosen, names,
                                                                strict=True)):  # fmt: skip
            U = layer[p][channel]
            m, n = U.shape
            crop = U[m // 8 : -(m // 8), n // 8 : -(n // 8)]
            axes = sheet.panel(0, order, f"U of {order} wavelet{'s' * (order != 1)}", name)
            if order == 0:
                field(axes, crop)
            else:
                shade(axes, crop / crop.quantile(0.995), "nearest")


PICTURES: dict[str, Callable[[Path], None]] = {
    f.__name__: f
    for f in (
        scattering2d, scattering1d, timefrequency, rototranslation, rotations, harmonic3d,
        molecule, covariance, phases, reduced, cascade,
    )
}  # fmt: skip


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in PICTURES]
    if unknown:
        print(f"make.py: no such picture, {', '.join(unknown)}; there are {', '.join(PICTURES)}")
        return 2
    torch.manual_seed(0)
    for name in names or PICTURES:
        path = HERE / f"{name}.png"
        PICTURES[name](path)
        print(f"{path.name:<24} {path.stat().st_size / 1000:6.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
