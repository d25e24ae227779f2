"""One function of batches: what engines give it, what comes back, what fails."""

import functools
import io
import json
import pickle

import numpy as np
import pytest
import torch

pytest.importorskip("sklearn")

from scatcuda import RotoTranslationScattering2D, Scattering1D, Scattering2D
from scatcuda.learn import ScatteringTransformer
from scatcuda.scale import ScatteringMapper
from scatcuda.scale.mapper import _device

SHAPE = (16, 16)
ARGUMENTS = {"J": 2, "shape": SHAPE}


def mapper(**how) -> ScatteringMapper:
    return ScatteringMapper("Scattering2D", ARGUMENTS, **{"pool": "mean", **how})


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (5, *SHAPE), dtype=np.uint8)


@pytest.fixture(scope="module")
def expected(images) -> np.ndarray:
    return ScatteringTransformer(2, pool="mean").fit_transform(images)


def made_here() -> Scattering2D:
    return Scattering2D(2, SHAPE)


def test_a_function_is_told_by_its_name():
    """In another process, too, whatever its address there: so that shards can be gone on with."""
    for function, told in (
        (made_here, "test_scale_mapper:made_here"),
        (functools.partial(made_here), "functools.partial(<function made_here>)"),
    ):
        described = ScatteringMapper(function).describe()
        noted = json.loads(described["arguments"])["scattering"]["transform"]
        assert noted == told
        assert " at 0x" not in "".join(described.values())


def test_columns_are_those_of_the_transformer_to_the_bit(images, expected):
    found = mapper()({"image": images, "label": [3, 1, 4, 1, 5]})
    assert list(found) == ["label", "features"] and found["label"] == [3, 1, 4, 1, 5]
    assert found["features"].dtype == np.float32
    assert np.array_equal(found["features"], expected)
    small = mapper(batch_size=2, column="x", output="S", keep=True)({"x": list(images)})
    assert list(small) == ["x", "S"] and np.array_equal(small["S"], expected)


@pytest.mark.parametrize(
    ("transform", "arguments", "own"),
    [
        ("Scattering2D", ARGUMENTS, {}),
        (functools.partial(Scattering2D, 2, SHAPE), None, {}),
        ("RotoTranslationScattering2D", {**ARGUMENTS, "pool": "mean"}, {}),
        ("Scattering1D", {"J": 4, "shape": 256, "Q": 4}, {"pool": "mean", "log": True}),
        ("HarmonicScattering3D", {"J": 1, "shape": (8, 8, 8)}, {}),
    ],
)
def test_any_transform_by_name_or_by_a_function(transform, arguments, own):
    found = ScatteringMapper(transform, arguments, **own)
    x = np.random.default_rng(1).random((3, *found.shape), dtype=np.float32)
    module = found.transformer().scattering
    kinds = {"RotoTranslationScattering2D": RotoTranslationScattering2D, "Scattering1D": Scattering1D}  # fmt: skip # noqa: E501
    assert isinstance(module, kinds.get(transform, object))
    S = module(torch.from_numpy(x))
    if own:
        S = S.mean(-1)
        S[:, 1:] = torch.log(S[:, 1:] + 1e-6)
    assert np.allclose(found({"image": x})["features"], S.flatten(1), rtol=1e-5, atol=1e-6)
    assert found.n_features_out == S.flatten(1).shape[1]


def test_a_fitted_transformer_is_taken_as_it_is(images):
    fitted = ScatteringTransformer(2, pool="mean", log=True, dtype="float16").fit(images)
    found = ScatteringMapper(fitted)({"image": images})["features"]
    assert np.array_equal(found, fitted.transform(images)) and found.dtype == np.float16
    with pytest.raises(ValueError, match="must be fitted"):
        ScatteringMapper(ScatteringTransformer(2))
    with pytest.raises(ValueError, match="are those of the transformer"):
        ScatteringMapper(fitted, dtype="float64")


def test_what_travels_is_small_and_the_same_before_and_after_use(images, expected):
    function = mapper()
    before = pickle.dumps(function)
    assert np.array_equal(function({"image": images})["features"], expected)
    assert pickle.dumps(function) == before and len(before) < 1000
    there = pickle.loads(before)
    assert np.array_equal(there({"image": images})["features"], expected)


def test_rows_as_people_have_them(images, expected, tmp_path):
    pil = pytest.importorskip("PIL.Image")
    picture = pil.fromarray(images[0])
    png, npy = io.BytesIO(), io.BytesIO()
    picture.save(png, "png")
    np.save(npy, images[0])
    (tmp_path / "0.png").write_bytes(png.getvalue())
    rows = [
        images[0], images[0] / np.float32(255), images[0][None], images[0][..., None],
        torch.from_numpy(images[0]), picture, png.getvalue(), npy.getvalue(),
        {"bytes": png.getvalue(), "path": None}, {"bytes": None, "path": str(tmp_path / "0.png")},
        str(tmp_path / "0.png"), (images[0] / np.float32(255)).tolist(),
    ]  # fmt: skip
    found = mapper()({"image": rows})["features"]
    assert np.allclose(found, expected[:1], rtol=1e-6, atol=1e-7)


def test_lists_of_integers_are_pixels(images, expected):
    """As ``datasets`` and JSON have them; what no pixel is, is refused."""
    listed = images.tolist()
    found = mapper()({"image": [listed[0], [*images[1]], tuple(map(tuple, listed[2]))]})
    assert np.array_equal(found["features"], expected[:3])
    colours = [np.stack([x, x, x], -1).tolist() for x in images]
    found = mapper(channels=3)({"image": colours})["features"]
    assert np.array_equal(found[:, :81], expected)
    wrong = [np.int32(images[0]).tolist(), (images[0].astype(int) + 1).tolist(), [[-1] * 16] * 16,
             [*images[0].astype(np.int64)], [[True] * 16] * 16, [[1, 2], [3]]]  # fmt: skip
    wrong[1][0][0] = 256
    errors = mapper(on_error="record")({"image": wrong})["error"]
    words = ("", "expected integers from 0 to 255; got ", "expected integers from 0 to 255; got -1",
             "got int64", "got bool", "no array can be made of a list")  # fmt: skip
    assert not errors[0] and all(w in e for w, e in zip(words, errors, strict=True)), errors


def test_integers_of_signals_are_numbers():
    function = ScatteringMapper("Scattering1D", {"J": 4, "shape": 256, "Q": 4}, pool="mean")
    x = np.random.default_rng(6).integers(0, 256, 256)
    alone = function({"image": [x.astype(np.float32)]})["features"][0]
    kinds = (np.uint8, np.int16, np.float32)
    found = function({"image": [*map(x.astype, kinds), x.tolist()]})["features"]
    assert all(np.allclose(row, alone, rtol=1e-6) for row in found)


def test_tensors_that_want_gradients(images, expected):
    wanting = (torch.from_numpy(images) / 255).requires_grad_()
    for on_error in ("stop", "record", "skip"):
        found = mapper(on_error=on_error)({"image": [*wanting]})["features"]
        assert np.allclose(found, expected, rtol=1e-6, atol=1e-7)
    assert np.allclose(mapper()(wanting), expected, rtol=1e-6, atol=1e-7)


def test_what_is_no_array_fails_alone(images, expected):
    class Broken:
        def __array__(self, *_, **__):
            raise RuntimeError("gone")

    odd = [images[0], Broken(), torch.rand(SHAPE, device="meta"), np.longdouble(images[0])]
    found = mapper(on_error="record")({"image": odd})
    assert np.array_equal(found["features"][0], expected[0])
    words = ("", "made of a Broken (gone)", "made of a Tensor", "got float128")
    assert all(w in e for w, e in zip(words, found["error"], strict=True)), found["error"]


@pytest.mark.parametrize("kind", ["16 bits", "floating", "transparent", "turned", "palette"])
def test_a_picture_is_read_as_its_file(kind):
    """What Pillow hands out, as ``datasets`` does, gives the features of the bytes it came from."""
    pil = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(5)
    fine, exif, file = rng.integers(0, 65536, SHAPE, dtype=np.uint16), None, "png"
    picture = pil.fromarray((fine >> 8).astype(np.uint8))
    if kind == "16 bits":
        picture = pil.fromarray(fine)
    elif kind == "floating":
        picture, file = pil.fromarray((fine / 65535).astype(np.float32)), "tiff"
    elif kind == "transparent":
        picture = pil.fromarray(rng.integers(0, 256, (*SHAPE, 4), dtype=np.uint8))
    elif kind == "turned":
        exif = pil.Exif()
        exif[274] = 6
    elif kind == "palette":
        picture = pil.fromarray(rng.integers(0, 256, (*SHAPE, 3), dtype=np.uint8)).quantize(7)
    raw = io.BytesIO()
    picture.save(raw, file, **({"exif": exif} if exif else {}))
    opened = pil.open(io.BytesIO(raw.getvalue()))
    for channels in (None, 3):
        found = mapper(channels=channels)({"image": [opened, raw.getvalue()]})["features"]
        assert np.array_equal(found[0], found[1])
        assert found[0].std() > 0
    with pytest.raises(ValueError, match=r"row 0 of the batch: the image: 4 x 4 pixels, where all"):
        mapper()({"image": [pil.new("L", (4, 4))]})


def test_colours_come_first_or_last():
    x = np.random.default_rng(2).integers(0, 256, (3, 3, *SHAPE), dtype=np.uint8)
    found = mapper(channels=3)
    last = found({"image": np.moveaxis(x, 1, -1)})["features"]
    assert np.array_equal(last, found({"image": x})["features"]) and last.shape == (3, 3 * 81)


def test_pictures_of_any_size_are_cropped_where_that_is_asked_for():
    pil = pytest.importorskip("PIL.Image")
    from scatcuda.data import Images

    raw = io.BytesIO()
    pixels = np.random.default_rng(3).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    pil.fromarray(pixels).save(raw, "png")
    found = mapper(channels=3, crop=0.875)({"image": [raw.getvalue()]})["features"]

    class Bytes:
        name = "it"

        def read(self):
            return raw.getvalue()

    right = ScatteringTransformer(2, pool="mean").fit_transform(Images([Bytes()], 16)[:].numpy())
    assert np.array_equal(found, right)
    with pytest.raises(ValueError, match=r"row 0 of the batch: the image: 30 x 40 pixels"):
        mapper(channels=3)({"image": [raw.getvalue()]})


def failing(images: np.ndarray) -> list:
    nan = np.full(SHAPE, np.nan, np.float32)
    hostile = b"\x93NUMPY\x01\x00v\x00" + (
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (99999, 99999), }".ljust(117) + b"\n"
    )
    return [images[0], b"no image", images[1][:8], None, images[1], nan, "absent.png", hostile,
            images[2].astype(np.int32), images[2]]  # fmt: skip


def test_what_fails_is_recorded(images, expected):
    found = mapper(on_error="record")({"image": failing(images), "key": list("abcdefghij")})
    errors = found["error"].tolist()
    good = [i for i, error in enumerate(errors) if not error]
    assert good == [0, 4, 9] and np.array_equal(found["features"][good], expected[:3])
    bad = [i for i in range(10) if i not in good]
    assert np.isnan(found["features"][bad]).all()
    words = ["not an image that can be read", "expected the shape (16, 16); got (8, 16)",
             "there is nothing", "NaN", "no such file", "not an array that can be read",
             "expected uint8 or floating; got int32"]  # fmt: skip
    assert all(word in errors[i] for i, word in zip(bad, words, strict=True)), errors


def test_what_fails_is_left_out_or_stops(images, expected):
    found = mapper(on_error="skip")({"image": failing(images), "key": np.arange(10)})
    assert found["key"].tolist() == [0, 4, 9] and np.array_equal(found["features"], expected[:3])
    with pytest.raises(ValueError, match="ScatteringMapper: row 1 of the batch: the image: not an"):
        mapper()({"image": failing(images)})


def test_features_beyond_the_type_fail_alone(images):
    big = [images[0] / np.float32(255), np.full(SHAPE, 1e6, np.float32), images[1] / np.float32(9)]
    found = mapper(on_error="record", dtype="float16")({"image": big})
    assert [bool(e) for e in found["error"]] == [False, True, False]
    assert "beyond float16" in found["error"][1] and np.isfinite(found["features"][[0, 2]]).all()


def test_no_rows_give_no_rows():
    found = mapper(on_error="record")({"image": [], "key": []})
    assert found["features"].shape == (0, 81) and len(found["error"]) == 0


def test_arrays_as_dask_has_them(images, expected):
    assert np.array_equal(mapper()(images), expected)
    with pytest.raises(ValueError, match="of arrays on_error must be 'stop'"):
        mapper(on_error="record")(images)


@pytest.mark.parametrize("on_error", ["record", "skip"])
def test_frames_and_tables(images, expected, on_error):
    pandas, pyarrow = pytest.importorskip("pandas"), pytest.importorskip("pyarrow")
    rows = [image.tobytes() for image in images]
    arrays = [np.save(raw := io.BytesIO(), image) or raw.getvalue() for image in images]
    rows = [*arrays[:2], b"no image", *arrays[2:]]
    function = mapper(on_error=on_error)
    frame = pandas.DataFrame({"key": range(6), "image": rows, "pair": [(1, 2)] * 6}, index=range(5, 11))  # fmt: skip # noqa: E501
    kept = [0, 1, 3, 4, 5]
    found = function(frame)
    names = ["key", "pair", "features", "error"][: 3 + (on_error == "record")]
    assert list(found) == names and list(frame) == ["key", "image", "pair"]
    if on_error == "record":
        assert "not an image" in found["error"].iloc[2]
        found = found.iloc[kept]
    assert found.index.tolist() == [5, 6, 8, 9, 10] and found["key"].tolist() == kept
    assert np.array_equal(np.stack(found["features"]), expected)
    table = pyarrow.table({"key": range(6), "image": rows})
    for made in (function(table), function(table.to_batches()[0])):
        assert isinstance(made, (pyarrow.Table, pyarrow.RecordBatch))
        assert made.schema.field("features").type.list_size == 81
        assert made.num_rows == (6 if on_error == "record" else 5)
    assert [part.num_rows for part in function.over([table, table])] == [made.num_rows] * 2


def test_lists_of_arrow_have_its_type(images, expected):
    pa = pytest.importorskip("pyarrow")
    rows, u1 = images.tolist(), pa.uint8()
    kinds = (
        pa.list_(pa.list_(u1)),
        pa.large_list(pa.list_(u1, 16)),
        pa.list_(pa.list_(u1, 16), 16),
    )
    for kind in kinds:
        table = pa.table({"image": pa.array([*rows, None], kind)})
        for one in (table, table.to_batches()[0]):
            found = mapper(on_error="skip")(one)
            assert np.array_equal(np.stack(found["features"].to_numpy(False)), expected)
    frame = pa.table({"image": pa.array(rows, kinds[0])}).to_pandas()
    assert np.array_equal(np.stack(mapper()(frame)["features"]), expected)
    tensors = pa.FixedShapeTensorArray.from_numpy_ndarray(images)
    found = mapper()(pa.table({"image": tensors}))
    assert np.array_equal(np.stack(found["features"].to_numpy()), expected)
    floats = pa.array((images / np.float32(255)).tolist(), pa.list_(pa.list_(pa.float32())))
    found = mapper()(pa.table({"image": floats}))
    assert np.allclose(np.stack(found["features"].to_numpy()), expected, rtol=1e-6, atol=1e-7)
    wide = pa.array(rows[:1], pa.list_(pa.list_(pa.int32())))
    with pytest.raises(ValueError, match=r"row 0 of the batch: expected uint8 .*; got int32"):
        mapper()(pa.table({"image": wide}))
    torn = pa.array([rows[0], [[1, None]], [[1], [2, 3]]], kinds[0])
    errors = mapper(on_error="record")(pa.table({"image": torn}))["error"].to_pylist()
    assert not errors[0] and all("of several lengths" in error for error in errors[1:])


def test_lists_of_datasets(images, expected):
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"image": datasets.Array2D(SHAPE, "uint8")})
    rows = datasets.Dataset.from_dict({"image": images.tolist()}, features=features)
    for how in ({}, {"type": "arrow"}, {"type": "numpy", "dtype": "uint8"}):
        found = mapper()(rows.with_format(**how)[:])["features"]
        found = found if isinstance(found, np.ndarray) else found.to_pylist()
        assert np.array_equal(np.array(found, np.float32), expected)
    untyped = datasets.Dataset.from_dict({"image": images.tolist()}).map(mapper(), batched=True)
    assert np.array_equal(np.array(untyped["features"][:], np.float32), expected)


def test_tables_of_which_nothing_is_left():
    pandas, pa = pytest.importorskip("pandas"), pytest.importorskip("pyarrow")
    function, columns = mapper(on_error="skip"), {"key": [1, 2], "image": [b"no image"] * 2}
    table = pa.table(columns)
    for found in (function(table), function(table.to_batches()[0]), function(table.slice(0, 0))):
        assert found.num_rows == 0 and found.schema.names == ["key", "features"]
        assert found.schema.field("features").type.list_size == 81
    assert len(function(pandas.DataFrame(columns))) == 0
    assert function(columns)["key"] == []


def test_rows_have_what_they_had(images, expected):
    rows = [{"image": images[0], "a": 1}, {"image": images[1], "b": 2}, {"a": 3},
            {"image": images[2]}]  # fmt: skip
    found = list(mapper(on_error="record", batch_size=3).rows(rows))
    made = {"features", "error"}
    assert [row.keys() - made for row in found] == [{"a"}, {"b"}, {"a"}, set()]
    assert [row.get("a") for row in found] == [1, None, 3, None] and found[1]["b"] == 2
    assert np.array_equal(np.stack([found[i]["features"] for i in (0, 1, 3)]), expected[:3])
    assert found[2]["error"] == "there is no column 'image'; there are a"
    found = list(mapper(on_error="skip", keep=True).rows(rows))
    assert [row.keys() - made for row in found] == [{"image", "a"}, {"image", "b"}, {"image"}]
    with pytest.raises(ValueError, match="row 2 of the batch: there is no column 'image'"):
        list(mapper().rows(rows))
    with pytest.raises(ValueError, match="there is a column 'features' already"):
        list(mapper().rows([{"image": images[0], "features": 1}]))


def test_rows_of_bags(images, expected):
    rows = [{"image": image, "key": key} for key, image in enumerate(images)]
    found = list(mapper(batch_size=2).rows(iter(rows)))
    assert [row["key"] for row in found] == [0, 1, 2, 3, 4]
    assert np.array_equal(np.stack([row["features"] for row in found]), expected)


def test_the_gpu_of_a_rank(monkeypatch):
    chosen = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    for name in ("LOCAL_RANK", "SLURM_LOCALID", "OMPI_COMM_WORLD_LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    assert _device("auto", None) == "auto" and _device("auto", 5) == "auto"
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert _device("auto", None) == "auto" and _device("cpu", None) == "cpu"
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)  # CUDA_VISIBLE_DEVICES
    assert _device("auto", 5) == "auto"
    assert chosen == [0, 1, 3]


def test_wrong_arguments(images):
    for how, kind, words in [
        (dict(transform="Scattering9D"), ValueError, "must be the name of a transform"),
        (dict(transform="show_config"), ValueError, "must be the name of a transform"),
        (dict(transform=Scattering2D(2, SHAPE)), TypeError, "got Scattering2D"),
        (dict(on_error="ignore"), ValueError, "on_error must be one of"),
        (dict(crop=2.0), ValueError, "crop must be above 0"),
        (
            dict(device="tpu"),
            ValueError,
            "^ScatteringMapper: device must be auto, cpu or cuda, got",
        ),
        (dict(threads=0), ValueError, "threads must be at least 1"),
        (dict(output="image"), ValueError, "must be three names"),
    ]:
        with pytest.raises(kind, match=words):
            ScatteringMapper(**{"transform": "Scattering2D", "arguments": None, **how})
    with pytest.raises(ValueError, match="there is no column 'image'; there are x"):
        mapper()({"x": images})
    with pytest.raises(ValueError, match="there is a column 'features' already"):
        mapper()({"image": images, "features": images})
    with pytest.raises(TypeError, match="a batch must be a mapping"):
        mapper()(5)
    with pytest.raises(TypeError, match="must make a transform"):
        ScatteringMapper(dict)({"image": images})
