"""Pooling of scattering coefficients: over positions, over a common rotation, and the logarithm.

    None         S                                                          [..., K, m, n]
    "mean"       mean of S over the positions                               [..., K]
    "rotation"   the same, then a mean over every turn of the whole path    [..., P]

Turning an image by an angle theta_0 adds theta_0 to the angles of every path. For real images the
modulus does not tell theta from theta + pi, and the L angles cover half a turn, so angles count
modulo L; what stays is the scales and the angles less the first, modulo L: P = 1 + J +
L J (J - 1) / 2 channels to order 2, 1 + sum_k C(J, k) L^(k - 1) to any.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

import torch
from torch import Tensor, nn

from ...arguments import scales
from ...program.plan import Plan, checked_plan
from ...typing import Pooling

KINDS: tuple[Pooling | None, ...] = (None, *get_args(Pooling))


def pool(S: Tensor, kind: Pooling | None, J: int, L: int = 8, max_order: int = 2) -> Tensor:
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
    Returns:
        ``S`` itself, ``[..., K]``, or ``[..., P]``: ``P = 1 + J + L J (J - 1) / 2`` for order 2.
    Raises:
        TypeError, ValueError: ``S`` has not the channels of ``J``, ``L``, ``max_order``; ``kind``
            is none of the three.
    Source: L. Sifre and S. Mallat, "Rotation, scaling and deformation invariant scattering for
        texture discrimination", CVPR 2013.
    Example:
        >>> S = torch.rand(16, 3, 81, 8, 8)
        >>> [tuple(pool(S, kind, J=2).shape) for kind in (None, "mean", "rotation")]
        [(16, 3, 81, 8, 8), (16, 3, 81), (16, 3, 11)]
    """
    plan = _plan("pool", J, L, max_order)
    _check("pool", S, kind, plan.channels)
    if kind is None:
        return S
    S = S.mean((-2, -1))
    if kind == "mean" or plan.max_order == 0:
        return S
    turns = _turns(plan).to(S.device)
    return torch.cat([S[..., :1], S[..., turns].mean(-1)], -1)


class Pool(nn.Module):
    """:func:`pool` as a layer, with the logarithm of the orders that have a modulus.

    ``log`` gives ``log(max(P, 0) + eps)`` of order 1 and above, after the mean. Order 0 is an
    average of pixels, may be negative, and is left as it is. Coefficients scale as the image does,
    so ``eps`` belongs to its scale: float32 rounds a coefficient by about 1e-7 of the pixels' size,
    and 1e-6 of it keeps the logarithm of what should be 0 finite and free of that noise.

    Args:
        kind, J, L, max_order: as for :func:`pool`.
        log: whether to take the logarithm.
        eps: for ``log``; 1e-6 suits pixels in [0, 1].
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
        J: int,
        L: int = 8,
        max_order: int = 2,
        log: bool = False,
        eps: float = 1e-6,
    ) -> None:
        super().__init__()
        plan = _plan("Pool", J, L, max_order)
        _check_kind("Pool", kind)
        if not eps > 0:
            raise ValueError(f"Pool: eps must be positive; got {eps!r}")
        self.kind: Pooling | None = kind
        self.J: int = plan.J
        self.L: int = plan.L
        self.max_order: int = plan.max_order
        self.log: bool = log
        self.eps: float = eps
        self.channels: int = plan.channels if kind != "rotation" else len(pooled_paths(plan))

    def forward(self, S: Tensor) -> Tensor:
        """Coefficients ``[..., K, m, n]`` pooled, as :func:`pool` says."""
        P = pool(S, self.kind, self.J, self.L, self.max_order)
        if not self.log or self.max_order == 0:
            return P
        axis = -3 if self.kind is None else -1
        order0, rest = P.split([1, self.channels - 1], axis)
        return torch.cat([order0, (rest.clamp(min=0) + self.eps).log()], axis)

    def extra_repr(self) -> str:
        return (
            f"{self.kind!r}, J={self.J}, L={self.L}, max_order={self.max_order}, "
            f"log={self.log}, eps={self.eps:g}"
        )


def pooled_paths(plan: Plan) -> dict[tuple[int, ...], list[int]]:
    """The channels behind each channel of ``"rotation"``: those of ``()``, ``(j,)``,
    ``(j1, j2, theta2 - theta1 mod L)``, ``(j1, j2, j3, theta2 - theta1, theta3 - theta1)``, …"""
    found: dict[tuple[int, ...], list[int]] = {}
    for channel, path in enumerate(plan.paths):
        scales = tuple(n // plan.L for n in path)
        turns = tuple((n - path[0]) % plan.L for n in path[1:])
        found.setdefault(scales + turns, []).append(channel)
    return found


def _turns(plan: Plan) -> Tensor:
    """The L channels [P - 1, L] to average, order 0 left out."""
    return torch.tensor(list(pooled_paths(plan).values())[1:], device="cpu")


def _plan(caller: str, J: int, L: int, max_order: int) -> Plan:
    J = scales(caller, J)
    return checked_plan(caller, J, (1 << J, 1 << J), L, max_order, False)


def _check_kind(caller: str, kind: Any) -> None:
    if kind is not None and (not isinstance(kind, str) or kind not in KINDS):
        raise ValueError(f"{caller}: kind must be None, 'mean' or 'rotation'; got {kind!r}")


def _check(caller: str, S: Any, kind: Any, channels: int) -> None:
    _check_kind(caller, kind)
    if not isinstance(S, Tensor):
        raise TypeError(f"{caller}: S must be a torch.Tensor; got {type(S).__name__}")
    if S.ndim < 3 or S.shape[-3] != channels:
        raise ValueError(
            f"{caller}: S must have shape [..., {channels}, m, n]; got {list(S.shape)}"
        )
