"""Features of many archives of images with Dask, on a laptop or a cluster.

    python docs/examples/scale_dask.py features shards/*.tar --J 3 --workers 2

As `scale_ray.py`: a task is an archive, only names travel, and the same command completes what was
interrupted. Dask's bags take the mapper's `rows`, its data frames the mapper itself.
"""

from __future__ import annotations

import argparse
from typing import Any

import dask
from dask.distributed import Client

from scatcuda.scale import ScatteringMapper, missing, write_shard


def by_shard(paths: list[str], mapper: ScatteringMapper, folder: str) -> list[Any]:
    """A file of features for each archive that has none; what was done."""
    write = dask.delayed(write_shard, pure=False)
    return list(dask.compute(*(write(path, mapper, folder) for path in missing(paths, mapper, folder))))  # fmt: skip # noqa: E501


def of_bag(bag: Any, mapper: ScatteringMapper) -> Any:
    """A bag of rows with features."""
    return bag.map_partitions(mapper.rows)


def of_frame(frame: Any, mapper: ScatteringMapper) -> Any:
    """A data frame with features."""
    columns = {name: kind for name, kind in frame.dtypes.items() if name != mapper.column}
    return frame.map_partitions(mapper, meta={**columns, mapper.output: "object"})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", help="directory of the features")
    parser.add_argument("shards", nargs="+", help=".tar archives")
    parser.add_argument("--J", type=int, default=3)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--scheduler", help="address of a cluster's (one of this machine)")
    given = parser.parse_args()
    mapper = ScatteringMapper(
        "Scattering2D", {"J": given.J, "shape": (given.size, given.size)}, channels=3,
        pool="mean", dtype="float16", crop=0.875, on_error="record", threads=1,
    )  # fmt: skip
    how: dict[str, Any] = {"n_workers": given.workers, "threads_per_worker": 1}
    with Client(given.scheduler) if given.scheduler else Client(dashboard_address=None, **how):
        for done in by_shard(given.shards, mapper, given.output):
            print(done.error or f"{done.path}: {done.rows} rows, {done.failed} failed")


if __name__ == "__main__":
    main()
