"""Features of many archives of images with PyTorch's `torchrun` alone, on several machines.

    torchrun --nproc-per-node=2 docs/examples/scale_torchrun.py features shards/*.tar --J 3

The archives that have no features yet are dealt out to the processes; where there are GPUs each has
its own, of ``LOCAL_RANK``. At the end the first process tells what all of them did.
"""

from __future__ import annotations

import argparse

import torch.distributed as dist

from scatcuda.scale import ScatteringMapper, missing, write_shard


def by_shard(paths: list[str], mapper: ScatteringMapper, folder: str) -> list[str]:
    """A file of features for each archive that has none; what all processes did."""
    rank, size = dist.get_rank(), dist.get_world_size()
    todo = [missing(paths, mapper, folder)]
    dist.broadcast_object_list(todo)  # the first one's: all deal from the same list
    done = []
    for path in todo[0][rank::size]:
        written = write_shard(path, mapper, folder)
        done.append(
            written.error or f"{written.path}: {written.rows} rows, {written.failed} failed"
        )
    all_done: list[list[str]] = [[] for _ in range(size)]
    dist.all_gather_object(all_done, done)
    return sorted(line for lines in all_done for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", help="directory of the features")
    parser.add_argument("shards", nargs="+", help=".tar archives")
    parser.add_argument("--J", type=int, default=3)
    parser.add_argument("--size", type=int, default=224)
    given = parser.parse_args()
    mapper = ScatteringMapper(
        "Scattering2D", {"J": given.J, "shape": (given.size, given.size)}, channels=3,
        pool="mean", dtype="float16", crop=0.875, on_error="record",
    )  # fmt: skip
    dist.init_process_group("gloo")
    lines = by_shard(given.shards, mapper, given.output)
    if dist.get_rank() == 0:
        print(*lines, sep="\n")
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
