"""Features of `scatcuda features` as Parquet, and read with what they are."""

import json
import os

import numpy as np
import pytest
import torch

pytest.importorskip("safetensors")
pytest.importorskip("sklearn")
pytest.importorskip("pyarrow")

import pyarrow
import pyarrow.parquet
from data_files import write_folders

from scatcuda import Scattering2D
from scatcuda.cli import main
from scatcuda.data import DataError, Dataset, digits, load
from scatcuda.files.tables import open_columns, record_batch, write_batches
from scatcuda.learn import ScatteringTransformer, extract, load_features, read_features
from scatcuda.learn.extraction.features import MANIFEST


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    x, y = digits(16)
    return Dataset("some", x[:100], y[:100], x[100:137], y[100:137], tuple("0123456789"))


def transformer(**how) -> ScatteringTransformer:
    return ScatteringTransformer(**{"J": 2, "pool": "mean", "device": "cpu", **how})


@pytest.mark.parametrize("format", ["parquet", "safetensors"])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_both_formats_hold_the_same_and_say_what_it_is(dataset, tmp_path, dtype, format):
    how = transformer(dtype=dtype)
    assert extract(dataset, how, tmp_path, shard_size=30, format=format) == 4 + 2
    assert len(list(tmp_path.glob(f"*.{format}"))) == 6
    for split, x, y in (
        ("train", dataset.train_x, dataset.train_y), ("test", dataset.test_x, dataset.test_y),
    ):  # fmt: skip
        right = transformer(dtype=dtype).fit(dataset.train_x).transform(x)
        features, labels = load_features(tmp_path, split)
        assert torch.equal(features, right) and torch.equal(labels, y)
        found = read_features(tmp_path, split)
        assert np.array_equal(found.x, right.numpy()) and found.x.dtype == np.dtype(dtype)
        assert np.array_equal(found.columns["y"], y.numpy())
    meta = Scattering2D(2, (16, 16)).meta()
    assert all(found.meta["meta"][name] == meta[name].tolist() for name in meta)
    assert found.meta["meta"]["output_shape"] == [81, 4, 4]
    assert found.meta["classes"] == list("0123456789")
    words = "Scattering2D(J=2, shape=(16, 16), L=8, max_order=2, filters='morlet')"
    assert found.meta["transform"] == words
    assert found.meta["arguments"]["pool"] == "mean"
    assert ("version" in found.meta) == (format == "parquet")
    assert extract(dataset, how, tmp_path, shard_size=30, format=format) == 0


@pytest.mark.parametrize("how", [{"scattering": "roto-translation"}, {"Q": 4, "J": 3}])
def test_what_other_transforms_are_is_read_from_manifests(dataset, tmp_path, how):
    if "Q" in how:
        x = torch.rand(20, 64)
        dataset = Dataset("signals", x[:12], torch.arange(12) % 2, x[12:], torch.arange(8) % 2,
                          ("a", "b"))  # fmt: skip
    found = []
    for format in ("parquet", "safetensors"):
        extract(dataset, transformer(**how), tmp_path / format, format=format)
        found.append(read_features(tmp_path / format))
    assert np.array_equal(found[0].x, found[1].x)
    assert found[0].meta["meta"] == found[1].meta["meta"]
    assert found[0].meta["transform"] == found[1].meta["transform"]


def test_everything_that_reads_parquet_reads_it(dataset, tmp_path):
    extract(dataset, transformer(dtype="float16"), tmp_path, format="parquet")
    (file,) = tmp_path.glob("train-*")
    table = pyarrow.parquet.read_table(file)
    assert table.schema.names == ["x", "y", "index"]
    assert table.schema.field("x").type.list_size == 81
    metadata = {key.decode(): text.decode() for key, text in table.schema.metadata.items()}
    assert set(metadata) >= {"transform", "arguments", "meta", "version", "classes"}
    assert json.loads(metadata["meta"])["order"][0] == 0
    pandas = pytest.importorskip("pandas")
    frame = pandas.read_parquet(file)
    right = transformer(dtype="float16").fit_transform(dataset.train_x)
    assert np.array_equal(np.stack(frame["x"]), right.numpy())


def test_names_of_files_are_kept(tmp_path):
    pytest.importorskip("PIL")
    write_folders(tmp_path / "images", ("train", "test"), count=4)
    data = load(tmp_path / "images", size=16)
    extract(data, transformer(), tmp_path / "out", shard_size=3, format="parquet")
    assert read_features(tmp_path / "out").columns["name"] == list(data.train_x.files)


def test_names_follow_the_files(tmp_path, monkeypatch):
    """Files that go by other names, in the same order, have the same features: computed once."""
    pytest.importorskip("PIL")
    write_folders(tmp_path / "images", ("train", "test"), count=4)
    extract(load(tmp_path / "images", size=16), transformer(), tmp_path / "out", shard_size=3,
            format="parquet")  # fmt: skip
    before = read_features(tmp_path / "out")
    last = sorted((tmp_path / "images/train").rglob("*.png"))[-1]
    odd = os.fsdecode(os.fsencode(last.with_suffix("")) + b"-\xe9.png")
    last.rename(odd)
    data = load(tmp_path / "images", size=16)
    with monkeypatch.context() as patch:
        patch.setattr(ScatteringTransformer, "_features", None)
        written = extract(data, transformer(), tmp_path / "out", shard_size=3, format="parquet")
        assert written == 1
        assert not extract(data, transformer(), tmp_path / "out", shard_size=3, format="parquet")
    after = read_features(tmp_path / "out")
    assert np.array_equal(before.x, after.x) and before.meta == after.meta
    assert before.columns["name"][:-1] == after.columns["name"][:-1]
    assert after.columns["name"][-1] == f"{last.with_suffix('')}-\\udce9.png"


def test_files_beside_the_features_are_not_read(tmp_path):
    pytest.importorskip("PIL")
    write_folders(tmp_path / "images", ("train", "test"), count=4)
    data = load(tmp_path / "images", size=16)
    extract(data, transformer(), tmp_path, shard_size=3, format="parquet")
    first = sorted(tmp_path.glob("train-*.parquet"))[0]
    (tmp_path / f"{first.stem} (copy).parquet").write_bytes(first.read_bytes())
    assert read_features(tmp_path).columns["name"] == list(data.train_x.files)


@pytest.mark.parametrize("of", ["x", "name", "cut", "nothing"])
def test_a_flipped_bit_is_noticed_and_made_good(tmp_path, of):
    pytest.importorskip("PIL")
    write_folders(tmp_path / "images", ("train", "test"), count=5)
    data = load(tmp_path / "images", size=16)
    out = tmp_path / "out"
    extract(data, transformer(), out, shard_size=4, format="parquet")
    kept = {path.name: path.read_bytes() for path in out.iterdir()}
    name = next(path for path in sorted(kept) if path.startswith("train-00001"))
    raw = bytearray(kept[name])
    if of == "cut":
        del raw[-1]
    elif of == "x":
        raw[500] ^= 1
    elif of == "name":
        raw[raw.index(b".png") - 1] ^= 1
    (out / name).write_bytes(raw)
    if of in ("x", "cut"):
        with pytest.raises(DataError, match=f"{name}: .*; run the extraction again, which makes"):
            load_features(out)
    if of == "name":
        with pytest.raises(DataError, match="not a Parquet file that can be read"):
            read_features(out)
    again = extract(data, transformer(), out, shard_size=4, format="parquet")
    assert again == (of != "nothing")
    assert read_features(out).x.shape == (10, 243)
    if again:
        assert kept == {path.name: path.read_bytes() for path in out.iterdir()}


def test_formats_are_not_mixed(dataset, tmp_path):
    extract(dataset, transformer(), tmp_path, format="safetensors")
    with pytest.raises(ValueError, match="its files are safetensors, now parquet"):
        extract(dataset, transformer(), tmp_path, format="parquet")
    with pytest.raises(ValueError, match="format must be one of"):
        extract(dataset, transformer(), tmp_path, format="csv")


def test_a_manifest_names_a_format(dataset, tmp_path):
    extract(dataset, transformer(), tmp_path, format="parquet")
    manifest = json.loads((tmp_path / MANIFEST).read_text())
    (tmp_path / MANIFEST).write_text(json.dumps(manifest | {"files": "../elsewhere"}))
    with pytest.raises(DataError, match="files must be one of safetensors, parquet"):
        load_features(tmp_path)


def test_a_manifest_that_nobody_can_build_is_one_sentence(dataset, tmp_path):
    extract(dataset, transformer(), tmp_path)
    manifest = json.loads((tmp_path / MANIFEST).read_text())
    for change in (
        {"J": 99},
        {"L": "many"},
        {"filters": "mine"},
        {"surplus": 1},
        {"shape": [0, 5]},
    ):
        changed = manifest | {"transformer": manifest["transformer"] | change}
        (tmp_path / MANIFEST).write_text(json.dumps(changed))
        with pytest.raises(DataError):
            read_features(tmp_path)


def test_the_command_writes_parquet(tmp_path, capsys):
    command = ["features", "digits", "--pool", "mean", "--format", "parquet", "--output"]
    assert main([*command, str(tmp_path)]) == 0
    assert "2 files written now" in capsys.readouterr().out
    assert read_features(tmp_path).x.shape == (898, 81)
    assert main([*command, str(tmp_path)]) == 0
    assert "0 files written now" in capsys.readouterr().out


def test_features_of_webdataset_shards(tmp_path, capsys):
    """A directory of tar shards with .cls and .json beside the images, by the plain command."""
    pytest.importorskip("PIL")
    import tarfile

    from scale_shards import add, png

    (tmp_path / "shards").mkdir()
    for k in range(2):
        with tarfile.open(tmp_path / "shards" / f"train-{k:06d}.tar", "w") as archive:
            for i in range(4 * k, 4 * k + 4):
                add(archive, f"{i:06d}.png", png(i))
                add(archive, f"{i:06d}.cls", b"%d" % (i % 2))
    how = ["--pool", "mean", "--format", "parquet", "--dtype", "float32"]
    out = tmp_path / "out"
    assert main(["features", str(tmp_path / "shards"), *how, "--output", str(out)]) == 0
    found = read_features(out)
    assert found.columns["y"].tolist() == [0, 1] * 4 and found.meta["classes"] == ["0", "1"]
    assert found.columns["name"][0].endswith("train-000000.tar: 000000.png")


# --- the files --------------------------------------------------------------------------------


def test_columns_are_read_as_they_were_written(tmp_path):
    columns = {
        "x": np.random.default_rng(0).random((7, 3)).astype(np.float16), "y": torch.arange(7),
        "name": ["a", None, "c", "d", "", "f", "g"], "wide": np.zeros((7, 2, 2)),
    }  # fmt: skip
    batch = record_batch(columns, {"what": "this"})
    assert write_batches(tmp_path / "a.parquet", batch.schema, [batch, batch]) == 14
    with open_columns(tmp_path / "a.parquet") as file:
        assert file.keys() == ["x", "y", "wide"] and file.others() == ["name"]
        assert file.metadata() == {"what": "this"} and file.rows == 14
        assert np.array_equal(file.get_tensor("x").numpy(), np.concatenate([columns["x"]] * 2))
        assert file.get_slice("wide").get_shape() == [14, 4]
        assert file.texts("name") == columns["name"] * 2
        with pytest.raises(DataError, match="column name is not of numbers"):
            file.get_tensor("name")


def test_nothing_is_left_of_a_file_that_was_not_finished(tmp_path):
    batch = record_batch({"x": np.zeros((2, 2))})

    def batches():
        yield batch
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_batches(tmp_path / "a.parquet", batch.schema, batches())
    assert list(tmp_path.iterdir()) == []


def test_hostile_files_are_one_sentence(tmp_path, monkeypatch):
    """Rows without a value; a million rows in some bytes, which no memory is asked for."""
    path = tmp_path / "a.parquet"
    lists = pyarrow.array([[1.0, 2.0], None], pyarrow.list_(pyarrow.float32(), 2))
    pyarrow.parquet.write_table(pyarrow.table({"x": lists, "n": [None, 1]}), path)
    with open_columns(path) as file:
        for name in ("x", "n"):
            with pytest.raises(DataError, match=r"has rows without a value|not 2|not a Parquet"):
                file.get_tensor(name)
    many = pyarrow.array(np.zeros(1 << 20, np.int64))
    pyarrow.parquet.write_table(pyarrow.table({"y": many}), path, compression="zstd")
    assert path.stat().st_size < 1 << 16
    monkeypatch.setenv("SCATCUDA_FILE_BUDGET", str(1 << 20))
    with open_columns(path) as file, pytest.raises(DataError, match="more than the 1 MiB"):
        file.get_tensor("y")
    for raw in (b"", b"PAR1", b"PAR1" * 100):
        path.write_bytes(raw)
        with pytest.raises(DataError, match="not a Parquet file"), open_columns(path):
            pass
