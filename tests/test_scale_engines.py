"""The recipes of docs/examples, by the engines that are here."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sklearn")
pytest.importorskip("pyarrow")
pytest.importorskip("PIL")

from scale_shards import SIDE, picture, png, write_shards

from scatcuda.learn import ScatteringTransformer
from scatcuda.scale import ScatteringMapper, missing, read_features, write_shard

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "docs" / "examples"
N = 12


def recipe(name: str):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def mapper(**how) -> ScatteringMapper:
    arguments = {"J": 2, "shape": (SIDE, SIDE)}
    return ScatteringMapper(
        "Scattering2D", arguments,
        **{"channels": 3, "pool": "mean", "on_error": "record", "threads": 1, **how},
    )  # fmt: skip


@pytest.fixture(scope="module")
def right() -> np.ndarray:
    x = np.stack([picture(i) for i in range(N)]).transpose(0, 3, 1, 2)
    return ScatteringTransformer(2, pool="mean").fit_transform(x)


@pytest.fixture
def shards(tmp_path) -> list[str]:
    return write_shards(tmp_path, 3, 4, bad=(5,))


def check(folder: Path, right: np.ndarray) -> None:
    """Features to the bit, in spite of an image that cannot be read."""
    found = read_features(folder)
    good = [i for i in range(N) if i != 5]
    assert np.array_equal(found.x[good], right[good]) and np.isnan(found.x[5]).all()
    assert [bool(error) for error in found.columns["error"]] == [i == 5 for i in range(N)]


@pytest.fixture(scope="module")
def ray():
    ray = pytest.importorskip("ray", reason="Ray is not installed")
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    ray.init(
        num_cpus=2, include_dashboard=False, log_to_driver=False,
        runtime_env={"env_vars": {"PYTHONPATH": path}}, object_store_memory=100 << 20,
    )  # fmt: skip
    pytest.importorskip("ray.data")
    ray.data.DataContext.get_current().enable_progress_bars = False
    yield ray
    ray.shutdown()


def test_ray_by_shards_and_on_after_an_interruption(ray, shards, right, tmp_path):
    scale = recipe("scale_ray")
    done = scale.by_shard(shards, mapper(), str(tmp_path / "out"))
    assert [(w.rows, w.failed) for w in done] == [(4, 0), (4, 1), (4, 0)]
    check(tmp_path / "out", right)
    (tmp_path / "out" / "train-000001.parquet").unlink()
    again = scale.by_shard(shards, mapper(), str(tmp_path / "out"))
    assert [Path(w.path).name for w in again] == ["train-000001.parquet"]
    check(tmp_path / "out", right)


@pytest.mark.proof
def test_ray_data_in_flight(ray, right):
    scale = recipe("scale_ray")
    rows = [{"key": i, "image": picture(i)} for i in range(N)]
    how = {"arguments": {"J": 2, "shape": (SIDE, SIDE)}, "channels": 3, "pool": "mean"}
    dataset = ray.data.from_items(rows)
    found = scale.in_flight(dataset, 1, 5, on_error="record", **how).take_all()
    found.sort(key=lambda row: row["key"])
    assert np.array_equal(np.stack([row["features"] for row in found]), right)
    assert [row["error"] for row in found] == [""] * N and "image" not in found[0]


@pytest.mark.proof
def test_ray_data_takes_the_mapper_as_it_is(ray, right):
    rows = [{"key": i, "image": png(i) if i != 5 else b"no image"} for i in range(N)]
    for form in ("numpy", "pandas", "pyarrow"):
        dataset = ray.data.from_items(rows).map_batches(mapper(), batch_format=form)
        found = sorted(dataset.take_all(), key=lambda row: row["key"])
        x = np.stack([np.asarray(row["features"]) for row in found])
        good = [i for i in range(N) if i != 5]
        assert np.array_equal(x[good], right[good]) and np.isnan(x[5]).all()
        assert "not an image" in found[5]["error"]


def test_dask_by_shards_and_on_after_an_interruption(shards, right, tmp_path):
    pytest.importorskip("dask.distributed", reason="Dask is not installed")
    import dask

    scale = recipe("scale_dask")
    with dask.config.set(scheduler="threads"):
        scale.by_shard(shards[:1], mapper(), str(tmp_path / "out"))
        done = scale.by_shard(shards, mapper(), str(tmp_path / "out"))
    assert [Path(w.path).name for w in done] == ["train-000001.parquet", "train-000002.parquet"]
    check(tmp_path / "out", right)


@pytest.mark.proof
def test_dask_in_processes(shards, right, tmp_path):
    pytest.importorskip("dask.distributed", reason="Dask is not installed")
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, EXAMPLES / "scale_dask.py", tmp_path / "out", *shards, "--J", "2",
               "--size", str(SIDE)]  # fmt: skip
    said = subprocess.run(
        list(map(str, command)), cwd=tmp_path, env={**os.environ, "PYTHONPATH": path}, text=True,
        capture_output=True,
    )  # fmt: skip
    assert said.returncode == 0, said.stderr
    assert said.stdout.count("4 rows, 0 failed") == 2 and said.stdout.count("1 failed") == 1
    found = read_features(tmp_path / "out")  # cropped and in float16: see the recipe
    assert found.x.shape == (N, 243) and np.isnan(found.x[5]).all()


def test_dask_bags_frames_and_arrays(right):
    pytest.importorskip("dask.dataframe", reason="Dask is not installed")
    import dask
    import dask.array
    import dask.bag
    import dask.dataframe
    import pandas

    scale = recipe("scale_dask")
    rows = [{"key": i, "image": picture(i)} for i in range(N)]
    with dask.config.set(scheduler="threads"):
        bag = dask.bag.from_sequence(rows, npartitions=3)
        found = scale.of_bag(bag, mapper(on_error="stop")).compute()
        assert np.array_equal(np.stack([row["features"] for row in found]), right)
        with dask.config.set({"dataframe.convert-string": False}):
            frame = pandas.DataFrame({"key": range(N), "image": [png(i) for i in range(N)]})
            frames = dask.dataframe.from_pandas(frame, npartitions=2)
            made = scale.of_frame(frames, mapper(on_error="skip")).compute()
        assert np.array_equal(np.stack(made["features"]), right)
        x = np.stack([row["image"] for row in rows])
        blocks = dask.array.from_array(x, chunks=(5, SIDE, SIDE, 3)).map_blocks(
            mapper(on_error="stop"), dtype=np.float32, drop_axis=[2, 3], chunks=((5, 5, 2), 243)
        )
        assert np.array_equal(blocks.compute(), right)


@pytest.mark.parametrize("workers", [None, pytest.param(2, marks=pytest.mark.proof)])
def test_datasets_of_hugging_face(right, tmp_path, workers):
    datasets = pytest.importorskip("datasets", reason="datasets is not installed")
    scale = recipe("scale_datasets")
    rows = {"key": list(range(N)), "image": [{"bytes": png(i), "path": None} for i in range(N)]}
    rows["image"][5] = {"bytes": b"no image", "path": None}
    kinds = datasets.Features({"key": datasets.Value("int64"), "image": datasets.Image(decode=False)})  # fmt: skip # noqa: E501
    dataset = datasets.Dataset.from_dict(rows, features=kinds)
    dataset.save_to_disk(tmp_path / "there")
    dataset = datasets.load_from_disk(tmp_path / "there")
    found = scale.with_features(dataset, mapper(), workers)
    made = found.with_format("numpy")
    good = [i for i in range(N) if i != 5]
    assert np.array_equal(np.asarray(made["features"])[good], right[good])
    assert "not an image" in found["error"][5] and found.column_names == ["key", "features", "error"]  # fmt: skip # noqa: E501
    files = [file["filename"] for file in found.cache_files]
    again = scale.with_features(dataset, mapper(), workers)
    assert files and [file["filename"] for file in again.cache_files] == files


def test_datasets_give_pictures_and_take_more(right):
    datasets = pytest.importorskip("datasets", reason="datasets is not installed")
    rows = {"key": list(range(4)), "image": [{"bytes": png(i), "path": None} for i in range(4)]}
    kinds = datasets.Features({"key": datasets.Value("int64"), "image": datasets.Image()})
    dataset = datasets.Dataset.from_dict(rows, features=kinds)
    found = dataset.map(mapper(), batched=True, batch_size=3)
    assert np.array_equal(np.array(found["features"], np.float32), right[:4])


@pytest.mark.proof
def test_spark(right, tmp_path):
    pytest.importorskip("pyspark.sql", reason="Spark is not installed")
    if not shutil.which("java"):
        pytest.skip("Spark needs Java, which is not installed")
    images = tmp_path / "images"
    images.mkdir()
    for i in range(N):
        (images / f"{i:02d}.png").write_bytes(png(i) if i != 5 else b"no image")
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, EXAMPLES / "scale_spark.py", images, tmp_path / "out", "--J", "2",
               "--size", SIDE]  # fmt: skip
    environment = {
        **os.environ, "PYTHONPATH": path, "PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP":
        "127.0.0.1", "PYSPARK_SUBMIT_ARGS": "--master local[2] pyspark-shell",
    }  # fmt: skip
    said = subprocess.run(
        list(map(str, command)), env=environment, cwd=tmp_path, capture_output=True, text=True
    )
    assert said.returncode == 0, said.stderr[-3000:]
    found = read_parts(tmp_path / "out")
    names = [Path(name).name for name in found["path"]]
    assert sorted(names) == [f"{i:02d}.png" for i in range(N)]
    assert [bool(error) for error in found["error"]] == [name == "05.png" for name in names]
    assert all(len(row) == 243 for row in found["features"])


def read_parts(folder: Path):
    import pyarrow.parquet

    return pyarrow.parquet.read_table(folder).to_pydict()


def test_spark_by_its_protocol(right):
    """Iterators of frames and of batches, as `mapInPandas` and `mapInArrow` give them."""
    import pandas
    import pyarrow

    frame = pandas.DataFrame({"key": range(N), "image": [png(i) for i in range(N)]})
    parts = [frame[:5], frame[5:6], frame[6:]]
    found = pandas.concat(mapper().over(iter(parts)))
    assert np.array_equal(np.stack(found["features"]), right)
    batches = [pyarrow.RecordBatch.from_pandas(part, preserve_index=False) for part in parts]
    made = list(mapper().over(iter(batches)))
    assert [len(batch) for batch in made] == [5, 1, 6]
    x = np.concatenate([batch.column("features").flatten().to_numpy() for batch in made])
    assert np.array_equal(x.reshape(N, -1), right)


def test_torchrun_of_two_processes(shards, tmp_path):
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2",
               EXAMPLES / "scale_torchrun.py", tmp_path / "out", *shards, "--J", "2", "--size",
               SIDE]  # fmt: skip
    like = ScatteringMapper(
        "Scattering2D", {"J": 2, "shape": (SIDE, SIDE)}, channels=3, pool="mean", dtype="float16",
        crop=0.875, on_error="record",
    )  # fmt: skip
    write_shard(shards[1], like, tmp_path / "out")  # of a run that was interrupted
    said = subprocess.run(
        list(map(str, command)), env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert said.returncode == 0, said.stderr[-3000:]
    assert said.stdout.count("4 rows, 0 failed") == 2 and said.stdout.count("rows, ") == 2
    found = read_features(tmp_path / "out")
    assert found.x.shape == (N, 243) and found.x.dtype == np.float16
    assert missing(shards, like, tmp_path / "out", check=True) == []
