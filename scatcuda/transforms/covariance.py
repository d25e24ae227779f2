"""Scattering covariances of periodic or masked fields as a PyTorch module."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.fx import Proxy

from ..arguments import ArgumentError, InputError, boolean, integer, told
from ..banks.oriented import pack_fields, wavelets_of
from ..ops.constants import constants
from ..ops.products import fftn, whole
from ..ops.reference import modulus
from ..program.covariance import COMPLEX, CovariancePlan, Numbers, least_power
from ..program.fields import checked_covariance, sides_of
from ..program.packing import cropped, filters_of, numpy_dtype, tensors
from ..typing import Backend, BackendObject, Tier, Waves
from .statistics import FieldStatistics, leads

_CALLER = "ScatteringCovariance"


class ScatteringCovariance(FieldStatistics):
    """Means, powers and covariances of wavelet coefficients and of their moduli: the statistics
    that tell a field's texture, from which another one with the same texture can be made
    (:func:`scatcuda.synthesis.synthesise`). Of images and of signals.

    With ``W_i x = x * psi_i``, ``U_i = |W_i x|`` and ``<>`` the mean over all positions,

    ``S1 = <U_1>``, ``S2 = <|W_1 x|^2>``, ``S3 = <W_2 x conj W_2 U_1>`` for ``j1 <= j2``,
    ``S4 = <W_3 U_1 conj W_3 U_2>`` for ``j1 <= j2 <= j3``.

    Normalised, S1 is over ``sqrt(S2)``, S3 and S4 are over ``sqrt(P1 P2)``, the powers S2 of the
    wavelets ``(psi_1, psi_2)`` of their formula. A field's own powers normalise it, or those of a
    reference: S2 is then over the reference's, and the mean over the root of their sum.

    Planes of scale ``j`` keep the frequencies ``|k| < max(8, N / 2^j)`` of a side ``N``, or as many
    more as make the side a whole number of times smaller; of a prime one they keep all.

    Args:
        shape: ``(M, N)`` of images, or ``(N,)`` of signals, at least 16 each. The field is
            periodic: it goes on at the other end.
        J: number of octaves; None: ``log2 min(shape) - 1``, rounded down.
        L: number of angles in [0, pi); None: 4. Signals have one.
        Q: wavelets an octave; more than 1 is for signals.
        filters: ``"morlet"``, ``"bump"``, ``"gaussian"`` or ``"shannon"``, see
            :func:`scatcuda.banks.oriented.oriented`.
        normalise: whether statistics are normalised.
        isotropic: whether they are averaged over rotations of all angles together, so that they
            depend on ``theta2 - theta1`` and ``theta3 - theta1`` alone, and are real.
        mask: None; or weights ``[*shape]``, 0 or more, of the positions for the means, so that
            edges and holes take no part. Each scale has the mask's averages over its pixels.
            Without Parseval's formula, in PyTorch's own operations: slower.
        oversampling: by how many octaves planes are finer. The distance to statistics of planes
            of full resolution is printed by ``python -m benchmarks.resolution``.
        backend, tier, workspace: as for :class:`~scatcuda.Scattering2D`.
    Raises:
        TypeError, ValueError: an argument is of the wrong type or out of range; in a call, the
            input is no real tensor of the right size and device.
    Source: S. Cheng, R. Morel, E. Allys, B. Ménard and S. Mallat, "Scattering spectra models for
        physics", PNAS Nexus 2024; of signals R. Morel et al., "Scale dependencies and
        self-similar models with wavelet scattering spectra", 2022.
    Example:
        >>> covariance = ScatteringCovariance((64, 64), J=3)
        >>> covariance(torch.randn(2, 64, 64)).shape
        torch.Size([2, 1497])
        >>> {name: tuple(s.shape) for name, s in covariance.statistics(torch.randn(64, 64)).items()}
        {'mean': (), 'S1': (3, 4), 'S2': (3, 4), 'S3': (6, 4, 4), 'S4': (10, 4, 4, 4)}
    """

    def __init__(
        self,
        shape: Sequence[int],
        J: int | None = None,
        L: int | None = None,
        *,
        Q: int = 1,
        filters: Waves = "morlet",
        normalise: bool = True,
        isotropic: bool = False,
        mask: Tensor | NDArray[Any] | None = None,
        oversampling: int = 0,
        backend: Backend | BackendObject = "native",
        tier: Tier = "auto",
        workspace: int | None = None,
    ) -> None:
        super().__init__()
        self._plan: CovariancePlan = checked_covariance(
            _CALLER, shape, J, L, Q, filters, oversampling
        )
        sides = self._plan.shape
        self._J = self._plan.scales // self._plan.Q
        self._filters: Waves = filters
        self._normalise = boolean(_CALLER, "normalise", normalise)
        self._isotropic = boolean(_CALLER, "isotropic", isotropic)
        self._numbers = Numbers(self._plan, self._isotropic)
        self._scales_of_S3 = _columns(self._plan.pairs)
        self._scales_of_S4 = _columns(self._plan.triples)
        with constants():
            self._mask = None if mask is None else _checked_mask(mask, sides)
        self._program = self._plan.program.text
        self.input_shape: tuple[int, ...] = sides
        self._use(backend, tier, workspace)
        self._start()

    _caller = _CALLER

    # --- what it is ---

    @property
    def J(self) -> int:
        """Number of octaves."""
        return self._J

    @property
    def Q(self) -> int:
        """Wavelets an octave."""
        return self._plan.Q

    @property
    def normalise(self) -> bool:
        """Whether statistics are normalised."""
        return self._normalise

    @property
    def isotropic(self) -> bool:
        """Whether they are averaged over rotations."""
        return self._isotropic

    @property
    def mask(self) -> Tensor | None:
        """The weights of the positions."""
        return self._mask

    @property
    def output_shape(self) -> tuple[int]:
        """``(K,)``, the numbers of a field."""
        return (sum(self.sizes.values()),)

    @property
    def sizes(self) -> dict[str, int]:
        """How many numbers of a vector each block has, in their order."""
        return self._numbers.sizes

    def wavelets(self, j: int) -> Tensor:
        """Those of scale ``j`` of ``J Q``, ``[L, *shape]``, real and in Fourier, float64."""
        j = integer(_CALLER, "j", j, 0, self._plan.scales - 1)
        return torch.from_numpy(wavelets_of(self._plan, self._filters, j))

    def grid(self, j: int) -> tuple[int, ...]:
        """Sides of the planes of scale ``j``."""
        return self._plan.grid(integer(_CALLER, "j", j, 0, self._plan.scales - 1))

    def resized(self, shape: Sequence[int]) -> ScatteringCovariance:
        """The same statistics of fields of other sides, of which it has as many octaves less as
        they are smaller; without a mask."""
        sides = sides_of(_CALLER, shape)
        less = round(math.log2(min(self.shape) / min(sides)))
        made = ScatteringCovariance(
            sides, max(1, min(self.J - less, int(math.log2(min(sides))))), self.L, Q=self.Q,
            filters=self.filters, normalise=self.normalise, isotropic=self.isotropic,
            oversampling=self.oversampling, backend=self.backend, tier=self._tier,
            workspace=self._workspace,
        )  # fmt: skip
        return made.to(self._phi.device, self._phi.dtype)

    def meta(self) -> dict[str, NDArray[np.int64] | list[str]]:
        """What each of the ``K`` numbers of a call is.

        Returns: ``"block"``, names; and int64, -1 where there is none: ``"j1"``, ``"j2"``,
            ``"j3"``, scales; ``"theta1"``, ``"theta2"``, ``"theta3"``, angles in steps of pi / L,
            of isotropic statistics the differences to the first; ``"part"``, 0 of real numbers and
            real parts, 1 of imaginary ones.
        Example:
            >>> meta = ScatteringCovariance((32, 32), J=2, L=4, isotropic=True).meta()
            >>> [str(meta[key][-1]) for key in ("block", "j1", "j2", "j3", "theta1", "theta2")]
            ['S4', '1', '1', '1', '3', '3']
        """
        return self._numbers.meta()

    # --- what it does ---

    def forward(self, x: Tensor, reference: Tensor | None = None) -> Tensor:
        """The statistics of the fields ``x [..., *shape]`` as one vector.

        Args:
            reference: powers ``[..., J Q, L]`` that normalise, see :meth:`power`; None: their own.
        Returns: ``[..., K]``, as :meth:`meta` lists them.
        """
        if isinstance(x, Proxy):
            return self._leaf(x, reference=reference)
        return self.join(self.statistics(x, reference))

    def statistics(self, x: Tensor, reference: Tensor | None = None) -> dict[str, Tensor]:
        """The same in blocks: ``"mean" [...]``; ``"S1"``, ``"S2" [..., J Q, L]``; complex
        ``"S3" [..., pairs, L, L]`` and ``"S4" [..., triples, L, L, L]``, scales in the order of
        :func:`itertools.combinations_with_replacement`, angles in that of the formula. Isotropic
        ones have no first angle and are real."""
        x = self._checked(x, self._phi)
        return self._finished(self._moments(x), reference)

    def power(self, x: Tensor) -> Tensor:
        """``S2 [..., J Q, L]`` of the fields, which normalises others; 0 where rounding alone has
        left something.

        Example: statistics of noise in the units of a field
            >>> covariance, x = ScatteringCovariance((32, 32)), torch.rand(32, 32)
            >>> in_units = covariance(torch.randn(32, 32), reference=covariance.power(x))
        """
        found = self._moments(self._checked(x, self._phi))
        return found["S2"].masked_fill(_has_none(found["S2"], found["mean"]), 0.0)

    def units(self, power: Tensor) -> Tensor:
        """What a vector of statistics that are not normalised is multiplied by to be in units of
        these powers: ``[..., K]`` of ``[..., J Q, L]``, or of ``[..., J Q]`` for all angles alike.

        Example:
            >>> plain, x = ScatteringCovariance((32, 32), normalise=False), torch.rand(32, 32)
            >>> other, P = ScatteringCovariance((32, 32)), plain.power(x)
            >>> bool((plain(x) * plain.units(P) - other(x, P)).abs().max() < 1e-5)
            True
        """
        plan = self._plan
        if not isinstance(power, Tensor) or not power.is_floating_point():
            raise InputError(f"{_CALLER}: power must be a tensor of powers; got {told(power)}")
        if power.shape[-1:] == (plan.scales,) and power.shape[-2:] != (plan.scales, plan.L):
            power = power.unsqueeze(-1).expand(*power.shape, plan.L)
        if power.shape[-2:] != (plan.scales, plan.L):
            raise InputError(
                f"{_CALLER}: power must have shape (..., {plan.scales}, {plan.L}) or (..., "
                f"{plan.scales}); got {tuple(power.shape)}"
            )
        lead = power.shape[:-2]
        ones = {
            name: power.new_ones((*lead, *(shape[:-1] if name in COMPLEX else shape)))
            for name, (_, shape) in plan.blocks.items()
        }
        blocks = self._averaged(self._over(ones, power))
        if not self._isotropic:  # for both parts
            blocks |= {name: torch.complex(blocks[name], blocks[name]) for name in COMPLEX}
        return self.join(blocks)

    def cross(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        """Statistics of two fields ``[..., *shape]`` together.

        Returns: complex, over the roots of the powers of both where they are normalised: ``"S2"``,
            ``<W_1 x conj W_1 y>``; ``"S3xy"``, ``<W_2 x conj W_2 |W_1 y|>``, and ``"S3yx"``;
            ``"S4xy"``, ``<W_3 |W_1 x| conj W_3 |W_2 y|>``, and ``"S4yx"``; shapes as in
            :meth:`statistics`.
        Example:
            >>> covariance, x = ScatteringCovariance((32, 32)), torch.rand(32, 32)
            >>> covariance.cross(x, 2 * x)["S2"].real.sum().round()
            tensor(16.)
        """
        x, y = self._checked(x, self._phi), self._checked(y, self._phi, "y")
        try:
            x, y = torch.broadcast_tensors(x, y)
        except RuntimeError:
            raise InputError(
                f"{_CALLER}: x and y must have leading dimensions that broadcast; got "
                f"{tuple(x.shape)} and {tuple(y.shape)}"
            ) from None
        both, back = self._direct(x, y)
        found = {"S2": both["S2"]}
        for name in COMPLEX:
            found |= {f"{name}xy": both[name], f"{name}yx": back[name]}
        if self._normalise:
            P, Q = (_inverse_root(f["P"], f["mean"]) for f in (both, back))
            found["S2"] = found["S2"] * P * Q
            for name, first, second in (("xy", P, Q), ("yx", Q, P)):
                found[f"S3{name}"] = self._over_S3(found[f"S3{name}"], second, first)
                found[f"S4{name}"] = self._over_S4(found[f"S4{name}"], first, second)
        if self._isotropic:
            found = {
                name: s.real.mean(-1) if name == "S2" else isotropic(s, int(name[1]) - 1, self.L)
                for name, s in found.items()
            }
        return found

    def join(self, blocks: dict[str, Tensor]) -> Tensor:
        """Blocks as one vector ``[..., K]``.

        Raises: ValueError: one is missing.
        """
        if missing := [name for name in self.sizes if name not in blocks]:
            raise InputError(
                f"{_CALLER}: blocks must have {', '.join(self.sizes)}; got {', '.join(blocks)}, "
                f"not {missing[0]}"
            )
        lead = blocks["mean"].ndim
        parts = [blocks["mean"].unsqueeze(-1), blocks["S1"].flatten(lead)]
        parts.append(blocks["S2"].flatten(lead))
        for name in COMPLEX:
            block = blocks[name].flatten(lead)
            parts += [block.real, block.imag] if block.is_complex() else [block]
        return torch.cat(parts, -1)

    def split(self, vector: Tensor) -> dict[str, Tensor]:
        """A vector ``[..., K]`` as blocks.

        Raises: ValueError: it has another length.
        """
        (K,) = self.output_shape
        is_one = isinstance(vector, Tensor) and vector.is_floating_point()
        if not is_one or vector.shape[-1:] != (K,):
            raise InputError(
                f"{_CALLER}: a vector of statistics must be a real tensor of shape (..., {K}); got "
                f"{told(vector)}"
            )
        blocks: dict[str, Tensor] = {}
        for (name, block), numbers in zip(
            self._numbers.blocks.items(), vector.split([*self.sizes.values()], -1), strict=True
        ):
            shape = (len(block.scales), *(self.L,) * block.angles)
            if name == "mean":
                blocks[name] = numbers.squeeze(-1)
            elif block.parts == 1:
                blocks[name] = numbers.unflatten(-1, shape)
            else:
                both = numbers.unflatten(-1, (2, *shape))
                blocks[name] = torch.complex(*both.unbind(-len(shape) - 1))
        return blocks

    def extra_repr(self) -> str:
        mask = None if self._mask is None else tuple(self._mask.shape)
        return (
            f"shape={self.shape}, J={self.J}, L={self.L}, Q={self.Q}, filters={self.filters!r}, "
            f"normalise={self.normalise}, isotropic={self.isotropic}, mask={mask}, "
            f"oversampling={self.oversampling}, backend={self.backend!r}, tier={self._tier!r}, "
            f"workspace={self._workspace}"
        )

    # --- how ---

    def _make(self, dtype: torch.dtype) -> dict[str, Tensor]:
        packed = tensors(pack_fields(self._plan, self._filters, numpy_dtype(dtype)))
        weights: dict[str, Tensor] = {}
        if self._mask is not None:
            grids = {-1: self.shape, **{j: self._plan.grid(j) for j in range(self._plan.scales)}}
            weights = {f"_weights_{j}": _pooled(self._mask, g).to(dtype) for j, g in grids.items()}
        return {**weights, **self._constants_of(packed)}

    def _moments(self, x: Tensor) -> dict[str, Tensor]:
        """The statistics before they are normalised."""
        if self._mask is not None:
            (found,) = self._direct(x)
            return {**found, "S2": found["P"]}
        S = self._scattered(x, self._packed, self._program)
        blocks = {
            name: S[..., where].unflatten(-1, shape) if shape else S[..., where].squeeze(-1)
            for name, (where, shape) in self._plan.blocks.items()
        }
        for name in COMPLEX:
            blocks[name] = torch.complex(*blocks[name].unbind(-1))
        return blocks

    def _finished(self, found: dict[str, Tensor], reference: Tensor | None) -> dict[str, Tensor]:
        blocks = {name: found[name] for name in ("mean", "S1", "S2", *COMPLEX)}
        if reference is not None:
            reference = self._checked_reference(reference, blocks["S2"])
        if self._normalise:
            blocks = self._over(blocks, reference)
        return self._averaged(blocks)

    def _over(self, blocks: dict[str, Tensor], P: Tensor | None) -> dict[str, Tensor]:
        """Statistics over powers; None: their own, which S2 keeps."""
        root = _inverse_root(blocks["S2"], blocks["mean"]) if P is None else _inverse_root(P)
        found = {**blocks, "S1": blocks["S1"] * root}
        found["S3"] = self._over_S3(blocks["S3"], root, root)
        found["S4"] = self._over_S4(blocks["S4"], root, root)
        if P is not None:
            found["S2"] = blocks["S2"] * root.square()
            total = P.sum((-2, -1), keepdim=True)
            found["mean"] = blocks["mean"] * _inverse_root(total)[..., 0, 0]
        return found

    def _averaged(self, blocks: dict[str, Tensor]) -> dict[str, Tensor]:
        """Over rotations, where that is wanted."""
        if not self._isotropic:
            return blocks
        found = {**blocks, "S1": blocks["S1"].mean(-1), "S2": blocks["S2"].mean(-1)}
        for name, count in (("S3", 2), ("S4", 3)):
            found[name] = isotropic(blocks[name], count, self.L)
        return found

    def _checked_reference(self, reference: Tensor, like: Tensor) -> Tensor:
        if not self._normalise:
            raise InputError(f"{_CALLER}: where normalise is False there is no reference")
        shape = reference.shape if isinstance(reference, Tensor) else ()
        fits = shape[-2:] == like.shape[-2:] and leads(shape[:-2], like.shape[:-2])
        if not fits or reference.is_complex():
            raise InputError(
                f"{_CALLER}: reference must be a tensor of powers (..., {like.shape[-2]}, "
                f"{like.shape[-1]}) that fit x; got {told(reference)}"
            )
        return reference.to(like)

    def _over_S3(self, S3: Tensor, first: Tensor, second: Tensor) -> Tensor:
        j1, j2 = self._scales_of_S3
        return S3 * first[..., j1, :, None] * second[..., j2, None, :]

    def _over_S4(self, S4: Tensor, first: Tensor, second: Tensor) -> Tensor:
        j1, j2, _ = self._scales_of_S4
        return S4 * first[..., j1, :, None, None] * second[..., j2, None, :, None]

    def _direct(self, *fields: Tensor) -> list[dict[str, Tensor]]:
        """The moments of a field plane by plane, or of two: of the first with the second and of the
        second with the first; ``"P"`` are the powers of the first."""
        plan, rank = self._plan, len(self._plan.shape)
        if fields[0].numel() == 0:  # not every FFT takes an empty batch
            lead = fields[0].shape[:-rank]
            one = self._direct(*(f.new_zeros(f.shape[-rank:]) + f.sum() for f in fields))
            return [{k: v.expand(*lead, *v.shape) for k, v in found.items()} for found in one]
        dims, scales = tuple(range(-rank, 0)), range(plan.scales)
        psi = [filters_of(self._packed, plan.program, j) for j in scales]
        weights = [self._weights(j, fields[0]) for j in scales]

        def planes(f_hat: Tensor, j: int) -> Tensor:
            """``f * psi`` on the grid of scale j, ``[..., L, *grid]``."""
            grid = plan.grid(j)
            ratio = math.prod(grid) / math.prod(f_hat.shape[-rank:])
            product = cropped(f_hat, grid).unsqueeze(-rank - 1) * cropped(psi[j], grid)
            return torch.fft.ifftn(product, dim=dims) * ratio

        spectra = [fftn(f, dims) for f in fields]
        W = [[planes(f_hat, j) for j in scales] for f_hat in spectra]
        U = [[modulus(w) for w in several] for several in W]
        U_hat = [[fftn(u, dims) for u in several] for several in U]
        orders = [(0, 0)] if len(fields) == 1 else [(0, 1), (1, 0)]
        S3: list[dict[tuple[int, ...], Tensor]] = [{} for _ in orders]
        S4: list[dict[tuple[int, ...], Tensor]] = [{} for _ in orders]
        for j3 in scales:
            # of all moduli up to this scale [..., L, L, *grid], by their angle and the wavelet's
            V = [[planes(u_hat[j], j3) for j in range(j3 + 1)] for u_hat in U_hat]
            for (x, y), third, fourth in zip(orders, S3, S4, strict=True):
                w = (W[x][j3] * weights[j3]).unsqueeze(-rank - 2)
                for j2 in range(j3 + 1):
                    third[j2, j3] = (w * V[y][j2].conj()).sum(dims)
                    b = V[y][j2].flatten(-rank).transpose(-3, -2)
                    for j1 in range(j2 + 1):
                        a = (V[x][j1] * weights[j3]).flatten(-rank).transpose(-3, -2)
                        fourth[j1, j2, j3] = (a @ b.mH).movedim(-3, -1)

        def means(of: list[Tensor]) -> Tensor:
            each = (f * w for f, w in zip(of, weights, strict=True))
            return torch.stack([f.sum(dims) for f in each], -2)

        return [
            {
                "mean": (fields[x] * self._weights(-1, fields[x])).sum(dims),
                "S1": means(U[x]),
                "P": means([u.square() for u in U[x]]),
                "S2": whole(means([a * b.conj() for a, b in zip(W[x], W[y], strict=True)])),
                "S3": whole(torch.stack([third[pair] for pair in plan.pairs], -3)),
                "S4": whole(torch.stack([fourth[triple] for triple in plan.triples], -4)),
            }
            for (x, y), third, fourth in zip(orders, S3, S4, strict=True)
        ]

    def _weights(self, j: int, like: Tensor) -> Tensor:
        """Those of the positions of a scale's grid, or of the field's (-1), of sum 1."""
        kept = self.__dict__.get(f"_weights_{j}")
        if kept is not None:
            return kept
        grid = self.shape if j < 0 else self._plan.grid(j)
        return like.new_full((1,) * len(grid), 1 / math.prod(grid))


def isotropic(S: Tensor, count: int, L: int) -> Tensor:
    """The mean over common rotations of ``count`` angles, the last dimensions of ``S``: of the
    first at fixed differences. It is real: half a turn makes the last wavelet, and with it ``S``,
    its complex conjugate."""
    index, S = torch.arange(L, device=S.device), S.real if S.is_complex() else S
    total = torch.zeros_like(S.select(-count, 0))
    for first in range(L):
        turned = S.select(-count, first)
        for dim in range(1 - count, 0):
            turned = turned.index_select(dim, (index + first) % L)
        total = total + turned
    return total / L


def _checked_mask(mask: Any, sides: tuple[int, ...]) -> Tensor:
    try:
        if isinstance(mask, Tensor) and not mask.is_complex():
            mask = mask.detach().cpu().double().numpy()
        values = np.asarray(mask)
        if values.dtype.kind not in "fiub":
            raise TypeError
        found = torch.from_numpy(values.astype(np.float64))
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(
            f"{_CALLER}: mask must be a tensor or an array of real numbers; got {told(mask)}"
        ) from None
    if found.shape != sides:
        raise ArgumentError(f"{_CALLER}: mask must have shape {sides}; got {tuple(found.shape)}")
    if not (found.isfinite().all() and (found >= 0).all() and found.sum() > 0):
        raise ArgumentError(f"{_CALLER}: mask must be finite, 0 or more, and not 0 everywhere")
    return found


def _pooled(mask: Tensor, grid: Sequence[int]) -> Tensor:
    """The means of a mask over the pixels of a grid, as weights of sum 1."""
    sizes = [n for m, side in zip(grid, mask.shape, strict=True) for n in (m, side // m)]
    pooled = mask.reshape(sizes).mean(tuple(range(1, 2 * len(grid), 2)))
    return pooled / pooled.sum()


def _has_none(P: Tensor, mean: Tensor | None = None) -> Tensor:
    """Where a field of this mean ``[...]`` and these powers ``[..., J Q, L]`` has none, or no more
    than rounding leaves of the others. What is negative or not a number is no power at all."""
    P = P.detach()
    largest = P.amax((-2, -1), keepdim=True)
    mean = torch.zeros_like(largest) if mean is None else mean.detach()[..., None, None]
    return (P >= 0) & (P <= least_power(numpy_dtype(P.dtype), largest, mean))


def _inverse_root(P: Tensor, mean: Tensor | None = None) -> Tensor:
    """``1 / sqrt(P)``, 0 where there is no power."""
    nothing = _has_none(P, mean)
    return torch.where(nothing, 0.0, torch.where(nothing, 1.0, P).rsqrt())


def _columns(rows: Sequence[tuple[int, ...]]) -> list[list[int]]:
    return [[*column] for column in zip(*rows, strict=True)]
