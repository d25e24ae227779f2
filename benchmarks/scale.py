"""What features of millions of images cost, and what an engine adds.

    python -m benchmarks.scale [--images 256] [--J 3]      unit costs on one thread, and the plan
    python -m benchmarks.scale --gpu 130                   the same, with a GPU that takes 130 µs
    python -m benchmarks.scale --ray [--images 2000] [--pool none] [--rounds 3]
    python -m benchmarks.scale --halo                      what is lost by how far blocks see

Images are made by the script: noise of a photograph's spectrum as JPEG, 500 x 375 pixels for the
costs, as in ImageNet, 224 x 224 for the comparison. ``--ray`` runs the plain command's work on two
threads and two workers of Ray on a thread each, in turn, and compares every bit of their files;
what it takes to import, to start Ray and its workers is told apart.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import statistics
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from scatcuda import Scattering2D
from scatcuda.cli.options import integer
from scatcuda.scale import ScatteringMapper, halo, missing, write_shard

SIDE, CROP, EACH = 224, 0.875, 200
IMAGENET, BILLION = 1_281_167, 10**9


def picture(seed: int, height: int, width: int) -> np.ndarray:
    """uint8 ``[height, width, 3]``, its spectrum falls as a photograph's."""
    random = np.random.default_rng(seed)
    k = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)) + 1 / width
    noise = np.fft.rfft2(random.standard_normal((3, height, width)))
    x = np.fft.irfft2(noise / k**1.1, (height, width))
    x = 0.75 * x.mean(0) + 0.25 * x  # colours go together
    return (127.5 + 45 * x / x.std()).clip(0, 255).astype(np.uint8).transpose(1, 2, 0)


def jpeg(seed: int, height: int, width: int) -> bytes:
    from PIL import Image

    raw = io.BytesIO()
    Image.fromarray(picture(seed, height, width)).save(raw, "jpeg", quality=92)
    return raw.getvalue()


def write_shards(folder: Path, count: int, height: int, width: int) -> list[str]:
    """Archives of EACH images; their paths."""
    paths = []
    for number, start in enumerate(range(0, count, EACH)):
        path = folder / f"train-{number:06d}.tar"
        with tarfile.open(path, "w") as archive:
            for i in range(start, min(start + EACH, count)):
                content = jpeg(i % 500, height, width)
                info = tarfile.TarInfo(f"{i:08d}.jpg")
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
        paths.append(str(path))
    return paths


def mapper(J: int, pool: Any, **how: Any) -> ScatteringMapper:
    return ScatteringMapper(
        "Scattering2D", {"J": J, "shape": (SIDE, SIDE)}, channels=3, pool=pool, dtype="float16",
        crop=CROP, **how,
    )  # fmt: skip


# --- unit costs -------------------------------------------------------------------------------


def per_image(run: Callable[[], Any], count: int, rounds: int = 3) -> float:
    """Milliseconds, the median of some rounds after one that does not count."""
    run()
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        run()
        taken.append(time.perf_counter() - start)
    return 1e3 * statistics.median(taken) / count


def unit_costs(J: int, pool: Any, count: int, folder: Path) -> dict[str, float]:
    """Of one image on one thread: milliseconds to decode, to scatter and to write, bytes in and
    out."""
    from scatcuda.data.folders.decode import decoded
    from scatcuda.files.tables import record_batch, write_batches

    raw = [jpeg(i, 375, 500) for i in range(count)]
    images = [decoded(r, "it", SIDE, CROP, False) for r in raw]
    function = mapper(J, pool, threads=1, batch_size=64)
    found = function({"image": images})["features"]
    batch = record_batch({"features": found})
    return {
        "decode": per_image(lambda: [decoded(r, "it", SIDE, CROP, False) for r in raw], count),
        "scatter": per_image(lambda: function({"image": images}), count),
        "write": per_image(
            lambda: write_batches(folder / "costs.parquet", batch.schema, [batch]), count
        ),
        "bytes in": sum(map(len, raw)) / count,
        "bytes out": found.nbytes / count,
    }


def plan(J: int, count: int, gpu: float | None) -> str:
    """The table of unit costs, and what follows for two data sets: by arithmetic. ``gpu`` are
    microseconds of an image on one, which nothing measures here."""
    torch.set_num_threads(1)
    lines = [f"unit costs, J = {J}, colour, {SIDE} x {SIDE}, one thread, an image:"]
    rows = [f"{'data':22}{'features':>10}{'in':>9}{'out':>9}{'core hours':>12}"
            f"{'64 cores':>11}{'32 x 64':>10}{'MB/s a machine':>16}  bound by"]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        for pool in ("mean", None):
            costs = unit_costs(J, pool, count if pool else max(8, count // 8), Path(folder))
            name = "pooled" if pool else "whole"
            lines.append(
                f"  {name:8} decode {costs['decode']:6.2f} ms   scatter {costs['scatter']:6.2f} ms"
                f"   write {costs['write']:7.3f} ms   in {costs['bytes in'] / 1e3:6.1f} kB"
                f"   out {costs['bytes out'] / 1e3:8.1f} kB"
            )
            parts = {part: costs[part] for part in ("decode", "scatter", "write")}
            total = sum(parts.values()) / 1e3  # seconds of a core
            for data, images in (("ImageNet, 1.28e6", IMAGENET), ("1e9", BILLION)):
                hours = images * total / 3600
                rate = 64 / total * (costs["bytes in"] + costs["bytes out"]) / 1e6
                most = max(parts, key=lambda part: parts[part])
                bound = f"{most}, {parts[most] / 1e3 / total:.0%}"
                rows.append(
                    f"{data:22}{name:>10}{_size(images * costs['bytes in']):>9}"
                    f"{_size(images * costs['bytes out']):>9}{hours:12.1f}{hours / 64:9.2f} h"
                    f"{hours / 2048:8.2f} h{rate:16.0f}  {bound}"
                )
    if gpu is not None:
        cores = 1e3 * (costs["decode"] + costs["write"]) / gpu
        hours = [images * gpu / 3.6e9 for images in (IMAGENET, BILLION)]
        rows += ["", f"a GPU of {gpu:g} µs an image: {hours[0]:.2g} h and {hours[1]:.2g} h of one, "
                 f"which {cores:.0f} cores feed that decode and write whole features"]  # fmt: skip
    return "\n".join([*lines, "", *rows])


def _size(nbytes: float) -> str:
    for power, unit in ((15, "PB"), (12, "TB"), (9, "GB"), (6, "MB")):
        if nbytes >= 10**power:
            return f"{nbytes / 10**power:.3g} {unit}"
    return f"{nbytes:.0f} B"


# --- Ray --------------------------------------------------------------------------------------


def plain(folder: Path, output: Path, J: int, pool: Any) -> float:
    """Seconds of ``scatcuda features --threads 2`` without its imports."""
    from scatcuda.cli import main

    command = [
        "features", str(folder), "--image-size", str(SIDE), "--J", str(J), "--pool",
        pool or "none", "--dtype", "float16", "--threads", "2", "--format", "parquet",
        "--shard-size", str(EACH), "--no-progress", "--device", "cpu", "--output", str(output),
    ]  # fmt: skip
    start = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        status = main(command)
    seconds = time.perf_counter() - start
    if status:
        raise RuntimeError("the plain command failed")
    return seconds


@contextlib.contextmanager
def two_workers(function: ScatteringMapper) -> Iterator[tuple[Callable[..., float], float]]:
    """A function of archives and a directory that says how long two workers took, and how long it
    took to start them and to have them make their filters."""
    import ray

    start = time.perf_counter()
    path = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    ray.init(
        num_cpus=2, include_dashboard=False, log_to_driver=False,
        runtime_env={"env_vars": {"PYTHONPATH": path}},
    )  # fmt: skip

    class Worker:
        def ready(self) -> int:
            self.mapper = function
            return self.mapper.n_features_out

        def write(self, path: str, folder: str) -> Any:
            return write_shard(path, self.mapper, folder)

    workers = [ray.remote(num_cpus=1)(Worker).remote() for _ in range(2)]
    ray.get([worker.ready.remote() for worker in workers])
    started = time.perf_counter() - start

    def run(paths: list[str], folder: Path) -> float:
        begin = time.perf_counter()
        pool = ray.util.ActorPool(workers)
        todo = missing(paths, function, folder)
        done = list(pool.map(lambda worker, p: worker.write.remote(p, str(folder)), todo))
        seconds = time.perf_counter() - begin
        if any(written.error or written.failed for written in done):
            raise RuntimeError("Ray's workers failed")
        return seconds

    try:
        yield run, started
    finally:
        ray.shutdown()


def same_bits(first: Path, second: Path) -> int:
    """How many rows of two directories are the same.

    Raises: RuntimeError: one is not.
    """
    import pyarrow.parquet

    rows = 0
    files = [sorted(folder.glob("*.parquet")) for folder in (first, second)]
    for ours, theirs in zip(*files, strict=True):
        a = pyarrow.parquet.read_table(ours, columns=["x"])["x"].combine_chunks().flatten()
        b = pyarrow.parquet.read_table(theirs, columns=["features"])["features"]
        b = b.combine_chunks().flatten()
        if a.to_numpy().tobytes() != b.to_numpy().tobytes():
            raise RuntimeError(f"{ours.name} and {theirs.name} differ")
        rows += pyarrow.parquet.ParquetFile(ours).metadata.num_rows
    return rows


def against_ray(J: int, pool: Any, count: int, rounds: int) -> str:
    function = mapper(J, pool, threads=1, batch_size=50)
    with tempfile.TemporaryDirectory() as name:
        shards = Path(name, "shards")
        shards.mkdir()
        paths = write_shards(shards, count, SIDE, SIDE)
        ours, theirs = [], []
        with two_workers(function) as (run, started):
            for i in range(rounds):
                first, second = Path(name, f"plain-{i}"), Path(name, f"ray-{i}")
                ours.append(plain(shards, first, J, pool))
                theirs.append(run(paths, second))
                rows = same_bits(first, second)
                for folder in (first, second):
                    for file in folder.iterdir():
                        file.unlink()
    a, b = statistics.median(ours), statistics.median(theirs)
    return (
        f"{count} images of {SIDE} x {SIDE}, J = {J}, pool {pool}: the plain command, two threads,"
        f" {a:.2f} s; Ray, two workers, {b:.2f} s: {b / a:.3f} times; {rows} rows of the same bits"
        f"\nto start Ray and its workers: {started:.1f} s, not counted; each the median of {rounds}"
    )


# --- halo -------------------------------------------------------------------------------------


def lost(side: int = 320) -> str:
    """By the width of the halo, in 2^J: the relative L2 distance to the whole image's coefficients,
    at all places."""
    import dask.array as da

    from scatcuda.scale import scatter_blocks

    images = {"noise": torch.rand(side, side, generator=torch.Generator().manual_seed(0))}
    with contextlib.suppress(ImportError):
        from skimage import data

        images["camera"] = torch.from_numpy(data.camera()[:side, :side] / 255).float()
    widths = (1, 2, 3, 4, 5, 6, 8, 10, 12)
    lines = [f"{'':14}" + "".join(f"{width:>10}" for width in widths) + "   halo(), default"]
    for name, x in images.items():
        for J in (2, 3, 4):
            right = Scattering2D(J, (side, side))(x).numpy()
            row = []
            for width in widths:
                h = width << J
                S = scatter_blocks(da.from_array(x.numpy()), J, side=max(128, 4 * h), halo=h)
                found = S.compute(scheduler="synchronous")
                row.append(float(np.linalg.norm(found - right) / np.linalg.norm(right)))
            least = halo(Scattering2D(J, (1 << J, 1 << J))) >> J
            lines.append(f"{name + f', J = {J}':14}" + "".join(f"{e:10.1e}" for e in row) + f"   {least}")  # fmt: skip # noqa: E501
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--ray", action="store_true", help="compare with the plain command")
    parser.add_argument("--halo", action="store_true", help="what is lost by the halo's width")
    parser.add_argument("--images", type=integer(1), help="(2000 with --ray, 256)")
    parser.add_argument("--J", type=integer(1), default=3)
    parser.add_argument("--pool", choices=("mean", "none"), default="mean", help="with --ray")
    parser.add_argument("--rounds", type=integer(1), default=3, help="with --ray")
    parser.add_argument("--gpu", type=float, help="microseconds of an image, measured elsewhere")
    given = parser.parse_args()
    if given.halo:
        print(lost())
    elif given.ray:
        pool = None if given.pool == "none" else given.pool
        print(against_ray(given.J, pool, given.images or 2000, given.rounds))
    else:
        print(plan(given.J, given.images or 256, given.gpu))
