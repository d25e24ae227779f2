"""The experiments with signals, on a few signals that are easily told apart."""

from __future__ import annotations

import numpy as np
import pytest

soundfile = pytest.importorskip("soundfile")

from benchmarks.learning import page, signals  # noqa: E402


def tone(rng, step: float, length: int) -> np.ndarray:
    return np.sin(step * np.arange(length) + rng.uniform(0, 6)) + 0.01 * rng.normal(size=length)


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "recordings").mkdir()
    for speaker in ("ann", "bob"):
        for digit in (0, 1):
            for take in range(8):
                name = tmp_path / f"recordings/{digit}_{speaker}_{take}.wav"
                soundfile.write(name, 0.5 * tone(rng, (0.3, 1.2)[digit], 4000), 8000)
    x = {f"x_{part}": np.stack([tone(rng, (0.3, 1.2)[i % 2], 128) for i in range(20)])
         for part in ("train", "test")}  # fmt: skip
    np.savez(tmp_path / "mit-bih.npz", **x, y_train=np.arange(20) % 2, y_test=np.arange(20) % 2)
    for name in ("OSULeaf", "ACSF1", "PigCVP"):
        (tmp_path / name).mkdir()
        for part in ("TRAIN", "TEST"):
            rows = (
                "\t".join([str(i % 2), *map(str, tone(rng, (0.3, 1.2)[i % 2], 300))])
                for i in range(12)
            )
            (tmp_path / name / f"{name}_{part}.tsv").write_text("\n".join(rows))
    return str(tmp_path)


@pytest.mark.parametrize("name", list(signals.EXPERIMENTS))
def test_they_tell_tones_apart(name, folder):
    found = signals.measure(name, folder)
    assert all(verdict["met"] for verdict in found["verdicts"])
    right = {"spoken-digits": "100.0", "mit-bih": "100.00% right", "ucr": "100.0% (J"}[name]
    assert right in found["lines"][0][1]
    assert found["title"] in page._signals([found])
