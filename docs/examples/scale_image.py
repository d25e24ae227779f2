"""The scattering of an image larger than the memory, from Zarr to Zarr.

    python docs/examples/scale_image.py image.zarr coefficients.zarr --J 3

Row after row of tiles goes into the output, whose attributes say what the coefficients are and how
many rows are done: the same command goes on where it was interrupted.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import dask.array as da
import zarr

from scatcuda import Scattering2D
from scatcuda.scale import scatter_blocks


def scatter_zarr(image: Any, output: str, J: int, **how: Any) -> int:
    """Write the coefficients of a Dask array ``[M, N]``; how many rows of tiles were done now."""
    S = scatter_blocks(image, J, **how)
    paths = {name: how[name] for name in ("L", "max_order") if name in how}
    meta = Scattering2D(J, (1 << J, 1 << J), **paths).meta()
    what = {
        "J": J, "shape": list(image.shape), "how": {k: v for k, v in how.items()},
        "meta": json.dumps({name: values.tolist() for name, values in meta.items()}),
    }  # fmt: skip
    chunks = tuple(sizes[0] for sizes in S.chunks)
    stored = zarr.open_array(output, mode="a", shape=S.shape, chunks=chunks, dtype=S.dtype)
    if stored.attrs.get("what", what) != what or stored.shape != S.shape:
        raise ValueError(f"{output} holds other coefficients; they are kept: take another place")
    stored.attrs["what"] = what
    written = at = 0
    for row, height in enumerate(S.chunks[1]):
        if row >= stored.attrs.get("rows", 0):
            part = slice(at, at + height)
            da.store(S[:, part], stored, regions=(slice(None), part, slice(None)), lock=False)
            stored.attrs["rows"] = row + 1
            written += 1
        at += height
    return written


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("image", help="an array of Zarr's, [M, N]")
    parser.add_argument("output", help="an array of Zarr's, [C, m, n]")
    parser.add_argument("--J", type=int, default=3)
    parser.add_argument("--side", type=int, help="pixels of a side of a tile with its halo")
    given = parser.parse_args()
    how = {} if given.side is None else {"side": given.side}
    rows = scatter_zarr(da.from_zarr(given.image), given.output, given.J, **how)
    print(f"{given.output}: {rows} rows of tiles written now")


if __name__ == "__main__":
    main()
