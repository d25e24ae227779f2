"""Pooling of scattering coefficients: over positions, over a common rotation, and the logarithm.

    None         S                                                          [..., K, m, n]
    "mean"       mean of S over the positions                               [..., K]
    "rotation"   the same, then a mean over every turn of the whole path    [..., P]

Turning an image by an angle theta_0 adds theta_0 to the angles of every path. For real images the
modulus does not tell theta from theta + pi, and the L angles cover half a turn, so angles count
modulo L; what stays is the scales and the angles less the first, modulo L: P = 1 + J +
L J (J - 1) / 2 channels to order 2, 1 + sum_k C(J, k) L^(k - 1) to any.

Parents: the coefficient of a path over that of the path without its last wavelet tells how its
energy is parted, whatever there is of it: S2(j1, j2) / S1(j1).

Which channel is which the transform's ``meta()`` says: of some of its paths, or of another
transform, as many are averaged as there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ...arguments import positive, scales
from ...program.plan import checked_plan
from ...transforms.base import checked_output
from ...typing import Pooling

KINDS: tuple[Pooling | None, ...] = (None, *get_args(Pooling))


def pool(
    S: Tensor,
    kind: Pooling | None,
    J: int | None = None,
    L: int = 8,
    max_order: int = 2,
    *,
    transform: nn.Module | None = None,
) -> Tensor:
    """Mean of scattering coefficients over positions and, for ``"rotation"``, over rotations.

    With ``mean`` over positions, ``"rotation"`` keeps order 0 and gives

        order 1:  P1(j)         = mean over t of  mean S1(j, t)
        order 2:  P2(j1, j2, d) = mean over t of  mean S2(j1, t, j2, t + d mod L),

    and so on,
    which rotations of the image by multiples of ``pi / L`` leave as they are, up to sampling.

    Args:
        S: coefficients ``[..., K, m, n]`` of :class:`~scatcuda.Scattering2D`.
        kind: ``None``, ``"mean"`` or ``"rotation"``.
        J, L, max_order: of the transform that made them.
        transform: it itself, in their place: any with ``output_shape`` and ``meta()``, of which
            ``"rotation"`` wants ``"j"`` and ``"theta"``, and ``L``.
    Returns:
        ``S`` itself, ``[..., K]``, or ``[..., P]``: ``P = 1 + J + L J (J - 1) / 2`` for order 2.
    Raises:
        TypeError, ValueError: ``S`` has not the channels of the transform; ``kind`` is none of the
            three; ``transform`` is none, or does not say what it takes.
    Source: L. Sifre and S. Mallat, "Rotation, scaling and deformation invariant scattering for
        texture discrimination", CVPR 2013.
    Example:
        >>> S = torch.rand(16, 3, 81, 8, 8)
        >>> [tuple(pool(S, kind, J=2).shape) for kind in (None, "mean", "rotation")]
        [(16, 3, 81, 8, 8), (16, 3, 81), (16, 3, 11)]
        >>> from scatcuda import Scattering2D
        >>> some = Scattering2D(2, (32, 32), paths=lambda meta: meta["order"] == 2)
        >>> pool(some(torch.rand(3, 32, 32)), "rotation", transform=some).shape
        torch.Size([3, 8])
    """
    return _pooled("pool", S, kind, _channels("pool", kind, J, L, max_order, transform))


class Pool(nn.Module):
    """:func:`pool` as a layer, with the logarithm of the orders that have a modulus, and orders 2
    and above over their parents.

    ``log`` gives ``log(max(P, 0) + eps)`` of order 1 and above, after the mean. Order 0 is an
    average of pixels, may be negative, and is left as it is. Coefficients scale as the image does,
    so ``eps`` belongs to its scale: float32 rounds a coefficient by about 1e-7 of the pixels' size,
    and 1e-6 of it keeps the logarithm of what should be 0 finite and free of that noise.

    Args:
        kind, J, L, max_order, transform: as for :func:`pool`.
        log: whether to take the logarithm.
        renormalise: divide coefficients of order 2 and above by those of their paths without the
            last wavelet, ``P2 / (P1 + eps)``, or subtract their logarithms.
        eps: for ``log`` and ``renormalise``; 1e-6 suits pixels in [0, 1].
    Raises: TypeError, ValueError: as :func:`pool`; ``eps`` is not positive.
    Example:
        >>> layer = Pool("rotation", J=2, log=True)
        >>> layer(torch.zeros(1, 81, 8, 8))[0, :2]
        tensor([  0.0000, -13.8155])
    """

    if TYPE_CHECKING:

        def __call__(self, S: Tensor) -> Tensor: ...

    def __init__(
        self,
        kind: Pooling | None,
        J: int | None = None,
        L: int = 8,
        max_order: int = 2,
        log: bool = False,
        eps: float = 1e-6,
        *,
        transform: nn.Module | None = None,
        renormalise: bool = False,
    ) -> None:
        super().__init__()
        self._channels = _channels("Pool", kind, J, L, max_order, transform, parents=renormalise)
        self.kind: Pooling | None = kind
        self.log: bool = log
        self.renormalise: bool = renormalise
        self.eps: float = positive("Pool", "eps", eps)
        groups = self._channels.groups
        self.channels: int = self._channels.channels if groups is None else len(groups)

    def forward(self, S: Tensor) -> Tensor:
        """Coefficients ``[..., K, m, n]`` pooled, as :func:`pool` says."""
        P = _pooled("Pool", S, self.kind, self._channels)
        lowest, parents = self._channels.lowest, self._channels.parents
        axis = -1 - self._channels.rank if self.kind is None else -1
        if self.log and lowest < self.channels:
            order0, rest = P.split([lowest, self.channels - lowest], axis)
            P = torch.cat([order0, (rest.clamp(min=0) + self.eps).log()], axis)
        if not parents:
            return P
        before, after = P.split([self.channels - len(parents), len(parents)], axis)
        of = P.index_select(axis, torch.tensor(parents, device="cpu").to(P.device))
        # eps belongs to the scale of the image, which a ratio has not
        return torch.cat([before, after - of if self.log else after / (of + self.eps)], axis)

    def extra_repr(self) -> str:
        channels = f"{self._channels.channels} to {self.channels} channels"
        found = f"{self.kind!r}, {channels}, log={self.log}, eps={self.eps:g}"
        return f"{found}, renormalise=True" if self.renormalise else found


class _Channels(NamedTuple):
    """What pooling knows of a transform."""

    channels: int
    rank: int  # axes of positions
    lowest: int  # channels of order 0, which come first
    groups: list[list[int]] | None  # those that ``"rotation"`` averages
    parents: list[int]  # of those of order 2 and above, which come last; empty where not asked for


def _channels(
    caller: str,
    kind: Any,
    J: Any,
    L: Any,
    max_order: Any,
    transform: Any,
    parents: bool = False,
) -> _Channels:
    if kind is not None and (not isinstance(kind, str) or kind not in KINDS):
        raise ValueError(f"{caller}: kind must be None, 'mean' or 'rotation'; got {kind!r}")
    if (J is None) == (transform is None):
        found = "neither" if J is None else "both"
        raise TypeError(f"{caller}: J or a transform says which channel is which; got {found}")
    meta: Mapping[str, NDArray[Any]]
    if transform is None:
        J = scales(caller, J)
        plan = checked_plan(caller, J, (1 << J, 1 << J), L, max_order, False)
        meta, rank, L = plan.meta(), 2, plan.L
    else:
        meta, rank = (
            meta_of(caller, transform),
            len(checked_output(caller, "transform", transform)) - 1,
        )
        L = getattr(transform, "L", None)
    order = meta["order"]
    if (np.diff(order) < 0).any():
        raise ValueError(f"{caller}: the channels of transform must be sorted by their orders")
    pooled = pooled_paths(meta, L) if kind == "rotation" else None
    groups = None if pooled is None else list(pooled.values())
    of = parents_of(caller, meta, pooled) if parents else []
    return _Channels(len(order), rank, int((order == 0).sum()), groups, of)


def meta_of(caller: str, transform: Any) -> Mapping[str, NDArray[Any]]:
    """What a transform says of its channels.

    Raises: TypeError: it says nothing.
    """
    meta = transform.meta() if callable(getattr(transform, "meta", None)) else {}
    if "order" not in meta:
        raise TypeError(
            f"{caller}: transform must have meta(), with the 'order' of each channel; "
            f"{type(transform).__name__} has not"
        )
    return meta


def pooled_paths(
    meta: Mapping[str, NDArray[Any]], L: int | None
) -> dict[tuple[int, ...], list[int]]:
    """The channels behind each channel of ``"rotation"``: those of ``()``, ``(j,)``,
    ``(j1, j2, theta2 - theta1 mod L)``, ``(j1, j2, j3, theta2 - theta1, theta3 - theta1)``, …

    Raises: TypeError: there are no angles.
    """
    if L is None or not {"j", "theta"} <= meta.keys():
        raise TypeError(
            "pool: kind 'rotation' wants a transform with angles, L and meta()['theta']"
        )
    found: dict[tuple[int, ...], list[int]] = {}
    for channel, order in enumerate(meta["order"]):
        j, theta = (meta[name][channel, :order].tolist() for name in ("j", "theta"))
        turns = [(t - theta[0]) % L for t in theta[1:]]
        found.setdefault((*j, *turns), []).append(channel)
    return found


def parents_of(
    caller: str,
    meta: Mapping[str, NDArray[Any]],
    pooled: Mapping[tuple[int, ...], list[int]] | None = None,
) -> list[int]:
    """Of the channels of order 2 and above, which come last, those of their paths without the last
    wavelet; of roto-translation scattering the average of the same angle or of all. ``pooled``: of
    the channels of ``"rotation"``.

    Raises: ValueError, TypeError: one is missing, or the channels have no paths of wavelets.
    """
    keys: list[tuple[Any, ...]]
    parent_of: list[tuple[Any, ...]]
    if pooled is not None:
        keys = list(pooled)
        orders = [(len(key) + 1) // 2 for key in keys]
        parent_of = [
            (*key[: k - 1], *key[k:-1]) if k > 1 else ()
            for key, k in zip(keys, orders, strict=True)
        ]
    elif {"k", "theta", "j"} <= meta.keys():  # angles along angles
        low = meta["k"].max()
        angles = meta.get("angle", np.full(len(meta["k"]), -1))
        L = 1 + max(angles[meta["order"] == 1], default=0)
        orders = meta["order"].tolist()
        keys = [
            (int(j), int(angle)) if order == 1 and k == low else (None, c)
            for c, (order, (j, _), k, angle) in enumerate(
                zip(orders, meta["j"], meta["k"], angles, strict=True)
            )
        ]
        parent_of = [
            (int(j), int(angle) % int(L) if angle >= 0 else -1)
            for (j, _), angle in zip(meta["j"], angles, strict=True)
        ]
    elif "n" in meta and np.ndim(meta["n"]) == 2 and meta["n"].dtype != object:
        orders = meta["order"].tolist()
        keys = [tuple(n[:k].tolist()) for n, k in zip(meta["n"], orders, strict=True)]
        parent_of = [key[:-1] for key in keys]
    else:
        raise TypeError(f"{caller}: renormalise wants a transform with paths, meta()['n']")
    places = {key: c for c, key in enumerate(keys)}
    wanted = [parent for parent, k in zip(parent_of, orders, strict=True) if k > 1]
    if missing := [parent for parent in wanted if parent not in places]:
        raise ValueError(
            f"{caller}: renormalise wants the parents of all paths; {missing[0]} is not among the "
            "channels"
        )
    return [places[parent] for parent in wanted]


def _pooled(caller: str, S: Any, kind: Pooling | None, channels: _Channels) -> Tensor:
    if not isinstance(S, Tensor):
        raise TypeError(f"{caller}: S must be a torch.Tensor; got {type(S).__name__}")
    count, rank, lowest, groups, _ = channels
    if S.ndim < 1 + rank or S.shape[-1 - rank] != count:
        sides = {1: "n", 2: "m, n", 3: "m, n, o"}.get(rank, "…")
        raise ValueError(
            f"{caller}: S must have shape [..., {count}, {sides}]; got {list(S.shape)}"
        )
    if kind is None:
        return S
    S = S.mean(tuple(range(-rank, 0))) if rank else S
    if groups is None or len(groups) == lowest:
        return S
    several = groups[lowest:]
    if len(set(map(len, several))) == 1:
        turned = S[..., torch.tensor(several, device="cpu").to(S.device)].mean(-1)
    else:
        turned = torch.stack([S[..., group].mean(-1) for group in several], -1)
    return torch.cat([S[..., :lowest], turned], -1)
