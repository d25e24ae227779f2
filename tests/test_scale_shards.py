"""Archives to files of features: a file each, whole or not at all, on after an interruption."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sklearn")
pytest.importorskip("pyarrow")
pytest.importorskip("PIL")

import pyarrow.parquet
from scale_shards import SIDE, picture, write_shards, write_tar

import scatcuda
from scatcuda.data import DataError
from scatcuda.learn import ScatteringTransformer
from scatcuda.scale import ScatteringMapper, missing, read_features, samples, write_shard

ROOT = Path(__file__).parents[1]


def mapper(J: int = 2, **how) -> ScatteringMapper:
    arguments = {"J": J, "shape": (SIDE, SIDE)}
    return ScatteringMapper(
        "Scattering2D", arguments, **{"channels": 3, "pool": "mean", "on_error": "record", **how}
    )


def features(numbers: range, **how) -> np.ndarray:
    x = np.stack([picture(i) for i in numbers]).transpose(0, 3, 1, 2)
    return ScatteringTransformer(2, pool="mean", **how).fit_transform(x)


def test_samples_are_in_order_with_their_labels(tmp_path):
    (path,) = write_shards(tmp_path, 1)
    found = list(samples(path))
    assert [row["key"] for row in found] == [f"{i:06d}" for i in range(7)]
    assert [row["label"] for row in found] == ["0", "1", "2", "3", "4", "0", "1"]
    assert found[0]["image"].startswith(b"\x93NUMPY") and found[1]["image"].startswith(b"\x89PNG")


def test_webdataset_reads_the_same(tmp_path):
    webdataset = pytest.importorskip("webdataset")
    (path,) = write_shards(tmp_path, 1)
    theirs = {
        row["__key__"]: row.get("png", row.get("npy"))
        for row in webdataset.WebDataset(path, shardshuffle=False)
    }
    assert theirs == {row["key"]: row["image"] for row in samples(path)}


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_a_file_holds_the_features_and_what_they_are(tmp_path, dtype):
    paths = write_shards(tmp_path, 2, 7, bad=(4,))
    done = [write_shard(p, mapper(dtype=dtype, batch_size=3), tmp_path / "out") for p in paths]
    assert [(w.rows, w.failed, w.error) for w in done] == [(7, 1, ""), (7, 0, "")]
    found = read_features(tmp_path / "out")
    right = features(range(14), dtype=dtype)
    good = [i for i in range(14) if i != 4]
    assert found.x.dtype == right.dtype and np.array_equal(found.x[good], right[good])
    assert np.isnan(found.x[4]).all() and "not an image" in found.columns["error"][4]
    assert found.columns["key"] == [f"{i:06d}" for i in range(14)]
    assert found.columns["label"][:7] == ["0", "1", "2", "3", "4", "0", "1"]
    meta = scatcuda.Scattering2D(2, (SIDE, SIDE)).meta()
    assert all(found.meta["meta"][name] == meta[name].tolist() for name in meta)
    assert found.meta["arguments"]["scattering"] == {
        "transform": "Scattering2D", "J": 2, "shape": [SIDE, SIDE]
    }  # fmt: skip
    assert found.meta["transform"].startswith("Scattering2D(J=2") and found.meta["version"]
    schema = pyarrow.parquet.read_schema(done[0].path)
    kind = schema.field("features").type
    assert kind.list_size == 3 * 81 and str(kind.value_type) == {"float16": "halffloat"}.get(dtype, "float")  # fmt: skip # noqa: E501
    source = json.loads(schema.metadata[b"source"])
    assert source["name"] == "train-000000.tar" and source["bytes"] == os.stat(paths[0]).st_size
    one = read_features(done[1].path)
    assert np.array_equal(one.x, right[7:])


def test_what_fails_can_be_left_out_or_stop(tmp_path):
    (path,) = write_shards(tmp_path, 1, 7, bad=(4,))
    done = write_shard(path, mapper(on_error="skip"), tmp_path / "skip")
    assert (done.rows, done.failed) == (6, 1)
    found = read_features(tmp_path / "skip")
    assert "000004" not in found.columns["key"] and "error" not in found.columns
    with pytest.raises(ValueError, match="row 4 of the batch"):
        write_shard(path, mapper(on_error="stop"), tmp_path / "stop")
    assert not (tmp_path / "stop").exists()


def test_all_of_a_shard_may_fail(tmp_path):
    (path,) = write_shards(tmp_path, 1, 4, bad=tuple(range(4)))
    for on_error, rows in (("record", 4), ("skip", 0)):
        done = write_shard(path, mapper(on_error=on_error), tmp_path / on_error)
        assert (done.rows, done.failed) == (rows, 4)
        assert read_features(tmp_path / on_error).x.shape == (rows, 3 * 81)


def test_an_archive_that_cannot_be_read_is_noted(tmp_path):
    (path,) = write_shards(tmp_path, 1)
    Path(path).write_bytes(Path(path).read_bytes()[:1500])
    for bad in (path, str(tmp_path / "absent.tar")):
        done = write_shard(bad, mapper(), tmp_path / "out")
        assert not done.path and bad in done.error
        with pytest.raises(DataError, match="tar"):
            write_shard(bad, mapper(on_error="stop"), tmp_path / "out")
    assert missing([path], mapper(), tmp_path / "out") == [path]


def test_what_is_missing_damaged_or_of_another_archive_is_done_again(tmp_path):
    paths, out = write_shards(tmp_path), tmp_path / "out"
    assert missing(paths, mapper(), out) == paths
    for path in paths:
        write_shard(path, mapper(), out)
    kept = {file.name: file.read_bytes() for file in out.iterdir()}
    assert missing(paths, mapper(), out) == [] == missing(paths, mapper(), out, check=True)
    first, second, third = sorted(out.iterdir())
    first.unlink()
    second.write_bytes(kept[second.name][:-30])
    assert missing(paths, mapper(), out) == paths[:2]
    for path in paths[:2]:
        write_shard(path, mapper(), out)
    assert kept == {file.name: file.read_bytes() for file in out.iterdir()}
    raw = bytearray(kept[third.name])
    raw[600] ^= 1  # of a feature: nothing but its page's checksum tells
    third.write_bytes(raw)
    assert missing(paths, mapper(), out) == []
    assert missing(paths, mapper(), out, check=True) == paths[2:]
    with pytest.raises(DataError, match="not a Parquet file that can be read"):
        read_features(out)
    third.write_bytes(kept[third.name])
    write_tar(Path(paths[0]), range(50, 57))  # as many bytes, others
    assert missing(paths, mapper(), out) == []
    assert missing(paths, mapper(), out, check=True) == paths[:1]
    write_tar(Path(paths[1]), range(50, 60))
    assert missing(paths, mapper(), out) == paths[1:2]


def test_other_features_are_refused(tmp_path):
    paths, out = write_shards(tmp_path), tmp_path / "out"
    write_shard(paths[0], mapper(), out)
    with pytest.raises(ValueError, match=r"holds other features: .* they are kept"):
        missing(paths, mapper(J=1), out)
    write_shard(paths[1], mapper(J=1), out)
    with pytest.raises(DataError, match="of other features than"):
        read_features(out)
    with pytest.raises(ValueError, match="two archives have the name train-000000"):
        missing([*paths, "elsewhere/train-000000.tar"], mapper(), out)
    with pytest.raises(ValueError, match="column must be 'image'"):
        write_shard(paths[0], mapper(column="x"), out)


@pytest.mark.proof
def test_names_that_are_no_utf8(tmp_path):
    r"""Of an archive, of a directory, and in what went wrong: spelt as the name has it."""
    name = "caf\udce9"
    path = tmp_path / f"{name}.tar"
    write_tar(path, range(3))
    for folder in (tmp_path / "out", tmp_path / name):
        done = write_shard(path, mapper(on_error="record"), folder)
        assert done.path == str(folder / f"{name}.parquet") and not done.error
        assert not missing([path], mapper(on_error="record"), folder, check=True)
        assert np.array_equal(read_features(folder).x, features(range(3)))
    rows = {"image": [f"{name}.png"]}
    (error,) = mapper(on_error="record")(rows)["error"]
    assert error == rf"{name[:3]}\udce9.png: no such file"


def test_a_killed_run_leaves_whole_files(tmp_path):
    paths, out = write_shards(tmp_path, 12, 4), tmp_path / "out"
    code = (
        "import sys; sys.path.insert(0, 'tests')\n"
        "from test_scale_shards import mapper; from scatcuda.scale import missing, write_shard\n"
        "paths, out = sys.argv[2:], sys.argv[1]\n"
        "[write_shard(path, mapper(), out) for path in missing(paths, mapper(), out)]\n"
    )
    command = [sys.executable, "-c", code, str(out), *paths]
    process = subprocess.Popen(command, cwd=ROOT)
    while len(list(out.glob("*.parquet"))) < 2 and process.poll() is None:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    left = missing(paths, mapper(), out, check=True)
    assert 0 < len(left) < 12
    subprocess.run(command, cwd=ROOT, check=True)
    assert np.array_equal(read_features(out).x, features(range(48)))
