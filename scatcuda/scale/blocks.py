"""Images larger than the memory, block by block, as if they were transformed whole.

    image [.., M, N] of Dask  ->  tiles, each with its halo  ->  S [.., C, m, n] of Dask

A tile begins at a multiple of ``2^J`` of the whole image's padded grid, so that its coefficients
stand where the whole image's do. At the borders the halo goes on as the whole image does: reflected
by its padding, then, as convolutions are circular, with the other side.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..arguments import device as known_device
from ..arguments import integer
from ..program.plan import checked_plan
from ..transforms.scattering2d import Scattering2D
from ..typing import BankName
from .halo import halo as halo_of

_NAME = "scatter_blocks"


def scatter_blocks(
    image: Any,
    J: int,
    *,
    L: int = 8,
    max_order: int = 2,
    filters: BankName = "morlet",
    side: int | None = None,
    tolerance: float = 1e-5,
    halo: int | None = None,
    device: str = "cpu",
) -> Any:
    """The coefficients of an image of Dask's, computed tile by tile.

    Nothing is computed here: ``.compute()``, ``.to_zarr(path)`` and so on do it, on whatever
    workers Dask has. All tiles are of one size, so that a worker makes its filters once; what of
    the last ones lies outside the image is cut off.

    Args:
        image: a Dask array ``[..., M, N]``, uint8 or floating; its numbers are taken as they are.
        J, L, max_order, filters: as for :class:`~scatcuda.Scattering2D`.
        side: pixels of a side of what is transformed at a time, a tile with its halo on both sides;
            at least three halos, so that no halo goes beyond the tile beside it. A power of two is
            fast. None: 1024, or the next one from six halos on.
        tolerance: see :func:`halo`.
        halo: pixels instead of those of the tolerance, a multiple of ``2^J``.
        device: ``"cpu"`` or ``"cuda"``, of the workers.
    Returns: A Dask array ``[..., C, m, n]``, float32, in chunks of a tile: with the halo of
        :func:`halo` what ``Scattering2D(J, (M, N), L, max_order)`` gives, within the tolerance.
    Raises: TypeError, ValueError: an argument is not as above, or the image is not.
    Source: the halo of stencil computations; M. Rocklin, "Dask: parallel computation with blocked
        algorithms and task scheduling", SciPy 2015.
    Example:
        >>> import dask.array as da
        >>> image = da.random.random((400, 300), chunks=(100, 300))
        >>> S = scatter_blocks(image, J=2, side=128)
        >>> S.shape, S.chunksize
        ((81, 100, 75), (81, 12, 12))
    """
    import dask.array as da

    if not isinstance(image, da.Array):
        raise TypeError(f"{_NAME}: image must be an array of Dask's; got {type(image).__name__}")
    if image.ndim < 2 or image.dtype.kind not in "uif":
        raise ValueError(
            f"{_NAME}: image must be real [..., M, N]; got {image.dtype} of shape {image.shape}"
        )
    known_device(f"{_NAME}: ", device, here=False)
    plan = checked_plan(_NAME, J, image.shape[-2:], L, max_order, False)
    step = 1 << plan.J
    if halo is None:
        small = Scattering2D(plan.J, (step, step), plan.L, plan.max_order, filters=filters)
        halo = halo_of(small, tolerance)
    halo = integer(_NAME, "halo", halo, step)
    side = integer(_NAME, "side", _side(halo) if side is None else side, 3 * halo)
    if halo % step or side % step:
        raise ValueError(
            f"{_NAME}: halo and side must be multiples of 2^J = {step}; got {halo} and {side}"
        )
    tile = side - 2 * halo
    tiles = [-(-outputs * step // tile) for outputs in plan.output]
    for axis, count in zip((-2, -1), tiles, strict=True):
        image = _continued(image, axis, plan.axes[axis].before, step, halo, count * tile)
    margins = [
        ((tile + halo, *[tile] * (n - 2), tile + halo) if n > 1 else (tile + 2 * halo,))
        for n in tiles
    ]
    leading = image.ndim - 2
    image = image.rechunk((*image.chunks[:leading], *margins))
    block = _Block(plan.J, side, plan.L, plan.max_order, filters, halo, device)
    chunks = (*image.chunks[:leading], (plan.channels,), *((tile // step,) * n for n in tiles))
    S = da.map_overlap(
        block, image, depth={leading: halo, leading + 1: halo}, boundary="none", trim=False,
        dtype=np.float32, chunks=chunks, new_axis=[leading],
        meta=np.empty((0,) * (leading + 3), np.float32),
    )  # fmt: skip
    m, n = plan.output
    return S[..., :m, :n]


def _side(halo: int) -> int:
    return max(1024, 1 << (6 * halo - 1).bit_length())


def _continued(image: Any, axis: int, before: int, step: int, halo: int, core: int) -> Any:
    """An axis from `halo` pixels before the first coefficient to `halo` behind the tiles, as the
    whole image's padded grid has it, which is periodic."""
    import dask.array as da

    size = image.shape[axis]
    padded = ((size // step) + 2) * step
    first = step - before - halo  # of the first coefficient, less the halo
    places = np.arange(first, first + core + 2 * halo)
    places = (places + before) % padded - before  # one period of the padded image
    if size > 1:  # reflected, without the edge
        places = places % (2 * (size - 1))
        places = np.minimum(places, 2 * (size - 1) - places)
    else:
        places = np.zeros_like(places)
    inside = slice(max(first, 0), min(first + len(places), size))
    head, tail = inside.start - first, inside.stop - first
    middle = (*(slice(None),) * (image.ndim + axis), inside)
    parts = [
        da.take(image, places[:head], axis=axis),
        image[middle],
        da.take(image, places[tail:], axis=axis),
    ]
    return da.concatenate([part for part in parts if part.shape[axis]], axis=axis)


class _Block:
    """A tile with its halo to its coefficients; travels without filters."""

    def __init__(self, *how: Any) -> None:
        self._how = how

    def __call__(self, x: NDArray[Any]) -> NDArray[np.float32]:
        J, side, L, max_order, filters, halo, device = self._how
        scattering = _module(J, side, L, max_order, filters, device)
        step = 1 << scattering.J
        if 0 in x.shape:
            return np.empty((*x.shape[:-2], scattering.output_shape[0], 0, 0), np.float32)
        found = torch.from_numpy(np.ascontiguousarray(x, np.float32)).to(device)
        with torch.no_grad():
            S = scattering(found)
        cut = halo // step - 1  # the transform itself leaves the first and the last one out
        end = S.shape[-1] - cut
        return S[..., cut:end, cut:end].cpu().numpy()


@functools.lru_cache(4)
def _module(
    J: int, side: int, L: int, max_order: int, filters: BankName, device: str
) -> Scattering2D[Any]:
    """Of squares that come with all that is around them: nothing is reflected."""
    where = known_device(f"{_NAME}: ", device)
    inner = side - (2 << J)
    found = Scattering2D(J, (inner, inner), L, max_order, pre_pad=True, filters=filters)
    return found.to(where)
