"""Single fields: read from files, and the commands about them."""

import csv
import io
import json
import re
import struct

import numpy as np
import pytest
import torch
from PIL import Image

from scatcuda import ScatteringCovariance, WaveletPhaseHarmonics
from scatcuda.cli import main
from scatcuda.data import DataError, read_field
from scatcuda.data.field import write_field
from scatcuda.draw.synthesis import draw_inversions
from scatcuda.synthesis import synthesise
from scatcuda.synthesis.examples import examples


def noise(*shape):
    return np.random.default_rng(0).standard_normal(shape)


@pytest.fixture
def brick(tmp_path):
    path = tmp_path / "map.npy"
    np.save(path, np.cumsum(noise(32, 32), 0).astype(np.float32))
    return path


def npy(array, **how):
    file = io.BytesIO()
    np.save(file, array, **how)
    return file.getvalue()


def test_arrays(tmp_path):
    for array in (
        noise(16, 24),
        noise(24).astype(np.float32),
        np.asfortranarray(noise(16, 24)),
        np.arange(40, dtype=np.int16).reshape(5, 8),
        noise(9).astype(">f8"),
    ):
        path = tmp_path / "x.npy"
        path.write_bytes(npy(array))
        found = read_field(path)
        assert found.dtype == torch.float32
        np.testing.assert_array_equal(found.numpy(), array.astype(np.float32))


def test_images_and_recordings(tmp_path):
    levels = np.random.default_rng(0).integers(0, 256, (20, 30), dtype=np.uint8)
    Image.fromarray(levels).save(tmp_path / "x.png")
    np.testing.assert_allclose(read_field(tmp_path / "x.png").numpy(), levels / 255, atol=1e-7)
    soundfile = pytest.importorskip("soundfile")
    soundfile.write(tmp_path / "x.wav", 0.1 * noise(500), 8000)
    assert read_field(tmp_path / "x.wav").shape == (500,)


good = npy(noise(8, 8))
BAD = {
    "nothing": b"",
    "text": b"hello",
    "truncated": good[:-3],
    "objects": npy(np.array([{}, []], dtype=object), allow_pickle=True),
    "complex": npy(noise(4, 4) + 1j),
    "a volume": npy(noise(4, 4, 4)),
    "empty": npy(noise(0, 4)),
    "NaN": npy(np.full((4, 4), np.nan)),
    "too large": good.replace(b"(8, 8)", b"(8, 8000000000000)")[: len(good)],
    "a negative side": good.replace(b"(8, 8), ", b"(-8, 8),"),
}


@pytest.mark.parametrize("name", BAD)
def test_arrays_that_are_none(name, tmp_path):
    path = tmp_path / "x.npy"
    path.write_bytes(BAD[name])
    with pytest.raises(DataError, match=r"x\.npy"):
        read_field(path)


def test_no_file_and_no_image(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_field(tmp_path / "x.npy")
    (tmp_path / "x.png").write_bytes(b"no image")
    with pytest.raises(DataError, match="not an image"):
        read_field(tmp_path / "x.png")


def test_statistics_as_tables(brick, tmp_path, capsys):
    x = read_field(brick)
    assert main(["statistics", str(brick), "--J", "3", "--output", f"{tmp_path}/s.csv"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("field      32 x 32, mean")
    with open(tmp_path / "s.csv") as file:
        rows = [*csv.DictReader(file)]
    module = ScatteringCovariance((32, 32), 3)
    np.testing.assert_allclose([float(row["value"]) for row in rows], module(x), rtol=1e-6)
    meta = module.meta()
    for key, column in meta.items():
        assert [row[key] for row in rows] == [str(value) for value in column]
    assert (
        main(["statistics", str(brick), "--J", "2", "--wph", "--output", f"{tmp_path}/s.npz"]) == 0
    )
    with np.load(tmp_path / "s.npz") as kept:
        wph = WaveletPhaseHarmonics((32, 32), 2, 8)
        np.testing.assert_allclose(kept["values"], wph(x), rtol=1e-6)
        assert kept["class"].tolist() == wph.meta()["class"]
    assert main(["statistics", str(brick), "--isotropic"]) == 0


def test_synthesise(brick, tmp_path, capsys):
    common = ["synthesise", str(brick), "--J", "3", "--no-progress"]
    out = f"{tmp_path}/made.npy"
    assert main([*common, "--n", "2", "--steps", "4", "--output", out]) == 0
    assert "S4" in capsys.readouterr().out
    x = read_field(brick)
    wanted = synthesise(x, ScatteringCovariance((32, 32), 3), n=2, steps=4).x
    np.testing.assert_array_equal(np.load(out), wanted.numpy())
    kept = f"{tmp_path}/kept.safetensors"
    assert main([*common, "--steps", "3", "--checkpoint", kept, "--output", out]) == 0
    assert main([*common, "--steps", "6", "--resume", kept, "--output", out]) == 0
    wanted = synthesise(x, ScatteringCovariance((32, 32), 3), steps=6).x
    np.testing.assert_array_equal(np.load(out), wanted.numpy())
    capsys.readouterr()
    other = ["--J", "2", "--steps", "6", "--resume", kept, "--output", out]
    assert main([*common[:2], *other]) != 0
    assert "resume must be of the same losses" in capsys.readouterr().err
    picture = f"{tmp_path}/made.png"
    assert main([*common, "--steps", "2", "--output", picture]) == 0
    assert Image.open(picture).size == (1800, 1000)


def test_help_has_the_defaults_of_the_command(capsys):
    for command, phases in (("statistics", True), ("synthesise", False)):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        told = " ".join(capsys.readouterr().out.split())
        assert "(default: morlet" in told and ("phase harmonics bump" in told) == phases


def test_invert(brick, tmp_path, capsys):
    pytest.importorskip("soundfile")
    out = f"{tmp_path}/back.npy"
    assert main(["invert", str(brick), "--J", "2", "--steps", "60", "--output", out]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[:3] == ["map", "2", "1"]
    assert float(lines[2].split()[4].rstrip("%")) < 20
    assert np.load(out).shape == (32, 32)
    signal = tmp_path / "signal.npy"
    np.save(signal, np.sin(np.arange(256.0)))
    assert main(["invert", str(signal), "--J", "3", "--Q", "2", "--steps", "3"]) == 0
    sound = f"{tmp_path}/again.wav"
    assert main(["invert", str(signal), "--J", "3", "--steps", "20", "--output", sound]) == 0
    assert read_field(sound).shape == (256,)
    assert main(["invert", str(brick), "--output", sound]) == 1
    assert "is made of a recording or a signal" in capsys.readouterr().err
    picture = f"{tmp_path}/kept.png"
    how = ["--roto-translation", "--L", "4", "--steps", "2", "--output", picture]
    assert main(["invert", str(brick), "--J", "2", "3", *how]) == 0
    assert Image.open(picture).size[0] == 1800


def test_the_examples(tmp_path):
    several = examples(32)
    assert all(
        x.shape == (32, 32) and 0 <= float(x.min()) < float(x.max()) <= 1 for _, x in several
    )
    rows = [(name, x, [("again", "", x)]) for name, x in several]
    draw_inversions(tmp_path / "examples.png", rows)
    assert Image.open(tmp_path / "examples.png").size == (1800, 1888)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["statistics", "MAP", "--output", "x.txt"], "name must end in .csv or .npz"),
        (["statistics", "MAP", "--wph", "--isotropic"], "phase harmonics are of images"),
        (["statistics", "MAP", "--J", "9"], "J must be between 1 and 5; got 9"),
        (["synthesise", "MAP", "--output", "x.jpg"], "name must end in .npy or .png"),
        (["synthesise", "MAP", "--levels", "3", "--output", "x.npy"], "every level halves"),
        (["synthesise", "none.npy", "--output", "x.npy"], "no such file"),
        (["invert"], "say a field, or --demo"),
        (["invert", "MAP", "--demo"], "say a field, or --demo"),
        (["invert", "MAP", "--Q", "8"], "invert: --Q is no option of images"),
        (["invert", "SIGNAL", "--L", "8"], "invert: --L is no option of signals"),
        (["invert", "SIGNAL", "--roto-translation"], "--roto-translation is no option of signals"),
        (["invert", "MAP", "--J", "7"], "shape must be at least 2.J"),
    ],
)
def test_what_is_wrong_is_said(arguments, told, brick, tmp_path, capsys):
    np.save(tmp_path / "signal.npy", np.arange(64.0))
    named = {"MAP": str(brick), "SIGNAL": str(tmp_path / "signal.npy")}
    assert main([named.get(word, word) for word in arguments]) == 1
    assert re.search(told, capsys.readouterr().err)


def test_images_of_more_than_eight_bits_are_read_as_finely(tmp_path):
    """A map of 16 bits whose levels all lie between two of 8 bits."""
    levels = np.random.default_rng(0).integers(30000, 30100, (16, 16)).astype(np.uint16)
    Image.fromarray(levels).save(tmp_path / "deep.png")
    found = read_field(tmp_path / "deep.png")
    assert np.abs(found.numpy() * 65535 - levels).max() < 0.05
    floating = (levels / 65535).astype(np.float32)
    Image.fromarray(floating).save(tmp_path / "deep.tiff")
    assert np.abs(read_field(tmp_path / "deep.tiff").numpy() - floating).max() < 1e-7


def test_fields_may_be_written_to(tmp_path, recwarn):
    np.save(tmp_path / "x.npy", np.ones((16, 16), np.float32))
    read_field(tmp_path / "x.npy").add_(1)
    assert not recwarn.list


def test_a_checkpoint_of_another_target_is_not_gone_on_with(tmp_path):
    one, other = (torch.from_numpy(noise(32, 32)).float().roll(i, 0) * (1 + i) + i for i in (0, 1))
    how = {"statistics": ScatteringCovariance((32, 32), 2), "steps": 4}
    first = synthesise(one, checkpoint=tmp_path / "a.ck", **how)
    again = synthesise(one, resume=tmp_path / "a.ck", **(how | {"steps": 6}))
    assert len(again.history) == 7 and again.history[:5] == first.history
    with pytest.raises(
        ValueError, match="resume must be of the same target of ScatteringCovariance"
    ):
        synthesise(other, resume=tmp_path / "a.ck", **how)


@pytest.mark.parametrize(
    "command",
    [
        "synthesise {field} --J 2 --output {place}.npy",
        "synthesise {field} --J 2 --output a.npy --checkpoint {place}",
        "invert {field} --J 1 --output {place}.npy",
        "statistics {field} --J 2 --output {place}.csv",
        "generate digits --J 1 --output {place}.png",
        "generate digits --J 1 --output a.png --save {place}",
    ],
)
@pytest.mark.parametrize("place", ["absent/x", "folder"])
def test_outputs_are_looked_at_before_the_work(
    command, place, brick, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    for suffix in ("", ".npy", ".csv", ".png"):
        (tmp_path / f"folder{suffix}").mkdir()
    monkeypatch.setattr("scatcuda.synthesis.descent.torch.optim", None)  # what would be the work
    monkeypatch.setattr("scatcuda.learn.generative.GenerativeScattering.fit", None)
    assert main(command.format(field=brick, place=place).split()) == 1
    said = capsys.readouterr().err
    assert ("absent: no such folder" if place == "absent/x" else "a folder, not a file") in said


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("scale", [1e16, 1e30])
@pytest.mark.parametrize("kind", [[], ["--wph"]])
def test_numbers_whose_squares_are_large(scale, kind, tmp_path, capsys):
    """What is beyond float32 is infinite, and said so."""
    x = scale * torch.rand(32, 32, generator=torch.Generator().manual_seed(0))
    write_field(tmp_path / "x.npy", x)
    assert main(["statistics", f"{tmp_path}/x.npy", "--J", "2", "--json", *kind]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["mean"] == pytest.approx(scale / 2, rel=0.1)
    assert found["deviation"] == pytest.approx(scale / 12**0.5, rel=0.1)
    if scale == 1e16:
        squares = [block["root_mean_square"] for block in found["blocks"]]
        assert all(0 < square < 1e33 for square in squares)


@pytest.mark.parametrize(
    "header",
    [
        b"(" * 5000,
        b"{'descr': '<f8', 'fortran_order': False, 'shape': (True, 2)}",
        b"{'descr': '<f8', 'fortran_order': False, 'shape': (-1, 2)}",
        b"{'descr': '|O', 'fortran_order': False, 'shape': (1, 2)}",
        b"{'descr': '|S0', 'fortran_order': False, 'shape': (1, 2)}",
        b"{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (1, 2)}",
        b"\xff\x00",
        b"{}" + b" " * 70000,
    ],
    ids=range(8),
)
def test_hostile_headers_of_arrays(tmp_path, header):
    version, size = ((1, "<H") if len(header) < 1 << 16 else (2, "<I"))  # fmt: skip
    raw = b"\x93NUMPY" + bytes([version, 0]) + struct.pack(size, len(header)) + header
    (tmp_path / "x.npy").write_bytes(raw + bytes(64))
    with pytest.raises(DataError, match=r"x.npy: not an array that can be read \("):
        read_field(tmp_path / "x.npy")
