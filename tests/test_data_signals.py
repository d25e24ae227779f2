"""Signals to learn from: recordings, UCR's series, WFDB's beats, rows of tables and archives."""

from __future__ import annotations

import os
import pickle

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from scatcuda import Scattering1D
from scatcuda.data import (
    DataError,
    Pairs,
    Recordings,
    Signals,
    audio_dataset,
    beats_dataset,
    blocks,
    csv_dataset,
    load,
    npz_dataset,
    read_field,
    set_file_budget,
    ucr_dataset,
    verify,
)

soundfile = pytest.importorskip("soundfile")
wfdb = pytest.importorskip("wfdb")


def tone(length: int, rate: int = 8000, hertz: float = 440.0) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(length) / rate)


def write(path, x: np.ndarray, rate: int = 8000, **how) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, x, rate, **how)


@pytest.fixture
def spoken(tmp_path):
    """Names say what they are: digit, speaker, take."""
    for digit in (0, 3, 10):
        for take in range(3):
            write(tmp_path / f"{digit}_ann_{take}.wav", tone(100 + 20 * digit + take))
    (tmp_path / "readme.md").touch()
    return tmp_path


# --- recordings -------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "aiff"])
def test_formats(tmp_path, suffix):
    x = tone(4000)
    write(tmp_path / f"a.{suffix}", x)
    found = Recordings([tmp_path / f"a.{suffix}"])[0]
    assert found.dtype == torch.float32 and found.shape == (4000,)
    bound = 0.05 if suffix == "ogg" else 1 / 32768
    assert np.abs(found.numpy() - x).max() <= bound


def test_the_middle_is_kept_and_short_ones_stand_in_the_middle_of_zeros(tmp_path):
    x = np.arange(1, 12) / 16
    write(tmp_path / "a.wav", x, subtype="FLOAT")
    for length, expected in [(11, x), (5, x[3:8]), (4, x[3:7]), (14, np.pad(x, (1, 2)))]:
        found = Recordings([tmp_path / "a.wav"], length)[0].numpy()
        assert np.array_equal(found, expected.astype(np.float32))


def test_channels(tmp_path):
    stereo = np.stack([tone(300), np.zeros(300)], 1)
    write(tmp_path / "a.wav", stereo, subtype="FLOAT")
    both = Recordings([tmp_path / "a.wav"], mono=False)
    assert both.shape == (1, 2, 300) and both[:].shape == (1, 2, 300)
    assert torch.equal(both[0].mean(0), Recordings([tmp_path / "a.wav"])[0])
    write(tmp_path / "b.wav", tone(300))
    with pytest.raises(DataError, match=r"b\.wav: 1 channels, where others have 2"):
        Recordings([tmp_path / "a.wav", tmp_path / "b.wav"], mono=False)[:]


def test_rates(tmp_path):
    write(tmp_path / "a.wav", tone(8000), subtype="FLOAT")
    write(tmp_path / "b.wav", tone(16000, 16000), 16000, subtype="FLOAT")
    files = [tmp_path / "a.wav", tmp_path / "b.wav"]
    with pytest.raises(DataError, match=r"b\.wav: 16000 samples a second, where others have 8000"):
        Recordings(files)[:]
    both = Recordings(files, rate=8000)
    assert both.shape == (2, 8000) and both.rate == 8000
    assert float((both[0] - both[1])[100:-100].abs().max()) < 1e-3


def test_as_an_array(spoken):
    files = sorted(spoken.glob("*.wav"))
    x = Recordings(files, 64)
    assert len(x) == 9 and x.ndim == 2 and x.size(1) == 64 and "8000 Hz" in repr(x)
    assert torch.equal(x[torch.tensor([4, 1])], torch.stack([x[4], x[1]]))
    assert torch.equal(x[np.arange(9) > 6], x[7:])
    assert torch.equal(pickle.loads(pickle.dumps(x))[:], x[:])
    with pytest.raises(IndexError, match="index 9 is out of range, n = 9"):
        x[9]


def test_classes_from_names(spoken):
    dataset = audio_dataset(spoken, label=r"^(\d+)_", test=r"_[01]\.", length=128)
    assert dataset.classes == ("0", "3", "10")
    assert dataset.train_y.tolist() == [0, 2, 1] and len(dataset.test_y) == 6
    assert dataset.train_x.shape == (3, 128) and dataset.passed == {".md": 1}
    assert repr(dataset) == f"Dataset({spoken.name!r}: 3 + 6 signals [128] float32, 3 classes)"
    whole = audio_dataset(spoken, label=r"^\d+_", test_fraction=0.4, seed=1)
    assert whole.classes == ("0_", "10_", "3_")
    assert len(whole.train_y) == 6 and whole.train_x.shape[1] == 302  # the longest of all
    x, y = next(iter(DataLoader(dataset.train, batch_size=3)))
    assert x.shape == (3, 1, 128) and y.tolist() == [0, 2, 1]


def test_classes_from_directories(tmp_path):
    for part in ("train", "test"):
        for word in ("yes", "no"):
            write(tmp_path / part / word / "a.wav", tone(64))
    dataset = load(tmp_path)
    assert dataset.classes == ("no", "yes") and dataset.test_x.shape == (2, 64)
    flat = audio_dataset(tmp_path / "train", test_fraction=0.0)
    assert len(flat.train_y) == 2 and not len(flat.test_y)
    assert all(check.ok for check in verify(tmp_path))


def test_images_with_a_recording_among_them_are_images(tmp_path):
    Image = pytest.importorskip("PIL.Image")
    for word in ("yes", "no"):
        write(tmp_path / word / "a.wav", tone(64))
        Image.new("L", (8, 8)).save(tmp_path / word / "b.png")
    assert load(tmp_path).train_x.shape == (2, 3, 224, 224)


def test_what_cannot_be_read_is_skipped(spoken):
    (spoken / "0_ann_7.wav").write_bytes(b"RIFF no wave")
    whole = (spoken / "3_ann_0.wav").read_bytes()
    (spoken / "3_ann_0.wav").write_bytes(whole[:-40])
    (spoken / "3_ann_9.wav").symlink_to("nowhere")
    with pytest.raises(DataError, match=r"3_ann_9\.wav: cannot be read \(a link to nothing\)"):
        audio_dataset(spoken, label=r"^(\d+)_")
    dataset = audio_dataset(spoken, label=r"^(\d+)_", on_error="skip", rate=8000)
    names = {os.path.basename(name) for name, _ in dataset.skipped}
    assert names >= {"0_ann_7.wav", "3_ann_9.wav"} and len(dataset.train_y) >= 8
    dataset.train_x[:]


def test_a_recording_that_would_take_too_much(tmp_path):
    write(tmp_path / "a.flac", np.zeros(1 << 20))  # some hundred bytes
    set_file_budget(1 << 20)
    try:
        with pytest.raises(DataError, match=r"a\.flac: reading it would take"):
            Recordings([tmp_path / "a.flac"], 16)[0]
    finally:
        set_file_budget(None)


def test_damaged_recordings_are_data_errors(tmp_path, rng):
    """Anything of a file may be another's."""
    write(tmp_path / "whole.flac", tone(3000))
    write(tmp_path / "whole.wav", tone(3000))
    for suffix in ("flac", "wav"):
        whole = (tmp_path / f"whole.{suffix}").read_bytes()
        for trial in range(60):
            damaged = bytearray(whole[: rng.choice([len(whole), rng.randrange(len(whole))])])
            for _ in range(rng.randrange(4)):
                if damaged:
                    damaged[rng.randrange(min(len(damaged), 200))] = rng.randrange(256)
            path = tmp_path / f"{trial}.{suffix}"
            path.write_bytes(damaged)
            try:
                x = Recordings([path], 64, 8000)[0]
            except DataError as error:
                assert str(error).startswith(str(path))
            else:
                assert x.shape == (64,) and bool(x.isfinite().all())


BAD = [
    (dict(label="("), ValueError, "label must be a regular expression; got '('"),
    (dict(test=3), TypeError, "test must be text; got int"),
    (dict(length=-1), ValueError, "length must be between 0 and"),
    (dict(rate=1.5), TypeError, "rate must be an integer"),
    (dict(mono=1), TypeError, "mono must be a bool"),
    (dict(test_fraction=1.0), ValueError, "test_fraction must be at least 0 and below 1"),
    (dict(on_error="pass"), ValueError, "on_error must be stop or skip"),
    (dict(label="[a-z]+"), DataError, "tells no classes: all are of the class ann"),
    (dict(label="z"), DataError, "tells no classes: it is found in no path"),
    (dict(label="ann(z)?"), DataError, "tells no classes: it is found in no path"),
    (dict(label=r"^(\d+)", test="zz"), DataError, "is found in no path"),
    (dict(label=r"^(\d+)", test="ann"), DataError, "is found in every path"),
    (dict(label=r"^(\d+)", test="^3"), DataError, "it holds no recordings for training"),
    (dict(label=r"^(\d+)", test="_1", test_fraction=0.5), ValueError, "without a test set"),
]


@pytest.mark.parametrize(("given", "kind", "words"), BAD, ids=str)
def test_bad_arguments_of_a_folder(spoken, given, kind, words):
    import re

    with pytest.raises(kind, match=re.escape(words)):
        audio_dataset(spoken, **given)


def test_folders_without_recordings(tmp_path):
    with pytest.raises(DataError, match="it holds no recordings"):
        audio_dataset(tmp_path)
    with pytest.raises(DataError, match="no such directory"):
        audio_dataset(tmp_path / "none")


def test_a_file_in_blocks(tmp_path):
    x = np.stack([tone(5000), tone(5000, hertz=100)], 1)
    write(tmp_path / "a.wav", x, subtype="FLOAT")
    pieces = list(blocks(tmp_path / "a.wav", 0.25))
    assert [len(piece) for piece in pieces] == [2000, 2000, 1000]
    assert np.allclose(torch.cat(pieces), x.mean(1), atol=1e-7)
    stereo = torch.cat(list(blocks(tmp_path / "a.wav", 1e9 / 8000, mono=False)), 1)
    assert np.array_equal(stereo, x.T.astype(np.float32))
    stream = Scattering1D(J=4, shape=512, Q=2).stream()
    S = torch.cat(list(stream.over(blocks(tmp_path / "a.wav", 0.1))), -1)
    assert S.shape[-1] == -(-5000 // 16)
    for wrong, kind in ((0, ValueError), ("1", TypeError), (True, TypeError), (-1, ValueError)):
        with pytest.raises(kind, match="blocks: seconds must be"):
            blocks(tmp_path / "a.wav", wrong)
    with pytest.raises(DataError, match="no such file"):
        next(blocks(tmp_path / "b.wav"))
    (tmp_path / "c.wav").write_bytes(b"nothing")
    with pytest.raises(DataError, match="no audio file that is read"):
        next(blocks(tmp_path / "c.wav"))


# --- UCR --------------------------------------------------------------------------------------

TS = """\
# a comment
@problemName Two
@timeStamps false
@univariate {univariate}
@classLabel true b a
@data
"""


def test_ts_files(tmp_path):
    head = TS.format(univariate="true")
    (tmp_path / "Two_TRAIN.ts").write_text(head + "1,2.5,-3e0:b\n4,5,6:a\n")
    (tmp_path / "Two_TEST.ts").write_text(head + "7,8,9:a\n\n")
    for dataset in (ucr_dataset(tmp_path), load(tmp_path / "Two_TRAIN.ts"), load(tmp_path)):
        assert torch.equal(dataset.train_x, torch.tensor([[1, 2.5, -3], [4, 5, 6]]))
        assert dataset.classes == ("a", "b") and dataset.train_y.tolist() == [1, 0]
        assert dataset.test_y.tolist() == [0]
    assert ucr_dataset(tmp_path).name == "Two"


def test_ts_files_of_several_dimensions(tmp_path):
    head = TS.format(univariate="false")
    (tmp_path / "Two_TRAIN.ts").write_text(head + "1,2,3:4,5,6:a\n0,0,0:1,1,1:b\n")
    (tmp_path / "Two_TEST.ts").write_text(head + "7,8,9:1,1,1:b\n")
    dataset = ucr_dataset(tmp_path)
    assert isinstance(dataset.train_x, Signals) and dataset.train_x.shape == (2, 2, 3)
    assert torch.equal(dataset.train_x[0], torch.tensor([[1.0, 2, 3], [4, 5, 6]]))
    x, _ = Pairs(dataset.train_x, dataset.train_y)[1]
    assert x.shape == (2, 3)


@pytest.mark.parametrize(("suffix", "between"), [("tsv", "\t"), ("txt", "  "), ("txt", ",")])
def test_rows_with_a_label(tmp_path, suffix, between):
    for part, rows in (("TRAIN", [[-1, 0.5, 2], [1, 3, 4]]), ("TEST", [[1, 5, 6.5]])):
        lines = (between.join(f"{value:.7e}" for value in row) for row in rows)
        (tmp_path / f"A_{part}.{suffix}").write_text("\n".join(lines) + "\n")
    dataset = ucr_dataset(tmp_path)
    assert dataset.classes == ("-1", "1") and dataset.test_x.tolist() == [[5, 6.5]]


WRONG_SERIES = [
    ("@data\n1,2:a\n1,2,3:b\n", "line 3 has a series of shape [1, 3], the first [1, 2]"),
    ("@data\n1,?:a\n", "line 2 has values that are missing"),
    ("@data\n1,nan:a\n", "line 2 has values that are missing"),
    ("@data\n1,2\n", "line 2 is no series with a label"),
    ("@data\n1,2:3:a\n", "dimensions of several lengths"),
    ("@timeStamps true\n@data\n", "it has times"),
    ("@targetLabel true\n@data\n", "targets that are no classes"),
    ("@classLabel false\n@data\n", "its series have no labels"),
    ("1,2:a\n", "line 1 should be of the header, before @data"),
    ("@data\n", "it has no series"),
]


@pytest.mark.parametrize(("text", "words"), WRONG_SERIES, ids=str)
def test_wrong_series(tmp_path, text, words):
    import re

    (tmp_path / "A_TRAIN.ts").write_text(text)
    (tmp_path / "A_TEST.ts").write_text("@data\n1,2:a\n")
    with pytest.raises(DataError, match=re.escape(words)):
        ucr_dataset(tmp_path)


def test_sets_that_are_not_whole(tmp_path):
    (tmp_path / "A_TRAIN.tsv").write_text("1\t2\t3\n2\t3\t4\n")
    with pytest.raises(DataError, match=r"A_TEST\.tsv: no such file"):
        ucr_dataset(tmp_path)
    (tmp_path / "A_TEST.tsv").write_text("3\t2\t3\n")
    with pytest.raises(DataError, match=r"has the class '3', which A_TRAIN\.tsv has not"):
        ucr_dataset(tmp_path)
    (tmp_path / "B_TRAIN.tsv").write_text("1\t2\t3\n")
    with pytest.raises(DataError, match=r"several, A_TRAIN\.tsv and B_TRAIN\.tsv"):
        ucr_dataset(tmp_path)


# --- WFDB -------------------------------------------------------------------------------------


def write_record(folder, name: str, symbols: str, fs: int = 360) -> np.ndarray:
    """A record of two signals, a spike of another height at every beat, 300 samples apart."""
    n = 300 * (len(symbols) + 2)
    x = np.zeros((n, 2))
    at = 300 * (1 + np.arange(len(symbols)))
    x[at, 0], x[at, 1] = 1 + np.arange(len(symbols)) / 8, -1
    wfdb.wrsamp(
        name, fs=fs, units=["mV", "mV"], sig_name=["a", "b"], p_signal=x, fmt=["16", "16"],
        write_dir=str(folder),
    )  # fmt: skip
    wfdb.wrann(name, "atr", at, symbol=list(symbols), write_dir=str(folder))
    return x


def test_beats(tmp_path):
    write_record(tmp_path, "1", "NLV+NA")  # + is a change of rhythm
    write_record(tmp_path, "2", "VNa")
    how = dict(train=["1"], test=["2"], length=90, rate=360)
    dataset = beats_dataset(tmp_path, **how)
    assert dataset.classes == ("N", "S", "V")
    assert dataset.train_y.tolist() == [0, 0, 2, 0, 1] and dataset.test_y.tolist() == [2, 0, 1]
    assert dataset.train_x.shape == (5, 90) and set(dataset.train_x.argmax(1).tolist()) == {30}
    heights = 1 + torch.tensor([0, 1, 2, 4, 5]) / 8
    torch.testing.assert_close(dataset.train_x.amax(1), heights, atol=1e-3, rtol=0)
    other = beats_dataset(tmp_path, **(how | {"channel": 1}))
    assert set(other.train_x.argmin(1).tolist()) == {30}
    slower = beats_dataset(tmp_path, **(how | {"rate": 180, "length": 45}))
    assert set(slower.train_x.argmax(1).tolist()) == {15}
    assert load(tmp_path, **how).train_x.shape == (5, 90)


def test_wrong_records(tmp_path):
    write_record(tmp_path, "1", "NN")
    write_record(tmp_path, "2", "NVV")
    how = dict(train=["1"], test=["2"])
    with pytest.raises(DataError, match="class V occurs in the test records only"):
        beats_dataset(tmp_path, **how)
    with pytest.raises(DataError, match=r"101\.hea: no such file"):
        beats_dataset(tmp_path)
    with pytest.raises(DataError, match="no channel 2, it has 2 signals"):
        beats_dataset(tmp_path, **how, channel=2)
    with pytest.raises(ValueError, match="train and test have record '1' in common"):
        beats_dataset(tmp_path, train=["1"], test=["1"])
    with pytest.raises(ValueError, match=r"must be names of records; got '\.\./1'"):
        beats_dataset(tmp_path, train=["../1"], test=["2"])
    with pytest.raises(ValueError, match="must name at least one record"):
        beats_dataset(tmp_path, train=[], test=["2"])
    header = tmp_path / "1.hea"
    text = header.read_text()
    header.write_text(text.replace("1.dat", "../1.dat"))
    with pytest.raises(DataError, match=r"outside of the directory|a record that cannot be read"):
        beats_dataset(tmp_path, **how)
    header.write_text(text.replace("1200", "99999999999"))
    with pytest.raises(DataError, match=r"1: (reading it would take|a record that cannot be read)"):
        beats_dataset(tmp_path, **how)
    header.write_text("nonsense")
    with pytest.raises(DataError, match="a record that cannot be read"):
        beats_dataset(tmp_path, **how)


@pytest.mark.parametrize("suffix", (".hea", ".dat", ".atr"))
def test_a_record_is_made_of_regular_files_of_its_directory(tmp_path, suffix):
    write_record(tmp_path, "1", "NN")
    write_record(tmp_path, "2", "NN")
    file = tmp_path / f"1{suffix}"
    file.unlink()
    with pytest.raises(DataError, match=rf"1\{suffix}: no such file"):
        beats_dataset(tmp_path, train=["1"], test=["2"])
    os.mkfifo(file)  # whoever opens it, waits
    with pytest.raises(DataError, match=rf"1\{suffix}: a named pipe, where a file is expected"):
        beats_dataset(tmp_path, train=["1"], test=["2"])
    file.unlink()
    file.symlink_to("/dev/zero")
    with pytest.raises(DataError, match=rf"1\{suffix}: a device, where a file is expected"):
        beats_dataset(tmp_path, train=["1"], test=["2"])


def test_records_in_segments_are_refused(tmp_path):
    write_record(tmp_path, "1", "NN")
    write_record(tmp_path, "2", "NN")
    (tmp_path / "1.hea").write_text("1/2 2 360 2400\n2 1200\n2 1200\n")
    with pytest.raises(DataError, match=r"1\.hea: a record in several segments"):
        beats_dataset(tmp_path, train=["1"], test=["2"])


# --- tables and archives ----------------------------------------------------------------------


def test_tables_of_signals(tmp_path):
    (tmp_path / "a_train.csv").write_text("class,t0,t1,t2\n1,-0.5,1e3,2\n2,3,4,5\n")
    (tmp_path / "a_test.csv").write_text("class,t0,t1,t2\n2,0,0,.25\n")
    with pytest.raises(DataError, match="signals=True reads rows of signals"):
        csv_dataset(tmp_path)
    dataset = csv_dataset(tmp_path, signals=True)
    assert dataset.train_x.tolist() == [[-0.5, 1000, 2], [3, 4, 5]]
    assert dataset.train_y.tolist() == [0, 1] and dataset.test_x.tolist() == [[0, 0, 0.25]]
    for wrong in ("1,2,x,4", "1,2,nan,4", "1,2,1e99,4", "1,2,3", "1.5,2,3,4"):
        (tmp_path / "a_test.csv").write_text(f"class,t0,t1,t2\n{wrong}\n")
        with pytest.raises(DataError, match=r"expected rows of 4 numbers|no whole numbers"):
            csv_dataset(tmp_path, signals=True)


def test_archives_of_signals(tmp_path):
    x = np.arange(24, dtype=np.int16).reshape(6, 4)
    y = np.arange(6) % 2
    np.savez(tmp_path / "a.npz", x_train=x[:4], y_train=y[:4], x_test=x[4:], y_test=y[4:])
    dataset = npz_dataset(tmp_path / "a.npz")
    assert dataset.train_x.dtype == torch.float32 and dataset.train_x.tolist() == x[:4].tolist()
    x = np.random.default_rng(0).normal(size=(6, 2, 9))
    np.savez(tmp_path / "b.npz", x=x, y=y)
    dataset = npz_dataset(tmp_path / "b.npz", signals=True, test_fraction=0.4)
    assert isinstance(dataset.train_x, Signals) and dataset.train_x.shape == (4, 2, 9)
    assert npz_dataset(tmp_path / "b.npz").train_x.shape == (6, 2, 9)  # images
    np.savez(tmp_path / "c.npz", x=np.full((4, 5), np.nan), y=y[:4])
    with pytest.raises(DataError, match="infinite or not numbers"):
        npz_dataset(tmp_path / "c.npz")


def test_signals_of_several_channels():
    for wrong, kind in ((np.zeros((2, 3, 4)), TypeError), (torch.zeros(2, 3), ValueError)):
        with pytest.raises(kind, match="Signals: values must be"):
            Signals(wrong)


@pytest.mark.parametrize("how", [
    {"format": "MP3"}, {"format": "FLAC"}, {"format": "OGG"}, {"format": "AIFF"},
    {"format": "WAV", "subtype": "GSM610"}, {"format": "WAV", "subtype": "IMA_ADPCM"},
    {"format": "WAV", "subtype": "ALAW"}, {"format": "W64", "subtype": "PCM_24"},
], ids=lambda how: "-".join(how.values()))  # fmt: skip
def test_pieces_are_the_samples_of_the_whole(tmp_path, how):
    """MP3's decoder does not find its place again, and GSM's has none."""
    if how["format"] not in soundfile.available_formats():
        pytest.skip("this libsndfile has no such format")
    soundfile.write(tmp_path / "a.wav", np.sin(np.arange(16000) ** 1.5 / 900) / 2, 8000, **how)
    whole = Recordings([tmp_path / "a.wav"])[:][0]
    assert torch.equal(torch.cat([*blocks(tmp_path / "a.wav", 0.1)]), whole)
    with soundfile.SoundFile(tmp_path / "a.wav") as file:
        assert np.array_equal(whole, file.read(file.frames, dtype="float32"))


def test_a_cut_recording_is_an_error(tmp_path):
    """Wherever it is read; what a pipe wrote does not know its length, and is whole."""
    soundfile.write(tmp_path / "whole.wav", np.sin(np.arange(8000) / 9), 8000)
    whole = (tmp_path / "whole.wav").read_bytes()
    (tmp_path / "cut.wav").write_bytes(whole[: len(whole) // 2])
    for read in (
        lambda path: Recordings([path])[:],
        lambda path: [*blocks(path)],
        read_field,
    ):
        with pytest.raises(DataError, match=r"cut.wav: truncated, 7978 bytes of samples of 16000"):
            read(tmp_path / "cut.wav")
    for name, how in {
        "rf64.wav": {"format": "RF64"}, "w64.wav": {"format": "W64"}, "aiff.aiff": {},
        "rifx.wav": {"format": "WAV", "endian": "BIG"}, "mp3.mp3": {}, "vorbis.ogg": {},
    }.items():  # fmt: skip
        if name[:3] != "mp3" or "MP3" in soundfile.available_formats():
            soundfile.write(tmp_path / name, np.sin(np.arange(20001) / 9), 8000, **how)
            assert len(torch.cat([*blocks(tmp_path / name)])) == 20001
            raw = (tmp_path / name).read_bytes()
            # half of this OGG file are headers, whose loss libsndfile sees
            (tmp_path / name).write_bytes(raw[: len(raw) // 2 if "ogg" not in name else -1])
            for read in (lambda path: Recordings([path])[:], lambda path: [*blocks(path)]):
                with pytest.raises(DataError, match=f"{name}: truncated, .* of "):
                    read(tmp_path / name)
    place = whole.index(b"data") + 4
    for size in (b"\xff\xff\xff\xff", b"\x00\xf0\xff\x7f"):
        (tmp_path / "pipe.wav").write_bytes(whole[:place] + size + whole[place + 4 :])
        assert len(read_field(tmp_path / "pipe.wav")) == 8000
    soundfile.write(tmp_path / "nan.wav", np.full(800, np.nan), 8000, "FLOAT")
    with pytest.raises(DataError, match="infinite or not numbers"):
        [*blocks(tmp_path / "nan.wav")]
