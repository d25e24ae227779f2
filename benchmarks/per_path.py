"""Scattering one path at a time, as Kymatio 0.3.0's torch backend does it: what a GPU is measured
against where Kymatio itself is not installed.

Every wavelet of every path is a product, a fold, an inverse FFT, a modulus and a forward FFT of its
own, every low-pass a product, a fold and an inverse FFT; complex numbers are pairs of real ones.
These are Kymatio's computations one for one, without its checks of every argument: a ratio to this
loop is no larger than the ratio to Kymatio would be.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

import scatcuda
from scatcuda import banks


class PerPath(nn.Module):
    """Order-2 scattering ``x [..., M, N] -> [..., C, m, n]`` with the Morlet bank."""

    def __init__(self, J: int, shape: tuple[int, int], L: int) -> None:
        super().__init__()
        bank = scatcuda.Scattering2D(J, shape, L)
        surplus = bank._M_padded - shape[0], bank._N_padded - shape[1]
        left, top = surplus[1] // 2, surplus[0] // 2
        self.pad = nn.ReflectionPad2d((left, surplus[1] - left, top, surplus[0] - top))
        self.J = J
        self.scales = [psi["j"] for psi in bank.psi]
        tables = {"phi": bank.phi, **{f"psi{n}": psi for n, psi in enumerate(bank.psi)}}
        for name, table in tables.items():
            for res, level in enumerate(table["levels"]):
                self.register_buffer(f"{name}_{res}", torch.tensor(level).unsqueeze(-1))

    def forward(self, x: Tensor) -> Tensor:
        filters, scales = dict(self.named_buffers()), self.scales

        def propagate(u_hat: Tensor, n: int, res: int) -> Tensor:
            """The spectrum of ``|IDFT fold(û ψ̂_n)|``"""
            return spectrum(modulus(fold(u_hat * filters[f"psi{n}_{res}"], scales[n] - res)))

        def average(u_hat: Tensor, res: int) -> Tensor:
            low = fold(u_hat * filters[f"phi_{res}"], self.J - res)
            return torch.fft.ifft2(torch.view_as_complex(low)).real[..., 1:-1, 1:-1]

        x_hat = spectrum(self.pad(x.reshape(-1, 1, *x.shape[-2:])).squeeze(1))
        S0, S1, S2 = [average(x_hat, 0)], [], []
        for n1, j1 in enumerate(scales):
            u1_hat = propagate(x_hat, n1, 0)
            S1.append(average(u1_hat, j1))
            for n2, j2 in enumerate(scales):
                if j2 > j1:
                    S2.append(average(propagate(u1_hat, n2, j1), j2))
        S = torch.stack([*S0, *S1, *S2], -3)
        return S.reshape(*x.shape[:-2], *S.shape[1:])


class PerAngle(nn.Module):
    """Means of roto-translation scattering ``x [..., M, N] -> [..., C]``, image by image and angle
    by angle, in plain PyTorch: what the papers' programs do, which no package does."""

    def __init__(self, J: int, shape: tuple[int, int], L: int) -> None:
        super().__init__()
        ours = scatcuda.RotoTranslationScattering2D(J, shape, L, pool="mean")
        padded = banks.padded_shape(shape, J)
        before = [(side - size) // 2 for side, size in zip(padded, shape, strict=True)]
        after = [p - size - b for p, size, b in zip(padded, shape, before, strict=True)]
        self.pad = nn.ReflectionPad2d((before[1], after[1], before[0], after[0]))
        self.inside = [
            [
                slice(-(-b >> j), (b + size - 1 >> j) + 1)
                for b, size in zip(before, shape, strict=True)
            ]
            for j in range(J)
        ]
        psi = ours.bank.psi
        self.register_buffer("psi", psi.float())
        for j1 in range(1, J):
            self.register_buffer(f"psi_{j1}", banks.crop(psi[j1 + 1 :], j1).float())
        self.register_buffer("angular", ours.angular.float())

    def forward(self, x: Tensor) -> Tensor:
        images = [self._of_one(one) for one in x.reshape(-1, *x.shape[-2:])]
        return torch.stack(images).reshape(*x.shape[:-2], -1)

    def _of_one(self, x: Tensor) -> Tensor:
        psi, (J, L) = dict(self.named_buffers()), self.psi.shape[:2]
        x_hat = torch.fft.fft2(self.pad(x[None, None])[0, 0])
        first, second = [x.mean()], []
        for j1 in range(J):
            U = torch.fft.ifft2(_folded(x_hat * psi["psi"][j1], j1)).abs()
            first += [self._mean(U, j1), *self._along(torch.cat([U, U]), 1, j1)]
            U_hat = torch.fft.fft2(U)[:, None]
            for j2 in range(j1 + 1, J):
                table = psi["psi"][j2] if j1 == 0 else psi[f"psi_{j1}"][j2 - j1 - 1]
                W = torch.fft.ifft2(_folded(U_hat * table, j2 - j1))
                for alpha in range(L):
                    half = [W[t, (t + alpha) % L] for t in range(L)]
                    half = [z.conj() if t + alpha >= L else z for t, z in enumerate(half)]
                    z = torch.stack(half)
                    second += self._along(torch.cat([z, z.conj()]), 0, j2)
        return torch.stack(first + second)

    def _along(self, z: Tensor, skipped: int, j: int) -> list[Tensor]:
        """Means of the moduli, one for each filter of angles but those that are left out."""
        spectra = torch.fft.fft(z, dim=0) * self.angular[skipped:, :, None, None]
        return [self._mean(one, j) for one in torch.fft.ifft(spectra, dim=1).abs()]

    def _mean(self, planes: Tensor, j: int) -> Tensor:
        rows, columns = self.inside[j]
        return planes[..., rows, columns].mean()


def _folded(u_hat: Tensor, octaves: int) -> Tensor:
    k, (M, N) = 1 << octaves, u_hat.shape[-2:]
    return u_hat.unflatten(-1, (k, N // k)).unflatten(-3, (k, M // k)).mean((-4, -2))


def spectrum(u: Tensor) -> Tensor:
    """DFT of real planes as pairs, ``[B, M, N] -> [B, M, N, 2]``, by a complex transform."""
    pairs = torch.zeros(*u.shape, 2, dtype=u.dtype, device=u.device)
    pairs[..., 0] = u
    return torch.view_as_real(torch.fft.fft2(torch.view_as_complex(pairs)))


def fold(u_hat: Tensor, octaves: int) -> Tensor:
    """The mean of the ``k x k`` aliases, ``k = 2^octaves``; pairs ``[B, M, N, 2]``."""
    if octaves == 0:
        return u_hat
    B, M, N, _ = u_hat.shape
    k = 2**octaves
    return u_hat.view(B, k, M // k, k, N // k, 2).mean(3).mean(1)


def modulus(u_hat: Tensor) -> Tensor:
    """``|IDFT û|``: ``[B, M, N, 2] -> [B, M, N]``."""
    z = torch.view_as_real(torch.fft.ifft2(torch.view_as_complex(u_hat)))
    return (z[..., 0] * z[..., 0] + z[..., 1] * z[..., 1]).sqrt()
