"""Features of many archives of images with Ray, on a laptop or a cluster.

    python docs/examples/scale_ray.py features shards/*.tar --J 3 --workers 2

A task is an archive: it reads it, transforms its images and writes a Parquet file of its name; only
names travel. What is interrupted is given again, and makes what is missing. `in_flight` is for
pipelines of Ray Data, where images come from somewhere and features go somewhere.
"""

from __future__ import annotations

import argparse
from typing import Any

import ray

from scatcuda.scale import ScatteringMapper, missing, write_shard


def by_shard(paths: list[str], mapper: ScatteringMapper, folder: str, cpus: int = 1) -> list[Any]:
    """A file of features for each archive that has none; what was done. Where there are GPUs, say
    ``num_gpus=1`` beside ``num_cpus``: a task sees its own."""
    remote = ray.remote(num_cpus=cpus, max_retries=3)(write_shard)
    there = ray.put(mapper)
    return ray.get([remote.remote(path, there, folder) for path in missing(paths, mapper, folder)])


def in_flight(dataset: Any, workers: int, batch_size: int, **how: Any) -> Any:
    """A data set of Ray's with features: an actor makes its filters once. A mapper that is made
    already does as well, ``dataset.map_batches(mapper)``, and is made anew in every task."""
    return dataset.map_batches(
        ScatteringMapper, fn_constructor_kwargs=how, batch_size=batch_size,
        compute=ray.data.ActorPoolStrategy(size=workers), num_cpus=1,
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", help="directory of the features")
    parser.add_argument("shards", nargs="+", help=".tar archives")
    parser.add_argument("--J", type=int, default=3)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--workers", type=int, help="(as many as there are processors)")
    given = parser.parse_args()
    mapper = ScatteringMapper(
        "Scattering2D", {"J": given.J, "shape": (given.size, given.size)}, channels=3,
        pool="mean", dtype="float16", crop=0.875, on_error="record", threads=1,
    )  # fmt: skip
    ray.init(num_cpus=given.workers, include_dashboard=False, log_to_driver=False)
    try:
        for done in by_shard(given.shards, mapper, given.output):
            print(done.error or f"{done.path}: {done.rows} rows, {done.failed} failed")
    finally:
        ray.shutdown()


if __name__ == "__main__":
    main()
